"""One raster beside its nulls: what is put together, and rasters that anyone can draw again."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from avalattice.canon import DatasetRole, ModelRole, NullId, SpikeDefId
from avalattice.errors import ArrayError, InputError
from avalattice.lattice.branching import branching, branching_from_sums, edge_sums
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.null_sums import null_sums
from avalattice.lattice.nulls import branching_null_ensemble, permutation_null
from avalattice.lattice.rasters import Condition
from avalattice.lattice.token_id_null import token_id_null_exact
from avalattice.rng import stream
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.excess import excess_intervals, paired_excess
from avalattice.stats.null_ensemble import ensemble_statistics
from avalattice.stats.null_report import (
    EXCHANGED,
    PERMUTED,
    SHIFTED,
    NullStreams,
    draw_null,
    null_report,
    permuted_rasters,
    shuffle_report,
)
from tests.lattice.samples import aligned_layers, persistent_rows, sites, token_driven

N, L, T, REPLICATES = 4, 5, 30, 60
CONDITION = Condition(
    ModelRole.BASE, DatasetRole.A, SpikeDefId.SPIKE_ONE_SIDED_POS, "0.4", 1e-3, Decimal("1.0")
)
RAW_NULLS = (PERMUTED, SHIFTED, EXCHANGED)
denominators = pytest.mark.parametrize("denominator", ["valid_edges", "all_sites"])


def streams(condition: Condition = CONDITION, stage: str = "S04", seed: int = 1337) -> NullStreams:
    """The streams of a condition, as a stage names them."""
    return NullStreams(
        lambda null_id, rest: stream(
            seed, stage, *replace(condition, null_id=null_id).stream_name, *rest
        )
    )


def raster(seed: int = 0, shape: tuple[int, int, int] = (N, L, T)) -> np.ndarray:
    """Counts whose layers are partly aligned."""
    rng = np.random.default_rng(seed)
    return (aligned_layers(rng, shape, 0.3, 0.3) * rng.integers(1, 9, shape)).astype(np.uint16)


def token_ids(seed: int = 0, shape: tuple[int, int] = (N, T)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 12, shape)


def resamples(n: int = N) -> Resamples:
    return Resamples.draw(n, 100, np.random.default_rng(2))


def report_of(A: np.ndarray, of: Condition = CONDITION, **options):
    given = {"replicates": REPLICATES, "resamples": resamples(len(A))} | options
    return null_report(A, token_ids(shape=(len(A), A.shape[-1])), streams(of), **given)


# ---------------------------------------------------------------------------------- the report


@denominators
def test_the_report_holds_the_closed_forms_and_the_intervals_of_the_single_routines(denominator):
    """Closed forms, the raster's own ratios and intervals are those of the libraries called."""
    A = raster()
    found = report_of(A, denominator=denominator)
    assert found.exact == branching_null_exact(A, denominator=denominator)
    assert found.token_id == token_id_null_exact(A, token_ids(), denominator=denominator)
    assert found.branching == branching(A, denominator=denominator)
    expected = excess_intervals(null_sums(A), resamples(), denominator=denominator)
    assert found.intervals == expected
    assert found.replicates == REPLICATES
    other = {"valid_edges": "all_sites", "all_sites": "valid_edges"}[denominator]
    assert found.exact != branching_null_exact(A, denominator=other)  # control


@denominators
def test_ensembles_are_drawn_window_by_window_from_streams_of_their_name(denominator):
    """Each ensemble is the one that its name's streams give, the token-id null's from one."""
    A, by_name = raster(), streams()
    found = report_of(A, denominator=denominator)
    assert set(found.ensembles) == set(RAW_NULLS)
    for null_id in (PERMUTED, SHIFTED):
        windows = [by_name.named(null_id, (n, "ensemble")) for n in range(N)]
        drawn = branching_null_ensemble(A, windows, REPLICATES, null_id)
        expected = ensemble_statistics(A, drawn, denominator=denominator)
        assert found.ensembles[null_id] == expected
    one = by_name.named(EXCHANGED, ("ensemble",))
    drawn = branching_null_ensemble(A, one, REPLICATES, EXCHANGED, token_ids=token_ids())
    expected = ensemble_statistics(A, drawn, denominator=denominator)
    assert found.ensembles[EXCHANGED] == expected


def test_an_ensemble_is_nobody_elses():
    """Control: another condition, stage or seed draws another ensemble of the same raster."""
    A = raster()
    others = [
        streams(replace(CONDITION, target_label="0.8")),
        streams(replace(CONDITION, gain=Decimal("1.1"))),
        streams(stage="S05"),
        streams(seed=7),
    ]
    sds = {
        null_report(A, None, each, replicates=REPLICATES, resamples=resamples())
        .ensembles[PERMUTED]
        .b_time_sd
        for each in (streams(), *others)
    }
    assert len(sds) == 1 + len(others)


