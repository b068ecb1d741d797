"""Unit tests of the named scenes and of the quick bound that chooses them."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.forward.arc_information import arc_bound, visible_arcs
from refimpl.forward.information import GEOMETRY, fisher_information
from refimpl.forward.scenes import (
    BENCHMARK,
    LEAST_ARC_RAD,
    LEAST_RINGS,
    LIMITS,
    panel_grid,
    pilatus2m,
    scene,
    scenes,
)

ALL = list(scenes())


def test_the_benchmark_covers_what_it_promises() -> None:
    assert len(ALL) == BENCHMARK == 100
    sizes = [side for s in ALL for side in s.model.shape]
    assert min(sizes) >= 256
    assert max(sizes) <= 1500
    tilts = [np.degrees(np.hypot(*s.model.tilts_rad[1:])) for s in ALL]
    assert max(tilts) <= 3.0
    assert np.max(tilts) > 2.7
    assert {s.calibrant for s in ALL} == {"CeO2", "LaB6", "Si"}
    assert {s.arguments["peak_counts"] for s in ALL} == {30.0, 1000.0, 30000.0}
    assert 40 <= sum(s.model.panel_boxes is not None for s in ALL) <= 60
    outside = [
        not (0 < s.model.beam_centre_px[0] < s.model.shape[1])
        or not (0 < s.model.beam_centre_px[1] < s.model.shape[0])
        for s in ALL
    ]
    assert 10 <= sum(outside) <= 40
    wavelengths = [s.arguments["wavelength_angstrom"] for s in ALL]
    assert 0.15 <= min(wavelengths) < 0.2
    assert 0.8 < max(wavelengths) <= 1.0


def test_every_scene_shows_enough_rings() -> None:
    for s in ALL:
        arcs = visible_arcs(s.model, s.arguments["rings"].two_theta_rad)
        assert np.sum(arcs > LEAST_ARC_RAD) >= LEAST_RINGS, s.name


@pytest.mark.parametrize("index", [0, 13, 29, 55])
def test_scenes_are_determined_by_the_full_fisher_information(index: int) -> None:
    """The choice is made by arcs; the pixels agree."""
    check_determined(index)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(BENCHMARK))
def test_all_scenes_are_determined(index: int) -> None:
    check_determined(index)


def check_determined(index: int) -> None:
    s = scene(index)
    bound = fisher_information(s.simulate()).bound()
    args = s.arguments
    quick = arc_bound(
        s.model,
        args["rings"].two_theta_rad,
        args["rings"].intensity * args["peak_counts"],
        args["fwhm_rad"],
        args["mixing"],
        args["background"],
    )
    for name in GEOMETRY:
        limit = LIMITS[name] * (s.model.lsd_mm if name == "lsd_mm" else 1.0)
        assert bound[name] < limit, name
        # the arcs leave out pixel size and overlap: measured over the hundred, 0.63 to 0.98
        assert 0.6 < quick[name] / bound[name] < 1.0, name


def test_scenes_are_fixed_for_ever() -> None:
    """Change detector: a figure quoted for the benchmark must stay that of the same scenes."""
    first = scene(7)
    assert first.model.shape == (1159, 996)
    assert first.model.lsd_mm == pytest.approx(265.8, abs=0.05)  # mm, as printed when made
    again = scene(7)
    assert again.model.beam_centre_px == first.model.beam_centre_px


def test_factors_can_be_left_out() -> None:
    with_factors, without = scene(3), scene(3, factors=False)
    assert with_factors.arguments["polarisation"] == (0.95, 0.5 * np.pi)
    assert with_factors.arguments["solid_angle"]
    assert without.arguments["polarisation"] is None
    assert not without.arguments["solid_angle"]
    assert with_factors.model.lsd_mm == without.model.lsd_mm


def test_negative_scene_is_refused() -> None:
    with pytest.raises(ConfigError, match="scene -1: expected 0 or more"):
        scene(-1)


def test_panel_grid_of_the_pilatus() -> None:
    boxes = panel_grid([243] * 6, [1, 7, 1, 7, 1], [195] * 8, [17] * 7)
    assert boxes.shape == (48, 4)
    assert boxes[0].tolist() == [0, 0, 243, 195]
    assert boxes[1].tolist() == [0, 212, 243, 407]  # slow runs first
    assert boxes[8].tolist() == [244, 0, 487, 195]
    assert boxes[-1].tolist() == [1232, 1484, 1475, 1679]


def test_pilatus_is_the_published_detector() -> None:
    s = pilatus2m(3)
    assert s.model.shape == (1679, 1475)
    assert s.arguments["wavelength_angstrom"] == pytest.approx(0.20215155543, abs=1e-8)  # published
    image = s.simulate(noise=None, oversample=1).image
    assert np.isnan(image[:, 243]).all(), "the column between two half-modules"
    assert np.isnan(image[195:212]).all()
    assert np.isfinite(image).sum() == 48 * 243 * 195


def test_panel_errors_leave_the_truth_true() -> None:
    s = pilatus2m(5)
    moves = s.model.panel_corrections
    assert moves is not None
    assert pilatus2m(5, panel_errors=False).model.panel_corrections is None
    assert np.sqrt(np.mean(np.sum(moves[:, :2] ** 2, axis=1))) == pytest.approx(0.3, rel=0.2)  # px
    boxes = np.asarray(s.model.panel_boxes)
    arm = 0.5 * (boxes[:, :2] + boxes[:, 2:]) - np.array(s.model.beam_centre_px)
    assert np.abs(moves[:, :2].sum(axis=0)).max() < 1e-10  # px: rounding of 48 panels
    assert abs(np.sum(arm * moves[:, :2])) < 1e-8  # px^2, arms of 1e3 px: as above
    assert np.any(pilatus2m(6).model.panel_corrections != moves)


def test_arcs_of_a_centred_and_of_a_cut_ring() -> None:
    model = TiltedFlat((200, 200), (0.1, 0.1), 100.0, (100.0, 100.0))
    radius = np.array([5.0, 12.0, 20.0])  # mm; the edge is at 10, the corner at 14.1
    arcs = visible_arcs(model, np.arctan(radius / 100.0))
    assert arcs[0] == pytest.approx(2 * np.pi, rel=1e-12)  # a sum of 360 steps
    cut = 2 * np.pi - 8 * np.arccos(10.0 / 12.0)
    assert arcs[1] == pytest.approx(cut, abs=8 * np.pi / 180)  # one step at each of 8 ends
    assert arcs[2] == 0.0
