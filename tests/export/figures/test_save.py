"""Saved figures: the same bytes everywhere, with their provenance, and nothing of the machine."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from avalattice.canon import FigureId
from avalattice.errors import InputError
from avalattice.export.figures import SUFFIXES, figure_bytes, figure_metadata
from avalattice.export.figures.style import DOTS_PER_INCH
from tests.export.figures.drawings import DRAW
from tests.export.figures.samples import PROVENANCE, TWO, Case

SMALL = Case(labels=("0.8",), definitions=(TWO,))
CONDITION = "target_label: 0.8; g: 1.0 – and “more”"
METADATA = figure_metadata(FigureId.F04_NULL_DELTAB, PROVENANCE, CONDITION)

ELSEWHERE = """
import hashlib, matplotlib
matplotlib.rcParams.update({
    "font.size": 30, "font.family": "serif", "lines.linewidth": 9, "axes.facecolor": "red",
    "savefig.facecolor": "blue", "savefig.dpi": 31, "savefig.bbox": "tight", "figure.dpi": 33,
    "pdf.fonttype": 3, "pdf.compression": 0, "path.simplify": False, "axes.grid": True,
})
from tests.export.figures.test_save import digests
print(*digests(), sep="\\n")
"""


VARIED = (
    FigureId.F01_RASTER_EXAMPLE,
    FigureId.F02_RATE_MATCH_CHECK,
    FigureId.F05_GSTAR_SELECTION,
    FigureId.F11_ABLATIONS,
    FigureId.F13_PROFILE_COLLAPSE,
)
"""Figures that together hold every kind of artist: image, band, bar, colour bar, log scale …"""


def digests() -> list[str]:
    """Digests of figures of a small case, in both forms."""
    return [
        hashlib.sha256(figure_bytes(figure, suffix, METADATA)).hexdigest()
        for figure in (DRAW[figure_id](SMALL) for figure_id in VARIED)
        for suffix in SUFFIXES
    ]


def elsewhere(**environment: str) -> list[str]:
    """The same from another process."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_same_bytes_in_another_process():
    """Neither the hash seed, the clock, the time zone nor the user's settings change a byte."""
    here = digests()
    assert len(set(here)) == 2 * len(VARIED)
    there = elsewhere(PYTHONHASHSEED="271828", SOURCE_DATE_EPOCH="86400", TZ="Asia/Tokyo")
    assert there == here


def test_the_same_bytes_whichever_is_saved_first():
    """Saving a figure changes nothing of it, so the order of its files does not matter."""
    draw = DRAW[FigureId.F02_RATE_MATCH_CHECK]
    one, other = draw(SMALL), draw(SMALL)
    forth = {suffix: figure_bytes(one, suffix, METADATA) for suffix in SUFFIXES}
    back = {suffix: figure_bytes(other, suffix, METADATA) for suffix in reversed(SUFFIXES)}
    again = {suffix: figure_bytes(one, suffix, METADATA) for suffix in SUFFIXES}
    assert forth == back == again


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_data_are_other_bytes(suffix):
    """Control: a figure of other numbers, or with other provenance, has other bytes."""
    figure, other = (
        DRAW[FigureId.F08_SPIKEDEF_ROBUST](case) for case in (SMALL, Case(labels=("0.4",)))
    )
    first = figure_bytes(figure, suffix, METADATA)
    assert first != figure_bytes(other, suffix, METADATA)
    assert first != figure_bytes(figure, suffix, METADATA | {"run_id": "RUN_S05_8"})


def saved(suffix: str) -> bytes:
    """One figure."""
    return figure_bytes(DRAW[FigureId.F08_SPIKEDEF_ROBUST](SMALL), suffix, METADATA)


def test_png_holds_its_provenance():
    """Its text chunks are the tables' columns, with title and condition; there is no date."""
    image = Image.open(io.BytesIO(saved("png")))
    assert image.text == METADATA | {"Software": "avalattice"}
    assert image.text["run_id"] == PROVENANCE.run_id
    assert image.text["condition"] == CONDITION
    assert {"model_id", "dataset_role", "config_hash"} <= set(image.text)


def test_png_has_the_size_of_print():
    """Its dots per inch give the size in inches back, and few colours are as good as many."""
    figure = DRAW[FigureId.F08_SPIKEDEF_ROBUST](SMALL)
    image = Image.open(io.BytesIO(figure_bytes(figure, "png", METADATA)))
    np.testing.assert_allclose(image.info["dpi"], DOTS_PER_INCH, rtol=1e-3)
    np.testing.assert_allclose(
        np.array(image.size) / DOTS_PER_INCH, figure.get_size_inches(), atol=0.01
    )
    exact = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float)
    error = np.abs(np.asarray(image.convert("RGB")) - exact)
    assert error.mean() < 0.5
    assert np.quantile(error, 0.999) < 40


def test_pdf_holds_its_provenance():
    """Title, subject and keywords are figure, condition and the rest; there is no date."""
    information = pdf_information(saved("pdf"))
    assert information["Title"] == "F04_NULL_DELTAB"
    assert information["Subject"] == CONDITION
    keywords = dict(pair.split("=") for pair in information["Keywords"].split("; "))
    assert keywords == vars(PROVENANCE)
    assert information["Creator"] == information["Producer"] == "avalattice"
    assert set(information) == {"Title", "Subject", "Keywords", "Creator", "Producer"}


def pdf_information(content: bytes) -> dict[str, str]:
    """The information dictionary, which stands in the clear."""
    body = content.partition(b"/Info")[2] and content[content.rindex(b"/Title") - 200 :]
    found = {}
    for name in (b"Title", b"Subject", b"Keywords", b"Creator", b"Producer", b"CreationDate"):
        _, present, rest = body.partition(b"/" + name + b" (")
        if present:
            found[name.decode()] = _text(rest)
    return found


def _text(rest: bytes) -> str:
    """A PDF string up to its closing bracket: UTF-16 with a mark, or Latin-1."""
    raw, place = bytearray(), 0
    while rest[place : place + 1] != b")":
        if rest[place : place + 1] == b"\\":
            place += 1
        raw += rest[place : place + 1]
        place += 1
    return raw.decode("utf-16") if raw[:2] in (b"\xfe\xff", b"\xff\xfe") else raw.decode("latin-1")


def test_pdf_embeds_matplotlibs_typeface_as_text():
    """Typefaces are embedded TrueType subsets of DejaVu, so that words stay words."""
    content = saved("pdf")
    assert b"/FontFile2" in content
    assert b"/Subtype /Type3" not in content
    assert content.count(b"+DejaVuSans") > 0


def test_other_forms_are_refused():
    """A suffix that is not one of the two is named, with those that are."""
    with pytest.raises(InputError, match="pdf or png, not 'svg'"):
        figure_bytes(DRAW[FigureId.F08_SPIKEDEF_ROBUST](SMALL), "svg", METADATA)
