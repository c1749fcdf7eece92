"""The command line: one subcommand for each stage of :data:`avalattice.pipeline.STAGES`, and more.

Nothing heavy is imported before it is needed, so that ``--help`` answers at once. Standard output
carries results, standard error everything else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from avalattice import __version__, canon
from avalattice.canon import OUTPUT, Command, ModelRole, RunSubdir, StageTag
from avalattice.errors import (
    AvalatticeError,
    ConfigError,
    ExitCode,
    InputError,
    ResourceError,
    RunExistsError,
)
from avalattice.stagetable import STAGES, Stage

if TYPE_CHECKING:
    from rich.table import Table

    from avalattice.pipeline import Pipeline
    from avalattice.plan import Plan
    from avalattice.stages.session import Session
    from avalattice.store.record import RunRecord

_PIPE_WIDTH = 240
DEFAULT_CONFIG = Path(canon.PATH.CONFIGS_DIR) / "pipeline.yaml"

app = typer.Typer(
    name=canon.PROJECT_ID,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure activation avalanches in language models, on a store of immutable runs.",
    epilog="Exit codes: 0 done, 1 unexpected, 2 invalid input, 3 missing dependency, 4 run exists, "
    "5 resources, 130 interrupted.",
)


class DeviceName(StrEnum):
    """Devices that can be asked for."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class DtypeName(StrEnum):
    """Precisions that can be asked for."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class ProgressName(StrEnum):
    """Ways to show progress."""

    auto = "auto"
    bar = "bar"
    log = "log"
    json = "json"
    none = "none"


ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")]
RoleOption = Annotated[ModelRole, typer.Option(help="Which of the two configured models.")]
DeviceOption = Annotated[DeviceName | None, typer.Option(help="Overrides compute.device.")]
DtypeOption = Annotated[DtypeName | None, typer.Option(help="Overrides compute.dtype.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Overrides compute.batch_size.")]
RunsDirOption = Annotated[
    Path | None, typer.Option(help="Overrides execution.runs_dir.", show_default=False)
]
DepOption = Annotated[
    list[str] | None, typer.Option("--dep", help="Use this run as upstream; repeatable.")
]
ResumeOption = Annotated[bool, typer.Option("--allow-resume", help="Finish an incomplete run.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would run, and stop.")]
ProgressOption = Annotated[ProgressName, typer.Option(help="How to show progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Results as JSON.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]


# ------------------------------------------------------------------------------------- helpers


@dataclass(frozen=True)
class _Asked:
    """The options that decide a session."""

    config: Path
    role: ModelRole = ModelRole.INSTRUCT
    device: DeviceName | None = None
    dtype: DtypeName | None = None
    batch_size: int | None = None
    runs_dir: Path | None = None
    dep: list[str] | None = None
    progress: ProgressName = ProgressName.auto

    def session(self) -> Session:
        from avalattice.config import load
        from avalattice.progress import Reporter
        from avalattice.stages.session import Session

        overrides = {
            "compute.device": self.device and str(self.device),
            "compute.dtype": self.dtype and str(self.dtype),
            "compute.batch_size": self.batch_size,
            "execution.runs_dir": self.runs_dir and str(self.runs_dir),
        }
        return Session(
            load(self.config, overrides=overrides),
            self.role,
            config_path=self.config,
            reporter=Reporter(self.progress.value),
        )

    def pipeline(self) -> Pipeline:
        from avalattice.pipeline import Pipeline

        return Pipeline(self.session(), tuple(self.dep or ()))


def _emit(value: Any, *, as_json: bool, text: str | Table) -> None:
    """Print a result: JSON for programs, text or a table for people."""
    if as_json:
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
    elif isinstance(text, str):
        typer.echo(text)
    else:
        from rich.console import Console

        # a pipe has no width: let lines be as long as they are
        Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(text)


def _table(title: str, *columns: str, rows: Sequence[tuple[str, ...]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _plan_table(plan: Plan) -> Table:
    rows = [
        (s.command, s.state, s.run_id or "–", str(s.forward_windows), f"{s.seconds / 60:.1f}")
        for s in plan.stages
    ]
    title = (
        f"{plan.missing_seconds / 60:.1f} minutes to run ({plan.seconds_per_window:.2f} s a window,"
        f" {plan.basis}); memory {plan.memory_bytes / 2**30:.1f} GiB, "
        f"disk {plan.disk_bytes / 2**20:.0f} MiB"
    )
    columns = ("stage", "state", "run", "forward windows", "minutes")
    return _table(title, *columns, rows=rows)


def _stage(command: str) -> Stage:
    """The stage of a subcommand or tag.

    Raises:
        InputError: there is no such stage.
    """
    for stage in STAGES.values():
        if command in (str(stage.command), str(stage.tag)):
            return stage
    known = ", ".join(f"{stage.tag} ({stage.command})" for stage in STAGES.values())
    raise InputError(f"no stage {command!r}; the stages are {known}")


# ------------------------------------------------------------------------------ stage commands


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

    asked = _Asked(config, model_role, device, dtype, batch_size, runs_dir, progress=progress)
    pipeline = asked.pipeline()
    session = pipeline.session
    checks = list(validate(session, disk_bytes=lambda: disk_bytes(session)))
    rows = [(check.name, "ok" if check.passed else "FAILED", check.detail) for check in checks]
    passed = all(check.passed for check in checks)
    value: dict[str, Any] = {"passed": passed, "checks": [asdict(check) for check in checks]}
    if not json_:
        table = _table("Environment", "check", "result", "detail", rows=rows)
        _emit(value, as_json=False, text=table)
    if passed:
        plan = make_plan(pipeline, seconds_per_window=seconds_per_window(session))
        value["plan"] = asdict(plan)
        if not json_:
            _emit(value, as_json=False, text=_plan_table(plan))
    if json_:
        _emit(value, as_json=True, text="")
    if not passed:
        raise typer.Exit(ExitCode.INPUT)


def _run_stage(
    stage_command: str,
    asked: _Asked,
    *,
    allow_resume: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    pipeline = asked.pipeline()
    stage = _stage(stage_command)
    if dry_run:
        resolution = pipeline.resolve(stage)
        state = pipeline.session.store.status(resolution.run_id)
        text = f"{stage.command} would write {resolution.run_id} (now {state})"
        _emit({"run_id": resolution.run_id, "status": state}, as_json=as_json, text=text)
        return
    run_id = pipeline.run(stage, allow_resume=allow_resume)
    folder = pipeline.session.store.folder(run_id)
    _emit(
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
        asked = _Asked(config, model_role, device, dtype, batch_size, runs_dir, dep, progress)
        _run_stage(command, asked, allow_resume=allow_resume, dry_run=dry_run, as_json=json_)

    app.command(command, help=summary, rich_help_panel="Stages")(stage_command)


for _entry in STAGES.values():
    _add_stage_command(str(_entry.command), _entry.summary)


# --------------------------------------------------------------------------- pipeline commands


@app.command(rich_help_panel="Pipeline")
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    from_: Annotated[str | None, typer.Option("--from", help="First stage to run.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last stage to run.")] = None,
    roles: Annotated[str, typer.Option(help="Model roles, separated by commas.")] = "INSTRUCT",
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
    """Run whatever is missing, in order, with one model load; incomplete runs are resumed."""
    stages = _between(from_, to)
    finished: list[dict[str, str]] = []
    for role in _roles(roles):
        asked = _Asked(config, role, device, dtype, batch_size, runs_dir, dep, progress)
        pipeline = asked.pipeline()
        if dry_run:
            plan_of_role = _make_plan(pipeline)
            _emit(asdict(plan_of_role), as_json=json_, text=_plan_table(plan_of_role))
            continue
        for stage in stages:
            run_id, state = _run_if_missing(pipeline, stage)
            folder = str(pipeline.session.store.folder(run_id))
            finished.append({"stage": str(stage.command), "run_id": run_id, "path": folder})
            if not json_:
                typer.echo(f"{run_id} {state}: {folder}")
        if not json_ and not dry_run:
            typer.echo(_words(pipeline))
    if json_ and not dry_run:
        _emit(finished, as_json=True, text="")


def _words(pipeline: Pipeline) -> str:
    """What was found, as far as the pipeline has come, in words."""
    from avalattice.export.documents import GStarDocument, read_document

    state, run_id = pipeline.status(STAGES[StageTag.S02B])
    if state != "complete" or run_id is None:
        return "g* is not chosen yet"
    reader = pipeline.session.store.open(run_id)
    path = reader.path(f"{RunSubdir.RESULTS}/{OUTPUT.GSTAR_JSON_BASENAME}")
    document = read_document(path, GStarDocument)
    return "\n".join(["", *(choice.words() for choice in document.choices)])


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
    start = stages.index(_stage(first)) if first else 0
    stop = stages.index(_stage(last)) + 1 if last else len(stages)
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
    asked = _Asked(config, model_role, device, dtype, batch_size, runs_dir, dep, ProgressName.none)
    made = _make_plan(asked.pipeline())
    _emit(asdict(made), as_json=json_, text=_plan_table(made))


# --------------------------------------------------------------------------- run store commands

RunsArgument = Annotated[Path, typer.Option("--runs-dir", help="Folder of runs.")]
_RUNS = Path(canon.PATH.RUNS_DIR)


@app.command(rich_help_panel="Runs")
def status(
    runs_dir: RunsArgument = _RUNS,
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
    text = _table(f"{len(rows)} runs in {runs_dir}", *columns, rows=rows)
    _emit(values, as_json=json_, text=text)


def _store_and_id(run: str, runs_dir: Path) -> tuple[Any, str]:
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
    runs_dir: RunsArgument = _RUNS,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Show a run's record to a person."""
    from avalattice.store.record import read_record

    store, run_id = _store_and_id(run, runs_dir)
    record = read_record(store.folder(run_id))
    _emit(record.model_dump(mode="json"), as_json=json_, text=_record_text(record))


