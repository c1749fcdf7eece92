"""The configuration: what is refused and how, and what its numbers, text and scope keep."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from avalattice import yamlfile
from avalattice.canon import CONST, ModelRole, SpikeDefId
from avalattice.config import Config, ConfigError, dumps, load, loads
from avalattice.yamlfile import NumberText

CONFIGS = Path(__file__).parents[1] / "configs"

GOOD = """\
seed: 7
model:
  INSTRUCT:
    source: folder
  attention: eager
data:
  A:
    source: file:text.txt
    n_windows_rasters: 5
events:
  spike_defs: [SPIKE_ONE_SIDED_POS]
  target_rates: [1e-5, 2e-5]
gain:
  grid:
    - 0.9
    - 1.0
compute:
  batch_size: 2
"""

SECTIONS = (
    "seed, model, data, events, gain, branching, bootstrap, nulls, avalanches, ablations, paper, "
    "release, compute, execution"
)
DATA_KEYS = "seq_len_tokens, warmup_tokens, pool_factor, A, B, ARC_MCQ"
EVENTS_KEYS = "spike_defs, tau0, rate_profile, target_rates, target_events_per_site"

WRONG = {
    "unknown section": (
        "seed: 7",
        "sede: 7",
        f"1: unknown key sede; did you mean seed? (allowed here: {SECTIONS})",
    ),
    "unknown key that nothing is near": (
        "seed: 7",
        "xyzzy: 7",
        f"1: unknown key xyzzy (allowed here: {SECTIONS})",
    ),
    "unknown key in a section": (
        "batch_size: 2",
        "batchsize: 2",
        (
            "18: unknown key compute.batchsize; did you mean batch_size? "
            "(allowed here: device, dtype, batch_size)"
        ),
    ),
    "unknown key of a dataset": (
        "n_windows_rasters: 5",
        "n_window_rasters: 5",
        (
            "9: unknown key data.A.n_window_rasters; did you mean n_windows_rasters? "
            "(allowed here: source, text_field, n_windows_calibration, n_windows_rasters)"
        ),
    ),
    "unknown key of a model": (
        "source: folder",
        "source: folder\n    sha: x",
        (
            "5: unknown key model.INSTRUCT.sha; did you mean sha256? "
            "(allowed here: source, parts, sha256)"
        ),
    ),
    "key of another section": (
        "  A:",
        "  tau0: 2.5\n  A:",
        f"7: unknown key data.tau0 (allowed here: {DATA_KEYS})",
    ),
    "key in the singular": (
        "target_rates:",
        "target_rate:",
        (
            f"12: unknown key events.target_rate; did you mean target_rates? "
            f"(allowed here: {EVENTS_KEYS})"
        ),
    ),
    "text for a number": (
        "batch_size: 2",
        "batch_size: two",
        "18: compute.batch_size: Input should be a valid integer (found 'two')",
    ),
    "quoted integer": (
        "seed: 7",
        "seed: '7'",
        "1: seed: Input should be a valid integer (found '7')",
    ),
    "boolean for an integer": (
        "batch_size: 2",
        "batch_size: true",
        "18: compute.batch_size: Input should be a valid integer (found True)",
    ),
    "fraction for an integer": (
        "seed: 7",
        "seed: 7.0",
        "1: seed: Input should be a valid integer (found 7.0)",
    ),
    "number for a text": (
        "source: folder",
        "source: 12",
        "4: model.INSTRUCT.source: Input should be a valid string (found 12)",
    ),
    "number for a boolean": (
        "attention: eager",
        "random_init: 1",
        "5: model.random_init: Input should be a valid boolean (found 1)",
    ),
    "word of YAML 1.1 for a boolean": (
        "attention: eager",
        "random_init: yes",
        "5: model.random_init: Input should be a valid boolean (found 'yes')",
    ),
    "boolean for a number": (
        "spike_defs: [SPIKE_ONE_SIDED_POS]",
        "tau0: true",
        "11: events.tau0: Input should be a valid number (found True)",
    ),
    "list for a section": (
        "compute:\n  batch_size: 2",
        "compute: [2]",
        "17: compute: must be a mapping of settings (found [2])",
    ),
    "empty section": (
        "compute:\n  batch_size: 2",
        "compute:",
        "17: compute: must be a mapping of settings (found None)",
    ),
    "mapping for a list": (
        "target_rates: [1e-5, 2e-5]",
        "target_rates: {a: 1e-5}",
        "12: events.target_rates: Input should be a valid list",
    ),
    "negative seed": (
        "seed: 7",
        "seed: -7",
        "1: seed: Input should be greater than or equal to 0 (found -7)",
    ),
    "no windows": (
        "n_windows_rasters: 5",
        "n_windows_rasters: 0",
        "9: data.A.n_windows_rasters: Input should be greater than or equal to 1 (found 0)",
    ),
    "windows of one token": (
        "  A:",
        "  seq_len_tokens: 1\n  A:",
        "7: data.seq_len_tokens: Input should be greater than or equal to 2 (found 1)",
    ),
    "few resamples": (
        "seed: 7",
        "bootstrap: {reps: 99}",
        "1: bootstrap.reps: Input should be greater than or equal to 100 (found 99)",
    ),
    "threshold of zero": (
        "spike_defs: [SPIKE_ONE_SIDED_POS]",
        "tau0: 0",
        "11: events.tau0: Input should be greater than 0 (found 0)",
    ),
    "infinite threshold": (
        "spike_defs: [SPIKE_ONE_SIDED_POS]",
        "tau0: 1e999",
        "11: events.tau0: Input should be a finite number (found 1e999)",
    ),
    "threshold that is no number": (
        "spike_defs: [SPIKE_ONE_SIDED_POS]",
        "tau0: !!float nan",
        "11: events.tau0: Input should be a finite number (found nan)",
    ),
    "word for infinity": (
        "spike_defs: [SPIKE_ONE_SIDED_POS]",
        "tau0: .inf",
        "11: events.tau0: Input should be a valid number (found '.inf')",
    ),
    "unknown spike definition": (
        "SPIKE_ONE_SIDED_POS",
        "SPIKE_ONE_SIDED",
        (
            "11: events.spike_defs[0]: Input should be 'SPIKE_ONE_SIDED_POS' or "
            "'SPIKE_TWO_SIDED_ABS' (found 'SPIKE_ONE_SIDED'); did you mean SPIKE_ONE_SIDED_POS?"
        ),
    ),
    "spike definition twice": (
        "SPIKE_ONE_SIDED_POS",
        "SPIKE_ONE_SIDED_POS, SPIKE_ONE_SIDED_POS",
        (
            "11: events.spike_defs: an entry is given twice in "
            "['SPIKE_ONE_SIDED_POS', 'SPIKE_ONE_SIDED_POS'] "
            "(found ['SPIKE_ONE_SIDED_POS', 'SPIKE_ONE_SIDED_POS'])"
        ),
    ),
    "no spike definition": (
        "[SPIKE_ONE_SIDED_POS]",
        "[]",
        (
            "11: events.spike_defs: List should have at least 1 item after validation, not 0 "
            "(found [])"
        ),
    ),
    "unknown choice": (
        "attention: eager",
        "attention: spda",
        (
            "5: model.attention: Input should be 'auto', 'sdpa' or 'eager' (found 'spda'); "
            "did you mean sdpa?"
        ),
    ),
    "targets of both kinds": (
        "spike_defs: [SPIKE_ONE_SIDED_POS]",
        "target_events_per_site: [0.5]",
        "10: events: give either target_rates or target_events_per_site, not both",
    ),
    "no targets": (
        "[1e-5, 2e-5]",
        "[]",
        (
            "12: events.target_rates: List should have at least 1 item after validation, not 0 "
            "(found [])"
        ),
    ),
    "target twice, written differently": (
        "[1e-5, 2e-5]",
        "[1e-5, 0.00001]",
        (
            "12: events.target_rates: an entry is given twice in ['1e-5', '0.00001'] "
            "(found [1e-5, 0.00001])"
        ),
    ),
    "quoted target": (
        "[1e-5, 2e-5]",
        "[1e-5, '2e-5']",
        "12: events.target_rates[1]: a target is a number, not quoted (found '2e-5')",
    ),
    "target with a label": (
        "[1e-5, 2e-5]",
        "[{label: low, value: 1e-5}]",
        "12: events.target_rates[0]: a target is a number, not quoted",
    ),
    "negative target": (
        "[1e-5, 2e-5]",
        "[1e-5, -2e-5]",
        "12: events.target_rates[1]: Input should be greater than 0 (found -2e-05)",
    ),
    "target that vanishes": (
        "[1e-5, 2e-5]",
        "[1e-999]",
        "12: events.target_rates[0]: Input should be greater than 0 (found 0.0)",
    ),
    "infinite target": (
        "[1e-5, 2e-5]",
        "[1e999]",
        "12: events.target_rates[0]: Input should be a finite number (found inf)",
    ),
    "integer target too large for a float": (
        "[1e-5, 2e-5]",
        f"[1{'0' * 400}]",
        f"12: events.target_rates[0]: a target is a finite number (found 1{'0' * 400})",
    ),
    "target rate above every value": (
        "[1e-5, 2e-5]",
        "[1.0]",
        (
            "12: events.target_rates: a target rate is a fraction of all values, below 1 "
            "(target_events_per_site takes events per lattice site) (found [1.0])"
        ),
    ),
    "gain twice, written differently": (
        "- 0.9",
        "- 1",
        "14: gain.grid: a gain is given twice (found [1, 1.0])",
    ),
    "grid without the baseline": (
        "    - 1.0\n",
        "    - 1.1\n",
        "14: gain.grid: the grid must hold the baseline gain 1.0 (found [0.9, 1.1])",
    ),
    "negative gain": (
        "- 0.9",
        "- -0.9",
        "15: gain.grid[0]: Input should be greater than or equal to 0 (found -0.9)",
    ),
    "gain above the largest": (
        "- 1.0",
        "- 1e1\n    - 11",
        "17: gain.grid[2]: Input should be less than or equal to 10 (found 11)",
    ),
    "quoted gain": (
        "- 1.0",
        '- "1.0"',
        "16: gain.grid[1]: a gain is a number, not quoted (found '1.0')",
    ),
    "boolean gain": (
        "- 1.0",
        "- true",
        "16: gain.grid[1]: a gain is a number, not quoted (found True)",
    ),
    "sexagesimal gain": (
        "- 1.0",
        "- 1:30",
        "16: gain.grid[1]: a gain is a number, not quoted (found '1:30')",
    ),
    "no digest": (
        "source: folder",
        "source: folder\n    sha256: abc",
        "5: model.INSTRUCT.sha256: String should match pattern '^[0-9a-f]{64}$' (found 'abc')",
    ),
    "digest in capitals": (
        "source: folder",
        f"source: folder\n    sha256: {'A' * 64}",
        (
            f"5: model.INSTRUCT.sha256: String should match pattern '^[0-9a-f]{{64}}$' "
            f"(found '{'A' * 64}')"
        ),
    ),
    "parts without a digest": (
        "source: folder",
        "source: pkg:a/1.gguf\n    parts: [pkg:a/2.gguf]",
        "3: model.INSTRUCT: several parts need a sha256 of the joined file",
    ),
    "key written twice": (
        "seed: 7",
        "seed: 7\nseed: 7",
        "2: key seed is written twice",
    ),
    "deep key written twice": (
        "    n_windows_rasters: 5",
        "    source: file:other.txt",
        "9: key data.A.source is written twice",
    ),
    "required key missing": (
        "    source: file:text.txt\n",
        "",
        "7: required key data.A.source is missing",
    ),
    "required section missing": (
        GOOD[GOOD.index("data:") : GOOD.index("events:")],
        "",
        "1: required key data is missing",
    ),
    "unknown reference": (
        "seed: 7",
        "seed: CANON.CONST.BOOTSTRAP_SEEDS",
        (
            "1: seed: CANON.CONST.BOOTSTRAP_SEEDS is not in the registry; did you mean "
            "CANON.CONST.BOOTSTRAP_SEED?; `avalattice canon` prints it"
        ),
    ),
    "unknown reference in a list": (
        "- 0.9",
        "- CANON.CONST.GAIN_BASE",
        (
            "15: gain.grid[0]: CANON.CONST.GAIN_BASE is not in the registry; did you mean "
            "CANON.CONST.GAIN_BASELINE?; `avalattice canon` prints it"
        ),
    ),
    "reference to a section": (
        "seed: 7",
        "seed: CANON.CONST",
        "1: seed: CANON.CONST names a whole section",
    ),
    "reference to a value of another type": (
        "seed: 7",
        "seed: CANON.CONST.EPS",
        "1: seed: Input should be a valid integer (found 1e-06)",
    ),
    "YAML that does not parse": (
        "grid:",
        "grid: [",
        "15: not valid YAML: expected the node content, but found '-'",
    ),
    "two documents": (
        "compute:",
        "---\ncompute:",
        "17: not valid YAML: but found another document",
    ),
    "tab for indentation": (
        "    source: folder",
        "\tsource: folder",
        "4: not valid YAML: found character '\\t' that cannot start any token",
    ),
    "control character": (
        "source: folder",
        "source: fol\x07der",
        "4: not valid YAML: special characters are not allowed",
    ),
    "unknown tag": (
        "seed: 7",
        "seed: !!python/name:os.system",
        (
            "1: seed: not a value: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'"
        ),
    ),
    "tag that does not fit": (
        "seed: 7",
        "seed: !!int seven",
        "1: seed: not a value: invalid literal for int() with base 10: 'seven'",
    ),
    "a list": (GOOD, "- seed\n", "1: a configuration is a mapping of sections"),
    "a text": (GOOD, "seed", "1: a configuration is a mapping of sections"),
}
"""A part of GOOD, what stands in its place, and the message after the file's name."""


