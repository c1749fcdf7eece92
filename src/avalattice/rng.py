"""Named random streams.

A stream is a :class:`numpy.random.Generator` seeded from the sha256 of a name: (seed, stage,
condition, null_id, seq_id, …). Streams of different names are independent, and a stream does not
depend on scheduling, on the order of conditions, or on the number of workers.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TypeAlias

import numpy as np

NamePart: TypeAlias = str | int | Decimal


def decimal_text(value: Decimal) -> str:
    """A decimal's canonical text, the same for equal values.

    >>> decimal_text(Decimal("1")), decimal_text(Decimal("0.850")), decimal_text(Decimal("1e1"))
    ('1.0', '0.85', '10.0')
    """
    whole, _, fraction = format(value, "f").partition(".")
    text = f"{whole}.{fraction.rstrip('0') or '0'}"
    return text if value else text.removeprefix("-")


def stream(seed: int, *name: NamePart) -> np.random.Generator:
    """The generator that belongs to ``name`` under ``seed``.

    Args:
        seed: the configuration's seed.
        name: text, integers and decimals; equal decimals are equal names.

    >>> stream(1337, "S04", 7).integers(100) == stream(1337, "S04", 7).integers(100)
    np.True_
    """
    parts = [decimal_text(part) if isinstance(part, Decimal) else part for part in name]
    digest = hashlib.sha256(json.dumps([seed, *parts]).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "big")))
