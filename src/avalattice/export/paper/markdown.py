"""Text, numbers and tables as Markdown that no data can break.

Values come from models, corpora and tables, so a name may hold a pipe, a star, a tag or a line
feed. :func:`prose` escapes everything that CommonMark or its tables would read as markup, sets
column names (words joined by underscores, and no part of a longer id) as code, and puts all on one
line. What is Markdown
already is a :class:`Markdown`, and is left as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

UNDEFINED: Final = "–"
_MARKUP = re.compile(r"[\\`*_\[\]<>|~$&!]")
_NAME = re.compile(
    r"(?<![\w`./:@-])"  # no part of a path, a file name or a model's id
    r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+"
    r"(?![\w`])(?![./:@-]\w)"
)
_LINE_START = re.compile(r"^(?:(?P<mark>[-+#=])|(?P<count>\d+)(?P<point>[.)])(?=\s|$))")
_PLAIN = re.compile(r"[\w./:@+=-]+", re.ASCII)
_DIGITS: Final = 3
_WHOLE_FROM: Final = 1000
SMALLEST_P: Final = 1e-99  # smaller ones may be zero for want of digits


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def prose(value: Any) -> Markdown:
    r"""A value as running text.

    >>> prose("b_tot of a|b * <i> at g*")
    '`b_tot` of a\\|b \\* \\<i\\> at g\\*'
    >>> prose(Markdown("*as it is*"))
    '*as it is*'
    """
    if isinstance(value, Markdown):
        return value
    text = one_line(value if isinstance(value, str) else number(value))
    pieces, last = [], 0
    for name in _NAME.finditer(text):
        pieces += [_escaped(text[last : name.start()]), f"`{name[0]}`"]
        last = name.end()
    return Markdown(_off_line_start("".join([*pieces, _escaped(text[last:])])))


def one_line(text: str) -> str:
    """Text without line feeds and other control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _escaped(text: str) -> str:
    return _MARKUP.sub(lambda found: f"\\{found[0]}", text)


def _off_line_start(text: str) -> str:
    """Without what would begin a list, a heading or a rule at the beginning of a line."""
    found = _LINE_START.match(text)
    if found is None:
        return text
    at = found.start("mark") if found["mark"] else found.start("point")
    return f"{text[:at]}\\{text[at:]}"


def code(text: str) -> Markdown:
    """A path, digest or id as code; escaped text where it holds anything but plain characters."""
    return Markdown(f"`{text}`") if _PLAIN.fullmatch(text) else prose(text)


# ------------------------------------------------------------------------------------- numbers


def number(value: Any, *, signed: bool = False) -> str:
    """A number in three digits, thousands in full; yes and no; a dash where it is undefined.

    >>> number(0.012345), number(-2e-5), number(12345.6), number(12345), number(None), number(True)
    ('0.0123', '−2e-5', '12,346', '12,345', '–', 'yes')
    >>> number(0.5, signed=True)
    '+0.5'
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or abs(value) >= _WHOLE_FROM:
        text = f"{value:,.0f}"
    else:
        text = re.sub(r"e([-+])0*(\d)", _exponent, f"{value:.{_DIGITS}g}")
    text = f"−{text[1:]}" if text.startswith("-") else text
    return f"+{text}" if signed and value > 0 else text


def _exponent(found: re.Match[str]) -> str:
    return f"e{'-' if found[1] == '-' else ''}{found[2]}"


def p_value(value: float | None) -> str:
    """A p-value; the smallest that is told from zero stands for those below it.

    >>> p_value(0.012345), p_value(0.0), p_value(None)
    ('0.0123', '< 1e-99', '–')
    """
    below = value is not None and value < SMALLEST_P
    return f"< {number(SMALLEST_P)}" if below else number(value)


def interval(value: Any, low: Any, high: Any) -> Markdown:
    """A number with the ends of its interval.

    >>> interval(0.5, 0.25, 0.75), interval(0.5, None, None), interval(None, None, None)
    ('0.5 [0.25, 0.75]', '0.5 [–]', '–')
    """
    if number(low) == UNDEFINED:
        return Markdown(number(value) + ("" if number(value) == UNDEFINED else f" [{UNDEFINED}]"))
    return Markdown(f"{number(value)} [{number(low)}, {number(high)}]")


# -------------------------------------------------------------------------------------- blocks


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markdown:
    r"""A table; a pipe within a cell is escaped, also within code.

    >>> print(table(["a", "b_c"], [["x|y", 0.25]]))
    | a | `b_c` |
    | --- | --- |
    | x\|y | 0.25 |
    """
    lines = [headers, ["---"] * len(headers), *rows]
    cells = [
        [cell if i == 1 else _cell(cell) for cell in line]  # the rule below the headers
        for i, line in enumerate(lines)
    ]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in cells))


def _cell(value: Any) -> str:
    text = prose(value)
    return re.sub(r"(?<!\\)\|", r"\\|", one_line(text))


def listing(items: Sequence[str], *, most: int) -> str:
    """Items in a sentence, the first few of them by name.

    >>> listing(["a", "b", "c"], most=3), listing(["a", "b", "c"], most=2)
    ('a; b; c', 'a; b; and 1 more')
    """
    named = list(items[:most])
    if len(items) > most:
        named.append(f"and {len(items) - most} more")
    return "; ".join(named)
