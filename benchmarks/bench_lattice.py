"""Avalanche tables and null ensembles, as ratios to peers timed in the same run.

Run ``python benchmarks/bench_lattice.py``; ``--only avalanches`` or ``--only nulls`` for one half.
Ours and its peers take turns on the same arrays, and each line gives the median over rounds of the
time of ours divided by the time of the peer: below 1 is faster than the peer. Peers that are not
installed (``pip install connected-components-3d``) are left out by name.
"""

import argparse
import importlib
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.ndimage

from avalattice.canon import AdjacencyId, NullId
from avalattice.lattice.avalanches import avalanches
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import branching_null_ensemble, permutation_null
from avalattice.lattice.percolation import independent_sites

AVALANCHE_SHAPE = (1024, 28, 256)
NULL_SHAPE = (8, 128, 30, 256)
OCCUPANCY = 0.15
REPLICATES = 200
PEER_REPLICATES = 4


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rounds(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each work in each round, after one round that warms up and is not counted."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times


def report(title: str, ours: str, times: dict[str, list[float]]) -> None:
    """Print ours divided by each peer: the median over rounds, and the range."""
    print(title)
    for peer, peer_times in times.items():
        if peer == ours:
            continue
        ratios = [a / b for a, b in zip(times[ours], peer_times, strict=True)]
        low, high = min(ratios), max(ratios)
        print(f"  {statistics.median(ratios):6.3f}  ({low:.3f} to {high:.3f})  × {peer}")


def label_structure(adjacency: AdjacencyId) -> np.ndarray:
    """A structure without a connection across windows."""
    structure = np.zeros((3, 3, 3), int)
    rank = 1 + (adjacency == AdjacencyId.ADJ_8N)
    structure[1] = scipy.ndimage.generate_binary_structure(2, rank)
    return structure


def label_and_boxes(stack: np.ndarray, structure: np.ndarray) -> None:
    """Sizes and bounding boxes as scipy offers them."""
    label, n = scipy.ndimage.label(stack, structure)
    np.bincount(label.ravel(), stack.ravel(), n + 1)
    scipy.ndimage.find_objects(label)


def label_and_reduce(stack: np.ndarray, structure: np.ndarray) -> None:
    """Sizes and bounding boxes by NumPy over the occupied sites."""
    label, n = scipy.ndimage.label(stack, structure)
    sites = np.flatnonzero(label)
    component = label.ravel()[sites]
    np.bincount(component, stack.ravel()[sites], n + 1)
    np.bincount(component, minlength=n + 1)
    row, token = np.divmod(sites, stack.shape[-1])
    window, layer = np.divmod(row, stack.shape[-2])
    for values in (window, layer, token):
        np.minimum.at(np.full(n + 1, values.size), component, values)
    for values in (layer, token):
        np.maximum.at(np.zeros(n + 1, int), component, values)


def cc3d_peers(stack: np.ndarray, adjacency: AdjacencyId) -> dict[str, Callable[[], object]]:
    """connected-components-3d on the windows as one image, an empty row between two of them."""
    try:
        cc3d = importlib.import_module("cc3d")
    except ImportError:
        print("connected-components-3d is not installed: left out")
        return {}
    image = np.pad(stack > 0, ((0, 0), (0, 1), (0, 0))).reshape(-1, stack.shape[-1])
    connectivity = 8 if adjacency == AdjacencyId.ADJ_8N else 4

    def label() -> np.ndarray:
        return cc3d.connected_components(image, connectivity=connectivity)

    return {
        "connected-components-3d, labels alone": label,
        "connected-components-3d, labels and statistics": lambda: cc3d.statistics(
            label(), no_slice_conversion=True
        ),
    }


def avalanche_works(stack: np.ndarray, adjacency: AdjacencyId) -> dict[str, Callable[[], object]]:
    """Our table and its peers."""
    structure = label_structure(adjacency)
    return {
        "avalanches": lambda: avalanches(stack, adjacency),
        "scipy.ndimage.label alone": lambda: scipy.ndimage.label(stack, structure),
        "label, bincount, minimum.at": lambda: label_and_reduce(stack, structure),
        "label, bincount, find_objects": lambda: label_and_boxes(stack, structure),
    } | cc3d_peers(stack, adjacency)


def bench_avalanches(repeats: int) -> None:
    """The avalanche table of counts and of occupancy, under both adjacencies."""
    rng = np.random.default_rng(0)
    X = independent_sites(AVALANCHE_SHAPE, OCCUPANCY, rng)
    A = X * rng.integers(1, 6, X.shape, dtype=np.uint16)
    for adjacency in AdjacencyId:
        for name, stack in (("counts", A), ("occupancy", X)):
            title = f"avalanche table, {AVALANCHE_SHAPE}, p = {OCCUPANCY}, {name}, {adjacency}"
            report(title, "avalanches", rounds(avalanche_works(stack, adjacency), repeats))


def numpy_ensemble(stack: np.ndarray, replicates: int) -> None:
    """What the permutation ensemble does, plainly."""
    rng = np.random.default_rng(1)
    for _ in range(replicates):
        X = permutation_null(stack, rng)
        for edges in (X[..., 1:] & X[..., :-1], X[..., 1:, :] & X[..., :-1, :]):
            np.count_nonzero(edges, axis=(1, 2, 3))


def ensemble(stack: np.ndarray, null_id: NullId) -> None:
    """The ensemble of each condition."""
    rng = np.random.default_rng(1)
    for condition in stack:
        branching_null_ensemble(condition, rng, REPLICATES, null_id)


def bench_nulls(repeats: int) -> None:
    """Ensembles of both nulls and the closed forms, which need none."""
    stack = independent_sites(NULL_SHAPE, OCCUPANCY, np.random.default_rng(0))
    works: dict[str, Callable[[], object]] = {
        "permutation ensemble": lambda: ensemble(stack, NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM),
        "shift ensemble": lambda: ensemble(stack, NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT),
        "closed forms": lambda: [branching_null_exact(condition) for condition in stack],
    }
    peer = f"plain NumPy permutation (timed on {PEER_REPLICATES} replicates)"
    times = rounds(works | {peer: lambda: numpy_ensemble(stack, PEER_REPLICATES)}, repeats)
    times[peer] = [t * REPLICATES / PEER_REPLICATES for t in times[peer]]
    for ours in works:
        title = f"{ours} in place of {REPLICATES} permutations of {NULL_SHAPE}"
        report(title, ours, {name: times[name] for name in (ours, peer)})


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["avalanches", "nulls"])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.only != "nulls":
        bench_avalanches(arguments.repeats)
    if arguments.only != "avalanches":
        bench_nulls(min(arguments.repeats, 3))


if __name__ == "__main__":
    main()
