"""Which runs a report rests on: their records for people, what to beware of, and what is missing.

Records come as the JSON values of ``run_record.json``, its own digest included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from avalattice.canon import CONST, DatasetRole, ModelRole
from avalattice.export.report.graph import Node
from avalattice.export.report.tables import number_text
from avalattice.export.report.wording import EXPECTED_STAGES, STAGE_WORDS, WINDOW_WORDS

Record = Mapping[str, Any]
SHORT_DIGEST: Final = 12
_MIB: Final = 2**20
_MILLION: Final = 10**6
_WINDOWS: Final = "windows"


@dataclass(frozen=True)
class File:
    """One artifact."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class RunCard:
    """One run, for a person."""

    run_id: str
    title: str
    stage_id: str
    model_role: str
    record_sha256: str
    facts: tuple[tuple[str, str], ...]
    """Name and value, in the order of interest."""
    files: tuple[File, ...]
    needs: tuple[tuple[str, str], ...]
    """Upstream run, and the digest of its record."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ModelFacts:
    """A model that was measured."""

    model_role: str
    id: str
    words: str
    """Layers, parameters and so on."""
    source: str


@dataclass(frozen=True)
class TextFacts:
    """A slice of a dataset."""

    name: str
    source: str
    n_windows: int
    unit: str
    """What its windows are: windows, or questions."""
    slice_sha256: str
    few: bool
    """Fewer windows than intervals need."""
    model_role: str
    """The model that read them; empty where several did: tokenizers cut a text differently."""

    @property
    def n_read(self) -> int:
        """Windows of text; no questions."""
        return self.n_windows if self.unit == _WINDOWS else 0


@dataclass(frozen=True)
class Missing:
    """A stage without a run in the report."""

    title: str
    brings: str
    command: str


def run_card(record: Record) -> RunCard:
    """A run's record for a person."""
    return RunCard(
        run_id=record["run_id"],
        title=stage_title(record["stage_id"]),
        stage_id=record["stage_id"],
        model_role=role_of(record),
        record_sha256=record["record_sha256"],
        facts=tuple(_facts(record)),
        files=tuple(
            File(name, entry["bytes"], entry["sha256"])
            for name, entry in sorted(record["artifact_index"].items())
        ),
        needs=tuple((need["run_id"], need["record_sha256"]) for need in record["dependencies"]),
        notes=tuple(record["notes"]),
    )


def stage_title(stage_id: str) -> str:
    """A stage's short name; its tag where it has none."""
    words = STAGE_WORDS.get(stage_id)
    return words.title if words else stage_id


def role_of(record: Record) -> str:
    """The role of the model that a run rests on; empty where there is none."""
    return str(record["model"]["role"]) if record["model"] else ""


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    cost, environment = record["cost"], record["environment"]
    yield "record sha256", record["record_sha256"]
    yield "identity sha256", record["scope_sha256"]
    yield "config_hash", record["config_hash"]
    yield "started, finished", f"{record['created_utc']}, {record['finished_utc']}"
    if cost["forward_windows"]:
        yield "forward windows", number_text(cost["forward_windows"])
    if cost["seconds"]:
        yield "seconds by step", ", ".join(f"{k} {v:g}" for k, v in cost["seconds"].items())
    if cost["peak_memory_bytes"]:
        yield "peak memory", f"{cost['peak_memory_bytes'] / _MIB:,.0f} MiB"
    yield "code version", record["package_version"]
    for name in ("git_commit", "python", "platform"):
        if environment.get(name):
            yield name.replace("_", " "), str(environment[name])
    libraries = environment.get("libraries")
    if libraries:
        yield "libraries", ", ".join(f"{name} {of}" for name, of in sorted(libraries.items()))


def graph_nodes(records: Sequence[Record]) -> tuple[Node, ...]:
    """The runs as nodes of the graph."""
    return tuple(
        Node(
            run_id=record["run_id"],
            stage_id=record["stage_id"],
            title=f"{record['stage_id']} {stage_title(record['stage_id'])}",
            lines=(record["run_id"], f"record {record['record_sha256'][:SHORT_DIGEST]}"),
            lane=role_of(record),
        )
        for record in records
    )


def graph_needs(records: Sequence[Record]) -> dict[str, list[str]]:
    """The runs that each run rests on, as far as the report holds them."""
    known = {record["run_id"] for record in records}
    return {
        record["run_id"]: [
            need["run_id"] for need in record["dependencies"] if need["run_id"] in known
        ]
        for record in records
    }


# ------------------------------------------------------------------------ what was measured


