"""Tables: each has one declared schema, checked before it is written and again by ``verify``.

A schema lists its columns with type, unit, meaning, allowed range and whether a value may be
undefined. Undefined values are null, and a ``*_reason`` column says why. The schema's name is kept
in the Parquet file's metadata.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from avalattice.errors import SchemaError

_SCHEMA_KEY = b"avalattice_schema"
F64, F32, I64, I32 = pa.float64(), pa.float32(), pa.int64(), pa.int32()
TEXT, BOOL = pa.string(), pa.bool_()
F32_LIST, F64_LIST = pa.list_(pa.float32()), pa.list_(pa.float64())
I32_LIST, TEXT_LIST = pa.list_(pa.int32()), pa.list_(pa.string())


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    low: float | None = None
    """Smallest allowed value."""
    high: float | None = None
    """Largest allowed value."""
    nullable: bool = False
    """Whether the value may be undefined."""


@dataclass(frozen=True)
class TableSchema:
    """A table's columns and key."""

    name: str
    key: tuple[str, ...]
    """Columns that together identify a row."""
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema, with the table's name in its metadata."""
        fields = [pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns]
        return pa.schema(fields, metadata={_SCHEMA_KEY: self.name.encode()})

    def table(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """A validated table of rows; NaN becomes null.

        Raises:
            SchemaError: a column is missing, unknown, or breaks the schema.
        """
        rows = list(rows)
        names = [column.name for column in self.columns]
        for row in rows:
            if row.keys() != set(names):
                odd = sorted(set(row) ^ set(names))
                raise SchemaError(f"table {self.name}: columns {odd} do not fit the schema")
        try:
            columns = [
                _arrow_array([_null_if_nan(row[c.name]) for row in rows], c.type)
                for c in self.columns
            ]
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise SchemaError(f"table {self.name}: {error}") from error
        table = pa.table(columns, schema=self.arrow)
        self.validate(table)
        return table

    def validate(self, table: pa.Table) -> None:
        """Check columns, types, nulls, ranges and that the key is unique.

        Raises:
            SchemaError: naming table, column, what is allowed and what was found.
        """
        if table.schema.names != self.arrow.names or table.schema.types != self.arrow.types:
            expected, found = (
                [f"{field.name}: {field.type}" for field in schema]
                for schema in (self.arrow, table.schema)
            )
            raise SchemaError(f"table {self.name}: columns should be {expected}, found {found}")
        for column in self.columns:
            self._validate_column(column, table[column.name])
        keys = list(zip(*(table[name].to_pylist() for name in self.key), strict=True))
        if len(set(keys)) < len(keys):
            raise SchemaError(f"table {self.name}: the key {self.key} is not unique")

    def _validate_column(self, column: Column, values: pa.ChunkedArray) -> None:
        where = f"table {self.name}, column {column.name}"
        if values.null_count and not column.nullable:
            raise SchemaError(f"{where}: {values.null_count} values are undefined")
        if pa.types.is_floating(column.type) and pc.any(pc.is_nan(values)).as_py():
            raise SchemaError(f"{where}: holds NaN, but undefined values are null")
        if pa.types.is_nested(column.type) or (column.low is None and column.high is None):
            return
        ends = pc.min_max(values).as_py()
        for end, limit, wrong in (
            ("min", column.low, np.less),
            ("max", column.high, np.greater),
        ):
            if limit is not None and ends[end] is not None and wrong(ends[end], limit):
                raise SchemaError(f"{where}: {end} {ends[end]} lies beyond {limit}")


def _null_if_nan(value: Any) -> Any:
    return None if isinstance(value, float | np.floating) and np.isnan(value) else value


def _arrow_array(values: list[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_integer(dtype):  # pyarrow would cut fractions off
        values = [value if value is None else operator.index(value) for value in values]
    return pa.array(values, type=dtype)


def write_table(table: pa.Table, file: IO[bytes]) -> None:
    """Write Parquet with a fixed writer configuration: equal tables give equal bytes."""
    pq.write_table(
        table,
        file,
        version="2.6",
        compression="none",
        use_dictionary=False,
        data_page_version="1.0",
        write_statistics=True,
        row_group_size=1 << 20,
    )


def write_csv(table: pa.Table, file: IO[bytes]) -> None:
    """Write CSV: numbers in their shortest exact form, undefined values as empty fields."""
    csv.write_csv(table, file, csv.WriteOptions(quoting_style="needed"))


def read_table(path: Path, schema: TableSchema) -> pa.Table:
    """Read and validate a table.

    Raises:
        SchemaError: the file is no Parquet file, or breaks the schema.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SchemaError(f"{path}: not a readable Parquet file ({error})") from error
    try:
        schema.validate(table)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from error
    return table


def read_csv(path: Path, schema: TableSchema) -> pa.Table:
    """Read and validate a table's CSV form: the same table as its Parquet form.

    Raises:
        SchemaError: the file is no such CSV file, or breaks the schema.
    """
    options = csv.ConvertOptions(
        column_types=schema.arrow,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    try:
        table = csv.read_csv(path, convert_options=options)
        schema.validate(table)
    except (pa.ArrowException, OSError, UnicodeError, SchemaError) as error:
        raise SchemaError(f"{path}: not table {schema.name} as CSV ({error})") from error
    return table.cast(schema.arrow)  # with what CSV cannot say: the name, and which are never null


def check_table(path: Path, schemas: Sequence[TableSchema]) -> None:
    """Validate a table against the schema that its metadata names.

    Raises:
        SchemaError: the schema is unknown, or the table breaks it.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise SchemaError(f"{path}: not a readable Parquet file ({error})") from error
    name = metadata.get(_SCHEMA_KEY, b"").decode()
    schema = next((schema for schema in schemas if schema.name == name), None)
    if schema is None:
        raise SchemaError(f"{path}: unknown table schema {name!r}")
    read_table(path, schema)


def filter_rows(table: pa.Table, **equal: object) -> list[dict[str, Any]]:
    """The rows whose columns have the given values."""
    return [
        row for row in table.to_pylist() if all(row[name] == value for name, value in equal.items())
    ]
