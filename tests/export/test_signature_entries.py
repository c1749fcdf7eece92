"""Verdicts from rows of the tables: each follows from what the rows say, and changes with them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from avalattice.canon import SignatureId, WindowSet
from avalattice.errors import SchemaError
from avalattice.export.avalanche_rows import SIZE, SPAN
from avalattice.export.documents import (
    GStarEntry,
    PercolationEntry,
    SignatureEntry,
    SignaturesDocument,
    parse_document,
)
from avalattice.export.signature_entries import (
    judge_curve,
    judge_raster,
    percolation_entry,
    rows_at_gstar,
)
from avalattice.lattice.percolation import percolation_context
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.chi_peak import ChiPeak, chi_peak
from avalattice.store.digests import canonical_json
from tests.export.measured import condition, measured

S1, S2, S3 = SignatureId
GRID = [Decimal(g) for g in "0.8 0.9 1.0 1.1 1.2".split()]


def choice(**changes) -> GStarEntry:
    """A g* that the data determine."""
    given: dict[str, Any] = {
        "spike_def_id": condition().spike_def_id,
        "target_label": "1e-3",
        "target_rate": 1e-3,
        "gstar": "1.1",
        "b_tot": 1.01,
        "bracketed": True,
        "at_grid_edge": False,
        "identifiable": True,
        "reason": None,
        "crossing": 1.08,
        "crossing_ci_low": 1.05,
        "crossing_ci_high": 1.12,
        "slope": 0.8,
        "slope_ci_low": 0.5,
        "slope_ci_high": 1.1,
        "share_bracketed": 1.0,
        "shares": {"1.1": 1.0},
        "excluded": [],
        "few_windows": False,
    }
    return GStarEntry(**given | changes)


def peak(spread=(1.0, 2.0, 6.0, 2.0, 1.0)) -> ChiPeak:
    """chi over the grid: variance over mean of each gain's totals."""
    rng, over = np.random.default_rng(3), np.array(spread)[:, None]
    totals = rng.poisson(rng.gamma(100 / over, over, (len(spread), 200)))
    return chi_peak(GRID, totals, Resamples.draw(200, 300, rng))


SUMMARY = {
    "delta_b_depth_shift": 0.05,
    "delta_b_depth_shift_p_adj": 0.001,
    "crackling_reason": None,
    "few_windows": False,
}
TAILS = {SIZE: {"reason": None}, SPAN: {"reason": None}}
CRACKLING = {
    "crackling_gamma": 1.3,
    "crackling_ci_low": 1.25,
    "crackling_ci_high": 1.35,
    "dcc_signed": 0.02,
    "dcc_signed_ci_low": -0.1,
    "dcc_signed_ci_high": 0.15,
    "gamma_null_perm": 1.1,
    "gamma_null_perm_low": 1.08,
    "gamma_null_perm_high": 1.12,
    "gamma_null_tokens": 1.2,
    "gamma_null_tokens_low": 1.15,
    "gamma_null_tokens_high": 1.23,
    "few_windows": False,
}


def judged(
    of: GStarEntry | None = None,
    chi: ChiPeak | None = None,
    *,
    summary: dict | None = SUMMARY,
    tails: dict | None = None,
    crackling: dict | None = CRACKLING,
    near: bool = False,
) -> dict[str, SignatureEntry]:
    """The three entries by signature."""
    entries = judge_curve(
        of or choice(),
        chi or peak(),
        summary,
        TAILS if tails is None else tails,
        crackling,
        near_percolation=near,
    )
    assert [entry.signature_id for entry in entries] == [S1, S2, S3]
    return {entry.signature_id: entry for entry in entries}


def verdicts(*arguments, **changes) -> list[str]:
    return [entry.verdict for entry in judged(*arguments, **changes).values()]


ALL, NOT, OPEN = "supported", "not_supported", "not_assessable"


# -------------------------------------------------------------------------------- one curve


