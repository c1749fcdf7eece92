"""The exception tree: exit codes, and the drawing in the module's docstring."""

from __future__ import annotations

import inspect
import re

import pytest

from avalattice import errors
from avalattice.errors import AvalatticeError, ExitCode, InputError

RAISED = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, AvalatticeError)
]


def drawn() -> list[tuple[int, str, str | None]]:
    """Depth, name and exit code of each line of the drawing."""
    drawing = re.findall(r"^    ([│├└─ ]*)(\w+Error)(?: \.+ +(\d))?", errors.__doc__, re.MULTILINE)
    return [(len(indent) // 4, name, code or None) for indent, name, code in drawing]


def test_the_drawing_is_the_tree():
    """Every exception is drawn below its base class, and nothing else is drawn."""
    branch: list[str] = []
    bases = {}
    for depth, name, _ in drawn():
        branch[depth:] = [name]
        bases[name] = branch[depth - 1] if depth else "Exception"
    assert bases == {error.__name__: error.__base__.__name__ for error in RAISED}


def test_the_drawn_exit_codes_are_returned():
    """Each drawn exit code is the class's, and the classes below it inherit it."""
    codes = {name: int(code) for _, name, code in drawn() if code}
    for error in RAISED:
        inherited = next(codes[base.__name__] for base in error.__mro__ if base.__name__ in codes)
        assert error.exit_code == inherited


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("InputError", 2),
        ("VerificationError", 2),
        ("DependencyError", 3),
        ("RunExistsError", 4),
        ("ResourceError", 5),
    ],
)
def test_exit_codes_are_the_documented_ones(name, code):
    """The command line documents these exit codes."""
    assert getattr(errors, name).exit_code == code


def test_other_exit_codes():
    """Success is 0, a bug is 1, and an interruption is what a shell makes of SIGINT."""
    assert (ExitCode.DONE, ExitCode.BUG, ExitCode.INTERRUPTED) == (0, 1, 130)


def test_every_error_explains_itself():
    """Each exception has a docstring of its own, and keeps its message."""
    assert len({error.__doc__ for error in RAISED}) == len(RAISED)
    assert str(InputError("file: fault; remedy")) == "file: fault; remedy"
