"""Maximum-likelihood fits of the four families to a tail, all on one support.

The log-likelihood of the natural family (:mod:`avalattice.stats.tail_laws`) is concave, so that a
maximum is the maximum: Newton's method finds it, and where a family's likeliest member lies on its
edge, which is the power law, that is known beforehand from one moment and said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from avalattice.arrays import Floats
from avalattice.stats.power_sums import power_sums, solve_alpha
from avalattice.stats.tail_laws import Family, TailLaw, own_parameters, unfitted
from avalattice.stats.tail_samples import Integers, Sample, tail_from, unique_sample
from avalattice.stats.tail_support import Natural, Support, log_sum_exp, log_weight

SINGLE_VALUE: Final = "a single value in the tail"
NO_EXPONENT: Final = "no exponent that a float can hold fits the tail"
_NO_MAXIMUM: Final = "no maximum found: the tail is too narrow for the family"
_LOGNORMAL_LIMIT: Final = "likeliest in its power-law limit (sigma → ∞)"
_MAX_STEPS: Final = 100
_CONVERGED: Final = 1e-14  # gain in log-likelihood per sample that the last step may still bring


@dataclass(frozen=True)
class _Likelihood:
    """Mean negative log-likelihood of some natural parameters theta [d]: convex."""

    statistics: Floats
    """The free statistics at the nodes, minus their sample means, [d, K]."""
    log_weight: Floats
    """Log weight of the nodes, [K]."""

    def at(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Value, minus the gradient [d], and Hessian [d, d]."""
        log_p = self.log_weight - theta @ self.statistics
        value = log_sum_exp(log_p)
        p = np.exp(log_p - value)
        mean = self.statistics @ p
        return value, mean, (self.statistics * p) @ self.statistics.T - np.outer(mean, mean)

    def minimum(self, start: Floats, *, floored: bool) -> Floats | None:
        """Where it is smallest, by Newton's method; None where it has no minimum.

        Args:
            start: where to begin, [d].
            floored: the last parameter stays positive.
        """
        theta = start
        for _ in range(_MAX_STEPS):
            value, descent, hessian = self.at(theta)
            step = np.asarray(np.linalg.lstsq(hessian, descent, rcond=None)[0], dtype=np.float64)
            gain = float(descent @ step)
            if gain < _CONVERGED:
                return np.asarray(theta + step)
            crossing = -theta[-1] / step[-1] if floored and step[-1] < 0 else math.inf
            size = self._step_size(theta, step, min(1.0, 0.9 * crossing), value, gain)
            if size is None:
                return None
            theta = theta + size * step
        return None

    def _step_size(
        self, theta: Floats, step: Floats, size: float, value: float, gain: float
    ) -> float | None:
        """The step halved until it descends, as far as rounding lets one see it."""
        rounding = _CONVERGED * max(1.0, abs(value))
        for _ in range(_MAX_STEPS):
            if self.at(theta + size * step)[0] <= value - 1e-4 * size * gain + rounding:
                return size
            size /= 2
        return None


@dataclass(frozen=True)
class TailStatistics:
    """A tail on its support, as the four fits need it."""

    sample: Sample
    xmin: int
    xmax: int | None
    alpha: float
    """The power law's exponent."""
    support: Support
    mean: Floats
    """Sample means of log x, log² x and x, [3]."""
    scale: Floats
    """Their standard deviations, [3]."""

    @classmethod
    def of(cls, sample: Sample, xmin: int, xmax: int | None, alpha: float) -> TailStatistics:
        """Of samples that all lie in [xmin, xmax], with the power law's exponent there."""
        log_x = np.log(sample.x)
        statistics = np.stack([log_x, log_x**2, sample.x])
        share = sample.counts / sample.n_from[0]
        mean = statistics @ share
        scale = np.sqrt((statistics - mean[:, None]) ** 2 @ share)
        support = Support.of(xmin, xmax, min(1.0, float(scale[0])))
        return cls(sample, xmin, xmax, alpha, support, mean, scale)

    def fitted(self, family: Family, natural: Natural | None, reason: str = "") -> TailLaw:
        """The family at its natural parameters, with the log-likelihood of the tail."""
        if natural is None:
            return unfitted(family, self.xmin, self.xmax, _NO_MAXIMUM)
        loglik = -float(self.sample.n_from[0]) * self.loss(np.array(natural))
        own = own_parameters(family, natural)
        return TailLaw(family, own, natural, self.xmin, self.xmax, loglik, reason)

    def maximum(self, columns: list[int], start: Floats, *, floored: bool) -> Natural | None:
        """Natural parameters of greatest likelihood, those of other columns being zero."""
        scale = self.scale[columns]
        centred = (self.support.statistics[columns] - self.mean[columns, None]) / scale[:, None]
        likelihood = _Likelihood(centred, self.support.log_weight)
        theta = likelihood.minimum(start[columns] * scale, floored=floored)
        if theta is None:
            return None
        natural = np.zeros(3)
        natural[columns] = theta / scale
        return float(natural[0]), float(natural[1]), float(natural[2])

    def log_pmf(self, law: TailLaw) -> Floats:
        """Log-probability of each unique value; NaN without parameters."""
        return log_weight(law.natural, self.sample.x) - self.support.log_normaliser(law.natural)

    def loss(self, natural: Floats) -> float:
        """Mean negative log-likelihood."""
        log_p = self.support.log_weight - natural @ self.support.statistics
        return log_sum_exp(log_p) + float(natural @ self.mean)


