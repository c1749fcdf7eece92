"""Schemas of the exported tables T01 to T07."""

from __future__ import annotations

from avalattice.canon import CONST, ModelRole, TableId
from avalattice.export.schemas.columns import (
    ADJACENCY,
    CURVE,
    G_CONDITION,
    GAIN,
    RATE,
    RATIO,
    WINDOW_COUNT,
    WINDOW_SET,
    interval,
    number,
    reason,
    with_provenance,
)
from avalattice.export.schemas.nulls import DELTA_NAMES
from avalattice.export.tabular import BOOL, F64, I64, TEXT, Column, TableSchema
from avalattice.stats.summary import BRANCHING_NAMES

SUMMARY_INTERVAL_NAMES = (*BRANCHING_NAMES, *DELTA_NAMES, "delta_excess_tokshuffle", "chi")
"""Columns of T01 with an interval ``opt_<name>_ci_low`` to ``opt_<name>_ci_high``."""
TESTED_NAMES = ("delta_b_time", "delta_b_depth_shift")
"""Columns of T01 with z, p and adjusted p."""
GENERALIZATION_NAMES = (
    "b_time",
    "b_depth",
    "b_tot",
    "delta_b_tot",
    "delta_b_depth_shift",
    "chi",
    "ppl",
    "nll_mean",
)
"""Columns of T02 with an interval, a paired difference, and its interval."""
RIVALS = ("exponential", "lognormal", "truncated_powerlaw")


def _test(name: str) -> tuple[Column, ...]:
    return (
        number(f"{name}_z_exact", f"{name}, in standard deviations of the null"),
        Column(f"{name}_p_exact", F64, "two-sided and normal", "", 0, 1, nullable=True),
        Column(f"{name}_p_mc", F64, "two-sided, from null draws", "", 0, 1, nullable=True),
        Column(f"{name}_p_adj", F64, "Benjamini–Hochberg over p_exact", "", 0, 1, nullable=True),
    )


T01_SUMMARY = TableSchema(
    TableId.T01_SUMMARY.name,
    ("window_set", "spike_def_id", "target_label", "g"),
    with_provenance(
        WINDOW_SET,
        *CURVE,
        GAIN,
        number("tau0_baseline", "threshold of the base rates; null of given counts", "", 0),
        number(
            "rate_match_tol_abs",
            "published tolerance, wider than every target; null of given counts",
            RATE,
        ),
        Column("achieved_rate_mean", F64, "achieved rate, mean over layers", RATE, low=0),
        Column("achieved_rate_max_abs_err", F64, "largest |achieved − target| of a layer", RATE),
        Column("achieved_rate_max_event_err", F64, "the same in events", "events"),
        Column("occupancy", F64, "p, share of occupied sites", low=0, high=1),
        Column("occupancy_min", F64, "smallest p of a layer", low=0, high=1),
        Column("occupancy_max", F64, "largest p of a layer", low=0, high=1),
        *(number(name, "branching ratio", RATIO, 0) for name in BRANCHING_NAMES),
        reason("branching_reason", "a branching ratio or its interval is undefined"),
        number("b_time_perm_exact", "expected under permutation", RATIO, 0),
        number("b_depth_perm_exact", "expected under permutation", RATIO, 0),
        number("b_tot_perm_exact", "expected under permutation", RATIO, 0),
        number("b_depth_shift_exact", "expected under the circular shift", RATIO, 0),
        number("b_time_perm", "of one permuted raster", RATIO, 0),
        number("b_depth_perm", "of one permuted raster", RATIO, 0),
        number("b_tot_perm", "of one permuted raster", RATIO, 0),
        number("b_tot_shift", "of one shifted raster", RATIO, 0),
        *(number(name, "surplus over the null", RATIO) for name in DELTA_NAMES),
        *(column for name in TESTED_NAMES for column in _test(name)),
        number("delta_b_time_z_tokens", "delta_b_time, permuting whole tokens with all layers"),
        Column(
            "delta_b_time_p_tokens", F64, "its p, two-sided and normal", "", 0, 1, nullable=True
        ),
        reason("null_reason", "a number of the nulls is undefined"),
        number("b_tot_tokshuffle", "of shuffled input at the same tau", RATIO, 0),
        number("achieved_rate_tokshuffle", "of shuffled input, mean over layers", RATE, 0),
        number("delta_excess_tokshuffle", "surplus less that of shuffled input", RATIO),
        reason("tokshuffle_reason", "a number of the shuffled input is undefined"),
        number(
            "b_depth_mr",
            "layer-to-layer ratio by multistep regression; near one, without any propagation, "
            "where tokens are loud in all layers at once",
            RATIO,
            0,
        ),
        reason("b_depth_mr_reason", "b_depth_mr is undefined"),
        number("chi", "Fano factor of window totals", "events", 0),
        reason("chi_reason", "chi or its interval is undefined"),
        number("crackling_gamma", "slope of log mean size on log span"),
        number("crackling_ci_low", "lower end of its interval"),
        number("crackling_ci_high", "upper end of its interval"),
        reason("crackling_reason", "gamma is undefined or fails its gates"),
        *WINDOW_COUNT,
        Column("n_avalanches", I64, "avalanches in all windows", low=0),
        number("avalanche_size_mean", "mean size", "events", 1),
        number("avalanche_size_median", "median size", "events", 1),
        number("avalanche_span_tokens_mean", "mean span", "tokens", 1),
        number("avalanche_span_layers_mean", "mean span", "layers", 1),
        reason("avalanche_reason", "a mean or median is undefined"),
        ADJACENCY,
        *(column for name in SUMMARY_INTERVAL_NAMES for column in interval(name, prefix="opt_")),
    ),
)

