r"""Tail fits of integer samples: the discrete power law beside three rivals on one support.

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

whose log-likelihood is concave, so that a maximum is the maximum. Z is a sum over the integers of
the support, never an integral, never the mass of an untruncated law: families are compared as
densities on the *same* support, and anything else is refused. ``xmax=None`` means unbounded, for
every family. No exponent is bounded.

xmin is scanned over every observed value that leaves two different ones in the tail (and, with
``xmax``, a decade of support), by minimising the Kolmogorov–Smirnov distance max |S(x) − F(x)| over
every integer x of the tail. Too few samples beyond the best xmin do not narrow the scan: they are
its result, and the fit is then not assessable. After Clauset, Shalizi and Newman, SIAM Review 51,
661 (2009): equations 3.5, 3.7 and 3.9, section 4.1 for the bootstrap, section 5 for the comparison.

Not handled: continuous, zero or negative values, and dependence between samples. The standard error
and the p-values of KS and Vuong take avalanches for independent, which those of one window are not:
quote :func:`alpha_window_interval`. A good fit describes; it does not show criticality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from scipy.interpolate import CubicSpline
from scipy.special import chdtrc, gammainc, ndtr

from avalattice.canon import CONST
from avalattice.errors import ArrayError, InputError

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Integers: TypeAlias = npt.NDArray[Any]
"""Integers of shape [n], checked where they come in, so that the error can name the array."""
Natural: TypeAlias = tuple[float, float, float]
"""(a, c, λ) of the natural family."""

STATUS_OK: Final = "ok"
STATUS_NOT_ASSESSABLE: Final = "not_assessable"
LARGEST_SAMPLE: Final = 2**60
"""What samplers give for anything larger: a power law's tail outgrows 64-bit integers."""
_SINGLE_VALUE: Final = "a single value in the tail"
_LOGNORMAL_LIMIT: Final = "likeliest in its power-law limit (sigma → ∞)"
_NO_MAXIMUM: Final = "no maximum found: the tail is too narrow for the family"
_NO_EXPONENT: Final = "no exponent that a float can hold fits the tail"


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
        support = _support(self.xmin, self.xmax, _spread(self.natural))
        return _log_weight(self.natural, x) - _log_normaliser(self.natural, support)

    def sample(self, size: int, rng: np.random.Generator) -> Int[np.ndarray, " size"]:
        """Exact draws; what exceeds LARGEST_SAMPLE is given as LARGEST_SAMPLE.

        Raises:
            InputError: the law was not fitted and has no parameters.
        """
        if not all(math.isfinite(value) for value in self.natural):
            raise InputError(f"{self.family} has no parameters to draw from: {self.reason}")
        return _sample(self, size, rng)


@dataclass(frozen=True)
class Comparison:
    """The power law against a rival on the same tail and support."""

    llr: float
    """Log-likelihood of the first law (the power law) minus the rival's."""
    p: float
    """Two-sided p that the two are equally likely: Vuong's, or chi-square with one degree of
    freedom for the truncated power law, in which the power law is nested. The nested value is
    conservative, since λ ≥ 0 bounds the rival: its exact size is half the nominal one."""


@dataclass(frozen=True)
class TailFit:
    """The power law fitted to a tail, its rivals, and whether the fit can be assessed."""

    xmin: int | None
    """Smallest value of the tail; None without samples."""
    xmax: int | None
    """Largest value that can occur; None where unbounded."""
    n_samples: int
    """Samples in all."""
    n_tail: int
    """Samples from xmin on."""
    decades: float
    """log10(largest sample / xmin)."""
    alpha: float
    """Exponent of p(x) ∝ x^(−alpha)."""
    alpha_se: float
    """Standard error from the observed information, for independent samples and xmin given."""
    ks: float
    """Largest |S(x) − F(x)| over the integers of the tail."""
    ks_p: float
    """Share of bootstrap distances at least as large, (1 + #)/(1 + gof_reps); NaN without any."""
    fits: Mapping[Family, TailLaw]
    """All four families on [xmin, xmax]; empty where the tail holds fewer than two values."""
    comparisons: Mapping[Family, Comparison]
    """The power law against each rival."""
    best_family: Family | None
    """Smallest Bayesian information criterion, k·ln(n_tail) − 2·loglik: the power law is a limiting
    case of two rivals, so that its likelihood alone never exceeds theirs."""
    status: str
    """``ok`` or ``not_assessable``; the numbers stand in either case."""
    reason: str
    """Why it is not assessable; empty where it is."""

    @property
    def loglik(self) -> float:
        """Log-likelihood of the power law."""
        return self._of(Family.POWERLAW).loglik

    @property
    def lambda_exponential(self) -> float:
        """Rate of the exponential, per unit of x."""
        return self._of(Family.EXPONENTIAL).parameters["lambda"]

    @property
    def lognorm_mu(self) -> float:
        """Mean of log x of the log-normal before truncation at xmin."""
        return self._of(Family.LOGNORMAL).parameters["mu"]

    @property
    def lognorm_sigma(self) -> float:
        """Standard deviation of log x of the log-normal before truncation at xmin."""
        return self._of(Family.LOGNORMAL).parameters["sigma"]

    @property
    def truncated_alpha(self) -> float:
        """Exponent of the truncated power law."""
        return self._of(Family.TRUNCATED_POWERLAW).parameters["alpha"]

    @property
    def truncated_lambda(self) -> float:
        """Cut-off rate of the truncated power law, per unit of x."""
        return self._of(Family.TRUNCATED_POWERLAW).parameters["lambda"]

    def _of(self, family: Family) -> TailLaw:
        return self.fits.get(family) or _unfitted(family, 1, None, self.reason)


