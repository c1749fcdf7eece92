"""Size–duration (crackling) relation, and its prediction from the tails.

    E[S | D] ∝ D^gamma,    gamma_predicted = (alpha_D − 1) / (alpha_S − 1)

gamma is the weighted least-squares slope of log mean S on log D, weights n_D, over the token spans
D in [CRACKLING_D_RANGE_MIN, CRACKLING_D_RANGE_MAX] that hold CRACKLING_MIN_PER_POINT avalanches.
After Sethna, Dahmen and Myers, Nature 410, 242 (2001).

Spans are in tokens, sizes in events. In a bootstrap replicate windows are drawn anew while the set
of spans, like xmin, is kept. The relation holds for many processes that are not critical: it is
printed beside that of null rasters, which is not done here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from avalattice.arrays import Floats, Ints
from avalattice.canon import CONST
from avalattice.errors import ArrayError, InputError
from avalattice.stats.bootstrap import Interval, Resamples, percentile_interval
from avalattice.stats.tail_samples import Integers, check_integers
from avalattice.stats.tail_windows import alpha_replicates, check_windows, tail_sums_by_window
from avalattice.stats.tails import TailFit

CRACKLING_SPANS: Final = np.arange(CONST.CRACKLING_D_RANGE_MIN, CONST.CRACKLING_D_RANGE_MAX + 1)
"""The token spans that are looked at."""


@dataclass(frozen=True)
class Crackling:
    """The size–duration exponent, its interval, and whether it can be relied on."""

    gamma: float
    """Slope of log mean size on log span."""
    interval: Interval | None
    """Percentile interval of gamma over windows; None where no windows were given."""
    replicates: Float[np.ndarray, " R"] | None
    """gamma of each replicate of windows, NaN where it is undefined; None without windows."""
    few_windows: bool
    """The interval rests on fewer than FEW_WINDOWS windows, and covers less than it says."""
    n_duration_points: int
    """Spans with enough avalanches."""
    n_avalanches_used: int
    """Avalanches of those spans."""
    r2: float
    """Weighted share of the variance of log mean size that the line explains."""
    gamma_interior: float
    """gamma without the avalanches that touch the lattice border; NaN where that is unknown."""
    border_event_share: float
    """Share of events that belong to avalanches touching the border; NaN where that is unknown."""
    span: Int[np.ndarray, " P"]
    """The spans used, in tokens."""
    mean_size: Float[np.ndarray, " P"]
    """Mean size of the avalanches of each, in events."""
    passed: bool
    """CRACKLING_MIN_POINTS spans, and an interval no wider than BOOTSTRAP_CI_WIDTH_MAX."""
    reason: str
    """Which gate failed, or why gamma is NaN; empty where it passed."""


@dataclass(frozen=True)
class ExponentRelation:
    """Measured minus predicted gamma, with an interval from paired replicates."""

    gamma_predicted: float
    """(alpha_D − 1) / (alpha_S − 1)."""
    dcc_signed: float
    """gamma − gamma_predicted: the deviation from criticality coefficient, with its sign."""
    interval: Interval
    """Percentile interval of dcc_signed over windows."""
    replicates: Float[np.ndarray, " R"]
    """dcc_signed of each replicate, which resamples the windows of all three exponents together."""
    few_windows: bool
    """The interval rests on fewer than FEW_WINDOWS windows, and covers less than it says."""
    reason: str
    """Why numbers are NaN; empty where they are not."""

    @property
    def dcc(self) -> float:
        """|dcc_signed|."""
        return abs(self.dcc_signed)


# ------------------------------------------------------------------- size against span


def crackling(
    size: Integers,
    duration: Integers,
    *,
    window: Integers | None = None,
    touches_border: npt.NDArray[np.bool_] | None = None,
    resamples: Resamples | None = None,
) -> Crackling:
    """Size–duration exponent gamma of a set of avalanches.

    Args:
        size: events of each avalanche, [n].
        duration: token span of each, [n].
        window: the window of each, 0 … N − 1, [n]; without it there is no interval.
        touches_border: whether each touches the lattice border, [n].
        resamples: of the N windows; those of one stack, where intervals are to be paired.

    Raises:
        ArrayError: the arrays are not integers of one length, or out of range.
        InputError: windows without resamples, or resamples without windows.

    >>> span = np.repeat(np.arange(3, 13), 10)
    >>> fit = crackling(span**2, span)
    >>> round(fit.gamma, 6), fit.n_duration_points, fit.passed, fit.reason
    (2.0, 10, False, 'no windows were given, so gamma has no interval')
    """
    _check_avalanches(size, duration, touches_border)
    _check_windows(window, size.shape, resamples)
    n, total = _sums_by_span(size, duration, window, resamples.n_windows if resamples else 1)
    used = n.sum(axis=0) >= CONST.CRACKLING_MIN_PER_POINT
    n, total, span = n[:, used], total[:, used], CRACKLING_SPANS[used]
    pooled_n, pooled_total = n.sum(axis=0), total.sum(axis=0)
    gamma, r2 = (float(value) for value in _weighted_slope(pooled_n, pooled_total, span))
    interval = replicates = None
    if resamples is not None:
        replicates = _weighted_slope(resamples.sums(n), resamples.sums(total), span)[0]
        interval = percentile_interval(replicates)
    interior, share = _border(size, duration, touches_border)
    unsure = "no windows were given, so gamma has no interval"
    if resamples is not None and replicates is not None:
        unsure = f"gamma has no interval: {resamples.why_undefined(replicates)}"
    reason = _failed_gates(gamma, int(used.sum()), interval, unsure)
    return Crackling(
        gamma=gamma,
        interval=interval,
        replicates=replicates,
        few_windows=resamples is not None and resamples.few_windows,
        n_duration_points=int(used.sum()),
        n_avalanches_used=int(pooled_n.sum()),
        r2=r2,
        gamma_interior=interior,
        border_event_share=share,
        span=span,
        mean_size=pooled_total / pooled_n,
        passed=not reason,
        reason=reason,
    )


def _check_avalanches(
    size: Integers, duration: Integers, touches_border: npt.NDArray[Any] | None = None
) -> None:
    check_integers("size", size, 1)
    check_integers("duration", duration, 1)
    others = {"duration": duration, "touches_border": touches_border}
    for name, array in others.items():
        if array is not None and array.shape != size.shape:
            raise ArrayError(
                f"{name} must have the shape of size, {size.shape}, found {array.shape}"
            )


def _check_windows(
    window: Integers | None, shape: tuple[int, ...], resamples: Resamples | None
) -> None:
    if (window is None) != (resamples is None):
        given, missing = ("resamples", "window") if window is None else ("window", "resamples")
        raise InputError(f"{given} without {missing}: an interval over windows needs both")
    if window is not None and resamples is not None:
        check_windows(window, shape, resamples.n_windows)


def _sums_by_span(
    size: Integers, duration: Integers, window: Integers | None, n_windows: int
) -> tuple[Floats, Floats]:
    """Avalanches and the sum of their sizes, by window and span, both [N, spans]."""
    inside = (duration >= CRACKLING_SPANS[0]) & (duration <= CRACKLING_SPANS[-1])
    cell = duration[inside].astype(np.int64) - CRACKLING_SPANS[0]
    if window is not None:
        cell += window[inside].astype(np.int64) * len(CRACKLING_SPANS)
    cells, shape = n_windows * len(CRACKLING_SPANS), (n_windows, len(CRACKLING_SPANS))
    n = np.bincount(cell, minlength=cells).reshape(shape).astype(np.float64)
    total = np.bincount(cell, weights=size[inside], minlength=cells).reshape(shape)
    return n, total.astype(np.float64)


def _weighted_slope(n: Floats, total: Floats, span: Ints) -> tuple[Floats, Floats]:
    """Slope of log(total / n) on log span with weights n, and r², over the last axis.

    Both are NaN where fewer than two spans hold an avalanche.
    """
    x = np.log(span)
    y = np.log(np.divide(total, n, out=np.ones_like(total), where=n > 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = n / n.sum(axis=-1, keepdims=True)
        dx = x - np.sum(weight * x, axis=-1, keepdims=True)
        dy = y - np.sum(weight * y, axis=-1, keepdims=True)
        sxx, sxy, syy = (np.sum(weight * d, axis=-1) for d in (dx * dx, dx * dy, dy * dy))
        defined = np.sum(n > 0, axis=-1) > 1
        return np.where(defined, sxy / sxx, np.nan), np.where(defined, sxy**2 / (sxx * syy), np.nan)


def _border(
    size: Integers, duration: Integers, touches_border: npt.NDArray[np.bool_] | None
) -> tuple[float, float]:
    """The interior avalanches' gamma, and the share of events in the others."""
    if touches_border is None or not size.size:
        return math.nan, math.nan
    outer = touches_border.astype(bool)
    interior = crackling(size[~outer], duration[~outer])
    return interior.gamma, float(size[outer].sum() / size.sum())


