"""What tests read of a run, and how they spoil one."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from avalattice.canon import TableId
from avalattice.export.tabular import TableSchema, write_table
from avalattice.store.record import read_record
from avalattice.store.runs import RunStore
from tests.stages.conftest import Workplace

Row = dict[str, object]
CURVE = ("spike_def_id", "target_label")


def results(place: Workplace, tag: str, name: str) -> list[Row]:
    """The rows of a table of the results folder."""
    return pq.read_table(place.run(tag) / "results" / f"{name}.parquet").to_pylist()


def exported(place: Workplace, table: TableId, tag: str = "S05") -> list[Row]:
    """The rows of an exported table."""
    return pq.read_table(place.run(tag) / f"{table}.parquet").to_pylist()


def document(place: Workplace, tag: str, name: str) -> dict:
    """A JSON artifact."""
    return json.loads((place.run(tag) / "results" / f"{name}.json").read_text())


def choices(place: Workplace) -> dict[tuple[str, str], dict]:
    """The choices of g*, by curve."""
    found = document(place, "S02B", "gstar")["choices"]
    return {tuple(choice[name] for name in CURVE): choice for choice in found}


def counts(place: Workplace, tag: str, name: str) -> np.ndarray:
    """The counts of a raster file."""
    with np.load(place.run(tag) / "results" / f"{name}.npz", allow_pickle=False) as arrays:
        return arrays["A"]


def grid(place: Workplace) -> np.ndarray:
    """Phase 2's rasters."""
    return counts(place, "S02", "rasters_gain_grid")


def held_out(place: Workplace) -> np.ndarray:
    """Phase 3's rasters."""
    return counts(place, "S03", "rasters_token_layer")


def conditions(place: Workplace, tag: str) -> list[dict]:
    """The conditions of a run, as its record holds them."""
    return read_record(place.run(tag)).conditions


def forge(place: Workplace, tag: str, name: str, content: bytes) -> None:
    """Replace an artifact and its digest in the record, as if the stage had written it so.

    What rests on the run is removed: it would say that its upstream has changed.
    """
    run = place.run(tag)
    store = RunStore(place.runs)
    store.remove([each for each in store.with_dependents([run.name]) if each != run.name])
    path = run / name
    path.chmod(0o644)
    path.write_bytes(content)
    record = read_record(run)
    entry = record.artifact_index[name]
    entry.sha256, entry.bytes = hashlib.sha256(content).hexdigest(), len(content)
    (run / "run_record.json").chmod(0o644)
    record.write(run)


def forge_table(
    place: Workplace, tag: str, name: str, schema: TableSchema, change: Callable[[list[Row]], None]
) -> None:
    """Change rows of a results table."""
    rows = results(place, tag, name)
    change(rows)
    file = io.BytesIO()
    write_table(schema.table(rows), file)
    forge(place, tag, f"results/{name}.parquet", file.getvalue())


def forge_counts(
    place: Workplace, tag: str, name: str, change: Callable[[np.ndarray], None]
) -> None:
    """Change the counts of a raster file."""
    path: Path = place.run(tag) / "results" / f"{name}.npz"
    with np.load(path, allow_pickle=False) as arrays:
        members = {key: arrays[key] for key in arrays.files}
    change(members["A"])
    members["X"] = (members["A"] > 0).astype(np.uint8)
    file = io.BytesIO()
    np.savez(file, **members)
    forge(place, tag, f"results/{name}.npz", file.getvalue())
