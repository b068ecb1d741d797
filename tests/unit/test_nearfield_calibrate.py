"""Calibration of near-field detectors from simulated crystals; its report and published keys."""

from __future__ import annotations

import re

import numpy as np
import pytest

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConvergenceError
from refimpl.io.nearfield_params import read_nearfield_params
from refimpl.nearfield.calibrate import calibrate
from refimpl.nearfield.calibrate_blobs import find_blobs
from refimpl.nearfield.calibrate_check import Hits, lit_fraction_map, spot_hits
from refimpl.nearfield.calibrate_hexomap import hexomap_geometry
from refimpl.nearfield.calibrate_model import Crystal
from refimpl.nearfield.calibrate_parameters import CalibrateSettings
from refimpl.nearfield.calibrate_published import (
    LEAST_ROUNDS,
    crystals_of,
    geometry_lines,
    report_lines,
    settings_of,
)
from refimpl.nearfield.calibrate_simulate import changes_to, chi_square, disc_pixels, displaced
from refimpl.nearfield.config import config_of_params
from refimpl.nearfield.grid import grid_points
from refimpl.rotations import expmap, matrix_of_euler, matrix_of_quaternion
from refimpl.testing.nearfield_gold import RECORD, U


def light(geometry, gold_setup, crystals, rng, common=1.0, own=0.3):
    """Lit pixels of discs whose spots are shifted, alike everywhere and by themselves."""
    return disc_pixels(geometry, gold_setup, crystals, rng, common_px=common, own_px=own)


def truth_of(gold_start, rng, wedge=0.0):
    return displaced(gold_start, Crystal(U, np.zeros(2)), rng, wedge_rad=wedge)


def test_simulated_truth_is_within_its_uncertainty(gold_setup, gold_start) -> None:
    from scipy.stats import chi2

    rng = np.random.default_rng(20261)
    total, freedom = 0.0, 0
    for i in range(4):
        q = rng.normal(size=4)  # any orientation: the same one would be rounded to frames alike
        about = Crystal(matrix_of_quaternion(q / np.linalg.norm(q)), np.zeros(2))
        truth, crystal = displaced(gold_start, about, rng, wedge_rad=0.003 * (i % 2))
        pixels, shape = light(truth, gold_setup, [crystal], rng)
        settings = CalibrateSettings(wedge=bool(i % 2))
        found = calibrate(gold_setup, find_blobs(pixels, shape), [about], settings)
        value, free = chi_square(found, truth, [crystal])
        total, freedom = total + value, freedom + free
        assert found.position.fit.undetermined == () == found.position.fit.at_bound
        # shifts of 1 px alike and 0.3 px apart, and the rounding of a pixel, 12**-0.5
        assert found.position.sigma[:2] == pytest.approx(np.sqrt(2.0 + 0.09 + 1 / 12), rel=0.4)
        assert found.position.sigma[2:4] == pytest.approx(np.sqrt(0.09 + 1 / 12), rel=0.4)
        assert found.position.sigma[4] == pytest.approx(1.0, rel=0.3)
    assert freedom == 2 * 14 + 2 * 15
    low, high = chi2.ppf([0.0005, 0.9995], freedom)
    assert low < total < high


def test_two_grains_and_a_check_by_lit_pixels(gold_setup, gold_start) -> None:
    rng = np.random.default_rng(3)
    truth, crystal = truth_of(gold_start, rng)
    other = Crystal(expmap(np.array([0.3, -0.5, 0.2])) @ U, np.array([0.05, -0.04]))
    pixels, shape = light(truth, gold_setup, [crystal, other], rng, 0.3, 0.1)
    begin = [Crystal(U, np.zeros(2)), Crystal(other.u_matrix, np.array([0.06, -0.03]))]
    seen = []
    found = calibrate(gold_setup, find_blobs(pixels, shape), begin, progress=seen.append)
    assert tuple(seen) == found.rounds
    assert len(found.rounds) > 1
    assert np.abs(found.geometry.lsd_mm - truth.lsd_mm).max() < 5e-3  # some 3 sigma
    assert np.abs(found.crystals[1].position_mm - other.position_mm).max() < 1e-3
    # spots are sharp in omega, and low blobs one or two pixels high: allow a frame to either side
    lit = LitPixels.from_hits(pixels, shape).dilated(0, 1)
    before = spot_hits(gold_start, gold_setup, begin, lit)
    after = spot_hits(found.geometry, gold_setup, found.crystals, lit)
    best = spot_hits(truth, gold_setup, [crystal, other], lit)
    assert before.fraction < 0.2
    assert best.fraction > 0.9
    assert after.lit >= best.lit - 3
    points = found.crystals[1].position_mm + np.array([[0.0, 0.0], [0.006, 0.0], [0.04, 0.0]])
    extent = lit_fraction_map(found.geometry, gold_setup, found.crystals[1], lit, points)
    assert extent[0] > 0.9
    assert extent[1] > 0.8
    assert extent[2] < 0.1
    pairs = found.correlated(0.5)
    assert pairs
    assert all(abs(c) >= 0.5 for *_, c in pairs)
    assert [abs(c) for *_, c in pairs] == sorted((abs(c) for *_, c in pairs), reverse=True)


