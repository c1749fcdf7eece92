"""Rate matching on the calibration windows: one pass per window, kept in blocks."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import numpy as np

from avalattice.canon import InterventionId, WindowSet
from avalattice.events.passes import batches
from avalattice.events.targets import RateTargets
from avalattice.events.thresholds import ThresholdFitter, Thresholds
from avalattice.progress import Task
from avalattice.rng import decimal_text
from avalattice.stages.context import StageContext


def fit_thresholds(
    ctx: StageContext,
    targets: RateTargets,
    gain: Decimal,
    task: Task,
    *,
    intervention_id: InterventionId = InterventionId.MLP_GLOBAL,
) -> Thresholds:
    """Thresholds and count rasters of every target at one gain; finished blocks are read back."""
    windows = ctx.windows(WindowSet.CALIBRATION)
    whole = ThresholdFitter(targets)
    named = "" if intervention_id is InterventionId.MLP_GLOBAL else f"{intervention_id}-"
    for start, stop in ctx.blocks(len(windows.input_ids)):
        before = task.done
        part = ctx.run.partial(
            f"{named}gain-{decimal_text(gain)}-windows-{start}-{stop}",
            ThresholdFitter.SPEC,
            partial(_fit_block, ctx, targets, gain, (start, stop), task, intervention_id),
        )
        whole.add_arrays(part)
        task.advance(stop - start - (task.done - before))  # a block that was read back
    return whole.result(*windows.token_ids.shape)


def _fit_block(
    ctx: StageContext,
    targets: RateTargets,
    gain: Decimal,
    block: tuple[int, int],
    task: Task,
    intervention_id: InterventionId,
) -> dict[str, np.ndarray]:
    """What one block of windows contributes, whatever came before it."""
    fitter, scales = ThresholdFitter(targets), ctx.scales()
    passes = batches(
        ctx.windows(WindowSet.CALIBRATION),
        ctx.config.compute.batch_size,
        start=block[0],
        stop=block[1],
    )
    for batch, found in ctx.forward(
        passes,
        gain,
        lambda layer, u: fitter.select(layer, u, scales[layer]),
        task,
        intervention_id,
    ):
        fitter.update(found, batch.first_position)
    return fitter.to_arrays()
