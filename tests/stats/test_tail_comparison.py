"""Comparisons: each family wins on its own samples, on one support and no other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avalattice.errors import InputError
from avalattice.stats.tail_comparison import compare
from avalattice.stats.tail_laws import Family, lognormal, power_law
from avalattice.stats.tail_maxima import fit_family
from avalattice.stats.tails import fit_tail
from tests.stats.laws import BOUNDED_LAWS, LAWS


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("laws", [LAWS, BOUNDED_LAWS], ids=["unbounded", "bounded"])
def test_each_family_wins_on_its_own_samples(family, laws):
    """Of 5000 samples the family they come from is the best, and has the right parameters."""
    law = laws[family]
    x = law.sample(5000, np.random.default_rng(9))
    fit = fit_tail(x, xmin=1, xmax=law.xmax)
    assert fit.best_family is family
    for name, value in law.parameters.items():
        assert fit.fits[family].parameters[name] == pytest.approx(value, rel=0.15)
    if family is Family.POWERLAW:
        assert all(one.p > 0.05 or one.llr > 0 for one in fit.comparisons.values())
    else:
        assert fit.comparisons[family].llr < -10
        assert fit.comparisons[family].p < 1e-4


def test_lognormal_comparison_has_the_right_sign_and_size():
    """On log-normal samples cut at 10 the ratio is near −145; with an uncut rival it turns over."""
    x = lognormal(2.0, 1.0).sample(10_000, np.random.default_rng(1337))
    fit = fit_tail(x, xmin=10)
    rival = fit.fits[Family.LOGNORMAL]
    assert fit.comparisons[Family.LOGNORMAL].llr == pytest.approx(-145, abs=20)
    assert fit.comparisons[Family.LOGNORMAL].p < 1e-10
    assert rival.parameters["mu"] == pytest.approx(2.0, abs=0.3)
    tail = x[x >= 10]
    uncut = lognormal(rival.parameters["mu"], rival.parameters["sigma"]).log_pmf(tail).sum()
    assert fit.loglik - uncut > 500


def test_power_laws_bounded_at_256_are_seldom_rejected():
    """On one support no more than one power law in twenty is rejected; on two supports, each is."""
    rng = np.random.default_rng(10)
    law = power_law(1.5, xmax=256)
    rejected, mismatched = 0, 0
    trials = 200
    for _ in range(trials):
        x = law.sample(1000, rng)
        fit = fit_tail(x, xmin=1, xmax=256)
        rejected += any(one.llr < 0 and one.p < 0.05 for one in fit.comparisons.values())
        rival = fit.fits[Family.TRUNCATED_POWERLAW]
        mismatched += fit_tail(x, xmin=1).loglik - rival.loglik < -2
    assert rejected <= 0.05 * trials
    assert mismatched > 0.95 * trials


def test_fits_of_different_support_are_not_compared():
    """A power law on [1, ∞) against a rival on [1, 256], or from another xmin, is refused."""
    x = power_law(1.5, xmax=256).sample(500, np.random.default_rng(11))
    first = fit_family(Family.POWERLAW, x, xmin=1)
    for other in ({"xmin": 1, "xmax": 256}, {"xmin": 2}):
        with pytest.raises(InputError, match="fit both on one support"):
            compare(first, fit_family(Family.LOGNORMAL, x, **other), x)
    same = compare(first, fit_family(Family.LOGNORMAL, x, xmin=1), x)
    assert same == fit_tail(x, xmin=1).comparisons[Family.LOGNORMAL]


def test_vuong_p_is_that_of_its_formula():
    """The p-value is the normal tail of llr over √n times the scatter of the pointwise ratios."""
    x = LAWS[Family.EXPONENTIAL].sample(300, np.random.default_rng(12))
    fit = fit_tail(x, xmin=20)
    tail = x[x >= 20]
    ratios = [fit.fits[family].log_pmf(tail) for family in (Family.POWERLAW, Family.EXPONENTIAL)]
    difference = ratios[0] - ratios[1]
    z = difference.sum() / (math.sqrt(len(tail)) * difference.std())
    one = fit.comparisons[Family.EXPONENTIAL]
    assert one.llr == pytest.approx(difference.sum(), rel=1e-9)
    assert one.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=1e-6)
