"""More spots than any array of fixed size in the twins: counted all the same, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl.forward.nearfield_setup import Setup
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.frames import F64
from refimpl.objective.overlap import confidence, screen
from refimpl.objective.overlap_counts import count_overlap
from refimpl.objective.overlap_scene import scene_arrays
from refimpl.testing.strategies_overlap import (
    random_lit,
    random_orientations,
    random_overlap_setup,
    random_voxels,
)

QUICK = 2048  # LATER of overlap_spots.pyx, the one array that spots of an orientation go into


def crowded(reflections: int) -> tuple[Setup, F64, F64, Any]:
    """Every reflection's both spots within the box, no gap in omega."""
    rng = np.random.default_rng(4)
    setup = random_overlap_setup(rng, reflections).changed(
        ranges_rad=np.array([[-3.2, 3.2]]), boxes_mm=np.array([[-99.0, 99.0, -99.0, 99.0]]),
        exclude_pole_rad=0.0, wedge_rad=0.0,
    )  # fmt: skip
    return setup, random_voxels(rng, 3), random_orientations(rng, 4), random_lit(rng, setup)


@pytest.mark.parametrize("reflections", [1000, 1400])
def test_every_spot_counts(reflections: int) -> None:
    setup, voxels, u, lit = crowded(reflections)
    spots = spots_of_setup(setup, u)
    known = spots_of_setup(setup, u, backend="python")
    assert (spots.key == known.key).all()
    assert (spots.hkl_row == known.hkl_row).all()
    assert (spots.key[:, 0].max() > QUICK) == (reflections > 1000)
    own = np.repeat(voxels, len(u), axis=0), np.tile(u, (len(voxels), 1, 1))
    counted, wanted = (confidence(*own, setup, lit, backend=b) for b in ("cython", "python"))
    assert np.array_equal(counted.total, wanted.total)
    assert np.array_equal(counted.overlap, wanted.overlap)
    assert counted.total.max() > 100
    for abandon in (True, False):
        found = screen(voxels, u, setup, lit, least=0.0, abandon=abandon)
        voxel = np.repeat(np.arange(len(voxels)), np.diff(found.start))
        seen = np.zeros((len(voxels), len(u)))
        seen[voxel, found.orientation] = found.confidence
        assert np.array_equal(seen.ravel(), wanted.confidence)


@pytest.mark.parametrize(
    ("corners", "distances", "message"),
    [(9, 2, "voxels of 9 corners: expected 1 to 8"), (3, 17, "17 distances: expected 1 to 16")],
)
def test_the_twin_refuses_what_it_has_no_room_for(
    corners: int, distances: int, message: str
) -> None:
    setup, voxels, u, lit = crowded(5)
    _, *scene = scene_arrays(voxels, setup, lit)
    scene[5] = np.ones((distances, 4))
    scene[7:9] = (np.zeros((distances, a.shape[1]), a.dtype) for a in scene[7:9])
    count: Any = count_overlap
    with pytest.raises(IndexError, match=message):
        count(np.zeros((4, corners, 2)), u, np.zeros(4, np.uint8), *scene, False, backend="cython")
