"""F12: size and span distributions, the laws fitted to their tails, and those of a null.

What is drawn is the complementary distribution P(X ≥ x). A law fitted from xmin on is drawn from
there, times the share of avalanches in the tail. On a logarithmic scale many laws look straight:
the verdict stands in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float64, Int64

from avalattice.errors import InputError
from avalattice.export.figures.panels import (
    empty_figure,
    foot,
    headings,
    key,
    legend,
    log_axis,
    panel_grid,
    say,
)
from avalattice.export.figures.rows import Row, first_reason, spike_definitions, targets
from avalattice.export.figures.style import (
    BLACK,
    GREY,
    LINE,
    SMALLEST_TYPE,
    Colour,
    spike_colour,
    styled,
)
from avalattice.export.figures.words import (
    SPIKE_WORDS,
    gain_heading,
    interval_words,
    plain,
    small_print,
    target_note,
    target_words,
    wrapped,
)
from avalattice.stats.tail_laws import (
    Family,
    TailLaw,
    exponential,
    lognormal,
    power_law,
    truncated_power_law,
)
from avalattice.stats.tails import STATUS_OK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILY_WORDS: Final = {
    Family.POWERLAW: "power law",
    Family.EXPONENTIAL: "exponential",
    Family.LOGNORMAL: "log-normal",
    Family.TRUNCATED_POWERLAW: "truncated power law",
}
_VARIABLE_WORDS: Final = {"size": "size S (events)", "span_tokens": "span D (tokens)"}
_LONGEST_SUM: Final = 1_000_000  # integers of a support that a law is summed over
_VERDICT_WIDTH: Final = 1.5  # inches


@dataclass(frozen=True)
class TailSample:
    """What one panel shows: a row of T04 and the samples that it is about."""

    row: Row
    """The fit, a row of T04."""
    values: Int64[np.ndarray, " n"]
    """Distinct values, rising."""
    counts: Int64[np.ndarray, " n"]
    """How often each occurs."""
    null_values: Int64[np.ndarray, " m"]
    """Distinct values of permuted rasters, rising; none where no null was drawn."""
    null_counts: Int64[np.ndarray, " m"]
    """How often each occurs."""


@styled
def draw_tails(samples: Sequence[TailSample]) -> Figure:
    """F12: complementary distributions of sizes and spans, with fits and the null's.

    Args:
        samples: one for each spike definition, target and variable; where there are several gains,
            each has a row of panels.
    """
    rows = [sample.row for sample in samples]
    if not rows:
        return empty_figure("no tail was fitted")
    columns = [
        (definition, variable)
        for definition in spike_definitions(rows)
        for variable in _VARIABLE_WORDS
        if any((r["spike_def_id"], r["variable"]) == (definition, variable) for r in rows)
    ]
    lines, lowest = _lines(samples), _lowest(samples)
    figure, grid = panel_grid(len(lines), len(columns), 1.1 + 1.75 * len(lines), share_y=True)
    for i, (label, line) in enumerate(lines):
        for j, column in enumerate(columns):
            found = [s for s in line if (s.row["spike_def_id"], s.row["variable"]) == column]
            _panel(grid[i, j], found[0] if found else None, lowest)
            if i == len(lines) - 1:
                grid[i, j].set_xlabel(_VARIABLE_WORDS[column[1]])
        grid[i, 0].set_ylabel(f"{target_words(label)}\nP(X ≥ x)")
    headings(grid[0], [SPIKE_WORDS[definition] for definition, _ in columns])
    _legend(figure)
    bars = "α: 95 % window bootstrap, xmin kept. A fit describes; it does not show criticality."
    foot(figure, small_print(rows, bars, target_note(rows)))
    return figure


def _lines(samples: Sequence[TailSample]) -> list[tuple[str, list[TailSample]]]:
    """The samples of each row of panels: a target, and the first, second … gain of its columns."""
    lines = []
    for label in targets([sample.row for sample in samples]):
        waiting = [sample for sample in samples if sample.row["target_label"] == label]
        waiting.sort(key=lambda sample: sample.row["g"])
        while waiting:
            line = {(s.row["spike_def_id"], s.row["variable"]): s for s in reversed(waiting)}
            lines.append((label, list(line.values())))
            waiting = [s for s in waiting if not any(s is taken for taken in line.values())]
    return lines


def _lowest(samples: Sequence[TailSample]) -> float:
    """The lowest probability shown: half of the rarest measured one."""
    totals = [int(sample.counts.sum()) for sample in samples if len(sample.counts)]
    return 0.5 / max(totals, default=1)


def _panel(panel: Axes, sample: TailSample | None, lowest: float) -> None:
    if sample is None or not len(sample.values):
        reason = "" if sample is None else first_reason([sample.row], "reason")
        say(panel, reason or "no such condition")
        return
    panel.set_title(_verdict(sample.row), loc="left", fontsize=SMALLEST_TYPE)
    if len(sample.null_values):
        _line(panel, sample.null_values, survival(sample.null_counts), GREY, "--", "null")
    panel.plot(
        sample.values,
        survival(sample.counts),
        color=spike_colour(sample.row["spike_def_id"]),
        marker=".",
        markersize=2.5,
        linestyle="none",
        label="measured",
    )
    for law, dashes in ((_law(sample.row, Family.POWERLAW), "-"), (_rival(sample.row), ":")):
        if law is not None:
            x = np.array([law.xmin, *sample.values[sample.values > law.xmin]])
            share = sample.row["n_tail"] / sample.row["n_samples"]
            _line(panel, x, share * law_survival(law, x), BLACK, dashes, law.family.value)
    panel.set_xlim(0.8, 1.6 * max(int(sample.values[-1]), 3))
    panel.set_ylim(lowest, 1.4)
    log_axis(panel, "x", numbers=4)
    log_axis(panel, "y", numbers=4)


def _line(
    panel: Axes, x: np.ndarray, y: np.ndarray, colour: Colour, dashes: str, label: str
) -> None:
    panel.plot(x, y, color=colour, linestyle=dashes, linewidth=LINE, label=label, zorder=3)


def survival(counts: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """P(X ≥ x) at each distinct value.

    >>> survival(np.array([6, 3, 1]))
    array([1. , 0.4, 0.1])
    """
    return np.asarray(np.cumsum(counts[::-1])[::-1] / counts.sum())


def law_survival(law: TailLaw, x: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """P(X ≥ x) of a law at integers of its support; NaN where it is too long to be summed.

    >>> law_survival(exponential(np.log(2)), np.array([1, 2, 5]))
    array([1.    , 0.5   , 0.0625])
    """
    below = np.arange(law.xmin, min(int(x.max()), law.xmin + _LONGEST_SUM))
    passed = np.concatenate([[0.0], np.cumsum(np.exp(law.log_pmf(below)))])
    at = x - law.xmin
    known = at < len(passed)
    return np.where(known, 1 - passed[np.where(known, at, 0)], np.nan)


def _rival(row: Row) -> TailLaw | None:
    """The rival of largest likelihood; None where none was fitted."""
    rivals = [family for family in Family if family is not Family.POWERLAW]
    fitted = [family for family in rivals if row[f"ll_{family}"] is not None]
    best = max(fitted, key=lambda family: float(row[f"ll_{family}"]), default=None)
    return None if best is None else _law(row, best)


def _law(row: Row, family: Family) -> TailLaw | None:
    """A law from its parameters in the table; None where one of them is undefined."""
    parameters = [row[name] for name in _PARAMETERS[family]]
    if row["xmin"] is None or not row["n_samples"] or any(p is None for p in parameters):
        return None
    if not np.isfinite(parameters).all():
        return None
    try:
        law = _LAWS[family](*parameters, xmin=row["xmin"], xmax=row["xmax"])
    except InputError:  # a law at the edge of its family, whose sum diverges
        return None
    return law


_PARAMETERS: Final = {
    Family.POWERLAW: ("alpha_powerlaw",),
    Family.EXPONENTIAL: ("lambda_exponential",),
    Family.LOGNORMAL: ("lognorm_mu", "lognorm_sigma"),
    Family.TRUNCATED_POWERLAW: ("truncated_alpha", "truncated_lambda"),
}
_LAWS: Final[Mapping[Family, Callable[..., TailLaw]]] = {
    Family.POWERLAW: power_law,
    Family.EXPONENTIAL: exponential,
    Family.LOGNORMAL: lognormal,
    Family.TRUNCATED_POWERLAW: truncated_power_law,
}


def _verdict(row: Row) -> str:
    """The exponent, the tail, the best family, and why the fit cannot be assessed."""
    alpha = interval_words(row["alpha_powerlaw"], row["alpha_ci_low"], row["alpha_ci_high"])
    xmin = "undefined" if row["xmin"] is None else row["xmin"]
    if row["status"] != STATUS_OK:
        last = f"not assessable: {plain(row['reason'] or '')}"
    elif row["best_family"] is None:
        last = "no family is best"
    else:
        last = f"best: {FAMILY_WORDS[Family(row['best_family'])]}"
    lines = [
        f"{gain_heading(row)}: xmin {xmin}, n {row['n_tail']}",
        f"α = {alpha}",
        last,
    ]
    return wrapped("\n".join(lines), _VERDICT_WIDTH)


def _legend(figure: Figure) -> None:
    legend(
        figure,
        [
            key("measured", color=BLACK, marker=".", markersize=3),
            key("fitted power law", color=BLACK, linestyle="-"),
            key("likeliest rival", color=BLACK, linestyle=":"),
            key("permuted rasters", color=GREY, linestyle="--"),
        ],
    )
