"""Size–duration relation: critical trees, planted exponents, gates and the scaling relation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from avalattice.canon import CONST
from avalattice.errors import ArrayError, InputError
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.scaling import (
    CRACKLING_SPANS,
    Crackling,
    crackling,
    exponent_relation,
    gamma_predicted,
)
from avalattice.stats.tail_laws import power_law
from avalattice.stats.tails import fit_tail


def trees(n: int, generations: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Size and duration of critical Poisson trees that die within so many generations."""
    size, duration = np.ones(n, np.int64), np.zeros(n, np.int64)
    alive, members = np.arange(n), np.ones(n, np.int64)
    for generation in range(1, generations + 1):
        members = rng.poisson(members)
        size[alive] += members
        duration[alive[members == 0]] = generation
        alive, members = alive[members > 0], members[members > 0]
    return size[duration > 0], duration[duration > 0]


def mean_tree_size(longest: int) -> np.ndarray:
    """E[S | D] of critical Poisson trees for D = 1 … longest, from their generating function."""
    extinct, size = np.zeros(longest + 1), np.zeros(longest + 1)
    for d in range(longest):
        extinct[d + 1] = math.exp(extinct[d] - 1)
        size[d + 1] = extinct[d + 1] * (1 + size[d])
    return np.diff(size) / np.diff(extinct)


def planted(rng, gamma: float, *, n: int = 20_000, n_windows: int = 50, noise: float = 0.3):
    """Avalanches with E[S | D] ∝ D^gamma and a loudness of each window."""
    duration = power_law(1.8).sample(n, rng)
    window = rng.integers(0, n_windows, n)
    loud = np.exp(noise * rng.standard_normal(n_windows))[window]
    size = rng.poisson(200 * duration.clip(max=100).astype(float) ** gamma * loud)
    return size, duration, window


# ------------------------------------------------------------------------------- gamma


def test_critical_trees_have_gamma_two():
    """On critical trees gamma is the exact slope of its spans, and grows towards 2 with them."""
    rng = np.random.default_rng(1)
    size, duration = trees(300_000, CRACKLING_SPANS[-1], rng)
    exact = mean_tree_size(100_000)
    found = []
    for shortest in (3, 8, 20):
        kept = duration >= shortest
        window, resamples = rng.integers(0, 50, kept.sum()), Resamples.draw(50, 200, rng)
        fit = crackling(size[kept], duration[kept], window=window, resamples=resamples)
        weight = np.bincount(duration[kept])[fit.span]
        slope = np.polyfit(np.log(fit.span), np.log(exact[fit.span - 1]), 1, w=np.sqrt(weight))[0]
        assert fit.gamma == pytest.approx(slope, abs=float(fit.interval.width))
        found.append(fit.gamma)
    assert 1.6 < found[0] < found[1] < found[2] < 2
    assert math.log(exact[-1] / exact[49_999]) / math.log(2) == pytest.approx(2, abs=1e-3)


def test_sizes_that_do_not_know_their_span_have_gamma_zero():
    """Shuffling sizes among the trees destroys the relation."""
    rng = np.random.default_rng(2)
    size, duration = trees(50_000, CRACKLING_SPANS[-1], rng)
    inside = duration >= CRACKLING_SPANS[0]
    fit = crackling(rng.permutation(size[inside]), duration[inside])
    assert abs(fit.gamma) < 0.2
    assert crackling(size, duration).gamma > 1.6


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.5, 2.0])
def test_planted_exponents_are_recovered(gamma):
    """Sizes D^gamma give gamma with r² near one; spans outside the range do not enter."""
    span = np.repeat(CRACKLING_SPANS, 50)
    size = np.rint(1e6 * span.astype(float) ** gamma).astype(np.int64)
    fit = crackling(
        np.append(size, [1, 1]), np.append(span, [CRACKLING_SPANS[0] - 1, CRACKLING_SPANS[-1] + 1])
    )
    assert fit.gamma == pytest.approx(gamma, abs=1e-6)
    assert fit.r2 == pytest.approx(1, abs=1e-9)
    assert (fit.n_duration_points, fit.n_avalanches_used) == (len(CRACKLING_SPANS), len(span))


