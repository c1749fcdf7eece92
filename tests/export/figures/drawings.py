"""Every figure of a case: what is drawn with arrays beside rows, and how each is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure

from avalattice.canon import AdjacencyId, FigureId, WindowSet
from avalattice.export import schemas
from avalattice.export.figures import (
    CollapseExample,
    DepthProfile,
    RasterExample,
    TailSample,
    draw_ablations,
    draw_arc_accuracy,
    draw_branching_curves,
    draw_chi_curves,
    draw_depth_profile,
    draw_generalization,
    draw_gstar_selection,
    draw_null_comparison,
    draw_null_surplus,
    draw_profile_collapse,
    draw_raster_example,
    draw_rate_match,
    draw_spike_definitions,
    draw_tails,
)
from avalattice.lattice.avalanches import labels
from avalattice.lattice.layer_profile import layer_profile
from avalattice.stats.profiles import profile_collapse
from avalattice.stats.tail_laws import power_law
from tests.export.figures.samples import (
    PROVENANCE,
    Case,
    L,
    Row,
    ablations,
    accuracy,
    fill,
    generalization,
    gstar_document,
    null_statistics,
    rate_matched,
    summary,
    validated,
)

T = 24


def counts(case: Case, seed: int = 7) -> np.ndarray:
    """Counts [N, L, T], all zero where nothing was measured."""
    rate = 0.0 if case.silent else 0.7
    return np.random.default_rng(seed).poisson(rate, size=(3, L, T)).astype(np.uint16)


def raster_examples(case: Case) -> list[RasterExample]:
    """The same window at gain 1 and at g*."""
    found = []
    for seed, gain in enumerate(case.compared):
        A = counts(case, seed)[0]
        found.append(
            RasterExample(
                counts=A,
                labels=labels(A),
                tokens=["the", "\n", " $", "日本"] * (T // 4),
                spike_def_id=case.definitions[0],
                target_label=case.labels[0],
                gain=float(gain),
                adjacency_id=AdjacencyId.ADJ_4N,
                window_set=WindowSet.RASTER,
                seq_id=0,
            )
        )
    return found


FIT: Row = {
    "xmin": 2,
    "alpha_powerlaw": 2.2,
    "lambda_exponential": 0.3,
    "lognorm_mu": 0.2,
    "lognorm_sigma": 1.1,
    "truncated_alpha": 2.0,
    "truncated_lambda": 0.01,
    "ll_powerlaw": -700.0,
    "ll_exponential": -900.0,
    "ll_lognormal": -702.0,
    "ll_truncated_powerlaw": -699.0,
    "best_family": "powerlaw",
}


def tail_samples(case: Case) -> list[TailSample]:
    """Tails of both variables at one gain, from draws of a power law."""
    rng = np.random.default_rng(8)
    return [
        _tail_sample(case, rng, _held_out(case, curve), variable, xmax)
        for curve in case.curves
        for variable, xmax in (("size", None), ("span_tokens", 256))
    ]


def _held_out(case: Case, curve: tuple) -> Row:
    """The columns of a row on held-out windows."""
    return {
        "window_set": WindowSet.RASTER,
        "spike_def_id": curve[0],
        "target_label": curve[1],
        "target_rate": curve[2],
        "g": float(case.compared[0]),
        "adjacency_id": AdjacencyId.ADJ_4N,
        **case.windows,
    }


def _tail_sample(
    case: Case, rng: np.random.Generator, key: Row, variable: str, xmax: int | None
) -> TailSample:
    values, n = np.unique(power_law(2.2, xmin=1, xmax=xmax).sample(400, rng), return_counts=True)
    null_values, null_counts = np.unique(rng.geometric(0.4, 900), return_counts=True)
    given = {**key, "variable": variable}
    if case.silent:
        given |= {"n_samples": 0, "n_tail": 0, "status": "not_assessable"}
        arrays = (np.zeros(0, np.int64),) * 4
    else:
        n_tail = int(n[values >= FIT["xmin"]].sum())
        given |= {**FIT, "xmax": xmax, "n_samples": 400, "n_tail": n_tail, "status": "ok"}
        arrays = (values, n, null_values, null_counts)
    schema = schemas.T04_TAIL_FITS
    (row,) = validated(schema, [fill(schema, case, rng, given)])
    return TailSample(row, *arrays)


def collapse_examples(case: Case) -> list[CollapseExample]:
    """Parabolic profiles that collapse with gamma 1.5."""
    rng, schema = np.random.default_rng(9), schemas.T05_CRACKLING_DIAGNOSTICS
    times = {D: np.arange(1, D + 1) / (D + 1) for D in (3, 4, 6, 9, 14)}
    profiles = {D: 4 * t * (1 - t) * D**0.5 for D, t in times.items() if not case.silent}
    found = []
    for curve in case.curves:
        (row,) = validated(schema, [fill(schema, case, rng, _held_out(case, curve))])
        found.append(CollapseExample(row, profiles, profile_collapse(profiles, 1.5)))
    return found


def depth_profiles(case: Case) -> list[DepthProfile]:
    """Profiles of held-out windows."""
    rows = [row for row in summary(case) if row["window_set"] == WindowSet.RASTER]
    return [DepthProfile(row, layer_profile(counts(case, n))) for n, row in enumerate(rows)]


# --------------------------------------------------------------------------------------- figures

DRAW: Mapping[FigureId, Callable[[Case], Figure]] = {
    FigureId.F01_RASTER_EXAMPLE: lambda c: draw_raster_example(raster_examples(c), PROVENANCE),
    FigureId.F02_RATE_MATCH_CHECK: lambda c: draw_rate_match(rate_matched(c)),
    FigureId.F03_BRANCHING_CURVES: lambda c: draw_branching_curves(summary(c), null_statistics(c)),
    FigureId.F04_NULL_DELTAB: lambda c: draw_null_surplus(summary(c)),
    FigureId.F05_GSTAR_SELECTION: lambda c: draw_gstar_selection(summary(c), gstar_document(c)),
    FigureId.F06_GENERALIZATION_B: lambda c: draw_generalization(generalization(c)),
    FigureId.F07_ARC_MCQ: lambda c: draw_arc_accuracy(accuracy(c)),
    FigureId.F08_SPIKEDEF_ROBUST: lambda c: draw_spike_definitions(summary(c)),
    FigureId.F09_CHI_CURVES: lambda c: draw_chi_curves(summary(c), gstar_document(c)),
    FigureId.F10_NULL_COMPARE: lambda c: draw_null_comparison(null_statistics(c)),
    FigureId.F11_ABLATIONS: lambda c: draw_ablations(ablations(c)),
    FigureId.F12_TAILS: lambda c: draw_tails(tail_samples(c)),
    FigureId.F13_PROFILE_COLLAPSE: lambda c: draw_profile_collapse(collapse_examples(c)),
    FigureId.F14_DEPTH_PROFILE: lambda c: draw_depth_profile(depth_profiles(c)),
}
"""Each figure of a case."""
