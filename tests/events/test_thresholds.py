"""Rate matching: exact thresholds in one pass, whatever the batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avalattice.arrays import check_arrays
from avalattice.errors import ArrayError, DataError
from avalattice.events.calibration import LayerScale
from avalattice.events.candidates import spike_value
from avalattice.events.thresholds import (
    COUNT_MAX,
    RankedEvents,
    ThresholdFitter,
    Thresholds,
    count_sites,
    find_ranked,
)
from tests.events.samples import CPU, ONE, TWO, all_v, random_u, scales_of, targets_for, unit_scale

N, T = 7, 6
D_FF = (9, 4)


@dataclass
class Case:
    """Activations of N windows of T tokens, their standardisation, and targets."""

    k: list
    u: list = field(default_factory=lambda: [random_u(s, N * T, f) for s, f in enumerate(D_FF)])
    scales: list = None

    def __post_init__(self):
        self.scales = self.scales or scales_of(*self.u)
        self.targets = targets_for(self.k, [u.shape[1] for u in self.u], len(self.u[0]))

    def add(self, fitter: ThresholdFitter, start: int, stop: int) -> None:
        """Add the windows ``start`` to ``stop``."""
        found = [
            fitter.select(layer, u[start * T : stop * T], scale)
            for layer, (u, scale) in enumerate(zip(self.u, self.scales, strict=True))
        ]
        fitter.update(found, start * T)

    def fitter(self, *cuts: int) -> ThresholdFitter:
        """A fitter of all windows, in batches that end at ``cuts``."""
        fitter = ThresholdFitter(self.targets)
        for start, stop in pairwise([0, *cuts, N]):
            self.add(fitter, start, stop)
        return fitter

    def result(self, *cuts: int) -> Thresholds:
        """Thresholds of all windows."""
        return self.fitter(*cuts).result(len(self.u[0]) // T, T)

    def v(self, d: int, layer: int) -> np.ndarray:
        """Every v that is not silent's, from the largest down."""
        v = all_v(self.u[layer], self.scales[layer], (ONE, TWO)[d]).ravel()
        return -np.sort(-v[~np.isnan(v)])


KS = [[[1, 2], [30, 40], [200, 100]], [[3, 1], [60, 70], [300, 160]]]
"""Counts k [D, R, L]; the largest put tau below zero."""


def assert_equal(a: Thresholds, b: Thresholds) -> None:
    for name in ("tau", "achieved", "ties", "counts"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y, err_msg=name)


def assert_is_full_sort(case: Case, found: Thresholds) -> None:
    """Tau, achieved counts, ties and rasters are those of a full sort."""
    for d, r, layer in np.ndindex(found.tau.shape):
        v, k = case.v(d, layer), case.targets.k[d, r, layer]
        tau = v[k]
        assert found.tau[d, r, layer] == tau
        assert found.achieved[d, r, layer] == (v > tau).sum()
        assert found.ties[d, r, layer] == k - (v > tau).sum()
        grid = all_v(case.u[layer], case.scales[layer], (ONE, TWO)[d]).reshape(-1, T, D_FF[layer])
        np.testing.assert_array_equal(found.counts[d, r, :, layer], (grid > tau).sum(axis=-1))


