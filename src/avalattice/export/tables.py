"""Rows of the tables, from results of the science modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32, Float64, Int64

from avalattice.canon import CONST, SpikeDefId, WindowSet
from avalattice.data.windows import WindowSlice
from avalattice.errors import SchemaError
from avalattice.events.targets import RateTargets
from avalattice.export.schemas import INTERVAL_NAMES
from avalattice.lattice.branching import SUM_NAMES, EdgeSums
from avalattice.lattice.rasters import Condition
from avalattice.stats.bootstrap import Interval, no_interval
from avalattice.stats.summary import BRANCHING_NAMES, NO_CHI_INTERVAL, Summary


@dataclass(frozen=True)
class Provenance:
    """The columns that every table begins and ends with."""

    run_id: str
    stage_id: str
    model_id: str
    model_role: str
    dataset_role: str
    config_hash: str
    code_version: str


@dataclass(frozen=True)
class AppliedRates:
    """What each condition of a raster was to achieve."""

    tau: Float32[np.ndarray, "C L"]
    """Threshold on v."""
    layer_rates: Float64[np.ndarray, "C L"]
    """r*_l, events per unit and token."""
    expected_events: Float64[np.ndarray, "C L"]
    """Events that the windows should hold: k in sample, r*_l · m out of sample."""

    @classmethod
    def held_out(
        cls,
        targets: RateTargets,
        conditions: Sequence[Condition],
        tau: Float32[np.ndarray, "C L"],
        n_tokens: int,
    ) -> AppliedRates:
        """Of thresholds applied to ``n_tokens`` tokens on which they were not fitted."""
        at = [targets.position(c.spike_def_id, c.target_label) for c in conditions]
        layer_rates = np.array([targets.layer_rates[d, r] for d, r in at])
        d_ff = targets.m / targets.n_tokens
        return cls(tau, layer_rates, layer_rates * d_ff * n_tokens)


def tau_of(
    thresholds: Sequence[dict[str, Any]], conditions: Sequence[Condition]
) -> Float32[np.ndarray, "C L"]:
    """The fitted thresholds of conditions, from rows of the thresholds table.

    Raises:
        SchemaError: the table has no thresholds of a condition.
    """
    fitted: dict[tuple[object, ...], dict[int, float]] = {}
    for row in thresholds:
        key = (Decimal(str(row["gain"])), row["spike_def_id"], row["target_label"])
        fitted.setdefault(key, {})[row["layer"]] = row["tau"]
    tau = []
    for condition in conditions:
        key = (condition.gain, condition.spike_def_id, condition.target_label)
        if key not in fitted:
            raise SchemaError(f"the thresholds table has no row for {key}")
        tau.append([fitted[key][layer] for layer in sorted(fitted[key])])
    return np.array(tau, dtype=np.float32)


def _interval_columns(name: str, interval: Interval, c: int) -> dict[str, float]:
    return {f"{name}_ci_low": interval.low[c], f"{name}_ci_high": interval.high[c]}


def metrics_rows(
    provenance: Provenance,
    window_set: WindowSet,
    conditions: Sequence[Condition],
    summary: Summary,
    rates: AppliedRates,
) -> Iterator[dict[str, Any]]:
    """One row per condition, in the order of cond_id."""
    rate_error = np.abs(summary.rate_layers - rates.layer_rates).max(axis=1)
    event_error = np.abs(summary.events_layers - rates.expected_events).max(axis=1)
    intervals = summary.branching_intervals | {INTERVAL_NAMES[-1]: summary.chi_interval}
    for c, condition in enumerate(conditions):
        ratios = {name: getattr(summary.branching, name)[c] for name in BRANCHING_NAMES}
        undefined = [name for name, value in ratios.items() if np.isnan(value)]
        lows = {name: each.low[c] for name, each in summary.branching_intervals.items()}
        missing = f"no ancestors: {', '.join(undefined)}" if undefined else ""
        said = (missing, no_interval(ratios, lows))
        chi = summary.susceptibility.chi[c]
        no_chi = NO_CHI_INTERVAL if summary.without_chi_interval[c] else None
        if np.isnan(chi):
            no_chi = "fewer than two windows, or no events"
        row: dict[str, Any] = {
            **vars(provenance),
            "cond_id": c,
            "window_set": window_set,
            "spike_def_id": condition.spike_def_id,
            "target_label": condition.target_label,
            "target_rate": condition.target_rate,
            "gain": float(condition.gain),
            "null_id": condition.null_id,
            "intervention_id": condition.intervention_id,
            "tau": rates.tau[c],
            "achieved_rate_mean": summary.rate_layers[c].mean(),
            "achieved_rate_max_abs_err": rate_error[c],
            "achieved_rate_max_event_err": event_error[c],
            "occupancy": summary.occupancy[c],
            "occupancy_min": summary.occupancy_layers[c].min(),
            "occupancy_max": summary.occupancy_layers[c].max(),
            "occupancy_layers": summary.occupancy_layers[c],
            **ratios,
            "branching_reason": "; ".join(filter(None, said)) or None,
            "chi": chi,
            "chi_reason": no_chi,
            "n_sequences": summary.n_windows,
            "few_windows": summary.few_windows,
        }
        for name, interval in intervals.items():
            row |= _interval_columns(name, interval, c)
        yield row


def metrics_windows_rows(
    provenance: Provenance, window_ids: np.ndarray, sums: EdgeSums
) -> Iterator[dict[str, Any]]:
    """One row per (condition, window): the sums from which everything pooled is recomputed."""
    for (c, n), window_sums in np.ndenumerate(_as_rows(sums.windows)):
        yield {
            **vars(provenance),
            "cond_id": c,
            "seq_id": n,
            "window_id": int(window_ids[n]),
            **dict(zip(SUM_NAMES, window_sums, strict=True)),
        }


def _as_rows(sums: Int64[np.ndarray, "C N S"]) -> np.ndarray:
    """An array [C, N] of lists of S integers."""
    rows = np.empty(sums.shape[:2], dtype=object)
    for index in np.ndindex(rows.shape):
        rows[index] = sums[index].tolist()
    return rows


def sums_from_rows(rows: Sequence[dict[str, Any]]) -> Int64[np.ndarray, "C N S"]:
    """The sums per window that :func:`metrics_windows_rows` wrote.

    Raises:
        SchemaError: a condition lacks a window that another has.
    """
    n_conditions = 1 + max(row["cond_id"] for row in rows)
    n_windows = 1 + max(row["seq_id"] for row in rows)
    if len(rows) != n_conditions * n_windows:
        raise SchemaError(
            f"the windows' metrics have {len(rows)} rows, not one for each of {n_conditions} "
            f"conditions and {n_windows} windows"
        )
    sums = np.zeros((n_conditions, n_windows, len(SUM_NAMES)), dtype=np.int64)
    for row in rows:
        sums[row["cond_id"], row["seq_id"]] = [row[name] for name in SUM_NAMES]
    return sums


class FittedThresholds(Protocol):
    """What is needed of fitted thresholds, whose own class lives beside torch."""

    @property
    def tau(self) -> np.ndarray:
        """Threshold on v [D, R, L]."""
        ...

    @property
    def achieved(self) -> np.ndarray:
        """Events strictly above tau [D, R, L]."""
        ...

    @property
    def ties(self) -> np.ndarray:
        """Values equal to tau that strict comparison leaves out [D, R, L]."""
        ...


@dataclass(frozen=True)
class FittedRow:
    """Thresholds of one (gain, spike definition, target), over layers."""

    gain: Decimal
    spike_def: SpikeDefId
    target: int
    """Index on the targets' R axis."""
    tau: Float32[np.ndarray, " L"]
    achieved: Int64[np.ndarray, " L"]
    ties: Int64[np.ndarray, " L"]

    @classmethod
    def of(
        cls, fitted: FittedThresholds, gain: Decimal, d: int, r: int, targets: RateTargets
    ) -> FittedRow:
        """The row of spike definition d and target r."""
        return cls(
            gain,
            targets.spike_defs[d],
            r,
            fitted.tau[d, r],
            fitted.achieved[d, r],
            fitted.ties[d, r],
        )


