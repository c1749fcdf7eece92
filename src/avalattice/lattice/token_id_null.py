"""What exchange within token ids leads one to expect of the branching ratios, in closed form.

The null exchanges the occupancy of a layer between the places (window, token) of one token id, over
all windows, in each layer independently. With m places of an id, k of them occupied in layer l and
k' in the next,

    E Σ X_l X_{l+1}   = Σ_id kk'/m
    Var Σ X_l X_{l+1} = Σ_id kk'(m−k)(m−k') / (m²(m−1))

as in each layer and id the overlap is hypergeometric. Ids are exchanged independently. So are
layers, and the expected overlap of a row with a permuted one does not depend on how the first is
arranged: overlaps of different pairs of layers are uncorrelated, those that share a layer too, and
variances add up. Along tokens, of neighbours with ids a and b,

    E X_t X_{t+1} = k_a k_b / (m_a m_b),   or k_a(k_a−1) / (m_a(m_a−1)) if a = b
    E Σ_{t<T−1} X_t = Σ_{t<T−1} k_a / m_a

The variance along tokens is not given: it takes, of every two pairs of neighbours, how many of
their four places share an id, which no sum over ids expresses. Ensembles
(:func:`avalattice.lattice.nulls.branching_null_ensemble`) serve there.

Not handled: persistence of rows beyond that of their ids is broken here as it is by permutation, so
that independent layers with much of it are rejected too often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, Integer

from avalattice.arrays import AnyCounts
from avalattice.errors import ArrayError
from avalattice.lattice.branching import Denominator, Edges, ratio, windows_of
from avalattice.lattice.null_moments import reasons_of, z_and_p


@dataclass(frozen=True)
class TokenStrata:
    """The places of each token id, and how many of them each layer occupies."""

    stratum: Int64[np.ndarray, "N T"]
    """Which token id stands at a place, numbered in ascending order."""
    size: Int64[np.ndarray, " S"]
    """m, places of each."""
    occupied: Int64[np.ndarray, "L S"]
    """k, occupied places of each in each layer."""

    @classmethod
    def of(
        cls, X: Bool[np.ndarray, "N L T"], token_ids: Integer[np.ndarray, "*stack T"]
    ) -> TokenStrata:
        """The strata of a raster.

        Args:
            X: occupancy.
            token_ids: [N, T], or [T] of a single window.
        """
        ids, stratum, size = np.unique(token_ids, return_inverse=True, return_counts=True)
        stratum = stratum.reshape(X.shape[0], X.shape[2]).astype(np.int64)
        occupied = [np.bincount(stratum[row], minlength=ids.size) for row in np.moveaxis(X, 1, 0)]
        return cls(stratum, size.astype(np.int64), np.array(occupied, np.int64))

    @property
    def exchangeable_share(self) -> float:
        """Share of places whose token id stands elsewhere too."""
        return float(self.size[self.size > 1].sum() / max(self.stratum.size, 1))

    @property
    def places(self) -> Int64[np.ndarray, " P"]:
        """The places of each stratum in turn; token t of window n is place n·T + t."""
        return np.argsort(self.stratum, axis=None, kind="stable")


def check_token_ids(A: AnyCounts, token_ids: np.ndarray) -> None:
    """Refuse token ids that are not one per place.

    Raises:
        ArrayError: ``token_ids`` has another shape than A's windows have.
    """
    expected = A.shape[:-2] + A.shape[-1:]
    if token_ids.shape != expected:
        raise ArrayError(f"token_ids: expected shape {expected}, found {token_ids.shape}")


@dataclass(frozen=True)
class TokenIdNull:
    """What exchange within (layer, token id) leads one to expect of the branching ratios, exactly.

    z and p are those of the pooled edge count along layers, whatever it is divided by; p is
    two-sided and normal. There is no interval over windows: strata span windows, so that an
    expectation is no sum over windows, and a resample of windows has other strata, in which each
    repeated place stands beside itself.
    """

    depth_edges: int
    """Pooled Σ X_l X_{l+1} of the raster."""
    depth_edges_mean: float
    """Its expectation."""
    depth_edges_var: float
    """Its variance."""
    exchangeable_share: float
    """Share of places whose token id stands elsewhere too. The others stay as they are: where
    there are few windows the null keeps much of the raster, and finds little."""
    b_time_token_id_exact: float
    """E[Σ X_t X_{t+1}] / E[Σ_{t<T−1} X_t]; as under permutation the expected ratio itself is
    near, and with ``all_sites`` equal."""
    b_depth_token_id_exact: float
    """Expected b_depth; the null keeps its denominator."""
    delta_b_time_token_id: float
    """b_time − b_time_token_id_exact: what context adds. No z or p goes with it."""
    delta_b_depth_token_id: float
    """b_depth − b_depth_token_id_exact."""
    z_depth_token_id_exact: float
    """Deviation of depth_edges, in standard deviations."""
    p_depth_token_id_exact: float
    """Its two-sided p-value."""
    reasons: Mapping[str, str]
    """Why a field is NaN, by field; empty where all are defined."""


def token_id_null_exact(
    X: AnyCounts,
    token_ids: Integer[np.ndarray, "*stack T"],
    *,
    denominator: Denominator = "valid_edges",
) -> TokenIdNull:
    """Closed-form expectation of the branching ratios under exchange within token ids.

    Args:
        X: occupancy or event counts [N, L, T] of one condition, over whose windows edges are
            pooled, or [L, T].
        token_ids: [N, T], or [T].
        denominator: of the branching ratios; z and p do not depend on it.

    Raises:
        ArrayError: ``X`` has other axes, say those of several conditions, or ``token_ids`` another
            shape than its windows have.

    >>> X = np.array([[1, 0, 1, 0, 1, 1], [1, 0, 1, 0, 0, 1]])
    >>> null = token_id_null_exact(X, np.array([7, 9, 7, 9, 9, 7]))
    >>> null.depth_edges, null.depth_edges_mean, null.delta_b_depth_token_id
    (3, 3.0, 0.0)
    """
    occupied = windows_of(X) > 0
    check_token_ids(X, token_ids)
    time_edges, time_ancestors, depth_edges, depth_ancestors = Edges.of(occupied).counts()
    strata = TokenStrata.of(occupied, token_ids)
    depth_mean, depth_var = _depth_moments(strata)
    time_mean, time_ancestors_mean = _time_expectations(strata)
    if denominator == "all_sites":  # whose number the null keeps
        time_ancestors = depth_ancestors = int(np.count_nonzero(occupied))
        time_ancestors_mean = float(time_ancestors)
    b_time = float(ratio(time_mean, time_ancestors_mean))
    b_depth = float(ratio(depth_mean, depth_ancestors))
    z, p = z_and_p(depth_edges - depth_mean, depth_var)
    defined = {
        "b_time_token_id_exact": b_time,
        "b_depth_token_id_exact": b_depth,
        "delta_b_time_token_id": float(ratio(time_edges, time_ancestors)) - b_time,
        "delta_b_depth_token_id": float(ratio(depth_edges, depth_ancestors)) - b_depth,
        "z_depth_token_id_exact": z,
        "p_depth_token_id_exact": p,
    }
    return TokenIdNull(
        depth_edges=depth_edges,
        depth_edges_mean=depth_mean,
        depth_edges_var=depth_var,
        exchangeable_share=strata.exchangeable_share,
        **defined,
        reasons=reasons_of(defined, denominator),
    )


def _depth_moments(strata: TokenStrata) -> tuple[float, float]:
    """Mean and variance of Σ X_l X_{l+1}, summed over ids and neighbouring layers."""
    m, k, above = strata.size, strata.occupied[:-1], strata.occupied[1:]
    mean = k * above / m
    alone = m == 1  # whose variance is zero
    variance = mean * (m - k) * (m - above) / (m * (m - 1 + alone))
    return float(mean.sum()), float(variance.sum())


def _time_expectations(strata: TokenStrata) -> tuple[float, float]:
    """Expectations of Σ X_t X_{t+1} and Σ_{t<T−1} X_t, summed over windows and layers."""
    m, k, share = strata.size, strata.occupied, strata.occupied / strata.size
    first, second = strata.stratum[:, :-1].ravel(), strata.stratum[:, 1:].ravel()
    alike = first == second
    ancestors, twice = (np.bincount(ids, minlength=m.size) for ids in (first, first[alike]))
    both = share * (k - 1) / np.maximum(m - 1, 1)  # an id that stands once does so beside another
    unlike = np.einsum("lp,lp->", share[:, first[~alike]], share[:, second[~alike]])
    return float((both @ twice).sum() + unlike), float((share @ ancestors).sum())