def _failed_gates(gamma: float, n_points: int, interval: Interval | None, unsure: str) -> str:
    """What keeps gamma from being relied on, in words; empty where nothing does.

    ``unsure`` says why there is no interval, where there is none.
    """
    failed = []
    if n_points < CONST.CRACKLING_MIN_POINTS:
        failed.append(
            f"{n_points} spans hold {CONST.CRACKLING_MIN_PER_POINT} avalanches, "
            f"{CONST.CRACKLING_MIN_POINTS} needed"
        )
    if math.isnan(gamma):
        return "; ".join([*failed, "a slope needs two spans"])
    if interval is None or np.isnan(interval.width):
        failed.append(unsure)
    elif interval.width > CONST.BOOTSTRAP_CI_WIDTH_MAX:
        failed.append(
            f"gamma's interval is {interval.width:.3g} wide, {CONST.BOOTSTRAP_CI_WIDTH_MAX} allowed"
        )
    return "; ".join(failed)


# -------------------------------------------------------------------- scaling relation


@overload
def gamma_predicted(alpha_size: float, alpha_duration: float) -> float: ...
@overload
def gamma_predicted(alpha_size: Floats, alpha_duration: Floats) -> Floats: ...
def gamma_predicted(alpha_size: float | Floats, alpha_duration: float | Floats) -> float | Floats:
    """(alpha_D − 1) / (alpha_S − 1); NaN where alpha_S is not above 1.

    >>> gamma_predicted(1.5, 2.0)
    2.0
    """
    above = np.asarray(alpha_size) - 1
    ratio = (np.asarray(alpha_duration) - 1) / np.where(above > 0, above, np.nan)
    return ratio if ratio.ndim else float(ratio)


