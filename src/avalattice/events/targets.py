"""Target rates: how often each layer is to fire, and how many events that is.

r0_l = fraction of v > tau0 in layer l at g = 1
r*_l = r · r0_l / mean_l(r0_l)       (uniform profile: r*_l = r)
m    = calibration tokens × F_l
k    = floor(r*_l · m + ½), at least 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from avalattice.canon import SpikeDefId
from avalattice.errors import DataError


@dataclass(frozen=True)
class RateTargets:
    """How often each layer is to fire."""

    spike_defs: tuple[SpikeDefId, ...]
    """Spike definitions, axis D."""
    labels: tuple[str, ...]
    """Targets as written in the configuration, axis R."""
    rates: Float64[np.ndarray, " R"]
    """Events per unit and token, mean over layers."""
    base_rates: Float64[np.ndarray, "D L"]
    """r0_l, the fraction of v > tau0 at g = 1."""
    layer_rates: Float64[np.ndarray, "D R L"]
    """r*_l, events per unit and token."""
    k: Int64[np.ndarray, "D R L"]
    """Events that each layer is to have on the calibration windows."""
    m: Int64[np.ndarray, " L"]
    """Values of each layer: calibration tokens × F_l."""
    n_tokens: int
    """Calibration tokens."""

    @property
    def capacity(self) -> Int64[np.ndarray, "D L"]:
        """Values to keep: one more than the largest k."""
        return np.asarray(self.k.max(axis=1) + 1)

    def position(self, spike_def: str, label: str) -> tuple[int, int]:
        """Where a spike definition and a target stand on the axes D and R."""
        return self.spike_defs.index(SpikeDefId(spike_def)), self.labels.index(label)


def rates_per_unit(
    targets: Sequence[float], d_ff: Int64[np.ndarray, " L"], *, per_site: bool
) -> list[float]:
    """Targets in events per unit and token.

    Args:
        targets: in that unit already, or in events per lattice site.
        d_ff: units of each layer.
        per_site: which of the two.
    """
    return [target / float(d_ff.mean()) if per_site else target for target in targets]


def rate_targets(
    base_counts: Int64[np.ndarray, "D L"],
    *,
    spike_defs: Sequence[SpikeDefId],
    labels: Sequence[str],
    rates: Sequence[float],
    d_ff: Int64[np.ndarray, " L"],
    n_tokens: int,
    uniform: bool,
) -> RateTargets:
    """Target rates and counts of every layer.

    r*_l = r · r0_l / mean_l(r0_l), so that the mean over layers is r and the profile over depth is
    that of the base rates; ``uniform`` sets r*_l = r.

    Args:
        base_counts: values with v > tau0, for each spike definition and layer.
        spike_defs: spike definitions.
        labels: target texts.
        rates: targets r in events per unit and token.
        d_ff: units of each layer.
        n_tokens: calibration tokens.
        uniform: the same rate in every layer.

    Raises:
        DataError: a layer would have to fire at every value, or nothing exceeds tau0 at all.
    """
    m = n_tokens * d_ff
    base = base_counts / m
    mean = base.mean(axis=1, keepdims=True)
    if not uniform and not mean.all():
        raise DataError(
            "no value exceeds events.tau0, so the base rates have no profile: lower events.tau0 "
            "or set events.rate_profile: uniform"
        )
    profile = np.ones_like(base) if uniform else base / mean
    layer_rates = np.asarray(rates, dtype=np.float64)[None, :, None] * profile[:, None, :]
    k = np.maximum(1, np.floor(layer_rates * m + 0.5)).astype(np.int64)
    if (k >= m).any():
        _, row, layer = np.argwhere(k >= m)[0]
        raise DataError(
            f"target {labels[row]} asks layer {layer} for {k[:, row, layer].max()} events among "
            f"{m[layer]} values: lower the target in events"
        )
    return RateTargets(
        tuple(spike_defs),
        tuple(labels),
        np.asarray(rates, float),
        base,
        layer_rates,
        k,
        m,
        n_tokens,
    )
