"""Rows of avalanches, tail fits and the crackling relation: the statistics under their names."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from avalattice.canon import WindowSet
from avalattice.export.avalanche_rows import (
    SIZE,
    SPAN,
    avalanche_rows,
    crackling_row,
    description_columns,
    fitted_columns,
    interval_columns,
    tail_rows,
)
from avalattice.export.schemas import AVALANCHES, T04_TAIL_FITS, T05_CRACKLING_DIAGNOSTICS
from avalattice.lattice.avalanches import avalanches
from avalattice.stats.avalanche_nulls import NullExponent
from avalattice.stats.bootstrap import Interval
from avalattice.stats.scaling import crackling
from avalattice.stats.tail_laws import Family
from avalattice.stats.tails import fit_tail
from tests.export.measured import RASTERS, Measured, measured, unexplained
from tests.export.results import PROVENANCE

RIVALS = ("exponential", "lognormal", "truncated_powerlaw")


def shared(found: Measured) -> dict:
    """What T04's and T05's rows begin and end with."""
    return fitted_columns(
        PROVENANCE, WindowSet.RASTER, found.condition, found.described, found.resamples
    )


def tails(found: Measured) -> dict[str, dict]:
    """T04's validated rows by variable."""
    made = tail_rows(shared(found), found.avalanches.statistics, found.avalanches.null)
    return {row["variable"]: row for row in T04_TAIL_FITS.table(made).to_pylist()}


def crackled(found: Measured, **changes) -> dict:
    """T05's validated row."""
    report = dataclasses.replace(found.avalanches, **changes)
    made = crackling_row(shared(found), report.statistics, report.null, report.whole_tokens)
    (row,) = T05_CRACKLING_DIAGNOSTICS.table([made]).to_pylist()
    return row


def listed(found: Measured, cond_id: int = 4) -> list[dict]:
    """The validated rows of the table of avalanches."""
    return AVALANCHES.table(avalanche_rows(PROVENANCE, cond_id, found.described)).to_pylist()


# ----------------------------------------------------------------------------- the avalanches


@pytest.mark.parametrize("adjacency", ["ADJ_4N", "ADJ_8N"])
def test_every_avalanche_has_a_row_and_sizes_add_up_to_all_events(adjacency):
    """Rows are the table's, window by window, and ΣS = ΣA of each window."""
    found = measured(adjacency=adjacency)
    rows, table = listed(found), avalanches(found.A, adjacency)
    assert len(rows) == len(table)
    assert {row["cond_id"] for row in rows} == {4}
    assert {row["adjacency_id"] for row in rows} == {adjacency}
    for name in ("size", "n_sites", "span_tokens", "l_max", "t_min", "touches_border"):
        assert [row[name] for row in rows] == getattr(table, name).tolist()
    assert [row["seq_id"] for row in rows] == table.window.tolist()
    by_window = np.zeros(len(found.A), int)
    np.add.at(by_window, [r["seq_id"] for r in rows], [r["size"] for r in rows])
    np.testing.assert_array_equal(by_window, found.A.sum(axis=(1, 2)))
    assert {row["span_tokens"] == row["t_max"] - row["t_min"] + 1 for row in rows} == {True}


def test_adjacencies_give_other_rows():
    """Control: eight neighbours join what four part."""
    assert len(listed(measured(adjacency="ADJ_8N"))) < len(listed(measured()))


def test_a_silent_raster_has_no_avalanches():
    """No row, and a description of none with its reason."""
    assert listed(measured("silent")) == []
    columns = description_columns(measured("silent").described)
    assert columns["n_avalanches"] == 0
    assert math.isnan(columns["avalanche_size_mean"])
    assert columns["avalanche_reason"] == "no site is occupied, so there is no avalanche"


def test_a_description_has_the_columns_of_t01():
    """Numbers, means and gamma with its interval, each under its name."""
    found = measured()
    columns, table = description_columns(found.described), avalanches(found.A)
    gamma = found.described.crackling
    assert columns == {
        "n_avalanches": len(table),
        "avalanche_size_mean": table.size.mean(),
        "avalanche_size_median": np.median(table.size),
        "avalanche_span_tokens_mean": table.span_tokens.mean(),
        "avalanche_span_layers_mean": table.span_layers.mean(),
        "avalanche_reason": None,
        "adjacency_id": "ADJ_4N",
        "crackling_gamma": gamma.gamma,
        "crackling_ci_low": float(gamma.interval.low),
        "crackling_ci_high": float(gamma.interval.high),
        "crackling_reason": gamma.reason or None,
    }


def test_intervals_become_two_columns():
    """The ends under their names; NaN where there is no interval."""
    ends = interval_columns("b", Interval(np.array(1.0), np.array(2.5)))
    assert ends == {"b_ci_low": 1.0, "b_ci_high": 2.5}
    assert all(math.isnan(end) for end in interval_columns("b", None).values())


