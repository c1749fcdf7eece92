"""The folder of an analysis and the command that writes it: all of it, or none."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avalattice.analyze import Analysis, analyze, analyze_counts, folder, read_counts
from avalattice.analyze.figures import drawings
from avalattice.analyze.words import summary_text
from avalattice.canon import OUTPUT, FigureId, TableId
from avalattice.cli import main
from avalattice.errors import RunExistsError
from avalattice.export.documents import GStarDocument, SignaturesDocument, read_document
from avalattice.export.schemas import (
    AVALANCHES,
    NULL_STATISTICS,
    T01_SUMMARY,
    T04_TAIL_FITS,
    T05_CRACKLING_DIAGNOSTICS,
)
from avalattice.export.tabular import read_csv, read_table
from avalattice.lattice.simulate import branching_raster
from tests.analyze.samples import QUICK, planted_curve, rng

COUNTS = branching_raster((8, 8, 24), 0.3, 0.5, 0.05, rng())
QUICKLY = ("--reps", 100, "--null-replicates", 3, "--avalanche-replicates", 2, "--gof-reps", 0)
EXPORTED = {
    TableId.T01_SUMMARY: T01_SUMMARY,
    TableId.T04_TAIL_FITS: T04_TAIL_FITS,
    TableId.T05_CRACKLING_DIAGNOSTICS: T05_CRACKLING_DIAGNOSTICS,
}
OF_RASTERS = {f"F{n:02}" for n in (1, 10, 12, 13, 14)}
OF_CURVES = {f"F{n:02}" for n in (3, 4, 5, 9)}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line; exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of counts, in the working folder."""
    monkeypatch.chdir(tmp_path)
    np.savez("walk.npz", A=COUNTS)
    return Path("walk.npz")


def contents(place: Path) -> dict[str, str]:
    """The digest of every file below a folder."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def test_the_folder_holds_every_table_under_its_name(cli, counts):
    """Tables read back by their schemas, CSV and Parquet alike; texts and verdicts beside them."""
    code, out, _ = cli("analyze", counts, *QUICKLY, "--no-figures", "--progress", "none")
    place = Path("walk_analysis")
    assert (code, out.endswith(f"\nwritten to {place}\n")) == (0, True)
    for table_id, schema in EXPORTED.items():
        table = read_table(place / OUTPUT.TABLE_FILE_PARQUET[table_id.name], schema)
        assert table.equals(read_csv(place / OUTPUT.TABLE_FILE_CSV[table_id.name], schema))
    read_table(place / "results" / "null_statistics.parquet", NULL_STATISTICS)
    avalanches = read_table(place / "results" / "avalanches.parquet", AVALANCHES)
    row = read_table(place / OUTPUT.TABLE_FILE_PARQUET["T01_SUMMARY"], T01_SUMMARY).to_pylist()[0]
    assert row["n_avalanches"] == avalanches.num_rows > 0
    assert row["model_id"] == "walk.npz"
    document = read_document(place / "results" / "signatures.json", SignaturesDocument)
    assert len(document.entries) == 3
    assert not (place / "results" / "gstar.json").exists()
    assert out.startswith((place / "summary.txt").read_text())


def test_a_curve_has_its_gstar(cli, counts):
    """With gains, gstar.json holds the choice and what it was chosen on."""
    np.savez(counts, A=planted_curve(8)[:, :, :8], gain=np.linspace(0.7, 1.3, 11))
    words = ("--no-figures", "--json", "--progress", "none")
    code, out, _ = cli("analyze", counts, *QUICKLY, *words, "-o", "curve")
    value = json.loads(out)
    document = read_document(Path("curve/results/gstar.json"), GStarDocument)
    assert code == 0
    assert value["choice"] == document.model_dump(mode="json")
    assert len(value["summary"]) == len(document.gains) == 11
    assert value["signatures"]["entries"][0]["numbers"]["g_star"] is not None
    assert any("same windows" in note for note in value["notes"])


def test_equal_counts_give_equal_bytes_wherever_they_are_written(tmp_path):
    """Two analyses of one file are equal in every byte; figures carry their origin."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "walk.npz", A=COUNTS)
        analysis = _analysis(tmp_path / name / "walk.npz")
        folder.write_analysis(analysis, tmp_path / name / "out")
    first, second = (contents(tmp_path / name / "out") for name in ("one", "two"))
    assert first == second
    np.savez(tmp_path / "one" / "walk.npz", A=COUNTS + 1)
    analysis = _analysis(tmp_path / "one" / "walk.npz")
    folder.write_analysis(analysis, tmp_path / "other")
    other = contents(tmp_path / "other")
    assert [name for name in first if first[name] == other[name]] == []  # control
    with Image.open(tmp_path / "other" / OUTPUT.FIG_FILE_PNG["F12_TAILS"]) as image:
        assert image.text["run_id"] == analysis.run_id
        assert image.text["model_id"] == "walk.npz"


