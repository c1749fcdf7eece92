"""Names in a pack: what leads astray, breaks a line or stands for two files is refused."""

from __future__ import annotations

import pytest

from avalattice.export.pack_names import LONGEST_NAME, LONGEST_PART, name_fault, names_fault
from tests.export.packs import CONTENTS

UNSAFE = {
    "": "empty part",
    "/etc/passwd": "absolute",
    "//host/share": "absolute",
    "C:/x": "drive",
    "c:x": "drive",
    "..": "..",
    "../x": "..",
    "a/../x": "..",
    "a/..": "..",
    "./x": "..",
    "a//x": "empty part",
    "a/": "empty part",
    "a\\x": "backslash",
    "..\\x": "backslash",
    "a\0b": "control",
    "a\nb": "control",
    "a\rb": "control",
    "a\x1b[2J": "control",
    "a\x85b": "control",
    "a\u2028b": "separator",
    "a\udcffb": "surrogate",
    "-": "standard input",
    "a/" + "x" * (LONGEST_PART + 1): "between slashes",
    "é" * 128: "between slashes",
    "/".join(["x" * 100] * 11): f"{LONGEST_NAME} bytes",
}
COLLIDING = {
    "twice": ("a/x", "a/x"),
    "in case": ("Results.csv", "results.CSV"),
    "in case of a folder": ("Runs/x", "runs/y"),
    "in sharp s": ("straße", "STRASSE"),
    "in composition": ("\u00e9", "e\u0301"),
    "in order of marks": ("\u1fb4", "\u03b1\u0345\u0301"),
    "file and folder": ("a", "a/x"),
    "folder and file": ("a/x", "a"),
    "file and folder in case": ("A", "a/x"),
}


@pytest.mark.parametrize(("name", "reason"), UNSAFE.items(), ids=map(repr, UNSAFE))
def test_unsafe_names_are_refused(name, reason):
    """A name that leads out, breaks a line or fits no file system is refused with its reason."""
    assert reason in name_fault(name)
    assert repr(name) in names_fault(["fine", name])


@pytest.mark.parametrize("names", COLLIDING.values(), ids=COLLIDING)
def test_colliding_names_are_refused(names):
    """Names that some file system takes for one are refused, in either order."""
    assert names_fault(names)
    assert names_fault(reversed(names))
    assert [name_fault(name) for name in names] == [None, None]


def test_odd_names_are_accepted():
    """Control: markup, blanks, wildcards, colons and letters of any script are allowed."""
    assert names_fault(CONTENTS) is None
    assert names_fault(["a..b", "...", ".hidden", "a/b", "a/c", "ab", "x" * LONGEST_PART]) is None
