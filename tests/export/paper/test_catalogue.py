"""Every claim of the paper, on data that support it, on data that do not, and on none."""

from __future__ import annotations

from functools import cache

import pytest

from avalattice.export.paper import sources
from avalattice.export.paper.catalogue import catalogue
from avalattice.export.paper.claims import QUOTABLE, Claim, evaluate
from avalattice.export.paper.conditions import CurveRows
from avalattice.export.paper.markdown import prose
from avalattice.export.paper.sections import evaluate_all, write_paper
from avalattice.stats.signatures import Outcome
from tests.export.paper.fabricated import evidence, gstar_document, model, signatures_document


def changed(source: sources.Source, **columns) -> dict:
    """Evidence in which some columns of a table have other values."""
    return {"changes": {source: lambda row: columns}}


def when(source: sources.Source, is_so, then: dict, otherwise: dict | None = None) -> dict:
    """The same for the rows for which something is so, and other values for the rest."""
    return {"changes": {source: lambda row: then if is_so(row) else otherwise or {}}}


def at_gstar(row: dict) -> bool:
    return row["g_condition"] == "gstar"


def on_grid(row: dict) -> bool:
    return row["window_set"] == "calibration"


SUMMARY, NULLS, TAILS = sources.SUMMARY, sources.NULLS, sources.TAILS
CRACKLING, ABLATIONS = sources.CRACKLING, sources.ABLATIONS
GENERALIZATION, CHOICES, REPLICATION = (
    sources.GENERALIZATION,
    sources.CHOICES,
    sources.REPLICATION,
)
OK = {"status": "ok", "reason": None}
PASSED = {"pass": True, "reason": None}
PEER = {"peer": model(id="other", role="BASE")}
RELATION = {TAILS: lambda row: OK}


def relation(low: float, high: float) -> dict:
    """Tails that can be assessed, and an interval of gamma − gamma_pred."""
    ends = {"dcc_signed_ci_low": low, "dcc_signed_ci_high": high}
    return {"changes": RELATION | {CRACKLING: lambda row: PASSED | ends}}