@dataclass(frozen=True)
class WindowInterval:
    """A percentile interval from resampled windows."""

    low: float
    """Lower end; NaN where no replicate is defined."""
    high: float
    """Upper end."""
    n_windows: int
    """Windows that were resampled."""
    few_windows: bool
    """Fewer than FEW_WINDOWS: the interval covers less than it says."""
    replicates: Float[np.ndarray, " R"]
    """The statistic of each replicate; NaN where it is undefined."""

    @property
    def width(self) -> float:
        """High minus low."""
        return self.high - self.low


# ------------------------------------------------------------------------ sums over a tail
#
# Σ_{x=q}^{xmax} x^(−s) logᵐ(x/q): the first _DIRECT terms one by one, the rest by Euler–Maclaurin
# from there (Hurwitz zeta where xmax is unbounded, and its continuation to s ≤ 1 where it is not).

_DIRECT: Final = 16
_MAX_STEPS: Final = 100
_LARGEST_RISE: Final = 650.0  # exp of more is no float
_CONVERGED: Final = 1e-14  # gain in log-likelihood per sample that the last step may still bring
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


def _end(xmax: int | None) -> float:
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


def _power_sums(s: Floats, q: Floats, xmax: int | None) -> tuple[Floats, Floats, Floats]:
    """Σ (x/q)^(−s) logᵐ(x/q) over x = q … xmax for m = 0, 1, 2, elementwise in (s, q) [K]."""
    end = _end(xmax)
    x = q[:, None] + np.arange(_DIRECT)
    distance = np.log(x / q[:, None])
    terms = np.where(x < end, np.exp(-s[:, None] * distance), 0.0)
    rest = _remainder(s, np.minimum(q + _DIRECT, end), q, end)
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


def _solve_alpha(mean_log: Floats, xmin: Floats, xmax: int | None) -> Floats:
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
                before, target[open_], low[open_], high[open_], _power_sums(before, q, xmax)
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


# ------------------------------------------------------------------ summation over a support
#
# Integers near xmin one by one, then panels of 2ᵏ integers that widen in proportion to their
# distance from xmin. On a panel the 16-node Gauss rule of the *counting* measure on 0 … N − 1 is
# exact for polynomials up to degree 31. Beyond 2⁶⁰ a sum equals its integral over log x to every
# digit of a float, and panels of log x double up to exp(2.7e6).

_NODES: Final = 16
_SMALLEST_PANEL: Final = 32
_LOG_PANELS: Final = 16
_LARGEST_LOG_X: Final = 300.0  # where x itself, not log x, enters: exp(−λx) vanished long before
_NARROWEST: Final = 0.02
_LEGENDRE: Final = np.polynomial.legendre.leggauss(_NODES)


@dataclass(frozen=True)
class _Support:
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


def _support(xmin: int, xmax: int | None, spread: float = 1.0) -> _Support:
    """The nodes of [xmin, xmax]; spread: standard deviation of log x of what is summed, about."""
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
    x = np.exp(np.minimum(log_x, _LARGEST_LOG_X))
    return _Support(np.stack([log_x, log_x**2, x]), log_weight, panel, start, length)


def _log_panels(first: float) -> tuple[Floats, Floats]:
    """The log x and log weight of ∫ f(x) dx from exp(first) on, as an integral over log x."""
    nodes, weights = _LEGENDRE
    widths = first * 2.0 ** np.arange(_LOG_PANELS)
    log_x = (widths[:, None] * (1.5 + 0.5 * nodes)).ravel()
    return log_x, np.log(0.5 * widths[:, None] * weights).ravel() + log_x


def _log_masses(natural: Natural, support: _Support) -> Floats:
    """Logarithm of weight_k·f(x_k)."""
    return np.asarray(support.log_weight - np.array(natural) @ support.statistics)


def _log_sum_exp(values: Floats) -> float:
    """Logarithm of Σ exp(values), without overflow."""
    largest = float(np.max(values))
    return largest + math.log(np.sum(np.exp(values - largest)))


def _log_normaliser(natural: Natural, support: _Support) -> float:
    """Logarithm of Z."""
    return _log_sum_exp(_log_masses(natural, support))


# --------------------------------------------------------------------------- the families


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
    _check_support(xmin, xmax)
    alpha, curvature, rate = natural
    falls = rate > 0 or (rate == 0 and (curvature > 0 or (curvature == 0 and alpha > 1)))
    if xmax is None and not falls:
        raise InputError(
            f"{family} with {_own_parameters(family, natural)}: its sum over [{xmin}, ∞) diverges; "
            "give xmax, or parameters of a law that falls"
        )
    return TailLaw(family, _own_parameters(family, natural), natural, xmin, xmax)


