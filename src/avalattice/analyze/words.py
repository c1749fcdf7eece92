"""An analysis in words: what stands in the terminal and in its folder's summary.

Every branching ratio stands beside its null and every occupancy beside the percolation threshold;
intervals are the 95 % window bootstrap. Numbers are read from the tables, and are undefined here
where they are null there.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from avalattice.analyze.analysis import Analysis
from avalattice.analyze.counts import TOKEN_IDS
from avalattice.analyze.verdicts import SAME_WINDOWS
from avalattice.canon import WindowSet
from avalattice.export.avalanche_rows import SIZE, SPAN
from avalattice.export.documents import SignatureEntry
from avalattice.export.figures.words import gain_words
from avalattice.lattice.percolation import PercolationContext
from avalattice.stats.gstar import crossings
from avalattice.stats.tails import STATUS_OK

Row = dict[str, Any]

WIDTH: Final = 100
"""Columns of the text."""
_LABEL: Final = 13  # columns of a line's name
_SMALLEST_P: Final = 1e-99  # smaller ones may be zero for want of digits
_CURVE: Final = ("g", "p", "b_time", "b_depth", "b_tot [95 %]", "perm.", "chi", "alpha", "gamma")
"""Columns of the curve: perm. is b_tot expected under permutation, alpha that of sizes."""
_DOUBT: Final = "?"
_NO_ANCESTORS: Final = "no occupied site has a successor"
_REMAINS: Final = "Permutation and shift leave what all layers share at a token."
_WITHOUT_TOKENS: Final = (
    "Exchange within token ids would remove what the token alone explains; it needs "
    f"{TOKEN_IDS} [N, T]."
)
_WITH_TOKENS: Final = (
    "Exchange within token ids removes what the token alone explains, and leaves context that all "
    "layers share."
)


def summary_text(analysis: Analysis) -> str:
    """The whole summary, with a line feed at its end.

    Args:
        analysis: what was found.
    """
    rows = _Rows(analysis)
    shown = list(range(len(analysis.conditions)))
    blocks = [list(_head(analysis))]
    if analysis.choice:
        blocks.append(list(_curve(analysis, rows)))
        shown_at = analysis.choice.gain
        shown = [c for c in shown if analysis.conditions[c].condition.gain == shown_at]
    blocks += [list(_condition(analysis, rows, c)) for c in shown]
    if analysis.choice:
        blocks.append(["signatures of the curve", *_verdicts(analysis.signatures.entries)])
    blocks.append(list(_remarks(analysis)))
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


class _Rows:
    """Rows of the tables by the condition's place."""

    def __init__(self, analysis: Analysis) -> None:
        tails = analysis.tail_fits.to_pylist()
        by_condition = [tails[k : k + 2] for k in range(0, len(tails), 2)]
        self.summary: list[Row] = analysis.summary.to_pylist()
        self.nulls: list[Row] = analysis.null_statistics.to_pylist()
        self.crackling: list[Row] = analysis.crackling.to_pylist()
        self.tails = [{row["variable"]: row for row in rows} for rows in by_condition]


# ------------------------------------------------------------------------------ head and curve


def _head(analysis: Analysis) -> Iterator[str]:
    given, options = analysis.given, analysis.options
    n_conditions, n_windows, n_layers, n_tokens = given.A.shape
    what = "occupied sites" if given.sites_only else "event counts"
    conditions = "one condition" if n_conditions == 1 else f"{n_conditions} conditions"
    kind = f"{conditions}, one curve against the gain" if given.gains else conditions
    axes = f"{n_windows} windows, {n_layers} layers, {n_tokens} tokens"
    yield from _wrapped(f"{given.name}: {what} of {axes}; {kind}", "")
    yield from _wrapped(
        f"{analysis.run_id}: {options.adjacency}, {options.denominator}, "
        f"{options.bootstrap_reps} window resamples, {options.null_replicates} draws of each null, "
        f"seed {options.seed}",
        "",
    )


