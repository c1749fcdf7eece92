"""The pipeline as a drawing: where each run's box stands, and the lines between them.

A run stands behind all that it rests on (the longest path decides). Dependencies that follow from
others are drawn faintly, the rest as arrows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

_BOX_WIDTH, _BOX_HEIGHT = 158, 62
_GAP_ALONG, _GAP_ACROSS = 22, 22
_MARGIN = 8
_LABEL = 14
_ARC = 30
"""How far a faint line leaves the boxes."""


@dataclass(frozen=True)
class Node:
    """One run, as it is drawn."""

    run_id: str
    stage_id: str
    title: str
    lines: tuple[str, ...]
    """Below the title."""
    lane: str
    """Runs of one lane stand beside each other: the model role."""


@dataclass(frozen=True)
class Placed:
    """A node with the upper left corner of its box."""

    node: Node
    x: int
    y: int


@dataclass(frozen=True)
class Line:
    """A dependency, as it is drawn."""

    path: str
    """SVG path data."""
    is_direct: bool
    """It does not follow from others."""


@dataclass(frozen=True)
class Label:
    """The name of a lane."""

    text: str
    x: int
    y: int


@dataclass(frozen=True)
class Drawing:
    """The graph in one orientation."""

    id: str
    width: int
    height: int
    boxes: tuple[Placed, ...]
    lines: tuple[Line, ...]
    labels: tuple[Label, ...]
    """Of lanes, where there are several."""
    box_width: int = _BOX_WIDTH
    box_height: int = _BOX_HEIGHT


def depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The longest path to each run from one that rests on nothing.

    >>> depths({"a": [], "b": ["a"], "c": ["a", "b"]})
    {'a': 0, 'b': 1, 'c': 2}
    """
    found: dict[str, int] = {}
    for run_id in TopologicalSorter(needs).static_order():
        above = [found[upstream] for upstream in needs.get(run_id, ())]
        found[run_id] = 1 + max(above) if above else 0
    return found


