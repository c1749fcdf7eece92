"""An analysis is what the library gives on the same counts, and says what it cannot say."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import avalattice as av
from avalattice.analyze import Analysis, Options, analyze, analyze_counts
from avalattice.analyze.counts import GivenCounts
from avalattice.canon import AdjacencyId, SignatureId, WindowSet
from avalattice.errors import InputError
from avalattice.export.avalanche_rows import SIZE
from avalattice.export.schemas import (
    NULL_STATISTICS,
    T01_SUMMARY,
    T04_TAIL_FITS,
    T05_CRACKLING_DIAGNOSTICS,
)
from avalattice.lattice.branching import branching_from_sums, edge_sums
from avalattice.lattice.percolation import PERCOLATION_THRESHOLD, independent_sites
from avalattice.lattice.token_id_null import token_id_null_exact
from avalattice.rng import stream
from avalattice.stats.bootstrap import Resamples, percentile_interval
from avalattice.stats.tails import fit_tail
from tests.analyze.samples import GAINS, QUICK, planted_curve, rng, shuffled_within_windows
from tests.export.measured import unexplained

PROCESS = av.branching_raster((24, 10, 60), 0.3, 0.5, 0.03, rng())
TOKENS = rng(3).integers(0, 12, (24, 60))
ONE = analyze(PROCESS, token_ids=TOKENS, options=QUICK)
CURVE = planted_curve()
PLANTED = analyze(CURVE, gains=GAINS, options=QUICK)
CONTROL = analyze(shuffled_within_windows(CURVE), gains=GAINS, options=QUICK)


def row_of(analysis: Analysis) -> dict[str, Any]:
    """The only row of T01."""
    (row,) = analysis.summary.to_pylist()
    return row


def verdicts(analysis: Analysis) -> dict[str, str]:
    """Each signature's verdict."""
    return {entry.signature_id: entry.verdict for entry in analysis.signatures.entries}


# --------------------------------------------------------------------- numbers of the library


def test_the_summary_holds_the_librarys_numbers():
    """Branching, closed-form nulls, chi and gamma are those of direct calls, to the last bit."""
    row = row_of(ONE)
    ratios, null = av.branching(PROCESS), av.branching_null_exact(PROCESS)
    table = av.avalanches(PROCESS)
    assert row["b_time"] == float(ratios.b_time)
    assert row["b_depth_count"] == float(ratios.b_depth_count)
    assert row["b_depth_shift_exact"] == null.b_depth_shift
    assert row["delta_b_depth_shift_p_exact"] == null.p_depth_shift_exact
    assert row["chi"] == float(av.susceptibility(PROCESS).chi)
    assert row["n_avalanches"] == len(table)
    assert row["crackling_gamma"] == av.crackling(table.size, table.span_tokens).gamma
    assert row["occupancy"] == pytest.approx((PROCESS > 0).mean(), rel=1e-12)
    assert row["achieved_rate_mean"] == pytest.approx(PROCESS.mean(), rel=1e-12)


def test_intervals_are_those_of_windows_drawn_from_the_named_stream():
    """An interval of T01 is the percentile interval over resamples of the windows."""
    resamples = Resamples.draw(len(PROCESS), QUICK.bootstrap_reps, QUICK.rng("bootstrap"))
    replicates = branching_from_sums(resamples.sums(edge_sums(PROCESS).windows)).b_tot
    interval = percentile_interval(replicates)
    row = row_of(ONE)
    assert row["opt_b_tot_ci_low"] == float(interval.low)
    assert row["opt_b_tot_ci_high"] == float(interval.high)


def test_the_fits_are_the_librarys():
    """T04 holds what ``fit_tail`` gives on the sizes."""
    table = av.avalanches(PROCESS)
    fit = fit_tail(table.size)
    (row,) = [row for row in ONE.tail_fits.to_pylist() if row["variable"] == SIZE]
    assert (row["xmin"], row["alpha_powerlaw"], row["n_tail"]) == (fit.xmin, fit.alpha, fit.n_tail)
    assert row["llr_powerlaw_vs_lognormal"] == fit.comparisons["lognormal"].llr


def test_token_ids_add_their_null_and_their_absence_is_said():
    """With token ids the closed form of the exchange within them stands beside the others."""
    (row,) = ONE.null_statistics.to_pylist()
    null = token_id_null_exact(PROCESS, TOKENS)
    assert row["b_depth_token_id_exact"] == null.b_depth_token_id_exact
    assert row["b_depth_token_id_mean"] is not None
    (without,) = analyze(PROCESS, options=QUICK).null_statistics.to_pylist()
    assert without["b_depth_token_id_exact"] is None
    assert without["token_id_reason"] == "no token ids were given"
    assert without["b_depth_perm_mean"] == row["b_depth_perm_mean"]


