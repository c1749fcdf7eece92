"""Counts that a user gives: what a file or an array must look like, and what is made of it.

    A          event counts [N, L, T], or [C, N, L, T] of several conditions
    X          occupancy of the same shape: 1 where A > 0, 0 elsewhere; alone, sizes count sites
    gain       the gain of each condition [C]: then conditions are the points of one curve
    token_ids  [N, T], for the token-id null
    cond_id, seq_id   identifiers of conditions [C] and of windows [N], for the tables

Axes are C condition, N window, L layer, T token. An NPZ file holds these under their names, an NPZ
file with a single array of another name, or an NPY file, holds A. Whole numbers of any type are
taken, floats among them; everything else is refused with the file, the key, what was expected and
what was found. Pickles are never loaded.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64, Integer

from avalattice.arrays import is_npy, member_names, read_members, read_npy
from avalattice.canon import NpzKey
from avalattice.errors import ArrayError, InputError
from avalattice.rng import decimal_text

Gains: TypeAlias = Sequence[Decimal | float | int | str] | np.ndarray

COUNTS, OCCUPANCY = str(NpzKey.A_COUNT), str(NpzKey.X_OCCUPANCY)
GAIN: Final = "gain"
TOKEN_IDS: Final = "token_ids"
CONDITION_IDS, WINDOW_IDS = str(NpzKey.COND_ID), str(NpzKey.SEQ_ID)
KEYS: Final = (COUNTS, OCCUPANCY, GAIN, TOKEN_IDS, CONDITION_IDS, WINDOW_IDS)
"""The arrays of a file that are looked at."""

_MOST_EVENTS: Final = 2**53  # sums up to here are exact in float64
_LARGEST_ID: Final = np.iinfo(np.int32).max
_ALIKE: Final = 0.75  # of a key to a known one, from which on it is taken for a slip


@dataclass(frozen=True)
class GivenCounts:
    """Counts of C conditions, checked, with what was given beside them."""

    name: str
    """What they are called: the file's name."""
    A: Integer[np.ndarray, "C N L T"]
    """Events per site; occupied sites where only those were given."""
    gains: tuple[Decimal, ...] | None
    """The gain of each condition; None where none were given."""
    token_ids: Int64[np.ndarray, "N T"] | None
    """The token at each place; None where none were given."""
    cond_id: Int64[np.ndarray, " C"]
    """Identifiers of the conditions."""
    seq_id: Int64[np.ndarray, " N"]
    """Identifiers of the windows."""
    sites_only: bool
    """Only occupancy was given, so that sizes are numbers of sites."""
    notes: tuple[str, ...] = ()
    """What a reader should know of how the file was read."""

    @classmethod
    def of(
        cls,
        A: npt.ArrayLike | None = None,
        *,
        X: npt.ArrayLike | None = None,
        gains: Gains | None = None,
        token_ids: npt.ArrayLike | None = None,
        cond_id: npt.ArrayLike | None = None,
        seq_id: npt.ArrayLike | None = None,
        name: str = "counts",
        where: str = "",
        notes: Sequence[str] = (),
    ) -> GivenCounts:
        """Check arrays, and bring them into one form.

        Args:
            A: counts [N, L, T] or [C, N, L, T].
            X: occupancy of the same shape; it must agree with ``A`` if both are given.
            gains: the gain of each condition, [C].
            token_ids: [N, T].
            cond_id: identifiers of the conditions, [C]; 0, 1, … by default.
            seq_id: identifiers of the windows, [N]; 0, 1, … by default.
            name: what tables and texts call the counts.
            where: what errors begin with.
            notes: what was noticed before.

        Raises:
            ArrayError: an array has another type, rank or length than it must, or holds values that
                it must not.
            InputError: gains are negative, equal or no numbers.

        >>> GivenCounts.of(np.ones((4, 2, 3))).A.dtype
        dtype('uint16')
        """
        place = f"{where}: " if where else ""
        stack, sites_only = _stack(A, X, place)
        n_conditions, n_windows, _, n_tokens = stack.shape
        tokens = None
        if token_ids is not None:
            tokens = _whole(TOKEN_IDS, token_ids, place).astype(np.int64)
            _check_shape(TOKEN_IDS, tokens, {"N": n_windows, "T": n_tokens}, place)
        return cls(
            name=name,
            A=stack,
            gains=None if gains is None else _gains(gains, n_conditions, place),
            token_ids=tokens,
            cond_id=_identifiers(CONDITION_IDS, cond_id, {"C": n_conditions}, place),
            seq_id=_identifiers(WINDOW_IDS, seq_id, {"N": n_windows}, place),
            sites_only=sites_only,
            notes=(*notes, *_remarks(A if A is not None else X)),
        )

    @property
    def n_windows(self) -> int:
        """N."""
        return int(self.A.shape[1])

    @property
    def n_tokens(self) -> int:
        """T."""
        return int(self.A.shape[3])

    @property
    def event(self) -> str:
        """What a count counts, in one word."""
        return "sites" if self.sites_only else "events"


