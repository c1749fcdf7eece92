"""Runs as a report reads them, fabricated: artifacts are valid, and no number means anything."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avalattice.canon import (
    OUTPUT,
    AdjacencyId,
    FigureId,
    ModelRole,
    NullId,
    SpikeDefId,
    StageTag,
    WindowSet,
)
from avalattice.config import dumps, loads
from avalattice.export import schemas
from avalattice.export.documents import GStarDocument, SignaturesDocument
from avalattice.export.tabular import TableSchema, write_csv, write_table
from avalattice.lattice.nulls import circular_shift_null, permutation_null
from avalattice.lattice.rasters import Condition, raster_members
from avalattice.store.record import (
    DatasetRecord,
    DependencyRecord,
    ModelRecord,
    RunRecord,
    TokenizerRecord,
)
from avalattice.store.runs import RunStore, identity_digest, make_run_id
from avalattice.store.writer import RunWriter
from tests.report_rows import (
    GAINS,
    TARGETS,
    ablation_rows,
    choice,
    compared_rows,
    conditions,
    curves,
    held_out,
    keys_held_out,
    of_condition,
    scored_rows,
    signature_entries,
    some_row,
    summary_rows,
)

SEED = 7


@dataclass(frozen=True)
class Place:
    """What the fabricated runs are about; the texts are what a user may have written."""

    model_id: str = "tiny"
    source: str = "file:corpus.txt"
    note: str = "weights de-quantised from GGUF tiny.gguf"
    tokens: tuple[str, ...] = ("The", " cat", "\n", " sat")
    text: str = "some text"
    """What stands in every text column and reason."""
    n_windows: int = 8
    n_layers: int = 5
    n_tokens: int = 12

    def counts(self, n_conditions: int, seed: int) -> np.ndarray:
        """Counts [C, N, L, T] that cluster."""
        shape = (n_conditions, self.n_windows, self.n_layers, self.n_tokens)
        rng = np.random.default_rng(seed)
        level = rng.gamma(0.8, 1.0, size=(1, self.n_windows, 1, self.n_tokens))
        return rng.poisson(level, size=shape).astype(np.uint16)


ALL_STAGES = ("S01", "S02", "S02B", "S03", "S04", "S05", "S06B", "S06ARC")
NEEDS = {
    "S01": (),
    "S02": ("S01",),
    "S02B": ("S02",),
    "S03": ("S01", "S02", "S02B"),
    "S04": ("S01", "S02", "S02B", "S03"),
    "S05": ("S01", "S02", "S02B", "S03", "S04"),
    "S06B": ("S01", "S02", "S02B"),
    "S06ARC": ("S02B",),
}


@dataclass
class Maker:
    """Writes the runs of one model."""

    store: RunStore
    role: ModelRole
    place: Place
    made: dict[str, str]
    """Run id by stage tag."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(SEED)

    # ------------------------------------------------------------------------- runs

    @property
    def config_yaml(self) -> str:
        """The resolved configuration."""
        text = (
            f"model: {{{self.role}: {{source: {_quoted(self.place.model_id)}}}}}\n"
            f"data:\n  seq_len_tokens: {self.place.n_tokens}\n"
            f"  A: {{source: {_quoted(self.place.source)}}}\n"
            f"gain: {{grid: [{', '.join(GAINS)}]}}\n"
        )
        return dumps(loads(text))

    def record(self, tag: str) -> RunRecord:
        """An incomplete record of a stage that rests on the runs made so far."""
        needs = [self.store.open(self.made[need]) for need in NEEDS[tag]]
        identity = {"stage": tag, "role": str(self.role), "model": self.place.model_id}
        digest = identity_digest(identity)
        return RunRecord(
            package_version="0.1.0",
            run_id=make_run_id(tag, digest),
            scope_sha256=digest,
            stage_id=tag,
            stage_version=1,
            status="incomplete",
            created_utc="2026-01-01T00:00:00+00:00",
            identity=identity,
            model=self.model,
            tokenizer=TokenizerRecord(files={"tokenizer.json": "4" * 64}, bos_token_id=None),
            datasets=self.datasets,
            config_hash="c" * 64,
            config_file_sha256="f" * 64,
            dependencies=[
                DependencyRecord(
                    run_id=need.run_id,
                    stage_id=need.record.stage_id,
                    record_sha256=need.record.sha256,
                    artifacts={},
                )
                for need in needs
            ],
            environment={"python": "3.11", "libraries": {"numpy": "2.4"}},
            determinism={},
            notes=[self.place.note] if self.place.note else [],
        )

    @property
    def model(self) -> ModelRecord:
        """The model."""
        return ModelRecord(
            id=self.place.model_id,
            role=str(self.role),
            source=self.place.model_id,
            revision=None,
            files={"model.safetensors": "3" * 64},
            model_type="llama",
            n_layers=self.place.n_layers,
            d_ff=[48] * self.place.n_layers,
            n_parameters=12_345_678,
            dtype="fp32",
            device="cpu",
            attention="sdpa",
            random_init=False,
            note=self.place.note or None,
        )

    @property
    def datasets(self) -> list[DatasetRecord]:
        """Two slices of Dataset A."""
        return [
            DatasetRecord(
                role="A",
                window_set=str(window_set),
                source=self.place.source,
                revision=None,
                slice_sha256=str(number) * 64,
                window_ids=list(range(self.place.n_windows)),
            )
            for number, window_set in enumerate((WindowSet.CALIBRATION, WindowSet.RASTER))
        ]

    def make(self, tag: str) -> str:
        """Write the run of one stage; its id."""
        record = self.record(tag)
        with self.store.create(record, self.config_yaml, allow_resume=False) as run:
            getattr(self, f"_write_{tag.lower()}")(run)
        self.made[tag] = record.run_id
        return record.run_id

    def provenance(self, run: RunWriter) -> dict[str, str]:
        """What every table begins and ends with."""
        return {
            "run_id": run.run_id,
            "stage_id": run.record.stage_id,
            "model_id": self.place.model_id,
            "model_role": str(self.role),
            "dataset_role": "A",
            "config_hash": "c" * 64,
            "code_version": "0.1.0",
        }

    # --------------------------------------------------------------------- artifacts

    def _rows(
        self, run: RunWriter, schema: TableSchema, given: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        return [
            some_row(schema, self.rng, self.place.text, **(self.provenance(run) | each))
            for each in given
        ]

    def _write_result(self, run: RunWriter, basename: str, schema: TableSchema, given: Any) -> None:
        table = schema.table(self._rows(run, schema, given))
        run.write(f"results/{basename}", lambda file: write_table(table, file))

    def _export(self, run: RunWriter, schema: TableSchema, given: Any) -> None:
        table = schema.table(self._rows(run, schema, given))
        files = ((OUTPUT.TABLE_FILE_PARQUET, write_table), (OUTPUT.TABLE_FILE_CSV, write_csv))
        for paths, write in files:
            run.write(paths[schema.name], lambda file, write=write: write(table, file))

    def _draw(self, run: RunWriter, *figures: FigureId) -> None:
        for number, figure in enumerate(figures):
            run.write_bytes(OUTPUT.FIG_FILE_PNG[figure.name], png(3 + number, 2))

    def _record_conditions(self, run: RunWriter, made: Sequence[Condition]) -> None:
        run.record.conditions = [{"cond_id": c, **of.to_json()} for c, of in enumerate(made)]

    def _write_rasters(
        self, run: RunWriter, basename: str, made: Sequence[Condition], A: np.ndarray
    ) -> None:
        self._record_conditions(run, made)
        run.write_npz(f"results/{basename}", raster_members(lambda: iter(A), A.shape))

    def _write_metrics(
        self, run: RunWriter, made: Sequence[Condition], window_set: WindowSet
    ) -> None:
        self._write_result(
            run,
            OUTPUT.METRICS_PARQUET_BASENAME,
            schemas.METRICS,
            [
                {
                    "cond_id": c,
                    "window_set": str(window_set),
                    "n_sequences": self.place.n_windows,
                    "few_windows": True,
                }
                | of_condition(of)
                for c, of in enumerate(made)
            ],
        )

    # ------------------------------------------------------------------------ stages

    def _write_s01(self, run: RunWriter) -> None:
        n, layers = self.place.n_windows * self.place.n_tokens, self.place.n_layers
        run.write_json(
            f"results/{OUTPUT.RATE_TARGETS_JSON_BASENAME}",
            {
                "tau0": 2.5,
                "rate_profile": "baseline",
                "target_unit": "events per site",
                "spike_defs": [str(definition) for definition in SpikeDefId],
                "labels": list(TARGETS),
                "rates": [float(label) / 100 for label in TARGETS],
                "base_rates": [[0.01] * layers] * 2,
                "layer_rates": [[[0.01] * layers] * 2] * 2,
                "k": [[[40] * layers] * 2] * 2,
                "m": [48 * n] * layers,
                "n_tokens": n,
                "few_events": [],
                "silent_units": [0] * layers,
            },
        )

    def _write_s02(self, run: RunWriter) -> None:
        self._write_metrics(run, conditions(self.role, GAINS), WindowSet.CALIBRATION)

    def _write_s02b(self, run: RunWriter) -> None:
        document = GStarDocument(
            model_role=str(self.role),
            criterion="nearest one",
            inputs={},
            gains=list(GAINS),
            bootstrap_reps=200,
            n_sequences=self.place.n_windows,
            choices=[choice(*curve, identifiable=n == 0) for n, curve in enumerate(curves())],
        )
        path = f"results/{OUTPUT.GSTAR_JSON_BASENAME}"
        run.write_json(path, document.model_dump(mode="json"))

    def _write_s03(self, run: RunWriter) -> None:
        made = held_out(self.role)
        A = self.place.counts(len(made), SEED)
        self._write_rasters(run, OUTPUT.RASTER_NPZ_BASENAME, made, A)
        self._write_metrics(run, made, WindowSet.RASTER)
        self._write_result(
            run,
            OUTPUT.WINDOWS_PARQUET_BASENAME,
            schemas.WINDOWS,
            [
                {"window_set": str(window_set), "seq_id": n, "window_id": first + n}
                | {"tokens": self.words(first + n), "text": "".join(self.words(first + n))}
                for window_set, first in ((WindowSet.RASTER, 200), (WindowSet.CALIBRATION, 101))
                for n in range(self.place.n_windows)
            ],
        )

    def words(self, n: int) -> list[str]:
        """The tokens of window n."""
        known = self.place.tokens
        return [known[(n + t) % len(known)] for t in range(self.place.n_tokens)]

    def _write_s04(self, run: RunWriter) -> None:
        measured = held_out(self.role)
        A = self.place.counts(len(measured), SEED)
        nulls = (
            NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM,
            NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT,
        )
        draw = dict(zip(nulls, (permutation_null, circular_shift_null), strict=True))
        made = [replace(of, null_id=null_id) for of in measured for null_id in nulls]
        drawn = np.stack([draw[null](A[c], self.rng) for c in range(len(A)) for null in nulls])
        self._write_rasters(run, OUTPUT.NULL_NPZ_BASENAME, made, drawn)
        self._write_result(
            run,
            OUTPUT.NULL_STATISTICS_PARQUET_BASENAME,
            schemas.NULL_STATISTICS,
            [
                {"window_set": str(WindowSet.RASTER), "cond_id": c} | of_condition(of)
                for c, of in enumerate(measured)
            ],
        )

    def _write_s05(self, run: RunWriter) -> None:
        raster = keys_held_out()
        at_adjacency = {"adjacency_id": str(AdjacencyId.ADJ_4N)}
        self._export(run, schemas.T01_SUMMARY, list(summary_rows()))
        self._export(
            run,
            schemas.T04_TAIL_FITS,
            [row | {"variable": v} for row in raster for v in ("size", "span_tokens")],
        )
        self._export(run, schemas.T05_CRACKLING_DIAGNOSTICS, [r | at_adjacency for r in raster])
        self._export(run, schemas.T06_ABLATIONS, list(ablation_rows()))
        document = {"entries": list(signature_entries(self.place.text)), "percolation": []}
        SignaturesDocument.model_validate(document)
        run.write_json(f"results/{OUTPUT.SIGNATURES_JSON_BASENAME}", document)
        self._draw(run, FigureId.F01_RASTER_EXAMPLE, FigureId.F05_GSTAR_SELECTION)

    def _write_s06b(self, run: RunWriter) -> None:
        self._export(run, schemas.T02_GENERALIZATION, list(compared_rows()))
        self._draw(run, FigureId.F06_GENERALIZATION_B)

    def _write_s06arc(self, run: RunWriter) -> None:
        self._export(run, schemas.T03_ARC, list(scored_rows()))
        self._draw(run, FigureId.F07_ARC_MCQ)


def fabricate(
    store: RunStore,
    stages: Sequence[str] = ALL_STAGES,
    *,
    roles: Sequence[ModelRole] = (ModelRole.INSTRUCT,),
    place: Place = Place(),
) -> dict[tuple[str, str], str]:
    """Write the runs of some stages for some models; run ids by role and stage tag."""
    made = {}
    for role in roles:
        maker = Maker(store, role, place, {})
        for tag in stages:
            made[str(role), str(StageTag(tag))] = maker.make(tag)
    return made


def png(width: int, height: int) -> bytes:
    """A grey picture."""
    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
