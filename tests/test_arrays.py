"""The one NPZ reader and writer: bytes that depend on arrays alone, and files that are refused."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import TypeCheckError

from avalattice.arrays import (
    ArraySpec,
    BlockArray,
    check_arrays,
    is_npy,
    member_names,
    read_members,
    read_npy,
    read_npz,
    row_blocks,
    write_npz,
)
from avalattice.canon import DatasetRole, WindowSet
from avalattice.data.windows import WindowSlice
from avalattice.errors import ArrayError

SPEC = {"A": ArraySpec("uint16", "C N"), "ids": ArraySpec("int32", "C")}
ARRAYS = {
    "A": np.arange(12, dtype=np.uint16).reshape(3, 4),
    "ids": np.array([5, -6, 7], dtype=np.int32),
}
DTYPES = (
    "uint8",
    "uint16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "bool",
    ">i4",
    "<U3",
)

any_array = hnp.arrays(
    st.sampled_from(DTYPES),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    elements={"allow_nan": False},
)


def npz_bytes(arrays):
    """What :func:`write_npz` makes of arrays."""
    file = io.BytesIO()
    write_npz(file, arrays)
    return file.getvalue()


def spec_of(array):
    """The specification that an array meets."""
    return ArraySpec(array.dtype.str, " ".join("abcd"[: array.ndim]))


def test_annotated_arrays_are_checked_here():
    """Under pytest, an array that is not what it is annotated to be is an error of its own."""
    ids, tokens = np.zeros(2, np.int32), np.zeros((2, 3), np.int32)
    assert WindowSlice(DatasetRole.A, WindowSet.RASTER, ids, tokens, 0).token_ids.shape == (2, 3)
    for wrong in (ids.astype(np.float32), ids[:1], tokens):
        with pytest.raises(TypeCheckError, match=r"window_ids|input_ids"):
            WindowSlice(DatasetRole.A, WindowSet.RASTER, wrong, tokens, 0)


@pytest.fixture
def path(tmp_path):
    """A good file."""
    write_npz(tmp_path / "good.npz", ARRAYS)
    return tmp_path / "good.npz"


# -------------------------------------------------------------------------------------- writing


def test_the_bytes_are_pinned():
    """The same arrays give these bytes, on every machine."""
    digest = hashlib.sha256(npz_bytes(ARRAYS)).hexdigest()
    assert digest == "68eda48f76cef20ea950acaad6828f9491a9ebffaa526dcfe1fc5194060f9a24"


def test_bytes_do_not_depend_on_time_or_place(tmp_path, monkeypatch):
    """Neither the clock, the time zone, the folder nor the file's name enters the bytes."""
    write_npz(tmp_path / "one.npz", ARRAYS)
    (tmp_path / "below").mkdir()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.chdir(tmp_path / "below")
    write_npz(tmp_path / "below" / "other.npz", ARRAYS)
    one, other = (tmp_path / "one.npz").read_bytes(), (tmp_path / "below/other.npz").read_bytes()
    assert one == other == npz_bytes(ARRAYS)
    np.savez(tmp_path / "numpy.npz", **ARRAYS)  # control: numpy's own writer is another
    assert (tmp_path / "numpy.npz").read_bytes() != one


@given(array=any_array, other=any_array)
def test_numpy_reads_what_is_written(array, other):
    """An ordinary ``numpy.load`` gives the arrays back, under their names and in their order."""
    with np.load(io.BytesIO(npz_bytes({"array": array, "other": other}))) as loaded:
        assert loaded.files == ["array", "other"]
        for name, value in (("array", array), ("other", other)):
            assert loaded[name].dtype == value.dtype
            np.testing.assert_array_equal(loaded[name], value, strict=True)


@given(array=any_array)
def test_memory_layout_does_not_enter_the_bytes(array):
    """Transposed, strided and reversed views give the bytes of their contiguous copies."""
    wide = np.repeat(array[None], 2, axis=0)
    for view in (array.T, wide[::2], wide[::-1], np.asfortranarray(array)):
        assert npz_bytes({"a": view}) == npz_bytes({"a": np.array(view, order="C")})


@given(data=st.data(), shape=hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6))
def test_bytes_do_not_depend_on_the_partition(data, shape):
    """An array written from blocks, cut anywhere along its leading axes, is the array written."""
    array = data.draw(hnp.arrays("uint16", shape))
    depth = data.draw(st.integers(1, array.ndim - 1))
    rows = array.reshape(-1, *shape[depth:])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    blocks = BlockArray(array.dtype, shape, lambda: np.split(rows, cuts))
    assert npz_bytes({"a": blocks}) == npz_bytes({"a": array})