def _fit_power_law(tail: TailStatistics) -> TailLaw:
    return tail.fitted(Family.POWERLAW, (tail.alpha, 0.0, 0.0))


def _fit_exponential(tail: TailStatistics) -> TailLaw:
    """Started at the closed form of the unbounded support."""
    start = np.array([0.0, 0.0, math.log1p(1 / (tail.mean[2] - tail.xmin))])
    unbounded = tail.xmax is None
    return tail.fitted(Family.EXPONENTIAL, tail.maximum([2], start, floored=unbounded))


def _fit_lognormal(tail: TailStatistics) -> TailLaw:
    log_p = tail.support.log_masses((tail.alpha, 0.0, 0.0))
    mean_square = float(np.exp(log_p - log_sum_exp(log_p)) @ tail.support.statistics[1])
    return _fit_beyond_power_law(tail, Family.LOGNORMAL, 1, mean_square, _LOGNORMAL_LIMIT)


def _fit_truncated_power_law(tail: TailStatistics) -> TailLaw:
    mean = _mean_of_power_law(tail.alpha, tail.xmin, tail.xmax)
    return _fit_beyond_power_law(tail, Family.TRUNCATED_POWERLAW, 2, mean)


def _fit_beyond_power_law(
    tail: TailStatistics, family: Family, column: int, mean: float, reason: str = ""
) -> TailLaw:
    """A family that has the power law for its edge, where its second parameter (≥ 0) is zero.

    The likelihood being concave, the edge is the maximum exactly where the power law's mean of the
    second statistic does not exceed the sample's. Elsewhere Newton's method starts at a likelier
    point than the edge's best, and never comes back to it.
    """
    limit = np.array([tail.alpha, 0.0, 0.0])
    start, edge = limit.copy(), tail.loss(limit)
    start[column] = 1 / tail.scale[column]
    for _ in range(_MAX_STEPS):
        if mean <= tail.mean[column] or tail.loss(start) < edge:
            break
        start[column] /= 10
    if mean <= tail.mean[column] or tail.loss(start) >= edge:
        return tail.fitted(family, (tail.alpha, 0.0, 0.0), reason)
    return tail.fitted(family, tail.maximum([0, column], start, floored=True))


def _mean_of_power_law(alpha: float, xmin: int, xmax: int | None) -> float:
    """E[x] = Σ x^(1 − alpha) / Σ x^(−alpha)."""
    if xmax is None and alpha <= 2:
        return math.inf
    sums = power_sums(np.array([alpha - 1, alpha]), np.full(2, float(xmin)), xmax)[0]
    return float(xmin * sums[0] / sums[1])


_FITTERS: Final = {
    Family.POWERLAW: _fit_power_law,
    Family.EXPONENTIAL: _fit_exponential,
    Family.LOGNORMAL: _fit_lognormal,
    Family.TRUNCATED_POWERLAW: _fit_truncated_power_law,
}


def fit_families(tail: TailStatistics) -> dict[Family, TailLaw]:
    """Every family at its likeliest."""
    return {family: fitter(tail) for family, fitter in _FITTERS.items()}


def fit_family(
    family: Family,
    values: Integers,
    *,
    xmin: int,
    xmax: int | None = None,
    counts: Integers | None = None,
) -> TailLaw:
    """Maximum-likelihood fit of one family to the values in [xmin, xmax].

    Args:
        family: which.
        values: positive integers [n]; those under xmin are left out.
        xmin: smallest value of the support.
        xmax: largest value that can occur; None for an unbounded support.
        counts: how often each value occurs, [n]; once, by default.

    Raises:
        ArrayError: values or counts are not integers of one length, or out of range.
        InputError: the support is empty.
    """
    sample = tail_from(unique_sample(values, counts, xmax), xmin, xmax)
    if len(sample.x) < 2:
        return unfitted(family, xmin, xmax, SINGLE_VALUE)
    alpha = float(solve_alpha(sample.mean_log[:1], np.array([float(xmin)]), xmax)[0])
    if not math.isfinite(alpha):
        return unfitted(family, xmin, xmax, NO_EXPONENT)
    return _FITTERS[family](TailStatistics.of(sample, xmin, xmax, alpha))
