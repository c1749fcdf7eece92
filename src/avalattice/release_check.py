"""Verifying a release on another machine: the archive, its manifest, its description, its runs.

Each looks at the bytes in its own way: the manifest at every file, the description at every file
and run, the records at every artifact and at the runs that they rest on. What somebody changes in
one of them shows in the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from avalattice.canon import OUTPUT, PATH, PROJECT_ID
from avalattice.errors import ResourceError, SchemaError, VerificationError
from avalattice.export.archive import Unpacked, unpack_zip, unpacked_folder
from avalattice.export.crate_reader import DESCRIBED_ELSEWHERE, crate_faults, read_crate
from avalattice.export.pack_names import name_fault
from avalattice.export.release import manifest_faults, read_manifest
from avalattice.store.record import RunRecord, read_record
from avalattice.store.runs import RunStore
from avalattice.store.verify import SchemaCheck, Verification, verify_runs


def verify_release(path: Path, *, schemas: Mapping[str, SchemaCheck]) -> Verification:
    """Check every byte of a release. Nothing of it stays on the disk.

    Args:
        path: the archive, or the folder that somebody has unpacked it into.
        schemas: by file name, what each artifact must look like inside.

    Returns:
        The runs that it holds, and one line for each fault, in which names are those within the
        release.

    Raises:
        InputError: there is no such file.
        VerificationError: it is no zip, or a name in it leads out of its place; nothing has been
            written or read there.
        ResourceError: there is no room to unpack it.
    """
    if path.is_dir():
        return _verify_pack(path.resolve(), unpacked_folder(path), schemas)
    with tempfile.TemporaryDirectory(prefix=f"{PROJECT_ID}-") as place:
        root = Path(place).resolve()
        try:
            unpacked = unpack_zip(path, root)
        except OSError as error:
            raise ResourceError(
                f"{root}: cannot unpack {path} there ({error.strerror}); free space, or name "
                "another place in the environment variable TMPDIR"
            ) from error
        return _verify_pack(root, unpacked, schemas)


def _verify_pack(
    root: Path, unpacked: Unpacked, schemas: Mapping[str, SchemaCheck]
) -> Verification:
    runs = RunStore(root / PATH.RUNS_DIR)
    _refuse_outside_names(runs)
    broken = _broken_files(root, unpacked)
    faults = [*broken.values(), *_crate_faults(root, unpacked, runs, broken)]
    found = verify_runs(runs, schemas=schemas)
    told = tuple(f"{name}: " for name in broken)  # one line for each fault
    lines = (_within(fault, root) for fault in found.faults)
    faults += [line for line in lines if not line.startswith(told)]
    faults += [f"{run_id}: incomplete, which no run of a release is" for run_id in found.incomplete]
    if not runs.run_ids():
        faults.append(f"{PATH.RUNS_DIR}: the release holds no runs")
    return Verification(found.complete, found.incomplete, faults)


def _broken_files(root: Path, unpacked: Unpacked) -> dict[str, str]:
    """By name, members that cannot be read, and files that are not what the manifest says."""
    if OUTPUT.MANIFEST_SHA256 in unpacked.faults:
        return unpacked.faults
    try:
        digests = read_manifest(root / OUTPUT.MANIFEST_SHA256)
    except VerificationError as error:
        return {**unpacked.faults, OUTPUT.MANIFEST_SHA256: _within(str(error), root)}
    files = (file for file in unpacked.files if file.name != OUTPUT.MANIFEST_SHA256)
    return {**manifest_faults(digests, files), **unpacked.faults}


def _crate_faults(
    root: Path, unpacked: Unpacked, runs: RunStore, broken: Mapping[str, str]
) -> Iterator[str]:
    """What the description says otherwise than the files, those that are broken aside."""
    if OUTPUT.RO_CRATE_JSON in broken:
        return
    try:
        crate = read_crate(root / OUTPUT.RO_CRATE_JSON)
    except SchemaError as error:
        yield _within(str(error), root)
        return
    files = (file for file in unpacked.files if file.name not in DESCRIBED_ELSEWHERE)
    yield from crate_faults(crate, files, runs.run_ids(), broken=broken)


def _within(text: str, root: Path) -> str:
    """A message in which paths begin at the release, wherever it was unpacked."""
    return text.replace(f"{root}/", "")


def _refuse_outside_names(runs: RunStore) -> None:
    """Refuse records that would have files read elsewhere than below the runs.

    Raises:
        VerificationError: naming the run and the name.
    """
    for run_id in runs.run_ids():
        try:
            record = read_record(runs.folder(run_id))
        except VerificationError:
            continue  # told of when the runs are checked
        for name in _names(record):
            fault = name_fault(name)
            if fault:
                raise VerificationError(f"{run_id}: the record names {name!r}, which {fault}")


def _names(record: RunRecord) -> Iterator[str]:
    yield from record.artifact_index
    for dependency in record.dependencies:
        yield from (dependency.run_id, *dependency.artifacts)
