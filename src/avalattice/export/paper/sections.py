"""The pages of the paper, from templates and evaluated claims.

Templates hold what is true of the method whatever comes out, and ask for claims, figures, tables
and citations by name. Every value that they print is escaped, unless it is Markdown already. A
paper is checked before it is handed out: every citation, link and figure leads somewhere, every
claim is told, and none twice in the results.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from avalattice.canon import CONST, OUTPUT, DatasetRole, FigureId, GCondition, PaperPage
from avalattice.errors import SchemaError
from avalattice.export.documents import ClaimEntry, ClaimRow, ClaimsDocument
from avalattice.export.paper.bibliography import (
    Entry,
    bib_text,
    bibliography,
    cite,
    cited,
)
from avalattice.export.paper.catalogue import catalogue
from avalattice.export.paper.cells import condition_words
from avalattice.export.paper.conditions import CurveRows
from avalattice.export.paper.evidence import ABSENT, Evidence
from avalattice.export.paper.fact_tables import (
    artifacts_table,
    claims_table,
    data_table,
    models_table,
    settings_table,
    widths_words,
)
from avalattice.export.paper.figures import CAPTIONS
from avalattice.export.paper.markdown import Markdown, code, number, prose
from avalattice.export.paper.sentences import EvaluatedClaim, evaluate, without_rows
from avalattice.export.paper.sources import GSTAR
from avalattice.export.paper.summaries import SUMMARIES, verdict_words
from avalattice.lattice.percolation import PERCOLATION_THRESHOLD
from avalattice.stats.signatures import SIGNIFICANCE, Outcome

_LINK = re.compile(r"(?<!\\)\]\(([^()\s]+)\)")
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
_CLAIM_LINK = re.compile(re.escape(PaperPage.APPENDIX) + r"#(c\d+)\)")
_ELSEWHERE: Final = ("https://",)


@dataclass(frozen=True)
class Paper:
    """The paper, before it is written."""

    pages: Mapping[str, str]
    """Markdown by file name."""
    claims: ClaimsDocument
    bibliography: str
    """The entries that are cited, as BibTeX."""
    figures: tuple[FigureId, ...]
    """The figures that it shows; each belongs beside the pages, as ``<figure>.png``."""


def figure_file(figure: FigureId) -> str:
    """A figure's file beside the pages."""
    return OUTPUT.FIG_FILE_PNG[figure.name]


def write_paper(evidence: Evidence) -> Paper:
    """Evaluate the claims and write the text that follows from them.

    Raises:
        SchemaError: a template asks for a claim, figure, table or work that does not exist, or
            leaves a claim untold.
    """
    entries = bibliography()
    pen = _Pen(evidence, evaluate_all(evidence), entries)
    bodies = [page for page in PaperPage if page is not PaperPage.REFERENCES]
    pages = {page.value: pen.page(page) for page in bodies}
    used = [entries[key] for key in cited(pages.values())]
    pages[PaperPage.REFERENCES.value] = pen.page(PaperPage.REFERENCES, entries=used)
    shown = tuple(figure for figure in FigureId if figure in pen.shown)
    paper = Paper(pages, claims_document(evidence, pen.claims), bib_text(used), shown)
    _check(paper)
    return paper


def evaluate_all(evidence: Evidence) -> tuple[EvaluatedClaim, ...]:
    """Every claim, on the rows of its source, or without any where the source is not there."""
    claims = catalogue(CurveRows.of(evidence.rows[GSTAR]))
    return tuple(
        evaluate(claim, evidence.rows[claim.source])
        if claim.source in evidence.rows
        else without_rows(claim, ABSENT[claim.source])
        for claim in claims
    )


# ------------------------------------------------------------------------------------ claims.json


def claims_document(evidence: Evidence, claims: Sequence[EvaluatedClaim]) -> ClaimsDocument:
    """``claims.json``."""
    return ClaimsDocument(
        model_id=evidence.model.id,
        model_role=evidence.model.role,
        claims=[_entry(n, claim, evidence) for n, claim in enumerate(claims, start=1)],
    )


