"""The canonical registry: every identifier, constant, file name and command name.

Nothing else in the package repeats one of these as a literal. A YAML configuration may refer to a
key by its dotted name, for example ``CANON.CONST.GAIN_GRID_DEFAULT``; :func:`lookup` resolves it.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

PREFIX: Final = "CANON."
PROJECT_ID: Final = "avalattice"


class CONST:
    """Numerical constants and defaults."""

    SEQ_LEN_TOKENS: Final = 256
    GAIN_BASELINE: Final = Decimal("1.0")
    GAIN_GRID_DEFAULT: Final = tuple(
        Decimal(g) for g in "0.7 0.8 0.85 0.9 0.95 1.0 1.05 1.1 1.15 1.2 1.3".split()
    )
    N_WINDOWS_A_CALIBRATION: Final = 64
    N_WINDOWS_A_RASTERS: Final = 128
    N_WINDOWS_B_EVAL: Final = 96
    WINDOW_POOL_FACTOR: Final = 10
    EPS: Final = 1e-6
    TAU0_BASELINE: Final = 2.5
    TARGET_LAYER_RATES: Final = (1e-5, 2e-5, 4e-5, 8e-5)
    BOOTSTRAP_REPS: Final = 2000
    BOOTSTRAP_SEED: Final = 1337
    NULL_REPLICATES: Final = 200
    NULL_AVALANCHE_REPLICATES: Final = 20
    TOKEN_SHUFFLE_REPLICATES: Final = 1
    TAIL_GOF_REPS: Final = 100
    RATE_MATCH_TOL_ABS: Final = 5e-4
    RATE_MATCH_TOL_EVENTS: Final = 0
    RATE_MATCH_MIN_EVENTS: Final = 30
    FEW_WINDOWS: Final = 20
    CC_MAX_COMPONENTS_PER_SEQ_HARDFAIL: Final = 20000
    CHI_EPS: Final = 1e-8
    CRACKLING_MIN_POINTS: Final = 8
    CRACKLING_MIN_PER_POINT: Final = 5
    CRACKLING_D_RANGE_MIN: Final = 3
    CRACKLING_D_RANGE_MAX: Final = 64
    SITE_CHECK_TOL_REL: Final = 1e-5
    U_HOOK_MATCH_TOL_ABS: Final = 1e-5
    BOOTSTRAP_CI_WIDTH_MAX: Final = 0.5
    SIGNATURE_ALIGNMENT_G_DIFF_MAX: Final = 0.2
    TAIL_FIT_MIN_TAIL_SAMPLES: Final = 100
    TAIL_FIT_MIN_DECADES: Final = 1.0


class ModelRole(StrEnum):
    """Which of the configuration's two models."""

    BASE = "BASE"
    INSTRUCT = "INSTRUCT"


class DatasetRole(StrEnum):
    """Calibration and rasters (A), transfer (B), multiple choice (ARC_MCQ)."""

    A = "A"
    B = "B"
    ARC_MCQ = "ARC_MCQ"


class SpikeDefId(StrEnum):
    """How z becomes the thresholded value v: z itself, or its absolute value."""

    SPIKE_ONE_SIDED_POS = "SPIKE_ONE_SIDED_POS"
    SPIKE_TWO_SIDED_ABS = "SPIKE_TWO_SIDED_ABS"


class NullId(StrEnum):
    """Null models; ``NULL_NONE`` is the measured raster."""

    NULL_NONE = "NULL_NONE"
    NULL_TOKEN_SHUFFLE_INPUT = "NULL_TOKEN_SHUFFLE_INPUT"
    NULL_RASTER_WITHIN_LAYER_TIME_PERM = "NULL_RASTER_WITHIN_LAYER_TIME_PERM"
    NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT = "NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT"
    NULL_RASTER_TOKEN_ID_STRATIFIED = "NULL_RASTER_TOKEN_ID_STRATIFIED"


