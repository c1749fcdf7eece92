"""Branching by layer: known rasters, agreement with the pooled ratios, and the permutation null."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from avalattice.errors import ArrayError
from avalattice.lattice.branching import SUM_NAMES, branching, edge_sums
from avalattice.lattice.layer_profile import layer_profile
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import permutation_null
from tests.lattice.samples import aligned_layers, persistent_rows, stacks

PAIRS = {
    "b_time": ("time_ancestors", "b_time_perm_exact"),
    "b_depth": ("depth_ancestors", "b_depth_perm_exact"),
}


def test_a_small_raster():
    """Two windows by hand: ratios pool windows, the last layer has no layer above."""
    X = np.array([[[1, 1, 0], [1, 0, 1]], [[0, 1, 1], [0, 0, 1]]])
    profile = layer_profile(X)
    np.testing.assert_allclose(profile.occupancy, [4 / 6, 3 / 6])
    np.testing.assert_allclose(profile.b_time, [2 / 3, 0 / 1])
    np.testing.assert_allclose(profile.b_depth, [2 / 4, np.nan])
    np.testing.assert_allclose(profile.b_time_perm_exact, [4 / 8, 2 / 6])
    np.testing.assert_allclose(profile.b_depth_perm_exact, [6 / 12, np.nan])


@pytest.mark.parametrize("name", PAIRS)
def test_pooled_ratios_are_means_weighted_by_ancestors(name):
    """The pooled ratio is the layers' mean with the numbers of their ancestors as weights."""
    A = aligned_layers(np.random.default_rng(1), (4, 6, 40), share=0.5)
    sums = edge_sums(A).values.sum(axis=0)
    weights = sums[:, SUM_NAMES.index(PAIRS[name][0])]
    by_layer = np.nan_to_num(getattr(layer_profile(A), name))
    pooled = float(getattr(branching(A), name))
    assert by_layer @ weights / weights.sum() == pytest.approx(pooled)


@pytest.mark.parametrize("name", PAIRS)
def test_permuted_rasters_meet_the_expectation(name):
    """The mean of permuted rasters lies within four standard errors of it, in every layer."""
    rng = np.random.default_rng(2)
    A = aligned_layers(rng, (6, 5, 60), share=0.7)
    expected = getattr(layer_profile(A), PAIRS[name][1])
    draws = np.array([getattr(layer_profile(permutation_null(A, rng)), name) for _ in range(400)])
    defined = ~np.isnan(expected)
    error = (draws.mean(axis=0) - expected) / (draws.std(axis=0) / np.sqrt(len(draws)))
    assert np.abs(error[defined]).max() < 4
    assert (~defined).sum() == (name == "b_depth")


def test_structure_exceeds_the_expectation():
    """Control: persistent rows exceed it in time, aligned layers in depth, and not the other."""
    rng = np.random.default_rng(3)
    persistent = layer_profile(persistent_rows(rng, (8, 5, 100)))
    aligned = layer_profile(aligned_layers(rng, (8, 5, 100)))
    assert (persistent.b_time - persistent.b_time_perm_exact).min() > 0.2
    assert (aligned.b_depth - aligned.b_depth_perm_exact)[:-1].min() > 0.2
    assert abs(aligned.b_time - aligned.b_time_perm_exact).max() < 0.1


@given(stacks)
def test_one_layer_is_the_whole(A):
    """Of a raster of one layer, time is what the pooled ratio and closed form say."""
    row = A[:, :1]
    profile, null = layer_profile(row), branching_null_exact(row)
    np.testing.assert_equal(float(profile.b_time[0]), float(branching(row).b_time))
    np.testing.assert_allclose(profile.b_time_perm_exact[0], null.b_time_perm_exact)
    assert np.isnan(profile.b_depth).all()


def test_all_sites_as_denominator():
    """With all sites, ratios are of all occupied sites of the layer."""
    X = np.array([[1, 1, 0], [1, 0, 1]])
    profile = layer_profile(X, denominator="all_sites")
    np.testing.assert_allclose(profile.b_time, [1 / 2, 0])
    np.testing.assert_allclose(profile.b_time_perm_exact, [2 / 6, 2 / 6])


def test_empty_layers_have_no_ratio():
    """A layer without events is NaN in every ratio, and warns of nothing."""
    profile = layer_profile(np.zeros((2, 3, 4), np.uint16))
    assert (profile.occupancy == 0).all()
    assert np.isnan([profile.b_time, profile.b_depth, profile.b_time_perm_exact]).all()


def test_other_axes_are_refused():
    """A stack of several conditions is not pooled over."""
    with pytest.raises(ArrayError, match="one condition"):
        layer_profile(np.zeros((2, 2, 3, 4), np.uint16))