def test_parts_of_the_token_id_null_are_left_out_where_they_are_not_wanted():
    """Without token ids there is no such null; its ensemble alone can be left out too."""
    A = raster()
    without = null_report(A, None, streams(), replicates=5, resamples=resamples())
    assert without.token_id is None
    assert set(without.ensembles) == {PERMUTED, SHIFTED}
    closed_form_alone = report_of(A, replicates=5, exchange_ensemble=False)
    assert closed_form_alone.token_id == token_id_null_exact(A, token_ids())
    assert set(closed_form_alone.ensembles) == {PERMUTED, SHIFTED}


def test_one_draw_is_the_first_raster_of_the_null():
    """The ratios of one draw are those of the raster that draw_null gives."""
    A = raster()
    found = report_of(A)
    assert set(found.one_draw) == {PERMUTED, SHIFTED}
    for null_id, ratios in found.one_draw.items():
        drawn = draw_null(A, null_id, streams())
        assert ratios == branching(drawn)
        assert ratios != found.branching


@pytest.fixture(scope="module")
def p_values() -> dict[str, np.ndarray]:
    """p of 40 rasters of independent sites, exact and from draws, [40, 2] by test."""
    pairs = {"time_perm": [], "depth_perm": [], "depth_shift": []}
    for seed in range(40):
        A = sites(seed, (6, 10, 64), 0.3)
        found = report_of(A, replicates=400, exchange_ensemble=False)
        for name, null_id in (("time_perm", PERMUTED), ("depth_perm", PERMUTED)):
            p_mc = getattr(found.ensembles[null_id], f"p_{name.split('_')[0]}_mc")
            pairs[name].append((getattr(found.exact, f"p_{name}_exact"), p_mc))
        shifted = found.ensembles[SHIFTED].p_depth_mc
        pairs["depth_shift"].append((found.exact.p_depth_shift_exact, shifted))
    return {name: np.array(values) for name, values in pairs.items()}


@pytest.mark.parametrize("test", ["time_perm", "depth_perm", "depth_shift"])
def test_exact_and_drawn_p_values_agree(p_values, test):
    """On independent sites p_mc ranks as p_exact, and is it within the binomial error of draws.

    Draws count what is as far as the raster too, and edges are whole numbers, the normal law is
    not: 0.05 is allowed for that, and for the denominator that a permutation moves along tokens.
    """
    exact, drawn = p_values[test].T
    assert stats.spearmanr(exact, drawn).statistic > 0.95
    binomial = np.sqrt(exact * (1 - exact) / 400)
    assert (np.abs(drawn - exact) <= 3 * binomial + 0.05).mean() >= 0.9
    other = "depth_shift" if test == "time_perm" else "time_perm"
    assert abs(stats.spearmanr(exact, p_values[other][:, 1]).statistic) < 0.5  # control


# -------------------------------------------------------------------------------- null rasters


def test_null_rasters_keep_what_their_null_keeps():
    """Rows keep their counts, shifted ones their cyclic order, token ids theirs in each layer."""
    A, ids = raster(), token_ids()
    permuted, shifted, exchanged = (draw_null(A, each, streams(), ids) for each in RAW_NULLS)
    np.testing.assert_array_equal(np.sort(permuted, axis=-1), np.sort(A, axis=-1))
    for row, turned in zip(A.reshape(-1, T), shifted.reshape(-1, T), strict=True):
        assert any(np.array_equal(np.roll(row, s), turned) for s in range(T))
    for layer in range(L):
        for token in np.unique(ids):
            here = ids == token
            np.testing.assert_array_equal(
                np.sort(exchanged[:, layer][here]), np.sort(A[:, layer][here])
            )
    for drawn in (permuted, shifted, exchanged):  # control: each moves counts
        assert drawn.dtype == A.dtype
        assert (drawn != A).mean() > 0.1
    rows = zip(A.reshape(-1, T), permuted.reshape(-1, T), strict=True)
    assert not all(any(np.array_equal(np.roll(a, s), b) for s in range(T)) for a, b in rows)
    assert (np.sort(exchanged, axis=-1) != np.sort(A, axis=-1)).any()


@pytest.mark.parametrize("null_id", RAW_NULLS)
def test_a_null_raster_can_be_drawn_again_by_whoever_knows_its_name(null_id):
    """The name alone decides: drawn later, after others, or of a memory map, it is the same."""
    A, ids = raster(), token_ids()
    first = draw_null(A, null_id, streams(), ids)
    draw_null(raster(9), null_id, streams(replace(CONDITION, target_label="0.8")), ids)
    np.testing.assert_array_equal(draw_null(A.copy(), null_id, streams(), ids), first)
    other = draw_null(A, null_id, streams(replace(CONDITION, target_label="0.8")), ids)
    assert (other != first).any()  # control


@pytest.mark.parametrize("null_id", [PERMUTED, SHIFTED])
def test_a_window_is_drawn_alike_whichever_windows_stand_beside_it(null_id):
    """Window n of a raster's null is that of the first n + 1 windows alone."""
    A = raster()
    whole, part = draw_null(A, null_id, streams()), draw_null(A[:2], null_id, streams())
    np.testing.assert_array_equal(whole[:2], part)


