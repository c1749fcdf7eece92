"""Closed forms of the nulls: enumerated moments, known answers, undefined quantities."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from avalattice.lattice.null_moments import (
    FLAT,
    NO_DEPTH,
    NO_SITE,
    NO_TIME,
    branching_null_exact,
)
from avalattice.lattice.percolation import independent_sites
from tests.lattice.samples import aligned_layers, sites, stacks

unhurried = settings(deadline=None)  # other work may share the machine


def all_rows(n_tokens, n_occupied):
    """Every row with that many occupied sites."""
    chosen = itertools.combinations(range(n_tokens), n_occupied)
    return np.array([np.isin(np.arange(n_tokens), sites) for sites in chosen])


def edges_along(rows):
    return (rows[..., 1:] & rows[..., :-1]).sum(axis=-1)


def falling(x, j):
    return math.prod(x - i for i in range(j))


# Closed forms


@pytest.mark.parametrize("n_tokens", range(1, 8))
def test_time_moments_are_those_of_all_permutations(n_tokens):
    """Mean and variance of edges along tokens equal an enumeration of every row."""
    for k in range(n_tokens + 1):
        rows = all_rows(n_tokens, k)
        null = branching_null_exact(rows[:1])
        assert null.time_edges_perm_mean == pytest.approx(edges_along(rows).mean(), abs=1e-12)
        assert null.time_edges_perm_var == pytest.approx(edges_along(rows).var(), abs=1e-12)


@given(n_tokens=st.integers(4, 400), share=st.floats(0, 1))
@unhurried
def test_time_variance_has_two_equal_forms(n_tokens, share):
    """The hypergeometric variance equals the one written in falling factorials."""
    T, k = n_tokens, round(share * n_tokens)
    mean = k * (k - 1) / T
    adjacent = 2 * (T - 2) * falling(k, 3) / falling(T, 3)
    apart = (T - 2) * (T - 3) * falling(k, 4) / falling(T, 4)
    row = np.arange(T)[np.newaxis] < k
    assert branching_null_exact(row).time_edges_perm_var == pytest.approx(
        mean + adjacent + apart - mean**2, abs=1e-7
    )


@pytest.mark.parametrize("n_tokens", range(1, 7))
@pytest.mark.parametrize("occupancy", [0.3, 0.8])
def test_time_moments_of_whole_tokens_are_those_of_all_orders(n_tokens, occupancy):
    """Mean and variance of edges along tokens equal an enumeration of every order of tokens."""
    X = sites(n_tokens, (3, n_tokens), occupancy) > 0
    orders = [X[:, list(order)] for order in itertools.permutations(range(n_tokens))]
    edges = np.array([edges_along(ordered).sum() for ordered in orders])
    null = branching_null_exact(X)
    assert null.time_edges_perm_mean == pytest.approx(edges.mean(), abs=1e-12)
    assert null.time_edges_tokens_var == pytest.approx(edges.var(), abs=1e-12)


@given(X=stacks)
@unhurried
def test_whole_tokens_of_one_layer_are_its_sites(X):
    """In a single layer both permutations are one, and windows add up."""
    alone = [branching_null_exact(X[:, layer : layer + 1]) for layer in range(X.shape[1])]
    for null in alone:
        assert null.time_edges_tokens_var == pytest.approx(null.time_edges_perm_var, abs=1e-9)
    each = sum(branching_null_exact(window).time_edges_tokens_var for window in X)
    assert branching_null_exact(X).time_edges_tokens_var == pytest.approx(each, abs=1e-9)


@pytest.mark.parametrize("n_tokens", [1, 2, 5, 6])
def test_depth_moments_are_those_of_all_permutations(n_tokens):
    """Mean and variance of edges along layers equal an enumeration of every pair of rows."""
    for k, above in itertools.product(range(n_tokens + 1), repeat=2):
        rows, rows_above = all_rows(n_tokens, k), all_rows(n_tokens, above)
        overlap = (rows[:, None] & rows_above).sum(axis=-1)
        null = branching_null_exact(np.stack([rows[0], rows_above[0]]))
        assert null.depth_edges_perm_mean == pytest.approx(overlap.mean(), abs=1e-12)
        assert null.depth_edges_perm_var == pytest.approx(overlap.var(), abs=1e-12)


@given(X=stacks)
@unhurried
def test_shift_moments_are_those_of_all_shifts(X):
    """Mean and variance under the shift equal an enumeration of every relative shift."""
    X = X > 0
    turned = np.stack([np.roll(X, s, axis=-1) for s in range(X.shape[-1])])
    overlap = (X[:, :-1] & turned[:, :, 1:]).sum(axis=-1)
    null = branching_null_exact(X)
    assert null.depth_edges_perm_mean == pytest.approx(overlap.mean(axis=0).sum(), abs=1e-9)
    assert null.depth_edges_shift_var == pytest.approx(overlap.var(axis=0).sum(), abs=1e-9)


@pytest.mark.parametrize("occupied", [(2, 2, 2), (1, 2, 4)])
def test_ratio_of_expectations_is_nearly_the_expected_ratio(occupied):
    """b_time_perm_exact is the mean of b_time over all rasters if rows have equal k, else near."""
    rows = [all_rows(5, k) for k in occupied]
    edges = sum(np.ix_(*(edges_along(row) for row in rows)))
    ancestors = sum(np.ix_(*(row[:, :-1].sum(axis=-1) for row in rows)))
    exact = branching_null_exact(np.stack([row[0] for row in rows])).b_time_perm_exact
    error = abs((edges / ancestors).mean() - exact) / exact
    assert error < 1e-12 if len(set(occupied)) == 1 else 1e-4 < error < 1 / sum(occupied)


def test_over_all_sites_the_expected_ratio_is_exact():
    """Divided by all sites, whose number is kept, b is a sum: its expectation is exact."""
    rows = [all_rows(5, k) for k in (1, 2, 4)]
    edges = sum(np.ix_(*(edges_along(row) for row in rows)))
    exact = branching_null_exact(np.stack([row[0] for row in rows]), denominator="all_sites")
    assert exact.b_time_perm_exact == pytest.approx((edges / 7).mean(), rel=1e-12)


def test_scores_do_not_depend_on_the_denominator():
    """z and p are those of edge counts: only ratios change with what these are divided by."""
    X = aligned_layers(np.random.default_rng(4), (3, 5, 40), share=0.2)
    edges, every = (branching_null_exact(X, denominator=d) for d in ("valid_edges", "all_sites"))
    for name, value in vars(edges).items():
        assert (getattr(every, name) == value) is not name.startswith(("b_", "delta_"))
    share = X[:, :-1].sum() / X.sum()
    assert every.delta_b_depth == pytest.approx(share * edges.delta_b_depth, rel=1e-12)


def test_toy_raster():
    """The specification's toy has b_time 1/3 and b_depth 1/2 against 2/9 and 1/4 by chance."""
    X = np.zeros((3, 4), np.uint8)
    X[1, 1] = X[1, 2] = X[2, 2] = 1
    null = branching_null_exact(X)
    assert null.b_time_perm_exact == pytest.approx(2 / 9)
    assert null.b_depth_perm_exact == null.b_depth_shift_exact == pytest.approx(1 / 4)
    assert null.b_tot_perm_exact == pytest.approx(2 / 9 + 1 / 4)
    assert (null.b_time, null.b_depth) == (null.b_time_perm_exact, null.b_depth_perm_exact)
    assert (null.b_tot, null.b_depth_shift) == (null.b_tot_perm_exact, null.b_depth_shift_exact)
    assert null.delta_b_time == pytest.approx(1 / 3 - 2 / 9)
    assert null.delta_b_depth == null.delta_b_depth_shift == pytest.approx(1 / 2 - 1 / 4)
    assert null.delta_b_tot == pytest.approx(null.delta_b_time + null.delta_b_depth)
    assert null.z_time_perm_exact == pytest.approx((1 - 1 / 2) / math.sqrt(1 / 4))
    assert null.z_depth_shift_exact == pytest.approx((1 - 1 / 2) / math.sqrt(1 / 4))
    assert null.p_depth_shift_exact == pytest.approx(2 * stats.norm.sf(1))
    assert not null.reasons