def read_counts(path: Path) -> GivenCounts:
    """Read counts from an NPZ or NPY file.

    Raises:
        InputError: there is no such file, or gains are negative, equal or no numbers.
        ArrayError: the file is damaged or holds pickles; a key is missing; or an array is not what
            it must be. The message names file, key, expected and found.
    """
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}; give an NPZ or NPY file of event counts [N, L, T]")
    arrays, notes = _arrays(path)
    return GivenCounts.of(
        arrays.get(COUNTS),
        X=arrays.get(OCCUPANCY),
        gains=arrays.get(GAIN),
        token_ids=arrays.get(TOKEN_IDS),
        cond_id=arrays.get(CONDITION_IDS),
        seq_id=arrays.get(WINDOW_IDS),
        name=path.name,
        where=str(path),
        notes=notes,
    )


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of a file under their keys, and what is to be said about others."""
    if is_npy(path):
        return {COUNTS: read_npy(path)}, []
    names = member_names(path)
    if not {COUNTS, OCCUPANCY}.isdisjoint(names):
        unknown = [name for name in names if name not in KEYS]
        _refuse_slips(path, unknown)
        notes = [f"arrays of the file that were not looked at: {', '.join(unknown)}"]
        wanted = [name for name in KEYS if name in names]
        return read_members(path, wanted), notes if unknown else []
    if len(names) == 1 and names[0] not in KEYS:
        counts = read_members(path, names)[names[0]]
        return {COUNTS: counts}, [f"the file's only array, {names[0]}, was taken for {COUNTS}"]
    raise ArrayError(
        f"{path}: missing key '{COUNTS}', event counts [N, L, T] or [C, N, L, T], or "
        f"'{OCCUPANCY}', occupancy; the file holds {names}"
    )


def _refuse_slips(path: Path, unknown: Sequence[str]) -> None:
    """Refuse keys that are nearly known: left aside, they would change the result unseen."""
    for name in unknown:
        meant = difflib.get_close_matches(name.lower(), [key for key in KEYS if len(key) > 1], 1)
        if meant and difflib.SequenceMatcher(None, name.lower(), meant[0]).ratio() >= _ALIKE:
            raise ArrayError(f"{path}: unknown key '{name}'; did you mean '{meant[0]}'?")


# --------------------------------------------------------------------------------- the stack


def _stack(
    A: npt.ArrayLike | None, X: npt.ArrayLike | None, place: str
) -> tuple[Integer[np.ndarray, "C N L T"], bool]:
    """The counts [C, N, L, T] in the smaller of two integer types, and whether they are sites."""
    if A is None and X is None:
        raise ArrayError(f"{place}neither counts ({COUNTS}) nor occupancy ({OCCUPANCY}) were given")
    counts = None if A is None else _counts(COUNTS, A, place)
    occupied = None if X is None else _counts(OCCUPANCY, X, place)
    if occupied is not None and occupied.max() > 1:
        raise ArrayError(
            f"{place}{OCCUPANCY} must be 0 or 1, found {occupied.max()}: counts go under {COUNTS}"
        )
    if counts is not None and occupied is not None:
        _check_agreement(counts, occupied, place)
    given = counts if counts is not None else occupied
    assert given is not None
    total = float(given.sum(dtype=np.float64))
    if total > _MOST_EVENTS:
        raise ArrayError(
            f"{place}{COUNTS}: counts add up to {total:.3g}, but sums are exact up to 2^53 only"
        )
    narrow = given.max() <= np.iinfo(np.uint16).max
    stack = np.ascontiguousarray(given, np.uint16 if narrow else np.int64)
    return stack, counts is None


def _counts(name: str, values: npt.ArrayLike, place: str) -> np.ndarray:
    """Whole numbers of at least zero with axes [C, N, L, T]."""
    array = np.asarray(values)
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ArrayError(
            f"{place}{name} must be counts [N, L, T] or [C, N, L, T], each axis at least 1, found "
            f"{array.dtype} of shape {array.shape}"
        )
    whole = _whole(name, array, place)
    if whole.dtype.kind == "i" and whole.min() < 0:
        raise ArrayError(f"{place}{name} must not be negative, found {_first(whole < 0, whole)}")
    return whole if whole.ndim == 4 else whole[np.newaxis]


def _check_agreement(counts: np.ndarray, occupied: np.ndarray, place: str) -> None:
    if counts.shape != occupied.shape:
        raise ArrayError(
            f"{place}{OCCUPANCY} must have the shape of {COUNTS}, {counts.shape}, found "
            f"{occupied.shape}"
        )
    differ = (counts > 0) != (occupied > 0)
    if differ.any():
        raise ArrayError(
            f"{place}{OCCUPANCY} must be 1 where {COUNTS} > 0 and 0 elsewhere, found "
            f"{_first(differ, occupied)}"
        )


def _whole(name: str, values: npt.ArrayLike, place: str) -> np.ndarray:
    """An array of an integer type with the same values."""
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind != "f":
        raise ArrayError(
            f"{place}{name} must be whole numbers, found {array.dtype} of shape {array.shape}"
        )
    fractional = ~np.isfinite(array) | (array != np.floor(array))
    if fractional.any():
        raise ArrayError(f"{place}{name} must be whole numbers, found {_first(fractional, array)}")
    if array.size and np.abs(array).max() > _MOST_EVENTS:
        raise ArrayError(f"{place}{name} must be below 2^53, found {np.abs(array).max():.3g}")
    return array.astype(np.int64)


def _first(wrong: np.ndarray, array: np.ndarray) -> str:
    """The first wrong value, and where it stands."""
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{array[index]} at {list(index)} ({int(wrong.sum())} such values)"


def _remarks(given: npt.ArrayLike | None) -> list[str]:
    """What is to be said of an array that was accepted."""
    array = np.asarray(given)
    floats = f"counts were given as {array.dtype}, all of them whole numbers"
    return [floats] if array.dtype.kind == "f" else []


# ------------------------------------------------------------------------ what stands beside it


def _check_shape(name: str, array: np.ndarray, axes: dict[str, int], place: str) -> None:
    if array.shape != tuple(axes.values()):
        expected = ", ".join(f"{axis} = {length}" for axis, length in axes.items())
        raise ArrayError(
            f"{place}{name} must be [{', '.join(axes)}] with {expected}, the axes of {COUNTS} "
            f"[C, N, L, T], found shape {array.shape}"
        )


def _identifiers(
    name: str, values: npt.ArrayLike | None, axes: dict[str, int], place: str
) -> Int64[np.ndarray, " n"]:
    (length,) = axes.values()
    if values is None:
        return np.arange(length)
    identifiers = _whole(name, values, place)
    _check_shape(name, identifiers, axes, place)
    if identifiers.min() < 0 or identifiers.max() > _LARGEST_ID:
        raise ArrayError(
            f"{place}{name} must be from 0 to {_LARGEST_ID}, found {identifiers.min()} to "
            f"{identifiers.max()}"
        )
    if len(np.unique(identifiers)) < length:
        raise ArrayError(f"{place}{name} holds an identifier twice")
    return identifiers.astype(np.int64)


def _gains(values: Gains, n_conditions: int, place: str) -> tuple[Decimal, ...]:
    """Gains as decimals: one for each condition, all different."""
    shape = np.shape(np.asarray(values, dtype=object))
    if shape != (n_conditions,):
        raise ArrayError(
            f"{place}{GAIN} must be [C], the gain of each of {n_conditions} conditions, found "
            f"shape {shape}"
        )
    gains = tuple(_decimal(value, place) for value in values)
    written = [float(gain) for gain in gains]  # as tables hold them
    repeated = sorted({gain for gain in gains if written.count(float(gain)) > 1})
    if repeated:
        raise InputError(
            f"{place}{GAIN} holds {decimal_text(repeated[0])} twice: conditions of one curve "
            "differ in their gain"
        )
    return gains


def _decimal(value: object, place: str) -> Decimal:
    """A gain as it would be written: 0.85 whether in single or double precision."""
    gain = Decimal("nan")
    try:
        if isinstance(value, np.floating | float):
            shortest = np.format_float_positional(value, unique=True, trim="-")
            gain = Decimal(shortest)
        elif isinstance(value, Decimal | int | np.integer | str) and not isinstance(value, bool):
            gain = Decimal(str(value))
    except InvalidOperation:
        pass
    if not gain.is_finite() or gain < 0 or not math.isfinite(float(gain)):
        raise InputError(f"{place}{GAIN} must be numbers of at least 0, found {value!r}")
    return Decimal(decimal_text(gain))
