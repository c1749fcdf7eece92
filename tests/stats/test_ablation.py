"""One intervention's rasters: the numbers of the single routines, beside each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avalattice.canon import AdjacencyId
from avalattice.lattice.branching import branching, edge_sums
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.null_sums import null_sums
from avalattice.lattice.susceptibility import susceptibility
from avalattice.stats.ablation import EXCESS, Ablation, measure_ablation
from avalattice.stats.avalanche_statistics import describe_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.excess import excess_intervals
from avalattice.stats.summary import summarise
from tests.lattice.samples import aligned_layers

N, L, T = 8, 4, 30
D_FF = np.array([40, 50, 60, 40])
denominators = pytest.mark.parametrize("denominator", ["valid_edges", "all_sites"])


def raster(seed: int = 0) -> np.ndarray:
    """Counts whose layers are partly aligned."""
    rng = np.random.default_rng(seed)
    X = aligned_layers(rng, (N, L, T), 0.3, 0.3)
    return (X * rng.integers(1, 9, X.shape)).astype(np.uint16)


def resamples(n: int = N) -> Resamples:
    return Resamples.draw(n, 100, np.random.default_rng(2))


def rates(A: np.ndarray) -> np.ndarray:
    """The achieved rate of each layer."""
    return A.sum(axis=(0, 2)) / (A.shape[0] * A.shape[2] * D_FF)


def measured(A: np.ndarray, **options) -> Ablation:
    given = {"layer_rates": rates(A), "d_ff": D_FF, "resamples": resamples(len(A))} | options
    return measure_ablation(A, **given)


@denominators
def test_numbers_are_those_of_the_routines_called_directly(denominator):
    """b_tot, its surpluses and chi are branching's, the closed forms' and the Fano factor."""
    A = raster()
    found = measured(A, denominator=denominator).numbers
    null = branching_null_exact(A, denominator=denominator)
    expected = {
        "b_tot": float(branching(A, denominator=denominator).b_tot),
        "delta_b_tot": null.delta_b_tot,
        "delta_b_depth_shift": null.delta_b_depth_shift,
        "chi": float(susceptibility(A).chi),
    }
    assert found == pytest.approx(expected, rel=1e-12)
    assert found["delta_b_tot"] != found["delta_b_depth_shift"]
    other = measured(raster(1), denominator=denominator).numbers
    assert all(other[name] != found[name] for name in found)  # control


@denominators
def test_intervals_come_from_the_given_resamples(denominator):
    """Every interval is that of the same resamples, so that rows are paired."""
    A, drawn = raster(), resamples()
    found = measured(A, denominator=denominator).intervals
    expected = excess_intervals(null_sums(A), drawn, denominator=denominator)
    assert {name: found[name] for name in EXCESS} == {name: expected[name] for name in EXCESS}
    summary = summarise(
        type(edge_sums(A))(edge_sums(A).values[np.newaxis]),
        n_tokens=T,
        d_ff=D_FF,
        resamples=drawn,
        denominator=denominator,
    )
    assert found["chi"].low == summary.chi_interval.low[0]
    assert found["chi"].high == summary.chi_interval.high[0]
    others = Resamples.draw(N, 100, np.random.default_rng(3))
    assert measured(A, resamples=others).intervals["b_tot"] != found["b_tot"]  # control


def test_the_rate_error_is_that_of_the_worst_layer():
    """Layers at their rates have no error; one event more is one over the layer's values."""
    A = raster()
    assert measured(A).achieved_rate_max_abs_err == 0
    more = A.copy()
    more[3, 2, 7] += 1
    found = measured(more, layer_rates=rates(A))
    assert found.achieved_rate_max_abs_err == pytest.approx(1 / (N * T * D_FF[2]), rel=1e-9)
    fewer = measured(A, layer_rates=rates(A) + np.array([0, 0.5, 0, -0.25]))
    assert fewer.achieved_rate_max_abs_err == pytest.approx(0.5)


def test_avalanches_are_described_under_both_adjacencies():
    """Each is the description of that adjacency, and eight neighbours join what four part."""
    A = raster()
    found = measured(A).described
    assert list(found) == list(AdjacencyId)
    for adjacency, described in found.items():
        expected = describe_avalanches(A, resamples(), adjacency)
        assert described.adjacency is adjacency
        assert described.n_avalanches == expected.n_avalanches
        assert described.size_mean == expected.size_mean
        np.testing.assert_equal(described.crackling.gamma, expected.crackling.gamma)
    four, eight = found.values()
    assert four.n_avalanches > eight.n_avalanches


def test_undefined_numbers_have_reasons():
    """A silent raster has none of the numbers and says why; a full one has no chi interval."""
    silent = measured(np.zeros((N, L, T), np.uint16))
    assert all(math.isnan(value) for value in silent.numbers.values())
    assert silent.reason == (
        "b_time and b_depth: no occupied site has a successor; chi needs two windows and some event"
    )
    assert measured(raster()).reason == ""
    one_window = measured(raster()[:1])
    assert math.isnan(one_window.numbers["chi"])
    assert math.isnan(one_window.intervals["b_tot"].low)
    assert one_window.reason.startswith(f"no interval of {', '.join(EXCESS)}: it needs two windows")
    assert one_window.reason.endswith("; chi needs two windows and some event")
    full = measured(np.full((N, L, T), 2, np.uint16))
    assert full.numbers["chi"] == 0
    assert math.isnan(full.intervals["chi"].low)
    assert full.reason == "no interval of chi: window totals do not vary enough"
