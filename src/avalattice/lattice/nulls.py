"""Null rasters, and the branching ratios to expect of them.

Three nulls draw a raster A of windows [L, T] anew:

- permutation: each row (a layer of a window) in an order drawn uniformly. Keeps the row's counts;
  breaks order along tokens and alignment of layers.
- circular shift: each row turned by 0 … T − 1 tokens, drawn uniformly. Keeps the row's cyclic
  order, so nearly all of b_time; breaks alignment of layers.
- token-id stratified: counts exchanged between the places of one token id in a layer, over all
  windows. Keeps the distribution of A given layer and token id; breaks what context adds.

A surplus over the first two need not be propagation: input that all layers share, say a token that
excites every layer, makes it too. The third keeps what the token itself explains.

With k occupied sites in a row of T and k' in the next layer's, permutation gives N = Σ X_t X_{t+1}
edges along tokens and M = Σ X_l X_{l+1} along layers, with

    E N = k(k−1)/T            Var N = k(k−1)(T−k)(T−k+1) / (T²(T−1))
    E M = kk'/T               Var M = kk'(T−k)(T−k') / (T²(T−1))

M is hypergeometric, and so is k − N, the number of runs (Wald and Wolfowitz 1940,
doi:10.1214/aoms/1177731909). All these sums are uncorrelated: means and variances add up. Under the
shift null M is one of the T values of the circular cross-correlation of the two rows, each equally
likely: its mean is again kk'/T, its variance Σ_{f≠0} |F_l(f)|²|F_{l+1}(f)|² / T², with F the
discrete Fourier transform of a row (Parseval).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer, UInt8

from avalattice.arrays import AnyCounts
from avalattice.canon import AdjacencyId, NullId
from avalattice.errors import ArrayError, InputError
from avalattice.lattice.avalanches import AvalancheTable

PERCOLATION_THRESHOLD: Final = {AdjacencyId.ADJ_4N: 0.592746, AdjacencyId.ADJ_8N: 0.407254}
"""Occupancy p_c at which independent sites percolate (Newman and Ziff 2000,
doi:10.1103/PhysRevLett.85.4104). The two add up to one: occupied sites span the layers through 4N
neighbours unless empty ones part them through 8N neighbours."""

PERCOLATION_SIZE_EXPONENT: Final = 187 / 91
"""Tail exponent of component sizes at p_c in two dimensions (Stauffer and Aharony 1994)."""

_BLOCK_WORDS = 2**22
"""Random words drawn at a time: 16 MiB."""

_NO_TIME = "no occupied site is followed by a token"
_NO_DEPTH = "no occupied site has a layer above it"
_FLAT = "every raster of the null has the same number of edges"
_REASONS = (
    dict.fromkeys(("b_time_perm_exact", "delta_b_time"), _NO_TIME)
    | dict.fromkeys(("b_depth_perm_exact", "b_depth_shift_exact"), _NO_DEPTH)
    | dict.fromkeys(("delta_b_depth", "delta_b_depth_shift"), _NO_DEPTH)
    | dict.fromkeys(("b_tot_perm_exact", "delta_b_tot"), f"{_NO_TIME}, or {_NO_DEPTH}")
    | dict.fromkeys(("z_time_perm_exact", "p_time_perm_exact"), _FLAT)
    | dict.fromkeys(("z_depth_perm_exact", "p_depth_perm_exact"), _FLAT)
    | dict.fromkeys(("z_depth_shift_exact", "p_depth_shift_exact"), _FLAT)
)


@dataclass(frozen=True)
class BranchingNull:
    """What permutation and shift lead one to expect of the pooled branching ratios, exactly.

    z and p are those of the pooled edge counts; p is two-sided and normal. Time is to be judged by
    the permutation null, depth by the shift null: permutation also breaks the autocorrelation of
    rows, and then rejects layers that are independent but persistent. The seam of a shift, where a
    row's end meets its beginning, matters only if rows persist over a good part of the window.
    """

    time_edges: int
    """Pooled Σ X_t X_{t+1} of the raster."""
    time_edges_perm_mean: float
    """Its expectation under permutation."""
    time_edges_perm_var: float
    """Its variance under permutation."""
    depth_edges: int
    """Pooled Σ X_l X_{l+1} of the raster."""
    depth_edges_perm_mean: float
    """Its expectation under permutation, and under the shift."""
    depth_edges_perm_var: float
    """Its variance under permutation."""
    depth_edges_shift_var: float
    """Its variance under the shift."""
    b_time_perm_exact: float
    """E[Σ X_t X_{t+1}] / E[Σ_{t<T−1} X_t] = Σ k(k−1) / ((T−1) Σ k). It is the expected ratio too
    where all rows have the same k, and differs from it by a share of order 1 / Σ k otherwise."""
    b_depth_perm_exact: float
    """Expected b_depth under permutation, which keeps the denominator."""
    b_tot_perm_exact: float
    """b_time_perm_exact + b_depth_perm_exact."""
    b_depth_shift_exact: float
    """Expected b_depth under the shift: equal to that under permutation."""
    delta_b_time: float
    """b_time − b_time_perm_exact."""
    delta_b_depth: float
    """b_depth − b_depth_perm_exact."""
    delta_b_tot: float
    """delta_b_time + delta_b_depth."""
    delta_b_depth_shift: float
    """b_depth − b_depth_shift_exact."""
    z_time_perm_exact: float
    """Deviation of time_edges from permutation, in standard deviations."""
    p_time_perm_exact: float
    """Its two-sided p-value."""
    z_depth_perm_exact: float
    """Deviation of depth_edges from permutation, in standard deviations."""
    p_depth_perm_exact: float
    """Its two-sided p-value."""
    z_depth_shift_exact: float
    """Deviation of depth_edges from the shift, in standard deviations."""
    p_depth_shift_exact: float
    """Its two-sided p-value."""
    reasons: Mapping[str, str]
    """Why a field is NaN, by field; empty where all are defined."""


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
        return _ratios(self.time_edges, self.time_ancestors)

    @property
    def b_depth(self) -> Float[np.ndarray, " R"]:
        """Branching ratios along layers; NaN where no occupied site has a layer above it."""
        return _ratios(self.depth_edges, self.depth_ancestors)

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
    _require_counts("A", A)
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
    _require_counts("A", A)
    n_tokens = A.shape[-1]
    shifts = rng.integers(n_tokens, size=A.shape[:-1])
    source = (np.arange(n_tokens) - shifts[..., np.newaxis]) % n_tokens
    return np.take_along_axis(A, source, axis=-1)


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
    layers = np.moveaxis(_windows(A), 1, 0)
    expected = A.shape[:-2] + A.shape[-1:]
    if token_ids.shape != expected:
        raise ArrayError(f"token_ids: expected shape {expected}, found {token_ids.shape}")
    ids, drawn = token_ids.reshape(-1), np.empty(layers.shape, A.dtype)
    places = np.argsort(ids, kind="stable")
    for layer, exchanged in zip(layers, drawn, strict=True):
        shuffled = rng.permutation(ids.size)
        source = shuffled[np.argsort(ids[shuffled], kind="stable")]
        exchanged.reshape(-1)[places] = layer.reshape(-1)[source]
    return np.ascontiguousarray(np.moveaxis(drawn, 0, 1)).reshape(A.shape)


def branching_null_exact(X: AnyCounts) -> BranchingNull:
    """Closed-form expectation of the branching ratios under the permutation and shift nulls.

    Args:
        X: occupancy or event counts [N, L, T] of one condition, over whose windows edges are
            pooled, or [L, T].

    Returns:
        the expectations, the raster's surplus over them, and its z and p.

    Raises:
        ArrayError: ``X`` has other axes, say those of several conditions.

    >>> X = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
    >>> null = branching_null_exact(X)
    >>> round(null.b_time_perm_exact, 3), null.b_depth_perm_exact, null.delta_b_depth
    (0.222, 0.25, 0.25)
    """
    occupied = _windows(X) > 0
    seen = _edge_sums(occupied)
    n_tokens = occupied.shape[-1]
    per_row = np.count_nonzero(occupied, axis=-1).astype(np.float64)
    time_mean, time_var = _time_moments(per_row, n_tokens)
    depth_mean, depth_var = _depth_moments(per_row, n_tokens)
    shift_var = _shift_variance(occupied)
    b_time = _ratio(time_mean, per_row.sum() * (n_tokens - 1) / n_tokens)
    b_depth = _ratio(depth_mean, seen.depth_ancestors)
    delta_time = _ratio(seen.time_edges, seen.time_ancestors) - b_time
    delta_depth = _ratio(seen.depth_edges, seen.depth_ancestors) - b_depth
    defined = {
        "b_time_perm_exact": b_time,
        "b_depth_perm_exact": b_depth,
        "b_tot_perm_exact": b_time + b_depth,
        "b_depth_shift_exact": b_depth,
        "delta_b_time": delta_time,
        "delta_b_depth": delta_depth,
        "delta_b_tot": delta_time + delta_depth,
        "delta_b_depth_shift": delta_depth,
        **_scores("time_perm", seen.time_edges - time_mean, time_var),
        **_scores("depth_perm", seen.depth_edges - depth_mean, depth_var),
        **_scores("depth_shift", seen.depth_edges - depth_mean, shift_var),
    }
    return BranchingNull(
        time_edges=seen.time_edges,
        time_edges_perm_mean=time_mean,
        time_edges_perm_var=time_var,
        depth_edges=seen.depth_edges,
        depth_edges_perm_mean=depth_mean,
        depth_edges_perm_var=depth_var,
        depth_edges_shift_var=shift_var,
        **defined,
        reasons={name: _REASONS[name] for name, value in defined.items() if math.isnan(value)},
    )


def branching_null_ensemble(
    X: AnyCounts,
    rng: np.random.Generator,
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
            of a shorter ensemble.
        replicates: R, how many rasters to draw.
        null_id: a null that re-draws rasters.
        token_ids: [N, T] or [T], for the token-id stratified null only.

    Raises:
        ArrayError: ``X`` has other axes, or ``token_ids`` is missing or has another shape.
        InputError: ``null_id`` is not a null of rasters.
    """
    occupied = _windows(X) > 0
    match null_id:
        case NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM:
            return _permutation_ensemble(occupied, rng, replicates)
        case NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT:
            return _shift_ensemble(occupied, rng, replicates)
        case NullId.NULL_RASTER_TOKEN_ID_STRATIFIED if token_ids is not None:
            return _stratified_ensemble(X, token_ids, rng, replicates)
        case NullId.NULL_RASTER_TOKEN_ID_STRATIFIED:
            raise ArrayError(f"token_ids: {null_id} needs the token ids [N, T], found None")
    raise InputError(f"null {null_id!r} draws no rasters: choose a NULL_RASTER_… id")


