"""What a release says of runs, taken from their records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avalattice.errors import DependencyError
from avalattice.stages.release_inputs import published, release_files, stage_run
from avalattice.store.runs import RunStore
from tests.store.small_runs import (
    ARTIFACTS,
    LOG,
    RESOLVED,
    TARGETS,
    full_record,
    overwrite,
    write_run,
)

RECORD = "run_record.json"


def complete_record():
    """A record in which every part is filled, of a run that has ended."""
    record = full_record()
    record.status, record.finished_utc = "complete", "2026-01-02T03:04:05+00:00"
    return record


@pytest.fixture
def run(tmp_path):
    """A complete run."""
    store = RunStore(tmp_path / "runs")
    return store.open(write_run(store))


def test_a_runs_files_are_its_record_and_artifacts(run):
    """Every artifact and the record are packed; what the record does not list is not."""
    (run.folder / "results" / "stray.txt").write_text("?", encoding="utf-8")
    files = release_files([run])
    names = {RECORD, LOG, *ARTIFACTS}
    assert files == {f"runs/{run.run_id}/{name}": run.folder / name for name in names}


def test_a_damaged_artifact_is_not_packed(run):
    """An artifact that is not what its digest says is refused."""
    overwrite(run.folder / TARGETS, b"{}")
    with pytest.raises(DependencyError, match=r"targets\.json"):
        release_files([run])


def test_inputs_and_outputs_of_a_run(run):
    """The configuration is read, as are the artifacts of other runs; everything else is written."""
    described = stage_run(run.record)
    outputs = {RECORD, LOG, *ARTIFACTS} - {RESOLVED}
    assert described.inputs == (f"runs/{run.run_id}/{RESOLVED}",)
    assert set(described.outputs) == {f"runs/{run.run_id}/{name}" for name in outputs}
    upstream = complete_record().dependencies[0]
    (name,) = upstream.artifacts
    assert f"runs/{upstream.run_id}/{name}" in stage_run(complete_record()).inputs


def test_what_a_run_read_beside_files():
    """Model, tokenizer and data are named with their digests; words tell role and configuration."""
    record = complete_record()
    described = stage_run(record)
    assert [source.kind for source in described.sources] == ["model", "tokenizer", "data"]
    assert [source.digests for source in described.sources][:2] == [
        record.model.files,
        record.tokenizer.files,
    ]
    assert [*described.sources[2].digests.values()] == [record.datasets[0].slice_sha256]
    assert record.config_hash in described.description
    assert f"the {record.model.role} model {record.model.id}" in described.description
    record.model = record.tokenizer = None
    record.datasets = []
    assert stage_run(record) == replace(
        described, sources=(), description=f"Stage S03, version 1, with configuration {'c' * 64}."
    )


def test_random_weights_and_notes_are_told():
    """A reader learns that weights were drawn at random, and what was noted of them."""
    record = complete_record()
    plain = stage_run(record).sources[0].description
    record.model.random_init, record.model.note = True, "De-quantised."
    told = stage_run(record).sources[0].description
    assert "random weights" in told
    assert told.endswith("De-quantised.")
    assert "random weights" not in plain


def test_a_release_is_published_when_its_last_run_ended():
    """The date is that of the run that ended last, whichever comes first."""
    early, late = complete_record(), complete_record()
    early.finished_utc = "2025-12-31T23:59:59+00:00"
    assert published([early, late]) == published([late, early]) == late.finished_utc


def test_an_unfinished_run_is_not_released():
    """A record without an end is refused."""
    with pytest.raises(DependencyError, match="the run is incomplete"):
        stage_run(full_record())
