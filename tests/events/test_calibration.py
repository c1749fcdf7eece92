"""Calibration: moments, silent units, Chebyshev's inequality."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avalattice.canon import CONST
from avalattice.errors import ArrayError, VerificationError
from avalattice.events.calibration import (
    Calibration,
    LayerScale,
    MomentFitter,
    batch_moments,
    check_chebyshev,
)
from avalattice.events.candidates import find_candidates
from avalattice.events.counts import AppliedThresholds, base_counts, count_events
from avalattice.events.thresholds import find_ranked
from tests.events.samples import CPU, ONE, TWO, calibrate, random_u, scales_of

BATCHED = st.lists(st.integers(1, 9), min_size=1, max_size=12)
"""Sizes of the batches into which a sample is divided."""


def fitted(u: torch.Tensor, sizes) -> Calibration:
    """The calibration of one layer's activations in batches of the given sizes."""
    fitter = MomentFitter()
    for batch in u.split(sizes):
        fitter.update([batch_moments(batch)])
    return fitter.result()


@settings(deadline=None, max_examples=60)
@given(BATCHED, st.integers(0, 10**6), st.sampled_from([0.0, 1.0, -3e3]))
def test_any_partition_gives_the_two_pass_moments(sizes, seed, offset):
    """Any partition into batches gives the two-pass mean and population deviation in float64."""
    u = random_u(seed, sum(sizes), 5) + offset
    found, exact = fitted(u, sizes), u.double().numpy()
    np.testing.assert_allclose(found.mu[0], exact.mean(axis=0), rtol=2.0**-23, atol=1e-12)
    np.testing.assert_allclose(found.sigma[0], exact.std(axis=0), rtol=2.0**-23, atol=1e-9)
    assert found.n_tokens == sum(sizes)


def test_the_one_pass_formula_would_not():
    """Control: E[u²] − E[u]² in float32 misses the deviation of units far from zero."""
    u = random_u(1, 500, 20) + 3e3
    naive = (u**2).mean(dim=0) - u.mean(dim=0) ** 2
    exact = u.double().numpy().std(axis=0)
    assert np.abs(naive.clamp_min(0).sqrt().numpy() / exact - 1).max() > 0.01
    np.testing.assert_allclose(fitted(u, [7] * 71 + [3]).sigma[0], exact, rtol=2.0**-23)


def test_merging_is_the_moments_of_both_samples():
    """Merged moments are those of both samples together, whichever comes first."""
    a, b = random_u(1, 11, 4), random_u(2, 30, 4) + 5
    both = batch_moments(torch.cat([a, b]))
    for merged in (
        batch_moments(a).merge(batch_moments(b)),
        batch_moments(b).merge(batch_moments(a)),
    ):
        assert merged.n == 41
        np.testing.assert_allclose(merged.mean, both.mean, rtol=1e-13)
        np.testing.assert_allclose(merged.m2, both.m2, rtol=1e-13)


def test_bfloat16_moments_are_those_of_its_values():
    """Half-precision activations are accumulated in float64."""
    u = random_u(3, 400, 6, dtype=torch.bfloat16)
    exact = u.double().numpy()
    np.testing.assert_allclose(calibrate(u).mu[0], exact.mean(axis=0), rtol=2.0**-23)


def test_layers_of_different_widths_keep_their_own():
    """Each layer has its own width; beyond it there is NaN, which is no silent unit."""
    wide, narrow = random_u(1, 50, 7), random_u(2, 50, 3)
    found = calibrate(wide, narrow)
    assert found.mu.shape == found.sigma.shape == (2, 7)
    assert found.d_ff.tolist() == [7, 3]
    assert np.isnan(found.mu[1, 3:]).all()
    assert np.isnan(found.sigma[1, 3:]).all()
    assert not found.silent.any()
    assert [len(scale.mu) for scale in found.layers(CPU)] == [7, 3]
    alone = calibrate(narrow)
    np.testing.assert_array_equal(found.mu[1, :3], alone.mu[0])


def test_nothing_to_calibrate_is_an_error():
    """A calibration without a batch is refused."""
    with pytest.raises(ArrayError, match="at least one batch"):
        MomentFitter().result()


def test_z_is_one_float32_expression():
    """z = (u − mu) / (sigma + EPS), every step in float32, to the bit."""
    u = random_u(4, 30, 5)
    found = calibrate(u)
    [scale] = found.layers(CPU)
    z = scale.z(u.flatten(), torch.arange(u.numel()) % 5).numpy().reshape(30, 5)
    assert z.dtype == np.float32
    expected = (u.numpy() - found.mu[0]) / (found.sigma[0] + np.float32(CONST.EPS))
    np.testing.assert_array_equal(z, expected)


def test_a_unit_is_silent_up_to_eps():
    """A unit is silent where sigma ≤ EPS, and heard from the next float32 on."""
    eps = np.float32(CONST.EPS)
    sigma = np.array([0.0, eps, np.nextafter(eps, np.float32(1))], np.float32)
    assert Calibration(
        np.zeros((1, 3), np.float32), sigma[None], np.array([3]), 9
    ).silent.tolist() == [[True, True, False]]
    scale = LayerScale.of(np.zeros(3, np.float32), sigma, CPU)
    assert torch.isnan(scale.mu).tolist() == [True, True, False]


