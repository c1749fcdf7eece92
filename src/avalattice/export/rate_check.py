"""Were the rates matched, and the fitted thresholds applied? Checks, and the table that shows it.

Phase 3 must have applied Phase 2's thresholds bit for bit, and every layer of the grid's rasters
must hold the events that Phase 2 counted: k, less the values tied at tau.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64

from avalattice.errors import VerificationError
from avalattice.export.tables import Provenance, tau_of
from avalattice.lattice.rasters import Condition

Rows = Sequence[Mapping[str, Any]]
_Layer: TypeAlias = tuple[Decimal, str, str, int]
"""Gain, spike definition, target and layer."""
_NOT_EXTRACTED = "no raster was extracted at this gain"


def check_applied_tau(
    thresholds: Sequence[dict[str, Any]],
    conditions: Sequence[Condition],
    applied: Float32[np.ndarray, "C L"],
) -> None:
    """Check that conditions were counted at the thresholds that were fitted, bit for bit.

    Raises:
        VerificationError: naming condition and layer.
    """
    fitted = tau_of(thresholds, conditions)
    if fitted.shape != applied.shape:
        raise VerificationError(
            f"thresholds of shape {fitted.shape} were fitted, {applied.shape} applied"
        )
    wrong = np.argwhere(fitted != applied)
    if len(wrong):
        c, layer = (int(i) for i in wrong[0])
        raise VerificationError(
            f"{conditions[c]}: layer {layer} was counted above {applied[c, layer]!r}, the fitted "
            f"threshold is {fitted[c, layer]!r}"
        )


def check_grid_counts(
    thresholds: Rows, conditions: Sequence[Condition], events: Int64[np.ndarray, "C L"]
) -> None:
    """Check that every layer of the grid's rasters holds the events that were counted.

    Args:
        thresholds: rows of the thresholds table.
        conditions: the grid's conditions.
        events: ΣA of each condition and layer.

    Raises:
        VerificationError: naming condition and layer; also of rows or rasters without the other.
    """
    found = {
        (*_key(condition), layer): int(total)
        for c, condition in enumerate(conditions)
        for layer, total in enumerate(events[c])
    }
    _check_same_layers(found.keys(), {(*_row_key(row), row["layer"]) for row in thresholds})
    for row in thresholds:
        counted = found[*_row_key(row), row["layer"]]
        if counted != row["achieved"] or counted != row["k"] - row["ties"]:
            raise VerificationError(
                f"gain {row['gain']}, {row['spike_def_id']}, target {row['target_label']}, layer "
                f"{row['layer']}: the raster holds {counted} events, {row['k']} were aimed at, "
                f"{row['achieved']} counted and {row['ties']} tied at tau"
            )


def _check_same_layers(rasters: Set[_Layer], rows: Set[_Layer]) -> None:
    """A layer that only one of the two knows would escape every comparison."""
    absent = {"thresholds table": rasters - rows, "grid's rasters": rows - rasters}
    for where, layers in absent.items():
        if layers:
            gain, spike_def_id, label, layer = min(layers)
            raise VerificationError(
                f"gain {gain}, {spike_def_id}, target {label}, layer {layer}: missing from the "
                f"{where}, with {len(layers) - 1} others"
            )


def tau_rate_matched_rows(
    provenance: Provenance,
    thresholds: Rows,
    conditions: Sequence[Condition],
    events: Int64[np.ndarray, "C L"],
    n_tokens: int,
) -> Iterator[dict[str, Any]]:
    """One row per (gain, spike definition, target, layer).

    Args:
        provenance: what every row begins and ends with.
        thresholds: rows of the thresholds table.
        conditions: those of the held-out rasters.
        events: ΣA of each of them and of each layer.
        n_tokens: tokens of the held-out windows.
    """
    held_out = {_key(condition): events[c] for c, condition in enumerate(conditions)}
    kept = ("gain", "spike_def_id", "target_label", "target_rate", "layer", "layer_rate", "tau")
    for row in thresholds:
        out = held_out.get(_row_key(row))
        counted = None if out is None else int(out[row["layer"]])
        yield {
            **vars(provenance),
            **{name: row[name] for name in (*kept, "k", "ties")},
            "achieved_events_in_sample": row["achieved"],
            "achieved_rate_in_sample": row["achieved"] / row["m"],
            "achieved_events_out_of_sample": counted,
            "achieved_rate_out_of_sample": None
            if counted is None
            else counted / (row["d_ff"] * n_tokens),
            "out_of_sample_reason": _NOT_EXTRACTED if counted is None else None,
        }


def _key(condition: Condition) -> tuple[Decimal, str, str]:
    return condition.gain, str(condition.spike_def_id), condition.target_label


def _row_key(row: Mapping[str, Any]) -> tuple[Decimal, str, str]:
    return Decimal(str(row["gain"])), row["spike_def_id"], row["target_label"]
