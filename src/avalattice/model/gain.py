"""The gain g on a sublayer's contribution to the residual stream: h ← h + g · c(h).

g multiplies the output of the gain site (see :mod:`avalattice.model.sites`), so g = 1 is the model
itself to the bit, and g = 0 removes the sublayer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import Any

from torch import Tensor, nn

from avalattice.canon import GainTarget, InterventionId
from avalattice.errors import ModelError
from avalattice.model.sites import mlp_sites, select_sites

_BANDS = (
    InterventionId.MLP_BAND_EARLY,
    InterventionId.MLP_BAND_MID,
    InterventionId.MLP_BAND_LATE,
)


@contextmanager
def gain(
    model: nn.Module,
    g: float | Decimal,
    *,
    target: GainTarget | str = GainTarget.MLP,
    layers: Iterable[int] | None = None,
) -> Iterator[None]:
    """Multiply a sublayer's contribution to the residual stream by ``g`` within the context.

    The hooks are gone when the context ends, also after an exception. Contexts nest: gains on the
    same layer multiply.

    Args:
        model: A Hugging Face causal language model.
        g: The gain, any finite number.
        target: The sublayer, MLP or ATTN.
        layers: The layers to scale; None for all.

    Raises:
        ModelError: the family is not supported, or ``g``, ``target`` or a layer is out of range.
    """
    factor = _finite(g)
    sublayer = gain_target(target)
    sites = select_sites(mlp_sites(model), layers)
    # g = 1 is hooked like any other gain: x · 1 is exact, and the baseline runs the same code
    with map_outputs((site.gain_site(sublayer) for site in sites), lambda out: out * factor):
        yield


def layer_band(n_layers: int, intervention_id: InterventionId | str) -> range:
    """The layers that an intervention scales: a third of the depth for a band, else all.

    >>> [list(layer_band(7, band)) for band in _BANDS]
    [[0, 1], [2, 3], [4, 5, 6]]

    Raises:
        ModelError: the intervention is unknown, or there are fewer than three layers to divide.
    """
    intervention = _intervention(intervention_id)
    if intervention not in _BANDS:
        return range(n_layers)
    if n_layers < len(_BANDS):
        raise ModelError(
            f"a model of {n_layers} layers has no thirds of the depth, which {intervention} needs"
        )
    third = _BANDS.index(intervention)
    return range(third * n_layers // len(_BANDS), (third + 1) * n_layers // len(_BANDS))


def gain_target(target: GainTarget | str) -> GainTarget:
    """The gain target of that name.

    Raises:
        ModelError: there is no such target.
    """
    try:
        return GainTarget(target)
    except ValueError:
        raise ModelError(
            f"unknown gain target {target!r}; expected one of {', '.join(GainTarget)}"
        ) from None


def intervention_target(intervention_id: InterventionId | str) -> GainTarget:
    """The sublayer that an intervention scales.

    Raises:
        ModelError: the intervention is unknown.
    """
    attention = _intervention(intervention_id) is InterventionId.ATTN_GLOBAL
    return GainTarget.ATTN if attention else GainTarget.MLP


@contextmanager
def intervention(
    model: nn.Module, intervention_id: InterventionId | str, g: float | Decimal
) -> Iterator[None]:
    """The gain ``g`` on the sublayer and layers that an intervention names.

    Raises:
        ModelError: the family is not supported, the intervention is unknown, or the model has too
            few layers for it.
    """
    layers = layer_band(len(mlp_sites(model)), intervention_id)
    with gain(model, g, target=intervention_target(intervention_id), layers=layers):
        yield


@contextmanager
def map_outputs(modules: Iterable[nn.Module], fn: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass each module's output through ``fn``; of a tuple, its first element."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        return (fn(output[0]), *output[1:]) if isinstance(output, tuple) else fn(output)

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_hook(hook).remove)
        yield


def _finite(g: float | Decimal) -> float:
    factor = float(g)
    if not math.isfinite(factor):
        raise ModelError(f"a gain must be a finite number; found {g}")
    return factor


def _intervention(intervention_id: InterventionId | str) -> InterventionId:
    try:
        return InterventionId(intervention_id)
    except ValueError:
        raise ModelError(
            f"unknown intervention {intervention_id!r}; expected one of {', '.join(InterventionId)}"
        ) from None
