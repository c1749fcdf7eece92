"""Rows of T01 and T06 and of an analysis' own tables: joined, adjusted, and led back to rasters."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from avalattice.canon import CONST, AdjacencyId, GCondition, InterventionId, WindowSet
from avalattice.errors import VerificationError
from avalattice.export.documents import GAINS_COINCIDE
from avalattice.export.null_rows import null_statistics_row
from avalattice.export.schemas import (
    ANALYSIS_CONDITIONS,
    ANALYSIS_WINDOWS,
    METRICS,
    NULL_STATISTICS,
    T01_SUMMARY,
    T06_ABLATIONS,
)
from avalattice.export.schemas.tables import SUMMARY_INTERVAL_NAMES, TESTED_NAMES
from avalattice.export.summary_rows import (
    ablation_rows,
    adjust,
    analysis_condition_rows,
    analysis_window_rows,
    missing_ablation_rows,
    summary_rows,
)
from avalattice.lattice.branching import SUM_NAMES, branching, branching_from_sums
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.susceptibility import susceptibility
from avalattice.stats.summary import BRANCHING_NAMES
from tests.export.measured import RASTERS, Measured, ablated, measured, unexplained
from tests.export.results import PROVENANCE

NAMES = ("planted", "weak", "silent", "sparse", "saturated", "one layer")
SETS = (WindowSet.CALIBRATION, WindowSet.RASTER)
LINES = [(name, window_set) for window_set in SETS for name in NAMES]
"""The rasters of the table below, once as in sample and once as held out."""
GAINS = dict(zip(NAMES, ("1.0", "0.85", "0.9", "1.1", "1.2", "1.3"), strict=True))


def found_in(line: tuple[str, WindowSet]) -> Measured:
    return measured(line[0], gain=GAINS[line[0]])


def null_row(line: tuple[str, WindowSet], cond_id: int = 0) -> dict:
    """The null statistics of one raster; those of shuffled input held out alone."""
    found, window_set = found_in(line), line[1]
    return null_statistics_row(
        PROVENANCE,
        window_set,
        cond_id,
        found.condition,
        found.nulls,
        found.shuffle if window_set is WindowSet.RASTER else None,
        found.d_ff,
        found.resamples,
        n_tokens=found.A.shape[-1],
    )


@cache
def inputs() -> tuple[list, list, list, list]:
    """Metrics and null statistics of every raster, as read; descriptions and regressions."""
    found = [found_in(line) for line in LINES]
    metrics = [found_in(line).metrics(line[1], n) for n, line in enumerate(LINES)]
    nulls = [null_row(line, n) for n, line in enumerate(LINES)]
    return (
        METRICS.table(metrics).to_pylist(),
        NULL_STATISTICS.table(nulls).to_pylist(),
        [each.described for each in found],
        [each.depth for each in found],
    )


def summary(**changes) -> list[dict]:
    """T01's validated rows."""
    rows = summary_rows(PROVENANCE, *inputs(), tau0=2.5)
    return T01_SUMMARY.table([row | changes for row in rows]).to_pylist()


def line(rows: list[dict], name: str, window_set: WindowSet = WindowSet.RASTER) -> dict:
    return rows[LINES.index((name, window_set))]


# ------------------------------------------------------------------------------------------ T01


