"""Captions of the figures: what is drawn, never how it came out."""

from __future__ import annotations

from typing import Final

from avalattice.canon import FigureId

CAPTIONS: Final = {
    FigureId.F01_RASTER_EXAMPLE: "The raster of a held-out window, its largest avalanches "
    "coloured.",
    FigureId.F02_RATE_MATCH_CHECK: "Achieved against target rate by gain, in sample and held out.",
    FigureId.F03_BRANCHING_CURVES: "b_time, b_depth and b_tot against the gain, with window-"
    "bootstrap intervals, beside what permutation leaves of them.",
    FigureId.F04_NULL_DELTAB: "Surplus of branching over its nulls against the gain.",
    FigureId.F05_GSTAR_SELECTION: "b_tot against the gain, with g*, the interpolated crossing of "
    "one, its interval, and the verdict on identifiability.",
    FigureId.F06_GENERALIZATION_B: "Dataset B at g = 1 and at g*, paired by window.",
    FigureId.F07_ARC_MCQ: "Accuracy on multiple-choice questions with intervals, beside chance.",
    FigureId.F08_SPIKEDEF_ROBUST: "One-sided and two-sided spike definitions side by side.",
    FigureId.F09_CHI_CURVES: "chi against the gain.",
    FigureId.F10_NULL_COMPARE: "The nulls compared.",
    FigureId.F11_ABLATIONS: "Interventions at g* beside the gain on every MLP.",
    FigureId.F12_TAILS: "Distributions of avalanche sizes and token spans with their fits, beside "
    "those of permuted rasters.",
    FigureId.F13_PROFILE_COLLAPSE: "Mean avalanche profiles, rescaled by their span.",
    FigureId.F14_DEPTH_PROFILE: "Occupancy, b_time and b_depth by layer.",
}
