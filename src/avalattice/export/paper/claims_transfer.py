"""Claims about what was not used to choose g*: Dataset B, questions, and the other model."""

from __future__ import annotations

from typing import Final

from avalattice.canon import GCondition, ModelRole, Scoring
from avalattice.export.paper.claims import CURVES, DISTINCT_GSTAR, Claim
from avalattice.export.paper.claims_branching import RATE_TOLERANCE
from avalattice.export.paper.comparisons import (
    Above,
    Below,
    Equals,
    Every,
    IntervalAbove,
    IntervalExcludes,
    Within,
)
from avalattice.export.paper.conditions import EVERY, G1, CurveRows
from avalattice.export.paper.sources import CHOICES, GENERALIZATION, REPLICATION, TRANSFER
from avalattice.stats.signatures import SIGNIFICANCE

_DIFFERENCE_REASON: Final = "diff_reason"
_ACCURACY: Final = (
    "{accuracy} (interval from {accuracy_ci_low} to {accuracy_ci_high}), chance {chance}, on "
    "{n_questions} questions."
)


def transfer_claims(curves: CurveRows) -> tuple[Claim, ...]:
    """Dataset B, multiple choice, replication."""
    return (
        *_dataset_b(curves),
        *(claim for scoring in Scoring for claim in _choices(scoring, curves)),
        *_REPLICATION,
    )


def _dataset_b(curves: CurveRows) -> tuple[Claim, ...]:
    return (
        *_same_on_b(curves),
        Claim(
            "b_transfer",
            TRANSFER,
            EVERY,
            Every(
                (
                    Below("distance_gstar", "distance_g1"),
                    IntervalExcludes("b_tot_diff_ci_low", "b_tot_diff_ci_high"),
                    IntervalExcludes("midpoint_low", "midpoint_high", 1.0),
                )
            ),
            "The choice of g* transfers to Dataset B in the sense that b_tot is nearer one at g* "
            "than at g = 1, beyond what its intervals leave open, on {all}: its distance from one "
            "is {distance_gstar} at g*, {distance_g1} at g = 1.",
            "That the choice of g* transfers to Dataset B, in the sense that b_tot is nearer one "
            "at g* than at g = 1, is shown on {held}: {over} its distance from one is "
            "{distance_gstar} at g*, {distance_g1} at g = 1. It is no nearer, or its intervals "
            "leave open which is nearer, on {failed}.",
            "Whether the choice of g* transfers to Dataset B cannot be assessed{open}: {reasons}.",
            noun=CURVES,
            reason_column="reason",
            empty=curves.unmoved,
        ),
        Claim(
            "b_difference",
            GENERALIZATION,
            curves.gstar_condition,
            IntervalExcludes("b_tot_diff_ci_low", "b_tot_diff_ci_high"),
            "On Dataset B b_tot differs between g* and g = 1 on {all}: by {b_tot_diff}, paired.",
            "On Dataset B a difference of b_tot between g* and g = 1 is shown on {held}: it is "
            "{b_tot_diff} {over}, paired, and its interval includes zero on {failed}.",
            "Whether b_tot differs between g* and g = 1 on Dataset B cannot be assessed{open}: "
            "{reasons}.",
            noun=CURVES,
            reason_column=_DIFFERENCE_REASON,
            empty=curves.unmoved,
        ),
        Claim(
            "b_perplexity",
            GENERALIZATION,
            curves.distinct_gstar,
            IntervalAbove("ppl_diff_ci_low"),
            "Moving to g* costs perplexity on Dataset B at {all}: it changes by {ppl_diff}, and is "
            "{ppl} there.",
            "That moving to g* costs perplexity on Dataset B is shown at {held}: {over} it changes "
            "by {ppl_diff}, and is {ppl} there; the interval of the change does not lie above zero "
            "at {failed}.",
            "What moving to g* does to the perplexity on Dataset B cannot be assessed{open}: "
            "{reasons}.",
            noun=DISTINCT_GSTAR,
            reason_column=_DIFFERENCE_REASON,
            empty=curves.unmoved,
        ),
    )