# ---------------------------------------------------------------------------------- tail fits


def test_both_variables_of_a_condition_have_a_row():
    """Sizes and token spans, with the key columns of T01's raster row."""
    found = measured(gain="0.85")
    rows = tails(found)
    assert list(rows) == [SIZE, SPAN] == ["size", "span_tokens"]
    for row in rows.values():
        key = ("window_set", "spike_def_id", "target_label", "g", "n_sequences", "few_windows")
        assert [row[name] for name in key] == [
            "raster",
            found.condition.spike_def_id,
            "1e-3",
            0.85,
            len(found.A),
            False,
        ]


@pytest.mark.parametrize(("variable", "xmax"), [(SIZE, None), (SPAN, 64)])
def test_a_tail_row_is_the_fit_of_its_variable(variable, xmax):
    """Sizes have no largest value, spans end at T; rivals and comparisons have their columns."""
    found = measured()
    row = tails(found)[variable]
    fit = fit_tail(getattr(avalanches(found.A), variable), xmax=xmax)
    assert row["xmax"] == xmax
    for name in ("xmin", "n_samples", "n_tail", "decades", "ks", "status", "lognorm_mu"):
        assert row[name] == getattr(fit, name)
    assert row["alpha_powerlaw"] == fit.alpha
    assert row["best_family"] == fit.best_family
    assert row["reason"] == (fit.reason or None)
    for family in ("powerlaw", *RIVALS):
        assert row[f"ll_{family}"] == fit.fits[family].loglik
    for rival in RIVALS:
        assert row[f"llr_powerlaw_vs_{rival}"] == fit.comparisons[rival].llr
        assert row[f"p_powerlaw_vs_{rival}"] == fit.comparisons[rival].p
    assert row["alpha_ci_low"] <= row["alpha_powerlaw"] <= row["alpha_ci_high"]
    assert row["ks_p"] in (1 / 3, 2 / 3, 1.0)  # of two replicates


def test_tail_rows_stand_beside_the_exponent_of_permuted_rows():
    """alpha of permuted rasters, of the same variable, with the range of the draws."""
    found = measured()
    null = found.avalanches.null
    for variable, exponent in ((SIZE, null.alpha_size), (SPAN, null.alpha_span)):
        row = tails(found)[variable]
        assert row["alpha_null_perm"] == exponent.mean
        ends = row["alpha_null_perm_low"], row["alpha_null_perm_high"]
        assert ends == exponent.range
        assert ends[0] <= row["alpha_null_perm"] <= ends[1]
    assert null.alpha_size.mean != null.alpha_span.mean


# ---------------------------------------------------------------------------------- crackling


def test_a_crackling_row_is_the_relation_of_its_avalanches():
    """gamma with its gates, the predicted one, their difference, and the collapse."""
    found = measured()
    row, table, statistics = crackled(found), avalanches(found.A), found.avalanches.statistics
    direct = crackling(
        table.size,
        table.span_tokens,
        window=table.window,
        touches_border=table.touches_border,
        resamples=found.resamples,
    )
    assert row["crackling_gamma"] == direct.gamma
    assert row["crackling_ci_low"] == float(direct.interval.low)
    width = row["crackling_ci_high"] - row["crackling_ci_low"]
    assert row["crackling_ci_width"] == pytest.approx(width, rel=1e-12)
    for name in ("n_duration_points", "n_avalanches_used", "r2", "gamma_interior"):
        assert row[name] == getattr(direct, name)
    inside = ~table.touches_border
    assert row["border_event_share"] == pytest.approx(1 - table.size[inside].sum() / found.A.sum())
    alpha = {variable: tail["alpha_powerlaw"] for variable, tail in tails(found).items()}
    predicted = (alpha[SPAN] - 1) / (alpha[SIZE] - 1)
    assert row["gamma_pred"] == pytest.approx(predicted, rel=1e-12)
    assert row["dcc_signed"] == pytest.approx(row["crackling_gamma"] - predicted, rel=1e-9)
    assert row["dcc"] == abs(row["dcc_signed"])
    assert row["collapse_error"] == statistics.collapse.error
    assert row["shape_skew"] == statistics.collapse.skewness
    assert row["pass"] is direct.passed


def test_a_crackling_row_stands_beside_both_nulls():
    """gamma of permuted rows and of permuted tokens are not mixed up."""
    found = measured()
    row, report = crackled(found), found.avalanches
    assert row["gamma_null_perm"] == report.null.gamma.mean
    assert row["gamma_null_tokens"] == report.whole_tokens.gamma.mean
    tokens = row["gamma_null_tokens_low"], row["gamma_null_tokens_high"]
    assert tokens == report.whole_tokens.gamma.range
    swapped = crackled(found, null=report.whole_tokens, whole_tokens=report.null)
    assert swapped["gamma_null_perm"] == row["gamma_null_tokens"] != row["gamma_null_perm"]


