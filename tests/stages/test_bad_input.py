"""Wrong input from the command line: each gets the exit code and the message that it deserves."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, MixtralForCausalLM

from avalattice.cli import main
from tests.stages.conftest import Workplace
from tests.tiny import save_model


def edited(old: str, new: str) -> Callable[[Workplace, Path], None]:
    """A change of the configuration's text."""

    def edit(place: Workplace, _: Path) -> None:
        text = place.config.read_text()
        assert old in text
        place.config.write_text(text.replace(old, new))

    return edit


def with_text(content: str) -> Callable[[Workplace, Path], None]:
    """Another corpus."""

    def edit(place: Workplace, tmp_path: Path) -> None:
        (tmp_path / "text.txt").write_text(content)

    return edit


def with_model(make: Callable[[Path], None]) -> Callable[[Workplace, Path], None]:
    """A damaged copy of the model."""

    def edit(place: Workplace, tmp_path: Path) -> None:
        folder = save_model(tmp_path / "spoiled", seed=3)
        make(folder)
        text = re.sub(
            r'INSTRUCT: {source: "[^"]*"}',
            f'INSTRUCT: {{source: "{folder}"}}',
            place.config.read_text(),
        )
        place.config.write_text(text)

    return edit


def spoil(name: str, value: float) -> Callable[[Path], None]:
    """One weight becomes NaN or Inf."""

    def edit(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        weights[name][0, 0] = value
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return edit


def truncate(folder: Path) -> None:
    """Half of the weights are missing."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def mixture(folder: Path) -> None:
    """A mixture-of-experts model."""
    config = MixtralConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=256,
        num_local_experts=2,
    )
    MixtralForCausalLM(config).save_pretrained(folder)


def only_pickled(folder: Path) -> None:
    """Weights in pickle form alone."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


WRONG = {
    "unknown section": (
        edited("gain:", "gian:"),
        2,
        r"tiny\.yaml:\d+: unknown key gian; did you mean gain\?",
    ),
    "unknown key": (
        edited("grid:", "gird:"),
        2,
        r"tiny\.yaml:\d+: unknown key gain\.gird; did you mean grid\?",
    ),
    "wrong type": (
        edited("batch_size: 2", "batch_size: two"),
        2,
        r"compute\.batch_size: .*integer.*'two'",
    ),
    "out of range": (edited("reps: 200", "reps: 3"), 2, r"bootstrap\.reps: .*100 .*found 3"),
    "unresolved reference": (
        edited("[0.5, 1.0, 2.0]", "CANON.CONST.GAIN_GRID"),
        2,
        r"CANON\.CONST\.GAIN_GRID is not in the registry",
    ),
    "grid without the baseline": (
        edited("[0.5, 1.0, 2.0]", "[0.5, 2.0]"),
        2,
        r"baseline gain 1\.0",
    ),
    "gain twice": (edited("[0.5, 1.0, 2.0]", "[0.5, 1.0, 1.00]"), 2, r"given twice"),
    "both kinds of target": (
        edited("events:", "events:\n  target_rates: [1e-5]"),
        2,
        r"either target_rates or target_events_per_site",
    ),
    "quoted number": (edited("[0.2, 0.8]", "['1e-5']"), 2, r"a target is a number"),
    "no valid YAML": (edited("gain:", "gain: ["), 2, r"not valid YAML"),
    "target of every value": (edited("[0.2, 0.8]", "[48.0]"), 2, r"lower the target"),
    "empty corpus": (
        with_text(""),
        2,
        r"33 windows of 16 tokens are needed .* its 0 tokens give 0",
    ),
    "short corpus": (with_text("Too short. " * 9), 2, r"give 6\. Lower data\.pool_factor"),
    "missing corpus": (edited("text.txt", "none.txt"), 2, r"none\.txt: no such file"),
    "unknown kind of source": (
        edited("file:", "ftp:"),
        2,
        r"use hf:ORG/NAME.*file:PATH or pkg:MODULE",
    ),
    "missing package": (
        edited('"file:', '"pkg:no_such_module_'),
        2,
        r"no such installed module|cannot be located",
    ),
    "missing model": (edited("instruct", "nowhere"), 2, r"nowhere'?: no such folder"),
    "missing model package": (
        edited('INSTRUCT: {source: "', 'INSTRUCT: {source: "pkg:no_such_package/'),
        2,
        r"'no_such_package' is not installed",
    ),
    "truncated weights": (with_model(truncate), 2, r"cannot be loaded"),
    "NaN in the weights": (
        with_model(spoil("model.layers.2.mlp.up_proj.weight", float("nan"))),
        2,
        r"layer 2",
    ),
    "Inf in the weights": (
        with_model(spoil("model.layers.1.mlp.down_proj.weight", float("inf"))),
        2,
        r"layer [12]",
    ),
    "mixture of experts": (with_model(mixture), 2, r"mixtral"),
    "pickled weights": (with_model(only_pickled), 2, r"allow_pickle_weights"),
    "device that is not there": (edited("device: cpu", "device: cuda"), 5, r"no CUDA device"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_named_with_its_remedy(
    name: str, workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind of wrong input exits with its code and one message, without a traceback."""
    edit, code, message = WRONG[name]
    edit(workplace, tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["phase1_calibrate", "-c", str(workplace.config), "--progress", "none"])
    out, err = capsys.readouterr()
    assert ended.value.code == code
    assert re.search(message, err), err
    assert out == ""
    assert "Traceback" not in err


def run_expecting(code: int, *words: object) -> None:
    """The command line exits with a code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == code


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("phase9_guess",), 2, r"No such command"),
        (("phase1_calibrate", "--gain", "2"), 2, r"No such option"),
        (("phase1_calibrate", "--config", "absent.yaml"), 2, r"absent\.yaml: cannot read"),
        (("phase1_calibrate", "--batch-size", "0"), 2, r"batch-size"),
        (("run", "--to", "S99", "-c", "x"), 2, r"no stage 'S99'"),
        (("run", "--roles", "CHAT", "-c", "x"), 2, r"BASE or INSTRUCT"),
        (("verify", "absent"), 2, r"absent: no such folder"),
        (("show", "RUN_S01_000000000000"), 2, r"no such run"),
        (("rm", "RUN_S01_000000000000"), 2, r"no such run"),
    ],
)
def test_wrong_words_are_explained(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown commands, options, stages, roles, files and runs exit 2 with what is known."""
    run_expecting(code, *words)
    assert re.search(message, capsys.readouterr().err)


def test_non_finite_activations_leave_the_run_incomplete(
    workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """NaN that appears at one gain alone stops that stage, naming gain, window and layer."""
    run_expecting(0, "run", "-c", workplace.config, "--to", "S01", "--progress", "none")
    capsys.readouterr()
    import avalattice.events.passes as passes

    plain = passes.intervention

    def overflowing(model: torch.nn.Module, intervention_id: object, g: object) -> object:
        return plain(model, intervention_id, float("1e38") if float(str(g)) == 2.0 else g)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "intervention", overflowing)
        run_expecting(2, "phase2_gain_grid", "-c", workplace.config, "--progress", "none")
    err = capsys.readouterr().err
    assert re.search(r"phase2_gain_grid: .*NaN or Inf at gain 2\.0, window 0, layer \d", err)
    record = json.loads((workplace.run("S02") / "run_record.json").read_text())
    assert record["status"] == "incomplete"
    run_expecting(0, "run", "-c", workplace.config, "--to", "S02", "--progress", "none")


def test_a_damaged_raster_file_is_named_with_what_was_expected(
    finished: Workplace, tmp_path: Path
) -> None:
    """``load_rasters`` names file, key, expected and found form."""
    from avalattice.errors import ArrayError
    from avalattice.lattice.rasters import load_rasters

    source = finished.run("S03") / "results" / "rasters_token_layer.npz"
    with np.load(source) as arrays:
        members = {name: arrays[name] for name in arrays.files}
    spoiled = {
        r"missing key 'A'": {k: v for k, v in members.items() if k != "A"},
        r"A must be uint16 \[C, N, L, T\], found int64": members | {"A": members["A"].astype(int)},
        r"X must be uint8 \[C, N, L, T\], found uint8 of shape": members | {"X": members["X"][0]},
        r"axis N has length": members | {"seq_id": members["seq_id"][:-1]},
        r"X must be 1 where A > 0": members | {"X": 1 - members["X"]},
        r"pickled": members | {"cond_id": members["cond_id"].astype(object)},
    }
    for message, arrays in spoiled.items():
        np.savez(tmp_path / "spoiled.npz", **arrays)
        with pytest.raises(ArrayError, match=message) as refused:
            load_rasters(tmp_path / "spoiled.npz")
        assert "spoiled.npz" in str(refused.value)
    shutil.copy(source, tmp_path / "cut.npz")
    (tmp_path / "cut.npz").chmod(0o644)
    with (tmp_path / "cut.npz").open("r+b") as file:
        file.truncate(source.stat().st_size - 100)
    with pytest.raises(ArrayError, match=r"cut\.npz"):
        load_rasters(tmp_path / "cut.npz")
