"""g*: a pure function of curves, and its own judgement of them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avalattice.canon import CONST
from avalattice.errors import ArrayError
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.gstar import choose, crossings, select_gstar

GRID = CONST.GAIN_GRID_DEFAULT
G = np.array([float(g) for g in GRID])
NAN = float("nan")


def gains(text: str) -> list[Decimal]:
    return [Decimal(g) for g in text.split()]


def select(grid, curve, *, noise=0.0, reps=400, replicates=None):
    """g* of a curve with replicates that scatter about it, equally at all gains."""
    curve = np.array(curve, dtype=float)
    if replicates is None:
        replicates = curve + np.random.default_rng(1).normal(0, noise, size=(reps, 1))
    return select_gstar(grid, curve, replicates)


# --------------------------------------------------------------------------------- the choice


def test_the_gain_nearest_one_is_chosen():
    """The gain that minimises |b_tot − 1| is taken, wherever it lies."""
    found = select(gains("0.8 0.9 1.0 1.1"), [0.7, 0.95, 1.2, 1.4])
    assert found.gstar == Decimal("0.9")
    assert found.b_tot == 0.95
    assert not found.at_grid_edge


def test_ties_go_to_the_gain_nearest_one_then_to_the_smaller():
    """Of equally good gains the one nearest 1.0 is taken; of equally near ones the smaller."""
    assert select(gains("0.7 0.9 1.2"), [0.9, 1.1, 0.9]).gstar == Decimal("0.9")
    assert select(gains("0.7 0.9 1.2"), [1.1, 1.4, 0.9]).gstar == Decimal("1.2")
    assert select(gains("0.9 1.1"), [0.8, 1.2]).gstar == Decimal("0.9")
    assert select(gains("0.9 1.1"), [1.2, 0.8]).gstar == Decimal("0.9")
    assert select(GRID, np.full(len(GRID), 0.6)).gstar == 1


def test_ties_are_ties_of_decimals():
    """0.9 and 1.1 are equally far from one, though 1.1 − 1 exceeds 1 − 0.9 in binary."""
    assert abs(1.1 - 1) != abs(0.9 - 1)
    assert choose(gains("0.8 1.0"), np.array([0.9, 1.1])) == 1
    assert choose(gains("0.8 1.0"), np.array([0.9, 1.1 + 1e-9])) == 0


@settings(deadline=None)
@given(hnp.arrays(float, len(GRID), elements=st.floats(0, 3) | st.just(NAN)))
def test_the_choice_is_a_minimum(curve):
    """No defined gain is nearer to one than the chosen, and only undefined curves have none."""
    found = select(GRID, curve, reps=3)
    if np.isnan(curve).all():
        assert found.gstar is None
    else:
        assert abs(found.b_tot - 1) <= np.nanmin(np.abs(curve - 1)) + 1e-12
        assert curve[GRID.index(found.gstar)] == found.b_tot


def test_undefined_gains_are_left_out_by_name():
    """Gains without b_tot do not enter, not even as the grid's edge, and are listed."""
    grid = gains("0.7 0.8 0.9 1.0 1.1 1.2")
    found = select(grid, [NAN, 0.8, 0.9, NAN, 1.2, 1.3], noise=0.01)
    assert found.excluded == (Decimal("0.7"), Decimal("1.0"))
    assert found.gstar == Decimal("0.9")
    assert set(found.shares) == set(grid) - set(found.excluded)
    assert found.crossing == pytest.approx(0.9 + 0.2 / 3)
    assert select(grid, [NAN, 0.99, 1.2, 1.3, 1.4, 1.5]).at_grid_edge


def test_a_curve_without_values_has_no_gstar():
    """Where every b_tot is undefined there is no g*, and the reason says so."""
    found = select(gains("0.9 1.0"), [NAN, NAN])
    assert found.gstar is None
    assert found.excluded == (Decimal("0.9"), Decimal("1.0"))
    assert found.shares == {}
    assert [found.identifiable, found.bracketed, found.at_grid_edge] == [False] * 3
    assert found.reason == "b_tot is undefined at every gain"
    assert np.isnan([found.b_tot, found.crossing, found.slope, *found.crossing_interval]).all()


