"""Log-probabilities of options: s_qk = Σ_j log p(a_qk,j | c_q, a_qk,1 … a_qk,j−1).

q counts questions and k options; c_q is a question's context and a_qk,1 … a_qk,J the tokens of an
option (:mod:`avalattice.data.prompts`). Natural logarithms, over the whole vocabulary, in float32
whatever the model's dtype. Cloze scores are the lm-evaluation-harness's.

A context passes through the model once, and gives the first token of every option. An option of
several tokens goes on from the context's keys and values, equal options of a question once, so that
they tie. Letter scoring therefore takes one forward pass a question. Contexts of a batch have equal
length; options are padded at their end, which no token before it attends to.

Models without a key-value cache and contexts longer than a model's positions are not handled.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from avalattice.data.prompts import EncodedQuestion, TokenIds
from avalattice.errors import ArrayError, NonFiniteError
from avalattice.model.gain import gain
from avalattice.rng import decimal_text

Option: TypeAlias = tuple[int, TokenIds]
"""A question's row in its batch, and the tokens of one of its options."""


@dataclass(frozen=True)
class QuestionBatch:
    """Questions whose contexts have equal length."""

    positions: tuple[int, ...]
    """Where the questions stand among all questions."""
    questions: tuple[EncodedQuestion, ...]
    size: int
    """Rows of one forward pass, at most."""

    @cached_property
    def longer_options(self) -> tuple[tuple[Option, ...], ...]:
        """The distinct options of more than one token, shortest first, by forward pass."""
        options = {
            (row, ids)
            for row, question in enumerate(self.questions)
            for ids in question.continuations
            if len(ids) > 1
        }
        ordered = sorted(options, key=lambda option: (len(option[1]), option))
        return tuple(tuple(part) for part in _cut(ordered, self.size))

    @property
    def n_passes(self) -> int:
        """Rows through the model: one for each context, one for each longer option."""
        return len(self.questions) + sum(len(part) for part in self.longer_options)

    @property
    def n_tokens(self) -> int:
        """Tokens through the model, the padding of options included."""
        context = sum(len(question.context) for question in self.questions)
        return context + sum(len(part) * (len(part[-1][1]) - 1) for part in self.longer_options)


@dataclass(frozen=True)
class BatchScores:
    """What one batch came to."""

    positions: Int64[np.ndarray, " B"]
    """Where its questions stand among all questions."""
    logprob: Float64[np.ndarray, "B K"]
    """s, NaN beyond a question's options."""


@dataclass(frozen=True)
class OptionScores:
    """Scores of all questions at one gain."""

    logprob: Float64[np.ndarray, "Q K"]
    """s, in nats; NaN beyond a question's options."""
    n_tokens: Int64[np.ndarray, "Q K"]
    """Scored tokens of each option; 0 beyond a question's options."""
    n_characters: Int64[np.ndarray, "Q K"]
    """Characters of each option's text; 0 beyond a question's options."""


