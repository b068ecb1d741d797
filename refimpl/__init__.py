"""Executable reference for the calibrations behind diffraction and cryo-EM experiments.

``import refimpl`` is light: the five systems and their dependencies load on first use, so
``refimpl.powder.calibrate(...)`` works after a plain ``import refimpl``.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from refimpl.dispatch import available_backends, use_backend

__all__ = ["__version__", "available_backends", "use_backend"]

__version__ = "0.1.0"

_ROOMS = frozenset(
    (
        *("centring", "clustering", "crystal", "data", "detector", "dispatch", "epu", "errors"),
        *("forward", "frames", "hdf5", "imaging", "interop", "io", "metrology", "nearfield"),
        *("objective", "powder", "report", "rotations", "scaleout", "testing", "units"),
    )
)


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"refimpl.{name}")
    raise AttributeError(f"module 'refimpl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