def test_weights_are_the_numbers_of_avalanches():
    """The slope is that of least squares with weights n_D, not of unweighted ones."""
    rng = np.random.default_rng(3)
    size, duration, _ = planted(rng, 1.3)
    fit = crackling(size, duration)
    n = np.bincount(duration[duration <= CRACKLING_SPANS[-1]], minlength=CRACKLING_SPANS[-1] + 1)
    span = CRACKLING_SPANS[n[CRACKLING_SPANS] >= CONST.CRACKLING_MIN_PER_POINT]
    mean = np.array([size[duration == d].mean() for d in span])
    weighted = np.polyfit(np.log(span), np.log(mean), 1, w=np.sqrt(n[span]))[0]
    unweighted = np.polyfit(np.log(span), np.log(mean), 1)[0]
    assert fit.gamma == pytest.approx(weighted, rel=1e-9)
    assert abs(fit.gamma - unweighted) > 1e-4
    np.testing.assert_array_equal(fit.span, span)
    np.testing.assert_allclose(fit.mean_size, mean)


def test_rare_spans_are_left_out():
    """A span with one avalanche too few does not enter, one with just enough does."""
    enough = CONST.CRACKLING_MIN_PER_POINT
    span = np.repeat([3, 4, 5, 6], [enough, enough, enough - 1, enough])
    np.testing.assert_array_equal(crackling(span**2, span).span, [3, 4, 6])


def test_intervals_over_windows_cover():
    """Where windows differ in gamma, their interval covers in 95 % of trials; shuffled, less."""
    rng = np.random.default_rng(4)
    truth, trials, n_windows, covered = 1.3, 150, 60, np.zeros(2)
    for _ in range(trials):
        gamma = np.repeat(truth + 0.2 * rng.standard_normal(n_windows), 100)
        duration = np.tile(np.repeat([3, 5, 8, 13, 20], 20), n_windows)
        size = rng.poisson(1000 * (duration / 8) ** gamma)
        window = np.repeat(np.arange(n_windows), 100)
        for kind, windows in enumerate((window, rng.permutation(window))):
            resamples = Resamples.draw(n_windows, 200, rng)
            fit = crackling(size, duration, window=windows, resamples=resamples)
            covered[kind] += fit.interval.low <= truth <= fit.interval.high
    assert binom.cdf(covered[0], trials, 0.93) > 0.01
    assert binom.cdf(covered[1], trials, 0.93) < 0.01


def test_a_replicate_is_the_fit_of_the_windows_drawn():
    """Gamma of each replicate is that of the avalanches of the windows drawn, repeats included."""
    rng = np.random.default_rng(5)
    size, duration, window = planted(rng, 1.5, n_windows=6)
    few = duration <= 10  # spans that every draw of windows fills, so that both keep the same ones
    size, duration, window = size[few], duration[few], window[few]
    resamples = Resamples.draw(6, 5, rng)
    fit = crackling(size, duration, window=window, resamples=resamples)
    for row, gamma in zip(resamples.weights, fit.replicates, strict=True):
        repeats = row.astype(int)[window]
        drawn = crackling(np.repeat(size, repeats), np.repeat(duration, repeats))
        assert gamma == pytest.approx(drawn.gamma, rel=1e-9)


# ------------------------------------------------------------------------------- gates


def test_gates():
    """A clean relation passes; few spans, a wide interval, or no windows fail with their reason."""
    rng = np.random.default_rng(6)
    size, duration, window = planted(rng, 1.4)
    resamples = Resamples.draw(50, CONST.BOOTSTRAP_REPS, rng)
    assert crackling(size, duration, window=window, resamples=resamples).passed

    def failed(fit: Crackling) -> str:
        assert not fit.passed
        assert math.isfinite(fit.gamma)
        return fit.reason

    short = duration <= 8
    fit = crackling(size[short], duration[short], window=window[short], resamples=resamples)
    assert f"{CONST.CRACKLING_MIN_POINTS} needed" in failed(fit)
    assert "no windows" in failed(crackling(size, duration))
    noisy = 1 + rng.poisson(np.exp(4 * rng.standard_normal(len(size))))
    assert "wide" in failed(crackling(noisy, duration, window=window, resamples=resamples))


