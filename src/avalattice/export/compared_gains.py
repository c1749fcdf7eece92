"""What a table that compares gain 1 with g* has rows for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from avalattice.canon import CONST, GCondition
from avalattice.export.documents import GAINS_COINCIDE, GStarDocument, GStarEntry

_SUBTRAHEND = "g1 is what gstar is compared with"


@dataclass(frozen=True)
class ComparedGain:
    """Gain 1 or g* of one spike definition and target."""

    choice: GStarEntry
    """The choice of g*."""
    g_condition: GCondition
    gain: Decimal | None
    """The gain; None where there is no g*."""

    @property
    def reason(self) -> str | None:
        """Why there is no gain."""
        return None if self.gain is not None else f"no g*: {self.choice.reason}"

    @property
    def diff_reason(self) -> str | None:
        """Why nothing is subtracted here; None in a row of a g* other than 1."""
        if self.g_condition is GCondition.G1:
            return _SUBTRAHEND
        return GAINS_COINCIDE if self.gain == CONST.GAIN_BASELINE else self.reason

    @property
    def key(self) -> dict[str, Any]:
        """The columns that name the row."""
        return {
            "spike_def_id": self.choice.spike_def_id,
            "target_label": self.choice.target_label,
            "target_rate": self.choice.target_rate,
            "g_condition": self.g_condition,
            "g": None if self.gain is None else float(self.gain),
        }


def compared_gains(gstar: GStarDocument) -> Iterator[ComparedGain]:
    """Gain 1 and g* of every choice, in that order; both also where they coincide."""
    for choice in gstar.choices:
        yield ComparedGain(choice, GCondition.G1, CONST.GAIN_BASELINE)
        yield ComparedGain(choice, GCondition.GSTAR, choice.gain)


def distinct_gains(gstar: GStarDocument) -> list[Decimal]:
    """Gain 1 and every g*, each once, rising: what passes are spent on."""
    return sorted({gain for choice in gstar.choices for gain in choice.raster_gains})
