"""Far-field spots of grains against rays, another solver and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.crystal.cell import b_matrix
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.forward.farfield import (
    FarfieldGrains,
    FarfieldSpots,
    farfield_spots,
    full_scan,
)
from refimpl.forward.farfield_images import SpotShape, farfield_images
from refimpl.forward.grain_rotation import GrainSpots, predict_grains
from refimpl.forward.simulated_frame import model_order
from refimpl.frames import F64, lab_from_midas
from refimpl.rotations import expmap, ry, rz
from refimpl.units import DEG

CELL = (3.6, 3.6, 3.7, 90.0, 90.0, 120.0)
LAMBDA = 0.17
LSD = 900.0
HKL = np.array([h for h in np.ndindex(5, 5, 5) if h != (2, 2, 2)]) - 2
SCAN = full_scan(-np.pi, 0.25 * DEG, 1440, exclude_pole_rad=6.0 * DEG)


def grains(seed: int = 1, n: int = 3, strained: bool = True) -> FarfieldGrains:
    rng = np.random.default_rng(seed)
    e = rng.normal(size=(n, 3, 3)) * 1e-3
    return FarfieldGrains(
        np.array([expmap(rng.normal(size=3)) for _ in range(n)]),
        rng.uniform(-0.5, 0.5, (n, 3)),
        (e + e.transpose(0, 2, 1)) / 2.0 if strained else None,
    )


def spots(g: FarfieldGrains, **changes: Any) -> FarfieldSpots:
    return farfield_spots(g, HKL, CELL, LAMBDA, changes.pop("scan", SCAN), LSD, **changes)


@given(seed=st.integers(0, 2**32 - 1), wedge=st.sampled_from([0.0, 0.02]))
def test_every_spot_is_on_its_ray(seed: int, wedge: float) -> None:
    """k_out = k_in + g has the length of k_in, and meets the plane where the table says."""
    g = grains(seed)
    found = spots(g, scan=full_scan(0.0, 1.0, 1, exclude_pole_rad=6.0 * DEG, wedge_rad=wedge))
    assert len(found) > 100
    for i in range(0, len(found), 29):
        k = int(found.grain[i])
        assert g.strain is not None
        deformed = np.linalg.inv(np.eye(3) + g.strain[k]).T @ g.orientations[k]
        turn = ry(-wedge) @ rz(found.omega_rad[i])
        out = (
            np.array([1.0 / LAMBDA, 0.0, 0.0])
            + turn @ deformed @ b_matrix(CELL) @ HKL[found.hkl_row[i]]
        )
        assert abs(np.sqrt(out @ out) * LAMBDA - 1.0) < 1e-12
        start = turn @ g.positions_mm[k]
        hit = start + out * (LSD - start[0]) / out[0]
        # mm; 1e-12 of 900
        np.testing.assert_allclose(hit[1:], [found.y_mm[i], found.z_mm[i]], rtol=0, atol=1e-9)
        assert abs(np.arccos(out[0] * LAMBDA) - found.two_theta_rad[i]) < 1e-9
        assert abs(np.arctan2(-out[1], out[2]) - found.eta_rad[i]) < 1e-9


def test_rotation_prediction_finds_the_same_spots() -> None:
    """forward.grain_rotation solves the Laue equation by other formulas, in the lab frame."""
    g = grains(4)
    found = spots(g)
    lattice = np.array([g.lattice(i, CELL) for i in range(len(g))])
    p0 = np.einsum("sij,sj->si", lattice[found.grain], HKL[found.hkl_row].astype(float))
    origin = np.array([0.0, 0.0, LSD])  # panel: fast to +X (left), slow to +Y (up) of the lab
    panel = np.column_stack([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], origin])
    seen = []
    for entering in (0, 1):
        table = GrainSpots(
            p0=lab_from_midas(p0),
            start=lab_from_midas(g.positions_mm[found.grain]),
            panel=np.zeros(len(found), np.int32),
            entering=np.full(len(found), entering, np.uint8),
            phi_near=found.omega_rad,
            s0=np.array([0.0, 0.0, 1.0 / LAMBDA]),
            axis=np.array([0.0, 1.0, 0.0]),
            inverse_d=np.linalg.inv(panel)[None],
        )
        seen.append(predict_grains(table)[0])
    ours = np.stack([found.y_mm, found.z_mm, found.omega_rad], axis=-1)
    away = np.minimum(*(np.abs(s - ours).max(axis=1) for s in seen))
    assert away.max() < 1e-8  # mm and rad


def test_strain_moves_rings_as_bragg_says() -> None:
    """One per mille hydrostatic: tan theta falls by it, every spot of a row alike."""
    u, at = np.eye(3)[None], np.zeros((1, 3))
    plain = spots(FarfieldGrains(u, at))
    larger = spots(FarfieldGrains(u, at, 1e-3 * np.eye(3)[None]))
    both = 0
    for row in np.unique(plain.hkl_row):
        one, two = (s.two_theta_rad[s.hkl_row == row] for s in (plain, larger))
        if len(one) and len(two):
            want = 2.0 * np.arcsin(np.sin(one[0] / 2.0) / 1.001)
            np.testing.assert_allclose(two, want, rtol=1e-13)
            both += 1
    assert both > 50


def test_a_strained_cell_is_a_strain() -> None:
    """a, b and c longer by 2e-3, 2e-3 and -1e-3: the diagonal tensor of the crystal, turned."""
    u = expmap(np.array([0.3, -0.5, 0.2]))
    e = u @ np.diag([2e-3, 2e-3, -1e-3]) @ u.T
    cells = np.array(CELL) * [1.002, 1.002, 0.999, 1.0, 1.0, 1.0]
    at = np.array([[0.1, 0.2, -0.3]])
    one = spots(FarfieldGrains(u[None], at, (e + e.T)[None] / 2.0))
    two = spots(FarfieldGrains(u[None], at, cells=cells[None]))
    np.testing.assert_array_equal(one.hkl_row, two.hkl_row)
    np.testing.assert_allclose(one.omega_rad, two.omega_rad, rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(one.y_mm, two.y_mm, rtol=0.0, atol=1e-8)  # mm


def test_the_table_and_both_backends() -> None:
    found = spots(grains(7))
    frame = found.table()
    assert list(frame.columns) == [
        "grain", "hkl_row", "omega_rad", "two_theta_rad", "eta_rad", "y_mm", "z_mm",
    ]  # fmt: skip
    assert len(frame) == len(found)
    assert set(frame.grain) == {0, 1, 2}
    slow = spots(grains(7), backend="python")
    np.testing.assert_allclose(slow.table(), frame, rtol=1e-14, atol=1e-14)


def model(**changes: Any) -> TiltedFlat:
    plain: dict[str, Any] = {
        "shape": (300, 340), "pixel_size_mm": (2.0, 2.0), "lsd_mm": LSD,
        "beam_centre_px": (171.3, 148.8), "tilts_rad": (0.0, 0.0, 0.0),
    }  # fmt: skip
    return TiltedFlat(**(plain | changes))


def test_pixels_of_an_untilted_detector() -> None:
    """The model's own way back: two-theta and eta of the pixel are those of the spot."""
    found = spots(grains(2))
    m = model(tilts_rad=(0.0, 0.01, -0.02))
    fast, slow = found.pixels(m)
    inside = (fast > 0) & (fast < 340) & (slow > 0) & (slow < 300)
    assert inside.sum() > 100
    two_theta, eta = m.two_theta_eta(fast[inside], slow[inside])
    y, z = found.y_mm[inside], found.z_mm[inside]
    np.testing.assert_allclose(np.tan(two_theta) * LSD, np.hypot(y, z), rtol=1e-9)
    np.testing.assert_allclose(np.sin(eta), -y / np.hypot(y, z), rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(np.cos(eta), z / np.hypot(y, z), rtol=0.0, atol=1e-9)


def test_images_hold_the_counts_where_the_spots_are() -> None:
    g = grains(3, 1)
    scan = full_scan(-np.pi, 1.0 * DEG, 360, exclude_pole_rad=6.0 * DEG)
    found = spots(g, scan=scan)
    m = model()
    shape = SpotShape(counts=1e5, background=0.0, noise=False)
    stack = np.array(
        [model_order(i, m.image_transform) for i in farfield_images(found, m, scan, shape)]
    )
    assert stack.shape == (360, 300, 340)
    fast, slow = found.pixels(m)
    well = (fast > 9) & (fast < 330) & (slow > 9) & (slow < 290)
    # rounding to whole counts loses up to half a count a pixel and frame
    assert abs(stack.sum(dtype=np.float64) / (1e5 * well.sum()) - 1.0) < 0.05
    frame = np.floor((found.omega_rad - scan.start_rad) / scan.step_rad).astype(int)
    alone = 0
    for i in np.flatnonzero(well)[::17]:
        rows = slice(int(slow[i]) - 6, int(slow[i]) + 7)
        columns = slice(int(fast[i]) - 6, int(fast[i]) + 7)
        part = stack[(np.arange(-2, 3) + frame[i]) % 360, rows, columns].astype(float)
        total = part.sum()
        assert total > 0.9e5
        if total < 1.05e5:
            alone += 1
            centre = np.arange(13) + 0.5
            assert abs((part.sum(axis=(0, 2)) @ centre) / total + rows.start - slow[i]) < 0.02  # px
            assert abs((part.sum(axis=(0, 1)) @ centre) / total + columns.start - fast[i]) < 0.02
    assert alone >= 3


def test_intensities_and_noise() -> None:
    g = grains(3, 1)
    scan = full_scan(0.0, 2.0 * DEG, 4)
    found = spots(g, scan=scan)
    shape = SpotShape(counts=2e4, background=30.0, seed=4)
    dark = list(farfield_images(found, model(), scan, shape, intensity=np.zeros(len(HKL))))
    values = np.array(dark, dtype=float)
    assert abs(values.mean() - 30.0) < 0.05  # 408,000 draws: 0.009 a standard deviation
    bright, again = (list(farfield_images(found, model(), scan, shape)) for _ in range(2))
    assert sum(int(i.sum()) for i in bright) > values.sum()
    np.testing.assert_array_equal(bright, again)
    with pytest.raises(ConfigError, match="intensity: 2 numbers: expected one for 12"):
        farfield_images(found, model(), scan, shape, intensity=np.ones(2))


def test_a_spot_at_the_seam_is_in_the_first_and_the_last_frame() -> None:
    """A spot at omega = pi, half of it before the scan's end and half after its start."""
    one: F64 = np.array([0.0])
    seam = FarfieldSpots(
        np.zeros(1, np.int32), np.zeros(1, np.int32), one + np.pi, one + 0.1, one, one + 5.0,
        one + 90.0,
    )  # fmt: skip
    scan = full_scan(-np.pi, 1.0 * DEG, 360)
    shape = SpotShape(counts=1e4, background=0.0, noise=False)
    sums = [int(i.sum()) for i in farfield_images(seam, model(), scan, shape)]
    assert sums[1:-1] == [0] * 358
    assert sums[0] == sums[-1]
    assert abs(sums[0] - 5000) < 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions_mm": np.zeros((2, 3))}, r"positions_mm of shape \(2, 3\): expected finite"),
        ({"positions_mm": np.full((1, 3), np.nan)}, "positions_mm of shape"),
        ({"strain": np.arange(9.0).reshape(1, 3, 3)}, "strain: expected symmetric tensors"),
        ({"strain": np.zeros((1, 3, 3)), "cells": np.ones((1, 6))}, "give one of the two"),
    ],
)
def test_refusals_of_grains(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FarfieldGrains(
            **({"orientations": np.eye(3)[None], "positions_mm": np.zeros((1, 3))} | changes)
        )


def test_other_refusals() -> None:
    g = grains(1, 1)
    with pytest.raises(ConfigError, match=r"wavelength_angstrom = 0.0, lsd_mm = 5.0: expected pos"):
        farfield_spots(g, HKL, CELL, 0.0, SCAN, 5.0)
    with pytest.raises(ConfigError, match=r"hkl of shape \(124, 2\): expected \(h, 3\)"):
        farfield_spots(g, HKL[:, :2], CELL, LAMBDA, SCAN, LSD)
    with pytest.raises(ConfigError, match="SpotShape: counts = -1: expected 0 or more"):
        SpotShape(counts=-1)
    with pytest.raises(ConfigError, match="SpotShape: sigma_px = 0: expected positive"):
        SpotShape(sigma_px=0)
