"""The run record: canonical, and no byte of it changes unseen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avalattice.canon import OUTPUT
from avalattice.errors import ExitCode, VerificationError
from avalattice.store.digests import canonical_json, sha256_json
from avalattice.store.record import SCHEMA_VERSION, Artifact, RunRecord, read_record
from tests.store.small_runs import full_record, small_record

SMALL, FULL = small_record().to_bytes(), full_record().to_bytes()


def reading(folder, content: bytes) -> RunRecord:
    (folder / OUTPUT.RUN_RECORD_JSON).write_bytes(content)
    return read_record(folder)


def sealed(**changes) -> bytes:
    """A record whose values were changed, with a digest that fits the change."""
    values = json.loads(SMALL) | changes
    del values["record_sha256"]
    return canonical_json(values | {"record_sha256": sha256_json(values)})


# ---------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("record", [small_record(), full_record()], ids=["small", "full"])
def test_a_record_is_read_back_byte_for_byte(record, tmp_path):
    """What is read equals what was written, and writing it again gives the same bytes."""
    record.artifact_index["results/a.npz"] = Artifact(
        sha256="a" * 64, bytes=3, created_utc="2026-01-01T00:00:00+00:00"
    )
    record.cost.seconds["forward"] = 1.5
    record.write(tmp_path)
    content = (tmp_path / OUTPUT.RUN_RECORD_JSON).read_bytes()
    found = read_record(tmp_path)
    assert found == record
    assert found.to_bytes() == content == canonical_json(json.loads(content))


def test_the_digest_is_that_of_the_record_without_it():
    """record_sha256 digests all other keys in canonical form, and is known without a file."""
    values = json.loads(FULL)
    stated = values.pop("record_sha256")
    assert stated == sha256_json(values) == full_record_of(FULL).sha256


def full_record_of(content: bytes) -> RunRecord:
    values = json.loads(content)
    del values["record_sha256"]
    return RunRecord.model_validate(values)


# -------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("flip", [0x01, 0x20])
def test_every_flipped_byte_is_found(flip, tmp_path):
    """Whichever byte is flipped, the record is refused, and with no other error."""
    for position in range(len(FULL)):
        damaged = bytearray(FULL)
        damaged[position] ^= flip
        with pytest.raises(VerificationError):
            reading(tmp_path, bytes(damaged))
    assert reading(tmp_path, FULL)


@settings(deadline=None)  # it writes files
@given(position=st.integers(0, len(FULL) - 1), other=st.integers(1, 255))
def test_any_other_byte_is_found(position, other, tmp_path_factory):
    """Whatever stands in the place of a byte, the record is refused."""
    damaged = bytearray(FULL)
    damaged[position] ^= other
    with pytest.raises(VerificationError):
        reading(tmp_path_factory.getbasetemp(), bytes(damaged))


@pytest.mark.parametrize("change", ["removed", "doubled"])
def test_every_lost_or_doubled_byte_is_found(change, tmp_path):
    """A byte that is missing or stands twice is found wherever it is."""
    for position in range(len(SMALL)):
        byte = SMALL[position : position + 1] * (2 if change == "doubled" else 0)
        with pytest.raises(VerificationError):
            reading(tmp_path, SMALL[:position] + byte + SMALL[position + 1 :])


def test_every_truncation_is_found(tmp_path):
    """A record cut off anywhere, or with a line feed after it, is refused."""
    for length in range(len(SMALL)):
        with pytest.raises(VerificationError):
            reading(tmp_path, SMALL[:length])
    with pytest.raises(VerificationError, match="not the record's canonical form"):
        reading(tmp_path, SMALL + b"\n")


def test_a_number_that_becomes_infinite_is_found(tmp_path):
    """Turning the identity's 19999 into 1e999, by one byte, is a fault like any other."""
    assert FULL.count(b"19999") == 1
    with pytest.raises(VerificationError, match="not a run record"):
        reading(tmp_path, FULL.replace(b"19999", b"1e999"))


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[]",
        b"{}",
        b'"record_sha256"',
        b"\xff\xfe",
        b'{"record_sha256":NaN}',
        b'{"a":NaN,"record_sha256":""}',
        b'{"a":"\\ud800","record_sha256":""}',
        b'{"record_sha256":null}',
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
def test_what_is_no_record_is_refused(content, tmp_path):
    """Any other bytes, JSON or not, are refused with exit code 2 and the file's name."""
    with pytest.raises(VerificationError, match=OUTPUT.RUN_RECORD_JSON) as error:
        reading(tmp_path, content)
    assert error.value.exit_code == ExitCode.INPUT == 2


def test_a_missing_record_is_refused(tmp_path):
    """No file, no run: the message names the file."""
    with pytest.raises(VerificationError, match=r"run_record\.json: cannot be read"):
        read_record(tmp_path)


def test_another_layout_of_the_same_values_is_refused(tmp_path):
    """Blanks and another order of keys break the form, although the digest still fits."""
    assert reading(tmp_path, sealed()) == full_record_of(SMALL)
    for other in (
        json.dumps(json.loads(SMALL), sort_keys=True).encode(),
        json.dumps(dict(reversed(json.loads(SMALL).items())), separators=(",", ":")).encode(),
    ):
        with pytest.raises(VerificationError, match="not the record's canonical form"):
            reading(tmp_path, other)


# -------------------------------------------------------------------------------------- schema


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"status": "half-complete"}, "status: Input should be 'incomplete' or 'complete'"),
        ({"stage_version": "1"}, "stage_version: Input should be a valid integer"),
        ({"datasets": [{"role": "A"}]}, r"datasets\.0\.window_set: Field required"),
    ],
)
def test_a_record_that_breaks_its_schema_is_refused(changes, message, tmp_path):
    """Unknown keys and wrong values are named, even where the digest fits them."""
    with pytest.raises(VerificationError, match=message):
        reading(tmp_path, sealed(**changes))


def test_a_record_of_a_newer_version_is_named_as_such(tmp_path):
    """The message says which version the record has and which is known, not which key is odd."""
    newer = SCHEMA_VERSION + 1
    message = f"schema_version is {newer}, this version of avalattice knows {SCHEMA_VERSION}: use"
    with pytest.raises(VerificationError, match=message):
        reading(tmp_path, sealed(schema_version=newer, colour="red"))


def test_a_flipped_version_is_damage_and_no_newer_version(tmp_path):
    """The digest is checked before the version is believed."""
    damaged = SMALL.replace(b'"schema_version":1', b'"schema_version":3')
    assert damaged != SMALL
    with pytest.raises(VerificationError, match="record_sha256 is"):
        reading(tmp_path, damaged)
