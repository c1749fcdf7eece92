"""The stage subcommands, generated from the table of stages, and ``run`` and ``plan``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avalattice.canon import Command, DatasetRole, ModelRole
from avalattice.cli.app import app
from avalattice.cli.options import (
    DEFAULT_CONFIG,
    Asked,
    BatchOption,
    ConfigOption,
    DebugOption,
    DepOption,
    DeviceOption,
    DryOption,
    DtypeOption,
    JsonOption,
    ProgressName,
    ProgressOption,
    ResumeOption,
    RoleOption,
    RunsDirOption,
)
from avalattice.cli.output import emit, plan_table, table
from avalattice.cli.verdicts import verdict_lines
from avalattice.errors import ExitCode, InputError, RunExistsError
from avalattice.stagetable import STAGES, Stage

if TYPE_CHECKING:
    from avalattice.pipeline import Pipeline
    from avalattice.plan import Plan


def stage_named(command: str) -> Stage:
    """The stage of a subcommand or tag.

    Raises:
        InputError: there is no such stage.
    """
    for stage in STAGES.values():
        if command in (str(stage.command), str(stage.tag)):
            return stage
    known = ", ".join(f"{stage.tag} ({stage.command})" for stage in STAGES.values())
    raise InputError(f"no stage {command!r}; the stages are {known}")


@app.command(str(Command.PHASE0_VALIDATE_ENV), rich_help_panel="Stages")
def phase0_validate_env(
    config: ConfigOption = DEFAULT_CONFIG,
    model_role: RoleOption = ModelRole.INSTRUCT,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    batch_size: BatchOption = None,
    runs_dir: RunsDirOption = None,
    progress: ProgressOption = ProgressName.auto,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Check this machine, the model and its sites; time one window; print the plan."""
    from avalattice.plan import disk_bytes, make_plan
    from avalattice.stages.s00_validate_env import seconds_per_window, validate

    asked = Asked(config, model_role, device, dtype, batch_size, runs_dir, progress=progress)
    pipeline = asked.pipeline()
    session = pipeline.session
    checks = list(validate(session, disk_bytes=lambda: disk_bytes(session)))
    rows = [(check.name, "ok" if check.passed else "FAILED", check.detail) for check in checks]
    passed = all(check.passed for check in checks)
    value: dict[str, Any] = {"passed": passed, "checks": [asdict(check) for check in checks]}
    if not json_:
        text = table("Environment", "check", "result", "detail", rows=rows)
        emit(value, as_json=False, text=text)
    if passed:
        plan = make_plan(pipeline, seconds_per_window=seconds_per_window(session))
        value["plan"] = asdict(plan)
        if not json_:
            emit(value, as_json=False, text=plan_table(plan))
    if json_:
        emit(value, as_json=True, text="")
    if not passed:
        raise typer.Exit(ExitCode.INPUT)


