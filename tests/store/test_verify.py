"""Verification, dependencies and removal: no byte changes unseen, no run loses what it rests on."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from avalattice.canon import OUTPUT
from avalattice.errors import (
    DependencyError,
    ExitCode,
    InputError,
    SchemaError,
    VerificationError,
)
from avalattice.store import digests
from avalattice.store.digests import sha256_blocks, sha256_file, sha256_json
from avalattice.store.record import DependencyRecord, read_record
from avalattice.store.verify import verify_runs
from tests.store.small_runs import (
    ARTIFACTS,
    CONFIG,
    LOG,
    RASTERS,
    TABLE,
    TARGETS,
    damages,
    fake_stage,
    overwrite,
    small_record,
    write_downstream,
    write_run,
)

INDEXED = (*ARTIFACTS, LOG)
DAMAGES = ("flipped", "truncated", "removed", "emptied")


def faults(store, run_ids=None, **options):
    return verify_runs(store, run_ids, schemas={}, **options).faults


def leave_incomplete(store, record=None):
    record = record or small_record()
    with suppress(KeyboardInterrupt), store.create(record, CONFIG, allow_resume=False) as run:
        fake_stage(run)
        raise KeyboardInterrupt
    return record.run_id


def damage(path, kind="flipped"):
    overwrite(path, dict(damages(path.read_bytes()))[kind])


# -------------------------------------------------------------------------------- dependencies


def test_a_dependency_names_the_upstream_and_its_bytes(store):
    """Run id, stage, the record's digest and that of each consumed artifact are recorded."""
    reader = store.open(write_run(store))
    dependency = reader.as_dependency([TARGETS, RASTERS])
    stated = json.loads((reader.folder / OUTPUT.RUN_RECORD_JSON).read_bytes())["record_sha256"]
    assert dependency == DependencyRecord(
        run_id=reader.run_id,
        stage_id="S01",
        record_sha256=stated,
        artifacts={name: sha256_file(reader.folder / name) for name in (TARGETS, RASTERS)},
        overridden=False,
    )
    assert reader.as_dependency([], overridden=True).overridden


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_artifact_is_refused_by_whoever_reads_it(store, name, kind):
    """The refusal has exit code 3 and names the file, both digests and the remedy."""
    reader = store.open(write_run(store))
    path, right = reader.folder / name, sha256_file(reader.folder / name)
    damage(path, kind)
    for refused in (lambda: reader.path(name), lambda: reader.as_dependency([TABLE, name])):
        with pytest.raises(DependencyError) as error:
            refused()
        assert error.value.exit_code == ExitCode.DEPENDENCY == 3
        for part in (str(path), right, sha256_file(path), "avalattice rm", reader.run_id):
            assert part in str(error.value)


@pytest.mark.parametrize("name", ARTIFACTS)
def test_every_flipped_byte_of_an_artifact_is_refused(store, name):
    """Whichever byte it is; and the whole file is not refused."""
    run_id = write_run(store)
    path = store.folder(run_id) / name
    content = path.read_bytes()
    path.chmod(0o644)
    for position in range(len(content)):
        flipped = bytes([content[position] ^ 1])
        path.write_bytes(content[:position] + flipped + content[position + 1 :])
        reader = store.open(run_id)
        with pytest.raises(DependencyError):
            reader.path(name)
    path.write_bytes(content)
    assert store.open(run_id).path(name) == path


@pytest.mark.parametrize("read", ["json", "npz"])
def test_damaged_bytes_are_never_parsed(store, read):
    """Reading an artifact as JSON or arrays checks it first."""
    reader = store.open(write_run(store))
    damage(reader.folder / TARGETS)
    damage(reader.folder / RASTERS)
    with pytest.raises(DependencyError, match="sha256 should be"):
        reader.json(TARGETS) if read == "json" else reader.npz(RASTERS, {})


def test_an_artifact_that_is_gone_or_never_was_is_refused(store):
    """A missing file and a missing digest are mismatches too."""
    reader = store.open(write_run(store))
    (reader.folder / TARGETS).unlink()
    with pytest.raises(DependencyError, match="found no such file"):
        reader.path(TARGETS)
    (reader.folder / "results" / "other.json").write_bytes(b"{}")
    with pytest.raises(DependencyError, match=r"lists no artifact results/other\.json"):
        reader.as_dependency(["results/other.json"])