def p_monte_carlo(observed: float, replicates: Float[np.ndarray, " R"]) -> float:
    """Two-sided Monte Carlo p-value (1 + #{|b_null − mean| ≥ |b − mean|}) / (R + 1).

    The mean is that of the R + 1 values, the observed one among them: under the null they are
    exchangeable, so p is valid for every R (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585).

    Args:
        observed: b of the raster.
        replicates: b of the null rasters.

    Returns:
        p, or NaN if a value is NaN.

    >>> p_monte_carlo(0.9, np.array([0.1, 0.2, 0.3]))
    0.25
    """
    values = np.append(replicates, observed)
    deviation = np.abs(values - values.mean())
    return math.nan if np.isnan(deviation).any() else float(np.mean(deviation >= deviation[-1]))


def independent_sites(
    shape: tuple[int, ...], occupancy: float, rng: np.random.Generator
) -> UInt8[np.ndarray, ...]:
    """The raster of site percolation: sites occupied independently, the control of every null.

    Args:
        shape: [..., L, T].
        occupancy: p, the probability that a site is occupied.
        rng: the stream to draw from.
    """
    return (rng.random(shape) < occupancy).astype(np.uint8)


def spanning_fraction(table: AvalancheTable) -> float:
    """The share of windows in which one avalanche reaches from the first layer to the last.

    For independent sites in large square windows it passes from 0 to 1 at
    :data:`PERCOLATION_THRESHOLD`, where it is one half. NaN if there are no windows.
    """
    spanning = table.window[table.span_layers == table.stack_shape[-2]]
    return _ratio(len(np.unique(spanning)), table.n_windows)


