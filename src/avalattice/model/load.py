"""Model sources: find the files, de-quantise GGUF weights once, load.

===========================  ==================================================================
source                       what it is
===========================  ==================================================================
``hf:ORG/NAME@REVISION``     a Hub repository (safetensors)
a folder                     the same, on disk
``FILE.gguf``                quantised weights, de-quantised into a content-addressed cache
``pkg:MODULE/FILE.gguf``     the same, shipped inside an installed package; parts are joined
===========================  ==================================================================

Packages are located, never imported. Pickled weights and remote code are refused unless the
configuration asks for them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from avalattice.data.packages import locate
from avalattice.errors import ModelError, ResourceError
from avalattice.model.sites import ModelOutline, outline

CACHE_VARIABLE = "AVALATTICE_CACHE"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_HUB_SOURCE = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_PICKLED_WEIGHTS = ("*.bin", "*.bin.index.json")
_CONFIGURATION = ("config.json", "generation_config.json", "*.py")
_TOKENIZER = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class ModelFiles:
    """A model's files on this machine."""

    source: str
    """The source as written in the configuration."""
    id: str
    """A short name for tables."""
    revision: str | None
    """The hub commit, where there is one."""
    folder: Path
    """Where transformers can load it from."""
    weights: tuple[Path, ...]
    """Weight and configuration files."""
    tokenizer: tuple[Path, ...]
    """Tokenizer files."""
    note: str | None = None
    """What a reader must know of the weights."""


@dataclass(frozen=True)
class LoadOptions:
    """How to build the model."""

    device: str
    """``cpu`` or ``cuda``."""
    dtype: str
    """Key of :data:`DTYPES`."""
    attention: str = "sdpa"
    """Attention implementation of transformers."""
    random_init_seed: int | None = None
    """Draw untrained weights from this seed instead of loading the trained ones."""
    allow_pickle_weights: bool = False
    trust_remote_code: bool = False


