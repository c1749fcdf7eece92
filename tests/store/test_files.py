"""Durable files: all or nothing, flushed, and refusals with a remedy."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from avalattice.errors import ExitCode, ResourceError, RunExistsError
from avalattice.store import files
from avalattice.store.digests import FileDigests, sha256_file
from avalattice.store.files import (
    make_folder,
    replace_atomically,
    take_write_permission,
    writing,
)
from avalattice.store.record import read_record
from avalattice.store.runs import RunStore
from avalattice.store.verify import verify_runs
from tests.store.small_runs import (
    contents,
    small_record,
    unfinished_files,
    write_downstream,
    write_run,
)


@contextmanager
def largest_file(n_bytes):
    """No file may grow beyond this size: what a full disk is like, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def failing_write(path, content, error):
    """Write to the end of the content, look at what stands under the name, and fail with that."""
    with writing(path) as file:
        file.write(content)
        file.flush()
        seen = path.read_bytes() if path.exists() else None
        raise error(seen)


# ----------------------------------------------------------------------------- all or nothing


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    """Inside the block nothing stands under the name; after it, all bytes do and nothing else."""
    with writing(tmp_path / "a") as file:
        file.write(b"12")
        file.flush()
        assert not (tmp_path / "a").exists()
        file.write(b"34")
    assert (tmp_path / "a").read_bytes() == b"1234"
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_nothing(tmp_path, interruption):
    """An exception leaves neither the file nor a temporary one, and passes unchanged."""
    with pytest.raises(interruption, match="None"):
        failing_write(tmp_path / "a", b"12", interruption)
    assert names_in(tmp_path) == []


def test_a_replacement_that_fails_leaves_the_old_bytes(tmp_path):
    """Until the new bytes are whole, the old ones are there to read."""
    replace_atomically(tmp_path / "a", b"old")
    with pytest.raises(ValueError, match="b'old'"):
        failing_write(tmp_path / "a", b"new", ValueError)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names_in(tmp_path) == ["a"]


