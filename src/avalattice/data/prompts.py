"""Multiple-choice prompts: a context c and, for each option k, a continuation a_k, as tokens.

A scoring asks for log p(a_k | c). Two are there:

- *letter* (``ARC_MCQ_V1``): the context lists the options under A, B, C, … whatever their labels
  were, and a_k is the letter;
- *cloze* (``ARC_CLOZE_V1``): the context is the question alone, and a_k the option's text, as
  arc_challenge of the lm-evaluation-harness has it.

Tokens are the harness's too: c and c + a_k are encoded whole, with whatever special tokens the
tokenizer puts there by default, and what stands in the second beyond the length of the first is the
continuation. Contexts are never truncated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from avalattice.canon import Scoring
from avalattice.data.mcq import Question
from avalattice.errors import DataError

TokenIds: TypeAlias = tuple[int, ...]


class Tokenizer(Protocol):
    """What is needed of a tokenizer."""

    def __call__(self, text: list[str]) -> Mapping[str, Any]:
        """Token ids under ``input_ids``, one list for each text, special tokens included."""
        ...


@dataclass(frozen=True)
class Prompt:
    """A question as text."""

    context: str
    continuations: tuple[str, ...]
    """One for each option, with the space that separates it from the context."""
    n_characters: tuple[int, ...]
    """Length of each option's text without that space: what acc_norm divides by."""


@dataclass(frozen=True)
class PromptTemplate:
    """How questions become prompts."""

    id: str
    """The name under which tables know it."""
    render: Callable[[Question], Prompt]

    @property
    def sha256(self) -> str:
        """Digest of the prompt of a question of placeholders: it changes with the template."""
        return _digest(self.render(_PLACEHOLDERS))


@dataclass(frozen=True)
class EncodedQuestion:
    """A question as token ids."""

    id: str
    context: TokenIds
    continuations: tuple[TokenIds, ...]
    """One for each option, each of one token or more."""
    n_characters: tuple[int, ...]
    """Length of each option's text."""
    prompt_sha256: str
    """Digest of the prompt's text, continuations included."""


def letter_prompt(question: Question) -> Prompt:
    """The question with its lettered options; the continuations are the letters.

    >>> print(letter_prompt(Question("q", "Is it?", ("yes", "no"), ("1", "2"), 0)).context)
    Question: Is it?
    Choices:
    A. yes
    B. no
    Answer:
    """
    letters = ascii_uppercase[: len(question.choices)]
    lines = [f"{a}. {text}" for a, text in zip(letters, question.choices, strict=True)]
    context = "\n".join([f"Question: {question.question}", "Choices:", *lines, "Answer:"])
    return _prompt(context, letters)


def cloze_prompt(question: Question) -> Prompt:
    """The question alone; the continuations are the options' texts.

    >>> prompt = cloze_prompt(Question("q", "Is it?", ("yes", "no"), ("1", "2"), 0))
    >>> print(prompt.context, prompt.continuations, prompt.n_characters)
    Question: Is it?
    Answer: (' yes', ' no') (3, 2)
    """
    return _prompt(f"Question: {question.question}\nAnswer:", question.choices)


def _prompt(context: str, options: Sequence[str]) -> Prompt:
    continuations = tuple(f" {option}" for option in options)
    return Prompt(context, continuations, tuple(len(option) for option in options))


TEMPLATES: Final[Mapping[Scoring, PromptTemplate]] = MappingProxyType(
    {
        Scoring.LETTER: PromptTemplate("ARC_MCQ_V1", letter_prompt),
        Scoring.CLOZE: PromptTemplate("ARC_CLOZE_V1", cloze_prompt),
    }
)
"""The template of each scoring."""

_PLACEHOLDERS = Question("{id}", "{question}", ("{first}", "{second}"), ("1", "2"), 0)


def encode_questions(
    questions: Iterable[Question], tokenizer: Tokenizer, scoring: Scoring
) -> tuple[EncodedQuestion, ...]:
    """The prompts of questions as token ids.

    In letter scoring every option has one token, so that a question takes one forward pass. Where
    a tokenizer makes several of " A", all but the last must be shared by all letters and go to the
    end of the context: the log-probabilities are then conditional on them, and differ as they did.

    Args:
        questions: the questions.
        tokenizer: the model's tokenizer.
        scoring: which template to use.

    Raises:
        DataError: naming the question, an option adds no token to its context, or letters differ in
            more than their last token.
    """
    render = TEMPLATES[scoring].render
    encoded = (_encode(q.id, render(q), tokenizer) for q in questions)
    if scoring is Scoring.LETTER:
        return tuple(_one_token_each(question) for question in encoded)
    return tuple(encoded)


def encode_pairs(
    context: str, continuations: Sequence[str], tokenizer: Tokenizer
) -> tuple[TokenIds, tuple[TokenIds, ...]]:
    """Token ids of a context and of its continuations, as the harness's ``_encode_pair``.

    Blanks at the end of the context belong to the continuations. The ids of the context are those
    that it has alone: a tokenizer may join its end with the continuation, and what stands before
    the continuation is then not what ``context + continuation`` begins with.
    """
    stem = context.rstrip()
    blanks = context[len(stem) :]
    whole = [f"{stem}{blanks}{continuation}" for continuation in continuations]
    alone, *joined = tokenizer([stem, *whole])["input_ids"]
    return tuple(alone), tuple(tuple(ids[len(alone) :]) for ids in joined)


def _encode(question_id: str, prompt: Prompt, tokenizer: Tokenizer) -> EncodedQuestion:
    context, continuations = encode_pairs(prompt.context, prompt.continuations, tokenizer)
    for text, ids in zip(prompt.continuations, continuations, strict=True):
        if not ids:
            raise DataError(
                f"question {question_id}: option {text!r} adds no token to its context with this "
                "tokenizer, so it cannot be scored; reword or remove it"
            )
    return EncodedQuestion(
        question_id, context, continuations, prompt.n_characters, _digest(prompt)
    )


def _one_token_each(question: EncodedQuestion) -> EncodedQuestion:
    """The question with all but the last token of its continuations moved to its context."""
    shared = question.continuations[0][:-1]
    if any(ids[:-1] != shared for ids in question.continuations):
        raise DataError(
            f"question {question.id}: letter scoring needs letters that differ in their last token "
            f"alone, found {question.continuations} with this tokenizer; use cloze scoring"
        )
    letters = tuple(ids[-1:] for ids in question.continuations)
    return replace(question, context=question.context + shared, continuations=letters)


def _digest(prompt: Prompt) -> str:
    content = [prompt.context, prompt.continuations]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
