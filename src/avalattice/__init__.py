"""Activation avalanches in language models.

::

    import avalattice as av

    run = av.open_run("runs/RUN_S03_…")       # verifies what it reads
    rasters = run.rasters()                   # .A .X .cond_id .seq_id .conditions
    av.branching(rasters.A[0])                # .b_time .b_depth .b_tot
    av.susceptibility(rasters.A[0])           # .chi
    av.branching_null_exact(rasters.A[0])     # .b_time .b_depth .b_depth_shift, and the surplus
    table = av.avalanches(rasters.A[0])       # .size .span_tokens .window …
    av.fit_tail(table.size)                   # .alpha .status .comparisons["lognormal"].llr
    av.crackling(table.size, table.span_tokens)

Names are imported when they are first used: ``import avalattice`` alone loads nothing heavy, and
analysis no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Condition": "lattice.rasters",
    "Rasters": "lattice.rasters",
    "avalanches": "lattice.avalanches",
    "branching": "lattice.branching",
    "branching_null_exact": "lattice.null_moments",
    "branching_raster": "lattice.simulate",
    "capture": "model.capture",
    "check_sites": "model.check",
    "circular_shift_null": "lattice.nulls",
    "crackling": "stats.scaling",
    "fit_tail": "stats.tails",
    "gain": "model.gain",
    "load_rasters": "lattice.rasters",
    "mlp_sites": "model.sites",
    "open_run": "results",
    "permutation_null": "lattice.nulls",
    "save_rasters": "lattice.rasters",
    "susceptibility": "lattice.susceptibility",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from avalattice.lattice.avalanches import avalanches as avalanches
    from avalattice.lattice.branching import branching as branching
    from avalattice.lattice.null_moments import branching_null_exact as branching_null_exact
    from avalattice.lattice.nulls import circular_shift_null as circular_shift_null
    from avalattice.lattice.nulls import permutation_null as permutation_null
    from avalattice.lattice.rasters import Condition as Condition
    from avalattice.lattice.rasters import Rasters as Rasters
    from avalattice.lattice.rasters import load_rasters as load_rasters
    from avalattice.lattice.rasters import save_rasters as save_rasters
    from avalattice.lattice.simulate import branching_raster as branching_raster
    from avalattice.lattice.susceptibility import susceptibility as susceptibility
    from avalattice.model.capture import capture as capture
    from avalattice.model.check import check_sites as check_sites
    from avalattice.model.gain import gain as gain
    from avalattice.model.sites import mlp_sites as mlp_sites
    from avalattice.results import open_run as open_run
    from avalattice.stats.scaling import crackling as crackling
    from avalattice.stats.tails import fit_tail as fit_tail


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
