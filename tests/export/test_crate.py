"""The description of a pack: what it says, that its bytes are fixed, and what it must look like."""

from __future__ import annotations

import json
import uuid
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from urllib.parse import unquote

import pytest
from rocrate.rocrate import ROCrate

from avalattice.canon import OUTPUT
from avalattice.errors import InputError, SchemaError
from avalattice.export.crate import (
    PROFILE,
    SHA256_TERM,
    SPECIFICATION,
    Source,
    crate_json,
    encoding_format,
    file_id,
)
from avalattice.export.crate_reader import crate_faults, read_crate
from avalattice.export.release import PackedFile
from tests.export.packs import (
    ABOUT,
    CONTENTS,
    CORPUS,
    MODEL,
    RUN,
    RUNS,
    UPSTREAM,
    tree,
    write_pack,
)

CRATE, MANIFEST = OUTPUT.RO_CRATE_JSON, OUTPUT.MANIFEST_SHA256
FILES = [PackedFile(name, f"{n:064x}", n) for n, name in enumerate(CONTENTS)]


def document(files=FILES, runs=RUNS, about=ABOUT):
    """The parsed description of files."""
    return json.loads(crate_json(about, files, runs))


def entities(content) -> dict[str, dict]:
    """The entities of a description by their identifiers."""
    found = {entity["@id"]: entity for entity in content["@graph"]}
    assert len(found) == len(content["@graph"])
    return found


def targets(values) -> list[str]:
    """Where references lead."""
    return [value["@id"] for value in values]


# ----------------------------------------------------------------------------------- what it says


def test_every_file_is_described():
    """Each file has its digest, size, name and format, and is a part of the root."""
    found = entities(document())
    for file in FILES:
        assert found[file_id(file.name)] == {
            "@id": file_id(file.name),
            "@type": "File",
            "name": file.name.rpartition("/")[2],
            "encodingFormat": encoding_format(file.name),
            "contentSize": str(file.bytes),
            "sha256": file.sha256,
        }
    assert {unquote(part) for part in targets(found["./"]["hasPart"])} == {*CONTENTS, MANIFEST}


def test_the_root_says_what_the_specification_asks_for():
    """Name, description, date, licence and profile are there, and the licence has a name."""
    found = entities(document())
    root = found["./"]
    assert (root["name"], root["description"]) == (ABOUT.name, ABOUT.description)
    assert root["datePublished"] == ABOUT.published
    assert root["conformsTo"] == {"@id": PROFILE}
    assert found[root["license"]["@id"]]["name"] == ABOUT.licence_name
    assert found[CRATE]["conformsTo"] == {"@id": SPECIFICATION}
    assert found[CRATE]["about"] == {"@id": "./"}
    assert document()["@context"] == [f"{SPECIFICATION}/context", {"sha256": SHA256_TERM}]


def test_every_run_is_an_action():
    """A run is a CreateAction with its tool, times, inputs and outputs, which the root mentions."""
    found = entities(document())
    assert targets(found["./"]["mentions"]) == [f"#{UPSTREAM}", f"#{RUN}"]
    action = found[f"#{RUN}"]
    assert action["@type"] == "CreateAction"
    assert (action["startTime"], action["endTime"]) == (RUNS[1].started, RUNS[1].finished)
    assert {*map(file_id, RUNS[1].inputs)} < {*targets(action["object"])}
    assert targets(action["result"]) == sorted(map(file_id, RUNS[1].outputs))
    tool = found[action["instrument"]["@id"]]
    assert (tool["@type"], tool["name"], tool["softwareVersion"]) == (
        "SoftwareApplication",
        "avalattice",
        "0.1.0",
    )


def test_models_and_corpora_are_objects_of_runs():
    """A source is named once, with its place, revision and digests, by every run that read it."""
    found = entities(document())
    actions = [found[f"#{run}"] for run in (UPSTREAM, RUN)]
    sources = [
        {target for target in targets(action["object"]) if target.startswith("#")}
        for action in actions
    ]
    assert sources[0] == sources[1]
    by_name = {found[target]["name"]: found[target] for target in sources[0]}
    assert set(by_name) == {MODEL.name, CORPUS.name}
    assert by_name[CORPUS.name]["version"] == CORPUS.revision
    assert "version" not in by_name[MODEL.name]
    place, digest = by_name[MODEL.name]["identifier"]
    assert place == MODEL.location
    assert found[digest["@id"]] == {
        "@id": digest["@id"],
        "@type": "PropertyValue",
        "propertyID": SHA256_TERM,
        "name": "model.safetensors",
        "value": MODEL.digests["model.safetensors"],
    }


