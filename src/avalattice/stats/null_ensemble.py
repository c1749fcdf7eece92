"""A condition's branching ratios beside those of null rasters that were drawn.

    p_mc = (1 + #{|b_null − mean| ≥ |b − mean|}) / (R + 1)

b and b_null are ratios of edges pooled over windows; the mean is that of all R + 1 values. Draws
check the closed forms (:mod:`avalattice.lattice.null_moments`,
:mod:`avalattice.lattice.token_id_null`), whose z and p are those of the numerators: the two differ
along tokens, where the null moves the denominator too. Time is to be judged by permutation and by
exchange within token ids; a shift keeps nearly all of b_time, so that p_time_mc says nothing there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from avalattice.arrays import AnyCounts
from avalattice.lattice.branching import Denominator, branching, windows_of
from avalattice.lattice.nulls import EdgeReplicates, p_monte_carlo


@dataclass(frozen=True)
class EnsembleStatistics:
    """Branching ratios of R null rasters, and where the observed ones lie among them."""

    replicates: int
    """R."""
    b_time_mean: float
    """Mean of b_time over the null rasters."""
    b_time_sd: float
    """Its standard deviation, divisor R − 1."""
    b_depth_mean: float
    """Mean of b_depth over the null rasters."""
    b_depth_sd: float
    """Its standard deviation, divisor R − 1."""
    b_tot_mean: float
    """Mean of b_tot over the null rasters."""
    b_tot_sd: float
    """Its standard deviation, divisor R − 1."""
    p_time_mc: float
    """Two-sided Monte Carlo p-value of the observed b_time."""
    p_depth_mc: float
    """Two-sided Monte Carlo p-value of the observed b_depth."""
    reasons: Mapping[str, str]
    """Why a field is NaN, by field; empty where all are defined."""


def ensemble_statistics(
    X: AnyCounts, drawn: EdgeReplicates, *, denominator: Denominator = "valid_edges"
) -> EnsembleStatistics:
    """Mean, spread and Monte Carlo p-values of an ensemble of null rasters.

    Args:
        X: the observed raster, occupancy or event counts [N, L, T] of one condition, or [L, T].
        drawn: edges of null rasters of X, pooled over the same windows.
        denominator: of the branching ratios, observed and drawn. Nulls of rasters keep the number
            of sites.

    Returns:
        the statistics. A ratio that any null raster leaves undefined has none, with a reason.

    Raises:
        ArrayError: ``X`` has other axes, say those of several conditions.

    >>> from avalattice.canon import NullId
    >>> from avalattice.lattice.nulls import branching_null_ensemble
    >>> X, rng = np.eye(20, dtype=np.uint8), np.random.default_rng(0)
    >>> null_id = NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM
    >>> found = ensemble_statistics(X, branching_null_ensemble(X, rng, 99, null_id))
    >>> found.b_time_mean, 0.03 < found.b_depth_mean < 0.07, found.p_time_mc
    (0.0, True, 1.0)
    """
    observed = branching(windows_of(X), denominator=denominator)
    null = drawn if denominator == "valid_edges" else _over_all_sites(drawn, X)
    numbers: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name in ("time", "depth", "tot"):
        values = getattr(null, f"b_{name}")
        found = dict(zip((f"b_{name}_mean", f"b_{name}_sd"), _mean_and_sd(values), strict=True))
        if name != "tot":
            b = float(getattr(observed, f"b_{name}"))
            found[f"p_{name}_mc"] = p_monte_carlo(b, values)
        undefined = [number for number, value in found.items() if math.isnan(value)]
        reasons |= dict.fromkeys(undefined, _why_undefined(f"b_{name}", values))
        numbers |= found
    return EnsembleStatistics(replicates=drawn.time_edges.size, **numbers, reasons=reasons)


def _over_all_sites(drawn: EdgeReplicates, X: AnyCounts) -> EdgeReplicates:
    sites = np.full_like(drawn.time_ancestors, np.count_nonzero(X))
    return replace(drawn, time_ancestors=sites, depth_ancestors=sites)


def _mean_and_sd(values: Float[np.ndarray, " R"]) -> tuple[float, float]:
    mean = float(values.mean()) if values.size else math.nan
    return mean, float(values.std(ddof=1)) if values.size > 1 else math.nan


def _why_undefined(name: str, values: Float[np.ndarray, " R"]) -> str:
    """Why a mean, a standard deviation or a p-value is NaN."""
    undefined = int(np.isnan(values).sum())
    if undefined:
        return f"{name} is undefined in {undefined} of {values.size} null rasters"
    if values.size > 1:
        return f"{name} of the raster is undefined"
    return "no spread in one null raster" if values.size else "no null raster was drawn"
