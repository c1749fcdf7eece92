"""The stages: what each reads, rests on and writes.

A stage names its function by import path, so that this table costs no import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from avalattice.canon import (
    OUTPUT,
    Command,
    DatasetRole,
    FigureId,
    PaperPage,
    RunSubdir,
    StageTag,
    TableId,
)


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline."""

    tag: StageTag
    command: Command
    version: int
    """Raised when a change alters numbers."""
    summary: str
    """One line for the help."""
    function: str
    """``module:function``, called with a :class:`~avalattice.stages.context.StageContext`."""
    sections: tuple[str, ...]
    """Configuration sections that it reads, beside those of its upstreams."""
    inputs: Mapping[StageTag, tuple[str, ...]]
    """Artifacts that it consumes, by upstream stage."""
    outputs: tuple[str, ...]
    """Artifacts that it writes."""
    forward: bool
    """Whether it makes forward passes."""
    datasets: tuple[DatasetRole, ...] = (DatasetRole.A,)
    """Datasets that it reads, beside those of its upstreams."""
    optional_inputs: Mapping[StageTag, tuple[str, ...]] = field(default_factory=dict)
    """Artifacts that it consumes, too, of stages whose datasets the configuration names."""
    peer_inputs: Mapping[StageTag, tuple[str, ...]] = field(default_factory=dict)
    """Artifacts of the other model role that it consumes if all of those runs are complete."""
    packs: bool = False
    """Whether it holds every run beneath: their records then enter its identity."""
    optional_outputs: tuple[str, ...] = ()
    """Artifacts that it writes where such inputs are there."""
    afterwards: str | None = None
    """``module:function``, called with session and run whenever the run is asked for and complete.

    What it does lies outside of the run and of its identity.
    """

    @property
    def dataset_role(self) -> DatasetRole:
        """The dataset that its tables are of."""
        return self.datasets[0] if self.datasets else DatasetRole.A


def _results(*basenames: str) -> tuple[str, ...]:
    return tuple(f"{RunSubdir.RESULTS}/{basename}" for basename in basenames)


def _tables(*tables: TableId) -> tuple[str, ...]:
    files = (OUTPUT.TABLE_FILE_PARQUET, OUTPUT.TABLE_FILE_CSV)
    return tuple(paths[table.name] for table in tables for paths in files)


def _parquet(*tables: TableId) -> tuple[str, ...]:
    return tuple(OUTPUT.TABLE_FILE_PARQUET[table.name] for table in tables)


def _figures(*figures: FigureId) -> tuple[str, ...]:
    files = (OUTPUT.FIG_FILE_PDF, OUTPUT.FIG_FILE_PNG)
    return tuple(paths[figure.name] for figure in figures for paths in files)


def _paper(*names: str) -> tuple[str, ...]:
    return tuple(f"{RunSubdir.PAPER}/{name}" for name in names)


def _pictures(*figures: FigureId) -> tuple[str, ...]:
    return tuple(OUTPUT.FIG_FILE_PNG[figure.name] for figure in figures)


ANALYSIS_FIGURES = tuple(
    figure
    for figure in FigureId
    if figure not in (FigureId.F06_GENERALIZATION_B, FigureId.F07_ARC_MCQ)
)
"""The figures of phase 5: all but phase 6's."""


