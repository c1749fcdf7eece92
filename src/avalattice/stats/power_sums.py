"""Sums of powers over the integers of a support, and the exponent that belongs to a mean log.

    Σ_{x=q}^{xmax} x^(−s)·logᵐ(x/q),   m = 0, 1, 2

The first DIRECT terms are added one by one, the rest by Euler–Maclaurin from there: the Hurwitz
zeta function where xmax is unbounded, and its continuation to s ≤ 1 where it is not. Every power is
divided by q^(−s), so that none overflows. Arguments are arrays, elementwise in (s, q). The exponent
follows Clauset, Shalizi and Newman, SIAM Review 51, 661 (2009), equations 3.5 and 3.7.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.special import gammainc

from avalattice.arrays import Floats

DIRECT: Final = 16
"""Terms that are added one by one."""
_MAX_STEPS: Final = 100
_LARGEST_RISE: Final = 650.0  # exp of more is no float
# B_2j / (2j)!, j = 1 … 5
_BERNOULLI: Final = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160)
# by derivative, then by j: coefficients of B_2j/(2j)!·(s)_(2j−1), highest power first
_RISING: Final = tuple(
    tuple(
        np.polyder(factor * np.poly([-i for i in range(2 * j + 1)]), derivative)
        for j, factor in enumerate(_BERNOULLI)
    )
    for derivative in range(3)
)


def _exponential_moments(kappa: Floats, length: Floats | float) -> tuple[Floats, Floats, Floats]:
    """∫₀^length vᵐ exp(−kappa·v) dv for m = 0, 1, 2; kappa must be positive for infinite length."""
    if np.all(np.isinf(length)):
        return 1 / kappa, 1 / kappa**2, 2 / kappa**3
    # below 1e-12 the integrals equal those at zero, and dividing by zero is avoided
    z = np.maximum(np.abs(kappa * length), 1e-12)
    unit = [math.factorial(m) * gammainc(m + 1, z) / z ** (m + 1) for m in range(3)]
    # a rising integrand, seen from its other end
    grown = (unit[0], unit[0] - unit[1], unit[0] - 2 * unit[1] + unit[2])
    rise = np.exp(np.where(kappa < 0, z, 0.0))
    first, second, third = (
        length ** (m + 1) * np.where(kappa < 0, rise * grown[m], unit[m]) for m in range(3)
    )
    return first, second, third


def end_of(xmax: int | None) -> float:
    """The first integer above the support."""
    return math.inf if xmax is None else float(xmax + 1)


def _correction(s: Floats, x: Floats, derivative: int = 0) -> Floats:
    """Euler–Maclaurin's ½ + Σ_j B_2j/(2j)! (s)_(2j−1) x^(1−2j), or a derivative of it in s."""
    inverse = 1 / x
    square = inverse * inverse
    total = np.zeros(np.broadcast_shapes(s.shape, x.shape))
    for coefficients in reversed(_RISING[derivative]):
        total = total * square + np.polyval(coefficients, s)
    return np.asarray(total * inverse + (0.0 if derivative else 0.5))


def _end_moments(s: Floats, x: Floats, q: Floats) -> tuple[Floats, Floats, Floats]:
    """The correction times (x/q)^(−s), and its first two derivatives in −s."""
    distance = np.log(x / q)
    value, slope, curvature = (_correction(s, x, derivative) for derivative in range(3))
    return (
        value,
        distance * value - slope,
        curvature - 2 * distance * slope + distance**2 * value,
    )


def power_sums(s: Floats, q: Floats, xmax: int | None) -> tuple[Floats, Floats, Floats]:
    """Σ (x/q)^(−s) logᵐ(x/q) over x = q … xmax for m = 0, 1, 2, elementwise in (s, q) [K]."""
    end = end_of(xmax)
    x = q[:, None] + np.arange(DIRECT)
    distance = np.log(x / q[:, None])
    terms = np.where(x < end, np.exp(-s[:, None] * distance), 0.0)
    rest = _remainder(s, np.minimum(q + DIRECT, end), q, end)
    zeroth, first, second = (
        np.sum(terms * distance**m, axis=1) + part for m, part in enumerate(rest)
    )
    return zeroth, first, second


