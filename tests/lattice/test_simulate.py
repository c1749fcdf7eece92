"""The branching process on the lattice: what is planted is found, and what is measured is known."""

from __future__ import annotations

import numpy as np
import pytest

from avalattice.errors import ArrayError, InputError
from avalattice.lattice.branching import branching
from avalattice.lattice.simulate import (
    PlantedGain,
    branching_raster,
    drive_for_rate,
    expected_branching,
)
from avalattice.rng import stream
from avalattice.stats.multistep import multistep_branching, multistep_depth

PLANTED = PlantedGain(n_layers=30, n_tokens=64, b_time=0.3, b_depth=0.5, rate=0.2)
PROCESSES = [
    ((40, 50), 0.3, 0.5, 0.02),  # subcritical
    ((12, 20), 0.5, 0.5, 0.05),  # critical
    ((10, 12), 0.6, 0.7, 0.05),  # supercritical
    ((5, 9), 0.5, 0.0, 0.1),  # rows apart
    ((9, 5), 0.0, 0.8, 0.1),  # columns apart
    ((4, 6), 0.4, 0.5, 1.0),  # crowded
    ((2, 2), 0.9, 0.2, 0.3),
]


def deviation(part: np.ndarray, whole: np.ndarray, expected: float) -> float:
    """A pooled ratio of window sums less its expectation, in standard errors over windows."""
    part, whole = (np.sum(each, axis=(1, 2), dtype=float) for each in (part, whole))
    found = part.sum() / whole.sum()
    return (found - expected) / (np.std(part - found * whole) / whole.mean() / len(part) ** 0.5)


def deviations(A: np.ndarray, rate: float, occupancy: float, b_time: float, b_depth: float):
    """Those of the four numbers of a raster."""
    X = A > 0
    return [
        deviation(A, np.ones(A.shape), rate),
        deviation(X, np.ones(A.shape), occupancy),
        deviation(X[..., 1:] & X[..., :-1], X[..., :-1], b_time),
        deviation(X[:, 1:] & X[:, :-1], X[:, :-1], b_depth),
    ]


# ------------------------------------------------------------------------ what is measured is known


