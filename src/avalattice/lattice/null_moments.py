"""What permutation and shift lead one to expect of the branching ratios, in closed form.

With k occupied sites in a row of T and k' in the next layer's, permutation gives N = Σ X_t X_{t+1}
edges along tokens and M = Σ X_l X_{l+1} along layers, with

    E N = k(k−1)/T            Var N = k(k−1)(T−k)(T−k+1) / (T²(T−1))
    E M = kk'/T               Var M = kk'(T−k)(T−k') / (T²(T−1))

M is hypergeometric, and so is k − N, the number of runs (Wald and Wolfowitz 1940,
doi:10.1214/aoms/1177731909). All these sums are uncorrelated: means and variances add up. Under the
shift null M is one of the T values of the circular cross-correlation of the two rows, each equally
likely: its mean is again kk'/T, its variance Σ_{f≠0} |F_l(f)|²|F_{l+1}(f)|² / T², with F the
discrete Fourier transform of a row (Parseval).

Permuting the tokens of a window with all their layers gives the edges along tokens the same mean
and a larger variance where layers fire at the same tokens. With K[t,t'] the number of layers in
which both tokens are occupied, R[t] = Σ_{t'≠t} K[t,t'], W = Σ R and Q = Σ_{t≠t'} K²,

    Var Σ_l N_l = (T(T−1) Q − 2T Σ R² + W²) / (T²(T−1)),

which for one layer is Var N. It follows from the pairs of neighbours in a random order: T − 1 with
themselves, 2(T − 2) that share a token, (T − 2)(T − 3) that share none.

What the nulls keep and break is said in :mod:`avalattice.lattice.nulls`. The ratio of pooled sums
is taken for its expectation; p-values are normal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from avalattice.arrays import AnyCounts
from avalattice.lattice.branching import Denominator, ratio, windows_of
from avalattice.lattice.null_sums import NULL_SUM_NAMES, excess_from_sums, null_sums

NO_TIME = "no occupied site is followed by a token"
NO_DEPTH = "no occupied site has a layer above it"
NO_SITE = "no site is occupied"
FLAT = "every raster of the null has the same number of edges"
_EXPECTED_NAMES = (
    "b_time_perm_exact",
    "b_depth_perm_exact",
    "b_tot_perm_exact",
    "b_depth_shift_exact",
    "delta_b_time",
    "delta_b_depth",
    "delta_b_tot",
    "delta_b_depth_shift",
)


@dataclass(frozen=True)
class BranchingNull:
    """What permutation and shift lead one to expect of the pooled branching ratios, exactly.

    z and p are those of the pooled edge counts, whatever these are divided by; p is two-sided and
    normal. Time is to be judged by the permutation null, depth by the shift null: permutation also
    breaks the autocorrelation of rows, and then rejects layers that are independent but persistent.
    It breaks the alignment of layers, too, and then rejects, along tokens, those that are loud in
    many layers at once in whatever order. ``p_time_tokens_exact``, for which whole tokens are
    permuted, does not.
    The seam of a shift, where a row's end meets its beginning, matters only if rows persist over a
    good part of the window.
    """

    time_edges: int
    """Pooled Σ X_t X_{t+1} of the raster."""
    time_edges_perm_mean: float
    """Its expectation under permutation."""
    time_edges_perm_var: float
    """Its variance under permutation."""
    time_edges_tokens_var: float
    """Its variance under permutation of whole tokens, whose mean is the same."""
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
    where all rows have the same k, and differs from it by a share of order 1 / Σ k otherwise. With
    ``all_sites`` Σ k(k−1) / (T Σ k), the expected ratio always."""
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
    z_time_tokens_exact: float
    """Deviation of time_edges from permutation of whole tokens, in standard deviations."""
    p_time_tokens_exact: float
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

    @property
    def b_time(self) -> float:
        """Expected b_time: b_time_perm_exact."""
        return self.b_time_perm_exact

    @property
    def b_depth(self) -> float:
        """Expected b_depth: b_depth_perm_exact, and equally b_depth_shift_exact."""
        return self.b_depth_perm_exact

    @property
    def b_tot(self) -> float:
        """Expected b_tot: b_tot_perm_exact."""
        return self.b_tot_perm_exact

    @property
    def b_depth_shift(self) -> float:
        """Expected b_depth under the shift: b_depth_shift_exact."""
        return self.b_depth_shift_exact


