"""Phase 1: calibration and rate targets on Dataset A at the baseline gain, in two passes."""

from __future__ import annotations

import numpy as np

from avalattice.canon import CONST, OUTPUT, WindowSet
from avalattice.events.calibration import (
    Calibration,
    MomentFitter,
    batch_moments,
    check_chebyshev,
)
from avalattice.events.counts import BaseCountFitter, base_counts
from avalattice.events.passes import batches
from avalattice.events.targets import RateTargets, rate_targets, rates_per_unit
from avalattice.export.documents import RateTargetsDocument
from avalattice.model.check import check_sites
from avalattice.stages.context import StageContext


def run(ctx: StageContext) -> None:
    """Calibrate; write ``calibration_stats.npz`` and ``rate_targets.json``."""
    with ctx.run.step("load"):
        model = ctx.session.model
    with ctx.run.step("site_check"):
        check_sites(model).raise_if_failed()
    with ctx.run.step("moments"):
        calibration = _fit_calibration(ctx)
    with ctx.run.step("base_rates"):
        targets = _fit_targets(ctx, calibration)
    ctx.write_npz(
        OUTPUT.CALIBRATION_STATS_NPZ_BASENAME,
        {
            "mu": calibration.mu,
            "sigma": calibration.sigma,
            "d_ff": calibration.d_ff,
            "n_tokens": np.array(calibration.n_tokens, dtype=np.int64),
        },
    )
    _write_targets(ctx, calibration, targets)


def _fit_calibration(ctx: StageContext) -> Calibration:
    windows = ctx.windows(WindowSet.CALIBRATION)
    fitter = MomentFitter()
    with ctx.progress("phase 1, moments", len(windows.input_ids)) as task:
        passes = batches(windows, ctx.config.compute.batch_size)
        for _, moments in ctx.forward(
            passes, CONST.GAIN_BASELINE, lambda _, u: batch_moments(u), task
        ):
            fitter.update(moments)
    return fitter.result()


def _fit_targets(ctx: StageContext, calibration: Calibration) -> RateTargets:
    events, windows = ctx.config.events, ctx.windows(WindowSet.CALIBRATION)
    scales = ctx.scales(calibration)
    fitter = BaseCountFitter()
    with ctx.progress("phase 1, base rates", len(windows.input_ids)) as task:
        passes = batches(windows, ctx.config.compute.batch_size)
        for _, counts in ctx.forward(
            passes,
            CONST.GAIN_BASELINE,
            lambda layer, u: base_counts(u, scales[layer], events.spike_defs, events.tau0),
            task,
        ):
            fitter.update(counts)
    check_chebyshev(fitter.by_unit, scales, n_tokens=calibration.n_tokens, tau0=events.tau0)
    return rate_targets(
        fitter.by_definition,
        spike_defs=events.spike_defs,
        labels=[target.label for target in events.targets],
        rates=rates_per_unit(
            [target.value for target in events.targets],
            calibration.d_ff,
            per_site=events.target_events_per_site is not None,
        ),
        d_ff=calibration.d_ff,
        n_tokens=calibration.n_tokens,
        uniform=events.rate_profile == "uniform",
    )


def _write_targets(ctx: StageContext, calibration: Calibration, targets: RateTargets) -> None:
    document = RateTargetsDocument.of(
        targets,
        tau0=ctx.config.events.tau0,
        rate_profile=ctx.config.events.rate_profile,
        per_site=ctx.config.events.target_events_per_site is not None,
        silent_units=calibration.silent.sum(axis=1).tolist(),
    )
    ctx.write_json(OUTPUT.RATE_TARGETS_JSON_BASENAME, document.model_dump(mode="json"))
    for label in document.few_events:
        ctx.run.note(
            f"target {label} gives a layer fewer than {CONST.RATE_MATCH_MIN_EVENTS} events on the "
            "calibration windows: its threshold is poorly determined"
        )
    if any(document.silent_units):
        ctx.run.note(f"{sum(document.silent_units)} units are silent (sigma <= EPS)")
