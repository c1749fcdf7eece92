r"""The four families of a tail: their laws on a support, and draws from them.

Every family is a member of the natural family

    log p(x) = −a·log x − c·log²x − λ·x − log Z,   x an integer in [xmin, xmax],

=================== ======================= =====================================
family              free                    in its own words
=================== ======================= =====================================
power law           a                       alpha = a
exponential         λ                       lambda = λ
log-normal          a, c ≥ 0                sigma² = 1/(2c), mu = (1 − a)·sigma²
truncated power law a, λ ≥ 0                alpha = a, lambda = λ
=================== ======================= =====================================

Z is a sum over the integers of the support, never an integral, never the mass of an untruncated
law. ``xmax=None`` means unbounded, for every family. No exponent is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Int

from avalattice.arrays import Floats, Ints
from avalattice.errors import InputError
from avalattice.stats.tail_samples import check_support
from avalattice.stats.tail_support import (
    LARGEST_LOG_X,
    LARGEST_SAMPLE,
    Natural,
    Support,
    log_weight,
)


class Family(StrEnum):
    """The four families of a tail."""

    POWERLAW = "powerlaw"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"
    TRUNCATED_POWERLAW = "truncated_powerlaw"


@dataclass(frozen=True)
class TailLaw:
    """A family's member on a support: fitted to a tail, or given by its parameters."""

    family: Family
    parameters: Mapping[str, float]
    """By the names of the module's table; NaN where the maximum lies on the family's edge."""
    natural: Natural
    """(a, c, λ)."""
    xmin: int
    """Smallest value of the support."""
    xmax: int | None
    """Largest value of the support; None where it is unbounded."""
    loglik: float = math.nan
    """Log-likelihood of the tail that it was fitted to."""
    reason: str = ""
    """Why parameters are NaN."""

    def log_pmf(self, x: npt.NDArray[Any]) -> Floats:
        """Log-probability of integers of the support, in the shape of x."""
        support = Support.of(self.xmin, self.xmax, _spread(self.natural))
        return log_weight(self.natural, x) - support.log_normaliser(self.natural)

    def sample(self, size: int, rng: np.random.Generator) -> Int[np.ndarray, " size"]:
        """Exact draws; what exceeds LARGEST_SAMPLE is given as LARGEST_SAMPLE.

        Raises:
            InputError: the law was not fitted and has no parameters.
        """
        if not all(math.isfinite(value) for value in self.natural):
            raise InputError(f"{self.family} has no parameters to draw from: {self.reason}")
        return _sample(self, size, rng)


def power_law(alpha: float, *, xmin: int = 1, xmax: int | None = None) -> TailLaw:
    """The discrete power law p(x) ∝ x^(−alpha) on [xmin, xmax]; unbounded, alpha must exceed 1."""
    return _law(Family.POWERLAW, (alpha, 0.0, 0.0), xmin, xmax)


def exponential(rate: float, *, xmin: int = 1, xmax: int | None = None) -> TailLaw:
    """The discrete exponential p(x) ∝ exp(−rate·x) on [xmin, xmax]."""
    return _law(Family.EXPONENTIAL, (0.0, 0.0, rate), xmin, xmax)


def lognormal(mu: float, sigma: float, *, xmin: int = 1, xmax: int | None = None) -> TailLaw:
    """The discrete log-normal p(x) ∝ (1/x)·exp(−(log x − mu)²/(2·sigma²)) on [xmin, xmax]."""
    return _law(Family.LOGNORMAL, (1 - mu / sigma**2, 0.5 / sigma**2, 0.0), xmin, xmax)


def truncated_power_law(
    alpha: float, rate: float, *, xmin: int = 1, xmax: int | None = None
) -> TailLaw:
    """The discrete p(x) ∝ x^(−alpha)·exp(−rate·x) on [xmin, xmax]."""
    return _law(Family.TRUNCATED_POWERLAW, (alpha, 0.0, rate), xmin, xmax)


def _law(family: Family, natural: Natural, xmin: int, xmax: int | None) -> TailLaw:
    """A law from its natural parameters, refused where its sum diverges."""
    check_support(xmin, xmax)
    alpha, curvature, rate = natural
    falls = rate > 0 or (rate == 0 and (curvature > 0 or (curvature == 0 and alpha > 1)))
    if xmax is None and not falls:
        raise InputError(
            f"{family} with {own_parameters(family, natural)}: its sum over [{xmin}, ∞) diverges; "
            "give xmax, or parameters of a law that falls"
        )
    return TailLaw(family, own_parameters(family, natural), natural, xmin, xmax)


def own_parameters(family: Family, natural: Natural) -> dict[str, float]:
    """The family's own parameters from the natural ones."""
    alpha, curvature, rate = natural
    if family is Family.EXPONENTIAL:
        return {"lambda": rate}
    if family is Family.LOGNORMAL and curvature == 0:
        return {"mu": math.nan, "sigma": math.nan}
    if family is Family.LOGNORMAL:
        variance = 0.5 / curvature
        return {"mu": (1 - alpha) * variance, "sigma": math.sqrt(variance)}
    return {"alpha": alpha} | ({} if family is Family.POWERLAW else {"lambda": rate})


def unfitted(family: Family, xmin: int, xmax: int | None, reason: str) -> TailLaw:
    """A family without parameters, and why."""
    own = dict.fromkeys(own_parameters(family, (math.nan,) * 3), math.nan)
    return TailLaw(family, own, (math.nan,) * 3, xmin, xmax, reason=reason)


def _spread(natural: Natural) -> float:
    """Standard deviation of log x about an inner mode, at most 1: what panels must resolve."""
    alpha, curvature, rate = natural
    return min(1.0, 1 / math.sqrt(max(2 * curvature - (alpha if rate > 0 else 0.0), 1.0)))


def _mode(natural: Natural) -> float:
    """Where the weight has its inner maximum; zero where it has none."""
    alpha, curvature, rate = natural
    if curvature > 0:
        return math.exp(min(-alpha / (2 * curvature), LARGEST_LOG_X))
    return max(-alpha / rate, 0.0) if rate > 0 else 0.0


def _sample(law: TailLaw, size: int, rng: np.random.Generator) -> Ints:
    """Exact draws: a panel by inverse transform, then an integer of it by rejection."""
    support = Support.of(law.xmin, law.xmax, _spread(law.natural))
    log_p = support.log_masses(law.natural)
    mass = np.cumsum(np.bincount(support.panel, weights=np.exp(log_p - np.max(log_p))))
    panel = np.searchsorted(mass, rng.random(size) * mass[-1], side="right")
    x, length = support.start[panel], support.length[panel]
    ceiling = _panel_maximum(law.natural, support)
    pending = np.flatnonzero(length > 1)
    while pending.size:
        offset = (rng.random(pending.size) * length[pending]).astype(np.int64)
        drawn = support.start[panel[pending]] + offset
        log_ratio = log_weight(law.natural, drawn) - ceiling[panel[pending]]
        kept = rng.random(pending.size) < np.exp(log_ratio)
        x[pending[kept]] = drawn[kept]
        pending = pending[~kept]
    return np.asarray(np.minimum(x, LARGEST_SAMPLE))


def _panel_maximum(natural: Natural, support: Support) -> Floats:
    """Largest log-weight on each panel: log-weights have one maximum, or one minimum, in log x."""
    ends = support.start + np.array([[0], [1]]) * (support.length - 1)
    inner = np.clip(_mode(natural), ends[0], ends[1])
    return np.asarray(np.max(log_weight(natural, np.vstack([ends, inner])), axis=0))
