"""Occupancy and branching of each layer, beside what permutation expects of it.

    b_time[l]  = Σ X[l, t]·X[l, t+1] / Σ_{t<T−1} X[l, t]
    b_depth[l] = Σ X[l, t]·X[l+1, t] / Σ X[l, t]

summed over tokens t and windows n; depth edges count for the layer of their ancestor, so the last
layer has none. With k_n occupied sites in a row of T tokens and k'_n in the row above, permutation
of each row has E[b_time] = Σ k(k−1) / ((T−1) Σ k) and E[b_depth] = Σ kk' / (T Σ k), ratios of
expected sums. The pooled ratios of :mod:`avalattice.lattice.branching` are means of these, weighted
by ancestors. Intervals are not handled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from avalattice.arrays import AnyCounts
from avalattice.lattice.branching import SUM_NAMES, Denominator, edge_sums, ratio, windows_of


@dataclass(frozen=True)
class LayerProfile:
    """One condition by layer, over all its windows."""

    occupancy: Float64[np.ndarray, " L"]
    """p, the share of occupied sites."""
    b_time: Float64[np.ndarray, " L"]
    """Along tokens; NaN without ancestors, as are the next three."""
    b_depth: Float64[np.ndarray, " L"]
    """To the next layer; NaN for the last."""
    b_time_perm_exact: Float64[np.ndarray, " L"]
    """b_time expected under permutation."""
    b_depth_perm_exact: Float64[np.ndarray, " L"]
    """b_depth expected under permutation."""


def layer_profile(A: AnyCounts, *, denominator: Denominator = "valid_edges") -> LayerProfile:
    """Occupancy and branching ratios of each layer.

    Args:
        A: event counts or occupancy [N, L, T] of one condition, or [L, T].
        denominator: sites that have a successor, or all sites of the layer.

    Raises:
        ArrayError: ``A`` has other axes, or holds no whole numbers.

    >>> X = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
    >>> profile = layer_profile(X)
    >>> profile.occupancy, profile.b_time, profile.b_depth
    (array([0.  , 0.5 , 0.25]), array([nan, 0.5, 0. ]), array([nan, 0.5, nan]))
    """
    windows = windows_of(A)
    n_tokens = windows.shape[-1]
    values = edge_sums(windows).values
    counted = dict(zip(SUM_NAMES, np.moveaxis(values.sum(axis=0), -1, 0), strict=True))
    k = values[..., SUM_NAMES.index("sites")].astype(np.float64)
    above = np.concatenate([k[:, 1:], np.zeros_like(k[:, :1])], axis=1)
    sites = k.sum(axis=0)
    has_next = np.arange(windows.shape[1]) < windows.shape[1] - 1

    def over(pairs: np.ndarray, ancestors: np.ndarray) -> Float64[np.ndarray, " L"]:
        return ratio(pairs, ancestors if denominator == "valid_edges" else sites)

    def below_the_last(ratios: Float64[np.ndarray, " L"]) -> Float64[np.ndarray, " L"]:
        return np.where(has_next, ratios, np.nan)

    time_expected, depth_expected = (k * (k - 1)).sum(axis=0), (k * above).sum(axis=0)
    return LayerProfile(
        occupancy=sites / (len(windows) * n_tokens),
        b_time=over(counted["time_pairs"], counted["time_ancestors"]),
        b_depth=below_the_last(over(counted["depth_pairs"], counted["depth_ancestors"])),
        b_time_perm_exact=over(time_expected / n_tokens, sites * (n_tokens - 1) / n_tokens),
        b_depth_perm_exact=below_the_last(over(depth_expected / n_tokens, sites)),
    )
