"""What was found, in words: counted rightly, and as plainly where it is negative."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avalattice.canon import SignatureId, SpikeDefId, WindowSet
from avalattice.export.documents import GStarEntry, PercolationEntry, SignatureEntry
from avalattice.export.report.findings import (
    RoleResults,
    build_cards,
    found_sentences,
    judge_curves,
)
from avalattice.stats.signatures import Outcome
from tests.report_rows import choice, curves, signature_entries

ONE = SpikeDefId.SPIKE_ONE_SIDED_POS


def results(*, identifiable: int = 0, verdict: str | None = "not_supported") -> RoleResults:
    """Four curves, some identifiable, with the same verdict on every signature."""
    choices = [choice(*curve, identifiable=n < identifiable) for n, curve in enumerate(curves())]
    entries = [e | {"verdict": verdict} for e in signature_entries()] if verdict else None
    signatures = None if entries is None else tuple(map(SignatureEntry.model_validate, entries))
    return RoleResults("INSTRUCT", tuple(choices), signatures)


def sentences(given: RoleResults) -> tuple[str, ...]:
    return found_sentences(given, judge_curves(given))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            results(),
            (
                "The data do not determine g* on any of 4 curves.",
                "No signature (S1, S2, S3) is supported on any of them.",
            ),
        ),
        (
            results(identifiable=3, verdict="not_assessable"),
            (
                "The data determine g* on 3 of 4 curves.",
                "No signature (S1, S2, S3) is supported on any of them.",
            ),
        ),
        (
            results(identifiable=4, verdict="supported"),
            (
                "The data determine g* on 4 of 4 curves.",
                "Supported: S1 on 4, S2 on 4, S3 on 4 of 4 curves.",
            ),
        ),
        (
            results(verdict=None),
            (
                "The data do not determine g* on any of 4 curves.",
                "The signatures S1 to S3 have not been judged yet.",
            ),
        ),
        (RoleResults("BASE"), ()),
    ],
)
def test_sentences_count_what_holds(given, expected):
    """Nothing, some, all, not yet, or no curve at all."""
    assert sentences(given) == expected


def row(b_tot: float | None, gain: float, label: str = "0.4") -> dict[str, object]:
    return {"spike_def_id": str(ONE), "target_label": label, "gain": gain, "b_tot": b_tot}


def test_gain_and_target_are_compared():
    """The widest range over gains of one target, and over targets at g = 1, to two digits."""
    grid = (
        *(row(b, g) for b, g in ((0.80, 0.7), (0.81, 1.0), (None, 1.3))),
        *(row(b, g, "0.8") for b, g in ((1.10, 0.7), (1.0666, 1.0), (1.08, 1.3))),
    )
    (sentence,) = found_sentences(RoleResults("INSTRUCT", grid=grid), ())
    assert sentence == (
        "Over the gains, b_tot moves by at most 0.033 at any one target; over the targets it moves "
        "by 0.26 at g = 1."
    )


def test_one_gain_says_nothing_of_gains():
    """With a single gain, or a single target, there is no range to speak of."""
    assert (
        found_sentences(RoleResults("INSTRUCT", grid=(row(0.8, 1.0), row(1, 1.0, "2"))), ()) == ()
    )
    assert found_sentences(RoleResults("INSTRUCT", grid=(row(0.8, 1.0), row(1, 1.3))), ()) == ()


def held_out(delta: float, p: float | None, g: float = 1.0, window_set=WindowSet.RASTER):
    """A row of T01, as far as it is read."""
    return {
        "window_set": str(window_set),
        "g": g,
        "delta_b_depth_shift": delta,
        "delta_b_depth_shift_p_adj": p,
    }


@pytest.mark.parametrize(
    ("rows", "count", "size"),
    [
        ([held_out(0.1, 0.01), held_out(0.2, 0.04)], "2 of 2 curves", ", by 0.1 to 0.2;"),
        ([held_out(0.1, 0.01), held_out(0.2, 0.06)], "1 of 2 curves", ", by 0.1;"),
        ([held_out(-0.1, 0.01)], "none of 1 curve ", "(adjusted p < 0.05)."),
        ([held_out(0.1, 0.01), held_out(0.1, 0.01, g=1.3)], "1 of 1 curve ", ", by 0.1;"),
        (
            [held_out(0.1, 0.01), held_out(0.1, 0.01, window_set=WindowSet.CALIBRATION)],
            "1 of 1 curve ",
            ", by 0.1;",
        ),
    ],
)
def test_surplus_over_the_shift_null(rows, count, size):
    """Positive surpluses with adjusted p below 0.05, on held-out windows, at gain 1 alone."""
    (sentence,) = found_sentences(RoleResults("INSTRUCT", summary=tuple(rows)), ())
    assert f"on {count}" in sentence
    assert size in sentence


def test_a_surplus_without_p_is_not_counted():
    """Where nothing was tested nothing is said."""
    assert found_sentences(RoleResults("BASE", summary=(held_out(0.1, None),)), ()) == ()


# ----------------------------------------------------------------------------- rows and cards


def test_every_curve_has_every_judgement():
    """g* first, then S1 to S3, each with its own outcome and reason."""
    judged = judge_curves(results(identifiable=1))
    assert [(c.curve.spike_def_id, c.curve.target_label) for c in judged] == curves()
    assert [j.outcome for j in judged[0].judgements] == [
        Outcome.SUPPORTED,
        *[Outcome.NOT_SUPPORTED] * 3,
    ]
    assert [j.label for j in judged[1].judgements] == ["not identifiable", *["not supported"] * 3]
    for signature, judgement in zip(SignatureId, judged[0].judgements[1:], strict=True):
        assert str(signature) in judgement.words
    assert len({c.id for c in judged}) == len(judged)


def test_g_star_is_told_with_its_numbers():
    """Value, edge, reason or crossing, slope with intervals, and the share of resamples."""
    held, failed = (judge_curves(results(identifiable=1))[n].judgements[0].words for n in (0, 1))
    assert held == (
        "g* = 1.3, b_tot 1.02, at the edge of the grid; crossing 1.250 [1.200, 1.290]; "
        "slope db_tot/dg −0.020 [−0.050, 0.010]; 75% of window resamples choose it"
    )
    assert "; b_tot - 1 does not change sign inside the grid; " in failed
    assert "crossing" not in failed


def test_no_g_star_is_not_assessable():
    """Where b_tot is undefined everywhere there is no g*, and the reason is said."""
    values = choice(ONE, "0.4", identifiable=False).model_dump()
    none = GStarEntry(**values | {"gstar": None, "b_tot": None, "reason": "no ancestors"})
    (judged,) = judge_curves(RoleResults("INSTRUCT", (none,)))
    assert judged.judgements[0].outcome is Outcome.NOT_ASSESSABLE
    assert (judged.judgements[0].label, judged.judgements[0].words) == ("no g*", "no ancestors")
    assert {j.label for j in judged.judgements[1:]} == {"not judged yet"}


def test_percolation_is_told_at_g_star():
    """Of the entries of a curve, that of g* stands beside its verdicts."""
    entries = tuple(
        PercolationEntry(
            spike_def_id=str(ONE),
            target_label="0.4",
            g=g,
            adjacency_id="ADJ_4N",
            occupancy=0.4,
            threshold=0.59,
            near=False,
            words=f"words at {g}",
        )
        for g in ("1.0", "1.3")
    )
    judged = judge_curves(replace(results(), percolation=entries))
    assert [c.remark for c in judged] == ["words at 1.3", "", "", ""]


def test_cards_count_each_answer():
    """A card has a tally for each model, with one answer for each curve."""
    by_role = [judge_curves(results(identifiable=1)), judge_curves(results(verdict=None))]
    cards = build_cards(by_role)
    assert [card.question.title.split()[0] for card in cards] == ["g*", "S1", "S2", "S3"]
    first, second = cards[0].tallies
    assert (first.holds, first.otherwise) == ("1 of 4", "3 not identifiable")
    assert (second.holds, second.otherwise) == ("none of 4", "4 not identifiable")
    judged, not_yet = cards[1].tallies
    assert (judged.holds, judged.otherwise) == ("none of 4", "4 not supported")
    assert (not_yet.holds, not_yet.otherwise) == ("not judged yet", "")
    assert len(judged.answers) == 4
