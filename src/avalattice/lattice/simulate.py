"""A branching process on the token × layer lattice, with known ratios: the planted case.

    A[l, t] ~ Poisson(drive + b_time·A[l, t−1] + b_depth·A[l−1, t])

An event has b_time descendants at the next token of its layer and b_depth at its token of the next
layer, each Poisson (Harris 1963, chapter 2, of several types: sites); drive events per site have no
ancestor. b_time + b_depth = 1 is critical. What has no site beyond the last token or layer is lost,
and counts rise from the first token and layer on: the raster is stationary far from those only.

A *measured* ratio is not b_time or b_depth: neighbours also share ancestors, and meet by chance. It
is known all the same. Clusters of different drive events are independent, so that the probability
that no event falls on a set S of sites is exp(−drive Σ_u (1 − e_S(u))), where the cluster of an
event at u misses S with probability

    e_S(u) = exp(b_time·(e_S(u + token) − 1) + b_depth·(e_S(u + layer) − 1)),   0 on S,   1 past it.

:func:`expected_branching` solves this on a window, for single sites and for neighbours. Ratios that
change within a window, and descendants further than one token or layer away, are not handled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from jaxtyping import UInt16
from scipy.optimize import brentq

from avalattice.arrays import Floats
from avalattice.errors import ArrayError, InputError

_MOST_EVENTS = np.iinfo(np.uint16).max

_Field: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.int64]
_Rule: TypeAlias = Callable[[_Field, _Field, tuple[np.ndarray, np.ndarray]], _Field]


@dataclass(frozen=True)
class ExpectedBranching:
    """What a window of the process shows on average; ratios are those of expectations."""

    events_per_site: float
    """Mean of A."""
    occupancy: float
    """Mean of X."""
    b_time: float
    """E Σ X[t]·X[t+1] / E Σ_{t<T−1} X[t]."""
    b_depth: float
    """E Σ X[l]·X[l+1] / E Σ_{l<L−1} X[l]."""

    @property
    def b_tot(self) -> float:
        """b_time + b_depth."""
        return self.b_time + self.b_depth


def branching_raster(
    shape: tuple[int, int, int],
    b_time: float,
    b_depth: float,
    drive: float,
    rng: np.random.Generator,
) -> UInt16[np.ndarray, "N L T"]:
    """Counts of a branching process on the lattice.

    Args:
        shape: [N, L, T]; windows are independent.
        b_time: expected descendants of an event at the next token.
        b_depth: expected descendants of an event in the next layer.
        drive: expected events per site without an ancestor.
        rng: the stream to draw from; sites draw by rising layer + token.

    Raises:
        InputError: a parameter is negative or not finite.
        ArrayError: an axis is empty, or a site has more events than uint16 holds.

    >>> A = branching_raster((100, 40, 50), 0.3, 0.5, 0.02, np.random.default_rng(7))
    >>> expected = expected_branching((40, 50), 0.3, 0.5, 0.02)
    >>> round(float(A.mean()), 3), round(expected.events_per_site, 3)
    (0.088, 0.091)
    """
    _check_parameters(b_time=b_time, b_depth=b_depth, drive=drive)
    _check_shape(shape, 3)
    n_windows, n_layers, n_tokens = shape
    field = np.zeros((n_windows, n_layers + 1, n_tokens + 1), np.int64)

    def offspring(before: _Field, below: _Field, _: object) -> _Field:
        events = rng.poisson(drive + b_time * before + b_depth * below)
        if events.size and events.max() > _MOST_EVENTS:
            raise ArrayError(
                f"a site of the branching process has {events.max()} events, more than the "
                f"{_MOST_EVENTS} that a raster holds: lower b_time + b_depth or the drive"
            )
        return events

    _sweep(field, offspring)
    return field[:, 1:, 1:].astype(np.uint16)


def expected_branching(
    shape: tuple[int, int], b_time: float, b_depth: float, drive: float
) -> ExpectedBranching:
    """Occupancy and branching ratios that the process shows on average, exactly.

    Args:
        shape: [L, T] of a window.
        b_time: expected descendants of an event at the next token.
        b_depth: expected descendants of an event in the next layer.
        drive: expected events per site without an ancestor.

    Returns:
        the expectations; ratios are NaN where a window has no such neighbours, or no events.

    Raises:
        InputError: a parameter is negative or not finite.
        ArrayError: an axis is empty.

    >>> independent = expected_branching((30, 40), 0, 0, 0.3)
    >>> round(independent.occupancy, 4), round(independent.b_time, 4)
    (0.2592, 0.2592)
    """
    _check_parameters(b_time=b_time, b_depth=b_depth, drive=drive)
    _check_shape(shape, 2)

    def empty(*sites: tuple[int, int]) -> Floats:
        """P(A = 0 on all sites) by the place of the last, [L, T]; sites by distance from it."""
        return _probability_of_none(_missed(shape, b_time, b_depth, sites), drive)

    none = empty((0, 0))
    neither_time, neither_depth = empty((0, 0), (0, 1)), empty((0, 0), (1, 0))
    time_pairs = 1 - none[:, :-1] - none[:, 1:] + neither_time[:, 1:]
    depth_pairs = 1 - none[:-1] - none[1:] + neither_depth[1:]
    return ExpectedBranching(
        events_per_site=drive * _descendants_per_drive(shape, b_time, b_depth),
        occupancy=float(np.mean(1 - none)),
        b_time=_quotient(time_pairs, 1 - none[:, :-1]),
        b_depth=_quotient(depth_pairs, 1 - none[:-1]),
    )


def drive_for_rate(shape: tuple[int, int], b_time: float, b_depth: float, rate: float) -> float:
    """The drive with which windows [L, T] have ``rate`` events per site on average.

    Args:
        shape: [L, T] of a window.
        b_time: expected descendants of an event at the next token.
        b_depth: expected descendants of an event in the next layer.
        rate: events per site.

    Raises:
        InputError: a parameter is negative or not finite.
        ArrayError: an axis is empty.

    >>> drive_for_rate((1, 1), 0.5, 0.4, 0.25)
    0.25
    """
    _check_parameters(b_time=b_time, b_depth=b_depth, rate=rate)
    _check_shape(shape, 2)
    return rate / _descendants_per_drive(shape, b_time, b_depth)


@dataclass(frozen=True)
class PlantedGain:
    """A process whose ratios grow with a gain at one rate of events, as thresholds are matched.

    b_tot rises with the gain and passes one at a gain that is known: what a grid of gains and a
    number of windows can identify may be tried on it.
    """

    n_layers: int
    """L."""
    n_tokens: int
    """T."""
    b_time: float
    """Expected descendants of an event at the next token, at gain 1."""
    b_depth: float
    """Expected descendants of an event in the next layer, at gain 1."""
    rate: float
    """Events per site, at every gain."""

    def draw(
        self, n_windows: int, gain: float, rng: np.random.Generator
    ) -> UInt16[np.ndarray, "N L T"]:
        """Counts at a gain, as :func:`branching_raster` draws them.

        Raises:
            InputError: a parameter is negative or not finite.
            ArrayError: an axis is empty, or a site has more events than uint16 holds.
        """
        shape = (n_windows, self.n_layers, self.n_tokens)
        return branching_raster(shape, *self._parameters(gain), rng)

    def expected(self, gain: float) -> ExpectedBranching:
        """What windows show at a gain on average.

        Raises:
            InputError: a parameter is negative or not finite.
            ArrayError: an axis is empty.
        """
        return expected_branching((self.n_layers, self.n_tokens), *self._parameters(gain))

    def crossing(self, low: float, high: float) -> float:
        """The gain between two at which the expected b_tot is one.

        Raises:
            InputError: b_tot − 1 has one sign at both, or a parameter is out of range.
        """
        ends = [self.expected(gain).b_tot - 1 for gain in (low, high)]
        if not ends[0] * ends[1] < 0:
            raise InputError(
                f"b_tot − 1 is {ends[0]:.3g} at gain {low} and {ends[1]:.3g} at {high}: "
                "a crossing needs a change of sign"
            )
        return float(brentq(lambda gain: self.expected(gain).b_tot - 1, low, high))

    def _parameters(self, gain: float) -> tuple[float, float, float]:
        """b_time, b_depth and drive at a gain."""
        ratios = gain * self.b_time, gain * self.b_depth
        return *ratios, drive_for_rate((self.n_layers, self.n_tokens), *ratios, self.rate)


# ------------------------------------------------------------------------------ the lattice


def _sweep(field: _Field, rule: _Rule) -> None:
    """Fill a field [..., 1 + L, 1 + T] whose first row and column are given.

    The rule gets the values one token and one layer before each site, and the sites (layer, token).
    All sites of one layer + token are filled together: their neighbours before them are known.
    """
    n_layers, n_tokens = field.shape[-2] - 1, field.shape[-1] - 1
    for step in range(n_layers + n_tokens - 1):
        layer = np.arange(max(0, step - n_tokens + 1), min(n_layers, step + 1))
        token = step - layer
        before, below = field[..., layer + 1, token], field[..., layer, token + 1]
        field[..., layer + 1, token + 1] = rule(before, below, (layer, token))


def _missed(
    shape: tuple[int, int], b_time: float, b_depth: float, sites: tuple[tuple[int, int], ...]
) -> Floats:
    """e_S(u) by the distance of u in layers and tokens before the last site of S, [L, T]."""
    outside = np.ones(shape)
    for layer, token in sites:
        outside[layer : layer + 1, token : token + 1] = 0.0  # none where the window ends before
    field = np.ones((shape[0] + 1, shape[1] + 1))

    def survives(after: _Field, above: _Field, at: tuple[np.ndarray, np.ndarray]) -> _Field:
        reached: Floats = np.exp(b_time * (after - 1) + b_depth * (above - 1)) * outside[at]
        return reached

    _sweep(field, survives)
    return field[1:, 1:]


def _probability_of_none(missed: Floats, drive: float) -> Floats:
    """P(no event on S) by the place of its last site, [L, T]: drive comes from all before it."""
    none: Floats = np.exp(-drive * _sum_before(1 - missed))
    return none


def _descendants_per_drive(shape: tuple[int, int], b_time: float, b_depth: float) -> float:
    """Mean events per site of a window for a drive of one: the drive and its descendants."""
    field = np.zeros((shape[0] + 1, shape[1] + 1))

    def descendants(before: _Field, below: _Field, at: tuple[np.ndarray, np.ndarray]) -> _Field:
        origin = (at[0] == 0) & (at[1] == 0)
        reached: Floats = np.where(origin, 1.0, b_time * before + b_depth * below)
        return reached

    _sweep(field, descendants)
    return float(_sum_before(field[1:, 1:]).mean())


def _sum_before(field: Floats) -> Floats:
    """At each site [L, T], the sum over all distances that reach no further than the border."""
    summed: Floats = field.cumsum(axis=0).cumsum(axis=1)
    return summed


def _quotient(pairs: Floats, ancestors: Floats) -> float:
    """Ratio of summed expectations; NaN without ancestors."""
    below = float(ancestors.sum())
    return float(pairs.sum()) / below if below > 0 else math.nan


def _check_parameters(**parameters: float) -> None:
    for name, value in parameters.items():
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be finite and at least 0, found {value}")


def _check_shape(shape: tuple[int, ...], n_axes: int) -> None:
    if len(shape) != n_axes or min(shape) < 1:
        axes = ", ".join("NLT"[-n_axes:])
        raise ArrayError(f"shape must be [{axes}], each at least 1, found {shape}")
