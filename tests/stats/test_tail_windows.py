"""Exponents of resampled windows: equal to those of fits, and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom

from avalattice.errors import ArrayError
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.tail_laws import power_law
from avalattice.stats.tail_windows import (
    alpha_from_mean_log,
    alpha_replicates,
    alpha_window_interval,
    tail_sums_by_window,
)
from avalattice.stats.tails import fit_tail


def correlated_windows(rng, n_windows: int = 60, per_window: int = 40) -> tuple[np.ndarray, ...]:
    """Tails whose exponent, one of three, varies from window to window."""
    x = np.empty((n_windows, per_window), np.int64)
    kind = rng.integers(3, size=n_windows)
    for index, alpha in enumerate((1.8, 2.2, 2.6)):
        drawn = power_law(alpha).sample(int(np.sum(kind == index)) * per_window, rng)
        x[kind == index] = drawn.reshape(-1, per_window)
    return x.ravel(), np.repeat(np.arange(n_windows), per_window)


@pytest.mark.parametrize(("low", "high"), [(0.1, 5.3), (5.0, 5.3), (2.0, 3.0)])
def test_exponents_of_bounded_supports_are_the_roots(low, high):
    """On [1, 256] E[log x] under the found exponent is the mean, from near zero to near log 256."""
    log_x = np.log(np.arange(1, 257))

    def excess(alpha: float, mean: float) -> float:
        weight = np.exp(-alpha * log_x - np.max(-alpha * log_x))
        return float(weight @ log_x / weight.sum() - mean)

    means = np.linspace(low, high, 200)
    roots = [brentq(excess, -60, 60, args=(mean,), xtol=1e-12) for mean in means]
    np.testing.assert_allclose(alpha_from_mean_log(means, 1, 256), roots, atol=1e-6)
    others = alpha_from_mean_log(means + 1e-4, 1, 256)  # control: near means are told apart
    assert np.abs(others - roots).min() > 1e-5


def test_exponents_of_mean_logs_equal_fitted_ones():
    """The alpha of a mean log is the maximum-likelihood alpha, of many or of few."""
    rng = np.random.default_rng(19)
    for xmax in (None, 1000):
        law = power_law(2.0, xmin=3, xmax=xmax)
        samples = [law.sample(50, rng) for _ in range(200)]
        mean_log = np.array([np.log(x).mean() for x in samples])
        fitted = [fit_tail(x, xmin=3, xmax=xmax).alpha for x in samples]
        np.testing.assert_allclose(alpha_from_mean_log(mean_log, 3, xmax), fitted, rtol=1e-6)
        np.testing.assert_allclose(
            alpha_from_mean_log(mean_log[:5], 3, xmax), fitted[:5], rtol=1e-9
        )


def test_mean_logs_out_of_range_have_no_exponent():
    """A mean log at xmin or at xmax has no exponent: NaN, beside a neighbour that has one."""
    mean_log = np.log([5.0, 6.0, 20.0])
    found = alpha_from_mean_log(mean_log, 5, 20)
    assert np.isnan(found[[0, 2]]).all()
    assert math.isfinite(found[1])


def test_one_mean_log_without_an_exponent_leaves_the_others_alone():
    """A mean log a hair under log xmax is NaN, among many others that keep theirs."""
    some = np.log(np.linspace(8.0, 15.0, 100))
    hair = np.nextafter(math.log(20), 0)
    found = alpha_from_mean_log(np.append(some, hair), 5, 20)
    assert math.isnan(found[-1])
    np.testing.assert_allclose(found[:-1], alpha_from_mean_log(some, 5, 20), rtol=1e-5, atol=1e-5)


def test_a_replicate_is_the_fit_of_the_windows_drawn():
    """The alpha of weighted sums is that of the windows drawn, repeats included."""
    rng = np.random.default_rng(20)
    x, window = correlated_windows(rng, 10)
    n, logs = tail_sums_by_window(x, window, n_windows=10, xmin=2)
    resamples = Resamples.draw(10, 4, rng)
    alphas = alpha_replicates(n, logs, resamples, xmin=2)
    for row, alpha in zip(resamples.weights, alphas, strict=True):
        drawn = fit_tail(x, counts=row.astype(int)[window], xmin=2)
        assert alpha == pytest.approx(drawn.alpha, rel=1e-9)


def test_window_intervals_cover_and_standard_errors_do_not():
    """Where windows differ, their interval covers in 95 % of trials, and ±1.96 se does not."""
    rng = np.random.default_rng(21)
    everything, window = correlated_windows(rng, 20_000, 40)
    truth = fit_tail(everything, xmin=1).alpha
    trials, inside, inside_se = 200, 0, 0
    for _ in range(trials):
        x, window = correlated_windows(rng)
        n, logs = tail_sums_by_window(x, window, n_windows=60, xmin=1)
        interval = alpha_window_interval(n, logs, Resamples.draw(60, 300, rng), xmin=1)
        fit = fit_tail(x, xmin=1)
        inside += interval.low <= truth <= interval.high
        inside_se += abs(fit.alpha - truth) <= 1.96 * fit.alpha_se
    assert binom.cdf(inside, trials, 0.93) > 0.01
    assert binom.cdf(inside_se, trials, 0.93) < 0.01


def test_windows_out_of_range_are_named():
    """A window number that is too large, or an array of another shape, is an error."""
    x = np.array([1, 2, 3])
    for window in (np.array([0, 1, 2]), np.array([0, 1])):
        with pytest.raises(ArrayError, match="window must hold 0 … 1"):
            tail_sums_by_window(x, window, n_windows=2, xmin=1)
