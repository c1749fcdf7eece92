"""Avalanche exponents of null draws, beside which those of a condition are printed.

Each draw is a raster of a null, such as the permutation null of
:mod:`avalattice.lattice.nulls`, and is treated as the data are: avalanches, the xmin of its own
tails, gamma. What the draws share with the data (occupancy of every row, and with it the distance
from the percolation threshold) shows in both, and is no evidence.

Rivals of the power law, goodness of fit and windows are left out here: no draw is judged, only
their spread is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from avalattice.arrays import AnyCounts
from avalattice.canon import CONST, AdjacencyId
from avalattice.lattice.avalanches import avalanches
from avalattice.stats.bootstrap import LEVEL
from avalattice.stats.scaling import crackling
from avalattice.stats.tail_samples import Integers, tail_from, unique_sample
from avalattice.stats.tail_scan import best_tail

_CENTRAL: Final = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_TAIL_NEEDED: Final = f": a tail needs {CONST.TAIL_FIT_MIN_TAIL_SAMPLES} avalanches"


@dataclass(frozen=True)
class NullExponent:
    """One exponent of every draw; NaN where a draw leaves it undefined.

    Mean and range are those of the draws that have one, and NaN unless at least half of all do: a
    few draws, those with the most avalanches, are no sample of the null.
    """

    draws: Float[np.ndarray, " R"]
    """In the order of the draws."""
    reason: str
    """Why some or all are NaN; empty where none is."""

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        defined = self._defined
        return float(defined.mean()) if defined.size else math.nan

    @property
    def range(self) -> tuple[float, float]:
        """The central 95 % of the draws."""
        defined = self._defined
        low, high = np.quantile(defined, _CENTRAL) if defined.size else (math.nan, math.nan)
        return float(low), float(high)

    @property
    def _defined(self) -> Float[np.ndarray, " D"]:
        """The draws that have one; nothing where most have none."""
        defined = self.draws[~np.isnan(self.draws)]
        return np.asarray(defined if 2 * defined.size >= self.draws.size else defined[:0])


@dataclass(frozen=True)
class Histogram:
    """How often each value occurs in all draws together."""

    values: Int[np.ndarray, " V"]
    """Values that occur, rising."""
    counts: Int[np.ndarray, " V"]
    """How often."""


@dataclass(frozen=True)
class NullAvalanches:
    """Exponents and distributions of the avalanches of R null draws."""

    n_draws: int
    """R."""
    alpha_size: NullExponent
    """Tail exponent of sizes, xmin scanned in each draw; undefined under
    TAIL_FIT_MIN_TAIL_SAMPLES in the tail, as the data's is not assessable."""
    alpha_span: NullExponent
    """The same of token spans, on [1, T]."""
    gamma: NullExponent
    """Size–duration exponent."""
    sizes: Histogram
    """Sizes of all draws, in events."""
    spans: Histogram
    """Token spans of all draws."""


def null_avalanches(
    draws: Iterable[AnyCounts], adjacency: AdjacencyId | str = AdjacencyId.ADJ_4N
) -> NullAvalanches:
    """Avalanche exponents of null rasters, and their pooled histograms.

    Args:
        draws: null rasters [..., L, T]; looked at one by one, and not kept.
        adjacency: which sites count as neighbours.

    Raises:
        ArrayError: a draw is not an array of counts with axes [..., L, T].
        InputError: no such adjacency.

    >>> from avalattice.lattice.percolation import independent_sites
    >>> rng = np.random.default_rng(1)
    >>> null = null_avalanches(independent_sites((20, 30, 64), 0.4, rng) for _ in range(5))
    >>> null.n_draws, 1 < null.gamma.mean < 2, null.spans.values[0]
    (5, True, np.int64(1))
    """
    exponents: list[tuple[float, float, float]] = []
    sizes, spans = _nothing(), _nothing()
    for draw in draws:
        table = avalanches(draw, adjacency)
        size, span = _histogram(table.size), _histogram(table.span_tokens)
        gamma = crackling(table.size, table.span_tokens).gamma
        exponents.append((_alpha(size, None), _alpha(span, draw.shape[-1]), gamma))
        sizes, spans = _pooled(sizes, size), _pooled(spans, span)
    columns = np.array(exponents, dtype=np.float64).reshape(-1, 3).T
    alpha_size, alpha_span, gamma_column = (
        NullExponent(np.ascontiguousarray(column), _reason(column, needed))
        for column, needed in zip(columns, (_TAIL_NEEDED, _TAIL_NEEDED, ""), strict=True)
    )
    return NullAvalanches(len(exponents), alpha_size, alpha_span, gamma_column, sizes, spans)


def _nothing() -> Histogram:
    return Histogram(np.zeros(0, np.int64), np.zeros(0, np.int64))


def _histogram(column: Integers) -> Histogram:
    values, counts = np.unique(column, return_counts=True)
    return Histogram(values.astype(np.int64), counts.astype(np.int64))


def _pooled(one: Histogram, other: Histogram) -> Histogram:
    values, place = np.unique(np.concatenate([one.values, other.values]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, place, np.concatenate([one.counts, other.counts]))
    return Histogram(values, counts)


def _alpha(histogram: Histogram, xmax: int | None) -> float:
    """The exponent beyond the best xmin; NaN where too few avalanches lie there."""
    if not histogram.values.size:
        return math.nan
    sample = unique_sample(histogram.values, histogram.counts, xmax)
    xmin, alpha, _ = best_tail(sample, None, xmax)
    enough = tail_from(sample, xmin, xmax).n_from[0] >= CONST.TAIL_FIT_MIN_TAIL_SAMPLES
    return alpha if enough else math.nan


def _reason(draws: np.ndarray, needed: str) -> str:
    """How many draws leave an exponent undefined, in words; empty where none does."""
    undefined = int(np.isnan(draws).sum())
    if not draws.size:
        return "no null raster was drawn"
    return f"undefined in {undefined} of {len(draws)} null draws{needed}" if undefined else ""
