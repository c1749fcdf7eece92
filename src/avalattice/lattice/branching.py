"""Branching ratios of occupancy rasters, pooled over windows; only edges that exist count.

    b_time  = Σ X[t]·X[t+1] / Σ_{t<T−1} X[t]
    b_depth = Σ X[l]·X[l+1] / Σ_{l<L−1} X[l]
    b_tot   = b_time + b_depth

On counts, descendants per ancestor event: Σ X[t]·A[t+1] / Σ_{t<T−1} A[t], and likewise in depth.
With ``denominator="all_sites"`` both sums are divided by Σ X (or Σ A), for comparison with tables
published that way. Independent sites of occupancy p have b_time = b_depth = p, so b_tot near one
means nothing by itself: print it beside p and beside a null model.

Everything is a ratio of sums over windows. The sums per window are :class:`EdgeSums`; any interval
or subset is computed from those alone. A ratio without ancestors is NaN, with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from avalattice.arrays import AnyCounts, check_counts
from avalattice.errors import ArrayError

Denominator: TypeAlias = Literal["valid_edges", "all_sites"]

SUM_NAMES = (
    "sites",
    "events",
    "time_pairs",
    "time_ancestors",
    "depth_pairs",
    "depth_ancestors",
    "time_descendants",
    "time_ancestor_events",
    "depth_descendants",
    "depth_ancestor_events",
)
"""The sums of :class:`EdgeSums`, in the order of its last axis."""
_AT = {name: column for column, name in enumerate(SUM_NAMES)}


@dataclass(frozen=True)
class EdgeSums:
    """Sums over the sites and edges of each layer of each window."""

    values: Int64[np.ndarray, "*stack L S"]
    """Sums, S in the order of :data:`SUM_NAMES`. Depth edges count for their upper-left layer l,
    so those of the last layer are zero."""

    @property
    def windows(self) -> Int64[np.ndarray, "*stack S"]:
        """Summed over layers."""
        return np.asarray(self.values.sum(axis=-2))


class Edges(NamedTuple):
    """Which edges of a stack [..., L, T] are occupied at both ends, and which at their first."""

    time_pairs: Bool[np.ndarray, "*stack L T-1"]
    time_ancestors: Bool[np.ndarray, "*stack L T-1"]
    depth_pairs: Bool[np.ndarray, "*stack L-1 T"]
    depth_ancestors: Bool[np.ndarray, "*stack L-1 T"]

    @classmethod
    def of(cls, X: Bool[np.ndarray, "*stack L T"]) -> Edges:
        """The edges of occupied sites."""
        along, up = X[..., :-1], X[..., :-1, :]
        return cls(along & X[..., 1:], along, up & X[..., 1:, :], up)

    def counts(self) -> tuple[int, int, int, int]:
        """How many of each there are in the whole stack."""
        pairs, ancestors, depth_pairs, depth_ancestors = map(np.count_nonzero, self)
        return int(pairs), int(ancestors), int(depth_pairs), int(depth_ancestors)


def windows_of(A: np.ndarray) -> Integer[np.ndarray, "N L T"] | Bool[np.ndarray, "N L T"]:
    """The raster of one condition, [L, T] or [N, L, T], as [N, L, T].

    Raises:
        ArrayError: no whole numbers, or other axes, say those of several conditions.
    """
    check_counts("A", A)
    if A.ndim > 3:
        raise ArrayError(
            f"A: expected axes [N, L, T] of one condition, found shape {A.shape}: "
            "edges are pooled over windows, never over conditions; pass one condition at a time"
        )
    return A.reshape(-1, *A.shape[-2:])


def edge_sums(A: AnyCounts) -> EdgeSums:
    """The sums of a stack of rasters, A [..., L, T] of counts or occupancies.

    Raises:
        ArrayError: fewer than two axes, or no integers.
    """
    A = np.asarray(A)
    if A.ndim < 2 or not (np.issubdtype(A.dtype, np.integer) or A.dtype == bool):
        raise ArrayError(f"A must hold integers [..., L, T], found {A.dtype} of shape {A.shape}")
    X = A > 0
    sums = np.zeros((*A.shape[:-1], len(SUM_NAMES)), dtype=np.int64)
    edges = Edges.of(X)

    def add(name: str, terms: np.ndarray) -> None:
        sums[..., : terms.shape[-2], _AT[name]] = terms.sum(axis=-1, dtype=np.int64)

    add("sites", X)
    add("events", A)
    for name, occupied in edges._asdict().items():
        add(name, occupied)
    add("time_descendants", edges.time_ancestors * A[..., 1:])
    add("time_ancestor_events", A[..., :-1])
    add("depth_descendants", edges.depth_ancestors * A[..., 1:, :])
    add("depth_ancestor_events", A[..., :-1, :])
    return EdgeSums(sums)


@dataclass(frozen=True)
class Branching:
    """Branching ratios; arrays where the sums had leading axes."""

    b_time: Float64[np.ndarray, "*stack"]
    """Along tokens."""
    b_depth: Float64[np.ndarray, "*stack"]
    """Along layers."""
    b_time_count: Float64[np.ndarray, "*stack"]
    """Descendant sites' events per ancestor event, along tokens."""
    b_depth_count: Float64[np.ndarray, "*stack"]
    """The same along layers."""

    @property
    def b_tot(self) -> Float64[np.ndarray, "*stack"]:
        """b_time + b_depth."""
        return np.asarray(self.b_time + self.b_depth)

    @property
    def b_tot_count(self) -> Float64[np.ndarray, "*stack"]:
        """b_time_count + b_depth_count."""
        return np.asarray(self.b_time_count + self.b_depth_count)

    @property
    def reason(self) -> str | None:
        """Why ratios are NaN, if any is."""
        undefined = [n for n in ("b_time", "b_depth") if np.isnan(getattr(self, n)).any()]
        return f"{' and '.join(undefined)}: no occupied site has a successor" if undefined else None


