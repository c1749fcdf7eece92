"""Size–duration (crackling) relation, its prediction from the tails, and the profile collapse.

    E[S | D] ∝ D^gamma,    gamma_predicted = (alpha_D − 1) / (alpha_S − 1)

gamma is the weighted least-squares slope of log mean S on log D, weights n_D, over the token spans
D in [CRACKLING_D_RANGE_MIN, CRACKLING_D_RANGE_MAX] that hold CRACKLING_MIN_PER_POINT avalanches.
The mean temporal profile of avalanches of span D is D^(gamma − 1)·F(t / D) with one shape F.
References: Sethna, Dahmen and Myers, Nature 410, 242 (2001), for the relation; Marshall et al.,
Front. Physiol. 7, 250 (2016), "shape collapse", for the error of the collapse.

Spans are in tokens, sizes in events. In a bootstrap replicate windows are drawn anew while the set
of spans, like xmin, is kept. The relation holds for many processes that are not critical: it is
printed beside that of null rasters, which is not done here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from avalattice.canon import CONST
from avalattice.errors import ArrayError, InputError
from avalattice.stats.tails import (
    Floats,
    Integers,
    Ints,
    TailFit,
    WindowInterval,
    alpha_replicates,
    check_integers,
    check_windows,
    percentile_interval,
    tail_sums_by_window,
    window_weights,
)

_SPANS: Final = np.arange(CONST.CRACKLING_D_RANGE_MIN, CONST.CRACKLING_D_RANGE_MAX + 1)
_POINTS: Final = 1000  # of rescaled time, as in Marshall et al.


@dataclass(frozen=True)
class Crackling:
    """The size–duration exponent, its interval, and whether it can be relied on."""

    gamma: float
    """Slope of log mean size on log span."""
    interval: WindowInterval | None
    """Percentile interval of gamma from resampled windows; None where no windows were given."""
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
    interval: WindowInterval
    """Of dcc_signed; each replicate resamples the windows of all three exponents together."""
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
    n_windows: int | None = None,
    rng: np.random.Generator | None = None,
    reps: int = CONST.BOOTSTRAP_REPS,
    weights: Float[np.ndarray, "R N"] | None = None,
) -> Crackling:
    """Size–duration exponent gamma of a set of avalanches.

    Args:
        size: events of each avalanche, [n].
        duration: token span of each, [n].
        window: the window of each, 0 … n_windows − 1, [n]; without it there is no interval.
        touches_border: whether each touches the lattice border, [n].
        n_windows: windows in all; the largest window number plus one by default.
        rng: the generator that draws windows, unless ``weights`` are given.
        reps: bootstrap replicates.
        weights: how often each window is drawn in each replicate, from
            :func:`~avalattice.stats.tails.window_weights`; for intervals that are to be paired.

    Raises:
        ArrayError: the arrays are not integers of one length, or out of range.
        InputError: there are windows, but neither a generator nor weights.

    >>> span = np.repeat(np.arange(3, 13), 10)
    >>> fit = crackling(span**2, span)
    >>> round(fit.gamma, 6), fit.n_duration_points, fit.passed, fit.reason
    (2.0, 10, False, 'no windows were given, so gamma has no interval')
    """
    _check_avalanches(size, duration, touches_border)
    draws = _window_draws(window, size.shape, n_windows, weights, rng, reps)
    n, total = _sums_by_span(size, duration, window, 1 if draws is None else draws.shape[1])
    used = n.sum(axis=0) >= CONST.CRACKLING_MIN_PER_POINT
    pooled_n, pooled_total = n.sum(axis=0)[used], total.sum(axis=0)[used]
    gamma, r2 = (float(value) for value in _weighted_slope(pooled_n, pooled_total, _SPANS[used]))
    interval = None
    if draws is not None:
        replicates = _gamma_replicates(n[:, used], total[:, used], _SPANS[used], draws)
        interval = percentile_interval(replicates, draws.shape[1])
    interior, share = _border(size, duration, touches_border)
    reason = _failed_gates(gamma, int(used.sum()), interval)
    return Crackling(
        gamma=gamma,
        interval=interval,
        n_duration_points=int(used.sum()),
        n_avalanches_used=int(pooled_n.sum()),
        r2=r2,
        gamma_interior=interior,
        border_event_share=share,
        span=_SPANS[used],
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


def _window_draws(
    window: Integers | None,
    shape: tuple[int, ...],
    n_windows: int | None,
    weights: Floats | None,
    rng: np.random.Generator | None,
    reps: int,
) -> Floats | None:
    """How often each window is drawn in each replicate, [R, N]; None without windows."""
    if window is None:
        return None
    check_integers("window", window, 0)
    found = int(window.max()) + 1 if window.size else 1
    n = weights.shape[1] if weights is not None else n_windows or found
    check_windows(window, shape, n)
    if weights is None and rng is None:
        raise InputError("an interval over windows needs a generator or weights: give rng")
    return weights if weights is not None or rng is None else window_weights(n, reps, rng)


def _sums_by_span(
    size: Integers, duration: Integers, window: Integers | None, n_windows: int
) -> tuple[Floats, Floats]:
    """Avalanches and the sum of their sizes, by window and span, both [N, spans]."""
    inside = (duration >= _SPANS[0]) & (duration <= _SPANS[-1])
    cell = duration[inside].astype(np.int64) - _SPANS[0]
    if window is not None:
        cell += window[inside].astype(np.int64) * len(_SPANS)
    cells, shape = n_windows * len(_SPANS), (n_windows, len(_SPANS))
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


def _gamma_replicates(n: Floats, total: Floats, span: Ints, draws: Floats) -> Floats:
    """Slope of each replicate of windows, [R]: two matrix products and a slope."""
    return _weighted_slope(draws @ n, draws @ total, span)[0]


def _border(
    size: Integers, duration: Integers, touches_border: npt.NDArray[np.bool_] | None
) -> tuple[float, float]:
    """The interior avalanches' gamma, and the share of events in the others."""
    if touches_border is None or not size.size:
        return math.nan, math.nan
    outer = touches_border.astype(bool)
    interior = crackling(size[~outer], duration[~outer])
    return interior.gamma, float(size[outer].sum() / size.sum())