def refused(text: str) -> str:
    """The message with which a configuration is refused."""
    with pytest.raises(ConfigError) as error:
        loads(text, source="c.yaml")
    return str(error.value)


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_configurations_are_refused(fault):
    """The message names file and line, dotted key, what is allowed, and the nearest name."""
    old, new, message = WRONG[fault]
    assert GOOD.count(old) == 1
    assert refused(GOOD.replace(old, new)) == f"c.yaml:{message}"


def test_the_good_configuration_is_good():
    """Control: what the wrong configurations are made from is accepted, in every part."""
    config = loads(GOOD)
    assert config.seed == 7
    assert config.data.A.n_windows_rasters == 5
    assert config.events.spike_defs == [SpikeDefId.SPIKE_ONE_SIDED_POS]
    assert [(t.label, t.value) for t in config.events.targets] == [("1e-5", 1e-5), ("2e-5", 2e-5)]
    assert config.gain.grid == [Decimal("0.9"), Decimal("1.0")]


def test_every_fault_is_told_at_once():
    """Several faults give several lines, in the order of the sections."""
    text = GOOD.replace("seed: 7", "seed: -1").replace("batch_size: 2", "batch_size: 0")
    lines = refused(text).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["c.yaml:1", "seed"],
        ["c.yaml:18", "compute.batch_size"],
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_configuration_lacks_its_sections(text):
    """Without any content, the required sections are named."""
    assert refused(text).splitlines() == [
        "c.yaml: required key model is missing",
        "c.yaml: required key data is missing",
    ]


