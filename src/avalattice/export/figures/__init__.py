"""Figures F01 to F14, drawn from rows of tables and from rasters alone.

A drawing function is pure: rows in, a matplotlib figure out. :mod:`~.save` is the one place that
turns figures into bytes, :mod:`~.style` what they look like, :mod:`~.words` what they say. What is
undefined is an empty panel with the reason in words, never an error: a scientific result is none.
Matplotlib is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from avalattice.canon import FigureId
from avalattice.export.figures.ablations import draw_ablations as draw_ablations
from avalattice.export.figures.compared_gains import draw_arc_accuracy as draw_arc_accuracy
from avalattice.export.figures.compared_gains import draw_generalization as draw_generalization
from avalattice.export.figures.depth_profile import DepthProfile as DepthProfile
from avalattice.export.figures.depth_profile import draw_depth_profile as draw_depth_profile
from avalattice.export.figures.gain_curves import draw_branching_curves as draw_branching_curves
from avalattice.export.figures.gain_curves import draw_chi_curves as draw_chi_curves
from avalattice.export.figures.gain_curves import draw_null_surplus as draw_null_surplus
from avalattice.export.figures.gstar_selection import draw_gstar_selection as draw_gstar_selection
from avalattice.export.figures.nulls import draw_null_comparison as draw_null_comparison
from avalattice.export.figures.profile_collapse import CollapseExample as CollapseExample
from avalattice.export.figures.profile_collapse import (
    draw_profile_collapse as draw_profile_collapse,
)
from avalattice.export.figures.raster_example import RasterExample as RasterExample
from avalattice.export.figures.raster_example import draw_raster_example as draw_raster_example
from avalattice.export.figures.rate_match import draw_rate_match as draw_rate_match
from avalattice.export.figures.robustness import draw_spike_definitions as draw_spike_definitions
from avalattice.export.figures.save import SUFFIXES as SUFFIXES
from avalattice.export.figures.save import figure_bytes as figure_bytes
from avalattice.export.figures.save import figure_metadata as figure_metadata
from avalattice.export.figures.tails import TailSample as TailSample
from avalattice.export.figures.tails import draw_tails as draw_tails
from avalattice.export.figures.words import condition_words as condition_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWINGS: Final[Mapping[FigureId, Callable[..., Figure]]] = {
    FigureId.F01_RASTER_EXAMPLE: draw_raster_example,
    FigureId.F02_RATE_MATCH_CHECK: draw_rate_match,
    FigureId.F03_BRANCHING_CURVES: draw_branching_curves,
    FigureId.F04_NULL_DELTAB: draw_null_surplus,
    FigureId.F05_GSTAR_SELECTION: draw_gstar_selection,
    FigureId.F06_GENERALIZATION_B: draw_generalization,
    FigureId.F07_ARC_MCQ: draw_arc_accuracy,
    FigureId.F08_SPIKEDEF_ROBUST: draw_spike_definitions,
    FigureId.F09_CHI_CURVES: draw_chi_curves,
    FigureId.F10_NULL_COMPARE: draw_null_comparison,
    FigureId.F11_ABLATIONS: draw_ablations,
    FigureId.F12_TAILS: draw_tails,
    FigureId.F13_PROFILE_COLLAPSE: draw_profile_collapse,
    FigureId.F14_DEPTH_PROFILE: draw_depth_profile,
}
"""The function that draws each figure."""