def test_different_sources_are_told_apart():
    """Two models of one name and other weights are two entities; equal ones are one."""
    other = replace(MODEL, digests={"model.safetensors": "4" * 64})
    same = Source(**{name: getattr(MODEL, name) for name in MODEL.__dataclass_fields__})
    runs = (replace(RUNS[0], sources=(MODEL, other, same)), RUNS[1])
    objects = targets(entities(document(runs=runs))[f"#{UPSTREAM}"]["object"])
    assert len([target for target in objects if target.startswith("#model-")]) == 2


def test_versions_are_told_apart():
    """Runs of two versions of the software have two instruments."""
    found = entities(document(runs=(RUNS[0], replace(RUNS[1], version="0.2.0"))))
    tools = {found[f"#{run}"]["instrument"]["@id"] for run in (UPSTREAM, RUN)}
    assert {found[tool]["softwareVersion"] for tool in tools} == {"0.1.0", "0.2.0"}


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_a_run_that_rests_on_something_outside_is_refused(field):
    """What a run reads or writes must be in the pack."""
    runs = (RUNS[0], replace(RUNS[1], **{field: ("runs/RUN_S00_x/run_record.json",)}))
    with pytest.raises(InputError, match=f"{RUN} .*RUN_S00_x.* not in the pack"):
        crate_json(ABOUT, FILES, runs)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.npz", "a.PNG", "a.md", "a.html"])
def test_formats_are_known_for_what_a_pack_holds(name):
    """Every kind of artifact has a media type of its own; anything else is just bytes."""
    assert encoding_format(name) != encoding_format("a.unknown") == encoding_format("noext")
    assert encoding_format("a.unknown") == "application/octet-stream"


# ------------------------------------------------------------------------------------ fixed bytes


def test_time_and_chance_do_not_enter(monkeypatch):
    """Another day, other random numbers and another order of files and runs change no byte."""
    expected = crate_json(ABOUT, FILES, RUNS)
    monkeypatch.setattr("rocrate.model.root_dataset.iso_now", lambda: "1999-01-01")
    monkeypatch.setattr(uuid, "uuid4", lambda: "not random")
    backwards = [replace(run, inputs=run.inputs[::-1], sources=run.sources[::-1]) for run in RUNS]
    assert crate_json(ABOUT, FILES[::-1], backwards[::-1]) == expected
    assert b"1999" not in expected
    assert b"not random" not in expected


def test_what_is_said_enters():
    """Control: another digest, another run or another date makes other bytes."""
    other = [replace(FILES[0], sha256="f" * 64), *FILES[1:]]
    later = replace(ABOUT, published="2027-01-01")
    described = [(ABOUT, FILES, RUNS), (ABOUT, other, RUNS), (ABOUT, FILES, RUNS[:1])]
    assert len({crate_json(*arguments) for arguments in [*described, (later, FILES, RUNS)]}) == 4


# -------------------------------------------------------------------------------------- read back


def test_the_package_reads_every_file(tmp_path):
    """The rocrate package, given the folder of the pack, lists each file and finds it there."""
    pack = write_pack(tmp_path)
    crate = ROCrate(pack)
    found = {unquote(entity.id): entity for entity in crate.data_entities}
    assert set(found) == {*tree(pack)} - {CRATE}
    assert all(entity.source.is_file() for entity in found.values())
    assert crate.root_dataset.datePublished == datetime.fromisoformat(ABOUT.published)
    assert {action["instrument"].type for action in crate.get_by_type("CreateAction")} == {
        "SoftwareApplication"
    }


def test_a_description_is_read_back(tmp_path):
    """Reading gives the files with digest and size, and the runs."""
    (tmp_path / CRATE).write_bytes(crate_json(ABOUT, FILES, RUNS))
    crate = read_crate(tmp_path / CRATE)
    assert crate.files == {file.name: file for file in FILES}
    assert crate.runs == {RUN, UPSTREAM}
    assert list(crate_faults(crate, FILES, [RUN, UPSTREAM])) == []


def test_faults_beside_the_pack(tmp_path):
    """A file that differs, is missing or not described, and a run likewise, are faults."""
    (tmp_path / CRATE).write_bytes(crate_json(ABOUT, FILES, RUNS))
    crate = read_crate(tmp_path / CRATE)
    changed, gone, *rest = FILES
    files = [replace(changed, sha256="f" * 64), PackedFile("new", "0" * 64, 0), *rest]
    faults = list(crate_faults(crate, files, [RUN, "RUN_S00_new"]))
    told = f"{changed.name} should have sha256 {changed.sha256} and {changed.bytes} bytes"
    assert sorted(faults) == sorted(
        f"{CRATE}: {fault}"
        for fault in (
            "it does not list new",
            f"{told}, found {'f' * 64} and {changed.bytes}",
            f"it lists {gone.name}, which is not there",
            "it does not describe RUN_S00_new",
            f"it describes {UPSTREAM}, which is not there",
        )
    )
    names = {changed.name, gone.name, "new"}
    assert list(crate_faults(crate, files, [RUN, UPSTREAM], broken=names)) == []


