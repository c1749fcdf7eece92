"""Row filters: which rows of a table are at g = 1, which at g*, which held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from avalattice.canon import CONST, GCondition, WindowSet
from avalattice.export.paper.sources import WINDOW_SET, Rows

Where: TypeAlias = tuple[Mapping[str, Any], ...]

EVERY: Final[Where] = ({},)
"""Every row."""
GRID: Final[Where] = ({WINDOW_SET: WindowSet.CALIBRATION.value},)
"""The gain grid, on the windows on which thresholds were fitted."""
HELD_OUT: Final[Where] = ({WINDOW_SET: WindowSet.RASTER.value},)
"""g = 1 and g*, on other windows."""
G1: Final[Where] = ({"g_condition": GCondition.G1.value},)
"""Rows of the tables that name the two gains."""
COINCIDE: Final = "g* = 1 on every curve that has a g*: gains coincide"
NO_GSTAR: Final = "no curve has a g*"


@dataclass(frozen=True)
class CurveRows:
    """The filters that follow from the choices of g*."""

    at_gstar: Where
    """By spike definition, target and g: the curves whose g* is not 1."""
    moved: Where
    """By spike definition and target: the same curves."""
    distinct: Where
    """Of these the first of each g*: what depends on the gain alone is the same on the others."""
    unmoved: str
    """Why there is no such curve, if there is none."""
    first: Mapping[str, Any]
    """Any one curve: what is measured at g = 1 alone is the same on all of them."""

    @classmethod
    def of(cls, gstar: Rows) -> CurveRows:
        """From the rows of ``gstar.json``."""
        column = str(GCondition.GSTAR)
        chosen = [row for row in gstar if row[column] is not None]
        moved = [row for row in chosen if row[column] != float(CONST.GAIN_BASELINE)]
        by_gain = {row[column]: _curve(row) for row in reversed(moved)}
        return cls(
            tuple(_curve(row) | {"g": row[column]} for row in moved),
            tuple(_curve(row) for row in moved),
            tuple(by_gain[g] for g in sorted(by_gain)),
            COINCIDE if chosen else NO_GSTAR,
            _curve(gstar[0]),
        )

    @property
    def held_out_at_gstar(self) -> Where:
        """Held-out rows at a g* that is not 1."""
        return tuple({**HELD_OUT[0], **curve} for curve in self.at_gstar)

    @property
    def gstar_condition(self) -> Where:
        """Rows of the tables that name the two gains, at a g* that is not 1."""
        return _gstar_condition(self.moved)

    @property
    def distinct_gstar(self) -> Where:
        """One such row of each g*."""
        return _gstar_condition(self.distinct)


def _gstar_condition(curves: Where) -> Where:
    return tuple({"g_condition": GCondition.GSTAR.value, **curve} for curve in curves)


def _curve(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("spike_def_id", "target_label")}


HELD_OUT_AT_1: Final[Where] = ({**HELD_OUT[0], "g": float(CONST.GAIN_BASELINE)},)
"""Held-out rows at g = 1."""
