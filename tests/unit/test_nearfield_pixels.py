"""Footprints and geometries of near-field spots, by hand and by rays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl.forward.nearfield_pixels import voxel_pixels
from refimpl.forward.nearfield_setup import NearfieldDetector, Voxels
from refimpl.frames import F64
from refimpl.rotations import ry, rz

BACKENDS = pytest.mark.parametrize("backend", ["python", "cython"])
PLAIN: dict[str, Any] = {
    "rotation": np.eye(3), "lsd_mm": [8.0], "beam_centre_px": [[50.5, 10.5]],
    "pixel_size_mm": 0.01, "shape_px": [100, 80], "start_rad": 0.0, "step_rad": 0.1,
    "n_frames": 10, "wedge_rad": 0.0, "published_footprint": False, "exact": False,
}  # fmt: skip


def pixels(voxels: Voxels, spot: tuple[float, float, float], backend: str, **changes: Any) -> Any:
    n = len(voxels)
    return voxel_pixels(
        voxels.vertices(), voxels.edge_mm, np.array([[1, i] for i in range(n)]).reshape(-1, 2),
        *np.tile(np.array(spot)[:, None], n), **(PLAIN | changes), backend=backend,
    )  # type: ignore[misc]  # fmt: skip


def voxel(shape: Any, edge: float = 0.0, x: float = 0.0, y: float = 0.0) -> Voxels:
    return Voxels([[x, y]], [edge], [True], shape)


@BACKENDS
def test_a_point_on_the_axis(backend: str) -> None:
    """0.123 mm to the left is 12.3 px: Y = floor(50.5 + 12.3); 0.2 mm up 20: Z = floor(30.5)."""
    hits = pixels(voxel("point"), (0.123, 0.2, 0.55), backend)
    assert hits.tolist() == [[0, 0, 5, 62, 30]]
    exact = pixels(voxel("point"), (0.123, 0.2, 0.55), backend, exact=True)
    assert exact.tolist() == hits.tolist()


@BACKENDS
def test_a_point_away_from_the_axis(backend: str) -> None:
    """At omega 0 the place's y moves the spot and its x shortens the way."""
    hits = pixels(voxel("point", x=0.4, y=0.031), (0.2, 0.4, 0.0), backend)
    # y' = 0.031 + 0.2 (1 - 0.4 / 8) = 0.221 mm, offset 2.1 px from 20: 2 whole ones more
    # z' = 0.4 * 0.95 = 0.38 mm, offset -2 px from 40
    assert hits.tolist() == [[0, 0, 0, 50 + 20 + 2, 10 + 40 - 2]]


@BACKENDS
def test_a_square_covers_its_pixels(backend: str) -> None:
    """Seen along the beam a square is a line in Y unless its rays rise: at 45 degrees it fills."""
    v = voxel("square", 0.04)
    hits = pixels(v, (0.0, 8.0, 0.0), backend, shape_px=[100, 1000])
    y, z = hits[:, 3], hits[:, 4]
    # corners at +-2 px in Y and, since the ray climbs as fast as it goes, +-2 px in Z
    assert (y.min(), y.max(), z.min(), z.max()) == (48, 52, 808, 812)
    assert len(hits) == 25
    exact = pixels(v, (0.0, 8.0, 0.0), backend, shape_px=[100, 1000], exact=True)
    assert len(exact) == 25  # 48.5 to 52.5 touches 48 to 52


@BACKENDS
def test_an_edge_of_a_pixel_lights_one(backend: str) -> None:
    for edge, most in ((0.01, 1), (0.0101, 9)):
        hits = pixels(voxel("triangle", edge), (0.1, 0.2, 0.0), backend)
        assert 1 <= len(hits) <= most
        assert (len(hits) > 1) == (edge > 0.01)  # spec 1.9: filled where the edge exceeds a pixel


@BACKENDS
def test_a_pixel_ends_at_the_first_distance_that_misses_it(backend: str) -> None:
    two = {"lsd_mm": [8.0, 10.0], "beam_centre_px": [[50.5, 10.5], [50.5, 70.5]]}
    hits = pixels(voxel("point"), (0.0, 0.2, 0.0), backend, **two)
    assert hits[:, 1].tolist() == [0]  # 70.5 + 25 rows is beyond 80
    other = {"lsd_mm": [10.0, 8.0], "beam_centre_px": [[50.5, 70.5], [50.5, 10.5]]}
    assert len(pixels(voxel("point"), (0.0, 0.25, 0.0), backend, **other)) == 0
    exact = pixels(voxel("point"), (0.0, 0.25, 0.0), backend, exact=True, **other)
    assert exact.tolist() == [[0, 1, 0, 50, 30]]  # each distance by itself


@BACKENDS
def test_frames_outside_the_scan(backend: str) -> None:
    for omega, frames in ((-0.01, []), (0.0, [0]), (0.99, [9]), (1.01, []), (np.nan, [])):
        hits = pixels(voxel("point"), (0.1, 0.2, omega), backend)
        assert hits[:, 2].tolist() == frames