def test_an_artifact_that_cannot_be_read_is_refused(store, monkeypatch):
    """A file that the system does not hand out is a mismatch and no crash."""
    reader = store.open(write_run(store))
    monkeypatch.setattr(digests, "sha256_file", unreadable)
    with pytest.raises(DependencyError, match=r"cannot be read \(Permission denied\)"):
        reader.path(TARGETS)
    assert len(faults(store)) == len(INDEXED)


def unreadable(path):
    raise PermissionError(13, "Permission denied")


def test_only_complete_runs_are_opened(store):
    """An absent and an incomplete run are missing dependencies; a damaged record is damage."""
    run_id = small_record().run_id
    with pytest.raises(DependencyError, match="no such run"):
        store.open(run_id)
    leave_incomplete(store)
    with pytest.raises(DependencyError, match="the run is incomplete"):
        store.open(run_id)
    write_run(store, allow_resume=True)
    assert store.open(run_id).run_id == run_id
    damage(store.folder(run_id) / OUTPUT.RUN_RECORD_JSON)
    with pytest.raises(VerificationError, match=r"record_sha256|not a run record"):
        store.open(run_id)


def test_a_run_under_another_name_is_not_opened(store):
    """A folder that was renamed does not pass for another run."""
    run_id = write_run(store)
    store.folder(run_id).rename(store.folder("RUN_S01_000000000000"))
    with pytest.raises(VerificationError, match=f"the record is that of {run_id}"):
        store.open("RUN_S01_000000000000")


# -------------------------------------------------------------------------------- verification


def test_whole_runs_have_no_faults(store):
    """Runs and what they rest on are checked, each once."""
    upstream = write_run(store)
    middle = write_downstream(store, upstream)
    last = write_downstream(store, upstream, middle, stage="S03")
    found = verify_runs(store, schemas={})
    assert found.complete == sorted([upstream, middle, last])
    assert (found.incomplete, found.faults) == ([], [])
    assert sorted(verify_runs(store, [last, last], schemas={}).complete) == found.complete
    assert verify_runs(store, [upstream], schemas={}).complete == [upstream]


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_artifact_is_one_fault(store, name, kind):
    """The line names the file and both digests."""
    folder = store.folder(write_run(store))
    right = sha256_file(folder / name)
    damage(folder / name, kind)
    (fault,) = faults(store)
    assert fault == f"{folder / name}: sha256 should be {right}, found {sha256_file(folder / name)}"


def test_every_flipped_byte_is_found(store):
    """Whichever byte of whichever file of the run, the record included, there is one fault."""
    folder = store.folder(write_run(store))
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        path.chmod(0o644)
        for position in range(0, len(content), 7):
            flipped = bytes([content[position] ^ 0x20])
            path.write_bytes(content[:position] + flipped + content[position + 1 :])
            assert len(faults(store)) == 1, (path, position)
        path.write_bytes(content)
    assert faults(store) == []


def test_a_lost_artifact_is_one_fault(store):
    """A file that the record lists and the folder lacks is named."""
    folder = store.folder(write_run(store))
    (folder / TABLE).unlink()
    (fault,) = faults(store)
    assert fault.startswith(f"{folder / TABLE}: sha256 should be")
    assert fault.endswith("found no such file")


def test_a_stray_file_is_a_fault(store):
    """A file that the record does not list is named; what a file manager leaves is not."""
    folder = store.folder(write_run(store))
    (folder / "results" / ".DS_Store").write_bytes(b"")
    (folder / "cache").mkdir()
    (folder / "cache" / "kept").write_bytes(b"")
    assert faults(store) == []
    (folder / "results" / "extra.json").write_bytes(b"{}")
    assert faults(store) == [f"{folder}/results/extra.json: the record lists no such file"]


def test_a_renamed_run_is_a_fault(store):
    """The folder's name must be that of the identity."""
    run_id = write_run(store)
    store.folder(run_id).rename(store.folder("RUN_S01_000000000000"))
    assert faults(store) == [f"RUN_S01_000000000000: the folder's name is not that of {run_id}"]


