"""Named array types, and the one NPZ reader and writer.

Axes, in this order everywhere: C condition, N sequence (window), L layer, T token, F unit.

An NPZ file written here is an ordinary ``numpy.load`` archive whose bytes depend on nothing but
its arrays: members are stored uncompressed (so that they can be memory-mapped, and so that no zlib
version enters the digest) with one fixed timestamp. Arrays that do not fit in memory are written
from blocks.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int32, Integer, UInt8, UInt16
from numpy.lib import format as npy

from avalattice.errors import ArrayError

CountStack: TypeAlias = UInt16[np.ndarray, "C N L T"]
OccupancyStack: TypeAlias = UInt8[np.ndarray, "C N L T"]
Windows: TypeAlias = Int32[np.ndarray, "N T"]
AnyCounts: TypeAlias = Integer[np.ndarray, "*stack L T"] | Bool[np.ndarray, "*stack L T"]
UnitStats: TypeAlias = Float[np.ndarray, "L F"]
Floats: TypeAlias = npt.NDArray[np.float64]
"""Of any shape: inside a formula."""
Ints: TypeAlias = npt.NDArray[np.int64]
"""Of any shape: inside a formula."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_LOCAL_HEADER_BYTES = 30
# what zipfile raises over damaged archives: ciphers and methods it lacks are runtime errors
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True)
class ArraySpec:
    """What a member of an NPZ file must look like."""

    dtype: str
    """NumPy dtype name."""
    axes: str
    """Axis names, separated by blanks; their number is the rank. Equal names have equal length."""


@dataclass(frozen=True)
class BlockArray:
    """An array that is written block by block along its leading axes, in C order."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    blocks: Callable[[], Iterable[np.ndarray]]
    """Gives the blocks anew at each call; laid end to end in C order they are the array."""


def _write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray | BlockArray) -> None:
    info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    info.create_system = 3  # Unix, whatever wrote it: the byte is part of the file
    info.external_attr = 0o644 << 16
    blocks = array.blocks() if isinstance(array, BlockArray) else (array,)
    header = {
        "descr": npy.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape,
    }
    written = 0
    with archive.open(info, "w", force_zip64=True) as member:
        npy.write_array_header_1_0(member, header)
        for block in blocks:
            if block.dtype != array.dtype:
                raise ArrayError(
                    f"{name}: a block has dtype {block.dtype}, the array {array.dtype}"
                )
            written += block.size
            flat = np.ascontiguousarray(block, dtype=array.dtype).reshape(-1)
            member.write(flat.view(np.uint8).data)  # the bytes, also of no elements
    expected = math.prod(array.shape)
    if written != expected:
        raise ArrayError(
            f"{name}: blocks hold {written} values, shape {array.shape} needs {expected}"
        )


def write_npz(file: IO[bytes] | Path, arrays: Mapping[str, np.ndarray | BlockArray]) -> None:
    """Write arrays as an NPZ file whose bytes depend on nothing but the arrays.

    Raises:
        ArrayError: the blocks of a :class:`BlockArray` have another dtype or do not fill its shape.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            _write_member(archive, name, array)


def _member_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: the local header's own name and extra lengths decide."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER_BYTES)
    name_bytes = int.from_bytes(header[26:28], "little")
    extra_bytes = int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(member)
    return shape, fortran, dtype