class AdjacencyId(StrEnum):
    """Lattice adjacency: the four nearest neighbours, or the eight."""

    ADJ_4N = "ADJ_4N"
    ADJ_8N = "ADJ_8N"


class GainTarget(StrEnum):
    """The sublayer whose contribution to the residual stream the gain multiplies."""

    MLP = "MLP"
    ATTN = "ATTN"


class InterventionId(StrEnum):
    """Gain interventions; the bands are thirds of the depth."""

    MLP_GLOBAL = "MLP_GLOBAL"
    ATTN_GLOBAL = "ATTN_GLOBAL"
    MLP_BAND_EARLY = "MLP_BAND_EARLY"
    MLP_BAND_MID = "MLP_BAND_MID"
    MLP_BAND_LATE = "MLP_BAND_LATE"


class SignatureId(StrEnum):
    """The three signatures that are assessed."""

    S1_BRANCHING_CROSSING = "S1_BRANCHING_CROSSING"
    S2_SUSCEPTIBILITY_PEAK = "S2_SUSCEPTIBILITY_PEAK"
    S3_CRACKLING_RELATION = "S3_CRACKLING_RELATION"


class WindowSet(StrEnum):
    """Windows on which tau was fitted (in sample), other windows of A, or those of B; questions."""

    CALIBRATION = "calibration"
    RASTER = "raster"
    EVALUATION = "evaluation"


class Scoring(StrEnum):
    """How a multiple-choice question is put: options by letter, or each as a continuation."""

    LETTER = "letter"
    CLOZE = "cloze"


class GCondition(StrEnum):
    """The two gains that are compared: the baseline and g*."""

    G1 = "g1"
    GSTAR = "gstar"


class NpzKey(StrEnum):
    """Array names in a raster file."""

    X_OCCUPANCY = "X"
    A_COUNT = "A"
    COND_ID = "cond_id"
    SEQ_ID = "seq_id"


class ENUM:
    """The enumerations, under their canonical names."""

    MODEL_ROLE = ModelRole
    DATASET_ROLE = DatasetRole
    SPIKE_DEF_ID = SpikeDefId
    NULL_ID = NullId
    ADJACENCY_ID = AdjacencyId
    GAIN_TARGET = GainTarget
    INTERVENTION_ID = InterventionId
    SIGNATURE_ID = SignatureId
    WINDOW_SET = WindowSet
    SCORING = Scoring
    G_CONDITION = GCondition
    NPZ_KEY = NpzKey


class TableId(StrEnum):
    """Exported tables; the value is the path below the run, without its suffix."""

    T01_SUMMARY = "tables/table_T01_SUMMARY"
    T02_GENERALIZATION = "tables/table_T02_GENERALIZATION"
    T03_ARC = "tables/table_T03_ARC"
    T04_TAIL_FITS = "tables/appendix/table_T04_TAIL_FITS"
    T05_CRACKLING_DIAGNOSTICS = "tables/appendix/table_T05_CRACKLING_DIAGNOSTICS"
    T06_ABLATIONS = "tables/appendix/table_T06_ABLATIONS"
    T07_REPLICATION_SUMMARY = "tables/appendix/table_T07_REPLICATION_SUMMARY"


