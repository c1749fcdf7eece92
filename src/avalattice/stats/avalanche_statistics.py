"""Avalanche statistics of one condition: what T01 describes, and what T04 and T05 fit.

A condition is a raster of counts [N, L, T] over N windows. :func:`describe_avalanches` gives
numbers, means and the size–duration exponent gamma. :func:`fit_avalanches` adds to the same table
of avalanches the tails of sizes S (support without bound) and of token spans D (support [1, T]),
the scaling relation between the three exponents, and the collapse of the mean profiles. Definitions
and references stand in :mod:`avalattice.lattice.avalanches`, :mod:`~avalattice.stats.tails`,
:mod:`~avalattice.stats.scaling` and :mod:`~avalattice.stats.profiles`.

All intervals resample windows together, thus are paired, and keep what was chosen on the data: xmin
and the set of spans. None of it shows criticality by itself. It is to be read beside null draws
(:mod:`avalattice.stats.avalanche_nulls`) and beside the percolation threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from avalattice.arrays import AnyCounts
from avalattice.canon import AdjacencyId
from avalattice.errors import ArrayError
from avalattice.lattice.avalanches import AvalancheTable, avalanches, labels
from avalattice.lattice.branching import windows_of
from avalattice.stats.bootstrap import Interval, Resamples
from avalattice.stats.profiles import (
    ProfileCollapse,
    avalanche_profiles,
    mean_profiles,
    profile_collapse,
)
from avalattice.stats.scaling import Crackling, ExponentRelation, crackling, exponent_relation
from avalattice.stats.tail_samples import Integers
from avalattice.stats.tail_windows import alpha_window_interval, tail_sums_by_window
from avalattice.stats.tails import TailFit, fit_tail

NO_AVALANCHE: Final = "no site is occupied, so there is no avalanche"


@dataclass(frozen=True)
class AvalancheDescription:
    """The avalanches of one condition, with their numbers, means and gamma."""

    table: AvalancheTable
    """One row per avalanche."""
    adjacency: AdjacencyId
    """Which sites count as neighbours."""
    n_avalanches: int
    """Avalanches in all windows."""
    size_mean: float
    """Mean size, in events; NaN without avalanches, as are the next five."""
    size_median: float
    """Median size, in events."""
    size_max: float
    """Size of the largest, in events."""
    largest_share: float
    """Share of all events that belong to the largest avalanche of their window: near one where a
    giant component swallows the rest."""
    span_tokens_mean: float
    """Mean token span D."""
    span_layers_mean: float
    """Mean layer span H."""
    border_share: float
    """Share of avalanches that touch the lattice border; NaN without avalanches. The share of
    events in them is ``crackling.border_event_share``."""
    crackling: Crackling
    """gamma, without border avalanches too, and its gates."""
    few_windows: bool
    """Intervals rest on fewer than FEW_WINDOWS windows, and cover less than they say."""
    reason: str
    """Why means are NaN; empty where they are not."""


@dataclass(frozen=True)
class WindowTail:
    """A tail fit, and the interval of its exponent over windows."""

    fit: TailFit
    """The fit and its rivals."""
    alpha_interval: Interval
    """Percentile interval of alpha over windows, xmin kept: the one to quote."""
    few_windows: bool
    """It rests on fewer than FEW_WINDOWS windows, and covers less than it says."""


@dataclass(frozen=True)
class AvalancheStatistics:
    """Everything that is fitted to the avalanches of one condition."""

    description: AvalancheDescription
    """Numbers, means and gamma."""
    size_tail: WindowTail
    """Tail of sizes, of unbounded support."""
    span_tail: WindowTail
    """Tail of token spans, on a support that ends at T."""
    relation: ExponentRelation
    """Measured against predicted gamma."""
    profiles: Mapping[int, Float[np.ndarray, " D"]]
    """Mean profile of each span D, events per token."""
    collapse: ProfileCollapse
    """The profiles rescaled with gamma: error and skewness."""

    @property
    def crackling(self) -> Crackling:
        """The description's gamma."""
        return self.description.crackling


