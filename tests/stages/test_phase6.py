"""Phase 6 on a tiny model: Dataset B and multiple choice, each against a reckoning of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import LlamaForCausalLM

from avalattice.canon import CONST, DatasetRole, Scoring, StageTag, WindowSet
from avalattice.errors import ConfigError, DataError, RunExistsError
from avalattice.export.schemas import T02_GENERALIZATION, T03_ARC
from avalattice.export.tabular import read_csv, read_table
from avalattice.results import open_run
from avalattice.rng import stream
from avalattice.schemas import ARTIFACT_SCHEMAS
from avalattice.stagetable import STAGES, upstreams_of
from avalattice.stats.choices import mcnemar
from avalattice.store.record import read_record
from avalattice.store.runs import RunStore
from avalattice.store.verify import verify_runs
from tests.stages.conftest import Workplace
from tests.stages.test_stages import KILLED, digests
from tests.tiny import N_OTHER, QUESTIONS, SEQ_LEN, save_model, write_config

PHASE_6 = (StageTag.S06B, StageTag.S06ARC)
TABLES = {
    StageTag.S06B: ("tables/table_T02_GENERALIZATION", T02_GENERALIZATION),
    StageTag.S06ARC: ("tables/table_T03_ARC", T03_ARC),
}
STATISTICS = ("b_time", "b_depth", "b_tot", "delta_b_tot", "delta_b_depth_shift", "chi", "ppl")
REPS = 200


def run_phase_6(place: Workplace) -> Workplace:
    """Phase 6 and what it rests on."""
    pipeline = place.pipeline()
    needed = [stage for tag in PHASE_6 for stage in (*upstreams_of(STAGES[tag]), STAGES[tag])]
    for tag in dict.fromkeys(stage.tag for stage in needed):
        pipeline.run(STAGES[tag], allow_resume=False)
    return place


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Workplace:
    """Phase 6 of a tiny model; not to be changed."""
    folder = tmp_path_factory.mktemp("phase6")
    return run_phase_6(
        Workplace(write_config(folder, models["instruct"], models["base"]), folder / "runs")
    )


@pytest.fixture
def copy(once: Workplace, tmp_path: Path) -> Workplace:
    """A copy of it, which may be changed."""
    place = Workplace(tmp_path / "tiny.yaml", tmp_path / "runs")
    shutil.copytree(once.runs, place.runs)
    place.config.write_text(once.config.read_text().replace(str(once.runs), str(place.runs)))
    return place


def rows(place: Workplace, tag: StageTag) -> list[dict[str, object]]:
    """T02 or T03."""
    name, schema = TABLES[tag]
    return read_table(place.run(str(tag)) / f"{name}.parquet", schema).to_pylist()


def choices(place: Workplace) -> list[dict[str, object]]:
    """The choices of g*."""
    return json.loads((place.run("S02B") / "results" / "gstar.json").read_text())["choices"]


def gains(place: Workplace) -> list[str]:
    """Gain 1 and every g*, each once."""
    return sorted({"1.0", *(choice["gstar"] for choice in choices(place))}, key=Decimal)


# ------------------------------------------------------- the model, without the package's own hooks


@contextmanager
def scaled(model: LlamaForCausalLM, g: float) -> Iterator[dict[int, torch.Tensor]]:
    """The model with every MLP's output multiplied by g; gives each layer's u of the last pass."""
    u: dict[int, torch.Tensor] = {}
    handles = []
    for number, layer in enumerate(model.model.layers):

        def keep(_module, inputs, number=number):
            u[number] = inputs[0].detach()

        handles += [
            layer.mlp.down_proj.register_forward_pre_hook(keep),
            layer.mlp.register_forward_hook(lambda _module, _inputs, output: g * output),
        ]
    try:
        yield u
    finally:
        for handle in handles:
            handle.remove()


def windows(place: Workplace) -> torch.Tensor:
    """Dataset B's windows."""
    found = place.pipeline().session.slices(DatasetRole.B)[WindowSet.EVALUATION]
    return torch.from_numpy(found.input_ids).long()


