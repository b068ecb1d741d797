"""Where not to look for spots: beyond resolution limits, on ice rings, in untrusted areas.

A mask is 1 where a pixel may be used, as everywhere in this room. The d spacing of a pixel is that
of its centre without parallax, as dials.find_spots takes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.cell import d_spacing
from refimpl.crystal.reflections import unique_reflections
from refimpl.errors import ConfigError, GeometryError
from refimpl.frames import F64

__all__ = ["ICE_CELL", "ICE_GROUP", "ice_rings", "resolution_map", "spot_mask"]

ICE_CELL = (4.498, 4.498, 7.338, 90.0, 90.0, 120.0)
"""Hexagonal ice [Angstrom, deg], as dials.find_spots has it."""

ICE_GROUP = 194
"""P 63/m m c."""

Point = tuple[float, float]


def resolution_map(
    d_matrix: F64, shape: tuple[int, int], pixel_size_mm: tuple[float, float], s0: F64
) -> F64:
    r"""Spacing :math:`d = 1/|s_1 - s_0|` at the centre of every pixel.

    Parameters
    ----------
    d_matrix
        (3, 3) global columns fast, slow, origin [mm] of the panel.
    shape
        Pixels (slow, fast).
    pixel_size_mm
        (fast, slow).
    s0
        (3,) beam vector [1/Angstrom], source to sample.

    Returns
    -------
    (slow, fast) [Angstrom]; infinite at the beam.

    Raises
    ------
    GeometryError
        A pixel lies in the sample.
    """
    fast = (np.arange(shape[1]) + 0.5) * pixel_size_mm[0]
    slow = (np.arange(shape[0]) + 0.5) * pixel_size_mm[1]
    length = float(np.sqrt(s0 @ s0))
    square = np.zeros(shape)
    parallel = np.zeros(shape)
    for axis in range(3):
        row = d_matrix[axis]
        lab = row[0] * fast[None, :] + row[1] * slow[:, None] + row[2]
        square += lab * lab
        parallel += lab * (s0[axis] / length)
    if not square.min(initial=1.0) > 0.0:
        raise GeometryError("the panel passes through the sample: no d spacing there")
    cosine = parallel / np.sqrt(square)
    with np.errstate(divide="ignore"):
        # |s1 - s0|^2 = 2 |s0|^2 (1 - cos 2 theta)
        return np.asarray(1.0 / (length * np.sqrt(np.maximum(2.0 - 2.0 * cosine, 0.0))))


def ice_rings(d_min_angstrom: float) -> F64:
    """Spacings [Angstrom] of the rings of hexagonal ice down to a limit, falling, each once."""
    hkl, _ = unique_reflections(ICE_CELL, ICE_GROUP, d_min_angstrom)
    return np.unique(np.round(d_spacing(hkl, ICE_CELL), 9))[::-1]


def spot_mask(
    shape: tuple[int, int],
    *,
    spacing: F64 | None = None,
    d_min: float | None = None,
    d_max: float | None = None,
    rings: Sequence[float] | F64 = (),
    ring_width: float = 0.002,
    rectangles: Sequence[tuple[int, int, int, int]] = (),
    circles: Sequence[tuple[float, float, float]] = (),
    polygons: Sequence[Sequence[Point]] = (),
) -> NDArray[np.uint8]:
    """Mask of one panel.

    Parameters
    ----------
    shape
        Pixels (slow, fast).
    spacing
        (slow, fast) [Angstrom], see :func:`resolution_map`; limits and rings need it.
    d_min, d_max
        Resolution limits [Angstrom], both included.
    rings
        Spacings [Angstrom] of rings to leave out, for instance :func:`ice_rings`.
    ring_width
        Whole width of a ring in 1/d^2 [1/Angstrom^2].
    rectangles
        Untrusted areas: first and one past the last fast, then slow pixel.
    circles
        Untrusted areas: centre (fast, slow) and radius [px].
    polygons
        Untrusted areas: corners (fast, slow) [px]. A pixel belongs to an area if its centre does.

    Raises
    ------
    ConfigError
        Limits or rings without spacings, spacings of another shape, or limits in the wrong order.
    """
    mask = np.ones(shape, dtype=np.uint8)
    if d_min is not None or d_max is not None or len(rings):
        if spacing is None or spacing.shape != tuple(shape):
            got = "none" if spacing is None else f"{spacing.shape}"
            raise ConfigError(
                f"resolution limits and rings need the d spacing of every pixel, {tuple(shape)}: "
                f"got {got}"
            )
        if d_min is not None and d_max is not None and d_min >= d_max:
            raise ConfigError(f"d_min={d_min} and d_max={d_max}: expected d_min < d_max")
        mask[spacing < (0.0 if d_min is None else d_min)] = 0
        mask[spacing > (np.inf if d_max is None else d_max)] = 0
        star = 1.0 / (spacing * spacing)
        for ring in rings:
            mask[np.abs(star - 1.0 / (ring * ring)) < 0.5 * ring_width] = 0
    fast = np.arange(shape[1], dtype=np.float64)[None, :] + 0.5
    slow = np.arange(shape[0], dtype=np.float64)[:, None] + 0.5
    for first_fast, end_fast, first_slow, end_slow in rectangles:
        mask[max(first_slow, 0) : max(end_slow, 0), max(first_fast, 0) : max(end_fast, 0)] = 0
    for centre_fast, centre_slow, radius in circles:
        mask[(fast - centre_fast) ** 2 + (slow - centre_slow) ** 2 <= radius * radius] = 0
    for corners in polygons:
        mask[_inside(fast, slow, corners)] = 0
    return mask


def _inside(fast: F64, slow: F64, corners: Sequence[Point]) -> NDArray[np.bool_]:
    """Whether points are in a polygon: a ray along fast crosses an odd number of its edges."""
    if len(corners) < 3:
        raise ConfigError(f"a polygon needs three corners or more: got {len(corners)}")
    odd = np.zeros(np.broadcast_shapes(fast.shape, slow.shape), dtype=bool)
    previous = corners[-1]
    for corner in corners:
        low, high = sorted((previous, corner), key=lambda point: point[1])
        if high[1] > low[1]:
            at = low[0] + (slow - low[1]) / (high[1] - low[1]) * (high[0] - low[0])
            odd ^= (slow >= low[1]) & (slow < high[1]) & (fast < at)
        previous = corner
    return odd
