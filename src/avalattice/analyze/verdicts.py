"""g* and the three signatures of given counts.

With gains, the conditions are one curve, and S1 to S3 are judged as the pipeline judges one, except
that g* was chosen on the very windows at which it is judged: every verdict says so. Without gains,
S1 and S2 have no curve to be assessed on, and S3 is judged for each condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from avalattice.analyze.conditions import AnalysedCondition, Options
from avalattice.analyze.counts import GAIN
from avalattice.canon import WindowSet
from avalattice.export.documents import (
    GStarDocument,
    GStarEntry,
    SignatureEntry,
    SignaturesDocument,
)
from avalattice.export.signature_entries import (
    judge_curve,
    judge_raster,
    percolation_entry,
    rows_at_gstar,
)
from avalattice.rng import decimal_text
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.chi_peak import chi_peak
from avalattice.stats.gstar import CRITERION, select_gstar
from avalattice.stats.summary import Summary

SAME_WINDOWS: Final = "g* was chosen on these same windows"
NO_CURVE: Final = f"no gains were given (key {GAIN}), so that there is no curve against the gain"

Row = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """Rows of the tables that verdicts rest on, as they are read back."""

    summary: list[Row]
    """T01."""
    tails: list[Row]
    """T04."""
    crackling: list[Row]
    """T05."""


def choose_gstar(
    conditions: Sequence[AnalysedCondition], summary: Summary, options: Options, digest: str
) -> GStarDocument:
    """g* of the curve that the conditions are.

    Args:
        conditions: a point of the curve each.
        summary: of the same, in the same order.
        options: how they were analysed.
        digest: sha256 of the counts and options.
    """
    order = _by_gain(conditions)
    gains = [conditions[c].condition.gain for c in order]
    found = select_gstar(gains, summary.branching.b_tot[order], summary.b_tot_replicates[:, order])
    condition = conditions[0].condition
    choice = GStarEntry.of(
        found,
        spike_def_id=condition.spike_def_id,
        target_label=condition.target_label,
        target_rate=condition.target_rate,
        few_windows=summary.few_windows,
    )
    return GStarDocument(
        model_role=condition.model_role,
        criterion=f"{CRITERION}; {SAME_WINDOWS}",
        inputs={condition.spike_def_id: digest},
        gains=[decimal_text(gain) for gain in gains],
        bootstrap_reps=options.bootstrap_reps,
        n_sequences=summary.n_windows,
        choices=[choice],
    )


def judge(
    conditions: Sequence[AnalysedCondition],
    rows: Rows,
    gstar: GStarDocument | None,
    resamples: Resamples,
) -> SignaturesDocument:
    """S1 to S3 of the curve, or of each condition where there is none.

    Args:
        conditions: what was analysed.
        rows: of the tables.
        gstar: the choice of g*; None without gains.
        resamples: of the N windows.
    """
    if gstar is None:
        entries = [entry for each in conditions for entry in _judge_alone(each, rows)]
    else:
        entries = _judge_curve(conditions, rows, gstar.choices[0], resamples)
    percolation = [percolation_entry(each.condition, each.percolation) for each in conditions]
    return SignaturesDocument(entries=entries, percolation=percolation)


def _by_gain(conditions: Sequence[AnalysedCondition]) -> list[int]:
    """Indices of the conditions by rising gain."""
    return sorted(range(len(conditions)), key=lambda c: conditions[c].condition.gain)


def _judge_curve(
    conditions: Sequence[AnalysedCondition], rows: Rows, choice: GStarEntry, resamples: Resamples
) -> list[SignatureEntry]:
    ordered = [conditions[c] for c in _by_gain(conditions)]
    totals = np.stack([each.A.sum(axis=(1, 2), dtype=np.int64) for each in ordered])
    peak = chi_peak([each.condition.gain for each in ordered], totals, resamples)
    at_gstar = rows_at_gstar(choice, WindowSet.CALIBRATION, **vars(rows))
    near = any(each.percolation.near for each in ordered if each.condition.gain == choice.gain)
    entries = judge_curve(choice, peak, *at_gstar, near_percolation=near)
    if choice.gain is None:
        return entries
    return [
        entry.model_copy(update={"reason": f"{entry.reason}; {SAME_WINDOWS}"}) for entry in entries
    ]


def _judge_alone(each: AnalysedCondition, rows: Rows) -> list[SignatureEntry]:
    label = each.condition.target_label

    def of_condition(table: list[Row]) -> list[Row]:
        return [row for row in table if row["target_label"] == label]

    (summary,), (crackling,) = of_condition(rows.summary), of_condition(rows.crackling)
    return judge_raster(
        each.condition,
        summary,
        {row["variable"]: row for row in of_condition(rows.tails)},
        crackling,
        near_percolation=each.percolation.near,
        no_curve=NO_CURVE,
    )
