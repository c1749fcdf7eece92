"""The archive: its bytes, and that reading it writes nothing astray."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile

import pytest

from avalattice.canon import OUTPUT
from avalattice.errors import InputError, VerificationError
from avalattice.export.archive import pack_zip, unpack_zip
from avalattice.export.release import (
    PackedFile,
    build_pack,
    manifest_faults,
    manifest_text,
    read_manifest,
)
from tests.export.packs import CONTENTS, describe, tree, write_pack, write_sources
from tests.export.test_pack_names import COLLIDING, UNSAFE

MANIFEST = OUTPUT.MANIFEST_SHA256
NOT_IN_ARCHIVES = {"", "a\0b", "a\udcffb"}
"""Names that zipfile does not write; NUL has a test of its own."""
SMALL = {"a/x.txt": b"abc", "b": b"", "c.npz": bytes(range(100))}


def zipped(pack) -> bytes:
    """The archive of a pack."""
    file = io.BytesIO()
    pack_zip(pack, file)
    return file.getvalue()


def archive_of(*members) -> bytes:
    """An archive with the given members: names or ZipInfos with contents."""
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch, zipfile.ZipFile(file, "w") as archive:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of names that stand twice
        for member, content in members:
            archive.writestr(member, content)
    return file.getvalue()


def unpack(tmp_path, content: bytes):
    """Write bytes as an archive and unpack it, in a folder of its own."""
    place = tmp_path / "place" / "target"
    place.mkdir(parents=True)
    path = tmp_path / "release.zip"
    path.write_bytes(content)
    return unpack_zip(path, place)


def everything(tmp_path) -> set[str]:
    """Whatever there is below a folder, but for the archive and the target themselves."""
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    return found - {"release.zip", "place", "place/target"}


# ---------------------------------------------------------------------------------------- writing


def test_the_archive_holds_the_pack(tmp_path):
    """Unpacked by any program, the archive gives the pack's files, sorted by name."""
    pack = write_pack(tmp_path)
    with zipfile.ZipFile(io.BytesIO(zipped(pack))) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    assert list(found) == sorted(found)
    assert found == tree(pack)


def test_only_the_files_enter_the_archive(tmp_path):
    """Folder, order, times and permissions of the files change no byte of the archive."""
    one = write_pack(tmp_path / "one")
    sources = write_sources(tmp_path / "two", dict(reversed(CONTENTS.items())))
    two = tmp_path / "elsewhere" / "by another name"
    build_pack(sources, two, describe=describe)
    for number, path in enumerate(sorted(two.rglob("*"))):
        os.utime(path, (number, 10**9 + number))
        if path.is_file():
            path.chmod(0o600 if number % 2 else 0o755)
    (two / ".DS_Store").write_bytes(b"what a file manager leaves behind")
    assert zipped(one) == zipped(two)


def test_every_byte_of_a_file_enters_the_archive(tmp_path):
    """Control: another file, or another name, makes another archive."""
    archives = [
        zipped(write_pack(tmp_path / str(number), CONTENTS | changed))
        for number, changed in enumerate([{}, {"report.html": b"?"}, {"more": b""}])
    ]
    assert len(set(archives)) == 3


def test_members_carry_nothing_of_their_making(tmp_path):
    """Members are stored, dated 1980, regular files that everybody may read, without extras."""
    with zipfile.ZipFile(io.BytesIO(zipped(write_pack(tmp_path)))) as archive:
        members = archive.infolist()
        assert archive.comment == b""
    assert {(info.date_time, info.compress_type, info.create_system) for info in members} == {
        ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED, 3)
    }
    assert {info.external_attr >> 16 for info in members} == {stat.S_IFREG | 0o644}
    assert {(info.extra, info.comment) for info in members} == {(b"", b"")}


