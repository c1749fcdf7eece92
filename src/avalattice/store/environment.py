"""What a run was made with: interpreter, platform, library versions, threads, determinism flags."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

_LIBRARIES = (
    "avalattice",
    "accelerate",
    "gguf",
    "numpy",
    "pyarrow",
    "safetensors",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)
_GIT_SECONDS = 5


def library_version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def git_commit(folder: Path) -> str | None:
    """The commit of ``folder``, with ``+dirty`` where files differ; None if git tracks none of it.

    An installed package may lie inside a repository of its user's, whose commit says nothing of it.
    """
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str:
        command = [git, "-C", str(folder), *arguments]
        return subprocess.run(  # noqa: S603 - a fixed command on a folder of our own
            command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
        ).stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", ".")
        return ask("rev-parse", "HEAD") + ("+dirty" if ask("status", "--porcelain") else "")
    except (subprocess.SubprocessError, OSError):
        return None


def environment(code_folder: Path) -> dict[str, object]:
    """The environment as it stands in the run record."""
    torch = sys.modules.get("torch")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "libraries": {name: library_version(name) for name in _LIBRARIES},
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads() if torch else None,
        "git_commit": git_commit(code_folder),
    }


def peak_memory_bytes() -> int:
    """The process's largest resident set so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