@pytest.mark.parametrize(("curve", "edge"), [([1.1, 1.2, 1.3], "0.9"), ([0.5, 0.6, 0.7], "1.1")])
def test_a_choice_at_the_edge_is_marked(curve, edge):
    """The smallest or largest gain of the grid is an edge, and the curve is not bracketed."""
    found = select(gains("0.9 1.0 1.1"), curve, noise=0.01)
    assert found.gstar == Decimal(edge)
    assert found.at_grid_edge
    assert not found.bracketed
    assert found.reason == "b_tot - 1 does not change sign inside the grid"


def test_a_single_gain_is_its_own_edge():
    """A grid of one gain chooses it, with neither slope nor crossing, and identifies nothing."""
    found = select(gains("1.0"), [0.9], noise=0.2)
    assert found.gstar == 1
    assert found.at_grid_edge
    assert np.isnan([found.slope, found.crossing, *found.slope_interval]).all()
    assert found.shares == {Decimal("1.0"): 1.0}
    assert not found.identifiable
    assert select(gains("1.0"), [1.0], noise=0.0).identifiable is False


@pytest.mark.parametrize(
    ("grid", "curve", "replicates", "message"),
    [
        ("1.0 0.9", [1, 1], np.ones((3, 2)), r"must increase, found \['1.0', '0.9'\]"),
        ("1.0 1.00", [1, 1], np.ones((3, 2)), "must increase"),
        ("0.9 1.0", [1, 1, 1], np.ones((3, 3)), r"for 2 gains, found \(3,\) and \(3, 3\)"),
        ("0.9 1.0", [1, 1], np.ones((3, 3)), r"for 2 gains, found \(2,\) and \(3, 3\)"),
    ],
)
def test_gains_that_do_not_fit_are_refused(grid, curve, replicates, message):
    """Gains that do not increase, and curves of another length, are errors."""
    with pytest.raises(ArrayError, match=message):
        select_gstar(gains(grid), np.array(curve, dtype=float), replicates)


# ------------------------------------------------------------------------------- the crossing


def test_an_exact_crossing_is_itself():
    """Where b_tot is exactly one at a gain, that gain is g* and the crossing."""
    found = select(gains("0.8 0.9 1.0 1.1 1.2"), [0.8, 0.9, 0.95, 1.0, 1.1])
    assert found.gstar == Decimal("1.1")
    assert found.crossing == 1.1
    assert found.bracketed


def test_crossings_are_interpolated():
    """Between two gains the crossing divides the step as one divides the values."""
    assert crossings(np.array([0.8, 1.0]), np.array([0.9, 1.3])) == [pytest.approx(0.85)]
    assert crossings(np.array([0.8, 1.0]), np.array([1.3, 0.9])) == [pytest.approx(0.95)]
    assert crossings(np.array([0.8, 1.0]), np.array([0.8, 0.9])) == []
    wave = crossings(np.array([0.0, 1, 2, 3]), np.array([0.5, 1.5, 0.5, 1.0]))
    assert wave == [0.5, 1.5, 3.0]


def test_of_several_crossings_the_nearest_to_gstar_is_given():
    """A curve that crosses one twice reports the crossing beside its g*."""
    found = select(gains("0.7 0.8 0.9 1.0 1.1 1.2"), [0.4, 1.4, 1.4, 1.3, 1.05, 0.6])
    assert found.gstar == Decimal("1.1")
    assert found.crossing == pytest.approx(1.1 + 0.1 / 9)


@pytest.mark.parametrize("slope", [2.0, -2.0])
def test_a_steep_curve_is_identified_with_its_crossing(slope):
    """A planted steep curve, rising or falling, is identifiable and its crossing is recovered."""
    found = select(GRID, 1 + slope * (G - 1.03), noise=0.05, reps=2000)
    assert found.gstar == Decimal("1.05")
    assert found.crossing == pytest.approx(1.03)
    low, high = found.crossing_interval
    assert (low, high) == pytest.approx((1.03 - 0.049, 1.03 + 0.049), abs=0.006)
    assert found.slope == pytest.approx(slope)
    assert found.slope_interval == pytest.approx((slope, slope))
    assert found.share_bracketed == 1.0
    assert found.bracketed
    assert found.identifiable
    assert found.reason is None


