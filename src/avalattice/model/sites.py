"""Where each decoder family keeps its MLP's last map, and where its sublayers enter the residual.

A decoder layer adds two contributions to the residual stream h: attention and MLP. With a gain g

    h  ←  h + g · c(h),        c = (post-norm ∘) W_down · u

u is the input of the *down-projection* W_down, and g multiplies the output of the *gain site*, the
module whose output is the contribution c. Where that is depends on the family: where a norm follows
the sublayer, a gain before the norm changes nothing; where the sublayer adds the residual itself, a
gain on it would multiply the residual too. :data:`FAMILIES` says it for each family, and
:func:`avalattice.model.check.check_sites` measures it on the model at hand.

A module's name is no evidence: ``post_attention_layernorm`` is the norm before the MLP in Llama and
the norm after attention in Gemma 2. Mixtures of experts are not handled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from avalattice.canon import GainTarget
from avalattice.errors import ModelError


@dataclass(frozen=True)
class Family:
    """Module paths of a decoder family, below a decoder layer unless said otherwise."""

    down: str
    """The MLP's down-projection, whose input is u."""
    gain: str
    """The module whose output is the MLP's contribution to the residual stream."""
    attn_out: str
    """The attention's output projection."""
    attn_gain: str
    """The module whose output is the attention's contribution to the residual stream."""
    layers: str = "layers"
    """The list of decoder layers, below the decoder."""


_LLAMA = Family("mlp.down_proj", "mlp", "self_attn.o_proj", "self_attn")
_POST_NORM = Family(
    "mlp.down_proj", "post_feedforward_layernorm", "self_attn.o_proj", "post_attention_layernorm"
)
_GPT2 = Family("mlp.c_proj", "mlp", "attn.c_proj", "attn", layers="h")
_GPTJ = Family("mlp.fc_out", "mlp", "attn.out_proj", "attn", layers="h")
_OPT = Family("fc2", "fc2", "self_attn.out_proj", "self_attn")

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        **dict.fromkeys(
            "llama mistral qwen2 qwen3 smollm3 gemma olmo granite phi3 glm stablelm cohere cohere2"
            " nemotron helium".split(),
            _LLAMA,
        ),
        "starcoder2": Family("mlp.c_proj", "mlp", "self_attn.o_proj", "self_attn"),
        "phi": Family("mlp.fc2", "mlp", "self_attn.dense", "self_attn"),
        # a norm follows each sublayer, and only then comes the residual
        **dict.fromkeys("gemma2 gemma3_text olmo2 olmo3 exaone4".split(), _POST_NORM),
        "glm4": Family(
            "mlp.down_proj", "post_mlp_layernorm", "self_attn.o_proj", "post_self_attn_layernorm"
        ),
        "gpt_neox": Family("mlp.dense_4h_to_h", "mlp", "attention.dense", "attention"),
        "falcon": Family(
            "mlp.dense_4h_to_h", "mlp", "self_attention.dense", "self_attention", layers="h"
        ),
        # both sublayers return residual + contribution, so only their last maps can be scaled
        "bloom": Family(
            "mlp.dense_4h_to_h",
            "mlp.dense_4h_to_h",
            "self_attention.dense",
            "self_attention.dense",
            layers="h",
        ),
        # the MLP returns residual + contribution; the attention does not
        "mpt": Family("ffn.down_proj", "ffn.down_proj", "attn.out_proj", "attn", layers="blocks"),
        "gpt2": _GPT2,
        "gpt_bigcode": _GPT2,
        "gpt_neo": Family("mlp.c_proj", "mlp", "attn.attention.out_proj", "attn", layers="h"),
        "gptj": _GPTJ,
        "codegen": _GPTJ,
        # no MLP module: its two maps belong to the layer
        "opt": _OPT,
        "xglm": _OPT,
        "biogpt": _OPT,
    }
)
"""The supported families, by ``config.model_type``."""

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True)
class Site:
    """One layer's modules for capture and gain; paths are below the decoder layer."""

    layer: int
    """Layer index l, from 0."""
    down: nn.Module
    """The down-projection; its input is u[n, t, l, :]."""
    down_path: str
    """Path of ``down``."""
    gain: nn.Module
    """The module whose output is the MLP's contribution to the residual stream."""
    gain_path: str
    """Path of ``gain``."""
    attn_gain: nn.Module
    """The module whose output (the first, of several) is the attention's contribution."""
    attn_gain_path: str
    """Path of ``attn_gain``."""
    attn_out: nn.Module
    """The attention's output projection, the anchor of the attention gain's self-test."""
    attn_out_path: str
    """Path of ``attn_out``."""
    d_ff: int
    """F_l, the number of MLP units: the input width of ``down``."""

    def gain_site(self, target: GainTarget) -> nn.Module:
        """The module that a gain on ``target`` scales."""
        return self.gain if target is GainTarget.MLP else self.attn_gain

    def last_map(self, target: GainTarget) -> nn.Module:
        """The linear map that ends the sublayer ``target``."""
        return self.down if target is GainTarget.MLP else self.attn_out


@dataclass(frozen=True)
class ModelOutline:
    """What a configuration says about its model, without weights."""

    family: str
    """Key of :data:`FAMILIES`."""
    d_ff: tuple[int, ...]
    """MLP units of each layer, [L]."""
    n_params: int
    """Parameters, tied ones counted once."""
    attention: str
    """The attention implementation that transformers chooses for it: sdpa where it is supported."""

    @property
    def n_layers(self) -> int:
        """L, the number of decoder layers."""
        return len(self.d_ff)


