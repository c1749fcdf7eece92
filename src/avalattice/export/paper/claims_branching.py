"""Claims about rates, and about branching beside its nulls."""

from __future__ import annotations

from typing import Final

from avalattice.export.paper.claims import Claim
from avalattice.export.paper.comparisons import (
    Above,
    Below,
    Equals,
    Every,
    IntervalAbove,
    Within,
)
from avalattice.export.paper.conditions import (
    GRID,
    HELD_OUT,
    HELD_OUT_AT_1,
    CurveRows,
    Where,
)
from avalattice.export.paper.sources import NULLS, SUMMARY
from avalattice.stats.signatures import SIGNIFICANCE

RATE_TOLERANCE: Final = 0.1
"""What is called close to a target: a convention of this text, stated in it."""


def branching_claims(curves: CurveRows) -> tuple[Claim, ...]:
    """Rate matching; surpluses over permutation, shift, exchange of tokens, and shuffled input."""
    return (
        *_RATES,
        _along_tokens("branching_time_g1", "At g = 1", HELD_OUT_AT_1, curves),
        _along_tokens("branching_time_gstar", "At g*", curves.held_out_at_gstar, curves),
        _TIME_TESTED,
        _along_layers("branching_depth_g1", "At g = 1", HELD_OUT_AT_1, curves),
        _along_layers("branching_depth_gstar", "At g*", curves.held_out_at_gstar, curves),
        _DEPTH_TESTED,
        *_TOKENS,
        _order("order_time", "delta_excess_time", "along tokens"),
        _order("order_depth", "delta_excess_depth", "along layers"),
    )


_RATES: Final = (
    Claim(
        "rates_in_sample",
        SUMMARY,
        GRID,
        Equals("achieved_rate_max_event_err", 0.0),
        "On the calibration windows every layer holds exactly its target number of events, on "
        "{all} of the gain grid.",
        "On the calibration windows some layer misses its target number of events on {failed}, by "
        "at most {achieved_rate_max_event_err:max}: strict comparison leaves out values that tie "
        "at the threshold.",
        "Whether rates are matched on the calibration windows cannot be assessed{open}: {reasons}.",
    ),
    Claim(
        "rates_held_out",
        SUMMARY,
        HELD_OUT,
        Within("achieved_rate_mean", "target_rate", RATE_TOLERANCE),
        "On held-out windows the mean rate stays within 10 % of its target on {all}: it is "
        "{measure} times the target, and the worst layer is off by "
        "{achieved_rate_max_abs_err:max} events per unit and token.",
        "On held-out windows the mean rate is more than 10 % off its target on {failed}: {over} it "
        "is {measure} times the target, and the worst layer is off by "
        "{achieved_rate_max_abs_err:max} events per unit and token.",
        "How well rates carry over to held-out windows cannot be assessed{open}: {reasons}.",
    ),
)


def _along_tokens(claim_id: str, at: str, where: Where, curves: CurveRows) -> Claim:
    return Claim(
        claim_id,
        SUMMARY,
        where,
        IntervalAbove("opt_delta_b_time_ci_low"),
        f"{at}, b_time exceeds its expectation under permutation on {{all}}: delta_b_time is "
        "{delta_b_time}, and every interval lies above zero.",
        f"{at}, a surplus of b_time over permutation is shown on {{held}}: delta_b_time is "
        "{delta_b_time} {over}, and its interval does not lie above zero on {failed}.",
        f"{at}, the surplus of b_time over permutation cannot be assessed{{open}}: {{reasons}}.",
        reason_column="null_reason",
        empty=curves.unmoved,
    )


def _along_layers(claim_id: str, at: str, where: Where, curves: CurveRows) -> Claim:
    return Claim(
        claim_id,
        SUMMARY,
        where,
        IntervalAbove("opt_delta_b_depth_shift_ci_low"),
        f"{at}, b_depth exceeds its expectation under the circular shift on {{all}}: "
        "delta_b_depth_shift is {delta_b_depth_shift}, and every interval lies above zero.",
        f"{at}, a surplus of b_depth over the circular shift is shown on {{held}}: "
        "delta_b_depth_shift is {delta_b_depth_shift} {over}, and its interval does not lie above "
        "zero on {failed}.",
        f"{at}, the surplus of b_depth over the circular shift cannot be assessed{{open}}: "
        "{reasons}.",
        reason_column="null_reason",
        empty=curves.unmoved,
    )


