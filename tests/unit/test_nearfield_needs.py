"""Where a finer grid needs a search, and from what it begins."""

from __future__ import annotations

import numpy as np
import pytest
from nearfield_case import GROUP
from numpy.typing import NDArray

from refimpl.crystal.misorientation import misorientation
from refimpl.forward.nearfield_setup import Voxels
from refimpl.frames import F64
from refimpl.nearfield.grid import hex_grid, square_grid
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.needs import needs_of
from refimpl.nearfield.seeds import random_seeds
from refimpl.rotations import euler_of_quaternion, quaternion_of_euler
from refimpl.units import DEG

RADIUS = 0.05
GRAINS = random_seeds(2, GROUP, 4)


def halves(voxels: Voxels, confidence: F64 | float = 1.0) -> NearfieldMap:
    """One grain where x < 0, another where x > 0."""
    euler = euler_of_quaternion(GRAINS)[(voxels.xy_mm[:, 0] > 0.0).astype(int)]
    return NearfieldMap.of(voxels, euler, np.full(len(voxels), confidence), 225)


def inside(points: F64, triangle: F64) -> NDArray[np.bool_]:
    """Whether points lie in a triangle, its rim included."""
    a, b, c = triangle

    def side(p: F64, q: F64) -> F64:
        return (q[0] - p[0]) * (points[:, 1] - p[1]) - (q[1] - p[1]) * (points[:, 0] - p[0])

    signs = np.stack([side(a, b), side(b, c), side(c, a)])
    return np.asarray((signs >= -1e-12).all(axis=0) | (signs <= 1e-12).all(axis=0))


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0])
def test_points_that_touch_a_good_triangle_begin_from_it(factor: float) -> None:
    coarse = hex_grid(0.02, RADIUS, published=False)
    good = 30  # a triangle within the hexagon
    confidence = np.zeros(len(coarse))
    confidence[good] = 0.8
    found = NearfieldMap.of(
        coarse, np.tile(euler_of_quaternion(GRAINS)[0], (len(coarse), 1)), confidence, 225
    )
    fine = hex_grid(0.02 / factor, RADIUS, published=False)
    needs = needs_of(found, fine, bad_below=0.5, grain_angle_rad=DEG, factor=factor)
    triangle = coarse.vertices()[good]
    own = inside(fine.xy_mm, triangle)
    assert own.sum() == round(factor**2)
    started = np.isfinite(needs.starts_euler_rad[:, 0, 0])
    assert started[own].all()
    assert not needs.empty[own].any()
    # a finer triangle that shares a corner with the good one may hold a part of its grain
    corners = fine.vertices()
    near = np.linalg.norm(corners[:, :, None] - triangle, axis=3).min(axis=(1, 2)) < 1e-9
    assert started[near].all()
    assert (started == ~needs.empty).all()
    assert 0 < needs.empty.sum() < len(fine)


def test_a_boundary_offers_both_grains_and_the_nearer_one_first() -> None:
    coarse, fine = hex_grid(0.02, RADIUS), hex_grid(0.01, RADIUS)
    found = halves(coarse, 0.9)
    needs = needs_of(found, fine, bad_below=0.5, grain_angle_rad=DEG)
    count = np.isfinite(needs.starts_euler_rad[:, :, 0]).sum(axis=1)
    x = fine.xy_mm[:, 0]
    assert (count[np.abs(x) < 0.004] == 2).all()
    assert (count[np.abs(x) > 0.045] == 1).all()
    first = quaternion_of_euler(needs.starts_euler_rad[:, 0])
    of_nearest = found.quaternions[needs.nearest]
    assert misorientation(first, of_nearest, found.operators).max() < 1e-9
    assert needs.level == pytest.approx(np.full(len(fine), 0.8))


def test_bad_points_say_nothing_and_the_level_is_at_least_the_limit() -> None:
    coarse, fine = square_grid(0.02, RADIUS), square_grid(0.01, RADIUS)
    weak = np.where(coarse.xy_mm[:, 0] > 0.0, 0.49, 0.55)
    needs = needs_of(halves(coarse, weak), fine, bad_below=0.5, grain_angle_rad=DEG)
    x = fine.xy_mm[:, 0]
    assert needs.empty[x > 0.041].all()
    assert not needs.empty[x < 0.0].any()
    assert (needs.level == 0.5).all()
    count = np.isfinite(needs.starts_euler_rad[:, :, 0]).sum(axis=1)
    assert count.max() == 1  # of the good grain alone


def test_points_out_of_the_coarse_map_are_not_called_empty() -> None:
    coarse = hex_grid(0.02, RADIUS)
    left = coarse[coarse.xy_mm[:, 0] < -0.02]
    needs = needs_of(halves(left), hex_grid(0.01, RADIUS), bad_below=0.5, grain_angle_rad=DEG)
    far = hex_grid(0.01, RADIUS).xy_mm[:, 0] > 0.02
    assert not needs.empty[far].any()
    assert not np.isfinite(needs.starts_euler_rad[far]).any()