def test_the_table_of_avalanches_has_every_avalanche_under_the_given_identifiers():
    """Rows are those of ``av.avalanches``; windows and conditions have the user's identifiers."""
    stack = np.stack([PROCESS, PROCESS[::-1]])
    given = GivenCounts.of(stack, cond_id=[8, 3], seq_id=range(100, 124))
    rows = list(analyze_counts(given, QUICK).avalanche_rows())
    table = av.avalanches(PROCESS)
    first = [row for row in rows if row["cond_id"] == 8]
    assert [row["size"] for row in first] == table.size.tolist()
    assert [row["seq_id"] for row in first] == (table.window + 100).tolist()
    assert {row["cond_id"] for row in rows} == {8, 3}


def test_nulls_are_drawn_from_streams_named_after_seed_condition_and_null():
    """One draw of T01 can be drawn again by name; equal counts of two conditions are not."""
    name = ("none", "none", "counts", "counts", Decimal("1.0"), "MLP_GLOBAL")
    null_id = "NULL_RASTER_WITHIN_LAYER_TIME_PERM"
    drawn = [
        av.permutation_null(window, stream(QUICK.seed, "analyze", *name, null_id, n))
        for n, window in enumerate(PROCESS)
    ]
    assert row_of(ONE)["b_depth_perm"] == float(av.branching(np.stack(drawn)).b_depth)
    twins = analyze(np.stack([PROCESS, PROCESS]), options=QUICK).summary.to_pylist()
    assert twins[0]["b_depth"] == twins[1]["b_depth"]
    assert twins[0]["b_depth_perm"] != twins[1]["b_depth_perm"]


def test_other_options_give_other_numbers():
    """The adjacency and the denominator reach the tables."""
    eight = analyze(PROCESS, options=replace(QUICK, adjacency=AdjacencyId.ADJ_8N))
    assert row_of(eight)["n_avalanches"] == len(av.avalanches(PROCESS, "ADJ_8N"))
    assert row_of(eight)["adjacency_id"] == "ADJ_8N"
    every = analyze(PROCESS, options=replace(QUICK, denominator="all_sites"))
    expected = av.branching(PROCESS, denominator="all_sites")
    assert row_of(every)["b_tot"] == float(expected.b_tot)


WRONG_OPTIONS = {
    "bootstrap_reps": (99, "bootstrap_reps must be at least 100, found 99"),
    "gof_reps": (-1, "gof_reps must be at least 0"),
    "null_replicates": (0, "null_replicates must be at least 1"),
    "adjacency": ("ADJ_6N", "adjacency must be ADJ_4N or ADJ_8N, found 'ADJ_6N'"),
    "denominator": ("edges", "denominator must be valid_edges or all_sites"),
}


@pytest.mark.parametrize("name", WRONG_OPTIONS)
def test_options_out_of_range_are_refused(name):
    """The message names the option, what is allowed and what was found."""
    value, message = WRONG_OPTIONS[name]
    with pytest.raises(InputError, match=message):
        analyze(PROCESS, options=Options(**{name: value}))


# ------------------------------------------------------------------------------------ identity


def test_the_identifier_is_a_digest_of_counts_and_options():
    """Any change of counts, gains, token ids or options changes it; doing it again does not."""
    changed = PROCESS.copy()
    changed[0, 0, 0] += 1
    same = analyze(PROCESS, token_ids=TOKENS, options=QUICK)
    others = [
        analyze(changed, token_ids=TOKENS, options=QUICK),
        analyze(PROCESS, options=QUICK),
        analyze(PROCESS, token_ids=TOKENS + 1, options=QUICK),
        analyze(PROCESS[None], token_ids=TOKENS, gains=[1.0], options=QUICK),
        analyze(X=PROCESS > 0, token_ids=TOKENS, options=QUICK),
        analyze(PROCESS, token_ids=TOKENS, options=replace(QUICK, seed=2)),
    ]
    assert same.run_id == ONE.run_id
    assert same.summary.equals(ONE.summary)
    assert same.null_statistics.equals(ONE.null_statistics)
    assert len({ONE.run_id, *(other.run_id for other in others)}) == 1 + len(others)


def test_rows_say_where_they_come_from():
    """Provenance: no model, no dataset, the counts' own name, events per site."""
    row = row_of(ONE)
    assert (row["stage_id"], row["model_id"]) == ("analyze", "counts")
    assert (row["model_role"], row["dataset_role"]) == ("none", "none")
    assert (row["spike_def_id"], row["target_label"]) == ("counts", "counts")
    assert row["tau0_baseline"] is None
    assert "no model was run" in row["tokshuffle_reason"]


