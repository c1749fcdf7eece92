"""Rows of T07: g* and what is measured there, of the BASE and of the INSTRUCT model.

Both analyses stand on the same configuration but for the model, and so on the same curves. Each
model is taken at its own g*. Whether the two are of one family is read off their architecture
(``model_type``), which is necessary for one to be the tuned form of the other, and no proof: where
family or shape differ, every row says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from avalattice.canon import ModelRole, WindowSet
from avalattice.errors import SchemaError
from avalattice.export.documents import GStarDocument, GStarEntry
from avalattice.export.tables import Provenance

Curve: TypeAlias = tuple[str, str]
_MEASURED: Final = {
    "delta_b_tot": "null_reason",
    "delta_b_depth_shift": "null_reason",
    "chi": "chi_reason",
}
"""What is compared at g*, with T01's column that says why it is undefined."""


@dataclass(frozen=True)
class RoleAnalysis:
    """What T07 reads of one model."""

    model_id: str
    family: str
    """The architecture, ``model_type`` in its configuration."""
    shape: tuple[int, ...]
    """MLP units, by layer."""
    run_id: str
    """Its phase 5."""
    summary: Sequence[Mapping[str, Any]]
    """Rows of its T01."""
    gstar: GStarDocument

    @property
    def shape_words(self) -> str:
        """Layers and widths."""
        widths = " to ".join(dict.fromkeys(map(str, (min(self.shape), max(self.shape)))))
        return f"{len(self.shape)} layers of {widths} units"

    @property
    def curves(self) -> dict[Curve, GStarEntry]:
        """The choices of g*, by spike definition and target."""
        return {(e.spike_def_id, e.target_label): e for e in self.gstar.choices}

    def at_gstar(self, entry: GStarEntry) -> Mapping[str, Any] | None:
        """T01's held-out row at a curve's g*; None where there is no g*."""
        if entry.gain is None:
            return None
        found = {
            (row["spike_def_id"], row["target_label"], row["g"]): row
            for row in self.summary
            if row["window_set"] == WindowSet.RASTER
        }
        # both are the double that is nearest to the configuration's decimal
        key = (entry.spike_def_id, entry.target_label, float(entry.gain))
        if key not in found:
            raise SchemaError(f"{self.run_id}: T01 has no held-out row of {key}")
        return found[key]


def replication_rows(
    provenance: Provenance, analyses: Mapping[ModelRole, RoleAnalysis]
) -> Iterator[dict[str, Any]]:
    """One row per curve.

    Args:
        provenance: what every row begins and ends with.
        analyses: of both roles.

    Raises:
        SchemaError: the two have other curves, or a T01 lacks a row at g*.
    """
    base, instruct = (analyses[role] for role in (ModelRole.BASE, ModelRole.INSTRUCT))
    if base.curves.keys() != instruct.curves.keys():
        odd = sorted(base.curves.keys() ^ instruct.curves.keys())
        raise SchemaError(f"only one of {base.run_id} and {instruct.run_id} has the curves {odd}")
    for curve, entry in instruct.curves.items():
        columns: dict[str, Any] = {}
        reasons = [_kinship_words(base, instruct)]
        for role, analysis in analyses.items():
            of_role, lacking = _role_columns(role, analysis, analysis.curves[curve])
            columns |= of_role
            reasons += lacking
        yield {
            **vars(provenance),
            "spike_def_id": entry.spike_def_id,
            "target_label": entry.target_label,
            "target_rate": entry.target_rate,
            "target_rate_base": base.curves[curve].target_rate,
            **columns,
            "same_family": base.family == instruct.family,
            "reason": "; ".join(reason for reason in reasons if reason) or None,
        }


def _kinship_words(base: RoleAnalysis, instruct: RoleAnalysis) -> str:
    """Why one cannot be the tuned form of the other; empty where nothing speaks against it."""
    if base.family != instruct.family:
        what, of_base, of_instruct = "family", base.family, instruct.family
    elif base.shape != instruct.shape:
        what, of_base, of_instruct = "shape", base.shape_words, instruct.shape_words
    else:
        return ""
    return (
        f"not of one {what}: {base.model_id} has {of_base}, {instruct.model_id} has {of_instruct}"
    )


def _role_columns(
    role: ModelRole, analysis: RoleAnalysis, entry: GStarEntry
) -> tuple[dict[str, Any], list[str]]:
    """One model's columns, and why some are undefined."""
    row, suffix = analysis.at_gstar(entry), role.lower()
    values = {name: None if row is None else row[name] for name in _MEASURED}
    if row is None:
        reasons = {entry.reason or "g* is undefined"}
    else:
        reasons = {
            row[reason] or f"{name} is undefined"
            for name, reason in _MEASURED.items()
            if values[name] is None
        }
    columns = {
        f"model_id_{suffix}": analysis.model_id,
        f"s05_run_id_{suffix}": analysis.run_id,
        f"gstar_{suffix}": None if entry.gain is None else float(entry.gain),
        f"identifiable_{suffix}": entry.identifiable,
        **{f"{name}_{suffix}": value for name, value in values.items()},
    }
    return columns, [f"{role}: {reason}" for reason in sorted(reasons)]
