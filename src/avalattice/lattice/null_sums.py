"""Sums per window from which branching ratios and what the nulls expect of them follow by pooling.

With k occupied sites in a row of T tokens and k' in the next layer's, a permutation of each row has

    E[Σ X_t X_{t+1}] = k(k−1)/T     E[Σ_{t<T−1} X_t] = k(T−1)/T     E[Σ X_l X_{l+1}] = kk'/T

and keeps Σ_{l<L−1} X_l and Σ X. Each adds up over rows and windows, so that for any set or
resample of windows

    delta_b = Σ pairs / Σ ancestors − Σ E[pairs] / Σ E[ancestors]

is a ratio of sums less another, and its interval a matter of weights. The shift null expects the
same of layers. Variances, z and p: :mod:`avalattice.lattice.null_moments`. The token-id null is not
handled here: its strata span windows, so that no sum over windows expresses it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from avalattice.arrays import AnyCounts, check_counts
from avalattice.errors import ArrayError
from avalattice.lattice.branching import SUM_NAMES, Denominator, EdgeSums, edge_sums, ratio

NULL_SUM_NAMES = (
    "time_pairs",
    "time_ancestors",
    "depth_pairs",
    "depth_ancestors",
    "sites",
    "time_pairs_expected",
    "time_ancestors_expected",
    "depth_pairs_expected",
)
"""The sums of a window, in the order of the last axis: five that were counted, and what permutation
leads one to expect of three of them. It keeps the other two."""
_AT = {name: column for column, name in enumerate(NULL_SUM_NAMES)}
_COUNTED = [SUM_NAMES.index(name) for name in NULL_SUM_NAMES if name in SUM_NAMES]
_SITES = SUM_NAMES.index("sites")
_BLOCK_SITES = 2**21
"""Sites looked at together: 16 MiB for each of a few temporary arrays."""


def null_sums(A: AnyCounts) -> Float64[np.ndarray, "*stack S"]:
    """The sums of each window of a stack of rasters.

    Args:
        A: event counts or occupancy [..., L, T], say [C, N, L, T]; looked at in blocks of windows,
            and may be memory-mapped.

    Returns:
        sums [..., S], say [C, N, S], in the order of :data:`NULL_SUM_NAMES`. Whole numbers are
        exact.

    Raises:
        ArrayError: ``A`` is not an array of whole numbers with axes [..., L, T].

    >>> X = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
    >>> null_sums(X).tolist()
    [1.0, 3.0, 1.0, 2.0, 3.0, 0.5, 2.25, 0.5]
    """
    check_counts("A", A)
    n_layers, n_tokens = A.shape[-2:]
    windows = A.reshape(math.prod(A.shape[:-2]), n_layers, n_tokens)
    sums = np.empty((len(windows), len(NULL_SUM_NAMES)))
    step = max(1, _BLOCK_SITES // (n_layers * n_tokens))
    for start in range(0, len(windows), step):
        block = windows[start : start + step]
        sums[start : start + step] = null_sums_of_edges(edge_sums(block), n_tokens)
    return sums.reshape(*A.shape[:-2], len(NULL_SUM_NAMES))


def null_sums_of_edges(sums: EdgeSums, n_tokens: int) -> Float64[np.ndarray, "*stack S"]:
    """The same from sums per layer that are at hand, so that rasters need not be read again.

    Args:
        sums: of windows [..., L, T].
        n_tokens: T.
    """
    k = sums.values[..., _SITES].astype(np.float64)
    expected = (k * (k - 1), k * (n_tokens - 1), k[..., :-1] * k[..., 1:])
    counted = sums.values.sum(axis=-2)[..., _COUNTED]
    means = np.stack([terms.sum(axis=-1) for terms in expected], axis=-1) / n_tokens
    return np.concatenate([counted, means], axis=-1)


@dataclass(frozen=True)
class Excess:
    """Branching ratios beside what permutation and shift expect; arrays over the sums' axes."""

    b_time: Float64[np.ndarray, "*stack"]
    """Along tokens."""
    b_depth: Float64[np.ndarray, "*stack"]
    """Along layers."""
    b_time_perm_exact: Float64[np.ndarray, "*stack"]
    """Expected b_time under permutation: the ratio of the expected sums."""
    b_depth_perm_exact: Float64[np.ndarray, "*stack"]
    """Expected b_depth under permutation."""
    denominator: Denominator
    """What the pairs were divided by."""

    @property
    def b_tot(self) -> Float64[np.ndarray, "*stack"]:
        """b_time + b_depth."""
        return np.asarray(self.b_time + self.b_depth)

    @property
    def b_tot_perm_exact(self) -> Float64[np.ndarray, "*stack"]:
        """b_time_perm_exact + b_depth_perm_exact."""
        return np.asarray(self.b_time_perm_exact + self.b_depth_perm_exact)

    @property
    def b_depth_shift_exact(self) -> Float64[np.ndarray, "*stack"]:
        """Expected b_depth under the shift: equal to that under permutation."""
        return self.b_depth_perm_exact

    @property
    def delta_b_time(self) -> Float64[np.ndarray, "*stack"]:
        """b_time − b_time_perm_exact."""
        return np.asarray(self.b_time - self.b_time_perm_exact)

    @property
    def delta_b_depth(self) -> Float64[np.ndarray, "*stack"]:
        """b_depth − b_depth_perm_exact."""
        return np.asarray(self.b_depth - self.b_depth_perm_exact)

    @property
    def delta_b_tot(self) -> Float64[np.ndarray, "*stack"]:
        """delta_b_time + delta_b_depth."""
        return np.asarray(self.delta_b_time + self.delta_b_depth)

    @property
    def delta_b_depth_shift(self) -> Float64[np.ndarray, "*stack"]:
        """b_depth − b_depth_shift_exact."""
        return np.asarray(self.b_depth - self.b_depth_shift_exact)

    @property
    def reason(self) -> str | None:
        """Why ratios are NaN, if any is."""
        undefined = [n for n in ("b_time", "b_depth") if np.isnan(getattr(self, n)).any()]
        if not undefined:
            return None
        why = {"valid_edges": "no occupied site has a successor", "all_sites": "no occupied site"}
        return f"{' and '.join(undefined)}: {why[self.denominator]}"


