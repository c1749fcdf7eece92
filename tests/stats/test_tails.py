"""Tail fits: published values, theorems, and what each comparison must not do."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import zeta
from scipy.stats import binom, chisquare, kstest

from avalattice.canon import CONST
from avalattice.errors import ArrayError, InputError
from avalattice.stats.tails import (
    LARGEST_SAMPLE,
    STATUS_NOT_ASSESSABLE,
    STATUS_OK,
    Family,
    alpha_from_mean_log,
    alpha_replicates,
    alpha_window_interval,
    compare,
    exponential,
    fit_family,
    fit_tail,
    lognormal,
    percentile_interval,
    power_law,
    tail_sums_by_window,
    truncated_power_law,
    window_weights,
)

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("AVALATTICE_TEST_DATA", ROOT / ".." / "shared" / "data"))
LAWS = {
    Family.POWERLAW: power_law(2.2),
    Family.EXPONENTIAL: exponential(0.05),
    Family.LOGNORMAL: lognormal(3.0, 0.8),
    Family.TRUNCATED_POWERLAW: truncated_power_law(1.5, 0.01),
}
BOUNDED_LAWS = {
    Family.POWERLAW: power_law(1.5, xmax=256),
    Family.EXPONENTIAL: exponential(0.05, xmax=256),
    Family.LOGNORMAL: lognormal(3.0, 0.8, xmax=256),
    Family.TRUNCATED_POWERLAW: truncated_power_law(1.2, 0.02, xmax=256),
}


def published(name: str) -> np.ndarray:
    path = DATA / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"no published sample {path}: set AVALATTICE_TEST_DATA")
    return np.loadtxt(path).astype(np.int64)


def ks_over_every_integer(values: np.ndarray, alpha: float, xmin: int) -> float:
    """The definition, one integer after the other."""
    tail = np.sort(values[values >= xmin])
    x = np.arange(xmin, tail[-1] + 1)
    empirical = np.searchsorted(tail, x, side="right") / len(tail)
    model = 1 - zeta(alpha, x + 1) / zeta(alpha, xmin)
    return float(np.max(np.abs(empirical - model)))


# ----------------------------------------------------------------------- published fits


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


# --------------------------------------------------------------------------- the exponent


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


# ------------------------------------------------------------------------------ KS distance


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


# ------------------------------------------------------------------------------- families


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


# ------------------------------------------------------------------------------- samplers


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


# ------------------------------------------------------------------- critical branching trees


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


# ------------------------------------------------------------------------- goodness of fit


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


def test_the_bootstrap_depends_on_its_stream_alone():
    """The same generator gives the same p; without one there is an error, without reps none."""
    x = power_law(2.5).sample(300, np.random.default_rng(18))
    first, second = (fit_tail(x, gof_reps=10, rng=np.random.default_rng(1)).ks_p for _ in range(2))
    assert first == second
    assert math.isnan(fit_tail(x).ks_p)
    with pytest.raises(InputError, match="give rng"):
        fit_tail(x, gof_reps=10)


# -------------------------------------------------------------------------- window intervals


def correlated_windows(rng, n_windows: int = 60, per_window: int = 40) -> tuple[np.ndarray, ...]:
    """Tails whose exponent, one of three, varies from window to window."""
    x = np.empty((n_windows, per_window), np.int64)
    kind = rng.integers(3, size=n_windows)
    for index, alpha in enumerate((1.8, 2.2, 2.6)):
        drawn = power_law(alpha).sample(int(np.sum(kind == index)) * per_window, rng)
        x[kind == index] = drawn.reshape(-1, per_window)
    return x.ravel(), np.repeat(np.arange(n_windows), per_window)


def test_interpolated_exponents_equal_fitted_ones():
    """The alpha of a mean log is the maximum-likelihood alpha, interpolated or not."""
    rng = np.random.default_rng(19)
    for xmax in (None, 1000):
        law = power_law(2.0, xmin=3, xmax=xmax)
        samples = [law.sample(50, rng) for _ in range(200)]
        mean_log = np.array([np.log(x).mean() for x in samples])
        fitted = [fit_tail(x, xmin=3, xmax=xmax).alpha for x in samples]
        np.testing.assert_allclose(alpha_from_mean_log(mean_log, 3, xmax), fitted, rtol=1e-6)
        np.testing.assert_allclose(
            alpha_from_mean_log(mean_log[:5], 3, xmax), fitted[:5], rtol=1e-9
        )


def test_mean_logs_out_of_range_have_no_exponent():
    """A mean log at xmin or at xmax has no exponent: NaN, beside a neighbour that has one."""
    mean_log = np.log([5.0, 6.0, 20.0])
    found = alpha_from_mean_log(mean_log, 5, 20)
    assert np.isnan(found[[0, 2]]).all()
    assert math.isfinite(found[1])


def test_a_replicate_is_the_fit_of_the_windows_drawn():
    """The alpha of weighted sums is that of the windows drawn, repeats included."""
    rng = np.random.default_rng(20)
    x, window = correlated_windows(rng, 10)
    n, logs = tail_sums_by_window(x, window, n_windows=10, xmin=2)
    weights = window_weights(10, 4, rng)
    assert weights.sum(axis=1).tolist() == [10.0] * 4
    for row, alpha in zip(weights, alpha_replicates(n, logs, weights, xmin=2), strict=True):
        drawn = fit_tail(x, counts=row.astype(int)[window], xmin=2)
        assert alpha == pytest.approx(drawn.alpha, rel=1e-9)


def test_window_intervals_cover_and_standard_errors_do_not():
    """Where windows differ, their interval covers in 95 % of trials, and ±1.96 se does not."""
    rng = np.random.default_rng(21)
    everything, window = correlated_windows(rng, 20_000, 40)
    truth = fit_tail(everything, xmin=1).alpha
    trials, inside, inside_se = 200, 0, 0
    for _ in range(trials):
        x, window = correlated_windows(rng)
        n, logs = tail_sums_by_window(x, window, n_windows=60, xmin=1)
        interval = alpha_window_interval(n, logs, xmin=1, rng=rng, reps=300)
        fit = fit_tail(x, xmin=1)
        inside += interval.low <= truth <= interval.high
        inside_se += abs(fit.alpha - truth) <= 1.96 * fit.alpha_se
    assert binom.cdf(inside, trials, 0.93) > 0.01
    assert binom.cdf(inside_se, trials, 0.93) < 0.01


def test_few_windows_are_flagged():
    """Fewer than FEW_WINDOWS windows raise the flag, that many do not."""
    few = CONST.FEW_WINDOWS
    assert percentile_interval(np.arange(100.0), few - 1).few_windows
    assert not percentile_interval(np.arange(100.0), few).few_windows


def test_an_interval_leaves_undefined_replicates_out():
    """NaN replicates do not enter the percentiles; nothing but NaN gives NaN."""
    replicates = np.append(np.arange(101.0), np.nan)
    assert percentile_interval(replicates, 50).low == pytest.approx(2.5)
    assert math.isnan(percentile_interval(np.full(3, np.nan), 50).low)


# --------------------------------------------------------------------------- status and input


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


def test_laws_without_parameters_are_not_drawn_from():
    """A family that could not be fitted says why when it is sampled."""
    law = fit_family(Family.LOGNORMAL, np.full(10, 3), xmin=1)
    with pytest.raises(InputError, match="a single value in the tail"):
        law.sample(5, np.random.default_rng(0))


def test_impossible_supports_are_refused():
    """An empty support, and a law whose sum diverges, are errors."""
    with pytest.raises(InputError, match="1 ≤ xmin ≤ xmax"):
        fit_tail(np.array([1, 2]), xmin=5, xmax=3)
    with pytest.raises(InputError, match="diverges"):
        power_law(1.0)
    with pytest.raises(InputError, match="diverges"):
        exponential(0.0)
    assert power_law(1.0, xmax=10).sample(3, np.random.default_rng(0)).max() <= 10


def test_windows_out_of_range_are_named():
    """A window number that is too large, or an array of another shape, is an error."""
    x = np.array([1, 2, 3])
    for window in (np.array([0, 1, 2]), np.array([0, 1])):
        with pytest.raises(ArrayError, match="window must hold 0 … 1"):
            tail_sums_by_window(x, window, n_windows=2, xmin=1)


# ------------------------------------------------------------------------------------ oracles


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
