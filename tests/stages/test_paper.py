"""Phase 7 on a tiny model: what the paper rests on, and what the other model role adds to it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from avalattice import config
from avalattice.canon import FigureId, ModelRole, PaperPage, StageTag, TableId
from avalattice.errors import DependencyError, InputError, RunExistsError
from avalattice.export.documents import ClaimsDocument, read_document
from avalattice.pipeline import Pipeline
from avalattice.progress import Reporter
from avalattice.stages.paper_inputs import _UNLISTED
from avalattice.stages.session import Session
from avalattice.stagetable import STAGES, Stage, sections_of
from avalattice.store.reader import RunReader
from avalattice.store.record import read_record
from avalattice.store.runs import RunStore
from tests.stages.conftest import Workplace

CALIBRATION = "results/calibration_stats.npz"
TARGETS = "results/rate_targets.json"
S01, S07 = STAGES[StageTag.S01], STAGES[StageTag.S07]
PEER_STAGE = replace(
    S07,
    inputs={StageTag.S01: (TARGETS,)},
    optional_inputs={},
    peer_inputs={StageTag.S01: (CALIBRATION,)},
    sections=(),
)
"""A stage that rests on phase 1 of its own role, and on that of the other where there is one."""


def resolve(place: Workplace, stage: Stage, role: ModelRole = ModelRole.INSTRUCT):
    """What a fresh pipeline would run."""
    return place.pipeline(role).resolve(stage)


def claims_of(run: Path) -> ClaimsDocument:
    return read_document(run / "paper" / "claims.json", ClaimsDocument)


def page(run: Path, name: PaperPage) -> str:
    return (run / "paper" / name).read_text(encoding="utf-8")


# ------------------------------------------------------------------------------ the finished paper


def test_the_paper_of_a_finished_pipeline(finished: Workplace) -> None:
    """Pages, claims, bibliography and every figure stand in the run, with their digests."""
    run = finished.run("S07")
    index = read_record(run).artifact_index
    assert {f"paper/{page}" for page in PaperPage} <= set(index)
    assert {f"paper/{figure}.png" for figure in FigureId} <= set(index)
    document = claims_of(run)
    assert len(document.claims) > 30
    assert {claim.run_id for claim in document.claims} <= {
        None,
        *(finished.run(tag).name for tag in ("S02B", "S04", "S05", "S06B", "S06ARC")),
    }


def test_figures_of_the_paper_are_those_of_their_runs(finished: Workplace) -> None:
    """A copied figure has the digest that its own run's record states."""
    papers = read_record(finished.run("S07")).artifact_index
    for figure in FigureId:
        tag = {"F06": "S06B", "F07": "S06ARC"}.get(figure.name[:3], "S05")
        original = read_record(finished.run(tag)).artifact_index[f"{figure}.png"]
        assert papers[f"paper/{figure}.png"].sha256 == original.sha256


def test_every_artifact_behind_the_paper_is_listed(finished: Workplace) -> None:
    """The appendix names each artifact of each upstream run, with its digest."""
    appendix = (finished.run("S07") / "paper" / "appendix.md").read_text()
    for tag in ("S01", "S02", "S02B", "S03", "S04", "S05", "S06B", "S06ARC"):
        record = read_record(finished.run(tag))
        for name, entry in record.artifact_index.items():
            line = f"| `{record.run_id}` | `{record.config_hash}` | `{name}` | {entry.bytes:,} | "
            listed = f"{line}`{entry.sha256}` |" in appendix
            assert listed == (name not in _UNLISTED), (tag, name)


def test_writing_the_paper_again_gives_the_same_bytes(finished: Workplace) -> None:
    """A paper that was removed comes back, byte for byte, without the model being loaded."""
    run = finished.run("S07")
    before = {n: e.sha256 for n, e in read_record(run).artifact_index.items() if "paper/" in n}
    store = RunStore(finished.runs)
    store.remove(store.with_dependents([run.name]))
    pipeline = finished.pipeline()
    assert pipeline.run(S07, allow_resume=False) == run.name
    after = {n: e.sha256 for n, e in read_record(run).artifact_index.items() if "paper/" in n}
    assert after == before
    assert read_record(run).cost.forward_windows == 0


