"""Nulls: enumerated moments, what each null keeps and breaks, and how its p-values are spread."""

import inspect
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from avalattice.canon import NullId
from avalattice.errors import ArrayError, InputError
from avalattice.lattice import kernels
from avalattice.lattice.avalanches import avalanches
from avalattice.lattice.nulls import (
    branching_null_ensemble,
    branching_null_exact,
    circular_shift_null,
    independent_sites,
    p_monte_carlo,
    permutation_null,
    spanning_fraction,
    token_id_stratified_null,
)
from avalattice.stats.multiplicity import benjamini_hochberg

PERM = NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM
SHIFT = NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT
STRATIFIED = NullId.NULL_RASTER_TOKEN_ID_STRATIFIED

row_nulls = pytest.mark.parametrize("null", [permutation_null, circular_shift_null])
row_null_ids = pytest.mark.parametrize("null_id", [PERM, SHIFT])
unhurried = settings(deadline=None)  # other work may share the machine
stacks = hnp.arrays(
    np.uint16,
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 12)),
    elements=st.sampled_from([0, 0, 1, 5]),
)


def sites(seed, shape, occupancy=0.2):
    return independent_sites(shape, occupancy, np.random.default_rng(seed))


def persistent_rows(rng, shape, occupancy=0.3, persistence=0.8):
    """Independent rows in which each token repeats the one before it or is drawn anew."""
    fresh = rng.random(shape) < occupancy
    renewed = rng.random(shape) >= persistence
    renewed[..., 0] = True
    source = np.maximum.accumulate(np.where(renewed, np.arange(shape[-1]), 0), axis=-1)
    return np.take_along_axis(fresh, source, axis=-1).astype(np.uint8)


def aligned_layers(rng, shape, occupancy=0.2, share=1.0):
    """Layers that repeat the layer below at a share of their tokens."""
    X = independent_sites(shape, occupancy, rng)
    repeated = rng.random(shape) < share
    for layer in range(1, shape[-2]):
        X[..., layer, :] = np.where(repeated[..., layer, :], X[..., layer - 1, :], X[..., layer, :])
    return X


def all_rows(n_tokens, n_occupied):
    """Every row with that many occupied sites."""
    chosen = itertools.combinations(range(n_tokens), n_occupied)
    return np.array([np.isin(np.arange(n_tokens), sites) for sites in chosen])


def edges_along(rows):
    return (rows[..., 1:] & rows[..., :-1]).sum(axis=-1)


def falling(x, j):
    return math.prod(x - i for i in range(j))


# Closed forms


@pytest.mark.parametrize("n_tokens", range(1, 8))
def test_time_moments_are_those_of_all_permutations(n_tokens):
    """Mean and variance of edges along tokens equal an enumeration of every row."""
    for k in range(n_tokens + 1):
        rows = all_rows(n_tokens, k)
        null = branching_null_exact(rows[:1])
        assert null.time_edges_perm_mean == pytest.approx(edges_along(rows).mean(), abs=1e-12)
        assert null.time_edges_perm_var == pytest.approx(edges_along(rows).var(), abs=1e-12)


@given(n_tokens=st.integers(4, 400), share=st.floats(0, 1))
@unhurried
def test_time_variance_has_two_equal_forms(n_tokens, share):
    """The hypergeometric variance equals the one written in falling factorials."""
    T, k = n_tokens, round(share * n_tokens)
    mean = k * (k - 1) / T
    adjacent = 2 * (T - 2) * falling(k, 3) / falling(T, 3)
    apart = (T - 2) * (T - 3) * falling(k, 4) / falling(T, 4)
    row = np.arange(T)[np.newaxis] < k
    assert branching_null_exact(row).time_edges_perm_var == pytest.approx(
        mean + adjacent + apart - mean**2, abs=1e-7
    )


@pytest.mark.parametrize("n_tokens", [1, 2, 5, 6])
def test_depth_moments_are_those_of_all_permutations(n_tokens):
    """Mean and variance of edges along layers equal an enumeration of every pair of rows."""
    for k, above in itertools.product(range(n_tokens + 1), repeat=2):
        rows, rows_above = all_rows(n_tokens, k), all_rows(n_tokens, above)
        overlap = (rows[:, None] & rows_above).sum(axis=-1)
        null = branching_null_exact(np.stack([rows[0], rows_above[0]]))
        assert null.depth_edges_perm_mean == pytest.approx(overlap.mean(), abs=1e-12)
        assert null.depth_edges_perm_var == pytest.approx(overlap.var(), abs=1e-12)