def _record_text(record: RunRecord) -> str:
    model, cost = record.model, record.cost
    lines = [f"{record.run_id}  {record.status}", f"  created {record.created_utc}"]
    if record.finished_utc:
        lines.append(f"  finished {record.finished_utc}")
    if model:
        lines.append(f"  model {model.id} ({model.role}), {model.n_layers} layers, {model.dtype}")
    lines += [f"  data {d.role}/{d.window_set}: {d.source}" for d in record.datasets]
    lines += [f"  rests on {d.run_id}" for d in record.dependencies]
    lines.append(f"  config_hash {record.config_hash}")
    steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in cost.seconds.items())
    memory = f"{cost.peak_memory_bytes / 2**30:.1f} GiB"
    lines.append(f"  {cost.forward_windows} forward windows; {steps or 'no steps'}; {memory}")
    lines += [f"  note: {note}" for note in record.notes]
    lines += [
        f"  {entry.sha256[:12]}  {entry.bytes:>12,}  {name}"
        for name, entry in sorted(record.artifact_index.items())
    ]
    lines += [
        f"  cond {c['cond_id']}: g {c['gain']}, {c['spike_def_id']}, target {c['target_label']}"
        for c in record.conditions
    ]
    return "\n".join(lines)


@app.command(rich_help_panel="Runs")
def verify(
    place: Annotated[Path, typer.Argument(help="A folder of runs, or one run.")] = _RUNS,
    deep: Annotated[bool, typer.Option("--deep", help="Hash the model's files anew too.")] = False,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Hash every artifact, check every schema, walk the dependencies; exit 2 on a fault."""
    from avalattice.deep import check_sources
    from avalattice.schemas import ARTIFACT_SCHEMAS
    from avalattice.store.runs import RunStore
    from avalattice.store.verify import verify_runs

    if not place.is_dir():
        raise InputError(f"{place}: no such folder")
    single = place.name.startswith("RUN_")
    found = verify_runs(
        RunStore(place.absolute().parent if single else place),
        [place.absolute().name] if single else None,
        schemas=ARTIFACT_SCHEMAS,
        deep=check_sources if deep else None,
    )
    lines = [f"fault: {fault}" for fault in found.faults]
    lines += [f"incomplete: {run_id}" for run_id in found.incomplete]
    lines.append(f"{len(found.complete)} complete runs checked, {len(found.faults)} faults")
    _emit(asdict(found), as_json=json_, text="\n".join(lines))
    if found.faults:
        raise typer.Exit(ExitCode.INPUT)


@app.command("rm", rich_help_panel="Runs")
def remove(
    runs: Annotated[list[str] | None, typer.Argument(help="Run ids or paths.")] = None,
    incomplete: Annotated[bool, typer.Option("--incomplete", help="Every incomplete run.")] = False,
    dependents: Annotated[
        bool, typer.Option("--dependents", help="And every run that rests on them.")
    ] = False,
    runs_dir: RunsArgument = _RUNS,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Remove runs, refusing those that others rest on."""
    from avalattice.store.runs import RunStore

    if bool(runs) == incomplete:
        raise InputError("name the runs to remove, or give --incomplete")
    store = RunStore(runs_dir)
    chosen = [Path(run).name for run in runs or ()]
    if runs and len({_store_and_id(run, runs_dir)[0].root.resolve() for run in runs}) == 1:
        store = _store_and_id(runs[0], runs_dir)[0]
    if incomplete:
        chosen = [run_id for run_id in store.run_ids() if store.status(run_id) == "incomplete"]
    if dependents:
        chosen = store.with_dependents(chosen)
    store.remove(chosen)
    typer.echo(f"removed {' '.join(chosen) or 'nothing'}")


@app.command("canon", rich_help_panel="Other")
def print_canon() -> None:
    """Print the canonical registry as YAML."""
    from avalattice.yamlfile import dump

    typer.echo(dump(canon.registry()), nl=False)


@app.command(rich_help_panel="Other")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


# --------------------------------------------------------------------------------------- main


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _resume_advice(arguments: list[str]) -> str:
    command = next((a for a in arguments if not a.startswith("-")), "")
    stages = {str(c) for c in Command}
    words = [canon.PROJECT_ID, *arguments]
    if command in stages and "--allow-resume" not in arguments:
        words.append("--allow-resume")
    return " ".join(words)


def _crash(error: Exception) -> Path | None:
    """Keep the traceback of a bug; where, or None if nothing can be written."""
    import tempfile

    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"{canon.PROJECT_ID}-", suffix=".log", delete=False
        ) as file:
            file.write("".join(traceback.format_exception(error)))
            return Path(file.name)
    except OSError:
        return None


