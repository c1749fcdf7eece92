"""What every artifact must look like inside, by file name: for ``verify``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from avalattice.arrays import read_npz
from avalattice.canon import OUTPUT, TableId
from avalattice.config import load
from avalattice.export import schemas
from avalattice.export.crate_reader import read_crate
from avalattice.export.documents import (
    ClaimsDocument,
    GStarDocument,
    RateTargetsDocument,
    SignaturesDocument,
    read_document,
)
from avalattice.export.tabular import check_table, read_csv
from avalattice.lattice.rasters import load_rasters
from avalattice.stages.context import CALIBRATION_SPEC
from avalattice.store.verify import SchemaCheck


def _check_calibration(path: Path) -> None:
    read_npz(path, CALIBRATION_SPEC)


_check_table = partial(check_table, schemas=schemas.ALL)
_SCHEMA_OF = {schema.name: schema for schema in schemas.TABLES}
_EXPORTED: Mapping[str, SchemaCheck] = {
    Path(file).name: check
    for table in TableId
    for file, check in (
        (OUTPUT.TABLE_FILE_PARQUET[table.name], _check_table),
        (OUTPUT.TABLE_FILE_CSV[table.name], partial(read_csv, schema=_SCHEMA_OF[table.name])),
    )
}

ARTIFACT_SCHEMAS: Mapping[str, SchemaCheck] = {
    OUTPUT.CONFIG_RESOLVED_YAML: load,
    OUTPUT.CALIBRATION_STATS_NPZ_BASENAME: _check_calibration,
    OUTPUT.RATE_TARGETS_JSON_BASENAME: partial(read_document, kind=RateTargetsDocument),
    OUTPUT.GSTAR_JSON_BASENAME: partial(read_document, kind=GStarDocument),
    OUTPUT.SIGNATURES_JSON_BASENAME: partial(read_document, kind=SignaturesDocument),
    OUTPUT.RO_CRATE_JSON: read_crate,
    OUTPUT.CLAIMS_JSON_BASENAME: partial(read_document, kind=ClaimsDocument),
    OUTPUT.METRICS_PARQUET_BASENAME: _check_table,
    OUTPUT.METRICS_WINDOWS_PARQUET_BASENAME: _check_table,
    OUTPUT.THRESHOLDS_PARQUET_BASENAME: _check_table,
    OUTPUT.WINDOWS_PARQUET_BASENAME: _check_table,
    OUTPUT.TAU_RATE_MATCHED_PARQUET_BASENAME: _check_table,
    OUTPUT.NULL_STATISTICS_PARQUET_BASENAME: _check_table,
    OUTPUT.AVALANCHES_PARQUET_BASENAME: _check_table,
    OUTPUT.ARC_ITEMS_PARQUET_BASENAME: _check_table,
    **_EXPORTED,
    OUTPUT.RASTER_NPZ_BASENAME: load_rasters,
    OUTPUT.GRID_RASTER_NPZ_BASENAME: load_rasters,
    OUTPUT.NULL_NPZ_BASENAME: load_rasters,
}
