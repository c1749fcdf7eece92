"""Rows of T01 and T06, and of the tables that lead from an analysis back to its rasters.

T01 measures nothing: each of its rows joins a row of the metrics of phase 2 or 3 with the row of
phase 4's null statistics for the same raster, and with the avalanches found on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from avalattice.canon import CONST, AdjacencyId, GCondition
from avalattice.errors import VerificationError
from avalattice.export.avalanche_rows import description_columns, interval_columns
from avalattice.export.schemas.nulls import DELTA_NAMES
from avalattice.export.schemas.tables import SUMMARY_INTERVAL_NAMES, TESTED_NAMES
from avalattice.export.tables import Provenance
from avalattice.lattice.branching import SUM_NAMES, EdgeSums
from avalattice.lattice.null_sums import NULL_SUM_NAMES, null_sums_of_edges
from avalattice.lattice.rasters import Condition
from avalattice.stats.ablation import Ablation
from avalattice.stats.avalanche_statistics import AvalancheDescription
from avalattice.stats.multiplicity import benjamini_hochberg
from avalattice.stats.multistep import MultistepBranching
from avalattice.stats.summary import BRANCHING_NAMES

Row = dict[str, Any]

_FROM_METRICS = (
    "window_set",
    "spike_def_id",
    "target_label",
    "target_rate",
    "achieved_rate_mean",
    "achieved_rate_max_abs_err",
    "achieved_rate_max_event_err",
    "occupancy",
    "occupancy_min",
    "occupancy_max",
    *BRANCHING_NAMES,
    "branching_reason",
    "chi",
    "chi_reason",
    "n_sequences",
    "few_windows",
)
_FROM_NULLS = (
    "b_time_perm_exact",
    "b_depth_perm_exact",
    "b_tot_perm_exact",
    "b_depth_shift_exact",
    "b_time_perm",
    "b_depth_perm",
    "b_tot_perm",
    "b_tot_shift",
    *DELTA_NAMES,
    "null_reason",
    "b_tot_tokshuffle",
    "achieved_rate_tokshuffle",
    "delta_excess_tokshuffle",
    "tokshuffle_reason",
)
_SAME_RASTER = ("window_set", "spike_def_id", "target_label", "gain", "b_time", "b_depth")
_TEST_OF = dict(zip(TESTED_NAMES, ("time_perm", "depth_shift"), strict=True))
"""The null by which each tested column is judged."""
_EXPECTED = {f"{name}_perm_mean": f"{name}_expected" for name in SUM_NAMES}


def summary_rows(
    provenance: Provenance,
    metrics: Sequence[Mapping[str, Any]],
    nulls: Sequence[Mapping[str, Any]],
    described: Sequence[AvalancheDescription],
    depth: Sequence[MultistepBranching],
    *,
    tau0: float,
    rate_tolerance: float = CONST.RATE_MATCH_TOL_ABS,
) -> list[Row]:
    """T01, one row per raster, p-values adjusted over the whole table.

    Args:
        provenance: what every row begins and ends with.
        metrics: a row of phase 2's or 3's metrics for each raster.
        nulls: the row of phase 4's null statistics for the same raster.
        described: its avalanches.
        depth: its multistep regression along layers.
        tau0: the baseline threshold; NaN of counts that no threshold made.
        rate_tolerance: the published one; NaN where rates were not matched.

    Raises:
        VerificationError: the null statistics are those of another raster.
    """
    rows = [
        {
            **_joined(metric, null),
            **description_columns(avalanches),
            "b_depth_mr": regression.b,
            "b_depth_mr_reason": regression.reason or None,
            "g": metric["gain"],
            "tau0_baseline": tau0,
            "rate_match_tol_abs": rate_tolerance,
            **vars(provenance),
        }
        for metric, null, avalanches, regression in zip(
            metrics, nulls, described, depth, strict=True
        )
    ]
    for name in TESTED_NAMES:
        adjust(rows, f"{name}_p_exact", f"{name}_p_adj")
    return rows


def _joined(metric: Mapping[str, Any], null: Mapping[str, Any]) -> Row:
    """The columns that phases 2 to 4 measured."""
    _check_same_raster(metric, null)
    tests = {
        f"{name}_{column}": null[source]
        for name, test in _TEST_OF.items()
        for column, source in (
            ("z_exact", f"z_{test}_exact"),
            ("p_exact", f"p_{test}_exact"),
            ("p_mc", f"p_{test}_mc"),
        )
    }
    ends = {
        f"opt_{name}_{end}": (null if f"{name}_{end}" in null else metric)[f"{name}_{end}"]
        for name in SUMMARY_INTERVAL_NAMES
        for end in ("ci_low", "ci_high")
    }
    return {
        **{name: metric[name] for name in _FROM_METRICS},
        **{name: null[name] for name in _FROM_NULLS},
        **tests,
        "delta_b_time_z_tokens": null["z_time_tokens_exact"],
        "delta_b_time_p_tokens": null["p_time_tokens_exact"],
        **ends,
    }


def _check_same_raster(metric: Mapping[str, Any], null: Mapping[str, Any]) -> None:
    """Phase 4 measured the ratios too: it must have had the same raster before it."""
    for name in _SAME_RASTER:
        measured, compared = metric[name], null[name]
        undefined = _is_undefined(measured) and _is_undefined(compared)
        if measured != compared and not undefined:
            raise VerificationError(
                f"cond_id {metric['cond_id']} of the {metric['window_set']} windows: {name} is "
                f"{measured} in the metrics and {compared} in the null statistics, which are of "
                "another raster"
            )


def _is_undefined(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def adjust(rows: Sequence[Row], raw: str, adjusted: str) -> None:
    """Add Benjamini–Hochberg's adjusted p-values, over all rows that have one."""
    p = np.array([math.nan if row[raw] is None else row[raw] for row in rows], dtype=np.float64)
    for row, value in zip(rows, benjamini_hochberg(p), strict=True):
        row[adjusted] = value


