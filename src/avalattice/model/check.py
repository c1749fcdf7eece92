"""The site self-test: is the gain on the contribution, and is the captured u its cause?

With h(g) the residual stream after layer l, the gain g applied to that layer alone,

    (i)    h(0) = h with the output of the sublayer's last map (bias included) set to zero
    (ii)   h(g) − h(0) = g · (h(1) − h(0))    for g = ½, 2
    (iii)  g = 1 leaves the logits bit-identical
    (iv)   the captured u, put through the down-projection, gives its output

on a random batch. The point g = 0 belongs to the line of (ii): without it a norm after the site
gives a constant, and a constant passes. With R = 8·eps·max|h| for rounding, (i) allows R and (ii)
allows SITE_CHECK_TOL_REL · max|h(1) − h(0)| + R; (ii) also asks that max|h(1) − h(0)| be far above
R, else nothing could fail. One more condition ties the capture to the contribution, since a wrong
module's input also reproduces that module's output:

    (v)    the contribution is an odd function of the last map's output alone: the negative of one
           window's output, put into another window, contributes the negative there

It holds for a linear map followed at most by a norm, and fails for an up-projection, whose output
meets a gate or an activation.

For attention the MLP of the same layer is silenced by its own gain (tested beforehand), so that
h(g) = h_in + g · attention; the last map is then the attention's output projection.

(i), (ii) and (v) are about structure. A model in reduced precision has them tested on a float32
copy of one layer at a time, because there R is as large as the contribution itself; (iii) and (iv)
are tested on the model as it is. A layer that normalises the residual stream after its sublayers
(OPT-350m) is not linear in g, and fails.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from avalattice.canon import CONST, GainTarget
from avalattice.errors import ModelError, SiteCheckError
from avalattice.model.capture import capture_at
from avalattice.model.forward import decoder_pass, logits_pass
from avalattice.model.gain import gain_target, map_outputs
from avalattice.model.sites import Site, decoder_layers, family_name, mlp_sites
from avalattice.rng import stream

_BATCH = (2, 8)
_GAINS = (0.5, 2.0)
_FAR_BELOW = 0.1
"""What R may be of the contribution: an error of half the contribution is then five times R."""


class SiteCheck(StrEnum):
    """The conditions of the self-test."""

    ZERO_GAIN = "zero_gain"
    """(i) max|h(0) − h with the last map's output set to zero|."""
    LINEAR = "linear_in_gain"
    """(ii) the largest departure from the line."""
    RESOLVED = "above_rounding"
    """(ii) R as a fraction of max|h(1) − h(0)|."""
    UNIT_GAIN = "unit_gain"
    """(iii) max|logits(1) − logits|, of the whole model."""
    CAPTURE = "captured_input"
    """(iv) max|W u − output|, on outputs scaled to unit maximum."""
    LAST_MAP = "last_map"
    """(v) the largest departure from an odd function of the last map's output."""


@dataclass(frozen=True)
class SiteCheckRow:
    """One condition at one layer."""

    layer: int | None
    """Layer index, None for a condition on the whole model."""
    check: SiteCheck
    """The condition."""
    error: float
    """The measured error; NaN or infinity where it could not be measured."""
    tolerance: float
    """The largest error that passes."""

    @property
    def passed(self) -> bool:
        """Whether the error is within tolerance."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class SiteReport:
    """The self-test of one model and one gain target."""

    family: str
    """The model's family."""
    target: GainTarget
    """The sublayer under test."""
    rows: tuple[SiteCheckRow, ...]
    """One row per layer and condition."""

    @property
    def ok(self) -> bool:
        """Whether every condition holds at every layer."""
        return not self.failures

    @property
    def failures(self) -> tuple[SiteCheckRow, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if not row.passed)

    def raise_if_failed(self) -> None:
        """Refuse the model if a condition fails.

        Raises:
            SiteCheckError: naming family, layer, condition, error and tolerance of the first.
        """
        if self.ok:
            return
        first = self.failures[0]
        where = "the whole model" if first.layer is None else f"layer {first.layer}"
        raise SiteCheckError(
            f"model family {self.family!r} fails the site self-test for {self.target} at {where}:"
            f" {first.check} has error {first.error:.3g}, tolerance {first.tolerance:.3g}"
            f" ({len(self.failures)} of {len(self.rows)} checks fail). A gain or capture there"
            " would be wrong, so the model is refused."
        )


