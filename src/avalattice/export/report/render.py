"""The report as one HTML file that works offline.

Every string goes through the template's escaping; the script's data stands in the page as JSON in
which no character can end the element that holds it. The content security policy lets run the one
script and the one style sheet that the page was made with, by their digests, and lets nothing be
fetched. The bytes follow from the content: there is no present time.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from avalattice.canon import PATH, PROJECT_ID, RunSubdir
from avalattice.export.report.content import Report
from avalattice.export.report.explorer import payload
from avalattice.export.report.wording import BRIEF_GLOSSARY, GLOSSARY, QUESTIONS

_TEMPLATES: Final = "templates"
_PAGE: Final = "page.html.j2"
_STYLE: Final = "page.css"
_SCRIPTS: Final = ("lattice.js", "tables.js", "explorer.js", "page.js")
_IN_MARKUP: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render_report(report: Report) -> bytes:
    """The report's HTML, in UTF-8."""
    environment = Environment(
        loader=PackageLoader(__package__ or "", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    style = _asset(_STYLE) + _leading_columns(report)
    script = "".join(_asset(name) for name in _SCRIPTS)
    page = environment.get_template(_PAGE).render(
        report=report,
        project=PROJECT_ID,
        runs_dir=PATH.RUNS_DIR,
        questions=QUESTIONS,
        glossary=GLOSSARY,
        brief_glossary=BRIEF_GLOSSARY,
        sections=tuple(_sections(report)),
        # package data, trusted; the policy allows exactly these bytes
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=_policy(style, script),
        data=Markup(json_for_script(payload(report.explorer))),  # noqa: S704
    )
    return page.encode("utf-8", errors="backslashreplace")


def _sections(report: Report) -> Iterator[tuple[str, str]]:
    """Anchor and title of each section that the page has."""
    yield "summary", "Summary"
    if report.curves:
        yield "verdicts", "Verdicts"
    if report.explorer:
        yield "explorer", "Explorer"
    if report.figures:
        yield "figures", "Figures"
    if report.tables:
        yield str(RunSubdir.TABLES), "Tables"
    yield "pipeline", "Pipeline"
    yield "configuration", "Configuration"
    yield "glossary", "Words"


def _leading_columns(report: Report) -> str:
    """The rules that hide each table's further columns, where a script can show them again."""
    rules = (
        f'.few[data-leads="{n}"] tr>:nth-child(n+{n + 1}){{display:none}}'
        for n in sorted({table.n_leads for table in report.tables})
    )
    return f"@media (scripting: enabled){{{''.join(rules)}}}\n"


def json_for_script(value: Any) -> str:
    r"""JSON that can stand in a script element: ASCII, and without markup characters.

    >>> print(json_for_script({"</script>": "ü"}))
    {"\u003c/script\u003e":"\u00fc"}
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(_IN_MARKUP)


def _asset(name: str) -> str:
    return (files(__package__ or "") / _TEMPLATES / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """What the browser may load: the page's own style and script, and pictures in it."""
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src '{_source(style)}'; script-src '{_source(script)}'"
    )


def _source(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
