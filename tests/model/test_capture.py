"""Capture of the down-projection's input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avalattice.errors import ModelError
from avalattice.model.capture import capture
from avalattice.model.forward import decoder_pass, logits_pass
from avalattice.model.sites import decoder, decoder_layers, mlp_sites
from tests.model.families import (
    D_FF,
    FOUR_TIMES_HIDDEN,
    HIDDEN,
    N_LAYERS,
    OPTIONS,
    tiny_model,
    token_ids,
)


def captured(model, ids, *, early=False, **options):
    """Every (layer, u) of one pass, copied."""
    seen = []
    keep = lambda layer, u: seen.append((layer, u.clone()))  # noqa: E731
    with capture(model, keep, **options) as record:
        decoder_pass(model, ids, until=record if early else None)
    return seen


def hooks_of(model):
    return [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]


@pytest.mark.parametrize("name", OPTIONS)
def test_u_is_window_token_unit_in_order_of_depth(name):
    """Every layer's u has shape [B, T, F], in order of depth, also where the layer flattens it."""
    seen = captured(tiny_model(name), token_ids(3, 5))
    width = 4 * HIDDEN if name in FOUR_TIMES_HIDDEN else D_FF
    assert [layer for layer, _ in seen] == list(range(N_LAYERS))
    assert {u.shape for _, u in seen} == {(3, 5, width)}


@pytest.mark.parametrize("name", OPTIONS)
def test_stopping_early_changes_no_u(name):
    """A pass that ends at the last u gives the same bits as the full pass."""
    model, ids = tiny_model(name), token_ids()
    full, early = captured(model, ids), captured(model, ids, early=True)
    assert [layer for layer, _ in early] == [layer for layer, _ in full]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(full, early, strict=True))


def test_u_is_post_gate_and_pre_projection():
    """In a gated MLP, u = act(W_gate x) · (W_up x), to the bit."""
    model, ids = tiny_model("llama"), token_ids()
    mlp = decoder_layers(model)[1].mlp
    inputs = []
    handle = mlp.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    [(_, u)] = captured(model, ids, layers=[1])
    handle.remove()
    with torch.inference_mode():
        expected = mlp.act_fn(mlp.gate_proj(inputs[0])) * mlp.up_proj(inputs[0])
    assert torch.equal(u, expected)


def test_flattened_u_keeps_windows_and_tokens():
    """OPT's flattened u unfolds so that a window alone gives the same values."""
    model, ids = tiny_model("opt"), token_ids(3, 5)
    together = captured(model, ids)
    for window in range(3):
        alone = captured(model, ids[window : window + 1])
        for (_, u), (_, v) in zip(together, alone, strict=True):
            torch.testing.assert_close(u[window], v[0])


def test_capture_sees_the_models_own_tensor():
    """No copy is made: u is the very tensor that enters the down-projection."""
    model = tiny_model("llama")
    seen, entering = [], []
    down = mlp_sites(model)[0].down
    with capture(model, lambda _, u: seen.append(u.data_ptr()), layers=[0]):
        handle = down.register_forward_pre_hook(lambda _, args: entering.append(args[0].data_ptr()))
        decoder_pass(model, token_ids())
        handle.remove()
    assert seen == entering


def test_capture_of_some_layers():
    """Only the layers asked for are captured, and an early stop follows the deepest of them."""
    model, ids = tiny_model("llama"), token_ids()
    after = []
    handle = decoder_layers(model)[2].register_forward_pre_hook(lambda *_: after.append(1))
    assert [layer for layer, _ in captured(model, ids, layers=[1, 0], early=True)] == [0, 1]
    assert not after
    assert [layer for layer, _ in captured(model, ids, layers=[1, 0])] == [0, 1]
    assert after
    handle.remove()


def test_early_stop_skips_the_last_projection():
    """After the last u neither the down-projection nor the final norm runs."""
    model, calls = tiny_model("llama"), []
    late = [mlp_sites(model)[-1].down, model.model.norm, model.lm_head]
    handles = [m.register_forward_hook(lambda *_: calls.append(1)) for m in late]
    captured(model, token_ids(), early=True)
    assert calls == []
    captured(model, token_ids())
    assert len(calls) == 2  # the decoder has no head
    for handle in handles:
        handle.remove()


