"""Columns that tables share."""

from __future__ import annotations

from typing import Final

from avalattice.canon import CONST
from avalattice.export.tabular import BOOL, F64, I32, I64, TEXT, Column

RATE: Final = "events per unit and token"
RATIO: Final = "descendants per ancestor"

PROVENANCE = (
    Column("run_id", TEXT, "run that wrote the table"),
    Column("stage_id", TEXT, "its stage"),
    Column("model_id", TEXT, "model"),
    Column("model_role", TEXT, "BASE or INSTRUCT"),
    Column("dataset_role", TEXT, "A, B or ARC_MCQ"),
)
CLOSING = (
    Column("config_hash", TEXT, "digest of the configuration sections that the stage rests on"),
    Column("code_version", TEXT, "package version"),
)
CURVE = (
    Column("spike_def_id", TEXT, "spike definition"),
    Column("target_label", TEXT, "target as written in the configuration"),
    Column("target_rate", F64, "target, mean over layers", RATE, low=0),
)
CONDITION = (
    *CURVE,
    Column("gain", F64, "gain on the MLP's residual contribution", low=0),
    Column("null_id", TEXT, "null model, NULL_NONE for the measured raster"),
    Column("intervention_id", TEXT, "which layers and sublayer the gain multiplies"),
)
GAIN = Column("g", F64, "gain on the MLP's residual contribution", low=0)
G_CONDITION = Column("g_condition", TEXT, "g1, the baseline gain, or gstar")
COND_ID = Column("cond_id", I32, "index on the raster's C axis", low=0)
SEQ_ID = Column("seq_id", I32, "index on the raster's N axis", low=0)
WINDOW_ID = Column("window_id", I32, "position of the window in the corpus", low=0)
WINDOW_SET = Column(
    "window_set",
    TEXT,
    "calibration: tau was fitted here; raster: held out; evaluation: Dataset B. Of given counts: "
    "calibration where g* was chosen on them, raster where there are no gains",
)
ADJACENCY = Column("adjacency_id", TEXT, "which sites are neighbours")
WINDOW_COUNT = (
    Column("n_sequences", I64, "windows", low=1),
    Column(
        "few_windows", BOOL, f"fewer than {CONST.FEW_WINDOWS} windows: intervals are too narrow"
    ),
)


def with_provenance(*columns: Column) -> tuple[Column, ...]:
    """The columns between those that every table begins and ends with."""
    return (*PROVENANCE, *columns, *CLOSING)


def number(name: str, meaning: str, unit: str = "", low: float | None = None) -> Column:
    """A number that may be undefined."""
    return Column(name, F64, meaning, unit, low, nullable=True)


def reason(name: str, of: str) -> Column:
    """Why numbers are undefined, or what they lack."""
    return Column(name, TEXT, f"why {of}; null where nothing is wrong", nullable=True)


def interval(name: str, *, prefix: str = "") -> tuple[Column, Column]:
    """The ends of a number's window-bootstrap interval."""
    meaning = f"{name}: end of the 95 % window-bootstrap interval"
    return (
        number(f"{prefix}{name}_ci_low", f"{meaning}, lower"),
        number(f"{prefix}{name}_ci_high", f"{meaning}, upper"),
    )