def _entry(n: int, evaluated: EvaluatedClaim, evidence: Evidence) -> ClaimEntry:
    claim = evaluated.claim
    return ClaimEntry(
        number=n,
        claim_id=claim.claim_id,
        table=claim.source.name,
        derivation=claim.source.derivation or None,
        run_id=evidence.run_ids.get(claim.source),
        filter=[dict(equal) for equal in claim.where],
        comparison=claim.comparison.kind,
        statement=claim.statement,
        gates={gate.column: gate.value for gate in claim.gates},
        columns=list(claim.columns),
        numbers=evaluated.numbers,
        verdict=evaluated.verdict.value,
        sentence=evaluated.sentence,
        few=list(evaluated.few),
        rows=[
            ClaimRow(
                key=row.key,
                values=row.values,
                measure=row.measure,
                verdict=row.verdict.value,
                reason=row.reason or None,
            )
            for row in evaluated.rows
        ],
    )


# ------------------------------------------------------------------------------------- the pages


class _Pen:
    """What templates can ask for."""

    def __init__(
        self,
        evidence: Evidence,
        claims: Sequence[EvaluatedClaim],
        entries: Mapping[str, Entry],
    ) -> None:
        self.evidence = evidence
        self.claims = claims
        self.shown: set[FigureId] = set()
        self._numbers = {each.claim.claim_id: n for n, each in enumerate(claims, start=1)}
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=False,  # noqa: S701 - the pages are Markdown, and finalize escapes for it
            finalize=prose,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters["code"] = code
        self._environment.globals |= {
            "claim": self.claim,
            "figure": self.figure,
            "summary": self.summary,
            "cite": lambda *keys: cite(entries, *keys),
            "has": lambda name: SUMMARIES[name].source in evidence.rows,
            "absent": lambda name: ABSENT[SUMMARIES[name].source],
        }

    def page(self, page: PaperPage, **values: Any) -> str:
        """One page."""
        text = self._environment.get_template(f"{page.value}.j2").render(
            evidence=self.evidence,
            provenance=self.evidence.provenance,
            model=self.evidence.model,
            peer=self.evidence.peer,
            settings=self.evidence.settings,
            pages={each.name: Markdown(each.value) for each in PaperPage},
            names={
                "record": OUTPUT.RUN_RECORD_JSON,
                "claims": Markdown(OUTPUT.CLAIMS_JSON_BASENAME),
                "bibliography": Markdown(OUTPUT.REFERENCES_BIB_BASENAME),
            },
            const=CONST,
            facts=self._facts,
            **values,
        )
        return re.sub(r"\n{3,}", "\n\n", text)

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What several pages say in their own words."""
        evidence, settings = self.evidence, self.evidence.settings
        return {
            "verdicts": self._verdicts(),
            "n_claims": len(self.claims),
            "failing": self._list(Outcome.NOT_SUPPORTED),
            "open": self._list(Outcome.NOT_ASSESSABLE),
            "few": sum(bool(each.few) for each in self.claims),
            "thresholds": {
                adjacency.value: number(p_c) for adjacency, p_c in PERCOLATION_THRESHOLD.items()
            },
            "b_tot_at_threshold": [f"{2 * p_c:.3f}" for p_c in PERCOLATION_THRESHOLD.values()],
            "significance": SIGNIFICANCE,
            "d_ff": widths_words(evidence.model.d_ff),
            "peer_d_ff": widths_words(evidence.peer.d_ff) if evidence.peer else "",
            "n_curves": len(settings.targets) * len(settings.spike_defs),
            "a": {part.window_set: part.n for part in evidence.slices(DatasetRole.A)},
            "b": evidence.slices(DatasetRole.B),
            "questions": evidence.slices(DatasetRole.ARC_MCQ),
            "wikitext": any("wikitext" in part.source.lower() for part in evidence.data),
            "models": models_table([m for m in (evidence.model, evidence.peer) if m]),
            "data": data_table(evidence.data),
            "settings": settings_table(settings),
            "claims": claims_table(self.claims),
            "artifacts": artifacts_table(evidence.artifacts),
            "unchanged": self._unchanged(),
        }

    # ------------------------------------------------------------- asked for by name

    def claim(self, claim_id: str) -> Markdown:
        """A claim's sentence, with its number."""
        if claim_id not in self._numbers:
            raise SchemaError(f"no claim {claim_id!r}")
        n = self._numbers[claim_id]
        return Markdown(f"{prose(self.claims[n - 1].sentence)} {_claim_link(n)}")

    def figure(self, tag: str) -> Markdown:
        """A figure with its caption, or why there is none."""
        (figure,) = (each for each in FigureId if each.name.startswith(f"{tag}_"))
        caption = prose(CAPTIONS[figure])
        if figure not in self.evidence.figures:
            return Markdown(f"*Figure {tag} is not there: the run that draws it was not made.*")
        self.shown.add(figure)
        run = code(self.evidence.figures[figure])
        return Markdown(
            f"![Figure {tag}]({figure_file(figure)})\n\n*Figure {tag}.* {caption} From run {run}."
        )

    def summary(self, name: str) -> Markdown:
        """A table, with the run that it is from."""
        shown = SUMMARIES[name]
        run = code(self.evidence.run_ids[shown.source])
        lines = shown.markdown(self.evidence.rows[shown.source])
        return Markdown(f"From {code(shown.source.name)} of run {run}:\n\n{lines}")

    def _verdicts(self) -> str:
        counts = Counter(each.verdict for each in self.claims)
        words = ", ".join(f"{counts[each]} {verdict_words(each.value)}" for each in Outcome)
        return f"Of {len(self.claims)} claims: {words}"

    def _list(self, outcome: Outcome) -> Markdown:
        found = [n for n, each in enumerate(self.claims, start=1) if each.verdict is outcome]
        return Markdown(", ".join(map(_claim_link, found)) or "none")

    def _unchanged(self) -> list[str]:
        """The curves whose g* is 1, in words."""
        return [
            condition_words({name: row[name] for name in GSTAR.key})
            for row in self.evidence.rows[GSTAR]
            if row[str(GCondition.GSTAR)] == CONST.GAIN_BASELINE
        ]


