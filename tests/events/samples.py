"""Activations, their standardisation, and the plain calculations that tests compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from avalattice.canon import SpikeDefId
from avalattice.events.calibration import Calibration, LayerScale, MomentFitter, batch_moments
from avalattice.events.targets import RateTargets

ONE = SpikeDefId.SPIKE_ONE_SIDED_POS
TWO = SpikeDefId.SPIKE_TWO_SIDED_ABS
CPU = torch.device("cpu")


def random_u(seed: int, n_positions: int, d_ff: int, *, dtype=torch.float32) -> torch.Tensor:
    """Activations [positions, F] of units with means and deviations of their own."""
    draw = torch.Generator().manual_seed(seed)
    deviation = 3 * torch.rand(d_ff, generator=draw) + 0.1
    mean = 2 * torch.randn(d_ff, generator=draw)
    u = torch.randn(n_positions, d_ff, generator=draw) * deviation + mean
    return u.to(dtype)


def calibrate(*layers: torch.Tensor) -> Calibration:
    """The calibration of layers' activations, as one batch."""
    fitter = MomentFitter()
    fitter.update([batch_moments(u) for u in layers])
    return fitter.result()


def scales_of(*layers: torch.Tensor) -> list[LayerScale]:
    """Each layer's standardisation by its own activations."""
    return calibrate(*layers).layers(CPU)


def unit_scale(d_ff: int) -> LayerScale:
    """Mean 0 and deviation 1 for every unit."""
    return LayerScale.of(np.zeros(d_ff, np.float32), np.ones(d_ff, np.float32), CPU)


def all_v(u: torch.Tensor, scale: LayerScale, spike_def: SpikeDefId) -> np.ndarray:
    """V [positions, F] of everything; NaN for silent units."""
    with np.errstate(all="ignore"):
        z = (u.float().numpy() - scale.mu.numpy()) / scale.scale.numpy()
    return np.abs(z) if spike_def is TWO else z


def targets_for(
    k: Sequence[Sequence[Sequence[int]]], d_ff: Sequence[int], n_tokens: int
) -> RateTargets:
    """Targets of given counts k [D][R][L], for the first D spike definitions."""
    counts = np.array(k, dtype=np.int64)
    m = n_tokens * np.array(d_ff, dtype=np.int64)
    rates = counts / m
    return RateTargets(
        (ONE, TWO)[: len(counts)],
        tuple(f"target {r}" for r in range(counts.shape[1])),
        rates.mean(axis=(0, 2)),
        np.zeros((len(counts), len(m))),
        rates,
        counts,
        m,
        n_tokens,
    )
