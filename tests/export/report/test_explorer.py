"""Rasters packed for the browser read back, are small, and as many as there is room for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from avalattice.errors import ArrayError
from avalattice.export.report.explorer import (
    ExplorerCondition,
    ExplorerModel,
    ExplorerWindow,
    PackedRaster,
    PackedWindow,
    fit,
    pack_window,
    payload,
    unpack_window,
)

shapes = st.tuples(st.integers(1, 6), st.integers(1, 9))
counts = st.one_of(
    npst.arrays(np.uint16, shapes), npst.arrays(np.uint16, shapes, elements=st.integers(0, 3))
)


@given(counts)
def test_counts_read_back(A):
    """Unpacking gives the counts that were packed, whatever 16 bits hold."""
    assert np.array_equal(unpack_window(pack_window(A), *A.shape), A)


@given(counts, st.integers(0, 15))
def test_no_other_parameter_is_shorter(A, k):
    """The parameter is the one of fewest bits: each count takes (a >> k) + 1 + k."""
    values = A.astype(int)

    def bits(k: int) -> int:
        return int((values >> k).sum()) + (1 + k) * values.size

    assert bits(pack_window(A).k) <= bits(k)


def test_two_bits_a_site_at_one_event_a_site():
    """Poisson counts of mean one take no more than two bits a site, in base64 a third more."""
    A = np.random.default_rng(1).poisson(1.0, size=(30, 256))
    assert len(pack_window(A).data) <= 1.01 * A.size * 2 / 8 * 4 / 3


def test_known_code():
    """0, 2, 1 and 0 are 0, 110, 10 and 0; with k = 2, 9 is 110 and its lower bits 01."""
    assert pack_window(np.array([[0, 2, 1, 0]])) == PackedWindow(0, "aA==")  # 0110 1000
    assert pack_window(np.array([[9, 9]])) == PackedWindow(2, "zkA=")  # 1100 1110 0100 0000


@pytest.mark.parametrize("value", [-1, 65536])
def test_other_counts_are_refused(value):
    """Counts are 0 to 65535; others are an ArrayError."""
    with pytest.raises(ArrayError, match="65535"):
        pack_window(np.array([[0, value]]))


def model(n_windows: int = 6, mean: float = 1.0) -> ExplorerModel:
    """A model of one condition."""
    rng = np.random.default_rng(2)
    windows = tuple(pack_window(rng.poisson(mean, size=(8, 32))) for _ in range(n_windows))
    condition = ExplorerCondition("S", "0.4", "1.0", False, (PackedRaster("N", windows),))
    words = tuple(ExplorerWindow(n, 10 + n, ("a",) * 32) for n in range(n_windows))
    return ExplorerModel("BASE", "m", 8, 32, 24, words, (condition,))


def coded(models) -> int:
    return sum(
        len(w.data) for m in models for c in m.conditions for r in c.rasters for w in r.windows
    )


def test_as_many_windows_are_shown_as_there_is_room_for():
    """Rasters and words are cut to the same windows, one more of which would not fit."""
    whole = (model(), model())
    assert fit(whole, coded(whole)) == whole
    for room in range(0, coded(whole), 97):
        shown = fit(whole, room)
        n = len(shown[0].windows)
        assert all(len(r.windows) == n for m in shown for r in m.conditions[0].rasters)
        assert coded(shown) <= room or n == 1
        assert shown[0].windows == whole[0].windows[:n]
        assert n == 6 or coded([_cut(m, n + 1) for m in whole]) > room


def _cut(of: ExplorerModel, n: int) -> ExplorerModel:
    (condition,) = of.conditions
    (raster,) = condition.rasters
    fewer = (PackedRaster("N", raster.windows[:n]),)
    return replace(of, windows=of.windows[:n], conditions=(replace(condition, rasters=fewer),))


def test_no_model_fits():
    """Without models there is nothing to show."""
    assert fit((), 0) == ()


def test_the_payload_is_plain_json():
    """What the script reads is JSON, with every null and adjacency by its id."""
    values = json.loads(json.dumps(payload((model(),))))
    assert [a["diagonal"] for a in values["adjacencies"]] == [False, True]
    assert values["models"][0]["measured"] == 24
    assert len(values["models"][0]["conditions"][0]["rasters"]["N"]) == 6
