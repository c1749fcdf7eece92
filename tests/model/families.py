"""A tiny random model of every supported family, built from its configuration.

``initializer_range`` is 0.2: at the default 0.02 a norm after the MLP works inside its eps, and a
gain on the wrong side of it goes unnoticed. Biases and norm weights are random too, so that "bias
included" means something.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 97
N_LAYERS = 3
HIDDEN = 32
D_FF = 48

_TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    **_TOKENS,
}
_LLAMA = _COMMON | {"intermediate_size": D_FF, "num_key_value_heads": 2}
_HEADS = _LLAMA | {"head_dim": 8}
_WINDOWED = _HEADS | {"sliding_window": 4}
_GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": HIDDEN,
    "n_layer": N_LAYERS,
    "n_head": 4,
    "n_inner": D_FF,
    "n_positions": 64,
    "initializer_range": 0.2,
    **_TOKENS,
}
_OPT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "ffn_dim": D_FF,
    "init_std": 0.2,
    **_TOKENS,
}

OPTIONS: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "mistral": _HEADS,
    "qwen2": _LLAMA,
    "qwen3": _HEADS,
    "smollm3": _LLAMA,
    "gemma": _HEADS,
    "olmo": _LLAMA,
    "granite": _LLAMA | {"residual_multiplier": 0.5, "logits_scaling": 3.0},
    "phi3": _LLAMA,
    "glm": _HEADS,
    "stablelm": _LLAMA,
    "cohere": _LLAMA | {"logit_scale": 0.25},
    "cohere2": _WINDOWED,
    "nemotron": _HEADS,
    "helium": _HEADS,
    "starcoder2": _LLAMA,
    "phi": _LLAMA,
    "gemma2": _WINDOWED | {"query_pre_attn_scalar": 8},
    "gemma3_text": _WINDOWED | {"query_pre_attn_scalar": 8},
    "olmo2": _LLAMA,
    "olmo3": _LLAMA | {"sliding_window": 4},
    "exaone4": _LLAMA | {"sliding_window": 4},
    "glm4": _HEADS,
    "gpt_neox": _COMMON | {"intermediate_size": D_FF},
    "falcon": _COMMON | {"ffn_hidden_size": D_FF},
    "bloom": {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "n_layer": N_LAYERS,
        "n_head": 4,
        "initializer_range": 0.2,
        **_TOKENS,
    },
    "mpt": {
        "vocab_size": VOCABULARY,
        "d_model": HIDDEN,
        "n_layers": N_LAYERS,
        "n_heads": 4,
        "max_seq_len": 64,
        "initializer_range": 0.2,
        **_TOKENS,
    },
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neo": _COMMON
    | {
        "num_heads": 4,
        "num_layers": N_LAYERS,
        "intermediate_size": D_FF,
        "attention_types": [[["global", "local", "global"], 1]],
    },
    "gptj": _GPT2 | {"rotary_dim": 4},
    "codegen": _GPT2 | {"rotary_dim": 4},
    "opt": _OPT
    | {
        "hidden_size": HIDDEN,
        "word_embed_proj_dim": HIDDEN,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 4,
    },
    "xglm": _OPT | {"d_model": HIDDEN, "num_layers": N_LAYERS, "attention_heads": 4},
    "biogpt": _COMMON | {"intermediate_size": D_FF},
}
"""Configuration options by ``model_type``; the model types are those of the table of families."""

FOUR_TIMES_HIDDEN = ("bloom", "mpt")
"""Families whose MLP width is fixed at four times the hidden width."""


def tiny_config(name: str, **changes: Any) -> Any:
    """The configuration of a tiny model of a family."""
    return AutoConfig.for_model(name, **(OPTIONS[name] | changes))


def tiny_model(name: str, **changes: Any) -> nn.Module:
    """A tiny random model of a family, in float32 and evaluation mode; always the same one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        model = AutoModelForCausalLM.from_config(tiny_config(name, **changes)).eval()
        _perturb_vectors(model)
    return model


def token_ids(n_windows: int = 2, n_tokens: int = 7) -> Tensor:
    """Random token ids [B, T]; always the same ones."""
    draw = torch.Generator().manual_seed(5)
    return torch.randint(VOCABULARY, (n_windows, n_tokens), generator=draw)


def _perturb_vectors(model: nn.Module) -> None:
    """Biases and norm weights are constant when drawn; move them."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(0.1 * torch.randn_like(weight))
