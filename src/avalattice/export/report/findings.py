"""What was found, in words: one card for each question, and one row for each curve.

A curve is b_tot against g under one spike definition and one target. Verdicts are those of phases 2
and 5, none is made here; a negative one is said as plainly as a positive one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avalattice.canon import CONST, WindowSet
from avalattice.export.documents import GStarEntry, PercolationEntry, SignatureEntry
from avalattice.export.report.tables import interval_texts, number_text
from avalattice.export.report.wording import GSTAR_QUESTION, QUESTIONS, SPIKE_WORDS, Question
from avalattice.stats.signatures import SIGNIFICANCE, Outcome

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Curve:
    """A spike definition and a target."""

    spike_def_id: str
    target_label: str

    @property
    def events(self) -> str:
        """The spike definition for people."""
        return SPIKE_WORDS.get(self.spike_def_id, self.spike_def_id)

    @property
    def words(self) -> str:
        """Both for people."""
        return f"{self.events}, target {self.target_label}"


@dataclass(frozen=True)
class Judgement:
    """One question, answered for one curve."""

    outcome: Outcome | None
    """None where no run has answered it."""
    label: str
    """The answer in a word or two."""
    words: str
    """Why, with numbers."""


@dataclass(frozen=True)
class CurveJudgements:
    """Every question, answered for one curve of one model."""

    id: str
    """Anchor in the page."""
    model_role: str
    curve: Curve
    judgements: tuple[Judgement, ...]
    """In the order of the questions."""
    remark: str
    """What the verdicts are to be read beside; empty where there is nothing."""


@dataclass(frozen=True)
class Tally:
    """How one question was answered for one model."""

    model_role: str
    curves: tuple[CurveJudgements, ...]
    answers: tuple[Judgement, ...]
    """One for each curve."""
    holds: str
    """On how many curves the answer is yes."""
    otherwise: str
    """How many of each other answer."""


@dataclass(frozen=True)
class Card:
    """One question with its answers."""

    question: Question
    tallies: tuple[Tally, ...]


@dataclass(frozen=True)
class RoleResults:
    """What the runs of one model hold, as far as words are made of it."""

    model_role: str
    choices: tuple[GStarEntry, ...] = ()
    signatures: tuple[SignatureEntry, ...] | None = None
    """None where phase 5 has not run."""
    percolation: tuple[PercolationEntry, ...] = ()
    grid: tuple[Row, ...] = ()
    """Rows with spike_def_id, target_label, gain and b_tot, on calibration windows."""
    summary: tuple[Row, ...] = ()
    """Rows of T01."""


# ----------------------------------------------------------------------------- rows and cards


def judge_curves(results: RoleResults) -> tuple[CurveJudgements, ...]:
    """The judgements of every curve of one model."""
    signatures = {
        (entry.spike_def_id, entry.target_label, entry.signature_id): entry
        for entry in results.signatures or ()
    }
    rows = []
    for number, choice in enumerate(results.choices):
        curve = Curve(choice.spike_def_id, choice.target_label)
        entries = (
            signatures.get((curve.spike_def_id, curve.target_label, question.id))
            for question in QUESTIONS
            if question is not GSTAR_QUESTION
        )
        rows.append(
            CurveJudgements(
                id=f"curve-{results.model_role}-{number}",
                model_role=results.model_role,
                curve=curve,
                judgements=(_gstar_judgement(choice), *map(_signature_judgement, entries)),
                remark=_percolation_words(results.percolation, choice),
            )
        )
    return tuple(rows)


def _gstar_judgement(choice: GStarEntry) -> Judgement:
    if choice.gstar is None:
        return Judgement(Outcome.NOT_ASSESSABLE, "no g*", choice.reason or "")
    outcome = Outcome.SUPPORTED if choice.identifiable else Outcome.NOT_SUPPORTED
    label = "identifiable" if choice.identifiable else "not identifiable"
    return Judgement(outcome, label, "; ".join(_gstar_words(choice)))


def _gstar_words(choice: GStarEntry) -> list[str]:
    """Of a g* that was chosen: the value, why it is not identifiable, and its numbers."""
    words = [f"g* = {choice.gstar}, b_tot {_text(choice.b_tot)}"]
    if choice.at_grid_edge:
        words[0] += ", at the edge of the grid"
    if choice.reason:
        words.append(choice.reason)
    if choice.crossing is not None:
        ends = (choice.crossing_ci_low, choice.crossing_ci_high)
        words.append(f"crossing {_with_interval(choice.crossing, *ends)}")
    if choice.slope is not None:
        ends = (choice.slope_ci_low, choice.slope_ci_high)
        words.append(f"slope db_tot/dg {_with_interval(choice.slope, *ends)}")
    share = choice.shares.get(choice.gstar or "")
    if share is not None:
        words.append(f"{share:.0%} of window resamples choose it")
    return words


def _signature_judgement(entry: SignatureEntry | None) -> Judgement:
    if entry is None:
        return Judgement(None, "not judged yet", "")
    return Judgement(Outcome(entry.verdict), entry.verdict.replace("_", " "), entry.reason)


def _percolation_words(entries: Sequence[PercolationEntry], choice: GStarEntry) -> str:
    """What is said of the occupancy at g*, or at the baseline where there is no g*."""
    at = choice.gstar or str(CONST.GAIN_BASELINE)
    for entry in entries:
        if (entry.spike_def_id, entry.target_label, entry.g) == (
            choice.spike_def_id,
            choice.target_label,
            at,
        ):
            return entry.words
    return ""


def build_cards(by_role: Sequence[tuple[CurveJudgements, ...]]) -> tuple[Card, ...]:
    """One card for each question, with a tally for each model."""
    return tuple(
        Card(
            question,
            tuple(_tally(curves, position) for curves in by_role if curves),
        )
        for position, question in enumerate(QUESTIONS)
    )


def _tally(curves: tuple[CurveJudgements, ...], position: int) -> Tally:
    answers = tuple(curve.judgements[position] for curve in curves)
    judged = [answer for answer in answers if answer.outcome is not None]
    holding = sum(answer.outcome is Outcome.SUPPORTED for answer in judged)
    labels = dict.fromkeys(a.label for a in judged if a.outcome is not Outcome.SUPPORTED)
    others = (f"{sum(a.label == label for a in judged)} {label}" for label in labels)
    holds = f"{holding or 'none'} of {len(judged)}" if judged else "not judged yet"
    return Tally(curves[0].model_role, curves, answers, holds, ", ".join(others))


# ---------------------------------------------------------------------------------- sentences


def found_sentences(results: RoleResults, curves: Sequence[CurveJudgements]) -> tuple[str, ...]:
    """What was found on one model, in sentences that begin with the verdicts."""
    sentences = []
    if curves:
        sentences.append(_gstar_sentence(curves))
        sentences.append(_signature_sentence(results, curves))
    sentences.append(_gain_sentence(results.grid))
    sentences.append(_surplus_sentence(results.summary))
    return tuple(sentence for sentence in sentences if sentence)


def _gstar_sentence(curves: Sequence[CurveJudgements]) -> str:
    n = len(curves)
    held = sum(curve.judgements[0].outcome is Outcome.SUPPORTED for curve in curves)
    if held == 0:
        return f"The data do not determine g* on any of {_curves(n)}."
    return f"The data determine g* on {held} of {_curves(n)}."


def _signature_sentence(results: RoleResults, curves: Sequence[CurveJudgements]) -> str:
    if results.signatures is None:
        return "The signatures S1 to S3 have not been judged yet."
    short = [question.title.split()[0] for question in QUESTIONS]
    held = {
        short[i]: sum(curve.judgements[i].outcome is Outcome.SUPPORTED for curve in curves)
        for i in range(1, len(QUESTIONS))
    }
    if not any(held.values()):
        return f"No signature ({', '.join(held)}) is supported on any of them."
    counts = (f"{name} on {count or 'none'}" for name, count in held.items())
    return f"Supported: {', '.join(counts)} of {_curves(len(curves))}."


def _gain_sentence(grid: Sequence[Row]) -> str:
    """How far the gain moves b_tot at one target, and how far the target does at the baseline."""
    values = [row for row in grid if row["b_tot"] is not None]
    along_gain = _ranges(values, ("spike_def_id", "target_label"), "gain")
    base = [row for row in values if row["gain"] == float(CONST.GAIN_BASELINE)]
    along_target = _ranges(base, ("spike_def_id",), "target_label")
    if not along_gain or not along_target:
        return ""
    return (
        f"Over the gains, b_tot moves by at most {max(along_gain):.2g} at any one target; over the "
        f"targets it moves by {max(along_target):.2g} at g = 1."
    )


def _ranges(rows: Sequence[Row], group: Sequence[str], along: str) -> list[float]:
    """max − min of b_tot within each group that holds several values of ``along``."""
    groups: dict[tuple[Any, ...], dict[Any, float]] = {}
    for row in rows:
        key = tuple(row[name] for name in group)
        groups.setdefault(key, {})[row[along]] = row["b_tot"]
    return [max(g.values()) - min(g.values()) for g in groups.values() if len(g) > 1]


def _surplus_sentence(summary: Sequence[Row]) -> str:
    """On how many curves layers are more aligned than the shift null has it, held out, at g = 1."""
    rows = [
        row
        for row in summary
        if row["window_set"] == WindowSet.RASTER and row["g"] == float(CONST.GAIN_BASELINE)
    ]
    tested = [row for row in rows if row["delta_b_depth_shift_p_adj"] is not None]
    if not tested:
        return ""
    above = [
        row["delta_b_depth_shift"]
        for row in tested
        if row["delta_b_depth_shift"] > 0 and row["delta_b_depth_shift_p_adj"] < SIGNIFICANCE
    ]
    found = (
        f"On held-out windows at g = 1, b_depth exceeds the shift null on {len(above) or 'none'} of"
        f" {_curves(len(tested))} (adjusted p < {SIGNIFICANCE})"
    )
    if not above:
        return f"{found}."
    ends = dict.fromkeys(f"{surplus:.2g}" for surplus in (min(above), max(above)))
    return f"{found}, by {' to '.join(ends)}; input that all layers share would do that too."


def _curves(n: int) -> str:
    return f"{n} curve{'' if n == 1 else 's'}"


def _text(value: float | None) -> str:
    return "undefined" if value is None else number_text(value)


def _with_interval(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return number_text(value)
    text, *ends = interval_texts(value, low, high)
    return f"{text} [{', '.join(ends)}]"
