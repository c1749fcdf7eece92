"""Rows of the declared tables: each agrees with what it was made from, and with the others."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avalattice.canon import CONST, DatasetRole, WindowSet
from avalattice.data.windows import WindowSlice
from avalattice.errors import SchemaError
from avalattice.export.schemas import (
    ALL,
    ANALYSIS_CONDITIONS,
    ANALYSIS_WINDOWS,
    ARC_ITEMS,
    AVALANCHES,
    EVALUATION_WINDOWS,
    METRICS,
    METRICS_WINDOWS,
    NULL_STATISTICS,
    TABLES,
    TAU_RATE_MATCHED,
    THRESHOLDS,
    WINDOWS,
)
from avalattice.export.tables import (
    AppliedRates,
    metrics_rows,
    metrics_windows_rows,
    sums_from_rows,
    tau_of,
    thresholds_rows,
    windows_rows,
)
from avalattice.export.tabular import check_table, read_csv, read_table, write_csv, write_table
from avalattice.lattice.branching import SUM_NAMES, EdgeSums, branching_from_sums
from avalattice.lattice.susceptibility import susceptibility_of_totals
from avalattice.stats.summary import BRANCHING_NAMES
from tests.export import (
    test_avalanche_rows,
    test_compared_rows,
    test_null_rows,
    test_rate_check,
    test_replication,
    test_summary_rows,
)
from tests.export.measured import measured
from tests.export.results import (
    D_FF,
    GAINS,
    LABELS,
    ONE,
    PROVENANCE,
    TWO,
    L,
    N,
    T,
    conditions,
    counts,
    fitted_rows,
    summary,
    sums,
    targets,
    thresholds,
)

WINDOW_IDS = np.arange(100, 100 + N)


def rates() -> AppliedRates:
    tau = np.array([row.tau for row in fitted_rows()])
    return AppliedRates.held_out(targets(), conditions(), tau, N * T)


def metrics(denominator="valid_edges") -> list[dict]:
    found = summary(denominator)
    return list(metrics_rows(PROVENANCE, WindowSet.RASTER, conditions(), found, rates()))


def threshold_rows() -> list[dict]:
    return list(thresholds_rows(PROVENANCE, fitted_rows(), targets(), D_FF))


def window_rows() -> list[dict]:
    ids = np.arange(N * 5, dtype=np.int32).reshape(N, 5)
    chosen = WindowSlice(DatasetRole.A, WindowSet.RASTER, WINDOW_IDS.astype(np.int32), ids, 2)
    return list(windows_rows(PROVENANCE, chosen, lambda tokens: "".join(f"<{t}>" for t in tokens)))


EVERY = {
    "metrics": (METRICS, metrics),
    "metrics_windows": (
        METRICS_WINDOWS,
        lambda: list(metrics_windows_rows(PROVENANCE, WINDOW_IDS, sums())),
    ),
    "thresholds": (THRESHOLDS, threshold_rows),
    "windows": (WINDOWS, window_rows),
    "tau_rate_matched": (TAU_RATE_MATCHED, test_rate_check.table),
    "null_statistics": (NULL_STATISTICS, test_null_rows.table),
    "avalanches": (AVALANCHES, lambda: test_avalanche_rows.listed(measured())),
    "analysis_conditions": (ANALYSIS_CONDITIONS, test_summary_rows.analysed_conditions),
    "analysis_windows": (ANALYSIS_WINDOWS, test_summary_rows.analysed_windows),
    "evaluation_windows": (EVALUATION_WINDOWS, test_compared_rows.windows_of_b),
    "arc_items": (ARC_ITEMS, test_compared_rows.arc_items),
    **{
        schema.name: (schema, make)
        for schema, make in zip(
            TABLES,
            (
                test_summary_rows.summary,
                test_compared_rows.t02,
                test_compared_rows.t03,
                lambda: list(test_avalanche_rows.tails(measured()).values()),
                lambda: [test_avalanche_rows.crackled(measured())],
                test_summary_rows.ablations,
                test_replication.rows,
            ),
            strict=True,
        )
    },
}
"""Every schema with rows of it; those of phases 4 to 7 are made where they are looked into."""


def read_back(tmp_path, name: str) -> list[dict]:
    """A table's rows after they were written."""
    schema, make = EVERY[name]
    path = tmp_path / f"{name}.parquet"
    with path.open("wb") as file:
        write_table(schema.table(make()), file)
    return read_table(path, schema).to_pylist()


# ------------------------------------------------------------------------------ every table


def test_every_declared_table_is_tested_here():
    """The schemas have names of their own, and each is written below."""
    assert sorted(EVERY) == sorted(schema.name for schema in ALL)
    assert len({schema.name for schema in ALL}) == len(ALL)


@pytest.mark.parametrize("schema", ALL, ids=lambda schema: schema.name)
def test_every_table_begins_and_ends_alike(schema):
    """Provenance stands in the same columns everywhere; keys are columns; meanings are given."""
    names = [column.name for column in schema.columns]
    assert names[:5] == ["run_id", "stage_id", "model_id", "model_role", "dataset_role"]
    assert names[-2:] == ["config_hash", "code_version"]
    assert len(set(names)) == len(names)
    assert set(schema.key) <= set(names)
    assert all(column.meaning for column in schema.columns)
    assert not any(column.nullable for column in schema.columns if column.name in schema.key)
    if "target_label" in names:
        assert "target_rate" in names


