"""A tiny random Llama with a byte tokenizer, as a model folder, and a configuration for it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

N_LAYERS, D_FF, SEQ_LEN = 4, 48, 16
N_CALIBRATION, N_RASTERS, N_OTHER = 6, 5, 4
GAINS = ("0.5", "1.0", "2.0")
TARGETS = ("0.2", "0.8")

TEXT = "".join(f"Sentence {i} of a text on {word}.\n" for i in range(60) for word in ("a", "bees"))
OTHER_TEXT = "".join(f"{i} times {i} makes {i * i}, says the table.\n" for i in range(30))
QUESTIONS = (
    ("Is it?", ("yes", "no", "so"), "ABC", "A"),
    ("Which is it?", ("this", "that one", "it", "all"), "1234", "3"),
    ("Two and two?", ("four", "one", "six", "ten", "five"), "ABCDE", "A"),
    ("Who is here?", ("me", "you", "they", "she"), "ABCD", "D"),
    ("What for?", ("fun", "no end", "a song"), "ABC", "B"),
)
"""Stems, options, labels and the label of the right one."""

CONFIG = """\
model:
  INSTRUCT: {{source: "{instruct}"}}
  BASE: {{source: "{base}"}}
data:
  seq_len_tokens: 16
  pool_factor: 3
  A: {{source: "file:{text}", n_windows_calibration: 6, n_windows_rasters: 5}}
  B: {{source: "file:{other}", n_windows: 4}}
  ARC_MCQ: {{source: "file:{questions}", batch_questions: 3}}
events:
  target_events_per_site: [0.2, 0.8]
gain:
  grid: [0.5, 1.0, 2.0]
bootstrap: {{reps: 200}}
nulls: {{replicates: 20, avalanche_replicates: 3}}
avalanches: {{gof_reps: 2}}
compute: {{batch_size: 2, device: cpu}}
execution: {{block_windows: 2, runs_dir: "{runs}"}}
"""


def save_model(
    folder: Path,
    *,
    seed: int,
    dtype: torch.dtype = torch.float32,
    bos: bool = False,
    n_layers: int = N_LAYERS,
) -> Path:
    """A random Llama of 4 layers with its tokenizer, which may put a BOS token first."""
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=D_FF,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=256 + bos,
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
    if bos:
        tokenizer.add_special_tokens(["<s>"])
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>" if bos else None
    ).save_pretrained(folder)
    return folder


def question_record(number: int) -> dict[str, object]:
    """A question in ARC's shape."""
    stem, options, labels, answer = QUESTIONS[number]
    choices = {"text": list(options), "label": list(labels)}
    return {"id": f"q{number}", "question": stem, "choices": choices, "answerKey": answer}


def write_config(folder: Path, instruct: Path, base: Path, *, runs: str = "runs") -> Path:
    """A configuration for two tiny models, with its texts and questions, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [json.dumps(question_record(number)) for number in range(len(QUESTIONS))]
    content = {
        "text": ("text.txt", TEXT),
        "other": ("other.txt", OTHER_TEXT),
        "questions": ("questions.jsonl", "\n".join(records)),
    }
    for name, text in content.values():
        (folder / name).write_text(text, encoding="utf-8")
    path = folder / "tiny.yaml"
    files = {key: folder / name for key, (name, _) in content.items()}
    path.write_text(
        CONFIG.format(instruct=instruct, base=base, runs=folder / runs, **files), encoding="utf-8"
    )
    return path
