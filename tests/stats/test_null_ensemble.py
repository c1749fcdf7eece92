"""Statistics of null ensembles: spelt out, beside closed forms, and with p-values that hold."""

import math

import numpy as np
import pytest
from scipy import stats

from avalattice.errors import ArrayError
from avalattice.lattice.branching import branching
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import EdgeReplicates, branching_null_ensemble, p_monte_carlo
from avalattice.lattice.percolation import independent_sites
from avalattice.lattice.token_id_null import token_id_null_exact
from avalattice.stats.null_ensemble import ensemble_statistics
from tests.lattice.samples import (
    PERM,
    SHIFT,
    STRATIFIED,
    aligned_layers,
    persistent_rows,
    sites,
    token_driven,
)

denominators = pytest.mark.parametrize("denominator", ["valid_edges", "all_sites"])


def streams(seed, n_windows):
    """A stream for each window, as a stage draws from."""
    return [np.random.default_rng([seed, window]) for window in range(n_windows)]


def ensemble(X, seed=1, replicates=99, null_id=PERM):
    return branching_null_ensemble(X, streams(seed, len(X)), replicates, null_id)


@denominators
def test_statistics_are_those_of_the_ratios(denominator):
    """Mean, standard deviation and p are those of each null raster's b, spelt out."""
    X = aligned_layers(np.random.default_rng(0), (3, 5, 40), 0.3, share=0.05)
    drawn = ensemble(X)
    found = ensemble_statistics(X, drawn, denominator=denominator)
    below_time = drawn.time_ancestors if denominator == "valid_edges" else X.sum()
    below_depth = drawn.depth_ancestors if denominator == "valid_edges" else X.sum()
    time, depth = drawn.time_edges / below_time, drawn.depth_edges / below_depth
    for name, b in (("time", time), ("depth", depth), ("tot", time + depth)):
        assert getattr(found, f"b_{name}_mean") == pytest.approx(np.mean(b), rel=1e-12)
        assert getattr(found, f"b_{name}_sd") == pytest.approx(np.std(b, ddof=1), rel=1e-12)
    observed = branching(X, denominator=denominator)
    assert found.p_time_mc == p_monte_carlo(float(observed.b_time), time)
    assert found.p_depth_mc == p_monte_carlo(float(observed.b_depth), depth)
    assert (found.replicates, found.reasons) == (99, {})


def test_p_is_that_of_the_ratio_and_not_of_its_numerator():
    """Rows with as many edges as expected, of fewer ancestors, stand out by b_time alone."""
    X = np.tile([0, 1, 1, 0, 0, 1], (4, 20, 1))  # one edge, as expected, of 2 in place of 2.5
    drawn = ensemble(X, replicates=999)
    p_of_edges = p_monte_carlo(80.0, drawn.time_edges.astype(float))
    assert ensemble_statistics(X, drawn).p_time_mc < 0.01 < 0.5 < p_of_edges
    over_all = ensemble_statistics(X, drawn, denominator="all_sites")
    assert over_all.p_time_mc == p_of_edges  # a fixed denominator leaves the edges alone


def test_ties_with_the_raster_count():
    """Null rasters with the observed b count towards p: both are rounded by the same division."""
    X = np.zeros((1, 2, 12), int)
    X[0, :, :7] = 1  # b_depth is 1
    depth = np.array([1, 1, 1, 1, 1, 1, 2, 7, 7])
    none, many = np.zeros(9, int), np.full(9, 7)
    assert ensemble_statistics(X, EdgeReplicates(none, many, depth, many)).p_depth_mc == 3 / 10


