"""The figures of an analysis: those of the pipeline's that apply, under the same names.

Figures of single rasters (F01, F10, F12 to F14) show each condition, of a curve those at gain 1 and
at g*; F03 to F05 and F09 need a curve. Matplotlib is imported when they are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from avalattice.analyze.analysis import Analysis
from avalattice.analyze.conditions import MOST_SHOWN, AnalysedCondition
from avalattice.analyze.counts import CONDITION_IDS
from avalattice.canon import CONST, FigureId
from avalattice.export.documents import GStarDocument
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
from avalattice.export.figures.raster_example import draw_raster_example
from avalattice.export.figures.save import SUFFIXES, figure_bytes, figure_metadata
from avalattice.export.figures.tails import draw_tails
from avalattice.export.figures.words import condition_words
from avalattice.export.tables import Provenance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_EXAMPLES: Final = 3
_EXAMPLE_WINDOW: Final = 0

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Drawing:
    """One figure, before it is drawn."""

    figure_id: FigureId
    """Which one."""
    draw: Callable[[], Figure]
    """Draws it."""
    rows: Sequence[Row]
    """The rows of T01 that it is about."""

    def files(self, provenance: Provenance) -> dict[str, bytes]:
        """The drawn figure's files by suffix, with their origin in them."""
        metadata = figure_metadata(self.figure_id, provenance, condition_words(self.rows))
        figure = self.draw()
        return {suffix: figure_bytes(figure, suffix, metadata) for suffix in SUFFIXES}


def drawings(analysis: Analysis) -> list[Drawing]:
    """The figures that apply, in the order of their names."""
    singles = _of_rasters(analysis)
    curves = [] if analysis.gstar is None else _of_curve(analysis, analysis.gstar)
    return sorted([*singles, *curves], key=lambda drawing: drawing.figure_id.name)


def _of_rasters(analysis: Analysis) -> list[Drawing]:
    summary = analysis.summary.to_pylist()
    shown = _shown(analysis)
    rasters = [_measured(analysis, each) for each in shown]
    ids = {each.cond_id for each in shown}
    nulls = [row for row in analysis.null_statistics.to_pylist() if row[CONDITION_IDS] in ids]
    rows = [row for raster in rasters for row in raster.rows_of(summary)]
    denominator = analysis.options.denominator
    draw: dict[FigureId, Callable[[], Figure]] = {
        FigureId.F01_RASTER_EXAMPLE: lambda: _raster_example(analysis, rasters),
        FigureId.F10_NULL_COMPARE: lambda: draw_null_comparison(nulls),
        FigureId.F12_TAILS: lambda: _tails(analysis, rasters),
        FigureId.F13_PROFILE_COLLAPSE: lambda: _collapse(analysis, rasters),
        FigureId.F14_DEPTH_PROFILE: lambda: draw_depth_profile(
            [raster.by_layer(summary, denominator) for raster in rasters]
        ),
    }
    return [Drawing(figure_id, function, rows) for figure_id, function in draw.items()]


def _of_curve(analysis: Analysis, gstar: GStarDocument) -> list[Drawing]:
    summary, nulls = analysis.summary.to_pylist(), analysis.null_statistics.to_pylist()
    draw: dict[FigureId, Callable[[], Figure]] = {
        FigureId.F03_BRANCHING_CURVES: lambda: draw_branching_curves(summary, nulls),
        FigureId.F04_NULL_DELTAB: lambda: draw_null_surplus(summary),
        FigureId.F05_GSTAR_SELECTION: lambda: draw_gstar_selection(summary, gstar),
        FigureId.F09_CHI_CURVES: lambda: draw_chi_curves(summary, gstar),
    }
    return [Drawing(figure_id, function, summary) for figure_id, function in draw.items()]


def _shown(analysis: Analysis) -> Sequence[AnalysedCondition]:
    """The conditions that figures of single rasters show."""
    choice = analysis.choice
    if choice is None:
        return analysis.conditions[:MOST_SHOWN]
    wanted = {CONST.GAIN_BASELINE, choice.gain}
    return [each for each in analysis.conditions if each.condition.gain in wanted]


def _measured(analysis: Analysis, each: AnalysedCondition) -> MeasuredRaster:
    report = each.avalanches
    return MeasuredRaster(
        analysis.window_set, each.condition, each.A, report.statistics, report.null
    )


def _raster_example(analysis: Analysis, rasters: Sequence[MeasuredRaster]) -> Figure:
    seq_id = int(analysis.given.seq_id[_EXAMPLE_WINDOW])
    examples = [raster.example(_EXAMPLE_WINDOW, (), seq_id) for raster in rasters]
    return draw_raster_example(examples[:_MOST_EXAMPLES], analysis.provenance)


def _tails(analysis: Analysis, rasters: Sequence[MeasuredRaster]) -> Figure:
    fits = analysis.tail_fits.to_pylist()
    return draw_tails([sample for raster in rasters for sample in raster.tail_samples(fits)])


def _collapse(analysis: Analysis, rasters: Sequence[MeasuredRaster]) -> Figure:
    """The profiles at g*, of a curve: one for each panel."""
    choice, rows = analysis.choice, analysis.crackling.to_pylist()
    at = [r for r in rasters if choice is None or r.condition.gain == choice.gain]
    return draw_profile_collapse([raster.collapse(rows) for raster in at])
