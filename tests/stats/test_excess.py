"""Intervals of the surplus over the nulls: recomputed with each resample, paired by window."""

import numpy as np
import pytest
from scipy import stats

from avalattice.errors import ArrayError
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.null_sums import EXCESS_NAMES, null_sums
from avalattice.lattice.percolation import independent_sites
from avalattice.stats.bootstrap import Resamples, percentile_interval
from avalattice.stats.excess import DELTA_EXCESS_NAMES, excess_intervals, paired_excess
from tests.lattice.samples import aligned_layers, sites

N, L, T = 30, 5, 40
denominators = pytest.mark.parametrize("denominator", ["valid_edges", "all_sites"])


def resamples_of(n=N, reps=400, seed=0):
    return Resamples.draw(n, reps, np.random.default_rng(seed))


def uneven(seed, n=N, share=0.1):
    """Aligned layers whose windows differ in occupancy, between 0.1 and 0.5."""
    rng = np.random.default_rng(seed)
    occupancy = rng.uniform(0.1, 0.5, size=n)
    return np.stack([aligned_layers(rng, (L, T), p, share) for p in occupancy])


def conditions():
    """Three rasters over as many windows."""
    return np.stack([uneven(seed, share=share) for seed, share in ((0, 0.0), (1, 0.1), (2, 0.3))])


def delta_of(X, denominator):
    """delta_b_time, delta_b_depth and delta_b_tot of one raster."""
    null = branching_null_exact(X, denominator=denominator)
    return np.array([null.delta_b_time, null.delta_b_depth, null.delta_b_tot])


# ------------------------------------------------------------------------------- one raster


@denominators
def test_intervals_are_those_of_repeated_windows(denominator):
    """A replicate is the surplus of the raster with its windows repeated as they were drawn."""
    X, resamples = uneven(3), resamples_of(reps=40)
    counts = resamples.weights.astype(int)
    drawn = [
        branching_null_exact(np.repeat(X, weights, axis=0), denominator=denominator)
        for weights in counts
    ]
    found = excess_intervals(null_sums(X), resamples, denominator=denominator)
    for name in ("b_time_perm_exact", "delta_b_time", "delta_b_tot", "delta_b_depth_shift"):
        expected = percentile_interval(np.array([getattr(null, name) for null in drawn]))
        assert found[name].low == pytest.approx(float(expected.low), rel=1e-12)
        assert found[name].high == pytest.approx(float(expected.high), rel=1e-12)


def test_every_number_has_an_interval_around_it():
    """All names are there, in the shape of the stack, and each interval holds its estimate."""
    A = conditions()
    found = excess_intervals(null_sums(A), resamples_of())
    assert list(found) == list(EXCESS_NAMES)
    for c, X in enumerate(A):
        null = branching_null_exact(X)
        for name in EXCESS_NAMES[3:]:
            assert found[name].low.shape == (3,)
            assert found[name].low[c] < getattr(null, name) < found[name].high[c]


def test_conditions_of_a_stack_are_as_alone():
    """A condition's interval is the same alone and among others, silent ones among them."""
    A, resamples = conditions(), resamples_of()
    A[1] = 0
    together = excess_intervals(null_sums(A), resamples)
    for c in (0, 2):
        alone = excess_intervals(null_sums(A[c]), resamples)
        for name in EXCESS_NAMES:
            assert together[name].low[c] == pytest.approx(float(alone[name].low), rel=1e-12)
    assert all(np.isnan(together[name].low[1]) for name in EXCESS_NAMES)


def test_what_the_null_expects_is_recomputed_with_each_resample():
    """Where windows differ in occupancy b varies with them, and its surplus much less."""
    X = uneven(4, n=60)
    found = excess_intervals(null_sums(X), resamples_of(60))
    assert found["delta_b_depth"].width < 0.6 * found["b_depth"].width
    even = independent_sites((60, L, T), 0.3, np.random.default_rng(4))
    found = excess_intervals(null_sums(even), resamples_of(60))
    assert found["delta_b_depth"].width > 0.6 * found["b_depth"].width  # control


def test_intervals_cover_a_planted_surplus():
    """Of 300 rasters of 40 windows, about 95 % of the intervals hold the planted surplus."""
    rng, share, occupancy, covered, found_none = np.random.default_rng(5), 0.1, 0.3, 0, 0
    planted = share * (1 - occupancy) * (1 - 1 / T)  # permutation expects repeated sites too
    for _ in range(300):
        X = aligned_layers(rng, (40, L, T), occupancy, share)
        interval = excess_intervals(null_sums(X), resamples_of(40))["delta_b_depth_shift"]
        covered += bool(interval.low < planted < interval.high)
        found_none += bool(interval.low < 0 < interval.high)
    assert stats.binom.ppf(1e-3, 300, 0.92) <= covered <= stats.binom.ppf(0.999, 300, 0.96)
    assert found_none < 30


# ------------------------------------------------------------------------------ two rasters


