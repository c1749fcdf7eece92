"""What claims are evaluated on: the tables of the runs, and three views that follow from them.

A source has a name, the columns that a claim may read, and the key that tells its rows apart. A
view is derived from a table by the stated formula, here, and holds nothing that the table does not
imply.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from avalattice.canon import CONST, OUTPUT, GCondition, InterventionId, WindowSet
from avalattice.export import schemas
from avalattice.export.documents import (
    GStarDocument,
    GStarEntry,
    PercolationEntry,
    SignatureEntry,
    SignaturesDocument,
)
from avalattice.export.tabular import TableSchema
from avalattice.stats.tails import STATUS_OK

Rows: TypeAlias = Sequence[Mapping[str, Any]]

_CURVE = ("spike_def_id", "target_label")
WINDOW_SET: Final = "window_set"


@dataclass(frozen=True)
class Source:
    """A table, or what is derived from one."""

    name: str
    """The table's name, or the document's."""
    columns: frozenset[str]
    """What claims may read."""
    key: tuple[str, ...]
    """Columns that together identify a row."""
    derivation: str = ""
    """How its rows follow from the table; empty for the table itself."""

    @classmethod
    def of(cls, schema: TableSchema, key: tuple[str, ...] = ()) -> Source:
        """A table with a declared schema; a key of its own where claims read a part of its rows."""
        return cls(schema.name, frozenset(c.name for c in schema.columns), key or schema.key)

    @property
    def label(self) -> str:
        """Name and derivation: what tells sources apart."""
        return f"{self.name}: {self.derivation}" if self.derivation else self.name


SUMMARY: Final = Source.of(schemas.T01_SUMMARY)
GENERALIZATION: Final = Source.of(schemas.T02_GENERALIZATION)
CHOICES: Final = Source.of(schemas.T03_ARC)
TAILS: Final = Source.of(schemas.T04_TAIL_FITS)
CRACKLING: Final = Source.of(schemas.T05_CRACKLING_DIAGNOSTICS)
ABLATIONS: Final = Source.of(schemas.T06_ABLATIONS)
REPLICATION: Final = Source.of(schemas.T07_REPLICATION_SUMMARY)
NULLS: Final = Source.of(schemas.NULL_STATISTICS, (WINDOW_SET, *_CURVE, "gain"))
GSTAR: Final = Source(
    OUTPUT.GSTAR_JSON_BASENAME,
    frozenset((*GStarEntry.model_fields, "slope_reason")),
    _CURVE,
    "gstar as a number; slope_reason = why the slope or its interval is null",
)
SIGNATURES: Final = Source(
    OUTPUT.SIGNATURES_JSON_BASENAME,
    frozenset(SignatureEntry.model_fields),
    (*_CURVE, "signature_id"),
)
PERCOLATION: Final = Source(
    OUTPUT.SIGNATURES_JSON_BASENAME,
    frozenset(PercolationEntry.model_fields),
    (*_CURVE, "g", "adjacency_id"),
    "its percolation entries",
)
SPREADS: Final = Source(
    SUMMARY.name,
    frozenset(("spike_def_id", "gain_spread", "rate_spread", "reason", "few_windows")),
    ("spike_def_id",),
    "calibration rows of each spike definition; gain_spread = max over targets of (max − min of "
    "b_tot over g), rate_spread = min over g of (max − min of b_tot over targets)",
)
_TRANSFER_COLUMNS: Final = (
    "distance_g1",
    "distance_gstar",
    "b_tot_diff_ci_low",
    "b_tot_diff_ci_high",
    "midpoint_low",
    "midpoint_high",
)
TRANSFER: Final = Source(
    GENERALIZATION.name,
    frozenset((*_CURVE, "g", *_TRANSFER_COLUMNS, "reason", "few_windows")),
    _CURVE,
    "for each curve whose gstar is not 1, |b_tot − 1| at g1 and at gstar, the interval of "
    "b_tot_diff, and midpoint_low and midpoint_high, the means over g1 and gstar of the ends of "
    "b_tot's intervals",
)
_RELATION_COLUMNS: Final = (
    "dcc_signed",
    "dcc_signed_ci_low",
    "dcc_signed_ci_high",
    "pass",
    "few_windows",
)
RELATION: Final = Source(
    CRACKLING.name,
    frozenset((*_CURVE, "g", *_RELATION_COLUMNS, "tails_ok", "reason")),
    (*_CURVE, "g"),
    f"tails_ok = both of the condition's fits in {TAILS.name} have status ok",
)
ABLATED: Final = Source(
    ABLATIONS.name,
    frozenset(
        (*_CURVE, "intervention_id", "adjacency_id", "b_tot", "b_tot_g1", "reason", "few_windows")
    ),
    (*_CURVE, "intervention_id"),
    "rows at gstar, with b_tot of the same curve's row of MLP_GLOBAL at g1",
)
ALL: Final = (
    SUMMARY,
    GENERALIZATION,
    CHOICES,
    TAILS,
    CRACKLING,
    ABLATIONS,
    REPLICATION,
    NULLS,
    GSTAR,
    SIGNATURES,
    PERCOLATION,
    SPREADS,
    TRANSFER,
    RELATION,
    ABLATED,
)


# --------------------------------------------------------------------------- rows of documents


def gstar_rows(document: GStarDocument) -> Rows:
    """The choices of g*, one row per curve, with g* as a number."""
    column = str(GCondition.GSTAR)
    return [
        entry.model_dump()
        | {
            column: None if entry.gain is None else float(entry.gain),
            "slope_reason": _slope_reason(entry),
        }
        for entry in document.choices
    ]


def _slope_reason(entry: GStarEntry) -> str | None:
    """Why there is no slope, or no interval: the entry's own reason is that of g*."""
    if entry.slope is None:
        return "fewer than two gains have a b_tot"
    lacking = None in (entry.slope_ci_low, entry.slope_ci_high)
    return "too few resamples of the windows have a b_tot at every gain" if lacking else None


