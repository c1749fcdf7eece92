"""Site percolation: thresholds and the size exponent, and that the other adjacency has others."""

import math

import numpy as np
import pytest

from avalattice.canon import AdjacencyId
from avalattice.errors import ArrayError, InputError
from avalattice.lattice.avalanches import avalanches
from avalattice.lattice.percolation import (
    PERCOLATION_SIZE_EXPONENT,
    PERCOLATION_THRESHOLD,
    independent_sites,
    percolation_context,
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


# ---------------------------------------------------------------------- where a raster stands


def test_context_is_that_of_the_raster():
    """Occupancy with its range over layers is the raster's, the threshold its adjacency's."""
    A = np.random.default_rng(7).poisson([[[0.2], [0.6], [1.5]]], (10, 3, 50))
    context = percolation_context(A, ADJ_8N)
    layers = (A > 0).mean(axis=(0, 2))
    assert context.occupancy == pytest.approx((A > 0).mean())
    assert (context.occupancy_min, context.occupancy_max) == (layers.min(), layers.max())
    assert context.threshold == PERCOLATION_THRESHOLD[ADJ_8N]
    assert percolation_context(A).threshold == PERCOLATION_THRESHOLD[ADJ_4N]
    assert context.straddles
    assert not percolation_context(A[:, :1], ADJ_8N).straddles
    assert not percolation_context((A[:, :1] > 5).repeat(2, axis=1), ADJ_8N).straddles


@both_adjacencies
@pytest.mark.parametrize("side", [16, 64])
def test_the_width_is_where_windows_may_or_may_not_be_spanned(adjacency, side):
    """At p_c ± width 3 and 97 % of windows are spanned, of any size; at twice it none or all."""
    rng = np.random.default_rng(8)
    empty = percolation_context(np.zeros((1, side, side), int), adjacency)

    def spanned(widths: float) -> float:
        p = empty.threshold + widths * empty.width
        return spanning_fraction(
            avalanches(independent_sites((400, side, side), p, rng), adjacency)
        )

    assert 0.005 < spanned(-1) < 0.07
    assert 0.93 < spanned(1) < 0.995
    assert (spanned(-2), spanned(2)) == pytest.approx((0, 1), abs=0.005)


def test_near_is_within_the_width():
    """A raster at p_c is near it; 1.2 widths below or above it is not, and words say which."""
    rng, words = np.random.default_rng(9), {}
    threshold, width = PERCOLATION_THRESHOLD[ADJ_4N], 30**-0.75
    for widths in (-1.2, -0.8, 0, 0.8, 1.2):
        sites = independent_sites((200, 30, 64), threshold + widths * width, rng)
        context = percolation_context(sites)
        assert context.width == pytest.approx(width)
        assert context.near == (abs(widths) < 1)
        words[widths] = context.words
    assert "near it" in words[0]
    assert words[-1.2].endswith(" below it")
    assert words[1.2].endswith(" above it")
    assert f"percolate at 0.593 under {ADJ_4N}" in words[0]


def test_a_single_row_percolates_when_it_is_full():
    """In one dimension p_c is one, and the width one over the length."""
    row = np.ones((3, 1, 40), int)
    row[:, :, ::4] = 0
    context = percolation_context(row)
    assert (context.threshold, context.width, context.near) == (1.0, 1 / 40, False)
    assert percolation_context(np.ones((3, 1, 40), int)).near
    assert percolation_context(np.ones((3, 40, 1), int)).threshold == 1.0


def test_no_windows_have_no_occupancy():
    """Without windows occupancy is NaN, near nothing, and the words say so."""
    context = percolation_context(np.zeros((0, 3, 4), int))
    assert math.isnan(context.occupancy)
    assert not context.near
    assert not context.straddles
    assert "there are no windows" in context.words
    with pytest.raises(ArrayError, match=r"expected axes \[N, L, T\]"):
        percolation_context(np.zeros((2, 3, 4, 5), int))
    with pytest.raises(InputError, match="'ADJ_6N' is unknown: choose one of ADJ_4N, ADJ_8N"):
        percolation_context(np.zeros((3, 4), int), "ADJ_6N")
