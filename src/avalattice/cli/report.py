"""The subcommand ``report``: one HTML file of what runs hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avalattice.canon import OUTPUT
from avalattice.cli.app import app
from avalattice.cli.options import RUNS_DIR, DebugOption, JsonOption, RunsArgument
from avalattice.cli.output import emit
from avalattice.cli.runs import store_and_id
from avalattice.errors import InputError


@app.command("report", rich_help_panel="Runs")
def report(
    run: Annotated[
        str | None, typer.Argument(help="Run id or path: that run and all that it rests on.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="The newest complete run of each stage and model.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path(
        OUTPUT.REPORT_HTML_BASENAME
    ),
    runs_dir: RunsArgument = RUNS_DIR,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Write an HTML report that works offline, and print its path."""
    from avalattice.export.report.render import render_report
    from avalattice.report import ALL_RUNS, collect_report, newest_runs
    from avalattice.store.files import make_folder, replace_atomically
    from avalattice.store.runs import RunStore

    if (run is None) is not all_:
        raise InputError("name the run to report on, or give --all")
    if run is None:
        store = RunStore(runs_dir)
        run_ids, asked = newest_runs(store), ALL_RUNS
    else:
        store, asked = store_and_id(run, runs_dir)
        run_ids = store.behind(asked)
    page = render_report(collect_report(store, run_ids, asked=asked))
    make_folder(out.absolute().parent)
    replace_atomically(out, page)
    value = {"path": str(out), "bytes": len(page), "run_ids": run_ids}
    emit(value, as_json=json_, text=str(out))
