"""Unit tests of the simulated powder frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.dispatch import use_backend
from refimpl.errors import ConfigError
from refimpl.forward import powder_image
from refimpl.forward.powder_image import (
    expected_counts,
    nodes_for,
    pixel_nodes,
    polarisation_factor,
    relative_solid_angle,
    simulate,
)
from refimpl.forward.simulated_frame import BAD_VALUE, GAP_VALUE, file_order, model_order
from refimpl.frames import midas_from_lab

PX_MM, LSD_MM = 0.1, 500.0
RAD_PER_PX = PX_MM / LSD_MM


def detector(**changes: Any) -> TiltedFlat:
    # every symmetry broken: unequal sides, off-centre, both tilts
    base = TiltedFlat((90, 110), (PX_MM, PX_MM), LSD_MM, (52.137, 41.79), (0.0, 0.02, -0.03))
    return base.replace(**changes)


def one_ring(radius_px: float = 30.0) -> tuple[list[float], list[float]]:
    return [float(np.arctan(radius_px * RAD_PER_PX))], [1.0]


def frame(model: TiltedFlat | None = None, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "wavelength_angstrom": 0.2,
        "fwhm_rad": 2.5 * RAD_PER_PX,
        "peak_counts": 1000.0,
        "background": 5.0,
        **changes,
    }
    return simulate(model or detector(), given.pop("rings", one_ring()), **given)


def test_expected_counts_by_hand() -> None:
    one = np.ones(1)
    # at half the FWHM from the centre both parts are at one half of the crest, whatever the mixing
    half = expected_counts([[0.101]], one, [0.1], [0.002], [0.3], [8.0])
    assert half[0] == pytest.approx(4.0, rel=1e-12)  # 0.101 - 0.1 has lost 3 digits
    # two FWHM away: 1/17 of the Lorentzian and 2^-16 of the Gaussian
    far = expected_counts([[0.104]], one, [0.1], [0.002], [0.3], [8.0])
    assert far[0] == pytest.approx(8.0 * (0.3 / 17.0 + 0.7 * 2.0**-16), rel=1e-11)  # as above


def test_expected_counts_average_nodes_and_keep_nan() -> None:
    t = np.array([[0.1, np.nan], [0.101, 0.1]])
    got = expected_counts(t, [0.25, 0.75], [0.1], [0.002], [0.0], [8.0])
    assert got[0] == pytest.approx(0.25 * 8.0 + 0.75 * 4.0, rel=1e-12)  # 0.101 - 0.1, as above
    assert np.isnan(got[1])


def test_lorentz_tails_are_never_cut() -> None:
    far = expected_counts([[0.5]], np.ones(1), [0.1], [1e-4], [1.0], [1.0])
    assert far[0] == pytest.approx((0.5e-4 / 0.4) ** 2, rel=1e-6)  # next term of the tail is 1.6e-8


def test_pixel_nodes_integrate_polynomials_exactly() -> None:
    f, s, w = pixel_nodes(3)
    assert w.sum() == pytest.approx(1.0, rel=1e-14)  # rounding of nine weights
    assert (w * f**4 * s**2).sum() == pytest.approx(1 / 80 * 1 / 12, rel=1e-13)  # as above


@pytest.mark.parametrize("width_px", [0.45, 0.8, 1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("mixing", [0.0, 1.0])
def test_line_centres_are_exact_to_1e_4_px(
    width_px: float, mixing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default quadrature against 16 x 16 nodes in every pixel: least-squares shift of the line.

    A quadrature that moved the line would bias every calibration of a simulated frame. 32 x 32
    nodes give the same shift to 4e-10 px and the same counts to 1e-7 of the crest.
    """
    kwargs: dict[str, Any] = {
        "fwhm_rad": width_px * RAD_PER_PX,
        "mixing": mixing,
        "background": 0.0,
        "noise": None,
        "solid_angle": False,
    }
    default = frame(**kwargs).expectation
    step = 1e-3  # px
    # the slope only turns the error into a shift: wrong by 1 %, it changes that by 1 %
    slope = (frame(**kwargs, rings=one_ring(30.0 + step)).expectation - default) / step
    monkeypatch.setattr(powder_image, "CORE_PX", 1e9)
    exact = frame(**kwargs, oversample=16).expectation
    error = default - exact
    shift_px = float(np.sum(error * slope) / np.sum(slope * slope))
    assert abs(shift_px) < 2e-5  # px; measured 1e-5 at worst, the contract is 1e-4
    assert np.max(np.abs(error)) < 3e-4 * 1000.0  # of the crest; 2e-4 at 2 px and 3 nodes