def test_capture_follows_every_pass():
    """Passes of different shapes in one context are each seen with their own shape."""
    for name in ("opt", "llama"):
        model, shapes = tiny_model(name), []
        with capture(model, lambda _, u: shapes.append(tuple(u.shape)), layers=[0]) as record:  # noqa: B023
            decoder_pass(model, token_ids(2, 7), until=record)
            decoder_pass(model, token_ids(1, 4), until=record)
            logits_pass(model, token_ids(3, 3))
        assert shapes == [(2, 7, D_FF), (1, 4, D_FF), (3, 3, D_FF)]
        assert record.n_passes == 3


def test_captures_nest():
    """Two captures of one pass see the same tensors."""
    model, ids = tiny_model("llama"), token_ids()
    inner, outer = [], []
    with (
        capture(model, lambda _, u: outer.append(u.clone())),
        capture(model, lambda _, u: inner.append(u.clone())) as record,
    ):
        decoder_pass(model, ids, until=record)
    assert len(inner) == len(outer) == N_LAYERS
    assert all(map(torch.equal, inner, outer))


@pytest.mark.parametrize("early", [False, True])
def test_no_hook_outlives_its_context(early):
    """Hooks are gone after the context, and after an exception from the receiver."""
    model = tiny_model("llama")
    captured(model, token_ids(), early=early)
    assert hooks_of(model) == []

    def fail(layer, _u):
        raise RuntimeError(f"full at {layer}")

    with pytest.raises(RuntimeError, match="full at 0"), capture(model, fail) as record:
        decoder_pass(model, token_ids(), until=record if early else None)
    assert hooks_of(model) == []


def test_an_unvisited_site_is_an_error():
    """A pass that never calls a down-projection fails at the end of the context, naming layers."""
    model = tiny_model("bloom", pretraining_tp=2, slow_but_exact=True)
    with (
        pytest.raises(ModelError, match=r"'mlp.dense_4h_to_h' of layers \[0, 1, 2\] was never"),
        capture(model, lambda *_: None),
    ):
        decoder_pass(model, token_ids())


def test_no_pass_is_no_error():
    """A context without a pass, or with an exception of its own, makes no complaint of its own."""
    model = tiny_model("llama")
    with capture(model, lambda *_: None):
        pass
    with pytest.raises(KeyError), capture(model, lambda *_: None):
        raise KeyError
    assert hooks_of(model) == []


def test_stopping_before_a_captured_layer_is_an_error():
    """An early stop that leaves a captured layer unseen is not taken for a whole pass."""
    model = tiny_model("llama")
    with (
        pytest.raises(ModelError, match=r"layers \[1, 2\]"),
        capture(model, lambda *_: None),
        capture(model, lambda *_: None, layers=[0]) as shallow,
    ):
        decoder_pass(model, token_ids(), until=shallow)


def test_embeddings_may_stand_for_tokens():
    """The shape of a batch is also told from input embeddings."""
    model, shapes = tiny_model("opt"), []
    embeddings = model.get_input_embeddings()(token_ids(2, 6))
    with capture(model, lambda _, u: shapes.append(tuple(u.shape))), torch.inference_mode():
        decoder(model)(inputs_embeds=embeddings, use_cache=False)
    assert shapes == [(2, 6, D_FF)] * N_LAYERS


def test_flat_input_outside_the_decoder_is_an_error():
    """A flattened u without a decoder pass has no known shape, and is refused."""
    model = tiny_model("opt")
    down = mlp_sites(model)[0].down
    with capture(model, lambda *_: None), pytest.raises(ModelError, match="outside its decoder"):
        down(torch.zeros(6, D_FF))


def test_capture_refuses_unknown_layers_and_models():
    """A layer out of range or a foreign module is refused before any hook is set."""
    model = tiny_model("llama")
    with pytest.raises(ModelError, match="layers 0 to 2"), capture(model, print, layers=[3]):
        pass
    with pytest.raises(ModelError, match="no configuration"), capture(nn.Linear(2, 2), print):
        pass
    assert hooks_of(model) == []