def test_a_copy_is_put_where_it_is_asked_for(finished: Workplace, tmp_path: Path) -> None:
    """paper.export_dir gets the whole paper, also of a run that was complete before.

    It is no part of the run's identity; a file of somebody's own there refuses the copy.
    """
    text = finished.config.read_text()
    finished.config.write_text(f'{text}paper: {{export_dir: "{tmp_path}/copy"}}\n')
    with pytest.raises(RunExistsError, match="can be used as they are"):
        finished.pipeline().run(S07, allow_resume=False)
    paper = finished.run("S07") / "paper"
    for path in paper.rglob("*"):
        if path.is_file():
            copy = tmp_path / "copy" / "INSTRUCT" / path.relative_to(paper)
            assert copy.read_bytes() == path.read_bytes()
    assert (tmp_path / "copy" / "INSTRUCT" / "claims.json").is_file()
    finished.config.write_text(f'{text}paper: {{export_dir: "{tmp_path}/mine"}}\n')
    (tmp_path / "mine" / "INSTRUCT").mkdir(parents=True)
    (tmp_path / "mine" / "INSTRUCT" / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"README\.md was not written by a paper export"):
        finished.pipeline().run(S07, allow_resume=False)
    assert (tmp_path / "mine" / "INSTRUCT" / "README.md").read_text() == "mine"


def test_runs_named_by_hand_are_told_and_described_by_their_own_settings(
    finished: Workplace,
) -> None:
    """With --dep the paper says so, and states what the runs were made with, not the present."""
    assert "Runs named by hand" not in page(finished.run("S07"), PaperPage.LIMITATIONS)
    old = finished.run("S07").name
    finished.config.write_text("seed: 77\n" + finished.config.read_text())
    pipeline = finished.pipeline()
    tags = ("S02B", "S04", "S05", "S06B", "S06ARC")
    pipeline.overrides = tuple(finished.run(tag).name for tag in tags)
    run = finished.runs / pipeline.run(S07, allow_resume=False)
    told = page(run, PaperPage.LIMITATIONS)
    assert "Runs named by hand" in told
    assert all(run_id in told for run_id in pipeline.overrides)
    for name in (PaperPage.METHOD, PaperPage.EXPERIMENTS):
        assert page(run, name) == page(finished.runs / old, name)


# ------------------------------------------------------------------------------- optional inputs


def test_phase_6_is_needed_where_it_is_configured(finished: Workplace) -> None:
    """With data.B a missing S06B is an error; without it the paper is another one, and whole."""
    assert {"data.B", "data.ARC_MCQ"} <= set(sections_of(S07))
    store = RunStore(finished.runs)
    store.remove(store.with_dependents([finished.run("S06B").name]))
    with pytest.raises(DependencyError, match=r"phase7_paper_export needs phase6_generalize_b"):
        resolve(finished, S07)
    text = finished.config.read_text().splitlines(keepends=True)
    finished.config.write_text("".join(line for line in text if not line.startswith("  B:")))
    resolution = resolve(finished, S07)
    assert StageTag.S06B not in resolution.inputs
    assert StageTag.S06ARC in resolution.inputs
    run = finished.runs / finished.pipeline().run(S07, allow_resume=False)
    assert "phase 6 was not run on Dataset B" in (run / "paper" / "03_results.md").read_text()
    absent = [claim.claim_id for claim in claims_of(run).claims if claim.run_id is None]
    assert "b_perplexity" in absent
    assert "choices_letter_chance" not in absent


# --------------------------------------------------------------------------- the other model role


def test_runs_of_the_other_role_enter_the_identity_once_they_are_complete(
    workplace: Workplace,
) -> None:
    """Without them a stage has another id; with them their digests are part of it."""
    workplace.pipeline().run(S01, allow_resume=False)
    alone = resolve(workplace, PEER_STAGE)
    assert dict(alone.peers) == {}
    assert "peer_inputs" not in alone.identity
    workplace.pipeline(ModelRole.BASE).run(S01, allow_resume=False)
    both = resolve(workplace, PEER_STAGE)
    peer = both.peers[StageTag.S01]
    assert peer.record.model is not None
    assert peer.record.model.role == "BASE"
    digest = peer.record.artifact_index[CALIBRATION].sha256
    assert both.identity["peer_inputs"] == {"S01": {CALIBRATION: digest}}
    assert both.run_id != alone.run_id
    assert [d.run_id for d in both.dependencies] == [both.inputs[StageTag.S01].run_id, peer.run_id]
    assert both.config_hash == alone.config_hash
    other = resolve(workplace, PEER_STAGE, ModelRole.BASE)
    assert other.peers[StageTag.S01].run_id == both.inputs[StageTag.S01].run_id


def test_a_model_of_the_other_role_that_was_never_run_is_not_looked_for(
    workplace: Workplace, models: dict[str, Path]
) -> None:
    """A configured model that cannot be found hinders nothing before it has a run."""
    text = workplace.config.read_text()
    workplace.config.write_text(text.replace(str(models["base"]), "/no/such/model"))
    workplace.pipeline().run(S01, allow_resume=False)
    assert dict(resolve(workplace, PEER_STAGE).peers) == {}


