"""Windows: how a corpus is cut, and which windows each purpose gets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalattice.canon import DatasetRole, WindowSet
from avalattice.data.corpora import Corpus
from avalattice.data.windows import (
    WindowPlan,
    WindowSlice,
    cut_windows,
    select_windows,
    shuffle_tokens,
    tokenize,
)
from avalattice.errors import DataError

BOS = -1
CAL, RAS = WindowSet.CALIBRATION, WindowSet.RASTER


class Characters:
    """A tokenizer whose tokens are code points."""

    def __call__(self, text, *, add_special_tokens):
        """One list of code points for each text."""
        assert not add_special_tokens
        assert all(text)
        return {"input_ids": [list(map(ord, item)) for item in text]}

    def decode(self, token_ids):
        """The text of code points."""
        return "".join(map(chr, token_ids))


class Reading(list):
    """Documents that remember how many were read."""

    def corpus(self):
        """These documents as a corpus."""
        self.read = 0

        def documents():
            for text in self:
                self.read += 1
                yield text

        return Corpus("test", None, documents)


def corpus_of(*texts):
    """Documents as a corpus."""
    return Corpus("test", None, lambda: iter(texts))


def plan_of(T=8, k=0, pool_factor=1, calibration=2, raster=3):
    """A plan of windows."""
    return WindowPlan(T, k, pool_factor, {CAL: calibration, RAS: raster})


LONG = corpus_of("".join(map(chr, range(0x100, 0x500))))


def select(plan=None, *, corpus=LONG, role=DatasetRole.A, bos_id=None, seed=1337):
    """The slices of a corpus."""
    plan = plan or plan_of(pool_factor=4)
    return select_windows(corpus, Characters(), plan, role=role, bos_id=bos_id, seed=seed)


# ------------------------------------------------------------------------------------- tokenising


def test_documents_follow_each_other():
    """A document that ends in no line feed is followed by an empty line; empty ones are nothing."""
    corpus = corpus_of("one", "two\n", "", "three")
    tokens = tokenize(corpus, Characters(), at_most=100)
    assert tokens.dtype == np.int32
    assert Characters().decode(tokens) == "one\n\ntwo\nthree\n\n"


@given(texts=st.lists(st.text(max_size=5), max_size=20), at_most=st.integers(0, 60))
def test_stopping_early_gives_the_beginning(texts, at_most):
    """Tokens up to a limit are the first of all tokens."""
    whole = tokenize(corpus_of(*texts), Characters(), at_most=10**6)
    part = tokenize(corpus_of(*texts), Characters(), at_most=at_most)
    np.testing.assert_array_equal(part, whole[:at_most])


def test_reading_stops_once_there_is_enough():
    """Documents beyond the needed tokens are not read, and the windows are those of the whole."""
    endless = Reading(["twelve chars"] * 100_000)
    few = select(corpus=endless.corpus())
    assert endless.read <= 1000
    whole = tokenize(corpus_of(*endless[:1000]), Characters(), at_most=10**6)
    plan = plan_of(pool_factor=4)
    pool = cut_windows(whole, plan, n_windows=plan.pool, bos_id=None)
    for window_slice in few.values():
        np.testing.assert_array_equal(window_slice.input_ids, pool[window_slice.window_ids])


def test_an_empty_corpus_has_no_tokens():
    """Without documents, or with empty ones, there are no tokens, and that is told."""
    for corpus in (corpus_of(), corpus_of("", "")):
        assert tokenize(corpus, Characters(), at_most=9).shape == (0,)
        with pytest.raises(DataError, match="its 0 tokens give 0"):
            select(corpus=corpus)


# ---------------------------------------------------------------------------------------- cutting

settings = {
    "T": st.integers(2, 9),
    "k": st.integers(0, 12),
    "n": st.integers(1, 7),
    "bos": st.booleans(),
    "extra": st.integers(0, 40),
}


def cut(T, k, n, bos, extra):
    """Windows of a corpus whose tokens are their own positions, with ``extra`` ones at its end."""
    plan = plan_of(T, k)
    tokens = np.arange(plan.corpus_tokens(n, bos=bos) + extra, dtype=np.int32)
    return cut_windows(tokens, plan, n_windows=n, bos_id=BOS if bos else None)


@given(**settings)
def test_windows_are_context_and_lattice(T, k, n, bos, extra):
    """Every window has k + T tokens; T counts BOS, which stands first and nowhere else."""
    windows = cut(T, k, n, bos, extra)
    assert windows.shape == (n, k + T)
    assert windows.dtype == np.int32
    assert (windows[:, 0] == BOS).all() == bos
    assert not (windows[:, 1:] == BOS).any()


@given(**settings)
def test_windows_do_not_overlap_on_the_lattice(T, k, n, bos, extra):
    """Window after window, the lattice's tokens are the corpus's, each once and none left out."""
    lattice = cut(T, k, n, bos, extra)[:, k:]
    corpus = lattice[lattice != BOS]
    np.testing.assert_array_equal(corpus, corpus[0] + np.arange(corpus.size))
    assert corpus.size == n * (T - (bos and not k))


@given(**settings)
def test_the_context_is_what_comes_before(T, k, n, bos, extra):
    """Within a window the corpus's tokens follow each other: context, then lattice."""
    for window in cut(T, k, n, bos, extra):
        written = window[window != BOS]
        np.testing.assert_array_equal(np.diff(written), 1)