def _analysis(path: Path) -> Analysis:
    return analyze_counts(read_counts(path), QUICK)


# -------------------------------------------------------------------------------- all or none


def test_what_is_there_is_never_touched(cli, counts):
    """A folder that is not empty, or a file, is refused with 4 and the remedy, before any work."""
    place = Path("walk_analysis")
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    Path("file").write_text("mine")
    for out in (place, Path("file")):
        before = contents(Path())
        code, _, err = cli("analyze", counts, *QUICKLY, "--out", out)
        assert code == 4
        assert f"{out}: is there already" in err
        assert "--out" in err
        assert contents(Path()) == before


def test_an_empty_folder_is_taken(tmp_path):
    """A folder that was made beforehand, and is empty, is filled."""
    (tmp_path / "out").mkdir()
    folder.write_analysis(analyze(COUNTS, options=QUICK), tmp_path / "out", figures=False)
    assert (tmp_path / "out" / "summary.txt").is_file()


def test_a_folder_that_appears_meanwhile_is_not_touched(tmp_path, monkeypatch):
    """What somebody else writes there while figures are drawn stays, and nothing is left over."""
    write = folder._write

    def writing(path: Path, content: bytes) -> None:
        write(path, content)
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "theirs").touch()

    monkeypatch.setattr(folder, "_write", writing)
    with pytest.raises(RunExistsError):
        folder.write_analysis(analyze(COUNTS, options=QUICK), tmp_path / "out", figures=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
from avalattice.analyze import folder
write, left = folder._write, [4]
def interrupting(path, content):
    write(path, content[: len(content) // 2])
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.{number})
folder._write = interrupting
from avalattice.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_an_interruption_leaves_nothing(number, counts):
    """Ctrl-C and a polite kill in the middle of writing exit 130, and no file is left."""
    words = ["analyze", str(counts), *map(str, QUICKLY), "--no-figures", "--progress", "none"]
    script = INTERRUPTED.format(number=number)
    ended = subprocess.run(
        [sys.executable, "-c", script, *words], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 130
    assert [path.name for path in Path().rglob("*")] == ["walk.npz"]


def test_a_place_that_cannot_be_written_exits_5(cli, counts):
    """A folder below a file is a matter of resources, with the remedy; nothing is left over."""
    code, _, err = cli("analyze", counts, *QUICKLY, "--no-figures", "--out", "walk.npz/out")
    assert code == 5
    assert "name another folder with --out" in err
    assert [path.name for path in Path().rglob("*")] == ["walk.npz"]


# ------------------------------------------------------------------------------ the command line


def test_wrong_input_exits_2_and_names_the_file(cli, counts):
    """Wrong arrays, options and missing files: exit 2 before anything is written."""
    np.savez("wrong.npz", A=COUNTS.astype(int) - 1)
    for words, message in (
        (("wrong.npz",), r"wrong\.npz: A must not be negative, found -1 at"),
        (("none.npz",), r"none\.npz: no such file"),
        ((counts, "--reps", 5), "--reps.*100"),
        ((counts, "--adjacency", "ADJ_6N"), "ADJ_8N"),
    ):
        code, out, err = cli("analyze", *words)
        assert (code, out) == (2, "")
        assert re.search(message, err)
    assert not list(Path().glob("*_analysis"))


def test_underscores_and_options_reach_the_analysis(cli, counts):
    """Options are those of ``Options``, however they are spelled."""
    words = ("--null_replicates", 3, "--seed", 5, "--adjacency", "ADJ_8N", "--denominator")
    few = ("--reps", 100, "--avalanche_replicates", 1, "--gof_reps", 0, "--no_figures")
    code, out, _ = cli("analyze", counts, *words, "all_sites", *few, "--out", "x")
    assert code == 0
    assert "ADJ_8N, all_sites, 100 window resamples, 3 draws of each null, seed 5" in out


def test_progress_goes_to_standard_error_and_results_to_standard_output(cli, counts):
    """JSON alone on standard output; lines of progress beside it."""
    words = ("--no-figures", "--json", "--progress", "log")
    code, out, err = cli("analyze", counts, *QUICKLY, *words)
    assert code == 0
    assert json.loads(out)["path"] == "walk_analysis"
    assert "walk.npz 2/2" in err


def test_without_matplotlib_there_are_tables_and_a_remedy(cli, counts, monkeypatch):
    """Figures need matplotlib; without it everything else is written, and what to do is said."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    code, _, err = cli("analyze", counts, *QUICKLY, "--progress", "log")
    assert code == 0
    assert "pip install 'avalattice[figures]'" in err
    assert not Path("walk_analysis/figs").exists()


def test_the_whole_command_runs_without_torch(counts):
    """A fresh interpreter writes everything, figures too, without torch or transformers."""
    words = ["analyze", str(counts), *map(str, QUICKLY)]
    code = (
        "import sys\nfrom avalattice.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit as ended: assert not ended.code\n"
        "assert 'matplotlib' in sys.modules  # control: figures were drawn\n"
        "sys.exit(not {'torch', 'transformers'}.isdisjoint(sys.modules))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)
    names = {path.name[4:7] for path in Path("walk_analysis").rglob("fig_*.png")}
    assert names == {path.name[4:7] for path in Path("walk_analysis").rglob("fig_*.pdf")}
    assert names == OF_RASTERS


# ------------------------------------------------------------------------------------- figures


def texts(figure) -> str:
    """Everything that is written in a figure."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize(
    ("A", "gains"),
    [
        (COUNTS, None),
        (np.stack([COUNTS, COUNTS]), [0.9, 1.1]),
        (np.zeros((2, 3, 4), int), None),
        (np.zeros((2, 2, 3, 4), int), [0.9, 1.0]),
    ],
    ids=["alone", "curve without gain 1", "silent", "silent curve"],
)
def test_figures_of_given_counts_claim_no_model_and_no_held_out_windows(A, gains):
    """Every figure that applies is drawn, and calls the counts what they are."""
    analysis = analyze(A, gains=gains, options=QUICK)
    found = {drawing.figure_id.name[:3]: drawing.draw() for drawing in drawings(analysis)}
    assert set(found) == OF_RASTERS | (OF_CURVES if gains else set())
    for name, figure in found.items():
        words = texts(figure)
        for untrue in ("held-out", "Dataset", "sided", "in sample", "target counts"):
            assert untrue not in words, name
        assert gains or "g = 1" not in words, name


def test_figures_of_many_conditions_show_the_first_and_say_so():
    """Beyond a dozen conditions, figures show the first, a note says so, and tables have all."""
    stack = np.broadcast_to(COUNTS[:2, :, :6], (14, 2, 8, 6))
    analysis = analyze(stack, options=QUICK)
    assert "figures show the first 12 of 14 conditions" in " ".join(analysis.notes)
    (profile,) = [d for d in drawings(analysis) if d.figure_id is FigureId.F14_DEPTH_PROFILE]
    assert len(profile.rows) == 12
    assert analysis.summary.num_rows == 14
    assert "condition 13" in summary_text(analysis)