def test_a_forged_identity_is_a_fault(store):
    """An identity that the digest does not fit is found, although the record is sealed anew."""
    run_id = write_run(store)
    record = read_record(store.folder(run_id))
    right = record.scope_sha256
    record.identity["note"] = "another"
    record.write(store.folder(run_id))
    found, forged = faults(store), sha256_json(record.identity)
    assert found[0] == f"{run_id}: scope_sha256 is {right}, the identity gives {forged}"


def test_a_record_of_another_run_is_a_fault(store):
    """A run whose record bears another id is found, although the record is sealed anew."""
    run_id = write_run(store)
    record = read_record(store.folder(run_id))
    record.run_id = "RUN_S01_000000000000"
    record.write(store.folder(run_id))
    assert len(faults(store)) == 1


def test_a_missing_upstream_is_one_fault(store):
    """The run that rests on it is named, and what it lacks."""
    upstream = write_run(store)
    run_id = write_downstream(store, upstream)
    store.folder(upstream).rename(store.root / "elsewhere")
    expected = [f"{run_id} rests on {upstream}, which is not in {store.root}"]
    assert faults(store) == expected
    assert faults(store, [run_id]) == expected


def test_a_damaged_upstream_is_found_from_below(store):
    """Verifying one run verifies the bytes of everything it rests on."""
    upstream = write_run(store)
    middle = write_downstream(store, upstream)
    last = write_downstream(store, middle, stage="S03")
    damage(store.folder(upstream) / RASTERS)
    (fault,) = faults(store, [last])
    assert fault.startswith(str(store.folder(upstream) / RASTERS))


def test_a_damaged_upstream_record_is_one_fault(store):
    """It is reported for the upstream, and not once more for each run that rests on it."""
    upstream = write_run(store)
    run_id = write_downstream(store, upstream)
    path = store.folder(upstream) / OUTPUT.RUN_RECORD_JSON
    overwrite(path, path.read_bytes()[:-1])
    (fault,) = faults(store, [run_id])
    assert fault.startswith(f"{path}: not a run record")


def test_a_changed_upstream_is_found(store):
    """An upstream that was changed and sealed anew no longer has the digests that were consumed."""
    upstream = write_run(store)
    run_id = write_downstream(store, upstream)
    folder = store.folder(upstream)
    record, content = read_record(folder), b'{"rates":[]}\n'
    before, was = record.sha256, record.artifact_index[TARGETS].sha256
    overwrite(folder / TARGETS, content)
    record.artifact_index[TARGETS].sha256 = sha256_blocks([content])
    del record.artifact_index[RASTERS]
    (folder / RASTERS).unlink()
    record.write(folder)
    found = faults(store)
    assert f"{run_id} rests on {upstream} with record {before}, found {record.sha256}" in found
    assert any(
        line.startswith(f"{run_id} rests on {upstream} with {TARGETS} {was}, found {sha}")
        for line in found
        for sha in [sha256_blocks([content])]
    )
    assert any(f"with {RASTERS}" in line and line.endswith("found none") for line in found)


def test_incomplete_runs_are_listed_and_are_no_faults(store):
    """Neither their files nor what is missing counts against them."""
    run_id = leave_incomplete(store)
    (store.folder(run_id) / TARGETS).unlink()
    (store.folder(run_id) / "half").write_bytes(b"")
    found = verify_runs(store, schemas={}, deep=lambda record: ["never asked"])
    assert (found.complete, found.incomplete, found.faults) == ([], [run_id], [])


def test_a_run_that_is_not_there_is_a_fault(store):
    """Asked for a run that is absent, verification says so."""
    (fault,) = faults(store, ["RUN_S01_000000000000"])
    assert "RUN_S01_000000000000/run_record.json: cannot be read" in fault


def test_schemas_are_checked_by_file_name(store):
    """Each artifact's check gets its path; what it raises is a fault that names the file."""
    folder = store.folder(write_run(store))
    asked = []

    def refuse(path):
        raise SchemaError("column `gain` is missing")

    def refuse_by_name(path):
        raise SchemaError(f"{path}: no rates")

    schemas = {"rasters.npz": asked.append, "table.csv": refuse, "targets.json": refuse_by_name}
    found = verify_runs(store, schemas=schemas).faults
    assert asked == [folder / RASTERS]
    assert sorted(found) == [
        f"{folder / TARGETS}: no rates",
        f"{folder / TABLE}: column `gain` is missing",
    ]


