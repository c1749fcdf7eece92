"""What figures say: quantities, conditions and nulls in words, and texts of others made safe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Final

from avalattice.canon import (
    CONST,
    AdjacencyId,
    DatasetRole,
    InterventionId,
    Scoring,
    SpikeDefId,
    WindowSet,
)
from avalattice.export.figures.rows import (
    Row,
    gain_of,
    spike_definitions,
    targets,
    without_gain,
)
from avalattice.export.figures.style import SMALLEST_TYPE
from avalattice.export.schemas.columns import RATE, RATIO
from avalattice.lattice.rasters import GIVEN_COUNTS, NO_ROLE
from avalattice.rng import decimal_text

SPIKE_WORDS: Final[Mapping[str, str]] = {
    SpikeDefId.SPIKE_ONE_SIDED_POS: "one-sided",
    SpikeDefId.SPIKE_TWO_SIDED_ABS: "two-sided",
    GIVEN_COUNTS: "given counts",
}
SPIKE_TITLE: Final[Mapping[str, str]] = {
    SpikeDefId.SPIKE_ONE_SIDED_POS: "one-sided, z > τ",
    SpikeDefId.SPIKE_TWO_SIDED_ABS: "two-sided, |z| > τ",
    GIVEN_COUNTS: "given counts",
}
WINDOW_SET_WORDS: Final[Mapping[str, str]] = {
    WindowSet.CALIBRATION: "calibration windows (in sample)",
    WindowSet.RASTER: "held-out windows",
    WindowSet.EVALUATION: "windows of Dataset B",
}
GIVEN_WINDOW_WORDS: Final[Mapping[str, str]] = {
    WindowSet.CALIBRATION: "given windows, on which g* was chosen",
    WindowSet.RASTER: "given windows",
}
DATASET_WORDS: Final[Mapping[str, str]] = {
    DatasetRole.A: "Dataset A",
    DatasetRole.B: "Dataset B",
    DatasetRole.ARC_MCQ: "ARC multiple choice",
    NO_ROLE: "given counts",
}
ADJACENCY_WORDS: Final[Mapping[str, str]] = {
    AdjacencyId.ADJ_4N: "four neighbours",
    AdjacencyId.ADJ_8N: "eight neighbours",
}
INTERVENTION_WORDS: Final[Mapping[str, str]] = {
    InterventionId.MLP_GLOBAL: "MLP, all layers",
    InterventionId.ATTN_GLOBAL: "attention, all layers",
    InterventionId.MLP_BAND_EARLY: "MLP, early third",
    InterventionId.MLP_BAND_MID: "MLP, middle third",
    InterventionId.MLP_BAND_LATE: "MLP, late third",
}
SCORING_WORDS: Final[Mapping[str, str]] = {
    Scoring.LETTER: "options by letter",
    Scoring.CLOZE: "options as continuations",
}
SYMBOL: Final[Mapping[str, str]] = {
    "b_time": r"$b_\mathrm{time}$",
    "b_depth": r"$b_\mathrm{depth}$",
    "b_tot": r"$b_\mathrm{tot}$",
    "delta_b_time": r"$\Delta b_\mathrm{time}$",
    "delta_b_depth": r"$\Delta b_\mathrm{depth}$",
    "delta_b_tot": r"$\Delta b_\mathrm{tot}$",
    "delta_b_depth_shift": r"$\Delta b_\mathrm{depth}^\mathrm{shift}$",
    "chi": r"$\chi$",
    "occupancy": r"$p$",
}
UNIT: Final[Mapping[str, str]] = dict.fromkeys(SYMBOL, RATIO) | {
    "chi": "events",
    "occupancy": "share of sites",
}
NARROW_UNIT: Final[Mapping[str, str]] = {
    name: unit.replace(" per ", "\nper ") for name, unit in UNIT.items()
}
"""Units in two lines, for narrow panels."""
FLAG: Final = r"$\mathbf{Few\;windows}$"
FEW_QUESTIONS: Final = r"$\mathbf{Few\;questions}$"
_FIXED_POINT = 65536  # FreeType's unit of advances
_MISSING = "\N{REPLACEMENT CHARACTER}"


def axis_label(name: str, *, lines: bool = True) -> str:
    """A quantity's symbol and unit."""
    return f"{SYMBOL[name]}{chr(10) if lines else ' '}({UNIT[name]})"


@cache
def _drawable() -> frozenset[int]:
    """The code points that the style's typeface has a glyph for."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def plain(text: str) -> str:
    r"""Someone else's text as it can be drawn: no formula, no control character, no missing glyph.

    >>> plain("costs $5")
    'costs \\$5'
    """
    known = _drawable()
    shown = (c if c.isprintable() and ord(c) in known else _MISSING for c in text)
    return "".join(shown).replace("$", r"\$")


def wrapped(text: str, inches: float) -> str:
    """Text broken into lines that fit a width, in the smallest type.

    A formula is taken for as long as it is written, which is longer than it is drawn.
    """
    return "\n".join(line for part in text.split("\n") for line in _lines(part, 72 * inches))


def _lines(text: str, points: float) -> Iterator[str]:
    """Lines of at most a width, broken within a word only if it is longer than a line."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and _width(longer) > points:
            yield line
            longer = word
        *full, line = _pieces(longer, points)
        yield from full
    yield line


def _pieces(word: str, points: float) -> Iterator[str]:
    piece = ""
    for character in word:
        if piece and _width(piece + character) > points:
            yield piece
            piece = ""
        piece += character
    yield piece


