"""Arguments for the pairs of forward/nearfield_spots.py and forward/nearfield_pixels.py."""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64
from refimpl.rotations import expmap, rx, ry, rz
from refimpl.testing.strategies import Arguments, strategy
from refimpl.units import DEG

__all__: list[str] = []


@strategy("nearfield_spots.theory_spots", chunk=(16, 512))
def _orientations(rng: np.random.Generator, n: int) -> Arguments:
    """Any orientation, some reflections beyond the sphere, two ranges that cut; either wedge."""
    h = 7
    return {
        "orientations": np.array([expmap(rng.normal(size=3)) for _ in range(n)]).reshape(n, 3, 3),
        "g": rng.normal(size=(h, 3)) * 0.5,
        "theta_rad": rng.uniform(0.01, 0.2, h),
        "ranges_rad": np.array([[-3.0, rng.uniform(-1.0, 1.0)], [0.3, 3.1]]),
        "boxes_mm": np.array([[-3.0, 2.5, -3.0, 2.5], [-1.5, 1.6, 0.1, 2.9]]),
        "exclude_pole_rad": rng.uniform(0.02, 0.2),
        "wedge_rad": rng.uniform(-0.02, 0.02),
        "published_wedge": bool(rng.integers(0, 2)),
        "lsd0_mm": rng.uniform(5.0, 10.0),
    }


def _tilt(rng: np.random.Generator) -> F64:
    tx, ty, tz = rng.uniform(-1.0, 1.0, 3) * DEG
    return rz(tz) @ ry(ty) @ rx(tx)


@strategy("nearfield_pixels.voxel_pixels", chunk=64, most=16)
def _voxels(rng: np.random.Generator, n: int) -> Arguments:
    """Points, triangles of both windings and squares, below and above a pixel, at the edges too."""
    corners = int(rng.choice([1, 3, 4]))
    angle = 2.0 * np.pi * np.arange(corners) / corners
    way = rng.choice([-1.0, 1.0], n)
    edge = rng.choice([0.001, 0.0015, 0.004, 0.02], n) * rng.uniform(0.9, 1.1, n)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1) / np.sqrt(3.0)
    turned = np.stack([np.broadcast_to(ring[:, 0], (n, corners)), way[:, None] * ring[:, 1]], -1)
    each = rng.integers(0, 4, n)
    spots = int(each.sum())
    return {
        "vertices_mm": rng.uniform(-0.05, 0.05, (n, 1, 2)) + edge[:, None, None] * turned,
        "edge_mm": edge,
        "key": np.stack([each, np.cumsum(each) - each], axis=-1),
        "yl_mm": rng.uniform(-0.1, 0.1, spots),
        "zl_mm": rng.uniform(-0.05, 0.1, spots),
        "omega_rad": rng.uniform(-np.pi, np.pi, spots),
        "rotation": _tilt(rng),
        "lsd_mm": np.array([6.0, 8.5, 7.0]) * rng.uniform(0.9, 1.1),
        "beam_centre_px": np.array([[60.3, 20.4], [58.1, 25.2], [61.7, 22.9]]),
        "pixel_size_mm": rng.uniform(0.0014, 0.0016),
        "shape_px": np.array([120, 80]),
        "start_rad": 3.0,
        "step_rad": -0.005,
        "n_frames": 1100,
        "wedge_rad": rng.uniform(-0.02, 0.02),
        "published_footprint": bool(rng.integers(0, 2)),
        "exact": bool(rng.integers(0, 2)),
    }