@given(X=stacks)
@unhurried
def test_shift_moments_are_those_of_all_shifts(X):
    """Mean and variance under the shift equal an enumeration of every relative shift."""
    X = X > 0
    turned = np.stack([np.roll(X, s, axis=-1) for s in range(X.shape[-1])])
    overlap = (X[:, :-1] & turned[:, :, 1:]).sum(axis=-1)
    null = branching_null_exact(X)
    assert null.depth_edges_perm_mean == pytest.approx(overlap.mean(axis=0).sum(), abs=1e-9)
    assert null.depth_edges_shift_var == pytest.approx(overlap.var(axis=0).sum(), abs=1e-9)


@pytest.mark.parametrize("occupied", [(2, 2, 2), (1, 2, 4)])
def test_ratio_of_expectations_is_nearly_the_expected_ratio(occupied):
    """b_time_perm_exact is the mean of b_time over all rasters if rows have equal k, else near."""
    rows = [all_rows(5, k) for k in occupied]
    edges = sum(np.ix_(*(edges_along(row) for row in rows)))
    ancestors = sum(np.ix_(*(row[:, :-1].sum(axis=-1) for row in rows)))
    exact = branching_null_exact(np.stack([row[0] for row in rows])).b_time_perm_exact
    error = abs((edges / ancestors).mean() - exact) / exact
    assert error < 1e-12 if len(set(occupied)) == 1 else 1e-4 < error < 1 / sum(occupied)


def test_toy_raster():
    """The specification's toy has b_time 1/3 and b_depth 1/2 against 2/9 and 1/4 by chance."""
    X = np.zeros((3, 4), np.uint8)
    X[1, 1] = X[1, 2] = X[2, 2] = 1
    null = branching_null_exact(X)
    assert null.b_time_perm_exact == pytest.approx(2 / 9)
    assert null.b_depth_perm_exact == null.b_depth_shift_exact == pytest.approx(1 / 4)
    assert null.b_tot_perm_exact == pytest.approx(2 / 9 + 1 / 4)
    assert null.delta_b_time == pytest.approx(1 / 3 - 2 / 9)
    assert null.delta_b_depth == null.delta_b_depth_shift == pytest.approx(1 / 2 - 1 / 4)
    assert null.delta_b_tot == pytest.approx(null.delta_b_time + null.delta_b_depth)
    assert null.z_time_perm_exact == pytest.approx((1 - 1 / 2) / math.sqrt(1 / 4))
    assert null.z_depth_shift_exact == pytest.approx((1 - 1 / 2) / math.sqrt(1 / 4))
    assert null.p_depth_shift_exact == pytest.approx(2 * stats.norm.sf(1))
    assert not null.reasons


def test_independent_sites_have_no_surplus():
    """For independent sites delta_b is within four standard errors of zero, planted ones not."""
    rng = np.random.default_rng(3)
    shape = (50, 20, 128)
    null = branching_null_exact(independent_sites(shape, 0.2, rng))
    assert max(abs(null.z_time_perm_exact), abs(null.z_depth_shift_exact)) < 4
    assert max(abs(null.delta_b_time), abs(null.delta_b_depth)) < 0.01
    planted = branching_null_exact(aligned_layers(rng, shape, share=0.1))
    assert planted.z_depth_shift_exact > 10
    assert planted.delta_b_depth_shift == pytest.approx(0.1 * (1 - 0.2), abs=0.01)


def test_counts_are_read_as_occupancy():
    """Event counts have the null of their occupancy."""
    X = sites(1, (2, 4, 30))
    assert branching_null_exact(X * np.uint16(9)) == branching_null_exact(X)


# Undefined quantities


@pytest.mark.parametrize(
    ("X", "undefined"),
    [
        (np.zeros((2, 3, 8), np.uint8), {"b_time_perm_exact", "b_depth_perm_exact", "delta_b_tot"}),
        (np.ones((2, 3, 8), np.uint8), {"z_time_perm_exact", "p_depth_shift_exact"}),
        (sites(0, (2, 1, 8), 0.5), {"b_depth_shift_exact", "p_depth_perm_exact"}),
        (sites(0, (2, 3, 1), 0.5), {"b_time_perm_exact", "p_time_perm_exact"}),
        (sites(0, (0, 3, 8), 0.5), {"b_time_perm_exact", "b_depth_perm_exact"}),
    ],
    ids=["silent", "saturated", "one layer", "one token", "no windows"],
)
def test_undefined_quantities_are_nan_with_a_reason(X, undefined):
    """Every NaN has a reason, and nothing that is defined has one."""
    null = branching_null_exact(X)
    numbers = {name: value for name, value in vars(null).items() if name != "reasons"}
    assert {name for name, value in numbers.items() if math.isnan(value)} == set(null.reasons)
    assert undefined <= set(null.reasons)