def _failed_gates(gamma: float, n_points: int, interval: WindowInterval | None) -> str:
    """What keeps gamma from being relied on, in words; empty where nothing does."""
    failed = []
    if n_points < CONST.CRACKLING_MIN_POINTS:
        failed.append(
            f"{n_points} spans hold {CONST.CRACKLING_MIN_PER_POINT} avalanches, "
            f"{CONST.CRACKLING_MIN_POINTS} needed"
        )
    if math.isnan(gamma):
        return "; ".join([*failed, "a slope needs two spans"])
    if interval is None:
        failed.append("no windows were given, so gamma has no interval")
    elif not interval.width <= CONST.BOOTSTRAP_CI_WIDTH_MAX:
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
    *,
    size_fit: TailFit,
    duration_fit: TailFit,
    n_windows: int | None = None,
    rng: np.random.Generator | None = None,
    reps: int = CONST.BOOTSTRAP_REPS,
    weights: Float[np.ndarray, "R N"] | None = None,
) -> ExponentRelation:
    """Measured against predicted gamma, with the interval of their difference.

    A replicate draws windows once, and takes alpha_S, alpha_D (xmin of the fits kept) and gamma
    from the same draw.

    Args:
        size: events of each avalanche, [n].
        duration: token span of each, [n].
        window: the window of each, 0 … n_windows − 1, [n].
        size_fit: the tail fit of ``size``.
        duration_fit: the tail fit of ``duration``.
        n_windows: windows in all; the largest window number plus one by default.
        rng: the generator that draws windows, unless ``weights`` are given.
        reps: bootstrap replicates.
        weights: as in :func:`crackling`.

    Raises:
        ArrayError: the arrays are not integers of one length, or out of range.
        InputError: neither a generator nor weights.
    """
    _check_avalanches(size, duration)
    draws = _window_draws(window, size.shape, n_windows, weights, rng, reps)
    assert draws is not None
    predicted = gamma_predicted(size_fit.alpha, duration_fit.alpha)
    alphas = [
        _alpha_draws(values, window, fit, draws)
        for values, fit in ((size, size_fit), (duration, duration_fit))
    ]
    measured = crackling(size, duration, window=window, weights=draws)
    assert measured.interval is not None
    differences = measured.interval.replicates - gamma_predicted(alphas[0], alphas[1])
    return ExponentRelation(
        gamma_predicted=predicted,
        dcc_signed=measured.gamma - predicted,
        interval=percentile_interval(differences, draws.shape[1]),
        reason=_missing(size_fit, duration_fit, measured, predicted),
    )


def _alpha_draws(values: Integers, window: Integers, fit: TailFit, draws: Floats) -> Floats:
    """The exponent of each replicate, xmin kept, [R]; NaN without a fit."""
    if fit.xmin is None or math.isnan(fit.alpha):
        return np.full(len(draws), np.nan)
    n, logs = tail_sums_by_window(values, window, n_windows=draws.shape[1], xmin=fit.xmin)
    return alpha_replicates(n, logs, draws, xmin=fit.xmin, xmax=fit.xmax)


def _missing(
    size_fit: TailFit, duration_fit: TailFit, measured: Crackling, predicted: float
) -> str:
    """Which of the exponents is undefined, in words."""
    found = {"alpha_S": size_fit.alpha, "alpha_D": duration_fit.alpha, "gamma": measured.gamma}
    undefined = [name for name, value in found.items() if math.isnan(value)]
    if undefined:
        return f"{' and '.join(undefined)} undefined"
    return "" if math.isfinite(predicted) else "alpha_S is not above 1"


# -------------------------------------------------------------------- profile collapse


@dataclass(frozen=True)
class Profiles:
    """Temporal profiles of avalanches, end to end."""

    events: Float[np.ndarray, " total"]
    """Events per token, one avalanche after the other."""
    start: Int[np.ndarray, " n"]
    """Where each avalanche begins in ``events``."""
    duration: Int[np.ndarray, " n"]
    """Token span of each."""


