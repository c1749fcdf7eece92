"""Runs that are killed: ``python -m tests.store.kill_trials KIND FOLDER``.

Each trial is a child of this process, forked once everything is imported, that writes a run into a
store of its own below FOLDER and is ended by SIGKILL. The outcomes go to standard output as JSON.

- ``everywhere``: killed before the n-th operation on files below FOLDER, for every n.
- ``everywhere-in-place``: the same, with records that are written in place: the control.
- ``again``: killed before an operation drawn at random, resumed and killed again, four times.
- ``together``: several children at once on one run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

from avalattice.errors import AvalatticeError
from avalattice.store import record
from avalattice.store.runs import RunStore
from tests.store.small_runs import fake_stage, small_record, write_run

N_RUNS = 25
N_KILLS = 4
LONGEST = 120
"""Operations; a whole run has more, a resumed one may have fewer."""
N_TOGETHER = 6
_OPERATIONS = {
    "open",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.truncate",
    "shutil.rmtree",
}


class Countdown:
    """Kills this process before its n-th operation; counts them if n is none of them."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.seen: list[str] = []

    def __call__(self, operation: str) -> None:
        """Note one operation, or be killed before it."""
        self.seen.append(operation)
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, folder: Path) -> None:
        """Count what happens to files below a folder from now on."""
        below = f"{folder}{os.sep}"

        def hook(event: str, arguments: tuple) -> None:
            if event in _OPERATIONS and below in str(arguments[0]):
                self(event)

        def fsync(descriptor: int) -> None:  # a killed process loses nothing that it wrote
            self("os.fsync")

        sys.addaudithook(hook)
        os.fsync = fsync


def child(work) -> int:
    """Run a function in a forked process; its process id."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = work() or 0
        except AvalatticeError as error:
            code = int(error.exit_code)
        except Exception:  # noqa: BLE001 - the parent sees the code, a person the traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    """The exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def write_in_place(path: Path, content: bytes) -> None:
    """What the store must not do."""
    with path.open("wb", buffering=0) as file:
        file.write(content[: len(content) // 2])
        os.fsync(file.fileno())
        file.write(content[len(content) // 2 :])


def trial(folder: Path, n: int, *, allow_resume: bool = False) -> int:
    """Write a run in a child that is killed before its n-th operation, if it has as many."""

    def work() -> None:
        countdown = Countdown(n)
        countdown.watch(folder)
        write_run(RunStore(folder), allow_resume=allow_resume, pause=lambda: countdown("pause"))
        folder.with_suffix(".json").write_text(json.dumps(countdown.seen))

    folder.mkdir(exist_ok=True)
    return ended(child(work))


def everywhere(root: Path) -> list[int]:
    """One trial for every operation, until one is not killed any more."""
    codes: list[int] = []
    while not codes or codes[-1] == -signal.SIGKILL:
        n = len(codes) + 1
        codes.append(trial(root / f"{n:04}", n))
    return codes


def again(root: Path) -> list[list[int]]:
    """Several processes, one after the other, on each run, each killed where the draw says."""
    draw = random.Random(1337)
    return [
        [
            trial(root / f"{n:04}", draw.randint(1, LONGEST), allow_resume=True)
            for _ in range(N_KILLS)
        ]
        for n in range(N_RUNS)
    ]


def together(root: Path) -> list[int]:
    """Exit codes of processes that all write one run, at the same moment."""
    store, start = RunStore(root / "runs"), time.monotonic() + 0.2

    def work() -> None:
        time.sleep(max(0, start - time.monotonic()))
        with store.create(small_record(), "", allow_resume=True) as run:
            fake_stage(run)
            time.sleep(0.2)

    return [ended(pid) for pid in [child(work) for _ in range(N_TOGETHER)]]


def main(kind: str, root: Path) -> None:
    """Do the trials of one kind."""
    if kind.endswith("in-place"):
        record.replace_atomically = write_in_place
    kinds = {"again": again, "together": together}
    print(json.dumps(kinds.get(kind, everywhere)(root)))  # noqa: T201 - the outcome


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