class FigureId(StrEnum):
    """Exported figures; the value is the path below the run, without its suffix."""

    F01_RASTER_EXAMPLE = "figs/fig_F01_RASTER_EXAMPLE"
    F02_RATE_MATCH_CHECK = "figs/fig_F02_RATE_MATCH_CHECK"
    F03_BRANCHING_CURVES = "figs/fig_F03_BRANCHING_CURVES"
    F04_NULL_DELTAB = "figs/fig_F04_NULL_DELTAB"
    F05_GSTAR_SELECTION = "figs/fig_F05_GSTAR_SELECTION"
    F06_GENERALIZATION_B = "figs/fig_F06_GENERALIZATION_B"
    F07_ARC_MCQ = "figs/fig_F07_ARC_MCQ"
    F08_SPIKEDEF_ROBUST = "figs/fig_F08_SPIKEDEF_ROBUST"
    F09_CHI_CURVES = "figs/appendix/fig_F09_CHI_CURVES"
    F10_NULL_COMPARE = "figs/appendix/fig_F10_NULL_COMPARE"
    F11_ABLATIONS = "figs/appendix/fig_F11_ABLATIONS"
    F12_TAILS = "figs/appendix/fig_F12_TAILS"
    F13_PROFILE_COLLAPSE = "figs/appendix/fig_F13_PROFILE_COLLAPSE"
    F14_DEPTH_PROFILE = "figs/appendix/fig_F14_DEPTH_PROFILE"


class RunSubdir(StrEnum):
    """Folders of a run."""

    RESULTS = "results"
    FIGS = "figs"
    TABLES = "tables"
    LOGS = "logs"
    PAPER = "paper"
    CACHE = "cache"
    RELEASE = "release"


class PaperPage(StrEnum):
    """Pages of the paper, in its folder."""

    INDEX = "README.md"
    ABSTRACT = "00_abstract.md"
    METHOD = "01_method.md"
    EXPERIMENTS = "02_experiments.md"
    RESULTS = "03_results.md"
    LIMITATIONS = "04_limitations.md"
    APPENDIX = "appendix.md"
    REFERENCES = "references.md"


class OUTPUT:
    """File names."""

    RUN_RECORD_JSON: Final = "run_record.json"
    CONFIG_RESOLVED_YAML: Final = "config_resolved.yaml"
    MANIFEST_SHA256: Final = "MANIFEST.sha256"
    CALIBRATION_STATS_NPZ_BASENAME: Final = "calibration_stats.npz"
    RATE_TARGETS_JSON_BASENAME: Final = "rate_targets.json"
    METRICS_PARQUET_BASENAME: Final = "metrics.parquet"
    METRICS_WINDOWS_PARQUET_BASENAME: Final = "metrics_windows.parquet"
    THRESHOLDS_PARQUET_BASENAME: Final = "thresholds.parquet"
    GSTAR_JSON_BASENAME: Final = "gstar.json"
    WINDOWS_PARQUET_BASENAME: Final = "windows.parquet"
    UNIT_EVENTS_PARQUET_BASENAME: Final = "unit_events.parquet"
    RASTER_NPZ_BASENAME: Final = "rasters_token_layer.npz"
    GRID_RASTER_NPZ_BASENAME: Final = "rasters_gain_grid.npz"
    NULL_NPZ_BASENAME: Final = "rasters_nulls.npz"
    NULL_STATISTICS_PARQUET_BASENAME: Final = "null_statistics.parquet"
    TAU_RATE_MATCHED_PARQUET_BASENAME: Final = "tau_rate_matched.parquet"
    AVALANCHES_PARQUET_BASENAME: Final = "avalanches.parquet"
    SIGNATURES_JSON_BASENAME: Final = "signatures.json"
    ANALYSIS_SUMMARY_TXT_BASENAME: Final = "summary.txt"
    ARC_ITEMS_PARQUET_BASENAME: Final = "arc_items.parquet"
    CLAIMS_JSON_BASENAME: Final = "claims.json"
    REFERENCES_BIB_BASENAME: Final = "references.bib"
    REPORT_HTML_BASENAME: Final = "report.html"
    EVENTS_JSONL_BASENAME: Final = "events.jsonl"
    RELEASE_ZIP_BASENAME: Final = "release.zip"
    RO_CRATE_JSON: Final = "ro-crate-metadata.json"
    RUN_SUBDIR = RunSubdir
    PAPER_PAGE = PaperPage
    TABLE_FILE_CSV: Final = {table.name: f"{table}.csv" for table in TableId}
    TABLE_FILE_PARQUET: Final = {table.name: f"{table}.parquet" for table in TableId}
    FIG_FILE_PDF: Final = {figure.name: f"{figure}.pdf" for figure in FigureId}
    FIG_FILE_PNG: Final = {figure.name: f"{figure}.png" for figure in FigureId}


