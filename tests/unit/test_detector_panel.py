"""Panels as vectors: positions by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.panel import Detector, Panel, PolarDistortion
from refimpl.errors import GeometryError

GOOD = dict(
    name="p0", origin_mm=(5.0, 5.0, 100.0), fast_axis=(-1.0, 0.0, 0.0), slow_axis=(0.0, -1.0, 0.0),
    pixel_size_mm=(0.1, 0.2), size_px=(100, 50),
)  # fmt: skip


def test_lab_position_by_hand() -> None:
    at = Panel(**GOOD).lab_mm(np.array([10.0]), np.array([5.0]))
    np.testing.assert_allclose(at, [[4.0, 4.0, 100.0]], rtol=1e-15)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fast_axis": (-1.0, 0.1, 0.0)}, r"^panel 'p0': fast_axis array\(.*\) is not a unit vec"),
        ({"slow_axis": (0.0, np.nan, 0.0)}, r"^panel 'p0': slow_axis array\(.*\) is not a unit v"),
        ({"slow_axis": (0.6, 0.8, 0.0)}, r"fast_axis and slow_axis are not orthogonal \(dot = -6"),
        ({"pixel_size_mm": (0.0, 0.1)}, r"^panel 'p0': pixel size and size in px must be posit"),
        ({"size_px": (100, 0)}, r"^panel 'p0': pixel size and size in px must be positive$"),
    ],
)
def test_an_impossible_panel_is_refused(changes, text) -> None:
    with pytest.raises(GeometryError, match=text):
        Panel(**GOOD | changes)


def test_two_panels_of_one_name_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"panel names are not unique: \['p0', 'p0'\]"):
        Detector((Panel(**GOOD), Panel(**GOOD)), (50, 100))


def test_maps_of_a_panel_that_does_not_fill_the_image() -> None:
    panel = Panel(**GOOD | {"image_origin_px": (3, 2)})
    detector = Detector((panel,), (60, 110), PolarDistortion(lsd_mm=100.0))
    two_theta, eta = detector.maps()
    assert np.count_nonzero(np.isfinite(two_theta)) == 100 * 50
    assert np.isnan(two_theta[1, 10])
    assert np.isnan(eta[10, 2])
    assert np.isnan(two_theta[52, 10])
    # first pixel's centre: 4.95 mm left, 4.9 mm up, 100 mm away
    assert two_theta[2, 3] == pytest.approx(np.arctan(np.hypot(4.95, 4.9) / 100.0), rel=1e-14)
    assert eta[2, 3] == pytest.approx(-np.arctan2(4.95, 4.9), rel=1e-14)


def test_behind_the_sample_there_is_no_angle() -> None:
    panel = Panel(**GOOD | {"origin_mm": (5.0, 5.0, -100.0)})
    two_theta, _ = Detector((panel,), (50, 100)).two_theta_eta(np.ones(2), np.ones(2), 0)
    assert np.all(np.isnan(two_theta))
