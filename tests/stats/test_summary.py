"""Summaries: the same numbers as separate calculations, with intervals around them."""

from __future__ import annotations

import numpy as np
import pytest

from avalattice.canon import CONST
from avalattice.lattice.branching import branching, edge_sums
from avalattice.lattice.susceptibility import susceptibility
from avalattice.stats.bootstrap import Resamples, percentile_interval
from avalattice.stats.summary import BRANCHING_NAMES, Summary, summarise

C, N, L, T = 3, 40, 4, 30
D_FF = np.array([50, 60, 70, 80])


def counts(n: int = N) -> np.ndarray:
    """Counts of three conditions at different rates, with windows that differ."""
    rng = np.random.default_rng(1)
    rate = np.array([0.2, 0.5, 1.5])[:, None] * rng.uniform(0.5, 1.5, size=n)
    return rng.poisson(rate[:, :, None, None], size=(C, n, L, T)).astype(np.uint16)


def summary_of(A: np.ndarray, *, reps: int = 400, **options) -> Summary:
    resamples = Resamples.draw(A.shape[1], reps, np.random.default_rng(2))
    return summarise(edge_sums(A), n_tokens=A.shape[-1], d_ff=D_FF, resamples=resamples, **options)


def test_occupancy_and_rates_are_means_over_sites():
    """P, its profile, achieved rates and events are those of the raster itself."""
    A = counts()
    found = summary_of(A)
    np.testing.assert_allclose(found.occupancy, (A > 0).mean(axis=(1, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(found.occupancy_layers, (A > 0).mean(axis=(1, 3)), rtol=1e-14)
    np.testing.assert_array_equal(found.events_layers, A.sum(axis=(1, 3)))
    np.testing.assert_allclose(found.rate_layers, A.mean(axis=(1, 3)) / D_FF, rtol=1e-14)
    assert found.n_windows == N


@pytest.mark.parametrize("denominator", ["valid_edges", "all_sites"])
def test_ratios_equal_those_of_each_condition_alone(denominator):
    """Branching ratios and chi of a stack are those of its conditions one by one."""
    A = counts()
    found = summary_of(A, denominator=denominator)
    for c in range(C):
        alone = branching(A[c], denominator=denominator)
        for name in BRANCHING_NAMES:
            assert getattr(found.branching, name)[c] == getattr(alone, name)
        chi = susceptibility(A[c])
        np.testing.assert_allclose(found.susceptibility.chi[c], chi.chi, rtol=1e-12)
        np.testing.assert_allclose(found.susceptibility.log_se[c], chi.log_se, rtol=1e-9)


def test_intervals_contain_the_estimate():
    """On ordinary data every interval lies around its estimate and is no wider than half of it."""
    found = summary_of(counts())
    pairs = {name: getattr(found.branching, name) for name in BRANCHING_NAMES}
    for name, interval in found.branching_intervals.items():
        assert (interval.low < pairs[name]).all()
        assert (pairs[name] < interval.high).all()
        assert (interval.high - interval.low < 0.5 * pairs[name]).all()
    chi = found.susceptibility.chi
    assert ((found.chi_interval.low < chi) & (chi < found.chi_interval.high)).all()


def test_replicates_are_ratios_of_resampled_rasters():
    """Each b_tot replicate is the b_tot of the raster with its windows repeated as drawn."""
    A = counts()
    resamples = Resamples.draw(N, 5, np.random.default_rng(2))
    found = summarise(edge_sums(A), n_tokens=T, d_ff=D_FF, resamples=resamples)
    for r, weights in enumerate(resamples.weights.astype(int)):
        for c in range(C):
            repeated = branching(np.repeat(A[c], weights, axis=0))
            assert found.b_tot_replicates[r, c] == repeated.b_tot
    interval = percentile_interval(found.b_tot_replicates)
    np.testing.assert_array_equal(found.branching_intervals["b_tot"].low, interval.low)


def test_conditions_are_paired_by_window():
    """Conditions of one stack share their resamples: equal rasters differ in no replicate."""
    A = counts()
    A[1] = A[0]
    replicates = summary_of(A).b_tot_replicates
    np.testing.assert_array_equal(replicates[:, 0], replicates[:, 1])
    assert (replicates[:, 0] != replicates[:, 2]).any()


def test_undefined_conditions_leave_the_others_alone():
    """An empty condition has NaN and a reason, and its neighbours keep their numbers."""
    A = counts()
    whole = summary_of(A)
    A[1] = 0
    found = summary_of(A)
    assert np.isnan(found.branching.b_tot).tolist() == [False, True, False]
    assert np.isnan(found.susceptibility.chi).tolist() == [False, True, False]
    assert found.branching.reason == "b_time and b_depth: no occupied site has a successor"
    for interval in (*found.branching_intervals.values(), found.chi_interval):
        assert np.isnan(interval.low).tolist() == [False, True, False]
    assert found.occupancy[1] == 0
    np.testing.assert_array_equal(found.b_tot_replicates[:, ::2], whole.b_tot_replicates[:, ::2])


@pytest.mark.parametrize("n", [1, CONST.FEW_WINDOWS - 1, CONST.FEW_WINDOWS, N])
def test_few_windows_are_flagged(n):
    """Intervals from fewer than FEW_WINDOWS windows carry a flag; a single window has no chi."""
    found = summary_of(counts(n))
    assert found.few_windows is (n < CONST.FEW_WINDOWS)
    assert np.isnan(found.susceptibility.chi).all() == (n == 1)
    assert np.isnan(found.chi_interval.low).all() == (n == 1)
