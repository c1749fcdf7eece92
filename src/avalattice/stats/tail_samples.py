"""Integer samples as unique values and counts, with what every tail of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from avalattice.arrays import Floats, Ints
from avalattice.errors import ArrayError, InputError

Integers: TypeAlias = npt.NDArray[Any]
"""Integers of shape [n], checked where they come in, so that the error can name the array."""


@dataclass(frozen=True)
class Sample:
    """Unique values in rising order, with what every tail of them needs."""

    x: Floats
    counts: Ints
    n_from: Floats
    """Samples from each unique value on, and a zero; length m + 1."""
    mean_log: Floats
    """Mean log of the samples from each unique value on; length m."""

    @classmethod
    def of(cls, x: Ints, counts: Ints) -> Sample:
        """Of unique values in rising order, and how often each occurs."""
        values = x.astype(np.float64)
        n_from = np.append(np.cumsum(counts[::-1])[::-1], 0).astype(np.float64)
        log_from = np.cumsum((counts * np.log(values))[::-1])[::-1]
        return cls(values, counts, n_from, log_from / n_from[:-1])

    def tail(self, first: int) -> Sample:
        """The samples from the unique value of index ``first`` on."""
        return Sample(
            self.x[first:], self.counts[first:], self.n_from[first:], self.mean_log[first:]
        )


def check_support(xmin: int, xmax: int | None) -> None:
    """Refuse an empty support.

    Raises:
        InputError: naming the support.
    """
    if xmin < 1 or (xmax is not None and xmax < xmin):
        raise InputError(f"support [{xmin}, {xmax}]: needs 1 ≤ xmin ≤ xmax")


def check_integers(name: str, array: Integers, smallest: int) -> None:
    """Refuse anything but integers of shape [n], none under ``smallest``.

    Raises:
        ArrayError: naming the array, the expected and the found.
    """
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ArrayError(
            f"{name} must be integers of shape [n], found {array.dtype} of shape {array.shape}"
        )
    if array.size and array.min() < smallest:
        raise ArrayError(f"{name} must be at least {smallest}, found {array.min()}")


def unique_sample(
    values: npt.NDArray[Any], counts: npt.NDArray[Any] | None, xmax: int | None
) -> Sample:
    """The values as unique values and counts.

    Raises:
        ArrayError: values or counts are not integers of one length, or out of range.
    """
    check_integers("values", values, 1)
    if values.size and xmax is not None and values.max() > xmax:
        raise ArrayError(f"values must not exceed xmax = {xmax}, found {values.max()}")
    if counts is None:
        unique, n = np.unique(values.astype(np.int64), return_counts=True)
        return Sample.of(unique, n)
    check_integers("counts", counts, 0)
    if counts.shape != values.shape:
        raise ArrayError(
            f"counts must have the shape of values, {values.shape}, found {counts.shape}"
        )
    unique, group = np.unique(values.astype(np.int64), return_inverse=True)
    n = np.zeros(len(unique), dtype=np.int64)
    np.add.at(n, group, counts.astype(np.int64))
    return Sample.of(unique[n > 0], n[n > 0])


def tail_from(sample: Sample, xmin: int, xmax: int | None) -> Sample:
    """The samples from xmin on.

    Raises:
        InputError: the support is empty.
    """
    check_support(xmin, xmax)
    return sample.tail(int(np.searchsorted(sample.x, xmin)))
