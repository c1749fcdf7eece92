"""Sums per window of the nulls: a loop as oracle, and ratios that follow from any pooling."""

import numpy as np
import pytest
from hypothesis import given

from avalattice.errors import ArrayError
from avalattice.lattice.branching import branching, edge_sums
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.null_sums import (
    EXCESS_NAMES,
    NULL_SUM_NAMES,
    excess_from_sums,
    null_sums,
    null_sums_of_edges,
)
from avalattice.lattice.nulls import permutation_null
from tests.lattice.samples import persistent_rows, sites, stacks

denominators = pytest.mark.parametrize("denominator", ["valid_edges", "all_sites"])


def spelt_out(window):
    """The sums of one window, pair by pair of rows and sites."""
    X = (window > 0).astype(int)
    n_layers, n_tokens = X.shape
    k = X.sum(axis=1)
    return {
        "time_pairs": sum(X[:, t] @ X[:, t + 1] for t in range(n_tokens - 1)),
        "time_ancestors": X[:, :-1].sum(),
        "depth_pairs": sum(X[layer] @ X[layer + 1] for layer in range(n_layers - 1)),
        "depth_ancestors": X[:-1].sum(),
        "sites": X.sum(),
        "time_pairs_expected": sum(n * (n - 1) / n_tokens for n in k),
        "time_ancestors_expected": sum(n * (n_tokens - 1) / n_tokens for n in k),
        "depth_pairs_expected": sum(k[i] * k[i + 1] / n_tokens for i in range(n_layers - 1)),
    }


@given(A=stacks)
def test_sums_equal_those_of_a_loop(A):
    """Every sum of every window is the one spelt out, in the order of the names."""
    for window, sums in zip(A, null_sums(A), strict=True):
        expected = spelt_out(window)
        assert list(expected) == list(NULL_SUM_NAMES)
        np.testing.assert_allclose(sums, list(expected.values()), rtol=1e-14, atol=0)


def test_expected_sums_are_means_over_permuted_rasters():
    """Averaged over permuted rasters each sum is as expected; persistent rows exceed it."""
    X, n = persistent_rows(np.random.default_rng(0), (2, 5, 40), occupancy=0.4), 4000
    permuted = permutation_null(np.broadcast_to(X, (n, *X.shape)), np.random.default_rng(1))
    drawn, measured = null_sums(permuted).sum(axis=1), null_sums(X).sum(axis=0)
    for name in ("time_pairs", "time_ancestors", "depth_pairs"):
        counted, expected = map(NULL_SUM_NAMES.index, (name, f"{name}_expected"))
        spread = drawn[:, counted].std()
        assert abs(drawn[:, counted].mean() - measured[expected]) < 4 * spread / np.sqrt(n)
        assert name != "time_pairs" or measured[counted] > measured[expected] + 5 * spread
    for name in ("depth_ancestors", "sites"):
        assert (drawn[:, NULL_SUM_NAMES.index(name)] == measured[NULL_SUM_NAMES.index(name)]).all()


def test_stacks_are_their_windows(monkeypatch):
    """A stack [C, N, L, T] has the sums of its windows, however it is cut into blocks."""
    A = sites(0, (3, 7, 4, 20), 0.3)
    whole = null_sums(A)
    assert whole.shape == (3, 7, len(NULL_SUM_NAMES))
    for block_sites in (1, 3 * 4 * 20, 5 * 4 * 20 + 1):
        monkeypatch.setattr("avalattice.lattice.null_sums._BLOCK_SITES", block_sites)
        np.testing.assert_array_equal(null_sums(A), whole)
    for c, n in np.ndindex(3, 7):
        np.testing.assert_array_equal(null_sums(A[c, n]), whole[c, n])
    assert null_sums(A[:, :0]).shape == (3, 0, len(NULL_SUM_NAMES))


@given(A=stacks)
def test_sums_follow_from_those_per_layer(A):
    """Whoever holds the sums of edges per layer needs no second look at the raster."""
    np.testing.assert_array_equal(null_sums_of_edges(edge_sums(A), A.shape[-1]), null_sums(A))