def direct_needs(needs: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    """The dependencies (upstream, run) that do not follow from others.

    >>> sorted(direct_needs({"a": [], "b": ["a"], "c": ["a", "b"]}))
    [('a', 'b'), ('b', 'c')]
    """
    behind: dict[str, set[str]] = {}
    for run_id in TopologicalSorter(needs).static_order():
        upstreams = needs.get(run_id, ())
        behind[run_id] = set(upstreams).union(*(behind[upstream] for upstream in upstreams))
    return {
        (upstream, run_id)
        for run_id, upstreams in needs.items()
        for upstream in upstreams
        if not any(upstream in behind[other] for other in upstreams)
    }


def draw(nodes: Sequence[Node], needs: Mapping[str, Sequence[str]], *, upright: bool) -> Drawing:
    """Place the runs.

    Args:
        nodes: the runs, in the order in which those of equal depth are put.
        needs: the runs that each rests on, all of them among the nodes.
        upright: later runs below earlier ones, for narrow screens; else to their right.
    """
    places = _places(nodes, depths(needs))
    boxes = {
        node.run_id: Placed(node, *_corner(places[node.run_id], upright=upright)) for node in nodes
    }
    direct = direct_needs(needs)
    pairs = [(upstream, node.run_id) for node in nodes for upstream in needs[node.run_id]]
    lines = [
        Line(
            _arrow(boxes[a], boxes[b], upright=upright)
            if (a, b) in direct
            else _bow(boxes[a], boxes[b], upright=upright),
            (a, b) in direct,
        )
        for a, b in sorted(pairs, key=lambda pair: pair in direct)
    ]
    return Drawing(
        id="upright" if upright else "lying",
        width=max((box.x for box in boxes.values()), default=0) + _BOX_WIDTH + _MARGIN,
        height=max((box.y for box in boxes.values()), default=0) + _BOX_HEIGHT + _MARGIN,
        boxes=tuple(boxes.values()),
        lines=tuple(lines),
        labels=_labels(boxes.values()),
    )


@dataclass(frozen=True)
class _Place:
    """Where a run stands, counted in boxes."""

    step: int
    """Along the pipeline."""
    row: int
    """Across it."""
    lane: int
    """Lanes before its own."""


def _places(nodes: Sequence[Node], depth: Mapping[str, int]) -> dict[str, _Place]:
    """Each run's place; lanes have rows of their own."""
    places: dict[str, _Place] = {}
    first_row = 0
    for lane, name in enumerate(dict.fromkeys(node.lane for node in nodes)):
        filled: dict[int, int] = {}
        for node in nodes:
            if node.lane == name:
                step = depth[node.run_id]
                places[node.run_id] = _Place(step, first_row + filled.get(step, 0), lane)
                filled[step] = filled.get(step, 0) + 1
        first_row += max(filled.values())
    return places


def _corner(place: _Place, *, upright: bool) -> tuple[int, int]:
    across = _MARGIN + _ARC * (1 + place.lane)
    if upright:
        x, y = place.row * (_BOX_WIDTH + _GAP_ACROSS), place.step * (_BOX_HEIGHT + _GAP_ALONG)
        return x + across, y + _MARGIN + _LABEL
    x, y = place.step * (_BOX_WIDTH + _GAP_ALONG), place.row * (_BOX_HEIGHT + _GAP_ACROSS)
    return x + _MARGIN, y + across


def _labels(boxes: Iterable[Placed]) -> tuple[Label, ...]:
    """Each lane's name above its first box, if there are several."""
    first: dict[str, Placed] = {}
    for box in boxes:
        first.setdefault(box.node.lane, box)
    if len(first) < 2:
        return ()
    return tuple(Label(lane, box.x, box.y - 6) for lane, box in first.items())


def _arrow(a: Placed, b: Placed, *, upright: bool) -> str:
    """From the far side of one box to the near side of the next, turning halfway."""
    if upright:
        x1, y1, x2, y2 = _middle(a.x, _BOX_WIDTH), a.y + _BOX_HEIGHT, _middle(b.x, _BOX_WIDTH), b.y
        return f"M{x1} {y1}V{y2 - _GAP_ALONG // 2}H{x2}V{y2}"
    x1, y1, x2, y2 = a.x + _BOX_WIDTH, _middle(a.y, _BOX_HEIGHT), b.x, _middle(b.y, _BOX_HEIGHT)
    return f"M{x1} {y1}H{x2 - _GAP_ALONG // 2}V{y2}H{x2}"


def _bow(a: Placed, b: Placed, *, upright: bool) -> str:
    """Around the boxes of its row; into another row, along the side that faces it."""
    if upright:
        y1, y2 = _middle(a.y, _BOX_HEIGHT), _middle(b.y, _BOX_HEIGHT)
        if a.x == b.x:
            return f"M{a.x} {y1}C{a.x - _ARC} {y1} {b.x - _ARC} {y2} {b.x} {y2}"
        x1, x2 = a.x + (_BOX_WIDTH if a.x < b.x else 0), _middle(b.x, _BOX_WIDTH)
        return f"M{x1} {y1}C{x2} {y1} {x2} {y1} {x2} {b.y}"
    x1, x2 = _middle(a.x, _BOX_WIDTH), _middle(b.x, _BOX_WIDTH)
    if a.y == b.y:
        return f"M{x1} {a.y}C{x1} {a.y - _ARC} {x2} {b.y - _ARC} {x2} {b.y}"
    y1, y2 = a.y + (_BOX_HEIGHT if a.y < b.y else 0), _middle(b.y, _BOX_HEIGHT)
    return f"M{x1} {y1}C{x1} {y2} {x1} {y2} {b.x} {y2}"


def _middle(start: int, length: int) -> int:
    return start + length // 2
