"""Reading ``ro-crate-metadata.json`` back, and what it must look like.

The schema is that of :mod:`avalattice.export.crate`, narrower than RO-Crate's: one type for each
entity, every file of the pack listed once with digest, size and format, every run complete, and no
reference that leads nowhere. What passes is then read by the ``rocrate`` package, which must see
the same files.

Not handled: crates that other programs write.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from avalattice.canon import OUTPUT
from avalattice.errors import SchemaError
from avalattice.export.crate import PROFILE, SPECIFICATION, file_id
from avalattice.export.pack_names import names_fault
from avalattice.export.release import PackedFile

DESCRIBED_ELSEWHERE = (OUTPUT.MANIFEST_SHA256, OUTPUT.RO_CRATE_JSON)
"""Files of a pack that its description does not list among the others."""
_ROOT = "./"
_UNREADABLE = (AssertionError, AttributeError, KeyError, TypeError, ValueError)


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


_Text = Annotated[str, Field(min_length=1)]
_Moment = Annotated[str, AfterValidator(_moment)]
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Size = Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,17})$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Reference(_Part):
    id: _Text = Field(alias="@id")


def _leads_to(target: str) -> AfterValidator:
    """A reference to nothing else."""

    def check(reference: _Reference) -> _Reference:
        if reference.id != target:
            raise ValueError(f"should be {target}, found {reference.id}")
        return reference

    return AfterValidator(check)


class _Descriptor(_Part):
    type: Literal["CreativeWork"] = Field(alias="@type")
    conforms_to: Annotated[_Reference, _leads_to(SPECIFICATION)] = Field(alias="conformsTo")
    about: Annotated[_Reference, _leads_to(_ROOT)]


class _Root(_Part):
    type: Literal["Dataset"] = Field(alias="@type")
    name: _Text
    description: _Text
    published: _Moment = Field(alias="datePublished")
    license: _Reference
    conforms_to: Annotated[_Reference, _leads_to(PROFILE)] = Field(alias="conformsTo")
    has_part: list[_Reference] = Field(alias="hasPart")
    mentions: list[_Reference]


class _Manifest(_Part):
    type: Literal["File"] = Field(alias="@type")


class _File(_Part):
    type: Literal["File"] = Field(alias="@type")
    name: _Text
    format: _Text = Field(alias="encodingFormat")
    size: _Size = Field(alias="contentSize")
    sha256: _Digest


class _Action(_Part):
    type: Literal["CreateAction"] = Field(alias="@type")
    name: _Text
    description: _Text
    started: _Moment = Field(alias="startTime")
    finished: _Moment = Field(alias="endTime")
    instrument: _Reference
    object: list[_Reference]
    result: list[_Reference] = Field(min_length=1)


class _Software(_Part):
    type: Literal["SoftwareApplication"] = Field(alias="@type")
    name: _Text
    version: _Text = Field(alias="softwareVersion")


class _Other(_Part):
    type: Literal["CreativeWork", "PropertyValue"] = Field(alias="@type")
    name: _Text


_KINDS: Mapping[str, type[_Part]] = {
    "File": _File,
    "CreateAction": _Action,
    "SoftwareApplication": _Software,
}


@dataclass(frozen=True)
class Crate:
    """What a crate says of its pack."""

    files: dict[str, PackedFile]
    """Every file but the description itself and the manifest, by name."""
    runs: frozenset[str]
    """Ids of the runs that it describes."""


def read_crate(path: Path) -> Crate:
    """Read and check the description of a pack.

    Raises:
        SchemaError: it cannot be read, or breaks the schema; the message names file, entity and
            property.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path}: not a readable JSON file ({error})") from error
    entities = _entities(path, document)
    parsed = {target: _parsed(path, target, entity) for target, entity in entities.items()}
    _check_references(path, entities)
    files = {
        target: PackedFile(unquote(target), part.sha256, int(part.size))
        for target, part in parsed.items()
        if isinstance(part, _File)
    }
    _check_files(path, files, parsed[_ROOT])
    _check_package(path, document, {*files, OUTPUT.MANIFEST_SHA256})
    runs = (target for target, part in parsed.items() if isinstance(part, _Action))
    return Crate(
        {file.name: file for file in files.values()},
        frozenset(target.removeprefix("#") for target in runs),
    )


