"""A claim, and its evaluation: a verdict, its numbers and its sentence from rows of a table.

A claim says of every row that its filter picks: the comparison holds. Its verdict is Kleene's
conjunction over those rows: *not supported* if one fails, else *not assessable* if one is undefined
or there is none, else *supported*. Each verdict has its own sentence, into which the numbers are
put, so no sentence can outlive the data that it was written for.

A sentence may quote, in braces,

====================  ============================================================================
``{column}``          the values of a column over the rows that can be assessed: a number, a range,
                      or the words found; gains with every digit, p-values no smaller than is known
``{column:max}``      the largest of them; ``min`` the smallest
``{column:failed}``   the values over the rows that fail alone
``{measure}``         the number that the comparison computes, likewise
``{over}``            "over all", or "over the 7 that can be assessed"
``{all}``             "all 12 conditions", "both curves", "the one fit"
``{held}``            "9 of 12 conditions", "none of the 12 conditions"
``{failed}``          "3 of 12 conditions (one-sided, target 0.4, g = 0.7; …)"
``{open}``            " on 3 of 12 conditions" if only some are undefined, else nothing
``{why}``             the reasons that the table gives for rows that fail, each with their number
``{reasons}``         the reasons why rows are undefined, each with their number
====================  ============================================================================

Of a claim that fails, rows that are undefined are counted at the end of its sentence; of one that
is not assessable, the rows on which it holds. Intervals from few windows are said to be such.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

from avalattice.canon import GCondition, SpikeDefId
from avalattice.export.figures.words import gain_words
from avalattice.export.paper.comparisons import (
    Comparison,
    Equals,
    Row,
    conjunction,
    is_undefined,
)
from avalattice.export.paper.markdown import UNDEFINED, listing, number, one_line, p_value
from avalattice.export.paper.sources import Rows, Source
from avalattice.stats.signatures import Outcome

QUOTABLE: Final = ("all", "held", "failed", "open", "over", "why", "reasons", "measure")
"""What a sentence may quote beside columns."""
FEW_COLUMNS: Final = ("few_windows", "few_questions")
_FEW_WORDS: Final = dict(zip(FEW_COLUMNS, ("few windows", "few questions"), strict=True))
_NAMED: Final = 3
_REASONS_NAMED: Final = 2
_REASONS_LENGTH: Final = 200


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


@dataclass(frozen=True)
class EvaluatedClaim:
    """A claim with its verdict."""

    claim: Claim
    verdict: Outcome
    rows: tuple[JudgedRow, ...]
    few: tuple[str, ...]
    """Such as ``few windows``: what the rows rest on, where that is too little."""
    sentence: str
    """Plain text; :func:`~avalattice.export.paper.markdown.prose` makes Markdown of it."""

    @property
    def numbers(self) -> dict[str, float | int | None]:
        """How many rows came to which verdict, and the range of every number that was read."""
        counts = Counter(row.verdict for row in self.rows)
        numbers: dict[str, float | int | None] = {"n_rows": len(self.rows)}
        numbers |= {f"n_{outcome.value}": counts[outcome] for outcome in Outcome}
        for name, found in _columns_of(self.rows).items():
            values = Values(name, found)
            if values.is_numeric:
                numbers |= {f"{name}_min": values.low, f"{name}_max": values.high}
        return numbers


def evaluate(claim: Claim, rows: Rows) -> EvaluatedClaim:
    """Evaluate a claim on the rows of its source."""
    judged = tuple(_judged(claim, row) for row in rows if picks(claim.where, row))
    verdict = conjunction([row.verdict for row in judged])
    few = few_words(row.values for row in judged)
    return EvaluatedClaim(claim, verdict, judged, few, _sentence(claim, verdict, judged, few))


def without_rows(claim: Claim, reason: str) -> EvaluatedClaim:
    """A claim whose source is not there."""
    values = _quoted(claim, (), reason)
    return EvaluatedClaim(
        claim, Outcome.NOT_ASSESSABLE, (), (), claim.not_assessable.format_map(values)
    )


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


def _judged(claim: Claim, row: Row) -> JudgedRow:
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


# ------------------------------------------------------------------------------------ sentences


@dataclass(frozen=True)
class Values:
    """The defined values of one column, as sentences quote them."""

    name: str
    found: tuple[Any, ...] = ()
    """Over the rows that can be assessed."""
    failed: tuple[Any, ...] = ()
    """Over the rows that fail."""

    @property
    def is_numeric(self) -> bool:
        """Whether there are any, all of them numbers."""
        numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in self.found]
        return bool(numbers) and all(numbers)

    @property
    def low(self) -> Any:
        """The smallest."""
        return min(self.found)

    @property
    def high(self) -> Any:
        """The largest."""
        return max(self.found)

    def __format__(self, spec: str) -> str:
        if spec == "failed":
            return f"{Values(self.name, self.failed)}"
        if not self.found:
            return "undefined"
        if not self.is_numeric:
            return ", ".join(dict.fromkeys(cell_words(self.name, value) for value in self.found))
        ends = {"min": [self.low], "max": [self.high]}.get(spec, [self.low, self.high])
        return " to ".join(dict.fromkeys(cell_words(self.name, end) for end in ends))


def _columns_of(rows: Iterable[JudgedRow]) -> dict[str, tuple[Any, ...]]:
    """The defined values of every column, and of the measure."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in (*row.values.items(), ("measure", row.measure)):
            found.setdefault(name, []).extend([] if is_undefined(value) else [value])
    return {name: tuple(values) for name, values in found.items()}


