"""The examples that need no model run, and show what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
