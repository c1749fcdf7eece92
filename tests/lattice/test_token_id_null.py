"""Exchange within token ids in closed form: enumerated moments, ensembles, and what it finds."""

import inspect
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from avalattice.errors import ArrayError
from avalattice.lattice.branching import branching
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import branching_null_ensemble
from avalattice.lattice.token_id_null import TokenStrata, token_id_null_exact
from tests.lattice.samples import (
    STRATIFIED,
    moment_errors,
    persistent_rows,
    sites,
    token_driven,
)

# Closed forms


def placements(row, ids):
    """Every way to exchange one layer's occupancy [N, T] within token ids."""
    places = [np.flatnonzero(ids.ravel() == token) for token in np.unique(ids)]
    choices = [itertools.combinations(p, int(row.ravel()[p].sum())) for p in places]
    for chosen in itertools.product(*choices):
        drawn = np.zeros(row.size, int)
        drawn[list(itertools.chain(*chosen))] = 1
        yield drawn.reshape(row.shape)


def all_rasters(X, ids):
    """Every raster [N, L, T] that the null can draw, each equally likely."""
    layers = (list(placements(X[:, layer], ids)) for layer in range(X.shape[1]))
    return np.array([np.stack(raster, axis=1) for raster in itertools.product(*layers)])


SMALL = [
    (sites(0, (2, 3, 3), 0.5), np.array([[0, 0, 1], [1, 0, 1]])),
    (sites(1, (2, 3, 3), 0.5), np.array([[5, 5, 5], [5, 9, 7]])),
    (sites(2, (1, 3, 5), 0.4), np.array([[2, 1, 2, 1, 2]])),
    (sites(3, (2, 2, 4), 0.6), np.array([[0, 0, 0, 1], [1, 0, 0, 2]])),
    (sites(4, (3, 4, 2), 0.5), np.array([[0, 1], [1, 0], [2, 3]])),
]


@pytest.mark.parametrize(("X", "ids"), SMALL)
def test_moments_are_those_of_all_exchanges(X, ids):
    """Mean and variance over layers, and means along tokens, equal an enumeration."""
    rasters = all_rasters(X, ids)
    null = token_id_null_exact(X, ids)
    depth = (rasters[:, :, 1:] & rasters[:, :, :-1]).sum(axis=(1, 2, 3))
    assert null.depth_edges_mean == pytest.approx(depth.mean(), abs=1e-12)
    assert null.depth_edges_var == pytest.approx(depth.var(), abs=1e-12)
    time = (rasters[..., 1:] & rasters[..., :-1]).sum(axis=(1, 2, 3))
    ancestors = rasters[..., :-1].sum(axis=(1, 2, 3))
    assert null.b_time_token_id_exact == pytest.approx(time.mean() / ancestors.mean(), abs=1e-12)
    assert len(rasters) > 8


@pytest.mark.parametrize(("X", "ids"), SMALL)
def test_pairs_of_layers_are_uncorrelated(X, ids):
    """Overlaps of different pairs of layers have no covariance, whether they share one or not."""
    rasters = all_rasters(X, ids)
    overlap = (rasters[:, :, 1:] & rasters[:, :, :-1]).sum(axis=(1, 3))
    covariance = np.cov(overlap.T, ddof=0).reshape(2 * (overlap.shape[1],))
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-12)


@pytest.mark.parametrize(("X", "ids"), SMALL)
def test_over_all_sites_the_expected_ratio_is_exact(X, ids):
    """With ``all_sites`` b_exact is the mean of b over all exchanges, along tokens too."""
    each = [branching(raster, denominator="all_sites") for raster in all_rasters(X, ids)]
    null = token_id_null_exact(X, ids, denominator="all_sites")
    assert null.b_time_token_id_exact == pytest.approx(np.mean([b.b_time for b in each]), abs=1e-12)
    assert null.b_depth_token_id_exact == pytest.approx(
        np.mean([b.b_depth for b in each]), abs=1e-12
    )


def test_one_token_id_in_one_window_is_permutation():
    """With one id in one window the null is that of permuted rows, in every number."""
    X = sites(5, (1, 6, 40), 0.3)
    for denominator in ("valid_edges", "all_sites"):
        null = token_id_null_exact(X, np.zeros((1, 40), int), denominator=denominator)
        permuted = branching_null_exact(X, denominator=denominator)
        for ours, theirs in {
            "depth_edges": "depth_edges",
            "depth_edges_mean": "depth_edges_perm_mean",
            "depth_edges_var": "depth_edges_perm_var",
            "b_time_token_id_exact": "b_time_perm_exact",
            "b_depth_token_id_exact": "b_depth_perm_exact",
            "delta_b_time_token_id": "delta_b_time",
            "delta_b_depth_token_id": "delta_b_depth",
            "z_depth_token_id_exact": "z_depth_perm_exact",
            "p_depth_token_id_exact": "p_depth_perm_exact",
        }.items():
            assert getattr(null, ours) == pytest.approx(getattr(permuted, theirs), rel=1e-12)
        assert null.exchangeable_share == 1