def test_independent_sites_have_no_surplus():
    """For independent sites delta_b is within four standard errors of zero, planted ones not."""
    rng = np.random.default_rng(3)
    shape = (50, 20, 128)
    null = branching_null_exact(independent_sites(shape, 0.2, rng))
    assert max(abs(null.z_time_perm_exact), abs(null.z_depth_shift_exact)) < 4
    assert max(abs(null.delta_b_time), abs(null.delta_b_depth)) < 0.01
    planted = branching_null_exact(aligned_layers(rng, shape, share=0.1))
    assert planted.z_depth_shift_exact > 10
    assert planted.delta_b_depth_shift == pytest.approx(0.1 * (1 - 0.2), abs=0.01)


def test_counts_are_read_as_occupancy():
    """Event counts have the null of their occupancy."""
    X = sites(1, (2, 4, 30))
    assert branching_null_exact(X * np.uint16(9)) == branching_null_exact(X)


# Undefined quantities


@pytest.mark.parametrize(
    ("X", "undefined", "undefined_over_all_sites"),
    [
        (np.zeros((2, 3, 8), np.uint8), "b_time b_depth b_tot z_time z_depth", "b z_time z_depth"),
        (np.ones((2, 3, 8), np.uint8), "z_time z_depth", "z_time z_depth"),
        (sites(0, (2, 1, 8), 0.5), "b_depth b_tot z_depth", "z_depth"),
        (sites(0, (2, 3, 1), 0.5), "b_time b_tot z_time z_depth", "z_time z_depth"),
        (sites(0, (0, 3, 8), 0.5), "b_time b_depth b_tot z_time z_depth", "b z_time z_depth"),
    ],
    ids=["silent", "saturated", "one layer", "one token", "no windows"],
)
def test_undefined_quantities_are_nan_with_a_reason(X, undefined, undefined_over_all_sites):
    """Every NaN has a reason, and nothing that is defined has one."""
    for denominator, heads in (("valid_edges", undefined), ("all_sites", undefined_over_all_sites)):
        null = branching_null_exact(X, denominator=denominator)
        numbers = {name: value for name, value in vars(null).items() if name != "reasons"}
        assert {name for name, value in numbers.items() if math.isnan(value)} == set(null.reasons)
        beginnings = tuple(
            form for head in heads.split() for form in (head, f"delta_{head}", f"p{head[1:]}")
        )
        assert set(null.reasons) == {name for name in numbers if name.startswith(beginnings)}