def test_given_arrays_stay_as_they_are():
    """Counts are not written to, nor need they be writeable."""
    counts = PROCESS.astype(np.uint16)
    counts.setflags(write=False)
    assert analyze(counts, token_ids=TOKENS, options=QUICK).run_id == ONE.run_id


def test_the_order_of_conditions_changes_no_number():
    """A condition's row depends on its gain, not on its place in the file."""
    order = [2, 0, 1]
    stack, gains = CURVE[[2, 5, 8], :24], [GAINS[c] for c in (2, 5, 8)]
    ordered = analyze(stack, gains=gains, options=QUICK)
    mixed = analyze(stack[order], gains=[gains[c] for c in order], options=QUICK)
    dropped = ("run_id",)
    by_gain = [
        sorted(
            (
                {name: value for name, value in row.items() if name not in dropped}
                for row in analysis.summary.to_pylist()
            ),
            key=lambda row: row["g"],
        )
        for analysis in (ordered, mixed)
    ]
    assert by_gain[0] == by_gain[1]
    assert ordered.choice == mixed.choice
    assert ordered.signatures.entries == mixed.signatures.entries


# ------------------------------------------------------------------------- curves and verdicts


def test_a_planted_curve_supports_the_branching_crossing():
    """S1 is supported near the known crossing, and says that g* was chosen on the same windows."""
    assert PLANTED.window_set is WindowSet.CALIBRATION
    assert verdicts(PLANTED)[SignatureId.S1_BRANCHING_CROSSING] == "supported"
    assert PLANTED.choice.identifiable
    known = samples_crossing()
    assert PLANTED.choice.crossing_ci_low < known < PLANTED.choice.crossing_ci_high
    assert all("on these same windows" in entry.reason for entry in PLANTED.signatures.entries)
    assert any("on these same windows" in note for note in PLANTED.notes)
    assert "on these same windows" in PLANTED.gstar.criterion


def samples_crossing() -> float:
    """The gain at which the expected b_tot of the planted curve is one."""
    from tests.analyze.samples import PLANTED as PROCESS_OF_GAIN

    return PROCESS_OF_GAIN.crossing(float(GAINS[0]), float(GAINS[-1]))


def test_gains_shuffled_within_windows_support_no_signature_of_the_curve():
    """Control: where the gain does nothing, no g* is identifiable, and S1 and S2 do not hold."""
    assert not CONTROL.choice.identifiable
    of_curve = (SignatureId.S1_BRANCHING_CROSSING, SignatureId.S2_SUSCEPTIBILITY_PEAK)
    assert "supported" not in {verdicts(CONTROL)[name] for name in of_curve}


def test_percolation_supports_no_signature():
    """Independent sites at p_c: tails fit, gamma passes its gates, and all is as in the nulls."""
    p_c = PERCOLATION_THRESHOLD[AdjacencyId.ADJ_4N]
    sites = independent_sites((40, 30, 128), p_c, rng(6))
    found = analyze(X=sites, options=replace(QUICK, avalanche_replicates=5))
    assert row_of(found)["crackling_reason"] is None
    assert [row["status"] for row in found.tail_fits.to_pylist()] == ["ok", "ok"]
    assert "supported" not in verdicts(found).values()
    assert verdicts(found)[SignatureId.S3_CRACKLING_RELATION] == "not_supported"
    assert found.signatures.percolation[0].near


def test_without_gains_only_the_crackling_relation_can_be_assessed():
    """S1 and S2 of each condition are not assessable, for want of gains; S3 is judged."""
    found = analyze(np.stack([PROCESS, PROCESS]), options=QUICK)
    assert found.gstar is None
    assert [entry.target_label for entry in found.signatures.entries[::3]] == [
        "condition 0",
        "condition 1",
    ]
    for entry in found.signatures.entries:
        curve = entry.signature_id != SignatureId.S3_CRACKLING_RELATION
        assert ("no gains were given" in entry.reason) == curve
        assert not curve or entry.verdict == "not_assessable"


def test_rates_that_differ_between_gains_show():
    """The error columns are zero of a single condition, and tell of unequal rates on a curve."""
    names = ("achieved_rate_max_abs_err", "achieved_rate_max_event_err")
    assert [row_of(ONE)[name] for name in names] == [0, 0]
    loud = np.stack([PROCESS, 3 * PROCESS])
    rows = analyze(loud, gains=[0.9, 1.1], options=QUICK).summary.to_pylist()
    expected = PROCESS.mean(axis=(0, 2)).max()  # half of the difference between the two gains
    for row in rows:
        assert row["achieved_rate_max_abs_err"] == pytest.approx(expected)
        assert row["target_rate"] == pytest.approx(2 * PROCESS.mean())


