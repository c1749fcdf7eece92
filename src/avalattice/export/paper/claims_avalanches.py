"""Claims about avalanches: percolation, tails, scaling, and what interventions change."""

from __future__ import annotations

from typing import Final

from avalattice.canon import CONST, AdjacencyId
from avalattice.export.paper.claims import Claim, Gate, Noun
from avalattice.export.paper.comparisons import (
    Above,
    Equals,
    Every,
    IntervalAbove,
    IntervalExcludes,
    IntervalIncludes,
    Outside,
    Within,
)
from avalattice.export.paper.conditions import EVERY, CurveRows
from avalattice.export.paper.sources import (
    ABLATED,
    ABLATIONS,
    CRACKLING,
    PERCOLATION,
    RELATION,
    TAILS,
)
from avalattice.stats.tail_laws import Family
from avalattice.stats.tails import STATUS_OK

ABLATION_TOLERANCE: Final = 0.1
"""What is called a small change of b_tot: a convention of this text, stated in it."""
PLAUSIBLE: Final = 0.1
"""p of a fit above which it is not rejected (Clauset, Shalizi and Newman 2009, section 4)."""
_FITS: Final = Noun("fit", "fits")
_CASES: Final = Noun("case", "cases")
_FITTED: Final = Gate("status", STATUS_OK)
_PASSED: Final = Gate("pass", True)


def avalanche_claims(curves: CurveRows) -> tuple[Claim, ...]:
    """Percolation, tail fits, the size–duration relation, ablations."""
    return (_PERCOLATION, *_TAILS, *_SCALING, *_ablations(curves))


def _stands_apart(null: str) -> Every:
    """gamma's interval excludes a null's mean, and gamma lies outside the null's draws."""
    return Every(
        (
            IntervalExcludes("crackling_ci_low", "crackling_ci_high", null),
            Outside("crackling_gamma", f"{null}_low", f"{null}_high"),
        )
    )


