"""Forward passes without gradients or cache: the decoder alone, or logits where they are needed.

::

    with gain(model, 0.85), capture(model, fn) as captured:
        decoder_pass(model, ids, until=captured)

runs neither ``lm_head`` nor what follows the last captured u. Windows have equal length, so no
batch is padded and no attention mask is passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from avalattice.errors import ArrayError
from avalattice.model.capture import Capture
from avalattice.model.sites import decoder


class StopForward(Exception):  # noqa: N818 - a signal like StopIteration, not an error
    """Ends a forward pass whose remaining work is not needed; never leaves this module."""


def decoder_pass(model: nn.Module, input_ids: Tensor, *, until: Capture | None = None) -> None:
    """Run the decoder for its hooks alone.

    Args:
        model: A Hugging Face causal language model.
        input_ids: Token ids [B, T].
        until: An active capture: the pass ends as soon as its deepest u has been received.

    Raises:
        ArrayError: ``input_ids`` is not [B, T].
        ModelError: ``model`` is not a Hugging Face model.
    """
    ids = _on_device(model, input_ids)
    with torch.inference_mode(), _ending_after(until):
        decoder(model)(input_ids=ids, use_cache=False)


def logits_pass(model: nn.Module, input_ids: Tensor, positions: Tensor | None = None) -> Tensor:
    """Logits [B, P, V], as the model's own head computes them (its scaling and capping included).

    Args:
        model: A Hugging Face causal language model.
        input_ids: Token ids [B, T].
        positions: Where logits are needed: [P] for the same positions in every window, [B, P] for
            each window's own, negative ones counted from the end; None for all T.

    Raises:
        ArrayError: ``input_ids`` is not [B, T], or a position is out of range.
    """
    ids = _on_device(model, input_ids)
    keep = 0 if positions is None else _from_start(positions.to(ids.device), ids)
    with torch.inference_mode():
        logits: Tensor = model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits
    return logits


@contextmanager
def _ending_after(captured: Capture | None) -> Iterator[None]:
    """End the pass at the deepest captured site; a plain pass for None.

    PyTorch calls pre-hooks in the order of registration: the capture's own hook comes first.
    """
    if captured is None:
        yield
        return
    handle = captured.sites[-1].down.register_forward_pre_hook(_stop)
    try:
        yield
    except StopForward:
        pass
    finally:
        handle.remove()


def _stop(_module: nn.Module, _args: Any) -> None:
    raise StopForward


def _on_device(model: nn.Module, input_ids: Tensor) -> Tensor:
    if input_ids.ndim != 2 or input_ids.is_floating_point():
        raise ArrayError(
            "token ids must be integers of shape [B, T]; found"
            f" {input_ids.dtype} of shape {tuple(input_ids.shape)}"
        )
    return input_ids.to(next(model.parameters()).device)


def _from_start(positions: Tensor, ids: Tensor) -> Tensor:
    n_windows, n_tokens = ids.shape
    if positions.ndim not in (1, 2) or (positions.ndim == 2 and len(positions) != n_windows):
        raise ArrayError(
            f"positions must have shape [P] or [{n_windows}, P]; found {tuple(positions.shape)}"
        )
    if not bool(((positions >= -n_tokens) & (positions < n_tokens)).all()):
        raise ArrayError(
            f"positions must lie within the window's {n_tokens} tokens; found"
            f" {int(positions.min())} to {int(positions.max())}"
        )
    return positions % n_tokens
