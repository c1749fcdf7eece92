"""The avalanches of a raster beside those of permuted rasters, from streams with names."""

from __future__ import annotations

import numpy as np
import pytest

from avalattice.errors import InputError
from avalattice.lattice.simulate import branching_raster
from avalattice.rng import stream
from avalattice.stats.avalanche_nulls import null_avalanches
from avalattice.stats.avalanche_report import WHOLE_TOKENS, avalanche_report
from avalattice.stats.avalanche_statistics import describe_avalanches, fit_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.null_report import PERMUTED, NullStreams, permuted_rasters

RASTER = branching_raster((20, 8, 60), 0.3, 0.3, 0.02, np.random.default_rng(1))
RASTER[:, :, ::20] += 3  # tokens that are loud in every layer
RESAMPLES = Resamples.draw(len(RASTER), 100, np.random.default_rng(2))
DESCRIBED = describe_avalanches(RASTER, RESAMPLES, "ADJ_8N")
STREAMS = NullStreams(lambda null_id, rest: stream(1, str(null_id), *rest))


def test_both_nulls_are_drawn_from_streams_of_their_own():
    """Exponents are those of rasters that anybody can draw again, under the same adjacency."""
    found = avalanche_report(RASTER, DESCRIBED, RESAMPLES, STREAMS, replicates=3)
    for null, purpose, whole in (
        (found.null, (), False),
        (found.whole_tokens, (WHOLE_TOKENS,), True),
    ):
        rngs = STREAMS.of_windows(PERMUTED, len(RASTER), *purpose)
        draws = permuted_rasters(RASTER, rngs, 3, whole_tokens=whole)
        expected = null_avalanches(draws, "ADJ_8N")
        assert null.n_draws == 3
        np.testing.assert_array_equal(null.gamma.draws, expected.gamma.draws)
        np.testing.assert_array_equal(null.sizes.counts, expected.sizes.counts)


def test_whole_tokens_keep_what_a_token_has_in_every_layer():
    """Loud tokens make avalanches that span the layers: permuted rows lose them, tokens do not."""
    found = avalanche_report(RASTER, DESCRIBED, RESAMPLES, STREAMS, replicates=3)
    assert found.whole_tokens.sizes.values.max() > 2 * found.null.sizes.values.max()


def test_the_raster_itself_is_fitted_as_ever():
    """Tails and their goodness of fit are those of ``fit_avalanches``."""
    found = avalanche_report(
        RASTER,
        DESCRIBED,
        RESAMPLES,
        STREAMS,
        replicates=1,
        gof_reps=4,
        rng=np.random.default_rng(3),
    )
    expected = fit_avalanches(
        RASTER, DESCRIBED, RESAMPLES, gof_reps=4, rng=np.random.default_rng(3)
    )
    assert found.statistics.size_tail.fit.ks_p == expected.size_tail.fit.ks_p
    assert found.statistics.size_tail.alpha_interval.low == expected.size_tail.alpha_interval.low
    with pytest.raises(InputError):
        avalanche_report(RASTER, DESCRIBED, RESAMPLES, STREAMS, replicates=1, gof_reps=4)
