"""g*: the gain whose total branching ratio is nearest one, chosen by mechanism alone.

    g* = argmin_g |b_tot(g) − 1|,   ties to the gain nearest 1, then to the smaller

Gains whose b_tot is undefined are left out, by name. That b_tot = 1 is a convention of the
definition: independent sites percolate at b_tot = 1.185 (ADJ_4N) and 0.815 (ADJ_8N).

Whether the choice means anything is stated beside it. It is *identifiable* if b_tot − 1 changes
sign inside the grid, in at least 95 % of the window-bootstrap replicates too, and the interval of
the interpolated crossing lies inside the grid and is narrower than half of it. On a flat curve
g* is an accident, and this says so. The crossing's interval is over the replicates that have one,
and stands also where they are too few for g* to be identifiable; one window has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from jaxtyping import Float64

from avalattice.canon import CONST
from avalattice.errors import ArrayError
from avalattice.stats.bootstrap import Interval, percentile_interval

REPLICATES_BRACKETED_MIN = 0.95
CROSSING_WIDTH_MAX = 0.5
"""Of the grid's width."""
CRITERION = "argmin over the grid of |b_tot - 1|; ties to the gain nearest 1.0, then the smaller"
"""How g* is chosen, for the record."""
_LEVEL = 1.0
_DISTANCE_DIGITS = 12


@dataclass(frozen=True)
class GStar:
    """The chosen gain, and how well the data determine it."""

    gstar: Decimal | None
    """The chosen gain; None where every b_tot is undefined."""
    b_tot: float
    """Its total branching ratio."""
    bracketed: bool
    """b_tot − 1 changes sign inside the grid."""
    at_grid_edge: bool
    """g* is the smallest or the largest gain that has a b_tot."""
    crossing: float
    """Interpolated gain at which b_tot = 1, the nearest to g*; NaN where there is none."""
    crossing_interval: tuple[float, float]
    """Its interval, over the replicates that are bracketed, each with a g* of its own."""
    slope: float
    """Least-squares slope db_tot/dg."""
    slope_interval: tuple[float, float]
    """Its interval."""
    share_bracketed: float
    """Share of replicates in which b_tot − 1 changes sign."""
    shares: dict[Decimal, float]
    """Share of replicates that choose each gain."""
    identifiable: bool
    """Whether the data determine g*."""
    excluded: tuple[Decimal, ...]
    """Gains left out, since their b_tot is undefined."""
    reason: str | None
    """Why g* is not identifiable, in words."""


def choose(gains: Sequence[Decimal], b_tot: np.ndarray) -> int | None:
    """The index of the gain whose b_tot is nearest one; None if all are undefined.

    >>> choose([Decimal("0.8"), Decimal("1.0"), Decimal("1.2")], np.array([0.9, 1.1, 1.3]))
    1
    """
    defined = [i for i in range(len(gains)) if np.isfinite(b_tot[i])]

    def rank(i: int) -> tuple[float, Decimal, Decimal]:
        # rounded: 0.9 and 1.1 are equally far from one, though not in binary
        distance = round(abs(float(b_tot[i]) - _LEVEL), _DISTANCE_DIGITS)
        return distance, abs(gains[i] - CONST.GAIN_BASELINE), gains[i]

    return min(defined, key=rank, default=None)


def crossings(gains: np.ndarray, b_tot: np.ndarray) -> list[float]:
    """Gains at which the piecewise linear curve through the points equals one."""
    d = b_tot - _LEVEL
    found = [float(gains[i]) for i in range(len(d)) if d[i] == 0]
    for i in np.flatnonzero(d[:-1] * d[1:] < 0):
        share = d[i] / (d[i] - d[i + 1])
        found.append(float(gains[i] + share * (gains[i + 1] - gains[i])))
    return sorted(found)


def _crossing_nearest(gains: np.ndarray, b_tot: np.ndarray, near: float) -> float:
    return min(crossings(gains, b_tot), key=lambda g: abs(g - near), default=np.nan)


def _brackets(b_tot: np.ndarray) -> np.ndarray:
    """Whether curves [..., G] lie on both sides of one; touching it is no change of sign."""
    return np.asarray((b_tot.min(axis=-1) < _LEVEL) & (b_tot.max(axis=-1) > _LEVEL))


def _slope(gains: np.ndarray, b_tot: np.ndarray) -> np.ndarray:
    """Least-squares slopes of curves [..., G]."""
    centred = gains - gains.mean()
    norm = float(centred @ centred)
    return np.asarray(b_tot @ centred / norm) if norm else np.full(b_tot.shape[:-1], np.nan)


