"""Rows of T02 and T03 where g* is missing, is 1, or is not: numbers, nulls and reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from avalattice.canon import DatasetRole, GCondition, ModelRole, Scoring
from avalattice.data.mcq import Question
from avalattice.data.prompts import EncodedQuestion
from avalattice.export.choice_rows import (
    ChoiceComparison,
    ScoredOptions,
    arc_item_rows,
    choice_rows,
)
from avalattice.export.compared_gains import compared_gains, distinct_gains
from avalattice.export.documents import GStarDocument, GStarEntry
from avalattice.export.generalization_rows import (
    Transfer,
    evaluation_windows_rows,
    generalization_rows,
)
from avalattice.export.schemas import ARC_ITEMS, EVALUATION_WINDOWS, T02_GENERALIZATION, T03_ARC
from avalattice.export.schemas.tables import GENERALIZATION_NAMES
from avalattice.export.tabular import check_table, read_csv, write_csv, write_table
from avalattice.lattice.branching import EdgeSums, edge_sums
from avalattice.lattice.rasters import Condition
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.choices import Outcomes, outcomes
from avalattice.stats.multiplicity import benjamini_hochberg
from avalattice.stats.summary import summarise
from avalattice.stats.transfer import transfer_statistics
from tests.export.results import PROVENANCE, rates_of

ONE, TWO = "SPIKE_ONE_SIDED_POS", "SPIKE_TWO_SIDED_ABS"
CHOSEN = {(ONE, "0.4"): "0.7", (ONE, "0.8"): "1.0", (TWO, "0.4"): None, (TWO, "0.8"): "0.7"}
"""g* of each curve: another gain, gain 1, none, and the first's again."""
NONE = "b_tot is undefined at every gain"
N, L, T, Q = 8, 3, 12, 40
G1, G07 = Decimal("1.0"), Decimal("0.7")


def entry(spike_def_id: str, label: str, gstar: str | None) -> GStarEntry:
    """A choice of g*."""
    return GStarEntry(
        spike_def_id=spike_def_id,
        target_label=label,
        target_rate=float(label) / 100,
        gstar=gstar,
        b_tot=None,
        bracketed=False,
        at_grid_edge=False,
        identifiable=False,
        reason=NONE if gstar is None else "b_tot - 1 does not change sign inside the grid",
        crossing=None,
        crossing_ci_low=None,
        crossing_ci_high=None,
        slope=None,
        slope_ci_low=None,
        slope_ci_high=None,
        share_bracketed=0.0,
        shares={},
        excluded=[],
        few_windows=True,
    )


GSTAR = GStarDocument(
    model_role="BASE",
    criterion="",
    inputs={},
    gains=["0.7", "1.0"],
    bootstrap_reps=100,
    n_sequences=N,
    choices=[entry(*curve, gstar) for curve, gstar in CHOSEN.items()],
)


def conditions() -> list[Condition]:
    """What is measured: gain 1 of each curve, and its g* where that is another gain."""
    return [
        Condition(ModelRole.BASE, DatasetRole.B, definition, label, float(label) / 100, gain)
        for (definition, label), gstar in CHOSEN.items()
        for gain in sorted({G1, Decimal(gstar or "1.0")})
    ]


def sums() -> EdgeSums:
    """Rasters of every condition; that of the last g* has no event."""
    A = np.random.default_rng(1).poisson(0.5, size=(len(conditions()), N, L, T))
    A[-2] = 0
    return EdgeSums(edge_sums(A).values)


def losses() -> np.ndarray:
    """Losses that are equal for conditions at one gain."""
    by_gain = {
        gain: np.random.default_rng(seed).uniform(10, 40, size=N)
        for seed, gain in enumerate((G1, G07))
    }
    found = [np.stack([by_gain[c.gain], np.full(N, T - 1.0)], axis=-1) for c in conditions()]
    return np.stack(found)


def transfer(of: EdgeSums, loss: np.ndarray) -> Transfer:
    """What was measured."""
    resamples = Resamples.draw(loss.shape[1], 100, np.random.default_rng(2))
    summary = summarise(of, n_tokens=T, d_ff=np.full(L, 30), resamples=resamples)
    statistics = transfer_statistics(summary, of, loss, n_tokens=T, resamples=resamples)
    rates = rates_of(conditions(), L)
    return Transfer.of(conditions(), summary, rates, statistics, loss)


def t02(of: EdgeSums | None = None, loss: np.ndarray | None = None) -> list[dict[str, Any]]:
    """The rows of T02, as they are read."""
    found = transfer(of or sums(), losses() if loss is None else loss)
    return T02_GENERALIZATION.table(generalization_rows(PROVENANCE, GSTAR, found)).to_pylist()


