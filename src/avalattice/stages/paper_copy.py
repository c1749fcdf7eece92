"""A copy of the paper outside of its run, where nothing that others wrote is touched.

The folder's ``MANIFEST.sha256`` lists what was put there. A file is written if there is none of
its name, if it has the new bytes already, or if it is unchanged since it was put there; anything
else is somebody's work, and the copy is refused before a byte is written. Nothing is ever removed:
files of an earlier paper that this one lacks stay, and stay in the manifest. The copy is no part of
the run: it is put, or put again, whenever the run is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from avalattice.canon import OUTPUT, ModelRole, RunSubdir
from avalattice.errors import InputError, VerificationError
from avalattice.export.release import PackedFile, manifest_text, read_manifest
from avalattice.stages.session import Session
from avalattice.store.digests import found_digest
from avalattice.store.files import make_folder, replace_atomically
from avalattice.store.reader import RunReader


def put_copy(session: Session, run: RunReader) -> None:
    """Put a run's paper where ``paper.export_dir`` asks for it.

    Where the configuration names two models, each has a sub-folder with the name of its role.

    Raises:
        InputError, ResourceError: as :func:`copy_paper`.
    """
    config = session.config
    if config.paper.export_dir is None:
        return
    folder = Path(config.paper.export_dir).expanduser()
    if all(getattr(config.model, role) is not None for role in ModelRole):
        folder /= session.role
    inside = f"{RunSubdir.PAPER}/"
    names = [name for name in run.record.artifact_index if name.startswith(inside)]
    copy_paper({name.removeprefix(inside): run.path(name).read_bytes() for name in names}, folder)


def copy_paper(files: Mapping[str, bytes], folder: Path) -> None:
    """Put the files of a paper into a folder, each at once, the manifest last.

    Args:
        files: contents by POSIX path below the folder.
        folder: the folder; it is made if it is not there.

    Raises:
        InputError: a file there was not put there by this function, or was changed since.
        ResourceError: the place is read-only or full.
    """
    manifest = folder / OUTPUT.MANIFEST_SHA256
    ours = _manifest_of(manifest)
    new = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name, digest in new.items():
        _refuse_links(folder, folder / name)
        _refuse_what_is_not_ours(folder / name, {digest, ours.get(name)})
    for name, content in files.items():
        make_folder((folder / name).parent)
        replace_atomically(folder / name, content)
    listed = (PackedFile(name, digest, 0) for name, digest in {**ours, **new}.items())
    replace_atomically(manifest, manifest_text(listed).encode())


def _manifest_of(manifest: Path) -> dict[str, str]:
    if not manifest.exists():
        return {}
    try:
        return read_manifest(manifest)
    except VerificationError as error:
        raise InputError(
            f"{error}: it does not say what is whose; move it away, or choose another "
            "paper.export_dir"
        ) from error


def _refuse_links(folder: Path, path: Path) -> None:
    """A sub-folder that is a link would have files written outside of the folder."""
    for parent in path.relative_to(folder).parents:
        if (folder / parent).is_symlink() and parent != Path():
            raise InputError(
                f"{folder / parent} is a link: move it away, or choose another paper.export_dir"
            )


def _refuse_what_is_not_ours(path: Path, allowed: set[str | None]) -> None:
    if (path.exists() or path.is_symlink()) and found_digest(path) not in allowed:
        raise InputError(
            f"{path} was not written by a paper export, or was changed since: move it away, or "
            "choose another paper.export_dir"
        )
