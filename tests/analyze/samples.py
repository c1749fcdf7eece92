"""Small counts with known answers, and quick options."""

from __future__ import annotations

import numpy as np

from avalattice.analyze import Options
from avalattice.canon import CONST
from avalattice.lattice.simulate import PlantedGain

GAINS = CONST.GAIN_GRID_DEFAULT
PLANTED = PlantedGain(n_layers=12, n_tokens=64, b_time=0.3, b_depth=0.55, rate=0.2)
"""Its b_tot passes one inside the grid."""
QUICK = Options(bootstrap_reps=200, null_replicates=9, avalanche_replicates=2, gof_reps=0)


def rng(seed: int = 1) -> np.random.Generator:
    """A generator of its own."""
    return np.random.default_rng(seed)


def planted_curve(n_windows: int = 40, seed: int = 1) -> np.ndarray:
    """Counts [C, N, L, T] at every gain of the grid."""
    generator = rng(seed)
    return np.stack([PLANTED.draw(n_windows, float(gain), generator) for gain in GAINS])


def shuffled_within_windows(curve: np.ndarray, seed: int = 2) -> np.ndarray:
    """The same counts, under gains in another order in each window."""
    orders = np.broadcast_to(np.arange(len(curve)), (curve.shape[1], len(curve)))
    order = rng(seed).permuted(orders, axis=1)
    return curve[order.T, np.arange(curve.shape[1])]
