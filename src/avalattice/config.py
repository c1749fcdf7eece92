"""The configuration: strict sections, loaded from YAML, resolved and digested.

Unknown keys, wrong types and values out of range are refused with file, line, dotted key, what is
allowed and the nearest valid name. Numbers are YAML 1.2 numbers (``1e-5`` is one), and a target
rate or a gain keeps the text it was written with, because tables are joined by that text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from avalattice.canon import (
    CONST,
    PATH,
    AdjacencyId,
    InterventionId,
    ModelRole,
    Scoring,
    SpikeDefId,
)
from avalattice.errors import ConfigError
from avalattice.rng import decimal_text
from avalattice.yamlfile import (
    Document,
    KeyPath,
    NumberText,
    dotted,
    nearest,
    parse,
    resolve_references,
)


def number_label(value: object) -> str:
    """The text of a number: as written in the file, otherwise its shortest form.

    >>> number_label(NumberText("8e-5")), number_label(1e-05), number_label(0.4)
    ('8e-5', '1e-5', '0.4')
    """
    if isinstance(value, NumberText):
        return value.text
    return re.sub(r"e([-+]?)0+(?=\d)", r"e\1", repr(value))


def _as_target(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return Target(label=number_label(value), value=float(value))
        except OverflowError:
            raise ValueError("a target is a finite number") from None
    if isinstance(value, Target):
        return value
    raise ValueError("a target is a number, not quoted")


def _as_decimal(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(number_label(value))
    if isinstance(value, Decimal):
        return value
    raise ValueError("a gain is a number, not quoted")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Target(_Section):
    """A target, with the text under which tables know it."""

    label: str
    value: Annotated[float, Field(gt=0)]


TargetField: TypeAlias = Annotated[Target, BeforeValidator(_as_target)]
Gain: TypeAlias = Annotated[Decimal, BeforeValidator(_as_decimal), Field(ge=0, le=10)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class ModelSource(_Section):
    """One model: where it comes from, and what its files must hash to."""

    source: str
    """``hf:ORG/NAME@REVISION``, a local directory, a GGUF file, or ``pkg:MODULE/FILE.gguf``."""
    parts: list[str] = []
    """Further ``pkg:`` parts of one GGUF file, joined to ``source`` in order."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Digest of the GGUF file (of the joined parts); required when there are parts."""

    @model_validator(mode="after")
    def _parts_need_a_digest(self) -> ModelSource:
        if self.parts and self.sha256 is None:
            raise ValueError("several parts need a sha256 of the joined file")
        return self


class ModelSection(_Section):
    """The two models, and how they are built."""

    INSTRUCT: ModelSource | None = None
    BASE: ModelSource | None = None
    random_init: bool = False
    """Same architecture, untrained weights drawn from the seed: the cheapest control."""
    attention: Literal["auto", "sdpa", "eager"] = "auto"
    """``auto`` is sdpa where the family supports it."""
    allow_pickle_weights: bool = False
    trust_remote_code: bool = False


class DatasetASection(_Section):
    """Dataset A: calibration and rasters."""

    source: str
    """``hf:ORG/NAME[/CONFIG]:SPLIT@REVISION``, ``file:PATH`` or ``pkg:MODULE``."""
    text_field: str = "text"
    """The field of .jsonl, .parquet and hub records that holds the text."""
    n_windows_calibration: Count = CONST.N_WINDOWS_A_CALIBRATION
    n_windows_rasters: Count = CONST.N_WINDOWS_A_RASTERS


class DatasetBSection(_Section):
    """Dataset B: transfer of g* to other text."""

    source: str
    """As for Dataset A."""
    text_field: str = "text"
    """As for Dataset A."""
    n_windows: Count = CONST.N_WINDOWS_B_EVAL


