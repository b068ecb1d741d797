"""Miller indices of spots, and the quick fit to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.crystal.reduction import basis_of_cell, cell_of_basis, point_rotations, space_group
from refimpl.metrology.indexing.assign import assign_global, assign_local
from refimpl.metrology.indexing.rigid_fit import _moved, fit_rigid, inliers
from refimpl.metrology.indexing.rigid_model import RigidModel, crystal_steps, jacobian, residuals
from refimpl.metrology.indexing.spots import mapped, spots_of_table
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import lattice_spots, small_experiment

TURN = expmap(np.array([0.4, -1.1, 0.7]))
BASIS = basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0)) @ TURN


def test_global_assignment_by_hand():
    a_matrix = np.diag([0.1, 0.05, 0.02])
    exact = np.array([[1.0, 2.0, 3.0], [1.1, 2.0, 3.0], [1.0, 2.2, 3.0], [0.1, 0.0, 0.1],
                      [4.0, 4.0, 4.31], [4.0, 4.0, 4.29]])  # fmt: skip
    phi = np.array([0.1, 0.2, 2.0, 0.0, 0.0, 0.0])
    hkl, crystal = assign_global(exact @ a_matrix.T, phi, [a_matrix])
    # 1 is beaten by 0, 2 is another passage, 3 would be 000, 4 is too far
    assert crystal.tolist() == [0, -1, 0, -1, -1, 0]
    assert hkl.tolist() == [[1, 2, 3], [0] * 3, [1, 2, 3], [0] * 3, [0] * 3, [4, 4, 4]]
    still, _ = assign_global(exact @ a_matrix.T, None, [a_matrix])
    assert still[2].tolist() == [0, 0, 0]


def test_each_spot_goes_to_the_nearest_crystal():
    first, second = np.diag([0.1, 0.1, 0.1]), np.diag([0.1, 0.1, 0.11])
    points = np.array([[0.1, 0.1, 0.3], [0.1, 0.1, 0.33], [0.3, 0.1, 0.0]])
    hkl, crystal = assign_global(points, None, [first, second])
    assert crystal.tolist() == [0, 1, 0]
    assert hkl.tolist() == [[1, 1, 3], [1, 1, 3], [3, 1, 0]]
    assert assign_global(np.zeros((0, 3)), None, [first])[0].shape == (0, 3)


def test_local_assignment_bears_a_drift():
    rng = np.random.default_rng(4)
    a_matrix = np.linalg.inv(BASIS)
    grid = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3), axis=-1).reshape(-1, 3)
    truth = grid[rng.random(len(grid)) < 0.6]
    truth = truth[(truth != 0).any(axis=1)]
    # indices drift by 0.35 from one side to the other: too far for the global way
    exact = truth * (1.0 + np.array([0.07, 0.0, 0.0])) + rng.normal(0.0, 0.01, truth.shape)
    phi = rng.uniform(0.0, 0.5, len(truth))
    local, _ = assign_local(exact @ a_matrix.T, phi, a_matrix)
    whole, _ = assign_global(exact @ a_matrix.T, phi, [a_matrix])
    assert (local == truth).all(axis=1).mean() > 0.99
    assert (whole == truth).all(axis=1).mean() < 0.95


def _model(spots, basis=BASIS, group="P 1"):
    model = RigidModel.of((spots.experiment,))
    return model.with_crystal(basis, point_rotations(space_group(group)))


def test_residuals_vanish_at_the_truth():
    exact = lattice_spots(BASIS, most=300, error_px=1e-9)
    spots, _ = spots_of_table((exact.experiment,), exact.table)
    found = residuals(_model(exact), spots, exact.hkl)
    assert found.usable.mean() > 0.9
    # 1e-9 px of error, times the speed of spots near the axis
    assert np.abs(found.values[found.usable]).max() < 1e-7
    assert np.abs(mapped((exact.experiment,), spots)[0] @ BASIS.T - exact.hkl).max() < 1e-6


@pytest.mark.parametrize("still", [False, True])
def test_derivatives_are_those_of_the_residuals(still):
    exact = lattice_spots(BASIS, most=120, error_px=1e-9)
    spots, _ = spots_of_table((exact.experiment,), exact.table)
    model, hkl = _model(exact), exact.hkl
    if still:  # turn the crystal to each spot's angle: only those near one angle are seen
        near = np.abs(spots.phi - np.median(spots.phi)) < 0.01
        turn = expmap(model.axis[0] * float(np.median(spots.phi)))
        model = replace(model, a_matrix=turn @ model.a_matrix)
        spots, hkl = replace(spots.select(near), phi=None), hkl[near]
    found = residuals(model, spots, hkl)
    good = found.usable
    pivot, steps = np.array([1.0, 2.0, -170.0]), crystal_steps(model)
    assert len(steps) == 9
    rows = jacobian(model, spots, hkl, found, pivot, steps)
    for k in range(rows.shape[2]):
        change = np.zeros(rows.shape[2])
        change[k] = 1e-6
        up, down = (
            residuals(_moved(model, steps, s * change, pivot), spots, hkl).values for s in (1, -1)
        )
        numeric = (up - down)[good] / 2e-6
        # the axis of a still's turn moves too, which is of second order near the sphere
        bound = 0.02 if still else 1e-5
        assert np.abs(numeric - rows[good, :, k]).max() < bound * np.abs(numeric).max(), k


@pytest.mark.parametrize(("group", "free"), [("P 1", 6), ("P 1 2 1", 4), ("P 2 2 2", 3),
                                             ("P 4", 2), ("P 3", 2), ("P 2 3", 1)])  # fmt: skip
def test_the_cell_has_the_parameters_of_its_symmetry(group, free):
    cell = (60.0, 60.0, 60.0, 90.0, 90.0, 120.0 if group == "P 3" else 90.0)
    model = replace(
        RigidModel.of((small_experiment(),)),
        a_matrix=np.linalg.inv(basis_of_cell(cell)),
        rotations=point_rotations(space_group(group)),
    )
    assert len(crystal_steps(model)) == 3 + free


def test_the_fit_finds_the_truth():
    basis = basis_of_cell((58.0, 58.0, 90.0, 90.0, 90.0, 90.0)) @ TURN
    spots_of = lattice_spots(basis, "P 4", most=900, error_px=0.1, noise=40)
    spots, _ = spots_of_table((spots_of.experiment,), spots_of.table)
    off = basis * np.array([[1.004], [1.004], [0.997]]) @ expmap(np.array([2e-3, -3e-3, 1e-3]))
    fit = fit_rigid(_model(spots_of, off, "P 4"), spots.select(np.arange(900)), spots_of.hkl[:900])
    assert fit is not None
    # 0.1 px of 0.172 mm with the fences' cut of the tails
    assert fit.rmsd[:2] == pytest.approx([0.0172, 0.0172], rel=0.1)
    cell = cell_of_basis(np.linalg.inv(fit.model.a_matrix))
    assert cell == pytest.approx((58.0, 58.0, 90.0, 90.0, 90.0, 90.0), rel=1e-3)
    assert cell[0] == pytest.approx(cell[1], rel=1e-12)  # the symmetry stays exact
    assert fit_rigid(fit.model, spots.select(np.arange(15)), spots_of.hkl[:15]) is None


def test_fences_are_those_of_tukey():
    values = np.column_stack([np.r_[np.arange(100.0), 1000.0], np.zeros(101), np.zeros(101)])
    usable = np.ones(101, dtype=bool)
    assert np.flatnonzero(~inliers(values, usable, 1.5)).tolist() == [100]
    assert inliers(values[:3], usable[:3], 1.5).all()