METRICS = f"runs/{RUN}/results/metrics.parquet"
REMOVED = object()


@pytest.mark.parametrize(
    ("entity", "changes", "reason"),
    [
        ("./", {"name": ""}, "name"),
        ("./", {"license": REMOVED}, "license"),
        ("./", {"datePublished": "yesterday"}, "datePublished"),
        ("./", {"conformsTo": {"@id": "https://example.org"}}, "conformsTo"),
        ("./", {"mentions": [{"@id": "#RUN_S09_x"}]}, "#RUN_S09_x is not described"),
        ("./", {"hasPart": []}, "hasPart"),
        (CRATE, {"conformsTo": {"@id": "https://w3id.org/ro/crate/9.9"}}, "conformsTo"),
        (CRATE, {"about": {"@id": "elsewhere/"}}, "about"),
        (METRICS, {"sha256": "abc"}, "sha256"),
        (METRICS, {"sha256": REMOVED}, "sha256"),
        (METRICS, {"contentSize": "-1"}, "contentSize"),
        (METRICS, {"contentSize": 36}, "contentSize"),
        (METRICS, {"encodingFormat": REMOVED}, "encodingFormat"),
        (METRICS, {"@type": "Dataset"}, "@type"),
        (METRICS, {"@type": REMOVED}, "@type"),
        (METRICS, {"@id": "../metrics.parquet"}, "not described"),
        (f"#{RUN}", {"endTime": "soon"}, "endTime"),
        (f"#{RUN}", {"instrument": REMOVED}, "instrument"),
        (f"#{RUN}", {"result": []}, "result"),
        (f"#{RUN}", {"object": [{"@id": "runs/elsewhere"}]}, "runs/elsewhere is not described"),
        ("#avalattice-0.1.0", {"softwareVersion": ""}, "softwareVersion"),
        (METRICS, {"about": {"name": "nested"}}, "the rocrate package cannot read it"),
        (MANIFEST, {"@id": "other"}, f"{MANIFEST} is not described"),
    ],
)
def test_broken_descriptions_are_refused(tmp_path, entity, changes, reason):
    """Each thing that the schema asks for is missed where it is wrong, by entity and property."""
    content = document()
    for name, value in changes.items():
        entities(content)[entity][name] = value
        if value is REMOVED:
            del entities(content)[entity][name]
    (tmp_path / CRATE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        read_crate(tmp_path / CRATE)
    assert reason in str(caught.value)
    assert str(tmp_path / CRATE) in str(caught.value)


def with_file(content, target):
    """A description with one more file, of a given identifier."""
    content = deepcopy(content)
    content["@graph"].append({**entities(document())[METRICS], "@id": target})
    root = next(entity for entity in content["@graph"] if entity["@id"] == "./")
    root["hasPart"].append({"@id": target})
    return content


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../up", r"'\.\./up' has an empty part"),
        ("https://example.org/x", "has an empty part"),
        ("C:/x", "drive"),
        ("Report.html", "one to some file systems"),
        ("not encoded", "should be encoded as not%20encoded"),
        ("%61", "should be encoded as a"),
        (METRICS, "described twice"),
    ],
)
def test_files_with_unsafe_names_are_refused(tmp_path, target, reason):
    """A description of a file outside the pack, or under two names, is refused."""
    content = with_file(document(), "a%20new%20one")
    (tmp_path / CRATE).write_text(json.dumps(content), encoding="utf-8")
    assert "a new one" in read_crate(tmp_path / CRATE).files  # control: a file that is right
    content = with_file(content, target)
    (tmp_path / CRATE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SchemaError, match=reason):
        read_crate(tmp_path / CRATE)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"{}", b'{"@context": 1, "@graph": {}}', b"[" * 100_000]
    + [b'{"@context": 1, "@graph": [%s]}' % entity for entity in (b"1", b"{}", b'{"@id": 1}')],
    ids=repr,
)
def test_what_is_no_crate_is_refused(tmp_path, content):
    """What is not JSON, or JSON of another form, is refused."""
    (tmp_path / CRATE).write_bytes(content)
    with pytest.raises(SchemaError):
        read_crate(tmp_path / CRATE)


def test_a_missing_description_is_refused(tmp_path):
    """A description that is not there is refused by its path."""
    with pytest.raises(SchemaError, match="not a readable JSON file"):
        read_crate(tmp_path / CRATE)
