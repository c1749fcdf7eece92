"""Installed Python packages: where their files are. No package's code is run to find out."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader


def locate(module: str) -> ModuleSpec | None:
    """The spec of an installed module, or None.

    ``importlib.util.find_spec`` imports the parents of a dotted name; here the parents are located
    in turn instead.

    >>> locate("pydoc_data.topics").origin.endswith("topics.py")
    True
    """
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module that is loaded and has no spec, such as __main__
        return None
    for depth in range(len(below)):
        if spec is None:
            return None
        name = ".".join((top, *below[: depth + 1]))
        spec = _find_below(name, spec.submodule_search_locations or ())
    return spec


def _find_below(name: str, folders: Iterable[str]) -> ModuleSpec | None:
    source = (SourceFileLoader, SOURCE_SUFFIXES)
    specs = [FileFinder(folder, source).find_spec(name) for folder in folders]
    found = [spec for spec in specs if spec is not None]
    # a folder without __init__.py has no loader, and gives way to one that has
    return next((spec for spec in found if spec.loader), found[0] if found else None)
