"""Nulls: what each keeps and breaks, and ensembles of them."""

import inspect
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from avalattice.canon import NullId
from avalattice.errors import ArrayError, InputError
from avalattice.lattice import null_kernels
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import (
    branching_null_ensemble,
    circular_shift_null,
    p_monte_carlo,
    permutation_null,
    token_column_null,
    token_id_stratified_null,
)
from tests.lattice.samples import (
    PERM,
    SHIFT,
    STRATIFIED,
    aligned_layers,
    moment_errors,
    persistent_rows,
    sites,
    stacks,
    token_driven,
)

row_nulls = pytest.mark.parametrize("null", [permutation_null, circular_shift_null])
row_null_ids = pytest.mark.parametrize("null_id", [PERM, SHIFT])
unhurried = settings(deadline=None)  # other work may share the machine


@row_nulls
@given(A=stacks, seed=st.integers(0, 99))
@unhurried
def test_row_nulls_keep_the_multiset_of_each_row(null, A, seed):
    """Each row of a null raster holds the counts of the same row, in the same type."""
    drawn = null(A, np.random.default_rng(seed))
    assert drawn.dtype == A.dtype
    np.testing.assert_array_equal(np.sort(drawn, axis=-1), np.sort(A, axis=-1))


@row_nulls
def test_row_nulls_do_move_counts(null):
    """Control: both leave hardly any row as it was, and leave the input alone."""
    A = np.random.default_rng(0).integers(0, 99, (2, 5, 6, 40))
    before = A.copy()
    drawn = null(A, np.random.default_rng(1))
    assert (drawn != A).any(axis=-1).mean() > 0.9
    np.testing.assert_array_equal(A, before)


@given(A=stacks, seed=st.integers(0, 99))
@unhurried
def test_token_columns_keep_every_column(A, seed):
    """A window holds the columns that it held: all layers of a token move together."""
    drawn = token_column_null(A, np.random.default_rng(seed))
    assert (drawn.shape, drawn.dtype) == (A.shape, A.dtype)
    for before, after in zip(A, drawn, strict=True):
        assert sorted(before.T.tolist()) == sorted(after.T.tolist())
    depth = [edge_sums(raster)[2:] for raster in (A, drawn)]
    assert depth[0] == depth[1]


def test_token_columns_move_and_each_window_has_an_order_of_its_own():
    """Control: hardly a token stays, every order is as likely, and no two windows share one."""
    A = np.broadcast_to(np.arange(30), (40, 3, 30)).copy()
    drawn = token_column_null(A, np.random.default_rng(1))
    assert (drawn == A).mean() < 0.1
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])  # the layers of a token together
    assert len(np.unique(drawn[:, 0], axis=0)) == 40
    first = token_column_null(np.tile(np.arange(6), (6000, 1, 1)), np.random.default_rng(2))
    assert stats.chisquare(np.bincount(first[:, 0, 0])).pvalue > 1e-3
    rows = permutation_null(A, np.random.default_rng(1))
    assert (rows[:, 0] != rows[:, 2]).any()  # which rows permuted by themselves do not


def test_token_columns_break_persistence_and_keep_alignment():
    """Along tokens b falls to the occupancy, along layers it stays."""
    rng = np.random.default_rng(3)
    row = persistent_rows(rng, (20, 1, 200))
    X = np.repeat(row, 4, axis=1)
    null = branching_null_exact(token_column_null(X, rng))
    before = branching_null_exact(X)
    assert before.delta_b_time > 0.4
    assert abs(null.delta_b_time) < 0.05
    assert null.delta_b_depth == pytest.approx(before.delta_b_depth, rel=1e-12)


@pytest.mark.parametrize("A", [np.zeros(4, int), np.zeros((2, 3))])
def test_token_columns_need_counts(A):
    """Other axes, and values that are no whole numbers, are refused."""
    with pytest.raises(ArrayError, match="A"):
        token_column_null(A, np.random.default_rng(0))


