"""Cells of tables, and keys of rows, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from avalattice.canon import GCondition, SpikeDefId
from avalattice.export.figures.words import gain_words
from avalattice.export.paper.comparisons import is_undefined
from avalattice.export.paper.markdown import UNDEFINED, number, p_value

_VALUE_WORDS: Final = {
    str(SpikeDefId.SPIKE_ONE_SIDED_POS): "one-sided",
    str(SpikeDefId.SPIKE_TWO_SIDED_ABS): "two-sided",
    str(GCondition.G1): "g = 1",
    str(GCondition.GSTAR): "g*",
    "size": "sizes",
    "span_tokens": "token spans",
}
_COLUMN_WORDS: Final = {
    "target_label": "target {}",
    "g": "g = {}",
    "gain": "g = {}",
    "scoring": "{} scoring",
}
_UNSAID: Final = ("window_set", "signature_id", "adjacency_id")
_GAINS: Final = ("g", "gain", str(GCondition.GSTAR), "gstar_base", "gstar_instruct")
_P_VALUE: Final = re.compile(r"(^|_)p(_|$)")  # ks_p, p_adj, delta_b_time_p_adj


def value_words(value: Any) -> str:
    """A spike definition, a gain condition or a fitted variable in words; else the text itself."""
    return _VALUE_WORDS.get(str(value), str(value))


def cell_words(name: str, value: Any) -> str:
    """A value of a column: texts in words, gains as configured, and p-values with their floor.

    >>> cell_words("gstar_base", 1.005), cell_words("crossing", 1.005), cell_words("p_adj", 0.0)
    ('1.005', '1', '< 1e-99')
    """
    if isinstance(value, str):
        return value_words(value)
    if is_undefined(value):
        return UNDEFINED
    if name in _GAINS:
        return gain_words(value)
    return p_value(value) if _P_VALUE.search(name) else number(value)


def condition_words(key: Mapping[str, Any]) -> str:
    """A row's key in words.

    >>> condition_words({"spike_def_id": "SPIKE_ONE_SIDED_POS", "target_label": "0.4", "g": 0.7})
    'one-sided, target 0.4, g = 0.7'
    """
    said = {name: value for name, value in key.items() if name not in _UNSAID}
    return ", ".join(
        _COLUMN_WORDS.get(name, "{}").format(cell_words(name, value))
        for name, value in said.items()
    )
