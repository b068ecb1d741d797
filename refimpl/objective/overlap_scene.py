"""A setup, its voxels and its lit pixels as the arguments of the kernels that compare them.

Not here: physics. Vectors are in the MIDAS near-field frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64
from refimpl.objective.overlap_counts import MOST_CORNERS, MOST_DISTANCES

__all__ = ["coarser_setup", "margin_px", "pairs", "scene_arrays", "single_pixel", "stack_of"]


_SAME = 1e-9  # an edge longer than the pixel by less than this, relative, is as long as the pixel
_STEEPEST = 0.5  # [rad] tilt, and tangent of 2 theta, up to which lengths at most double


def single_pixel(vertices: F64, pixel_size_mm: float) -> NDArray[np.uint8]:
    """(v,) 1 for voxels (v, k, 2) [mm] whose edges are no longer than a pixel, 0 for the others.

    Such a voxel touches one pixel of a spot, at its mean offset (spec 1.9).
    """
    edges = np.roll(vertices, -1, axis=1) - vertices
    longest = np.sqrt((edges**2).sum(axis=2)).max(axis=1)
    return np.asarray(longest <= pixel_size_mm * (1.0 + _SAME)).astype(np.uint8)


def coarser_setup(setup: Setup, px_bits: int, frame_bits: int) -> Setup:
    """Setup whose pixels and frames are the cells of :meth:`LitPixels.coarser`.

    Where the numbers of pixels or frames are no multiples of a cell the last cell reaches beyond
    them, and what falls there counts as not lit.
    """
    cell, frames = 1 << px_bits, 1 << frame_bits
    ny, nz = setup.detector.shape_px
    return setup.changed(
        pixel_size_mm=setup.detector.pixel_size_mm * cell,
        beam_centre_px=setup.detector.beam_centre_px / cell,
        shape_px=(-(-ny // cell), -(-nz // cell)),
        step_rad=setup.scan.step_rad * frames,
        n_frames=-(-setup.scan.n_frames // frames),
    )


def margin_px(vertices: F64, setup: Setup) -> int | None:
    """Pixels that a footprint reaches from where the voxel's middle projects, at most.

    Lengths in the sample at most double on the way to a detector of moderate tilt; two pixels
    more for rounding the corners and flooring the spot. None for a detector or reflections beyond
    that, where nothing is abandoned.
    """
    if not len(vertices):
        return 0
    steep = np.tan(2.0 * setup.reflections.theta_rad).max(initial=0.0) > 2.0 * _STEEPEST
    if steep or np.abs(setup.detector.tilts_rad).max() > _STEEPEST:
        return None
    radius = np.sqrt(((vertices - vertices.mean(axis=1, keepdims=True)) ** 2).sum(axis=2)).max()
    return int(np.ceil(2.0 * radius / setup.detector.pixel_size_mm)) + 2


def stack_of(name: str, array: Any, shape: tuple[int, int]) -> F64:
    """One item of a shape, or several, as several."""
    out = np.asarray(array, dtype=np.float64)
    out = out[None] if out.ndim == 2 else out
    if out.ndim != 3 or out.shape[2] != shape[1] or (shape[0] and out.shape[1] != shape[0]):
        wanted = f"(n, {shape[0] or 'k'}, {shape[1]})"
        raise ConfigError(f"{name} have shape {np.shape(array)}: expected {wanted}")
    return out


def pairs(vertices: Any, orientations: Any) -> tuple[F64, F64]:
    """(n, k, 2) and (n, 3, 3), a single one of either repeated."""
    v, u = stack_of("vertices", vertices, (0, 2)), stack_of("orientations", orientations, (3, 3))
    if not 1 <= v.shape[1] <= MOST_CORNERS:
        raise ConfigError(f"voxels of {v.shape[1]} corners: expected 1 to {MOST_CORNERS}")
    n = len(u) if len(v) == 1 else len(v)
    if len(u) not in (1, n):
        raise ConfigError(
            f"{len(v)} voxels and {len(u)} orientations: expected equal numbers, or one of either"
        )
    return np.broadcast_to(v, (n, *v.shape[1:])), np.broadcast_to(u, (n, 3, 3))


def scene_arrays(vertices: F64, setup: Setup, lit: LitPixels) -> tuple[Any, ...]:
    """Arguments of the kernels from ``single`` on."""
    detector, scan = setup.detector, setup.scan
    shape = (detector.n_distances, scan.n_frames, *detector.shape_px)
    if lit.shape != shape:
        raise ConfigError(
            f"lit pixels of {lit.shape} distances, frames, Y and Z: the setup has {shape}"
        )
    if detector.n_distances > MOST_DISTANCES:
        raise ConfigError(f"{detector.n_distances} distances: expected at most {MOST_DISTANCES}")
    camera = [
        *detector.rotation.ravel(), detector.pixel_size_mm, *detector.shape_px, scan.wedge_rad,
        scan.published_wedge, scan.exclude_pole_rad,
    ]  # fmt: skip
    ratio = detector.lsd_mm / detector.lsd_mm[0]
    return (
        single_pixel(vertices, detector.pixel_size_mm), setup.reflections.g,
        setup.reflections.theta_rad, scan.ranges_rad, scan.boxes_mm,
        np.array(camera, dtype=np.float64),
        np.column_stack([detector.lsd_mm, detector.beam_centre_px, ratio]),
        np.array([scan.start_rad, scan.step_rad, scan.n_frames]),
        lit.coarse, lit.rank, lit.tiles,
    )  # fmt: skip