def is_turned(row, drawn):
    return any(np.array_equal(np.roll(row, s), drawn) for s in range(len(row)))


@given(A=stacks, seed=st.integers(0, 99))
@unhurried
def test_shift_keeps_cyclic_runs(A, seed):
    """Each row of a shift-null raster is the same row, turned."""
    drawn = circular_shift_null(A, np.random.default_rng(seed))
    rows = (array.reshape(-1, A.shape[-1]) for array in (A, drawn))
    assert all(is_turned(row, new) for row, new in zip(*rows, strict=True))


def test_permutation_breaks_cyclic_runs():
    """Control: permuted rows are not turned rows."""
    A = np.random.default_rng(0).integers(0, 99, (20, 30))
    drawn = permutation_null(A, np.random.default_rng(1))
    assert not any(is_turned(row, new) for row, new in zip(A, drawn, strict=True))


def test_shifts_are_uniform_and_include_zero():
    """Every shift 0 … T − 1 is drawn equally often."""
    A = np.tile(np.arange(8), (8000, 1))
    drawn = circular_shift_null(A, np.random.default_rng(0))
    shifts = np.bincount(np.argmin(drawn, axis=-1), minlength=8)
    assert stats.chisquare(shifts).pvalue > 1e-3


@given(A=stacks, seed=st.integers(0, 99))
@unhurried
def test_stratified_null_keeps_counts_of_each_token_id(A, seed):
    """In each layer, each token id keeps its multiset of counts over all windows."""
    rng = np.random.default_rng(seed)
    token_ids = rng.integers(0, 4, (A.shape[0], A.shape[2]))
    drawn = token_id_stratified_null(A, token_ids, rng)
    assert drawn.shape == A.shape
    for layer, token in itertools.product(range(A.shape[1]), range(4)):
        here = token_ids == token
        np.testing.assert_array_equal(np.sort(drawn[:, layer][here]), np.sort(A[:, layer][here]))


def test_stratified_null_moves_counts_between_windows():
    """With one token id counts go everywhere, with ids all different nowhere."""
    A = np.arange(3 * 4 * 50).reshape(3, 4, 50)
    same, different = np.zeros((3, 50), int), np.arange(150).reshape(3, 50)
    drawn = token_id_stratified_null(A, same, np.random.default_rng(0))
    assert (drawn != A).mean() > 0.9
    assert (np.sort(drawn, axis=-1) != np.sort(A, axis=-1)).any(axis=-1).all()
    np.testing.assert_array_equal(
        token_id_stratified_null(A, different, np.random.default_rng(0)), A
    )


def test_stratified_null_accounts_for_input_that_layers_share():
    """Layers that fire on the same token ids are above the shift null, not the stratified one."""
    rng = np.random.default_rng(4)
    token_ids = rng.integers(0, 50, (12, 128))
    excitable = rng.random(50)[token_ids] * 0.5
    X = (rng.random((12, 8, 128)) < excitable[:, np.newaxis]).astype(np.uint8)
    null = branching_null_exact(X)
    drawn = branching_null_ensemble(X, rng, 99, STRATIFIED, token_ids=token_ids)
    assert null.z_depth_shift_exact > 10
    assert p_monte_carlo(null.delta_b_depth + null.b_depth_perm_exact, drawn.b_depth) > 0.01


@row_nulls
def test_planted_alignment_is_destroyed(null):
    """Layers that repeat each other stand far above chance until a null is drawn of them."""
    X = aligned_layers(np.random.default_rng(2), (10, 12, 64))
    assert branching_null_exact(X).z_depth_shift_exact > 20
    drawn = branching_null_exact(null(X, np.random.default_rng(3)))
    assert abs(drawn.z_depth_shift_exact) < 4


def test_shift_keeps_persistence_and_permutation_does_not():
    """Rows that repeat themselves keep b_time when turned and lose it when permuted."""
    X = persistent_rows(np.random.default_rng(2), (10, 12, 128))
    rng = np.random.default_rng(3)
    measured, turned, permuted = (
        branching_null_exact(raster).delta_b_time
        for raster in (X, circular_shift_null(X, rng), permutation_null(X, rng))
    )
    assert turned == pytest.approx(measured, rel=0.02)
    assert abs(permuted) < 0.05 * measured