def _same_on_b(curves: CurveRows) -> tuple[Claim, Claim]:
    both = (*G1, *curves.gstar_condition)
    return (
        Claim(
            "b_rates",
            GENERALIZATION,
            both,
            Within("achieved_rate_mean", "target_rate", RATE_TOLERANCE),
            "With the thresholds of Dataset A, the mean rate on Dataset B stays within 10 % of its "
            "target on {all}: it is {measure} times the target.",
            "With the thresholds of Dataset A, the mean rate on Dataset B is more than 10 % off "
            "its target on {failed}: there it is {measure:failed} times the target, so that "
            "branching is branching at another rate.",
            "Whether rates carry over to Dataset B cannot be assessed{open}: {reasons}.",
            reason_column="reason",
        ),
        Claim(
            "b_depth",
            GENERALIZATION,
            both,
            IntervalAbove("delta_b_depth_shift_ci_low"),
            "On Dataset B b_depth exceeds its expectation under the circular shift on {all}: "
            "delta_b_depth_shift is {delta_b_depth_shift}, and every interval lies above zero.",
            "On Dataset B a surplus of b_depth over the circular shift is shown on {held}: "
            "delta_b_depth_shift is {delta_b_depth_shift} {over}, and its interval does not lie "
            "above zero on {failed}.",
            "On Dataset B the surplus of b_depth over the circular shift cannot be assessed{open}: "
            "{reasons}.",
            reason_column="reason",
        ),
    )


def _choices(scoring: Scoring, curves: CurveRows) -> tuple[Claim, Claim]:
    asked = {"scoring": scoring.value}
    none = f"no question was scored by {scoring.value}"
    return (
        Claim(
            f"choices_{scoring.value}_chance",
            CHOICES,
            ({**asked, "g_condition": GCondition.G1.value, **curves.first},),
            IntervalAbove("accuracy_ci_low", "chance"),
            f"Under {scoring.value} scoring the model answers better than chance at g = 1: its "
            f"accuracy is {_ACCURACY}",
            f"Under {scoring.value} scoring the model is not shown to answer better than chance at "
            f"g = 1: its accuracy is {_ACCURACY}",
            f"Under {scoring.value} scoring the accuracy at g = 1 cannot be assessed{{open}}: "
            "{reasons}.",
            reason_column="reason",
            empty=none,
        ),
        Claim(
            f"choices_{scoring.value}_change",
            CHOICES,
            tuple({**asked, **row} for row in curves.distinct_gstar),
            Below("p_adj", SIGNIFICANCE),
            f"Under {scoring.value} scoring the accuracy differs between g* and g = 1 at {{all}}: "
            "by {accuracy_diff} (McNemar, adjusted p {p_adj}).",
            f"Under {scoring.value} scoring a difference of accuracy between g* and g = 1 is shown "
            "at {held}: {over} it is {accuracy_diff} (McNemar, adjusted p {p_adj}).",
            f"Whether the accuracy under {scoring.value} scoring differs between g* and g = 1 "
            "cannot be assessed{open}: {reasons}.",
            noun=DISTINCT_GSTAR,
            reason_column=_DIFFERENCE_REASON,
            empty=none if curves.moved else curves.unmoved,
        ),
    )


def _both(column: str) -> tuple[str, str]:
    base, instruct = (f"{column}_{role.lower()}" for role in ModelRole)
    return base, instruct


_REPLICATION: Final = (
    Claim(
        "replication_family",
        REPLICATION,
        EVERY,
        Equals("same_family", True),
        "The two models are of one architecture family, as a base model and its tuned form must "
        "be.",
        "The two models are not of one architecture family: what differs between them is not what "
        "instruction tuning did.",
        "Whether the two models are of one architecture family cannot be assessed{open}: "
        "{reasons}.",
        noun=CURVES,
    ),
    Claim(
        "replication_depth",
        REPLICATION,
        EVERY,
        Every(tuple(Above(name) for name in _both("delta_b_depth_shift"))),
        "In both models delta_b_depth_shift at g* is positive on {all}: "
        "{delta_b_depth_shift_base} (BASE) and {delta_b_depth_shift_instruct} (INSTRUCT), as point "
        "estimates.",
        "On {failed} delta_b_depth_shift at g* is not positive in both models: {over} it is "
        "{delta_b_depth_shift_base} (BASE) and {delta_b_depth_shift_instruct} (INSTRUCT), as point "
        "estimates.",
        "Whether the surplus of b_depth is found in both models cannot be assessed{open}: "
        "{reasons}.",
        noun=CURVES,
        reason_column="reason",
    ),
    Claim(
        "replication_gstar",
        REPLICATION,
        EVERY,
        Every(tuple(Equals(name, True) for name in _both("identifiable"))),
        "On the calibration windows of each, g* is identifiable in both models on {all}: "
        "{gstar_base} (BASE) and {gstar_instruct} (INSTRUCT).",
        "On the calibration windows of each, g* is identifiable in both models on {held}. "
        "Elsewhere its values, {gstar_base:failed} (BASE) and {gstar_instruct:failed} (INSTRUCT), "
        "are not to be compared.",
        "Whether g* is identifiable in both models on the calibration windows of each cannot be "
        "assessed{open}: {reasons}.",
        noun=CURVES,
        reason_column="reason",
    ),
)