def test_avalanches_of_one_window_have_no_interval():
    """One window of 64 that holds them all is drawn in 64 % of resamples: gamma has no interval."""
    rng = np.random.default_rng(12)
    size, duration, _ = planted(rng, 1.4)
    resamples = Resamples.draw(64, 300, rng)
    one = crackling(size, duration, window=np.full(len(size), 7), resamples=resamples)
    defined = np.isfinite(one.replicates).sum()
    assert 0.55 < defined / 300 < 0.75
    assert np.isnan([one.interval.low, one.interval.high]).all()
    assert not one.passed
    assert one.reason == f"gamma has no interval: {defined} of 300 replicates are defined"
    window = rng.integers(0, 64, len(size))  # control
    assert crackling(size, duration, window=window, resamples=resamples).passed


def test_a_single_window_passes_no_gate():
    """Neither gamma nor the relation has an interval of no width, and both say why."""
    rng = np.random.default_rng(13)
    size, duration, window = planted(rng, 1.4, n_windows=1)
    resamples = Resamples.draw(1, 100, rng)
    fit = crackling(size, duration, window=window, resamples=resamples)
    assert not fit.passed
    assert fit.reason == "gamma has no interval: one window cannot be resampled"
    fits = {"size_fit": fit_tail(size, xmin=50), "duration_fit": fit_tail(duration, xmin=1)}
    relation = exponent_relation(size, duration, window, resamples, **fits)
    assert math.isfinite(relation.dcc_signed)
    assert math.isnan(relation.interval.width)
    assert relation.reason == "gamma − gamma_pred has no interval: one window cannot be resampled"


def test_nothing_to_fit_is_nan_with_a_reason():
    """No avalanches, or avalanches of one span, have no slope."""
    resamples = Resamples.draw(1, 10, np.random.default_rng(0))
    for span in (np.array([], np.int64), np.full(20, 5)):
        fit = crackling(span, span, window=np.zeros_like(span), resamples=resamples)
        assert math.isnan(fit.gamma)
        assert not fit.passed
        assert "a slope needs two spans" in fit.reason


def test_border_avalanches_are_told_apart():
    """gamma_interior leaves out what touches the border, whose share is one of events."""
    span = np.repeat(np.arange(3, 20), 20)
    inner, outer = span**2, np.full_like(span, 1000)
    fit = crackling(
        np.concatenate([inner, outer]),
        np.concatenate([span, span]),
        touches_border=np.repeat([False, True], len(span)),
    )
    assert fit.gamma_interior == pytest.approx(2, abs=1e-9)
    assert fit.gamma < 1
    assert fit.border_event_share == pytest.approx(outer.sum() / (inner.sum() + outer.sum()))
    assert math.isnan(crackling(inner, span).gamma_interior)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": np.array([1.5, 2.0])}, "size must be integers"),
        ({"duration": np.array([1, 2, 3])}, "duration must have the shape of size"),
        ({"duration": np.array([0, 1])}, "duration must be at least 1"),
        ({"touches_border": np.array([True])}, "touches_border must have the shape of size"),
        ({"window": np.array([0, 7])}, "window must hold 0 … 4"),
    ],
)
def test_wrong_arrays_are_named(change, message):
    """Wrong dtype, shape or range raises an error that names the array, the expected, the found."""
    right = {"size": np.array([1, 2]), "duration": np.array([1, 2]), "window": np.array([0, 1])}
    resamples = Resamples.draw(5, 10, np.random.default_rng(0))
    with pytest.raises(ArrayError, match=message):
        crackling(**(right | change), resamples=resamples)


def test_windows_and_resamples_belong_together():
    """Windows without resamples, or resamples without windows, are an error."""
    resamples = Resamples.draw(2, 3, np.random.default_rng(0))
    for given in ({"window": np.array([0, 1])}, {"resamples": resamples}):
        with pytest.raises(InputError, match="an interval over windows needs both"):
            crackling(np.array([1, 2]), np.array([1, 2]), **given)


