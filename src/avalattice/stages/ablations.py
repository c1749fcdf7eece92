"""T06: interventions at g*, each rate-matched on the calibration windows by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from avalattice.canon import CONST, GCondition, InterventionId, SpikeDefId, WindowSet
from avalattice.errors import ModelError
from avalattice.events.targets import RateTargets
from avalattice.export.documents import GAINS_COINCIDE, GStarDocument, GStarEntry
from avalattice.export.summary_rows import ablation_rows, missing_ablation_rows
from avalattice.lattice.avalanches import check_component_count
from avalattice.lattice.rasters import Condition, Rasters
from avalattice.model.check import check_sites
from avalattice.model.gain import intervention_target, layer_band
from avalattice.stages.context import StageContext
from avalattice.stages.metrics import draw_resamples
from avalattice.stages.rate_matching import fit_thresholds
from avalattice.stats.ablation import measure_ablation

Counts = Mapping[tuple[InterventionId, Decimal], np.ndarray]
"""Count rasters [D, R, N, L, T] of each intervention and gain."""
_GLOBAL = InterventionId.MLP_GLOBAL


def ablation_table(
    ctx: StageContext, grid: Rasters, targets: RateTargets, gstar: GStarDocument
) -> Iterator[dict[str, Any]]:
    """T06's rows: g1 and g* of the gain on every MLP, and g* of each other intervention."""
    why_not = {name: _why_not(ctx, name) for name in _interventions(ctx)}
    counts = _ablate(ctx, targets, gstar, [name for name, why in why_not.items() if why is None])
    on_grid = {_key(condition): c for c, condition in enumerate(grid.conditions or ())}
    for choice in gstar.choices:
        baseline = _baseline(ctx, choice)
        A = grid.A[on_grid[_key(baseline)]]
        yield from _measured(ctx, targets, baseline, GCondition.G1, A)
        for name in (_GLOBAL, *why_not):
            condition = replace(baseline, intervention_id=name)
            missing = _missing(choice) or why_not.get(name)
            if missing or choice.gain is None:
                yield from _unmeasured(ctx, condition, choice, missing or "")
                continue
            condition = replace(condition, gain=choice.gain)
            if name is _GLOBAL:
                A = grid.A[on_grid[_key(condition)]]
            else:
                d, r = targets.position(condition.spike_def_id, condition.target_label)
                A = counts[name, choice.gain][d, r]
            yield from _measured(ctx, targets, condition, GCondition.GSTAR, A)


def ablated_gains(gstar: GStarDocument) -> list[Decimal]:
    """The distinct g* that differ from the baseline gain."""
    chosen = {choice.gain for choice in gstar.choices if choice.gain is not None}
    return sorted(chosen - {CONST.GAIN_BASELINE})


def _ablate(
    ctx: StageContext,
    targets: RateTargets,
    gstar: GStarDocument,
    interventions: list[InterventionId],
) -> Counts:
    """Pass the calibration windows under every intervention at every g* that is not 1."""
    gains = ablated_gains(gstar)
    if gains:
        for target in sorted({intervention_target(name) for name in interventions}):
            check_sites(ctx.session.model, target=target).raise_if_failed()
    n_windows = len(ctx.windows(WindowSet.CALIBRATION).input_ids)
    total = len(interventions) * len(gains) * n_windows
    with ctx.progress("phase 5, ablations", total) as task:
        return {
            (name, gain): fit_thresholds(ctx, targets, gain, task, intervention_id=name).counts
            for name in interventions
            for gain in gains
        }


def _interventions(ctx: StageContext) -> list[InterventionId]:
    """The configured interventions, each once and in the registry's order."""
    chosen = ctx.config.ablations.interventions
    return [name for name in InterventionId if name in chosen and name is not _GLOBAL]


def _why_not(ctx: StageContext, intervention_id: InterventionId) -> str | None:
    """Why a model has no such intervention; None where it has."""
    try:
        layer_band(ctx.session.outline.n_layers, intervention_id)
    except ModelError as error:
        return str(error)
    return None


def _missing(choice: GStarEntry) -> str | None:
    """Why nothing can be measured at g*; None where something can."""
    if choice.gain is None:
        return choice.reason or "there is no g*"
    return GAINS_COINCIDE if choice.gain == CONST.GAIN_BASELINE else None


def _baseline(ctx: StageContext, choice: GStarEntry) -> Condition:
    return Condition(
        ctx.session.role,
        ctx.dataset_role,
        SpikeDefId(choice.spike_def_id),
        choice.target_label,
        choice.target_rate,
        CONST.GAIN_BASELINE,
    )


def _key(condition: Condition) -> tuple[str, str, Decimal]:
    return str(condition.spike_def_id), condition.target_label, condition.gain


def _shared(ctx: StageContext) -> dict[str, Any]:
    resamples = draw_resamples(ctx, ctx.windows(WindowSet.CALIBRATION))
    return {
        **vars(ctx.provenance),
        "n_sequences": resamples.n_windows,
        "few_windows": resamples.few_windows,
    }


def _measured(
    ctx: StageContext,
    targets: RateTargets,
    condition: Condition,
    g_condition: GCondition,
    A: np.ndarray,
) -> Iterator[dict[str, Any]]:
    d, r = targets.position(condition.spike_def_id, condition.target_label)
    found = measure_ablation(
        np.asarray(A),
        layer_rates=targets.layer_rates[d, r],
        d_ff=ctx.calibration().d_ff,
        resamples=draw_resamples(ctx, ctx.windows(WindowSet.CALIBRATION)),
        denominator=ctx.config.branching.denominator,
    )
    for described in found.described.values():
        check_component_count(described.table)
    target = str(intervention_target(condition.intervention_id))
    yield from ablation_rows(_shared(ctx), condition, g_condition, target, found)


def _unmeasured(
    ctx: StageContext, condition: Condition, choice: GStarEntry, reason: str
) -> Iterator[dict[str, Any]]:
    g = None if choice.gain is None else float(choice.gain)
    target = str(intervention_target(condition.intervention_id))
    yield from missing_ablation_rows(_shared(ctx), condition, target, g=g, reason=reason)
