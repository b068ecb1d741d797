"""Near-field voxels that their neighbours dispute."""

from __future__ import annotations

import numpy as np
from nearfield_case import GROUP, PLAIN, Case

from refimpl.crystal.misorientation import misorientation
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.neighbourhood import disputed, from_neighbours, neighbour_table
from refimpl.nearfield.reconstruct import reconstruct
from refimpl.nearfield.refine import turned
from refimpl.nearfield.search import search
from refimpl.nearfield.seeds import random_seeds
from refimpl.rotations import (
    euler_of_matrix,
    matrix_of_euler,
    matrix_of_quaternion,
    quaternion_of_matrix,
)
from refimpl.units import DEG


def test_fault_03_a_second_pass_replaces_only_what_is_worse(
    case: Case, found: NearfieldMap
) -> None:
    table = neighbour_table(case.voxels)
    assert table.shape == (96, 3)
    euler = euler_of_matrix(case.u)
    inside = case.inner & (table >= 0).all(axis=1)
    inside &= (case.grain[table] == case.grain[:, None]).all(axis=1)
    row = int(np.flatnonzero(inside)[0])
    euler[row] += [0.2, 0.0, 0.0]
    flagged = disputed(euler, table, 5.0 * DEG, 225)
    assert flagged[row]
    assert not flagged[table[row]].any()
    euler[row] = np.nan
    assert disputed(euler, table, 5.0 * DEG, 225)[row]
    assert not disputed(np.full((96, 3), np.nan), table, 5.0 * DEG, 225).any()
    before = search(
        case.vertices[row : row + 1], matrix_of_quaternion(random_seeds(2, GROUP, 8)), case.setup,
        case.lit, PLAIN,
    )  # fmt: skip
    around = euler[table[row]][None]
    got = from_neighbours(case.vertices[row : row + 1], before, around, case.setup, case.lit, PLAIN)
    assert got.confidence[0, 0] > max(before.confidence[0, 0], 0.95)
    assert got.seed[0] == -1
    assert got.evaluations[0] > before.evaluations[0]
    worse = from_neighbours(
        case.vertices[row : row + 1], got, around + 0.5, case.setup, case.lit, PLAIN
    )
    np.testing.assert_array_equal(worse.euler_rad, got.euler_rad)
    assert worse.evaluations[0] > got.evaluations[0]


def test_nearest_misorientation_never_lowers_a_confidence(case: Case) -> None:
    # without the seeds of two grains their voxels are wrong, and at the boundaries disputed
    seeds = case.seeds[:2]
    plain = reconstruct(case.setup, case.lit, case.voxels, seeds, engine="serial")
    step = SearchSettings(disputed_angle_rad=2.0 * DEG)
    kept = reconstruct(
        case.setup, case.lit, case.voxels, seeds, step, engine="threads", threads=2, block_voxels=9
    )
    assert kept.disputed.any()
    assert (kept.confidence >= plain.confidence).all()
    rest = ~kept.disputed
    np.testing.assert_array_equal(kept.euler_rad[rest], plain.euler_rad[rest])


def test_the_unique_axis_of_a_monoclinic_crystal_is_that_of_its_cell() -> None:
    euler = np.array([[0.3, 0.4, 0.5], [0.3, 0.4, 0.5 + np.pi]])  # turned about c by half a turn
    nearest = np.array([[1], [0]])
    about_c = (5.0, 6.0, 7.0, 90.0, 90.0, 100.0)
    assert not disputed(euler, nearest, 1.0 * DEG, 3, about_c).any()
    assert disputed(euler, nearest, 1.0 * DEG, 3, (5.0, 6.0, 7.0, 90.0, 100.0, 90.0)).all()


def test_what_ends_beyond_orient_tol_of_a_neighbour_is_not_accepted(case: Case) -> None:
    row = np.flatnonzero(case.inner)[:1]
    tight = SearchSettings(fit=FitSettings(tolerance_rad=0.01 * DEG))
    seeds = matrix_of_quaternion(random_seeds(2, GROUP, 8))
    before = search(case.vertices[row], seeds, case.setup, case.lit, tight)
    start = euler_of_matrix(turned(case.u[row], np.array([0.05, 0.05, 0.05]) * DEG))
    got = from_neighbours(case.vertices[row], before, start[None], case.setup, case.lit, tight)
    angle = misorientation(
        quaternion_of_matrix(matrix_of_euler(got.euler_rad[:, 0])),
        quaternion_of_matrix(matrix_of_euler(start)), GROUP,
    )  # fmt: skip
    assert got.seed[0] != -1 or angle[0] <= 0.0101 * DEG
