"""Schemas: what a table must hold, and what is written is what is read."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avalattice.canon import SpikeDefId
from avalattice.errors import SchemaError
from avalattice.export.tabular import (
    BOOL,
    F32,
    F32_LIST,
    F64,
    I32,
    I64,
    TEXT,
    TEXT_LIST,
    Column,
    TableSchema,
    check_table,
    filter_rows,
    read_csv,
    read_table,
    write_csv,
    write_table,
)

SCHEMA = TableSchema(
    "sample",
    ("id", "name"),
    (
        Column("id", I32, "a number", low=0),
        Column("name", TEXT, "a name"),
        Column("share", F64, "a share", low=0, high=1, nullable=True),
        Column("tau", F32, "any number"),
        Column("count", I64, "a count", "events", low=1, high=10),
        Column("flag", BOOL, "a flag"),
        Column("list", F32_LIST, "by layer"),
        Column("words", TEXT_LIST, "by token"),
        Column("share_reason", TEXT, "why the share is undefined", nullable=True),
    ),
)
LISTS = (F32_LIST, TEXT_LIST)
OTHER = TableSchema("other", ("id",), (Column("id", I32, "a number"),))


def row(**changes) -> dict:
    plain = {
        "id": 0,
        "name": "a",
        "share": 0.5,
        "tau": np.float32(0.1),
        "count": 3,
        "flag": True,
        "list": np.float32([1.5, 2.5]),
        "words": ["x", "y"],
        "share_reason": None,
    }
    return plain | changes


def rows(n: int = 3) -> list[dict]:
    return [row(id=i, share=i / 10) for i in range(n)]


def without(name: str) -> dict:
    return {key: value for key, value in row().items() if key != name}


def write(path, table: pa.Table) -> None:
    with path.open("wb") as file:
        write_table(table, file)


# -------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("position", [0, 1])
def test_missing_and_unknown_columns_are_refused(position):
    """Every row has the schema's columns and no other, not only the first."""
    given = rows(2)
    given[position] = without("share")
    with pytest.raises(SchemaError, match=r"table sample: columns \['share'\] do not fit"):
        SCHEMA.table(given)
    given[position] = row(id=position, shar=1.0)
    with pytest.raises(SchemaError, match=r"table sample: columns \['shar'\] do not fit"):
        SCHEMA.table(given)


@pytest.mark.parametrize("name", ["id", "name", "tau", "count", "flag", "list", "words"])
def test_undefined_values_are_refused_where_not_nullable(name):
    """None is no value of a column that must be defined."""
    with pytest.raises(SchemaError, match=f"column {name}: 1 values are undefined"):
        SCHEMA.table([row(), row(id=1) | {name: None}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": -1}, "column id: min -1 lies beyond 0"),
        ({"count": 0}, "column count: min 0 lies beyond 1"),
        ({"count": 11}, "column count: max 11 lies beyond 10"),
        ({"share": -1e-9}, "column share: min -1e-09 lies beyond 0"),
        ({"share": np.nextafter(1, 2)}, r"column share: max 1\.0000000000000002 lies beyond 1"),
        ({"share": float("inf")}, "column share: max inf lies beyond 1"),
    ],
)
def test_values_out_of_range_are_refused(changes, message):
    """The message names table, column, value and limit; the limits themselves are allowed."""
    SCHEMA.table([row(count=1, share=0.0), row(id=1, count=10, share=1.0)])
    with pytest.raises(SchemaError, match=f"table sample, {message}"):
        SCHEMA.table([row(id=7), row(**{"id": 8} | changes)])


def test_a_repeated_key_is_refused():
    """Rows that agree in every key column are refused, rows that differ in one are not."""
    SCHEMA.table([row(), row(name="b"), row(id=1)])
    with pytest.raises(SchemaError, match=r"the key \('id', 'name'\) is not unique"):
        SCHEMA.table([row(), row(name="b"), row(tau=2.0)])


