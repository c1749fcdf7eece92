"""A simulated case in which g* is identifiable, and its control in which it is not.

    python examples/planted_gstar.py [--windows 64] [--seed 1]

A branching process on the token × layer lattice has ratios in proportion to a gain, at one rate of
events at every gain, as rate matching sets it. Its b_tot passes one at a gain that is known. The
control has independent sites of occupancy one half: b_tot is near one at every gain, and means
nothing. Both go through what the pipeline does, and the three signatures are judged.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from avalattice.canon import CONST
from avalattice.lattice.branching import branching, branching_from_sums, edge_sums
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import permutation_null, token_column_null
from avalattice.lattice.percolation import independent_sites, percolation_context
from avalattice.lattice.simulate import PlantedGain
from avalattice.rng import stream
from avalattice.stats.avalanche_nulls import null_avalanches
from avalattice.stats.avalanche_statistics import describe_avalanches, fit_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.chi_peak import chi_peak
from avalattice.stats.gstar import GStar, select_gstar
from avalattice.stats.signatures import (
    Verdict,
    assess_branching_crossing,
    assess_crackling_relation,
    assess_susceptibility_peak,
)

GAINS = CONST.GAIN_GRID_DEFAULT
PLANTED = PlantedGain(n_layers=30, n_tokens=128, b_time=0.3, b_depth=0.5, rate=0.2)

Draw = Callable[[float], np.ndarray]
"""Counts [N, L, T] at a gain."""


def gstar_of(grid: np.ndarray, resamples: Resamples) -> GStar:
    """g* of counts at every gain, [G, N, L, T]."""
    windows = np.moveaxis(edge_sums(grid).windows, 1, 0)
    replicates = branching_from_sums(resamples.sums(windows)).b_tot
    return select_gstar(GAINS, branching_from_sums(windows.sum(axis=0)).b_tot, replicates)


def relation_at(A: np.ndarray, resamples: Resamples, rng: np.random.Generator) -> Verdict:
    """The crackling relation of the counts at g*, beside permuted ones."""
    fitted = fit_avalanches(A, describe_avalanches(A, resamples), resamples)
    rows, tokens = (
        null_avalanches(draw(A, rng) for _ in range(5))
        for draw in (permutation_null, token_column_null)
    )
    gamma, relation = fitted.crackling, fitted.relation
    assert gamma.interval is not None
    return assess_crackling_relation(
        size_reason=fitted.size_tail.fit.reason,
        span_reason=fitted.span_tail.fit.reason,
        crackling_reason=gamma.reason,
        gamma=gamma.gamma,
        gamma_interval=(float(gamma.interval.low), float(gamma.interval.high)),
        dcc_signed=relation.dcc_signed,
        dcc_interval=(float(relation.interval.low), float(relation.interval.high)),
        gamma_null=rows.gamma.mean,
        gamma_null_range=rows.gamma.range,
        gamma_null_tokens=tokens.gamma.mean,
        gamma_null_tokens_range=tokens.gamma.range,
        near_percolation=percolation_context(A).near,
        few_windows=gamma.few_windows,
    )


def assess(draw: Draw, rng: np.random.Generator) -> tuple[GStar, list[Verdict]]:
    """g* on one set of windows, the signatures on that and on others."""
    grid = np.stack([draw(float(gain)) for gain in GAINS])
    resamples = Resamples.draw(grid.shape[1], CONST.BOOTSTRAP_REPS, rng)
    chosen = gstar_of(grid, resamples)
    assert chosen.gstar is not None
    held_out = draw(float(chosen.gstar))
    null = branching_null_exact(held_out)
    crossing = assess_branching_crossing(
        gstar=chosen.gstar,
        bracketed=chosen.bracketed,
        identifiable=chosen.identifiable,
        gstar_reason=chosen.reason,
        crossing=chosen.crossing,
        delta_b_depth_shift=null.delta_b_depth_shift,
        p_adj=null.p_depth_shift_exact,  # one test, so there is nothing to adjust for
        few_windows=resamples.few_windows,
    )
    peak = assess_susceptibility_peak(
        chi_peak(GAINS, grid.sum(axis=(2, 3), dtype=np.int64), resamples),
        gstar=chosen.gstar,
        identifiable=chosen.identifiable,
        gstar_reason=chosen.reason,
    )
    print(f"  b_tot {branching(held_out).b_tot:.3f}; {percolation_context(held_out).words}")
    return chosen, [crossing, peak, relation_at(held_out, resamples, rng)]


def main() -> None:
    """Judge both cases, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = stream(arguments.seed, "planted")
    shape = (arguments.windows, PLANTED.n_layers, PLANTED.n_tokens)
    ends = float(GAINS[0]), float(GAINS[-1])
    cases: dict[str, Draw] = {
        f"planted, b_tot = 1 at g = {PLANTED.crossing(*ends):.3f}": lambda gain: PLANTED.draw(
            arguments.windows, gain, rng
        ),
        "independent sites, p = 0.5 at every gain": lambda _: independent_sites(shape, 0.5, rng),
    }
    for name, draw in cases.items():
        print(name)
        chosen, verdicts = assess(draw, rng)
        low, high = chosen.crossing_interval
        print(f"  g* = {chosen.gstar}, crossing {chosen.crossing:.3f} [{low:.3f}, {high:.3f}]")
        for verdict in verdicts:
            print(f"  {verdict.signature_id}: {verdict.verdict}\n      {verdict.reason}")


if __name__ == "__main__":
    main()
