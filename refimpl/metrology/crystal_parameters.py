r"""Beam, crystal orientation and unit cell as parameters, as published.

* Beam: :math:`s_0 = \nu\, R(e_2, \mu_2)\, R(e_1, \mu_1)\, \hat s_0` with
  :math:`e_2 = \hat s_0 \times \hat e`, :math:`e_1 = e_2 \times \hat s_0` fixed when the parameters
  are made; :math:`\mu` in mrad, :math:`\nu` in 1/angstrom.
* Orientation: :math:`U = R_z(\varphi_3) R_y(\varphi_2) R_x(\varphi_1)\, U_0`, mrad.
* Cell: 1e5 times the elements of the reciprocal metric :math:`G^* = B^T B` that the space group
  leaves independent; :math:`B` is lower triangular, c* along z.

Source: Waterman et al., Acta Cryst. D72 (2016) 558, and DIALS (spec 2.9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.detector_parameters import MRAD
from refimpl.rotations import turn_and_slope
from refimpl.units import DEG

__all__ = ["BeamParameters", "CellParameters", "OrientationParameters", "beam_parameters"]
__all__ += ["b_matrix", "cell_and_gradient", "cell_parameters", "orientation_parameters"]

CELL_SCALE = 1e5
_EDGES = ((0, 0), (1, 1), (2, 2))
_ANGLES = ((1, 2), (0, 2), (0, 1))
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, eq=False)
class BeamParameters:
    """Beam of one or several experiments; values (3,): mu1, mu2 [mrad], nu [1/angstrom]."""

    prefix: str
    unit: F64
    axes: F64
    initial: F64

    @property
    def names(self) -> tuple[str, ...]:
        """Published names."""
        return tuple(f"{self.prefix}{name}" for name in ("Mu1", "Mu2", "nu"))

    def s0(self, values: F64) -> F64:
        """(3,) beam vector."""
        r1, r2 = (
            turn_and_slope(a, v * MRAD)[0] for a, v in zip(self.axes, values[:2], strict=True)
        )
        return np.asarray(values[2] * (r2 @ r1 @ self.unit))

    def derivatives(self, values: F64) -> F64:
        """(3, 3) derivative of s0 by each value."""
        (r1, dr1), (r2, dr2) = (
            turn_and_slope(a, v * MRAD) for a, v in zip(self.axes, values[:2], strict=True)
        )
        nu = values[2] * MRAD
        return np.array([nu * (r2 @ dr1 @ self.unit), nu * (dr2 @ r1 @ self.unit),
                         r2 @ r1 @ self.unit])  # fmt: skip


def beam_parameters(s0: F64, axis: F64 | None, prefix: str = "Beam1") -> BeamParameters:
    """Parameters of a beam; without an axis (stills) any pair across the beam serves."""
    size = float(np.sqrt(s0 @ s0))
    unit = np.asarray(s0) / size
    if axis is None:
        axis = np.eye(3)[int(np.argmin(np.abs(unit)))]
    e2 = np.cross(unit, axis)
    e2 = e2 / np.sqrt(e2 @ e2)
    return BeamParameters(
        prefix, unit, np.array([np.cross(e2, unit), e2]), np.array([0.0, 0.0, size])
    )


@dataclass(frozen=True, eq=False)
class OrientationParameters:
    """Orientation of a crystal; values (3,) [mrad] about the lab's x, y, z."""

    prefix: str
    start: F64

    @property
    def names(self) -> tuple[str, ...]:
        """Published names."""
        return tuple(f"{self.prefix}Phi{k}" for k in (1, 2, 3))

    def u(self, values: F64) -> F64:
        """(3, 3) orientation."""
        r1, r2, r3 = (
            turn_and_slope(a, v * MRAD)[0] for a, v in zip(np.eye(3), values, strict=True)
        )
        return np.asarray(r3 @ r2 @ r1 @ self.start)

    def derivatives(self, values: F64) -> F64:
        """(3, 3, 3) derivative of U by each value."""
        (r1, d1), (r2, d2), (r3, d3) = (
            turn_and_slope(a, v * MRAD) for a, v in zip(np.eye(3), values, strict=True)
        )
        parts = (r3 @ r2 @ d1, r3 @ d2 @ r1, d3 @ r2 @ r1)
        return np.array([MRAD * (part @ self.start) for part in parts])

    def spins(self, values: F64) -> F64:
        """(3, 3) columns: rotation vector of U by each value, at the values."""
        x, y, z = np.eye(3)
        r2, r3 = turn_and_slope(y, values[1] * MRAD)[0], turn_and_slope(z, values[2] * MRAD)[0]
        return np.column_stack([r3 @ r2 @ x, r3 @ y, z]) * MRAD


def orientation_parameters(u: F64, prefix: str = "Crystal1") -> OrientationParameters:
    """Parameters of an orientation; all start at 0."""
    return OrientationParameters(prefix, np.asarray(u))


