"""Calibration of near-field detectors: blobs, model, matching, fit, published keys."""

from __future__ import annotations

import re

import numpy as np
import pytest

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.forward.nearfield_setup import Setup
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.io.nearfield_params import read_nearfield_params
from refimpl.nearfield.calibrate import calibrate
from refimpl.nearfield.calibrate_blobs import Blobs, find_blobs
from refimpl.nearfield.calibrate_check import Hits, lit_fraction_map, spot_hits
from refimpl.nearfield.calibrate_fit import contrasts
from refimpl.nearfield.calibrate_hexomap import hexomap_geometry, hexomap_setup
from refimpl.nearfield.calibrate_match import match_blobs
from refimpl.nearfield.calibrate_model import Crystal, Geometry, place, spots_of
from refimpl.nearfield.calibrate_parameters import CalibrateSettings, Parameters
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
from refimpl.rotations import expmap, matrix_of_euler, matrix_of_quaternion, rotation_vector, rx, rz

# the published geometry of HEXOMAP's gold crystal, rounded; every number differs from the others
RECORD = {
    "energy_keV": 65.351, "detL_mm": [4.5335, 6.5335], "detJ_px": [1013.71, 1031.60],
    "detK_px": [2016.39, 2014.33], "pixel_mm": 0.00148, "npix": 2048, "omega_deg": [-90, 90],
    "detRot_ZXZ_deg": [[89.746, 89.713, -0.413], [89.610, 89.282, -0.423]], "n_omega": 180,
    "lattice_A": 4.08,
}  # fmt: skip
U = matrix_of_euler(np.radians([41.06, 38.37, 349.2]))


@pytest.fixture(scope="module")
def setup() -> Setup:
    return hexomap_setup(RECORD, 8.0)


@pytest.fixture(scope="module")
def start(setup) -> Geometry:
    return Geometry.of(setup)


def light(geometry, setup, crystals, rng, common=1.0, own=0.3):
    """Lit pixels of discs whose spots are shifted, alike everywhere and by themselves."""
    return disc_pixels(geometry, setup, crystals, rng, common_px=common, own_px=own)


# --- blobs ---------------------------------------------------------------------------------------


def test_blobs_are_connected_components() -> None:
    pixels = [
        [0, 4, 10, 10], [0, 4, 10, 11], [0, 4, 11, 12], [0, 5, 11, 12],  # diagonal, next frame
        [0, 4, 10, 10],  # again
        [0, 4, 10, 14],  # two away in Z
        [1, 4, 10, 11],  # the other distance
        [0, 6, 19, 3], [0, 6, 20, 0],  # would touch if Z wrapped
    ]  # fmt: skip
    found = find_blobs(pixels, (2, 9, 30, 20), least_pixels=1)
    assert sorted(found.n_pixels.tolist()) == [1, 1, 1, 1, 4]
    big = int(np.argmax(found.n_pixels))
    assert found.yz_px[big] == pytest.approx([11.0, 11.75])
    assert found.frame[big] == pytest.approx(4.75)
    assert found.n_frames[big] == 2
    assert found.whole[big]
    assert not found.whole[(found.yz_px == [20.5, 0.5]).all(axis=1)].any()
    assert len(found.of_distance(1)) == 1


def test_blobs_weigh_pixels_and_leave_out_noise() -> None:
    pixels = [[0, 1, 5, 5], [0, 1, 5, 6], [0, 1, 15, 15]]
    found = find_blobs(pixels, (1, 3, 20, 20), weight=[3.0, 1.0, 9.0], least_pixels=2)
    assert len(found) == 1
    assert found.yz_px[0] == pytest.approx([5.5, 5.75])
    assert len(find_blobs(np.zeros((0, 4)), (1, 3, 20, 20))) == 0


@pytest.mark.parametrize(
    ("pixels", "weight", "said"),
    [
        ([[0, 1, 2]], None, r"pixels of shape \(1, 3\): expected \(n, 4\)"),
        ([[0, 3, 2, 2]], None, r"pixel \(0, 3, 2, 2\) is outside the stack \(1, 3, 9, 9\)"),
        ([[0, 1, 2, 2]], [0.0], r"weight of shape \(1,\): expected 1 positive numbers"),
    ],
)
def test_blobs_refuse(pixels, weight, said) -> None:
    with pytest.raises(ConfigError, match=said):
        find_blobs(pixels, (1, 3, 9, 9), weight=weight)


# --- model ---------------------------------------------------------------------------------------


