"""Signatures: what supports each, what alone undoes it, and planted cases with controls."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal

import numpy as np
import pytest

from avalattice.canon import CONST, SignatureId
from avalattice.lattice.branching import branching_from_sums, edge_sums
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import permutation_null, token_column_null
from avalattice.lattice.percolation import (
    PERCOLATION_THRESHOLD,
    independent_sites,
    percolation_context,
)
from avalattice.lattice.simulate import PlantedGain
from avalattice.stats.avalanche_nulls import null_avalanches
from avalattice.stats.avalanche_statistics import describe_avalanches, fit_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.chi_peak import ChiPeak, chi_peak
from avalattice.stats.gstar import select_gstar
from avalattice.stats.signatures import (
    Outcome,
    Verdict,
    alignment_chance,
    assess_branching_crossing,
    assess_crackling_relation,
    assess_susceptibility_peak,
)

NAN = math.nan
UNDEFINED = (NAN, NAN)
GRID = CONST.GAIN_GRID_DEFAULT
SUPPORTED, NOT_SUPPORTED, NOT_ASSESSABLE = Outcome
FEW = f"fewer than {CONST.FEW_WINDOWS} windows"


def gains(text: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(g) for g in text.split())


# ------------------------------------------------------------------------------------------- S1

CROSSING = {
    "gstar": Decimal("1.0"),
    "bracketed": True,
    "identifiable": True,
    "gstar_reason": None,
    "crossing": 1.004,
    "delta_b_depth_shift": 0.12,
    "p_adj": 0.003,
    "few_windows": False,
}


def test_a_crossing_with_depth_is_supported():
    """Bracketed, identifiable and with significant depth: supported, with its numbers in words."""
    found = assess_branching_crossing(**CROSSING)
    assert found.signature_id == SignatureId.S1_BRANCHING_CROSSING
    assert found.verdict == SUPPORTED
    assert found.reason == (
        "b_tot crosses one at g = 1.004, g* = 1.0 is identifiable, and delta_b_depth_shift = 0.12 "
        "at g* is positive, adjusted p = 0.003"
    )
    assert found.numbers == {
        "g_star": 1.0,
        "crossing": 1.004,
        "bracketed": 1.0,
        "identifiable": 1.0,
        "delta_b_depth_shift": 0.12,
        "p_adj": 0.003,
    }


@pytest.mark.parametrize(
    ("changed", "verdict", "reason"),
    [
        (
            {"bracketed": False, "identifiable": False, "gstar_reason": "no change of sign"},
            NOT_SUPPORTED,
            "b_tot − 1 does not change sign inside the grid",
        ),
        (
            {"identifiable": False, "gstar_reason": "it is flat"},
            NOT_SUPPORTED,
            "b_tot − 1 changes sign inside the grid, but g* = 1.0 is not identifiable: it is flat",
        ),
        (
            {"delta_b_depth_shift": -0.1},
            NOT_SUPPORTED,
            "delta_b_depth_shift = -0.1 at g* is not positive",
        ),
        (
            {"delta_b_depth_shift": 0.0},
            NOT_SUPPORTED,
            "delta_b_depth_shift = 0 at g* is not positive",
        ),
        (
            {"p_adj": 0.05},
            NOT_SUPPORTED,
            (
                "delta_b_depth_shift = 0.12 at g* is positive, but its adjusted p = 0.05 is not "
                "below 0.05"
            ),
        ),
        (
            {"gstar": None, "bracketed": False, "identifiable": False, "gstar_reason": "no b_tot"},
            NOT_ASSESSABLE,
            "g* is undefined: no b_tot",
        ),
        (
            {"delta_b_depth_shift": NAN, "p_adj": NAN},
            NOT_ASSESSABLE,
            "delta_b_depth_shift at g* is undefined",
        ),
        ({"p_adj": NAN}, NOT_ASSESSABLE, "delta_b_depth_shift = 0.12 has no p-value"),
    ],
)
def test_each_part_of_s1_alone_undoes_it(changed, verdict, reason):
    """One part that does not hold, or is undefined, decides the verdict and is the whole reason."""
    found = assess_branching_crossing(**{**CROSSING, **changed})
    assert (found.verdict, found.reason) == (verdict, reason)


def test_s1_is_supported_just_below_the_level():
    """Control: adjusted p just below 0.05 counts."""
    assert assess_branching_crossing(**{**CROSSING, "p_adj": 0.0499}).verdict == SUPPORTED
    assert assess_branching_crossing(**{**CROSSING, "p_adj": 0.0}).reason.endswith("p < 1e-99")


def test_all_parts_of_s1_are_named():
    """Several parts that do not hold are all in the reason; what cannot be judged comes first."""
    found = assess_branching_crossing(
        **{**CROSSING, "bracketed": False, "delta_b_depth_shift": -0.1, "p_adj": NAN}
    )
    assert found.verdict == NOT_ASSESSABLE
    no_p, no_sign, negative = found.reason.split("; ")
    assert "has no p-value" in no_p
    assert "does not change sign" in no_sign
    assert "is not positive" in negative


# ------------------------------------------------------------------------------------------- S2

FOUND = ChiPeak(
    gains=gains("0.7 0.8 0.9 1.0 1.1 1.2 1.3"),
    chi=np.array([1.0, 2, 3, 4, 3, 2, 1]),
    gain=Decimal("1.0"),
    interior=True,
    log_ratio=(1.39, 1.39),
    intervals=((0.9, 1.8), (0.8, 1.9)),
    few_windows=False,
    reason="",
)
NEAR = {"gstar": Decimal("0.9"), "identifiable": True, "gstar_reason": None}


def test_an_aligned_peak_is_supported():
    """A peak that exceeds both ends near an identifiable g*: supported, with the chance of that."""
    found = assess_susceptibility_peak(FOUND, **NEAR)
    assert found.signature_id == SignatureId.S2_SUSCEPTIBILITY_PEAK
    assert found.verdict == SUPPORTED
    assert found.reason == (
        "chi peaks at g = 1.0, above both ends of the grid, 0.1 from g* = 0.9 (0.2 allowed; a peak "
        "placed at random inside the grid is as near with probability 0.80)"
    )
    assert found.numbers["chance"] == 0.8
    assert (found.numbers["g_peak"], found.numbers["chi_peak"]) == (1.0, 4.0)
    assert found.numbers["log_ratio_last_ci_low"] == 0.8


@pytest.mark.parametrize(
    ("peak", "gstar", "verdict", "reason"),
    [
        (
            {"gain": Decimal("1.3"), "interior": False, "chi": np.arange(7.0)},
            {},
            NOT_SUPPORTED,
            "chi is largest at an end of the grid, g = 1.3",
        ),
        (
            {"intervals": ((-0.1, 2.8), (0.8, 1.9))},
            {},
            NOT_SUPPORTED,
            (
                "chi at its peak, g = 1.0, over chi at g = 0.7: log ratio 1.390 [-0.100, 2.800] "
                "does not exclude zero"
            ),
        ),
        (
            {"intervals": ((0.9, 1.8), (0.0, 2.8))},
            {},
            NOT_SUPPORTED,
            (
                "chi at its peak, g = 1.0, over chi at g = 1.3: log ratio 1.390 [0.000, 2.800] "
                "does not exclude zero"
            ),
        ),
        (
            {},
            {"gstar": Decimal("0.7")},
            NOT_SUPPORTED,
            (
                "chi peaks at g = 1.0, 0.3 from g* = 0.7 (0.2 allowed; a peak placed at random "
                "inside the grid is as near with probability 0.40)"
            ),
        ),
        (
            {},
            {"identifiable": False, "gstar_reason": "it is flat"},
            NOT_ASSESSABLE,
            (
                "chi peaks at g = 1.0, above both ends of the grid, but g* is not identifiable (it "
                "is flat), so that their distance means nothing"
            ),
        ),
        (
            {},
            {"gstar": None, "identifiable": False, "gstar_reason": "no b_tot"},
            NOT_ASSESSABLE,
            (
                "chi peaks at g = 1.0, above both ends of the grid, but g* is not identifiable (no "
                "b_tot), so that their distance means nothing"
            ),
        ),
        (
            {"intervals": (UNDEFINED, (0.8, 1.9))},
            {},
            NOT_ASSESSABLE,
            (
                "chi at its peak, g = 1.0, over chi at g = 0.7: log ratio 1.390 has no interval "
                "over windows"
            ),
        ),
        (
            {"gain": None, "interior": False, "reason": "chi is undefined at g = 0.7"},
            {},
            NOT_ASSESSABLE,
            "chi is undefined at g = 0.7",
        ),
    ],
)
def test_each_part_of_s2_alone_undoes_it(peak, gstar, verdict, reason):
    """One part that does not hold, or is undefined, decides the verdict and is the whole reason."""
    found = assess_susceptibility_peak(dataclasses.replace(FOUND, **peak), **{**NEAR, **gstar})
    assert (found.verdict, found.reason) == (verdict, reason)


def test_no_peak_is_not_supported_whether_g_star_is_identifiable_or_not():
    """Where chi has no interior peak, g* does not matter; only a peak that stands asks for it."""
    for identifiable in (True, False):
        options = {**NEAR, "identifiable": identifiable, "gstar_reason": "it is flat"}
        edge = dataclasses.replace(FOUND, interior=False, gain=Decimal("0.7"))
        low = dataclasses.replace(FOUND, intervals=((-1.0, 2.0), (-1.0, 2.0)))
        for peak in (edge, low):
            assert assess_susceptibility_peak(peak, **options).verdict == NOT_SUPPORTED


def test_the_allowed_distance_is_a_decimal():
    """A distance of exactly 0.2 is allowed, though 0.9 − 0.7 is more than that in binary."""
    assert CONST.SIGNATURE_ALIGNMENT_G_DIFF_MAX < 0.9 - 0.7
    for peak, gstar in (("0.9", "0.7"), ("1.0", "0.8"), ("1.1", "1.3")):
        found = dataclasses.replace(FOUND, gain=Decimal(peak))
        options = {**NEAR, "gstar": Decimal(gstar)}
        assert assess_susceptibility_peak(found, **options).verdict == SUPPORTED


def test_the_chance_of_alignment_is_that_of_interior_gains():
    """Of interior gains, the share within 0.2 of g*: all of them on the default grid at g* = 1."""
    assert alignment_chance(GRID, Decimal("1.0")) == 1.0
    assert alignment_chance(GRID, Decimal("1.3")) == pytest.approx(3 / 9)
    assert alignment_chance(gains("0.1 0.5 0.9 1.3"), Decimal("0.9")) == 0.5
    assert math.isnan(alignment_chance(gains("0.9 1.1"), Decimal("0.9")))
    alone = assess_susceptibility_peak(FOUND, gstar=None, identifiable=False, gstar_reason="none")
    assert math.isnan(alone.numbers["chance"])


def totals_of(spread: np.ndarray, rng, n: int = 100) -> np.ndarray:
    """Window totals whose variance over mean is the spread of each gain."""
    shape = 400 / spread[:, None]
    return rng.poisson(rng.gamma(shape, spread[:, None], (len(spread), n)))


@pytest.mark.parametrize(
    ("spread", "verdict"),
    [
        (1 + 9 * np.exp(-(np.linspace(-3, 3, len(GRID)) ** 2)), SUPPORTED),
        (np.full(len(GRID), 4.0), NOT_SUPPORTED),
        (np.linspace(2, 12, len(GRID)), NOT_SUPPORTED),
    ],
    ids=["peak", "flat", "rising"],
)
def test_planted_totals(spread, verdict):
    """A planted peak of chi is supported; a flat and a rising chi are not."""
    rng = np.random.default_rng(1)
    peak = chi_peak(GRID, totals_of(spread, rng), Resamples.draw(100, 400, rng))
    gstar = {"gstar": Decimal("1.0"), "identifiable": True, "gstar_reason": None}
    assert assess_susceptibility_peak(peak, **gstar).verdict == verdict


# ------------------------------------------------------------------------------------------- S3

RELATION = {
    "size_reason": "",
    "span_reason": "",
    "crackling_reason": "",
    "gamma": 1.6,
    "gamma_interval": (1.5, 1.7),
    "dcc_signed": 0.02,
    "dcc_interval": (-0.1, 0.15),
    "gamma_null": 1.2,
    "gamma_null_range": (1.18, 1.23),
    "gamma_null_tokens": 1.3,
    "gamma_null_tokens_range": (1.25, 1.35),
    "near_percolation": False,
    "few_windows": False,
}


def test_a_relation_beyond_the_null_is_supported():
    """Fits, gates, a narrow interval about zero and a gamma of its own: supported."""
    found = assess_crackling_relation(**RELATION)
    assert found.signature_id == SignatureId.S3_CRACKLING_RELATION
    assert found.verdict == SUPPORTED
    assert found.reason == (
        "gamma − gamma_pred = 0.020 [-0.100, 0.150] includes zero, and gamma = 1.600 "
        "[1.500, 1.700] excludes the 1.200 of permuted rows (draws [1.180, 1.230]) and the 1.300 "
        "of permuted tokens (draws [1.250, 1.350])"
    )
    assert found.numbers["gamma_null"] == 1.2
    assert found.numbers["dcc_signed_ci_high"] == 0.15


@pytest.mark.parametrize(
    ("changed", "verdict", "reason"),
    [
        (
            {"size_reason": "4 samples in the tail"},
            NOT_ASSESSABLE,
            "the tail fit of sizes is not ok (4 samples in the tail)",
        ),
        (
            {"span_reason": "too few decades"},
            NOT_ASSESSABLE,
            "the tail fit of spans is not ok (too few decades)",
        ),
        (
            {"crackling_reason": "3 spans hold 5 avalanches"},
            NOT_ASSESSABLE,
            "gamma did not pass its gates (3 spans hold 5 avalanches)",
        ),
        (
            {"dcc_interval": (0.001, 0.1)},
            NOT_SUPPORTED,
            "gamma − gamma_pred = 0.020 [0.001, 0.100] excludes zero",
        ),
        (
            {"dcc_interval": (-0.2, -0.01)},
            NOT_SUPPORTED,
            "gamma − gamma_pred = 0.020 [-0.200, -0.010] excludes zero",
        ),
        (
            {"dcc_interval": (-0.3, 0.3)},
            NOT_ASSESSABLE,
            (
                "gamma − gamma_pred = 0.020 [-0.300, 0.300] includes zero, but is 0.6 wide, where "
                "0.5 is allowed"
            ),
        ),
        (
            {"gamma_null": 1.55},
            NOT_SUPPORTED,
            "gamma = 1.600 [1.500, 1.700] includes the 1.550 of permuted rows (draws [1.180, ",
        ),
        (
            {"gamma_null_tokens": 1.55},
            NOT_SUPPORTED,
            "gamma = 1.600 [1.500, 1.700] includes the 1.550 of permuted tokens (draws [1.250, ",
        ),
        (
            {"gamma_null_range": (1.18, 1.61)},
            NOT_SUPPORTED,
            (
                "gamma = 1.600 [1.500, 1.700] excludes the 1.200 of permuted rows (draws [1.180, "
                "1.610]), but lies among their draws"
            ),
        ),
        (
            {"gamma_null_tokens_range": (1.25, 1.61)},
            NOT_SUPPORTED,
            (
                "gamma = 1.600 [1.500, 1.700] excludes the 1.300 of permuted tokens (draws [1.250, "
                "1.610]), but lies among their draws"
            ),
        ),
        (
            {"dcc_signed": NAN, "dcc_interval": UNDEFINED},
            NOT_ASSESSABLE,
            "gamma − gamma_pred, or its interval, is undefined",
        ),
        ({"dcc_interval": UNDEFINED}, NOT_ASSESSABLE, "gamma − gamma_pred, or its interval, is u"),
        ({"gamma_interval": UNDEFINED}, NOT_ASSESSABLE, "gamma, or its interval, is undefined"),
        (
            {"gamma_null": NAN, "gamma_null_range": UNDEFINED},
            NOT_ASSESSABLE,
            "gamma of permuted rows is undefined",
        ),
        (
            {"gamma_null_tokens": NAN, "gamma_null_tokens_range": UNDEFINED},
            NOT_ASSESSABLE,
            "gamma of permuted tokens is undefined",
        ),
    ],
)
def test_each_part_of_s3_alone_undoes_it(changed, verdict, reason):
    """One part that does not hold, or is undefined, decides the verdict and is the whole reason."""
    found = assess_crackling_relation(**{**RELATION, **changed})
    assert found.verdict == verdict
    assert found.reason.startswith(reason)
    assert "; " not in found.reason


def test_a_wide_interval_that_excludes_zero_is_a_failure():
    """Width matters only where zero is inside: what excludes zero is decided."""
    found = assess_crackling_relation(**{**RELATION, "dcc_interval": (0.1, 2.0)})
    assert found.verdict == NOT_SUPPORTED
    widest = {**RELATION, "dcc_interval": (-0.25, 0.25)}  # control: just allowed
    assert assess_crackling_relation(**widest).verdict == SUPPORTED


@pytest.mark.parametrize("gamma_null", [1.49, 1.71])
def test_a_gamma_on_either_side_of_the_null_is_another(gamma_null):
    """What the interval of gamma excludes it excludes, above as below."""
    relation = {**RELATION, "gamma_null": gamma_null}
    assert assess_crackling_relation(**relation).verdict == SUPPORTED


def test_the_percolation_threshold_is_mentioned_and_not_judged():
    """Near p_c the reason says so, and the verdict stays."""
    near = assess_crackling_relation(**{**RELATION, "near_percolation": True})
    assert near.verdict == SUPPORTED
    assert "near the percolation threshold, where tails are broad" in near.reason
    assert "percolation" not in assess_crackling_relation(**RELATION).reason


def test_tail_fits_alone_support_nothing():
    """Both fits ok and everything else undefined is not assessable, with each part named."""
    nothing = dict.fromkeys(("gamma", "dcc_signed", "gamma_null", "gamma_null_tokens"), NAN)
    ends = dict.fromkeys(("gamma_interval", "dcc_interval", "gamma_null_range"), UNDEFINED)
    found = assess_crackling_relation(**{**RELATION, **nothing, **ends})
    assert found.verdict == NOT_ASSESSABLE
    assert found.reason.count("undefined") == 4


def test_every_failing_part_of_s3_is_named():
    """Two parts that fail are both in the reason, beside what cannot be judged."""
    failing = {"dcc_interval": (0.3, 0.4), "gamma_null": 1.6}
    found = assess_crackling_relation(**{**RELATION, **failing})
    assert found.verdict == NOT_SUPPORTED
    assert len(found.reason.split("; ")) == 2
    found = assess_crackling_relation(**{**RELATION, **failing, "size_reason": "one value"})
    assert found.verdict == NOT_ASSESSABLE
    assert [part.split()[0] for part in found.reason.split("; ")] == ["the", "gamma", "gamma"]


def test_few_windows_are_mentioned():
    """Each verdict whose intervals rest on few windows says so, whatever it is."""
    few = dataclasses.replace(FOUND, few_windows=True)
    verdicts = [
        assess_branching_crossing(**{**CROSSING, "few_windows": True}),
        assess_branching_crossing(**{**CROSSING, "few_windows": True, "bracketed": False}),
        assess_susceptibility_peak(few, **NEAR),
        assess_crackling_relation(**{**RELATION, "few_windows": True}),
    ]
    assert [verdict.verdict == SUPPORTED for verdict in verdicts] == [True, False, True, True]
    assert all(FEW in verdict.reason for verdict in verdicts)
    many = assess_branching_crossing(**CROSSING), assess_susceptibility_peak(FOUND, **NEAR)
    assert not any(FEW in verdict.reason for verdict in many)


# ----------------------------------------------------------------------- planted cases, controls

PLANTED = PlantedGain(n_layers=20, n_tokens=96, b_time=0.3, b_depth=0.5, rate=0.2)
WINDOWS = 48


def chosen(grid: np.ndarray, rng):
    """g* of counts at every gain, and how well it is determined."""
    windows = np.moveaxis(edge_sums(grid).windows, 1, 0)
    replicates = Resamples.draw(grid.shape[1], 300, rng).sums(windows)
    b_tot = branching_from_sums(windows.sum(axis=0)).b_tot
    return select_gstar(GRID, b_tot, branching_from_sums(replicates).b_tot)


def crossing_verdict(draw, rng) -> tuple[Verdict, float]:
    """S1 of a family of rasters, with g* on some windows and depth on others; and the crossing."""
    gstar = chosen(np.stack([draw(float(gain)) for gain in GRID]), rng)
    null = branching_null_exact(draw(float(gstar.gstar)))
    verdict = assess_branching_crossing(
        gstar=gstar.gstar,
        bracketed=gstar.bracketed,
        identifiable=gstar.identifiable,
        gstar_reason=gstar.reason,
        crossing=gstar.crossing,
        delta_b_depth_shift=null.delta_b_depth_shift,
        p_adj=null.p_depth_shift_exact,
        few_windows=False,
    )
    return verdict, gstar.crossing


def test_the_planted_case_is_supported_at_its_crossing():
    """A branching process whose b_tot passes one at a known gain supports S1, near that gain."""
    rng = np.random.default_rng(2)
    verdict, crossing = crossing_verdict(lambda gain: PLANTED.draw(WINDOWS, gain, rng), rng)
    assert verdict.verdict == SUPPORTED
    assert crossing == pytest.approx(PLANTED.crossing(0.7, 1.3), abs=0.03)


def test_a_single_window_supports_no_crossing():
    """One window of the planted process crosses one too, and determines nothing."""
    rng = np.random.default_rng(2)
    verdict, crossing = crossing_verdict(lambda gain: PLANTED.draw(1, gain, rng), rng)
    assert math.isfinite(crossing)
    assert verdict.numbers["bracketed"] == 1
    assert verdict.verdict == NOT_SUPPORTED
    assert "one window cannot be resampled" in verdict.reason


def test_the_same_rasters_shuffled_are_not_supported():
    """Control: permuted rows of the planted rasters have neither a crossing nor depth."""
    rng = np.random.default_rng(2)
    verdict, _ = crossing_verdict(
        lambda gain: permutation_null(PLANTED.draw(WINDOWS, gain, rng), rng), rng
    )
    assert verdict.verdict == NOT_SUPPORTED
    assert "does not change sign" in verdict.reason


def test_the_same_process_at_one_gain_is_not_supported():
    """Control: where the gain changes nothing, b_tot near one is no crossing, despite its depth."""
    rng = np.random.default_rng(2)
    level = PLANTED.crossing(0.7, 1.3)
    verdict, _ = crossing_verdict(lambda _: PLANTED.draw(WINDOWS, level, rng), rng)
    assert verdict.verdict == NOT_SUPPORTED
    assert verdict.numbers["delta_b_depth_shift"] > 0.2
    assert "delta_b_depth_shift" not in verdict.reason


def test_independent_sites_at_one_half_are_not_supported():
    """b_tot is near one at every gain of independent sites with p = 0.5, and means nothing."""
    rng = np.random.default_rng(3)
    verdict, _ = crossing_verdict(lambda _: independent_sites((WINDOWS, 20, 96), 0.5, rng), rng)
    assert verdict.verdict == NOT_SUPPORTED


@pytest.mark.parametrize("p", [0.3, 0.5, "p_c"])
def test_independent_sites_support_neither_s2_nor_s3(p):
    """Independent sites have no peak of chi, and no relation that their permuted rows lack.

    At p_c both tails are broad and gamma passes its gates, so that the relation can be judged.
    """
    rng = np.random.default_rng(4)
    occupancy = next(iter(PERCOLATION_THRESHOLD.values())) if p == "p_c" else p
    grid = independent_sites((len(GRID), WINDOWS, 20, 96), occupancy, rng)
    resamples = Resamples.draw(WINDOWS, 300, rng)
    peak = chi_peak(GRID, grid.sum(axis=(2, 3), dtype=np.int64), resamples)
    options = {"gstar": Decimal("1.0"), "identifiable": True, "gstar_reason": None}
    assert assess_susceptibility_peak(peak, **options).verdict == NOT_SUPPORTED
    verdict = relation_of(grid[0], resamples, rng)
    assert verdict.verdict != SUPPORTED
    if p == "p_c":
        assert verdict.verdict == NOT_SUPPORTED
        assert "of permuted rows" in verdict.reason
        assert "near the percolation threshold" in verdict.reason


def relation_of(A: np.ndarray, resamples: Resamples, rng) -> Verdict:
    """S3 of one condition, beside permuted rasters."""
    fitted = fit_avalanches(A, describe_avalanches(A, resamples), resamples)
    null = null_avalanches(permutation_null(A, rng) for _ in range(5))
    tokens = null_avalanches(token_column_null(A, rng) for _ in range(5))
    gamma, relation = fitted.crackling, fitted.relation
    return assess_crackling_relation(
        size_reason=fitted.size_tail.fit.reason,
        span_reason=fitted.span_tail.fit.reason,
        crackling_reason=gamma.reason,
        gamma=gamma.gamma,
        gamma_interval=(float(gamma.interval.low), float(gamma.interval.high)),
        dcc_signed=relation.dcc_signed,
        dcc_interval=(float(relation.interval.low), float(relation.interval.high)),
        gamma_null=null.gamma.mean,
        gamma_null_range=null.gamma.range,
        gamma_null_tokens=tokens.gamma.mean,
        gamma_null_tokens_range=tokens.gamma.range,
        near_percolation=percolation_context(A).near,
        few_windows=gamma.few_windows,
    )


def test_loud_tokens_without_order_do_not_pass_for_crackling():
    """Tokens that are loud in all layers, in random order, raise gamma over permuted rows alone.

    Control: permuting rows parts the layers and finds the excess; permuting whole tokens, under
    which such a raster is exchangeable, does not.
    """
    rng = np.random.default_rng(11)
    loudness = rng.gamma(0.5, 1.6, (60, 1, 128))  # shared by the layers of a token
    A = rng.poisson(np.broadcast_to(loudness, (60, 20, 128))).astype(np.uint16)
    verdict = relation_of(A, Resamples.draw(60, 300, rng), rng)
    low, high = (verdict.numbers[f"gamma_ci_{end}"] for end in ("low", "high"))
    assert not low <= verdict.numbers["gamma_null"] <= high
    assert low <= verdict.numbers["gamma_null_tokens"] <= high
    assert verdict.verdict != SUPPORTED
    assert "of permuted tokens" in verdict.reason


def test_a_silent_condition_is_not_assessable():
    """Without avalanches every part of S3 is missing, and nothing breaks."""
    rng = np.random.default_rng(5)
    silent = np.zeros((10, 5, 20), np.uint16)
    verdict = relation_of(silent, Resamples.draw(10, 50, rng), rng)
    assert verdict.verdict == NOT_ASSESSABLE
    assert len(verdict.reason.split("; ")) >= 5
