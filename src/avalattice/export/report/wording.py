"""What the report calls things: short words for canonical ids, captions, and a glossary.

Words only. A number that stands in the report comes from a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from avalattice.canon import (
    CONST,
    AdjacencyId,
    Command,
    FigureId,
    GCondition,
    ModelRole,
    NullId,
    SignatureId,
    SpikeDefId,
    StageTag,
    WindowSet,
)
from avalattice.lattice.percolation import PERCOLATION_THRESHOLD

SPIKE_WORDS: Final = {
    str(SpikeDefId.SPIKE_ONE_SIDED_POS): "one-sided (z > τ)",
    str(SpikeDefId.SPIKE_TWO_SIDED_ABS): "two-sided (|z| > τ)",
}
WINDOW_WORDS: Final = {
    str(WindowSet.CALIBRATION): "in sample",
    str(WindowSet.RASTER): "held out",
    str(WindowSet.EVALUATION): "held out",
}
CELL_WORDS: Final = {
    **SPIKE_WORDS,
    **WINDOW_WORDS,
    str(GCondition.G1): "g = 1",
    str(GCondition.GSTAR): "g*",
    str(AdjacencyId.ADJ_4N): "4 neighbours",
    str(AdjacencyId.ADJ_8N): "8 neighbours",
}
"""Short words that stand in tables in place of an id; the id is shown on hover."""

ROLES: Final = (str(ModelRole.INSTRUCT), str(ModelRole.BASE))
"""Model roles, in the order of the report."""


@dataclass(frozen=True)
class NullWords:
    """What the explorer says of a null."""

    label: str
    note: str
    has_words: bool
    """Whether the events of a position belong to that position's token."""


NULL_WORDS: Final[Mapping[str, NullWords]] = {
    str(NullId.NULL_NONE): NullWords("measured", "The raster as it was measured.", True),
    str(NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM): NullWords(
        "null: rows permuted",
        "Each layer's counts in a random order: the order of tokens and the alignment of layers "
        "are gone. Events no longer belong to the token at their position.",
        False,
    ),
    str(NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT): NullWords(
        "null: rows shifted",
        "Each layer turned by a random number of tokens: only the alignment of layers is gone. "
        "Events no longer belong to the token at their position.",
        False,
    ),
    str(NullId.NULL_RASTER_TOKEN_ID_STRATIFIED): NullWords(
        "null: exchanged within token ids",
        "Counts exchanged, layer by layer, between all places of the same token: what remains is "
        "what the token alone explains.",
        True,
    ),
    str(NullId.NULL_TOKEN_SHUFFLE_INPUT): NullWords(
        "null: shuffled input",
        "The window's tokens in a random order, through the model again at the same thresholds. "
        "The order is not kept, so the words of this raster are not known.",
        False,
    ),
}


@dataclass(frozen=True)
class AdjacencyWords:
    """What the explorer says of an adjacency."""

    label: str
    diagonal: bool
    threshold: float
    """Occupancy at which independent sites percolate."""


ADJACENCY_WORDS: Final[Mapping[str, AdjacencyWords]] = {
    str(AdjacencyId.ADJ_4N): AdjacencyWords(
        "4 neighbours", False, PERCOLATION_THRESHOLD[AdjacencyId.ADJ_4N]
    ),
    str(AdjacencyId.ADJ_8N): AdjacencyWords(
        "8 neighbours", True, PERCOLATION_THRESHOLD[AdjacencyId.ADJ_8N]
    ),
}


@dataclass(frozen=True)
class StageWords:
    """What the report says of a stage."""

    title: str
    command: Command
    brings: str
    """What a report lacks without it."""


STAGE_WORDS: Final[Mapping[str, StageWords]] = {
    str(StageTag.S01): StageWords(
        "Calibration", Command.PHASE1_CALIBRATE, "the calibration of every unit, and rate targets"
    ),
    str(StageTag.S02): StageWords(
        "Gain grid", Command.PHASE2_GAIN_GRID, "branching ratios at every gain"
    ),
    str(StageTag.S02B): StageWords(
        "Choice of g*", Command.PHASE2_SELECT_GSTAR, "g* and whether the data determine it"
    ),
    str(StageTag.S03): StageWords(
        "Rasters", Command.PHASE3_EXTRACT_RASTERS, "held-out rasters, and the explorer"
    ),
    str(StageTag.S04): StageWords(
        "Nulls", Command.PHASE4_RUN_NULLS, "what rasters without structure would give"
    ),
    str(StageTag.S05): StageWords(
        "Analysis",
        Command.PHASE5_ANALYZE_AND_EXPORT,
        "the verdicts of S1 to S3, T01, T04 to T06, and most figures",
    ),
    str(StageTag.S06B): StageWords(
        "Dataset B", Command.PHASE6_GENERALIZE_B_METRICS, "T02: g* on other text, with perplexity"
    ),
    str(StageTag.S06ARC): StageWords(
        "Questions", Command.PHASE6_ARC_MCQ_EVAL, "T03: multiple-choice questions at g*"
    ),
    str(StageTag.S07): StageWords("Paper", Command.PHASE7_PAPER_EXPORT, "the paper's text"),
    str(StageTag.S08): StageWords("Release", Command.PHASE8_RELEASE, "the packed release"),
}
"""By stage tag, in the order of the pipeline."""
EXPECTED_STAGES: Final = tuple(
    tag for tag in STAGE_WORDS if tag not in (StageTag.S07, StageTag.S08)
)
"""Stages whose results a report shows."""