class _EdgeSums(NamedTuple):
    """Pooled sums of one raster, in the order of the fields of :class:`EdgeReplicates`."""

    time_edges: int
    time_ancestors: int
    depth_edges: int
    depth_ancestors: int


def _edge_sums(X: Bool[np.ndarray, "N L T"]) -> _EdgeSums:
    sites = (X[:, :, :-1] & X[:, :, 1:], X[:, :, :-1], X[:, :-1] & X[:, 1:], X[:, :-1])
    return _EdgeSums(*(int(np.count_nonzero(chosen)) for chosen in sites))


def _ratio(numerator: float | int, denominator: float | int) -> float:
    return float(numerator / denominator) if denominator else math.nan


def _ratios(
    numerators: Int64[np.ndarray, " R"], denominators: Int64[np.ndarray, " R"]
) -> Float[np.ndarray, " R"]:
    ratios = np.full(len(numerators), np.nan)
    np.divide(numerators, denominators, out=ratios, where=denominators > 0)
    return ratios


def _scores(test: str, surplus: float, variance: float) -> dict[str, float]:
    """Z and its two-sided normal p; NaN where the null has no variance."""
    z = _ratio(surplus, math.sqrt(variance))
    return {f"z_{test}_exact": z, f"p_{test}_exact": math.erfc(abs(z) / math.sqrt(2))}


