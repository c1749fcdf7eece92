"""Batches through a tiny model: what a function sees of each layer, and what must not pass."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
import torch

from avalattice.canon import DatasetRole, InterventionId, WindowSet
from avalattice.data.windows import WindowSlice
from avalattice.errors import NonFiniteError
from avalattice.events.passes import Batch, batches, collect, collect_with_nll
from avalattice.model.capture import capture
from avalattice.model.forward import decoder_pass, logits_pass
from avalattice.model.gain import gain, intervention
from avalattice.model.sites import mlp_sites
from tests.model.families import D_FF, N_LAYERS, VOCABULARY, tiny_model

ONE = Decimal("1.0")
N, S = 5, 9


def windows(*, warmup: int = 0) -> WindowSlice:
    """Five windows of nine tokens, none of which is the last one of the vocabulary."""
    ids = np.random.default_rng(3).integers(VOCABULARY - 1, size=(N, S)).astype(np.int32)
    return WindowSlice(
        DatasetRole.A, WindowSet.CALIBRATION, np.arange(N, dtype=np.int32), ids, warmup
    )


def whole(*, warmup: int = 0) -> Batch:
    [batch] = batches(windows(warmup=warmup), N)
    return batch


def keep(layer: int, u: torch.Tensor) -> tuple[int, torch.Tensor]:
    return layer, u.clone()


def hooks_of(model) -> list:
    return [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]


# ------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("warmup", [0, 4])
def test_batches_are_consecutive_windows(warmup):
    """Every window comes once, in order, with its slice position counted in lattice tokens."""
    chosen = windows(warmup=warmup)
    parts = list(batches(chosen, 2))
    assert [(b.first, b.n_windows) for b in parts] == [(0, 2), (2, 2), (4, 1)]
    assert [b.first_position for b in parts] == [f * (S - warmup) for f in (0, 2, 4)]
    together = torch.cat([b.input_ids for b in parts]).numpy()
    np.testing.assert_array_equal(together, chosen.input_ids)


def test_batches_of_a_block_keep_their_slice_positions():
    """A block of a slice gives the windows from start to stop, numbered as in the slice."""
    parts = list(batches(windows(), 2, start=1, stop=4))
    assert [(b.first, b.n_windows) for b in parts] == [(1, 2), (3, 1)]
    np.testing.assert_array_equal(parts[1].input_ids.numpy(), windows().input_ids[3:4])
    assert list(batches(windows(), 2, start=N)) == []


# ------------------------------------------------------------------------------------ collect


def test_results_come_for_every_layer_in_order():
    """One result per layer, in order of depth, of u with windows and tokens flattened."""
    results = collect(tiny_model("llama"), whole(), ONE, keep)
    assert [layer for layer, _ in results] == list(range(N_LAYERS))
    assert {u.shape for _, u in results} == {(N * S, D_FF)}


def test_rows_are_window_times_length_plus_token():
    """Row n·T + t of u is token t of window n."""
    model, batch = tiny_model("llama"), whole()
    together = collect(model, batch, ONE, keep)
    for n in range(N):
        alone = collect(model, Batch(n, batch.input_ids[n : n + 1], 0), ONE, keep)
        for (_, a), (_, b) in zip(together, alone, strict=True):
            torch.testing.assert_close(a[n * S : (n + 1) * S], b)


@pytest.mark.parametrize("warmup", [1, 4, 8])
def test_warmup_tokens_give_context_and_are_no_sites(warmup):
    """With k warm-up tokens u is the tail of the whole window's u, to the bit."""
    model = tiny_model("llama")
    full = collect(model, whole(), ONE, keep)
    cut = collect(model, whole(warmup=warmup), ONE, keep)
    for (_, a), (_, b) in zip(full, cut, strict=True):
        assert torch.equal(a.view(N, S, D_FF)[:, warmup:].flatten(0, 1), b)


