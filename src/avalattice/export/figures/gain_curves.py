"""F03, F04 and F09: what is measured at each gain, beside its null and with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from jaxtyping import Float64

from avalattice.canon import WindowSet
from avalattice.export.documents import GStarDocument
from avalattice.export.figures.curves import (
    BARS,
    HELD_OUT_ASIDE,
    NO_ROWS,
    choice_of,
    draw_expected,
    draw_held_out,
    draw_in_sample,
    expected_entry,
    target_entries,
    window_set_entries,
)
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
    say,
)
from avalattice.export.figures.rows import (
    Row,
    first_reason,
    gain_of,
    in_order,
    numbers,
    select,
    spike_definitions,
    targets,
)
from avalattice.export.figures.style import (
    DOTTED,
    GREEN,
    SMALLEST_TYPE,
    Mark,
    spike_colour,
    styled,
    target_mark,
)
from avalattice.export.figures.words import (
    SPIKE_TITLE,
    SYMBOL,
    axis_label,
    small_print,
    target_note,
    target_words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ConditionKey: TypeAlias = tuple[str, str, str, Decimal]
"""Window set, spike definition, target and gain."""

_BRANCHING: Final = ("b_time", "b_depth", "b_tot")
_SURPLUS: Final = ("delta_b_time", "delta_b_depth_shift", "delta_b_tot")
_NORMAL: Final = 1.96


@styled
def draw_branching_curves(summary: Sequence[Row], nulls: Sequence[Row] = ()) -> Figure:
    """F03: branching ratios against gain, with intervals, beside the permutation null.

    Args:
        summary: rows of T01.
        nulls: rows of the null statistics, for the width of the null's band; a line without them.
    """
    if not summary:
        return empty_figure(NO_ROWS)
    figure, panels = _target_curves(summary, _BRANCHING)
    spread = _null_spread(nulls)
    for panel in panels:
        for label, mark in panel.marks.items():
            rows = select(panel.rows, target_label=label)
            draw_expected(panel.axes, rows, panel.name, mark)
            _null_band(panel.axes, rows, panel.name, spread)
        if panel.name == "b_tot":
            level(panel.axes, 1.0)
    legend(figure, [*target_entries(summary), *window_set_entries(summary), expected_entry()])
    band = "Bands: ± 1.96 standard deviations of null draws." if nulls else ""
    line = f"Dotted: {SYMBOL['b_tot']} = 1, by which g* is chosen."
    foot(figure, small_print(summary, BARS, band, line, target_note(summary)))
    return figure


@styled
def draw_null_surplus(summary: Sequence[Row]) -> Figure:
    """F04: surplus of the branching ratios over the nulls against gain, with intervals.

    Time and total are compared with the permutation null, depth with the circular shift.

    Args:
        summary: rows of T01.
    """
    if not summary:
        return empty_figure(NO_ROWS)
    figure, panels = _target_curves(summary, _SURPLUS)
    for panel in panels:
        level(panel.axes, 0.0)
    legend(figure, [*target_entries(summary), *window_set_entries(summary)])
    against = "Surplus over the permutation null; that in depth over the circular shift."
    foot(figure, small_print(summary, against, BARS, target_note(summary)))
    return figure


@styled
def draw_chi_curves(summary: Sequence[Row], gstar: GStarDocument) -> Figure:
    """F09: susceptibility against gain, with intervals, the grid's ends and g*.

    Args:
        summary: rows of T01.
        gstar: the choices of g*.
    """
    if not summary:
        return empty_figure(NO_ROWS)
    definitions, labels = spike_definitions(summary), targets(summary)
    figure, grid = panel_grid(
        len(labels), len(definitions), 0.9 + 1.35 * len(labels), share_x=True, share_y="row"
    )
    gains = numbers(summary, "g")
    for i, j in product(range(len(labels)), range(len(definitions))):
        rows = select(summary, spike_def_id=definitions[j], target_label=labels[i])
        gain_axis(grid[i, j], gains, label=i == len(labels) - 1)
        _chi_panel(grid[i, j], rows, HELD_OUT_ASIDE * gain_step(gains))
        _mark_gstar(grid[i, j], gstar, definitions[j], labels[i])
    for panel, definition in zip(grid[0], definitions, strict=True):
        panel.set_title(SPIKE_TITLE[definition], loc="left")
    for panels, label in zip(grid, labels, strict=True):
        panels[0].set_ylabel(f"{target_words(label)}\n{axis_label('chi', lines=False)}")
        if (numbers(select(summary, target_label=label), "chi") > 0).any():
            log_axis(panels[0], "y", numbers=5)  # shared by the row
    ends = key("larger of the grid's ends", color="0.45", linestyle=DOTTED)
    marked = key("g*", color=GREEN, linestyle="-.")
    legend(figure, [*window_set_entries(summary), ends, marked])
    foot(figure, small_print(summary, BARS, target_note(summary)))
    return figure


# ------------------------------------------------------------------------------- F03 and F04


@dataclass(frozen=True)
class _Panel:
    """A panel that holds one quantity of one spike definition."""

    axes: Axes
    name: str
    rows: list[Row]
    marks: dict[str, Mark]
    """By target."""


def _target_curves(summary: Sequence[Row], names: Sequence[str]) -> tuple[Figure, list[_Panel]]:
    """Quantities by row, spike definitions by column; targets are curves of one panel.

    Returns:
        the figure, and the panels that hold a curve.
    """
    definitions, labels = spike_definitions(summary), targets(summary)
    figure, grid = panel_grid(
        len(names), len(definitions), 0.95 + 1.75 * len(names), share_x=True, share_y="row"
    )
    gains = numbers(summary, "g")
    drawn = []
    for i, j in product(range(len(names)), range(len(definitions))):
        colour = spike_colour(definitions[j])
        marks = {label: target_mark(colour, n, len(labels)) for n, label in enumerate(labels)}
        rows = select(summary, spike_def_id=definitions[j])
        panel = _Panel(grid[i, j], names[i], rows, marks)
        gain_axis(panel.axes, gains, label=i == len(names) - 1)
        if _draw_targets(panel, gain_step(gains)):
            drawn.append(panel)
    for axes, definition in zip(grid[0], definitions, strict=True):
        axes.set_title(SPIKE_TITLE[definition], loc="left")
    for axes, name in zip(grid[:, 0], names, strict=True):
        axes.set_ylabel(axis_label(name))
    return figure, drawn


def _draw_targets(panel: _Panel, step: float) -> bool:
    """The curves of one panel; whether there are any."""
    if not defined(numbers(panel.rows, panel.name)):
        say(panel.axes, first_reason(panel.rows, "branching_reason", "null_reason"))
        return False
    for place, (label, mark) in enumerate(panel.marks.items()):
        rows, aside = select(panel.rows, target_label=label), dodge(place, len(panel.marks), step)
        draw_in_sample(panel.axes, rows, panel.name, mark, aside)
        draw_held_out(panel.axes, rows, panel.name, mark, aside + HELD_OUT_ASIDE * step)
    return True


def _null_spread(nulls: Sequence[Row]) -> Mapping[ConditionKey, dict[str, float]]:
    """Standard deviations of the ratios under permutation; the two sums are uncorrelated."""
    spread = {}
    for row in nulls:
        time, depth = (
            math.nan if row[name] is None else row[name]
            for name in ("b_time_perm_sd", "b_depth_perm_sd")
        )
        ratios = {"b_time": time, "b_depth": depth, "b_tot": math.hypot(time, depth)}
        spread[_condition(row, row["gain"])] = ratios
    return spread


def _condition(row: Row, gain: float) -> ConditionKey:
    return row["window_set"], row["spike_def_id"], row["target_label"], gain_of(gain)


def _null_band(
    axes: Axes,
    rows: Sequence[Row],
    name: str,
    spread: Mapping[ConditionKey, dict[str, float]],
) -> None:
    """How far draws of the permutation null reach about its expectation."""
    kept = in_order(select(rows, window_set=WindowSet.CALIBRATION), "g")
    reach = _NORMAL * _spread_of(kept, name, spread)
    if defined(reach):
        expected = numbers(kept, f"{name}_perm_exact")
        low, high = expected - reach, expected + reach
        axes.fill_between(numbers(kept, "g"), low, high, color="0.8", linewidth=0, zorder=1)


def _spread_of(
    rows: Sequence[Row], name: str, spread: Mapping[ConditionKey, dict[str, float]]
) -> Float64[np.ndarray, " n"]:
    found = (spread.get(_condition(row, row["g"]), {}) for row in rows)
    return np.array([ratios.get(name, math.nan) for ratios in found], dtype=np.float64)


# --------------------------------------------------------------------------------------- F09


def _chi_panel(axes: Axes, rows: Sequence[Row], aside: float) -> None:
    """chi of one spike definition and target."""
    if not defined(numbers(rows, "chi")):
        say(axes, first_reason(rows, "chi_reason") or "no such condition")
        return
    mark = Mark(spike_colour(rows[0]["spike_def_id"]))
    draw_in_sample(axes, rows, "chi", mark)
    draw_held_out(axes, rows, "chi", mark, aside)
    inside = in_order(select(rows, window_set=WindowSet.CALIBRATION), "g")
    ends = numbers([inside[0], inside[-1]], "chi") if len(inside) > 2 else np.array([np.nan])
    if defined(ends):
        level(axes, float(np.nanmax(ends)))  # what an interior maximum must exceed


def _mark_gstar(axes: Axes, gstar: GStarDocument, definition: str, label: str) -> None:
    """A line at g*, with a word of doubt where the data do not determine it."""
    choice = choice_of(gstar, definition, label)
    if choice is None or choice.gain is None:
        return
    axes.axvline(float(choice.gain), color=GREEN, linestyle="-.", linewidth=0.9, zorder=1.5)
    doubt = "" if choice.identifiable else ", not identifiable"
    words = f"g* = {choice.gstar}{doubt}"
    axes.set_title(words, loc="right", fontsize=SMALLEST_TYPE, color=GREEN)
