"""Plans: forward passes, time, memory and disk of the configured pipeline, without running it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from avalattice.canon import OUTPUT, DatasetRole, RunSubdir, StageTag
from avalattice.errors import AvalatticeError
from avalattice.export.documents import GStarDocument, read_document
from avalattice.pipeline import Pipeline
from avalattice.stages.session import Session
from avalattice.stagetable import STAGES, Stage
from avalattice.store.record import RunRecord

_NULLS = 4  # null rasters of each condition
_COPIES = 4  # the runs, the release's scratch copy, its pack and its zip
_RASTER_BYTES = 3  # uint16 counts and uint8 occupancy
_WORKING_BYTES = 1 << 30  # the contract: at most this above the loaded model
_FLOP_PER_WEIGHT = 2
_EFFICIENCY = 0.5  # of a bare matrix product's speed; about what a decoder pass reaches
_MATRIX = 1024
_ITEM_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True)
class StagePlan:
    """What one stage would take."""

    command: str
    state: str
    """complete, incomplete, missing, waiting for an upstream, or not configured."""
    run_id: str | None
    """The expected run, where its upstreams are there."""
    forward_windows: int
    """Windows it passes through the model; an upper bound before g* is known."""
    seconds: float
    """Estimated time of those passes."""


@dataclass(frozen=True)
class Plan:
    """What the pipeline would take."""

    stages: list[StagePlan]
    seconds_per_window: float
    """One window's forward pass."""
    basis: str
    """How that was obtained."""
    memory_bytes: int
    """Largest memory needed."""
    disk_bytes: int
    """Disk taken by runs, partial results included."""

    @property
    def missing_seconds(self) -> float:
        """Time of the stages that are not complete."""
        return sum(stage.seconds for stage in self.stages if stage.state != "complete")


def make_plan(pipeline: Pipeline, *, seconds_per_window: float | None = None) -> Plan:
    """Plan every stage.

    Args:
        pipeline: the pipeline.
        seconds_per_window: a measured time; without one, that of earlier runs is used, or the
            speed of a matrix product on this machine.
    """
    session = pipeline.session
    seconds, basis = _seconds_per_window(session, seconds_per_window)
    rows = []
    for stage in STAGES.values():
        state, run_id = pipeline.status(stage)
        windows = forward_windows(pipeline, stage)
        time = seconds * _full_windows(pipeline, stage, windows)
        rows.append(StagePlan(str(stage.command), state, run_id, windows, round(time, 1)))
    weights = session.outline.n_params * _ITEM_BYTES[session.device.dtype]
    return Plan(rows, seconds, basis, weights + _WORKING_BYTES, disk_bytes(session))


def forward_windows(pipeline: Pipeline, stage: Stage) -> int:
    """Windows that a stage passes through the model."""
    session = pipeline.session
    data, gains = session.config.data.A, len(session.config.gain.grid)
    if stage.tag is StageTag.S06B:
        other = session.config.data.B
        return _raster_gains(pipeline) * other.n_windows if other else 0
    if stage.tag is StageTag.S06ARC:
        return _raster_gains(pipeline) * _question_passes(session).windows
    nulls, ablations = session.config.nulls, session.config.ablations
    # at gain 1 nothing is ablated
    ablated = len(set(ablations.interventions)) * (_raster_gains(pipeline) - 1)
    rasters = _raster_gains(pipeline) * data.n_windows_rasters
    return {
        StageTag.S01: 2 * data.n_windows_calibration,
        StageTag.S02: gains * data.n_windows_calibration,
        StageTag.S03: rasters,
        StageTag.S04: nulls.token_shuffle_replicates * rasters,
        StageTag.S05: ablated * data.n_windows_calibration,
    }.get(stage.tag, 0)