@given(**settings)
def test_the_stride_is_the_lattice(T, k, n, bos, extra):
    """Windows begin T tokens apart, or T - 1 where BOS stands on the lattice."""
    windows = cut(T, k, n, bos, extra)
    np.testing.assert_array_equal(np.diff(windows[:, -1]), T - 1 if bos and not k else T)


@given(**settings)
def test_windows_take_what_they_need(T, k, n, bos, extra):
    """The first window begins with the corpus, and the last ends with the last needed token."""
    windows = cut(T, k, n, bos, extra)
    assert windows[0, int(bos)] == 0
    assert windows[-1, -1] == plan_of(T, k).corpus_tokens(n, bos=bos) - 1


@given(**settings)
def test_counts_of_tokens_and_windows_agree(T, k, n, bos, extra):
    """So many windows need just so many tokens: with one fewer there is a window less."""
    plan = plan_of(T, k)
    tokens = plan.corpus_tokens(n, bos=bos)
    assert plan.available(tokens, bos=bos) == n
    assert plan.available(tokens - 1, bos=bos) == n - 1
    assert plan.available(tokens + extra, bos=bos) >= n
    assert plan.available(0, bos=bos) == 0
    with pytest.raises(DataError, match=f"its {tokens - 1} tokens give {n - 1}"):
        cut_windows(
            np.arange(tokens - 1, dtype=np.int32), plan, n_windows=n, bos_id=BOS if bos else None
        )


@pytest.mark.parametrize(
    ("k", "bos_id", "expected"),
    [
        (0, None, [[0, 1, 2], [3, 4, 5]]),
        (0, BOS, [[BOS, 0, 1], [BOS, 2, 3]]),
        (1, None, [[0, 1, 2, 3], [3, 4, 5, 6]]),
        (1, BOS, [[BOS, 0, 1, 2], [BOS, 3, 4, 5]]),
        (2, BOS, [[BOS, 0, 1, 2, 3], [BOS, 3, 4, 5, 6]]),
    ],
)
def test_windows_of_three_tokens(k, bos_id, expected):
    """Known windows, with and without warm-up and BOS."""
    tokens = np.arange(9, dtype=np.int32)
    found = cut_windows(tokens, plan_of(3, k), n_windows=2, bos_id=bos_id)
    assert found.tolist() == expected


def test_a_short_corpus_is_told_with_the_settings():
    """The message gives windows needed and available, and every setting that would help."""
    with pytest.raises(DataError) as error:
        select(plan_of(T=8, pool_factor=4), corpus=corpus_of("a" * 98))
    assert str(error.value) == (
        "the corpus is too short: 20 windows of 8 tokens are needed (5 × data.pool_factor 4), its "
        "100 tokens give 12. Lower data.pool_factor, the n_windows settings or "
        "data.seq_len_tokens, or use a longer corpus"
    )


def test_a_corpus_of_just_enough_tokens_is_enough():
    """The last window may end with the corpus."""
    plan = plan_of(T=8, k=3, pool_factor=2)
    tokens = plan.corpus_tokens(plan.pool, bos=True)
    assert select(plan, corpus=corpus_of("a" * (tokens - 1) + "\n"), bos_id=BOS)
    with pytest.raises(DataError, match=f"its {tokens - 1} tokens give {plan.pool - 1}"):
        select(plan, corpus=corpus_of("a" * (tokens - 2) + "\n"), bos_id=BOS)


