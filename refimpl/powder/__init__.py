"""Detector geometry from the Debye-Scherrer rings of a calibrant."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refimpl.powder.calibrate import calibrate
    from refimpl.powder.config import PowderConfig, read_config
    from refimpl.powder.integrate import integrate
    from refimpl.powder.joint import JointFrame, calibrate_joint
    from refimpl.powder.orient import find_transform
    from refimpl.powder.patches import score_maps
    from refimpl.powder.result import PowderResult

__all__ = [
    "JointFrame",
    "PowderConfig",
    "PowderResult",
    "calibrate",
    "calibrate_joint",
    "find_transform",
    "integrate",
    "read_config",
    "score_maps",
]

_HOME = {
    "JointFrame": "joint",
    "PowderConfig": "config",
    "PowderResult": "result",
    "calibrate": "calibrate",
    "calibrate_joint": "joint",
    "find_transform": "orient",
    "integrate": "integrate",
    "read_config": "config",
    "score_maps": "patches",
}


class _Room(ModuleType):
    """Package in which a function wins over the module of its name, whoever imports either first.

    The import system binds ``refimpl.powder.calibrate`` to the module as soon as anyone imports
    it; the documented meaning of that name is the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'refimpl.powder' has no attribute {name!r}")
    return getattr(importlib.import_module(f"refimpl.powder.{_HOME[name]}"), name)