def test_saturated_raster_keeps_its_ratios():
    """Without variance there is no z, but b and its surplus are defined."""
    null = branching_null_exact(np.ones((2, 3, 8), np.uint8))
    assert (null.b_tot_perm_exact, null.delta_b_tot) == (2, 0)
    assert null.time_edges_perm_var == null.depth_edges_perm_var == null.depth_edges_shift_var == 0


def test_rows_that_no_shift_can_tell_apart_have_no_variance():
    """Rows of coprime periods overlap equally at every shift: no rounding passes for variance."""
    X = np.stack([np.arange(255) % 3 < 2, np.arange(255) % 5 < 2])
    null = branching_null_exact(X)
    assert null.depth_edges_shift_var == 0
    assert "z_depth_shift_exact" in null.reasons
    assert null.depth_edges_perm_var > 0


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
    with pytest.raises(ArrayError, match=r"expected shape \(3, 10\), found \(3, 9\)"):
        inspect.unwrap(token_id_stratified_null)(X, np.zeros((3, 9), int), rng)


# What the nulls keep and break


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


def moment_errors(values, mean, variance):
    """Deviation of sample mean and variance from theirs, in standard errors."""
    squares = (values - values.mean()) ** 2
    return np.array(
        [
            (values.mean() - mean) / math.sqrt(variance / len(values)),
            (squares.mean() - variance) / math.sqrt(squares.var() / len(values)),
        ]
    )


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
        table = [np.bincount(values, minlength=40) for values in (ours, theirs)]
        common = np.sum(table, axis=0) >= 10
        assert stats.chi2_contingency(np.array(table)[:, common]).pvalue > 1e-3
    np.testing.assert_array_equal(drawn.depth_ancestors, rasters[:, 3])


@pytest.mark.parametrize("k", [0, 1, 2, 3, 5])
def test_sites_are_placed_uniformly(k):
    """Every choice of k of 5 sites is equally likely, whichever of both states is rarer."""
    words = np.random.default_rng(k).integers(2**32, size=(4000, 5), dtype=np.uint32)
    row, powers = np.empty(5, np.uint8), 2 ** np.arange(5)
    codes = []
    for draw in words:
        used = kernels.place_sites(row, k, draw, 0)
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


@row_null_ids
def test_replicates_are_drawn_in_order(null_id, monkeypatch):
    """A short ensemble is the beginning of a long one, however its random words are blocked."""
    X = sites(0, (3, 6, 65))
    long = branching_null_ensemble(X, np.random.default_rng(1), 50, null_id)
    monkeypatch.setattr("avalattice.lattice.nulls._BLOCK_WORDS", 1001)
    short = branching_null_ensemble(X, np.random.default_rng(1), 20, null_id)
    for name, values in vars(short).items():
        np.testing.assert_array_equal(values, getattr(long, name)[:20])


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


# p-values


def test_monte_carlo_p_counts_the_observed_value():
    """The p-value is the share of all R + 1 values that lie at least as far from their mean."""
    null = np.linspace(-1, 1, 9)
    assert p_monte_carlo(10.0, null) == 1 / 10
    assert p_monte_carlo(-10.0, null) == 1 / 10
    assert p_monte_carlo(0.0, null) == 1
    assert math.isnan(p_monte_carlo(math.nan, null))
    assert math.isnan(p_monte_carlo(0.0, np.array([1, math.nan])))


def is_uniform(p):
    """Chi-square over ten bins, at 1e-3."""
    return stats.chisquare(np.histogram(p, bins=10, range=(0, 1))[0]).pvalue > 1e-3


@pytest.fixture(scope="module")
def independent_nulls():
    """The closed-form nulls of 500 rasters of independent sites, and the rasters."""
    rng = np.random.default_rng(11)
    rasters = [independent_sites((3, 10, 96), 0.3, rng) for _ in range(500)]
    return rasters, [branching_null_exact(raster) for raster in rasters]


