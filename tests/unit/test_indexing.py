"""Indexing piece by piece: values by hand, and every refusal's words."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from refimpl.crystal.reduction import basis_of_cell, cell_of_basis, point_rotations, space_group
from refimpl.dispatch import available_backends, use_backend
from refimpl.errors import ConfigError, ConvergenceError, FormatError, GeometryError
from refimpl.io.reflection_table import INDEXED, STRONG, ReflectionTable
from refimpl.metrology.indexing import IndexSettings, index, refine_rigid
from refimpl.metrology.indexing.assign import assign_global, assign_local
from refimpl.metrology.indexing.candidates import KnownSymmetry, reduced_cells, triples
from refimpl.metrology.indexing.cosine_sums import cosine_of_turns, cosine_sums
from refimpl.metrology.indexing.fft1d import projection_vectors
from refimpl.metrology.indexing.fft3d import fourier_resolution, fourier_vectors
from refimpl.metrology.indexing.max_cell import longest_cell
from refimpl.metrology.indexing.orientations import misorientation
from refimpl.metrology.indexing.rigid_fit import _moved, fit_rigid, inliers
from refimpl.metrology.indexing.rigid_model import RigidModel, crystal_steps, jacobian, residuals
from refimpl.metrology.indexing.spots import mapped, spots_of_table
from refimpl.metrology.indexing.vectors import (
    distinct_vectors,
    hemisphere,
    refined_vectors,
    without_multiples,
)
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import lattice_spots, small_experiment

TURN = expmap(np.array([0.4, -1.1, 0.7]))
BASIS = basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0)) @ TURN
QUICK = IndexSettings(n_grid=96, macro_cycles=2)


@pytest.fixture(scope="module")
def spots():
    return lattice_spots(BASIS, most=600)


@pytest.fixture(scope="module")
def result(spots):
    return index((spots.experiment,), spots.table, QUICK)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"method": "dps"}, "method 'dps' is not known: expected one of fft3d, fft1d, grid_search"),
        ({"assignment": "x"}, "assignment 'x' is not known: expected one of global, local"),
        ({"space_group": "P 7"}, "space group 'P 7' is not known"),
        ({"unit_cell": (1.0, 2.0)}, "unit cell has 2 numbers"),
        ({"method": "grid_search"}, "'grid_search' looks for a known cell: give unit_cell"),
        ({"hkl_tolerance": 0.0}, "hkl_tolerance = 0.0: expected a positive number"),
        ({"max_cell_angstrom": -1.0}, "max_cell_angstrom = -1.0: expected a positive number"),
        ({"macro_cycles": 0}, "macro_cycles = 0: expected at least 1"),
        ({"n_grid": 8}, "n_grid = 8: expected at least 32"),
        ({"max_lattices": 0}, "max_lattices = 0: expected at least 1"),
        ({"max_lattices": 2, "assignment": "local"}, "assignment 'local' takes one lattice: got"),
    ],
)
def test_settings_that_cannot_be_meant(wrong, words):
    with pytest.raises(ConfigError, match=words):
        IndexSettings(**wrong)


def test_a_cell_without_the_symmetry_is_refused():
    settings = IndexSettings(space_group="P 4", unit_cell=(58.0, 61.0, 150.0, 90.0, 90.0, 90.0))
    with pytest.raises(ConfigError, match=r"61\.00 .* does not have the symmetry of 'P 4'"):
        KnownSymmetry(settings)


def test_an_unusual_setting_needs_the_cell():
    with pytest.raises(ConfigError, match="'I 1 2 1' is not in the standard setting"):
        KnownSymmetry(IndexSettings(space_group="I 1 2 1"))
    known = IndexSettings(space_group="I 1 2 1", unit_cell=(60.0, 50.0, 70.0, 90.0, 95.0, 90.0))
    assert KnownSymmetry(known).longest_edge == pytest.approx(60.0, rel=0.1)


# --- vectors --------------------------------------------------------------------------------------


def test_cosine_of_turns_is_the_cosine():
    turns = np.linspace(-3.0, 3.0, 1001)
    # 3e-11: the series' next term
    np.testing.assert_allclose(cosine_of_turns(turns), np.cos(2.0 * np.pi * turns), atol=3e-11)
    assert cosine_of_turns(np.array([0.0, 7.0])).tolist() == [1.0, 1.0]
    assert np.isnan(cosine_of_turns(np.array([np.nan]))).all()


def test_cosine_sums_by_hand():
    points = np.array([[0.1, 0.0, 0.0], [0.2, 0.0, 0.0], [0.0, 0.25, 0.0]])
    vectors = np.array([[10.0, 4.0, 0.0], [5.0, 0.0, 9.0]])
    np.testing.assert_allclose(cosine_sums(points, vectors), [3.0, 1.0], atol=1e-9)


def test_a_hemisphere_is_covered_evenly():
    directions = hemisphere(0.05)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, rtol=1e-14)
    assert directions[:, 2].min() > -1e-12
    assert len(directions) == pytest.approx(2.0 * np.pi / 0.05**2, rel=0.05)
    some = np.random.default_rng(0).normal(size=(500, 3))
    some /= np.linalg.norm(some, axis=1)[:, None]
    nearest = np.abs(some @ directions.T).max(axis=1)
    assert np.arccos(nearest).max() < 0.05  # [rad]: the step
    assert 7000 < len(hemisphere(0.029)) < 8000


def test_alike_vectors_are_one():
    vectors = np.array([[10.0, 0.0, 0.0], [-10.5, 0.3, 0.0], [0.0, 10.0, 0.0], [11.5, 0.0, 0.0]])
    heads, weights = distinct_vectors(vectors, np.array([1.0, 3.0, 2.0, 0.5]), 9)
    assert heads.tolist() == [vectors[1].tolist(), vectors[2].tolist()]
    assert weights.tolist() == [3.0, 2.0]
    assert len(distinct_vectors(vectors, np.array([1.0, 3.0, 2.0, 0.5]), 1)[0]) == 1


def test_multiples_of_shorter_heavier_vectors_go():
    vectors = np.array([[20.1, 0.0, 0.0], [10.0, 0.0, 0.0], [0.0, 15.0, 0.0], [0.0, 30.0, 0.0]])
    kept, _ = without_multiples(vectors, np.array([2.0, 3.0, 1.0, 4.0]))
    # 30 is twice 15, which weighs less: it stays
    assert kept.tolist() == [[0.0, 30.0, 0.0], [10.0, 0.0, 0.0], [0.0, 15.0, 0.0]]


def test_vectors_are_refined_to_the_lattice():
    rng = np.random.default_rng(1)
    points = rng.integers(-12, 13, (800, 3)) @ np.linalg.inv(BASIS).T
    points += rng.normal(0.0, 1e-4, points.shape)
    off = BASIS * 1.01 + 0.2
    better = refined_vectors(points, off, 0.02)
    assert np.abs(better - BASIS).max() < 0.02  # [Å]: 1e-4/Å over 0.2/Å, of 60 Å
    np.testing.assert_array_equal(refined_vectors(points[:5], off, 0.02), off)


def test_the_longest_cell_is_told_from_neighbours():
    grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), axis=-1).reshape(-1, 3)
    points = grid @ np.diag([1.0 / 40.0, 1.0 / 50.0, 1.0 / 70.0])
    points += np.random.default_rng(0).normal(0.0, 1e-5, points.shape)
    found = longest_cell(points, np.zeros(len(points)), np.zeros(len(points), dtype=bool))
    assert found == pytest.approx(1.3 * 70.0, rel=0.01)  # neighbours along the densest rows
    with pytest.raises(ConvergenceError, match=r"cannot be told from 9 neighbouring spots"):
        longest_cell(points[:10], None, np.zeros(10, dtype=bool))


def test_no_lattice_in_noise():
    points = np.random.default_rng(3).normal(0.0, 0.1, (500, 3))
    with pytest.raises(ConvergenceError, match=r"no lattice found: the Fourier transform of 500"):
        fourier_vectors(points, fourier_resolution(60.0, 64), 60.0, IndexSettings(n_grid=64))
    narrow = IndexSettings(min_cell_angstrom=59.99)
    with pytest.raises(ConvergenceError, match=r"no lattice found: 500 spots bunch along"):
        projection_vectors(points, 60.0, narrow)


def test_peaks_across_the_border_are_one():
    # a cell edge of half the transform's period peaks on its border
    settings = IndexSettings(n_grid=64)
    d_min = 2.0
    edge = 0.5 * settings.n_grid * d_min / 2.0
    grid = np.stack(np.meshgrid(*[np.arange(-15, 16)] * 3), axis=-1).reshape(-1, 3)
    found = fourier_vectors(grid / edge, d_min, edge, settings)
    np.testing.assert_allclose(np.sort(np.linalg.norm(found[:3], axis=1)), edge, rtol=0.05)


# --- cells ----------------------------------------------------------------------------------------


def test_triples_are_right_handed_and_in_order():
    vectors = np.array([[10.0, 0, 0], [0, 11.0, 0], [0, 0, -12.0], [10.0, 1.0, 0]])
    found = np.concatenate(list(triples(vectors)))
    assert (np.linalg.det(found) > 0.0).all()
    assert np.linalg.det(found[0]) == pytest.approx(1320.0)
    assert len(found) == 2  # vectors 0 and 3 are within 20 degrees
    assert sum(len(block) for block in triples(vectors, (0.0, 100.0))) == 0
    assert list(triples(vectors[:2])) == []


def test_each_lattice_comes_once():
    vectors = np.concatenate([BASIS, BASIS[:2] + BASIS[1:], [BASIS.sum(axis=0)]])
    cells = [cell_of_basis(b) for b in reduced_cells(vectors, 3.0, 200.0)]
    assert cells[0] == pytest.approx((38.0, 47.0, 61.0, 82.0, 85.0, 76.0))
    volumes = [np.prod(c[:3]) for c in cells]
    assert len(set(np.round(volumes, 3))) == len(volumes)
    assert list(reduced_cells(vectors, 3.0, 50.0)) == []


@pytest.mark.parametrize("longest", [39.67, 42.27])
def test_the_unique_axis_is_the_one_that_fits(longest):
    # a nearly cubic cell: each axis is within 10 % of each other one
    other = 42.27 if longest == 39.67 else 39.67
    cell = (other, other, longest, 90.0, 90.0, 90.0)
    known = KnownSymmetry(IndexSettings(space_group="P 4", unit_cell=cell))
    rng = np.random.default_rng(8)
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        basis = (basis_of_cell(cell) @ TURN)[order]
        found = known.match(basis * (1.0 + 1e-3 * rng.normal(size=(3, 3))))
        assert found is not None
        assert found.cell == pytest.approx(cell, rel=0.005)
        assert found.hall == " P 4"
    assert known.match(basis_of_cell((42.3, 48.0, 39.7, 90.0, 90.0, 90.0))) is None


# --- indices --------------------------------------------------------------------------------------


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


# --- the quick fit --------------------------------------------------------------------------------


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


# --- all of it ------------------------------------------------------------------------------------


def test_the_result_tells_everything(spots, result):
    said = []
    again = index(
        (spots.experiment,), spots.table, QUICK, lambda text, part: said.append((text, part))
    )
    assert [p for _, p in said] == sorted(p for _, p in said)
    assert said[0] == ("mapping spots to reciprocal space", 0.0)
    table = result.table
    assert result.n_indexed == int(table.has_flags(INDEXED).sum()) > 560
    assert table.has_flags(STRONG).all()
    good = table["id"] == 0
    assert (table["id"][~good] == -1).all()
    assert not table["miller_index"][~good].any()
    assert table.identifiers == {0: result.experiments[0].identifier}
    assert {"rlp", "s1", "entering", "xyzobs.mm.value", "imageset_id"} <= set(table.columns)
    crystal = result.experiments[0].crystal
    assert (
        np.abs(table["rlp"][good] @ np.linalg.inv(crystal.A).T - table["miller_index"][good]).max()
        < 0.3
    )
    assert [r.symbol for r in result.searches[0].lattices] == ["aP"]
    assert len(result.cycles) == 2
    assert result.cycles[0].d_min_angstrom > result.cycles[1].d_min_angstrom
    text = result.text()
    assert text.endswith(f"{result.n_indexed} of {len(table)} spots indexed\n")
    assert re.match(r" (37\.8|37\.9|38\.0)\d +46\.\d\d", text.splitlines()[3])
    assert again.text() == text
    assert again.experiments[0].identifier == result.experiments[0].identifier


def test_the_refinement_can_be_handed_in(spots):
    calls = []

    def counted(experiments, table):
        calls.append(len(table))
        return refine_rigid(experiments, table)

    result = index((spots.experiment,), spots.table, QUICK, refine_model=counted)
    assert len(calls) == 2
    assert calls[-1] == result.cycles[-1].n_indexed


def test_millimetres_are_taken_as_they_are(spots):
    _, table = spots_of_table((spots.experiment,), spots.table)
    only_mm = table.without("xyzobs.px.value", "xyzobs.px.variance", "flags", "id")
    result = index((spots.experiment,), only_mm, QUICK)
    assert result.n_indexed > 560


def test_local_assignment_and_a_known_cell(spots):
    cell = (38.2, 47.2, 61.0, 82.0, 95.0, 104.0)
    settings = replace(QUICK, unit_cell=cell, assignment="local", method="fft1d")
    result = index((spots.experiment,), spots.table, settings)
    assert result.n_indexed > 540
    assert result.cell == pytest.approx(cell, rel=0.01)
    assert result.searches[0].lattices == ()


def test_the_most_symmetric_lattice_on_request():
    basis = basis_of_cell((58.0, 58.0, 90.0, 90.0, 90.0, 90.0)) @ TURN
    data = lattice_spots(basis, "P 4", most=600)
    settings = replace(QUICK, choose_lattice=True, max_delta_deg=1.0)
    result = index((data.experiment,), data.table, settings)
    assert result.searches[0].lattices[0].symbol == "tP"
    assert result.cell == pytest.approx((58.0, 58.0, 90.0, 90.0, 90.0, 90.0), rel=1e-3)
    assert result.experiments[0].crystal.hall == " P 4"
    assert len(result.cycles) == 3


# --- several crystals, several scans --------------------------------------------------------------

OTHER = BASIS @ expmap(np.array([-0.6, 0.3, 0.5]))


def joined(*parts):
    """Spots of several simulations in one table, mixed; ids say which."""
    names = ("panel", "xyzobs.px.value", "xyzobs.px.variance", "flags")
    columns = {n: np.concatenate([p.table[n] for p in parts]) for n in names}
    columns["id"] = np.repeat(np.arange(len(parts), dtype=np.int32), [len(p.hkl) for p in parts])
    mixed = np.random.default_rng(5).permutation(len(columns["id"]))
    return ReflectionTable(columns).select(mixed), columns["id"][mixed]


def turned(experiment, degrees):
    """Second scan of the same detector: elsewhere on the spindle, on a turned goniometer."""
    gonio = replace(
        experiment.goniometer,
        fixed=expmap(np.array([0.2, 0.9, -0.1])),
        setting=expmap(np.array([0.0, 0.3, 0.4])),
    )
    scan = replace(experiment.scan, oscillation_deg=(degrees, 0.5))
    return replace(experiment, goniometer=gonio, scan=scan)


def same_lattice(result, number, basis):
    change = np.asarray(result.experiments[number].crystal.real_space) @ np.linalg.inv(basis)
    # 0.01: 0.2 px of errors, beam and detector free to move along
    return np.abs(change - np.rint(change)).max() < 0.01


@pytest.mark.parametrize("refine_model", [None, refine_rigid])
def test_two_crystals_in_one_scan(refine_model):
    one, two = lattice_spots(BASIS, most=700), lattice_spots(OTHER, most=450, seed=1)
    table, truth = joined(one, two)
    settings = replace(QUICK, max_lattices=3, unit_cell=cell_of_basis(BASIS))
    result = index((one.experiment,), table.without("id"), settings, refine_model=refine_model)
    assert len(result.experiments) == 2
    assert same_lattice(result, 0, BASIS)
    assert same_lattice(result, 1, OTHER)
    assert result.experiments[0].detector is result.experiments[1].detector
    assert result.experiments[0].identifier != result.experiments[1].identifier
    # a tenth of the spots of one lie on points of the other, as near as on their own
    assert (result.table["id"] == truth).mean() > 0.93
    assert result.n_indexed == sum(result.per_experiment) > 1130
    assert result.searches[0].n_spots == 1150
    assert 380 < result.searches[1].n_spots < 450
    (note,) = result.notes
    assert re.match(r"no crystal 3: \d+ of 1150 spots are left, fewer than 10 % or 20$", note)
    text = result.text()
    assert text.startswith("crystal 1: 1150 spots of scan 0\nmax cell ")
    assert note in text
    assert re.search(r"\nexperiment 1: 4\d\d spots indexed, cell ", text)


def test_a_crystal_is_not_found_twice():
    near = BASIS @ expmap(np.array([0.01, 0.02, 0.03]))  # 2.14 degrees
    table, _ = joined(lattice_spots(BASIS, most=700), lattice_spots(near, most=500, seed=1))
    experiment = small_experiment()
    settings = replace(QUICK, max_lattices=2, unit_cell=cell_of_basis(BASIS), hkl_tolerance=0.2)
    result = index((experiment,), table, settings, refine_model=refine_rigid)
    assert len(result.experiments) == 1
    words = (
        r"no crystal 2: the best cell among the spots left is crystal 1 turned by (1\.9|2\.\d)\d "
        r"degrees, less than min_separation_deg = 5$"
    )
    assert re.match(words, result.notes[0])
    both = replace(settings, min_separation_deg=1.0)
    result = index((experiment,), table, both, refine_model=refine_rigid)
    assert len(result.experiments) == 2


def test_a_crystal_that_does_not_hold_is_not_taken():
    table, _ = joined(lattice_spots(BASIS, most=700), lattice_spots(OTHER, most=400, seed=1))
    settings = replace(QUICK, max_lattices=2, unit_cell=cell_of_basis(BASIS))

    def greedy(experiments, table):
        """Once there are two crystals, the second follows the first."""
        done = refine_rigid(experiments[:1], table.select(table["id"] == 0))
        first = done.experiments[0]
        wide = replace(first.crystal, extra={})
        return replace(done, experiments=(first, replace(first, crystal=wide))[: len(experiments)])

    result = index((small_experiment(),), table, settings, refine_model=greedy)
    assert len(result.experiments) == 1
    words = (
        r"no crystal 2: after refinement it has \d+ of the 3\d\d spots that were left, expected at"
    )
    assert re.match(words, result.notes[0])


def test_misorientation_by_hand():
    cube = 50.0 * np.eye(3)
    turn = expmap(np.array([0.0, 0.0, np.pi / 2.0 - 0.1]))
    assert misorientation(cube, cube @ turn) == pytest.approx(0.1)
    assert misorientation(BASIS, BASIS @ turn) == pytest.approx(np.pi / 2.0 - 0.1)
    assert misorientation(BASIS, 1.2 * BASIS) == np.inf


@pytest.mark.parametrize("refine_model", [None, refine_rigid])
def test_two_scans_of_one_crystal(refine_model):
    one = lattice_spots(BASIS, most=250)
    second = turned(one.experiment, 75.0)
    two = lattice_spots(BASIS, most=350, seed=1, experiment=second)
    table, truth = joined(one, two)
    scans = (replace(one.experiment, identifier="first"), second)
    found = [
        index(scans, table, QUICK, refine_model=refine_model, threads=threads) for threads in (1, 2)
    ]
    result = found[0]
    assert result.experiments[0].crystal is result.experiments[1].crystal
    assert result.experiments[0].detector is result.experiments[1].detector
    assert result.experiments[0].identifier == "first"
    assert same_lattice(result, 0, BASIS)
    assert result.n_indexed > 590
    good = result.table["id"] >= 0
    assert (result.table["id"][good] == truth[good]).all()
    assert (result.table["imageset_id"] == truth).all()
    assert found[1].text() == result.text()
    assert (found[1].table["miller_index"] == result.table["miller_index"]).all()


def test_scans_of_one_crystal_each():
    one = lattice_spots(BASIS, most=400)
    second = turned(one.experiment, 75.0)
    two = lattice_spots(OTHER, most=500, seed=1, experiment=second)
    table, truth = joined(one, two)
    scans = (one.experiment, second)
    settings = replace(QUICK, joint=False)
    result = index(scans, table, settings, refine_model=refine_rigid)
    assert same_lattice(result, 0, BASIS)
    assert same_lattice(result, 1, OTHER)
    good = result.table["id"] >= 0
    assert good.mean() > 0.99
    assert (result.table["id"][good] == truth[good]).all()
    assert (result.table["xyzobs.px.value"] == table["xyzobs.px.value"]).all()
    few = table.select(np.flatnonzero((truth == 0) | (np.arange(900) < 20)))
    result = index(scans, few, settings, refine_model=refine_rigid)
    assert len(result.experiments) == 1
    n = int((few["id"] == 1).sum())
    assert (result.table["id"][few["id"] == 1] == -1).all()
    assert len(result.table) == len(few)
    assert result.notes == (f"experiment 1: {n} spots: indexing needs at least 20",)
    with pytest.raises(ConvergenceError, match=r"^no lattice found in any of 2 experiments; "):
        index(scans, few.select(np.arange(30)), settings)


# --- refusals -------------------------------------------------------------------------------------


def _with(table, **columns):
    return table.with_columns({k.replace("_", "."): v for k, v in columns.items()})


def test_too_few_spots(spots):
    with pytest.raises(FormatError, match=r"^12 spots: indexing needs at least 20$"):
        index((spots.experiment,), spots.table.select(np.arange(12)))
    with pytest.raises(ConfigError, match=r"edge 2\.50 Å is not above min_cell_angstrom = 3"):
        index((spots.experiment,), spots.table, replace(QUICK, max_cell_angstrom=2.5))
    with pytest.raises(FormatError, match=r"of 600 spots are within 40\.00 Å: indexing needs"):
        index((spots.experiment,), spots.table, replace(QUICK, d_min_angstrom=40.0))


def test_experiments_and_spots_that_do_not_belong(spots):
    with pytest.raises(ConfigError, match=r"^no experiment: indexing needs at least one$"):
        index((), spots.table)
    two = (spots.experiment, spots.experiment)
    with pytest.raises(FormatError, match=r"^2 experiments: the spots need a column imageset_id"):
        index(two, spots.table.without("id"))
    wrong = spots.table.with_columns(id=np.arange(600) // 250)
    with pytest.raises(FormatError, match=r"^id of spot 500 is 2: there are 2 experiments, from 0"):
        index(two, wrong)
    still = replace(spots.experiment, goniometer=None, scan=None)
    with pytest.raises(ConfigError, match=r"^experiment 1 is a still and 0 is not: index them ap"):
        index((spots.experiment, still), spots.table)


def test_what_an_experiment_needs(spots):
    bare = replace(spots.experiment, detector=None)
    with pytest.raises(GeometryError, match="an experiment with a beam and a detector"):
        index((bare,), spots.table)
    dark = replace(spots.experiment, beam=None)
    with pytest.raises(GeometryError, match="an experiment with a beam and a detector"):
        index((dark,), spots.table)


def test_a_table_of_another_detector(spots):
    table = spots.table.with_columns(panel=np.full(len(spots.table), 17, dtype=np.uint64))
    with pytest.raises(GeometryError, match=r"17"):
        index((spots.experiment,), table)


def test_broken_columns(spots):
    _, table = spots_of_table((spots.experiment,), spots.table)
    with pytest.raises(FormatError, match=r"missing column.* panel"):
        index((spots.experiment,), table.without("panel"))
    with pytest.raises(FormatError, match=r"missing column.* xyzobs\.px\.value"):
        index((spots.experiment,), spots.table.without("xyzobs.px.value"))
    variance = table["xyzobs.mm.variance"].copy()
    variance[3, 1] = -1.0
    with pytest.raises(FormatError, match=r"variance of spot 3 .*: expected positive numbers"):
        index((spots.experiment,), _with(table, xyzobs_mm_variance=variance))
    value = table["xyzobs.mm.value"].copy()
    value[5, 0] = np.nan
    with pytest.raises(FormatError, match=r"value of spot 5 .*: expected finite numbers"):
        index((spots.experiment,), _with(table, xyzobs_mm_value=value))


def test_a_cell_that_does_not_match_is_told_what_is_there(spots):
    settings = replace(QUICK, unit_cell=(80.0, 80.0, 80.0, 90.0, 90.0, 90.0), space_group="P 2 3")
    words = (
        r"no lattice matches unit cell 80\.00 80\.00 80\.00 90\.00 90\.00 90\.00 and space group "
        r"P 2 3 within 10 % and 5 degrees; reduced cells found: "
        r"(37\.[5-9]|38\.[0-4])\d 4[67]\.\d\d 6\d\.\d\d .* \(\d+ % of the spots\)"
    )
    with pytest.raises(ConvergenceError, match=words):
        index((spots.experiment,), spots.table, settings)


def test_a_lattice_that_indexes_too_little(spots):
    settings = replace(QUICK, min_indexed_fraction=1.1)
    words = r"no lattice found: the best of \d+ cells, .* indexes \d+ % of the spots, expected at"
    with pytest.raises(ConvergenceError, match=words):
        index((spots.experiment,), spots.table, settings)


def test_noise_is_no_lattice(spots):
    rng = np.random.default_rng(1)
    pixels = rng.uniform(size=(400, 3)) * [700.0, 1400.0, 60.0]
    table = ReflectionTable(
        {
            "panel": rng.integers(0, 2, 400).astype(np.uint64),
            "xyzobs.px.value": pixels,
            "xyzobs.px.variance": np.full((400, 3), 0.04),
        }
    )
    with pytest.raises(ConvergenceError, match="no lattice"):
        index((spots.experiment,), table, replace(QUICK, max_cell_angstrom=80.0))


@pytest.mark.parametrize("how", ["stretched", "nonsense"])
def test_a_refinement_that_loses_the_lattice(spots, how):
    def lost(experiments, table):
        if how == "nonsense":
            raise GeometryError("cell vectors nan")
        done = refine_rigid(experiments, table)
        crystal = done.experiments[0].crystal
        far = replace(done.experiments[0], crystal=crystal.with_A(0.5 * crystal.A))
        return replace(done, experiments=(far,))

    with pytest.raises(ConvergenceError, match=r"the refinement lost the lattice: cell \d\d\.\d\d"):
        index((spots.experiment,), spots.table, QUICK, refine_model=lost)


def test_the_quick_refinement_needs_spots(result):
    few = result.table.select(np.flatnonzero(result.table["id"] == 0)[:10])
    with pytest.raises(ConvergenceError, match="of 10 indexed spots failed: fewer than 20"):
        refine_rigid(result.experiments, few)


def test_the_definitions_give_the_same(spots):
    cell = (38.0, 47.0, 61.0, 82.0, 95.0, 104.0)
    settings = replace(QUICK, unit_cell=cell, method="grid_search", direction_step_rad=0.05)
    found = []
    for backend in available_backends():
        with use_backend(backend):
            result = index((spots.experiment,), spots.table, settings, refine_model=refine_rigid)
        found.append(result.table["miller_index"])
    assert (found[0] == found[-1]).all()
    assert (found[0] != 0).any(axis=1).sum() > 560


def test_a_still_is_indexed():
    data = lattice_spots(BASIS, most=4000, degrees=0.5, d_min=1.6, error_px=0.05)
    still = replace(data.experiment, goniometer=None, scan=None)
    turn = expmap(np.array([1.0, 0.0, 0.0]) * float(data.experiment.scan.phi_of_frame(0.5)))
    settings = replace(
        QUICK, unit_cell=cell_of_basis(BASIS), method="grid_search", d_min_angstrom=1.6
    )
    result = index((still,), data.table, settings, refine_model=refine_rigid)
    assert result.n_indexed > 0.8 * len(data.table)
    assert result.cell == pytest.approx(cell_of_basis(BASIS), rel=0.01)
    assert not result.table["entering"].any()
    # of several stills each has a crystal of its own
    two = data.table.with_columns(id=(np.arange(len(data.table)) < 10).astype(np.int32))
    pair = index((still, still), two, settings, refine_model=refine_rigid)
    assert len(pair.experiments) == 1
    assert pair.notes == ("experiment 1: 10 spots: indexing needs at least 20",)
    hkl = mapped((still,), spots_of_table((still,), data.table)[0])[0] @ (BASIS @ turn.T).T
    assert len(hkl) == len(data.table)
