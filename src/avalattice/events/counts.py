"""Counts: events per lattice site at thresholds that are given.

    A[c,n,l,t] = #{i : v[n,t,l,i] > tau_c,l}

for any number of conditions c in one forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt16

from avalattice.canon import SpikeDefId
from avalattice.events.calibration import LayerScale
from avalattice.events.candidates import find_candidates, spike_value
from avalattice.events.thresholds import count_sites


@dataclass(frozen=True)
class AppliedThresholds:
    """Thresholds of several conditions at one gain."""

    spike_defs: tuple[SpikeDefId, ...]
    """Spike definition of each condition, axis C."""
    tau: Float32[np.ndarray, "C L"]
    """Threshold on v."""

    def floors(self, layer: int) -> dict[SpikeDefId, float]:
        """The lowest threshold of each spike definition in one layer."""
        return {
            definition: min(
                float(self.tau[c, layer]) for c, d in enumerate(self.spike_defs) if d == definition
            )
            for definition in dict.fromkeys(self.spike_defs)
        }


def count_events(
    u: torch.Tensor, scale: LayerScale, thresholds: AppliedThresholds, layer: int, n_tokens: int
) -> UInt16[np.ndarray, "C N T"]:
    """Events per site of one layer and batch, for every condition.

    Args:
        u: activations [N·T, F].
        scale: the layer's standardisation.
        thresholds: what v must exceed.
        layer: the layer.
        n_tokens: T.
    """
    found = find_candidates(u, scale, thresholds.floors(layer))
    n_windows = len(u) // n_tokens
    return np.stack(
        [
            count_sites(found.position[spike_value(definition, found.z) > tau], n_windows, n_tokens)
            for definition, tau in zip(thresholds.spike_defs, thresholds.tau[:, layer], strict=True)
        ]
    )


class BaseCountFitter:
    """Adds up the base counts of batches."""

    def __init__(self) -> None:
        self._layers: list[BaseCounts] = []

    def update(self, batch: Sequence[BaseCounts]) -> None:
        """Add one batch: the counts of every layer, in order."""
        if self._layers:
            batch = [a.merge(b) for a, b in zip(self._layers, batch, strict=True)]
        self._layers = list(batch)

    @property
    def by_definition(self) -> Int64[np.ndarray, "D L"]:
        """#{v > tau0} for each spike definition and layer."""
        return np.array([layer.by_definition for layer in self._layers], dtype=np.int64).T

    @property
    def by_unit(self) -> list[np.ndarray]:
        """#{abs(z) > tau0} for each layer and unit."""
        return [layer.by_unit for layer in self._layers]


@dataclass(frozen=True)
class BaseCounts:
    """Values of one layer and batch beyond the baseline threshold."""

    by_definition: tuple[int, ...]
    """#{v > tau0} for each spike definition."""
    by_unit: np.ndarray
    """#{abs(z) > tau0} for each unit [F], int64."""

    def merge(self, other: BaseCounts) -> BaseCounts:
        """The counts of both together."""
        pairs = zip(self.by_definition, other.by_definition, strict=True)
        return BaseCounts(tuple(a + b for a, b in pairs), self.by_unit + other.by_unit)


def base_counts(
    u: torch.Tensor, scale: LayerScale, spike_defs: Sequence[SpikeDefId], tau0: float
) -> BaseCounts:
    """Count what exceeds tau0 in one layer and batch, u [tokens, F]."""
    two_sided = SpikeDefId.SPIKE_TWO_SIDED_ABS
    threshold = np.float32(tau0)
    found = find_candidates(u, scale, {two_sided: float(threshold)})
    by_definition = tuple(
        int((spike_value(definition, found.z) > threshold).sum()) for definition in spike_defs
    )
    exceeding = found.unit[spike_value(two_sided, found.z) > threshold]
    return BaseCounts(by_definition, np.bincount(exceeding, minlength=u.shape[1]))
