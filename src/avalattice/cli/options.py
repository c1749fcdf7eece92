"""Options that subcommands share, and the session that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avalattice import canon
from avalattice.canon import ModelRole

if TYPE_CHECKING:
    from avalattice.pipeline import Pipeline
    from avalattice.stages.session import Session

DEFAULT_CONFIG = Path(canon.PATH.CONFIGS_DIR) / "pipeline.yaml"
RUNS_DIR = Path(canon.PATH.RUNS_DIR)


class DeviceName(StrEnum):
    """Devices that can be asked for."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class DtypeName(StrEnum):
    """Precisions that can be asked for."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class ProgressName(StrEnum):
    """Ways to show progress."""

    auto = "auto"
    bar = "bar"
    log = "log"
    json = "json"
    none = "none"


ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")]
RoleOption = Annotated[ModelRole, typer.Option(help="Which of the two configured models.")]
DeviceOption = Annotated[DeviceName | None, typer.Option(help="Overrides compute.device.")]
DtypeOption = Annotated[DtypeName | None, typer.Option(help="Overrides compute.dtype.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Overrides compute.batch_size.")]
RunsDirOption = Annotated[
    Path | None, typer.Option(help="Overrides execution.runs_dir.", show_default=False)
]
DepOption = Annotated[
    list[str] | None, typer.Option("--dep", help="Use this run as upstream; repeatable.")
]
ResumeOption = Annotated[bool, typer.Option("--allow-resume", help="Finish an incomplete run.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would run, and stop.")]
ProgressOption = Annotated[ProgressName, typer.Option(help="How to show progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Results as JSON.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]
RunsArgument = Annotated[Path, typer.Option("--runs-dir", help="Folder of runs.")]


@dataclass(frozen=True)
class Asked:
    """The options that decide a session."""

    config: Path
    role: ModelRole = ModelRole.INSTRUCT
    device: DeviceName | None = None
    dtype: DtypeName | None = None
    batch_size: int | None = None
    runs_dir: Path | None = None
    dep: list[str] | None = None
    progress: ProgressName = ProgressName.auto

    def session(self) -> Session:
        """The session, its configuration loaded."""
        from avalattice.config import load
        from avalattice.progress import Reporter
        from avalattice.stages.session import Session

        overrides = {
            "compute.device": self.device and str(self.device),
            "compute.dtype": self.dtype and str(self.dtype),
            "compute.batch_size": self.batch_size,
            "execution.runs_dir": self.runs_dir and str(self.runs_dir),
        }
        return Session(
            load(self.config, overrides=overrides),
            self.role,
            config_path=self.config,
            reporter=Reporter(self.progress.value),
        )

    def pipeline(self) -> Pipeline:
        """The pipeline of the session."""
        from avalattice.pipeline import Pipeline

        return Pipeline(self.session(), tuple(self.dep or ()))
