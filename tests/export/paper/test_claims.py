"""A claim's verdict, numbers and sentence follow from rows, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avalattice.export.paper.cells import cell_words, condition_words
from avalattice.export.paper.claims import CONDITIONS, Claim, Gate, Noun
from avalattice.export.paper.comparisons import Above, IntervalIncludes, Within
from avalattice.export.paper.sentences import evaluate, without_rows
from avalattice.export.paper.sources import ALL, Source
from avalattice.stats.signatures import Outcome

SOURCE = Source(
    "T",
    frozenset(("set", "g", "low", "x", "y", "p", "status", "reason", "few_windows")),
    ("set", "g"),
)
CLAIM = Claim(
    "a_claim",
    SOURCE,
    ({"set": "in"},),
    Above("low"),
    "It holds on {all}: x is {x}, at most {x:max}, p {p}.",
    "It holds on {held}, not on {failed}: x is {x:min} and more. Because: {why}.",
    "It cannot be assessed{open}: {reasons}.",
    reason_column="reason",
)


def row(g: float, low: float | None, **changes) -> dict:
    plain = {"set": "in", "g": g, "low": low, "x": g / 10, "y": 1.0, "p": 0.0, "status": "ok"}
    return plain | {"reason": None, "few_windows": False} | changes


def sentence(*rows: dict, claim: Claim = CLAIM) -> str:
    return evaluate(claim, rows).sentence


def test_a_claim_that_holds_everywhere_is_supported():
    """The sentence gives the range of a column, its ends, and p no smaller than is known."""
    found = evaluate(CLAIM, [row(1, 0.5), row(2, 0.1), row(3, -1.0, set="out")])
    assert found.verdict is Outcome.SUPPORTED
    assert found.sentence == (
        "It holds on both conditions: x is 0.1 to 0.2, at most 0.2, p < 1e-99."
    )
    assert [each.key for each in found.rows] == [{"set": "in", "g": 1}, {"set": "in", "g": 2}]


def test_one_failure_makes_a_claim_not_supported():
    """The sentence counts and names what fails, and says why the table says it does."""
    assert sentence(row(1, 0.5), row(2, 0.0, reason="too small"), row(3, 0.2)) == (
        "It holds on 2 of 3 conditions, not on 1 of 3 conditions (in, g = 2.0): x is 0.1 and more. "
        "Because: too small."
    )


def test_the_same_data_with_the_sign_flipped_flips_the_sentence():
    """Verdict and sentence change with the data, and with nothing else."""
    rows = [row(1, 0.5), row(2, 0.1)]
    flipped = [each | {"low": -each["low"]} for each in rows]
    assert evaluate(CLAIM, rows).verdict is Outcome.SUPPORTED
    assert evaluate(CLAIM, flipped).verdict is Outcome.NOT_SUPPORTED
    assert sentence(*flipped).startswith("It holds on none of the 2 conditions, not on both")


def test_an_undefined_number_makes_a_claim_not_assessable():
    """The reason is the table's; what holds beside it is said."""
    assert sentence(row(1, None, reason="no ancestors"), row(2, 0.1)) == (
        "It cannot be assessed on 1 of 2 conditions: no ancestors. "
        "The claim holds for the other 1 condition."
    )
    assert sentence(row(1, None)) == "It cannot be assessed: no low."
    assert sentence(row(1, float("nan"))) == "It cannot be assessed: no low."


def test_a_failure_outweighs_what_is_undefined():
    """With one failure the claim is not supported, and the undefined rows are counted."""
    found = evaluate(CLAIM, [row(1, None, reason="empty"), row(2, -0.1)])
    assert found.verdict is Outcome.NOT_SUPPORTED
    assert found.sentence.endswith("Not assessable: 1 of 2 conditions (empty).")


def test_without_rows_there_is_no_verdict():
    """A filter that picks nothing, and a source that is not there, each give their reason."""
    none = evaluate(replace(CLAIM, where=(), empty="gains coincide"), [row(1, 0.5)])
    assert (none.verdict, none.rows) == (Outcome.NOT_ASSESSABLE, ())
    assert none.sentence == "It cannot be assessed: gains coincide."
    absent = without_rows(CLAIM, "phase 6 was not run")
    assert (absent.verdict, absent.rows) == (Outcome.NOT_ASSESSABLE, ())
    assert absent.sentence == "It cannot be assessed: phase 6 was not run."


def test_a_closed_gate_leaves_a_row_open():
    """Where the gate's column has another value, the comparison is not looked at."""
    gated = replace(CLAIM, gates=(Gate("status", "ok"),))
    assert gated.statement == "low > 0, where status = ok"
    assert sentence(row(1, 0.5), row(2, -1.0, status="no", reason="short"), claim=gated) == (
        "It cannot be assessed on 1 of 2 conditions: short. "
        "The claim holds for the other 1 condition."
    )
    assert sentence(row(1, 0.5, status="no"), claim=gated) == "It cannot be assessed: no status."


def test_a_comparison_that_has_no_answer_says_why():
    """A wide interval is told as such, though the table gives another reason."""
    claim = replace(CLAIM, comparison=IntervalIncludes("low", "x", 0.0, 0.5))
    found = evaluate(claim, [row(1, -0.9, reason="something else")])
    assert found.sentence == "It cannot be assessed: the interval is 1 wide, 0.5 allowed."


def test_few_windows_are_said_in_the_sentence():
    """One row with few windows is enough, whatever the verdict."""
    for low in (0.5, -0.5, None):
        few = sentence(row(1, low, few_windows=True), row(2, low))
        assert few == sentence(row(1, low), row(2, low)) + " (Few windows.)"


