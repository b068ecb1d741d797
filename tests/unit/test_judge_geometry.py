"""Two geometries side by side: what is taken out, what is left, and in which units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel import Detector, Panel
from refimpl.errors import ConfigError
from refimpl.rotations import rz
from refimpl.testing.judge import Judgement
from refimpl.testing.judge_geometry import geometry_judgement
from refimpl.testing.judge_pixels import KnownGeometry, pixel_pairs

PX = 0.2
MODEL = TiltedFlat((300, 400), (PX, PX), 250.0, (170.3, 131.8), (0.0, 0.012, -0.02))
BOXES = np.array([[0, 0, 190, 300], [210, 0, 400, 300]])


def known(model: TiltedFlat, wavelength: float | None = 0.25) -> KnownGeometry:
    return KnownGeometry(model.detector(), wavelength)


def against(model: TiltedFlat, wavelength: float | None = 0.25, **options: object) -> Judgement:
    return geometry_judgement(known(MODEL), known(model, wavelength), **options)


def value(found: Judgement, name: str) -> float:
    return next(m.value for m in found.measures if m.name == name)


def test_a_geometry_agrees_with_itself() -> None:
    found = against(MODEL)
    assert found.met
    assert found.failed == ()
    assert max(m.value for m in found.measures) < 1e-6
    assert found.text().endswith("\nmet")


def test_a_shift_of_the_beam_is_a_common_move() -> None:
    f, s = MODEL.beam_centre_px
    found = against(MODEL.replace(beam_centre_px=(f + 0.3, s)))
    assert [m.name for m in found.failed] == ["two_theta_max_px", "eta_max_px"]
    assert value(found, "beam_px") == pytest.approx(0.3, abs=1e-9)
    assert value(found, "shift_um") == pytest.approx(0.3 * PX * 1e3, rel=1e-9)
    assert value(found, "position_max_px") == pytest.approx(0.3, rel=1e-9)
    assert value(found, "aligned_max_px") < 1e-9
    # along the ring's radius it is the whole shift, across it too, up to the obliquity
    assert 0.28 < value(found, "two_theta_max_px") < 0.3
    # to the left seen along the beam is +x; the beam one way is the detector the other way
    assert np.allclose(np.abs(found.details["shift_um"]), [60.0, 0.0, 0.0], atol=1.5)


def test_half_a_pixel_is_beyond_the_default_tolerance() -> None:
    f, s = MODEL.beam_centre_px
    assert not against(MODEL.replace(beam_centre_px=(f + 0.5, s + 0.5))).met


def test_a_roll_is_told_and_moves_no_ring() -> None:
    turned = [
        replace(p, **{n: tuple(rz(2e-3) @ getattr(p, n)) for n in
                      ("origin_mm", "fast_axis", "slow_axis")})
        for p in MODEL.detector().panels
    ]  # fmt: skip
    other = KnownGeometry(Detector(tuple(turned), MODEL.shape), 0.25)
    found = geometry_judgement(known(MODEL), other)
    assert found.met
    assert value(found, "roll_mrad") == pytest.approx(2.0, abs=1e-9)
    assert value(found, "two_theta_max_px") < 1e-9
    assert value(found, "eta_max_px") < 1e-9
    assert value(found, "position_max_px") > 0.5
    assert np.allclose(found.details["turn_mrad"], [0.0, 0.0, 2.0], atol=1e-9)


def test_wavelength_and_distance_stand_in_for_each_other() -> None:
    plain = against(MODEL, 0.25 * 1.001)
    assert value(plain, "wavelength_ppm") == pytest.approx(1000.0)
    assert value(plain, "strain_rms_ue") == pytest.approx(1000.0, rel=1e-9)
    assert [m.name for m in plain.failed] == ["wavelength_ppm"]
    upright = TiltedFlat((300, 400), (PX, PX), 2500.0, (170.3, 131.8))  # sin is tan for it
    moved = upright.replace(lsd_mm=2500.0 * 1.001)
    found = geometry_judgement(known(upright), known(moved, 0.25 / 1.001))
    assert value(found, "distance_um") == pytest.approx(2500.0, rel=1e-9)
    assert value(found, "strain_max_ue") < 1.0
    alone = geometry_judgement(known(upright), known(moved))
    assert value(alone, "strain_rms_ue") == pytest.approx(1000.0, rel=2e-3)


def test_without_a_wavelength_strain_is_at_equal_ones() -> None:
    found = against(MODEL, None)
    assert found.met
    assert "wavelength_ppm" not in {m.name for m in found.measures}
    assert any("states no wavelength" in note for note in found.notes)
    with pytest.raises(ConfigError, match="no such measure"):
        against(MODEL, None, tolerances={"wavelength_ppm": 1.0})


def test_distortion_is_in_two_theta_and_not_in_places() -> None:
    p = [0.0] * 15
    p[2] = 1e-3
    found = against(MODEL.replace(p=tuple(p)))
    assert value(found, "position_max_px") < 1e-9
    assert value(found, "two_theta_max_px") > 0.1


def test_a_panel_out_of_place_stays_after_the_common_move() -> None:
    moves = np.zeros((2, 7))
    moves[0, :2] = (0.2, -0.2)
    moves[1, :2] = (-0.2, 0.2)
    flat = MODEL.replace(panel_boxes=BOXES)
    found = geometry_judgement(known(flat), known(flat.replace(panel_corrections=moves)))
    assert "aligned_max_px" in {m.name for m in found.failed}
    # a turn about the middle takes most of +-0.2 px along slow out, nothing of that along fast
    assert value(found, "panel_in_plane_um") == pytest.approx(0.2 * PX * 1e3, rel=0.02)
    assert value(found, "panel_normal_um") < 1e-6
    assert len(found.details["panels"]) == 2


def test_panels_may_stand_in_another_order() -> None:
    flat = MODEL.replace(panel_boxes=BOXES)
    d = flat.detector()
    other = KnownGeometry(Detector(d.panels[::-1], d.image_shape), 0.25)
    found = geometry_judgement(known(flat), other)
    assert found.met
    assert value(found, "panel_in_plane_um") < 1e-9


def test_a_gap_between_panels_is_no_missing_pixel() -> None:
    found = geometry_judgement(known(MODEL), known(MODEL.replace(panel_boxes=BOXES)))
    assert found.met
    assert value(found, "unmatched_share") == 0.0
    cut = KnownGeometry(Detector((replace(MODEL.detector().panels[0], size_px=(200, 300)),),
                                 (300, 200)), 0.25)  # fmt: skip
    found = geometry_judgement(known(MODEL), cut)
    assert value(found, "unmatched_share") == pytest.approx(0.5, abs=0.02)
    assert [m.name for m in found.failed] == ["unmatched_share"]


def test_a_mirrored_image_is_seen_and_can_be_named() -> None:
    flipped = MODEL.replace(image_transform=())  # for the image upside down
    wrong = against(flipped)
    assert not wrong.met
    assert any("--image-transform 2" in note for note in wrong.notes)
    right = against(flipped, image_transform=(2,))
    assert right.met
    assert value(right, "position_max_px") < 1e-9


def test_panels_that_share_no_image_go_by_number() -> None:
    panels = tuple(
        Panel(f"m{k}", (10.0 * k - 15.0, 3.0, 100.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0),
              (PX, PX), (40, 30))
        for k in range(3)
    )  # fmt: skip
    a = KnownGeometry(Detector(panels, (30, 40)))
    far = tuple(replace(p, origin_mm=(p.origin_mm[0], 3.0, 101.0)) for p in panels)
    found = geometry_judgement(a, KnownGeometry(Detector(far, (30, 40))))
    assert value(found, "shift_um") == pytest.approx(1000.0)
    assert value(found, "aligned_max_px") < 1e-9
    assert "beam_px" not in {m.name for m in found.measures}
    with pytest.raises(ConfigError, match="share no image: 3 in one geometry, 1 in the other"):
        geometry_judgement(a, known(MODEL))


def test_no_common_pixel_is_refused() -> None:
    here, there = (Detector((Panel("a", (0.0, 0.0, 9.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0),
                                   (PX, PX), (9, 9), origin),), (40, 40))
                   for origin in ((0, 0), (20, 20)))  # fmt: skip
    with pytest.raises(ConfigError, match="no pixel in common"):
        pixel_pairs(here, there, ())


def test_parameters_are_told_by_their_uncertainties() -> None:
    a = replace(known(MODEL), parameters={"lsd_mm": (250.0, 0.003), "ty_deg": (1.0, 0.1)})
    b = replace(known(MODEL), parameters={"lsd_mm": (250.01, 0.004), "tz_deg": (1.0, 0.1)})
    found = geometry_judgement(a, b, tolerances={"parameters_max_sigma": 1.0})
    assert value(found, "parameters_max_sigma") == pytest.approx(2.0)
    assert [m.name for m in found.failed] == ["parameters_max_sigma"]
    one = geometry_judgement(a, known(MODEL))
    assert any("only A states uncertainties" in note for note in one.notes)


def test_beyond_ninety_degrees_two_theta_goes_on() -> None:
    side = Panel("side", (50.0, 5.0, -20.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (PX, PX), (200, 50))
    pairs = pixel_pairs(*[Detector((side,), (50, 200))] * 2, ())
    assert pairs.two_theta[0].max() > np.radians(100.0)
    assert pairs.two_theta[0].min() < np.radians(80.0)
