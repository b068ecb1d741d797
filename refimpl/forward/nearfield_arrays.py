r"""A near-field setup as the flat arrays that the kernels take.

Not here: physics, beyond what a reflection contributes whatever the orientation. The rotated
vector keeps its length, so that with :math:`v = |g|\sin\theta` the part across the beam is
always :math:`|g|\cos\theta` long: equation (2) of the near-field formulas becomes
:math:`(y_l, z_l) = s\,(g_y, g_z)` with a constant :math:`s`, and the exclusion of the pole a limit
on :math:`|g_z|`. Vectors are in the MIDAS near-field frame (x along the beam, z the axis).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import NearfieldDetector, OmegaScan, Reflections, Setup
from refimpl.frames import F64

__all__ = ["MOST_VERTICES", "SetupArrays", "setup_arrays", "single_pixel"]

MOST_VERTICES = 8
"""Most corners of a voxel; the kernels keep them on their stack."""

_SAME = 1e-9  # an edge this close to the pixel, relative to it, is as long as the pixel


@dataclass(frozen=True, eq=False)
class SetupArrays:
    """What a kernel needs to know of a setup.

    Attributes
    ----------
    reflections
        (m, 6): g [1/angstrom] in the crystal's frame, v = |g| sin(theta) [1/angstrom],
        s = Lsd0 tan(2 theta) / (|g| cos(theta)) [mm angstrom], and the largest |g_z| that is not
        too near the pole (infinite where nothing is excluded).
    camera
        (15,): R row by row, pixel size [mm], NY, NZ, cos W, sin W, published wedge [rad]. With the
        published wedge W is 0, without it the last is 0.
    distances
        (d, 4): Lsd [mm], beam centre Y, Z [px], Lsd / Lsd of the first.
    scan
        (3,): start, step [rad], number of frames.
    windows
        (w, 6): from and to of omega [rad], of yl and of zl [mm].
    """

    reflections: F64
    camera: F64
    distances: F64
    scan: F64
    windows: F64


def setup_arrays(setup: Setup) -> SetupArrays:
    """Flat arrays of a setup."""
    scan = setup.scan
    return SetupArrays(
        _reflections(setup.reflections, setup.detector.lsd_mm[0], scan.exclude_pole_rad),
        _camera(setup.detector, scan),
        np.column_stack(
            [
                setup.detector.lsd_mm,
                setup.detector.beam_centre_px,
                setup.detector.lsd_mm / setup.detector.lsd_mm[0],
            ]
        ),
        np.array([scan.start_rad, scan.step_rad, float(scan.n_frames)]),
        np.ascontiguousarray(np.hstack([scan.ranges_rad, scan.boxes_mm])),
    )


def _reflections(reflections: Reflections, lsd0_mm: float, pole_rad: float) -> F64:
    length = np.sqrt((reflections.g**2).sum(axis=1))
    across = length * np.cos(reflections.theta_rad)
    limit = across * np.cos(pole_rad) if pole_rad > 0.0 else np.full(len(length), np.inf)
    return np.column_stack(
        [
            reflections.g,
            length * np.sin(reflections.theta_rad),
            lsd0_mm * np.tan(2.0 * reflections.theta_rad) / across,
            limit,
        ]
    )


def _camera(detector: NearfieldDetector, scan: OmegaScan) -> F64:
    wedge = 0.0 if scan.published_wedge else scan.wedge_rad
    published = scan.wedge_rad if scan.published_wedge else 0.0
    ny, nz = detector.shape_px
    return np.array(
        [
            *detector.rotation.ravel(),
            detector.pixel_size_mm,
            float(ny),
            float(nz),
            np.cos(wedge),
            np.sin(wedge),
            published,
        ]
    )


def single_pixel(vertices: F64, pixel_size_mm: float) -> NDArray[np.uint8]:
    """(v,) 1 for voxels (v, k, 2) [mm] whose edges are no longer than a pixel, 0 for the others.

    Such a voxel touches one pixel of a spot, at its mean offset (spec 1.9).

    Raises
    ------
    ConfigError
        A voxel of more than :data:`MOST_VERTICES` corners.
    """
    k = vertices.shape[1]
    if not 1 <= k <= MOST_VERTICES:
        raise ConfigError(f"voxels have {k} corners: expected 1 to {MOST_VERTICES}")
    edges = np.roll(vertices, -1, axis=1) - vertices
    longest = np.sqrt((edges**2).sum(axis=2)).max(axis=1)
    return (longest <= pixel_size_mm * (1.0 + _SAME)).astype(np.uint8)