EXCESS_NAMES = (
    "b_time",
    "b_depth",
    "b_tot",
    "b_time_perm_exact",
    "b_depth_perm_exact",
    "b_tot_perm_exact",
    "b_depth_shift_exact",
    "delta_b_time",
    "delta_b_depth",
    "delta_b_tot",
    "delta_b_depth_shift",
)
"""The numbers of an :class:`Excess`."""


def excess_from_sums(
    sums: Float64[np.ndarray, "*stack S"], *, denominator: Denominator = "valid_edges"
) -> Excess:
    """Branching ratios and their surplus, from sums that are already pooled over windows.

    Args:
        sums: [..., S] in the order of :data:`NULL_SUM_NAMES`; bootstrap replicates may be weighted
            sums.
        denominator: sites that have a successor, or all sites. The nulls keep the number of sites,
            so that with ``all_sites`` expected ratios are exact for rows of any occupancy.

    Raises:
        ArrayError: the last axis does not hold these sums.

    >>> X = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
    >>> excess = excess_from_sums(null_sums(X))
    >>> round(float(excess.b_time_perm_exact), 3), float(excess.delta_b_depth)
    (0.222, 0.25)
    """
    if sums.shape[-1:] != (len(NULL_SUM_NAMES),):
        raise ArrayError(
            f"sums: expected a last axis of {len(NULL_SUM_NAMES)}, the sums of NULL_SUM_NAMES, "
            f"found shape {sums.shape}"
        )

    def over(pairs: str, ancestors: str) -> Float64[np.ndarray, "*stack"]:
        below = ancestors if denominator == "valid_edges" else "sites"
        return ratio(sums[..., _AT[pairs]], sums[..., _AT[below]])

    return Excess(
        b_time=over("time_pairs", "time_ancestors"),
        b_depth=over("depth_pairs", "depth_ancestors"),
        b_time_perm_exact=over("time_pairs_expected", "time_ancestors_expected"),
        b_depth_perm_exact=over("depth_pairs_expected", "depth_ancestors"),
        denominator=denominator,
    )
