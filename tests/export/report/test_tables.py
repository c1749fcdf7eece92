"""Tables of the report: short text in front, the exact value or the reason behind it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from avalattice.canon import WindowSet
from avalattice.export import schemas
from avalattice.export.report.columns import CHOICES, TABLE_WORDS, TableWords, reason_column
from avalattice.export.report.tables import (
    DASH,
    build_table,
    interval_texts,
    number_text,
)
from tests.report_rows import some_row

WORDS = TABLE_WORDS[schemas.T01_SUMMARY.name]


def t01(**given) -> dict[str, object]:
    """A row of T01."""
    return some_row(schemas.T01_SUMMARY, np.random.default_rng(0), **given)


def shown(rows, words: TableWords = WORDS) -> list[dict[str, object]]:
    """The table's rows as cells by the name of their column."""
    table = build_table(words, rows)
    names = [heading.meaning.split(":")[0] for heading in table.headings]
    assert len(set(names)) == len(names)
    return [dict(zip(names, row, strict=True)) for row in table.rows]


@pytest.mark.parametrize("name", TABLE_WORDS)
def test_leading_columns_are_columns(name):
    """Every leading column, and the ends of every bracket, stand in the table's schema."""
    words = TABLE_WORDS[name]
    known = {column.name for column in words.schema.columns}
    for lead in words.leads:
        assert {lead.name, *filter(None, (lead.low, lead.high))} <= known
        assert bool(lead.low) == bool(lead.high)
    assert len({lead.name for lead in words.leads}) == len(words.leads)


def test_every_exported_table_has_words():
    """T01 to T07 are shown, and the choices, null statistics and measures beside them."""
    others = {CHOICES.name, schemas.NULL_STATISTICS.name, schemas.METRICS.name}
    assert set(TABLE_WORDS) == {schema.name for schema in schemas.TABLES} | others


@pytest.mark.parametrize("name", TABLE_WORDS)
def test_every_column_is_shown_once(name):
    """After the leading columns come all others but lists, those of provenance last."""
    words = TABLE_WORDS[name]
    row = some_row(words.schema, np.random.default_rng(0))
    table = build_table(words, [row, row | {"model_role": "another"}])
    names = [heading.meaning.split(":")[0] for heading in table.headings]
    plain = [c.name for c in words.schema.columns if not pa.types.is_list(c.type)]
    assert sorted(names) == sorted(plain)
    assert names[: table.n_leads] == [lead.name for lead in words.leads]
    provenance = "run_id stage_id model_id dataset_role config_hash code_version".split()
    assert [name for name in names[-7:] if name != "model_role"][-6:] == provenance


def test_the_model_s_role_leads_where_there_are_two():
    """With one model its column stands among the others."""
    one = build_table(WORDS, [t01(), t01(g=2.0)])
    two = build_table(WORDS, [t01(model_role="BASE"), t01(model_role="INSTRUCT")])
    assert two.n_leads == one.n_leads + 1
    assert two.headings[0].text == "model"
    assert [row[0].text for row in two.rows] == ["INSTRUCT", "BASE"]


def test_held_out_rows_come_first():
    """Rows of held-out windows stand before those in sample; order is kept otherwise."""
    sets = [WindowSet.CALIBRATION, WindowSet.RASTER, WindowSet.CALIBRATION, WindowSet.RASTER]
    rows = shown([t01(window_set=str(of), g=float(n)) for n, of in enumerate(sets)])
    assert [row["g"].text for row in rows] == ["1.0", "3.0", "0.0", "2.0"]
    assert [row["window_set"].text for row in rows][::3] == ["held out", "in sample"]
    assert rows[0]["window_set"].full == "raster"


def test_numbers_are_short_and_exact_behind():
    """A float has four digits and its exact value behind; settings stand as they are."""
    (row,) = shown([t01(b_tot_perm=0.123456789, g=1.15, target_label="1e-5", n_avalanches=12345)])
    assert (row["b_tot_perm"].text, row["b_tot_perm"].full) == ("0.1235", "0.123456789")
    assert (row["g"].text, row["g"].full) == ("1.15", "")
    assert row["target_label"].text == "1e-5"
    assert (row["n_avalanches"].text, row["n_avalanches"].full) == ("12,345", "12345")


