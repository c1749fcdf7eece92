"""Every statistic that needs no model, on a user's own counts [N, L, T]."""

from avalattice.analyze.analysis import Analysis as Analysis
from avalattice.analyze.analysis import analyze as analyze
from avalattice.analyze.analysis import analyze_counts as analyze_counts
from avalattice.analyze.conditions import Options as Options
from avalattice.analyze.counts import GivenCounts as GivenCounts
from avalattice.analyze.counts import read_counts as read_counts