def test_exactly_k_events_where_values_do_not_tie():
    """Strict comparison with the (k+1)-th largest value gives exactly k events in every layer."""
    case = Case(KS)
    found = case.result(2, 5)
    for values in (case.v(d, layer) for d in (0, 1) for layer in (0, 1)):
        assert (np.diff(values) < 0).all()
    np.testing.assert_array_equal(found.achieved, case.targets.k)
    assert not found.ties.any()
    assert (found.tau < 0).any()
    assert_is_full_sort(case, found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_larger_layer_equals_a_full_sort(dtype):
    """Where values lie dense about tau, none is lost and none is counted twice."""
    u = random_u(9, 300 * T, 80, dtype=dtype)
    case = Case([[[30], [4000]], [[50], [9000]]], [u])
    fitter = ThresholdFitter(case.targets)
    for start, stop in pairwise([*range(0, 280, 20), *range(280, 301)]):  # the floor rises slowly
        case.add(fitter, start, stop)
    found = fitter.result(300, T)
    for d, r, layer in np.ndindex(found.tau.shape):
        v, k = case.v(d, layer), case.targets.k[d, r, layer]
        assert found.tau[d, r, layer] == v[k]
        assert found.achieved[d, r, layer] == found.counts[d, r].sum() == (v > v[k]).sum()


def test_counts_summed_over_sites_are_the_achieved_events():
    """Rasters and achieved counts are one and the same set of events."""
    found = Case(KS).result(3)
    np.testing.assert_array_equal(found.counts.sum(axis=(2, 4)), found.achieved)
    assert found.counts.dtype == np.uint16


def test_tau_does_not_rise_with_the_rate():
    """Among rates of one layer, more events mean a tau that is no larger."""
    found = Case([[[k, k] for k in (1, 2, 5, 9, 40, 100)]]).result(1)
    assert (np.diff(found.tau, axis=1) < 0).all()
    tied = Case([[[k, k] for k in (1, 2, 5, 9, 40, 100)]], [u.round() for u in Case(KS).u])
    assert (np.diff(tied.result(1).tau, axis=1) <= 0).all()


def test_planted_ties_are_reported_exactly():
    """Values equal to tau are left out, and ties = k − achieved counts them."""
    u = torch.zeros(N * T, 4)
    u.view(-1)[:10] = torch.arange(20.0, 10.0, -1)  # ten distinct values
    u.view(-1)[10:25] = 7.0  # fifteen equal ones
    case = Case([[[k] for k in (3, 10, 11, 24, 25)]], [u], [unit_scale(4)])
    found = case.result(1, 2)
    assert found.achieved[0, :, 0].tolist() == [3, 10, 10, 10, 25]
    assert found.ties[0, :, 0].tolist() == [0, 0, 1, 14, 0]
    scale = np.float32(1) + np.float32(1e-6)
    expected = np.float32([17, 7, 7, 7, 0]) / scale
    assert found.tau[0, :, 0].tolist() == expected.tolist()


def test_bfloat16_values_tie_and_are_counted_like_a_full_sort():
    """On bfloat16 activations ties are not rare, and every number is still a full sort's."""
    u = [random_u(s, N * T, f, dtype=torch.bfloat16) for s, f in enumerate(D_FF)]
    case = Case(KS, [(layer * 4).round() / 4 for layer in u])
    assert case.u[0].dtype == torch.bfloat16
    found = case.result(2, 3, 6)
    assert found.ties.any()
    assert (found.achieved <= case.targets.k).all()
    assert_is_full_sort(case, found)


divided = st.lists(st.integers(0, 2), min_size=N, max_size=N)


@settings(deadline=None, max_examples=60)
@given(divided, st.permutations(range(N)), st.permutations(range(3)), st.booleans(), st.booleans())
def test_any_partition_and_order_gives_the_same_bits(part, order, merging, tied, as_arrays):
    """Windows in any order, divided among fitters in any way, merged in any order: the same."""
    case = Case(KS, [u.round() for u in Case(KS).u] if tied else Case(KS).u)
    fitters = [ThresholdFitter(case.targets) for _ in range(3)]
    for window in order:
        case.add(fitters[part[window]], window, window + 1)
    whole = ThresholdFitter(case.targets)
    for i in merging:
        if as_arrays:
            whole.add_arrays(fitters[i].to_arrays())
        else:
            whole.merge(fitters[i])
    assert_equal(whole.result(N, T), case.result())
    assert_is_full_sort(case, whole.result(N, T))


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(1, N - 1)))
def test_any_division_into_batches_gives_the_same_bits(cuts):
    """One fitter, batches of any sizes, also smaller than what is kept."""
    case = Case(KS)
    assert_equal(case.result(*sorted(cuts)), case.result())


def test_a_first_batch_smaller_than_the_capacity_is_kept_whole():
    """As long as fewer values came than are kept, nothing is dropped and no floor is known."""
    case = Case([[[300, 150]]])
    fitter = ThresholdFitter(case.targets)
    case.add(fitter, 0, 1)
    assert fitter.floors(0) == {ONE: -np.inf}
    case.add(fitter, 1, N)
    assert fitter.floors(0)[ONE] > -np.inf
    assert_is_full_sort(case, fitter.result(N, T))