def test_nodes_grow_for_narrow_lines() -> None:
    narrow = [
        nodes_for(detector(), np.array([0.01]), np.array([w * RAD_PER_PX]))
        for w in (0.1, 0.5, 1.1, 3.0)
    ]
    assert narrow == [16, 10, 5, 3]


def test_ring_is_where_the_model_says() -> None:
    """Mean radius of the light along the ring, by the detector's own 2-theta of pixel centres."""
    f = frame(background=0.0, noise=None, mixing=0.0, solid_angle=False)
    two_theta = file_order(f.model.maps()[0], f.model.image_transform)
    mean = float(np.sum(f.expectation * two_theta) / np.sum(f.expectation))
    ring = f.truth.two_theta_rad[0]
    # a Gaussian of sigma s on a ring of radius r has its mean at r + s^2/r, 0.04 px here
    sigma = 2.5 / np.sqrt(8.0 * np.log(2.0))
    assert (mean - ring) / RAD_PER_PX == pytest.approx(sigma**2 / 30.0, abs=2e-3)  # px


def test_solid_angle_is_that_of_the_pixel() -> None:
    """Against the vectors of the detector: cos(incidence) / distance^2."""
    model = detector(shape=(900, 1100))
    f, s = np.array([3.5, 700.2, 1000.0]), np.array([10.0, 800.0, 70.0])
    panel = model.replace(image_transform=()).detector().panels[0]
    lab = midas_from_lab(panel.lab_mm(f, s))
    normal = midas_from_lab(np.cross(panel.fast_axis, panel.slow_axis))
    d = np.linalg.norm(lab, axis=1)
    expected = np.abs(lab @ normal) / d**3 * LSD_MM**2
    np.testing.assert_allclose(relative_solid_angle(model, f, s), expected, rtol=1e-12)  # rounding
    assert expected.min() < 0.96, "the case must be able to tell the factors"


def test_polarisation_limits() -> None:
    t = np.array([0.0, 0.7, 0.7])
    eta = np.array([0.3, np.pi / 2, 0.0])
    got = polarisation_factor(t, eta, 1.0, np.pi / 2)
    # along the electric field cos^2(2 theta), across it 1
    np.testing.assert_allclose(got, [1.0, np.cos(0.7) ** 2, 1.0], rtol=1e-14)  # rounding
    unpolarised = polarisation_factor(t, eta, 0.0, 0.0)
    np.testing.assert_allclose(unpolarised, 0.5 * (1 + np.cos(t) ** 2), rtol=1e-14)  # rounding


def test_factors_multiply_the_lines_and_not_the_background() -> None:
    model = detector(lsd_mm=5.0)  # wide angles: factors far from 1
    ring = ([0.6], [1.0])
    bare = frame(model, rings=ring, fwhm_rad=0.05, noise=None, solid_angle=False).expectation
    full = frame(model, rings=ring, fwhm_rad=0.05, noise=None, polarisation=(0.9, 0.4)).expectation
    n_slow, n_fast = model.shape
    f, s = (a.ravel() for a in np.meshgrid(np.arange(n_fast) + 0.5, np.arange(n_slow) + 0.5))
    t, e = model.two_theta_eta(f, s)
    factor = relative_solid_angle(model, f, s) * polarisation_factor(t, e, 0.9, 0.4)
    expected = (model_order(bare, (2,)) - 5.0) * factor.reshape(model.shape) + 5.0
    np.testing.assert_allclose(model_order(full, (2,)), expected, rtol=1e-12)  # rounding