def _curve(analysis: Analysis, rows: _Rows) -> Iterator[str]:
    """A line for each gain, and the choice of g*."""
    choice = analysis.choice
    assert choice is not None
    order = sorted(range(len(rows.summary)), key=lambda c: rows.summary[c]["g"])
    threshold = analysis.conditions[0].percolation.threshold
    body = [_curve_cells(rows, c) for c in order]
    widths = [max(len(line[k]) for line in (_CURVE, *body)) for k in range(len(_CURVE))]
    yield f"curve against the gain (p_c = {threshold:.3f})"
    for line in (_CURVE, *body):
        cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        chosen = "  g*" if choice.gstar is not None and line[0] == choice.gstar else ""
        yield f"  {'  '.join(cells)}{chosen}"
    if any(cell.endswith(_DOUBT) for line in body for cell in line):
        yield f"  {_DOUBT} not assessable, or a gate failed: T04 and T05 say why"
    if choice.gstar is None:
        sentence = f"no g*: {choice.reason}"
    else:
        verdict = "identifiable" if choice.identifiable else f"not identifiable: {choice.reason}"
        ends = (choice.crossing, choice.crossing_ci_low, choice.crossing_ci_high)
        sentence = (
            f"g* = {choice.gstar}, {verdict}; b_tot = 1 at g = {_with_ends(*ends)}; {SAME_WINDOWS}"
        )
    yield from _wrapped(sentence, "  ")
    n_crossings = _n_crossings([rows.summary[c] for c in order])
    if n_crossings > 1:
        yield f"  b_tot crosses one {n_crossings} times on this grid: g* is one of several"


def _n_crossings(rows: Sequence[Row]) -> int:
    """How often b_tot passes one along the grid."""
    points = [(row["g"], row["b_tot"]) for row in rows if row["b_tot"] is not None]
    gains, b_tot = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return len(crossings(gains, b_tot))


def _curve_cells(rows: _Rows, c: int) -> list[str]:
    row, tail = rows.summary[c], rows.tails[c][SIZE]
    return [
        gain_words(row["g"]),
        _number(row["occupancy"]),
        _number(row["b_time"]),
        _number(row["b_depth"]),
        _interval(row, "b_tot"),
        _number(row["b_tot_perm_exact"]),
        _number(row["chi"]),
        _number(tail["alpha_powerlaw"]) + ("" if tail["status"] == STATUS_OK else _DOUBT),
        _number(row["crackling_gamma"]) + ("" if row["crackling_reason"] is None else _DOUBT),
    ]


# -------------------------------------------------------------------------------- a condition


def _condition(analysis: Analysis, rows: _Rows, c: int) -> Iterator[str]:
    """Everything about one condition, and its verdicts where it lies on no curve."""
    row, nulls = rows.summary[c], rows.nulls[c]
    each, unit = analysis.conditions[c], analysis.given.event
    on_curve = analysis.window_set is WindowSet.CALIBRATION
    few = " (few windows: intervals too narrow)" if row["few_windows"] else ""
    yield (f"at g* = {gain_words(row['g'])}" if on_curve else each.condition.target_label) + few
    yield from _line("occupancy p", _percolation(each.percolation))
    if not analysis.given.sites_only:  # whose rate is the occupancy
        yield from _line("rate", f"{_number(row['achieved_rate_mean'])} {unit} per site")
    yield from _branching(row, nulls, adjusted=len(rows.summary) > 1)
    yield from _line("chi", f"{_interval(row, 'chi')} {unit}", row["chi_reason"])
    yield from _avalanches(row, unit)
    for name, variable in (("size tail", SIZE), ("span tail", SPAN)):
        yield from _line(name, _tail(rows.tails[c][variable]))
    yield from _line("gamma", _gamma(rows.crackling[c]))
    if not on_curve:
        label = each.condition.target_label
        entries = analysis.signatures.entries
        yield from _verdicts([entry for entry in entries if entry.target_label == label])


def _percolation(context: PercolationContext) -> str:
    distance = context.occupancy - context.threshold
    where = f"{abs(distance):.3f} {'below' if distance < 0 else 'above'} it"
    if context.near:
        where = "near it, where tails are broad without dynamics"
    return (
        f"{context.occupancy:.3f}, {context.occupancy_min:.3f} to {context.occupancy_max:.3f} over "
        f"layers; p_c = {context.threshold:.3f}, {where}"
    )


def _branching(row: Row, nulls: Row, *, adjusted: bool) -> Iterator[str]:
    """Each ratio beside its null."""
    name_p = "adjusted p" if adjusted else "p"
    tested = {
        "b_time": ("permuted", "b_time_perm_exact", "delta_b_time"),
        "b_depth": ("shifted", "b_depth_shift_exact", "delta_b_depth_shift"),
        "b_tot": ("permuted", "b_tot_perm_exact", "delta_b_tot"),
    }
    for name, (null, expected, surplus) in tested.items():
        p = row.get(f"{surplus}_p_adj")
        words = (
            f"{_interval(row, name)}; {null} {_number(row[expected])}, surplus "
            f"{_interval(row, surplus)}{'' if p is None else f', {name_p} {_p(p)}'}"
        )
        yield from _line(name, words, "" if row[name] is not None else _NO_ANCESTORS)
    yield from _line(
        "tokens",
        f"the surplus of b_time has p {_p(row['delta_b_time_p_tokens'])} when tokens are permuted "
        "with all their layers",
    )
    if nulls["b_depth_token_id_exact"] is not None:
        yield from _line(
            "token ids",
            f"b_depth {_number(nulls['b_depth_token_id_exact'])} by exchange within token ids, "
            f"surplus {_number(nulls['delta_b_depth_token_id'])}, p "
            f"{_p(nulls['p_depth_token_id_exact'])}; "
            f"{nulls['exchangeable_share']:.0%} of places can be exchanged",
        )
    yield from _line(
        "b_depth_mr",
        f"{_number(row['b_depth_mr'])} by multistep regression; tokens that are loud in all layers "
        "raise it",
        row["b_depth_mr_reason"],
    )


