"""What counts may look like, and what is refused, with which words."""

from __future__ import annotations

import math
import re
from decimal import Decimal

import numpy as np
import pytest

from avalattice.analyze import GivenCounts, analyze, read_counts
from avalattice.errors import ArrayError, InputError
from avalattice.lattice.rasters import Rasters, save_rasters
from tests.analyze.samples import QUICK, rng

COUNTS = rng().integers(0, 4, (5, 3, 8))
STACK = rng(2).integers(0, 4, (3, 5, 3, 8))

ACCEPTED = ["int8", "uint8", "int16", "uint16", "int32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*ACCEPTED, ">i4"])
def test_whole_numbers_of_any_type_are_the_same_counts(dtype):
    """Type and byte order of the counts change neither the counts nor the identifier."""
    given = GivenCounts.of(COUNTS.astype(dtype))
    assert given.A.dtype == np.uint16
    np.testing.assert_array_equal(given.A[0], COUNTS)
    assert analyze(COUNTS.astype(dtype), options=QUICK).run_id == FIRST_RUN_ID


FIRST_RUN_ID = analyze(COUNTS, options=QUICK).run_id


def test_occupied_sites_may_be_true_and_false():
    """Boolean counts are zeros and ones."""
    np.testing.assert_array_equal(GivenCounts.of(COUNTS > 0).A[0], COUNTS > 0)


def test_counts_beyond_16_bits_are_kept():
    """Counts that do not fit in uint16 stay what they are."""
    large = COUNTS * 100_000
    given = GivenCounts.of(large)
    assert given.A.dtype == np.int64
    np.testing.assert_array_equal(given.A[0], large)


def test_float_counts_are_noted():
    """Whole numbers in floating point are taken, and a note says so; of integers there is none."""
    assert "float64" in " ".join(GivenCounts.of(COUNTS.astype(float)).notes)
    assert GivenCounts.of(COUNTS).notes == ()


def test_occupancy_alone_counts_sites():
    """X alone is analysed as sites; beside A it only has to agree."""
    occupied = (COUNTS > 0).astype(np.uint8)
    alone = GivenCounts.of(X=occupied)
    assert alone.sites_only
    np.testing.assert_array_equal(alone.A[0], occupied)
    beside = GivenCounts.of(COUNTS, X=occupied)
    assert not beside.sites_only
    np.testing.assert_array_equal(beside.A[0], COUNTS)
    note = "count occupied sites, not events"
    assert note in " ".join(analyze(X=occupied, options=QUICK).notes)
    assert note not in " ".join(analyze(COUNTS, X=occupied, options=QUICK).notes)


@pytest.mark.parametrize(
    "gains",
    [
        [0.85, 1, 1.2],
        np.array([0.85, 1, 1.2], dtype=np.float32),
        np.array(["0.85", "1.00", "1.2"]),
        [Decimal("0.850"), Decimal("1"), "1.20"],
    ],
    ids=["floats", "single precision", "text", "decimals"],
)
def test_gains_are_decimals_as_they_are_written(gains):
    """0.85 is 0.85, also in single precision, and 1 is 1.0."""
    found = GivenCounts.of(STACK, gains=gains).gains
    assert found == (Decimal("0.85"), Decimal("1.0"), Decimal("1.2"))
    assert [str(gain) for gain in found] == ["0.85", "1.0", "1.2"]


# ------------------------------------------------------------------------------------- files


def test_every_form_of_file_holds_the_same_counts(tmp_path):
    """A plain or compressed NPZ, one with a single array of any name, and NPY, in either order."""
    np.savez(tmp_path / "plain.npz", A=COUNTS)
    np.savez_compressed(tmp_path / "compressed.npz", A=COUNTS)
    np.savez(tmp_path / "single.npz", spikes=COUNTS)
    np.save(tmp_path / "counts.npy", COUNTS)
    np.savez(tmp_path / "fortran.npz", A=np.asfortranarray(COUNTS))
    for path in tmp_path.iterdir():
        given = read_counts(path)
        np.testing.assert_array_equal(given.A[0], COUNTS, err_msg=path.name)
        assert given.name == path.name
    assert "spikes, was taken for A" in " ".join(read_counts(tmp_path / "single.npz").notes)


def test_a_file_holds_everything_beside_the_counts(tmp_path):
    """Gains, token ids and identifiers are read; other arrays are noted."""
    tokens = rng().integers(0, 9, (5, 8))
    np.savez(
        tmp_path / "all.npz",
        A=STACK,
        gain=[0.9, 1.0, 1.1],
        token_ids=tokens,
        cond_id=[7, 3, 5],
        seq_id=[4, 3, 2, 1, 0],
        weather=[1.0],
    )
    given = read_counts(tmp_path / "all.npz")
    np.testing.assert_array_equal(given.token_ids, tokens)
    assert given.gains == (Decimal("0.9"), Decimal("1.0"), Decimal("1.1"))
    assert given.cond_id.tolist() == [7, 3, 5]
    assert given.seq_id.tolist() == [4, 3, 2, 1, 0]
    assert "weather" in " ".join(given.notes)


def test_the_pipelines_own_rasters_are_read(tmp_path):
    """A raster file of phase 2 or 3 needs no change."""
    identifiers = np.arange(3, dtype=np.int32), np.arange(5, dtype=np.int32)
    save_rasters(tmp_path / "rasters.npz", Rasters(STACK.astype(np.uint16), *identifiers))
    given = read_counts(tmp_path / "rasters.npz")
    np.testing.assert_array_equal(given.A, STACK)
    assert given.gains is None


WRONG = {
    "no counts": ({"Y": COUNTS, "Z": COUNTS}, r"missing key 'A'.*the file holds \['Y', 'Z'\]"),
    "only a gain": ({"gain": [1.0]}, r"missing key 'A'.*holds \['gain'\]"),
    "a slip of a key": ({"A": STACK, "gains": [1, 2, 3]}, r"'gains'; did you mean 'gain'"),
    "another slip": ({"A": COUNTS, "tokenids": COUNTS}, r"'tokenids'; did you mean 'token_ids'"),
    "two axes": ({"A": COUNTS[0]}, r"A must be counts \[N, L, T\].*found int64 of shape \(3, 8\)"),
    "five axes": ({"A": STACK[None]}, r"A must be counts .*shape \(1, 3, 5, 3, 8\)"),
    "no windows": ({"A": COUNTS[:0]}, r"each axis at least 1, found int64 of shape \(0, 3, 8\)"),
    "negative": ({"A": COUNTS - 1}, r"A must not be negative, found -1 at \[0, "),
    "a fraction": ({"A": COUNTS + 0.5}, r"A must be whole numbers, found \d\.5 at \[0, 0, 0\]"),
    "not a number": ({"A": COUNTS * math.nan}, r"whole numbers, found nan .*\(120 such values\)"),
    "infinite": ({"A": (COUNTS + 1) * math.inf}, r"whole numbers, found inf"),
    "complex": ({"A": COUNTS * 1j}, r"whole numbers, found complex128 of shape \(5, 3, 8\)"),
    "text": ({"A": COUNTS.astype(str)}, r"whole numbers, found <U"),
    "pickles": ({"A": COUNTS.astype(object)}, r"A\.npy holds pickled objects, which are never"),
    "sums too large": ({"A": COUNTS.astype(np.int64) * 2**50}, r"exact up to 2\^53"),
    "X beyond one": ({"X": COUNTS}, r"X must be 0 or 1, found 3: counts go under A"),
    "X of other sites": ({"A": COUNTS, "X": 1 - (COUNTS > 0)}, r"X must be 1 where A > 0"),
    "X of another shape": ({"A": STACK, "X": COUNTS > 0}, r"X must have the shape of A, \(3, 5"),
    "gains too few": ({"A": STACK, "gain": [1, 2]}, r"each of 3 conditions, found shape \(2,\)"),
    "gain of one raster": ({"A": COUNTS, "gain": 1.0}, r"each of 1 conditions, found shape \(\)"),
    "tokens of layers": (
        {"A": COUNTS, "token_ids": COUNTS[:, :, 0]},
        r"token_ids must be \[N, T\] with N = 5, T = 8, .*found shape \(5, 3\)",
    ),
    "tokens with fractions": (
        {"A": COUNTS, "token_ids": COUNTS[:, 0] / 2},
        r"token_ids must be",
    ),
    "identifiers twice": ({"A": STACK, "cond_id": [0, 1, 1]}, r"cond_id holds an identifier twice"),
    "identifiers negative": ({"A": COUNTS, "seq_id": range(-1, 4)}, r"seq_id must be from 0"),
    "identifiers too few": ({"A": COUNTS, "seq_id": [0]}, r"seq_id must be \[N\] with N = 5"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_named_with_what_was_expected(case, tmp_path):
    """The message begins with the file and names key, expected and found."""
    arrays, message = WRONG[case]
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    with pytest.raises(ArrayError, match=message) as refused:
        read_counts(path)
    assert str(refused.value).startswith(str(path))


WRONG_GAINS = {
    "twice": ([1.0, 1, 2], r"gain holds 1\.0 twice"),
    "equal as numbers": (["0.1", "0.10000000000000000001", "2"], r"gain holds 0\.1 twice"),
    "negative": ([-0.5, 1, 2], r"at least 0, found .*-0\.5"),
    "not a number": ([math.nan, 1, 2], r"at least 0, found .*nan"),
    "infinite": ([math.inf, 1, 2], r"at least 0, found .*inf"),
    "words": (["low", "1", "2"], r"at least 0, found .*low"),
}


@pytest.mark.parametrize("case", WRONG_GAINS)
def test_wrong_gains_are_refused(case):
    """Gains are finite numbers from zero on, all different."""
    gains, message = WRONG_GAINS[case]
    with pytest.raises(InputError, match=message):
        GivenCounts.of(STACK, gains=gains)


def cut(path, keep):
    """A file's first bytes alone."""
    path.write_bytes(path.read_bytes()[:keep])


def test_damaged_files_are_named(tmp_path):
    """Cut, changed and foreign files, folders and missing ones: each is named, and none is read."""
    np.savez(tmp_path / "cut.npz", A=COUNTS)
    cut(tmp_path / "cut.npz", 700)
    np.save(tmp_path / "cut.npy", COUNTS)
    cut(tmp_path / "cut.npy", 700)
    np.save(tmp_path / "pickled.npy", COUNTS.astype(object))
    (tmp_path / "text.npz").write_text("window,layer,token\n")
    (tmp_path / "empty.npy").touch()
    np.savez(tmp_path / "flipped.npz", A=COUNTS)
    content = bytearray((tmp_path / "flipped.npz").read_bytes())
    content[400] ^= 1  # of the counts: the archive's checksum tells
    (tmp_path / "flipped.npz").write_bytes(bytes(content))
    (tmp_path / "folder.npz").mkdir()
    expected = {
        "cut.npz": "not a readable NPZ file",
        "cut.npy": "not a readable NPY file",
        "pickled.npy": "holds pickled objects, which are never loaded",
        "text.npz": "not a readable NPZ file",
        "empty.npy": "not a readable NPZ file",
        "flipped.npz": "not a readable NPZ file",
        "folder.npz": "a folder, not a file",
        "missing.npz": "no such file",
    }
    for name, message in expected.items():
        path = tmp_path / name
        with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*{message}"):
            read_counts(path)


def test_counts_of_nothing_are_refused():
    """Neither A nor X is an error of its own."""
    with pytest.raises(ArrayError, match=r"neither counts \(A\) nor occupancy \(X\) were given"):
        analyze()
