"""The guide: every example gives what it says."""

import doctest
import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide.md"


def examples(markdown: str) -> list[str]:
    """Python blocks that hold a session."""
    return [b for b in re.findall(r"```python\n(.*?)```", markdown, re.DOTALL) if ">>>" in b]


def failures(session: str) -> int:
    """How many examples of a session give something else."""
    test = doctest.DocTestParser().get_doctest(session, {}, GUIDE.name, str(GUIDE), 0)
    return doctest.DocTestRunner(verbose=False).run(test).failed


@pytest.mark.parametrize("session", examples(GUIDE.read_text(encoding="utf-8")))
def test_examples_give_what_they_say(session):
    """Each session of the guide runs, and prints what stands there."""
    assert failures(session) == 0


def test_wrong_examples_are_found():
    """Control: of two examples the wrong one is found."""
    assert failures(">>> 1 + 1\n2\n>>> 1 + 1\n3\n") == 1
