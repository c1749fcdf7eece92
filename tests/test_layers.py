"""Imports: downwards only, without circles, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import avalattice

ROOT = "avalattice"
ORDER = """
canon errors rng yamlfile arrays config
data model events lattice stats export
store engine progress analyze report release_check
stages stagetable pipeline plan schemas deep results cli __main__
""".split()
"""The package's layers: a module imports only what stands before its own."""

SCIENCE = {"data", "model", "events", "lattice", "stats", "export"}
NOT_FOR_SCIENCE = {"store", "engine", "progress", "stages", "pipeline", "cli", "config"}
FOR_STORE = {"canon", "errors", "arrays", "store"}
TORCH = ("torch", "transformers")
HEAVY = {*TORCH, "matplotlib"}


# ------------------------------------------------------------------------------- reading imports


@dataclass(frozen=True)
class Import:
    """One module that another one imports."""

    module: str
    imported: str
    line: int
    at_once: bool
    """When the module itself is imported, and not within a function or for type checkers."""

    @property
    def fault(self) -> str:
        """The import in words."""
        return f"{self.module}:{self.line} imports {self.imported}"


def layer(module: str) -> str:
    """The layer of a module of the package; that of the package itself is empty."""
    return f"{module}.".split(".")[1]


def imports(module: str, source: str, modules: Mapping[str, str]) -> Iterator[Import]:
    """Everything that a module imports, wherever the statement stands."""
    for node, at_once in _statements(ast.parse(source), at_once=True):
        for name in _names(node, module, modules):
            yield Import(module, name, node.lineno, at_once)