def _time_moments(k: Float[np.ndarray, "N L"], n_tokens: int) -> tuple[float, float]:
    """Mean and variance of Σ X_t X_{t+1} under permutation, summed over rows."""
    T, pairs = n_tokens, k * (k - 1)
    variance = pairs * (T - k) * (T - k + 1) / (T**2 * max(T - 1, 1))  # T = 1: no pairs anyway
    return float(np.sum(pairs / T)), float(variance.sum())


def _depth_moments(k: Float[np.ndarray, "N L"], n_tokens: int) -> tuple[float, float]:
    """Mean and variance of Σ X_l X_{l+1} under permutation, summed over neighbouring rows."""
    T, k, above = n_tokens, k[:, :-1], k[:, 1:]
    both = k * above
    variance = both * (T - k) * (T - above) / (T**2 * max(T - 1, 1))  # T = 1: a factor is zero
    return float(np.sum(both / T)), float(variance.sum())


def _shift_variance(X: Bool[np.ndarray, "N L T"]) -> float:
    """Variance of Σ X_l X_{l+1} under the shift, summed over neighbouring rows.

    T² times the variance is the whole number T Σ C(s)² − (Σ C(s))²: rounding to it removes the
    error of the transform, so that a null without variance is found to have none.
    """
    n_tokens = X.shape[-1]
    power = np.abs(np.fft.rfft(X, axis=-1)) ** 2
    weights = np.full(power.shape[-1], 2.0)  # each frequency stands for its negative too
    weights[0] = 0
    if n_tokens % 2 == 0:
        weights[-1] = 1  # but not the highest
    scaled = np.einsum("nlf,nlf,f->", power[:, :-1], power[:, 1:], weights)
    return float(np.rint(scaled) / n_tokens**2)


def _permutation_ensemble(
    X: Bool[np.ndarray, "N L T"], rng: np.random.Generator, replicates: int
) -> EdgeReplicates:
    """Permuting a row's occupancy is choosing its occupied sites, or the empty ones if rarer."""
    from avalattice.lattice import kernels  # brings numba, which is slow to import

    n_tokens = X.shape[-1]
    k = np.count_nonzero(X, axis=-1).astype(np.int64)
    n_words = int(np.minimum(k, n_tokens - k).sum())
    sums = np.zeros((3, replicates), np.int64)
    for block in _blocks(replicates, n_words):
        words = rng.integers(2**32, size=(block.stop - block.start, n_words), dtype=np.uint32)
        kernels.permuted_edges(k, n_tokens, words, sums[:, block])
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
    X: AnyCounts,
    token_ids: Integer[np.ndarray, "*stack T"],
    rng: np.random.Generator,
    replicates: int,
) -> EdgeReplicates:
    drawn = [
        _edge_sums(_windows(token_id_stratified_null(X, token_ids, rng)) > 0)
        for _ in range(replicates)
    ]
    return EdgeReplicates(*np.array(drawn, np.int64).reshape(replicates, 4).T)


def _require_counts(name: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "bui" or array.ndim < 2 or 0 in array.shape[-2:]:
        raise ArrayError(
            f"{name}: expected whole numbers with axes [..., L, T], L and T at least 1, "
            f"found {array.dtype} of shape {array.shape}"
        )


def _windows(array: np.ndarray) -> Integer[np.ndarray, "N L T"] | Bool[np.ndarray, "N L T"]:
    """The raster of one condition, as [N, L, T]."""
    _require_counts("raster", array)
    if array.ndim > 3:
        raise ArrayError(
            f"raster: expected axes [N, L, T] of one condition, found shape {array.shape}: "
            "edges are pooled over windows, never over conditions; pass one condition at a time"
        )
    return array.reshape(-1, *array.shape[-2:])