@pytest.mark.parametrize(
    "changes",
    [{"id": "1"}, {"id": 2**31}, {"id": 1.5}, {"count": 2**63}, {"name": 7}, {"list": 3.0}],
)
def test_values_of_another_type_are_refused(changes):
    """What does not fit the column's type is an error of the schema, never a silent conversion."""
    with pytest.raises(SchemaError, match="table sample"):
        SCHEMA.table([row(**changes)])


def test_a_table_of_another_form_is_refused():
    """Columns of another order or type are named with their types."""
    table = SCHEMA.table(rows())
    with pytest.raises(SchemaError, match=r"should be \['id: int32', 'name: string'.* found \['na"):
        SCHEMA.validate(table.select(["name", "id", *table.column_names[2:]]))
    wide = table.set_column(0, "id", table["id"].cast(pa.int64()))
    with pytest.raises(SchemaError, match=r"should be \['id: int32'.*found \['id: int64'"):
        SCHEMA.validate(wide)


def test_nan_in_a_table_of_other_origin_is_refused():
    """Undefined values are null; a NaN that another program left is found."""
    table = SCHEMA.table(rows())
    at = table.column_names.index("share")
    broken = table.set_column(at, "share", pa.array([0.5, float("nan"), None], type=pa.float64()))
    with pytest.raises(SchemaError, match="column share: holds NaN, but undefined values are null"):
        SCHEMA.validate(broken)


# ------------------------------------------------------------------------------ what is written


def test_nan_becomes_null():
    """An undefined number is null in the table, whichever float it was."""
    table = SCHEMA.table(
        [row(share=float("nan")), row(id=1, share=np.float64("nan")), row(id=2, share=0.25)]
    )
    assert table["share"].to_pylist() == [None, None, 0.25]
    assert table["share"].null_count == 2


def test_nan_is_refused_where_a_value_must_be_defined():
    """NaN in a column that is not nullable is undefined like None."""
    with pytest.raises(SchemaError, match="column tau: 1 values are undefined"):
        SCHEMA.table([row(tau=float("nan"))])


def test_values_keep_their_bits():
    """Numbers stay numbers: float32 stays the float32 it was, a StrEnum its text."""
    table = SCHEMA.table([row(name=SpikeDefId.SPIKE_TWO_SIDED_ABS)])
    assert np.float32(table["tau"][0].as_py()) == np.float32(0.1)
    assert table["name"].to_pylist() == ["SPIKE_TWO_SIDED_ABS"]
    assert table["list"].to_pylist() == [[1.5, 2.5]]
    assert table.schema.types == SCHEMA.arrow.types


def test_equal_tables_give_equal_bytes():
    """The file's bytes depend on the rows alone; one changed value changes them."""
    files = [io.BytesIO() for _ in range(3)]
    for file, given in zip(files, (rows(), iter(rows()), [*rows(2), row(id=9)]), strict=True):
        write_table(SCHEMA.table(given), file)
    first, second, other = (file.getvalue() for file in files)
    assert first == second
    assert first != other


def test_what_is_written_is_read(tmp_path):
    """A table read back equals the table, with the schema's name in its metadata."""
    table = SCHEMA.table(rows())
    write(tmp_path / "t.parquet", table)
    assert read_table(tmp_path / "t.parquet", SCHEMA).equals(table)
    assert pq.read_schema(tmp_path / "t.parquet").metadata[b"avalattice_schema"] == b"sample"


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path):
    """A path that holds ``gain=1`` is a path and nothing else."""
    folder = tmp_path / "gain=1"
    folder.mkdir()
    write(folder / "t.parquet", SCHEMA.table(rows()))
    assert read_table(folder / "t.parquet", SCHEMA).num_rows == 3


def test_a_table_without_rows_is_a_table(tmp_path):
    """No rows are valid, and are written and read."""
    write(tmp_path / "t.parquet", SCHEMA.table([]))
    assert read_table(tmp_path / "t.parquet", SCHEMA).num_rows == 0
    check_table(tmp_path / "t.parquet", [SCHEMA])


# -------------------------------------------------------------------------------- what is read