@pytest.mark.parametrize("null_id", [NullId.NULL_NONE, NullId.NULL_TOKEN_SHUFFLE_INPUT, EXCHANGED])
def test_what_is_not_drawn_from_counts_alone_is_refused(null_id):
    """The measured raster, shuffled input, and exchange without token ids."""
    with pytest.raises(InputError, match=f"{null_id} is not drawn from a raster alone"):
        draw_null(raster(), null_id, streams())


@pytest.mark.parametrize("whole_tokens", [False, True])
def test_permuted_rasters_follow_each_other_in_their_streams(whole_tokens):
    """The first of many is the first of one, and draws differ."""
    A = raster()

    def drawn(n: int) -> list[np.ndarray]:
        windows = streams().of_windows(PERMUTED, N)
        return list(permuted_rasters(A, windows, n, whole_tokens=whole_tokens))

    three = drawn(3)
    np.testing.assert_array_equal(drawn(1)[0], three[0])
    assert len({each.tobytes() for each in three}) == 3
    first = draw_null(A, PERMUTED, streams())
    assert np.array_equal(three[0], first) != whole_tokens


def test_whole_tokens_keep_every_column_and_with_it_b_depth():
    """Permuting tokens with all their layers moves columns; permuting rows breaks them."""
    A = raster()
    windows = streams().of_windows(PERMUTED, N)
    (whole,) = permuted_rasters(A, windows, 1, whole_tokens=True)
    (rows,) = permuted_rasters(A, streams().of_windows(PERMUTED, N), 1)
    for before, after in zip(A, whole, strict=True):
        assert sorted(map(bytes, before.T.copy())) == sorted(map(bytes, after.T.copy()))
    assert branching(whole).b_depth == branching(A).b_depth
    assert branching(whole).b_time != branching(A).b_time
    assert branching(rows).b_depth != branching(A).b_depth  # control


# ------------------------------------------------------------------------------- shuffled input


@denominators
def test_shuffled_input_is_averaged_over_its_draws(denominator):
    """Ratios and events are means over draws, as the surplus is, which is paired by window."""
    A, draws = raster(), [raster(3), raster(4), raster(5)[:, :, ::-1] * (np.arange(T) % 3 > 0)]
    found = shuffle_report(A, draws, resamples(), denominator=denominator)
    alone = [branching(draw, denominator=denominator) for draw in draws]
    for name in ("b_time", "b_depth", "b_tot", "b_time_count", "b_depth_count", "b_tot_count"):
        expected = np.mean([getattr(each, name) for each in alone])
        assert getattr(found.branching, name) == pytest.approx(expected, rel=1e-12)
    pooled = edge_sums(np.concatenate(draws)).values.sum(axis=(0, 1))
    ratios = branching_from_sums(pooled, denominator=denominator)
    assert found.branching.b_tot != pytest.approx(ratios.b_tot, rel=1e-3)  # control
    expected = np.mean([draw.sum(axis=(0, 2)) for draw in draws], axis=0)
    np.testing.assert_allclose(found.events_layers, expected, rtol=1e-15)
    per_window = [null_sums(draw) for draw in draws]
    excess = paired_excess(null_sums(A), per_window, resamples(), denominator=denominator)
    assert found.excess == excess
    assert found.n_draws == 3
    first = shuffle_report(A, draws[:1], resamples(), denominator=denominator)
    assert first.branching == alone[0]


def test_a_raster_compared_with_itself_has_no_excess():
    """The surplus of order is zero with an interval of zero width; of independent rows it is not.

    Persistent rows lose their persistence when tokens are shuffled: the excess along tokens is
    then all of their surplus.
    """
    A = raster()
    same = shuffle_report(A, [A], resamples())
    for name, value in same.excess.values.items():
        assert value == same.excess.intervals[name].low == same.excess.intervals[name].high == 0
    persistent = persistent_rows(np.random.default_rng(6), (N, L, 200))
    rng = np.random.default_rng(7)
    shuffled = np.stack([permutation_null(window, rng) for window in persistent])
    found = shuffle_report(persistent, [shuffled], resamples()).excess
    assert found.values["delta_excess_time"] > 0.3
    assert found.intervals["delta_excess_time"].low > 0.3
    assert abs(found.values["delta_excess_depth"]) < 0.05


def test_shuffled_input_needs_a_draw():
    """Nothing to compare with is an error, and so are draws of other windows."""
    with pytest.raises(ArrayError, match="at least one draw, found none"):
        shuffle_report(raster(), [], resamples())
    with pytest.raises(ArrayError, match="paired by window"):
        shuffle_report(raster(), [raster()[:2]], resamples())


def test_the_token_id_null_accounts_for_input_that_all_layers_share():
    """Counts that follow their token stand out against the shift null alone."""
    A, ids = token_driven(np.random.default_rng(8), (12, 6, 100))
    found = null_report(A, ids, streams(), replicates=99, resamples=resamples(12))
    assert found.exact.p_depth_shift_exact < 1e-6
    assert found.ensembles[SHIFTED].p_depth_mc == 0.01
    assert found.token_id is not None
    assert found.token_id.p_depth_token_id_exact > 0.01
    assert found.ensembles[EXCHANGED].p_depth_mc > 0.01
