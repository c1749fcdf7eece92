"""The pack: a folder that holds runs, paper and report, and the digest of every byte of them.

``MANIFEST.sha256`` has a line ``<sha256>  <name>`` for every file but itself, sorted by name, so
that ``sha256sum -c MANIFEST.sha256`` accepts the folder anywhere. ``ro-crate-metadata.json``
(:mod:`avalattice.export.crate`) describes the same files for people and catalogues. Two packs of
the same files have the same bytes; :mod:`avalattice.export.archive` makes one archive of a pack.

Files are copied, not linked: a hard link shares its permissions and its bytes with the run, which
must not change whatever becomes of the pack. Copies are streamed and hashed as they pass.

Not handled: symbolic links (what they point to is copied) and empty folders (they are left out).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from avalattice.canon import OUTPUT, PATH
from avalattice.errors import InputError, VerificationError
from avalattice.export.pack_names import names_fault

CHUNK = 1 << 20
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_LINE = re.compile("([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class PackedFile:
    """One file of a pack."""

    name: str
    """POSIX path below the pack's root."""
    sha256: str
    """Hexadecimal digest of its bytes."""
    bytes: int
    """Its size."""


Describe: TypeAlias = Callable[[Sequence[PackedFile]], bytes]
"""The bytes of ``ro-crate-metadata.json`` for the files of a pack, sorted by name."""


def packed_name(run_id: str, relative: str) -> str:
    """Where a run's file stands in a pack.

    >>> packed_name("RUN_S01_0123456789ab", "run_record.json")
    'runs/RUN_S01_0123456789ab/run_record.json'
    """
    return f"{PATH.RUNS_DIR}/{run_id}/{relative}"


def run_files(run_id: str, folder: Path, artifacts: Iterable[str]) -> dict[str, Path]:
    """The files of a run by their names in a pack: its record and the artifacts that it lists.

    Args:
        run_id: the run.
        folder: where the run is.
        artifacts: names below the run, such as the keys of the record's artifact index. What the
            record does not list (partial results, a file that somebody put there) is not packed.
    """
    names = dict.fromkeys((OUTPUT.RUN_RECORD_JSON, *artifacts))
    return {packed_name(run_id, name): folder / name for name in names}


# ------------------------------------------------------------------------------- building a pack


def build_pack(
    files: Mapping[str, Path], target: Path, *, describe: Describe
) -> tuple[PackedFile, ...]:
    """Lay out a pack. The manifest is written last: a folder without one is no pack.

    Args:
        files: by name in the pack, the files to copy; see :func:`run_files`.
        target: the folder to fill; it is made, or is there and empty.
        describe: gives the description of the copied files; called once.

    Returns:
        Every file of the pack, sorted by name; description and manifest among them.

    Raises:
        InputError: a name may not stand in a pack, a file is missing, or the folder is not empty.
        OSError: the disk is full or the place read-only.
    """
    fault = names_fault([*files, OUTPUT.RO_CRATE_JSON, OUTPUT.MANIFEST_SHA256])
    if fault:
        raise InputError(f"{target}: {fault}: it cannot be packed")
    missing = [path for path in files.values() if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: no such file, so it cannot be packed")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: a pack is laid out in a new or empty folder; remove this one")
    target.mkdir(parents=True, exist_ok=True)
    copied = [write_file(target, name, file_blocks(files[name])) for name in sorted(files)]
    described = write_file(target, OUTPUT.RO_CRATE_JSON, [describe(copied)])
    listed = sorted([*copied, described], key=lambda file: file.name)
    manifest = write_file(target, OUTPUT.MANIFEST_SHA256, [manifest_text(listed).encode()])
    return tuple(sorted([*listed, manifest], key=lambda file: file.name))


def file_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, in blocks."""
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            yield block


def write_file(root: Path, name: str, blocks: Iterable[bytes]) -> PackedFile:
    """Write a new file below a folder, with fixed permissions; its digest and size.

    Args:
        root: the folder.
        name: a name that :func:`~avalattice.export.pack_names.name_fault` accepts.
        blocks: the bytes.

    Raises:
        FileExistsError: there is a file of that name.
    """
    path = root / name
    for folder in reversed(path.relative_to(root).parents[:-1]):
        (root / folder).mkdir(exist_ok=True)
        (root / folder).chmod(_FOLDER_MODE)  # mkdir's own mode is what the umask leaves of it
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for block in blocks:
            digest.update(block)
            size += file.write(block)
    path.chmod(_FILE_MODE)
    return PackedFile(name, digest.hexdigest(), size)


# ----------------------------------------------------------------------------------- the manifest


def manifest_text(files: Iterable[PackedFile]) -> str:
    """The manifest of files, in a form that ``sha256sum -c`` accepts.

    >>> print(manifest_text([PackedFile("b", "1" * 64, 5), PackedFile("a", "0" * 64, 3)]), end="")
    0000000000000000000000000000000000000000000000000000000000000000  a
    1111111111111111111111111111111111111111111111111111111111111111  b
    """
    lines = {file.name: f"{file.sha256}  {file.name}\n" for file in files}
    return "".join(lines[name] for name in sorted(lines))


def read_manifest(path: Path) -> dict[str, str]:
    """The sha256 of each file that a manifest lists, by name.

    Raises:
        VerificationError: it is missing, or not exactly what :func:`manifest_text` writes.
    """
    try:
        lines = path.read_bytes().decode().split("\n")
    except (OSError, ValueError) as error:
        raise VerificationError(f"{path}: not a readable manifest ({error})") from error
    if lines.pop():
        raise VerificationError(f"{path}: the last line does not end")
    digests: dict[str, str] = {}
    previous = ""
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise VerificationError(f"{path}: line {number} is no digest, two blanks and a name")
        if match[2] <= previous:
            raise VerificationError(f"{path}: line {number} is out of order")
        previous = match[2]
        digests[previous] = match[1]
    fault = names_fault([*digests, OUTPUT.MANIFEST_SHA256])
    if fault:
        raise VerificationError(f"{path}: {fault}")
    return digests


def manifest_faults(digests: Mapping[str, str], files: Iterable[PackedFile]) -> dict[str, str]:
    """By name, what is wrong with the files of a pack beside its manifest.

    Args:
        digests: the manifest, as :func:`read_manifest` gives it.
        files: every file that is there, the manifest itself aside.
    """
    found = {file.name: file.sha256 for file in files}
    faults = {}
    for name in sorted(digests.keys() | found.keys()):
        if name not in digests:
            faults[name] = f"{name}: the manifest lists no such file"
        elif digests[name] != found.get(name):
            digest = found.get(name, "no such file")
            faults[name] = f"{name}: sha256 should be {digests[name]}, found {digest}"
    return faults
