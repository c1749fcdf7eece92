"""Phase 5: avalanches, tails, scaling and signatures of every raster; the tables and figures.

The only forward passes are those of the ablations. Everything else is computed from the rasters of
phases 2 and 3 and from phase 4's null statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from avalattice.canon import OUTPUT, StageTag, TableId, WindowSet
from avalattice.export.avalanche_rows import (
    avalanche_rows,
    crackling_row,
    fitted_columns,
    tail_rows,
)
from avalattice.export.documents import (
    GStarDocument,
    GStarEntry,
    RateTargetsDocument,
    SignaturesDocument,
)
from avalattice.export.figures.measured import MeasuredRaster
from avalattice.export.schemas import (
    ANALYSIS_CONDITIONS,
    ANALYSIS_WINDOWS,
    AVALANCHES,
    METRICS,
    NULL_STATISTICS,
    T01_SUMMARY,
    T04_TAIL_FITS,
    T05_CRACKLING_DIAGNOSTICS,
    T06_ABLATIONS,
)
from avalattice.export.signature_entries import judge_curve, percolation_entry, rows_at_gstar
from avalattice.export.summary_rows import (
    analysis_condition_rows,
    analysis_window_rows,
    summary_rows,
)
from avalattice.lattice.avalanches import check_component_count
from avalattice.lattice.branching import edge_sums
from avalattice.lattice.percolation import percolation_context
from avalattice.lattice.rasters import Condition
from avalattice.stages.ablations import ablated_gains, ablation_table
from avalattice.stages.context import StageContext
from avalattice.stages.figures import write_figures
from avalattice.stages.metrics import draw_resamples
from avalattice.stats.avalanche_report import AvalancheReport, avalanche_report
from avalattice.stats.avalanche_statistics import AvalancheDescription, describe_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.chi_peak import ChiPeak, chi_peak
from avalattice.stats.multistep import MultistepBranching, multistep_depth

Row = dict[str, Any]


@dataclass(frozen=True)
class Raster:
    """One raster of phase 2 or 3, with what those phases and phase 4 measured of it."""

    cond_id: int
    """Of this analysis."""
    window_set: WindowSet
    condition: Condition
    A: np.ndarray
    """Counts [N, L, T]; on disk until they are used."""
    metrics: Mapping[str, Any]
    """Its row of phase 2's or 3's metrics."""
    nulls: Mapping[str, Any]
    """Its row of phase 4's null statistics."""
    resamples: Resamples

    @property
    def curve(self) -> tuple[str, str]:
        """Spike definition and target."""
        return str(self.condition.spike_def_id), self.condition.target_label


@dataclass(frozen=True)
class Fitted:
    """What is fitted to a held-out raster, beside the same of permuted ones."""

    raster: Raster
    """Of phase 3."""
    report: AvalancheReport
    """Its avalanches, beside those of permuted rasters."""

    @property
    def measured(self) -> MeasuredRaster:
        """What figures show of it."""
        raster, report = self.raster, self.report
        return MeasuredRaster(
            raster.window_set, raster.condition, raster.A, report.statistics, report.null
        )


def run(ctx: StageContext) -> None:
    """Analyse every raster; write results, tables, figures and signatures."""
    gstar = ctx.document(StageTag.S02B, OUTPUT.GSTAR_JSON_BASENAME, GStarDocument)
    rasters = _rasters(ctx)
    with ctx.run.step("avalanches"):
        described = _describe(ctx, rasters)
    with ctx.run.step("tails"):
        fitted = _fit(ctx, rasters, described)
    if ablated_gains(gstar):  # else no pass is made
        with ctx.run.step("load"):
            _ = ctx.session.model
    with ctx.run.step("ablations"):
        ablations = _ablations(ctx, gstar)
    with ctx.run.step("export"):
        tables = _write_tables(ctx, rasters, described, fitted, ablations)
        _write_signatures(ctx, gstar, rasters, fitted, tables)
        _write_results(ctx, rasters, described)
    with ctx.run.step("figures"):
        write_figures(ctx, tables, gstar, [fit.measured for fit in fitted])