def test_floors_only_rise():
    """What a value must exceed never falls, and ends at the smallest tau."""
    case = Case(KS)
    fitter, before = ThresholdFitter(case.targets), -np.inf
    for window in range(N):
        case.add(fitter, window, window + 1)
        assert fitter.floors(0)[TWO] >= before
        before = fitter.floors(0)[TWO]
    assert before == fitter.result(N, T).tau[1, :, 0].min()


def test_partial_results_have_the_declared_form():
    """Arrays for the cache hold at most k_max + 1 values per list, and fit their specification."""
    case = Case(KS)
    arrays = case.fitter(4).to_arrays()
    check_arrays(arrays, ThresholdFitter.SPEC, where="cache")
    np.testing.assert_array_equal(arrays["length"], case.targets.capacity)


def test_partial_results_of_other_targets_are_refused():
    """Arrays for another number of layers or definitions do not fit."""
    arrays = Case(KS).fitter().to_arrays()
    with pytest.raises(ArrayError, match=r"\(2, 2\) lists, not \(1, 2\)"):
        ThresholdFitter(targets_for([[[1, 1]]], D_FF, N * T)).add_arrays(arrays)


def test_too_many_silent_units_are_an_error():
    """A layer with fewer values than a target needs is refused, with both numbers."""
    u = Case(KS).u
    u[1][:, 1:] = 0.5  # one of four units is left: 42 values
    with pytest.raises(DataError, match=r"layer 1 has 42 values of units .* for 42 events"):
        Case([[[1, 1], [1, 42]]], u).result(2)
    assert_is_full_sort(case := Case([[[1, 1], [1, 41]]], u), case.result(2))


def test_a_layer_of_silent_units_is_an_error():
    """Where no unit is left at all there is no threshold."""
    u = Case(KS).u
    u[0][:] = 1.0
    with pytest.raises(DataError, match="layer 0 has 0 values"):
        Case([[[1, 1]]], u).result()


def test_counts_beyond_uint16_are_an_error():
    """65535 events at a site are counted, one more is an error and no wrap."""
    positions = np.full(COUNT_MAX, 3)
    assert count_sites(positions, 1, 5).tolist() == [[0, 0, 0, 65535, 0]]
    with pytest.raises(ArrayError, match="65536 events, more than 65535"):
        count_sites(np.append(positions, 3), 1, 5)


def test_the_largest_are_kept_whatever_ties():
    """``largest`` keeps the largest values with the positions they came with."""
    events = RankedEvents(np.float32([1, 5, 3, 5, 2]), np.arange(5))
    assert sorted(events.largest(3).value.tolist()) == [3, 5, 5]
    assert events.largest(9) is events
    ordered = events.ordered()
    assert ordered.value.tolist() == [5, 5, 3, 2, 1]
    assert ordered.position.tolist() == [1, 3, 2, 4, 0]


# ---------------------------------------------------------------- the guessed first floor


def heavy_rows(n_positions: int, d_ff: int) -> torch.Tensor:
    u = random_u(1, n_positions, d_ff)
    u[5:8] *= 1e4  # everything that matters is in three rows
    return u


def heavy_units(n_positions: int, d_ff: int) -> torch.Tensor:
    u = random_u(2, n_positions, d_ff)
    u[:, ::5] += 50  # a sample whose step shares a factor with F would see nothing else
    return u


def constant(n_positions: int, d_ff: int) -> torch.Tensor:
    return torch.full((n_positions, d_ff), 0.25)


def growing(n_positions: int, d_ff: int) -> torch.Tensor:
    return torch.arange(float(n_positions * d_ff)).reshape(n_positions, d_ff).sqrt()


