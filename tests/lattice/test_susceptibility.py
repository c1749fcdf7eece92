"""Susceptibility: the Fano factor of window totals, and the standard error of its logarithm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avalattice.canon import CONST
from avalattice.errors import ArrayError
from avalattice.lattice.susceptibility import (
    centred_powers,
    susceptibility,
    susceptibility_from_powers,
    susceptibility_of_totals,
)

totals = st.lists(st.integers(0, 10**6), min_size=2, max_size=30)


def test_poisson_counts_have_chi_one():
    """Totals of independent Poisson counts have variance equal to their mean."""
    A = np.random.default_rng(1).poisson(0.3, size=(4000, 5, 20)).astype(np.uint16)
    found = susceptibility(A)
    assert found.chi == pytest.approx(1, abs=4 * found.log_se)
    assert found.log_se == pytest.approx(np.sqrt(2 / 4000), rel=0.1)


def test_shared_fluctuations_raise_chi():
    """Control: a rate that varies between windows gives chi = 1 + Var(rate)/Mean(rate)."""
    rng = np.random.default_rng(2)
    rate = rng.choice([20.0, 40.0], size=20_000)
    found = susceptibility_of_totals(rng.poisson(rate))
    assert found.chi == pytest.approx(1 + 100 / 30, rel=5 * found.log_se)


def test_constant_totals_have_chi_zero():
    """Windows that differ in nothing have chi 0."""
    found = susceptibility(np.full((6, 2, 3), 7, dtype=np.uint16))
    assert found.chi == 0.0
    assert found.reason is None


@settings(deadline=None)
@given(totals)
def test_chi_is_the_sample_variance_over_the_mean(Y):
    """Chi = Var(Y, divisor N − 1) / (Mean(Y) + CHI_EPS)."""
    if any(Y):
        expected = np.var(Y, ddof=1) / (np.mean(Y) + CONST.CHI_EPS)
        np.testing.assert_allclose(susceptibility_of_totals(np.array(Y)).chi, expected, rtol=1e-9)


@pytest.mark.parametrize("A", [np.ones((1, 2, 3), dtype=int), np.zeros((5, 2, 3), dtype=int)])
def test_one_window_or_no_event_leaves_chi_undefined(A):
    """A single window has no variance, an empty raster no mean: NaN, with a reason."""
    found = susceptibility(A)
    assert np.isnan(found.chi)
    assert found.reason == "chi needs two windows and some event"


def test_leading_axes_are_conditions():
    """A stack [C, N, L, T] gives chi per condition, undefined ones among them."""
    A = np.random.default_rng(3).poisson(1, size=(3, 9, 2, 5)).astype(np.uint16)
    A[1] = 0
    found = susceptibility(A)
    for c in (0, 2):
        np.testing.assert_allclose(found.chi[c], susceptibility(A[c]).chi, rtol=1e-14)
    assert np.isnan(found.chi).tolist() == [False, True, False]
    assert found.reason is not None


def test_the_largest_counts_do_not_overflow():
    """Totals are summed in 64 bits."""
    A = np.full((2, 200, 500), 65535, dtype=np.uint16)
    A[1, 0, 0] = 0
    Y = 65535 * np.array([100_000, 99_999])
    assert susceptibility(A).chi == pytest.approx(np.var(Y, ddof=1) / Y.mean(), rel=1e-9)


def test_what_is_no_stack_of_windows_is_refused():
    """Without a window axis there is no variance over windows."""
    with pytest.raises(ArrayError, match=r"\[\.\.\., N, L, T\], found shape \(3, 4\)"):
        susceptibility(np.ones((3, 4), dtype=int))


# ----------------------------------------------------------------------------------- moments


@settings(deadline=None)
@given(totals, st.floats(-50, 50))
def test_the_centre_of_the_powers_does_not_matter(Y, shift):
    """Powers about any centre near the mean give the same chi and standard error."""
    Y = np.array(Y, dtype=float) % 1000
    if Y.var() < 1:
        return
    centre = np.array(Y.mean() + shift)
    found = susceptibility_from_powers(centred_powers(Y, centre).sum(axis=0), centre)
    direct = susceptibility_of_totals(Y)
    np.testing.assert_allclose(found.chi, direct.chi, rtol=1e-6)
    np.testing.assert_allclose(found.log_se, direct.log_se, rtol=1e-4, atol=1e-6)


def test_weighted_powers_are_those_of_repeated_windows():
    """A bootstrap replicate's weighted powers give the chi of the windows repeated."""
    Y, weights = np.array([3.0, 9, 4, 6]), np.array([2.0, 0, 1, 1])
    centre = np.array(Y.mean())
    found = susceptibility_from_powers(weights @ centred_powers(Y, centre), centre)
    repeated = susceptibility_of_totals(np.array([3, 3, 4, 6]))
    np.testing.assert_allclose(found.chi, repeated.chi, rtol=1e-12)
    np.testing.assert_allclose(found.log_se, repeated.log_se, rtol=1e-12)


DISTRIBUTIONS = {
    "poisson": lambda rng, size: rng.poisson(30, size),
    "gamma": lambda rng, size: rng.gamma(4, 10, size),
    "lognormal": lambda rng, size: rng.lognormal(3, 0.3, size),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_standard_error_is_that_of_simulated_samples(name):
    """The delta method's error of log chi agrees with its spread over simulated samples."""
    n, reps = 400, 4000
    Y = DISTRIBUTIONS[name](np.random.default_rng(4), (reps, n))
    found = susceptibility_of_totals(Y)
    spread = np.log(found.chi).std()
    assert np.sqrt((found.log_se**2).mean()) == pytest.approx(spread, rel=0.08)


def test_the_poisson_error_would_be_wrong_elsewhere():
    """Control: sqrt(2/N), right for Poisson counts, is far off for skewed totals."""
    Y = DISTRIBUTIONS["gamma"](np.random.default_rng(5), (2000, 400))
    spread = np.log(susceptibility_of_totals(Y).chi).std()
    assert abs(spread / np.sqrt(2 / 400) - 1) > 0.08
