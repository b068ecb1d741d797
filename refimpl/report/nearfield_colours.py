"""Colours of crystal directions (inverse pole figure keys) for every Laue class.

A direction is turned into the fundamental sector of the Laue class and coloured by where it lies
there: the hue is its azimuth about the sector's middle, the lightness its distance from it, white
in the middle and full at the rim. A sector with three corners has red, green and blue there.
Source: G. Nolze & R. Hielscher (2016), J. Appl. Cryst. 49, 1786, section 2.4 (the key of the TSL
kind, as orix and MTEX draw it). Where not every rim is a mirror (-1, 2/m, -3, 4/m, 6/m, m-3), the
colours jump at some rims: no continuous key tells all directions of such a class apart. Within 0.01
of orix 0.15, whose hues come from a table of 1000 steps; in m-3 its sector has another middle.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from refimpl.crystal.symmetry_operators import laue_class, laue_operators
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.rotations import matrix_of_quaternion

__all__ = ["DIRECTIONS", "SECTORS", "Sector", "colours_of_directions", "ipf_colours"]

DIRECTIONS = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
"""Directions of the sample, by name: x along the beam at omega = 0, z the rotation axis."""

_BLOCK = 65536
_STEPS = 2000


def _at(azimuth_deg: float, polar_deg: float = 90.0) -> tuple[float, float, float]:
    a, p = np.radians([azimuth_deg, polar_deg])
    return float(np.cos(a) * np.sin(p)), float(np.sin(a) * np.sin(p)), float(np.cos(p))


@dataclass(frozen=True)
class Sector:
    """Part of the sphere that has each direction of a Laue class once.

    Attributes
    ----------
    corners
        Directions, counter-clockwise seen from outside, the first one red.
    labels
        What they are called.
    """

    corners: tuple[tuple[float, float, float], ...]
    labels: tuple[str, ...]

    @property
    def directions(self) -> F64:
        """(k, 3) unit vectors of the corners."""
        c = np.array(self.corners)
        return np.asarray(c / np.linalg.norm(c, axis=1, keepdims=True))

    @property
    def normals(self) -> F64:
        """(k, 3) inward normals of the rims; of a hemisphere and of half of one, those alone."""
        c = self.directions
        if len(c) < 3:
            return np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]][: len(c)])
        n = np.cross(c, np.roll(c, -1, axis=0))
        return np.asarray(n / np.linalg.norm(n, axis=1, keepdims=True))

    @property
    def middle(self) -> F64:
        """(3,) unit vector from which hue and lightness are counted."""
        m = self.directions.sum(axis=0) if len(self.corners) > 2 else self.normals.sum(axis=0)
        return np.asarray(m / np.linalg.norm(m))

    def contains(self, directions: F64, slack: float = 1e-9) -> F64:
        """(n,) bool: within the sector or on its rim."""
        return np.asarray((np.asarray(directions) @ self.normals.T >= -slack).all(axis=-1))


_Z, _X, _Y = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
_XZ, _YZ, _XYZ = (1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 1.0)
_C = "0001"
SECTORS: dict[str, Sector] = {
    "-1": Sector((_X,), ("a*",)),
    "2/m": Sector((_X, (-1.0, 0.0, 0.0)), ("a*", "−a*")),
    "mmm": Sector((_Z, _X, _Y), ("001", "100", "010")),
    "4/m": Sector((_Z, _X, _Y), ("001", "100", "010")),
    "4/mmm": Sector((_Z, _X, _at(45)), ("001", "100", "110")),
    "-3": Sector((_Z, _at(-30), _at(90)), (_C, "2-1-10", "-12-10")),
    "-31m": Sector((_Z, _at(-30), _at(30)), (_C, "2-1-10", "11-20")),
    "-3m1": Sector((_Z, _at(-60), _at(0)), (_C, "1-100", "10-10")),
    "6/m": Sector((_Z, _at(-30), _at(30)), (_C, "2-1-10", "11-20")),
    "6/mmm": Sector((_Z, _at(-30), _at(0)), (_C, "2-1-10", "10-10")),
    "m-3": Sector((_Z, _XZ, _XYZ, _YZ), ("001", "101", "111", "011")),
    "m-3m": Sector((_Z, _XZ, _XYZ), ("001", "101", "111")),
}
"""By Laue class; labels of four figures are normals of planes (Miller-Bravais)."""


def _axes(sector: Sector) -> tuple[F64, F64, F64]:
    """Middle, and the directions across it that azimuth 0 and 90 degrees point to."""
    m = sector.middle
    first = sector.directions[0]
    x = first - (first @ m) * m
    x = x / np.linalg.norm(x)
    return m, x, np.cross(m, x)


def _rim(sector: Sector, azimuth: F64) -> F64:
    """Angle from the middle to the rim [rad] along azimuths about the middle."""
    m, x, y = _axes(sector)
    along = np.cos(azimuth)[..., None] * x + np.sin(azimuth)[..., None] * y
    # the rim with normal n is where cos(t) n.m + sin(t) n.along = 0
    t = np.arctan2(sector.normals @ m, -(along @ sector.normals.T))
    return np.asarray(t.min(axis=-1))


@functools.lru_cache(maxsize=16)
def _hues(name: str) -> tuple[F64, F64]:
    """Azimuths and the hue at each: it grows as the rim is far, a third from corner to corner."""
    sector = SECTORS[name]
    _, x, y = _axes(sector)
    corners = sector.directions
    stops = np.array([0.0, 2.0 * np.pi])
    if len(corners) == 3:
        own = np.mod(np.arctan2(corners @ y, corners @ x), 2.0 * np.pi)
        own[0] = 0.0
        stops = np.array([*own, 2.0 * np.pi])
    azimuth, hue = [np.zeros(1)], [np.zeros(1)]
    for k, (low, high) in enumerate(itertools.pairwise(stops)):
        a = np.linspace(low, high, _STEPS)
        r = _rim(sector, a)
        grown = np.cumsum(0.5 * (r[1:] + r[:-1]))
        azimuth.append(a[1:])
        hue.append((k + grown / grown[-1]) / (len(stops) - 1))
    return np.concatenate(azimuth), np.concatenate(hue)


def _in_sector(name: str, directions: F64) -> F64:
    """(n, 3) the equivalents in the sector, of the class with its inversion."""
    turns = matrix_of_quaternion(laue_operators(name))
    normals = SECTORS[name].normals
    best = np.empty_like(directions)
    depth = np.full(len(directions), -np.inf)
    for turn in turns:
        for sign in (1.0, -1.0):
            there = sign * (directions @ turn.T)
            own = (there @ normals.T).min(axis=-1)
            better = own > depth
            best[better], depth[better] = there[better], own[better]
    return best


def colours_of_directions(directions: F64, name: str) -> F64:
    """Colours of crystal directions.

    Parameters
    ----------
    directions
        (n, 3) in the crystal's frame (x along a*, z along c), of any length; NaN where there is
        none.
    name
        Laue class, see :data:`~refimpl.crystal.symmetry_operators.LAUE_CLASSES`. The two-fold axis
        of 2/m is taken along y.

    Returns
    -------
    (n, 3) red, green, blue, 0 to 1; NaN for NaN.

    Raises
    ------
    ConfigError
        There is no such class.
    """
    if name not in SECTORS:
        raise ConfigError(f"unknown Laue class {name!r}: expected one of {', '.join(SECTORS)}")
    sector, (azimuths, hues) = SECTORS[name], _hues(name)
    m, x, y = _axes(sector)
    h = np.asarray(directions, dtype=np.float64).reshape(-1, 3)
    out = np.full((len(h), 3), np.nan)
    for first in range(0, len(h), _BLOCK):
        part = h[first : first + _BLOCK]
        size = np.linalg.norm(part, axis=-1)
        good = size > 0.0  # and not NaN
        unit = _in_sector(name, part[good] / size[good, None])
        azimuth = np.mod(np.arctan2(unit @ y, unit @ x), 2.0 * np.pi)
        away = np.arctan2(np.linalg.norm(np.cross(m, unit), axis=-1), unit @ m)
        share = np.clip(away / _rim(sector, azimuth), 0.0, 1.0)
        pure = _pure(np.interp(azimuth, azimuths, hues))
        out[first : first + _BLOCK][good] = 1.0 - share[:, None] * (1.0 - pure)
    return out


def _pure(hue: F64) -> F64:
    """(n, 3) full colours of hues in turns: 0 red, 1/3 green, 2/3 blue."""
    shifted = np.mod(hue[:, None] + np.array([0.0, 2.0 / 3.0, 1.0 / 3.0]), 1.0)
    return np.asarray(np.clip(np.abs(6.0 * shifted - 3.0) - 1.0, 0.0, 1.0))


def ipf_colours(
    quaternions: F64, space_group: int, direction: tuple[float, float, float] = DIRECTIONS["z"]
) -> F64:
    """Colours of orientations by the crystal direction that lies along one of the sample's.

    Parameters
    ----------
    quaternions
        (v, 4) w, x, y, z, crystal to sample; NaN without an orientation.
    space_group
        Number; its Laue class is what counts.
    direction
        Of the sample.

    Returns
    -------
    (v, 3) red, green, blue, 0 to 1; NaN without an orientation.
    """
    turns = matrix_of_quaternion(np.asarray(quaternions, dtype=np.float64).reshape(-1, 4))
    crystal = np.einsum("vij,i->vj", turns, np.asarray(direction, dtype=np.float64))
    return colours_of_directions(crystal, laue_class(space_group))
