"""The report on a pipeline that has really run."""

from __future__ import annotations

import numpy as np

from avalattice.export.report.explorer import unpack_window
from avalattice.report import collect_report, newest_runs, report_html
from avalattice.results import open_run
from avalattice.stagetable import STAGES
from avalattice.store.runs import RunStore
from tests.stages.conftest import Workplace


def test_a_finished_pipeline_is_reported(finished_once: Workplace) -> None:
    """Every run, every choice of g*, and the held-out rasters themselves are in the report."""
    store = RunStore(finished_once.runs)
    report = collect_report(store, newest_runs(store))
    assert {run.run_id for run in report.runs} == set(store.run_ids())
    assert not {missing.title.split()[0] for missing in report.missing} & {str(t) for t in STAGES}
    assert len(report.curves) == 4
    rasters = open_run(finished_once.run("S03")).rasters()
    (model,) = report.explorer
    assert len(model.conditions) == len(rasters.A)
    for condition, A in zip(model.conditions, rasters.A, strict=True):
        windows = condition.rasters[0].windows
        shown = [unpack_window(window, *A.shape[1:]) for window in windows]
        assert np.array_equal(shown, A[: len(windows)])


def test_the_page_is_the_same_in_another_place(
    finished: Workplace, finished_once: Workplace
) -> None:
    """Copied elsewhere, the same runs give the same page."""
    pages = [
        report_html(newest_runs(store), store)
        for store in (RunStore(finished.runs), RunStore(finished_once.runs))
    ]
    assert pages[0] == pages[1]
