"""F02: achieved against target rate, in sample and, where other windows were measured, out of it.

Points on a diagonal over decades of rate tell little, so that the relative error stands below: of
the layers' pooled rate at each gain, with the range over layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float64

from avalattice.export.figures.curves import target_entries
from avalattice.export.figures.panels import (
    defined,
    dodge,
    empty_figure,
    foot,
    gain_axis,
    gain_step,
    key,
    legend,
    level,
    log_axis,
    panel_grid,
    points,
    say,
)
from avalattice.export.figures.rows import (
    Row,
    first_reason,
    numbers,
    select,
    spike_definitions,
    targets,
)
from avalattice.export.figures.style import GREY, Mark, spike_colour, styled, target_mark
from avalattice.export.figures.words import SPIKE_TITLE, plain, small_print, target_note
from avalattice.export.schemas.columns import RATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACHIEVED: Final = {True: "achieved_rate_in_sample", False: "achieved_rate_out_of_sample"}
"""Columns, by whether they are in sample."""


_OUT_ASIDE: Final = 2.5  # steps


@dataclass(frozen=True)
class _Error:
    """Relative error of the rate at each gain, in percent."""

    gains: Float64[np.ndarray, " G"]
    mean: Float64[np.ndarray, " G"]
    """Of the mean over layers."""
    ends: Float64[np.ndarray, "G 2"]
    """Smallest and largest of a layer."""


@styled
def draw_rate_match(rates: Sequence[Row]) -> Figure:
    """F02: achieved against target rate, and the relative error at each gain.

    Args:
        rates: rows of the rate-matched thresholds.
    """
    if not rates:
        return empty_figure("no thresholds were matched")
    definitions, labels = spike_definitions(rates), targets(rates)
    figure, grid = panel_grid(2, len(definitions), 4.9, share_y="row", heights=[1.25, 1])
    for j, definition in enumerate(definitions):
        rows = select(rates, spike_def_id=definition)
        colour = spike_colour(definition)
        marks = {
            label: target_mark(colour, place, len(labels)) for place, label in enumerate(labels)
        }
        grid[0, j].set_title(SPIKE_TITLE[definition], loc="left")
        _diagonal(grid[0, j], rows, marks)
        _errors(grid[1, j], rows, marks, gain_step(numbers(rates, "gain")))
        gain_axis(grid[1, j], numbers(rates, "gain"), label=True)
    if (numbers(rates, "layer_rate") > 0).any():
        log_axis(grid[0, 0], "y", numbers=5)
    grid[0, 0].set_ylabel(f"achieved rate of a layer\n({RATE})")
    grid[1, 0].set_ylabel("achieved over target − 1\n(percent)")
    legend(
        figure,
        [
            *target_entries(rates),
            key("in sample (calibration windows)", Mark(GREY)),
            key("out of sample (held-out windows)", Mark(GREY, filled=False)),
            key("achieved = target", color="0.6", linestyle="-", linewidth=0.7),
        ],
    )
    layers = 1 + max(row["layer"] for row in rates)
    below = f"Below: mean over the {layers} layers; bars: range over layers."
    missing = first_reason(rates, "out_of_sample_reason")
    note = f"Not everywhere out of sample: {plain(missing)}." if missing else ""
    foot(figure, small_print(rates, below, note, target_note(rates)))
    return figure


def _diagonal(panel: Axes, rows: Sequence[Row], marks: dict[str, Mark]) -> None:
    """Every layer's achieved rate against its target, at all gains."""
    for label, mark in marks.items():
        chosen = select(rows, target_label=label)
        for inside, name in _ACHIEVED.items():
            look = Mark(mark.colour, mark.marker, inside, 2.5 if inside else 3.5)
            achieved = numbers(chosen, name)
            achieved = np.where(achieved > 0, achieved, np.nan)  # the scale is logarithmic
            points(
                panel,
                numbers(chosen, "layer_rate"),
                achieved,
                look,
                label=plain(f"{label}, {name}"),
                zorder=3 if inside else 2,
                markeredgewidth=0.5,
            )
    wanted = numbers(rows, "layer_rate")
    wanted = wanted[wanted > 0]
    panel.set_xlabel(f"target rate of a layer ({RATE})")
    if not len(wanted):
        say(panel, "no layer has a target above zero")
        return
    ends = np.array([wanted.min(), wanted.max()])
    panel.plot(ends, ends, color="0.6", linewidth=0.7, zorder=1)
    log_axis(panel, "x", numbers=5)


def _errors(panel: Axes, rows: Sequence[Row], marks: dict[str, Mark], step: float) -> None:
    """Relative errors against gain."""
    drawn = False
    for place, (label, mark) in enumerate(marks.items()):
        chosen = select(rows, target_label=label)
        for inside, name in _ACHIEVED.items():
            error = _relative_error(chosen, name)
            aside = dodge(place, len(marks), step) + (0 if inside else _OUT_ASIDE * step)
            points(
                panel,
                error.gains + aside,
                error.mean,
                Mark(mark.colour, mark.marker, inside),
                ends=error.ends,
                label=plain(f"{label}, {name}"),
            )
            drawn |= defined(error.mean)
    if drawn:
        level(panel, 0.0)
    else:
        say(panel, "no layer has a target above zero")


def _relative_error(rows: Sequence[Row], name: str) -> _Error:
    """Achieved over target, less one, of the mean over layers and of single layers."""
    gains = np.unique(numbers(rows, "gain"))
    mean, ends = np.full(len(gains), np.nan), np.full((len(gains), 2), np.nan)
    for i, gain in enumerate(gains):
        at_gain = [row for row in rows if row["gain"] == gain]
        achieved, wanted = numbers(at_gain, name), numbers(at_gain, "layer_rate")
        kept = (wanted > 0) & np.isfinite(achieved)
        if kept.any():
            error = 100 * (achieved[kept] / wanted[kept] - 1)
            mean[i] = 100 * (achieved[kept].mean() / wanted[kept].mean() - 1)
            ends[i] = error.min(), error.max()
    return _Error(gains, mean, ends)
