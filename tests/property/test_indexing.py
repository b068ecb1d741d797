"""Any crystal in any orientation is found, by every method."""

from __future__ import annotations

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from refimpl.crystal.reduction import (
    basis_of_cell,
    cell_of_basis,
    niggli_basis,
    point_rotations,
    primitive_basis,
    space_group,
    symmetrised_basis,
    unimodular_changes,
)
from refimpl.metrology.indexing import IndexSettings, index, refine_rigid
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import lattice_spots

CELLS = {
    "P 1": lambda a, b, c, t: (a, b, c, 85.0 + t, 95.0 - t, 100.0 + t),
    "P 21": lambda a, b, c, t: (a, b, c, 90.0, 97.0 + t, 90.0),
    "C 1 2 1": lambda a, b, c, t: (1.6 * a, b, c, 90.0, 100.0 + t, 90.0),
    "P 21 21 21": lambda a, b, c, t: (a, b, c, 90.0, 90.0, 90.0),
    "P 41 21 2": lambda a, b, c, t: (a, a, 1.5 * c, 90.0, 90.0, 90.0),
    "R 3": lambda a, b, c, t: (a, a, 1.7 * c, 90.0, 90.0, 120.0),
    "I 2 3": lambda a, b, c, t: (1.3 * a, 1.3 * a, 1.3 * a, 90.0, 90.0, 90.0),
}

NO_SHRINKING = (Phase.explicit, Phase.generate)  # half a second each: a failure is told at once


@st.composite
def crystals(draw):
    group = draw(st.sampled_from(sorted(CELLS)))
    a, b, c = draw(st.floats(34.0, 44.0)), draw(st.floats(46.0, 56.0)), draw(st.floats(60.0, 72.0))
    cell = CELLS[group](a, b, c, draw(st.floats(-3.0, 3.0)))
    turn = [draw(st.floats(-3.0, 3.0)) for _ in range(3)]
    return group, cell, basis_of_cell(cell) @ expmap(np.array(turn))


def _same_lattice(one, other, group):
    """Largest difference [Å] of one basis from the nearest equal description of the other."""
    change = primitive_basis(one, group) @ np.linalg.inv(primitive_basis(other, group))
    whole = np.rint(change)
    assert abs(np.linalg.det(whole)) == 1.0
    return np.abs(primitive_basis(one, group) - whole @ primitive_basis(other, group)).max()


@settings(max_examples=8, phases=NO_SHRINKING)
@given(crystals(), st.sampled_from(["fft3d", "fft1d", "grid_search"]), st.integers(0, 99))
def test_a_crystal_of_known_symmetry_is_found(crystal, method, seed):
    group, cell, basis = crystal
    data = lattice_spots(basis, group, most=700, error_px=0.2, noise=60, seed=seed)
    known = tuple(np.array(cell) * [1.02, 1.02, 1.02, 1.0, 1.0, 1.0])
    chosen = IndexSettings(
        method=method, space_group=group, unit_cell=known, n_grid=96, macro_cycles=2
    )
    result = index((data.experiment,), data.table, chosen, refine_model=refine_rigid)
    real = np.asarray(result.experiments[0].crystal.real_space)
    # 0.15 Å of 70 Å: 0.2 px errors of 700 spots with the distance free to move along with the cell
    assert _same_lattice(real, basis, space_group(group)) < 0.15
    assert np.abs(np.array(result.cell) / cell - 1.0).max() < 3e-3
    true = (data.hkl != 0).any(axis=1)
    assert (np.asarray(result.table["id"])[true] == 0).mean() > 0.99
    # a random point is within 0.3 of a lattice point in 11 of 100 cases
    assert (np.asarray(result.table["id"])[~true] == 0).mean() < 0.35


@settings(max_examples=5, phases=NO_SHRINKING)
@given(crystals(), st.sampled_from(["fft3d", "fft1d"]), st.integers(0, 99))
def test_a_crystal_of_which_nothing_is_known_is_found(crystal, method, seed):
    group, _, basis = crystal
    data = lattice_spots(basis, group, most=700, error_px=0.2, seed=seed)
    # the densest rows of centred lattices are short: say how long edges may be
    chosen = IndexSettings(method=method, n_grid=192, macro_cycles=2, max_cell_angstrom=115.0)
    result = index((data.experiment,), data.table, chosen, refine_model=refine_rigid)
    truth = niggli_basis(primitive_basis(basis, space_group(group)))[0]
    real = np.asarray(result.experiments[0].crystal.real_space)
    assert _same_lattice(real, truth, space_group("P 1")) < 0.3  # [Å]: no symmetry to help
    assert result.n_indexed > 0.99 * len(data.table)


@given(st.integers(0, 3479), st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3))
def test_reduction_does_not_depend_on_the_basis(which, turn):
    cell = (38.0, 47.0, 61.0, 82.0, 95.0, 104.0)
    basis = unimodular_changes()[which] @ basis_of_cell(cell) @ expmap(np.array(turn))
    # 1e-6: reduction stops at such differences of the metric
    np.testing.assert_allclose(
        cell_of_basis(niggli_basis(basis)[0]), (38.0, 47.0, 61.0, 82.0, 85.0, 76.0), rtol=1e-6
    )


@given(st.sampled_from(sorted(CELLS)), st.integers(0, 10**6))
def test_symmetry_is_imposed_once(group, seed):
    cell = CELLS[group](40.0, 50.0, 65.0, 1.0)
    rotations = point_rotations(space_group(group))
    rough = basis_of_cell(cell) + 0.1 * np.random.default_rng(seed).normal(size=(3, 3))
    once = symmetrised_basis(rough, rotations)
    metric = once @ once.T
    for w in rotations:
        np.testing.assert_allclose(w.T @ metric @ w, metric, atol=1e-9 * metric.max())
    np.testing.assert_allclose(symmetrised_basis(once, rotations), once, atol=1e-10)  # [Å]
