"""What a pipeline has found, in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from avalattice.canon import OUTPUT, RunSubdir, StageTag
from avalattice.stagetable import STAGES

if TYPE_CHECKING:
    from avalattice.export.documents import GStarDocument, SignaturesDocument
    from avalattice.pipeline import Pipeline
    from avalattice.store.reader import RunReader


def verdict_lines(pipeline: Pipeline) -> Iterator[str]:
    """g* and the signatures of each curve, and where the report is, as far as there are any."""
    from avalattice.export.documents import GStarDocument, SignaturesDocument, read_document

    selection = _complete(pipeline, StageTag.S02B)
    if selection is None:
        yield "g* is not chosen yet"
        return
    choices = read_document(
        selection.path(f"{RunSubdir.RESULTS}/{OUTPUT.GSTAR_JSON_BASENAME}"), GStarDocument
    )
    analysis = _complete(pipeline, StageTag.S05)
    signatures = None
    if analysis is not None:
        path = analysis.path(f"{RunSubdir.RESULTS}/{OUTPUT.SIGNATURES_JSON_BASENAME}")
        signatures = read_document(path, SignaturesDocument)
    yield f"{pipeline.session.model_record.id}, {pipeline.session.role}"
    yield from _curves(choices, signatures)
    release = _complete(pipeline, StageTag.S08)
    if release is not None:
        report = release.folder / RunSubdir.RELEASE / OUTPUT.REPORT_HTML_BASENAME
        yield f"report: {report}"
        yield f"release: {release.folder / OUTPUT.RELEASE_ZIP_BASENAME}"


def _curves(choices: GStarDocument, signatures: SignaturesDocument | None) -> Iterator[str]:
    for choice in choices.choices:
        yield f"  {choice.words()}"
        for entry in signatures.entries if signatures else ():
            if (entry.spike_def_id, entry.target_label) == (
                choice.spike_def_id,
                choice.target_label,
            ):
                verdict = entry.verdict.replace("_", " ")
                yield f"    {entry.signature_id}: {verdict}: {entry.reason}"


def _complete(pipeline: Pipeline, tag: StageTag) -> RunReader | None:
    """The complete run of a stage, if there is one."""
    state, run_id = pipeline.status(STAGES[tag])
    if state != "complete" or run_id is None:
        return None
    return pipeline.session.store.open(run_id)