def _remainder(s: Floats, start: Floats, q: Floats, end: float) -> tuple[Floats, Floats, Floats]:
    """The same sums over x = start … end − 1, by Euler–Maclaurin."""
    gap = np.log(start / q)
    scale = np.exp(-s * gap)
    first, second, third = _exponential_moments(s - 1, np.log(end / start))
    integral = (first, second + gap * first, third + 2 * gap * second + gap**2 * first)
    at_start = _end_moments(s, start, q)
    sums = [scale * (start * integral[m] + at_start[m]) for m in range(3)]
    if math.isfinite(end):
        last = np.full_like(q, end)
        scale_end = np.exp(-s * np.log(end / q))
        at_end = _end_moments(s, last, q)
        sums = [sums[m] - scale_end * at_end[m] for m in range(3)]
    return sums[0], sums[1], sums[2]


def mass_from(s: Floats, q: Floats, x: Floats, xmax: int | None) -> Floats:
    """Σ_{k=x}^{xmax} (k/q)^(−s) by Euler–Maclaurin, for x at least DIRECT above q."""
    here = np.exp(-s * np.log(x / q))
    if xmax is None:
        return np.asarray(here * (x / (s - 1) + _correction(s, x)))
    end = np.asarray(float(xmax + 1))
    integral = x * _exponential_moments(s - 1, np.log(end / x))[0]
    past = np.exp(-s * np.log(end / q)) * _correction(s, np.broadcast_to(end, q.shape))
    return np.asarray(here * (integral + _correction(s, x)) - past)


def solve_alpha(mean_log: Floats, xmin: Floats, xmax: int | None) -> Floats:
    """Root of the score, E_alpha[log x] = mean_log, elementwise [K]; NaN where there is none.

    Clauset et al. 2009, equation 3.5; their approximation 3.7 is where Newton's method starts.
    """
    target = mean_log - np.log(xmin)
    highest = math.inf if xmax is None else math.log(xmax)
    alpha = np.where(
        (target > 0) & (mean_log < highest), 1 + 1 / (mean_log - np.log(xmin - 0.5)), np.nan
    )
    low = np.full_like(target, 1.0 if xmax is None else -np.inf)
    high = np.full_like(target, np.inf)
    open_ = np.flatnonzero(np.isfinite(alpha))
    for _ in range(_MAX_STEPS):
        if not open_.size:
            break
        before, q = alpha[open_], xmin[open_]
        with np.errstate(all="ignore"):  # a power that overflows has no exponent, which is NaN
            after, low[open_], high[open_] = _newton_step(
                before, target[open_], low[open_], high[open_], power_sums(before, q, xmax)
            )
        alpha[open_] = after
        # quadratic convergence: the error of the step just made is the square of its length
        open_ = open_[np.abs(after - before) > 1e-9 * np.abs(before)]
    rise = -alpha * (highest - np.log(xmin))  # log p(xmax)/p(xmin), which a sum must hold
    return np.where(rise < _LARGEST_RISE, alpha, np.nan)


def _newton_step(
    alpha: Floats, target: Floats, low: Floats, high: Floats, sums: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """One step of Newton's method, kept inside the bracket [low, high], which it narrows."""
    mean = sums[1] / sums[0]
    excess, variance = mean - target, sums[2] / sums[0] - mean**2
    low, high = np.where(excess > 0, alpha, low), np.where(excess < 0, alpha, high)
    step = alpha + excess / variance
    bounded = np.isfinite(low) & np.isfinite(high)
    reach = alpha + 2 * (1 + np.abs(alpha)) * np.sign(excess)
    middle = np.where(
        bounded, 0.5 * (np.where(bounded, low, 0) + np.where(bounded, high, 0)), reach
    )
    inside = (step >= low) & (step <= high)
    return np.where(inside, step, middle), low, high
