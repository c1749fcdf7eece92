"""Phase 6, Dataset B: what gain 1 and g* do on other text, with thresholds of Dataset A unchanged.

One forward pass per window and distinct gain gives the rasters of every condition at that gain and
the window's loss: perplexity costs no pass of its own. Blocks of windows are kept as partial
results and assembled from disk, so memory does not grow with N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from jaxtyping import Float64

from avalattice.arrays import ArraySpec
from avalattice.canon import OUTPUT, DatasetRole, FigureId, StageTag, TableId, WindowSet
from avalattice.events.targets import RateTargets
from avalattice.export.documents import GStarDocument, RateTargetsDocument
from avalattice.export.figures.compared_gains import draw_generalization
from avalattice.export.figures.words import condition_words
from avalattice.export.generalization_rows import (
    Transfer,
    evaluation_windows_rows,
    generalization_rows,
)
from avalattice.export.schemas import EVALUATION_WINDOWS, T02_GENERALIZATION, THRESHOLDS
from avalattice.export.tables import AppliedRates, tau_of
from avalattice.lattice.rasters import Condition
from avalattice.stages.context import StageContext
from avalattice.stages.extraction import (
    COUNTS,
    Extraction,
    RasterBlocks,
    compared_conditions,
    stack_layers,
)
from avalattice.stages.metrics import draw_resamples, summarise_windows, write_summary
from avalattice.stats.transfer import transfer_statistics

_LOSSES = "losses"
_LOSSES_SPEC = {_LOSSES: ArraySpec("float64", "B S")}


def run(ctx: StageContext) -> None:
    """Measure Dataset B; write rasters, metrics, T02 and F06."""
    targets = ctx.document(
        StageTag.S01, OUTPUT.RATE_TARGETS_JSON_BASENAME, RateTargetsDocument
    ).targets()
    gstar = ctx.document(StageTag.S02B, OUTPUT.GSTAR_JSON_BASENAME, GStarDocument)
    conditions = compared_conditions(ctx, targets, gstar, DatasetRole.B)
    ctx.record_conditions(conditions)
    tau = tau_of(ctx.rows(StageTag.S02, OUTPUT.THRESHOLDS_PARQUET_BASENAME, THRESHOLDS), conditions)
    with ctx.run.step("load"):
        _ = ctx.session.model
    with ctx.run.step("rasters"):
        blocks, losses = _measure(ctx, conditions, tau)
    with ctx.run.step("metrics"):
        _write(ctx, targets, gstar, Measured(conditions, tau, blocks, losses))


@dataclass(frozen=True)
class Measured:
    """What the passes came to."""

    conditions: Sequence[Condition]
    """In the order of cond_id."""
    tau: np.ndarray
    """Thresholds that were applied, [C, L]."""
    blocks: RasterBlocks
    """Their rasters."""
    losses: Float64[np.ndarray, "C N 2"]
    """Sums of each window's loss; equal for conditions at one gain."""


class ExtractionWithLoss(Extraction):
    """Counts, and each window's loss, of the same passes."""

    def _block(self, gain: Decimal, start: int, stop: int) -> dict[str, np.ndarray]:
        """Counts [C, B, L, T] and losses [B, 2] of one block of windows at one gain."""
        passes = list(
            self.ctx.forward_with_nll(
                self.batches(start, stop), gain, self.counter(gain), self.task
            )
        )
        losses = [
            np.stack([nll, np.full(len(nll), float(batch.n_predicted))], axis=1)
            for batch, (_, nll) in passes
        ]
        return {
            COUNTS: stack_layers(layers for _, (layers, _) in passes),
            _LOSSES: np.concatenate(losses),
        }


def _measure(
    ctx: StageContext, conditions: Sequence[Condition], tau: np.ndarray
) -> tuple[RasterBlocks, Float64[np.ndarray, "C N 2"]]:
    windows = ctx.windows(WindowSet.EVALUATION)
    n_gains = len({condition.gain for condition in conditions})
    with ctx.progress("phase 6, Dataset B", n_gains * len(windows.input_ids)) as task:
        extraction = ExtractionWithLoss(ctx, windows, conditions, tau, task, extra=_LOSSES_SPEC)
        parts = {gain: list(extraction.parts(gain)) for gain in extraction.gains}
    losses = {gain: np.concatenate([part[_LOSSES] for part in parts[gain]]) for gain in parts}
    return extraction.rasters(parts), np.stack([losses[c.gain] for c in conditions])


def _write(ctx: StageContext, targets: RateTargets, gstar: GStarDocument, found: Measured) -> None:
    windows = ctx.windows(WindowSet.EVALUATION)
    n_tokens, sums = windows.token_ids.shape[1], found.blocks.sums
    ctx.write_npz(OUTPUT.RASTER_NPZ_BASENAME, found.blocks.members())
    rates = AppliedRates.held_out(targets, found.conditions, found.tau, windows.token_ids.size)
    summary = summarise_windows(ctx, windows, sums)
    write_summary(ctx, windows, found.conditions, summary, rates)
    ctx.write_table(
        OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME,
        EVALUATION_WINDOWS,
        evaluation_windows_rows(ctx.provenance, windows.window_ids, sums, found.losses, n_tokens),
    )
    statistics = transfer_statistics(
        summary,
        sums,
        found.losses,
        n_tokens=n_tokens,
        resamples=draw_resamples(ctx, windows),
        denominator=ctx.config.branching.denominator,
    )
    transfer = Transfer.of(found.conditions, summary, rates, statistics, found.losses)
    table = ctx.export_table(
        TableId.T02_GENERALIZATION,
        T02_GENERALIZATION,
        generalization_rows(ctx.provenance, gstar, transfer),
    )
    rows = table.to_pylist()
    ctx.export_figure(
        FigureId.F06_GENERALIZATION_B, draw_generalization(rows), condition_words(rows)
    )