def test_the_slope_is_the_least_squares_slope():
    """db_tot/dg is that of a straight line through all points, with its interval."""
    curve = np.random.default_rng(2).normal(1, 0.2, size=len(G))
    replicates = curve + np.random.default_rng(3).normal(0, 0.1, size=(300, len(G)))
    found = select(GRID, curve, replicates=replicates)
    assert found.slope == pytest.approx(np.polyfit(G, curve, 1)[0])
    slopes = np.polyfit(G, replicates.T, 1)[0]
    assert found.slope_interval == pytest.approx(np.quantile(slopes, [0.025, 0.975]))


# ------------------------------------------------------------------------------ identifiability


@pytest.mark.parametrize("seed", range(8))
def test_a_flat_curve_is_not_identifiable(seed):
    """On a flat curve about one g* is an accident, though every replicate changes sign."""
    rng = np.random.default_rng(seed)
    curve = 1 + rng.normal(0, 0.03, size=len(GRID))
    found = select(GRID, curve, replicates=curve + rng.normal(0, 0.03, size=(300, len(GRID))))
    assert found.bracketed
    assert found.share_bracketed > 0.95
    assert not found.identifiable
    assert "interval" in found.reason


def test_a_steep_curve_stays_identifiable_under_the_same_noise():
    """Control: noise that undoes a flat curve leaves a steep one determined."""
    rng = np.random.default_rng(0)
    curve = 1 + 2 * (G - 1.03) + rng.normal(0, 0.03, size=len(GRID))
    found = select(GRID, curve, replicates=curve + rng.normal(0, 0.03, size=(300, len(GRID))))
    assert found.identifiable
    low, high = found.crossing_interval
    assert low < 1.03 < high


@pytest.mark.parametrize("level", [0.4, 1.0, 1.7])
def test_a_curve_that_is_exactly_flat_is_not_identifiable(level):
    """A constant curve changes no sign, also where it is one at every gain."""
    found = select(GRID, np.full(len(GRID), level))
    assert found.gstar == 1
    assert found.slope == pytest.approx(0, abs=1e-12)
    assert not found.bracketed
    assert not found.identifiable
    assert found.reason == "b_tot - 1 does not change sign inside the grid"


@pytest.mark.parametrize("curve", [[1.3, 1.0, 1.2, 1.4], [0.7, 1.0, 0.8, 0.6]])
def test_touching_one_is_no_change_of_sign(curve):
    """A curve that only touches one has a crossing there, and is not bracketed."""
    found = select(gains("0.8 0.9 1.0 1.1"), curve)
    assert found.gstar == Decimal("0.9")
    assert found.crossing == 0.9
    assert not found.bracketed


def test_replicates_that_do_not_bracket_are_a_reason():
    """A sign change in the curve alone, which one replicate in five lacks, is not enough."""
    curve = np.linspace(0.9, 1.05, len(GRID))
    replicates = np.tile(curve, (100, 1))
    replicates[:20] -= 0.2
    found = select(GRID, curve, replicates=replicates)
    assert found.bracketed
    assert found.share_bracketed == 0.8
    assert found.reason == "only 80.0% of bootstrap replicates change sign inside the grid"
    replicates[:15] = curve  # control: 95 % are enough
    assert select(GRID, curve, replicates=replicates).identifiable


def test_a_wide_interval_is_a_reason():
    """A crossing that could lie anywhere in the middle half of the grid identifies nothing."""
    curve = 1 + 2 * (G - 1)
    found = select(GRID, curve, replicates=curve + np.linspace(-0.5, 0.5, 401)[:, None])
    low, high = found.crossing_interval
    assert 0.7 < low < high < 1.3
    assert high - low > 0.3
    assert found.share_bracketed == 1.0
    assert found.reason.endswith(f"[{low:.3f}, {high:.3f}] is wider than half the grid")
    narrower = select(GRID, curve, replicates=curve + np.linspace(-0.25, 0.25, 401)[:, None])
    assert narrower.identifiable


