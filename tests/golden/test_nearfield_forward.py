"""The near field's forward simulation against outputs of the MIDAS C programs."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.forward.nearfield_pixels import pixels_of_setup
from refimpl.forward.nearfield_setup import (
    NearfieldDetector,
    OmegaScan,
    Reflections,
    Setup,
    Voxels,
)
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.frames import F64
from refimpl.rotations import matrix_of_euler
from refimpl.units import DEG, UM

Find = Callable[[str], Path]
WEDGE = 0.5 * DEG


def au_setup(folder: Path, **changes: Any) -> Setup:
    """Geometry of ps_au.txt, by hand: its reader has tests of its own."""
    h = np.loadtxt(folder / "au_hkls.csv", skiprows=1)
    tilts = np.array([0.536238, 0.557035, 0.474936]) * DEG
    centre = np.array([[985.415831, 17.510494], [985.161497, 24.511210]])
    lsd = np.array([8289.154576, 10290.724494]) * UM
    detector = NearfieldDetector(lsd, centre, tilts, 1.48 * UM, (2048, 2048))
    box = np.array([[-1200.0, 1200.0, 100.0, 2500.0]]) * UM
    whole = np.array([[-180.0, 180.0]]) * DEG
    scan = OmegaScan(180.0 * DEG, -0.25 * DEG, 1440, whole, box, 6.0 * DEG)
    reflections = Reflections(
        h[:, :3].astype(np.int32), h[:, 5:8], h[:, 8] * DEG, h[:, 4].astype(np.int32)
    )
    cell = (4.08, 4.08, 4.08, 90.0, 90.0, 90.0)
    return Setup(detector, scan, reflections, 0.172979, 225, cell).changed(**changes)


def simulated(folder: Path, case: str) -> tuple[Voxels, F64, Any]:
    """Map and every hit (voxel, distance, frame, Y, Z) of simulateNF."""
    mic = np.loadtxt(folder / f"in_{case}.mic", comments="%")
    with gzip.open(folder / f"simspots_{case}.csv.gz") as file:
        gold = np.loadtxt(file, skiprows=1)
    voxels = Voxels(mic[:, 3:5] * UM, mic[:, 5] * UM, mic[:, 6] > 0.0)
    return voxels, matrix_of_euler(mic[:, 7:10]), gold[:, :5].astype(np.int32)


@pytest.mark.parametrize("backend", ["python", "cython"])
def test_spots_of_four_seeds(real_data: Find, backend: str) -> None:
    folder = real_data("nearfield-golden")
    gold = np.load(folder / "au_makediffrspots4.npz")
    spots = spots_of_setup(au_setup(folder), gold["orientmat"], backend=backend)
    ours = np.stack([spots.yl_mm / UM, spots.zl_mm / UM, spots.omega_rad / DEG], axis=-1)
    np.testing.assert_array_equal(spots.key, gold["key"])
    # the order too is the published one; 1e-6 um and degrees is what the issue asks for
    np.testing.assert_allclose(ours, gold["spots"], rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("backend", ["python", "cython"])
@pytest.mark.parametrize("case", ["e1", "e5"])
def test_every_pixel(real_data: Find, case: str, backend: str, published: bool) -> None:
    """Same rows in the same order, in both modes: the triangles are too small to be hollow."""
    folder = real_data("nearfield-golden")
    voxels, u, gold = simulated(folder, case)
    if backend == "python":  # the definition takes seconds for all twenty voxels
        voxels, u, gold = voxels[:6], u[:6], gold[gold[:, 0] < 6]
    setup = au_setup(folder)
    spots = spots_of_setup(setup, u, backend=backend)
    hits = pixels_of_setup(setup, voxels, spots, published_footprint=published, backend=backend)
    assert len(hits) > 1000
    np.testing.assert_array_equal(hits, gold)


@pytest.mark.parametrize("backend", ["python", "cython"])
def test_fault_08_the_wedge_as_published_only_where_asked(real_data: Find, backend: str) -> None:
    """Fault 8 of spec 6.2: 2 theta for theta, eta and place as without a wedge."""
    folder = real_data("nearfield-golden")
    voxels, u, gold = simulated(folder, "e5w")
    if backend == "python":
        voxels, u, gold = voxels[:4], u[:4], gold[gold[:, 0] < 4]
    for published in (True, False):
        setup = au_setup(folder, wedge_rad=WEDGE, published_wedge=published)
        spots = spots_of_setup(setup, u, backend=backend)
        hits = pixels_of_setup(setup, voxels, spots, published_footprint=published, backend=backend)
        assert np.array_equal(hits, gold) == published


def test_the_published_wedge_is_near_the_exact_one(real_data: Find) -> None:
    folder = real_data("nearfield-golden")
    _, u, _ = simulated(folder, "e5w")
    ours, theirs = (
        spots_of_setup(au_setup(folder, wedge_rad=WEDGE, published_wedge=p), u)
        for p in (False, True)
    )
    # a reflection's two spots are told apart by the side of the detector
    exact = {
        (o, row, y > 0.0): w
        for o, row, y, w in zip(ours.owner, ours.hkl_row, ours.yl_mm, ours.omega_rad, strict=True)
    }
    columns = (theirs.owner, theirs.hkl_row, theirs.yl_mm, theirs.omega_rad)
    away = np.array(
        [w - exact.get((o, r, y > 0.0), np.nan) for o, r, y, w in zip(*columns, strict=True)]
    )
    away = np.abs(away[np.isfinite(away)]) / DEG
    assert len(away) > 0.98 * len(theirs)
    # measured 0.002 and 0.23 here (spec: 0.0008 and 0.025 on other reflections); the wrong sign
    # of the wedge is away by 0.9 in the median
    assert np.median(away) < 0.004
    assert away.max() < 0.3


def test_a_stack_has_the_golden_bits(real_data: Find) -> None:
    folder = real_data("nearfield-golden")
    voxels, u, gold = simulated(folder, "e5")
    stack = simulate_stack(au_setup(folder), voxels, u, block=7)
    rows, touches = np.unique(gold[:, 1:], axis=0, return_counts=True)
    np.testing.assert_array_equal(stack.pixels(), rows)
    np.testing.assert_array_equal(stack.touches, touches)


def test_the_map_lights_the_golden_pixels(real_data: Find) -> None:
    """The 87,646 lit pixels of the example, from its 1514 voxels of confidence 0.7 and more."""
    folder = real_data("nearfield-golden")
    mic = np.loadtxt(folder / "Au_txt.mic", comments="%")
    mic = mic[mic[:, 10] >= 0.7]
    voxels = Voxels(mic[:, 3:5] * UM, mic[:, 5] * UM, mic[:, 6] > 0.0)
    stack = simulate_stack(au_setup(folder), voxels, matrix_of_euler(mic[:, 7:10]))
    gold = np.load(folder / "au_spotsinfo_sparse.npz")
    rows = np.stack([gold[k] for k in ("layer", "frame", "y", "z")], axis=-1).astype(np.int64)
    key = np.ravel_multi_index(rows.T, stack.shape)
    np.testing.assert_array_equal(stack.key, np.sort(key))
