"""Avalanches: connected components of occupied lattice sites.

An avalanche is a maximal set of sites with X = (A > 0) = 1 of one window that is connected under
an adjacency: ADJ_4N joins sites that differ by one token or by one layer, ADJ_8N also those that
differ by one of each. Its size is S = ΣA over its sites, its token span D = t_max − t_min + 1, its
layer span H = l_max − l_min + 1. Tokens and layers count from zero. (After Beggs and Plenz 2003,
doi:10.1523/JNEUROSCI.23-35-11167.2003, whose avalanches are runs of non-empty time bins.)

Neither axis is periodic, and windows never join. Components under other neighbourhoods, or in more
than two dimensions, are not handled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Int32, Int64, Integer

from avalattice.arrays import AnyCounts, check_counts
from avalattice.canon import CONST, AdjacencyId
from avalattice.errors import ArrayError, InputError

_REACH = {AdjacencyId.ADJ_4N: 0, AdjacencyId.ADJ_8N: 1}
_DTYPES = {"size": np.int64, "touches_border": np.bool_}


@dataclass(frozen=True)
class AvalancheTable:
    """One row per avalanche, by window and then by first site in raster order (layer, token).

    K is the number of avalanches.
    """

    window: Int32[np.ndarray, " K"]
    """Flat index into the leading axes of the stack."""
    avalanche_id: Int32[np.ndarray, " K"]
    """0, 1, … within each window."""
    size: Int64[np.ndarray, " K"]
    """S = ΣA, in events; of an occupancy raster, in sites."""
    n_sites: Int32[np.ndarray, " K"]
    """Occupied sites."""
    span_tokens: Int32[np.ndarray, " K"]
    """D = t_max − t_min + 1."""
    span_layers: Int32[np.ndarray, " K"]
    """H = l_max − l_min + 1."""
    t_min: Int32[np.ndarray, " K"]
    """First token."""
    t_max: Int32[np.ndarray, " K"]
    """Last token."""
    l_min: Int32[np.ndarray, " K"]
    """Lowest layer."""
    l_max: Int32[np.ndarray, " K"]
    """Highest layer."""
    touches_border: Bool[np.ndarray, " K"]
    """Whether a site lies at the first or last token or layer."""
    stack_shape: tuple[int, ...]
    """Shape [..., L, T] of the stack that was searched."""

    def __len__(self) -> int:
        """The number of avalanches."""
        return len(self.window)

    @property
    def n_windows(self) -> int:
        """Windows that were searched, those without an avalanche included."""
        return math.prod(self.stack_shape[:-2])

    @property
    def cond(self) -> Int64[np.ndarray, " K"]:
        """Each avalanche's index along C, of a stack [C, N, L, T].

        Raises:
            ArrayError: the stack had other axes.
        """
        return self._unravelled(0)

    @property
    def seq(self) -> Int64[np.ndarray, " K"]:
        """Each avalanche's index along N, of a stack [C, N, L, T].

        Raises:
            ArrayError: the stack had other axes.
        """
        return self._unravelled(1)

    def _unravelled(self, axis: int) -> Int64[np.ndarray, " K"]:
        if len(self.stack_shape) != 4:  # C, N, L, T
            raise ArrayError(
                "cond and seq need a stack [C, N, L, T], this table is of a stack of shape "
                f"{self.stack_shape}: use window instead"
            )
        return np.unravel_index(self.window, self.stack_shape[:2])[axis].astype(np.int64)

    def components_per_window(self) -> Int64[np.ndarray, " W"]:
        """The number of avalanches in each window."""
        return np.bincount(self.window, minlength=self.n_windows).astype(np.int64)


def avalanches(A: AnyCounts, adjacency: AdjacencyId | str = AdjacencyId.ADJ_4N) -> AvalancheTable:
    """Every avalanche of a stack of rasters.

    Args:
        A: event counts [..., L, T], or occupancy, of which sizes are numbers of sites.
        adjacency: which sites count as neighbours.

    Returns:
        the table; empty where no site is occupied.

    Raises:
        ArrayError: ``A`` is not an array of counts with axes [..., L, T].
        InputError: no such adjacency.

    >>> A = np.zeros((3, 4), np.uint16)
    >>> A[1, 1], A[1, 2], A[2, 2] = 1, 5, 1
    >>> table = avalanches(A)
    >>> table.size, table.n_sites, table.span_tokens, table.span_layers
    (array([7]), array([3], dtype=int32), array([2], dtype=int32), array([2], dtype=int32))
    """
    from avalattice.lattice import kernels  # brings numba, which is slow to import

    stack = _counts("A", A)
    columns = kernels.Columns(**_empty_columns(stack))
    rows = kernels.tabulate(stack, _reach(adjacency), columns)
    filled = {name: column[:rows] for name, column in columns._asdict().items()}
    return AvalancheTable(**filled, stack_shape=A.shape)


def labels(
    X: AnyCounts, adjacency: AdjacencyId | str = AdjacencyId.ADJ_4N
) -> Int32[np.ndarray, "*stack L T"]:
    """Which avalanche each site belongs to: 1 + avalanche_id, or 0 where the site is empty.

    Args:
        X: occupancy or event counts [..., L, T].
        adjacency: which sites count as neighbours.

    Raises:
        ArrayError: ``X`` is not an array of counts with axes [..., L, T].
        InputError: no such adjacency.

    >>> labels(np.array([[1, 0, 1], [1, 0, 0]]))
    array([[1, 0, 2],
           [1, 0, 0]], dtype=int32)
    """
    from avalattice.lattice import kernels  # brings numba, which is slow to import

    stack = _counts("X", X)
    painted = np.zeros(stack.shape, np.int32)
    kernels.paint(stack, _reach(adjacency), painted)
    return painted.reshape(X.shape)


def check_component_count(
    table: AvalancheTable, limit: int = CONST.CC_MAX_COMPONENTS_PER_SEQ_HARDFAIL
) -> None:
    """Refuse a table with too many avalanches in one window.

    Raises:
        ArrayError: naming the first such window, and the remedy.
    """
    components = table.components_per_window()
    over = np.flatnonzero(components > limit)
    if len(over):
        place = [int(i) for i in np.unravel_index(over[0], table.stack_shape[:-2] or (1,))]
        raise ArrayError(
            f"window {place} of a stack of shape {table.stack_shape} has {components[over[0]]} "
            f"avalanches, more than the {limit} that are allowed ({len(over)} such windows): "
            "lower the target rate, or shorten the windows"
        )


def _reach(adjacency: AdjacencyId | str) -> int:
    """How far beyond its own tokens a run of sites touches the next layer."""
    if adjacency not in _REACH:
        allowed = ", ".join(_REACH)
        raise InputError(f"adjacency {adjacency!r} is unknown: choose one of {allowed}")
    return _REACH[AdjacencyId(adjacency)]


def _counts(name: str, counts: np.ndarray) -> Integer[np.ndarray, "N L T"]:
    """The stack as [N, L, T] in one of three integer types, so that few kernels are compiled."""
    check_counts(name, counts)
    if counts.dtype.kind == "i" and counts.size and counts.min() < 0:
        raise ArrayError(f"{name}: counts must not be negative, found {counts.min()}")
    narrow = {"b1": np.uint8, "u1": np.uint8, "u2": np.uint16}
    dtype = narrow.get(counts.dtype.str[1:], np.int64)
    return np.ascontiguousarray(counts, dtype).reshape(-1, *counts.shape[-2:])


def _empty_columns(stack: Integer[np.ndarray, "N L T"]) -> dict[str, np.ndarray]:
    """Columns with room for every avalanche that a stack [N, L, T] can hold, by name.

    No more than half of a window's sites can be avalanches; pages that stay empty cost nothing.
    """
    n_windows, n_layers, n_tokens = stack.shape
    most = n_windows * ((n_layers * n_tokens + 1) // 2)
    room = min(int(np.count_nonzero(stack)), most)
    return {
        column.name: np.empty(room, _DTYPES.get(column.name, np.int32))
        for column in fields(AvalancheTable)
        if column.name != "stack_shape"
    }
