"""Conditions measured on the same windows, perplexity among the rest, and their paired differences.

    nll_mean = Σ_n ℓ_n / Σ_n m_n,        ppl = exp(nll_mean)
    diff     = s(second) − s(first)

ℓ_n is the negative log-likelihood of window n's m_n predicted tokens, in nats. Every statistic s is
a function of sums over windows, and its replicates are that function of resampled sums
(:mod:`avalattice.stats.bootstrap`), so an interval needs no further pass and a difference of
replicates is paired by window. Intervals are percentiles; chi's own is studentised
(:mod:`avalattice.stats.summary`), its difference's is not. What the nulls expect is recomputed of
each resample (:mod:`avalattice.stats.excess`).

Differences of chi over few windows are not handled better than that: see the flag ``few_windows``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from avalattice.errors import ArrayError
from avalattice.lattice.branching import Denominator, EdgeSums
from avalattice.lattice.null_sums import excess_from_sums, null_sums_of_edges
from avalattice.stats.bootstrap import Interval, Resamples, no_interval, percentile_interval
from avalattice.stats.summary import NO_CHI_INTERVAL, Summary

LOSS_NAMES = ("nll", "n_predicted_tokens")
"""The sums of a window's loss, in the order of their axis."""
_EXCESS_NAMES = ("b_time", "b_depth", "b_tot", "delta_b_tot", "delta_b_depth_shift")
_NO_SUCCESSOR = "no occupied site has a successor"
_REASONS = dict.fromkeys(_EXCESS_NAMES, _NO_SUCCESSOR) | {
    "chi": "chi needs two windows and some event",
    "ppl": "the perplexity is beyond float64",
}


@dataclass(frozen=True)
class Replicated:
    """One statistic of C conditions over the same windows, with its bootstrap replicates."""

    value: Float64[np.ndarray, " C"]
    """Of the windows as they are; NaN where it is undefined."""
    interval: Interval
    """Its interval, [C]."""
    replicates: Float64[np.ndarray, "R C"]
    """In each resample."""

    def interval_of(self, c: int) -> Interval:
        """One condition's interval."""
        return Interval(np.asarray(self.interval.low[c]), np.asarray(self.interval.high[c]))

    def difference(self, first: int, second: int) -> tuple[float, Interval]:
        """The statistic of one condition less that of another, and its paired interval.

        Args:
            first: the condition that is subtracted.
            second: the condition that it is subtracted from.
        """
        replicates = self.replicates[:, second] - self.replicates[:, first]
        return float(self.value[second] - self.value[first]), percentile_interval(replicates)


def transfer_statistics(
    summary: Summary,
    sums: EdgeSums,
    losses: Float64[np.ndarray, "C N 2"],
    *,
    n_tokens: int,
    resamples: Resamples,
    denominator: Denominator = "valid_edges",
) -> dict[str, Replicated]:
    """Every statistic that is compared between gains, by name.

    Args:
        summary: of the same sums with the same resamples; chi is taken from it.
        sums: of the stack [C, N, L, T].
        losses: each window's sums in the order of :data:`LOSS_NAMES`.
        n_tokens: T.
        resamples: of the N windows.
        denominator: of the branching ratios.

    Returns:
        b_time, b_depth, b_tot, delta_b_tot, delta_b_depth_shift, chi, nll_mean and ppl.

    Raises:
        ArrayError: losses are of other conditions or windows, or not finite.
    """
    expected = (*sums.values.shape[:2], len(LOSS_NAMES))
    if losses.shape != expected or not np.isfinite(losses).all():
        raise ArrayError(
            f"losses: expected finite sums {expected}, as many conditions and windows as the "
            f"rasters', found shape {losses.shape}"
        )

    def surplus(pooled: np.ndarray) -> dict[str, np.ndarray]:
        excess = excess_from_sums(pooled, denominator=denominator)
        return {name: getattr(excess, name) for name in _EXCESS_NAMES}

    chi = Replicated(summary.susceptibility.chi, summary.chi_interval, summary.chi_replicates)
    return {
        **_replicated(surplus, null_sums_of_edges(sums, n_tokens), resamples),
        "chi": chi,
        **_replicated(perplexity, losses, resamples),
    }


def perplexity(sums: Float64[np.ndarray, "*stack 2"]) -> dict[str, Float64[np.ndarray, "*stack"]]:
    """Mean loss and perplexity from sums that are already pooled over windows.

    Args:
        sums: in the order of :data:`LOSS_NAMES`; bootstrap replicates may be weighted sums.

    Returns:
        ``nll_mean``, in nats a token, and ``ppl``; NaN where float64 cannot hold it.

    >>> perplexity(np.array([6.0, 3.0]))["ppl"].round(3)
    np.float64(7.389)
    """
    mean = np.asarray(sums[..., 0] / sums[..., 1])
    with np.errstate(over="ignore"):
        ppl = np.exp(mean)
    return {"nll_mean": mean, "ppl": np.where(np.isinf(ppl), np.nan, ppl)}


def undefined(found: Mapping[str, Replicated], c: int) -> str | None:
    """Which statistics of one condition are NaN, and why; None where all are defined."""
    missing = [name for name, statistic in found.items() if np.isnan(statistic.value[c])]
    reasons = dict.fromkeys(_REASONS[name] for name in missing)
    return f"{', '.join(missing)}: {'; '.join(reasons)}" if missing else None


def without_interval(found: Mapping[str, Replicated], c: int) -> str | None:
    """Which statistics of one condition are defined and their intervals are not, and why."""
    values = {name: statistic.value[c] for name, statistic in found.items()}
    lows = {name: statistic.interval_of(c).low for name, statistic in found.items()}
    no_chi = no_interval(values, {"chi": lows.pop("chi")})
    said = (no_interval(values, lows), NO_CHI_INTERVAL if no_chi else "")
    return "; ".join(filter(None, said)) or None


def _replicated(
    function: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    per_window: Float64[np.ndarray, "C N S"],
    resamples: Resamples,
) -> dict[str, Replicated]:
    """A function of pooled sums, with its replicates."""
    values = function(per_window.sum(axis=1))
    replicates = function(resamples.sums(np.moveaxis(per_window, 1, 0)))
    return {
        name: Replicated(np.asarray(value), percentile_interval(replicates[name]), replicates[name])
        for name, value in values.items()
    }
