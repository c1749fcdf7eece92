"""F06 and F07: gain 1 beside g*, and their paired difference, on Dataset B and on ARC.

A row is a spike definition and a target. Above stand the values at both gains, below the difference
with its interval, which is what a comparison rests on. Where g* is 1 there is nothing to compare,
and the row says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from avalattice.canon import GCondition, Scoring
from avalattice.export.figures.panels import (
    category_axis,
    defined,
    empty_figure,
    foot,
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
    ends,
    first_reason,
    is_baseline,
    numbers,
    select,
    spike_definitions,
    targets,
)
from avalattice.export.figures.style import (
    BLACK,
    DOTTED,
    EMPTY,
    GREY,
    GSTAR_MARKER,
    SPIKE_MARKER,
    Mark,
    spike_colour,
    styled,
)
from avalattice.export.figures.words import (
    NARROW_UNIT,
    SCORING_WORDS,
    SPIKE_WORDS,
    SYMBOL,
    gain_words,
    plain,
    small_print,
    target_note,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_APART: Final = 0.16  # of a row, between gain 1 and g*
_SIZE: Final = {GCondition.G1: 4.0, GCondition.GSTAR: 7.0}
_LESS: Final = "g* less g = 1"
_GENERALIZATION: Final = {
    "b_tot": (SYMBOL["b_tot"], NARROW_UNIT["b_tot"]),
    "delta_b_depth_shift": (SYMBOL["delta_b_depth_shift"], NARROW_UNIT["delta_b_depth_shift"]),
    "chi": (SYMBOL["chi"], NARROW_UNIT["chi"]),
    "ppl": ("perplexity", "per token"),
}
"""Columns of T02 that are drawn, each with its symbol and unit."""


_ACCURACY: Final = ("accuracy", "accuracy per character", f"accuracy, {_LESS}")


@styled
def draw_generalization(generalization: Sequence[Row]) -> Figure:
    """F06: Dataset B at gain 1 and at g*, with thresholds and g* of Dataset A.

    Args:
        generalization: rows of T02.
    """
    if not generalization:
        return empty_figure("the table of Dataset B has no rows")
    cases = _cases(generalization)
    figure, grid = panel_grid(2, len(_GENERALIZATION), 2.1 + 0.42 * len(cases), share_y=True)
    for column, (name, (symbol, unit)) in enumerate(_GENERALIZATION.items()):
        above, below = grid[:, column]
        _values(above, cases, name)
        _differences(below, cases, f"{name}_diff")
        above.set_title(symbol, loc="left")
        below.set_title(f"{symbol}, {_LESS}", loc="left", fontsize=7)
        above.set_xlabel(unit)
        below.set_xlabel(unit)
        if name == "chi" and defined(numbers(generalization, name)):
            log_axis(above, "x", numbers=4)
    for panels in grid:
        category_axis(panels, [_case_words(case) for case in cases])
    _legend(figure)
    fixed = "Thresholds and g* are those of Dataset A. Bars: 95 % window bootstrap, paired."
    foot(figure, small_print(generalization, fixed, target_note(generalization)))
    return figure


@styled
def draw_arc_accuracy(accuracy: Sequence[Row]) -> Figure:
    """F07: ARC accuracy at gain 1 and at g*, for both scorings, with chance.

    Args:
        accuracy: rows of T03.
    """
    if not accuracy:
        return empty_figure("the table of ARC has no rows")
    scorings = [scoring for scoring in Scoring if select(accuracy, scoring=scoring)]
    n_cases = len(_cases(accuracy))
    figure, grid = panel_grid(
        len(scorings), 3, 1.0 + len(scorings) * max(1.4, 0.55 + 0.25 * n_cases), share_x="col"
    )
    for panels, scoring in zip(grid, scorings, strict=True):
        rows = select(accuracy, scoring=scoring)
        cases = _cases(rows)
        for panel, name in zip(panels, ("accuracy", "accuracy_norm"), strict=False):
            _values(panel, cases, name)
            level(panel, rows[0]["chance"], upright=True, color=BLACK)
        _differences(panels[2], cases, "accuracy_diff")
        panels[0].set_ylabel(SCORING_WORDS[scoring])
        category_axis(panels, [_case_words(case) for case in cases])
    for panel, title in zip(grid[0], _ACCURACY, strict=True):
        panel.set_title(title, loc="left")
    for panel in grid[-1]:
        panel.set_xlabel("share of questions")
    ends_of = np.array([panel.get_xlim() for panel in grid[0, :2]])
    for panel in grid[0, :2]:
        panel.set_xlim(ends_of.min(), ends_of.max())
    _legend(figure, key("chance", color=BLACK, linestyle=DOTTED, linewidth=0.7))
    asked = f"{max(row['n_questions'] for row in accuracy)} questions."
    bars = "Bars: 95 % bootstrap over questions, paired."
    norm = "Per character: the option of largest log-probability per character."
    foot(figure, small_print(accuracy, asked, norm, bars, target_note(accuracy)))
    return figure


# ------------------------------------------------------------------------------- rows and panels


def _cases(rows: Sequence[Row]) -> list[dict[GCondition, Row]]:
    """The rows of each spike definition and target, by compared gain."""
    cases = []
    for definition in spike_definitions(rows):
        for label in targets(rows):
            found = select(rows, spike_def_id=definition, target_label=label)
            if found:
                cases.append({GCondition(row["g_condition"]): row for row in found})
    return cases


def _case_words(case: dict[GCondition, Row]) -> str:
    row = next(iter(case.values()))
    at = case.get(GCondition.GSTAR)
    gstar = "no g*" if at is None or at["g"] is None else f"g* = {gain_words(at['g'])}"
    return f"{SPIKE_WORDS[row['spike_def_id']]}, {plain(row['target_label'])}, {gstar}"


def _values(panel: Axes, cases: Sequence[dict[GCondition, Row]], name: str) -> None:
    """The values at both gains."""
    drawn = False
    for place, case in enumerate(cases):
        for condition, row in case.items():
            value = numbers([row], name)
            aside = -_APART if condition is GCondition.G1 else _APART
            y = np.array([place + aside])
            points(
                panel,
                value,
                y,
                _mark(row, condition),
                ends=ends([row], name),
                upright=False,
                label=f"{place}, {condition}",
            )
            drawn |= defined(value)
    if not drawn:
        rows = [row for case in cases for row in case.values()]
        say(panel, first_reason(rows, "reason") or "not measured")


def _mark(row: Row, condition: GCondition) -> Mark:
    definition = row["spike_def_id"]
    at_gstar = condition is GCondition.GSTAR
    marker = GSTAR_MARKER if at_gstar else SPIKE_MARKER[definition]
    return Mark(spike_colour(definition), marker, not at_gstar, _SIZE[condition])


def _differences(panel: Axes, cases: Sequence[dict[GCondition, Row]], name: str) -> None:
    """The paired differences, and why there are none."""
    drawn = False
    for place, case in enumerate(cases):
        row = case.get(GCondition.GSTAR)
        if row is None or row[name] is None:
            _absent(panel, place, row)
            continue
        points(
            panel,
            numbers([row], name),
            np.array([float(place)]),
            _mark(row, GCondition.GSTAR),
            ends=ends([row], name),
            upright=False,
            label=f"{place}, {name}",
        )
        drawn = True
    if drawn:
        level(panel, 0.0, upright=True)
    else:
        panel.set_gid(EMPTY)


def _absent(panel: Axes, place: int, row: Row | None) -> None:
    """Why a row has no difference."""
    if row is not None and is_baseline(row):
        words = "gains coincide"
    else:
        words = (
            "no g*" if row is None else first_reason([row], "diff_reason", "reason") or "undefined"
        )
    panel.annotate(
        plain(words),
        (0.5, place),
        xycoords=("axes fraction", "data"),
        ha="center",
        va="center",
        color=GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )


def _legend(figure: Figure, *more: Artist) -> None:
    entries = [
        key(f"{SPIKE_WORDS[definition]}, g = 1", Mark(spike_colour(definition), marker, size=4))
        for definition, marker in SPIKE_MARKER.items()
    ]
    legend(figure, [*entries, key("g*", Mark(BLACK, GSTAR_MARKER, filled=False, size=7)), *more])
