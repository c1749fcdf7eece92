"""What the stages of one command share: configuration, sources, windows, the loaded model.

Everything is found or loaded at most once, and only when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from avalattice.canon import DatasetRole, ModelRole, WindowSet
from avalattice.config import Config, DatasetASection, DatasetBSection, QuestionsSection
from avalattice.data.corpora import open_corpus
from avalattice.data.mcq import QuestionSet, open_questions
from avalattice.data.windows import WindowPlan, WindowSlice, select_windows
from avalattice.engine import Engine, LocalEngine
from avalattice.errors import ConfigError
from avalattice.progress import Reporter
from avalattice.store.digests import FileDigests
from avalattice.store.record import DatasetRecord, ModelRecord, TokenizerRecord
from avalattice.store.runs import RunStore

if TYPE_CHECKING:  # torch and transformers take seconds to import
    from torch import nn

    from avalattice.model.load import ModelFiles
    from avalattice.model.sites import ModelOutline

Section = TypeVar("Section")


@dataclass(frozen=True)
class Device:
    """Where and in which precision forward passes run."""

    device: str
    dtype: str


class Session:
    """One model role of one configuration."""

    def __init__(
        self,
        config: Config,
        role: ModelRole,
        *,
        config_path: Path | None = None,
        reporter: Reporter | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.config = config
        self.role = role
        self.config_path = config_path
        self.reporter = reporter or Reporter("none")
        self.engine = engine or LocalEngine()
        self.store = RunStore(Path(config.execution.runs_dir))
        self._slices: dict[DatasetRole, dict[WindowSet, WindowSlice]] = {}

    # ------------------------------------------------------------------ model

    @cached_property
    def file_digests(self) -> FileDigests:
        """Digests of weight files, remembered between commands."""
        from avalattice.model.load import cache_folder

        return FileDigests(cache_folder() / "digests.json")

    @cached_property
    def files(self) -> ModelFiles:
        """The model's files; GGUF weights are de-quantised now if the cache has none."""
        from avalattice.model.load import find_model

        source = self.config.model_source(self.role)
        self.reporter.say(f"model {self.role}: {source.source}")
        return find_model(
            source.source,
            parts=source.parts,
            sha256=source.sha256,
            allow_pickle_weights=self.config.model.allow_pickle_weights,
            digest=self.file_digests.sha256,
        )

    @cached_property
    def outline(self) -> ModelOutline:
        """The model's layers and widths, from its configuration."""
        from avalattice.model.load import read_outline

        return read_outline(self.files, trust_remote_code=self.config.model.trust_remote_code)

    @cached_property
    def device(self) -> Device:
        """The resolved device and dtype."""
        from avalattice.model.load import choose_device, choose_dtype

        device = choose_device(self.config.compute.device)
        return Device(device, choose_dtype(self.config.compute.dtype, device))

    @property
    def attention(self) -> str:
        """The resolved attention implementation."""
        wanted = self.config.model.attention
        return self.outline.attention if wanted == "auto" else wanted

    @cached_property
    def determinism(self) -> dict[str, Any]:
        """The determinism flags, which are set now."""
        from avalattice.model.load import set_determinism

        return set_determinism()

    @cached_property
    def model(self) -> nn.Module:
        """The loaded model."""
        from avalattice.model.load import LoadOptions, load_model

        section = self.config.model
        _ = self.determinism  # set before the first computation
        return load_model(
            self.files,
            LoadOptions(
                device=self.device.device,
                dtype=self.device.dtype,
                attention=self.attention,
                random_init_seed=self.config.seed if section.random_init else None,
                allow_pickle_weights=section.allow_pickle_weights,
                trust_remote_code=section.trust_remote_code,
            ),
        )

    def release_model(self) -> None:
        """Forget the loaded model; it is loaded again when it is asked for."""
        self.__dict__.pop("model", None)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        from avalattice.model.load import load_tokenizer

        return load_tokenizer(self.files, trust_remote_code=self.config.model.trust_remote_code)

    @cached_property
    def bos_token_id(self) -> int | None:
        """The token put before every window."""
        from avalattice.model.load import bos_token_id

        return bos_token_id(self.tokenizer)

    @property
    def special_token_ids(self) -> frozenset[int]:
        """Tokens that are no text, such as the one put before every window."""
        return frozenset(self.tokenizer.all_special_ids)

    # ------------------------------------------------------------------- data

    def is_configured(self, role: DatasetRole) -> bool:
        """Whether the configuration names such a dataset."""
        return getattr(self.config.data, role) is not None

    def _text(self, role: DatasetRole) -> DatasetASection | DatasetBSection:
        if role is DatasetRole.A:
            return self.config.data.A
        return _configured(self.config.data.B, role)

    def window_plan(self, role: DatasetRole = DatasetRole.A) -> WindowPlan:
        """How a dataset is cut.

        Raises:
            ConfigError: the configuration has no such dataset.
        """
        data, text = self.config.data, self._text(role)
        slices = (
            {WindowSet.EVALUATION: text.n_windows}
            if isinstance(text, DatasetBSection)
            else {
                WindowSet.CALIBRATION: text.n_windows_calibration,
                WindowSet.RASTER: text.n_windows_rasters,
            }
        )
        return WindowPlan(data.seq_len_tokens, data.warmup_tokens, data.pool_factor, slices)

    def slices(self, role: DatasetRole) -> dict[WindowSet, WindowSlice]:
        """The slices of a dataset's windows.

        Raises:
            ConfigError: the configuration has no such dataset.
            DataError: the corpus cannot be read, or is too short.
        """
        if role not in self._slices:
            text = self._text(role)
            self._slices[role] = select_windows(
                open_corpus(text.source, text_field=text.text_field),
                self.tokenizer,
                self.window_plan(role),
                role=role,
                bos_id=self.bos_token_id,
                seed=self.config.seed,
            )
        return self._slices[role]

    @property
    def windows(self) -> dict[WindowSet, WindowSlice]:
        """Dataset A's slices."""
        return self.slices(DatasetRole.A)

    @property
    def question_options(self) -> QuestionsSection:
        """How multiple-choice questions are put.

        Raises:
            ConfigError: the configuration has none.
        """
        return _configured(self.config.data.ARC_MCQ, DatasetRole.ARC_MCQ)

    @cached_property
    def questions(self) -> QuestionSet:
        """The multiple-choice questions.

        Raises:
            ConfigError: the configuration has none.
            DataError: they cannot be read, or a record is no question.
        """
        return open_questions(self.question_options.source)

    # ---------------------------------------------------------------- records

    def digests_of(self, paths: tuple[Path, ...], *, fresh: bool = False) -> dict[str, str]:
        """sha256 of files, by name."""
        return {path.name: self.file_digests.sha256(path, fresh=fresh) for path in paths}

    @cached_property
    def model_record(self) -> ModelRecord:
        """The model, as it stands in run records."""
        section = self.config.model
        return ModelRecord(
            id=self.files.id + ("-random-init" if section.random_init else ""),
            role=str(self.role),
            source=self.files.source,
            revision=self.files.revision,
            files=self.digests_of(self.files.weights),
            model_type=self.outline.family,
            n_layers=self.outline.n_layers,
            d_ff=list(self.outline.d_ff),
            n_parameters=self.outline.n_params,
            dtype=self.device.dtype,
            device=self.device.device,
            attention=self.attention,
            random_init=section.random_init,
            note=self.files.note,
        )

    @cached_property
    def tokenizer_record(self) -> TokenizerRecord:
        """The tokenizer, as it stands in run records."""
        return TokenizerRecord(
            files=self.digests_of(self.files.tokenizer), bos_token_id=self.bos_token_id
        )

    def dataset_records(self, role: DatasetRole) -> list[DatasetRecord]:
        """A dataset's slices, as they stand in run records."""
        if role is DatasetRole.ARC_MCQ:
            return [self._questions_record()]
        text = self._text(role)
        revision = open_corpus(text.source, text_field=text.text_field).revision
        return [
            DatasetRecord(
                role=str(windows.dataset_role),
                window_set=str(window_set),
                source=text.source,
                revision=revision,
                slice_sha256=windows.sha256,
                window_ids=windows.window_ids.tolist(),
            )
            for window_set, windows in self.slices(role).items()
        ]

    def _questions_record(self) -> DatasetRecord:
        found = self.questions
        return DatasetRecord(
            role=str(DatasetRole.ARC_MCQ),
            window_set=str(WindowSet.EVALUATION),
            source=found.source,
            revision=found.revision,
            slice_sha256=found.sha256,
            window_ids=list(range(len(found.questions))),
        )


def _configured(section: Section | None, role: DatasetRole) -> Section:
    if section is None:
        raise ConfigError(f"data.{role} is not configured: add it, with a source")
    return section
