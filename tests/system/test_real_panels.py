"""The Pilatus 2M frame panel by panel, from no guess: the figures of the acceptance.

Scores are of ``panel1deg``: a fixed set of ring patches that never cross a panel, made in the maps
of the best single surface. Geometries are fitted to one half of it and scored on the other, all
points, no cut. Published on such points: one surface 227, shifts alone 82 to 87, HEXRD's 24 x 6
(fitted to all rings) 72 microstrain.
"""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.panel_grid import named_grid
from refimpl.objective.pseudo_strain import strain_summary
from refimpl.powder import PowderResult, calibrate
from refimpl.powder.panel_patches import (
    SPLITS,
    HeldOut,
    held_out_score,
    panel_points,
    split_labels,
)
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.panels import fit_panels
from refimpl.powder.parameters import parameters
from refimpl.powder.refine import point_strain
from refimpl.units import DEG, MICROSTRAIN

PILATUS2M = {
    "calibrant": "CeO2", "lattice_parameter_angstrom": 5.41153,
    "wavelength_angstrom": 0.20215155543, "pixel_size_mm": 0.172,
}  # fmt: skip
SURFACE = ("distance", "beam_centre", "tilt")


@pytest.fixture(scope="module")
def flat(frame2m) -> PowderResult:
    return calibrate(frame2m, **PILATUS2M)


def scored(flat: PowderResult, grid: str, setup: PanelSetup, *splits: str) -> dict[str, HeldOut]:
    """Held-out scores."""
    frame, boxes = flat.prepared.frame, named_grid(grid).boxes()
    points = panel_points(frame.counts, frame.usable != 0, flat.model, boxes, flat.rings)
    free = parameters(flat.model.replace(panel_boxes=boxes), SURFACE)

    def fit(some):
        found = fit_panels(some, flat.rings, free, setup)
        return found.parameters.at(found.fit.x)

    return {
        split: held_out_score(points, flat.rings, fit, split_labels(points, split))
        for split in splits
    }


@pytest.fixture(scope="module")
def scores(flat) -> dict[str, HeldOut]:
    """Of the 24 modules with everything refined, on every split."""
    return scored(flat, "pilatus2m", PanelSetup(), *SPLITS)


def test_24_modules_on_points_that_they_were_not_fitted_to(scores) -> None:
    """At most 80 µε on every split; the aim, 72, is what HEXRD's 24 x 6 has on all of them."""
    assert set(scores) == set(SPLITS)
    for split, score in scores.items():
        assert len(score.strain) > 3296, split  # the points of the published floors
        assert score.mean_abs < 72.0 * MICROSTRAIN, f"{split}: {score}"


def test_the_priors_earn_their_place(flat, scores) -> None:
    """Without them the same parameters explode where rings are left out (published: 2962 µε)."""
    free = PanelSetup(priors=dict.fromkeys(PanelSetup().refine, np.inf), learn=False)
    without = scored(flat, "pilatus2m", free, "ring")["ring"]
    assert without.mean_abs > 3.0 * scores["ring"].mean_abs


def test_48_half_modules_clip_definition(frame2m) -> None:
    """Shifts alone, 101 parameters: at most 63 µε in sample, 68 µε even on odd and the reverse."""
    r = calibrate(
        frame2m, **PILATUS2M, panels_grid="pilatus2m-half", panel_refine=("shift",), eta_bin_deg=1.0
    )
    assert r.converged
    assert r.summary.clip_mean < 63.0 * MICROSTRAIN
    assert r.cross_validated is not None
    assert r.cross_validated.clip_mean < 68.0 * MICROSTRAIN
    assert abs(r.model.lsd_mm - 739.775) < 0.03
    assert len(r.fit.panels.names) == 101
    # panel 28 lies behind the beam stop: reported, not invented
    assert any(text.startswith("panel 28: ") for text in r.panels.reasons)
    assert np.all(r.panels.corrections[28] == 0.0)
    assert np.all(r.panels.held[28, :2])


