"""Runs: created under a lock, written artifact by artifact, completed by one atomic replacement.

A run is a folder ``RUN_<tag>_<12 hex>`` whose hexadecimal digits begin the digest of its identity.
It is absent, incomplete or complete, whenever the process dies:

1. the lock ``.locks/<run_id>.lock`` is taken before anything is looked at, and held to the end;
2. the folder appears by a rename, with its record (``incomplete``) already inside;
3. an artifact is written under another name, flushed, renamed, and then indexed in the record;
4. last, the record is replaced by one that says ``complete``, and files lose write permission.

Partial results under ``cache/`` carry their digest in their name; resuming starts from those.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from glob import escape
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, Any

import filelock
import numpy as np

from avalattice.arrays import ArraySpec, BlockArray, read_npz, write_npz
from avalattice.canon import OUTPUT, RunSubdir
from avalattice.errors import DependencyError, InputError, RunExistsError, VerificationError
from avalattice.store.digests import canonical_json, found_digest, sha256_file, sha256_json
from avalattice.store.environment import peak_memory_bytes
from avalattice.store.files import (
    TEMPORARY_SUFFIX,
    flush_to_disk,
    fsync_folder,
    make_folder,
    replace_atomically,
    resource_errors,
    take_write_permission,
    writing,
)
from avalattice.store.record import Artifact, DependencyRecord, RunRecord, read_record

_LOCKS = ".locks"
_HEX_DIGITS = 12
_SHA256_DIGITS = 64
EVENTS_LOG = f"{RunSubdir.LOGS}/{OUTPUT.EVENTS_JSONL_BASENAME}"


def utc_now() -> str:
    """The present time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def make_run_id(stage_tag: str, scope_sha256: str) -> str:
    """The id of the run of a stage with the given identity digest."""
    return f"RUN_{stage_tag}_{scope_sha256[:_HEX_DIGITS]}"


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