class PATH:
    """Default folders."""

    RUNS_DIR: Final = "runs"
    PAPER_DIR: Final = "paper"
    CONFIGS_DIR: Final = "configs"


class Command(StrEnum):
    """Stage subcommands of the command line."""

    PHASE0_VALIDATE_ENV = "phase0_validate_env"
    PHASE1_CALIBRATE = "phase1_calibrate"
    PHASE2_GAIN_GRID = "phase2_gain_grid"
    PHASE2_SELECT_GSTAR = "phase2_select_gstar"
    PHASE3_EXTRACT_RASTERS = "phase3_extract_rasters"
    PHASE4_RUN_NULLS = "phase4_run_nulls"
    PHASE5_ANALYZE_AND_EXPORT = "phase5_analyze_and_export"
    PHASE6_GENERALIZE_B_METRICS = "phase6_generalize_b_metrics"
    PHASE6_ARC_MCQ_EVAL = "phase6_arc_mcq_eval"
    PHASE7_PAPER_EXPORT = "phase7_paper_export"
    PHASE8_RELEASE = "phase8_release"


class StageTag(StrEnum):
    """Stage tags, as they stand in run ids."""

    S00 = "S00"
    S01 = "S01"
    S02 = "S02"
    S02B = "S02B"
    S03 = "S03"
    S04 = "S04"
    S05 = "S05"
    S06B = "S06B"
    S06ARC = "S06ARC"
    S07 = "S07"
    S08 = "S08"


_WITHOUT_BASE_FORM = (
    Command.PHASE0_VALIDATE_ENV,
    Command.PHASE7_PAPER_EXPORT,
    Command.PHASE8_RELEASE,
)


class CLI:
    """Command names; the ``_BASE`` form is the same command for the other model role."""

    CMD: Final = {command.name: str(command) for command in Command} | {
        f"{command.name}_{ModelRole.BASE}": f"{command} --model-role {ModelRole.BASE}"
        for command in Command
        if command not in _WITHOUT_BASE_FORM
    }
    STAGE_TAG = StageTag


class CANON:
    """The root of the registry."""

    CONST = CONST
    ENUM = ENUM
    OUTPUT = OUTPUT
    PATH = PATH
    CLI = CLI


def _plain(value: Any) -> Any:
    """The registry's value as YAML knows it: mappings, lists, strings and numbers."""
    if isinstance(value, type) and issubclass(value, StrEnum):
        return {member.name: member.value for member in value}
    if isinstance(value, type):
        return {key: _plain(item) for key, item in vars(value).items() if key.isupper()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def registry() -> dict[str, Any]:
    """The whole registry as nested dictionaries, in the order of the specification.

    >>> registry()["CANON"]["CONST"]["SEQ_LEN_TOKENS"]
    256
    """
    return {"CANON": _plain(CANON)}


def names() -> list[str]:
    """Every dotted name that :func:`lookup` knows, sections included."""

    def walk(node: Any, path: str) -> list[str]:
        below = node.items() if isinstance(node, dict) else ()
        return [path, *(name for key, item in below for name in walk(item, f"{path}.{key}"))]

    return walk(registry()["CANON"], "CANON")


def lookup(name: str) -> Any:
    """The value that a dotted name stands for.

    >>> lookup("CANON.ENUM.SPIKE_DEF_ID.SPIKE_ONE_SIDED_POS")
    'SPIKE_ONE_SIDED_POS'

    Raises:
        KeyError: the registry has no such name.
    """
    node: Any = registry()
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            raise KeyError(name)
        node = node[part]
    return node
