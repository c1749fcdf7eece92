"""Rasters: event counts on the token × layer lattice, for many conditions and windows.

    A[c,n,l,t]  events at a site (uint16)         X[c,n,l,t] = 1 where A > 0 (uint8)

The file holds X, A, cond_id and seq_id under the registry's key names. It can be written from
blocks of windows, so that no raster needs to fit in memory, and is read lazily.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Int32, Int64

from avalattice.arrays import (
    ArraySpec,
    BlockArray,
    CountStack,
    OccupancyStack,
    check_arrays,
    read_npz,
    row_blocks,
    write_npz,
)
from avalattice.canon import (
    DatasetRole,
    InterventionId,
    ModelRole,
    NpzKey,
    NullId,
    SpikeDefId,
)
from avalattice.errors import ArrayError
from avalattice.rng import NamePart, decimal_text

RASTER_SPEC: Mapping[str, ArraySpec] = {
    NpzKey.X_OCCUPANCY: ArraySpec("uint8", "C N L T"),
    NpzKey.A_COUNT: ArraySpec("uint16", "C N L T"),
    NpzKey.COND_ID: ArraySpec("int32", "C"),
    NpzKey.SEQ_ID: ArraySpec("int32", "N"),
}


GIVEN_COUNTS: Final = "counts"
"""In the place of a spike definition: counts were given, and no activation was thresholded."""
NO_ROLE: Final = "none"
"""In the place of a model's or dataset's role: no model was run."""


@dataclass(frozen=True)
class Condition:
    """What a raster was made under."""

    model_role: str
    """A :class:`~avalattice.canon.ModelRole`; ``none`` of given counts, as the next."""
    dataset_role: str
    """A :class:`~avalattice.canon.DatasetRole`."""
    spike_def_id: str
    """A :class:`~avalattice.canon.SpikeDefId`; ``counts`` of given counts."""
    target_label: str
    """The target as written in the configuration: what tables are joined by."""
    target_rate: float
    """Events per unit and token, mean over layers; of given counts, events per site."""
    gain: Decimal
    null_id: NullId = NullId.NULL_NONE
    intervention_id: InterventionId = InterventionId.MLP_GLOBAL

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Condition:
        """The tuple from JSON values, as a run's record holds them."""
        return cls(
            model_role=ModelRole(values["model_role"]),
            dataset_role=DatasetRole(values["dataset_role"]),
            spike_def_id=SpikeDefId(values["spike_def_id"]),
            target_label=values["target_label"],
            target_rate=values["target_rate"],
            gain=Decimal(values["gain"]),
            null_id=NullId(values["null_id"]),
            intervention_id=InterventionId(values["intervention_id"]),
        )

    @property
    def stream_name(self) -> tuple[NamePart, ...]:
        """The condition's part of the name of a random stream, null_id last."""
        return (
            self.model_role,
            self.dataset_role,
            self.spike_def_id,
            self.target_label,
            self.gain,
            self.intervention_id,
            self.null_id,
        )

    def to_json(self) -> dict[str, Any]:
        """The tuple as JSON values."""
        return {
            name: decimal_text(value) if isinstance(value, Decimal) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Rasters:
    """A stack of rasters with its axes' identifiers."""

    A: CountStack
    """Events per site."""
    cond_id: Int32[np.ndarray, " C"]
    """Condition identifiers."""
    seq_id: Int32[np.ndarray, " N"]
    """Sequence identifiers within the slice."""
    conditions: tuple[Condition, ...] | None = None
    """The condition of each cond_id, where it is known."""

    @property
    def X(self) -> OccupancyStack:  # noqa: N802 - the field's symbol
        """Occupancy: 1 where A > 0."""
        return (np.asarray(self.A) > 0).astype(np.uint8)

    def events_by_layer(self) -> Int64[np.ndarray, "C L"]:
        """ΣA of each condition and layer; read in blocks."""
        totals = [
            sum(block.sum(axis=(0, 2), dtype=np.int64) for block in row_blocks(condition))
            for condition in self.A
        ]
        return np.array(totals, dtype=np.int64).reshape(self.A.shape[0], self.A.shape[2])

    def to_xarray(self) -> Any:
        """A as an ``xarray.DataArray`` with named axes (needs xarray installed)."""
        import xarray

        return xarray.DataArray(
            self.A,
            dims=("condition", "sequence", "layer", "token"),
            coords={"condition": self.cond_id, "sequence": self.seq_id},
            name=str(NpzKey.A_COUNT),
        )


def raster_members(
    blocks: Callable[[], Iterable[np.ndarray]], shape: tuple[int, int, int, int]
) -> dict[str, np.ndarray | BlockArray]:
    """The members of a raster file whose counts come in blocks.

    Args:
        blocks: gives, anew at each call, parts of A that in C order make up the stack.
        shape: C, N, L, T.
    """
    occupancy = lambda: ((block > 0).astype(np.uint8) for block in blocks())  # noqa: E731
    return {
        NpzKey.X_OCCUPANCY: BlockArray(np.dtype(np.uint8), shape, occupancy),
        NpzKey.A_COUNT: BlockArray(np.dtype(np.uint16), shape, blocks),
        NpzKey.COND_ID: np.arange(shape[0], dtype=np.int32),
        NpzKey.SEQ_ID: np.arange(shape[1], dtype=np.int32),
    }


def save_rasters(path: Path, rasters: Rasters) -> None:
    """Write a raster file.

    Raises:
        ArrayError: an array has the wrong dtype or rank, lengths do not agree, or identifiers
            repeat.
    """
    members: dict[str, np.ndarray] = {
        NpzKey.X_OCCUPANCY: rasters.X,
        NpzKey.A_COUNT: rasters.A,
        NpzKey.COND_ID: rasters.cond_id,
        NpzKey.SEQ_ID: rasters.seq_id,
    }
    check_arrays(members, RASTER_SPEC, where=str(path))
    _check_identifiers(members, where=str(path))
    write_npz(path, members)


def load_rasters(path: Path, conditions: tuple[Condition, ...] | None = None) -> Rasters:
    """Read a raster file; the counts stay on disk until they are used.

    Args:
        path: the file.
        conditions: the condition of each cond_id, where it is known.

    Raises:
        ArrayError: a key is missing, has the wrong dtype, rank or length, identifiers repeat, or X
            is not A > 0.
    """
    arrays = read_npz(Path(path), RASTER_SPEC, lazy=True)
    cond_id, seq_id = arrays[NpzKey.COND_ID], arrays[NpzKey.SEQ_ID]
    _check_identifiers(arrays, where=str(path))
    if conditions is not None and len(conditions) != len(cond_id):
        raise ArrayError(f"{path}: {len(cond_id)} cond_id for {len(conditions)} conditions")
    X, A = arrays[NpzKey.X_OCCUPANCY], arrays[NpzKey.A_COUNT]
    for x, a in zip(_blocks(X), _blocks(A), strict=True):
        if not np.array_equal(x, a > 0):
            raise ArrayError(f"{path}: X must be 1 where A > 0 and 0 elsewhere, and is not")
    return Rasters(A, np.asarray(cond_id), np.asarray(seq_id), conditions)


def _check_identifiers(arrays: Mapping[str, np.ndarray], *, where: str) -> None:
    for name in (NpzKey.COND_ID, NpzKey.SEQ_ID):
        if len(np.unique(arrays[name])) < len(arrays[name]):
            raise ArrayError(f"{where}: {name} holds an identifier twice")


def _blocks(stack: np.ndarray) -> Iterator[np.ndarray]:
    for condition in stack:
        yield from row_blocks(condition)