# Ensembles


@row_null_ids
def test_ensemble_meets_the_closed_forms(null_id):
    """Mean and variance of drawn edge counts are the closed forms within 4 standard errors."""
    X = persistent_rows(np.random.default_rng(7), (3, 6, 40))
    exact = branching_null_exact(X)
    drawn = branching_null_ensemble(X, np.random.default_rng(8), 4000, null_id)
    depth_var = exact.depth_edges_perm_var if null_id == PERM else exact.depth_edges_shift_var
    expected = [(drawn.depth_edges, exact.depth_edges_perm_mean, depth_var)]
    if null_id == PERM:
        expected += [(drawn.time_edges, exact.time_edges_perm_mean, exact.time_edges_perm_var)]
    for edges, mean, variance in expected:
        assert abs(moment_errors(edges, mean, variance)).max() < 4


def test_ensemble_of_the_other_null_misses_the_closed_form():
    """Control: for persistent rows the two nulls have different variances along layers."""
    X = persistent_rows(np.random.default_rng(7), (3, 6, 40))
    exact = branching_null_exact(X)
    drawn = branching_null_ensemble(X, np.random.default_rng(8), 4000, SHIFT)
    errors = moment_errors(
        drawn.depth_edges, exact.depth_edges_perm_mean, exact.depth_edges_perm_var
    )
    assert errors[1] > 10


def edge_sums(X):
    """Pooled edges and ancestors along tokens, then along layers, spelt out."""
    X = X.astype(int)
    along, up = X[..., :-1], X[..., :-1, :]
    return [
        (along * X[..., 1:]).sum(),
        along.sum(),
        (up * X[..., 1:, :]).sum(),
        up.sum(),
    ]


def test_shift_ensemble_is_that_of_drawn_rasters():
    """Replicate by replicate, the shift ensemble counts the edges of rasters of its stream."""
    X = persistent_rows(np.random.default_rng(0), (2, 5, 30))
    drawn = branching_null_ensemble(X, np.random.default_rng(1), 20, SHIFT)
    rng = np.random.default_rng(1)
    rasters = [circular_shift_null(X, rng) for _ in range(20)]
    found = [drawn.time_edges, drawn.time_ancestors, drawn.depth_edges, drawn.depth_ancestors]
    np.testing.assert_array_equal(np.transpose(found), [edge_sums(raster) for raster in rasters])


def test_permutation_ensemble_is_that_of_drawn_rasters():
    """Each sum of the permutation ensemble is distributed as over permuted rasters."""
    X = persistent_rows(np.random.default_rng(0), (2, 3, 9), occupancy=0.5)
    drawn = branching_null_ensemble(X, np.random.default_rng(1), 3000, PERM)
    rng = np.random.default_rng(2)
    rasters = np.array([edge_sums(permutation_null(X, rng)) for _ in range(3000)])
    found = [drawn.time_edges, drawn.time_ancestors, drawn.depth_edges]
    for ours, theirs in zip(found, rasters.T, strict=False):
        assert same_distribution(ours, theirs)
    np.testing.assert_array_equal(drawn.depth_ancestors, rasters[:, 3])


def test_stratified_ensemble_is_that_of_drawn_rasters():
    """Each sum of the token-id ensemble is distributed as over rasters of exchanged counts."""
    X, token_ids = token_driven(np.random.default_rng(0), (3, 3, 9), n_ids=6)
    drawn = branching_null_ensemble(
        X, np.random.default_rng(1), 3000, STRATIFIED, token_ids=token_ids
    )
    rng = np.random.default_rng(2)
    rasters = np.array(
        [edge_sums(token_id_stratified_null(X, token_ids, rng)) for _ in range(3000)]
    )
    for ours, theirs in zip([*vars(drawn).values()][:3], rasters.T, strict=False):
        assert same_distribution(ours, theirs)
    assert not same_distribution(drawn.time_edges + 1, rasters[:, 0])
    np.testing.assert_array_equal(drawn.depth_ancestors, rasters[:, 3])


