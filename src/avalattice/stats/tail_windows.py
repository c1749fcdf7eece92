"""Tail exponents of resampled windows, with xmin kept.

With xmin kept, the likelihood depends on a tail's mean log alone: a replicate's alpha follows from
two sums per window, the samples in the tail and the sum of their logs. Avalanches of one window are
not independent, so that the interval over windows is the one to quote, not the standard error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from avalattice.errors import ArrayError
from avalattice.stats.bootstrap import LEVEL, Interval, Resamples, percentile_interval
from avalattice.stats.power_sums import solve_alpha
from avalattice.stats.tail_samples import Integers, check_integers, check_support


def alpha_from_mean_log(
    mean_log: Float[np.ndarray, " R"], xmin: int, xmax: int | None = None
) -> Float[np.ndarray, " R"]:
    """Exponent of the power law on [xmin, xmax] whose E[log x] is mean_log.

    With xmin kept, the likelihood depends on a tail's mean log alone. Every mean's exponent is the
    score's own root: 2,000 take 10 ms, and on a bounded support interpolation loses digits near
    log xmax, where the exponent falls without bound. NaN where no exponent has that mean.
    """
    check_support(xmin, xmax)
    means = np.asarray(mean_log, dtype=np.float64)
    return solve_alpha(means, np.full_like(means, xmin), xmax)


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


def alpha_replicates(
    counts: Float[np.ndarray, " N"],
    log_sums: Float[np.ndarray, " N"],
    resamples: Resamples,
    *,
    xmin: int,
    xmax: int | None = None,
) -> Float[np.ndarray, " R"]:
    """The exponent of each replicate of windows, xmin kept; NaN where a tail is empty.

    Args:
        counts: samples in the tail of each window, from :func:`tail_sums_by_window`.
        log_sums: sum of their logs.
        resamples: of the windows.
        xmin: the fit's.
        xmax: the fit's.
    """
    n, total = resamples.sums(counts), resamples.sums(log_sums)
    mean_log = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
    return alpha_from_mean_log(mean_log, xmin, xmax)


def alpha_window_interval(
    counts: Float[np.ndarray, " N"],
    log_sums: Float[np.ndarray, " N"],
    resamples: Resamples,
    *,
    xmin: int,
    xmax: int | None = None,
    level: float = LEVEL,
) -> Interval:
    """Percentile interval of alpha over windows: that of :func:`alpha_replicates`."""
    replicates = alpha_replicates(counts, log_sums, resamples, xmin=xmin, xmax=xmax)
    return percentile_interval(replicates, level=level)