def _pair(interval: Interval) -> tuple[float, float]:
    return float(interval.low), float(interval.high)


def select_gstar(
    gains: Sequence[Decimal],
    b_tot: Float64[np.ndarray, " G"],
    replicates: Float64[np.ndarray, "R G"],
) -> GStar:
    """Choose g* on a curve and say how well it is determined.

    Args:
        gains: the grid, increasing.
        b_tot: total branching ratio at each gain; NaN where undefined.
        replicates: the same curve in window-bootstrap replicates, paired over gains.

    Raises:
        ArrayError: gains do not increase, or the shapes do not fit.
    """
    if list(gains) != sorted(set(gains)):
        raise ArrayError(f"gains must increase, found {[str(g) for g in gains]}")
    if b_tot.shape != (len(gains),) or replicates.shape[1:] != b_tot.shape:
        raise ArrayError(
            f"b_tot must be [G] and replicates [R, G] for {len(gains)} gains, found "
            f"{b_tot.shape} and {replicates.shape}"
        )
    kept = [i for i in range(len(gains)) if np.isfinite(b_tot[i])]
    excluded = tuple(gains[i] for i in range(len(gains)) if i not in kept)
    if not kept:
        return _undefined(excluded)
    return _select([gains[i] for i in kept], b_tot[kept], replicates[:, kept], excluded)


def _undefined(excluded: tuple[Decimal, ...]) -> GStar:
    nothing = (np.nan, np.nan)
    return GStar(
        gstar=None,
        b_tot=np.nan,
        bracketed=False,
        at_grid_edge=False,
        crossing=np.nan,
        crossing_interval=nothing,
        slope=np.nan,
        slope_interval=nothing,
        share_bracketed=0.0,
        shares={},
        identifiable=False,
        excluded=excluded,
        reason="b_tot is undefined at every gain",
    )


def _select(
    gains: Sequence[Decimal],
    b_tot: np.ndarray,
    replicates: np.ndarray,
    excluded: tuple[Decimal, ...],
) -> GStar:
    g = np.array([float(gain) for gain in gains])
    index = choose(gains, b_tot)
    assert index is not None
    whole = replicates[np.isfinite(replicates).all(axis=1)]
    chosen = [choose(gains, row) or 0 for row in whole]  # never None: these rows are defined
    bracketed = _brackets(whole)
    # each replicate makes its own choice: near the measured g* every noisy curve has a crossing
    crossing = np.array(
        [
            _crossing_nearest(g, row, float(g[i]))
            for row, i, crosses in zip(whole, chosen, bracketed, strict=True)
            if crosses
        ]
    )
    crossing_interval = _pair(percentile_interval(crossing)) if len(crossing) else (np.nan, np.nan)
    defined, share = (n / max(len(replicates), 1) for n in (len(whole), int(bracketed.sum())))
    reason = _doubt(g, bool(_brackets(b_tot)), defined, share, crossing_interval)
    return GStar(
        gstar=gains[index],
        b_tot=float(b_tot[index]),
        bracketed=bool(_brackets(b_tot)),
        at_grid_edge=index in (0, len(gains) - 1),
        crossing=_crossing_nearest(g, b_tot, g[index]),
        crossing_interval=crossing_interval,
        slope=float(_slope(g, b_tot)),
        slope_interval=_pair(percentile_interval(_slope(g, replicates))),
        share_bracketed=share,
        shares={gain: chosen.count(i) / max(len(chosen), 1) for i, gain in enumerate(gains)},
        identifiable=reason is None,
        excluded=excluded,
        reason=reason,
    )


def _doubt(
    g: np.ndarray, bracketed: bool, defined: float, share: float, interval: tuple[float, float]
) -> str | None:
    """Why g* is not identifiable; None if it is.

    ``defined`` is the share of replicates with a whole curve, ``share`` of those that change sign.
    """
    low, high = interval
    if not bracketed:
        return "b_tot - 1 does not change sign inside the grid"
    if defined < REPLICATES_BRACKETED_MIN:
        alone = "" if defined else "; one window cannot be resampled"
        return f"only {defined:.1%} of bootstrap replicates define b_tot at every gain{alone}"
    if share < REPLICATES_BRACKETED_MIN:
        return f"only {share:.1%} of bootstrap replicates change sign inside the grid"
    if not (g[0] < low and high < g[-1]):
        return f"the crossing's interval [{low:.3f}, {high:.3f}] reaches the grid's edge"
    if high - low >= CROSSING_WIDTH_MAX * (g[-1] - g[0]):
        return f"the crossing's interval [{low:.3f}, {high:.3f}] is wider than half the grid"
    return None
