import re

import numpy as np
import pytest

from refimpl.errors import ConfigError, NoRingsError
from refimpl.imaging.arcs import (
    automatic_threshold,
    beam_centre_by_chords,
    distance_by_ratios,
    find_arcs,
    radii_of_arcs,
    rho_d_of_corners_mm,
)

CENTRE = (140.3, 155.8)  # fast, slow
RADII = (60.0, 100.0)


def _rings(shape=(300, 280), centre=CENTRE, radii=RADII):
    slow, fast = np.mgrid[: shape[0], : shape[1]] + 0.5
    r = np.hypot(fast - centre[0], slow - centre[1])
    image = np.zeros(shape)
    for radius in radii:
        image[np.abs(r - radius) < 2.0] = 1000.0
    image[:, 136:145] = 0.0  # cut the rings into arcs, as gaps between modules do
    return image


def test_centre_and_radii_of_cut_rings():
    image = _rings()
    image[5:8, 5:8] = 1000.0  # a hot cluster too small for an arc
    arcs = find_arcs(image, 500.0)
    assert arcs.n_labels == 5
    assert arcs.foreground.sum() == (image > 0).sum() - 9
    found = beam_centre_by_chords(arcs)
    assert found == pytest.approx(CENTRE, abs=2.5)  # px; three pixels an arc, at its rims
    np.testing.assert_allclose(radii_of_arcs(arcs, CENTRE), RADII, atol=0.3)  # px


def test_the_threshold_is_a_multiple_of_a_hundred():
    image = np.array([0.0, 500.0])  # std 250
    assert automatic_threshold(image) == 300.0
    assert automatic_threshold(np.zeros(4)) == 100.0


def test_no_arcs_is_said_with_what_to_do():
    message = "no ring found: none of 1 connected pieces above the threshold 5 has 300 px"
    with pytest.raises(NoRingsError, match=re.escape(message)):
        find_arcs(np.pad(np.full((4, 4), 10.0), 20), 5.0)


def test_arcs_without_a_centre_are_said():
    bar = np.zeros((60, 400))
    bar[20:21, 20:380] = 10.0  # a straight line has parallel bisectors
    with pytest.raises(NoRingsError, match="no beam centre found from 1 arcs: give BCGuess"):
        beam_centre_by_chords(find_arcs(bar, 5.0))


TWO_THETA = np.arctan(np.array([0.10, 0.1155, 0.163, 0.191, 0.20]))


def test_distance_from_ratios():
    radii = 750.0 * np.tan(TWO_THETA) / 0.2
    assert distance_by_ratios(radii[[0, 2, 3]], TWO_THETA, 0.2) == pytest.approx(750.0, rel=1e-12)
    wrong = np.append(radii, 2.0 * radii[-1])  # one that is no ring
    assert distance_by_ratios(wrong, TWO_THETA, 0.2) == pytest.approx(750.0, rel=1e-12)


def test_first_ring_number_is_honoured_and_the_published_slip_is_an_option():
    radii = 750.0 * np.tan(TWO_THETA[1:]) / 0.2
    assert distance_by_ratios(radii, TWO_THETA, 0.2, 2) == pytest.approx(750.0, rel=1e-12)
    slip = distance_by_ratios(radii, TWO_THETA, 0.2, 2, published_first_ring=True)
    assert abs(slip / 750.0 - 1.0) > 0.005


@pytest.mark.parametrize(
    ("radii", "first", "message"),
    [
        ([100.0], 0, "FirstRingNr = 0: expected 1 to 5"),
        ([100.0], 6, "FirstRingNr = 6: expected 1 to 5"),
        ([], 1, "no ring radii to find the distance from"),
    ],
)
def test_distance_refuses(radii, first, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        distance_by_ratios(np.array(radii), TWO_THETA, 0.2, first)


def test_ratios_that_fit_nothing_are_said():
    # with the slip, rings are compared with the first one, so ring 5 alone fits no ratio of 1
    with pytest.raises(NoRingsError, match="the ratios of 1 radii fit no rings"):
        distance_by_ratios(np.array([100.0]), TWO_THETA, 0.2, 5, published_first_ring=True)


def test_rho_d_is_the_farthest_corner():
    # published coordinates: BC (30, 10) of a frame of 100 by 50; corners at (100, 50)
    centre = (30.5, 10.5)
    assert rho_d_of_corners_mm((50, 100), centre, 0.1) == pytest.approx(np.hypot(70, 40) * 0.1)
    swapped = rho_d_of_corners_mm((50, 100), centre, 0.1, published=True)
    assert swapped == pytest.approx(np.hypot(90, 30) * 0.1)
