"""The comparisons that a claim can make: a closed set, each a pure function of one table row.

A comparison holds, does not hold, or is undefined, which it is where a number that it reads is. An
*interval* comparison reads the ends of an interval that the table holds; it computes none. A bound
is a number, or the name of another column of the same row.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from avalattice.stats.signatures import Outcome

Row: TypeAlias = Mapping[str, Any]
Bound: TypeAlias = float | str
"""A number, or the column that holds it."""


class Comparison(ABC):
    """What is asked of a row."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""

    @property
    @abstractmethod
    def statement(self) -> str:
        """The comparison in symbols."""

    @abstractmethod
    def holds(self, row: Row) -> bool | None:
        """Whether it holds where all that it reads is defined; None if it has no answer."""

    def measure(self, row: Row) -> float | None:  # noqa: ARG002 - for those that compute one
        """A number that the comparison computes, and sentences may quote."""
        return None

    def why_open(self, row: Row) -> str:  # noqa: ARG002 - for those that may leave it open
        """Why it has no answer though all that it reads is defined; empty where that is not so."""
        return ""

    def judge(self, row: Row) -> Outcome:
        """The verdict on a row."""
        if any(is_undefined(row[name]) for name in self.columns):
            return Outcome.NOT_ASSESSABLE
        return _outcome(self.holds(row))

    @property
    def kind(self) -> str:
        """The name of the comparison, such as ``interval_above``."""
        return re.sub("(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()


def is_undefined(value: Any) -> bool:
    """Whether a cell is empty: null, or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _outcome(holds: bool | None) -> Outcome:
    if holds is None:
        return Outcome.NOT_ASSESSABLE
    return Outcome.SUPPORTED if holds else Outcome.NOT_SUPPORTED


def _value(bound: Bound, row: Row) -> float:
    return float(row[bound]) if isinstance(bound, str) else bound


def _names(*bounds: Bound) -> tuple[str, ...]:
    return tuple(bound for bound in bounds if isinstance(bound, str))


@dataclass(frozen=True)
class Above(Comparison):
    """A number, or the lower end of its interval, lies above a bound."""

    column: str
    bound: Bound = 0.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The number, and the bound's column."""
        return (self.column, *_names(self.bound))

    @property
    def statement(self) -> str:
        """In symbols."""
        return f"{self.column} > {_text(self.bound)}"

    def holds(self, row: Row) -> bool:
        """Strictly above."""
        return float(row[self.column]) > _value(self.bound, row)


@dataclass(frozen=True)
class IntervalAbove(Above):
    """The whole interval, whose lower end is the column, lies above a bound."""


@dataclass(frozen=True)
class Below(Comparison):
    """A number lies below a bound; of p-values, that a null is rejected."""

    column: str
    bound: Bound

    @property
    def columns(self) -> tuple[str, ...]:
        """The number, and the bound's column."""
        return (self.column, *_names(self.bound))

    @property
    def statement(self) -> str:
        """In symbols."""
        return f"{self.column} < {_text(self.bound)}"

    def holds(self, row: Row) -> bool:
        """Strictly below."""
        return float(row[self.column]) < _value(self.bound, row)


@dataclass(frozen=True)
class IntervalExcludes(Comparison):
    """A bound lies outside an interval."""

    low: str
    high: str
    bound: Bound = 0.0

    @property
    def columns(self) -> tuple[str, ...]:
        """Both ends, and the bound's column."""
        return (self.low, self.high, *_names(self.bound))

    @property
    def statement(self) -> str:
        """In symbols."""
        return f"{_text(self.bound)} outside [{self.low}, {self.high}]"

    def holds(self, row: Row) -> bool:
        """Ends belong to the interval."""
        return not row[self.low] <= _value(self.bound, row) <= row[self.high]


@dataclass(frozen=True)
class Outside(Comparison):
    """A number lies outside a range, such as that of a null's draws."""

    column: str
    low: str
    high: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The number and both ends."""
        return (self.column, self.low, self.high)

    @property
    def statement(self) -> str:
        """In symbols."""
        return f"{self.column} outside [{self.low}, {self.high}]"

    def holds(self, row: Row) -> bool:
        """Ends belong to the range."""
        return not row[self.low] <= row[self.column] <= row[self.high]


@dataclass(frozen=True)
class IntervalIncludes(Comparison):
    """A bound lies inside an interval that is narrow enough for that to mean something."""

    low: str
    high: str
    bound: float
    widest: float
    """A wider interval that includes the bound leaves the question open."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Both ends."""
        return (self.low, self.high)

    @property
    def statement(self) -> str:
        """In symbols."""
        inside = f"{_text(self.bound)} inside [{self.low}, {self.high}]"
        return f"{inside}, no wider than {_text(self.widest)}"

    def holds(self, row: Row) -> bool | None:
        """Ends belong to the interval; None where it includes the bound but is too wide."""
        if not row[self.low] <= self.bound <= row[self.high]:
            return False
        return None if row[self.high] - row[self.low] > self.widest else True

    def why_open(self, row: Row) -> str:
        """The width, where it is too large."""
        if any(is_undefined(row[name]) for name in self.columns) or self.holds(row) is not None:
            return ""
        width = row[self.high] - row[self.low]
        return f"the interval is {width:.2g} wide, {_text(self.widest)} allowed"


@dataclass(frozen=True)
class Equals(Comparison):
    """A column holds one value: a number, a word, yes or no."""

    column: str
    value: float | str | bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    @property
    def statement(self) -> str:
        """In symbols."""
        value = self.value if isinstance(self.value, str) else _text(float(self.value))
        if isinstance(self.value, bool):
            value = str(self.value).lower()
        return f"{self.column} = {value}"

    def holds(self, row: Row) -> bool:
        """Exactly equal."""
        return bool(row[self.column] == self.value)


@dataclass(frozen=True)
class Within(Comparison):
    """A number deviates from another by no more than a share of it."""

    column: str
    reference: str
    share: float

    @property
    def columns(self) -> tuple[str, ...]:
        """The number and the reference."""
        return (self.column, self.reference)

    @property
    def statement(self) -> str:
        """In symbols."""
        return f"|{self.column} / {self.reference} − 1| ≤ {_text(self.share)}"

    def measure(self, row: Row) -> float | None:
        """The ratio of the two."""
        if any(is_undefined(row[name]) for name in self.columns) or not row[self.reference]:
            return None
        return float(row[self.column] / row[self.reference])

    def holds(self, row: Row) -> bool | None:
        """None where the reference is zero."""
        ratio = self.measure(row)
        return None if ratio is None else abs(ratio - 1) <= self.share


@dataclass(frozen=True)
class TimesAbove(Comparison):
    """A number is at least a factor times another."""

    column: str
    factor: float
    other: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Both numbers."""
        return (self.column, self.other)

    @property
    def statement(self) -> str:
        """In symbols."""
        return f"{self.column} ≥ {_text(self.factor)} · {self.other}"

    def holds(self, row: Row) -> bool:
        """At least."""
        return bool(row[self.column] >= self.factor * row[self.other])


@dataclass(frozen=True)
class VerdictIs(Comparison):
    """A verdict that the table holds already, taken over."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The verdict."""
        return (self.column,)

    @property
    def statement(self) -> str:
        """In symbols."""
        return f"{self.column} = {Outcome.SUPPORTED.value}"

    def holds(self, row: Row) -> bool | None:
        """None for a verdict of not assessable."""
        return _HOLDS[Outcome(row[self.column])]


_HOLDS: Final = {
    Outcome.SUPPORTED: True,
    Outcome.NOT_SUPPORTED: False,
    Outcome.NOT_ASSESSABLE: None,
}


@dataclass(frozen=True)
class Every(Comparison):
    """Several comparisons hold together."""

    parts: tuple[Comparison, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of every part, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.columns))

    @property
    def statement(self) -> str:
        """In symbols."""
        return " and ".join(part.statement for part in self.parts)

    def judge(self, row: Row) -> Outcome:
        """False where a part is, and else undefined where a part is."""
        return conjunction([part.judge(row) for part in self.parts])

    def holds(self, row: Row) -> bool | None:
        """As :meth:`judge`."""
        return _HOLDS[self.judge(row)]


def conjunction(outcomes: list[Outcome]) -> Outcome:
    """Kleene's *and*: one that fails settles it; else one that is undefined leaves it open.

    >>> conjunction([Outcome.SUPPORTED, Outcome.NOT_ASSESSABLE]).value
    'not_assessable'
    >>> conjunction([Outcome.NOT_SUPPORTED, Outcome.NOT_ASSESSABLE]).value
    'not_supported'
    """
    if Outcome.NOT_SUPPORTED in outcomes:
        return Outcome.NOT_SUPPORTED
    if Outcome.NOT_ASSESSABLE in outcomes or not outcomes:
        return Outcome.NOT_ASSESSABLE
    return Outcome.SUPPORTED


def _text(bound: Bound) -> str:
    return bound if isinstance(bound, str) else f"{bound:g}"
