"""Releases on another machine: whatever was changed in one, and wherever, is found."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from avalattice import release_check
from avalattice.canon import OUTPUT
from avalattice.errors import InputError, ResourceError, SchemaError, VerificationError
from avalattice.export.archive import pack_zip
from avalattice.export.crate import About, crate_json
from avalattice.export.release import PackedFile, build_pack, manifest_text, packed_name
from avalattice.release_check import verify_release
from avalattice.stages.release_inputs import published, release_files, stage_run
from avalattice.store.digests import sha256_file
from avalattice.store.record import Artifact, read_record
from avalattice.store.runs import RunStore
from tests.export.packs import tree
from tests.store.small_runs import (
    CONFIG,
    RASTERS,
    TARGETS,
    small_record,
    write_downstream,
    write_run,
)

MANIFEST, CRATE, RECORD = OUTPUT.MANIFEST_SHA256, OUTPUT.RO_CRATE_JSON, OUTPUT.RUN_RECORD_JSON
ODD = "paper/“<b>&amp; 100% #1?.md"
LICENCE = ("https://spdx.org/licenses/CC-BY-4.0", "Creative Commons Attribution 4.0")


@pytest.fixture(autouse=True)
def no_flushing(monkeypatch):
    """Leave out fsync: no power fails here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@dataclass
class Release:
    """A pack of two runs, of which one rests on the other, with its archive."""

    pack: Path
    upstream: str
    downstream: str

    def zipped(self) -> Path:
        """Archive the pack."""
        path = self.pack.with_suffix(".zip")
        with path.open("wb") as file:
            pack_zip(self.pack, file)
        return path

    def relisted(self) -> Path:
        """Archive the pack as it is now, with a new manifest of it."""
        names = sorted(set(tree(self.pack)) - {MANIFEST})
        files = [PackedFile(name, sha256_file(self.pack / name), 0) for name in names]
        (self.pack / MANIFEST).write_text(manifest_text(files), encoding="utf-8")
        return self.zipped()

    def redescribed(self) -> Path:
        """Archive the pack as it is now, with a new description and a new manifest of it."""
        names = sorted(set(tree(self.pack)) - {MANIFEST, CRATE})
        files = [
            PackedFile(name, sha256_file(self.pack / name), (self.pack / name).stat().st_size)
            for name in names
        ]
        store = RunStore(self.pack / "runs")
        (self.pack / CRATE).write_bytes(crate_of(store, store.run_ids(), files))
        return self.relisted()

    def name(self, relative: str) -> str:
        """The name in the pack of a file of the upstream run."""
        return packed_name(self.upstream, relative)


def crate_of(store, run_ids, files) -> bytes:
    """The description of a pack that holds the given runs."""
    records = [read_record(store.folder(run_id)) for run_id in run_ids]
    about = About("A paper", "All of it.", published(records), *LICENCE)
    return crate_json(about, files, [stage_run(record) for record in records])


@pytest.fixture
def release(tmp_path):
    """A release of two runs and three other files."""
    store = RunStore(tmp_path / "runs")
    upstream = write_run(store)
    downstream = write_downstream(store, upstream)
    (tmp_path / "report").write_text("<!doctype html>", encoding="utf-8")
    extra = dict.fromkeys(("report.html", "paper/main.md", ODD), tmp_path / "report")
    runs = [store.open(run_id) for run_id in (upstream, downstream)]
    build_pack(
        release_files(runs) | extra,
        tmp_path / "pack",
        describe=lambda files: crate_of(store, (upstream, downstream), files),
    )
    return Release(tmp_path / "pack", upstream, downstream)


def faults_of(path, schemas=None) -> list[str]:
    """The faults of a release."""
    return verify_release(path, schemas=schemas or {}).faults


