"""Corpora: documents from files, packages and the Hub, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalattice.data.corpora import open_corpus
from avalattice.errors import DataError

TEXTS = ["First.", "Second line.\nThird line.\n", "", "été – 雨 😀"]


def documents(source, text_field="text"):
    """All documents of a source."""
    return list(open_corpus(str(source), text_field=text_field).documents())


def refusal(source, text_field="text"):
    """The message with which a source is refused."""
    with pytest.raises(DataError) as error:
        documents(source, text_field)
    return str(error.value)


# ---------------------------------------------------------------------------------------- files


def write_jsonl(path, texts, field="text"):
    """One JSON record a line, characters as they are."""
    lines = [json.dumps({"id": i, field: t}, ensure_ascii=False) for i, t in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_parquet(path, texts, field="text"):
    """A Parquet file of two row groups."""
    table = pa.table({"id": range(len(texts)), field: texts})
    pq.write_table(table, path, row_group_size=2)


def test_a_text_file_is_one_document(tmp_path):
    """A .txt file is one document, and line ends are line feeds whatever wrote it."""
    path = tmp_path / "a.txt"
    path.write_bytes("été\r\nsecond\n".encode())
    assert documents(f"file:{path}") == ["été\nsecond\n"]


@pytest.mark.parametrize(("suffix", "write"), [("jsonl", write_jsonl), ("parquet", write_parquet)])
@pytest.mark.parametrize("field", ["text", "body"])
def test_records_are_documents(tmp_path, suffix, write, field):
    """Each record's text field is a document, in order, empty ones too."""
    path = tmp_path / f"a.{suffix}"
    write(path, TEXTS, field)
    assert documents(f"file:{path}", field) == TEXTS


def test_documents_can_be_read_again(tmp_path):
    """A corpus gives its documents anew each time, and knows its source."""
    write_jsonl(tmp_path / "a.jsonl", TEXTS)
    source = f"file:{tmp_path}/a.jsonl"
    corpus = open_corpus(source, text_field="text")
    assert list(corpus.documents()) == list(corpus.documents()) == TEXTS
    assert (corpus.source, corpus.revision) == (source, None)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_json_lines(tmp_path_factory, text):
    """Whatever JSON may hold as it is, line separators and NEL included, stays one document."""
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    write_jsonl(path, [text, "a\u2028b\u2029c\x85d\x0be", text])
    assert documents(f"file:{path}") == [text, "a\u2028b\u2029c\x85d\x0be", text]


