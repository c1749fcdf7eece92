"""Tables as the report shows them: cells with short text, and everything exact behind it.

The columns that matter come first, an interval in brackets behind its number; all others follow.
A number is shown with four digits, or with as many as its interval bears, its exact value on hover;
an undefined one as a dash, the reason on hover. Columns that hold lists are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from avalattice.canon import WindowSet
from avalattice.export.report.columns import Lead, TableWords, why_undefined
from avalattice.export.report.wording import CELL_WORDS, ROLES
from avalattice.export.schemas.columns import CLOSING, PROVENANCE
from avalattice.export.tabular import Column, TableSchema

DASH: Final = "–"
_NO_REASON: Final = "undefined; the table gives no reason"
_SMALL, _LARGE = 1e-3, 999.95
_MINUS: Final = "−"
_MOST_PLACES: Final = 5
"""Decimal places, beyond which a number is shown with an exponent."""
_ROLE: Final = PROVENANCE[3].name
_AS_WRITTEN: Final = frozenset({"g", "gain", "target_label", "g_star"})
"""Columns whose numbers are settings: shown as they are, not rounded."""
_LAST: Final = frozenset(column.name for column in (*PROVENANCE, *CLOSING))


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    note: str = ""
    """What stands in brackets behind the number."""
    full: str = ""
    """The exact value, or the reason of a dash; empty where the text says it all."""
    is_null: bool = False


@dataclass(frozen=True)
class Heading:
    """One column's head."""

    text: str
    meaning: str
    """What is shown on hover: name, meaning, unit."""
    is_number: bool


@dataclass(frozen=True)
class Table:
    """One table of the report."""

    id: str
    title: str
    caption: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    n_leads: int
    """Columns that are shown at once."""
    run_ids: tuple[str, ...]
    """Runs that wrote it."""


@dataclass(frozen=True)
class _Shown:
    """A column as it is shown: the schema's own, with its heading and brackets."""

    column: Column
    lead: Lead


def build_table(words: TableWords, rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table from validated rows.

    Args:
        words: how the table is shown.
        rows: of the table's schema; held-out windows are put first, the first role above others.
    """
    leads = _leads(words, rows)
    shown = _shown(words.schema, leads)
    known = frozenset(column.name for column in words.schema.columns)
    ordered = sorted(rows, key=_row_order)
    return Table(
        id=words.schema.name,
        title=words.title,
        caption=words.caption,
        headings=tuple(_heading(each) for each in shown),
        rows=tuple(tuple(_cell(row, each, known) for each in shown) for row in ordered),
        n_leads=len(leads),
        run_ids=tuple(dict.fromkeys(str(row["run_id"]) for row in rows)),
    )


def _row_order(row: Mapping[str, Any]) -> tuple[bool, int]:
    role = row.get(_ROLE)
    in_sample = row.get("window_set") == WindowSet.CALIBRATION
    return in_sample, ROLES.index(role) if role in ROLES else len(ROLES)


def _leads(words: TableWords, rows: Sequence[Mapping[str, Any]]) -> list[Lead]:
    """The leading columns; the model's role is one only where there are several."""
    one_role = len({row.get(_ROLE) for row in rows}) < 2
    return [lead for lead in words.leads if not (one_role and lead.name == _ROLE)]


def _shown(schema: TableSchema, leads: Sequence[Lead]) -> list[_Shown]:
    """Leading columns, then the rest of the schema, provenance last."""
    columns = {column.name: column for column in schema.columns}
    leading = {lead.name for lead in leads}
    rest = [c for c in columns.values() if c.name not in leading and not pa.types.is_list(c.type)]
    rest.sort(key=lambda column: column.name in _LAST)
    further = [_Shown(column, Lead(column.name, column.name)) for column in rest]
    return [_Shown(columns[lead.name], lead) for lead in leads] + further


def _heading(shown: _Shown) -> Heading:
    column, lead = shown.column, shown.lead
    parts = [f"{column.name}: {column.meaning}"]
    if column.unit:
        parts.append(f"in {column.unit}")
    if lead.low:
        parts.append(f"in brackets {lead.low} to {lead.high}")
    return Heading(lead.heading, "; ".join(parts), _is_number(column))


def _is_number(column: Column) -> bool:
    numeric = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    return numeric or column.name in _AS_WRITTEN


def _cell(row: Mapping[str, Any], shown: _Shown, known: frozenset[str]) -> Cell:
    name, value = shown.column.name, row[shown.column.name]
    if value is None:
        return Cell(DASH, full=_reason(row, name, known), is_null=True)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int | float) and name not in _AS_WRITTEN:
        return _number_cell(value, row.get(shown.lead.low), row.get(shown.lead.high))
    exact = str(value)
    text = CELL_WORDS.get(exact, exact)
    return Cell(text, full="" if text == exact else exact)


def _number_cell(value: float, low: float | None, high: float | None) -> Cell:
    exact = repr(value)
    if low is None or high is None:
        text = number_text(value)
        return Cell(text, full="" if text == exact else exact)
    text, *ends = interval_texts(value, low, high)
    return Cell(text, f"[{', '.join(ends)}]", f"{exact} [{low!r}, {high!r}]")


def _reason(row: Mapping[str, Any], name: str, known: frozenset[str]) -> str:
    if name.endswith("reason"):
        return "nothing is wrong"
    return why_undefined(row, name, known) or _NO_REASON


def number_text(value: float) -> str:
    """A number with four digits, or a whole one with its thousands set off.

    >>> [number_text(x) for x in (0.77475523, -155.6075, 12345.6, 2.6041e-4, 0.0, 4812, 1e-120)]
    ['0.7748', '−155.6', '12,346', '2.6e-4', '0', '4,812', '1.0e-120']
    """
    return _text(value).replace("-", _MINUS, 1) if value < 0 else _text(value)


def _text(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size == 0:
        return "0"
    if size >= _LARGE:
        return f"{value:,.0f}"
    if size >= _SMALL:
        return f"{value:.4g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def interval_texts(value: float, low: float, high: float) -> tuple[str, str, str]:
    """A number and its interval, with two digits of the interval's width.

    >>> interval_texts(-0.0217219, -0.0501813, 0.0094779)
    ('−0.022', '−0.050', '0.009')
    >>> interval_texts(129.65, 39.2, 281.4)
    ('130', '39', '281')
    """
    width = high - low
    if not (0 < width < math.inf):
        return number_text(value), number_text(low), number_text(high)
    places = max(0, 1 - math.floor(math.log10(width)))
    if places > _MOST_PLACES:
        return number_text(value), number_text(low), number_text(high)
    first, second, third = (_fixed(x, places) for x in (value, low, high))
    return first, second, third


def _fixed(value: float, places: int) -> str:
    text = f"{abs(value):,.{places}f}"
    return f"{_MINUS}{text}" if value < 0 and text.strip("0.,") else text
