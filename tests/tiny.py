"""A tiny random Llama with a byte tokenizer, as a model folder, and a configuration for it."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

N_LAYERS, D_FF, SEQ_LEN = 4, 48, 16
N_CALIBRATION, N_RASTERS = 6, 5
GAINS = ("0.5", "1.0", "2.0")
TARGETS = ("0.2", "0.8")

TEXT = "".join(f"Sentence {i} of a text on {word}.\n" for i in range(60) for word in ("a", "bees"))

CONFIG = """\
model:
  INSTRUCT: {{source: "{instruct}"}}
  BASE: {{source: "{base}"}}
data:
  seq_len_tokens: 16
  pool_factor: 3
  A: {{source: "file:{text}", n_windows_calibration: 6, n_windows_rasters: 5}}
events:
  target_events_per_site: [0.2, 0.8]
gain:
  grid: [0.5, 1.0, 2.0]
bootstrap: {{reps: 200}}
compute: {{batch_size: 2, device: cpu}}
execution: {{block_windows: 2, runs_dir: "{runs}"}}
"""


def save_model(folder: Path, *, seed: int, dtype: torch.dtype = torch.float32) -> Path:
    """A random Llama of 4 layers with its tokenizer, as transformers saves them."""
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=D_FF,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=256,
        initializer_range=0.2,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).to(dtype).save_pretrained(folder)
    byte_vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE(vocab=byte_vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


def write_config(folder: Path, instruct: Path, base: Path, *, runs: str = "runs") -> Path:
    """A configuration for two tiny models, with its corpus, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    path = folder / "tiny.yaml"
    path.write_text(
        CONFIG.format(instruct=instruct, base=base, text=folder / "text.txt", runs=folder / runs),
        encoding="utf-8",
    )
    return path
