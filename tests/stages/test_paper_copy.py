"""A copy of the paper outside of its run: whole, repeatable, and never over somebody's work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from avalattice.errors import InputError
from avalattice.stages.paper_copy import copy_paper

FILES = {"README.md": b"# One\n", "figs/appendix/a.png": b"\x89PNG", "claims.json": b"{}\n"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but the manifest."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "MANIFEST.sha256"
    }


def test_a_copy_has_the_files_and_a_manifest_that_sha256sum_accepts(tmp_path: Path) -> None:
    """The folder is made, with sub-folders; the manifest lists every file."""
    copy_paper(FILES, tmp_path / "new" / "paper")
    assert contents(tmp_path / "new" / "paper") == FILES
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "MANIFEST.sha256"],
        cwd=tmp_path / "new" / "paper",
        check=True,
    )


def test_copying_again_and_copying_a_newer_paper(tmp_path: Path) -> None:
    """What is unchanged since it was put there is replaced; what the new paper lacks stays."""
    copy_paper(FILES, tmp_path)
    copy_paper(FILES, tmp_path)
    newer = {"README.md": b"# Two\n", "claims.json": b"[]\n"}
    copy_paper(newer, tmp_path)
    assert contents(tmp_path) == FILES | newer
    redrawn = FILES | {"figs/appendix/a.png": b"\x89PNG again"}
    copy_paper(redrawn, tmp_path)  # the figure is still known to be ours
    assert contents(tmp_path) == redrawn


@pytest.mark.parametrize("name", list(FILES))
def test_what_somebody_wrote_or_changed_is_not_touched(tmp_path: Path, name: str) -> None:
    """One foreign file refuses the whole copy, before anything is written."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match=f"{path} was not written by a paper export"):
        copy_paper(FILES, tmp_path)
    assert contents(tmp_path) == {name: b"mine"}
    path.unlink()
    copy_paper(FILES, tmp_path)
    path.write_bytes(b"mine, later")
    with pytest.raises(InputError, match="was changed since"):
        copy_paper(FILES | {"README.md": b"# Two\n"}, tmp_path)
    assert contents(tmp_path) == FILES | {name: b"mine, later"}


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    """A folder may hold notes of the user's own."""
    (tmp_path / "notes.txt").write_text("mine")
    copy_paper(FILES, tmp_path)
    assert contents(tmp_path) == FILES | {"notes.txt": b"mine"}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link of a file's name is somebody's, even if it leads nowhere."""
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "README.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="was not written by a paper export"):
        copy_paper(FILES, tmp_path / "paper")
    assert not (tmp_path / "elsewhere").exists()


def test_a_sub_folder_that_is_a_link_refuses_the_copy(tmp_path: Path) -> None:
    """Nothing is written outside of the folder; the folder itself may be a link."""
    (tmp_path / "paper" / "figs").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "paper" / "figs" / "appendix").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="appendix is a link"):
        copy_paper(FILES, tmp_path / "paper")
    assert contents(tmp_path / "elsewhere") == {}
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")
    copy_paper(FILES, tmp_path / "mine")
    assert contents(tmp_path / "elsewhere") == FILES


def test_a_manifest_that_cannot_be_read_refuses_the_copy(tmp_path: Path) -> None:
    """Without knowing what is whose, nothing is overwritten."""
    (tmp_path / "MANIFEST.sha256").write_text("not a manifest\n")
    with pytest.raises(InputError, match=r"move it away, or choose another paper\.export_dir"):
        copy_paper(FILES, tmp_path)
    assert contents(tmp_path) == {}