@denominators
@given(A=stacks)
def test_excess_is_that_of_branching_and_its_exact_null(denominator, A):
    """Pooled over windows, every number is that of the condition's branching and closed forms."""
    excess = excess_from_sums(null_sums(A).sum(axis=0), denominator=denominator)
    b = branching(A, denominator=denominator)
    null = branching_null_exact(A, denominator=denominator)
    for name in EXCESS_NAMES:
        source = b if name in ("b_time", "b_depth", "b_tot") else null
        np.testing.assert_allclose(getattr(excess, name), getattr(source, name), rtol=1e-13)
    parts = [excess.b_time, excess.b_depth, excess.b_time_perm_exact, excess.b_depth_perm_exact]
    time, depth, time_null, depth_null = map(float, parts)
    np.testing.assert_allclose(
        excess.delta_b_tot, (time - time_null) + (depth - depth_null), rtol=1e-13
    )


def test_toy_raster_over_all_sites():
    """Over its three sites the toy has b_time 1/3 against 1/6 and b_depth 1/3 against 1/6."""
    X = np.zeros((3, 4), np.uint8)
    X[1, 1] = X[1, 2] = X[2, 2] = 1
    excess = excess_from_sums(null_sums(X), denominator="all_sites")
    assert (excess.b_time, excess.b_depth) == (1 / 3, 1 / 3)
    assert (excess.b_time_perm_exact, excess.b_depth_perm_exact) == (1 / 6, 1 / 6)
    assert excess.delta_b_tot == pytest.approx(1 / 3)


@denominators
def test_weighted_sums_are_those_of_repeated_windows(denominator):
    """A resample's weighted sums give the surplus of the stack with its windows repeated."""
    A, weights = sites(1, (4, 3, 9), 0.4), np.array([3, 0, 1, 2])
    weighted = excess_from_sums(weights @ null_sums(A), denominator=denominator)
    repeated = branching_null_exact(np.repeat(A, weights, axis=0), denominator=denominator)
    once = branching_null_exact(A, denominator=denominator)
    for name in ("delta_b_time", "delta_b_tot", "delta_b_depth_shift"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-13)
        assert getattr(weighted, name) != pytest.approx(getattr(once, name), rel=1e-3)


def test_undefined_conditions_have_a_reason_and_leave_others_alone():
    """Of a stack, a silent condition is NaN, with the reason of its denominator."""
    A = sites(2, (3, 2, 4, 9), 0.4)
    A[1] = 0
    pooled = null_sums(A).sum(axis=1)
    for denominator, why in (
        ("valid_edges", "b_time and b_depth: no occupied site has a successor"),
        ("all_sites", "b_time and b_depth: no occupied site"),
    ):
        excess = excess_from_sums(pooled, denominator=denominator)
        for name in EXCESS_NAMES:
            assert np.isnan(getattr(excess, name)).tolist() == [False, True, False]
        assert excess.reason == why
        assert excess_from_sums(pooled[::2], denominator=denominator).reason is None


def test_a_single_layer_has_no_depth_but_over_all_sites():
    """Without a layer above b_depth is undefined per edge, and over all sites zero as expected."""
    pooled = null_sums(sites(3, (5, 1, 9), 0.4)).sum(axis=0)
    assert excess_from_sums(pooled).reason == "b_depth: no occupied site has a successor"
    excess = excess_from_sums(pooled, denominator="all_sites")
    assert (excess.b_depth, excess.delta_b_depth, excess.reason) == (0, 0, None)


def test_other_arrays_are_refused():
    """What is no stack of counts, or no array of these sums, is refused, saying what was found."""
    with pytest.raises(ArrayError, match=r"axes \[\.\.\., L, T\].*found float64 of shape \(3, 4\)"):
        null_sums(np.zeros((3, 4)))
    with pytest.raises(ArrayError, match=r"last axis of 8.*found shape \(5, 10\)"):
        excess_from_sums(np.zeros((5, 10)))
    with pytest.raises(ArrayError, match=r"found shape \(\)"):
        excess_from_sums(np.zeros(()))
