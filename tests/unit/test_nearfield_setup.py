"""The shared structures of the near field: what they accept, what they refuse, what they derive."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from refimpl.crystal.hkls_csv import nearfield_hkls
from refimpl.errors import ConfigError, GeometryError
from refimpl.forward.nearfield_setup import (
    NearfieldDetector,
    OmegaScan,
    Reflections,
    Setup,
    Voxels,
)

DETECTOR: dict[str, Any] = {
    "lsd_mm": [8.3, 10.3], "beam_centre_px": [[985.0, 17.5], [985.2, 24.5]],
    "tilts_rad": [0.01, -0.02, 0.03], "pixel_size_mm": 0.00148, "shape_px": (2048, 1024),
}  # fmt: skip
SCAN: dict[str, Any] = {
    "start_rad": np.pi, "step_rad": -0.25, "n_frames": 20, "ranges_rad": [[-3.0, 2.0]],
    "boxes_mm": [[-1.2, 1.2, 0.1, 2.5]], "exclude_pole_rad": 0.1,
}  # fmt: skip
CELL = (4.08, 4.08, 4.08, 90.0, 90.0, 90.0)


def _reflections() -> Reflections:
    return Reflections.of_table(nearfield_hkls(CELL, 225, 0.172979, 10.3, 2.8))


def _setup() -> Setup:
    return Setup(
        NearfieldDetector(**DETECTOR), OmegaScan(**SCAN), _reflections(), 0.172979, 225, CELL
    )


def test_the_detector_is_tilted_about_z_y_x_in_this_order() -> None:
    detector = NearfieldDetector(**DETECTOR)
    tx, ty, tz = DETECTOR["tilts_rad"]
    c, s = np.cos, np.sin
    rx = np.array([[1, 0, 0], [0, c(tx), -s(tx)], [0, s(tx), c(tx)]])
    ry = np.array([[c(ty), 0, s(ty)], [0, 1, 0], [-s(ty), 0, c(ty)]])
    rz = np.array([[c(tz), -s(tz), 0], [s(tz), c(tz), 0], [0, 0, 1]])
    np.testing.assert_array_equal(detector.rotation, rz @ (ry @ rx))
    np.testing.assert_allclose(detector.foot_mm, -8.3 * detector.rotation[:, 0], rtol=1e-15)
    assert detector.n_distances == 2
    assert not detector.lsd_mm.flags.writeable


def test_frames_are_counted_from_the_leading_edge() -> None:
    scan = OmegaScan(**SCAN)
    omega = np.pi - 0.25 * np.array([0.5, 1.5, -0.5, 19.5, 25.5])
    np.testing.assert_array_equal(scan.frames(omega), [0, 1, -1, 19, 25])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lsd_mm": []}, "lsd_mm []: expected one or more positive distances"),
        ({"lsd_mm": [8.3, 0.0]}, "lsd_mm [8.3, 0.0]: expected one or more positive distances"),
        ({"lsd_mm": [8.3, np.nan]}, "lsd_mm: expected finite numbers of shape (n)"),
        ({"beam_centre_px": [[1.0, 2.0]]}, "beam_centre_px of shape (1, 2): expected finite"),
        ({"tilts_rad": [0.0]}, "tilts_rad of shape (1,): expected finite numbers of shape (3)"),
        ({"pixel_size_mm": 0.0}, "pixel_size_mm 0.0: expected a positive size"),
        ({"shape_px": (2048, 0)}, "shape_px (2048, 0): expected two positive numbers (NY, NZ)"),
    ],
)
def test_detectors_that_are_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GeometryError, match=re.escape(f"NearfieldDetector: {message}")):
        NearfieldDetector(**DETECTOR | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_rad": np.inf}, "start_rad inf: expected a finite number"),
        ({"step_rad": 0.0}, "step_rad 0.0: expected a step other than zero"),
        ({"n_frames": 0}, "n_frames 0: expected one frame or more"),
        ({"exclude_pole_rad": -0.1}, "exclude_pole_rad -0.1: expected 0 to pi/2"),
        ({"wedge_rad": 1.6}, "wedge_rad 1.6: expected less than pi/2"),
        ({"ranges_rad": [[2.0, -3.0]]}, "ranges_rad [[2.0, -3.0]]: expected lower, then upper"),
        ({"boxes_mm": [[1.0, 0.0, 0.1, 2.5]]}, "expected ylo < yhi and zlo < zhi"),
        ({"boxes_mm": []}, "boxes_mm of shape (0,): expected finite numbers of shape (1, 4)"),
    ],
)
def test_scans_that_are_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GeometryError, match=re.escape(message)):
        OmegaScan(**SCAN | change)


def test_a_scan_without_ranges_is_one_without_spots() -> None:
    scan = OmegaScan(**SCAN | {"ranges_rad": [], "boxes_mm": []})
    assert scan.ranges_rad.shape == (0, 2)
    assert scan.boxes_mm.shape == (0, 4)


def test_reflections() -> None:
    reflections = _reflections()
    assert len(reflections) == 258
    assert reflections.hkl.dtype == reflections.ring.dtype == np.int32
    with pytest.raises(GeometryError, match=r"theta_rad -1.0 to -1.0: expected 0 to pi/2"):
        Reflections([[1, 0, 0]], [[1.0, 0.0, 0.0]], [-1.0], [1])  # type: ignore[arg-type]


def test_setups() -> None:
    setup = _setup()
    other = setup.changed(wavelength_angstrom=0.2, lsd_mm=[8.0, 9.0], wedge_rad=0.01)
    assert other.wavelength_angstrom == 0.2
    assert other.detector.lsd_mm.tolist() == [8.0, 9.0]
    assert other.scan.wedge_rad == 0.01
    assert other.reflections is setup.reflections
    assert setup.scan.wedge_rad == 0.0
    with pytest.raises(ConfigError, match="Setup has no 'wedge'"):
        setup.changed(wedge=1.0)
    for change, message in (
        ({"wavelength_angstrom": 0.0}, "wavelength_angstrom 0.0: expected > 0"),
        ({"space_group": 231}, "space_group 231: expected 1 to 230"),
        ({"cell": (1.0, 2.0)}, "expected six positive numbers a b c alpha beta gamma"),
    ):
        with pytest.raises(GeometryError, match=message):
            setup.changed(**change)


def test_vertices_are_in_the_published_order() -> None:
    voxels = Voxels([[0.0, 0.0], [1.0, 2.0]], [0.6, 0.6], [True, False])  # type: ignore[arg-type]
    far, near = 0.6 / np.sqrt(3.0), 0.6 / (2.0 * np.sqrt(3.0))
    up = [[0.0, far], [-0.3, -near], [0.3, -near]]
    down = [[1.0, 2.0 - far], [0.7, 2.0 + near], [1.3, 2.0 + near]]
    np.testing.assert_allclose(voxels.vertices(), [up, down], rtol=1e-15)
    assert len(voxels[1:]) == 1
    assert voxels[np.array([False, True])].xy_mm.tolist() == [[1.0, 2.0]]


def test_vertices_of_squares_and_points() -> None:
    one = {"xy_mm": [[1.0, 2.0]], "edge_mm": [2.0], "up": [True]}
    square = Voxels(**one, shape="square").vertices()  # type: ignore[arg-type]
    assert square.tolist() == [[[0.0, 1.0], [2.0, 1.0], [2.0, 3.0], [0.0, 3.0]]]
    assert Voxels(**one, shape="point").vertices().tolist() == [[[1.0, 2.0]]]  # type: ignore[arg-type]
    assert Voxels([], [], []).vertices().shape == (0, 3, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": "hexagon"}, "shape 'hexagon': expected triangle, square or point"),
        ({"edge_mm": [0.0]}, "edge_mm 0.0: expected positive edges"),
        ({"up": [True, False]}, "up of shape (2,): expected finite numbers of shape (1)"),
    ],
)
def test_voxels_that_are_none(change: dict[str, Any], message: str) -> None:
    one: dict[str, Any] = {"xy_mm": [[1.0, 2.0]], "edge_mm": [2.0], "up": [True]}
    with pytest.raises(GeometryError, match=re.escape(f"Voxels: {message}")):
        Voxels(**one | change)