def test_each_raster_has_a_row_with_the_numbers_of_direct_calls():
    """b, its nulls and surpluses, chi and the avalanches equal those of the libraries."""
    rows = summary()
    assert len(rows) == len(LINES)
    for name in ("planted", "one layer"):
        found, row = found_in((name, WindowSet.RASTER)), line(rows, name)
        ratios, null = branching(found.A), branching_null_exact(found.A)
        for number in BRANCHING_NAMES:
            value = float(getattr(ratios, number))
            assert row[number] == (None if math.isnan(value) else value)
        for number in ("delta_b_time", "b_time_perm_exact", "b_depth_shift_exact", "delta_b_tot"):
            value = getattr(null, number)
            assert row[number] == (None if math.isnan(value) else value)
        assert row["chi"] == pytest.approx(float(susceptibility(found.A).chi), rel=1e-12)
        assert row["n_avalanches"] == found.described.n_avalanches
        assert row["crackling_gamma"] == found.described.crackling.gamma
        assert row["g"] == float(GAINS[name])
        assert (row["tau0_baseline"], row["rate_match_tol_abs"]) == (2.5, CONST.RATE_MATCH_TOL_ABS)
    planted = found_in(("planted", WindowSet.RASTER))
    assert line(rows, "planted")["b_depth_mr"] == planted.depth.b


def test_time_is_tested_by_permutation_and_depth_by_the_shift():
    """z, p_exact and p_mc of delta_b_time are permutation's, of delta_b_depth_shift the shift's."""
    row, nulls = line(summary(), "weak"), null_row(("weak", WindowSet.RASTER))
    assert row["delta_b_time_p_tokens"] == nulls["p_time_tokens_exact"]
    assert row["delta_b_time_z_tokens"] == nulls["z_time_tokens_exact"]
    for name, test in zip(TESTED_NAMES, ("time_perm", "depth_shift"), strict=True):
        for column in ("z_{}_exact", "p_{}_exact", "p_{}_mc"):
            short = column.replace("_{}", "")
            assert row[f"{name}_{short}"] == nulls[column.format(test)]
    assert row["delta_b_depth_shift_p_exact"] != nulls["p_depth_perm_exact"]


def test_intervals_are_of_the_table_that_measured_the_number():
    """b and chi have the intervals of the metrics, surpluses those of the null statistics."""
    row = line(summary(), "planted")
    metrics, nulls = found_in(LINES[0]).metrics(), null_row(("planted", WindowSet.RASTER))
    for name in SUMMARY_INTERVAL_NAMES:
        source = metrics if name in (*BRANCHING_NAMES, "chi") else nulls
        for end in ("ci_low", "ci_high"):
            assert row[f"opt_{name}_{end}"] == source[f"{name}_{end}"]
        assert row[f"opt_{name}_ci_low"] <= row[name] <= row[f"opt_{name}_ci_high"]


@pytest.mark.parametrize("name", TESTED_NAMES)
def test_p_values_are_adjusted_over_the_whole_table(name):
    """p_adj is Benjamini–Hochberg's over every row of both window sets that has a p."""
    rows = summary()
    tested = [row for row in rows if row[f"{name}_p_exact"] is not None]
    expected = stats.false_discovery_control([row[f"{name}_p_exact"] for row in tested])
    assert [row[f"{name}_p_adj"] for row in tested] == pytest.approx(expected.tolist(), rel=1e-12)
    assert {row["window_set"] for row in tested} == {"calibration", "raster"}
    others = [row for row in rows if row[f"{name}_p_exact"] is None]
    assert others
    assert {row[f"{name}_p_adj"] for row in others} == {None}


def test_a_family_is_one_table():
    """Control: with more tests in the table the same p is adjusted to a larger one."""
    few = [{"p": 0.01}, {"p": 0.5}]
    many = [*({"p": row["p"]} for row in few), *({"p": 0.9} for _ in range(8))]
    for rows in (few, many):
        adjust(rows, "p", "p_adj")
    assert few[0]["p_adj"] == pytest.approx(0.02)
    assert many[0]["p_adj"] == pytest.approx(0.1)


def test_calibration_rows_have_no_shuffled_input():
    """In sample the columns of shuffled input are null, with the reason."""
    rows = summary()
    names = ("b_tot_tokshuffle", "achieved_rate_tokshuffle", "delta_excess_tokshuffle")
    row = line(rows, "planted", WindowSet.CALIBRATION)
    assert {row[name] for name in names} == {None}
    assert row["tokshuffle_reason"] == "shuffled input is measured on held-out windows alone"
    held_out = line(rows, "planted")
    assert None not in {held_out[name] for name in names}
    assert held_out["tokshuffle_reason"] is None


