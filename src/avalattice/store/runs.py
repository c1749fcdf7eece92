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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import filelock

from avalattice.canon import OUTPUT
from avalattice.errors import DependencyError, InputError, RunExistsError, VerificationError
from avalattice.store.digests import canonical_json, found_digest, sha256_json
from avalattice.store.files import (
    TEMPORARY_SUFFIX,
    fsync_folder,
    make_folder,
    replace_atomically,
    resource_errors,
)
from avalattice.store.reader import RunReader
from avalattice.store.record import RunRecord, read_record
from avalattice.store.writer import RunWriter, utc_now

_LOCKS = ".locks"
_HEX_DIGITS = 12


def make_run_id(stage_tag: str, scope_sha256: str) -> str:
    """The id of the run of a stage with the given identity digest."""
    return f"RUN_{stage_tag}_{scope_sha256[:_HEX_DIGITS]}"


def identity_digest(identity: Mapping[str, Any]) -> str:
    """The digest that a run id begins with."""
    return sha256_json(identity)


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

    def behind(self, run_id: str) -> list[str]:
        """A run and everything that it rests on, upstream first.

        Raises:
            DependencyError: one of them is missing or incomplete.
            VerificationError: a record is damaged.
        """
        needs: dict[str, list[str]] = {}
        queue = [run_id]
        for each in queue:  # grows while it is walked
            if each not in needs:
                record = self.open(each).record
                needs[each] = [dependency.run_id for dependency in record.dependencies]
                queue += needs[each]
        return list(TopologicalSorter(needs).static_order())

    def _needs(self) -> Iterator[tuple[str, str]]:
        for run_id in self.run_ids():
            try:
                record = read_record(self.folder(run_id))
            except VerificationError:
                continue  # a damaged run holds nothing back
            yield from ((run_id, dependency.run_id) for dependency in record.dependencies)


def _owner_text(owner: Path) -> str:
    try:
        known = json.loads(owner.read_text(encoding="utf-8"))
        return f"process {known['pid']} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