def exponent_relation(
    size: Integers,
    duration: Integers,
    window: Integers,
    resamples: Resamples,
    *,
    size_fit: TailFit,
    duration_fit: TailFit,
) -> ExponentRelation:
    """Measured against predicted gamma, with the interval of their difference.

    A replicate draws windows once, and takes alpha_S, alpha_D (xmin of the fits kept) and gamma
    from the same draw.

    Args:
        size: events of each avalanche, [n].
        duration: token span of each, [n].
        window: the window of each, 0 … N − 1, [n].
        resamples: of the N windows.
        size_fit: the tail fit of ``size``.
        duration_fit: the tail fit of ``duration``.

    Raises:
        ArrayError: the arrays are not integers of one length, or out of range.
    """
    measured = crackling(size, duration, window=window, resamples=resamples)
    predicted = gamma_predicted(size_fit.alpha, duration_fit.alpha)
    alpha_size, alpha_duration = (
        _alpha_replicates(values, window, fit, resamples)
        for values, fit in ((size, size_fit), (duration, duration_fit))
    )
    assert measured.replicates is not None
    differences = measured.replicates - gamma_predicted(alpha_size, alpha_duration)
    interval = percentile_interval(differences)
    reason = _missing(size_fit, duration_fit, measured, predicted)
    if not reason and np.isnan(interval.width):
        reason = f"gamma − gamma_pred has no interval: {resamples.why_undefined(differences)}"
    return ExponentRelation(
        gamma_predicted=predicted,
        dcc_signed=measured.gamma - predicted,
        interval=interval,
        replicates=differences,
        few_windows=resamples.few_windows,
        reason=reason,
    )


def _alpha_replicates(
    values: Integers, window: Integers, fit: TailFit, resamples: Resamples
) -> Floats:
    """The exponent of each replicate, xmin kept, [R]; NaN without a fit."""
    if fit.xmin is None or math.isnan(fit.alpha):
        return np.full(len(resamples.weights), np.nan)
    n, logs = tail_sums_by_window(values, window, n_windows=resamples.n_windows, xmin=fit.xmin)
    return alpha_replicates(n, logs, resamples, xmin=fit.xmin, xmax=fit.xmax)


def _missing(
    size_fit: TailFit, duration_fit: TailFit, measured: Crackling, predicted: float
) -> str:
    """Which of the exponents is undefined, in words."""
    found = {"alpha_S": size_fit.alpha, "alpha_D": duration_fit.alpha, "gamma": measured.gamma}
    undefined = [name for name, value in found.items() if math.isnan(value)]
    if undefined:
        return f"{' and '.join(undefined)} undefined"
    return "" if math.isfinite(predicted) else "alpha_S is not above 1"