def test_damaged_artifacts_are_not_given_to_schema_checks(store):
    """Bytes that are not what the record says are not parsed."""
    damage(store.folder(write_run(store)) / RASTERS)
    asked = []
    found = verify_runs(store, schemas={"rasters.npz": asked.append})
    assert (len(found.faults), asked) == (1, [])


def test_a_deep_check_gets_each_complete_record(store):
    """Its lines are faults; without it nothing is asked."""
    run_id = write_run(store)
    leave_incomplete(store, small_record("S02"))

    def deep(record):
        return [f"{record.run_id}: model file changed"]

    assert faults(store, deep=deep) == [f"{run_id}: model file changed"]
    assert faults(store) == []


# ------------------------------------------------------------------------------------- removal


def test_a_run_that_others_rest_on_is_not_removed(store):
    """The refusal names who rests on it, and everything stays."""
    upstream = write_run(store)
    run_id = write_downstream(store, upstream)
    with pytest.raises(InputError, match=f"{upstream} stays: {run_id} rests on it") as error:
        store.remove([upstream])
    assert error.value.exit_code == ExitCode.INPUT
    assert store.run_ids() == sorted([upstream, run_id])
    assert faults(store) == []


def test_an_incomplete_run_holds_back_what_it_rests_on(store):
    """An upstream of a run that can still be resumed is not removed."""
    upstream = write_run(store)
    dependency = store.open(upstream).as_dependency([TARGETS])
    leave_incomplete(store, small_record("S02", (dependency,)))
    with pytest.raises(InputError, match="rests on it"):
        store.remove([upstream])


@pytest.mark.parametrize("turn", [1, -1])
def test_runs_are_removed_together_with_those_that_rest_on_them(store, turn):
    """In whichever order they are named, even twice; others stay."""
    upstream = write_run(store)
    run_id = write_downstream(store, upstream)
    other = write_run(store, small_record("S03"))
    store.remove([upstream, run_id, upstream][::turn])
    assert store.run_ids() == [other]
    assert {path.name for path in store.root.iterdir()} == {".locks", other}
    assert write_run(store) == upstream


def test_users_are_removed_before_what_they_rest_on(store, monkeypatch):
    """If removing is interrupted, no run is left that rests on nothing."""
    upstream = write_run(store)
    middle = write_downstream(store, upstream)
    last = write_downstream(store, middle, upstream, stage="S03")
    removed = []
    monkeypatch.setattr(store, "_remove", removed.append)
    store.remove([upstream, last, middle])
    assert removed == [last, middle, upstream]


def test_an_interrupted_removal_is_finished_by_the_next(store):
    """What an earlier removal left under its hidden name is no obstacle."""
    run_id = write_run(store)
    leftover = store.root / f".{run_id}.removed"
    leftover.mkdir()
    (leftover / "file").write_bytes(b"")
    store.remove([run_id])
    assert store.run_ids() == []
    assert not leftover.exists()


def test_only_runs_are_removed(store):
    """Names of other folders, of files and of nothing are refused before anything is removed."""
    run_id = write_run(store)
    (store.root / "notes").mkdir()
    (store.root / "RUN_file").write_bytes(b"")
    for name in ("notes", "RUN_file", ".locks", "", "..", "RUN_S01_000000000000"):
        with pytest.raises(InputError, match="no such run"):
            store.remove([run_id, name])
    assert store.run_ids() == [run_id]
    assert (store.root / "notes").is_dir()


def test_a_damaged_run_can_be_removed_and_holds_nothing_back(store):
    """A run that cannot be read is no reason to keep another."""
    upstream = write_run(store)
    run_id = write_downstream(store, upstream)
    path = store.folder(run_id) / OUTPUT.RUN_RECORD_JSON
    overwrite(path, b"")
    store.remove([upstream])
    store.remove([run_id])
    assert store.run_ids() == []


def test_dependents_are_all_that_rest_on_a_run(store):
    """However far below; runs beside it are none of them."""
    upstream = write_run(store)
    middle = write_downstream(store, upstream)
    last = write_downstream(store, middle, stage="S03")
    other = write_run(store, small_record("S04"))
    assert store.with_dependents([upstream]) == [upstream, middle, last]
    assert store.with_dependents([last, other]) == [last, other]
    store.remove(store.with_dependents([upstream]))
    assert store.run_ids() == [other]
