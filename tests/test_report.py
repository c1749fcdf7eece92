"""Collecting a report from runs: which runs, from what is there, refusing what is damaged."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from avalattice.canon import ModelRole
from avalattice.cli import main
from avalattice.errors import DependencyError, VerificationError
from avalattice.export.report.explorer import unpack_window
from avalattice.lattice.rasters import load_rasters
from avalattice.report import collect_report, newest_runs, report_html
from avalattice.store.runs import RunStore
from tests.report_rows import held_out
from tests.report_runs import ALL_STAGES, NEEDS, Maker, Place, fabricate

PHASE_BY_PHASE = [ALL_STAGES[:n] for n in range(1, len(ALL_STAGES) + 1)]


@pytest.fixture(autouse=True)
def no_flushing(monkeypatch):
    """Leave out fsync: no power fails here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def store(tmp_path) -> RunStore:
    """An empty store."""
    return RunStore(tmp_path / "runs")


def flip(path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))


# ------------------------------------------------------------------------------- which runs


def test_a_run_brings_all_that_it_rests_on(store):
    """Upstream runs come first, those downstream and those of the other model stay away."""
    made = fabricate(store, roles=tuple(ModelRole))
    behind = store.behind(made["INSTRUCT", "S03"])
    assert behind == [made["INSTRUCT", tag] for tag in ("S01", "S02", "S02B", "S03")]
    for tag in ALL_STAGES:
        found = store.behind(made["BASE", tag])
        assert {made["BASE", need] for need in NEEDS[tag]} < set(found)
        assert all(store.open(run_id).record.model.role == "BASE" for run_id in found)


def test_a_missing_upstream_run_is_an_error(store):
    """A run whose upstream is gone cannot be reported on."""
    made = fabricate(store, ("S01", "S02"))
    shutil.rmtree(store.folder(made["INSTRUCT", "S01"]))
    with pytest.raises(DependencyError, match=f"{made['INSTRUCT', 'S01']}: no such run"):
        store.behind(made["INSTRUCT", "S02"])


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_the_newest_run_of_each_stage_and_model(store, monkeypatch, order):
    """Of two runs of a stage the one that ended last is taken; damaged ones are left out."""
    times = iter(f"2026-01-01T00:00:{second:02d}+00:00" for second in range(60))
    monkeypatch.setattr("avalattice.store.writer.utc_now", lambda: next(times))
    first, second = (fabricate(store, ("S01",), place=Place(model_id=name)) for name in order)
    base = fabricate(store, ("S01",), roles=(ModelRole.BASE,))
    assert newest_runs(store) == sorted([*second.values(), *base.values()])
    flip(store.folder(second["INSTRUCT", "S01"]) / "run_record.json")
    assert newest_runs(store) == sorted([*first.values(), *base.values()])


def test_runs_that_do_not_belong_together_are_told(store):
    """The newest run of a stage may rest on a run that is not the newest: the report says so."""
    made = fabricate(store, ("S01", "S02"))
    maker = Maker(store, ModelRole.INSTRUCT, Place(model_id="newer"), {})
    newer = maker.make("S01")
    report = collect_report(store, [newer, made["INSTRUCT", "S02"]])
    assert any(f"rests on {made['INSTRUCT', 'S01']}" in caution for caution in report.cautions)


def test_no_run_is_an_error(store):
    """An empty store cannot be reported on."""
    assert newest_runs(store) == []
    with pytest.raises(DependencyError, match="no complete run"):
        collect_report(store, [])


# -------------------------------------------------------------------------------- what is there


@pytest.mark.parametrize("stages", PHASE_BY_PHASE, ids=lambda stages: stages[-1])
def test_a_report_of_part_of_the_pipeline(store, stages):
    """At every point of the pipeline there is a report of what is there, and of what is not."""
    fabricate(store, stages)
    report = collect_report(store, newest_runs(store))
    assert [run.stage_id for run in report.runs] == list(stages)
    assert len(report.missing) == len(ALL_STAGES) - len(stages)
    assert bool(report.curves) == ("S02B" in stages)
    assert bool(report.explorer) == ("S03" in stages)
    tables = {table.id.split("_")[0] for table in report.tables}
    for tag, table in (("S05", "T01"), ("S06B", "T02"), ("S06ARC", "T03"), ("S02B", "gstar")):
        assert (table in tables) == (tag in stages)
    assert ("metrics" in tables) == ("S02" in stages and "S05" not in stages)
    assert len(report_html(newest_runs(store), store)) > 10_000


