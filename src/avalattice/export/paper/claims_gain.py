"""Claims about the gain: what it does to b_tot, whether g* is determined, and the signatures."""

from __future__ import annotations

from typing import Final

from avalattice.canon import SignatureId
from avalattice.export.paper.claims import CURVES, Claim, Noun
from avalattice.export.paper.comparisons import (
    Equals,
    IntervalAbove,
    IntervalExcludes,
    TimesAbove,
    VerdictIs,
)
from avalattice.export.paper.conditions import EVERY, HELD_OUT
from avalattice.export.paper.sources import GSTAR, SIGNATURES, SPREADS, SUMMARY

DOMINANCE: Final = 5.0
"""How many times the effect of the gain that of the rate must be: a convention of this text."""
_SIGNATURES: Final = {
    SignatureId.S1_BRANCHING_CROSSING: "on the calibration windows b_tot crosses one at an "
    "identifiable g*, and on the held-out ones b_depth there is more than the shift leaves",
    SignatureId.S2_SUSCEPTIBILITY_PEAK: "on the calibration windows chi peaks inside the grid, "
    "above both of its ends, near an identifiable g*",
    SignatureId.S3_CRACKLING_RELATION: "sizes and spans scale as their tails predict, and not as "
    "rasters of either null do",
}


def gain_claims() -> tuple[Claim, ...]:
    """The slope of b_tot, rate against gain, identifiability, chi, and S1 to S3."""
    return (
        *_GAIN,
        *(_signature(signature, words) for signature, words in _SIGNATURES.items()),
    )


_GAIN: Final = (
    Claim(
        "gain_slope",
        GSTAR,
        EVERY,
        IntervalExcludes("slope_ci_low", "slope_ci_high"),
        "On the calibration windows the gain moves b_tot on {all}: the slope of b_tot on g is "
        "{slope}, and every interval excludes zero.",
        "On the calibration windows a slope of b_tot on g is shown on {held}: it is {slope} "
        "{over}, and its interval includes zero on {failed}.",
        "The slope of b_tot on g on the calibration windows cannot be assessed{open}: {reasons}.",
        noun=CURVES,
        reason_column="slope_reason",
    ),
    Claim(
        "rate_against_gain",
        SPREADS,
        EVERY,
        TimesAbove("rate_spread", DOMINANCE, "gain_spread"),
        "On the calibration windows the rate sets b_tot and the gain hardly moves it: over the "
        "targets, b_tot spans at least {rate_spread:min} at a fixed gain; over the gains, at most "
        "{gain_spread:max} at a fixed target.",
        "On the calibration windows it does not hold for {failed} that the rate sets b_tot and the "
        "gain hardly moves it (one effect would have to be five times the other): over the "
        "targets, b_tot spans {rate_spread:failed} at the gain where it spans least; over the "
        "gains, {gain_spread:failed} at the target where it spans most.",
        "Whether the rate or the gain sets b_tot on the calibration windows cannot be "
        "assessed{open}: {reasons}.",
        noun=Noun("spike definition", "spike definitions"),
        reason_column="reason",
    ),
    Claim(
        "gstar_identifiable",
        GSTAR,
        EVERY,
        Equals("identifiable", True),
        "On the calibration windows g* is identifiable on {all}: it is {gstar}, and the "
        "interpolated crossing {crossing}.",
        "On the calibration windows g* is identifiable on {held}. Where it is not: {why}. A g* "
        "that is not identifiable is no more than the gain of the grid whose b_tot is nearest one.",
        "Whether g* is identifiable on the calibration windows cannot be assessed{open}: "
        "{reasons}.",
        noun=CURVES,
        reason_column="reason",
    ),
    Claim(
        "chi_above_poisson",
        SUMMARY,
        HELD_OUT,
        IntervalAbove("opt_chi_ci_low", 1.0),
        "Window totals vary more than independent Poisson counts would, on {all}: chi is {chi}, "
        "and every interval lies above one.",
        "That window totals vary more than independent Poisson counts would is shown on {held}: "
        "chi is {chi} {over}, and its interval does not lie above one on {failed}.",
        "Whether window totals vary more than independent Poisson counts would cannot be "
        "assessed{open}: {reasons}.",
        reason_column="chi_reason",
    ),
)


def _signature(signature: SignatureId, words: str) -> Claim:
    name = signature.name.partition("_")[0]
    return Claim(
        f"signature_{name.lower()}",
        SIGNATURES,
        ({"signature_id": signature.value},),
        VerdictIs("verdict"),
        f"{name} ({words}) is supported on {{all}}.",
        f"{name} ({words}) is supported on {{held}}.",
        f"{name} ({words}) cannot be assessed{{open}}: {{reasons}}.",
        noun=CURVES,
        reason_column="reason",
    )