def test_bounds_hold(gold_setup, gold_start) -> None:
    rng = np.random.default_rng(5)
    truth = gold_start.changed(lsd_mm=gold_start.lsd_mm + 0.05)
    pixels, shape = light(truth, gold_setup, [Crystal(U, np.zeros(2))], rng)
    settings = CalibrateSettings(lsd_tol_mm=0.02)
    found = calibrate(gold_setup, find_blobs(pixels, shape), [Crystal(U, np.zeros(2))], settings)
    assert found.geometry.lsd_mm[0] == pytest.approx(gold_start.lsd_mm[0] + 0.02)
    assert "Lsd" in found.position.fit.at_bound


def test_each_distance_may_have_its_own_tilts(gold_setup) -> None:
    rng = np.random.default_rng(8)
    published = hexomap_geometry(RECORD)
    pixels, shape = light(published, gold_setup, [Crystal(U, np.zeros(2))], rng, 0.5, 0.1)
    found = calibrate(
        gold_setup,
        find_blobs(pixels, shape),
        [Crystal(U, np.zeros(2))],
        CalibrateSettings(tilts="each"),
    )
    fit = found.position.fit
    wanted = changes_to(found, published, [Crystal(U, np.zeros(2))])
    at = [i for i, name in enumerate(fit.names) if name[0] == "t"]
    assert [fit.names[i] for i in at] == ["tx[0]", "tx[1]", "ty[0]", "ty[1]", "tz[0]", "tz[1]"]
    assert np.abs(fit.x[at] - wanted[at]).max() < np.radians(0.2)
    assert np.abs((fit.x - wanted)[at] / fit.sigma[at]).max() < 4.0


def test_too_few_spots(gold_setup) -> None:
    none = find_blobs(np.zeros((0, 4)), (2, 180, 2048, 2048))
    with pytest.raises(ConvergenceError, match=r"0 of \d+ spots have a blob at every distance"):
        calibrate(gold_setup, none, [Crystal(U, np.zeros(2))])
    blind = gold_setup.changed(boxes_mm=np.array([[0.0, 1e-9, 0.0, 1e-9]]))
    with pytest.raises(ConvergenceError, match="no spot of the crystals reaches every detector"):
        calibrate(blind, none, [Crystal(U, np.zeros(2))])


def test_no_spots_are_no_hits() -> None:
    assert Hits(0, 0).fraction == 0.0
    assert Hits(3, 4).fraction == 0.75


PUBLISHED = """
LatticeParameter 4.08 4.08 4.08 90 90 90
SpaceGroup 225
Wavelength 0.1897
MaxRingRad 2000
nDistances 2
Lsd 4533.5
Lsd 6533.5
BC 1013.7 31.6
BC 1031.6 33.7
px 1.48
OmegaStart -90
OmegaStep 1
StartNr 1
EndNr 180
OmegaRange -90 90
BoxSize -2000 2000 0 2000
OrientTol 1
TiltsTol 0.5
LsdTol 100
LsdRelativeTol 50
BCTol 5 6
NumIterations 1
GridPoints 0 1 0.0 10.0 20.0 2.5 1 0.7 0.9 0.4 0.8 1
GridPoints 0 1 0.0 5.0 5.0 2.5 1 1.7 0.9 0.4 0.8 1
GridPoints 0 1 0.0 20.0 40.0 2.5 1 0.705 0.9 0.4 0.8 1
"""


def test_published_keys(tmp_path) -> None:
    file = tmp_path / "ps.txt"
    file.write_text(PUBLISHED)
    params = read_nearfield_params(file)
    s = settings_of(config_of_params(params), wedge=True)
    assert (s.lsd_tol_mm, s.lsd_relative_tol_mm, s.bc_tol_px) == (0.1, 0.05, (5.0, 6.0))
    assert s.tilts_tol_rad == pytest.approx(np.radians(0.5))
    assert s.orient_tol_rad == pytest.approx(np.radians(1.0))
    assert (s.wedge, s.rounds) == (True, LEAST_ROUNDS)
    one, two = crystals_of(grid_points(params.rows("GridPoints")), 225)
    assert one.position_mm == pytest.approx([0.015, 0.03])  # first and third are one grain
    assert two.position_mm == pytest.approx([0.005, 0.005])
    np.testing.assert_allclose(one.u_matrix, matrix_of_euler(np.array([0.7, 0.9, 0.4])))


def test_a_report_names_what_to_doubt(gold_setup, gold_start) -> None:
    rng = np.random.default_rng(5)
    pixels, shape = light(gold_start, gold_setup, [Crystal(U, np.zeros(2))], rng)
    narrow = CalibrateSettings(lsd_tol_mm=1e-7, fix=("tx", "dLsd"))
    found = calibrate(gold_setup, find_blobs(pixels, shape), [Crystal(U, np.zeros(2))], narrow)
    text = "\n".join(report_lines(found, 0.5))
    assert "round 1: " in text
    assert "on a bound: Lsd" in text
    assert "correlated: " in text
    assert "tx:" not in text  # held
    assert re.search(r"ty: [+-]0\.\d{4} \+- 0\.\d{4} deg", text)
    assert re.search(r"BC_Y\[1\]: [+-]\d\.\d{4} \+- \d\.\d{4} px", text)
    assert "by no crystal: the height of the sample plane" in text


def test_geometry_in_published_lines(gold_start) -> None:
    lines = geometry_lines(gold_start.changed(wedge_rad=np.radians(0.25)))
    assert lines[0] == "Lsd 4533.500000"
    assert lines[2].startswith("BC 1013.71")
    assert lines[-1] == "Wedge 0.250000"
    assert [line.split()[0] for line in lines[4:7]] == ["tx", "ty", "tz"]