def test_few_windows_are_flagged():
    """Fewer than FEW_WINDOWS windows raise the flag, that many do not, nor does no window."""
    size, rng = np.arange(1, 50), np.random.default_rng(0)
    for n_windows, few in ((CONST.FEW_WINDOWS - 1, True), (CONST.FEW_WINDOWS, False)):
        resamples = Resamples.draw(n_windows, 5, rng)
        assert crackling(size, size, window=size % 7, resamples=resamples).few_windows == few
    assert not crackling(size, size).few_windows


# -------------------------------------------------------------------- scaling relation


def test_prediction_is_that_of_the_exponents():
    """Mean-field exponents 3/2 and 2 predict gamma 2; alpha_S of one or less predicts nothing."""
    assert gamma_predicted(1.5, 2.0) == pytest.approx(2)
    predicted = gamma_predicted(np.array([1.5, 1.0, 2.0]), np.array([2.0, 2.0, 1.5]))
    np.testing.assert_allclose(predicted, [2.0, np.nan, 0.5])


def test_exponent_relation_pairs_its_replicates():
    """Each replicate's difference is that of the three exponents of one draw of windows."""
    rng = np.random.default_rng(7)
    size, duration, window = planted(rng, 1.5, n_windows=12)
    fits = {"size_fit": fit_tail(size, xmin=50), "duration_fit": fit_tail(duration, xmin=1)}
    resamples = Resamples.draw(12, 4, rng)
    relation = exponent_relation(size, duration, window, resamples, **fits)
    gamma = crackling(size, duration, window=window, resamples=resamples)
    predicted = gamma_predicted(fits["size_fit"].alpha, fits["duration_fit"].alpha)
    assert relation.dcc_signed == pytest.approx(gamma.gamma - predicted)
    assert relation.dcc == abs(relation.dcc_signed)
    for row, measured, found in zip(
        resamples.weights, gamma.replicates, relation.replicates, strict=True
    ):
        counts = row.astype(int)[window]
        alpha_size = fit_tail(size, counts=counts, xmin=50).alpha
        alpha_duration = fit_tail(duration, counts=counts, xmin=1).alpha
        assert found == pytest.approx(measured - gamma_predicted(alpha_size, alpha_duration))


def test_relation_holds_where_it_is_planted_and_not_elsewhere():
    """S = D^1.5 obeys the relation within its interval; sizes with a tail of their own do not."""
    rng = np.random.default_rng(8)
    duration = power_law(2.2, xmin=3, xmax=60).sample(30_000, rng)
    window = rng.integers(0, 60, len(duration))
    # an integer size near 1000·D^1.5 with noise, so that S is a power law of (2.2 − 1)/1.5 + 1
    size = np.rint(1000 * (duration + rng.random(len(duration))) ** 1.5).astype(np.int64)
    resamples = Resamples.draw(60, 300, rng)
    duration_fit = fit_tail(duration, xmin=3, xmax=60)
    bounds = {"xmin": int(size.min()), "xmax": int(size.max())}
    fits = {"size_fit": fit_tail(size, **bounds), "duration_fit": duration_fit}
    obeys = exponent_relation(size, duration, window, resamples, **fits)
    assert abs(obeys.dcc_signed) < 0.25
    other = rng.permutation(size)
    fits["size_fit"] = fit_tail(other, **bounds)
    breaks = exponent_relation(other, duration, window, resamples, **fits)
    assert breaks.interval.high < -1


def test_relation_without_a_fit_is_nan_with_a_reason():
    """An undefined tail exponent leaves the relation undefined, and is named."""
    rng = np.random.default_rng(9)
    size, duration, window = planted(rng, 1.5, n=2000)
    fits = {"size_fit": fit_tail(np.full(10, 3)), "duration_fit": fit_tail(duration)}
    relation = exponent_relation(size, duration, window, Resamples.draw(50, 10, rng), **fits)
    assert math.isnan(relation.dcc_signed)
    assert math.isnan(relation.interval.low)
    assert relation.reason == "alpha_S undefined"
