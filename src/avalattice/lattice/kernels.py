"""Compiled inner loops of the avalanche table.

Importing this module imports numba, so its users do that on first use. Every loop runs on one
thread: a result depends on neither threads nor numba.

Components follow the run-based two-scan labelling of He, Chao and Suzuki (2008, IEEE Transactions
on Image Processing 17, 749): each row is cut into runs of occupied sites, and union–find joins the
runs of neighbouring rows. The smaller root wins, so that a component's root is its first run in
raster order. Mispredicted branches cost more than anything else here: hence a scan without any, and
the runs that a run touches looked up instead of searched for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """The function as machine code, kept on disk where some cache folder can be written."""
    plain = inspect.unwrap(function)  # run-time type checkers wrap what numba must read
    try:
        return cast("_Function", numba.njit(cache=True)(plain))
    except RuntimeError:  # neither the package's folder nor the user's cache is writable
        return cast("_Function", numba.njit(plain))


class Runs(NamedTuple):
    """Runs of occupied sites of one window, in raster order; R is the most that a window holds."""

    begin: np.ndarray
    """int32 [R], first token."""
    end: np.ndarray
    """int32 [R], token after the last."""
    layer: np.ndarray
    """int32 [R]."""
    events: np.ndarray
    """int64 [R], events in the run."""
    parent: np.ndarray
    """int32 [R], a run of the same component that is not later; a root is its own parent."""
    component: np.ndarray
    """int32 [R], of a root: where its component stands."""


class Edges(NamedTuple):
    """Where occupancy changes along one row; T is the number of tokens."""

    position: np.ndarray
    """int32 [T + 1], tokens at which runs begin and end, alternating."""
    events: np.ndarray
    """int64 [T + 1], events before that token."""
    up_to: np.ndarray
    """int32 [2, T + 2], at i the edges at tokens before i, of a row and of the next, in turn."""


class Columns(NamedTuple):
    """Columns of the table under construction; ``AvalancheTable`` says what they mean."""

    window: np.ndarray
    avalanche_id: np.ndarray
    size: np.ndarray
    n_sites: np.ndarray
    span_tokens: np.ndarray
    span_layers: np.ndarray
    t_min: np.ndarray
    t_max: np.ndarray
    l_min: np.ndarray
    l_max: np.ndarray
    touches_border: np.ndarray


@compiled
def new_runs(n_layers: int, n_tokens: int) -> Runs:
    """Room for every run that a window of this shape can hold."""
    room = n_layers * ((n_tokens + 1) // 2)
    return Runs(
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
        np.empty(room, np.int64),
        np.empty(room, np.int32),
        np.empty(room, np.int32),
    )


@compiled
def new_edges(n_tokens: int) -> Edges:
    """Room for the edges of a row."""
    return Edges(
        np.empty(n_tokens + 1, np.int32),
        np.empty(n_tokens + 1, np.int64),
        np.empty((2, n_tokens + 2), np.int32),
    )


@compiled
def find_root(parent: np.ndarray, run: int) -> int:
    """The component's first run; halves the path on its way."""
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@compiled
def find_edges(row: np.ndarray, edges: Edges, up_to: np.ndarray) -> int:
    """Find the edges of a row; their number.

    Each site writes an edge, and the next one overwrites it unless occupancy changed: no branch.
    """
    n, inside, events = 0, False, 0
    up_to[0] = 0
    for t in range(row.size):
        occupied = row[t] != 0
        edges.position[n] = t
        edges.events[n] = events
        n += occupied != inside
        inside = occupied
        events += row[t]
        up_to[t + 1] = n
    edges.position[n] = row.size
    edges.events[n] = events
    n += inside
    up_to[row.size + 1] = n
    return n


@compiled
def join_touching(runs: Runs, run: int, first: int, last: int) -> None:
    """Join a new run with the runs from ``first`` to before ``last``, which touch it."""
    root = run
    for touching in range(first, last):
        other = find_root(runs.parent, touching)
        smaller = min(root, other)
        runs.parent[max(root, other)] = smaller
        root = smaller
    runs.parent[run] = root


