"""The pipeline: finding the runs of stages, and running stages.

A run's identity is computed from the present configuration and from the bytes of its upstream
runs' artifacts, so the expected id of every stage follows, recursively, from what is there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avalattice import __version__
from avalattice.canon import DatasetRole, ModelRole, StageTag
from avalattice.config import dumps
from avalattice.errors import (
    AvalatticeError,
    ConfigError,
    DependencyError,
    ResourceError,
    RunExistsError,
    VerificationError,
)
from avalattice.stages.session import Session
from avalattice.stagetable import STAGES, Stage, sections_of, upstreams_of
from avalattice.store.digests import sha256_blocks, sha256_json
from avalattice.store.environment import environment, library_version
from avalattice.store.reader import RunReader
from avalattice.store.record import DatasetRecord, DependencyRecord, RunRecord
from avalattice.store.runs import make_run_id
from avalattice.store.writer import utc_now


@dataclass(frozen=True)
class Resolution:
    """The run that a stage would write now, and the runs it would rest on."""

    stage: Stage
    run_id: str
    scope_sha256: str
    identity: dict[str, Any]
    config_hash: str
    inputs: Mapping[StageTag, RunReader]
    peers: Mapping[StageTag, RunReader]
    """Runs of the other model role."""
    dependencies: list[DependencyRecord]
    """What the run's record says of all of them."""


def _function(name: str) -> Callable[..., None]:
    """The function that ``module:function`` names."""
    module, _, attribute = name.partition(":")
    found: Callable[..., None] = getattr(importlib.import_module(module), attribute)
    return found


