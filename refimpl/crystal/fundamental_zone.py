"""The fundamental zone of orientations, and grids that cover it evenly.

Of the equivalent orientations ``q S`` the zone holds the one of smallest angle (largest w). A
cubochoric grid is a lattice of points in a cube, carried by a map that keeps volumes into the ball
of homochoric vectors, and so evenly over all rotations: concentric cubes become concentric spheres,
each of one rotation angle. Source: D. Rosca, A. Morawiec, M. De Graef (2014), Modelling and
Simulation in Materials Science and Engineering 22, 075013. Not here: random orientations, textures.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.misorientation import disorientation
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = [
    "MOST_A_SIDE",
    "cubochoric_grid",
    "cubochoric_quaternions",
    "fundamental_zone",
    "is_in_zone",
    "largest_angle",
    "points_a_side",
]

MOST_A_SIDE = 1000
"""A thousand million orientations: more is taken for a mistake in the spacing."""

CHUNK = 1 << 16
"""Points of a grid that are in memory before the zone sorts them out."""

SAME = 1e-6
"""The published tolerance on the components of a quaternion at the zone's faces."""


def fundamental_zone(quaternion: F64, operators: F64) -> F64:
    """Equivalent orientations of smallest rotation angle.

    Parameters
    ----------
    quaternion
        (n, 4) unit quaternions w, x, y, z, crystal to sample.
    operators
        (m, 4) group of the crystal.

    Returns
    -------
    (n, 4) ``q S`` of largest w >= 0; on a face of the zone the first S of those that do equally
    well.

    Raises
    ------
    ConfigError
        There are no operators.
    """
    q = np.asarray(quaternion, dtype=np.float64)
    return disorientation(np.broadcast_to([1.0, 0.0, 0.0, 0.0], q.shape), q, operators)[0]


def is_in_zone(quaternion: F64, operators: F64, tolerance: float = SAME) -> NDArray[np.bool_]:
    """(n,) whether no equivalent of an orientation has a w larger by more than the tolerance."""
    q = np.asarray(quaternion, dtype=np.float64)
    least = np.abs(q[:, 0]) + tolerance
    inside = np.ones(len(q), dtype=bool)
    for w, x, y, z in np.asarray(operators)[1:]:
        inside &= np.abs(q[:, 0] * w - q[:, 1] * x - q[:, 2] * y - q[:, 3] * z) <= least
    return inside


def largest_angle(operators: F64) -> float:
    r"""Largest rotation angle [rad] in the zone: that of its farthest vertex.

    In Rodrigues vectors the zone is the polyhedron :math:`\rho\cdot n_S \le \tan(\omega_S/4)`;
    with all axes parallel, or none, it has no vertex and holds half turns.

    Notes
    -----
    Source: A. Morawiec, D. P. Field (1996), Phil. Mag. A 73, 1113.
    """
    s = np.asarray(operators)
    s = s[np.abs(s[:, 0]) < 1.0 - 1e-9]
    if np.linalg.matrix_rank(s[:, 1:]) < 3:
        return float(np.pi)
    normal = s[:, 1:] / np.linalg.norm(s[:, 1:], axis=1, keepdims=True)
    # the inverse of S is in the group: its face is opposite
    normal = np.concatenate([normal, -normal])
    reach = np.tile(np.tan(0.5 * np.arccos(np.abs(s[:, 0]))), 2)
    planes = np.unique(np.round(np.column_stack([normal, reach]), 12), axis=0)
    three = np.array(list(itertools.combinations(range(len(planes)), 3)))
    meeting = planes[three]
    meeting = meeting[np.abs(np.linalg.det(meeting[..., :3])) > 1e-9]
    vertex = np.linalg.solve(meeting[..., :3], meeting[..., 3:])[..., 0]
    inside = (vertex @ planes[:, :3].T <= planes[:, 3] + 1e-9).all(axis=1)
    return float(2.0 * np.arctan(np.linalg.norm(vertex[inside], axis=1).max()))


def points_a_side(spacing_rad: float) -> int:
    """Points along the edge of a cubochoric grid whose cells are at most `spacing_rad` wide.

    The width is the edge of a cube of a cell's volume, all rotations having 8 pi^2 rad^3: 180
    points make 1.37 degrees. A random orientation is half a width from the nearest point on average
    and 1.2 widths at most but for one in a thousand; the corners of the cube reach 1.4 (measured).

    Raises
    ------
    ConfigError
        The spacing is not positive, or asks for more than :data:`MOST_A_SIDE`.
    """
    if not (np.isfinite(spacing_rad) and spacing_rad > 0.0):
        raise ConfigError(
            f"spacing of orientations {spacing_rad!r} rad: expected a positive number"
        )
    n = int(np.ceil((8.0 * np.pi**2) ** (1.0 / 3.0) / spacing_rad))
    if n > MOST_A_SIDE:
        raise ConfigError(
            f"spacing of orientations {spacing_rad:g} rad: {n} points a side, at most "
            f"{MOST_A_SIDE}; check its unit"
        )
    return n


