"""The folder of an analysis: all of it, or none.

Files have the names that the pipeline gives them below a run:

    summary.txt                what the terminal shows
    tables/…                   T01, T04 and T05, as CSV and Parquet
    results/…                  null statistics, avalanches, signatures; g* where there are gains
    figs/…                     the figures that apply, as PDF and PNG

Everything is written to a hidden folder beside it, which takes the folder's name at the end: an
interrupted analysis leaves nothing. What is there already is never touched. The bytes depend on the
counts, their name, the options and the versions of the software, not on the place.
"""

from __future__ import annotations

import io
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from avalattice.analyze.analysis import Analysis
from avalattice.analyze.figures import drawings
from avalattice.analyze.words import summary_text
from avalattice.canon import OUTPUT, RunSubdir, TableId
from avalattice.errors import ResourceError, RunExistsError
from avalattice.export.schemas import AVALANCHES
from avalattice.export.tabular import write_csv, write_table
from avalattice.store.digests import canonical_json
from avalattice.store.files import TEMPORARY_SUFFIX

_FIGURE_NAMES = {"pdf": OUTPUT.FIG_FILE_PDF, "png": OUTPUT.FIG_FILE_PNG}


def check_free(folder: Path) -> None:
    """Refuse a place that is taken: a file, or a folder that is not empty.

    Raises:
        RunExistsError: something is there.
        ResourceError: the place cannot be looked at.
    """
    with _place_errors(folder):
        taken = any(folder.iterdir()) if folder.is_dir() else folder.exists()
    if taken:
        raise RunExistsError(
            f"{folder}: is there already and stays as it is; name another folder with --out, or "
            "remove it"
        )


def write_analysis(
    analysis: Analysis,
    folder: Path,
    *,
    figures: bool = True,
    advance: Callable[[], object] = lambda: None,
) -> None:
    """Write everything that was found to a new folder.

    Args:
        analysis: what was found.
        folder: where; it must not be there yet, or be empty.
        figures: draw figures too (needs matplotlib).
        advance: called after each figure.

    Raises:
        RunExistsError: the folder is there and not empty.
        ResourceError: it cannot be written.
    """
    check_free(folder)
    with _published(folder) as place:
        for relative, content in _files(analysis):
            _write(place / relative, content)
        for drawing in drawings(analysis) if figures else ():
            for suffix, content in drawing.files(analysis.provenance).items():
                _write(place / _FIGURE_NAMES[suffix][drawing.figure_id.name], content)
            advance()


def _files(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    """Every file but the figures, by its path in the folder."""
    yield OUTPUT.ANALYSIS_SUMMARY_TXT_BASENAME, summary_text(analysis).encode()
    for table_id, table in (
        (TableId.T01_SUMMARY, analysis.summary),
        (TableId.T04_TAIL_FITS, analysis.tail_fits),
        (TableId.T05_CRACKLING_DIAGNOSTICS, analysis.crackling),
    ):
        yield OUTPUT.TABLE_FILE_PARQUET[table_id.name], _bytes(write_table, table)
        yield OUTPUT.TABLE_FILE_CSV[table_id.name], _bytes(write_csv, table)
    results = {
        OUTPUT.NULL_STATISTICS_PARQUET_BASENAME: _bytes(write_table, analysis.null_statistics),
        OUTPUT.AVALANCHES_PARQUET_BASENAME: _bytes(
            write_table, AVALANCHES.table(analysis.avalanche_rows())
        ),
        OUTPUT.SIGNATURES_JSON_BASENAME: _json(analysis.signatures.model_dump(mode="json")),
    }
    if analysis.gstar is not None:
        results[OUTPUT.GSTAR_JSON_BASENAME] = _json(analysis.gstar.model_dump(mode="json"))
    for basename, content in results.items():
        yield f"{RunSubdir.RESULTS}/{basename}", content


def _bytes(write: Callable[[pa.Table, IO[bytes]], None], table: pa.Table) -> bytes:
    file = io.BytesIO()
    write(table, file)
    return file.getvalue()


def _json(value: Any) -> bytes:
    return canonical_json(value) + b"\n"


def _write(path: Path, content: bytes) -> None:
    with _place_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def _published(folder: Path) -> Iterator[Path]:
    """A hidden folder that takes another's place when the block ends well, and else goes."""
    temporary = folder.absolute().with_name(
        f".{folder.absolute().name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}"
    )
    try:
        with _place_errors(folder):
            temporary.mkdir(parents=True)
        yield temporary
        check_free(folder)  # it may have been made meanwhile
        with _place_errors(folder):
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _place_errors(path: Path) -> Iterator[None]:
    """What the operating system refuses about a place, with the remedy."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror}); free space, or name another folder "
            "with --out"
        ) from error
