"""Intervals of branching ratios' surplus over their nulls, and of how much order adds to it.

    delta_b      = Σ pairs / Σ ancestors − Σ E[pairs] / Σ E[ancestors]
    delta_excess = delta_b(measured) − mean over draws of delta_b(shuffled)

Sums run over windows (:mod:`avalattice.lattice.null_sums`). A window-bootstrap replicate weighs
measured and expected sums alike: what the null expects is recomputed of each resample, and an
interval is that of the surplus, not of b about a fixed expectation. Whatever shares
:class:`~avalattice.stats.bootstrap.Resamples` is paired by window.

``delta_excess`` compares rasters of different rates, the measured one and those of the same windows
with their tokens shuffled, each by its surplus over the permutation of its own rows. The surplus
over the token-id null is not handled: its strata span windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from avalattice.errors import ArrayError
from avalattice.lattice.branching import Denominator
from avalattice.lattice.null_sums import EXCESS_NAMES, Excess, excess_from_sums
from avalattice.stats.bootstrap import Interval, Resamples, no_interval, percentile_interval

_DELTA_OF = {
    "delta_excess_time": "delta_b_time",
    "delta_excess_depth": "delta_b_depth",
    "delta_excess_tokshuffle": "delta_b_tot",
}
DELTA_EXCESS_NAMES = tuple(_DELTA_OF)
"""What order adds along tokens, along layers, and to both together (delta_b_tot)."""


@dataclass(frozen=True)
class PairedExcess:
    """How much more of a surplus over its null one raster has than others of the same windows."""

    values: dict[str, Float64[np.ndarray, "*stack"]]
    """delta_excess, by the names of :data:`DELTA_EXCESS_NAMES`."""
    intervals: dict[str, Interval]
    """Their intervals, paired by window."""
    reason: str | None
    """Why values or intervals are NaN, if any is."""


def excess_intervals(
    per_window: Float64[np.ndarray, "*stack N S"],
    resamples: Resamples,
    *,
    denominator: Denominator = "valid_edges",
) -> dict[str, Interval]:
    """Window-bootstrap intervals of every number of an ``Excess``.

    Args:
        per_window: sums of :func:`~avalattice.lattice.null_sums.null_sums`, [N, S] of one condition
            or [C, N, S] of several.
        resamples: of the N windows.
        denominator: of the branching ratios.

    Returns:
        intervals [*stack] by the names of ``EXCESS_NAMES``; NaN where too few replicates are
        defined.

    Raises:
        ArrayError: the number of windows is another, or the last axis does not hold these sums.
    """
    replicates = _replicates(per_window, resamples, denominator)
    return {name: percentile_interval(getattr(replicates, name)) for name in EXCESS_NAMES}


def paired_excess(
    measured: Float64[np.ndarray, "*stack N S"],
    shuffled: Sequence[Float64[np.ndarray, "*stack N S"]],
    resamples: Resamples,
    *,
    denominator: Denominator = "valid_edges",
) -> PairedExcess:
    """The surplus of a raster less that of the same windows shuffled, with paired intervals.

    Args:
        measured: sums of :func:`~avalattice.lattice.null_sums.null_sums`, [N, S] of one condition
            or [C, N, S] of several.
        shuffled: the same of each draw of shuffled input; window n is window n of ``measured``.
            Draws are averaged, in each resample as over all windows.
        resamples: of the N windows.
        denominator: of the branching ratios.

    Raises:
        ArrayError: there is no draw, one has another shape, the number of windows is another, or
            the last axis does not hold these sums.
    """
    _check_draws(measured, shuffled)
    stacks = (measured, *shuffled)
    rasters = [excess_from_sums(sums.sum(axis=-2), denominator=denominator) for sums in stacks]
    replicates = [_replicates(sums, resamples, denominator) for sums in stacks]
    values = _first_less_mean_of_others(rasters)
    intervals = {
        name: percentile_interval(differences)
        for name, differences in _first_less_mean_of_others(replicates).items()
    }
    lows = {name: interval.low for name, interval in intervals.items()}
    said = (_why_undefined(*rasters), no_interval(values, lows))
    return PairedExcess(values, intervals, "; ".join(filter(None, said)) or None)


def _check_draws(measured: np.ndarray, shuffled: Sequence[np.ndarray]) -> None:
    if not len(shuffled):
        raise ArrayError("shuffled: expected the sums of at least one draw, found none")
    for draw, sums in enumerate(shuffled):
        if sums.shape != measured.shape:
            raise ArrayError(
                f"shuffled: expected sums of the measured raster's shape {measured.shape}, "
                f"found {sums.shape} of draw {draw}: differences are paired by window"
            )


def _replicates(per_window: np.ndarray, resamples: Resamples, denominator: Denominator) -> Excess:
    """The numbers of each resample, [R, *stack]."""
    if per_window.ndim < 2:
        raise ArrayError(f"sums: expected axes [..., N, S], found shape {per_window.shape}")
    resampled = resamples.sums(np.moveaxis(per_window, -2, 0))
    return excess_from_sums(resampled, denominator=denominator)


def _first_less_mean_of_others(rasters: Sequence[Excess]) -> dict[str, np.ndarray]:
    """delta_excess by name."""
    first, *others = rasters
    return {
        name: np.asarray(getattr(first, delta) - np.mean([getattr(o, delta) for o in others], 0))
        for name, delta in _DELTA_OF.items()
    }


def _why_undefined(measured: Excess, *shuffled: Excess) -> str | None:
    """Which raster lacks a ratio, in words."""
    said = [f"measured raster, {measured.reason}"] if measured.reason else []
    said += [
        f"draw {draw} of shuffled input, {excess.reason}"
        for draw, excess in enumerate(shuffled)
        if excess.reason
    ]
    return "; ".join(said) or None
