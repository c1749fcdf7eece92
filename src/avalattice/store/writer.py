"""Writing a run: artifacts that appear whole and are then indexed, partial results, log, costs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import IO, Any

import numpy as np

from avalattice.arrays import ArraySpec, BlockArray, read_npz, write_npz
from avalattice.canon import OUTPUT, RunSubdir
from avalattice.errors import VerificationError
from avalattice.store.digests import canonical_json, sha256_file
from avalattice.store.environment import peak_memory_bytes
from avalattice.store.files import (
    TEMPORARY_SUFFIX,
    flush_to_disk,
    fsync_folder,
    make_folder,
    resource_errors,
    take_write_permission,
    writing,
)
from avalattice.store.record import Artifact, RunRecord

_SHA256_DIGITS = 64
EVENTS_LOG = f"{RunSubdir.LOGS}/{OUTPUT.EVENTS_JSONL_BASENAME}"


def utc_now() -> str:
    """The present time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunWriter:
    """A run that is being written; obtained from :meth:`RunStore.create`."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder = folder
        self.record = record
        self._started = time.monotonic()
        make_folder(folder / RunSubdir.LOGS)
        make_folder(folder / RunSubdir.CACHE)
        self._log = _open_log(folder / EVENTS_LOG)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.record.run_id

    # ---------------------------------------------------------------- artifacts

    def write(self, relative: str, write: Callable[[IO[bytes]], object]) -> Path:
        """Write one artifact and index it.

        Args:
            relative: path below the run.
            write: fills the opened binary file.

        Raises:
            VerificationError: the artifact was there already (a resumed run) and the new bytes
                differ: the computation is not deterministic.
            ResourceError: the disk is full or the place read-only.
        """
        path = self.folder / relative
        make_folder(path.parent)
        with writing(path) as file:
            write(file)
            file.flush()
            entry = Artifact(
                sha256=sha256_file(Path(file.name)), bytes=file.tell(), created_utc=utc_now()
            )
            self._check_same(relative, entry)
        self.record.artifact_index[relative] = entry
        self.record.write(self.folder)
        return path

    def _check_same(self, relative: str, entry: Artifact) -> None:
        known = self.record.artifact_index.get(relative)
        if known is not None and known.sha256 != entry.sha256:
            raise VerificationError(
                f"{self.folder / relative}: written before with sha256 {known.sha256}, now "
                f"{entry.sha256}: the computation gave other bytes when it was resumed"
            )

    def write_bytes(self, relative: str, content: bytes) -> Path:
        """Write an artifact from bytes."""
        return self.write(relative, lambda file: file.write(content))

    def write_json(self, relative: str, value: Any) -> Path:
        """Write an artifact as canonical JSON, with a line feed at its end."""
        return self.write_bytes(relative, canonical_json(value) + b"\n")

    def write_npz(self, relative: str, arrays: Mapping[str, np.ndarray | BlockArray]) -> Path:
        """Write an artifact as an NPZ file."""
        return self.write(relative, lambda file: write_npz(file, arrays))

    # ---------------------------------------------------------- partial results

    def partial(
        self,
        key: str,
        expected: Mapping[str, ArraySpec],
        compute: Callable[[], Mapping[str, np.ndarray]],
        *,
        lazy: bool = False,
    ) -> dict[str, np.ndarray]:
        """A partial result: read back if a verified one is there, computed and kept otherwise."""
        path = self._find_partial(key)
        if path is None:
            path = self._keep_partial(key, compute())
        return read_npz(path, expected, lazy=lazy)

    def _find_partial(self, key: str) -> Path | None:
        any_digest = "?" * _SHA256_DIGITS  # so that the key g1 does not find those of g1.0
        for path in (self.folder / RunSubdir.CACHE).glob(f"{escape(key)}.{any_digest}.npz"):
            if path.name == f"{key}.{sha256_file(path)}.npz":
                return path
            path.unlink()  # damaged: as good as missing
        return None

    def _keep_partial(self, key: str, arrays: Mapping[str, np.ndarray]) -> Path:
        unnamed = self.folder / RunSubdir.CACHE / f"{key}{TEMPORARY_SUFFIX}"
        with writing(unnamed) as file:
            write_npz(file, arrays)
        named = unnamed.with_name(f"{key}.{sha256_file(unnamed)}.npz")
        with resource_errors(named):
            unnamed.replace(named)
            fsync_folder(named.parent)
        self.record.write(self.folder)  # so that the cost so far survives
        return named

    # ------------------------------------------------------------ log and costs

    def log(self, event: str, **fields: Any) -> None:
        """Append one line to ``logs/events.jsonl``."""
        line = {"utc": utc_now(), "event": event, **fields}
        with resource_errors(self.folder / EVENTS_LOG):
            self._log.write(canonical_json(line).decode() + "\n")
            self._log.flush()

    def note(self, text: str) -> None:
        """Put a remark into the record, once."""
        if text not in self.record.notes:
            self.record.notes.append(text)
            self.log("note", text=text)

    def count_forward(self, windows: int, tokens: int) -> None:
        """Count windows passed through the model."""
        self.record.cost.forward_windows += windows
        self.record.cost.forward_tokens += tokens

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step of the stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = self.record.cost.seconds
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - start, 3)

    # --------------------------------------------------------------- completion

    def close(self) -> None:
        """Close the log without completing the run."""
        self._log.close()

    def complete(self) -> None:
        """Index the log, declare the run complete, and take write permission from its files."""
        self.log("complete", run_id=self.run_id)
        with resource_errors(self.folder / EVENTS_LOG):
            flush_to_disk(self._log.fileno())
            self.close()
            log = self.folder / EVENTS_LOG
            fsync_folder(log.parent)
        self.record.artifact_index[EVENTS_LOG] = Artifact(
            sha256=sha256_file(log), bytes=log.stat().st_size, created_utc=utc_now()
        )
        self.record.cost.peak_memory_bytes = max(
            self.record.cost.peak_memory_bytes, peak_memory_bytes()
        )
        self.record.finished_utc = utc_now()
        self.record.status = "complete"
        self.record.write(self.folder)
        self._settle()

    def _settle(self) -> None:
        """What may fail without harm, such as where permissions cannot be changed."""
        shutil.rmtree(self.folder / RunSubdir.CACHE, ignore_errors=True)
        for path in self.folder.rglob("*"):
            with suppress(OSError):
                if path.is_file():
                    take_write_permission(path)


def _open_log(path: Path) -> IO[str]:
    """The log, opened at its end, without the torn last line that a full disk leaves."""
    with resource_errors(path):
        if path.exists():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        return path.open("a", encoding="utf-8")
