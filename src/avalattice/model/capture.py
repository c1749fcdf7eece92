"""Capture of u[n, t, l, :], the input of each layer's down-projection.

A forward pre-hook on the down-projection sees u as the model computes it: after the activation,
after the gate, before the projection, at no extra arithmetic and without a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from avalattice.errors import ModelError
from avalattice.model.sites import Site, decoder, mlp_sites, select_sites

Receiver = Callable[[int, Tensor], object]
"""Called with the layer index l and u of shape [B, T, F_l], which belongs to the model."""


@dataclass
class Capture:
    """What an active capture listens to and has seen."""

    sites: tuple[Site, ...]
    """The sites listened to, in order of depth."""
    n_passes: int = 0
    """Forward passes of the decoder that began."""
    visited: set[int] = field(default_factory=set)
    """Layers whose u was seen."""
    batch_shape: tuple[int, int] | None = None
    """(B, T) of the newest pass."""

    def require_every_site(self) -> None:
        """Raise if passes ran and a site was never visited.

        Raises:
            ModelError: naming the layers.
        """
        missed = [site.layer for site in self.sites if site.layer not in self.visited]
        if self.n_passes and missed:
            raise ModelError(
                f"the down-projection {self.sites[0].down_path!r} of layers {missed} was never"
                f" called in {self.n_passes} forward passes, so its input was not captured; the"
                " model computes its MLP in another way (fused kernels?) or the pass ended early"
            )

    def _begin(self, _decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tokens = args[0] if args else kwargs.get("input_ids")
        tokens = kwargs["inputs_embeds"] if tokens is None else tokens
        self.batch_shape = (tokens.shape[0], tokens.shape[1])
        self.n_passes += 1

    def _see(self, site: Site, fn: Receiver, _down: nn.Module, args: tuple[Tensor, ...]) -> None:
        fn(site.layer, self._by_window(args[0], site))
        self.visited.add(site.layer)

    def _by_window(self, u: Tensor, site: Site) -> Tensor:
        """U as [B, T, F]; OPT's layers flatten it to [B·T, F]."""
        if u.ndim == 3:
            return u
        if self.batch_shape is None:
            raise ModelError(
                f"layer {site.layer} ran outside its decoder, and the shape of its batch cannot be"
                f" told from an input of shape {tuple(u.shape)}; run the decoder or the model"
            )
        return u.reshape(*self.batch_shape, -1)


@contextmanager
def capture_at(model: nn.Module, sites: tuple[Site, ...], fn: Receiver) -> Iterator[Capture]:
    """As :func:`capture`, at given sites and without the check that each was visited."""
    seen = Capture(sites)
    with ExitStack() as hooks:
        begin = decoder(model).register_forward_pre_hook(seen._begin, with_kwargs=True)
        hooks.callback(begin.remove)
        for site in sites:
            handle = site.down.register_forward_pre_hook(partial(seen._see, site, fn))
            hooks.callback(handle.remove)
        yield seen


@contextmanager
def capture(
    model: nn.Module, fn: Receiver, *, layers: Iterable[int] | None = None
) -> Iterator[Capture]:
    """Call ``fn(l, u)`` for each layer l of every forward pass, with u of shape [B, T, F_l].

    ``fn`` sees the model's own tensor: it must not write to it, and must copy what it keeps beyond
    the pass. The hooks are gone when the context ends, also after an exception.

    Args:
        model: A Hugging Face causal language model.
        fn: Receives the layer index and u, in order of depth; what it returns is ignored.
        layers: The layers to listen to; None for all.

    Yields:
        The record of what was seen, for ``decoder_pass(model, ids, until=…)``.

    Raises:
        ModelError: the family is not supported, a layer is out of range, or a pass began and a
            layer's down-projection was never called.
    """
    with capture_at(model, select_sites(mlp_sites(model), layers), fn) as seen:
        yield seen
    seen.require_every_site()
