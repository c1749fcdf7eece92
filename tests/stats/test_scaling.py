"""Size–duration relation: critical trees, planted exponents, gates and the profile collapse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from avalattice.canon import CONST
from avalattice.errors import ArrayError, InputError
from avalattice.stats.scaling import (
    Crackling,
    avalanche_profiles,
    crackling,
    exponent_relation,
    gamma_predicted,
    mean_profiles,
    profile_collapse,
)
from avalattice.stats.tails import fit_tail, power_law, window_weights

SPANS = np.arange(CONST.CRACKLING_D_RANGE_MIN, CONST.CRACKLING_D_RANGE_MAX + 1)


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
    size, duration = trees(300_000, SPANS[-1], rng)
    exact = mean_tree_size(100_000)
    found = []
    for shortest in (3, 8, 20):
        kept = duration >= shortest
        fit = crackling(
            size[kept], duration[kept], window=rng.integers(0, 50, kept.sum()), rng=rng, reps=200
        )
        weight = np.bincount(duration[kept])[fit.span]
        slope = np.polyfit(np.log(fit.span), np.log(exact[fit.span - 1]), 1, w=np.sqrt(weight))[0]
        assert fit.gamma == pytest.approx(slope, abs=fit.interval.width)
        found.append(fit.gamma)
    assert 1.6 < found[0] < found[1] < found[2] < 2
    assert math.log(exact[-1] / exact[49_999]) / math.log(2) == pytest.approx(2, abs=1e-3)


def test_sizes_that_do_not_know_their_span_have_gamma_zero():
    """Shuffling sizes among the trees destroys the relation."""
    rng = np.random.default_rng(2)
    size, duration = trees(50_000, SPANS[-1], rng)
    inside = duration >= SPANS[0]
    fit = crackling(rng.permutation(size[inside]), duration[inside])
    assert abs(fit.gamma) < 0.2
    assert crackling(size, duration).gamma > 1.6


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.5, 2.0])
def test_planted_exponents_are_recovered(gamma):
    """Sizes D^gamma give gamma with r² near one; spans outside the range do not enter."""
    span = np.repeat(SPANS, 50)
    size = np.rint(1e6 * span.astype(float) ** gamma).astype(np.int64)
    fit = crackling(np.append(size, [1, 1]), np.append(span, [SPANS[0] - 1, SPANS[-1] + 1]))
    assert fit.gamma == pytest.approx(gamma, abs=1e-6)
    assert fit.r2 == pytest.approx(1, abs=1e-9)
    assert (fit.n_duration_points, fit.n_avalanches_used) == (len(SPANS), len(span))


def test_weights_are_the_numbers_of_avalanches():
    """The slope is that of least squares with weights n_D, not of unweighted ones."""
    rng = np.random.default_rng(3)
    size, duration, _ = planted(rng, 1.3)
    fit = crackling(size, duration)
    n = np.bincount(duration[duration <= SPANS[-1]], minlength=SPANS[-1] + 1)
    span = SPANS[n[SPANS] >= CONST.CRACKLING_MIN_PER_POINT]
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
            fit = crackling(size, duration, window=windows, rng=rng, reps=200)
            covered[kind] += fit.interval.low <= truth <= fit.interval.high
    assert binom.cdf(covered[0], trials, 0.93) > 0.01
    assert binom.cdf(covered[1], trials, 0.93) < 0.01


def test_a_replicate_is_the_fit_of_the_windows_drawn():
    """Gamma of each replicate is that of the avalanches of the windows drawn, repeats included."""
    rng = np.random.default_rng(5)
    size, duration, window = planted(rng, 1.5, n_windows=6)
    few = duration <= 10  # spans that every draw of windows fills, so that both keep the same ones
    size, duration, window = size[few], duration[few], window[few]
    weights = window_weights(6, 5, rng)
    fit = crackling(size, duration, window=window, weights=weights)
    for row, gamma in zip(weights, fit.interval.replicates, strict=True):
        repeats = row.astype(int)[window]
        drawn = crackling(np.repeat(size, repeats), np.repeat(duration, repeats))
        assert gamma == pytest.approx(drawn.gamma, rel=1e-9)


# ------------------------------------------------------------------------------- gates


def test_gates():
    """A clean relation passes; few spans, a wide interval, or no windows fail with their reason."""
    rng = np.random.default_rng(6)
    size, duration, window = planted(rng, 1.4)
    assert crackling(size, duration, window=window, rng=rng).passed

    def failed(fit: Crackling) -> str:
        assert not fit.passed
        assert math.isfinite(fit.gamma)
        return fit.reason

    short = duration <= 8
    fit = crackling(size[short], duration[short], window=window[short], rng=rng)
    assert f"{CONST.CRACKLING_MIN_POINTS} needed" in failed(fit)
    assert "no windows" in failed(crackling(size, duration))
    noisy = 1 + rng.poisson(np.exp(4 * rng.standard_normal(len(size))))
    assert "wide" in failed(crackling(noisy, duration, window=window, rng=rng))


def test_nothing_to_fit_is_nan_with_a_reason():
    """No avalanches, or avalanches of one span, have no slope."""
    for span in (np.array([], np.int64), np.full(20, 5)):
        fit = crackling(span, span, window=np.zeros_like(span), rng=np.random.default_rng(0))
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
        ({"window": np.array([0, 7]), "n_windows": 5}, "window must hold 0 … 4"),
    ],
)
def test_wrong_arrays_are_named(change, message):
    """Wrong dtype, shape or range raises an error that names the array, the expected, the found."""
    right = {"size": np.array([1, 2]), "duration": np.array([1, 2])}
    with pytest.raises(ArrayError, match=message):
        crackling(**(right | change), rng=np.random.default_rng(0))


def test_an_interval_needs_a_generator():
    """Windows without a generator or weights are an error."""
    with pytest.raises(InputError, match="give rng"):
        crackling(np.array([1, 2]), np.array([1, 2]), window=np.array([0, 1]))


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
    weights = window_weights(12, 4, rng)
    relation = exponent_relation(size, duration, window, weights=weights, **fits)
    gamma = crackling(size, duration, window=window, weights=weights)
    predicted = gamma_predicted(fits["size_fit"].alpha, fits["duration_fit"].alpha)
    assert relation.dcc_signed == pytest.approx(gamma.gamma - predicted)
    assert relation.dcc == abs(relation.dcc_signed)
    for row, measured, found in zip(
        weights, gamma.interval.replicates, relation.interval.replicates, strict=True
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
    kept = {"rng": rng, "reps": 300}
    duration_fit = fit_tail(duration, xmin=3, xmax=60)
    bounds = {"xmin": int(size.min()), "xmax": int(size.max())}
    obeys = exponent_relation(
        size, duration, window, size_fit=fit_tail(size, **bounds), duration_fit=duration_fit, **kept
    )
    assert abs(obeys.dcc_signed) < 0.25
    other = rng.permutation(size)
    breaks = exponent_relation(
        other,
        duration,
        window,
        size_fit=fit_tail(other, **bounds),
        duration_fit=duration_fit,
        **kept,
    )
    assert breaks.interval.high < -1


def test_relation_without_a_fit_is_nan_with_a_reason():
    """An undefined tail exponent leaves the relation undefined, and is named."""
    rng = np.random.default_rng(9)
    size, duration, window = planted(rng, 1.5, n=2000)
    nothing = fit_tail(np.full(10, 3))
    relation = exponent_relation(
        size, duration, window, size_fit=nothing, duration_fit=fit_tail(duration), rng=rng, reps=10
    )
    assert math.isnan(relation.dcc_signed)
    assert math.isnan(relation.interval.low)
    assert relation.reason == "alpha_S undefined"


# -------------------------------------------------------------------- profile collapse


def parabolas(gamma: float, lean: float = 0.0) -> dict[int, np.ndarray]:
    """Profiles D^(gamma − 1)·F(t) with one shape F, leaning early for a positive lean."""
    found = {}
    for span in (8, 12, 20, 40):
        t = np.arange(1, span + 1) / (span + 1)
        found[span] = span ** (gamma - 1) * t * (1 - t) * (1 + lean * (1 - 2 * t))
    return found


def test_profiles_of_one_shape_collapse_at_their_exponent_only():
    """The error is smallest at the planted gamma, and larger on either side."""
    errors = {gamma: profile_collapse(parabolas(1.6), gamma).error for gamma in (1.2, 1.6, 2.0)}
    assert errors[1.6] < 1e-3
    assert min(errors[1.2], errors[2.0]) > 20 * errors[1.6]


def test_collapse_error_is_that_of_its_formula():
    """Two flat curves of heights 1 and 2: variance ½ over the squared range of all."""
    collapse = profile_collapse({3: np.ones(3), 4: 2 * np.ones(4)}, 1.0)
    expected = np.mean(np.var(collapse.curves, axis=0, ddof=1)) / 2**2
    assert collapse.error == pytest.approx(expected)
    middle = collapse.curves[:, 500]
    np.testing.assert_allclose(middle, [1, 2])


def test_skewness_has_the_sign_of_the_lean():
    """A symmetric shape has none; one that leans early is positive, its mirror image negative."""
    skewness = [profile_collapse(parabolas(1.5, lean), 1.5).skewness for lean in (-0.5, 0.0, 0.5)]
    assert skewness[0] == pytest.approx(-skewness[2])
    assert skewness[1] == pytest.approx(0, abs=1e-9)
    assert skewness[2] > 0.1


def test_one_profile_has_no_collapse():
    """A single span, or none, gives NaN with a reason."""
    for profiles in ({}, {5: np.ones(5)}):
        collapse = profile_collapse(profiles, 1.5)
        assert math.isnan(collapse.error)
        assert "a collapse needs two" in collapse.reason
    with pytest.raises(ArrayError, match="profile of span 5 has 4 values"):
        profile_collapse({5: np.ones(4)}, 1.5)


def test_profiles_are_the_events_of_each_token():
    """Profiles of a labelled stack are its counts summed over layers, from first to last token."""
    rng = np.random.default_rng(10)
    A = rng.integers(1, 5, (2, 3, 4, 9)).astype(np.uint16)
    labels = np.zeros(A.shape, np.int64)
    labels[0, 0, 1:3, 2:6] = 7
    labels[0, 0, 0, 8] = 2
    labels[1, 2, :, 0:5] = 40
    profiles = avalanche_profiles(A, labels)
    np.testing.assert_array_equal(profiles.duration, [1, 4, 5])
    expected = [A[0, 0, 0, 8:9], A[0, 0, 1:3, 2:6].sum(axis=0), A[1, 2, :, 0:5].sum(axis=0)]
    np.testing.assert_array_equal(profiles.events, np.concatenate(expected))
    np.testing.assert_array_equal(profiles.start, [0, 1, 5])


def test_mean_profiles_average_within_a_span():
    """Spans with enough avalanches have the mean of their profiles; rarer spans are left out."""
    enough = CONST.CRACKLING_MIN_PER_POINT
    A = np.random.default_rng(11).integers(1, 9, (enough, 2, 10)).astype(np.uint16)
    labels = np.zeros(A.shape, np.int64)
    labels[:, :, 0:4] = np.arange(1, enough + 1)[:, None, None]
    labels[:-1, :, 5:10] = np.arange(100, 100 + enough - 1)[:, None, None]
    means = mean_profiles(avalanche_profiles(A, labels))
    assert list(means) == [4]
    np.testing.assert_allclose(means[4], A[:, :, 0:4].sum(axis=1).mean(axis=0))


def test_empty_stacks_have_no_profiles():
    """A silent stack gives no profile, and no error."""
    profiles = avalanche_profiles(np.zeros((2, 3, 5), np.uint16), np.zeros((2, 3, 5), np.int64))
    assert profiles.events.size == profiles.duration.size == 0
    assert mean_profiles(profiles) == {}


def test_labels_must_name_one_avalanche():
    """A label in two windows, a negative one, or labels of another shape are errors."""
    A = np.ones((2, 2, 3), np.uint16)
    for labels, message in (
        (np.ones((2, 2, 3), np.int64), "unique across the stack"),
        (np.full((2, 2, 3), -1), "at least 0"),
        (np.ones((2, 3), np.int64), "one shape"),
    ):
        with pytest.raises(ArrayError, match=message):
            avalanche_profiles(A, labels)
