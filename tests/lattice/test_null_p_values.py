"""p-values of the nulls: uniform without an effect, small with one, and of the right null."""

import math

import numpy as np
import pytest
from scipy import stats

from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import branching_null_ensemble, p_monte_carlo
from avalattice.lattice.percolation import independent_sites
from avalattice.stats.multiplicity import benjamini_hochberg
from tests.lattice.samples import PERM, SHIFT, aligned_layers, persistent_rows


def test_monte_carlo_p_counts_the_observed_value():
    """The p-value is the share of all R + 1 values that lie at least as far from their mean."""
    null = np.linspace(-1, 1, 9)
    assert p_monte_carlo(10.0, null) == 1 / 10
    assert p_monte_carlo(-10.0, null) == 1 / 10
    assert p_monte_carlo(0.0, null) == 1
    assert math.isnan(p_monte_carlo(math.nan, null))
    assert math.isnan(p_monte_carlo(0.0, np.array([1, math.nan])))


@pytest.mark.parametrize("scale", [1.0, 1e-6, 3e4])
def test_values_on_both_sides_of_the_mean_are_ties(scale):
    """One value and another lie equally far from their mean, though not in binary."""
    assert abs(1 / 3 - 0.5) != abs(2 / 3 - 0.5)
    for observed, null in ((1 / 3, 2 / 3), (2 / 3, 1 / 3)):
        assert p_monte_carlo(observed * scale, np.array([null]) * scale) == 1
    further = np.array([1 / 3, 2 / 3, 2 / 3 + 1e-9]) * scale  # control: near is not equal
    assert p_monte_carlo(further[0], further[1:]) == 1 / 3
    assert p_monte_carlo(0.0, np.zeros(3)) == 1


def is_uniform(p):
    """Chi-square over ten bins, at 1e-3."""
    return stats.chisquare(np.histogram(p, bins=10, range=(0, 1))[0]).pvalue > 1e-3


@pytest.fixture(scope="module")
def independent_nulls():
    """The closed-form nulls of 500 rasters of independent sites, and the rasters."""
    rng = np.random.default_rng(11)
    rasters = [independent_sites((3, 10, 96), 0.3, rng) for _ in range(500)]
    return rasters, [branching_null_exact(raster) for raster in rasters]


@pytest.mark.parametrize(
    "test",
    [
        "p_time_perm_exact",
        "p_time_tokens_exact",
        "p_depth_perm_exact",
        "p_depth_shift_exact",
    ],
)
def test_exact_p_is_uniform_for_independent_sites(independent_nulls, test):
    """Over 500 rasters of independent sites the normal p-values are uniform."""
    assert is_uniform([getattr(null, test) for null in independent_nulls[1]])


@pytest.mark.parametrize(("ratio", "null_id"), [("time", PERM), ("depth", PERM), ("depth", SHIFT)])
def test_monte_carlo_p_is_uniform_for_independent_sites(independent_nulls, ratio, null_id):
    """Over 500 rasters of independent sites the Monte Carlo p-values are uniform."""
    rng, p = np.random.default_rng(12), []
    for raster, null in zip(*independent_nulls, strict=True):
        drawn = branching_null_ensemble(raster, rng, 199, null_id)
        observed = getattr(null, f"b_{ratio}_perm_exact") + getattr(null, f"delta_b_{ratio}")
        p.append(p_monte_carlo(observed, getattr(drawn, f"b_{ratio}")))
    assert is_uniform(np.array(p) - 1e-9)  # multiples of 1/200: bins closed above


def test_p_of_a_planted_effect_is_not_uniform():
    """Control: with one token in fifty aligned, p-values crowd near zero."""
    rng = np.random.default_rng(13)
    rasters = (aligned_layers(rng, (3, 10, 96), 0.3, share=0.02) for _ in range(500))
    assert not is_uniform([branching_null_exact(X).p_depth_shift_exact for X in rasters])


