"""Summaries: every pooled statistic of a stack of conditions, with its window-bootstrap interval.

All follow from the sums per window and layer of :mod:`avalattice.lattice.branching`, so rasters
can be read in blocks and forgotten. Conditions of one stack share their resamples: differences
between them are paired by window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from avalattice.lattice.branching import (
    SUM_NAMES,
    Branching,
    Denominator,
    EdgeSums,
    branching_from_sums,
)
from avalattice.lattice.susceptibility import (
    Susceptibility,
    centred_powers,
    susceptibility_from_powers,
    susceptibility_of_totals,
)
from avalattice.stats.bootstrap import (
    Interval,
    Resamples,
    percentile_interval,
    studentised_log_interval,
)

BRANCHING_NAMES = ("b_time", "b_depth", "b_tot", "b_time_count", "b_depth_count", "b_tot_count")
NO_CHI_INTERVAL = "no interval of chi: window totals do not vary enough"
_SITES, _EVENTS = SUM_NAMES.index("sites"), SUM_NAMES.index("events")


@dataclass(frozen=True)
class Summary:
    """Statistics of C conditions over the same N windows."""

    occupancy: Float64[np.ndarray, " C"]
    """p, the share of occupied sites."""
    occupancy_layers: Float64[np.ndarray, "C L"]
    """p of each layer."""
    rate_layers: Float64[np.ndarray, "C L"]
    """Achieved rate of each layer, events per unit and token."""
    events_layers: Int64[np.ndarray, "C L"]
    """Events of each layer."""
    branching: Branching
    """Pooled branching ratios, each [C]."""
    branching_intervals: dict[str, Interval]
    """Their intervals, by name."""
    b_tot_replicates: Float64[np.ndarray, "R C"]
    """b_tot in each window-bootstrap replicate."""
    susceptibility: Susceptibility
    """chi, [C]."""
    chi_interval: Interval
    """Studentised interval of chi."""
    chi_replicates: Float64[np.ndarray, "R C"]
    """chi in each window-bootstrap replicate."""
    n_windows: int
    """N."""
    few_windows: bool
    """Whether intervals rest on too few windows to be quoted without a warning."""

    @property
    def without_chi_interval(self) -> Bool[np.ndarray, " C"]:
        """Whether chi is defined and its interval is not: see :data:`NO_CHI_INTERVAL`."""
        ends = self.chi_interval.low + self.chi_interval.high
        return np.asarray(np.isnan(ends) & ~np.isnan(self.susceptibility.chi))


def summarise(
    sums: EdgeSums,
    *,
    n_tokens: int,
    d_ff: Int64[np.ndarray, " L"],
    resamples: Resamples,
    denominator: Denominator = "valid_edges",
) -> Summary:
    """Summarise conditions from their sums per window and layer.

    Args:
        sums: of a stack [C, N, L, T].
        n_tokens: T.
        d_ff: units of each layer.
        resamples: of the N windows.
        denominator: of the branching ratios.
    """
    n_windows = sums.values.shape[1]
    layers = sums.values.sum(axis=1)
    windows = np.moveaxis(sums.windows, 1, 0)
    replicates = branching_from_sums(resamples.sums(windows), denominator=denominator)
    susceptibility, chi_interval, chi_replicates = _chi(sums.windows[..., _EVENTS], resamples)
    sites = n_windows * n_tokens
    return Summary(
        occupancy=layers[..., _SITES].mean(axis=1) / sites,
        occupancy_layers=layers[..., _SITES] / sites,
        rate_layers=layers[..., _EVENTS] / (sites * d_ff),
        events_layers=layers[..., _EVENTS],
        branching=branching_from_sums(windows.sum(axis=0), denominator=denominator),
        branching_intervals={
            name: percentile_interval(getattr(replicates, name)) for name in BRANCHING_NAMES
        },
        b_tot_replicates=replicates.b_tot,
        susceptibility=susceptibility,
        chi_interval=chi_interval,
        chi_replicates=chi_replicates,
        n_windows=n_windows,
        few_windows=resamples.few_windows,
    )


def _chi(
    totals: Int64[np.ndarray, "C N"], resamples: Resamples
) -> tuple[Susceptibility, Interval, np.ndarray]:
    """Its value, interval and replicates."""
    estimate = susceptibility_of_totals(totals)
    centre = totals.mean(axis=-1)
    powers = centred_powers(totals - centre[:, None], np.zeros(()))
    replicates = susceptibility_from_powers(resamples.sums(np.moveaxis(powers, 1, 0)), centre)
    interval = studentised_log_interval(
        estimate.chi, estimate.log_se, replicates.chi, replicates.log_se
    )
    return estimate, interval, replicates.chi
