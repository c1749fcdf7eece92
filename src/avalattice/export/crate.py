"""``ro-crate-metadata.json``: what a pack holds and how it came about, for people and catalogues.

An RO-Crate 1.1 that follows the profile Process Run Crate 0.5: every file of the pack with its
digest, size and format; every run of a stage as a ``CreateAction`` whose ``instrument`` is this
software, whose ``object`` is what it read and whose ``result`` is what it wrote; the models, the
tokenizers and the corpora, which the pack does not hold, as contextual entities. Version 1.1 is the
one that the profile extends; its context lacks ``sha256``, which is defined beside it.

The file's bytes follow from the arguments: no present time, no random identifier. Two files cannot
be described by digest: this one, which is not a part of itself, and the manifest, which holds this
one's digest.

References: RO-Crate Metadata Specification 1.1 (Sefton et al. 2020, doi:10.5281/zenodo.4031327);
Process Run Crate 0.5 (https://w3id.org/ro/wfrun/process/0.5), table of requirements.
Not handled: people and organisations (``author``, ``agent``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from avalattice.canon import OUTPUT, PROJECT_ID
from avalattice.errors import InputError
from avalattice.export.release import PackedFile

VERSION = "1.1"
SPECIFICATION = f"https://w3id.org/ro/crate/{VERSION}"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
SHA256_TERM = "http://schema.org/sha256"
_COMPLETED = "http://schema.org/CompletedActionStatus"
_ID_DIGITS = 12

# by suffix, and not from the mimetypes module, which asks the machine
_FORMATS = {
    ".bib": "application/x-bibtex",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".md": "text/markdown",
    ".npz": "application/zip",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".sha256": "text/plain",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
}
_ANY_FORMAT = "application/octet-stream"


@dataclass(frozen=True)
class Source:
    """A model, a tokenizer or a corpus that runs rest on and that the pack does not hold."""

    kind: str
    """Such as ``model``, ``tokenizer`` or ``data``: its identifier begins with it."""
    name: str
    description: str
    location: str | None = None
    """Where it was read from, as the configuration says it."""
    revision: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 by what it is the digest of: a file, or a slice of a corpus."""


@dataclass(frozen=True)
class StageRun:
    """One run of one stage."""

    run_id: str
    stage_id: str
    description: str
    """Which model, configuration and so on, in words."""
    version: str
    """The version of this software that ran it."""
    started: str
    """ISO 8601."""
    finished: str
    """ISO 8601."""
    inputs: tuple[str, ...]
    """Names in the pack of what it read: its configuration and artifacts of other runs."""
    outputs: tuple[str, ...]
    """Names in the pack of what it wrote; at least one."""
    sources: tuple[Source, ...] = ()
    """The models and corpora that it read."""


@dataclass(frozen=True)
class About:
    """What is said of a pack as a whole."""

    name: str
    description: str
    published: str
    """ISO 8601, a day at least: when the last of its runs ended, not when it was packed."""
    licence_url: str
    """Such as an address of spdx.org."""
    licence_name: str


def crate_json(about: About, files: Sequence[PackedFile], runs: Sequence[StageRun]) -> bytes:
    """The bytes of ``ro-crate-metadata.json``.

    Args:
        about: the pack as a whole.
        files: every file of the pack but this one and the manifest.
        runs: every run in the pack.

    Raises:
        InputError: a run reads or writes what is not among the files.
    """
    from rocrate.rocrate import ROCrate

    _check_names(files, runs)
    crate = ROCrate(version=VERSION)
    # the package names the present moment and a random base address; neither may reach the file
    crate.root_dataset.datePublished = about.published
    crate.metadata.extra_terms["sha256"] = SHA256_TERM
    for file in sorted(files, key=lambda file: file.name):
        crate.add_file(dest_path=file.name, properties=_file_properties(file))
    crate.add_file(dest_path=OUTPUT.MANIFEST_SHA256, properties=_manifest_properties())
    _add_entities(crate, _contextual_entities(about, runs))
    for name, value in _root_properties(about, runs).items():
        crate.root_dataset[name] = value
    document = crate.metadata.generate()
    document["@graph"] = sorted(document["@graph"], key=lambda entity: str(entity["@id"]))
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _check_names(files: Sequence[PackedFile], runs: Sequence[StageRun]) -> None:
    names = {file.name for file in files}
    for run in runs:
        for name in (*run.inputs, *run.outputs):
            if name not in names:
                raise InputError(f"{run.run_id} rests on {name}, which is not in the pack")


# --------------------------------------------------------------------------------------- the parts