def test_an_interval_stands_behind_its_number():
    """In brackets, with digits that its width bears; the exact ends behind."""
    given = {"b_tot": 1.04244, "opt_b_tot_ci_low": 1.0012, "opt_b_tot_ci_high": 1.0911}
    cell = shown([t01(**given)])[0]["b_tot"]
    assert (cell.text, cell.note) == ("1.042", "[1.001, 1.091]")
    assert cell.full == "1.04244 [1.0012, 1.0911]"
    without = shown([t01(**given | {"opt_b_tot_ci_low": None})])[0]["b_tot"]
    assert (without.text, without.note) == ("1.042", "")


def test_a_dash_says_why():
    """An undefined number has the reason of its own column behind, not another's."""
    reasons = {
        "chi_reason": "one window",
        "null_reason": "no ancestors",
        "branching_reason": "nothing fires",
    }
    (row,) = shown([t01(chi=None, delta_b_time=None, b_depth_mr=None, **reasons)])
    assert {row[n].text for n in ("chi", "delta_b_time", "b_depth_mr")} == {DASH}
    assert row["chi"].full == "one window"
    assert row["delta_b_time"].full == "no ancestors"
    assert "no reason" in row["b_depth_mr"].full
    assert row["b_depth_mr_reason"].full == "nothing is wrong"
    assert row["chi"].is_null
    assert not row["b_tot"].is_null


def test_a_second_column_may_say_why_too():
    """Of a tail fit that is ok, a dash has the reason of single numbers behind it."""
    words = TABLE_WORDS[schemas.T04_TAIL_FITS.name]
    for reason, further, said in (
        (None, "no replicates", "no replicates"),
        ("one value", None, "one value"),
        ("one value", "no replicates", "one value; no replicates"),
    ):
        given = {"ks_p": None, "reason": reason, "parameters_reason": further}
        row = some_row(schemas.T04_TAIL_FITS, np.random.default_rng(0), **given)
        assert shown([row], words)[0]["ks_p"].full == said


SAID_ELSEWHERE = {"excluded", "tau0_baseline", "rate_match_tol_abs"}
"""Columns whose meaning says when they are undefined."""


@pytest.mark.parametrize("name", TABLE_WORDS)
def test_every_number_that_may_be_undefined_has_a_reason_column(name):
    """Of each nullable number of each table, some column may say why there is none."""
    columns = TABLE_WORDS[name].schema.columns
    known = frozenset(column.name for column in columns)
    numbers = {c.name for c in columns if c.nullable and not c.name.endswith("reason")}
    assert {name for name in numbers if not reason_column(name, known)} <= SAID_ELSEWHERE


def test_flags_and_ids_are_words():
    """yes and no for truth, short words for ids with the id behind."""
    (row,) = shown([t01(few_windows=True, spike_def_id="SPIKE_TWO_SIDED_ABS")])
    assert row["few_windows"].text == "yes"
    assert row["spike_def_id"].text == "two-sided (|z| > τ)"
    assert row["spike_def_id"].full == "SPIKE_TWO_SIDED_ABS"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1e-3, "0.001"),
        (9.99e-4, "1.0e-3"),
        (-2.5e-7, "−2.5e-7"),
        (999.96, "1,000"),
        (1000.4, "1,000"),
        (-12345.6, "−12,346"),
        (7, "7"),
        (-1234, "−1,234"),
        (float("inf"), "inf"),
    ],
)
def test_number_text(value, text):
    """Four digits, thousands set off, an exponent below a thousandth, a true minus sign."""
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((0.5, 0.45, 0.55), ("0.50", "0.45", "0.55")),
        ((0.0004, -0.0316, 0.0301), ("0.000", "−0.032", "0.030")),
        ((1, 1, 1), ("1", "1", "1")),
        ((1234.5, 100.0, 9000.0), ("1,234", "100", "9,000")),
        ((1e-9, 0.0, 2e-9), ("1.0e-9", "0", "2.0e-9")),
    ],
)
def test_interval_texts(numbers, texts):
    """Two digits of the width; as single numbers where it has none or is tiny; no minus zero."""
    assert interval_texts(*numbers) == texts
