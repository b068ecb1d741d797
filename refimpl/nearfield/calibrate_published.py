"""The published keys of FitOrientationParameters (spec 1.10) turned into settings and crystals.

OrientTol, TiltsTol [degrees], LsdTol, LsdRelativeTol [um] and BCTol [px] become bounds, and
NumIterations the rounds; a key that is not given leaves the default. A GridPoints line is a row of
a .mic file. Points of one orientation are one grain: its blobs show the grain's centre, not the
point, so they become one crystal that starts at their mean. Published rounds refine each point
against a staircase and need many; a round here is a match and a fit, so NumIterations below
:data:`LEAST_ROUNDS` is raised to it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.frames import F64
from refimpl.io.nearfield_params import NearfieldParams
from refimpl.nearfield.calibrate_model import Crystal, Geometry
from refimpl.nearfield.calibrate_parameters import CalibrateSettings
from refimpl.rotations import matrix_of_euler, quaternion_of_euler

__all__ = ["LEAST_ROUNDS", "calibrate_settings", "geometry_lines", "grid_crystals"]

LEAST_ROUNDS = 5
"""Matching settles in three or four rounds."""

_GRAIN_DEG = 1.0
_X, _Y, _EULER = 3, 4, slice(7, 10)
"""Columns of a row of a .mic file [um, um, rad]."""


def calibrate_settings(params: NearfieldParams, **changes: object) -> CalibrateSettings:
    """Settings of a published parameter file, with some fields of the settings changed."""
    scales = {
        "OrientTol": ("orient_tol_rad", np.pi / 180.0),
        "TiltsTol": ("tilts_tol_rad", np.pi / 180.0),
        "LsdTol": ("lsd_tol_mm", 1e-3),
        "LsdRelativeTol": ("lsd_relative_tol_mm", 1e-3),
    }
    given: dict[str, object] = {
        field: float(params.number(key)) * scale
        for key, (field, scale) in scales.items()
        if params.get(key) is not None
    }
    if params.get("BCTol") is not None:
        y, z = params.rows("BCTol")
        given["bc_tol_px"] = (float(y), float(z))
    if "NumIterations" in params:
        given["rounds"] = max(int(params.number("NumIterations")), LEAST_ROUNDS)
    return replace(CalibrateSettings(), **(given | changes))  # type: ignore[arg-type]


def grid_crystals(params: NearfieldParams) -> list[Crystal]:
    """Crystals of the GridPoints lines, in the order in which they first come.

    Points within 1 degree of the first of a crystal belong to it.

    Raises
    ------
    ConfigError
        No GridPoints, or no SpaceGroup.
    """
    params.require("GridPoints", "SpaceGroup")
    rows = np.array(params.rows("GridPoints"), dtype=np.float64)
    quaternions = quaternion_of_euler(rows[:, _EULER])
    symmetry = operators(int(params.number("SpaceGroup")))
    left = np.ones(len(rows), dtype=bool)
    out = []
    while left.any():
        first = int(np.argmax(left))
        apart = misorientation(
            np.broadcast_to(quaternions[first], quaternions.shape), quaternions, symmetry
        )
        own = left & (np.degrees(apart) < _GRAIN_DEG)
        left &= ~own
        position: F64 = rows[own][:, [_X, _Y]].mean(axis=0) * 1e-3
        out.append(Crystal(matrix_of_euler(rows[first, _EULER]), position))
    return out


def geometry_lines(geometry: Geometry) -> list[str]:
    """Lines of a published parameter file [um, px, degrees]: Lsd, BC, tx, ty, tz, Wedge.

    Where detectors have tilts of their own, those of the first distance.
    """
    lines = [f"Lsd {1e3 * lsd:.6f}" for lsd in geometry.lsd_mm]
    lines += [f"BC {y:.6f} {z:.6f}" for y, z in geometry.beam_centre_px]
    tilts = np.degrees(geometry.tilts_rad[0])
    lines += [f"{name} {value:.6f}" for name, value in zip(("tx", "ty", "tz"), tilts, strict=True)]
    return [*lines, f"Wedge {np.degrees(geometry.wedge_rad):.6f}"]
