"""Records for people: what was measured, what to beware of, and what is missing."""

from __future__ import annotations

import copy

import pytest

from avalattice.canon import ModelRole
from avalattice.export.report.provenance import (
    cautions,
    graph_needs,
    missing_stages,
    model_facts,
    run_card,
    text_facts,
)
from avalattice.report import newest_runs


@pytest.fixture
def records(store):
    """The records of every stage of two models, INSTRUCT first; to be changed at will."""
    opened = [store.open(run_id) for run_id in newest_runs(store)]
    values = [
        reader.record.model_dump(mode="json") | {"record_sha256": reader.record.sha256}
        for reader in opened
    ]
    return copy.deepcopy(
        sorted(values, key=lambda r: (r["model"]["role"] != "INSTRUCT", r["run_id"]))
    )


def warned(records) -> tuple[str, ...]:
    return cautions(records, text_facts(records))


def test_a_run_s_card_names_every_file_and_upstream(records):
    """Digests in full: of the record, of what it rests on, and of each artifact."""
    record = next(record for record in records if record["stage_id"] == "S04")
    card = run_card(record)
    assert dict(card.facts)["record sha256"] == record["record_sha256"]
    assert {file.name: file.sha256 for file in card.files} == {
        name: entry["sha256"] for name, entry in record["artifact_index"].items()
    }
    assert len(card.needs) == 4
    assert card.needs[0][1] == next(
        r["record_sha256"] for r in records if r["run_id"] == card.needs[0][0]
    )


def test_models_and_texts_are_named_once(records):
    """Sixteen runs of two models on one corpus are two models and two slices."""
    models, texts = model_facts(records), text_facts(records)
    assert [model.model_role for model in models] == ["INSTRUCT", "BASE"]
    assert models[0].words.startswith("llama, 5 layers of 48 MLP units, 12.3 million parameters")
    assert [(t.name, t.n_windows, t.few) for t in texts] == [
        ("Dataset A, in sample", 8, True),
        ("Dataset A, held out", 8, True),
    ]


def test_texts_say_which_model_read_them_unless_all_did(records):
    """Two tokenizers cut a text into other windows; one slice that both read is of neither."""
    assert {text.model_role for text in text_facts(records)} == {""}
    for record in records:
        if record["model"]["role"] == "BASE":
            for dataset in record["datasets"]:
                dataset["slice_sha256"] = f"other {dataset['slice_sha256']}"
    roles = [text.model_role for text in text_facts(records)]
    assert roles == ["INSTRUCT", "INSTRUCT", "BASE", "BASE"]


def test_revisions_and_widths_are_told(records):
    """A revision stands behind its source; layers of several widths have their range."""
    record = records[0]
    record["model"] |= {"revision": "abc", "d_ff": [48, 64, 96], "random_init": True}
    record["model"] |= {"n_parameters": 12_345}
    record["datasets"][0] |= {"revision": "def", "source": "hf:x/y:train"}
    facts = model_facts([record])[0]
    assert facts.source == "tiny@abc"
    assert "48 to 96 MLP units, 12,345 parameters, random weights;" in facts.words
    assert text_facts([record])[0].source == "hf:x/y:train@def"


def test_questions_are_no_windows(records):
    """Questions are counted as such, and are never too few for intervals over windows."""
    records[0]["datasets"] = [
        records[0]["datasets"][0] | {"role": "ARC_MCQ", "window_ids": list(range(3))}
    ]
    (facts,) = text_facts(records[:1])
    assert (facts.name, facts.unit, facts.n_read, facts.few) == (
        "Dataset ARC_MCQ",
        "questions",
        0,
        False,
    )


# ------------------------------------------------------------------------------ cautions


def test_few_windows_and_notes_are_told_once(records):
    """Sixteen runs with the same note and slices give two cautions."""
    few = "Dataset A, in sample has 8; Dataset A, held out has 8."
    assert warned(records) == (
        f"Few windows: {few} Under 20, intervals over windows are too narrow.",
        "tiny: weights de-quantised from GGUF tiny.gguf.",
    )


def quiet(records):
    """Records that need no caution."""
    for record in records:
        record["notes"] = []
        for dataset in record["datasets"]:
            dataset["window_ids"] = list(range(20))
    return records


def test_nothing_to_beware_of(records):
    """Control: with twenty windows and no note there is no caution."""
    assert warned(quiet(records)) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["model"].update(random_init=True), "has random weights"),
        (lambda r: r.update(package_version="0.2.0"), "several versions of the code: 0.1.0, 0.2.0"),
        (lambda r: r["dependencies"][0].update(overridden=True), "because --dep said so"),
        (lambda r: r["dependencies"][0].update(record_sha256="0" * 64), "before it was made again"),
        (lambda r: r["dependencies"][0].update(run_id="RUN_S01_x"), "is not shown here"),
    ],
)
def test_each_thing_to_beware_of(records, change, words):
    """Random weights, mixed versions, runs that were chosen, made again, or left out."""
    record = next(record for record in quiet(records) if record["stage_id"] == "S02")
    change(record)
    (caution,) = warned(records)
    assert words in caution


# ------------------------------------------------------------------------------- what is missing


def test_nothing_is_missing(records):
    """Every stage of both models is there."""
    assert missing_stages(records) == ()


def test_missing_stages_are_named_with_their_commands(records):
    """For each model that has a run, the stages without one, and what makes them."""
    some = [
        r for r in records if r["stage_id"] not in ("S04", "S05") or r["model"]["role"] == "BASE"
    ]
    some = [r for r in some if r["stage_id"] != "S06ARC" or r["model"]["role"] == "INSTRUCT"]
    assert [(m.title, m.command) for m in missing_stages(some)] == [
        ("S04 Nulls, INSTRUCT", "avalattice phase4_run_nulls"),
        ("S05 Analysis, INSTRUCT", "avalattice phase5_analyze_and_export"),
        ("S06ARC Questions, BASE", "avalattice phase6_arc_mcq_eval --model-role BASE"),
    ]


def test_a_model_without_runs_is_not_missed(records):
    """A report on one model does not ask for the other."""
    one = [record for record in records if record["model"]["role"] == ModelRole.INSTRUCT]
    assert missing_stages(one) == ()


def test_the_graph_keeps_to_the_report_s_runs(records):
    """A dependency that the report does not show is no line of the graph."""
    some = [record for record in records if record["stage_id"] in ("S02", "S03")]
    needs = graph_needs(some)
    assert sorted(map(len, needs.values())) == [0, 0, 1, 1]
