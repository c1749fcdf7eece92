"""The closed set of comparisons: where each holds, fails, and has no answer."""

from __future__ import annotations

import pytest

from avalattice.export.paper.comparisons import (
    Above,
    Below,
    Equals,
    Every,
    IntervalAbove,
    IntervalExcludes,
    IntervalIncludes,
    Outside,
    TimesAbove,
    VerdictIs,
    Within,
    conjunction,
)
from avalattice.stats.signatures import Outcome

YES, NO, OPEN = Outcome.SUPPORTED, Outcome.NOT_SUPPORTED, Outcome.NOT_ASSESSABLE


@pytest.mark.parametrize(
    ("comparison", "row", "outcome"),
    [
        (Above("x"), {"x": 0.1}, YES),
        (Above("x"), {"x": 0.0}, NO),
        (Above("x", "y"), {"x": 2.0, "y": 1.0}, YES),
        (Above("x", "y"), {"x": 2.0, "y": None}, OPEN),
        (IntervalAbove("low", 1.0), {"low": 1.1}, YES),
        (IntervalAbove("low", 1.0), {"low": 0.9}, NO),
        (IntervalAbove("low"), {"low": float("nan")}, OPEN),
        (Below("p", 0.05), {"p": 0.049}, YES),
        (Below("p", 0.05), {"p": 0.05}, NO),
        (IntervalExcludes("low", "high"), {"low": 0.1, "high": 0.2}, YES),
        (IntervalExcludes("low", "high"), {"low": -0.2, "high": -0.1}, YES),
        (IntervalExcludes("low", "high"), {"low": 0.0, "high": 0.2}, NO),
        (IntervalExcludes("low", "high", "null"), {"low": 1, "high": 2, "null": 1.5}, NO),
        (Outside("x", "low", "high"), {"x": 2.5, "low": 1, "high": 2}, YES),
        (Outside("x", "low", "high"), {"x": 2, "low": 1, "high": 2}, NO),
        (Outside("x", "low", "high"), {"x": 2.5, "low": None, "high": 2}, OPEN),
        (IntervalExcludes("low", "high", "null"), {"low": 1, "high": 2, "null": 2.5}, YES),
        (IntervalIncludes("low", "high", 0.0, 0.5), {"low": -0.1, "high": 0.1}, YES),
        (IntervalIncludes("low", "high", 0.0, 0.5), {"low": 0.1, "high": 9.0}, NO),
        (IntervalIncludes("low", "high", 0.0, 0.5), {"low": -0.3, "high": 0.3}, OPEN),
        (Equals("x", 0.0), {"x": 0.0}, YES),
        (Equals("x", 0.0), {"x": 1.0}, NO),
        (Equals("x", True), {"x": False}, NO),
        (Equals("x", "ok"), {"x": "ok"}, YES),
        (Equals("x", "ok"), {"x": None}, OPEN),
        (Within("x", "y", 0.1), {"x": 1.09, "y": 1.0}, YES),
        (Within("x", "y", 0.1), {"x": 0.89, "y": 1.0}, NO),
        (Within("x", "y", 0.1), {"x": 0.0, "y": 0.0}, OPEN),
        (TimesAbove("x", 5.0, "y"), {"x": 5.0, "y": 1.0}, YES),
        (TimesAbove("x", 5.0, "y"), {"x": 4.9, "y": 1.0}, NO),
        (VerdictIs("v"), {"v": "supported"}, YES),
        (VerdictIs("v"), {"v": "not_supported"}, NO),
        (VerdictIs("v"), {"v": "not_assessable"}, OPEN),
        (Every((Above("x"), Above("y"))), {"x": 1.0, "y": 1.0}, YES),
        (Every((Above("x"), Above("y"))), {"x": None, "y": -1.0}, NO),
        (Every((Above("x"), Above("y"))), {"x": None, "y": 1.0}, OPEN),
    ],
)
def test_each_comparison_holds_fails_or_has_no_answer(comparison, row, outcome):
    """Bounds are strict where they should be; what is undefined is never judged."""
    assert comparison.judge(row) is outcome
    assert set(comparison.columns) == set(row)


def test_a_wide_interval_says_why_it_is_no_answer():
    """An interval that includes zero since it is wide is no agreement, and says its width."""
    comparison = IntervalIncludes("low", "high", 0.0, 0.5)
    wide, narrow = {"low": -0.3, "high": 0.3}, {"low": -0.1, "high": 0.1}
    assert comparison.why_open(wide) == "the interval is 0.6 wide, 0.5 allowed"
    assert comparison.why_open(narrow) == comparison.why_open({"low": None, "high": 1.0}) == ""


def test_what_is_computed_can_be_quoted():
    """A ratio is given beside its verdict."""
    assert Within("x", "y", 0.1).measure({"x": 3.0, "y": 2.0}) == 1.5
    assert Within("x", "y", 0.1).measure({"x": 3.0, "y": None}) is None
    assert Above("x").measure({"x": 3.0}) is None


def test_statements_and_kinds():
    """A comparison names itself and says in symbols what it asks."""
    every = Every((Above("x", "y"), Below("p", 0.05)))
    assert (every.kind, every.statement) == ("every", "x > y and p < 0.05")
    assert IntervalExcludes("low", "high").kind == "interval_excludes"
    assert IntervalExcludes("low", "high").statement == "0 outside [low, high]"
    assert Equals("ok", True).statement == "ok = true"
    assert TimesAbove("x", 5.0, "y").statement == "x ≥ 5 · y"


@pytest.mark.parametrize(
    ("parts", "whole"),
    [([], OPEN), ([YES, YES], YES), ([YES, OPEN], OPEN), ([OPEN, NO], NO), ([YES, NO], NO)],
)
def test_conjunction_is_kleenes(parts, whole):
    """One failure settles it; without one, what is undefined, or nothing, leaves it open."""
    assert conjunction(parts) is whole
