"""Multiple testing: p_adj of rank i among m p-values is min over j ≥ i of m · p_(j) / j.

Benjamini and Hochberg (1995, doi:10.1111/j.2517-6161.1995.tb02031.x), as adjusted p-values:
rejecting where p_adj ≤ q keeps the expected share of false rejections at or below q for independent
tests, and for positively dependent ones (Benjamini and Yekutieli 2001). Negative dependence is not
handled.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from avalattice.errors import ArrayError


def benjamini_hochberg(p: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Adjusted p-values of one family.

    Args:
        p: p-values of any shape; NaN marks a test that could not be made. It stays NaN and does
            not count among the m tests.

    Raises:
        ArrayError: a value lies outside [0, 1].

    >>> benjamini_hochberg(np.array([0.01, np.nan, 0.5, 0.02]))
    array([0.03,  nan, 0.5 , 0.03])
    """
    made = ~np.isnan(p)
    tests = p[made]
    if ((tests < 0) | (tests > 1)).any():
        raise ArrayError(f"p: expected values in [0, 1], found {tests.min()} to {tests.max()}")
    adjusted = np.full(p.shape, np.nan)
    adjusted[made] = _step_up(tests)
    return adjusted


def _step_up(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """The adjustment where every test was made."""
    order = np.argsort(p)[::-1]
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p, dtype=np.float64)
    adjusted[order] = np.minimum.accumulate(scaled)
    return adjusted