def _report(error: Exception, command: str, *, debug: bool) -> ExitCode:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, AvalatticeError):
        where = f"{command}: " if command else ""
        if isinstance(error, ConfigError):
            where = ""  # the message begins with file and line
        _say(f"error: {where}{error}")
        return error.exit_code
    if isinstance(error, MemoryError):
        _say(f"error: {command}: out of memory; lower --batch-size, then repeat to resume")
        return ResourceError.exit_code
    _say(f"unexpected error in {command}: {type(error).__name__}: {error}")
    _say(f"This is a bug of {canon.PROJECT_ID}; the traceback is in {_crash(error)}")
    return ExitCode.BUG


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point: run a command and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    words = [_with_dashes(word) for word in given]
    command = next((word for word in words if not word.startswith("-")), "")
    debug = "--debug" in words
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code = app(args=words, standalone_mode=False, prog_name=canon.PROJECT_ID)
    except (KeyboardInterrupt, typer.Abort):  # or the parser has made it an exit code
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - the last resort, which reports it
        code = _usage_code(error)
        if code is None:
            code = _report(error, command, debug=debug)
    if code == ExitCode.INTERRUPTED:
        _say(f"\ninterrupted; nothing is lost. Go on with: {_resume_advice(words)}")
    sys.exit(int(code or 0))


def _with_dashes(word: str) -> str:
    """Options may be spelled with underscores."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if word.startswith("--") else word


def _usage_code(error: Exception) -> int | None:
    """Let the parser explain its own errors; None for any other."""
    show_usage = getattr(error, "show", None)
    if show_usage is None:
        return None
    show_usage()
    return int(getattr(error, "exit_code", ExitCode.INPUT))