@pytest.mark.parametrize("name", EVERY)
def test_every_table_is_written_checked_and_read(tmp_path, name):
    """Rows from results meet their schema, and survive the file."""
    rows, made = read_back(tmp_path, name), EVERY[name][1]()
    check_table(tmp_path / f"{name}.parquet", ALL)
    assert len(rows) == len(made) > 0
    for column in ("run_id", "stage_id", "model_id", "config_hash"):
        assert [row[column] for row in rows] == [row[column] for row in made]
        assert len({row[column] for row in rows}) == 1


@pytest.mark.parametrize("schema", TABLES, ids=lambda schema: schema.name)
def test_every_exported_table_is_the_same_in_both_forms(tmp_path, schema):
    """CSV read back by its schema equals Parquet; a changed digit in it does not."""
    table = schema.table(EVERY[schema.name][1]())
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        write_csv(table, file)
    assert read_csv(path, schema).equals(table)
    text = path.read_text()
    assert "0." in text
    path.write_text(text.replace("0.", "1.", 1))
    try:
        changed = read_csv(path, schema).equals(table)
    except SchemaError:  # beyond the allowed range
        changed = False
    assert not changed


# ------------------------------------------------------------------------------------ metrics


def test_metrics_are_recomputed_from_the_windows_table(tmp_path):
    """Every pooled number in metrics follows from the sums per window, to the last digit."""
    pooled = read_back(tmp_path, "metrics")
    per_window = sums_from_rows(read_back(tmp_path, "metrics_windows"))
    found = branching_from_sums(per_window.sum(axis=1))
    events = per_window[..., SUM_NAMES.index("events")]
    chi = susceptibility_of_totals(events).chi
    occupied = per_window[..., SUM_NAMES.index("sites")].sum(axis=1) / (N * L * T)
    for c, row in enumerate(pooled):
        for name in BRANCHING_NAMES:
            value = getattr(found, name)[c]
            assert row[name] == (None if np.isnan(value) else value)
        assert row["chi"] == (None if np.isnan(chi[c]) else chi[c])
        assert row["occupancy"] == pytest.approx(occupied[c], rel=1e-14)


def test_the_denominator_is_seen_in_the_metrics():
    """With ``all_sites`` the ratios in the table are the smaller ones."""
    valid, every = metrics(), metrics("all_sites")
    assert all(
        a["b_depth"] > b["b_depth"] for a, b in zip(valid, every, strict=True) if a["b_depth"] > 0
    )


def test_one_row_per_condition_in_order(tmp_path):
    """cond_id is the index on the raster's C axis, and each row names its condition."""
    rows = read_back(tmp_path, "metrics")
    assert [row["cond_id"] for row in rows] == list(range(12))
    for row, condition in zip(rows, conditions(), strict=True):
        assert Decimal(str(row["gain"])) == condition.gain
        assert row["spike_def_id"] == condition.spike_def_id
        assert row["target_label"] == condition.target_label
        assert row["null_id"] == "NULL_NONE"
        assert row["window_set"] == "raster"
        assert row["n_sequences"] == N
        assert row["few_windows"] is (N < CONST.FEW_WINDOWS)


def test_undefined_numbers_are_null_with_a_reason(tmp_path):
    """The empty condition has null ratios, chi and intervals, and says why; no other has."""
    rows = read_back(tmp_path, "metrics")
    undefined = [row["cond_id"] for row in rows if row["branching_reason"] or row["chi_reason"]]
    assert undefined == [3]
    empty = rows[3]
    for name in (*BRANCHING_NAMES, "chi"):
        assert empty[name] is empty[f"{name}_ci_low"] is empty[f"{name}_ci_high"] is None
    assert empty["branching_reason"] == f"no ancestors: {', '.join(BRANCHING_NAMES)}"
    assert empty["chi_reason"] == "fewer than two windows, or no events"
    assert empty["occupancy"] == 0.0
    for row in rows[:3] + rows[4:]:
        assert row["b_tot_ci_low"] <= row["b_tot"] <= row["b_tot_ci_high"]


def test_achieved_rates_are_compared_with_each_layers_target():
    """Errors are the largest over layers: as a rate, and as events of these windows."""
    A, applied = counts(), rates()
    for c, row in enumerate(metrics()):
        d, r = c // 2 % 2, c % 2
        wanted = targets().layer_rates[d, r]
        np.testing.assert_array_equal(applied.layer_rates[c], wanted)
        np.testing.assert_allclose(applied.expected_events[c], wanted * D_FF * N * T, rtol=1e-14)
        achieved = A[c].sum(axis=(0, 2)) / (D_FF * N * T)
        assert row["achieved_rate_mean"] == pytest.approx(achieved.mean())
        assert row["achieved_rate_max_abs_err"] == pytest.approx(np.abs(achieved - wanted).max())
        events = np.abs(A[c].sum(axis=(0, 2)) - wanted * D_FF * N * T).max()
        assert row["achieved_rate_max_event_err"] == pytest.approx(events)