def plain_perplexity(model: LlamaForCausalLM, ids: torch.Tensor, g: float) -> float:
    """What transformers' own loss makes of each window."""
    with torch.inference_mode(), scaled(model, g):
        losses = [float(model(input_ids=row[None], labels=row[None]).loss) for row in ids]
    return float(np.exp(np.mean(losses)))


# ----------------------------------------------------------------------------------- Dataset B


def test_rasters_of_b_are_the_counts_above_the_thresholds_of_a(
    once: Workplace, models: dict[str, Path]
) -> None:
    """Each count is that of (u − mu)/(sigma + EPS) above Phase 2's tau."""
    calibration = np.load(once.run("S01") / "results" / "calibration_stats.npz")
    fitted = {
        (row["gain"], row["spike_def_id"], row["target_label"], row["layer"]): row["tau"]
        for row in pq.read_table(once.run("S02") / "results" / "thresholds.parquet").to_pylist()
    }
    model, ids = LlamaForCausalLM.from_pretrained(models["instruct"]), windows(once)
    rasters = open_run(once.run("S06B")).rasters()
    assert {c.dataset_role for c in rasters.conditions} == {DatasetRole.B}
    assert rasters.A.shape[1:] == (N_OTHER, len(calibration["mu"]), SEQ_LEN)
    for c, condition in enumerate(rasters.conditions):
        with torch.inference_mode(), scaled(model, float(condition.gain)) as u:
            model(input_ids=ids)
        for layer, values in u.items():
            mu, sigma = calibration["mu"][layer], calibration["sigma"][layer]
            z = (values.numpy() - mu) / (sigma + np.float32(CONST.EPS))
            v = np.abs(z) if condition.spike_def_id.endswith("ABS") else z
            key = float(condition.gain), condition.spike_def_id, condition.target_label, layer
            counted = (v > np.float32(fitted[key])).sum(axis=-1)
            np.testing.assert_array_equal(rasters.A[c, :, layer], counted)
    assert rasters.A.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(("bos", "warmup"), [(False, 0), (True, 0), (True, 3)])
def test_perplexity_is_that_of_a_plain_cross_entropy(
    tmp_path: Path, bos: bool, warmup: int
) -> None:
    """T02's ppl at every gain is exp of transformers' mean loss on the same windows, BOS or not."""
    folder = save_model(tmp_path / "model", seed=4, bos=bos)
    place = Workplace(write_config(tmp_path, folder, folder), tmp_path / "runs")
    text = place.config.read_text()
    place.config.write_text(
        text.replace("pool_factor: 3", f"pool_factor: 3\n  warmup_tokens: {warmup}")
    )
    pipeline = place.pipeline()
    for stage in (*upstreams_of(STAGES[StageTag.S06B]), STAGES[StageTag.S06B]):
        pipeline.run(stage, allow_resume=False)
    ids, model = windows(place), LlamaForCausalLM.from_pretrained(folder)
    assert (ids[:, 0] == 256).all() == bos
    predicted = SEQ_LEN - (warmup == 0)
    for row in rows(place, StageTag.S06B):
        assert row["n_predicted_tokens"] == N_OTHER * predicted
        if warmup:
            with torch.inference_mode(), scaled(model, row["g"]):
                logits = model(input_ids=ids).logits[:, warmup - 1 : -1]
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), ids[:, warmup:].flatten()
            )
            expected = float(loss.exp())
        else:
            expected = plain_perplexity(model, ids, row["g"])
        assert row["ppl"] == pytest.approx(expected, rel=1e-6)
        assert row["nll_mean"] == pytest.approx(np.log(expected), rel=1e-6)


def test_a_gain_is_passed_once_however_many_conditions_share_it(once: Workplace) -> None:
    """Both stages pass distinct gains alone: windows times gains, and questions times gains."""
    n_gains = len(gains(once))
    assert 1 < n_gains < 1 + len(choices(once))
    cost = {tag: read_record(once.run(str(tag))).cost for tag in PHASE_6}
    assert cost[StageTag.S06B].forward_windows == n_gains * N_OTHER
    assert cost[StageTag.S06B].forward_tokens == n_gains * N_OTHER * SEQ_LEN
    longer = sum(len(set(options)) for _, options, _, _ in QUESTIONS)  # bytes: " yes" is four
    assert cost[StageTag.S06ARC].forward_windows == n_gains * (2 * len(QUESTIONS) + longer)


