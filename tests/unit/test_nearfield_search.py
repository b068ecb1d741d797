"""Orientations of near-field voxels from seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nearfield_case import GROUP, PLAIN, Case, of_rings

from refimpl.crystal.misorientation import misorientation
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.io.grains_csv import read_grains
from refimpl.io.nearfield_params import read_nearfield_params
from refimpl.nearfield.compare import boundary_distance
from refimpl.nearfield.config import config_of_params, setup_of
from refimpl.nearfield.example import write_example
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings, settings_of
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.outputs import read_map
from refimpl.nearfield.refine import turned
from refimpl.nearfield.search import search
from refimpl.nearfield.seeds import random_seeds, seeds_of_grains
from refimpl.nearfield.solutions import save_distinct
from refimpl.objective.overlap import confidence
from refimpl.rotations import matrix_of_euler, matrix_of_quaternion, quaternion_of_matrix
from refimpl.units import DEG


def test_seeds_that_are_off_lead_to_the_grains(case: Case, found: NearfieldMap) -> None:
    assert len(found) == len(case.voxels)
    error = case.errors_deg(found.euler_rad)
    assert (error[case.inner] < 0.1).all()  # degrees; the seeds are off by up to 0.3
    assert (found.confidence[case.inner] > 0.95).all()
    np.testing.assert_array_equal(found.seed[case.inner], case.grain[case.inner])
    again = confidence(case.vertices, found.matrices, case.setup, case.lit)
    np.testing.assert_array_equal(again.confidence, found.confidence)
    np.testing.assert_array_equal(again.by_distance, found.by_distance)
    assert (found.by_distance >= found.confidence[:, None]).all()
    assert (found.evaluations > len(case.seeds)).all()


def test_a_seed_too_far_for_a_sharp_stack_is_followed_down(case: Case) -> None:
    rows = np.flatnonzero(case.inner & (case.grain == 0))[:4]
    far = turned(matrix_of_quaternion(case.grains[:1]), np.array([0.3, -0.3, 0.2]) * DEG)
    plain = SearchSettings(fit=FitSettings(reach_starts=0, scatter_starts=0))
    a = search(case.vertices[rows], far, case.setup, case.lit, plain)
    b = search(case.vertices[rows], far, case.setup, case.lit, PLAIN)
    assert (b.confidence[:, 0] >= a.confidence[:, 0]).all()
    assert (case.errors_deg(b.euler_rad[:, 0], rows) < 0.1).all()


def test_what_ends_beyond_orient_tol_is_not_accepted(case: Case) -> None:
    rows = np.flatnonzero(case.inner)[:8]
    tight = SearchSettings(fit=FitSettings(tolerance_rad=0.02 * DEG))
    got = search(case.vertices[rows], case.seed_matrices, case.setup, case.lit, tight)
    own = quaternion_of_matrix(case.seed_matrices[got.seed])
    angle = misorientation(quaternion_of_matrix(matrix_of_euler(got.euler_rad[:, 0])), own, GROUP)
    # the middle of the plateau may lie centre_radius_rad beyond, 0.05 degrees
    assert (angle <= 0.0701 * DEG).all()


def test_rings_that_are_not_used_do_not_count(case: Case) -> None:
    rows = np.flatnonzero(case.inner)[:4]
    few = of_rings(case.setup, (2, 3))
    a = confidence(case.vertices[rows], case.u[rows], few, case.lit)
    b = confidence(case.vertices[rows], case.u[rows], case.setup, case.lit)
    assert (a.total < 0.5 * b.total).all()
    got = search(case.vertices[rows], case.seed_matrices, few, case.lit, PLAIN)
    assert (case.errors_deg(got.euler_rad[:, 0], rows) < 0.25).all()


def test_the_published_fit_takes_the_last_of_equals(case: Case) -> None:
    rows = np.flatnonzero(case.inner)[:2]
    seeds = case.seed_matrices[case.grain[rows[0]]][None].repeat(2, axis=0)
    old = SearchSettings(n_saved=2, fit=FitSettings.published())
    got = search(case.vertices[rows[:1]], seeds, case.setup, case.lit, old)
    assert got.seed.tolist() == [1]
    new = search(case.vertices[rows[:1]], seeds, case.setup, case.lit, PLAIN)
    assert new.seed.tolist() == [0]
    assert new.confidence[0, 0] >= got.confidence[0, 0]


def test_fault_13_a_better_near_duplicate_replaces_a_saved_solution() -> None:
    u = matrix_of_quaternion(random_seeds(2, GROUP, 0))
    near = turned(u[:1], np.array([0.0, 0.0, 0.3 * DEG]))
    all_of = np.concatenate([u[:1], near, u[1:]])
    assert save_distinct(all_of, np.array([0.5, 0.9, 0.7]), 3, DEG, GROUP) == [1, 2]
    assert save_distinct(all_of, np.array([0.5, 0.5, 0.7]), 3, DEG, GROUP) == [2, 0]
    assert save_distinct(all_of, np.array([0.5, 0.9, 0.7]), 1, DEG, GROUP) == [1]
    assert save_distinct(all_of, np.array([0.5, 0.9, 0.7]), 3, 0.0, GROUP) == [1, 2, 0]


def test_far_field_seeds_are_found_at_boundaries(tmp_path: Path) -> None:
    """Seeds 0.3 degrees off show less on the coarse level than a neighbour's on the sharp one."""
    files = write_example(tmp_path)
    config = config_of_params(read_nearfield_params(files.parameters))
    setup = setup_of(config)
    truth = read_map(files.truth, space_group=225)
    pixels = simulate_stack(setup, truth.voxels, truth.matrices).pixels()
    shape = (2, setup.scan.n_frames, *setup.detector.shape_px)
    lit = LitPixels.from_hits(pixels, shape)
    rows = boundary_distance(truth, 1.0 * DEG) < 0.004
    seeds = matrix_of_quaternion(seeds_of_grains(read_grains(files.grains)))
    vertices = truth.voxels.vertices()[rows]
    got = search(vertices, seeds, setup, lit, settings_of(config.search))
    # the truth has 1.0; published accuracy of such seeds: 0.962
    assert (got.confidence[:, 0] > 0.99).mean() > 0.97
    angle = misorientation(
        quaternion_of_matrix(matrix_of_euler(got.euler_rad[:, 0])), truth.quaternions[rows], GROUP
    )
    assert (angle < 0.25 * DEG).mean() > 0.97
