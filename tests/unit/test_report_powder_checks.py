"""What the powder report checks and works out: verdicts, figures' numbers, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from report_powder_views import TWO_THETA, make_view

from refimpl.errors import ConfigError
from refimpl.report import rings, style, verdict
from refimpl.report.powder import figures
from refimpl.report.view import PowderView


@pytest.fixture(scope="module")
def small() -> PowderView:
    return make_view(n=600, scale=0.25)


def test_a_simulated_detector_with_panels_is_drawn(small):
    n_slow, n_fast = small.model.shape
    boxes = np.array([[0, 0, n_fast // 2, n_slow], [n_fast // 2 + 3, 0, n_fast, n_slow]])
    moves = np.zeros((2, 5))
    moves[1, :2] = 4.0
    model = small.model.replace(panel_boxes=boxes, panel_corrections=moves)
    view = dataclasses.replace(small, model=model)
    eta = np.radians([90.0, -90.0])
    fast, slow = rings.ring_curve(view, TWO_THETA[2], eta)
    plain, _ = rings.ring_curve(small, TWO_THETA[2], eta)
    # The right panel is moved by +4 px when read, so its ring lies 4 px before the plain one
    # along fast; along the ring's own direction it hardly matters. Second order: 4^2 / 2R px.
    assert fast[0] == pytest.approx(plain[0] - 4.0, abs=0.2)
    assert fast[1] == pytest.approx(plain[1], abs=1e-9)
    assert np.isfinite(slow).all()
    style.png(figures(view)["ring_overlay"])


def test_pooling_keeps_maxima_and_gaps():
    image = np.zeros((5, 7))
    image[3, 5] = 9.0
    image[0:2, 0:2] = np.nan
    image[2, 2] = np.nan
    pooled, factor = style.pool_maxima(image, 4)
    assert factor == 2
    assert pooled.shape == (3, 4)
    assert pooled[1, 2] == 9.0
    assert np.argwhere(np.isnan(pooled)).tolist() == [[0, 0]]
    same, one = style.pool_maxima(image, 7)
    assert one == 1
    np.testing.assert_array_equal(same, image)


def test_stretch_is_monotonic_and_bounded():
    image = np.array([[1.0, 2.0, 3.0], [4.0, 1e6, np.nan]])
    shown = style.stretch(image, 0.0, 100.0)
    finite = shown[np.isfinite(image)]
    assert finite.min() == 0.0
    assert finite.max() == 1.0
    assert (np.diff(finite) > 0).all()
    assert np.isnan(shown[1, 2])
    assert np.isnan(style.stretch(np.full((2, 2), np.nan))).all()
    assert (style.stretch(np.ones((2, 2))) == 0.0).all()


def test_ring_labels_keep_their_distance(small):
    spots = rings.label_positions(small, least_px=20.0)
    assert len(spots) >= 4
    centre = small.model.beam_centre_px
    radii = np.array([np.hypot(f - centre[0], s - centre[1]) for _, f, s in spots])
    assert (np.diff(radii) >= 20.0).all()
    assert rings.spread(np.array([np.nan, 0.0, 1.0, 3.0]), 2.0) == [1, 3]


def test_strain_errors_and_pixels_follow_the_definition(small):
    points = small.used.head(50)
    step = 1e-9  # rad; the strain is linear over it to 1e-7 of the derivative
    ring = TWO_THETA[points["ring"].to_numpy() - 1]
    angle = points["two_theta_rad"].to_numpy()
    slope = (np.tan(angle + step) - np.tan(angle - step)) / (2.0 * step) / np.tan(ring)
    expected = slope * points["sigma_two_theta_rad"].to_numpy()
    # sigma_strain takes the ring's angle for the point's: they differ by the strain, 1e-4.
    np.testing.assert_allclose(small.sigma_strain(points), expected, rtol=1e-3)
    pixel = small.model.pixel_size_mm[0]
    away = small.model.lsd_mm * (np.tan(angle) - np.tan(ring)) / pixel
    np.testing.assert_allclose(small.residual_px(points), away, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "title", "level"),
    [
        ({"converged": False}, "Convergence", "bad"),
        ({"converged": True}, "Convergence", "good"),
        ({"cross_validated": 2e-4, "clip_mean": 1e-4}, "Cross-validation", "look"),
        ({"cross_validated": 1.05e-4, "clip_mean": 1e-4}, "Cross-validation", "good"),
        ({"cross_validated": None}, "Cross-validation", "look"),
    ],
)
def test_checks_of_the_fit(small, changes, title, level):
    view = dataclasses.replace(small, summary={**small.summary, **changes})
    assert [c.level for c in verdict.checks(view) if c.title == title] == [level]


def test_a_faultless_calibration_is_called_so(small):
    points = small.points.copy()
    rng = np.random.default_rng(1)
    sigma = small.sigma_strain(points)
    points["strain"] = rng.normal(0.0, sigma)
    points["used"] = True
    parameters = small.parameters[small.parameters["status"].isin(["refined", "fixed"])]
    view = dataclasses.replace(
        small, points=points, parameters=parameters, correlations=None, warnings=()
    )
    assert verdict.headline(view) == ("good", "Calibrated")
    one_remark = dataclasses.replace(view, warnings=["look at me"])
    assert verdict.headline(one_remark) == ("look", "Calibrated, with 1 remark")


def test_partial_rings_and_single_rings_off_are_noticed(small):
    near = small.points[small.points["eta_rad"].abs() < 0.5]
    found = {c.title: c for c in verdict.checks(dataclasses.replace(small, points=near))}
    assert found["Coverage"].level == "bad"
    assert "lean on one side" in found["Coverage"].text
    moved = small.points.copy()
    moved.loc[moved["ring"] == 3, "strain"] += 900e-6
    found = {c.title: c for c in verdict.checks(dataclasses.replace(small, points=moved))}
    assert found["Rings that stand off"].text.startswith("ring 3 by ")
    assert found["Systematic residuals"].level == "look"


def test_strong_correlations_are_listed_strongest_first(small):
    matrix = np.eye(3)
    matrix[0, 1] = matrix[1, 0] = 0.96
    matrix[0, 2] = matrix[2, 0] = -0.99
    view = dataclasses.replace(small, correlations=(matrix, ["lsd_mm", "p0", "p1"]))
    assert verdict.strong_pairs(view) == [
        ("p1", "distance Lsd", -0.99),
        ("p0", "distance Lsd", 0.96),
    ]


def test_a_view_refuses_what_does_not_fit(small):
    with pytest.raises(ConfigError, match=r"PowderView\.points lacks the columns ring, strain"):
        dataclasses.replace(small, points=small.points.drop(columns=["ring", "strain"]))
    with pytest.raises(ConfigError, match=r"PowderView\.parameters lacks the columns unit"):
        dataclasses.replace(small, parameters=small.parameters.drop(columns="unit"))
    with pytest.raises(ConfigError, match=r"image has shape \(3, 4\): expected the model's"):
        dataclasses.replace(small, image=np.zeros((3, 4)))
    with pytest.raises(
        ConfigError, match=r"ring_two_theta \(2,\).*expected \(h,\), \(h,\), \(h, 3\)"
    ):
        dataclasses.replace(small, ring_two_theta=np.zeros(2))
