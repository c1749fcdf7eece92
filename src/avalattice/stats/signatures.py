"""The three signatures, each with a verdict and its reason in words.

S1, branching crossing:     b_tot − 1 changes sign inside the grid, g* is identifiable, and
                            delta_b_depth_shift at g*, on raster windows, is positive with adjusted
                            p < 0.05.
S2, susceptibility peak:    chi has an interior maximum that exceeds both ends of the grid, within
                            SIGNATURE_ALIGNMENT_G_DIFF_MAX of an identifiable g*.
S3, crackling relation:     both tail fits are ok, gamma passed its gates, the interval of
                            dcc_signed includes zero and is no wider than BOOTSTRAP_CI_WIDTH_MAX,
                            and gamma stands apart from that of both nulls (every row permuted,
                            whole tokens permuted): its interval excludes their mean, and it lies
                            outside the central 95 % of their draws.

A signature is *supported* if every part holds, *not assessable* if some part cannot be judged (it
is undefined, its fit or gate failed, its interval is too wide to decide), and otherwise *not
supported*. The reason names every part that does not hold, whatever the verdict. All follow from
numbers that stand in the tables; nothing is measured here.

Tail fits alone support nothing: in S3 they only make the relation assessable. The interval of
dcc_signed keeps xmin, which itself moves between samples: even of a critical branching process some
samples exclude zero. Nor do three supported signatures prove criticality, and b_tot = 1 is a
convention (:mod:`avalattice.stats.gstar`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

from avalattice.canon import CONST, SignatureId
from avalattice.stats.chi_peak import ChiPeak
from avalattice.stats.tails import STATUS_NOT_ASSESSABLE

Ends: TypeAlias = tuple[float, float]
"""Low and high end of an interval; NaN where it is undefined."""

SIGNIFICANCE: Final = 0.05
"""Adjusted p of delta_b_depth_shift, below which S1 counts it."""

_ALIGNED: Final = Decimal(str(CONST.SIGNATURE_ALIGNMENT_G_DIFF_MAX))
_SMALLEST_P: Final = 1e-99  # smaller ones may be zero for want of digits
_UNDEFINED: Final = (math.nan, math.nan)
_NEAR: Final = "occupancy is near the percolation threshold, where tails are broad without dynamics"
_FEW: Final = (
    f"intervals rest on fewer than {CONST.FEW_WINDOWS} windows and cover less than they say"
)


class Outcome(StrEnum):
    """What is said of a signature."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not_supported"
    NOT_ASSESSABLE = STATUS_NOT_ASSESSABLE


@dataclass(frozen=True)
class Verdict:
    """What is said of one signature, and why."""

    signature_id: SignatureId
    """Which one."""
    verdict: Outcome
    """Supported, not supported, or not assessable."""
    reason: str
    """Every part that does not hold, with its numbers; where all hold, what they are."""
    numbers: Mapping[str, float]
    """The numbers that it rests on, by name; NaN where undefined, yes and no as 1 and 0."""


