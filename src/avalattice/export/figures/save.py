"""The one place that turns figures into bytes: PDF for print, PNG for screens.

A figure's bytes are a function of the figure, its metadata and matplotlib's version: no creation
date, no path, no typeface of the machine, no setting of the user's. Provenance stands in the files:
as text chunks of the PNG under the names of the tables' columns, and in the PDF's information
dictionary, whose keys are fixed, as title, subject and keywords.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from avalattice.canon import PROJECT_ID, FigureId
from avalattice.errors import InputError
from avalattice.export.figures.style import house_style
from avalattice.export.tables import Provenance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Suffix: TypeAlias = Literal["pdf", "png"]
SUFFIXES: Final[tuple[Suffix, ...]] = ("pdf", "png")
_COLOURS: Final = 256
_TITLE, _CONDITION = "Title", "condition"


def figure_metadata(figure_id: FigureId, provenance: Provenance, condition: str) -> dict[str, str]:
    """What a figure's file says of its origin.

    Args:
        figure_id: which figure it is.
        provenance: of the tables that it was drawn from.
        condition: what it shows, in words.

    Returns:
        title, condition, and the provenance under its columns' names.
    """
    return {_TITLE: figure_id.name, _CONDITION: condition, **vars(provenance)}


def figure_bytes(figure: Figure, suffix: Suffix, metadata: Mapping[str, str]) -> bytes:
    """A figure as the bytes of a file.

    Args:
        figure: what a drawing function returned.
        suffix: ``pdf`` or ``png``.
        metadata: of :func:`figure_metadata`.

    Raises:
        InputError: no such suffix.
    """
    with house_style():
        if suffix == "pdf":
            return _pdf(figure, metadata)
        if suffix == "png":
            return _png(figure, metadata)
    raise InputError(f"figures are saved as {' or '.join(SUFFIXES)}, not {suffix!r}")


def _pdf(figure: Figure, metadata: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="pdf", metadata=_pdf_information(metadata))
    return file.getvalue()


def _png(figure: Figure, metadata: Mapping[str, str]) -> bytes:
    """As an image of 256 colours: a third of the bytes, and no difference to be seen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    few_colours = image.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    chunks = PngInfo()
    for name, text in {**metadata, "Software": PROJECT_ID}.items():
        chunks.add_text(name, text)
    file = io.BytesIO()
    few_colours.save(
        file, format="png", pnginfo=chunks, optimize=True, dpi=(figure.dpi, figure.dpi)
    )
    return file.getvalue()


def _pdf_information(metadata: Mapping[str, str]) -> dict[str, str | None]:
    """PDF readers show title, subject and keywords."""
    rest = {name: text for name, text in metadata.items() if name not in (_TITLE, _CONDITION)}
    return {
        "Title": metadata[_TITLE],
        "Subject": metadata[_CONDITION],
        "Keywords": "; ".join(f"{name}={text}" for name, text in rest.items()),
        "Creator": PROJECT_ID,
        "Producer": PROJECT_ID,
        "CreationDate": None,
    }