def test_every_condition_has_two_rows_and_no_difference_where_gains_coincide(
    once: Workplace,
) -> None:
    """A g* of 1 repeats the numbers of gain 1; its differences are null, and say why."""
    by_curve = {(c["spike_def_id"], c["target_label"]): c["gstar"] for c in choices(once)}
    assert "1.0" in by_curve.values()
    assert set(by_curve.values()) != {"1.0"}
    for tag, names in ((StageTag.S06B, STATISTICS), (StageTag.S06ARC, ("accuracy",))):
        table = rows(once, tag)
        assert len(table) == 2 * len(by_curve) * (1 if tag is StageTag.S06B else len(Scoring))
        for first, second in zip(table[::2], table[1::2], strict=True):
            gstar = by_curve[first["spike_def_id"], first["target_label"]]
            assert (first["g_condition"], second["g_condition"]) == ("g1", "gstar")
            assert (first["g"], second["g"]) == (1.0, float(gstar))
            diffs = [second[f"{name}_diff"] for name in names]
            if gstar == "1.0":
                assert second["diff_reason"] == "gains coincide"
                assert set(diffs) == {None}
                assert [first[n] for n in names] == [second[n] for n in names]
            else:
                assert second["diff_reason"] is None
                expected = [second[n] - first[n] for n in names]
                np.testing.assert_allclose(diffs, expected, rtol=1e-12, atol=1e-15)
            assert first["diff_reason"] == "g1 is what gstar is compared with"


def test_t02_follows_from_the_table_of_windows(once: Workplace) -> None:
    """Numbers, intervals and paired differences are those of sums resampled by window."""
    run = once.run("S06B") / "results"
    per_window = pq.read_table(run / "metrics_windows.parquet").to_pylist()
    conditions = read_record(once.run("S06B")).conditions
    weights = stream(CONST.BOOTSTRAP_SEED, "bootstrap", "B", "evaluation").multinomial(
        N_OTHER, np.full(N_OTHER, 1 / N_OTHER), size=REPS
    )
    weights = np.vstack([np.ones(N_OTHER), weights])  # the windows as they are stand first

    def statistics(cond_id: int) -> dict[str, np.ndarray]:
        of = [row for row in per_window if row["cond_id"] == cond_id]
        s = {name: weights @ [row[name] for row in of] for name in of[0] if name in SUMS}
        events = np.array([row["events"] for row in of], dtype=float)
        mean = weights @ events / N_OTHER
        variance = (weights @ events**2 - N_OTHER * mean**2) / (N_OTHER - 1)
        b_time = s["time_pairs"] / s["time_ancestors"]
        b_depth = s["depth_pairs"] / s["depth_ancestors"]
        time_perm = s["time_pairs_perm_mean"] / s["time_ancestors_perm_mean"]
        depth_perm = s["depth_pairs_perm_mean"] / s["depth_ancestors"]
        return {
            "b_time": b_time,
            "b_depth": b_depth,
            "b_tot": b_time + b_depth,
            "delta_b_tot": b_time + b_depth - time_perm - depth_perm,
            "delta_b_depth_shift": b_depth - depth_perm,
            "chi": variance / (mean + CONST.CHI_EPS),
            "ppl": np.exp(s["nll"] / s["n_predicted_tokens"]),
        }

    at = {
        (c["spike_def_id"], c["target_label"], float(c["gain"])): c["cond_id"] for c in conditions
    }
    compared = 0
    for row in rows(once, StageTag.S06B):
        curve = row["spike_def_id"], row["target_label"]
        found, base = statistics(at[*curve, row["g"]]), statistics(at[*curve, 1.0])
        for name in STATISTICS:
            checked = {name: found[name]}
            if row["diff_reason"] is None:
                checked[f"{name}_diff"] = found[name] - base[name]
                compared += 1
            for column, values in checked.items():
                assert row[column] == pytest.approx(values[0], rel=1e-9, abs=1e-12)
                if column == "chi":
                    continue  # studentised
                ends = [row[f"{column}_ci_low"], row[f"{column}_ci_high"]]
                expected = np.quantile(values[1:], [0.025, 0.975])
                np.testing.assert_allclose(ends, expected, rtol=1e-9, atol=1e-12)
    assert compared