T02_GENERALIZATION = TableSchema(
    TableId.T02_GENERALIZATION.name,
    ("spike_def_id", "target_label", "g_condition"),
    with_provenance(
        *CURVE,
        G_CONDITION,
        number("g", "gain on the MLP's residual contribution", "", 0),
        *(number(name, "on Dataset B") for name in GENERALIZATION_NAMES),
        *(column for name in GENERALIZATION_NAMES for column in interval(name)),
        number("achieved_rate_mean", "achieved rate at tau of Dataset A", RATE, 0),
        number("achieved_rate_max_abs_err", "largest |achieved − target| of a layer", RATE, 0),
        Column("n_predicted_tokens", I64, "tokens whose loss is averaged", "tokens", low=1),
        reason("reason", "a number is undefined"),
        *(
            column
            for name in GENERALIZATION_NAMES
            for column in (
                number(f"{name}_diff", f"{name} at g* less {name} at g1"),
                *interval(f"{name}_diff"),
            )
        ),
        reason("diff_reason", "there is no difference, or no interval of one"),
        *WINDOW_COUNT,
    ),
)

T03_ARC = TableSchema(
    TableId.T03_ARC.name,
    ("scoring", "spike_def_id", "target_label", "g_condition"),
    with_provenance(
        Column("scoring", TEXT, "letter or cloze"),
        *CURVE,
        G_CONDITION,
        number("g", "gain on the MLP's residual contribution", "", 0),
        Column("n_questions", I64, "questions", low=1),
        Column(
            "few_questions",
            BOOL,
            f"fewer than {CONST.FEW_WINDOWS} questions: intervals are too narrow",
        ),
        number("accuracy", "share of right answers", "", 0),
        *interval("accuracy"),
        number("accuracy_norm", "the same by log-probability per character", "", 0),
        *interval("accuracy_norm"),
        number("mean_logprob_correct_minus_incorrect", "right option less mean of others", "nats"),
        Column("chance", F64, "accuracy of guessing", low=0, high=1),
        Column("covers_chance", BOOL, "accuracy's interval covers chance", nullable=True),
        reason("reason", "a number is undefined"),
        number("accuracy_diff", "accuracy at g* less accuracy at g1"),
        *interval("accuracy_diff"),
        Column("mcnemar_p", F64, "exact, two-sided", "", 0, 1, nullable=True),
        Column(
            "p_adj",
            F64,
            "Benjamini–Hochberg over mcnemar_p of every (scoring, g), each once",
            "",
            0,
            1,
            nullable=True,
        ),
        reason("diff_reason", "there is no difference, or no interval of one"),
        Column("prompt_template_id", TEXT, "how questions are put"),
    ),
)

