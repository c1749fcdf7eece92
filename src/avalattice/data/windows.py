"""Windows: equal stretches of a tokenised corpus, and the slices that stages use.

A corpus of tokens is cut into windows of S = k + T tokens, of which the first k (the warm-up) give
context only and the last T are the lattice's tokens. Windows do not overlap on the lattice. Where
the tokenizer puts a beginning-of-sequence token (BOS) before text, each window begins with it, in
place of a corpus token.

The first (N_cal + N_ras) × pool_factor windows are the pool; one permutation of it, drawn from a
stream named by the dataset's role, is cut into disjoint slices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int32

from avalattice.canon import DatasetRole, WindowSet
from avalattice.data.corpora import Corpus
from avalattice.errors import DataError
from avalattice.rng import stream

_DOCUMENTS_AT_ONCE = 256


class Tokenizer(Protocol):
    """What is needed of a tokenizer."""

    def __call__(self, text: list[str], *, add_special_tokens: bool) -> Mapping[str, Any]:
        """Token ids under ``input_ids``, one list for each text."""
        ...

    def decode(self, token_ids: list[int]) -> str:
        """The text of token ids."""
        ...


@dataclass(frozen=True)
class WindowSlice:
    """Windows that one purpose uses."""

    dataset_role: DatasetRole
    window_set: WindowSet
    window_ids: Int32[np.ndarray, " N"]
    """Position of each window in the corpus."""
    input_ids: Int32[np.ndarray, "N S"]
    """Token ids, S = warmup_tokens + T."""
    warmup_tokens: int
    """Leading tokens that give context and are no lattice sites."""

    @property
    def token_ids(self) -> Int32[np.ndarray, "N T"]:
        """The lattice's tokens."""
        return self.input_ids[:, self.warmup_tokens :]

    @property
    def sha256(self) -> str:
        """Digest of window ids and token ids, with their shapes."""
        digest = hashlib.sha256()
        for array in (self.window_ids, self.input_ids):
            digest.update(repr((array.shape, self.warmup_tokens)).encode())
            digest.update(np.ascontiguousarray(array, dtype="<i4").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class WindowPlan:
    """How windows are cut and how many are needed."""

    seq_len_tokens: int
    """T."""
    warmup_tokens: int
    """k."""
    pool_factor: int
    slices: Mapping[WindowSet, int]
    """Windows of each slice, in the order in which they are cut from the permutation."""

    @property
    def pool(self) -> int:
        """Windows in the pool."""
        return sum(self.slices.values()) * self.pool_factor

    def corpus_tokens(self, n_windows: int, *, bos: bool) -> int:
        """Corpus tokens that ``n_windows`` take."""
        context, stride = self._context(bos), self._stride(bos)
        return context + n_windows * stride

    def available(self, n_tokens: int, *, bos: bool) -> int:
        """Windows that ``n_tokens`` corpus tokens give."""
        return max(0, (n_tokens - self._context(bos)) // self._stride(bos))

    def _context(self, bos: bool) -> int:
        return max(self.warmup_tokens - bos, 0)

    def _stride(self, bos: bool) -> int:
        # without warm-up the BOS token stands on the lattice and takes the place of a corpus token
        return self.seq_len_tokens - (bos and not self.warmup_tokens)


def tokenize(corpus: Corpus, tokenizer: Tokenizer, *, at_most: int) -> Int32[np.ndarray, " M"]:
    """The corpus's first tokens, without special tokens.

    Documents follow each other in order; one that does not end in a line feed is followed by an
    empty line. Reading stops once ``at_most`` tokens are there.
    """
    ids: list[int] = []
    for texts in _in_groups(corpus.documents(), _DOCUMENTS_AT_ONCE):
        ended = [text if text.endswith("\n") else f"{text}\n\n" for text in texts if text]
        for document in tokenizer(ended, add_special_tokens=False)["input_ids"] if ended else ():
            ids.extend(document)
        if len(ids) >= at_most:
            break
    return np.array(ids[:at_most], dtype=np.int32)


def shuffle_tokens(
    windows: WindowSlice, fixed_ids: Collection[int], streams: Sequence[np.random.Generator]
) -> WindowSlice:
    """The windows with their lattice tokens in an order drawn anew; warm-up tokens stay.

    Args:
        windows: the windows.
        fixed_ids: token ids that keep their places, such as a tokenizer's special tokens.
        streams: one stream for each window.
    """
    shuffled = windows.input_ids.copy()
    moving = ~np.isin(windows.token_ids, list(fixed_ids))
    for tokens, moves, rng in zip(
        shuffled[:, windows.warmup_tokens :], moving, streams, strict=True
    ):
        tokens[moves] = rng.permutation(tokens[moves])
    return replace(windows, input_ids=shuffled)


def _in_groups(items: Iterator[str], size: int) -> Iterable[list[str]]:
    return iter(lambda: list(islice(items, size)), [])


def cut_windows(
    tokens: Int32[np.ndarray, " M"], plan: WindowPlan, *, n_windows: int, bos_id: int | None
) -> Int32[np.ndarray, "N S"]:
    """The first ``n_windows`` windows of a tokenised corpus.

    Raises:
        DataError: there are fewer; the message says which settings to change.
    """
    bos = bos_id is not None
    available = plan.available(len(tokens), bos=bos)
    if available < n_windows:
        raise DataError(
            f"the corpus is too short: {n_windows} windows of {plan.seq_len_tokens} tokens are "
            f"needed ({sum(plan.slices.values())} × data.pool_factor {plan.pool_factor}), its "
            f"{len(tokens)} tokens give {available}. Lower data.pool_factor, the n_windows "
            "settings or data.seq_len_tokens, or use a longer corpus"
        )
    length = plan.warmup_tokens + plan.seq_len_tokens - bos
    stride = plan.corpus_tokens(1, bos=bos) - plan.corpus_tokens(0, bos=bos)
    starts = stride * np.arange(n_windows, dtype=np.int64)
    windows: np.ndarray = tokens[starts[:, None] + np.arange(length)]
    if bos_id is not None:
        windows = np.insert(windows, 0, bos_id, axis=1)
    return windows


def select_windows(
    corpus: Corpus,
    tokenizer: Tokenizer,
    plan: WindowPlan,
    *,
    role: DatasetRole,
    bos_id: int | None,
    seed: int,
) -> dict[WindowSet, WindowSlice]:
    """The disjoint slices of a dataset.

    Args:
        corpus: the documents.
        tokenizer: the model's tokenizer.
        plan: sizes.
        role: names the random stream.
        bos_id: the token put before each window, or None.
        seed: the configuration's seed.

    Raises:
        DataError: the corpus is too short for the pool.
    """
    needed = plan.corpus_tokens(plan.pool, bos=bos_id is not None)
    tokens = tokenize(corpus, tokenizer, at_most=needed)
    pool = cut_windows(tokens, plan, n_windows=plan.pool, bos_id=bos_id)
    order = stream(seed, "windows", str(role)).permutation(plan.pool)
    slices: dict[WindowSet, WindowSlice] = {}
    start = 0
    for window_set, count in plan.slices.items():
        ids = order[start : start + count].astype(np.int32)
        slices[window_set] = WindowSlice(role, window_set, ids, pool[ids], plan.warmup_tokens)
        start += count
    return slices
