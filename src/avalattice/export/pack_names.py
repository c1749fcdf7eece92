r"""Names of files in a pack: which are the same file, and no other, wherever the pack is unpacked.

A name is a POSIX path relative to the pack's root. It is refused if it can lead out of the folder
(absolute, ``..``, a drive letter, a backslash), if it cannot stand on a line of ``sha256sum -c``
(control characters, line separators, text that is no UTF-8, and ``-``, which there means standard
input), or if a file system cannot hold it. Two names are refused together if some file system takes
one for the other: names are compared after Unicode's canonical caseless matching (The Unicode
Standard, section 3.13, D145), part by part, so that ``A/x`` and ``a/y`` collide as well.

Not handled: names that only Windows forbids, such as ``aux`` or those with a trailing blank.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST_PART = 255
"""Bytes; the limit of the usual file systems."""
LONGEST_NAME = 1024
"""Bytes; that of macOS, the least of the supported systems'."""
_NEVER_ON_A_LINE = ("Cc", "Cs", "Zl", "Zp")
_DRIVE = re.compile("[A-Za-z]:")


def name_fault(name: str) -> str | None:
    """What is wrong with a name, or None.

    >>> name_fault("runs/RUN_S01_0123456789ab/x.npz")
    >>> name_fault("../x.npz")
    'has an empty part, . or ..'
    """
    parts = name.split("/")
    faults = {
        "has a control character, a line separator or a lone surrogate": any(
            unicodedata.category(character) in _NEVER_ON_A_LINE for character in name
        ),
        "has a backslash": "\\" in name,
        "is an absolute path": name.startswith("/"),
        "begins with a drive letter": _DRIVE.match(name) is not None,
        "has an empty part, . or ..": not {"", ".", ".."}.isdisjoint(parts),
        f"has more than {LONGEST_PART} bytes between slashes": max(map(_bytes, parts))
        > LONGEST_PART,
        f"has more than {LONGEST_NAME} bytes": _bytes(name) > LONGEST_NAME,
        "means standard input to sha256sum": name == "-",
    }
    return next((reason for reason, found in faults.items() if found), None)


def names_fault(names: Iterable[str]) -> str | None:
    """The first name that is refused, alone or beside those before it, with the reason; or None.

    >>> names_fault(["a/x", "A/y"])
    "'A' and 'a' are one to some file systems"
    """
    taken: dict[str, tuple[str, bool]] = {}
    for name in names:
        fault = name_fault(name)
        if fault:
            return f"{name!r} {fault}"
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            path, is_file = "/".join(parts[:depth]), depth == len(parts)
            folded = _folded(path)
            if folded in taken and (is_file or taken[folded] != (path, False)):
                return _collision(path, taken[folded][0])
            taken[folded] = (path, is_file)
    return None


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _folded(path: str) -> str:
    """One form for all the names that some file system takes for this one."""
    decomposed = unicodedata.normalize("NFD", path)
    return unicodedata.normalize("NFD", decomposed.casefold())


def _collision(path: str, known: str) -> str:
    if path == known:
        return f"{path!r} stands twice, or as a file and as a folder"
    return f"{path!r} and {known!r} are one to some file systems"
