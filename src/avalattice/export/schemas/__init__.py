"""The declared schemas of every table that avalattice writes, in one place.

``results`` are what stages write for each other, ``nulls`` phase 4's, ``tables`` the exported
T01 to T07; ``columns`` is what they share.
"""

from avalattice.export.schemas.nulls import DELTA_NAMES as DELTA_NAMES
from avalattice.export.schemas.nulls import NULL_STATISTICS as NULL_STATISTICS
from avalattice.export.schemas.nulls import TAU_RATE_MATCHED as TAU_RATE_MATCHED
from avalattice.export.schemas.results import ANALYSIS_CONDITIONS as ANALYSIS_CONDITIONS
from avalattice.export.schemas.results import ANALYSIS_WINDOWS as ANALYSIS_WINDOWS
from avalattice.export.schemas.results import ARC_ITEMS as ARC_ITEMS
from avalattice.export.schemas.results import AVALANCHES as AVALANCHES
from avalattice.export.schemas.results import EVALUATION_WINDOWS as EVALUATION_WINDOWS
from avalattice.export.schemas.results import INTERVAL_NAMES as INTERVAL_NAMES
from avalattice.export.schemas.results import METRICS as METRICS
from avalattice.export.schemas.results import METRICS_WINDOWS as METRICS_WINDOWS
from avalattice.export.schemas.results import THRESHOLDS as THRESHOLDS
from avalattice.export.schemas.results import WINDOWS as WINDOWS
from avalattice.export.schemas.tables import T01_SUMMARY as T01_SUMMARY
from avalattice.export.schemas.tables import T02_GENERALIZATION as T02_GENERALIZATION
from avalattice.export.schemas.tables import T03_ARC as T03_ARC
from avalattice.export.schemas.tables import T04_TAIL_FITS as T04_TAIL_FITS
from avalattice.export.schemas.tables import T05_CRACKLING_DIAGNOSTICS as T05_CRACKLING_DIAGNOSTICS
from avalattice.export.schemas.tables import T06_ABLATIONS as T06_ABLATIONS
from avalattice.export.schemas.tables import T07_REPLICATION_SUMMARY as T07_REPLICATION_SUMMARY

TABLES = (
    T01_SUMMARY,
    T02_GENERALIZATION,
    T03_ARC,
    T04_TAIL_FITS,
    T05_CRACKLING_DIAGNOSTICS,
    T06_ABLATIONS,
    T07_REPLICATION_SUMMARY,
)
ALL = (
    METRICS,
    METRICS_WINDOWS,
    THRESHOLDS,
    WINDOWS,
    TAU_RATE_MATCHED,
    NULL_STATISTICS,
    AVALANCHES,
    ANALYSIS_CONDITIONS,
    ANALYSIS_WINDOWS,
    EVALUATION_WINDOWS,
    ARC_ITEMS,
    *TABLES,
)
