"""Rasters of known make, and a strategy for small stacks of counts."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avalattice.canon import NullId
from avalattice.lattice.percolation import independent_sites

PERM = NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM
SHIFT = NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT
STRATIFIED = NullId.NULL_RASTER_TOKEN_ID_STRATIFIED

stacks = hnp.arrays(
    np.uint16,
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 12)),
    elements=st.sampled_from([0, 0, 1, 5]),
)


def sites(seed, shape, occupancy=0.2):
    return independent_sites(shape, occupancy, np.random.default_rng(seed))


def persistent_rows(rng, shape, occupancy=0.3, persistence=0.8):
    """Independent rows in which each token repeats the one before it or is drawn anew."""
    fresh = rng.random(shape) < occupancy
    renewed = rng.random(shape) >= persistence
    renewed[..., 0] = True
    source = np.maximum.accumulate(np.where(renewed, np.arange(shape[-1]), 0), axis=-1)
    return np.take_along_axis(fresh, source, axis=-1).astype(np.uint8)


def aligned_layers(rng, shape, occupancy=0.2, share=1.0):
    """Layers that repeat the layer below at a share of their tokens."""
    X = independent_sites(shape, occupancy, rng)
    repeated = rng.random(shape) < share
    for layer in range(1, shape[-2]):
        X[..., layer, :] = np.where(repeated[..., layer, :], X[..., layer - 1, :], X[..., layer, :])
    return X
