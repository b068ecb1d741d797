"""Published files into a calibration, and its result into published lines and a text to read.

The keys of FitOrientationParameters (spec 1.10) are bounds: OrientTol, TiltsTol, LsdTol of the
first distance, LsdRelativeTol of each further one to the first, BCTol. A GridPoints line is a row
of a .mic file. Points of one orientation are one grain: its blobs show the grain's centre, not the
point, so they become one crystal that starts at their mean. The published rounds refine against a
staircase and need many; a round here is a match and a fit, so NumIterations below
:data:`LEAST_ROUNDS` is raised to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.io.mic import MicTable
from refimpl.nearfield.calibrate import Calibration
from refimpl.nearfield.calibrate_fit import GROUPS
from refimpl.nearfield.calibrate_model import Crystal, Geometry
from refimpl.nearfield.calibrate_parameters import CalibrateSettings
from refimpl.nearfield.settings import NearfieldConfig
from refimpl.rotations import matrix_of_euler, quaternion_of_euler
from refimpl.units import DEG

__all__ = ["LEAST_ROUNDS", "crystals_of", "geometry_lines", "report_lines", "settings_of"]

LEAST_ROUNDS = 5
"""Matching settles in three or four rounds."""

_UNITS = {"Lsd": (1e3, "um"), "dLsd": (1e3, "um"), "BC": (1.0, "px"), "position": (1e3, "um")}
_DEGREES = (180.0 / np.pi, "deg")


def settings_of(config: NearfieldConfig, **changes: Any) -> CalibrateSettings:
    """Settings of a configuration, with some fields of the settings changed.

    Raises
    ------
    ConfigError
        A change that :class:`~refimpl.nearfield.calibrate_parameters.CalibrateSettings` refuses.
    """
    table = config.calibration
    bounds = CalibrateSettings(
        orient_tol_rad=config.search.orient_tol_deg * DEG,
        tilts_tol_rad=table.tilts_tol_deg * DEG,
        lsd_tol_mm=table.lsd_tol_mm,
        lsd_relative_tol_mm=table.lsd_relative_tol_mm,
        bc_tol_px=table.beam_centre_tol_px,
        rounds=max(table.iterations, LEAST_ROUNDS),
    )
    return replace(bounds, **changes)


def crystals_of(
    points: MicTable,
    space_group: int,
    within_rad: float = DEG,
    *,
    cell: Sequence[float] | None = None,
) -> list[Crystal]:
    """Crystals of GridPoints (:func:`refimpl.nearfield.grid.grid_points`), as they first come.

    Parameters
    ----------
    points
        Positions and orientations.
    space_group
        For the misorientation.
    within_rad
        Points nearer than this to the first of a crystal belong to it.
    cell
        a, b, c [angstrom], alpha, beta, gamma [degrees]: which axis of a monoclinic crystal is the
        unique one.
    """
    euler = np.asarray(points.euler_rad)
    quaternions, symmetry = quaternion_of_euler(euler), operators(space_group, cell)
    left, out = np.ones(len(euler), dtype=bool), []
    while left.any():
        first = int(np.argmax(left))
        same = np.repeat(quaternions[first][None], len(euler), axis=0)
        own = left & (misorientation(same, quaternions, symmetry) < within_rad)
        own[first] = True
        left &= ~own
        out.append(Crystal(matrix_of_euler(euler[first]), points.xy_mm[own].mean(axis=0)))
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


def report_lines(found: Calibration, least_correlation: float = 0.95) -> list[str]:
    """What a calibration did, to read: rounds, changes with standard uncertainties, warnings."""
    fit, lines = found.position.fit, []
    for i, r in enumerate(found.rounds, start=1):
        y, z, omega = r.rms
        lines.append(
            f"round {i}: {r.matched} of {r.predicted} spots within {r.radius_px:.1f} px; off by "
            f"{y:.2f} px in Y, {z:.2f} px in Z, {omega:.2f} frames"
        )
    lines.append(f"{len(found.matches)} spots used, {found.rejected} left out")
    sizes = [f"{name} {s:.2f}" for name, s in zip(GROUPS, found.position.sigma, strict=True)]
    lines.append("standard deviations [px; quanta of omega]: " + ", ".join(sizes))
    for name, x, sigma in zip(fit.names, fit.x, fit.sigma, strict=True):
        scale, unit = _UNITS.get(name.split("_")[0].split("[")[0], _DEGREES)
        if sigma > 0.0:
            lines.append(f"{name}: {scale * x:+.4f} +- {scale * sigma:.4f} {unit}")
    if fit.undetermined:
        lines.append("not determined by these spots, held: " + ", ".join(fit.undetermined))
    if fit.at_bound:
        lines.append("on a bound: " + ", ".join(fit.at_bound))
    for one, other, c in found.correlated(least_correlation):
        lines.append(f"correlated: {one} and {other}, {c:+.3f}")
    lines.append(
        "by no crystal: the height of the sample plane (z = 0), and a common scale of distances, "
        "positions and the pixel size"
    )
    return lines
