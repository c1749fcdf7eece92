"""Multiple choice: accuracy, its paired change, and how far either is from chance.

    accuracy = mean_q [argmax_k s_qk = y_q],        accuracy_norm: s_qk / characters of option k
    margin   = mean_q (s_q,y − mean_{k≠y} s_qk)
    chance   = mean_q 1 / K_q

Arrays are [Q, K]: Q questions, and as many columns as the longest question has options; s, in nats,
is NaN beyond a question's options. Ties go to the first option, and accuracy_norm divides by
characters, as in the lm-evaluation-harness (where they are ``acc`` and ``acc_norm``); for options
of equal length it equals accuracy. The margin takes s as it is, so in cloze scoring it depends on
the lengths of the options.

Intervals are percentile bootstraps over questions. Two gains answer the same questions, so their
difference is paired; b questions lost and c gained have McNemar's (1947) exact two-sided p-value,
P(|B − n/2| ≥ |b − n/2|) for B ~ Binomial(n, 1/2), n = b + c. Questions are taken as independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import stats

from avalattice.errors import ArrayError
from avalattice.stats.bootstrap import Resamples, percentile_interval


@dataclass(frozen=True)
class Outcomes:
    """What each question came to."""

    correct: Bool[np.ndarray, " Q"]
    """Whether the likeliest option is the right one."""
    correct_norm: Bool[np.ndarray, " Q"]
    """The same for log-probabilities per character."""
    margin: Float64[np.ndarray, " Q"]
    """Log-probability of the right option minus the mean of the wrong ones, in nats."""
    chance: Float64[np.ndarray, " Q"]
    """One over the number of options."""


@dataclass(frozen=True)
class Estimate:
    """A mean over questions with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ChoiceSummary:
    """Accuracy of one scoring at one gain."""

    n_questions: int
    """Q."""
    accuracy: Estimate
    """Share of questions whose likeliest option is right."""
    accuracy_norm: Estimate
    """The same for log-probabilities per character."""
    mean_logprob_correct_minus_incorrect: Estimate
    """The margin, in nats."""
    chance: float
    """Expected accuracy of a blind choice."""
    few_questions: bool
    """Whether the intervals rest on too few questions to be quoted without a warning."""

    @property
    def covers_chance(self) -> bool:
        """Whether the interval of the accuracy holds chance."""
        return self.accuracy.low <= self.chance <= self.accuracy.high

    @property
    def above_chance(self) -> bool:
        """Whether that interval lies above chance; a model that always says A may lie below."""
        return self.chance < self.accuracy.low


@dataclass(frozen=True)
class ChoiceDifference:
    """The change of accuracy from one gain to another, on the same questions."""

    accuracy: Estimate
    """Accuracy of the second minus that of the first."""
    accuracy_norm: Estimate
    """The same for log-probabilities per character."""
    n_lost: int
    """Questions that only the first answers right."""
    n_gained: int
    """Questions that only the second answers right."""
    mcnemar_p: float
    """Exact two-sided p-value of no change in accuracy; 1 where no question changed."""


def chosen_options(
    logprob: Float64[np.ndarray, "Q K"], n_characters: Int64[np.ndarray, "Q K"]
) -> tuple[Int64[np.ndarray, " Q"], Int64[np.ndarray, " Q"]]:
    """The likeliest option of each question, and the likeliest by character.

    Args:
        logprob: s, in nats; NaN beyond a question's options.
        n_characters: characters of each option's text; ignored beyond a question's options.
    """
    characters = np.where(np.isnan(logprob), 1, n_characters)
    return _first_largest(logprob), _first_largest(logprob / characters)


def outcomes(
    logprob: Float64[np.ndarray, "Q K"],
    n_characters: Int64[np.ndarray, "Q K"],
    answer: Int64[np.ndarray, " Q"],
) -> Outcomes:
    """What each question came to.

    Args:
        logprob: s, in nats; NaN beyond a question's options.
        n_characters: characters of each option's text; ignored beyond a question's options.
        answer: position of the right option.

    Raises:
        ArrayError: shapes do not fit, a value is infinite, a NaN stands before an option, a
            question has fewer than two options or an answer that is none of them, or an option has
            no characters.
    """
    n_options = _check(logprob, n_characters, answer)
    right = np.take_along_axis(logprob, answer[:, None], axis=1)[:, 0]
    wrong = (np.nansum(logprob, axis=1) - right) / (n_options - 1)
    chosen, chosen_norm = chosen_options(logprob, n_characters)
    return Outcomes(
        correct=chosen == answer,
        correct_norm=chosen_norm == answer,
        margin=right - wrong,
        chance=1 / n_options,
    )


