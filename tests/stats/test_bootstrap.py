"""Window bootstrap: streams, coverage, pairing, and undefined replicates."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avalattice.errors import ArrayError
from avalattice.lattice.susceptibility import (
    centred_powers,
    susceptibility_from_powers,
    susceptibility_of_totals,
)
from avalattice.rng import stream
from avalattice.stats.bootstrap import (
    LEVEL,
    Resamples,
    no_interval,
    percentile_interval,
    studentised_log_interval,
)


def mean_interval(values: np.ndarray, rng: np.random.Generator, *, reps: int = 1000, **options):
    """Percentile interval of the mean of per-window values [N, ...]."""
    resamples = Resamples.draw(len(values), reps, rng)
    return percentile_interval(resamples.sums(values) / len(values), **options)


def chi_intervals(Y: np.ndarray, rng: np.random.Generator):
    """The studentised and the percentile interval of chi, of totals [C, N]."""
    estimate, centre = susceptibility_of_totals(Y), Y.mean(axis=-1)
    powers = np.moveaxis(centred_powers(Y, centre[:, None]), 1, 0)
    sums = Resamples.draw(Y.shape[-1], 600, rng).sums(powers)
    found = susceptibility_from_powers(sums, centre)
    studentised = studentised_log_interval(estimate.chi, estimate.log_se, found.chi, found.log_se)
    return studentised, percentile_interval(found.chi)


def coverage(interval, truth: float) -> float:
    return float(((interval.low <= truth) & (truth <= interval.high)).mean())


def margin(trials: int, p: float = LEVEL) -> float:
    """Four Monte Carlo standard errors of a coverage."""
    return 4 * np.sqrt(p * (1 - p) / trials)


# --------------------------------------------------------------------------------- resamples


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 10**6))
def test_each_replicate_draws_as_many_windows_as_there_are(n, reps, seed):
    """Weights count draws: whole numbers that sum to N in every replicate."""
    weights = Resamples.draw(n, reps, np.random.default_rng(seed)).weights
    assert weights.shape == (reps, n)
    assert (weights == weights.round()).all()
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == n).all()


def test_windows_are_drawn_with_replacement_and_evenly():
    """A window's count has mean 1 and variance (N − 1)/N, and counts of two are anticorrelated."""
    weights = Resamples.draw(10, 40_000, np.random.default_rng(1)).weights
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.02)
    covariance = np.cov(weights.T)
    np.testing.assert_allclose(np.diag(covariance), 0.9, atol=0.04)
    np.testing.assert_allclose(covariance[~np.eye(10, dtype=bool)], -0.1, atol=0.03)


def test_the_same_stream_gives_the_same_interval():
    """A stream's name decides every digit; another name gives another interval."""
    values = np.random.default_rng(2).normal(size=(30, 2))
    a, b, other = (
        mean_interval(values, stream(1337, "bootstrap", name)) for name in ("A", "A", "B")
    )
    np.testing.assert_array_equal([a.low, a.high], [b.low, b.high])
    assert (a.low != other.low).all()


def test_a_replicate_is_the_statistic_of_repeated_windows():
    """Weighted sums equal the sums over windows repeated as often as they were drawn."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(6, 2, 3))
    resamples = Resamples.draw(6, 20, rng)
    for weights, found in zip(resamples.weights, resamples.sums(values), strict=True):
        repeated = np.repeat(values, weights.astype(int), axis=0).sum(axis=0)
        np.testing.assert_allclose(found, repeated, rtol=1e-12, atol=1e-12)


def test_wrong_numbers_of_windows_are_refused():
    """No window, and values of another number of windows, are errors."""
    with pytest.raises(ArrayError, match="at least one window"):
        Resamples.draw(0, 10, np.random.default_rng(1))
    with pytest.raises(ArrayError, match="resamples of 5 windows, values of 4"):
        Resamples.draw(5, 10, np.random.default_rng(1)).sums(np.zeros(4))


@pytest.mark.parametrize("n", [255, 256, 257, 700])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_sums_over_blocks_are_the_sums(n, shape):
    """However many windows there are, a replicate's sums are those of one product over all."""
    rng = np.random.default_rng(n)
    values, resamples = rng.normal(size=(n, *shape)), Resamples.draw(n, 50, rng)
    plain = np.tensordot(resamples.weights, values, axes=1)
    np.testing.assert_allclose(resamples.sums(values), plain, rtol=1e-12, atol=1e-11)
    without_last = np.tensordot(resamples.weights[:, :-1], values[:-1], axes=1)
    assert not np.allclose(resamples.sums(values), without_last)  # control


