"""One panel as the parametrised model."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL
from refimpl.detector.panel import Panel
from refimpl.errors import GeometryError
from refimpl.interop.plane import (
    panel_of_tilted_flat,
    require_plain,
    tilted_flat_from_panel,
)
from refimpl.rotations import midas_tilt, tilts_of_matrix


def test_upright_panel_by_hand():
    # rows from the top down, columns to the right (-X): as most files are stored
    panel = Panel("p", (5.0, 4.0, 100.0), (-1, 0, 0), (0, -1, 0), (0.1, 0.2), (90, 30))
    model = tilted_flat_from_panel(panel)
    assert model.image_transform == (2,)
    assert model.shape == (30, 90)
    assert model.lsd_mm == 100.0
    assert model.beam_centre_px == pytest.approx((50.0, 10.0), abs=1e-12)  # 30 - 4 / 0.2
    assert model.tilts_rad == pytest.approx((0.0, 0.0, 0.0), abs=1e-15)
    assert model.pixel_size_mm == (0.1, 0.2)


@pytest.mark.parametrize("codes", DIHEDRAL)
def test_every_orientation_there_and_back(codes):
    model = TiltedFlat(
        shape=(40, 70),
        pixel_size_mm=(0.11, 0.13),
        lsd_mm=321.0,
        beam_centre_px=(31.3, 12.9),
        tilts_rad=(0.05, -0.03, 0.04),
        image_transform=codes,
    )
    again = tilted_flat_from_panel(panel_of_tilted_flat(model))
    assert again.image_transform == codes
    assert again.shape == model.shape
    # 1e-12 of the natural scale: 1e3 mm, 1e3 px, 1 rad
    np.testing.assert_allclose(again.geometry[:3], model.geometry[:3], rtol=0, atol=1e-9)
    np.testing.assert_allclose(again.geometry[3:8], model.geometry[3:8], rtol=0, atol=1e-12)


def test_a_given_transform_is_kept_and_only_rolls():
    panel = Panel("p", (5.0, 4.0, 100.0), (-1, 0, 0), (0, -1, 0), (0.1, 0.2), (90, 30))
    rolled = tilted_flat_from_panel(panel, image_transform=(1,))
    assert rolled.image_transform == (1,)
    assert abs(rolled.tilts_rad[0]) == pytest.approx(np.pi, abs=1e-15)
    mine, theirs = rolled.detector().maps(), tilted_flat_from_panel(panel).detector().maps()
    np.testing.assert_allclose(mine[0], theirs[0], rtol=0, atol=1e-14)  # a few eps at 0.1 rad
    with pytest.raises(GeometryError, match=r"image transform \[\] mirrors the image"):
        tilted_flat_from_panel(panel, image_transform=())


@pytest.mark.parametrize(
    ("origin", "slow"), [((5.0, 4.0, -100.0), (0, -1, 0)), ((5.0, 4.0, 100.0), (0, 0, 1))]
)
def test_planes_that_the_beam_does_not_cross(origin, slow):
    panel = Panel("back", origin, (-1, 0, 0), slow, (0.1, 0.1), (90, 30))
    with pytest.raises(GeometryError, match=r"'back': its plane does not cross the beam"):
        tilted_flat_from_panel(panel)


def test_tilts_of_a_matrix():
    tilts = (0.3, -0.4, 0.5)
    assert tilts_of_matrix(midas_tilt(*tilts)) == pytest.approx(tilts, abs=1e-15)


def test_what_a_format_cannot_hold_is_named():
    plain = TiltedFlat((10, 10), (0.1, 0.1), 100.0, (5.0, 5.0))
    require_plain(plain, "x")
    phase = plain.replace(p=(0.0,) * 3 + (45.0,) + (0.0,) * 11)
    require_plain(phase, "x")  # a phase without an amplitude
    bent = plain.replace(p=(1e-3,) + (0.0,) * 14, parallax_mm=0.1)
    with pytest.raises(GeometryError, match=r"^x cannot hold p0, parallax: write a"):
        require_plain(bent, "x")
    moved = plain.replace(
        panel_boxes=np.array([[0, 0, 5, 10], [5, 0, 10, 10]]),
        panel_corrections=np.array([[0.1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]),
    )
    with pytest.raises(GeometryError, match="x cannot hold panel corrections"):
        require_plain(moved, "x")
    require_plain(moved, "x", panels=True)