def test_two_windows_are_no_permutation_of_each():
    """Control: with one id in two windows of different occupancy, sites move between windows."""
    X = np.concatenate([sites(5, (1, 6, 40), 0.1), sites(6, (1, 6, 40), 0.6)])
    null = token_id_null_exact(X, np.zeros((2, 40), int))
    assert null.depth_edges_mean < 0.8 * branching_null_exact(X).depth_edges_perm_mean


@pytest.mark.parametrize("shape", [(3, 6, 40), (24, 30, 256)])
def test_ensemble_meets_the_closed_forms(shape):
    """Mean and variance of drawn edge counts are the closed forms within 4 standard errors."""
    X, ids = token_driven(np.random.default_rng(7), shape)
    replicates = 4000 if shape[0] == 3 else 400
    drawn = branching_null_ensemble(
        X, np.random.default_rng(8), replicates, STRATIFIED, token_ids=ids
    )
    null = token_id_null_exact(X, ids)
    errors = moment_errors(drawn.depth_edges, null.depth_edges_mean, null.depth_edges_var)
    assert abs(errors).max() < 4
    surplus = drawn.time_edges - null.b_time_token_id_exact * drawn.time_ancestors
    assert abs(moment_errors(surplus, 0, surplus.var()))[0] < 4


def test_ensemble_misses_the_closed_forms_of_permutation():
    """Control: layers that fire on the same ids overlap more than permuted rows do."""
    X, ids = token_driven(np.random.default_rng(7), (3, 6, 40))
    drawn = branching_null_ensemble(X, np.random.default_rng(8), 4000, STRATIFIED, token_ids=ids)
    null = branching_null_exact(X)
    errors = moment_errors(drawn.depth_edges, null.depth_edges_perm_mean, null.depth_edges_perm_var)
    assert errors[0] > 10


# What it finds


def aligned_by_context(rng, shape, share):
    """Token-driven layers that repeat the layer below at a share of their tokens."""
    X, ids = token_driven(rng, shape)
    repeated = rng.random(shape) < share
    for layer in range(1, shape[1]):
        X[:, layer] = np.where(repeated[:, layer], X[:, layer - 1], X[:, layer])
    return X, ids


def p_values(rng, n, shape, share):
    """p of the token-id null and of the shift, of n rasters."""
    for _ in range(n):
        X, ids = aligned_by_context(rng, shape, share)
        yield (
            token_id_null_exact(X, ids).p_depth_token_id_exact,
            branching_null_exact(X).p_depth_shift_exact,
        )


def test_alignment_by_token_ids_alone_is_not_found():
    """Layers independent given the token ids have uniform p-values; the shift rejects most."""
    p = np.array(list(p_values(np.random.default_rng(9), 500, (6, 10, 96), 0)))
    assert stats.chisquare(np.histogram(p[:, 0], bins=10, range=(0, 1))[0]).pvalue > 1e-3
    assert (p[:, 1] < 1e-3).mean() > 0.98


def test_alignment_by_context_is_found():
    """Layers that repeat each other at one token in ten are found beyond their token ids."""
    p = np.array(list(p_values(np.random.default_rng(10), 50, (6, 10, 96), 0.1)))
    assert (p[:, 0] < 0.01).mean() > 0.9


def test_planted_alignment_has_its_size():
    """The surplus along layers is the share of repeated tokens times what chance leaves free."""
    X, ids = aligned_by_context(np.random.default_rng(11), (40, 10, 128), 0.1)
    null = token_id_null_exact(X, ids)
    assert null.z_depth_token_id_exact > 10
    assert null.delta_b_depth_token_id == pytest.approx(
        0.1 * (1 - null.b_depth_token_id_exact), rel=0.1
    )


def test_persistence_beyond_token_ids_is_broken():
    """Along tokens persistence is a surplus; along layers independent persistent rows fool it."""
    rng, n, p = np.random.default_rng(12), 100, []
    for _ in range(n):
        X, ids = persistent_rows(rng, (3, 10, 256)), rng.integers(0, 20, (3, 256))
        null = token_id_null_exact(X, ids)
        assert null.delta_b_time_token_id > 0.3
        p.append(null.p_depth_token_id_exact)
    assert np.mean(np.array(p) < 0.05) > 5 * 0.05


def test_token_ids_alone_leave_no_surplus_along_tokens():
    """Rows driven by their token ids exceed permutation's b_time, and not that of this null."""
    rng = np.random.default_rng(13)
    ids = np.sort(rng.integers(0, 50, (20, 128)), axis=1)  # neighbours are alike
    X = (rng.random((20, 8, 128)) < 0.6 * rng.random((8, 50))[:, ids].swapaxes(0, 1)).astype(
        np.uint8
    )
    assert branching_null_exact(X).z_time_perm_exact > 10
    drawn = branching_null_ensemble(X, rng, 400, STRATIFIED, token_ids=ids)
    null = token_id_null_exact(X, ids)
    assert abs(null.delta_b_time_token_id) < 4 * drawn.b_time.std()
    assert null.b_time_token_id_exact == pytest.approx(drawn.b_time.mean(), abs=drawn.b_time.std())


