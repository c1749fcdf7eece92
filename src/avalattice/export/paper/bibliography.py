"""The bibliography: a strict part of BibTeX, short citations, and a list of references.

An entry is ``@kind{key,``, one field ``name = {value},`` a line, and ``}``. Anything else in the
file is refused, with its line: it is part of this package, and not a general reader's business.

A citation in a text is a link to the entry in the list of references, so that the keys that a text
uses can be read back from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from avalattice.canon import OUTPUT, PaperPage
from avalattice.errors import SchemaError
from avalattice.export.paper.markdown import Markdown, prose

_BEGIN = re.compile(r"@(\w+)\{(\w+),")
_FIELD = re.compile(r"  (\w+) = \{(.*)\},")
_REQUIRED: Final = ("author", "title", "year", "doi")
_CITED = re.compile(re.escape(PaperPage.REFERENCES) + r"#(\w+)\)")
_MOST_NAMED: Final = 3


@dataclass(frozen=True)
class Entry:
    """One work."""

    kind: str
    """Such as ``article``."""
    key: str
    fields: Mapping[str, str]
    source: str
    """Its lines in the file."""

    @property
    def families(self) -> list[str]:
        """The authors' family names, with ``others`` where not all are named."""
        return [name.split(",")[0] for name in self.fields["author"].split(" and ")]

    @property
    def short(self) -> str:
        """Authors and year.

        >>> bibliography()["ClausetShaliziNewman2009"].short, bibliography()["Clark2018"].short
        ('Clauset, Shalizi and Newman 2009', 'Clark et al. 2018')
        """
        names = self.families
        if len(names) > _MOST_NAMED or names[-1] == "others":
            authors = f"{names[0]} et al."
        else:
            authors = " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
        return f"{authors} {self.fields['year']}"

    @property
    def full(self) -> Markdown:
        """The entry of the list of references."""
        where = ", ".join(
            text
            for text in (self._container, self.fields.get("pages", "").replace("--", "–"))
            if text
        )
        doi = self.fields["doi"]
        authors = self.fields["author"].replace(" and others", " et al.").replace(" and ", "; ")
        return Markdown(
            f"{prose(authors)} ({self.fields['year']}). {prose(self.fields['title'])}"
            f"{'' if self.fields['title'].endswith('?') else '.'} {prose(where)}. "
            f"[doi:{prose(doi)}](https://doi.org/{doi})"
        )

    @property
    def _container(self) -> str:
        """Journal with volume and number, publisher, or archive."""
        known = self.fields
        if "eprint" in known:
            return f"{known['archiveprefix']}:{known['eprint']}"
        number = f"({known['number']})" if "number" in known else ""
        volume = f" {known['volume']}{number}" if "volume" in known else ""
        return f"{known.get('journal') or known['publisher']}{volume}"


def parse(text: str, where: str) -> dict[str, Entry]:
    """The entries of a file, by key.

    Raises:
        SchemaError: naming the line that is no part of an entry, an entry that lacks a field, or a
            key that is there twice.
    """
    entries: dict[str, Entry] = {}
    begun: re.Match[str] | None = None
    first = 0
    fields: dict[str, str] = {}
    lines = text.splitlines()
    for n, line in enumerate(lines):
        if begun is None and (begun := _BEGIN.fullmatch(line)):
            first, fields = n, {}
        elif begun is not None and line == "}":
            entry = Entry(begun[1], begun[2], fields, "\n".join(lines[first : n + 1]))
            _check_entry(entry, entries, where)
            entries[entry.key], begun = entry, None
        elif begun is not None and (field := _FIELD.fullmatch(line)):
            fields[field[1]] = field[2]
        elif begun is not None or line:
            raise SchemaError(f"{where}: line {n + 1} is no part of an entry: {line!r}")
    if begun is not None:
        raise SchemaError(f"{where}: the entry {begun[2]} does not end")
    return entries


def _check_entry(entry: Entry, known: Mapping[str, Entry], where: str) -> None:
    lacking = [name for name in _REQUIRED if name not in entry.fields]
    if lacking:
        raise SchemaError(f"{where}: the entry {entry.key} has no {', '.join(lacking)}")
    if entry.key in known:
        raise SchemaError(f"{where}: the entry {entry.key} is there twice")


def bibliography() -> dict[str, Entry]:
    """Every work that the paper may cite."""
    name = OUTPUT.REFERENCES_BIB_BASENAME
    return parse(files(__package__).joinpath(name).read_text(encoding="utf-8"), name)


def cite(entries: Mapping[str, Entry], *keys: str) -> Markdown:
    """Works in brackets, each a link to the list of references.

    Raises:
        SchemaError: there is no such work.
    """
    unknown = [key for key in keys if key not in entries]
    if unknown:
        raise SchemaError(f"{OUTPUT.REFERENCES_BIB_BASENAME} has no entry {unknown[0]}")
    links = (f"[{prose(entries[key].short)}]({PaperPage.REFERENCES}#{key})" for key in keys)
    return Markdown(f"({'; '.join(links)})")


def cited(texts: Iterable[str]) -> list[str]:
    """The keys that texts cite, sorted."""
    return sorted({key for text in texts for key in _CITED.findall(text)})


def bib_text(entries: Iterable[Entry]) -> str:
    """The file of some entries."""
    return "\n\n".join(entry.source for entry in entries) + "\n"