@dataclass(frozen=True)
class ProfileCollapse:
    """Mean profiles rescaled onto one another."""

    error: float
    """Mean over rescaled time of the variance between spans, over the squared range of all."""
    skewness: float
    """Third standardised moment of the mean rescaled profile: positive where it leans early."""
    time: Float[np.ndarray, " points"]
    """Rescaled time, 0 just before the first token and 1 just after the last."""
    curves: Float[np.ndarray, "spans points"]
    """Profiles times D^(1 − gamma), in the order of rising span."""
    reason: str
    """Why error or skewness is NaN; empty where neither is."""


def avalanche_profiles(A: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Profiles:
    """Events per token of every avalanche, from its first token to its last.

    Args:
        A: event counts, [..., L, T].
        labels: the avalanche of each site, [..., L, T]; 0 where there is none, and no number twice
            in the stack.

    Returns:
        Profiles in the order of rising label.

    Raises:
        ArrayError: the arrays differ in shape, labels are not integers from 0 on, or one label
            stands in two windows.
    """
    _check_stack(A, labels)
    tokens = labels.shape[-1]
    sites = np.flatnonzero(labels)
    _, avalanche = np.unique(labels.ravel()[sites], return_inverse=True)
    n = int(avalanche.max()) + 1 if sites.size else 0
    t = sites % tokens
    first, last = np.full(n, tokens), np.full(n, -1)
    np.minimum.at(first, avalanche, t)
    np.maximum.at(last, avalanche, t)
    duration = last - first + 1
    start = np.concatenate([[0], np.cumsum(duration)])[:n]
    events = np.bincount(
        start[avalanche] + t - first[avalanche],
        weights=A.ravel()[sites],
        minlength=int(duration.sum()),
    )
    return Profiles(events.astype(np.float64), start.astype(np.int64), duration)


def _check_stack(A: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
    if A.shape != labels.shape or A.ndim < 2 or labels.dtype.kind not in "iu":
        raise ArrayError(
            "A and labels must have one shape [..., L, T], labels integers; found "
            f"A {A.shape}, labels {labels.dtype} {labels.shape}"
        )
    if labels.size and labels.min() < 0:
        raise ArrayError(f"labels must be at least 0, found {labels.min()}")
    windows = labels.reshape(-1, labels.shape[-2] * labels.shape[-1])
    present = np.concatenate([np.unique(row[row > 0]) for row in windows] or [np.zeros(0)])
    if len(np.unique(present)) < len(present):
        raise ArrayError("labels must be unique across the stack, found one in two windows")


def mean_profiles(profiles: Profiles) -> dict[int, Float[np.ndarray, " D"]]:
    """Mean profile of each span D within the crackling range, events per token of D tokens.

    Spans with fewer than CRACKLING_MIN_PER_POINT avalanches are left out.
    """
    means = {}
    for span in _SPANS:
        start = profiles.start[profiles.duration == span]
        if len(start) >= CONST.CRACKLING_MIN_PER_POINT:
            means[int(span)] = profiles.events[start[:, None] + np.arange(span)].mean(axis=0)
    return means


def profile_collapse(
    profiles_by_D: Mapping[int, Float[np.ndarray, " D"]], gamma: float
) -> ProfileCollapse:
    """Rescale mean profiles by D^(1 − gamma) and measure how well they fall together.

    Token k = 1 … D of a profile stands at time k / (D + 1), with no events at times 0 and 1; curves
    are interpolated linearly. Marshall et al. 2016, "Shape collapse".

    Args:
        profiles_by_D: mean profile of each span D, D values.
        gamma: the size–duration exponent.

    Raises:
        ArrayError: a profile does not have as many values as its span.
    """
    wrong = [(D, len(profile)) for D, profile in profiles_by_D.items() if len(profile) != D]
    if wrong:
        raise ArrayError(f"profile of span {wrong[0][0]} has {wrong[0][1]} values")
    time = np.linspace(0, 1, _POINTS)
    curves = [
        np.interp(time, np.arange(D + 2) / (D + 1), np.pad(profiles_by_D[D], 1)) * D ** (1 - gamma)
        for D in sorted(profiles_by_D)
    ]
    stack = np.stack(curves) if curves else np.zeros((0, _POINTS))
    reason = "" if len(curves) > 1 else f"{len(curves)} mean profiles, a collapse needs two"
    return ProfileCollapse(_collapse_error(stack), _skewness(time, stack), time, stack, reason)


def _collapse_error(curves: Floats) -> float:
    """Mean variance between curves over the squared range of all; NaN for fewer than two."""
    spread = float(np.ptp(curves)) if len(curves) > 1 else 0.0
    return float(np.mean(np.var(curves, axis=0, ddof=1)) / spread**2) if spread else math.nan


def _skewness(time: Floats, curves: Floats) -> float:
    """Third standardised moment of the mean curve, taken for a density of time."""
    mass = curves.sum(axis=0)
    if not mass.sum() > 0:
        return math.nan
    density = mass / mass.sum()
    offset = time - density @ time
    return float(density @ offset**3 / (density @ offset**2) ** 1.5)