def test_check_table_finds_the_schema_by_its_name(tmp_path):
    """The file's own metadata says which schema it must meet."""
    write(tmp_path / "t.parquet", SCHEMA.table(rows()))
    check_table(tmp_path / "t.parquet", [OTHER, SCHEMA])
    with pytest.raises(SchemaError, match=r"t\.parquet: unknown table schema 'sample'"):
        check_table(tmp_path / "t.parquet", [OTHER])
    write(tmp_path / "plain.parquet", pa.table({"id": [1]}))
    with pytest.raises(SchemaError, match=r"plain\.parquet: unknown table schema ''"):
        check_table(tmp_path / "plain.parquet", [OTHER, SCHEMA])


def test_a_broken_table_is_refused_with_its_path(tmp_path):
    """A table that names its schema and breaks it is refused by both readers."""
    table = SCHEMA.table(rows())
    broken = pa.concat_tables([table, table])
    write(tmp_path / "t.parquet", broken)
    for read in (
        lambda: check_table(tmp_path / "t.parquet", [SCHEMA]),
        lambda: read_table(tmp_path / "t.parquet", SCHEMA),
    ):
        with pytest.raises(SchemaError, match=r"t\.parquet: table sample: the key .* not unique"):
            read()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not Parquet at all"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    """Unreadable and missing files are errors of the schema, with their path."""
    (tmp_path / "t.parquet").write_bytes(content)
    for name in ("t.parquet", "missing.parquet"):
        with pytest.raises(SchemaError, match=rf"{name}: not a readable Parquet file"):
            check_table(tmp_path / name, [SCHEMA])
        with pytest.raises(SchemaError, match=rf"{name}: not a readable Parquet file"):
            read_table(tmp_path / name, SCHEMA)


FLAT = TableSchema("flat", SCHEMA.key, tuple(c for c in SCHEMA.columns if c.type not in LISTS))


def as_csv(tmp_path, *rows: dict):
    """Rows without lists, as a CSV file."""
    names = [column.name for column in FLAT.columns]
    path = tmp_path / "flat.csv"
    with path.open("wb") as file:
        write_csv(FLAT.table({name: row[name] for name in names} for row in rows), file)
    return path


def test_a_csv_file_read_by_its_schema_is_the_table(tmp_path):
    """Types, bits, undefined values, quotes and line feeds come back; an empty text is no null."""
    rows = [
        row(share=0.1 + 0.2, tau=np.float32(1 / 3), name='a "b",\nc', flag=False),
        row(id=1, share=None, share_reason="none, as it were"),
        row(id=2, share=1.0, share_reason=""),
        row(id=3, name="null"),
    ]
    back = read_csv(as_csv(tmp_path, *rows), FLAT)
    assert back.equals(FLAT.table({c.name: r[c.name] for c in FLAT.columns} for r in rows))
    assert back["share_reason"].to_pylist() == [None, "none, as it were", "", None]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"id"', b'"other"'),
        (b"0.5", b"half"),
        (b"0.5", b"1.5"),
        (b"0.5", b"nan"),
        (b",3,", b",3.5,"),
        (b",3,", b",,"),
        (b"true", b"maybe"),
        (b',"flag"', b""),
        (b'"id"', b'"\xff"'),
    ],
)
def test_a_broken_csv_file_is_refused_with_its_path(tmp_path, old, new):
    """Another column, type or range, or a value that must be defined, is named with its file."""
    path = as_csv(tmp_path, row())
    read_csv(path, FLAT)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(SchemaError, match=r"flat\.csv: not table flat as CSV"):
        read_csv(path, FLAT)


def test_rows_are_filtered_by_value():
    """``filter_rows`` gives the rows in which every named column has the given value."""
    table = SCHEMA.table([row(), row(id=1), row(id=1, name="b")])
    assert [r["name"] for r in filter_rows(table, id=1)] == ["a", "b"]
    assert len(filter_rows(table, id=1, name="b")) == 1
    assert filter_rows(table, id=5) == []