def test_an_alias_within_itself_is_refused():
    """A document that holds itself is refused, not followed for ever."""
    assert refused(GOOD + "x: &a [*a]\n").startswith("c.yaml: nested too deeply")


def test_aliases_of_aliases_are_not_expanded_without_end():
    """Nine lines that would stand for a billion values are refused at once."""
    lines = ["x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than 100,000 values" in refused("\n".join(lines))


# ----------------------------------------------------------------------------------- from files


def test_files_that_cannot_be_read_are_refused(tmp_path):
    """A missing file, a folder and a file that is not UTF-8 are refused by name."""
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("seed: 7 # été".encode("latin-1"))
    for path, reason in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "Is a directory"),
        (latin, "can't decode byte"),
    ):
        with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}: cannot read.*{reason}"):
            load(path)


def test_messages_name_the_file(tmp_path):
    """A fault in a file is told with its path, as it was given."""
    (tmp_path / "c.yaml").write_text(GOOD.replace("seed: 7", "seed: x"))
    with pytest.raises(ConfigError, match=f"^{re.escape(str(tmp_path))}/c.yaml:1: seed: "):
        load(tmp_path / "c.yaml")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configurations_load(path):
    """Every configuration of the repository is valid, and its resolved form is itself again."""
    config = load(path)
    assert config.model_source(ModelRole.INSTRUCT).source
    assert loads(dumps(config)) == config


