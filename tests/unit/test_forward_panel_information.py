"""Unit tests of the information on panels: against brute force and finite differences."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS, PANEL_FIELDS
from refimpl.errors import ConfigError
from refimpl.forward.information import GEOMETRY, fisher_information
from refimpl.forward.panel_gauge import draw_panel_errors, gauge_rows
from refimpl.forward.panel_information import (
    PANEL_PARAMETERS,
    PanelInformation,
    constrained_covariance,
    panel_information,
)
from refimpl.forward.powder_image import expectation, simulate
from refimpl.forward.scenes import panel_grid
from refimpl.forward.simulated_frame import PowderTruth, SimulatedFrame

RAD_PER_PX = 0.1 / 60.0
BOXES = panel_grid([46, 50, 48], [3, 3], [40, 41, 42], [3, 4])
WIDTHS = {"d_fast_px": 0.3, "d_slow_px": 0.3, "d_theta_rad": 2e-3, "d_lsd_mm": 0.05}
RINGS = ([0.025, 0.045, 0.06, 0.075, 0.09, 0.11, 0.125], [1.0, 0.5, 0.7, 0.6, 0.9, 0.8, 0.7])


def small(**changes: Any) -> SimulatedFrame:
    """Nine panels out of place."""
    rng = np.random.Generator(np.random.PCG64(1))
    moves = draw_panel_errors(BOXES, {**WIDTHS, "tilt_fast_rad": 1e-3, "tilt_slow_rad": 1e-3}, rng)
    model = TiltedFlat(
        (130, 150), (0.1, 0.1), 60.0, (70.3, 61.8), (0.0, 0.02, -0.03),
        panel_boxes=BOXES, panel_corrections=moves,
    )  # fmt: skip
    given: dict[str, Any] = {
        "wavelength_angstrom": 0.3,
        "fwhm_rad": 2.5 * RAD_PER_PX,
        "peak_counts": 500.0,
        "background": 20.0,
        "solid_angle": False,
        **changes,
    }
    return simulate(model, RINGS, **given)


@pytest.fixture(scope="module")
def information() -> PanelInformation:
    return panel_information(small())


def moved(truth: PowderTruth, name: str, step: float) -> PowderTruth:
    """Truth with one parameter moved."""
    model = truth.model
    if name in GEOMETRY_FIELDS:
        g = model.geometry
        g[GEOMETRY_FIELDS.index(name)] += step
        return dataclasses.replace(truth, model=model.with_geometry(g))
    panel, field = name.split(".")
    moves = np.array(model.panel_corrections)
    moves[int(panel), PANEL_FIELDS.index(field)] += step
    return dataclasses.replace(truth, model=model.replace(panel_corrections=moves))


def test_equals_finite_differences_of_the_expectation() -> None:
    """Every field of panels, tilts and dP2 too, as one dense matrix without any structure."""
    truth = small().truth
    info = panel_information(truth, ("lsd_mm", "beam_fast_px"), PANEL_FIELDS, nuisance=())
    inside = truth.model.panel_index(*_centres(truth)) >= 0
    mean = expectation(truth)[0].ravel()[inside]
    rows = []
    for name in info.names:
        step = 1e-3 if name.endswith(("mm", "px")) else 1e-5
        up, down = (
            expectation(moved(truth, name, sign * step))[0].ravel()[inside] for sign in (1, -1)
        )
        rows.append((up - down) / (2.0 * step))
    design = np.array(rows)
    numeric = (design / mean) @ design.T
    size = np.sqrt(np.outer(np.diag(numeric), np.diag(numeric)))
    # d(2 theta)/d(parameter) is taken at pixel centres: an error of second order in 1 px / radius,
    # (1/15)^2 = 4e-3 for the innermost ring, which fills the middle panel
    np.testing.assert_allclose(info.reduced() / size, numeric / size, rtol=0.0, atol=6e-3)


def _centres(truth: PowderTruth) -> tuple[np.ndarray, np.ndarray]:
    n_slow, n_fast = truth.model.shape
    fast, slow = np.meshgrid(np.arange(n_fast) + 0.5, np.arange(n_slow) + 0.5)
    return fast.ravel(), slow.ravel()


def test_the_detector_alone_is_as_before(information: PanelInformation) -> None:
    """With every panel known there is the bound of the detector, to the last digits."""
    g = len(GEOMETRY)
    known = information.names[g:]
    one = information.covariance(known=known)
    np.testing.assert_allclose(
        np.sqrt(np.diag(one))[:g], list(fisher_information(small()).bound().values()), rtol=1e-9
    )  # the same sums in another order
    assert np.all(one[g:] == 0.0)


def test_arrow_equals_brute_force(information: PanelInformation) -> None:
    """Schur complement and basis of the constraints against one bordered matrix, inverted."""
    _, rows = gauge_rows(BOXES, information.fields)
    got = information.covariance(rows, priors=WIDTHS)
    g, h = len(information.parameters), len(information.nuisance)
    k = len(information.names)
    q = len(information.fields)
    full = np.zeros((k + h + len(rows), k + h + len(rows)))
    outer = [*range(g), *range(k, k + h)]
    full[np.ix_(outer, outer)] = information.border
    for i in range(len(BOXES)):
        at = np.arange(g + i * q, g + (i + 1) * q)
        full[np.ix_(outer, at)] = information.cross[i]
        full[np.ix_(at, outer)] = information.cross[i].T
        full[np.ix_(at, at)] = information.blocks[i] + np.diag(
            [WIDTHS[name] ** -2.0 for name in information.fields]
        )
    full[g:k, k + h :], full[k + h :, g:k] = rows.T, rows
    size = np.sqrt(np.where(np.diag(full) > 0.0, np.diag(full), 1.0))
    size[k + h :] = np.sqrt(np.max(np.abs(full / size), axis=1))[k + h :]
    brute = np.linalg.inv(full / np.outer(size, size)) / np.outer(size, size)
    sigma = np.sqrt(np.diag(got))
    # condition 1e8 or so
    np.testing.assert_allclose(
        got / np.outer(sigma, sigma), brute[:k, :k] / np.outer(sigma, sigma), atol=1e-6
    )


def test_constraints_hold_in_the_covariance(information: PanelInformation) -> None:
    _, rows = gauge_rows(BOXES, information.fields)
    c = information.covariance(rows, priors=WIDTHS)[len(GEOMETRY) :, len(GEOMETRY) :]
    scale = np.sqrt(np.einsum("mi,ij,mj->m", np.abs(rows), np.abs(c), np.abs(rows)))
    assert np.max(np.abs(np.einsum("mi,ij,mj->m", rows, c, rows)) / scale**2) < 1e-9  # rounding


def test_without_a_gauge_nothing_is_determined(information: PanelInformation) -> None:
    c = information.covariance()
    for name in ("beam_fast_px", "0.d_fast_px", "8.d_slow_px"):
        assert c[information.names.index(name), information.names.index(name)] == np.inf


def test_a_panel_that_turns_about_the_beam_needs_a_prior(information: PanelInformation) -> None:
    _, rows = gauge_rows(BOXES, information.fields)
    at = information.names.index("0.d_theta_rad")
    alone = np.sqrt(np.diag(information.covariance(rows)))
    helped = np.sqrt(np.diag(information.covariance(rows, priors=WIDTHS)))
    assert alone[at] > 3.0 * WIDTHS["d_theta_rad"]
    assert helped[at] < WIDTHS["d_theta_rad"]
    assert np.all(helped <= alone * (1 + 1e-9))  # rounding


def test_a_masked_panel_is_undetermined_and_harms_no_other() -> None:
    mask = np.zeros((130, 150), dtype=bool)
    f0, s0, f1, s1 = BOXES[2]
    mask[130 - s1 : 130 - s0, f0:f1] = True  # the file is upside down
    info = panel_information(small(mask=mask))
    assert info.n_pixels[2] == 0
    seen = np.arange(len(BOXES)) != 2
    _, rows = gauge_rows(BOXES, info.fields, seen)
    sigma = np.sqrt(np.diag(info.covariance(rows)))
    lost = np.array([name.startswith("2.") for name in info.names])
    assert np.all(sigma[lost] == np.inf)
    assert np.all(np.isfinite(sigma[~lost]))
    with_prior = np.sqrt(np.diag(info.covariance(rows, priors=WIDTHS)))
    np.testing.assert_allclose(
        with_prior[lost], [WIDTHS[name] for name in info.fields], rtol=1e-9
    )  # rounding: nothing but the prior


def test_every_third_pixel_is_enough(information: PanelInformation) -> None:
    _, rows = gauge_rows(BOXES, information.fields)
    whole, third = (
        np.sqrt(np.diag(i.covariance(rows, priors=WIDTHS)))
        for i in (information, panel_information(small(), stride=3))
    )
    # panels of 2000 px here, where real ones have 50,000
    np.testing.assert_allclose(third / whole, 1.0, atol=0.1)


def test_maximum_likelihood_spreads_as_the_bound_says() -> None:
    """Gauss-Newton steps from the truth, constrained, over noisy frames."""
    truth = small().truth
    fields = ("d_fast_px", "d_slow_px")
    info = panel_information(truth, ("lsd_mm",), fields, nuisance=())
    _, rows = gauge_rows(BOXES, fields)
    bound = info.covariance(rows)
    mean = expectation(truth)[0].ravel()
    inside = truth.model.panel_index(*_centres(truth)) >= 0
    steps = {name: 1e-3 for name in info.names}
    slope = np.array(
        [
            (
                expectation(moved(truth, n, s))[0].ravel()
                - expectation(moved(truth, n, -s))[0].ravel()
            )[inside]
            / (2.0 * s)
            for n, s in steps.items()
        ]
    )
    mean = mean[inside]
    rng = np.random.Generator(np.random.PCG64(7))
    scores = np.array([slope @ ((rng.poisson(mean) - mean) / mean) for _ in range(600)])
    spread = np.std(scores @ bound, axis=0)
    # a standard deviation of 600 draws is known to 2.9 %: 5 of these
    np.testing.assert_allclose(spread, np.sqrt(np.diag(bound)), rtol=0.15)


def test_constraints_that_repeat_each_other_count_once() -> None:
    information = np.diag([4.0, 1.0, 9.0])
    rows = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    c = constrained_covariance(information, rows)
    np.testing.assert_allclose(
        c, [[0.2, -0.2, 0.0], [-0.2, 0.2, 0.0], [0.0, 0.0, 1.0 / 9.0]], atol=1e-12
    )  # x = -y: 1 / (4 + 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": ("lsd",)}, "parameters: unknown 'lsd': expected some of lsd_mm, "),
        ({"fields": ("dY",)}, "fields: unknown 'dY': expected some of d_fast_px, d_slow_px"),
        ({"nuisance": ("slope",)}, "nuisance: unknown 'slope': expected some of intensity, width"),
        ({"stride": 0}, "stride = 0: expected 1 or more"),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        panel_information(small(), **changes)


def test_a_detector_without_panels_is_refused() -> None:
    truth = small().truth
    flat = dataclasses.replace(
        truth, model=truth.model.replace(panel_boxes=None, panel_corrections=None)
    )
    with pytest.raises(ConfigError, match="panel_information: the detector has no panels"):
        panel_information(flat)


def test_a_pixel_without_expectation_is_refused() -> None:
    with pytest.raises(ConfigError, match="panel_information: a used pixel expects no counts"):
        panel_information(small(background=0.0, peak_counts=0.0))


def test_the_default_is_shift_rotation_and_height(information: PanelInformation) -> None:
    assert information.fields == PANEL_PARAMETERS
    assert information.names[: len(GEOMETRY)] == GEOMETRY
    assert information.names[len(GEOMETRY)] == "0.d_fast_px"
    assert len(information.names) == len(GEOMETRY) + 4 * len(BOXES)
