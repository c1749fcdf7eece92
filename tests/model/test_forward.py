"""Forward passes: the decoder alone, and logits where they are needed."""

from __future__ import annotations

import pytest
import torch

from avalattice.errors import ArrayError, ModelError
from avalattice.model.forward import decoder_pass, logits_pass
from avalattice.model.sites import decoder_layers
from tests.model.families import N_LAYERS, OPTIONS, VOCABULARY, tiny_model, token_ids


@pytest.mark.parametrize("name", OPTIONS)
def test_logits_at_positions_are_the_models_own(name):
    """Logits at chosen positions equal the model's, scaling and capping included."""
    model, ids = tiny_model(name), token_ids(2, 7)
    with torch.no_grad():
        full = model(ids).logits
    assert full.isfinite().all()
    assert torch.equal(logits_pass(model, ids), full)
    last = logits_pass(model, ids, torch.tensor([-1]))
    torch.testing.assert_close(last, full[:, -1:])
    some = logits_pass(model, ids, torch.tensor([0, 3, 3]))
    torch.testing.assert_close(some, full[:, [0, 3, 3]])
    own = logits_pass(model, ids, torch.tensor([[0, -2], [4, 1]]))
    torch.testing.assert_close(own, torch.stack((full[0, [0, 5]], full[1, [4, 1]])))


def test_the_head_runs_only_where_needed():
    """The head sees no more rows than positions were asked for."""
    model, rows = tiny_model("llama"), []
    handle = model.lm_head.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[1]))
    decoder_pass(model, token_ids(2, 7))
    logits_pass(model, token_ids(2, 7), torch.tensor([6]))
    assert logits_pass(model, token_ids(2, 7)).shape == (2, 7, VOCABULARY)
    assert rows == [1, 7]
    handle.remove()


@pytest.mark.parametrize("name", OPTIONS)
def test_passes_keep_no_cache_and_no_graph(name):
    """No layer gets a key-value cache, and nothing requires a gradient."""
    model, given = tiny_model(name), []
    for layer in decoder_layers(model):
        layer.register_forward_pre_hook(
            lambda _, args, kwargs: given.extend((*args, *kwargs.values())), with_kwargs=True
        )
    decoder_pass(model, token_ids())
    assert len(given) >= N_LAYERS
    assert not any(hasattr(value, "get_seq_length") for value in given)
    assert not any(value.requires_grad for value in given if isinstance(value, torch.Tensor))
    assert not logits_pass(model, token_ids()).requires_grad


@pytest.mark.parametrize("ids", [torch.zeros(4, dtype=torch.int64), torch.zeros(2, 4)])
def test_token_ids_are_a_table_of_integers(ids):
    """One window without a batch axis, or floats, are refused with the shape found."""
    for run in (decoder_pass, logits_pass):
        with pytest.raises(ArrayError, match=r"integers of shape \[B, T\]; found torch\."):
            run(tiny_model("llama"), ids)


@pytest.mark.parametrize(
    "positions", [torch.tensor([7]), torch.tensor([-8]), torch.tensor([[0]]), torch.tensor(0)]
)
def test_positions_lie_within_the_window(positions):
    """Positions outside the window, or of another shape, are refused."""
    with pytest.raises(ArrayError, match="positions must"):
        logits_pass(tiny_model("llama"), token_ids(2, 7), positions)


def test_a_foreign_module_is_refused():
    """A module that is no Hugging Face model is refused in words."""
    with pytest.raises(ModelError, match="not a Hugging Face model"):
        decoder_pass(torch.nn.Linear(2, 2), token_ids())