def _quoted(claim: Claim, rows: Sequence[JudgedRow], no_rows: str) -> dict[str, Any]:
    """What each placeholder stands for."""
    held, failed, undefined = (
        [row for row in rows if row.verdict is outcome]
        for outcome in (Outcome.SUPPORTED, Outcome.NOT_SUPPORTED, Outcome.NOT_ASSESSABLE)
    )
    # a row that cannot be assessed may hold numbers all the same: those of a refused fit
    found = _columns_of(row for row in rows if row.verdict is not Outcome.NOT_ASSESSABLE)
    of_failed = _columns_of(failed)
    return {
        **{
            name: Values(name, found.get(name, ()), of_failed.get(name, ()))
            for name in claim.placeholders
        },
        "all": _all_of(len(rows), claim.noun),
        "held": _some_of(len(held), len(rows), claim.noun),
        "failed": _failed(failed, len(rows), claim),
        "open": _open(len(undefined), len(rows), claim.noun),
        "over": _over(len(rows) - len(undefined), len(rows)),
        "why": _reasons(failed),
        "reasons": _reasons(undefined) if rows else no_rows,
    }


def _sentence(claim: Claim, verdict: Outcome, rows: Sequence[JudgedRow], few: Sequence[str]) -> str:
    values = _quoted(claim, rows, claim.empty)
    template = {
        Outcome.SUPPORTED: claim.supported,
        Outcome.NOT_SUPPORTED: claim.not_supported,
        Outcome.NOT_ASSESSABLE: claim.not_assessable,
    }[verdict]
    sentence = template.format_map(values)
    n_held = sum(row.verdict is Outcome.SUPPORTED for row in rows)
    n_undefined = sum(row.verdict is Outcome.NOT_ASSESSABLE for row in rows)
    if verdict is Outcome.NOT_ASSESSABLE and n_held:
        sentence += f" The claim holds for the other {_count(n_held, claim.noun)}."
    if verdict is Outcome.NOT_SUPPORTED and n_undefined:
        undefined = _some_of(n_undefined, len(rows), claim.noun)
        sentence += f" Not assessable: {undefined} ({values['reasons']})."
    return f"{sentence} ({'; '.join(few).capitalize()}.)" if few else sentence


