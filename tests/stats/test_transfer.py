"""Perplexity and paired differences: what they are sums of, and when they are undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalattice.errors import ArrayError
from avalattice.lattice.branching import EdgeSums, branching, edge_sums
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.susceptibility import susceptibility
from avalattice.stats.bootstrap import Resamples, percentile_interval
from avalattice.stats.summary import NO_CHI_INTERVAL, summarise
from avalattice.stats.transfer import (
    perplexity,
    transfer_statistics,
    undefined,
    without_interval,
)

C, N, L, T = 3, 12, 4, 20
D_FF = np.full(L, 50)


def counts(seed: int = 3) -> np.ndarray:
    """Rasters of three rates, the last without any event."""
    rates = np.array([0.3, 0.9, 0.0])[:, None, None, None]
    return np.random.default_rng(seed).poisson(rates, size=(C, N, L, T)).astype(np.uint16)


def losses(seed: int = 4) -> np.ndarray:
    """Losses of windows that are not equally long."""
    rng = np.random.default_rng(seed)
    tokens = np.broadcast_to(rng.integers(5, 20, size=N), (C, N)).astype(float)
    return np.stack([tokens * rng.uniform(1, 4, size=(C, N)), tokens], axis=-1)


def measured(A: np.ndarray, loss: np.ndarray, *, seed: int = 5, denominator="valid_edges"):
    """The statistics, and the resamples that they rest on."""
    resamples = Resamples.draw(N, 300, np.random.default_rng(seed))
    sums = EdgeSums(edge_sums(A).values)
    options = {"n_tokens": T, "resamples": resamples, "denominator": denominator}
    summary = summarise(sums, d_ff=D_FF, **options)
    return transfer_statistics(summary, sums, loss, **options), resamples


@pytest.mark.parametrize("denominator", ["valid_edges", "all_sites"])
def test_values_are_those_of_the_pooled_windows(denominator) -> None:
    """Every statistic of a condition is what its own module makes of the whole raster."""
    A, loss = counts(), losses()
    found, _ = measured(A, loss, denominator=denominator)
    for c in range(2):
        ratios, null = branching(A[c], denominator=denominator), branching_null_exact(A[c])
        assert found["b_time"].value[c] == ratios.b_time
        assert found["b_depth"].value[c] == ratios.b_depth
        assert found["b_tot"].value[c] == ratios.b_tot
        if denominator == "valid_edges":
            assert found["delta_b_tot"].value[c] == pytest.approx(null.delta_b_tot)
            assert found["delta_b_depth_shift"].value[c] == pytest.approx(null.delta_b_depth_shift)
        assert found["chi"].value[c] == pytest.approx(susceptibility(A[c]).chi)
        mean = loss[c, :, 0].sum() / loss[c, :, 1].sum()
        assert found["nll_mean"].value[c] == pytest.approx(mean)
        assert found["ppl"].value[c] == pytest.approx(math.exp(mean))


def test_perplexity_weighs_tokens_and_not_windows() -> None:
    """A long window counts for more than a short one, unlike in a mean of perplexities."""
    loss = losses()[:1].sum(axis=1)
    by_window = np.exp(losses()[0, :, 0] / losses()[0, :, 1])
    ppl = perplexity(loss)["ppl"][0]
    assert ppl == pytest.approx(math.exp(loss[0, 0] / loss[0, 1]))
    assert ppl != pytest.approx(by_window.mean(), rel=1e-3)


def test_differences_are_paired_by_window() -> None:
    """An interval of a difference is that of two pooled sums under the same weights."""
    A, loss = counts(), losses()
    found, resamples = measured(A, loss)
    value, interval = found["ppl"].difference(0, 1)
    pooled = [np.exp(np.divide(*(resamples.weights @ loss[c]).T)) for c in (0, 1)]
    assert value == found["ppl"].value[1] - found["ppl"].value[0]
    expected = percentile_interval(pooled[1] - pooled[0])
    np.testing.assert_allclose([interval.low, interval.high], [expected.low, expected.high])
    reverse, flipped = found["ppl"].difference(1, 0)
    assert reverse == -value
    np.testing.assert_allclose([flipped.low, flipped.high], [-interval.high, -interval.low])


def test_pairing_removes_what_windows_share() -> None:
    """Two conditions whose windows rise and fall together differ by far less than either varies."""
    shared = np.random.default_rng(6).uniform(1, 4, size=N)
    loss = np.stack([np.stack([shared + shift, np.ones(N)], axis=-1) for shift in (0.0, 0.5, 0.0)])
    found, _ = measured(counts(), loss)
    _, paired = found["nll_mean"].difference(0, 1)
    assert paired.width == pytest.approx(0, abs=1e-12)
    assert found["nll_mean"].interval_of(0).width > 0.2


def test_a_raster_without_events_has_reasons_and_a_perplexity() -> None:
    """Branching and chi are NaN without events, and say why; the loss is not touched."""
    found, _ = measured(counts(), losses())
    assert undefined(found, 0) is None
    said = undefined(found, 2)
    assert said == (
        "b_time, b_depth, b_tot, delta_b_tot, delta_b_depth_shift, chi: "
        "no occupied site has a successor; chi needs two windows and some event"
    )
    assert np.isfinite(found["ppl"].value[2])
    value, interval = found["b_tot"].difference(0, 2)
    assert np.isnan([value, interval.low, interval.high]).all()


def test_what_is_defined_may_have_no_interval() -> None:
    """Equal totals leave chi without one, events in one window the branching ratios."""
    A = counts()
    A[0] = 2
    A[1, 1:] = 0
    found, _ = measured(A, losses())
    assert undefined(found, 0) is None
    assert (found["chi"].value[0], without_interval(found, 0)) == (0, NO_CHI_INTERVAL)
    assert np.isnan(found["chi"].interval_of(0).width)
    said = without_interval(found, 1)
    assert said is not None
    names = "b_time, b_depth, b_tot, delta_b_tot, delta_b_depth_shift"
    assert said.startswith(f"no interval of {names}")
    assert "nll_mean" not in said
    assert without_interval(measured(counts(), losses())[0], 0) is None  # control


def test_a_perplexity_that_float64_cannot_hold_is_undefined() -> None:
    """Beyond exp(709) ppl is NaN with a reason, and its logarithm is still there."""
    loss = losses()
    loss[0, :, 0] = 800 * loss[0, :, 1]
    found, _ = measured(counts(), loss)
    assert np.isnan(found["ppl"].value[0])
    assert found["nll_mean"].value[0] == pytest.approx(800)
    assert undefined(found, 0) == "ppl: the perplexity is beyond float64"


@given(st.floats(0.1, 20.0), st.integers(1, 1000))
def test_a_uniform_guess_over_v_tokens_has_perplexity_v(nats: float, tokens: int) -> None:
    """Tokens of log V nats each have perplexity V, however many there are."""
    found = perplexity(np.array([nats * tokens, tokens]))
    assert found["ppl"] == pytest.approx(math.exp(nats), rel=1e-9)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda loss: loss[:, :-1],
        lambda loss: loss[:2],
        lambda loss: np.where(loss > 30, np.nan, loss),
    ],
)
def test_losses_of_other_windows_are_refused(spoil) -> None:
    """Losses must be finite, and of the conditions and windows of the rasters."""
    with pytest.raises(ArrayError, match=r"losses: expected finite sums \(3, 12, 2\)"):
        measured(counts(), spoil(losses()))
