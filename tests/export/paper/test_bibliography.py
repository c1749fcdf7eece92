"""The bibliography: a strict file, citations that lead somewhere, entries that are used."""

from __future__ import annotations

import pytest

from avalattice.errors import SchemaError
from avalattice.export.paper.bibliography import bib_text, bibliography, cite, cited, parse
from avalattice.export.paper.sections import write_paper
from tests.export.paper.fabricated import DATA, DATA_6, evidence

ENTRY = """\
@article{Doe2020,
  author = {Doe, Jane and Roe, Richard},
  title = {On Things},
  journal = {Journal of Things},
  year = {2020},
  doi = {10.1000/things},
}
"""


def test_the_file_parses_and_is_sorted():
    """Every entry is whole, and keys are in order."""
    entries = bibliography()
    assert list(entries) == sorted(entries)
    assert parse(bib_text(entries.values()), "again").keys() == entries.keys()


def test_dois_look_like_dois_and_none_is_there_twice():
    """A DOI has a registrant and a name; two works have two."""
    dois = [entry.fields["doi"] for entry in bibliography().values()]
    assert len(set(dois)) == len(dois)
    assert all(doi.startswith("10.") and "/" in doi and " " not in doi for doi in dois)


def test_every_entry_is_used_by_some_paper_and_no_paper_uses_another():
    """On WikiText, with Dataset B and questions, the paper cites the whole file."""
    data = (DATA[0], *DATA_6)
    wikitext = [
        type(part)(part.role, part.window_set, "hf:Salesforce/wikitext", None, part.n, part.sha256)
        for part in data
    ]
    paper = write_paper(evidence(data=(*DATA, *wikitext)))
    assert cited(paper.pages.values()) == list(bibliography())
    assert paper.bibliography == bib_text(bibliography().values())


def test_a_paper_lists_what_it_cites_and_no_more():
    """Without WikiText and without questions their works are left out."""
    paper = write_paper(evidence(phase_6=False))
    keys = cited(paper.pages.values())
    assert {"Merity2016", "Clark2018", "McNemar1947"}.isdisjoint(keys)
    assert list(parse(paper.bibliography, "references.bib")) == keys
    assert all(f'<a id="{key}"></a>' in paper.pages["references.md"] for key in keys)


def test_citations_are_links_with_authors_and_year():
    """One author, two, three, and more than three."""
    entries = bibliography()
    assert cite(entries, "Efron1979") == "([Efron 1979](references.md#Efron1979))"
    short = {key: entries[key].short for key in ("BeggsPlenz2003", "Clark2018", "Fontenele2019")}
    assert list(short.values()) == [
        "Beggs and Plenz 2003",
        "Clark et al. 2018",
        "Fontenele et al. 2019",
    ]
    assert cited([cite(entries, "Vuong1989", "Efron1979")]) == ["Efron1979", "Vuong1989"]


def test_an_unknown_key_is_refused():
    """A citation of a work that is not in the file is an error, not an empty link."""
    with pytest.raises(SchemaError, match=r"references\.bib has no entry Doe2020"):
        cite(bibliography(), "Efron1979", "Doe2020")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY.replace("  doi = {10.1000/things},\n", ""), "the entry Doe2020 has no doi"),
        (ENTRY + "\n" + ENTRY, "the entry Doe2020 is there twice"),
        (ENTRY + "loose text\n", "line 8 is no part of an entry: 'loose text'"),
        (ENTRY.replace("year = {2020}", "year = 2020"), "line 5 is no part of an entry"),
        (ENTRY.rstrip("}\n"), "the entry Doe2020 does not end"),
    ],
)
def test_what_is_no_entry_is_refused(text, message):
    """A missing field, a second entry of one key, and whatever else stands in the file."""
    assert list(parse(ENTRY, "ours.bib")) == ["Doe2020"]  # control
    with pytest.raises(SchemaError, match=message):
        parse(text, "ours.bib")
