"""One archive of a pack: a zip whose bytes depend on nothing but the pack's files.

Members stand in the order of their names, with one timestamp (1980-01-01, the first that a zip can
hold) and one set of permissions, and are stored, not deflated: the bytes that zlib gives change
with its version and build, and a release must have one digest wherever it is built. What is large
in a pack, Parquet and pictures, is compressed already; rasters are not, and make it a few times
larger than it could be.

Storing also makes reading safe. A member of an archive that is read must be stored, and all of them
together must fit into the archive, so nothing can be larger than it looks. Names are checked before
anything is written (:mod:`avalattice.export.pack_names`), and nothing but a regular file is made.

Reference: APPNOTE.TXT, the .ZIP file format specification, version 6.3.10.
Not handled: archives that other programs have made of the same files (they are refused if they
compress, have folders as members, or put everything into one more folder).
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from avalattice.canon import OUTPUT
from avalattice.errors import InputError, VerificationError
from avalattice.export.pack_names import names_fault
from avalattice.export.release import CHUNK, PackedFile, file_blocks, read_manifest, write_file

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_ENCRYPTED = 1
# what zipfile raises over damaged archives: ciphers and methods it lacks are runtime errors
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive."""

    files: tuple[PackedFile, ...]
    """The files that were written, in the archive's order."""
    faults: dict[str, str]
    """By name, why a member could not be read; it was not written."""


# ---------------------------------------------------------------------------------------- writing


def pack_zip(folder: Path, file: IO[bytes]) -> None:
    """Write a pack as a zip: the files that its manifest lists, and the manifest.

    Args:
        folder: the pack.
        file: an empty binary file that can seek.

    Raises:
        VerificationError: there is no manifest, or a file is not what the manifest says.
    """
    digests: dict[str, str | None] = {**read_manifest(folder / OUTPUT.MANIFEST_SHA256)}
    digests[OUTPUT.MANIFEST_SHA256] = None  # a file cannot hold its own digest
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(digests):
            _add_member(archive, name, folder / name, digests[name])


def _add_member(archive: zipfile.ZipFile, name: str, path: Path, sha256: str | None) -> None:
    if not path.is_file():
        raise VerificationError(f"{path}: the manifest lists it, but there is no such file")
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = _UNIX  # whatever wrote it: the byte is part of the file
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = path.stat().st_size  # says whether the header must have room for 64 bits
    digest = hashlib.sha256()
    with archive.open(info, "w") as member:
        for block in file_blocks(path):
            digest.update(block)
            member.write(block)
    if sha256 not in (None, digest.hexdigest()):
        raise VerificationError(f"{path}: sha256 should be {sha256}, found {digest.hexdigest()}")


# ---------------------------------------------------------------------------------------- reading


def unpack_zip(path: Path, target: Path) -> Unpacked:
    """Check an archive's members and write them below a folder.

    Args:
        path: the archive.
        target: an empty folder.

    Raises:
        InputError: there is no such file.
        VerificationError: it is not a zip, or a member is unsafe; nothing has been written then.
        OSError: the disk is full or the place read-only.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise VerificationError(f"{path}: not a readable zip ({error})") from error
    files: list[PackedFile] = []
    faults: dict[str, str] = {}
    with archive:
        members = archive.infolist()
        _check_members(path, members)
        for info in members:
            name = info.orig_filename
            try:
                files.append(write_file(target, name, _member_blocks(archive, info)))
            except VerificationError as error:
                faults[name] = f"{name}: {error}"
                (target / name).unlink()
    return Unpacked(tuple(files), faults)


def unpacked_folder(folder: Path) -> Unpacked:
    """The files of a pack that lies unpacked in a folder; links and the like are faults."""
    files: list[PackedFile] = []
    faults: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            faults[name] = f"{name}: neither a file nor a folder"
        elif path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files.append(PackedFile(name, digest, path.stat().st_size))
    return Unpacked(tuple(files), faults)


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive with a member that is unsafe to write.

    Raises:
        VerificationError: naming the archive and the member.
    """
    names = names_fault(info.orig_filename for info in members)
    kinds = (_member_fault(info) for info in members)
    fault = names or next((kind for kind in kinds if kind), None)
    if fault:
        raise VerificationError(f"{path}: member {fault}; nothing was unpacked")
    declared = sum(info.file_size for info in members)
    if declared > path.stat().st_size:
        raise VerificationError(
            f"{path}: its members say that they hold {declared} bytes, more than the archive; "
            "nothing was unpacked"
        )


def _member_fault(info: zipfile.ZipInfo) -> str | None:
    """Why a member is not one that :func:`pack_zip` writes, whatever its name, or None."""
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if info.filename != name:  # zipfile cuts names at NUL, and reads others from extra fields
        return f"{name!r} has a second name, {info.filename!r}"
    if kind not in (0, stat.S_IFREG):
        return f"{name!r} is a link or another special file"
    if info.flag_bits & _ENCRYPTED:
        return f"{name!r} is encrypted"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return f"{name!r} is compressed, and those of a release are stored as they are"
    return None


def _member_blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a member, in blocks.

    Raises:
        VerificationError: they are cut short or do not have their checksum.
    """
    try:
        with archive.open(info) as member:
            while block := member.read(CHUNK):
                yield block
    except _UNREADABLE as error:
        raise VerificationError(f"cannot be read from the archive ({error})") from error
