"""What a report holds, from plain inputs: records, rows of tables, documents, pictures, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from avalattice.canon import FigureId
from avalattice.export.documents import GStarEntry
from avalattice.export.report.columns import CHOICES, TABLE_WORDS
from avalattice.export.report.explorer import ExplorerModel, fit
from avalattice.export.report.findings import (
    Card,
    CurveJudgements,
    RoleResults,
    build_cards,
    found_sentences,
    judge_curves,
)
from avalattice.export.report.graph import Drawing, draw
from avalattice.export.report.provenance import (
    Missing,
    ModelFacts,
    Record,
    RunCard,
    TextFacts,
    cautions,
    graph_needs,
    graph_nodes,
    missing_stages,
    model_facts,
    run_card,
    text_facts,
)
from avalattice.export.report.tables import Table, build_table
from avalattice.export.report.wording import FIGURE_WORDS

Row = Mapping[str, Any]
_SEPARATOR: Final = " and "
REPORT_BYTES: Final = 3_400_000
"""What figures and rasters of a report take together, where they can."""
RASTER_BYTES: Final = 1_400_000
"""What the rasters alone may take."""


@dataclass(frozen=True)
class Picture:
    """One figure of one run."""

    run_id: str
    model_role: str
    png: bytes


@dataclass(frozen=True)
class Figure:
    """One figure, of every model that has it."""

    id: str
    caption: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Configuration:
    """One resolved configuration, and the runs made with it."""

    text: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Inputs:
    """What the runs of a report hold."""

    records: Sequence[Record]
    """By stage; those of one stage by model role."""
    results: Sequence[RoleResults] = ()
    """Of each model."""
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """Validated rows, by schema name."""
    pictures: Mapping[FigureId, Sequence[Picture]] = field(default_factory=dict)
    rasters: Sequence[ExplorerModel] = ()
    configurations: Sequence[Configuration] = ()
    target_unit: str = ""
    """Unit of the targets' labels."""
    n_tokens: int = 0
    """Tokens of a window."""
    asked: str = ""
    """The command's arguments that gave these runs."""


@dataclass(frozen=True)
class Found:
    """What was found on one model."""

    model_role: str
    model_id: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """Everything that a report shows."""

    title: str
    asked: str
    code_versions: tuple[str, ...]
    models: tuple[ModelFacts, ...]
    texts: tuple[TextFacts, ...]
    n_tokens: int
    gains: tuple[str, ...]
    """The gain grid, rising; empty where g* has not been chosen."""
    target_unit: str
    found: tuple[Found, ...]
    cautions: tuple[str, ...]
    missing: tuple[Missing, ...]
    cards: tuple[Card, ...]
    curves: tuple[CurveJudgements, ...]
    """Curve by curve; the models of one curve follow each other."""
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    explorer: tuple[ExplorerModel, ...]
    drawings: tuple[Drawing, ...]
    """The pipeline, lying and upright."""
    runs: tuple[RunCard, ...]
    configurations: tuple[Configuration, ...]


def build_report(inputs: Inputs) -> Report:
    """A report from what runs hold."""
    records = inputs.records
    models, texts = model_facts(records), text_facts(records)
    by_role = [judge_curves(results) for results in inputs.results]
    nodes, needs = graph_nodes(records), graph_needs(records)
    return Report(
        title=f"Activation avalanches in {_SEPARATOR.join(m.id for m in models) or 'no model'}",
        asked=inputs.asked,
        code_versions=tuple(sorted({record["package_version"] for record in records})),
        models=models,
        texts=texts,
        n_tokens=inputs.n_tokens,
        gains=_gains(inputs.results),
        target_unit=inputs.target_unit,
        found=tuple(
            Found(
                results.model_role,
                next((m.id for m in models if m.model_role == results.model_role), ""),
                found_sentences(results, curves),
            )
            for results, curves in zip(inputs.results, by_role, strict=True)
        ),
        cautions=cautions(records, texts),
        missing=missing_stages(records),
        cards=build_cards(by_role) if any(by_role) else (),
        curves=_interleaved(by_role),
        tables=_tables(inputs),
        figures=tuple(
            Figure(figure_id.name, caption, tuple(inputs.pictures[figure_id]))
            for figure_id, caption in FIGURE_WORDS.items()
            if inputs.pictures.get(figure_id)
        ),
        explorer=fit(inputs.rasters, _room(inputs.pictures)),
        drawings=tuple(draw(nodes, needs, upright=upright) for upright in (False, True)),
        runs=tuple(run_card(record) for record in records),
        configurations=tuple(inputs.configurations),
    )


def _room(pictures: Mapping[FigureId, Sequence[Picture]]) -> int:
    """Bytes that the coded rasters may take beside the figures."""
    figures = sum(len(p.png) for of in pictures.values() for p in of) * 4 // 3  # in base64
    return max(0, min(RASTER_BYTES, REPORT_BYTES - figures))


def _gains(results: Sequence[RoleResults]) -> tuple[str, ...]:
    gains = {gain for of in results for choice in of.choices for gain in choice.shares}
    return tuple(sorted(gains, key=float))


def _interleaved(by_role: Sequence[tuple[CurveJudgements, ...]]) -> tuple[CurveJudgements, ...]:
    """The curves of all models, those of one spike definition and target side by side."""
    order = dict.fromkeys(judged.curve for curves in by_role for judged in curves)
    return tuple(
        judged
        for curve in order
        for curves in by_role
        for judged in curves
        if judged.curve == curve
    )


def _tables(inputs: Inputs) -> tuple[Table, ...]:
    return tuple(
        build_table(words, inputs.tables[name])
        for name, words in TABLE_WORDS.items()
        if inputs.tables.get(name)
    )


def choice_row(choice: GStarEntry, provenance: Row, n_sequences: int) -> dict[str, Any]:
    """A choice of g* as a row of the report's own table of choices.

    Args:
        choice: the choice.
        provenance: the columns that every table begins and ends with.
        n_sequences: calibration windows.
    """
    values = choice.model_dump()
    values |= {
        "g_star": choice.gstar,
        "shares": ", ".join(f"{g}: {share:.0%}" for g, share in choice.shares.items() if share),
        "excluded": ", ".join(choice.excluded) or None,
        "n_sequences": n_sequences,
    }
    return {column.name: {**values, **provenance}[column.name] for column in CHOICES.columns}
