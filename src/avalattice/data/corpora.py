"""Corpora: documents from a hub, a file, or the text inside an installed Python package.

=========================================  =====================================================
source                                     documents
=========================================  =====================================================
``hf:ORG/NAME[/CONFIG]:SPLIT@REVISION``    records of a Hub dataset
``file:PATH``                              a .txt file, or the records of .jsonl or .parquet
``pkg:MODULE``                             the string literals of a module's data, or docstrings
=========================================  =====================================================

Packages are located, never imported: their source is parsed, not run.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avalattice.data.packages import locate
from avalattice.data.records import HubSource, data_file, numbered_lines, read_text
from avalattice.errors import DataError


@dataclass(frozen=True)
class Corpus:
    """An ordered collection of documents."""

    source: str
    """The source as written in the configuration."""
    revision: str | None
    """The hub revision, where the source names one."""
    documents: Callable[[], Iterator[str]]
    """Gives the documents anew, in order."""


def open_corpus(source: str, *, text_field: str) -> Corpus:
    """The corpus that a source names.

    Args:
        source: one of the forms of the module's table.
        text_field: the field of records that holds the text.

    Raises:
        DataError: the source has no known form, or nothing is there; the message says where it
            looked.
    """
    kind, _, rest = source.partition(":")
    if kind == "file":
        return Corpus(source, None, _file_documents(Path(rest).expanduser(), text_field))
    if kind == "pkg":
        return Corpus(source, None, _package_documents(rest))
    if kind == "hf":
        return _hub_corpus(source, text_field)
    raise DataError(
        f"data source {source!r}: use hf:ORG/NAME[/CONFIG]:SPLIT@REVISION, file:PATH or pkg:MODULE"
    )


# ------------------------------------------------------------------------------------- files


def _file_documents(path: Path, text_field: str) -> Callable[[], Iterator[str]]:
    readers: dict[str, Callable[[], Iterator[str]]] = {
        ".txt": lambda: iter([read_text(path)]),
        ".jsonl": lambda: _jsonl_documents(path, text_field),
        ".parquet": lambda: _parquet_documents(path, text_field),
    }
    return readers[data_file(path, readers).suffix]


def _jsonl_documents(path: Path, text_field: str) -> Iterator[str]:
    for where, line in numbered_lines(path):
        try:
            text = json.loads(line)[text_field]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{where}: no JSON record with the text field {text_field!r} "
                f"(the setting text_field): {error}"
            ) from error
        yield _as_text(text, where, text_field)


def _parquet_documents(path: Path, text_field: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"data file {path}: not a Parquet file ({error})") from error
    if text_field not in file.schema_arrow.names:
        raise DataError(
            f"data file {path}: no column {text_field!r} (the setting text_field); "
            f"it has {', '.join(file.schema_arrow.names)}"
        )
    for batch in file.iter_batches(columns=[text_field]):
        yield from (_as_text(t, str(path), text_field) for t in batch.column(0).to_pylist())


def _as_text(value: object, where: str, text_field: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: {text_field!r} holds {type(value).__name__}, not text")
    return value


# ---------------------------------------------------------------------------------- packages


def _package_documents(module: str) -> Callable[[], Iterator[str]]:
    spec = locate(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise DataError(f"data source pkg:{module}: no such installed module with Python source")
    origin = Path(spec.origin)
    files = [origin] if origin.name != "__init__.py" else sorted(origin.parent.rglob("*.py"))
    return lambda: (text for file in files for text in _literal_texts(file))


def _literal_texts(file: Path) -> Iterator[str]:
    """Docstrings, then the strings inside top-level literal containers, each in source order."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # a template or a test of broken source inside a package is no text
    yield from _docstrings(tree)
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            yield from _container_texts(statement.value)


def _docstrings(tree: ast.Module) -> Iterator[str]:
    documented = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    below = [node for node in ast.walk(tree) if isinstance(node, documented)]
    for node in (tree, *sorted(below, key=lambda node: node.lineno)):
        if text := ast.get_docstring(node):
            yield text


def _container_texts(node: ast.expr) -> Iterator[str]:
    items: Iterable[ast.expr] = ()
    if isinstance(node, ast.Dict):
        items = node.values
    elif isinstance(node, ast.List | ast.Tuple):
        items = node.elts
    for item in items:
        if isinstance(item, ast.Constant) and isinstance(item.value, str):
            yield item.value


# --------------------------------------------------------------------------------------- hub


def _hub_corpus(source: str, text_field: str) -> Corpus:
    hub = HubSource.parse(source)

    def documents() -> Iterator[str]:
        for record in hub.records():
            if text_field not in record:
                raise DataError(
                    f"{source}: no field {text_field!r} (the setting text_field); "
                    f"records have {', '.join(record)}"
                )
            yield _as_text(record[text_field], source, text_field)

    return Corpus(source, hub.revision, documents)
