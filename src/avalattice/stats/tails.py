"""Tail fits of integer samples: the discrete power law beside three rivals on one support.

xmin is scanned (:mod:`~avalattice.stats.tail_scan`), the four families are fitted to the tail from
there on (:mod:`~avalattice.stats.tail_maxima`) and compared as laws on the same integers
(:mod:`~avalattice.stats.tail_comparison`). After Clauset, Shalizi and Newman, SIAM Review 51, 661
(2009); section 4.1 for the bootstrap of the KS distance.

Not handled: continuous, zero or negative values, and dependence between samples. The standard error
and the p-values of KS and Vuong take avalanches for independent, which those of one window are not:
quote :func:`avalattice.stats.tail_windows.alpha_window_interval`. A good fit describes; it does not
show criticality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from avalattice.canon import CONST
from avalattice.errors import InputError
from avalattice.stats.power_sums import power_sums
from avalattice.stats.tail_comparison import (
    Comparison,
    are_nested,
    best_by_criterion,
    likelihood_ratio,
)
from avalattice.stats.tail_laws import Family, TailLaw, power_law, unfitted
from avalattice.stats.tail_maxima import NO_EXPONENT, SINGLE_VALUE, TailStatistics, fit_families
from avalattice.stats.tail_samples import Integers, Sample, tail_from, unique_sample
from avalattice.stats.tail_scan import best_tail

STATUS_OK: Final = "ok"
STATUS_NOT_ASSESSABLE: Final = "not_assessable"


@dataclass(frozen=True)
class TailFit:
    """The power law fitted to a tail, its rivals, and whether the fit can be assessed."""

    xmin: int | None
    """Smallest value of the tail; None without samples."""
    xmax: int | None
    """Largest value that can occur; None where unbounded."""
    n_samples: int
    """Samples in all."""
    n_tail: int
    """Samples from xmin on."""
    decades: float
    """log10(largest sample / xmin)."""
    alpha: float
    """Exponent of p(x) ∝ x^(−alpha)."""
    alpha_se: float
    """Standard error from the observed information, for independent samples and xmin given."""
    ks: float
    """Largest |S(x) − F(x)| over the integers of the tail."""
    ks_p: float
    """Share of bootstrap distances at least as large, (1 + #)/(1 + gof_reps), those that are
    undefined left out of both; NaN without any."""
    fits: Mapping[Family, TailLaw]
    """All four families on [xmin, xmax]; empty where the tail holds fewer than two values."""
    comparisons: Mapping[Family, Comparison]
    """The power law against each rival."""
    best_family: Family | None
    """Smallest Bayesian information criterion, k·ln(n_tail) − 2·loglik: the power law is a limiting
    case of two rivals, so that its likelihood alone never exceeds theirs."""
    status: str
    """``ok`` or ``not_assessable``; the numbers stand in either case."""
    reason: str
    """Why it is not assessable; empty where it is."""

    @property
    def loglik(self) -> float:
        """Log-likelihood of the power law."""
        return self._of(Family.POWERLAW).loglik

    @property
    def lambda_exponential(self) -> float:
        """Rate of the exponential, per unit of x."""
        return self._of(Family.EXPONENTIAL).parameters["lambda"]

    @property
    def lognorm_mu(self) -> float:
        """Mean of log x of the log-normal before truncation at xmin."""
        return self._of(Family.LOGNORMAL).parameters["mu"]

    @property
    def lognorm_sigma(self) -> float:
        """Standard deviation of log x of the log-normal before truncation at xmin."""
        return self._of(Family.LOGNORMAL).parameters["sigma"]

    @property
    def truncated_alpha(self) -> float:
        """Exponent of the truncated power law."""
        return self._of(Family.TRUNCATED_POWERLAW).parameters["alpha"]

    @property
    def truncated_lambda(self) -> float:
        """Cut-off rate of the truncated power law, per unit of x."""
        return self._of(Family.TRUNCATED_POWERLAW).parameters["lambda"]

    def _of(self, family: Family) -> TailLaw:
        return self.fits.get(family) or unfitted(family, 1, None, self.reason)


def fit_tail(
    values: Integers,
    *,
    xmin: int | None = None,
    xmax: int | None = None,
    gof_reps: int = 0,
    rng: np.random.Generator | None = None,
    counts: Integers | None = None,
) -> TailFit:
    """Fit a discrete power law to the tail of integer samples, and compare it with its rivals.

    Args:
        values: positive integers [n], such as avalanche sizes or token spans.
        xmin: smallest value of the tail; scanned by default.
        xmax: largest value that can occur (T for token spans); None for an unbounded support.
        gof_reps: replicates of the semi-parametric bootstrap of the KS distance, in each of which
            xmin is scanned anew unless it was given; none by default.
        rng: the generator that the bootstrap draws from.
        counts: how often each value occurs, [n]; once, by default.

    Returns:
        The fit. Its numbers stand even where its status is ``not_assessable``.

    Raises:
        ArrayError: values or counts are not integers of one length, or out of range.
        InputError: the support is empty, or a bootstrap is wanted without a generator.

    >>> sizes = power_law(2.5).sample(10_000, np.random.default_rng(7))
    >>> fit = fit_tail(sizes, xmin=1)
    >>> round(fit.alpha, 2), round(fit.alpha_se, 3), fit.best_family.value, fit.status
    (2.49, 0.017, 'powerlaw', 'ok')
    """
    if gof_reps and rng is None:
        raise InputError(f"gof_reps={gof_reps} needs a generator: give rng")
    sample = unique_sample(values, counts, xmax)
    if not len(sample.x):
        return _without_samples(xmin, xmax)
    chosen, alpha, ks = best_tail(sample, xmin, xmax)
    tail = tail_from(sample, chosen, xmax)
    ks_p = math.nan
    if gof_reps and rng is not None and math.isfinite(ks):
        law = power_law(alpha, xmin=chosen, xmax=xmax)
        ks_p = _goodness_of_fit(sample, law, ks, gof_reps, rng, scan=xmin is None)
    return _assemble(sample, tail, chosen, xmax, alpha, ks, ks_p)


def _without_samples(xmin: int | None, xmax: int | None) -> TailFit:
    """The fit of nothing."""
    nan = math.nan
    reason = _doubts(0, nan, 0, nan)
    status = STATUS_NOT_ASSESSABLE
    return TailFit(xmin, xmax, 0, 0, nan, nan, nan, nan, nan, {}, {}, None, status, reason)


def _assemble(
    sample: Sample,
    tail: Sample,
    xmin: int,
    xmax: int | None,
    alpha: float,
    ks: float,
    ks_p: float,
) -> TailFit:
    """The four fits on the chosen tail, their comparison and the verdict."""
    fits, comparisons = _fit_all(tail, xmin, xmax, alpha)
    decades = math.log10(tail.x[-1] / xmin) if len(tail.x) else math.nan
    n_tail = int(tail.n_from[0])
    reason = _doubts(n_tail, decades, len(tail.x), alpha)
    return TailFit(
        xmin=xmin,
        xmax=xmax,
        n_samples=int(sample.n_from[0]),
        n_tail=n_tail,
        decades=decades,
        alpha=alpha,
        alpha_se=_standard_error(alpha, xmin, xmax, n_tail),
        ks=ks,
        ks_p=ks_p,
        fits=fits,
        comparisons=comparisons,
        best_family=best_by_criterion(fits, n_tail),
        status=STATUS_NOT_ASSESSABLE if reason else STATUS_OK,
        reason=reason,
    )


def _fit_all(
    tail: Sample, xmin: int, xmax: int | None, alpha: float
) -> tuple[dict[Family, TailLaw], dict[Family, Comparison]]:
    """Every family on the tail, and the power law against the others; nothing without an alpha."""
    if not math.isfinite(alpha):
        return {}, {}
    described = TailStatistics.of(tail, xmin, xmax, alpha)
    fits = fit_families(described)
    power = fits[Family.POWERLAW]
    log_p = described.log_pmf(power)
    comparisons = {
        family: likelihood_ratio(
            log_p - described.log_pmf(law), tail.counts, nested=are_nested(power, law)
        )
        for family, law in fits.items()
        if law is not power
    }
    return fits, comparisons


def _standard_error(alpha: float, xmin: int, xmax: int | None, n_tail: int) -> float:
    """1/√(n·Var[log x]): observed and expected information of a natural family are the same."""
    if not math.isfinite(alpha):
        return math.nan
    sums = power_sums(np.array([alpha]), np.array([float(xmin)]), xmax)
    variance = sums[2] / sums[0] - (sums[1] / sums[0]) ** 2
    return float(1 / np.sqrt(n_tail * variance[0]))


def _doubts(n_tail: int, decades: float, n_unique: int, alpha: float) -> str:
    """Why a tail cannot be assessed, in words; empty where it can."""
    if not n_tail:
        return "no samples in the tail"
    doubts = [SINGLE_VALUE] if n_unique == 1 else []
    if n_unique > 1 and not math.isfinite(alpha):
        doubts.append(NO_EXPONENT)
    if n_tail < CONST.TAIL_FIT_MIN_TAIL_SAMPLES:
        doubts.append(f"{n_tail} samples in the tail, {CONST.TAIL_FIT_MIN_TAIL_SAMPLES} needed")
    if decades < CONST.TAIL_FIT_MIN_DECADES:
        doubts.append(f"the tail spans {decades:.2f} decades, {CONST.TAIL_FIT_MIN_DECADES} needed")
    return "; ".join(doubts)


def _goodness_of_fit(
    sample: Sample, law: TailLaw, ks: float, reps: int, rng: np.random.Generator, *, scan: bool
) -> float:
    """Semi-parametric bootstrap of the KS distance, Clauset et al. 2009, section 4.1.

    A sample is drawn from the power law with the tail's probability, else from what was observed
    under xmin, and is fitted as the data were. Where that has no distance it is left out.
    """
    xmin = None if scan else law.xmin
    drawn = [best_tail(_redraw(sample, law, rng), xmin, law.xmax)[2] for _ in range(reps)]
    distances = [distance for distance in drawn if not math.isnan(distance)]
    if not distances:
        return math.nan
    return (1 + sum(distance >= ks for distance in distances)) / (1 + len(distances))


def _redraw(sample: Sample, law: TailLaw, rng: np.random.Generator) -> Sample:
    """One replicate: as many samples as were observed, the tail's from the law."""
    first = int(np.searchsorted(sample.x, law.xmin))
    n, n_tail = int(sample.n_from[0]), int(sample.n_from[first])
    drawn = int(rng.binomial(n, n_tail / n))
    tail, counts = np.unique(law.sample(drawn, rng), return_counts=True)
    if first == 0:
        return Sample.of(tail, counts)
    body = rng.multinomial(n - drawn, sample.counts[:first] / (n - n_tail))
    seen = body > 0
    return Sample.of(
        np.append(sample.x[:first][seen].astype(np.int64), tail), np.append(body[seen], counts)
    )
