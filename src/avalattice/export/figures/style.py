"""One style for every figure: sizes, type, colours and marks, each with one meaning.

Colours are those of Okabe and Ito (Color Universal Design, 2008), which readers with any kind of
colour vision tell apart; no colour carries a meaning alone:

================== ============================ ==========================
meaning            colour                       also
================== ============================ ==========================
spike definition   blue, vermillion             its own column or marker
target rate        shade, light to dark         marker
null model         grey                         dashed, or its own row
g*                 green                        dash-dotted, or a star
held-out windows   open markers                 –
================== ============================ ==========================

The style is a context: what a user has set in ``matplotlib.rcParams`` neither enters a figure nor
is changed by it, so that the same table gives the same bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias

from avalattice.canon import SpikeDefId

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Arguments = ParamSpec("Arguments")
Colour: TypeAlias = tuple[float, float, float]

SINGLE_COLUMN: Final = 3.5
"""Width of a figure of one panel column, in inches."""
DOUBLE_COLUMN: Final = 7.1
"""Width of a figure across the page, in inches."""
SMALLEST_TYPE: Final = 7.0
"""In points, at print size."""
HEADING_TYPE: Final = 8.0
"""In points."""
DOTS_PER_INCH: Final = 200
"""Of images, at print size."""
LINE: Final = 1.0
"""Width of a curve, in points."""


def _colour(code: str) -> Colour:
    red, green, blue = bytes.fromhex(code)
    return red / 255, green / 255, blue / 255


BLACK: Final = _colour("000000")
GREY: Final = _colour("7f7f7f")
PALE: Final = _colour("d0d0d0")
BLUE: Final = _colour("0072b2")
VERMILLION: Final = _colour("d55e00")
GREEN: Final = _colour("009e73")
DISTINCT: Final = (
    BLUE,
    VERMILLION,
    GREEN,
    _colour("cc79a7"),
    _colour("e69f00"),
    _colour("56b4e9"),
    BLACK,
)
"""Colours of things that are told apart and have no order; yellow is too pale beside grey."""

SPIKE_COLOUR: Final[Mapping[str, Colour]] = {
    SpikeDefId.SPIKE_ONE_SIDED_POS: BLUE,
    SpikeDefId.SPIKE_TWO_SIDED_ABS: VERMILLION,
}
SPIKE_MARKER: Final[Mapping[str, str]] = {
    SpikeDefId.SPIKE_ONE_SIDED_POS: "o",
    SpikeDefId.SPIKE_TWO_SIDED_ABS: "s",
}
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
GSTAR_MARKER: Final = "*"

STYLE: Final = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": SMALLEST_TYPE,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": HEADING_TYPE,
    "axes.titleweight": "normal",
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.labelsize": SMALLEST_TYPE,
    "ytick.labelsize": SMALLEST_TYPE,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "legend.fontsize": SMALLEST_TYPE,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "lines.linewidth": LINE,
    "lines.markersize": 3.5,
    "lines.markeredgewidth": 0.8,
    "figure.dpi": DOTS_PER_INCH,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.06,
    "pdf.fonttype": 42,  # TrueType: text stays text
    "pdf.compression": 6,
}


EMPTY: Final = "empty"
"""Marks a panel in which nothing could be drawn."""
DOTTED: Final = (0, (1, 1.5))
"""Dashes of a level that others are compared with."""


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's own defaults with this style, whatever the user has set; undone at the end."""
    from matplotlib import style

    with style.context(["default", STYLE]):
        yield


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """A drawing function that draws in this style, and lays its figure out once and for all.

    A layout that were computed anew for each file would depend on which was written first.
    """

    @wraps(draw)
    def in_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with house_style():
            figure = draw(*args, **kwargs)
            _hide_unused_scales(figure)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return figure

    return in_style


def _hide_unused_scales(figure: Figure) -> None:
    """No numbers on a scale on which nothing was drawn, in no panel that shares it."""
    for axes in figure.axes:
        if all(panel.get_gid() == EMPTY for panel in axes.get_shared_x_axes().get_siblings(axes)):
            axes.tick_params(axis="x", which="both", length=0, labelbottom=False)
        if all(panel.get_gid() == EMPTY for panel in axes.get_shared_y_axes().get_siblings(axes)):
            axes.tick_params(axis="y", which="both", length=0, labelleft=False)


@dataclass(frozen=True)
class Mark:
    """How the points of one kind look."""

    colour: Colour = BLACK
    marker: str = "o"
    filled: bool = True
    size: float = 3.5

    @property
    def options(self) -> dict[str, Any]:
        """As a line's keyword arguments."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": self.size,
            "markerfacecolor": self.colour if self.filled else "white",
            "markeredgecolor": self.colour,
        }


def spike_colour(spike_def_id: str) -> Colour:
    """The colour of a spike definition; that of the first for given counts."""
    return SPIKE_COLOUR.get(spike_def_id, BLUE)


def spike_marker(spike_def_id: str) -> str:
    """The marker of a spike definition; that of the first for given counts."""
    return SPIKE_MARKER.get(spike_def_id, MARKERS[0])


def shade(colour: Colour, index: int, of: int) -> Colour:
    """The shade of one of several things in order: the first light, the last dark.

    >>> shade((0.0, 0.5, 1.0), 0, 1)
    (0.0, 0.5, 1.0)
    >>> shade((0.0, 0.5, 1.0), 0, 2)[0] > shade((0.0, 0.5, 1.0), 1, 2)[0] - 1e-9
    True
    """
    place = 2 * index / (of - 1) - 1 if of > 1 else 0.0
    end, strength = (1.0, 0.4) if place < 0 else (0.0, 0.45)
    red, green, blue = (channel + (end - channel) * strength * abs(place) for channel in colour)
    return red, green, blue


def target_mark(colour: Colour, index: int, of: int, *, filled: bool = True) -> Mark:
    """The mark of the index-th of several targets, in the order of rising rate."""
    return Mark(shade(colour, index, of), MARKERS[index % len(MARKERS)], filled)
