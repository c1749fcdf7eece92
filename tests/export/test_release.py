"""Packs: what is copied, how it is listed, and that nothing else enters their bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess

import pytest

from avalattice.canon import OUTPUT
from avalattice.errors import InputError, VerificationError
from avalattice.export import release
from avalattice.export.release import (
    PackedFile,
    build_pack,
    manifest_faults,
    manifest_text,
    packed_name,
    read_manifest,
    run_files,
)
from tests.export.packs import CONTENTS, describe, tree, write_pack, write_sources

MANIFEST, CRATE = OUTPUT.MANIFEST_SHA256, OUTPUT.RO_CRATE_JSON
ONES, TWOS = "1" * 64, "2" * 64


def sha256sum(folder) -> subprocess.CompletedProcess[str]:
    """Check a pack's manifest with the program of that name."""
    for program in (["sha256sum", "--strict"], ["gsha256sum", "--strict"], ["shasum", "-a", "256"]):
        if shutil.which(program[0]):
            command = [*program, "-c", MANIFEST]
            environment = {**os.environ, "LC_ALL": "C"}
            return subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
    pytest.skip("neither sha256sum nor shasum is installed")


# ------------------------------------------------------------------------------- building a pack


def test_a_pack_holds_its_files_their_description_and_their_manifest(tmp_path):
    """The pack is the given files unchanged, the description, the manifest, and nothing else."""
    found = tree(write_pack(tmp_path))
    assert {name: found.pop(name) for name in CONTENTS} == CONTENTS
    assert set(found) == {CRATE, MANIFEST}


def test_what_was_written_is_returned(tmp_path):
    """Name, digest and size of every file come back, sorted by name."""
    packed = build_pack(write_sources(tmp_path / "a"), tmp_path / "pack", describe=describe)
    found = tree(tmp_path / "pack")
    assert packed == tuple(
        PackedFile(name, hashlib.sha256(found[name]).hexdigest(), len(found[name]))
        for name in sorted(found)
    )


def test_the_description_is_asked_once_for_the_copied_files(tmp_path):
    """The files that are described are those copied, sorted, with digest and size."""
    asked = []
    build_pack(
        write_sources(tmp_path / "a", {"b": b"2", "a": b"1"}),
        tmp_path / "pack",
        describe=lambda files: asked.append(list(files)) or b"{}",
    )
    digests = [hashlib.sha256(content).hexdigest() for content in (b"1", b"2")]
    assert asked == [[PackedFile("a", digests[0], 1), PackedFile("b", digests[1], 1)]]


def test_only_the_files_enter_a_pack(tmp_path):
    """Order, permissions and times of the sources, and the umask, change nothing in a pack."""
    sources = write_sources(tmp_path / "one")
    build_pack(sources, tmp_path / "a", describe=describe)
    backwards = dict(reversed(CONTENTS.items()))
    others = write_sources(tmp_path / "two", backwards)
    for number, path in enumerate(others.values()):
        os.utime(path, (number, number))
        path.chmod(0o400 + number % 8)
    umask = os.umask(0o077)
    try:
        build_pack(others, tmp_path / "b", describe=describe)
    finally:
        os.umask(umask)
    modes = [
        {
            path.relative_to(tmp_path / pack).as_posix(): stat.S_IMODE(path.stat().st_mode)
            for path in (tmp_path / pack).rglob("*")
        }
        for pack in "ab"
    ]
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert modes[0] == modes[1]
    assert set(modes[0].values()) == {0o644, 0o755}


def test_a_pack_is_a_copy(tmp_path):
    """Changing a file of the pack leaves the run's file as it is."""
    sources = write_sources(tmp_path / "a", {"x": b"before"})
    build_pack(sources, tmp_path / "pack", describe=lambda files: b"{}")
    (tmp_path / "pack" / "x").write_bytes(b"after")
    assert sources["x"].read_bytes() == b"before"


def test_files_are_streamed(tmp_path, monkeypatch):
    """A file larger than a block is copied block by block, whole."""
    monkeypatch.setattr(release, "CHUNK", 7)
    blocks = list(release.file_blocks(write_sources(tmp_path / "a", {"x": b"0123456789"})["x"]))
    assert blocks == [b"0123456", b"789"]
    assert tree(write_pack(tmp_path / "b")).items() >= CONTENTS.items()


@pytest.mark.parametrize("name", ["../x", "a\nb", "/x", CRATE, MANIFEST, MANIFEST.lower()])
def test_names_that_cannot_stand_in_a_pack_are_refused(tmp_path, name):
    """Before anything is written, a bad name or one of the pack's own is an input error."""
    sources = {"fine": b"", name: b""}
    with pytest.raises(InputError, match="cannot be packed"):
        build_pack(write_sources(tmp_path / "a", sources), tmp_path / "pack", describe=describe)
    assert not (tmp_path / "pack").exists()


def test_a_missing_file_is_refused(tmp_path):
    """Before anything is written, a file that is not there is an input error that names it."""
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        build_pack({"x": tmp_path / "nowhere"}, tmp_path / "pack", describe=describe)
    assert not (tmp_path / "pack").exists()


