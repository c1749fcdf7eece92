"""Stages on a tiny model: what all promise about bytes and each other; counts of phases 1 to 3."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from avalattice.canon import CONST, ModelRole, NpzKey, StageTag
from avalattice.errors import DependencyError, RunExistsError
from avalattice.lattice.rasters import load_rasters
from avalattice.schemas import ARTIFACT_SCHEMAS
from avalattice.stagetable import STAGES
from avalattice.store.record import read_record
from avalattice.store.runs import RunStore
from avalattice.store.verify import verify_runs
from avalattice.store.writer import EVENTS_LOG
from tests.stages.conftest import Workplace
from tests.tiny import GAINS, N_CALIBRATION, N_LAYERS, N_RASTERS, SEQ_LEN, TARGETS

OUTSIDE_THE_PROMISE = ("config_resolved.yaml", EVENTS_LOG)
FIRST_FIVE = [StageTag(tag) for tag in ("S01", "S02", "S02B", "S03", "S04")]
"""Up to the null rasters: what a second pipeline runs where later stages are not the point."""


def digests(runs: Path, *tags: str) -> dict[str, str]:
    """Digests of the artifacts that are promised to be the same anywhere, of some stages or all.

    A pack holds records, which know when their runs were made.
    """
    kept = [str(tag) for tag in tags or STAGES if not STAGES[StageTag(tag)].packs]
    return {
        f"{folder.name}/{name}": entry.sha256
        for folder in runs.glob("RUN_*")
        if folder.name.split("_")[1] in kept
        for name, entry in read_record(folder).artifact_index.items()
        if name not in OUTSIDE_THE_PROMISE
    }


def rows(run: Path, table: str) -> list[dict[str, object]]:
    """Rows of a results table."""
    return pq.read_table(run / "results" / table).to_pylist()


def test_every_artifact_of_the_stage_table_is_written_and_indexed(finished: Workplace) -> None:
    """A complete run's index holds what its stage declares, its log and its config, and no more.

    A pack is of whatever lies in the runs that it packs.
    """
    for tag, stage in STAGES.items():
        found = set(read_record(finished.run(str(tag))).artifact_index)
        packed = {name for name in found if stage.packs and name.startswith("release/")}
        declared = {*stage.outputs, *OUTSIDE_THE_PROMISE}
        assert declared <= found <= declared | set(stage.optional_outputs) | packed


def test_forward_passes_are_two_per_calibration_window_and_one_per_gain(
    finished: Workplace,
) -> None:
    """S01 and S02 together pass exactly 2·N_cal + G·N_cal windows through the model."""
    cost = {tag: read_record(finished.run(tag)).cost for tag in ("S01", "S02", "S03")}
    assert cost["S01"].forward_windows == 2 * N_CALIBRATION
    assert cost["S02"].forward_windows == len(GAINS) * N_CALIBRATION
    distinct = {c["gain"] for c in read_record(finished.run("S03")).conditions}
    assert cost["S03"].forward_windows == len(distinct) * N_RASTERS
    assert cost["S02"].forward_tokens == len(GAINS) * N_CALIBRATION * SEQ_LEN


def test_achieved_counts_equal_k_less_the_listed_ties(finished: Workplace) -> None:
    """Every (gain, layer, rate, spike definition) fires k times on the grid's rasters."""
    run = finished.run("S02")
    thresholds = rows(run, "thresholds.parquet")
    assert len(thresholds) == len(GAINS) * 2 * len(TARGETS) * N_LAYERS
    grid = load_rasters(run / "results" / "rasters_gain_grid.npz")
    metrics = rows(run, "metrics.parquet")
    key = ("gain", "spike_def_id", "target_label")
    cond_id = {tuple(row[name] for name in key): row["cond_id"] for row in metrics}
    for row in thresholds:
        counts = grid.A[cond_id[tuple(row[name] for name in key)], :, row["layer"]]
        assert counts.sum() == row["achieved"] == row["k"] - row["ties"]
    assert sum(row["ties"] for row in thresholds) == 0


