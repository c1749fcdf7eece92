"""Reading figures back: what was drawn where, which words can be read, and where they stand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from avalattice.export.figures.style import SMALLEST_TYPE

TOUCHING = 1.5
"""Pixels that two texts may share."""


def curves(panel: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a panel's lines show, by label; lines without one are levels and guides."""
    return {
        str(line.get_label()): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in panel.lines
        if not str(line.get_label()).startswith("_")
    }


def intervals(panel: Axes) -> np.ndarray:
    """The ends of every interval, [n, 2, 2], in the order in which they were drawn."""
    drawn = [
        np.asarray(segment)
        for collection in panel.collections
        if isinstance(collection, LineCollection)
        for segment in collection.get_segments()
    ]
    return np.array(drawn).reshape(-1, 2, 2)


def words(figure: Figure) -> str:
    """Everything that can be read in a figure, in one line."""
    return " ".join(" ".join(text.get_text().split()) for text in _visible_texts(figure))


def faults(figure: Figure) -> list[str]:
    """Texts that are too small, cut off at the figure's edge, or written over one another."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    placed = [(text, text.get_window_extent(renderer)) for text in _visible_texts(figure)]
    whole = figure.bbox.padded(TOUCHING)
    found = [
        f"{text.get_text()!r} in {text.get_fontsize()} points"
        for text, _ in placed
        if text.get_fontsize() < SMALLEST_TYPE
    ]
    found += [
        f"{text.get_text()!r} is cut off"
        for text, box in placed
        if not (whole.contains(*box.min) and whole.contains(*box.max))
    ]
    found += [
        f"{text.get_text()!r} over {other.get_text()!r}"
        for place, (text, box) in enumerate(placed)
        for other, other_box in placed[place + 1 :]
        if _overlap(box, other_box)
    ]
    return found


def _overlap(box: Bbox, other: Bbox) -> bool:
    shared = np.minimum(box.max, other.max) - np.maximum(box.min, other.min)
    return bool((shared > TOUCHING).all())


def _visible_texts(figure: Figure) -> list[Text]:
    unseen = set(_labels_beyond(figure))
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in unseen
    ]


def _labels_beyond(figure: Figure) -> Iterator[Text]:
    """Numbers of ticks beyond an axis' ends, which matplotlib keeps and does not draw."""
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - slack <= tick.get_loc() <= high + slack:
                    yield tick.label1
                    yield tick.label2
