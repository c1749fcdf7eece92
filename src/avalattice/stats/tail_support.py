"""Summation over the integers of a support, for laws log p(x) = −a·log x − c·log²x − λ·x − log Z.

Integers near xmin are taken one by one, then panels of 2ᵏ integers that widen in proportion to
their distance from xmin. On a panel the 16-node Gauss rule of the *counting* measure on 0 … N − 1
is exact for polynomials up to degree 31. Beyond 2⁶⁰ a sum equals its integral over log x to every
digit of a float, and panels of log x double up to exp(2.7e6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from avalattice.arrays import Floats, Ints

Natural: TypeAlias = tuple[float, float, float]
"""(a, c, λ) of the natural family."""
LARGEST_SAMPLE: Final = 2**60
"""What samplers give for anything larger: a power law's tail outgrows 64-bit integers."""
LARGEST_LOG_X: Final = 300.0
"""Where x itself, not log x, enters, it stops here: exp(−λx) vanished long before."""
_NODES: Final = 16
_SMALLEST_PANEL: Final = 32
_LOG_PANELS: Final = 16
_NARROWEST: Final = 0.02
_LEGENDRE: Final = np.polynomial.legendre.leggauss(_NODES)


@dataclass(frozen=True)
class Support:
    """Nodes and weights so that Σ_x f(x) = Σ_k weight_k f(x_k) for the families' f."""

    statistics: Floats
    """log x, log² x and x of every node, [3, K]."""
    log_weight: Floats
    panel: Ints
    """The panel that a node belongs to, [K]."""
    start: Ints
    """First integer of each panel, [P]."""
    length: Ints
    """Integers in each panel, [P]."""

    @classmethod
    def of(cls, xmin: int, xmax: int | None, spread: float = 1.0) -> Support:
        """The nodes of [xmin, xmax]; spread is about the standard deviation of log x there."""
        start, length = (
            np.array(part, dtype=np.int64) for part in _panels(xmin, xmax, max(spread, _NARROWEST))
        )
        single = length == 1
        pieces = [(np.log(start[single]), np.zeros(np.sum(single)), np.flatnonzero(single))]
        for index in np.flatnonzero(~single):
            nodes, weights = _gauss_rule(int(length[index]))
            pieces.append((np.log(start[index] + nodes), np.log(weights), np.full(_NODES, index)))
        if xmax is None:
            log_x, log_weight = _log_panels(math.log(start[-1]))
            pieces[0] = (pieces[0][0][:-1], pieces[0][1][:-1], pieces[0][2][:-1])
            pieces.append((log_x, log_weight, np.full(len(log_x), len(start) - 1)))
        log_x, log_weight, panel = (np.concatenate(part) for part in zip(*pieces, strict=True))
        x = np.exp(np.minimum(log_x, LARGEST_LOG_X))
        return cls(np.stack([log_x, log_x**2, x]), log_weight, panel, start, length)

    def log_masses(self, natural: Natural) -> Floats:
        """Logarithm of weight_k·f(x_k)."""
        return np.asarray(self.log_weight - np.array(natural) @ self.statistics)

    def log_normaliser(self, natural: Natural) -> float:
        """Logarithm of Z."""
        return log_sum_exp(self.log_masses(natural))


@lru_cache(maxsize=128)
def _gauss_rule(n: int) -> tuple[Floats, Floats]:
    """Nodes in 0 … n − 1 and weights of the Gauss rule for Σ_{i<n} f(i).

    Golub and Welsch's eigenvalue problem with the recurrence of the discrete Chebyshev (Gram)
    polynomials, b_k = k²(n² − k²)/(4(4k² − 1)); Gautschi, Orthogonal Polynomials (2004), table 1.2.
    """
    k = np.arange(1, _NODES, dtype=np.float64)
    off_diagonal = 0.5 * k * np.sqrt((1 - (k / n) ** 2) / (4 * k**2 - 1))
    nodes, vectors = np.linalg.eigh(np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1))
    return (n - 1) / 2 + n * nodes, n * vectors[0] ** 2


def _panels(xmin: int, xmax: int | None, spread: float) -> tuple[list[int], list[int]]:
    """Starts and lengths that tile the support with single integers and powers of two.

    Where the support is unbounded they end near LARGEST_SAMPLE, and a panel of length 1 stands for
    everything above.
    """
    end = max(LARGEST_SAMPLE, 2 * xmin) if xmax is None else xmax + 1
    starts, lengths, x = [], [], xmin
    while x < end:
        widest = min(x - xmin, int(4 * spread * x), *(() if xmax is None else (end - x,)))
        length = 1 << (widest.bit_length() - 1) if widest >= _SMALLEST_PANEL else 1
        starts.append(x)
        lengths.append(length)
        x += length
    if xmax is None:
        starts.append(x)
        lengths.append(1)
    return starts, lengths


def _log_panels(first: float) -> tuple[Floats, Floats]:
    """The log x and log weight of ∫ f(x) dx from exp(first) on, as an integral over log x."""
    nodes, weights = _LEGENDRE
    widths = first * 2.0 ** np.arange(_LOG_PANELS)
    log_x = (widths[:, None] * (1.5 + 0.5 * nodes)).ravel()
    return log_x, np.log(0.5 * widths[:, None] * weights).ravel() + log_x


def log_sum_exp(values: Floats) -> float:
    """Logarithm of Σ exp(values), without overflow."""
    largest = float(np.max(values))
    return largest + math.log(np.sum(np.exp(values - largest)))


def log_weight(natural: Natural, x: npt.NDArray[Any]) -> Floats:
    """Logarithm of p(x)·Z: −a·log x − c·log²x − λ·x."""
    alpha, curvature, rate = natural
    log_x = np.log(x)
    return np.asarray(-(alpha + curvature * log_x) * log_x - rate * x)
