"""Deep verification: are the model's files still those that a run was made with?"""

from __future__ import annotations

from pathlib import Path

from avalattice.errors import AvalatticeError
from avalattice.model.load import find_model
from avalattice.store.digests import sha256_file
from avalattice.store.record import RunRecord


def check_sources(record: RunRecord) -> list[str]:
    """Hash the model's and the tokenizer's files anew; one line for each that differs."""
    if record.model is None or record.tokenizer is None:
        return []
    section = record.identity["config"]["model"]
    source = section[record.model.role]
    try:
        files = find_model(
            source["source"],
            parts=source["parts"],
            sha256=source["sha256"],
            allow_pickle_weights=section["allow_pickle_weights"],
            digest=sha256_file,
        )
    except AvalatticeError as error:
        return [f"{record.run_id}: {error}"]
    return [
        *_differences(record.run_id, files.weights, record.model.files),
        *_differences(record.run_id, files.tokenizer, record.tokenizer.files),
    ]


def _differences(run_id: str, paths: tuple[Path, ...], known: dict[str, str]) -> list[str]:
    found = {path.name: sha256_file(path) for path in paths}
    return [
        f"{run_id}: model file {name} should have sha256 {known.get(name, 'none')}, "
        f"found {found.get(name, 'none')}"
        for name in sorted(known.keys() | found.keys())
        if known.get(name) != found.get(name)
    ]
