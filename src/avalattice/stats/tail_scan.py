"""Where a tail begins: the xmin whose power law has the smallest Kolmogorov–Smirnov distance.

    KS = max |S(x) − F(x)|   over every integer x of the tail

Every observed value that leaves two different ones in the tail (and, with ``xmax``, a decade of
support) is tried. Too few samples beyond the best xmin do not narrow the scan: they are its result.
Clauset, Shalizi and Newman, SIAM Review 51, 661 (2009), equation 3.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from avalattice.arrays import Floats, Ints
from avalattice.canon import CONST
from avalattice.stats.power_sums import DIRECT, end_of, mass_from, solve_alpha
from avalattice.stats.tail_samples import Sample, tail_from

# survival levels at which every candidate is probed before any is examined in full
_PROBES: Final = np.linspace(0.98, 0.02, 25)
_ROWS_PER_BLOCK: Final = 2048


@dataclass(frozen=True)
class _PowerLaws:
    """K power laws on [q, xmax], ready to be evaluated."""

    alpha: Floats
    q: Floats
    xmax: int | None
    head: Floats
    """P(X ≥ q + k) for k = 0 … DIRECT, [K, DIRECT + 1]."""
    total: Floats
    """Σ (x/q)^(−alpha) over the support."""

    @classmethod
    def of(cls, alpha: Floats, q: Floats, xmax: int | None) -> _PowerLaws:
        end = end_of(xmax)
        x = q[:, None] + np.arange(DIRECT)
        terms = np.where(x < end, np.exp(-alpha[:, None] * np.log(x / q[:, None])), 0.0)
        start = np.minimum(q + DIRECT, end)
        beyond = mass_from(alpha, q, start, xmax)
        mass = np.cumsum(np.column_stack([beyond, terms[:, ::-1]]), axis=1)[:, ::-1]
        return cls(alpha, q, xmax, mass / mass[:, :1], mass[:, 0])

    def at_least(self, x: Floats) -> tuple[Floats, Floats]:
        """P(X ≥ x) and P(X > x) for x [K, P] from q on."""
        alpha, q = self.alpha[:, None], self.q[:, None]
        offset = np.minimum(x - q, DIRECT).astype(np.int64)
        near = np.take_along_axis(self.head, offset, axis=1)
        far = mass_from(alpha, q, x, self.xmax) / self.total[:, None]
        mass = np.where(offset < DIRECT, near, far)
        return mass, mass - np.exp(-alpha * np.log(x / q)) / self.total[:, None]


def _distances(laws: _PowerLaws, x: Floats, at_least: Floats, above: Floats) -> Floats:
    """|S − F| at x and at the integer before it, the larger, [K, P].

    Between two observed values S is constant and F rises, so that no other integer is farther.
    """
    mass, beyond = laws.at_least(x)
    return np.maximum(np.abs(at_least - mass), np.abs(above - beyond))


def _full_distance(alpha: float, xmin: float, xmax: int | None, tail: Sample) -> float:
    """KS distance of a tail from a power law on [xmin, xmax]: over every integer of the tail."""
    laws = _PowerLaws.of(np.array([alpha]), np.array([xmin]), xmax)
    share = tail.n_from / tail.n_from[0]
    return float(np.max(_distances(laws, tail.x[None], share[:-1], share[1:])))


def _probed_distances(sample: Sample, alpha: Floats, first: Ints, xmax: int | None) -> Floats:
    """For each candidate the distance at a few of its tail's values: a lower bound of its KS."""
    levels = sample.n_from[first, None] * _PROBES
    probes = np.searchsorted(-sample.n_from[:-1], -levels)
    probes = np.clip(probes, first[:, None], len(sample.x) - 1)
    at_least = sample.n_from[probes] / sample.n_from[first, None]
    above = sample.n_from[probes + 1] / sample.n_from[first, None]
    laws = _PowerLaws.of(alpha, sample.x[first], xmax)
    return np.asarray(np.max(_distances(laws, sample.x[probes], at_least, above), axis=1))


def _candidates(sample: Sample, xmax: int | None) -> Ints:
    """Indices of the values that may become xmin: two values in the tail, a decade of support.

    On a bounded support the distance falls to zero as xmin nears xmax, whatever the sample: one
    parameter fits any law on two integers. An unbounded support has decades without end.
    """
    inner = np.arange(max(len(sample.x) - 1, 1))
    wide = sample.x[inner] * 10**CONST.TAIL_FIT_MIN_DECADES <= (math.inf if xmax is None else xmax)
    return inner[wide] if np.any(wide) else inner[:1]


def _scan(sample: Sample, xmax: int | None) -> tuple[int, float, float]:
    """Index of the xmin with the smallest KS distance, its alpha and that distance.

    Exact, though most candidates are never examined in full: one whose lower bound exceeds the
    best distance so far cannot win. Equal distances go to the smaller xmin.
    """
    candidates = _candidates(sample, xmax)
    alpha = solve_alpha(sample.mean_log[candidates], sample.x[candidates], xmax)
    cuts = range(_ROWS_PER_BLOCK, len(candidates), _ROWS_PER_BLOCK)
    bounds = np.concatenate(
        [
            _probed_distances(sample, alpha[block], candidates[block], xmax)
            for block in np.split(np.arange(len(candidates)), cuts)
        ]
    )
    best, chosen = math.inf, 0
    for index in np.argsort(bounds, kind="stable").tolist():
        if not bounds[index] <= best:
            break
        tail = sample.tail(int(candidates[index]))
        distance = _full_distance(float(alpha[index]), float(tail.x[0]), xmax, tail)
        if (distance, index) < (best, chosen):
            best, chosen = distance, index
    found = best if math.isfinite(best) else math.nan
    return int(candidates[chosen]), float(alpha[chosen]), found


def best_tail(sample: Sample, xmin: int | None, xmax: int | None) -> tuple[int, float, float]:
    """xmin, alpha and KS distance: scanned, or those of the xmin that was given."""
    if xmin is None and len(sample.x) > 1:
        index, alpha, distance = _scan(sample, xmax)
        return int(sample.x[index]), alpha, distance
    chosen = int(sample.x[0]) if xmin is None else xmin
    tail = tail_from(sample, chosen, xmax)
    if len(tail.x) < 2:
        return chosen, math.nan, math.nan
    alpha = float(solve_alpha(tail.mean_log[:1], np.array([float(chosen)]), xmax)[0])
    distance = _full_distance(alpha, float(chosen), xmax, tail) if math.isfinite(alpha) else alpha
    return chosen, alpha, distance
