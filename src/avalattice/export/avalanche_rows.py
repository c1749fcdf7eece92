"""Rows of T04, T05 and the table of avalanches, from statistics of one condition."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from avalattice.canon import WindowSet
from avalattice.export.schemas.tables import RIVALS
from avalattice.export.tables import Provenance
from avalattice.lattice.avalanches import AvalancheTable
from avalattice.lattice.rasters import Condition
from avalattice.stats.avalanche_nulls import NullAvalanches, NullExponent
from avalattice.stats.avalanche_statistics import (
    AvalancheDescription,
    AvalancheStatistics,
    WindowTail,
)
from avalattice.stats.bootstrap import Interval, Resamples, no_interval
from avalattice.stats.tail_laws import Family
from avalattice.stats.tails import TailFit

SIZE, SPAN = "size", "span_tokens"
"""The fitted variables."""
_NO_GOODNESS = "no ks_p: no replicates of the goodness of fit"
_NO_INTERIOR = "gamma_interior is undefined: too few avalanches lie inside the border"


def avalanche_rows(
    provenance: Provenance, cond_id: int, described: AvalancheDescription
) -> Iterator[dict[str, Any]]:
    """One row per avalanche of a condition."""
    table = described.table
    columns = {
        name: getattr(table, name).tolist()
        for name in AvalancheTable.__dataclass_fields__
        if name not in ("window", "stack_shape")
    }
    for k, seq_id in enumerate(table.window.tolist()):
        yield {
            **vars(provenance),
            "cond_id": cond_id,
            "seq_id": seq_id,
            "adjacency_id": described.adjacency,
            **{name: column[k] for name, column in columns.items()},
        }


def description_columns(described: AvalancheDescription) -> dict[str, Any]:
    """The columns of T01 that describe avalanches."""
    crackling = described.crackling
    return {
        "n_avalanches": described.n_avalanches,
        "avalanche_size_mean": described.size_mean,
        "avalanche_size_median": described.size_median,
        "avalanche_span_tokens_mean": described.span_tokens_mean,
        "avalanche_span_layers_mean": described.span_layers_mean,
        "avalanche_reason": described.reason or None,
        "adjacency_id": described.adjacency,
        "crackling_gamma": crackling.gamma,
        **interval_columns("crackling", crackling.interval),
        "crackling_reason": crackling.reason or None,
    }


def fitted_columns(
    provenance: Provenance,
    window_set: WindowSet,
    condition: Condition,
    described: AvalancheDescription,
    resamples: Resamples,
) -> dict[str, Any]:
    """The columns that T04's and T05's rows of one condition share.

    Args:
        provenance: what every row begins and ends with.
        window_set: which windows were looked at.
        condition: what the raster was made under.
        described: its avalanches.
        resamples: of its windows.
    """
    return {
        **vars(provenance),
        "window_set": window_set,
        "spike_def_id": condition.spike_def_id,
        "target_label": condition.target_label,
        "target_rate": condition.target_rate,
        "g": float(condition.gain),
        "adjacency_id": described.adjacency,
        "n_sequences": resamples.n_windows,
        "few_windows": resamples.few_windows,
    }


def tail_rows(
    shared: dict[str, Any], statistics: AvalancheStatistics, null: NullAvalanches
) -> Iterator[dict[str, Any]]:
    """T04's rows of one condition: sizes, and token spans.

    Args:
        shared: the columns that both rows begin and end with.
        statistics: the condition's.
        null: of permuted rasters.
    """
    for variable, tail, exponent in (
        (SIZE, statistics.size_tail, null.alpha_size),
        (SPAN, statistics.span_tail, null.alpha_span),
    ):
        yield {
            **shared,
            "variable": variable,
            **_tail_columns(tail),
            **_null_columns("alpha_null_perm", exponent),
            "parameters_reason": _missing_parameters(tail, exponent),
        }


def _tail_columns(tail: WindowTail) -> dict[str, Any]:
    fit = tail.fit
    return {
        "xmin": fit.xmin,
        "xmax": fit.xmax,
        "n_samples": fit.n_samples,
        "n_tail": fit.n_tail,
        "decades": fit.decades,
        "alpha_powerlaw": fit.alpha,
        "alpha_se": fit.alpha_se,
        **interval_columns("alpha", tail.alpha_interval),
        "ks": fit.ks,
        "ks_p": fit.ks_p,
        "lambda_exponential": fit.lambda_exponential,
        "lognorm_mu": fit.lognorm_mu,
        "lognorm_sigma": fit.lognorm_sigma,
        "truncated_alpha": fit.truncated_alpha,
        "truncated_lambda": fit.truncated_lambda,
        **_likelihoods(fit),
        "best_family": None if fit.best_family is None else str(fit.best_family),
        "status": fit.status,
        "reason": fit.reason or None,
    }


def _missing_parameters(tail: WindowTail, null: NullExponent) -> str | None:
    """Why numbers are undefined though the fit is assessable, or what a null's rest on."""
    fit = tail.fit
    said = [f"{family}: {law.reason}" for family, law in fit.fits.items() if law.reason]
    said.append(no_interval({"alpha": fit.alpha}, {"alpha": tail.alpha_interval.low}))
    if math.isnan(fit.ks_p) and not math.isnan(fit.ks):
        said.append(_NO_GOODNESS)
    if null.reason:
        said.append(f"alpha_null_perm is {null.reason}")
    return "; ".join(filter(None, said)) or None


