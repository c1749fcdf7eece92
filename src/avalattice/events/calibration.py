"""Calibration: the mean and deviation by which every unit is standardised.

    mu[l,i]    = mean of u[n,t,l,i] over calibration windows n and tokens t, at g = 1
    sigma[l,i] = population standard deviation of the same
    z          = (u − mu) / (sigma + EPS), one float32 expression wherever an event is decided

Moments are accumulated in float64, one partial result per batch, and merged in batch order with
the pairwise update of Chan, Golub and LeVeque (1979), eq. 2.1. Units whose deviation does not
exceed EPS are *silent*: their z is NaN, which is above no threshold.

Not handled: weights per token; every token counts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from avalattice.canon import CONST
from avalattice.errors import ArrayError, VerificationError

_HALF_ULP = 2.0**-24
_ROUNDING = 2.0**-20
"""Relative; z² takes at most twice the five float32 roundings of sigma, scale, z and tau0."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of one layer's units."""

    n: int
    """Tokens."""
    mean: Float64[np.ndarray, " F"]
    """Mean of u."""
    m2: Float64[np.ndarray, " F"]
    """Sum of squared deviations from the mean."""

    def merge(self, other: Moments) -> Moments:
        """The moments of both samples together."""
        n = self.n + other.n
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.n / n)
        m2 = self.m2 + other.m2 + delta**2 * (self.n * other.n / n)
        return Moments(n, mean, m2)


def batch_moments(u: torch.Tensor) -> Moments:
    """The moments of one batch of activations, u [tokens, F]."""
    variance, mean = torch.var_mean(u.double(), dim=0, correction=0)
    return Moments(len(u), mean.cpu().numpy(), (variance * len(u)).cpu().numpy())


class MomentFitter:
    """Merges the moments of batches, layer by layer, into a :class:`Calibration`."""

    def __init__(self) -> None:
        self._layers: list[Moments] = []

    def update(self, batch: Sequence[Moments]) -> None:
        """Add one batch: the moments of every layer, in order."""
        if not self._layers:
            self._layers = list(batch)
        else:
            self._layers = [a.merge(b) for a, b in zip(self._layers, batch, strict=True)]

    def result(self) -> Calibration:
        """The calibration of all batches so far.

        Raises:
            ArrayError: no batch was added.
        """
        if not self._layers:
            raise ArrayError("calibration needs at least one batch")
        widths = np.array([len(layer.mean) for layer in self._layers], dtype=np.int64)
        mu = np.full((len(widths), widths.max()), np.nan, dtype=np.float32)
        sigma = mu.copy()
        for row, layer in enumerate(self._layers):
            mu[row, : widths[row]] = layer.mean
            sigma[row, : widths[row]] = np.sqrt(layer.m2 / layer.n)
        return Calibration(mu, sigma, widths, self._layers[0].n)


@dataclass(frozen=True)
class Calibration:
    """Mean and deviation of every MLP unit."""

    mu: Float32[np.ndarray, "L F"]
    """Mean of u; NaN beyond a layer's own width."""
    sigma: Float32[np.ndarray, "L F"]
    """Population standard deviation of u; NaN beyond a layer's own width."""
    d_ff: Int64[np.ndarray, " L"]
    """Units of each layer, F_l."""
    n_tokens: int
    """Tokens of the calibration windows."""

    @property
    def silent(self) -> Bool[np.ndarray, "L F"]:
        """Units that never produce events, sigma ≤ EPS."""
        return self.sigma <= CONST.EPS

    def layers(self, device: torch.device) -> list[LayerScale]:
        """Each layer's standardisation, on the device where activations are."""
        return [
            LayerScale.of(self.mu[row, :width], self.sigma[row, :width], device)
            for row, width in enumerate(self.d_ff)
        ]


@dataclass(frozen=True)
class LayerScale:
    """The standardisation of one layer, as tensors."""

    mu: torch.Tensor
    """Mean [F], float32; NaN for silent units."""
    scale: torch.Tensor
    """sigma + EPS [F], float32."""

    @classmethod
    def of(
        cls,
        mu: Float32[np.ndarray, " F"],
        sigma: Float32[np.ndarray, " F"],
        device: torch.device,
    ) -> LayerScale:
        """From one layer's mean and deviation."""
        heard = np.where(sigma > CONST.EPS, mu, np.float32(np.nan))
        scale = sigma + np.float32(CONST.EPS)
        return cls(torch.from_numpy(heard).to(device), torch.from_numpy(scale).to(device))

    def z(self, u: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """Standardised values of single activations u [K], each of the unit unit[K]."""
        return (u.float() - self.mu[unit]) / self.scale[unit]


def check_chebyshev(
    exceedances: Sequence[Int64[np.ndarray, " F"]],
    scales: Sequence[LayerScale],
    *,
    n_tokens: int,
    tau0: float,
) -> None:
    """Check the theorem that proves a calibration: at most 1/tau0² of a unit's samples pass tau0.

    Chebyshev's inequality holds for the sample's own mean and deviation, whatever the distribution,
    so a violation is an error in the calculation and never a property of the model. About a centre
    that is d deviations off, as a mean rounded to float32 can be, the bound is (1 + d²)/tau0².

    Args:
        exceedances: for each layer and unit, the number of calibration samples with abs(z) > tau0.
        scales: the layers' standardisation.
        n_tokens: samples of each unit.
        tau0: the baseline threshold.

    Raises:
        VerificationError: naming the layer and unit.
    """
    for layer, (counts, scale) in enumerate(zip(exceedances, scales, strict=True)):
        off = (
            (scale.mu.double().abs() * _HALF_ULP / scale.scale.double()).nan_to_num().cpu().numpy()
        )
        bound = n_tokens / tau0**2 * (1 + off**2) * (1 + _ROUNDING)
        if (counts > bound).any():
            unit = int((counts - bound).argmax())
            raise VerificationError(
                f"calibration is wrong: in layer {layer}, unit {unit} has abs(z) > {tau0} in "
                f"{int(counts[unit])} of {n_tokens} samples, more than Chebyshev's "
                f"{bound[unit]:.1f}. This is a defect of avalattice or of a non-deterministic "
                "model; please report it"
            )