def test_blocks_are_asked_for_once_per_member():
    """A block array's blocks are drawn one at a time, and only while its member is written."""
    drawn = []

    def blocks():
        for row in ARRAYS["A"]:
            drawn.append(len(drawn))
            yield row[None]

    npz_bytes({"A": BlockArray(np.dtype(np.uint16), (3, 4), blocks)})
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize("n_rows", [0, 2, 4])
def test_blocks_must_fill_the_shape(n_rows):
    """Too few or too many blocks are refused, with the numbers of values."""
    rows = np.ones((n_rows, 4), dtype=np.uint16)
    blocks = BlockArray(np.dtype(np.uint16), (3, 4), lambda: row_blocks(rows, 1))
    with pytest.raises(
        ArrayError, match=rf"^A: blocks hold {4 * n_rows} values, shape \(3, 4\) needs 12$"
    ):
        npz_bytes({"A": blocks})


def test_blocks_must_have_the_dtype():
    """Blocks of another dtype are refused: a conversion could lose counts without a word."""
    wide = np.array([[1, 70_000]], dtype=np.int64)
    blocks = BlockArray(np.dtype(np.uint16), (1, 2), lambda: [wide])
    with pytest.raises(ArrayError, match=r"^A: a block has dtype int64, the array uint16$"):
        npz_bytes({"A": blocks})


@given(n_rows=st.integers(0, 20), rows=st.integers(1, 7))
def test_row_blocks_partition_the_array(n_rows, rows):
    """Row blocks are views of at most so many rows that make up the array in order."""
    array = np.arange(2 * n_rows).reshape(n_rows, 2)
    blocks = list(row_blocks(array, rows))
    assert all(0 < len(block) <= rows and np.shares_memory(block, array) for block in blocks)
    np.testing.assert_array_equal(np.concatenate([array[:0], *blocks]), array)


# -------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("lazy", [False, True])
@given(array=any_array)
def test_reading_gives_the_arrays_back(tmp_path_factory, lazy, array):
    """Read eagerly or mapped lazily, every dtype, rank and empty axis comes back."""
    file = tmp_path_factory.getbasetemp() / "array.npz"
    write_npz(file, {"first": np.zeros(3), "array": array})
    found = read_npz(file, {"array": spec_of(array)}, lazy=lazy)
    assert list(found) == ["array"]
    np.testing.assert_array_equal(found["array"], array, strict=True)


def test_lazy_arrays_stay_on_disk(path):
    """A lazily read member is a memory map; an eagerly read one is not."""
    assert isinstance(read_npz(path, SPEC, lazy=True)["A"], np.memmap)
    assert not isinstance(read_npz(path, SPEC)["A"], np.memmap)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_numpy_are_read(tmp_path, save, lazy):
    """Archives written by numpy, compressed or in Fortran order, are read like our own."""
    fortran = {**ARRAYS, "A": np.asfortranarray(ARRAYS["A"])}
    save(tmp_path / "a.npz", **fortran)
    found = read_npz(tmp_path / "a.npz", SPEC, lazy=lazy)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_lazy_reading_finds_members_behind_any_local_header(tmp_path):
    """A member's place follows from its own header: extra fields and long names do not shift it."""
    member = io.BytesIO()
    np.save(member, ARRAYS["A"])
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        info = zipfile.ZipInfo("a-rather-long-name.npy")
        info.extra = b"\xfe\xca\x04\x00abcd"
        archive.writestr(info, member.getvalue())
    found = read_npz(
        tmp_path / "a.npz", {"a-rather-long-name": ArraySpec("uint16", "C N")}, lazy=True
    )
    np.testing.assert_array_equal(found["a-rather-long-name"], ARRAYS["A"])


def test_other_members_are_left_alone(path):
    """Only the expected members are read and checked."""
    assert list(read_npz(path, {"ids": SPEC["ids"]})) == ["ids"]


# ------------------------------------------------------------------------------------- refusing

WRONG = [
    ({"A": ARRAYS["A"]}, r"missing key 'ids'; the file holds \['A'\]"),
    (
        {**ARRAYS, "A": ARRAYS["A"][None]},
        r"A must be uint16 \[C, N\], found uint16 of shape \(1, 3, 4\)",
    ),
    (
        {**ARRAYS, "A": ARRAYS["A"].astype(np.int64)},
        r"A must be uint16 \[C, N\], found int64 of shape \(3, 4\)",
    ),
    (
        {**ARRAYS, "A": ARRAYS["A"].astype(">u2")},
        r"A must be uint16 \[C, N\], found >u2 of shape \(3, 4\)",
    ),
    ({**ARRAYS, "A": ARRAYS["A"].T}, "axis C has length 3 in ids but 4 in A"),
    (
        {**ARRAYS, "ids": np.array(1, np.int32)},
        r"ids must be int32 \[C\], found int32 of shape \(\)",
    ),
]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("arrays", "message"), WRONG)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, message, lazy):
    """The message names file, key, expected and found."""
    write_npz(tmp_path / "wrong.npz", arrays)
    with pytest.raises(ArrayError, match=rf"wrong\.npz: {message}$"):
        read_npz(tmp_path / "wrong.npz", SPEC, lazy=lazy)


