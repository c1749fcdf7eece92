"""T07: two models, each at its own g*, and whether they can be compared at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avalattice.canon import ModelRole
from avalattice.errors import SchemaError
from avalattice.export.documents import GStarDocument
from avalattice.export.replication import RoleAnalysis, replication_rows
from avalattice.export.schemas import T07_REPLICATION_SUMMARY
from tests.export.paper.fabricated import GSTAR, gstar_document, provenance, summary

BASE, INSTRUCT = ModelRole.BASE, ModelRole.INSTRUCT


def analysis(role: ModelRole, **changes) -> RoleAnalysis:
    """An analysis whose delta_b_tot is the gain, and whose chi tells the window set."""
    rows = [
        row
        | {
            "delta_b_tot": row["g"],
            "chi": 7.0 if row["window_set"] == "raster" else -1.0,
            "delta_b_depth_shift": 0.5,
        }
        for row in summary()
    ]
    plain = RoleAnalysis(role.lower(), "llama", (48, 48), f"RUN_S05_{role}", rows, gstar_document())
    return replace(plain, **changes)


def rows(**changes) -> list[dict]:
    """T07's validated rows, with other values of the BASE analysis."""
    analyses = {BASE: analysis(BASE, **changes), INSTRUCT: analysis(INSTRUCT)}
    made = T07_REPLICATION_SUMMARY.table(replication_rows(provenance("S07"), analyses))
    found: list[dict] = made.to_pylist()
    return found


def without(gain: float) -> list[dict]:
    return [row for row in analysis(BASE).summary if row["g"] != gain]


def gstar(**changes) -> GStarDocument:
    return gstar_document(**changes)


def test_each_model_is_taken_at_its_own_gstar_on_held_out_windows():
    """Numbers are those of T01's raster row at the model's g*."""
    other = gstar(gstar="1.0")  # the BASE model's choice on every curve
    for row in rows(gstar=other):
        curve = row["spike_def_id"], row["target_label"]
        assert (row["gstar_base"], row["gstar_instruct"]) == (1.0, GSTAR[curve])
        assert (row["delta_b_tot_base"], row["delta_b_tot_instruct"]) == (1.0, GSTAR[curve])
        assert row["chi_base"] == row["chi_instruct"] == 7.0
        assert row["model_id_base"] == "base"
        assert row["s05_run_id_instruct"] == "RUN_S05_INSTRUCT"
        assert row["same_family"]
        assert row["reason"] is None
    assert len(rows()) == len(GSTAR)


def test_models_of_other_families_are_said_to_be():
    """same_family is false, and the reason names both families, on every row."""
    for row in rows(family="qwen2"):
        assert not row["same_family"]
        assert row["reason"] == "not of one family: base has qwen2, instruct has llama"


def test_models_of_one_family_and_another_shape_are_said_to_be():
    """Of one family but not of one shape, neither can be the tuned form of the other."""
    for row in rows(shape=(24, 48, 24)):
        assert row["same_family"]
        assert row["reason"] == (
            "not of one shape: base has 3 layers of 24 to 48 units, instruct has 2 layers of 48 "
            "units"
        )


def test_without_a_gstar_there_are_no_numbers_but_a_reason():
    """A model without g* has nulls, and the other model's numbers stand."""
    for row in rows(gstar=gstar(gstar=None, b_tot=None, reason="b_tot is undefined")):
        assert row["gstar_base"] is row["delta_b_tot_base"] is row["chi_base"] is None
        assert row["reason"] == "BASE: b_tot is undefined"
        assert row["chi_instruct"] == 7.0


def test_an_undefined_number_has_the_reason_of_its_table():
    """T01 says why chi is undefined; T07 repeats it with the role."""
    base = [
        row | {"chi": None, "chi_reason": "no events", "delta_b_tot": None}
        for row in analysis(BASE).summary
    ]
    for row in rows(summary=base):
        assert row["chi_base"] is None
        assert row["reason"] == "BASE: delta_b_tot is undefined; BASE: no events"


def test_identifiability_is_each_models_own():
    """The two flags are not mixed up."""
    for row in rows(gstar=gstar(identifiable=True)):
        assert (row["identifiable_base"], row["identifiable_instruct"]) == (True, False)


def test_analyses_that_do_not_fit_are_refused():
    """Other curves, and a T01 without the row at g*, are no result but a broken input."""
    document = gstar()
    fewer = document.model_copy(update={"choices": document.choices[1:]})
    with pytest.raises(SchemaError, match=r"only one of RUN_S05_BASE and RUN_S05_INSTRUCT"):
        rows(gstar=fewer)
    with pytest.raises(SchemaError, match=r"RUN_S05_BASE: T01 has no held-out row of .*0\.7"):
        rows(summary=without(0.7))