def rows_of(A: np.ndarray, loss: np.ndarray | None = None) -> Mapping[tuple[Any, ...], Any]:
    """The rows of T02 of given rasters, by curve and gain."""
    return by_key(t02(EdgeSums(edge_sums(A).values), loss))


def by_key(rows: list[dict[str, Any]]) -> Mapping[tuple[Any, ...], dict[str, Any]]:
    """Rows by curve and gain, and by scoring where there is one."""
    names = ("scoring", "spike_def_id", "target_label", "g_condition")
    return {tuple(row[name] for name in names if name in row): row for row in rows}


# ---------------------------------------------------------------------------------- both tables


def test_gain_one_and_gstar_are_compared_and_each_gain_passed_once() -> None:
    """Every curve has a row for both, also where g* is missing; passes are of distinct gains."""
    rows = [(r.choice.spike_def_id, r.g_condition, r.gain) for r in compared_gains(GSTAR)]
    assert rows[:4] == [
        (ONE, GCondition.G1, G1),
        (ONE, GCondition.GSTAR, G07),
        (ONE, GCondition.G1, G1),
        (ONE, GCondition.GSTAR, G1),
    ]
    assert rows[5] == (TWO, GCondition.GSTAR, None)
    assert distinct_gains(GSTAR) == [G07, G1]


def test_a_gstar_of_zero_is_a_gain() -> None:
    """Zero is compared and passed, as any other gain."""
    silent = GSTAR.model_copy(update={"choices": [entry(ONE, "0.4", "0.0")]})
    _, row = compared_gains(silent)
    assert (row.gain, row.reason, row.diff_reason, row.key["g"]) == (Decimal(0), None, None, 0.0)
    assert distinct_gains(silent) == [Decimal(0), G1]


# ------------------------------------------------------------------------------------------ T02


def test_t02_repeats_what_coincides_and_says_what_is_missing() -> None:
    """Where g* is 1 numbers repeat and differences are null; without g* all numbers are null."""
    rows = by_key(t02())
    same, baseline = rows[ONE, "0.8", "gstar"], rows[ONE, "0.8", "g1"]
    assert same["diff_reason"] == "gains coincide"
    assert [same[n] for n in GENERALIZATION_NAMES] == [baseline[n] for n in GENERALIZATION_NAMES]
    none = rows[TWO, "0.4", "gstar"]
    assert none["reason"] == none["diff_reason"] == f"no g*: {NONE}"
    numbers = [n for n in none if n.startswith(GENERALIZATION_NAMES)] + ["g", "achieved_rate_mean"]
    assert {none[name] for name in numbers} == {None}
    assert rows[TWO, "0.4", "g1"]["reason"] is None
    for row in rows.values():
        if row["g_condition"] == "g1" or row["diff_reason"] == "gains coincide":
            assert {row[f"{name}_diff"] for name in GENERALIZATION_NAMES} == {None}


def test_t02_differences_are_gstar_less_gain_one() -> None:
    """The sign is that of g* minus g1, and the interval holds the difference."""
    rows = by_key(t02())
    first, second = rows[ONE, "0.4", "g1"], rows[ONE, "0.4", "gstar"]
    for name in GENERALIZATION_NAMES:
        difference = second[f"{name}_diff"]
        assert difference == pytest.approx(second[name] - first[name])
        assert second[f"{name}_diff_ci_low"] <= difference <= second[f"{name}_diff_ci_high"]
    assert second["diff_reason"] is None
    assert second["n_predicted_tokens"] == N * (T - 1)
    assert first["ppl"] == rows[TWO, "0.8", "g1"]["ppl"]


def test_t02_says_why_a_measured_number_is_undefined() -> None:
    """A raster without events has a perplexity but no branching, in its row and its differences."""
    empty = by_key(t02())[TWO, "0.8", "gstar"]
    assert (empty["b_tot"], empty["b_tot_diff"]) == (None, None)
    assert "no occupied site has a successor" in empty["reason"]
    assert empty["diff_reason"] == empty["reason"]
    assert empty["ppl_diff"] is not None