def test_configurations_are_shipped():
    """Control: the folder of configurations is not empty."""
    assert {"demo", "pipeline"} <= {path.stem for path in CONFIGS.glob("*.yaml")}


# -------------------------------------------------------------------------------------- numbers

VALUES = {
    "1e-5": 1e-5,
    "1E-5": 1e-5,
    "12e03": 12000.0,
    "1.": 1.0,
    ".5": 0.5,
    "+.5": 0.5,
    "-0.25": -0.25,
    "1.5e+3": 1500.0,
    "12": 12,
    "+12": 12,
    "-3": -3,
    "010": 10,
    "08": 8,
    "true": True,
    "False": False,
    "~": None,
    "null": None,
    "": None,
    **{
        text: text
        for text in (
            *("no", "No", "off", "on", "yes", "y", "n", "Off"),  # booleans of YAML 1.1
            *("1_000", "1_000.5", "0x10", "0o10", "0b1", "1:30", "190:20:30"),  # its numbers
            *(".inf", "-.inf", ".nan", ".NaN", "inf", "nan"),
            *("1e", "e5", ".", "1.2.3", "1,5", "--1", "1e5.5"),
            *("2026-01-01", "2026-01-01 10:00:00", "="),
        )
    },
}


@pytest.mark.parametrize("text", VALUES)
def test_scalars_are_those_of_yaml_1_2(text):
    """``1e-5`` is a number; ``no``, ``1_000`` and ``1:30`` are text; ``010`` is ten."""
    value = yamlfile.parse(f"key: {text}", "c.yaml").values["key"]
    assert value == VALUES[text]
    kind = type(VALUES[text])
    assert type(value) is (NumberText if kind is float else kind)


