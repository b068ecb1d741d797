"""Matrices of simulated sessions: conventions, and what they resemble."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.epu.calibration import Calibration
from refimpl.epu.simulate_geometry import image_to_stage, lattice_of, matrix_of, shots_of
from refimpl.epu.simulate_settings import SimulationSettings


def test_the_matrix_has_the_scale_turn_mirror_and_stretch_asked_for() -> None:
    settings = SimulationSettings(k_um=20.0, rotation_deg=-70.0, anisotropy=1.0)
    plain = matrix_of(replace(settings, mirror=False))
    c, s = np.cos(np.radians(-70.0)), np.sin(np.radians(-70.0))
    np.testing.assert_allclose(plain, 20.0 * np.array([[c, s], [-s, c]]), atol=1e-13)
    np.testing.assert_allclose(matrix_of(settings), np.diag([1.0, -1.0]) @ plain, atol=1e-13)
    stretched = matrix_of(replace(settings, anisotropy=1.03, anisotropy_deg=33.0))
    long, short = np.linalg.svd(stretched)[1]
    assert long / short == pytest.approx(1.03)
    assert long * short == pytest.approx(400.0)
    found = Calibration("affine", stretched)
    assert found.k_um == pytest.approx(20.0)
    assert found.is_mirrored
    assert np.degrees(found.rotation_rad) == pytest.approx(-70.0)


def test_defaults_resemble_the_matrix_of_the_real_session() -> None:
    real = np.array([[21.7515, 10.8325], [11.1149, -21.6924]])  # specification A8
    assert np.abs(matrix_of(SimulationSettings()) - real).max() < 0.35


def test_the_lattice_has_the_lengths_and_the_angle_asked_for() -> None:
    settings = SimulationSettings(lattice_stretch=1.02, lattice_skew_deg=-0.8)
    first, second = lattice_of(settings)
    assert np.hypot(*first) == pytest.approx(2.5)
    assert np.hypot(*second) == pytest.approx(2.55)
    assert np.degrees(np.arctan2(first[1], first[0])) == pytest.approx(15.0)
    assert np.degrees(np.arctan2(second[1], second[0])) == pytest.approx(104.2)


def test_three_shots_are_as_far_apart_as_in_the_real_session() -> None:
    shots = shots_of(SimulationSettings())
    apart = np.hypot(*(shots - np.roll(shots, 1, axis=0)).T)
    np.testing.assert_allclose(apart, 0.648, atol=5e-4)
    assert not shots_of(SimulationSettings(shots=1)).any()


def test_the_image_is_mirrored_and_has_the_pixel_size() -> None:
    matrix = image_to_stage(SimulationSettings().instrument)
    assert np.linalg.det(matrix) == pytest.approx(-(0.87e-4**2))
