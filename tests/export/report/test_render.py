"""The report's HTML: nothing of a run becomes markup, everything is there, nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from avalattice.canon import ModelRole
from avalattice.export import schemas
from avalattice.export.report.content import Inputs, build_report
from avalattice.export.report.render import json_for_script, render_report
from avalattice.report import collect_report, newest_runs
from tests.export.report.conftest import HOSTILE, HOSTILE_PLACE, stored
from tests.export.report.html_outline import read_html
from tests.report_runs import Place

FOLDED = " ".join(HOSTILE.split())


def of_one_model(store) -> str:
    return render_report(collect_report(store, newest_runs(store))).decode()


# ----------------------------------------------------------------------------------- escaping


def test_text_of_runs_adds_no_element(tmp_path_factory, hostile_page):
    """Markup in names, sources, notes, tokens, reasons and tables leaves every element alone."""
    tokens = tuple("x" * len(token) for token in HOSTILE_PLACE.tokens)
    harmless = Place("m", "file:s", "n", tokens, text="t")
    plain_page = of_one_model(stored(tmp_path_factory, "harmless", place=harmless))
    assert read_html(hostile_page).outline() == read_html(plain_page).outline()


def test_text_of_runs_is_shown_as_it_is(hostile_page):
    """The same text is read where it stands: title, model, text, caution, table, config."""
    tree = read_html(hostile_page)
    for tag in ("title", "h1"):
        assert FOLDED in tree.find(tag)[0].text
    assert FOLDED[: FOLDED.index('"')] in tree.find("section", id="configuration")[0].text
    (summary,) = tree.find("section", id="summary")
    assert summary.text.count(FOLDED) >= 4
    assert any(FOLDED in cell.text for cell in tree.find("td", class_="text"))
    assert any(FOLDED in words.text for words in tree.find("span", class_="words"))


def test_an_unescaped_text_would_be_found(hostile_page):
    """Control: one text put in without escaping changes the outline."""
    escaped = read_html(hostile_page).find("h1")[0]
    raw = hostile_page.replace("<h1>", f"<h1>{'<b>x</b>'}", 1)
    assert read_html(raw).find("h1")[0].outline() != escaped.outline()


def test_script_data_holds_no_markup(hostile_page):
    """The JSON in the page has neither <, > nor &, nor line separators, and reads back whole."""
    (data,) = read_html(hostile_page).find("script", id="data")
    source = "".join(data.texts)
    assert re.search("[<>&\u2028\u2029]", source) is None
    assert json.loads(source)["models"][0]["windows"][0]["tokens"][0] == HOSTILE


@pytest.mark.parametrize(
    "text", ["</script>", "<!--", "]]>", "\u2028", "&lt;", "\\u003c", "\ud800"]
)
def test_json_for_script_reads_back(text):
    """What can end a script element, or break a line of it, is escaped, and is the same again."""
    source = json_for_script([text])
    assert source.isascii()
    assert re.search("[<>&]", source) is None
    assert json.loads(source) == [text]


# ---------------------------------------------------------------------------------- the policy


def test_only_the_page_s_own_script_and_style_are_allowed(page):
    """The content security policy allows nothing but the digests of both, and pictures in it."""
    tree = read_html(page)
    (policy,) = tree.find("meta", **{"http-equiv": "Content-Security-Policy"})
    script = "".join(next(e for e in tree.find("script") if not e.attributes).texts)
    style = "".join(tree.find("style")[0].texts)
    digests = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in (("script", script), ("style", style))
    }
    assert policy.attributes["content"] == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'sha256-{digests['style']}'; script-src 'sha256-{digests['script']}'"
    )


def test_nothing_is_fetched(page):
    """No attribute leads out of the page, no element has a style or handler of its own."""
    for element in _all(read_html(page)):
        for name, value in element.attributes.items():
            assert name != "style"
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "data", "action"):
                assert re.match("#|data:image/png;base64,", value or "")
    assert "innerHTML" not in page
    assert "@import" not in page


def _all(element):
    for child in element.children:
        yield child
        yield from _all(child)


# ------------------------------------------------------------------------------ what is there


def test_every_row_of_every_table_is_there(store, report, page):
    """Each exported table has as many rows in the page as its runs' files hold, and each value."""
    tree = read_html(page)
    for schema in (*schemas.TABLES, schemas.NULL_STATISTICS):
        shown = tree.find("details", id=schema.name)
        table = next((table for table in report.tables if table.id == schema.name), None)
        assert (table is None) == (not shown)
        if table is not None:
            (body,) = shown[0].find("table", class_="data few")[0].find("tbody")
            assert len(body.find("tr")) == len(table.rows)
            widths = {len(row.find("td")) for row in body.find("tr")}
            assert widths == {len(table.headings)}


