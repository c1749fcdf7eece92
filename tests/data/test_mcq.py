"""Multiple-choice questions: shapes, keys, digests, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalattice.data.mcq import Question, QuestionSet, open_questions
from avalattice.errors import DataError

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "configs" / "demo_questions.jsonl"
TEST_DATA = Path(os.environ.get("AVALATTICE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
ARC = TEST_DATA / "arc_challenge_test.jsonl"


def record(n_options=4, key="B", labels="ABCDE", **changes):
    """A record of ARC's shape."""
    choices = {
        "text": [f"option {k}" for k in range(n_options)],
        "label": list(labels[:n_options]),
    }
    return {"id": "q", "question": "Which?", "choices": choices, "answerKey": key} | changes


def write(path, *records):
    """A .jsonl file of records, or of lines as they are."""
    lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"file:{path}"


def refusal(source):
    """The message with which a source is refused."""
    with pytest.raises(DataError) as error:
        open_questions(str(source))
    return str(error.value)


# ------------------------------------------------------------------------------------- records


def test_a_record_is_a_question(tmp_path):
    """Stem, options, labels and key are read as they stand; blank lines are none."""
    first = record(question="Qué – 雨?", id="one")
    source = write(tmp_path / "a.jsonl", first, "", record(id="two"))
    found = open_questions(source)
    assert found.source == source
    assert found.revision is None
    options = ("option 0", "option 1", "option 2", "option 3")
    assert found.questions[0] == Question("one", "Qué – 雨?", options, ("A", "B", "C", "D"), 1)
    assert [question.id for question in found.questions] == ["one", "two"]


@pytest.mark.parametrize("n_options", [2, 3, 4, 5])
@pytest.mark.parametrize("labels", ["ABCDE", "12345", "EDCBA", "31524"])
def test_keys_map_through_the_labels(tmp_path, n_options, labels):
    """Whatever the labels are, letters or numbers in any order, the key is a label's position."""
    for position in range(n_options):
        key = labels[position]
        source = write(tmp_path / "a.jsonl", record(n_options, key, labels))
        (question,) = open_questions(source).questions
        assert question.answer == position
        assert len(question.choices) == n_options


def test_whole_numbers_are_read_as_their_text(tmp_path):
    """Labels, keys and ids that a JSON file holds as numbers; true is no number."""
    numbered = record(key=2, id=7, choices={"text": ["4", 5], "label": [1, 2]})
    (question,) = open_questions(write(tmp_path / "a.jsonl", numbered)).questions
    assert question == Question("7", "Which?", ("4", "5"), ("1", "2"), 1)
    assert "found True" in refusal(write(tmp_path / "b.jsonl", record(id=True)))


def without(name):
    """A record that lacks a field."""
    return {key: value for key, value in record().items() if key != name}


def choices(text, label):
    """A record with these options."""
    return record(choices={"text": text, "label": label})