@pytest.mark.parametrize("null_id", [PERM, SHIFT])
def test_ensembles_meet_the_closed_forms(null_id):
    """Means of draws are the exact expectations within 4 standard errors, and spreads near."""
    X = persistent_rows(np.random.default_rng(2), (6, 8, 60))
    null, found = branching_null_exact(X), ensemble_statistics(X, ensemble(X, 3, 2000, null_id))
    error = 4 * found.b_depth_sd / math.sqrt(2000)
    assert found.b_depth_mean == pytest.approx(null.b_depth_perm_exact, abs=error)
    variance = null.depth_edges_perm_var if null_id == PERM else null.depth_edges_shift_var
    assert found.b_depth_sd == pytest.approx(math.sqrt(variance) / X[:, :-1].sum(), rel=0.1)
    if null_id == PERM:
        error = 4 * found.b_time_sd / math.sqrt(2000) + null.b_time_perm_exact / X.sum()
        assert found.b_time_mean == pytest.approx(null.b_time_perm_exact, abs=error)
    else:  # control: a shift keeps nearly all of b_time
        assert found.b_time_mean > null.b_time_perm_exact + 0.3


def test_token_id_ensemble_meets_its_closed_form():
    """Exchange within token ids is met by its own closed form, and permutation's is far off."""
    X, ids = token_driven(np.random.default_rng(3), (6, 8, 60))
    drawn = branching_null_ensemble(X, np.random.default_rng(4), 1000, STRATIFIED, token_ids=ids)
    found, null = ensemble_statistics(X, drawn), token_id_null_exact(X, ids)
    for name in ("time", "depth"):
        mean, sd = getattr(found, f"b_{name}_mean"), getattr(found, f"b_{name}_sd")
        assert mean == pytest.approx(
            getattr(null, f"b_{name}_token_id_exact"), abs=4 * sd / math.sqrt(1000) + 1 / X.sum()
        )
    assert found.b_depth_mean > branching_null_exact(X).b_depth_perm_exact + 4 * found.b_depth_sd


def is_uniform(p):
    """Chi-square over ten bins closed above, at 1e-3: p are multiples of 1/100."""
    bins = np.ceil(np.round(np.asarray(p) * 100) / 10).astype(int)
    return stats.chisquare(np.bincount(bins, minlength=11)[1:]).pvalue > 1e-3


@pytest.mark.parametrize("null_id", [PERM, SHIFT])
def test_p_is_uniform_for_independent_sites(null_id):
    """Over 500 rasters of independent sites p is uniform; of planted ones it is not."""
    rng = np.random.default_rng(5)
    found, planted = (
        [
            ensemble_statistics(X, ensemble(X, i, 99, null_id))
            for i, X in enumerate(aligned_layers(rng, (3, 8, 64), 0.3, share) for _ in range(500))
        ]
        for share in (0.0, 0.03)
    )
    assert is_uniform([statistics.p_depth_mc for statistics in found])
    assert not is_uniform([statistics.p_depth_mc for statistics in planted])
    if null_id == PERM:
        assert is_uniform([statistics.p_time_mc for statistics in found])


def test_token_id_p_is_uniform_where_token_ids_explain_the_raster():
    """Over 500 rasters driven by token ids p is uniform in time and depth; the shift's is not."""
    rng, found, shifted = np.random.default_rng(6), [], []
    for i in range(500):
        X, ids = token_driven(rng, (3, 6, 64))
        drawn = branching_null_ensemble(X, rng, 99, STRATIFIED, token_ids=ids)
        found.append(ensemble_statistics(X, drawn))
        shifted.append(ensemble_statistics(X, ensemble(X, i, 99, SHIFT)).p_depth_mc)
    assert is_uniform([statistics.p_depth_mc for statistics in found])
    assert is_uniform([statistics.p_time_mc for statistics in found])
    assert np.median(shifted) <= 0.02


def test_each_null_judges_its_own_axis():
    """Persistent independent layers: time stands out of permutation, depth not of the shift."""
    X = persistent_rows(np.random.default_rng(7), (4, 8, 128))
    permuted = ensemble_statistics(X, ensemble(X, 8, 199, PERM))
    shifted = ensemble_statistics(X, ensemble(X, 8, 199, SHIFT))
    assert permuted.p_time_mc == 1 / 200
    assert shifted.p_depth_mc > 0.01
    assert shifted.p_time_mc > 0.01  # keeps what it could be judged by


