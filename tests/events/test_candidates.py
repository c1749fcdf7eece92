"""Candidates: the bound on u loses nothing that standardisation would find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avalattice.canon import CONST
from avalattice.events.calibration import LayerScale
from avalattice.events.candidates import find_candidates, spike_value
from tests.events.samples import CPU, ONE, TWO, all_v, random_u, scales_of, unit_scale

LARGE = 2.0**100
TINY = 1.401298464324817e-45
"""The smallest denormal."""
finite = st.floats(-LARGE, LARGE, width=32)
floor_values = st.one_of(
    st.sampled_from([np.inf, -np.inf, 0.0, -0.0, TINY, -TINY, 2.5, -2.5]),
    st.floats(-(2.0**12), 2.0**12, width=32),
)


def assert_nothing_lost(u: torch.Tensor, scale: LayerScale, floors) -> None:
    """Candidates hold everything above its floor, each with its z to the bit."""
    found = find_candidates(u, scale, floors)
    np.testing.assert_array_equal(found.z, all_v(u, scale, ONE)[found.position, found.unit])
    candidates = set(zip(found.position.tolist(), found.unit.tolist(), strict=True))
    assert len(candidates) == len(found.z)
    for definition, floor in floors.items():
        above = np.argwhere(all_v(u, scale, definition) > np.float32(floor))
        assert candidates.issuperset(map(tuple, above.tolist()))


@st.composite
def layers_at_the_bound(draw):
    """Activations a few units in the last place from where v equals a floor."""
    d_ff, n_positions = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    mu = draw(hnp.arrays(np.float32, d_ff, elements=finite))
    sigma = draw(hnp.arrays(np.float32, d_ff, elements=st.floats(0, LARGE, width=32)))
    floors = draw(st.dictionaries(st.sampled_from([ONE, TWO]), floor_values, min_size=1))
    scale = LayerScale.of(mu, sigma, CPU)
    sides = st.sampled_from([1.0, -1.0])
    floor = draw(st.sampled_from(sorted(floors.values()))) * draw(sides)
    centre = mu if np.isinf(floor) else mu + np.float32(floor) * scale.scale.numpy()
    steps = draw(hnp.arrays(np.int64, (n_positions, d_ff), elements=st.integers(-3, 3)))
    u = np.broadcast_to(centre, steps.shape).copy()
    for step in range(1, 4):
        moved = np.nextafter(u, np.copysign(np.float32(np.inf), steps))
        u = np.where(np.abs(steps) >= step, moved, u)
    elsewhere = draw(hnp.arrays(np.float32, u.shape, elements=finite))
    u = np.where(draw(hnp.arrays(bool, u.shape)), elsewhere, u)
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16]))
    return torch.from_numpy(u).to(dtype), scale, floors


@settings(deadline=None, max_examples=300)
@given(layers_at_the_bound())
@example((torch.tensor([[TINY], [-TINY]]), unit_scale(1), {ONE: 0.0, TWO: TINY}))
def test_no_value_above_its_floor_is_lost(layer):
    """Whatever mean, deviation, floor and precision, everything above a floor is a candidate."""
    assert_nothing_lost(*layer)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10**6),
    st.floats(-4, 4, width=32),
    st.sampled_from([1e-5, 1.0, 1e5]),
    st.sampled_from([0.0, 1.0, 1e4]),
)
def test_no_value_is_lost_among_many(seed, floor, spread, offset):
    """The same for larger layers, with cancellation between mean and deviation."""
    u = random_u(seed, 90, 31) * spread + offset
    scale = scales_of(u)[0]
    values = np.sort(all_v(u, scale, TWO).ravel())
    if len(values := values[values > abs(floor)]):  # a floor that is itself attained
        assert_nothing_lost(u, scale, {ONE: float(values[0]), TWO: float(values[0])})
    assert_nothing_lost(u, scale, {ONE: floor, TWO: floor})


@pytest.mark.parametrize("side", [1, -1])
def test_no_value_is_lost_where_u_and_the_bound_cancel(side):
    """Where mu = −floor · scale, the bound is near zero and u − mu rounds far more than u does."""
    rng = np.random.default_rng(2)
    sigma = rng.uniform(0.5, 4, 2000).astype(np.float32)
    lost = 0
    for floor in rng.uniform(1, 4, 5).astype(np.float32):
        scale = LayerScale.of(-side * floor * sigma, sigma, CPU)
        span = float(floor) * scale.scale.double().numpy()
        steps = np.arange(-8, 9)[:, None] * 2.0**-26
        u = torch.from_numpy(scale.mu.double().numpy() + side * span * (1 + steps)).float()
        assert_nothing_lost(u, scale, {ONE if side > 0 else TWO: float(floor)})
        bound = torch.from_numpy(np.float32(scale.mu.numpy() + side * span))
        beyond = (side * u) > torch.nextafter(side * bound, torch.tensor(-torch.inf))
        lost += int(((side * all_v(u, scale, ONE) > floor) & ~beyond.numpy()).sum())
    assert lost > 0  # control: one unit in the last place of the bound is not enough


def test_the_bound_without_widening_loses_some():
    """Control: u > mu + floor · scale, rounded to float32, loses values whose z is above floor."""
    lost = 0
    for seed in range(20):
        u = random_u(seed, 512, 64)
        [scale] = scales_of(u)
        z = all_v(u, scale, ONE)
        floor = np.nextafter(np.sort(z.ravel())[-5], np.float32(-np.inf))
        bound = (scale.mu.double() + float(floor) * scale.scale.double()).float()
        lost += int(((z > floor) & ~(u > bound).numpy()).sum())
        assert_nothing_lost(u, scale, {ONE: float(floor)})
    assert lost > 0


def test_deciding_on_u_miscounts_some_layers():
    """At the tau of exact rate matching, u > mu + tau · scale miscounts some percent of layers."""
    wrong, n_layers = 0, 200
    for seed in range(n_layers):
        u = random_u(seed, 256, 64)
        [scale] = scales_of(u)
        z, k = all_v(u, scale, ONE), 1 + seed % 40
        tau = np.sort(z.ravel())[-(k + 1)]
        assert (z > tau).sum() == k
        wrong += int((u > scale.mu + float(tau) * scale.scale).sum()) != k
    assert 0.01 < wrong / n_layers < 0.2


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 9), (8, 8), (13, 1), (1, 17), (5, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_shape_and_precision_is_searched_whole(shape, dtype):
    """Sizes that are no multiple of eight, and half precision, give the same candidates."""
    u = random_u(11, *shape, dtype=dtype)
    for floor in (-1.0, 0.0, 1.0):
        assert_nothing_lost(u, unit_scale(shape[1]), {ONE: floor, TWO: floor})


def test_strided_activations_are_read_by_position():
    """A view that is not contiguous gives the same candidates as its copy."""
    u = random_u(12, 24, 40).T
    scale = unit_scale(24)
    for view in (u, random_u(12, 80, 24)[::2], random_u(13, 6, 60)[:, 12:36]):
        assert not view.is_contiguous()
        found = find_candidates(view, scale, {TWO: 1.0})
        copied = find_candidates(view.contiguous(), scale, {TWO: 1.0})
        np.testing.assert_array_equal(found.position, copied.position)
        np.testing.assert_array_equal(found.unit, copied.unit)
        np.testing.assert_array_equal(found.z, copied.z)


def test_few_others_are_candidates():
    """The widening adds next to nothing: at most one value in ten thousand."""
    u = random_u(14, 2000, 100)
    [scale] = scales_of(u)
    found = find_candidates(u, scale, {TWO: 2.5})
    assert len(found.z) > 1000
    assert (np.abs(found.z) <= 2.5).sum() <= u.numel() // 10_000


@pytest.mark.parametrize("definition", [ONE, TWO])
def test_infinite_floors_ask_for_all_and_for_nothing(definition):
    """A floor of -inf gives every activation of heard units, +inf none."""
    u = random_u(15, 10, 4)
    u[:, 2] = 1.0
    [scale] = scales_of(u)
    assert len(find_candidates(u, scale, {definition: -np.inf}).z) == 30
    assert len(find_candidates(u, scale, {definition: np.inf}).z) == 0


def test_a_negative_two_sided_floor_asks_for_all():
    """abs(z) exceeds every negative floor, at whichever side z lies."""
    u = random_u(16, 10, 4)
    for floors in ({TWO: -1e-30}, {TWO: -0.5, ONE: 3.0}):
        assert len(find_candidates(u, scales_of(u)[0], floors).z) == 40
    assert len(find_candidates(u, scales_of(u)[0], {TWO: -0.0}).z) == 40


def test_definitions_share_one_search():
    """With both definitions, candidates are those of the lower floor on each side."""
    u, scale = random_u(17, 500, 8), unit_scale(8)
    both = find_candidates(u, scale, {ONE: 1.5, TWO: 2.0})
    expected = (all_v(u, scale, ONE) > 1.5) | (all_v(u, scale, TWO) > 2.0)
    assert len(both.z) == pytest.approx(expected.sum(), abs=2)
    assert (both.z < -2.0).any()
    assert not ((both.z > -2.0 + 1e-5) & (both.z < 1.5 - 1e-5)).any()


def test_spike_values_are_z_or_its_absolute_value():
    """V is z for one-sided spikes and abs(z) for two-sided ones."""
    z = np.float32([-3, 0, 2])
    assert spike_value(ONE, z).tolist() == [-3, 0, 2]
    assert spike_value(TWO, z).tolist() == [3, 0, 2]
    assert np.float32(CONST.EPS) > 0
