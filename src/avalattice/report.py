"""Collecting a report: what complete runs hold, read through verified readers.

A report of part of the pipeline is a report too: it says what it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avalattice.canon import OUTPUT, FigureId, NullId, RunSubdir, StageTag, WindowSet
from avalattice.config import load
from avalattice.errors import DependencyError, VerificationError
from avalattice.export import schemas
from avalattice.export.documents import (
    GStarDocument,
    RateTargetsDocument,
    SignaturesDocument,
    read_document,
)
from avalattice.export.report.columns import CHOICES
from avalattice.export.report.content import (
    Configuration,
    Inputs,
    Picture,
    Report,
    build_report,
    choice_row,
)
from avalattice.export.report.explorer import (
    MAX_WINDOWS,
    ExplorerCondition,
    ExplorerModel,
    ExplorerWindow,
    PackedRaster,
    pack_window,
)
from avalattice.export.report.findings import RoleResults
from avalattice.export.report.render import render_report
from avalattice.export.report.wording import ROLES, STAGE_WORDS
from avalattice.export.schemas.columns import CLOSING, PROVENANCE, SEQ_ID
from avalattice.export.tabular import TableSchema, read_table
from avalattice.lattice.rasters import Condition, Rasters, load_rasters
from avalattice.rng import decimal_text
from avalattice.store.reader import RunReader
from avalattice.store.record import read_record
from avalattice.store.runs import RunStore

Row = dict[str, Any]
ALL_RUNS = "--all"
"""The option of the command that asks for the newest run of each stage and model."""


def newest_runs(store: RunStore) -> list[str]:
    """The newest complete run of each stage and model; damaged and incomplete ones are left out."""
    newest: dict[tuple[str, str], tuple[str, str]] = {}
    for run_id in store.run_ids():
        try:
            record = read_record(store.folder(run_id))
        except VerificationError:
            continue  # ``verify`` tells of it
        if record.status == "complete":
            key = (record.stage_id, record.model.role if record.model else "")
            newest[key] = max(newest.get(key, ("", "")), (record.finished_utc or "", run_id))
    return sorted(run_id for _, run_id in newest.values())


def collect_report(store: RunStore, run_ids: Sequence[str], *, asked: str = "") -> Report:
    """What complete runs hold, as a report.

    Args:
        store: the folder of runs.
        run_ids: the runs that the report shows, such as :meth:`RunStore.behind` gives them.
        asked: arguments of the command that makes this report anew, for the reader; those that
            follow from the runs if empty.

    Raises:
        DependencyError: a run is missing or incomplete, or an artifact is not what its record says.
        VerificationError: a record is damaged.
        SchemaError: a table or document breaks its schema.
    """
    readers = sorted((store.open(run_id) for run_id in dict.fromkeys(run_ids)), key=_order)
    if not readers:
        raise DependencyError(f"{store.root}: there is no complete run to report on")
    roles = [_RoleRuns(role, readers) for role in dict.fromkeys(map(_role, readers)) if role]
    return build_report(
        Inputs(
            records=[
                reader.record.model_dump(mode="json") | {"record_sha256": reader.record.sha256}
                for reader in readers
            ],
            results=[of.results() for of in roles],
            tables=_tables(readers, roles),
            pictures=_pictures(readers),
            rasters=[model for of in roles for model in of.explorer()],
            configurations=_configurations(readers),
            target_unit=next((unit for of in roles for unit in of.target_unit()), ""),
            n_tokens=_n_tokens(readers),
            asked=asked or _asked(readers),
        )
    )


def report_html(run_ids: Sequence[str], store: RunStore) -> str:
    """The report on complete runs as HTML; see :func:`collect_report`."""
    return render_report(collect_report(store, run_ids)).decode()


def _asked(readers: Sequence[RunReader]) -> str:
    """The run that rests on all others; the option that asks for every run where there is none."""
    needed = {need.run_id for reader in readers for need in reader.record.dependencies}
    last = [reader.run_id for reader in readers if reader.run_id not in needed]
    return last[0] if len(last) == 1 else ALL_RUNS


def _role(reader: RunReader) -> str:
    return reader.record.model.role if reader.record.model else ""


def _order(reader: RunReader) -> tuple[int, int, str]:
    """By model, then by stage."""
    tags, role = list(STAGE_WORDS), _role(reader)
    stage = reader.record.stage_id
    return (
        ROLES.index(role) if role in ROLES else len(ROLES),
        tags.index(stage) if stage in tags else len(tags),
        reader.run_id,
    )


def _result(basename: str) -> str:
    return f"{RunSubdir.RESULTS}/{basename}"


def _rows(reader: RunReader, relative: str, schema: TableSchema) -> list[Row]:
    rows: list[Row] = read_table(reader.path(relative), schema).to_pylist()
    return rows


# --------------------------------------------------------------------------- the runs of one model


@dataclass(frozen=True)
class _RoleRuns:
    """The runs of one model; of several runs of a stage, the last is taken."""

    role: str
    readers: Sequence[RunReader]

    def stage(self, tag: StageTag) -> RunReader | None:
        of = [r for r in self.readers if _role(r) == self.role and r.record.stage_id == tag]
        return of[-1] if of else None

    def gstar(self) -> GStarDocument | None:
        reader = self.stage(StageTag.S02B)
        if reader is None:
            return None
        return read_document(reader.path(_result(OUTPUT.GSTAR_JSON_BASENAME)), GStarDocument)

    def target_unit(self) -> list[str]:
        reader = self.stage(StageTag.S01)
        if reader is None:
            return []
        path = reader.path(_result(OUTPUT.RATE_TARGETS_JSON_BASENAME))
        return [read_document(path, RateTargetsDocument).target_unit]

    def results(self) -> RoleResults:
        """What words are made of."""
        gstar, analysis, grid = self.gstar(), self.stage(StageTag.S05), self.stage(StageTag.S02)
        signatures = None
        if analysis is not None:
            path = analysis.path(_result(OUTPUT.SIGNATURES_JSON_BASENAME))
            signatures = read_document(path, SignaturesDocument)
        return RoleResults(
            self.role,
            choices=tuple(gstar.choices) if gstar else (),
            signatures=tuple(signatures.entries) if signatures else None,
            percolation=tuple(signatures.percolation) if signatures else (),
            grid=tuple(self.metrics(grid)) if grid else (),
            summary=tuple(self.exported(analysis, schemas.T01_SUMMARY)) if analysis else (),
        )

    def exported(self, reader: RunReader, schema: TableSchema) -> list[Row]:
        return _rows(reader, OUTPUT.TABLE_FILE_PARQUET[schema.name], schema)

    def metrics(self, reader: RunReader) -> list[Row]:
        return _rows(reader, _result(OUTPUT.METRICS_PARQUET_BASENAME), schemas.METRICS)

    def choices(self) -> list[Row]:
        """The choices of g* as rows."""
        gstar, reader = self.gstar(), self.stage(StageTag.S02B)
        if gstar is None or reader is None or reader.record.model is None:
            return []
        record = reader.record
        provenance = {
            "run_id": record.run_id,
            "stage_id": record.stage_id,
            "model_id": reader.record.model.id,
            "model_role": self.role,
            "dataset_role": record.datasets[0].role if record.datasets else "",
            "config_hash": record.config_hash,
            "code_version": record.package_version,
        }
        assert provenance.keys() == {column.name for column in (*PROVENANCE, *CLOSING)}
        return [choice_row(choice, provenance, gstar.n_sequences) for choice in gstar.choices]

    def explorer(self) -> list[ExplorerModel]:
        """The first windows of every raster, with their nulls; nothing without phase 3."""
        reader = self.stage(StageTag.S03)
        if reader is None or reader.record.model is None:
            return []
        rasters = _load(reader, OUTPUT.RASTER_NPZ_BASENAME)
        nulls = self.stage(StageTag.S04)
        stacks = [rasters] + ([_load(nulls, OUTPUT.NULL_NPZ_BASENAME)] if nulls else [])
        windows = _explorer_windows(reader, rasters)
        gstar = self.gstar()
        chosen = {(c.spike_def_id, c.target_label, c.gstar) for c in gstar.choices} if gstar else ()
        n_layers, n_tokens = rasters.A.shape[2:]
        return [
            ExplorerModel(
                self.role,
                reader.record.model.id,
                n_layers,
                n_tokens,
                rasters.A.shape[1],
                windows,
                tuple(
                    ExplorerCondition(
                        str(condition.spike_def_id),
                        condition.target_label,
                        decimal_text(condition.gain),
                        (
                            str(condition.spike_def_id),
                            condition.target_label,
                            decimal_text(condition.gain),
                        )
                        in chosen,
                        _packed(condition, stacks, [w.seq_id for w in windows]),
                    )
                    for condition in rasters.conditions or ()
                ),
            )
        ]


def _load(reader: RunReader, basename: str) -> Rasters:
    conditions = tuple(Condition.from_json(entry) for entry in reader.record.conditions)
    return load_rasters(reader.path(_result(basename)), conditions)


def _explorer_windows(reader: RunReader, rasters: Rasters) -> tuple[ExplorerWindow, ...]:
    path = _result(OUTPUT.WINDOWS_PARQUET_BASENAME)
    rows = {
        row[SEQ_ID.name]: row
        for row in _rows(reader, path, schemas.WINDOWS)
        if row["window_set"] == WindowSet.RASTER
    }
    return tuple(
        ExplorerWindow(seq_id, rows[seq_id]["window_id"], tuple(rows[seq_id]["tokens"]))
        for seq_id in rasters.seq_id.tolist()[:MAX_WINDOWS]
    )


def _curve_and_gain(condition: Condition) -> tuple[object, ...]:
    """What a raster and its nulls share."""
    return (
        condition.spike_def_id,
        condition.target_label,
        condition.gain,
        condition.intervention_id,
    )


def _packed(
    condition: Condition, stacks: Iterable[Rasters], seq_ids: Sequence[int]
) -> tuple[PackedRaster, ...]:
    """The raster of a condition and those of its nulls, in the order of the registry."""
    found: dict[str, PackedRaster] = {}
    for stack in stacks:
        place = {int(seq_id): n for n, seq_id in enumerate(stack.seq_id)}
        for c, of in enumerate(stack.conditions or ()):
            if _curve_and_gain(of) == _curve_and_gain(condition):
                found[of.null_id] = PackedRaster(
                    str(of.null_id),
                    tuple(pack_window(np.asarray(stack.A[c, place[s]])) for s in seq_ids),
                )
    return tuple(found[null_id] for null_id in NullId if null_id in found)


# -------------------------------------------------------------------------- tables and the rest


def _tables(readers: Sequence[RunReader], roles: Sequence[_RoleRuns]) -> dict[str, list[Row]]:
    """Rows by schema name: the exported tables, each file once, and what stands in for them."""
    tables: dict[str, list[Row]] = {CHOICES.name: [row for of in roles for row in of.choices()]}
    for schema in schemas.TABLES:
        files: dict[str, RunReader] = {}
        for reader in readers:
            entry = reader.record.artifact_index.get(OUTPUT.TABLE_FILE_PARQUET[schema.name])
            if entry is not None:
                files.setdefault(entry.sha256, reader)
        tables[schema.name] = [
            row
            for reader in files.values()
            for row in _rows(reader, OUTPUT.TABLE_FILE_PARQUET[schema.name], schema)
        ]
    tables[schemas.NULL_STATISTICS.name] = [
        row
        for of in roles
        for reader in (of.stage(StageTag.S04),)
        if reader is not None
        for row in _rows(
            reader, _result(OUTPUT.NULL_STATISTICS_PARQUET_BASENAME), schemas.NULL_STATISTICS
        )
    ]
    tables[schemas.METRICS.name] = [
        row
        for of in roles
        if of.stage(StageTag.S05) is None  # T01 has these numbers and more
        for tag in (StageTag.S03, StageTag.S02)
        for reader in (of.stage(tag),)
        if reader is not None
        for row in of.metrics(reader)
    ]
    return tables


def _pictures(readers: Sequence[RunReader]) -> dict[FigureId, list[Picture]]:
    pictures: dict[FigureId, list[Picture]] = {}
    for figure_id in FigureId:
        relative = OUTPUT.FIG_FILE_PNG[figure_id.name]
        for reader in readers:
            if relative in reader.record.artifact_index:
                png = reader.path(relative).read_bytes()
                pictures.setdefault(figure_id, []).append(
                    Picture(reader.run_id, _role(reader), png)
                )
    return pictures


def _configurations(readers: Sequence[RunReader]) -> list[Configuration]:
    """Each resolved configuration once."""
    texts: dict[str, list[str]] = {}
    for reader in readers:
        path = reader.path(OUTPUT.CONFIG_RESOLVED_YAML)
        texts.setdefault(path.read_text(encoding="utf-8"), []).append(reader.run_id)
    return [Configuration(text, tuple(run_ids)) for text, run_ids in texts.items()]


def _n_tokens(readers: Sequence[RunReader]) -> int:
    return load(readers[0].path(OUTPUT.CONFIG_RESOLVED_YAML)).data.seq_len_tokens
