"""Which of the eight ways a picture lies, found from a geometry that is known."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL
from refimpl.errors import RefimplError
from refimpl.forward.powder_image import simulate
from refimpl.io.image import Image
from refimpl.powder.orient import find_transform

CERIA = rings("CeO2", 0.25, 0.6)
TRUE = TiltedFlat((240, 240), (0.3, 0.3), 250.0, (98.0, 131.0), (0.0, 0.01, -0.015))


def picture(codes) -> Image:
    model = TRUE.replace(image_transform=codes)
    frame = simulate(
        model, CERIA, wavelength_angstrom=0.25, fwhm_rad=4e-3, peak_counts=3000.0, seed=2
    )
    return Image(frame.image, frame.mask, 1)


@pytest.mark.parametrize("codes", DIHEDRAL[::2] + DIHEDRAL[-1:])
def test_the_way_is_told_among_all_eight(codes) -> None:
    """A square picture and a beam off every line of symmetry: only one way fits."""
    found = find_transform(picture(codes), TRUE, CERIA)
    assert found.transform == codes
    assert found.certain
    assert set(found.scores) == set(DIHEDRAL)
    assert found.scores[codes] == found.score.mean_abs == min(found.scores.values())
    text = found.sentence()
    assert text.startswith("The given geometry fits the image ")
    assert f"{found.score.mean_abs * 1e6:.0f} µε; the next best way gives " in text
    assert "not certain" not in text


def test_only_ways_of_the_right_shape_are_tried() -> None:
    model = TRUE.replace(shape=(240, 200), image_transform=(2,))
    frame = simulate(model, CERIA, wavelength_angstrom=0.25, fwhm_rad=4e-3, peak_counts=3000.0)
    found = find_transform(Image(frame.image, frame.mask, 1), model, CERIA)
    assert found.transform == (2,)
    assert set(found.scores) == {(), (1,), (2,), (1, 2)}


def test_a_beam_in_the_middle_leaves_the_way_open_and_says_so() -> None:
    model = TRUE.replace(beam_centre_px=(120.0, 120.0), tilts_rad=(0.0, 0.0, 0.0))
    frame = simulate(model, CERIA, wavelength_angstrom=0.25, fwhm_rad=4e-3, peak_counts=3000.0)
    found = find_transform(Image(frame.image, frame.mask, 1), model, CERIA)
    assert not found.certain
    assert found.sentence().endswith(" (not certain).")


def test_a_geometry_of_another_shape_fits_in_no_way() -> None:
    text = (
        r"^the given geometry \(image 100 x 90 px, slow x fast\) fits the image "
        r"\(240 x 240 px\) in none of the eight ways$"
    )
    with pytest.raises(RefimplError, match=text):
        find_transform(picture((2,)), TRUE.replace(shape=(100, 90)), CERIA)


def test_a_blank_picture_fits_in_no_way() -> None:
    blank = Image(np.full((240, 240), 7, dtype=np.int32), np.zeros((240, 240), dtype=bool), 1)
    with pytest.raises(RefimplError, match=r"in none of the eight ways$"):
        find_transform(blank, TRUE, CERIA)


def test_a_way_without_a_single_patch_does_not_hide_the_right_one() -> None:
    """The stored order is tried first; there the rings fall on masked pixels only."""
    image = picture((1, 2))
    mask = np.ones((240, 240), dtype=bool)
    two_theta, _ = TRUE.replace(image_transform=(1, 2)).detector().maps()
    mask[(two_theta > 0.07) & (two_theta < 0.10)] = False  # one ring shows, two degrees of it
    mask[:, :130] = True
    found = find_transform(Image(image.data, mask, 1), TRUE, CERIA)
    assert found.transform == (1, 2)