def _checked_header(member: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    shape, fortran, dtype = _read_header(member)
    if dtype.hasobject:
        raise ArrayError(f"{where} holds pickled objects, which are never loaded")
    return shape, fortran, dtype


def _read_array(member: IO[bytes], where: str) -> np.ndarray:
    shape, fortran, dtype = _checked_header(member, where)
    flat = np.frombuffer(member.read(), dtype=dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _read_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, lazy: bool) -> Any:
    where = f"{path}: {info.filename}"
    if not lazy or info.compress_type != zipfile.ZIP_STORED:
        with archive.open(info) as member:
            return _read_array(member, where)
    with archive.open(info) as member:
        shape, fortran, dtype = _checked_header(member, where)
        data_start = member.tell()
    if math.prod(shape) == 0:
        return np.empty(shape, dtype)
    return np.memmap(
        path,
        dtype=dtype,
        mode="r",
        offset=_member_offset(path, info) + data_start,
        shape=shape,
        order="F" if fortran else "C",
    )


def read_npz(
    path: Path, expected: Mapping[str, ArraySpec], *, lazy: bool = False
) -> dict[str, np.ndarray]:
    """Read the arrays of an NPZ file and check them against their specifications.

    Args:
        path: the file.
        expected: the members to read; others are left alone.
        lazy: memory-map members that are stored uncompressed instead of reading them. A mapped
            member is not checked against the archive's checksum: hash the file first.

    Raises:
        ArrayError: the file is missing or no NPZ archive, or a member is missing, holds pickles, or
            has another dtype, rank or axis length than expected; the message names file, key,
            expected and found.
    """
    arrays = read_members(path, expected, lazy=lazy)
    check_arrays(arrays, expected, where=str(path))
    return arrays


def read_members(path: Path, names: Iterable[str], *, lazy: bool = False) -> dict[str, np.ndarray]:
    """Read arrays of an NPZ file, whatever their form.

    Args:
        path: the file.
        names: the members to read; others are left alone.
        lazy: as of :func:`read_npz`.

    Raises:
        ArrayError: the file is missing or no NPZ archive, or a member is missing or holds pickles.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            names = list(names)
            missing = [name for name in names if name not in members]
            if missing:
                raise ArrayError(
                    f"{path}: missing key '{missing[0]}'; the file holds {sorted(members)}"
                )
            return {name: _read_member(path, archive, members[name], lazy) for name in names}
    except _UNREADABLE as error:
        raise ArrayError(f"{path}: not a readable NPZ file ({error})") from error


def member_names(path: Path) -> list[str]:
    """The names of the arrays of an NPZ file, sorted.

    Raises:
        ArrayError: the file is missing or no NPZ archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(_members(archive))
    except _UNREADABLE as error:
        raise ArrayError(f"{path}: not a readable NPZ file ({error})") from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def is_npy(path: Path) -> bool:
    """Whether a file begins as an NPY file does, which holds one array without a name.

    Raises:
        ArrayError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX
    except OSError as error:
        raise ArrayError(f"{path}: cannot be read ({error.strerror})") from error


def read_npy(path: Path) -> np.ndarray:
    """Read the array of an NPY file.

    Raises:
        ArrayError: the file cannot be read or is damaged, or holds pickles.
    """
    try:
        with path.open("rb") as file:
            return _read_array(file, f"{path}: the array")
    except _UNREADABLE as error:
        raise ArrayError(f"{path}: not a readable NPY file ({error})") from error


def check_arrays(
    arrays: Mapping[str, np.ndarray], expected: Mapping[str, ArraySpec], *, where: str
) -> None:
    """Check dtype, rank and the agreement of equally named axes.

    Raises:
        ArrayError: naming ``where``, the key, the expected and the found form.
    """
    lengths: dict[str, tuple[int, str]] = {}
    for name, spec in expected.items():
        array, axes = arrays[name], spec.axes.split()
        if array.dtype != np.dtype(spec.dtype) or array.ndim != len(axes):
            raise ArrayError(
                f"{where}: {name} must be {spec.dtype} [{', '.join(axes)}], "
                f"found {array.dtype} of shape {array.shape}"
            )
        for axis, length in zip(axes, array.shape, strict=True):
            known, first = lengths.setdefault(axis, (length, name))
            if known != length:
                raise ArrayError(
                    f"{where}: axis {axis} has length {length} in {name} but {known} in {first}"
                )


def check_counts(name: str, array: np.ndarray) -> None:
    """Refuse anything but whole numbers with axes [..., L, T].

    Raises:
        ArrayError: naming the array, the expected and the found.
    """
    if array.dtype.kind not in "bui" or array.ndim < 2 or 0 in array.shape[-2:]:
        raise ArrayError(
            f"{name}: expected whole numbers with axes [..., L, T], L and T at least 1, "
            f"found {array.dtype} of shape {array.shape}"
        )


def row_blocks(array: np.ndarray, rows: int = 8) -> Iterator[np.ndarray]:
    """The array in blocks of ``rows`` along its first axis."""
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