def test_reasons_are_those_of_the_denominator():
    """Per edge a layer above is missing, or a next token; over all sites, any site at all."""
    silent, single = np.zeros((2, 3, 8), np.uint8), sites(0, (2, 1, 8), 0.5)
    assert branching_null_exact(silent).reasons["delta_b_time"] == NO_TIME
    assert branching_null_exact(single).reasons["b_depth_shift_exact"] == NO_DEPTH
    assert branching_null_exact(silent).reasons["delta_b_tot"] == f"{NO_TIME}, or {NO_DEPTH}"
    assert branching_null_exact(single).reasons["p_depth_perm_exact"] == FLAT
    over_all = branching_null_exact(silent, denominator="all_sites").reasons
    assert {over_all[name] for name in over_all if name[0] in "bd"} == {NO_SITE}


def test_saturated_raster_keeps_its_ratios():
    """Without variance there is no z, but b and its surplus are defined."""
    null = branching_null_exact(np.ones((2, 3, 8), np.uint8))
    assert (null.b_tot_perm_exact, null.delta_b_tot) == (2, 0)
    assert null.time_edges_perm_var == null.depth_edges_perm_var == null.depth_edges_shift_var == 0


def test_rows_that_no_shift_can_tell_apart_have_no_variance():
    """Rows of coprime periods overlap equally at every shift: no rounding passes for variance."""
    X = np.stack([np.arange(255) % 3 < 2, np.arange(255) % 5 < 2])
    null = branching_null_exact(X)
    assert null.depth_edges_shift_var == 0
    assert "z_depth_shift_exact" in null.reasons
    assert null.depth_edges_perm_var > 0
