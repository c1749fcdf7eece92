"""One condition beside all of its nulls: closed forms, draws, and the same model on shuffled input.

Everything follows from :mod:`avalattice.lattice.null_moments`,
:mod:`avalattice.lattice.token_id_null` and :mod:`avalattice.lattice.nulls`; here it is put together
for one raster [N, L, T]. Random streams are handed in by name, so that a raster of a null can be
drawn again, whoever asks for it and in whichever order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Integer

from avalattice.arrays import AnyCounts
from avalattice.canon import NullId
from avalattice.errors import InputError
from avalattice.lattice.branching import (
    SUM_NAMES,
    Branching,
    Denominator,
    branching,
    branching_from_sums,
    edge_sums,
)
from avalattice.lattice.null_moments import BranchingNull, branching_null_exact
from avalattice.lattice.null_sums import null_sums
from avalattice.lattice.nulls import (
    branching_null_ensemble,
    circular_shift_null,
    permutation_null,
    token_column_null,
    token_id_stratified_null,
)
from avalattice.lattice.token_id_null import TokenIdNull, token_id_null_exact
from avalattice.rng import NamePart
from avalattice.stats.bootstrap import Interval, Resamples
from avalattice.stats.excess import PairedExcess, excess_intervals, paired_excess
from avalattice.stats.null_ensemble import EnsembleStatistics, ensemble_statistics

PERMUTED = NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM
SHIFTED = NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT
EXCHANGED = NullId.NULL_RASTER_TOKEN_ID_STRATIFIED

_EVENTS = SUM_NAMES.index("events")

TokenIds: TypeAlias = Integer[np.ndarray, "N T"]


@dataclass(frozen=True)
class NullStreams:
    """The random streams of one condition's nulls."""

    named: Callable[[NullId, tuple[NamePart, ...]], np.random.Generator]
    """The stream of a null and of what else is in its name."""

    def of_windows(
        self, null_id: NullId, n_windows: int, *purpose: NamePart
    ) -> list[np.random.Generator]:
        """A stream for each window."""
        return [self.named(null_id, (seq_id, *purpose)) for seq_id in range(n_windows)]

    def of_raster(self, null_id: NullId, *purpose: NamePart) -> np.random.Generator:
        """The stream of a null that exchanges sites between windows."""
        return self.named(null_id, purpose)


def draw_null(
    A: AnyCounts, null_id: NullId, streams: NullStreams, token_ids: TokenIds | None = None
) -> AnyCounts:
    """The first raster of a null, from the condition's own streams.

    Args:
        A: event counts [N, L, T].
        null_id: a null that re-draws rasters.
        streams: of the condition.
        token_ids: [N, T], for the token-id null alone.

    Raises:
        InputError: the null needs token ids, or draws no rasters.
    """
    if null_id is EXCHANGED and token_ids is not None:
        return token_id_stratified_null(A, token_ids, streams.of_raster(null_id))
    if null_id not in _REDRAWN_BY_WINDOW:
        raise InputError(f"{null_id} is not drawn from a raster alone")
    return _by_window(_REDRAWN_BY_WINDOW[null_id], A, streams.of_windows(null_id, len(A)))


_REDRAWN_BY_WINDOW = {PERMUTED: permutation_null, SHIFTED: circular_shift_null}


def _by_window(
    draw: Callable[[AnyCounts, np.random.Generator], AnyCounts],
    A: AnyCounts,
    streams: Sequence[np.random.Generator],
) -> AnyCounts:
    """The next raster of a null, each window from a stream of its own."""
    windows = [draw(window, rng) for window, rng in zip(A, streams, strict=True)]
    return np.stack(windows) if windows else A.copy()


def permuted_rasters(
    A: AnyCounts,
    streams: Sequence[np.random.Generator],
    draws: int,
    *,
    whole_tokens: bool = False,
) -> Iterator[AnyCounts]:
    """Rasters with the order of tokens drawn anew, one after the other from the same streams.

    Args:
        A: event counts [N, L, T].
        streams: one for each window.
        draws: how many.
        whole_tokens: permute the tokens of a window with all their layers, rather than each row.
    """
    draw = token_column_null if whole_tokens else permutation_null
    for _ in range(draws):
        yield _by_window(draw, A, streams)