def test_blank_lines_between_records_are_skipped(tmp_path):
    """Blank lines count for the numbers in messages and are no records."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n\n  \n{"text": "b"}')
    assert documents(f"file:{path}") == ["a", "b"]


def test_relative_and_home_paths(tmp_path, monkeypatch):
    """Paths are relative to the working folder, and ~ is the home folder."""
    (tmp_path / "a.txt").write_text("here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert documents("file:a.txt") == documents("file:~/a.txt") == ["here"]


BAD_FILES = {
    "missing": ("none.txt", None, r"data file {path}: no such file \(looked in .+\)"),
    "folder": (".", None, r"data file .+: no such file"),
    "wrong suffix": ("a.csv", b"text", r"data file {path}: use one of \.txt, \.jsonl, \.parquet"),
    "text not UTF-8": (
        "a.txt",
        "été".encode("latin-1"),
        r"data file {path}: cannot be read as UTF-8 text \(.*decode byte 0xe9",
    ),
    "records not UTF-8": (
        "a.jsonl",
        '{"text": "été"}'.encode("latin-1"),
        r"data file {path}: cannot be read as UTF-8 text",
    ),
    "line that is no JSON": (
        "a.jsonl",
        b'{"text": "a"}\n{"text": \n',
        r"{path}:2: no JSON record with the text field 'text' \(the setting text_field\): Expect",
    ),
    "record without the field": (
        "a.jsonl",
        b'{"text": "a"}\n\n{"body": "b"}\n',
        r"{path}:3: no JSON record with the text field 'text' \(the setting text_field\)",
    ),
    "line that is no record": ("a.jsonl", b"[1]\n", r"{path}:1: no JSON record with the text"),
    "field that is no text": (
        "a.jsonl",
        b'{"text": ["a"]}\n',
        r"{path}:1: 'text' holds list, not text",
    ),
    "null field": ("a.jsonl", b'{"text": null}\n', r"{path}:1: 'text' holds NoneType, not text"),
    "not Parquet": ("a.parquet", b"PAR1 but no more", r"data file {path}: not a Parquet file"),
    "empty Parquet": ("a.parquet", b"", r"data file {path}: not a Parquet file"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_files_are_refused(tmp_path, fault):
    """The message names the file, the line where there is one, and what was looked for."""
    name, content, pattern = BAD_FILES[fault]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert re.match(pattern.replace("{path}", re.escape(str(path))), refusal(f"file:{path}"))


def test_parquet_columns_are_named(tmp_path):
    """Without the column, the message lists the columns; a column of numbers is refused."""
    path = tmp_path / "a.parquet"
    write_parquet(path, TEXTS, "body")
    assert refusal(f"file:{path}") == (
        f"data file {path}: no column 'text' (the setting text_field); it has id, body"
    )
    assert refusal(f"file:{path}", "id") == f"{path}: 'id' holds int, not text"


@pytest.mark.parametrize("source", ["text.txt", "http://x/y", "", "FILE:a.txt", "hub:a/b:c"])
def test_sources_of_no_known_form_are_refused(source):
    """The message lists the forms."""
    assert refusal(source) == (
        f"data source {source!r}: use hf:ORG/NAME[/CONFIG]:SPLIT@REVISION, file:PATH or pkg:MODULE"
    )


# ------------------------------------------------------------------------------------- packages

MODULE = '''
"""Module."""
raise RuntimeError("this module was imported")
first = ["l1", "l2", 3, f"{x}"]
class A:
    """Class A."""
    def method(self):
        """Method."""
topics: dict = {"key": "d1", "other": ("nested",), "last": "d" "2"}
text = "a bare string"
async def f():
    """Function."""
    inside = ["not at the top"]
first[0] = ("t1",)
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on the path that cannot be imported."""
    (tmp_path / "corpus_package" / "sub").mkdir(parents=True)
    files = {
        "__init__": '"""Package."""\nraise RuntimeError\n',
        "module": MODULE,
        "broken": "def f(:\n",
        "nothing": "",
        "sub/a": '"""Below."""',
    }
    for name, source in files.items():
        (tmp_path / "corpus_package" / f"{name}.py").write_text(source)
    (tmp_path / "corpus_package" / "latin.py").write_bytes(b'"""\xe9"""')
    monkeypatch.syspath_prepend(tmp_path)
    return "corpus_package"


MODULE_TEXTS = ["Module.", "Class A.", "Method.", "Function.", "l1", "l2", "d1", "d2", "t1"]


def test_a_module_gives_docstrings_and_literals(package):
    """Docstrings, then the strings in top-level containers, each in source order."""
    assert documents(f"pkg:{package}.module") == MODULE_TEXTS


def test_a_package_gives_its_modules_in_order(package):
    """A package is its files sorted by path; files that are no valid Python are passed over."""
    assert documents(f"pkg:{package}") == ["Package.", *MODULE_TEXTS, "Below."]


def test_packages_are_never_imported(package):
    """Neither the package nor the module that is read has been imported."""
    documents(f"pkg:{package}.module")
    assert not any(name.startswith(package) for name in sys.modules)
    with pytest.raises(RuntimeError):  # control
        __import__(package)


