"""What holds of every figure: it is drawn whatever was measured, can be read, and flags itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont

from avalattice.canon import FigureId
from avalattice.export.figures import DRAWINGS, condition_words, style
from avalattice.export.figures.panels import key, legend
from avalattice.export.figures.style import SMALLEST_TYPE, shade
from avalattice.export.figures.words import FEW_QUESTIONS, FLAG, plain, small_print, wrapped
from tests.export.figures.drawings import DRAW
from tests.export.figures.reading import faults, words
from tests.export.figures.samples import CASES, ONE, PROVENANCE, Case, accuracy, summary

SMALL = Case(labels=("0.8",), definitions=(ONE,))
EVERY = pytest.mark.parametrize("figure_id", FigureId, ids=lambda figure_id: figure_id.name)


@dataclass(frozen=True)
class Look:
    """What a figure looks like."""

    faults: list[str]
    words: str
    size: tuple[float, float]


@cache
def looked_at(figure_id: FigureId, case: str) -> Look:
    """A figure of a case, looked at once."""
    figure = DRAW[figure_id](CASES[case])
    return Look(faults(figure), words(figure), tuple(figure.get_size_inches()))


def test_every_figure_has_a_drawing():
    """Each figure of the registry has one function of its own, and each is drawn here."""
    assert set(DRAWINGS) == set(FigureId) == set(DRAW)
    assert len(set(DRAWINGS.values())) == len(FigureId)


@pytest.mark.parametrize("case", CASES)
@EVERY
def test_a_figure_can_be_read(figure_id, case):
    """It is drawn without a warning; no word is too small, cut off or written over another."""
    look = looked_at(figure_id, case)
    assert look.faults == []
    width, height = look.size
    assert width in (style.SINGLE_COLUMN, style.DOUBLE_COLUMN)
    assert height < 9.5


def test_faults_are_found():
    """Control: small, cut off and overlapping words are found, and good ones are not."""
    figure = Figure(figsize=(3, 3))
    figure.text(0.1, 0.5, "left", fontsize=8)
    assert faults(figure) == []
    figure.text(0.12, 0.5, "covers it", fontsize=8)
    figure.text(0.95, 0.1, "beyond the edge", fontsize=8)
    figure.text(0.1, 0.9, "tiny", fontsize=SMALLEST_TYPE - 1)
    found = faults(figure)
    assert len(found) == 3
    assert any("cut off" in fault for fault in found)
    assert any("over" in fault for fault in found)
    assert any("6.0 points" in fault for fault in found)


@EVERY
def test_nothing_measured_is_said(figure_id):
    """Where nothing could be measured, the reason stands in the panels."""
    shown = looked_at(figure_id, "nothing measured").words
    assert any(
        reason in shown
        for reason in (
            "nothing happened",
            "no site is occupied",
            "no layer has a target above zero",
            "no occupied site has a successor",
        )
    )


@EVERY
def test_no_rows_are_a_figure_too(figure_id):
    """Without rows there is one empty panel, which says so."""
    arguments = {
        FigureId.F01_RASTER_EXAMPLE: ([], PROVENANCE),
        FigureId.F05_GSTAR_SELECTION: ([], None),
        FigureId.F09_CHI_CURVES: ([], None),
    }
    figure = DRAWINGS[figure_id](*arguments.get(figure_id, ([],)))
    assert len(figure.axes) == 1
    assert "no" in words(figure).split()
    assert faults(figure) == []


def flag(figure_id: FigureId) -> str | None:
    """What flags intervals from few windows; F01 and F02 have none."""
    without = (FigureId.F01_RASTER_EXAMPLE, FigureId.F02_RATE_MATCH_CHECK)
    if figure_id in without:
        return None
    return FEW_QUESTIONS if figure_id is FigureId.F07_ARC_MCQ else FLAG


@EVERY
def test_few_windows_are_flagged(figure_id):
    """A figure whose intervals rest on few windows or questions says so, and another does not."""
    few, enough = (looked_at(figure_id, case).words for case in ("one window", "demo"))
    assert "Few" not in enough
    assert flag(figure_id) is None or flag(figure_id) in few


def test_the_flag_names_its_number():
    """The small print names the windows that are too few, and only those; 20 are enough."""
    rows = summary(replace(SMALL, n_sequences=19)) + summary(replace(SMALL, n_sequences=20))
    assert "19 are fewer than 20" in small_print(rows)
    assert "questions" not in small_print(rows)
    assert "20 held-out windows" in small_print(rows)


def test_conditions_in_words():
    """Metadata names window sets, spike definitions, targets and gains, as in the configuration."""
    assert condition_words(summary(SMALL)) == (
        "window_set: calibration and raster; spike_def_id: SPIKE_ONE_SIDED_POS; "
        "target_label: 0.8; g: 0.7, 0.85, 1.0, 1.15 and 1.3"
    )
    assert condition_words([]) == "no conditions"
    missing = condition_words(accuracy(replace(SMALL, gstar=None)))
    assert missing.endswith("; g: 1.0")


# ----------------------------------------------------------------------------------- the style


def test_the_typeface_is_matplotlibs_own():
    """Its file stands in matplotlib's folder, whatever the machine has installed."""
    import matplotlib

    with style.house_style():
        assert findfont("DejaVu Sans").startswith(matplotlib.get_data_path())
        assert matplotlib.rcParams["font.family"] == ["DejaVu Sans"]


