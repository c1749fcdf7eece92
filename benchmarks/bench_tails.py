"""Tail fit of 300,000 sizes against powerlaw and igraph, and intervals against scipy's bootstrap.

Prints how long each peer takes, in units of the fit measured in the same run, and checks that they
find the same tail. A peer that is not installed is left out. powerlaw runs with its parameter
ranges widened; igraph has no rival families, and its time holds the one bootstrap replicate that it
cannot do without. The intervals are those of every number of T01, of 88 conditions and 64 windows
with 2,000 resamples; scipy is given the same sums per window and asked for one of those numbers.

    python benchmarks/bench_tails.py [--samples 300000] [--repeat 3] [--skip powerlaw,igraph]
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from avalattice.lattice.branching import SUM_NAMES, edge_sums
from avalattice.lattice.null_sums import null_sums_of_edges
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.excess import excess_intervals
from avalattice.stats.summary import summarise
from avalattice.stats.tail_laws import (
    Family,
    TailLaw,
    lognormal,
    power_law,
    truncated_power_law,
)
from avalattice.stats.tails import TailFit, fit_tail

SAMPLES: dict[str, TailLaw] = {
    "power law, alpha 1.5": power_law(1.5),
    "power law, alpha 2.5": power_law(2.5),
    "log-normal, mu 2, sigma 1.5": lognormal(2.0, 1.5),
    "truncated power law, alpha 1.5, lambda 0.001": truncated_power_law(1.5, 0.001),
}


def seconds(work: Callable[[], object], repeat: int) -> tuple[float, object]:
    """Shortest time of some runs, and the last result."""
    best, result = float("inf"), None
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def powerlaw_scan(x: np.ndarray):
    """powerlaw: the scan."""
    powerlaw = importlib.import_module("powerlaw")
    ranges = {"alpha": (1.0001, 20)}
    return powerlaw.Fit(x, discrete=True, verbose=False, parameter_ranges=ranges)


def powerlaw_rivals(x: np.ndarray, xmin: int):
    """powerlaw: the three comparisons at a given xmin."""
    powerlaw = importlib.import_module("powerlaw")
    ranges = {"alpha": (1.0001, 20)}
    fit = powerlaw.Fit(x, xmin=xmin, discrete=True, verbose=False, parameter_ranges=ranges)
    return [
        fit.distribution_compare("power_law", rival)
        for rival in ("exponential", "lognormal", "truncated_power_law")
    ]


def igraph_scan(x: list[int]):
    """igraph: the scan, with the fewest replicates that it allows."""
    igraph = importlib.import_module("igraph")
    return igraph.power_law_fit(x, method="discrete", p_precision=0.5)


def installed(name: str, skip: str) -> bool:
    """Whether the peer is wanted and there."""
    try:
        importlib.import_module(name)
    except ImportError:
        print(f"  {name}: not installed, left out")
        return False
    return name not in skip.split(",")


def row(name: str, peer: float, own: float, note: str) -> None:
    """One line of the result."""
    print(f"  {name:24s} {peer / own:10.1f} × our scan and four families   {note}")


def compare(x: np.ndarray, repeat: int, skip: str) -> None:
    """Our fit and the peers' on one sample."""
    own, fit = seconds(lambda: fit_tail(x), repeat)
    assert isinstance(fit, TailFit)
    print(f"  ours: {own:.3f} s here, xmin {fit.xmin}, alpha {fit.alpha:.4f}, {fit.best_family}")
    if installed("powerlaw", skip):
        scan, found = seconds(lambda: powerlaw_scan(x), 1)
        row(
            "powerlaw, scan", scan, own, f"xmin {found.xmin:.0f}, alpha {found.power_law.alpha:.4f}"
        )
        rivals, ratios = seconds(lambda: powerlaw_rivals(x, fit.xmin or 1), 1)
        ours = fit.comparisons[Family.TRUNCATED_POWERLAW].llr
        note = f"against the truncated power law {ratios[2][0]:.2f}, ours {ours:.2f}"
        row("powerlaw, comparisons", rivals, own, note)
    if installed("igraph", skip):
        values = x.tolist()
        scan, found = seconds(lambda: igraph_scan(values), 1)
        row("igraph, scan", scan, own, f"xmin {found.xmin:.0f}, alpha {found.alpha:.4f}")


def intervals(repeat: int, conditions: int = 88, windows: int = 64, reps: int = 2000) -> None:
    """All intervals of T01, and scipy's of b_time alone."""
    rng, n_tokens = np.random.default_rng(1337), 64
    X = rng.random((conditions, windows, 30, n_tokens), dtype=np.float32) < 0.3
    sums = edge_sums(X)
    per_window = null_sums_of_edges(sums, n_tokens)
    resamples = Resamples.draw(windows, reps, rng)
    d_ff = np.full(30, 1536)

    def ours():
        summary = summarise(sums, n_tokens=n_tokens, d_ff=d_ff, resamples=resamples)
        return summary.branching_intervals | excess_intervals(per_window, resamples)

    pairs, ancestors = (SUM_NAMES.index(name) for name in ("time_pairs", "time_ancestors"))

    def scipys():
        for counted in sums.windows:
            columns = (counted[:, pairs], counted[:, ancestors])
            stats.bootstrap(
                columns,
                lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
                n_resamples=reps,
                paired=True,
                vectorized=True,
                method="percentile",
                rng=1337,
            )

    own, found = seconds(ours, repeat)
    peer, _ = seconds(scipys, repeat)
    print(f"intervals: {conditions} conditions, {windows} windows, {reps} resamples")
    print(f"  ours: {own:.3f} s here, {len(found) + 1} numbers of each condition")
    print(f"  scipy.stats.bootstrap    {peer / own:10.1f} × ours, for one number")


def main() -> None:
    """Run on every sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=300_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip", default="", help="peers to leave out, separated by commas")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers warn about their own arithmetic
    for name, law in SAMPLES.items():
        x = law.sample(options.samples, np.random.default_rng(1337))
        print(f"{name}: {len(x)} samples, {len(np.unique(x))} different")
        compare(x, options.repeat, options.skip)
    intervals(options.repeat)


if __name__ == "__main__":
    main()
