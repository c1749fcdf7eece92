"""Rows of T03, and of the questions that it is recomputed from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from avalattice.canon import CONST, Scoring
from avalattice.data.mcq import Question
from avalattice.data.prompts import TEMPLATES, EncodedQuestion
from avalattice.export.compared_gains import ComparedGain, compared_gains
from avalattice.export.documents import GStarDocument
from avalattice.export.tables import Provenance
from avalattice.rng import decimal_text
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.choices import (
    ChoiceDifference,
    ChoiceSummary,
    Estimate,
    Outcomes,
    chosen_options,
    compare_choices,
    summarise_choices,
)
from avalattice.stats.multiplicity import benjamini_hochberg

Pass: TypeAlias = tuple[Scoring, Decimal]
"""All questions put in one way at one gain."""


@dataclass(frozen=True)
class ScoredOptions:
    """Scores of every option of all questions in one pass."""

    encoded: Sequence[EncodedQuestion]
    """What the model was given."""
    logprob: Float64[np.ndarray, "Q K"]
    """Log-probabilities in nats, NaN beyond a question's options."""
    n_tokens: Int64[np.ndarray, "Q K"]
    """Tokens of each option."""
    n_characters: Int64[np.ndarray, "Q K"]
    """Characters of each option's text."""


def arc_item_rows(
    provenance: Provenance,
    questions: Sequence[Question],
    scored: Mapping[Pass, ScoredOptions],
    found: Mapping[Pass, Outcomes],
) -> Iterator[dict[str, Any]]:
    """One row per (scoring, gain, question), with every log-probability."""
    for (scoring, gain), options in scored.items():
        chosen, chosen_norm = chosen_options(options.logprob, options.n_characters)
        outcomes = found[scoring, gain]
        for q, question in enumerate(questions):
            n_options = len(question.choices)
            yield {
                **vars(provenance),
                "scoring": scoring,
                "g": float(gain),
                "question_id": question.id,
                "labels": list(question.labels),
                "answer": question.answer,
                "logprobs": options.logprob[q, :n_options],
                "n_chars": options.n_characters[q, :n_options],
                "n_tokens": options.n_tokens[q, :n_options],
                "chosen": chosen[q],
                "correct": bool(outcomes.correct[q]),
                "chosen_norm": chosen_norm[q],
                "correct_norm": bool(outcomes.correct_norm[q]),
                "prompt_template_id": TEMPLATES[scoring].id,
                "prompt_sha256": options.encoded[q].prompt_sha256,
            }


@dataclass(frozen=True)
class ChoiceComparison:
    """Accuracy in every pass, and its change from gain 1."""

    summaries: Mapping[Pass, ChoiceSummary]
    differences: Mapping[Pass, ChoiceDifference]
    """Of the passes at other gains than 1."""
    adjusted: Mapping[Pass, float]
    """McNemar's p of each difference after Benjamini and Hochberg, all scorings one family. A test
    counts once, however many spike definitions and targets have chosen its gain."""

    @classmethod
    def of(cls, found: Mapping[Pass, Outcomes], resamples: Resamples) -> ChoiceComparison:
        """From the outcomes of passes over the same questions."""
        differences = {
            (scoring, gain): compare_choices(
                found[scoring, CONST.GAIN_BASELINE], outcomes, resamples
            )
            for (scoring, gain), outcomes in found.items()
            if gain != CONST.GAIN_BASELINE
        }
        p = np.array([difference.mcnemar_p for difference in differences.values()])
        return cls(
            {each: summarise_choices(outcomes, resamples) for each, outcomes in found.items()},
            differences,
            dict(zip(differences, benjamini_hochberg(p).tolist(), strict=True)),
        )

    def warnings(self) -> Iterator[str]:
        """A sentence for each pass whose accuracy cannot be told from chance."""
        for (scoring, gain), summary in self.summaries.items():
            if summary.covers_chance:
                found = summary.accuracy
                yield (
                    f"{scoring} scoring at gain {decimal_text(gain)}: the interval of accuracy, "
                    f"{found.low:.3f} to {found.high:.3f}, covers chance, {summary.chance:.3f}"
                )


def choice_rows(
    provenance: Provenance, gstar: GStarDocument, found: ChoiceComparison
) -> Iterator[dict[str, Any]]:
    """T03: for each scoring, spike definition and target two rows, gain 1 and g*."""
    for scoring in dict.fromkeys(scoring for scoring, _ in found.summaries):
        whole = found.summaries[scoring, CONST.GAIN_BASELINE]
        for row in compared_gains(gstar):
            yield {
                **vars(provenance),
                "scoring": scoring,
                **row.key,
                "n_questions": whole.n_questions,
                "few_questions": whole.few_questions,
                "chance": whole.chance,
                "prompt_template_id": TEMPLATES[scoring].id,
                **_accuracy(found, scoring, row),
                **_difference(found, scoring, row),
            }


def _accuracy(found: ChoiceComparison, scoring: Scoring, row: ComparedGain) -> dict[str, Any]:
    """What was measured at the row's gain."""
    names = ("accuracy", "accuracy_norm")
    margin, covers_chance, reason = None, None, row.reason
    if row.gain is None:
        columns = _nothing(*names)
    else:
        summary = found.summaries[scoring, row.gain]
        columns = {k: v for n in names for k, v in _estimate(n, getattr(summary, n)).items()}
        margin = summary.mean_logprob_correct_minus_incorrect.value
        reason = _without_interval(summary.accuracy)
        covers_chance = None if reason else summary.covers_chance
    return {
        **columns,
        "mean_logprob_correct_minus_incorrect": margin,
        "covers_chance": covers_chance,
        "reason": reason,
    }


def _difference(found: ChoiceComparison, scoring: Scoring, row: ComparedGain) -> dict[str, Any]:
    """The row's gain less gain 1, on the same questions."""
    if row.gain is None or row.diff_reason is not None:
        tests = dict.fromkeys(("mcnemar_p", "p_adj"))
        return {**_nothing("accuracy_diff"), **tests, "diff_reason": row.diff_reason}
    change = found.differences[scoring, row.gain]
    return {
        **_estimate("accuracy_diff", change.accuracy),
        "mcnemar_p": change.mcnemar_p,
        "p_adj": found.adjusted[scoring, row.gain],
        "diff_reason": _without_interval(change.accuracy),
    }


def _without_interval(estimate: Estimate) -> str | None:
    return "one question has no interval" if math.isnan(estimate.low) else None


def _estimate(name: str, estimate: Estimate) -> dict[str, float | None]:
    values = (estimate.value, estimate.low, estimate.high)
    return dict(zip(_columns(name), values, strict=True))


def _nothing(*names: str) -> dict[str, float | None]:
    """The columns of numbers that there are not."""
    return dict.fromkeys(column for name in names for column in _columns(name))


def _columns(name: str) -> tuple[str, str, str]:
    return name, f"{name}_ci_low", f"{name}_ci_high"
