"""F05: how g* was chosen on Dataset A, and whether the data determine it.

Under each curve stands the share of window-bootstrap replicates that choose each gain: one tall bar
where g* is well determined, a row of short ones where it is an accident.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from avalattice.export.documents import GStarDocument, GStarEntry
from avalattice.export.figures.curves import (
    BARS,
    HELD_OUT_ASIDE,
    NO_ROWS,
    choice_of,
    draw_expected,
    draw_held_out,
    draw_in_sample,
    expected_entry,
    window_set_entries,
)
from avalattice.export.figures.panels import (
    defined,
    empty_figure,
    foot,
    gain_axis,
    gain_step,
    headings,
    key,
    legend,
    level,
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
from avalattice.export.figures.style import (
    DOUBLE_COLUMN,
    GREEN,
    GREY,
    GSTAR_MARKER,
    SINGLE_COLUMN,
    SMALLEST_TYPE,
    Mark,
    spike_colour,
    styled,
)
from avalattice.export.figures.words import (
    SPIKE_TITLE,
    SYMBOL,
    interval_words,
    plain,
    small_print,
    target_note,
    target_words,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CURVE, _SHARES = 3.2, 1.0  # heights, in relation to each other
_STAR: Final = Mark(GREEN, GSTAR_MARKER, size=9)
_SHADE: Final = 0.15
_BAR: Final = 4.0  # steps that a bar is wide


@styled
def draw_gstar_selection(summary: Sequence[Row], gstar: GStarDocument) -> Figure:
    """F05: b_tot against gain with g*, the crossing, its interval and the verdict in words.

    Args:
        summary: rows of T01.
        gstar: the choices of g*.
    """
    if not summary:
        return empty_figure(NO_ROWS)
    definitions, labels = spike_definitions(summary), targets(summary)
    figure, grid = panel_grid(
        2 * len(labels),
        len(definitions),
        1.0 + 2.1 * len(labels),
        share_x=True,
        share_y="row",
        heights=[_CURVE, _SHARES] * len(labels),
    )
    gains = numbers(summary, "g")
    width = (DOUBLE_COLUMN if len(definitions) > 1 else SINGLE_COLUMN) / len(definitions) - 0.6
    for i, j in product(range(len(labels)), range(len(definitions))):
        curve, strip = grid[2 * i : 2 * i + 2, j]
        rows = select(summary, spike_def_id=definitions[j], target_label=labels[i])
        choice = choice_of(gstar, definitions[j], labels[i])
        verdict = wrapped(verdict_words(choice), width)
        curve.set_title(verdict, loc="left", fontsize=SMALLEST_TYPE, color=GREEN)
        _curve(curve, rows, choice, gain_step(gains))
        _strip(strip, choice, gain_step(gains))
        gain_axis(strip, gains, label=i == len(labels) - 1)
    for i, label in enumerate(labels):
        grid[2 * i, 0].set_ylabel(f"{target_words(label)}\n{SYMBOL['b_tot']}")
        grid[2 * i + 1, 0].set_ylabel("share")
    headings(grid[0], [SPIKE_TITLE[definition] for definition in definitions])
    legend(figure, _entries(summary))
    replicates = f"{gstar.bootstrap_reps} window-bootstrap replicates"
    shares = f"Share: of {replicates}, those that choose the gain."
    foot(figure, small_print(summary, BARS, shares, target_note(summary)))
    return figure


def verdict_words(choice: GStarEntry | None) -> str:
    """The choice, whether it is identifiable, and why not."""
    if choice is None:
        return "g* was not chosen"
    if choice.gstar is None:
        return f"no g*: {plain(choice.reason or 'undefined')}"
    where = ", at the grid's edge" if choice.at_grid_edge else ""
    if not choice.identifiable:
        return f"g* = {choice.gstar}{where}: not identifiable, {plain(choice.reason or '')}"
    found = interval_words(choice.crossing, choice.crossing_ci_low, choice.crossing_ci_high)
    return f"g* = {choice.gstar}{where}: identifiable, {SYMBOL['b_tot']} = 1 at g = {found}"


def _curve(axes: Axes, rows: Sequence[Row], choice: GStarEntry | None, step: float) -> None:
    """b_tot about the level of one, with g* and the crossing."""
    if not defined(numbers(rows, "b_tot")):
        say(axes, first_reason(rows, "branching_reason") or "no such condition")
        return
    mark = Mark(spike_colour(rows[0]["spike_def_id"]))
    level(axes, 1.0)
    draw_expected(axes, rows, "b_tot", Mark(GREY))
    draw_in_sample(axes, rows, "b_tot", mark)
    draw_held_out(axes, rows, "b_tot", mark, HELD_OUT_ASIDE * step)
    if choice is not None and choice.gain is not None:
        _choice(axes, float(choice.gain), choice)


def _choice(axes: Axes, gain: float, choice: GStarEntry) -> None:
    """A star at g*, a line at the crossing, a band over its interval."""
    low, high = choice.crossing_ci_low, choice.crossing_ci_high
    if low is not None and high is not None:
        axes.axvspan(low, high, color=GREEN, alpha=_SHADE, linewidth=0)
    if choice.crossing is not None:
        axes.axvline(choice.crossing, color=GREEN, linestyle="-.", linewidth=0.9)
    b_tot = np.array([np.nan if choice.b_tot is None else choice.b_tot])
    points(axes, np.array([gain]), b_tot, _STAR, zorder=2.5, label="g*")


def _strip(axes: Axes, choice: GStarEntry | None, step: float) -> None:
    """The share of replicates that choose each gain."""
    shares = {} if choice is None else choice.shares
    if not shares:
        say(axes, "no replicates")
        return
    gains = [float(gain) for gain in shares]
    axes.bar(gains, list(shares.values()), width=_BAR * step, color=GREEN, linewidth=0)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 1])


def _entries(summary: Sequence[Row]) -> list[Artist]:
    return [
        *window_set_entries(summary),
        key("g*", _STAR),
        key("crossing", color=GREEN, linestyle="-."),
        key("its 95 % interval", color=GREEN, alpha=2 * _SHADE, linestyle="-", linewidth=6),
        expected_entry(),
    ]