def _own_parameters(family: Family, natural: Natural) -> dict[str, float]:
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


def _spread(natural: Natural) -> float:
    """Standard deviation of log x about an inner mode, at most 1: what panels must resolve."""
    alpha, curvature, rate = natural
    return min(1.0, 1 / math.sqrt(max(2 * curvature - (alpha if rate > 0 else 0.0), 1.0)))


def _mode(natural: Natural) -> float:
    """Where the weight has its inner maximum; zero where it has none."""
    alpha, curvature, rate = natural
    if curvature > 0:
        return math.exp(min(-alpha / (2 * curvature), _LARGEST_LOG_X))
    return max(-alpha / rate, 0.0) if rate > 0 else 0.0


def _sample(law: TailLaw, size: int, rng: np.random.Generator) -> Ints:
    """Exact draws: a panel by inverse transform, then an integer of it by rejection."""
    support = _support(law.xmin, law.xmax, _spread(law.natural))
    log_p = _log_masses(law.natural, support)
    mass = np.cumsum(np.bincount(support.panel, weights=np.exp(log_p - np.max(log_p))))
    panel = np.searchsorted(mass, rng.random(size) * mass[-1], side="right")
    x, length = support.start[panel], support.length[panel]
    ceiling = _panel_maximum(law.natural, support)
    pending = np.flatnonzero(length > 1)
    while pending.size:
        offset = (rng.random(pending.size) * length[pending]).astype(np.int64)
        drawn = support.start[panel[pending]] + offset
        log_ratio = _log_weight(law.natural, drawn) - ceiling[panel[pending]]
        kept = rng.random(pending.size) < np.exp(log_ratio)
        x[pending[kept]] = drawn[kept]
        pending = pending[~kept]
    return np.asarray(np.minimum(x, LARGEST_SAMPLE))


def _panel_maximum(natural: Natural, support: _Support) -> Floats:
    """Largest log-weight on each panel: log-weights have one maximum, or one minimum, in log x."""
    ends = support.start + np.array([[0], [1]]) * (support.length - 1)
    inner = np.clip(_mode(natural), ends[0], ends[1])
    return np.asarray(np.max(_log_weight(natural, np.vstack([ends, inner])), axis=0))


def _log_weight(natural: Natural, x: npt.NDArray[Any]) -> Floats:
    """Logarithm of p(x)·Z: −a·log x − c·log²x − λ·x."""
    alpha, curvature, rate = natural
    log_x = np.log(x)
    return np.asarray(-(alpha + curvature * log_x) * log_x - rate * x)


# ------------------------------------------------------------------------- their maxima


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
        value = _log_sum_exp(log_p)
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
class _Tail:
    """A tail on its support, as the four fits need it."""

    sample: _Sample
    xmin: int
    xmax: int | None
    alpha: float
    """The power law's exponent."""
    support: _Support
    mean: Floats
    """Sample means of log x, log² x and x, [3]."""
    scale: Floats
    """Their standard deviations, [3]."""

    @classmethod
    def of(cls, sample: _Sample, xmin: int, xmax: int | None, alpha: float) -> _Tail:
        log_x = np.log(sample.x)
        statistics = np.stack([log_x, log_x**2, sample.x])
        share = sample.counts / sample.n_from[0]
        mean = statistics @ share
        scale = np.sqrt((statistics - mean[:, None]) ** 2 @ share)
        support = _support(xmin, xmax, min(1.0, float(scale[0])))
        return cls(sample, xmin, xmax, alpha, support, mean, scale)

    def fitted(self, family: Family, natural: Natural | None, reason: str = "") -> TailLaw:
        """The family at its natural parameters, with the log-likelihood of the tail."""
        if natural is None:
            return _unfitted(family, self.xmin, self.xmax, _NO_MAXIMUM)
        loglik = -float(self.sample.n_from[0]) * self.loss(np.array(natural))
        own = _own_parameters(family, natural)
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
        log_z = _log_normaliser(law.natural, self.support)
        return _log_weight(law.natural, self.sample.x) - log_z

    def loss(self, natural: Floats) -> float:
        """Mean negative log-likelihood."""
        log_p = self.support.log_weight - natural @ self.support.statistics
        return _log_sum_exp(log_p) + float(natural @ self.mean)


def _fit_power_law(tail: _Tail) -> TailLaw:
    return tail.fitted(Family.POWERLAW, (tail.alpha, 0.0, 0.0))


def _fit_exponential(tail: _Tail) -> TailLaw:
    """Started at the closed form of the unbounded support."""
    start = np.array([0.0, 0.0, math.log1p(1 / (tail.mean[2] - tail.xmin))])
    unbounded = tail.xmax is None
    return tail.fitted(Family.EXPONENTIAL, tail.maximum([2], start, floored=unbounded))


def _fit_lognormal(tail: _Tail) -> TailLaw:
    log_p = _log_masses((tail.alpha, 0.0, 0.0), tail.support)
    mean_square = float(np.exp(log_p - _log_sum_exp(log_p)) @ tail.support.statistics[1])
    return _fit_beyond_power_law(tail, Family.LOGNORMAL, 1, mean_square, _LOGNORMAL_LIMIT)