@pytest.mark.parametrize(("shape", "b_time", "b_depth", "drive"), PROCESSES)
def test_measured_ratios_are_those_expected(shape, b_time, b_depth, drive):
    """Rate, occupancy, b_time and b_depth of many windows meet their expectations."""
    rng = np.random.default_rng(1)
    A = branching_raster((2_000_000 // (shape[0] * shape[1]), *shape), b_time, b_depth, drive, rng)
    known = expected_branching(shape, b_time, b_depth, drive)
    expected = (known.events_per_site, known.occupancy, known.b_time, known.b_depth)
    assert np.abs(deviations(A, *expected)).max() < 4


def test_measured_ratios_are_not_those_planted():
    """Control: neighbours with a common ancestor make b_time and b_depth exceed the planted."""
    shape, b_time, b_depth, drive = PROCESSES[0]
    A = branching_raster((1000, *shape), b_time, b_depth, drive, np.random.default_rng(1))
    assert min(deviations(A, A.mean(), 0.5, b_time, b_depth)[2:]) > 10


def test_independent_sites_are_the_process_without_descendants():
    """With a drive alone p = 1 − exp(−drive), and both ratios equal p."""
    known = expected_branching((6, 7), 0.0, 0.0, 0.7)
    p = 1 - np.exp(-0.7)
    found = [known.occupancy, known.b_time, known.b_depth, known.b_tot / 2]
    np.testing.assert_allclose(found, p, rtol=1e-12)
    assert known.events_per_site == pytest.approx(0.7)


def test_columns_apart_follow_their_recursion():
    """Without b_time a column is a branching process with immigration, solved one layer at a time.

    P(A[l] = 0) = G_l(0) with G_l(s) = exp(drive (s − 1)) G_{l−1}(exp(b (s − 1))), and both of two
    layers are empty with probability G_l(0) exp(−drive).
    """
    n_layers, b, drive = 8, 0.9, 0.3

    def generating(layer: int, s: float) -> float:
        below = generating(layer - 1, np.exp(b * (s - 1))) if layer else 1.0
        return np.exp(drive * (s - 1)) * below

    empty = np.array([generating(layer, 0.0) for layer in range(n_layers)])
    both = 1 - empty[:-1] - empty[1:] + empty[:-1] * np.exp(-drive)
    known = expected_branching((n_layers, 5), 0.0, b, drive)
    assert known.occupancy == pytest.approx(1 - empty.mean(), rel=1e-12)
    assert known.b_depth == pytest.approx(both.sum() / (1 - empty[:-1]).sum(), rel=1e-12)
    assert known.b_time == pytest.approx(np.sum((1 - empty) ** 2) / np.sum(1 - empty), rel=1e-12)


def test_expectation_does_not_know_which_axis_is_which():
    """Layers and tokens exchanged, with their ratios, exchange b_time and b_depth."""
    one, other = (
        expected_branching((7, 11), 0.2, 0.6, 0.1),
        expected_branching((11, 7), 0.6, 0.2, 0.1),
    )
    assert (one.b_time, one.b_depth) == pytest.approx((other.b_depth, other.b_time), rel=1e-12)
    assert one.occupancy == pytest.approx(other.occupancy, rel=1e-12)


def test_without_neighbours_or_events_a_ratio_is_undefined():
    """A single row has no b_depth, a single column no b_time, a silent window neither."""
    row, column = expected_branching((1, 6), 0.4, 0.4, 0.2), expected_branching((6, 1), 0.4, 0.4, 1)
    silent = expected_branching((4, 5), 0.4, 0.4, 0.0)
    undefined = [row.b_depth, column.b_time, silent.b_time, silent.b_depth]
    assert np.isnan(undefined).all()
    assert np.isfinite([row.b_time, column.b_depth]).all()
    assert (silent.events_per_site, silent.occupancy) == (0.0, 0.0)


# -------------------------------------------------------------------- what is planted is found


def descendants(A: np.ndarray) -> np.ndarray:
    """Least squares of each site on one, on the token before it, and on the layer below it."""
    inner = A[:, 1:, 1:].astype(float)
    before, below = A[:, 1:, :-1], A[:, :-1, 1:]
    design = np.stack([np.ones(inner.size), before.ravel(), below.ravel()], axis=1)
    return np.linalg.lstsq(design, inner.ravel(), rcond=None)[0]


@pytest.mark.parametrize(("b_time", "b_depth"), [(0.3, 0.5), (0.0, 0.9), (0.6, 0.0), (0.5, 0.5)])
def test_descendants_of_an_event_are_those_planted(b_time, b_depth):
    """Regression of sites on their two predecessors gives drive, b_time and b_depth."""
    rng = np.random.default_rng(2)
    A = branching_raster((1500, 20, 40), b_time, b_depth, 0.05, rng)
    np.testing.assert_allclose(descendants(A), [0.05, b_time, b_depth], atol=0.01)
    shuffled = rng.permuted(A, axis=-1)  # control
    assert abs(descendants(shuffled)[1:] - [b_time, b_depth]).max() > 0.2


@pytest.mark.parametrize("ratio", [0.6, 0.9])
@pytest.mark.parametrize("seen", [1.0, 0.05])
def test_multistep_regression_recovers_the_ratio_of_columns(ratio, seen):
    """Without b_time multistep_depth is b_depth, at 5 % subsampling too; one step alone is not."""
    rng = np.random.default_rng(3)
    A = branching_raster((80, 80, 256), 0.0, ratio, 10 * (1 - ratio), rng)[:, 40:]
    found = multistep_depth(rng.binomial(A, seen))
    assert found.b == pytest.approx(ratio, abs=0.03)
    assert (abs(found.slopes[0] - ratio) < 0.02) == (seen == 1.0)


def test_multistep_regression_recovers_the_ratio_of_layers():
    """Layer totals of wide windows have ratio b_depth / (1 − b_time): descendants along the row."""
    rng = np.random.default_rng(4)
    A = branching_raster((3000, 50, 100), 0.3, 0.5, 0.2, rng)[:, 25:]
    found = multistep_branching(A.sum(axis=2), mean="step")
    assert found.b == pytest.approx(0.5 / 0.7, abs=0.03)


def test_descendants_per_ancestor_on_counts():
    """Without b_time, b_depth_count less what the drive adds to it is b_depth."""
    drive, b_depth = 0.1, 0.8
    A = branching_raster((3000, 20, 30), 0.0, b_depth, drive, np.random.default_rng(5))
    ancestors = A[:, :-1]
    by_drive = drive * (ancestors > 0).sum() / ancestors.sum()
    assert branching(A).b_depth_count - by_drive == pytest.approx(b_depth, abs=0.005)


# -------------------------------------------------------------------- the family of gains


@pytest.mark.parametrize("gain", [0.0, 0.7, 1.0, 1.3])
def test_the_rate_is_the_same_at_every_gain(gain):
    """Expected events per site are the rate, and drawn ones meet it; b_tot is not the same."""
    assert PLANTED.expected(gain).events_per_site == pytest.approx(0.2, rel=1e-12)
    A = PLANTED.draw(1500, gain, np.random.default_rng(6))
    assert abs(deviation(A, np.ones(A.shape), 0.2)) < 4
    others = [other for other in (0.0, 0.7, 1.0, 1.3) if other != gain]
    b_tot = PLANTED.expected(gain).b_tot
    assert min(abs(PLANTED.expected(other).b_tot - b_tot) for other in others) > 0.1


def test_the_crossing_is_where_b_tot_is_one():
    """Expected b_tot is one at the crossing, and what is drawn there is one within its error."""
    crossing = PLANTED.crossing(0.7, 1.3)
    assert PLANTED.expected(crossing).b_tot == pytest.approx(1, abs=1e-9)
    measured = [branching(PLANTED.draw(400, g, np.random.default_rng(7))).b_tot for g in (0.9, 1.1)]
    at_crossing = branching(PLANTED.draw(400, crossing, np.random.default_rng(7))).b_tot
    assert at_crossing == pytest.approx(1, abs=0.02)
    assert measured[0] < 0.95 < 1.05 < measured[1]
    with pytest.raises(InputError, match=r"at gain 0.5 and .* at 0.9: a crossing needs a change"):
        PLANTED.crossing(0.5, 0.9)


def test_drive_and_rate_are_inverse():
    """The drive for a rate gives that rate, on a lattice of any shape."""
    for shape in ((1, 1), (1, 9), (9, 1), (7, 5)):
        drive = drive_for_rate(shape, 0.4, 0.3, 0.25)
        assert expected_branching(shape, 0.4, 0.3, drive).events_per_site == pytest.approx(0.25)


# -------------------------------------------------------------------- bookkeeping


def test_the_same_stream_gives_the_same_raster():
    """A stream's name decides every count; another name gives another raster."""
    shape = (3, 4, 5)
    one, same, other = (
        branching_raster(shape, 0.4, 0.4, 0.5, stream(1337, "planted", name)) for name in "aab"
    )
    assert one.dtype == np.uint16
    assert one.shape == shape
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_counts_beyond_uint16_are_refused():
    """A process that explodes is an error that names the number, not a wrapped count."""
    with pytest.raises(ArrayError, match=r"has \d{5,} events, more than the 65535"):
        branching_raster((4, 30, 60), 1.0, 1.0, 0.1, np.random.default_rng(8))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: branching_raster((1, 2, 3), -0.1, 0, 0, r), InputError, "b_time must be finite"),
        (lambda r: branching_raster((1, 2, 3), 0, np.nan, 0, r), InputError, "b_depth must be"),
        (lambda r: branching_raster((1, 2, 3), 0, 0, np.inf, r), InputError, "found inf"),
        (lambda r: branching_raster((1, 0, 3), 0, 0, 1, r), ArrayError, r"\[N, L, T\], each at"),
        (lambda r: branching_raster((2, 3), 0, 0, 1, r), ArrayError, r"found \(2, 3\)"),
        (lambda r: expected_branching((2, 3, 4), 0, 0, 1), ArrayError, r"must be \[L, T\]"),
        (lambda r: drive_for_rate((2, 3), 0, 0, -1), InputError, "rate must be .* found -1"),
    ],
)
def test_wrong_input_is_named(call, error, message):
    """Negative or infinite parameters and empty axes raise what names them."""
    with pytest.raises(error, match=message):
        call(np.random.default_rng(9))
