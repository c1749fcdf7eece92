"""Batches through the model: one forward pass, and what a function makes of each layer's u.

Windows of a batch have equal length, so nothing is padded. The warm-up tokens are cut off before
u is seen. A pass ends as soon as the last layer's u is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from avalattice.data.windows import WindowSlice
from avalattice.errors import NonFiniteError
from avalattice.model.capture import capture
from avalattice.model.forward import decoder_pass
from avalattice.model.gain import gain
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
    model: nn.Module, batch: Batch, g: Decimal, function: LayerFunction[Result]
) -> list[Result]:
    """Pass a batch through the model at gain g; the function's result for each layer, in order.

    Raises:
        NonFiniteError: naming gain, window and layer where NaN or Inf first appeared.
    """
    results: dict[int, Result] = {}
    deepest = torch.zeros(())

    def receive(layer: int, u: Tensor) -> None:
        nonlocal deepest
        deepest = u
        results[layer] = function(layer, u[:, batch.warmup_tokens :].flatten(0, 1))

    with gain(model, g), capture(model, receive) as captured:
        decoder_pass(model, batch.input_ids, until=captured)
    # NaN or Inf anywhere stays in the residual stream, so the deepest layer shows it
    if not bool(torch.isfinite(deepest).all()):
        _locate_non_finite(model, batch, g)
    return [results[layer] for layer in sorted(results)]


def _locate_non_finite(model: nn.Module, batch: Batch, g: Decimal) -> NoReturn:
    """Pass the batch again, looking at every layer; raises in any case."""

    def look(layer: int, u: Tensor) -> None:
        bad = (~torch.isfinite(u)).flatten(1).any(dim=1).nonzero().flatten()
        if len(bad):
            raise NonFiniteError(
                f"activations contain NaN or Inf at gain {decimal_text(g)}, window "
                f"{batch.first + int(bad[0])}, layer {layer}: use --dtype fp32, or leave this gain "
                "out of gain.grid. The run stays incomplete"
            )

    with gain(model, g), capture(model, look) as captured:
        decoder_pass(model, batch.input_ids, until=captured)
    raise NonFiniteError(
        f"activations contained NaN or Inf at gain {decimal_text(g)}, windows {batch.first} to "
        f"{batch.first + batch.n_windows - 1}, and did not when the pass was repeated: the model "
        "or the device is not deterministic. The run stays incomplete"
    )
