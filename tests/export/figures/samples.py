"""Rows of every table that figures are drawn from, made up and validated by the schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from avalattice.canon import (
    CONST,
    AdjacencyId,
    GCondition,
    InterventionId,
    NullId,
    Scoring,
    SpikeDefId,
    WindowSet,
)
from avalattice.export import schemas
from avalattice.export.documents import GStarDocument, GStarEntry
from avalattice.export.tables import Provenance
from avalattice.export.tabular import TableSchema
from avalattice.rng import decimal_text

Row = dict[str, Any]

ONE, TWO = SpikeDefId.SPIKE_ONE_SIDED_POS, SpikeDefId.SPIKE_TWO_SIDED_ABS
PROVENANCE = Provenance("RUN_S05_7", "S05", "tiny", "BASE", "A", "c0ffee", "0.1.0")
GRID = tuple(Decimal(g) for g in ("0.7", "0.85", "1.0", "1.15", "1.3"))
L = 4


@dataclass(frozen=True)
class Case:
    """What was configured and measured."""

    gains: tuple[Decimal, ...] = GRID
    labels: tuple[str, ...] = ("0.4", "0.8", "1.6")
    definitions: tuple[SpikeDefId, ...] = (ONE, TWO)
    gstar: Decimal | None = Decimal("0.85")
    n_sequences: int = 24
    silent: bool = False
    """Nothing could be measured: all that may be undefined is."""

    @property
    def curves(self) -> list[tuple[SpikeDefId, str, float]]:
        """Spike definition, target and rate."""
        return [
            (definition, label, 1e-4 * (place + 1))
            for definition in self.definitions
            for place, label in enumerate(self.labels)
        ]

    @property
    def compared(self) -> list[Decimal]:
        """The gains of held-out windows."""
        return sorted({CONST.GAIN_BASELINE, self.gstar or CONST.GAIN_BASELINE})

    @property
    def windows(self) -> Row:
        """The columns that count windows."""
        few = self.n_sequences < CONST.FEW_WINDOWS
        return {"n_sequences": self.n_sequences, "few_windows": few}


CASES: Mapping[str, Case] = {
    "demo": Case(),
    "paper scale": Case(CONST.GAIN_GRID_DEFAULT, ("1e-5", "2e-5", "4e-5", "8e-5")),
    "nothing measured": Case(labels=("0.8",), silent=True, gstar=None),
    "one gain": Case((Decimal("1.0"),), ("0.8",), gstar=Decimal("1.0")),
    "no g*": Case(labels=("0.8",), gstar=None),
    "one definition": Case(labels=("0.8",), definitions=(TWO,)),
    "one window": Case(labels=("0.8",), n_sequences=1),
    "odd words": Case(labels=("$x$\n\x07日",), definitions=(ONE,)),
}


# ---------------------------------------------------------------------------------- filling rows


def fill(schema: TableSchema, case: Case, rng: np.random.Generator, given: Row) -> Row:
    """A row: what is given, numbers within their range elsewhere, and intervals about them."""
    row: Row = {}
    for column in schema.columns:
        if column.name in given:
            row[column.name] = given[column.name]
        elif column.name in vars(PROVENANCE):
            row[column.name] = getattr(PROVENANCE, column.name)
        elif column.nullable and case.silent:
            row[column.name] = "nothing happened" if column.type == pa.string() else None
        elif column.nullable and column.type == pa.string():
            row[column.name] = None
        else:
            row[column.name] = _value(column, rng)
    for name in list(row):
        if name.endswith("_ci_low") and name not in given and row[name] is not None:
            stem = name.removesuffix("_ci_low")
            middle = row.get(stem.removeprefix("opt_"), row[name])
            middle = 1.0 if middle is None else middle
            row[name], row[f"{stem}_ci_high"] = 0.9 * middle, 1.2 * middle
    return row


def _value(column: Any, rng: np.random.Generator) -> Any:
    if pa.types.is_boolean(column.type):
        return False
    if pa.types.is_string(column.type):
        return "text"
    if pa.types.is_integer(column.type):
        return int(rng.integers(1, 50))
    return float(rng.uniform(0.2, 0.8))


def validated(schema: TableSchema, rows: Sequence[Row]) -> list[Row]:
    """The rows as they are read back from a table."""
    return schema.table(rows).to_pylist()


# --------------------------------------------------------------------------------------- tables


def summary(case: Case) -> list[Row]:
    """T01."""
    rng = np.random.default_rng(1)
    rows = []
    for definition, label, rate in case.curves:
        for window_set, gains in (
            (WindowSet.CALIBRATION, case.gains),
            (WindowSet.RASTER, case.compared),
        ):
            for gain in gains:
                given = {
                    "window_set": window_set,
                    "spike_def_id": definition,
                    "target_label": label,
                    "target_rate": rate,
                    "g": float(gain),
                    "adjacency_id": AdjacencyId.ADJ_4N,
                    "avalanche_size_mean": None,
                    "avalanche_size_median": None,
                    "avalanche_span_tokens_mean": None,
                    "avalanche_span_layers_mean": None,
                    **case.windows,
                }
                rows.append(fill(schemas.T01_SUMMARY, case, rng, given))
    return validated(schemas.T01_SUMMARY, rows)


def null_statistics(case: Case) -> list[Row]:
    """Phase 4's statistics, of both window sets."""
    rng = np.random.default_rng(2)
    rows = []
    for cond_id, row in enumerate(summary(case)):
        shared = {name: row[name] for name in ("window_set", "spike_def_id", "target_label")}
        given = {
            **shared,
            "target_rate": row["target_rate"],
            "cond_id": cond_id,
            "gain": row["g"],
            "null_id": NullId.NULL_NONE,
            "intervention_id": InterventionId.MLP_GLOBAL,
            **{name: row[name] for name in ("b_time", "b_depth", "b_tot")},
            **case.windows,
        }
        spreads = [c.name for c in schemas.NULL_STATISTICS.columns if c.name.endswith("_sd")]
        given |= {} if case.silent else {name: rng.uniform(0.002, 0.02) for name in spreads}
        rows.append(fill(schemas.NULL_STATISTICS, case, rng, given))
    return validated(schemas.NULL_STATISTICS, rows)