def _run_stage(
    stage_command: str,
    asked: Asked,
    *,
    allow_resume: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    pipeline = asked.pipeline()
    stage = stage_named(stage_command)
    if dry_run:
        resolution = pipeline.resolve(stage)
        state = pipeline.session.store.status(resolution.run_id)
        text = f"{stage.command} would write {resolution.run_id} (now {state})"
        emit({"run_id": resolution.run_id, "status": state}, as_json=as_json, text=text)
        return
    run_id = pipeline.run(stage, allow_resume=allow_resume)
    folder = pipeline.session.store.folder(run_id)
    emit(
        {"run_id": run_id, "path": str(folder), "status": "complete"},
        as_json=as_json,
        text=f"{run_id} complete: {folder}",
    )


def _add_stage_command(command: str, summary: str) -> None:
    def stage_command(
        config: ConfigOption = DEFAULT_CONFIG,
        model_role: RoleOption = ModelRole.INSTRUCT,
        device: DeviceOption = None,
        dtype: DtypeOption = None,
        batch_size: BatchOption = None,
        runs_dir: RunsDirOption = None,
        dep: DepOption = None,
        allow_resume: ResumeOption = False,
        dry_run: DryOption = False,
        progress: ProgressOption = ProgressName.auto,
        json_: JsonOption = False,
        debug: DebugOption = False,  # noqa: ARG001 - read by main
    ) -> None:
        asked = Asked(config, model_role, device, dtype, batch_size, runs_dir, dep, progress)
        _run_stage(command, asked, allow_resume=allow_resume, dry_run=dry_run, as_json=json_)

    app.command(command, help=summary, rich_help_panel="Stages")(stage_command)


for _entry in STAGES.values():
    _add_stage_command(str(_entry.command), _entry.summary)


@app.command(rich_help_panel="Pipeline")
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    from_: Annotated[str | None, typer.Option("--from", help="First stage to run.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last stage to run.")] = None,
    roles: Annotated[str, typer.Option(help="Model roles, separated by commas.")] = str(
        ModelRole.INSTRUCT
    ),
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    batch_size: BatchOption = None,
    runs_dir: RunsDirOption = None,
    dep: DepOption = None,
    dry_run: DryOption = False,
    progress: ProgressOption = ProgressName.auto,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Run whatever is missing, in order, with one model load; incomplete runs are resumed.

    Of several model roles, each runs phases 1 to 6 before any paper is written: a paper compares
    them.
    """
    stages = _between(from_, to)
    pipelines = [
        Asked(config, role, device, dtype, batch_size, runs_dir, dep, progress).pipeline()
        for role in _roles(roles)
    ]
    if dry_run:
        for pipeline in pipelines:
            made = _make_plan(pipeline)
            emit(asdict(made), as_json=json_, text=plan_table(made))
        return
    finished: list[dict[str, str]] = []
    for half in _halves(stages):
        for pipeline in pipelines:
            for stage in half:
                finished += _finish(pipeline, stage, quiet=json_)
            pipeline.session.release_model()  # two models need not fit into memory together
    if json_:
        emit(finished, as_json=True, text="")
        return
    for pipeline in pipelines:
        typer.echo("\n" + "\n".join(verdict_lines(pipeline)))


def _halves(stages: list[Stage]) -> tuple[list[Stage], list[Stage]]:
    """The stages that look at one model alone, and those that compare the two."""
    first = [stage for stage in stages if not (stage.peer_inputs or stage.packs)]
    return first, [stage for stage in stages if stage not in first]


def _finish(pipeline: Pipeline, stage: Stage, *, quiet: bool) -> list[dict[str, str]]:
    """Run a stage unless it is complete or not configured, and say so."""
    say = pipeline.session.reporter.say if quiet else typer.echo
    if lacking := pipeline.unconfigured(stage):
        say(_skipped(stage, lacking))
        return []
    run_id, state = _run_if_missing(pipeline, stage)
    folder = str(pipeline.session.store.folder(run_id))
    if not quiet:
        typer.echo(f"{run_id} {state}: {folder}")
    return [{"stage": str(stage.command), "run_id": run_id, "path": folder}]


def _skipped(stage: Stage, lacking: list[DatasetRole]) -> str:
    keys = " and ".join(f"data.{role}" for role in lacking)
    return f"{stage.command} skipped: the configuration has no {keys}"


def _run_if_missing(pipeline: Pipeline, stage: Stage) -> tuple[str, str]:
    try:
        return pipeline.run(stage, allow_resume=True), "complete"
    except RunExistsError:
        state, run_id = pipeline.status(stage)
        if state != "complete" or run_id is None:
            raise
        return run_id, "was complete"


def _between(first: str | None, last: str | None) -> list[Stage]:

    stages = list(STAGES.values())
    start = stages.index(stage_named(first)) if first else 0
    stop = stages.index(stage_named(last)) + 1 if last else len(stages)
    if stop <= start:
        raise InputError(f"--from {first} comes after --to {last}")
    return stages[start:stop]


def _roles(text: str) -> list[ModelRole]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in list(ModelRole)]
    if unknown:
        raise InputError(f"--roles {text}: use {' or '.join(ModelRole)}, not {unknown[0]!r}")
    return [ModelRole(name) for name in names]


def _make_plan(pipeline: Pipeline) -> Plan:
    from avalattice.plan import make_plan

    return make_plan(pipeline)


@app.command(rich_help_panel="Pipeline")
def plan(
    config: ConfigOption = DEFAULT_CONFIG,
    model_role: RoleOption = ModelRole.INSTRUCT,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    batch_size: BatchOption = None,
    runs_dir: RunsDirOption = None,
    dep: DepOption = None,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Say what would run: forward passes, time, memory and disk, without running."""
    asked = Asked(config, model_role, device, dtype, batch_size, runs_dir, dep, ProgressName.none)
    made = _make_plan(asked.pipeline())
    emit(asdict(made), as_json=json_, text=plan_table(made))