def tilted() -> NearfieldDetector:
    return NearfieldDetector(
        [8.0, 10.0], [[300.3, 40.4], [298.1, 52.2]], [0.02, -0.03, 0.025], 0.002, (600, 500)
    )


def traced(place: F64, spot: tuple[float, float, float], wedge: float, distance: int) -> F64:
    """Pixel position of a ray by vectors: solve place + a way = centre + b e_y + c e_z."""
    detector = tilted()
    lean = ry(-wedge)
    start = lean @ rz(spot[2]) @ np.array([*place, 0.0])
    way = np.array([8.0, spot[0], spot[1]])
    axes = detector.rotation.T  # columns: the detector's normal, Y and Z in the lab
    lsd = np.array([detector.lsd_mm[distance], 0.0, 0.0])
    _, b, c = np.linalg.solve(np.column_stack([-way, axes[:, 1], axes[:, 2]]), start - lsd)
    return detector.beam_centre_px[distance] + np.array([b, c]) / detector.pixel_size_mm


@BACKENDS
@pytest.mark.parametrize("wedge", [0.0, 0.02])
def test_exact_pixels_are_where_rays_meet_the_detector(backend: str, wedge: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        place = rng.uniform(-0.1, 0.1, 2)
        spot = (rng.uniform(-0.3, 0.3), rng.uniform(0.1, 0.4), rng.uniform(0.0, 1.0))
        detector = tilted()
        hits = pixels(
            voxel("point", 0.0, *place), spot, backend, exact=True, wedge_rad=wedge,
            rotation=detector.rotation, lsd_mm=detector.lsd_mm, pixel_size_mm=0.002,
            beam_centre_px=detector.beam_centre_px, shape_px=detector.shape_px,
        )  # fmt: skip
        want = [np.floor(traced(place, spot, wedge, d)).tolist() for d in range(2)]
        assert hits[:, 3:].tolist() == want


@BACKENDS
def test_the_scaled_geometry_is_within_a_pixel_or_so_of_the_exact_one(backend: str) -> None:
    """Tilts of half a degree, the published example's: floors and offsets cost up to 2 px."""
    detector = NearfieldDetector(
        [8.0, 10.0], [[300.3, 40.4], [298.1, 52.2]], [0.009, -0.01, 0.008], 0.002, (600, 500)
    )
    rng = np.random.default_rng(4)
    worst = 0
    for _ in range(50):
        spot = (rng.uniform(-0.3, 0.3), rng.uniform(0.1, 0.4), 0.5)
        v = voxel("point", 0.0, *rng.uniform(-0.1, 0.1, 2))
        one, two = (
            pixels(
                v, spot, backend, exact=e, rotation=detector.rotation, lsd_mm=detector.lsd_mm,
                beam_centre_px=detector.beam_centre_px, pixel_size_mm=0.002,
                shape_px=detector.shape_px,
            )
            for e in (False, True)
        )  # fmt: skip
        worst = max(worst, int(np.abs(one[:, 3:] - two[:, 3:]).max()))
    assert 1 <= worst <= 2


@BACKENDS
def test_fault_07_large_down_triangles_are_full(backend: str) -> None:
    """Fault 7 of spec 6.2: published, an 80 px triangle that points down lights 0.69 or less."""
    counts = {}
    for up in (True, False):
        v = Voxels([[0.0, 0.0]], [0.8], [up], "triangle")
        for published in (False, True):
            hits = pixels(
                v, (0.0, 8.0, 0.0), backend, shape_px=[200, 1200], published_footprint=published
            )
            counts[up, published] = len(hits)
    assert counts[True, True] == counts[True, False]
    assert abs(counts[False, False] / counts[True, False] - 1.0) < 0.05
    assert counts[False, True] < 0.7 * counts[False, False]


@BACKENDS
def test_refusals(backend: str) -> None:
    with pytest.raises(IndexError, match=r"key of voxel 0: \[2, 0\]: there are 1 spots"):
        voxel_pixels(
            np.zeros((1, 1, 2)), [0.0], [[2, 0]], [0.1], [0.2], [0.0], **PLAIN, backend=backend
        )  # type: ignore[misc]
    with pytest.raises(IndexError, match="voxels of 5 corners: expected 1 to 4"):
        voxel_pixels(
            np.zeros((1, 5, 2)), [0.0], [[1, 0]], [0.1], [0.2], [0.0], **PLAIN, backend=backend
        )  # type: ignore[misc]


@BACKENDS
def test_no_voxels_and_no_distances(backend: str) -> None:
    empty = Voxels(np.zeros((0, 2)), np.zeros(0), np.zeros(0, bool), "square")
    assert pixels(empty, (0.1, 0.2, 0.0), backend).shape == (0, 5)
    none = {"lsd_mm": np.zeros(0), "beam_centre_px": np.zeros((0, 2))}
    assert pixels(voxel("point"), (0.1, 0.2, 0.0), backend, **none).shape == (0, 5)