def test_without_context_the_tail_is_another():
    """Control: the same tokens without those before them give another u."""
    model, batch = tiny_model("llama"), whole(warmup=4)
    [(_, with_context), *_] = collect(model, batch, ONE, keep)
    [(_, without), *_] = collect(model, Batch(0, batch.input_ids[:, 4:], 0), ONE, keep)
    assert with_context.shape == without.shape
    assert not torch.allclose(with_context, without, atol=1e-3)


@pytest.mark.parametrize("g", ["0", "0.7", "1.0", "1.3"])
def test_u_is_that_of_the_gain(g):
    """U is what a pass under that gain gives; layer 0 stands before every gain."""
    model, batch, seen = tiny_model("llama"), whole(), []
    results = collect(model, batch, Decimal(g), keep)
    with gain(model, float(g)), capture(model, lambda _, u: seen.append(u.flatten(0, 1))):
        decoder_pass(model, batch.input_ids)
    assert all(torch.equal(u, v) for (_, u), v in zip(results, seen, strict=True))
    baseline = collect(model, batch, ONE, keep)
    same = [torch.equal(u, v) for (_, u), (_, v) in zip(results, baseline, strict=True)]
    assert same == [True, *[g == "1.0"] * (N_LAYERS - 1)]


def test_hooks_are_gone_after_the_pass():
    """Neither a finished pass nor a function that raises leaves a hook behind."""
    model = tiny_model("llama")
    collect(model, whole(), ONE, keep)
    assert hooks_of(model) == []

    def fail(layer: int, _u: torch.Tensor) -> None:
        raise KeyError(layer)

    with pytest.raises(KeyError):
        collect(model, whole(), ONE, fail)
    assert hooks_of(model) == []


@pytest.mark.parametrize("named", list(InterventionId))
def test_u_is_that_of_the_intervention(named):
    """U is what a pass under that intervention gives, and no other's."""
    model, batch = tiny_model("llama"), whole()

    def passed(other: InterventionId) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        with (
            intervention(model, other, 0.5),
            capture(model, lambda _, u: seen.append(u.flatten(0, 1))),
        ):
            decoder_pass(model, batch.input_ids)
        return seen

    results = [u for _, u in collect(model, batch, Decimal("0.5"), keep, named)]
    assert all(map(torch.equal, results, passed(named)))
    for other in set(InterventionId) - {named}:  # control
        assert not all(map(torch.equal, results, passed(other)))
    assert hooks_of(model) == []


# ------------------------------------------------------------------------------ losses beside u


@pytest.mark.parametrize("warmup", [0, 1, 4])
@pytest.mark.parametrize("g", ["0.5", "1.0"])
def test_losses_are_those_of_the_lattice_tokens_that_are_predicted(g, warmup):
    """Each window's loss is the sum of −log p over lattice tokens with a token before them."""
    model, batch = tiny_model("llama"), whole(warmup=warmup)
    results, nll = collect_with_nll(model, batch, Decimal(g), keep)
    for (_, u), (_, v) in zip(results, collect(model, batch, Decimal(g), keep), strict=True):
        assert torch.equal(u, v)
    with gain(model, float(g)):
        log_p = logits_pass(model, batch.input_ids).log_softmax(-1)
    first = max(warmup, 1)
    of_tokens = log_p[:, :-1].gather(-1, batch.input_ids[:, 1:, None]).squeeze(-1)
    expected = -of_tokens[:, first - 1 :].double().sum(dim=1)
    assert nll.shape == (N,)
    np.testing.assert_allclose(nll, expected.numpy(), rtol=1e-5)
    assert batch.n_predicted == S - first
    assert hooks_of(model) == []


def test_losses_do_not_depend_on_the_windows_beside_them():
    """A window alone has the loss that it has in a batch."""
    model, batch = tiny_model("llama"), whole()
    _, together = collect_with_nll(model, batch, ONE, keep)
    for n in range(N):
        _, alone = collect_with_nll(model, Batch(n, batch.input_ids[n : n + 1], 0), ONE, keep)
        np.testing.assert_allclose(alone, together[n], rtol=1e-5)
    assert len(set(together.tolist())) == N


