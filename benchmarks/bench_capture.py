"""Capture overhead: Phase 2's time per window over a bare decoder pass of the same batch.

Both run in this process, batch by batch in turn, so that a change of the machine's speed meets
both. Phase 2's time is that of everything it does for a batch: the hooks of capture and gain, the
selection of candidates, and the merge into the fitter (all rates, both spike definitions).

    python benchmarks/bench_capture.py [--windows 16] [--rounds 8]
"""

from __future__ import annotations

import argparse
import time
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import torch

from avalattice.canon import ModelRole, SpikeDefId, WindowSet
from avalattice.config import load
from avalattice.events.calibration import LayerScale, MomentFitter, batch_moments
from avalattice.events.candidates import Candidates
from avalattice.events.counts import BaseCountFitter, base_counts
from avalattice.events.passes import batches, collect
from avalattice.events.targets import rate_targets, rates_per_unit
from avalattice.events.thresholds import ThresholdFitter
from avalattice.model.forward import decoder_pass
from avalattice.progress import Reporter
from avalattice.stages.session import Session

GAIN = Decimal("1.15")
EVENTS_PER_SITE = (0.4, 0.8, 1.6)


def select_candidates(
    fitter: ThresholdFitter, scales: list[LayerScale], layer: int, u: torch.Tensor
) -> Candidates:
    """What Phase 2 makes of one layer's activations."""
    return fitter.select(layer, u, scales[layer])


def main() -> None:
    """Measure and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"))
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    session = Session(load(arguments.config), ModelRole.INSTRUCT, reporter=Reporter("none"))
    model, windows = session.model, session.windows[WindowSet.CALIBRATION]
    todo = list(batches(windows, session.config.compute.batch_size, stop=arguments.windows))

    moments, counts = MomentFitter(), BaseCountFitter()
    for batch in todo:
        moments.update(collect(model, batch, Decimal(1), lambda _, u: batch_moments(u)))
    calibration = moments.result()
    scales = calibration.layers(torch.device("cpu"))
    for batch in todo:
        counts.update(
            collect(
                model,
                batch,
                Decimal(1),
                lambda layer, u: base_counts(u, scales[layer], list(SpikeDefId), 2.5),
            )
        )
    targets = rate_targets(
        counts.by_definition,
        spike_defs=list(SpikeDefId),
        labels=[str(target) for target in EVENTS_PER_SITE],
        rates=rates_per_unit(EVENTS_PER_SITE, calibration.d_ff, per_site=True),
        d_ff=calibration.d_ff,
        n_tokens=calibration.n_tokens,
        uniform=False,
    )

    bare = np.empty((arguments.rounds, len(todo)))
    phase2 = np.empty_like(bare)
    for r in range(arguments.rounds):
        fitter = ThresholdFitter(targets)
        for b, batch in enumerate(todo):
            start = time.perf_counter()
            decoder_pass(model, batch.input_ids)
            middle = time.perf_counter()
            select = partial(select_candidates, fitter, scales)
            fitter.update(collect(model, batch, GAIN, select), batch.first_position)
            bare[r, b], phase2[r, b] = middle - start, time.perf_counter() - middle

    # the median over rounds of each batch: the first batch of a round finds its own floors
    bare_seconds = np.median(bare, axis=0).sum() / arguments.windows
    phase2_seconds = np.median(phase2, axis=0).sum() / arguments.windows
    rounds = phase2.sum(axis=1) / bare.sum(axis=1)
    print(
        f"{session.files.id}, {windows.token_ids.shape[1]} tokens a window, batches of "
        f"{session.config.compute.batch_size}, {torch.get_num_threads()} threads"
    )
    print(f"bare decoder pass   {bare_seconds:.3f} s a window")
    print(f"phase 2             {phase2_seconds:.3f} s a window")
    print(f"ratio               {phase2_seconds / bare_seconds:.3f}")
    print(f"single rounds       {', '.join(f'{ratio:.3f}' for ratio in sorted(rounds))}")


if __name__ == "__main__":
    main()