def assess_branching_crossing(
    *,
    gstar: Decimal | None,
    bracketed: bool,
    identifiable: bool,
    gstar_reason: str | None,
    crossing: float,
    delta_b_depth_shift: float,
    p_adj: float,
    few_windows: bool,
) -> Verdict:
    """S1: b_tot crosses one at a gain that the data determine, with more depth than the shift null.

    Args:
        gstar: the chosen gain; None where b_tot is undefined everywhere.
        bracketed: b_tot − 1 changes sign inside the grid.
        identifiable: the data determine g*.
        gstar_reason: why they do not.
        crossing: the interpolated crossing nearest g*, for the words.
        delta_b_depth_shift: b_depth − b_depth_shift_exact at g*, on raster windows.
        p_adj: its adjusted p-value.
        few_windows: intervals rest on fewer than FEW_WINDOWS windows.

    >>> from decimal import Decimal
    >>> verdict = assess_branching_crossing(
    ...     gstar=Decimal("1.0"), bracketed=False, identifiable=False, gstar_reason="it is flat",
    ...     crossing=math.nan, delta_b_depth_shift=0.1, p_adj=0.001, few_windows=False)
    >>> verdict.verdict.value, verdict.reason
    ('not_supported', 'b_tot − 1 does not change sign inside the grid')
    """
    parts = _Parts()
    parts.unknown(gstar is None, f"g* is undefined: {gstar_reason or 'no gain has a b_tot'}")
    parts.unknown(math.isnan(delta_b_depth_shift), "delta_b_depth_shift at g* is undefined")
    parts.unknown(
        math.isnan(p_adj) and not math.isnan(delta_b_depth_shift),
        f"delta_b_depth_shift = {delta_b_depth_shift:.3g} has no p-value",
    )
    if gstar is not None:
        parts.failed(not bracketed, "b_tot − 1 does not change sign inside the grid")
        parts.failed(
            bracketed and not identifiable,
            f"b_tot − 1 changes sign inside the grid, but g* = {gstar} is not identifiable: "
            f"{gstar_reason or 'no reason was given'}",
        )
    parts.failed(
        delta_b_depth_shift <= 0,
        f"delta_b_depth_shift = {delta_b_depth_shift:.3g} at g* is not positive",
    )
    parts.failed(
        delta_b_depth_shift > 0 and p_adj >= SIGNIFICANCE,
        f"delta_b_depth_shift = {delta_b_depth_shift:.3g} at g* is positive, but its adjusted "
        f"p = {p_adj:.2g} is not below {SIGNIFICANCE}",
    )
    holds = (
        f"b_tot crosses one at g = {crossing:.3f}, g* = {gstar} is identifiable, and "
        f"delta_b_depth_shift = {delta_b_depth_shift:.3g} at g* is positive, adjusted p "
        + (f"= {p_adj:.2g}" if p_adj > _SMALLEST_P else f"< {_SMALLEST_P:g}")
    )
    numbers = {
        "g_star": _number(gstar),
        "crossing": crossing,
        "bracketed": float(bracketed),
        "identifiable": float(identifiable),
        "delta_b_depth_shift": delta_b_depth_shift,
        "p_adj": p_adj,
    }
    return parts.verdict(SignatureId.S1_BRANCHING_CROSSING, holds, numbers, few_windows)


def assess_susceptibility_peak(
    peak: ChiPeak, *, gstar: Decimal | None, identifiable: bool, gstar_reason: str | None
) -> Verdict:
    """S2: chi peaks inside the grid, above both of its ends, near an identifiable g*.

    Args:
        peak: of chi over the grid, on calibration windows.
        gstar: the chosen gain; None where b_tot is undefined everywhere.
        identifiable: the data determine g*.
        gstar_reason: why they do not.
    """
    parts, numbers = _Parts(), _peak_numbers(peak, gstar, identifiable)
    if peak.gain is None:
        parts.unknown(True, peak.reason)
    else:
        _judge_peak(parts, peak)
    if peak.exceeds_both_ends:
        determined = gstar if identifiable else None
        _judge_alignment(parts, peak, determined, gstar_reason, numbers["chance"])
    holds = (
        f"chi peaks at g = {peak.gain}, above both ends of the grid, "
        f"{_alignment(peak, gstar, numbers['chance'])}"
    )
    few_windows = peak.few_windows and peak.interior
    return parts.verdict(SignatureId.S2_SUSCEPTIBILITY_PEAK, holds, numbers, few_windows)


def alignment_chance(gains: tuple[Decimal, ...], gstar: Decimal) -> float:
    """The share of interior gains within SIGNATURE_ALIGNMENT_G_DIFF_MAX of g*; NaN without any.

    >>> alignment_chance(tuple(Decimal(g) for g in "0.5 0.9 1.0 1.3 1.5".split()), Decimal("1.1"))
    1.0
    """
    interior = gains[1:-1]
    near = sum(abs(gain - gstar) <= _ALIGNED for gain in interior)
    return near / len(interior) if interior else math.nan