def _rasters(ctx: StageContext) -> list[Raster]:
    """The grid's rasters, then the held-out ones."""
    nulls = {
        (row["window_set"], row["cond_id"]): row
        for row in ctx.rows(StageTag.S04, OUTPUT.NULL_STATISTICS_PARQUET_BASENAME, NULL_STATISTICS)
    }
    found: list[Raster] = []
    for tag, basename, window_set in (
        (StageTag.S02, OUTPUT.GRID_RASTER_NPZ_BASENAME, WindowSet.CALIBRATION),
        (StageTag.S03, OUTPUT.RASTER_NPZ_BASENAME, WindowSet.RASTER),
    ):
        rasters = ctx.rasters(tag, basename)
        resamples = draw_resamples(ctx, ctx.windows(window_set))
        metrics = {
            row["cond_id"]: row for row in ctx.rows(tag, OUTPUT.METRICS_PARQUET_BASENAME, METRICS)
        }
        for c, condition in enumerate(rasters.conditions or ()):
            null = nulls[window_set, c]
            found.append(
                Raster(len(found), window_set, condition, rasters.A[c], metrics[c], null, resamples)
            )
    return found


def _describe(
    ctx: StageContext, rasters: list[Raster]
) -> list[tuple[AvalancheDescription, MultistepBranching]]:
    described = []
    with ctx.progress("phase 5, avalanches", len(rasters)) as task:
        for raster in rasters:
            A = np.asarray(raster.A)
            avalanches = describe_avalanches(A, raster.resamples, ctx.config.avalanches.adjacency)
            check_component_count(avalanches.table)
            described.append((avalanches, multistep_depth(A)))
            task.advance()
    return described


def _fit(
    ctx: StageContext,
    rasters: list[Raster],
    described: list[tuple[AvalancheDescription, MultistepBranching]],
) -> list[Fitted]:
    """Tails, scaling and profiles of held-out rasters, and the exponents of permuted ones."""
    held_out = [raster for raster in rasters if raster.window_set is WindowSet.RASTER]
    fitted = []
    with ctx.progress("phase 5, tails", len(held_out)) as task:
        for raster in held_out:
            name = raster.condition.stream_name
            report = avalanche_report(
                np.asarray(raster.A),
                described[raster.cond_id][0],
                raster.resamples,
                ctx.null_streams(raster.condition),
                replicates=ctx.config.nulls.avalanche_replicates,
                gof_reps=ctx.config.avalanches.gof_reps,
                rng=ctx.rng(str(ctx.tag), *name, "goodness of fit"),
            )
            fitted.append(Fitted(raster, report))
            task.advance()
    return fitted


def _ablations(ctx: StageContext, gstar: GStarDocument) -> list[Row]:
    targets = ctx.document(
        StageTag.S01, OUTPUT.RATE_TARGETS_JSON_BASENAME, RateTargetsDocument
    ).targets()
    grid = ctx.rasters(StageTag.S02, OUTPUT.GRID_RASTER_NPZ_BASENAME)
    return list(ablation_table(ctx, grid, targets, gstar))


def _write_tables(
    ctx: StageContext,
    rasters: list[Raster],
    described: list[tuple[AvalancheDescription, MultistepBranching]],
    fitted: list[Fitted],
    ablations: list[Row],
) -> dict[TableId, list[Row]]:
    """Write T01, T04, T05 and T06; their rows as they are read back."""
    rows = {
        TableId.T01_SUMMARY: summary_rows(
            ctx.provenance,
            [raster.metrics for raster in rasters],
            [raster.nulls for raster in rasters],
            [avalanches for avalanches, _ in described],
            [depth for _, depth in described],
            tau0=ctx.config.events.tau0,
        ),
        TableId.T04_TAIL_FITS: list(
            chain.from_iterable(
                tail_rows(_shared(ctx, fit), fit.report.statistics, fit.report.null)
                for fit in fitted
            )
        ),
        TableId.T05_CRACKLING_DIAGNOSTICS: [
            crackling_row(
                _shared(ctx, fit), fit.report.statistics, fit.report.null, fit.report.whole_tokens
            )
            for fit in fitted
        ],
        TableId.T06_ABLATIONS: ablations,
    }
    schemas = {
        TableId.T01_SUMMARY: T01_SUMMARY,
        TableId.T04_TAIL_FITS: T04_TAIL_FITS,
        TableId.T05_CRACKLING_DIAGNOSTICS: T05_CRACKLING_DIAGNOSTICS,
        TableId.T06_ABLATIONS: T06_ABLATIONS,
    }
    return {
        table_id: ctx.export_table(table_id, schema, rows[table_id]).to_pylist()
        for table_id, schema in schemas.items()
    }