T04_TAIL_FITS = TableSchema(
    TableId.T04_TAIL_FITS.name,
    ("window_set", "spike_def_id", "target_label", "g", "variable"),
    with_provenance(
        WINDOW_SET,
        *CURVE,
        GAIN,
        ADJACENCY,
        Column("variable", TEXT, "size, in events, or span_tokens, in tokens"),
        Column("xmin", I64, "smallest value of the tail", low=1, nullable=True),
        Column(
            "xmax", I64, "largest value that can occur; null where unbounded", low=1, nullable=True
        ),
        Column("n_samples", I64, "avalanches", low=0),
        Column("n_tail", I64, "avalanches in the tail", low=0),
        number("decades", "log10(largest / xmin)", "", 0),
        number("alpha_powerlaw", "exponent of p(x) ∝ x^(−alpha)"),
        number("alpha_se", "standard error, for independent avalanches", "", 0),
        *interval("alpha"),
        number("ks", "Kolmogorov–Smirnov distance", "", 0),
        Column("ks_p", F64, "its p, for independent avalanches", "", 0, 1, nullable=True),
        number("lambda_exponential", "rate of the exponential"),
        number("lognorm_mu", "mean of log x before truncation at xmin"),
        number("lognorm_sigma", "standard deviation of log x before truncation at xmin", "", 0),
        number("truncated_alpha", "exponent of the truncated power law"),
        number("truncated_lambda", "its cut-off rate", "", 0),
        *(number(f"ll_{name}", "log-likelihood", "nats") for name in ("powerlaw", *RIVALS)),
        *(
            column
            for name in RIVALS
            for column in (
                number(f"llr_powerlaw_vs_{name}", "positive: the power law is likelier", "nats"),
                Column(f"p_powerlaw_vs_{name}", F64, "Vuong's p", "", 0, 1, nullable=True),
            )
        ),
        Column("best_family", TEXT, "smallest Bayesian criterion", nullable=True),
        number(
            "alpha_null_perm",
            "exponent of permuted rasters, mean over the draws with "
            f"{CONST.TAIL_FIT_MIN_TAIL_SAMPLES} avalanches in the tail, if half have them",
        ),
        number("alpha_null_perm_low", "2.5 % quantile over draws"),
        number("alpha_null_perm_high", "97.5 % quantile over draws"),
        Column("status", TEXT, "ok or not_assessable"),
        reason("reason", "the fit is not assessable"),
        reason(
            "parameters_reason",
            "a number is undefined though the fit is assessable, or rests on some draws alone",
        ),
        *WINDOW_COUNT,
    ),
)

