"""Maxima of the four families: a plain optimiser as oracle, and what lies on an edge."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from avalattice.stats.tail_laws import Family, power_law
from avalattice.stats.tail_maxima import fit_family
from avalattice.stats.tails import fit_tail
from tests.stats.laws import BOUNDED_LAWS, LAWS


@pytest.mark.parametrize(
    ("family", "terms"),
    [
        (Family.EXPONENTIAL, lambda x: [-x]),
        (Family.LOGNORMAL, lambda x: [-np.log(x), -(np.log(x) ** 2)]),
        (Family.TRUNCATED_POWERLAW, lambda x: [-np.log(x), -x]),
    ],
)
def test_maxima_equal_a_plain_search(family, terms):
    """The fitted likelihood on [3, 256] is that of a general optimiser on the full sum."""
    x = BOUNDED_LAWS[family].sample(2000, np.random.default_rng(9))
    fit = fit_family(family, x, xmin=3, xmax=256)
    support = np.arange(3.0, 257.0)
    tail = x[x >= 3].astype(float)

    def loss(theta: np.ndarray) -> float:
        log_z = np.log(
            np.sum(np.exp(sum(a * t for a, t in zip(theta, terms(support), strict=True))))
        )
        return float(-sum(a * t.mean() for a, t in zip(theta, terms(tail), strict=True)) + log_z)

    start = np.zeros(len(terms(support)))
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert fit.loglik == pytest.approx(-len(tail) * found.fun, abs=1e-4)


def test_lognormal_limit_is_said():
    """Where the likeliest log-normal is a power law, its parameters are NaN, with that reason."""
    x = power_law(2.5).sample(10_000, np.random.default_rng(5))
    fits = [fit_tail(x[i::10], xmin=1) for i in range(10)]
    limits = [fit for fit in fits if math.isnan(fit.lognorm_mu)]
    assert limits
    assert len(limits) < len(fits)
    for fit in limits:
        assert "power-law limit" in fit.fits[Family.LOGNORMAL].reason
        assert fit.comparisons[Family.LOGNORMAL].llr == pytest.approx(0, abs=1e-9)


def test_rivals_that_contain_the_power_law_are_never_less_likely():
    """The log-normal and the truncated power law reach at least the power law's likelihood."""
    rng = np.random.default_rng(13)
    for law in (*LAWS.values(), *BOUNDED_LAWS.values()):
        fit = fit_tail(law.sample(300, rng), xmax=law.xmax)
        assert fit.comparisons[Family.LOGNORMAL].llr < 1e-6
        assert fit.comparisons[Family.TRUNCATED_POWERLAW].llr < 1e-6