def check_sites(
    model: nn.Module,
    *,
    target: GainTarget | str = GainTarget.MLP,
    sites: tuple[Site, ...] | None = None,
    seed: int = 0,
) -> SiteReport:
    """Run the site self-test on a random batch of two windows of eight tokens.

    Args:
        model: A Hugging Face causal language model with weights, in evaluation mode.
        target: The sublayer whose gain is tested, MLP or ATTN.
        sites: Sites to test in place of the family's own, for controls that must fail.
        seed: Seed of the random token ids.

    Returns:
        One row per layer and condition; call its ``raise_if_failed``.

    Raises:
        ModelError: the family is not supported, or the model is in training mode.
    """
    if model.training:
        raise ModelError("the model is in training mode, where dropout is random: call eval()")
    sublayer = gain_target(target)
    chosen = mlp_sites(model) if sites is None else sites
    ids = _random_ids(model, seed)
    recording = _record(model, chosen, ids)
    rows = [row for site in chosen for row in _layer_rows(model, site, sublayer, recording)]
    rows.append(_unit_gain(model, chosen, sublayer, ids))
    return SiteReport(family_name(model.config), sublayer, tuple(rows))


def _random_ids(model: Any, seed: int) -> Tensor:
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    return torch.from_numpy(stream(seed, "check_sites").integers(vocabulary, size=_BATCH))


@dataclass
class _Recording:
    """What each layer was given in one pass, and what its down-projection took and gave."""

    call: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    u: dict[int, Tensor] = field(default_factory=dict)
    output: dict[int, Tensor] = field(default_factory=dict)


def _record(model: nn.Module, sites: tuple[Site, ...], ids: Tensor) -> _Recording:
    """One pass; what is kept is copied, since Falcon adds to the MLP's output in place."""
    seen = _Recording()

    def received(layer: int, u: Tensor) -> None:
        seen.u[layer] = u.clone()

    def entered(layer: int, _module: nn.Module, args: Any, kwargs: Any) -> None:
        seen.call[layer] = (args, kwargs)

    def left(layer: int, _module: nn.Module, _args: Any, output: Tensor) -> None:
        seen.output[layer] = output.clone()

    layers = decoder_layers(model)
    with ExitStack() as hooks:
        for site in sites:
            enter = partial(entered, site.layer)
            leave = partial(left, site.layer)
            layer = layers[site.layer]
            hooks.callback(layer.register_forward_pre_hook(enter, with_kwargs=True).remove)
            hooks.callback(site.down.register_forward_hook(leave).remove)
        hooks.enter_context(capture_at(model, sites, received))
        decoder_pass(model, ids)
    return seen


def _layer_rows(
    model: nn.Module, site: Site, target: GainTarget, recording: _Recording
) -> Iterator[SiteCheckRow]:
    yield _captured_input(site, recording)
    if site.layer not in recording.call:  # the decoder skipped the layer; the row above says so
        return
    probe = _probe(decoder_layers(model)[site.layer], site, target, recording.call[site.layer])
    yield from _structure(probe, site.layer)


def _captured_input(site: Site, recording: _Recording) -> SiteCheckRow:
    """(iv): W u against the output that the pass itself computed."""
    error = float("inf")  # the module was never called
    if site.layer in recording.u:
        output = recording.output[site.layer]
        with torch.inference_mode():
            again = site.down(recording.u[site.layer]).reshape(output.shape)
        error = _ratio(_largest(again - output), _largest(output))
    return SiteCheckRow(site.layer, SiteCheck.CAPTURE, error, CONST.U_HOOK_MATCH_TOL_ABS)