_PERCOLATION: Final = Claim(
    "percolation_away",
    PERCOLATION,
    EVERY,
    Equals("near", False),
    "The occupancy is away from the percolation threshold of independent sites on {all}: it is "
    "{occupancy}, the threshold {threshold}.",
    "On {failed} the occupancy is so near the percolation threshold of independent sites "
    "({threshold}) that a lattice of this size cannot tell them apart, and independent sites would "
    "make broad distributions there too; {over} it is {occupancy}.",
    "Where the occupancy lies beside the percolation threshold cannot be assessed{open}: "
    "{reasons}.",
)
_TAILS: Final = (
    Claim(
        "tails_assessable",
        TAILS,
        EVERY,
        Equals("status", STATUS_OK),
        "The tails of avalanche sizes and token spans can be assessed in {all}.",
        "The tails of avalanche sizes and token spans can be assessed in {held}. Elsewhere: {why}.",
        "Whether tails can be assessed is not known{open}: {reasons}.",
        noun=_FITS,
        reason_column="reason",
    ),
    Claim(
        "tails_power_law",
        TAILS,
        EVERY,
        Equals("best_family", Family.POWERLAW.value),
        "Of four families, the power law has the smallest Bayesian criterion in {all}.",
        "Of four families, the power law has the smallest Bayesian criterion in {held}; the best "
        "families, {over}, are {best_family}.",
        "Which family describes the tails best cannot be assessed{open}: {reasons}.",
        noun=_FITS,
        gates=(_FITTED,),
        reason_column="reason",
    ),
    Claim(
        "tails_plausible",
        TAILS,
        EVERY,
        Above("ks_p", PLAUSIBLE),
        "The Kolmogorov–Smirnov distance, with p {ks_p} for independent avalanches, does not "
        "reject the power law in {all}.",
        "The Kolmogorov–Smirnov distance, with p {ks_p:failed} for independent avalanches, rejects "
        "the power law in {failed}.",
        "Whether the Kolmogorov–Smirnov distance rejects the power law cannot be assessed{open}: "
        "{reasons}.",
        noun=_FITS,
        gates=(_FITTED,),
        reason_column="reason",
    ),
    Claim(
        "tails_against_null",
        TAILS,
        EVERY,
        IntervalExcludes("alpha_ci_low", "alpha_ci_high", "alpha_null_perm"),
        "The tail exponent differs from that of permuted rasters in {all}: alpha is "
        "{alpha_powerlaw}, that of permuted rasters {alpha_null_perm}.",
        "A tail exponent that differs from that of permuted rasters is shown in {held}: {over} "
        "alpha is {alpha_powerlaw}, that of permuted rasters {alpha_null_perm}.",
        "Whether tails differ from those of permuted rasters cannot be assessed{open}: {reasons}.",
        noun=_FITS,
        gates=(_FITTED,),
        reason_column="reason",
        further_reason="parameters_reason",
    ),
)
_SCALING: Final = (
    Claim(
        "crackling_gates",
        CRACKLING,
        EVERY,
        Equals("pass", True),
        "The size–duration exponent gamma passes its gates on {all}: it is {crackling_gamma}.",
        "The size–duration exponent gamma passes its gates on {held}. Elsewhere: {why}.",
        "Whether gamma passes its gates is not known{open}: {reasons}.",
        reason_column="reason",
    ),
    Claim(
        "crackling_relation",
        RELATION,
        EVERY,
        IntervalIncludes(
            "dcc_signed_ci_low", "dcc_signed_ci_high", 0.0, CONST.BOOTSTRAP_CI_WIDTH_MAX
        ),
        "gamma agrees with (alpha_D − 1)/(alpha_S − 1) within its interval on {all}: the "
        "difference is {dcc_signed}.",
        "gamma does not agree with (alpha_D − 1)/(alpha_S − 1) on {failed}, where the interval of "
        "their difference excludes zero: there the difference is {dcc_signed:failed}.",
        "Whether gamma agrees with (alpha_D − 1)/(alpha_S − 1) cannot be assessed{open}: "
        "{reasons}.",
        gates=(_PASSED, Gate("tails_ok", True)),
        reason_column="reason",
    ),
    Claim(
        "crackling_against_null",
        CRACKLING,
        EVERY,
        _stands_apart("gamma_null_perm"),
        "gamma differs from that of permuted rasters on {all}: it is {crackling_gamma}, theirs "
        "{gamma_null_perm}.",
        "A gamma that differs from that of permuted rasters is shown on {held}: {over} it is "
        "{crackling_gamma}, theirs {gamma_null_perm}.",
        "Whether gamma differs from that of permuted rasters cannot be assessed{open}: {reasons}.",
        gates=(_PASSED,),
        reason_column="reason",
    ),
    Claim(
        "crackling_against_tokens",
        CRACKLING,
        EVERY,
        _stands_apart("gamma_null_tokens"),
        "gamma differs from that of rasters whose tokens are permuted whole, with all their "
        "layers, on {all}: it is {crackling_gamma}, theirs {gamma_null_tokens}.",
        "A gamma that differs from that of rasters whose tokens are permuted whole, with all their "
        "layers, is shown on {held}: {over} it is {crackling_gamma}, theirs {gamma_null_tokens}. "
        "Elsewhere tokens that are loud in many layers can account for it.",
        "Whether gamma differs from that of rasters whose tokens are permuted whole cannot be "
        "assessed{open}: {reasons}.",
        gates=(_PASSED,),
        reason_column="reason",
    ),
)


def _ablations(curves: CurveRows) -> tuple[Claim, Claim]:
    return (
        Claim(
            "ablations_depth",
            ABLATIONS,
            tuple(
                # a branching ratio has no adjacency: the rows of either tell the same
                {**row, "adjacency_id": AdjacencyId.ADJ_4N.value}
                for row in curves.gstar_condition
            ),
            IntervalAbove("delta_b_depth_shift_ci_low"),
            "Under every intervention at g*, on the calibration windows, the surplus of b_depth "
            "over the circular shift remains, in {all}: delta_b_depth_shift is "
            "{delta_b_depth_shift}.",
            "Under interventions at g*, on the calibration windows, the surplus of b_depth over "
            "the circular shift is shown in {held}: delta_b_depth_shift is {delta_b_depth_shift} "
            "{over}, and its interval does not lie above zero in {failed}.",
            "What interventions at g* leave of the surplus of b_depth on the calibration windows "
            "cannot be assessed{open}: {reasons}.",
            noun=_CASES,
            reason_column="reason",
            empty=curves.unmoved,
        ),
        Claim(
            "ablations_b_tot",
            ABLATED,
            curves.moved,
            Within("b_tot", "b_tot_g1", ABLATION_TOLERANCE),
            "On the calibration windows no intervention at g* moves b_tot by more than 10 % of its "
            "value at g = 1, in {all}: it is {measure} times that value.",
            "On the calibration windows interventions at g* move b_tot by more than 10 % of its "
            "value at g = 1 in {failed}: {over} it is {measure} times that value.",
            "How far interventions at g* move b_tot on the calibration windows cannot be "
            "assessed{open}: {reasons}.",
            noun=_CASES,
            reason_column="reason",
            empty=curves.unmoved,
        ),
    )
