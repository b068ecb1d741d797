"""Candidate orientations: even covers, the published list, files, grains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from refimpl.crystal.fundamental_zone import is_in_zone
from refimpl.crystal.symmetry_operators import operators
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64
from refimpl.io.grains_csv import read_grains
from refimpl.io.nearfield_files import read_seeds, write_seeds
from refimpl.nearfield.seeds import (
    published_seeds,
    random_seeds,
    seeds_of,
    seeds_of_grains,
    uniform_seeds,
    write_grain_seeds,
)
from refimpl.nearfield.settings import SearchTable
from refimpl.rotations import multiply_quaternions
from refimpl.units import DEG


def _to_nearest(seeds: F64, ops: F64, n: int = 3000) -> F64:
    """Angle [rad] from random orientations to the nearest seed."""
    tree = cKDTree(np.concatenate([seeds, -seeds]))
    probes = random_seeds(n, ops, 11)
    chord = [tree.query(multiply_quaternions(probes, np.broadcast_to(s, (n, 4))))[0] for s in ops]
    return np.asarray(4.0 * np.arcsin(0.5 * np.min(chord, axis=0)))


@pytest.mark.parametrize("group", [2, 14, 62, 148, 167, 194, 225])
def test_no_orientation_is_farther_than_the_spacing(group: int) -> None:
    ops = operators(group)
    spacing = 12.0 * DEG if group < 20 else 7.0 * DEG
    seeds = uniform_seeds(spacing, ops)
    volume = 8.0 * np.pi**2 / len(ops)
    # the rim counts at coarse spacings: up to a third more than the number by volume
    assert 0.99 <= len(seeds) * spacing**3 / volume <= 1.35
    np.testing.assert_allclose((seeds * seeds).sum(axis=1), 1.0, rtol=1e-14)
    assert (seeds[:, 0] >= 0.0).all()
    assert is_in_zone(seeds, ops, 0.25 * spacing).all()
    assert _to_nearest(seeds, ops).max() <= (1.0 if group == 2 else 0.9) * spacing


def test_the_body_centred_cover_has_smaller_gaps_than_the_published_lattice() -> None:
    ops = operators(225)
    body, cubic = uniform_seeds(8.0 * DEG, ops), uniform_seeds(6.0 * DEG, ops, "cubic")
    assert len(body) < 0.6 * len(cubic)
    assert _to_nearest(body, ops).max() < _to_nearest(cubic, ops).max()


def test_the_published_list_has_243129_cubic_orientations() -> None:
    assert len(published_seeds(operators(225))) == 243_129


def test_spacings_that_are_none() -> None:
    with pytest.raises(ConfigError, match=r"spacing of orientations 0\.0 rad: expected a positive"):
        uniform_seeds(0.0, operators(225))
    with pytest.raises(ConfigError, match="points a side, at most 1000; check its unit"):
        uniform_seeds(1e-3, operators(225))


def test_random_seeds_are_in_the_zone_and_the_same_again() -> None:
    ops = operators(194)
    seeds = random_seeds(200, ops, 5)
    assert is_in_zone(seeds, ops).all()
    np.testing.assert_array_equal(seeds, random_seeds(200, ops, 5))
    assert (seeds != random_seeds(200, ops, 6)).any()
    assert random_seeds(0, ops, 5).shape == (0, 4)
    with pytest.raises(ConfigError, match="-1 random seeds: expected 0 or more"):
        random_seeds(-1, ops, 5)


def test_seeds_of_the_far_field(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    grains = read_grains(real_data("nearfield-golden/grs.csv"))
    write_grain_seeds(tmp_path / "seeds.txt", grains)
    golden = real_data("nearfield-golden/au_seeds4.txt")
    assert (tmp_path / "seeds.txt").read_bytes() == golden.read_bytes()
    np.testing.assert_allclose(seeds_of_grains(grains), read_seeds(golden), atol=1e-6)


def test_a_list_goes_before_grains_and_these_before_a_cover(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    ops = operators(225)
    write_seeds(tmp_path / "s.txt", np.array([[0.6, 0.0, 0.8, 0.0]]))
    grains = str(real_data("nearfield-golden/grs.csv"))
    both = SearchTable(seeds=str(tmp_path / "s.txt"), grains=grains)
    assert seeds_of(both, ops).tolist() == [[0.6, 0.0, 0.8, 0.0]]
    assert len(seeds_of(SearchTable(grains=grains), ops)) == 4
    cover = seeds_of(SearchTable(seed_spacing_deg=10.0), ops)
    np.testing.assert_array_equal(cover, uniform_seeds(10.0 * DEG, ops))
    with pytest.raises(FormatError, match="1 seeds: NrOrientations is 243129"):
        seeds_of(both, ops, expected=243129)