def _likelihoods(fit: TailFit) -> dict[str, float]:
    values = {
        f"ll_{family}": fit.fits[family].loglik if family in fit.fits else math.nan
        for family in Family
    }
    for rival in RIVALS:
        comparison = fit.comparisons.get(Family(rival))
        values[f"llr_powerlaw_vs_{rival}"] = comparison.llr if comparison else math.nan
        values[f"p_powerlaw_vs_{rival}"] = comparison.p if comparison else math.nan
    return values


def crackling_row(
    shared: dict[str, Any],
    statistics: AvalancheStatistics,
    null: NullAvalanches,
    whole_tokens: NullAvalanches,
) -> dict[str, Any]:
    """T05's row of one condition.

    Args:
        shared: the columns that rows begin and end with.
        statistics: the condition's.
        null: of rasters with every row permuted.
        whole_tokens: of rasters with tokens permuted together with all their layers.
    """
    crackling, relation, collapse = (
        statistics.crackling,
        statistics.relation,
        statistics.collapse,
    )
    reasons = (
        crackling.reason,
        relation.reason,
        collapse.reason,
        _NO_INTERIOR if math.isnan(crackling.gamma_interior) else "",
        _undefined_draws("permuted rows", null.gamma),
        _undefined_draws("permuted tokens", whole_tokens.gamma),
    )
    return {
        **shared,
        "crackling_gamma": crackling.gamma,
        **interval_columns("crackling", crackling.interval),
        "crackling_ci_width": _width(crackling.interval),
        "n_duration_points": crackling.n_duration_points,
        "n_avalanches_used": crackling.n_avalanches_used,
        "r2": crackling.r2,
        "gamma_interior": crackling.gamma_interior,
        "border_event_share": crackling.border_event_share,
        "gamma_pred": relation.gamma_predicted,
        "dcc": relation.dcc,
        "dcc_signed": relation.dcc_signed,
        **interval_columns("dcc_signed", relation.interval),
        "collapse_error": collapse.error,
        "shape_skew": collapse.skewness,
        **_null_columns("gamma_null_perm", null.gamma),
        **_null_columns("gamma_null_tokens", whole_tokens.gamma),
        "pass": crackling.passed,
        "reason": "; ".join(reason for reason in reasons if reason) or None,
    }


def _undefined_draws(draws: str, gamma: NullExponent) -> str:
    """How many draws of a null have no gamma; empty where all have one."""
    return f"gamma of {draws} is {gamma.reason}" if gamma.reason else ""


def _null_columns(name: str, exponent: NullExponent) -> dict[str, float]:
    low, high = exponent.range
    return {name: exponent.mean, f"{name}_low": low, f"{name}_high": high}


def _width(interval: Interval | None) -> float:
    return math.nan if interval is None else float(interval.width)


def interval_columns(name: str, interval: Interval | None) -> dict[str, float]:
    """The columns ``name_ci_low`` and ``name_ci_high``."""
    ends = (np.nan, np.nan) if interval is None else (interval.low, interval.high)
    return {f"{name}_ci_low": float(ends[0]), f"{name}_ci_high": float(ends[1])}
