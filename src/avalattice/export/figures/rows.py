"""Reading rows of tables for drawing: columns as arrays, in an order, undefined values as NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64

from avalattice.canon import CONST, SpikeDefId, WindowSet
from avalattice.lattice.rasters import GIVEN_COUNTS

Row: TypeAlias = Mapping[str, Any]
"""One row of a table, by column."""


def numbers(rows: Sequence[Row], name: str) -> Float64[np.ndarray, " n"]:
    """A column, NaN where it is undefined.

    >>> numbers([{"chi": 2.0}, {"chi": None}], "chi")
    array([ 2., nan])
    """
    values = (row[name] for row in rows)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def ends(rows: Sequence[Row], name: str, *, prefix: str = "") -> Float64[np.ndarray, "n 2"]:
    """The ends of a column's interval, NaN where they are undefined."""
    sides = [numbers(rows, f"{prefix}{name}_ci_{side}") for side in ("low", "high")]
    return np.stack(sides, axis=1)


def select(rows: Iterable[Row], **equal: object) -> list[Row]:
    """The rows whose columns have the given values."""
    return [row for row in rows if all(row[name] == value for name, value in equal.items())]


def in_order(rows: Iterable[Row], name: str) -> list[Row]:
    """Rows in the order of a column's numbers, those without one last."""
    return sorted(rows, key=lambda row: (row[name] is None, row[name] or 0.0))


def gain_of(value: float) -> Decimal:
    """A gain as a decimal: gains are never compared as floats.

    >>> gain_of(0.85) == Decimal("0.85"), gain_of(1.0) == CONST.GAIN_BASELINE
    (True, True)
    """
    return Decimal(str(value))


def is_baseline(row: Row, name: str = "g") -> bool:
    """Whether a row's gain is the baseline."""
    return row[name] is not None and gain_of(row[name]) == CONST.GAIN_BASELINE


def spike_definitions(rows: Iterable[Row]) -> list[str]:
    """The spike definitions of rows, in the registry's order, and given counts."""
    present = {row["spike_def_id"] for row in rows}
    return [str(definition) for definition in (*SpikeDefId, GIVEN_COUNTS) if definition in present]


def without_gain(row: Row) -> bool:
    """Whether a row is of given counts that lie on no curve: its gain of 1 stands for none."""
    return bool(row["spike_def_id"] == GIVEN_COUNTS and row["window_set"] == WindowSet.RASTER)


def targets(rows: Iterable[Row]) -> list[str]:
    """The labels of the rows' targets, in the order of rising rate.

    The rate of a label may differ between spike definitions; the smallest counts.
    """
    rates: dict[str, float] = {}
    for row in rows:
        label, rate = row["target_label"], row["target_rate"]
        rates[label] = min(rate, rates.get(label, rate))
    return sorted(rates, key=lambda label: (rates[label], label))


def first_reason(rows: Iterable[Row], *names: str) -> str:
    """The first reason that stands in one of the columns; empty where there is none."""
    reasons = (row[name] for row in rows for name in names)
    return next((str(reason) for reason in reasons if reason), "")