def _fit_truncated_power_law(tail: _Tail) -> TailLaw:
    mean = _mean_of_power_law(tail.alpha, tail.xmin, tail.xmax)
    return _fit_beyond_power_law(tail, Family.TRUNCATED_POWERLAW, 2, mean)


def _fit_beyond_power_law(
    tail: _Tail, family: Family, column: int, mean: float, reason: str = ""
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
    sums = _power_sums(np.array([alpha - 1, alpha]), np.full(2, float(xmin)), xmax)[0]
    return float(xmin * sums[0] / sums[1])


def _unfitted(family: Family, xmin: int, xmax: int | None, reason: str) -> TailLaw:
    """A family without parameters, and why."""
    own = dict.fromkeys(_own_parameters(family, (math.nan,) * 3), math.nan)
    return TailLaw(family, own, (math.nan,) * 3, xmin, xmax, reason=reason)


_FITTERS: Final = {
    Family.POWERLAW: _fit_power_law,
    Family.EXPONENTIAL: _fit_exponential,
    Family.LOGNORMAL: _fit_lognormal,
    Family.TRUNCATED_POWERLAW: _fit_truncated_power_law,
}


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
    sample = _tail_from(_unique_sample(values, counts, xmax), xmin, xmax)
    if len(sample.x) < 2:
        return _unfitted(family, xmin, xmax, _SINGLE_VALUE)
    alpha = float(_solve_alpha(sample.mean_log[:1], np.array([float(xmin)]), xmax)[0])
    if not math.isfinite(alpha):
        return _unfitted(family, xmin, xmax, _NO_EXPONENT)
    return _FITTERS[family](_Tail.of(sample, xmin, xmax, alpha))


# --------------------------------------------------------------------------- KS distance


@dataclass(frozen=True)
class _Sample:
    """Unique values in rising order, with what every tail of them needs."""

    x: Floats
    counts: Ints
    n_from: Floats
    """Samples from each unique value on, and a zero; length m + 1."""
    mean_log: Floats
    """Mean log of the samples from each unique value on; length m."""

    @classmethod
    def of(cls, x: Ints, counts: Ints) -> _Sample:
        values = x.astype(np.float64)
        n_from = np.append(np.cumsum(counts[::-1])[::-1], 0).astype(np.float64)
        log_from = np.cumsum((counts * np.log(values))[::-1])[::-1]
        return cls(values, counts, n_from, log_from / n_from[:-1])

    def tail(self, first: int) -> _Sample:
        """The samples from the unique value of index ``first`` on."""
        return _Sample(
            self.x[first:], self.counts[first:], self.n_from[first:], self.mean_log[first:]
        )


@dataclass(frozen=True)
class _PowerLaws:
    """K power laws on [q, xmax], ready to be evaluated."""

    alpha: Floats
    q: Floats
    xmax: int | None
    head: Floats
    """P(X ≥ q + k) for k = 0 … _DIRECT, [K, _DIRECT + 1]."""
    total: Floats
    """Σ (x/q)^(−alpha) over the support."""

    @classmethod
    def of(cls, alpha: Floats, q: Floats, xmax: int | None) -> _PowerLaws:
        end = _end(xmax)
        x = q[:, None] + np.arange(_DIRECT)
        terms = np.where(x < end, np.exp(-alpha[:, None] * np.log(x / q[:, None])), 0.0)
        start = np.minimum(q + _DIRECT, end)
        beyond = _mass_from(alpha, q, start, xmax)
        mass = np.cumsum(np.column_stack([beyond, terms[:, ::-1]]), axis=1)[:, ::-1]
        return cls(alpha, q, xmax, mass / mass[:, :1], mass[:, 0])

    def at_least(self, x: Floats) -> tuple[Floats, Floats]:
        """P(X ≥ x) and P(X > x) for x [K, P] from q on."""
        alpha, q = self.alpha[:, None], self.q[:, None]
        offset = np.minimum(x - q, _DIRECT).astype(np.int64)
        near = np.take_along_axis(self.head, offset, axis=1)
        far = _mass_from(alpha, q, x, self.xmax) / self.total[:, None]
        mass = np.where(offset < _DIRECT, near, far)
        return mass, mass - np.exp(-alpha * np.log(x / q)) / self.total[:, None]


def _mass_from(s: Floats, q: Floats, x: Floats, xmax: int | None) -> Floats:
    """Σ_{k=x}^{xmax} (k/q)^(−s) by Euler–Maclaurin, for x at least _DIRECT above q."""
    here = np.exp(-s * np.log(x / q))
    if xmax is None:
        return np.asarray(here * (x / (s - 1) + _correction(s, x)))
    end = np.asarray(float(xmax + 1))
    integral = x * _exponential_moments(s - 1, np.log(end / x))[0]
    past = np.exp(-s * np.log(end / q)) * _correction(s, np.broadcast_to(end, q.shape))
    return np.asarray(here * (integral + _correction(s, x)) - past)


def _distances(laws: _PowerLaws, x: Floats, at_least: Floats, above: Floats) -> Floats:
    """|S − F| at x and at the integer before it, the larger, [K, P].

    Between two observed values S is constant and F rises, so that no other integer is farther.
    """
    mass, beyond = laws.at_least(x)
    return np.maximum(np.abs(at_least - mass), np.abs(above - beyond))


# survival levels at which every candidate is probed before any is examined in full
_PROBES: Final = np.linspace(0.98, 0.02, 25)
_ROWS_PER_BLOCK: Final = 2048


def _full_distance(alpha: float, xmin: float, xmax: int | None, tail: _Sample) -> float:
    """KS distance of a tail from a power law on [xmin, xmax]: over every integer of the tail."""
    laws = _PowerLaws.of(np.array([alpha]), np.array([xmin]), xmax)
    share = tail.n_from / tail.n_from[0]
    return float(np.max(_distances(laws, tail.x[None], share[:-1], share[1:])))


def _probed_distances(sample: _Sample, alpha: Floats, first: Ints, xmax: int | None) -> Floats:
    """For each candidate the distance at a few of its tail's values: a lower bound of its KS."""
    levels = sample.n_from[first, None] * _PROBES
    probes = np.searchsorted(-sample.n_from[:-1], -levels)
    probes = np.clip(probes, first[:, None], len(sample.x) - 1)
    at_least = sample.n_from[probes] / sample.n_from[first, None]
    above = sample.n_from[probes + 1] / sample.n_from[first, None]
    laws = _PowerLaws.of(alpha, sample.x[first], xmax)
    return np.asarray(np.max(_distances(laws, sample.x[probes], at_least, above), axis=1))


def _candidates(sample: _Sample, xmax: int | None) -> Ints:
    """Indices of the values that may become xmin: two values in the tail, a decade of support.

    On a bounded support the distance falls to zero as xmin nears xmax, whatever the sample: one
    parameter fits any law on two integers. An unbounded support has decades without end.
    """
    inner = np.arange(max(len(sample.x) - 1, 1))
    wide = sample.x[inner] * 10**CONST.TAIL_FIT_MIN_DECADES <= (math.inf if xmax is None else xmax)
    return inner[wide] if np.any(wide) else inner[:1]


def _scan(sample: _Sample, xmax: int | None) -> tuple[int, float, float]:
    """Index of the xmin with the smallest KS distance, its alpha and that distance.

    Exact, though most candidates are never examined in full: one whose lower bound exceeds the
    best distance so far cannot win. Equal distances go to the smaller xmin.
    """
    candidates = _candidates(sample, xmax)
    alpha = _solve_alpha(sample.mean_log[candidates], sample.x[candidates], xmax)
    cuts = range(_ROWS_PER_BLOCK, len(candidates), _ROWS_PER_BLOCK)
    bounds = np.concatenate(
        [
            _probed_distances(sample, alpha[block], candidates[block], xmax)
            for block in np.split(np.arange(len(candidates)), cuts)
        ]
    )
    best, chosen = math.inf, 0
    for index in np.argsort(bounds, kind="stable").tolist():
        if not bounds[index] <= best:
            break
        tail = sample.tail(int(candidates[index]))
        distance = _full_distance(float(alpha[index]), float(tail.x[0]), xmax, tail)
        if (distance, index) < (best, chosen):
            best, chosen = distance, index
    found = best if math.isfinite(best) else math.nan
    return int(candidates[chosen]), float(alpha[chosen]), found


# ------------------------------------------------------------------------- comparisons


def compare(
    first: TailLaw,
    second: TailLaw,
    values: Integers,
    *,
    counts: Integers | None = None,
) -> Comparison:
    """Log-likelihood ratio of two laws on the values of their common support, with Vuong's p.

    Where one is the power law and the other the truncated one, p is that of the nested model.
    Clauset et al. 2009, equations C.4 to C.6; Vuong 1989, equation 5.6.

    Args:
        first: the law for which a positive ratio speaks.
        second: its rival.
        values: positive integers [n]; those under xmin are left out.
        counts: how often each value occurs, [n]; once, by default.

    Raises:
        InputError: the laws have different supports, so that the ratio would compare
            normalisations and not shapes.
        ArrayError: values or counts are not integers of one length, or out of range.
    """
    if (first.xmin, first.xmax) != (second.xmin, second.xmax):
        raise InputError(
            f"{first.family} is normalised on {_interval_text(first)} and {second.family} on "
            f"{_interval_text(second)}: fit both on one support before comparing them"
        )
    sample = _tail_from(_unique_sample(values, counts, first.xmax), first.xmin, first.xmax)
    difference = first.log_pmf(sample.x) - second.log_pmf(sample.x)
    return _ratio(difference, sample.counts, nested=_nested(first, second))


def _nested(first: TailLaw, second: TailLaw) -> bool:
    return {first.family, second.family} == {Family.POWERLAW, Family.TRUNCATED_POWERLAW}


def _ratio(difference: Floats, counts: Ints, *, nested: bool) -> Comparison:
    """Sum of pointwise log-likelihood differences, and its p; NaN where they are undefined."""
    n = float(counts.sum())
    if n == 0 or not np.all(np.isfinite(difference)):
        return Comparison(math.nan, math.nan)
    llr = float(counts @ difference)
    if nested:
        return Comparison(llr, float(chdtrc(1, 2 * abs(llr))))
    variance = float(counts @ (difference - llr / n) ** 2) / n
    p = 2 * ndtr(-abs(llr) / math.sqrt(n * variance)) if variance > 0 else 1.0
    return Comparison(llr, float(p))


def _interval_text(law: TailLaw) -> str:
    return f"[{law.xmin}, {'∞)' if law.xmax is None else f'{law.xmax}]'}"


def _best_family(fits: Mapping[Family, TailLaw], n_tail: int) -> Family | None:
    """The family of smallest Bayesian information criterion; ties go to the simpler one."""
    criterion = {
        family: len(law.parameters) * math.log(n_tail) - 2 * law.loglik
        for family, law in fits.items()
        if math.isfinite(law.loglik)
    }
    return min(criterion, key=criterion.__getitem__) if criterion else None


# ----------------------------------------------------------------------------- the fit


def fit_tail(
    values: Integers,
    *,
    xmin: int | None = None,
    xmax: int | None = None,
    gof_reps: int = 0,
    rng: np.random.Generator | None = None,
    counts: Integers | None = None,
) -> TailFit:
    """Fit a discrete power law to the tail of integer samples, and compare it with its rivals.

    Args:
        values: positive integers [n], such as avalanche sizes or token spans.
        xmin: smallest value of the tail; scanned by default.
        xmax: largest value that can occur (T for token spans); None for an unbounded support.
        gof_reps: replicates of the semi-parametric bootstrap of the KS distance, in each of which
            xmin is scanned anew unless it was given; none by default.
        rng: the generator that the bootstrap draws from.
        counts: how often each value occurs, [n]; once, by default.

    Returns:
        The fit. Its numbers stand even where its status is ``not_assessable``.

    Raises:
        ArrayError: values or counts are not integers of one length, or out of range.
        InputError: the support is empty, or a bootstrap is wanted without a generator.

    >>> sizes = power_law(2.5).sample(10_000, np.random.default_rng(7))
    >>> fit = fit_tail(sizes, xmin=1)
    >>> round(fit.alpha, 2), round(fit.alpha_se, 3), fit.best_family.value, fit.status
    (2.49, 0.017, 'powerlaw', 'ok')
    """
    if gof_reps and rng is None:
        raise InputError(f"gof_reps={gof_reps} needs a generator: give rng")
    sample = _unique_sample(values, counts, xmax)
    if not len(sample.x):
        return _without_samples(xmin, xmax)
    chosen, alpha, ks = _best_tail(sample, xmin, xmax)
    tail = _tail_from(sample, chosen, xmax)
    ks_p = math.nan
    if gof_reps and rng is not None and math.isfinite(ks):
        law = power_law(alpha, xmin=chosen, xmax=xmax)
        ks_p = _goodness_of_fit(sample, law, ks, gof_reps, rng, scan=xmin is None)
    return _assemble(sample, tail, chosen, xmax, alpha, ks, ks_p)


def _best_tail(sample: _Sample, xmin: int | None, xmax: int | None) -> tuple[int, float, float]:
    """xmin, alpha and KS distance: scanned, or those of the xmin that was given."""
    if xmin is None and len(sample.x) > 1:
        index, alpha, distance = _scan(sample, xmax)
        return int(sample.x[index]), alpha, distance
    chosen = int(sample.x[0]) if xmin is None else xmin
    tail = _tail_from(sample, chosen, xmax)
    if len(tail.x) < 2:
        return chosen, math.nan, math.nan
    alpha = float(_solve_alpha(tail.mean_log[:1], np.array([float(chosen)]), xmax)[0])
    distance = _full_distance(alpha, float(chosen), xmax, tail) if math.isfinite(alpha) else alpha
    return chosen, alpha, distance


def _without_samples(xmin: int | None, xmax: int | None) -> TailFit:
    """The fit of nothing."""
    nan = math.nan
    reason = _doubts(0, nan, 0, nan)
    status = STATUS_NOT_ASSESSABLE
    return TailFit(xmin, xmax, 0, 0, nan, nan, nan, nan, nan, {}, {}, None, status, reason)


def _assemble(
    sample: _Sample,
    tail: _Sample,
    xmin: int,
    xmax: int | None,
    alpha: float,
    ks: float,
    ks_p: float,
) -> TailFit:
    """The four fits on the chosen tail, their comparison and the verdict."""
    fits, comparisons = _fit_all(tail, xmin, xmax, alpha)
    decades = math.log10(tail.x[-1] / xmin) if len(tail.x) else math.nan
    n_tail = int(tail.n_from[0])
    reason = _doubts(n_tail, decades, len(tail.x), alpha)
    return TailFit(
        xmin=xmin,
        xmax=xmax,
        n_samples=int(sample.n_from[0]),
        n_tail=n_tail,
        decades=decades,
        alpha=alpha,
        alpha_se=_standard_error(alpha, xmin, xmax, n_tail),
        ks=ks,
        ks_p=ks_p,
        fits=fits,
        comparisons=comparisons,
        best_family=_best_family(fits, n_tail),
        status=STATUS_NOT_ASSESSABLE if reason else STATUS_OK,
        reason=reason,
    )


def _fit_all(
    tail: _Sample, xmin: int, xmax: int | None, alpha: float
) -> tuple[dict[Family, TailLaw], dict[Family, Comparison]]:
    """Every family on the tail, and the power law against the others; nothing without an alpha."""
    if not math.isfinite(alpha):
        return {}, {}
    described = _Tail.of(tail, xmin, xmax, alpha)
    fits = {family: fitter(described) for family, fitter in _FITTERS.items()}
    power = fits[Family.POWERLAW]
    log_p = described.log_pmf(power)
    comparisons = {
        family: _ratio(log_p - described.log_pmf(law), tail.counts, nested=_nested(power, law))
        for family, law in fits.items()
        if law is not power
    }
    return fits, comparisons


def _standard_error(alpha: float, xmin: int, xmax: int | None, n_tail: int) -> float:
    """1/√(n·Var[log x]): observed and expected information of a natural family are the same."""
    if not math.isfinite(alpha):
        return math.nan
    sums = _power_sums(np.array([alpha]), np.array([float(xmin)]), xmax)
    variance = sums[2] / sums[0] - (sums[1] / sums[0]) ** 2
    return float(1 / np.sqrt(n_tail * variance[0]))


def _doubts(n_tail: int, decades: float, n_unique: int, alpha: float) -> str:
    """Why a tail cannot be assessed, in words; empty where it can."""
    if not n_tail:
        return "no samples in the tail"
    doubts = [_SINGLE_VALUE] if n_unique == 1 else []
    if n_unique > 1 and not math.isfinite(alpha):
        doubts.append(_NO_EXPONENT)
    if n_tail < CONST.TAIL_FIT_MIN_TAIL_SAMPLES:
        doubts.append(f"{n_tail} samples in the tail, {CONST.TAIL_FIT_MIN_TAIL_SAMPLES} needed")
    if decades < CONST.TAIL_FIT_MIN_DECADES:
        doubts.append(f"the tail spans {decades:.2f} decades, {CONST.TAIL_FIT_MIN_DECADES} needed")
    return "; ".join(doubts)


def _goodness_of_fit(
    sample: _Sample, law: TailLaw, ks: float, reps: int, rng: np.random.Generator, *, scan: bool
) -> float:
    """Semi-parametric bootstrap of the KS distance, Clauset et al. 2009, section 4.1.

    A sample is drawn from the power law with the tail's probability, else from what was observed
    under xmin, and is fitted as the data were.
    """
    xmin = None if scan else law.xmin
    distances = [_best_tail(_redraw(sample, law, rng), xmin, law.xmax)[2] for _ in range(reps)]
    return (1 + sum(distance >= ks for distance in distances)) / (1 + reps)


def _redraw(sample: _Sample, law: TailLaw, rng: np.random.Generator) -> _Sample:
    """One replicate: as many samples as were observed, the tail's from the law."""
    first = int(np.searchsorted(sample.x, law.xmin))
    n, n_tail = int(sample.n_from[0]), int(sample.n_from[first])
    drawn = int(rng.binomial(n, n_tail / n))
    tail, counts = np.unique(law.sample(drawn, rng), return_counts=True)
    if first == 0:
        return _Sample.of(tail, counts)
    body = rng.multinomial(n - drawn, sample.counts[:first] / (n - n_tail))
    seen = body > 0
    return _Sample.of(
        np.append(sample.x[:first][seen].astype(np.int64), tail), np.append(body[seen], counts)
    )


# ------------------------------------------------------------------------------ input


def _check_support(xmin: int, xmax: int | None) -> None:
    if xmin < 1 or (xmax is not None and xmax < xmin):
        raise InputError(f"support [{xmin}, {xmax}]: needs 1 ≤ xmin ≤ xmax")


def check_integers(name: str, array: Integers, smallest: int) -> None:
    """Refuse anything but integers of shape [n], none under ``smallest``.

    Raises:
        ArrayError: naming the array, the expected and the found.
    """
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ArrayError(
            f"{name} must be integers of shape [n], found {array.dtype} of shape {array.shape}"
        )
    if array.size and array.min() < smallest:
        raise ArrayError(f"{name} must be at least {smallest}, found {array.min()}")


def _unique_sample(
    values: npt.NDArray[Any], counts: npt.NDArray[Any] | None, xmax: int | None
) -> _Sample:
    """The values as unique values and counts, checked."""
    check_integers("values", values, 1)
    if values.size and xmax is not None and values.max() > xmax:
        raise ArrayError(f"values must not exceed xmax = {xmax}, found {values.max()}")
    if counts is None:
        unique, n = np.unique(values.astype(np.int64), return_counts=True)
        return _Sample.of(unique, n)
    check_integers("counts", counts, 0)
    if counts.shape != values.shape:
        raise ArrayError(
            f"counts must have the shape of values, {values.shape}, found {counts.shape}"
        )
    unique, group = np.unique(values.astype(np.int64), return_inverse=True)
    n = np.zeros(len(unique), dtype=np.int64)
    np.add.at(n, group, counts.astype(np.int64))
    return _Sample.of(unique[n > 0], n[n > 0])


def _tail_from(sample: _Sample, xmin: int, xmax: int | None) -> _Sample:
    """The samples from xmin on."""
    _check_support(xmin, xmax)
    return sample.tail(int(np.searchsorted(sample.x, xmin)))


# ---------------------------------------------------------------------- window intervals

_INTERPOLATION_NODES: Final = 65


def alpha_from_mean_log(
    mean_log: Float[np.ndarray, " R"], xmin: int, xmax: int | None = None
) -> Float[np.ndarray, " R"]:
    """Exponent of the power law on [xmin, xmax] whose E[log x] is mean_log, by interpolation.

    With xmin kept, the likelihood depends on a tail's mean log alone. The score's root is found at
    equidistant values of log(mean_log − log xmin) and joined by a cubic spline (relative error
    about 1e-8 where means differ tenfold). NaN where no exponent has that mean.
    """
    _check_support(xmin, xmax)
    excess = np.asarray(mean_log, dtype=np.float64) - math.log(xmin)
    top = math.inf if xmax is None else math.log(xmax / xmin)
    alpha = np.full_like(excess, np.nan)
    defined = (excess > 0) & (excess < top)
    wanted = np.log(excess[defined])
    few = wanted.size <= _INTERPOLATION_NODES or np.ptp(wanted) == 0
    nodes = wanted if few else np.linspace(wanted.min(), wanted.max(), _INTERPOLATION_NODES)
    roots = _solve_alpha(np.exp(nodes) + math.log(xmin), np.full_like(nodes, xmin), xmax)
    alpha[defined] = roots if few else CubicSpline(nodes, roots)(wanted)
    return alpha


def tail_sums_by_window(
    values: Integers, window: Integers, *, n_windows: int, xmin: int
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Samples in the tail of each window, and the sum of their logs.

    Args:
        values: positive integers [n].
        window: the window of each value, 0 … n_windows − 1, [n].
        n_windows: windows in all, those without a sample included.
        xmin: smallest value of the tail.

    Raises:
        ArrayError: values or windows are not integers of one length, or out of range.
    """
    check_integers("values", values, 1)
    check_windows(window, values.shape, n_windows)
    inside = values >= xmin
    n = np.bincount(window[inside], minlength=n_windows).astype(np.float64)
    logs = np.bincount(window[inside], weights=np.log(values[inside]), minlength=n_windows)
    return n, logs


def check_windows(window: npt.NDArray[Any], shape: tuple[int, ...], n_windows: int) -> None:
    """Refuse window numbers that are not integers 0 … n_windows − 1 of the given shape.

    Raises:
        ArrayError: naming the expected and the found.
    """
    check_integers("window", window, 0)
    if window.shape != shape or (window.size and window.max() >= n_windows):
        raise ArrayError(
            f"window must hold 0 … {n_windows - 1} in shape {shape}, found shape {window.shape}"
            + (f" and {window.max()}" if window.size else "")
        )


def window_weights(n_windows: int, reps: int, rng: np.random.Generator) -> Float[np.ndarray, "R N"]:
    """How often each window is drawn in each bootstrap replicate; every row sums to n_windows."""
    drawn = rng.integers(n_windows, size=(reps, n_windows)) + n_windows * np.arange(reps)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=reps * n_windows)
    return weights.reshape(reps, n_windows).astype(np.float64)


def alpha_replicates(
    counts: Float[np.ndarray, " N"],
    log_sums: Float[np.ndarray, " N"],
    weights: Float[np.ndarray, "R N"],
    *,
    xmin: int,
    xmax: int | None = None,
) -> Float[np.ndarray, " R"]:
    """The exponent of each replicate of windows, xmin kept; NaN where a tail is empty."""
    n = weights @ counts
    mean_log = np.divide(weights @ log_sums, n, out=np.full(len(n), np.nan), where=n > 0)
    return alpha_from_mean_log(mean_log, xmin, xmax)


def percentile_interval(
    replicates: Float[np.ndarray, " R"], n_windows: int, level: float = 0.95
) -> WindowInterval:
    """The central ``level`` of the replicates; those without a value are left out."""
    defined = replicates[np.isfinite(replicates)]
    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = np.quantile(defined, tails) if defined.size else (math.nan, math.nan)
    few = n_windows < CONST.FEW_WINDOWS
    return WindowInterval(float(low), float(high), n_windows, few, replicates)


def alpha_window_interval(
    counts: Float[np.ndarray, " N"],
    log_sums: Float[np.ndarray, " N"],
    *,
    xmin: int,
    rng: np.random.Generator,
    xmax: int | None = None,
    reps: int = CONST.BOOTSTRAP_REPS,
    level: float = 0.95,
) -> WindowInterval:
    """Percentile interval of alpha from resampled windows, with xmin kept.

    Args:
        counts: samples in the tail of each window, from :func:`tail_sums_by_window`.
        log_sums: sum of their logs.
        xmin: the fit's.
        rng: the generator that draws windows.
        xmax: the fit's.
        reps: bootstrap replicates.
        level: nominal coverage.
    """
    weights = window_weights(len(counts), reps, rng)
    replicates = alpha_replicates(counts, log_sums, weights, xmin=xmin, xmax=xmax)
    return percentile_interval(replicates, len(counts), level)