def same_distribution(ours, theirs):
    """Chi-square of whole numbers below 99, those common enough, at 1e-3."""
    table = np.array([np.bincount(values, minlength=99) for values in (ours, theirs)])
    return stats.chi2_contingency(table[:, table.sum(axis=0) >= 10]).pvalue > 1e-3


@pytest.mark.parametrize("k", [0, 1, 2, 3, 5])
def test_sites_are_placed_uniformly(k):
    """Every choice of k of 5 sites is equally likely, whichever of both states is rarer."""
    words = np.random.default_rng(k).integers(2**32, size=(4000, 5), dtype=np.uint32)
    row, powers = np.empty(5, np.uint8), 2 ** np.arange(5)
    codes = []
    for draw in words:
        used = null_kernels.place_sites(row, k, draw, 0)
        codes.append(int(row @ powers))
        assert (row.sum(), used) == (k, min(k, 5 - k))
    chosen = np.unique(codes, return_counts=True)[1]
    assert len(chosen) == math.comb(5, k)
    assert k in (0, 5) or stats.chisquare(chosen).pvalue > 1e-3


def test_same_stream_same_bytes():
    """Whatever draws gives equal bytes from equal streams, and others from another stream."""
    X, token_ids = sites(0, (3, 6, 64)), np.arange(3 * 64).reshape(3, 64) % 7
    draws = [
        permutation_null,
        circular_shift_null,
        lambda X, rng: token_id_stratified_null(X, token_ids, rng),
        *(
            lambda X, rng, null_id=null_id: np.stack(
                [*vars(branching_null_ensemble(X, rng, 9, null_id, token_ids=token_ids)).values()]
            )
            for null_id in (PERM, SHIFT, STRATIFIED)
        ),
    ]
    for draw in draws:
        first, again, other = (draw(X, np.random.default_rng(s)).tobytes() for s in (1, 1, 2))
        assert first == again
        assert first != other


@pytest.mark.parametrize("null_id", [PERM, SHIFT, STRATIFIED])
def test_replicates_are_drawn_in_order(null_id, monkeypatch):
    """A short ensemble is the beginning of a long one, however its random words are blocked."""
    X, token_ids = token_driven(np.random.default_rng(0), (3, 6, 65))
    long, short = (
        lambda seed, n=n: branching_null_ensemble(
            X, np.random.default_rng(seed), n, null_id, token_ids=token_ids
        )
        for n in (50, 20)
    )
    expected = long(1)
    monkeypatch.setattr("avalattice.lattice.nulls._BLOCK_WORDS", 1001)
    for name, values in vars(short(1)).items():
        np.testing.assert_array_equal(values, getattr(expected, name)[:20])
    assert (long(2).depth_edges != expected.depth_edges).any()


@row_null_ids
def test_streams_of_windows_give_the_sum_of_their_ensembles(null_id):
    """With a stream for each window, each draws its own ensemble, wherever it stands."""
    X = persistent_rows(np.random.default_rng(0), (3, 6, 40))

    def streams(seeds):
        return [np.random.default_rng(seed) for seed in seeds]

    together = branching_null_ensemble(X, streams([4, 5, 6]), 30, null_id)
    turned = branching_null_ensemble(X[::-1], streams([6, 5, 4]), 30, null_id)
    alone = [
        branching_null_ensemble(x, np.random.default_rng(4 + n), 30, null_id)
        for n, x in enumerate(X)
    ]
    for name, values in vars(together).items():
        np.testing.assert_array_equal(values, sum(getattr(window, name) for window in alone))
        np.testing.assert_array_equal(values, getattr(turned, name))
    others = branching_null_ensemble(X, streams([5, 4, 6]), 30, null_id)
    assert (others.depth_edges != together.depth_edges).any()
    nothing = branching_null_ensemble(X[:0], [], 4, null_id)
    assert nothing.time_edges.tolist() == [0, 0, 0, 0]