def test_settings_of_the_user_stay_out_and_stay():
    """The style replaces what the user has set, and puts it back."""
    import matplotlib

    with matplotlib.rc_context({"font.size": 31.0, "axes.facecolor": "red", "lines.linewidth": 9}):
        mine = dict(matplotlib.rcParams)
        with style.house_style():
            assert matplotlib.rcParams["font.size"] == SMALLEST_TYPE
            assert matplotlib.rcParams["axes.facecolor"] == "white"
        assert dict(matplotlib.rcParams) == mine


def test_nothing_is_left_with_pyplot():
    """Drawing and saving never load pyplot, whose figures would stay open."""
    code = (
        "import sys\n"
        "from tests.export.figures.drawings import DRAW\n"
        "from tests.export.figures.samples import CASES, PROVENANCE\n"
        "from avalattice.export.figures import figure_bytes\n"
        "draw = list(DRAW.values())[7]\n"
        "for suffix in ('pdf', 'png'):\n"
        "    figure_bytes(draw(CASES['one gain']), suffix, {'Title': '', 'condition': ''})\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def luminance(colour) -> float:
    """Of a colour as it prints in grey."""
    return float(np.dot(colour, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("colour", style.SPIKE_COLOUR.values())
@pytest.mark.parametrize("of", [2, 3, 4])
def test_targets_are_told_apart_in_grey(colour, of):
    """Shades darken with the rate by steps that print, and none is too pale or black."""
    grey = [luminance(shade(colour, place, of)) for place in range(of)]
    assert (np.diff(grey) < -0.06).all()
    assert grey[0] < 0.75
    assert grey[-1] > 0.05


def test_no_meaning_rests_on_colour_alone():
    """Spike definitions differ in marker and targets too; drawn colours are all different."""
    assert len(set(style.SPIKE_MARKER.values())) == len(style.SPIKE_MARKER)
    marks = [style.target_mark(style.BLUE, place, 4) for place in range(4)]
    assert len({mark.marker for mark in marks}) == len({mark.colour for mark in marks}) == 4
    assert len(set(style.DISTINCT)) == len(style.DISTINCT)


def test_lines_fit_their_width():
    """Broken text is no wider than asked, loses nothing, and breaks words that are longer."""
    text = "MMM WWW iii " * 20 + "\n" + "a/very/long/path" * 12
    broken = wrapped(text, 2.0)
    figure = Figure(figsize=(3, 9), dpi=style.DOTS_PER_INCH)
    drawn = figure.text(0, 0, broken, fontsize=SMALLEST_TYPE, family="DejaVu Sans")
    box = drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert 1.8 < box.width / figure.dpi < 2.05
    assert "".join(broken.split()) == "".join(text.split())
    assert wrapped("", 2.0) == ""


def test_words_of_others_are_no_formulas():
    """Dollars, control characters and characters without a glyph are drawn as they can be."""
    figure = Figure(figsize=(3, 1))
    legend(figure, [key(plain("a $x_1^{2$ b \x00\n\u0378 日本"))])
    figure.draw_without_rendering()
    assert r"\$x_1^{2\$" in words(figure)
    assert "日" not in words(figure)
