"""F08: both spike definitions side by side, on held-out windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from avalattice.canon import WindowSet
from avalattice.export.figures.panels import (
    defined,
    dodge,
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
    GREY,
    GSTAR_MARKER,
    SPIKE_MARKER,
    Mark,
    spike_colour,
    styled,
)
from avalattice.export.figures.words import (
    SPIKE_WORDS,
    axis_label,
    plain,
    small_print,
    target_note,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES: Final = ("b_tot", "delta_b_depth_shift", "chi")
_APART: Final = 0.17
_EXPECTED: Final = {"b_tot": "b_tot_perm_exact"}
_REASONS: Final = ("branching_reason", "null_reason", "chi_reason")


@styled
def draw_spike_definitions(summary: Sequence[Row]) -> Figure:
    """F08: b_tot, its surplus in depth and chi of both spike definitions, by target.

    Args:
        summary: rows of T01; those of held-out windows are drawn, at gain 1 and at g*.
    """
    rows = select(summary, window_set=WindowSet.RASTER)
    if not rows:
        return empty_figure("no held-out windows were summarised")
    labels = targets(rows)
    figure, grid = panel_grid(1, len(_NAMES), 3.0)
    for panel, name in zip(grid[0], _NAMES, strict=True):
        _quantity(panel, rows, name, labels)
    level(grid[0, 1], 0.0)
    _legend(figure, rows)
    bars = "Bars: 95 % window bootstrap. Where g* is 1 there is one point."
    foot(figure, small_print(rows, bars, target_note(rows)))
    return figure


def _quantity(panel: Axes, rows: Sequence[Row], name: str, labels: Sequence[str]) -> None:
    """One quantity by target; definitions and gains stand beside each other."""
    panel.set_ylabel(axis_label(name))
    panel.set_xlabel("target")
    if not defined(numbers(rows, name)):
        say(panel, first_reason(rows, *_REASONS))
        return
    kinds = [
        (definition, at_one) for definition in spike_definitions(rows) for at_one in (True, False)
    ]
    for place, (definition, at_one) in enumerate(kinds):
        kept = [row for row in select(rows, spike_def_id=definition) if is_baseline(row) is at_one]
        if not kept:
            continue
        x = np.array([labels.index(row["target_label"]) for row in kept], dtype=np.float64)
        x += dodge(place, len(kinds), _APART)
        points(
            panel,
            x,
            numbers(kept, name),
            _mark(definition, at_one=at_one),
            ends=ends(kept, name, prefix="opt_"),
            label=f"{definition}, {at_one}",
        )
        if name in _EXPECTED:
            expected = Mark(GREY, "_", size=7)
            points(panel, x, numbers(kept, _EXPECTED[name]), expected, zorder=2)
    panel.set_xticks(range(len(labels)), [plain(label) for label in labels])
    panel.set_xlim(-0.5, len(labels) - 0.5)
    if name == "chi" and (numbers(rows, name) > 0).any():
        log_axis(panel, "y")


def _mark(definition: str, *, at_one: bool) -> Mark:
    colour = spike_colour(definition)
    if at_one:
        return Mark(colour, SPIKE_MARKER[definition])
    return Mark(colour, GSTAR_MARKER, filled=False, size=7)


def _legend(figure: Figure, rows: Sequence[Row]) -> None:
    entries = [
        key(f"{SPIKE_WORDS[definition]}, g = 1", _mark(definition, at_one=True))
        for definition in spike_definitions(rows)
    ]
    star = key("g*", Mark(BLACK, GSTAR_MARKER, filled=False, size=7))
    legend(figure, [*entries, star, key("expected under permutation", Mark(GREY, "_", size=7))])
