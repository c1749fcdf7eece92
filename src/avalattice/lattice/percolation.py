"""Site percolation: independent sites, the control of every null and of every avalanche.

Sites are occupied independently with probability p. In large windows an avalanche that spans them
appears at p = p_c, where sizes follow a power law, without any dynamics. In small windows they do
so near p_c already: wherever the correlation length |p − p_c|^(−4/3) reaches across the shorter
side (finite-size scaling, Stauffer and Aharony 1994, chapter 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt8

from avalattice.arrays import AnyCounts
from avalattice.canon import AdjacencyId
from avalattice.errors import InputError
from avalattice.lattice.avalanches import AvalancheTable
from avalattice.lattice.branching import ratio, windows_of

PERCOLATION_THRESHOLD: Final = {AdjacencyId.ADJ_4N: 0.592746, AdjacencyId.ADJ_8N: 0.407254}
"""Occupancy p_c at which independent sites percolate (Newman and Ziff 2000,
doi:10.1103/PhysRevLett.85.4104). The two add up to one: occupied sites span the layers through 4N
neighbours unless empty ones part them through 8N neighbours."""

PERCOLATION_SIZE_EXPONENT: Final = 187 / 91
"""Tail exponent of component sizes at p_c in two dimensions (Stauffer and Aharony 1994)."""

CORRELATION_LENGTH_EXPONENT: Final = 4 / 3
"""nu of percolation in two dimensions (Stauffer and Aharony 1994)."""


@dataclass(frozen=True)
class PercolationContext:
    """Where a raster's occupancy lies beside the threshold of independent sites."""

    adjacency: AdjacencyId
    """Which sites count as neighbours."""
    occupancy: float
    """p, the share of occupied sites; NaN without windows."""
    occupancy_min: float
    """p of the layer with the fewest."""
    occupancy_max: float
    """p of the layer with the most."""
    threshold: float
    """p_c; of a single row, which percolates only when full, 1."""
    width: float
    """How far from p_c the correlation length still reaches across the lattice: the shorter side
    to the power of −3/4; of a single row, one over its length."""

    @property
    def near(self) -> bool:
        """|p − p_c| ≤ width. Independent sites of that p span 3 to 97 % of square windows."""
        return abs(self.occupancy - self.threshold) <= self.width

    @property
    def straddles(self) -> bool:
        """Some layers lie above p_c and some below."""
        return self.occupancy_min < self.threshold < self.occupancy_max

    @property
    def words(self) -> str:
        """The comparison in a sentence."""
        if np.isnan(self.occupancy):
            return "occupancy is undefined: there are no windows"
        distance = f"{abs(self.occupancy - self.threshold):.3f}"
        side = "below" if self.occupancy < self.threshold else "above"
        place = (
            f"near it: a lattice of this size cannot tell apart what lies within {self.width:.3f}"
            if self.near
            else f"{distance} {side} it"
        )
        split = "; some layers lie above it and some below" if self.straddles else ""
        return (
            f"occupancy is {self.occupancy:.3f}, from {self.occupancy_min:.3f} to "
            f"{self.occupancy_max:.3f} over layers; independent sites percolate at "
            f"{self.threshold:.3f} under {self.adjacency}, and the occupancy is {place}{split}"
        )


def percolation_context(
    A: AnyCounts, adjacency: AdjacencyId | str = AdjacencyId.ADJ_4N
) -> PercolationContext:
    """Occupancy of one condition beside the percolation threshold.

    Args:
        A: event counts or occupancy [N, L, T], or [L, T].
        adjacency: which sites count as neighbours.

    Raises:
        ArrayError: ``A`` has other axes, say those of several conditions.
        InputError: no such adjacency.

    >>> context = percolation_context(np.eye(64, dtype=int))
    >>> context.occupancy, context.near, round(context.width, 3)
    (0.015625, False, 0.044)
    """
    if adjacency not in PERCOLATION_THRESHOLD:
        allowed = ", ".join(PERCOLATION_THRESHOLD)
        raise InputError(f"adjacency {adjacency!r} is unknown: choose one of {allowed}")
    X = windows_of(A) > 0
    n_windows, *sides = X.shape
    layers = ratio(X.sum(axis=(0, 2)), np.full(sides[0], n_windows * sides[1]))
    threshold, width = _threshold_and_width(AdjacencyId(adjacency), *sorted(sides))
    return PercolationContext(
        adjacency=AdjacencyId(adjacency),
        occupancy=float(layers.mean()),
        occupancy_min=float(layers.min()),
        occupancy_max=float(layers.max()),
        threshold=threshold,
        width=width,
    )


def _threshold_and_width(adjacency: AdjacencyId, shorter: int, longer: int) -> tuple[float, float]:
    if shorter == 1:  # one dimension: p_c = 1, nu = 1
        return 1.0, 1 / longer
    return PERCOLATION_THRESHOLD[adjacency], float(shorter ** (-1 / CORRELATION_LENGTH_EXPONENT))


def independent_sites(
    shape: tuple[int, ...], occupancy: float, rng: np.random.Generator
) -> UInt8[np.ndarray, ...]:
    """The raster of site percolation: sites occupied independently.

    Args:
        shape: [..., L, T].
        occupancy: p, the probability that a site is occupied.
        rng: the stream to draw from.
    """
    return (rng.random(shape) < occupancy).astype(np.uint8)


def spanning_fraction(table: AvalancheTable) -> float:
    """The share of windows in which one avalanche reaches from the first layer to the last.

    For independent sites in large square windows it passes from 0 to 1 at
    :data:`PERCOLATION_THRESHOLD`, where it is one half. NaN if there are no windows.
    """
    spanning = table.window[table.span_layers == table.stack_shape[-2]]
    return float(ratio(len(np.unique(spanning)), table.n_windows))