def test_widths_and_areas_give_the_heights() -> None:
    f = frame(rings=([0.004, 0.008], [1.0, 1.0]), fwhm_rad=[2e-4, 4e-4], noise=None)
    np.testing.assert_allclose(f.truth.line_counts, [1000.0, 500.0], rtol=1e-15)  # one division


def test_background_may_depend_on_the_angle() -> None:
    f = frame(background=lambda t: 7.0 + 100.0 * t, peak_counts=0.0, noise=None, solid_angle=False)
    two_theta = file_order(f.model.maps()[0], (2,))
    np.testing.assert_allclose(f.expectation, 7.0 + 100.0 * two_theta, rtol=1e-14)  # rounding
    table = f.truth.as_dict()["background"]
    assert table["counts"][0] == 7.0


def test_noise_is_poisson_and_belongs_to_the_seed() -> None:
    a, b, c = frame(seed=3), frame(seed=3), frame(seed=4)
    np.testing.assert_array_equal(a.image, b.image)
    assert np.any(a.image != c.image)
    assert a.image.dtype == np.int32
    chi2 = float(np.mean((a.image - a.expectation) ** 2 / a.expectation))
    # variance of the mean of n = 9900 such terms is (2 + 1/mean)/n: 5 sigma is 0.075
    assert chi2 == pytest.approx(1.0, abs=0.075)


def test_threads_and_backend_do_not_matter() -> None:
    one = frame(threads=1, seed=5)
    five = frame(threads=5, seed=5)
    np.testing.assert_array_equal(one.expectation, five.expectation)
    np.testing.assert_array_equal(one.image, five.image)
    with use_backend("python"):
        defined = frame(seed=5)
    # 4 ulp of libm in the angle, 2e-15 px of a pixel's position, on the flank of a 2.5 px line
    np.testing.assert_allclose(defined.expectation, one.expectation, rtol=1e-11)


def test_file_order_is_undone_by_the_transform() -> None:
    image = np.arange(6).reshape(2, 3)
    for codes in ((), (1,), (2,), (3,), (3, 1), (1, 3), (3, 1, 2), (2, 3, 0)):
        np.testing.assert_array_equal(model_order(file_order(image, codes), codes), image)
    turned = frame(detector(image_transform=(3, 1)), noise=None)
    plain = frame(detector(image_transform=()), noise=None)
    assert turned.image.shape == (110, 90)
    np.testing.assert_array_equal(model_order(turned.image, (3, 1)), plain.image)


def test_the_stored_image_agrees_with_the_detectors_vectors() -> None:
    """The brightest pixels lie on the ring by ``Detector.maps``, which knows the file order."""
    f = frame(detector(image_transform=(2,)), noise=None, solid_angle=False)
    two_theta, _ = f.model.detector().maps()
    bright = f.expectation > 900.0
    assert bright.sum() > 50
    off_px = np.abs(two_theta[bright] - f.truth.two_theta_rad[0]) / RAD_PER_PX
    assert off_px.max() < 1.0


def test_gaps_panels_and_declared_bad_pixels() -> None:
    boxes = np.array([[0, 0, 50, 90], [57, 0, 110, 90]])
    mask = np.zeros((90, 110), dtype=bool)
    mask[4, 7] = mask[4, 53] = True
    f = frame(detector(panel_boxes=boxes), mask=mask, seed=9)
    assert np.all(f.image[:, 50:57] == GAP_VALUE)
    assert f.image[4, 7] == BAD_VALUE
    assert f.image[4, 53] == GAP_VALUE, "a gap is a gap, whatever the mask says"
    assert f.mask.sum() == 7 * 90 + 1
    assert np.all(np.isnan(f.expectation[:, 50:57]))
    assert np.all(f.image[~f.mask] >= 0)
    np.testing.assert_array_equal(f.image[~f.mask], frame(seed=9).image[~f.mask])


