"""Lattice vectors and cells from spots, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.reduction import basis_of_cell, cell_of_basis
from refimpl.errors import ConvergenceError
from refimpl.metrology.indexing import IndexSettings
from refimpl.metrology.indexing.candidates import KnownSymmetry, reduced_cells, triples
from refimpl.metrology.indexing.cosine_sums import cosine_of_turns, cosine_sums
from refimpl.metrology.indexing.fft1d import projection_vectors
from refimpl.metrology.indexing.fft3d import fourier_resolution, fourier_vectors
from refimpl.metrology.indexing.max_cell import longest_cell
from refimpl.metrology.indexing.vectors import (
    distinct_vectors,
    hemisphere,
    refined_vectors,
    without_multiples,
)
from refimpl.rotations import expmap

TURN = expmap(np.array([0.4, -1.1, 0.7]))
BASIS = basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0)) @ TURN


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