def test_the_traps_are_traps():
    """Control: the YAML 1.1 reader takes several of these for something else."""
    read = {text: yaml.safe_load(text) for text in ("1e-5", "no", "1_000", "010", "1:30")}
    assert read == {"1e-5": "1e-5", "no": False, "1_000": 1000, "010": 8, "1:30": 90}


@given(text=st.from_regex(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]{1,2}", fullmatch=True))
def test_numbers_with_exponents_are_floats(text):
    """Whatever has an exponent is the float that Python reads, and keeps its text."""
    value = yamlfile.parse(f"key: {text}", "c.yaml").values["key"]
    assert isinstance(value, NumberText)
    assert value == float(text)
    assert value.text == text == repr(value)


@pytest.mark.parametrize("text", ["1e-5", "0.00001", "1E-05", "1.0e-5", "+1e-5"])
def test_targets_keep_their_text(text):
    """A target's label is the text that was written, and survives the resolved configuration."""
    config = loads(GOOD.replace("[1e-5, 2e-5]", f"[{text}]"))
    (target,) = loads(dumps(config)).events.targets
    assert (target.label, target.value) == (text, 1e-5)


def test_targets_from_the_registry_have_short_labels():
    """Targets that were never written get the shortest text of their value."""
    expected = ["1e-5", "2e-5", "4e-5", "8e-5"]
    for events in ("", "events: {target_rates: CANON.CONST.TARGET_LAYER_RATES}\n"):
        text = GOOD[: GOOD.index("events:")] + events
        assert [target.label for target in loads(text).events.targets] == expected


def test_references_resolve():
    """References stand for the registry's values, alone, in lists, and as whole lists."""
    text = GOOD.replace("seed: 7", "seed: CANON.CONST.BOOTSTRAP_SEED")
    text = text.replace("- 1.0", "- CANON.CONST.GAIN_BASELINE")
    text = text.replace("[SPIKE_ONE", "[CANON.ENUM.SPIKE_DEF_ID.SPIKE_TWO_SIDED_ABS, SPIKE_ONE")
    config = loads(text)
    assert config.seed == CONST.BOOTSTRAP_SEED
    assert config.gain.grid == [Decimal("0.9"), CONST.GAIN_BASELINE]
    assert config.events.spike_defs[0] is SpikeDefId.SPIKE_TWO_SIDED_ABS
    grid = GOOD[GOOD.index("  grid:") : GOOD.index("compute:")]
    whole = loads(GOOD.replace(grid, "  grid: CANON.CONST.GAIN_GRID_DEFAULT\n"))
    assert whole.gain.grid == list(CONST.GAIN_GRID_DEFAULT)
    assert "CANON." not in dumps(config) + dumps(whole)


def test_the_grid_is_sorted():
    """The order in which gains are written is no part of the configuration."""
    written = GOOD.replace("    - 0.9\n    - 1.0\n", "    - 1.0\n    - 0.90\n")
    assert loads(written) == loads(GOOD)
    assert dumps(loads(written)) == dumps(loads(GOOD))


# --------------------------------------------------------------------------- written and read back

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda text: not text.startswith("CANON.")
)
counts = st.integers(1, 10**9)
sources = st.fixed_dictionaries(
    {"source": texts},
    optional={
        "parts": st.lists(texts, max_size=2),
        "sha256": st.text("0123456789abcdef", min_size=64, max_size=64),
    },
).filter(lambda source: "sha256" in source or not source.get("parts"))
numbers = st.floats(0, 1, exclude_min=True, exclude_max=True) | st.sampled_from(
    [NumberText(text) for text in ("8e-5", "0.00008", "5E-1", "+.5", "1.50e-2")]
)
targets = st.lists(numbers, min_size=1, max_size=4, unique=True)
gains = st.decimals(0, 10, allow_nan=False, allow_infinity=False)
configurations = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries(
            {"INSTRUCT": sources},
            optional={
                "BASE": sources,
                "random_init": st.booleans(),
                "attention": st.sampled_from(["sdpa", "eager"]),
            },
        ),
        "data": st.fixed_dictionaries(
            {
                "A": st.fixed_dictionaries(
                    {"source": texts},
                    optional={"text_field": texts, "n_windows_calibration": counts},
                )
            },
            optional={"warmup_tokens": st.integers(0, 99), "pool_factor": counts},
        ),
        "gain": st.lists(gains, max_size=5, unique=True).map(
            lambda grid: {"grid": [*(g for g in grid if g != 1), Decimal("1.0")]}
        ),
    },
    optional={
        "seed": st.integers(0, 2**70),
        "events": st.fixed_dictionaries(
            {},
            optional={
                "tau0": st.floats(0, 1e300, exclude_min=True),
                "spike_defs": st.lists(st.sampled_from(list(SpikeDefId)), min_size=1, unique=True),
            },
        ).flatmap(
            lambda section: st.sampled_from([{}, "target_rates", "target_events_per_site"]).flatmap(
                lambda kind: targets.map(lambda t: {**section, kind: t} if kind else section)
            )
        ),
        "compute": st.fixed_dictionaries({}, optional={"batch_size": counts}),
        "execution": st.fixed_dictionaries({"runs_dir": texts}),
    },
)


