"""The pages: links that lead somewhere, text that no name breaks, and nothing said beforehand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files

import pytest
from markdown_it import MarkdownIt

from avalattice.canon import CONST, FigureId, PaperPage
from avalattice.errors import SchemaError
from avalattice.export.documents import ClaimsDocument, parse_document
from avalattice.export.paper import sections, sources
from avalattice.export.paper.sections import broken_links, evaluate_all, write_paper
from avalattice.export.paper.summaries import SUMMARIES
from avalattice.export.report.columns import TABLE_WORDS
from avalattice.store.digests import canonical_json
from tests.export.paper.fabricated import (
    ARTIFACTS,
    DATA,
    DATA_6,
    SETTINGS,
    evidence,
    gstar_document,
    model,
    signatures_document,
)

ODD = "a|b *c* <i>d</i> `e` [f](g) \\ # $h$\n- i"
PEER = model(id="Other-60M", role="BASE", family="qwen2", d_ff=(512,) * 8, n_layers=8)


def parsed(markdown: str) -> list:
    return MarkdownIt("commonmark").enable("table").parse(markdown)


def results(**case) -> str:
    return write_paper(evidence(**case)).pages["03_results.md"]


# --------------------------------------------------------------------------------- the pages


def test_pages_files_and_figures():
    """Eight pages, and every figure where both parts of phase 6 were run."""
    paper = write_paper(evidence())
    assert list(paper.pages) == list(PaperPage)
    assert len(paper.pages) == 8
    assert paper.figures == tuple(FigureId)
    assert all(text.startswith("# ") and text.endswith("\n") for text in paper.pages.values())


def test_the_same_evidence_gives_the_same_bytes():
    """Nothing but the evidence enters: no time, no order of sets, no memory of another paper."""
    first, other, again = (write_paper(e) for e in (evidence(), evidence(peer=PEER), evidence()))
    assert first == again
    assert first.pages != other.pages


def test_claims_are_canonical_json_and_read_back():
    """claims.json holds no NaN, fits its schema, and says of each claim what the issue asks."""
    document = write_paper(evidence(peer=PEER)).claims
    text = canonical_json(document.model_dump(mode="json"))
    assert parse_document(ClaimsDocument, json.loads(text), "claims.json") == document
    assert [claim.number for claim in document.claims] == list(range(1, len(document.claims) + 1))
    assert len({claim.claim_id for claim in document.claims}) == len(document.claims)
    for claim in document.claims:
        assert claim.run_id is not None
        assert claim.numbers["n_rows"] == len(claim.rows) > 0
        assert claim.statement
        assert claim.sentence


def test_a_claim_can_be_repeated_from_its_entry():
    """Filter, columns and rows of an entry are those of the table that it names."""
    given = evidence(peer=PEER)
    for claim in write_paper(given).claims.claims:
        (source,) = (
            s
            for s in given.rows
            if (s.name, s.derivation or None) == (claim.table, claim.derivation)
        )
        picked = [
            row
            for row in given.rows[source]
            if any(all(row[k] == v for k, v in equal.items()) for equal in claim.filter)
        ]
        assert [row.values for row in claim.rows] == [
            {name: row[name] for name in claim.columns} for row in picked
        ]


def test_every_run_of_an_artifact_is_listed_with_hash_and_digest():
    """The list of artifacts has run id, configuration hash, name and sha256 of each."""
    (line,) = [
        line
        for line in write_paper(evidence()).pages["appendix.md"].splitlines()
        if "results/metrics.parquet" in line
    ]
    (artifact,) = ARTIFACTS
    for text in (artifact.run_id, artifact.config_hash, artifact.name, artifact.sha256):
        assert f"`{text}`" in line


def test_few_windows_are_said_where_they_are_and_nowhere_else():
    """The flag of a table's rows reaches the sentence and the limitations."""
    few = evidence({sources.NULLS: lambda row: {"few_windows": True}})
    enough = evidence(
        {s: lambda row: {"few_windows": False} for s in (sources.SUMMARY, sources.ABLATIONS)},
        gstar=gstar_document(few_windows=False),
    )
    told = {e.claim.claim_id: e.sentence for e in evaluate_all(few)}
    assert told["order_time"].endswith(" (Few windows.)")
    pages = write_paper(enough).pages
    assert "Few windows" not in pages["03_results.md"]
    assert "fewer than 20 windows" not in pages["04_limitations.md"]
    assert "fewer than 20 windows" in write_paper(few).pages["04_limitations.md"]