def test_a_pack_that_changed_is_not_archived(tmp_path):
    """A file that is not what the manifest says, or is missing, is refused by name."""
    pack = write_pack(tmp_path)
    (pack / "report.html").write_bytes(b"changed")
    with pytest.raises(VerificationError, match=r"report\.html: sha256 should be"):
        zipped(pack)
    (pack / "report.html").unlink()
    with pytest.raises(VerificationError, match=r"report\.html: .*no such file"):
        zipped(pack)
    (pack / MANIFEST).unlink()
    with pytest.raises(VerificationError, match="not a readable manifest"):
        zipped(pack)


# ---------------------------------------------------------------------------------------- reading


def test_an_archive_is_unpacked(tmp_path):
    """Unpacking gives the pack back, byte for byte, with the digest and size of each file."""
    pack = write_pack(tmp_path / "a")
    unpacked = unpack(tmp_path / "b", zipped(pack))
    target = tmp_path / "b" / "place" / "target"
    assert unpacked.faults == {}
    assert tree(target) == tree(pack)
    files = [file for file in unpacked.files if file.name != MANIFEST]
    assert manifest_faults(read_manifest(target / MANIFEST), files) == {}
    assert {file.name: file.bytes for file in files}["report.html"] == len(CONTENTS["report.html"])


@pytest.mark.parametrize("name", sorted({*UNSAFE} - NOT_IN_ARCHIVES), ids=repr)
def test_unsafe_members_are_refused(tmp_path, name):
    """A member with an unsafe name is refused, and nothing is written, inside or outside."""
    content = archive_of(("fine.txt", b"1"), (name, b"2"))
    with pytest.raises(VerificationError, match="nothing was unpacked"):
        unpack(tmp_path, content)
    assert everything(tmp_path) == set()


@pytest.mark.parametrize("names", COLLIDING.values(), ids=COLLIDING)
def test_colliding_members_are_refused(tmp_path, names):
    """Members that some file system takes for one are refused, and nothing is written."""
    with pytest.raises(VerificationError, match="nothing was unpacked"):
        unpack(tmp_path, archive_of(*((name, name.encode()) for name in names)))
    assert everything(tmp_path) == set()


def test_a_name_with_nul_is_refused(tmp_path):
    """A name that zipfile would cut at its NUL is seen whole, and refused."""
    content = archive_of(("report.html@.exe", b"1"))
    with pytest.raises(VerificationError, match=r"report\.html\\x00\.exe"):
        unpack(tmp_path, content.replace(b"html@", b"html\0"))
    assert everything(tmp_path) == set()


def test_a_second_name_is_refused(tmp_path, monkeypatch):
    """A member that zipfile renames, as by a field for Unicode paths, is refused."""
    members = zipfile.ZipFile.infolist

    def renamed(archive):
        for info in members(archive):
            info.filename = "other"
        return members(archive)

    monkeypatch.setattr(zipfile.ZipFile, "infolist", renamed)
    with pytest.raises(VerificationError, match="'x' has a second name, 'other'"):
        unpack(tmp_path, archive_of(("x", b"1")))
    assert everything(tmp_path) == set()


def member(name="x", **fields) -> zipfile.ZipInfo:
    """A member with unusual fields."""
    info = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (member(external_attr=(stat.S_IFLNK | 0o777) << 16), "link"),
        (member(external_attr=(stat.S_IFIFO | 0o644) << 16), "special file"),
        (member(external_attr=(stat.S_IFDIR | 0o755) << 16), "special file"),
        (member("folder/"), "empty part"),
        (member(compress_type=zipfile.ZIP_DEFLATED), "compressed"),
    ],
    ids=["link", "pipe", "folder", "folder by name", "bomb"],
)
def test_members_that_no_release_has_are_refused(tmp_path, info, reason):
    """Links, pipes, folders and whatever is compressed are refused, and nothing is written."""
    content = archive_of(("fine.txt", b"1"), (info, b"/etc/passwd" * 10_000))
    with pytest.raises(VerificationError, match=reason):
        unpack(tmp_path, content)
    assert everything(tmp_path) == set()