CASES = {
    "rates_in_sample": (
        {},
        when(SUMMARY, on_grid, {"achieved_rate_max_event_err": 2.0}),
    ),
    "rates_held_out": (
        {},
        when(SUMMARY, lambda row: not on_grid(row), {"achieved_rate_mean": 0.5}),
    ),
    "branching_time_g1": (
        changed(SUMMARY, opt_delta_b_time_ci_low=0.01),
        changed(SUMMARY, opt_delta_b_time_ci_low=-0.01),
    ),
    "branching_time_gstar": (
        changed(SUMMARY, opt_delta_b_time_ci_low=0.01),
        when(SUMMARY, lambda row: row["g"] != 1.0, {"opt_delta_b_time_ci_low": 0.0}),
    ),
    "branching_time_tested": (
        changed(SUMMARY, delta_b_time=0.1, delta_b_time_p_adj=0.01),
        changed(SUMMARY, delta_b_time=-0.1, delta_b_time_p_adj=0.01),
    ),
    "branching_depth_g1": (
        changed(SUMMARY, opt_delta_b_depth_shift_ci_low=0.01),
        changed(SUMMARY, opt_delta_b_depth_shift_ci_low=-0.01),
    ),
    "branching_depth_gstar": (
        changed(SUMMARY, opt_delta_b_depth_shift_ci_low=0.01),
        changed(SUMMARY, opt_delta_b_depth_shift_ci_low=-0.01),
    ),
    "branching_depth_tested": (
        changed(SUMMARY, delta_b_depth_shift=0.1, delta_b_depth_shift_p_adj=0.01),
        changed(SUMMARY, delta_b_depth_shift=0.1, delta_b_depth_shift_p_adj=0.06),
    ),
    "token_id_time": (
        changed(NULLS, delta_b_time_token_id=0.1, p_time_token_id_mc=0.01),
        changed(NULLS, delta_b_time_token_id=0.1, p_time_token_id_mc=0.3),
    ),
    "token_id_depth": (
        changed(NULLS, delta_b_depth_token_id=0.1, p_depth_token_id_exact=0.01),
        changed(NULLS, delta_b_depth_token_id=-0.1, p_depth_token_id_exact=0.01),
    ),
    "order_time": (
        changed(NULLS, delta_excess_time_ci_low=0.01),
        changed(NULLS, delta_excess_time_ci_low=-0.01),
    ),
    "order_depth": (
        changed(NULLS, delta_excess_depth_ci_low=0.01),
        changed(NULLS, delta_excess_depth_ci_low=-0.01),
    ),
    "gain_slope": (
        {"gstar": gstar_document(slope=0.3, slope_ci_low=0.1, slope_ci_high=0.5)},
        {"gstar": gstar_document(slope=0.3, slope_ci_low=-0.1, slope_ci_high=0.5)},
    ),
    "rate_against_gain": (
        {},
        {"changes": {SUMMARY: lambda row: {"b_tot": row["g"]}}},
    ),
    "gstar_identifiable": (
        {"gstar": gstar_document(identifiable=True, reason=None, crossing=0.9)},
        {"gstar": gstar_document(identifiable=False)},
    ),
    "chi_above_poisson": (
        changed(SUMMARY, opt_chi_ci_low=1.1),
        changed(SUMMARY, opt_chi_ci_low=0.9),
    ),
    **{
        f"signature_{name}": (
            {"signatures": signatures_document("supported")},
            {"signatures": signatures_document("not_supported")},
        )
        for name in ("s1", "s2", "s3")
    },
    "percolation_away": (
        {"signatures": signatures_document(near=False)},
        {"signatures": signatures_document(near=True)},
    ),
    "tails_assessable": (
        changed(TAILS, **OK),
        changed(TAILS, status="not_assessable", reason="too short"),
    ),
    "tails_power_law": (
        changed(TAILS, **OK, best_family="powerlaw"),
        changed(TAILS, **OK, best_family="lognormal"),
    ),
    "tails_plausible": (
        changed(TAILS, **OK, ks_p=0.2),
        changed(TAILS, **OK, ks_p=0.09),
    ),
    "tails_against_null": (
        changed(TAILS, **OK, alpha_null_perm=3.0),
        changed(TAILS, **OK, alpha_null_perm=2.1),
    ),
    "crackling_gates": (
        changed(CRACKLING, **PASSED),
        changed(CRACKLING, **{"pass": False}, reason="too few spans"),
    ),
    "crackling_relation": (relation(-0.1, 0.2), relation(0.1, 0.2)),
    "crackling_against_null": (
        changed(CRACKLING, **PASSED, gamma_null_perm=1.0),
        changed(CRACKLING, **PASSED, gamma_null_perm=1.3),
    ),
    "crackling_against_tokens": (
        changed(CRACKLING, **PASSED, gamma_null_tokens=1.0),
        changed(CRACKLING, **PASSED, gamma_null_tokens=1.3),
    ),
    "ablations_depth": (
        changed(ABLATIONS, delta_b_depth_shift_ci_low=0.1),
        changed(ABLATIONS, delta_b_depth_shift_ci_low=-0.1),
    ),
    "ablations_b_tot": (
        changed(ABLATIONS, b_tot=1.0),
        when(ABLATIONS, at_gstar, {"b_tot": 2.0}, {"b_tot": 1.0}),
    ),
    "b_rates": (
        {"changes": {GENERALIZATION: lambda row: {"achieved_rate_mean": row["target_rate"]}}},
        {"changes": {GENERALIZATION: lambda row: {"achieved_rate_mean": 2 * row["target_rate"]}}},
    ),
    "b_depth": (
        changed(GENERALIZATION, delta_b_depth_shift_ci_low=0.1),
        changed(GENERALIZATION, delta_b_depth_shift_ci_low=-0.1),
    ),
    "b_transfer": (
        when(GENERALIZATION, at_gstar, {"b_tot": 1.01}, {"b_tot": 1.2}),
        when(GENERALIZATION, at_gstar, {"b_tot": 1.2}, {"b_tot": 1.01}),
    ),
    "b_difference": (
        changed(GENERALIZATION, b_tot_diff_ci_low=0.1, b_tot_diff_ci_high=0.2),
        changed(GENERALIZATION, b_tot_diff_ci_low=-0.1, b_tot_diff_ci_high=0.2),
    ),
    "b_perplexity": (
        changed(GENERALIZATION, ppl_diff_ci_low=0.1),
        changed(GENERALIZATION, ppl_diff_ci_low=-0.1),
    ),
    **{
        f"choices_{scoring}_chance": (
            changed(CHOICES, accuracy_ci_low=0.3),
            changed(CHOICES, accuracy_ci_low=0.2),
        )
        for scoring in ("letter", "cloze")
    },
    **{
        f"choices_{scoring}_change": (
            changed(CHOICES, p_adj=0.01),
            changed(CHOICES, p_adj=0.2),
        )
        for scoring in ("letter", "cloze")
    },
    "replication_family": (PEER, {"peer": model(id="other", role="BASE", family="qwen2")}),
    "replication_depth": (
        PEER | changed(REPLICATION, delta_b_depth_shift_base=0.1),
        PEER | changed(REPLICATION, delta_b_depth_shift_base=-0.1),
    ),
    "replication_gstar": (
        PEER | changed(REPLICATION, identifiable_base=True, identifiable_instruct=True),
        PEER | changed(REPLICATION, identifiable_base=True, identifiable_instruct=False),
    ),
}
"""By claim, evidence that supports it and evidence that does not."""


