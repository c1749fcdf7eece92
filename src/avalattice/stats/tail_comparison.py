"""Two laws on the same tail and support: log-likelihood ratio, its p, and the best of several.

    llr = Σ log p₁(x) − log p₂(x),   p = 2·Φ(−|llr| / (√n·s))

with s the standard deviation of the summands over n samples (Vuong, Econometrica 57, 307 (1989),
equation 5.6; Clauset, Shalizi and Newman, SIAM Review 51, 661 (2009), equations C.4 to C.6). Laws
of different support are refused: the ratio would compare normalisations and not shapes. p takes
samples for independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, ndtr

from avalattice.arrays import Floats, Ints
from avalattice.errors import InputError
from avalattice.stats.tail_laws import Family, TailLaw
from avalattice.stats.tail_samples import Integers, tail_from, unique_sample


@dataclass(frozen=True)
class Comparison:
    """The power law against a rival on the same tail and support."""

    llr: float
    """Log-likelihood of the first law (the power law) minus the rival's."""
    p: float
    """Two-sided p that the two are equally likely: Vuong's, or chi-square with one degree of
    freedom for the truncated power law, in which the power law is nested. The nested value is
    conservative, since λ ≥ 0 bounds the rival: its exact size is half the nominal one."""


def compare(
    first: TailLaw,
    second: TailLaw,
    values: Integers,
    *,
    counts: Integers | None = None,
) -> Comparison:
    """Log-likelihood ratio of two laws on the values of their common support, with Vuong's p.

    Where one is the power law and the other the truncated one, p is that of the nested model.

    Args:
        first: the law for which a positive ratio speaks.
        second: its rival.
        values: positive integers [n]; those under xmin are left out.
        counts: how often each value occurs, [n]; once, by default.

    Raises:
        InputError: the laws have different supports, so that the ratio would compare
            normalisations and not shapes.
        ArrayError: values or counts are not integers of one length, or out of range.
    """
    if (first.xmin, first.xmax) != (second.xmin, second.xmax):
        raise InputError(
            f"{first.family} is normalised on {_interval_text(first)} and {second.family} on "
            f"{_interval_text(second)}: fit both on one support before comparing them"
        )
    sample = tail_from(unique_sample(values, counts, first.xmax), first.xmin, first.xmax)
    difference = first.log_pmf(sample.x) - second.log_pmf(sample.x)
    return likelihood_ratio(difference, sample.counts, nested=are_nested(first, second))


def are_nested(first: TailLaw, second: TailLaw) -> bool:
    """Whether one is the power law and the other the truncated power law, which holds it."""
    return {first.family, second.family} == {Family.POWERLAW, Family.TRUNCATED_POWERLAW}


def likelihood_ratio(difference: Floats, counts: Ints, *, nested: bool) -> Comparison:
    """Sum of pointwise log-likelihood differences, and its p; NaN where they are undefined."""
    n = float(counts.sum())
    if n == 0 or not np.all(np.isfinite(difference)):
        return Comparison(math.nan, math.nan)
    llr = float(counts @ difference)
    if nested:
        return Comparison(llr, float(chdtrc(1, 2 * abs(llr))))
    variance = float(counts @ (difference - llr / n) ** 2) / n
    p = 2 * ndtr(-abs(llr) / math.sqrt(n * variance)) if variance > 0 else 1.0
    return Comparison(llr, float(p))


def _interval_text(law: TailLaw) -> str:
    return f"[{law.xmin}, {'∞)' if law.xmax is None else f'{law.xmax}]'}"


def best_by_criterion(fits: Mapping[Family, TailLaw], n_tail: int) -> Family | None:
    """The family of smallest Bayesian information criterion; ties go to the simpler one."""
    criterion = {
        family: len(law.parameters) * math.log(n_tail) - 2 * law.loglik
        for family, law in fits.items()
        if math.isfinite(law.loglik)
    }
    return min(criterion, key=criterion.__getitem__) if criterion else None