def test_a_curve_of_which_every_part_holds_has_three_supported_signatures():
    """Each entry names the curve, its verdict, the words and the numbers that it rests on."""
    found = judged()
    assert [entry.verdict for entry in found.values()] == [ALL, ALL, ALL]
    for entry in found.values():
        assert (entry.spike_def_id, entry.target_label) == (condition().spike_def_id, "1e-3")
        assert entry.words().startswith(f"{entry.spike_def_id}, target 1e-3, {entry.signature_id}")
    assert found[S1].numbers["p_adj"] == 0.001
    assert found[S1].numbers["delta_b_depth_shift"] == 0.05
    assert found[S1].numbers["crossing"] == 1.08
    assert found[S2].numbers["g_peak"] == 1.0
    assert found[S2].numbers["g_star"] == 1.1
    for name, value in CRACKLING.items():
        key = name.replace("crackling_", "gamma_").replace("gamma_gamma", "gamma")
        key = key.replace("gamma_null_perm", "gamma_null")
        assert name == "few_windows" or found[S3].numbers[key] == value


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("delta_b_depth_shift_p_adj", 0.06, NOT),
        ("delta_b_depth_shift", -0.05, NOT),
        ("delta_b_depth_shift", None, OPEN),
        ("delta_b_depth_shift_p_adj", None, OPEN),
    ],
)
def test_s1_follows_the_row_of_t01(name, value, verdict):
    """Another surplus or adjusted p at g* is another verdict, of S1 alone."""
    assert verdicts(summary=SUMMARY | {name: value}) == [verdict, ALL, ALL]


@pytest.mark.parametrize(
    "changes",
    [{"bracketed": False}, {"identifiable": False, "reason": "the crossing's interval is wide"}],
)
def test_s1_follows_the_choice_of_gstar(changes):
    """A curve that does not cross, or whose g* is not determined, has no crossing."""
    found = judged(choice(**changes))
    assert found[S1].verdict == NOT
    assert changes.get("reason", "does not change sign") in found[S1].reason


def test_s2_follows_the_peak_of_chi():
    """A peak at the grid's end is none; one far from g* is not aligned."""
    assert verdicts(chi=peak((6.0, 2.0, 1.0, 1.0, 1.0)))[1] == NOT
    far = judged(choice(gstar="0.7"))[S2]
    assert far.verdict == NOT
    assert "0.3 from g* = 0.7" in far.reason


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"dcc_signed": 0.2, "dcc_signed_ci_low": 0.1, "dcc_signed_ci_high": 0.3}, NOT),
        ({"dcc_signed_ci_low": -0.4, "dcc_signed_ci_high": 0.4}, OPEN),
        ({"dcc_signed_ci_low": None}, OPEN),
        ({"gamma_null_perm": 1.3}, NOT),
        ({"gamma_null_tokens": 1.26}, NOT),
        ({"gamma_null_tokens": None}, OPEN),
        ({"crackling_ci_low": 1.0}, NOT),
        ({"crackling_gamma": None}, OPEN),
    ],
)
def test_s3_follows_the_row_of_t05(change, verdict):
    """Another difference, interval or null is another verdict, of S3 alone."""
    assert verdicts(crackling=CRACKLING | change) == [ALL, ALL, verdict]


def test_s3_follows_the_tails_and_the_gates():
    """A tail fit that is not ok, of either variable, or a gate of gamma that failed."""
    for variable in TAILS:
        found = judged(tails=TAILS | {variable: {"reason": "too few samples"}})[S3]
        assert found.verdict == OPEN
        kind = {SIZE: "sizes", SPAN: "spans"}[variable]
        assert f"the tail fit of {kind} is not ok (too few samples)" in found.reason
    gated = judged(summary=SUMMARY | {"crackling_reason": "7 spans, 8 are needed"})[S3]
    assert gated.verdict == OPEN
    assert "gamma did not pass its gates (7 spans, 8 are needed)" in gated.reason


def test_what_is_no_part_of_a_verdict_is_said_beside_it():
    """Few windows and an occupancy near the percolation threshold are remarks."""
    near = judged(near=True)[S3]
    assert near.verdict == ALL
    assert near.numbers["near_percolation"] == 1.0
    assert "near the percolation threshold" in near.reason
    assert "near the percolation threshold" not in judged()[S3].reason
    few = judged(crackling=CRACKLING | {"few_windows": True})
    assert "fewer than 20 windows" in few[S3].reason
    assert "fewer than" not in few[S1].reason
    for found in (
        judged(choice(few_windows=True)),
        judged(summary=SUMMARY | {"few_windows": True}),
    ):
        assert "fewer than 20 windows" in found[S1].reason