def _statements(node: ast.AST, *, at_once: bool) -> Iterator[tuple[ast.stmt, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_once
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from _statements(child, at_once=at_once and not later and not typing)


def _names(node: ast.stmt, module: str, modules: Mapping[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = module if _is_package(module, modules) else module.rpartition(".")[0]
        parts = package.split(".")
        above = parts[: len(parts) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:  # from package import module, or from module import name
            below = f"{base}.{alias.name}"
            yield below if below in modules else base


def _is_package(module: str, modules: Mapping[str, str]) -> bool:
    return any(name.startswith(f"{module}.") for name in modules)


def all_imports(modules: Mapping[str, str]) -> list[Import]:
    """The imports of every module, but for the package's own face, which stands above all."""
    return [
        found
        for module, source in modules.items()
        if module != ROOT
        for found in imports(module, source, modules)
    ]


def within(modules: Mapping[str, str]) -> list[Import]:
    """The imports of modules of the package, the package's own version aside."""
    return [found for found in all_imports(modules) if found.imported.startswith(f"{ROOT}.")]


# ---------------------------------------------------------------------------------- the rules


def upward(modules: Mapping[str, str]) -> list[str]:
    """Imports of a layer that stands after the importing module's own."""
    return [
        found.fault
        for found in within(modules)
        if ORDER.index(layer(found.imported)) > ORDER.index(layer(found.module))
    ]


def astray(modules: Mapping[str, str]) -> list[str]:
    """Science that knows of the machinery beside it, and a store that knows of the science."""
    return [
        found.fault
        for found in within(modules)
        if (layer(found.module) in SCIENCE and layer(found.imported) in NOT_FOR_SCIENCE)
        or (layer(found.module) == "store" and layer(found.imported) not in FOR_STORE)
    ]


def circles(modules: Mapping[str, str]) -> list[str]:
    """The first circle of imports, if there is one."""
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in within(modules):
        graph[found.module].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def torch_at_once(modules: Mapping[str, str]) -> list[str]:
    """Imports of torch or transformers outside functions, where they are not at home."""
    return [
        found.fault
        for found in all_imports(modules)
        if found.at_once
        and found.imported.split(".")[0] in TORCH
        and layer(found.module) not in ("model", "events")
        and not found.module.startswith(f"{ROOT}.stages.s0")
    ]


RULES = (upward, astray, circles, torch_at_once)


def package_modules() -> dict[str, str]:
    """The source of every module of the package, by dotted name."""
    top = Path(avalattice.__file__).parent
    sources = {}
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top.parent).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        sources[name] = path.read_text(encoding="utf-8")
    return sources


# ------------------------------------------------------------------------------------ the tests


def test_every_module_has_a_layer():
    """The order of layers names every module and package, and nothing that is not there."""
    assert {layer(module) for module in package_modules() if module != ROOT} == set(ORDER)


@pytest.mark.parametrize("rule", RULES)
def test_the_package_follows_the_rules(rule):
    """Imports flow downwards, without circles; torch stays where it belongs."""
    assert rule(package_modules()) == []


GOOD = {
    "avalattice": "from avalattice.cli import main",
    "avalattice.canon": "import enum",
    "avalattice.errors": "",
    "avalattice.arrays": "from avalattice.errors import ArrayError",
    "avalattice.config": "from avalattice import __version__, canon",
    "avalattice.model": "",
    "avalattice.model.sites": "import torch\nfrom transformers.utils import x",
    "avalattice.lattice": "",
    "avalattice.lattice.one": "from avalattice.arrays import a",
    "avalattice.lattice.two": "from avalattice.lattice.one import b\nfrom .one import c",
    "avalattice.store": "",
    "avalattice.store.runs": "from avalattice import arrays",
    "avalattice.stages": "",
    "avalattice.stages.s01": "import torch",
    "avalattice.cli": "from avalattice import arrays\ndef f():\n    import torch",
}


def test_a_good_tree_breaks_no_rule():
    """Control: none of the allowed forms of import counts as a fault."""
    assert [rule(GOOD) for rule in RULES] == [[], [], [], []]


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("avalattice.lattice.one", "from avalattice.stages.s01 import run", [upward, astray]),
        ("avalattice.lattice.one", "import avalattice.store.runs", [upward, astray]),
        ("avalattice.lattice.one", "from avalattice.config import Config", [astray]),
        ("avalattice.lattice.one", "def f():\n    from avalattice import config", [astray]),
        ("avalattice.lattice.one", "from ..store import runs", [upward, astray]),
        ("avalattice.store.runs", "from avalattice.lattice import one", [astray]),
        ("avalattice.store.runs", "import avalattice.config", [astray]),
        ("avalattice.arrays", "from avalattice import cli", [upward, circles]),
        ("avalattice.errors", "import avalattice.arrays", [upward, circles]),
        (
            "avalattice.arrays",
            "if TYPE_CHECKING:\n    from avalattice.config import Config",
            [upward],
        ),
        ("avalattice.lattice.one", "from avalattice.lattice.two import b", [circles]),
        ("avalattice.lattice.one", "from torch import nn", [torch_at_once]),
        ("avalattice.lattice.one", "try:\n    import transformers\nexcept: ...", [torch_at_once]),
        ("avalattice.cli", "class A:\n    import torch.nn", [torch_at_once]),
        ("avalattice.cli", "if TYPE_CHECKING:\n    import torch", []),
        ("avalattice.cli", "f = lambda: __import__('torch')", []),
    ],
)
def test_faults_are_found(module, line, broken):
    """Control: each kind of fault, added to a good tree, breaks exactly its rules."""
    tree = {**GOOD, module: f"{GOOD[module]}\n{line}"}
    assert [rule for rule in RULES if rule(tree)] == broken


# ----------------------------------------------------------------------- what is really imported


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running code."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def help_of(*arguments: str) -> str:
    """Code that shows help, and goes on."""
    return (
        f"import runpy, sys; sys.argv = {[ROOT, *arguments, '--help']!r}\n"
        f"try: runpy.run_module({ROOT!r}, run_name='__main__')\n"
        "except SystemExit as ended: assert not ended.code"
    )


def test_analysis_imports_nothing_heavy():
    """What needs no model loads neither torch, nor transformers, nor matplotlib."""
    needs_none = ("lattice", "stats", "export", "analyze")
    analysis = [m for m in package_modules() if layer(m) in needs_none]
    loaded = loaded_by(f"import {', '.join(analysis)}")
    assert loaded.isdisjoint(HEAVY)
    assert {"numpy", "avalattice"} <= loaded  # control: what is loaded is seen


def test_the_package_itself_imports_nothing():
    """``import avalattice`` loads nothing heavy, nor numpy."""
    assert loaded_by("import avalattice").isdisjoint({*HEAVY, "numpy"})


@pytest.mark.parametrize(
    "command", [(), ("run",), ("phase1_calibrate",), ("analyze",)], ids=" ".join
)
def test_help_imports_nothing_heavy(command):
    """Help loads neither torch, nor transformers, nor matplotlib, nor numpy."""
    loaded = loaded_by(help_of(*command))
    assert loaded.isdisjoint({*HEAVY, "numpy"})
    assert "typer" in loaded


def test_help_answers_in_half_a_second():
    """``avalattice --help`` takes less than 0.5 s of processor time, at the best of five runs."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", ROOT, "--help"]
        done = subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert b"phase1_calibrate" in done.stdout
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.5


def test_no_source_file_is_left_out_of_the_repository():
    """.gitignore names no folder of the package or of its tests: a clone and a wheel have all."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        pytest.skip("not a checkout of the repository")
    files = [
        path.relative_to(root)
        for folder in (root / "src", root / "tests")
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    ]

    def ignored(*more: str) -> list[str]:
        names = "\0".join([*map(str, files), *more])
        told = subprocess.run(
            ["git", "check-ignore", "-z", "--stdin", "--no-index"],
            cwd=root,
            input=names,
            capture_output=True,
            text=True,
            check=False,
        )
        return [name for name in told.stdout.split("\0") if name]

    assert ignored() == []
    assert ignored("runs/x.json") == ["runs/x.json"]  # control