def b_matrix(metric: F64) -> tuple[F64, F64]:
    """B (3, 3) of the reciprocal metric's elements (6,), and its derivatives (6, 3, 3).

    The elements are a*², b*², c*², a*·b*, a*·c*, b*·c*. NaN where they are of no cell.
    """
    g0, g1, g2, g3, g4, g5 = metric
    with np.errstate(invalid="ignore"):  # a trial step to a metric of no cell: NaN, not a warning
        cz = np.sqrt(g2)
        bz, az = g5 / cz, g4 / cz
        by = np.sqrt(g1 - bz * bz)
        ay = (g3 - az * bz) / by
        ax = np.sqrt(g0 - ay * ay - az * az)
    b = np.array([[ax, 0.0, 0.0], [ay, by, 0.0], [az, bz, cz]])
    d = np.zeros((6, 3, 3))
    eye = np.eye(6)
    for k in range(6):
        e0, e1, e2, e3, e4, e5 = eye[k]
        dcz = 0.5 * e2 / cz
        dbz, daz = (e5 - bz * dcz) / cz, (e4 - az * dcz) / cz
        dby = 0.5 * (e1 - 2.0 * bz * dbz) / by
        day = (e3 - daz * bz - az * dbz - ay * dby) / by
        dax = 0.5 * (e0 - 2.0 * ay * day - 2.0 * az * daz) / ax
        d[k] = [[dax, 0.0, 0.0], [day, dby, 0.0], [daz, dbz, dcz]]
    return b, d


@dataclass(frozen=True, eq=False)
class CellParameters:
    """Cell of a crystal; values (c,) are 1e5 times independent elements of the reciprocal metric.

    ``expand`` (6, c) gives all elements from the independent ones.
    """

    prefix: str
    expand: F64
    initial: F64

    @property
    def names(self) -> tuple[str, ...]:
        """Published names."""
        return tuple(f"{self.prefix}g_param_{k}" for k in range(len(self.initial)))

    def b(self, values: F64) -> F64:
        """(3, 3) reciprocal vectors in the crystal's frame."""
        return b_matrix(self.expand @ values / CELL_SCALE)[0]

    def derivatives(self, values: F64) -> F64:
        """(c, 3, 3) derivative of B by each value."""
        _, d = b_matrix(self.expand @ values / CELL_SCALE)
        return np.einsum("kc,kij->cij", self.expand, d) / CELL_SCALE


def cell_and_gradient(cell: CellParameters, values: F64) -> tuple[F64, F64]:
    r"""(6,) cell [angstrom, deg] at the parameters (c,), and its derivatives (6, c).

    With :math:`G = G^{*-1}` and :math:`dG = -G\,dG^* G`: :math:`a = \sqrt{G_{00}}`,
    :math:`\cos\gamma = G_{01}/(ab)`.
    """
    b = cell.b(values)
    metric = np.linalg.inv(b.T @ b)
    by_b = cell.derivatives(values)
    by = np.array([-metric @ (db.T @ b + b.T @ db) @ metric for db in by_b])
    out, gradient = np.empty(6), np.empty((6, len(values)))
    for k, (i, j) in enumerate(_EDGES):
        out[k] = np.sqrt(metric[i, j])
        gradient[k] = by[:, i, j] / (2.0 * out[k])
    for k, (i, j) in enumerate(_ANGLES, 3):
        cosine = metric[i, j] / (out[i] * out[j])
        slope = by[:, i, j] / (out[i] * out[j])
        slope = slope - cosine * (gradient[i] / out[i] + gradient[j] / out[j])
        out[k] = np.arccos(cosine) / DEG
        gradient[k] = -slope / np.sqrt(1.0 - cosine**2) / DEG
    return out, gradient


def cell_parameters(
    setting: F64, hall: str, prefix: str = "Crystal1"
) -> tuple[CellParameters, F64]:
    """Parameters of a cell under its space group, and the orientation U that goes with B.

    Parameters
    ----------
    setting
        (3, 3) A = U B [1/angstrom].
    hall
        Hall symbol.
    prefix
        Of the names.

    Raises
    ------
    ConfigError
        The Hall symbol is unknown.
    """
    metric = setting.T @ setting
    full = np.array([metric[i, j] for i, j in _PAIRS])
    expand, independent = _independent(hall)
    values = (_averaged(full, hall))[independent] * CELL_SCALE
    cell = CellParameters(prefix, expand, values)
    b = cell.b(values)
    u = setting @ np.linalg.inv(b)
    left, _, right = np.linalg.svd(u)  # nearest rotation where symmetry changed the metric
    exact = np.allclose(u @ u.T, np.eye(3), atol=1e-12)
    return cell, u if exact else left @ right


def _rotations(hall: str) -> list[F64]:
    """Rotation parts (3, 3) of the group's operations, in direct space."""
    import gemmi

    try:
        operations = gemmi.symops_from_hall(hall.strip())
    except (RuntimeError, ValueError) as exc:
        raise ConfigError(f"space group: unknown Hall symbol {hall!r}", got=hall) from exc
    return [np.array(op.rot) / gemmi.Op.DEN for op in operations]


def _acts(rotation: F64) -> F64:
    """(6, 6) what a rotation does to the elements of a reciprocal metric: R G R^T."""
    out = np.empty((6, 6))
    for k, (i, j) in enumerate(_PAIRS):
        g = np.zeros((3, 3))
        g[i, j] = g[j, i] = 1.0
        moved = rotation @ g @ rotation.T
        out[:, k] = [moved[a, b] for a, b in _PAIRS]
    return out


def _averaged(full: F64, hall: str) -> F64:
    return np.asarray(np.mean([_acts(r) @ full for r in _rotations(hall)], axis=0))


def _independent(hall: str) -> tuple[F64, list[int]]:
    """(6, c) expansion of the independent elements, and which they are: the first that serve."""
    project = np.mean([_acts(r) for r in _rotations(hall)], axis=0)
    chosen: list[int] = []
    for k in range(6):
        rows = project[[*chosen, k]]
        if np.linalg.matrix_rank(rows, tol=1e-9) == len(chosen) + 1:
            chosen.append(k)
    basis = project[:, :] @ np.linalg.pinv(project[chosen])
    return np.where(np.abs(basis) < 1e-12, 0.0, basis), chosen
