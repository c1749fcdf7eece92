"""Site percolation: thresholds and the size exponent, and that the other adjacency has others."""

import math

import numpy as np
import pytest

from avalattice.canon import AdjacencyId
from avalattice.lattice.avalanches import avalanches
from avalattice.lattice.percolation import (
    PERCOLATION_SIZE_EXPONENT,
    PERCOLATION_THRESHOLD,
    independent_sites,
    spanning_fraction,
)

ADJ_4N, ADJ_8N = AdjacencyId
both_adjacencies = pytest.mark.parametrize("adjacency", list(AdjacencyId))


@both_adjacencies
def test_percolation_threshold(adjacency):
    """Independent sites span a square half the time at p_c, hardly ever or always 0.03 from it."""
    rng = np.random.default_rng(5)
    threshold = PERCOLATION_THRESHOLD[adjacency]
    below, at, above = (
        spanning_fraction(avalanches(independent_sites((200, 256, 256), p, rng), adjacency))
        for p in (threshold - 0.03, threshold, threshold + 0.03)
    )
    assert below < 0.03
    assert abs(at - 0.5) < 4 * 0.5 / np.sqrt(200)
    assert above > 0.97


def test_thresholds_belong_to_their_adjacency():
    """Control: at the other adjacency's p_c nothing is near one half."""
    rng = np.random.default_rng(5)
    for adjacency, other in ((ADJ_4N, ADJ_8N), (ADJ_8N, ADJ_4N)):
        X = independent_sites((20, 256, 256), PERCOLATION_THRESHOLD[other], rng)
        assert spanning_fraction(avalanches(X, adjacency)) == (adjacency == ADJ_8N)


def interior_size_exponents(occupancy, adjacency, minimum_sizes):
    """Hill's estimate (discrete, Clauset et al. 2009, eq. 3.7) from avalanches off the border.

    A bounding box of D × H fits into fewer places of the interior the larger it is: weights
    inversely proportional to their number undo that loss.
    """
    side = 512
    table = avalanches(
        independent_sites((100, side, side), occupancy, np.random.default_rng(6)), adjacency
    )
    interior = ~table.touches_border
    size = table.size[interior]
    places = (side - 1.0 - table.span_tokens) * (side - 1.0 - table.span_layers)
    weight = 1 / places[interior]
    for least in minimum_sizes:
        w, s = weight[size >= least], size[size >= least]
        yield 1 + w.sum() / (w * np.log(s / (least - 0.5))).sum()


@both_adjacencies
def test_percolation_size_exponent(adjacency):
    """At p_c the size exponent approaches 187/91 as the smallest size counted grows."""
    threshold = PERCOLATION_THRESHOLD[adjacency]
    exponents = np.array([*interior_size_exponents(threshold, adjacency, (1, 3, 10, 30))])
    gaps = np.abs(exponents - PERCOLATION_SIZE_EXPONENT)
    assert (np.diff(gaps) < 0).all()
    assert gaps[-1] < 0.06


def test_size_exponent_is_lost_away_from_the_threshold():
    """Control: below p_c the estimate runs past 187/91."""
    occupancy = PERCOLATION_THRESHOLD[ADJ_4N] - 0.06
    (exponent,) = interior_size_exponents(occupancy, ADJ_4N, [100])
    assert exponent > PERCOLATION_SIZE_EXPONENT + 0.3


def test_spanning_fraction_counts_windows():
    """Without windows there is no share of them that spans; of two, one bar spans half."""
    assert math.isnan(spanning_fraction(avalanches(np.zeros((0, 3, 4), int))))
    bar = np.zeros((2, 3, 4), int)
    bar[1, :, 2] = 1
    assert spanning_fraction(avalanches(bar)) == 0.5
