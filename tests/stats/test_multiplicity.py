"""Benjamini–Hochberg: scipy as oracle, and what missing tests do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from avalattice.errors import ArrayError
from avalattice.stats.multiplicity import benjamini_hochberg

unhurried = settings(deadline=None)  # other work may share the machine
p_values = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1))


@given(p=p_values)
@unhurried
def test_equals_scipy(p):
    """Adjusted p-values are those of scipy."""
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), rtol=1e-12)


def test_is_not_bonferroni():
    """Control: adjusted p-values of several small p are below p times their number."""
    p = np.array([0.01, 0.02, 0.03])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.03, 0.03, 0.03])
    assert (benjamini_hochberg(p)[1:] < 3 * p[1:]).all()


@given(p=p_values, missing=st.integers(0, 5))
@unhurried
def test_missing_tests_do_not_count(p, missing):
    """NaN stays NaN, and the others are adjusted as if it were not there."""
    adjusted = benjamini_hochberg(np.append(p, np.full(missing, np.nan)))
    np.testing.assert_array_equal(adjusted[: len(p)], benjamini_hochberg(p))
    assert np.isnan(adjusted[len(p) :]).all()


def test_shape_is_kept():
    """A table of p-values is one family, whatever its shape; an empty one is no error."""
    p = np.random.default_rng(0).random((4, 5))
    np.testing.assert_array_equal(
        benjamini_hochberg(p), benjamini_hochberg(p.ravel()).reshape(4, 5)
    )
    assert benjamini_hochberg(np.empty(0)).shape == (0,)
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.inf])
def test_values_outside_the_unit_interval_are_refused(wrong):
    """What cannot be a p-value is refused, saying what was found."""
    with pytest.raises(ArrayError, match=str(wrong)):
        benjamini_hochberg(np.array([0.5, wrong, np.nan]))