def test_a_window_of_too_many_avalanches_is_a_note_here():
    """More components than the pipeline allows are told of, and analysed all the same."""
    board = np.indices((202, 202)).sum(axis=0) % 2
    found = analyze(board[None], options=QUICK)
    assert row_of(found)["n_avalanches"] == 202**2 // 2
    assert "a window has 20402 avalanches, more than the 20000" in " ".join(found.notes)


def test_few_windows_are_flagged():
    """Fewer windows than FEW_WINDOWS are flagged in rows and notes; enough are not."""
    assert row_of(analyze(PROCESS[:19], options=QUICK))["few_windows"]
    assert any(note.startswith("few windows: 19") for note in few_notes(19))
    assert not row_of(analyze(PROCESS[:20], options=QUICK))["few_windows"]
    assert few_notes(20) == ()


def few_notes(n_windows: int) -> tuple[str, ...]:
    """The notes on an analysis of so many windows."""
    return analyze(PROCESS[:n_windows], options=QUICK).notes


# ----------------------------------------------------------------------------- degenerate counts

DEGENERATE = {
    "silent": np.zeros((5, 6, 7), int),
    "saturated": np.ones((5, 6, 7), int),
    "constant layers": np.broadcast_to((np.arange(6) % 2)[None, :, None], (5, 6, 7)),
    "one window": rng(1).integers(0, 2, (1, 6, 7)),
    "one layer": rng(2).integers(0, 2, (5, 1, 7)),
    "one token": rng(3).integers(0, 2, (5, 6, 1)),
    "one site": np.ones((1, 1, 1), int),
    "one event": np.eye(1, 42, dtype=int).reshape(1, 6, 7),
    "equal windows": np.stack([rng(4).integers(0, 2, (6, 7))] * 2),
    "one busy window": rng(7).integers(0, 2, (12, 6, 40)) * (np.arange(12) == 3)[:, None, None],
    "one silent window": np.stack([np.zeros((6, 7), int), rng(5).integers(0, 3, (6, 7))]),
    "huge counts": rng(6).integers(0, 10**9, (5, 6, 7)),
}


@pytest.mark.parametrize("form", ["alone", "one gain", "two gains", "token ids"])
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_counts_give_reasons_and_no_errors(case, form):
    """Undefined numbers are null with a reason beside them, whatever is undefined."""
    A = DEGENERATE[case]
    given = {
        "alone": {"A": A},
        "one gain": {"A": A[None], "gains": [1.0]},
        "two gains": {"A": np.stack([A, A]), "gains": [0.9, 1.1]},
        "token ids": {"A": A, "token_ids": np.zeros(A.shape[::2], int)},
    }
    found = analyze(**given[form], options=QUICK)
    row = found.summary.to_pylist()[0]
    reasons = {
        "b_tot": "branching_reason",
        "delta_b_depth_shift": "null_reason",
        "chi": "chi_reason",
        "b_depth_mr": "b_depth_mr_reason",
        "crackling_gamma": "crackling_reason",
        "avalanche_size_mean": "avalanche_reason",
    }
    for name, reason in reasons.items():
        assert row[name] is not None or row[reason], name
    for fit in found.tail_fits.to_pylist():
        assert fit["status"] == "ok" or fit["reason"]
        assert set(unexplained(T04_TAIL_FITS, fit)) <= {"xmax"}
    for table, schema in (
        (found.crackling, T05_CRACKLING_DIAGNOSTICS),
        (found.null_statistics, NULL_STATISTICS),
    ):
        assert [name for row in table.to_pylist() for name in unexplained(schema, row)] == []
    given_counts = {"tau0_baseline", "rate_match_tol_abs"}
    assert set(unexplained(T01_SUMMARY, row)) <= given_counts
    assert all(entry.reason for entry in found.signatures.entries)
    assert "supported" not in verdicts(found).values()


def test_a_gain_of_zero_is_a_gain():
    """g* may be zero: it is a choice, not the absence of one."""
    flat = np.ones((2, 4, 3, 6), int)
    flat[1, :, :, ::2] = 0
    found = analyze(flat[::-1], gains=[0, 2.0], options=QUICK)
    assert found.choice.gain == Decimal(0)
    assert not math.isnan(found.choice.b_tot)


# -------------------------------------------------------------------- what a fresh process loads


def test_the_analysis_imports_no_torch():
    """A fresh interpreter analyses counts without torch, transformers or matplotlib."""
    code = (
        "import sys, numpy as np, avalattice.analyze as a\n"
        "o = a.Options(bootstrap_reps=100, null_replicates=1, avalanche_replicates=1, gof_reps=0)\n"
        "a.analyze(np.eye(6, dtype=int)[None], options=o)\n"
        "assert 'numba' in sys.modules  # control: what is loaded is seen\n"
        "sys.exit(not {'torch', 'transformers', 'matplotlib'}.isdisjoint(sys.modules))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
