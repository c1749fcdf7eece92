"""``run_record.json``: what a run is, what it rests on, and the digest of every byte it holds.

The file is the canonical JSON of the record, ``record_sha256`` included, byte for byte. That key
is the digest of the record without it, so no byte of the file can change unseen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avalattice.canon import OUTPUT, PROJECT_ID
from avalattice.errors import VerificationError
from avalattice.store.digests import canonical_json, sha256_json
from avalattice.store.files import replace_atomically

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ModelRecord(_Part):
    """The model that a run rests on."""

    id: str
    role: str
    source: str
    revision: str | None
    files: dict[str, str]
    """sha256 of each weight and configuration file."""
    model_type: str
    n_layers: int
    d_ff: list[int]
    """Units of each layer's MLP."""
    n_parameters: int
    dtype: str
    device: str
    attention: str
    random_init: bool
    note: str | None = None
    """What a reader must know of the weights, such as that they were de-quantised."""


class TokenizerRecord(_Part):
    """The tokenizer."""

    files: dict[str, str]
    bos_token_id: int | None
    """The token put before every window, or None."""


class DatasetRecord(_Part):
    """One slice of one dataset, or one set of questions."""

    role: str
    window_set: str
    source: str
    revision: str | None
    slice_sha256: str
    """Digest of window ids and token ids, or of the questions."""
    window_ids: list[int]
    """Position of each window in the corpus, or of each question in its source."""


class DependencyRecord(_Part):
    """An upstream run, and the artifacts of it that were consumed."""

    run_id: str
    stage_id: str
    record_sha256: str
    artifacts: dict[str, str]
    overridden: bool = False
    """The run was named with --dep rather than computed from the configuration."""


class Artifact(_Part):
    """One file of a run."""

    sha256: str
    bytes: int
    created_utc: str


class Cost(_Part):
    """What a run took."""

    forward_windows: int = 0
    """Windows passed through the model, resumed parts included."""
    forward_tokens: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall-clock seconds by step, of this process and of those it resumed."""
    peak_memory_bytes: int = 0


class RunRecord(_Part):
    """Everything that is known about a run."""

    project_id: str = PROJECT_ID
    schema_version: int = SCHEMA_VERSION
    package_version: str
    run_id: str
    scope_sha256: str
    """Digest of the identity; the run id begins with it."""
    stage_id: str
    stage_version: int
    status: Literal["incomplete", "complete"]
    created_utc: str
    finished_utc: str | None = None
    identity: dict[str, Any]
    """What ``scope_sha256`` is the digest of."""
    model: ModelRecord | None
    tokenizer: TokenizerRecord | None
    datasets: list[DatasetRecord]
    config_hash: str
    config_file_sha256: str
    dependencies: list[DependencyRecord]
    conditions: list[dict[str, Any]] = Field(default_factory=list)
    """cond_id and its tuple, for stages that write rasters."""
    artifact_index: dict[str, Artifact] = Field(default_factory=dict)
    environment: dict[str, Any]
    determinism: dict[str, Any]
    cost: Cost = Field(default_factory=Cost)
    notes: list[str] = Field(default_factory=list)

    def to_bytes(self) -> bytes:
        """The canonical form, with its digest."""
        values = self.model_dump(mode="json")
        return canonical_json(values | {"record_sha256": sha256_json(values)})

    def write(self, run_folder: Path) -> None:
        """Replace the record of a run, atomically."""
        replace_atomically(run_folder / OUTPUT.RUN_RECORD_JSON, self.to_bytes())

    @property
    def sha256(self) -> str:
        """The record's digest."""
        return sha256_json(self.model_dump(mode="json"))


def read_record(run_folder: Path) -> RunRecord:
    """Read and verify a run's record.

    Raises:
        VerificationError: the record is missing, its digest does not match, it was written by a
            newer version, breaks its schema, or is not the canonical form of itself.
    """
    path = run_folder / OUTPUT.RUN_RECORD_JSON
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read ({error.strerror})") from error
    record = _validated(path, _checked_values(path, content))
    if content != record.to_bytes():
        raise VerificationError(f"{path}: the bytes are not the record's canonical form")
    return record


def _checked_values(path: Path, content: bytes) -> dict[str, Any]:
    """The record's values without its digest, which they match."""
    try:
        values = json.loads(content)
        if not isinstance(values, dict) or "record_sha256" not in values:
            raise VerificationError(f"{path}: not a run record (it has no record_sha256)")
        stated = values.pop("record_sha256")
        found = sha256_json(values)
    except (ValueError, RecursionError) as error:  # no JSON, or JSON with NaN or Inf
        raise VerificationError(f"{path}: not a run record ({error})") from error
    if found != stated:
        raise VerificationError(f"{path}: record_sha256 is {stated}, its content gives {found}")
    return values


def _validated(path: Path, values: dict[str, Any]) -> RunRecord:
    version = values.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise VerificationError(
            f"{path}: schema_version is {version}, this version of {PROJECT_ID} knows "
            f"{SCHEMA_VERSION}: use a newer one"
        )
    try:
        return RunRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise VerificationError(f"{path}: not a run record ({key}: {first['msg']})") from error
