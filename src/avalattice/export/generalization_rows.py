"""Rows of T02, and of the windows that it is recomputed from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32

from avalattice.canon import CONST
from avalattice.export.avalanche_rows import interval_columns
from avalattice.export.compared_gains import ComparedGain, compared_gains
from avalattice.export.documents import GStarDocument, GStarEntry
from avalattice.export.schemas.results import PERMUTED_SUM_NAMES
from avalattice.export.schemas.tables import GENERALIZATION_NAMES
from avalattice.export.tables import AppliedRates, Provenance, metrics_windows_rows
from avalattice.lattice.branching import EdgeSums
from avalattice.lattice.null_sums import NULL_SUM_NAMES, null_sums_of_edges
from avalattice.lattice.rasters import Condition
from avalattice.stats.bootstrap import Interval, no_interval
from avalattice.stats.summary import Summary
from avalattice.stats.transfer import LOSS_NAMES, Replicated, undefined, without_interval

_RATES = ("achieved_rate_mean", "achieved_rate_max_abs_err")


@dataclass(frozen=True)
class Transfer:
    """Conditions at gain 1 and at g*, measured on Dataset B."""

    conditions: Sequence[Condition]
    """In the order of cond_id."""
    statistics: Mapping[str, Replicated]
    """What was measured of them, by the names of GENERALIZATION_NAMES."""
    achieved_rate_mean: Float64[np.ndarray, " C"]
    """Achieved rate, mean over layers."""
    achieved_rate_max_abs_err: Float64[np.ndarray, " C"]
    """Largest |achieved − target| of a layer."""
    n_predicted_tokens: int
    """Tokens whose loss is averaged, at each gain."""
    n_sequences: int
    few_windows: bool

    @classmethod
    def of(
        cls,
        conditions: Sequence[Condition],
        summary: Summary,
        rates: AppliedRates,
        statistics: Mapping[str, Replicated],
        losses: Float64[np.ndarray, "C N 2"],
    ) -> Transfer:
        """From the summary and statistics of one stack of rasters, and its windows' losses."""
        return cls(
            conditions,
            statistics,
            summary.rate_layers.mean(axis=1),
            np.abs(summary.rate_layers - rates.layer_rates).max(axis=1),
            int(losses[0, :, LOSS_NAMES.index("n_predicted_tokens")].sum()),
            summary.n_windows,
            summary.few_windows,
        )

    def position(self, choice: GStarEntry, gain: Decimal) -> int:
        """The condition of a spike definition and target at a gain."""
        found = [(str(c.spike_def_id), c.target_label, c.gain) for c in self.conditions]
        return found.index((choice.spike_def_id, choice.target_label, gain))


def generalization_rows(
    provenance: Provenance, gstar: GStarDocument, found: Transfer
) -> Iterator[dict[str, Any]]:
    """T02: two rows for each spike definition and target, gain 1 and g*."""
    shared = {
        **vars(provenance),
        "n_predicted_tokens": found.n_predicted_tokens,
        "n_sequences": found.n_sequences,
        "few_windows": found.few_windows,
    }
    for row in compared_gains(gstar):
        yield {**shared, **row.key, **_measured(found, row), **_differences(found, row)}


def _measured(found: Transfer, row: ComparedGain) -> dict[str, Any]:
    """What was measured at the row's gain."""
    if row.gain is None:
        return {**_nothing(GENERALIZATION_NAMES), **dict.fromkeys(_RATES), "reason": row.reason}
    c = found.position(row.choice, row.gain)
    columns: dict[str, Any] = {name: float(getattr(found, name)[c]) for name in _RATES}
    for name in GENERALIZATION_NAMES:
        statistic = found.statistics[name]
        columns |= _with_interval(name, float(statistic.value[c]), statistic.interval_of(c))
    said = (undefined(found.statistics, c), without_interval(found.statistics, c))
    return {**columns, "reason": "; ".join(filter(None, said)) or None}


def _differences(found: Transfer, row: ComparedGain) -> dict[str, Any]:
    """The row's gain less gain 1, paired by window."""
    names = {f"{name}_diff": name for name in GENERALIZATION_NAMES}
    if row.gain is None or row.diff_reason is not None:
        return {**_nothing(names), "diff_reason": row.diff_reason}
    first = found.position(row.choice, CONST.GAIN_BASELINE)
    second = found.position(row.choice, row.gain)
    columns: dict[str, Any] = {}
    for column, name in names.items():
        columns |= _with_interval(column, *found.statistics[name].difference(first, second))
    lows = {column: columns[f"{column}_ci_low"] for column in names}
    missing = (undefined(found.statistics, c) for c in (first, second))
    said = (next(filter(None, missing), None), no_interval(columns, lows))
    return {**columns, "diff_reason": "; ".join(filter(None, said)) or None}


def _with_interval(name: str, value: float | None, interval: Interval | None) -> dict[str, Any]:
    return {name: value, **interval_columns(name, interval)}


def _nothing(names: Iterable[str]) -> dict[str, Any]:
    """The columns of numbers that there are not."""
    return {k: v for name in names for k, v in _with_interval(name, None, None).items()}


def evaluation_windows_rows(
    provenance: Provenance,
    window_ids: Int32[np.ndarray, " N"],
    sums: EdgeSums,
    losses: Float64[np.ndarray, "C N 2"],
    n_tokens: int,
) -> Iterator[dict[str, Any]]:
    """One row per (condition, window): the sums from which everything pooled is recomputed.

    Args:
        provenance: what every row begins and ends with.
        window_ids: position of each window in the corpus.
        sums: of the stack [C, N, L, T].
        losses: each window's sums in the order of LOSS_NAMES.
        n_tokens: T.
    """
    expected = null_sums_of_edges(sums, n_tokens)
    at = {name: NULL_SUM_NAMES.index(f"{name}_expected") for name in PERMUTED_SUM_NAMES}
    for row in metrics_windows_rows(provenance, window_ids, sums):
        where = row["cond_id"], row["seq_id"]
        nll, n_predicted = losses[where]
        yield {
            **row,
            **{f"{name}_perm_mean": float(expected[where][i]) for name, i in at.items()},
            **dict(zip(LOSS_NAMES, (float(nll), int(n_predicted)), strict=True)),
        }
