"""Batches through the model: one forward pass, and what a function makes of each layer's u.

Windows of a batch have equal length, so nothing is padded. The warm-up tokens are cut off before
u is seen. A pass ends as soon as the last layer's u is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, NoReturn, TypeVar

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from avalattice.canon import InterventionId
from avalattice.data.windows import WindowSlice
from avalattice.errors import NonFiniteError
from avalattice.model.capture import capture
from avalattice.model.forward import decoder_pass, logits_pass
from avalattice.model.gain import gain, intervention
from avalattice.rng import decimal_text

Result = TypeVar("Result")
LayerFunction = Callable[[int, Tensor], Result]
"""Called with the layer and its u [B·T, F]."""


@dataclass(frozen=True)
class Batch:
    """Consecutive windows of a slice."""

    first: int
    """Slice position of the first window."""
    input_ids: Int64[Tensor, "B S"]
    """Token ids, warm-up included."""
    warmup_tokens: int
    """Leading tokens that are no lattice sites."""

    @property
    def n_windows(self) -> int:
        """B."""
        return len(self.input_ids)

    @property
    def n_predicted(self) -> int:
        """Lattice tokens of a window that have a token before them."""
        n_tokens = self.input_ids.shape[1]
        return n_tokens - max(self.warmup_tokens, 1)

    @property
    def first_position(self) -> int:
        """Slice position of the first lattice token."""
        return self.first * (self.input_ids.shape[1] - self.warmup_tokens)


def batches(
    windows: WindowSlice, batch_size: int, *, start: int = 0, stop: int | None = None
) -> Iterator[Batch]:
    """The windows ``start`` to ``stop`` of a slice, in batches."""
    stop = len(windows.input_ids) if stop is None else stop
    for first in range(start, stop, batch_size):
        ids = torch.from_numpy(windows.input_ids[first : min(first + batch_size, stop)]).long()
        yield Batch(first, ids, windows.warmup_tokens)


def collect(
    model: nn.Module,
    batch: Batch,
    g: Decimal,
    function: LayerFunction[Result],
    intervention_id: InterventionId = InterventionId.MLP_GLOBAL,
) -> list[Result]:
    """Pass a batch through the model at gain g; the function's result for each layer, in order.

    Args:
        model: the model.
        batch: the windows.
        g: the gain.
        function: what is made of each layer's u.
        intervention_id: what the gain multiplies.

    Raises:
        NonFiniteError: naming gain, window and layer where NaN or Inf first appeared.
    """
    received = _Received(batch, function)
    with intervention(model, intervention_id, g), capture(model, received) as captured:
        decoder_pass(model, batch.input_ids, until=captured)
    # NaN or Inf anywhere stays in the residual stream, so the deepest layer shows it
    if not bool(torch.isfinite(received.deepest).all()):
        _locate_non_finite(model, batch, g, intervention_id)
    return received.in_order()


def collect_with_nll(
    model: nn.Module, batch: Batch, g: Decimal, function: LayerFunction[Result]
) -> tuple[list[Result], Float64[np.ndarray, " B"]]:
    """As :func:`collect`, with the language model's head: also each window's loss.

    Returns:
        The function's results, and the negative log-likelihood of each window: the sum, in nats,
        over the lattice tokens that have a token before them (:attr:`Batch.n_predicted` of each).

    Raises:
        NonFiniteError: naming gain, window and layer where NaN or Inf first appeared.
    """
    received = _Received(batch, function)
    first = batch.input_ids.shape[1] - batch.n_predicted
    positions = torch.arange(first - 1, batch.input_ids.shape[1] - 1)
    with gain(model, g), capture(model, received):
        logits = logits_pass(model, batch.input_ids, positions)
    if not bool(torch.isfinite(received.deepest).all()):
        _locate_non_finite(model, batch, g, InterventionId.MLP_GLOBAL)
    targets = batch.input_ids[:, first:].to(logits.device)
    # window by window: a vocabulary's log-probabilities in float32 take as much memory again
    nll = [
        torch.nn.functional.cross_entropy(row.float(), target, reduction="none").double().sum()
        for row, target in zip(logits, targets, strict=True)
    ]
    total = torch.stack(nll).cpu().numpy()
    if not np.isfinite(total).all():
        window = batch.first + int(np.flatnonzero(~np.isfinite(total))[0])
        raise NonFiniteError(
            f"logits contain NaN or Inf at gain {decimal_text(g)}, window {window}: use "
            "--dtype fp32. The run stays incomplete"
        )
    return received.in_order(), total


class _Received(Generic[Result]):
    """Applies a function to each layer's u, the warm-up cut off, and remembers the deepest."""

    def __init__(self, batch: Batch, function: LayerFunction[Result]) -> None:
        self._batch, self._function = batch, function
        self._results: dict[int, Result] = {}
        self.deepest = torch.zeros(())

    def __call__(self, layer: int, u: Tensor) -> None:
        self.deepest = u
        lattice = u[:, self._batch.warmup_tokens :].flatten(0, 1)
        self._results[layer] = self._function(layer, lattice)

    def in_order(self) -> list[Result]:
        """The results by layer."""
        return [self._results[layer] for layer in sorted(self._results)]


def _locate_non_finite(
    model: nn.Module, batch: Batch, g: Decimal, intervention_id: InterventionId
) -> NoReturn:
    """Pass the batch again, looking at every layer; raises in any case."""

    def look(layer: int, u: Tensor) -> None:
        bad = (~torch.isfinite(u)).flatten(1).any(dim=1).nonzero().flatten()
        if len(bad):
            raise NonFiniteError(
                f"activations contain NaN or Inf at gain {decimal_text(g)}, window "
                f"{batch.first + int(bad[0])}, layer {layer}: use --dtype fp32, or leave this gain "
                "out of gain.grid. The run stays incomplete"
            )

    with intervention(model, intervention_id, g), capture(model, look) as captured:
        decoder_pass(model, batch.input_ids, until=captured)
    raise NonFiniteError(
        f"activations contained NaN or Inf at gain {decimal_text(g)}, windows {batch.first} to "
        f"{batch.first + batch.n_windows - 1}, and did not when the pass was repeated: the model "
        "or the device is not deterministic. The run stays incomplete"
    )
