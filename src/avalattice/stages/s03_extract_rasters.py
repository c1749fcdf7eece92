"""Phase 3: rasters on held-out windows, at the baseline gain and at g*, with Phase 2's thresholds.

One forward pass per window and distinct gain serves every condition at that gain. Blocks of
windows are kept as partial results and assembled from disk, so memory does not grow with N.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial

import numpy as np

from avalattice.arrays import ArraySpec
from avalattice.canon import OUTPUT, DatasetRole, SpikeDefId, StageTag, WindowSet
from avalattice.events.counts import AppliedThresholds, count_events
from avalattice.events.passes import batches
from avalattice.events.targets import RateTargets
from avalattice.export.documents import GStarDocument, RateTargetsDocument
from avalattice.export.schemas import THRESHOLDS, WINDOWS
from avalattice.export.tables import AppliedRates, tau_of, windows_rows
from avalattice.lattice.branching import EdgeSums, edge_sums
from avalattice.lattice.rasters import Condition, raster_members
from avalattice.progress import Task
from avalattice.rng import decimal_text
from avalattice.stages.context import StageContext
from avalattice.stages.metrics import write_metrics

_BLOCK_SPEC = {"A": ArraySpec("uint16", "C B L T")}


def run(ctx: StageContext) -> None:
    """Extract rasters; write them with their metrics and windows."""
    targets = ctx.document(
        StageTag.S01, OUTPUT.RATE_TARGETS_JSON_BASENAME, RateTargetsDocument
    ).targets()
    gstar = ctx.document(StageTag.S02B, OUTPUT.GSTAR_JSON_BASENAME, GStarDocument)
    conditions = _conditions(ctx, targets, gstar)
    ctx.record_conditions(conditions)
    tau = tau_of(ctx.rows(StageTag.S02, OUTPUT.THRESHOLDS_PARQUET_BASENAME, THRESHOLDS), conditions)
    with ctx.run.step("load"):
        _ = ctx.session.model
    with ctx.run.step("rasters"):
        blocks = _extract(ctx, conditions, tau)
    with ctx.run.step("metrics"):
        _write(ctx, targets, conditions, tau, blocks)


def _conditions(ctx: StageContext, targets: RateTargets, gstar: GStarDocument) -> list[Condition]:
    """For every spike definition and target: gain 1 and g*, once where they coincide."""
    conditions = []
    for definition in targets.spike_defs:
        for label, rate in zip(targets.labels, targets.rates, strict=True):
            choice = gstar.choice(definition, label)
            if choice.gain is None:
                ctx.run.note(f"{definition} at target {label}: no g*, so no raster there")
            conditions += [
                Condition(ctx.session.role, DatasetRole.A, definition, label, float(rate), gain)
                for gain in choice.raster_gains
            ]
    return conditions


def _extract(
    ctx: StageContext, conditions: Sequence[Condition], tau: np.ndarray
) -> list[list[np.ndarray]]:
    """Counts of every condition, as blocks [B, L, T] that stay on disk."""
    windows = ctx.windows(WindowSet.RASTER)
    gains = sorted({condition.gain for condition in conditions})
    blocks: list[list[np.ndarray]] = [[] for _ in conditions]
    with ctx.progress("phase 3, rasters", len(gains) * len(windows.input_ids)) as task:
        for gain in gains:
            members = [c for c, condition in enumerate(conditions) if condition.gain == gain]
            thresholds = AppliedThresholds(
                tuple(SpikeDefId(conditions[c].spike_def_id) for c in members), tau[members]
            )
            for counts in _blocks_of_gain(ctx, gain, thresholds, task):
                for row, c in enumerate(members):
                    blocks[c].append(counts[row])
    return blocks


def _blocks_of_gain(
    ctx: StageContext, gain: Decimal, thresholds: AppliedThresholds, task: Task
) -> Iterator[np.ndarray]:
    for start, stop in ctx.blocks(WindowSet.RASTER):
        before = task.done
        part = ctx.run.partial(
            f"gain-{decimal_text(gain)}-windows-{start}-{stop}",
            _BLOCK_SPEC,
            partial(_count_block, ctx, gain, thresholds, start, stop, task),
            lazy=True,
        )
        task.advance(stop - start - (task.done - before))  # a block that was read back
        yield part["A"]


def _count_block(
    ctx: StageContext,
    gain: Decimal,
    thresholds: AppliedThresholds,
    start: int,
    stop: int,
    task: Task,
) -> dict[str, np.ndarray]:
    """Counts A [C, B, L, T] of one block of windows at one gain."""
    windows, scales = ctx.windows(WindowSet.RASTER), ctx.scales()
    n_tokens = windows.token_ids.shape[1]
    passes = batches(windows, ctx.config.compute.batch_size, start=start, stop=stop)
    counted = ctx.forward(
        passes,
        gain,
        lambda layer, u: count_events(u, scales[layer], thresholds, layer, n_tokens),
        task,
    )
    return {"A": np.concatenate([np.stack(layers, axis=2) for _, layers in counted], axis=1)}


def _write(
    ctx: StageContext,
    targets: RateTargets,
    conditions: Sequence[Condition],
    tau: np.ndarray,
    blocks: list[list[np.ndarray]],
) -> None:
    windows = ctx.windows(WindowSet.RASTER)
    n_windows, n_tokens = windows.token_ids.shape
    n_layers = len(targets.m)
    ctx.write_npz(
        OUTPUT.RASTER_NPZ_BASENAME,
        raster_members(
            lambda: (block for stack in blocks for block in stack),
            (len(conditions), n_windows, n_layers, n_tokens),
        ),
    )
    sums = [np.concatenate([edge_sums(block).values for block in stack]) for stack in blocks]
    rates = AppliedRates.held_out(targets, conditions, tau, n_windows * n_tokens)
    write_metrics(ctx, windows, conditions, EdgeSums(np.stack(sums)), rates)
    ctx.write_table(
        OUTPUT.WINDOWS_PARQUET_BASENAME,
        WINDOWS,
        (
            row
            for window_set in WindowSet
            for row in windows_rows(
                ctx.provenance, ctx.windows(window_set), ctx.session.tokenizer.decode
            )
        ),
    )
