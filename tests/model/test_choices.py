"""Log-probabilities of options: what they equal, what they cost, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM, AutoTokenizer

from avalattice.canon import Scoring
from avalattice.data.mcq import open_questions
from avalattice.data.prompts import TEMPLATES, EncodedQuestion, encode_questions
from avalattice.errors import ArrayError, NonFiniteError
from avalattice.model.choices import (
    BatchScores,
    merge_scores,
    question_batches,
    score_batch,
    score_options,
)
from avalattice.model.gain import gain
from avalattice.model.sites import decoder
from tests.model.families import OPTIONS, VOCABULARY, tiny_model
from tests.tiny import save_model

DEMO = Path(__file__).parents[2] / "configs" / "demo_questions.jsonl"
TOLERANCE = 1e-5
ONE = Decimal("1.0")


def encoded(context, *continuations, name="q"):
    """A question of these tokens; options have as many characters as ten times their tokens."""
    characters = tuple(10 * len(ids) for ids in continuations)
    return EncodedQuestion(name, tuple(context), tuple(map(tuple, continuations)), characters, "")


def random_questions(n, seed=3, options=(3, 4, 5), longest=6, lengths=(4, 5, 9)):
    """Questions of random tokens, with contexts and options of several lengths."""
    rng = np.random.default_rng(seed)

    def tokens(length):
        return rng.integers(3, VOCABULARY, length).tolist()

    return [
        encoded(
            tokens(rng.choice(lengths)),
            *(tokens(rng.integers(1, longest + 1)) for _ in range(rng.choice(options))),
            name=f"q{i}",
        )
        for i in range(n)
    ]


def plainly(model, context, continuation, g):
    """The sum of log-probabilities from one whole pass of one option, with neither batch nor cache.

    Position j of the logits predicts token j + 1.
    """
    ids = torch.tensor([[*context, *continuation]])
    with torch.no_grad(), gain(model, g):
        logprob = log_softmax(model(input_ids=ids, use_cache=False).logits[0].double(), dim=-1)
    predicted = range(len(context), ids.shape[1])
    return sum(float(logprob[j - 1, ids[0, j]]) for j in predicted)


def all_plainly(model, questions, g):
    """Scores [Q, K], one option at a time."""
    width = max(len(question.continuations) for question in questions)
    scores = np.full((len(questions), width), np.nan)
    for row, question in zip(scores, questions, strict=True):
        for k, ids in enumerate(question.continuations):
            row[k] = plainly(model, question.context, ids, g)
    return scores


def passes_seen(model, run):
    """The shape of the token ids, and whether a cache is kept, of each pass of the decoder."""
    seen = []
    handle = decoder(model).register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(
            (*kwargs["input_ids"].shape, kwargs["use_cache"])
        ),
        with_kwargs=True,
    )
    run()
    handle.remove()
    return seen


# ---------------------------------------------------------------------------------- the scores


@pytest.mark.parametrize("g", ["1.0", "0.7"])
@pytest.mark.parametrize("name", OPTIONS)
def test_scores_are_those_of_whole_passes(name, g):
    """In every family, cache, batch and padding change nothing beyond 1e-5, at any gain."""
    model, questions = tiny_model(name), random_questions(5)
    found = score_options(model, questions, Decimal(g), size=4)
    expected = all_plainly(model, questions, Decimal(g))
    np.testing.assert_allclose(found.logprob, expected, rtol=0, atol=TOLERANCE)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 10**6))
def test_scores_do_not_depend_on_the_batches(n, size, seed):
    """Any number of questions in batches of any size has the scores of one at a time."""
    model, questions = tiny_model("llama"), random_questions(n, seed)
    alone = [score_options(model, [question], ONE, size=1).logprob[0] for question in questions]
    together = score_options(model, questions, ONE, size=size).logprob
    for row, one in zip(together, alone, strict=True):
        np.testing.assert_allclose(row[: len(one)], one, rtol=0, atol=TOLERANCE)
        assert np.isnan(row[len(one) :]).all()


@pytest.mark.parametrize("change", ["context", "option"])
def test_what_is_scored_matters(change):
    """Control: another first token of the context or option gives other scores.

    If the model did not look back, the wrong question's cache would pass the tests above.
    """
    model = tiny_model("llama")
    context, option = [5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15]
    before = score_options(model, [encoded(context, option, [3, 4])], ONE, size=4).logprob
    if change == "context":
        context = [20, *context[1:]]
    if change == "option":
        option = [20, *option[1:]]
    after = score_options(model, [encoded(context, option, [3, 4])], ONE, size=4).logprob
    assert abs(after[0, 0] - before[0, 0]) > 0.01
    assert (abs(after[0, 1] - before[0, 1]) > 0.01) == (change != "option")


def test_the_gain_is_on_in_both_passes():
    """A gain changes first tokens, which contexts give, and later ones, which options give."""
    model = tiny_model("llama")
    whole = encoded([5, 6, 7], [8, 9, 10])
    first = encoded([5, 6, 7], [8])
    scores = {
        g: [score_options(model, [q], Decimal(g), size=4).logprob[0, 0] for q in (first, whole)]
        for g in ("1.0", "0.5")
    }
    later = {g: both[1] - both[0] for g, both in scores.items()}
    assert abs(scores["1.0"][0] - scores["0.5"][0]) > 0.01
    assert abs(later["1.0"] - later["0.5"]) > 0.01


def test_equal_options_tie():
    """Equal options of a question have one score to the bit, wherever they stand."""
    questions = [encoded([5, 6, 7], [8, 9], [3, 4, 5, 6, 7], [8, 9], [8, 9, 10], name="a")]
    questions.append(encoded([7, 6, 5], [8, 9], [8, 9, 11, 12], [4], name="b"))
    scores = score_options(tiny_model("llama"), questions, ONE, size=2).logprob
    assert scores[0, 0] == scores[0, 2]
    assert scores[0, 0] != scores[1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probabilities_of_all_tokens_add_to_one(dtype):
    """Log-probabilities are over the whole vocabulary, and in float32 for a bfloat16 model too."""
    model = tiny_model("llama").to(dtype)
    every = encoded([5, 6, 7], *([token] for token in range(VOCABULARY)))
    scores = score_options(model, [every], ONE, size=2).logprob
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("scoring", Scoring)
def test_text_is_scored_from_end_to_end(scoring, tmp_path):
    """Questions of 3, 4 and 5 options have the scores of their text, with a tokenizer's tokens."""
    folder = save_model(tmp_path, seed=4)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    every = open_questions(f"file:{DEMO}").questions
    some = [next(q for q in every if len(q.choices) == n) for n in (3, 4, 5)]
    g = Decimal("1.3")
    found = score_options(model, encode_questions(some, tokenizer, scoring), g, size=4)
    for row, characters, question in zip(found.logprob, found.n_characters, some, strict=True):
        prompt = TEMPLATES[scoring].render(question)
        context = tokenizer(prompt.context)["input_ids"]
        joined = [tokenizer(prompt.context + text)["input_ids"] for text in prompt.continuations]
        scores = np.array([plainly(model, context, ids[len(context) :], g) for ids in joined])
        # bytes are tokens here: " A" is two, and the blank that letters share is not scored
        shared = plainly(model, context, joined[0][len(context) :][:1], g)
        scores -= shared if scoring is Scoring.LETTER else 0
        n = len(question.choices)
        np.testing.assert_allclose(row[:n], scores, rtol=0, atol=5 * TOLERANCE)
        lengths = [1] * n if scoring is Scoring.LETTER else [len(c) for c in question.choices]
        assert characters.tolist() == lengths + [0] * (5 - n)


