"""What a run was made with."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from avalattice.store.digests import canonical_json
from avalattice.store.environment import (
    environment,
    git_commit,
    library_version,
    peak_memory_bytes,
)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with one commit, and the function that runs git in it."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    place = tmp_path / "repository"
    (place / "package").mkdir(parents=True)
    (place / "package" / "module.py").write_text("x = 1\n")

    def git(*words):
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        done = subprocess.run(
            ["git", "-C", str(place), *identity, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    return place, git


def test_the_environment_is_written_as_json():
    """Python, platform and libraries are there, an absent library as null."""
    found = environment(np.__path__[0])
    assert canonical_json(found)
    assert found["python"] == sys.version.split()[0]
    assert found["libraries"]["numpy"] == np.__version__ == library_version("numpy")
    assert library_version("no-such-distribution") is None


def test_the_commit_is_that_of_the_code(repository):
    """A tracked folder has its commit; a changed one is marked."""
    place, git = repository
    assert git_commit(place / "package") == git("rev-parse", "HEAD")
    (place / "package" / "module.py").write_text("x = 2\n")
    assert git_commit(place / "package") == git("rev-parse", "HEAD") + "+dirty"


def test_the_commit_of_a_repository_around_an_installed_package_is_not_recorded(repository):
    """A virtual environment inside somebody's repository says nothing about our code."""
    place, _ = repository
    (place / ".venv").mkdir()
    (place / ".venv" / "module.py").write_text("x = 1\n")
    assert git_commit(place / ".venv") is None


def test_outside_git_there_is_no_commit(repository, monkeypatch):
    """Neither a plain folder, nor an absent one, nor a machine without git has one."""
    place, _ = repository
    assert git_commit(place.parent) is None
    assert git_commit(place / "absent") is None
    monkeypatch.setenv("PATH", "")
    assert git_commit(place) is None


def test_peak_memory_is_in_bytes():
    """The process has held at least what it holds in one array."""
    block = np.ones(4_000_000)
    assert peak_memory_bytes() > block.nbytes
