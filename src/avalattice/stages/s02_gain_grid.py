"""Phase 2: rate matching and branching metrics at every gain, one forward pass per window."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from avalattice.canon import OUTPUT, DatasetRole, StageTag, WindowSet
from avalattice.events.targets import RateTargets
from avalattice.events.thresholds import Thresholds
from avalattice.export.documents import RateTargetsDocument
from avalattice.export.schemas import THRESHOLDS
from avalattice.export.tables import AppliedRates, FittedRow, thresholds_rows
from avalattice.lattice.branching import EdgeSums, edge_sums
from avalattice.lattice.rasters import Condition, raster_members
from avalattice.rng import decimal_text
from avalattice.stages.context import StageContext
from avalattice.stages.metrics import write_metrics
from avalattice.stages.rate_matching import fit_thresholds


def run(ctx: StageContext) -> None:
    """Match rates at every gain; write thresholds, grid rasters and metrics."""
    targets = ctx.document(
        StageTag.S01, OUTPUT.RATE_TARGETS_JSON_BASENAME, RateTargetsDocument
    ).targets()
    gains = ctx.config.gain.grid
    conditions = _conditions(ctx, targets)
    ctx.record_conditions(conditions)
    with ctx.run.step("load"):
        _ = ctx.session.model
    with ctx.run.step("rate_matching"):
        fitted = _fit_grid(ctx, targets)
    with ctx.run.step("metrics"):
        _write_grid(ctx, targets, conditions, fitted)
    ties = {decimal_text(g): int(fitted[g].ties.sum()) for g in gains if fitted[g].ties.any()}
    if ties:
        ctx.run.note(f"values tied at tau left events out, by gain: {ties}")


def _conditions(ctx: StageContext, targets: RateTargets) -> list[Condition]:
    """The grid, in the order of cond_id: gain, spike definition, target."""
    return [
        Condition(ctx.session.role, DatasetRole.A, definition, label, float(rate), gain)
        for gain in ctx.config.gain.grid
        for definition in targets.spike_defs
        for label, rate in zip(targets.labels, targets.rates, strict=True)
    ]


def _fit_grid(ctx: StageContext, targets: RateTargets) -> dict[Decimal, Thresholds]:
    gains = ctx.config.gain.grid
    total = len(gains) * len(ctx.windows(WindowSet.CALIBRATION).input_ids)
    with ctx.progress("phase 2, gain grid", total) as task:
        return {gain: fit_thresholds(ctx, targets, gain, task) for gain in gains}


def _write_grid(
    ctx: StageContext,
    targets: RateTargets,
    conditions: list[Condition],
    fitted: dict[Decimal, Thresholds],
) -> None:
    windows = ctx.windows(WindowSet.CALIBRATION)
    d_ff = ctx.calibration().d_ff
    by_condition = [
        (gain, d, r)
        for gain in ctx.config.gain.grid
        for d, r in np.ndindex(len(targets.spike_defs), len(targets.labels))
    ]
    counts = [fitted[gain].counts[d, r] for gain, d, r in by_condition]
    ctx.write_table(
        OUTPUT.THRESHOLDS_PARQUET_BASENAME,
        THRESHOLDS,
        thresholds_rows(
            ctx.provenance,
            [FittedRow.of(fitted[gain], gain, d, r, targets) for gain, d, r in by_condition],
            targets,
            d_ff,
        ),
    )
    ctx.write_npz(
        OUTPUT.GRID_RASTER_NPZ_BASENAME,
        raster_members(lambda: counts, (len(counts), *counts[0].shape)),
    )
    k = np.array([targets.k[d, r] for _, d, r in by_condition])
    write_metrics(
        ctx,
        windows,
        conditions,
        EdgeSums(np.stack([edge_sums(A).values for A in counts])),
        AppliedRates(
            tau=np.array([fitted[gain].tau[d, r] for gain, d, r in by_condition]),
            layer_rates=np.array([targets.layer_rates[d, r] for _, d, r in by_condition]),
            expected_events=k.astype(np.float64),
        ),
    )