class RunStore:
    """The folder of runs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, run_id: str) -> Path:
        """Where a run is, or would be."""
        return self.root / run_id

    def run_ids(self) -> list[str]:
        """Every run that is there, complete or not, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(
            path.name
            for path in self.root.iterdir()
            if path.name.startswith("RUN_") and path.is_dir()
        )

    def status(self, run_id: str) -> str:
        """``absent``, ``incomplete``, ``complete`` or ``damaged``."""
        if not self.folder(run_id).is_dir():
            return "absent"
        try:
            return read_record(self.folder(run_id)).status
        except VerificationError:
            return "damaged"

    def open(self, run_id: str) -> RunReader:
        """A complete run, for reading.

        Raises:
            DependencyError: the run is not there, or not complete.
            VerificationError: its record is damaged.
        """
        folder = self.folder(run_id)
        if not folder.is_dir():
            raise DependencyError(f"{folder}: no such run")
        record = read_record(folder)
        if record.run_id != run_id:
            raise VerificationError(f"{folder}: the record is that of {record.run_id}")
        if record.status != "complete":
            raise DependencyError(f"{folder}: the run is {record.status}")
        return RunReader(folder, record)

    @contextmanager
    def lock(self, run_id: str) -> Iterator[None]:
        """Hold a run's lock, without waiting for it.

        Raises:
            RunExistsError: another process holds it; the message has its pid and start time.
        """
        locks = self.root / _LOCKS
        make_folder(locks)
        owner = locks / f"{run_id}.owner"
        with resource_errors(locks / f"{run_id}.lock"):
            lock = filelock.FileLock(locks / f"{run_id}.lock", blocking=False)
            try:
                lock.acquire()
            except filelock.Timeout:
                raise RunExistsError(
                    f"{run_id} is being written by {_owner_text(owner)}; wait for it to end"
                ) from None
        try:
            replace_atomically(owner, canonical_json({"pid": os.getpid(), "since": utc_now()}))
            yield
        finally:
            lock.release()

    @contextmanager
    def create(
        self, record: RunRecord, config_yaml: str, *, allow_resume: bool
    ) -> Iterator[RunWriter]:
        """Create or resume a run, and complete it when the block ends well.

        Raises:
            RunExistsError: the run is complete, is being written, or is incomplete and
                ``allow_resume`` is false.
        """
        with self.lock(record.run_id):
            folder = self.folder(record.run_id)
            if folder.exists():
                record = self._resume(folder, record, allow_resume=allow_resume)
            else:
                self._appear(folder, record)
            writer = RunWriter(folder, record)
            try:
                if OUTPUT.CONFIG_RESOLVED_YAML not in record.artifact_index:
                    writer.write_bytes(OUTPUT.CONFIG_RESOLVED_YAML, config_yaml.encode())
                yield writer
                writer.complete()
            except BaseException as error:
                with suppress(Exception):  # the disk may be full, or the log closed already
                    writer.log("interrupted", error=type(error).__name__)
                raise
            finally:
                with suppress(OSError):  # what the log could not write was reported when it was
                    writer.close()

    def _appear(self, folder: Path, record: RunRecord) -> None:
        """Make the folder appear with its record inside, so that no run is without one."""
        unnamed = folder.with_name(f".{folder.name}{TEMPORARY_SUFFIX}")
        with resource_errors(unnamed):
            if unnamed.exists():
                shutil.rmtree(unnamed)
        make_folder(unnamed)
        record.write(unnamed)
        with resource_errors(folder):
            unnamed.replace(folder)
            fsync_folder(self.root)

    def _resume(self, folder: Path, record: RunRecord, *, allow_resume: bool) -> RunRecord:
        try:
            known = read_record(folder)
        except VerificationError as error:
            remedy = f"remove the run with `avalattice rm {folder.name}`, then repeat"
            raise VerificationError(f"{error}; {remedy}") from error
        if known.scope_sha256 != record.scope_sha256:
            raise RunExistsError(
                f"{folder}: another run has this id (its identity is {known.scope_sha256}, "
                f"this one's {record.scope_sha256}): use another --runs-dir"
            )
        if known.status == "complete":
            raise RunExistsError(f"{folder} is complete; its results can be used as they are")
        if not allow_resume:
            raise RunExistsError(
                f"{folder} is incomplete: repeat with --allow-resume to finish it, or remove it "
                f"with `avalattice rm {known.run_id}`"
            )
        for leftover in folder.rglob(f"*{TEMPORARY_SUFFIX}"):
            with resource_errors(leftover):
                leftover.unlink()
        known.artifact_index = {
            name: entry
            for name, entry in known.artifact_index.items()
            if found_digest(folder / name) == entry.sha256
        }
        known.dependencies = record.dependencies  # the same bytes, perhaps of a run made anew
        now, then = record.environment, known.environment
        if now != then:
            changed = ", ".join(sorted(key for key in now if now[key] != then.get(key)))
            known.notes.append(f"resumed {utc_now()} in another environment: {changed}")
        return known

    def remove(self, run_ids: Sequence[str]) -> None:
        """Remove runs, refusing those that other runs rest on.

        Raises:
            InputError: no such run, or a run that is kept rests on one of them.
            RunExistsError: a run is being written.
        """
        chosen, known = dict.fromkeys(run_ids), self.run_ids()
        for run_id in chosen:
            if run_id not in known:
                raise InputError(f"{self.folder(run_id)}: no such run")
        with ExitStack() as locks:
            for run_id in chosen:  # all of them, before the first is removed
                locks.enter_context(self.lock(run_id))
            order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(chosen, ()))
            for user, needed in self._needs():
                if needed in chosen and user not in chosen:
                    raise InputError(
                        f"{needed} stays: {user} rests on it (remove that first, or both)"
                    )
                if needed in chosen:
                    order.add(needed, user)
            for run_id in order.static_order():  # users first, in case this is interrupted
                self._remove(run_id)

    def _remove(self, run_id: str) -> None:
        folder, leaving = self.folder(run_id), self.root / f".{run_id}.removed"
        with resource_errors(folder):
            if leaving.exists():  # from a removal that was interrupted
                shutil.rmtree(leaving)
            folder.replace(leaving)  # a run that is half removed must not look like a run
            fsync_folder(self.root)
            shutil.rmtree(leaving)

    def with_dependents(self, run_ids: Sequence[str]) -> list[str]:
        """The runs and every run that rests on them, however far."""
        needs, found = list(self._needs()), list(run_ids)
        for run_id in found:  # grows while it is walked
            found += [user for user, needed in needs if needed == run_id and user not in found]
        return found

    def _needs(self) -> Iterator[tuple[str, str]]:
        for run_id in self.run_ids():
            try:
                record = read_record(self.folder(run_id))
            except VerificationError:
                continue  # a damaged run holds nothing back
            yield from ((run_id, dependency.run_id) for dependency in record.dependencies)


def _open_log(path: Path) -> IO[str]:
    """The log, opened at its end, without the torn last line that a full disk leaves."""
    with resource_errors(path):
        if path.exists():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        return path.open("a", encoding="utf-8")


def _owner_text(owner: Path) -> str:
    try:
        known = json.loads(owner.read_text(encoding="utf-8"))
        return f"process {known['pid']} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def identity_digest(identity: Mapping[str, Any]) -> str:
    """The digest that a run id begins with."""
    return sha256_json(identity)
