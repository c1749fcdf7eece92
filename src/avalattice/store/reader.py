"""Reading a complete run: every artifact is hashed before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avalattice.arrays import ArraySpec, read_npz
from avalattice.errors import DependencyError
from avalattice.store.digests import found_digest
from avalattice.store.record import DependencyRecord, RunRecord


class RunReader:
    """A complete run, read only through verified artifacts."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder = folder
        self.record = record
        self._verified: dict[str, Path] = {}

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.record.run_id

    def path(self, relative: str) -> Path:
        """The path of an artifact whose bytes are what the record says.

        Raises:
            DependencyError: the record lists no such artifact, or the file is missing or differs.
        """
        if relative not in self._verified:
            self._verified[relative] = self._verify(relative)
        return self._verified[relative]

    def _verify(self, relative: str) -> Path:
        path = self.folder / relative
        entry = self.record.artifact_index.get(relative)
        if entry is None:
            raise DependencyError(f"{self.run_id}: the record lists no artifact {relative}")
        found = found_digest(path)
        if found != entry.sha256:
            raise DependencyError(
                f"{path}: sha256 should be {entry.sha256}, found {found}. Remove the damaged run "
                f"(avalattice rm --dependents {self.run_id}) and run its stage again"
            )
        return path

    def json(self, relative: str) -> Any:
        """A JSON artifact."""
        return json.loads(self.path(relative).read_text(encoding="utf-8"))

    def npz(
        self, relative: str, expected: Mapping[str, ArraySpec], *, lazy: bool = False
    ) -> dict[str, np.ndarray]:
        """The arrays of an NPZ artifact."""
        return read_npz(self.path(relative), expected, lazy=lazy)

    def as_dependency(
        self, artifacts: Sequence[str], *, overridden: bool = False
    ) -> DependencyRecord:
        """What a downstream run records of this one, after checking each artifact."""
        for relative in artifacts:
            self.path(relative)
        return DependencyRecord(
            run_id=self.run_id,
            stage_id=self.record.stage_id,
            record_sha256=self.record.sha256,
            artifacts={name: self.record.artifact_index[name].sha256 for name in artifacts},
            overridden=overridden,
        )