def rate_matched(case: Case) -> list[Row]:
    """Thresholds with achieved rates; out of sample at gain 1 and g* alone."""
    rng = np.random.default_rng(3)
    rows = []
    for definition, label, rate in case.curves:
        for gain in case.gains:
            for layer in range(L):
                layer_rate = 0.0 if case.silent else rate * (0.8 + 0.1 * layer)
                given = {
                    "gain": float(gain),
                    "spike_def_id": definition,
                    "target_label": label,
                    "target_rate": rate,
                    "layer": layer,
                    "layer_rate": layer_rate,
                    "achieved_rate_in_sample": layer_rate,
                }
                if gain in case.compared:
                    error = rng.uniform(0.8, 1.3)
                    given["achieved_rate_out_of_sample"] = error * layer_rate
                else:
                    given["achieved_rate_out_of_sample"] = None
                    given["out_of_sample_reason"] = "no raster at this gain"
                rows.append(fill(schemas.TAU_RATE_MATCHED, case, rng, given))
    return validated(schemas.TAU_RATE_MATCHED, rows)


def _compared_rows(case: Case, schema: TableSchema, seed: int, given: Row) -> list[Row]:
    """Rows of a table that compares gain 1 with g*."""
    rng = np.random.default_rng(seed)
    rows = []
    for definition, label, rate in case.curves:
        for condition in GCondition:
            gain = CONST.GAIN_BASELINE if condition is GCondition.G1 else case.gstar
            key = {
                "spike_def_id": definition,
                "target_label": label,
                "target_rate": rate,
                "g_condition": condition,
                "g": None if gain is None else float(gain),
            }
            whole = case if gain is not None else replace(case, silent=True)
            row = fill(schema, whole, rng, {**key, **given})
            if condition is GCondition.G1 or gain == CONST.GAIN_BASELINE:
                row |= {name: None for name in row if "_diff" in name}
                row["diff_reason"] = "gains coincide"
            rows.append(row)
    return rows


