"""Properties of simulated powder frames that hold for any detector."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.detector.model import TiltedFlat
from refimpl.forward.information import fisher_information
from refimpl.forward.powder_image import expected_counts, simulate
from refimpl.forward.simulated_frame import model_order

PX_MM = 0.1


@st.composite
def detectors(draw: st.DrawFn) -> TiltedFlat:
    number = st.floats(0.0, 1.0)
    n_slow, n_fast = draw(st.integers(40, 70)), draw(st.integers(40, 70))
    return TiltedFlat(
        (n_slow, n_fast),
        (PX_MM, PX_MM),
        20.0 + 200.0 * draw(number),
        (n_fast * (1.4 * draw(number) - 0.2), n_slow * (1.4 * draw(number) - 0.2)),
        (0.0, 0.1 * draw(number) - 0.05, 0.1 * draw(number) - 0.05),
        image_transform=draw(st.sampled_from([(), (1,), (2,), (3,), (3, 2)])),
    )


def lines(model: TiltedFlat, radii_px: tuple[float, ...] = (12.0, 23.0)) -> tuple[object, object]:
    return np.arctan(np.array(radii_px) * PX_MM / model.lsd_mm), np.array([1.0, 0.6])


def render(model: TiltedFlat, **changes: object) -> np.ndarray:
    given_arguments: dict[str, object] = {
        "wavelength_angstrom": 0.2,
        "fwhm_rad": 2.2 * PX_MM / model.lsd_mm,
        "noise": None,
        "background": 3.0,
        "rings": lines(model),
        **changes,
    }
    frame = simulate(model, **given_arguments)  # type: ignore[arg-type]
    return model_order(frame.expectation, model.image_transform)


@given(detectors())
@settings(max_examples=15)
def test_a_shift_of_the_beam_by_whole_pixels_shifts_the_picture(model: TiltedFlat) -> None:
    """Pixels know nothing of where they are in the image."""
    bf, bs = model.beam_centre_px
    moved = model.replace(beam_centre_px=(bf + 3, bs - 2))
    a, b = render(model), render(moved)
    np.testing.assert_allclose(b[:-2, 3:], a[2:, :-3], rtol=1e-9)  # rounding of coordinates


@given(detectors())
@settings(max_examples=15)
def test_pixel_size_and_distance_scale_together(model: TiltedFlat) -> None:
    big = model.replace(pixel_size_mm=(0.3, 0.3), lsd_mm=3.0 * model.lsd_mm)
    fixed = {"rings": lines(model), "fwhm_rad": 2.2 * PX_MM / model.lsd_mm}
    # rounding: what is left of 2-theta near a narrow line's flank
    np.testing.assert_allclose(render(big, **fixed), render(model, **fixed), rtol=1e-9)


@given(detectors())
@settings(max_examples=15)
def test_mirror_image_of_a_mirrored_detector(model: TiltedFlat) -> None:
    n_fast = model.shape[1]
    bf, bs = model.beam_centre_px
    _, ty, tz = model.tilts_rad
    mirrored = model.replace(beam_centre_px=(n_fast - bf, bs), tilts_rad=(0.0, ty, -tz))
    np.testing.assert_allclose(render(mirrored), np.fliplr(render(model)), rtol=1e-9)  # as above


@given(detectors(), st.floats(0.1, 50.0))
@settings(max_examples=15)
def test_expectation_is_linear_in_the_counts(model: TiltedFlat, factor: float) -> None:
    one = render(model, peak_counts=100.0, background=3.0)
    more = render(model, peak_counts=100.0 * factor, background=3.0 * factor)
    np.testing.assert_allclose(more, factor * one, rtol=1e-12)  # rounding


@given(detectors())
@settings(max_examples=15)
def test_rings_add_up(model: TiltedFlat) -> None:
    t, i = (np.asarray(a) for a in lines(model))
    both = render(model, background=0.0)
    first = render(model, rings=(t[:1], i[:1]), background=0.0, peak_counts=1000.0)
    second = render(model, rings=(t[1:], i[1:]), background=0.0, peak_counts=600.0)
    # a pixel near either ring is integrated, near neither taken at its centre: that differs between
    # the pictures by less than 3e-4 of the crest (CORE_FWHM)
    np.testing.assert_allclose(both, first + second, atol=0.3)


@given(st.floats(0.05, 0.3), st.floats(1e-4, 1e-2), st.floats(0.0, 1.0), st.floats(-20.0, 20.0))
def test_lines_are_even_and_fall(centre: float, fwhm: float, mixing: float, x: float) -> None:
    """Symmetric in 2-theta: what makes the truth of a simulated frame exact."""
    t = np.array([[x, -x, x * 1.1]]) * 0.25 * fwhm
    # about zero, so that the two sides have no rounding of their own
    v = expected_counts(t, np.ones(1), [0.0], [fwhm], [mixing], [1.0])
    assert v[0] == v[1]
    assert 0.0 <= v[2] <= v[0] <= 1.0
    shifted = expected_counts(t + centre, np.ones(1), [centre], [fwhm], [mixing], [1.0])
    np.testing.assert_allclose(shifted, v, rtol=1e-9, atol=1e-12)  # centre +- x has lost digits


@given(detectors())
@settings(max_examples=10)
def test_information_is_symmetric_and_not_negative(model: TiltedFlat) -> None:
    frame = simulate(
        model,
        lines(model),  # type: ignore[arg-type]
        wavelength_angstrom=0.2,
        fwhm_rad=2.2 * PX_MM / model.lsd_mm,
    )
    info = fisher_information(frame)
    scale = np.sqrt(np.diag(info.matrix)) + 1e-300
    scaled = info.matrix / np.outer(scale, scale)
    np.testing.assert_allclose(scaled, scaled.T, atol=1e-12)  # sums in another order
    assert np.linalg.eigvalsh(scaled).min() > -1e-12  # rounding of a singular matrix
