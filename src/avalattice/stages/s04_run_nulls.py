"""Phase 4: were the rates matched, and what would rasters without structure give?

The only forward passes are those of the token-shuffle null: the raster windows with their tokens in
another order, at Phase 3's thresholds. Everything else is drawn from rasters, or follows in closed
form.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from avalattice.canon import OUTPUT, NullId, StageTag, WindowSet
from avalattice.data.windows import shuffle_tokens
from avalattice.export.documents import RateTargetsDocument
from avalattice.export.null_rows import null_statistics_row
from avalattice.export.rate_check import check_applied_tau, check_grid_counts, tau_rate_matched_rows
from avalattice.export.schemas import METRICS, NULL_STATISTICS, TAU_RATE_MATCHED, THRESHOLDS
from avalattice.export.tables import AppliedRates, tau_of
from avalattice.lattice.branching import EdgeSums, edge_sums
from avalattice.lattice.rasters import Condition, Rasters, raster_members
from avalattice.stages.context import StageContext
from avalattice.stages.extraction import Extraction, RasterBlocks
from avalattice.stages.metrics import draw_resamples, write_metrics
from avalattice.stats.null_report import draw_null, null_report, shuffle_report

DRAWN_NULLS = tuple(null_id for null_id in NullId if null_id is not NullId.NULL_NONE)
"""The nulls of each condition, in the order in which the raster file holds them."""


def run(ctx: StageContext) -> None:
    """Check rates; write thresholds with achieved rates, null rasters and null statistics."""
    grid = ctx.rasters(StageTag.S02, OUTPUT.GRID_RASTER_NPZ_BASENAME)
    held_out = ctx.rasters(StageTag.S03, OUTPUT.RASTER_NPZ_BASENAME)
    thresholds = ctx.rows(StageTag.S02, OUTPUT.THRESHOLDS_PARQUET_BASENAME, THRESHOLDS)
    with ctx.run.step("rates"):
        _write_rates(ctx, thresholds, grid, held_out)
    with ctx.run.step("load"):
        _ = ctx.session.model
    with ctx.run.step("token_shuffle"):
        shuffled = _shuffle(ctx, tau_of(thresholds, _conditions(held_out)), held_out)
    with ctx.run.step("null_rasters"):
        _write_rasters(ctx, tau_of(thresholds, _conditions(held_out)), held_out, shuffled[0])
    with ctx.run.step("statistics"):
        _write_statistics(ctx, grid, held_out, shuffled)


def _conditions(rasters: Rasters) -> Sequence[Condition]:
    assert rasters.conditions is not None
    return rasters.conditions


def _write_rates(
    ctx: StageContext, thresholds: list[dict[str, object]], grid: Rasters, held_out: Rasters
) -> None:
    applied = ctx.rows(StageTag.S03, OUTPUT.METRICS_PARQUET_BASENAME, METRICS)
    tau = np.array([row["tau"] for row in applied], dtype=np.float32)
    check_grid_counts(thresholds, _conditions(grid), grid.events_by_layer())
    check_applied_tau(thresholds, _conditions(held_out), tau)
    ctx.write_table(
        OUTPUT.TAU_RATE_MATCHED_PARQUET_BASENAME,
        TAU_RATE_MATCHED,
        tau_rate_matched_rows(
            ctx.provenance,
            thresholds,
            _conditions(held_out),
            held_out.events_by_layer(),
            ctx.windows(WindowSet.RASTER).token_ids.size,
        ),
    )


def _shuffle(ctx: StageContext, tau: np.ndarray, held_out: Rasters) -> list[RasterBlocks]:
    """Counts of shuffled windows under Phase 3's conditions, one stack a draw.

    All conditions see the same orders: a pass serves those at its gain, and differences between
    conditions are paired.
    """
    windows, conditions = ctx.windows(WindowSet.RASTER), _conditions(held_out)
    null_id, draws = NullId.NULL_TOKEN_SHUFFLE_INPUT, ctx.config.nulls.token_shuffle_replicates
    streams = [
        ctx.rng(str(ctx.tag), str(windows.dataset_role), str(null_id), seq_id)
        for seq_id in range(len(windows.input_ids))
    ]
    n_gains = len({condition.gain for condition in conditions})
    total = draws * n_gains * len(windows.input_ids)
    with ctx.progress("phase 4, shuffled input", total) as task:
        return [
            Extraction(
                ctx,
                shuffle_tokens(windows, ctx.session.special_token_ids, streams),
                conditions,
                tau,
                task,
                prefix=f"shuffle-{draw}-",
            ).run()
            for draw in range(draws)
        ]


def _write_rasters(
    ctx: StageContext, tau: np.ndarray, held_out: Rasters, shuffled: RasterBlocks
) -> None:
    """One raster for each condition and null, with the metrics of each."""
    windows = ctx.windows(WindowSet.RASTER)
    sources = [(c, null_id) for c in range(len(held_out.A)) for null_id in DRAWN_NULLS]
    conditions = [replace(_conditions(held_out)[c], null_id=null_id) for c, null_id in sources]
    ctx.record_conditions(conditions)

    def drawn() -> Iterator[np.ndarray]:
        for c, null_id in sources:
            if null_id is NullId.NULL_TOKEN_SHUFFLE_INPUT:
                yield shuffled.counts(c)
            else:
                streams = ctx.null_streams(_conditions(held_out)[c])
                yield draw_null(held_out.A[c], null_id, streams, windows.token_ids)

    ctx.write_npz(
        OUTPUT.NULL_NPZ_BASENAME,
        raster_members(drawn, (len(sources), *held_out.A.shape[1:])),
    )
    targets = ctx.document(
        StageTag.S01, OUTPUT.RATE_TARGETS_JSON_BASENAME, RateTargetsDocument
    ).targets()
    rates = AppliedRates.held_out(
        targets, conditions, tau[[c for c, _ in sources]], windows.token_ids.size
    )
    sums = EdgeSums(np.stack([edge_sums(raster).values for raster in drawn()]))
    write_metrics(ctx, windows, conditions, sums, rates)


def _write_statistics(
    ctx: StageContext, grid: Rasters, held_out: Rasters, shuffled: list[RasterBlocks]
) -> None:
    total = len(grid.A) + len(held_out.A)
    with ctx.progress("phase 4, null statistics", total) as task:
        rows = []
        for window_set, rasters in ((WindowSet.CALIBRATION, grid), (WindowSet.RASTER, held_out)):
            for c in range(len(rasters.A)):
                draws = shuffled if window_set is WindowSet.RASTER else []
                rows.append(_statistics(ctx, window_set, rasters, c, draws))
                task.advance()
    ctx.write_table(OUTPUT.NULL_STATISTICS_PARQUET_BASENAME, NULL_STATISTICS, rows)


def _statistics(
    ctx: StageContext,
    window_set: WindowSet,
    rasters: Rasters,
    c: int,
    shuffled: list[RasterBlocks],
) -> dict[str, object]:
    """The null statistics of one raster; the token-id ensemble and the shuffle held out alone."""
    windows, condition = ctx.windows(window_set), _conditions(rasters)[c]
    resamples, denominator = draw_resamples(ctx, windows), ctx.config.branching.denominator
    A = np.asarray(rasters.A[c])
    report = null_report(
        A,
        windows.token_ids,
        ctx.null_streams(condition),
        replicates=ctx.config.nulls.replicates,
        resamples=resamples,
        denominator=denominator,
        exchange_ensemble=window_set is WindowSet.RASTER,
    )
    draws = [stack.counts(c) for stack in shuffled]
    shuffle = shuffle_report(A, draws, resamples, denominator=denominator) if draws else None
    return null_statistics_row(
        ctx.provenance,
        window_set,
        c,
        condition,
        report,
        shuffle,
        ctx.calibration().d_ff,
        resamples,
        n_tokens=windows.token_ids.shape[1],
    )