def ratio(numerator: np.ndarray | float | int, denominator: np.ndarray | float | int) -> np.ndarray:
    """Numerator over denominator, in float64; NaN where that is not above zero."""
    nothing = np.full(np.shape(denominator), np.nan)
    with_ancestors = np.asarray(denominator) > 0
    return np.asarray(np.divide(numerator, denominator, out=nothing, where=with_ancestors))


def branching_from_sums(sums: np.ndarray, *, denominator: Denominator = "valid_edges") -> Branching:
    """Branching ratios from sums [..., S] that are already pooled over windows and layers.

    Args:
        sums: in the order of :data:`SUM_NAMES`; bootstrap replicates may be weighted sums.
        denominator: sites that have a successor, or all sites.
    """

    def pooled(pairs: str, ancestors: str, everything: str) -> np.ndarray:
        below = ancestors if denominator == "valid_edges" else everything
        return ratio(sums[..., _AT[pairs]], sums[..., _AT[below]])

    return Branching(
        b_time=pooled("time_pairs", "time_ancestors", "sites"),
        b_depth=pooled("depth_pairs", "depth_ancestors", "sites"),
        b_time_count=pooled("time_descendants", "time_ancestor_events", "events"),
        b_depth_count=pooled("depth_descendants", "depth_ancestor_events", "events"),
    )


def branching(A: AnyCounts, *, denominator: Denominator = "valid_edges") -> Branching:
    """Branching ratios of a stack of rasters [..., L, T], pooled over all windows.

    >>> X = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
    >>> pooled = branching(X)
    >>> float(pooled.b_time), float(pooled.b_depth)
    (0.3333333333333333, 0.5)
    """
    windows = edge_sums(A).windows
    pooled = windows.reshape(-1, windows.shape[-1]).sum(axis=0)
    return branching_from_sums(pooled, denominator=denominator)
