"""Write simulated counts that ``avalattice analyze`` reads, each with a known answer.

    python examples/make_rasters.py FOLDER [--windows 64] [--seed 1]
    avalattice analyze FOLDER/branching.npz

branching.npz    a branching process: events have 0.35 descendants at the next token and 0.5 in the
                 next layer on average, and neighbours share ancestors beside that
percolation.npz  independent sites at the percolation threshold: broad tails without any dynamics
planted.npz      a curve of 11 gains whose b_tot passes one at a gain that is known
shuffled.npz     its control: in each window, the same counts under gains in another order
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from planted_gstar import GAINS, PLANTED

import avalattice as av
from avalattice.canon import AdjacencyId
from avalattice.lattice.percolation import PERCOLATION_THRESHOLD, independent_sites
from avalattice.rng import stream

N_LAYERS, N_TOKENS = 30, 256


def main() -> None:
    """Write the four files, and say what is known of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    shape = (arguments.windows, N_LAYERS, N_TOKENS)

    process = av.branching_raster(shape, 0.35, 0.5, 0.02, stream(arguments.seed, "branching"))
    np.savez_compressed(arguments.folder / "branching.npz", A=process)

    threshold = PERCOLATION_THRESHOLD[AdjacencyId.ADJ_4N]
    sites = independent_sites(shape, threshold, stream(arguments.seed, "percolation"))
    np.savez_compressed(arguments.folder / "percolation.npz", X=sites)

    rng = stream(arguments.seed, "planted")
    curve = np.stack([PLANTED.draw(arguments.windows, float(gain), rng) for gain in GAINS])
    gains = np.array([float(gain) for gain in GAINS])
    np.savez_compressed(arguments.folder / "planted.npz", A=curve, gain=gains)
    shuffled = rng.permuted(np.broadcast_to(np.arange(len(GAINS)), (shape[0], len(GAINS))), axis=1)
    control = curve[shuffled.T, np.arange(shape[0])]
    np.savez_compressed(arguments.folder / "shuffled.npz", A=control, gain=gains)

    crossing = PLANTED.crossing(gains[0], gains[-1])
    print(f"percolation.npz: p = {threshold}; planted.npz: b_tot = 1 at g = {crossing:.3f}")


if __name__ == "__main__":
    main()
