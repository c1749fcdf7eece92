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
from avalattice.export.avalanche_rows import avalanche_rows, crackling_row, tail_rows
from avalattice.export.documents import (
    GStarDocument,
    GStarEntry,
    RateTargetsDocument,
    SignaturesDocument,
)
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
from avalattice.export.signature_entries import judge_curve, percolation_entry
from avalattice.export.summary_rows import (
    analysis_condition_rows,
    analysis_window_rows,
    summary_rows,
)
from avalattice.lattice.avalanches import check_component_count
from avalattice.lattice.branching import edge_sums
from avalattice.lattice.percolation import percolation_context
from avalattice.lattice.rasters import Condition
from avalattice.stages.ablations import ablation_table
from avalattice.stages.context import StageContext
from avalattice.stages.figures import HeldOut, write_figures
from avalattice.stages.metrics import draw_resamples
from avalattice.stats.avalanche_nulls import NullAvalanches, null_avalanches
from avalattice.stats.avalanche_statistics import (
    AvalancheDescription,
    AvalancheStatistics,
    describe_avalanches,
    fit_avalanches,
)
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.chi_peak import ChiPeak, chi_peak
from avalattice.stats.multistep import MultistepBranching, multistep_depth
from avalattice.stats.null_report import PERMUTED, permuted_rasters

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
    statistics: AvalancheStatistics
    null: NullAvalanches
    """Of rasters with every row permuted."""
    whole_tokens: NullAvalanches
    """Of rasters with tokens permuted together with all their layers."""

    @property
    def held_out(self) -> HeldOut:
        """What figures show of it."""
        return HeldOut(self.raster.condition, self.raster.A, self.statistics, self.null)


def run(ctx: StageContext) -> None:
    """Analyse every raster; write results, tables, figures and signatures."""
    gstar = ctx.document(StageTag.S02B, OUTPUT.GSTAR_JSON_BASENAME, GStarDocument)
    rasters = _rasters(ctx)
    with ctx.run.step("avalanches"):
        described = _describe(ctx, rasters)
    with ctx.run.step("tails"):
        fitted = _fit(ctx, rasters, described)
    with ctx.run.step("load"):
        _ = ctx.session.model
    with ctx.run.step("ablations"):
        ablations = _ablations(ctx, gstar)
    with ctx.run.step("export"):
        tables = _write_tables(ctx, rasters, described, fitted, ablations)
        _write_signatures(ctx, gstar, rasters, fitted, tables)
        _write_results(ctx, rasters, described)
    with ctx.run.step("figures"):
        write_figures(ctx, tables, gstar, [fit.held_out for fit in fitted])


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
            A, name = np.asarray(raster.A), raster.condition.stream_name
            statistics = fit_avalanches(
                A,
                described[raster.cond_id][0],
                raster.resamples,
                gof_reps=ctx.config.avalanches.gof_reps,
                rng=ctx.rng(str(ctx.tag), *name, "goodness of fit"),
            )
            fitted.append(
                Fitted(
                    raster,
                    statistics,
                    _null_avalanches(ctx, raster, whole_tokens=False),
                    _null_avalanches(ctx, raster, whole_tokens=True),
                )
            )
            task.advance()
    return fitted


def _null_avalanches(ctx: StageContext, raster: Raster, *, whole_tokens: bool) -> NullAvalanches:
    """The avalanches of permuted rasters, from the condition's own streams."""
    A, purpose = np.asarray(raster.A), ("whole tokens",) if whole_tokens else ()
    streams = ctx.null_streams(raster.condition).of_windows(PERMUTED, len(A), *purpose)
    draws = permuted_rasters(
        A, streams, ctx.config.nulls.avalanche_replicates, whole_tokens=whole_tokens
    )
    return null_avalanches(draws, ctx.config.avalanches.adjacency)


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
                tail_rows(_shared(ctx, fit), fit.statistics, fit.null) for fit in fitted
            )
        ),
        TableId.T05_CRACKLING_DIAGNOSTICS: [
            crackling_row(_shared(ctx, fit), fit.statistics, fit.null, fit.whole_tokens)
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
    raster, condition = fit.raster, fit.raster.condition
    return {
        **vars(ctx.provenance),
        "window_set": raster.window_set,
        "spike_def_id": condition.spike_def_id,
        "target_label": condition.target_label,
        "target_rate": condition.target_rate,
        "g": float(condition.gain),
        "adjacency_id": fit.statistics.description.adjacency,
        "n_sequences": raster.resamples.n_windows,
        "few_windows": raster.resamples.few_windows,
    }


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
                *_rows_at_gstar(tables, choice),
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


def _rows_at_gstar(
    tables: dict[TableId, list[Row]], choice: GStarEntry
) -> tuple[Row | None, dict[str, Row], Row | None]:
    """T01's row, T04's by variable, and T05's, on held-out windows at g*."""
    at = {
        table_id: [
            row
            for row in rows
            if row.get("window_set") == WindowSet.RASTER
            and (row["spike_def_id"], row["target_label"])
            == (choice.spike_def_id, choice.target_label)
            and choice.gain is not None
            and row["g"] == float(choice.gain)
        ]
        for table_id, rows in tables.items()
    }
    summary, crackling = at[TableId.T01_SUMMARY], at[TableId.T05_CRACKLING_DIAGNOSTICS]
    tails = {row["variable"]: row for row in at[TableId.T04_TAIL_FITS]}
    return next(iter(summary), None), tails, next(iter(crackling), None)
