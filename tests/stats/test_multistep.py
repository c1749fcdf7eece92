"""Multistep regression: branching processes of known ratio, seen in full and in part."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avalattice.errors import ArrayError, InputError
from avalattice.stats.multistep import _decay, multistep_branching, multistep_depth

RATIO, DRIVE = 0.95, 10


def branching_process(rng, n_series: int, length: int, ratio: float = RATIO) -> np.ndarray:
    """Poisson offspring with a constant drive, stationary, [n_series, length]."""
    activity = np.full(n_series, round(DRIVE / (1 - ratio)))
    steps = []
    for step in range(200 + length):
        activity = rng.poisson(ratio * activity + DRIVE)
        if step >= 200:
            steps.append(activity)
    return np.stack(steps, axis=1)


def test_ratio_survives_subsampling():
    """At 5 % subsampling b is still 0.95, where the one-step regression finds less than half."""
    rng = np.random.default_rng(1)
    full = branching_process(rng, 1, 60_000)
    seen = multistep_branching(rng.binomial(full, 0.05))
    assert seen.b == pytest.approx(RATIO, abs=0.01)
    assert seen.slopes[0] < 0.5
    assert multistep_branching(full).amplitude == pytest.approx(1, abs=0.05)
    assert seen.amplitude < 0.5


@pytest.mark.parametrize("ratio", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("mean", ["stationary", "step"])
def test_short_series_are_pooled(ratio, mean):
    """Ten thousand series of 30 steps give b at 20 % subsampling; a mean per series does not."""
    rng = np.random.default_rng(2)
    seen = rng.binomial(branching_process(rng, 10_000, 30, ratio), 0.2)
    fit = multistep_branching(seen, mean=mean)
    assert fit.b == pytest.approx(ratio, abs=0.02)
    assert fit.scale == pytest.approx(-1 / math.log(fit.b))
    assert not multistep_branching(seen, mean="series").b > ratio - 0.05  # NaN where nothing decays


def test_depth_survives_a_profile_of_rates():
    """Layers that show different parts of the activity leave b alone; one mean for all does not."""
    rng = np.random.default_rng(3)
    full = branching_process(rng, 12_000, 30)
    shown = rng.binomial(full, np.linspace(0.02, 0.3, 30))
    counts = shown.reshape(40, 300, 30).transpose(0, 2, 1)
    assert multistep_depth(counts).b == pytest.approx(RATIO, abs=0.02)
    assert multistep_branching(shown, mean="stationary").b > RATIO + 0.02


def test_silent_layers_are_left_out():
    """A layer without events changes neither the slopes of the others nor b."""
    rng = np.random.default_rng(4)
    shown = rng.binomial(branching_process(rng, 8000, 30), 0.3)
    shown[:, 7] = 0
    assert multistep_branching(shown, mean="step").b == pytest.approx(RATIO, abs=0.02)


def test_offset_takes_up_a_shared_drive():
    """Loud and quiet series raise b towards one; a fitted offset brings it back."""
    rng = np.random.default_rng(5)
    full = branching_process(rng, 20_000, 40, 0.7)
    loud = rng.binomial(full, rng.uniform(0.3, 0.7, (20_000, 1)))
    assert multistep_branching(loud, mean="step").b > 0.85
    with_offset = multistep_branching(loud, mean="step", offset=True)
    assert with_offset.b == pytest.approx(0.7, abs=0.03)
    assert with_offset.offset > 0.05


@pytest.mark.parametrize("mean", ["stationary", "step"])
def test_constant_slopes_beside_an_offset_have_no_b(mean):
    """Loud series that hand nothing on: b near one without an offset, and no b with one."""
    rng = np.random.default_rng(9)
    same = np.repeat(rng.poisson(3, (2000, 1)), 30, axis=1)
    loud = rng.poisson(np.repeat(rng.gamma(1, 1, (20_000, 1)), 30, axis=1))
    for activity in (same, loud):
        assert multistep_branching(activity, mean=mean).b == pytest.approx(1, abs=2e-3)
        fit = multistep_branching(activity, mean=mean, offset=True)
        assert math.isnan(fit.b)
        assert fit.reason.startswith("slopes differ by no more than sampling noise")


def test_a_decay_that_an_offset_could_be_is_refused():
    """Slopes on a straight line are the limit b → 1 of a decay with an offset."""
    lags = np.arange(1, 16)
    straight = _decay(lags, 0.5 - 0.01 * lags, offset=True)
    assert math.isnan(straight.b)
    assert straight.reason == "so slow a decay cannot be told from an offset"
    assert _decay(lags, 0.2 + 0.3 * 0.9**lags, offset=True).b == pytest.approx(0.9)  # control


def test_every_other_layer_may_be_silent():
    """Odd lags join no two active layers, and are left out; b is that of the even ones."""
    rng = np.random.default_rng(10)
    shown = rng.binomial(branching_process(rng, 12_000, 30), 0.3)
    shown[:, 1::2] = 0
    fit = multistep_branching(shown, mean="step")
    np.testing.assert_array_equal(fit.lags, np.arange(2, 15, 2))
    assert fit.b == pytest.approx(RATIO, abs=0.02)
    assert fit.reason == ""


@pytest.mark.parametrize(("active", "n"), [([4], 0), ([4, 9], 1)])
def test_too_few_lags_between_active_layers_are_a_reason(active, n):
    """What varies in one or two layers alone is not said not to vary."""
    counts = np.random.default_rng(11).poisson(1.0, (4, 30, 50))
    silent = np.setdiff1d(np.arange(30), active)
    counts[:, silent] = 0
    fit = multistep_depth(counts)
    assert math.isnan(fit.b)
    assert fit.reason == f"two active steps lie at {n} of the 15 distances, 3 needed"


def test_slopes_follow_the_decay():
    """Slopes of many stationary series follow amplitude·b^k, and the residual is small."""
    rng = np.random.default_rng(6)
    fit = multistep_branching(branching_process(rng, 20_000, 30, 0.8), mean="step")
    np.testing.assert_allclose(fit.slopes, fit.amplitude * fit.b**fit.lags, atol=0.02)
    assert fit.residual < 0.01
    np.testing.assert_array_equal(fit.lags, np.arange(1, 16))


@pytest.mark.parametrize(
    ("activity", "reason"),
    [
        (np.ones((5, 30)), "does not vary"),
        (np.zeros((5, 30)), "does not vary"),
        (np.random.default_rng(7).poisson(3, (2000, 30)), "sampling noise"),
    ],
)
@pytest.mark.parametrize("mean", ["stationary", "step"])
def test_without_a_decay_b_is_nan_with_a_reason(activity, reason, mean):
    """Constant, silent and independent activity has no b."""
    fit = multistep_branching(activity, mean=mean)
    assert math.isnan(fit.b)
    assert reason in fit.reason


@pytest.mark.parametrize(
    ("activity", "options", "error", "message"),
    [
        (np.ones((2, 3, 4)), {}, ArrayError, r"activity must be \[length\]"),
        (np.array([[1.0, np.nan]]), {}, ArrayError, "finite and at least 0"),
        (-np.ones((2, 30)), {}, ArrayError, "finite and at least 0"),
        (np.ones((4, 4)), {}, ArrayError, "max_lag must exceed 2"),
        (np.ones((4, 9)), {"max_lag": 9}, ArrayError, "stay below 9, found 9"),
        (np.ones(30), {"mean": "step"}, InputError, "of one series leaves nothing"),
    ],
)
def test_wrong_input_is_named(activity, options, error, message):
    """Wrong axes, values and lags raise an error that says what was expected and found."""
    with pytest.raises(error, match=message):
        multistep_branching(activity, **options)


def test_counts_of_one_axis_are_refused():
    """Depth needs layers and tokens."""
    with pytest.raises(ArrayError, match=r"counts must be \[\.\.\., L, T\]"):
        multistep_depth(np.ones(30))


@pytest.mark.parametrize("offset", [False, True])
def test_too_few_layers_or_tokens_are_a_reason(offset):
    """Fewer layers than the lags need, and a single token, leave b undefined, in words."""
    needed = 8 if offset else 6
    counts = np.random.default_rng(1).poisson(1.0, (4, needed, 9))
    assert multistep_depth(counts, offset=offset).slopes.size == needed // 2
    few = multistep_depth(counts[:, 1:], offset=offset)
    assert math.isnan(few.b)
    assert few.reason == f"regression over depth needs {needed} layers, there are {needed - 1}"
    alone = multistep_depth(counts[:1, :, :1], offset=offset)
    assert alone.reason == "regression over depth needs two tokens, there is one"


@pytest.mark.filterwarnings("ignore")  # the oracle's own warnings are not ours to mend
@pytest.mark.parametrize("shape", [(1, 20_000), (3000, 30)])
def test_mrestimator_agrees(shape):
    """The toolbox's stationary-mean slopes are the same to rounding, and so is its b."""
    mrestimator = pytest.importorskip("mrestimator")
    rng = np.random.default_rng(8)
    seen = rng.binomial(branching_process(rng, *shape), 0.3)
    fit = multistep_branching(seen)
    oracle = mrestimator.coefficients(
        seen, method="stationarymean", steps=(1, int(fit.lags[-1])), numboot=0
    )
    np.testing.assert_allclose(fit.slopes, oracle.coefficients, atol=1e-10)
    decay = mrestimator.fit(oracle, fitfunc=mrestimator.f_exponential)
    assert fit.b == pytest.approx(decay.mre, abs=5e-3)