def assess_crackling_relation(
    *,
    size_reason: str,
    span_reason: str,
    crackling_reason: str,
    gamma: float,
    gamma_interval: Ends,
    dcc_signed: float,
    dcc_interval: Ends,
    gamma_null: float,
    gamma_null_tokens: float,
    few_windows: bool,
    gamma_null_range: Ends = _UNDEFINED,
    gamma_null_tokens_range: Ends = _UNDEFINED,
    near_percolation: bool = False,
) -> Verdict:
    """S3: sizes and spans scale as their tails predict, and not as null rasters do.

    Args:
        size_reason: why the tail fit of sizes is not assessable; empty where it is ok.
        span_reason: the same of token spans.
        crackling_reason: which gate of gamma failed; empty where it passed.
        gamma: size–duration exponent.
        gamma_interval: its interval over windows.
        dcc_signed: gamma − (alpha_D − 1)/(alpha_S − 1).
        dcc_interval: its interval over windows.
        gamma_null: mean gamma of rasters with every row permuted.
        gamma_null_tokens: mean gamma of rasters with tokens permuted together with all their
            layers. Tokens that are loud in many layers at once raise gamma under both, and the
            first null, which parts the layers, does not show it.
        few_windows: intervals rest on fewer than FEW_WINDOWS windows.
        gamma_null_range: the central 95 % of the draws.
        gamma_null_tokens_range: the same of whole tokens.
        near_percolation: occupancy is near the percolation threshold; said, not judged.
    """
    parts = _Parts()
    parts.unknown(bool(size_reason), f"the tail fit of sizes is not ok ({size_reason})")
    parts.unknown(bool(span_reason), f"the tail fit of spans is not ok ({span_reason})")
    parts.unknown(bool(crackling_reason), f"gamma did not pass its gates ({crackling_reason})")
    _judge_relation(parts, dcc_signed, dcc_interval)
    nulls = {
        "permuted rows": (gamma_null, gamma_null_range),
        "permuted tokens": (gamma_null_tokens, gamma_null_tokens_range),
    }
    _judge_gamma(parts, gamma, gamma_interval, nulls)
    excluded = " and ".join(_null_words(name, *null) for name, null in nulls.items())
    holds = (
        f"gamma − gamma_pred = {dcc_signed:.3f} {_ends(dcc_interval)} includes zero, and gamma = "
        f"{gamma:.3f} {_ends(gamma_interval)} excludes {excluded}"
    )
    numbers = {
        "near_percolation": float(near_percolation),
        "gamma": gamma,
        "gamma_ci_low": gamma_interval[0],
        "gamma_ci_high": gamma_interval[1],
        "dcc_signed": dcc_signed,
        "dcc_signed_ci_low": dcc_interval[0],
        "dcc_signed_ci_high": dcc_interval[1],
        "gamma_null": gamma_null,
        "gamma_null_low": gamma_null_range[0],
        "gamma_null_high": gamma_null_range[1],
        "gamma_null_tokens": gamma_null_tokens,
        "gamma_null_tokens_low": gamma_null_tokens_range[0],
        "gamma_null_tokens_high": gamma_null_tokens_range[1],
    }
    parts.remark(near_percolation, _NEAR)
    return parts.verdict(SignatureId.S3_CRACKLING_RELATION, holds, numbers, few_windows)


# ---------------------------------------------------------------------------- the parts of each


class _Parts:
    """The parts of a signature that do not hold, in words, as they are gone through."""

    def __init__(self) -> None:
        self._unknown: list[str] = []
        self._failed: list[str] = []
        self._remarks: list[str] = []

    def unknown(self, is_so: bool, words: str) -> None:
        """A part that cannot be judged, if it is so."""
        if is_so:
            self._unknown.append(words)

    def failed(self, is_so: bool, words: str) -> None:
        """A part that does not hold, if it is so."""
        if is_so:
            self._failed.append(words)

    def remark(self, is_so: bool, words: str) -> None:
        """What is to be known beside the verdict, if it is so."""
        if is_so:
            self._remarks.append(words)

    def verdict(
        self,
        signature_id: SignatureId,
        holds: str,
        numbers: Mapping[str, float],
        few_windows: bool,
    ) -> Verdict:
        """The verdict, every part that does not hold, or else what does."""
        outcome = Outcome.SUPPORTED
        if self._unknown:
            outcome = Outcome.NOT_ASSESSABLE
        elif self._failed:
            outcome = Outcome.NOT_SUPPORTED
        self.remark(few_windows, _FEW)
        reasons = [*self._unknown, *self._failed] or [holds]
        reason = "; ".join([*reasons, *self._remarks])
        return Verdict(signature_id, outcome, reason, numbers)


def _judge_peak(parts: _Parts, peak: ChiPeak) -> None:
    """Whether chi has an interior maximum, and whether it exceeds both ends."""
    parts.failed(
        not peak.interior, f"chi is largest at an end of the grid, g = {_largest_end(peak)}"
    )
    if not peak.interior:
        return
    for gain, ratio, interval in zip(
        (peak.gains[0], peak.gains[-1]), peak.log_ratio, peak.intervals, strict=True
    ):
        compared = (
            f"chi at its peak, g = {peak.gain}, over chi at g = {gain}: log ratio {ratio:.3f}"
        )
        parts.unknown(math.isnan(interval[0]), f"{compared} has no interval over windows")
        parts.failed(interval[0] <= 0, f"{compared} {_ends(interval)} does not exclude zero")


