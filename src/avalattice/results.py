"""Reading runs from Python: every byte is verified before it is used."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from avalattice.canon import (
    OUTPUT,
    RunSubdir,
)
from avalattice.errors import DependencyError
from avalattice.lattice.rasters import Condition, Rasters, load_rasters
from avalattice.store.reader import RunReader
from avalattice.store.record import RunRecord
from avalattice.store.runs import RunStore

_RASTER_FILES = (
    OUTPUT.RASTER_NPZ_BASENAME,
    OUTPUT.GRID_RASTER_NPZ_BASENAME,
    OUTPUT.NULL_NPZ_BASENAME,
)


class Run:
    """A complete run."""

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader

    def __repr__(self) -> str:
        return f"Run({str(self._reader.folder)!r})"

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._reader.run_id

    @property
    def record(self) -> RunRecord:
        """The run's record."""
        return self._reader.record

    def path(self, relative: str) -> Path:
        """The path of an artifact, after checking its digest.

        Raises:
            DependencyError: there is no such artifact, or its bytes are not what the record says.
        """
        return self._reader.path(relative)

    def table(self, name: str) -> pa.Table:
        """A Parquet table of the results folder, ``metrics`` for example."""
        return pq.read_table(
            self.path(f"{RunSubdir.RESULTS}/{name.removesuffix('.parquet')}.parquet")
        )

    def rasters(self) -> Rasters:
        """The run's rasters, with the condition of each cond_id.

        Raises:
            DependencyError: this stage writes no rasters.
        """
        for name in _RASTER_FILES:
            relative = f"{RunSubdir.RESULTS}/{name}"
            if relative in self.record.artifact_index:
                conditions = tuple(Condition.from_json(entry) for entry in self.record.conditions)
                return load_rasters(self.path(relative), conditions)
        raise DependencyError(f"{self.run_id} holds no rasters; runs of S02, S03, S04 and S06B do")


def open_run(path: str | Path) -> Run:
    """Open a complete run.

    Args:
        path: the run's folder.

    Raises:
        DependencyError: the run is not there, or not complete.
        VerificationError: its record is damaged.
    """
    folder = Path(path)
    return Run(RunStore(folder.parent).open(folder.name))
