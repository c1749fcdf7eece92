"""Results on standard output: JSON for programs, text and tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from avalattice.plan import Plan
    from avalattice.store.record import RunRecord

_PIPE_WIDTH = 240


def emit(value: Any, *, as_json: bool, text: str | Table) -> None:
    """Print a result: JSON for programs, text or a table for people."""
    if as_json:
        typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
    elif isinstance(text, str):
        typer.echo(text)
    else:
        from rich.console import Console

        # a pipe has no width: let lines be as long as they are
        Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(text)


def table(title: str, *columns: str, rows: Sequence[tuple[str, ...]]) -> Table:
    """A table for people."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def plan_table(plan: Plan) -> Table:
    """A plan for people."""
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
    return table(title, *columns, rows=rows)


def record_text(record: RunRecord) -> str:
    """A run's record as text."""
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