def test_an_interval_that_reaches_the_edge_is_a_reason():
    """A crossing whose interval ends at the grid's first gain may lie beyond it."""
    curve = 1 + 2 * (G - 0.75)
    curve[0] = 0.9
    replicates = np.tile(curve, (100, 1))
    replicates[:4, :2] = 1.0, 0.9  # these are one at the edge itself
    found = select(GRID, curve, replicates=replicates)
    assert found.share_bracketed == 1.0
    assert found.crossing_interval[0] == 0.7
    assert found.reason == "the crossing's interval [0.700, 0.750] reaches the grid's edge"


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(float, (30, 6), elements=st.floats(0, 2) | st.just(NAN)))
def test_shares_sum_to_one(replicates):
    """Every replicate that is defined at all gains chooses one; the shares say how often."""
    grid, curve = gains("0.7 0.8 0.9 1.0 1.1 1.2"), np.linspace(0.5, 1.4, 6)
    found = select(grid, curve, replicates=replicates)
    whole = ~np.isnan(replicates).any(axis=1)
    assert sum(found.shares.values()) == pytest.approx(1.0 if whole.any() else 0.0)
    assert all(share >= 0 for share in found.shares.values())


def test_undefined_replicates_count_against_the_bracket():
    """A replicate with an undefined gain chooses nothing and brackets nothing."""
    curve = 1 + 2 * (G - 1.03)
    replicates = np.tile(curve, (100, 1))
    replicates[:3, 4] = NAN
    found = select(GRID, curve, replicates=replicates)
    assert found.share_bracketed == 0.97
    assert found.shares[Decimal("1.05")] == 1.0
    assert found.identifiable
    replicates[:10, 4] = NAN
    assert select(GRID, curve, replicates=replicates).identifiable is False
    replicates[:] = NAN
    found = select(GRID, curve, replicates=replicates)
    assert found.gstar == Decimal("1.05")
    assert np.isnan(found.crossing_interval).all()
    assert found.reason.startswith("only 0.0% of bootstrap replicates")


def test_replicates_without_a_whole_curve_are_a_reason():
    """Where a tenth of the replicates lacks a gain, nothing is identified, and no slope's ends."""
    curve = 1 + 2 * (G - 1.03)
    replicates = curve + np.random.default_rng(4).normal(0, 0.05, size=(100, 1))
    assert select(GRID, curve, replicates=replicates).identifiable  # control
    replicates[:10, 2] = NAN
    found = select(GRID, curve, replicates=replicates)
    assert not found.identifiable
    assert found.reason == "only 90.0% of bootstrap replicates define b_tot at every gain"
    assert np.isnan(found.slope_interval).all()
    assert np.isfinite(found.crossing_interval).all()  # of those that have one


def test_one_window_identifies_nothing():
    """A steep curve through one, of a single window, has a crossing and no interval of it."""
    curve = 1 + 2 * (G - 1.03)
    windows = np.tile(curve, (5, 1)) + np.linspace(-0.02, 0.02, 5)[:, None]
    for n, identifiable in ((1, False), (5, True)):
        resamples = Resamples.draw(n, 200, np.random.default_rng(6))
        replicates = resamples.sums(windows[:n]) / n
        found = select(GRID, windows[:n].mean(axis=0), replicates=replicates)
        assert found.bracketed
        assert found.identifiable == identifiable
        assert np.isfinite(found.crossing_interval).all() == identifiable
        assert np.isfinite(found.slope_interval).all() == identifiable
        assert (found.reason or "").endswith("one window cannot be resampled") != identifiable


def test_the_result_depends_on_the_curve_alone():
    """The same arguments give the same result and are left as they were."""
    curve, replicates = 1 + 2 * (G - 1), np.random.default_rng(5).normal(1, 0.3, (50, len(G)))
    before = curve.copy(), replicates.copy()
    assert select_gstar(GRID, curve, replicates) == select_gstar(GRID, curve, replicates)
    np.testing.assert_array_equal(curve, before[0])
    np.testing.assert_array_equal(replicates, before[1])