SUMS = (
    "time_pairs",
    "time_ancestors",
    "depth_pairs",
    "depth_ancestors",
    "time_pairs_perm_mean",
    "time_ancestors_perm_mean",
    "depth_pairs_perm_mean",
    "nll",
    "n_predicted_tokens",
)


def test_metrics_of_b_are_marked_as_such(once: Workplace) -> None:
    """Dataset B's metrics name dataset and windows, and the rates that A's tau achieves there."""
    metrics = pq.read_table(once.run("S06B") / "results" / "metrics.parquet").to_pylist()
    assert {(row["dataset_role"], row["window_set"]) for row in metrics} == {("B", "evaluation")}
    rates = {row["achieved_rate_mean"] for row in metrics}
    assert rates == {row["achieved_rate_mean"] for row in rows(once, StageTag.S06B)}
    assert any(row["achieved_rate_max_event_err"] > 1 for row in metrics)  # tau was not refitted
    (data,) = read_record(once.run("S06B")).datasets
    assert (data.role, data.window_set, len(data.window_ids)) == ("B", "evaluation", N_OTHER)


# ------------------------------------------------------------------------------ multiple choice


def test_letter_items_hold_the_log_probabilities_of_a_plain_pass(
    once: Workplace, models: dict[str, Path]
) -> None:
    """Every option's log-probability is log softmax of the logits at the prompt's end."""
    model = LlamaForCausalLM.from_pretrained(models["instruct"])
    items = pq.read_table(once.run("S06ARC") / "results" / "arc_items.parquet").to_pylist()
    tokenizer = once.pipeline().session.tokenizer
    letters = [item for item in items if item["scoring"] == "letter"]
    assert len(letters) == len(QUESTIONS) * len(gains(once))
    for item in letters:
        stem, options, labels, right = QUESTIONS[int(item["question_id"][1:])]
        lines = "\n".join(f"{'ABCDE'[k]}. {text}" for k, text in enumerate(options))
        text = f"Question: {stem}\nChoices:\n{lines}\nAnswer: "
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode(), scaled(model, item["g"]):
            logprob = model(input_ids=ids).logits[0, -1].log_softmax(-1)
        of_letters = [tokenizer("ABCDE"[k])["input_ids"][0] for k in range(len(options))]
        np.testing.assert_allclose(item["logprobs"], logprob[of_letters].numpy(), rtol=1e-4)
        assert item["labels"] == list(labels)
        assert item["labels"][item["answer"]] == right


def test_t03_follows_from_the_items(once: Workplace) -> None:
    """Accuracy, its change and McNemar's p are those of the choices in arc_items.parquet."""
    items = pq.read_table(once.run("S06ARC") / "results" / "arc_items.parquet").to_pylist()
    right = {(i["scoring"], i["g"], i["question_id"]): i["correct"] for i in items}
    for item in items:
        assert item["chosen"] == int(np.argmax(item["logprobs"]))
        assert item["correct"] == (item["chosen"] == item["answer"])
        per_character = np.array(item["logprobs"]) / item["n_chars"]
        assert item["chosen_norm"] == int(np.argmax(per_character))
        assert item["correct_norm"] == (item["chosen_norm"] == item["answer"])
    ids = [f"q{number}" for number in range(len(QUESTIONS))]
    chance = np.mean([1 / len(options) for _, options, _, _ in QUESTIONS])
    for row in rows(once, StageTag.S06ARC):
        now = np.array([right[row["scoring"], row["g"], q] for q in ids])
        assert row["accuracy"] == pytest.approx(now.mean())
        assert row["chance"] == pytest.approx(chance)
        assert row["few_questions"]
        if row["diff_reason"] is None:
            before = np.array([right[row["scoring"], 1.0, q] for q in ids])
            assert row["accuracy_diff"] == pytest.approx(now.mean() - before.mean())
            p = mcnemar(int((before & ~now).sum()), int((now & ~before).sum()))
            assert row["mcnemar_p"] == pytest.approx(p)
            assert row["p_adj"] >= row["mcnemar_p"]