def test_the_explorer_holds_the_runs_rasters(store):
    """Measured counts and both nulls' of the first six windows, by condition, with the words."""
    made = fabricate(store)
    (model,) = collect_report(store, newest_runs(store)).explorer
    assert (model.n_layers, model.n_tokens, model.n_windows) == (5, 12, 8)
    assert [window.seq_id for window in model.windows] == list(range(6))
    assert [window.window_id for window in model.windows] == list(range(200, 206))
    assert model.windows[1].tokens[:4] == (" cat", "\n", " sat", "The")
    measured, nulls = (
        load_rasters(store.open(made["INSTRUCT", tag]).path(f"results/{name}"))
        for tag, name in (("S03", "rasters_token_layer.npz"), ("S04", "rasters_nulls.npz"))
    )
    for c, condition in enumerate(model.conditions):
        assert condition.is_gstar == (condition.gain == "1.3")
        stacks = (measured.A[c], nulls.A[2 * c], nulls.A[2 * c + 1])
        assert len(condition.rasters) == len(stacks)
        for raster, A in zip(condition.rasters, stacks, strict=True):
            unpacked = [unpack_window(window, 5, 12) for window in raster.windows]
            assert np.array_equal(unpacked, A[:6])
    assert len(model.conditions) == len(held_out(ModelRole.INSTRUCT))


def test_the_targets_unit_and_the_window_s_length_are_the_runs(store):
    """Unit, tokens and gains come from the runs."""
    fabricate(store)
    report = collect_report(store, newest_runs(store))
    assert (report.target_unit, report.n_tokens) == ("events per site", 12)
    assert report.gains == ("0.7", "1.0", "1.3")


def test_both_models_stand_side_by_side(store):
    """Each curve's rows follow each other, and tables hold the rows of both."""
    fabricate(store, roles=(ModelRole.BASE, ModelRole.INSTRUCT))
    report = collect_report(store, newest_runs(store))
    assert [curve.model_role for curve in report.curves] == ["INSTRUCT", "BASE"] * 4
    assert [found.model_role for found in report.found] == ["INSTRUCT", "BASE"]
    assert {len(table.run_ids) for table in report.tables} == {2}


@pytest.mark.parametrize(
    "name",
    [
        "config_resolved.yaml",
        "results/gstar.json",
        "results/signatures.json",
        "results/rasters_nulls.npz",
        "results/windows.parquet",
        "tables/table_T01_SUMMARY.parquet",
        "figs/fig_F05_GSTAR_SELECTION.png",
    ],
)
def test_damaged_artifacts_are_refused(store, name):
    """One flipped bit in anything that the report shows is an error that names the file."""
    fabricate(store)
    path = next(path for path in sorted(store.root.rglob("*")) if str(path).endswith(name))
    flip(path)
    with pytest.raises(DependencyError, match=path.name):
        collect_report(store, newest_runs(store))


def test_damaged_records_are_refused(store):
    """A flipped bit in a record is an error."""
    made = fabricate(store, ("S01",))
    flip(store.folder(made["INSTRUCT", "S01"]) / "run_record.json")
    with pytest.raises(VerificationError, match="run_record"):
        store.behind(made["INSTRUCT", "S01"])


def test_how_the_report_is_made_anew(store):
    """The reader is told the run that rests on all others, or that it was all of them."""
    made = fabricate(store, ("S01", "S02", "S02B"))
    assert collect_report(store, newest_runs(store)).asked == made["INSTRUCT", "S02B"]
    fabricate(store, ("S01",), roles=(ModelRole.BASE,))
    assert collect_report(store, newest_runs(store)).asked == "--all"


# ------------------------------------------------------------------------------ the command line


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Runs the command line in an empty folder; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_report_prints_its_path(cli, store, tmp_path):
    """``report --all`` and ``report RUN`` write one file each, and say where."""
    made = fabricate(store, ("S01", "S02", "S02B", "S03"))
    assert cli("report", "--all") == (0, "report.html\n", "")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(run_id in page for run_id in made.values())
    run = store.folder(made["INSTRUCT", "S02"])
    code, out, _ = cli("report", run, "--out", "below/one.html", "--json")
    value = json.loads(out)
    assert (code, value["path"]) == (0, "below/one.html")
    assert value["run_ids"] == [made["INSTRUCT", tag] for tag in ("S01", "S02")]
    assert (tmp_path / "below" / "one.html").stat().st_size == value["bytes"]


@pytest.mark.parametrize("words", [(), ("--all", "RUN_S01_0123456789ab")])
def test_report_wants_one_of_run_and_all(cli, words):
    """Neither, or both, is exit 2 with what to do."""
    code, _, err = cli("report", *words)
    assert code == 2
    assert "name the run to report on, or give --all" in err


def test_report_of_nothing_and_of_an_unknown_run(cli):
    """No run at all is exit 3, a run that is not there exit 2; nothing is written."""
    assert cli("report", "--all")[0] == 3
    assert cli("report", "RUN_S01_0123456789ab")[0] == 2
    assert cli("report", "RUN_S01_0123456789ab")[2].count("no such run") == 1
