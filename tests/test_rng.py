"""Named random streams: fixed by their name, and by nothing else."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalattice.canon import NullId, StageTag
from avalattice.rng import decimal_text, stream

GOLDEN_NAME = ("S04", "NULL_RASTER_WITHIN_LAYER_TIME_PERM", Decimal("0.85"), 3)
GOLDEN = (4538615874748162547, 5613224354337157331, 16540555886435669679, 10502258679835084995)

part = st.text(max_size=8) | st.integers(0, 2**31)
finite = st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000)


def first(seed, *name):
    """The first four words of a stream."""
    return tuple(stream(seed, *name).bit_generator.random_raw(4).tolist())


def test_a_stream_is_pinned():
    """The stream of one name is this one, on every machine and in every version."""
    assert first(1337, *GOLDEN_NAME) == GOLDEN


def test_a_stream_is_the_same_in_another_process():
    """No hash of this process enters a stream."""
    code = (
        "from decimal import Decimal; from avalattice.rng import stream; "
        f"print(tuple(stream(1337, *{GOLDEN_NAME!r}).bit_generator.random_raw(4).tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(GOLDEN)


def test_names_of_the_registry_are_their_texts():
    """A member of the registry and its text name the same stream."""
    assert first(
        1337, StageTag.S04, NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM, *GOLDEN_NAME[2:]
    ) == (GOLDEN)


@given(seed=st.integers(0, 2**64), name=st.lists(part, max_size=4))
def test_a_stream_depends_on_its_name_alone(seed, name):
    """Streams do not depend on which others were drawn from before."""
    alone = first(seed, *name)
    stream(seed, *name, 1).random(100)
    np.random.default_rng().random(3)
    assert first(seed, *name) == alone


@given(
    names=st.lists(st.tuples(st.integers(0, 9), part, part), min_size=2, max_size=6, unique=True)
)
def test_streams_of_other_names_differ(names):
    """Streams of different seeds or names begin differently."""
    assert len({first(*name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("ab",)),
        (("a", "b"), ("b", "a")),
        (("a",), ("a", "")),
        ((1, 23), (12, 3)),
        ((1,), ("1",)),
        (('a", "b',), ("a", "b")),
        ((), ("",)),
    ],
)
def test_the_parts_of_a_name_stay_apart(one, other):
    """Names are sequences of parts: order, number, borders and type count."""
    assert first(7, *one) != first(7, *other)


def test_neighbouring_streams_are_uncorrelated():
    """Streams of successive windows are uncorrelated; control: a stream with itself is not."""
    drawn = np.array([stream(1337, "S04", window).standard_normal(4000) for window in range(12)])
    correlation = np.corrcoef(drawn)
    beside = correlation[~np.eye(12, dtype=bool)]
    assert np.abs(beside).max() < 5 / np.sqrt(4000)
    assert np.allclose(np.diag(correlation), 1)


@given(finite, st.integers(0, 6))
def test_equal_decimals_have_equal_texts(value, zeros):
    """Trailing zeros and exponents are no part of a decimal's text."""
    sign, digits, exponent = value.as_tuple()
    longer = Decimal((sign, (*digits, *[0] * zeros), exponent - zeros))
    assert longer == value
    assert decimal_text(longer) == decimal_text(value)


@given(finite)
def test_a_decimal_is_its_text(value):
    """The text is a plain decimal number of the same value, whatever its number of digits."""
    text = decimal_text(value)
    assert Decimal(text) == value
    assert "." in text
    assert "E" not in text


def test_zero_has_no_sign():
    """All zeros are equal, so they have one text."""
    assert {decimal_text(Decimal(text)) for text in ("0", "-0", "-0.00", "0e5", "-0e-5")} == {"0.0"}
    assert decimal_text(Decimal("-1")) == "-1.0"


def test_gains_written_differently_share_a_stream():
    """1, 1.0 and 1e0 are one gain; 1.1 is another."""
    streams = [first(1337, "gain", Decimal(text)) for text in ("1", "1.0", "1e0", "1.1")]
    assert streams[0] == streams[1] == streams[2] != streams[3]
