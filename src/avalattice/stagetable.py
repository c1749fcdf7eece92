"""The stages: what each reads, rests on and writes.

A stage names its function by import path, so that this table costs no import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avalattice.canon import OUTPUT, Command, DatasetRole, RunSubdir, StageTag


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


def _results(*basenames: str) -> tuple[str, ...]:
    return tuple(f"{RunSubdir.RESULTS}/{basename}" for basename in basenames)


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
    )
}


def sections_of(stage: Stage) -> tuple[str, ...]:
    """The configuration sections that a stage and its upstreams read, each once."""
    upstream = (name for tag in stage.inputs for name in sections_of(STAGES[tag]))
    return tuple(dict.fromkeys((*upstream, *stage.sections)))
