"""The drawing of the pipeline: runs stand behind what they rest on, and no box hides another."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalattice.export.report.graph import Node, depths, direct_needs, draw

PIPELINE = {
    "S01": (),
    "S02": ("S01",),
    "S02B": ("S02",),
    "S03": ("S01", "S02", "S02B"),
    "S04": ("S01", "S02", "S02B", "S03"),
    "S05": ("S01", "S02", "S02B", "S03", "S04"),
    "S06B": ("S01", "S02", "S02B"),
    "S06ARC": ("S02B",),
}


def nodes(needs, lane="INSTRUCT") -> list[Node]:
    return [Node(run_id, run_id, run_id, (), lane) for run_id in needs]


@st.composite
def graphs(draw_from):
    """Graphs without circles, as (needs, lanes)."""
    n = draw_from(st.integers(1, 8))
    above = [draw_from(st.sets(st.integers(0, max(i - 1, 0)))) if i else set() for i in range(n)]
    needs = {str(i): [str(j) for j in sorted(above[i])] for i in range(n)}
    return needs, [draw_from(st.sampled_from("AB")) for _ in range(n)]


def test_the_pipeline_s_depths():
    """Each stage stands one step behind the last stage that it rests on."""
    expected = {"S01": 0, "S02": 1, "S02B": 2, "S03": 3, "S04": 4, "S05": 5, "S06B": 3, "S06ARC": 3}
    assert depths(PIPELINE) == expected


def test_the_pipeline_s_arrows():
    """Of the dependencies seven are direct; the others follow from them."""
    pairs = "S01 S02, S02 S02B, S02B S03, S03 S04, S04 S05, S02B S06B, S02B S06ARC"
    assert direct_needs(PIPELINE) == {tuple(pair.split()) for pair in pairs.split(", ")}


@given(graphs())
def test_direct_dependencies_lead_to_the_same_runs(graph):
    """What can be reached along arrows is what can be reached along all, with fewest arrows."""
    needs, _ = graph
    direct = direct_needs(needs)

    def behind(pairs, run_id):
        found = {a for a, b in pairs if b == run_id}
        return found.union(*(behind(pairs, a) for a in found))

    everything = {(a, b) for b, above in needs.items() for a in above}
    assert direct <= everything
    for run_id in needs:
        assert behind(direct, run_id) == behind(everything, run_id)
        for pair in direct:
            if pair[1] == run_id:
                assert behind(direct - {pair}, run_id) != behind(everything, run_id)


@given(graphs(), st.booleans())
def test_no_box_hides_another(graph, upright):
    """Boxes lie apart and within the drawing, each behind all that it rests on."""
    needs, lanes = graph
    runs = [Node(run_id, "S", "t", (), lane) for run_id, lane in zip(needs, lanes, strict=True)]
    drawing = draw(runs, needs, upright=upright)
    boxes = {box.node.run_id: box for box in drawing.boxes}
    assert list(boxes) == list(needs)
    for a in drawing.boxes:
        assert 0 <= a.x <= drawing.width - drawing.box_width
        assert 0 <= a.y <= drawing.height - drawing.box_height
        for b in drawing.boxes:
            apart = abs(a.x - b.x) >= drawing.box_width or abs(a.y - b.y) >= drawing.box_height
            assert a is b or apart
    for run_id, above in needs.items():
        for upstream in above:
            along = "y" if upright else "x"
            assert getattr(boxes[upstream], along) < getattr(boxes[run_id], along)


@pytest.mark.parametrize("upright", [True, False])
def test_every_dependency_is_drawn_once(upright):
    """Arrows end at the side of a box that faces what it rests on, above faint lines."""
    drawing = draw(nodes(PIPELINE), PIPELINE, upright=upright)
    assert len(drawing.lines) == sum(map(len, PIPELINE.values()))
    is_direct = [line.is_direct for line in drawing.lines]
    assert is_direct == sorted(is_direct)
    assert sum(is_direct) == 7
    half = drawing.box_width // 2 if upright else drawing.box_height // 2
    sides = {(b.x + half, b.y) if upright else (b.x, b.y + half) for b in drawing.boxes}
    for line in drawing.lines[-7:]:
        x, y = (int(re.findall(rf"{axis}(\d+)", line.path)[-1]) for axis in "HV")
        assert (x, y) in sides


def test_lanes_are_named_where_there_are_two():
    """One model needs no label; two have theirs above their first run."""
    assert draw(nodes(PIPELINE), PIPELINE, upright=False).labels == ()
    both = [*nodes(PIPELINE), *(Node("B", "S01", "t", (), "BASE"),)]
    drawing = draw(both, PIPELINE | {"B": ()}, upright=False)
    assert [label.text for label in drawing.labels] == ["INSTRUCT", "BASE"]
    assert drawing.boxes[-1].y > max(box.y for box in drawing.boxes[:-1])