def test_a_moved_panel_moves_its_part_of_the_ring() -> None:
    boxes = np.array([[0, 0, 52, 90], [52, 0, 110, 90]])
    moves = np.zeros((2, 5))
    moves[1, 0] = 2.0  # the pixels of panel 1 really lie two pixels further along fast
    kwargs: dict[str, Any] = {"noise": None, "solid_angle": False}
    still = frame(detector(panel_boxes=boxes), **kwargs).expectation
    moved = frame(detector(panel_boxes=boxes, panel_corrections=moves), **kwargs).expectation
    np.testing.assert_array_equal(moved[:, :52], still[:, :52])
    np.testing.assert_allclose(moved[:, 52:100], still[:, 54:102], rtol=1e-9)  # rounding of pixels


def test_defects_are_there_and_recorded() -> None:
    f = frame(hot_pixels=5, dead_pixels=7, beam_stop_px=6.0, seed=2)
    clean = frame(seed=2)
    assert np.sum(f.image > 2900) == 5
    fast, slow = np.meshgrid(np.arange(110) + 0.5, np.arange(90) + 0.5)
    shadow = np.hypot(fast - 52.137, (90 - slow) - 41.79) < 6.0
    assert np.all(f.image[shadow] == 0)
    assert np.all(f.defects[shadow])
    assert f.defects.sum() == shadow.sum() + 12
    np.testing.assert_array_equal(f.image[~f.defects], clean.image[~f.defects])
    assert not f.mask.any()


def test_graininess_keeps_the_mean_and_spots_the_ring() -> None:
    kwargs: dict[str, Any] = {"noise": None, "background": 0.0, "solid_angle": False}
    smooth = frame(**kwargs).expectation
    grainy = frame(**kwargs, graininess=0.5, seed=8).expectation
    ratio = (grainy / smooth)[smooth > 500.0]
    assert 0.2 < ratio.std() < 0.6
    assert ratio.mean() == pytest.approx(1.0, abs=0.15)  # 5 sigma of 360 cells at 0.5
    assert np.all(grainy >= 0.0)


def test_rings_of_the_crystal_room_fit() -> None:
    from refimpl.crystal.rings import rings

    ceria = rings("CeO2", 0.2, 0.15)
    f = frame(detector(lsd_mm=60.0), rings=ceria, noise=None)
    np.testing.assert_array_equal(f.truth.two_theta_rad, ceria.two_theta_rad)
    assert repr(f) == "<SimulatedFrame 110 x 90 px, 6 rings, peak 1000 counts, Lsd 60 mm, seed 0>"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": "gauss"}, "noise = 'gauss': expected 'poisson' or None"),
        ({"rings": ([], [])}, "rings: got 0 angles and 0 intensities: expected at least one"),
        ({"rings": ([0.1], [-1.0])}, "rings: intensities must not be negative"),
        ({"fwhm_rad": 0.0}, "fwhm_rad = 0.0: expected a positive angle"),
        ({"mixing": 1.5}, "mixing = 1.5: expected a fraction from 0 to 1"),
        ({"peak_counts": -1.0}, "peak_counts = -1.0: expected 0 to 1e.09 counts a pixel"),
        ({"peak_counts": 1e10}, "peak_counts = 10000000000.0: expected 0 to 1e.09"),
        ({"background": np.nan}, "background = nan: expected 0 to 1e.09 counts a pixel"),
        ({"background": lambda t: -1.0 + 0.0 * t, "peak_counts": 0.0}, "expectation is negative"),
        ({"wavelength_angstrom": 0.0}, "wavelength_angstrom = 0.0: expected 0.001 to 1000"),
        ({"oversample": 100}, "oversample = 100: expected None or 1 to 64 nodes a side"),
        ({"graininess": -0.1}, "graininess = -0.1: expected 0 or more"),
        ({"mask": np.zeros((2, 3), dtype=bool)}, "mask has shape .2, 3.: expected .90, 110."),
        ({"hot_pixels": 9901}, "hot_pixels = 9901, dead_pixels = 0: expected 0 to 9900 in all"),
        ({"dead_pixels": -1}, "dead_pixels = -1: expected 0 to 9900 in all"),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        frame(**changes)