def test_profiles_and_extremes_agree():
    """Occupancy's minimum, maximum and mean are those of its profile."""
    for row in metrics():
        profile = row["occupancy_layers"]
        assert row["occupancy_min"] == min(profile)
        assert row["occupancy_max"] == max(profile)
        assert row["occupancy"] == pytest.approx(np.mean(profile))


# ---------------------------------------------------------------------------- metrics_windows


@settings(deadline=None, max_examples=30)
@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.just(len(SUM_NAMES))),
        elements=st.integers(0, 2**50),
    )
)
def test_sums_survive_the_windows_table(values):
    """The sums per window that come out of the table are those that went in."""
    given_sums = EdgeSums(values)
    ids = np.arange(values.shape[1])
    table = METRICS_WINDOWS.table(metrics_windows_rows(PROVENANCE, ids, given_sums))
    rows = table.to_pylist()
    np.testing.assert_array_equal(sums_from_rows(rows), given_sums.windows)
    np.testing.assert_array_equal(sums_from_rows(rows[::-1]), given_sums.windows)
    assert sums_from_rows(rows).dtype == np.int64


def test_windows_carry_their_corpus_position(tmp_path):
    """seq_id counts the slice's windows, window_id is the position in the corpus."""
    rows = read_back(tmp_path, "metrics_windows")
    found = [(row["seq_id"], row["window_id"]) for row in rows[:N]]
    assert found == list(enumerate(WINDOW_IDS))


def test_a_missing_window_is_no_window_without_events(tmp_path):
    """Rows that lack a window of one condition are refused."""
    rows = read_back(tmp_path, "metrics_windows")
    with pytest.raises(SchemaError, match="71 rows, not one for each of 12 conditions and 6 wind"):
        sums_from_rows(rows[:30] + rows[31:])


# --------------------------------------------------------------------------------- thresholds


def test_thresholds_survive_bit_for_bit(tmp_path):
    """Tau read from the table is the fitted float32, condition by condition."""
    found = tau_of(read_back(tmp_path, "thresholds"), conditions())
    expected = np.concatenate([thresholds(seed).tau.reshape(4, L) for seed in range(len(GAINS))])
    assert found.dtype == np.float32
    assert found.tobytes() == expected.tobytes()


def test_thresholds_are_found_by_decimal_gain_in_any_order(tmp_path):
    """1.1 and 1.10 are the same gain; neither rows nor conditions need an order."""
    rows = read_back(tmp_path, "thresholds")[::-1]
    [found] = tau_of(rows, [replace(conditions()[9], gain=Decimal("1.1"))])
    np.testing.assert_array_equal(found, fitted_rows()[9].tau)
    everything = tau_of(rows, conditions()[::-1])
    np.testing.assert_array_equal(everything[::-1], tau_of(rows[::-1], conditions()))


@pytest.mark.parametrize("changes", [{"gain": Decimal("0.86")}, {"target_label": "0.001"}])
def test_thresholds_of_other_conditions_are_not_found(changes):
    """Another gain, or the same rate written otherwise, has no thresholds: an error."""
    with pytest.raises(SchemaError, match="the thresholds table has no row for"):
        tau_of(threshold_rows(), [replace(conditions()[0], **changes)])


def test_threshold_rows_are_those_of_the_fit():
    """K, achieved events, ties and rates stand in one row per layer; ties = k − achieved."""
    rows = threshold_rows()
    assert len(rows) == len(GAINS) * 2 * len(LABELS) * L
    for row in rows:
        seed = GAINS.index(Decimal(str(row["gain"])))
        d, r = (ONE, TWO).index(row["spike_def_id"]), LABELS.index(row["target_label"])
        at = d, r, row["layer"]
        fit, planned = thresholds(seed), targets()
        assert row["tau"] == fit.tau[at]
        assert row["k"] == planned.k[at]
        assert row["achieved"] == fit.achieved[at]
        assert row["ties"] == fit.ties[at] == row["k"] - row["achieved"]
        assert row["layer_rate"] == planned.layer_rates[at]
        assert row["base_rate"] == planned.base_rates[d, row["layer"]]
        assert row["m"] == row["d_ff"] * N * T
        assert row["few_events"] is (row["k"] < CONST.RATE_MATCH_MIN_EVENTS)


# ------------------------------------------------------------------------------------ windows


def test_windows_hold_the_lattices_tokens_with_their_text(tmp_path):
    """Token ids without warm-up, each token's text, and the window's text."""
    rows = read_back(tmp_path, "windows")
    assert rows[1]["token_ids"] == [7, 8, 9]
    assert rows[1]["tokens"] == ["<7>", "<8>", "<9>"]
    assert rows[1]["text"] == "<7><8><9>"
    assert [row["window_id"] for row in rows] == WINDOW_IDS.tolist()
    assert [row["seq_id"] for row in rows] == list(range(N))