def cubochoric_grid(n: int, operators: F64 | None = None) -> F64:
    """Even grid of orientations.

    Parameters
    ----------
    n
        Points along the cube's edge: n^3 orientations of no symmetry. The published lists have 180.
    operators
        (m, 4) group of the crystal: only the points inside its zone, its faces included to
        :data:`SAME`. None for all.

    Returns
    -------
    (k, 4) unit quaternions, w >= 0. The identity is one of them. Memory is that of the result.

    Raises
    ------
    ConfigError
        `n` is not between 1 and :data:`MOST_A_SIDE`.
    """
    if not 1 <= n <= MOST_A_SIDE:
        raise ConfigError(f"{n} points a side: expected 1 to {MOST_A_SIDE}", key="n", got=n)
    # of opposite faces, which are the same half turns, an even grid has one
    index = np.arange(n) - (n - 1) // 2
    if operators is not None:  # the cubes beyond the farthest vertex hold nothing
        angle = min(largest_angle(operators) + 1e-6, np.pi)
        share = ((angle - np.sin(angle)) / np.pi) ** (1.0 / 3.0)
        index = index[np.abs(index) <= share * 0.5 * n + 1e-6]
    parts = []
    step = max(1, CHUNK // len(index) ** 2)
    for start in range(0, len(index), step):
        axes = np.meshgrid(index[start : start + step], index, index, indexing="ij")
        q = cubochoric_quaternions(np.stack(axes, axis=-1).reshape(-1, 3), n)
        parts.append(q if operators is None else q[is_in_zone(q, operators)])
    return np.concatenate(parts)


def cubochoric_quaternions(index: I64, n: int) -> F64:
    r"""Orientations of points of a cubochoric grid.

    .. math:: \tfrac{\omega - \sin\omega}{\pi} = \Bigl(\frac{\max_i |k_i|}{n / 2}\Bigr)^3

    Parameters
    ----------
    index
        (k, 3) integers, -n/2 to n/2.
    n
        Points along the edge.

    Returns
    -------
    (k, 4) unit quaternions, w >= 0.

    Notes
    -----
    Source: Rosca, Morawiec & De Graef (2014), sections 3 and 4. The angle belongs to the cube, so
    it is solved for once a cube.
    """
    k = np.asarray(index, dtype=np.int64)
    cube = np.abs(k).max(axis=1, initial=0)
    angles = _angle_of_share(np.arange(int(cube.max(initial=0)) + 1) / (0.5 * n))[cube]
    direction = _direction(k.astype(np.float64))
    return np.column_stack([np.cos(0.5 * angles), np.sin(0.5 * angles)[:, None] * direction])


def _angle_of_share(share: F64) -> F64:
    """Angle omega [rad] with (omega - sin omega)/pi = share^3, by Newton from above."""
    wanted = np.pi * share**3
    angle = np.minimum((6.0 * wanted) ** (1.0 / 3.0) * (1.0 + 0.1 * share**2), np.pi)
    for _ in range(8):
        slope = np.maximum(2.0 * np.sin(0.5 * angle) ** 2, 1e-300)
        angle = angle - (angle - np.sin(angle) - wanted) / slope
    return np.minimum(angle, np.pi)


def _direction(p: F64) -> F64:
    """(k, 3) unit vectors where the map takes points of the cube; z at its centre."""
    rows = np.arange(len(p))
    high = np.abs(p).argmax(axis=1)  # the pyramid over this face
    order = (high[:, None] + np.array([1, 2, 0])) % 3
    x, y, z = np.take_along_axis(p, order, axis=1).T
    centre = z == 0.0
    size = np.where(centre, 1.0, np.abs(z))
    x, y = x / size, y / size
    # square to disc: the longer side keeps the radius, the shorter turns by up to pi/12
    swapped = np.abs(y) > np.abs(x)
    longer, shorter = np.where(swapped, y, x), np.where(swapped, x, y)
    turn = np.pi / 12.0 * shorter / np.where(longer == 0.0, 1.0, longer)
    c, s = np.cos(turn), np.sin(turn)
    radius = np.sqrt(6.0 / np.pi) * 2.0**0.25 * longer / np.sqrt(np.sqrt(2.0) - c)
    one, two = radius * (np.sqrt(2.0) * c - 1.0), radius * np.sqrt(2.0) * s
    x, y = np.where(swapped, two, one), np.where(swapped, one, two)
    # disc to sphere, keeping areas (Lambert)
    r2 = x * x + y * y
    root = np.sqrt(1.0 - np.pi / 24.0 * r2)
    up = np.sqrt(6.0 / np.pi) - np.sqrt(np.pi / 24.0) * r2
    out = np.empty_like(p)
    for column, value in zip(
        order.T, (x * root, y * root, np.where(z < 0.0, -up, up)), strict=True
    ):
        out[rows, column] = value
    out /= np.sqrt((out * out).sum(axis=1))[:, None]
    out[centre] = (0.0, 0.0, 1.0)
    return out
