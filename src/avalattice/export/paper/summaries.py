"""The tables of the paper: curated columns of the exported ones, numbers as they stand there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from avalattice.canon import CONST, GCondition, ModelRole
from avalattice.export.paper.cells import cell_words
from avalattice.export.paper.claims import few_words, picks
from avalattice.export.paper.comparisons import Row
from avalattice.export.paper.conditions import EVERY, HELD_OUT, Where
from avalattice.export.paper.markdown import Markdown, interval, table
from avalattice.export.paper.sources import (
    ABLATIONS,
    CHOICES,
    CRACKLING,
    GENERALIZATION,
    GSTAR,
    NULLS,
    REPLICATION,
    SIGNATURES,
    SUMMARY,
    TAILS,
    Rows,
    Source,
)
from avalattice.stats.signatures import Outcome

Read: TypeAlias = Callable[[Row], Any]


@dataclass(frozen=True)
class Cell:
    """One column of a summary."""

    header: str
    read: Read


@dataclass(frozen=True)
class Summary:
    """Which rows and columns of a source the paper shows."""

    source: Source
    cells: tuple[Cell, ...]
    where: Where = EVERY

    def markdown(self, rows: Rows) -> Markdown:
        """The table, with the flag of its intervals; lines that say the same are given once."""
        shown = [row for row in rows if picks(self.where, row)]
        lines = dict.fromkeys(tuple(cell.read(row) for cell in self.cells) for row in shown)
        notes = (
            f"\n\n*{few.capitalize()}: fewer than {CONST.FEW_WINDOWS}, so that intervals cover "
            "less than they say.*"
            for few in few_words(shown)
        )
        return Markdown(table([cell.header for cell in self.cells], lines) + "".join(notes))


# --------------------------------------------------------------------------------------- cells


def _plain(name: str, header: str = "") -> Cell:
    return Cell(header or name, lambda row: cell_words(name, row[name]))


def _ranged(name: str, header: str = "", prefix: str = "") -> Cell:
    low, high = (f"{prefix}{name}_{end}" for end in ("ci_low", "ci_high"))
    return Cell(header or name, lambda row: interval(row[name], row[low], row[high]))


def _between(name: str, low: str, high: str, header: str = "") -> Cell:
    return Cell(header or name, lambda row: interval(row[name], row[low], row[high]))


def _reason(name: str = "reason") -> Cell:
    return Cell("remark", lambda row: row[name] or "")


def _verdict(name: str) -> Cell:
    return Cell("verdict", lambda row: verdict_words(row[name]))


def verdict_words(verdict: str) -> str:
    """A verdict in words."""
    return Outcome(verdict).value.replace("_", " ")


_CURVE: Final = (_plain("spike_def_id", "spikes"), _plain("target_label", "target"))
_AT: Final = (*_CURVE, _plain("g"))
_CONDITION: Final = (*_CURVE, _plain("g_condition", "gain"), _plain("g"))


# ------------------------------------------------------------------------------------ summaries


def _of_role(role: ModelRole) -> tuple[Cell, ...]:
    suffix = role.lower()
    names = {
        str(GCondition.GSTAR): "g*",
        "identifiable": "identifiable",
        "delta_b_tot": "delta_b_tot",
        "delta_b_depth_shift": "delta_b_depth_shift",
        "chi": "chi",
    }
    return tuple(_plain(f"{name}_{suffix}", f"{words}, {role}") for name, words in names.items())


SUMMARIES: Final[Mapping[str, Summary]] = {
    "branching": Summary(
        SUMMARY,
        (
            *_AT,
            _plain("occupancy"),
            _plain("b_time"),
            _plain("b_depth"),
            _ranged("b_tot", prefix="opt_"),
            _ranged("delta_b_time", prefix="opt_"),
            _plain("delta_b_time_p_adj", "p adj., time"),
            _ranged("delta_b_depth_shift", prefix="opt_"),
            _plain("delta_b_depth_shift_p_adj", "p adj., depth"),
        ),
        HELD_OUT,
    ),
    "rates": Summary(
        SUMMARY,
        (
            *_AT,
            _plain("target_rate", "target rate"),
            _plain("achieved_rate_mean", "mean rate"),
            _plain("achieved_rate_max_abs_err", "worst layer off by"),
            _between("occupancy", "occupancy_min", "occupancy_max", "occupancy, range over layers"),
            _plain("achieved_rate_tokshuffle", "mean rate, shuffled input"),
            _plain("b_depth_mr"),
            _ranged("chi", prefix="opt_"),
        ),
        HELD_OUT,
    ),
    "nulls": Summary(
        NULLS,
        (
            *_CURVE,
            _plain("gain", "g"),
            _plain("delta_b_time_token_id"),
            _plain("p_time_token_id_mc", "p, time"),
            _plain("delta_b_depth_token_id"),
            _plain("p_depth_token_id_exact", "p, depth"),
            _ranged("delta_excess_time"),
            _ranged("delta_excess_depth"),
        ),
        HELD_OUT,
    ),
    "selection": Summary(
        GSTAR,
        (
            *_CURVE,
            _plain(str(GCondition.GSTAR), "g*"),
            _plain("b_tot"),
            _ranged("crossing"),
            _ranged("slope"),
            _plain("share_bracketed", "share bracketed"),
            _plain("identifiable"),
            _reason(),
        ),
    ),
    "signatures": Summary(
        SIGNATURES,
        (*_CURVE, _plain("signature_id", "signature"), _verdict("verdict"), _reason()),
    ),
    "generalization": Summary(
        GENERALIZATION,
        (
            *_CONDITION,
            _ranged("b_tot"),
            _ranged("delta_b_depth_shift"),
            _ranged("chi"),
            _plain("achieved_rate_mean", "mean rate"),
            _ranged("ppl", "perplexity"),
            _ranged("b_tot_diff", "b_tot, g* less g1"),
            _ranged("ppl_diff", "perplexity, g* less g1"),
        ),
    ),
    "choices": Summary(
        CHOICES,
        (
            _plain("scoring"),
            _plain("g"),
            _plain("n_questions", "questions"),
            _ranged("accuracy"),
            _ranged("accuracy_norm", "accuracy, normalised"),
            _plain("chance"),
            _plain("mean_logprob_correct_minus_incorrect", "margin (nats)"),
            _ranged("accuracy_diff", "accuracy, g* less g1"),
            _plain("p_adj", "adjusted p"),
        ),
    ),
    "tails": Summary(
        TAILS,
        (
            *_AT,
            _plain("variable"),
            _plain("xmin"),
            _plain("n_tail"),
            _plain("decades"),
            _between("alpha_powerlaw", "alpha_ci_low", "alpha_ci_high", "alpha"),
            _plain("ks_p", "KS p"),
            _plain("best_family", "best family"),
            _between("alpha_null_perm", "alpha_null_perm_low", "alpha_null_perm_high", "permuted"),
            _plain("status"),
            _reason(),
        ),
    ),
    "crackling": Summary(
        CRACKLING,
        (
            *_AT,
            _between("crackling_gamma", "crackling_ci_low", "crackling_ci_high", "gamma"),
            _plain("gamma_interior", "gamma, interior"),
            _plain("gamma_pred", "gamma predicted"),
            _ranged("dcc_signed", "difference"),
            _between(
                "gamma_null_perm", "gamma_null_perm_low", "gamma_null_perm_high", "rows permuted"
            ),
            _between(
                "gamma_null_tokens",
                "gamma_null_tokens_low",
                "gamma_null_tokens_high",
                "tokens permuted",
            ),
            _plain("border_event_share", "border share"),
            _plain("pass", "gates"),
            _reason(),
        ),
    ),
    "ablations": Summary(
        ABLATIONS,
        (
            *_CURVE,
            _plain("intervention_id", "intervention"),
            _plain("adjacency_id", "adjacency"),
            _plain("g"),
            _ranged("b_tot"),
            _ranged("delta_b_depth_shift"),
            _plain("chi"),
            _plain("n_avalanches", "avalanches"),
            _plain("avalanche_size_mean", "mean size"),
            _plain("crackling_gamma", "gamma"),
            _reason(),
        ),
    ),
    "replication": Summary(
        REPLICATION,
        (*_CURVE, *(cell for role in ModelRole for cell in _of_role(role)), _reason()),
    ),
}
"""By the name under which templates show them."""