def model_facts(records: Iterable[Record]) -> tuple[ModelFacts, ...]:
    """The models of runs, each once."""
    found: dict[tuple[str, str], ModelFacts] = {}
    for record in records:
        model = record["model"]
        if model is not None:
            key = (model["role"], model["id"])
            source = model["source"] + (f"@{model['revision']}" if model["revision"] else "")
            found.setdefault(key, ModelFacts(*key, _model_words(model), source))
    return tuple(found.values())


def _model_words(model: Mapping[str, Any]) -> str:
    widths = sorted({int(width) for width in model["d_ff"]})
    units = " to ".join(f"{width:,}" for width in (widths[:1] + widths[1:][-1:]))
    weights = ", random weights" if model["random_init"] else ""
    return (
        f"{model['model_type']}, {model['n_layers']} layers of {units} MLP units, "
        f"{_count_words(model['n_parameters'])} parameters{weights}; {model['dtype']} on "
        f"{model['device']}"
    )


def _count_words(n: int) -> str:
    return f"{n:,}" if n < _MILLION else f"{n / _MILLION:,.1f} million"


def text_facts(records: Iterable[Record]) -> tuple[TextFacts, ...]:
    """The slices of datasets that runs rest on, each once."""
    found: dict[str, Mapping[str, Any]] = {}
    roles: dict[str, dict[str, None]] = {}
    for record in records:
        for dataset in record["datasets"]:
            digest = dataset["slice_sha256"]
            found.setdefault(digest, dataset)
            roles.setdefault(digest, {})[role_of(record)] = None
    return tuple(_text_facts(dataset, [*roles[digest]]) for digest, dataset in found.items())


def _text_facts(dataset: Mapping[str, Any], roles: Sequence[str]) -> TextFacts:
    questions = dataset["role"] == DatasetRole.ARC_MCQ
    windows = WINDOW_WORDS.get(dataset["window_set"], dataset["window_set"])
    n = len(dataset["window_ids"])
    return TextFacts(
        name=f"Dataset {dataset['role']}" + ("" if questions else f", {windows}"),
        source=dataset["source"] + (f"@{dataset['revision']}" if dataset["revision"] else ""),
        n_windows=n,
        unit="questions" if questions else _WINDOWS,
        slice_sha256=dataset["slice_sha256"],
        few=not questions and n < CONST.FEW_WINDOWS,
        model_role=roles[0] if len(roles) == 1 else "",
    )


# ------------------------------------------------------------- what to beware of, what is missing


def cautions(records: Sequence[Record], texts: Sequence[TextFacts]) -> tuple[str, ...]:
    """What a reader must know before believing a number."""
    return tuple(dict.fromkeys(_cautions(records, texts)))


def _cautions(records: Sequence[Record], texts: Sequence[TextFacts]) -> Iterator[str]:
    few = [f"{text.name} has {text.n_windows}" for text in texts if text.few]
    if few:
        yield (
            f"Few windows: {'; '.join(few)}. Under {CONST.FEW_WINDOWS}, intervals over windows are "
            "too narrow."
        )
    for record in records:
        model = record["model"]
        if model and model["random_init"]:
            yield f"{model['id']} has random weights: it is a control, not a trained model."
        yield from (f"{model['id']}: {note}." for note in record["notes"] if model)
    yield from _mixtures(records)


def _mixtures(records: Sequence[Record]) -> Iterator[str]:
    """Runs that do not belong together."""
    digests = {record["run_id"]: record["record_sha256"] for record in records}
    for record in records:
        for need in record["dependencies"]:
            where = f"{record['run_id']} rests on {need['run_id']}"
            if need["run_id"] not in digests:
                yield f"{where}, which is not the newest of its stage and is not shown here."
            elif digests[need["run_id"]] != need["record_sha256"]:
                yield f"{where} as it was before it was made again; avalattice verify says more."
            if need["overridden"]:
                yield f"{where} because --dep said so, not because the configuration does."
    versions = sorted({record["package_version"] for record in records})
    if len(versions) > 1:
        yield f"The runs were made by several versions of the code: {', '.join(versions)}."


def missing_stages(records: Sequence[Record]) -> tuple[Missing, ...]:
    """Stages whose results the report lacks, for each model that it has."""
    have = {(role_of(record), record["stage_id"]) for record in records}
    # in the records' order: a set's own order changes from process to process
    roles = dict.fromkeys(role for role in map(role_of, records) if role)
    return tuple(
        Missing(
            title=f"{tag} {STAGE_WORDS[tag].title}" + (f", {role}" if len(roles) > 1 else ""),
            brings=STAGE_WORDS[tag].brings,
            command=f"avalattice {STAGE_WORDS[tag].command}{_role_option(role)}",
        )
        for role in roles
        for tag in EXPECTED_STAGES
        if (role, tag) not in have
    )


def _role_option(role: str) -> str:
    return "" if role == ModelRole.INSTRUCT else f" --model-role {role}"