@denominators
def test_differences_are_those_of_each_raster_alone(denominator):
    """delta_excess is the raster's surplus less the mean of the draws', along each axis."""
    A = conditions()
    paired = paired_excess(
        null_sums(A[2]), [null_sums(A[0]), null_sums(A[1])], resamples_of(), denominator=denominator
    )
    measured, *draws = (delta_of(X, denominator) for X in (A[2], A[0], A[1]))
    expected = measured - np.mean(draws, axis=0)
    for name, value in zip(DELTA_EXCESS_NAMES, expected, strict=True):
        assert paired.values[name] == pytest.approx(value, rel=1e-12)
        assert paired.intervals[name].low < value < paired.intervals[name].high
    assert list(paired.values) == list(paired.intervals) == list(DELTA_EXCESS_NAMES)
    assert paired.reason is None


def test_replicates_are_paired_by_window():
    """A raster has no difference from itself in any resample, and little from a near copy."""
    X = uneven(6)
    near = X.copy()
    near[:, :, ::20] ^= 1
    sums, resamples = null_sums(X), resamples_of()
    itself = paired_excess(sums, [sums], resamples)
    for name in DELTA_EXCESS_NAMES:
        assert (itself.values[name], *vars(itself.intervals[name]).values()) == (0, 0, 0)
    paired = paired_excess(sums, [null_sums(near)], resamples).intervals
    other_windows = np.random.default_rng(1).permutation(N)
    unpaired = paired_excess(sums, [null_sums(near)[other_windows]], resamples).intervals
    assert paired["delta_excess_tokshuffle"].width < 0.6 * unpaired["delta_excess_tokshuffle"].width


def test_the_surplus_is_comparable_across_rates():
    """Independent sites of three times the occupancy have another b, and no other surplus."""
    rng = np.random.default_rng(7)
    dense, sparse = (independent_sites((60, L, T), p, rng) for p in (0.3, 0.1))
    paired = paired_excess(null_sums(dense), [null_sums(sparse)], resamples_of(60))
    for interval in paired.intervals.values():
        assert interval.low < 0 < interval.high
        assert interval.width < 0.1
    b = [branching_null_exact(X).b_tot_perm_exact for X in (dense, sparse)]
    assert b[0] - b[1] > 0.3
    planted = aligned_layers(rng, (60, L, T), 0.3, 0.2)  # control
    found = paired_excess(null_sums(planted), [null_sums(sparse)], resamples_of(60))
    assert found.intervals["delta_excess_depth"].low > 0.1


def test_a_stack_is_compared_condition_by_condition():
    """Stacks [C, N, S] give [C], each as alone."""
    A, B, resamples = conditions(), conditions()[::-1], resamples_of()
    together = paired_excess(null_sums(A), [null_sums(B)], resamples)
    alone = paired_excess(null_sums(A[0]), [null_sums(B[0])], resamples)
    for name in DELTA_EXCESS_NAMES:
        assert together.values[name].shape == together.intervals[name].low.shape == (3,)
        assert together.values[name][0] == pytest.approx(float(alone.values[name]), rel=1e-12)
        assert together.values[name][1] == 0


def test_what_too_few_resamples_define_has_no_interval_and_says_so():
    """All events in one window of thirty: a surplus, no interval of it, and the reason."""
    X = uneven(8)
    X[1:] = 0
    sums, resamples = null_sums(X), resamples_of()
    assert np.isnan(excess_intervals(sums, resamples)["delta_b_tot"].low)
    assert np.isfinite(excess_intervals(null_sums(uneven(8)), resamples)["delta_b_tot"].low)
    paired = paired_excess(sums, [null_sums(uneven(9))], resamples)
    assert np.isfinite([*paired.values.values()]).all()
    assert np.isnan([interval.low for interval in paired.intervals.values()]).all()
    named = f"no interval of {', '.join(DELTA_EXCESS_NAMES)}: it needs two windows"
    assert paired.reason is not None
    assert paired.reason.startswith(named)


def test_undefined_differences_have_a_reason():
    """Where a raster is silent, or has one layer, the reason says which raster and why."""
    X, silent = uneven(8), np.zeros((N, L, T), int)
    paired = paired_excess(null_sums(X), [null_sums(X), null_sums(silent)], resamples_of())
    assert np.isnan([*paired.values.values()]).all()
    assert np.isnan(paired.intervals["delta_excess_time"].low)
    assert paired.reason == (
        "draw 1 of shuffled input, b_time and b_depth: no occupied site has a successor"
    )
    single = null_sums(X[:, :1])
    paired = paired_excess(single, [single], resamples_of())
    assert np.isnan([*paired.values.values()]).tolist() == [False, True, True]
    assert paired.reason.startswith("measured raster, b_depth: ")


# ------------------------------------------------------------------------------ wrong input


def test_other_arrays_are_refused():
    """Other windows, other sums and missing draws are refused, saying what was found."""
    sums, resamples = null_sums(sites(0, (N, L, T))), resamples_of()
    with pytest.raises(ArrayError, match="resamples of 30 windows, values of 29"):
        excess_intervals(sums[1:], resamples)
    with pytest.raises(ArrayError, match=r"axes \[\.\.\., N, S\], found shape \(8,\)"):
        excess_intervals(sums[0], resamples)
    with pytest.raises(ArrayError, match=r"last axis of 8.*found shape \(400, 7\)"):
        excess_intervals(sums[:, 1:], resamples)
    with pytest.raises(ArrayError, match="at least one draw, found none"):
        paired_excess(sums, [], resamples)
    with pytest.raises(ArrayError, match=r"shape \(30, 8\), found \(29, 8\) of draw 1"):
        paired_excess(sums, [sums, sums[1:]], resamples)