# Strata


def test_strata_count_places_and_occupied_places():
    """Places are numbered window by window, and each stratum's are those of its id, in order."""
    X = np.array([[[1, 0, 1]], [[0, 1, 1]]], bool)
    strata = TokenStrata.of(X, np.array([[8, 3, 8], [3, 8, 5]]))
    assert strata.stratum.tolist() == [[2, 0, 2], [0, 2, 1]]
    assert strata.size.tolist() == [2, 1, 3]
    assert strata.occupied.tolist() == [[0, 1, 3]]
    assert strata.places.tolist() == [1, 3, 5, 0, 2, 4]
    assert strata.exchangeable_share == 5 / 6


def test_counts_are_read_as_occupancy():
    """Event counts have the null of their occupancy; ids of any integer type are the same ids."""
    X, ids = token_driven(np.random.default_rng(1), (2, 4, 30))
    null = token_id_null_exact(X * np.uint16(9), ids)
    assert null == token_id_null_exact(X, ids.astype(np.int32))
    assert null == token_id_null_exact(X, ids * 1000 - 5)
    assert token_id_null_exact(X[0], ids[0]) == token_id_null_exact(X[:1], ids[:1])


def test_z_and_p_do_not_depend_on_the_denominator():
    """z and p are those of the edge count; only ratios change with what it is divided by."""
    X, ids = aligned_by_context(np.random.default_rng(2), (3, 4, 60), 0.2)
    edges, every = (
        token_id_null_exact(X, ids, denominator=d) for d in ("valid_edges", "all_sites")
    )
    assert edges.z_depth_token_id_exact == every.z_depth_token_id_exact
    assert edges.p_depth_token_id_exact == every.p_depth_token_id_exact
    share = X[:, :-1].sum() / X.sum()
    assert every.delta_b_depth_token_id == pytest.approx(share * edges.delta_b_depth_token_id)


# Undefined quantities

IDS = np.arange(16).reshape(2, 8) % 5


@pytest.mark.parametrize(
    ("X", "ids", "denominator", "undefined"),
    [
        (np.zeros((2, 3, 8), int), IDS, "valid_edges", "b_time b_depth z"),
        (np.zeros((2, 3, 8), int), IDS, "all_sites", "b_time b_depth z"),
        (np.ones((2, 3, 8), int), IDS, "valid_edges", "z"),
        (np.ones((2, 1, 8), int), IDS, "valid_edges", "b_depth z"),
        (np.ones((2, 1, 8), int), IDS, "all_sites", "z"),
        (np.ones((2, 3, 1), int), IDS[:, :1], "valid_edges", "b_time z"),
        (np.ones((0, 3, 8), int), IDS[:0], "valid_edges", "b_time b_depth z"),
        (sites(0, (2, 3, 8), 0.5), np.arange(16).reshape(2, 8), "valid_edges", "z"),
    ],
    ids=[
        "silent",
        "silent, all sites",
        "full",
        "one layer",
        "one layer, all sites",
        "one token",
        "no windows",
        "ids all different",
    ],
)
def test_undefined_quantities_are_nan_with_a_reason(X, ids, denominator, undefined):
    """Every NaN has a reason, and nothing that is defined has one."""
    null = token_id_null_exact(X, ids, denominator=denominator)
    numbers = {name: value for name, value in vars(null).items() if name != "reasons"}
    assert {name for name, value in numbers.items() if math.isnan(value)} == set(null.reasons)
    heads = {
        "b_time": {"b_time_token_id_exact", "delta_b_time_token_id"},
        "b_depth": {"b_depth_token_id_exact", "delta_b_depth_token_id"},
        "z": {"z_depth_token_id_exact", "p_depth_token_id_exact"},
    }
    assert set(null.reasons) == set().union(*(heads[head] for head in undefined.split()))
    assert all(null.reasons.values())


def test_ids_that_stand_once_keep_the_raster():
    """With ids all different nothing can be exchanged: the null expects the raster itself."""
    X = sites(0, (2, 3, 8), 0.5)
    null = token_id_null_exact(X, np.arange(16).reshape(2, 8))
    assert (null.depth_edges_var, null.exchangeable_share) == (0, 0)
    assert null.depth_edges_mean == null.depth_edges
    assert (null.delta_b_time_token_id, null.delta_b_depth_token_id) == (0, 0)


def test_wrong_input_is_refused():
    """Several conditions, and token ids that are not one per place, are refused."""
    X = sites(0, (3, 4, 10))
    exact = inspect.unwrap(token_id_null_exact)  # beneath the type checks that only tests run under
    with pytest.raises(ArrayError, match="one condition at a time"):
        exact(X[np.newaxis], np.zeros((3, 10), int))
    with pytest.raises(ArrayError, match=r"expected shape \(3, 10\), found \(3, 9\)"):
        exact(X, np.zeros((3, 9), int))
