"""Rasters of known make, and a strategy for small stacks of counts."""

from __future__ import annotations

import math

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


def token_driven(rng, shape, n_ids=40):
    """Layers that are independent given the token ids, with the ids [N, T]; rates rise with rank.

    Ids are drawn as words are, a few of them often and many of them once.
    """
    often = 1 / np.arange(1, n_ids + 1)
    ids = rng.choice(n_ids, size=(shape[0], shape[2]), p=often / often.sum())
    rates = 0.1 + 0.6 * rng.permutation(n_ids)[ids] / n_ids
    return (rng.random(shape) < rates[:, np.newaxis]).astype(np.uint8), ids


def moment_errors(values, mean, variance):
    """Deviation of sample mean and variance from theirs, in standard errors."""
    squares = (values - values.mean()) ** 2
    return np.array(
        [
            (values.mean() - mean) / math.sqrt(variance / len(values)),
            (squares.mean() - variance) / math.sqrt(squares.var() / len(values)),
        ]
    )
