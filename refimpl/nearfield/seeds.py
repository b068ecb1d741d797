"""Candidate orientations: from files, from the grains of the far field, even, random.

A seed is a unit quaternion (w, x, y, z), w >= 0, crystal to sample. The published list is a
cubochoric grid of 180^3 orientations, of which the crystal's zone holds a part (cubic: 243,129).
Our own is the body-centred lattice in the same cube, with a rim outside the zone's faces, where the
lattices of both sides do not meet. Measured, cubic, 4 degrees: no orientation is farther than 3.3
degrees from the nearest of 11,475 seeds; of the published lattice it takes 26,000 to say so.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np

from refimpl.crystal.fundamental_zone import (
    cubochoric_grid,
    cubochoric_quaternions,
    fundamental_zone,
    is_in_zone,
    largest_angle,
    points_a_side,
)
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.io.grains_csv import GrainTable, read_grains
from refimpl.io.nearfield_files import read_seeds, write_seeds
from refimpl.nearfield.settings import SearchTable
from refimpl.rotations import quaternion_of_matrix
from refimpl.units import DEG

__all__ = ["PUBLISHED_SIDE", "published_seeds", "random_seeds", "seeds_of", "seeds_of_grains"]
__all__ += ["uniform_seeds", "write_grain_seeds"]

PUBLISHED_SIDE = 180
"""Points along the cube's edge of the published list."""

_RIM = 0.25
"""Tolerance of the zone's faces [quaternion components a rad of spacing]: half a spacing or so."""


def uniform_seeds(
    spacing_rad: float, operators: F64, lattice: Literal["body", "cubic"] = "body"
) -> F64:
    """Even cover of the fundamental zone.

    Parameters
    ----------
    spacing_rad
        Edge of a cube of the volume that each seed has to itself, all rotations together having
        8 pi^2 rad^3; seeds lie at most this far apart in the mean.
    operators
        (m, 4) group of the crystal.
    lattice
        Body-centred, or the published kind.

    Returns
    -------
    (n, 4). The farthest orientation from any seed is 0.9 times the spacing away ("body"; of Laue
    class -1, which has no zone to have a rim, 1.0), or 1.3 times ("cubic"); measured.

    Raises
    ------
    ConfigError
        The spacing is not positive, or too small for a list.
    """
    if lattice == "cubic":
        return cubochoric_grid(points_a_side(spacing_rad), operators)
    points_a_side(spacing_rad)  # refuses what is no spacing
    n = math.ceil((4.0 * math.pi**2) ** (1.0 / 3.0) / spacing_rad)
    rim = _RIM * spacing_rad
    angle = min(largest_angle(operators) + 8.0 * rim, math.pi)
    share = ((angle - math.sin(angle)) / math.pi) ** (1.0 / 3.0)
    # twice as fine a grid, of which all three indices are even, or all three odd
    fine = np.arange(-n + 1, n + 1)
    fine = fine[np.abs(fine) <= share * n + 1e-6]
    parts = []
    for odd in (0, 1):
        own = fine[fine % 2 == odd]
        for first in own:  # a slab at a time: memory is that of the result
            index = np.stack(np.meshgrid([first], own, own, indexing="ij"), axis=-1)
            q = cubochoric_quaternions(index.reshape(-1, 3), 2 * n)
            parts.append(q[is_in_zone(q, operators, rim)])
    return np.concatenate(parts)


def published_seeds(operators: F64, side: int = PUBLISHED_SIDE) -> F64:
    """Seeds (n, 4) of the published list, computed, not downloaded."""
    return cubochoric_grid(side, operators)


def random_seeds(n: int, operators: F64, seed: int) -> F64:
    """Random orientations (n, 4), even over all rotations, each as its equivalent in the zone.

    Raises
    ------
    ConfigError
        A negative number.
    """
    if n < 0:
        raise ConfigError(f"{n} random seeds: expected 0 or more", got=n)
    q = np.random.default_rng(seed).normal(size=(n, 4))
    q /= np.sqrt((q * q).sum(axis=1))[:, None]
    return fundamental_zone(q, operators)


def seeds_of_grains(grains: GrainTable) -> F64:
    """Seeds (g, 4) of grains, in their order and as they are: not turned into the zone."""
    return quaternion_of_matrix(grains.orientations)


def write_grain_seeds(path: str | Path, grains: GrainTable) -> Path:
    """Write the list that the published GenSeedOrientationsFF2NFHEDM writes; atomic."""
    return write_seeds(path, seeds_of_grains(grains), grains.cells, grains.ids, decimals=6)


def seeds_of(search: SearchTable, operators: F64, *, expected: int | None = None) -> F64:
    """Seeds of a run: its list, else the grains of the far field, else an even cover.

    Parameters
    ----------
    search
        Where they come from.
    operators
        (m, 4) group of the crystal, for the even cover.
    expected
        Number of lines of the list (NrOrientations), where it is to be checked.

    Raises
    ------
    FormatError
        A file is not what it should be.
    ConfigError
        The spacing is too small for a list.
    """
    if search.seeds is not None:
        return read_seeds(search.seeds, expected)
    if search.grains is not None:
        return seeds_of_grains(read_grains(search.grains))
    return uniform_seeds(search.seed_spacing_deg * DEG, operators)