def question_batches(questions: Sequence[EncodedQuestion], size: int) -> list[QuestionBatch]:
    """Questions in batches of equal context length, shortest first, at most ``size`` in each.

    Args:
        questions: all questions, in order.
        size: rows of one forward pass, be they contexts or options.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for position, question in enumerate(questions):
        by_length[len(question.context)].append(position)
    return [
        QuestionBatch(tuple(positions), tuple(questions[i] for i in positions), size)
        for _, together in sorted(by_length.items())
        for positions in _cut(together, size)
    ]


def score_batch(model: nn.Module, batch: QuestionBatch, g: Decimal) -> BatchScores:
    """The log-probability of every option of a batch at gain g.

    Args:
        model: a Hugging Face causal language model.
        batch: the questions.
        g: the gain.

    Raises:
        NonFiniteError: logits contain NaN or Inf; the message names gain and question.
    """
    with torch.inference_mode(), gain(model, g):
        scores, cache = _first_tokens(model, batch, g)
        for part in batch.longer_options:
            for option, rest in zip(part, _later_tokens(model, batch, part, cache, g), strict=True):
                scores[option] += rest
    by_question = [
        [scores[row, ids] for ids in question.continuations]
        for row, question in enumerate(batch.questions)
    ]
    return BatchScores(np.array(batch.positions), _table(by_question, np.nan))


def merge_scores(
    questions: Sequence[EncodedQuestion], batches: Iterable[BatchScores]
) -> OptionScores:
    """The scores of all questions from those of their batches, in whatever order.

    Raises:
        ArrayError: a question's scores are missing.
    """
    found = {
        position: logprob
        for batch in batches
        for position, logprob in zip(batch.positions.tolist(), batch.logprob, strict=True)
    }
    missing = [question.id for i, question in enumerate(questions) if i not in found]
    if missing:
        raise ArrayError(
            f"scores of {len(found)} of {len(questions)} questions; the first without is "
            f"{missing[0]}"
        )
    logprob = [found[i][: len(q.continuations)] for i, q in enumerate(questions)]
    n_tokens = [[len(ids) for ids in question.continuations] for question in questions]
    return OptionScores(
        logprob=_table(logprob, np.nan),
        n_tokens=_table(n_tokens, 0),
        n_characters=_table([question.n_characters for question in questions], 0),
    )


def score_options(
    model: nn.Module, questions: Sequence[EncodedQuestion], g: Decimal, *, size: int
) -> OptionScores:
    """The log-probability of every option of all questions at gain g.

    Args:
        model: a Hugging Face causal language model.
        questions: all questions.
        g: the gain.
        size: rows of one forward pass, be they contexts or options.

    Raises:
        NonFiniteError: logits contain NaN or Inf; the message names gain and question.
    """
    batches = question_batches(questions, size)
    return merge_scores(questions, (score_batch(model, batch, g) for batch in batches))


def _cut(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _table(rows: Sequence[Sequence[Any] | np.ndarray], fill: float) -> np.ndarray:
    """Rows of different lengths as an array [Q, K], filled at their ends."""
    table = np.full((len(rows), max(map(len, rows))), fill)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def _first_tokens(
    model: nn.Module, batch: QuestionBatch, g: Decimal
) -> tuple[dict[Option, float], Any]:
    """Each option's first log-probability, and the contexts' keys and values where needed."""
    ids = _as_ids(model, [question.context for question in batch.questions])
    out = model(input_ids=ids, use_cache=bool(batch.longer_options), logits_to_keep=1)
    at_end = torch.ones_like(ids[:, -1:], dtype=torch.bool)
    logprob = _log_probabilities(out.logits, at_end, batch.questions, g)[:, 0]
    options = [(row, ids) for row, q in enumerate(batch.questions) for ids in q.continuations]
    first = logprob[[row for row, _ in options], [ids[0] for _, ids in options]]
    return dict(zip(options, first.tolist(), strict=True)), out.past_key_values


def _later_tokens(
    model: nn.Module, batch: QuestionBatch, options: Sequence[Option], cache: Any, g: Decimal
) -> list[float]:
    """The sum of each option's log-probabilities after its first token."""
    longest = max(len(ids) for _, ids in options)
    # the last token is repeated; no pad token, which some models look for
    ids = _as_ids(model, [(*ids, *ids[-1:] * (longest - len(ids))) for _, ids in options])
    lengths = torch.tensor([len(ids) for _, ids in options], device=ids.device)
    scored = torch.arange(1, longest, device=ids.device) < lengths[:, None]
    rows = [row for row, _ in options]
    own = copy.deepcopy(cache)  # a pass appends to it
    own.batch_select_indices(torch.tensor(rows, device=ids.device))
    logits = model(input_ids=ids[:, :-1], past_key_values=own, use_cache=True).logits
    logprob = _log_probabilities(logits, scored, [batch.questions[row] for row in rows], g)
    chosen = logprob.gather(-1, ids[:, 1:, None])[..., 0]
    totals: list[float] = chosen.double().where(scored, 0.0).sum(dim=1).tolist()
    return totals


def _log_probabilities(
    logits: Float[Tensor, "R J V"],
    scored: Bool[Tensor, "R J"],
    questions: Sequence[EncodedQuestion],
    g: Decimal,
) -> Float[Tensor, "R J V"]:
    """Log-softmax in float32; raises where logits that count are not finite."""
    bad = (~logits.isfinite().all(dim=-1) & scored).any(dim=1)
    if bool(bad.any()):
        question = questions[int(bad.nonzero()[0])]
        raise NonFiniteError(
            f"logits contain NaN or Inf at gain {decimal_text(g)}, question {question.id}: use "
            "--dtype fp32. The run stays incomplete"
        )
    return logits.float().log_softmax(dim=-1)


def _as_ids(model: nn.Module, rows: Sequence[TokenIds]) -> Int64[Tensor, "R J"]:
    return torch.tensor(rows, device=next(model.parameters()).device)