def _shared(ctx: StageContext, fit: Fitted) -> Row:
    """The columns that rows of one condition begin and end with."""
    raster = fit.raster
    return fitted_columns(
        ctx.provenance,
        raster.window_set,
        raster.condition,
        fit.report.statistics.description,
        raster.resamples,
    )


def _write_results(
    ctx: StageContext,
    rasters: list[Raster],
    described: list[tuple[AvalancheDescription, MultistepBranching]],
) -> None:
    avalanches = [found for found, _ in described]
    ctx.write_table(
        OUTPUT.METRICS_PARQUET_BASENAME,
        ANALYSIS_CONDITIONS,
        analysis_condition_rows(ctx.provenance, [raster.metrics for raster in rasters], avalanches),
    )
    ctx.write_table(
        OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME,
        ANALYSIS_WINDOWS,
        analysis_window_rows(
            ctx.provenance,
            [edge_sums(np.asarray(raster.A)) for raster in rasters],
            rasters[0].A.shape[-1],
            avalanches,
        ),
    )
    ctx.write_table(
        OUTPUT.AVALANCHES_PARQUET_BASENAME,
        AVALANCHES,
        (
            row
            for raster in rasters
            if raster.window_set is WindowSet.RASTER
            for row in avalanche_rows(ctx.provenance, raster.cond_id, avalanches[raster.cond_id])
        ),
    )


def _write_signatures(
    ctx: StageContext,
    gstar: GStarDocument,
    rasters: list[Raster],
    fitted: list[Fitted],
    tables: dict[TableId, list[Row]],
) -> None:
    percolation = [
        percolation_entry(
            fit.raster.condition,
            percolation_context(np.asarray(fit.raster.A), ctx.config.avalanches.adjacency),
        )
        for fit in fitted
    ]
    near = {(entry.spike_def_id, entry.target_label, entry.g): entry.near for entry in percolation}
    document = SignaturesDocument(
        entries=[
            entry
            for choice in gstar.choices
            for entry in judge_curve(
                choice,
                _chi_peak(rasters, choice),
                *rows_at_gstar(
                    choice,
                    WindowSet.RASTER,
                    summary=tables[TableId.T01_SUMMARY],
                    tails=tables[TableId.T04_TAIL_FITS],
                    crackling=tables[TableId.T05_CRACKLING_DIAGNOSTICS],
                ),
                near_percolation=near.get(
                    (choice.spike_def_id, choice.target_label, choice.gstar or ""), False
                ),
            )
        ],
        percolation=percolation,
    )
    ctx.write_json(OUTPUT.SIGNATURES_JSON_BASENAME, document.model_dump(mode="json"))


def _chi_peak(rasters: list[Raster], choice: GStarEntry) -> ChiPeak:
    """The peak of chi over the grid, on one curve."""
    on_curve = sorted(
        (
            raster
            for raster in rasters
            if raster.window_set is WindowSet.CALIBRATION
            and raster.curve == (choice.spike_def_id, choice.target_label)
        ),
        key=lambda raster: raster.condition.gain,
    )
    totals = np.stack([raster.A.sum(axis=(1, 2), dtype=np.int64) for raster in on_curve])
    return chi_peak([raster.condition.gain for raster in on_curve], totals, on_curve[0].resamples)