def _full_windows(pipeline: Pipeline, stage: Stage, windows: int) -> float:
    """Windows of full length that take as long as a stage's: prompts are shorter."""
    if stage.tag is not StageTag.S06ARC:
        return windows
    plan = pipeline.session.window_plan()
    tokens = _raster_gains(pipeline) * _question_passes(pipeline.session).tokens
    return tokens / (plan.seq_len_tokens + plan.warmup_tokens)


class _Passes(NamedTuple):
    windows: int
    tokens: int


def _question_passes(session: Session) -> _Passes:
    """What all questions take at one gain, in every scoring."""
    if not session.is_configured(DatasetRole.ARC_MCQ):
        return _Passes(0, 0)
    from avalattice.data.prompts import encode_questions
    from avalattice.model.choices import question_batches

    options, questions = session.question_options, session.questions.questions
    batches = [
        batch
        for scoring in options.scorings
        for batch in question_batches(
            encode_questions(questions, session.tokenizer, scoring), options.batch_questions
        )
    ]
    return _Passes(sum(b.n_passes for b in batches), sum(b.n_tokens for b in batches))


def _n_curves(session: Session) -> int:
    return len(session.config.events.spike_defs) * len(session.config.events.targets)


def _raster_gains(pipeline: Pipeline) -> int:
    """Distinct gains of Phase 3; before g* is known, the most there can be."""
    config = pipeline.session.config
    most = min(len(config.gain.grid), 1 + _n_curves(pipeline.session))
    state, run_id = pipeline.status(STAGES[StageTag.S02B])
    if state != "complete" or run_id is None:
        return most
    try:
        reader = pipeline.session.store.open(run_id)
        path = reader.path(f"{RunSubdir.RESULTS}/{OUTPUT.GSTAR_JSON_BASENAME}")
        choices = read_document(path, GStarDocument).choices
    except AvalatticeError:
        return most
    return len({gain for choice in choices for gain in choice.raster_gains})


def _seconds_per_window(session: Session, measured: float | None) -> tuple[float, str]:
    if measured is not None:
        return measured, "one window, measured now"
    for record in _records_like(session):
        steps = ("moments", "base_rates", "rate_matching", "rasters")
        seconds = sum(record.cost.seconds.get(step, 0.0) for step in steps)
        if seconds and record.cost.forward_windows:
            return seconds / record.cost.forward_windows, f"measured in {record.run_id}"
    return _from_matrix_product(session), "speed of a matrix product (phase0_validate_env measures)"


def _records_like(session: Session) -> Iterator[RunRecord]:
    """Records of complete runs of the same model, window length, device and dtype."""
    here = session.model_record
    for run_id in session.store.run_ids():
        if session.store.status(run_id) != "complete":
            continue
        record = session.store.open(run_id).record
        tokens = record.cost.forward_windows * session.window_plan().seq_len_tokens
        if record.model == here and tokens and record.cost.forward_tokens >= tokens:
            yield record


def _from_matrix_product(session: Session) -> float:
    import torch

    matrix = torch.ones(_MATRIX, _MATRIX)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        times.append(time.perf_counter() - start)
    flop_per_second = _EFFICIENCY * 2 * _MATRIX**3 / min(times)
    tokens = session.window_plan().seq_len_tokens + session.window_plan().warmup_tokens
    return _FLOP_PER_WEIGHT * session.outline.n_params * tokens / flop_per_second


def disk_bytes(session: Session) -> int:
    """Disk that the configured runs take, partial results included."""
    data, curves = session.config.data, _n_curves(session)
    sites = session.outline.n_layers * data.seq_len_tokens * _RASTER_BYTES
    grid = len(session.config.gain.grid) * curves * data.A.n_windows_calibration * sites
    rasters = 2 * curves * data.A.n_windows_rasters * sites
    other = 2 * curves * data.B.n_windows * sites if data.B else 0
    nulls = _NULLS * rasters
    # while a stage runs, its partial results are there too; a release holds all of it, and its zip
    return _COPIES * (grid + rasters + nulls + other) + nulls
