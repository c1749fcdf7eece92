"""Parts that figures share: grids of panels, points with intervals, legends, small print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from avalattice.export.figures.style import (
    DOTTED,
    DOUBLE_COLUMN,
    EMPTY,
    HEADING_TYPE,
    LINE,
    SINGLE_COLUMN,
    SMALLEST_TYPE,
    Mark,
)
from avalattice.export.figures.words import gain_words, plain, wrapped

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panels: TypeAlias = np.ndarray[Any, np.dtype[np.object_]]
"""Axes by row and column."""

_HANDLE = 0.45  # inches beside a legend's text
_CHARACTER = 0.056  # inches of a legend's text
_MORE_LINES = 0.6  # inches
_INTERVAL = 0.8  # points
_LINE_HEIGHT = 9.5  # points, of the smallest type
_HEADING_GAP = 7.0  # points
_FEW_DECADES, _MANY_DECADES = 0.7, 1.5  # below, numbers are evenly spaced; above, powers of ten
_PLAIN_NUMBERS = (1e-2, 2e4)  # beyond these, numbers on a logarithmic scale are powers of ten


def panel_grid(
    n_rows: int,
    n_columns: int,
    height: float,
    *,
    share_x: bool | Literal["row", "col"] = False,
    share_y: bool | Literal["row", "col"] = False,
    heights: Sequence[float] | None = None,
    wide: bool = False,
) -> tuple[Figure, Panels]:
    """A figure of panels, at least one, on one page column if there is one column of panels.

    Args:
        n_rows: rows of panels.
        n_columns: columns of panels.
        height: of the whole figure, in inches; one on one page column is taller, since its legend
            and small print take more lines.
        share_x: between which panels the horizontal scale is one.
        share_y: between which panels the vertical scale is one.
        heights: of the rows, in relation to each other.
        wide: take the page's width for one column of panels too.

    Returns:
        the figure and its panels [n_rows, n_columns].
    """
    from matplotlib.figure import Figure

    across = n_columns > 1 or wide
    size = (DOUBLE_COLUMN, height) if across else (SINGLE_COLUMN, height + _MORE_LINES)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(
        max(n_rows, 1),
        max(n_columns, 1),
        squeeze=False,
        sharex=share_x,
        sharey=share_y,
        height_ratios=heights,
    )
    return figure, axes


def empty_figure(reason: str) -> Figure:
    """A figure of one panel that says why there is nothing to draw."""
    figure, axes = panel_grid(1, 1, 1.5)
    say(axes[0, 0], reason)
    return figure


def say(axes: Axes, reason: str) -> None:
    """Leave a panel empty, and say why."""
    axes.set_gid(EMPTY)
    for spine in axes.spines.values():
        spine.set_color("0.85")
    width = axes.get_position().width * axes.figure.bbox.width / axes.figure.dpi
    words = wrapped(plain(reason or "undefined"), 0.95 * width)
    axes.text(
        0.5,
        0.5,
        words,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color="0.35",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )


# ----------------------------------------------------------------------------------- points


def points(
    axes: Axes,
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    mark: Mark,
    *,
    ends: Float[np.ndarray, "n 2"] | None = None,
    upright: bool = True,
    **options: Any,
) -> Any:
    """Points with their intervals.

    Args:
        axes: the panel.
        x: horizontal places; NaN where there is no point.
        y: vertical places.
        mark: how they look.
        ends: of the intervals, in y, or in x if they lie.
        upright: intervals are in y.
        options: of the line through the points; none is drawn by default.

    Returns:
        the line that holds the points.
    """
    if ends is not None:
        _intervals(axes, x, y, ends, mark, upright=upright)
    (line,) = axes.plot(x, y, **{"linestyle": "none", "zorder": 3, **mark.options, **options})
    return line


def _intervals(
    axes: Axes,
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    ends: Float[np.ndarray, "n 2"],
    mark: Mark,
    *,
    upright: bool,
) -> None:
    """Intervals by their ends: a percentile interval need not hold its estimate."""
    kept = np.isfinite(ends).all(axis=1) & np.isfinite(x if upright else y)
    if not kept.any():
        return
    draw, place = (axes.vlines, x) if upright else (axes.hlines, y)
    draw(place[kept], *ends[kept].T, color=mark.colour, linewidth=_INTERVAL, zorder=2)


def defined(*columns: Float[np.ndarray, " n"]) -> bool:
    """Whether any number is defined."""
    return any(bool(np.isfinite(column).any()) for column in columns)


def dodge(index: int, of: int, step: float) -> float:
    """How far the index-th of several things that share a place is moved aside.

    >>> [dodge(i, 3, 0.1) for i in range(3)]
    [-0.1, 0.0, 0.1]
    """
    return step * (index - (of - 1) / 2)


def gain_step(gains: Iterable[float]) -> float:
    """By how much curves that share a panel are moved aside: little, compared with the grid."""
    places = np.unique(np.array(list(gains), dtype=np.float64))
    if len(places) < 2:
        return 0.002
    return float(min(0.12 * np.diff(places).min(), 0.012 * np.ptp(places)))


# ------------------------------------------------------------------------------ axes, legends


def gain_axis(axes: Axes, gains: Iterable[float], *, label: bool) -> None:
    """A horizontal axis of gains: a small tick at each, and numbers where there is room."""
    places = np.unique(np.array(list(gains), dtype=np.float64))
    extent = float(np.ptp(places)) or 0.2
    axes.set_xlim(places[0] - 0.06 * extent, places[-1] + 0.06 * extent)
    told = [places[0]]
    for place in places[1:]:
        if place - told[-1] > 0.11 * extent:
            told.append(place)
    axes.set_xticks(told, [gain_words(float(place)) for place in told])
    axes.set_xticks(places, minor=True)
    if label:
        axes.set_xlabel("gain g")


def whole_numbers(axes: Axes, which: Literal["x", "y"]) -> None:
    """An axis of layers or tokens has no numbers between them."""
    axes.locator_params(axis=which, integer=True)


def level(axes: Axes, value: float, *, upright: bool = False, **options: Any) -> Any:
    """A thin line across a panel at a value that others are compared with."""
    draw = axes.axvline if upright else axes.axhline
    look = {"color": "0.45", "linewidth": 0.7, "linestyle": DOTTED, "zorder": 1}
    return draw(value, **{**look, **options})


def category_axis(panels: Iterable[Axes], labels: Sequence[str]) -> None:
    """Vertical axes of categories, the first on top, named beside the first panel alone."""
    places = np.arange(len(labels))
    for number, panel in enumerate(panels):
        panel.set_yticks(places, labels)
        panel.tick_params(axis="y", length=0, labelleft=number == 0)
        panel.set_ylim(len(labels) - 0.5, -0.5)
        for place in places[1:] - 0.5:
            panel.axhline(place, color="0.92", linewidth=0.5, zorder=0)


def headings(panels: Sequence[Axes], words: Sequence[str]) -> None:
    """Headings at one height above panels that have titles of several lines of the smallest type.

    A heading that is empty is left out.
    """
    lines = [panel.get_title(loc="left").count("\n") + 1 for panel in panels]
    for panel, heading in zip(panels, words, strict=True):
        if heading:
            panel.annotate(
                heading,
                (0, 1),
                xytext=(0, _HEADING_GAP + _LINE_HEIGHT * max(lines)),
                xycoords="axes fraction",
                textcoords="offset points",
                fontsize=HEADING_TYPE,
            )


def log_axis(axes: Axes, which: Literal["x", "y"], *, numbers: int = 6) -> None:
    """A logarithmic scale with as many numbers as fit; once everything is drawn on it."""
    from matplotlib.ticker import (
        FuncFormatter,
        LogFormatterSciNotation,
        LogLocator,
        MaxNLocator,
        NullFormatter,
    )

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    decades = float(np.log10(high / low))
    if decades < _FEW_DECADES:
        axis.set_major_locator(MaxNLocator(numbers - 1))
    else:
        steps = (1.0,) if decades > _MANY_DECADES else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=steps, numticks=numbers))
    axis.set_minor_formatter(NullFormatter())
    if low > _PLAIN_NUMBERS[0] and high < _PLAIN_NUMBERS[1]:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        always = (float("inf"), float("inf"))
        axis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=always))


def key(label: str, mark: Mark | None = None, **options: Any) -> Artist:
    """A legend entry that stands for no artist in particular."""
    from matplotlib.lines import Line2D

    look = {"linestyle": "none", "linewidth": LINE} | (mark.options if mark else {})
    return Line2D([], [], label=label, **{**look, **options})


def legend(figure: Figure, entries: Sequence[Artist]) -> None:
    """A legend above the panels, in as many columns as fit."""
    widest = max(len(str(entry.get_label())) for entry in entries) * _CHARACTER + _HANDLE
    columns = max(1, min(len(entries), int(figure.get_figwidth() / widest)))
    figure.legend(
        handles=list(entries),
        loc="outside upper left",
        ncols=columns,
        columnspacing=1.5,
        borderpad=0.2,
    )


def foot(figure: Figure, text: str) -> None:
    """Small print under the panels."""
    if text:
        figure.supxlabel(
            wrapped(text, figure.get_figwidth() - 0.15),
            x=0.01,
            ha="left",
            fontsize=SMALLEST_TYPE,
            color="0.25",
        )
