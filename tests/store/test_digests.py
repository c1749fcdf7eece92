"""Canonical JSON, digests, and the memory of digests."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avalattice.errors import InputError
from avalattice.store import digests
from avalattice.store.digests import (
    FileDigests,
    canonical_json,
    found_digest,
    sha256_blocks,
    sha256_file,
    sha256_json,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@pytest.fixture
def weights(tmp_path):
    """A file to be hashed."""
    path = tmp_path / "weights.bin"
    path.write_bytes(b"12345678")
    return path


@pytest.fixture
def hashed(monkeypatch):
    """The files that were really read and hashed, in order."""
    seen = []

    def counting(path):
        seen.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr(digests, "sha256_file", counting)
    return seen


# ------------------------------------------------------------------------------ canonical JSON


def test_canonical_json_is_pinned():
    """Keys are sorted, blanks absent, and letters beyond ASCII stand as UTF-8."""
    value = {"b": [1, 0.5, None, True], "ä": "μ\n", "a": {"z": "", "y": []}}
    expected = '{"a":{"y":[],"z":""},"b":[1,0.5,null,true],"ä":"μ\\n"}'
    assert canonical_json(value) == expected.encode()
    digest = "0090e7b12762c85aba7077c3b3205269e14dd8cdbe5651df36deeaa30782e266"
    assert sha256_json(value) == digest


def test_the_order_of_keys_is_no_part_of_a_digest():
    """Mappings with equal entries have one digest, and lists in another order have another."""
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
    assert sha256_json([1, 2]) != sha256_json([2, 1])


@settings(deadline=None)  # the first examples are slow on a busy machine
@given(JSON)
def test_canonical_json_is_read_back_and_repeats_itself(value):
    """Reading canonical JSON gives the value, and writing that gives the same bytes."""
    content = canonical_json(value)
    assert json.loads(content) == value
    assert canonical_json(json.loads(content)) == content


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_json_does_not_have_is_refused(value):
    """NaN and Inf are refused, at any depth, and not written as words."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"deep": [value]})


def test_blocks_laid_end_to_end_have_the_digest_of_the_whole(weights):
    """The digest of a file is that of its bytes, however they are cut."""
    whole = hashlib.sha256(b"12345678").hexdigest()
    assert sha256_blocks([b"123", b"", b"45678"]) == whole
    assert sha256_file(weights) == whole
    assert sha256_blocks([b"45678", b"123"]) != whole


def test_files_longer_than_a_block_are_hashed_to_their_end(tmp_path):
    """A change in the last byte of a file of several blocks changes its digest."""
    content = bytes(digests._CHUNK) + b"tail"
    path = tmp_path / "long"
    path.write_bytes(content)
    assert sha256_file(path) == hashlib.sha256(content).hexdigest()


def test_what_cannot_be_hashed_matches_no_digest(tmp_path, monkeypatch):
    """A missing file, a folder and an unreadable file give a reason where a digest would stand."""
    assert found_digest(tmp_path / "absent") == "no such file"
    assert found_digest(tmp_path) == "no such file"
    (tmp_path / "closed").write_bytes(b"")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(digests, "sha256_file", refuse)
    assert found_digest(tmp_path / "closed") == "a file that cannot be read (Permission denied)"


# ------------------------------------------------------------------------ the memory of digests


def test_a_file_is_hashed_once(weights, hashed, tmp_path):
    """The same and a later process answer from memory, with the right digest."""
    memory = tmp_path / "cache" / "digests.json"
    first = FileDigests(memory)
    found = {first.sha256(weights), first.sha256(weights), FileDigests(memory).sha256(weights)}
    assert found == {hashlib.sha256(b"12345678").hexdigest()}
    assert hashed == ["weights.bin"]


def test_fresh_hashes_anew(weights, hashed, tmp_path):
    """With ``fresh`` the file is read although its digest is remembered, and believed over it."""
    known = FileDigests(tmp_path / "digests.json")
    known.sha256(weights)
    stat = weights.stat()
    weights.write_bytes(b"87654321")  # the same size, inode and, below, time
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert known.sha256(weights) == hashlib.sha256(b"12345678").hexdigest()
    assert known.sha256(weights, fresh=True) == hashlib.sha256(b"87654321").hexdigest()
    assert known.sha256(weights) == hashlib.sha256(b"87654321").hexdigest()


def change_size(path):
    stat = path.stat()
    path.write_bytes(b"123456789")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def change_time(path):
    stat = path.stat()
    path.write_bytes(b"87654321")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))


def change_inode(path):
    stat = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"87654321")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [change_size, change_time, change_inode])
def test_a_changed_file_is_hashed_again(weights, hashed, tmp_path, change):
    """A new size, a new time or a new inode alone is enough."""
    known = FileDigests(tmp_path / "digests.json")
    known.sha256(weights)
    change(weights)
    assert known.sha256(weights) == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert len(hashed) == 2


def test_a_damaged_memory_is_forgotten(weights, hashed, tmp_path):
    """Whichever byte of the memory is flipped, the file is hashed again and the digest is right."""
    memory = tmp_path / "digests.json"
    right = FileDigests(memory).sha256(weights)
    content = memory.read_bytes()
    for position in range(len(content)):
        memory.write_bytes(
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        )
        assert FileDigests(memory)._known == {}, position
    assert hashed == ["weights.bin"]
    assert FileDigests(memory).sha256(weights) == right
    assert hashed == ["weights.bin"] * 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b"null", b"\xff", b'{"files":NaN,"sha256":""}', b"[" * 10**5],
)
def test_what_is_no_memory_is_forgotten(weights, tmp_path, content):
    """Any other file in the place of the memory counts as an empty one."""
    memory = tmp_path / "digests.json"
    memory.write_bytes(content)
    assert FileDigests(memory).sha256(weights) == sha256_file(weights)


def test_a_place_that_keeps_no_memory_is_no_error(weights, tmp_path):
    """Where the memory cannot be written, the digest is still given."""
    (tmp_path / "file").write_bytes(b"")
    known = FileDigests(tmp_path / "file" / "digests.json")
    assert known.sha256(weights) == sha256_file(weights)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """Hashing an absent file is an input error that names it."""
    with pytest.raises(InputError, match=r"weights\.bin: cannot be read \(No such file"):
        FileDigests(tmp_path / "digests.json").sha256(tmp_path / "weights.bin")