# ----------------------------------------------------------------------------------------- slices


@given(
    calibration=st.integers(1, 6),
    raster=st.integers(1, 6),
    pool_factor=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    bos=st.booleans(),
)
def test_slices_are_disjoint_parts_of_the_pool(calibration, raster, pool_factor, seed, bos):
    """Each slice has its size, its windows are those of the pool, and no window is in two."""
    plan = plan_of(3, 1, pool_factor, calibration, raster)
    slices = select(plan, seed=seed, bos_id=BOS if bos else None)
    assert {window_set: len(s.window_ids) for window_set, s in slices.items()} == {
        CAL: calibration,
        RAS: raster,
    }
    ids = np.concatenate([s.window_ids for s in slices.values()])
    assert len(set(ids.tolist())) == calibration + raster
    assert 0 <= ids.min() <= ids.max() < plan.pool
    tokens = tokenize(LONG, Characters(), at_most=10**6)
    pool = cut_windows(tokens, plan, n_windows=plan.pool, bos_id=BOS if bos else None)
    for window_slice in slices.values():
        np.testing.assert_array_equal(window_slice.input_ids, pool[window_slice.window_ids])
        np.testing.assert_array_equal(window_slice.token_ids, window_slice.input_ids[:, 1:])
        assert window_slice.warmup_tokens == 1


def order(slices):
    """Window ids in the order in which they were cut."""
    return np.concatenate([s.window_ids for s in slices.values()]).tolist()


def test_slices_are_cut_from_one_permutation():
    """How the windows are shared out does not change which come first: the pool's order is one."""
    same_pool = [select(plan_of(pool_factor=4, calibration=c, raster=5 - c)) for c in (1, 2, 4)]
    assert order(same_pool[0]) == order(same_pool[1]) == order(same_pool[2])
    assert order(same_pool[0]) != sorted(order(same_pool[0]))


def test_slices_depend_on_seed_and_role_alone():
    """The same seed and role give the same windows; another seed or role gives others."""
    one = select()
    assert order(select()) == order(one)
    assert [s.sha256 for s in select().values()] == [s.sha256 for s in one.values()]
    assert order(select(seed=1338)) != order(one)
    assert order(select(role=DatasetRole.B)) != order(one)
    assert {s.dataset_role for s in select(role=DatasetRole.B).values()} == {DatasetRole.B}
    assert {name: s.window_set for name, s in one.items()} == {CAL: CAL, RAS: RAS}


def test_windows_are_drawn_from_the_whole_pool():
    """Over many seeds every window of the pool is drawn about equally often."""
    drawn = np.zeros(20, dtype=int)
    for seed in range(200):
        drawn[order(select(seed=seed))] += 1
    assert drawn.sum() == 200 * 5
    assert abs(drawn - 50).max() < 5 * np.sqrt(50 * 0.75)


# ----------------------------------------------------------------------------------------- digest

GOOD = WindowSlice(
    DatasetRole.A,
    CAL,
    np.array([4, 0, 2], np.int32),
    np.arange(12, dtype=np.int32).reshape(3, 4),
    1,
)


def with_entry(array, index, value):
    """A copy with one entry changed."""
    changed = array.copy()
    changed[index] = value
    return changed


def test_the_digest_is_pinned():
    """The digest of these windows is this one, on every machine."""
    assert GOOD.sha256 == "9e4273bfc886fe7885525c7966624a99af58d85569fdbac8dc76aeadf16a5f24"


@given(index=st.integers(0, 2), value=st.integers(-(2**31), 2**31 - 1))
def test_the_digest_covers_every_window_id(index, value):
    """Another window id is another digest."""
    changed = dataclasses.replace(GOOD, window_ids=with_entry(GOOD.window_ids, index, value))
    assert (changed.sha256 == GOOD.sha256) == (value == GOOD.window_ids[index])


