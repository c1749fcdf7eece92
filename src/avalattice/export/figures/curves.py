"""What figures of curves against gain share: F03, F04, F05 and F09.

Curves run over the gain grid on the calibration windows, on which tau was fitted; open markers are
other windows, at gain 1 and at g*. What shares a place is moved aside a little, so that intervals
stand beside each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from avalattice.canon import CONST, WindowSet
from avalattice.export.documents import GStarDocument, GStarEntry
from avalattice.export.figures.panels import key, points
from avalattice.export.figures.rows import (
    Row,
    ends,
    in_order,
    numbers,
    select,
    targets,
    without_gain,
)
from avalattice.export.figures.style import GREY, Mark, target_mark
from avalattice.export.figures.words import plain, target_words, window_words

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

NO_ROWS: Final = "the summary table has no rows"
BARS: Final = "Bars: 95 % window bootstrap."
HELD_OUT_ASIDE: Final = 2.0
"""By how many steps held-out points are moved aside of the curve."""
_PREFIX: Final = "opt_"
_SMALL: Final = 1.5  # points: the markers of a null


def draw_in_sample(
    panel: Axes, rows: Sequence[Row], name: str, mark: Mark, aside: float = 0.0
) -> None:
    """The curve over the grid, with intervals."""
    kept = in_order(select(rows, window_set=WindowSet.CALIBRATION), "g")
    _draw(panel, kept, name, mark, aside, linestyle="-")


def draw_held_out(
    panel: Axes, rows: Sequence[Row], name: str, mark: Mark, aside: float = 0.0
) -> None:
    """Open markers, with intervals."""
    kept = in_order(select(rows, window_set=WindowSet.RASTER), "g")
    _draw(panel, kept, name, replace(mark, filled=False), aside)


def _draw(
    panel: Axes, rows: Sequence[Row], name: str, mark: Mark, aside: float, **options: Any
) -> None:
    if rows:
        label = plain(f"{rows[0]['target_label']}, {rows[0]['window_set']}")
        x, y = numbers(rows, "g") + aside, numbers(rows, name)
        points(panel, x, y, mark, ends=ends(rows, name, prefix=_PREFIX), label=label, **options)


def draw_expected(panel: Axes, rows: Sequence[Row], name: str, mark: Mark) -> None:
    """A dashed line at what the permutation null expects of a ratio."""
    kept = in_order(select(rows, window_set=WindowSet.CALIBRATION), "g")
    if kept:
        points(
            panel,
            numbers(kept, "g"),
            numbers(kept, f"{name}_perm_exact"),
            replace(mark, size=_SMALL),
            label=plain(f"{kept[0]['target_label']}, expected"),
            linestyle="--",
            linewidth=0.8,
            zorder=2,
        )


def choice_of(gstar: GStarDocument, spike_def_id: str, target_label: str) -> GStarEntry | None:
    """The choice of g* of one spike definition and target, if there is one."""
    wanted = (spike_def_id, target_label)
    found = (c for c in gstar.choices if (c.spike_def_id, c.target_label) == wanted)
    return next(found, None)


# ----------------------------------------------------------------------------- legend entries


def target_entries(rows: Sequence[Row]) -> list[Artist]:
    """The targets, by shade and marker."""
    labels = targets(rows)
    return [
        key(target_words(label), target_mark(GREY, place, len(labels)))
        for place, label in enumerate(labels)
    ]


def window_set_entries(rows: Sequence[Row]) -> list[Artist]:
    """The window sets that there are."""
    words = {row["window_set"]: window_words(row) for row in rows}
    entries = []
    if WindowSet.CALIBRATION in words:
        entries.append(key(words[WindowSet.CALIBRATION], Mark(GREY), linestyle="-"))
    if WindowSet.RASTER in words:
        held_out = f"{words[WindowSet.RASTER]}, g = {CONST.GAIN_BASELINE} and g*"
        entries.append(key(held_out, Mark(GREY, filled=False)))
    return entries


def gain_entries(rows: Sequence[Row]) -> list[Artist]:
    """Gain 1 and g*, where they are told apart by filling; none of counts without a gain."""
    if all(without_gain(row) for row in rows):
        return []
    return [
        key(f"g = {CONST.GAIN_BASELINE}", Mark(GREY)),
        key("g*", Mark(GREY, filled=False)),
    ]


def expected_entry() -> Artist:
    """What the permutation null expects."""
    return key("expected under permutation", Mark(GREY, size=_SMALL), linestyle="--")
