r"""Strain of one frame's points, and its derivatives by its own parameters and by what is shared.

A frame's own parameters are :math:`x_{at} + o`: several frames may read the same number of the
border, one of them displaced by a known o. With :math:`\epsilon = 1 - R_c/(L\tan 2\theta)` two
further parameters can be shared: the logarithm q of the pixel size, with which the radius that
normalises the distortion grows, and that of the wavelength, w,

.. math::

   \partial_q R_c &= \sum_{i = f,s} p_i\,\partial_{p_i} R_c - \sum_j n_j a_j\,\partial_{a_j} R_c \\
   \partial_w\epsilon &= \frac{R_c}{L\tan 2\theta}\,\frac{2\tan\theta}{\sin 2\theta\cos 2\theta}

with the powers :math:`n_j` of the distortion's terms :math:`a_j` (Bragg's law gives
:math:`d(2\theta)/d\ln\lambda = 2\tan\theta`).

Where a detector is moved by a known length, it is its body that moves, not the point in which the
beam meets it. The distance in the border is then that of a fixed pixel, the pivot r, along the
beam, and the frame's own is

.. math:: L = X_r - [\cos t_y\sin t_z\,(r_f - b_f)\,p_f + \sin t_y\,(r_s - b_s)\,p_s]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.crystal.rings import Rings
from refimpl.detector.tilted_flat import (
    GEOMETRY_FIELDS,
    HARMONIC_POWERS,
    JACOBIAN_FIELDS,
    PANEL_FIELDS,
    ring_jacobian,
)
from refimpl.frames import F64, I64
from refimpl.powder.observations import RingPoints
from refimpl.powder.parameters import Parameters

__all__ = ["FrameProblem", "reach"]

_TERMS = GEOMETRY_FIELDS[10:]
_POWERS = (2, 4, 6, *(n for n in HARMONIC_POWERS for _ in "cs"))
_SCALED = [GEOMETRY_FIELDS.index(n) for n in ("pixel_fast_mm", "pixel_slow_mm", "rho_d_mm")]


def reach(g: F64, pivot: tuple[float, float]) -> tuple[float, dict[str, float]]:
    """How much farther along the beam a pixel is than the beam centre [mm], and its derivatives.

    Parameters
    ----------
    g
        (25,) geometry vector.
    pivot
        (fast, slow) [px] of the pixel.
    """
    ty, tz, pf, ps = g[4], g[5], g[6], g[7]
    fast, slow = pivot[0] - g[1], pivot[1] - g[2]
    cy, sy, cz, sz = np.cos(ty), np.sin(ty), np.cos(tz), np.sin(tz)
    return float(cy * sz * fast * pf + sy * slow * ps), {
        "beam_fast_px": float(-cy * sz * pf),
        "beam_slow_px": float(-sy * ps),
        "ty_rad": float(-sy * sz * fast * pf + cy * slow * ps),
        "tz_rad": float(cy * cz * fast * pf),
    }


@dataclass(frozen=True, eq=False)
class FrameProblem:
    """Points of one frame, panel after panel, and where its parameters stand in the border.

    Attributes
    ----------
    points
        In the order of panels.
    rings
        Of its calibrant at its wavelength.
    globals
        Its parameters; their model holds all else.
    first
        (p + 1,) where the points of each panel begin; (2,) without panels.
    at, offset
        (k,) the frame's parameters are ``border[at] + offset``.
    pixel, wavelength
        Where ln(pixel size) and ln(wavelength), relative to the model's and the rings', stand in
        the border; -1 for nowhere.
    pivot
        (fast, slow) [px] of the pixel whose distance the frame's ``lsd_mm`` is; None: it is that
        of the beam centre.
    """

    points: RingPoints
    rings: Rings
    globals: Parameters
    first: I64
    at: I64
    offset: F64
    pixel: int = -1
    wavelength: int = -1
    pivot: tuple[float, float] | None = None

    @property
    def columns(self) -> I64:
        """(c,) places in the border that this frame depends on, in the order of its columns."""
        shared = [i for i in (self.pixel, self.wavelength) if i >= 0]
        return np.concatenate([self.at, np.array(shared, dtype=np.int64)])

    def geometry(self, border: F64) -> F64:
        """(25,) geometry vector of the frame."""
        g = self.globals.geometry(border[self.at] + self.offset)
        if self.pixel >= 0:
            g[_SCALED] *= np.exp(border[self.pixel])
        if self.pivot is not None:
            g[0] -= reach(g, self.pivot)[0]
        return g

    def spread(self, border: F64) -> F64:
        """(k, g) derivatives of the frame's own parameters, as in its model, by the border."""
        out = np.zeros((len(self.at), len(border)))
        out[np.arange(len(self.at)), self.at] = 1.0
        if self.pivot is not None and "lsd_mm" in self.globals.names:
            row = self.globals.names.index("lsd_mm")
            for place, slope in self._by_pivot(self.geometry(border)):
                out[row, self.columns[place]] += slope
        return out

    def _by_pivot(self, g: F64) -> list[tuple[int, float]]:
        """Position among :attr:`columns`, and the derivative of L by it at fixed X."""
        assert self.pivot is not None
        total, slopes = reach(g, self.pivot)
        names = self.globals.names
        out = [(names.index(n), -slope) for n, slope in slopes.items() if n in names]
        return [*out, (len(names), -total)] if self.pixel >= 0 else out

    def two_theta_rad(self, border: F64) -> F64:
        """(h,) rings at the wavelength."""
        if self.wavelength < 0:
            return self.rings.two_theta_rad
        sine = np.sin(0.5 * self.rings.two_theta_rad) * np.exp(border[self.wavelength])
        return np.asarray(2.0 * np.arcsin(np.minimum(sine, 1.0)))

    def strain(self, border: F64, corrections: F64) -> F64:
        """(n,) signed pseudo-strain."""
        g = self.geometry(border)
        tangent = np.tan(self.two_theta_rad(border)[self.points.ring])
        radius, _, _ = self._radius(g, corrections)
        return np.asarray(1.0 - radius / (g[0] * tangent))

    def _radius(self, g: F64, corrections: F64) -> tuple[F64, F64, F64]:
        panel = self.points.panel.astype(np.int32)
        if len(corrections) == 0:
            panel = np.full(len(panel), -1, dtype=np.int32)
        return ring_jacobian(self.points.fast_px, self.points.slow_px, panel, g, corrections)

    def linearised(self, border: F64, corrections: F64, fields: tuple[str, ...]) -> tuple[F64, F64]:
        """Strain (n,) and its derivatives (n, c + m): :attr:`columns`, then the panel's own."""
        g = self.geometry(border)
        two_theta = self.two_theta_rad(border)[self.points.ring]
        tangent = np.tan(two_theta)
        radius, _, full = self._radius(g, corrections)
        parts = [self.globals.chain(border[self.at] + self.offset, full)]
        if self.pixel >= 0:
            parts.append(self._by_pixel(g, full, corrections)[:, None])
        if self.wavelength >= 0:
            by = 2.0 * np.tan(0.5 * two_theta) / (np.sin(two_theta) * np.cos(two_theta))
            parts.append(-(radius * by)[:, None])
        own = [JACOBIAN_FIELDS.index(f) for f in fields]
        jacobian = -np.hstack([*parts, full[:, own]]) / (g[0] * tangent)[:, None]
        if "lsd_mm" in self.globals.names:
            column = self.globals.names.index("lsd_mm")
            jacobian[:, column] += radius / (g[0] * g[0] * tangent)
            if self.pivot is not None:
                by_distance = jacobian[:, column].copy()
                for place, slope in self._by_pivot(g):
                    jacobian[:, place] += slope * by_distance
        return 1.0 - radius / (g[0] * tangent), jacobian

    def _by_pixel(self, g: F64, full: F64, corrections: F64) -> F64:
        """(n,) derivative of the radius by the logarithm of the pixel size."""
        out = np.zeros(len(full))
        for name in ("pixel_fast_mm", "pixel_slow_mm"):
            out += g[GEOMETRY_FIELDS.index(name)] * full[:, JACOBIAN_FIELDS.index(name)]
        for name, power in zip(_TERMS, _POWERS, strict=True):
            value = g[GEOMETRY_FIELDS.index(name)]
            if value != 0.0:
                out -= power * value * full[:, JACOBIAN_FIELDS.index(name)]
        if len(corrections):
            own = corrections[self.points.panel, 2 + PANEL_FIELDS.index("d_p2")]
            out -= 2.0 * own * full[:, JACOBIAN_FIELDS.index("d_p2")]
        return out
