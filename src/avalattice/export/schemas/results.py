"""Schemas of what stages write for each other, in the results folder."""

from __future__ import annotations

from avalattice.canon import CONST
from avalattice.export.schemas.columns import (
    COND_ID,
    CONDITION,
    CURVE,
    RATE,
    RATIO,
    SEQ_ID,
    WINDOW_COUNT,
    WINDOW_ID,
    WINDOW_SET,
    interval,
    number,
    reason,
    with_provenance,
)
from avalattice.export.tabular import (
    BOOL,
    F32,
    F32_LIST,
    F64,
    F64_LIST,
    I32,
    I32_LIST,
    I64,
    TEXT,
    TEXT_LIST,
    Column,
    TableSchema,
)
from avalattice.lattice.branching import SUM_NAMES
from avalattice.stats.summary import BRANCHING_NAMES

INTERVAL_NAMES = (*BRANCHING_NAMES, "chi")
PERMUTED_SUM_NAMES = ("time_pairs", "time_ancestors", "depth_pairs")
"""Sums of a window that permutation changes; tables give their expectations too."""
_WINDOW_SUMS = tuple(
    Column(name, I64, "sum over the window's sites or edges", low=0) for name in SUM_NAMES
)
_PERMUTED_SUMS = tuple(
    Column(f"{name}_perm_mean", F64, f"{name} expected under permutation", low=0)
    for name in PERMUTED_SUM_NAMES
)

METRICS = TableSchema(
    "metrics",
    ("cond_id",),
    with_provenance(
        COND_ID,
        WINDOW_SET,
        *CONDITION,
        Column("tau", F32_LIST, "threshold on v that was applied, by layer"),
        Column("achieved_rate_mean", F64, "achieved rate, mean over layers", RATE, low=0),
        Column("achieved_rate_max_abs_err", F64, "largest |achieved − target| over layers", RATE),
        Column(
            "achieved_rate_max_event_err", F64, "the same in events of the window set", "events"
        ),
        Column("occupancy", F64, "p, share of occupied sites", low=0, high=1),
        Column("occupancy_min", F64, "smallest p over layers", low=0, high=1),
        Column("occupancy_max", F64, "largest p over layers", low=0, high=1),
        Column("occupancy_layers", F64_LIST, "p by layer"),
        *(number(name, "branching ratio", RATIO, 0) for name in BRANCHING_NAMES),
        reason("branching_reason", "a branching ratio or its interval is undefined"),
        number("chi", "Fano factor of window totals", "events", 0),
        reason("chi_reason", "chi or its interval is undefined"),
        *(column for name in INTERVAL_NAMES for column in interval(name)),
        *WINDOW_COUNT,
    ),
)

METRICS_WINDOWS = TableSchema(
    "metrics_windows",
    ("cond_id", "seq_id"),
    with_provenance(
        COND_ID,
        SEQ_ID,
        WINDOW_ID,
        *_WINDOW_SUMS,
    ),
)

EVALUATION_WINDOWS = TableSchema(
    "evaluation_windows",
    ("cond_id", "seq_id"),
    with_provenance(
        COND_ID,
        SEQ_ID,
        WINDOW_ID,
        *_WINDOW_SUMS,
        *_PERMUTED_SUMS,
        Column("nll", F64, "negative log-likelihood of the predicted tokens", "nats", low=0),
        Column("n_predicted_tokens", I64, "tokens with a token before them", "tokens", low=1),
    ),
)

THRESHOLDS = TableSchema(
    "thresholds",
    ("gain", "spike_def_id", "target_label", "layer"),
    with_provenance(
        Column("gain", F64, "gain on the MLP's residual contribution", low=0),
        *CURVE,
        Column("layer", I32, "layer", low=0),
        Column("d_ff", I64, "units of the layer", low=1),
        Column("base_rate", F64, "r0_l, share of v > tau0 at g = 1", RATE, low=0, high=1),
        Column("layer_rate", F64, "r*_l, target of this layer", RATE, low=0),
        Column("tau", F32, "threshold on v: the (k+1)-th largest"),
        Column("k", I64, "target events on the calibration windows", "events", low=1),
        Column("achieved", I64, "events strictly above tau", "events", low=0),
        Column("ties", I64, "k − achieved, values equal to tau", "events", low=0),
        Column("m", I64, "values of the layer on the calibration windows", low=1),
        Column("few_events", BOOL, f"k < {CONST.RATE_MATCH_MIN_EVENTS}"),
    ),
)

