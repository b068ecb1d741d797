r"""Angle, and axis, between two orientations of one crystal, as its symmetry allows.

An orientation is a quaternion (w, x, y, z), crystal to sample, and each ``q S`` with an operator S
is as good: the disorientation is the smallest rotation among ``S1^-1 q1^-1 q2 S2``. Its angle is
reached with S1 = 1, because the operators are a group: ``w`` is the same for every ``S1^-1 r S1``.
Quaternions may have any length and sign. Not here: two phases, where the search has two sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.rotations import conjugate_quaternion, multiply_quaternions

__all__ = ["disorientation", "disorientation_axis", "misorientation"]

CHUNK = 1 << 16
"""Pairs whose products with every operator are in memory at a time."""


NEARLY = 1e-6
"""The square of an operator's length is 1 to this."""


def check_operators(operators: F64) -> None:
    """Refuse operators that are no rotations.

    Raises
    ------
    ConfigError
        One of them is no unit quaternion.
    """
    if not (np.abs((operators * operators).sum(axis=1) - 1.0) < NEARLY).all():
        raise ConfigError("operators are not unit quaternions")


@twin("libm", check=check_operators, q1="f8 n,4", q2="f8 n,4", operators="f8 m,4")
def misorientation(q1: F64, q2: F64, operators: F64) -> F64:
    r"""Disorientation angle of pairs of orientations.

    .. math:: \omega = \min_S 2\,\mathrm{atan2}(|\mathbf{v}|, |w|), \qquad
       (w, \mathbf{v}) = q_1^{-1} q_2 S

    Parameters
    ----------
    q1, q2
        (n, 4) orientations, crystal to sample.
    operators
        (m, 4) group of the crystal, :func:`refimpl.crystal.symmetry_operators.operators`.

    Returns
    -------
    (n,) [rad], 0 to pi. NaN where a quaternion is zero or not finite, or without operators.

    Notes
    -----
    Source: section 1.1 of the near-field specification, with the arctangent of both parts where
    it has acos(w): that loses half the digits of a small angle (1.5e-8 rad at 1e-8).
    Accuracy: 1e-15 rad against 50 digits. Twin: ``refimpl/_ext/misorientation.pyx``; for the cubic
    groups it sorts the components instead of looping over operators.
    """
    if not len(operators):
        return np.full(len(q1), np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        d, _ = _smallest(multiply_quaternions(conjugate_quaternion(q1), q2), operators)
        length2 = _dot(d, d)
        angle = 2.0 * np.arctan2(np.sqrt(_dot(d[:, 1:], d[:, 1:])), d[:, 0])
    return np.where(np.isfinite(length2) & (length2 > 0.0), angle, np.nan)


def disorientation(q1: F64, q2: F64, operators: F64) -> tuple[F64, NDArray[np.int64]]:
    """Smallest rotation from one orientation to another, in the crystal's frame.

    Parameters
    ----------
    q1, q2
        (n, 4) orientations, crystal to sample.
    operators
        (m, 4) group of the crystal.

    Returns
    -------
    quaternion
        (n, 4) ``q1^-1 q2 S`` of largest w >= 0, so that ``q1 d`` is ``q2`` seen through S.
    operator
        (n,) row of S; the first of those that do equally well.

    Raises
    ------
    ConfigError
        There are no operators.
    """
    if not len(operators):
        raise ConfigError("disorientation: no operators: expected at least the identity")
    return _smallest(multiply_quaternions(conjugate_quaternion(q1), q2), operators)


def disorientation_axis(quaternion: F64, operators: F64) -> F64:
    """Axis of disorientations in the standard sector of the crystal's Laue class.

    Parameters
    ----------
    quaternion
        (n, 4) from :func:`disorientation`.
    operators
        (m, 4) group of the crystal.

    Returns
    -------
    (n, 3) unit vectors in the crystal's frame: of the equivalent directions, sense included, the
    one of largest z, then x, then y; for a cubic crystal z >= x >= y >= 0. NaN where there is no
    rotation.
    """
    v = quaternion[:, 1:]
    with np.errstate(invalid="ignore"):
        v = v / np.sqrt(_dot(v, v))[:, None]
    best = v.copy()
    pure = np.concatenate([np.zeros((len(v), 1)), v], axis=1)
    for s in operators:
        turned = multiply_quaternions(multiply_quaternions(s, pure), conjugate_quaternion(s))
        for image in (turned[:, 1:], -turned[:, 1:]):
            better = _comes_before(image, best)
            best[better] = image[better]
    return best


def _comes_before(a: F64, b: F64) -> NDArray[np.bool_]:
    """Whether a has the larger z, then x, then y; equal to 1e-9 is equal."""
    gap = (a - b)[:, [2, 0, 1]]
    sign = np.where(gap > 1e-9, 1, np.where(gap < -1e-9, -1, 0))
    return np.asarray(sign @ np.array([9, 3, 1]) > 0)


def _dot(a: F64, b: F64) -> F64:
    """Sums of products along the last axis, in the order of the twin."""
    total = a[..., 0] * b[..., 0]
    for i in range(1, a.shape[-1]):
        total = total + a[..., i] * b[..., i]
    return np.asarray(total)


def _smallest(r: F64, operators: F64) -> tuple[F64, NDArray[np.int64]]:
    """(n, 4) of the r S the one of largest |w|, with w >= 0, and (n,) the row of S."""
    out = np.empty_like(r)
    row = np.empty(len(r), dtype=np.int64)
    for start in range(0, len(r), CHUNK):
        part = slice(start, start + CHUNK)
        w = np.abs(_dot(r[part, None, :], conjugate_quaternion(operators)))
        row[part] = w.argmax(axis=1)
        d = multiply_quaternions(r[part], operators[row[part]])
        out[part] = np.where(d[:, :1] < 0.0, -d, d)
    return out, row