def test_rasters_follow_the_seed_schema(finished: Workplace) -> None:
    """rasters_token_layer.npz holds X, A, cond_id and seq_id with axes [C, N, L, T]."""
    run = finished.run("S03")
    with np.load(run / "results" / "rasters_token_layer.npz", allow_pickle=False) as arrays:
        loaded = {name: arrays[name] for name in arrays.files}
    assert set(loaded) == {str(key) for key in NpzKey}
    conditions = rows(run, "metrics.parquet")
    shape = (len(conditions), N_RASTERS, N_LAYERS, SEQ_LEN)
    assert loaded["X"].shape == loaded["A"].shape == shape
    assert loaded["X"].dtype == np.uint8
    assert loaded["A"].dtype == np.uint16
    np.testing.assert_array_equal(loaded["X"], loaded["A"] > 0)
    np.testing.assert_array_equal(loaded["cond_id"], [row["cond_id"] for row in conditions])
    assert loaded["cond_id"].dtype == loaded["seq_id"].dtype == np.int32


def test_phase_3_holds_gain_one_and_gstar_once_each(finished: Workplace) -> None:
    """Phase 3's conditions are {1, g*} for every spike definition and target."""
    gstar = json.loads((finished.run("S02B") / "results" / "gstar.json").read_text())
    conditions = read_record(finished.run("S03")).conditions
    for choice in gstar["choices"]:
        gains = [
            c["gain"]
            for c in conditions
            if (c["spike_def_id"], c["target_label"])
            == (choice["spike_def_id"], choice["target_label"])
        ]
        assert sorted(gains) == sorted({"1.0", choice["gstar"]})


def test_phase_3_applies_the_thresholds_of_phase_2_bit_for_bit(finished: Workplace) -> None:
    """The tau in Phase 3's metrics are the grid's, not recomputed ones."""
    fitted = {
        (row["gain"], row["spike_def_id"], row["target_label"], row["layer"]): row["tau"]
        for row in rows(finished.run("S02"), "thresholds.parquet")
    }
    for row in rows(finished.run("S03"), "metrics.parquet"):
        for layer, tau in enumerate(row["tau"]):
            key = (row["gain"], row["spike_def_id"], row["target_label"], layer)
            assert np.float32(tau) == np.float32(fitted[key])


