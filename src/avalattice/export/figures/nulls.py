"""F10: measured branching ratios beside what each null expects.

A null whose expectation reaches the measured ratio accounts for it. Ticks are closed forms, points
the means of draws; their bars are the spread of draws, not intervals of the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from avalattice.canon import WindowSet
from avalattice.export.figures.curves import gain_entries
from avalattice.export.figures.panels import (
    category_axis,
    defined,
    empty_figure,
    foot,
    key,
    legend,
    panel_grid,
    points,
    say,
)
from avalattice.export.figures.rows import (
    Row,
    first_reason,
    is_baseline,
    numbers,
    select,
    spike_definitions,
    targets,
)
from avalattice.export.figures.style import BLACK, GREY, Mark, spike_colour, styled
from avalattice.export.figures.words import (
    NARROW_UNIT,
    SPIKE_WORDS,
    SYMBOL,
    plain,
    small_print,
    target_note,
    target_words,
)
from avalattice.lattice.rasters import GIVEN_COUNTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES: Final = ("b_time", "b_depth")
_APART: Final = 0.17
_NORMAL: Final = 1.96


@dataclass(frozen=True)
class _Kind:
    """One row of a panel."""

    words: str
    value: str
    """Suffix of the column that holds the measured ratio or the draws' mean."""
    spread: str = ""
    """Suffix of the column of the draws' standard deviation."""
    exact: str = ""
    """Suffix of the column of the closed form."""


_KINDS: Final = (
    _Kind("measured", ""),
    _Kind("rows permuted", "_perm_mean", "_perm_sd", "_perm_exact"),
    _Kind("rows shifted", "_shift_mean", "_shift_sd", "_shift_exact"),
    _Kind("exchanged within token ids", "_token_id_mean", "_token_id_sd", "_token_id_exact"),
    _Kind("input shuffled", "_tokshuffle"),
)


@styled
def draw_null_comparison(nulls: Sequence[Row]) -> Figure:
    """F10: b_time and b_depth, measured and under each null, on held-out windows.

    Args:
        nulls: rows of the null statistics; those of calibration windows are drawn where there are
            no others, at gain 1, or at any gain if they are of given counts.
    """
    held_out = select(nulls, window_set=WindowSet.RASTER)
    rows = held_out or [row for row in nulls if is_baseline(row, "gain") or _is_given(row)]
    if not rows:
        return empty_figure("no null was compared")
    definitions, labels = spike_definitions(rows), targets(rows)
    columns = [(definition, name) for definition in definitions for name in _NAMES]
    figure, grid = panel_grid(
        len(labels), len(columns), 1.0 + 1.2 * len(labels), share_x=True, share_y=True
    )
    for i, label in enumerate(labels):
        for j, (definition, name) in enumerate(columns):
            panel = grid[i, j]
            chosen = select(rows, spike_def_id=definition, target_label=label)
            _panel(panel, chosen, name, spike_colour(definition))
            if i == 0:
                panel.set_title(f"{SPIKE_WORDS[definition]}, {SYMBOL[name]}", loc="left")
            if i == len(labels) - 1:
                panel.set_xlabel(NARROW_UNIT[name])
        grid[i, 0].set_ylabel(target_words(label))
        category_axis(grid[i], [kind.words for kind in _KINDS])
    grid[0, 0].set_xlim(left=0.0)
    legend(
        figure,
        [
            *gain_entries(rows),
            key("closed form", Mark(BLACK, "|", size=6)),
            key("bars: ± 1.96 standard deviations of null draws", linestyle="-", color=GREY),
        ],
    )
    foot(figure, small_print(rows, _notes(rows), target_note(rows)))
    return figure


def _panel(panel: Axes, rows: Sequence[Row], name: str, colour: tuple[float, float, float]) -> None:
    """Every kind, at gain 1 and at g*."""
    drawn = False
    for row in rows:
        at_one = is_baseline(row, "gain")
        for place, kind in enumerate(_KINDS):
            y = np.array([place + (-_APART if at_one else _APART)])
            value = _number(row, f"{name}{kind.value}")
            mark = Mark(colour if not kind.value else GREY, "o", at_one)
            spread = _NORMAL * _number(row, f"{name}{kind.spread}") if kind.spread else np.nan * y
            points(
                panel,
                value,
                y,
                mark,
                ends=np.stack([value - spread, value + spread], axis=1),
                upright=False,
                label=f"{kind.words}, {row['gain']}",
            )
            if kind.exact:
                tick = replace(mark, colour=BLACK, marker="|", size=6)
                points(panel, _number(row, f"{name}{kind.exact}"), y, tick, zorder=4)
            drawn |= defined(value)
    if not drawn:
        say(panel, first_reason(rows, "null_reason") or "no such condition")


def _is_given(row: Row) -> bool:
    return bool(row["spike_def_id"] == GIVEN_COUNTS)


def _number(row: Row, column: str) -> np.ndarray:
    """A column that not every null has."""
    return numbers([row], column) if column in row else np.array([np.nan])


def _notes(rows: Sequence[Row]) -> str:
    """How many draws there were, and why a null is missing."""
    draws = f"{max(row['replicates'] for row in rows)} draws of each raster null."
    reasons = {
        "Exchange within token ids": first_reason(rows, "token_id_reason"),
        "Shuffled input": first_reason(rows, "tokshuffle_reason"),
    }
    missing = [f"{null}: {plain(reason)}." for null, reason in reasons.items() if reason]
    return " ".join([draws, *missing])