def test_an_encrypted_member_is_refused(tmp_path):
    """A member that says that it is encrypted is refused, and nothing is written."""
    content = bytearray(archive_of(("x", b"1")))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(VerificationError, match="encrypted"):
        unpack(tmp_path, bytes(content))
    assert everything(tmp_path) == set()


def test_members_that_share_bytes_are_refused(tmp_path):
    """Members that say they hold more than the archive, such as overlapping ones, are refused."""
    content = archive_of(("x", b"0" * 1000))
    directory = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entries = b"".join(content[directory:end].replace(b"x", b"%c" % (97 + n)) for n in range(20))
    tail = bytearray(content[end:])
    tail[8:12] = (20).to_bytes(2, "little") * 2
    tail[12:16] = len(entries).to_bytes(4, "little")
    with pytest.raises(VerificationError, match="more than the archive"):
        unpack(tmp_path, content[:directory] + entries + bytes(tail))
    assert everything(tmp_path) == set()


def test_no_archive_is_told_from_a_missing_one(tmp_path):
    """A file that is no archive fails verification; one that is not there is an input error."""
    with pytest.raises(VerificationError, match="not a readable zip"):
        unpack(tmp_path, b"PK but no more")
    with pytest.raises(InputError, match="no such file"):
        unpack_zip(tmp_path / "nowhere.zip", tmp_path)


def small_release(tmp_path) -> bytes:
    """The archive of three small files and their manifest."""
    sources = write_sources(tmp_path / "sources", SMALL)
    build_pack(sources, tmp_path / "pack", describe=lambda files: b"{}")
    return zipped(tmp_path / "pack")


def differences(tmp_path, content: bytes) -> list[str]:
    """What unpacking and the manifest find wrong with an archive."""
    unpacked = unpack(tmp_path, content)
    assert not {f"target/{name}" for name in unpacked.faults} & set(tree(tmp_path / "place"))
    try:
        digests = read_manifest(tmp_path / "place" / "target" / MANIFEST)
    except VerificationError as error:
        return [str(error)]
    files = [file for file in unpacked.files if file.name != MANIFEST]
    return [*unpacked.faults.values(), *manifest_faults(digests, files).values()]


def test_no_flipped_bit_passes_unseen(tmp_path):
    """A flip at any place is refused, is a fault, or leaves every file as it was."""
    good = small_release(tmp_path / "good")
    expected = tree(tmp_path / "good" / "pack")
    assert differences(tmp_path / "control", good) == []
    outcomes = {"refused": 0, "fault": 0, "harmless": 0}
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        where = tmp_path / str(place)
        try:
            found = differences(where, bytes(bad))
        except VerificationError:
            outcomes["refused"] += 1
            assert everything(where) == set()
            continue
        outcomes["fault" if found else "harmless"] += 1
        if not found:
            assert tree(where / "place" / "target") == expected, place
    assert min(outcomes.values()) > 0, outcomes
    contents = sum(map(len, expected.values()))
    assert outcomes["fault"] >= contents, outcomes


def test_no_cut_passes_unseen(tmp_path):
    """An archive that is cut short anywhere is refused."""
    good = small_release(tmp_path / "good")
    for length in range(len(good)):
        with pytest.raises(VerificationError):
            unpack(tmp_path / str(length), good[:length])


def test_a_large_member_has_room_in_its_header(tmp_path, monkeypatch):
    """Files beyond the old limit of a zip are archived with 64-bit sizes, and read back."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    contents = {"large": bytes(2000), "small": b"1"}
    pack = tmp_path / "pack"
    pack.mkdir()
    for name, content in contents.items():
        (pack / name).write_bytes(content)
    files = [
        PackedFile(name, hashlib.sha256(content).hexdigest(), len(content))
        for name, content in contents.items()
    ]
    (pack / MANIFEST).write_text(manifest_text(files), encoding="utf-8")
    assert differences(tmp_path / "b", zipped(pack)) == []
