"""Phase 0: can this machine run the configured pipeline, and is the model read at the right sites?

Writes no run. Every check is made, also after one has failed.
"""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from avalattice.canon import DatasetRole, GainTarget, WindowSet
from avalattice.data.prompts import encode_questions
from avalattice.data.windows import WindowSlice
from avalattice.errors import AvalatticeError, ResourceError, VerificationError
from avalattice.stages.session import Session
from avalattice.store.environment import library_version

_GIB = 1 << 30
_LIBRARIES = ("torch", "transformers", "numpy", "pyarrow")


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str
    passed: bool
    detail: str


def validate(session: Session, *, disk_bytes: Callable[[], int]) -> Iterator[Check]:
    """Make every check, in order of cost.

    Args:
        session: configuration and model role.
        disk_bytes: what the configured run will take.
    """
    yield _check("python", lambda: f"{platform.python_version()} on {platform.platform()}")
    yield _check("libraries", _libraries)
    yield _check("device", lambda: f"{session.device.device}, {session.device.dtype}")
    yield _check("determinism", lambda: str(session.determinism))
    yield _check("model files", lambda: f"{session.files.id}, {session.outline.n_layers} layers")
    yield _check("memory", lambda: _memory(session))
    yield _check("disk", lambda: _disk(session, disk_bytes()))
    yield _check("tokenizer and windows", lambda: _windows(session))
    if session.is_configured(DatasetRole.B):
        yield _check("windows of B", lambda: _sizes(session.slices(DatasetRole.B)))
    if session.is_configured(DatasetRole.ARC_MCQ):
        yield _check("questions", lambda: _questions(session))
    yield _check("model", lambda: _loaded(session))
    for target in GainTarget:
        yield _check(f"sites, {target}", partial(_sites, session, target))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, passed=True, detail=look())
    except AvalatticeError as error:
        return Check(name, passed=False, detail=str(error))


def _libraries() -> str:
    versions = {name: library_version(name) for name in _LIBRARIES}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        raise VerificationError(f"not installed: {', '.join(missing)}")
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _memory(session: Session) -> str:
    needed = session.outline.n_params * 4
    free = psutil.virtual_memory().available
    if session.device.device == "cpu" and needed > free:
        raise ResourceError(f"{free / _GIB:.1f} GiB free, the weights take {needed / _GIB:.1f} GiB")
    return f"{free / _GIB:.1f} GiB free"


def _disk(session: Session, needed: int) -> str:
    place = Path(session.config.execution.runs_dir).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ResourceError(
            f"{free / _GIB:.1f} GiB free at {place}, the runs take {needed / _GIB:.1f} GiB"
        )
    return f"{free / _GIB:.1f} GiB free at {place}"


def _windows(session: Session) -> str:
    bos = "none" if session.bos_token_id is None else session.bos_token_id
    return f"{_sizes(session.windows)}, BOS token {bos}"


def _sizes(slices: Mapping[WindowSet, WindowSlice]) -> str:
    sizes = {str(name): len(windows.window_ids) for name, windows in slices.items()}
    return f"windows {sizes}"


def _questions(session: Session) -> str:
    """How many there are; raises where they cannot be put with this tokenizer."""
    questions, scorings = session.questions.questions, session.question_options.scorings
    for scoring in scorings:
        encode_questions(questions, session.tokenizer, scoring)
    return f"{len(questions)} questions, {' and '.join(scorings)} scoring"


def _loaded(session: Session) -> str:
    dtype = next(session.model.parameters()).dtype
    return f"{session.outline.n_params:,} parameters, {dtype}"


def _sites(session: Session, target: GainTarget) -> str:
    from avalattice.model.check import check_sites

    report = check_sites(session.model, target=target)
    report.raise_if_failed()
    return f"{len(report.rows)} self-test checks pass, family {report.family}"


def seconds_per_window(session: Session) -> float:
    """Time of one batch's decoder pass per window; the first pass warms up."""
    from avalattice.events.passes import batches
    from avalattice.model.forward import decoder_pass

    windows = session.windows[WindowSet.CALIBRATION]
    batch = next(iter(batches(windows, session.config.compute.batch_size)))
    for _ in range(2):
        start = time.perf_counter()
        decoder_pass(session.model, batch.input_ids)
    return (time.perf_counter() - start) / batch.n_windows