def signature_rows(document: SignaturesDocument) -> Rows:
    """The verdicts, one row per curve and signature."""
    return [entry.model_dump() for entry in document.entries]


def percolation_rows(document: SignaturesDocument) -> Rows:
    """Occupancy beside the percolation threshold, one row per condition, with g as a number."""
    return [entry.model_dump() | {"g": float(entry.g)} for entry in document.percolation]


# --------------------------------------------------------------------------------------- views


def spread_rows(summary: Rows) -> Rows:
    """How far b_tot moves with the gain, and how far with the rate, by spike definition.

    Rows without a b_tot are left out.
    """
    grid = [
        row
        for row in summary
        if row["window_set"] == WindowSet.CALIBRATION and row["b_tot"] is not None
    ]
    by_definition: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in grid:
        by_definition[row["spike_def_id"]].append(row)
    return [_spreads(definition, rows) for definition, rows in by_definition.items()]


def _spreads(definition: str, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    lacking = [
        f"only one {what} has a b_tot"
        for what, column in (("gain", "g"), ("target", "target_label"))
        if len({row[column] for row in rows}) < 2
    ]
    return {
        "spike_def_id": definition,
        "gain_spread": None if lacking else max(_ranges(rows, by="target_label")),
        "rate_spread": None if lacking else min(_ranges(rows, by="g")),
        "reason": "; ".join(lacking) or None,
        "few_windows": any(row["few_windows"] for row in rows),
    }


def _ranges(rows: list[Mapping[str, Any]], *, by: str) -> Iterator[float]:
    """max − min of b_tot within each group; groups that lack a b_tot of others are left out."""
    groups: dict[Any, list[float]] = defaultdict(list)
    for row in rows:
        groups[row[by]].append(row["b_tot"])
    whole = max(map(len, groups.values()))
    yield from (max(values) - min(values) for values in groups.values() if len(values) == whole)


def transfer_rows(generalization: Rows) -> Rows:
    """How far b_tot on Dataset B is from one, at both gains of each curve whose g* is not 1.

    The gain at which it is nearer follows from two signs: that of the difference of both, and that
    of their mean less one. The mean of the ends holds at least what the mean's interval would.
    """
    curves: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in generalization:
        curves[row["spike_def_id"], row["target_label"]][row["g_condition"]] = row
    return [
        _transfer(curve, rows[GCondition.G1], rows[GCondition.GSTAR])
        for curve, rows in curves.items()
        if set(rows) == set(GCondition) and rows[GCondition.GSTAR]["g"] != CONST.GAIN_BASELINE
    ]


def _transfer(
    curve: tuple[str, str], at_one: Mapping[str, Any], at_gstar: Mapping[str, Any]
) -> dict[str, Any]:
    told = (at_one["reason"], at_gstar["reason"], at_gstar["diff_reason"])
    reasons = dict.fromkeys(reason for reason in told if reason)
    return {
        **dict(zip(_CURVE, curve, strict=True)),
        "g": at_gstar["g"],
        "distance_g1": _distance(at_one["b_tot"]),
        "distance_gstar": _distance(at_gstar["b_tot"]),
        **{name: at_gstar[name] for name in ("b_tot_diff_ci_low", "b_tot_diff_ci_high")},
        **{
            f"midpoint_{end}": _mean(at_one[f"b_tot_ci_{end}"], at_gstar[f"b_tot_ci_{end}"])
            for end in ("low", "high")
        },
        "reason": "; ".join(reasons) or None,
        "few_windows": at_gstar["few_windows"],
    }


def _distance(b_tot: float | None) -> float | None:
    return None if b_tot is None else abs(b_tot - 1)


def _mean(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else (first + second) / 2


def relation_rows(crackling: Rows, tails: Rows) -> Rows:
    """The scaling relation of each condition, with whether both of its tails can be assessed."""
    fits: dict[tuple[str, str, float], list[Mapping[str, Any]]] = defaultdict(list)
    for fit in tails:
        fits[fit["spike_def_id"], fit["target_label"], fit["g"]].append(fit)
    rows = []
    for row in crackling:
        both = fits[row["spike_def_id"], row["target_label"], row["g"]]
        reasons = dict.fromkeys(each["reason"] for each in (row, *both) if each["reason"])
        rows.append(
            {name: row[name] for name in (*_CURVE, "g", *_RELATION_COLUMNS)}
            | {
                "tails_ok": all(fit["status"] == STATUS_OK for fit in both),
                "reason": "; ".join(reasons) or None,
            }
        )
    return rows


_UNCHANGED: Final = (GCondition.G1, InterventionId.MLP_GLOBAL)


def ablated_rows(ablations: Rows) -> Rows:
    """b_tot of each intervention at g*, beside that of the unchanged model.

    b_tot does not depend on the adjacency: the rows of the first one are taken.
    """
    adjacencies = list(dict.fromkeys(row["adjacency_id"] for row in ablations))
    rows = [row for row in ablations if row["adjacency_id"] in adjacencies[:1]]
    unchanged = {
        (row["spike_def_id"], row["target_label"]): row["b_tot"]
        for row in rows
        if row["g_condition"] == GCondition.G1
        and row["intervention_id"] == InterventionId.MLP_GLOBAL
    }
    kept = (*_CURVE, "intervention_id", "adjacency_id", "b_tot", "reason", "few_windows")
    return [
        {name: row[name] for name in kept}
        | {"b_tot_g1": unchanged.get((row["spike_def_id"], row["target_label"]))}
        for row in rows
        if row["g_condition"] == GCondition.GSTAR
    ]


# --------------------------------------------------------------------------------- all of them


def rows_by_source(
    tables: Mapping[Source, Rows],
    gstar: GStarDocument,
    signatures: SignaturesDocument,
) -> dict[Source, Rows]:
    """The rows of every source that can be had.

    Args:
        tables: rows of SUMMARY, TAILS, CRACKLING, ABLATIONS and NULLS, and of GENERALIZATION,
            CHOICES and REPLICATION where there are such tables.
        gstar: the choices of g*.
        signatures: the verdicts of phase 5.
    """
    rows = {
        **tables,
        GSTAR: gstar_rows(gstar),
        SIGNATURES: signature_rows(signatures),
        PERCOLATION: percolation_rows(signatures),
        SPREADS: spread_rows(tables[SUMMARY]),
        RELATION: relation_rows(tables[CRACKLING], tables[TAILS]),
        ABLATED: ablated_rows(tables[ABLATIONS]),
    }
    if GENERALIZATION in tables:
        rows[TRANSFER] = transfer_rows(tables[GENERALIZATION])
    return rows