@compiled
def find_runs(window: np.ndarray, reach: int, runs: Runs, edges: Edges) -> int:
    """Find the runs of a window and join those that touch; their number.

    ``reach`` is 1 if sites touch across a corner, else 0. A run touches those of the last row that
    end after ``begin − reach`` and begin before ``end + reach``; as runs begin and end in turn,
    counts of edges say which these are.
    """
    n, first_of_last_row = 0, 0
    edges.up_to[1, :] = 0
    for layer in range(window.shape[0]):
        here, last_row = edges.up_to[layer % 2], edges.up_to[(layer + 1) % 2]
        first_of_row = n
        for edge in range(0, find_edges(window[layer], edges, here), 2):
            begin, end = edges.position[edge], edges.position[edge + 1]
            runs.begin[n], runs.end[n], runs.layer[n] = begin, end, layer
            runs.events[n] = edges.events[edge + 1] - edges.events[edge]
            runs.parent[n] = n
            first = last_row[begin - reach + 1] // 2
            last = (last_row[end + reach] + 1) // 2
            join_touching(runs, n, first_of_last_row + first, first_of_last_row + last)
            n += 1
        first_of_last_row = first_of_row
    return n


@compiled
def open_row(table: Columns, row: int, runs: Runs, run: int) -> None:
    """Start a component with its first run."""
    table.size[row] = runs.events[run]
    table.n_sites[row] = runs.end[run] - runs.begin[run]
    table.t_min[row] = runs.begin[run]
    table.t_max[row] = runs.end[run] - 1
    table.l_min[row] = runs.layer[run]
    table.l_max[row] = runs.layer[run]


@compiled
def extend_row(table: Columns, row: int, runs: Runs, run: int) -> None:
    """Add a later run to a component."""
    table.size[row] += runs.events[run]
    table.n_sites[row] += runs.end[run] - runs.begin[run]
    table.t_min[row] = min(table.t_min[row], runs.begin[run])
    table.t_max[row] = max(table.t_max[row], runs.end[run] - 1)
    table.l_max[row] = runs.layer[run]


@compiled
def close_row(table: Columns, row: int, n_layers: int, n_tokens: int) -> None:
    """Fill in what follows from a component's bounding box."""
    table.span_tokens[row] = table.t_max[row] - table.t_min[row] + 1
    table.span_layers[row] = table.l_max[row] - table.l_min[row] + 1
    table.touches_border[row] = (
        (table.t_min[row] == 0)
        | (table.t_max[row] == n_tokens - 1)
        | (table.l_min[row] == 0)
        | (table.l_max[row] == n_layers - 1)
    )


@compiled
def add_window(runs: Runs, n_runs: int, table: Columns, first: int) -> int:
    """Append a window's components from row ``first`` on; the row after the last."""
    row = first
    for run in range(n_runs):
        root = find_root(runs.parent, run)
        if root == run:
            runs.component[run] = row
            open_row(table, row, runs, run)
            row += 1
        else:
            extend_row(table, runs.component[root], runs, run)
    return row


@compiled
def tabulate(stack: np.ndarray, reach: int, table: Columns) -> int:
    """Fill the table with the components of a stack [N, L, T]; the number of rows."""
    n_windows, n_layers, n_tokens = stack.shape
    runs, edges = new_runs(n_layers, n_tokens), new_edges(n_tokens)
    rows = 0
    for window in range(n_windows):
        first = rows
        rows = add_window(runs, find_runs(stack[window], reach, runs, edges), table, first)
        for row in range(first, rows):
            table.window[row] = window
            table.avalanche_id[row] = row - first
            close_row(table, row, n_layers, n_tokens)
    return rows


@compiled
def paint(stack: np.ndarray, reach: int, labels: np.ndarray) -> None:
    """Write 1 + avalanche_id at the occupied sites of a stack [N, L, T]; other sites stay."""
    n_windows, n_layers, n_tokens = stack.shape
    runs, edges = new_runs(n_layers, n_tokens), new_edges(n_tokens)
    for window in range(n_windows):
        components = 0
        for run in range(find_runs(stack[window], reach, runs, edges)):
            root = find_root(runs.parent, run)
            if root == run:
                components += 1
                runs.component[run] = components
            begin, end = runs.begin[run], runs.end[run]
            labels[window, runs.layer[run], begin:end] = runs.component[root]