@dataclass
class Pipeline:
    """Stages of one session; what was resolved is remembered until a stage has run."""

    session: Session
    overrides: Sequence[str] = ()
    """Run ids given with --dep."""
    _readers: dict[StageTag, RunReader] = field(default_factory=dict)
    _peer: Pipeline | None = None

    # ------------------------------------------------------------- identities

    def _sources(self, stage: Stage) -> dict[str, Any]:
        """What an identity holds of model, tokenizer, data and precision."""
        session = self.session
        return {
            "model": session.model_record.files,
            "tokenizer": session.tokenizer_record.model_dump(mode="json"),
            "datasets": {
                f"{record.role}/{record.window_set}": record.slice_sha256
                for record in self._datasets(stage)
            },
            "dtype": session.device.dtype,
            "device": session.device.device,
            "batch_size": session.config.compute.batch_size,
            "attention": session.attention,
        }

    def _datasets(self, stage: Stage) -> list[DatasetRecord]:
        return [r for role in stage.datasets for r in self.session.dataset_records(role)]

    def unconfigured(self, stage: Stage) -> list[DatasetRole]:
        """Datasets that a stage and its upstreams read and the configuration does not name."""
        needed = (role for each in (stage, *upstreams_of(stage)) for role in each.datasets)
        return [role for role in dict.fromkeys(needed) if not self.session.is_configured(role)]

    def resolve(self, stage: Stage) -> Resolution:
        """The expected run of a stage.

        Raises:
            ConfigError: the configuration does not name a dataset that the stage reads.
            DependencyError: an upstream run is missing, incomplete or damaged; the message names
                the command that makes it.
        """
        for role in self.unconfigured(stage):
            raise ConfigError(f"{stage.command} needs data.{role}: add it, with a source")
        consumed = self._consumed(stage)
        inputs = {tag: self._upstream(tag, stage) for tag in consumed}
        dependencies = {
            tag: inputs[tag].as_dependency(names, overridden=self._override(tag) is not None)
            for tag, names in consumed.items()
        }
        scope = self.session.config.scope(sections_of(stage), self.session.role)
        identity: dict[str, Any] = {
            "stage": str(stage.tag),
            "stage_version": stage.version,
            "config": scope,
            **self._sources(stage),
            "inputs": {str(tag): needed.artifacts for tag, needed in dependencies.items()},
        }
        peers = self._peers(stage)
        of_peers = {tag: peers[tag].as_dependency(stage.peer_inputs[tag]) for tag in peers}
        if of_peers:
            identity["peer_inputs"] = {str(tag): dep.artifacts for tag, dep in of_peers.items()}
        packed = self._packed(inputs) if stage.packs else []
        if packed:
            held = (*dependencies.values(), *packed)
            identity["runs"] = {run.run_id: run.record_sha256 for run in held}
        if stage.forward:
            identity["libraries"] = {
                name: library_version(name) for name in ("torch", "transformers")
            }
        digest = sha256_json(identity)
        return Resolution(
            stage,
            make_run_id(stage.tag, digest),
            digest,
            identity,
            sha256_json(scope),
            inputs,
            peers,
            [*dependencies.values(), *of_peers.values(), *packed],
        )

    def _packed(self, inputs: Mapping[StageTag, RunReader]) -> list[DependencyRecord]:
        """Every run beneath those that a stage consumes, as it records them."""
        store, direct = self.session.store, {reader.run_id for reader in inputs.values()}
        beneath = dict.fromkeys(each for run_id in sorted(direct) for each in store.behind(run_id))
        return [store.open(each).as_dependency(()) for each in beneath if each not in direct]

    def _consumed(self, stage: Stage) -> dict[StageTag, tuple[str, ...]]:
        """The artifacts that a stage consumes of this role: optional ones where configured."""
        optional = {
            tag: names
            for tag, names in stage.optional_inputs.items()
            if not self.unconfigured(STAGES[tag])
        }
        return {**stage.inputs, **optional}

    # ------------------------------------------------------ the other model role

    def _peers(self, stage: Stage) -> dict[StageTag, RunReader]:
        """Complete runs of the other role that a stage consumes; none unless all are there."""
        (other,) = (role for role in ModelRole if role is not self.session.role)
        if not stage.peer_inputs or getattr(self.session.config.model, other) is None:
            return {}
        if not all(self._was_run(tag, other) for tag in stage.peer_inputs):
            return {}  # without a look at its model, which may have to be fetched
        if self._peer is None:
            here = self.session
            self._peer = Pipeline(
                Session(here.config, other, config_path=here.config_path, reporter=here.reporter)
            )
        try:
            found = {tag: self._peer.status(STAGES[tag]) for tag in stage.peer_inputs}
        except AvalatticeError as error:  # its model or text is not at hand any more
            self.session.reporter.say(f"{other} is left out of the comparison: {error}")
            return {}
        if any(state != "complete" for state, _ in found.values()):
            return {}
        store = self.session.store
        return {tag: store.open(run_id) for tag, (_, run_id) in found.items() if run_id}

    def _was_run(self, tag: StageTag, role: ModelRole) -> bool:
        """Whether there is a complete run of a stage for a role's model, of any configuration."""
        store, source = self.session.store, getattr(self.session.config.model, role).source
        for run_id in store.run_ids():
            if run_id.startswith(f"RUN_{tag}_") and store.status(run_id) == "complete":
                model = store.open(run_id).record.model
                if model is not None and (model.role, model.source) == (role, source):
                    return True
        return False

    # ------------------------------------------------------------ upstream runs

    def _upstream(self, tag: StageTag, needed_by: Stage) -> RunReader:
        if tag not in self._readers:
            self._readers[tag] = self._open_upstream(tag, needed_by)
        return self._readers[tag]

    def _open_upstream(self, tag: StageTag, needed_by: Stage) -> RunReader:
        store, stage = self.session.store, STAGES[tag]
        chosen = self._override(tag)
        if chosen is not None:
            return self._open_chosen(chosen)
        expected = self.resolve(stage)
        status = store.status(expected.run_id)
        if status in ("absent", "incomplete"):
            resume = " --allow-resume" if status == "incomplete" else ""
            raise DependencyError(
                f"{needed_by.command} needs {stage.command}, whose run {expected.run_id} is "
                f"{status} in {store.root}: run it with `{self.command_line(stage)}{resume}`"
            )
        remedy = (
            f"`avalattice rm --dependents {expected.run_id}`, then `{self.command_line(stage)}`"
        )
        try:
            reader = store.open(expected.run_id)
        except VerificationError as error:
            raise DependencyError(f"{error}. Make it afresh: {remedy}") from error
        if reader.record.config_hash != expected.config_hash:
            raise DependencyError(
                f"{reader.folder}: config_hash should be {expected.config_hash}, found "
                f"{reader.record.config_hash}. Make it afresh: {remedy}"
            )
        return reader

    def _open_chosen(self, run_id: str) -> RunReader:
        try:
            return self.session.store.open(run_id)
        except VerificationError as error:
            raise DependencyError(f"--dep {run_id}: {error}") from error

    def _override(self, tag: StageTag) -> str | None:
        for run_id in self.overrides:
            if run_id.startswith(f"RUN_{tag}_"):
                return run_id
        return None

    def command_line(self, stage: Stage) -> str:
        """The command that runs a stage as this session would."""
        session = self.session
        parts = ["avalattice", str(stage.command)]
        if session.config_path is not None:
            parts += ["--config", str(session.config_path)]
        if session.role is not ModelRole.INSTRUCT:
            parts += ["--model-role", str(session.role)]
        if session.config.execution.runs_dir != type(session.config.execution)().runs_dir:
            parts += ["--runs-dir", session.config.execution.runs_dir]
        return " ".join(parts)

    def status(self, stage: Stage) -> tuple[str, str | None]:
        """State and expected run id: complete, incomplete, missing, waiting, or not configured."""
        if self.unconfigured(stage):
            return "not configured", None
        try:
            resolution = self.resolve(stage)
        except DependencyError:
            return "waiting", None
        state = self.session.store.status(resolution.run_id)
        return ("missing" if state == "absent" else state), resolution.run_id

    # ---------------------------------------------------------------- running

    def run(self, stage: Stage, *, allow_resume: bool) -> str:
        """Run one stage; the id of its run.

        Raises:
            DependencyError: an upstream run is missing or does not match.
            RunExistsError: the run is there already.
        """
        resolution = self.resolve(stage)
        try:
            self._write(resolution, allow_resume=allow_resume)
        except RunExistsError:
            if self.session.store.status(resolution.run_id) == "complete":
                self._afterwards(resolution)
            raise
        self._afterwards(resolution)
        return resolution.run_id

    def _afterwards(self, resolution: Resolution) -> None:
        if resolution.stage.afterwards is not None:
            reader = self.session.store.open(resolution.run_id)
            _function(resolution.stage.afterwards)(self.session, reader)

    def _write(self, resolution: Resolution, *, allow_resume: bool) -> None:
        from avalattice.stages.context import StageContext

        session, stage = self.session, resolution.stage
        record = self._record(resolution)
        with session.store.create(
            record, dumps(session.config), allow_resume=allow_resume
        ) as writer:
            session.reporter.say(f"{stage.command}: {writer.run_id}")
            writer.log("start", command=str(stage.command), run_id=writer.run_id)
            context = StageContext(
                session,
                stage.tag,
                writer,
                resolution.inputs,
                resolution.config_hash,
                stage.dataset_role,
                resolution.peers,
            )
            try:
                _function(stage.function)(context)
            except MemoryError as error:
                raise ResourceError(
                    f"{stage.command}: out of memory; lower compute.batch_size, then repeat with "
                    "--allow-resume"
                ) from error

    def _record(self, resolution: Resolution) -> RunRecord:
        session, stage = self.session, resolution.stage
        content = dumps(session.config).encode()
        if session.config_path is not None:
            content = session.config_path.read_bytes()
        notes = [session.model_record.note] if session.model_record.note else []
        return RunRecord(
            package_version=__version__,
            run_id=resolution.run_id,
            scope_sha256=resolution.scope_sha256,
            stage_id=str(stage.tag),
            stage_version=stage.version,
            status="incomplete",
            created_utc=utc_now(),
            identity=resolution.identity,
            model=session.model_record,
            tokenizer=session.tokenizer_record,
            datasets=self._datasets(stage),
            config_hash=resolution.config_hash,
            config_file_sha256=sha256_blocks([content]),
            dependencies=resolution.dependencies,
            environment=environment(Path(__file__).parent),
            determinism=session.determinism,
            notes=notes,
        )
