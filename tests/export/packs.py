"""Files, descriptions and packs, small and with odd names, as tests of releases need them."""

from __future__ import annotations

from pathlib import Path

from avalattice.export.crate import About, Source, StageRun, crate_json
from avalattice.export.release import build_pack

RUN, UPSTREAM = "RUN_S02_0123456789ab", "RUN_S01_ba9876543210"
ODD_NAMES = (
    "paper/<script>alert(1)</script>.md",
    "paper/“quoted” & 'single'.md",
    "paper/100% of #1?.md",
    "paper/ leading and trailing .md ",
    "paper/*?[a-z]$HOME`id`.md",
    "paper/c:colon;semi.md",
    "paper/-dash.md",
    "paper/e\u0301 e\u0308 ﬁ Å.md",
    "paper/नमस्ते 雪 🜂.md",
)
CONTENTS = {
    f"runs/{UPSTREAM}/run_record.json": b"{}",
    f"runs/{UPSTREAM}/config_resolved.yaml": b"seed: 1337\n",
    f"runs/{UPSTREAM}/results/calibration_stats.npz": bytes(range(256)) * 20,
    f"runs/{RUN}/run_record.json": b'{"run": 2}',
    f"runs/{RUN}/config_resolved.yaml": b"seed: 1337\n",
    f"runs/{RUN}/results/metrics.parquet": b"PAR1" * 9,
    "report.html": b"<!doctype html>",
    "paper/empty.txt": b"",
} | {name: name.encode() for name in ODD_NAMES}
MODEL = Source("model", "tiny", "A model.", "./tiny", None, {"model.safetensors": "3" * 64})
CORPUS = Source("data", "A, calibration", "64 windows.", "pkg:corpus", "v1", {"ids": "5" * 64})
RUNS = (
    StageRun(
        UPSTREAM,
        "S01",
        "Calibration.",
        "0.1.0",
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:01:00+00:00",
        inputs=(f"runs/{UPSTREAM}/config_resolved.yaml",),
        outputs=(
            f"runs/{UPSTREAM}/run_record.json",
            f"runs/{UPSTREAM}/results/calibration_stats.npz",
        ),
        sources=(MODEL, CORPUS),
    ),
    StageRun(
        RUN,
        "S02",
        "Gain grid.",
        "0.1.0",
        "2026-01-01T00:02:00+00:00",
        "2026-01-01T00:03:00+00:00",
        inputs=(
            f"runs/{RUN}/config_resolved.yaml",
            f"runs/{UPSTREAM}/results/calibration_stats.npz",
        ),
        outputs=(f"runs/{RUN}/run_record.json", f"runs/{RUN}/results/metrics.parquet"),
        sources=(MODEL, CORPUS),
    ),
)
ABOUT = About(
    "Avalanches <of> tiny",
    "Everything that the paper “rests” on.",
    "2026-01-01T00:03:00+00:00",
    "https://spdx.org/licenses/CC-BY-4.0",
    "Creative Commons Attribution 4.0",
)


def write_sources(folder: Path, contents=CONTENTS) -> dict[str, Path]:
    """Files of the given contents, by the names that they are to have in a pack."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for number, (name, content) in enumerate(contents.items()):
        paths[name] = folder / str(number)
        paths[name].write_bytes(content)
    return paths


def describe(files) -> bytes:
    """The description of the pack that the contents above make."""
    return crate_json(ABOUT, files, RUNS)


def write_pack(folder: Path, contents=CONTENTS) -> Path:
    """A pack of the given contents."""
    build_pack(write_sources(folder / "sources", contents), folder / "pack", describe=describe)
    return folder / "pack"


def tree(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder, by name."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
