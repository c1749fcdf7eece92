"""Subcommands about runs that are there: ``status``, ``show``, ``verify``, ``rm``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avalattice.canon import OUTPUT, StageTag
from avalattice.cli.app import app
from avalattice.cli.options import RUNS_DIR, DebugOption, JsonOption, RunsArgument
from avalattice.cli.output import emit, record_text, table
from avalattice.errors import ExitCode, InputError

if TYPE_CHECKING:
    from avalattice.store.verify import Verification


@app.command(rich_help_panel="Runs")
def status(
    runs_dir: RunsArgument = RUNS_DIR,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """List runs by stage, with their state and what each rests on."""
    from avalattice.errors import VerificationError
    from avalattice.store.record import read_record
    from avalattice.store.runs import RunStore

    store = RunStore(runs_dir)
    values: list[dict[str, Any]] = []
    order = [str(tag) for tag in StageTag]
    tagged = {run_id: run_id.split("_")[1] for run_id in store.run_ids()}
    for run_id in sorted(tagged, key=lambda name: [*order, tagged[name]].index(tagged[name])):
        try:
            record = read_record(store.folder(run_id))
        except VerificationError as error:
            values.append({"run_id": run_id, "status": "damaged", "reason": str(error)})
            continue
        values.append(
            {
                "run_id": run_id,
                "stage": record.stage_id,
                "status": record.status,
                "model_role": record.model.role if record.model else None,
                "created_utc": record.created_utc,
                "rests_on": [dependency.run_id for dependency in record.dependencies],
            }
        )
    rows = [
        (
            value["run_id"],
            value["status"],
            value.get("model_role") or "–",
            value.get("created_utc", "–"),
            " ".join(value.get("rests_on", [])) or "–",
        )
        for value in values
    ]
    columns = ("run", "state", "model role", "created", "rests on")
    text = table(f"{len(rows)} runs in {runs_dir}", *columns, rows=rows)
    emit(values, as_json=json_, text=text)


def store_and_id(run: str, runs_dir: Path) -> tuple[Any, str]:
    """The store and id of a run given by id or by path."""
    from avalattice.store.runs import RunStore

    path = Path(run)
    folder = path if path.parent != Path() or path.is_dir() else runs_dir / run
    if not folder.is_dir():
        raise InputError(f"{folder}: no such run (--runs-dir says where runs are)")
    return RunStore(folder.parent), folder.name


@app.command(rich_help_panel="Runs")
def show(
    run: Annotated[str, typer.Argument(help="Run id or path.")],
    runs_dir: RunsArgument = RUNS_DIR,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Show a run's record to a person."""
    from avalattice.store.record import read_record

    store, run_id = store_and_id(run, runs_dir)
    record = read_record(store.folder(run_id))
    emit(record.model_dump(mode="json"), as_json=json_, text=record_text(record))


@app.command(rich_help_panel="Runs")
def verify(
    place: Annotated[
        Path, typer.Argument(help="A folder of runs, one run, or a release: zip or folder.")
    ] = RUNS_DIR,
    deep: Annotated[bool, typer.Option("--deep", help="Hash the model's files anew too.")] = False,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Hash every artifact, check every schema, walk the dependencies; exit 2 on a fault."""
    from avalattice.schemas import ARTIFACT_SCHEMAS

    if place.is_file() or (place / OUTPUT.MANIFEST_SHA256).is_file():
        from avalattice.release_check import verify_release

        found = verify_release(place, schemas=ARTIFACT_SCHEMAS)
    elif place.is_dir():
        found = _verify_folder(place, deep=deep)
    else:
        raise InputError(f"{place}: no such folder or release")
    lines = [f"fault: {fault}" for fault in found.faults]
    lines += [f"incomplete: {run_id}" for run_id in found.incomplete]
    lines.append(f"{len(found.complete)} complete runs checked, {len(found.faults)} faults")
    emit(asdict(found), as_json=json_, text="\n".join(lines))
    if found.faults:
        raise typer.Exit(ExitCode.INPUT)


def _verify_folder(place: Path, *, deep: bool) -> Verification:
    from avalattice.deep import check_sources
    from avalattice.schemas import ARTIFACT_SCHEMAS
    from avalattice.store.runs import RunStore
    from avalattice.store.verify import verify_runs

    here = place.absolute()
    single = here.name.startswith("RUN_")
    store = RunStore(here.parent if single else place)
    if not store.run_ids():
        raise InputError(f"{place}: neither runs nor a release are there")
    return verify_runs(
        store,
        [here.name] if single else None,
        schemas=ARTIFACT_SCHEMAS,
        deep=check_sources if deep else None,
    )


@app.command("rm", rich_help_panel="Runs")
def remove(
    runs: Annotated[list[str] | None, typer.Argument(help="Run ids or paths.")] = None,
    incomplete: Annotated[bool, typer.Option("--incomplete", help="Every incomplete run.")] = False,
    dependents: Annotated[
        bool, typer.Option("--dependents", help="And every run that rests on them.")
    ] = False,
    runs_dir: RunsArgument = RUNS_DIR,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Remove runs, refusing those that others rest on."""
    from avalattice.store.runs import RunStore

    if bool(runs) == incomplete:
        raise InputError("name the runs to remove, or give --incomplete")
    store = RunStore(runs_dir)
    chosen = [Path(run).name for run in runs or ()]
    if runs and len({store_and_id(run, runs_dir)[0].root.resolve() for run in runs}) == 1:
        store = store_and_id(runs[0], runs_dir)[0]
    if incomplete:
        chosen = [run_id for run_id in store.run_ids() if store.status(run_id) == "incomplete"]
    if dependents:
        chosen = store.with_dependents(chosen)
    store.remove(chosen)
    typer.echo(f"removed {' '.join(chosen) or 'nothing'}")
