"""F01: one window's raster, its avalanches coloured.

The largest avalanches have colours and numbers, the others are grey. The number stands on the
avalanche, so that the figure can be read without colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float64, Int, Integer

from avalattice.canon import AdjacencyId
from avalattice.export.figures.panels import (
    empty_figure,
    foot,
    panel_grid,
    whole_numbers,
)
from avalattice.export.figures.style import BLACK, DISTINCT, PALE, SMALLEST_TYPE, styled
from avalattice.export.figures.words import (
    ADJACENCY_WORDS,
    SPIKE_WORDS,
    gain_heading,
    plain,
    target_words,
    window_words,
)
from avalattice.export.tables import Provenance
from avalattice.lattice.rasters import NO_ROLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOLD: Final = 16  # tokens between two whose text is told
_LONGEST: Final = 14  # characters of a token's text


@dataclass(frozen=True)
class RasterExample:
    """One window under one condition."""

    counts: Integer[np.ndarray, "L T"]
    """Events at each site."""
    labels: Int[np.ndarray, "L T"]
    """The avalanche of each site, from 1 on; 0 where it is empty."""
    tokens: Sequence[str]
    """Each token's text, T of them; none where it is not to be shown."""
    spike_def_id: str
    """Spike definition."""
    target_label: str
    """Target as written in the configuration."""
    gain: float
    """Gain on the MLP's residual contribution."""
    adjacency_id: str
    """Which sites are neighbours."""
    window_set: str
    """Which windows this one is of."""
    seq_id: int
    """Its index on the raster's N axis."""


@dataclass(frozen=True)
class _Largest:
    """One of the largest avalanches."""

    number: int
    label: int
    size: int
    span_tokens: int
    span_layers: int
    touches_border: bool
    place: tuple[int, int]
    """Layer and token of the site nearest its middle."""


@styled
def draw_raster_example(examples: Sequence[RasterExample], provenance: Provenance) -> Figure:
    """F01: rasters of one window, a panel for each gain, with their avalanches coloured.

    Args:
        examples: the same window at g = 1 and at g*, or at one of them.
        provenance: of the run that draws, for the small print.
    """
    shown = [example for example in examples if example.counts.size]
    if not shown:
        return empty_figure("no raster was given")
    figure, grid = panel_grid(len(shown), 1, 0.75 + 2.05 * len(shown), share_x=True, wide=True)
    for panel, example in zip(grid[:, 0], shown, strict=True):
        largest = _largest(example)
        _raster(panel, example, largest)
        _number(panel, largest)
        _border_legend(panel, example, largest)
    _token_axis(grid[-1, 0], shown[-1].tokens)
    foot(figure, _small_print(shown[0], provenance))
    return figure


def _largest(example: RasterExample) -> list[_Largest]:
    """The largest avalanches by events, the first by label among equals."""
    sizes = np.bincount(example.labels.ravel(), weights=example.counts.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")[: len(DISTINCT)]
    present = (int(label) for label in order if sizes[label] > 0)
    return [_described(number, label, example) for number, label in enumerate(present, start=1)]


def _described(number: int, label: int, example: RasterExample) -> _Largest:
    sites = np.argwhere(example.labels == label)
    low, high = sites.min(axis=0), sites.max(axis=0)
    span_layers, span_tokens = (high - low + 1).tolist()
    middle = np.abs(sites - sites.mean(axis=0)).sum(axis=1).argmin()
    layer, token = sites[middle].tolist()
    edge = np.array(example.labels.shape) - 1
    return _Largest(
        number=number,
        label=label,
        size=int(example.counts[example.labels == label].sum()),
        span_tokens=span_tokens,
        span_layers=span_layers,
        touches_border=bool((low == 0).any() or (high == edge).any()),
        place=(layer, token),
    )


def _image(example: RasterExample, largest: Sequence[_Largest]) -> Float64[np.ndarray, "L T 3"]:
    """White where nothing happened, grey where something did, a colour for the largest."""
    image = np.ones((*example.labels.shape, 3))
    image[example.labels > 0] = PALE
    for avalanche in largest:
        image[example.labels == avalanche.label] = DISTINCT[avalanche.number - 1]
    return image


def _raster(panel: Axes, example: RasterExample, largest: Sequence[_Largest]) -> None:
    panel.imshow(_image(example, largest), origin="lower", aspect="auto", interpolation="nearest")
    panel.set_ylabel("layer")
    whole_numbers(panel, "y")
    panel.spines[["top", "right"]].set_visible(True)
    occupied = float((example.counts > 0).mean())
    heading = gain_heading({**vars(example), "g": example.gain})
    panel.set_title(
        f"{heading}: {int(example.counts.sum())} events, "
        f"{int(example.labels.max())} avalanches, p = {occupied:.3f}",
        loc="left",
    )
    if not largest:
        panel.text(
            0.5, 0.5, "no site is occupied", transform=panel.transAxes, ha="center", va="center"
        )


def _number(panel: Axes, largest: Sequence[_Largest]) -> None:
    """Each avalanche's number, on a white edge."""
    from matplotlib.patheffects import withStroke

    for avalanche in largest:
        layer, token = avalanche.place
        panel.text(
            token,
            layer,
            str(avalanche.number),
            ha="center",
            va="center",
            fontsize=SMALLEST_TYPE,
            fontweight="bold",
            color=BLACK,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )


def _border_legend(panel: Axes, example: RasterExample, largest: Sequence[_Largest]) -> None:
    """What is known of each, beside the raster."""
    from matplotlib.patches import Patch

    entries = [
        Patch(
            facecolor=DISTINCT[a.number - 1],
            label=f"{a.number}: S {a.size}, D {a.span_tokens}, H {a.span_layers}"
            f"{' †' if a.touches_border else ''}",
        )
        for a in largest
    ]
    others = int(example.labels.max()) - len(largest)
    if others > 0:
        entries.append(Patch(facecolor=PALE, label=f"{others} smaller ones"))
    if entries:
        panel.legend(
            handles=entries,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            handlelength=0.8,
            handleheight=0.8,
        )


def _token_axis(panel: Axes, tokens: Sequence[str]) -> None:
    """Some tokens' text along the last panel."""
    panel.set_xlabel("token")
    if not tokens:
        return
    told = list(range(0, len(tokens), _TOLD))
    panel.set_xticks(told, [f"{t}  {_token_words(tokens[t])}" for t in told], rotation=90)


def _token_words(token: str) -> str:
    """A token's text, cut short; a line feed as an arrow."""
    text = plain(token.replace("\n", "↵").strip())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _small_print(example: RasterExample, provenance: Provenance) -> str:
    row = {**vars(provenance), **vars(example)}
    given = provenance.dataset_role == NO_ROLE
    what = (
        SPIKE_WORDS[example.spike_def_id]
        if given
        else f"{SPIKE_WORDS[example.spike_def_id]} spikes, {target_words(example.target_label)}"
    )
    return (
        f"{plain(provenance.model_id)}, {what}, window {example.seq_id} of the "
        f"{window_words(row)}. Sites are joined with their "
        f"{ADJACENCY_WORDS[AdjacencyId(example.adjacency_id)]}. S: events, D: tokens, H: layers "
        "spanned; †: the avalanche touches the lattice's border."
    )
