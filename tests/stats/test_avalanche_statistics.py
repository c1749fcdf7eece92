"""Avalanche statistics: the same numbers as the single estimators, and nothing that breaks them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avalattice.canon import CONST, AdjacencyId
from avalattice.errors import ArrayError, InputError
from avalattice.lattice.avalanches import avalanches, labels
from avalattice.lattice.simulate import PlantedGain
from avalattice.stats.avalanche_statistics import (
    NO_AVALANCHE,
    AvalancheDescription,
    AvalancheStatistics,
    describe_avalanches,
    fit_avalanches,
)
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.profiles import avalanche_profiles, mean_profiles, profile_collapse
from avalattice.stats.scaling import crackling, exponent_relation
from avalattice.stats.tail_windows import alpha_replicates, tail_sums_by_window
from avalattice.stats.tails import STATUS_NOT_ASSESSABLE, fit_tail

N, L, T = 40, 12, 64
PLANTED = PlantedGain(L, T, b_time=0.4, b_depth=0.45, rate=0.4)
both_adjacencies = pytest.mark.parametrize("adjacency", list(AdjacencyId))


def planted() -> np.ndarray:
    return PLANTED.draw(N, 1.0, np.random.default_rng(1))


def resampled(n: int = N, reps: int = 100) -> Resamples:
    return Resamples.draw(n, reps, np.random.default_rng(2))


def everything(A: np.ndarray, adjacency=AdjacencyId.ADJ_4N, **options) -> AvalancheStatistics:
    resamples = resampled(len(A))
    return fit_avalanches(A, describe_avalanches(A, resamples, adjacency), resamples, **options)


# ---------------------------------------------------------------------------------- description


@both_adjacencies
def test_description_is_that_of_the_table(adjacency):
    """Numbers, means, median, largest and border share are those of the avalanches themselves."""
    A, table = planted(), avalanches(planted(), adjacency)
    found = describe_avalanches(A, resampled(), adjacency)
    assert found.adjacency == adjacency
    assert found.n_avalanches == len(table)
    assert found.size_mean == pytest.approx(A.sum() / len(table))
    assert found.size_median == np.median(table.size)
    assert found.size_max == max(table.size)
    assert found.span_tokens_mean == pytest.approx(sum(table.span_tokens) / len(table))
    assert found.span_layers_mean == pytest.approx(sum(table.span_layers) / len(table))
    assert found.border_share == pytest.approx(sum(table.touches_border) / len(table))
    largest = [table.size[table.window == n].max() for n in range(N)]
    assert found.largest_share == pytest.approx(sum(largest) / A.sum())
    assert found.reason == ""
    assert not found.few_windows


def test_adjacencies_differ():
    """Control: under ADJ_8N avalanches are fewer and larger."""
    four, eight = (describe_avalanches(planted(), resampled(), each) for each in AdjacencyId)
    assert four.n_avalanches > 1.1 * eight.n_avalanches
    assert four.size_mean < eight.size_mean


def test_gamma_is_that_of_the_estimator():
    """gamma, its interval over windows and its variant without the border are crackling's own."""
    A, resamples = planted(), resampled()
    table = avalanches(A)
    found = describe_avalanches(A, resamples).crackling
    expected = crackling(
        table.size,
        table.span_tokens,
        window=table.window,
        touches_border=table.touches_border,
        resamples=resamples,
    )
    np.testing.assert_array_equal(found.replicates, expected.replicates)
    assert (found.gamma, found.gamma_interior) == (expected.gamma, expected.gamma_interior)
    assert found.border_event_share == expected.border_event_share
    assert found.gamma != found.gamma_interior


@pytest.mark.parametrize("n", [1, CONST.FEW_WINDOWS - 1, CONST.FEW_WINDOWS])
def test_few_windows_are_flagged(n):
    """Intervals from fewer than FEW_WINDOWS windows carry a flag, each of them."""
    found = everything(planted()[:n])
    flags = [found.description, found.crackling, found.size_tail, found.span_tail, found.relation]
    assert [each.few_windows for each in flags] == [n < CONST.FEW_WINDOWS] * len(flags)
    silent = everything(np.zeros((n, L, T), np.uint16)).span_tail
    assert silent.few_windows == (n < CONST.FEW_WINDOWS)


# ----------------------------------------------------------------------------------------- fits


