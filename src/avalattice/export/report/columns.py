"""Which columns of each table come first, under which heading, and why a number may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from avalattice.export import schemas
from avalattice.export.schemas.columns import (
    CURVE,
    RATIO,
    WINDOW_COUNT,
    interval,
    number,
    reason,
    with_provenance,
)
from avalattice.export.tabular import BOOL, F64, TEXT, Column, TableSchema


@dataclass(frozen=True)
class Lead:
    """A column that is shown at once."""

    name: str
    heading: str
    low: str = ""
    """Column with the lower end of what stands in brackets behind the number."""
    high: str = ""


@dataclass(frozen=True)
class TableWords:
    """How one table is shown."""

    schema: TableSchema
    title: str
    caption: str
    leads: tuple[Lead, ...]


CHOICES = TableSchema(
    "gstar_choices",
    ("model_role", "spike_def_id", "target_label"),
    with_provenance(
        *CURVE,
        number("g_star", "chosen gain: b_tot nearest one", "", 0),
        number("b_tot", "at g*, calibration windows", RATIO, 0),
        Column("bracketed", BOOL, "b_tot − 1 changes sign inside the grid"),
        Column("at_grid_edge", BOOL, "g* is the first or last gain"),
        Column("identifiable", BOOL, "the data determine g*"),
        number("crossing", "interpolated gain at which b_tot is one"),
        *interval("crossing"),
        number("slope", "db_tot/dg, least squares"),
        *interval("slope"),
        Column("share_bracketed", F64, "share of window resamples that are bracketed", "", 0, 1),
        Column("shares", TEXT, "share of window resamples that choose each gain"),
        Column("excluded", TEXT, "gains with undefined b_tot", nullable=True),
        reason("reason", "g* is not identifiable"),
        *WINDOW_COUNT,
    ),
)
"""The choices of ``gstar.json`` as a table."""


def _ci(name: str, heading: str, prefix: str = "") -> Lead:
    return Lead(name, heading, f"{prefix}{name}_ci_low", f"{prefix}{name}_ci_high")


_OF = (Lead("model_role", "model"),)
_CURVE = (Lead("spike_def_id", "events"), Lead("target_label", "target"))
_ROWS = (*_OF, Lead("window_set", "windows"), *_CURVE, Lead("g", "g"))
_COUNT = (Lead("n_sequences", "windows"), Lead("few_windows", "few"))
_PER_CONDITION = (*_OF, *_CURVE, Lead("g_condition", "at"), Lead("g", "g"))
_GAMMA = Lead("crackling_gamma", "γ", "crackling_ci_low", "crackling_ci_high")

TABLE_WORDS: Final[Mapping[str, TableWords]] = {
    words.schema.name: words
    for words in (
        TableWords(
            schemas.T01_SUMMARY,
            "T01 Summary",
            "Every measure beside its null. In sample: the windows on which τ was fitted, at "
            "every gain; claims about the gain rest on these. Held out: other windows, at g = 1 "
            "and g*; claims about single conditions rest on these.",
            (
                *_ROWS,
                Lead("occupancy", "p", "occupancy_min", "occupancy_max"),
                _ci("b_time", "b_time", "opt_"),
                _ci("b_depth", "b_depth", "opt_"),
                _ci("b_tot", "b_tot", "opt_"),
                Lead("b_tot_perm_exact", "b_tot permuted"),
                _ci("delta_b_time", "Δb_time", "opt_"),
                Lead("delta_b_time_p_adj", "adj. p"),
                Lead("delta_b_time_p_tokens", "p, tokens"),
                _ci("delta_b_depth_shift", "Δb_depth shift", "opt_"),
                Lead("delta_b_depth_shift_p_adj", "adj. p"),
                _ci("delta_excess_tokshuffle", "Δ over shuffled input", "opt_"),
                _ci("chi", "χ", "opt_"),
                _GAMMA,
                Lead("n_avalanches", "avalanches"),
                Lead("avalanche_size_mean", "mean S"),
                *_COUNT,
            ),
        ),
        TableWords(
            schemas.T02_GENERALIZATION,
            "T02 Generalisation",
            "Dataset B with the thresholds and g* of Dataset A, unchanged. Differences are g* "
            "less g = 1, paired by window.",
            (
                *_PER_CONDITION,
                _ci("ppl", "perplexity"),
                _ci("ppl_diff", "difference"),
                _ci("b_tot", "b_tot"),
                _ci("b_tot_diff", "difference"),
                _ci("delta_b_depth_shift", "Δb_depth shift"),
                _ci("chi", "χ"),
                _ci("chi_diff", "difference"),
                Lead("achieved_rate_mean", "achieved rate"),
                *_COUNT,
            ),
        ),
        TableWords(
            schemas.T03_ARC,
            "T03 Multiple choice",
            "Accuracy at g = 1 and at g*, beside chance; differences are paired by question.",
            (
                Lead("model_role", "model"),
                Lead("scoring", "scoring"),
                *_CURVE,
                Lead("g_condition", "at"),
                Lead("g", "g"),
                _ci("accuracy", "accuracy"),
                Lead("chance", "chance"),
                Lead("covers_chance", "covers chance"),
                _ci("accuracy_norm", "normalised"),
                _ci("accuracy_diff", "difference"),
                Lead("mcnemar_p", "McNemar p"),
                Lead("p_adj", "adj. p"),
                Lead("n_questions", "questions"),
                Lead("prompt_template_id", "prompt"),
            ),
        ),
        TableWords(
            schemas.T04_TAIL_FITS,
            "T04 Tail fits",
            "Discrete fits of avalanche sizes and spans. A fit describes; it supports no claim of "
            "criticality. In brackets behind the null's exponent: its draws.",
            (
                *_ROWS,
                Lead("variable", "variable"),
                Lead("status", "status"),
                Lead("alpha_powerlaw", "α", "alpha_ci_low", "alpha_ci_high"),
                Lead(
                    "alpha_null_perm", "α permuted", "alpha_null_perm_low", "alpha_null_perm_high"
                ),
                Lead("best_family", "best family"),
                Lead("xmin", "x_min"),
                Lead("n_tail", "in tail"),
                Lead("decades", "decades"),
                Lead("ks", "KS"),
                Lead("ks_p", "KS p"),
                Lead("llr_powerlaw_vs_lognormal", "LLR vs log-normal"),
                Lead("p_powerlaw_vs_lognormal", "p"),
                Lead("reason", "why not assessable"),
            ),
        ),
        TableWords(
            schemas.T05_CRACKLING_DIAGNOSTICS,
            "T05 Crackling relation",
            "Size against span, and what the tail exponents predict. In brackets behind the "
            "null's γ: its draws.",
            (
                *_ROWS,
                Lead("pass", "passes"),
                _GAMMA,
                Lead(
                    "gamma_null_perm", "γ permuted", "gamma_null_perm_low", "gamma_null_perm_high"
                ),
                Lead("gamma_pred", "γ predicted"),
                _ci("dcc_signed", "γ − predicted"),
                Lead("gamma_interior", "γ interior"),
                Lead("border_event_share", "at border"),
                Lead("n_duration_points", "spans"),
                Lead("r2", "r²"),
                Lead("collapse_error", "collapse error"),
                Lead("reason", "why not"),
                *_COUNT,
            ),
        ),
        TableWords(
            schemas.T06_ABLATIONS,
            "T06 Ablations",
            "The gain on other sublayers and on thirds of the depth, each with its own rate "
            "matching, on calibration windows.",
            (
                *_OF,
                *_CURVE,
                Lead("intervention_id", "gain on"),
                Lead("adjacency_id", "adjacency"),
                Lead("g_condition", "at"),
                Lead("g", "g"),
                _ci("b_tot", "b_tot"),
                _ci("delta_b_tot", "Δb_tot"),
                _ci("delta_b_depth_shift", "Δb_depth shift"),
                _ci("chi", "χ"),
                Lead("n_avalanches", "avalanches"),
                Lead("avalanche_size_mean", "mean S"),
                Lead("crackling_gamma", "γ"),
                *_COUNT,
            ),
        ),
        TableWords(
            schemas.T07_REPLICATION_SUMMARY,
            "T07 Replication",
            "Both models side by side, at the g* of each.",
            (
                *_CURVE,
                Lead("gstar_instruct", "g* instruct"),
                Lead("gstar_base", "g* base"),
                Lead("identifiable_instruct", "identifiable instruct"),
                Lead("identifiable_base", "identifiable base"),
                Lead("delta_b_depth_shift_instruct", "Δb_depth shift instruct"),
                Lead("delta_b_depth_shift_base", "Δb_depth shift base"),
                Lead("chi_instruct", "χ instruct"),
                Lead("chi_base", "χ base"),
                Lead("same_family", "one family"),
                Lead("reason", "reason"),
            ),
        ),
        TableWords(
            CHOICES,
            "Choices of g*",
            "From branching on calibration windows alone; identifiable says whether the data "
            "determine the choice.",
            (
                *_OF,
                *_CURVE,
                Lead("g_star", "g*"),
                Lead("b_tot", "b_tot"),
                Lead("identifiable", "identifiable"),
                _ci("crossing", "crossing"),
                _ci("slope", "slope"),
                Lead("share_bracketed", "bracketed resamples"),
                *_COUNT,
                Lead("reason", "why not"),
                Lead("shares", "resamples choosing"),
            ),
        ),
        TableWords(
            schemas.NULL_STATISTICS,
            "Null statistics",
            "The raster's branching ratios beside every null, in closed form and from draws.",
            (
                *_OF,
                Lead("window_set", "windows"),
                *_CURVE,
                Lead("gain", "g"),
                Lead("b_time", "b_time"),
                Lead("b_time_perm_exact", "permuted"),
                _ci("delta_b_time", "Δb_time"),
                Lead("p_time_perm_exact", "p"),
                Lead("b_depth", "b_depth"),
                Lead("b_depth_shift_exact", "shifted"),
                _ci("delta_b_depth_shift", "Δb_depth shift"),
                Lead("p_depth_shift_exact", "p"),
                Lead("p_depth_shift_mc", "p from draws"),
                Lead("b_depth_token_id_exact", "b_depth within tokens"),
                Lead("delta_b_depth_token_id", "Δ"),
                Lead("p_depth_token_id_exact", "p"),
                Lead("b_tot_tokshuffle", "b_tot shuffled input"),
                _ci("delta_excess_tokshuffle", "Δ over shuffled input"),
            ),
        ),
        TableWords(
            schemas.METRICS,
            "Measures",
            "Branching ratios and susceptibility as the runs measured them, without nulls.",
            (
                *_OF,
                Lead("window_set", "windows"),
                *_CURVE,
                Lead("gain", "g"),
                Lead("occupancy", "p", "occupancy_min", "occupancy_max"),
                _ci("b_time", "b_time"),
                _ci("b_depth", "b_depth"),
                _ci("b_tot", "b_tot"),
                _ci("chi", "χ"),
                Lead("achieved_rate_mean", "achieved rate"),
                Lead("achieved_rate_max_event_err", "worst layer, events"),
                *_COUNT,
            ),
        ),
    )
}
"""By schema name, in the order of the report."""

_REASONS: Final = (
    ("tokshuffle", "tokshuffle_reason"),
    ("excess", "tokshuffle_reason"),
    ("token_id", "token_id_reason"),
    ("exchangeable", "token_id_reason"),
    ("b_depth_mr", "b_depth_mr_reason"),
    ("_diff", "diff_reason"),
    ("mcnemar", "diff_reason"),
    ("p_adj", "diff_reason"),
    ("crackling", "crackling_reason"),
    ("avalanche_", "avalanche_reason"),
    ("chi", "chi_reason"),
    ("delta", "null_reason"),
    ("perm", "null_reason"),
    ("shift", "null_reason"),
    ("time_tokens", "null_reason"),
    ("_mc", "null_reason"),
    ("b_", "branching_reason"),
    ("b_", "null_reason"),
    ("", "reason"),
    ("", "out_of_sample_reason"),
)
"""Part of a column's name, and the column that says why such a number is undefined."""
_FURTHER: Final = {"reason": "parameters_reason"}
"""A column of reasons, and another that adds to it."""


def reason_column(name: str, known: frozenset[str]) -> str | None:
    """The column of a table that says why a number is undefined; None if there is none.

    >>> reason_column("opt_chi_ci_low", frozenset({"chi", "chi_reason", "null_reason", "reason"}))
    'chi_reason'
    """
    return next((column for part, column in _REASONS if part in name and column in known), None)


def why_undefined(row: Mapping[str, Any], name: str, known: frozenset[str]) -> str | None:
    """What a row says of why one of its numbers is undefined; None if it says nothing.

    Args:
        row: of a table.
        name: the number's column.
        known: the table's columns.
    """
    first = reason_column(name, known)
    columns = [column for column in (first, _FURTHER.get(first or "")) if column in known]
    return "; ".join(str(row[column]) for column in columns if row[column]) or None
