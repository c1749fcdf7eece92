"""Fabricated runs and the report on them, made once."""

from __future__ import annotations

import os

import pytest

from avalattice.canon import ModelRole
from avalattice.export.report.content import Report
from avalattice.export.report.render import render_report
from avalattice.report import collect_report, newest_runs
from avalattice.store.runs import RunStore
from tests.report_runs import Place, fabricate

HOSTILE = (
    '</script></title></style>--><script>hit=1</script><img src=x onerror="hit=1">\u2028'
    "\"' & {{ 7 * 7 }} {% raw %} <b>bold</b>"
)
"""Text that would end, or begin, an element or an attribute."""
HOSTILE_PLACE = Place(
    model_id=HOSTILE, source=f"file:{HOSTILE}", note=HOSTILE, tokens=(HOSTILE, "a"), text=HOSTILE
)


def stored(tmp_path_factory, name: str, **options) -> RunStore:
    """A store of fabricated runs."""
    store = RunStore(tmp_path_factory.mktemp(name) / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # no power fails here
        fabricate(store, **options)
    return store


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> RunStore:
    """Every stage of two models."""
    return stored(tmp_path_factory, "two", roles=tuple(ModelRole))


@pytest.fixture(scope="session")
def report(store) -> Report:
    """The report on two models."""
    return collect_report(store, newest_runs(store))


@pytest.fixture(scope="session")
def page(report) -> str:
    """Its HTML."""
    return render_report(report).decode()


@pytest.fixture(scope="session")
def hostile_store(tmp_path_factory) -> RunStore:
    """Every stage of one model whose every text holds markup."""
    return stored(tmp_path_factory, "hostile", place=HOSTILE_PLACE)


@pytest.fixture(scope="session")
def hostile_page(hostile_store) -> str:
    """The HTML of the report on it."""
    return render_report(collect_report(hostile_store, newest_runs(hostile_store))).decode()
