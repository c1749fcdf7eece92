"""Engines: who runs the batches.

The science hands an engine a function and an iterable of tasks, and consumes the results in the
order of the tasks. Tasks are drawn one at a time and do not depend on who runs them, so an engine
that distributes them could take this one's place without changing a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs tasks and yields their results in the order of the tasks."""

    def map(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """The results of ``work`` on each task, in order."""
        ...


class LocalEngine:
    """Runs each task in this process when its result is asked for."""

    def map(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """The results of ``work`` on each task, in order."""
        return map(work, tasks)