def test_a_pack_is_not_laid_over_another(tmp_path):
    """A folder with something in it is refused, and left alone; an empty one is filled."""
    pack = write_pack(tmp_path)
    before = tree(pack)
    with pytest.raises(InputError, match="new or empty folder"):
        build_pack(write_sources(tmp_path / "b"), pack, describe=describe)
    assert tree(pack) == before
    (tmp_path / "empty").mkdir()
    build_pack(write_sources(tmp_path / "b"), tmp_path / "empty", describe=describe)
    assert tree(tmp_path / "empty") == before


def test_the_manifest_comes_last(tmp_path):
    """A pack that was interrupted has no manifest."""

    def interrupted(files):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_pack(write_sources(tmp_path / "a"), tmp_path / "pack", describe=interrupted)
    assert tree(tmp_path / "pack") == CONTENTS


def test_a_runs_files_are_its_record_and_what_it_lists(tmp_path):
    """Record and artifacts, under the run's id below the folder of runs, each once."""
    files = run_files("RUN_S01_0", tmp_path, ["results/a.npz", "logs/events.jsonl"])
    assert files == {
        "runs/RUN_S01_0/run_record.json": tmp_path / "run_record.json",
        "runs/RUN_S01_0/results/a.npz": tmp_path / "results/a.npz",
        "runs/RUN_S01_0/logs/events.jsonl": tmp_path / "logs/events.jsonl",
    }
    assert packed_name("RUN_S01_0", "x") == "runs/RUN_S01_0/x"


# ----------------------------------------------------------------------------------- the manifest


def test_sha256sum_accepts_the_manifest(tmp_path):
    """``sha256sum -c`` finds every file of the pack, with odd names too, and finds it good."""
    pack = write_pack(tmp_path)
    done = sha256sum(pack)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(tree(pack)) - 1


def test_sha256sum_finds_a_flipped_byte(tmp_path):
    """Control: after one flipped byte ``sha256sum -c`` fails and names that file alone."""
    pack = write_pack(tmp_path)
    (pack / "report.html").write_bytes(b"<!doctype htmk>")
    done = sha256sum(pack)
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if not line.endswith(": OK")] == [
        "report.html: FAILED"
    ]


def test_a_manifest_is_read_back(tmp_path):
    """Reading a manifest gives the digests that were written, in the order of names."""
    files = [PackedFile("b/x y", TWOS, 1), PackedFile("a", ONES, 0), PackedFile("é", ONES, 2)]
    (tmp_path / "m").write_text(manifest_text(files), encoding="utf-8")
    assert list(read_manifest(tmp_path / "m").items()) == [
        ("a", ONES),
        ("b/x y", TWOS),
        ("é", ONES),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{ONES}  a", "last line does not end"),
        (f"{ONES} a\n", "line 1"),
        (f"{ONES} *a\n", "line 1"),
        (f"{'G' * 64}  a\n", "line 1"),
        (f"{ONES.replace('1', 'A')}  a\n", "line 1"),
        (f"{ONES[1:]}  a\n", "line 1"),
        (f"{ONES}  a\n\n", "line 2"),
        (f"{ONES}  b\n{ONES}  a\n", "line 2 is out of order"),
        (f"{ONES}  a\n{TWOS}  a\n", "line 2 is out of order"),
        (f"{ONES}  ../a\n", r"\.\."),
        (f"{ONES}  A\n{ONES}  a\n", "one to some file systems"),
        (f"\\{ONES}  a\\nb\n", "line 1"),
        (f"{ONES}  a\r\n", "control"),
        (f"{ONES}  {MANIFEST}\n", "stands twice"),
    ],
)
def test_other_manifests_are_refused(tmp_path, text, reason):
    """A manifest of another form, order or with unsafe names is refused, with its place."""
    (tmp_path / "m").write_bytes(text.encode())
    with pytest.raises(VerificationError, match=reason) as caught:
        read_manifest(tmp_path / "m")
    assert str(tmp_path / "m") in str(caught.value)


def test_unreadable_manifests_are_refused(tmp_path):
    """A manifest that is missing or no UTF-8 is refused."""
    (tmp_path / "m").write_bytes(b"\xff")
    for name in ("m", "nowhere"):
        with pytest.raises(VerificationError, match="not a readable manifest"):
            read_manifest(tmp_path / name)


def test_manifest_faults():
    """A file that differs, is missing or is not listed is a fault; others are none."""
    digests = {"good": ONES, "bad": ONES, "gone": TWOS}
    files = [
        PackedFile(name, sha, 0) for name, sha in [("good", ONES), ("bad", TWOS), ("new", ONES)]
    ]
    assert manifest_faults(digests, files) == {
        "bad": f"bad: sha256 should be {ONES}, found {TWOS}",
        "gone": f"gone: sha256 should be {TWOS}, found no such file",
        "new": "new: the manifest lists no such file",
    }
    assert manifest_faults({"good": ONES}, files[:1]) == {}
