"""Profiles: the events of each token, and a collapse at the planted exponent only."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avalattice.canon import CONST
from avalattice.errors import ArrayError
from avalattice.stats.profiles import avalanche_profiles, mean_profiles, profile_collapse


def parabolas(gamma: float, lean: float = 0.0) -> dict[int, np.ndarray]:
    """Profiles D^(gamma − 1)·F(t) with one shape F, leaning early for a positive lean."""
    found = {}
    for span in (8, 12, 20, 40):
        t = np.arange(1, span + 1) / (span + 1)
        found[span] = span ** (gamma - 1) * t * (1 - t) * (1 + lean * (1 - 2 * t))
    return found


def test_profiles_of_one_shape_collapse_at_their_exponent_only():
    """The error is smallest at the planted gamma, and larger on either side."""
    errors = {gamma: profile_collapse(parabolas(1.6), gamma).error for gamma in (1.2, 1.6, 2.0)}
    assert errors[1.6] < 1e-3
    assert min(errors[1.2], errors[2.0]) > 20 * errors[1.6]


def test_collapse_error_is_that_of_its_formula():
    """Two flat curves of heights 1 and 2: variance ½ over the squared range of all."""
    collapse = profile_collapse({3: np.ones(3), 4: 2 * np.ones(4)}, 1.0)
    expected = np.mean(np.var(collapse.curves, axis=0, ddof=1)) / 2**2
    assert collapse.error == pytest.approx(expected)
    middle = collapse.curves[:, 500]
    np.testing.assert_allclose(middle, [1, 2])


def test_skewness_has_the_sign_of_the_lean():
    """A symmetric shape has none; one that leans early is positive, its mirror image negative."""
    skewness = [profile_collapse(parabolas(1.5, lean), 1.5).skewness for lean in (-0.5, 0.0, 0.5)]
    assert skewness[0] == pytest.approx(-skewness[2])
    assert skewness[1] == pytest.approx(0, abs=1e-9)
    assert skewness[2] > 0.1


def test_one_profile_has_no_collapse():
    """A single span, or none, gives NaN with a reason."""
    for profiles in ({}, {5: np.ones(5)}):
        collapse = profile_collapse(profiles, 1.5)
        assert math.isnan(collapse.error)
        assert "a collapse needs two" in collapse.reason
    with pytest.raises(ArrayError, match="profile of span 5 has 4 values"):
        profile_collapse({5: np.ones(4)}, 1.5)


def test_profiles_are_the_events_of_each_token():
    """Profiles of a labelled stack are its counts summed over layers, from first to last token."""
    rng = np.random.default_rng(10)
    A = rng.integers(1, 5, (2, 3, 4, 9)).astype(np.uint16)
    labels = np.zeros(A.shape, np.int64)
    labels[0, 0, 1:3, 2:6] = 7
    labels[0, 0, 0, 8] = 2
    labels[1, 2, :, 0:5] = 40
    profiles = avalanche_profiles(A, labels)
    np.testing.assert_array_equal(profiles.duration, [1, 4, 5])
    expected = [A[0, 0, 0, 8:9], A[0, 0, 1:3, 2:6].sum(axis=0), A[1, 2, :, 0:5].sum(axis=0)]
    np.testing.assert_array_equal(profiles.events, np.concatenate(expected))
    np.testing.assert_array_equal(profiles.start, [0, 1, 5])


def test_mean_profiles_average_within_a_span():
    """Spans with enough avalanches have the mean of their profiles; rarer spans are left out."""
    enough = CONST.CRACKLING_MIN_PER_POINT
    A = np.random.default_rng(11).integers(1, 9, (enough, 2, 10)).astype(np.uint16)
    labels = np.zeros(A.shape, np.int64)
    labels[:, :, 0:4] = np.arange(1, enough + 1)[:, None, None]
    labels[:-1, :, 5:10] = np.arange(100, 100 + enough - 1)[:, None, None]
    means = mean_profiles(avalanche_profiles(A, labels))
    assert list(means) == [4]
    np.testing.assert_allclose(means[4], A[:, :, 0:4].sum(axis=1).mean(axis=0))


def test_empty_stacks_have_no_profiles():
    """A silent stack gives no profile, and no error."""
    profiles = avalanche_profiles(np.zeros((2, 3, 5), np.uint16), np.zeros((2, 3, 5), np.int64))
    assert profiles.events.size == profiles.duration.size == 0
    assert mean_profiles(profiles) == {}


def test_labels_must_name_one_avalanche():
    """A label in two windows, a negative one, or labels of another shape are errors."""
    A = np.ones((2, 2, 3), np.uint16)
    for labels, message in (
        (np.ones((2, 2, 3), np.int64), "unique across the stack"),
        (np.full((2, 2, 3), -1), "at least 0"),
        (np.ones((2, 3), np.int64), "one shape"),
    ):
        with pytest.raises(ArrayError, match=message):
            avalanche_profiles(A, labels)