_ABLATION_INTERVALS = ("b_tot", "delta_b_tot", "delta_b_depth_shift", "chi")


def ablation_rows(
    shared: Row, condition: Condition, g_condition: GCondition, target: str, found: Ablation
) -> Iterator[Row]:
    """T06's rows of one intervention that was measured, one per adjacency.

    Args:
        shared: what every row begins and ends with, and the windows.
        condition: what the rasters were made under.
        g_condition: which of the two compared gains that is.
        target: the sublayer that the intervention scales.
        found: the measurement.
    """
    for adjacency, described in found.described.items():
        said = (found.reason, described.reason, described.crackling.reason)
        row = {
            **shared,
            **_ablation_key(condition, g_condition, target, adjacency),
            "g": float(condition.gain),
            **found.numbers,
            "achieved_rate_max_abs_err": found.achieved_rate_max_abs_err,
            "n_avalanches": described.n_avalanches,
            "avalanche_size_mean": described.size_mean,
            "crackling_gamma": described.crackling.gamma,
            "reason": "; ".join(reason for reason in said if reason) or None,
        }
        for name in _ABLATION_INTERVALS:
            row |= interval_columns(name, found.intervals[name])
        yield row


def missing_ablation_rows(
    shared: Row, condition: Condition, target: str, *, g: float | None, reason: str
) -> Iterator[Row]:
    """T06's rows of an intervention at g* that was not measured, with the reason."""
    empty = (*_ABLATION_INTERVALS, "achieved_rate_max_abs_err", "avalanche_size_mean")
    for adjacency in AdjacencyId:
        row = {
            **shared,
            **_ablation_key(condition, GCondition.GSTAR, target, adjacency),
            "g": g,
            **dict.fromkeys((*empty, "n_avalanches", "crackling_gamma")),
            "reason": reason,
        }
        for name in _ABLATION_INTERVALS:
            row |= interval_columns(name, None)
        yield row


def _ablation_key(
    condition: Condition, g_condition: GCondition, target: str, adjacency: AdjacencyId
) -> Row:
    return {
        "spike_def_id": condition.spike_def_id,
        "target_label": condition.target_label,
        "target_rate": condition.target_rate,
        "intervention_id": condition.intervention_id,
        "adjacency_id": adjacency,
        "gain_target": target,
        "g_condition": g_condition,
    }


def analysis_condition_rows(
    provenance: Provenance,
    metrics: Sequence[Mapping[str, Any]],
    described: Sequence[AvalancheDescription],
) -> Iterator[Row]:
    """Where each cond_id of an analysis comes from.

    Args:
        provenance: what every row begins and ends with.
        metrics: the row of phase 2's or 3's metrics for each raster, with its run_id.
        described: its avalanches.
    """
    kept = (
        "window_set",
        "spike_def_id",
        "target_label",
        "target_rate",
        "gain",
        "null_id",
        "intervention_id",
        "occupancy",
        *BRANCHING_NAMES,
        "chi",
        "n_sequences",
        "few_windows",
    )
    for cond_id, (metric, avalanches) in enumerate(zip(metrics, described, strict=True)):
        yield {
            **vars(provenance),
            "cond_id": cond_id,
            "source_run_id": metric["run_id"],
            "source_cond_id": metric["cond_id"],
            **{name: metric[name] for name in kept},
            "n_avalanches": avalanches.n_avalanches,
        }


def analysis_window_rows(
    provenance: Provenance,
    sums: Sequence[EdgeSums],
    n_tokens: int,
    described: Sequence[AvalancheDescription],
) -> Iterator[Row]:
    """The sums of each window from which everything pooled is recomputed.

    Args:
        provenance: what every row begins and ends with.
        sums: of each condition, [N, L, S].
        n_tokens: T.
        described: its avalanches.
    """
    for cond_id, (edges, avalanches) in enumerate(zip(sums, described, strict=True)):
        counted, expected = edges.windows, null_sums_of_edges(edges, n_tokens)
        per_window = avalanches.table.components_per_window()
        for n in range(len(counted)):
            means = dict(zip(NULL_SUM_NAMES, expected[n].tolist(), strict=True))
            yield {
                **vars(provenance),
                "cond_id": cond_id,
                "seq_id": n,
                **dict(zip(SUM_NAMES, counted[n].tolist(), strict=True)),
                **{name: means[source] for name, source in _EXPECTED.items() if source in means},
                "n_avalanches": int(per_window[n]),
            }