def test_model_agrees_with_the_published_projection(setup, start) -> None:
    """Equations (3) to (5) of the spec, for a source on the axis and one 36 um away.

    The published ray is turned about the origin, so that it is off by about 36 um times the tilt
    (0.009) times tan 2 theta (0.3): 0.1 um or 0.07 px.
    """
    d = setup.detector
    for position, within in ([0.0, 0.0], 1e-9), ([0.03, -0.02], 0.1):
        crystal = Crystal(U, np.array(position))
        spots = spots_of(start, setup, [crystal])
        c, s = np.cos(spots.omega_rad), np.sin(spots.omega_rad)
        xa, ya = c * position[0] - s * position[1], s * position[0] + c * position[1]
        straight = start.changed(
            tilts_rad=np.zeros((2, 3)),
            lsd_mm=np.full(2, d.lsd_mm[0]),
            beam_centre_px=np.zeros((2, 2)),
        )
        flat = place(
            straight, setup, [Crystal(U, np.zeros(2))], spots.crystal, spots.row, spots.root
        )
        y, z = flat.yz_px[:, 0].T * d.pixel_size_mm
        t = 1.0 - xa / d.lsd_mm[0]
        point = np.stack([np.zeros(len(t)), ya + y * t, z * t], axis=1)
        q = point @ d.rotation.T - d.foot_mm
        for i, ratio in enumerate(d.lsd_mm / d.lsd_mm[0]):
            seen = (d.foot_mm[1:] - q[:, 1:] * d.foot_mm[0] / q[:, :1]) / d.pixel_size_mm
            if i == 0:
                here = seen + d.beam_centre_px[0]
                assert np.abs(here - spots.yz_px[:, 0]).max() < within
            elif position == [0.0, 0.0]:  # (5): the centre is scaled
                assert seen * ratio + d.beam_centre_px[i] == pytest.approx(spots.yz_px[:, i])


@pytest.mark.parametrize("wedge_deg", [0.0, 0.7])
def test_model_has_the_spots_of_the_forward_simulation(setup, wedge_deg) -> None:
    leaning = setup.changed(wedge_rad=np.radians(wedge_deg), exclude_pole_rad=0.1)
    theirs = spots_of_setup(leaning, U[None])
    wide = leaning.changed(shape_px=(200000, 200000), beam_centre_px=np.full((2, 2), 1e5))
    ours = spots_of(Geometry.of(wide), wide, [Crystal(U, np.zeros(2))])
    assert len(ours) == len(theirs)
    order, other = (
        np.lexsort([ours.omega_rad, ours.row]),
        np.lexsort([theirs.omega_rad, theirs.hkl_row]),
    )
    np.testing.assert_array_equal(ours.row[order], theirs.hkl_row[other])
    # rounding of acos near its ends
    np.testing.assert_allclose(ours.omega_rad[order], theirs.omega_rad[other], atol=1e-9)


def test_published_hexomap_geometry() -> None:
    geometry = hexomap_geometry(RECORD)
    for i, turn in enumerate(geometry.rotations):
        a, b, c = np.radians(RECORD["detRot_ZXZ_deg"][i])
        theirs = rz(a) @ rx(b) @ rz(c)
        np.testing.assert_allclose(turn[1], theirs @ [1, 0, 0], atol=1e-14)  # J grows along +y
        np.testing.assert_allclose(turn[2], theirs @ [0, 1, 0], atol=1e-14)  # K against z
    assert geometry.beam_centre_px[1] == pytest.approx([1031.60, 33.67])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"detL_mm": [4.0]}, "numbers of detectors differ: {'detL_mm': 1"),
        ({"npix": None}, "HEXOMAP geometry without npix"),
    ],
)
def test_hexomap_geometry_refuses(change, said) -> None:
    record = {k: v for k, v in (RECORD | change).items() if v is not None}
    with pytest.raises(FormatError, match=said):
        hexomap_geometry(record)


def test_setup_has_one_set_of_tilts(setup, start) -> None:
    moved = start.changed(lsd_mm=np.array([5.0, 7.0]), wedge_rad=0.01)
    assert Geometry.of(moved.into(setup)).lsd_mm.tolist() == [5.0, 7.0]
    assert moved.into(setup).scan.wedge_rad == 0.01
    with pytest.raises(ConfigError, match="tilts differ between the distances"):
        hexomap_geometry(RECORD).into(setup)


# --- parameters ----------------------------------------------------------------------------------


def test_contrasts_are_orthonormal() -> None:
    for d in (1, 2, 4):
        np.testing.assert_allclose(contrasts(d) @ contrasts(d).T, np.eye(d), atol=1e-15)
        np.testing.assert_allclose(contrasts(d)[0], d**-0.5)


