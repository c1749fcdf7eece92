"""Site percolation: independent sites, the control of every null and of every avalanche.

Sites are occupied independently with probability p. In large windows an avalanche that spans them
appears at p = p_c, where sizes follow a power law, without any dynamics.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import UInt8

from avalattice.canon import AdjacencyId
from avalattice.lattice.avalanches import AvalancheTable
from avalattice.lattice.branching import ratio

PERCOLATION_THRESHOLD: Final = {AdjacencyId.ADJ_4N: 0.592746, AdjacencyId.ADJ_8N: 0.407254}
"""Occupancy p_c at which independent sites percolate (Newman and Ziff 2000,
doi:10.1103/PhysRevLett.85.4104). The two add up to one: occupied sites span the layers through 4N
neighbours unless empty ones part them through 8N neighbours."""

PERCOLATION_SIZE_EXPONENT: Final = 187 / 91
"""Tail exponent of component sizes at p_c in two dimensions (Stauffer and Aharony 1994)."""


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
