"""The JSON artifacts of phases 1, 2, 5 and 7, with their schemas.

JSON has no NaN: an undefined number is null here, and a reason stands beside it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from avalattice.canon import CONST, SpikeDefId
from avalattice.errors import SchemaError
from avalattice.events.targets import RateTargets
from avalattice.rng import decimal_text
from avalattice.stats.gstar import GStar
from avalattice.stats.signatures import Verdict

GAINS_COINCIDE = "gains coincide"
"""Why there is no difference between g1 and g* where g* = 1."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


Document = TypeVar("Document", bound=_Document)


class RateTargetsDocument(_Document):
    """``rate_targets.json``."""

    tau0: float
    rate_profile: Literal["baseline", "uniform"]
    target_unit: Literal["events per unit and token", "events per site"]
    spike_defs: list[str]
    labels: list[str]
    rates: list[float]
    """Events per unit and token, by target."""
    base_rates: list[list[float]]
    """r0_l, by spike definition and layer."""
    layer_rates: list[list[list[float]]]
    """r*_l, by spike definition, target and layer."""
    k: list[list[list[int]]]
    """Target events, by spike definition, target and layer."""
    m: list[int]
    """Calibration values, by layer."""
    n_tokens: int
    """Calibration tokens."""
    few_events: list[str]
    """Targets with a layer below RATE_MATCH_MIN_EVENTS events."""
    silent_units: list[int]
    """Units with sigma ≤ EPS, by layer: they never produce events."""

    @classmethod
    def of(
        cls,
        targets: RateTargets,
        *,
        tau0: float,
        rate_profile: Literal["baseline", "uniform"],
        per_site: bool,
        silent_units: list[int],
    ) -> RateTargetsDocument:
        """From the targets."""
        few = np.any(targets.k < CONST.RATE_MATCH_MIN_EVENTS, axis=(0, 2)).tolist()
        return cls(
            tau0=tau0,
            rate_profile=rate_profile,
            target_unit="events per site" if per_site else "events per unit and token",
            spike_defs=[str(definition) for definition in targets.spike_defs],
            labels=list(targets.labels),
            rates=targets.rates.tolist(),
            base_rates=targets.base_rates.tolist(),
            layer_rates=targets.layer_rates.tolist(),
            k=targets.k.tolist(),
            m=targets.m.tolist(),
            n_tokens=targets.n_tokens,
            few_events=[label for label, is_few in zip(targets.labels, few, strict=True) if is_few],
            silent_units=silent_units,
        )

    def targets(self) -> RateTargets:
        """As the science knows them."""
        return RateTargets(
            tuple(SpikeDefId(name) for name in self.spike_defs),
            tuple(self.labels),
            np.array(self.rates),
            np.array(self.base_rates),
            np.array(self.layer_rates),
            np.array(self.k, dtype=np.int64),
            np.array(self.m, dtype=np.int64),
            self.n_tokens,
        )


class GStarEntry(_Document):
    """One choice of g*."""

    spike_def_id: str
    target_label: str
    target_rate: float
    gstar: str | None
    b_tot: float | None
    bracketed: bool
    at_grid_edge: bool
    identifiable: bool
    reason: str | None
    crossing: float | None
    crossing_ci_low: float | None
    crossing_ci_high: float | None
    slope: float | None
    slope_ci_low: float | None
    slope_ci_high: float | None
    share_bracketed: float
    shares: dict[str, float]
    """Share of bootstrap replicates that choose each gain."""
    excluded: list[str]
    """Gains whose b_tot is undefined."""
    few_windows: bool

    @classmethod
    def of(
        cls,
        result: GStar,
        *,
        spike_def_id: str,
        target_label: str,
        target_rate: float,
        few_windows: bool,
    ) -> GStarEntry:
        """From the selection's result."""
        return cls(
            spike_def_id=str(spike_def_id),
            target_label=target_label,
            target_rate=target_rate,
            gstar=None if result.gstar is None else decimal_text(result.gstar),
            b_tot=_number(result.b_tot),
            bracketed=result.bracketed,
            at_grid_edge=result.at_grid_edge,
            identifiable=result.identifiable,
            reason=result.reason,
            crossing=_number(result.crossing),
            crossing_ci_low=_number(result.crossing_interval[0]),
            crossing_ci_high=_number(result.crossing_interval[1]),
            slope=_number(result.slope),
            slope_ci_low=_number(result.slope_interval[0]),
            slope_ci_high=_number(result.slope_interval[1]),
            share_bracketed=result.share_bracketed,
            shares={decimal_text(gain): share for gain, share in result.shares.items()},
            excluded=[decimal_text(gain) for gain in result.excluded],
            few_windows=few_windows,
        )

    def words(self) -> str:
        """The choice as a sentence."""
        where = f"{self.spike_def_id}, target {self.target_label}"
        if self.gstar is None:
            return f"{where}: no g*, {self.reason}"
        verdict = "identifiable" if self.identifiable else f"not identifiable: {self.reason}"
        few = " (few windows)" if self.few_windows else ""
        return f"{where}: g* = {self.gstar} with b_tot {self.b_tot:.3f}{few}; {verdict}"

    @property
    def gain(self) -> Decimal | None:
        """g* as a decimal."""
        return None if self.gstar is None else Decimal(self.gstar)

    @property
    def raster_gains(self) -> list[Decimal]:
        """Gain 1 and g*, once where they coincide; gain 1 alone where there is no g*."""
        chosen = () if self.gain is None else (self.gain,)  # not by truth: a gain may be zero
        return sorted({CONST.GAIN_BASELINE, *chosen})