@dataclass(frozen=True)
class Question:
    """What one card of the report answers."""

    id: str
    title: str
    asks: str


GSTAR_QUESTION: Final = Question(
    "gstar-question",
    "g* identifiable",
    "Do the data determine the gain at which b_tot is one?",
)
QUESTIONS: Final = (
    GSTAR_QUESTION,
    Question(
        str(SignatureId.S1_BRANCHING_CROSSING),
        "S1 branching crossing",
        "Does b_tot cross one at such a g*, with more edges along depth than the shift null?",
    ),
    Question(
        str(SignatureId.S2_SUSCEPTIBILITY_PEAK),
        "S2 susceptibility peak",
        "Does χ peak inside the grid, above both its ends, near such a g*?",
    ),
    Question(
        str(SignatureId.S3_CRACKLING_RELATION),
        "S3 crackling relation",
        "Do sizes and spans scale as their tails predict, unlike permuted rasters?",
    ),
)
"""The cards, in their order."""


class Term(NamedTuple):
    """A term and what it means."""

    name: str
    meaning: str


FIGURE_WORDS: Final[Mapping[FigureId, str]] = {
    FigureId.F01_RASTER_EXAMPLE: "Events on the token × layer lattice of one window. Occupied "
    "sites of one avalanche share a colour.",
    FigureId.F02_RATE_MATCH_CHECK: "Achieved against target rate by gain, in sample and, where it "
    "exists, out of sample.",
    FigureId.F03_BRANCHING_CURVES: "b_time, b_depth and b_tot against the gain, with intervals over"
    " windows and the band of the null.",
    FigureId.F04_NULL_DELTAB: "Surplus of the branching ratios over their nulls, against the gain.",
    FigureId.F05_GSTAR_SELECTION: "b_tot against the gain: g*, the interpolated crossing of one, "
    "its interval, and whether the data determine it.",
    FigureId.F06_GENERALIZATION_B: "Dataset B at g = 1 and at g*, paired by window.",
    FigureId.F07_ARC_MCQ: "Accuracy on multiple-choice questions at g = 1 and at g*, with intervals"
    " and chance.",
    FigureId.F08_SPIKEDEF_ROBUST: "Both spike definitions side by side.",
    FigureId.F09_CHI_CURVES: "Susceptibility χ, the Fano factor of window totals, against the "
    "gain.",
    FigureId.F10_NULL_COMPARE: "The nulls compared.",
    FigureId.F11_ABLATIONS: "Gains on other sublayers and on thirds of the depth, at g*.",
    FigureId.F12_TAILS: "Distributions of avalanche size and span, with fits and those of permuted "
    "rasters.",
    FigureId.F13_PROFILE_COLLAPSE: "Mean profiles of avalanches of equal span, rescaled.",
    FigureId.F14_DEPTH_PROFILE: "p, b_time and b_depth by layer.",
}

GLOSSARY: Final = (
    Term(
        "event",
        "A unit of an MLP whose standardised activation z (one-sided) or |z| (two-sided) exceeds "
        "its layer's threshold τ; τ is set so that each layer fires at its target rate.",
    ),
    Term("A, X", "Events at a site (token t, layer l), and whether there are any."),
    Term(
        "p",
        "Occupancy, the share of sites with an event. Independent sites give b_time = b_depth = "
        "p, so read every b beside p.",
    ),
    Term(
        "b",
        "Branching ratio: the share of occupied sites whose next token (b_time) or next layer "
        "(b_depth) is occupied too; b_tot is their sum.",
    ),
    Term(
        "g, g*",
        "The gain g multiplies every MLP's contribution to the residual stream; g* is the gain of "
        "the grid with b_tot nearest one. That one is a convention, not a percolation threshold.",
    ),
    Term(
        "identifiable",
        "b_tot − 1 changes sign inside the grid, also in 95 % of resamples of the windows, and "
        "the crossing's interval is narrow and inside.",
    ),
    Term(
        "nulls",
        "Rasters that keep each layer's rate and lose structure: rows permuted (order of tokens), "
        "rows shifted (alignment of layers), counts exchanged within a token (context), the input "
        "shuffled (syntax). Δb is b less what the null expects.",
    ),
    Term(
        "avalanche",
        "A connected set of occupied sites: size S = ΣA in events, span D in tokens, H in layers.",
    ),
    Term(
        "χ",
        "Susceptibility: variance over mean of the events of a window; 1 for independent Poisson "
        "counts.",
    ),
    Term(
        "γ",
        "Exponent of mean size against span, E[S | D] ∝ D^γ; the crackling relation predicts it "
        "from the two tail exponents.",
    ),
    Term(
        "few windows",
        f"Fewer than {CONST.FEW_WINDOWS} windows: intervals over windows are then too narrow.",
    ),
    Term("interval", "95 %, from resampling whole windows with τ held fixed."),
)
"""Terms, each in a line."""
BRIEF_GLOSSARY: Final = tuple(
    term for term in GLOSSARY if term.name in ("p", "b", "g, g*", "nulls")
)
"""Those that the summary needs."""
