"""Phase 2, selection: g* per spike definition and target, from branching metrics alone."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from avalattice.canon import OUTPUT, StageTag, WindowSet
from avalattice.export.documents import GStarDocument, GStarEntry
from avalattice.export.schemas import METRICS, METRICS_WINDOWS
from avalattice.export.tables import sums_from_rows
from avalattice.lattice.branching import branching_from_sums
from avalattice.rng import decimal_text
from avalattice.stages.context import StageContext, result
from avalattice.stages.metrics import draw_resamples
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.gstar import CRITERION, GStar, select_gstar


def run(ctx: StageContext) -> None:
    """Choose g* on every curve; write ``gstar.json``."""
    metrics = ctx.rows(StageTag.S02, OUTPUT.METRICS_PARQUET_BASENAME, METRICS)
    windows = ctx.rows(StageTag.S02, OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME, METRICS_WINDOWS)
    sums = sums_from_rows(windows)
    resamples = draw_resamples(ctx, ctx.windows(WindowSet.CALIBRATION))
    curves = dict.fromkeys(
        (row["spike_def_id"], row["target_label"], row["target_rate"]) for row in metrics
    )
    choices = []
    for definition, label, rate in curves:
        rows = [r for r in metrics if (r["spike_def_id"], r["target_label"]) == (definition, label)]
        chosen = _select(
            ctx, {Decimal(str(r["gain"])): r["cond_id"] for r in rows}, sums, resamples
        )
        choices.append(
            GStarEntry.of(
                chosen,
                spike_def_id=definition,
                target_label=label,
                target_rate=rate,
                few_windows=rows[0]["few_windows"],
            )
        )
    document = GStarDocument(
        model_role=str(ctx.session.role),
        criterion=CRITERION,
        inputs=ctx.inputs[StageTag.S02]
        .as_dependency(
            [
                result(OUTPUT.METRICS_PARQUET_BASENAME),
                result(OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME),
            ]
        )
        .artifacts,
        gains=[decimal_text(gain) for gain in ctx.config.gain.grid],
        bootstrap_reps=ctx.config.bootstrap.reps,
        n_sequences=sums.shape[1],
        choices=choices,
    )
    ctx.write_json(OUTPUT.GSTAR_JSON_BASENAME, document.model_dump(mode="json"))


def _select(
    ctx: StageContext, cond_ids: dict[Decimal, int], sums: np.ndarray, resamples: Resamples
) -> GStar:
    """g* of one curve: gains with the cond_id of each."""
    gains = sorted(cond_ids)
    per_window = np.stack([sums[cond_ids[gain]] for gain in gains], axis=1)
    denominator = ctx.config.branching.denominator
    curve = branching_from_sums(per_window.sum(axis=0), denominator=denominator)
    replicates = branching_from_sums(resamples.sums(per_window), denominator=denominator)
    return select_gstar(gains, curve.b_tot, replicates.b_tot)
