"""Digests: canonical JSON, files, and a cache of file digests.

Canonical JSON has sorted keys, no insignificant blanks, no NaN, and is UTF-8: equal values have
equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from avalattice.errors import InputError, ResourceError
from avalattice.store.files import make_folder, replace_atomically

_CHUNK = 1 << 20


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value.

    >>> canonical_json({"b": [1, 0.5], "a": "ü"}).decode()
    '{"a":"ü","b":[1,0.5]}'

    Raises:
        ValueError: the value holds NaN or Inf, which JSON does not have.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )
    return text.encode()


def sha256_json(value: Any) -> str:
    """Hexadecimal sha256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_blocks(blocks: Iterable[bytes]) -> str:
    """Hexadecimal sha256 of bytes laid end to end."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return sha256_blocks(iter(lambda: file.read(_CHUNK), b""))


def found_digest(path: Path) -> str:
    """The sha256 of a file, or why there is none: a form that no stated digest can match."""
    try:
        return sha256_file(path) if path.is_file() else "no such file"
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"


class FileDigests:
    """Digests of large files, remembered by (path, size, mtime, inode).

    Weight files take seconds to hash and do not change between stages. The memory is a JSON file
    that holds its own digest; a damaged one is forgotten, never believed. ``fresh=True`` hashes
    anew (``verify --deep``).
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, str] = self._read()

    def _read(self) -> dict[str, str]:
        try:
            memory = json.loads(self._memory.read_bytes())
            known: dict[str, str] = memory["files"]
            believed = memory["sha256"] == sha256_json(known)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return known if believed else {}

    def sha256(self, path: Path, *, fresh: bool = False) -> str:
        """The digest of one file.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            stat = path.stat()
            key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
            if fresh or key not in self._known:
                self._known[key] = sha256_file(path)
                self._remember()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        return self._known[key]

    def _remember(self) -> None:
        # losing the memory costs a second of hashing, so a read-only or full home is no error
        with suppress(OSError, ResourceError):
            make_folder(self._memory.parent)
            memory = {"files": self._known, "sha256": sha256_json(self._known)}
            replace_atomically(self._memory, canonical_json(memory))