# ------------------------------------------------------------------------------------- the cost


def test_letters_take_one_pass_a_question():
    """One-token options need nothing but their context: one row a question, no cache."""
    model = tiny_model("llama")
    questions = random_questions(9, longest=1, options=(4,))
    batches = question_batches(questions, 4)
    seen = passes_seen(model, lambda: [score_batch(model, batch, ONE) for batch in batches])
    assert sum(rows for rows, _, _ in seen) == len(questions)
    assert sum(batch.n_passes for batch in batches) == len(questions)
    assert not any(cached for _, _, cached in seen)
    tokens = sum(len(question.context) for question in questions)
    assert sum(rows * length for rows, length, _ in seen) == tokens
    assert sum(batch.n_tokens for batch in batches) == tokens


def test_a_context_is_passed_once_whatever_its_options():
    """What a batch says it costs is what the decoder sees; contexts are not repeated by option."""
    model, questions = tiny_model("llama"), random_questions(11)
    batches = question_batches(questions, 4)
    seen = passes_seen(model, lambda: [score_batch(model, batch, ONE) for batch in batches])
    assert sum(rows for rows, _, _ in seen) == sum(batch.n_passes for batch in batches)
    assert sum(rows * length for rows, length, _ in seen) == sum(b.n_tokens for b in batches)
    longer = sum(len(ids) > 1 for question in questions for ids in question.continuations)
    assert sum(batch.n_passes for batch in batches) == len(questions) + longer
    assert max(rows for rows, _, _ in seen) <= 4
    repeated = sum(len(q.context) * len(q.continuations) for q in questions)
    assert sum(batch.n_tokens for batch in batches) < repeated  # control