@pytest.mark.parametrize("name", RASTERS)
def test_degenerate_rasters_have_rows_with_reasons(name):
    """Whatever the raster, the rows meet their schemas, and undefined numbers say why."""
    found = measured(name)
    rows = tails(found)
    assert unexplained(T05_CRACKLING_DIAGNOSTICS, crackled(found)) == []
    for row in rows.values():
        missing = unexplained(T04_TAIL_FITS, row)
        assert [name for name in missing if name != "xmax"] == []
        assert (row["status"] == "ok") == (row["reason"] is None)
    n = {row["n_samples"] for row in rows.values()}
    assert n == {len(listed(found))}
    if name != "planted":
        assert not crackled(found)["pass"]


@pytest.mark.parametrize("name", ["one window", "one busy window"])
def test_intervals_that_too_few_resamples_define_say_so(name):
    """Exponents of a single window that has events stand without ends, and fail their gates."""
    row, found = crackled(measured(name)), tails(measured(name))
    assert row["crackling_gamma"] is not None
    assert row["crackling_ci_low"] is row["crackling_ci_width"] is row["dcc_signed_ci_low"] is None
    assert not row["pass"]
    why = "one window cannot be resampled" if name == "one window" else "replicates are defined"
    assert row["reason"].count(why) == 2
    for tail in found.values():
        assert tail["alpha_powerlaw"] is not None
        assert tail["alpha_ci_low"] is tail["alpha_ci_high"] is None
        assert "no interval of alpha" in tail["parameters_reason"]


def test_a_tail_that_is_ok_says_why_a_number_is_undefined():
    """A log-normal at its limit, no goodness of fit, and undefined null draws, each in words."""
    found = measured()
    statistics, null = found.avalanches.statistics, found.avalanches.null
    tail, whole = statistics.size_tail, dataclasses.replace(null.alpha_size, reason="")
    no_draw = NullExponent(np.array([math.nan, 1.5, math.nan]), "undefined in 2 of 3 null draws")
    at_limit = dict(tail.fit.fits)
    at_limit[Family.LOGNORMAL] = dataclasses.replace(
        at_limit[Family.LOGNORMAL],
        parameters={"mu": math.nan, "sigma": math.nan},
        reason="likeliest in its power-law limit",
    )
    for fit, exponent, said, missing in (
        ({}, whole, None, set()),
        ({"fits": at_limit}, whole, "lognormal: likeliest in", {"lognorm_mu", "lognorm_sigma"}),
        ({"ks_p": math.nan}, whole, "no ks_p: no replicates of the goodness", {"ks_p"}),
        (
            {},
            no_draw,
            "alpha_null_perm is undefined in 2 of 3 null draws",
            {"alpha_null_perm", "alpha_null_perm_low", "alpha_null_perm_high"},
        ),
    ):
        changed = dataclasses.replace(tail, fit=dataclasses.replace(tail.fit, **fit))
        row, _ = tail_rows(
            shared(found),
            dataclasses.replace(statistics, size_tail=changed),
            dataclasses.replace(null, alpha_size=exponent),
        )
        (row,) = T04_TAIL_FITS.table([row]).to_pylist()
        assert (row["status"], row["reason"]) == ("ok", None)
        assert {name for name, value in row.items() if value is None} == missing | {
            "reason",
            "xmax",
            *(() if said else ("parameters_reason",)),
        }
        assert (row["parameters_reason"] or "").startswith(said or "")
        assert unexplained(T04_TAIL_FITS, row) == ["xmax"] * (said is None)


def test_without_avalanches_inside_the_border_gamma_interior_says_so():
    """One layer lies at the border with all of its avalanches."""
    row = crackled(measured("one layer"))
    assert row["crackling_gamma"] is not None
    assert row["gamma_interior"] is None
    assert "gamma_interior is undefined: too few" in row["reason"]
    assert "gamma_interior" not in (crackled(measured())["reason"] or "")


def test_a_null_without_gamma_says_so():
    """Where no draw has a gamma, the reason names which draws."""
    found = measured()
    silent = measured("silent").avalanches
    row = crackled(found, null=silent.null)
    assert row["gamma_null_perm"] is None
    assert row["reason"].endswith("gamma of permuted rows is undefined in 3 of 3 null draws")
    tokens = crackled(found, whole_tokens=silent.whole_tokens)
    assert "gamma of permuted tokens is undefined in 3 of 3" in tokens["reason"]
    some = NullExponent(np.array([1.2, math.nan, 1.3]), "undefined in 1 of 3 null draws")
    partly = crackled(found, null=dataclasses.replace(found.avalanches.null, gamma=some))
    assert partly["gamma_null_perm"] == pytest.approx(1.25)
    assert "gamma of permuted rows is undefined in 1 of 3 null draws" in partly["reason"]
