"""Counts at given thresholds, and base counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avalattice.canon import CONST
from avalattice.events.counts import AppliedThresholds, BaseCountFitter, base_counts, count_events
from tests.events.samples import ONE, TWO, all_v, random_u, scales_of, unit_scale

N, T, F = 4, 5, 11


def counts_of(u, scale, conditions, layer=0) -> np.ndarray:
    """Counts [C, N, T] at thresholds (definition, tau) of one layer among two."""
    tau = np.full((len(conditions), 2), np.nan, dtype=np.float32)
    tau[:, layer] = [value for _, value in conditions]
    applied = AppliedThresholds(tuple(definition for definition, _ in conditions), tau)
    return count_events(u, scale, applied, layer, T)


def brute_force(u, scale, conditions) -> np.ndarray:
    """Counts by comparing everything."""
    return np.stack(
        [
            (all_v(u, scale, d) > np.float32(tau)).reshape(N, T, F).sum(axis=-1)
            for d, tau in conditions
        ]
    )


taus = st.one_of(st.floats(-4, 4, width=32), st.sampled_from([-np.inf, np.inf, 0.0]))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.sampled_from([ONE, TWO]), taus), min_size=1, max_size=5),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.integers(0, 1),
)
def test_several_conditions_at_once_equal_brute_force(seed, conditions, dtype, layer):
    """Counts of any thresholds on both definitions together are those of each by itself."""
    u = random_u(seed, N * T, F, dtype=dtype)
    u[:, 4] = 2.0  # silent
    [scale] = scales_of(u)
    found = counts_of(u, scale, conditions, layer)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, brute_force(u, scale, conditions))


def test_values_at_the_threshold_are_no_events():
    """An event lies strictly above tau: at a value's own v it is not counted, just below it is."""
    u = random_u(1, N * T, F)
    [scale] = scales_of(u)
    v = np.sort(all_v(u, scale, TWO).ravel())[::-1]
    assert v[8] > v[9] > v[10]
    below = np.nextafter(v[9], np.float32(0))
    found = counts_of(u, scale, [(TWO, v[9]), (TWO, below)])
    assert found.sum(axis=(1, 2)).tolist() == [9, 10]


def test_events_stand_at_their_window_and_token():
    """A single planted value is counted at its own site."""
    u = torch.zeros(N * T, F)
    u[2 * T + 3, 7] = -9
    found = counts_of(u, unit_scale(F), [(TWO, 5.0), (ONE, 5.0)])
    assert np.argwhere(found).tolist() == [[0, 2, 3]]
    assert found.sum() == 1


def test_saturated_and_silent_rasters():
    """Below everything each site counts all units, above everything none."""
    u = random_u(2, N * T, F)
    [scale] = scales_of(u)
    conditions = [(ONE, -np.inf), (TWO, -0.5), (ONE, 1e9), (TWO, np.inf)]
    found = counts_of(u, scale, conditions)
    assert (found[:2] == F).all()
    assert (found[2:] == 0).all()


def test_floors_are_the_lowest_threshold_of_each_definition():
    """One search serves all conditions of a layer."""
    applied = AppliedThresholds((ONE, TWO, ONE), np.float32([[3, 1], [2, 7], [1, 4]]))
    assert applied.floors(0) == {ONE: 1.0, TWO: 2.0}
    assert applied.floors(1) == {ONE: 1.0, TWO: 7.0}
    assert AppliedThresholds((TWO,), np.float32([[3]])).floors(0) == {TWO: 3.0}


# -------------------------------------------------------------------------------- base counts


@pytest.mark.parametrize("tau0", [CONST.TAU0_BASELINE, 0.1, 1.3, 100.0])
def test_base_counts_equal_brute_force(tau0):
    """Both definitions' counts and each unit's, at a threshold taken as float32."""
    u = random_u(3, 200, F)
    u[:, 0] = 1.0
    [scale] = scales_of(u)
    found = base_counts(u, scale, (ONE, TWO), tau0)
    one, two = (all_v(u, scale, d) > np.float32(tau0) for d in (ONE, TWO))
    assert found.by_definition == (one.sum(), two.sum())
    assert found.by_unit.tolist() == two.sum(axis=0).tolist()
    assert found.by_unit[0] == 0
    assert base_counts(u, scale, (TWO,), tau0).by_definition == (two.sum(),)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_base_counts_add_up_over_batches(sizes):
    """Any division into batches gives the counts of all, by definition, layer and unit."""
    layers = [random_u(4, sum(sizes), F), random_u(5, sum(sizes), 3)]
    scales = scales_of(*layers)
    fitter = BaseCountFitter()
    for batch in zip(*(u.split(sizes) for u in layers), strict=True):
        fitter.update(
            [base_counts(u, s, (ONE, TWO), 1.0) for u, s in zip(batch, scales, strict=True)]
        )
    whole = [base_counts(u, s, (ONE, TWO), 1.0) for u, s in zip(layers, scales, strict=True)]
    assert fitter.by_definition.T.tolist() == [list(layer.by_definition) for layer in whole]
    for found, layer in zip(fitter.by_unit, whole, strict=True):
        assert found.tolist() == layer.by_unit.tolist()
