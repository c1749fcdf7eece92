"""What a release says of a run: its record in the words of :mod:`avalattice.export.crate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from avalattice.canon import OUTPUT
from avalattice.errors import DependencyError
from avalattice.export.crate import Source, StageRun
from avalattice.export.release import packed_name, run_files
from avalattice.store.reader import RunReader
from avalattice.store.record import DatasetRecord, ModelRecord, RunRecord, TokenizerRecord


def release_files(runs: Iterable[RunReader]) -> dict[str, Path]:
    """The files of runs by their names in a pack.

    Raises:
        DependencyError: an artifact is missing or differs from its digest.
    """
    files: dict[str, Path] = {}
    for run in runs:
        for name in run.record.artifact_index:
            run.path(name)
        files |= run_files(run.run_id, run.folder, run.record.artifact_index)
    return files


def stage_run(record: RunRecord) -> StageRun:
    """A complete run as a release describes it.

    Raises:
        DependencyError: the run is incomplete.
    """
    outputs = (name for name in record.artifact_index if name != OUTPUT.CONFIG_RESOLVED_YAML)
    return StageRun(
        run_id=record.run_id,
        stage_id=record.stage_id,
        description=_words(record),
        version=record.package_version,
        started=record.created_utc,
        finished=finished(record),
        inputs=(
            packed_name(record.run_id, OUTPUT.CONFIG_RESOLVED_YAML),
            *(
                packed_name(dependency.run_id, name)
                for dependency in record.dependencies
                for name in dependency.artifacts
            ),
        ),
        outputs=tuple(
            packed_name(record.run_id, name) for name in (OUTPUT.RUN_RECORD_JSON, *outputs)
        ),
        sources=tuple(_sources(record)),
    )


def published(records: Iterable[RunRecord]) -> str:
    """When the last of the runs ended: the same whenever the release is built.

    Raises:
        DependencyError: a run is incomplete.
    """
    return max(finished(record) for record in records)


def finished(record: RunRecord) -> str:
    """When a run ended, ISO 8601.

    Raises:
        DependencyError: the run is incomplete.
    """
    if record.finished_utc is None:
        raise DependencyError(f"{record.run_id}: the run is {record.status}")
    return record.finished_utc


def _words(record: RunRecord) -> str:
    model = "" if record.model is None else f" of the {record.model.role} model {record.model.id}"
    return (
        f"Stage {record.stage_id}{model}, version {record.stage_version}, with configuration "
        f"{record.config_hash}."
    )


def _sources(record: RunRecord) -> Iterator[Source]:
    if record.model is not None:
        yield _model(record.model)
        if record.tokenizer is not None:
            yield _tokenizer(record.tokenizer, record.model)
    yield from map(_dataset, record.datasets)


def _model(model: ModelRecord) -> Source:
    weights = "random weights" if model.random_init else "weights as in the files"
    note = "" if model.note is None else f" {model.note}"
    return Source(
        "model",
        model.id,
        f"The {model.role} model: {model.model_type}, {model.n_layers} layers, "
        f"{model.n_parameters} parameters, {model.dtype}, {weights}.{note}",
        model.source,
        model.revision,
        model.files,
    )


def _tokenizer(tokenizer: TokenizerRecord, model: ModelRecord) -> Source:
    return Source(
        "tokenizer",
        f"Tokenizer of {model.id}",
        f"The tokenizer of the {model.role} model.",
        model.source,
        model.revision,
        tokenizer.files,
    )


def _dataset(dataset: DatasetRecord) -> Source:
    return Source(
        "data",
        f"Data {dataset.role}, {dataset.window_set}",
        f"{len(dataset.window_ids)} windows or items of {dataset.source}.",
        dataset.source,
        dataset.revision,
        {"ids of windows and tokens": dataset.slice_sha256},
    )
