"""Null avalanches: the exponents of each draw, pooled histograms, and what a null shows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avalattice.canon import CONST, AdjacencyId
from avalattice.errors import ArrayError
from avalattice.lattice.avalanches import avalanches
from avalattice.lattice.nulls import permutation_null
from avalattice.lattice.percolation import PERCOLATION_THRESHOLD, independent_sites
from avalattice.lattice.simulate import PlantedGain
from avalattice.stats.avalanche_nulls import NullExponent, null_avalanches
from avalattice.stats.avalanche_statistics import describe_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.scaling import crackling
from avalattice.stats.tails import TailFit, fit_tail

SHAPE = (20, 12, 64)
PLANTED = PlantedGain(30, 64, b_time=0.3, b_depth=0.5, rate=0.2)
both_adjacencies = pytest.mark.parametrize("adjacency", list(AdjacencyId))


def rasters(n: int = 4, occupancy: float = 0.45) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [independent_sites(SHAPE, occupancy, rng) * 2 for _ in range(n)]


def of_enough(fit: TailFit) -> float:
    """The exponent of a tail that holds enough avalanches."""
    return fit.alpha if fit.n_tail >= CONST.TAIL_FIT_MIN_TAIL_SAMPLES else math.nan


@both_adjacencies
def test_exponents_are_those_of_each_draw(adjacency):
    """alpha of sizes, alpha of spans on [1, T] and gamma are the estimators' own, draw by draw."""
    found = null_avalanches(iter(rasters()), adjacency)
    tables = [avalanches(draw, adjacency) for draw in rasters()]
    sizes = [of_enough(fit_tail(table.size)) for table in tables]
    spans = [of_enough(fit_tail(table.span_tokens, xmax=SHAPE[-1])) for table in tables]
    gammas = [crackling(table.size, table.span_tokens).gamma for table in tables]
    assert found.n_draws == 4
    np.testing.assert_array_equal(found.alpha_size.draws, sizes)
    np.testing.assert_array_equal(found.alpha_span.draws, spans)
    np.testing.assert_array_equal(found.gamma.draws, gammas)
    assert found.gamma.mean == pytest.approx(np.mean(gammas))
    assert found.gamma.range == pytest.approx(tuple(np.quantile(gammas, [0.025, 0.975])))
    assert found.gamma.reason == ""


def test_histograms_pool_all_draws():
    """Values and counts are those of the avalanches of all draws together."""
    found = null_avalanches(rasters())
    tables = [avalanches(draw) for draw in rasters()]
    for histogram, name in ((found.sizes, "size"), (found.spans, "span_tokens")):
        pooled = np.concatenate([getattr(table, name) for table in tables])
        values, counts = np.unique(pooled, return_counts=True)
        np.testing.assert_array_equal(histogram.values, values)
        np.testing.assert_array_equal(histogram.counts, counts)


def test_draws_are_used_one_by_one():
    """A draw is not asked for before the last one was used, nor kept."""
    alive = []

    def draws():
        for draw in rasters(3):
            copy = draw.copy()
            alive.append(copy)
            yield copy
            copy[:] = 0  # whoever kept it would find nothing

    found = null_avalanches(draws())
    np.testing.assert_array_equal(found.gamma.draws, null_avalanches(rasters(3)).gamma.draws)
    assert len(alive) == 3


def test_no_draws_have_no_exponents():
    """Without draws all is NaN with a reason, and histograms are empty."""
    found = null_avalanches([])
    assert (found.n_draws, found.gamma.reason) == (0, "no null raster was drawn")
    assert np.isnan([found.gamma.mean, *found.gamma.range, found.alpha_size.mean]).all()
    assert found.sizes.values.size == found.spans.counts.size == 0


def test_undefined_draws_are_left_out_and_counted():
    """Silent and full draws have no exponents; mean and range are those of the others."""
    some = rasters(2)
    found = null_avalanches([np.zeros(SHAPE, int), some[0], np.ones(SHAPE, int), some[1]])
    assert np.isnan(found.gamma.draws).tolist() == [True, False, True, False]
    assert found.gamma.reason == "undefined in 2 of 4 null draws"
    assert found.gamma.mean == pytest.approx(null_avalanches(some).gamma.mean)
    assert math.isnan(null_avalanches([np.zeros(SHAPE, int)]).gamma.mean)


def test_a_draw_with_too_short_a_tail_has_no_exponent():
    """In draws of one window few avalanches lie beyond xmin, and as in data no fit is ok."""
    short = [draw[:1] for draw in rasters()]
    fits = [fit_tail(avalanches(draw).size) for draw in short]
    assert all(fit.n_tail < CONST.TAIL_FIT_MIN_TAIL_SAMPLES for fit in fits)
    assert np.isfinite([fit.alpha for fit in fits]).all()
    found = null_avalanches(short)
    assert np.isnan(found.alpha_size.draws).all()
    assert found.alpha_size.reason == (
        f"undefined in 4 of 4 null draws: a tail needs {CONST.TAIL_FIT_MIN_TAIL_SAMPLES} avalanches"
    )
    long = null_avalanches(draw.repeat(8, axis=0) for draw in rasters())  # control
    assert np.isfinite(long.alpha_size.draws).all()
    assert long.alpha_size.reason == ""


def test_mean_and_range_need_half_of_the_draws():
    """With two of four draws they are those of the two, with one of four there are none."""
    half = NullExponent(np.array([1.0, math.nan, 3.0, math.nan]), "")
    assert half.mean == 2
    assert half.range == pytest.approx((1.05, 2.95))
    fewer = NullExponent(np.array([1.0, math.nan, math.nan, math.nan]), "")
    assert np.isnan([fewer.mean, *fewer.range]).all()


def test_the_range_is_central():
    """The range holds the central 95 % of draws, not all of them."""
    exponent = NullExponent(np.arange(1001.0), "")
    assert exponent.range == pytest.approx((25, 975))
    assert exponent.mean == 500


def test_independent_sites_at_the_threshold_look_like_their_null():
    """At p_c tails are broad and gamma is that of the permuted raster: no evidence of dynamics."""
    rng = np.random.default_rng(2)
    A = independent_sites((60, 30, 64), PERCOLATION_THRESHOLD[AdjacencyId.ADJ_4N], rng)
    null = null_avalanches(permutation_null(A, rng) for _ in range(10))
    gamma = describe_avalanches(A, Resamples.draw(60, 300, rng)).crackling
    assert gamma.passed
    assert gamma.interval.low < null.gamma.mean < gamma.interval.high


def test_a_planted_process_does_not():
    """Control: gamma of a branching process lies beyond that of its permuted rasters."""
    rng = np.random.default_rng(3)
    A = PLANTED.draw(60, 1.0, rng)
    null = null_avalanches(permutation_null(A, rng) for _ in range(10))
    gamma = describe_avalanches(A, Resamples.draw(60, 300, rng)).crackling
    assert gamma.passed
    assert gamma.interval.low > null.gamma.range[1] > null.gamma.mean


def test_a_draw_without_counts_is_refused():
    """A draw that is no raster of counts is an error."""
    with pytest.raises(ArrayError, match="expected whole numbers"):
        null_avalanches([np.zeros(SHAPE)])
