"""Draw one window of a raster run: events on the token × layer lattice.

    python examples/plot_raster.py runs/RUN_S03_… raster.png [--cond 0] [--window 0]

Needs matplotlib: pip install 'avalattice[figures]'.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

import avalattice as av


def main() -> None:
    """Read a run, draw one window, say what is measured on the whole condition."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--cond", type=int, default=0)
    parser.add_argument("--window", type=int, default=0)
    arguments = parser.parse_args()

    run = av.open_run(arguments.run)
    rasters = run.rasters()
    condition = rasters.conditions[arguments.cond]
    counts = np.asarray(rasters.A[arguments.cond])
    ratios, chi = av.branching(counts), av.susceptibility(counts).chi

    figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
    shown = np.ma.masked_equal(counts[arguments.window], 0)
    image = axes.imshow(
        shown,
        origin="lower",
        aspect="auto",
        cmap="viridis",
        norm=LogNorm(1, shown.max()),
        interpolation="none",
    )
    axes.set(xlabel="token", ylabel="layer")
    axes.set_title(
        f"{run.record.model.id}, window {arguments.window}: g = {condition.gain}, "
        f"{condition.target_label} events per site, {condition.spike_def_id}",
        fontsize=9,
    )
    figure.colorbar(image, label="events at a site", pad=0.01)
    figure.savefig(arguments.picture, dpi=130)
    print(
        f"{condition.spike_def_id}, g = {condition.gain}: occupancy {(counts > 0).mean():.3f}, "
        f"b_time {ratios.b_time:.3f}, b_depth {ratios.b_depth:.3f}, chi {chi:.0f}"
    )


if __name__ == "__main__":
    main()