def outline(config: Any) -> ModelOutline:
    """Family, widths and size of the model that a Hugging Face configuration describes.

    The model is built on the meta device: no memory, no weights, no download.

    Raises:
        ModelError: the family is not supported.
    """
    from transformers import AutoModelForCausalLM

    name = family_name(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    widths = tuple(site.d_ff for site in mlp_sites(model))
    n_params = sum(weight.numel() for weight in model.parameters())
    return ModelOutline(name, widths, n_params, model.config._attn_implementation)


def family_name(config: Any) -> str:
    """The key of :data:`FAMILIES` that a Hugging Face configuration belongs to.

    A configuration that wraps a text model (``gemma3`` holds ``gemma3_text``) counts as that model.

    Raises:
        ModelError: the family is not in the table, or is a mixture of experts.
    """
    text = config.get_text_config(decoder=True)
    _refuse_mixture(config.model_type, text)
    for name in (config.model_type, text.model_type):
        if name in FAMILIES and not config.is_encoder_decoder:
            return str(name)
    raise ModelError(
        f"model family {config.model_type!r} is not supported: it is not known where its MLP enters"
        f" the residual stream. {_supported()}"
    )


def decoder(model: nn.Module) -> nn.Module:
    """The part of a causal language model that runs where logits are not needed: no ``lm_head``.

    Raises:
        ModelError: ``model`` is not a Hugging Face model.
    """
    find = getattr(model, "get_decoder", None)
    if find is None:
        raise ModelError(
            f"a {type(model).__name__} is not a Hugging Face model: it has no get_decoder(). Pass"
            " the causal language model itself, not a wrapper of it."
        )
    module: nn.Module = find()
    return module


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder layers, in order of depth.

    Raises:
        ModelError: the family is not supported, or its layers are not where the table says.
    """
    return _layers(model, FAMILIES[_family_name_of(model)])


def mlp_sites(model: nn.Module, *, family: Family | None = None) -> tuple[Site, ...]:
    """The sites of every layer, in order of depth; no weight is read.

    Args:
        model: A Hugging Face causal language model; the meta device will do.
        family: Paths to use in place of the table's, for controls that must fail.

    Raises:
        ModelError: the family is not supported, or a module is missing.
    """
    name = _family_name_of(model)
    paths = family or FAMILIES[name]
    layers = _layers(model, paths)
    return tuple(_site(name, paths, index, layer) for index, layer in enumerate(layers))


def select_sites(sites: tuple[Site, ...], layers: Iterable[int] | None) -> tuple[Site, ...]:
    """The sites of the given layers in order of depth; all of them for None.

    Raises:
        ModelError: no layer is given, or one is out of range.
    """
    if layers is None:
        return sites
    wanted = set(layers)
    strangers = sorted(wanted.difference(range(len(sites))))
    if strangers or not wanted:
        raise ModelError(
            f"layers {strangers or 'none'} were asked for; this model has layers 0 to"
            f" {len(sites) - 1}"
        )
    return tuple(site for site in sites if site.layer in wanted)


def _family_name_of(model: nn.Module) -> str:
    config = getattr(model, "config", None)
    if config is None:
        raise ModelError(
            f"a {type(model).__name__} has no configuration: pass a Hugging Face causal language"
            " model"
        )
    return family_name(config)


def _refuse_mixture(name: str, text: Any) -> None:
    """Raise if the configuration has more than one expert per layer."""
    # dbrx keeps the fields of its MLP in a configuration of their own
    places = (text, getattr(text, "ffn_config", None))
    counts = [getattr(place, field, None) for place in places for field in _EXPERT_COUNTS]
    n_experts = max((count for count in counts if isinstance(count, int)), default=0)
    if n_experts > 1:
        raise ModelError(
            f"model family {name!r} is a mixture of {n_experts} experts and is refused until"
            " mixtures are supported: its experts' down-projections are slices of one parameter,"
            f" and a token visits few of them, so a layer has no single input u. {_supported()}"
        )


def _supported() -> str:
    return f"Supported families: {', '.join(sorted(FAMILIES))}."


def _layers(model: nn.Module, family: Family) -> nn.ModuleList:
    layers = getattr(decoder(model), family.layers, None)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(
            f"the decoder of {type(model).__name__} has no list of layers {family.layers!r}; the"
            " installed transformers may be newer or older than the table of families"
        )
    return layers


def _site(name: str, family: Family, index: int, layer: nn.Module) -> Site:
    def at(path: str) -> nn.Module:
        try:
            return layer.get_submodule(path)
        except AttributeError:
            raise ModelError(
                f"model family {name!r}: decoder layer {index} has no module {path!r}; the"
                " installed transformers may be newer or older than the table of families"
            ) from None

    return Site(
        layer=index,
        down=at(family.down),
        down_path=family.down,
        gain=at(family.gain),
        gain_path=family.gain,
        attn_gain=at(family.attn_gain),
        attn_gain_path=family.attn_gain,
        attn_out=at(family.attn_out),
        attn_out_path=family.attn_out,
        d_ff=_input_width(at(family.down), index, family.down),
    )


def _input_width(down: nn.Module, index: int, path: str) -> int:
    if isinstance(down, Conv1D):  # GPT-2's linear map, with its weight transposed
        return int(down.weight.shape[0])
    width = getattr(down, "in_features", None)
    if not isinstance(width, int):
        raise ModelError(
            f"decoder layer {index}: {path!r} is a {type(down).__name__}, not a linear map"
        )
    return width
