"""Susceptibility: the Fano factor of window totals.

    chi = Var(Y) / (Mean(Y) + CHI_EPS),   Y_n = Σ_{l,t} A[n,l,t]

with the sample variance (divisor N − 1). Independent Poisson counts have chi = 1. The standard
error of log chi follows from the first four moments by the delta method (influence function
((y − m)² − s²)/s² − (y − m)/m); the studentised interval of :mod:`avalattice.stats.bootstrap`
uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from avalattice.arrays import AnyCounts
from avalattice.canon import CONST
from avalattice.errors import ArrayError

N_POWERS = 5


@dataclass(frozen=True)
class Susceptibility:
    """chi, and the standard error of its logarithm; arrays where totals had leading axes."""

    chi: Float64[np.ndarray, "*stack"]
    """Variance of window totals over their mean."""
    log_se: Float64[np.ndarray, "*stack"]
    """Standard error of log chi."""

    @property
    def reason(self) -> str | None:
        """Why chi is NaN, if it is."""
        return "chi needs two windows and some event" if np.isnan(self.chi).any() else None


def centred_powers(Y: np.ndarray, centre: np.ndarray) -> Float64[np.ndarray, "*stack P"]:
    """(Y − centre)^p for p = 0 … 4: the per-window sums from which chi is recomputed."""
    return np.stack([(Y - centre) ** power for power in range(N_POWERS)], axis=-1)


def susceptibility_from_powers(sums: np.ndarray, centre: np.ndarray) -> Susceptibility:
    """Susceptibility from sums [..., P] over windows of :func:`centred_powers`."""
    n = sums[..., 0]
    d1, d2, d3, d4 = (sums[..., p] / n for p in range(1, N_POWERS))
    mean = centre + d1
    # moments about the mean from moments about the centre
    v = np.maximum(d2 - d1**2, 0.0)
    c3 = d3 - 3 * d1 * d2 + 2 * d1**3
    c4 = d4 - 4 * d1 * d3 + 6 * d1**2 * d2 - 3 * d1**4
    with np.errstate(divide="ignore", invalid="ignore"):
        chi = np.where((n > 1) & (mean > 0), v * n / (n - 1) / (mean + CONST.CHI_EPS), np.nan)
        variance = (c4 / v**2 - 1) + v / mean**2 - 2 * c3 / (v * mean)
        log_se = np.sqrt(np.maximum(variance, 0.0) / n)
    return Susceptibility(chi, np.asarray(log_se))


def susceptibility_of_totals(Y: np.ndarray) -> Susceptibility:
    """Susceptibility of window totals Y [..., N]."""
    Y = np.asarray(Y, dtype=np.float64)
    centre = Y.mean(axis=-1, keepdims=True)
    return susceptibility_from_powers(centred_powers(Y, centre).sum(axis=-2), centre[..., 0])


def susceptibility(A: AnyCounts) -> Susceptibility:
    """Susceptibility of a stack of count rasters [..., N, L, T].

    >>> float(susceptibility(np.array([[[3]], [[5]]])).chi)
    0.49999999875

    Raises:
        ArrayError: fewer than three axes.
    """
    A = np.asarray(A)
    if A.ndim < 3:
        raise ArrayError(f"A must be counts [..., N, L, T], found shape {A.shape}")
    return susceptibility_of_totals(A.sum(axis=(-2, -1), dtype=np.int64))