@given(values=configurations)
def test_a_resolved_configuration_reads_back(values):
    """Written as YAML and read again, a configuration is equal, and is written the same again."""
    config = Config.model_validate(values)
    text = dumps(config)
    assert loads(text) == config
    assert dumps(loads(text)) == text


def test_every_character_survives():
    """Controls, line separators, quotes and characters beyond 16 bits read back as they were."""
    everything = "".join(map(chr, range(0x3000))) + "\ufeff\ufffd\uffff\U0001f600\U0010ffff"
    config = loads(GOOD, overrides={"execution.runs_dir": everything})
    assert loads(dumps(config)).execution.runs_dir == everything


@given(values=configurations)
def test_a_resolved_configuration_is_ordinary_yaml(values):
    """Other YAML readers see the same keys; numbers with a point are numbers to them too."""
    config = Config.model_validate(values)
    read = yaml.safe_load(dumps(config))
    assert read["data"]["A"]["source"] == config.data.A.source
    assert [Decimal(str(g)) for g in read["gain"]["grid"]] == [
        Decimal(str(float(g))) for g in config.gain.grid
    ]


# ------------------------------------------------------------------------- overrides and scope


def test_overrides_replace_what_is_written():
    """An override takes the place of the file's value, or of the default; None leaves it."""
    config = loads(
        GOOD,
        overrides={
            "seed": 8,
            "compute.batch_size": 16,
            "compute.device": "cpu",
            "execution.runs_dir": "elsewhere",
            "data.A.text_field": "content",
            "compute.dtype": None,
            "gain.grid": None,
        },
    )
    assert (config.seed, config.compute.batch_size, config.compute.device) == (8, 16, "cpu")
    assert (config.execution.runs_dir, config.data.A.text_field) == ("elsewhere", "content")
    assert (config.compute.dtype, len(config.gain.grid)) == ("auto", 2)
    assert config.data.A.source == "file:text.txt"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"compute.batch_size": 0}, "c.yaml:18: compute.batch_size: Input should be greater"),
        ({"execution.block_windows": 0}, "c.yaml:1: execution.block_windows: Input should be"),
        ({"compute.devices": "cpu"}, "c.yaml:17: unknown key compute.devices; did you mean device"),
    ],
)
def test_overrides_are_checked(overrides, message):
    """An override is held to the same rules as the file."""
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        loads(GOOD, source="c.yaml", overrides=overrides)


