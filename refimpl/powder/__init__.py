"""Detector geometry from the Debye-Scherrer rings of a calibrant."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refimpl.powder.calibrate import calibrate
    from refimpl.powder.config import PowderConfig, read_config
    from refimpl.powder.integrate import integrate
    from refimpl.powder.orient import find_transform
    from refimpl.powder.patches import score_maps
    from refimpl.powder.result import PowderResult

__all__ = [
    "PowderConfig",
    "PowderResult",
    "calibrate",
    "find_transform",
    "integrate",
    "read_config",
    "score_maps",
]

_HOME = {
    "PowderConfig": "config",
    "PowderResult": "result",
    "calibrate": "calibrate",
    "find_transform": "orient",
    "integrate": "integrate",
    "read_config": "config",
    "score_maps": "patches",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'refimpl.powder' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"refimpl.powder.{_HOME[name]}"), name)
    globals()[name] = value  # a function may share its module's name: keep the function
    return value