def test_few_windows_of_other_rows_do_not_count():
    """Control: the flag is that of the rows that the claim is about."""
    assert "ew windows" not in sentence(row(1, 0.5), row(2, 0.5, set="out", few_windows=True))


def test_filters_are_any_of_several():
    """Each of a filter's alternatives picks the rows that have all of its values."""
    claim = replace(CLAIM, where=({"set": "in", "g": 1}, {"set": "out", "g": 2}))
    rows = [row(1, 1.0), row(2, 1.0), row(1, 1.0, set="out"), row(2, 1.0, set="out")]
    assert [each.key for each in evaluate(claim, rows).rows] == [
        {"set": "in", "g": 1},
        {"set": "out", "g": 2},
    ]


def test_values_of_rows_that_cannot_be_assessed_are_not_quoted():
    """A refused fit's number stands in no sentence, and the sentence says what it is over."""
    gated = replace(
        CLAIM,
        gates=(Gate("status", "ok"),),
        not_supported="x is {x} {over}, {x:failed} where it fails, at most {x:max}.",
    )
    ok = [row(1, 0.5), row(2, -0.1), row(3, -0.1)]
    assert (
        sentence(*ok, claim=gated)
        == "x is 0.1 to 0.3 over all, 0.2 to 0.3 where it fails, at most 0.3."
    )
    refused = [row(g, 0.5, status="no", reason="short") for g in (90, 91)]
    assert sentence(*ok, *refused, claim=gated).startswith(
        "x is 0.1 to 0.3 over the 3 that can be assessed, 0.2 to 0.3 where it fails, at most 0.3."
    )
    assert "over the one that can be assessed" in sentence(ok[1], *refused, claim=gated)
    assert evaluate(gated, [*ok, *refused]).numbers["x_max"] == 9.1  # of all that was read


def test_p_values_have_a_floor_at_both_ends():
    """What may be zero for want of digits is said to be small, beside a p that is not."""
    found = sentence(row(1, 0.5, p=0.0), row(2, 0.5, p=0.06))
    assert found.endswith("p < 1e-99 to 0.06.")


def test_gains_are_quoted_with_every_digit():
    """A gain is a setting: in sentences and conditions it is the configured decimal."""
    told = replace(CLAIM, supported="At g {g}, where x is {x}.")
    rows = [row(1.005, 0.5, x=1.005), row(1.025, 0.5, x=1.025)]
    assert sentence(*rows, claim=told) == "At g 1.005 to 1.025, where x is 1 to 1.02."
    rows[0] |= {"low": -0.5}
    assert "not on 1 of 2 conditions (in, g = 1.005)" in sentence(*rows)


def test_rows_are_named_by_what_tells_them_apart():
    """Where rows stand for gains, those that fail are named by their gain alone."""
    told = replace(CLAIM, noun=Noun("g*", "distinct g*", ("g",)))
    assert "not on 1 of 2 distinct g* (g = 0.85): " in sentence(
        row(0.85, -0.5), row(1.3, 0.5), claim=told
    )


def test_columns_that_hold_p_values_are_known_by_name():
    """Every p of every table has its floor, and no other number has."""
    names = {name for source in ALL for name in source.columns}
    floored = {name for name in names if cell_words(name, 0.0) == "< 1e-99"}
    begins = ("p_", "delta_b_time_p_", "delta_b_depth_shift_p_")
    assert {"p_adj", "ks_p", "delta_b_time_p_adj", "p_depth_token_id_exact"} <= floored
    assert floored == {name for name in names if name.startswith(begins) or name.endswith("_p")}


def test_numbers_are_counts_and_ranges():
    """Every number that was read stands in claims.json with its ends, and verdicts are counted."""
    claim = replace(CLAIM, comparison=Within("x", "y", 0.15), not_supported="It is {measure}.")
    found = evaluate(claim, [row(9, 0.5), row(20, 0.5), row(10, None)])
    assert found.numbers == {
        "n_rows": 3,
        "n_supported": 2,
        "n_not_supported": 1,
        "n_not_assessable": 0,
        "x_min": 0.9,
        "x_max": 2.0,
        "y_min": 1.0,
        "y_max": 1.0,
        "p_min": 0.0,
        "p_max": 0.0,
        "measure_min": 0.9,
        "measure_max": 2.0,
    }
    assert found.sentence == "It is 0.9 to 2."


def test_long_reasons_are_left_to_the_table():
    """Two reasons are told, further ones counted, and long ones not told at all."""
    few = [row(g, None, reason=f"reason {g % 3}") for g in range(1, 8)]
    assert sentence(*few).endswith(": reason 1 (3×); reason 2 (2×); and 1 more.")
    assert sentence(row(1, None, reason="x" * 300)).endswith(": the table gives the reasons.")


@pytest.mark.parametrize(
    ("n", "words"),
    [(1, "the one condition"), (2, "both conditions"), (3, "all 3 conditions")],
)
def test_numbers_of_rows_in_words(n, words):
    """One, two and more are spoken of as people do."""
    assert sentence(*(row(g, 1.0) for g in range(n))).startswith(f"It holds on {words}:")
    assert CONDITIONS.one in words


def test_keys_in_words():
    """A condition is named by what tells it apart, and not by its ids."""
    key = {
        "window_set": "raster",
        "spike_def_id": "SPIKE_TWO_SIDED_ABS",
        "target_label": "8e-5",
        "gain": 0.85,
        "variable": "span_tokens",
        "g_condition": "gstar",
    }
    assert condition_words(key) == "two-sided, target 8e-5, g = 0.85, token spans, g*"