@pytest.mark.parametrize("name", SUMMARIES)
def test_tables_show_the_flag_of_their_rows(name):
    """Intervals from too few windows or questions are flagged below the table, and only those."""
    shown = SUMMARIES[name]
    rows = evidence(peer=PEER).rows[shown.source]
    flags = {"few_windows", "few_questions"} & set(shown.source.columns)
    for is_few in (False, True):
        text = shown.markdown([row | dict.fromkeys(flags, is_few) for row in rows])
        for flag in ("few_windows", "few_questions"):
            note = f"\n\n*{flag.replace('_', ' ').capitalize()}: fewer than {CONST.FEW_WINDOWS}, "
            assert (note in text) == (is_few and flag in flags)


def test_a_flag_of_rows_that_are_not_shown_is_not_shown():
    """The grid's rows do not flag a table of held-out windows."""
    rows = evidence().rows[sources.SUMMARY]
    assert {row["window_set"] for row in rows if row["few_windows"]} == {"calibration"}
    assert "Few windows" not in SUMMARIES["branching"].markdown(rows)


@pytest.mark.parametrize("name", SUMMARIES)
def test_tables_give_gains_with_every_digit(name):
    """A gain of 1.025 is not 1.02 in any column; other numbers have three digits."""
    shown = SUMMARIES[name]
    gains = {"g", "gain", "gstar", "gstar_base", "gstar_instruct"} & set(shown.source.columns)
    rows = [row | dict.fromkeys(gains, 1.025) for row in evidence(peer=PEER).rows[shown.source]]
    told = shown.markdown(rows).splitlines()[2].split(" | ")
    assert told.count("1.025") == len(gains)
    assert "1.02" not in told


# ------------------------------------------------------------------------ nothing said beforehand


def test_no_sentence_of_results_survives_other_data():
    """With every verdict turned round, no sentence about a result is told by both papers."""

    def worse(row: dict) -> dict:
        names = ("delta_b_time", "delta_b_depth_shift", "chi")
        p_adj = {f"{name}_p_adj": 0.9 for name in names[:2]}
        ends = {f"opt_{name}_ci_low": -1.0 for name in names}
        rates = {"achieved_rate_max_event_err": 3.0, "achieved_rate_mean": 0.5, "b_tot": row["g"]}
        return {**p_adj, **ends, **rates}

    def sentences(**case) -> set[str]:
        return {line for line in results(**case).splitlines() if re.search(r"\[C\d+\]", line)}

    good = sentences(gstar=gstar_document(identifiable=True, reason=None, crossing=0.9))
    bad = sentences(
        changes={
            sources.SUMMARY: worse,
            sources.NULLS: lambda row: {
                "delta_b_time_token_id": -0.5,
                "delta_b_depth_token_id": -0.5,
                "delta_excess_time_ci_low": -0.5,
                "delta_excess_depth_ci_low": -0.5,
            },
            sources.TAILS: lambda row: {"status": "not_assessable", "reason": "too short"},
            sources.CRACKLING: lambda row: {"pass": False, "reason": "no span"},
            sources.ABLATIONS: lambda row: {"delta_b_depth_shift_ci_low": -1.0, "b_tot": row["g"]},
            sources.GENERALIZATION: lambda row: {
                "achieved_rate_mean": row["target_rate"],
                "delta_b_depth_shift_ci_low": -1.0,
                "b_tot": row["g"],
                "b_tot_diff_ci_low": -1.0,
                "ppl_diff_ci_low": -1.0,
            },
            sources.CHOICES: lambda row: {"accuracy_ci_low": 0.9, "p_adj": 0.001},
        },
        gstar=gstar_document(slope=0.5, slope_ci_low=0.4, slope_ci_high=0.6),
        signatures=signatures_document("supported", near=True),
    )
    assert good & bad == set()
    assert len(good) == len(bad) > 30