def _count(n: int, noun: Noun) -> str:
    return f"{n} {noun.one if n == 1 else noun.many}"


def _all_of(n: int, noun: Noun) -> str:
    words = {0: f"no {noun.one}", 1: f"the one {noun.one}", 2: f"both {noun.many}"}
    return words.get(n, f"all {n} {noun.many}")


def _some_of(n: int, total: int, noun: Noun) -> str:
    if n == total:
        return _all_of(total, noun)
    if n == 0:
        return f"no {noun.one}" if total == 1 else f"none of the {total} {noun.many}"
    return f"{n} of {total} {noun.many}"


def _open(n: int, total: int, noun: Noun) -> str:
    return f" on {_some_of(n, total, noun)}" if 0 < n < total else ""


def _over(n: int, total: int) -> str:
    words = "one" if n == 1 else str(n)
    return "over all" if n == total else f"over the {words} that can be assessed"


def _failed(failed: Sequence[JudgedRow], total: int, claim: Claim) -> str:
    some = _some_of(len(failed), total, claim.noun)
    if len(failed) == total:
        return some
    told_by = claim.noun.told_by or claim.source.key
    known = (row.key | row.values for row in failed)
    names = [condition_words({name: row[name] for name in told_by}) for row in known]
    return f"{some} ({listing(names, most=_NAMED)})"


def _reasons(rows: Sequence[JudgedRow]) -> str:
    """Each reason once, with the number of rows where there are several; long ones only counted."""
    counts = Counter(row.reason for row in rows if row.reason)
    texts = [f"{reason} ({n}×)" if n > 1 else reason for reason, n in counts.most_common()]
    if sum(map(len, texts[:_REASONS_NAMED])) > _REASONS_LENGTH:
        return "the table gives the reasons"
    return listing(texts, most=_REASONS_NAMED) or "no reason is given"


_VALUE_WORDS: Final = {
    str(SpikeDefId.SPIKE_ONE_SIDED_POS): "one-sided",
    str(SpikeDefId.SPIKE_TWO_SIDED_ABS): "two-sided",
    str(GCondition.G1): "g = 1",
    str(GCondition.GSTAR): "g*",
    "size": "sizes",
    "span_tokens": "token spans",
}
_COLUMN_WORDS: Final = {
    "target_label": "target {}",
    "g": "g = {}",
    "gain": "g = {}",
    "scoring": "{} scoring",
}
_UNSAID: Final = ("window_set", "signature_id", "adjacency_id")
_GAINS: Final = ("g", "gain", str(GCondition.GSTAR), "gstar_base", "gstar_instruct")
_P_VALUE: Final = re.compile(r"(^|_)p(_|$)")  # ks_p, p_adj, delta_b_time_p_adj


def value_words(value: Any) -> str:
    """A spike definition, a gain condition or a fitted variable in words; else the text itself."""
    return _VALUE_WORDS.get(str(value), str(value))


def cell_words(name: str, value: Any) -> str:
    """A value of a column: texts in words, gains as configured, and p-values with their floor.

    >>> cell_words("gstar_base", 1.005), cell_words("crossing", 1.005), cell_words("p_adj", 0.0)
    ('1.005', '1', '< 1e-99')
    """
    if isinstance(value, str):
        return value_words(value)
    if is_undefined(value):
        return UNDEFINED
    if name in _GAINS:
        return gain_words(value)
    return p_value(value) if _P_VALUE.search(name) else number(value)


def condition_words(key: Mapping[str, Any]) -> str:
    """A row's key in words.

    >>> condition_words({"spike_def_id": "SPIKE_ONE_SIDED_POS", "target_label": "0.4", "g": 0.7})
    'one-sided, target 0.4, g = 0.7'
    """
    said = {name: value for name, value in key.items() if name not in _UNSAID}
    return ", ".join(
        _COLUMN_WORDS.get(name, "{}").format(cell_words(name, value))
        for name, value in said.items()
    )
