"""A made-up experiment: every table that the paper reads, in the shape of its schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from avalattice.canon import (
    AdjacencyId,
    FigureId,
    GCondition,
    InterventionId,
    ModelRole,
    Scoring,
    SignatureId,
    SpikeDefId,
)
from avalattice.export import schemas
from avalattice.export.documents import (
    GStarDocument,
    GStarEntry,
    PercolationEntry,
    SignatureEntry,
    SignaturesDocument,
)
from avalattice.export.paper import sources
from avalattice.export.paper.evidence import (
    ArtifactFacts,
    DataFacts,
    Evidence,
    ModelFacts,
    Settings,
)
from avalattice.export.replication import RoleAnalysis, replication_rows
from avalattice.export.tables import Provenance
from avalattice.export.tabular import TableSchema

ONE, TWO = (str(definition) for definition in SpikeDefId)
RATES = {"0.4": 2.6e-4, "1.6": 1.04e-3}
GAINS = (0.7, 1.0, 1.3)
CURVES = [(definition, label) for definition in (ONE, TWO) for label in RATES]
GSTAR = {(ONE, "0.4"): 0.7, (ONE, "1.6"): 1.0, (TWO, "0.4"): 1.3, (TWO, "1.6"): 0.7}
NOT_BRACKETED = "b_tot - 1 does not change sign inside the grid"
Row = dict[str, Any]
Change = Callable[[Row], Mapping[str, Any]]
"""Other values of some columns, for a row."""


def provenance(stage: str, role: str = "INSTRUCT") -> Provenance:
    return Provenance(f"RUN_{stage}_0123456789ab", stage, "tiny", role, "A", "c0ffee" * 8, "0.1.0")


def filled(schema: TableSchema, stage: str, **given: Any) -> Row:
    """A row of a schema: given values, null where it may be, and something harmless elsewhere."""
    harmless = {pa.string(): "x", pa.bool_(): False, pa.float64(): 0.5, pa.float32(): np.float32(1)}
    row = {c.name: None if c.nullable else harmless.get(c.type, 1) for c in schema.columns}
    assert given.keys() <= row.keys(), given.keys() - row.keys()
    return row | vars(provenance(stage)) | given


def ends(name: str, value: float, half: float = 0.01, prefix: str = "") -> Row:
    """A number with its interval."""
    return {
        name: value,
        f"{prefix}{name}_ci_low": value - half,
        f"{prefix}{name}_ci_high": value + half,
    }


def curve(definition: str, label: str) -> Row:
    return {"spike_def_id": definition, "target_label": label, "target_rate": RATES[label]}


def b_tot(definition: str, label: str, g: float) -> float:
    return {"0.4": 0.78, "1.6": 1.34}[label] - 0.02 * g + (0.01 if definition == TWO else 0)


def raster_gains(definition: str, label: str) -> list[float]:
    return sorted({1.0, GSTAR[definition, label]})


# --------------------------------------------------------------------------------------- tables


def summary() -> list[Row]:
    rows = []
    for definition, label in CURVES:
        for window_set, gains, n in (
            ("calibration", GAINS, 16),
            ("raster", raster_gains(definition, label), 24),
        ):
            rows += [_summary_row(definition, label, window_set, g, n) for g in gains]
    return rows


def _summary_row(definition: str, label: str, window_set: str, g: float, n: int) -> Row:
    tested = {
        f"{name}_{column}": value
        for name in ("delta_b_time", "delta_b_depth_shift")
        for column, value in (
            ("z_exact", 40.0),
            ("p_exact", 0.0),
            ("p_mc", 1 / 201),
            ("p_adj", 0.0),
        )
    }
    return filled(
        schemas.T01_SUMMARY,
        "S05",
        **curve(definition, label),
        window_set=window_set,
        g=g,
        achieved_rate_mean=RATES[label] * (1.0 if window_set == "calibration" else 1.04),
        achieved_rate_max_abs_err=2e-5,
        achieved_rate_max_event_err=0.0 if window_set == "calibration" else 31.4,
        occupancy=0.25,
        occupancy_min=0.1,
        occupancy_max=0.4,
        b_time=0.33,
        b_depth=0.45,
        **ends("b_tot", b_tot(definition, label, g), prefix="opt_"),
        **ends("delta_b_time", 0.08, prefix="opt_"),
        delta_b_time_z_tokens=7.0,
        delta_b_time_p_tokens=3e-12,
        **ends("delta_b_depth_shift", 0.19, prefix="opt_"),
        **ends("chi", 130.0, 40.0, prefix="opt_"),
        **tested,
        achieved_rate_tokshuffle=RATES[label] * 1.1,
        b_depth_mr=0.9,
        n_sequences=n,
        few_windows=n < 20,
        n_avalanches=900,
        adjacency_id="ADJ_4N",
    )


def nulls() -> list[Row]:
    return [
        filled(
            schemas.NULL_STATISTICS,
            "S04",
            **curve(definition, label),
            window_set="raster",
            cond_id=cond_id,
            gain=g,
            delta_b_time_token_id=0.05,
            delta_b_depth_token_id=0.04,
            exchangeable_share=0.71,
            p_time_token_id_mc=1 / 201,
            p_depth_token_id_exact=1e-12,
            **ends("delta_excess_time", 0.06),
            **ends("delta_excess_depth", 0.03),
            n_sequences=24,
        )
        for cond_id, (definition, label, g) in enumerate(
            (definition, label, g)
            for definition, label in CURVES
            for g in raster_gains(definition, label)
        )
    ]


def generalization() -> list[Row]:
    rows = []
    for definition, label in CURVES:
        for condition, g in (("g1", 1.0), ("gstar", GSTAR[definition, label])):
            moved = condition == "gstar" and g != 1.0
            differences = ends("ppl_diff", 1.5) | ends("b_tot_diff", 0.02) if moved else {}
            rows.append(
                filled(
                    schemas.T02_GENERALIZATION,
                    "S06B",
                    **curve(definition, label),
                    g_condition=condition,
                    g=g,
                    **ends("b_tot", b_tot(definition, label, g)),
                    **ends("delta_b_depth_shift", 0.15),
                    **ends("chi", 200.0),
                    **ends("ppl", 30.0 + moved),
                    achieved_rate_mean=RATES[label] * 1.3,
                    **differences,
                    diff_reason=None if moved else "gains coincide",
                    n_sequences=24,
                )
            )
    return rows


def choices() -> list[Row]:
    return [
        filled(
            schemas.T03_ARC,
            "S06ARC",
            **curve(definition, label),
            scoring=str(scoring),
            g_condition=condition,
            g=g,
            n_questions=40,
            **ends("accuracy", 0.3, 0.14),
            **ends("accuracy_norm", 0.35, 0.14),
            mean_logprob_correct_minus_incorrect=0.2,
            chance=0.25,
            covers_chance=True,
            **(
                ends("accuracy_diff", -0.05, 0.1) | {"mcnemar_p": 0.6, "p_adj": 0.8}
                if condition == "gstar" and g != 1.0
                else {"diff_reason": "gains coincide"}
            ),
        )
        for scoring in Scoring
        for definition, label in CURVES
        for condition, g in (("g1", 1.0), ("gstar", GSTAR[definition, label]))
    ]


def tails() -> list[Row]:
    return [
        filled(
            schemas.T04_TAIL_FITS,
            "S05",
            **curve(definition, label),
            window_set="raster",
            g=g,
            adjacency_id="ADJ_4N",
            variable=variable,
            xmin=3,
            n_samples=900,
            n_tail=400,
            decades=1.6,
            alpha_powerlaw=2.1,
            alpha_ci_low=2.0,
            alpha_ci_high=2.2,
            ks_p=0.2,
            best_family="lognormal",
            alpha_null_perm=2.6,
            alpha_null_perm_low=2.5,
            alpha_null_perm_high=2.7,
            status="ok" if label == "0.4" else "not_assessable",
            reason=None if label == "0.4" else "the tail spans 0.6 decades, 1 needed",
            n_sequences=24,
        )
        for definition, label in CURVES
        for g in raster_gains(definition, label)
        for variable in ("size", "span_tokens")
    ]


def crackling() -> list[Row]:
    return [
        filled(
            schemas.T05_CRACKLING_DIAGNOSTICS,
            "S05",
            **curve(definition, label),
            window_set="raster",
            g=g,
            adjacency_id="ADJ_4N",
            crackling_gamma=1.3,
            crackling_ci_low=1.25,
            crackling_ci_high=1.35,
            gamma_pred=1.2,
            **ends("dcc_signed", 0.1, 0.2),
            gamma_null_perm=1.31,
            gamma_null_perm_low=1.2,
            gamma_null_perm_high=1.4,
            gamma_null_tokens=1.1,
            gamma_null_tokens_low=1.0,
            gamma_null_tokens_high=1.2,
            **{"pass": label == "0.4"},
            reason=None if label == "0.4" else "5 spans hold 5 avalanches, 8 needed",
            n_sequences=24,
        )
        for definition, label in CURVES
        for g in raster_gains(definition, label)
    ]


def ablations() -> list[Row]:
    rows = []
    for definition, label in CURVES:
        for adjacency in AdjacencyId:
            shared = curve(definition, label) | {"adjacency_id": str(adjacency)}
            rows.append(_ablation(shared, InterventionId.MLP_GLOBAL, "g1", 1.0))
            rows += [
                _ablation(shared, intervention, "gstar", GSTAR[definition, label])
                for intervention in InterventionId
            ]
    return rows


def _ablation(shared: Row, intervention: InterventionId, condition: str, g: float) -> Row:
    value = b_tot(shared["spike_def_id"], shared["target_label"], g)
    return filled(
        schemas.T06_ABLATIONS,
        "S05",
        **shared,
        intervention_id=str(intervention),
        gain_target="ATTN" if intervention is InterventionId.ATTN_GLOBAL else "MLP",
        g_condition=condition,
        g=g,
        **ends("b_tot", value),
        **ends("delta_b_depth_shift", 0.18),
        **ends("chi", 140.0),
        n_avalanches=700,
        avalanche_size_mean=5.0,
        crackling_gamma=1.3,
        n_sequences=16,
        few_windows=True,
    )


# ------------------------------------------------------------------------------------ documents


def gstar_document(**changes: Any) -> GStarDocument:
    entries = [
        GStarEntry(
            **curve(definition, label)
            | {
                "gstar": str(GSTAR[definition, label]),
                "b_tot": b_tot(definition, label, GSTAR[definition, label]),
                "bracketed": False,
                "at_grid_edge": True,
                "identifiable": False,
                "reason": NOT_BRACKETED,
                "crossing": None,
                "crossing_ci_low": None,
                "crossing_ci_high": None,
                "slope": -0.02,
                "slope_ci_low": -0.05,
                "slope_ci_high": 0.01,
                "share_bracketed": 0.0,
                "shares": {"0.7": 0.6, "1.0": 0.4},
                "excluded": [],
                "few_windows": True,
            }
            | changes
        )
        for definition, label in CURVES
    ]
    return GStarDocument(
        model_role="INSTRUCT",
        criterion="nearest one",
        inputs={"results/metrics.parquet": "00ff"},
        gains=["0.7", "1.0", "1.3"],
        bootstrap_reps=2000,
        n_sequences=16,
        choices=entries,
    )


def signatures_document(verdict: str = "not_supported", near: bool = False) -> SignaturesDocument:
    return SignaturesDocument(
        entries=[
            SignatureEntry(
                spike_def_id=definition,
                target_label=label,
                signature_id=str(signature),
                verdict=verdict,
                reason=f"the reason of {signature}",
                numbers={"gamma": None},
            )
            for definition, label in CURVES
            for signature in SignatureId
        ],
        percolation=[
            PercolationEntry(
                spike_def_id=definition,
                target_label=label,
                g=str(g),
                adjacency_id="ADJ_4N",
                occupancy=0.25,
                threshold=0.592746,
                near=near,
                words="words",
            )
            for definition, label in CURVES
            for g in raster_gains(definition, label)
        ],
    )


# ------------------------------------------------------------------------------------- evidence

TABLES = {
    sources.SUMMARY: (schemas.T01_SUMMARY, summary),
    sources.NULLS: (schemas.NULL_STATISTICS, nulls),
    sources.GENERALIZATION: (schemas.T02_GENERALIZATION, generalization),
    sources.CHOICES: (schemas.T03_ARC, choices),
    sources.TAILS: (schemas.T04_TAIL_FITS, tails),
    sources.CRACKLING: (schemas.T05_CRACKLING_DIAGNOSTICS, crackling),
    sources.ABLATIONS: (schemas.T06_ABLATIONS, ablations),
}
PHASE_6 = (sources.GENERALIZATION, sources.CHOICES)


def through(schema: TableSchema, rows: list[Row]) -> list[Row]:
    """Rows as they come out of a validated table."""
    found: list[Row] = schema.table(rows).to_pylist()
    return found


def replication(base_family: str = "llama") -> list[Row]:
    analyses = {
        role: RoleAnalysis(
            model_id=f"tiny-{role.lower()}",
            family=base_family if role is ModelRole.BASE else "llama",
            shape=(1536,) * 30,
            run_id=f"RUN_S05_{role.lower()}",
            summary=through(schemas.T01_SUMMARY, summary()),
            gstar=gstar_document(),
        )
        for role in ModelRole
    }
    rows = list(replication_rows(provenance("S07"), analyses))
    return through(schemas.T07_REPLICATION_SUMMARY, rows)


def model(**changes: Any) -> ModelFacts:
    facts = {
        "id": "Tiny-135M",
        "role": "INSTRUCT",
        "source": "pkg:tiny/tiny.gguf",
        "revision": None,
        "family": "llama",
        "n_layers": 30,
        "d_ff": (1536,) * 30,
        "n_parameters": 134515008,
        "dtype": "fp32",
        "device": "cpu",
        "attention": "sdpa",
        "random_init": False,
        "note": "weights de-quantised from GGUF",
    }
    return ModelFacts(**facts | changes)


SETTINGS = Settings(
    seed=1337,
    seq_len_tokens=256,
    warmup_tokens=0,
    pool_factor=10,
    bos=False,
    tau0=2.5,
    rate_profile="baseline",
    target_unit="events per site",
    targets=tuple(RATES),
    spike_defs=(ONE, TWO),
    gains=("0.7", "1.0", "1.3"),
    denominator="valid_edges",
    bootstrap_reps=2000,
    null_replicates=200,
    avalanche_replicates=20,
    shuffle_replicates=1,
    adjacency="ADJ_4N",
    gof_reps=100,
    interventions=tuple(str(i) for i in InterventionId if i is not InterventionId.MLP_GLOBAL),
    batch_size=4,
    libraries={"torch": "2.13.0", "transformers": "5.23.0"},
)
DATA = (
    DataFacts("A", "calibration", "pkg:pydoc_data.topics", None, 16, "a" * 64),
    DataFacts("A", "raster", "pkg:pydoc_data.topics", None, 24, "b" * 64),
)
DATA_6 = (
    DataFacts("B", "evaluation", "file:b.txt", None, 24, "c" * 64),
    DataFacts("ARC_MCQ", "evaluation", "file:questions.jsonl", None, 40, "d" * 64),
)
ARTIFACTS = (
    ArtifactFacts("RUN_S05_0123456789ab", "S05", "e" * 64, "results/metrics.parquet", "f" * 64, 7),
)


def evidence(
    changes: Mapping[sources.Source, Change] | None = None,
    *,
    gstar: GStarDocument | None = None,
    signatures: SignaturesDocument | None = None,
    phase_6: bool = True,
    peer: ModelFacts | None = None,
    **facts: Any,
) -> Evidence:
    """The whole of it, with some columns of some tables changed."""
    tables: dict[sources.Source, list[Row]] = {}
    for source, (schema, build) in TABLES.items():
        if phase_6 or source not in PHASE_6:
            change = (changes or {}).get(source, lambda row: {})
            tables[source] = through(schema, [row | change(row) for row in build()])
    if peer is not None:
        change = (changes or {}).get(sources.REPLICATION, lambda row: {})
        tables[sources.REPLICATION] = [row | change(row) for row in replication(peer.family)]
    rows = sources.rows_by_source(
        tables, gstar or gstar_document(), signatures or signatures_document()
    )
    missing = () if phase_6 else (FigureId.F06_GENERALIZATION_B, FigureId.F07_ARC_MCQ)
    given: dict[str, Any] = {
        "provenance": provenance("S07"),
        "model": model(),
        "peer": peer,
        "data": DATA + (DATA_6 if phase_6 else ()),
        "settings": SETTINGS,
        "rows": rows,
        "run_ids": {source: f"RUN_{source.name[:3]}_x" for source in rows},
        "figures": {f: "RUN_S05_0123456789ab" for f in FigureId if f not in missing},
        "artifacts": ARTIFACTS,
    }
    return Evidence(**given | facts)


GCONDITIONS = tuple(str(each) for each in GCondition)
