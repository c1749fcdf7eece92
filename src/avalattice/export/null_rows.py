"""Rows of phase 4's null statistics, from the report on one raster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int64

from avalattice.canon import NullId, WindowSet
from avalattice.export.avalanche_rows import interval_columns
from avalattice.export.schemas.nulls import DELTA_NAMES, NULL_STATISTICS, TOKEN_SHUFFLE_NAMES
from avalattice.export.tables import Provenance
from avalattice.lattice.rasters import Condition
from avalattice.stats.bootstrap import Resamples, no_interval
from avalattice.stats.null_report import (
    EXCHANGED,
    PERMUTED,
    SHIFTED,
    NullReport,
    ShuffleReport,
)

_NAMES = {PERMUTED: "perm", SHIFTED: "shift", EXCHANGED: "token_id"}
_TESTS = ("time_perm", "time_tokens", "depth_perm", "depth_shift")
_NO_TOKEN_IDS = "no token ids were given"
_NO_EXCHANGE = "the token-id ensemble is drawn for held-out rasters alone"
_NO_SHUFFLE = "shuffled input is measured on held-out windows alone"


def null_statistics_row(
    provenance: Provenance,
    window_set: WindowSet,
    cond_id: int,
    condition: Condition,
    report: NullReport,
    shuffle: ShuffleReport | None,
    d_ff: Int64[np.ndarray, " L"],
    resamples: Resamples,
    *,
    n_tokens: int,
    no_shuffle: str = _NO_SHUFFLE,
) -> dict[str, Any]:
    """The row of one raster.

    Args:
        provenance: what the row begins and ends with.
        window_set: the raster's windows.
        cond_id: its index on the C axis of its file.
        condition: what it was made under.
        report: of permutation, shift and exchange.
        shuffle: of shuffled input, where that was measured.
        d_ff: units of each layer.
        resamples: of the windows.
        n_tokens: T.
        no_shuffle: why shuffled input was not measured, where it was not.
    """
    row: dict[str, Any] = dict.fromkeys(column.name for column in NULL_STATISTICS.columns)
    row |= {
        **vars(provenance),
        "window_set": window_set,
        "cond_id": cond_id,
        "spike_def_id": condition.spike_def_id,
        "target_label": condition.target_label,
        "target_rate": condition.target_rate,
        "gain": float(condition.gain),
        "null_id": condition.null_id,
        "intervention_id": condition.intervention_id,
        "n_sequences": resamples.n_windows,
        "few_windows": resamples.few_windows,
        "replicates": report.replicates,
    }
    row |= _exact(report) | _token_id(report) | _ensembles(report) | _one_draw(report)
    sites = resamples.n_windows * n_tokens
    if shuffle is None:
        return row | {"tokshuffle_reason": no_shuffle}
    return row | _shuffle(shuffle, d_ff, sites)


def _exact(report: NullReport) -> dict[str, Any]:
    exact = report.exact
    values: dict[str, Any] = {
        name: float(getattr(report.branching, name)) for name in ("b_time", "b_depth", "b_tot")
    }
    names = ("b_time_perm_exact", "b_depth_perm_exact", "b_tot_perm_exact", "b_depth_shift_exact")
    values |= {name: getattr(exact, name) for name in (*names, *DELTA_NAMES)}
    for test in _TESTS:
        values |= {f"{x}_{test}_exact": getattr(exact, f"{x}_{test}_exact") for x in ("z", "p")}
    for name in DELTA_NAMES:
        values |= interval_columns(name, report.intervals[name])
    lows = {name: report.intervals[name].low for name in DELTA_NAMES}
    said = [*exact.reasons.values(), *_undefined_draws(report, PERMUTED, SHIFTED)]
    said.append(no_interval(values, lows))
    return values | {"null_reason": "; ".join(dict.fromkeys(filter(None, said))) or None}


def _token_id(report: NullReport) -> dict[str, Any]:
    null = report.token_id
    if null is None:
        return {"token_id_reason": _NO_TOKEN_IDS}
    names = (
        "b_time_token_id_exact",
        "b_depth_token_id_exact",
        "delta_b_time_token_id",
        "delta_b_depth_token_id",
        "z_depth_token_id_exact",
        "p_depth_token_id_exact",
        "exchangeable_share",
    )
    said = [*null.reasons.values(), *_undefined_draws(report, EXCHANGED)]
    if EXCHANGED not in report.ensembles:
        said.append(_NO_EXCHANGE)
    return {
        **{name: getattr(null, name) for name in names},
        "token_id_reason": "; ".join(dict.fromkeys(said)) or None,
    }


def _undefined_draws(report: NullReport, *null_ids: NullId) -> Iterator[str]:
    """Why numbers of drawn rasters are undefined; those of the raster itself may be defined."""
    for null_id in null_ids:
        if null_id in report.ensembles:
            yield from report.ensembles[null_id].reasons.values()
        if null_id in report.one_draw and report.one_draw[null_id].reason:
            yield f"first null raster, {report.one_draw[null_id].reason}"


def _ensembles(report: NullReport) -> dict[str, float]:
    values = {}
    for null_id, found in report.ensembles.items():
        null = _NAMES[null_id]
        for axis in ("time", "depth"):
            for moment in ("mean", "sd"):
                values[f"b_{axis}_{null}_{moment}"] = getattr(found, f"b_{axis}_{moment}")
            if (axis, null) != ("time", "shift"):  # the shift keeps nearly all of b_time
                values[f"p_{axis}_{null}_mc"] = getattr(found, f"p_{axis}_mc")
    return values


def _one_draw(report: NullReport) -> dict[str, float]:
    permuted, shifted = report.one_draw[PERMUTED], report.one_draw[SHIFTED]
    return {
        "b_time_perm": float(permuted.b_time),
        "b_depth_perm": float(permuted.b_depth),
        "b_tot_perm": float(permuted.b_tot),
        "b_tot_shift": float(shifted.b_tot),
    }


def _shuffle(shuffle: ShuffleReport, d_ff: Int64[np.ndarray, " L"], sites: int) -> dict[str, Any]:
    ratios, excess = shuffle.branching, shuffle.excess
    values: dict[str, Any] = {
        "b_time_tokshuffle": float(ratios.b_time),
        "b_depth_tokshuffle": float(ratios.b_depth),
        "b_tot_tokshuffle": float(ratios.b_tot),
        "achieved_rate_tokshuffle": float((shuffle.events_layers / (sites * d_ff)).mean()),
        "tokshuffle_reason": excess.reason,
    }
    for name in TOKEN_SHUFFLE_NAMES:
        values[name] = float(excess.values[name])
        values |= interval_columns(name, excess.intervals[name])
    return values
