"""Candidates: the few activations of a batch that can be events.

An event needs v > floor, where v is z (one-sided) or abs(z) (two-sided). Standardising everything
to find one value in a thousand would cost more than the layer itself, so a per-unit bound on u,
widened so that rounding can lose nothing, selects candidates; the decision is then always on v.

Widening: z is computed with two roundings, of relative error 2⁻²⁴ each, so z > floor implies
u − mu > floor·scale·(1 − 2⁻²²); the bound is lowered by 4 ulp of floor·scale and rounded outwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64

from avalattice.canon import SpikeDefId
from avalattice.events.calibration import LayerScale

_ULPS = 4 * float(torch.finfo(torch.float32).eps)
_BYTES_PER_WORD = 8


def spike_value(spike_def: SpikeDefId, z: Float32[np.ndarray, " K"]) -> Float32[np.ndarray, " K"]:
    """v: z itself, or its absolute value."""
    return np.abs(z) if spike_def == SpikeDefId.SPIKE_TWO_SIDED_ABS else z


@dataclass(frozen=True)
class Candidates:
    """Activations of one layer and batch that may be events."""

    z: Float32[np.ndarray, " K"]
    """Standardised value."""
    position: Int64[np.ndarray, " K"]
    """Row of u: window · T + token, within the batch."""
    unit: Int64[np.ndarray, " K"]
    """MLP unit."""


def candidate_bounds(
    scale: LayerScale, floors: Mapping[SpikeDefId, float]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Bounds on u [F]: an event lies above the first, or below the second (None: none does).

    Args:
        scale: the layer's standardisation.
        floors: for each spike definition, the value that v must exceed; -inf asks for all.
    """
    upper = _bound(scale, min(floors.values()), outwards=-1)
    two_sided = floors.get(SpikeDefId.SPIKE_TWO_SIDED_ABS)
    if two_sided is None:
        return upper, None
    # abs(z) exceeds a negative floor always: then everything below +inf is a candidate
    return upper, _bound(scale, -two_sided if two_sided >= 0 else np.inf, outwards=+1)


def _bound(scale: LayerScale, floor: float, *, outwards: int) -> torch.Tensor:
    span = floor * scale.scale.double()
    exact = scale.mu.double() + span + outwards * _ULPS * span.abs().nan_to_num(posinf=0.0)
    rounded = exact.float()
    return torch.nextafter(rounded, torch.full_like(rounded, outwards * torch.inf))


def _true_positions(mask: torch.Tensor) -> torch.Tensor:
    """Flat positions of the true elements of a contiguous mask.

    True elements are rare, so eight are looked at together as one 64-bit word.
    """
    flat = mask.flatten()
    if flat.numel() % _BYTES_PER_WORD:
        return flat.nonzero().flatten()
    words = flat.view(torch.int64).nonzero()
    positions = (words * _BYTES_PER_WORD + torch.arange(8, device=flat.device)).flatten()
    return positions[flat[positions]]


def find_candidates(
    u: torch.Tensor, scale: LayerScale, floors: Mapping[SpikeDefId, float]
) -> Candidates:
    """Every activation whose v may exceed its floor, and few others.

    Args:
        u: activations [tokens, F] of one layer.
        scale: the layer's standardisation.
        floors: for each spike definition, the value that v must exceed.
    """
    upper, lower = candidate_bounds(scale, floors)
    mask = u > upper
    if lower is not None:
        mask |= u < lower
    flat = _true_positions(mask)
    unit = flat % u.shape[1]
    z = scale.z(u.flatten()[flat], unit)
    return Candidates(
        z.cpu().numpy(),
        torch.div(flat, u.shape[1], rounding_mode="floor").cpu().numpy(),
        unit.cpu().numpy(),
    )