def test_equal_axis_names_within_one_array():
    """An axis name that an array bears twice stands for one length."""
    spec = {"a": ArraySpec("float64", "L L")}
    check_arrays({"a": np.zeros((3, 3))}, spec, where="here")
    with pytest.raises(ArrayError, match=r"^here: axis L has length 2 in a but 3 in a$"):
        check_arrays({"a": np.zeros((3, 2))}, spec, where="here")


class Explosive:
    """Unpickling this fails the test."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("lazy", [False, True])
def test_pickles_are_never_loaded(tmp_path, lazy):
    """A member of objects is refused without being unpickled."""
    objects = np.array([Explosive(), 1, 2], dtype=object)
    np.savez(tmp_path / "a.npz", A=ARRAYS["A"], ids=objects)
    with pytest.raises(ArrayError, match=r"a\.npz: ids\.npy holds pickled objects"):
        read_npz(tmp_path / "a.npz", SPEC, lazy=lazy)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not an archive" * 100])
def test_what_is_no_archive_is_refused(tmp_path, content):
    """A file that is no zip archive is refused, by name."""
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ArrayError, match=r"a\.npz: not a readable NPZ file"):
        read_npz(tmp_path / "a.npz", SPEC)


def test_a_missing_file_is_refused(tmp_path):
    """A file that is not there, and a folder in its place, are refused by name."""
    for place in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(ArrayError, match=rf"^{place}: not a readable NPZ file"):
            read_npz(place, SPEC)


def test_a_member_that_is_no_array_is_refused(tmp_path):
    """A member without NumPy's header is refused."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("A.npy", b"text")
        archive.writestr("ids.npy", b"text")
    with pytest.raises(ArrayError, match=r"a\.npz: not a readable NPZ file"):
        read_npz(tmp_path / "a.npz", SPEC)


@given(data=st.data())
def test_no_truncated_file_is_read(tmp_path_factory, data):
    """A file cut short anywhere is refused, lazily too."""
    whole = npz_bytes(ARRAYS)
    file = tmp_path_factory.getbasetemp() / "cut.npz"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    for lazy in (False, True):
        with pytest.raises(ArrayError, match=r"cut\.npz"):
            read_npz(file, SPEC, lazy=lazy)


@pytest.mark.parametrize(
    "save",
    [write_npz, lambda file, arrays: np.savez_compressed(file, **arrays)],
    ids=["stored", "compressed"],
)
def test_a_flipped_byte_is_refused_or_changes_nothing(tmp_path, save):
    """With any one byte changed, an eager read is refused or still gives the very arrays."""
    save(tmp_path / "whole.npz", ARRAYS)
    whole = (tmp_path / "whole.npz").read_bytes()
    refused = set()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 0x55
        (tmp_path / "flipped.npz").write_bytes(flipped)
        try:
            found = read_npz(tmp_path / "flipped.npz", SPEC)
        except ArrayError:
            refused.add(position)
        else:
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(found[name], array, strict=True)
    # control: of our own file at least every byte of the arrays themselves must count
    if save is write_npz:
        starts = [whole.index(array.tobytes()) for array in ARRAYS.values()]
        for start, array in zip(starts, ARRAYS.values(), strict=True):
            assert refused.issuperset(range(start, start + array.nbytes))


# ------------------------------------------------------------------- files of any arrays


def test_members_are_read_whatever_their_form(tmp_path):
    """Names are listed, members read without a specification, and others left alone."""
    path = tmp_path / "any.npz"
    np.savez_compressed(path, b=np.arange(6.0).reshape(2, 3), a=np.array([None]))
    assert member_names(path) == ["a", "b"]
    np.testing.assert_array_equal(read_members(path, ["b"])["b"], np.arange(6.0).reshape(2, 3))
    with pytest.raises(ArrayError, match=r"a\.npy holds pickled objects"):
        read_members(path, ["a"])
    with pytest.raises(ArrayError, match=r"missing key 'c'; the file holds \['a', 'b'\]"):
        read_members(path, ["b", "c"])


def test_npy_files_are_told_apart_and_read(tmp_path):
    """An NPY file is known by its first bytes, and refused where it is cut short."""
    np.save(tmp_path / "one.npy", np.asfortranarray(np.arange(6).reshape(2, 3)))
    np.savez(tmp_path / "one.npz", a=np.arange(3))
    assert is_npy(tmp_path / "one.npy")
    assert not is_npy(tmp_path / "one.npz")
    np.testing.assert_array_equal(read_npy(tmp_path / "one.npy"), np.arange(6).reshape(2, 3))
    (tmp_path / "one.npy").write_bytes((tmp_path / "one.npy").read_bytes()[:-4])
    with pytest.raises(ArrayError, match=r"one\.npy: not a readable NPY file"):
        read_npy(tmp_path / "one.npy")
    with pytest.raises(ArrayError, match=r"none\.npy: cannot be read"):
        is_npy(tmp_path / "none.npy")
