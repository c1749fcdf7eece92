"""Tail fits: published values, known exponents, goodness of fit, and what cannot be assessed."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import zeta
from scipy.stats import kstest

from avalattice.errors import ArrayError, InputError
from avalattice.stats.tail_laws import Family, exponential, lognormal, power_law
from avalattice.stats.tails import STATUS_NOT_ASSESSABLE, STATUS_OK, fit_tail

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("AVALATTICE_TEST_DATA", ROOT / ".." / "shared" / "data"))


# ---------------------------------------------------------------------------------- published fits


def published(name: str) -> np.ndarray:
    path = DATA / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"no published sample {path}: set AVALATTICE_TEST_DATA")
    return np.loadtxt(path).astype(np.int64)


@pytest.mark.parametrize(
    ("name", "xmin", "alpha", "ks", "loglik", "n_tail"),
    [
        ("words", 7, 1.9527, 0.00825, -11753.82, 2958),
        ("terrorism", 12, 2.36995, 0.01769, -2111.03, 547),
    ],
)
def test_published_fits(name, xmin, alpha, ks, loglik, n_tail):
    """Word frequencies and terrorist attacks have the published xmin, alpha, KS and likelihood."""
    fit = fit_tail(published(name))
    assert (fit.xmin, fit.n_tail, fit.status) == (xmin, n_tail, STATUS_OK)
    assert fit.alpha == pytest.approx(alpha, abs=5e-5)
    assert fit.ks == pytest.approx(ks, abs=5e-6)
    assert fit.loglik == pytest.approx(loglik, abs=5e-3)


def test_blackouts_are_refused_with_their_numbers():
    """Blackouts leave 59 samples in the tail: not assessable, the published numbers still given."""
    fit = fit_tail(published("blackouts"))
    assert (fit.status, fit.n_tail, fit.xmin) == (STATUS_NOT_ASSESSABLE, 59, 230_000)
    assert "59 samples in the tail" in fit.reason
    assert fit.alpha == pytest.approx(2.3, abs=0.05)
    assert all(math.isfinite(law.loglik) for law in fit.fits.values())


# ------------------------------------------------------------------------------------ the exponent


def test_likelihood_is_exact():
    """The exponent maximises the zeta likelihood, and its error is that of the curvature there."""
    x = power_law(2.2).sample(3000, np.random.default_rng(1))
    fit = fit_tail(x, xmin=2)
    tail = x[x >= 2]

    def loss(alpha: float) -> float:
        return float(alpha * np.log(tail).sum() + len(tail) * np.log(zeta(alpha, 2)))

    best = minimize_scalar(loss, bounds=(1.5, 4), options={"xatol": 1e-9}).x
    curvature = (loss(best + 1e-3) - 2 * loss(best) + loss(best - 1e-3)) / 1e-6
    assert fit.alpha == pytest.approx(best, abs=1e-6)
    assert fit.alpha_se == pytest.approx(1 / math.sqrt(curvature), rel=1e-4)
    assert fit.loglik == pytest.approx(-loss(best), rel=1e-12)


@pytest.mark.parametrize("alpha", [1.1, 1.5, 2.5, 3.5, 6.0])
def test_exponent_is_recovered_and_not_bounded(alpha):
    """Any exponent is found within four standard errors, 3.5 and 6 as well as 1.1."""
    x = power_law(alpha).sample(20_000, np.random.default_rng(2))
    fit = fit_tail(x, xmin=1)
    assert abs(fit.alpha - alpha) < 4 * fit.alpha_se
    assert abs(fit.alpha - 0.8 * alpha) > 4 * fit.alpha_se


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.5, 1.0, 1.5])
def test_exponent_on_a_bounded_support_may_be_anything(alpha):
    """On [1, 256] exponents of one and less are found too: the sum is finite."""
    x = power_law(alpha, xmax=256).sample(20_000, np.random.default_rng(3))
    fit = fit_tail(x, xmin=1, xmax=256)
    assert abs(fit.alpha - alpha) < 4 * fit.alpha_se
    assert fit_tail(x, xmin=1).alpha > 1  # an unbounded sum must converge


def test_standard_error_is_the_scatter_of_estimates():
    """Over 200 samples alpha scatters as its standard error says."""
    rng = np.random.default_rng(4)
    fits = [fit_tail(power_law(2.0).sample(300, rng), xmin=1) for _ in range(200)]
    scatter = np.std([fit.alpha for fit in fits])
    stated = np.mean([fit.alpha_se for fit in fits])
    assert scatter == pytest.approx(stated, rel=0.15)


# ------------------------------------------------------------------------ critical branching trees


def borel_counts(largest: int, n: float) -> np.ndarray:
    """Expected numbers of critical Galton–Watson trees by size: n·e^(−s) s^(s−1) / s!."""
    s = np.arange(1, largest + 1, dtype=np.float64)
    log_factorial = np.cumsum(np.log(s))
    return np.rint(n * np.exp(-s + (s - 1) * np.log(s) - log_factorial)).astype(np.int64)


def test_sizes_of_critical_trees_approach_three_halves():
    """The exponent of Borel sizes tends to 3/2 as xmin grows; of subcritical trees it does not."""
    largest = 200_000
    sizes, counts = np.arange(1, largest + 1), borel_counts(largest, 1e15)
    errors = [
        abs(fit_tail(sizes, counts=counts, xmin=xmin, xmax=largest).alpha - 1.5)
        for xmin in (1, 3, 10, 30, 100)
    ]
    assert np.all(np.diff(errors) < 0)
    assert errors[-1] < 1e-3
    tilted = np.rint(counts * np.exp(-0.01 * sizes)).astype(np.int64)
    steep = [fit_tail(sizes, counts=tilted, xmin=xmin).alpha for xmin in (10, 100, 1000)]
    assert steep[-1] > 3


def test_durations_of_critical_trees_approach_two():
    """The exponent of the durations of critical Poisson trees tends to 2 as xmin grows."""
    largest = 100_000
    alive = np.empty(largest + 1)  # survival past generation d obeys q' = 1 − exp(−q)
    alive[0] = 1
    for d in range(largest):
        alive[d + 1] = -math.expm1(-alive[d])
    d, counts = np.arange(1, largest + 1), np.rint(-np.diff(alive) * 1e16).astype(np.int64)
    errors = [
        abs(fit_tail(d, counts=counts, xmin=xmin, xmax=largest).alpha - 2)
        for xmin in (3, 10, 30, 100, 1000)
    ]
    assert np.all(np.diff(errors) < 0)
    assert errors[-1] < 5e-3


# --------------------------------------------------------------------------------- goodness of fit


def test_goodness_of_fit_is_uniform_on_power_laws():
    """p-values of true power laws are uniform; those of exponentials are small."""
    rng = np.random.default_rng(16)
    p = [fit_tail(power_law(2.2).sample(300, rng), gof_reps=19, rng=rng).ks_p for _ in range(60)]
    # p lies on twentieths; a uniform jitter within the step makes it continuous
    assert kstest(np.array(p) - rng.random(60) / 20, "uniform").pvalue > 0.01
    x = exponential(0.05).sample(300, rng)
    assert fit_tail(x, xmin=1, gof_reps=19, rng=rng).ks_p == pytest.approx(1 / 20)


def test_goodness_of_fit_keeps_what_lies_under_xmin():
    """With a flat body under xmin = 20 the true tail is accepted, and one xmin for all is not."""
    rng = np.random.default_rng(17)
    x = np.concatenate([rng.integers(1, 20, 1500), power_law(2.5, xmin=20).sample(1500, rng)])
    assert fit_tail(x, gof_reps=20, rng=rng).ks_p > 0.1
    assert fit_tail(x, xmin=1, gof_reps=20, rng=rng).ks_p < 0.1


def test_undefined_distances_of_the_bootstrap_count_neither_way(monkeypatch):
    """A replicate of a single value is left out of both counts; of nothing else there is no p."""
    x = power_law(2.5).sample(300, np.random.default_rng(18))

    def p(*distances: float) -> float:
        found = iter([(1, 2.5, 0.1), *((1, 2.5, distance) for distance in distances)])
        monkeypatch.setattr("avalattice.stats.tails.best_tail", lambda *_: next(found))
        return fit_tail(x, gof_reps=len(distances), rng=np.random.default_rng(1)).ks_p

    assert p(0.2, 0.05) == pytest.approx(2 / 3)
    assert p(math.nan, 0.2, math.nan, 0.05) == pytest.approx(2 / 3)
    assert math.isnan(p(math.nan, math.nan))


def test_the_bootstrap_depends_on_its_stream_alone():
    """The same generator gives the same p; without one there is an error, without reps none."""
    x = power_law(2.5).sample(300, np.random.default_rng(18))
    first, second = (fit_tail(x, gof_reps=10, rng=np.random.default_rng(1)).ks_p for _ in range(2))
    assert first == second
    assert math.isnan(fit_tail(x).ks_p)
    with pytest.raises(InputError, match="give rng"):
        fit_tail(x, gof_reps=10)


# -------------------------------------------------------------------------------- status and input


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([], dtype=np.int64), "no samples in the tail"),
        (np.full(500, 3), "a single value in the tail"),
        (np.arange(1, 50), "samples in the tail, 100 needed"),
        (np.tile(np.arange(1, 9), 100), "decades, 1.0 needed"),
    ],
)
def test_what_cannot_be_assessed_says_why(values, reason):
    """Nothing, one value, few samples, less than a decade: numbers with a reason, not errors."""
    fit = fit_tail(values, xmin=1)
    assert fit.status == STATUS_NOT_ASSESSABLE
    assert reason in fit.reason
    assert fit.n_samples == fit.n_tail == len(values)
    several = len(np.unique(values)) > 1
    numbers = (fit.alpha, fit.ks, fit.loglik, fit.lambda_exponential, fit.truncated_alpha)
    assert all(math.isfinite(number) == several for number in numbers)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_counts_are_repetitions(values, random):
    """Values with counts, in any order, are fitted as the repeated values."""
    repeats = [random.randint(0, 4) for _ in values]
    order = random.sample(range(len(values)), len(values))
    x, n = np.array(values)[order], np.array(repeats)[order]
    one, other = fit_tail(x, counts=n), fit_tail(np.repeat(np.array(values), repeats))
    assert (one.xmin, one.n_tail, one.status) == (other.xmin, other.n_tail, other.status)
    np.testing.assert_equal(one.alpha, other.alpha)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.array([1.0, 2.0])}, "values must be integers"),
        ({"values": np.ones((2, 2), int)}, r"values must be integers of shape \[n\]"),
        ({"values": np.array([0, 1])}, "values must be at least 1, found 0"),
        ({"values": np.array([1, 9]), "xmax": 5}, "must not exceed xmax = 5, found 9"),
        ({"values": np.array([1, 9]), "counts": np.array([1])}, "counts must have the shape"),
        ({"values": np.array([1, 9]), "counts": np.array([1, -1])}, "counts must be at least 0"),
    ],
)
def test_wrong_arrays_are_named(arguments, message):
    """Wrong dtype, shape or range raises an error that names the array, the expected, the found."""
    with pytest.raises(ArrayError, match=message):
        fit_tail(**arguments)


def test_results_are_reached_by_plain_names():
    """Families are strings: fits and comparisons are looked up by their names."""
    fit = fit_tail(power_law(2.5).sample(500, np.random.default_rng(24)), xmin=1)
    assert fit.comparisons["lognormal"] is fit.comparisons[Family.LOGNORMAL]
    assert fit.fits["powerlaw"].parameters["alpha"] == fit.alpha


# ----------------------------------------------------------------------------------------- oracles


@pytest.mark.filterwarnings("ignore")  # the oracle's own warnings are not ours to mend
def test_igraph_agrees():
    """The discrete fit of igraph, xmin scanned, has the same xmin, alpha, KS and likelihood."""
    igraph = pytest.importorskip("igraph")
    for law in (power_law(3.5), lognormal(2.0, 1.0)):
        x = law.sample(1000, np.random.default_rng(22))
        fit, oracle = (
            fit_tail(x),
            igraph.power_law_fit(x.tolist(), method="discrete", p_precision=0.5),
        )
        assert fit.xmin == oracle.xmin
        assert fit.alpha == pytest.approx(oracle.alpha, abs=1e-6)
        assert fit.ks == pytest.approx(oracle.D, abs=1e-7)
        assert fit.loglik == pytest.approx(oracle.L, abs=1e-5)


@pytest.mark.filterwarnings("ignore")  # the oracle's own warnings are not ours to mend
def test_powerlaw_agrees_where_its_ranges_are_widened():
    """The powerlaw package agrees with wide ranges; with its own it stops at 3."""
    powerlaw = pytest.importorskip("powerlaw")
    x = power_law(3.5, xmin=2).sample(5000, np.random.default_rng(23))
    fit = fit_tail(x, xmin=2)
    stops = powerlaw.Fit(x, xmin=2, discrete=True, verbose=False)
    assert stops.power_law.alpha == pytest.approx(3, abs=0.01)
    wide = powerlaw.Fit(
        x, xmin=2, discrete=True, verbose=False, parameter_ranges={"alpha": (1.0001, 20)}
    )
    assert fit.alpha == pytest.approx(wide.power_law.alpha, abs=1e-3)
    assert fit.lambda_exponential == pytest.approx(wide.exponential.Lambda, rel=1e-3)
    ratio, p = wide.distribution_compare("power_law", "exponential")
    assert fit.comparisons[Family.EXPONENTIAL].llr == pytest.approx(ratio, abs=0.05)
    assert fit.comparisons[Family.EXPONENTIAL].p == pytest.approx(p, rel=0.05)
