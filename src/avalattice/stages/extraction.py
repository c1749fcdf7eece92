"""Rasters of many conditions at given thresholds, in blocks of windows that stay on disk.

One forward pass per window and distinct gain serves every condition at that gain. Blocks are kept
as partial results and assembled from disk, so memory does not grow with N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float32

from avalattice.arrays import ArraySpec, BlockArray
from avalattice.canon import DatasetRole, SpikeDefId
from avalattice.data.windows import WindowSlice
from avalattice.events.counts import AppliedThresholds, count_events
from avalattice.events.passes import Batch, batches
from avalattice.events.targets import RateTargets
from avalattice.export.documents import GStarDocument
from avalattice.lattice.branching import EdgeSums, edge_sums
from avalattice.lattice.rasters import Condition, raster_members
from avalattice.progress import Task
from avalattice.rng import decimal_text
from avalattice.stages.context import StageContext

if TYPE_CHECKING:
    from torch import Tensor

CountLayer: TypeAlias = "Callable[[int, Tensor], np.ndarray]"
COUNTS = "A"
"""The member of a block's partial result that holds counts [C, B, L, T]."""
_COUNTS_SPEC = {COUNTS: ArraySpec("uint16", "C B L T")}


@dataclass(frozen=True)
class RasterBlocks:
    """Counts of C conditions, each as blocks [B, L, T] of its N windows."""

    blocks: list[list[np.ndarray]]
    """By condition and block, memory-mapped."""

    @property
    def sums(self) -> EdgeSums:
        """Sums per condition, window and layer."""
        sums = [np.concatenate([edge_sums(part).values for part in row]) for row in self.blocks]
        return EdgeSums(np.stack(sums))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """C, N, L, T."""
        first = self.blocks[0]
        n_windows = sum(len(part) for part in first)
        n_layers, n_tokens = first[0].shape[1:]
        return len(self.blocks), n_windows, n_layers, n_tokens

    def counts(self, c: int) -> np.ndarray:
        """Counts [N, L, T] of one condition."""
        return np.concatenate(self.blocks[c])

    def members(self) -> dict[str, np.ndarray | BlockArray]:
        """The members of the raster file."""
        return raster_members(lambda: (part for row in self.blocks for part in row), self.shape)


@dataclass(frozen=True)
class Extraction:
    """Which windows are counted, under which conditions and thresholds."""

    ctx: StageContext
    windows: WindowSlice
    conditions: Sequence[Condition]
    tau: Float32[np.ndarray, "C L"]
    task: Task
    prefix: str = ""
    """Begins the names of partial results, where a stage makes several extractions."""
    extra: Mapping[str, ArraySpec] = field(default_factory=dict)
    """Members of a block's partial result beside its counts."""

    @property
    def gains(self) -> list[Decimal]:
        """The distinct gains, rising."""
        return sorted({condition.gain for condition in self.conditions})

    def members(self, gain: Decimal) -> list[int]:
        """The conditions at one gain, by position."""
        return [c for c, condition in enumerate(self.conditions) if condition.gain == gain]

    def run(self) -> RasterBlocks:
        """Count every condition."""
        return self.rasters({gain: list(self.parts(gain)) for gain in self.gains})

    def rasters(self, parts: Mapping[Decimal, Sequence[Mapping[str, np.ndarray]]]) -> RasterBlocks:
        """The counts of every condition, from the partial results of every gain."""
        blocks: list[list[np.ndarray]] = [[] for _ in self.conditions]
        for gain, of_gain in parts.items():
            for part in of_gain:
                for row, c in enumerate(self.members(gain)):
                    blocks[c].append(part[COUNTS][row])
        return RasterBlocks(blocks)

    def parts(self, gain: Decimal) -> Iterator[dict[str, np.ndarray]]:
        """The partial results of one gain, computed or read back, in the order of windows."""
        for start, stop in self.ctx.blocks(len(self.windows.input_ids)):
            before = self.task.done
            yield self.ctx.run.partial(
                f"{self.prefix}gain-{decimal_text(gain)}-windows-{start}-{stop}",
                {**_COUNTS_SPEC, **self.extra},
                partial(self._block, gain, start, stop),
                lazy=True,
            )
            # a block that was read back
            self.task.advance(stop - start - (self.task.done - before))

    def _block(self, gain: Decimal, start: int, stop: int) -> dict[str, np.ndarray]:
        """Counts [C, B, L, T] of one block of windows at one gain."""
        counted = self.ctx.forward(self.batches(start, stop), gain, self.counter(gain), self.task)
        return {COUNTS: stack_layers(layers for _, layers in counted)}

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of one block of windows."""
        return batches(self.windows, self.ctx.config.compute.batch_size, start=start, stop=stop)

    def counter(self, gain: Decimal) -> CountLayer:
        """What a forward pass at one gain does with each layer's u."""
        members, n_tokens = self.members(gain), self.windows.token_ids.shape[1]
        thresholds = AppliedThresholds(
            tuple(SpikeDefId(self.conditions[c].spike_def_id) for c in members), self.tau[members]
        )
        scales = self.ctx.scales()
        return lambda layer, u: count_events(u, scales[layer], thresholds, layer, n_tokens)


def compared_conditions(
    ctx: StageContext, targets: RateTargets, gstar: GStarDocument, role: DatasetRole
) -> list[Condition]:
    """For every spike definition and target: gain 1 and g*, once where they coincide."""
    conditions = []
    for definition in targets.spike_defs:
        for label, rate in zip(targets.labels, targets.rates, strict=True):
            choice = gstar.choice(definition, label)
            if choice.gain is None:
                ctx.run.note(f"{definition} at target {label}: no g*, so no raster there")
            conditions += [
                Condition(ctx.session.role, role, definition, label, float(rate), gain)
                for gain in choice.raster_gains
            ]
    return conditions


def stack_layers(batches_of_layers: Iterable[Sequence[np.ndarray]]) -> np.ndarray:
    """Counts [C, B, L, T] from the layers [C, b, T] of each batch."""
    return np.concatenate([np.stack(layers, axis=2) for layers in batches_of_layers], axis=1)
