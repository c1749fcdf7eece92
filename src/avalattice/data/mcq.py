"""Multiple-choice questions: a stem, its options in order, and which of them is right.

==============================================  ================================================
source                                          questions
==============================================  ================================================
``hf:allenai/ai2_arc/ARC-Challenge:test@REV``   records of a Hub dataset
``file:PATH.jsonl``                             one JSON record a line
==============================================  ================================================

Records have ARC's shape (Clark et al. 2018, arXiv:1803.05457): ``id``, ``question``,
``choices.text``, ``choices.label`` and ``answerKey``, which is one of the labels. Some labels are
numbers, and not every question has four options; the answer is kept as the option's position.
Questions with several right answers are not handled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from reprlib import repr as short
from string import ascii_uppercase
from typing import Any

from avalattice.data.records import HubSource, data_file, numbered_lines
from avalattice.errors import DataError

MAX_OPTIONS = len(ascii_uppercase)
"""Options are lettered."""
_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Question:
    """One question."""

    id: str
    question: str
    """The stem."""
    choices: tuple[str, ...]
    """The options' texts."""
    labels: tuple[str, ...]
    """Their labels in the source."""
    answer: int
    """Position of the right option, from 0."""


@dataclass(frozen=True)
class QuestionSet:
    """Questions in the order of their source."""

    source: str
    """The source as written in the configuration."""
    revision: str | None
    """The Hub revision, where the source names one."""
    questions: tuple[Question, ...]

    @property
    def sha256(self) -> str:
        """Digest of the questions in order, every field of each; not of where they came from."""
        content = [astuple(question) for question in self.questions]
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def open_questions(source: str) -> QuestionSet:
    """The questions that a source names.

    Args:
        source: one of the forms of the module's table.

    Raises:
        DataError: the source has no known form, nothing is there, or a record is no question; the
            message says where, what was expected and what was found.
    """
    kind, _, rest = source.partition(":")
    if kind == "file":
        path = data_file(Path(rest).expanduser(), [_SUFFIX])
        return QuestionSet(source, None, _questions(_file_records(path), str(path)))
    if kind == "hf":
        hub = HubSource.parse(source)
        records = ((f"{source} record {i}", record) for i, record in enumerate(hub.records()))
        return QuestionSet(source, hub.revision, _questions(records, source))
    raise DataError(
        f"data source {source!r}: use hf:ORG/NAME[/CONFIG]:SPLIT@REVISION or file:PATH{_SUFFIX}"
    )


def _file_records(path: Path) -> Iterator[tuple[str, object]]:
    for where, line in numbered_lines(path):
        try:
            yield where, json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: expected a JSON record, found {error}") from error


def _questions(records: Iterable[tuple[str, object]], source: str) -> tuple[Question, ...]:
    questions: list[Question] = []
    places: dict[str, str] = {}
    for where, record in records:
        question = _question(record, where)
        first = places.setdefault(question.id, where)
        if first != where:
            raise DataError(f"{where}: expected a new id, found {question.id!r} as in {first}")
        questions.append(question)
    if not questions:
        raise DataError(f"{source}: expected at least one question, found none")
    return tuple(questions)


def _question(record: object, where: str) -> Question:
    """The question of a record."""
    choices, labels = (_texts(record, f"choices.{name}", where) for name in ("text", "label"))
    if len(choices) != len(labels):
        raise DataError(
            f"{where}: expected as many choices.label as choices.text ({len(choices)}), "
            f"found {len(labels)}"
        )
    if len(set(labels)) < len(labels):
        raise DataError(f"{where}: expected labels that differ, found {short(labels)}")
    key = _text(_field(record, "answerKey", where), "answerKey", where)
    if key not in labels:
        raise DataError(f"{where}: expected answerKey to be one of {labels}, found {key!r}")
    return Question(
        id=_text(_field(record, "id", where), "id", where),
        question=_text(_field(record, "question", where), "question", where),
        choices=choices,
        labels=labels,
        answer=labels.index(key),
    )


def _field(record: object, name: str, where: str) -> object:
    """A field of a record; a dotted name goes into the record's own records."""
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            found = ", ".join(value) if isinstance(value, dict) else short(value)
            raise DataError(f"{where}: expected a record with {name}, found {found}")
        value = value[part]
    return value


def _texts(record: object, name: str, where: str) -> tuple[str, ...]:
    values = _field(record, name, where)
    if not isinstance(values, list) or not 2 <= len(values) <= MAX_OPTIONS:
        raise DataError(
            f"{where}: expected {name} to be a list of 2 to {MAX_OPTIONS} texts, "
            f"found {short(values)}"
        )
    return tuple(_text(value, name, where) for value in values)


def _text(value: object, name: str, where: str) -> str:
    """A text; a whole number, such as a numeric label, counts as the text that it is written as."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: expected {name} to be text, not blank; found {short(value)}")
    return value