def test_sums_do_not_depend_on_the_number_of_threads():
    """Every digit is the same with one thread and with two, beyond the windows of one block."""
    code = (
        "import numpy as np\n"
        "from avalattice.stats.bootstrap import Resamples\n"
        "rng = np.random.default_rng(1)\n"
        "sums = Resamples.draw(400, 2000, rng).sums(rng.normal(size=(400, 11, 8)))\n"
        "print(__import__('hashlib').sha256(sums.tobytes()).hexdigest())"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert len(digests[0].strip()) == 64
    assert digests[0] == digests[1]


# ----------------------------------------------------------------------------------- coverage


def test_a_mean_of_64_windows_is_covered_95_of_100_times():
    """The nominal 95 % of a mean's percentile interval holds at 64 windows."""
    rng, trials = np.random.default_rng(4), 1500
    interval = mean_interval(rng.normal(2, 3, size=(64, trials)), rng)
    assert coverage(interval, 2) == pytest.approx(LEVEL, abs=margin(trials) + 0.01)
    width = 2 * 1.96 * 3 / np.sqrt(64)
    assert (interval.high - interval.low).mean() == pytest.approx(width, rel=0.05)


def test_the_level_is_the_coverage():
    """Control: an interval of level 0.5 covers half the time."""
    rng, trials = np.random.default_rng(5), 1500
    interval = mean_interval(rng.normal(size=(64, trials)), rng, level=0.5)
    assert coverage(interval, 0) == pytest.approx(0.5, abs=margin(trials, 0.5) + 0.01)


def test_eight_windows_cover_too_seldom():
    """At 8 windows a nominal 95 % covers about 88 % for a mean and 67 % for chi's percentiles."""
    rng, trials = np.random.default_rng(6), 1500
    mean = coverage(mean_interval(rng.normal(size=(8, trials)), rng), 0)
    assert mean == pytest.approx(0.88, abs=margin(trials, 0.88))
    _, percentile = chi_intervals(rng.negative_binomial(4, 1 / 11, size=(trials, 8)), rng)
    assert coverage(percentile, 11) == pytest.approx(0.67, abs=0.08)


@pytest.mark.parametrize(
    ("draw", "chi"),
    [
        (lambda rng, size: rng.poisson(40, size), 1.0),
        (lambda rng, size: rng.negative_binomial(4, 1 / 11, size), 11.0),
    ],
    ids=["poisson", "negative binomial"],
)
def test_the_studentised_interval_of_chi_covers_better(draw, chi):
    """At 16 windows the studentised interval covers chi at least 8 points more often."""
    rng, trials = np.random.default_rng(7), 1000
    studentised, percentile = chi_intervals(draw(rng, (trials, 16)), rng)
    assert coverage(studentised, chi) > coverage(percentile, chi) + 0.08
    assert coverage(studentised, chi) > 0.9


def test_resampling_sites_is_too_sure_when_windows_differ():
    """Where the sites of a window are alike, resampling them gives intervals far too narrow."""
    rng, n, sites = np.random.default_rng(8), 40, 50
    p = rng.beta(4, 4, size=n)
    X = rng.random((n, sites)) < p[:, None]
    windows = mean_interval(X.mean(axis=1), rng)
    pooled = mean_interval(X.ravel().astype(float), rng)
    assert windows.high - windows.low > 2 * (pooled.high - pooled.low)
    same = rng.random((n, sites)) < 0.5  # control: independent sites give equal widths
    windows = mean_interval(same.mean(axis=1), rng)
    pooled = mean_interval(same.ravel().astype(float), rng)
    assert windows.high - windows.low == pytest.approx(pooled.high - pooled.low, rel=0.4)


def test_statistics_that_share_resamples_are_paired():
    """The difference of two equal curves has no width; with resamples of their own it has."""
    rng = np.random.default_rng(9)
    values = rng.normal(size=30)
    resamples, others = (Resamples.draw(30, 500, rng) for _ in range(2))
    paired = percentile_interval(resamples.sums(values) - resamples.sums(values))
    assert (paired.low, paired.high) == (0, 0)
    unpaired = percentile_interval(resamples.sums(values) - others.sums(values))
    assert unpaired.high - unpaired.low > 10


# --------------------------------------------------------------------------------- percentiles


def test_percentiles_are_those_of_the_replicates():
    """The ends are the 2.5 % and 97.5 % quantiles along the first axis."""
    replicates = np.random.default_rng(10).normal(size=(999, 2, 3))
    interval = percentile_interval(replicates)
    expected = np.quantile(replicates, [0.025, 0.975], axis=0)
    np.testing.assert_allclose([interval.low, interval.high], expected, rtol=1e-14)


def test_few_undefined_replicates_are_left_out_and_more_leave_no_interval():
    """Up to 5 % of NaN are ignored; beyond them, the interval is NaN, without a warning."""
    replicates = np.arange(300.0).reshape(100, 3)
    replicates[95:, 1] = replicates[94:, 2] = np.nan
    interval = percentile_interval(replicates)
    assert np.isnan(interval.low).tolist() == [False, False, True]
    assert np.isnan(interval.high).tolist() == [False, False, True]
    of_others = np.quantile(replicates[:95, 1], [0.025, 0.975])
    np.testing.assert_allclose([interval.low[1], interval.high[1]], of_others)
    half = percentile_interval(replicates[40:, 2], level=0.9)  # 54 of 60 are defined
    assert np.isfinite(half.width)
    for nothing in (np.full(5, np.nan), np.empty(0), np.empty((0, 2))):
        assert np.isnan(percentile_interval(nothing).low).all()


def test_one_window_has_no_interval():
    """A single window can only be drawn again as it is: its replicates are undefined, not equal."""
    resamples = Resamples.draw(1, 100, np.random.default_rng(1))
    assert resamples.sums(np.array([[3.0, 4.0]])).shape == (100, 2)
    interval = percentile_interval(resamples.sums(np.array([3.0])))
    assert np.isnan([interval.low, interval.high]).all()
    assert resamples.why_undefined(np.full(100, np.nan)) == "one window cannot be resampled"
    two = Resamples.draw(2, 100, np.random.default_rng(1))  # control
    assert percentile_interval(two.sums(np.array([3.0, 5.0]))).width > 0


def test_what_has_no_interval_is_named():
    """The words count what is defined, and name the numbers."""
    resamples = Resamples.draw(3, 4, np.random.default_rng(1))
    replicates = np.array([1.0, np.nan, 2.0, np.nan])
    assert resamples.why_undefined(replicates) == "2 of 4 replicates are defined"
    nan = np.nan
    assert no_interval({"chi": 2.0}, {"chi": nan}).startswith("no interval of chi: ")
    assert no_interval({"chi": 2.0, "b": nan}, {"chi": 1.0, "b": nan}) == ""


def test_undefined_chi_has_an_undefined_interval():
    """Chi of constant or empty totals has an interval of NaN, beside one that is defined."""
    Y = np.random.default_rng(11).poisson(20, size=(3, 24))
    Y[1], Y[2] = 5, 0
    interval, _ = chi_intervals(Y, np.random.default_rng(12))
    assert np.isnan(interval.low).tolist() == [False, True, True]
    assert np.isnan(interval.high).tolist() == [False, True, True]
    assert 0 < interval.low[0] < interval.high[0]


def test_a_studentised_interval_of_normal_replicates_is_the_normal_one():
    """With the right standard error everywhere, log chi ± 1.96 errors comes out, mirrored."""
    rng = np.random.default_rng(13)
    log = rng.normal(np.log(3), 0.2, size=200_000)
    interval = studentised_log_interval(
        np.array(3.0), np.array(0.2), np.exp(log), np.full(200_000, 0.2)
    )
    assert np.log(interval.low) == pytest.approx(np.log(3) - 1.96 * 0.2, abs=0.01)
    skewed = studentised_log_interval(
        np.array(3.0), np.array(0.2), np.exp(np.abs(log)), np.full(200_000, 0.1)
    )
    assert np.log(3) - np.log(skewed.low) == pytest.approx(2 * 1.96 * 0.2, abs=0.02)


def test_an_end_that_few_windows_put_anywhere_is_undefined():
    """Replicates with next to no standard error leave an end open; wide is not yet undefined."""
    rng = np.random.default_rng(5)
    replicates = np.exp(rng.normal(size=2000))
    for scale, undefined in ((1.0, False), (0.2, False), (1e-3, True), (1e-300, True)):
        interval = studentised_log_interval(
            np.asarray(1.0), np.asarray(1.0), replicates, np.full(2000, scale)
        )
        assert np.isnan(interval.low) == np.isnan(interval.high) == undefined
    one_sided = studentised_log_interval(
        np.asarray(1.0), np.asarray(1.0), replicates, np.where(replicates > 1, 1.0, 1e-3)
    )
    assert np.isnan(one_sided.high)
    assert 0 < one_sided.low < 1