class GStarDocument(_Document):
    """``gstar.json``: the choices, and the digests of what they were computed from."""

    model_role: str
    criterion: str
    inputs: dict[str, str]
    """sha256 of each artifact that was read."""
    gains: list[str]
    bootstrap_reps: int
    n_sequences: int
    choices: list[GStarEntry]

    def choice(self, spike_def_id: str, target_label: str) -> GStarEntry:
        """The choice of one spike definition and target.

        Raises:
            SchemaError: there is none.
        """
        for entry in self.choices:
            if (entry.spike_def_id, entry.target_label) == (spike_def_id, target_label):
                return entry
        raise SchemaError(f"no g* for {spike_def_id} at target {target_label}")


class SignatureEntry(_Document):
    """One signature of one curve, judged."""

    spike_def_id: str
    target_label: str
    signature_id: str
    verdict: str
    """supported, not_supported or not_assessable."""
    reason: str
    """Every part that does not hold, with its numbers; where all hold, what they are."""
    numbers: dict[str, float | None]
    """The numbers that it rests on."""

    @classmethod
    def of(cls, verdict: Verdict, *, spike_def_id: str, target_label: str) -> SignatureEntry:
        """From the assessment's result."""
        return cls(
            spike_def_id=str(spike_def_id),
            target_label=target_label,
            signature_id=str(verdict.signature_id),
            verdict=str(verdict.verdict),
            reason=verdict.reason,
            numbers={name: _number(value) for name, value in verdict.numbers.items()},
        )

    def words(self) -> str:
        """The verdict as a sentence."""
        verdict = self.verdict.replace("_", " ")
        return (
            f"{self.spike_def_id}, target {self.target_label}, {self.signature_id}: {verdict}; "
            f"{self.reason}"
        )


class PercolationEntry(_Document):
    """Where the occupancy of one condition lies beside the percolation threshold."""

    spike_def_id: str
    target_label: str
    g: str
    adjacency_id: str
    occupancy: float | None
    threshold: float
    near: bool
    """Independent sites of this occupancy would show power laws too."""
    words: str


class SignaturesDocument(_Document):
    """``signatures.json``: the three signatures of every curve, and what to read them beside."""

    entries: list[SignatureEntry]
    percolation: list[PercolationEntry]


Scalar: TypeAlias = bool | int | float | str | None
"""One cell of a table."""


class ClaimRow(_Document):
    """What a claim comes to on one row of its table."""

    key: dict[str, Scalar]
    """The columns that tell the row apart."""
    values: dict[str, Scalar]
    """The columns that the claim reads."""
    measure: float | None
    """The number that the comparison computes, if it computes one."""
    verdict: Literal["supported", "not_supported", "not_assessable"]
    reason: str | None
    """Why the row is undefined, or what the table says of it."""


class ClaimEntry(_Document):
    """One claim of the paper: what was compared, what came out, and the sentence that says it."""

    number: int
    """As the paper cites it."""
    claim_id: str
    """The same from paper to paper."""
    table: str
    """The table or document whose rows it is about."""
    derivation: str | None
    """How the compared rows follow from that table; null for rows of the table itself."""
    run_id: str | None
    """The run that wrote the table; null where there is none."""
    filter: list[dict[str, Scalar]]
    """The rows that have all values of one of these."""
    comparison: str
    """Its kind."""
    statement: str
    """The comparison, in symbols, that is to hold on every row."""
    gates: dict[str, Scalar]
    """What a row must have for that to be assessable."""
    columns: list[str]
    """Columns that were read."""
    numbers: dict[str, int | float | None]
    """Rows by verdict, and the range of each number that was read."""
    verdict: Literal["supported", "not_supported", "not_assessable"]
    sentence: str
    few: list[str]
    """Such as ``few windows``: what its intervals rest on, where that is too little."""
    rows: list[ClaimRow]


class ClaimsDocument(_Document):
    """``claims.json``: every claim of the paper."""

    model_id: str
    model_role: str
    claims: list[ClaimEntry]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def parse_document(kind: type[Document], content: Any, where: str) -> Document:
    """A document from parsed JSON.

    Raises:
        SchemaError: it breaks its schema.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise SchemaError(f"{where}: {place}: {first['msg']}") from error


def read_document(path: Path, kind: type[Document]) -> Document:
    """Read and validate a JSON artifact.

    Raises:
        SchemaError: it is not JSON, or breaks its schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path}: not a readable JSON file ({error})") from error
    return parse_document(kind, content, str(path))