BAD_RECORDS = {
    "no JSON": ('{"id": ', "expected a JSON record, found Expecting value"),
    "a list": ([1], "expected a record with choices.text, found [1]"),
    "no choices": (
        without("choices"),
        "expected a record with choices.text, found id, question, answerKey",
    ),
    "no label": (
        record(choices={"text": ["a", "b"]}),
        "expected a record with choices.label, found text",
    ),
    "choices that are a list": (
        record(choices=["a", "b"]),
        "expected a record with choices.text, found ['a', 'b']",
    ),
    "no key": (
        without("answerKey"),
        "expected a record with answerKey, found id, question, choices",
    ),
    "a key that is no label": (
        record(key="E"),
        "expected answerKey to be one of ('A', 'B', 'C', 'D'), found 'E'",
    ),
    "a numeric key beside letters": (
        record(key="2"),
        "expected answerKey to be one of ('A', 'B', 'C', 'D'), found '2'",
    ),
    "a key that is no text": (
        record(key=2.5),
        "expected answerKey to be text, not blank; found 2.5",
    ),
    "no id": (without("id"), "expected a record with id, found question, choices, answerKey"),
    "an id that is no text": (record(id=["q"]), "expected id to be text, not blank; found ['q']"),
    "a blank question": (
        record(question=" "),
        "expected question to be text, not blank; found ' '",
    ),
    "a blank option": (
        choices(["a", ""], ["A", "B"]),
        "expected choices.text to be text, not blank; found ''",
    ),
    "an option that is no text": (
        choices(["a", None], ["A", "B"]),
        "expected choices.text to be text, not blank; found None",
    ),
    "one option": (
        choices(["a"], ["A"]),
        "expected choices.text to be a list of 2 to 26 texts, found ['a']",
    ),
    "options that are one text": (
        choices("ab", ["A", "B"]),
        "expected choices.text to be a list of 2 to 26 texts, found 'ab'",
    ),
    "too few labels": (
        choices(["a", "b", "c"], ["A", "B"]),
        "expected as many choices.label as choices.text (3), found 2",
    ),
    "a label twice": (
        choices(["a", "b"], ["B", "B"]),
        "expected labels that differ, found ('B', 'B')",
    ),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_line_is_named(tmp_path, name):
    """What is no question is refused with file, line, the expected and the found."""
    bad, message = BAD_RECORDS[name]
    path = tmp_path / "a.jsonl"
    line = bad if isinstance(bad, str) else json.dumps(bad)
    assert refusal(write(path, record(id="first"), "", line)).startswith(f"{path}:3: {message}")


def test_ids_are_given_once(tmp_path):
    """A second question of one id is refused with the place of the first."""
    path = tmp_path / "a.jsonl"
    message = refusal(write(path, record(id="a"), record(id="b"), record(id="a")))
    assert message == f"{path}:3: expected a new id, found 'a' as in {path}:1"


def test_sources_without_questions_are_refused(tmp_path):
    """No such file, another suffix, an empty file and an unknown form are told."""
    path = tmp_path / "a.jsonl"
    assert refusal(f"file:{path}") == f"data file {path}: no such file (looked in {Path.cwd()})"
    assert refusal(write(path)) == f"{path}: expected at least one question, found none"
    other = write(tmp_path / "a.txt", record())
    assert refusal(other) == f"data file {tmp_path / 'a.txt'}: use one of .jsonl"
    form = "use hf:ORG/NAME[/CONFIG]:SPLIT@REVISION or file:PATH.jsonl"
    assert refusal("pkg:json") == f"data source 'pkg:json': {form}"


# ----------------------------------------------------------------------------------------- hub


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the ``datasets`` package: what it was asked for, and what it gives."""
    module = ModuleType("datasets")
    module.records = [record(id="a"), record(3, "2", "123", id="b")]

    def load_dataset(*args, **options):
        module.asked = (args, options)
        return iter(module.records)

    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def test_hub_questions_are_those_of_a_file(hub, tmp_path):
    """A Hub split gives the questions, and the digest, that a file of its records gives."""
    found = open_questions("hf:allenai/ai2_arc/ARC-Challenge:test@0a1b")
    options = {"split": "test", "revision": "0a1b", "streaming": True}
    assert hub.asked == (("allenai/ai2_arc", "ARC-Challenge"), options)
    assert found.revision == "0a1b"
    local = open_questions(write(tmp_path / "a.jsonl", *hub.records))
    assert (found.questions, found.sha256) == (local.questions, local.sha256)


def test_a_bad_hub_record_is_named(hub):
    """A Hub record that is no question is refused with source and number."""
    hub.records.append(record(key="E"))
    message = refusal("hf:o/n:test")
    assert message.startswith("hf:o/n:test record 2: expected answerKey to be one of")


# -------------------------------------------------------------------------------------- digest

texts = st.text(min_size=1, max_size=5)
question_lists = st.lists(
    st.builds(
        Question,
        texts,
        texts,
        st.tuples(texts, texts, texts),
        st.just(("A", "B", "C")),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


@given(question_lists, question_lists)
def test_the_digest_is_that_of_the_questions(first, second):
    """Equal questions have equal digests wherever they came from, different ones never."""
    a, b = QuestionSet("file:a", None, first), QuestionSet("hf:b", "r", second)
    assert (a.sha256 == b.sha256) == (first == second)
    assert QuestionSet("hf:b", "r", first).sha256 == a.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"id": "r"},
        {"question": "Which??"},
        {"choices": ("b", "a")},
        {"labels": ("1", "2")},
        {"answer": 0},
    ],
)
def test_every_field_is_in_the_digest(change):
    """A change of any field changes the digest."""
    question = Question("q", "Which?", ("a", "b"), ("A", "B"), 1)
    digests = {
        QuestionSet("s", None, (each,)).sha256 for each in (question, replace(question, **change))
    }
    assert len(digests) == 2


# --------------------------------------------------------------------------------- real questions


def test_the_demo_questions_are_well_made():
    """The set of the demo: 64 or more questions of 3, 4 and 5 options, both kinds of labels."""
    questions = open_questions(f"file:{DEMO}").questions
    assert len(questions) >= 64
    sizes = Counter(len(question.choices) for question in questions)
    assert sizes[4] > 60
    assert min(sizes[3], sizes[5]) >= 3
    assert {question.labels[0] for question in questions} == {"A", "1"}
    assert len({question.question for question in questions}) == len(questions)
    for question in questions:
        assert len({choice.casefold() for choice in question.choices}) == len(question.choices)
        every = (question.question, *question.choices)
        assert all(text == text.strip() for text in every)


def test_the_demo_questions_favour_no_position_or_length():
    """Always choosing one position, or the longest or shortest option, is no better than chance."""
    questions = open_questions(f"file:{DEMO}").questions
    positions = Counter(question.answer for question in questions)
    assert max(positions[k] for k in range(4)) - min(positions[k] for k in range(4)) <= 1
    for extreme in (max, min):
        share = sum(
            question.choices.index(extreme(question.choices, key=len)) == question.answer
            for question in questions
        ) / len(questions)
        assert 0.15 < share < 0.35


@pytest.mark.skipif(not ARC.is_file(), reason=f"no {ARC} (set AVALATTICE_TEST_DATA)")
def test_arc_challenge_has_its_questions():
    """The test split has 1,172 questions, all of which are read."""
    questions = open_questions(f"file:{ARC}").questions
    assert len(questions) == 1172
    assert Counter(q.answer for q in questions) == {2: 311, 1: 306, 3: 294, 0: 261}