def rewritten(path, change) -> Path:
    """An archive whose members were changed: ``change`` gets and gives names with contents."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)
    return path


# --------------------------------------------------------------------------------- a good release


def test_a_release_is_verified_without_what_it_was_made_of(release, tmp_path, monkeypatch):
    """With neither runs nor pack beside it, a release has no faults, and nothing stays behind."""
    path = shutil.move(release.zipped(), tmp_path / "elsewhere.zip")
    shutil.rmtree(tmp_path / "runs")
    shutil.rmtree(release.pack)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    found = verify_release(path, schemas={})
    assert found.faults == found.incomplete == []
    assert sorted(found.complete) == sorted([release.upstream, release.downstream])
    assert tree(tmp_path / "temporary") == {}


def test_a_release_that_somebody_has_unpacked_is_verified_too(release, tmp_path):
    """The folder is checked as its zip is: a changed file and a new one are faults."""
    folder = shutil.copytree(release.pack, tmp_path / "unpacked")
    assert faults_of(folder) == []
    (folder / "report.html").chmod(0o644)
    (folder / "report.html").write_text("<!doctype html>!", encoding="utf-8")
    (folder / "new").write_text("new", encoding="utf-8")
    faults = "\n".join(faults_of(folder))
    assert "report.html: sha256 should be" in faults
    assert "new: the manifest lists no such file" in faults


def test_a_link_in_an_unpacked_release_is_a_fault(release, tmp_path):
    """What a file leads to may change or be missing elsewhere, even if it has the bytes now."""
    folder = shutil.copytree(release.pack, tmp_path / "unpacked")
    shutil.move(folder / "report.html", tmp_path / "report.html")
    (folder / "report.html").symlink_to(tmp_path / "report.html")
    assert "report.html: neither a file nor a folder" in faults_of(folder)


def test_two_releases_of_the_same_runs_are_the_same_bytes(release, tmp_path):
    """Built again, in another place and with another date of every file, the bytes are equal."""
    first = release.zipped().read_bytes()
    store = RunStore(shutil.copytree(tmp_path / "runs", tmp_path / "copy" / "of runs"))
    runs = [store.open(run_id) for run_id in (release.downstream, release.upstream)]
    extra = {name: release.pack / name for name in (ODD, "paper/main.md", "report.html")}
    for number, path in enumerate(store.root.rglob("*")):
        os.utime(path, (number, number))
    build_pack(
        extra | release_files(runs),
        tmp_path / "again",
        describe=lambda files: crate_of(store, (release.downstream, release.upstream), files),
    )
    assert Release(tmp_path / "again", "", "").zipped().read_bytes() == first


def test_artifacts_are_checked_against_their_schemas(release):
    """A schema's complaint is a fault, in which the path begins at the release."""

    def complain(path):
        raise SchemaError(f"{path}: no such thing")

    name = RASTERS.rpartition("/")[2]
    faults = faults_of(release.zipped(), {name: complain})
    assert faults == [
        f"{packed_name(run, RASTERS)}: no such thing"
        for run in sorted([release.upstream, release.downstream])
    ]


# ------------------------------------------------------------------------------- damaged archives


def test_a_flipped_byte_of_any_member_is_one_fault(release):
    """In whichever file a bit flips, one line names that file."""
    content = release.zipped().read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    assert len(members) > 12
    for info in members:
        place = info.header_offset + 30 + len(info.filename.encode()) + info.file_size // 2
        bad = bytearray(content)
        bad[place] ^= 4
        path = release.pack.with_name("bad.zip")
        path.write_bytes(bad)
        (fault,) = faults_of(path)
        assert fault.startswith(f"{info.filename}: cannot be read from the archive"), fault


def changed(name, content):
    """A change of one member."""
    return lambda members: {**members, name: content(members[name])}


def removed(name):
    """A change that leaves out one member."""
    return lambda members: {other: members[other] for other in members if other != name}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("flipped", lambda content: bytes([content[0] ^ 1]) + content[1:]),
        ("truncated", lambda content: content[:-1]),
        ("emptied", lambda content: b""),
    ],
)
def test_a_member_with_other_bytes_is_one_fault(release, kind, change):
    """A member that was changed, with a checksum to match, is one line that names it."""
    path = release.zipped()
    good = path.read_bytes()
    for name in sorted(set(tree(release.pack)) - {MANIFEST}):
        path.write_bytes(good)
        (fault,) = faults_of(rewritten(path, changed(name, change)))
        assert fault.startswith(f"{name}: sha256 should be "), (kind, fault)


def test_a_removed_member_is_one_fault(release):
    """A member that is missing is one line that names it."""
    path = release.zipped()
    good = path.read_bytes()
    for name in sorted(set(tree(release.pack)) - {MANIFEST, CRATE}):
        path.write_bytes(good)
        (fault,) = faults_of(
            rewritten(
                path, lambda members, gone=name: {n: c for n, c in members.items() if n != gone}
            )
        )
        assert fault.startswith(f"{name}: sha256 should be ")
        assert fault.endswith("found no such file")


@pytest.mark.parametrize("where", ["new.txt", "runs/{}/results/new.npz", "paper/new.md"])
def test_an_added_member_is_one_fault(release, where):
    """A member that nobody lists is one line that names it."""
    name = where.format(release.upstream)
    path = rewritten(release.zipped(), lambda members: members | {name: b"new"})
    assert faults_of(path) == [f"{name}: the manifest lists no such file"]


@pytest.mark.parametrize("name", [MANIFEST, CRATE])
def test_manifest_and_description_must_be_there(release, name):
    """Without its manifest, or its description, a release has a fault that names it."""
    (fault,) = faults_of(rewritten(release.zipped(), removed(name)))
    assert fault.startswith(f"{name}: ")


def test_a_damaged_manifest_is_one_fault(release):
    """A manifest that is not well formed is one line; the rest is still checked."""
    path = rewritten(release.zipped(), changed(MANIFEST, lambda content: content[:-1]))
    assert faults_of(path) == [f"{MANIFEST}: the last line does not end"]
    path = rewritten(path, changed("report.html", lambda content: b"?"))
    assert [fault.partition(": ")[2][:11] for fault in faults_of(path)] == [
        "the last li",
        "report.html",
    ]


def test_a_cut_archive_is_refused(release, tmp_path):
    """An archive that was not downloaded to its end is refused."""
    content = release.zipped().read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(VerificationError, match="not a readable zip"):
        faults_of(tmp_path / "cut.zip")


