"""Target rates: profile over depth, rounding to counts, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avalattice.errors import DataError
from avalattice.events.targets import rate_targets, rates_per_unit
from tests.events.samples import ONE, TWO


def targets(base, d_ff, *, rates=(0.01,), n_tokens=1000, uniform=False):
    """Targets of one spike definition for each row of base counts."""
    return rate_targets(
        np.array(base),
        spike_defs=(ONE, TWO)[: len(base)],
        labels=[f"{rate:g}" for rate in rates],
        rates=rates,
        d_ff=np.array(d_ff),
        n_tokens=n_tokens,
        uniform=uniform,
    )


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 60)), min_size=1, max_size=6),
    st.lists(st.floats(1e-6, 1e-3), min_size=1, max_size=3),
)
def test_the_mean_over_layers_is_the_target(layers, rates):
    """r*_l has mean r, and the profile over depth of the base rates, whatever the widths."""
    base, d_ff = zip(*layers, strict=True)
    found = targets([base], d_ff, rates=rates)
    np.testing.assert_allclose(found.layer_rates[0].mean(axis=1), rates, rtol=1e-12)
    r0 = np.array(base) / (1000 * np.array(d_ff))
    np.testing.assert_allclose(found.base_rates[0], r0, rtol=1e-15)
    for layer_rates in found.layer_rates[0]:
        np.testing.assert_allclose(layer_rates / layer_rates[0], r0 / r0[0], rtol=1e-12)


def test_each_definition_has_its_own_profile():
    """The base rates of one spike definition do not touch those of another."""
    found = targets([[10, 30], [30, 10]], [100, 100])
    np.testing.assert_allclose(found.layer_rates[:, 0], [[0.005, 0.015], [0.015, 0.005]])
    assert found.k[:, 0].tolist() == [[500, 1500], [1500, 500]]
    assert found.m.tolist() == [100_000, 100_000]


def test_a_uniform_profile_is_the_target_in_every_layer():
    """With a uniform profile r*_l = r, also where nothing exceeds tau0."""
    found = targets([[0, 0, 0]], [10, 20, 30], uniform=True)
    assert found.layer_rates.tolist() == [[[0.01] * 3]]
    assert found.k.tolist() == [[[100, 200, 300]]]


def test_k_is_at_least_one():
    """A layer whose target is less than half an event, or whose base rate is zero, gets one."""
    found = targets([[0, 4]], [10, 10], rates=(1e-9, 1e-3))
    assert found.k.tolist() == [[[1, 1], [1, 20]]]
    assert found.layer_rates[0, :, 0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("expected_events", "k"),
    [(1.49, 1), (1.5, 2), (2.5, 3), (3.5, 4), (2.499, 2), (0.2, 1), (7.0, 7)],
)
def test_halves_round_up(expected_events, k):
    """K = floor(r* m + ½): halves go up, not to the even number."""
    found = targets([[1]], [8], rates=(expected_events / 8192,), n_tokens=1024, uniform=True)
    assert found.k.tolist() == [[[k]]]


def test_capacity_is_one_more_than_the_largest_count():
    """Rate matching keeps k_max + 1 values of each spike definition and layer."""
    found = targets([[1, 3], [1, 1]], [10, 10], rates=(1e-3, 1e-2, 5e-3))
    assert found.capacity.tolist() == (found.k.max(axis=1) + 1).tolist() == [[51, 151], [101, 101]]


def test_a_layer_that_would_always_fire_is_refused():
    """K ≥ m is an error that names target, layer, k and m."""
    with pytest.raises(DataError, match=r"target 0\.6 asks layer 1 for 10800 events among 10000"):
        targets([[1, 9], [9, 3]], [10, 10], rates=(0.01, 0.6))
    with pytest.raises(DataError, match=r"target 1 asks layer 0 for 8 events among 8 values"):
        targets([[1]], [8], rates=(1.0,), n_tokens=1, uniform=True)
    targets([[1]], [8], rates=(0.9,), n_tokens=1, uniform=True)  # 7 of 8


@pytest.mark.parametrize("base", [[[0, 0]], [[1, 2], [0, 0]]])
def test_base_rates_without_events_have_no_profile(base):
    """Where nothing exceeds tau0 the error says what to change."""
    with pytest.raises(DataError, match=r"no value exceeds events\.tau0.*rate_profile: uniform"):
        targets(base, [10, 10])


def test_targets_per_site_are_divided_by_the_mean_width():
    """Events per site become events per unit and token; the other unit stays as it is."""
    d_ff = np.array([100, 300])
    assert rates_per_unit([0.4, 2.0], d_ff, per_site=True) == [0.002, 0.01]
    assert rates_per_unit([1e-5], d_ff, per_site=False) == [1e-5]


def test_a_target_per_site_gives_that_many_events_per_site():
    """With equal widths, k summed over layers is the target times the number of sites."""
    [rate] = rates_per_unit([0.4], np.array([50, 50]), per_site=True)
    found = targets([[10, 40]], [50, 50], rates=(rate,))
    assert found.k.sum() == 0.4 * 1000 * 2


def test_a_target_is_found_by_definition_and_label():
    """Positions on the axes D and R, by the registry's name and the text of the configuration."""
    found = targets([[1, 3], [1, 1]], [10, 10], rates=(1e-3, 1e-2, 5e-3))
    assert found.position(ONE, "0.001") == (0, 0)
    assert found.position(str(TWO), "0.005") == (1, 2)
    for unknown in ((ONE, "1e-3"), ("SPIKE", "0.001")):
        with pytest.raises(ValueError, match="not "):
            found.position(*unknown)
