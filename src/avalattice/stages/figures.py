"""Phase 5's figures, from its tables and rasters; no model is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from avalattice.canon import OUTPUT, FigureId, StageTag, TableId, WindowSet
from avalattice.export.avalanche_rows import SIZE, SPAN
from avalattice.export.documents import GStarDocument
from avalattice.export.figures.ablations import draw_ablations
from avalattice.export.figures.depth_profile import DepthProfile, draw_depth_profile
from avalattice.export.figures.gain_curves import (
    draw_branching_curves,
    draw_chi_curves,
    draw_null_surplus,
)
from avalattice.export.figures.gstar_selection import draw_gstar_selection
from avalattice.export.figures.nulls import draw_null_comparison
from avalattice.export.figures.profile_collapse import CollapseExample, draw_profile_collapse
from avalattice.export.figures.raster_example import RasterExample, draw_raster_example
from avalattice.export.figures.rate_match import draw_rate_match
from avalattice.export.figures.robustness import draw_spike_definitions
from avalattice.export.figures.tails import TailSample, draw_tails
from avalattice.export.schemas import NULL_STATISTICS, TAU_RATE_MATCHED, WINDOWS
from avalattice.lattice.avalanches import labels
from avalattice.lattice.branching import Denominator
from avalattice.lattice.layer_profile import layer_profile
from avalattice.lattice.rasters import Condition
from avalattice.stages.context import StageContext
from avalattice.stats.avalanche_nulls import Histogram, NullAvalanches
from avalattice.stats.avalanche_statistics import AvalancheStatistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]
_EXAMPLE_WINDOW = 0


@dataclass(frozen=True)
class HeldOut:
    """A held-out raster with what was fitted to it."""

    condition: Condition
    A: np.ndarray
    """Counts [N, L, T]; on disk until they are used."""
    statistics: AvalancheStatistics
    null: NullAvalanches
    """Of rasters with every row permuted."""


def write_figures(
    ctx: StageContext,
    tables: Mapping[TableId, Sequence[Row]],
    gstar: GStarDocument,
    held_out: Sequence[HeldOut],
) -> None:
    """Draw and write every figure of phase 5.

    Args:
        ctx: the stage's context.
        tables: T01, T04, T05 and T06, as they are read back.
        gstar: the choices of g*.
        held_out: the rasters of phase 3.
    """
    summary, ablations = tables[TableId.T01_SUMMARY], tables[TableId.T06_ABLATIONS]
    nulls = ctx.rows(StageTag.S04, OUTPUT.NULL_STATISTICS_PARQUET_BASENAME, NULL_STATISTICS)
    rates = ctx.rows(StageTag.S04, OUTPUT.TAU_RATE_MATCHED_PARQUET_BASENAME, TAU_RATE_MATCHED)
    chosen = [each for each in held_out if _is_chosen(gstar, each.condition)]
    drawings: dict[FigureId, Callable[[], Figure]] = {
        FigureId.F01_RASTER_EXAMPLE: lambda: draw_raster_example(
            _raster_examples(ctx, held_out), ctx.provenance
        ),
        FigureId.F02_RATE_MATCH_CHECK: lambda: draw_rate_match(rates),
        FigureId.F03_BRANCHING_CURVES: lambda: draw_branching_curves(summary, nulls),
        FigureId.F04_NULL_DELTAB: lambda: draw_null_surplus(summary),
        FigureId.F05_GSTAR_SELECTION: lambda: draw_gstar_selection(summary, gstar),
        FigureId.F08_SPIKEDEF_ROBUST: lambda: draw_spike_definitions(summary),
        FigureId.F09_CHI_CURVES: lambda: draw_chi_curves(summary, gstar),
        FigureId.F10_NULL_COMPARE: lambda: draw_null_comparison(nulls),
        FigureId.F11_ABLATIONS: lambda: draw_ablations(ablations),
        FigureId.F12_TAILS: lambda: draw_tails(list(_tail_samples(tables, chosen))),
        FigureId.F13_PROFILE_COLLAPSE: lambda: draw_profile_collapse(
            list(_collapses(tables, chosen))
        ),
        FigureId.F14_DEPTH_PROFILE: lambda: draw_depth_profile(
            list(_depth_profiles(summary, held_out, ctx.config.branching.denominator))
        ),
    }
    with ctx.progress("phase 5, figures", len(drawings)) as task:
        for figure_id, draw in drawings.items():
            ctx.export_figure(figure_id, draw(), _SHOWN[figure_id])
            task.advance()


_SHOWN = {
    FigureId.F01_RASTER_EXAMPLE: "one held-out window at g = 1 and at g*",
    FigureId.F02_RATE_MATCH_CHECK: "every gain, layer, target and spike definition",
    FigureId.F03_BRANCHING_CURVES: "gain grid in sample, g = 1 and g* held out",
    FigureId.F04_NULL_DELTAB: "gain grid in sample, g = 1 and g* held out",
    FigureId.F05_GSTAR_SELECTION: "gain grid in sample",
    FigureId.F08_SPIKEDEF_ROBUST: "g = 1 and g*, held out",
    FigureId.F09_CHI_CURVES: "gain grid in sample, g = 1 and g* held out",
    FigureId.F10_NULL_COMPARE: "g = 1 and g*, held out",
    FigureId.F11_ABLATIONS: "g = 1 and g*, in sample",
    FigureId.F12_TAILS: "g*, held out",
    FigureId.F13_PROFILE_COLLAPSE: "g*, held out",
    FigureId.F14_DEPTH_PROFILE: "g = 1 and g*, held out",
}


def _is_chosen(gstar: GStarDocument, condition: Condition) -> bool:
    """Whether a condition is the one at g*, or at gain 1 where there is no g*."""
    choice = gstar.choice(condition.spike_def_id, condition.target_label)
    return condition.gain == (choice.gain if choice.gain is not None else choice.raster_gains[0])


def _raster_examples(ctx: StageContext, held_out: Sequence[HeldOut]) -> list[RasterExample]:
    """The first window under the first curve that has two gains, or else the first curve."""
    curves: dict[tuple[str, str], list[HeldOut]] = {}
    for each in held_out:
        key = (str(each.condition.spike_def_id), each.condition.target_label)
        curves.setdefault(key, []).append(each)
    shown = max(curves.values(), key=len)  # the first of the longest
    (window,) = (
        row
        for row in ctx.rows(StageTag.S03, OUTPUT.WINDOWS_PARQUET_BASENAME, WINDOWS)
        if row["window_set"] == WindowSet.RASTER and row["seq_id"] == _EXAMPLE_WINDOW
    )
    return [
        RasterExample(
            counts=np.asarray(each.A[_EXAMPLE_WINDOW]),
            labels=labels(
                np.asarray(each.A[_EXAMPLE_WINDOW]), each.statistics.description.adjacency
            ),
            tokens=window["tokens"],
            spike_def_id=str(each.condition.spike_def_id),
            target_label=each.condition.target_label,
            gain=float(each.condition.gain),
            adjacency_id=str(each.statistics.description.adjacency),
            window_set=str(WindowSet.RASTER),
            seq_id=_EXAMPLE_WINDOW,
        )
        for each in shown
    ]


def _tail_samples(
    tables: Mapping[TableId, Sequence[Row]], chosen: Sequence[HeldOut]
) -> Iterator[TailSample]:
    for each in chosen:
        table = each.statistics.description.table
        drawn: dict[str, tuple[np.ndarray, Histogram]] = {
            SIZE: (table.size, each.null.sizes),
            SPAN: (table.span_tokens, each.null.spans),
        }
        for row in _rows_of(tables[TableId.T04_TAIL_FITS], each.condition):
            sample, null = drawn[row["variable"]]
            values, counts = np.unique(sample, return_counts=True)
            yield TailSample(
                row, values.astype(np.int64), counts.astype(np.int64), null.values, null.counts
            )


def _collapses(
    tables: Mapping[TableId, Sequence[Row]], chosen: Sequence[HeldOut]
) -> Iterator[CollapseExample]:
    for each in chosen:
        (row,) = _rows_of(tables[TableId.T05_CRACKLING_DIAGNOSTICS], each.condition)
        yield CollapseExample(row, each.statistics.profiles, each.statistics.collapse)


def _depth_profiles(
    summary: Sequence[Row], held_out: Sequence[HeldOut], denominator: Denominator
) -> Iterator[DepthProfile]:
    for each in held_out:
        (row,) = _rows_of(summary, each.condition)
        yield DepthProfile(row, layer_profile(np.asarray(each.A), denominator=denominator))


def _rows_of(rows: Sequence[Row], condition: Condition) -> list[Row]:
    """The held-out rows of one condition."""
    wanted = (
        WindowSet.RASTER,
        condition.spike_def_id,
        condition.target_label,
        float(condition.gain),
    )
    key = ("window_set", "spike_def_id", "target_label", "g")
    return [row for row in rows if tuple(row[name] for name in key) == wanted]
