"""Phase 5's figures, from its tables and rasters; no model is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from avalattice.canon import OUTPUT, FigureId, StageTag, TableId, WindowSet
from avalattice.export.documents import GStarDocument
from avalattice.export.figures.ablations import draw_ablations
from avalattice.export.figures.depth_profile import draw_depth_profile
from avalattice.export.figures.gain_curves import (
    draw_branching_curves,
    draw_chi_curves,
    draw_null_surplus,
)
from avalattice.export.figures.gstar_selection import draw_gstar_selection
from avalattice.export.figures.measured import MeasuredRaster
from avalattice.export.figures.nulls import draw_null_comparison
from avalattice.export.figures.profile_collapse import draw_profile_collapse
from avalattice.export.figures.raster_example import RasterExample, draw_raster_example
from avalattice.export.figures.rate_match import draw_rate_match
from avalattice.export.figures.robustness import draw_spike_definitions
from avalattice.export.figures.tails import draw_tails
from avalattice.export.figures.words import condition_words
from avalattice.export.schemas import NULL_STATISTICS, TAU_RATE_MATCHED, WINDOWS
from avalattice.lattice.rasters import Condition
from avalattice.stages.context import StageContext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]
_EXAMPLE_WINDOW = 0


def write_figures(
    ctx: StageContext,
    tables: Mapping[TableId, Sequence[Row]],
    gstar: GStarDocument,
    held_out: Sequence[MeasuredRaster],
) -> None:
    """Draw and write every figure of phase 5.

    Args:
        ctx: the stage's context.
        tables: T01, T04, T05 and T06, as they are read back.
        gstar: the choices of g*.
        held_out: the rasters of phase 3.
    """
    summary, ablations = tables[TableId.T01_SUMMARY], tables[TableId.T06_ABLATIONS]
    fits, crackling = tables[TableId.T04_TAIL_FITS], tables[TableId.T05_CRACKLING_DIAGNOSTICS]
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
        FigureId.F12_TAILS: lambda: draw_tails(
            [sample for each in chosen for sample in each.tail_samples(fits)]
        ),
        FigureId.F13_PROFILE_COLLAPSE: lambda: draw_profile_collapse(
            [each.collapse(crackling) for each in chosen]
        ),
        FigureId.F14_DEPTH_PROFILE: lambda: draw_depth_profile(
            [each.by_layer(summary, ctx.config.branching.denominator) for each in held_out]
        ),
    }
    of_what = condition_words(summary)
    with ctx.progress("phase 5, figures", len(drawings)) as task:
        for figure_id, draw in drawings.items():
            ctx.export_figure(figure_id, draw(), f"{_SHOWN[figure_id]}, of {of_what}")
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


def _raster_examples(ctx: StageContext, held_out: Sequence[MeasuredRaster]) -> list[RasterExample]:
    """The first window under the first curve that has two gains, or else the first curve."""
    curves: dict[tuple[str, str], list[MeasuredRaster]] = {}
    for each in held_out:
        key = (str(each.condition.spike_def_id), each.condition.target_label)
        curves.setdefault(key, []).append(each)
    shown = max(curves.values(), key=len)  # the first of the longest
    (window,) = (
        row
        for row in ctx.rows(StageTag.S03, OUTPUT.WINDOWS_PARQUET_BASENAME, WINDOWS)
        if row["window_set"] == WindowSet.RASTER and row["seq_id"] == _EXAMPLE_WINDOW
    )
    return [each.example(_EXAMPLE_WINDOW, window["tokens"], _EXAMPLE_WINDOW) for each in shown]
