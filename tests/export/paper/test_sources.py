"""The views that claims rest on follow from their tables by the stated formulas."""

from __future__ import annotations

import pytest

from avalattice.export.paper import sources
from tests.export.paper.fabricated import (
    GSTAR,
    ONE,
    TWO,
    ablations,
    crackling,
    ends,
    evidence,
    generalization,
    summary,
    tails,
)


def grid(b_tot) -> list[dict]:
    """Rows of the gain grid with a b_tot of one's choice."""
    rows = [row for row in summary() if row["window_set"] == "calibration"]
    return [row | {"b_tot": b_tot(row["target_label"], row["g"])} for row in rows]


def test_every_view_has_its_declared_columns():
    """Rows hold what claims may read, and everything that their key names."""
    for source, rows in evidence().rows.items():
        assert rows
        for row in rows:
            assert set(source.key) <= source.columns <= set(row), source.label


def test_labels_tell_sources_apart():
    """No two sources have one label."""
    assert len({source.label for source in sources.ALL}) == len(sources.ALL)


def test_spreads_are_the_largest_over_gains_and_the_smallest_over_targets():
    """gain_spread is of the target that moves most, rate_spread of the gain with least."""
    b_tot = {
        ("0.4", 0.7): 1.0,
        ("0.4", 1.0): 1.1,
        ("0.4", 1.3): 1.3,
        ("1.6", 0.7): 2.0,
        ("1.6", 1.0): 2.0,
        ("1.6", 1.3): 2.05,
    }
    rows = sources.spread_rows(grid(lambda label, g: b_tot[label, g]))
    assert [row["spike_def_id"] for row in rows] == [ONE, TWO]
    for row in rows:
        assert row["gain_spread"] == pytest.approx(0.3)
        assert row["rate_spread"] == pytest.approx(0.75)
        assert row["reason"] is None
        assert row["few_windows"]


def test_spreads_leave_out_gains_that_lack_a_target():
    """A gain at which one target has no b_tot does not count as one where targets agree."""
    rows = grid(lambda label, g: None if (label, g) == ("1.6", 0.7) else float(label))
    spread = sources.spread_rows(rows)[0]
    assert spread["rate_spread"] == pytest.approx(1.2)


def test_one_target_has_no_spread_over_targets():
    """Without two targets the comparison has a reason instead of numbers."""
    rows = [row for row in grid(lambda label, g: g) if row["target_label"] == "0.4"]
    for row in sources.spread_rows(rows):
        assert (row["gain_spread"], row["rate_spread"]) == (None, None)
        assert row["reason"] == "only one target has a b_tot"


def test_transfer_compares_distances_from_one_where_gstar_is_not_1():
    """Curves whose g* is 1 have nothing to transfer."""
    values = {"g1": 1.2, "gstar": 0.9}
    rows = [row | {"b_tot": values[row["g_condition"]]} for row in generalization()]
    found = {(r["spike_def_id"], r["target_label"]): r for r in sources.transfer_rows(rows)}
    assert set(found) == {curve for curve, g in GSTAR.items() if g != 1.0}
    for row in found.values():
        assert row["distance_g1"] == pytest.approx(0.2)
        assert row["distance_gstar"] == pytest.approx(0.1)


def test_transfer_has_the_paired_interval_and_bounds_of_the_midpoint():
    """Both are those of the tables' rows: the difference is of g*, the midpoint of both gains."""
    at = {"g1": ends("b_tot", 1.2, 0.1), "gstar": ends("b_tot", 0.9, 0.2)}
    for row in sources.transfer_rows([row | at[row["g_condition"]] for row in generalization()]):
        assert (row["b_tot_diff_ci_low"], row["b_tot_diff_ci_high"]) == (0.01, 0.03)
        assert (row["midpoint_low"], row["midpoint_high"]) == pytest.approx((0.9, 1.2))


def test_ablations_stand_beside_the_unchanged_model_of_their_curve():
    """Every intervention at g* is compared with the same curve's MLP_GLOBAL at g1, once."""
    rows = sources.ablated_rows(
        [row | {"b_tot": 7.0} if row["g_condition"] == "g1" else row for row in ablations()]
    )
    assert len(rows) == 4 * 5
    assert {row["adjacency_id"] for row in rows} == {"ADJ_4N"}
    assert {row["b_tot_g1"] for row in rows} == {7.0}


def test_a_relation_is_assessable_if_both_tails_are():
    """One tail that is not ok is enough, and its reason is told."""
    fits = [
        row | {"status": "not_assessable", "reason": "too short"}
        if (row["variable"], row["g"]) == ("span_tokens", 0.7)
        else row | {"status": "ok", "reason": None}
        for row in tails()
    ]
    for row in sources.relation_rows(crackling(), fits):
        assert row["tails_ok"] == (row["g"] != 0.7)
        assert ("too short" in (row["reason"] or "")) == (row["g"] == 0.7)
