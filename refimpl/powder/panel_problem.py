r"""The least-squares problem of one or several frames on the same panels, as an arrow.

The border holds what belongs to the detector as a whole: the global parameters of each frame and
what frames share. A frame's own parameters are :math:`x_{at} + o`: several frames may read the
same number, one of them displaced by a known o. The blocks are the panels. With
:math:`\epsilon = 1 - R_c/(L\tan 2\theta)` two further parameters can be shared: the logarithm q of
the pixel size, with which the radius that normalises the distortion grows, and that of the
wavelength, w,

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
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.tilted_flat import (
    GEOMETRY_FIELDS,
    HARMONIC_POWERS,
    JACOBIAN_FIELDS,
    PANEL_FIELDS,
    ring_jacobian,
)
from refimpl.frames import F64, I64
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import Normal, accumulate_blocks, accumulate_normal
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.parameters import Parameters

__all__ = ["FrameProblem", "PanelProblem", "reach"]

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


@dataclass(frozen=True, eq=False)
class PanelProblem:
    """All frames, and what is refined.

    Attributes
    ----------
    frames
        At least one.
    names, start, lower, upper
        (g,) of the border.
    setup
        What the panels may do; None: there are none, or they stay as they are.
    moves
        (p, 9) corrections to start from; p may be 0.
    free
        (p, m) what is refined of the panels.
    floating
        (q, p, m) directions in which all panels move alike, of which the priors say nothing; the
        last q of the border say how far the priors' zero is moved. None: the priors are about 0.
    """

    frames: tuple[FrameProblem, ...]
    names: tuple[str, ...]
    start: F64
    lower: F64
    upper: F64
    setup: PanelSetup | None
    moves: F64
    free: NDArray[np.bool_]
    floating: F64 | None = None

    @property
    def along(self) -> F64 | None:
        """(p, m, g) what of the border the priors add to the panels' parameters."""
        if self.floating is None:
            return None
        q, p, m = self.floating.shape
        out = np.zeros((p, m, self.g))
        out[:, :, self.g - q :] = np.where(
            self.free[..., None], np.moveaxis(self.floating, 0, 2), 0.0
        )
        return out

    def seen_by_priors(self, x: F64) -> F64:
        """(p, m) what the priors expect to be about 0."""
        own = x[self.g :].reshape(self.p, len(self.fields))
        along = self.along
        return own if along is None else own + along @ x[: self.g]

    @property
    def g(self) -> int:
        """Parameters of the border."""
        return len(self.names)

    @property
    def p(self) -> int:
        """Panels."""
        return len(self.free)

    @property
    def fields(self) -> tuple[str, ...]:
        """(m,) fields of a panel that are refined."""
        return () if self.setup is None else self.setup.fields

    @property
    def all_names(self) -> tuple[str, ...]:
        """(g + p m,) of the border, then ``3.d_fast_px`` panel by panel."""
        return (*self.names, *(f"{i}.{f}" for i in range(self.p) for f in self.fields))

    @property
    def boxes(self) -> I64:
        """(p, 4) of the panels."""
        boxes = self.frames[0].globals.model.panel_boxes
        return np.zeros((0, 4), dtype=np.int64) if boxes is None else np.asarray(boxes)

    def places(self, name: str) -> list[int]:
        """Where the frames' parameters of a name stand in the border, each once."""
        found = (int(f.at[f.globals.names.index(name)]) for f in self.frames
                 if name in f.globals.names)  # fmt: skip
        return sorted(set(found))

    def corrections(self, x: F64) -> F64:
        """(p, 9) table at the parameters."""
        table = self.moves.copy()
        if self.setup is not None:
            table[:, 2 + self.setup.columns] = x[self.g :].reshape(self.p, -1)
        return table

    def _own(self) -> F64:
        if self.setup is None:
            return np.zeros((self.p, 0))
        return np.asarray(self.moves[:, 2 + self.setup.columns])

    def first(self) -> F64:
        """(g + p m,) parameters to start from."""
        return np.concatenate([self.start, self._own().ravel()])

    def bounds(self) -> tuple[F64, F64]:
        """Search range about the start; a held parameter's is a point."""
        own = self._own()
        reach = np.zeros(own.shape)
        if self.setup is not None:
            reach = np.where(self.free, self.setup.reach(), 0.0)
        low = np.concatenate([self.lower, (own - reach).ravel()])
        return low, np.concatenate([self.upper, (own + reach).ravel()])

    def strains(self, x: F64) -> list[F64]:
        """Strain (n,) of each frame's points."""
        corrections = self.corrections(x)
        return [f.strain(x[: self.g], corrections) for f in self.frames]

    def possible(self, x: F64) -> bool:
        """Whether every frame's distance is positive."""
        return all(f.geometry(x[: self.g])[0] > 0.0 for f in self.frames)

    def normal(self, x: F64, weights: list[F64], precision: F64, rows: F64) -> Bordered:
        """Arrow-shaped normal equations, priors included.

        Parameters
        ----------
        x
            (g + p m,).
        weights
            (n,) of each frame's points.
        precision
            (m,) of the priors.
        rows
            (q, p, m) constraints.
        """
        g = self.g
        sums = self._sums(x, weights)
        cost, gradient = float(np.sum(sums[:, 0, 0])), np.sum(sums[:, 1 : 1 + g, 0], axis=0)
        border = np.sum(sums[:, 1 : 1 + g, 1 : 1 + g], axis=0)
        cross = sums[:, 1 : 1 + g, 1 + g :].copy()
        blocks, slopes = sums[:, 1 + g :, 1 + g :].copy(), sums[:, 1 + g :, 0].copy()
        own = self.seen_by_priors(x)
        cost += float(np.sum(precision * own * own))
        np.einsum("pii->pi", blocks)[...] += precision
        slopes += precision * own
        if (along := self.along) is not None:
            gradient += np.einsum("pmg,m,pm->g", along, precision, own)
            border += np.einsum("pmg,m,pmh->gh", along, precision, along)
            cross += np.einsum("pmg,m->pgm", along, precision)
        n = sum(int(np.count_nonzero(w)) for w in weights)
        down = np.concatenate([gradient, slopes.ravel()])
        return Bordered(cost, down, n, border, cross, blocks, rows)

    def _sums(self, x: F64, weights: list[F64]) -> F64:
        """(p, 1 + g + m, 1 + g + m) normal matrices of the panels, frame added to frame."""
        g, m, corrections = self.g, len(self.fields), self.corrections(x)
        total = np.zeros((self.p, 1 + g + m, 1 + g + m))
        for frame, weight in zip(self.frames, weights, strict=True):
            strain, jacobian = frame.linearised(x[:g], corrections, self.fields)
            sums = accumulate_blocks(strain, jacobian, weight, frame.first)
            at = np.concatenate([[0], 1 + frame.columns, 1 + g + np.arange(m)])
            total[np.ix_(np.arange(self.p), at, at)] += sums
        return total

    def dense(self, x: F64, weights: list[F64]) -> Normal:
        """Normal equations of the border alone."""
        g, corrections = self.g, self.corrections(x)
        cost, gradient, hessian = 0.0, np.zeros(g), np.zeros((g, g))
        for frame, weight in zip(self.frames, weights, strict=True):
            strain, jacobian = frame.linearised(x[:g], corrections, ())
            own, slope, matrix = accumulate_normal(strain, jacobian, weight)
            cost += own
            gradient[frame.columns] += slope
            hessian[np.ix_(frame.columns, frame.columns)] += matrix
        n = sum(int(np.count_nonzero(w)) for w in weights)
        return Normal(cost, gradient, hessian, n)
