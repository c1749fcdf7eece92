"""The subcommand ``analyze``: everything that needs no model, on a user's own counts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avalattice.canon import CONST, AdjacencyId
from avalattice.cli.app import app
from avalattice.cli.options import DebugOption, JsonOption, ProgressName, ProgressOption
from avalattice.cli.output import emit

if TYPE_CHECKING:
    from avalattice.analyze import Analysis
    from avalattice.progress import Reporter


class DenominatorName(StrEnum):
    """What branching ratios can be divided by."""

    valid_edges = "valid_edges"
    all_sites = "all_sites"


@app.command(rich_help_panel="Other")
def analyze(
    file: Annotated[
        Path, typer.Argument(help="NPZ or NPY file of event counts [N, L, T] or [C, N, L, T].")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder; FILE's stem and _analysis by default."),
    ] = None,
    adjacency: Annotated[
        AdjacencyId, typer.Option(help="Which sites are neighbours.")
    ] = AdjacencyId.ADJ_4N,
    denominator: Annotated[
        DenominatorName, typer.Option(help="Of the branching ratios.")
    ] = DenominatorName.valid_edges,
    reps: Annotated[
        int, typer.Option(min=100, help="Resamples of the windows.")
    ] = CONST.BOOTSTRAP_REPS,
    null_replicates: Annotated[
        int, typer.Option(min=1, help="Draws of each null.")
    ] = CONST.NULL_REPLICATES,
    avalanche_replicates: Annotated[
        int, typer.Option(min=1, help="Permuted rasters whose avalanches are fitted.")
    ] = CONST.NULL_AVALANCHE_REPLICATES,
    gof_reps: Annotated[
        int, typer.Option(min=0, help="Bootstrap of the tail fits; 0 for none.")
    ] = CONST.TAIL_GOF_REPS,
    seed: Annotated[int, typer.Option(min=0, help="Of every random draw.")] = CONST.BOOTSTRAP_SEED,
    figures: Annotated[bool, typer.Option(help="Draw figures (needs matplotlib).")] = True,
    progress: ProgressOption = ProgressName.auto,
    json_: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by main
) -> None:
    """Analyse your own counts: branching, nulls, avalanches, signatures; no model is involved.

    FILE holds A, event counts [N, L, T] (windows, layers, tokens) or [C, N, L, T]; or X, occupancy;
    and perhaps gain [C], token_ids [N, T]. docs/analyze.md has examples.
    """
    from avalattice.analyze import Options, analyze_counts, read_counts
    from avalattice.analyze.conditions import PARTS
    from avalattice.analyze.folder import check_free, write_analysis
    from avalattice.analyze.words import summary_text
    from avalattice.progress import Reporter

    folder = Path(f"{file.stem}_analysis") if out is None else out
    check_free(folder)
    reporter = Reporter(progress.value)
    given = read_counts(file)
    options = Options(
        adjacency=adjacency,
        denominator=denominator.value,
        bootstrap_reps=reps,
        null_replicates=null_replicates,
        avalanche_replicates=avalanche_replicates,
        gof_reps=gof_reps,
        seed=seed,
    )
    with reporter.task(file.name, PARTS * len(given.A)) as task:
        analysis = analyze_counts(given, options, task.advance)
    write_analysis(analysis, folder, figures=figures and _can_draw(reporter))
    text = f"{summary_text(analysis)}\nwritten to {folder}"
    emit(_value(analysis, folder), as_json=json_, text=text)


def _can_draw(reporter: Reporter) -> bool:
    """Whether matplotlib is there; what to do, if it is not."""
    from importlib.util import find_spec

    if find_spec("matplotlib"):
        return True
    reporter.say("no figures: matplotlib is missing; pip install 'avalattice[figures]'")
    return False


def _value(analysis: Analysis, folder: Path) -> dict[str, Any]:
    """What programs are told: the rows of the tables, and the verdicts."""
    gstar = analysis.gstar
    return {
        "run_id": analysis.run_id,
        "path": str(folder),
        "summary": analysis.summary.to_pylist(),
        "tail_fits": analysis.tail_fits.to_pylist(),
        "crackling": analysis.crackling.to_pylist(),
        "choice": None if gstar is None else gstar.model_dump(mode="json"),
        "signatures": analysis.signatures.model_dump(mode="json"),
        "notes": list(analysis.notes),
    }
