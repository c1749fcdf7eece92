"""Tiny models and their finished pipeline, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from avalattice import config
from avalattice.canon import ModelRole, StageTag
from avalattice.pipeline import Pipeline
from avalattice.stages.session import Session
from avalattice.stagetable import STAGES
from tests.tiny import save_model, write_config


@dataclass(frozen=True)
class Workplace:
    """A configuration and its runs."""

    config: Path
    runs: Path

    def pipeline(self, role: ModelRole = ModelRole.INSTRUCT) -> Pipeline:
        """A fresh pipeline on this configuration."""
        return Pipeline(Session(config.load(self.config), role, config_path=self.config))

    def run(self, tag: str) -> Path:
        """The folder of the only run of a stage."""
        (folder,) = self.runs.glob(f"RUN_{tag}_*")
        return folder

    def edit(self, old: str, new: str) -> Workplace:
        """Change the configuration's text where it stands once."""
        text = self.config.read_text()
        assert text.count(old) == 1
        self.config.write_text(text.replace(old, new))
        return self

    def run_to(
        self, last: StageTag, role: ModelRole = ModelRole.INSTRUCT, *, figures: bool = False
    ) -> Workplace:
        """Run the stages up to one; phase 5's figures take most of its time, and are left out."""
        pipeline = self.pipeline(role)
        with pytest.MonkeyPatch.context() as patch:
            if not figures:
                patch.setattr("avalattice.stages.s05_analyze.write_figures", lambda *_: None)
            for tag, stage in STAGES.items():
                pipeline.run(stage, allow_resume=False)
                if tag is last:
                    break
        return self


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tiny models."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "instruct": save_model(folder / "instruct", seed=1),
        "base": save_model(folder / "base", seed=2),
    }


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep digests out of the user's cache."""
    monkeypatch.setenv("AVALATTICE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def workplace(tmp_path: Path, models: dict[str, Path]) -> Workplace:
    """A configuration without runs."""
    return Workplace(write_config(tmp_path, models["instruct"], models["base"]), tmp_path / "runs")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Workplace:
    """A configuration whose stages have all run; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    place = Workplace(write_config(folder, models["instruct"], models["base"]), folder / "runs")
    return place.run_to(list(STAGES)[-1], figures=True)


@pytest.fixture
def finished(workplace: Workplace, finished_once: Workplace, tmp_path: Path) -> Workplace:
    """A copy of the finished pipeline, which may be damaged."""
    shutil.copytree(finished_once.runs, workplace.runs)
    # the same configuration text, but for the place of the runs, which is no part of any identity
    text = finished_once.config.read_text().replace(str(finished_once.runs), str(workplace.runs))
    workplace.config.write_text(text)
    return workplace


@pytest.fixture
def damage() -> Callable[[Path], None]:
    """Flips one bit in the middle of a file."""

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(bytes(content))

    return flip
