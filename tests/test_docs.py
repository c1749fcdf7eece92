"""The documents: every example gives what it says."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def examples(markdown: str) -> list[str]:
    """Python blocks that hold a session."""
    return [b for b in re.findall(r"```python\n(.*?)```", markdown, re.DOTALL) if ">>>" in b]


def sessions() -> list:
    """The sessions of every document, each named after its document."""
    return [
        pytest.param(session, id=f"{path.name} {number}")
        for path in sorted(DOCS.glob("*.md"))
        for number, session in enumerate(examples(path.read_text(encoding="utf-8")))
    ]


def failures(session: str) -> int:
    """How many examples of a session give something else."""
    test = doctest.DocTestParser().get_doctest(session, {}, "session", None, 0)
    return doctest.DocTestRunner(verbose=False).run(test).failed


@pytest.mark.parametrize("session", sessions())
def test_examples_give_what_they_say(session):
    """Each session of a document runs, and prints what stands there."""
    assert failures(session) == 0


def test_wrong_examples_are_found():
    """Control: of two examples the wrong one is found."""
    assert failures(">>> 1 + 1\n2\n>>> 1 + 1\n3\n") == 1


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_pictures_and_pages_are_there(path):
    """Every relative link of a document leads to a file."""
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).is_file()] == []
