"""Laws of a tail: normalisation on their support, and samplers that follow them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import zeta
from scipy.stats import chisquare

from avalattice.errors import InputError
from avalattice.stats.tail_laws import Family, exponential, lognormal, power_law
from avalattice.stats.tail_maxima import fit_family
from avalattice.stats.tail_support import LARGEST_SAMPLE
from tests.stats.laws import BOUNDED_LAWS, LAWS

# ----------------------------------------------------------------------------------- normalisation


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("laws", [LAWS, BOUNDED_LAWS], ids=["unbounded", "bounded"])
def test_probabilities_sum_to_one(family, laws):
    """Each law is normalised over the integers of its support."""
    law = laws[family]
    x = np.arange(1, 1 + (law.xmax or 3_000_000))
    beyond = zeta(2.2, x[-1] + 1.0) / zeta(2.2, 1) if law == LAWS[Family.POWERLAW] else 0.0
    assert math.fsum(np.exp(law.log_pmf(x))) + beyond == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("xmin", [1, 7, 1000])
@pytest.mark.parametrize("alpha", [1.05, 1.5, 3.5, 40.0])
def test_unbounded_power_law_is_normalised_by_the_zeta_function(alpha, xmin):
    """The summation over panels agrees with the Hurwitz zeta function to ten digits."""
    x = np.array([xmin, xmin + 5, 100 * xmin])
    exact = -alpha * np.log(x / xmin) - np.log(zeta(alpha, xmin) * float(xmin) ** alpha)
    np.testing.assert_allclose(power_law(alpha, xmin=xmin).log_pmf(x), exact, atol=1e-10)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
def test_narrow_lognormals_are_normalised(sigma):
    """A log-normal far narrower than its distance from xmin is summed to ten digits as well."""
    x = np.arange(1, 2_000_000)
    density = np.exp(-((np.log(x) - 6.0) ** 2) / (2 * sigma**2)) / x
    law = lognormal(6.0, sigma)
    assert law.log_pmf(np.array([400]))[0] == pytest.approx(
        math.log(density[399]) - math.log(math.fsum(density)), abs=1e-8
    )


def test_impossible_supports_are_refused():
    """An empty support, and a law whose sum diverges, are errors."""
    with pytest.raises(InputError, match="1 ≤ xmin ≤ xmax"):
        power_law(2.0, xmin=5, xmax=3)
    with pytest.raises(InputError, match="1 ≤ xmin ≤ xmax"):
        fit_family(Family.POWERLAW, np.array([1, 2]), xmin=5, xmax=3)
    with pytest.raises(InputError, match="diverges"):
        power_law(1.0)
    with pytest.raises(InputError, match="diverges"):
        exponential(0.0)
    assert power_law(1.0, xmax=10).sample(3, np.random.default_rng(0)).max() <= 10


# ---------------------------------------------------------------------------------------- samplers


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("laws", [LAWS, BOUNDED_LAWS], ids=["unbounded", "bounded"])
def test_samplers_follow_their_law(family, laws):
    """Counts of 200,000 draws agree with the probabilities, and not with those of another law."""
    law = laws[family]
    x = law.sample(200_000, np.random.default_rng(14))
    edges = np.unique(np.geomspace(1, 250, 60).astype(int))
    observed = np.histogram(x, np.append(edges, np.iinfo(np.int64).max))[0]

    def p_value(other) -> float:
        below = np.cumsum(np.exp(other.log_pmf(np.arange(1, edges[-1]))))
        expected = np.diff(np.concatenate([[0], below[edges[1:] - 2], [1]])) * len(x)
        return chisquare(observed, expected * observed.sum() / expected.sum()).pvalue

    assert p_value(law) > 1e-3
    assert (
        p_value(laws[Family.EXPONENTIAL if family != Family.EXPONENTIAL else Family.POWERLAW])
        < 1e-9
    )


def test_far_tail_of_a_sampled_power_law():
    """Draws beyond a million occur as often as the law says, and 2⁶⁰ stands for what is larger."""
    x = power_law(1.2).sample(200_000, np.random.default_rng(15))
    for far in (1e6, 1e12):
        share = zeta(1.2, far) / zeta(1.2, 1)
        assert np.mean(x >= far) == pytest.approx(share, rel=0.1)
    assert x.max() == LARGEST_SAMPLE


def test_laws_without_parameters_are_not_drawn_from():
    """A family that could not be fitted says why when it is sampled."""
    law = fit_family(Family.LOGNORMAL, np.full(10, 3), xmin=1)
    with pytest.raises(InputError, match="a single value in the tail"):
        law.sample(5, np.random.default_rng(0))