T05_CRACKLING_DIAGNOSTICS = TableSchema(
    TableId.T05_CRACKLING_DIAGNOSTICS.name,
    ("window_set", "spike_def_id", "target_label", "g"),
    with_provenance(
        WINDOW_SET,
        *CURVE,
        GAIN,
        ADJACENCY,
        number("crackling_gamma", "slope of log mean size on log span"),
        number("crackling_ci_low", "lower end of its interval"),
        number("crackling_ci_high", "upper end of its interval"),
        number("crackling_ci_width", "width of its interval", "", 0),
        Column("n_duration_points", I64, "spans that hold enough avalanches", low=0),
        Column("n_avalanches_used", I64, "avalanches of those spans", low=0),
        number("r2", "weighted share of explained variance"),
        number("gamma_interior", "gamma without avalanches at the border"),
        number("border_event_share", "share of events in avalanches at the border", "", 0),
        number("gamma_pred", "(alpha_D − 1) / (alpha_S − 1)"),
        number("dcc", "|gamma − gamma_pred|", "", 0),
        number("dcc_signed", "gamma − gamma_pred"),
        *interval("dcc_signed"),
        number("collapse_error", "variance between rescaled profiles over their squared range"),
        number("shape_skew", "skewness of the mean rescaled profile"),
        number("gamma_null_perm", "gamma of permuted rasters, mean over draws"),
        number("gamma_null_perm_low", "2.5 % quantile over draws"),
        number("gamma_null_perm_high", "97.5 % quantile over draws"),
        number("gamma_null_tokens", "gamma with whole tokens permuted, mean over draws"),
        number("gamma_null_tokens_low", "2.5 % quantile over draws"),
        number("gamma_null_tokens_high", "97.5 % quantile over draws"),
        Column("pass", BOOL, "gamma passes its gates"),
        reason("reason", "a gate failed, or a number is undefined or rests on some draws alone"),
        *WINDOW_COUNT,
    ),
)

T06_ABLATIONS = TableSchema(
    TableId.T06_ABLATIONS.name,
    ("spike_def_id", "target_label", "intervention_id", "adjacency_id", "g_condition"),
    with_provenance(
        *CURVE,
        Column("intervention_id", TEXT, "which layers and sublayer the gain multiplies"),
        ADJACENCY,
        Column("gain_target", TEXT, "MLP or ATTN"),
        G_CONDITION,
        number("g", "the gain", "", 0),
        number("b_tot", "branching ratio", RATIO, 0),
        number("delta_b_tot", "surplus over permutation", RATIO),
        number("delta_b_depth_shift", "surplus over the circular shift", RATIO),
        number("chi", "Fano factor of window totals", "events", 0),
        number("achieved_rate_max_abs_err", "largest |achieved − target| of a layer", RATE, 0),
        Column("n_avalanches", I64, "avalanches in all windows", low=0, nullable=True),
        number("avalanche_size_mean", "mean size", "events", 1),
        number("crackling_gamma", "slope of log mean size on log span"),
        reason("reason", "a number is undefined"),
        *(
            c
            for name in ("b_tot", "delta_b_tot", "delta_b_depth_shift", "chi")
            for c in interval(name)
        ),
        *WINDOW_COUNT,
    ),
)


def _of_role(role: str) -> tuple[Column, ...]:
    suffix = role.lower()
    return (
        Column(f"model_id_{suffix}", TEXT, f"the {role} model"),
        Column(f"s05_run_id_{suffix}", TEXT, "its analysis"),
        number(f"gstar_{suffix}", "its g*", "", 0),
        Column(f"identifiable_{suffix}", BOOL, "whether the data determine it"),
        number(f"delta_b_tot_{suffix}", "at g*, held-out windows", RATIO),
        number(f"delta_b_depth_shift_{suffix}", "at g*, held-out windows", RATIO),
        number(f"chi_{suffix}", "at g*, held-out windows", "events", 0),
    )


T07_REPLICATION_SUMMARY = TableSchema(
    TableId.T07_REPLICATION_SUMMARY.name,
    ("spike_def_id", "target_label"),
    with_provenance(
        Column("spike_def_id", TEXT, "spike definition"),
        Column("target_label", TEXT, "target as written in the configuration"),
        Column("target_rate", F64, "target of the INSTRUCT model", RATE, low=0),
        Column("target_rate_base", F64, "target of the BASE model", RATE, low=0),
        *(column for role in ModelRole for column in _of_role(role)),
        Column("same_family", BOOL, "the two models are of one family"),
        reason("reason", "a number is undefined"),
    ),
)