_TIME_TESTED: Final = Claim(
    "branching_time_tested",
    SUMMARY,
    HELD_OUT,
    Every(
        (
            Above("delta_b_time"),
            Below("delta_b_time_p_adj", SIGNIFICANCE),
            Below("delta_b_time_p_tokens", SIGNIFICANCE),
        )
    ),
    "Tested against permutation of rows, with p-values adjusted over the whole table, and against "
    "permutation of whole tokens, b_time is too large for chance on {all} (adjusted p "
    "{delta_b_time_p_adj}, p of whole tokens {delta_b_time_p_tokens}).",
    "Tested against permutation of rows, with p-values adjusted over the whole table, and against "
    "permutation of whole tokens, b_time is too large for chance on {held} (adjusted p "
    "{delta_b_time_p_adj}, p of whole tokens {delta_b_time_p_tokens} {over}).",
    "The test of b_time against permutation cannot be assessed{open}: {reasons}.",
    reason_column="null_reason",
)
_DEPTH_TESTED: Final = Claim(
    "branching_depth_tested",
    SUMMARY,
    HELD_OUT,
    Every((Above("delta_b_depth_shift"), Below("delta_b_depth_shift_p_adj", SIGNIFICANCE))),
    "Tested against the circular shift, with p-values adjusted over the whole table, b_depth is "
    "too large for chance on {all} (adjusted p {delta_b_depth_shift_p_adj}).",
    "Tested against the circular shift, with p-values adjusted over the whole table, b_depth is "
    "too large for chance on {held} (adjusted p {delta_b_depth_shift_p_adj} {over}).",
    "The test of b_depth against the circular shift cannot be assessed{open}: {reasons}.",
    reason_column="null_reason",
)
_TOKENS: Final = (
    Claim(
        "token_id_time",
        NULLS,
        HELD_OUT,
        Every((Above("delta_b_time_token_id"), Below("p_time_token_id_mc", SIGNIFICANCE))),
        "Along tokens, a surplus remains on {all} when occupied sites are exchanged within layer "
        "and token id: delta_b_time_token_id is {delta_b_time_token_id} (p "
        "{p_time_token_id_mc}, not adjusted). The token alone does not account for it.",
        "Along tokens, a surplus over the exchange of sites within layer and token id is shown on "
        "{held}: {over} delta_b_time_token_id is {delta_b_time_token_id} (p {p_time_token_id_mc}, "
        "not adjusted). Elsewhere the token alone can account for what exceeds permutation.",
        "Whether the surplus along tokens goes beyond what the token itself explains cannot be "
        "assessed{open}: {reasons}.",
        reason_column="token_id_reason",
    ),
    Claim(
        "token_id_depth",
        NULLS,
        HELD_OUT,
        Every((Above("delta_b_depth_token_id"), Below("p_depth_token_id_exact", SIGNIFICANCE))),
        "Along layers, a surplus remains on {all} when occupied sites are exchanged within layer "
        "and token id: delta_b_depth_token_id is {delta_b_depth_token_id} (p "
        "{p_depth_token_id_exact}, not adjusted; {exchangeable_share} of the places have a token "
        "id to exchange with). The token alone does not account for it.",
        "Along layers, a surplus over the exchange of sites within layer and token id is shown on "
        "{held}: {over} delta_b_depth_token_id is {delta_b_depth_token_id} (p "
        "{p_depth_token_id_exact}, not adjusted; {exchangeable_share} of the places have a token "
        "id to exchange with). Elsewhere the token alone can account for what exceeds the shift.",
        "Whether the surplus along layers goes beyond what the token itself explains cannot be "
        "assessed{open}: {reasons}.",
        reason_column="token_id_reason",
    ),
)


def _order(claim_id: str, column: str, axis: str) -> Claim:
    return Claim(
        claim_id,
        NULLS,
        HELD_OUT,
        IntervalAbove(f"{column}_ci_low"),
        f"The order of tokens adds to the surplus {axis} on {{all}}: over permutation it exceeds "
        f"that of shuffled input by {{{column}}}, and every paired interval lies above zero.",
        f"That the order of tokens adds to the surplus {axis} is shown on {{held}}: over "
        f"permutation it exceeds that of shuffled input by {{{column}}}, {{over}}, and the paired "
        "interval does not lie above zero on {failed}.",
        f"What shuffled input does to the surplus {axis} cannot be assessed{{open}}: {{reasons}}.",
        reason_column="tokshuffle_reason",
    )
