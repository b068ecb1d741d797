"""What must hold for any crystal."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from refimpl.crystal import Site, calibrant, calibrant_from_cell, rings
from refimpl.crystal.cell import cell_volume, d_spacing
from refimpl.crystal.reflections import equivalents, structure_factor_squared, unique_reflections

lengths = st.floats(3.0, 9.0)
angles = st.floats(75.0, 105.0)
groups = st.sampled_from([1, 2, 4, 5, 14, 15, 19, 20, 22, 62, 70])


@st.composite
def crystals(draw):
    group = draw(groups)
    cell = [draw(lengths) for _ in range(3)]
    beta = draw(angles)
    if group <= 2:
        return (*cell, draw(angles), beta, draw(angles)), group
    return (*cell, 90.0, beta if group <= 15 else 90.0, 90.0), group


@given(crystals())
def test_every_equivalent_has_the_same_spacing(crystal):
    cell, group = crystal
    hkl, multiplicity = unique_reflections(cell, group, 1.2)
    images = equivalents(hkl, group)
    for row, members, count in zip(hkl, images, multiplicity, strict=True):
        assert len(np.unique(members, axis=0)) == count
        # 1e-13: the matrix B of a general cell, eps times its condition
        np.testing.assert_allclose(d_spacing(members, cell), d_spacing([row], cell)[0], rtol=1e-13)


@given(crystals())
def test_primitive_spheres_are_full(crystal):
    # without absences the multiplicities add up to the lattice points in the sphere
    cell, _ = crystal
    hkl, multiplicity = unique_reflections(cell, 1, 0.9)
    assert multiplicity.tolist() == [2] * len(hkl)
    n = [int(length / 0.9) + 3 for length in cell[:3]]
    grid = np.stack(np.meshgrid(*(np.arange(-2 * k, 2 * k + 1) for k in n)), axis=-1).reshape(-1, 3)
    grid = grid[(grid != 0).any(axis=1)]
    d = d_spacing(grid, cell)
    # a point on the sphere to within rounding may be told in or out
    assume(np.min(np.abs(d - 0.9)) > 1e-12)
    assert multiplicity.sum() == (d >= 0.9).sum()


@given(crystals(), st.floats(0.3, 0.6))
def test_rings_fall_and_count_everything(crystal, wavelength):
    cell, group = crystal
    found = rings((cell, group), wavelength, 0.4)
    _, multiplicity = unique_reflections(cell, group, wavelength / (2 * np.sin(0.2)))
    assert (np.diff(found.d_angstrom) < 0).all()
    assert (np.diff(found.two_theta_rad) > 0).all()
    assert found.number.tolist() == list(range(1, len(found) + 1))
    assert found.multiplicity.sum() == multiplicity.sum()
    assert len(found) == 0 or found.intensity.max() == 1.0


@given(st.floats(0.5, 2.0), st.sampled_from(["CeO2", "Al2O3", "Si"]))
def test_angles_depend_on_the_ratio_alone(scale, name):
    powder = calibrant(name)
    cell = powder.cell
    assert cell is not None
    big = calibrant_from_cell(
        "big", powder.space_group, (*(scale * v for v in cell[:3]), *cell[3:])
    )
    small = calibrant_from_cell("small", powder.space_group, cell)
    a = rings(small, 0.2, 0.2, merge_angstrom=1e-6)
    b = rings(big, 0.2 * scale, 0.2, merge_angstrom=1e-6 * scale)
    # 1e-12 rad: round trip scale; a ring at the very edge may fall on either side
    n = min(len(a), len(b))
    assert abs(len(a) - len(b)) <= 1
    np.testing.assert_allclose(a.two_theta_rad[:n], b.two_theta_rad[:n], rtol=0, atol=1e-12)


@given(
    st.lists(st.tuples(*[st.integers(0, 47)] * 3), min_size=1, max_size=3),
    st.tuples(*[st.integers(-1, 1)] * 3),
    st.sampled_from(["F m -3 m", "F d -3 m:1", "P m -3 m"]),
)
def test_equivalents_have_one_modulus(points, shift, group):
    # Friedel mates differ with dispersion, so without wavelength; lattice shifts change nothing
    cell = (5.0, 5.0, 5.0, 90.0, 90.0, 90.0)
    # on a grid of 1/48: special positions are hit exactly, and none is missed by a hair
    sites = [Site("Si", tuple(x / 48 for x in p)) for p in points]
    moved = [Site("Si", tuple(x / 48 + s for x, s in zip(p, shift, strict=True))) for p in points]
    hkl, _ = unique_reflections(cell, group, 1.6)
    images = np.unique(equivalents(hkl[-1:], group)[0], axis=0)
    f2 = structure_factor_squared(images, cell, group, sites)
    top = structure_factor_squared([[0, 0, 0]], cell, group, sites)[0]
    np.testing.assert_allclose(f2, f2[0], rtol=0, atol=1e-11 * top)  # 576 phases of size 1
    np.testing.assert_allclose(
        structure_factor_squared(images, cell, group, moved), f2, rtol=0, atol=1e-11 * top
    )


@given(crystals())
def test_volume_is_the_inverse_of_det_b(crystal):
    cell, _ = crystal
    from refimpl.crystal.cell import b_matrix

    np.testing.assert_allclose(np.linalg.det(b_matrix(cell)) * cell_volume(cell), 1.0, rtol=1e-12)