# ---------------------------------------------------------- what was changed with its digests too


def test_the_description_tells_of_a_change_that_the_manifest_hides(release):
    """After a change of the report and of the manifest, the description still differs."""
    (release.pack / "report.html").write_bytes(b"other verdicts")
    (fault,) = faults_of(release.relisted())
    assert fault.startswith(f"{CRATE}: report.html should have sha256 ")


def test_records_tell_of_a_change_that_both_hide(release):
    """After a change of an artifact, description and manifest, the run's record still differs."""
    name = release.name(TARGETS)
    (release.pack / name).write_bytes(b"{}\n")
    (fault,) = faults_of(release.redescribed())
    assert fault.startswith(f"{name}: sha256 should be ")


def test_dependents_tell_of_a_change_that_all_three_hide(release):
    """After a change of the record too, the runs that rest on it still differ."""
    folder = release.pack / "runs" / release.upstream
    (folder / TARGETS).write_bytes(b"{}\n")
    record = read_record(folder)
    record.artifact_index[TARGETS] = Artifact(
        sha256=sha256_file(folder / TARGETS), bytes=3, created_utc=record.created_utc
    )
    record.write(folder)
    faults = faults_of(release.redescribed())
    assert len(faults) == 2
    assert all(
        fault.startswith(f"{release.downstream} rests on {release.upstream} with ")
        for fault in faults
    )


def test_a_run_that_others_rest_on_must_be_there(release):
    """A release without an upstream run has a fault, though manifest and description agree."""
    upstream = read_record(release.pack / "runs" / release.upstream)
    shutil.rmtree(release.pack / "runs" / release.upstream)
    with pytest.raises(InputError, match=f"{release.upstream}.* not in the pack"):
        release.redescribed()
    faults = faults_of(release.relisted())
    assert f"{CRATE}: it describes {upstream.run_id}, which is not there" in faults
    assert f"{release.downstream} rests on {release.upstream}, which is not in runs" in faults, (
        faults
    )


def test_a_release_without_runs_is_none(release):
    """A release must hold runs."""
    shutil.rmtree(release.pack / "runs")
    assert faults_of(release.relisted())[-1] == "runs: the release holds no runs"


def test_an_incomplete_run_is_a_fault(release, tmp_path):
    """A run that is unfinished has no place in a release."""
    store = RunStore(release.pack / "runs")
    record = small_record("S03")
    with suppress(KeyboardInterrupt), store.create(record, CONFIG, allow_resume=False):
        raise KeyboardInterrupt
    shutil.rmtree(store.root / ".locks")
    found = verify_release(release.relisted(), schemas={})
    assert found.incomplete == [record.run_id]
    assert f"{record.run_id}: incomplete, which no run of a release is" in found.faults


# ------------------------------------------------------------------------------- what is dangerous


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a\\..\\outside", "RUNS/x"])
def test_unsafe_members_are_refused_before_any_writing(release, tmp_path, monkeypatch, name):
    """A member that could land elsewhere is refused, and no file of the release is written."""
    written = []
    monkeypatch.setattr("avalattice.export.archive.write_file", lambda *a: written.append(a))
    path = rewritten(release.zipped(), lambda members: members | {name: b"!"})
    before = set(tree(tmp_path))
    with pytest.raises(VerificationError, match="nothing was unpacked"):
        faults_of(path)
    assert written == []
    assert set(tree(tmp_path)) == before


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "results/../../x"])
def test_records_that_name_files_elsewhere_are_refused(release, monkeypatch, name):
    """A record that would have a file outside the run read is refused before it is."""
    monkeypatch.setattr(release_check, "verify_runs", lambda *a, **k: pytest.fail("it was read"))
    folder = release.pack / "runs" / release.upstream
    record = read_record(folder)
    record.artifact_index[name] = record.artifact_index[TARGETS]
    record.write(folder)
    with pytest.raises(VerificationError, match=f"{release.upstream}: the record names"):
        faults_of(release.relisted())


def test_dependencies_elsewhere_are_refused(release):
    """A record that rests on a run outside the release is refused before that is read."""
    folder = release.pack / "runs" / release.downstream
    record = read_record(folder)
    record.dependencies[0].run_id = f"../../{release.upstream}"
    record.write(folder)
    with pytest.raises(VerificationError, match=r"\.\./\.\./"):
        faults_of(release.relisted())


def test_a_missing_release_is_an_input_error(tmp_path):
    """A release that is not there is an input error that names it."""
    with pytest.raises(InputError, match=r"nowhere\.zip: no such file"):
        faults_of(tmp_path / "nowhere.zip")


def test_a_full_disk_is_a_resource_error(release, monkeypatch):
    """Where a release cannot be unpacked, the message says where else it could be."""

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("avalattice.export.archive.write_file", full)
    with pytest.raises(ResourceError, match=r"No space left on device.*TMPDIR"):
        faults_of(release.zipped())


def test_what_is_told_is_told_as_json(release):
    """The result is plain: names, ids and lines."""
    found = verify_release(release.zipped(), schemas={})
    assert json.loads(json.dumps(vars(found))) == vars(found)
