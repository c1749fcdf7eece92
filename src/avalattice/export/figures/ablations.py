"""F11: interventions on other parts of the model at g*, each with its own rate matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from avalattice.canon import AdjacencyId, GCondition, InterventionId
from avalattice.export.figures.curves import target_entries
from avalattice.export.figures.panels import (
    category_axis,
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
    numbers,
    select,
    spike_definitions,
    targets,
)
from avalattice.export.figures.style import (
    GREY,
    Mark,
    spike_colour,
    styled,
    target_mark,
)
from avalattice.export.figures.words import (
    ADJACENCY_WORDS,
    INTERVENTION_WORDS,
    NARROW_UNIT,
    SPIKE_WORDS,
    SYMBOL,
    listed,
    plain,
    small_print,
    target_note,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BRANCHING: Final = ("b_tot", "delta_b_tot", "chi")
"""Quantities that do not depend on the adjacency, with intervals."""
_AVALANCHES: Final = ("avalanche_size_mean", "crackling_gamma")
_QUANTITIES: Final = {
    "b_tot": (SYMBOL["b_tot"], NARROW_UNIT["b_tot"]),
    "delta_b_tot": (SYMBOL["delta_b_tot"], NARROW_UNIT["delta_b_tot"]),
    "chi": (SYMBOL["chi"], NARROW_UNIT["chi"]),
    "avalanche_size_mean": ("mean size", "events"),
    "crackling_gamma": ("γ", "exponent"),
}
"""Columns of T06 that are drawn, each with its symbol and unit."""
_LOGARITHMIC: Final = ("chi", "avalanche_size_mean")
_APART: Final = 0.55  # of a row, shared by its points


@styled
def draw_ablations(ablations: Sequence[Row]) -> Figure:
    """F11: branching, susceptibility and avalanches under each intervention.

    Args:
        ablations: rows of T06.
    """
    if not ablations:
        return empty_figure("the table of ablations has no rows")
    definitions, labels = spike_definitions(ablations), targets(ablations)
    kinds = _kinds(ablations)
    figure, grid = panel_grid(
        len(definitions),
        len(_QUANTITIES),
        1.1 + len(definitions) * (0.35 + 0.09 * len(kinds) * (1 + len(labels))),
        share_x="col",
        share_y=True,
    )
    for i, definition in enumerate(definitions):
        rows = select(ablations, spike_def_id=definition)
        for panel, name in zip(grid[i], _QUANTITIES, strict=True):
            _panel(panel, rows, name, kinds, labels)
        grid[i, 0].set_ylabel(SPIKE_WORDS[definition])
        category_axis(grid[i], [_kind_words(kind) for kind in kinds])
    for column, (name, (symbol, unit)) in enumerate(_QUANTITIES.items()):
        grid[0, column].set_title(symbol, loc="left")
        grid[-1, column].set_xlabel(unit)
        if name in _LOGARITHMIC and (numbers(ablations, name) > 0).any():
            log_axis(grid[0, column], "x", numbers=4)  # shared by the column
    _legend(figure, ablations)
    bars = "Each is rate-matched anew on these windows. Bars: 95 % window bootstrap."
    foot(figure, small_print(ablations, bars, _absent(ablations), target_note(ablations)))
    return figure


def _kinds(rows: Sequence[Row]) -> list[tuple[InterventionId, GCondition]]:
    """Interventions with their gain, the baseline first."""
    present = {(row["intervention_id"], row["g_condition"]) for row in rows}
    return [
        (intervention, condition)
        for condition in GCondition
        for intervention in InterventionId
        if (intervention, condition) in present
    ]


def _kind_words(kind: tuple[InterventionId, GCondition]) -> str:
    intervention, condition = kind
    if condition is GCondition.G1:
        return "none (g = 1)"
    return f"{INTERVENTION_WORDS[intervention]}, g*"


def _panel(
    panel: Axes,
    rows: Sequence[Row],
    name: str,
    kinds: Sequence[tuple[InterventionId, GCondition]],
    labels: Sequence[str],
) -> None:
    """One quantity under every intervention; targets stand below each other."""
    if not defined(numbers(rows, name)):
        say(panel, first_reason(rows, "reason") or "undefined")
        return
    colour = spike_colour(rows[0]["spike_def_id"])
    for row in rows:
        if name in _BRANCHING and row["adjacency_id"] != rows[0]["adjacency_id"]:
            continue
        place = kinds.index((row["intervention_id"], row["g_condition"]))
        target = labels.index(row["target_label"])
        y = np.array([place + dodge(target, len(labels), _APART / max(len(labels), 2))])
        four = row["adjacency_id"] == AdjacencyId.ADJ_4N or name in _BRANCHING
        points(
            panel,
            numbers([row], name),
            y,
            target_mark(colour, target, len(labels), filled=four),
            ends=ends([row], name) if name in _BRANCHING else None,
            upright=False,
            label=f"{place}, {row['target_label']}, {row['adjacency_id']}",
        )
    if name == "delta_b_tot":
        level(panel, 0.0, upright=True)


def _absent(rows: Sequence[Row]) -> str:
    """Which conditions have no rows at g*, and why."""
    cases: dict[str, list[str]] = {}
    for definition in spike_definitions(rows):
        for label in targets(rows):
            found = select(rows, spike_def_id=definition, target_label=label)
            at_gstar = select(found, g_condition=GCondition.GSTAR)
            if at_gstar and not defined(numbers(at_gstar, "b_tot")):
                reason = first_reason(at_gstar, "reason") or "undefined"
                cases.setdefault(reason, []).append(f"{SPIKE_WORDS[definition]} {plain(label)}")
    return " ".join(f"Not at g*: {listed(which)} ({plain(why)})." for why, which in cases.items())


def _legend(figure: Figure, rows: Sequence[Row]) -> None:
    four, eight = (f"avalanches of {words}" for words in ADJACENCY_WORDS.values())
    legend(
        figure, [*target_entries(rows), key(four, Mark(GREY)), key(eight, Mark(GREY, filled=False))]
    )