def test_tails_are_those_of_sizes_and_spans():
    """Sizes are fitted without bound, spans on a support that ends at T."""
    table, found = avalanches(planted()), everything(planted())
    assert found.size_tail.fit == fit_tail(table.size)
    assert found.span_tail.fit == fit_tail(table.span_tokens, xmax=T)
    assert (found.size_tail.fit.xmax, found.span_tail.fit.xmax) == (None, T)
    assert found.span_tail.fit.alpha != fit_tail(table.span_tokens).alpha  # control


@pytest.mark.parametrize("variable", ["size", "span"])
def test_alpha_intervals_are_those_of_windows(variable):
    """Each interval is the percentile interval of alpha over windows, with the fit's own xmin."""
    table, found = avalanches(planted()), everything(planted())
    tail = found.size_tail if variable == "size" else found.span_tail
    values = table.size if variable == "size" else table.span_tokens
    fit, few = tail.fit, resampled()
    sums = tail_sums_by_window(values, table.window, n_windows=N, xmin=fit.xmin)
    replicates = alpha_replicates(*sums, few, xmin=fit.xmin, xmax=fit.xmax)
    ends = np.quantile(replicates, [0.025, 0.975])
    assert (tail.alpha_interval.low, tail.alpha_interval.high) == pytest.approx(tuple(ends))
    assert tail.alpha_interval.low < fit.alpha < tail.alpha_interval.high


def test_relation_uses_the_fits_and_the_same_draws():
    """gamma_pred follows from both fits, and dcc_signed's replicates are paired with gamma's."""
    table, found, resamples = avalanches(planted()), everything(planted()), resampled()
    expected = exponent_relation(
        table.size,
        table.span_tokens,
        table.window,
        resamples,
        size_fit=found.size_tail.fit,
        duration_fit=found.span_tail.fit,
    )
    assert found.relation.dcc_signed == expected.dcc_signed
    np.testing.assert_array_equal(found.relation.replicates, expected.replicates)
    alphas = found.span_tail.fit.alpha - 1, found.size_tail.fit.alpha - 1
    assert found.relation.gamma_predicted == pytest.approx(alphas[0] / alphas[1])


def test_profiles_are_those_of_all_windows():
    """Mean profiles pool the avalanches of all windows, and are collapsed with gamma."""
    A, found = planted(), everything(planted())
    one_by_one = [avalanche_profiles(window, labels(window)) for window in A]
    for span, profile in found.profiles.items():
        rows = [
            each.events[start : start + span]
            for each in one_by_one
            for start in each.start[each.duration == span]
        ]
        np.testing.assert_allclose(profile, np.mean(rows, axis=0), rtol=1e-12)
    assert len(found.profiles) >= 8
    collapse = profile_collapse(found.profiles, found.crackling.gamma)
    assert (found.collapse.error, found.collapse.skewness) == (collapse.error, collapse.skewness)
    assert collapse.error < profile_collapse(found.profiles, found.crackling.gamma + 1).error


def test_profiles_follow_the_adjacency():
    """Under ADJ_8N the profiles are those of ADJ_8N's avalanches."""
    A, found = planted(), everything(planted(), AdjacencyId.ADJ_8N)
    painted = labels(A, AdjacencyId.ADJ_8N).astype(np.int64)
    unique = np.where(painted > 0, painted + 10_000 * np.arange(N)[:, None, None], 0)
    expected = mean_profiles(avalanche_profiles(A, unique))
    assert list(found.profiles) == list(expected)
    for span, profile in found.profiles.items():
        np.testing.assert_allclose(profile, expected[span], rtol=1e-12)


def test_goodness_of_fit_draws_sizes_and_then_spans():
    """KS p-values follow from one generator, sizes first; none without replicates."""
    table, rng = avalanches(planted()), np.random.default_rng(3)
    sizes = fit_tail(table.size, gof_reps=5, rng=rng)
    spans = fit_tail(table.span_tokens, xmax=T, gof_reps=5, rng=rng)
    found = everything(planted(), gof_reps=5, rng=np.random.default_rng(3))
    assert (found.size_tail.fit.ks_p, found.span_tail.fit.ks_p) == (sizes.ks_p, spans.ks_p)
    assert math.isnan(everything(planted()).size_tail.fit.ks_p)
    with pytest.raises(InputError, match="gof_reps=5 needs a generator"):
        everything(planted(), gof_reps=5)


# ------------------------------------------------------------------------------ what must survive


