"""Temporal profiles of avalanches, and how well those of different spans fall together.

    events of token k of an avalanche of span D  ∝  D^(gamma − 1)·F(k / (D + 1))

With one shape F for all spans, profiles divided by D^(gamma − 1) collapse onto it. The error of the
collapse is the mean over rescaled time of the variance between spans, over the squared range of all
(Marshall et al., Front. Physiol. 7, 250 (2016), "shape collapse").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from avalattice.arrays import Floats
from avalattice.canon import CONST
from avalattice.errors import ArrayError
from avalattice.stats.scaling import CRACKLING_SPANS

_POINTS: Final = 1000  # of rescaled time, as in Marshall et al.


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
    for span in CRACKLING_SPANS:
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