def test_without_a_gstar_nothing_can_be_assessed():
    """No g* is no raster at it: three verdicts stay open, each with its reason."""
    none = choice(gstar=None, b_tot=None, bracketed=False, identifiable=False, reason="no b_tot")
    found = judged(none, summary=None, tails={}, crackling=None)
    assert {entry.verdict for entry in found.values()} == {OPEN}
    assert "g* is undefined: no b_tot" in found[S1].reason
    assert "there is no raster at g*" in found[S3].reason
    assert found[S1].numbers["g_star"] is None


def test_a_raster_on_no_curve_is_judged_by_the_third_signature_alone():
    """S1 and S2 need a curve; S3 follows the same rows as on one."""
    entries = judge_raster(
        condition(), SUMMARY, TAILS, CRACKLING, near_percolation=False, no_curve="no gains"
    )
    assert [(e.verdict, e.reason) for e in entries[:2]] == [(OPEN, "no gains")] * 2
    assert entries[2] == judged()[S3]


# ------------------------------------------------------------------------------ rows at g*


def table(**numbers) -> list[dict]:
    """A row for each window set, gain and target, with its place in the table."""
    keys = [(w, label, g) for w in WindowSet for label in ("1e-3", "2e-3") for g in (1.0, 1.1)]
    return [
        {
            "window_set": window_set,
            "spike_def_id": condition().spike_def_id,
            "target_label": label,
            "g": g,
            "place": (window_set, label, g),
            **numbers,
        }
        for window_set, label, g in keys
    ]


def test_rows_at_gstar_are_those_of_its_curve_gain_and_windows():
    """One row of T01 and T05, and one of T04 for each variable."""
    tails = table(variable=SIZE) + table(variable=SPAN)
    found = rows_at_gstar(
        choice(), WindowSet.RASTER, summary=table(), tails=tails, crackling=table()
    )
    summary, by_variable, crackling = found
    assert summary["place"] == crackling["place"] == ("raster", "1e-3", 1.1)
    assert {name: row["place"] for name, row in by_variable.items()} == dict.fromkeys(
        (SIZE, SPAN), ("raster", "1e-3", 1.1)
    )
    in_sample, _, _ = rows_at_gstar(
        choice(), WindowSet.CALIBRATION, summary=table(), tails=[], crackling=[]
    )
    assert in_sample["place"] == ("calibration", "1e-3", 1.1)


def test_there_are_no_rows_without_a_gstar_or_beyond_the_table():
    """Neither a missing g* nor one that has no raster gives a row."""
    for of in (choice(gstar=None), choice(gstar="1.2"), choice(target_label="4e-3")):
        found = rows_at_gstar(
            of, WindowSet.RASTER, summary=table(), tails=table(variable=SIZE), crackling=table()
        )
        assert found == (None, {}, None)


# -------------------------------------------------------------------------------- documents


def percolation(name: str = "planted") -> PercolationEntry:
    found = measured(name)
    return percolation_entry(found.condition, percolation_context(found.A))


def test_percolation_entries_place_the_occupancy_beside_the_threshold():
    """Occupancy, threshold and words are the context's, of the condition that is named."""
    entry, A = percolation(), measured().A
    assert entry.occupancy == pytest.approx((A > 0).mean(), rel=1e-12)
    assert entry.threshold == 0.592746
    assert not entry.near
    assert (entry.g, entry.adjacency_id, entry.target_label) == ("1.0", "ADJ_4N", "1e-3")
    assert f"{entry.occupancy:.3f}" in entry.words
    half = percolation_context(np.tile([[0, 1], [1, 0]], (2, 8, 8)))
    assert percolation_entry(condition(), half).near


def test_signatures_survive_the_document():
    """What is undefined becomes null, and what is read back is what was written."""
    entries = list(judged(chi=peak((6.0, 2.0, 1.0, 1.0, 1.0))).values())
    written = SignaturesDocument(entries=entries, percolation=[percolation()])
    content = json.loads(canonical_json(written.model_dump(mode="json")))
    assert parse_document(SignaturesDocument, content, "signatures.json") == written
    assert content["entries"][1]["numbers"]["log_ratio_first"] is None
    for broken in ({"verdict": None}, {"surprise": 1}):
        spoiled = content | {"entries": [content["entries"][0] | broken]}
        with pytest.raises(SchemaError, match=r"signatures.json: entries\.0\."):
            parse_document(SignaturesDocument, spoiled, "signatures.json")