@cache
def claims() -> dict[str, Claim]:
    return {
        claim.claim_id: claim for claim in catalogue(CurveRows.of(evidence().rows[sources.GSTAR]))
    }


def beginning(template: str) -> str:
    """What a sentence begins with, before its first number."""
    return template.partition("{")[0]


def test_every_claim_has_its_cases():
    """No claim is without data that support it and data that do not."""
    assert set(CASES) == set(claims())


@pytest.mark.parametrize("claim_id", CASES)
def test_verdict_and_sentence_follow_the_data(claim_id):
    """On supporting data the supported sentence is told, on other data the other one."""
    claim = claims()[claim_id]
    told = []
    for case, verdict, template in zip(
        CASES[claim_id],
        (Outcome.SUPPORTED, Outcome.NOT_SUPPORTED),
        (claim.supported, claim.not_supported),
        strict=True,
    ):
        found = evaluate(claim, evidence(**case).rows[claim.source])
        assert found.verdict is verdict
        assert found.sentence.startswith(beginning(template))
        told.append(found.sentence)
    assert told[0] != told[1]


@pytest.mark.parametrize("claim_id", CASES)
def test_undefined_numbers_are_not_assessable(claim_id):
    """With all that it reads undefined a claim has no verdict, and its sentence says so."""
    claim = claims()[claim_id]
    given = evidence(**CASES[claim_id][0])
    rows = [row | dict.fromkeys(claim.comparison.columns, None) for row in given.rows[claim.source]]
    if claim_id.startswith("signature"):
        rows = [row | {"verdict": "not_assessable"} for row in rows]
    found = evaluate(claim, rows)
    assert found.verdict is Outcome.NOT_ASSESSABLE
    assert found.rows
    assert found.sentence.startswith(beginning(claim.not_assessable))


@pytest.mark.parametrize("claim_id", CASES)
def test_claims_have_three_sentences_and_read_declared_columns(claim_id):
    """Sentences differ and end; they quote, filters name and comparisons read what there is."""
    claim = claims()[claim_id]
    sentences = {claim.supported, claim.not_supported, claim.not_assessable}
    assert len(sentences) == 3
    assert all(text.endswith((".", "?")) and len(text) > 20 for text in sentences)
    assert set(claim.placeholders) - set(QUOTABLE) <= claim.source.columns
    assert set(claim.columns) <= claim.source.columns
    assert {name for equal in claim.where for name in equal} <= claim.source.columns
    assert "reasons" in claim.placeholders


def test_a_wide_interval_is_no_agreement():
    """gamma − gamma_pred with an interval too wide to exclude anything supports nothing."""
    case = evidence(**relation(-0.4, 0.4))
    (found,) = (e for e in evaluate_all(case) if e.claim.claim_id == "crackling_relation")
    assert found.verdict is Outcome.NOT_ASSESSABLE
    assert "the interval is 0.8 wide, 0.5 allowed" in found.sentence


def test_tails_that_are_not_assessable_leave_the_relation_open():
    """Exponents whose fits are refused predict no gamma."""
    ends = {"dcc_signed_ci_low": -0.1, "dcc_signed_ci_high": 0.1}
    case = evidence({CRACKLING: lambda row: PASSED | ends})  # tails at target 1.6 are refused
    (found,) = (e for e in evaluate_all(case) if e.claim.claim_id == "crackling_relation")
    assert found.verdict is Outcome.NOT_ASSESSABLE
    assert "the tail spans 0.6 decades" in found.sentence


def test_where_gains_coincide_nothing_is_compared():
    """With g* = 1 on every curve, claims at g* say that gains coincide."""
    one = evidence(gstar=gstar_document(gstar="1.0"))
    found = {e.claim.claim_id: e for e in evaluate_all(one)}
    for claim_id in ("branching_depth_gstar", "b_perplexity", "choices_letter_change"):
        assert found[claim_id].verdict is Outcome.NOT_ASSESSABLE
        assert "gains coincide" in found[claim_id].sentence
    assert found["branching_depth_g1"].verdict is Outcome.SUPPORTED  # control


def test_the_gain_hardly_moves_b_tot_only_if_the_numbers_say_so():
    """The sentence is told where b_tot depends on the rate, and not where it depends on g."""
    words = "The rate sets `b_tot` and the gain hardly moves it"
    flat = write_paper(evidence()).pages["03_results.md"]
    steep = write_paper(evidence(**CASES["rate_against_gain"][1])).pages["03_results.md"]
    assert words in flat
    assert words not in steep
    assert "does not hold for both spike definitions" in steep


def test_the_pages_tell_the_sentence_of_the_verdict():
    """Each claim's sentence, and no other of its sentences, stands in the results."""
    for case in (0, 1):
        given = evidence(peer=PEER["peer"], signatures=signatures_document(near=bool(case)))
        results = write_paper(given).pages["03_results.md"]
        for each in evaluate_all(given):
            assert prose(each.sentence) in results
