"""Null rasters, and the branching ratios of many of them.

Three nulls draw a raster A of windows [L, T] anew:

- permutation: each row (a layer of a window) in an order drawn uniformly. Keeps the row's counts;
  breaks order along tokens and alignment of layers.
- circular shift: each row turned by 0 … T − 1 tokens, drawn uniformly. Keeps the row's cyclic
  order, so nearly all of b_time; breaks alignment of layers.
- token-id stratified: counts exchanged between the places of one token id in a layer, over all
  windows. Keeps the distribution of A given layer and token id; breaks what context adds.

A surplus over the first two need not be propagation: input that all layers share, say a token that
excites every layer, makes it too. The third keeps what the token itself explains. What to expect is
known in closed form: :mod:`avalattice.lattice.null_moments` of the first two and
:mod:`avalattice.lattice.token_id_null` of the third.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer

from avalattice.arrays import AnyCounts, check_counts
from avalattice.canon import NullId
from avalattice.errors import ArrayError, InputError
from avalattice.lattice.branching import ratio, windows_of
from avalattice.lattice.token_id_null import TokenStrata, check_token_ids

_BLOCK_WORDS = 2**22
"""Random words drawn at a time: 16 MiB."""
_TIE = 1e-12


@dataclass(frozen=True)
class EdgeReplicates:
    """Pooled edge counts of R null rasters, in the order in which they were drawn.

    Results of different windows, each drawn from its own stream, add up.
    """

    time_edges: Int64[np.ndarray, " R"]
    """Σ X_t X_{t+1}."""
    time_ancestors: Int64[np.ndarray, " R"]
    """Σ_{t<T−1} X_t."""
    depth_edges: Int64[np.ndarray, " R"]
    """Σ X_l X_{l+1}."""
    depth_ancestors: Int64[np.ndarray, " R"]
    """Σ_{l<L−1} X_l."""

    @property
    def b_time(self) -> Float[np.ndarray, " R"]:
        """Branching ratios along tokens; NaN where no occupied site is followed by a token."""
        return ratio(self.time_edges, self.time_ancestors)

    @property
    def b_depth(self) -> Float[np.ndarray, " R"]:
        """Branching ratios along layers; NaN where no occupied site has a layer above it."""
        return ratio(self.depth_edges, self.depth_ancestors)

    @property
    def b_tot(self) -> Float[np.ndarray, " R"]:
        """b_time + b_depth."""
        total: Float[np.ndarray, " R"] = self.b_time + self.b_depth
        return total

    def __add__(self, other: EdgeReplicates) -> EdgeReplicates:
        return EdgeReplicates(
            self.time_edges + other.time_edges,
            self.time_ancestors + other.time_ancestors,
            self.depth_edges + other.depth_edges,
            self.depth_ancestors + other.depth_ancestors,
        )


def permutation_null(A: AnyCounts, rng: np.random.Generator) -> AnyCounts:
    """A raster with the order of every row drawn anew (WITHIN_LAYER_TIME_PERM).

    Args:
        A: event counts or occupancy [..., L, T].
        rng: the stream to draw from; rows draw in C order.

    Raises:
        ArrayError: ``A`` is not an array of whole numbers with axes [..., L, T].
    """
    check_counts("A", A)
    return rng.permuted(A, axis=-1)


def circular_shift_null(A: AnyCounts, rng: np.random.Generator) -> AnyCounts:
    """A raster with every row turned by 0 … T − 1 tokens (WITHIN_LAYER_TIME_CIRC_SHIFT).

    Zero is among the shifts so that they form a group, on which p-values rest.

    Args:
        A: event counts or occupancy [..., L, T].
        rng: the stream to draw from; rows draw in C order.

    Raises:
        ArrayError: ``A`` is not an array of whole numbers with axes [..., L, T].
    """
    check_counts("A", A)
    n_tokens = A.shape[-1]
    shifts = rng.integers(n_tokens, size=A.shape[:-1])
    source = (np.arange(n_tokens) - shifts[..., np.newaxis]) % n_tokens
    return np.take_along_axis(A, source, axis=-1)


def token_column_null(A: AnyCounts, rng: np.random.Generator) -> AnyCounts:
    """A raster with its tokens in an order drawn anew, all layers of a token together.

    Keeps every column, so the alignment of layers and all of b_depth; breaks order along tokens.
    What is left of a size–duration relation under it is due to tokens that are loud in many layers
    at once. No branching ratio is judged by it, and it is none of the registry's nulls.

    Args:
        A: event counts or occupancy [..., L, T].
        rng: the stream to draw from; windows draw in C order.

    Raises:
        ArrayError: ``A`` is not an array of whole numbers with axes [..., L, T].
    """
    check_counts("A", A)
    order = rng.permuted(
        np.broadcast_to(np.arange(A.shape[-1]), A.shape[:-2] + A.shape[-1:]), axis=-1
    )
    return np.take_along_axis(A, order[..., np.newaxis, :], axis=-1)


def token_id_stratified_null(
    A: AnyCounts, token_ids: Integer[np.ndarray, "*stack T"], rng: np.random.Generator
) -> AnyCounts:
    """A raster with the counts of each (layer, token id) exchanged over all windows.

    Args:
        A: event counts or occupancy [N, L, T] of one condition, or [L, T].
        token_ids: [N, T], or [T].
        rng: the stream to draw from; layers draw in order, each its own exchange.

    Raises:
        ArrayError: ``A`` has other axes, or ``token_ids`` another shape than its windows have.
    """
    layers = np.moveaxis(windows_of(A), 1, 0)
    check_token_ids(A, token_ids)
    ids, drawn = token_ids.reshape(-1), np.empty(layers.shape, A.dtype)
    places = np.argsort(ids, kind="stable")
    for layer, exchanged in zip(layers, drawn, strict=True):
        shuffled = rng.permutation(ids.size)
        source = shuffled[np.argsort(ids[shuffled], kind="stable")]
        exchanged.reshape(-1)[places] = layer.reshape(-1)[source]
    return np.ascontiguousarray(np.moveaxis(drawn, 0, 1)).reshape(A.shape)


def branching_null_ensemble(
    X: AnyCounts,
    rng: np.random.Generator | Sequence[np.random.Generator],
    replicates: int,
    null_id: NullId | str,
    *,
    token_ids: Integer[np.ndarray, "*stack T"] | None = None,
) -> EdgeReplicates:
    """Edge counts of null rasters, to check the closed forms and for Monte Carlo p-values.

    Args:
        X: occupancy or event counts [N, L, T] of one condition, over whose windows edges are
            pooled, or [L, T].
        rng: the stream to draw from; replicates draw in order, so that the first of many are those
            of a shorter ensemble. Or N streams, one for each window, of the two nulls that redraw
            rows: the result is the sum of each window's own ensemble.
        replicates: R, how many rasters to draw.
        null_id: a null that re-draws rasters.
        token_ids: [N, T] or [T], for the token-id stratified null only.

    Raises:
        ArrayError: ``X`` has other axes, or ``token_ids`` is missing or has another shape.
        InputError: ``null_id`` is not a null of rasters, there are not as many streams as windows,
            or several streams for a null that exchanges sites between windows.
    """
    occupied = windows_of(X) > 0
    if not isinstance(rng, np.random.Generator):
        return _sum_over_windows(occupied, rng, replicates, null_id)
    match null_id:
        case NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM:
            return _permutation_ensemble(occupied, rng, replicates)
        case NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT:
            return _shift_ensemble(occupied, rng, replicates)
        case NullId.NULL_RASTER_TOKEN_ID_STRATIFIED if token_ids is not None:
            check_token_ids(X, token_ids)
            return _stratified_ensemble(occupied, token_ids, rng, replicates)
        case NullId.NULL_RASTER_TOKEN_ID_STRATIFIED:
            raise ArrayError(f"token_ids: {null_id} needs the token ids [N, T], found None")
    raise InputError(f"null {null_id!r} draws no rasters: choose a NULL_RASTER_… id")


def _sum_over_windows(
    X: Bool[np.ndarray, "N L T"],
    streams: Sequence[np.random.Generator],
    replicates: int,
    null_id: NullId | str,
) -> EdgeReplicates:
    if null_id == NullId.NULL_RASTER_TOKEN_ID_STRATIFIED:
        raise InputError(f"{null_id} exchanges sites between windows: draw it from one stream")
    if len(streams) != len(X):
        raise InputError(
            f"rng: expected one stream for each of {len(X)} windows, found {len(streams)}"
        )
    total = EdgeReplicates(*np.zeros((4, replicates), np.int64))
    for window, stream in zip(X, streams, strict=True):
        total += branching_null_ensemble(window, stream, replicates, null_id)
    return total


def p_monte_carlo(observed: float, replicates: Float[np.ndarray, " R"]) -> float:
    """Two-sided Monte Carlo p-value (1 + #{|b_null − mean| ≥ |b − mean|}) / (R + 1).

    The mean is that of the R + 1 values, the observed one among them: under the null they are
    exchangeable, so p is valid for every R (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585).
    Deviations that agree to 12 digits of the largest value are ties: on the two sides of the mean
    equal ones differ in binary.

    Args:
        observed: b of the raster.
        replicates: b of the null rasters.

    Returns:
        p, or NaN if a value is NaN.

    >>> p_monte_carlo(0.9, np.array([0.1, 0.2, 0.3]))
    0.25
    """
    values = np.append(replicates, observed)
    if np.isnan(values).any():
        return math.nan
    deviation = np.abs(values - values.mean())
    return float(np.mean(deviation >= deviation[-1] - _TIE * np.abs(values).max()))


def _permutation_ensemble(
    X: Bool[np.ndarray, "N L T"], rng: np.random.Generator, replicates: int
) -> EdgeReplicates:
    """Permuting a row's occupancy is choosing its occupied sites, or the empty ones if rarer."""
    from avalattice.lattice import null_kernels  # brings numba, which is slow to import

    n_tokens = X.shape[-1]
    k = np.count_nonzero(X, axis=-1).astype(np.int64)
    n_words = int(np.minimum(k, n_tokens - k).sum())
    sums = np.zeros((3, replicates), np.int64)
    for block in _blocks(replicates, n_words):
        words = rng.integers(2**32, size=(block.stop - block.start, n_words), dtype=np.uint32)
        null_kernels.permuted_edges(k, n_tokens, words, sums[:, block])
    time_edges, time_ancestors, depth_edges = sums
    depth_ancestors = np.full(replicates, k[:, :-1].sum())
    return EdgeReplicates(time_edges, time_ancestors, depth_edges, depth_ancestors)


def _blocks(replicates: int, n_words: int) -> Iterator[slice]:
    """Consecutive replicates that together need about :data:`_BLOCK_WORDS` words."""
    step = max(1, _BLOCK_WORDS // max(n_words, 1))
    for start in range(0, replicates, step):
        yield slice(start, min(start + step, replicates))


def _shift_ensemble(
    X: Bool[np.ndarray, "N L T"], rng: np.random.Generator, replicates: int
) -> EdgeReplicates:
    """Turning rows moves the seam of each, and the overlap of two to another relative shift."""
    n_tokens = X.shape[-1]
    shifts = np.moveaxis(rng.integers(n_tokens, size=(replicates, *X.shape[:-1])), 0, -1)
    cyclic_edges = X & np.roll(X, -1, axis=-1)
    last_site = n_tokens - 1 - shifts
    relative = (shifts[:, :-1] - shifts[:, 1:]) % n_tokens
    depth_edges = np.take_along_axis(_circular_correlation(X), relative, axis=-1)
    return EdgeReplicates(
        np.count_nonzero(cyclic_edges) - _count_at(cyclic_edges, last_site),
        np.count_nonzero(X) - _count_at(X, last_site),
        depth_edges.sum(axis=(0, 1)),
        np.full(replicates, np.count_nonzero(X[:, :-1])),
    )


def _count_at(
    X: Bool[np.ndarray, "N L T"], token: Int64[np.ndarray, "N L R"]
) -> Int64[np.ndarray, " R"]:
    return np.asarray(np.take_along_axis(X, token, axis=-1).sum(axis=(0, 1)), np.int64)


def _circular_correlation(X: Bool[np.ndarray, "N L T"]) -> Int64[np.ndarray, "N L-1 T"]:
    """C(s) = Σ_t X_l(t) X_{l+1}(t + s), exact: sums of zeros and ones, rounded."""
    spectrum = np.fft.rfft(X, axis=-1)
    product = np.conj(spectrum[:, :-1]) * spectrum[:, 1:]
    correlation = np.fft.irfft(product, n=X.shape[-1], axis=-1)
    return np.asarray(np.rint(correlation), np.int64)


def _stratified_ensemble(
    X: Bool[np.ndarray, "N L T"],
    token_ids: Integer[np.ndarray, "*stack T"],
    rng: np.random.Generator,
    replicates: int,
) -> EdgeReplicates:
    """Exchanging occupancy within a stratum is choosing its occupied sites, as in a row."""
    from avalattice.lattice import null_kernels  # brings numba, which is slow to import

    strata, n_tokens = TokenStrata.of(X, token_ids), X.shape[-1]
    places, size, k = strata.places, strata.size, strata.occupied
    n_words = int(np.minimum(k, size - k).sum())
    sums = np.zeros((3, replicates), np.int64)
    for block in _blocks(replicates, n_words):
        words = rng.integers(2**32, size=(block.stop - block.start, n_words), dtype=np.uint32)
        null_kernels.exchanged_edges(places, size, k, n_tokens, words, sums[:, block])
    time_edges, time_ancestors, depth_edges = sums
    return EdgeReplicates(
        time_edges, time_ancestors, depth_edges, np.full(replicates, k[:-1].sum())
    )