# ------------------------------------------------------------------------------- undefined


def statistics_of(X, replicates=20, denominator="valid_edges"):
    return ensemble_statistics(X, ensemble(X, replicates=replicates), denominator=denominator)


TIME = {"b_time_mean", "b_time_sd", "p_time_mc"}
DEPTH = {"b_depth_mean", "b_depth_sd", "p_depth_mc"}
TOT = {"b_tot_mean", "b_tot_sd"}


@pytest.mark.parametrize(
    ("X", "options", "undefined"),
    [
        (np.zeros((2, 3, 8), int), {}, TIME | DEPTH | TOT),
        (np.zeros((2, 3, 8), int), {"denominator": "all_sites"}, TIME | DEPTH | TOT),
        (np.ones((2, 3, 8), int), {}, set()),
        (np.ones((2, 1, 8), int), {}, DEPTH | TOT),
        (np.ones((2, 1, 8), int), {"denominator": "all_sites"}, set()),
        (np.ones((2, 3, 1), int), {}, TIME | TOT),
        (sites(0, (2, 3, 8)), {"replicates": 1}, {"b_time_sd", "b_depth_sd", "b_tot_sd"}),
        (
            sites(0, (2, 3, 8)),
            {"replicates": 0},
            (TIME | DEPTH | TOT) - {"p_time_mc", "p_depth_mc"},
        ),
    ],
    ids=[
        "silent",
        "silent, all sites",
        "full",
        "one layer",
        "one layer, all sites",
        "one token",
        "one draw",
        "no draw",
    ],
)
def test_undefined_statistics_are_nan_with_a_reason(X, options, undefined):
    """Every NaN has a reason, and nothing that is defined has one."""
    found = statistics_of(X, **options)
    numbers = {name: value for name, value in vars(found).items() if name != "reasons"}
    assert {name for name, value in numbers.items() if math.isnan(value)} == undefined
    assert set(found.reasons) == undefined
    assert all(found.reasons.values())


def test_reasons_say_what_is_missing():
    """A ratio that some draws leave undefined is left out with their number, not averaged."""
    X = np.zeros((1, 1, 3), int)
    X[0, 0, 0] = 1
    found = statistics_of(X, 300)
    undefined = int(found.reasons["b_time_mean"].split()[4])
    assert stats.binom.ppf(1e-4, 300, 1 / 3) < undefined < stats.binom.ppf(0.9999, 300, 1 / 3)
    assert found.reasons["p_time_mc"] == f"b_time is undefined in {undefined} of 300 null rasters"
    X[0, 0] = [0, 0, 1]  # the raster itself has no b_time; draws need not
    drawn = EdgeReplicates(
        *(np.array([0, 0]), np.array([1, 1]), np.array([0, 0]), np.array([1, 1]))
    )
    assert ensemble_statistics(X, drawn).reasons["p_time_mc"] == "b_time of the raster is undefined"
    assert (
        statistics_of(sites(0, (2, 3, 8)), 1).reasons["b_tot_sd"] == "no spread in one null raster"
    )
    assert statistics_of(sites(0, (2, 3, 8)), 0).reasons["b_tot_sd"] == "no null raster was drawn"


def test_a_full_raster_has_no_spread():
    """Where every draw is the raster itself p is one, and the standard deviation zero."""
    found = statistics_of(np.ones((2, 3, 8), int))
    assert (found.b_tot_mean, found.b_tot_sd) == (2, 0)
    assert (found.p_time_mc, found.p_depth_mc) == (1, 1)


def test_conditions_are_never_pooled():
    """A stack with conditions is refused."""
    X = independent_sites((2, 3, 4, 10), 0.3, np.random.default_rng(0))
    with pytest.raises(ArrayError, match="one condition at a time"):
        ensemble_statistics(X, ensemble(X[0]))
