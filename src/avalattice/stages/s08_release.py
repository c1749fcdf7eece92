"""Phase 8: everything that the paper rests on as one pack, and the pack as one file.

The pack lies in the run's ``release/`` folder: the runs, the paper, the report, a machine-readable
description (RO-Crate) and ``MANIFEST.sha256`` at its root, which ``sha256sum -c`` accepts. The zip
beside it holds the same files, and has the same bytes whenever it is built from the same runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from avalattice import __version__
from avalattice.canon import OUTPUT, PROJECT_ID, RunSubdir, StageTag
from avalattice.errors import VerificationError
from avalattice.export.archive import pack_zip
from avalattice.export.crate import About, crate_json
from avalattice.export.crate_reader import DESCRIBED_ELSEWHERE, crate_faults, read_crate
from avalattice.export.release import PackedFile, build_pack
from avalattice.report import report_html
from avalattice.stages.context import StageContext
from avalattice.stages.release_inputs import published, release_files, stage_run
from avalattice.store.files import resource_errors
from avalattice.store.reader import RunReader

PACK = RunSubdir.RELEASE
_SPDX = "https://spdx.org/licenses/"


def run(ctx: StageContext) -> None:
    """Build the pack and its zip, and index every file of it."""
    store = ctx.session.store
    runs = [store.open(run_id) for run_id in store.behind(ctx.inputs[StageTag.S07].run_id)]
    scratch = ctx.run.folder / RunSubdir.CACHE / PACK
    with ctx.run.step("report"):
        report = report_html([run.run_id for run in runs], store)
    with ctx.run.step("pack"), resource_errors(scratch):
        shutil.rmtree(scratch, ignore_errors=True)  # of an interrupted attempt
        packed = build_pack(
            release_files(runs) | _paper(ctx) | {OUTPUT.REPORT_HTML_BASENAME: _kept(ctx, report)},
            scratch,
            describe=lambda files: _crate(ctx, runs, files),
        )
        _check(scratch, packed, [run.run_id for run in runs])
        for file in packed:
            _index(ctx, scratch, file.name)
    with ctx.run.step("zip"):
        ctx.run.write(OUTPUT.RELEASE_ZIP_BASENAME, lambda file: pack_zip(scratch, file))


def _check(pack: Path, files: Sequence[PackedFile], run_ids: Sequence[str]) -> None:
    """Read the description back, as whoever gets the release will."""
    crate = read_crate(pack / OUTPUT.RO_CRATE_JSON)
    described = (file for file in files if file.name not in DESCRIBED_ELSEWHERE)
    faults = list(crate_faults(crate, described, run_ids))
    if faults:
        raise VerificationError("; ".join(faults))


def _paper(ctx: StageContext) -> dict[str, Path]:
    """The paper's files, by their names in the pack."""
    reader = ctx.inputs[StageTag.S07]
    folder = f"{RunSubdir.PAPER}/"
    names = (name for name in reader.record.artifact_index if name.startswith(folder))
    return {name: reader.path(name) for name in names}


def _kept(ctx: StageContext, report: str) -> Path:
    path = ctx.run.folder / RunSubdir.CACHE / OUTPUT.REPORT_HTML_BASENAME
    path.write_text(report, encoding="utf-8")
    return path


def _crate(ctx: StageContext, runs: Sequence[RunReader], files: Sequence[PackedFile]) -> bytes:
    records = [run.record for run in runs]
    licence = ctx.config.release.licence
    about = About(
        name=f"{PROJECT_ID} {__version__}: {ctx.session.model_record.id}",
        description=(
            "Activation avalanches of a language model: the paper, the report, and every run that "
            "they rest on. Texts and tokens of windows keep the licence of their corpora."
        ),
        published=published(records),
        licence_url=f"{_SPDX}{licence}",
        licence_name=licence,
    )
    return crate_json(about, files, [stage_run(record) for record in records])


def _index(ctx: StageContext, scratch: Path, name: str) -> None:
    with (scratch / name).open("rb") as packed:
        ctx.run.write(f"{PACK}/{name}", lambda file: shutil.copyfileobj(packed, file))