def file_id(name: str) -> str:
    """The ``@id`` of a file of the pack: its name, percent-encoded.

    >>> file_id("paper/a b.md")
    'paper/a%20b.md'
    """
    return quote(name)


def run_entity_id(run_id: str) -> str:
    """The ``@id`` of a run.

    >>> run_entity_id("RUN_S01_0123456789ab")
    '#RUN_S01_0123456789ab'
    """
    return f"#{run_id}"


def encoding_format(name: str) -> str:
    """The media type of a file by the suffix of its name.

    >>> encoding_format("results/metrics.parquet")
    'application/vnd.apache.parquet'
    """
    return _FORMATS.get(PurePosixPath(name).suffix.lower(), _ANY_FORMAT)


def _file_properties(file: PackedFile) -> dict[str, Any]:
    return {
        "name": PurePosixPath(file.name).name,
        "encodingFormat": encoding_format(file.name),
        "contentSize": str(file.bytes),
        "sha256": file.sha256,
    }


def _manifest_properties() -> dict[str, Any]:
    return {
        "name": OUTPUT.MANIFEST_SHA256,
        "encodingFormat": encoding_format(OUTPUT.MANIFEST_SHA256),
        "description": "The sha256 of every other file, for sha256sum -c.",
    }


def _root_properties(about: About, runs: Sequence[StageRun]) -> dict[str, Any]:
    return {
        "name": about.name,
        "description": about.description,
        "license": _reference(about.licence_url),
        "conformsTo": _reference(PROFILE),
        "mentions": [_reference(run_entity_id(run_id)) for run_id in _sorted_ids(runs)],
    }


def _contextual_entities(about: About, runs: Sequence[StageRun]) -> Iterator[dict[str, Any]]:
    yield {"@id": about.licence_url, "@type": "CreativeWork", "name": about.licence_name}
    yield {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    for run in runs:
        yield _software(run.version)
        yield _action(run)
        for source in run.sources:
            yield from _source(source)


def _software(version: str) -> dict[str, Any]:
    return {
        "@id": _software_id(version),
        "@type": "SoftwareApplication",
        "name": PROJECT_ID,
        "softwareVersion": version,
    }


def _action(run: StageRun) -> dict[str, Any]:
    sources = sorted({_source_id(source) for source in run.sources})
    return {
        "@id": run_entity_id(run.run_id),
        "@type": "CreateAction",
        "name": f"{run.stage_id}: {run.run_id}",
        "description": run.description,
        "startTime": run.started,
        "endTime": run.finished,
        "actionStatus": _reference(_COMPLETED),
        "instrument": _reference(_software_id(run.version)),
        "object": [_reference(target) for target in (*_ids(run.inputs), *sources)],
        "result": [_reference(target) for target in _ids(run.outputs)],
    }


def _source(source: Source) -> Iterator[dict[str, Any]]:
    """A source and its digests, each of them an entity: JSON-LD of a crate is flat."""
    digests = {
        f"{_source_id(source)}/{quote(of, safe='')}": (of, source.digests[of])
        for of in sorted(source.digests)
    }
    located = [] if source.location is None else [source.location]
    revision = {} if source.revision is None else {"version": source.revision}
    yield {
        "@id": _source_id(source),
        "@type": "CreativeWork",
        "name": source.name,
        "description": source.description,
        "identifier": [*located, *map(_reference, digests)],
        **revision,
    }
    for digest, (of, value) in digests.items():
        yield {
            "@id": digest,
            "@type": "PropertyValue",
            "propertyID": SHA256_TERM,
            "name": of,
            "value": value,
        }


# ------------------------------------------------------------------------------------- identifiers


def _software_id(version: str) -> str:
    return f"#{PROJECT_ID}-{quote(version)}"


def _source_id(source: Source) -> str:
    """Equal for equal sources, whichever run names them."""
    text = json.dumps(asdict(source), sort_keys=True)
    return f"#{quote(source.kind)}-{sha256(text.encode()).hexdigest()[:_ID_DIGITS]}"


def _reference(target: str) -> dict[str, str]:
    return {"@id": target}


def _ids(names: Iterable[str]) -> list[str]:
    return [file_id(name) for name in sorted(set(names))]


def _sorted_ids(runs: Sequence[StageRun]) -> list[str]:
    return sorted(run.run_id for run in runs)


def _add_entities(crate: Any, entities: Iterable[dict[str, Any]]) -> None:
    """Add contextual entities, once where several runs name one."""
    from rocrate.model import ContextEntity

    for entity in entities:
        properties = {name: value for name, value in entity.items() if name != "@id"}
        crate.add(ContextEntity(crate, entity["@id"], properties=properties))
