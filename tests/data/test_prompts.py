"""Multiple-choice prompts: their text, their tokens, and which tokens count as the option's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from avalattice.canon import Scoring
from avalattice.data.mcq import Question
from avalattice.data.prompts import (
    TEMPLATES,
    PromptTemplate,
    cloze_prompt,
    encode_pairs,
    encode_questions,
    letter_prompt,
)
from avalattice.errors import DataError

SPACE = "Ġ"  # a blank, as byte-level tokenizers write it


def byte_tokenizer(*merges, bos=False):
    """A byte tokenizer with a few merges, which may put a token before text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", *alphabet, *("".join(merge) for merge in merges)]
    model = BPE(vocab={word: i for i, word in enumerate(words)}, merges=list(merges))
    tokenizer = Tokenizer(model)
    # one word for all: merges may then reach from the context into the continuation
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if bos:
        tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


LETTERS = [(SPACE, letter) for letter in "ABCDE"]
"""Merges that make one token of a blank and a letter."""


def question(n_options=4, stem="Why?", **changes):
    """A question whose labels are numbers."""
    options = tuple("because of " + "x" * (k + 1) for k in range(n_options))
    fields = {
        "id": "q7",
        "question": stem,
        "choices": options,
        "labels": tuple("12345"[:n_options]),
        "answer": 0,
    }
    return Question(**(fields | changes))


def decoded(tokenizer, ids):
    """The text of token ids."""
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


# ---------------------------------------------------------------------------------------- text


@pytest.mark.parametrize("n_options", [3, 4, 5])
def test_the_letter_prompt_is_arc_mcq_v1(n_options):
    """Options are lettered from A whatever their labels; the continuations are the letters."""
    prompt = letter_prompt(question(n_options))
    lines = prompt.context.split("\n")
    assert lines[:2] == ["Question: Why?", "Choices:"]
    letters = "ABCDE"[:n_options]
    texts = question(n_options).choices
    assert lines[2:-1] == [f"{a}. {text}" for a, text in zip(letters, texts, strict=True)]
    assert lines[-1] == "Answer:"
    assert prompt.continuations == tuple(f" {letter}" for letter in letters)
    assert prompt.n_characters == (1,) * n_options


def test_the_cloze_prompt_shows_no_options():
    """The context holds the question alone; options follow a blank that does not count."""
    prompt = cloze_prompt(question(choices=("été", "a b", "c", "d")))
    assert prompt.context == "Question: Why?\nAnswer:"
    assert prompt.continuations == (" été", " a b", " c", " d")
    assert prompt.n_characters == (3, 3, 1, 1)  # characters; in bytes it would be five


def test_templates_are_told_apart():
    """Each scoring has a template of its own; a template's digest changes with its wording."""
    assert [TEMPLATES[scoring].id for scoring in Scoring] == ["ARC_MCQ_V1", "ARC_CLOZE_V1"]
    digests = {TEMPLATES[scoring].sha256 for scoring in Scoring}
    other = PromptTemplate("other", lambda q: cloze_prompt(question(stem=f"{q.question}?")))
    assert len({*digests, other.sha256}) == 3
    assert PromptTemplate("renamed", cloze_prompt).sha256 in digests


# -------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("scoring", Scoring)
@pytest.mark.parametrize("bos", [False, True])
def test_tokens_spell_the_prompt(scoring, bos):
    """Context and continuation together are the tokens of the text, special tokens included."""
    tokenizer = byte_tokenizer(*LETTERS, bos=bos)
    prompt = TEMPLATES[scoring].render(question())
    (encoded,) = encode_questions([question()], tokenizer, scoring)
    assert encoded.context == tuple(tokenizer(prompt.context)["input_ids"])
    assert (encoded.context[0] == 0) == bos
    for continuation, ids in zip(prompt.continuations, encoded.continuations, strict=True):
        assert decoded(tokenizer, ids) == continuation
        assert 0 not in ids
        whole = tokenizer(prompt.context + continuation)["input_ids"]
        assert (*encoded.context, *ids) == tuple(whole)


words = st.text("ab ?", min_size=1, max_size=6)


@given(words.filter(str.strip), st.lists(words, min_size=1, max_size=3), st.booleans())
def test_pairs_are_split_where_the_context_ends(context, continuations, bos):
    """The continuation is what the joined text has beyond the length of the context alone.

    Merges reach across the boundary here: "a" + "b" is one token, and then counts as context.
    """
    tokenizer = byte_tokenizer(("a", "b"), ("b", SPACE), ("a", "a"), bos=bos)
    found, options = encode_pairs(context, continuations, tokenizer)
    stem = context.rstrip()
    assert found == tuple(tokenizer.encode(stem))
    for continuation, ids in zip(continuations, options, strict=True):
        whole = tokenizer.encode(stem + context[len(stem) :] + continuation)
        assert ids == tuple(whole[len(found) :])


def test_blanks_at_the_end_of_a_context_belong_to_the_option():
    """A context that ends in blanks gives them to its continuations."""
    tokenizer = byte_tokenizer()
    context, (option,) = encode_pairs("a  ", ["b"], tokenizer)
    assert (decoded(tokenizer, context), decoded(tokenizer, option)) == ("a", "  b")


def test_letters_of_several_tokens_lose_what_they_share():
    """Where " A" is a blank and a letter, the blank moves to the context and the letter is left."""
    tokenizer = byte_tokenizer()
    (encoded,) = encode_questions([question(5)], tokenizer, Scoring.LETTER)
    assert decoded(tokenizer, encoded.context).endswith("Answer: ")
    assert [decoded(tokenizer, ids) for ids in encoded.continuations] == list("ABCDE")
    assert all(len(ids) == 1 for ids in encoded.continuations)


def test_letters_without_a_common_beginning_are_refused():
    """A tokenizer that makes one token of " A" and two of " B" cannot score letters, but cloze."""
    tokenizer = byte_tokenizer((SPACE, "A"))
    with pytest.raises(DataError, match="question q7: letter scoring needs letters that differ"):
        encode_questions([question()], tokenizer, Scoring.LETTER)
    assert encode_questions([question()], tokenizer, Scoring.CLOZE)


def test_an_option_without_tokens_is_refused():
    """An option that the tokenizer joins with its context cannot be scored."""
    tokenizer = byte_tokenizer((":", SPACE), (f":{SPACE}", "x"))
    with pytest.raises(DataError, match="question q7: option ' x' adds no token"):
        encode_questions(
            [question(choices=("y", "x"), labels=("1", "2"))], tokenizer, Scoring.CLOZE
        )


def test_prompts_have_digests():
    """A prompt's digest covers its context and its options, and not the question's id."""
    tokenizer = byte_tokenizer(*LETTERS)
    changed = [{}, {"id": "r"}, {"question": "How?"}, {"choices": ("a", "b", "c", "d")}]
    for scoring in Scoring:
        encoded = encode_questions([question(**c) for c in changed], tokenizer, scoring)
        same, renamed, *others = [each.prompt_sha256 for each in encoded]
        assert same == renamed
        assert len({same, *others}) == 3