def test_exact_and_monte_carlo_p_agree():
    """Both p-values say the same of a moderate effect."""
    X = aligned_layers(np.random.default_rng(5), (3, 10, 96), 0.3, share=0.05)
    null = branching_null_exact(X)
    drawn = branching_null_ensemble(X, np.random.default_rng(6), 4999, SHIFT)
    observed = null.b_depth_shift_exact + null.delta_b_depth_shift
    p, p_mc = null.p_depth_shift_exact, p_monte_carlo(observed, drawn.b_depth)
    assert 1e-3 < p < 0.5
    assert p_mc == pytest.approx(p, abs=4 * math.sqrt(p / 5000) + 0.01)


def table_of_nulls(rng, planted=None):
    """One table of 88 conditions of independent sites, one of them with a planted alignment."""
    for row in range(88):
        share = 0.1 if row == planted else 0
        yield branching_null_exact(aligned_layers(rng, (2, 8, 96), 0.3, share))


@pytest.fixture(scope="module")
def tables_without_effect():
    """The closed-form nulls of 100 tables of 88 rows."""
    rng = np.random.default_rng(14)
    return [list(table_of_nulls(rng)) for _ in range(100)]


@pytest.mark.parametrize("test", ["p_time_perm_exact", "p_depth_shift_exact"])
def test_tables_without_effect_are_seldom_rejected(tables_without_effect, test):
    """Under Benjamini–Hochberg few tables of 88 rows hold a rejection; without it, all do."""
    n_tables = len(tables_without_effect)
    p = np.array([[getattr(null, test) for null in table] for table in tables_without_effect])
    rejected = [(benjamini_hochberg(row) <= 0.05).any() for row in p]
    assert sum(rejected) <= stats.binom.ppf(0.999, n_tables, 0.05)
    assert (p <= 0.05).any(axis=1).mean() > 0.9


def test_planted_effect_in_one_row_of_88_is_found():
    """Benjamini–Hochberg finds the one row of a table in which layers are aligned."""
    p = [null.p_depth_shift_exact for null in table_of_nulls(np.random.default_rng(15), planted=17)]
    assert np.flatnonzero(benjamini_hochberg(np.array(p)) <= 0.05).tolist() == [17]


def test_persistent_layers_are_rejected_by_the_wrong_null_only():
    """Independent layers of persistent tokens pass the shift null, not permutation."""
    rng, n = np.random.default_rng(16), 300
    nulls = [branching_null_exact(persistent_rows(rng, (3, 10, 256))) for _ in range(n)]
    by_shift = sum(null.p_depth_shift_exact < 0.05 for null in nulls)
    by_permutation = sum(null.p_depth_perm_exact < 0.05 for null in nulls)
    assert by_shift <= stats.binom.ppf(0.999, n, 0.05)
    assert by_permutation > 5 * 0.05 * n


def loud_tokens(rng, shape, share=0.3):
    """Rasters whose tokens are exchangeable, some of them loud in all layers at once."""
    loud = rng.random((shape[0], 1, shape[2])) < share
    return rng.random(shape) < np.where(loud, 0.8, 0.1)


def test_loud_tokens_are_rejected_by_the_wrong_null_only():
    """Along tokens, layers that share loud ones in random order pass for whole tokens, not rows."""
    rng, n = np.random.default_rng(18), 300
    nulls = [branching_null_exact(loud_tokens(rng, (4, 12, 64))) for _ in range(n)]
    by_tokens = sum(null.p_time_tokens_exact < 0.05 for null in nulls)
    by_rows = sum(null.p_time_perm_exact < 0.05 for null in nulls)
    assert by_tokens <= stats.binom.ppf(0.999, n, 0.05)
    assert by_rows > 3 * 0.05 * n


def test_loud_tokens_in_runs_are_found():
    """Control: put in order, the same tokens differ from every other order."""
    X = loud_tokens(np.random.default_rng(19), (4, 12, 64))
    loudest_first = np.argsort(-X.sum(axis=1), axis=-1)
    ordered = np.take_along_axis(X, loudest_first[:, np.newaxis], axis=-1)
    null = branching_null_exact(ordered)
    assert null.p_time_tokens_exact < 1e-6
    assert null.time_edges_tokens_var == branching_null_exact(X).time_edges_tokens_var