@pytest.mark.parametrize("name", NAMES)
def test_undefined_numbers_of_t01_have_reasons(name):
    """Silent, saturated and single-layer rasters have rows whose nulls are explained."""
    for window_set in SETS:
        row = line(summary(), name, window_set)
        assert unexplained(T01_SUMMARY, row) == []
    without = ("silent", "saturated", "sparse")  # two windows: half of the resamples are of one
    assert (line(summary(), name)["opt_chi_ci_low"] is None) == (name in without)


def test_null_statistics_of_another_raster_are_refused():
    """What is joined was measured of one raster, not of another condition, window set or one."""
    metrics, nulls, described, depth = inputs()
    for name, value in (
        ("window_set", WindowSet.RASTER),
        ("target_label", "2e-3"),
        ("gain", 0.7),
        ("b_time", np.nextafter(nulls[0]["b_time"], 1)),
        ("b_depth", None),
    ):
        other = [nulls[0] | {name: value}, *nulls[1:]]
        with pytest.raises(VerificationError, match=f"calibration windows: {name} is"):
            summary_rows(PROVENANCE, metrics, other, described, depth, tau0=2.5)
    moved = [*nulls[1:], nulls[0]]
    with pytest.raises(VerificationError, match="are of another raster"):
        summary_rows(PROVENANCE, metrics, moved, described, depth, tau0=2.5)


# ------------------------------------------------------------------------------------------ T06

SHARED = {**vars(PROVENANCE), "n_sequences": 24, "few_windows": False}


def ablations(name: str = "planted") -> list[dict]:
    """T06's validated rows of one measured intervention."""
    condition = ablated("0.85", InterventionId.MLP_BAND_MID)
    found = measured(name).ablation()
    made = ablation_rows(SHARED, condition, GCondition.GSTAR, "MLP", found)
    return T06_ABLATIONS.table(made).to_pylist()


def test_a_measured_intervention_has_a_row_for_each_adjacency():
    """Branching and chi are alike, avalanches are those of the adjacency."""
    found = measured().ablation()
    four, eight = ablations()
    assert [row["adjacency_id"] for row in (four, eight)] == list(AdjacencyId)
    for row in (four, eight):
        assert row["intervention_id"] == "MLP_BAND_MID"
        assert (row["gain_target"], row["g_condition"], row["g"]) == ("MLP", "gstar", 0.85)
        for name, value in found.numbers.items():
            assert row[name] == value
            assert row[f"{name}_ci_low"] == float(found.intervals[name].low)
            assert row[f"{name}_ci_low"] <= value <= row[f"{name}_ci_high"]
        described = found.described[row["adjacency_id"]]
        assert row["n_avalanches"] == described.n_avalanches
        assert row["avalanche_size_mean"] == described.size_mean
        assert row["crackling_gamma"] == described.crackling.gamma
    assert four["n_avalanches"] > eight["n_avalanches"]


@pytest.mark.parametrize("name", RASTERS)
def test_undefined_numbers_of_t06_have_reasons(name):
    """Whatever the raster, both rows meet the schema and say what is missing."""
    for row in ablations(name):
        assert unexplained(T06_ABLATIONS, row) == []
    if name == "silent":
        assert {row["n_avalanches"] for row in ablations(name)} == {0}


