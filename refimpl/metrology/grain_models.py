r"""What a refinement of grains moves: the grains themselves, panels, and groups of panels.

A grain is :math:`p_0 = S F\,V^{-1} U B h` with B of the unstrained cell, :math:`U = \exp(w)\,U_0`
and the inverse left stretch :math:`V^{-1}` as published, at a position x in the sample. A rigid
body (a panel, or the panels of one housing) turns about a pivot by :math:`G = M\exp(w)M^T` and is
shifted along the axes M. With the left Jacobian J of the exponential map
:math:`d\exp(w) = [J\,dw]_\times \exp(w)`.

Source: Bernier et al. (2011), J. Strain Anal. 46, 527 (:math:`V^{-1}`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.detector.hierarchy import axes_of
from refimpl.frames import F64
from refimpl.rotations import cross_matrix, expmap, left_jacobian

__all__ = ["GRAIN_FIELDS", "MOVE_FIELDS", "Body", "Grain"]

GRAIN_FIELDS = (
    "turn_1", "turn_2", "turn_3", "x_mm", "y_mm", "z_mm",
    "stretch_11", "stretch_22", "stretch_33", "stretch_23", "stretch_13", "stretch_12",
)  # fmt: skip
"""Of a grain: rotation vector [rad], position [mm], what is added to V^-1 (elements themselves)."""

MOVE_FIELDS = (
    "shift_fast_mm", "shift_slow_mm", "shift_normal_mm", "turn_fast", "turn_slow", "turn_normal",
)  # fmt: skip
"""Of a body: along its axes [mm] and about them [rad]."""

_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, eq=False)
class Grain:
    """A grain in the frame of the sample.

    Attributes
    ----------
    orientation
        (3, 3) U.
    b
        (3, 3) B of the unstrained cell [1/angstrom].
    position_mm
        (3,).
    inverse_stretch
        (3, 3) V^-1, symmetric.
    """

    orientation: F64
    b: F64
    position_mm: F64
    inverse_stretch: F64

    def moved(self, x: F64) -> Grain:
        """Same grain after parameters (12,) in the order of :data:`GRAIN_FIELDS`."""
        add = np.zeros((3, 3))
        for (i, j), v in zip(_PAIRS, x[6:], strict=True):
            add[i, j] = add[j, i] = v
        return Grain(
            expmap(x[:3]) @ self.orientation, self.b, self.position_mm + x[3:6],
            self.inverse_stretch + add,
        )  # fmt: skip

    def vectors(self, hkl: F64) -> F64:
        """(n, 3) reciprocal lattice vectors in the sample of (n, 3) indices."""
        return np.asarray(hkl @ (self.inverse_stretch @ self.orientation @ self.b).T)

    def slopes(self, x: F64, hkl: F64) -> F64:
        """(n, 9, 3) derivatives of the moved grain's vectors by rotation and stretch."""
        new = self.moved(x)
        plain = hkl @ (new.orientation @ self.b).T
        jacobian = left_jacobian(x[:3])
        out = np.zeros((len(hkl), 9, 3))
        for k in range(3):
            out[:, k] = np.cross(jacobian[:, k], plain) @ new.inverse_stretch.T
        for k, (i, j) in enumerate(_PAIRS):
            out[:, 3 + k, i] += plain[:, j]
            if i != j:
                out[:, 3 + k, j] += plain[:, i]
        return out


@dataclass(frozen=True, eq=False)
class Body:
    """Panels that move as one.

    Attributes
    ----------
    name
        For the names of parameters.
    panels
        Their numbers.
    pivot_mm
        (3,) point that it turns about.
    axes
        (3, 3) columns fast, slow, normal.
    """

    name: str
    panels: tuple[int, ...]
    pivot_mm: F64
    axes: F64

    @classmethod
    def of_panels(cls, name: str, panels: tuple[int, ...], d: F64, size_mm: F64) -> Body:
        """Body that turns about the mean of its panels' centres, axes along its first panel's.

        Parameters
        ----------
        name, panels
            Of the body.
        d
            (p, 3, 3) columns fast, slow, origin of all panels [mm].
        size_mm
            (p, 2) fast and slow size of all panels [mm].
        """
        at = list(panels)
        half = np.concatenate([0.5 * size_mm[at], np.ones((len(at), 1))], axis=1)
        pivot = np.einsum("pij,pj->i", d[at], half) / len(at)
        return cls(name, panels, pivot, axes_of(d[at[0]]))

    def move(self, x: F64, d: F64) -> tuple[F64, F64, F64]:
        """Its panels moved.

        Parameters
        ----------
        x
            (6,) in the order of :data:`MOVE_FIELDS`.
        d
            (q, 3, 3) columns of its panels.

        Returns
        -------
        d, slopes, turn
            (q, 3, 3), (q, 6, 3, 3) derivatives by x, and G (3, 3), which takes slopes by what
            moves the panels before this body into those after it.
        """
        g = self.axes @ expmap(x[3:]) @ self.axes.T
        arm = d - np.stack([np.zeros(3), np.zeros(3), self.pivot_mm], axis=1)
        turned = g @ arm
        out, slopes = turned.copy(), np.zeros((len(d), 6, 3, 3))
        out[:, :, 2] += self.pivot_mm + self.axes @ x[:3]
        about = self.axes @ left_jacobian(x[3:])
        for k in range(3):
            slopes[:, k, :, 2] = self.axes[:, k]
            slopes[:, 3 + k] = cross_matrix(about[:, k]) @ turned
        return out, slopes, g