def _judge_alignment(
    parts: _Parts, peak: ChiPeak, gstar: Decimal | None, gstar_reason: str | None, chance: float
) -> None:
    """Whether a peak that stands lies near g*; None for a g* that the data do not determine."""
    parts.unknown(
        gstar is None,
        f"chi peaks at g = {peak.gain}, above both ends of the grid, but g* is not identifiable "
        f"({gstar_reason or 'no reason was given'}), so that their distance means nothing",
    )
    if gstar is not None and peak.gain is not None:
        far = abs(peak.gain - gstar) > _ALIGNED
        parts.failed(far, f"chi peaks at g = {peak.gain}, {_alignment(peak, gstar, chance)}")


def _alignment(peak: ChiPeak, gstar: Decimal | None, chance: float) -> str:
    """The distance of the peak from g*, and how likely chance brings one as near."""
    if peak.gain is None or gstar is None:
        return "at an unknown distance from g*"
    return (
        f"{abs(peak.gain - gstar)} from g* = {gstar} ({CONST.SIGNATURE_ALIGNMENT_G_DIFF_MAX} "
        "allowed; a peak placed at random inside the grid is as near with probability "
        f"{chance:.2f})"
    )


def _largest_end(peak: ChiPeak) -> Decimal:
    return peak.gains[0] if peak.chi[0] >= peak.chi[-1] else peak.gains[-1]


def _peak_numbers(peak: ChiPeak, gstar: Decimal | None, identifiable: bool) -> dict[str, float]:
    (first_low, first_high), (last_low, last_high) = peak.intervals
    chance = math.nan if gstar is None else alignment_chance(peak.gains, gstar)
    at_peak = peak.chi[peak.gains.index(peak.gain)] if peak.gain is not None else math.nan
    return {
        "g_peak": _number(peak.gain),
        "chi_peak": float(at_peak),
        "log_ratio_first": peak.log_ratio[0],
        "log_ratio_first_ci_low": first_low,
        "log_ratio_first_ci_high": first_high,
        "log_ratio_last": peak.log_ratio[1],
        "log_ratio_last_ci_low": last_low,
        "log_ratio_last_ci_high": last_high,
        "g_star": _number(gstar),
        "identifiable": float(identifiable),
        "chance": chance,
    }


def _judge_relation(parts: _Parts, dcc_signed: float, interval: Ends) -> None:
    """Whether dcc_signed is zero as far as can be told, and whether much can be told."""
    low, high = interval
    undefined = math.isnan(dcc_signed) or math.isnan(low)
    parts.unknown(undefined, "gamma − gamma_pred, or its interval, is undefined")
    measured = f"gamma − gamma_pred = {dcc_signed:.3f} {_ends(interval)}"
    excludes = not undefined and not low <= 0 <= high
    parts.failed(excludes, f"{measured} excludes zero")
    parts.unknown(
        not undefined and not excludes and high - low > CONST.BOOTSTRAP_CI_WIDTH_MAX,
        f"{measured} includes zero, but is {high - low:.3g} wide, where "
        f"{CONST.BOOTSTRAP_CI_WIDTH_MAX} is allowed",
    )


def _judge_gamma(
    parts: _Parts, gamma: float, interval: Ends, nulls: Mapping[str, tuple[float, Ends]]
) -> None:
    """Whether gamma differs from that of every null, and from what their draws scatter by."""
    low, high = interval
    undefined = math.isnan(gamma) or math.isnan(low)
    parts.unknown(undefined, "gamma, or its interval, is undefined")
    measured = f"gamma = {gamma:.3f} {_ends(interval)}"
    for name, (gamma_null, null_range) in nulls.items():
        words = _null_words(name, gamma_null, null_range)
        includes = low <= gamma_null <= high
        parts.unknown(math.isnan(gamma_null), f"gamma of {name} is undefined")
        parts.failed(includes, f"{measured} includes {words}")
        parts.failed(
            not includes and null_range[0] <= gamma <= null_range[1],
            f"{measured} excludes {words}, but lies among their draws",
        )


def _null_words(name: str, gamma_null: float, null_range: Ends) -> str:
    drawn = "" if math.isnan(null_range[0]) else f" (draws {_ends(null_range)})"
    return f"the {gamma_null:.3f} of {name}{drawn}"


def _ends(interval: Ends) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def _number(gain: Decimal | None) -> float:
    return math.nan if gain is None else float(gain)
