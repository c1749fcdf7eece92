"""Markdown that no data can break: read back by a Markdown parser."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from avalattice.export.paper.markdown import (
    Markdown,
    code,
    interval,
    listing,
    number,
    prose,
    table,
)

ODD = [
    "a|b",
    "*bold* and _slanted_ and ~~struck~~",
    "<script>alert(1)</script>",
    "[a link](https://example.org) and ![a picture](x.png)",
    "`code` and ``more``",
    "back\\slash\\|pipe",
    "two\nlines\r\nand a\ttab",
    "# no heading",
    "- no item",
    "1. no item",
    "&amp; &lt;",
    "$x$ and $$y$$",
    "snake_case_name and b_tot*",
    "__init__ and _x_",
    "नमस्ते ünï – 🜂",
]


def shown(markdown: str) -> str:
    """The text that a reader sees of a paragraph."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    (paragraph,) = [t for t in parser.parse(markdown) if t.type == "inline"]
    kinds = {child.type for child in paragraph.children or ()}
    assert kinds <= {"text", "code_inline", "text_special"}, kinds
    return "".join(child.content for child in paragraph.children or ())


def cells(markdown: str) -> list[list[str]]:
    """The text of each cell of a table, by line."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    lines: list[list[str]] = []
    for token in parser.parse(markdown):
        if token.type == "tr_open":
            lines.append([])
        elif token.type == "inline":
            lines[-1].append("".join(c.content for c in token.children or ()))
    return lines


@pytest.mark.parametrize("text", ODD)
def test_prose_shows_the_text_and_nothing_else(text):
    """Whatever a name holds, a reader sees it as it is, on one line and without markup."""
    assert shown(prose(text)) == " ".join(text.split())


@pytest.mark.parametrize("text", ODD)
def test_a_cell_holds_the_text_and_no_more_cells(text):
    """Each line of a table has as many cells as there are headers, with the given texts."""
    made = table(["one", text], [[text, "x"], ["y", text]])
    plain = " ".join(text.split())
    assert cells(made) == [["one", plain], [plain, "x"], ["y", plain]]


def test_unescaped_text_would_break_a_table():
    """Control: the parser does see the cells and the markup of unescaped text."""
    assert cells("| a |\n| --- |\n| x\\|y |") == [["a"], ["x|y"]]
    assert cells("| a | b |\n| --- | --- |\n| x|y | z |")[1] == ["x", "y"]
    with pytest.raises(AssertionError, match="em_open"):
        shown("an *emphasis*")


def test_names_of_columns_are_code():
    """Words joined by underscores are code; what is Markdown already is left alone."""
    assert prose("delta_b_time is 0.1, not b_tot.") == "`delta_b_time` is 0.1, not `b_tot`."
    assert prose("(b_tot − 1)/(alpha_S − 1)") == "(`b_tot` − 1)/(`alpha_S` − 1)"
    assert prose(Markdown("**as** it_is")) == "**as** it_is"


@pytest.mark.parametrize("text", ["Model-1B.Q4_1", "pkg:a_b.c", "x_y/z", "./a_b", "a_b-c"])
def test_parts_of_ids_are_no_code(text):
    """A model's name or a path is not cut into code and text."""
    assert "`" not in prose(text)
    assert shown(prose(text)) == text


def test_plain_ids_are_code_and_others_are_text():
    """A digest or path is code; a text with a backtick is not."""
    assert code("results/metrics.parquet") == "`results/metrics.parquet`"
    assert shown(code("a `b` | c")) == "a `b` | c"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.123"),
        (-0.5, "−0.5"),
        (1e-12, "1e-12"),
        (2.5e-5, "2.5e-5"),
        (999.5, "1e3"),
        (1234.5, "1,234"),
        (0.0, "0"),
        (24, "24"),
        (1536, "1,536"),
        (float("nan"), "–"),
        (None, "–"),
        (False, "no"),
    ],
)
def test_numbers(value, text):
    """Three digits, a true minus sign, no zeros in exponents, a dash where undefined."""
    assert number(value) == text


def test_intervals():
    """A number with its interval, without it, and neither."""
    assert interval(0.5, 0.25, 0.75) == "0.5 [0.25, 0.75]"
    assert interval(0.5, None, None) == "0.5 [–]"
    assert interval(None, None, None) == "–"


def test_long_lists_are_cut():
    """A sentence names the first few and counts the rest."""
    assert listing(["a", "b"], most=2) == "a; b"
    assert listing(["a", "b", "c", "d"], most=2) == "a; b; and 2 more"