def test_a_loss_that_is_not_finite_is_found_in_its_window():
    """Where u is sound and the logits are not, gain and window are named."""
    model, batch = tiny_model("llama"), Batch(20, whole().input_ids.clone(), 0)
    batch.input_ids[2, -1] = VOCABULARY - 1

    def break_last(_head, _inputs, logits):
        logits[..., VOCABULARY - 1] = -float("inf")  # a token that only one window predicts
        return logits

    handle = model.lm_head.register_forward_hook(break_last)
    with pytest.raises(NonFiniteError, match=r"logits .* NaN or Inf at gain 0\.85, window 22:"):
        collect_with_nll(model, batch, Decimal("0.85"), keep)
    handle.remove()
    assert hooks_of(model) == []


def test_activations_that_break_are_found_before_the_logits():
    """NaN in u is reported as that of u, with its layer."""
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3] = float("nan")
    with pytest.raises(NonFiniteError, match=r"activations .* window 0, layer 1"):
        collect_with_nll(model, whole(), ONE, keep)


# ---------------------------------------------------------------------------------- non-finite


@pytest.mark.parametrize("layer", range(N_LAYERS))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_broken_weight_row_is_found_in_its_layer(layer, value):
    """NaN or Inf in one unit's weights stops the pass, naming gain, window and layer."""
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.layers[layer].mlp.up_proj.weight[3] = value
    batch = Batch(20, whole().input_ids, 0)
    with pytest.raises(NonFiniteError, match=rf"gain 0\.85, window 20, layer {layer}: use --dtype"):
        collect(model, batch, Decimal("0.850"), keep)
    assert hooks_of(model) == []


@pytest.mark.parametrize("g", ["0", "1.0"])
def test_a_broken_token_is_found_in_its_window(g):
    """NaN in one token's embedding names the first window that holds it, also at gain 0."""
    model, batch = tiny_model("llama"), whole()
    with torch.no_grad():
        model.get_input_embeddings().weight[VOCABULARY - 1] = float("nan")
    collect(model, batch, Decimal(g), keep)  # the token is nowhere
    batch.input_ids[2, -1] = batch.input_ids[4, 0] = VOCABULARY - 1
    with pytest.raises(NonFiniteError, match=r"window 2, layer 0"):
        collect(model, batch, Decimal(g), keep)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "opt", "bloom", "gemma2", "olmo2", "phi"])
@pytest.mark.parametrize("g", ["0", "1.0"])
def test_what_breaks_early_reaches_the_deepest_layer(name, g):
    """In families with other norms and activations too, Inf in layer 0 is found in layer 1."""
    model = tiny_model(name)
    with torch.no_grad():
        mlp_sites(model)[0].down.weight[1, 1] = float("inf")
    with pytest.raises(NonFiniteError, match="window 0, layer 1"):
        collect(model, whole(), Decimal(g), keep)


def test_what_breaks_in_the_warmup_is_found():
    """NaN in a token that is no lattice site is still refused."""
    model, batch = tiny_model("llama"), whole(warmup=4)
    with torch.no_grad():
        model.get_input_embeddings().weight[VOCABULARY - 1] = float("nan")
    batch.input_ids[3, 1] = VOCABULARY - 1
    with pytest.raises(NonFiniteError, match="window 3, layer 0"):
        collect(model, batch, ONE, keep)


def test_half_precision_that_overflows_is_found():
    """In float16 a large activation becomes Inf, and the message names the remedy."""
    model = tiny_model("llama").half()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.mul_(3e4)
    with pytest.raises(NonFiniteError, match=r"layer 1: use --dtype fp32, or leave this gain out"):
        collect(model, whole(), ONE, keep)


def test_what_does_not_repeat_is_refused_too():
    """NaN that a second pass does not show is no result either."""
    model, calls = tiny_model("llama"), []

    def break_once(_module, args):
        calls.append(1)
        return (args[0] * float("nan"),) if len(calls) == 1 else None

    handle = model.model.layers[1].mlp.register_forward_pre_hook(break_once)
    with pytest.raises(NonFiniteError, match=r"gain 1\.0, windows 0 to 4, .* not deterministic"):
        collect(model, whole(), ONE, keep)
    assert len(calls) == 2
    handle.remove()
