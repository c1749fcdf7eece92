"""Verification: every byte of every run against its digest, and every run against its upstreams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from avalattice.canon import OUTPUT, RunSubdir
from avalattice.errors import AvalatticeError, VerificationError
from avalattice.store.digests import found_digest, sha256_json
from avalattice.store.record import RunRecord, read_record
from avalattice.store.runs import RunStore, make_run_id

_FINDER = ".DS_Store"  # macOS puts one into every folder that a person looks at

SchemaCheck: TypeAlias = Callable[[Path], object]
"""Raises an :class:`AvalatticeError` if the file breaks its schema."""
RunCheck: TypeAlias = Callable[[RunRecord], Sequence[str]]


@dataclass(frozen=True)
class Verification:
    """What was found."""

    complete: list[str]
    """Runs that were checked."""
    incomplete: list[str]
    """Runs that are unfinished, which is no fault."""
    faults: list[str]
    """One line for each fault."""


def verify_runs(
    store: RunStore,
    run_ids: Sequence[str] | None = None,
    *,
    schemas: Mapping[str, SchemaCheck],
    deep: RunCheck | None = None,
) -> Verification:
    """Check runs and everything they rest on.

    Args:
        store: the folder of runs.
        run_ids: the runs to check, with their upstreams; None checks all.
        schemas: by file name, what each artifact must look like inside.
        deep: a further check of each record, such as re-hashing the model's files.
    """
    complete: list[str] = []
    incomplete: list[str] = []
    faults: list[str] = []
    queue = list(dict.fromkeys(store.run_ids() if run_ids is None else run_ids))
    for run_id in queue:  # grows while it is walked
        try:
            record = read_record(store.folder(run_id))
        except VerificationError as error:
            faults.append(str(error))
            continue
        upstreams = (d.run_id for d in record.dependencies if store.folder(d.run_id).is_dir())
        queue.extend(upstream for upstream in upstreams if upstream not in queue)
        (complete if record.status == "complete" else incomplete).append(run_id)
        faults.extend(_identity_faults(run_id, record))
        faults.extend(_dependency_faults(store, record))
        if record.status == "complete":
            faults.extend(_artifact_faults(store.folder(run_id), record, schemas))
            faults.extend(deep(record) if deep else ())
    return Verification(complete, incomplete, faults)


def _identity_faults(run_id: str, record: RunRecord) -> Iterator[str]:
    digest = sha256_json(record.identity)
    if digest != record.scope_sha256:
        yield f"{run_id}: scope_sha256 is {record.scope_sha256}, the identity gives {digest}"
    if {record.run_id, make_run_id(record.stage_id, digest)} != {run_id}:
        yield f"{run_id}: the folder's name is not that of {make_run_id(record.stage_id, digest)}"


def _dependency_faults(store: RunStore, record: RunRecord) -> Iterator[str]:
    for dependency in record.dependencies:
        where = f"{record.run_id} rests on {dependency.run_id}"
        if not store.folder(dependency.run_id).is_dir():
            yield f"{where}, which is not in {store.root}"
            continue
        try:
            upstream = read_record(store.folder(dependency.run_id))
        except VerificationError:
            continue  # reported when that run is checked
        if upstream.sha256 != dependency.record_sha256:
            yield f"{where} with record {dependency.record_sha256}, found {upstream.sha256}"
        for name, digest in dependency.artifacts.items():
            entry = upstream.artifact_index.get(name)
            if entry is None or entry.sha256 != digest:
                yield f"{where} with {name} {digest}, found {entry.sha256 if entry else 'none'}"


def _artifact_faults(
    folder: Path, record: RunRecord, schemas: Mapping[str, SchemaCheck]
) -> Iterator[str]:
    for name, entry in record.artifact_index.items():
        path = folder / name
        found = found_digest(path)
        if found != entry.sha256:
            yield f"{path}: sha256 should be {entry.sha256}, found {found}"
        elif PurePosixPath(name).name in schemas:
            yield from _schema_faults(path, schemas[path.name])
    yield from _stray_files(folder, record)


def _schema_faults(path: Path, check: SchemaCheck) -> Iterator[str]:
    try:
        check(path)
    except AvalatticeError as error:
        text = str(error)
        yield text if str(path) in text else f"{path}: {text}"


def _stray_files(folder: Path, record: RunRecord) -> Iterator[str]:
    known = {OUTPUT.RUN_RECORD_JSON, *record.artifact_index}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        ignored = path.name == _FINDER or name.startswith(f"{RunSubdir.CACHE}/")
        if path.is_file() and name not in known and not ignored:
            yield f"{path}: the record lists no such file"
