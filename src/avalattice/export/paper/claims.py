"""A claim, and what it comes to on each row of its table.

A claim says of every row that its filter picks: the comparison holds. Its verdict is Kleene's
conjunction over those rows: *not supported* if one fails, else *not assessable* if one is undefined
or there is none, else *supported*. Each verdict has its own sentence
(:mod:`avalattice.export.paper.sentences`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

from avalattice.export.paper.comparisons import Comparison, Equals, Row, is_undefined
from avalattice.export.paper.markdown import one_line
from avalattice.export.paper.sources import Source
from avalattice.stats.signatures import Outcome

QUOTABLE: Final = ("all", "held", "failed", "open", "over", "why", "reasons", "measure")
"""What a sentence may quote beside columns."""
FEW_COLUMNS: Final = ("few_windows", "few_questions")
_FEW_WORDS: Final = dict(zip(FEW_COLUMNS, ("few windows", "few questions"), strict=True))


@dataclass(frozen=True)
class Noun:
    """What the rows of a claim are."""

    one: str
    many: str
    told_by: tuple[str, ...] = ()
    """The columns that tell them apart in sentences; the source's key if none are named."""


CONDITIONS: Final = Noun("condition", "conditions")
CURVES: Final = Noun("curve", "curves")
DISTINCT_GSTAR: Final = Noun("g*", "distinct g*", ("g",))
"""Rows of what depends on the gain alone."""


@dataclass(frozen=True)
class Gate:
    """What a row must have for a comparison to be assessable."""

    column: str
    value: str | bool


@dataclass(frozen=True)
class Claim:
    """One statement about rows of one source."""

    claim_id: str
    """A name that stays the same from run to run."""
    source: Source
    where: tuple[Mapping[str, Any], ...]
    """The rows that have all values of one of these; none at all picks none."""
    comparison: Comparison
    supported: str
    """The sentence if it holds on every row."""
    not_supported: str
    """The sentence if it fails on one."""
    not_assessable: str
    """The sentence if it is undefined on one, and fails on none."""
    noun: Noun = CONDITIONS
    gates: tuple[Gate, ...] = ()
    reason_column: str | None = None
    """Where the source says why a row lacks a number, or fails."""
    further_reason: str | None = None
    """Where it says so if that column is silent."""
    empty: str = "there is no such row"
    """The reason if the filter picks none."""

    @property
    def statement(self) -> str:
        """The comparison in symbols, with its gates."""
        gates = " and ".join(Equals(gate.column, gate.value).statement for gate in self.gates)
        return f"{self.comparison.statement}{', where ' if gates else ''}{gates}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it reads, but for those of its filter."""
        gates = (gate.column for gate in self.gates)
        few = tuple(name for name in FEW_COLUMNS if name in self.source.columns)
        quoted = (name for name in self.placeholders if name not in QUOTABLE)
        told = (*quoted, *self.noun.told_by)
        return tuple(
            dict.fromkeys((*self.comparison.columns, *told, *gates, *self.reason_columns, *few))
        )

    @property
    def reason_columns(self) -> tuple[str, ...]:
        """The columns of reasons, the first to be asked first."""
        return tuple(filter(None, (self.reason_column, self.further_reason)))

    @property
    def placeholders(self) -> tuple[str, ...]:
        """What its sentences quote."""
        sentences = (self.supported, self.not_supported, self.not_assessable)
        fields = (name for text in sentences for _, name, _, _ in Formatter().parse(text) if name)
        return tuple(dict.fromkeys(fields))


@dataclass(frozen=True)
class JudgedRow:
    """What a claim comes to on one row."""

    key: dict[str, Any]
    """The row's key."""
    values: dict[str, Any]
    """The columns that the claim reads."""
    measure: float | None
    """What the comparison computes."""
    verdict: Outcome
    reason: str
    """Why the row is undefined, or what the source says of it; may be empty."""


def few_words(rows: Iterable[Row]) -> tuple[str, ...]:
    """What too little is behind one of the rows: ``few windows``, ``few questions``, or nothing."""
    flags = {name for row in rows for name in FEW_COLUMNS if row.get(name)}
    return tuple(words for name, words in _FEW_WORDS.items() if name in flags)


def picks(where: Iterable[Mapping[str, Any]], row: Row) -> bool:
    """Whether a filter picks a row.

    Gains are the doubles nearest to the configuration's decimals, here and in the tables, so that
    equal gains are equal numbers.
    """
    return any(all(row[name] == value for name, value in equal.items()) for equal in where)


def judged(claim: Claim, row: Row) -> JudgedRow:
    """A claim on one row."""
    closed = [gate.column for gate in claim.gates if row[gate.column] != gate.value]
    verdict = Outcome.NOT_ASSESSABLE if closed else claim.comparison.judge(row)
    return JudgedRow(
        {name: row[name] for name in claim.source.key},
        {name: row[name] for name in claim.columns},
        claim.comparison.measure(row),
        verdict,
        _reason(claim, row, closed, is_open=verdict is Outcome.NOT_ASSESSABLE),
    )


def _reason(claim: Claim, row: Row, closed: Sequence[str], *, is_open: bool) -> str:
    """What the comparison says of a row that it leaves open, else what the source says."""
    why_open = "" if closed else claim.comparison.why_open(row)
    told = next((row[name] for name in claim.reason_columns if row[name]), None)
    if why_open or told or not is_open:
        return why_open or one_line(told or "")
    empty = [name for name in claim.comparison.columns if is_undefined(row[name])]
    return f"no {', '.join(closed or empty)}"
