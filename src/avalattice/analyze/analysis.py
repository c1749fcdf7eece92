"""Everything that needs no model, on counts that are given: phases 2 to 5 without their passes.

Each condition is measured as the pipeline measures a raster: branching, susceptibility and
occupancy with intervals over windows, the nulls in closed form and from draws, avalanches with
their tails and the size–duration relation beside permuted rasters. With gains, conditions are the
points of one curve: g* is chosen on it, and the three signatures are judged. These windows then do
two things at once, choose g* and are measured at it, which held-out windows would keep apart; every
text says so. Without gains there is no curve, and only the crackling relation is judged.

Rows have the schemas of the pipeline's tables. A site counts as one unit (d_ff = 1), so that rates
are events per site. The target of a curve is its own mean rate: the error columns then say how far
rates differ between gains, which is to be known before curves are compared.

Nothing is read or written here, and no model is asked: torch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from avalattice import __version__
from avalattice.analyze.conditions import (
    MOST_SHOWN,
    NAME,
    Advance,
    AnalysedCondition,
    Options,
    analyse_condition,
    name_conditions,
)
from avalattice.analyze.counts import TOKEN_IDS, WINDOW_IDS, Gains, GivenCounts
from avalattice.analyze.verdicts import SAME_WINDOWS, Rows, choose_gstar, judge
from avalattice.canon import CONST, WindowSet
from avalattice.export.avalanche_rows import (
    avalanche_rows,
    crackling_row,
    fitted_columns,
    tail_rows,
)
from avalattice.export.documents import GStarDocument, GStarEntry, SignaturesDocument
from avalattice.export.null_rows import null_statistics_row
from avalattice.export.schemas import (
    NULL_STATISTICS,
    T01_SUMMARY,
    T04_TAIL_FITS,
    T05_CRACKLING_DIAGNOSTICS,
)
from avalattice.export.summary_rows import summary_rows
from avalattice.export.tables import AppliedRates, Provenance, metrics_rows
from avalattice.lattice.branching import EdgeSums, edge_sums
from avalattice.lattice.rasters import NO_ROLE
from avalattice.rng import decimal_text
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.summary import Summary, summarise
from avalattice.store.digests import sha256_blocks, sha256_json

NO_MODEL: Final = "no model was run, so that its input could not be shuffled"
_ID_DIGITS: Final = 12

Row = dict[str, Any]


@dataclass(frozen=True)
class Analysis:
    """What was found on given counts, as the pipeline's tables hold it."""

    given: GivenCounts
    """What was analysed."""
    options: Options
    """How."""
    provenance: Provenance
    """What every row begins and ends with; the run_id is a digest of counts and options."""
    window_set: WindowSet
    """``calibration`` where g* was chosen on these windows, ``raster`` where there are no gains."""
    conditions: tuple[AnalysedCondition, ...]
    """Every condition, in the order of the counts."""
    summary: pa.Table
    """T01, a row for each condition."""
    tail_fits: pa.Table
    """T04, two rows for each condition."""
    crackling: pa.Table
    """T05, a row for each condition."""
    null_statistics: pa.Table
    """A row for each condition."""
    gstar: GStarDocument | None
    """The choice of g*; None without gains."""
    signatures: SignaturesDocument
    """S1 to S3 of the curve, or of each condition where there is none."""
    notes: tuple[str, ...]
    """What a reader should know, such as few windows."""

    @property
    def run_id(self) -> str:
        """The analysis' identifier."""
        return self.provenance.run_id

    @property
    def choice(self) -> GStarEntry | None:
        """The choice of g*; None without gains."""
        return self.gstar.choices[0] if self.gstar else None

    def avalanche_rows(self) -> Iterator[Row]:
        """The rows of the table of avalanches, of every condition."""
        for each in self.conditions:
            for row in avalanche_rows(self.provenance, each.cond_id, each.described):
                yield row | {WINDOW_IDS: int(self.given.seq_id[row[WINDOW_IDS]])}


