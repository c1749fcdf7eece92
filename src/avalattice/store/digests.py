"""Digests: canonical JSON, files, and a cache of file digests.

Canonical JSON has sorted keys, no insignificant blanks, no NaN, and is UTF-8: equal values have
equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avalattice.errors import InputError
from avalattice.store.files import replace_atomically

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


class FileDigests:
    """Digests of large files, remembered by (path, size, mtime, inode).

    Weight files take seconds to hash and do not change between stages. The memory is a JSON file;
    a damaged one is forgotten, never believed. ``fresh=True`` hashes anew (``verify --deep``).
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, str] = self._read()

    def _read(self) -> dict[str, str]:
        try:
            known = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

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
        # losing the memory costs a second of hashing, so a read-only home is no error
        if os.access(self._memory.parent, os.W_OK) or not self._memory.parent.exists():
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            replace_atomically(self._memory, canonical_json(self._known))
