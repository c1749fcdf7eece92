"""The command line, in this process: exit codes, results on standard output, messages elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from avalattice.cli import main
from avalattice.stagetable import STAGES
from tests.stages.conftest import Workplace


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line; exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_run_makes_what_is_missing_and_says_what_was_found(cli, workplace: Workplace) -> None:
    """``run`` ends with every stage complete, and repeating it changes nothing."""
    code, out, _ = cli("run", "-c", workplace.config)
    assert code == 0
    assert all(f"RUN_{tag}_" in out for tag in STAGES)
    assert out.count("g* = ") == 4
    before = {p: p.stat().st_mtime_ns for p in workplace.runs.rglob("*.json")}
    code, out, _ = cli("run", "-c", workplace.config, "--json")
    assert code == 0
    assert [row["stage"] for row in json.loads(out)] == [str(s.command) for s in STAGES.values()]
    assert {p: p.stat().st_mtime_ns for p in workplace.runs.rglob("*.json")} == before
    assert cli("verify", workplace.runs)[0] == 0


def test_run_stops_and_starts_where_it_is_told(cli, workplace: Workplace) -> None:
    """--to and --from take tags and command names."""
    assert cli("run", "-c", workplace.config, "--to", "S02")[0] == 0
    assert len(list(workplace.runs.glob("RUN_*"))) == 2
    code, _, _ = cli("run", "-c", workplace.config, "--from", "phase2_select_gstar", "--to", "S02B")
    assert code == 0
    assert len(list(workplace.runs.glob("RUN_*"))) == 3


def test_run_takes_both_roles(cli, workplace: Workplace) -> None:
    """--roles runs the stages of both models."""
    assert cli("run", "-c", workplace.config, "--roles", "INSTRUCT,BASE", "--to", "S01")[0] == 0
    assert len(list(workplace.runs.glob("RUN_S01_*"))) == 2


def test_repeating_a_stage_exits_4_and_a_missing_upstream_3(cli, finished: Workplace) -> None:
    """A complete run is refused with 4; without S02B's run Phase 3 exits 3, naming the command."""
    code, _, err = cli("phase3_extract_rasters", "-c", finished.config)
    assert (code, "can be used as they are" in err) == (4, True)
    cli("rm", "--dependents", finished.run("S02B").name, "--runs-dir", finished.runs)
    code, _, err = cli("phase3_extract_rasters", "-c", finished.config)
    assert code == 3
    assert f"avalattice phase2_select_gstar --config {finished.config}" in err


def test_verify_exits_2_with_a_line_for_each_fault(
    cli, finished: Workplace, damage: Callable[[Path], None]
) -> None:
    """A flipped byte in an artifact, and one in a record, are each found."""
    assert cli("verify", finished.runs, "--deep")[0] == 0
    damage(finished.run("S01") / "results" / "calibration_stats.npz")
    damage(finished.run("S03") / "run_record.json")
    code, out, _ = cli("verify", finished.runs)
    assert code == 2
    faults = [line for line in out.splitlines() if line.startswith("fault: ")]
    assert any("calibration_stats.npz" in line for line in faults)
    assert any("run_record.json" in line for line in faults)
    code, _, err = cli("phase2_gain_grid", "-c", finished.config)
    assert code == 3
    assert "calibration_stats.npz" in err


def test_verify_wants_something_to_verify(cli, finished: Workplace, monkeypatch) -> None:
    """A run is found from inside, an unpacked release is one; a folder of neither is refused."""
    release = finished.run("S08") / "release"
    monkeypatch.chdir(finished.run("S02B"))
    code, out, _ = cli("verify", ".")
    assert (code, out) == (0, "3 complete runs checked, 0 faults\n")
    code, out, _ = cli("verify", release)
    assert (code, out) == (0, "9 complete runs checked, 0 faults\n")
    code, _, err = cli("verify", finished.config.parent)
    assert (code, "neither runs nor a release are there" in err) == (2, True)