def summarise_choices(found: Outcomes, resamples: Resamples) -> ChoiceSummary:
    """Means over questions with their intervals.

    Args:
        found: the outcomes of Q questions.
        resamples: of the Q questions; share them between gains and scorings.

    Raises:
        ArrayError: the resamples are of another number of questions.
    """
    accuracy, accuracy_norm, margin = _estimates(
        (found.correct, found.correct_norm, found.margin), resamples
    )
    return ChoiceSummary(
        n_questions=len(found.correct),
        accuracy=accuracy,
        accuracy_norm=accuracy_norm,
        mean_logprob_correct_minus_incorrect=margin,
        chance=float(found.chance.mean()),
        few_questions=resamples.few_windows,
    )


def compare_choices(first: Outcomes, second: Outcomes, resamples: Resamples) -> ChoiceDifference:
    """The change from one gain to another, paired by question.

    Args:
        first: outcomes at the baseline.
        second: outcomes of the same questions, in the same order.
        resamples: of the questions.

    Raises:
        ArrayError: the two, or the resamples, are of different numbers of questions.
    """
    if len(first.correct) != len(second.correct):
        raise ArrayError(
            "paired outcomes must be of the same questions; found "
            f"{len(first.correct)} and {len(second.correct)}"
        )
    accuracy, accuracy_norm = _estimates(
        (
            second.correct.astype(int) - first.correct,
            second.correct_norm.astype(int) - first.correct_norm,
        ),
        resamples,
    )
    n_lost = int((first.correct & ~second.correct).sum())
    n_gained = int((second.correct & ~first.correct).sum())
    return ChoiceDifference(accuracy, accuracy_norm, n_lost, n_gained, mcnemar(n_lost, n_gained))


def mcnemar(n_lost: int, n_gained: int) -> float:
    """Exact two-sided p-value of McNemar's test.

    Args:
        n_lost: questions that only the first answers right.
        n_gained: questions that only the second answers right.

    >>> mcnemar(1, 5)
    0.21875
    """
    n = n_lost + n_gained
    return float(stats.binomtest(n_lost, n, 0.5).pvalue) if n else 1.0


def _check(logprob: np.ndarray, n_characters: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """The number of options of each question; raises for what cannot be assessed."""
    if (
        logprob.ndim != 2
        or n_characters.shape != logprob.shape
        or answer.shape != logprob.shape[:1]
    ):
        raise ArrayError(
            "expected logprob and n_characters [Q, K] and answer [Q], found "
            f"{logprob.shape}, {n_characters.shape} and {answer.shape}"
        )
    n_options = (~np.isnan(logprob)).sum(axis=1)
    present = np.arange(logprob.shape[1]) < n_options[:, None]
    faults = {
        "an infinite log-probability": np.isinf(logprob).any(axis=1),
        "a NaN before an option": (np.isnan(logprob) & present).any(axis=1),
        "fewer than two options": n_options < 2,
        "an answer that is none of its options": (answer < 0) | (answer >= n_options),
        "an option without characters": ((n_characters < 1) & present).any(axis=1),
    }
    for fault, where in faults.items():
        if where.any():
            raise ArrayError(
                f"logprob, n_characters, answer: question {where.argmax()} has {fault}"
            )
    return np.asarray(n_options)


def _first_largest(scores: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1))


def _estimates(per_question: tuple[np.ndarray, ...], resamples: Resamples) -> list[Estimate]:
    """Means over questions with percentile intervals."""
    values = np.stack(per_question, axis=1).astype(np.float64)
    interval = percentile_interval(resamples.sums(values) / len(values))
    ends = zip(values.mean(axis=0), interval.low, interval.high, strict=True)
    return [Estimate(float(value), float(low), float(high)) for value, low, high in ends]