class QuestionsSection(_Section):
    """Multiple-choice questions."""

    source: str
    """``hf:ORG/NAME/CONFIG:SPLIT@REVISION`` or ``file:PATH.jsonl`` of ARC's shape."""
    scorings: list[Annotated[Scoring, Field(strict=False)]] = Field(
        default=list(Scoring), min_length=1
    )
    batch_questions: Count = 16
    """Questions, or options, of one forward pass."""


class DataSection(_Section):
    """Windows and corpora."""

    seq_len_tokens: Annotated[int, Field(ge=2)] = CONST.SEQ_LEN_TOKENS
    warmup_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens of context before each window, left out of calibration and rasters."""
    pool_factor: Count = CONST.WINDOW_POOL_FACTOR
    A: DatasetASection
    B: DatasetBSection | None = None
    ARC_MCQ: QuestionsSection | None = None


class EventsSection(_Section):
    """What counts as an event, and how often."""

    spike_defs: list[Annotated[SpikeDefId, Field(strict=False)]] = Field(
        default=list(SpikeDefId), min_length=1
    )
    tau0: Annotated[float, Field(gt=0)] = CONST.TAU0_BASELINE
    rate_profile: Literal["baseline", "uniform"] = "baseline"
    """Keep the depth profile of the base rates, or give every layer the same rate."""
    target_rates: list[TargetField] | None = Field(default=None, min_length=1)
    """Events per unit and token, below 1."""
    target_events_per_site: list[TargetField] | None = Field(default=None, min_length=1)
    """Events per lattice site: comparable across model widths."""

    @field_validator("spike_defs", "target_rates", "target_events_per_site")
    @classmethod
    def _each_once(cls, items: list[Any] | None) -> list[Any] | None:
        keys = [item.label if isinstance(item, Target) else item for item in items or []]
        values = [item.value if isinstance(item, Target) else item for item in items or []]
        if len(set(keys)) < len(keys) or len(set(values)) < len(values):
            raise ValueError(f"an entry is given twice in {[str(key) for key in keys]}")
        return items

    @field_validator("target_rates")
    @classmethod
    def _below_one(cls, targets: list[Target] | None) -> list[Target] | None:
        if any(target.value >= 1 for target in targets or []):
            raise ValueError(
                "a target rate is a fraction of all values, below 1 (target_events_per_site takes "
                "events per lattice site)"
            )
        return targets

    @model_validator(mode="before")
    @classmethod
    def _default_targets(cls, section: Any) -> Any:
        named = ("target_rates", "target_events_per_site")
        if not isinstance(section, dict):
            return section
        given = [name for name in named if section.get(name) is not None]
        if len(given) > 1:
            raise ValueError("give either target_rates or target_events_per_site, not both")
        return section if given else {**section, named[0]: list(CONST.TARGET_LAYER_RATES)}

    @property
    def targets(self) -> list[Target]:
        """The targets, in whichever unit they were given."""
        return self.target_rates or self.target_events_per_site or []


class GainSection(_Section):
    """The gain grid."""

    grid: list[Gain] = Field(default=list(CONST.GAIN_GRID_DEFAULT), min_length=1)

    @field_validator("grid")
    @classmethod
    def _grid_is_usable(cls, grid: list[Decimal]) -> list[Decimal]:
        if len(set(grid)) < len(grid):
            raise ValueError("a gain is given twice")
        if CONST.GAIN_BASELINE not in grid:
            raise ValueError(f"the grid must hold the baseline gain {CONST.GAIN_BASELINE}")
        return sorted(grid)


class BranchingSection(_Section):
    """Branching ratios."""

    denominator: Literal["valid_edges", "all_sites"] = "valid_edges"


class BootstrapSection(_Section):
    """Window bootstrap."""

    reps: Annotated[int, Field(ge=100)] = CONST.BOOTSTRAP_REPS


class NullsSection(_Section):
    """Null ensembles."""

    replicates: Count = CONST.NULL_REPLICATES
    """Draws of each raster null, for p_mc."""
    avalanche_replicates: Count = CONST.NULL_AVALANCHE_REPLICATES
    """Permuted rasters whose avalanches are fitted."""
    token_shuffle_replicates: Count = CONST.TOKEN_SHUFFLE_REPLICATES
    """Passes of shuffled windows through the model."""


class AvalanchesSection(_Section):
    """Avalanches and the fits of their tails."""

    adjacency: Annotated[AdjacencyId, Field(strict=False)] = AdjacencyId.ADJ_4N
    """Of every avalanche table; the ablations give both."""
    gof_reps: Annotated[int, Field(ge=0)] = CONST.TAIL_GOF_REPS
    """Replicates of the tail fits' goodness of fit; 0 leaves ks_p undefined."""


