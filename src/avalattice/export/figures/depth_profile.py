"""F14: occupancy and branching by layer, at gain 1 and at g*, beside the permutation null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from avalattice.export.figures.curves import gain_entries
from avalattice.export.figures.panels import (
    defined,
    empty_figure,
    foot,
    key,
    legend,
    panel_grid,
    say,
    whole_numbers,
)
from avalattice.export.figures.rows import Row, is_baseline, spike_definitions, targets
from avalattice.export.figures.style import (
    GREY,
    Mark,
    spike_colour,
    spike_marker,
    styled,
)
from avalattice.export.figures.words import (
    SPIKE_WORDS,
    SYMBOL,
    UNIT,
    gain_words,
    small_print,
    target_note,
    target_words,
)
from avalattice.lattice.layer_profile import LayerProfile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES: Final = ("occupancy", "b_time", "b_depth")


@dataclass(frozen=True)
class DepthProfile:
    """One condition by layer."""

    row: Row
    """Its row of T01."""
    layers: LayerProfile
    """What was measured of each layer."""


@styled
def draw_depth_profile(profiles: Sequence[DepthProfile]) -> Figure:
    """F14: p, b_time and b_depth by layer.

    Args:
        profiles: of held-out windows, at gain 1 and at g* of each spike definition and target.
    """
    rows = [profile.row for profile in profiles]
    if not rows:
        return empty_figure("no condition was measured by layer")
    labels = targets(rows)
    figure, grid = panel_grid(
        len(labels), len(_NAMES), 0.95 + 1.45 * len(labels), share_x=True, share_y="row"
    )
    for panels, label in zip(grid, labels, strict=True):
        chosen = [profile for profile in profiles if profile.row["target_label"] == label]
        for panel, name in zip(panels, _NAMES, strict=True):
            _panel(panel, chosen, name)
        panels[0].set_ylabel(target_words(label))
    for panel, name in zip(grid[0], _NAMES, strict=True):
        panel.set_title(f"{SYMBOL[name]}, {UNIT[name]}", loc="left")
    for panel in grid[-1]:
        panel.set_xlabel("layer")
        whole_numbers(panel, "x")
    _legend(figure, rows)
    note = r"$b_\mathrm{depth}$ stands at the layer of the ancestor."
    foot(figure, small_print(rows, note, target_note(rows)))
    return figure


def _panel(panel: Axes, profiles: Sequence[DepthProfile], name: str) -> None:
    """One quantity of every spike definition and gain."""
    drawn = False
    for profile in profiles:
        definition = profile.row["spike_def_id"]
        colour, at_one = spike_colour(definition), is_baseline(profile.row)
        values = getattr(profile.layers, name)
        layers = np.arange(len(values))
        expected = getattr(profile.layers, f"{name}_perm_exact", None)  # occupancy has none
        if expected is not None and at_one:
            panel.plot(layers, expected, color=colour, linestyle="--", linewidth=0.7, alpha=0.7)
        mark = Mark(colour, spike_marker(definition), at_one, 2.5)
        panel.plot(
            layers,
            values,
            **mark.options,
            linewidth=0.8,
            markeredgewidth=0.6,
            label=f"{definition}, {gain_words(profile.row['g'])}",
        )
        drawn |= defined(values)
    if not drawn:
        say(panel, "no occupied site has a successor")


def _legend(figure: Figure, rows: Sequence[Row]) -> None:
    entries = [
        key(
            SPIKE_WORDS[definition],
            Mark(spike_colour(definition), spike_marker(definition)),
            linestyle="-",
        )
        for definition in spike_definitions(rows)
    ]
    gains = gain_entries(rows)
    where = ", g = 1" if gains else ""
    expected = f"expected under permutation{where}"
    more = [*gains, key(expected, color=GREY, linestyle="--", linewidth=0.7)]
    legend(figure, [*entries, *more])
