"""Every claim of the paper, on data that support it, on data that do not, and on none."""

from __future__ import annotations

from functools import cache

import pytest

from avalattice.export.paper import sources
from avalattice.export.paper.catalogue import catalogue
from avalattice.export.paper.claims import QUOTABLE, Claim
from avalattice.export.paper.conditions import CurveRows
from avalattice.export.paper.markdown import prose
from avalattice.export.paper.sections import evaluate_all, write_paper
from avalattice.export.paper.sentences import EvaluatedClaim, evaluate
from avalattice.stats.signatures import Outcome
from tests.export.paper.fabricated import (
    ends,
    evidence,
    gstar_document,
    model,
    signatures_document,
)


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


def transfer(at_one: float, at_the_gstar: float, high: float) -> dict:
    """b_tot at both gains, and the upper end of an interval of their difference, 0.1 wide."""
    moved = ends("b_tot", at_the_gstar) | ends("b_tot_diff", high - 0.05, 0.05)
    return when(GENERALIZATION, at_gstar, moved, ends("b_tot", at_one))


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
        changed(CRACKLING, **PASSED, gamma_null_perm=1.0, gamma_null_perm_high=1.1),
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
        transfer(1.2, 1.05, -0.1),
        transfer(1.05, 1.2, 0.1),
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


def told(claim_id: str, case: dict) -> EvaluatedClaim:
    (found,) = (e for e in evaluate_all(evidence(**case)) if e.claim.claim_id == claim_id)
    return found


IN_SAMPLE = (sources.GSTAR, sources.SPREADS, ABLATIONS, sources.ABLATED)
"""What is measured on the calibration windows alone."""


@pytest.mark.parametrize("claim_id", CASES)
def test_sentences_name_the_calibration_windows_where_they_rest_on_them(claim_id):
    """Whatever is said of the gain grid and of interventions names its windows; nothing else."""
    claim = claims()[claim_id]
    in_sample = (
        claim.source in IN_SAMPLE
        or {"window_set": "calibration"} in claim.where
        or claim_id in ("signature_s1", "signature_s2", "replication_gstar")
    )
    for text in (claim.supported, claim.not_supported, claim.not_assessable):
        assert ("calibration windows" in text) == in_sample


@pytest.mark.parametrize(
    ("at_one", "at_the_gstar", "high"),
    [
        pytest.param(1.2, 1.19, 0.04, id="no difference"),
        pytest.param(1.06, 0.95, -0.01, id="on either side of one, about as far"),
    ],
)
def test_noise_is_no_transfer(at_one, at_the_gstar, high):
    """b_tot that is nearer one by chance does not show that g* transfers."""
    found = told("b_transfer", transfer(at_one, at_the_gstar, high))
    assert all(row.values["distance_gstar"] < row.values["distance_g1"] for row in found.rows)
    assert found.verdict is Outcome.NOT_SUPPORTED
    assert "is shown on none of the 3 curves" in found.sentence


def test_without_an_interval_transfer_is_not_assessable():
    """The reason is that of the difference."""
    change = transfer(1.2, 1.05, -0.1)["changes"][GENERALIZATION]
    lost = {"b_tot_diff_ci_low": None, "b_tot_diff_ci_high": None, "diff_reason": "no resample"}
    case = {"changes": {GENERALIZATION: lambda row: change(row) | lost}}
    found = told("b_transfer", case)
    assert found.verdict is Outcome.NOT_ASSESSABLE
    assert found.sentence.endswith("cannot be assessed: no resample (3×).")


def test_numbers_of_refused_fits_are_not_quoted():
    """An exponent of a tail that is not assessable stands in no sentence about exponents."""
    case = when(
        TAILS, lambda row: row["status"] == "ok", {"alpha_null_perm": 2.1}, {"alpha_powerlaw": 9.0}
    )
    found = told("tails_against_null", case)
    assert found.verdict is Outcome.NOT_SUPPORTED
    assert "over the 8 that can be assessed alpha is 2.1, that of permuted" in found.sentence


@pytest.mark.parametrize(
    ("claim_id", "source", "column"),
    [
        ("branching_time_tested", SUMMARY, "delta_b_time_p_adj"),
        ("branching_depth_tested", SUMMARY, "delta_b_depth_shift_p_adj"),
        ("token_id_depth", NULLS, "p_depth_token_id_exact"),
        ("choices_letter_change", CHOICES, "p_adj"),
    ],
)
def test_small_p_values_are_told_with_their_floor(claim_id, source, column):
    """One p that is zero for want of digits and one that is not are both told as they are."""
    gain = "gain" if source is NULLS else "g"
    case = when(source, lambda row: row[gain] == 1.3, {column: 0.9}, {column: 0.0})
    assert "p < 1e-99 to 0.9" in told(claim_id, case).sentence


