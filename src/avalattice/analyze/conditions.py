"""What is measured of each condition alone: its nulls, its avalanches, its place by percolation.

Each condition is measured as phases 4 and 5 of the pipeline measure a raster, from random streams
that are named after the seed, the condition and the null: neither the order of conditions nor what
else is analysed changes a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64, Integer

from avalattice.analyze.counts import GivenCounts
from avalattice.canon import CONST, AdjacencyId
from avalattice.errors import InputError
from avalattice.lattice.branching import Denominator, EdgeSums
from avalattice.lattice.percolation import PercolationContext, percolation_context
from avalattice.lattice.rasters import GIVEN_COUNTS, NO_ROLE, Condition
from avalattice.rng import NamePart, stream
from avalattice.stats.avalanche_report import AvalancheReport, avalanche_report
from avalattice.stats.avalanche_statistics import AvalancheDescription, describe_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.multistep import MultistepBranching, multistep_depth
from avalattice.stats.null_report import NullReport, NullStreams, null_report

NAME: Final = "analyze"
"""In the place of a stage, and first in the name of every random stream."""
PARTS: Final = 2
"""Parts of a condition's analysis: its nulls, then its avalanches."""

MOST_SHOWN: Final = 12
"""Conditions without a curve that figures of single rasters show: the first of them."""

Advance = Callable[[], object]
_LEAST = {
    "bootstrap_reps": 100,
    "null_replicates": 1,
    "avalanche_replicates": 1,
    "gof_reps": 0,
    "seed": 0,
}


@dataclass(frozen=True)
class Options:
    """How counts are analysed."""

    adjacency: AdjacencyId | str = AdjacencyId.ADJ_4N
    """Which sites count as neighbours in an avalanche."""
    denominator: Denominator = "valid_edges"
    """Of the branching ratios: sites that have a successor, or all sites."""
    bootstrap_reps: int = CONST.BOOTSTRAP_REPS
    """Replicates of the windows."""
    null_replicates: int = CONST.NULL_REPLICATES
    """Draws of each null, for p_mc."""
    avalanche_replicates: int = CONST.NULL_AVALANCHE_REPLICATES
    """Permuted rasters whose avalanches are fitted."""
    gof_reps: int = CONST.TAIL_GOF_REPS
    """Replicates of the tail fits' goodness of fit; 0 leaves ks_p undefined."""
    seed: int = CONST.BOOTSTRAP_SEED
    """Of every random stream."""

    def check(self) -> None:
        """Refuse options that cannot be used.

        Raises:
            InputError: naming the option, what is allowed and what was found.
        """
        for name, least in _LEAST.items():
            found = getattr(self, name)
            if found < least:
                raise InputError(f"{name} must be at least {least}, found {found}")
        if self.adjacency not in list(AdjacencyId):
            allowed = " or ".join(AdjacencyId)
            raise InputError(f"adjacency must be {allowed}, found {self.adjacency!r}")
        if self.denominator not in ("valid_edges", "all_sites"):
            raise InputError(
                f"denominator must be valid_edges or all_sites, found {self.denominator!r}"
            )

    def rng(self, *name: NamePart) -> np.random.Generator:
        """The random stream of a name."""
        return stream(self.seed, NAME, *name)

    def null_streams(self, condition: Condition) -> NullStreams:
        """The random streams of a condition's nulls."""
        return NullStreams(
            lambda null_id, rest: self.rng(*replace(condition, null_id=null_id).stream_name, *rest)
        )


@dataclass(frozen=True)
class AnalysedCondition:
    """One condition with what was measured of it."""

    cond_id: int
    """Its identifier."""
    condition: Condition
    """What tables call it; its gain is 1 where none was given."""
    A: Integer[np.ndarray, "N L T"]
    """Its counts."""
    edges: EdgeSums
    """Sums per window and layer, [N, L, S]."""
    nulls: NullReport
    """Beside its nulls."""
    avalanches: AvalancheReport
    """Its avalanches, beside those of permuted rasters."""
    depth: MultistepBranching
    """Multistep regression along layers."""
    percolation: PercolationContext
    """Its occupancy beside the percolation threshold."""

    @property
    def described(self) -> AvalancheDescription:
        """Its avalanches, described."""
        return self.avalanches.statistics.description


def name_conditions(given: GivenCounts, rates: Float64[np.ndarray, " C"]) -> list[Condition]:
    """What tables call the conditions: points of one curve with gains, else each on its own.

    Args:
        given: the counts.
        rates: events per site of each condition. A curve's target is their mean.
    """
    gains = given.gains or (CONST.GAIN_BASELINE,) * len(rates)
    labels = [GIVEN_COUNTS] * len(rates)
    if given.gains:
        rates = np.full(len(rates), rates.mean())
    elif len(rates) > 1:
        labels = [f"condition {cond_id}" for cond_id in given.cond_id]
    return [
        Condition(NO_ROLE, NO_ROLE, GIVEN_COUNTS, label, float(rate), gain)
        for label, rate, gain in zip(labels, rates, gains, strict=True)
    ]


def analyse_condition(
    given: GivenCounts,
    c: int,
    condition: Condition,
    edges: EdgeSums,
    resamples: Resamples,
    options: Options,
    advance: Advance,
) -> AnalysedCondition:
    """Measure one condition beside its nulls.

    Args:
        given: the counts.
        c: the condition's index.
        condition: what tables call it.
        edges: its sums per window and layer.
        resamples: of the N windows.
        options: how.
        advance: called after each of :data:`PARTS`.
    """
    A, streams = given.A[c], options.null_streams(condition)
    nulls = null_report(
        A,
        given.token_ids,
        streams,
        replicates=options.null_replicates,
        resamples=resamples,
        denominator=options.denominator,
    )
    advance()
    avalanches = avalanche_report(
        A,
        describe_avalanches(A, resamples, options.adjacency),
        resamples,
        streams,
        replicates=options.avalanche_replicates,
        gof_reps=options.gof_reps,
        rng=options.rng(*condition.stream_name, "goodness of fit"),
    )
    advance()
    return AnalysedCondition(
        cond_id=int(given.cond_id[c]),
        condition=condition,
        A=A,
        edges=edges,
        nulls=nulls,
        avalanches=avalanches,
        depth=multistep_depth(A),
        percolation=percolation_context(A, options.adjacency),
    )