BOTH = GOOD.replace("model:\n", "model:\n  BASE: {source: base-folder}\n")
READ = ("seed", "model", "data.A", "events", "gain")


def scope(**changes):
    """What a stage that reads seed, model, data, events and gain knows of a configuration."""
    overrides = {name.replace("__", "."): value for name, value in changes.items()}
    return loads(BOTH, overrides=overrides).scope(READ, ModelRole.INSTRUCT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model__BASE__source", "another"),
        ("model__BASE__sha256", "0" * 64),
        ("execution__runs_dir", "elsewhere"),
        ("execution__block_windows", 1),
        ("compute__batch_size", 1),
        ("compute__device", "cpu"),
        ("compute__dtype", "bf16"),
        ("bootstrap__reps", 100),
        ("branching__denominator", "all_sites"),
    ],
)
def test_scope_leaves_out_what_a_stage_does_not_read(name, value):
    """The other role, where and how to run, and sections that are not named change nothing."""
    assert loads(BOTH, overrides={name.replace("__", "."): value}) != loads(BOTH)
    assert scope(**{name: value}) == scope()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 8),
        ("model__INSTRUCT__source", "another"),
        ("model__INSTRUCT__sha256", "0" * 64),
        ("model__random_init", True),
        ("model__attention", "sdpa"),
        ("model__trust_remote_code", True),
        ("data__seq_len_tokens", 8),
        ("data__warmup_tokens", 1),
        ("data__pool_factor", 3),
        ("data__A__source", "pkg:pydoc_data.topics"),
        ("data__A__text_field", "body"),
        ("data__A__n_windows_calibration", 1),
        ("data__A__n_windows_rasters", 1),
        ("events__spike_defs", list(SpikeDefId)),
        ("events__tau0", 3),
        ("events__rate_profile", "uniform"),
        ("events__target_rates", [1e-5]),
        ("gain__grid", [Decimal("1.0")]),
    ],
)
def test_scope_holds_what_a_stage_reads(name, value):
    """A change of anything in a section that is named changes the scope."""
    assert scope(**{name: value}) != scope()


def test_scope_tells_rates_from_events_per_site():
    """The same numbers in another unit are another scope."""
    text = BOTH.replace("target_rates", "target_events_per_site")
    assert loads(text).scope(READ, ModelRole.INSTRUCT) != scope()


def test_scope_of_the_other_role():
    """Each role's scope holds its own model and not the other's."""
    config = loads(BOTH)
    for role, other in ((ModelRole.INSTRUCT, "BASE"), (ModelRole.BASE, "INSTRUCT")):
        model = config.scope(["model"], role)["model"]
        assert str(role) in model
        assert other not in model


def test_scope_does_not_depend_on_spelling():
    """Equal gains written differently, and defaults written out, are one scope."""
    spelled = BOTH.replace("- 0.9", "- 0.900").replace("seed: 7", "seed: 07")
    spelled = spelled.replace("  A:", f"  seq_len_tokens: {CONST.SEQ_LEN_TOKENS}\n  A:")
    assert loads(spelled).scope(READ, ModelRole.INSTRUCT) == scope()


@given(values=configurations)
def test_scope_is_json(values):
    """A scope is finite JSON, and that of the resolved configuration is the same."""
    config = Config.model_validate(values)
    scope = config.scope(("seed", "model", "data.A", "events", "gain", "bootstrap"), ModelRole.BASE)
    assert json.loads(json.dumps(scope, allow_nan=False)) == scope
    assert loads(dumps(config)).scope(scope, ModelRole.BASE) == scope


def test_a_role_without_a_model_is_refused():
    """Asking for a role that is not configured says what to add."""
    with pytest.raises(ConfigError, match=r"^model\.BASE is not configured: add it"):
        loads(GOOD).model_source(ModelRole.BASE)
    assert loads(BOTH).model_source(ModelRole.BASE).source == "base-folder"


def test_configurations_cannot_be_changed():
    """A configuration is fixed once it is read."""
    with pytest.raises(ValueError, match="frozen"):
        loads(GOOD).seed = 3
