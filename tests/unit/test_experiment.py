"""Beam, goniometer, scan and crystal as values, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.cell import b_matrix
from refimpl.crystal.crystal_model import Crystal
from refimpl.errors import GeometryError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.rotations import expmap
from refimpl.units import DEG

TRICLINIC = (11.0, 13.0, 17.0, 77.0, 83.0, 101.0)
TURN = expmap(np.array([0.3, -0.5, 0.7]))


def crystal() -> Crystal:
    rows = np.linalg.inv(b_matrix(TRICLINIC))  # inverse of columns a*, b*, c*: rows a, b, c
    return Crystal(rows @ TURN.T, " P 1", {"B_covariance": [1.0], "mosaicity": 0.1})


def test_setting_matrix_of_a_crystal():
    c = crystal()
    assert np.allclose(c.cell, TRICLINIC, rtol=1e-13)
    assert np.allclose(c.A @ c.real_space, np.eye(3), atol=1e-14)
    assert np.allclose(c.U @ c.B, c.A, atol=1e-16)
    assert np.allclose(c.U @ c.U.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(c.U) == pytest.approx(1.0)
    # a along x and b in the xy plane (Protein Data Bank): c* is along z, B is lower triangular
    assert np.array_equal(c.B, np.tril(c.B))
    assert c.B[0, 0] == pytest.approx(1.0 / 11.0, rel=1e-14)
    metric = b_matrix(TRICLINIC).T @ b_matrix(TRICLINIC)
    assert np.allclose(c.B.T @ c.B, metric, rtol=1e-12, atol=0)


def test_another_setting_drops_what_belonged_to_the_old():
    c = crystal().with_A(crystal().A * 1.01)
    assert np.allclose(c.cell[:3], np.array(TRICLINIC[:3]) / 1.01)
    assert dict(c.extra) == {"mosaicity": 0.1}
    with pytest.raises(ValueError, match="read-only"):
        c.real_space[0, 0] = 1.0


@pytest.mark.parametrize("rows", [np.zeros((3, 3)), -np.eye(3), np.eye(2), np.full((3, 3), np.nan)])
def test_no_cell(rows):
    with pytest.raises(GeometryError, match="expected rows a, b, c that are right-handed"):
        Crystal(rows)


def test_beam_vector():
    beam = Beam(np.array([0.6, 0.0, 0.8]), 2.0)
    assert np.allclose(beam.s0, [-0.3, 0.0, -0.4])
    other = beam.with_s0(np.array([0.0, 0.0, -4.0]))
    assert (other.wavelength_angstrom, other.direction.tolist()) == (0.25, [0.0, 0.0, 1.0])
    with pytest.raises(GeometryError, match=r"beam: direction \[.*\] is not a unit vector"):
        Beam(np.array([0.0, 0.0, 2.0]), 1.0)
    with pytest.raises(GeometryError, match="beam: wavelength -1 Å is not positive"):
        Beam(np.array([0.0, 0.0, 1.0]), -1)
    with pytest.raises(GeometryError, match=r"beam: direction .*finite numbers of shape \(3,\)"):
        Beam(np.array([0.0, np.nan, 1.0]), 1.0)


AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def test_axes_on_either_side_of_the_scan():
    goniometer = Goniometer.multi_axis(AXES, (10.0, 20.0, 30.0), ("a", "b", "c"), 1)
    assert np.allclose(goniometer.fixed, expmap(np.array([10.0 * DEG, 0, 0])))
    assert np.allclose(goniometer.setting, expmap(np.array([0, 0, 30.0 * DEG])))
    assert goniometer.rotation_axis.tolist() == [0.0, 1.0, 0.0]
    outer = Goniometer.multi_axis(AXES, (10.0, 20.0, 30.0), ("a", "b", "c"), 2)
    inner_first = expmap(np.array([0, 20.0 * DEG, 0])) @ expmap(np.array([10.0 * DEG, 0, 0]))
    assert np.allclose(outer.fixed, inner_first)
    assert np.array_equal(outer.setting, np.eye(3))


def test_refused_goniometers():
    with pytest.raises(GeometryError, match="3 axes, 2 angles, 3 names and scan_axis 1 do not fit"):
        Goniometer.multi_axis(AXES, (1.0, 2.0), ("a", "b", "c"), 1)
    with pytest.raises(GeometryError, match="scan_axis 3 do not fit"):
        Goniometer.multi_axis(AXES, (1.0, 2.0, 3.0), ("a", "b", "c"), 3)
    with pytest.raises(GeometryError, match=r"rotation_axis .* is not a unit vector"):
        Goniometer(np.array([0.0, 0.0, 1.1]))
    with pytest.raises(GeometryError, match=r"goniometer: setting .* is not a rotation"):
        Goniometer(np.array([0.0, 0.0, 1.0]), setting=-np.eye(3))


def test_angles_of_frames():
    scan = Scan((5, 14), (82.0, 0.15))
    assert (scan.n_images, scan.array_start) == (10, 4)
    assert scan.phi_of_frame(4.0) == pytest.approx(82.0 * DEG, rel=1e-15)
    z = np.array([4.0, 4.5, 14.0])
    assert np.allclose(scan.phi_of_frame(z), np.array([82.0, 82.075, 83.5]) * DEG, rtol=1e-14)
    assert np.allclose(scan.frame_of_phi(scan.phi_of_frame(z)), z, rtol=1e-12)
    with pytest.raises(GeometryError, match="a still has no frame for an angle"):
        Scan((1, 1), (0.0, 0.0)).frame_of_phi(0.0)
    with pytest.raises(GeometryError, match=r"image_range \(3, 2\) is empty"):
        Scan((3, 2), (0.0, 0.1))


def test_stills():
    goniometer, scan = Goniometer(np.array([1.0, 0.0, 0.0])), Scan((1, 2), (0.0, 0.1))
    assert Experiment().is_still
    assert Experiment(goniometer=goniometer).is_still
    assert Experiment(goniometer=goniometer, scan=Scan((1, 2), (3.0, 0.0))).is_still
    assert not Experiment(goniometer=goniometer, scan=scan).is_still