def undefined_with_reason(found: AvalancheStatistics) -> None:
    """Every number that is NaN has words beside it, and the words have a NaN or a failed gate."""
    described, gamma, relation = found.description, found.crackling, found.relation
    means = [described.size_mean, described.size_median, described.size_max]
    means += [described.largest_share, described.span_tokens_mean, described.span_layers_mean]
    means += [described.border_share]
    assert {math.isnan(mean) for mean in means} == {described.reason != ""}
    assert gamma.passed == (gamma.reason == "")
    assert gamma.reason or math.isfinite(gamma.gamma)
    for tail in (found.size_tail, found.span_tail):
        assert tail.fit.reason or math.isfinite(tail.fit.alpha)
        assert math.isnan(tail.fit.alpha) <= np.isnan(tail.alpha_interval.low)
    assert (relation.reason != "") == math.isnan(relation.dcc_signed)
    assert found.collapse.reason or math.isfinite(found.collapse.error)


BARE = {
    "silent": np.zeros((5, 6, 20), np.uint16),
    "one giant component": np.full((5, 6, 20), 3, np.uint16),
    "one site": np.eye(1, 120, 7, dtype=np.uint16).reshape(1, 6, 20),
    "one window": planted()[:1],
    "one layer": planted()[:, :1],
    "one token": planted()[:, :, :1],
    "one layer, full": np.ones((5, 1, 20), np.uint16),
    "single sites, full": np.ones((5, 1, 1), np.uint16),
    "silent windows beside full ones": np.repeat([0, 1, 0], 40).reshape(3, 2, 20).astype(np.uint16),
    "equal bars": np.tile(np.arange(20) % 5 != 0, (30, 1, 1)).astype(np.uint16),
    "occupancy": planted() > 0,
}


@both_adjacencies
@pytest.mark.parametrize("name", BARE)
def test_bare_rasters_give_numbers_or_reasons(name, adjacency):
    """Nothing, one of anything, or constants: no warning, no exception, each NaN with a reason."""
    A = BARE[name]
    undefined_with_reason(everything(A, adjacency, gof_reps=3, rng=np.random.default_rng(4)))


def test_a_silent_raster_says_so():
    """Without an occupied site there are no avalanches, and every part says what is missing."""
    found = everything(BARE["silent"])
    assert (found.description.n_avalanches, found.description.reason) == (0, NO_AVALANCHE)
    assert found.size_tail.fit.status == found.span_tail.fit.status == STATUS_NOT_ASSESSABLE
    assert found.size_tail.fit.reason == "no samples in the tail"
    assert np.isnan([found.size_tail.alpha_interval.low, found.span_tail.alpha_interval.high]).all()
    assert found.relation.reason == "alpha_S and alpha_D and gamma undefined"
    assert found.profiles == {}


def test_a_giant_component_shows():
    """Full windows are one avalanche each, which holds every event and touches the border."""
    found = everything(BARE["one giant component"]).description
    assert (found.n_avalanches, found.size_mean, found.span_layers_mean) == (5, 360, 6)
    assert (found.largest_share, found.border_share) == (1.0, 1.0)
    spread = describe_avalanches(planted(), resampled())
    assert spread.largest_share < 0.6  # control


small_counts = hnp.arrays(
    np.uint16,
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 12)),
    elements=st.sampled_from([0, 0, 0, 1, 1, 9]),
)


@settings(max_examples=60)
@given(small_counts, st.sampled_from(list(AdjacencyId)))
def test_small_rasters_give_numbers_or_reasons(A, adjacency):
    """Whatever the raster, there is no exception and no number is missing without words."""
    found = everything(A, adjacency)
    undefined_with_reason(found)
    assert (found.description.n_avalanches > 0) == A.any()


# ------------------------------------------------------------------------------------ wrong input


def described(A: np.ndarray) -> AvalancheDescription:
    return describe_avalanches(A, resampled(len(A)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda A: describe_avalanches(A, resampled(N + 1)), "of 41 windows, found 40"),
        (lambda A: describe_avalanches(A[None], resampled(1)), r"expected axes \[N, L, T\]"),
        (lambda A: describe_avalanches(A / 2, resampled()), "expected whole numbers"),
        (lambda A: fit_avalanches(A, described(A), resampled(3)), "of 3 windows, found 40"),
        (
            lambda A: fit_avalanches(A[..., 1:], described(A), resampled()),
            r"the table is of shape \(40, 12, 64\), found \(40, 12, 63\)",
        ),
    ],
)
def test_wrong_arrays_are_named(call, message):
    """Other windows, axes, dtypes and shapes raise what names the expected and the found."""
    with pytest.raises(ArrayError, match=message):
        call(planted())