@pytest.mark.parametrize("capacity", [1, 40, 3000, 200_000, 400_000, 10**6])
@pytest.mark.parametrize("make", [heavy_rows, heavy_units, constant, growing])
@pytest.mark.parametrize("definitions", [(ONE,), (TWO,), (ONE, TWO)])
def test_a_guessed_floor_loses_nothing(make, capacity, definitions):
    """Adversarial data and any capacity: the batch's largest values are all among those found."""
    u = make(1310, 300)
    scale = unit_scale(300)
    found = find_ranked(
        u,
        scale,
        dict.fromkeys(definitions, -np.inf),
        dict.fromkeys(definitions, capacity),
    )
    for definition in definitions:
        v = -np.sort(-all_v(u, scale, definition).ravel())[:capacity]
        candidates = -np.sort(-spike_value(definition, found.z))[:capacity]
        np.testing.assert_array_equal(candidates, v)


def test_all_silent_units_end_the_guessing():
    """A layer in which every unit is silent gives no candidates, and no endless search."""
    scale = LayerScale.of(np.zeros(300, np.float32), np.zeros(300, np.float32), CPU)
    found = find_ranked(random_u(3, 1310, 300), scale, {TWO: -np.inf}, {TWO: 10})
    assert len(found.z) == 0


def test_mostly_silent_units_lose_nothing():
    """The guess counts heard units only."""
    u, sigma = random_u(4, 1310, 300), np.zeros(300, np.float32)
    sigma[17] = 1
    scale = LayerScale.of(np.zeros(300, np.float32), sigma, CPU)
    found = find_ranked(u, scale, {ONE: -np.inf}, {ONE: 900})
    expected = -np.sort(-u[:, 17].numpy() / scale.scale[17].numpy())[:900]
    np.testing.assert_array_equal(-np.sort(-found.z)[:900], expected)


def test_a_known_floor_is_used_as_it_is():
    """Where a floor is known, what lies below it is not looked for, however few are above."""
    u, scale = random_u(5, 400, 30), unit_scale(30)
    found = find_ranked(u, scale, {ONE: 3.5, TWO: -np.inf}, {ONE: 10**6, TWO: 5})
    v = all_v(u, scale, TWO)
    assert (found.z > 3.5).sum() == (all_v(u, scale, ONE) > 3.5).sum()
    assert np.sort(np.abs(found.z))[-5:].tolist() == np.sort(v.ravel())[-5:].tolist()
    assert len(found.z) < v.size / 4


def watched(scale: LayerScale) -> tuple[LayerScale, list[torch.Tensor]]:
    """The same standardisation, and the units that each of its uses asked for."""
    seen: list[torch.Tensor] = []

    class Watched(LayerScale):
        def z(self, u, unit):
            seen.append(unit)
            return super().z(u, unit)

    return Watched(scale.mu, scale.scale), seen


@pytest.mark.parametrize("d_ff", [300, 256, 301, 45])
def test_the_sample_for_the_guess_meets_every_unit(d_ff):
    """The first floor is guessed from values of all units, also where F shares factors with it."""
    scale, seen = watched(unit_scale(d_ff))
    u = random_u(6, 5 * 65536 // d_ff + 1, d_ff)
    find_ranked(u, scale, {ONE: -np.inf}, {ONE: 3})
    assert len(seen[0]) < u.numel() / 4
    assert len(torch.unique(seen[0])) == d_ff


@pytest.mark.parametrize("silent", [0, 150, 270])
def test_one_search_is_enough_on_ordinary_data(silent):
    """The first guess suffices, however many units are silent: one sample and one search."""
    sigma = np.ones(300, np.float32)
    sigma[:silent] = 0
    scale, seen = watched(LayerScale.of(np.zeros(300, np.float32), sigma, CPU))
    u = torch.randn(1310, 300, generator=torch.Generator().manual_seed(8))
    find_ranked(u, scale, {ONE: -np.inf, TWO: -np.inf}, {ONE: 2000, TWO: 1500})
    assert len(seen) == 2


def test_the_guess_spares_most_values():
    """On ordinary data the first guess is close: a few times the capacity is standardised."""
    u, scale = random_u(7, 1310, 300), unit_scale(300)
    found = find_ranked(u, scale, {TWO: -np.inf}, {TWO: 1000})
    assert 1000 <= len(found.z) < 3000
