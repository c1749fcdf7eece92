"""Checks at run time of what arrays are annotated to be, under pytest alone; hypothesis' settings.

Every array that enters or leaves a function or result of the package must have its annotated dtype
and rank, and axes of one name must have one length.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from types import FunctionType
from typing import Any, get_args

import hypothesis
import jaxtyping
import pytest
from beartype import beartype

hypothesis.settings.register_profile("patient", deadline=None)  # other processes take their time
hypothesis.settings.load_profile("patient")


def check_arrays(function: FunctionType) -> Callable[..., Any]:
    """The function with its array annotations checked; the others are for the type checker."""
    hints = function.__annotations__.items()
    function.__annotations__ = {name: hint for name, hint in hints if _holds_array(hint)}
    return beartype(function)


def _holds_array(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_holds_array, get_args(hint)))


jaxtyping.install_import_hook("avalattice", f"{__name__}.{check_arrays.__name__}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Run tests of wrong arrays without the checks: a user gets an ArrayError, not theirs."""
    source = inspect.getsource(item.function) if isinstance(item, pytest.Function) else ""
    jaxtyping.config.update("jaxtyping_disable", "raises(ArrayError" in source)
    try:
        return (yield)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
