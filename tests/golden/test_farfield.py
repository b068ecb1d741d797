"""Far-field spots of three ruby spheres against spots picked in real images (HEXRD's example).

734 picks on eight sub-panels, 41.99 keV, 671 mm; orientations, positions and stretches of the
grains as HEXRD published them. Every convention counts here: frames, handedness of omega, strain,
position and wedge (the stage's chi).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refimpl.crystal.cell import Cell, b_matrix
from refimpl.forward.farfield import FarfieldGrains, FarfieldSpots, farfield_spots, full_scan
from refimpl.frames import F64, LAB_FROM_MIDAS, lab_from_midas, midas_from_lab
from refimpl.interop.hexrd import read_hexrd
from refimpl.io.hexrd_picks import read_grain_table, read_picks
from refimpl.metrology.grain_problem import GrainProblem
from refimpl.metrology.hexrd_grains import b_of_cell, problem_of_hexrd, read_stage
from refimpl.rotations import ry, rz

RUBY: Cell = (4.7608, 4.7608, 12.99568, 90.0, 90.0, 120.0)
LSD = 671.0


@pytest.fixture(scope="module")
def published(real_data: Callable[[str], Path]) -> GrainProblem:
    folder = real_data("ff-ruby-dexela-hexrd")
    file = folder / "picks" / "dual_dexelas_composite.yml"
    instrument, (chi, groups) = read_hexrd(file), read_stage(file)
    names = [p.name for p in instrument.panels]
    picks = read_picks(folder / "picks", ["grain1", "grain2", "grain3"], names)
    table = read_grain_table(folder / "composite_fit_grains_grains.out")
    b = b_of_cell(*RUBY[:3], np.pi / 2, np.pi / 2, 2 * np.pi / 3)
    return problem_of_hexrd(instrument, picks, table, b, chi, groups, np.ones(3))


def predicted(problem: GrainProblem, *, strained: bool = True) -> FarfieldSpots:
    """Spots of the three grains, their matrices taken to the MIDAS frame and our B."""
    m = LAB_FROM_MIDAS.T
    ours = np.linalg.inv(b_matrix(RUBY))
    stretch = np.array([np.linalg.inv(m @ g.inverse_stretch @ m.T) for g in problem.grains])
    strain = 0.5 * (stretch + stretch.transpose(0, 2, 1)) - np.eye(3)
    grains = FarfieldGrains(
        np.array([m @ g.orientation @ g.b @ ours for g in problem.grains]),
        midas_from_lab(np.array([g.position_mm for g in problem.grains])),
        strain if strained else None,
    )
    hkl = np.unique(problem.spots.hkl.astype(int), axis=0)
    # chi turns about -x of our lab frame, that is -y of the MIDAS frame: the wedge
    scan = full_scan(0.0, 1.0, 1, wedge_rad=problem.chi)
    wavelength = 1.0 / float(problem.s0[2])
    return farfield_spots(grains, hkl, RUBY, wavelength, scan, LSD)


def on_panels(problem: GrainProblem, spots: FarfieldSpots) -> F64:
    """(n, 3) X, Y [mm] and omega [rad] where the prediction of each pick meets its panel."""
    hkl = np.unique(problem.spots.hkl.astype(int), axis=0)
    out = np.empty((len(problem.spots), 3))
    for i in range(len(problem.spots)):
        k = int(problem.spots.grain[i])
        row = int(np.flatnonzero((hkl == problem.spots.hkl[i].astype(int)).all(axis=1))[0])
        own = np.flatnonzero((spots.grain == k) & (spots.hkl_row == row))
        away = np.angle(np.exp(1j * (spots.omega_rad[own] - problem.spots.xyo[i, 2])))
        best = own[np.argmin(np.abs(away))]
        omega = spots.omega_rad[best]
        turn = ry(-problem.chi) @ rz(omega)
        start = turn @ midas_from_lab(problem.grains[k].position_mm)
        end = np.array([LSD, spots.y_mm[best], spots.z_mm[best]])
        d = problem.d[problem.spots.panel[i]]
        u, v = lab_from_midas(start), lab_from_midas(end - start)
        # start + a way = origin + X fast + Y slow
        x, y, _ = np.linalg.solve(np.column_stack([d[:, 0], d[:, 1], -v]), u - d[:, 2])
        out[i] = x, y, problem.spots.xyo[i, 2] + away[np.argmin(np.abs(away))]
    return out


def test_three_ruby_spheres(published: GrainProblem) -> None:
    """The same residuals as the metrology's own model has with the published grains."""
    off = on_panels(published, predicted(published)) - published.spots.xyo
    want = published.residuals(np.zeros(len(published.names)))
    # mm and rad, measured 2e-13: the wedge is chi exactly, R_y(-W) R_z(omega)
    np.testing.assert_allclose(off, want, rtol=0.0, atol=1e-10)
    good = np.abs(off[:, :2]).max(axis=1) < 0.2  # one pick is 3.7 mm off
    rms = np.sqrt(np.mean(off[good] ** 2, axis=0))
    assert good.sum() >= 730
    assert (rms[:2] < 0.0187).all()  # mm, a quarter of a pixel of 74.8 um
    assert rms[2] < 4e-3  # rad, a frame is 4.4e-3


def test_the_strain_is_seen(published: GrainProblem) -> None:
    """Without the published stretches the spots are farther off."""
    with_, without = (
        np.abs(on_panels(published, predicted(published, strained=s)) - published.spots.xyo)
        for s in (True, False)
    )
    assert np.median(without[:, :2]) > 1.1 * np.median(with_[:, :2])