def cache_folder() -> Path:
    """Where de-quantised weights and digests are kept; AVALATTICE_CACHE overrides."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "avalattice"


# --------------------------------------------------------------------------------- finding files


def find_model(
    source: str,
    *,
    parts: Sequence[str] = (),
    sha256: str | None = None,
    allow_pickle_weights: bool = False,
    digest: Callable[[Path], str],
) -> ModelFiles:
    """The files of a model source; GGUF weights are de-quantised into the cache first.

    Args:
        source: one of the forms of the module's table.
        parts: further ``pkg:`` parts of one GGUF file.
        sha256: what the GGUF file (the joined parts) must hash to.
        allow_pickle_weights: accept ``.bin`` weights.
        digest: the sha256 of a file, which may be remembered.

    Raises:
        ModelError: nothing is there, or it does not hash to ``sha256``; the message says where it
            looked.
    """
    if source.startswith("hf:"):
        return _hub_files(source, allow_pickle_weights)
    if source.startswith("pkg:") or source.endswith(".gguf"):
        return _gguf_files(source, parts, sha256, digest)
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"model source {source!r}: no such folder (looked in {Path.cwd()}); use "
            "hf:ORG/NAME@REVISION, a folder, FILE.gguf or pkg:MODULE/FILE.gguf"
        )
    return _folder_files(folder, source, folder.name, None, allow_pickle_weights)


def _matching(folder: Path, patterns: Sequence[str]) -> tuple[Path, ...]:
    return tuple(sorted({path for pattern in patterns for path in folder.glob(pattern)}))


def _folder_files(
    folder: Path, source: str, name: str, revision: str | None, allow_pickle: bool
) -> ModelFiles:
    if not (folder / _CONFIGURATION[0]).is_file():
        raise ModelError(f"model source {source!r}: {folder} holds no config.json")
    weights = _matching(folder, _WEIGHTS)
    if not weights and allow_pickle:
        weights = _matching(folder, _PICKLED_WEIGHTS)
    if not weights:
        raise ModelError(
            f"model source {source!r}: {folder} holds no .safetensors weights"
            + ("" if allow_pickle else " (model.allow_pickle_weights: true accepts .bin)")
        )
    tokenizer = _matching(folder, _TOKENIZER)
    if not tokenizer:
        raise ModelError(f"model source {source!r}: {folder} holds no tokenizer files")
    files = weights + _matching(folder, _CONFIGURATION)
    return ModelFiles(source, name, revision, folder, files, tokenizer)


def _hub_files(source: str, allow_pickle: bool) -> ModelFiles:
    match = _HUB_SOURCE.fullmatch(source)
    if match is None:
        raise ModelError(f"model source {source!r}: use hf:ORG/NAME@REVISION")
    from huggingface_hub import constants, snapshot_download

    patterns = [*_WEIGHTS, *_CONFIGURATION, *_TOKENIZER, "*.model"]
    patterns += _PICKLED_WEIGHTS if allow_pickle else []
    try:
        folder = Path(
            snapshot_download(match["name"], revision=match["revision"], allow_patterns=patterns)
        )
    except Exception as error:
        raise ModelError(
            f"model source {source!r}: cannot be loaded from the Hub at {constants.ENDPOINT} "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). Check name, revision and "
            "network, or use a local folder"
        ) from error
    # snapshots are kept in folders named by their commit
    return _folder_files(folder, source, match["name"], folder.name, allow_pickle)


def _locate_in_package(source: str) -> Path:
    module, _, file = source.removeprefix("pkg:").partition("/")
    spec = locate(module)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ModelError(f"model source {source!r}: the Python package {module!r} is not installed")
    path = Path(places[0]) / file
    if not path.is_file():
        raise ModelError(f"model source {source!r}: no file {file} in {places[0]}")
    return path


def _gguf_files(
    source: str, parts: Sequence[str], sha256: str | None, digest: Callable[[Path], str]
) -> ModelFiles:
    paths = [
        _locate_in_package(part) if part.startswith("pkg:") else Path(part).expanduser()
        for part in (source, *parts)
    ]
    for path in paths:
        if not path.is_file():
            raise ModelError(f"model source {source!r}: no such file {path}")
    found = digest(paths[0]) if len(paths) == 1 else _joined_digest(paths)
    if sha256 is not None and found != sha256:
        raise ModelError(f"model source {source!r}: sha256 should be {sha256}, found {found}")
    folder = _dequantised(paths, found)
    name = Path(source.rpartition("/")[2]).stem
    files = _folder_files(folder, source, name, None, allow_pickle=False)
    note = f"weights de-quantised from GGUF {Path(source).name} (sha256 {found})"
    return ModelFiles(source, name, None, folder, files.weights, files.tokenizer, note)


def _joined_digest(paths: Sequence[Path]) -> str:
    joined = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_CHUNK):
                joined.update(block)
    return joined.hexdigest()


# -------------------------------------------------------------------------------- de-quantisation


def _dequantised(paths: Sequence[Path], sha256: str) -> Path:
    """The folder of the de-quantised weights, made now if the cache has none."""
    import gguf
    import transformers

    version = f"transformers-{transformers.__version__}-gguf-{_version_of(gguf)}"
    folder = cache_folder() / "models" / f"{sha256}-{version}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as making:
            single = paths[0] if len(paths) == 1 else _join(paths, Path(making) / "joined.gguf")
            made = Path(making) / "model"
            _convert(single, made)
            try:
                made.rename(folder)  # whoever is first has made it: the content is the same
            except OSError:
                if not folder.is_dir():
                    raise
    except (OSError, SafetensorError) as error:
        raise ResourceError(
            f"{folder.parent}: cannot keep the de-quantised weights ({error}); free space there, "
            f"or choose another place with {CACHE_VARIABLE}"
        ) from error
    return folder


def _version_of(module: Any) -> str:
    from importlib.metadata import version

    return version(module.__name__)


def _join(paths: Sequence[Path], target: Path) -> Path:
    with target.open("wb") as joined:
        for path in paths:
            with path.open("rb") as part:
                shutil.copyfileobj(part, joined, _CHUNK)
    return target


def _convert(gguf_file: Path, folder: Path) -> None:
    transformers = _quiet_transformers()
    where = {"pretrained_model_name_or_path": gguf_file.parent, "gguf_file": gguf_file.name}
    try:
        # the loader draws a bar of its own on standard error, whatever it is asked
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
            model = _pretrained(**where, dtype=torch.float32)
    except MemoryError:
        raise
    except Exception as error:
        raise ModelError(
            f"{gguf_file}: not a GGUF model that transformers reads ({error})"
        ) from error
    # de-quantised weights still carry the mark of the quantiser, with which saving is refused
    model.is_quantized = False
    for mark in ("hf_quantizer", "quantization_method"):
        if hasattr(model, mark):
            delattr(model, mark)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# ---------------------------------------------------------------------------------------- loading


def _quiet_transformers() -> Any:
    """Transformers without progress bars of its own and without advice to the programmer."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def read_outline(files: ModelFiles, *, trust_remote_code: bool = False) -> ModelOutline:
    """The model's size, from its configuration alone.

    Raises:
        ModelError: the family is not supported, or the configuration cannot be read.
    """
    transformers = _quiet_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(
            files.folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:
        raise ModelError(f"model source {files.source!r}: {error}") from error
    return outline(config)


def load_tokenizer(files: ModelFiles, *, trust_remote_code: bool = False) -> Any:
    """The model's tokenizer.

    Raises:
        ModelError: it cannot be read.
    """
    transformers = _quiet_transformers()
    try:
        return transformers.AutoTokenizer.from_pretrained(
            files.folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:
        raise ModelError(
            f"model source {files.source!r}: the tokenizer cannot be read ({error})"
        ) from error


def bos_token_id(tokenizer: Any) -> int | None:
    """The token that this tokenizer puts before text by default, if it puts one."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return None
    return int(bos) if tokenizer("a")["input_ids"][:1] == [bos] else None


def choose_device(device: str) -> str:
    """``cpu`` or ``cuda``: the wanted device, or what is there for ``auto``.

    Raises:
        ResourceError: CUDA is asked for and is not available; nothing is offloaded silently.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ResourceError("device cuda: PyTorch finds no CUDA device; use --device cpu")
    return device


def choose_dtype(dtype: str, device: str) -> str:
    """The wanted dtype; ``auto`` is fp32 on the CPU and bf16 on a GPU."""
    return {"cpu": "fp32", "cuda": "bf16"}[device] if dtype == "auto" else dtype


def set_determinism() -> dict[str, Any]:
    """Make PyTorch give the same bytes again; returns the flags, for the record."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True)
    # filling memory before it is written costs time and adds no safety here
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def load_model(files: ModelFiles, options: LoadOptions) -> nn.Module:
    """The model, in evaluation mode, on its device.

    Raises:
        ModelError: the weights cannot be read or do not fit the configuration.
        ResourceError: the device has too little memory.
    """
    transformers = _quiet_transformers()
    common = {
        "dtype": DTYPES[options.dtype],
        "attn_implementation": options.attention,
        "trust_remote_code": options.trust_remote_code,
    }
    try:
        if options.random_init_seed is None:
            # of two forms of the same weights, the one that was hashed
            safe = any(path.suffix == ".safetensors" for path in files.weights)
            model = _pretrained(files.folder, local_files_only=True, use_safetensors=safe, **common)
        else:
            model = _random_model(transformers, files, options.random_init_seed, common)
        model.to(options.device)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ResourceError(
            f"model {files.id} does not fit into the memory of {options.device}: use a smaller "
            "model or --dtype bf16"
        ) from error
    except Exception as error:
        remedy = "; set model.attention: eager" if "attention implementation" in str(error) else ""
        raise ModelError(
            f"model source {files.source!r}: cannot be loaded ({error}){remedy}"
        ) from error
    model.eval().requires_grad_(False)
    loaded: nn.Module = model
    return loaded


def _pretrained(*where: Any, **how: Any) -> Any:
    """A model with every one of its weights read.

    Transformers draws at random, with a warning, whatever the files lack.

    Raises:
        ModelError: the files lack a weight.
    """
    model, info = _quiet_transformers().AutoModelForCausalLM.from_pretrained(
        *where, output_loading_info=True, **how
    )
    if missing := sorted(info["missing_keys"]):
        raise ModelError(f"the files lack weights: {missing[0]} and {len(missing) - 1} more")
    return model


def _random_model(
    transformers: Any, files: ModelFiles, seed: int, common: dict[str, Any]
) -> nn.Module:
    """The same architecture with untrained weights, drawn aside from torch's global stream."""
    config = transformers.AutoConfig.from_pretrained(
        files.folder, trust_remote_code=common["trust_remote_code"], local_files_only=True
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = transformers.AutoModelForCausalLM.from_config(config, **common)
    return model
