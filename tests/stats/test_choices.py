"""Multiple choice: outcomes, intervals, paired differences and McNemar's test."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from avalattice.errors import ArrayError
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.choices import (
    Outcomes,
    chosen_options,
    compare_choices,
    mcnemar,
    outcomes,
    summarise_choices,
)

NAN = np.nan


def assess(logprob, answer, n_characters=None):
    """Outcomes of lists; options have one character each unless said otherwise."""
    scores = np.array(logprob, dtype=np.float64)
    characters = np.ones_like(scores) if n_characters is None else np.array(n_characters)
    return outcomes(scores, characters.astype(np.int64), np.array(answer, dtype=np.int64))


def drawn(rng, n, p, chance=0.25):
    """Outcomes of n independent questions, right with probability p."""
    right = rng.random(n) < p
    margin = np.where(right, 1.0, -1.0) + rng.normal(size=n)
    return Outcomes(right, right, margin, np.full(n, chance))


def resamples(n, reps=1000, seed=1):
    return Resamples.draw(n, reps, np.random.default_rng(seed))


# ------------------------------------------------------------------------------------ outcomes


def test_outcomes_by_hand():
    """Argmax, argmax per character, margin and chance of questions of 3, 4 and 5 options."""
    found = assess(
        [
            [-1, -2, -6, NAN, NAN],  # right, and per character: -1/1, -2/4, -6/2
            [-4, -3, -9, -2, NAN],  # wrong
            [-5, -5, -5, -5, -4],
        ],
        [0, 1, 4],
        [[1, 4, 2, 0, 0], [8, 1, 1, 1, 0], [1, 1, 1, 1, 1]],
    )
    assert found.correct.tolist() == [True, False, True]
    assert found.correct_norm.tolist() == [False, False, True]
    np.testing.assert_allclose(found.margin, [-1 + 4, -3 + 5, -4 + 5])
    np.testing.assert_allclose(found.chance, [1 / 3, 1 / 4, 1 / 5])


def test_chosen_options_by_hand():
    """The likeliest option and the likeliest by character, never one that is not there."""
    logprob = np.array([[-1, -2, -6, NAN], [-4, -3, -9, -2]])
    n_characters = np.array([[1, 4, 2, 0], [8, 1, 1, 1]])
    chosen, chosen_norm = chosen_options(logprob, n_characters)
    assert (chosen.tolist(), chosen_norm.tolist()) == ([0, 3], [1, 0])


def test_the_first_of_equals_is_chosen():
    """Ties go to the first option, per character too, as NumPy's argmax in the harness."""
    for answer in range(3):
        found = assess([[-2, -2, -3]], [answer])
        assert found.correct.tolist() == [answer == 0]
        per_character = assess([[-6, -4, -2]], [answer], [[6, 2, 1]])
        assert per_character.correct_norm.tolist() == [answer == 0]