@row_null_ids
def test_ensembles_of_windows_add_up(null_id):
    """Windows drawn each from a stream of its own add up to the pooled counts of all."""
    X = sites(0, (2, 6, 40), 0.3)
    parts = [
        branching_null_ensemble(x, np.random.default_rng(i), 30, null_id) for i, x in enumerate(X)
    ]
    pooled = parts[0] + parts[1]
    np.testing.assert_array_equal(
        pooled.b_time,
        (parts[0].time_edges + parts[1].time_edges)
        / (parts[0].time_ancestors + parts[1].time_ancestors),
    )
    np.testing.assert_array_equal(pooled.b_tot, pooled.b_time + pooled.b_depth)
    assert pooled.depth_ancestors[0] == edge_sums(X)[3]


def test_ratios_without_ancestors_are_nan():
    """Replicates of a silent raster have no branching ratios."""
    drawn = branching_null_ensemble(np.zeros((2, 3), int), np.random.default_rng(0), 4, PERM)
    assert np.isnan(drawn.b_time).all()
    assert np.isnan(drawn.b_tot).all()


# Input


def test_conditions_are_never_pooled():
    """A stack with conditions is refused with the remedy, wherever edges are pooled."""
    stack = sites(0, (2, 3, 4, 10))
    rng = np.random.default_rng(0)
    with pytest.raises(ArrayError, match="one condition at a time"):
        branching_null_exact(stack)
    with pytest.raises(ArrayError, match="one condition at a time"):
        branching_null_ensemble(stack, rng, 2, PERM)
    with pytest.raises(ArrayError, match="one condition at a time"):
        token_id_stratified_null(stack, np.zeros((2, 3, 10), int), rng)


@pytest.mark.parametrize("array", [np.zeros((3, 4)), np.zeros(4, int), np.zeros((3, 0), int)])
def test_wrong_arrays_are_refused(array):
    """Anything but whole numbers with axes [..., L, T] is refused, saying what was found."""
    rng = np.random.default_rng(0)
    calls = [
        lambda: inspect.unwrap(permutation_null)(array, rng),
        lambda: inspect.unwrap(circular_shift_null)(array, rng),
        lambda: inspect.unwrap(token_id_stratified_null)(array, array, rng),
        lambda: inspect.unwrap(branching_null_exact)(array),
        lambda: inspect.unwrap(branching_null_ensemble)(array, rng, 1, SHIFT),
    ]  # beneath the type checks that only tests run under
    for call in calls:
        with pytest.raises(ArrayError, match=rf"found {array.dtype} of shape"):
            call()


def test_wrong_null_ids_and_token_ids_are_refused():
    """A null that draws no raster, and token ids that are missing or misshapen, are refused."""
    X, rng = sites(0, (3, 4, 10)), np.random.default_rng(0)
    with pytest.raises(InputError, match="draws no rasters"):
        branching_null_ensemble(X, rng, 2, NullId.NULL_TOKEN_SHUFFLE_INPUT)
    with pytest.raises(ArrayError, match="found None"):
        branching_null_ensemble(X, rng, 2, STRATIFIED)
    with pytest.raises(ArrayError, match=r"expected shape \(3, 10\), found \(10,\)"):
        branching_null_ensemble(X, rng, 2, STRATIFIED, token_ids=np.zeros(10, int))
    with pytest.raises(InputError, match="one stream for each of 3 windows, found 2"):
        branching_null_ensemble(X, [rng, rng], 2, PERM)
    with pytest.raises(InputError, match="between windows"):
        branching_null_ensemble(X, [rng] * 3, 2, STRATIFIED, token_ids=np.zeros((3, 10), int))
    with pytest.raises(ArrayError, match=r"expected shape \(3, 10\), found \(3, 9\)"):
        inspect.unwrap(token_id_stratified_null)(X, np.zeros((3, 9), int), rng)
