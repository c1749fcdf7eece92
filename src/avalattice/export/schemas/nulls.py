"""Schemas of phase 4: thresholds with achieved rates, and the statistics of the nulls."""

from __future__ import annotations

from avalattice.export.schemas.columns import (
    COND_ID,
    CONDITION,
    CURVE,
    RATE,
    RATIO,
    WINDOW_COUNT,
    WINDOW_SET,
    interval,
    number,
    reason,
    with_provenance,
)
from avalattice.export.tabular import F32, F64, I32, I64, Column, TableSchema

DELTA_NAMES = ("delta_b_time", "delta_b_depth", "delta_b_tot", "delta_b_depth_shift")
"""Surpluses over the closed-form nulls, each with an interval."""
TOKEN_SHUFFLE_NAMES = ("delta_excess_time", "delta_excess_depth", "delta_excess_tokshuffle")
"""Surplus of the raster over its permutation null, less that of the shuffled input's raster."""

TAU_RATE_MATCHED = TableSchema(
    "tau_rate_matched",
    ("gain", "spike_def_id", "target_label", "layer"),
    with_provenance(
        Column("gain", F64, "gain on the MLP's residual contribution", low=0),
        *CURVE,
        Column("layer", I32, "layer", low=0),
        Column("layer_rate", F64, "r*_l, target of this layer", RATE, low=0),
        Column("tau", F32, "threshold on v"),
        Column("k", I64, "target events on the calibration windows", "events", low=1),
        Column("ties", I64, "values equal to tau", "events", low=0),
        Column("achieved_events_in_sample", I64, "calibration windows", "events", low=0),
        Column("achieved_rate_in_sample", F64, "calibration windows", RATE, low=0),
        Column("achieved_events_out_of_sample", I64, "raster windows", "events", 0, nullable=True),
        number("achieved_rate_out_of_sample", "raster windows", RATE, 0),
        reason("out_of_sample_reason", "nothing was measured out of sample"),
    ),
)


def _ensemble(name: str, null: str) -> tuple[Column, ...]:
    return (
        number(f"{name}_mean", f"mean over draws of the {null} null", RATIO, 0),
        number(f"{name}_sd", f"standard deviation over draws of the {null} null", RATIO, 0),
    )


def _scores(name: str, of: str) -> tuple[Column, ...]:
    return (
        number(f"z_{name}_exact", f"{of}, deviation from the null in standard deviations"),
        Column(f"p_{name}_exact", F64, f"{of}, two-sided and normal", "", 0, 1, nullable=True),
    )


def _p_mc(name: str, of: str) -> Column:
    return Column(f"p_{name}_mc", F64, f"{of}, two-sided, from draws", "", 0, 1, nullable=True)


NULL_STATISTICS = TableSchema(
    "null_statistics",
    ("window_set", "cond_id"),
    with_provenance(
        WINDOW_SET,
        COND_ID,
        *CONDITION,
        *(number(name, "branching ratio", RATIO, 0) for name in ("b_time", "b_depth", "b_tot")),
        number("b_time_perm_exact", "expected under permutation", RATIO, 0),
        number("b_depth_perm_exact", "expected under permutation", RATIO, 0),
        number("b_tot_perm_exact", "expected under permutation", RATIO, 0),
        number("b_depth_shift_exact", "expected under the circular shift", RATIO, 0),
        number("b_time_token_id_exact", "expected under exchange within token ids", RATIO, 0),
        number("b_depth_token_id_exact", "expected under exchange within token ids", RATIO, 0),
        *(number(name, "surplus over the null", RATIO) for name in DELTA_NAMES),
        *(column for name in DELTA_NAMES for column in interval(name)),
        number("delta_b_time_token_id", "surplus over exchange within token ids", RATIO),
        number("delta_b_depth_token_id", "surplus over exchange within token ids", RATIO),
        Column(
            "exchangeable_share", F64, "places whose token id stands elsewhere too", "", 0, 1, True
        ),
        *_scores("time_perm", "edges along tokens under permutation"),
        *_scores("time_tokens", "edges along tokens under permutation of whole tokens"),
        *_scores("depth_perm", "edges along layers under permutation"),
        *_scores("depth_shift", "edges along layers under the shift"),
        *_scores("depth_token_id", "edges along layers under exchange within token ids"),
        Column("replicates", I64, "draws of each raster null", low=1),
        *_ensemble("b_time_perm", "permutation"),
        *_ensemble("b_depth_perm", "permutation"),
        *_ensemble("b_time_shift", "shift"),
        *_ensemble("b_depth_shift", "shift"),
        *_ensemble("b_time_token_id", "token-id"),
        *_ensemble("b_depth_token_id", "token-id"),
        _p_mc("time_perm", "b_time under permutation"),
        _p_mc("depth_perm", "b_depth under permutation"),
        _p_mc("depth_shift", "b_depth under the shift"),
        _p_mc("time_token_id", "b_time under exchange within token ids"),
        _p_mc("depth_token_id", "b_depth under exchange within token ids"),
        number("b_time_perm", "of one permuted raster", RATIO, 0),
        number("b_depth_perm", "of one permuted raster", RATIO, 0),
        number("b_tot_perm", "of one permuted raster", RATIO, 0),
        number("b_tot_shift", "of one shifted raster", RATIO, 0),
        number("b_time_tokshuffle", "of shuffled input, mean over draws", RATIO, 0),
        number("b_depth_tokshuffle", "of shuffled input, mean over draws", RATIO, 0),
        number("b_tot_tokshuffle", "of shuffled input, mean over draws", RATIO, 0),
        number("achieved_rate_tokshuffle", "of shuffled input, mean over layers", RATE, 0),
        *(
            number(name, "surplus over permutation, less that of shuffled input", RATIO)
            for name in TOKEN_SHUFFLE_NAMES
        ),
        *(column for name in TOKEN_SHUFFLE_NAMES for column in interval(name)),
        reason("null_reason", "a number is undefined"),
        reason("token_id_reason", "a number of the token-id null is undefined"),
        reason("tokshuffle_reason", "a number of the shuffled input is undefined"),
        *WINDOW_COUNT,
    ),
)