def test_exact_values_are_behind_rounded_ones(page):
    """A T01 cell is shown short and holds the number that the run's table has."""
    table = read_html(page).find("details", id="T01_SUMMARY")[0].find("table", class_="data few")[0]
    names = [button.text for button in table.find("button")]
    cells = table.find("tbody")[0].find("tr")[0].find("td")
    exact = {n: c.attributes.get("title") or c.text for n, c in zip(names, cells, strict=True)}
    assert len(exact["b_tot_perm"]) > len(cells[names.index("b_tot_perm")].text)
    assert 0 < float(exact["b_tot_perm"]) < 1


def test_every_run_is_named_with_its_digests(store, page):
    """Run ids, record digests and artifact digests all stand in the page, in full."""
    text = read_html(page).find("section", id="pipeline")[0].text
    for run_id in newest_runs(store):
        reader = store.open(run_id)
        assert run_id in text
        assert reader.record.sha256 in text
        assert all(entry.sha256 in text for entry in reader.record.artifact_index.values())


def test_every_figure_is_there_for_each_model(report, page):
    """Four fabricated figures of two models are eight pictures, each with words for it."""
    pictures = read_html(page).find("section", id="figures")[0].find("img")
    assert len(pictures) == 8 == sum(len(figure.pictures) for figure in report.figures)
    assert all(picture.attributes["alt"] for picture in pictures)


def test_the_first_words_say_what_was_measured(page):
    """Models, windows and their text stand in the first sentence; each slice beside it."""
    (lede,) = read_html(page).find("p", class_="lede")
    assert lede.text.startswith(
        "Units of the MLPs of tiny and tiny, reading 16 windows of 12 tokens of file:corpus.txt:"
    )
    facts = read_html(page).find("dl", class_="brief measured")[0].text
    assert "Dataset A, held out 8 windows of 12 tokens few file:corpus.txt" in facts
    assert "Targets 0.4, 0.8 events per site" in facts


def test_verdicts_stand_in_words(page):
    """The summary says how many curves support what; each verdict's reason is in its table."""
    tree = read_html(page)
    text = tree.find("section", id="summary")[0].text
    assert "The data determine g* on 1 of 4 curves." in text
    assert "Supported: S1 on none, S2 on none, S3 on 4 of 4 curves." in text
    (verdicts,) = tree.find("table", class_="verdicts")
    assert len(verdicts.find("tr")) == 1 + 4 * len(ModelRole)
    for reason in ("S1_BRANCHING_CROSSING at 0.4", "S3_CRACKLING_RELATION at 0.8"):
        assert reason in verdicts.text


def test_links_lead_somewhere(page):
    """Every link within the page has its anchor, and no anchor stands twice."""
    elements = list(_all(read_html(page)))
    anchors = [e.attributes["id"] for e in elements if "id" in e.attributes]
    assert len(set(anchors)) == len(anchors)
    links = {e.attributes["href"] for e in elements if "href" in e.attributes}
    assert links <= {f"#{anchor}" for anchor in anchors}
    assert len(links) > 20


def test_a_report_on_nothing_is_a_page():
    """Without any result the page says so, and is well-formed."""
    tree = read_html(render_report(build_report(Inputs(records=[]))).decode())
    assert "no model" in tree.find("h1")[0].text
    assert "Nothing yet" in tree.find("section", id="summary")[0].text
    assert tree.find("section", id="pipeline")
    assert not tree.find("section", id="explorer")


# ----------------------------------------------------------------------------- bytes and size


def test_equal_runs_give_equal_bytes(store, page):
    """Collected and rendered anew, in another order, the page is the same byte for byte."""
    again = collect_report(store, list(reversed(newest_runs(store))))
    assert render_report(again).decode() == page


def test_no_present_time_stands_in_the_page(store, page):
    """The only times are those at which the runs began and ended."""
    records = [store.open(run_id).record for run_id in newest_runs(store)]
    known = {time for record in records for time in (record.created_utc, record.finished_utc)}
    assert set(re.findall(r"\d{4}-\d\d-\d\dT[\d:]{8}\+00:00", read_html(page).text)) == known


def test_the_page_is_small(page):
    """Two models of small runs take less than one megabyte."""
    assert len(page.encode()) < 1_000_000
