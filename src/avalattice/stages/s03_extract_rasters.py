"""Phase 3: rasters on held-out windows, at the baseline gain and at g*, with Phase 2's thresholds.

One forward pass per window and distinct gain serves every condition at that gain. Blocks of
windows are kept as partial results and assembled from disk, so memory does not grow with N.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avalattice.canon import OUTPUT, DatasetRole, StageTag, WindowSet
from avalattice.events.targets import RateTargets
from avalattice.export.documents import GStarDocument, RateTargetsDocument
from avalattice.export.schemas import THRESHOLDS, WINDOWS
from avalattice.export.tables import AppliedRates, tau_of, windows_rows
from avalattice.lattice.rasters import Condition
from avalattice.stages.context import StageContext
from avalattice.stages.extraction import Extraction, RasterBlocks, compared_conditions
from avalattice.stages.metrics import write_metrics


def run(ctx: StageContext) -> None:
    """Extract rasters; write them with their metrics and windows."""
    targets = ctx.document(
        StageTag.S01, OUTPUT.RATE_TARGETS_JSON_BASENAME, RateTargetsDocument
    ).targets()
    gstar = ctx.document(StageTag.S02B, OUTPUT.GSTAR_JSON_BASENAME, GStarDocument)
    conditions = compared_conditions(ctx, targets, gstar, DatasetRole.A)
    ctx.record_conditions(conditions)
    tau = tau_of(ctx.rows(StageTag.S02, OUTPUT.THRESHOLDS_PARQUET_BASENAME, THRESHOLDS), conditions)
    with ctx.run.step("load"):
        _ = ctx.session.model
    with ctx.run.step("rasters"):
        blocks = _extract(ctx, conditions, tau)
    with ctx.run.step("metrics"):
        _write(ctx, targets, conditions, tau, blocks)


def _extract(ctx: StageContext, conditions: Sequence[Condition], tau: np.ndarray) -> RasterBlocks:
    windows = ctx.windows(WindowSet.RASTER)
    n_gains = len({condition.gain for condition in conditions})
    with ctx.progress("phase 3, rasters", n_gains * len(windows.input_ids)) as task:
        return Extraction(ctx, windows, conditions, tau, task).run()


def _write(
    ctx: StageContext,
    targets: RateTargets,
    conditions: Sequence[Condition],
    tau: np.ndarray,
    blocks: RasterBlocks,
) -> None:
    windows = ctx.windows(WindowSet.RASTER)
    ctx.write_npz(OUTPUT.RASTER_NPZ_BASENAME, blocks.members())
    rates = AppliedRates.held_out(targets, conditions, tau, windows.token_ids.size)
    write_metrics(ctx, windows, conditions, blocks.sums, rates)
    ctx.write_table(
        OUTPUT.WINDOWS_PARQUET_BASENAME,
        WINDOWS,
        (
            row
            for window_set in (WindowSet.CALIBRATION, WindowSet.RASTER)
            for row in windows_rows(
                ctx.provenance, ctx.windows(window_set), ctx.session.tokenizer.decode
            )
        ),
    )