class AblationsSection(_Section):
    """Interventions that are measured at g* beside the gain on every MLP."""

    interventions: list[Annotated[InterventionId, Field(strict=False)]] = Field(
        default=[other for other in InterventionId if other is not InterventionId.MLP_GLOBAL]
    )
    """Each costs a pass of the calibration windows at every distinct g*."""


class PaperSection(_Section):
    """The exported paper."""

    export_dir: str | None = None
    """Where a copy of the run's paper is put."""


class ReleaseSection(_Section):
    """The pack that is given to others."""

    licence: Annotated[str, Field(min_length=1)] = "CC-BY-4.0"
    """SPDX identifier, of numbers, figures and words; texts keep the licence of their corpora."""


class ComputeSection(_Section):
    """How forward passes are made; the resolved values are part of a run's identity."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: Count = 4


class ExecutionSection(_Section):
    """Where and how to run: no part of a run's identity."""

    runs_dir: str = str(PATH.RUNS_DIR)
    block_windows: Count = 16
    """Windows per partial result: what an interruption can lose."""


class Config(_Section):
    """The whole configuration."""

    seed: Annotated[int, Field(ge=0)] = CONST.BOOTSTRAP_SEED
    model: ModelSection
    data: DataSection
    events: EventsSection = Field(default_factory=lambda: EventsSection.model_validate({}))
    gain: GainSection = GainSection()
    branching: BranchingSection = BranchingSection()
    bootstrap: BootstrapSection = BootstrapSection()
    nulls: NullsSection = NullsSection()
    avalanches: AvalanchesSection = AvalanchesSection()
    ablations: AblationsSection = AblationsSection()
    paper: PaperSection = PaperSection()
    release: ReleaseSection = ReleaseSection()
    compute: ComputeSection = ComputeSection()
    execution: ExecutionSection = ExecutionSection()

    def model_source(self, role: ModelRole) -> ModelSource:
        """The model of one role.

        Raises:
            ConfigError: the configuration names no such model.
        """
        source: ModelSource | None = getattr(self.model, role)
        if source is None:
            raise ConfigError(
                f"model.{role} is not configured: add it, with a source, to run --model-role {role}"
            )
        return source

    def scope(self, sections: Iterable[str], role: ModelRole) -> dict[str, Any]:
        """The part of the configuration that a stage reads, as canonical JSON values.

        Args:
            sections: names such as ``events``; ``data.A`` is Dataset A with the common keys of
                ``data``; ``model`` holds only the model of ``role``.
            role: the model role.
        """
        whole = plain(self)
        scope: dict[str, Any] = {}
        for name in sections:
            section, _, part = name.partition(".")
            value = whole[section]
            kept = {"model": str(role), "data": part}.get(section)
            if kept is not None:
                value = {k: v for k, v in value.items() if not k.isupper() or k == kept}
            scope[name] = value
        return scope


def plain(value: Any) -> Any:
    """A section as JSON values: gains and targets become their texts, paths and enums strings."""
    if isinstance(value, Target):
        return value.label
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, float):
        return float(value)
    return str(value) if isinstance(value, str) else value


# ------------------------------------------------------------------------------------ messages


