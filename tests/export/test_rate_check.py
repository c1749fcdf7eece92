"""Rate checks: thresholds to the bit, events to the last one, and the table that shows both."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from avalattice.errors import SchemaError, VerificationError
from avalattice.export.rate_check import check_applied_tau, check_grid_counts, tau_rate_matched_rows
from avalattice.export.schemas import TAU_RATE_MATCHED, THRESHOLDS
from avalattice.export.tables import tau_of, thresholds_rows
from tests.export.results import (
    D_FF,
    GAINS,
    LABELS,
    PROVENANCE,
    L,
    N,
    T,
    conditions,
    fitted_rows,
    targets,
)

HELD_OUT = [c for c in conditions() if c.gain != GAINS[0]]
"""Conditions of the held-out rasters: all but those of the first gain."""


def thresholds() -> list[dict]:
    """Rows of the thresholds table, as they are read."""
    rows = thresholds_rows(PROVENANCE, fitted_rows(), targets(), D_FF)
    return THRESHOLDS.table(rows).to_pylist()


def events() -> np.ndarray:
    """Events [C, L] of the grid's rasters: what was achieved."""
    return np.array([row.achieved for row in fitted_rows()])


def changed(rows: list[dict], which: int, **changes) -> list[dict]:
    return [row | changes if n == which else row for n, row in enumerate(rows)]


# ------------------------------------------------------------------------------------ thresholds


def test_thresholds_that_were_applied_bit_for_bit_pass():
    """The fitted thresholds of the held-out conditions, in their order."""
    check_applied_tau(thresholds(), HELD_OUT, tau_of(thresholds(), HELD_OUT))


@pytest.mark.parametrize("towards", [np.inf, -np.inf])
def test_a_threshold_that_differs_by_one_ulp_is_refused(towards):
    """The next float32 in one layer of one condition is another threshold; both are named."""
    applied = tau_of(thresholds(), HELD_OUT)
    fitted = applied[5, 2]
    applied[5, 2] = np.nextafter(fitted, np.float32(towards))
    with pytest.raises(VerificationError, match="layer 2 was counted above") as refused:
        check_applied_tau(thresholds(), HELD_OUT, applied)
    assert repr(HELD_OUT[5]) in str(refused.value)
    assert repr(fitted) in str(refused.value)


def test_thresholds_of_the_next_condition_are_refused():
    """Conditions in another order than their thresholds were applied in."""
    with pytest.raises(VerificationError, match="layer 0 was counted above"):
        check_applied_tau(thresholds(), HELD_OUT[::-1], tau_of(thresholds(), HELD_OUT))


def test_thresholds_of_another_form_are_refused():
    """A condition or a layer too few; a condition that was never fitted."""
    applied = tau_of(thresholds(), HELD_OUT)
    for other in (applied[:-1], applied[:, :-1]):
        with pytest.raises(VerificationError, match=r"of shape \(8, 3\) were fitted"):
            check_applied_tau(thresholds(), HELD_OUT, other)
    unknown = [replace(HELD_OUT[0], gain=Decimal("0.9")), *HELD_OUT[1:]]
    with pytest.raises(SchemaError, match="no row for"):
        check_applied_tau(thresholds(), unknown, applied)


# ---------------------------------------------------------------------------------------- counts


def test_rasters_that_hold_k_events_less_ties_pass():
    """Every layer of every condition, some with ties; in any order of rows."""
    assert any(row["ties"] for row in thresholds())
    check_grid_counts(thresholds(), conditions(), events())
    check_grid_counts(thresholds()[::-1], conditions(), events())


def test_one_event_moved_to_another_layer_is_refused():
    """One event more in a layer and one less in the next is found, with condition and layer."""
    moved = events()
    moved[4, 0] -= 1
    moved[4, 1] += 1
    condition = conditions()[4]
    wanted = thresholds()[4 * L]
    with pytest.raises(VerificationError) as refused:
        check_grid_counts(thresholds(), conditions(), moved)
    assert str(refused.value) == (
        f"gain {float(condition.gain)}, {condition.spike_def_id}, target {condition.target_label}, "
        f"layer 0: the raster holds {wanted['achieved'] - 1} events, {wanted['k']} were aimed at, "
        f"{wanted['achieved']} counted and {wanted['ties']} tied at tau"
    )


def test_counts_that_ties_do_not_account_for_are_refused():
    """A row whose k, ties and achieved events do not fit each other, or not the raster."""
    rows = thresholds()
    for name in ("k", "ties", "achieved"):
        changes = {name: rows[7][name] + 1}
        with pytest.raises(VerificationError, match="tied at tau"):
            check_grid_counts(changed(rows, 7, **changes), conditions(), events())


def test_a_layer_that_only_one_side_knows_is_refused():
    """A missing row would leave its layer unchecked, a missing raster its rows."""
    with pytest.raises(VerificationError, match="layer 1: missing from the thresholds"):
        check_grid_counts(thresholds()[:1] + thresholds()[2:], conditions(), events())
    with pytest.raises(VerificationError, match="thresholds table, with 35 others"):
        check_grid_counts([], conditions(), events())
    with pytest.raises(VerificationError, match=r"gain 1\.1, .* missing from the grid's rasters"):
        check_grid_counts(thresholds(), conditions()[:-1], events()[:-1])
    with pytest.raises(VerificationError, match="layer 2: missing from the grid's rasters"):
        check_grid_counts(thresholds(), conditions(), events()[:, :-1])


# ------------------------------------------------------------------------------------- the table


def table(counted: np.ndarray | None = None) -> list[dict]:
    """The validated rows, with held-out rasters of given counts."""
    counted = np.arange(len(HELD_OUT) * L).reshape(-1, L) if counted is None else counted
    rows = tau_rate_matched_rows(PROVENANCE, thresholds(), HELD_OUT, counted, 2 * N * T)
    return TAU_RATE_MATCHED.table(rows).to_pylist()


def test_every_threshold_has_a_row_with_its_events_in_sample():
    """Tau is kept to the bit; events in sample are k less ties, and rates follow."""
    rows = table()
    assert len(rows) == len(GAINS) * 2 * len(LABELS) * L
    for row, fitted in zip(rows, thresholds(), strict=True):
        assert np.float32(row["tau"]) == np.float32(fitted["tau"])
        assert row["achieved_events_in_sample"] == row["k"] - row["ties"]
        expected = row["achieved_events_in_sample"] / (D_FF[row["layer"]] * N * T)
        assert row["achieved_rate_in_sample"] == pytest.approx(expected, rel=1e-14)
        assert row["layer_rate"] == fitted["layer_rate"]


def test_events_out_of_sample_are_those_of_the_held_out_raster():
    """Each condition and layer has its own count; gains without raster are null, and say so."""
    counted = np.arange(len(HELD_OUT) * L).reshape(-1, L)
    of = {
        (float(c.gain), c.spike_def_id, c.target_label): counted[n] for n, c in enumerate(HELD_OUT)
    }
    for row in table(counted):
        key = row["gain"], row["spike_def_id"], row["target_label"]
        events, rate = row["achieved_events_out_of_sample"], row["achieved_rate_out_of_sample"]
        if key in of:
            assert events == of[key][row["layer"]]
            assert rate == pytest.approx(events / (D_FF[row["layer"]] * 2 * N * T), rel=1e-14)
            assert row["out_of_sample_reason"] is None
        else:
            assert row["gain"] == float(GAINS[0])
            assert events is rate is None
            assert row["out_of_sample_reason"] == "no raster was extracted at this gain"
    assert len(of) == len(HELD_OUT)
