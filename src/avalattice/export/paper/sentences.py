"""Claims evaluated, each with the sentence of its verdict.

Numbers are put into the sentence, so none can outlive the data that it was written for.

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

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from avalattice.export.paper.cells import cell_words, condition_words
from avalattice.export.paper.claims import Claim, JudgedRow, Noun, few_words, judged, picks
from avalattice.export.paper.comparisons import conjunction, is_undefined
from avalattice.export.paper.markdown import listing
from avalattice.export.paper.sources import Rows
from avalattice.stats.signatures import Outcome

_NAMED: Final = 3
_REASONS_NAMED: Final = 2
_REASONS_LENGTH: Final = 200


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
    found = tuple(judged(claim, row) for row in rows if picks(claim.where, row))
    verdict = conjunction([row.verdict for row in found])
    few = few_words(row.values for row in found)
    return EvaluatedClaim(claim, verdict, found, few, _sentence(claim, verdict, found, few))


def without_rows(claim: Claim, reason: str) -> EvaluatedClaim:
    """A claim whose source is not there."""
    values = _quoted(claim, (), reason)
    return EvaluatedClaim(
        claim, Outcome.NOT_ASSESSABLE, (), (), claim.not_assessable.format_map(values)
    )


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
