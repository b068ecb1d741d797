"""Unit tests of the Fisher information: against finite differences, and what must hold of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS
from refimpl.errors import ConfigError
from refimpl.forward.information import GEOMETRY, NUISANCE, Information, fisher_information
from refimpl.forward.powder_image import expectation, simulate
from refimpl.forward.simulated_frame import PowderTruth, SimulatedFrame

RAD_PER_PX = 0.1 / 60.0


def small(**changes: Any) -> SimulatedFrame:
    model = changes.pop("model", None) or TiltedFlat(
        (130, 150), (0.1, 0.1), 60.0, (60.3, 71.8), (0.0, 0.02, -0.03), p=(1e-3,) * 15
    )
    given: dict[str, Any] = {
        "wavelength_angstrom": 0.3,
        "fwhm_rad": 2.5 * RAD_PER_PX,
        "peak_counts": 500.0,
        "background": 20.0,
        "solid_angle": False,
        **changes,
    }
    return simulate(model, ([0.03, 0.06, 0.09], [1.0, 0.5, 0.7]), **given)


def with_parameter(truth: PowderTruth, name: str, step: float) -> PowderTruth:
    """Truth with one parameter moved, in the units of the information matrix."""
    if name in GEOMETRY_FIELDS:
        g = truth.model.geometry
        g[GEOMETRY_FIELDS.index(name)] += step
        return dataclasses.replace(truth, model=truth.model.with_geometry(g))
    if name.startswith("intensity"):
        k = int(name.split("_")[1])
        # the strongest ring keeps its scale: put the factor into peak_counts where it is ring 0
        i = truth.intensity.copy()
        i[k] *= np.exp(step)
        return dataclasses.replace(
            truth, intensity=i, peak_counts=truth.peak_counts * i.max() / truth.intensity.max()
        )
    if name == "width":
        return dataclasses.replace(truth, fwhm_rad=truth.fwhm_rad * np.exp(step))
    if name == "mixing":
        return dataclasses.replace(truth, mixing=truth.mixing + step)
    assert not callable(truth.background)
    return dataclasses.replace(truth, background=truth.background * float(np.exp(step)))


def test_matrix_equals_finite_differences_of_the_expectation() -> None:
    """Every geometry parameter, distortion included, and every nuisance parameter."""
    names = (*GEOMETRY, "tx_rad", "iso_r2", "a2c", "a3s", "parallax_mm")
    truth = small().truth
    info = fisher_information(truth, names)
    mean = expectation(truth)[0].ravel()
    rows = []
    for name in info.names:
        step = 1e-5 if name not in ("beam_fast_px", "beam_slow_px", "lsd_mm") else 1e-3
        up, down = (
            expectation(with_parameter(truth, name, sign * step))[0].ravel() for sign in (1, -1)
        )
        rows.append((up - down) / (2.0 * step))
    design = np.array(rows)
    numeric = (design / mean) @ design.T
    scale = np.sqrt(np.outer(np.diag(numeric), np.diag(numeric)))
    # d(2 theta)/d(parameter) is taken at pixel centres: an error of second order in 1 px / radius,
    # (1/18)^2 = 3e-3 for the innermost ring here
    np.testing.assert_allclose(info.matrix / scale, numeric / scale, rtol=0.0, atol=4e-3)


def test_bound_agrees_with_repeated_fits_of_one_parameter() -> None:
    """The maximum-likelihood step from the truth, over noisy frames, spreads as the bound says."""
    truth = small().truth
    info = fisher_information(truth, ("lsd_mm",), nuisance=())
    mean = expectation(truth)[0]
    step = 1e-3
    slope = (expectation(with_parameter(truth, "lsd_mm", step))[0] - mean) / step
    rng = np.random.Generator(np.random.PCG64(7))
    steps = [
        np.sum((rng.poisson(mean) - mean) * slope / mean) / info.matrix[0, 0] for _ in range(400)
    ]
    # the standard deviation of a standard deviation from 400 draws is 3.5 %: 5 of these
    assert np.std(steps) == pytest.approx(info.bound()["lsd_mm"], rel=0.18)


def test_pixels_add_up() -> None:
    frame = small()
    left = np.zeros(frame.image.shape, dtype=bool)
    left[:, :40] = True
    a, b = (fisher_information(frame, pixels=p) for p in (left, ~left))
    whole = fisher_information(frame)
    assert a.n_pixels + b.n_pixels == whole.n_pixels == frame.image.size
    scale = np.abs(whole.matrix).max()
    np.testing.assert_allclose(a.matrix + b.matrix, whole.matrix, atol=1e-12 * scale)  # rounding


def test_four_times_the_counts_halve_the_bound() -> None:
    one = fisher_information(small(background=20.0, peak_counts=500.0)).bound()
    four = fisher_information(small(background=80.0, peak_counts=2000.0)).bound()
    for name in GEOMETRY:
        assert one[name] == pytest.approx(2.0 * four[name], rel=1e-9)  # linear algebra of 10 rows


def test_unknown_nuisance_never_helps() -> None:
    truth = small().truth
    sharp = fisher_information(truth, nuisance=()).bound()
    for k in range(1, len(NUISANCE) + 1):
        blunt = fisher_information(truth, nuisance=NUISANCE[:k]).bound()
        assert all(blunt[name] >= sharp[name] * (1 - 1e-9) for name in GEOMETRY)  # rounding
        sharp = blunt


def test_gaps_masks_and_defects_are_left_out() -> None:
    boxes = np.array([[0, 0, 70, 130], [75, 0, 150, 130]])
    model = small().model.replace(panel_boxes=boxes)
    mask = np.zeros((130, 150), dtype=bool)
    mask[3, 4] = True
    frame = small(model=model, mask=mask, dead_pixels=2)
    assert fisher_information(frame).n_pixels == 145 * 130 - 3
    assert fisher_information(frame.truth).n_pixels == 145 * 130


def test_the_transform_of_the_file_does_not_matter() -> None:
    a = fisher_information(small())
    model = small().model.replace(image_transform=(3, 1))
    b = fisher_information(small(model=model))
    np.testing.assert_array_equal(a.matrix, b.matrix)


def test_what_cannot_be_determined_has_an_infinite_bound() -> None:
    """A roll about the beam moves no ring of an untilted detector."""
    model = TiltedFlat((130, 150), (0.1, 0.1), 60.0, (60.3, 71.8))
    bound = fisher_information(small(model=model), (*GEOMETRY, "tx_rad")).bound()
    assert bound["tx_rad"] == np.inf
    assert all(np.isfinite(bound[name]) and bound[name] > 0.0 for name in GEOMETRY)


def test_a_ring_that_no_pixel_sees_does_no_harm() -> None:
    matrix = np.diag([4.0, 9.0, 0.0])
    info = Information(("lsd_mm", "beam_fast_px", "intensity_0"), matrix, 2, 1)
    assert info.bound() == {"lsd_mm": 0.5, "beam_fast_px": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": ("lsd",)}, "parameters: unknown 'lsd': expected some of lsd_mm, "),
        ({"parameters": ("d_fast_px",)}, "parameters: unknown 'd_fast_px'"),
        ({"nuisance": ("slope",)}, "nuisance: unknown 'slope': expected some of intensity, width"),
        ({"pixels": np.ones((3, 3), dtype=bool)}, "pixels has shape .3, 3.: expected .130, 150."),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fisher_information(small(), **changes)


def test_a_pixel_without_expectation_is_refused() -> None:
    frame = small(background=0.0, peak_counts=0.0)
    with pytest.raises(ConfigError, match="a used pixel expects no counts"):
        fisher_information(frame)