def test_the_results_have_no_prose_of_their_own_but_this():
    """Whatever else the results say comes from claims, tables and captions."""
    template = files(sections.__package__).joinpath("templates/03_results.md.j2")
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "_", template.read_text(encoding="utf-8"))
    prose = [line for line in text.splitlines() if re.search("[a-z]", line) and line[0] != "#"]
    assert prose == [
        (
            "Shuffled input meets the thresholds of real input, so that it fires at rates of its "
            "own (they stand in the first table), and part of the difference may be one of rates."
        ),
        (
            "A surplus over a null is no proof of propagation: [Limitations](_) says what each "
            "null cannot remove."
        ),
        "On _ of _ curves g\\* is 1, so that there is nothing to compare (_).",
        "Fits, exponents and profiles stand in the [appendix](_).",
        *["Nothing can be said: _."] * 2,
        "_ has _ layers of _ MLP units, _ _ of _: neither is the tuned form of the other.",
        "Each number stands in the [appendix](_).",
        "Nothing can be said: _.",
        "- Not supported: _.",
        "- Not assessable: _.",
    ]


def test_templates_name_no_verdict():
    """What is supported and what is not is said by claims alone."""
    folder = files(sections.__package__).joinpath("templates")
    words = re.compile(r"\b(we found|was found|is shown|shows that|confirms?|criticality)\b")
    for template in folder.iterdir():
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", template.read_text(encoding="utf-8"))
        allowed = {"criticality"} if template.name.startswith("04_") else set()
        assert set(words.findall(text)) <= allowed, template.name


# --------------------------------------------------------------------------- what is not there


def test_without_phase_6_the_paper_says_so():
    """Neither its claims nor its figures are told, and no link is broken."""
    paper = write_paper(evidence(phase_6=False))
    told = paper.pages["03_results.md"]
    assert "Nothing can be said: phase 6 was not run on Dataset B" in told
    assert "Nothing can be said: phase 6 was not run on questions" in told
    assert {FigureId.F06_GENERALIZATION_B, FigureId.F07_ARC_MCQ}.isdisjoint(paper.figures)
    absent = {c.claim_id: c for c in paper.claims.claims if c.run_id is None}
    assert {"b_perplexity", "choices_letter_chance", "replication_depth"} <= set(absent)
    assert all(c.verdict == "not_assessable" and not c.rows for c in absent.values())


def test_a_missing_figure_is_told_instead_of_linked():
    """A figure that no run holds is said to be missing."""
    given = evidence()
    fewer = {f: run for f, run in given.figures.items() if f is not FigureId.F05_GSTAR_SELECTION}
    paper = write_paper(replace(given, figures=fewer))
    assert "Figure F05 is not there" in paper.pages["03_results.md"]
    assert FigureId.F05_GSTAR_SELECTION not in paper.figures


def test_without_the_other_model_there_is_no_replication():
    """T07's section says why it is empty; with the other model it has its table."""
    assert (
        "Nothing can be said: no complete phase 5 of the other model role with this configuration "
        "was at hand." in results()
    )
    paper = write_paper(evidence(peer=PEER))
    assert "T07_REPLICATION_SUMMARY" in paper.pages["appendix.md"]
    assert "The two models are not of one architecture family" in paper.pages["03_results.md"]
    assert "not of one architecture family" in paper.pages["00_abstract.md"]


def test_models_of_one_family_and_another_shape_are_told_apart():
    """A base model and its tuned form have one shape; where it differs, the paper says so."""
    words = "neither is the tuned form of the other"
    assert words in results(peer=replace(PEER, family="llama"))
    assert words not in results(peer=model(id="Base", role="BASE"))


# -------------------------------------------------------------------------- what must be told


def test_limitations_depend_on_what_was_used():
    """De-quantised and untrained weights, and a second corpus, are named where they are used."""
    pages = write_paper(evidence()).pages["04_limitations.md"]
    assert "weights de-quantised from GGUF" in pages
    assert "No other text was looked at" not in pages
    other = evidence(phase_6=False, model=model(note=None, random_init=True))
    pages = write_paper(other).pages["04_limitations.md"]
    assert "de-quantised" not in pages
    assert "drawn at random" in pages
    assert "No other text was looked at" in pages


def test_the_convention_and_the_thresholds_are_named():
    """b_tot = 1 is a convention; where independent sites percolate is said beside it."""
    limits = write_paper(evidence()).pages["04_limitations.md"]
    assert "`b_tot = 1` is a convention" in limits
    assert "1.185" in limits
    assert "0.815" in limits