STAGES: Mapping[StageTag, Stage] = {
    stage.tag: stage
    for stage in (
        Stage(
            tag=StageTag.S01,
            command=Command.PHASE1_CALIBRATE,
            version=1,
            summary="Calibrate every MLP unit and set rate targets, on Dataset A at g = 1.",
            function="avalattice.stages.s01_calibrate:run",
            sections=("seed", "model", "data.A", "events"),
            inputs={},
            outputs=_results(
                OUTPUT.CALIBRATION_STATS_NPZ_BASENAME, OUTPUT.RATE_TARGETS_JSON_BASENAME
            ),
            forward=True,
        ),
        Stage(
            tag=StageTag.S02,
            command=Command.PHASE2_GAIN_GRID,
            version=1,
            summary="Match rates and measure branching at every gain, one pass per window.",
            function="avalattice.stages.s02_gain_grid:run",
            sections=("gain", "branching", "bootstrap"),
            inputs={
                StageTag.S01: _results(
                    OUTPUT.CALIBRATION_STATS_NPZ_BASENAME, OUTPUT.RATE_TARGETS_JSON_BASENAME
                )
            },
            outputs=_results(
                OUTPUT.METRICS_PARQUET_BASENAME,
                OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME,
                OUTPUT.THRESHOLDS_PARQUET_BASENAME,
                OUTPUT.GRID_RASTER_NPZ_BASENAME,
            ),
            forward=True,
        ),
        Stage(
            tag=StageTag.S02B,
            command=Command.PHASE2_SELECT_GSTAR,
            version=1,
            summary="Choose g* from branching metrics alone, and say how well it is determined.",
            function="avalattice.stages.s02b_select_gstar:run",
            sections=(),
            inputs={
                StageTag.S02: _results(
                    OUTPUT.METRICS_PARQUET_BASENAME, OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME
                )
            },
            outputs=_results(OUTPUT.GSTAR_JSON_BASENAME),
            forward=False,
        ),
        Stage(
            tag=StageTag.S03,
            command=Command.PHASE3_EXTRACT_RASTERS,
            version=1,
            summary="Extract rasters on held-out windows at gain 1 and at g*.",
            function="avalattice.stages.s03_extract_rasters:run",
            sections=(),
            inputs={
                StageTag.S01: _results(
                    OUTPUT.CALIBRATION_STATS_NPZ_BASENAME, OUTPUT.RATE_TARGETS_JSON_BASENAME
                ),
                StageTag.S02: _results(OUTPUT.THRESHOLDS_PARQUET_BASENAME),
                StageTag.S02B: _results(OUTPUT.GSTAR_JSON_BASENAME),
            },
            outputs=_results(
                OUTPUT.RASTER_NPZ_BASENAME,
                OUTPUT.METRICS_PARQUET_BASENAME,
                OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME,
                OUTPUT.WINDOWS_PARQUET_BASENAME,
            ),
            forward=True,
        ),
        Stage(
            tag=StageTag.S04,
            command=Command.PHASE4_RUN_NULLS,
            version=1,
            summary="Check the rates; draw null rasters and compare every raster with its nulls.",
            function="avalattice.stages.s04_run_nulls:run",
            sections=("nulls",),
            inputs={
                StageTag.S01: _results(
                    OUTPUT.CALIBRATION_STATS_NPZ_BASENAME, OUTPUT.RATE_TARGETS_JSON_BASENAME
                ),
                StageTag.S02: _results(
                    OUTPUT.THRESHOLDS_PARQUET_BASENAME, OUTPUT.GRID_RASTER_NPZ_BASENAME
                ),
                StageTag.S02B: _results(OUTPUT.GSTAR_JSON_BASENAME),
                StageTag.S03: _results(OUTPUT.RASTER_NPZ_BASENAME, OUTPUT.METRICS_PARQUET_BASENAME),
            },
            outputs=_results(
                OUTPUT.TAU_RATE_MATCHED_PARQUET_BASENAME,
                OUTPUT.NULL_NPZ_BASENAME,
                OUTPUT.METRICS_PARQUET_BASENAME,
                OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME,
                OUTPUT.NULL_STATISTICS_PARQUET_BASENAME,
            ),
            forward=True,
        ),
        Stage(
            tag=StageTag.S05,
            command=Command.PHASE5_ANALYZE_AND_EXPORT,
            version=1,
            summary="Find avalanches, fit tails, ablate; export tables, figures and signatures.",
            function="avalattice.stages.s05_analyze:run",
            sections=("avalanches", "ablations"),
            inputs={
                StageTag.S01: _results(
                    OUTPUT.CALIBRATION_STATS_NPZ_BASENAME, OUTPUT.RATE_TARGETS_JSON_BASENAME
                ),
                StageTag.S02: _results(
                    OUTPUT.METRICS_PARQUET_BASENAME, OUTPUT.GRID_RASTER_NPZ_BASENAME
                ),
                StageTag.S02B: _results(OUTPUT.GSTAR_JSON_BASENAME),
                StageTag.S03: _results(
                    OUTPUT.RASTER_NPZ_BASENAME,
                    OUTPUT.METRICS_PARQUET_BASENAME,
                    OUTPUT.WINDOWS_PARQUET_BASENAME,
                ),
                StageTag.S04: _results(
                    OUTPUT.TAU_RATE_MATCHED_PARQUET_BASENAME,
                    OUTPUT.NULL_STATISTICS_PARQUET_BASENAME,
                ),
            },
            outputs=(
                *_results(
                    OUTPUT.METRICS_PARQUET_BASENAME,
                    OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME,
                    OUTPUT.AVALANCHES_PARQUET_BASENAME,
                    OUTPUT.SIGNATURES_JSON_BASENAME,
                ),
                *_tables(
                    TableId.T01_SUMMARY,
                    TableId.T04_TAIL_FITS,
                    TableId.T05_CRACKLING_DIAGNOSTICS,
                    TableId.T06_ABLATIONS,
                ),
                *_figures(*ANALYSIS_FIGURES),
            ),
            forward=True,
        ),
        Stage(
            tag=StageTag.S06B,
            command=Command.PHASE6_GENERALIZE_B_METRICS,
            version=1,
            summary="Measure Dataset B at gain 1 and at g*, with thresholds of A and perplexity.",
            function="avalattice.stages.s06b_generalize:run",
            sections=("data.B",),
            inputs={
                StageTag.S01: _results(
                    OUTPUT.CALIBRATION_STATS_NPZ_BASENAME, OUTPUT.RATE_TARGETS_JSON_BASENAME
                ),
                StageTag.S02: _results(OUTPUT.THRESHOLDS_PARQUET_BASENAME),
                StageTag.S02B: _results(OUTPUT.GSTAR_JSON_BASENAME),
            },
            outputs=(
                *_results(
                    OUTPUT.RASTER_NPZ_BASENAME,
                    OUTPUT.METRICS_PARQUET_BASENAME,
                    OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME,
                ),
                *_tables(TableId.T02_GENERALIZATION),
                *_figures(FigureId.F06_GENERALIZATION_B),
            ),
            forward=True,
            datasets=(DatasetRole.B,),
        ),
        Stage(
            tag=StageTag.S06ARC,
            command=Command.PHASE6_ARC_MCQ_EVAL,
            version=1,
            summary="Score multiple-choice questions at gain 1 and at every g*.",
            function="avalattice.stages.s06arc_mcq:run",
            sections=("data.ARC_MCQ",),
            inputs={StageTag.S02B: _results(OUTPUT.GSTAR_JSON_BASENAME)},
            outputs=(
                *_results(OUTPUT.ARC_ITEMS_PARQUET_BASENAME),
                *_tables(TableId.T03_ARC),
                *_figures(FigureId.F07_ARC_MCQ),
            ),
            forward=True,
            datasets=(DatasetRole.ARC_MCQ,),
        ),
        Stage(
            tag=StageTag.S07,
            command=Command.PHASE7_PAPER_EXPORT,
            version=1,
            summary="Write the paper, each claim with its verdict; T07 where both models are done.",
            function="avalattice.stages.s07_paper:run",
            sections=(),
            inputs={
                StageTag.S02B: _results(OUTPUT.GSTAR_JSON_BASENAME),
                StageTag.S04: _results(OUTPUT.NULL_STATISTICS_PARQUET_BASENAME),
                StageTag.S05: (
                    *_results(OUTPUT.SIGNATURES_JSON_BASENAME),
                    *_parquet(
                        TableId.T01_SUMMARY,
                        TableId.T04_TAIL_FITS,
                        TableId.T05_CRACKLING_DIAGNOSTICS,
                        TableId.T06_ABLATIONS,
                    ),
                    *_pictures(*ANALYSIS_FIGURES),
                ),
            },
            outputs=_paper(
                *PaperPage,
                OUTPUT.CLAIMS_JSON_BASENAME,
                OUTPUT.REFERENCES_BIB_BASENAME,
                *_pictures(*ANALYSIS_FIGURES),
            ),
            forward=False,
            optional_inputs={
                StageTag.S06B: (
                    *_parquet(TableId.T02_GENERALIZATION),
                    *_pictures(FigureId.F06_GENERALIZATION_B),
                ),
                StageTag.S06ARC: (
                    *_parquet(TableId.T03_ARC),
                    *_pictures(FigureId.F07_ARC_MCQ),
                ),
            },
            peer_inputs={
                StageTag.S02B: _results(OUTPUT.GSTAR_JSON_BASENAME),
                StageTag.S05: _parquet(TableId.T01_SUMMARY),
            },
            afterwards="avalattice.stages.paper_copy:put_copy",
            optional_outputs=(
                *_paper(*_pictures(FigureId.F06_GENERALIZATION_B, FigureId.F07_ARC_MCQ)),
                *_tables(TableId.T07_REPLICATION_SUMMARY),
            ),
        ),
        Stage(
            tag=StageTag.S08,
            command=Command.PHASE8_RELEASE,
            version=1,
            summary="Pack the paper, the report and every run beneath, with a manifest and a zip.",
            function="avalattice.stages.s08_release:run",
            sections=("release",),
            inputs={StageTag.S07: _paper(OUTPUT.CLAIMS_JSON_BASENAME)},
            outputs=(
                f"{RunSubdir.RELEASE}/{OUTPUT.MANIFEST_SHA256}",
                f"{RunSubdir.RELEASE}/{OUTPUT.RO_CRATE_JSON}",
                f"{RunSubdir.RELEASE}/{OUTPUT.REPORT_HTML_BASENAME}",
                OUTPUT.RELEASE_ZIP_BASENAME,
            ),
            forward=False,
            packs=True,
        ),
    )
}


def upstreams_of(stage: Stage, *, optional: bool = False) -> tuple[Stage, ...]:
    """The stages that a stage rests on, however far, each once and before its own dependents.

    Args:
        stage: the stage.
        optional: with those that it rests on only where the configuration names their datasets.
    """
    found: dict[StageTag, Stage] = {}
    for tag in (*stage.inputs, *(stage.optional_inputs if optional else ())):
        above = (*upstreams_of(STAGES[tag], optional=optional), STAGES[tag])
        found |= {each.tag: each for each in above}
    return tuple(found.values())


def sections_of(stage: Stage) -> tuple[str, ...]:
    """The configuration sections that a stage and its upstreams read, each once."""
    each = (*upstreams_of(stage, optional=True), stage)
    return tuple(dict.fromkeys(name for one in each for name in one.sections))