def test_t02_says_why_a_number_has_no_interval() -> None:
    """Equal totals, events of one window, or one window in all: each in words beside the nulls."""
    A = np.random.default_rng(1).poisson(0.5, size=(len(conditions()), N, L, T))
    A[0] = 2
    A[1, 1:] = 0
    rows = rows_of(A)
    busy, equal = rows[ONE, "0.4", "g1"], rows[ONE, "0.4", "gstar"]
    assert (equal["chi"], equal["chi_ci_low"]) == (0, None)
    assert equal["reason"] == "no interval of chi: window totals do not vary enough"
    assert busy["reason"].startswith("no interval of b_time, b_depth")
    assert "no interval of b_time_diff, b_depth_diff" in equal["diff_reason"]
    assert equal["ppl_diff_ci_low"] is not None
    alone = rows_of(A[:, :1], losses()[:, :1])[ONE, "0.4", "gstar"]
    assert alone["reason"].endswith("define it") or "chi needs two windows" in alone["reason"]
    for row in (*rows.values(), alone):
        undefined = [key for key, value in row.items() if value is None and "reason" not in key]
        of_difference = [key for key in undefined if "_diff" in key]
        assert bool(of_difference) == (row["diff_reason"] is not None)
        assert bool(set(undefined) - set(of_difference)) == (row["reason"] is not None)


WINDOW_IDS = np.arange(50, 50 + N, dtype=np.int32)


def windows_of_b() -> list[dict[str, Any]]:
    """The rows of every window, as they are read."""
    rows = evaluation_windows_rows(PROVENANCE, WINDOW_IDS, sums(), losses(), T)
    return EVALUATION_WINDOWS.table(rows).to_pylist()


def test_windows_of_b_hold_the_sums_that_permutation_expects() -> None:
    """One row per condition and window, with expectations, loss and predicted tokens."""
    table = windows_of_b()
    assert len(table) == len(conditions()) * N
    k = sums().values[0, 0, :, 0].astype(float)
    assert table[0]["time_pairs_perm_mean"] == pytest.approx((k * (k - 1) / T).sum())
    assert table[0]["time_ancestors_perm_mean"] == pytest.approx((k * (T - 1) / T).sum())
    assert table[0]["depth_pairs_perm_mean"] == pytest.approx((k[:-1] * k[1:] / T).sum())
    assert [row["nll"] for row in table[:N]] == losses()[0, :, 0].tolist()
    assert {row["n_predicted_tokens"] for row in table} == {T - 1}
    assert [row["window_id"] for row in table[:N]] == WINDOW_IDS.tolist()


# ------------------------------------------------------------------------------------------ T03


def questions() -> list[Question]:
    """Questions of three or four options."""
    texts = [tuple(f"option {q} {k}" + "." * k for k in range(3 + q % 2)) for q in range(Q)]
    labels = [tuple("1234"[: len(t)]) for t in texts]
    return [
        Question(f"q{q}", "What?", text, label, q % 3)
        for q, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]


def scored() -> dict[tuple[Scoring, Decimal], ScoredOptions]:
    """Scores in two ways at two gains: right more often at gain 1 in the first."""
    rng, found = np.random.default_rng(7), {}
    sizes = np.array([len(q.choices) for q in questions()])
    there = np.arange(4) < sizes[:, None]
    characters = [
        [len(text) for text in q.choices] + [0] * (4 - len(q.choices)) for q in questions()
    ]
    for scoring in Scoring:
        encoded = [
            EncodedQuestion(
                q.id, (1, 2), tuple((k,) for k in range(len(q.choices))), (1,), f"sha{q.id}"
            )
            for q in questions()
        ]
        for gain in (G07, G1):
            logprob = rng.normal(-5, 1, size=(Q, 4))
            if (scoring, gain) == (Scoring.LETTER, G1):
                logprob[np.arange(Q), [q.answer for q in questions()]] += 2.5
            found[scoring, gain] = ScoredOptions(
                encoded, np.where(there, logprob, np.nan), there.astype(int), np.array(characters)
            )
    return found


def comparison() -> tuple[dict[Any, Any], ChoiceComparison]:
    """Outcomes and what they come to."""
    answer = np.array([q.answer for q in questions()])
    found = {k: outcomes(s.logprob, s.n_characters, answer) for k, s in scored().items()}
    resamples = Resamples.draw(Q, 200, np.random.default_rng(8))
    return found, ChoiceComparison.of(found, resamples)


def t03() -> list[dict[str, Any]]:
    """The rows of T03, as they are read."""
    return T03_ARC.table(choice_rows(PROVENANCE, GSTAR, comparison()[1])).to_pylist()


def test_t03_has_numbers_where_there_is_a_gain_and_reasons_where_not() -> None:
    """As T02: repeated where gains coincide, null without g*, compared otherwise."""
    rows = by_key(t03())
    assert len(rows) == 2 * 2 * len(CHOSEN)
    none = rows["letter", TWO, "0.4", "gstar"]
    assert none["reason"] == none["diff_reason"] == f"no g*: {NONE}"
    numbers = [n for n in none if n.startswith(("accuracy", "mean_logprob"))]
    assert {none[name] for name in (*numbers, "g", "covers_chance", "p_adj")} == {None}
    same, baseline = rows["cloze", ONE, "0.8", "gstar"], rows["cloze", ONE, "0.8", "g1"]
    assert (same["accuracy"], same["diff_reason"]) == (baseline["accuracy"], "gains coincide")
    changed = rows["letter", ONE, "0.4", "gstar"]
    before = rows["letter", ONE, "0.4", "g1"]["accuracy"]
    assert changed["accuracy_diff"] == pytest.approx(changed["accuracy"] - before)
    assert changed["accuracy_diff"] < -0.2
    assert changed["mcnemar_p"] < 0.05