def test_parameters_move_what_they_name(start) -> None:
    crystals = [Crystal(U, np.zeros(2)), Crystal(np.eye(3), np.ones(2))]
    p = Parameters.of(start, crystals, CalibrateSettings(tilts="each", wedge=True, fix=("tx",)))
    x = np.zeros(len(p.names))
    for name, value in {
        "Lsd": 0.1, "dLsd[1]": 0.02, "BC_Z[1]": 3.0, "ty[1]": 0.01, "wedge": 0.002,
        "position_y[1]": 0.5, "orientation_x[0]": 0.03,
    }.items():  # fmt: skip
        x[p.names.index(name)] = value
    g, (one, two) = p.geometry(x), p.moved(x)
    np.testing.assert_allclose(g.lsd_mm - start.lsd_mm, [0.1, 0.12])
    np.testing.assert_allclose(g.beam_centre_px - start.beam_centre_px, [[0, 0], [0, 3]], atol=1e-9)
    np.testing.assert_allclose(g.tilts_rad - start.tilts_rad, [[0, 0, 0], [0, 0.01, 0]])
    assert g.wedge_rad == 0.002
    np.testing.assert_allclose(two.position_mm, [1.0, 1.5])
    np.testing.assert_allclose(rotation_vector(one.u_matrix @ U.T), [0.03, 0, 0], atol=1e-12)
    assert p.lower[p.names.index("tx[0]")] == p.upper[p.names.index("tx[1]")] == 0.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tilts": "none"}, "tilts 'none': expected 'shared' or 'each'"),
        ({"capture_px": 0.0}, "capture_px 0.0: expected > 0"),
        ({"rounds": 0}, "rounds 0: expected 1 or more"),
        ({"lsd_tol_mm": -1.0}, r"tolerances \[.*-1.0.*\]: expected 0 \(held\) or more"),
    ],
)
def test_settings_refuse(settings, said) -> None:
    with pytest.raises(ConfigError, match=said):
        CalibrateSettings(**settings)


def test_unknown_parameter_to_hold(start) -> None:
    with pytest.raises(ConfigError, match="fix 'Lst': parameters are Lsd, dLsd"):
        Parameters.of(start, [], CalibrateSettings(fix=("Lst",)))


# --- matching ------------------------------------------------------------------------------------


def test_a_blob_goes_to_the_nearest_spot(setup, start) -> None:
    spots = spots_of(start, setup, [Crystal(U, np.zeros(2))])[:12]
    n = len(spots)
    yz = np.concatenate([spots.yz_px[:, 0], spots.yz_px[:, 1]])
    size = np.full(2 * n, 100)
    size[3] = 1000  # several spots in one
    whole = np.ones(2 * n, dtype=bool)
    whole[n + 5] = False
    blobs = Blobs(np.repeat([0, 1], n), yz, np.tile(spots.frame, 2), size, size, whole)
    rows = np.r_[:n, 0]  # the first spot twice
    again = spots[rows]
    again.yz_px[n] += 2.0
    found = match_blobs(again, blobs, 2, 30.0, 2.0)
    assert len(found) == n - 2
    assert found.n_predicted == n + 1
    assert 3 not in found.blob[:, 0]
    assert 5 not in found.blob[:, 0]
    np.testing.assert_allclose(found.spots.yz_px, found.yz_px)


# --- the whole -----------------------------------------------------------------------------------


def truth_of(start, rng, wedge=0.0):
    return displaced(start, Crystal(U, np.zeros(2)), rng, wedge_rad=wedge)


def test_simulated_truth_is_within_its_uncertainty(setup, start) -> None:
    from scipy.stats import chi2

    rng = np.random.default_rng(20261)
    total, freedom = 0.0, 0
    for i in range(4):
        q = rng.normal(size=4)  # any orientation: the same one would be rounded to frames alike
        about = Crystal(matrix_of_quaternion(q / np.linalg.norm(q)), np.zeros(2))
        truth, crystal = displaced(start, about, rng, wedge_rad=0.003 * (i % 2))
        pixels, shape = light(truth, setup, [crystal], rng)
        settings = CalibrateSettings(wedge=bool(i % 2))
        found = calibrate(setup, find_blobs(pixels, shape), [about], settings)
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