def thresholds_rows(
    provenance: Provenance,
    fitted: Sequence[FittedRow],
    targets: RateTargets,
    d_ff: Int64[np.ndarray, " L"],
) -> Iterator[dict[str, Any]]:
    """One row per (gain, spike definition, target, layer)."""
    for fit in fitted:
        d, r = targets.spike_defs.index(fit.spike_def), fit.target
        for layer in range(len(d_ff)):
            k = int(targets.k[d, r, layer])
            yield {
                **vars(provenance),
                "gain": float(fit.gain),
                "spike_def_id": fit.spike_def,
                "target_label": targets.labels[r],
                "target_rate": float(targets.rates[r]),
                "layer": layer,
                "d_ff": int(d_ff[layer]),
                "base_rate": float(targets.base_rates[d, layer]),
                "layer_rate": float(targets.layer_rates[d, r, layer]),
                "tau": fit.tau[layer],
                "k": k,
                "achieved": int(fit.achieved[layer]),
                "ties": int(fit.ties[layer]),
                "m": int(targets.m[layer]),
                "few_events": k < CONST.RATE_MATCH_MIN_EVENTS,
            }


def windows_rows(
    provenance: Provenance, windows: WindowSlice, decode: Callable[[list[int]], str]
) -> Iterator[dict[str, Any]]:
    """One row per window, with its tokens' text."""
    for n, tokens in enumerate(windows.token_ids.tolist()):
        yield {
            **vars(provenance),
            "window_set": windows.window_set,
            "seq_id": n,
            "window_id": int(windows.window_ids[n]),
            "token_ids": tokens,
            "tokens": [decode([token]) for token in tokens],
            "text": decode(tokens),
        }