@pytest.mark.parametrize(("g", "reason"), [(1.0, GAINS_COINCIDE), (None, "no gain has a b_tot")])
def test_an_intervention_that_was_not_measured_is_null_with_its_reason(g, reason):
    """A row for each adjacency holds the gain, if there is one, and no number."""
    condition = ablated("1.0", InterventionId.ATTN_GLOBAL)
    made = missing_ablation_rows(SHARED, condition, "ATTN", g=g, reason=reason)
    rows = T06_ABLATIONS.table(made).to_pylist()
    assert [row["adjacency_id"] for row in rows] == list(AdjacencyId)
    for row in rows:
        assert (row["g"], row["reason"]) == (g, reason)
        assert (row["g_condition"], row["gain_target"]) == ("gstar", "ATTN")
        measured_names = [c for c in row if c.startswith(("b_tot", "delta", "chi", "avalanche"))]
        measured_names += ["achieved_rate_max_abs_err", "n_avalanches", "crackling_gamma"]
        assert {row[name] for name in measured_names} == {None}


# --------------------------------------------------------------------------- the analysis' tables


def analysed_conditions() -> list[dict]:
    """The validated rows of an analysis' conditions, each from another run or cond_id."""
    metrics, _, described, _ = inputs()
    sources = [
        row | {"run_id": f"RUN_{n % 2}", "cond_id": n // 2 + 3} for n, row in enumerate(metrics)
    ]
    made = analysis_condition_rows(PROVENANCE, sources, described)
    return ANALYSIS_CONDITIONS.table(made).to_pylist()


def analysed_windows(name: str = "planted") -> list[dict]:
    """The validated rows of the windows of one raster."""
    found = measured(name)
    made = analysis_window_rows(PROVENANCE, [found.sums], found.A.shape[-1], [found.described])
    return ANALYSIS_WINDOWS.table(made).to_pylist()


def test_every_cond_id_of_an_analysis_leads_to_its_raster():
    """The run and its cond_id, the window set and the tuple; numbers as in the metrics."""
    described, rows = inputs()[2], analysed_conditions()
    assert [row["cond_id"] for row in rows] == list(range(len(LINES)))
    for n, (row, (name, window_set)) in enumerate(zip(rows, LINES, strict=True)):
        assert (row["source_run_id"], row["source_cond_id"]) == (f"RUN_{n % 2}", n // 2 + 3)
        assert row["run_id"] == PROVENANCE.run_id
        assert (row["window_set"], row["gain"]) == (window_set, float(GAINS[name]))
        assert row["null_id"] == "NULL_NONE"
        assert row["n_avalanches"] == described[n].n_avalanches


@pytest.mark.parametrize("name", ["planted", "one layer"])
@pytest.mark.parametrize("denominator", ["valid_edges", "all_sites"])
def test_pooled_numbers_are_recomputed_from_the_windows_of_an_analysis(name, denominator):
    """Ratios, their expectation under permutation and avalanches follow from sums over windows."""
    found, rows = measured(name), analysed_windows(name)
    assert [row["seq_id"] for row in rows] == list(range(len(found.A)))
    assert [row["events"] for row in rows] == found.A.sum(axis=(1, 2)).tolist()
    assert sum(row["n_avalanches"] for row in rows) == found.described.n_avalanches
    numbers = [key for key, value in rows[0].items() if not isinstance(value, str)]
    total = {key: sum(row[key] for row in rows) for key in numbers}
    sums = np.array([total[key] for key in SUM_NAMES])
    pooled = branching_from_sums(sums, denominator=denominator)
    direct = branching(found.A, denominator=denominator)
    np.testing.assert_equal(float(pooled.b_tot), float(direct.b_tot))
    null = branching_null_exact(found.A, denominator=denominator)
    below = {
        "valid_edges": (total["time_ancestors_perm_mean"], total["depth_ancestors"]),
        "all_sites": (total["sites"], total["sites"]),
    }[denominator]
    expected = total["time_pairs_perm_mean"] / below[0]
    assert null.b_time_perm_exact == pytest.approx(expected, rel=1e-12)
    if name != "one layer":
        depth = total["depth_pairs_perm_mean"] / below[1]
        assert null.b_depth_perm_exact == pytest.approx(depth, rel=1e-12)
