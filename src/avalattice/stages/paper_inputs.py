"""What the paper is written from, gathered from runs: rows, facts, every artifact behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from avalattice.canon import (
    OUTPUT,
    FigureId,
    InterventionId,
    ModelRole,
    StageTag,
    TableId,
)
from avalattice.config import load
from avalattice.export import schemas
from avalattice.export.documents import GStarDocument, SignaturesDocument, read_document
from avalattice.export.paper import sources
from avalattice.export.paper.evidence import (
    ArtifactFacts,
    DataFacts,
    Evidence,
    ModelFacts,
    Settings,
)
from avalattice.export.paper.sources import Rows, Source
from avalattice.export.replication import RoleAnalysis
from avalattice.export.tabular import TableSchema, read_table
from avalattice.stages.context import StageContext, result
from avalattice.store.reader import RunReader
from avalattice.store.record import DatasetRecord, ModelRecord, RunRecord
from avalattice.store.writer import EVENTS_LOG

_TABLES: Final[Mapping[Source, tuple[StageTag, TableId, TableSchema]]] = {
    sources.SUMMARY: (StageTag.S05, TableId.T01_SUMMARY, schemas.T01_SUMMARY),
    sources.TAILS: (StageTag.S05, TableId.T04_TAIL_FITS, schemas.T04_TAIL_FITS),
    sources.CRACKLING: (
        StageTag.S05,
        TableId.T05_CRACKLING_DIAGNOSTICS,
        schemas.T05_CRACKLING_DIAGNOSTICS,
    ),
    sources.ABLATIONS: (StageTag.S05, TableId.T06_ABLATIONS, schemas.T06_ABLATIONS),
    sources.GENERALIZATION: (
        StageTag.S06B,
        TableId.T02_GENERALIZATION,
        schemas.T02_GENERALIZATION,
    ),
    sources.CHOICES: (StageTag.S06ARC, TableId.T03_ARC, schemas.T03_ARC),
}
_DERIVED_FROM: Final = {
    sources.GSTAR: StageTag.S02B,
    sources.NULLS: StageTag.S04,
    sources.SIGNATURES: StageTag.S05,
    sources.PERCOLATION: StageTag.S05,
    sources.SPREADS: StageTag.S05,
    sources.RELATION: StageTag.S05,
    sources.ABLATED: StageTag.S05,
    sources.TRANSFER: StageTag.S06B,
}
_UNLISTED: Final = (EVENTS_LOG, OUTPUT.CONFIG_RESOLVED_YAML)
"""Artifacts whose bytes hold times and paths."""


def gather(ctx: StageContext, replication: Rows | None) -> Evidence:
    """Everything that the paper is written from.

    Args:
        ctx: the stage's surroundings.
        replication: T07's rows, if there are any.
    """
    gstar = ctx.document(StageTag.S02B, OUTPUT.GSTAR_JSON_BASENAME, GStarDocument)
    signatures = ctx.document(StageTag.S05, OUTPUT.SIGNATURES_JSON_BASENAME, SignaturesDocument)
    tables: dict[Source, Rows] = {
        source: table_rows(ctx.inputs[tag], table, schema)
        for source, (tag, table, schema) in _TABLES.items()
        if tag in ctx.inputs
    }
    tables[sources.NULLS] = ctx.rows(
        StageTag.S04, OUTPUT.NULL_STATISTICS_PARQUET_BASENAME, schemas.NULL_STATISTICS
    )
    if replication is not None:
        tables[sources.REPLICATION] = replication
    record = ctx.inputs[StageTag.S05].record
    return Evidence(
        provenance=ctx.provenance,
        model=_model(record),
        peer=_model(ctx.peers[StageTag.S05].record) if ctx.peers else None,
        data=tuple(_data(each) for reader in ctx.inputs.values() for each in _new(reader, record)),
        settings=_settings(ctx, record),
        rows=sources.rows_by_source(tables, gstar, signatures),
        run_ids=_run_ids(ctx),
        figures=_figures(ctx),
        artifacts=tuple(_artifacts(ctx)),
        overridden=_overridden(ctx),
    )


def table_rows(reader: RunReader, table: TableId, schema: TableSchema) -> list[dict[str, Any]]:
    """The rows of an exported table of a run."""
    rows: list[dict[str, Any]] = read_table(
        reader.path(OUTPUT.TABLE_FILE_PARQUET[table.name]), schema
    ).to_pylist()
    return rows


def analyses(ctx: StageContext) -> dict[ModelRole, RoleAnalysis]:
    """What T07 reads of this role and of the other."""
    return {
        ModelRole(_model_record(inputs[StageTag.S05].record).role): _analysis(inputs)
        for inputs in (ctx.inputs, ctx.peers)
    }


def _analysis(inputs: Mapping[StageTag, RunReader]) -> RoleAnalysis:
    reader = inputs[StageTag.S05]
    model = _model_record(reader.record)
    return RoleAnalysis(
        model_id=model.id,
        family=model.model_type,
        shape=tuple(model.d_ff),
        run_id=reader.run_id,
        summary=table_rows(reader, TableId.T01_SUMMARY, schemas.T01_SUMMARY),
        gstar=read_document(
            inputs[StageTag.S02B].path(result(OUTPUT.GSTAR_JSON_BASENAME)), GStarDocument
        ),
    )


# ------------------------------------------------------------------------------------- facts


def _model_record(record: RunRecord) -> ModelRecord:
    assert record.model is not None
    return record.model


def _model(record: RunRecord) -> ModelFacts:
    model = _model_record(record)
    return ModelFacts(
        id=model.id,
        role=model.role,
        source=model.source,
        revision=model.revision,
        family=model.model_type,
        n_layers=model.n_layers,
        d_ff=tuple(model.d_ff),
        n_parameters=model.n_parameters,
        dtype=model.dtype,
        device=model.device,
        attention=model.attention,
        random_init=model.random_init,
        note=model.note,
    )


def _new(reader: RunReader, analysis: RunRecord) -> list[DatasetRecord]:
    """A run's slices: those of the analysis, and of others only what they add."""
    mine, known = reader.record.datasets, {(d.role, d.window_set) for d in analysis.datasets}
    if reader.run_id == analysis.run_id:
        return mine
    return [d for d in mine if (d.role, d.window_set) not in known]


