"""Stores to write into, and places that are full or read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from avalattice.store.runs import RunStore


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return RunStore(tmp_path / "runs")


@pytest.fixture(autouse=True)
def no_flushing(monkeypatch):
    """Leave out fsync: no power fails here, and tests of flushing put their own in its place."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def small_disk(tmp_path):
    """The mount point of a file system of 128 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    _mount("-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place))
    yield place
    _unmount(place)


@pytest.fixture
def read_only(tmp_path):
    """A folder, and the function that makes it read-only, for root too."""
    place = tmp_path / "place"
    place.mkdir()
    if os.geteuid() != 0:
        yield place, lambda: _set_modes(place, 0o555)
        _set_modes(place, 0o755)
        return
    _mount("-t", "tmpfs", "tmpfs", str(place))
    yield place, lambda: _mount("-o", "remount,ro", str(place))
    _unmount(place)


def _set_modes(place, mode: int) -> None:
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(mode)


def _mount(*arguments: str) -> None:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root on Linux, to mount a file system")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a file system: {done.stderr.strip()}")


def _unmount(place) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True)
