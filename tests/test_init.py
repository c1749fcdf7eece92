"""The package's face: every public name is there, and none is loaded before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import avalattice as av

ANALYSIS = (
    "avalanches branching branching_null_exact circular_shift_null crackling fit_tail "
    "permutation_null susceptibility"
)
SLOW = {"torch", "transformers", "numba", "scipy"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running code."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"import avalattice as av\n{code}\n{report}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", av.__all__)
def test_every_public_name_is_there(name):
    """What is named in public exists, and ``dir`` shows it."""
    assert getattr(av, name) is not None
    assert name in dir(av)


def test_other_names_are_not():
    """Control: a name that is not public is an attribute error that says so."""
    with pytest.raises(AttributeError, match="has no attribute 'avalanche'"):
        _ = av.avalanche


def test_type_checkers_see_the_same_names():
    """The imports for type checkers name what is imported on first use, and nothing else."""
    tree = ast.parse(Path(av.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    found = {alias.asname: node.module for node in block.body for alias in node.names}
    assert found == {name: f"avalattice.{home}" for name, home in av._HOMES.items()}


def test_the_package_loads_nothing_slow():
    """``import avalattice`` loads neither torch, nor numba, nor scipy."""
    assert loaded_by("").isdisjoint(SLOW)


def test_analysis_loads_no_torch_and_numba_only_when_it_draws():
    """Analysis needs no torch; its names alone need no numba, avalanches do."""
    names = "\n".join(f"av.{name}" for name in ANALYSIS.split())
    loaded = loaded_by(names)
    assert loaded.isdisjoint(SLOW - {"scipy"})
    assert "scipy" in loaded
    assert "numba" in loaded_by("import numpy; av.avalanches(numpy.ones((2, 3), int))")