def test_take_write_permission_leaves_reading(tmp_path):
    """Nobody may write the file, everybody who could read it still may."""
    path = tmp_path / "a"
    path.write_bytes(b"")
    path.chmod(0o664)
    take_write_permission(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


# ---------------------------------------------------------------------------------- durability


def test_the_file_is_flushed_before_its_name_and_the_folder_after_it(tmp_path, monkeypatch):
    """The order is: bytes to the disk, then the new name, then the name to the disk."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor):
        status = os.fstat(descriptor)
        size = "folder" if stat.S_ISDIR(status.st_mode) else status.st_size
        calls.append(("fsync", status.st_ino, size))
        fsync(descriptor)

    def noting_replace(source, target, **options):
        calls.append(("rename", Path(source).stat().st_ino, Path(target).name))
        replace(source, target, **options)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    replace_atomically(tmp_path / "a", b"1234")
    inode = (tmp_path / "a").stat().st_ino
    assert calls == [
        ("fsync", inode, 4),
        ("rename", inode, "a"),
        ("fsync", tmp_path.stat().st_ino, "folder"),
    ]


def test_what_a_power_failure_leaves_of_a_complete_run_is_all_of_it(store, monkeypatch):
    """Every byte of every file, and every name on the way to it, was flushed after it changed."""
    durable_bytes, durable_names = {}, {}
    fsync = os.fsync

    def noting_fsync(descriptor):
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            durable_names[status.st_ino] = {
                entry.name: entry.inode() for entry in os.scandir(descriptor)
            }
        else:
            durable_bytes[status.st_ino] = (status.st_size, status.st_mtime_ns)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    folder = store.folder(write_run(store))
    kept = [p for p in folder.rglob("*") if p.is_file()]
    assert len(kept) == len(read_record(folder).artifact_index) + 1
    for path in kept:
        status = path.stat()
        assert durable_bytes[status.st_ino] == (status.st_size, status.st_mtime_ns), path
    for path in (*folder.rglob("*"), folder, store.root):
        names = durable_names[path.parent.stat().st_ino]
        assert names.get(path.name) == path.stat().st_ino, path


def test_on_macos_the_drive_is_flushed_too(tmp_path, monkeypatch):
    """Where the system has F_FULLFSYNC it is used, and a file system without it is no error."""
    asked = []

    def noting(descriptor, command):
        asked.append(command)
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(files, "_FULL_FSYNC", 51)
    monkeypatch.setattr(fcntl, "fcntl", noting)
    replace_atomically(tmp_path / "a", b"1234")
    assert asked == [51, 51]
    assert (tmp_path / "a").read_bytes() == b"1234"


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_folders_that_cannot_be_flushed(tmp_path, monkeypatch, number, passes):
    """A file system that cannot flush folders is put up with; a disk that fails is not."""

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    if passes:
        replace_atomically(tmp_path / "a", b"1234")
    else:
        with pytest.raises(ResourceError, match="the disk reports an error"):
            replace_atomically(tmp_path / "a", b"1234")


# ----------------------------------------------------------------------------------- full disk


def test_a_file_that_does_not_fit_is_a_resource_error(tmp_path):
    """The refusal has exit code 5 and names file and remedy; nothing is left behind."""
    with largest_file(1000), pytest.raises(ResourceError, match=r"/a: .*ulimit -f") as error:
        replace_atomically(tmp_path / "a", bytes(2000))
    assert error.value.exit_code == ExitCode.RESOURCE == 5
    assert names_in(tmp_path) == []


def test_a_run_that_met_a_full_disk_is_finished_later(tmp_path):
    """Wherever the room ends, the refusal is a resource error and resuming gives the same bytes."""
    whole = RunStore(tmp_path / "whole")
    run_id = write_run(whole)
    outcomes = set()
    for limit in (0, 30, 60, 100, 150, *range(200, 2400, 100)):
        store = RunStore(tmp_path / f"runs-{limit}")
        with largest_file(limit):
            outcomes.add(attempt(store, run_id))
        finish(store, run_id, whole)
    assert outcomes == {"absent", "incomplete", "complete"}


def test_a_run_on_a_disk_that_fills_up_is_finished_later(small_disk, tmp_path):
    """The same holds on a file system whose last pages run out at any moment of the run."""
    whole = RunStore(tmp_path / "whole")
    run_id = write_run(whole)
    outcomes = set()
    for pages in range(24):
        store, ballast = RunStore(small_disk / f"runs-{pages}"), small_disk / "ballast"
        free = os.statvfs(small_disk)
        ballast.write_bytes(bytes(max(free.f_bavail - pages, 0) * free.f_frsize))
        outcomes.add(attempt(store, run_id))
        ballast.unlink()
        finish(store, run_id, whole)
        shutil.rmtree(store.root)
    assert outcomes == {"absent", "incomplete", "complete"}


def attempt(store, run_id):
    """Try to write a run; its state afterwards, which a refusal leaves open to be resumed."""
    with suppress(ResourceError):
        write_run(store)
        return "complete"
    state = store.status(run_id)
    assert state in ("absent", "incomplete")
    if state == "incomplete":
        for name, entry in read_record(store.folder(run_id)).artifact_index.items():
            assert sha256_file(store.folder(run_id) / name) == entry.sha256
    return state


def finish(store, run_id, whole):
    """Resume what is unfinished; the run is then that of a store that had room."""
    if store.status(run_id) == "complete":
        with pytest.raises(RunExistsError, match="is complete"):
            write_run(store, allow_resume=True)
    else:
        write_run(store, allow_resume=True)
    assert contents(store.folder(run_id)) == contents(whole.folder(run_id))
    found = verify_runs(store, schemas={})
    assert (found.complete, found.faults) == ([run_id], [])
    assert unfinished_files(store.root) == []


# ------------------------------------------------------------------------------ read-only places


def test_a_read_only_place_takes_no_runs(read_only):
    """A new store, a new run, a resumed run and a removal are refused with exit code 5."""
    place, close = read_only
    store = RunStore(place / "runs")
    complete = write_run(store)
    incomplete = small_record("S02")
    with pytest.raises(KeyboardInterrupt), store.create(incomplete, "", allow_resume=False):
        raise KeyboardInterrupt
    close()
    before = sorted(place.rglob("*"))
    for refused in (
        lambda: write_run(RunStore(place / "other")),
        lambda: write_run(store, small_record("S03")),
        lambda: write_run(store, incomplete, allow_resume=True),
        lambda: store.remove([complete]),
        lambda: replace_atomically(place / "file", b""),
    ):
        with pytest.raises(ResourceError, match=r"choose another place with --runs-dir") as error:
            refused()
        assert error.value.exit_code == 5
    assert sorted(place.rglob("*")) == before


def test_a_read_only_place_can_be_read_from(read_only):
    """Opening, verifying and resting on a run need no write permission."""
    place, close = read_only
    store = RunStore(place / "runs")
    run_id = write_downstream(store, write_run(store))
    close()
    assert store.open(run_id).path("results/targets.json").is_file()
    assert verify_runs(store, schemas={}).faults == []


def test_a_read_only_home_only_costs_the_memory_of_digests(read_only):
    """Digests are given where the memory of them can neither be made nor be written."""
    place, close = read_only
    (place / "weights").write_bytes(b"1234")
    close()
    for memory in (place / "digests.json", place / "cache" / "digests.json"):
        assert FileDigests(memory).sha256(place / "weights") == sha256_file(place / "weights")


# ----------------------------------------------------------------------------- other refusals


def test_a_file_in_the_place_of_the_runs_folder_is_named(tmp_path):
    """A runs folder that is a file, or lies in one, is refused with the remedy."""
    (tmp_path / "file").write_bytes(b"")
    for root in (tmp_path / "file", tmp_path / "file" / "runs"):
        for refused in (
            lambda root=root: write_run(RunStore(root)),
            lambda root=root: make_folder(root),
        ):
            with pytest.raises(ResourceError, match="a file stands where a folder should"):
                refused()


def test_making_a_folder_twice_is_no_error(tmp_path):
    """Parents are made too, and what is there stays."""
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "file").write_bytes(b"")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "file").exists()


def test_other_errors_of_the_system_pass_unchanged(tmp_path):
    """What has nothing to do with resources, such as a missing folder, is not called one."""
    with pytest.raises(FileNotFoundError):
        replace_atomically(tmp_path / "absent" / "a", b"")
