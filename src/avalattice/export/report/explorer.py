"""Rasters packed for the browser: counts of a few windows, small enough to stand in a page.

Counts are coded one by one (Rice 1979, doi:10.1109/TCOM.1979.1094382): with parameter k, a count a
is a >> k ones, a zero, and the k lower bits of a, highest first; bits fill bytes from the highest.
Each window has the k of fewest bits. At rates of about one event a site that is two bits a site,
less than general compression needs, and a decoder takes ten lines in any language. Avalanches are
not packed: the page finds them itself, as :func:`avalattice.lattice.avalanches.labels` numbers
them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Integer, UInt16

from avalattice.errors import ArrayError
from avalattice.export.report.wording import ADJACENCY_WORDS, NULL_WORDS, SPIKE_WORDS

MAX_WINDOWS: Final = 6
"""Windows of a condition that a report shows."""
_COUNT_BITS: Final = 16


@dataclass(frozen=True)
class PackedWindow:
    """Counts [L, T] of one window, coded."""

    k: int
    data: str
    """Base64."""


@dataclass(frozen=True)
class PackedRaster:
    """The windows of one condition under one null."""

    null_id: str
    windows: tuple[PackedWindow, ...]


@dataclass(frozen=True)
class ExplorerCondition:
    """One condition, as it was measured and under its nulls."""

    spike_def_id: str
    target_label: str
    gain: str
    is_gstar: bool
    rasters: tuple[PackedRaster, ...]


@dataclass(frozen=True)
class ExplorerWindow:
    """One window's place and words."""

    seq_id: int
    window_id: int
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class ExplorerModel:
    """The rasters of one model."""

    model_role: str
    model_id: str
    n_layers: int
    n_tokens: int
    n_windows: int
    """Windows that were measured; the first of them are shown."""
    windows: tuple[ExplorerWindow, ...]
    conditions: tuple[ExplorerCondition, ...]


def pack_window(counts: Integer[np.ndarray, "L T"]) -> PackedWindow:
    """Code the counts of one window.

    Raises:
        ArrayError: a count is negative or does not fit into 16 bits.

    >>> pack_window(np.array([[0, 2, 1, 0]]))
    PackedWindow(k=0, data='aA==')
    """
    values = np.asarray(counts).reshape(-1).astype(np.int64)
    if values.size and not 0 <= values.min() <= values.max() < 1 << _COUNT_BITS:
        raise ArrayError(f"counts must be 0 to 65535, found {values.min()} to {values.max()}")
    bits = [int((values >> k).sum()) + (1 + k) * values.size for k in range(_COUNT_BITS)]
    k = int(np.argmin(bits))
    return PackedWindow(k, base64.b64encode(_rice_code(values, k)).decode())


def _rice_code(values: np.ndarray, k: int) -> bytes:
    ones = values >> k
    ends = np.cumsum(ones + 1 + k)
    bits = np.ones(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    zeros = ends - 1 - k
    bits[zeros] = 0
    for place in range(k):
        bits[zeros + 1 + place] = (values >> (k - 1 - place)) & 1
    return np.packbits(bits).tobytes()


def unpack_window(packed: PackedWindow, n_layers: int, n_tokens: int) -> UInt16[np.ndarray, "L T"]:
    """Counts from their code.

    >>> unpack_window(PackedWindow(0, "aA=="), 1, 4)
    array([[0, 2, 1, 0]], dtype=uint16)
    """
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed.data), dtype=np.uint8))
    zeros = np.flatnonzero(bits == 0)
    counts = np.zeros(n_layers * n_tokens, dtype=np.uint16)
    start = 0
    for place in range(len(counts)):
        zero = int(zeros[np.searchsorted(zeros, start)])
        low = int("".join(map(str, bits[zero + 1 : zero + 1 + packed.k])) or "0", 2)
        counts[place] = ((zero - start) << packed.k) | low
        start = zero + 1 + packed.k
    return counts.reshape(n_layers, n_tokens)


def fit(models: Sequence[ExplorerModel], max_bytes: int) -> tuple[ExplorerModel, ...]:
    """The models with as many windows as there is room for, at least one."""
    most = max((len(model.windows) for model in models), default=0)
    for n in range(most, 0, -1):
        shown = tuple(_first_windows(model, n) for model in models)
        if n == 1 or sum(map(_coded_bytes, shown)) <= max_bytes:
            return shown
    return tuple(models)


def _first_windows(model: ExplorerModel, n: int) -> ExplorerModel:
    conditions = tuple(
        replace(
            condition,
            rasters=tuple(replace(r, windows=r.windows[:n]) for r in condition.rasters),
        )
        for condition in model.conditions
    )
    return replace(model, windows=model.windows[:n], conditions=conditions)


def _coded_bytes(model: ExplorerModel) -> int:
    return sum(
        len(window.data)
        for condition in model.conditions
        for raster in condition.rasters
        for window in raster.windows
    )


def payload(models: Sequence[ExplorerModel]) -> dict[str, Any]:
    """What the page's script reads, as JSON values."""
    return {
        "models": [_model_payload(model) for model in models],
        "nulls": {
            null_id: {"label": words.label, "note": words.note, "hasWords": words.has_words}
            for null_id, words in NULL_WORDS.items()
        },
        "adjacencies": [
            {"id": name, "label": w.label, "diagonal": w.diagonal, "threshold": w.threshold}
            for name, w in ADJACENCY_WORDS.items()
        ],
    }


def _model_payload(model: ExplorerModel) -> Mapping[str, Any]:
    return {
        "role": model.model_role,
        "id": model.model_id,
        "layers": model.n_layers,
        "tokens": model.n_tokens,
        "measured": model.n_windows,
        "windows": [
            {"seq": w.seq_id, "position": w.window_id, "tokens": w.tokens} for w in model.windows
        ],
        "conditions": [
            {
                "events": SPIKE_WORDS.get(c.spike_def_id, c.spike_def_id),
                "target": c.target_label,
                "g": c.gain,
                "isGstar": c.is_gstar,
                "rasters": {
                    raster.null_id: [[w.k, w.data] for w in raster.windows] for raster in c.rasters
                },
            }
            for c in model.conditions
        ],
    }
