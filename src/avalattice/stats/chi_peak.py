"""A peak of the susceptibility over a grid of gains, and whether it stands above both ends.

    D_e = log chi(g) − log chi(e),    e the smallest and the largest gain

for the interior gain g of the largest chi. Both chi are of the same windows, so that D_e is paired:
its standard error is that of the difference of the two influence functions of log chi,
((y − m)² − s²)/s² − (y − m)/m, window by window (:mod:`avalattice.lattice.susceptibility`).

Intervals are bootstrap-t (Efron and Tibshirani 1993, chapter 12): of totals with long tails,
percentile intervals of a variance cover too little. The gain of the peak was found on the very
curve that is tested; the quantile is therefore that of the largest studentised deviation among all
interior gains (max-t, Romano and Wolf 2005, doi:10.1111/j.1468-0262.2005.00615.x), and covers
whichever of them is the peak. A flat curve, whose highest point is an accident, then rarely passes.

Peaks at the grid's ends are none, and a second peak is not looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from jaxtyping import Float, Num

from avalattice.arrays import Floats
from avalattice.errors import ArrayError
from avalattice.lattice.susceptibility import susceptibility_of_totals
from avalattice.stats.bootstrap import LEVEL, Interval, Resamples

MIN_GAINS: Final = 3
"""An interior needs a gain between two others."""


@dataclass(frozen=True)
class ChiPeak:
    """Where chi is largest on a grid of gains, and how far it stands above both ends."""

    gains: tuple[Decimal, ...]
    """The grid, increasing."""
    chi: Float[np.ndarray, " G"]
    """Susceptibility at each gain."""
    gain: Decimal | None
    """The gain of the largest chi, the smaller of equal ones; None where chi is undefined."""
    interior: bool
    """chi there exceeds chi at both ends of the grid."""
    log_ratio: tuple[float, float]
    """log chi(gain) − log chi at the first and the last gain; NaN without an interior peak."""
    intervals: tuple[tuple[float, float], tuple[float, float]]
    """Their simultaneous bootstrap-t intervals over windows."""
    few_windows: bool
    """Intervals rest on fewer than FEW_WINDOWS windows, and cover less than they say."""
    reason: str
    """Why there is no peak to be assessed; empty where there may be one."""

    @property
    def assessable(self) -> bool:
        """Whether chi is defined at three gains or more."""
        return self.gain is not None

    @property
    def exceeds_both_ends(self) -> bool:
        """Both intervals lie above zero."""
        return self.interior and all(low > 0 for low, _ in self.intervals)


def chi_peak(
    gains: Sequence[Decimal], totals: Num[np.ndarray, "G N"], resamples: Resamples
) -> ChiPeak:
    """Find the peak of chi over gains, and compare it with both ends.

    Args:
        gains: the grid, increasing.
        totals: events of each window at each gain, [G, N], the same windows at all.
        resamples: of the N windows.

    Raises:
        ArrayError: gains do not increase, or the shapes do not fit.

    >>> rng = np.random.default_rng(3)
    >>> spread = np.array([1.0, 2.0, 5.0, 2.0, 1.0])  # variance over mean of each gain's totals
    >>> totals = rng.poisson(rng.gamma(100 / spread[:, None], spread[:, None], (5, 200)))
    >>> gains = [Decimal(g) for g in "0.8 0.9 1.0 1.1 1.2".split()]
    >>> peak = chi_peak(gains, totals, Resamples.draw(200, 500, rng))
    >>> str(peak.gain), peak.interior, peak.exceeds_both_ends
    ('1.0', True, True)
    """
    _check(gains, totals, resamples)
    chi = susceptibility_of_totals(totals).chi
    few = resamples.few_windows
    nothing = ((np.nan, np.nan), (np.nan, np.nan))
    missing = _undefined(gains, chi)
    if missing:
        return ChiPeak(tuple(gains), chi, None, False, nothing[0], nothing, few, missing)
    peak = int(np.argmax(chi))
    interior = bool(chi[peak] > max(chi[0], chi[-1]))
    log_ratio, intervals = nothing[0], nothing
    if interior:
        first, last = (_compare(totals, end, peak, resamples) for end in (0, len(gains) - 1))
        log_ratio, intervals = (first[0], last[0]), (first[1], last[1])
    return ChiPeak(tuple(gains), chi, gains[peak], interior, log_ratio, intervals, few, "")


def _check(gains: Sequence[Decimal], totals: np.ndarray, resamples: Resamples) -> None:
    if list(gains) != sorted(set(gains)):
        raise ArrayError(f"gains must increase, found {[str(g) for g in gains]}")
    expected = (len(gains), resamples.n_windows)
    if totals.shape != expected:
        raise ArrayError(f"totals must be [G, N] = {expected}, found shape {totals.shape}")


def _undefined(gains: Sequence[Decimal], chi: Floats) -> str:
    """Why no peak can be assessed, in words; empty where one can."""
    if len(gains) < MIN_GAINS:
        return f"a peak inside the grid needs {MIN_GAINS} gains, there are {len(gains)}"
    without = [str(g) for g, value in zip(gains, chi, strict=True) if not np.isfinite(value)]
    if not without:
        return ""
    return f"chi is undefined at g = {', '.join(without)}: it needs two windows and some event"


def _compare(
    totals: np.ndarray, end: int, peak: int, resamples: Resamples
) -> tuple[float, tuple[float, float]]:
    """D of the peak over one end, and its interval, simultaneous over interior gains."""
    measured = np.ones((1, resamples.n_windows))
    estimate, se = _log_ratios(totals, end, measured)
    replicates, replicate_se = _log_ratios(totals, end, resamples.weights)
    interval = max_t_interval(estimate[0], se[0], replicates, replicate_se)
    place = peak - 1
    return float(estimate[0, place]), (float(interval.low[place]), float(interval.high[place]))


def _log_ratios(totals: np.ndarray, end: int, weights: Floats) -> tuple[Floats, Floats]:
    """D of each interior gain over one end, and its standard error, both [R, G − 2].

    NaN where a draw of windows has no variance, or no events.
    """
    log_chi_end, influence_end = _log_chi(totals[end], weights)
    found = [_log_chi(row, weights) for row in totals[1:-1]]
    difference = np.stack([log_chi - log_chi_end for log_chi, _ in found], axis=1)
    n = weights.sum(axis=1)
    squares = [np.sum(weights * (influence - influence_end) ** 2, axis=1) for _, influence in found]
    return difference, np.sqrt(np.stack(squares, axis=1)) / n[:, None]


def _log_chi(Y: np.ndarray, weights: Floats) -> tuple[Floats, Floats]:
    """log chi of each draw of windows, [R], and its influence function at each window, [R, N].

    The factor N/(N − 1) of the sample variance and CHI_EPS cancel in differences, or nearly.
    """
    n = weights.sum(axis=1)
    mean = weights @ Y / n
    deviation = Y - mean[:, None]
    variance = np.sum(weights * deviation**2, axis=1) / n
    defined = (variance > 0) & (mean > 0)
    mean, variance = (np.where(defined, moment, np.nan) for moment in (mean, variance))
    influence = deviation**2 / variance[:, None] - 1 - deviation / mean[:, None]
    return np.log(variance / mean), influence


def max_t_interval(
    estimate: Float[np.ndarray, " K"],
    se: Float[np.ndarray, " K"],
    replicates: Float[np.ndarray, "R K"],
    replicate_se: Float[np.ndarray, "R K"],
    *,
    level: float = LEVEL,
) -> Interval:
    """Simultaneous bootstrap-t intervals of K statistics, by the extremes of a replicate.

    Args:
        estimate: the statistics.
        se: their standard errors.
        replicates: their replicates.
        replicate_se: the standard errors of those.
        level: coverage of all K intervals together, half of what is missing on either side.

    Returns:
        the intervals; NaN where a statistic has no standard error, and all of them where so many
        replicates are undefined that they would fill a tail: two or three windows, say.
    """
    studied = np.isfinite(se) & (se > 0)
    t = np.full(replicates.shape, np.nan)
    usable = np.isfinite(replicates) & (replicate_se > 0)
    np.divide(replicates - estimate, replicate_se, out=t, where=usable)
    whole = t[usable[:, studied].all(axis=1)][:, studied]
    tail = (1 - level) / 2
    if not whole.size or len(whole) < (1 - tail) * len(t):
        return Interval(np.full_like(estimate, np.nan), np.full_like(estimate, np.nan))
    highest = np.quantile(whole.max(axis=1), 1 - tail)
    lowest = np.quantile(whole.min(axis=1), tail)
    scale = np.where(studied, se, np.nan)
    return Interval(estimate - highest * scale, estimate - lowest * scale)