@st.composite
def scored(draw):
    """Scores of some questions with 2 to 5 options, lengths and answers."""
    sizes = draw(st.lists(st.integers(2, 5), min_size=1, max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = [rng.normal(-10, 5, n).tolist() + [NAN] * (5 - n) for n in sizes]
    lengths = [rng.integers(1, 30, n).tolist() + [0] * (5 - n) for n in sizes]
    return rows, lengths, [int(rng.integers(n)) for n in sizes]


@given(scored())
def test_outcomes_are_the_harness_formulas(case):
    """Question by question: argmax of lls, and argmax of lls over their characters."""
    rows, lengths, answers = case
    found = assess(rows, answers, lengths)
    for q, (row, length, answer) in enumerate(zip(rows, lengths, answers, strict=True)):
        n = int(np.isfinite(row).sum())
        lls, characters = np.array(row[:n]), np.array(length[:n], dtype=float)
        assert found.correct[q] == (np.argmax(lls) == answer)
        assert found.correct_norm[q] == (np.argmax(lls / characters) == answer)
        assert found.margin[q] == pytest.approx(lls[answer] - np.delete(lls, answer).mean())


@given(scored())
def test_options_of_equal_length_need_no_norm(case):
    """Letters, which all have one character, have one accuracy; a common shift changes nothing."""
    rows, _, answers = case
    found, shifted = assess(rows, answers), assess(np.array(rows) - 3, answers)
    np.testing.assert_array_equal(found.correct, found.correct_norm)
    np.testing.assert_array_equal(found.correct, shifted.correct)
    np.testing.assert_allclose(found.margin, shifted.margin)


@pytest.mark.parametrize(
    ("logprob", "answer", "lengths", "message"),
    [
        ([[-1, -2], [-1, -np.inf]], [0, 0], None, "question 1 has an infinite log-probability"),
        ([[-1, NAN, -2]], [0], None, "question 0 has a NaN before an option"),
        ([[-1, -2], [-1, NAN]], [0, 0], None, "question 1 has fewer than two options"),
        ([[-1, -2, NAN]], [2], None, "question 0 has an answer that is none of its options"),
        ([[-1, -2, NAN]], [-1], None, "question 0 has an answer that is none of its options"),
        ([[-1, -2]], [0], [[1, 0]], "question 0 has an option without characters"),
        ([[-1, -2]], [0, 1], None, r"found \(1, 2\), \(1, 2\) and \(2,\)"),
        ([[-1, -2]], [0], [[1, 1, 1]], r"found \(1, 2\), \(1, 3\) and \(1,\)"),
    ],
)
def test_scores_that_cannot_be_assessed_are_refused(logprob, answer, lengths, message):
    """The message names the first such question, or the shapes."""
    with pytest.raises(ArrayError, match=message):
        assess(logprob, answer, lengths)


# ------------------------------------------------------------------------------------- accuracy


def test_a_summary_is_the_mean_over_questions():
    """Accuracy, margin and chance are plain means, and stand within their intervals."""
    found = assess(
        [[-1, -2, NAN], [-3, -1, NAN], [-1, -2, -3], [-2, -1, -4]] * 10, [0, 1, 2, 0] * 10
    )
    summary = summarise_choices(found, resamples(40))
    assert summary.n_questions == 40
    assert summary.accuracy.value == 0.5
    margin = summary.mean_logprob_correct_minus_incorrect
    assert margin.value == pytest.approx(np.mean([1, 2, -1.5, 0.5]))
    assert summary.chance == pytest.approx(np.mean([1 / 2, 1 / 2, 1 / 3, 1 / 3]))
    for estimate in (summary.accuracy, summary.accuracy_norm, margin):
        assert estimate.low < estimate.value < estimate.high
    assert not summary.few_questions
    half = Outcomes(found.correct[:8], found.correct[:8], found.margin[:8], found.chance[:8])
    assert summarise_choices(half, resamples(8)).few_questions


@pytest.mark.parametrize("p", [0.25, 0.5, 0.8])
def test_the_accuracy_is_covered_95_of_100_times(p):
    """The nominal 95 % of accuracy and margin holds, at 100 questions, within Monte Carlo error."""
    rng, trials, n = np.random.default_rng(8), 600, 100
    covered = np.zeros(2)
    for trial in range(trials):
        summary = summarise_choices(drawn(rng, n, p), resamples(n, 400, trial))
        margin = summary.mean_logprob_correct_minus_incorrect
        covered += [
            summary.accuracy.low <= p <= summary.accuracy.high,
            margin.low <= 2 * p - 1 <= margin.high,
        ]
    error = 4 * np.sqrt(0.95 * 0.05 / trials)
    np.testing.assert_allclose(covered / trials, 0.94, atol=error + 0.01)


def test_chance_is_covered_by_guessing_and_not_by_knowing():
    """Guesses cover chance about 95 times in 100; a model at 0.5 is above it, one at 0 below."""
    rng, trials, n = np.random.default_rng(9), 300, 100
    guesses = [summarise_choices(drawn(rng, n, 0.25), resamples(n, 300, t)) for t in range(trials)]
    assert 0.89 < np.mean([guess.covers_chance for guess in guesses]) < 0.99
    assert np.mean([guess.above_chance for guess in guesses]) < 0.06
    knows = summarise_choices(drawn(rng, n, 0.6), resamples(n))
    assert (knows.covers_chance, knows.above_chance) == (False, True)
    never = summarise_choices(drawn(rng, n, 0.0), resamples(n))
    assert (never.covers_chance, never.above_chance) == (False, False)


# ----------------------------------------------------------------------------------- difference


def test_a_difference_by_hand():
    """Lost and gained questions are counted, and the change is their balance."""
    yes, no = True, False
    first = np.array([yes, yes, yes, no, no, no, no, yes])
    second = np.array([yes, no, yes, yes, yes, no, yes, yes])
    norm = np.array([no] * 8)
    zero, chance = np.zeros(8), np.full(8, 0.25)
    found = compare_choices(
        Outcomes(first, first, zero, chance), Outcomes(second, norm, zero, chance), resamples(8)
    )
    assert (found.n_lost, found.n_gained) == (1, 3)
    assert found.accuracy.value == pytest.approx(2 / 8)
    assert found.accuracy_norm.value == pytest.approx(-4 / 8)
    assert found.mcnemar_p == pytest.approx(mcnemar(1, 3))
    assert found.accuracy.low <= 2 / 8 <= found.accuracy.high


def test_no_change_is_zero():
    """Outcomes beside themselves differ by exactly nothing, with p = 1."""
    same = drawn(np.random.default_rng(10), 50, 0.4)
    found = compare_choices(same, same, resamples(50))
    assert (found.accuracy.low, found.accuracy.value, found.accuracy.high) == (0, 0, 0)
    assert (found.n_lost, found.n_gained, found.mcnemar_p) == (0, 0, 1.0)


def test_differences_are_paired():
    """The interval of a difference is that of the paired differences, not of two samples."""
    rng, n = np.random.default_rng(11), 400
    first = drawn(rng, n, 0.5)
    second = first.correct.copy()
    second[:8] = True  # nearly the same answers
    other = Outcomes(second, second, first.margin, first.chance)
    paired = compare_choices(first, other, resamples(n)).accuracy
    shuffled = rng.permutation(second)
    apart = compare_choices(
        first, Outcomes(shuffled, shuffled, first.margin, first.chance), resamples(n)
    ).accuracy
    assert apart.value == pytest.approx(paired.value)
    assert paired.high - paired.low < (apart.high - apart.low) / 3


def test_outcomes_of_other_questions_are_refused():
    """Different numbers of questions cannot be paired, nor summarised with other resamples."""
    rng = np.random.default_rng(12)
    with pytest.raises(ArrayError, match="of the same questions; found 5 and 6"):
        compare_choices(drawn(rng, 5, 0.5), drawn(rng, 6, 0.5), resamples(5))
    with pytest.raises(ArrayError, match="resamples of 5 windows, values of 6"):
        summarise_choices(drawn(rng, 6, 0.5), resamples(5))


# ------------------------------------------------------------------------------------- McNemar


@pytest.mark.parametrize(
    ("lost", "gained", "p"),
    [
        (0, 0, 1.0),
        (0, 1, 1.0),
        (0, 5, 2 / 32),
        (1, 5, 2 * (1 + 6) / 64),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (3, 3, 1.0),
        (4, 12, 2 * (1 + 16 + 120 + 560 + 1820) / 65536),
    ],
)
def test_mcnemar_by_hand(lost, gained, p):
    """Exact two-sided binomial p-values, worked out by hand, in either direction."""
    assert mcnemar(lost, gained) == pytest.approx(p)
    assert mcnemar(gained, lost) == pytest.approx(p)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_doubles_the_smaller_tail(lost, gained):
    """p is twice the smaller tail, at most one: under p = 1/2 the distribution is symmetric."""
    n, k = lost + gained, min(lost, gained)
    tail = sum(comb(n, i) for i in range(k + 1)) / 2**n
    assert mcnemar(lost, gained) == pytest.approx(min(1.0, 2 * tail))


@pytest.mark.parametrize("n", [6, 25, 400])
def test_mcnemar_rejects_no_more_often_than_it_says(n):
    """Under the null P(p ≤ α) never exceeds α, and comes near it for many discordant questions."""
    k = np.arange(n + 1)
    p = np.array([mcnemar(int(lost), int(n - lost)) for lost in k])
    mass = binom.pmf(k, n, 0.5)
    reached = np.array([mass[p <= alpha + 1e-12].sum() for alpha in np.unique(p)])
    assert (reached <= np.unique(p) + 1e-9).all()
    for alpha in (0.01, 0.05, 0.2, 0.5):
        rejected = mass[p <= alpha].sum()
        assert rejected <= alpha
        if n == 400:
            assert rejected > 0.6 * alpha
    # control: with three of four changes one way, many changes are seen
    power = binom.pmf(k, n, 0.75)[p <= 0.05].sum()
    assert (power > 0.99) == (n == 400)
