"""Rows of the null statistics: the report's numbers under their names, and reasons for the rest."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avalattice.canon import NullId, WindowSet
from avalattice.export.null_rows import null_statistics_row
from avalattice.export.schemas import NULL_STATISTICS
from avalattice.export.schemas.nulls import DELTA_NAMES, TOKEN_SHUFFLE_NAMES
from avalattice.lattice.branching import branching
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.stats.null_report import EXCHANGED, PERMUTED, SHIFTED, draw_null, null_report
from tests.export.measured import RASTERS, REPLICATES, Measured, measured, streams, unexplained
from tests.export.results import PROVENANCE


def row_of(
    found: Measured, *, report=None, shuffled: bool = True, window_set=WindowSet.RASTER, **options
) -> dict:
    """The validated row, as it is read back."""
    made = null_statistics_row(
        PROVENANCE,
        window_set,
        3,
        found.condition,
        report or found.nulls,
        found.shuffle if shuffled else None,
        found.d_ff,
        found.resamples,
        n_tokens=found.A.shape[-1],
        **options,
    )
    (row,) = NULL_STATISTICS.table([made]).to_pylist()
    return row


def table() -> list[dict]:
    """A row of an ordinary raster, and one without numbers."""
    return [row_of(measured(), window_set=WindowSet.CALIBRATION), row_of(measured("silent"))]


def test_a_row_names_its_raster():
    """Condition, window set, cond_id, number of windows and of draws stand in the row."""
    found = measured()
    row = row_of(found, window_set=WindowSet.CALIBRATION)
    condition = found.condition
    assert (row["window_set"], row["cond_id"]) == ("calibration", 3)
    assert row["spike_def_id"] == condition.spike_def_id
    assert (row["target_label"], row["target_rate"]) == ("1e-3", 1e-3)
    assert (row["gain"], row["null_id"]) == (1.0, NullId.NULL_NONE)
    assert row["intervention_id"] == condition.intervention_id
    assert (row["n_sequences"], row["few_windows"]) == (24, False)
    assert row["replicates"] == REPLICATES


def test_exact_numbers_are_those_of_the_closed_forms():
    """Expectations, surpluses, z and p equal branching_null_exact to the last bit."""
    found = measured()
    row, null = row_of(found), branching_null_exact(found.A)
    for name in (
        *("b_time_perm_exact", "b_depth_perm_exact", "b_tot_perm_exact", "b_depth_shift_exact"),
        *DELTA_NAMES,
        *(
            f"{x}_{test}_exact"
            for x in "zp"
            for test in ("time_perm", "time_tokens", "depth_perm", "depth_shift")
        ),
    ):
        assert row[name] == getattr(null, name)
    ratios = branching(found.A)
    for name in ("b_time", "b_depth", "b_tot"):
        assert row[name] == float(getattr(ratios, name))
    for name in DELTA_NAMES:
        interval = found.nulls.intervals[name]
        assert (row[f"{name}_ci_low"], row[f"{name}_ci_high"]) == (interval.low, interval.high)
        assert row[f"{name}_ci_low"] <= row[name] <= row[f"{name}_ci_high"]
    assert row["null_reason"] is row["token_id_reason"] is row["tokshuffle_reason"] is None


def test_numbers_of_draws_stand_under_the_null_that_they_are_of():
    """Means, spreads and p_mc of each ensemble; the shift has no p along tokens."""
    found = measured()
    row = row_of(found)
    names = {PERMUTED: "perm", SHIFTED: "shift", EXCHANGED: "token_id"}
    for null_id, name in names.items():
        ensemble = found.nulls.ensembles[null_id]
        for axis in ("time", "depth"):
            assert row[f"b_{axis}_{name}_mean"] == getattr(ensemble, f"b_{axis}_mean")
            assert row[f"b_{axis}_{name}_sd"] == getattr(ensemble, f"b_{axis}_sd")
            if (axis, name) != ("time", "shift"):
                assert row[f"p_{axis}_{name}_mc"] == getattr(ensemble, f"p_{axis}_mc")
    assert "p_time_shift_mc" not in row
    means = [row[f"b_time_{name}_mean"] for name in names.values()]
    assert len(set(means)) == 3  # control: the ensembles are not each other's


def test_one_draw_and_the_token_id_null_stand_in_the_row():
    """Ratios of one null raster, and the closed form of exchange within token ids."""
    found = measured()
    row, exact = row_of(found), found.nulls.token_id
    permuted = branching(draw_null(found.A, PERMUTED, streams(found.condition)))
    shifted = branching(draw_null(found.A, SHIFTED, streams(found.condition)))
    assert (row["b_time_perm"], row["b_depth_perm"]) == (permuted.b_time, permuted.b_depth)
    assert (row["b_tot_perm"], row["b_tot_shift"]) == (permuted.b_tot, shifted.b_tot)
    for name in ("b_time_token_id_exact", "delta_b_depth_token_id", "z_depth_token_id_exact"):
        assert row[name] == getattr(exact, name)
    assert row["exchangeable_share"] == exact.exchangeable_share


def test_shuffled_input_has_its_ratios_rates_and_excess():
    """The achieved rate is the mean over layers of events per unit and token, over draws."""
    found = measured()
    row, shuffle = row_of(found), found.shuffle
    sites = found.A.shape[0] * found.A.shape[2]
    assert row["achieved_rate_tokshuffle"] == pytest.approx(
        np.mean(found.A.sum(axis=(0, 2)) / (sites * found.d_ff))
    )  # permuted rows keep their events
    assert row["b_tot_tokshuffle"] == float(shuffle.branching.b_tot)
    assert row["b_time_tokshuffle"] + row["b_depth_tokshuffle"] == row["b_tot_tokshuffle"]
    for name in TOKEN_SHUFFLE_NAMES:
        assert row[name] == float(shuffle.excess.values[name])
        assert row[f"{name}_ci_low"] == float(shuffle.excess.intervals[name].low)


def test_what_was_not_measured_is_null_and_says_so():
    """Without shuffled input, token ids or their ensemble, the columns are null with a reason."""
    found = measured()
    without = row_of(found, shuffled=False)
    assert without["tokshuffle_reason"] == "shuffled input is measured on held-out windows alone"
    of_shuffle = [name for name in without if "tokshuffle" in name or "excess" in name]
    assert {without[name] for name in of_shuffle} == {None, without["tokshuffle_reason"]}
    assert row_of(found, shuffled=False, no_shuffle="no model")["tokshuffle_reason"] == "no model"
    nulls = found.nulls
    rest = {k: v for k, v in nulls.ensembles.items() if k is not EXCHANGED}
    no_ensemble = row_of(found, report=dataclasses.replace(nulls, ensembles=rest))
    assert no_ensemble["token_id_reason"] == (
        "the token-id ensemble is drawn for held-out rasters alone"
    )
    assert no_ensemble["b_time_token_id_mean"] is None
    assert no_ensemble["b_time_token_id_exact"] is not None
    no_ids = row_of(found, report=dataclasses.replace(nulls, ensembles=rest, token_id=None))
    assert no_ids["token_id_reason"] == "no token ids were given"
    assert no_ids["b_time_token_id_exact"] is no_ids["exchangeable_share"] is None


@pytest.mark.parametrize("name", RASTERS)
def test_every_undefined_number_has_a_reason(name):
    """Whatever the raster, the row meets its schema, and no number is missing without a word."""
    row = row_of(measured(name))
    assert unexplained(NULL_STATISTICS, row) == []
    undefined = [key for key, value in row.items() if value is None and "reason" not in key]
    assert bool(undefined) == (name not in ("planted", "weak"))
    if name in ("one window", "one busy window"):
        assert all("_ci_" in key for key in undefined)
        assert "no interval of delta_b_time, delta_b_depth" in row["null_reason"]
        assert "no interval of delta_excess_time" in row["tokshuffle_reason"]


def test_a_draw_may_be_undefined_where_the_raster_is_not():
    """Null rasters whose events end on the last token have no b_time, and the row says so."""
    row = row_of(measured("sparse"))
    assert row["b_time"] == 0
    assert row["p_time_perm_mc"] is None
    assert row["z_time_perm_exact"] is None
    assert f"of {REPLICATES} null rasters" in row["null_reason"]
    undefined = measured("sparse").nulls.ensembles[PERMUTED].reasons["p_time_mc"]
    assert undefined in row["null_reason"]


def test_so_may_a_draw_of_the_token_id_null():
    """Exchanged between all places, counts may miss every token that another one follows."""
    found = measured("sparse")
    ids = np.zeros((2, 2), int)
    report = null_report(
        found.A, ids, streams(found.condition), replicates=40, resamples=found.resamples
    )
    row = row_of(found, report=report)
    assert row["b_time_token_id_exact"] is not None
    assert row["p_time_token_id_mc"] is None
    assert report.ensembles[EXCHANGED].reasons["p_time_mc"] in row["token_id_reason"]
