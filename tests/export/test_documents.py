"""The JSON artifacts: round trips, null for what is undefined, and what is refused."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest

from avalattice.errors import SchemaError
from avalattice.export.documents import (
    GStarDocument,
    GStarEntry,
    RateTargetsDocument,
    parse_document,
    read_document,
)
from avalattice.stats.gstar import GStar, select_gstar
from avalattice.store.digests import canonical_json
from tests.export.results import LABELS, ONE, TWO, targets

GAINS = [Decimal("0.9"), Decimal("1.0"), Decimal("1.10")]
NAN = float("nan")


def rate_document(**changes) -> RateTargetsDocument:
    given = {"tau0": 2.5, "rate_profile": "baseline", "per_site": False, "silent_units": [0, 2, 1]}
    return RateTargetsDocument.of(targets(), **given | changes)


def chosen(curve) -> GStar:
    curve = np.array(curve)
    noise = np.random.default_rng(1).normal(0, 0.01, size=(50, 1))
    return select_gstar(GAINS, curve, curve + noise)


def entry(curve=(0.8, 0.98, 1.3), definition=ONE, label="1e-3") -> GStarEntry:
    return GStarEntry.of(
        chosen(curve),
        spike_def_id=definition,
        target_label=label,
        target_rate=1e-3,
        few_windows=True,
    )


def gstar_document(*entries: GStarEntry) -> GStarDocument:
    return GStarDocument(
        model_role="BASE",
        criterion="nearest one",
        inputs={"results/metrics.parquet": "00ff"},
        gains=["0.9", "1.0", "1.1"],
        bootstrap_reps=50,
        n_sequences=6,
        choices=list(entries),
    )


def through_json(document):
    """The document written as canonical JSON and parsed again."""
    content = json.loads(canonical_json(document.model_dump(mode="json")))
    return parse_document(type(document), content, "document.json")


# --------------------------------------------------------------------------------- rate targets


def test_rate_targets_survive_to_the_bit():
    """Counts, rates and profiles read from the document are those that were written."""
    written, read = targets(), through_json(rate_document()).targets()
    assert read.spike_defs == written.spike_defs
    assert read.labels == written.labels
    assert read.n_tokens == written.n_tokens
    for name in ("rates", "base_rates", "layer_rates", "k", "m", "capacity"):
        a, b = getattr(read, name), getattr(written, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_targets_with_few_events_are_named():
    """Targets that give any layer fewer events than RATE_MATCH_MIN_EVENTS are listed."""
    document = rate_document()
    assert document.few_events == list(LABELS)
    many = targets()
    many.k[:] = [[[30, 90, 90], [90, 29, 90]], [[90, 90, 90], [90, 90, 90]]]
    found = RateTargetsDocument.of(
        many, tau0=2.5, rate_profile="uniform", per_site=True, silent_units=[0, 0, 0]
    )
    assert found.few_events == ["2e-3"]
    assert found.target_unit == "events per site"
    assert found.rate_profile == "uniform"


# -------------------------------------------------------------------------------------- g*


def test_gstar_survives():
    """The choice, its gain as a decimal, its crossing and shares come back as they were."""
    written = entry()
    result = chosen((0.8, 0.98, 1.3))
    read = through_json(gstar_document(written)).choice("SPIKE_ONE_SIDED_POS", "1e-3")
    assert read == written
    assert read.gain == result.gstar == Decimal("1.0")
    assert read.b_tot == result.b_tot
    assert (read.crossing_ci_low, read.crossing_ci_high) == result.crossing_interval
    assert (read.slope, read.slope_ci_low) == (result.slope, result.slope_interval[0])
    assert {Decimal(gain): share for gain, share in read.shares.items()} == result.shares
    assert read.identifiable is result.identifiable
    assert read.few_windows is True


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\xff"])
def test_what_is_no_json_is_refused_with_its_path(tmp_path, text):
    """Cut, nested beyond reason, or not UTF-8."""
    path = tmp_path / "gstar.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SchemaError, match=r"gstar\.json: not a readable JSON file"):
        read_document(path, GStarDocument)


def test_gains_are_canonical_text():
    """Gains are decimals as text, never floats: 1.10 is 1.1."""
    found = entry((0.5, 0.6, 0.98))
    assert found.gstar == "1.1"
    assert list(found.shares) == ["0.9", "1.0", "1.1"]
    assert found.gain == Decimal("1.10")


def test_undefined_numbers_of_gstar_are_null():
    """NaN is null in the document, with a reason beside it, and excluded gains are named."""
    found = through_json(gstar_document(entry((NAN, NAN, NAN)))).choices[0]
    assert (found.gstar, found.gain, found.b_tot, found.crossing, found.slope) == (None,) * 5
    assert (found.crossing_ci_low, found.slope_ci_high) == (None, None)
    assert found.excluded == ["0.9", "1.0", "1.1"]
    assert found.reason == "b_tot is undefined at every gain"
    partly = entry((NAN, 0.6, 0.9))
    assert partly.excluded == ["0.9"]
    assert partly.crossing is None
    assert partly.slope == pytest.approx(3)


def test_a_choice_is_looked_up_by_definition_and_label():
    """The label as written is the key; another text of the same rate is not found."""
    document = gstar_document(entry(), entry(definition=TWO), entry(label="2e-3"))
    assert document.choice(str(TWO), "1e-3") is document.choices[1]
    with pytest.raises(SchemaError, match=r"no g\* for SPIKE_TWO_SIDED_ABS at target 0\.001"):
        document.choice("SPIKE_TWO_SIDED_ABS", "0.001")


def test_a_choice_in_words_says_what_it_is_worth():
    """The sentence names g*, its b_tot, and whether the data determine it."""
    assert entry().words().startswith("SPIKE_ONE_SIDED_POS, target 1e-3: g* = 1.0 with b_tot 0.980")
    assert entry().words().endswith("(few windows); identifiable")
    flat = entry((0.6, 0.6, 0.6)).words()
    assert "not identifiable: b_tot - 1 does not change sign" in flat
    assert entry((NAN, NAN, NAN)).words().endswith("no g*, b_tot is undefined at every gain")


# ---------------------------------------------------------------------------------- what is refused


def written(tmp_path, content: str):
    path = tmp_path / "gstar.json"
    path.write_text(content, encoding="utf-8")
    return path


def changed(**changes) -> str:
    return json.dumps(gstar_document(entry()).model_dump(mode="json") | changes)


def test_a_whole_document_is_read(tmp_path):
    """A valid file gives the document."""
    path = written(tmp_path, changed())
    assert read_document(path, GStarDocument) == gstar_document(entry())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"gstar\.json: not a readable JSON file"),
        ("[]", r"gstar\.json: the document: Input should be a valid dictionary"),
        ("{}", r"gstar\.json: model_role: Field required"),
        (changed(surplus=1), r"gstar\.json: surplus: Extra inputs are not permitted"),
        (changed(n_sequences="6"), r"gstar\.json: n_sequences: Input should be a valid integer"),
        (changed(gains=[1.0]), r"gstar\.json: gains\.0: Input should be a valid string"),
        (
            changed(choices=[entry().model_dump() | {"b_tot": NAN}]),
            r"gstar\.json: choices\.0\.b_tot: Input should be a finite number",
        ),
        (
            changed(choices=[entry().model_dump() | {"identifiable": None}]),
            r"gstar\.json: choices\.0\.identifiable: Input should be a valid boolean",
        ),
    ],
    ids=["syntax", "list", "missing", "unknown", "text", "float gain", "NaN", "null"],
)
def test_what_breaks_the_schema_is_refused(tmp_path, content, message):
    """The message names file, place in the document, and what should stand there."""
    with pytest.raises(SchemaError, match=message):
        read_document(written(tmp_path, content), GStarDocument)


def test_a_missing_file_is_refused(tmp_path):
    """A file that is not there is an error of the schema, with its path."""
    with pytest.raises(SchemaError, match=r"none\.json: not a readable JSON file"):
        read_document(tmp_path / "none.json", RateTargetsDocument)


@pytest.mark.parametrize(
    ("gstar", "gains"),
    [(None, ["1.0"]), ("1.0", ["1.0"]), ("0.0", ["0.0", "1.0"]), ("1.3", ["1.0", "1.3"])],
)
def test_raster_gains_are_one_and_gstar(gstar, gains):
    """Phase 3's gains are 1 and g*, also where g* is zero, once where they coincide."""
    made = entry().model_copy(update={"gstar": gstar})
    assert made.raster_gains == [Decimal(gain) for gain in gains]