def test_the_head_runs_at_the_last_position_of_contexts():
    """Of a context, only the last position's logits are computed."""
    model, rows = tiny_model("llama"), []
    handle = model.lm_head.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[1]))
    score_options(model, [encoded(range(3, 9), [8, 9, 10], [5])], ONE, size=4)
    handle.remove()
    assert rows == [1, 2]


# ------------------------------------------------------------------------------------- batches


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20), st.integers(1, 5))
def test_batches_hold_every_question_once(lengths, size):
    """Contexts of a batch have equal length, shortest first, and every question is in one batch."""
    questions = [encoded([3] * n, [4], [5], name=f"q{i}") for i, n in enumerate(lengths)]
    batches = question_batches(questions, size)
    assert sorted(i for batch in batches for i in batch.positions) == list(range(len(lengths)))
    order = [len(question.context) for batch in batches for question in batch.questions]
    assert order == sorted(lengths)
    for batch in batches:
        assert len({len(question.context) for question in batch.questions}) == 1
        assert len(batch.questions) <= size
        assert [questions[i] for i in batch.positions] == list(batch.questions)


def test_scores_are_put_together_in_any_order():
    """Merged scores are by question, NaN and 0 beyond its options, in whatever order they come."""
    questions = [
        encoded([3, 4], [5, 6], [7], [8], name="a"),
        encoded([3], [4], [5, 6, 7], name="b"),
    ]
    parts = [
        BatchScores(np.array([1]), np.array([[-1.0, -2.0]])),
        BatchScores(np.array([0]), np.array([[-3.0, -4.0, -5.0]])),
    ]
    for order in (parts, parts[::-1]):
        found = merge_scores(questions, order)
        np.testing.assert_array_equal(found.logprob, [[-3, -4, -5], [-1, -2, np.nan]])
        assert found.n_tokens.tolist() == [[2, 1, 1], [1, 3, 0]]
        assert found.n_characters.tolist() == [[20, 10, 10], [10, 30, 0]]


def test_missing_scores_are_refused():
    """Scores of some questions are not taken for those of all."""
    questions = [encoded([3], [4], [5], name="a"), encoded([3], [4], [5], name="b")]
    part = BatchScores(np.array([0]), np.array([[-1.0, -2.0]]))
    with pytest.raises(ArrayError, match="scores of 1 of 2 questions; the first without is b"):
        merge_scores(questions, [part])


# -------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", ["context", "option"])
def test_logits_that_are_not_finite_are_an_error(value, place):
    """NaN or Inf in a context's or an option's logits is an error naming gain and question."""
    model = tiny_model("llama", tie_word_embeddings=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[90] = value
    good = encoded([5, 6, 7, 8], [5, 6], [7], name="good")
    bad = {
        "context": encoded([5, 6, 90, 8], [5, 6, 7], [7], name="bad"),
        "option": encoded([5, 6, 7, 8], [5, 90, 7], [7], name="bad"),
    }
    questions = [good, bad[place], good]
    with pytest.raises(NonFiniteError, match=r"NaN or Inf at gain 0\.7, question bad: use --dtype"):
        score_options(model, questions, Decimal("0.70"), size=4)
    assert not any(module._forward_hooks for module in model.modules())
    assert np.isfinite(score_options(model, [good], ONE, size=4).logprob).all()  # control


def test_an_infinite_logit_is_an_error():
    """Inf beside finite logits is an error too, though its softmax is defined where it is -Inf."""
    model = tiny_model("llama")
    model.lm_head.register_forward_hook(
        lambda _module, _args, logits: logits.index_fill(-1, torch.tensor([80]), -np.inf)
    )
    with pytest.raises(NonFiniteError, match=r"NaN or Inf at gain 1\.0, question q: "):
        score_options(model, [encoded([5, 6], [7, 8], [7])], ONE, size=4)


def test_the_last_token_of_an_option_is_only_predicted():
    """A token that no later one follows is never passed through the model."""
    model = tiny_model("llama", tie_word_embeddings=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[90] = np.nan
    scores = score_options(model, [encoded([5, 6], [7, 90], [90])], ONE, size=4).logprob
    assert np.isfinite(scores).all()