def test_an_interval_that_covers_chance_is_noted(once: Workplace) -> None:
    """The record says of each scoring and gain whether accuracy can be told from guessing."""
    notes = read_record(once.run("S06ARC")).notes
    for row in rows(once, StageTag.S06ARC):
        begins = f"{row['scoring']} scoring at gain {row['g']}: "
        noted = [note for note in notes if note.startswith(begins) and "covers chance" in note]
        inside = row["accuracy_ci_low"] <= row["chance"] <= row["accuracy_ci_high"]
        assert row["covers_chance"] == inside == bool(noted)
    assert any(row["covers_chance"] for row in rows(once, StageTag.S06ARC))


def test_other_questions_make_another_run_of_the_questions_alone(copy: Workplace) -> None:
    """The questions' digest is part of S06ARC's identity, and of no other stage's."""
    states = {tag: copy.pipeline().status(stage) for tag, stage in STAGES.items()}
    pipeline = copy.pipeline()
    first, *others = pipeline.session.questions.questions
    other = replace(first, answer=(first.answer + 1) % len(first.choices))
    pipeline.session.questions = replace(pipeline.session.questions, questions=(other, *others))
    changed = {tag: pipeline.status(stage) for tag, stage in STAGES.items()}
    assert states.pop(StageTag.S06ARC)[0] == "complete"
    assert changed.pop(StageTag.S06ARC)[0] == "missing"
    assert changed == states
    assert read_record(copy.run("S06ARC")).identity["datasets"] == {
        "ARC_MCQ/evaluation": copy.pipeline().session.questions.sha256
    }


# ----------------------------------------------------------------------------- runs and tables


@pytest.mark.parametrize("tag", PHASE_6)
def test_exported_tables_are_valid_and_the_same_in_both_forms(
    once: Workplace, tag: StageTag
) -> None:
    """CSV read back equals Parquet, and ``verify`` looks into both."""
    name, schema = TABLES[tag]
    path = once.run(str(tag)) / name
    parquet = read_table(path.with_suffix(".parquet"), schema)
    assert read_csv(path.with_suffix(".csv"), schema).equals(parquet)
    assert verify_runs(RunStore(once.runs), schemas=ARTIFACT_SCHEMAS).faults == []
    assert {f"{path.name}.csv", f"{path.name}.parquet", "arc_items.parquet"} <= set(
        ARTIFACT_SCHEMAS
    )
    assert set(read_record(once.run(str(tag))).artifact_index) >= set(STAGES[tag].outputs)


@pytest.mark.parametrize(("tag", "partials"), [(StageTag.S06B, 3), (StageTag.S06ARC, 5)])
def test_a_killed_stage_resumes_to_the_same_bytes_without_repeating_passes(
    copy: Workplace, tag: StageTag, partials: int
) -> None:
    """Killed after some partial results, phase 6 finishes from those, to identical artifacts."""
    whole, cost = digests(copy.runs), read_record(copy.run(str(tag))).cost
    RunStore(copy.runs).remove([copy.run(str(tag)).name])
    command = [str(STAGES[tag].command), "--config", str(copy.config)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(partials), *command], check=False, capture_output=True
    )
    assert killed.returncode == -9
    kept = len(list((copy.run(str(tag)) / "cache").glob("*.npz")))
    assert kept == partials
    with pytest.raises(RunExistsError, match="--allow-resume"):
        copy.pipeline().run(STAGES[tag], allow_resume=False)
    copy.pipeline().run(STAGES[tag], allow_resume=True)
    again = read_record(copy.run(str(tag))).cost
    assert again.forward_windows == cost.forward_windows
    assert again.forward_tokens == cost.forward_tokens
    assert digests(copy.runs) == whole