def _unit_gain(
    model: nn.Module, sites: tuple[Site, ...], target: GainTarget, ids: Tensor
) -> SiteCheckRow:
    """(iii): logits with the gain's hooks at g = 1 against logits without hooks."""
    plain = logits_pass(model, ids)
    with _scaled(1.0, *(site.gain_site(target) for site in sites)):
        error = _largest(logits_pass(model, ids) - plain)
    return SiteCheckRow(None, SiteCheck.UNIT_GAIN, error, 0.0)


@dataclass(frozen=True)
class _Probe:
    """One decoder layer that can be run again from what it was given."""

    layer: nn.Module
    args: Any
    kwargs: Any
    gain_site: nn.Module
    last_map: nn.Module
    silenced: tuple[nn.Module, ...]

    def h(self, *edits: AbstractContextManager[None]) -> Tensor:
        """The residual stream after the layer, [2, T, H], under the edits."""
        with torch.inference_mode(), _scaled(0.0, *self.silenced), ExitStack() as stack:
            for edit in edits:
                stack.enter_context(edit)
            output = self.layer(*self.args, **self.kwargs)
        stream_after: Tensor = output[0] if isinstance(output, tuple) else output
        return stream_after


def _probe(layer: nn.Module, site: Site, target: GainTarget, call: tuple[Any, Any]) -> _Probe:
    """The layer in float32 at least: itself, or a copy where the model is in less."""
    silenced = (site.gain,) if target is GainTarget.ATTN else ()
    modules = (layer, site.gain_site(target), site.last_map(target), *silenced)
    if min(weight.dtype.itemsize for weight in layer.parameters()) < torch.float32.itemsize:
        copies: dict[int, Any] = {}
        copy.deepcopy(layer, copies).to(torch.float32)
        modules = tuple(copies[id(module)] for module in modules)
        call = _in_float32(call)
    layer, gain_site, last_map, *quiet = modules
    return _Probe(layer, *call, gain_site, last_map, tuple(quiet))


def _in_float32(value: Any) -> Any:
    """Every floating-point tensor of nested arguments in float32."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _in_float32(item) for key, item in value.items()}
    return tuple(map(_in_float32, value)) if isinstance(value, tuple) else value


def _structure(probe: _Probe, layer: int) -> Iterator[SiteCheckRow]:
    """(i), (ii) and (v) at one layer."""
    h1 = probe.h(_scaled(1.0, probe.gain_site))
    h0 = probe.h(_scaled(0.0, probe.gain_site))
    anchor = probe.h(map_outputs([probe.last_map], torch.zeros_like))
    contribution = _largest(h1 - h0)
    rounding = 8 * torch.finfo(h1.dtype).eps * _largest(h1)
    tolerance = CONST.SITE_CHECK_TOL_REL * contribution + rounding

    yield SiteCheckRow(layer, SiteCheck.ZERO_GAIN, _largest(h0 - anchor), rounding)
    bends = [probe.h(_scaled(g, probe.gain_site)) - h0 - g * (h1 - h0) for g in _GAINS]
    yield SiteCheckRow(layer, SiteCheck.LINEAR, _largest(torch.stack(bends)), tolerance)
    yield SiteCheckRow(layer, SiteCheck.RESOLVED, _ratio(rounding, contribution), _FAR_BELOW)
    one, other = probe.h(map_outputs([probe.last_map], _opposed)) - anchor
    yield SiteCheckRow(layer, SiteCheck.LAST_MAP, _largest(one + other), tolerance)


def _opposed(output: Tensor) -> Tensor:
    """The first window's output in the first window, its negative in the second."""
    first = output.reshape(2, -1)[0]  # OPT's output is [B·T, H]
    return torch.stack((first, -first)).reshape(output.shape)


@contextmanager
def _scaled(g: float, *modules: nn.Module) -> Iterator[None]:
    with map_outputs(modules, lambda output: output * g):
        yield


def _largest(values: Tensor) -> float:
    """max|values|; NaN if one is NaN."""
    return float(values.abs().max())


def _ratio(error: float, scale: float) -> float:
    return error / scale if scale else float("inf")
