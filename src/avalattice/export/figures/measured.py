"""What figures of single rasters show, from what was measured of one: F01, F12, F13 and F14."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avalattice.export.avalanche_rows import SIZE, SPAN
from avalattice.export.figures.depth_profile import DepthProfile
from avalattice.export.figures.profile_collapse import CollapseExample
from avalattice.export.figures.raster_example import RasterExample
from avalattice.export.figures.rows import Row
from avalattice.export.figures.tails import TailSample
from avalattice.lattice.avalanches import labels
from avalattice.lattice.branching import Denominator
from avalattice.lattice.layer_profile import layer_profile
from avalattice.lattice.rasters import Condition
from avalattice.stats.avalanche_nulls import Histogram, NullAvalanches
from avalattice.stats.avalanche_statistics import AvalancheStatistics


@dataclass(frozen=True)
class MeasuredRaster:
    """One raster with what was fitted to its avalanches."""

    window_set: str
    """Which windows it is of."""
    condition: Condition
    """What it was made under."""
    A: np.ndarray
    """Counts [N, L, T]; they may lie on disk until they are used."""
    statistics: AvalancheStatistics
    """Of its avalanches."""
    null: NullAvalanches
    """Of rasters with every row permuted."""

    def rows_of(self, table: Sequence[Row]) -> list[Row]:
        """Its rows of T01, T04 or T05."""
        key = ("window_set", "spike_def_id", "target_label", "g")
        condition = self.condition
        wanted = (
            self.window_set,
            condition.spike_def_id,
            condition.target_label,
            float(condition.gain),
        )
        return [row for row in table if tuple(row[name] for name in key) == wanted]

    def example(self, window: int, tokens: Sequence[str], seq_id: int) -> RasterExample:
        """One of its windows, for F01.

        Args:
            window: its index.
            tokens: each token's text; none where it is not to be shown.
            seq_id: its identifier.
        """
        counts, adjacency = np.asarray(self.A[window]), self.statistics.description.adjacency
        return RasterExample(
            counts=counts,
            labels=labels(counts, adjacency),
            tokens=tokens,
            spike_def_id=str(self.condition.spike_def_id),
            target_label=self.condition.target_label,
            gain=float(self.condition.gain),
            adjacency_id=str(adjacency),
            window_set=str(self.window_set),
            seq_id=seq_id,
        )

    def tail_samples(self, tail_fits: Sequence[Row]) -> Iterator[TailSample]:
        """Its sizes and spans beside those of permuted rasters, for F12.

        Args:
            tail_fits: T04.
        """
        table = self.statistics.description.table
        drawn: dict[str, tuple[np.ndarray, Histogram]] = {
            SIZE: (table.size, self.null.sizes),
            SPAN: (table.span_tokens, self.null.spans),
        }
        for row in self.rows_of(tail_fits):
            sample, null = drawn[row["variable"]]
            values, counts = _histogram(sample)
            yield TailSample(row, values, counts, null.values, null.counts)

    def collapse(self, crackling: Sequence[Row]) -> CollapseExample:
        """Its mean profiles, for F13.

        Args:
            crackling: T05.
        """
        (row,) = self.rows_of(crackling)
        return CollapseExample(row, self.statistics.profiles, self.statistics.collapse)

    def by_layer(self, summary: Sequence[Row], denominator: Denominator) -> DepthProfile:
        """Its layers, for F14.

        Args:
            summary: T01.
            denominator: of the branching ratios.
        """
        (row,) = self.rows_of(summary)
        return DepthProfile(row, layer_profile(np.asarray(self.A), denominator=denominator))


def _histogram(sample: np.ndarray) -> Any:
    values, counts = np.unique(sample, return_counts=True)
    return values.astype(np.int64), counts.astype(np.int64)
