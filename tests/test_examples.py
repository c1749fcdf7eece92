"""The examples that need no model run, and show what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from avalattice.analyze import read_counts

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def output_of(*command: str) -> str:
    """What an example prints, with warnings as errors."""
    path, *arguments = command
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / path), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_planted_case_is_identifiable_and_its_control_is_not():
    """Of the planted case S1 is supported near its known crossing, of its control it is not."""
    planted, control = output_of("planted_gstar.py", "--windows", "32").split(
        "independent sites, p"
    )
    known, found = (
        float(re.search(pattern, planted)[1])
        for pattern in (r"b_tot = 1 at g = ([\d.]+)", r"crossing ([\d.]+)")
    )
    assert abs(known - found) < 0.03
    assert "S1_BRANCHING_CROSSING: supported" in planted
    assert "S1_BRANCHING_CROSSING: not_supported" in control
    assert control.count(": supported") == 0


def test_the_made_rasters_are_what_analyze_reads(tmp_path):
    """Four files: a process, occupancy at p_c, a curve, and its control of the same counts."""
    assert "b_tot = 1 at g = 1.00" in output_of("make_rasters.py", str(tmp_path), "--windows", "4")
    given = {path.stem: read_counts(path) for path in tmp_path.glob("*.npz")}
    assert set(given) == {"branching", "percolation", "planted", "shuffled"}
    assert given["percolation"].sites_only
    assert given["planted"].gains == given["shuffled"].gains
    curve, control = given["planted"].A, given["shuffled"].A
    assert not np.array_equal(curve, control)
    for n in range(4):
        by_total = (sorted(stack[:, n].sum(axis=(1, 2))) for stack in (curve, control))
        np.testing.assert_array_equal(*by_total)
