"""The three signatures of one curve, judged from rows of the tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from avalattice.canon import SignatureId, WindowSet
from avalattice.export.avalanche_rows import SIZE, SPAN
from avalattice.export.documents import GStarEntry, PercolationEntry, SignatureEntry
from avalattice.lattice.percolation import PercolationContext
from avalattice.lattice.rasters import Condition
from avalattice.rng import decimal_text
from avalattice.stats.chi_peak import ChiPeak
from avalattice.stats.signatures import (
    Ends,
    Outcome,
    Verdict,
    assess_branching_crossing,
    assess_crackling_relation,
    assess_susceptibility_peak,
)

Row = Mapping[str, Any]
_NO_RASTER = "there is no raster at g*"


def judge_curve(
    choice: GStarEntry,
    peak: ChiPeak,
    summary: Row | None,
    tails: Mapping[str, Row],
    crackling: Row | None,
    *,
    near_percolation: bool,
) -> list[SignatureEntry]:
    """S1 to S3 of one spike definition and target.

    Args:
        choice: of g*.
        peak: of chi over the grid.
        summary: T01's row at g*, on held-out windows; None where there is no g*.
        tails: T04's rows at g*, by variable.
        crackling: T05's row at g*.
        near_percolation: the occupancy at g* lies near the percolation threshold.
    """
    verdicts = [
        _branching_crossing(choice, summary),
        assess_susceptibility_peak(
            peak,
            gstar=choice.gain,
            identifiable=choice.identifiable,
            gstar_reason=choice.reason,
        ),
        _crackling_relation(summary or {}, tails, crackling or {}, near=near_percolation),
    ]
    return [
        SignatureEntry.of(
            verdict, spike_def_id=choice.spike_def_id, target_label=choice.target_label
        )
        for verdict in verdicts
    ]


def judge_raster(
    condition: Condition,
    summary: Row,
    tails: Mapping[str, Row],
    crackling: Row,
    *,
    near_percolation: bool,
    no_curve: str,
) -> list[SignatureEntry]:
    """S1 to S3 of one raster that lies on no curve: S3 alone can be assessed.

    Args:
        condition: what the raster was made under.
        summary: T01's row of it.
        tails: T04's rows of it, by variable.
        crackling: T05's row of it.
        near_percolation: its occupancy lies near the percolation threshold.
        no_curve: why there is no curve against the gain.
    """
    needs_curve = (SignatureId.S1_BRANCHING_CROSSING, SignatureId.S2_SUSCEPTIBILITY_PEAK)
    verdicts = [Verdict(name, Outcome.NOT_ASSESSABLE, no_curve, {}) for name in needs_curve]
    verdicts.append(_crackling_relation(summary, tails, crackling, near=near_percolation))
    return [
        SignatureEntry.of(
            verdict, spike_def_id=condition.spike_def_id, target_label=condition.target_label
        )
        for verdict in verdicts
    ]


def rows_at_gstar(
    choice: GStarEntry,
    window_set: WindowSet,
    *,
    summary: Iterable[Row],
    tails: Iterable[Row],
    crackling: Iterable[Row],
) -> tuple[Row | None, dict[str, Row], Row | None]:
    """T01's row at g*, T04's by variable, and T05's; none where there is no g*.

    Args:
        choice: of g*.
        window_set: the windows that the rows are of.
        summary: T01.
        tails: T04.
        crackling: T05.
    """

    def chosen(rows: Iterable[Row]) -> list[Row]:
        wanted = (window_set, choice.spike_def_id, choice.target_label)
        key = ("window_set", "spike_def_id", "target_label")
        return [
            row
            for row in rows
            if tuple(row[name] for name in key) == wanted
            and choice.gain is not None
            and row["g"] == float(choice.gain)
        ]

    by_variable = {row["variable"]: row for row in chosen(tails)}
    return next(iter(chosen(summary)), None), by_variable, next(iter(chosen(crackling)), None)


def _branching_crossing(choice: GStarEntry, summary: Row | None) -> Verdict:
    row = summary or {}
    return assess_branching_crossing(
        gstar=choice.gain,
        bracketed=choice.bracketed,
        identifiable=choice.identifiable,
        gstar_reason=choice.reason,
        crossing=_number(choice.crossing),
        delta_b_depth_shift=_number(row.get("delta_b_depth_shift")),
        p_adj=_number(row.get("delta_b_depth_shift_p_adj")),
        few_windows=choice.few_windows or bool(row.get("few_windows")),
    )


def _crackling_relation(
    summary: Row, tails: Mapping[str, Row], crackling: Row, *, near: bool
) -> Verdict:
    return assess_crackling_relation(
        size_reason=_reason(tails.get(SIZE)),
        span_reason=_reason(tails.get(SPAN)),
        crackling_reason=summary.get("crackling_reason") or ("" if summary else _NO_RASTER),
        gamma=_number(crackling.get("crackling_gamma")),
        gamma_interval=_ends(crackling, "crackling_ci_low", "crackling_ci_high"),
        dcc_signed=_number(crackling.get("dcc_signed")),
        dcc_interval=_ends(crackling, "dcc_signed_ci_low", "dcc_signed_ci_high"),
        gamma_null=_number(crackling.get("gamma_null_perm")),
        gamma_null_range=_ends(crackling, "gamma_null_perm_low", "gamma_null_perm_high"),
        gamma_null_tokens=_number(crackling.get("gamma_null_tokens")),
        gamma_null_tokens_range=_ends(crackling, "gamma_null_tokens_low", "gamma_null_tokens_high"),
        near_percolation=near,
        few_windows=bool(crackling.get("few_windows")),
    )


def percolation_entry(condition: Condition, context: PercolationContext) -> PercolationEntry:
    """Where the occupancy of a condition's raster lies beside the percolation threshold."""
    return PercolationEntry(
        spike_def_id=str(condition.spike_def_id),
        target_label=condition.target_label,
        g=decimal_text(condition.gain),
        adjacency_id=str(context.adjacency),
        occupancy=None if math.isnan(context.occupancy) else context.occupancy,
        threshold=context.threshold,
        near=bool(context.near),
        words=context.words,
    )


def _reason(tail: Row | None) -> str:
    return _NO_RASTER if tail is None else tail["reason"] or ""


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _ends(row: Row, low: str, high: str) -> Ends:
    return _number(row.get(low)), _number(row.get(high))
