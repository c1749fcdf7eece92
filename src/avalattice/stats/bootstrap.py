"""Window bootstrap: intervals of statistics that are functions of sums over windows.

Windows are resampled with replacement (Efron 1979). A replicate's sums are the windows' sums
weighted by how often each window was drawn, so a replicate costs one row of a matrix product, and
statistics that share a :class:`Resamples` are paired. The thresholds tau are held fixed: intervals
are those of the measurement given the thresholds.

Few windows make intervals too narrow: at 8 windows a nominal 95 % covers about 88 % for a mean and
67 % for chi. Callers flag intervals from fewer than FEW_WINDOWS windows. One window has no interval
at all: every resample of it is itself. Nor has a statistic that fewer than 95 % of the resamples
define, say because all events lie in one window: those that do are no sample of what it may be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from avalattice.canon import CONST
from avalattice.errors import ArrayError

LEVEL = 0.95
_FURTHEST = math.log(1e6)
_BLOCK_WINDOWS = 256


@dataclass(frozen=True)
class Interval:
    """A confidence interval; NaN where it is undefined."""

    low: Float64[np.ndarray, "*stack"]
    """Lower end."""
    high: Float64[np.ndarray, "*stack"]
    """Upper end."""

    @property
    def width(self) -> Float64[np.ndarray, "*stack"]:
        """High minus low."""
        return np.asarray(self.high - self.low)


@dataclass(frozen=True)
class Resamples:
    """How often each window stands in each replicate."""

    weights: Float64[np.ndarray, "R N"]
    """Multinomial counts; each row sums to N."""

    @classmethod
    def draw(cls, n_windows: int, reps: int, rng: np.random.Generator) -> Resamples:
        """Draw ``reps`` resamples of ``n_windows`` windows.

        Raises:
            ArrayError: there is no window.
        """
        if n_windows < 1:
            raise ArrayError("a window bootstrap needs at least one window, found none")
        picks = np.full(n_windows, 1 / n_windows)
        return cls(rng.multinomial(n_windows, picks, size=reps).astype(np.float64))

    @property
    def n_windows(self) -> int:
        """N."""
        return len(self.weights.T)

    @property
    def few_windows(self) -> bool:
        """Fewer than FEW_WINDOWS windows: intervals cover less than they say."""
        return self.n_windows < CONST.FEW_WINDOWS

    def sums(self, per_window: np.ndarray) -> Float64[np.ndarray, "R ..."]:
        """Each replicate's sums, from per-window values [N, ...]; NaN of a single window.

        Raises:
            ArrayError: the number of windows is another.
        """
        n = self.n_windows
        if len(per_window) != n:
            raise ArrayError(f"resamples of {n} windows, values of {len(per_window)}")
        if n < 2:
            return np.full((len(self.weights), *per_window.shape[1:]), np.nan)
        # a product over more windows is summed in parts whose length depends on the number of
        # threads (OpenBLAS: from 385 on), and with it the last digits of what is no whole number
        starts = range(0, n, _BLOCK_WINDOWS)
        blocks = [slice(start, start + _BLOCK_WINDOWS) for start in starts]
        total = np.tensordot(self.weights[:, blocks[0]], per_window[blocks[0]], axes=1)
        for block in blocks[1:]:
            total += np.tensordot(self.weights[:, block], per_window[block], axes=1)
        return total

    def why_undefined(self, replicates: Float64[np.ndarray, " R"]) -> str:
        """Why a statistic with these replicates has no interval, in words."""
        if self.n_windows < 2:
            return "one window cannot be resampled"
        defined = np.count_nonzero(~np.isnan(replicates))
        return f"{defined} of {len(replicates)} replicates are defined"


def percentile_interval(replicates: np.ndarray, *, level: float = LEVEL) -> Interval:
    """Percentile interval of replicates [R, ...], those that are undefined left out.

    NaN where fewer than ``level`` of the replicates are defined: more than the interval's two tails
    are then missing.
    """
    tail = (1 - level) / 2
    defined = np.count_nonzero(~np.isnan(replicates), axis=0)
    enough = np.asarray(defined / max(len(replicates), 1) >= level)
    ends = np.full((2, *replicates.shape[1:]), np.nan)
    if enough.any():
        ends[:, enough] = np.nanquantile(replicates[:, enough], [tail, 1 - tail], axis=0)
    return Interval(np.asarray(ends[0]), np.asarray(ends[1]))


def no_interval(values: Mapping[str, ArrayLike], lows: Mapping[str, ArrayLike]) -> str:
    """Which numbers are defined and have no interval, and why, in words; empty if none.

    Args:
        values: the numbers, by name.
        lows: the lower ends of intervals, by name; what has no entry is not asked.

    >>> no_interval({"b_time": 0.4, "b_tot": 0.9}, {"b_time": math.nan, "b_tot": 0.8})
    'no interval of b_time: it needs two windows, and 95% of their resamples to define it'
    """
    undefined = {name: np.isnan(low) & ~np.isnan(values[name]) for name, low in lows.items()}
    names = [name for name, missing in undefined.items() if np.any(missing)]
    if not names:
        return ""
    needed = f"it needs two windows, and {LEVEL:.0%} of their resamples to define it"
    return f"no interval of {', '.join(names)}: {needed}"


def studentised_log_interval(
    estimate: np.ndarray,
    log_se: np.ndarray,
    replicates: np.ndarray,
    replicate_log_se: np.ndarray,
    *,
    level: float = LEVEL,
) -> Interval:
    """Bootstrap-t interval on a positive statistic's logarithm (Efron and Tibshirani 1993).

    Args:
        estimate: the statistic.
        log_se: standard error of its logarithm.
        replicates: its replicates [R, ...].
        replicate_log_se: their standard errors [R, ...].
        level: coverage.

    Returns:
        The interval. An end further from the estimate than a factor of 10⁶ is NaN: resamples of a
        handful of windows can have next to no standard error, and then nothing is determined.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (np.log(replicates) - np.log(estimate)) / replicate_log_se
        t[~np.isfinite(t)] = np.nan
        quantiles = percentile_interval(t, level=level)
        shifts = [-quantiles.high * log_se, -quantiles.low * log_se]
        ends = [np.where(np.abs(s) > _FURTHEST, np.nan, s) + np.log(estimate) for s in shifts]
    return Interval(np.asarray(np.exp(ends[0])), np.asarray(np.exp(ends[1])))