@given(index=st.tuples(st.integers(0, 2), st.integers(0, 3)), value=st.integers(-5, 200_000))
def test_the_digest_covers_every_token(index, value):
    """Another token, of the context too, is another digest."""
    changed = dataclasses.replace(GOOD, input_ids=with_entry(GOOD.input_ids, index, value))
    assert (changed.sha256 == GOOD.sha256) == (value == GOOD.input_ids[index])


@pytest.mark.parametrize(
    "changes",
    [
        {"warmup_tokens": 2},
        {"window_ids": GOOD.window_ids[::-1]},
        {"input_ids": GOOD.input_ids[::-1]},
        {"input_ids": GOOD.input_ids[:, :3]},
        {"window_ids": GOOD.window_ids[:2], "input_ids": GOOD.input_ids[:2]},
        {"window_ids": np.array([4, 0], np.int32), "input_ids": GOOD.input_ids.reshape(2, 6)},
    ],
)
def test_the_digest_covers_order_and_shape(changes):
    """Another order, length or warm-up is another digest, though the bytes be the same."""
    assert dataclasses.replace(GOOD, **changes).sha256 != GOOD.sha256


def test_the_digest_does_not_depend_on_memory():
    """Layout and byte order in memory are no part of the digest."""
    turned = dataclasses.replace(
        GOOD,
        window_ids=GOOD.window_ids.astype(">i4"),
        input_ids=np.asfortranarray(GOOD.input_ids),
    )
    assert turned.sha256 == GOOD.sha256


# -------------------------------------------------------------------------------------- shuffling


def streams(n, seed=0):
    """A stream for each window."""
    return [np.random.default_rng([seed, window]) for window in range(n)]


@given(
    ids=st.lists(st.lists(st.integers(0, 5), min_size=8, max_size=8), min_size=1, max_size=4),
    fixed=st.sets(st.integers(0, 5)),
    warmup=st.integers(0, 7),
)
def test_shuffled_windows_keep_their_tokens_and_special_ones_their_places(ids, fixed, warmup):
    """A window's tokens stay those that they are; warm-up and special tokens stay in place."""
    input_ids = np.array(ids, np.int32)
    windows = WindowSlice(
        DatasetRole.A, RAS, np.arange(len(ids), dtype=np.int32), input_ids.copy(), warmup
    )
    shuffled = shuffle_tokens(windows, fixed, streams(len(ids)))
    np.testing.assert_array_equal(windows.input_ids, input_ids)  # the original is left alone
    np.testing.assert_array_equal(shuffled.input_ids[:, :warmup], input_ids[:, :warmup])
    np.testing.assert_array_equal(np.sort(shuffled.input_ids), np.sort(input_ids))
    stays = np.isin(windows.token_ids, list(fixed))
    np.testing.assert_array_equal(shuffled.token_ids[stays], windows.token_ids[stays])
    assert not (np.isin(shuffled.token_ids, list(fixed)) & ~stays).any()
    np.testing.assert_array_equal(shuffled.window_ids, windows.window_ids)
    assert (shuffled.window_set, shuffled.warmup_tokens) == (RAS, warmup)


def test_tokens_that_may_move_do():
    """Control: of many different tokens hardly one stays, and each window has its own order."""
    ids = np.tile(np.arange(200, dtype=np.int32), (4, 1))
    windows = WindowSlice(DatasetRole.A, RAS, np.arange(4, dtype=np.int32), ids, 20)
    shuffled = shuffle_tokens(windows, {30, 40}, streams(4)).token_ids
    assert (shuffled == windows.token_ids).mean() < 0.05
    assert len(np.unique(shuffled, axis=0)) == 4
    assert set(np.flatnonzero(shuffled[0] == 30)) == {10}


def test_orders_follow_from_the_streams_alone():
    """Whoever has the streams shuffles alike; the next draw of the same streams is another."""
    again, other = shuffle_tokens(GOOD, (), streams(3)), shuffle_tokens(GOOD, (), streams(3, 1))
    assert shuffle_tokens(GOOD, (), streams(3)).sha256 == again.sha256 != other.sha256
    rngs = streams(3)
    first, second = (shuffle_tokens(GOOD, (), rngs).sha256 for _ in range(2))
    assert again.sha256 == first != second


def test_each_window_has_a_stream():
    """Too few streams, or too many, are no way to shuffle."""
    for n in (2, 4):
        with pytest.raises(ValueError, match="zip"):
            shuffle_tokens(GOOD, (), streams(n))
