"""F13: mean temporal profiles of avalanches, raw and rescaled onto one another.

Left, events per token of avalanches of each span D; right, the same times D^(1 − gamma) against
rescaled time. Curves that fall together have one shape; the error is given in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float

from avalattice.export.figures.panels import empty_figure, foot, headings, panel_grid, say
from avalattice.export.figures.rows import Row, first_reason, spike_definitions, targets
from avalattice.export.figures.style import SMALLEST_TYPE, styled
from avalattice.export.figures.words import (
    SPIKE_WORDS,
    gain_heading,
    interval_words,
    small_print,
    target_note,
    target_words,
)
from avalattice.stats.profiles import ProfileCollapse

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS: Final = "viridis"  # all readers see its order, and it brightens evenly in grey
_STRONGEST: Final = 0.9  # of the colour map: beyond, curves are too pale on white


@dataclass(frozen=True)
class CollapseExample:
    """What a pair of panels shows: a row of T05 and the profiles that it is about."""

    row: Row
    """The size–duration relation, a row of T05."""
    profiles: Mapping[int, Float[np.ndarray, " D"]]
    """Mean profile of each span D, events per token."""
    collapse: ProfileCollapse
    """The profiles rescaled."""


@styled
def draw_profile_collapse(examples: Sequence[CollapseExample]) -> Figure:
    """F13: mean profiles by span, raw and collapsed.

    Args:
        examples: one for each spike definition and target; of several gains, the first is drawn.
    """
    rows = [example.row for example in examples]
    if not rows:
        return empty_figure("no profile was measured")
    definitions, labels = spike_definitions(rows), targets(rows)
    figure, grid = panel_grid(len(labels), 2 * len(definitions), 1.0 + 1.55 * len(labels))
    colours = _Colours.of(examples)
    for i, label in enumerate(labels):
        for j, definition in enumerate(definitions):
            raw, collapsed = grid[i, 2 * j : 2 * j + 2]
            found = [
                example
                for example in examples
                if (example.row["spike_def_id"], example.row["target_label"]) == (definition, label)
            ]
            _pair(raw, collapsed, found[0] if found else None, colours)
            if i == len(labels) - 1:
                raw.set_xlabel("token of the avalanche")
                collapsed.set_xlabel("rescaled time")
        grid[i, 0].set_ylabel(f"{target_words(label)}\nevents per token")
    headings(grid[0], [words for d in definitions for words in (SPIKE_WORDS[d], "")])
    if any(example.profiles for example in examples):
        colours.bar(figure, grid)
    note = "Error: mean variance between spans over the squared range (Marshall et al. 2016)."
    foot(figure, small_print(rows, note, target_note(rows)))
    return figure


@dataclass(frozen=True)
class _Colours:
    """The colour of each span, on one scale for all panels."""

    shortest: int
    longest: int

    @classmethod
    def of(cls, examples: Sequence[CollapseExample]) -> _Colours:
        spans = [span for example in examples for span in example.profiles] or [1]
        return cls(min(spans), max(*spans, min(spans) + 1))

    @property
    def _scale(self) -> Any:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, LogNorm

        shades = ListedColormap(colormaps[_COLOURS](np.linspace(0, _STRONGEST, 128)))
        return ScalarMappable(LogNorm(self.shortest, self.longest), shades)

    def __call__(self, span: int) -> Any:
        return self._scale.to_rgba(span)

    def bar(self, figure: Figure, grid: np.ndarray) -> None:
        """What the colours mean."""
        from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

        bar = figure.colorbar(self._scale, ax=grid, shrink=0.6, aspect=30, pad=0.01)
        bar.set_label("span D (tokens)")
        places = np.unique(np.geomspace(self.shortest, self.longest, 4).round()).tolist()
        bar.ax.yaxis.set_major_locator(FixedLocator(places))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _pair(raw: Axes, collapsed: Axes, example: CollapseExample | None, colours: _Colours) -> None:
    """Both views of one condition."""
    if example is None or not example.profiles:
        reason = "" if example is None else first_reason([example.row], "reason")
        for panel in (raw, collapsed):
            say(panel, reason or "no span has enough avalanches")
        return
    spans = sorted(example.profiles)
    for span in spans:
        profile = example.profiles[span]
        look = {"color": colours(span), "linewidth": 0.8, "label": str(span)}
        raw.plot(np.arange(1, span + 1), profile, **look)
    raw.set_title(gain_heading(example.row), loc="left", fontsize=SMALLEST_TYPE)
    if not np.isfinite(example.collapse.curves).any():
        reason = first_reason([example.row], "reason") or example.collapse.reason
        say(collapsed, reason or "γ is undefined")
        return
    for span, curve in zip(spans, example.collapse.curves, strict=True):
        collapsed.plot(
            example.collapse.time, curve, color=colours(span), linewidth=0.8, label=str(span)
        )
    collapsed.set_title(_words(example.row), loc="left", fontsize=SMALLEST_TYPE)
    collapsed.set_ylabel(r"times $D^{1-\gamma}$", labelpad=1)


def _words(row: Row) -> str:
    """gamma and the error of the collapse."""
    gamma = interval_words(
        row["crackling_gamma"], row["crackling_ci_low"], row["crackling_ci_high"]
    )
    error = row["collapse_error"]
    return f"γ = {gamma}\nerror {'undefined' if error is None else f'{error:#.2g}'}"
