"""One intervention at one gain: branching beside its nulls, chi, and avalanches.

The rasters are those of the windows on which the intervention's own thresholds were fitted, so that
every layer holds the events that it was to hold, whatever the intervention does to activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from avalattice.arrays import AnyCounts
from avalattice.canon import AdjacencyId
from avalattice.lattice.branching import Denominator, edge_sums
from avalattice.lattice.null_sums import excess_from_sums, null_sums_of_edges
from avalattice.stats.avalanche_statistics import AvalancheDescription, describe_avalanches
from avalattice.stats.bootstrap import Interval, Resamples, no_interval
from avalattice.stats.excess import excess_intervals
from avalattice.stats.summary import NO_CHI_INTERVAL, summarise

EXCESS = ("b_tot", "delta_b_tot", "delta_b_depth_shift")


@dataclass(frozen=True)
class Ablation:
    """What is measured of one intervention's rasters."""

    numbers: Mapping[str, float]
    """b_tot, delta_b_tot, delta_b_depth_shift and chi."""
    intervals: Mapping[str, Interval]
    """Theirs, over windows, by name."""
    achieved_rate_max_abs_err: float
    """Largest deviation of a layer's rate from its target, events per unit and token."""
    described: Mapping[AdjacencyId, AvalancheDescription]
    """Avalanches under both adjacencies."""
    reason: str
    """Why a number or an interval is NaN; empty where none is."""


def measure_ablation(
    A: AnyCounts,
    *,
    layer_rates: Float64[np.ndarray, " L"],
    d_ff: Int64[np.ndarray, " L"],
    resamples: Resamples,
    denominator: Denominator = "valid_edges",
) -> Ablation:
    """Measure the rasters of one intervention.

    Args:
        A: event counts [N, L, T].
        layer_rates: r*_l, events per unit and token.
        d_ff: units of each layer.
        resamples: of the N windows.
        denominator: of the branching ratios.
    """
    edges, n_tokens = edge_sums(A), A.shape[-1]
    per_window = null_sums_of_edges(edges, n_tokens)
    excess = excess_from_sums(per_window.sum(axis=0), denominator=denominator)
    summary = summarise(
        type(edges)(edges.values[np.newaxis]),
        n_tokens=n_tokens,
        d_ff=d_ff,
        resamples=resamples,
        denominator=denominator,
    )
    of_excess = excess_intervals(per_window, resamples, denominator=denominator)
    chi = summary.chi_interval
    numbers = {name: float(getattr(excess, name)) for name in EXCESS}
    reasons = (
        excess.reason,
        no_interval(numbers, {name: of_excess[name].low for name in EXCESS}),
        summary.susceptibility.reason,
        NO_CHI_INTERVAL if summary.without_chi_interval[0] else None,
    )
    return Ablation(
        numbers=numbers | {"chi": float(summary.susceptibility.chi[0])},
        intervals={name: of_excess[name] for name in EXCESS}
        | {"chi": Interval(np.asarray(chi.low[0]), np.asarray(chi.high[0]))},
        achieved_rate_max_abs_err=float(np.abs(summary.rate_layers[0] - layer_rates).max()),
        described={
            adjacency: describe_avalanches(A, resamples, adjacency) for adjacency in AdjacencyId
        },
        reason="; ".join(reason for reason in reasons if reason),
    )