def _fields_at(path: KeyPath) -> list[str]:
    """The keys that are valid in the section at ``path``."""
    section: Any = Config
    for part in path:
        annotation = section.model_fields[part].annotation
        candidates = (annotation, *getattr(annotation, "__args__", ()))
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(section.model_fields)


def _message(error: Mapping[str, Any], document: Document) -> str:
    path: KeyPath = tuple(error["loc"])
    if len(path) > 1 and isinstance(path[-2], int):
        path = path[:-1]  # the items of lists are scalars; a target's own fields are not written
    kind = error["type"]
    if kind == "extra_forbidden":
        valid = _fields_at(path[:-1])
        near = nearest(str(path[-1]), valid)
        return (
            f"{document.where(path)}: unknown key {dotted(path)}{near} "
            f"(allowed here: {', '.join(valid)})"
        )
    if kind == "missing":
        return f"{document.where(path)}: required key {dotted(path)} is missing"
    reason = str(error["msg"]).removeprefix("Value error, ")
    if kind == "model_type":
        reason = "must be a mapping of settings"
    found = "" if isinstance(error["input"], dict) else f" (found {error['input']!r})"
    if kind in ("enum", "literal_error"):
        found += nearest(str(error["input"]), re.findall("'([^']*)'", error["ctx"]["expected"]))
    return f"{document.where(path)}: {dotted(path) or 'configuration'}: {reason}{found}"


# ------------------------------------------------------------------------------------- loading


def _with_override(values: Any, path: Sequence[str], value: Any) -> Any:
    """The values with another one at ``path``; what is no mapping is left to be refused."""
    if not path:
        return value
    if not isinstance(values, dict):
        return values
    key, *below = path
    return {**values, key: _with_override(values.get(key, {}), below, value)}


def loads(
    text: str, *, source: str = "<configuration>", overrides: Mapping[str, Any] | None = None
) -> Config:
    """A configuration from YAML text.

    Args:
        text: YAML.
        source: what messages call the text.
        overrides: values by dotted key (``compute.batch_size``); None leaves the file's.

    Raises:
        ConfigError: with one line for each fault.
    """
    document = parse(text, source)
    values = resolve_references(document.values, (), document)
    for name, value in (overrides or {}).items():
        if value is not None:
            values = _with_override(values, name.split("."), value)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_message(item, document) for item in error.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from None


def load(path: Path, *, overrides: Mapping[str, Any] | None = None) -> Config:
    """A configuration from a YAML file.

    Raises:
        ConfigError: the file is missing, unreadable or not a valid configuration.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the configuration ({error})") from error
    return loads(text, source=str(path), overrides=overrides)


def dumps(config: Config) -> str:
    """The resolved configuration as YAML that :func:`loads` reads back to an equal one."""
    return _yaml(plain(config))


_NUMERIC_KEYS = ("grid", "target_rates", "target_events_per_site")
_NOT_PLAIN_IN_YAML = re.compile(
    "[^\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def _yaml(values: Mapping[str, Any]) -> str:
    """YAML in which gains and targets stand unquoted, with the text they were given."""

    def scalar(value: Any, key: str) -> str:
        if key in _NUMERIC_KEYS:
            return str(value)
        # JSON is YAML but for the characters that YAML wants escaped or folds as line ends
        text = json.dumps(value, ensure_ascii=False)
        return _NOT_PLAIN_IN_YAML.sub(lambda match: f"\\U{ord(match[0]):08x}", text)

    def block(node: Mapping[str, Any], indent: str) -> Iterable[str]:
        for key, value in node.items():
            if isinstance(value, Mapping):
                below = list(block(value, indent + "  "))
                yield from [f"{indent}{key}:", *below] if below else []
            elif isinstance(value, list):
                yield f"{indent}{key}: [{', '.join(scalar(item, key) for item in value)}]"
            elif value is not None:
                yield f"{indent}{key}: {scalar(value, key)}"

    return "\n".join(block(values, "")) + "\n"
