"""The life of a run: absent, incomplete, complete; refused, resumed, finished."""

from __future__ import annotations

import json
import re
import stat
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from avalattice.arrays import ArraySpec, BlockArray
from avalattice.errors import ArrayError, ExitCode, RunExistsError, VerificationError
from avalattice.store.digests import sha256_blocks, sha256_file
from avalattice.store.record import read_record
from avalattice.store.runs import RunStore, identity_digest, make_run_id
from avalattice.store.verify import verify_runs
from tests.store.small_runs import (
    ARTIFACTS,
    CONFIG,
    COUNTS,
    GAINS,
    LOG,
    RASTERS,
    RESOLVED,
    TARGETS,
    contents,
    damages,
    fake_stage,
    overwrite,
    small_record,
    unfinished_files,
    write_downstream,
    write_run,
)

RUN = small_record().run_id


@contextmanager
def interrupted_run(store, record=None):
    """A run that is interrupted when the block ends."""
    with (
        suppress(KeyboardInterrupt),
        store.create(record or small_record(), CONFIG, allow_resume=False) as run,
    ):
        yield run
        raise KeyboardInterrupt


def log_events(store, run_id=RUN):
    lines = (store.folder(run_id) / LOG).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["event"] for line in lines]


# ------------------------------------------------------------------------------------ identity


def test_a_run_is_named_by_its_identity():
    """The id is the stage's tag and the first twelve digits of the identity's digest."""
    digest = identity_digest({"stage": "S01", "dtype": "fp32"})
    assert make_run_id("S01", digest) == f"RUN_S01_{digest[:12]}"
    assert identity_digest({"dtype": "fp32", "stage": "S01"}) == digest
    assert identity_digest({"stage": "S01", "dtype": "bf16"}) != digest


# ---------------------------------------------------------------------------------------- life


def test_the_life_of_a_run(store):
    """It is absent, then incomplete as long as it is written, then complete."""
    assert (store.status(RUN), store.run_ids()) == ("absent", [])
    with store.create(small_record(), CONFIG, allow_resume=False) as run:
        assert store.status(RUN) == "incomplete"
        fake_stage(run)
        assert store.status(RUN) == "incomplete"
    assert (store.status(RUN), store.run_ids()) == ("complete", [RUN])


def test_a_run_holds_its_record_and_its_indexed_artifacts_and_nothing_else(store):
    """Every other file is in the index, with digest and size; the cache is gone."""
    folder = store.folder(write_run(store))
    record = read_record(folder)
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert (
        files == {"run_record.json", *record.artifact_index} == {"run_record.json", LOG, *ARTIFACTS}
    )
    for name, entry in record.artifact_index.items():
        assert entry.sha256 == sha256_file(folder / name)
        assert entry.bytes == (folder / name).stat().st_size
    assert not (folder / "cache").exists()
    assert (folder / RESOLVED).read_text(encoding="utf-8") == CONFIG
    assert unfinished_files(store.root) == []


def test_a_complete_run_cannot_be_written_by_accident(store):
    """Nobody has write permission on any of its files, the record included."""
    folder = store.folder(write_run(store))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 6
    for path in files:
        assert path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) == 0, path


