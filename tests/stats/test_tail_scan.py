"""KS distance over every integer of a tail, and the scan for the xmin where it is smallest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import zeta

from avalattice.canon import CONST
from avalattice.stats.tail_laws import exponential, lognormal, power_law
from avalattice.stats.tails import fit_tail


def ks_over_every_integer(values: np.ndarray, alpha: float, xmin: int) -> float:
    """The definition, one integer after the other."""
    tail = np.sort(values[values >= xmin])
    x = np.arange(xmin, tail[-1] + 1)
    empirical = np.searchsorted(tail, x, side="right") / len(tail)
    model = 1 - zeta(alpha, x + 1) / zeta(alpha, xmin)
    return float(np.max(np.abs(empirical - model)))


def test_ks_looks_at_the_integer_before_the_next_observed_one():
    """Between 2 and 50 only F rises: the distance is largest at 49, where nothing was observed."""
    x = np.repeat([1, 2, 50], [30, 20, 50])
    fit = fit_tail(x, xmin=1)
    observed = np.unique(x)
    at_observed = np.searchsorted(np.sort(x), observed, side="right") / len(x)
    model = 1 - zeta(fit.alpha, observed + 1) / zeta(fit.alpha, 1)
    assert fit.ks == pytest.approx(ks_over_every_integer(x, fit.alpha, 1), abs=1e-12)
    assert fit.ks > 1.5 * np.max(np.abs(at_observed - model))


@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=40).filter(lambda v: len(set(v)) > 1),
)
@settings(max_examples=60, deadline=None)
def test_scan_finds_the_smallest_distance(values):
    """The scan, which skips most candidates, finds the best of all of them."""
    x = np.array(values)
    fit = fit_tail(x)
    every = [fit_tail(x, xmin=int(v)) for v in np.unique(x)[:-1]]
    assert fit.ks == pytest.approx(min(one.ks for one in every), abs=1e-12)
    assert fit.ks == pytest.approx(ks_over_every_integer(x, fit.alpha, fit.xmin), abs=1e-9)


@pytest.mark.parametrize("law", [power_law(1.5), lognormal(4.0, 1.5), exponential(0.01)])
def test_scan_finds_the_smallest_distance_of_many(law):
    """The same with hundreds of candidates and tails that reach far."""
    x = law.sample(1500, np.random.default_rng(5))
    fit = fit_tail(x)
    every = {int(v): fit_tail(x, xmin=int(v)).ks for v in np.unique(x)[:-1]}
    assert fit.xmin == min(every, key=every.__getitem__)
    assert fit.ks == pytest.approx(min(every.values()), abs=1e-12)


def test_scan_finds_where_a_planted_power_law_begins():
    """Under a cut at 20 the counts are flat; xmin is found near it, and without a cut at 1."""
    rng = np.random.default_rng(6)
    x = np.concatenate([rng.integers(1, 20, 5000), power_law(2.5, xmin=20).sample(5000, rng)])
    assert 18 <= fit_tail(x).xmin <= 30
    assert fit_tail(power_law(2.5).sample(5000, rng)).xmin < 5


def test_bounded_scan_keeps_a_decade_of_support():
    """On [255, 256] anything is a power law: the scan does not end there."""
    x = np.append(power_law(1.5, xmax=256).sample(5000, np.random.default_rng(7)), [255, 255, 256])
    assert fit_tail(x, xmin=255, xmax=256).ks < 1e-9
    assert fit_tail(x, xmax=256).xmin <= 256 / 10**CONST.TAIL_FIT_MIN_DECADES
