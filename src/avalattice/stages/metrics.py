"""The two metrics tables, which several stages write."""

from __future__ import annotations

from collections.abc import Sequence

from avalattice.canon import OUTPUT
from avalattice.data.windows import WindowSlice
from avalattice.export.schemas import METRICS, METRICS_WINDOWS
from avalattice.export.tables import AppliedRates, metrics_rows, metrics_windows_rows
from avalattice.lattice.branching import EdgeSums
from avalattice.lattice.rasters import Condition
from avalattice.stages.context import StageContext
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.summary import Summary, summarise


def draw_resamples(ctx: StageContext, windows: WindowSlice) -> Resamples:
    """The resamples of a slice's windows: the same in every stage, so that results are paired."""
    name = ("bootstrap", str(windows.dataset_role), str(windows.window_set))
    return Resamples.draw(len(windows.input_ids), ctx.config.bootstrap.reps, ctx.rng(*name))


def summarise_windows(ctx: StageContext, windows: WindowSlice, sums: EdgeSums) -> Summary:
    """The summary of conditions over a slice's windows."""
    return summarise(
        sums,
        n_tokens=windows.token_ids.shape[1],
        d_ff=ctx.calibration().d_ff,
        resamples=draw_resamples(ctx, windows),
        denominator=ctx.config.branching.denominator,
    )


def write_summary(
    ctx: StageContext,
    windows: WindowSlice,
    conditions: Sequence[Condition],
    summary: Summary,
    rates: AppliedRates,
) -> None:
    """Write ``metrics.parquet``."""
    ctx.write_table(
        OUTPUT.METRICS_PARQUET_BASENAME,
        METRICS,
        metrics_rows(ctx.provenance, windows.window_set, conditions, summary, rates),
    )


def write_metrics(
    ctx: StageContext,
    windows: WindowSlice,
    conditions: Sequence[Condition],
    sums: EdgeSums,
    rates: AppliedRates,
) -> None:
    """Write ``metrics.parquet`` and ``metrics_windows.parquet``."""
    write_summary(ctx, windows, conditions, summarise_windows(ctx, windows, sums), rates)
    ctx.write_table(
        OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME,
        METRICS_WINDOWS,
        metrics_windows_rows(ctx.provenance, windows.window_ids, sums),
    )
