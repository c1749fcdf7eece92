"""Multistep regression: a branching ratio that survives subsampling.

    r_k = Cov[a_t, a_{t+k}] / Var[a_t] = amplitude · b^k,   k = 1 … K

The regression of activity on its own past, one step back, is biased when only part of the activity
is seen; how r_k *falls* with k is not, for subsampling scales all r_k by one factor, the amplitude.
b is the branching ratio per step and −1/ln b, in steps, its intrinsic scale. Wilting and
Priesemann, Nature Communications 9, 2325 (2018), equations 3 to 6; the toolbox of Spitzner et al.,
PLOS ONE 16, e0249447 (2021).

Activity is [n_series, length]: one long series, or many short ones. From layer to layer a series is
one token's event counts over the layers, so that length = L is about 30 and n_series = windows ×
tokens (:func:`multistep_depth`). Short series settle the choice of mean:

- ``series``, a mean for each series ("trialseparated" in the toolbox, here pooled): estimated from
  so few values it takes the slow part of the activity for the mean, and b comes out far too small.
- ``stationary``, one mean for all ("stationarymean" in the toolbox, with the front t < length − k
  and the back t ≥ k of each lag apart): right where all steps are alike.
- ``step``, the mean of a step over all series, in units of which deviations are measured: right
  also where steps differ in how much of the activity they show, by any factor per step. Layers do
  (rate matching keeps the profile of rates over depth), and ``stationary`` then takes the profile
  for covariance that never decays.

Slopes are pooled, sums of products over sums of squares, and lags weighted equally, as in the
reference. Not handled: a drive that a series has in all its steps (a token that is loud in every
layer) adds a constant to r_k and raises b, up to one where nothing is handed on at all;
``offset=True`` fits one, at the price of precision. Slopes that do not differ beyond noise, or fall
too slowly to be told from a constant, then have no b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

from avalattice.arrays import Floats, Ints
from avalattice.errors import ArrayError, InputError

Mean: TypeAlias = Literal["stationary", "step", "series"]

_LARGEST_DEFAULT_LAG: Final = 100
# b is sought here; activity that grows twofold per step is no longer one that a lag can follow
_B_GRID: Final = np.linspace(0.001, 2.0, 2000)
# standard errors that the largest of some ten slopes between independent series does not reach
_CLEAR_OF_NOISE: Final = 4.0


@dataclass(frozen=True)
class MultistepBranching:
    """The branching ratio per step, from the decay of the regression slopes."""

    b: float
    """Branching ratio per step; NaN where the slopes do not follow a decay."""
    amplitude: float
    """The factor of all slopes: 1 where everything is seen, less under subsampling."""
    offset: float
    """The constant of all slopes; 0 unless one was fitted."""
    scale: float
    """Intrinsic scale −1/ln b in steps; infinite for b ≥ 1."""
    slopes: Float[np.ndarray, " K"]
    """r_k."""
    lags: Int[np.ndarray, " K"]
    """k, in steps; with a mean per step, those at which two active steps lie."""
    residual: float
    """Root mean square of r_k − amplitude·b^k − offset."""
    reason: str
    """Why b is NaN; empty where it is not."""


def multistep_branching(
    activity: npt.NDArray[Any],
    *,
    max_lag: int | None = None,
    mean: Mean = "stationary",
    offset: bool = False,
) -> MultistepBranching:
    """Branching ratio of one or many series of activity, by multistep regression.

    Args:
        activity: counts, [length] or [n_series, length].
        max_lag: largest k; half the length, at most 100, by default.
        mean: what deviations are from: one mean of all values, one per step, or one per series.
        offset: fit a constant beside the decay.

    Raises:
        ArrayError: the activity is not counts on one or two axes, or too short for the lags.
        InputError: a mean per step of a single series, which would leave nothing.

    >>> rng = np.random.default_rng(3)
    >>> a = np.zeros((2000, 30))
    >>> for t in range(1, 30):
    ...     a[:, t] = rng.poisson(0.8 * a[:, t - 1] + 4)
    >>> round(multistep_branching(a[:, 10:], mean="step").b, 1)
    0.8
    """
    series = _checked(activity)
    if mean == "step" and len(series) == 1:
        raise InputError('mean="step" of one series leaves nothing: give several, or "stationary"')
    length = series.shape[1]
    largest = max_lag if max_lag is not None else min(length // 2, _LARGEST_DEFAULT_LAG)
    n_parameters = _n_parameters(offset=offset)
    if not n_parameters < largest < length:
        raise ArrayError(
            f"activity of {length} steps: max_lag must exceed {n_parameters} and stay below "
            f"{length}, found {largest}"
        )
    lags = np.arange(1, largest + 1)
    if mean == "step" and series.any():
        lags = _between_active(series, lags)
        if len(lags) <= n_parameters:
            reason = (
                f"two active steps lie at {len(lags)} of the {largest} distances, "
                f"{n_parameters + 1} needed"
            )
            return _without_decay(lags, np.full(len(lags), np.nan), reason)
    slopes = _step_slopes(series, lags) if mean == "step" else _slopes(series, lags, mean)
    noise = 1 / np.sqrt(len(series) * (length - lags))
    reason = _undefined(slopes, noise, offset=offset)
    return _without_decay(lags, slopes, reason) if reason else _decay(lags, slopes, offset=offset)


def multistep_depth(
    counts: npt.NDArray[Any], *, max_lag: int | None = None, offset: bool = False
) -> MultistepBranching:
    """Layer-to-layer branching ratio of event counts: one series per token, a mean per layer.

    Of fewer layers than its lags need, or of a single token, b is NaN with a reason.

    Args:
        counts: events, [..., L, T].
        max_lag: largest distance in layers; L // 2 by default.
        offset: fit a constant beside the decay.

    Raises:
        ArrayError: fewer than two axes, values that are not counts, or a ``max_lag`` beyond the
            layers.
    """
    if counts.ndim < 2:
        raise ArrayError(f"counts must be [..., L, T], found shape {counts.shape}")
    tokens = np.moveaxis(counts, -2, -1).reshape(-1, counts.shape[-2])
    needed = 2 * (_n_parameters(offset=offset) + 1)
    if max_lag is None and tokens.shape[1] < needed:
        reason = f"regression over depth needs {needed} layers, there are {tokens.shape[1]}"
    elif len(tokens) == 1:
        reason = "regression over depth needs two tokens, there is one"
    else:
        return multistep_branching(tokens, max_lag=max_lag, mean="step", offset=offset)
    return _without_decay(np.arange(0), np.zeros(0), reason)


def _n_parameters(*, offset: bool) -> int:
    """Of the decay that slopes are fitted with."""
    return 3 if offset else 2


def _checked(activity: npt.NDArray[Any]) -> Floats:
    """The activity as [n_series, length]."""
    series = np.atleast_2d(np.asarray(activity, dtype=np.float64))
    if series.ndim != 2 or not series.size:
        raise ArrayError(
            f"activity must be [length] or [n_series, length], found shape {np.shape(activity)}"
        )
    if not np.all(np.isfinite(series)) or series.min() < 0:
        raise ArrayError("activity must be finite and at least 0, found other values")
    return series


def _slopes(series: Floats, lags: Ints, mean: Mean) -> Floats:
    """r_k of every lag, pooled over all series; NaN where nothing varies.

    Wilting and Priesemann 2018, equation 4.
    """
    axes = (0, 1) if mean == "stationary" else (1,)
    slopes = []
    for lag in lags:
        front, back = series[:, :-lag], series[:, lag:]
        earlier = front - front.mean(axis=axes, keepdims=True)
        later = back - back.mean(axis=axes, keepdims=True)
        variance = float(np.vdot(earlier, earlier))
        # a constant's deviations from its mean are rounding, not variance
        varies = variance > np.finfo(np.float64).eps * float(np.vdot(front, front))
        slopes.append(float(np.vdot(earlier, later)) / variance if varies else math.nan)
    return np.array(slopes)


def _between_active(series: Floats, lags: Ints) -> Ints:
    """The lags at which two steps with activity lie; others have no slope."""
    active = np.flatnonzero(series.any(axis=0))
    return np.intersect1d(lags, active - active[:, np.newaxis])


def _step_slopes(series: Floats, lags: Ints) -> Floats:
    """r_k from deviations in units of each step's mean: mean covariance over mean variance.

    Steps without activity are left out; two with some must lie at each lag. One variance serves all
    lags, since steps may differ in it.
    """
    means = series.mean(axis=0)
    active = means > 0
    deviation = np.divide(series - means, means, out=np.zeros_like(series), where=active)
    covariance = deviation.T @ deviation / len(series)
    pairs = np.outer(active, active)
    summed, n = (
        np.array([np.trace(matrix, int(lag)) for lag in (0, *lags)])
        for matrix in (covariance, pairs)
    )
    mean = np.divide(summed, n, out=np.full(len(n), np.nan), where=n > 0)
    varies = mean[0] > np.finfo(np.float64).eps
    return mean[1:] / mean[0] if varies else np.full(len(lags), np.nan)


def _undefined(slopes: Floats, noise: Floats, *, offset: bool) -> str:
    """Why slopes have no decay to be followed, in words; empty where they may have one.

    ``noise`` is the standard error of a slope between independent series, [K].
    """
    if not np.all(np.isfinite(slopes)):
        return "activity does not vary"
    if not np.any(np.abs(slopes) > _CLEAR_OF_NOISE * noise):
        return "no slope stands out from sampling noise"
    if offset and not np.any(np.abs(slopes - slopes.mean()) > _CLEAR_OF_NOISE * noise):
        return "slopes differ by no more than sampling noise: the offset leaves no decay"
    return ""


def _without_decay(lags: Ints, slopes: Floats, reason: str) -> MultistepBranching:
    nan = math.nan
    return MultistepBranching(nan, nan, nan, nan, slopes, lags, nan, reason)


def _decay(lags: Ints, slopes: Floats, *, offset: bool) -> MultistepBranching:
    """Least squares of slopes on amplitude·b^k (+ offset), amplitude ≥ 0: b alone is searched."""
    loss = _loss_of_b(lags, slopes, offset=offset)
    best = int(np.argmin([loss(b)[0] for b in _B_GRID]))
    if best in (0, len(_B_GRID) - 1) or loss(_B_GRID[best])[1][0] == 0:
        return _without_decay(lags, slopes, "the slopes do not follow a decay")
    bracket = (_B_GRID[best - 1], _B_GRID[best + 1])
    b = float(minimize_scalar(lambda x: loss(x)[0], bounds=bracket, options={"xatol": 1e-10}).x)
    if offset and abs(b - 1) <= _B_GRID[1] - _B_GRID[0]:
        return _without_decay(lags, slopes, "so slow a decay cannot be told from an offset")
    squares, (amplitude, constant) = loss(b)
    scale = -1 / math.log(b) if b < 1 else math.inf
    residual = math.sqrt(squares / len(lags))
    return MultistepBranching(b, amplitude, constant, scale, slopes, lags, residual, "")


def _loss_of_b(
    lags: Ints, slopes: Floats, *, offset: bool
) -> Callable[[float], tuple[float, tuple[float, float]]]:
    """The residual sum of squares at a given b, with the best amplitude and offset there."""

    def loss(b: float) -> tuple[float, tuple[float, float]]:
        power = b ** lags.astype(np.float64)
        shift = (power.mean(), slopes.mean()) if offset else (0.0, 0.0)
        x, y = power - shift[0], slopes - shift[1]
        squares = float(x @ x)
        amplitude = max(float(x @ y) / squares, 0.0) if squares > 0 else 0.0
        rest = y - amplitude * x
        return float(rest @ rest), (amplitude, float(shift[1] - amplitude * shift[0]))

    return loss
