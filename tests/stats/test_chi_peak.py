"""A peak of chi: planted ones are found, plateaus are not, and the interval is what it says."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from scipy.stats import binom

from avalattice.canon import CONST
from avalattice.errors import ArrayError
from avalattice.lattice.susceptibility import susceptibility_of_totals
from avalattice.stats import chi_peak as module
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.chi_peak import chi_peak, max_t_interval

GRID = CONST.GAIN_GRID_DEFAULT
G = len(GRID)
FLAT = np.ones(G)
PEAK = np.array([1, 1.2, 1.4, 1.6, 1.8, 2, 1.8, 1.6, 1.4, 1.2, 1])
PLATEAU = np.array([0.3, 0.5, 0.7, 0.9, 1, 1, 1, 1, 1, 1, 1])


def draw_totals(rng, spread: np.ndarray, n: int = 64, shared: float = 0.9) -> np.ndarray:
    """Window totals [G, N] about 3000, with a spread by gain, correlated between gains."""
    window, own = rng.standard_normal((1, n)), rng.standard_normal((len(spread), n))
    loud = shared * window + np.sqrt(1 - shared**2) * own
    return np.rint(3000 * np.exp(0.15 * spread[:, None] * loud)).astype(np.int64)


def peak_of(totals: np.ndarray, *, reps: int = 300, gains=GRID, seed: int = 2):
    return chi_peak(
        gains, totals, Resamples.draw(totals.shape[1], reps, np.random.default_rng(seed))
    )


# ------------------------------------------------------------------------------- what is measured


def test_a_planted_peak_is_found():
    """The largest chi stands inside the grid, at its gain, and above both ends."""
    totals = draw_totals(np.random.default_rng(1), PEAK, n=200)
    found = peak_of(totals)
    assert found.gain == Decimal("1.0")
    assert found.interior
    assert found.exceeds_both_ends
    np.testing.assert_array_equal(found.chi, susceptibility_of_totals(totals).chi)
    chi = found.chi
    expected = np.log(chi[5] / chi[0]), np.log(chi[5] / chi[-1])
    assert found.log_ratio == pytest.approx(expected, abs=1e-9)
    for ratio, (low, high) in zip(found.log_ratio, found.intervals, strict=True):
        assert 0 < low < ratio < high


def test_a_flat_curve_has_no_peak_that_stands():
    """Control: the highest point of a flat curve may lie inside, but exceeds no end."""
    found = peak_of(draw_totals(np.random.default_rng(3), FLAT, n=200))
    assert found.interior
    assert not found.exceeds_both_ends


@pytest.mark.parametrize("end", [0, -1])
def test_each_end_must_be_exceeded(end):
    """A curve that is as high at one of its ends has no peak, however low the other."""
    spread = PEAK.copy()
    spread[end] = 2
    found = peak_of(draw_totals(np.random.default_rng(1), spread, n=200))
    assert not found.exceeds_both_ends
    assert found.intervals[1 + end][0] > 0 or not found.interior  # the other one is exceeded


@pytest.mark.parametrize("curve", [np.linspace(1, 2, G), np.linspace(2, 1, G)])
def test_a_monotone_curve_has_no_interior_peak(curve):
    """Where chi is largest at an end there is nothing to compare."""
    found = peak_of(draw_totals(np.random.default_rng(1), curve, n=200, shared=1.0))
    assert found.gain in (GRID[0], GRID[-1])
    assert not found.interior
    assert not found.exceeds_both_ends
    assert np.isnan([*found.log_ratio, *found.intervals[0], *found.intervals[1]]).all()
    assert found.assessable


def test_an_end_as_high_as_the_peak_is_no_interior_peak():
    """Equal totals at an end and inside are no peak inside."""
    totals = draw_totals(np.random.default_rng(1), PEAK)
    totals[-1] = totals[np.argmax(peak_of(totals).chi)]
    assert not peak_of(totals).interior


# ------------------------------------------------------------------------------------ the interval


def test_the_standard_error_is_that_of_the_influence_functions():
    """The influence function of log chi has the standard error that susceptibility gives."""
    totals = draw_totals(np.random.default_rng(4), PEAK)
    n = totals.shape[1]
    _, influence = module._log_chi(totals[5], np.ones((1, n)))
    expected = susceptibility_of_totals(totals[5]).log_se
    assert np.sqrt(np.mean(influence**2) / n) == pytest.approx(expected, rel=1e-9)


def test_the_standard_error_of_a_difference_is_paired():
    """It is near the spread of differences over repeated experiments, and far from unpaired."""
    rng, shared = np.random.default_rng(5), 0.99
    differences, errors, unpaired = [], [], []
    for _ in range(400):
        totals = draw_totals(rng, FLAT[:3], n=100, shared=shared)
        estimate, se = module._log_ratios(totals, 0, np.ones((1, 100)))
        differences.append(estimate[0, 0])
        errors.append(se[0, 0])
        unpaired.append(np.sqrt(np.sum(susceptibility_of_totals(totals[:2]).log_se ** 2)))
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.15)
    assert np.mean(unpaired) > 3 * np.std(differences)


def test_a_replicate_is_the_ratio_of_the_windows_drawn():
    """Weights count windows: a replicate equals the ratio of totals repeated as often."""
    totals = draw_totals(np.random.default_rng(6), PEAK, n=30)
    resamples = Resamples.draw(30, 8, np.random.default_rng(7))
    found, errors = module._log_ratios(totals, 0, resamples.weights)
    for row, (ratio, se) in enumerate(zip(found, errors, strict=True)):
        repeated = np.repeat(totals, resamples.weights[row].astype(int), axis=1)
        chi = susceptibility_of_totals(repeated).chi
        np.testing.assert_allclose(ratio, np.log(chi[1:-1] / chi[0]), rtol=1e-9)
        alone = module._log_ratios(repeated, 0, np.ones((1, 30)))[1][0]
        np.testing.assert_allclose(se, alone, rtol=1e-9)


def test_a_plateau_is_rarely_called_a_peak():
    """A curve that rises to a plateau passes in 2.5 % of trials; with plain intervals, in more.

    Its highest point is an accident; an interval that forgets that it was looked for is deceived.
    """
    rng, trials, simultaneous, plain = np.random.default_rng(8), 250, 0, 0
    for _ in range(trials):
        totals = draw_totals(rng, PLATEAU)
        resamples = Resamples.draw(64, 200, rng)
        found = chi_peak(GRID, totals, resamples)
        simultaneous += found.exceeds_both_ends
        if found.interior:
            place = GRID.index(found.gain) - 1
            plain += all(_plain_low(totals, end, place, resamples) > 0 for end in (0, G - 1))
    assert binom.sf(simultaneous - 1, trials, 0.025) > 0.01
    assert binom.sf(plain - 1, trials, 0.025) < 1e-4


def _plain_low(totals, end, place, resamples) -> float:
    """The low end of the bootstrap-t interval of one gain that was named beforehand."""
    estimate, se = module._log_ratios(totals, end, np.ones((1, resamples.n_windows)))
    replicates, errors = module._log_ratios(totals, end, resamples.weights)
    column = np.s_[:, place : place + 1]
    return max_t_interval(
        estimate[column][0], se[column][0], replicates[column], errors[column]
    ).low[0]


def test_simultaneous_intervals_cover_together():
    """All intervals of a flat curve cover zero together in 95 % of trials, plain ones do not."""
    rng, trials, together, apart = np.random.default_rng(9), 200, 0, 0
    for _ in range(trials):
        totals = draw_totals(rng, FLAT, n=128, shared=0.5)
        resamples = Resamples.draw(128, 200, rng)
        estimate, se = module._log_ratios(totals, 0, np.ones((1, 128)))
        replicates, errors = module._log_ratios(totals, 0, resamples.weights)
        joint = max_t_interval(estimate[0], se[0], replicates, errors)
        together += bool(np.all((joint.low <= 0) & (joint.high >= 0)))
        t = (replicates - estimate[0]) / errors
        high, low = (estimate[0] - np.quantile(t, q, axis=0) * se[0] for q in (0.025, 0.975))
        apart += bool(np.all((low <= 0) & (high >= 0)))
    assert binom.cdf(together, trials, 0.93) > 0.01
    assert binom.cdf(apart, trials, 0.93) < 1e-4


def test_bootstrap_t_mirrors_the_quantiles():
    """A long upper tail of replicates lengthens the interval downwards, by the extremes of each."""
    t = np.stack([np.arange(1001.0), np.zeros(1001)], axis=1)
    errors = np.full((1001, 2), 0.5)
    interval = max_t_interval(np.array([7.0, 8.0]), np.array([2.0, 1.0]), [7, 8] + 0.5 * t, errors)
    np.testing.assert_allclose(interval.low, [7 - 2 * 975, 8 - 975])
    np.testing.assert_allclose(interval.high, [7, 8])


def test_undefined_statistics_leave_the_others_alone():
    """A statistic without a standard error has no interval; one replicate less is one less."""
    rng = np.random.default_rng(10)
    replicates = rng.normal(1, 0.1, (500, 2))
    errors = np.full((500, 2), 0.1)
    alone = max_t_interval(np.array([1.0]), np.array([0.1]), replicates[:, :1], errors[:, :1])
    found = max_t_interval(np.array([1.0, 1.0]), np.array([0.1, np.nan]), replicates, errors)
    assert found.low.tolist() == [alone.low[0], pytest.approx(np.nan, nan_ok=True)]
    for undefined, some in ((12, True), (13, False)):  # of 500, 2.5 %
        errors[:undefined] = 0
        interval = max_t_interval(np.ones(2), np.full(2, 0.1), replicates, errors)
        assert np.isfinite(interval.low).all() == some


# ----------------------------------------------------------------------- what cannot be assessed


def test_two_gains_have_no_interior():
    """A peak inside the grid needs three gains."""
    found = peak_of(draw_totals(np.random.default_rng(1), FLAT[:2]), gains=GRID[:2])
    assert not found.assessable
    assert found.reason == "a peak inside the grid needs 3 gains, there are 2"
    assert peak_of(draw_totals(np.random.default_rng(1), FLAT[:3]), gains=GRID[:3]).assessable


def test_undefined_chi_is_named():
    """A gain without events, and a single window, leave chi undefined."""
    totals = draw_totals(np.random.default_rng(1), PEAK)
    totals[2] = 0
    found = peak_of(totals)
    assert not found.assessable
    assert found.gain is None
    assert found.reason == "chi is undefined at g = 0.85: it needs two windows and some event"
    assert not peak_of(totals[:, :1]).assessable


def test_totals_without_variance_leave_no_interval():
    """Totals that are constant at the ends have no log chi there: NaN, no exception."""
    totals = np.full((3, 30), 50)
    totals[1] += np.arange(30)
    found = peak_of(totals, gains=GRID[:3])
    assert found.interior
    assert np.isnan(found.intervals).all()
    assert not found.exceeds_both_ends


def test_two_windows_leave_no_interval():
    """Half of the draws of two windows have no variance, the others are the data: no interval."""
    totals = draw_totals(np.random.default_rng(1), np.array([0.1, 3.0, 0.1]), n=40)
    few = np.stack([totals.min(axis=1), totals.max(axis=1)], axis=1)
    assert np.isnan(peak_of(few, gains=GRID[:3]).intervals).all()
    assert peak_of(totals, gains=GRID[:3]).exceeds_both_ends  # control


@pytest.mark.parametrize("n", [CONST.FEW_WINDOWS - 1, CONST.FEW_WINDOWS])
def test_few_windows_are_flagged(n):
    """Fewer than FEW_WINDOWS windows carry a flag."""
    totals = draw_totals(np.random.default_rng(1), PEAK, n=n)
    assert peak_of(totals).few_windows == (n < CONST.FEW_WINDOWS)


@pytest.mark.parametrize(
    ("gains", "shape", "message"),
    [
        (GRID[::-1], (G, 8), "gains must increase, found"),
        (GRID, (G - 1, 8), r"totals must be \[G, N\] = \(11, 8\), found shape \(10, 8\)"),
        (GRID, (G, 7), r"found shape \(11, 7\)"),
    ],
)
def test_wrong_arrays_are_named(gains, shape, message):
    """Gains that do not increase, and other shapes, raise what names them."""
    resamples = Resamples.draw(8, 5, np.random.default_rng(1))
    with pytest.raises(ArrayError, match=message):
        chi_peak(gains, np.ones(shape, np.int64), resamples)
