"""Phase 7: the paper, with T07 where both models have been analysed."""

from __future__ import annotations

from avalattice.canon import OUTPUT, FigureId, RunSubdir, TableId
from avalattice.export.paper.sections import Paper, figure_file, write_paper
from avalattice.export.paper.sources import Rows
from avalattice.export.replication import replication_rows
from avalattice.export.schemas import T07_REPLICATION_SUMMARY
from avalattice.stages.context import StageContext
from avalattice.stages.paper_inputs import analyses, figure_runs, gather
from avalattice.store.digests import canonical_json


def run(ctx: StageContext) -> None:
    """Write T07 and the paper."""
    with ctx.run.step("replication"):
        replication = _replication(ctx)
    with ctx.run.step("writing"):
        files = _files(ctx, write_paper(gather(ctx, replication)))
        for name, content in files.items():
            ctx.run.write_bytes(f"{RunSubdir.PAPER}/{name}", content)


def _replication(ctx: StageContext) -> Rows | None:
    """T07's rows, which are written; None without an analysis of the other role."""
    if not ctx.peers:
        return None
    table = ctx.export_table(
        TableId.T07_REPLICATION_SUMMARY,
        T07_REPLICATION_SUMMARY,
        replication_rows(ctx.provenance, analyses(ctx)),
    )
    rows: Rows = table.to_pylist()
    return rows


def _files(ctx: StageContext, paper: Paper) -> dict[str, bytes]:
    """The paper's files, by their path in its folder."""
    runs = figure_runs(ctx)

    def picture(figure: FigureId) -> bytes:
        return runs[figure].path(figure_file(figure)).read_bytes()

    return {
        **{name: text.encode() for name, text in paper.pages.items()},
        OUTPUT.CLAIMS_JSON_BASENAME: canonical_json(paper.claims.model_dump(mode="json")) + b"\n",
        OUTPUT.REFERENCES_BIB_BASENAME: paper.bibliography.encode(),
        **{figure_file(figure): picture(figure) for figure in paper.figures},
    }