def _width(text: str) -> float:
    """Points that a text takes in the smallest type."""
    return sum(map(_advance, text))


@cache
def _advance(character: str) -> float:
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    font.set_size(SMALLEST_TYPE, 72)
    return float(font.load_char(ord(character)).linearHoriAdvance) / _FIXED_POINT


def gain_words(value: float) -> str:
    """A gain as it stands in the configuration.

    >>> gain_words(1.0), gain_words(0.85)
    ('1.0', '0.85')
    """
    return decimal_text(gain_of(value))


def gain_heading(row: Row) -> str:
    """The gain of a row, or the condition's name where no gain was given.

    Args:
        row: with spike definition, window set, target and gain ``g``.
    """
    return plain(row["target_label"]) if without_gain(row) else f"g = {gain_words(row['g'])}"


def target_words(label: str) -> str:
    """A target, or what given counts are called in its place, which is no number.

    >>> target_words("1e-5"), target_words("condition 3")
    ('target 1e-5', 'condition 3')
    """
    try:
        float(label)
    except ValueError:
        return plain(label)
    return f"target {plain(label)}"


def window_words(row: Row) -> str:
    """The windows of a row."""
    words = GIVEN_WINDOW_WORDS if row["dataset_role"] == NO_ROLE else WINDOW_SET_WORDS
    return words[row["window_set"]]


def interval_words(value: float | None, low: float | None, high: float | None) -> str:
    """A number with its interval.

    >>> interval_words(1.7, 1.68, 1.71), interval_words(2.0, None, None)
    ('1.70 [1.68, 1.71]', '2.00')
    """
    if value is None:
        return "undefined"
    inside = "" if low is None or high is None else f" [{low:#.3g}, {high:#.3g}]"
    return f"{value:#.3g}{inside}"


def power_of_ten(value: float) -> str:
    """A small number in two digits.

    >>> power_of_ten(0.00026041).split()
    ['2.6', '×', '10⁻⁴']
    """
    digits, exponent = f"{value:.1e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10{raised}"


def listed(items: Iterable[str]) -> str:
    """Things in a row of words.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


# ------------------------------------------------------------------------------ small print


def small_print(rows: Sequence[Row], *notes: str) -> str:
    """The foot of a figure: model, data, windows, what intervals are, and the flag.

    Args:
        rows: the rows that were drawn.
        notes: further sentences.
    """
    if not rows:
        return ""
    sentences = [_source(rows), _windows(rows), *notes]
    lines = [" ".join(sentence for sentence in sentences if sentence), _few(rows)]
    return "\n".join(line for line in lines if line)


def _source(rows: Sequence[Row]) -> str:
    models = dict.fromkeys((row["model_id"], row["dataset_role"]) for row in rows)
    words = (f"{plain(model)}, {DATASET_WORDS[role]}" for model, role in models)
    return f"{listed(words)}."


def _windows(rows: Sequence[Row]) -> str:
    counts = dict.fromkeys(
        (window_words(row) if "window_set" in row else "windows", row["n_sequences"])
        for row in rows
        if "n_sequences" in row
    )
    words = [f"{n} {kind}" for kind, n in counts]
    return f"{listed(words)}." if words else ""


def _few(rows: Sequence[Row]) -> str:
    """The flag, where intervals rest on too few windows or questions."""
    flags = (("few_windows", "n_sequences"), ("few_questions", "n_questions"))
    found = sorted({row[count] for row in rows for flag, count in flags if row.get(flag)})
    if not found:
        return ""
    what = FLAG if any(row.get("few_windows") for row in rows) else FEW_QUESTIONS
    return (
        f"{what}: {listed(map(str, found))} are fewer than {CONST.FEW_WINDOWS}, so that 95 % "
        "intervals cover less than they say."
    )


def target_note(rows: Sequence[Row]) -> str:
    """What the targets' labels stand for, where they are not rates themselves."""
    rates = {label: _rate(rows, label) for label in targets(rows)}
    if any(row["spike_def_id"] == GIVEN_COUNTS for row in rows):
        means = [f"{plain(label)}: {rate:.3g}" for label, rate in rates.items()]
        shown = means if len(means) > 1 else [f"{rate:.3g}" for rate in rates.values()]
        return f"Mean events per site: {listed(shown)}."
    if not rates or all(_is_rate(label, rate) for label, rate in rates.items()):
        return ""
    labels = listed(plain(label) for label in rates)
    return f"Targets {labels}: {listed(map(power_of_ten, rates.values()))} {RATE}."


def _rate(rows: Sequence[Row], label: str) -> float:
    return min(float(row["target_rate"]) for row in rows if row["target_label"] == label)


def _is_rate(label: str, rate: float) -> bool:
    try:
        return float(label) == rate
    except ValueError:
        return False


def condition_words(rows: Sequence[Row], gain: str = "g") -> str:
    """The conditions that a figure shows, for its metadata."""
    if not rows:
        return "no conditions"
    gains: set[Decimal] = {gain_of(row[gain]) for row in rows if row[gain] is not None}
    sets = dict.fromkeys(str(row["window_set"]) for row in rows if "window_set" in row)
    parts = {
        "window_set": listed(sets) if sets else "",
        "spike_def_id": listed(spike_definitions(rows)),
        "target_label": listed(targets(rows)),
        "g": listed(decimal_text(g) for g in sorted(gains)) if gains else "none",
    }
    return "; ".join(f"{name}: {words}" for name, words in parts.items() if words)
