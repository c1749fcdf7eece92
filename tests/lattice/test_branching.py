"""Branching ratios: known answers, identities, and what is pooled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avalattice.errors import ArrayError
from avalattice.lattice.branching import (
    SUM_NAMES,
    branching,
    branching_from_sums,
    edge_sums,
)

TOY = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]], dtype=np.uint8)
"""Occupied (t, l), one-based: (2,2), (3,2), (3,3), with T = 4 and L = 3."""

stacks = hnp.arrays(
    np.uint16,
    hnp.array_shapes(min_dims=3, max_dims=4, min_side=1, max_side=5),
    elements=st.sampled_from([0, 0, 0, 1, 1, 2, 7, 65535]),
)


def brute_force(A: np.ndarray) -> dict[str, int]:
    """Every sum of a stack [..., L, T], site by site, in Python integers."""
    sums = dict.fromkeys(SUM_NAMES, 0)
    for raster in A.reshape(-1, *A.shape[-2:]).astype(object):
        n_layers, n_tokens = raster.shape
        for (layer, t), a in np.ndenumerate(raster):
            x = int(a > 0)
            sums["sites"] += x
            sums["events"] += a
            if t + 1 < n_tokens:
                after = raster[layer, t + 1]
                sums["time_ancestors"] += x
                sums["time_ancestor_events"] += a
                sums["time_pairs"] += x * int(after > 0)
                sums["time_descendants"] += x * after
            if layer + 1 < n_layers:
                above = raster[layer + 1, t]
                sums["depth_ancestors"] += x
                sums["depth_ancestor_events"] += a
                sums["depth_pairs"] += x * int(above > 0)
                sums["depth_descendants"] += x * above
    return sums


def named(values: np.ndarray) -> dict[str, int]:
    return dict(zip(SUM_NAMES, values.tolist(), strict=True))


# ------------------------------------------------------------------------------ known answers


def test_the_toy_raster():
    """One of three sites has an occupied successor in time; one of two with a layer above."""
    found = branching(TOY)
    assert (found.b_time, found.b_depth, found.b_tot) == (1 / 3, 1 / 2, 1 / 3 + 1 / 2)
    assert found.reason is None


def test_the_toy_raster_over_all_sites():
    """Divided by all three occupied sites, b_depth is 1/3."""
    found = branching(TOY, denominator="all_sites")
    assert (found.b_time, found.b_depth) == (1 / 3, 1 / 3)


def test_the_toy_raster_with_counts():
    """On counts the numerator is the descendants' events, the denominator the ancestors'."""
    found = branching(TOY * np.array([[1], [2], [6]], dtype=np.uint16))
    assert (found.b_time_count, found.b_depth_count) == (2 / 10, 6 / 4)
    assert found.b_tot_count == 2 / 10 + 6 / 4
    whole = branching(TOY * np.array([[1], [2], [6]]), denominator="all_sites")
    assert (whole.b_time_count, whole.b_depth_count) == (2 / 10, 6 / 10)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_independent_sites_have_ratios_of_their_occupancy(p):
    """B_time and b_depth are p within five standard errors, so b_tot near one means nothing."""
    X = np.random.default_rng(1).random((200, 12, 100)) < p
    found = branching(X)
    error = 5 * np.sqrt((1 - p) / p / X.sum())
    assert abs(found.b_time - p) < error
    assert abs(found.b_depth - p) < error


def test_a_planted_chain_is_recovered():
    """Sites that follow their predecessor with probability 0.7, else with 0.1, give b_time."""
    rng = np.random.default_rng(2)
    X = np.zeros((400, 3, 200), dtype=bool)
    for t in range(1, 200):
        X[..., t] = rng.random((400, 3)) < np.where(X[..., t - 1], 0.7, 0.1)
    along_time = branching(X)
    assert along_time.b_time == pytest.approx(0.7, abs=0.01)
    assert along_time.b_depth == pytest.approx(X.mean(), abs=0.01)
    along_depth = branching(X.swapaxes(1, 2))
    assert along_depth.b_depth == along_time.b_time


def test_a_planted_chain_of_counts_is_recovered():
    """Each event has Poisson(0.8) descendants in the layer above, where it has any."""
    rng = np.random.default_rng(3)
    A = np.zeros((300, 10, 60), dtype=np.uint16)
    A[:, 0] = rng.poisson(3, size=(300, 60))
    for layer in range(1, 10):
        A[:, layer] = rng.poisson(0.8 * A[:, layer - 1].astype(float))
    assert branching(A).b_depth_count == pytest.approx(0.8, abs=0.02)


# ---------------------------------------------------------------------------------- theorems


@settings(deadline=None)
@given(stacks)
def test_sums_equal_those_of_a_loop(A):
    """Every sum equals the one taken site by site, also for counts of 65535."""
    assert named(edge_sums(A).windows.reshape(-1, len(SUM_NAMES)).sum(axis=0)) == brute_force(A)


@settings(deadline=None)
@given(stacks)
def test_sites_and_events_are_those_of_the_raster(A):
    """ΣX and ΣA are kept, per layer of each window."""
    values = edge_sums(A).values
    np.testing.assert_array_equal(values[..., 0], (A > 0).sum(axis=-1))
    np.testing.assert_array_equal(values[..., 1], A.sum(axis=-1, dtype=np.int64))
    assert not values[..., -1, [SUM_NAMES.index(n) for n in SUM_NAMES if "depth" in n]].any()


@settings(deadline=None)
@given(stacks)
def test_occupancy_ratios_depend_on_occupancy_alone(A):
    """B_time and b_depth of counts are those of X; on X the count versions coincide with them."""
    counts, sites = branching(A), branching(A > 0)
    for name in ("b_time", "b_depth"):
        np.testing.assert_array_equal(getattr(counts, name), getattr(sites, name))
        np.testing.assert_array_equal(getattr(sites, f"{name}_count"), getattr(sites, name))


@settings(deadline=None)
@given(stacks)
def test_ratios_by_site_lie_between_zero_and_one(A):
    """A share of ancestors is no less than 0 and no more than 1, under either denominator."""
    for denominator in ("valid_edges", "all_sites"):
        found = branching(A, denominator=denominator)
        for ratio in (found.b_time, found.b_depth):
            assert np.isnan(ratio) or 0 <= ratio <= 1


@settings(deadline=None)
@given(stacks)
def test_transposing_swaps_time_and_depth(A):
    """Along tokens and along layers the definition is one and the same."""
    found, swapped = branching(A), branching(A.swapaxes(-1, -2))
    np.testing.assert_array_equal(found.b_time, swapped.b_depth)
    np.testing.assert_array_equal(found.b_depth_count, swapped.b_time_count)


def test_windows_never_join():
    """The last token of a window and the first of the next are no edge."""
    X = np.zeros((2, 1, 3), dtype=np.uint8)
    X[0, 0, 2] = X[1, 0, 0] = 1
    assert branching(X).b_time == 0.0
    assert branching(X.reshape(1, 1, 6)).b_time == 0.5  # control: as one window they are


def test_the_largest_counts_do_not_overflow():
    """With 65535 events everywhere the sums are exact."""
    A = np.full((300, 300), 65535, dtype=np.uint16)
    edges = 300 * 299
    sums = named(edge_sums(A).windows)
    assert sums["events"] == 300 * 300 * 65535
    assert sums["time_descendants"] == sums["depth_descendants"] == edges * 65535
    assert sums["time_ancestor_events"] == sums["depth_ancestor_events"] == edges * 65535
    assert branching(A).b_tot_count == branching(A).b_tot == 2.0


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_every_integer_type_gives_the_same(dtype):
    """Occupancy as booleans or integers of any width gives the same ratios."""
    assert branching(TOY.astype(dtype)) == branching(TOY)


# -------------------------------------------------------------------------------- undefined


@pytest.mark.parametrize(
    ("X", "undefined"),
    [
        (np.zeros((2, 3, 4)), ["b_time", "b_depth"]),
        (np.ones((2, 3, 1)), ["b_time"]),
        (np.ones((2, 1, 4)), ["b_depth"]),
        (np.ones((2, 1, 1)), ["b_time", "b_depth"]),
        (np.eye(1, 12, 11).reshape(1, 3, 4), ["b_time", "b_depth"]),  # the last site alone
    ],
    ids=["empty", "one token", "one layer", "one site", "last site"],
)
def test_ratios_without_ancestors_are_nan_with_a_reason(X, undefined):
    """Where no occupied site has a successor the ratio is NaN, by name, and the other is not."""
    found = branching(X.astype(np.uint16))
    assert [n for n in ("b_time", "b_depth") if np.isnan(getattr(found, n))] == undefined
    assert [n for n in ("b_time", "b_depth") if np.isnan(getattr(found, f"{n}_count"))] == undefined
    assert found.reason == f"{' and '.join(undefined)}: no occupied site has a successor"
    assert np.isnan(found.b_tot)
    assert np.isnan(found.b_tot_count)


def test_over_all_sites_only_an_empty_raster_is_undefined():
    """With ``all_sites`` a single column has b_time 0."""
    assert branching(np.ones((3, 1), dtype=int), denominator="all_sites").b_time == 0.0
    assert np.isnan(branching(np.zeros((3, 4), dtype=int), denominator="all_sites").b_time)


@pytest.mark.parametrize("A", [np.ones(4, dtype=int), np.ones((2, 3)), np.full((2, 2), "1")])
def test_what_is_no_raster_is_refused(A):
    """Fewer than two axes, fractions and text are refused."""
    with pytest.raises(ArrayError, match=r"integers \[\.\.\., L, T\], found"):
        edge_sums(A)


# ------------------------------------------------------------------------------------ pooling


def test_pooling_is_a_ratio_of_sums_and_no_mean_of_ratios():
    """Windows with more events weigh more; the mean over windows would be another number."""
    X = np.zeros((2, 1, 9), dtype=bool)
    X[0] = True  # eight of eight ancestors
    X[1, 0, 3] = True  # none of one
    assert branching(X).b_time == 8 / 9
    each = branching_from_sums(edge_sums(X).windows)
    assert each.b_time.tolist() == [1.0, 0.0]
    assert each.b_time.mean() != branching(X).b_time


def test_leading_axes_are_all_pooled():
    """A stack of any rank is pooled into the same number."""
    A = np.random.default_rng(4).integers(0, 3, size=(2, 5, 3, 8)).astype(np.uint16)
    assert branching(A) == branching(A.reshape(10, 3, 8))


def test_weighted_sums_are_those_of_repeated_windows():
    """A bootstrap replicate's weighted sums give the ratios of the stack with windows repeated."""
    A = np.random.default_rng(5).integers(0, 3, size=(4, 3, 8)).astype(np.uint16)
    weights = np.array([3.0, 0.0, 1.0, 2.0])
    weighted = branching_from_sums(weights @ edge_sums(A).windows)
    assert weighted == branching(A[[0, 0, 0, 2, 3, 3]])
    nothing = branching_from_sums(np.zeros(4) @ edge_sums(A).windows)
    assert np.isnan(nothing.b_tot)


def test_sums_with_leading_axes_give_ratios_with_those_axes():
    """Ratios of many conditions or layers are taken at once, undefined ones among them."""
    A = np.zeros((3, 2, 3, 4), dtype=np.uint16)
    A[0, :] = TOY
    A[2, 0] = 1
    found = branching_from_sums(edge_sums(A).windows.sum(axis=1))
    np.testing.assert_array_equal(found.b_time, [1 / 3, np.nan, 1])
    np.testing.assert_array_equal(found.b_depth, [1 / 2, np.nan, 1])
    assert found.reason == "b_time and b_depth: no occupied site has a successor"
    by_layer = branching_from_sums(edge_sums(A[0]).values.sum(axis=0))
    np.testing.assert_array_equal(by_layer.b_depth, [np.nan, 1 / 2, np.nan])