def _data(record: DatasetRecord) -> DataFacts:
    return DataFacts(
        role=record.role,
        window_set=record.window_set,
        source=record.source,
        revision=record.revision,
        n=len(record.window_ids),
        sha256=record.slice_sha256,
    )


def _overridden(ctx: StageContext) -> tuple[str, ...]:
    """Runs that this stage, or one that it rests on, was given with --dep."""
    records = [ctx.run.record, *_upstream_records(ctx).values()]
    named = {need.run_id for each in records for need in each.dependencies if need.overridden}
    return tuple(sorted(named))


def _settings(ctx: StageContext, record: RunRecord) -> Settings:
    # a run that was named by hand may be of another configuration than the present one
    config = load(ctx.inputs[StageTag.S05].path(OUTPUT.CONFIG_RESOLVED_YAML))
    data, events = config.data, config.events
    return Settings(
        seed=config.seed,
        seq_len_tokens=data.seq_len_tokens,
        warmup_tokens=data.warmup_tokens,
        pool_factor=data.pool_factor,
        bos=record.tokenizer is not None and record.tokenizer.bos_token_id is not None,
        tau0=events.tau0,
        rate_profile=events.rate_profile,
        target_unit="events per site"
        if events.target_events_per_site
        else "events per unit and token",
        targets=tuple(target.label for target in events.targets),
        spike_defs=tuple(str(definition) for definition in events.spike_defs),
        gains=tuple(str(gain) for gain in config.gain.grid),
        denominator=config.branching.denominator,
        bootstrap_reps=config.bootstrap.reps,
        null_replicates=config.nulls.replicates,
        avalanche_replicates=config.nulls.avalanche_replicates,
        shuffle_replicates=config.nulls.token_shuffle_replicates,
        adjacency=str(config.avalanches.adjacency),
        gof_reps=config.avalanches.gof_reps,
        interventions=tuple(
            str(name)
            for name in config.ablations.interventions
            if name is not InterventionId.MLP_GLOBAL
        ),
        batch_size=config.compute.batch_size,
        libraries=record.identity.get("libraries", {}),
    )


def _run_ids(ctx: StageContext) -> dict[Source, str]:
    tags = _DERIVED_FROM | {source: tag for source, (tag, _, _) in _TABLES.items()}
    found = {source: ctx.inputs[tag].run_id for source, tag in tags.items() if tag in ctx.inputs}
    return found | ({sources.REPLICATION: ctx.run.run_id} if ctx.peers else {})


def _figures(ctx: StageContext) -> dict[FigureId, str]:
    """The run of each figure that is an input of this stage."""
    return {figure: run.run_id for figure, run in figure_runs(ctx).items()}


def figure_runs(ctx: StageContext) -> dict[FigureId, RunReader]:
    """The run that holds each figure."""
    return {
        figure: reader
        for reader in ctx.inputs.values()
        for figure in FigureId
        if OUTPUT.FIG_FILE_PNG[figure.name] in reader.record.artifact_index
    }


# --------------------------------------------------------------------------------- provenance


def _artifacts(ctx: StageContext) -> Iterator[ArtifactFacts]:
    """Every artifact of every run that the paper rests on, by stage, run and name."""
    records = list(_upstream_records(ctx).values())
    order = list(StageTag)
    for record in sorted(records, key=lambda r: (order.index(StageTag(r.stage_id)), r.run_id)):
        for name, entry in sorted(record.artifact_index.items()):
            if name not in _UNLISTED:
                yield ArtifactFacts(
                    run_id=record.run_id,
                    stage_id=record.stage_id,
                    config_hash=record.config_hash,
                    name=name,
                    sha256=entry.sha256,
                    bytes=entry.bytes,
                )


def _upstream_records(ctx: StageContext) -> dict[str, RunRecord]:
    """The records of the runs that the paper rests on, however far."""
    found = {reader.run_id: reader.record for reader in (*ctx.inputs.values(), *ctx.peers.values())}
    queue = list(found)
    for run_id in queue:  # grows while it is walked
        for needed in found[run_id].dependencies:
            if needed.run_id not in found:
                found[needed.run_id] = ctx.session.store.open(needed.run_id).record
                queue.append(needed.run_id)
    return found