def test_the_pages_say_which_windows_claims_rest_on():
    """The grid and interventions rest on the calibration windows, and no page says otherwise."""
    pages = write_paper(evidence()).pages
    assert (
        "16 calibration windows, which give the thresholds, the curves against g"
        in (pages["00_abstract.md"])
    )
    assert "all else rests on the held-out windows" in pages["00_abstract.md"]
    assert "interventions rest on them too" in pages["02_experiments.md"]
    for text in (*pages.values(), TABLE_WORDS["T01_SUMMARY"].caption):
        assert not re.search(r"everything else on|claims rest on (these|\d+ other)", text)


def test_settings_reach_the_text():
    """What was configured is what the method and the experiments say."""
    settings = replace(SETTINGS, tau0=3.25, null_replicates=77, denominator="all_sites")
    pages = write_paper(evidence(settings=settings)).pages
    assert "above 3.25 at g = 1" in pages["01_method.md"]
    assert "R = 77 draws" in pages["01_method.md"]
    assert "divided by Σ X instead" in pages["01_method.md"]
    assert "| tau0 | 3.25 |" in pages["02_experiments.md"]
    assert f"under {CONST.FEW_WINDOWS}" not in pages["01_method.md"]


# ------------------------------------------------------------------------------ names of others


def test_odd_names_break_no_page():
    """Pipes, markup and line feeds in names leave every table and every paragraph whole."""
    data = tuple(replace(part, source=ODD, revision=ODD) for part in (*DATA, *DATA_6))
    plain = write_paper(evidence(peer=PEER)).pages
    odd = write_paper(
        evidence(
            {sources.TAILS: lambda row: {"reason": ODD if row["reason"] else None}},
            peer=replace(PEER, id=ODD, note=ODD),
            model=model(id=ODD, source=ODD, note=ODD),
            data=data,
            gstar=gstar_document(reason=ODD),
        )
    ).pages
    for name, text in odd.items():
        kinds = [token.type for token in parsed(text)]
        assert kinds == [token.type for token in parsed(plain[name])], name
        tags = [
            child.content
            for token in parsed(text)
            for child in token.children or ()
            if child.type == "html_inline"
        ]
        assert all(tag.startswith(("<a id=", "</a>")) for tag in tags), name


def test_odd_names_are_shown_as_they_are():
    """A reader of the index sees the model's name, on one line."""
    heading = parsed(write_paper(evidence(model=model(id=ODD))).pages["README.md"])[1]
    shown = "".join(child.content for child in heading.children)
    assert shown == f"Activation avalanches in {' '.join(ODD.split())}"


# --------------------------------------------------------------------------------- the checks


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](there.md)", []),
        ("![a](figs/there.png) and [b](claims.json)", []),
        ("[a](there.md#anchor)", []),
        ("[a](https://doi.org/10.1/x)", []),
        ("[a](gone.md)", ["here.md: gone.md"]),
        ("[a](there.md#gone)", ["here.md: there.md#gone"]),
        ("![a](figs/gone.png)", ["here.md: figs/gone.png"]),
    ],
)
def test_broken_links_are_found(text, broken):
    """Pages, files and anchors are there or reported; other sites are not looked at."""
    pages = {"here.md": text, "there.md": '<a id="anchor"></a>'}
    assert broken_links(pages, ["figs/there.png"]) == broken


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("claim", lambda pen: pen.claim("no_such_claim"), "no claim 'no_such_claim'"),
        ("figure", None, "leads nowhere"),
        ("told", None, "the results tell the claim rates_in_sample 0 times"),
    ],
)
def test_a_template_that_asks_for_what_is_not_there_is_refused(monkeypatch, name, change, message):
    """An unknown claim, a link to a file that is not written, and a claim left out, are errors."""
    plain = sections._Pen.page

    def page(pen, which, **values):
        text = plain(pen, which, **values)
        if which.value == "03_results.md":
            if change is not None:
                change(pen)
            if name == "figure":
                return f"{text}\n![x](figs/no_such.png)\n"
            if name == "told":
                return text.replace("[C1](appendix.md#c1)", "")
        return text

    monkeypatch.setattr(sections._Pen, "page", page)
    with pytest.raises(SchemaError, match=message):
        write_paper(evidence())
