"""The canonical registry: the names that the seed documents use, and that nothing repeats them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest
import yaml

import avalattice
from avalattice import canon
from avalattice.canon import CLI, Command, FigureId, ModelRole, TableId
from avalattice.yamlfile import dump

CONSTANTS = {
    "SEQ_LEN_TOKENS": 256,
    "EPS": 1e-6,
    "GAIN_BASELINE": Decimal("1.0"),
    "TAU0_BASELINE": 2.5,
    "GAIN_GRID_DEFAULT": [
        Decimal(g)
        for g in ("0.7", "0.8", "0.85", "0.9", "0.95", "1.0", "1.05", "1.1", "1.15", "1.2", "1.3")
    ],
    "TARGET_LAYER_RATES": [1e-5, 2e-5, 4e-5, 8e-5],
    "N_WINDOWS_A_CALIBRATION": 64,
    "N_WINDOWS_A_RASTERS": 128,
    "N_WINDOWS_B_EVAL": 96,
    "WINDOW_POOL_FACTOR": 10,
    "BOOTSTRAP_REPS": 2000,
    "BOOTSTRAP_SEED": 1337,
    "NULL_REPLICATES": 200,
    "NULL_AVALANCHE_REPLICATES": 20,
    "TOKEN_SHUFFLE_REPLICATES": 1,
    "TAIL_GOF_REPS": 100,
    "RATE_MATCH_TOL_ABS": 5e-4,
    "RATE_MATCH_TOL_EVENTS": 0,
    "RATE_MATCH_MIN_EVENTS": 30,
    "FEW_WINDOWS": 20,
    "CC_MAX_COMPONENTS_PER_SEQ_HARDFAIL": 20000,
    "CHI_EPS": 1e-8,
    "CRACKLING_MIN_POINTS": 8,
    "CRACKLING_MIN_PER_POINT": 5,
    "CRACKLING_D_RANGE_MIN": 3,
    "CRACKLING_D_RANGE_MAX": 64,
    "SITE_CHECK_TOL_REL": 1e-5,
    "BOOTSTRAP_CI_WIDTH_MAX": 0.5,
    "SIGNATURE_ALIGNMENT_G_DIFF_MAX": 0.2,
    "TAIL_FIT_MIN_TAIL_SAMPLES": 100,
    "TAIL_FIT_MIN_DECADES": 1.0,
    "U_HOOK_MATCH_TOL_ABS": 1e-5,
}

ENUMERATIONS = {
    "MODEL_ROLE": ["BASE", "INSTRUCT"],
    "DATASET_ROLE": ["A", "B", "ARC_MCQ"],
    "SPIKE_DEF_ID": ["SPIKE_ONE_SIDED_POS", "SPIKE_TWO_SIDED_ABS"],
    "NULL_ID": [
        "NULL_NONE",
        "NULL_TOKEN_SHUFFLE_INPUT",
        "NULL_RASTER_WITHIN_LAYER_TIME_PERM",
        "NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT",
        "NULL_RASTER_TOKEN_ID_STRATIFIED",
    ],
    "ADJACENCY_ID": ["ADJ_4N", "ADJ_8N"],
    "GAIN_TARGET": ["MLP", "ATTN"],
    "INTERVENTION_ID": [
        "MLP_GLOBAL",
        "ATTN_GLOBAL",
        "MLP_BAND_EARLY",
        "MLP_BAND_MID",
        "MLP_BAND_LATE",
    ],
    "SIGNATURE_ID": ["S1_BRANCHING_CROSSING", "S2_SUSCEPTIBILITY_PEAK", "S3_CRACKLING_RELATION"],
}

FILE_NAMES = {
    "RUN_RECORD_JSON": "run_record.json",
    "CONFIG_RESOLVED_YAML": "config_resolved.yaml",
    "MANIFEST_SHA256": "MANIFEST.sha256",
    "CALIBRATION_STATS_NPZ_BASENAME": "calibration_stats.npz",
    "RATE_TARGETS_JSON_BASENAME": "rate_targets.json",
    "METRICS_PARQUET_BASENAME": "metrics.parquet",
    "METRICS_WINDOWS_PARQUET_BASENAME": "metrics_windows.parquet",
    "THRESHOLDS_PARQUET_BASENAME": "thresholds.parquet",
    "GSTAR_JSON_BASENAME": "gstar.json",
    "WINDOWS_PARQUET_BASENAME": "windows.parquet",
    "UNIT_EVENTS_PARQUET_BASENAME": "unit_events.parquet",
    "RASTER_NPZ_BASENAME": "rasters_token_layer.npz",
    "GRID_RASTER_NPZ_BASENAME": "rasters_gain_grid.npz",
    "NULL_NPZ_BASENAME": "rasters_nulls.npz",
    "NULL_STATISTICS_PARQUET_BASENAME": "null_statistics.parquet",
    "TAU_RATE_MATCHED_PARQUET_BASENAME": "tau_rate_matched.parquet",
    "AVALANCHES_PARQUET_BASENAME": "avalanches.parquet",
    "SIGNATURES_JSON_BASENAME": "signatures.json",
    "ANALYSIS_SUMMARY_TXT_BASENAME": "summary.txt",
    "ARC_ITEMS_PARQUET_BASENAME": "arc_items.parquet",
    "CLAIMS_JSON_BASENAME": "claims.json",
    "REFERENCES_BIB_BASENAME": "references.bib",
    "REPORT_HTML_BASENAME": "report.html",
    "EVENTS_JSONL_BASENAME": "events.jsonl",
    "RELEASE_ZIP_BASENAME": "release.zip",
    "RO_CRATE_JSON": "ro-crate-metadata.json",
}

TABLES = {
    "T01_SUMMARY": "tables/table_T01_SUMMARY",
    "T02_GENERALIZATION": "tables/table_T02_GENERALIZATION",
    "T03_ARC": "tables/table_T03_ARC",
    "T04_TAIL_FITS": "tables/appendix/table_T04_TAIL_FITS",
    "T05_CRACKLING_DIAGNOSTICS": "tables/appendix/table_T05_CRACKLING_DIAGNOSTICS",
    "T06_ABLATIONS": "tables/appendix/table_T06_ABLATIONS",
    "T07_REPLICATION_SUMMARY": "tables/appendix/table_T07_REPLICATION_SUMMARY",
}

FIGURES = {
    "F01_RASTER_EXAMPLE": "figs/fig_F01_RASTER_EXAMPLE",
    "F02_RATE_MATCH_CHECK": "figs/fig_F02_RATE_MATCH_CHECK",
    "F03_BRANCHING_CURVES": "figs/fig_F03_BRANCHING_CURVES",
    "F04_NULL_DELTAB": "figs/fig_F04_NULL_DELTAB",
    "F05_GSTAR_SELECTION": "figs/fig_F05_GSTAR_SELECTION",
    "F06_GENERALIZATION_B": "figs/fig_F06_GENERALIZATION_B",
    "F07_ARC_MCQ": "figs/fig_F07_ARC_MCQ",
    "F08_SPIKEDEF_ROBUST": "figs/fig_F08_SPIKEDEF_ROBUST",
    "F09_CHI_CURVES": "figs/appendix/fig_F09_CHI_CURVES",
    "F10_NULL_COMPARE": "figs/appendix/fig_F10_NULL_COMPARE",
    "F11_ABLATIONS": "figs/appendix/fig_F11_ABLATIONS",
    "F12_TAILS": "figs/appendix/fig_F12_TAILS",
    "F13_PROFILE_COLLAPSE": "figs/appendix/fig_F13_PROFILE_COLLAPSE",
    "F14_DEPTH_PROFILE": "figs/appendix/fig_F14_DEPTH_PROFILE",
}

COMMANDS = {
    "PHASE0_VALIDATE_ENV": "phase0_validate_env",
    "PHASE1_CALIBRATE": "phase1_calibrate",
    "PHASE2_GAIN_GRID": "phase2_gain_grid",
    "PHASE2_SELECT_GSTAR": "phase2_select_gstar",
    "PHASE3_EXTRACT_RASTERS": "phase3_extract_rasters",
    "PHASE4_RUN_NULLS": "phase4_run_nulls",
    "PHASE5_ANALYZE_AND_EXPORT": "phase5_analyze_and_export",
    "PHASE6_GENERALIZE_B_METRICS": "phase6_generalize_b_metrics",
    "PHASE6_ARC_MCQ_EVAL": "phase6_arc_mcq_eval",
    "PHASE7_PAPER_EXPORT": "phase7_paper_export",
    "PHASE8_RELEASE": "phase8_release",
}

SEED_NAMES = """
CANON.CLI.CMD
CANON.CLI.CMD.PHASE1_CALIBRATE
CANON.CLI.CMD.PHASE2_GAIN_GRID
CANON.CLI.CMD.PHASE3_EXTRACT_RASTERS
CANON.CLI.CMD.PHASE3_EXTRACT_RASTERS_BASE
CANON.CONST.GAIN_BASELINE
CANON.CONST.SEQ_LEN_TOKENS
CANON.ENUM.ADJACENCY_ID
CANON.ENUM.ADJACENCY_ID.ADJ_4N
CANON.ENUM.NPZ_KEY
CANON.ENUM.NPZ_KEY.A_COUNT
CANON.ENUM.NPZ_KEY.COND_ID
CANON.ENUM.NPZ_KEY.SEQ_ID
CANON.ENUM.NPZ_KEY.X_OCCUPANCY
CANON.OUTPUT
CANON.OUTPUT.AVALANCHES_PARQUET_BASENAME
CANON.OUTPUT.CALIBRATION_STATS_NPZ_BASENAME
CANON.OUTPUT.CONFIG_RESOLVED_YAML
CANON.OUTPUT.FIG_FILE_PDF
CANON.OUTPUT.FIG_FILE_PNG
CANON.OUTPUT.GSTAR_JSON_BASENAME
CANON.OUTPUT.METRICS_PARQUET_BASENAME
CANON.OUTPUT.NULL_NPZ_BASENAME
CANON.OUTPUT.RASTER_NPZ_BASENAME
CANON.OUTPUT.RATE_TARGETS_JSON_BASENAME
CANON.OUTPUT.RUN_RECORD_JSON
CANON.OUTPUT.RUN_SUBDIR
CANON.OUTPUT.TABLE_FILE_CSV.T01_SUMMARY
CANON.OUTPUT.TABLE_FILE_CSV.T02_GENERALIZATION
CANON.OUTPUT.TABLE_FILE_CSV.T03_ARC
CANON.OUTPUT.TABLE_FILE_CSV.T04_TAIL_FITS
CANON.OUTPUT.TABLE_FILE_CSV.T05_CRACKLING_DIAGNOSTICS
CANON.OUTPUT.TABLE_FILE_CSV.T06_ABLATIONS
CANON.OUTPUT.TABLE_FILE_PARQUET.T01_SUMMARY
CANON.OUTPUT.TABLE_FILE_PARQUET.T02_GENERALIZATION
CANON.OUTPUT.TABLE_FILE_PARQUET.T03_ARC
CANON.OUTPUT.TABLE_FILE_PARQUET.T04_TAIL_FITS
CANON.OUTPUT.TABLE_FILE_PARQUET.T05_CRACKLING_DIAGNOSTICS
CANON.OUTPUT.TABLE_FILE_PARQUET.T06_ABLATIONS
CANON.OUTPUT.TAU_RATE_MATCHED_PARQUET_BASENAME
CANON.PATH.PAPER_DIR
""".split()
"""Every CANON name that the seed documents mention."""


def registry():
    """The registry below its root."""
    return canon.registry()["CANON"]


# --------------------------------------------------------------------------------- the registry


def test_constants_are_the_specified_ones():
    """Every constant has its specified value, and there are no others."""
    assert registry()["CONST"] == CONSTANTS


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_enumerations_name_themselves(name):
    """An enumeration has exactly the specified members, whose values are their names."""
    assert registry()["ENUM"][name] == {member: member for member in ENUMERATIONS[name]}


def test_npz_keys():
    """The arrays of a raster file are X, A, cond_id and seq_id."""
    keys = {"X_OCCUPANCY": "X", "A_COUNT": "A", "COND_ID": "cond_id", "SEQ_ID": "seq_id"}
    assert registry()["ENUM"]["NPZ_KEY"] == keys


def test_no_enumeration_beside_the_specified_ones():
    """Window sets, scorings and the two compared gains are the enumerations that were added."""
    added = {"WINDOW_SET", "SCORING", "G_CONDITION"}
    assert set(registry()["ENUM"]) == {*ENUMERATIONS, "NPZ_KEY"} | added


def test_file_names_are_the_specified_ones():
    """Every file name has its specified value; sub-folders, tables and figures stand beside."""
    output = registry()["OUTPUT"]
    files = {"TABLE_FILE_CSV", "TABLE_FILE_PARQUET", "FIG_FILE_PDF", "FIG_FILE_PNG"}
    groups = files | {"RUN_SUBDIR", "PAPER_PAGE"}
    assert {key: value for key, value in output.items() if key not in groups} == FILE_NAMES
    assert set(output) == groups | set(FILE_NAMES)
    assert list(output["RUN_SUBDIR"].values()) == [
        "results",
        "figs",
        "tables",
        "logs",
        "paper",
        "cache",
        "release",
    ]
    assert list(output["PAPER_PAGE"].values()) == [
        "README.md",
        "00_abstract.md",
        "01_method.md",
        "02_experiments.md",
        "03_results.md",
        "04_limitations.md",
        "appendix.md",
        "references.md",
    ]


@pytest.mark.parametrize(
    ("group", "stems", "suffix"),
    [
        ("TABLE_FILE_CSV", TABLES, "csv"),
        ("TABLE_FILE_PARQUET", TABLES, "parquet"),
        ("FIG_FILE_PDF", FIGURES, "pdf"),
        ("FIG_FILE_PNG", FIGURES, "png"),
    ],
)
def test_tables_and_figures_have_their_paths(group, stems, suffix):
    """Each table and figure has one path below the run for each of its two forms."""
    expected = {name: f"{stem}.{suffix}" for name, stem in stems.items()}
    assert registry()["OUTPUT"][group] == expected


def test_default_folders():
    """Runs, papers and configurations have default folders."""
    folders = {"RUNS_DIR": "runs", "PAPER_DIR": "paper", "CONFIGS_DIR": "configs"}
    assert registry()["PATH"] == folders


def test_commands_and_their_base_forms():
    """Phases 1 to 6 have a form for the base model; phases 0, 7 and 8 have none."""
    base = {
        f"{name}_BASE": f"{command} --model-role BASE"
        for name, command in COMMANDS.items()
        if name[len("PHASE")] in "123456"
    }
    assert registry()["CLI"]["CMD"] == COMMANDS | base


def test_stage_tags():
    """The tags of run ids, in the order of the pipeline."""
    tags = ["S00", "S01", "S02", "S02B", "S03", "S04", "S05", "S06B", "S06ARC", "S07", "S08"]
    assert list(registry()["CLI"]["STAGE_TAG"].values()) == tags


# --------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", SEED_NAMES)
def test_seed_names_resolve(name):
    """Every name that the seed documents use stands for something."""
    assert canon.lookup(name)


def test_seed_names_stand_for_what_the_seeds_say():
    """The names that the seeds explain resolve to the explained values."""
    said = {
        "CANON.OUTPUT.RASTER_NPZ_BASENAME": "rasters_token_layer.npz",
        "CANON.OUTPUT.NULL_NPZ_BASENAME": "rasters_nulls.npz",
        "CANON.ENUM.NPZ_KEY.X_OCCUPANCY": "X",
        "CANON.OUTPUT.TABLE_FILE_CSV.T01_SUMMARY": "tables/table_T01_SUMMARY.csv",
        "CANON.CLI.CMD.PHASE3_EXTRACT_RASTERS_BASE": "phase3_extract_rasters --model-role BASE",
    }
    assert {name: canon.lookup(name) for name in said} == said


def test_every_listed_name_resolves():
    """What :func:`names` lists, :func:`lookup` finds; it lists every leaf and section once."""
    names = canon.names()
    assert len(set(names)) == len(names)
    assert {"CANON", "CANON.CONST", "CANON.CONST.EPS"} <= set(names)
    for name in names:
        canon.lookup(name)


@pytest.mark.parametrize(
    "name",
    ["CANON.CONST.EPSILON", "CANON.CONST.EPS.X", "CONST.EPS", "CANON.", "CANON.const.EPS"],
)
def test_unknown_names_are_refused(name):
    """A name that is not in the registry, or goes below a leaf, is a KeyError."""
    with pytest.raises(KeyError, match=name):
        canon.lookup(name)


def test_the_printed_registry_is_yaml():
    """The printed registry, read by any YAML reader, has the same names."""
    printed = yaml.safe_load(dump(canon.registry()))
    assert printed["CANON"]["CONST"]["GAIN_GRID_DEFAULT"][0] == 0.7
    assert printed["CANON"]["CONST"]["TARGET_LAYER_RATES"] == [1e-5, 2e-5, 4e-5, 8e-5]
    assert printed["CANON"]["OUTPUT"] == registry()["OUTPUT"]


def test_registry_values_are_plain():
    """No enumeration member is left in the registry: it can be written as YAML and compared."""
    assert not any(isinstance(value, StrEnum) for value in leaves(registry()))
    assert CLI.CMD[f"{Command.PHASE1_CALIBRATE.name}_{ModelRole.BASE}"].startswith("phase1")


# ------------------------------------------------------------------- nothing repeats a literal

SHORTEST = 5
COLUMNS = {"cond_id", "seq_id"}
"""Keys of raster files that are columns of tables too; the table schemas declare those."""
EXCEPTIONS = {
    **dict.fromkeys(("export", "stages", "cli"), COLUMNS),
    "__init__.py": {"results"},  # the module of that name
    "stagetable.py": {"paper", "release"},  # sections of the configuration
}


def leaves(node: object) -> Iterator[object]:
    """The values of nested dictionaries and lists."""
    if isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from leaves(item)
    else:
        yield node


def canonical_names() -> set[str]:
    """Enum values, file names, command names and folders of five characters or more."""
    values = {value for value in leaves(registry()) if isinstance(value, str)}
    keys = {name.rpartition(".")[2] for name in canon.names() if "_" in name}
    return {name for name in values | keys if len(name) >= SHORTEST}


def canonical_files() -> set[str]:
    """File names, which are found inside longer strings too."""
    return {path.rpartition("/")[2] for path in (*TableId, *FigureId)} | set(FILE_NAMES.values())


def repeated(source: str) -> list[tuple[int, str]]:
    """Line and text of every literal in Python source that repeats a canonical name.

    A literal repeats a name if it, or one of its parts between slashes, equals the name, or if it
    holds a file name. Strings that stand alone (docstrings) are left out; constant parts of
    f-strings are literals.
    """
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    names, files = canonical_names(), canonical_files()
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
        and (
            not names.isdisjoint({node.value, *node.value.split("/")})
            or any(file in node.value for file in files)
        )
    ]


def test_no_module_repeats_a_canonical_name():
    """Only the registry spells out identifiers, file names, command names and folders."""
    package = Path(avalattice.__file__).parent
    found = [
        f"{path.relative_to(package)}:{line}: {text!r}"
        for path in sorted(package.rglob("*.py"))
        if path.name != "canon.py"
        for line, text in repeated(path.read_text(encoding="utf-8"))
        if text not in EXCEPTIONS.get(path.relative_to(package).parts[0], ())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'a = "SPIKE_ONE_SIDED_POS"',
        'open(folder / "results")',
        'name = f"{stem}/metrics.parquet"',
        'name = f"tables/{stem}"',
        'path = "results/anything.npz"',
        'raise E("there is no run_record.json here")',
        'x = TABLE_FILE_CSV["T01_SUMMARY"]',
        'x = f"{run}/tables/appendix/table_T06_ABLATIONS.csv"',
        'run("phase1_calibrate")',
        'def f(role="INSTRUCT"): ...',
    ],
)
def test_the_scan_finds_repetitions(source):
    """Control: each way to repeat a name is found, with its line."""
    assert [line for line, _ in repeated(f'"""A docstring."""\n{source}')] == [2]


@pytest.mark.parametrize(
    "source",
    [
        '"""Writes metrics.parquet."""',
        'class A:\n    b: int\n    """In results/metrics.parquet."""',
        "x = OUTPUT.METRICS_PARQUET_BASENAME",
        'x = "mytables"',
        'x = "the raster of a run"',
        'x = "MLP"',  # below five characters
        '# "results"',
    ],
)
def test_the_scan_leaves_other_text_alone(source):
    """Control: documentation, longer words, prose and short names are no repetitions."""
    assert repeated(source) == []
