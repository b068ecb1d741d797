"""Detector geometry from the Debye-Scherrer rings of a calibrant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refimpl.lazy import lazy_names

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
    "JointFrame": "refimpl.powder.joint",
    "PowderConfig": "refimpl.powder.config",
    "PowderResult": "refimpl.powder.result",
    "calibrate": "refimpl.powder.calibrate",
    "calibrate_joint": "refimpl.powder.joint",
    "find_transform": "refimpl.powder.orient",
    "integrate": "refimpl.powder.integrate",
    "read_config": "refimpl.powder.config",
    "score_maps": "refimpl.powder.patches",
}

__getattr__ = lazy_names(__name__, _HOME)