def test_verify_deep_finds_other_weights(
    cli, finished: Workplace, models, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    """--deep hashes the model's files anew."""
    config = json.loads((finished.run("S01") / "run_record.json").read_text())
    assert set(config["model"]["files"]) >= {"model.safetensors", "config.json"}
    weights = models["instruct"] / "model.safetensors"
    content = weights.read_bytes()
    try:
        damage(weights)
        assert cli("verify", finished.runs)[0] == 0
        code, out, _ = cli("verify", finished.runs, "--deep")
        assert code == 2
        assert "model.safetensors" in out
    finally:
        weights.write_bytes(content)


def test_status_plan_and_show_speak_to_people_and_programs(cli, finished: Workplace) -> None:
    """Each has a text and, with --json, the same facts as JSON."""
    run_id = finished.run("S03").name
    assert run_id in cli("status", "--runs-dir", finished.runs)[1]
    listed = json.loads(cli("status", "--runs-dir", finished.runs, "--json")[1])
    assert {row["run_id"]: len(row["rests_on"]) for row in listed}[run_id] == 3
    assert "cond 0" in cli("show", run_id, "--runs-dir", finished.runs)[1]
    assert json.loads(cli("show", finished.run("S03"), "--json")[1])["run_id"] == run_id
    plan = json.loads(cli("plan", "-c", finished.config, "--json")[1])
    assert [row["state"] for row in plan["stages"]] == ["complete"] * len(STAGES)
    assert plan["basis"].startswith("measured in RUN_S0")
    assert [row["forward_windows"] for row in plan["stages"]][:3] == [12, 18, 0]


def test_plan_gives_an_upper_bound_before_gstar_is_known(cli, workplace: Workplace) -> None:
    """Without any run, Phase 3 may need every gain of the grid."""
    plan = json.loads(cli("plan", "-c", workplace.config, "--json")[1])
    stages = {row["command"]: row for row in plan["stages"]}
    assert [row["state"] for row in stages.values()] == ["missing", *["waiting"] * 9]
    windows = {command: row["forward_windows"] for command, row in stages.items()}
    questions = windows.pop("phase6_arc_mcq_eval")
    # three gains of the grid; four interventions at the two that are not 1
    assert list(windows.values()) == [12, 18, 0, 15, 15, 4 * 2 * 6, 12, 0, 0]
    assert questions % 3 == 0 < questions
    assert not workplace.runs.exists()


def test_dry_run_writes_nothing(cli, workplace: Workplace) -> None:
    """--dry-run names the run and stops."""
    code, out, _ = cli("phase1_calibrate", "-c", workplace.config, "--dry-run")
    assert (code, out.startswith("phase1_calibrate would write RUN_S01_")) == (0, True)
    assert not workplace.runs.exists()


def test_phase_0_checks_the_sites_and_writes_no_run(cli, workplace: Workplace) -> None:
    """phase0_validate_env passes on a supported model and prints the plan."""
    code, out, _ = cli("phase0_validate_env", "-c", workplace.config, "--json")
    report = json.loads(out)
    assert code == 0
    assert report["passed"]
    assert {"sites, MLP", "sites, ATTN"} <= {check["name"] for check in report["checks"]}
    assert report["plan"]["basis"] == "one window, measured now"
    assert not workplace.runs.exists()


def test_options_may_be_spelled_with_underscores(cli, workplace: Workplace) -> None:
    """--runs_dir is --runs-dir."""
    words = ("phase1_calibrate", "-c", workplace.config, f"--runs_dir={workplace.runs}2")
    assert cli(*words, "--model_role", "BASE", "--batch_size", "3")[0] == 0
    (run,) = Path(f"{workplace.runs}2").glob("RUN_S01_*")
    record = json.loads((run / "run_record.json").read_text())
    assert (record["model"]["role"], record["identity"]["batch_size"]) == ("BASE", 3)


def test_the_resolved_configuration_reproduces_the_run(cli, finished: Workplace) -> None:
    """config_resolved.yaml is a configuration that leads to the same run."""
    resolved = finished.run("S03") / "config_resolved.yaml"
    words = ("phase3_extract_rasters", "-c", resolved, "--runs-dir", finished.runs, "--dry-run")
    assert json.loads(cli(*words, "--json")[1])["run_id"] == finished.run("S03").name


def test_rm_refuses_what_others_rest_on(cli, finished: Workplace) -> None:
    """An upstream goes only with its dependents."""
    first = finished.run("S01").name
    code, _, err = cli("rm", first, "--runs-dir", finished.runs)
    assert (code, "rests on it" in err) == (2, True)
    assert cli("rm", "--dependents", first, "--runs-dir", finished.runs)[0] == 0
    assert not list(finished.runs.glob("RUN_*"))
    assert cli("rm", "--runs-dir", finished.runs)[0] == 2


def test_canon_prints_the_registry(cli) -> None:
    """``canon`` is YAML that safe loaders read."""
    registry = yaml.safe_load(cli("canon")[1])
    assert registry["CANON"]["CONST"]["GAIN_GRID_DEFAULT"][:2] == [0.7, 0.8]
    assert registry["CANON"]["ENUM"]["NPZ_KEY"]["X_OCCUPANCY"] == "X"


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
from avalattice.store import writer as runs
keep, left = runs.RunWriter._keep_partial, [3]
def interrupting(self, *arguments):
    kept = keep(self, *arguments)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), {signal})
    return kept
runs.RunWriter._keep_partial = interrupting
from avalattice.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_a_resumable_run_and_says_how(
    cli, workplace: Workplace, number: signal.Signals
) -> None:
    """Ctrl-C and a polite kill exit 130 with the command that goes on, which does."""
    cli("run", "-c", workplace.config, "--to", "S01")
    script = INTERRUPTED.format(signal=int(number))
    words = ["phase2_gain_grid", "-c", str(workplace.config)]
    ended = subprocess.run(
        [sys.executable, "-c", script, *words], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 130
    assert f"avalattice {' '.join(words)} --allow-resume" in ended.stderr
    assert cli("rm", "--incomplete", "--runs-dir", workplace.runs, "--json")[0] == 2  # no such flag
    code, out, _ = cli(*words)
    assert code == 4
    code, out, _ = cli(*words, "--allow-resume")
    assert (code, "complete" in out) == (0, True)


def test_a_bug_is_reported_as_one(cli, workplace: Workplace, monkeypatch) -> None:
    """An unexpected exception exits 1 and keeps its traceback in a file; --debug shows it."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("impossible")

    monkeypatch.setattr("avalattice.pipeline.Pipeline.run", broken)
    code, out, err = cli("phase1_calibrate", "-c", workplace.config)
    assert (code, out) == (1, "")
    log = Path(err.rpartition("traceback is in ")[2].strip())
    assert "impossible" in log.read_text()
    assert "Traceback" not in err
    log.unlink()
    assert "Traceback" in cli("phase1_calibrate", "-c", workplace.config, "--debug")[2]


def test_a_closed_pipe_is_no_error(finished: Workplace) -> None:
    """``avalattice show RUN | head -1`` ends quietly."""
    command = f"{sys.executable} -m avalattice canon | head -1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert ended.stdout == "CANON:\n"
    assert "Traceback" not in ended.stderr