def _avalanches(row: Row, unit: str) -> Iterator[str]:
    words = (
        f"{row['n_avalanches']:,}; means: size {_number(row['avalanche_size_mean'])} {unit}, span "
        f"{_number(row['avalanche_span_tokens_mean'])} tokens, "
        f"{_number(row['avalanche_span_layers_mean'])} layers"
    )
    yield from _line("avalanches", words, row["avalanche_reason"])


def _tail(row: Row) -> str:
    """The exponent beside that of permuted rasters, the best family, and whether it can be used."""
    alpha = _with_ends(row["alpha_powerlaw"], row["alpha_ci_low"], row["alpha_ci_high"])
    null = _with_ends(
        row["alpha_null_perm"], row["alpha_null_perm_low"], row["alpha_null_perm_high"]
    )
    if row["xmin"] is None:
        return f"no fit: {row['reason']}"
    state = "ok" if row["status"] == STATUS_OK else f"not assessable, {row['reason']}"
    fit = "" if row["ks_p"] is None else f", KS p {_p(row['ks_p'])}"
    best = row["best_family"] or "none"
    words = (
        f"alpha {alpha}, permuted {null}; from xmin {row['xmin']} on, n {row['n_tail']:,}, "
        f"{_number(row['decades'])} decades; best family {best}{fit}; {state}"
    )
    return words if row["alpha_null_perm"] is not None else f"{words}; {row['parameters_reason']}"


def _gamma(row: Row) -> str:
    gamma = _with_ends(row["crackling_gamma"], row["crackling_ci_low"], row["crackling_ci_high"])
    difference = _with_ends(row["dcc_signed"], row["dcc_signed_ci_low"], row["dcc_signed_ci_high"])
    words = (
        f"{gamma}; predicted {_number(row['gamma_pred'])}, difference {difference}; permuted rows "
        f"{_number(row['gamma_null_perm'])}, permuted tokens {_number(row['gamma_null_tokens'])}"
    )
    return words if row["reason"] is None else f"{words}; {row['reason']}"


def _verdicts(entries: Sequence[SignatureEntry]) -> Iterator[str]:
    for entry in entries:
        verdict = entry.verdict.replace("_", " ")
        yield from _wrapped(f"{entry.signature_id}: {verdict}; {entry.reason}", "  ")


# ------------------------------------------------------------------------------------- remarks


def _remarks(analysis: Analysis) -> Iterator[str]:
    """What the nulls cannot remove, and the notes."""
    yield from _wrapped(f"What these nulls cannot remove. {_null_words(analysis)}", "")
    for note in analysis.notes:
        yield from _wrapped(f"Note: {note}.", "")


def _null_words(analysis: Analysis) -> str:
    return f"{_REMAINS} {_WITHOUT_TOKENS if analysis.given.token_ids is None else _WITH_TOKENS}"


# ------------------------------------------------------------------------------------- numbers


def _line(name: str, words: str, reason: str | None = "") -> Iterator[str]:
    """A line of a condition; the reason in the place of what is undefined."""
    text = f"undefined: {reason}" if reason else words
    yield from _wrapped(f"{name:<{_LABEL}}{text}", "  ", hang=_LABEL)


def _wrapped(text: str, indent: str, *, hang: int = 4) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hang * " ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _number(value: float | None) -> str:
    """Three significant digits, and whole numbers beyond them."""
    if value is None:
        return "undefined"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def _with_ends(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return _number(value)
    return f"{_number(value)} [{_number(low)}, {_number(high)}]"


def _interval(row: Row, name: str) -> str:
    """A number of T01 with its interval."""
    return _with_ends(row[name], row[f"opt_{name}_ci_low"], row[f"opt_{name}_ci_high"])


def _p(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"< {_SMALLEST_P:g}" if value < _SMALLEST_P else f"= {value:.2g}"