def _claim_link(n: int) -> Markdown:
    return Markdown(f"[C{n}]({PaperPage.APPENDIX}#c{n})")


# ------------------------------------------------------------------------------------- the checks


def _check(paper: Paper) -> None:
    pages = paper.pages
    broken = broken_links(pages, [figure_file(figure) for figure in paper.figures])
    if broken:
        raise SchemaError(f"the paper has a link that leads nowhere: {broken[0]}")
    told = Counter(_CLAIM_LINK.findall(_told(pages[PaperPage.RESULTS])))
    for claim in paper.claims.claims:
        if claim.rows and told[f"c{claim.number}"] != 1:
            raise SchemaError(
                f"the results tell the claim {claim.claim_id} {told[f'c{claim.number}']} times"
            )


def _told(results: str) -> str:
    """The results, without the lists of claims by verdict at their end."""
    return "\n".join(line for line in results.splitlines() if not line.startswith("- "))


def broken_links(pages: Mapping[str, str], files: Iterable[str]) -> list[str]:
    """Relative links of pages that lead to no page, file or anchor.

    Args:
        pages: Markdown by file name.
        files: what lies beside the pages.
    """
    there = {*pages, *files, OUTPUT.CLAIMS_JSON_BASENAME, OUTPUT.REFERENCES_BIB_BASENAME}
    anchors = {f"{name}#{found}" for name, text in pages.items() for found in _ANCHOR.findall(text)}
    links = (
        (name, link)
        for name, text in pages.items()
        for link in _LINK.findall(text)
        if not link.startswith(_ELSEWHERE)
    )
    return [
        f"{name}: {link}" for name, link in links if link not in (anchors if "#" in link else there)
    ]
