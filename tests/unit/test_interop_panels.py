"""Lists of panels as the parametrised model: every pixel stays where it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL
from refimpl.detector.panel import Detector, Panel, PolarDistortion
from refimpl.detector.panel_grid import PanelGrid
from refimpl.errors import GeometryError
from refimpl.interop.panels import boxes_of_detector, tilted_flat_from_panels
from refimpl.units import DEG

GRID = PanelGrid(3, 4, 48, 39, (7, 3), (17, 17, 5))
SCALE = np.array([1.0, 1.0, 2 * DEG, 3.0, 0.0, 2 * DEG, 2 * DEG])
EXACT_MM = 1e-9 * 0.172  # 1e-9 px


def model_of(seed: int, codes: tuple[int, ...] = (2,), **changes: Any) -> TiltedFlat:
    rng = np.random.default_rng(seed)
    model = TiltedFlat(
        shape=GRID.shape,
        pixel_size_mm=(0.172, 0.172),
        lsd_mm=320.0,
        beam_centre_px=(71.3, 88.9),
        tilts_rad=(0.4 * DEG, -1.1 * DEG, 2.3 * DEG),
        panel_boxes=GRID.boxes(),
        panel_corrections=rng.uniform(-1.0, 1.0, (len(GRID), 7)) * SCALE,
        image_transform=codes,
    )
    return model.replace(**changes)


def farthest_mm(detector: Detector, other: Detector) -> float:
    """Largest distance of a corner of a panel from the same corner in another detector."""
    worst = 0.0
    for a, b in zip(detector.panels, other.panels, strict=True):
        assert (a.image_origin_px, a.size_px) == (b.image_origin_px, b.size_px)
        f, s = np.meshgrid([0.0, a.size_px[0]], [0.0, a.size_px[1]])
        worst = max(worst, float(np.abs(a.lab_mm(f, s) - b.lab_mm(f, s)).max()))
    return worst


@pytest.mark.parametrize("codes", DIHEDRAL)
def test_every_orientation(codes: tuple[int, ...]) -> None:
    detector = model_of(1, codes).detector()
    model = tilted_flat_from_panels(detector)
    assert farthest_mm(detector, model.detector()) < EXACT_MM
    assert model.image_transform == codes
    np.testing.assert_array_equal(model.panel_boxes, GRID.boxes())
    assert model.panel_corrections is not None
    np.testing.assert_allclose(model.panel_corrections[:, :4].sum(axis=0)[[0, 1, 3]], 0, atol=1e-9)


def test_the_whole_way_to_the_angles() -> None:
    before = model_of(2)
    after = tilted_flat_from_panels(before.detector())
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(b[:2], b[2:], (30, 2)) for b in GRID.boxes()])
    was, now = (m.two_theta_eta(points[:, 0], points[:, 1]) for m in (before, after))
    # rounding of 0.1 rad after some rotations; eta has the distance from the beam below it
    np.testing.assert_allclose(now[0], was[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(now[1], was[1], rtol=0, atol=1e-11)
    assert abs(after.lsd_mm - before.lsd_mm) > 1e-3  # another plane, the same pixels


@given(st.integers(0, 999), st.integers(1, 12), st.sampled_from(DIHEDRAL), st.booleans())
def test_any_panels_in_any_order(
    seed: int, count: int, codes: tuple[int, ...], given_codes: bool
) -> None:
    whole = model_of(seed, codes).detector()
    order = np.random.default_rng(seed).permutation(12)[:count]
    detector = dataclasses.replace(whole, panels=tuple(whole.panels[i] for i in order))
    model = tilted_flat_from_panels(detector, image_transform=codes if given_codes else None)
    assert model.image_transform == codes
    assert model.panel_boxes is not None
    np.testing.assert_array_equal(model.panel_boxes, GRID.boxes()[order])
    assert farthest_mm(detector, model.detector()) < EXACT_MM


def test_flat_panels_need_no_correction() -> None:
    flat = model_of(3, panel_corrections=np.zeros((12, 7)))
    model = tilted_flat_from_panels(flat.detector())
    assert model.panel_corrections is not None
    np.testing.assert_allclose(model.panel_corrections, 0.0, atol=1e-11)
    assert model.lsd_mm == pytest.approx(flat.lsd_mm, abs=1e-10)
    assert model.beam_centre_px == pytest.approx(flat.beam_centre_px, abs=1e-9)
    assert model.tilts_rad == pytest.approx(flat.tilts_rad, abs=1e-12)


def test_panels_round_a_curve() -> None:
    """Five panels on an arc about the sample: no plane through the centres is sensible."""
    panels = []
    for n in range(5):
        angle = (n - 2) * 20 * DEG
        out = np.array([-np.sin(angle), 0.0, np.cos(angle)])
        fast = np.array([-np.cos(angle), 0.0, -np.sin(angle)])
        origin = 300.0 * out - 5.0 * fast + np.array([0.0, 4.0, 0.0])
        panels.append(
            Panel(
                str(n), tuple(origin), tuple(fast), (0, -1, 0), (0.1, 0.1), (100, 80), (110 * n, 0)
            )  # type: ignore[arg-type]
        )
    detector = Detector(tuple(panels), (80, 540))
    model = tilted_flat_from_panels(detector)
    assert farthest_mm(detector, model.detector()) < EXACT_MM
    assert model.tilts_rad == pytest.approx((0, 0, 0), abs=1e-12)


def test_pixels_that_are_not_square() -> None:
    straight = model_of(4, pixel_size_mm=(0.172, 0.1), tilts_rad=(0.0, 0.02, 0.01))
    moves = np.zeros((12, 7))
    moves[:, :2] = np.random.default_rng(1).uniform(-1, 1, (12, 2))
    detector = straight.replace(panel_corrections=moves).detector()
    assert farthest_mm(detector, tilted_flat_from_panels(detector).detector()) < EXACT_MM
    last, (fast, slow) = (
        detector.panels[-1],
        (np.array(v) for v in (detector.panels[-1].fast_axis, detector.panels[-1].slow_axis)),
    )
    turned = dataclasses.replace(
        last,
        fast_axis=tuple(np.cos(0.01) * fast + np.sin(0.01) * slow),
        slow_axis=tuple(np.cos(0.01) * slow - np.sin(0.01) * fast),
    )
    twisted = dataclasses.replace(detector, panels=(*detector.panels[:-1], turned))
    with pytest.raises(GeometryError, match=r"0\.172 x 0\.1 mm are not square, and the panels are"):
        tilted_flat_from_panels(twisted)


def test_boxes_as_stored_and_in_the_model_frame() -> None:
    detector = model_of(5, (1, 2)).detector()
    np.testing.assert_array_equal(boxes_of_detector(detector, (1, 2)), GRID.boxes())
    stored = boxes_of_detector(detector)
    n_slow, n_fast = GRID.shape
    assert stored[0].tolist() == [n_fast - 48, n_slow - 39, n_fast, n_slow]  # the opposite corner
    assert stored[:, :2].tolist() == [list(p.image_origin_px) for p in detector.panels]


def test_what_is_refused() -> None:
    detector = model_of(6).detector()
    first, second, *rest = detector.panels
    with pytest.raises(GeometryError, match="the detector has no panels"):
        tilted_flat_from_panels(dataclasses.replace(detector, panels=()))
    bigger = dataclasses.replace(second, pixel_size_mm=(0.173, 0.172))
    with pytest.raises(
        GeometryError,
        match=r"panel 'p1' has pixels of 0\.173 x 0\.172 mm, 'p0' of 0\.172 x 0\.172: one",
    ):
        tilted_flat_from_panels(dataclasses.replace(detector, panels=(first, bigger, *rest)))
    bent = dataclasses.replace(detector, distortion=PolarDistortion(p=(1e-3,) + (0.0,) * 14))
    with pytest.raises(GeometryError, match="the detector has a distortion, which is tied to"):
        tilted_flat_from_panels(bent)
    over = dataclasses.replace(second, image_origin_px=first.image_origin_px)
    with pytest.raises(GeometryError, match="panel 'p1' overlaps panel 'p0'"):
        tilted_flat_from_panels(dataclasses.replace(detector, panels=(first, over)))
    with pytest.raises(GeometryError, match=r"panel 'p0' spans .* outside the image of 9 x 9 px"):
        tilted_flat_from_panels(dataclasses.replace(detector, image_shape=(9, 9)))
    with pytest.raises(GeometryError, match=r"image transform \[\] mirrors the image"):
        tilted_flat_from_panels(detector, image_transform=())
    away = [
        dataclasses.replace(p, origin_mm=(*p.origin_mm[:2], -p.origin_mm[2]))
        for p in detector.panels
    ]
    with pytest.raises(GeometryError, match="does not cross the beam downstream"):
        tilted_flat_from_panels(dataclasses.replace(detector, panels=tuple(away)))