@pytest.mark.parametrize("test", ["p_time_perm_exact", "p_depth_perm_exact", "p_depth_shift_exact"])
def test_exact_p_is_uniform_for_independent_sites(independent_nulls, test):
    """Over 500 rasters of independent sites the normal p-values are uniform."""
    assert is_uniform([getattr(null, test) for null in independent_nulls[1]])


@pytest.mark.parametrize(("ratio", "null_id"), [("time", PERM), ("depth", PERM), ("depth", SHIFT)])
def test_monte_carlo_p_is_uniform_for_independent_sites(independent_nulls, ratio, null_id):
    """Over 500 rasters of independent sites the Monte Carlo p-values are uniform."""
    rng, p = np.random.default_rng(12), []
    for raster, null in zip(*independent_nulls, strict=True):
        drawn = branching_null_ensemble(raster, rng, 199, null_id)
        observed = getattr(null, f"b_{ratio}_perm_exact") + getattr(null, f"delta_b_{ratio}")
        p.append(p_monte_carlo(observed, getattr(drawn, f"b_{ratio}")))
    assert is_uniform(np.array(p) - 1e-9)  # multiples of 1/200: bins closed above


def test_p_of_a_planted_effect_is_not_uniform():
    """Control: with one token in fifty aligned, p-values crowd near zero."""
    rng = np.random.default_rng(13)
    rasters = (aligned_layers(rng, (3, 10, 96), 0.3, share=0.02) for _ in range(500))
    assert not is_uniform([branching_null_exact(X).p_depth_shift_exact for X in rasters])


def test_exact_and_monte_carlo_p_agree():
    """Both p-values say the same of a moderate effect."""
    X = aligned_layers(np.random.default_rng(5), (3, 10, 96), 0.3, share=0.05)
    null = branching_null_exact(X)
    drawn = branching_null_ensemble(X, np.random.default_rng(6), 4999, SHIFT)
    observed = null.b_depth_shift_exact + null.delta_b_depth_shift
    p, p_mc = null.p_depth_shift_exact, p_monte_carlo(observed, drawn.b_depth)
    assert 1e-3 < p < 0.5
    assert p_mc == pytest.approx(p, abs=4 * math.sqrt(p / 5000) + 0.01)


def table_of_nulls(rng, planted=None):
    """One table of 88 conditions of independent sites, one of them with a planted alignment."""
    for row in range(88):
        share = 0.1 if row == planted else 0
        yield branching_null_exact(aligned_layers(rng, (2, 8, 96), 0.3, share))


@pytest.mark.parametrize("test", ["p_time_perm_exact", "p_depth_shift_exact"])
def test_tables_without_effect_are_seldom_rejected(test):
    """Under Benjamini–Hochberg few tables of 88 rows hold a rejection; without it, all do."""
    rng, n_tables = np.random.default_rng(14), 100
    p = np.array([[getattr(null, test) for null in table_of_nulls(rng)] for _ in range(n_tables)])
    rejected = [(benjamini_hochberg(row) <= 0.05).any() for row in p]
    assert sum(rejected) <= stats.binom.ppf(0.999, n_tables, 0.05)
    assert (p <= 0.05).any(axis=1).mean() > 0.9


def test_planted_effect_in_one_row_of_88_is_found():
    """Benjamini–Hochberg finds the one row of a table in which layers are aligned."""
    p = [null.p_depth_shift_exact for null in table_of_nulls(np.random.default_rng(15), planted=17)]
    assert np.flatnonzero(benjamini_hochberg(np.array(p)) <= 0.05).tolist() == [17]


def test_persistent_layers_are_rejected_by_the_wrong_null_only():
    """Independent layers of persistent tokens pass the shift null, not permutation."""
    rng, n = np.random.default_rng(16), 300
    nulls = [branching_null_exact(persistent_rows(rng, (3, 10, 256))) for _ in range(n)]
    by_shift = sum(null.p_depth_shift_exact < 0.05 for null in nulls)
    by_permutation = sum(null.p_depth_perm_exact < 0.05 for null in nulls)
    assert by_shift <= stats.binom.ppf(0.999, n, 0.05)
    assert by_permutation > 5 * 0.05 * n


def test_spanning_fraction_counts_windows():
    """Without windows there is no share of them that spans; of two, one bar spans half."""
    assert math.isnan(spanning_fraction(avalanches(np.zeros((0, 3, 4), int))))
    bar = np.zeros((2, 3, 4), int)
    bar[1, :, 2] = 1
    assert spanning_fraction(avalanches(bar)) == 0.5
