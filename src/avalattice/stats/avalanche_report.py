"""The avalanches of one condition beside those of permuted rasters.

What is fitted to the avalanches of a raster (:mod:`avalattice.stats.avalanche_statistics`), next to
the exponents of two nulls (:mod:`avalattice.stats.avalanche_nulls`): every row permuted, which
parts the layers, and tokens permuted together with all their layers, which keeps what a token has
in every layer and breaks its order. Both keep the occupancy, and with it the distance from the
percolation threshold. Random streams are handed in, as in :mod:`avalattice.stats.null_report`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avalattice.arrays import AnyCounts
from avalattice.stats.avalanche_nulls import NullAvalanches, null_avalanches
from avalattice.stats.avalanche_statistics import (
    AvalancheDescription,
    AvalancheStatistics,
    fit_avalanches,
)
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.null_report import PERMUTED, NullStreams, permuted_rasters

WHOLE_TOKENS = "whole tokens"
"""In the name of the streams that permute tokens with all their layers."""


@dataclass(frozen=True)
class AvalancheReport:
    """What is fitted to a raster's avalanches, and the exponents of permuted rasters."""

    statistics: AvalancheStatistics
    """Of the raster."""
    null: NullAvalanches
    """Of rasters with every row permuted."""
    whole_tokens: NullAvalanches
    """Of rasters with tokens permuted together with all their layers."""


def avalanche_report(
    A: AnyCounts,
    described: AvalancheDescription,
    resamples: Resamples,
    streams: NullStreams,
    *,
    replicates: int,
    gof_reps: int = 0,
    rng: np.random.Generator | None = None,
) -> AvalancheReport:
    """Fit the avalanches of one raster, and compare them with those of permuted ones.

    Args:
        A: event counts [N, L, T].
        described: its avalanches.
        resamples: those of the description.
        streams: of the condition's nulls.
        replicates: draws of each null.
        gof_reps: replicates of the bootstrap of each KS distance; none by default.
        rng: the generator that it draws from.

    Raises:
        ArrayError: the description is of a raster of another shape.
        InputError: a bootstrap is wanted without a generator.
    """
    return AvalancheReport(
        fit_avalanches(A, described, resamples, gof_reps=gof_reps, rng=rng),
        _permuted(A, described, streams, replicates),
        _permuted(A, described, streams, replicates, WHOLE_TOKENS),
    )


def _permuted(
    A: AnyCounts, described: AvalancheDescription, streams: NullStreams, draws: int, *purpose: str
) -> NullAvalanches:
    """The avalanches of permuted rasters, each window from a stream of its own."""
    rngs = streams.of_windows(PERMUTED, len(A), *purpose)
    rasters = permuted_rasters(A, rngs, draws, whole_tokens=WHOLE_TOKENS in purpose)
    return null_avalanches(rasters, described.adjacency)