def test_the_demo_corpus_is_large(monkeypatch):
    """The standard library's help topics are more than 400,000 characters, and not imported."""
    for name in ("pydoc_data", "pydoc_data.topics"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    texts = documents("pkg:pydoc_data.topics")
    assert sum(map(len, texts)) > 400_000
    assert not any(name.startswith("pydoc_data") for name in sys.modules)


@pytest.mark.parametrize(
    "module",
    [
        *("no_such_package", "corpus_package.none", "no_such_package.module", "", "../x"),
        *("sys", "corpus_package.sub", "corpus_package.module.x"),  # without Python source
    ],
)
def test_modules_without_source_are_refused(package, module):
    """A module that is not installed, is built in, or is a bare folder is refused."""
    assert refusal(f"pkg:{module}") == (
        f"data source pkg:{module}: no such installed module with Python source"
    )


# ------------------------------------------------------------------------------------------ hub


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the ``datasets`` package: what it was asked for, and what it gives."""
    module = ModuleType("datasets")
    module.asked = []
    module.records = [{"text": text, "id": i} for i, text in enumerate(TEXTS)]

    def load_dataset(*args, **options):
        module.asked.append((args, options))
        return iter(module.records)

    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:org/name:train", ("org/name", None, "train", None)),
        ("hf:org/name:train@main", ("org/name", None, "train", "main")),
        ("hf:org/name/en:validation@0a1b", ("org/name", "en", "validation", "0a1b")),
        ("hf:a-b/c.d_e/x-1:test[:10%]@refs/pr/1", ("a-b/c.d_e", "x-1", "test[:10%]", "refs/pr/1")),
    ],
)
def test_hub_sources_are_streamed(hub, source, expected):
    """Name, configuration, split and revision reach the Hub library; the revision is recorded."""
    name, configuration, split, revision = expected
    corpus = open_corpus(source, text_field="text")
    assert list(corpus.documents()) == TEXTS
    assert corpus.revision == revision
    options = {"split": split, "revision": revision, "streaming": True}
    assert hub.asked == [((name, configuration), options)]


def test_the_hub_is_asked_only_for_documents(hub):
    """Opening a corpus asks the Hub for nothing yet."""
    open_corpus("hf:org/name:train", text_field="text")
    assert hub.asked == []


@pytest.mark.parametrize(
    "source", ["hf:name:train", "hf:org/name", "hf:org/name:", "hf:org/name:train@", "hf:o/n/c/d:t"]
)
def test_hub_sources_of_another_form_are_refused(hub, source):
    """The message gives the form."""
    assert refusal(source) == (f"data source {source!r}: use hf:ORG/NAME[/CONFIG]:SPLIT@REVISION")


def test_without_the_hub_library_the_message_says_what_to_install(monkeypatch):
    """The ``datasets`` package is optional, and asked for by name where it is needed."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refusal("hf:org/name:train") == (
        "hf:org/name:train: Hub datasets need the optional `datasets` package: "
        "pip install 'avalattice[hub]'"
    )


def broken_stream(hub):
    """The connection breaks after one record."""
    yield {"text": "a"}
    raise ConnectionError("reset by peer")


def test_an_unreachable_hub_is_told(hub):
    """A Hub that fails, at once or in the middle of the records, is an input error."""
    hub.records = broken_stream(hub)
    assert refusal("hf:org/name:train") == (
        "hf:org/name:train: cannot be loaded from the Hub (ConnectionError: reset by peer). Check "
        "the name and the network, or use a local file: source"
    )

    def unreachable(*args, **options):
        raise OSError("no route to host")

    hub.load_dataset = unreachable
    assert "cannot be loaded from the Hub (OSError: no route to host)" in refusal("hf:o/n:train")


def test_hub_records_need_the_text_field(hub):
    """A record without the field names those that it has; one that holds no text is refused."""
    assert refusal("hf:org/name:train", "body") == (
        "hf:org/name:train: no field 'body' (the setting text_field); records have text, id"
    )
    assert refusal("hf:org/name:train", "id") == "hf:org/name:train: 'id' holds int, not text"