def describe_avalanches(
    A: AnyCounts, resamples: Resamples, adjacency: AdjacencyId | str = AdjacencyId.ADJ_4N
) -> AvalancheDescription:
    """Numbers, means and the size–duration exponent of one condition's avalanches.

    Args:
        A: event counts [N, L, T] of one condition, or [L, T].
        resamples: of the N windows.
        adjacency: which sites count as neighbours.

    Raises:
        ArrayError: ``A`` has other axes, or the resamples are of another number of windows.
        InputError: no such adjacency.

    >>> A = np.zeros((2, 3, 4), np.uint16)
    >>> A[0, 1, 1], A[0, 1, 2], A[1, 2, 2] = 1, 4, 1
    >>> found = describe_avalanches(A, Resamples.draw(2, 10, np.random.default_rng(1)))
    >>> found.n_avalanches, found.size_mean, found.span_tokens_mean, found.border_share
    (2, 3.0, 1.5, 0.5)
    """
    windows = _windows(A, resamples)
    table = avalanches(windows, adjacency)
    some = len(table) > 0
    return AvalancheDescription(
        table=table,
        adjacency=AdjacencyId(adjacency),
        n_avalanches=len(table),
        size_mean=_mean(table.size),
        size_median=float(np.median(table.size)) if some else math.nan,
        size_max=float(table.size.max()) if some else math.nan,
        largest_share=_largest_share(table),
        span_tokens_mean=_mean(table.span_tokens),
        span_layers_mean=_mean(table.span_layers),
        border_share=_mean(table.touches_border),
        crackling=crackling(
            table.size,
            table.span_tokens,
            window=table.window,
            touches_border=table.touches_border,
            resamples=resamples,
        ),
        few_windows=resamples.few_windows,
        reason="" if some else NO_AVALANCHE,
    )


def fit_avalanches(
    A: AnyCounts,
    described: AvalancheDescription,
    resamples: Resamples,
    *,
    gof_reps: int = 0,
    rng: np.random.Generator | None = None,
) -> AvalancheStatistics:
    """Tails, scaling relation and profile collapse of avalanches that have been described.

    Args:
        A: the event counts that were described.
        described: their description.
        resamples: those of the description.
        gof_reps: replicates of the bootstrap of each KS distance; none by default.
        rng: the generator that it draws from, for sizes and then for spans.

    Raises:
        ArrayError: the table is of a raster of another shape, or the resamples are of another
            number of windows.
        InputError: a bootstrap is wanted without a generator.
    """
    windows, table = _windows(A, resamples), described.table
    if table.stack_shape != windows.shape:
        raise ArrayError(f"A: the table is of shape {table.stack_shape}, found {windows.shape}")
    n_tokens = windows.shape[-1]
    size = _tail(table.size, table, resamples, None, gof_reps, rng)
    span = _tail(table.span_tokens, table, resamples, n_tokens, gof_reps, rng)
    relation = exponent_relation(
        table.size,
        table.span_tokens,
        table.window,
        resamples,
        size_fit=size.fit,
        duration_fit=span.fit,
    )
    profiles = mean_profiles(avalanche_profiles(windows, _stack_labels(windows, described)))
    collapse = profile_collapse(profiles, described.crackling.gamma)
    return AvalancheStatistics(described, size, span, relation, profiles, collapse)


def _windows(A: AnyCounts, resamples: Resamples) -> AnyCounts:
    """The raster as [N, L, T], of as many windows as were resampled."""
    windows = windows_of(A)
    if len(windows) != resamples.n_windows:
        raise ArrayError(f"A: resamples of {resamples.n_windows} windows, found {len(windows)}")
    return windows


def _mean(column: Integers) -> float:
    """NaN of nothing."""
    return float(column.mean()) if column.size else math.nan


def _largest_share(table: AvalancheTable) -> float:
    """Events of each window's largest avalanche over all events; NaN without any."""
    if not len(table):
        return math.nan
    largest = np.zeros(table.n_windows, np.int64)
    np.maximum.at(largest, table.window, table.size)
    return float(largest.sum() / table.size.sum())


def _tail(
    values: Integers,
    table: AvalancheTable,
    resamples: Resamples,
    xmax: int | None,
    gof_reps: int,
    rng: np.random.Generator | None,
) -> WindowTail:
    """The fit of one variable, and alpha's interval over windows; NaN where alpha is."""
    fit = fit_tail(values, xmax=xmax, gof_reps=gof_reps, rng=rng)
    if fit.xmin is None or math.isnan(fit.alpha):
        undefined = np.asarray(math.nan)
        return WindowTail(fit, Interval(undefined, undefined), resamples.few_windows)
    sums = tail_sums_by_window(values, table.window, n_windows=table.n_windows, xmin=fit.xmin)
    interval = alpha_window_interval(*sums, resamples, xmin=fit.xmin, xmax=xmax)
    return WindowTail(fit, interval, resamples.few_windows)


def _stack_labels(windows: AnyCounts, described: AvalancheDescription) -> np.ndarray:
    """Which row of the table each site belongs to, from 1 on; 0 where it is empty."""
    before = np.cumsum(described.table.components_per_window())
    first = np.concatenate([[0], before[:-1]])[:, np.newaxis, np.newaxis]
    painted = labels(windows, described.adjacency)
    return np.where(painted > 0, painted + first, 0)
