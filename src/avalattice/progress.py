"""Progress: a live bar on a terminal, timestamped lines in a log, JSON lines for programs.

Everything goes to standard error; standard output carries results only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

ProgressMode: TypeAlias = Literal["auto", "bar", "log", "json", "none"]
_SECONDS_BETWEEN_LINES = 5.0


def _write_line(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Task:
    """Something that takes a while, counted in windows or the like."""

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.done = 0

    def advance(self, amount: int = 1) -> None:
        """Count ``amount`` more as done."""
        self.done += amount


class _BarTask(Task):
    def __init__(self, name: str, total: int, progress: Progress) -> None:
        super().__init__(name, total)
        self._progress = progress
        self._id = progress.add_task(name, total=total)

    def advance(self, amount: int = 1) -> None:
        super().advance(amount)
        self._progress.advance(self._id, amount)


class _LineTask(Task):
    def __init__(self, name: str, total: int, *, as_json: bool) -> None:
        super().__init__(name, total)
        self._as_json = as_json
        self._last = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        super().advance(amount)
        now = time.monotonic()
        if self.done >= self.total or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self._print()

    def _print(self) -> None:
        utc = datetime.now(UTC).isoformat(timespec="seconds")
        if self._as_json:
            line = json.dumps(
                {"utc": utc, "task": self.name, "done": self.done, "total": self.total}
            )
        else:
            line = f"{utc} {self.name} {self.done}/{self.total}"
        _write_line(line)


class Reporter:
    """Shows tasks in the chosen mode."""

    def __init__(self, mode: ProgressMode = "auto") -> None:
        if mode == "auto":
            mode = "bar" if sys.stderr.isatty() else "log"
        self.mode = mode
        self._console = Console(stderr=True)

    def say(self, text: str) -> None:
        """A line for the person who is watching."""
        if self.mode == "bar":
            self._console.print(text, highlight=False, markup=False)
        elif self.mode == "log":
            _write_line(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}")
        elif self.mode == "json":
            _write_line(json.dumps({"message": text}))

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Task]:
        """A task of ``total`` parts."""
        if self.mode == "bar":
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self._console) as progress:
                yield _BarTask(name, total, progress)
        elif self.mode == "none":
            yield Task(name, total)
        else:
            yield _LineTask(name, total, as_json=self.mode == "json")
