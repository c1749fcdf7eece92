"""Small results of the science modules, as tables and documents take them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from avalattice.canon import DatasetRole, ModelRole, SpikeDefId
from avalattice.events.targets import RateTargets, rate_targets
from avalattice.events.thresholds import Thresholds
from avalattice.export.tables import AppliedRates, FittedRow, Provenance
from avalattice.lattice.branching import EdgeSums, edge_sums
from avalattice.lattice.rasters import Condition
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.summary import Summary, summarise

ONE, TWO = SpikeDefId.SPIKE_ONE_SIDED_POS, SpikeDefId.SPIKE_TWO_SIDED_ABS
GAINS = (Decimal("0.85"), Decimal("1.0"), Decimal("1.10"))
LABELS = ("1e-3", "2e-3")
N, L, T = 6, 3, 20
D_FF = np.array([40, 50, 60])
PROVENANCE = Provenance("run-7", "S02", "tiny", "BASE", "A", "c0ffee", "0.1.0")


def targets() -> RateTargets:
    """Targets of two spike definitions and two rates."""
    return rate_targets(
        np.array([[30, 60, 90], [50, 100, 180]]),
        spike_defs=(ONE, TWO),
        labels=LABELS,
        rates=[1e-3, 2e-3],
        d_ff=D_FF,
        n_tokens=N * T,
        uniform=False,
    )


def conditions() -> list[Condition]:
    """Every gain, spike definition and target, in the order of cond_id."""
    return [
        Condition(ModelRole.BASE, DatasetRole.A, definition, label, rate, gain)
        for gain in GAINS
        for definition in (ONE, TWO)
        for label, rate in zip(LABELS, (1e-3, 2e-3), strict=True)
    ]


def thresholds(seed: int) -> Thresholds:
    """Thresholds that no round decimal number equals, some with ties."""
    rng, k = np.random.default_rng(seed), targets().k
    ties = rng.integers(0, 2, size=k.shape) * (k > 1)
    tau = rng.normal(3, 1, size=k.shape).astype(np.float32)
    return Thresholds(tau, k - ties, ties, np.zeros((2, 2, N, L, T), np.uint16))


def fitted_rows() -> list[FittedRow]:
    return [
        FittedRow.of(thresholds(seed), gain, d, r, targets())
        for seed, gain in enumerate(GAINS)
        for d, r in np.ndindex(2, 2)
    ]


def counts(seed: int = 1) -> np.ndarray:
    """Counts [C, N, L, T], of which one condition is empty."""
    A = np.random.default_rng(seed).poisson(0.4, size=(len(conditions()), N, L, T))
    A[3] = 0
    return A.astype(np.uint16)


def sums() -> EdgeSums:
    return EdgeSums(edge_sums(counts()).values)


def summary(denominator="valid_edges") -> Summary:
    """The summary of the counts."""
    return summarise(
        sums(),
        n_tokens=T,
        d_ff=D_FF,
        resamples=Resamples.draw(N, 100, np.random.default_rng(2)),
        denominator=denominator,
    )


def rates_of(of: list[Condition], n_layers: int) -> AppliedRates:
    """Rates that the conditions were to achieve, the same in every layer."""
    wanted = np.array([[condition.target_rate] * n_layers for condition in of])
    return AppliedRates(np.ones(wanted.shape, np.float32), wanted, wanted * 100)