@dataclass(frozen=True)
class NullReport:
    """What the nulls lead one to expect of one raster, and how far it deviates."""

    exact: BranchingNull
    """Permutation and shift, in closed form."""
    intervals: Mapping[str, Interval]
    """Of the surpluses, over windows, by name."""
    token_id: TokenIdNull | None
    """Exchange within token ids, in closed form; None where no token ids were given."""
    ensembles: Mapping[NullId, EnsembleStatistics]
    """Of draws, by null."""
    one_draw: Mapping[NullId, Branching]
    """Branching ratios of the first raster of a null."""
    branching: Branching
    """The raster's own."""
    replicates: int
    """Draws of each ensemble."""


def null_report(
    A: AnyCounts,
    token_ids: TokenIds | None,
    streams: NullStreams,
    *,
    replicates: int,
    resamples: Resamples,
    denominator: Denominator = "valid_edges",
    exchange_ensemble: bool = True,
) -> NullReport:
    """Compare one raster with permutation, shift and exchange within token ids.

    Args:
        A: event counts [N, L, T].
        token_ids: [N, T]; None leaves the token-id null out.
        streams: of the condition.
        replicates: draws of each ensemble.
        resamples: of the N windows.
        denominator: of the branching ratios.
        exchange_ensemble: draw an ensemble of the token-id null too.
    """
    nulls = [PERMUTED, SHIFTED]
    if token_ids is not None and exchange_ensemble:
        nulls.append(EXCHANGED)
    return NullReport(
        exact=branching_null_exact(A, denominator=denominator),
        intervals=excess_intervals(null_sums(A), resamples, denominator=denominator),
        token_id=None
        if token_ids is None
        else token_id_null_exact(A, token_ids, denominator=denominator),
        ensembles={
            null_id: _ensemble(A, null_id, streams, replicates, token_ids, denominator)
            for null_id in nulls
        },
        one_draw={
            null_id: branching(draw_null(A, null_id, streams), denominator=denominator)
            for null_id in _REDRAWN_BY_WINDOW
        },
        branching=branching(A, denominator=denominator),
        replicates=replicates,
    )


def _ensemble(
    A: AnyCounts,
    null_id: NullId,
    streams: NullStreams,
    replicates: int,
    token_ids: TokenIds | None,
    denominator: Denominator,
) -> EnsembleStatistics:
    purpose = "ensemble"  # an ensemble takes words in another order than a raster's draw
    drawn = branching_null_ensemble(
        A,
        streams.of_raster(null_id, purpose)
        if null_id is EXCHANGED
        else streams.of_windows(null_id, len(A), purpose),
        replicates,
        null_id,
        token_ids=token_ids,
    )
    return ensemble_statistics(A, drawn, denominator=denominator)


@dataclass(frozen=True)
class ShuffleReport:
    """The same thresholds on shuffled input: what order adds to the surplus over permutation."""

    branching: Branching
    """Branching ratios, mean over draws."""
    events_layers: Float64[np.ndarray, " L"]
    """Events of each layer, mean over draws."""
    excess: PairedExcess
    """The raster's surplus over its permutation null, less that of shuffled input."""
    n_draws: int
    """Orders of tokens that were drawn."""


def shuffle_report(
    A: AnyCounts,
    shuffled: Sequence[AnyCounts],
    resamples: Resamples,
    *,
    denominator: Denominator = "valid_edges",
) -> ShuffleReport:
    """Compare a raster with those of the same windows, tokens shuffled.

    Args:
        A: event counts [N, L, T].
        shuffled: the same of shuffled input, one for each draw; at least one.
        resamples: of the N windows.
        denominator: of the branching ratios.

    Raises:
        ArrayError: there is no draw, or one is of other windows.
    """
    excess = paired_excess(
        null_sums(A), [null_sums(draw) for draw in shuffled], resamples, denominator=denominator
    )
    edges = np.stack([edge_sums(draw).values.sum(axis=0) for draw in shuffled])
    of_draws = vars(branching_from_sums(edges.sum(axis=1), denominator=denominator))
    means = {name: np.asarray(ratios.mean()) for name, ratios in of_draws.items()}
    return ShuffleReport(
        branching=Branching(**means),
        events_layers=edges[..., _EVENTS].sum(axis=0) / len(shuffled),
        excess=excess,
        n_draws=len(shuffled),
    )
