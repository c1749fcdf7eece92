"""The gain on a sublayer's contribution to the residual stream."""

from __future__ import annotations

from decimal import Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from avalattice.canon import CONST, GainTarget, InterventionId
from avalattice.errors import ModelError
from avalattice.model.capture import capture
from avalattice.model.forward import decoder_pass, logits_pass
from avalattice.model.gain import (
    gain,
    gain_target,
    intervention,
    intervention_target,
    layer_band,
    map_outputs,
)
from avalattice.model.sites import decoder_layers, mlp_sites
from tests.model.families import N_LAYERS, OPTIONS, tiny_model, token_ids

BANDS = [i for i in InterventionId if "BAND" in i]


def hooks_of(model):
    return [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unit_gain_is_the_model_itself(name, dtype):
    """The gain 1 leaves the logits bit-identical, for both sublayers and in reduced precision."""
    model, ids = tiny_model(name).to(dtype), token_ids()
    plain = logits_pass(model, ids)
    with gain(model, CONST.GAIN_BASELINE), gain(model, 1, target=GainTarget.ATTN):
        assert torch.equal(logits_pass(model, ids), plain)


@pytest.mark.parametrize("name", OPTIONS)
def test_layers_without_contributions_are_the_identity(name):
    """With both gains at zero, every layer of every family passes its input on unchanged."""
    model, ids = tiny_model(name), token_ids()
    into, out = [], []

    def passed(_layer, args, kwargs, output):
        into.append(args[0] if args else kwargs["hidden_states"])
        out.append(output[0] if isinstance(output, tuple) else output)

    for layer in decoder_layers(model):
        layer.register_forward_hook(passed, with_kwargs=True)
    with gain(model, 0), gain(model, 0, target=GainTarget.ATTN):
        decoder_pass(model, ids)
    assert len(into) == N_LAYERS
    assert all(map(torch.equal, into, out))


@pytest.mark.parametrize("target", list(GainTarget))
def test_gain_of_some_layers_leaves_the_layers_before(target):
    """A gain on layer l changes u at no layer before l, and at every layer after it."""
    model, ids = tiny_model("gemma2"), token_ids()

    def all_u():
        seen = []
        with capture(model, lambda _, u: seen.append(u.clone())):
            decoder_pass(model, ids)
        return seen

    plain = all_u()
    with gain(model, 0.5, target=target, layers=[1]):
        scaled = all_u()
    same = [torch.equal(a, b) for a, b in zip(plain, scaled, strict=True)]
    # attention of layer 1 comes before the MLP of layer 1, whose u it therefore changes
    assert same == [True, target is GainTarget.MLP, False]


def test_gains_nest_and_restore():
    """A gain within a gain multiplies, and each context restores what was before it."""
    model, ids = tiny_model("llama"), token_ids()
    plain = logits_pass(model, ids)
    with gain(model, 0.5):
        half = logits_pass(model, ids)
        with gain(model, 2.0):
            assert torch.equal(logits_pass(model, ids), plain)  # powers of two are exact
        assert torch.equal(logits_pass(model, ids), half)
    assert torch.equal(logits_pass(model, ids), plain)
    assert not torch.equal(half, plain)
    assert hooks_of(model) == []


def test_decimals_are_gains():
    """A decimal gain is its nearest float."""
    model, ids = tiny_model("gpt2"), token_ids()
    with gain(model, Decimal("0.85")):
        exact = logits_pass(model, ids)
    with gain(model, 0.85, target="MLP", layers=range(N_LAYERS)):
        assert torch.equal(logits_pass(model, ids), exact)


def test_hooks_are_gone_after_an_exception():
    """An exception within the context leaves no hook behind."""
    model = tiny_model("llama")
    with pytest.raises(KeyError), gain(model, 0.5):
        raise KeyError(len(hooks_of(model)))
    assert hooks_of(model) == []


def test_only_the_first_of_several_outputs_is_scaled():
    """Of a tuple the first element is scaled, and the rest is passed on."""
    module, x = nn.LSTM(2, 3), torch.ones(4, 2)  # returns a tensor and a tuple of states
    plain, states = module(x)
    with map_outputs([module], lambda out: out * 3):
        first, rest = module(x)
    assert torch.equal(first, plain * 3)
    assert all(map(torch.equal, rest, states))


def test_attention_weights_are_not_scaled():
    """Attention returns its output and its weights; the gain leaves the weights alone."""
    model = tiny_model("llama", attn_implementation="eager")
    seen = []
    with gain(model, 2, target=GainTarget.ATTN, layers=[0]):
        attention = mlp_sites(model)[0].attn_gain
        handle = attention.register_forward_hook(lambda _m, _a, output: seen.append(output))
        logits_pass(model, token_ids())
        handle.remove()
    [(_, weights)] = seen
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@pytest.mark.parametrize("g", [float("nan"), float("inf"), Decimal("-Infinity"), Decimal("NaN")])
def test_gains_must_be_finite(g):
    """NaN and infinity are no gains."""
    with pytest.raises(ModelError, match="finite"), gain(tiny_model("llama"), g):
        pass


def test_unknown_targets_and_layers_are_refused():
    """An unknown target or layer is refused with what is allowed, before any hook is set."""
    model = tiny_model("llama")
    with (
        pytest.raises(ModelError, match="'FFN'; expected one of MLP, ATTN"),
        gain(model, 1, target="FFN"),
    ):
        pass
    with pytest.raises(ModelError, match=r"layers \[7\]"), gain(model, 1, layers=[0, 7]):
        pass
    assert hooks_of(model) == []
    with pytest.raises(ModelError, match="expected one of MLP, ATTN"):
        gain_target("mlp")


@given(n_layers=st.integers(3, 200))
def test_bands_partition_the_depth(n_layers):
    """The three bands are non-empty, in order of depth, of nearly equal size, and partition it."""
    bands = [layer_band(n_layers, band) for band in BANDS]
    assert [layer for band in bands for layer in band] == list(range(n_layers))
    assert min(map(len, bands)) >= 1
    assert max(map(len, bands)) - min(map(len, bands)) <= 1


@given(n_layers=st.integers(1, 200))
def test_global_interventions_scale_every_layer(n_layers):
    """The global interventions take the whole depth."""
    for named in set(InterventionId).difference(BANDS):
        assert layer_band(n_layers, named) == range(n_layers)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_shallow_model_has_no_bands(n_layers):
    """Fewer than three layers have no thirds."""
    for band in BANDS:
        with pytest.raises(ModelError, match=f"{n_layers} layers has no thirds"):
            layer_band(n_layers, band)


def test_interventions_name_their_sublayer():
    """Only the attention intervention scales attention; an unknown name is refused."""
    attention = {i for i in InterventionId if intervention_target(i) is GainTarget.ATTN}
    assert attention == {InterventionId.ATTN_GLOBAL}
    with pytest.raises(ModelError, match=InterventionId.MLP_BAND_LATE):
        intervention_target("MLP_BAND")


def test_bands_compose_to_the_whole():
    """Gains on the three bands together are the global gain."""
    model, ids = tiny_model("llama"), token_ids()
    with gain(model, 0.7):
        whole = logits_pass(model, ids)
    early, mid, late = (gain(model, 0.7, layers=layer_band(N_LAYERS, band)) for band in BANDS)
    with early, mid, late:
        assert torch.equal(logits_pass(model, ids), whole)


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "gemma2"])
@pytest.mark.parametrize("named", list(InterventionId))
def test_an_intervention_is_the_gain_on_its_sublayer_and_layers(name, named):
    """Logits under an intervention are those of a gain on the layers and sublayer of its name."""
    model, ids = tiny_model(name), token_ids()
    with intervention(model, named, Decimal("0.7")):
        found = logits_pass(model, ids)
    target, layers = intervention_target(named), layer_band(N_LAYERS, named)
    with gain(model, 0.7, target=target, layers=layers):
        assert torch.equal(logits_pass(model, ids), found)
    others = [
        (other, layer_band(N_LAYERS, band))
        for other in GainTarget
        for band in InterventionId
        if (other, layer_band(N_LAYERS, band)) != (target, layers)
    ]
    for other, where in others:  # control
        with gain(model, 0.7, target=other, layers=where):
            assert not torch.equal(logits_pass(model, ids), found)
    assert hooks_of(model) == []


def test_an_intervention_at_gain_one_is_the_model_itself():
    """Whatever it multiplies; an unknown one, or one that the model is too shallow for, is none."""
    model, ids = tiny_model("llama"), token_ids()
    plain = logits_pass(model, ids)
    for named in InterventionId:
        with intervention(model, named, 1):
            assert torch.equal(logits_pass(model, ids), plain)
    with pytest.raises(ModelError, match="unknown intervention"), intervention(model, "MLP", 0.5):
        pass
    shallow = tiny_model("llama", num_hidden_layers=2)
    with (
        pytest.raises(ModelError, match="2 layers has no thirds"),
        intervention(shallow, InterventionId.MLP_BAND_MID, 0.5),
    ):
        pass
    assert hooks_of(shallow) == []
