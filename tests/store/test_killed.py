"""Processes that are killed, and processes that meet: a run is never half-complete."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from avalattice.errors import ExitCode, RunExistsError
from avalattice.store.runs import RunStore
from avalattice.store.verify import verify_runs
from tests.store.kill_trials import N_KILLS, N_RUNS, N_TOGETHER
from tests.store.small_runs import (
    CONFIG,
    GAINS,
    contents,
    small_record,
    unfinished_files,
    write_run,
)

REPOSITORY = Path(__file__).parents[2]
RUN = small_record().run_id
KILLED = -signal.SIGKILL

HOLD = """
import sys
from pathlib import Path
from avalattice.store.runs import RunStore
with RunStore(Path(sys.argv[1])).lock(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def trials(kind, folder):
    """The outcomes of killed children, whose stores lie in the folder."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.kill_trials", kind, str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stderr.write(done.stderr)
    assert done.returncode == 0
    return json.loads(done.stdout)


def finish(store, whole):
    """Resume a run unless it is complete, and find no fault with it; the gains computed for it."""
    computed = []
    if store.status(RUN) == "complete":
        with pytest.raises(RunExistsError, match="is complete"):
            write_run(store, allow_resume=True)
    else:
        write_run(store, allow_resume=True, computed=computed)
    assert contents(store.folder(RUN)) == contents(whole.folder(RUN))
    found = verify_runs(store, schemas={})
    assert (found.complete, found.faults) == ([RUN], [])
    assert unfinished_files(store.root / RUN) == []
    return computed


@pytest.fixture(scope="module")
def killed_everywhere(tmp_path_factory):
    """The folder of trials that were killed before each operation, and their outcomes."""
    folder = tmp_path_factory.mktemp("everywhere")
    return folder, trials("everywhere", folder)


def test_a_run_killed_anywhere_is_absent_incomplete_or_complete(killed_everywhere):
    """Killed before any operation on files, it is in one of three states, and can be finished."""
    folder, codes = killed_everywhere
    assert codes == [KILLED] * (len(codes) - 1) + [0]
    whole = RunStore(folder / f"{len(codes):04}")
    states = []
    for n in range(1, len(codes)):
        store = RunStore(folder / f"{n:04}")
        states.append(store.status(RUN))
        computed = finish(store, whole)
        assert computed in ([], list(GAINS[1:]), list(GAINS)), n
    assert set(states) == {"absent", "incomplete", "complete"}
    assert states == sorted(states, key=["absent", "incomplete", "complete"].index)


def test_the_trials_cover_every_kind_of_operation(killed_everywhere):
    """Opening, flushing, renaming, clearing away, and the middle of an artifact were all hit."""
    folder, codes = killed_everywhere
    seen = Counter(json.loads((folder / f"{len(codes):04}.json").read_text()))
    assert seen.total() == len(codes) - 1
    assert {"open", "os.fsync", "os.rename", "os.mkdir", "os.chmod", "pause"} <= set(seen)
    assert seen["os.rename"] > 12


def test_records_written_in_place_would_be_found_damaged(tmp_path):
    """The control: if records were written in place, some kill would leave a damaged run."""
    codes = trials("everywhere-in-place", tmp_path)
    states = {RunStore(tmp_path / f"{n:04}").status(RUN) for n in range(1, len(codes))}
    assert "damaged" in states


def test_a_run_killed_again_and_again_is_finished(killed_everywhere, tmp_path):
    """Killing the process that resumes, wherever, costs time and nothing else."""
    folder, codes = killed_everywhere
    whole, outcomes = RunStore(folder / f"{len(codes):04}"), trials("again", tmp_path)
    states = Counter()
    for n in range(N_RUNS):
        store = RunStore(tmp_path / f"{n:04}")
        states[store.status(RUN)] += 1
        finish(store, whole)
    assert set(states) == {"incomplete", "complete"}
    assert [len(codes) for codes in outcomes] == [N_KILLS] * N_RUNS
    flat = Counter(code for codes in outcomes for code in codes)
    assert set(flat) == {KILLED, 0, ExitCode.EXISTS}
    assert flat[KILLED] > 2 * N_RUNS


# ------------------------------------------------------------------------------- two processes


def test_of_processes_that_meet_one_works(tmp_path):
    """One of several that begin together writes the run, and each of the others exits 4."""
    codes = trials("together", tmp_path)
    assert sorted(codes) == [0] + [ExitCode.EXISTS] * (N_TOGETHER - 1)
    found = verify_runs(RunStore(tmp_path / "runs"), schemas={})
    assert (found.complete, found.faults) == ([RUN], [])


@pytest.fixture
def holder(store):
    """Another process, which holds the lock of the run until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.root), RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_that_is_being_written_is_refused_at_once(store, holder):
    """The second process does not wait; its message has the first one's pid and start time."""
    start = time.monotonic()
    for refused in (
        lambda: write_run(store),
        lambda: write_run(store, allow_resume=True),
    ):
        message = rf"{RUN} is being written by process {holder.pid} since \d{{4}}-\d\d-\d\dT"
        with pytest.raises(RunExistsError, match=message) as error:
            refused()
        assert error.value.exit_code == ExitCode.EXISTS
    assert time.monotonic() - start < 5
    assert store.status(RUN) == "absent"
    write_run(store, small_record("S02"))  # another run is free


def test_the_lock_of_a_killed_process_is_free(store, holder):
    """Nothing has to be cleared away by hand after SIGKILL."""
    os.kill(holder.pid, signal.SIGKILL)
    assert holder.wait() == KILLED
    assert write_run(store) == RUN


def test_a_run_that_is_being_written_is_not_removed(store, holder):
    """Neither is any other that was named with it."""
    other = write_run(store, small_record("S02"))
    (store.root / RUN).mkdir()
    with pytest.raises(RunExistsError, match=f"{RUN} is being written"):
        store.remove([other, RUN])
    assert store.run_ids() == [RUN, other]


def test_a_lock_is_free_after_the_block(store):
    """Within it the run cannot be had again, not even by its own process; after it, it can."""
    with store.lock(RUN), pytest.raises(RunExistsError, match=f"process {os.getpid()} since"):
        write_run(store)
    with pytest.raises(ZeroDivisionError), store.lock(RUN):
        raise ZeroDivisionError
    assert write_run(store) == RUN
    assert (store.root / ".locks" / f"{RUN}.lock").exists()  # never deleted


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"\xff"])
def test_a_holder_that_is_not_known_is_another_process(store, content):
    """Where the note of the holder is missing or damaged, the refusal is the same."""
    owner = store.root / ".locks" / f"{RUN}.owner"
    with store.lock(RUN):
        owner.unlink() if content is None else owner.write_bytes(content)
        with (
            pytest.raises(RunExistsError, match=f"{RUN} is being written by another process"),
            store.create(small_record(), CONFIG, allow_resume=False),
        ):
            pass
