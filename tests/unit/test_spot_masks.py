"""Masks for finding spots: d spacings of pixels, ice rings, untrusted areas, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from refimpl.errors import ConfigError, GeometryError
from refimpl.imaging.spot_masks import ice_rings, resolution_map, spot_mask

S0 = np.array([0.0, 0.0, -1.0 / 0.97])


def panel(distance: float = 100.0) -> Any:
    """Columns fast, slow, origin of a panel of 0.1 mm pixels, beam at (10, 20) px."""
    return np.array([[1.0, 0.0, -1.0], [0.0, -1.0, 2.0], [0.0, 0.0, -distance]])


def test_the_spacing_of_a_pixel_is_braggs() -> None:
    d = resolution_map(panel(), (60, 40), (0.1, 0.1), S0)
    assert d.shape == (60, 40)
    radius = math.hypot(30.5 - 10.0, 50.5 - 20.0) * 0.1
    theta = math.atan2(radius, 100.0) / 2.0
    # 1 - cos loses digits at small angles: 1e-16 / (2 theta^2)
    assert d[50, 30] == pytest.approx(0.97 / (2.0 * math.sin(theta)), rel=1e-12)
    assert np.unravel_index(np.argmax(d), d.shape) in {(19, 9), (19, 10), (20, 9), (20, 10)}


def test_a_tilted_panel_and_another_beam() -> None:
    turn = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    straight = resolution_map(panel(), (30, 40), (0.1, 0.2), S0)
    turned = resolution_map(turn @ panel(), (30, 40), (0.1, 0.2), turn @ S0)
    # 1e-16 / (1 - cos 2 theta) at 0.05 mm from the beam
    np.testing.assert_allclose(turned, straight, rtol=1e-8)


def test_limits_are_included_and_rings_have_their_width() -> None:
    spacing = np.array([[1.0, 1.5, 2.0, 2.5, 3.0]])
    mask = spot_mask((1, 5), spacing=spacing, d_min=1.5, d_max=2.5)
    assert mask.tolist() == [[0, 1, 1, 1, 0]]
    assert mask.dtype == np.uint8
    star = np.array([[0.2, 0.2009, 0.2011, 0.1991, 0.1989]])
    ring = spot_mask((1, 5), spacing=star**-0.5, rings=[0.2**-0.5], ring_width=0.002)
    assert ring.tolist() == [[0, 0, 1, 0, 1]]


def test_ice_rings_are_those_of_hexagonal_ice() -> None:
    rings = ice_rings(1.9)
    # the strong lines of ice Ih known from diffraction images, to 0.01 Angstrom
    np.testing.assert_allclose(rings[:4], [3.90, 3.67, 3.44, 2.67], atol=0.01)
    assert (np.diff(rings) < 0).all()
    assert rings[-1] >= 1.9


def test_areas_take_the_pixels_whose_centres_they_hold() -> None:
    mask = spot_mask((6, 8), rectangles=[(1, 3, 2, 4)])
    assert np.argwhere(mask == 0).tolist() == [[2, 1], [2, 2], [3, 1], [3, 2]]
    mask = spot_mask((6, 8), circles=[(4.5, 2.5, 1.0)])
    assert np.argwhere(mask == 0).tolist() == [[1, 4], [2, 3], [2, 4], [2, 5], [3, 4]]
    # a triangle whose long side passes between pixel centres
    mask = spot_mask((6, 8), polygons=[[(0.0, 0.0), (4.2, 0.0), (0.0, 4.2)]])
    inside = [[s, f] for s in range(6) for f in range(8) if s + f + 1 < 4.2]
    assert np.argwhere(mask == 0).tolist() == inside
    assert spot_mask((3, 3), rectangles=[(-5, 1, -5, 1)]).sum() == 8
    assert spot_mask((3, 3)).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"d_min": 2.0},
            "resolution limits and rings need the d spacing of every pixel, (2, 3): got none",
        ),
        (
            {"rings": [2.0], "spacing": np.ones((3, 2))},
            "resolution limits and rings need the d spacing of every pixel, (2, 3): got (3, 2)",
        ),
        (
            {"d_min": 3.0, "d_max": 2.0, "spacing": np.ones((2, 3))},
            "d_min=3.0 and d_max=2.0: expected d_min < d_max",
        ),
        ({"polygons": [[(0.0, 0.0), (1.0, 1.0)]]}, "a polygon needs three corners or more: got 2"),
    ],
)
def test_bad_masks(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spot_mask((2, 3), **options)
    assert str(caught.value) == text


def test_a_panel_through_the_sample_has_no_spacings() -> None:
    through = np.array([[1.0, 0.0, -0.05], [0.0, 1.0, -0.05], [0.0, 0.0, 0.0]])
    with pytest.raises(GeometryError, match="the panel passes through the sample"):
        resolution_map(through, (3, 3), (0.1, 0.1), S0)
