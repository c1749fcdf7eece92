"""Durable files: written under a temporary name, flushed to disk, then renamed.

A reader sees the old bytes or the new ones, never a part. What the operating system refuses
(full disk, read-only folder) becomes a :class:`~avalattice.errors.ResourceError` that names the
file and what to do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from avalattice.errors import ResourceError

TEMPORARY_SUFFIX = ".partial"
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free space, then repeat the command with --allow-resume",
    errno.EDQUOT: "the disk quota is used up: free space, then repeat with --allow-resume",
    errno.EFBIG: "the file is too large for this file system or its limit (ulimit -f)",
    errno.EROFS: "the file system is read-only: choose another place with --runs-dir",
    errno.EACCES: "no permission: choose another place with --runs-dir",
    errno.EPERM: "no permission: choose another place with --runs-dir",
    errno.ENOTDIR: "a file stands where a folder should: choose another place with --runs-dir",
    errno.EEXIST: "a file stands where a folder should: choose another place with --runs-dir",
    errno.EIO: "the disk reports an error: choose another place with --runs-dir",
}
_FULL_FSYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
_CANNOT_FLUSH_FOLDERS = (errno.EINVAL, errno.ENOTSUP)


@contextmanager
def resource_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses about ``path`` into a ResourceError."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        raise ResourceError(f"{path}: cannot write ({error.strerror}); {remedy}") from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents, durably.

    Raises:
        ResourceError: the place is read-only or full, or a file stands there.
    """
    with resource_errors(path):
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in new:
            fsync_folder(folder.parent)


def flush_to_disk(descriptor: int) -> None:
    """Make what was written to an open file or folder durable."""
    os.fsync(descriptor)
    if _FULL_FSYNC is not None:  # on macOS, fsync leaves the bytes in the drive's own cache
        with suppress(OSError):  # a file system that has no such command
            fcntl.fcntl(descriptor, _FULL_FSYNC)


def fsync_folder(folder: Path) -> None:
    """Make what was created, renamed and removed in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flush_to_disk(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH_FOLDERS:  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears as ``path`` when the block ends well, and not at all otherwise.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
    with resource_errors(path):
        try:
            with temporary.open("w+b") as file:
                yield file
                file.flush()
                flush_to_disk(file.fileno())
            temporary.replace(path)
            fsync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def replace_atomically(path: Path, content: bytes) -> None:
    """Give a file new bytes, all at once."""
    with writing(path) as file:
        file.write(content)


def take_write_permission(path: Path) -> None:
    """Make a file read-only for everyone."""
    path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
