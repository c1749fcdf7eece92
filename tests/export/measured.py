"""What phases 4 and 5 measure of one small raster, degenerate ones among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

import numpy as np

from avalattice.canon import (
    AdjacencyId,
    DatasetRole,
    InterventionId,
    ModelRole,
    NullId,
    SpikeDefId,
    WindowSet,
)
from avalattice.export.tables import metrics_rows
from avalattice.export.tabular import TableSchema
from avalattice.lattice.branching import EdgeSums, edge_sums
from avalattice.lattice.rasters import Condition
from avalattice.lattice.simulate import PlantedGain
from avalattice.rng import stream
from avalattice.stats.ablation import Ablation, measure_ablation
from avalattice.stats.avalanche_report import AvalancheReport, avalanche_report
from avalattice.stats.avalanche_statistics import AvalancheDescription, describe_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.multistep import MultistepBranching, multistep_depth
from avalattice.stats.null_report import (
    NullReport,
    NullStreams,
    ShuffleReport,
    null_report,
    shuffle_report,
)
from avalattice.stats.summary import summarise
from tests.export.results import PROVENANCE, rates_of
from tests.lattice.samples import aligned_layers, persistent_rows

REPLICATES = 20


def planted(seed: int = 1) -> np.ndarray:
    """Counts [24, 12, 64] of a branching process, with avalanches of many sizes."""
    process = PlantedGain(12, 64, b_time=0.4, b_depth=0.45, rate=0.4)
    return process.draw(24, 1.0, np.random.default_rng(seed))


def sparse() -> np.ndarray:
    """One event in each row of two tokens: a permuted raster may have no ancestor."""
    A = np.zeros((2, 2, 2), np.uint16)
    A[0, :, 0] = 1
    return A


def one_window() -> np.ndarray:
    """The planted windows end to end: avalanches of many spans in a single one."""
    return np.moveaxis(planted(), 0, 1).reshape(1, 12, -1)


def one_busy_window() -> np.ndarray:
    """The same as one of eight windows, which a third of the resamples leave out."""
    A = one_window()
    return np.concatenate([A, np.zeros((7, *A.shape[1:]), A.dtype)])


def one_layer() -> np.ndarray:
    """Runs of occupied tokens, of many lengths, in a single layer."""
    rng = np.random.default_rng(5)
    return (persistent_rows(rng, (24, 1, 64)) * rng.integers(1, 4, (24, 1, 64))).astype(np.uint16)


RASTERS = {
    "planted": planted,
    "weak": lambda: aligned_layers(np.random.default_rng(6), (20, 6, 40), 0.3, share=0.02),
    "silent": lambda: np.zeros((3, 4, 10), np.uint16),
    "saturated": lambda: np.full((3, 4, 10), 2, np.uint16),
    "one layer": one_layer,
    "two tokens": lambda: planted()[..., 20:22],
    "one token": lambda: planted()[..., 20:21],
    "one window": one_window,
    "one busy window": one_busy_window,
    "one event": lambda: np.eye(1, 60, 31, dtype=np.uint16).reshape(1, 3, 20),
    "sparse": sparse,
}
"""Rasters by name: an ordinary one, and those that leave numbers undefined."""


@dataclass(frozen=True)
class Measured:
    """One raster with everything that rows are made of."""

    A: np.ndarray
    condition: Condition
    resamples: Resamples
    nulls: NullReport
    shuffle: ShuffleReport
    avalanches: AvalancheReport
    depth: MultistepBranching

    @property
    def described(self) -> AvalancheDescription:
        """The avalanches alone."""
        return self.avalanches.statistics.description

    @property
    def d_ff(self) -> np.ndarray:
        """Units of each layer."""
        return np.arange(40, 40 + self.A.shape[1])

    @property
    def sums(self) -> EdgeSums:
        """Of each window, [N, L, S]."""
        return edge_sums(self.A)

    def metrics(self, window_set: WindowSet = WindowSet.RASTER, cond_id: int = 0) -> dict:
        """Its row of the metrics."""
        summary = summarise(
            EdgeSums(self.sums.values[np.newaxis]),
            n_tokens=self.A.shape[-1],
            d_ff=self.d_ff,
            resamples=self.resamples,
        )
        rates = rates_of([self.condition], self.A.shape[1])
        (row,) = metrics_rows(PROVENANCE, window_set, [self.condition], summary, rates)
        return row | {"cond_id": cond_id}

    def ablation(self) -> Ablation:
        """The same raster, as that of an intervention."""
        return measure_ablation(
            self.A,
            layer_rates=np.full(self.A.shape[1], 1e-3),
            d_ff=self.d_ff,
            resamples=self.resamples,
        )


def condition(
    gain: str = "1.0", definition: SpikeDefId = SpikeDefId.SPIKE_ONE_SIDED_POS, label: str = "1e-3"
) -> Condition:
    return Condition(ModelRole.BASE, DatasetRole.A, definition, label, float(label), Decimal(gain))


def streams(of: Condition) -> NullStreams:
    """The streams of a condition's nulls."""

    def named(null_id: NullId, rest: tuple) -> np.random.Generator:
        return stream(7, *replace(of, null_id=null_id).stream_name, *rest)

    return NullStreams(named)


@cache
def measured(name: str = "planted", gain: str = "1.0", adjacency: str = "ADJ_4N") -> Measured:
    """What is measured of a raster of :data:`RASTERS`."""
    A, of = np.ascontiguousarray(RASTERS[name]()), condition(gain)
    rng = np.random.default_rng(3)
    resamples = Resamples.draw(len(A), 100, rng)
    token_ids = rng.integers(0, 9, (A.shape[0], A.shape[2]))
    shuffled = [rng.permuted(A, axis=-1) for _ in range(2)]
    described = describe_avalanches(A, resamples, AdjacencyId(adjacency))
    return Measured(
        A=A,
        condition=of,
        resamples=resamples,
        nulls=null_report(A, token_ids, streams(of), replicates=REPLICATES, resamples=resamples),
        shuffle=shuffle_report(A, shuffled, resamples),
        avalanches=avalanche_report(
            A, described, resamples, streams(of), replicates=3, gof_reps=2, rng=rng
        ),
        depth=multistep_depth(A),
    )


def unexplained(schema: TableSchema, row: dict) -> list[str]:
    """Numbers of a row that are undefined without a reason in the column that should say why."""
    from avalattice.export.report.columns import why_undefined

    names = frozenset(column.name for column in schema.columns)
    numbers = [c.name for c in schema.columns if c.nullable and not c.name.endswith("reason")]
    undefined = [name for name in numbers if row[name] is None]
    return [name for name in undefined if why_undefined(row, name, names) is None]


def ablated(gain: str, intervention_id: InterventionId) -> Condition:
    """A condition under an intervention."""
    return replace(condition(gain), intervention_id=intervention_id)