def test_a_model_of_the_other_role_that_is_gone_is_left_out(
    workplace: Workplace, models: dict[str, Path], tmp_path: Path, capsys
) -> None:
    """A model that was run once and cannot be found now hinders nothing, and that is said."""
    base = shutil.copytree(models["base"], tmp_path / "base")
    text = workplace.config.read_text()
    workplace.config.write_text(text.replace(str(models["base"]), str(base)))
    workplace.pipeline(ModelRole.BASE).run(S01, allow_resume=False)
    workplace.pipeline().run(S01, allow_resume=False)
    assert resolve(workplace, PEER_STAGE).peers  # control
    shutil.rmtree(base)
    session = Session(config.load(workplace.config), ModelRole.INSTRUCT, reporter=Reporter("log"))
    assert dict(Pipeline(session).resolve(PEER_STAGE).peers) == {}
    assert "BASE is left out of the comparison: " in capsys.readouterr().err


def test_runs_of_another_configuration_are_no_peers(workplace: Workplace) -> None:
    """The other role's run must be that of this configuration."""
    text = workplace.config.read_text()
    workplace.config.write_text("seed: 7\n" + text)
    workplace.pipeline(ModelRole.BASE).run(S01, allow_resume=False)
    workplace.config.write_text(text)
    workplace.pipeline().run(S01, allow_resume=False)
    assert dict(resolve(workplace, PEER_STAGE).peers) == {}


def test_a_damaged_peer_is_refused(workplace: Workplace, damage) -> None:
    """What would be compared is verified first."""
    for role in ModelRole:
        workplace.pipeline(role).run(S01, allow_resume=False)
    peer = resolve(workplace, PEER_STAGE).peers[StageTag.S01]
    damage(peer.folder / CALIBRATION)
    with pytest.raises(DependencyError, match=r"calibration_stats\.npz: sha256 should be"):
        resolve(workplace, PEER_STAGE)


def test_an_analysis_of_the_other_role_gives_a_t07(
    finished: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T07 is written in both forms, and the paper rests on it; here a model is its own peer."""

    def as_base(reader: RunReader) -> RunReader:
        assert reader.record.model is not None
        base = reader.record.model.model_copy(update={"role": "BASE", "id": "base"})
        return RunReader(reader.folder, reader.record.model_copy(update={"model": base}))

    inputs = resolve(finished, S07).inputs
    peers = {tag: as_base(inputs[tag]) for tag in S07.peer_inputs}
    monkeypatch.setattr(Pipeline, "_peers", lambda self, stage: peers if stage.peer_inputs else {})
    run = finished.runs / finished.pipeline().run(S07, allow_resume=False)
    rows = pq.read_table(run / f"{TableId.T07_REPLICATION_SUMMARY}.parquet").to_pylist()
    assert rows
    assert all(row["gstar_base"] == row["gstar_instruct"] for row in rows)
    assert {row["model_id_base"] for row in rows} == {"base"}
    assert (run / f"{TableId.T07_REPLICATION_SUMMARY}.csv").is_file()
    told = {claim.claim_id: claim for claim in claims_of(run).claims}
    assert told["replication_depth"].run_id == run.name
    assert told["replication_family"].verdict == "supported"


@pytest.mark.slow
def test_two_models_are_compared_in_t07(finished_both: tuple[Workplace, Path]) -> None:
    """With both analyses there is a T07, and the paper tells the replication."""
    place, run = finished_both
    record = read_record(run)
    assert {f"tables/appendix/table_T07_REPLICATION_SUMMARY.{s}" for s in ("csv", "parquet")} <= (
        set(record.artifact_index)
    )
    told = {claim.claim_id: claim for claim in claims_of(run).claims}
    assert told["replication_family"].verdict == "supported"  # two Llamas
    assert told["replication_depth"].run_id == run.name
    analyses = {d.run_id for d in record.dependencies if d.stage_id == "S05"}
    assert len(analyses) == 2
    gstar = [d for d in record.dependencies if d.stage_id == "S02B"]
    for dependency in gstar:
        choice = json.loads((place.runs / dependency.run_id / "results/gstar.json").read_text())
        suffix = choice["model_role"].lower()
        told_gstar = {row.values[f"gstar_{suffix}"] for row in told["replication_gstar"].rows}
        assert told_gstar == {float(entry["gstar"]) for entry in choice["choices"]}


@pytest.fixture
def finished_both(finished: Workplace) -> tuple[Workplace, Path]:
    """Both roles up to phase 5, and the paper that compares them."""
    base: Pipeline = finished.pipeline(ModelRole.BASE)
    for tag in (StageTag.S01, StageTag.S02, StageTag.S02B, StageTag.S03, StageTag.S04):
        base.run(STAGES[tag], allow_resume=False)
    base.run(STAGES[StageTag.S05], allow_resume=False)
    return finished, finished.runs / finished.pipeline().run(S07, allow_resume=False)