def test_phase_3_on_the_calibration_windows_gives_the_grid(
    finished: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting at given thresholds and counting while fitting agree on the same windows."""
    from avalattice.canon import WindowSet
    from avalattice.events.counts import AppliedThresholds, count_events
    from avalattice.events.passes import batches, collect
    from avalattice.stages.context import StageContext

    pipeline = finished.pipeline()
    resolution = pipeline.resolve(STAGES[StageTag.S03])
    ctx = StageContext(pipeline.session, StageTag.S03, None, resolution.inputs, "")  # type: ignore[arg-type]
    grid = load_rasters(finished.run("S02") / "results" / "rasters_gain_grid.npz")
    metrics = rows(finished.run("S02"), "metrics.parquet")
    scales, windows = ctx.scales(), ctx.windows(WindowSet.CALIBRATION)
    for row in metrics:
        thresholds = AppliedThresholds((row["spike_def_id"],), np.float32([row["tau"]]))
        for batch in batches(windows, 2):
            layers = collect(
                pipeline.session.model,
                batch,
                row["gain"],
                lambda layer, u, t=thresholds: count_events(u, scales[layer], t, layer, SEQ_LEN),
            )
            part = slice(batch.first, batch.first + batch.n_windows)
            counted = np.stack(layers, axis=2)[0]
            np.testing.assert_array_equal(counted, grid.A[row["cond_id"], part])


def test_repeating_a_complete_stage_is_refused(finished: Workplace) -> None:
    """A complete run is never written again, with or without --allow-resume."""
    for resume in (False, True):
        with pytest.raises(RunExistsError, match="can be used as they are"):
            finished.pipeline().run(STAGES[StageTag.S03], allow_resume=resume)


def test_a_missing_upstream_names_the_command_that_makes_it(finished: Workplace) -> None:
    """Without S02B's run, Phase 3 says which command to run."""
    store = RunStore(finished.runs)
    store.remove(store.with_dependents([finished.run("S02B").name]))
    with pytest.raises(DependencyError, match=r"avalattice phase2_select_gstar --config "):
        finished.pipeline().resolve(STAGES[StageTag.S03])


@pytest.mark.parametrize(
    ("upstream", "artifact", "stage"),
    [
        ("S01", "results/calibration_stats.npz", StageTag.S02),
        ("S01", "results/rate_targets.json", StageTag.S02),
        ("S02", "results/metrics_windows.parquet", StageTag.S02B),
        ("S02", "results/thresholds.parquet", StageTag.S03),
        ("S02B", "results/gstar.json", StageTag.S03),
        ("S01", "run_record.json", StageTag.S02),
        ("S02", "results/rasters_gain_grid.npz", StageTag.S04),
        ("S02", "results/thresholds.parquet", StageTag.S04),
        ("S03", "results/rasters_token_layer.npz", StageTag.S04),
        ("S03", "results/metrics.parquet", StageTag.S04),
        ("S02", "results/metrics.parquet", StageTag.S05),
        ("S03", "results/windows.parquet", StageTag.S05),
        ("S03", "run_record.json", StageTag.S05),
        ("S04", "results/null_statistics.parquet", StageTag.S05),
        ("S04", "results/tau_rate_matched.parquet", StageTag.S05),
    ],
)
def test_a_flipped_byte_upstream_is_refused_and_found(
    finished: Workplace,
    damage: Callable[[Path], None],
    upstream: str,
    artifact: str,
    stage: StageTag,
) -> None:
    """The stage that would read a damaged artifact refuses, and ``verify`` finds it."""
    damage(finished.run(upstream) / artifact)
    with pytest.raises(DependencyError, match=artifact.rpartition("/")[2]):
        finished.pipeline().resolve(STAGES[stage])
    found = verify_runs(RunStore(finished.runs), schemas=ARTIFACT_SCHEMAS)
    assert any(artifact in fault for fault in found.faults)


def test_a_damaged_artifact_that_no_stage_reads_is_found(
    finished: Workplace, damage: Callable[[Path], None]
) -> None:
    """Phase 4's null rasters stop nobody, but ``verify`` sees a flipped byte in them."""
    damage(finished.run("S04") / "results" / "rasters_nulls.npz")
    finished.pipeline().resolve(STAGES[StageTag.S05])
    (fault,) = verify_runs(RunStore(finished.runs), schemas=ARTIFACT_SCHEMAS).faults
    assert "rasters_nulls.npz: sha256 should be" in fault


def test_verify_finds_no_fault_in_what_the_stages_write(finished: Workplace) -> None:
    """Digests, schemas and dependencies of a finished pipeline hold."""
    found = verify_runs(RunStore(finished.runs), schemas=ARTIFACT_SCHEMAS)
    assert found.faults == []
    assert len(found.complete) == len(STAGES)


def test_every_table_raster_and_document_has_a_schema() -> None:
    """What a stage writes in a form that has a schema is looked into by ``verify``."""
    without = {
        Path(name).name
        for stage in STAGES.values()
        for name in (*stage.outputs, *stage.optional_outputs)
        if Path(name).suffix in (".parquet", ".csv", ".npz", ".json")
    } - set(ARTIFACT_SCHEMAS)
    assert without == set()


def test_the_same_configuration_in_another_directory_gives_the_same_bytes(
    finished: Workplace, tmp_path: Path
) -> None:
    """Artifacts, figures and paper too, are a function of the configuration, wherever it runs."""
    elsewhere = Workplace(tmp_path / "elsewhere.yaml", tmp_path / "other" / "runs")
    text = finished.config.read_text().replace(str(finished.runs), str(elsewhere.runs))
    elsewhere.config.write_text(text.replace("block_windows: 2", "block_windows: 5"))
    elsewhere.run_to(StageTag.S07, figures=True)
    whole = digests(finished.runs)
    assert digests(elsewhere.runs) == whole
    assert any(name.endswith(".pdf") for name in whole)


def test_another_seed_gives_other_runs(finished: Workplace) -> None:
    """Control of the test above: what is part of the identity changes every digest."""
    finished.config.write_text("seed: 7\n" + finished.config.read_text())
    finished.run_to(StageTag.S04)
    found = digests(finished.runs, *FIRST_FIVE)
    outputs = sum(len(STAGES[tag].outputs) for tag in FIRST_FIVE)
    assert len(set(found.values())) == len(found) == 2 * outputs


KILLED = """
import os, signal, sys
from avalattice.store import writer as runs
keep, left = runs.RunWriter._keep_partial, [int(sys.argv[1])]
def dying(self, *arguments):
    kept = keep(self, *arguments)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return kept
runs.RunWriter._keep_partial = dying
from avalattice.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("tag", "partials"),
    [(StageTag.S02, 4), (StageTag.S03, 2), (StageTag.S04, 4), (StageTag.S05, 10)],
)
def test_a_killed_stage_resumes_to_the_same_bytes_without_repeating_passes(
    finished: Workplace, monkeypatch: pytest.MonkeyPatch, tag: StageTag, partials: int
) -> None:
    """Killed after some partial results, a stage finishes from those, to identical artifacts.

    Phases 4 and 5 are killed in their passes of shuffled input, and of ablations. Figures are left
    out here: they are drawn after everything that is kept in parts.
    """
    monkeypatch.setattr("avalattice.stages.s05_analyze.write_figures", lambda *_: None)
    run, store = finished.run(str(tag)), RunStore(finished.runs)
    cost = read_record(run).cost
    whole = {name: of for name, of in digests(finished.runs, tag).items() if "/figs/" not in name}
    store.remove(store.with_dependents([run.name]))
    arguments = [str(STAGES[tag].command), "--config", str(finished.config)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(partials), *arguments], check=False, capture_output=True
    )
    assert killed.returncode == -9
    assert store.status(run.name) == "incomplete"
    assert len(list((run / "cache").glob("*.npz"))) == partials
    with pytest.raises(RunExistsError, match="--allow-resume"):
        finished.pipeline().run(STAGES[tag], allow_resume=False)
    finished.pipeline().run(STAGES[tag], allow_resume=True)
    again = read_record(run).cost
    assert again.forward_windows == cost.forward_windows
    assert again.forward_tokens == cost.forward_tokens
    assert digests(finished.runs, tag) == whole
    assert verify_runs(store, schemas=ARTIFACT_SCHEMAS).faults == []


def test_the_other_model_role_runs_the_same_stages(finished: Workplace) -> None:
    """``--model-role BASE`` on a second model adds runs of its own beside the first ones."""
    finished.run_to(StageTag.S04, ModelRole.BASE)
    roles = [read_record(folder).model.role for folder in finished.runs.glob("RUN_*")]
    assert sorted(roles) == ["BASE"] * len(FIRST_FIVE) + ["INSTRUCT"] * len(STAGES)


def test_an_upstream_can_be_named(finished: Workplace) -> None:
    """--dep takes a run that the present configuration would not look for, and records that."""
    finished.config.write_text(
        finished.config.read_text().replace("grid: [0.5, 1.0, 2.0]", "grid: [0.5, 1.0]")
    )
    pipeline = finished.pipeline()
    assert pipeline.status(STAGES[StageTag.S02])[0] == "missing"
    pipeline.overrides = (finished.run("S02").name,)
    run_id = pipeline.run(STAGES[StageTag.S02B], allow_resume=False)
    (dependency,) = read_record(finished.runs / run_id).dependencies
    assert dependency.overridden
    assert dependency.run_id == finished.run("S02").name


def test_gstar_states_what_it_was_computed_from(finished: Workplace) -> None:
    """gstar.json holds the digests of its inputs, and shares that sum to one."""
    gstar = json.loads((finished.run("S02B") / "results" / "gstar.json").read_text())
    index = read_record(finished.run("S02")).artifact_index
    assert gstar["inputs"] == {name: index[name].sha256 for name in gstar["inputs"]}
    assert len(gstar["inputs"]) == 2
    for choice in gstar["choices"]:
        assert sum(choice["shares"].values()) == pytest.approx(1.0)
        assert choice["few_windows"] == (N_CALIBRATION < CONST.FEW_WINDOWS)


def test_windows_table_holds_both_slices_with_their_text(finished: Workplace) -> None:
    """windows.parquet gives token ids and text of every calibration and raster window."""
    table = rows(finished.run("S03"), "windows.parquet")
    sizes = [(row["window_set"], len(row["token_ids"])) for row in table]
    assert sizes == [("calibration", SEQ_LEN)] * N_CALIBRATION + [("raster", SEQ_LEN)] * N_RASTERS
    assert all("".join(row["tokens"]) == row["text"] for row in table)
    assert len({row["window_id"] for row in table}) == len(table)


def test_a_too_precise_target_is_noted(finished: Workplace) -> None:
    """A target of fewer than RATE_MATCH_MIN_EVENTS events per layer leaves a note in the record."""
    notes = read_record(finished.run("S01")).notes
    k = json.loads((finished.run("S01") / "results" / "rate_targets.json").read_text())["k"]
    few = np.array(k).min(axis=(0, 2)) < CONST.RATE_MATCH_MIN_EVENTS
    for label, is_few in zip(TARGETS, few, strict=True):
        assert any(f"target {label} gives a layer fewer" in note for note in notes) == is_few
    assert few.any()