def generalization(case: Case) -> list[Row]:
    """T02."""
    given = {**case.windows, "dataset_role": "B"}
    schema = schemas.T02_GENERALIZATION
    return validated(schema, _compared_rows(case, schema, 4, given))


def accuracy(case: Case) -> list[Row]:
    """T03, of as many questions as windows."""
    schema, rows = schemas.T03_ARC, []
    for scoring in Scoring:
        given = {
            "scoring": scoring,
            "dataset_role": "ARC_MCQ",
            "chance": 0.25,
            "n_questions": case.n_sequences,
            "few_questions": case.windows["few_windows"],
        }
        rows += _compared_rows(case, schema, 5, given)
    return validated(schema, rows)


def ablations(case: Case) -> list[Row]:
    """T06."""
    rng = np.random.default_rng(6)
    rows = []
    for definition, label, rate in case.curves:
        for intervention in InterventionId:
            for condition in GCondition:
                baseline = condition is GCondition.G1
                if baseline and intervention is not InterventionId.MLP_GLOBAL:
                    continue
                gain = CONST.GAIN_BASELINE if baseline else case.gstar
                nothing = not baseline and case.gstar in (None, CONST.GAIN_BASELINE)
                known = replace(case, silent=case.silent or nothing)
                shared = fill(schemas.T06_ABLATIONS, known, rng, {})
                for adjacency in AdjacencyId:
                    given = {
                        **shared,
                        "spike_def_id": definition,
                        "target_label": label,
                        "target_rate": rate,
                        "intervention_id": intervention,
                        "adjacency_id": adjacency,
                        "gain_target": "MLP",
                        "g_condition": condition,
                        "g": None if gain is None else float(gain),
                        "avalanche_size_mean": None if known.silent else rng.uniform(1, 90),
                        "crackling_gamma": None if known.silent else rng.uniform(1, 2),
                        **case.windows,
                    }
                    rows.append(fill(schemas.T06_ABLATIONS, known, rng, given))
    return validated(schemas.T06_ABLATIONS, rows)


def gstar_document(case: Case) -> GStarDocument:
    """The choices of g*."""
    identifiable = case.gstar is not None and len(case.gains) > 2
    crossing = {"crossing": 0.9, "crossing_ci_low": 0.82, "crossing_ci_high": 0.95}
    choices = [
        GStarEntry(
            spike_def_id=definition,
            target_label=label,
            target_rate=rate,
            gstar=None if case.gstar is None else decimal_text(case.gstar),
            b_tot=None if case.gstar is None else 1.01,
            bracketed=identifiable,
            at_grid_edge=not identifiable,
            identifiable=identifiable,
            reason=None if identifiable else "b_tot - 1 does not change sign inside the grid",
            **(crossing if identifiable else dict.fromkeys(crossing)),
            slope=None,
            slope_ci_low=None,
            slope_ci_high=None,
            share_bracketed=0.97,
            shares={}
            if case.silent
            else {decimal_text(g): 1 / len(case.gains) for g in case.gains},
            excluded=[],
            few_windows=bool(case.windows["few_windows"]),
        )
        for definition, label, rate in case.curves
    ]
    return GStarDocument(
        model_role="BASE",
        criterion="nearest one",
        inputs={},
        gains=[decimal_text(gain) for gain in case.gains],
        bootstrap_reps=200,
        n_sequences=case.n_sequences,
        choices=choices,
    )