# -------------------------------------------------------------------------------- wrong input


def without(place: Workplace, *keys: str) -> None:
    """Take datasets out of the configuration."""
    lines = place.config.read_text().splitlines()
    kept = [line for line in lines if not line.strip().startswith(tuple(f"{k}:" for k in keys))]
    place.config.write_text("\n".join(kept) + "\n")


def test_datasets_that_are_not_configured_are_skipped_by_run_alone(
    copy: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without data.B and data.ARC_MCQ the other stages stay what they are; phase 6 says its key."""
    from avalattice.cli import main
    from avalattice.plan import make_plan

    before = {tag: copy.pipeline().status(STAGES[tag]) for tag in upstreams_of_phase_6()}
    without(copy, "B", "ARC_MCQ")
    pipeline = copy.pipeline()
    assert {tag: pipeline.status(STAGES[tag]) for tag in before} == before
    for tag, key in zip(PHASE_6, ("data.B", "data.ARC_MCQ"), strict=True):
        assert pipeline.status(STAGES[tag]) == ("not configured", None)
        with pytest.raises(ConfigError, match=f"{STAGES[tag].command} needs {key}: add it"):
            pipeline.run(STAGES[tag], allow_resume=False)
        planned = {row.command: row for row in make_plan(pipeline).stages}[str(STAGES[tag].command)]
        assert (planned.state, planned.forward_windows) == ("not configured", 0)
    with pytest.raises(SystemExit) as ended:
        main(["run", "-c", str(copy.config), "--from", "S06B", "--to", "S06ARC"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "phase6_generalize_b_metrics skipped: the configuration has no data.B\n" in out
    assert "phase6_arc_mcq_eval skipped: the configuration has no data.ARC_MCQ\n" in out


def test_the_plan_gives_what_phase_6_takes(once: Workplace) -> None:
    """Once g* is known, planned forward windows are those that the runs have counted."""
    from avalattice.plan import make_plan

    planned = {row.command: row for row in make_plan(once.pipeline()).stages}
    for tag in PHASE_6:
        counted = read_record(once.run(str(tag))).cost.forward_windows
        assert planned[str(STAGES[tag].command)].forward_windows == counted


def test_phase_0_looks_at_dataset_b_and_at_the_questions(workplace: Workplace) -> None:
    """A corpus that is too short, or questions that are not there, are found before any run."""
    from avalattice.stages.s00_validate_env import validate

    def failed(text: str) -> dict[str, str]:
        workplace.config.write_text(text)
        checks = validate(workplace.pipeline().session, disk_bytes=lambda: 0)
        return {check.name: check.detail for check in checks if not check.passed}

    text = workplace.config.read_text()
    assert failed(text) == {}
    spoiled = text.replace("n_windows: 4", "n_windows: 400").replace("questions.jsonl", "no.jsonl")
    found = failed(spoiled)
    assert found.keys() == {"windows of B", "questions"}
    assert "the corpus is too short" in found["windows of B"]
    assert "no.jsonl: no such file" in found["questions"]


def upstreams_of_phase_6() -> list[StageTag]:
    """The stages that phase 6 rests on."""
    return [stage.tag for stage in upstreams_of(STAGES[StageTag.S06B])]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_windows: 4", "n_windows: 400", "the corpus is too short: 1200 windows of 16 tokens"),
        ("other.txt", "none.txt", r"none\.txt: no such file"),
    ],
)
def test_a_short_or_missing_corpus_is_an_error_that_names_it(
    copy: Workplace, old: str, new: str, message: str
) -> None:
    """Dataset B is refused as Dataset A is, and nothing is written."""
    text = copy.config.read_text()
    assert old in text
    copy.config.write_text(text.replace(old, new))
    before = sorted(copy.runs.iterdir())
    with pytest.raises(DataError, match=message):
        copy.pipeline().run(STAGES[StageTag.S06B], allow_resume=False)
    assert sorted(copy.runs.iterdir()) == before
