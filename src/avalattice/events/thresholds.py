"""Rate matching: the threshold at which a layer fires exactly k times, exactly and in one pass.

    tau_l    = the (k+1)-th largest v of layer l
    A[n,l,t] = #{i : v[n,t,l,i] > tau_l}

with k from :mod:`avalattice.events.targets`.
Strict comparison then gives exactly k events, unless values tie at tau: ties = k − achieved.

:class:`ThresholdFitter` keeps, for each spike definition and layer, the k_max + 1 largest values
with their positions, for the largest configured rate; from those follow tau, the achieved counts
and the count rasters of *every* rate. The (k_max+1)-th largest value so far only ever rises, so
what is not above it is dropped at once (:meth:`ThresholdFitter.floors`). Merging two fitters merges
two lists, so the result depends neither on the order of batches nor on how they were divided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt16

from avalattice.arrays import ArraySpec
from avalattice.canon import SpikeDefId
from avalattice.errors import ArrayError, DataError
from avalattice.events.calibration import LayerScale
from avalattice.events.candidates import Candidates, find_candidates, spike_value
from avalattice.events.targets import RateTargets

_SAMPLE_VALUES = 1 << 15
_FIRST_MARGIN, _NEXT_MARGIN = 1.3, 4.0
COUNT_MAX = int(np.iinfo(np.uint16).max)

Floors = Mapping[SpikeDefId, float]


@dataclass(frozen=True)
class RankedEvents:
    """Values of one spike definition and layer, with where they are."""

    value: Float32[np.ndarray, " K"]
    """v."""
    position: Int64[np.ndarray, " K"]
    """window · T + token, within the slice."""

    def largest(self, capacity: int) -> RankedEvents:
        """The ``capacity`` largest, in no order."""
        if len(self.value) <= capacity:
            return self
        keep = np.argpartition(self.value, len(self.value) - capacity)[-capacity:]
        return RankedEvents(self.value[keep], self.position[keep])

    def merge(self, other: RankedEvents) -> RankedEvents:
        """Both together."""
        return RankedEvents(
            np.concatenate([self.value, other.value]),
            np.concatenate([self.position, other.position]),
        )

    def ordered(self) -> RankedEvents:
        """From the largest value down; equal values by position."""
        order = np.lexsort((self.position, -self.value))
        return RankedEvents(self.value[order], self.position[order])


_NOTHING = RankedEvents(np.empty(0, np.float32), np.empty(0, np.int64))


@dataclass(frozen=True)
class Thresholds:
    """Fitted thresholds of one gain, with what they give on the windows they were fitted on."""

    tau: Float32[np.ndarray, "D R L"]
    """Threshold on v."""
    achieved: Int64[np.ndarray, "D R L"]
    """Events strictly above tau."""
    ties: Int64[np.ndarray, "D R L"]
    """k − achieved: values equal to tau that strict comparison leaves out."""
    counts: UInt16[np.ndarray, "D R N L T"]
    """A, events per lattice site."""


class ThresholdFitter:
    """Streams candidates and keeps the largest values of every spike definition and layer."""

    def __init__(self, targets: RateTargets) -> None:
        self._targets = targets
        n_layers = len(targets.m)
        self._kept = [[_NOTHING] * n_layers for _ in targets.spike_defs]
        self._floor = np.full((len(targets.spike_defs), n_layers), -np.inf)

    def floors(self, layer: int) -> dict[SpikeDefId, float]:
        """What a value must exceed to matter in this layer; it only ever rises."""
        return {
            definition: float(self._floor[d, layer])
            for d, definition in enumerate(self._targets.spike_defs)
        }

    def select(self, layer: int, u: torch.Tensor, scale: LayerScale) -> Candidates:
        """What matters of one layer and batch, u [tokens, F]."""
        capacity = {
            definition: int(self._targets.capacity[d, layer])
            for d, definition in enumerate(self._targets.spike_defs)
        }
        return find_ranked(u, scale, self.floors(layer), capacity)

    def update(self, batch: Sequence[Candidates], first_position: int) -> None:
        """Add the candidates of every layer of one batch.

        Args:
            batch: candidates by layer.
            first_position: slice position of the batch's first token.
        """
        for layer, found in enumerate(batch):
            for d, definition in enumerate(self._targets.spike_defs):
                value = spike_value(definition, found.z)
                matters = value > self._floor[d, layer]
                events = RankedEvents(value[matters], found.position[matters] + first_position)
                self._add(d, layer, events)

    def merge(self, other: ThresholdFitter) -> None:
        """Add everything that another fitter of the same targets has kept."""
        for d, layers in enumerate(other._kept):
            for layer, events in enumerate(layers):
                self._add(d, layer, events)

    def _add(self, d: int, layer: int, events: RankedEvents) -> None:
        capacity = int(self._targets.capacity[d, layer])
        kept = self._kept[d][layer].merge(events).largest(capacity)
        self._kept[d][layer] = kept
        if len(kept.value) == capacity:
            self._floor[d, layer] = kept.value.min()

    def result(self, n_windows: int, n_tokens: int) -> Thresholds:
        """Thresholds, achieved counts and rasters of everything added so far.

        Args:
            n_windows: N of the slice.
            n_tokens: T.

        Raises:
            DataError: a layer has too few units that are not silent for its target.
        """
        k = self._targets.k
        n_layers = k.shape[2]
        tau = np.empty(k.shape, np.float32)
        achieved = np.empty(k.shape, np.int64)
        counts = np.empty((*k.shape[:2], n_windows, n_layers, n_tokens), np.uint16)
        for d, layer in np.ndindex(k.shape[0], n_layers):
            events = self._kept[d][layer].ordered()
            if len(events.value) < self._targets.capacity[d, layer]:
                raise DataError(
                    f"layer {layer} has {len(events.value)} values of units that are not silent, "
                    f"but a target asks for {k[d, :, layer].max()} events: lower the targets"
                )
            for r in range(k.shape[1]):
                threshold = events.value[k[d, r, layer]]
                above = int(np.searchsorted(-events.value, -threshold, side="left"))
                tau[d, r, layer], achieved[d, r, layer] = threshold, above
                counts[d, r, :, layer] = count_sites(events.position[:above], n_windows, n_tokens)
        return Thresholds(tau, achieved, k - achieved, counts)

    # the partial result of a block of windows, as arrays for the run's cache
    SPEC = {  # noqa: RUF012 - a constant
        "value": ArraySpec("float32", "K"),
        "position": ArraySpec("int64", "K"),
        "length": ArraySpec("int64", "D L"),
    }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What is kept, as arrays of the form :attr:`SPEC`."""
        rows = [events.ordered() for layers in self._kept for events in layers]
        length = np.array([len(events.value) for events in rows], dtype=np.int64)
        return {
            "value": np.concatenate([events.value for events in rows]),
            "position": np.concatenate([events.position for events in rows]),
            "length": length.reshape(len(self._kept), -1),
        }

    def add_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add what another fitter kept and :meth:`to_arrays` gave."""
        length = arrays["length"]
        if length.shape != self._floor.shape:
            raise ArrayError(f"partial result has {length.shape} lists, not {self._floor.shape}")
        stops = np.cumsum(length).reshape(length.shape)
        for d, layer in np.ndindex(length.shape):
            part = slice(int(stops[d, layer] - length[d, layer]), int(stops[d, layer]))
            self._add(d, layer, RankedEvents(arrays["value"][part], arrays["position"][part]))


def count_sites(
    positions: Int64[np.ndarray, " K"], n_windows: int, n_tokens: int
) -> UInt16[np.ndarray, "N T"]:
    """Events per (window, token).

    Raises:
        ArrayError: a site has more events than uint16 holds.
    """
    counts = np.bincount(positions, minlength=n_windows * n_tokens)
    if counts.max(initial=0) > COUNT_MAX:
        raise ArrayError(f"a lattice site has {counts.max()} events, more than {COUNT_MAX}")
    return counts.astype(np.uint16).reshape(n_windows, n_tokens)


def find_ranked(
    u: torch.Tensor, scale: LayerScale, floors: Floors, capacity: Mapping[SpikeDefId, int]
) -> Candidates:
    """Candidates of a batch that include its ``capacity`` largest values above the floors.

    While no floor is known, one is guessed from a sample of the batch and lowered until the batch
    holds ``capacity`` values above it; so nothing that can matter is missed.

    Args:
        u: activations [tokens, F].
        scale: the layer's standardisation.
        floors: known floors; -inf where none is.
        capacity: values to keep of each spike definition.
    """
    if all(floor > -np.inf for floor in floors.values()):
        return find_candidates(u, scale, floors)
    margin, sample = _FIRST_MARGIN, _sample(u, scale)
    while True:
        share = {definition: margin * size / u.numel() for definition, size in capacity.items()}
        guessed = {
            definition: floor
            if floor > -np.inf
            else _quantile_above(spike_value(definition, sample), share[definition])
            for definition, floor in floors.items()
        }
        found = find_candidates(u, scale, guessed)
        enough = (
            guessed[d] == floors[d] or int((spike_value(d, found.z) > guessed[d]).sum()) >= size
            for d, size in capacity.items()
        )
        if all(enough):
            return found
        margin *= _NEXT_MARGIN


def _sample(u: torch.Tensor, scale: LayerScale) -> Float32[np.ndarray, " K"]:
    """Standardised values at equal steps through a batch, NaN for silent units."""
    step = max(1, u.numel() // _SAMPLE_VALUES)
    while math.gcd(step, u.shape[1]) > 1:  # coprime to F: it meets every unit
        step += 1
    flat = torch.arange(0, u.numel(), step, device=u.device)
    return scale.z(u.flatten()[::step], flat % u.shape[1]).cpu().numpy()


def _quantile_above(values: Float32[np.ndarray, " K"], share: float) -> float:
    """The value that ``share`` of the sample exceeds; -inf if that is most of what is no NaN."""
    rank = int(np.ceil(share * len(values)))
    heard = values[~np.isnan(values)]
    if 2 * rank >= len(heard):
        return -np.inf
    return float(np.partition(heard, len(heard) - rank)[len(heard) - rank])
