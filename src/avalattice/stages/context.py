"""What a stage is given: the session, its upstream runs, and the run that it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from avalattice import __version__
from avalattice.arrays import ArraySpec, BlockArray
from avalattice.canon import (
    OUTPUT,
    DatasetRole,
    FigureId,
    InterventionId,
    RunSubdir,
    StageTag,
    TableId,
    WindowSet,
)
from avalattice.config import Config
from avalattice.data.windows import WindowSlice
from avalattice.export.documents import Document, read_document
from avalattice.export.figures.save import SUFFIXES, figure_bytes, figure_metadata
from avalattice.export.tables import Provenance
from avalattice.export.tabular import TableSchema, read_table, write_csv, write_table
from avalattice.lattice.rasters import Condition, Rasters, load_rasters
from avalattice.rng import NamePart, stream
from avalattice.stages.session import Session
from avalattice.stats.null_report import NullStreams
from avalattice.store.reader import RunReader
from avalattice.store.writer import RunWriter

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from avalattice.events.calibration import Calibration, LayerScale
    from avalattice.events.passes import Batch
    from avalattice.progress import Task

Result = TypeVar("Result")

CALIBRATION_SPEC: Mapping[str, ArraySpec] = {
    "mu": ArraySpec("float32", "L F"),
    "sigma": ArraySpec("float32", "L F"),
    "d_ff": ArraySpec("int64", "L"),
    "n_tokens": ArraySpec("int64", ""),
}


def result(basename: str) -> str:
    """The path of an artifact in the results folder."""
    return f"{RunSubdir.RESULTS}/{basename}"


@dataclass(frozen=True)
class StageContext:
    """One stage's view of its surroundings."""

    session: Session
    tag: StageTag
    run: RunWriter
    inputs: Mapping[StageTag, RunReader]
    config_hash: str
    dataset_role: DatasetRole = DatasetRole.A
    """The dataset that its tables are of."""
    peers: Mapping[StageTag, RunReader] = field(default_factory=dict)
    """Runs of the other model role; none unless all that the stage would read are complete."""

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.session.config

    @property
    def provenance(self) -> Provenance:
        """What tables begin and end with."""
        return Provenance(
            run_id=self.run.run_id,
            stage_id=str(self.tag),
            model_id=self.session.model_record.id,
            model_role=str(self.session.role),
            dataset_role=str(self.dataset_role),
            config_hash=self.config_hash,
            code_version=__version__,
        )

    def windows(self, window_set: WindowSet) -> WindowSlice:
        """A slice of a dataset's windows: B's for evaluation, A's otherwise."""
        role = DatasetRole.B if window_set is WindowSet.EVALUATION else DatasetRole.A
        return self.session.slices(role)[window_set]

    def rng(self, *name: NamePart) -> np.random.Generator:
        """The random stream of a name."""
        return stream(self.config.seed, *name)

    def null_streams(self, condition: Condition) -> NullStreams:
        """The random streams of a condition's nulls in this stage."""
        return NullStreams(
            lambda null_id, rest: self.rng(
                str(self.tag), *replace(condition, null_id=null_id).stream_name, *rest
            )
        )

    # ----------------------------------------------------------------- inputs

    def calibration(self) -> Calibration:
        """Phase 1's calibration."""
        from avalattice.events.calibration import Calibration

        arrays = self.inputs[StageTag.S01].npz(
            result(OUTPUT.CALIBRATION_STATS_NPZ_BASENAME), CALIBRATION_SPEC
        )
        return Calibration(arrays["mu"], arrays["sigma"], arrays["d_ff"], int(arrays["n_tokens"]))

    def scales(self, calibration: Calibration | None = None) -> list[LayerScale]:
        """The standardisation by a calibration (Phase 1's), on the model's device."""
        calibration = calibration or self.calibration()
        return calibration.layers(next(self.session.model.parameters()).device)

    def document(self, tag: StageTag, basename: str, kind: type[Document]) -> Document:
        """A JSON artifact of an upstream run."""
        return read_document(self.inputs[tag].path(result(basename)), kind)

    def rows(self, tag: StageTag, basename: str, schema: TableSchema) -> list[dict[str, Any]]:
        """The rows of a table of an upstream run."""
        table = read_table(self.inputs[tag].path(result(basename)), schema)
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def rasters(self, tag: StageTag, basename: str) -> Rasters:
        """The rasters of an upstream run, with the condition of each cond_id; counts stay on disk.

        Raises:
            ArrayError: the file breaks the schema, or holds other conditions than its record says.
        """
        reader = self.inputs[tag]
        conditions = tuple(Condition.from_json(entry) for entry in reader.record.conditions)
        return load_rasters(reader.path(result(basename)), conditions)

    # ---------------------------------------------------------------- outputs

    def write_table(
        self, basename: str, schema: TableSchema, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """Write a validated table to the results folder."""
        table = schema.table(rows)
        self.run.write(result(basename), lambda file: write_table(table, file))

    def export_table(
        self, table_id: TableId, schema: TableSchema, rows: Iterable[Mapping[str, Any]]
    ) -> pa.Table:
        """Write an exported table in both its forms, from one validated frame."""
        table = schema.table(rows)
        self.run.write(
            OUTPUT.TABLE_FILE_PARQUET[table_id.name], lambda file: write_table(table, file)
        )
        self.run.write(OUTPUT.TABLE_FILE_CSV[table_id.name], lambda file: write_csv(table, file))
        return table

    def export_figure(self, figure_id: FigureId, figure: Figure, shown: str) -> None:
        """Write a figure in both its forms.

        Args:
            figure_id: which figure it is.
            figure: what a drawing function returned.
            shown: the conditions that it shows, in words.
        """
        metadata = figure_metadata(figure_id, self.provenance, shown)
        paths = {"pdf": OUTPUT.FIG_FILE_PDF, "png": OUTPUT.FIG_FILE_PNG}
        for suffix in SUFFIXES:
            content = figure_bytes(figure, suffix, metadata)
            self.run.write_bytes(paths[suffix][figure_id.name], content)

    def write_npz(self, basename: str, arrays: Mapping[str, np.ndarray | BlockArray]) -> None:
        """Write arrays to the results folder."""
        self.run.write_npz(result(basename), arrays)

    def write_json(self, basename: str, value: Any) -> None:
        """Write a JSON document to the results folder."""
        self.run.write_json(result(basename), value)

    def record_conditions(self, conditions: Sequence[Condition]) -> None:
        """Put the mapping from cond_id to conditions into the record."""
        self.run.record.conditions = [
            {"cond_id": c, **condition.to_json()} for c, condition in enumerate(conditions)
        ]

    # ---------------------------------------------------------- forward passes

    def blocks(self, n_windows: int) -> Iterator[tuple[int, int]]:
        """Starts and stops of the blocks of windows that are kept as partial results.

        A block holds whole batches, so that the batches, on whose size rounding may depend, are the
        same whatever the size of a block.
        """
        batch = self.config.compute.batch_size
        block = -(-self.config.execution.block_windows // batch) * batch
        for start in range(0, n_windows, block):
            yield start, min(start + block, n_windows)

    @contextmanager
    def progress(self, name: str, total: int) -> Iterator[Task]:
        """Show a task of ``total`` windows."""
        with self.session.reporter.task(name, total) as task:
            yield task

    def forward(
        self,
        batches: Iterable[Batch],
        g: Decimal,
        function: Callable[[int, Tensor], Result],
        task: Task,
        intervention_id: InterventionId = InterventionId.MLP_GLOBAL,
    ) -> Iterator[tuple[Batch, list[Result]]]:
        """Pass batches through the model under an intervention at gain g, counted, in order.

        Yields:
            Each batch with the function's result for each layer.
        """
        from avalattice.events.passes import collect

        model = self.session.model
        yield from self.passes(
            batches, lambda batch: collect(model, batch, g, function, intervention_id), task
        )

    def forward_with_nll(
        self,
        batches: Iterable[Batch],
        g: Decimal,
        function: Callable[[int, Tensor], Result],
        task: Task,
    ) -> Iterator[tuple[Batch, tuple[list[Result], Float64[np.ndarray, " B"]]]]:
        """As :meth:`forward`, with the loss of each window of a batch beside the results."""
        from avalattice.events.passes import collect_with_nll

        model = self.session.model
        yield from self.passes(
            batches, lambda batch: collect_with_nll(model, batch, g, function), task
        )

    def passes(
        self, batches: Iterable[Batch], work: Callable[[Batch], Result], task: Task
    ) -> Iterator[tuple[Batch, Result]]:
        """Forward passes of batches, counted, in order.

        Yields:
            Each batch with what ``work``, which passes it through the model, makes of it.
        """

        def paired(batch: Batch) -> tuple[Batch, Result]:
            return batch, work(batch)

        for batch, made in self.session.engine.map(paired, batches):
            self.run.count_forward(batch.n_windows, batch.input_ids.numel())
            task.advance(batch.n_windows)
            yield batch, made
