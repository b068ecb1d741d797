r"""What the data say of a panel: how far it moves the rings that lie on it, in one gauge.

Codes share out the same rings differently between shifts, heights, tilts, distortion and the
detector as a whole. What all of them must agree on is the radial displacement of the rings on each
panel, in px of the detector, against one single surface s:

.. math:: u_i = \frac{L_s}{a} \langle \tan 2\theta(f, s) - \tan 2\theta_s(f, s) \rangle_i

averaged over the ring points of panel i, without what beam centre, distance and two tilts of the
whole do to it (:math:`\sin\eta, \cos\eta, r, r^2\sin\eta, r^2\cos\eta`, all panels alike).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.corrections import remove_modes
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import JACOBIAN_FIELDS, ring_jacobian
from refimpl.frames import F64, I64
from refimpl.powder.observations import RingPoints
from refimpl.powder.refine import GeometryFit

__all__ = ["Agreement", "RingPlaces", "in_plane", "in_plane_sigma", "places_of"]


@dataclass(frozen=True, eq=False)
class RingPlaces:
    """Ring points of one extraction, and the single surface that displacements count from.

    Attributes
    ----------
    points
        Used points, each on a panel.
    surface
        Single surface.
    seen
        (q,) panels that have points.
    modes
        (q, k) mean effect of the detector as a whole on each of them.
    """

    points: RingPoints
    surface: TiltedFlat
    seen: I64
    modes: F64

    @property
    def px(self) -> float:
        """Px of the detector in a tangent of 1."""
        return self.surface.lsd_mm / self.surface.pixel_size_mm[0]

    def mean(self, values: F64) -> F64:
        """(q, ...) mean over the points of each panel."""
        return np.array([values[self.points.panel == i].mean(axis=0) for i in self.seen])

    def count(self) -> I64:
        """(q,) points."""
        return np.bincount(self.points.panel)[self.seen]

    def gauge(self) -> F64:
        """(q, q) takes the modes out."""
        scaled = self.modes / np.abs(self.modes).max(axis=0)
        return np.asarray(np.eye(len(self.seen)) - scaled @ np.linalg.pinv(scaled))

    def radial(self, model: TiltedFlat, panel: I64 | None = None) -> F64:
        """(q,) [px] displacement at a geometry; `panel` where it numbers its panels otherwise."""
        own = self.points.panel if panel is None else panel
        where = (self.points.fast_px, self.points.slow_px)
        radius, _ = model.ring_coordinates(*where, own.astype(np.int32))
        flat, _ = self.surface.ring_coordinates(*where)
        tangent = radius / model.lsd_mm - flat / self.surface.lsd_mm
        return self.gauge() @ self.mean(tangent) * self.px

    def of_shifts(self, corrections: F64) -> F64:
        """(q,) [px] the same, of dY and dZ alone."""
        _, eta = self.surface.ring_coordinates(self.points.fast_px, self.points.slow_px)
        own = corrections[self.points.panel]
        return self.gauge() @ self.mean(own[:, 0] * np.sin(eta) + own[:, 1] * np.cos(eta))

    def sigma(self, fit: GeometryFit) -> F64:
        """(q,) [px] standard uncertainty of :meth:`radial`, from the whole covariance."""
        solution = fit.panels
        assert solution is not None
        g, fields = len(fit.parameters), solution.setup.fields
        model = fit.parameters.at(fit.fit.x)
        panel = self.points.panel.astype(np.int32)
        radius, _, full = ring_jacobian(
            self.points.fast_px, self.points.slow_px, panel, model.geometry, model.corrections
        )
        own = full[:, [JACOBIAN_FIELDS.index(f) for f in fields]]
        wide = np.zeros((len(panel), len(solution.names)))
        wide[:, :g] = fit.parameters.chain(fit.fit.x, full)
        wide[:, fit.parameters.names.index("lsd_mm")] -= radius / model.lsd_mm
        for k in range(len(fields)):
            wide[np.arange(len(panel)), g + panel * len(fields) + k] = own[:, k]
        rows = self.gauge() @ self.mean(wide / model.lsd_mm) * self.px
        return np.sqrt(np.einsum("qi,ij,qj->q", rows, solution.covariance, rows, optimize=True))


def places_of(points: RingPoints, model: TiltedFlat, *, tilts: bool = True) -> RingPlaces:
    """Places of the used points of a calibration, with or without the two tilts in the gauge."""
    used = points.select(points.used)
    surface = model.replace(panel_boxes=None, panel_corrections=None)
    radius, eta = surface.ring_coordinates(used.fast_px, used.slow_px)
    columns = [np.sin(eta), np.cos(eta), radius]
    columns += [radius**2 * np.sin(eta), radius**2 * np.cos(eta)] if tilts else []
    bare = RingPlaces(used, surface, np.unique(used.panel), np.zeros((0, 0)))
    return RingPlaces(used, surface, bare.seen, bare.mean(np.stack(columns, axis=1)))


@dataclass(frozen=True)
class Agreement:
    """How two sets of displacements agree: correlation, rms difference, normalised difference."""

    correlation: float
    rms: float
    z: F64

    @classmethod
    def of(cls, ours: F64, theirs: F64, sigma: F64) -> Agreement:
        """Agreement of two sets (q,) [px]; sigma is that of ours."""
        apart = theirs - ours
        correlation = float(np.corrcoef(ours, theirs)[0, 1])
        return cls(correlation, float(np.sqrt(np.mean(apart**2))), apart / sigma)

    @property
    def rms_z(self) -> float:
        """Root mean square of the normalised difference."""
        return float(np.sqrt(np.mean(self.z**2)))

    def beyond(self, limit: float = 3.0) -> NDArray[np.int64]:
        """Positions that differ by more."""
        return np.flatnonzero(np.abs(self.z) > limit)


def in_plane(boxes: I64, corrections: F64, seen: I64) -> F64:
    """(q, 2) [px] dY, dZ of the seen panels: sums, net turn and expansion over them are 0."""
    weights = np.zeros(len(boxes))
    weights[seen] = 1.0
    return remove_modes(boxes, corrections[:, :2], weights)[seen]


def in_plane_sigma(boxes: I64, fit: GeometryFit, seen: I64) -> F64:
    """(q, 2) [px] standard uncertainties of :func:`in_plane`."""
    solution = fit.panels
    assert solution is not None
    m, g, p = len(solution.setup.fields), len(fit.parameters), len(boxes)
    at = g + np.arange(p)[:, None] * m + np.array([0, 1])  # the shifts are a block's first
    unit = np.eye(2 * p).reshape(2 * p, p, 2)
    turn = np.array([in_plane(boxes, u, seen).ravel() for u in unit]).T
    covariance = turn @ solution.covariance[np.ix_(at.ravel(), at.ravel())] @ turn.T
    return np.sqrt(np.maximum(np.diag(covariance), 0.0)).reshape(-1, 2)
