"""Small runs, written by a fake stage that has every kind of output and no model."""

from __future__ import annotations

import numpy as np

from avalattice.arrays import ArraySpec
from avalattice.store.record import (
    DatasetRecord,
    DependencyRecord,
    ModelRecord,
    RunRecord,
    TokenizerRecord,
)
from avalattice.store.runs import RunStore, identity_digest, make_run_id
from avalattice.store.writer import utc_now

CONFIG = "seed: 1337\n"
COUNTS = {"A": ArraySpec("uint16", "N L T")}
GAINS = ("0.9", "1.0")

TABLE = "tables/appendix/table.csv"
TARGETS = "results/targets.json"
RASTERS = "results/rasters.npz"
LOG = "logs/events.jsonl"
RESOLVED = "config_resolved.yaml"
ARTIFACTS = (RESOLVED, TABLE, TARGETS, RASTERS)
"""Those that are the same bytes in every run of one identity; the log is indexed beside them."""


def small_record(stage: str = "S01", dependencies: tuple[DependencyRecord, ...] = (), **identity):
    """An incomplete record; further keywords go into the identity."""
    identity = {
        "stage": stage,
        "inputs": {d.run_id: d.artifacts for d in dependencies},
        "note": "μ ± σ",
        **identity,
    }
    digest = identity_digest(identity)
    return RunRecord(
        package_version="0.1.0",
        run_id=make_run_id(stage, digest),
        scope_sha256=digest,
        stage_id=stage,
        stage_version=1,
        status="incomplete",
        created_utc=utc_now(),
        identity=identity,
        model=None,
        tokenizer=None,
        datasets=[],
        config_hash="c" * 64,
        config_file_sha256="f" * 64,
        dependencies=list(dependencies),
        environment={"python": "3.11"},
        determinism={"deterministic_algorithms": True},
    )


def full_record():
    """A record in which every part is filled."""
    record = small_record(
        "S03",
        (
            DependencyRecord(
                run_id="RUN_S01_0123456789ab",
                stage_id="S01",
                record_sha256="1" * 64,
                artifacts={"results/calibration_stats.npz": "2" * 64},
            ),
        ),
        windows=19999,
    )
    record.model = ModelRecord(
        id="tiny",
        role="INSTRUCT",
        source="./tiny",
        revision=None,
        files={"model.safetensors": "3" * 64},
        model_type="llama",
        n_layers=2,
        d_ff=[8, 8],
        n_parameters=1234,
        dtype="fp32",
        device="cpu",
        attention="eager",
        random_init=False,
    )
    record.tokenizer = TokenizerRecord(files={"tokenizer.json": "4" * 64}, bos_token_id=None)
    record.datasets = [
        DatasetRecord(
            role="A",
            window_set="raster",
            source="corpus “A”.txt",
            revision=None,
            slice_sha256="5" * 64,
            window_ids=[3, 1, 2],
        )
    ]
    record.conditions = [{"cond_id": 0, "gain": "0.9"}]
    record.notes = ["naïve"]
    return record


def fake_stage(run, *, computed: list | None = None, pause=lambda: None) -> None:
    """A stage with two partial results and three artifacts; ``pause`` is called in mid-write."""

    def counts(gain: str) -> dict[str, np.ndarray]:
        (computed if computed is not None else []).append(gain)
        run.count_forward(2, 8)
        pause()
        return {"A": np.full((2, 3, 4), round(float(gain) * 10), dtype=np.uint16)}

    def table(file) -> None:
        file.write(b"gain,events\n")
        file.flush()
        pause()  # half an artifact is on the disk now
        file.write(b"0.9,216\n1.0,240\n")

    run.log("start")
    with run.step("forward"):
        parts = [
            run.partial(f"gain-{gain}", COUNTS, lambda gain=gain: counts(gain), lazy=True)["A"]
            for gain in GAINS
        ]
    run.write(TABLE, table)
    run.note("a remark")
    run.write_json(TARGETS, {"rates": [1e-5, 2e-5], "label": "μ"})
    run.write_npz(RASTERS, {"A": np.concatenate(parts)})


def write_run(store: RunStore, record: RunRecord | None = None, *, allow_resume=False, **options):
    """Write a run to its end; its id."""
    record = record or small_record()
    with store.create(record, CONFIG, allow_resume=allow_resume) as run:
        fake_stage(run, **options)
    return record.run_id


def write_downstream(store: RunStore, *upstreams: str, stage: str = "S02") -> str:
    """Write a run that rests on others; its id."""
    rests_on = tuple(store.open(run_id).as_dependency([TARGETS, RASTERS]) for run_id in upstreams)
    return write_run(store, small_record(stage, rests_on))


def contents(folder) -> dict[str, bytes]:
    """The bytes of the artifacts that a run promises to repeat."""
    return {name: (folder / name).read_bytes() for name in ARTIFACTS}


def overwrite(path, content: bytes) -> None:
    """Change a file behind the store's back, whatever its permissions."""
    path.chmod(0o644)
    path.write_bytes(content)


def damages(content: bytes):
    """One flipped bit, one lost byte at the end, one lost at the start, and nothing left."""
    middle = len(content) // 2
    yield "flipped", content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    yield "truncated", content[:-1]
    yield "removed", content[1:]
    yield "emptied", b""


def unfinished_files(root) -> list[str]:
    """Temporary files and folders below a folder."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.partial"))