def test_the_distance_stays(modules) -> None:
    assert modules.converged
    assert abs(modules.model.lsd_mm - 739.775) < 0.03
    assert modules.summary.clip_mean < 42.0 * MICROSTRAIN
    assert modules.cross_validated.clip_mean < 47.0 * MICROSTRAIN
    assert modules.cross_validated_single.clip_mean > 200.0 * MICROSTRAIN
    assert np.mean(np.abs(modules.strain_before)) > 3.0 * np.mean(np.abs(modules.strain))


@pytest.mark.slow
def test_four_starts_one_answer(frame2m, modules, flat) -> None:
    """From up to 5 mm, 6 px and 1 degree away: the same to 0.1 µm."""
    base = flat.model.replace(panel_boxes=None, panel_corrections=None)
    (bf, bs), (_, ty, tz) = base.beam_centre_px, base.tilts_rad
    for d_lsd, (df, ds), (dy, dz) in (
        (0.5, (0, 0), (0, 0)), (5.0, (6, -3), (0, 0)),
        (-4.8, (5, -5), (1, -1)), (5.0, (-6, 6), (-1, 1)),
    ):  # fmt: skip
        start = base.replace(
            lsd_mm=base.lsd_mm + d_lsd, beam_centre_px=(bf + df, bs + ds),
            tilts_rad=(0.0, ty + dy * DEG, tz + dz * DEG),
        )  # fmt: skip
        r = calibrate(frame2m, **PILATUS2M, panels_grid="pilatus2m", start=start)
        assert abs(r.model.lsd_mm - modules.model.lsd_mm) < 1e-4
        px = np.array(r.model.beam_centre_px) - modules.model.beam_centre_px
        assert np.all(np.abs(px) * 0.172 < 1e-4)
        moved = np.abs(r.model.panel_corrections - modules.model.panel_corrections)
        assert np.max(moved[:, :2]) * 0.172 < 1e-4
        assert np.max(moved[:, 3]) < 1e-4


@pytest.mark.slow
def test_repeated_and_on_any_number_of_threads_bit_for_bit(frame2m, modules) -> None:
    for threads in (1, 2, 5):
        r = calibrate(frame2m, **PILATUS2M, panels_grid="pilatus2m", threads=threads)
        assert r.model.lsd_mm == modules.model.lsd_mm
        np.testing.assert_array_equal(r.panels.corrections, modules.panels.corrections)
        np.testing.assert_array_equal(r.panels.sigma, modules.panels.sigma)
        np.testing.assert_array_equal(r.panels.correlation, modules.panels.correlation)


def test_a_rerun_goes_on_from_the_panels_of_the_first(frame2m, modules) -> None:
    """It ends where the first ended, but for a few points at the edge of being accepted."""
    again = calibrate(frame2m, **PILATUS2M, panels_grid="start", start=modules.model)
    apart = np.abs(again.panels.corrections - modules.panels.corrections)
    refined = modules.panels.sigma > 0.0
    # each of 1806 points weighs some sqrt(144 / 1806) = 0.3 sigma of the parameters together
    assert np.max(apart[refined] / modules.panels.sigma[refined]) < 0.3
    assert again.summary.n == pytest.approx(modules.summary.n, abs=3)


def test_points_are_those_of_the_definition(flat) -> None:
    """One ring, one degree, one panel each; 28.7 µε is the published noise floor of the fits."""
    frame, boxes = flat.prepared.frame, named_grid("pilatus2m").boxes()
    points = panel_points(frame.counts, frame.usable != 0, flat.model, boxes, flat.rings)
    f0, s0, f1, s1 = boxes[points.panel].T
    beyond = np.maximum.reduce(
        [f0 - points.fast_px, points.fast_px - f1, s0 - points.slow_px, points.slow_px - s1]
    )
    assert np.max(beyond) < 2.0  # where pixels end in mid ring, its middle may lie just outside
    strain = point_strain(points, flat.rings, flat.model.geometry, np.zeros((24, 9)))
    assert 215.0 < np.mean(np.abs(strain)) / MICROSTRAIN < 235.0  # 227 by the published surface
    assert strain_summary(strain).median > 0.0
    noise = points.sigma_rad / (np.sin(points.two_theta_rad) * np.cos(points.two_theta_rad))
    assert 20.0 < np.median(noise) / MICROSTRAIN < 40.0