def analyze(
    A: npt.ArrayLike | None = None,
    *,
    X: npt.ArrayLike | None = None,
    gains: Gains | None = None,
    token_ids: npt.ArrayLike | None = None,
    options: Options | None = None,
) -> Analysis:
    """Analyse counts.

    Args:
        A: event counts [N, L, T], or [C, N, L, T] of several conditions on the same N windows.
        X: occupancy of the same shape, in the place of counts or beside them.
        gains: the gain of each condition, [C]: then conditions are the points of one curve.
        token_ids: [N, T], for the token-id null.
        options: how; the pipeline's defaults without them.

    Raises:
        ArrayError: an array is not what it must be.
        InputError: gains are negative, equal or no numbers, or an option is out of range.

    >>> from avalattice.lattice.simulate import branching_raster
    >>> A = branching_raster((20, 12, 64), 0.3, 0.4, 0.05, np.random.default_rng(1))
    >>> found = analyze(A, options=Options(bootstrap_reps=200, null_replicates=20, gof_reps=0))
    >>> row = found.summary.to_pylist()[0]
    >>> round(row["b_depth"], 2), round(row["b_depth_shift_exact"], 2)
    (0.47, 0.14)
    >>> found.signatures.entries[0].verdict
    'not_assessable'
    """
    given = GivenCounts.of(A, X=X, gains=gains, token_ids=token_ids)
    return analyze_counts(given, options or Options())


def analyze_counts(
    given: GivenCounts, options: Options, advance: Advance = lambda: None
) -> Analysis:
    """Analyse counts that have been read or checked.

    Args:
        given: the counts.
        options: how.
        advance: called after each part of each condition, to show progress.

    Raises:
        InputError: an option is out of range.
    """
    options.check()
    resamples = Resamples.draw(given.n_windows, options.bootstrap_reps, options.rng("bootstrap"))
    edges = [edge_sums(counts) for counts in given.A]
    summary = summarise(
        EdgeSums(np.stack([sums.values for sums in edges])),
        n_tokens=given.n_tokens,
        d_ff=_one_unit(given),
        resamples=resamples,
        denominator=options.denominator,
    )
    conditions = tuple(
        analyse_condition(given, c, condition, edges[c], resamples, options, advance)
        for c, condition in enumerate(name_conditions(given, summary.rate_layers.mean(axis=1)))
    )
    return _tabulated(given, options, conditions, summary, resamples)


def _one_unit(given: GivenCounts) -> np.ndarray:
    """One unit at each site: rates are events per site."""
    return np.ones(given.A.shape[2], np.int64)


# ---------------------------------------------------------------------------------- the rows


def _tabulated(
    given: GivenCounts,
    options: Options,
    conditions: tuple[AnalysedCondition, ...],
    summary: Summary,
    resamples: Resamples,
) -> Analysis:
    """What was measured as tables, and the verdicts that follow from them."""
    provenance = _provenance(given, options)
    window_set = WindowSet.CALIBRATION if given.gains else WindowSet.RASTER
    nulls = _null_rows(given, provenance, window_set, conditions, resamples)
    t01 = _summary(given, provenance, window_set, conditions, summary, nulls)
    t04, t05 = _fits(provenance, window_set, conditions, resamples)
    gstar = choose_gstar(conditions, summary, options, _digest(given)) if given.gains else None
    rows = Rows(t01.to_pylist(), t04.to_pylist(), t05.to_pylist())
    return Analysis(
        given=given,
        options=options,
        provenance=provenance,
        window_set=window_set,
        conditions=conditions,
        summary=t01,
        tail_fits=t04,
        crackling=t05,
        null_statistics=NULL_STATISTICS.table(nulls),
        gstar=gstar,
        signatures=judge(conditions, rows, gstar, resamples),
        notes=tuple(_notes(given, conditions, resamples)),
    )


def _null_rows(
    given: GivenCounts,
    provenance: Provenance,
    window_set: WindowSet,
    conditions: Sequence[AnalysedCondition],
    resamples: Resamples,
) -> list[Row]:
    return [
        null_statistics_row(
            provenance,
            window_set,
            each.cond_id,
            each.condition,
            each.nulls,
            None,
            _one_unit(given),
            resamples,
            n_tokens=given.n_tokens,
            no_shuffle=NO_MODEL,
        )
        for each in conditions
    ]