WINDOWS = TableSchema(
    "windows",
    ("window_set", "seq_id"),
    with_provenance(
        Column("window_set", TEXT, "calibration or raster"),
        SEQ_ID,
        WINDOW_ID,
        Column("token_ids", I32_LIST, "the lattice's token ids"),
        Column("tokens", TEXT_LIST, "each token's own text"),
        Column("text", TEXT, "the window's text"),
    ),
)

AVALANCHES = TableSchema(
    "avalanches",
    ("cond_id", "seq_id", "avalanche_id"),
    with_provenance(
        COND_ID,
        SEQ_ID,
        Column("avalanche_id", I32, "0, 1, … within the window", low=0),
        Column("adjacency_id", TEXT, "which sites are neighbours"),
        Column("size", I64, "S, events", "events", low=1),
        Column("n_sites", I32, "occupied sites", "sites", low=1),
        Column("span_tokens", I32, "D", "tokens", low=1),
        Column("span_layers", I32, "H", "layers", low=1),
        Column("t_min", I32, "first token", low=0),
        Column("t_max", I32, "last token", low=0),
        Column("l_min", I32, "lowest layer", low=0),
        Column("l_max", I32, "highest layer", low=0),
        Column("touches_border", BOOL, "a site lies at the lattice's edge"),
    ),
)

ANALYSIS_CONDITIONS = TableSchema(
    "analysis_conditions",
    ("cond_id",),
    with_provenance(
        Column("cond_id", I32, "condition of this analysis", low=0),
        Column("source_run_id", TEXT, "run that holds the raster"),
        WINDOW_SET,
        Column("source_cond_id", I32, "index on that raster's C axis", low=0),
        *CONDITION,
        Column("occupancy", F64, "p, share of occupied sites", low=0, high=1),
        *(number(name, "branching ratio", RATIO, 0) for name in BRANCHING_NAMES),
        number("chi", "Fano factor of window totals", "events", 0),
        Column("n_avalanches", I64, "avalanches in all windows", low=0),
        *WINDOW_COUNT,
    ),
)

ANALYSIS_WINDOWS = TableSchema(
    "analysis_windows",
    ("cond_id", "seq_id"),
    with_provenance(
        Column("cond_id", I32, "condition of this analysis", low=0),
        SEQ_ID,
        *_WINDOW_SUMS,
        *_PERMUTED_SUMS,
        Column("n_avalanches", I64, "avalanches of the window", low=0),
    ),
)

ARC_ITEMS = TableSchema(
    "arc_items",
    ("scoring", "g", "question_id"),
    with_provenance(
        Column("scoring", TEXT, "letter or cloze"),
        Column("g", F64, "gain on the MLP's residual contribution", low=0),
        Column("question_id", TEXT, "the question's id"),
        Column("labels", TEXT_LIST, "the options' labels, as in the source"),
        Column("answer", I32, "index of the right option", low=0),
        Column("logprobs", F64_LIST, "log-probability of each option, in nats"),
        Column("n_chars", I32_LIST, "characters of each option's text"),
        Column("n_tokens", I32_LIST, "tokens of each continuation"),
        Column("chosen", I32, "option of largest log-probability", low=0),
        Column("correct", BOOL, "it is the right one"),
        Column("chosen_norm", I32, "option of largest log-probability per character", low=0),
        Column("correct_norm", BOOL, "it is the right one"),
        Column("prompt_template_id", TEXT, "how the question is put"),
        Column("prompt_sha256", TEXT, "digest of the text that the model was given"),
    ),
)