@pytest.mark.parametrize(
    ("claim_id", "source", "column"),
    [
        ("b_perplexity", GENERALIZATION, "ppl_diff_ci_low"),
        ("choices_letter_change", CHOICES, "p_adj"),
        ("choices_cloze_change", CHOICES, "p_adj"),
    ],
)
def test_what_depends_on_the_gain_alone_is_counted_by_gain(claim_id, source, column):
    """Three curves with two g* are two tests of perplexity and of accuracy."""
    fails, holds = (-1.0, 1.0) if column != "p_adj" else (0.9, 0.01)
    case = when(source, lambda row: row["g"] == 1.3, {column: fails}, {column: holds})
    found = told(claim_id, case)
    assert [row.values["g"] for row in found.rows] == [0.7, 1.3]
    assert " at 1 of 2 distinct g*: over all it " in found.sentence
    if "{failed}" in found.claim.not_supported:
        assert found.sentence.endswith(" at 1 of 2 distinct g* (g = 1.3).")


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


NO_GSTAR = {
    "gstar": None,
    "b_tot": None,
    "reason": "b_tot is undefined at every gain",
    "slope": None,
    "slope_ci_low": None,
    "slope_ci_high": None,
}


def test_without_any_gstar_no_gains_coincide():
    """With no g* on any curve, claims at g* say that there is none."""
    found = {e.claim.claim_id: e for e in evaluate_all(evidence(gstar=gstar_document(**NO_GSTAR)))}
    for claim_id in (
        *("branching_time_gstar", "branching_depth_gstar", "ablations_depth", "ablations_b_tot"),
        *("b_difference", "b_perplexity", "choices_letter_change"),
    ):
        assert found[claim_id].verdict is Outcome.NOT_ASSESSABLE
        assert found[claim_id].sentence.endswith(": no curve has a g*.")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (NO_GSTAR, "fewer than two gains have a b_tot"),
        (
            {"slope_ci_low": None, "slope_ci_high": None},
            "too few resamples of the windows have a b_tot at every gain",
        ),
    ],
)
def test_a_missing_slope_has_a_reason_of_its_own(changes, reason):
    """Why g* is not identifiable is no reason for the slope."""
    found = told("gain_slope", {"gstar": gstar_document(**changes)})
    assert found.sentence.endswith(f" cannot be assessed: {reason} (4×). (Few windows.)")


def test_the_gain_hardly_moves_b_tot_only_if_the_numbers_say_so():
    """The sentence is told where b_tot depends on the rate, and not where it depends on g."""
    words = "On the calibration windows the rate sets `b_tot` and the gain hardly moves it"
    flat = write_paper(evidence()).pages["03_results.md"]
    steep = write_paper(evidence(**CASES["rate_against_gain"][1])).pages["03_results.md"]
    assert words in flat
    assert words not in steep
    assert "it does not hold for both spike definitions" in steep


def test_the_pages_tell_the_sentence_of_the_verdict():
    """Each claim's sentence, and no other of its sentences, stands in the results."""
    for case in (0, 1):
        given = evidence(peer=PEER["peer"], signatures=signatures_document(near=bool(case)))
        results = write_paper(given).pages["03_results.md"]
        for each in evaluate_all(given):
            assert prose(each.sentence) in results


def test_loud_tokens_alone_are_no_order_along_tokens():
    """What the permutation of rows rejects, and that of whole tokens does not, is not supported."""
    case = changed(SUMMARY, delta_b_time=0.1, delta_b_time_p_adj=0.01, delta_b_time_p_tokens=0.3)
    assert told("branching_time_tested", case).verdict is Outcome.NOT_SUPPORTED


def test_a_null_without_enough_draws_leaves_tails_open_with_its_reason():
    """Where the fit is ok and its null has no exponent, the column beside the status says why."""
    ok = {"status": "ok", "reason": None, "alpha_null_perm": None}
    case = changed(TAILS, **ok, parameters_reason="alpha_null_perm is undefined in 15 of 20 draws")
    found = told("tails_against_null", case)
    assert found.verdict is Outcome.NOT_ASSESSABLE
    assert "undefined in 15 of 20 draws" in found.sentence
