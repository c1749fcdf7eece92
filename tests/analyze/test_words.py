"""The summary for a person: every number beside what it must be read with."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

import avalattice as av
from avalattice.analyze import analyze
from avalattice.analyze.words import WIDTH, summary_text
from avalattice.canon import AdjacencyId
from avalattice.lattice.percolation import PERCOLATION_THRESHOLD, independent_sites
from tests.analyze.samples import GAINS, QUICK, planted_curve, rng, shuffled_within_windows

PROCESS = av.branching_raster((24, 10, 60), 0.3, 0.5, 0.03, rng())
ALONE = summary_text(analyze(PROCESS, options=replace(QUICK, gof_reps=3)))
CURVE = analyze(planted_curve(), gains=GAINS, options=QUICK)
ON_CURVE = summary_text(CURVE)


def line_of(text: str, name: str) -> str:
    """The line of a condition that begins with a name, and what is wrapped under it."""
    found = re.search(rf"^  {name} .*(?:\n {{6,}}.*)*", text, re.MULTILINE)
    assert found, name
    return " ".join(found[0].split())


def test_ratios_stand_beside_their_nulls_and_occupancy_beside_the_threshold():
    """b and its null, with intervals and p; p and p_c; gamma and that of permuted rasters."""
    ratios, null = av.branching(PROCESS), av.branching_null_exact(PROCESS)
    time, depth = line_of(ALONE, "b_time"), line_of(ALONE, "b_depth")
    assert f"{float(ratios.b_time):.3f} [" in time
    assert f"permuted {null.b_time:#.3g}" in time
    assert f"shifted {null.b_depth_shift:#.3g}" in depth
    assert re.search(r"surplus 0\.\d+ \[.*\], p (= \S+|< 1e-99)$", depth)
    assert re.search(r"p_c = 0\.593, 0\.\d+ below it$", line_of(ALONE, "occupancy p"))
    assert re.search(r"permuted rows \S+, permuted tokens \S+", line_of(ALONE, "gamma"))


def test_tails_stand_with_family_and_status():
    """Each tail says alpha, its null, the best family, the KS p and whether it can be used."""
    for name in ("size tail", "span tail"):
        line = line_of(ALONE, name)
        assert re.search(r"alpha \S+ \[\S+, \S+\], permuted \S+", line)
        assert "best family " in line
        assert "KS p = " in line
        assert line.endswith("; ok") or "not assessable" in line


def test_an_exponent_that_null_draws_lack_says_why():
    """Permuted rasters of few avalanches have no tail to be fitted, which the line says."""
    few = line_of(summary_text(analyze(PROCESS[:1], options=QUICK)), "size tail")
    assert "permuted undefined" in few
    assert re.search(r"alpha_null_perm is undefined in \d+ of \d+ null draws: a tail needs", few)
    assert "alpha_null_perm" not in line_of(ALONE, "size tail")


def test_multistep_regression_stands_with_what_raises_it():
    """Loud tokens alone bring b_depth_mr to one: the caution stands beside the number."""
    loud = rng(4).poisson(np.repeat(rng(5).gamma(1, 1, (24, 1, 60)), 10, axis=1))
    line = line_of(summary_text(analyze(loud, options=QUICK)), "b_depth_mr")
    number, caution = line.removeprefix("b_depth_mr ").split(" by multistep regression; ")
    assert abs(float(number) - 1) < 0.05
    assert caution == "tokens that are loud in all layers raise it"


def test_what_the_nulls_cannot_remove_is_said():
    """One paragraph for counts without token ids, another with them."""
    assert "Exchange within token ids would remove what the token" in ALONE
    tokens = rng().integers(0, 5, (24, 60))
    with_tokens = summary_text(analyze(PROCESS, token_ids=tokens, options=QUICK))
    assert "Exchange within token ids removes what the token" in with_tokens
    assert "by exchange within token ids" in line_of(with_tokens, "token ids")


def test_few_windows_are_flagged_where_intervals_stand():
    """The flag stands at the condition and in the notes, and only where windows are few."""
    few = summary_text(analyze(PROCESS[:8], options=QUICK))
    assert "counts (few windows: intervals too narrow)" in few
    assert "Note: few windows: 8 are fewer than 20" in few
    assert "few windows" not in ALONE


def test_a_curve_is_a_table_with_gstar_marked():
    """A line for each gain; g* is marked, said to be chosen on the same windows, and shown."""
    table = re.search(r"^curve against.*?\n\n", ON_CURVE, re.DOTALL | re.MULTILINE)[0]
    rows = [line for line in table.splitlines() if re.match(r"  +[01]\.\d", line)]
    assert [row.split()[0] for row in rows] == [str(gain) for gain in GAINS]
    (chosen,) = [row for row in rows if row.endswith("g*")]
    assert chosen.split()[0] == CURVE.choice.gstar
    assert "g* was chosen on these same windows" in table
    assert f"at g* = {CURVE.choice.gstar}\n" in ON_CURVE
    assert "S1_BRANCHING_CROSSING: supported" in ON_CURVE
    assert "times on this grid" not in table


def test_a_curve_that_crosses_one_again_and_again_is_told_of():
    """Several crossings make g* one of several, and the summary says how many there are."""
    zigzag = planted_curve(20)[[2, 8, 1, 9]]
    found = summary_text(analyze(zigzag, gains=[0.8, 0.9, 1.1, 1.2], options=QUICK))
    assert "b_tot crosses one 3 times on this grid: g* is one of several" in found


def test_an_identifiable_gstar_needs_a_gain_that_does_something():
    """Control: with gains shuffled within windows, the verdict is that g* is not identifiable."""
    shuffled = shuffled_within_windows(planted_curve())
    text = summary_text(analyze(shuffled, gains=GAINS, options=QUICK))
    assert "not identifiable" in text
    assert "S1_BRANCHING_CROSSING: not supported" in text


def test_percolation_is_called_by_its_name():
    """Near p_c, the summary says that broad tails need no dynamics."""
    p_c = PERCOLATION_THRESHOLD[AdjacencyId.ADJ_4N]
    sites = independent_sites((20, 20, 60), p_c, rng())
    text = summary_text(analyze(X=sites, options=QUICK))
    assert "near it, where tails are broad without dynamics" in line_of(text, "occupancy p")
    assert "sites" in line_of(text, "avalanches")


def test_undefined_numbers_are_called_undefined():
    """Of silent counts every line gives its reason, and none a number."""
    text = summary_text(analyze(np.zeros((3, 6, 8), int), options=QUICK))
    assert line_of(text, "b_tot") == "b_tot undefined: no occupied site has a successor"
    assert line_of(text, "chi") == "chi undefined: fewer than two windows, or no events"
    assert line_of(text, "size tail") == "size tail no fit: no samples in the tail"
    assert "nan" not in text
    assert "None" not in text


def test_no_line_is_longer_than_the_width():
    """Everything fits a terminal of 100 columns, and ends with a line feed."""
    for text in (ALONE, ON_CURVE):
        assert max(map(len, text.splitlines())) <= WIDTH
        assert text.endswith("\n")
