"""Locating installed modules without running any of their code."""

from __future__ import annotations

import sys

import pytest

from avalattice.data.packages import locate

BOOM = "raise RuntimeError('this package was imported')\n"


@pytest.fixture
def explosive(tmp_path, monkeypatch):
    """A package on the path whose import fails, at each of its levels."""
    for folder in ("explosive", "explosive/below", "explosive/bare/deep"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("__init__", "module", "below/__init__", "below/module", "bare/deep/module"):
        (tmp_path / "explosive" / f"{file}.py").write_text(BOOM)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "explosive"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("explosive", "__init__.py"),
        ("explosive.module", "module.py"),
        ("explosive.below", "below/__init__.py"),
        ("explosive.below.module", "below/module.py"),
        ("explosive.bare.deep.module", "bare/deep/module.py"),
    ],
)
def test_modules_are_located_and_not_imported(explosive, name, file):
    """Neither the module nor any package above it is imported."""
    spec = locate(name)
    assert spec is not None
    assert (spec.name, spec.origin) == (name, str(explosive / file))
    assert not any(module.startswith("explosive") for module in sys.modules)
    with pytest.raises(RuntimeError, match="this package was imported"):  # control
        __import__(name)


def test_packages_know_their_folders(explosive):
    """A package's spec has its folder, one without ``__init__.py`` too; a module's has none."""
    folders = {
        name: locate(name).submodule_search_locations
        for name in ("explosive", "explosive.bare", "explosive.module")
    }
    assert folders == {
        "explosive": [str(explosive)],
        "explosive.bare": [str(explosive / "bare")],
        "explosive.module": None,
    }


def test_a_package_goes_before_a_bare_folder(explosive, tmp_path, monkeypatch):
    """Of a folder without ``__init__.py`` and a package of one name, the package is found."""
    (tmp_path / "first" / "explosive" / "below").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "first")
    assert locate("explosive.below").origin == str(explosive / "below" / "__init__.py")


@pytest.mark.parametrize(
    "name",
    [
        *("explosive.none", "explosive.none.module", "explosive.module.below", "no_such_package"),
        *("no_such_package.below", "", ".", "explosive.", ".explosive", "../explosive", "a b"),
        "__main__.below",
    ],
)
def test_what_is_not_there_is_not_found(explosive, name):
    """Missing modules, and texts that are no module names, give None."""
    assert locate(name) is None


def test_a_loaded_module_without_a_spec_is_not_found(monkeypatch):
    """A module that was made by hand cannot be located."""
    monkeypatch.setitem(sys.modules, "handmade", type(sys)("handmade"))
    assert locate("handmade") is None
