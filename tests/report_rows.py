"""Rows and entries as a report reads them, fabricated: valid, and no number means anything."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from avalattice.canon import (
    AdjacencyId,
    DatasetRole,
    GCondition,
    InterventionId,
    ModelRole,
    Scoring,
    SignatureId,
    SpikeDefId,
    WindowSet,
)
from avalattice.export.documents import GStarEntry
from avalattice.export.tabular import TableSchema
from avalattice.lattice.rasters import Condition
from avalattice.rng import decimal_text

GAINS = ("0.7", "1.0", "1.3")
TARGETS = ("0.4", "0.8")
GSTAR = Decimal("1.3")
VERDICTS = ("not_supported", "not_assessable", "supported")
"""Of S1, S2 and S3, on every curve."""


def curves() -> list[tuple[SpikeDefId, str]]:
    """Spike definitions and targets."""
    return [(definition, label) for definition in SpikeDefId for label in TARGETS]


def conditions(role: ModelRole, gains: tuple[str, ...]) -> list[Condition]:
    """Conditions of Dataset A at some gains."""
    return [
        Condition(role, DatasetRole.A, definition, label, float(label) / 100, Decimal(gain))
        for definition, label in curves()
        for gain in gains
    ]


def held_out(role: ModelRole) -> list[Condition]:
    """Conditions at gain 1 and at g*."""
    return conditions(role, ("1.0", decimal_text(GSTAR)))


def some_row(
    schema: TableSchema, rng: np.random.Generator, said: str = "some text", **given: Any
) -> dict[str, Any]:
    """A valid row of a schema: what is given, and some value in every other column."""
    return {c.name: given.get(c.name, _some_value(c, rng, said)) for c in schema.columns} | given


def _some_value(column: Any, rng: np.random.Generator, text: str) -> Any:
    low = column.low or 0
    if pa.types.is_list(column.type):
        return []
    if pa.types.is_boolean(column.type):
        return False
    if pa.types.is_integer(column.type):
        return int(low) + int(rng.integers(1, 200))
    if pa.types.is_floating(column.type):
        return low + float(rng.random()) * (min(column.high or 1, 1) - min(low, 0))
    return None if column.nullable else text


def of_condition(condition: Condition) -> dict[str, Any]:
    """The columns of a condition in tables of results."""
    return {
        "spike_def_id": str(condition.spike_def_id),
        "target_label": condition.target_label,
        "gain": float(condition.gain),
        "null_id": str(condition.null_id),
    }


def summary_rows() -> Iterator[dict[str, Any]]:
    """T01: the grid in sample, two gains held out; chi is undefined in one row of each curve."""
    for window_set, gains in (
        (WindowSet.CALIBRATION, GAINS),
        (WindowSet.RASTER, ("1.0", decimal_text(GSTAR))),
    ):
        for definition, label in curves():
            for gain in gains:
                row = {
                    "window_set": str(window_set),
                    "spike_def_id": str(definition),
                    "target_label": label,
                    "g": float(gain),
                }
                if window_set is WindowSet.RASTER and gain == "1.0":
                    row |= {"chi": None, "chi_reason": "fewer than two windows"}
                yield row


def keys_held_out() -> list[dict[str, Any]]:
    """The keys of T01's rows of held-out windows."""
    keys = ("window_set", "spike_def_id", "target_label", "g")
    held = (row for row in summary_rows() if row["window_set"] == WindowSet.RASTER)
    return [{key: row[key] for key in keys} for row in held]


def ablation_rows() -> Iterator[dict[str, Any]]:
    """T06."""
    for definition, label in curves():
        for intervention in InterventionId:
            yield {
                "spike_def_id": str(definition),
                "target_label": label,
                "intervention_id": str(intervention),
                "adjacency_id": str(AdjacencyId.ADJ_4N),
                "g_condition": str(GCondition.GSTAR),
            }


def compared_rows() -> Iterator[dict[str, Any]]:
    """T02."""
    for definition, label in curves():
        for at, gain in ((GCondition.G1, 1.0), (GCondition.GSTAR, float(GSTAR))):
            yield {
                "spike_def_id": str(definition),
                "target_label": label,
                "g_condition": str(at),
                "g": gain,
            }


def scored_rows() -> Iterator[dict[str, Any]]:
    """T03."""
    for scoring in Scoring:
        yield from (row | {"scoring": str(scoring)} for row in compared_rows())


def signature_entries(text: str = "some text") -> Iterator[dict[str, Any]]:
    """Every signature of every curve."""
    for definition, label in curves():
        for signature, verdict in zip(SignatureId, VERDICTS, strict=True):
            yield {
                "spike_def_id": str(definition),
                "target_label": label,
                "signature_id": str(signature),
                "verdict": verdict,
                "reason": f"{text}, {signature} at {label}",
                "numbers": {"gstar": 1.3, "crossing": None},
            }


def choice(definition: SpikeDefId, label: str, *, identifiable: bool) -> GStarEntry:
    """One choice of g*."""
    return GStarEntry(
        spike_def_id=str(definition),
        target_label=label,
        target_rate=float(label) / 100,
        gstar=decimal_text(GSTAR),
        b_tot=1.02,
        bracketed=identifiable,
        at_grid_edge=True,
        identifiable=identifiable,
        reason=None if identifiable else "b_tot - 1 does not change sign inside the grid",
        crossing=1.25 if identifiable else None,
        crossing_ci_low=1.2 if identifiable else None,
        crossing_ci_high=1.29 if identifiable else None,
        slope=-0.02,
        slope_ci_low=-0.05,
        slope_ci_high=0.01,
        share_bracketed=0.25,
        shares={"0.7": 0.25, "1.0": 0.0, "1.3": 0.75},
        excluded=[],
        few_windows=True,
    )