def test_one_question_has_no_interval() -> None:
    """Its accuracy stands without ends, is not told from chance, and the row says why."""
    found, _ = comparison()
    first = {
        key: Outcomes(*(getattr(each, f.name)[:1] for f in dataclasses.fields(each)))
        for key, each in found.items()
    }
    alone = ChoiceComparison.of(first, Resamples.draw(1, 100, np.random.default_rng(8)))
    rows = by_key(T03_ARC.table(choice_rows(PROVENANCE, GSTAR, alone)).to_pylist())
    row = rows["letter", ONE, "0.4", "gstar"]
    assert row["accuracy"] in (0, 1)
    assert row["accuracy_ci_low"] is row["accuracy_diff_ci_high"] is row["covers_chance"] is None
    assert row["reason"] == row["diff_reason"] == "one question has no interval"
    assert list(alone.warnings()) == []
    assert by_key(t03())["letter", ONE, "0.4", "gstar"]["reason"] is None  # control


def test_p_values_are_adjusted_over_distinct_tests() -> None:
    """Two curves that chose one gain quote one test; the family is one test a scoring and gain."""
    rows = [row for row in t03() if row["mcnemar_p"] is not None]
    assert len(rows) == 4
    tests = {(row["scoring"], row["g"]): row["mcnemar_p"] for row in rows}
    assert len(tests) == 2
    adjusted = dict(zip(tests, benjamini_hochberg(np.array(list(tests.values()))), strict=True))
    for row in rows:
        assert row["p_adj"] == pytest.approx(adjusted[row["scoring"], row["g"]])


def test_without_another_gain_there_is_nothing_to_test() -> None:
    """A single gain gives accuracies, and an empty family."""
    found, _ = comparison()
    alone = {key: value for key, value in found.items() if key[1] == G1}
    single = ChoiceComparison.of(alone, Resamples.draw(Q, 100, np.random.default_rng(1)))
    assert (len(single.summaries), dict(single.differences), dict(single.adjusted)) == (2, {}, {})


def test_a_warning_names_scoring_gain_and_chance() -> None:
    """Guesses are told from chance in no pass but the one that knows."""
    warnings = list(comparison()[1].warnings())
    assert not any(text.startswith("letter scoring at gain 1.0") for text in warnings)
    assert any(text.startswith("cloze scoring at gain 1.0") for text in warnings)
    assert all("covers chance, 0.292" in text for text in warnings)


def arc_items() -> list[dict[str, Any]]:
    """The rows of every question, as they are read."""
    rows = arc_item_rows(PROVENANCE, questions(), scored(), comparison()[0])
    return ARC_ITEMS.table(rows).to_pylist()


def test_items_keep_every_log_probability_of_every_question() -> None:
    """Options that a question lacks leave no trace; the chosen one is the likeliest."""
    items = arc_items()
    assert len(items) == 4 * Q
    for item in items:
        q = questions()[int(item["question_id"][1:])]
        assert len(item["logprobs"]) == len(item["n_chars"]) == len(q.choices)
        assert item["n_chars"] == [len(text) for text in q.choices]
        assert item["labels"][item["answer"]] == q.labels[q.answer]
        assert item["chosen"] == int(np.argmax(item["logprobs"]))
        assert item["correct"] == (item["chosen"] == q.answer)
        per_character = np.divide(item["logprobs"], item["n_chars"])
        assert item["chosen_norm"] == int(np.argmax(per_character))
        assert item["prompt_sha256"] == f"sha{q.id}"


# ---------------------------------------------------------------------------------- both forms


@pytest.mark.parametrize(("schema", "make"), [(T02_GENERALIZATION, t02), (T03_ARC, t03)])
def test_both_forms_of_an_exported_table_hold_the_same(tmp_path, schema, make) -> None:
    """CSV read back by its schema equals Parquet, nulls, numbers and reasons alike."""
    table = schema.table(make())
    for write, name in ((write_table, "t.parquet"), (write_csv, "t.csv")):
        with (tmp_path / name).open("wb") as file:
            write(table, file)
    check_table(tmp_path / "t.parquet", [schema])
    assert read_csv(tmp_path / "t.csv", schema).equals(table)
