"""The declared schemas of every table that avalattice writes."""

from __future__ import annotations

from avalattice.canon import CONST
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
_RATE = "events per unit and token"

_PROVENANCE = (
    Column("run_id", TEXT, "run that wrote the table"),
    Column("stage_id", TEXT, "its stage"),
    Column("model_id", TEXT, "model"),
    Column("model_role", TEXT, "BASE or INSTRUCT"),
    Column("dataset_role", TEXT, "A, B or ARC_MCQ"),
)
_CLOSING = (
    Column("config_hash", TEXT, "digest of the configuration sections that the stage rests on"),
    Column("code_version", TEXT, "package version"),
)
_CONDITION = (
    Column("spike_def_id", TEXT, "spike definition"),
    Column("target_label", TEXT, "target as written in the configuration"),
    Column("target_rate", F64, "target, mean over layers", _RATE, low=0),
    Column("gain", F64, "gain on the MLP's residual contribution", low=0),
    Column("null_id", TEXT, "null model, NULL_NONE for the measured raster"),
    Column("intervention_id", TEXT, "which layers and sublayer the gain multiplies"),
)


def _with_provenance(*columns: Column) -> tuple[Column, ...]:
    return (*_PROVENANCE, *columns, *_CLOSING)


def _interval(name: str) -> tuple[Column, Column]:
    meaning = f"{name}: end of the 95 % window-bootstrap interval"
    return (
        Column(f"{name}_ci_low", F64, f"{meaning}, lower", nullable=True),
        Column(f"{name}_ci_high", F64, f"{meaning}, upper", nullable=True),
    )


METRICS = TableSchema(
    "metrics",
    ("cond_id",),
    _with_provenance(
        Column("cond_id", I32, "index on the raster's C axis", low=0),
        Column("window_set", TEXT, "calibration: tau was fitted here; raster: held out"),
        *_CONDITION,
        Column("tau", F32_LIST, "threshold on v that was applied, by layer"),
        Column("achieved_rate_mean", F64, "achieved rate, mean over layers", _RATE, low=0),
        Column("achieved_rate_max_abs_err", F64, "largest |achieved − target| over layers", _RATE),
        Column(
            "achieved_rate_max_event_err", F64, "the same in events of the window set", "events"
        ),
        Column("occupancy", F64, "p, share of occupied sites", low=0, high=1),
        Column("occupancy_min", F64, "smallest p over layers", low=0, high=1),
        Column("occupancy_max", F64, "largest p over layers", low=0, high=1),
        Column("occupancy_layers", F64_LIST, "p by layer"),
        *(
            Column(name, F64, "branching ratio", "descendants per ancestor", 0, nullable=True)
            for name in BRANCHING_NAMES
        ),
        Column("branching_reason", TEXT, "why a branching ratio is undefined", nullable=True),
        Column("chi", F64, "Fano factor of window totals", "events", 0, nullable=True),
        Column("chi_reason", TEXT, "why chi is undefined", nullable=True),
        *(column for name in INTERVAL_NAMES for column in _interval(name)),
        Column("n_sequences", I64, "windows", low=1),
        Column("few_windows", BOOL, f"fewer than {CONST.FEW_WINDOWS} windows"),
    ),
)

METRICS_WINDOWS = TableSchema(
    "metrics_windows",
    ("cond_id", "seq_id"),
    _with_provenance(
        Column("cond_id", I32, "index on the raster's C axis", low=0),
        Column("seq_id", I32, "index on the raster's N axis", low=0),
        Column("window_id", I32, "position of the window in the corpus", low=0),
        *(Column(name, I64, "sum over the window's sites or edges", low=0) for name in SUM_NAMES),
    ),
)

THRESHOLDS = TableSchema(
    "thresholds",
    ("gain", "spike_def_id", "target_label", "layer"),
    _with_provenance(
        Column("gain", F64, "gain on the MLP's residual contribution", low=0),
        Column("spike_def_id", TEXT, "spike definition"),
        Column("target_label", TEXT, "target as written in the configuration"),
        Column("target_rate", F64, "target, mean over layers", _RATE, low=0),
        Column("layer", I32, "layer", low=0),
        Column("d_ff", I64, "units of the layer", low=1),
        Column("base_rate", F64, "r0_l, share of v > tau0 at g = 1", _RATE, low=0, high=1),
        Column("layer_rate", F64, "r*_l, target of this layer", _RATE, low=0),
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
    _with_provenance(
        Column("window_set", TEXT, "calibration or raster"),
        Column("seq_id", I32, "index on the raster's N axis", low=0),
        Column("window_id", I32, "position of the window in the corpus", low=0),
        Column("token_ids", I32_LIST, "the lattice's token ids"),
        Column("tokens", TEXT_LIST, "each token's own text"),
        Column("text", TEXT, "the window's text"),
    ),
)

ALL = (METRICS, METRICS_WINDOWS, THRESHOLDS, WINDOWS)