def crate_faults(
    crate: Crate,
    files: Iterable[PackedFile],
    run_ids: Collection[str],
    *,
    broken: Collection[str] = (),
) -> Iterator[str]:
    """What a description says otherwise than the pack, one line each.

    Args:
        crate: the description.
        files: the files that are there, description and manifest aside.
        run_ids: the runs that are there.
        broken: names of files of which nothing more is to be said.
    """
    found = {file.name: file for file in files}
    where = OUTPUT.RO_CRATE_JSON
    for name in sorted((found.keys() | crate.files.keys()) - {*broken}):
        if name not in found:
            yield f"{where}: it lists {name}, which is not there"
        elif name not in crate.files:
            yield f"{where}: it does not list {name}"
        elif crate.files[name] != found[name]:
            told, seen = crate.files[name], found[name]
            yield (
                f"{where}: {name} should have sha256 {told.sha256} and {told.bytes} bytes, "
                f"found {seen.sha256} and {seen.bytes}"
            )
    yield from (f"{where}: it does not describe {run}" for run in sorted({*run_ids} - crate.runs))
    yield from (
        f"{where}: it describes {run}, which is not there"
        for run in sorted(crate.runs - {*run_ids})
    )


# ------------------------------------------------------------------------------------------ checks


def _entities(path: Path, document: Any) -> dict[str, dict[str, Any]]:
    """The entities of the graph by ``@id``, each once."""
    graph = document.get("@graph") if isinstance(document, dict) else None
    if not isinstance(graph, list) or "@context" not in document:
        raise SchemaError(f"{path}: not an RO-Crate (it needs @context and a list @graph)")
    entities: dict[str, dict[str, Any]] = {}
    for number, entity in enumerate(graph):
        target = entity.get("@id") if isinstance(entity, dict) else None
        if not isinstance(target, str):
            raise SchemaError(f"{path}: entity {number} of @graph has no @id")
        if target in entities:
            raise SchemaError(f"{path}: {target} is described twice")
        entities[target] = entity
    for target in (OUTPUT.RO_CRATE_JSON, _ROOT, OUTPUT.MANIFEST_SHA256):
        if target not in entities:
            raise SchemaError(f"{path}: {target} is not described")
    return entities


def _parsed(path: Path, target: str, entity: dict[str, Any]) -> _Part:
    special: dict[str, type[_Part]] = {
        OUTPUT.RO_CRATE_JSON: _Descriptor,
        _ROOT: _Root,
        OUTPUT.MANIFEST_SHA256: _Manifest,
    }
    kind = special.get(target) or _KINDS.get(str(entity.get("@type")), _Other)
    try:
        return kind.model_validate(entity)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SchemaError(f"{path}: {target}: {where}: {first['msg']}") from error


def _check_references(path: Path, entities: Mapping[str, dict[str, Any]]) -> None:
    """Every reference without a scheme, which is one to the crate itself, leads to an entity."""
    for target, entity in entities.items():
        for name, values in entity.items():
            for value in values if isinstance(values, list) else [values]:
                to = value.get("@id") if isinstance(value, dict) else None
                if isinstance(to, str) and ":" not in to and to not in entities:
                    raise SchemaError(f"{path}: {target}: {name}: {to} is not described")


def _check_files(path: Path, files: Mapping[str, PackedFile], root: _Part) -> None:
    """Names are as they are written, and the root lists each file once."""
    fault = names_fault(file.name for file in files.values())
    if fault:
        raise SchemaError(f"{path}: {fault}")
    for target, file in files.items():
        if file_id(file.name) != target:
            raise SchemaError(f"{path}: {target} should be encoded as {file_id(file.name)}")
    assert isinstance(root, _Root)
    listed = sorted(part.id for part in root.has_part)
    if listed != sorted([*files, OUTPUT.MANIFEST_SHA256]):
        odd = {*listed} ^ {*files, OUTPUT.MANIFEST_SHA256} or {"a file that it lists twice"}
        raise SchemaError(f"{path}: {_ROOT}: hasPart and the files described differ in {min(odd)}")


def _check_package(path: Path, document: dict[str, Any], expected: set[str]) -> None:
    """The package that catalogues use reads the same files."""
    from rocrate.rocrate import ROCrate

    try:
        crate = ROCrate(deepcopy(document))  # a copy, since it takes the document apart
        found = {entity.id for entity in crate.data_entities}
    except _UNREADABLE as error:
        raise SchemaError(f"{path}: the rocrate package cannot read it ({error!r})") from error
    if found != expected:
        raise SchemaError(f"{path}: the rocrate package reads other files: {found ^ expected}")
