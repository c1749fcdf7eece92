"""What the paper is written from: rows of tables, and facts about models, data and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from avalattice.canon import DatasetRole, FigureId
from avalattice.export.paper.sources import (
    CHOICES,
    GENERALIZATION,
    REPLICATION,
    TRANSFER,
    Rows,
    Source,
)
from avalattice.export.tables import Provenance

_NO_B: Final = "phase 6 was not run on Dataset B: the configuration names no such data"
ABSENT: Final = {
    GENERALIZATION: _NO_B,
    TRANSFER: _NO_B,
    CHOICES: "phase 6 was not run on questions: the configuration names none",
    REPLICATION: "no complete phase 5 of the other model role with this configuration was at hand",
}
"""Why a source may not be there."""


@dataclass(frozen=True)
class ModelFacts:
    """One model."""

    id: str
    role: str
    source: str
    revision: str | None
    family: str
    n_layers: int
    d_ff: tuple[int, ...]
    """Units of each layer's MLP."""
    n_parameters: int
    dtype: str
    device: str
    attention: str
    random_init: bool
    note: str | None
    """What a reader must know of the weights."""


@dataclass(frozen=True)
class DataFacts:
    """One slice of one dataset, or one set of questions."""

    role: str
    window_set: str
    source: str
    revision: str | None
    n: int
    """Windows, or questions."""
    sha256: str


@dataclass(frozen=True)
class ArtifactFacts:
    """One file of a run that the paper rests on."""

    run_id: str
    stage_id: str
    config_hash: str
    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Settings:
    """What was configured."""

    seed: int
    seq_len_tokens: int
    warmup_tokens: int
    pool_factor: int
    bos: bool
    """A token is put before every window."""
    tau0: float
    rate_profile: str
    target_unit: str
    targets: tuple[str, ...]
    spike_defs: tuple[str, ...]
    gains: tuple[str, ...]
    denominator: str
    bootstrap_reps: int
    null_replicates: int
    avalanche_replicates: int
    shuffle_replicates: int
    adjacency: str
    gof_reps: int
    interventions: tuple[str, ...]
    batch_size: int
    libraries: Mapping[str, str]
    """Versions of those that make forward passes."""


@dataclass(frozen=True)
class Evidence:
    """Everything that the paper is written from."""

    provenance: Provenance
    model: ModelFacts
    peer: ModelFacts | None
    """The model of the other role, where its analysis is compared."""
    data: tuple[DataFacts, ...]
    settings: Settings
    rows: Mapping[Source, Rows]
    """See :func:`~avalattice.export.paper.sources.rows_by_source`."""
    run_ids: Mapping[Source, str]
    """The run that wrote each source."""
    figures: Mapping[FigureId, str]
    """The run of each figure that is there."""
    artifacts: tuple[ArtifactFacts, ...]
    overridden: tuple[str, ...] = ()
    """Runs that were named by hand, and need not be those of the configuration."""

    def slices(self, role: DatasetRole) -> tuple[DataFacts, ...]:
        """The slices of one dataset."""
        return tuple(part for part in self.data if part.role == role)
