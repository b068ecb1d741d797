"""Packages whose public names are imported when they are first asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, home: Mapping[str, str]) -> Callable[[str], Any]:
    """Make a package give its public names from the modules that define them.

    A name wins over the module that is called the same, whoever imports either first: the import
    system binds ``refimpl.powder.calibrate`` to the module as soon as anyone imports it, and the
    documented meaning of that name is the function.

    Parameters
    ----------
    package
        ``__name__`` of the package, which is being imported.
    home
        Full name of the defining module of each public name.

    Returns
    -------
    Function to be bound as the package's ``__getattr__``; it raises AttributeError for other names.
    """

    class Room(ModuleType):
        """Package that binds the function where the import system would bind its module."""

        def __setattr__(self, name: str, value: Any) -> None:
            if name in home and isinstance(value, ModuleType):
                value = getattr(value, name)
            super().__setattr__(name, value)

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home[name]), name)

    sys.modules[package].__class__ = Room
    return get