def test_two_grains_and_a_check_by_lit_pixels(setup, start) -> None:
    rng = np.random.default_rng(3)
    truth, crystal = truth_of(start, rng)
    other = Crystal(expmap(np.array([0.3, -0.5, 0.2])) @ U, np.array([0.05, -0.04]))
    pixels, shape = light(truth, setup, [crystal, other], rng, 0.3, 0.1)
    begin = [Crystal(U, np.zeros(2)), Crystal(other.u_matrix, np.array([0.06, -0.03]))]
    seen = []
    found = calibrate(setup, find_blobs(pixels, shape), begin, progress=seen.append)
    assert tuple(seen) == found.rounds
    assert len(found.rounds) > 1
    assert np.abs(found.geometry.lsd_mm - truth.lsd_mm).max() < 5e-3  # some 3 sigma
    assert np.abs(found.crystals[1].position_mm - other.position_mm).max() < 1e-3
    # spots are sharp in omega, and low blobs one or two pixels high: allow a frame to either side
    lit = LitPixels.from_hits(pixels, shape).dilated(0, 1)
    before = spot_hits(start, setup, begin, lit)
    after = spot_hits(found.geometry, setup, found.crystals, lit)
    best = spot_hits(truth, setup, [crystal, other], lit)
    assert before.fraction < 0.2
    assert best.fraction > 0.9
    assert after.lit >= best.lit - 3
    points = found.crystals[1].position_mm + np.array([[0.0, 0.0], [0.006, 0.0], [0.04, 0.0]])
    extent = lit_fraction_map(found.geometry, setup, found.crystals[1], lit, points)
    assert extent[0] > 0.9
    assert extent[1] > 0.8
    assert extent[2] < 0.1
    pairs = found.correlated(0.5)
    assert pairs
    assert all(abs(c) >= 0.5 for *_, c in pairs)
    assert [abs(c) for *_, c in pairs] == sorted((abs(c) for *_, c in pairs), reverse=True)


def test_bounds_hold(setup, start) -> None:
    rng = np.random.default_rng(5)
    truth = start.changed(lsd_mm=start.lsd_mm + 0.05)
    pixels, shape = light(truth, setup, [Crystal(U, np.zeros(2))], rng)
    settings = CalibrateSettings(lsd_tol_mm=0.02)
    found = calibrate(setup, find_blobs(pixels, shape), [Crystal(U, np.zeros(2))], settings)
    assert found.geometry.lsd_mm[0] == pytest.approx(start.lsd_mm[0] + 0.02)
    assert "Lsd" in found.position.fit.at_bound


def test_each_distance_may_have_its_own_tilts(setup) -> None:
    rng = np.random.default_rng(8)
    published = hexomap_geometry(RECORD)
    pixels, shape = light(published, setup, [Crystal(U, np.zeros(2))], rng, 0.5, 0.1)
    found = calibrate(
        setup, find_blobs(pixels, shape), [Crystal(U, np.zeros(2))], CalibrateSettings(tilts="each")
    )
    fit = found.position.fit
    wanted = changes_to(found, published, [Crystal(U, np.zeros(2))])
    at = [i for i, name in enumerate(fit.names) if name[0] == "t"]
    assert [fit.names[i] for i in at] == ["tx[0]", "tx[1]", "ty[0]", "ty[1]", "tz[0]", "tz[1]"]
    assert np.abs(fit.x[at] - wanted[at]).max() < np.radians(0.2)
    assert np.abs((fit.x - wanted)[at] / fit.sigma[at]).max() < 4.0


def test_too_few_spots(setup) -> None:
    none = find_blobs(np.zeros((0, 4)), (2, 180, 2048, 2048))
    with pytest.raises(ConvergenceError, match=r"0 of \d+ spots have a blob at every distance"):
        calibrate(setup, none, [Crystal(U, np.zeros(2))])
    blind = setup.changed(boxes_mm=np.array([[0.0, 1e-9, 0.0, 1e-9]]))
    with pytest.raises(ConvergenceError, match="no spot of the crystals reaches every detector"):
        calibrate(blind, none, [Crystal(U, np.zeros(2))])


def test_no_spots_are_no_hits() -> None:
    assert Hits(0, 0).fraction == 0.0
    assert Hits(3, 4).fraction == 0.75


# --- published keys ------------------------------------------------------------------------------


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


def test_a_report_names_what_to_doubt(setup, start) -> None:
    rng = np.random.default_rng(5)
    pixels, shape = light(start, setup, [Crystal(U, np.zeros(2))], rng)
    narrow = CalibrateSettings(lsd_tol_mm=1e-7, fix=("tx", "dLsd"))
    found = calibrate(setup, find_blobs(pixels, shape), [Crystal(U, np.zeros(2))], narrow)
    text = "\n".join(report_lines(found, 0.5))
    assert "round 1: " in text
    assert "on a bound: Lsd" in text
    assert "correlated: " in text
    assert "tx:" not in text  # held
    assert re.search(r"ty: [+-]0\.\d{4} \+- 0\.\d{4} deg", text)
    assert re.search(r"BC_Y\[1\]: [+-]\d\.\d{4} \+- \d\.\d{4} px", text)
    assert "by no crystal: the height of the sample plane" in text


def test_geometry_in_published_lines(start) -> None:
    lines = geometry_lines(start.changed(wedge_rad=np.radians(0.25)))
    assert lines[0] == "Lsd 4533.500000"
    assert lines[2].startswith("BC 1013.71")
    assert lines[-1] == "Wedge 0.250000"
    assert [line.split()[0] for line in lines[4:7]] == ["tx", "ty", "tz"]