def _summary(
    given: GivenCounts,
    provenance: Provenance,
    window_set: WindowSet,
    conditions: Sequence[AnalysedCondition],
    summary: Summary,
    nulls: Sequence[Row],
) -> pa.Table:
    """T01: no threshold made the counts, and no rate was matched."""
    named = [each.condition for each in conditions]
    rates = _own_rates(given, summary)
    rows = summary_rows(
        provenance,
        list(metrics_rows(provenance, window_set, named, summary, rates)),
        nulls,
        [each.described for each in conditions],
        [each.depth for each in conditions],
        tau0=np.nan,
        rate_tolerance=np.nan,
    )
    return T01_SUMMARY.table(rows)


def _own_rates(given: GivenCounts, summary: Summary) -> AppliedRates:
    """The mean rates of a curve, or of a condition on its own, as targets."""
    rates, events = summary.rate_layers, summary.events_layers.astype(np.float64)
    if given.gains:
        rates, events = (np.tile(each.mean(axis=0), (len(each), 1)) for each in (rates, events))
    return AppliedRates(np.full(rates.shape, np.nan, np.float32), rates, events)


def _fits(
    provenance: Provenance,
    window_set: WindowSet,
    conditions: Sequence[AnalysedCondition],
    resamples: Resamples,
) -> tuple[pa.Table, pa.Table]:
    """T04 and T05."""
    tails: list[Row] = []
    crackling: list[Row] = []
    for each in conditions:
        report = each.avalanches
        shared = fitted_columns(provenance, window_set, each.condition, each.described, resamples)
        tails += tail_rows(shared, report.statistics, report.null)
        crackling.append(crackling_row(shared, report.statistics, report.null, report.whole_tokens))
    return T04_TAIL_FITS.table(tails), T05_CRACKLING_DIAGNOSTICS.table(crackling)


# ---------------------------------------------------------------------- identity and remarks


def _provenance(given: GivenCounts, options: Options) -> Provenance:
    settings = sha256_json(asdict(options))
    identity = sha256_json([_digest(given), settings])
    return Provenance(
        run_id=f"{NAME.upper()}_{identity[:_ID_DIGITS]}",
        stage_id=NAME,
        model_id=given.name,
        model_role=NO_ROLE,
        dataset_role=NO_ROLE,
        config_hash=settings,
        code_version=__version__,
    )


def _digest(given: GivenCounts) -> str:
    """Of the values, whatever file and integer type held them."""
    tokens = () if given.token_ids is None else (given.token_ids,)
    about = {
        "shape": list(given.A.shape),
        "gains": given.gains and [decimal_text(gain) for gain in given.gains],
        "sites_only": given.sites_only,
        TOKEN_IDS: bool(tokens),
    }
    arrays = (*given.A, given.cond_id, given.seq_id, *tokens)  # one condition at a time
    blocks = (np.ascontiguousarray(array, "<i8").tobytes() for array in arrays)
    return sha256_blocks([sha256_json(about).encode(), *blocks])


def _notes(
    given: GivenCounts, conditions: Sequence[AnalysedCondition], resamples: Resamples
) -> Iterator[str]:
    """What a reader should know beside the numbers."""
    yield from given.notes
    if given.sites_only:
        yield "only occupancy was given: sizes, rates and chi count occupied sites, not events"
    if given.gains:
        yield f"{SAME_WINDOWS}: what is measured at it is not independent of the choice"
    if resamples.few_windows:
        yield (
            f"few windows: {given.n_windows} are fewer than {CONST.FEW_WINDOWS}, so that "
            "95 % intervals cover less than they say"
        )
    if not given.gains and len(conditions) > MOST_SHOWN:
        yield f"figures show the first {MOST_SHOWN} of {len(conditions)} conditions; tables, all"
    limit = CONST.CC_MAX_COMPONENTS_PER_SEQ_HARDFAIL
    for each in conditions:
        most = int(each.described.table.components_per_window().max(initial=0))
        if most > limit:
            yield (
                f"{each.condition.target_label}, g = {decimal_text(each.condition.gain)}: a window "
                f"has {most} avalanches, more than the {limit} that the pipeline allows: most are "
                "single sites, and say little"
            )