def test_a_place_without_permissions_is_no_obstacle(store, monkeypatch):
    """Where write permission cannot be taken, the run is complete all the same."""

    def refuse(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("avalattice.store.writer.take_write_permission", refuse)
    assert store.status(write_run(store)) == "complete"


def test_the_record_knows_what_the_run_took(store):
    """Forward windows, tokens, seconds by step, memory, notes and times are in the record."""
    record = read_record(store.folder(write_run(store)))
    assert (record.cost.forward_windows, record.cost.forward_tokens) == (4, 16)
    assert record.cost.seconds["forward"] >= 0
    assert record.cost.peak_memory_bytes > 10_000_000
    assert record.notes == ["a remark"]
    assert record.created_utc <= record.finished_utc
    assert log_events(store) == ["start", "note", "complete"]


def test_a_remark_is_noted_once(store):
    """The same note twice stands once in the record and once in the log."""
    with store.create(small_record(), CONFIG, allow_resume=False) as run:
        run.note("twice")
        run.note("twice")
    assert read_record(store.folder(RUN)).notes == ["twice"]
    assert log_events(store) == ["note", "complete"]


def test_the_same_run_has_the_same_bytes_in_any_place(tmp_path):
    """Two stores hold one id with equal artifacts, although logs and records may differ."""
    one, two = RunStore(tmp_path / "one"), RunStore(tmp_path / "elsewhere" / "two")
    assert write_run(one) == write_run(two)
    assert contents(one.folder(RUN)) == contents(two.folder(RUN))
    other = write_run(two, small_record(gain="1.1"))
    assert other != RUN


def test_files_beside_the_runs_are_no_runs(store):
    """Locks, files named like runs and hidden folders do not count."""
    write_run(store)
    (store.root / "RUN_S01.zip").write_bytes(b"")
    (store.root / f".{RUN}.removed").mkdir()
    assert store.run_ids() == [RUN]


# ------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("allow_resume", [False, True])
def test_a_complete_run_is_refused_and_unchanged(store, allow_resume):
    """The refusal has exit code 4, names the run and says that its results can be used."""
    before = contents(store.folder(write_run(store)))
    computed = []
    with pytest.raises(RunExistsError, match=f"{RUN} is complete; its results can be") as error:
        write_run(store, allow_resume=allow_resume, computed=computed)
    assert error.value.exit_code == ExitCode.EXISTS == 4
    assert computed == []
    assert contents(store.folder(RUN)) == before


def test_an_incomplete_run_is_refused_unless_it_may_be_resumed(store):
    """The refusal has exit code 4 and names the option that finishes the run."""
    with interrupted_run(store):
        pass
    with pytest.raises(RunExistsError, match=f"{RUN} is incomplete: .*--allow-resume") as error:
        write_run(store)
    assert error.value.exit_code == 4
    assert write_run(store, allow_resume=True) == RUN
    assert store.status(RUN) == "complete"


@pytest.mark.parametrize("finished", [False, True])
def test_another_run_of_the_same_id_is_refused(store, finished):
    """Twelve equal digits are not enough: the whole digest of the identity must agree."""
    if finished:
        write_run(store)
    else:
        with interrupted_run(store):
            pass
    other = small_record(gain="1.1")
    other.run_id = RUN
    with pytest.raises(RunExistsError, match="another run has this id") as error:
        write_run(store, other, allow_resume=True)
    assert error.value.exit_code == 4
    assert other.scope_sha256 in str(error.value)
    assert read_record(store.folder(RUN)).scope_sha256 in str(error.value)


def test_an_incomplete_run_with_a_damaged_record_is_refused(store):
    """What cannot be trusted is not resumed; the message says how to be rid of it."""
    with interrupted_run(store):
        pass
    path = store.folder(RUN) / "run_record.json"
    overwrite(path, path.read_bytes()[:-1])
    assert store.status(RUN) == "damaged"
    with pytest.raises(VerificationError, match=f"avalattice rm {RUN}"):
        write_run(store, allow_resume=True)
    store.remove([RUN])
    assert write_run(store) == RUN


# -------------------------------------------------------------------------------- interruption


def test_an_interruption_leaves_a_resumable_run(store):
    """The exception passes, the log has its name, and what was indexed is there and right."""

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_run(store, pause=stop)
    assert store.status(RUN) == "incomplete"
    assert log_events(store) == ["start", "interrupted"]
    assert set(read_record(store.folder(RUN)).artifact_index) == {RESOLVED}
    write_run(store, allow_resume=True)
    assert log_events(store) == ["start", "interrupted", "start", "note", "complete"]
    assert verify_runs(store, schemas={}).faults == []


def test_resuming_adds_to_what_the_run_took(store):
    """Windows and seconds of the interrupted process stay in the record."""
    with interrupted_run(store) as run:
        run.count_forward(3, 12)
        run.partial("gain-1.1", COUNTS, lambda: {"A": np.zeros((1, 1, 1), np.uint16)})
    write_run(store, allow_resume=True)
    record = read_record(store.folder(RUN))
    assert (record.cost.forward_windows, record.cost.forward_tokens) == (7, 28)


def test_a_torn_line_of_the_log_is_dropped(store):
    """A line that a full disk cut off does not spoil the lines of the process that resumes."""
    with interrupted_run(store) as run:
        run.log("start")
    with (store.folder(RUN) / LOG).open("a", encoding="utf-8") as log:
        log.write('{"event":"ha')
    write_run(store, allow_resume=True)
    assert log_events(store) == ["start", "interrupted", "start", "note", "complete"]


def test_a_log_that_cannot_be_flushed_does_not_hide_the_error(store, monkeypatch):
    """What goes wrong in the stage is what is raised, even if closing the log fails after it."""

    def refuse(run):
        run._log.close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avalattice.store.writer.RunWriter.close", refuse)
    with (
        pytest.raises(ZeroDivisionError),
        store.create(small_record(), CONFIG, allow_resume=False),
    ):
        raise ZeroDivisionError


def test_files_of_a_killed_process_are_cleared_away(store):
    """Temporary files in any folder, and a half-made run, are gone once the run is resumed."""
    with interrupted_run(store) as run:
        leftovers = [
            run.folder / "cache" / ".gain-0.9.partial.0123abcd.partial",
            run.folder / "cache" / "gain-0.9.partial",
            run.folder / "results" / ".rasters.npz.0123abcd.partial",
            run.folder / ".run_record.json.0123abcd.partial",
        ]
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    write_run(store, allow_resume=True)
    assert unfinished_files(store.root) == []
    assert verify_runs(store, schemas={}).faults == []


def test_a_run_that_never_appeared_is_begun_anew(store):
    """The unnamed folder of a process killed before the run appeared is thrown away."""
    unnamed = store.root / f".{RUN}.partial"
    unnamed.mkdir(parents=True)
    (unnamed / "half").write_bytes(b"")
    assert store.status(RUN) == "absent"
    folder = store.folder(write_run(store))
    assert not (folder / "half").exists()
    assert not unnamed.exists()


# ------------------------------------------------------------------------ artifacts on resuming


def test_verified_artifacts_are_kept_on_resuming(store):
    """An artifact that is whole stays indexed, as it was, before anything is computed again."""
    with interrupted_run(store) as run:
        fake_stage(run)
    before = read_record(store.folder(RUN)).artifact_index
    assert set(before) == set(ARTIFACTS)
    with (
        suppress(KeyboardInterrupt),
        store.create(small_record(), "other: 1\n", allow_resume=True) as run,
    ):
        assert run.record.artifact_index == before
        raise KeyboardInterrupt
    assert (store.folder(RUN) / RESOLVED).read_text(encoding="utf-8") == CONFIG


@pytest.mark.parametrize("name", ARTIFACTS)
@pytest.mark.parametrize("kind", ["flipped", "truncated", "removed", "emptied", "gone"])
def test_a_damaged_artifact_counts_as_missing_on_resuming(store, name, kind):
    """It alone leaves the index, and the resumed run has the right bytes again."""
    with interrupted_run(store) as run:
        fake_stage(run)
    whole, path = contents(store.folder(RUN)), store.folder(RUN) / name
    if kind == "gone":
        path.unlink()
    else:
        overwrite(path, dict(damages(path.read_bytes()))[kind])
    with store.create(small_record(), CONFIG, allow_resume=True) as run:
        assert set(run.record.artifact_index) == {*ARTIFACTS} - ({name} - {RESOLVED})
        fake_stage(run)
    assert contents(store.folder(RUN)) == whole
    assert verify_runs(store, schemas={}).faults == []


def test_an_artifact_that_is_not_indexed_counts_as_missing(store):
    """A file that was renamed before its process died, and not indexed, is written over."""
    with interrupted_run(store) as run:
        path = run.folder / TARGETS
        path.parent.mkdir()
        path.write_bytes(b"never indexed")
    write_run(store, allow_resume=True)
    assert json.loads(path.read_bytes())["label"] == "μ"
    assert verify_runs(store, schemas={}).faults == []


def test_other_bytes_on_resuming_are_refused(store):
    """A computation that gives other bytes than before is found out; the first ones stay."""
    with interrupted_run(store) as run:
        run.write_json(TARGETS, {"rates": [1]})
    before = (store.folder(RUN) / TARGETS).read_bytes()
    with (
        pytest.raises(VerificationError, match="other bytes when it was resumed") as error,
        store.create(small_record(), CONFIG, allow_resume=True) as run,
    ):
        run.write_json(TARGETS, {"rates": [2]})
    for digest in (sha256_blocks([before]), sha256_blocks([b'{"rates":[2]}\n'])):
        assert digest in str(error.value)
    assert (store.folder(RUN) / TARGETS).read_bytes() == before
    assert store.status(RUN) == "incomplete"
    assert unfinished_files(store.root) == []


def test_an_artifact_that_fails_to_be_written_is_absent(store):
    """Blocks that do not fill their array leave neither file nor index entry."""
    short = BlockArray(np.dtype("uint16"), (2, 2), lambda: iter([np.zeros(3, np.uint16)]))
    with interrupted_run(store) as run, pytest.raises(ArrayError, match="blocks hold 3 values"):
        run.write_npz(RASTERS, {"A": short})
    assert not (store.folder(RUN) / RASTERS).exists()
    assert RASTERS not in read_record(store.folder(RUN)).artifact_index
    assert unfinished_files(store.root) == []


def test_resuming_rests_on_the_upstream_runs_of_today(store):
    """An upstream that was made anew, with the same bytes, is the one that the record names."""
    upstream = write_run(store)

    def downstream():
        dependency = store.open(upstream).as_dependency([TARGETS, RASTERS])
        return small_record("S02", (dependency,))

    with interrupted_run(store, downstream()) as run:
        fake_stage(run)
    folder = store.folder(upstream)
    folder.rename(store.root / "elsewhere")  # as by hand: `remove` would refuse
    record = small_record()
    record.package_version = "0.2.0"
    write_run(store, record)
    write_run(store, downstream(), allow_resume=True)
    assert verify_runs(store, schemas={}).faults == []


# ----------------------------------------------------------------------------- partial results


def counting(calls, value=7):
    def compute():
        calls.append(value)
        return {"A": np.full((1, 2, 3), value, np.uint16)}

    return compute


def cached(store):
    return sorted(path.name for path in (store.folder(RUN) / "cache").iterdir())


@pytest.mark.parametrize("lazy", [False, True])
def test_a_partial_result_is_computed_once(store, lazy):
    """It is computed at first, and read back within the run and after an interruption."""
    calls = []
    with interrupted_run(store) as run:
        for _ in range(2):
            found = run.partial("gain-0.9", COUNTS, counting(calls), lazy=lazy)
            assert np.array_equal(found["A"], np.full((1, 2, 3), 7, np.uint16))
    with store.create(small_record(), CONFIG, allow_resume=True) as run:
        found = run.partial("gain-0.9", COUNTS, counting(calls, 8), lazy=lazy)
        assert np.array_equal(found["A"], np.full((1, 2, 3), 7, np.uint16))
    assert calls == [7]


def test_a_partial_result_has_its_digest_in_its_name(store):
    """The file under cache/ is named by key and sha256, and nothing else lies there."""
    with interrupted_run(store) as run:
        run.partial("gain-0.9", COUNTS, counting([]))
    (name,) = cached(store)
    assert name == f"gain-0.9.{sha256_file(store.folder(RUN) / 'cache' / name)}.npz"


@pytest.mark.parametrize("kind", ["flipped", "truncated", "removed", "emptied"])
def test_a_damaged_partial_result_is_computed_again(store, kind):
    """It is never read; its replacement is whole."""
    calls = []
    with interrupted_run(store) as run:
        run.partial("gain-0.9", COUNTS, counting(calls))
    (name,) = cached(store)
    path = store.folder(RUN) / "cache" / name
    path.write_bytes(dict(damages(path.read_bytes()))[kind])
    with store.create(small_record(), CONFIG, allow_resume=True) as run:
        found = run.partial("gain-0.9", COUNTS, counting(calls))
        assert np.array_equal(found["A"], np.full((1, 2, 3), 7, np.uint16))
        assert cached(store) == [name]
    assert calls == [7, 7]


def test_a_partial_result_that_fails_is_computed_again(store):
    """An exception inside the computation leaves nothing that could be read back."""
    calls = []
    with interrupted_run(store) as run, pytest.raises(ZeroDivisionError):
        run.partial("gain-0.9", COUNTS, lambda: 1 / 0)
    assert cached(store) == []
    with store.create(small_record(), CONFIG, allow_resume=True) as run:
        run.partial("gain-0.9", COUNTS, counting(calls))
    assert calls == [7]


def test_keys_that_begin_alike_do_not_meet(store):
    """The keys g1, g1.0 and g[1] have results of their own, and each is kept."""
    keys, calls = ["g1.0", "g1", "g[1]", "g?"], []
    with interrupted_run(store) as run:
        for _ in range(2):
            for value, key in enumerate(keys):
                found = run.partial(key, COUNTS, counting(calls, value))
                assert found["A"][0, 0, 0] == value
        assert calls == [0, 1, 2, 3]
        assert len(cached(store)) == 4


def test_a_partial_result_of_another_form_is_refused(store):
    """A result that is not what the stage expects raises, when it is new and when it is old."""
    wrong = {"A": ArraySpec("uint8", "N L T")}
    with interrupted_run(store) as run:
        for _ in range(2):
            with pytest.raises(ArrayError, match="A must be uint8"):
                run.partial("gain-0.9", wrong, counting([]))


def test_a_resumed_stage_computes_only_what_is_missing(store):
    """After an interruption between two gains, only the second is computed."""
    computed = []

    def stop_at_second():
        if len(computed) == 2:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        write_run(store, computed=computed, pause=stop_at_second)
    assert computed == list(GAINS)
    write_run(store, allow_resume=True, computed=computed)
    assert computed == [*GAINS, GAINS[1]]


# ------------------------------------------------------------------------------------- reading


def test_a_run_is_read_through_its_verified_artifacts(store):
    """JSON and arrays come back as they were written, and the reader knows its run."""
    reader = store.open(write_run(store))
    assert reader.run_id == RUN
    assert reader.json(TARGETS) == {"rates": [1e-5, 2e-5], "label": "μ"}
    for lazy in (False, True):
        counts = reader.npz(RASTERS, COUNTS, lazy=lazy)["A"]
        assert counts.shape == (4, 3, 4)
        assert np.unique(counts).tolist() == [9, 10]


def test_a_downstream_run_differs_with_the_bytes_that_it_rests_on(store):
    """Another upstream artifact gives another id downstream."""
    one = write_downstream(store, write_run(store))
    two = write_downstream(store, write_run(store, small_record(gain="1.1")))
    assert one != two
    assert re.fullmatch(r"RUN_S02_[0-9a-f]{12}", one)


def test_a_run_resumed_in_another_environment_says_so(tmp_path) -> None:
    """The record keeps the first environment and notes what was different when it was resumed."""
    store = RunStore(tmp_path)
    for python in ("3.11.1", "3.12.2"):
        record = small_record()
        record.environment["python"] = python
        with (
            pytest.raises(ZeroDivisionError),
            store.create(record, CONFIG, allow_resume=True) as writer,
        ):
            raise ZeroDivisionError
    assert writer.record.environment["python"] == "3.11.1"
    (note,) = [text for text in writer.record.notes if text.startswith("resumed ")]
    assert note.endswith("in another environment: python")