@pytest.mark.parametrize("floor", [2.5, 0.0, -1.0, -1e30, -np.inf])
@pytest.mark.parametrize("definitions", [(ONE,), (TWO,), (ONE, TWO)])
def test_silent_units_never_produce_events(floor, definitions):
    """A silent unit has no event at any threshold, also a negative one, whatever it does later."""
    calibration_u = random_u(5, 64, 6)
    calibration_u[:, [1, 4]] = 0.75
    [scale] = scales_of(calibration_u)
    u = 100 * torch.randn(64, 6, generator=torch.Generator().manual_seed(6))  # at another gain
    floors = dict.fromkeys(definitions, floor)
    found = find_candidates(u, scale, floors)
    assert not set(found.unit.tolist()) & {1, 4}
    assert set(found.unit.tolist()) == {0, 2, 3, 5}
    ranked = find_ranked(u, scale, floors, dict.fromkeys(definitions, 10))
    assert not set(ranked.unit.tolist()) & {1, 4}
    thresholds = AppliedThresholds(
        definitions, np.full((len(definitions), 1), floor, dtype=np.float32)
    )
    assert count_events(u, scale, thresholds, 0, 8).max() <= 4
    assert base_counts(u, scale, definitions, 2.5).by_unit[[1, 4]].tolist() == [0, 0]


# -------------------------------------------------------------------------------- Chebyshev


def check(u: torch.Tensor, scale: LayerScale, tau0: float = CONST.TAU0_BASELINE) -> None:
    """Count and check one layer."""
    counts = base_counts(u, scale, [ONE], tau0)
    check_chebyshev([counts.by_unit], [scale], n_tokens=len(u), tau0=tau0)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(*[st.integers(-(2**20), 2**20)] * 3),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([0.5, 1.0, 1.3, 2.5]),
)
def test_chebyshev_holds_on_any_data(values, tau0):
    """No data, however odd, makes the check of its own calibration fail."""
    u = torch.tensor(values, dtype=torch.float32) / 64
    check(u, scales_of(u)[0], tau0)


@pytest.mark.parametrize("tau0", ["1.1", "1.3", "2.2", "2.5", "2.6", "3.0", "3.3"])
def test_chebyshev_holds_where_it_is_an_equality(tau0):
    """Distributions that attain the bound, so that rounding decides the comparison, pass."""
    share = 1 / Fraction(tau0) ** 2
    n, hits = 2 * share.denominator, 2 * share.numerator
    rng = np.random.default_rng(1)
    size = (10.0 ** rng.uniform(0, 6, 300)).astype(np.float32)
    centre = (size * rng.normal(size=300) * rng.choice([0, 1, 30], 300)).astype(np.float32)
    u = np.repeat(centre[None], n, axis=0)
    u[: hits // 2] += size
    u[hits // 2 : hits] -= size
    [scale] = scales_of(torch.from_numpy(u))
    check(torch.from_numpy(u), scale, float(tau0))
    exceeded = base_counts(torch.from_numpy(u), scale, [TWO], 0.99 * float(tau0)).by_unit
    assert (exceeded == hits).all()  # just below tau0 the whole share is there


def test_a_mean_divided_by_layers_too_is_caught():
    """Control: moments divided by L times the token count break Chebyshev, and are named."""
    u, n_layers = random_u(7, 600, 8), 30
    wrong = Calibration(
        (u.mean(dim=0) / n_layers).numpy()[None],
        (u.std(dim=0, correction=0) / np.sqrt(n_layers)).numpy()[None],
        np.array([8]),
        600,
    )
    with pytest.raises(VerificationError, match=r"layer 0, unit \d .* of 600 samples.*96\.0"):
        check(u, wrong.layers(CPU)[0])


def test_a_sample_shifted_after_fitting_is_caught():
    """Control: activations that moved since the calibration break Chebyshev."""
    u = random_u(8, 600, 8)
    [scale] = scales_of(u)
    check(u, scale)
    u[:, 3] += 3 * scale.scale[3]
    with pytest.raises(VerificationError, match="layer 0, unit 3"):
        check(u, scale)


def test_the_check_names_the_layer():
    """The message counts layers from zero and names the worst unit of the first wrong one."""
    fine, wrong = np.array([16, 3]), np.array([1, 17, 40])
    scales = [LayerScale(torch.zeros(n), torch.ones(n)) for n in (2, 2, 3)]
    check_chebyshev([fine, fine], scales[:2], n_tokens=100, tau0=2.5)
    with pytest.raises(VerificationError, match=r"layer 1, unit 2 .* in 40 of 100 samples"):
        check_chebyshev([fine, wrong], scales[1:], n_tokens=100, tau0=2.5)


def test_a_mean_rounded_to_float32_is_no_violation():
    """Units that take two adjacent floats have a mean no float can hold, and still pass."""
    n = 400
    low = np.linspace(1e5, 2e5, 64, dtype=np.float32)
    high = np.nextafter(low, np.float32(np.inf))
    u = torch.from_numpy(np.where(np.arange(n)[:, None] % 100 < 19, high, low))
    [scale] = scales_of(u)
    check(u, scale)
    counts = base_counts(u, scale, [ONE], CONST.TAU0_BASELINE).by_unit
    assert (
        counts.max() > n / CONST.TAU0_BASELINE**2
    )  # what the bound about the exact mean would refuse