def branching_null_exact(
    X: AnyCounts, *, denominator: Denominator = "valid_edges"
) -> BranchingNull:
    """Closed-form expectation of the branching ratios under the permutation and shift nulls.

    Args:
        X: occupancy or event counts [N, L, T] of one condition, over whose windows edges are
            pooled, or [L, T].
        denominator: of the branching ratios. z and p do not depend on it: they are those of the
            numerators.

    Returns:
        the expectations, the raster's surplus over them, and its z and p.

    Raises:
        ArrayError: ``X`` has other axes, say those of several conditions.

    >>> X = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
    >>> null = branching_null_exact(X)
    >>> round(null.b_time, 3), null.b_depth, null.b_depth_shift, null.delta_b_depth_shift
    (0.222, 0.25, 0.25, 0.25)
    """
    occupied = windows_of(X) > 0
    pooled = null_sums(occupied).sum(axis=0)
    total = dict(zip(NULL_SUM_NAMES, pooled.tolist(), strict=True))
    excess = excess_from_sums(pooled, denominator=denominator)
    time_mean, depth_mean = total["time_pairs_expected"], total["depth_pairs_expected"]
    time_var, depth_var = _permutation_variances(occupied)
    tokens_var, shift_var = _tokens_variance(occupied), _shift_variance(occupied)
    defined = {
        **{name: float(getattr(excess, name)) for name in _EXPECTED_NAMES},
        **_scores("time_perm", total["time_pairs"] - time_mean, time_var),
        **_scores("time_tokens", total["time_pairs"] - time_mean, tokens_var),
        **_scores("depth_perm", total["depth_pairs"] - depth_mean, depth_var),
        **_scores("depth_shift", total["depth_pairs"] - depth_mean, shift_var),
    }
    return BranchingNull(
        time_edges=int(total["time_pairs"]),
        time_edges_perm_mean=time_mean,
        time_edges_perm_var=time_var,
        time_edges_tokens_var=tokens_var,
        depth_edges=int(total["depth_pairs"]),
        depth_edges_perm_mean=depth_mean,
        depth_edges_perm_var=depth_var,
        depth_edges_shift_var=shift_var,
        **defined,
        reasons=reasons_of(defined, denominator),
    )


def reasons_of(numbers: Mapping[str, float], denominator: Denominator) -> dict[str, str]:
    """Why each number that is NaN is undefined, in words, by its name."""
    undefined = [name for name, value in numbers.items() if math.isnan(value)]
    return {name: _why_undefined(name, denominator) for name in undefined}


def _why_undefined(name: str, denominator: Denominator) -> str:
    if name.startswith(("z_", "p_")):
        return FLAT
    if denominator == "all_sites":
        return NO_SITE
    if "b_tot" in name:
        return f"{NO_TIME}, or {NO_DEPTH}"
    return NO_TIME if "b_time" in name else NO_DEPTH


def z_and_p(surplus: float, variance: float) -> tuple[float, float]:
    """A surplus in standard deviations and its two-sided normal p; NaN if there is no variance."""
    z = float(ratio(surplus, math.sqrt(variance)))
    return z, math.erfc(abs(z) / math.sqrt(2))


def _scores(test: str, surplus: float, variance: float) -> dict[str, float]:
    z, p = z_and_p(surplus, variance)
    return {f"z_{test}_exact": z, f"p_{test}_exact": p}


def _permutation_variances(X: Bool[np.ndarray, "N L T"]) -> tuple[float, float]:
    """Variances of Σ X_t X_{t+1} and of Σ X_l X_{l+1} under permutation, summed over rows."""
    T, k = X.shape[-1], np.count_nonzero(X, axis=-1).astype(np.float64)
    lower, above = k[:, :-1], k[:, 1:]
    time = k * (k - 1) * (T - k) * (T - k + 1)
    depth = lower * above * (T - lower) * (T - above)
    scale = T**2 * max(T - 1, 1)  # T = 1: each term is zero
    return float(time.sum() / scale), float(depth.sum() / scale)


def _tokens_variance(X: Bool[np.ndarray, "N L T"]) -> float:
    """Variance of Σ X_t X_{t+1} under permutation of whole tokens, summed over windows.

    Numerators are whole numbers, so that a null without variance is found to have none.
    """
    T = X.shape[-1]
    numerator: int = 0
    for window in X.astype(np.float32):
        shared = window.T @ window  # exact: no entry exceeds L
        np.fill_diagonal(shared, 0)
        degree = shared.sum(axis=0, dtype=np.float64)
        squares = int(np.square(shared, dtype=np.float64).sum())
        numerator += T * (T - 1) * squares - 2 * T * int((degree**2).sum()) + int(degree.sum()) ** 2
    return float(numerator / (T**2 * max(T - 1, 1)))  # T = 1: no edges


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
