r"""Detector as parameters: distance, two shifts and three rotations of each group of panels.

A group is a panel, the whole detector, or a node of its tree. With its axes d1, d2,
:math:`d_n = d_1 \times d_2` and the foot of the normal :math:`P_0 = \mathrm{dist}\,d_n`:

.. math::

   o &= P_0 + R(d_2,\tau_3) R(d_1,\tau_2) R(d_n,\tau_1)\,(s_1 d_1 + s_2 d_2) \\
   d_i' &= R(d_2,\tau_3) R(d_1,\tau_2) R(d_n,\tau_1)\, d_i

and every panel of the group keeps its place in the frame :math:`(d_1', d_2', d_n')` at o. The
rotations pivot about :math:`P_0`, not about the panels' centre: that matters for the path of a
damped fit, not for its end. Angles are in mrad, as published. Source: Waterman et al., Acta Cryst.
D72 (2016) 558, and DIALS (spec 2.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.detector.hierarchy import Hierarchy, axes_of
from refimpl.errors import GeometryError
from refimpl.frames import F64, I64
from refimpl.rotations import turn_and_slope

__all__ = ["DETECTOR_NAMES", "DetectorParameters", "detector_parameters"]

DETECTOR_NAMES = ("Dist", "Shift1", "Shift2", "Tau1", "Tau2", "Tau3")
MRAD = 1e-3


@dataclass(frozen=True, eq=False)
class DetectorParameters:
    """Groups of one detector.

    Attributes
    ----------
    prefix
        ``Detector1``.
    detector
        As it was when the parameters were made.
    level
        Of the tree; None where the whole detector is one group by its panels.
    members
        (g,) panels of each group.
    group_of
        (p,) group of each panel.
    axes
        (g, 3, 3) columns d1, d2, dn.
    initial
        (g, 6) values: mm, mm, mm, mrad, mrad, mrad.
    offsets
        (p, 3, 3) columns fast, slow, origin of each panel in its group's frame.
    """

    prefix: str
    detector: Hierarchy
    level: int | None
    members: tuple[tuple[int, ...], ...]
    group_of: I64
    axes: F64
    initial: F64
    offsets: F64

    @property
    def names(self) -> tuple[str, ...]:
        """(6 g,) published names, group by group."""
        single = len(self.detector) == 1
        groups = range(1, len(self.members) + 1)
        heads = [self.prefix if single else f"{self.prefix}Group{i}" for i in groups]
        return tuple(f"{head}{name}" for head in heads for name in DETECTOR_NAMES)

    def d(self, values: F64) -> F64:
        """(p, 3, 3) global columns of every panel at the values (g, 6)."""
        return self._frames(values)[0]

    def derivatives(self, values: F64) -> F64:
        """(p, 6, 3, 3) derivatives of each panel's columns by the values of its group."""
        return self._frames(values)[1]

    def _frames(self, values: F64) -> tuple[F64, F64]:
        p = len(self.offsets)
        d, by = np.empty((p, 3, 3)), np.empty((p, 6, 3, 3))
        for g, (dist, s1, s2, *tau) in enumerate(values):
            d1, d2, dn = self.axes[g].T
            (r1, dr1), (r2, dr2), (r3, dr3) = (
                turn_and_slope(axis, angle * MRAD)
                for axis, angle in zip((dn, d1, d2), tau, strict=True)
            )
            full = r3 @ r2 @ r1
            place = s1 * d1 + s2 * d2
            turns = [r3 @ r2 @ dr1 * MRAD, r3 @ dr2 @ r1 * MRAD, dr3 @ r2 @ r1 * MRAD]
            origin = dist * dn + full @ place
            moves = [dn, full @ d1, full @ d2, *(t @ place for t in turns)]
            frame = full @ self.axes[g]
            spins = [np.zeros((3, 3))] * 3 + [t @ self.axes[g] for t in turns]
            for panel in self.members[g]:
                local = self.offsets[panel]
                d[panel] = frame @ local
                d[panel, :, 2] += origin
                for k in range(6):
                    by[panel, k] = spins[k] @ local
                    by[panel, k, :, 2] += moves[k]
        return d, by

    def moved(self, values: F64) -> Hierarchy:
        """Detector at the values (g, 6); what hangs on a group moves with it."""
        if self.level is None or (self.level == 0 and self.detector.root is None):
            return self.detector.with_d(self.d(values))
        frames = []
        for g, (_, _, old) in enumerate(self.detector.groups(self.level)):
            frames.append(self._moved_frame(g, old, values[g]))
        return self.detector.with_group_frames(self.level, np.array(frames))

    def _moved_frame(self, g: int, old: F64, values: F64) -> F64:
        """(3, 3) new columns of a group's own frame."""
        (before, start), (after, point) = (self.pose(g, v) for v in (self.initial[g], values))
        turned = (after @ self.axes[g]) @ (before @ self.axes[g]).T
        out = turned @ old
        out[:, 2] = point + turned @ (old[:, 2] - start)
        return out

    def turns(self, g: int, tau: F64) -> tuple[F64, F64, F64]:
        """R(dn, tau1), R(d1, tau2), R(d2, tau3) of a group, each (3, 3)."""
        d1, d2, dn = self.axes[g].T
        angles = zip((dn, d1, d2), tau, strict=True)
        r1, r2, r3 = (turn_and_slope(axis, t * MRAD)[0] for axis, t in angles)
        return r1, r2, r3

    def pose(self, g: int, values: F64) -> tuple[F64, F64]:
        """Rotation F (3, 3) of a group since its axes were fixed, and its point o (3,) [mm]."""
        dist, s1, s2 = values[:3]
        d1, d2, dn = self.axes[g].T
        r1, r2, r3 = self.turns(g, values[3:])
        full = r3 @ r2 @ r1
        return full, dist * dn + full @ (s1 * d1 + s2 * d2)

    def values_of_pose(self, g: int, full: F64, point: F64) -> F64:
        """(6,) values of a group's pose, the inverse of :meth:`pose`.

        Raises
        ------
        GeometryError
            The group stands across its first position: no distance along the first normal gives it.
        """
        axes = self.axes[g]
        d1, d2, dn = axes.T
        m = axes.T @ full @ axes  # = Ry(tau3) Rx(tau2) Rz(tau1) in the group's axes
        if abs(m[2, 2]) < 1e-9 or abs(m[1, 2]) > 1.0 - 1e-12:
            raise GeometryError(f"{self.prefix}Group{g + 1} has turned by a right angle")
        tau = np.array([np.arctan2(m[1, 0], m[1, 1]), -np.arcsin(m[1, 2]),
                        np.arctan2(m[0, 2], m[2, 2])]) / MRAD  # fmt: skip
        normal = full @ dn
        dist = float(point @ normal) / float(dn @ normal)
        rest = point - dist * dn
        return np.array([dist, rest @ (full @ d1), rest @ (full @ d2), *tau])


def detector_parameters(
    detector: Hierarchy, level: int = 0, prefix: str = "Detector1", s0: F64 | None = None
) -> DetectorParameters:
    """Parameters of a detector by groups at a level of its tree.

    Parameters
    ----------
    detector
        As it is; all rotations start at 0.
    level
        0: the whole detector moves as one. A detector without a tree has level 0 only: its axes
        are those of the panel that the beam comes nearest to.
    prefix
        Of the names.
    s0
        (3,) beam vector, for a detector of several panels without a tree.

    Raises
    ------
    ConfigError
        The tree is less deep.
    GeometryError
        A group's plane holds the sample.
    """
    d, p = detector.d, len(detector)
    centres = detector.centres(d)
    if p == 1:
        groups: Sequence[tuple[tuple[int, ...], F64, F64]] = [((0,), d[0], centres[0])]
        own_level: int | None = None
    elif detector.root is None and level == 0:
        near = _nearest(d, centres, s0)
        groups, own_level = [(tuple(range(p)), d[near], centres[near])], None
    else:
        own_level = level
        groups = [
            (panels, frame, _projected(centres[list(panels)], frame))
            for _, panels, frame in detector.groups(level)
        ]
    axes, initial, offsets = np.empty((len(groups), 3, 3)), [], np.empty((p, 3, 3))
    group_of = np.empty(p, dtype=np.int64)
    for g, (panels, frame, origin) in enumerate(groups):
        axes[g] = axes_of(frame)
        d1, d2, dn = axes[g].T
        dist = float(frame[:, 2] @ dn)
        if abs(dist) < 1e-9:
            raise GeometryError(f"{prefix}: the sample lies in the plane of group {g + 1}")
        place = origin - dist * dn
        initial.append([dist, place @ d1, place @ d2, 0.0, 0.0, 0.0])
        for panel in panels:
            group_of[panel] = g
            local = axes[g].T @ d[panel]
            local[:, 2] = axes[g].T @ (d[panel, :, 2] - (dist * dn + _in(place, d1, d2)))
            offsets[panel] = local
    members = tuple(tuple(panels) for panels, _, _ in groups)
    return DetectorParameters(
        prefix, detector, own_level, members, group_of, axes, np.array(initial), offsets
    )


def _in(place: F64, d1: F64, d2: F64) -> F64:
    return np.asarray((place @ d1) * d1 + (place @ d2) * d2)


def _nearest(d: F64, centres: F64, s0: F64 | None) -> int:
    """Panel whose centre the beam comes nearest to, by angle."""
    if s0 is None:
        return 0
    along = centres @ s0 / np.sqrt((centres**2).sum(axis=1))
    return int(np.argmax(along))


def _projected(centres: F64, frame: F64) -> F64:
    """Mean of panel centres, projected onto the group's plane along the ray from the sample."""
    mean = centres.mean(axis=0)
    normal = np.cross(frame[:, 0], frame[:, 1])
    return np.asarray(mean * (float(frame[:, 2] @ normal) / float(mean @ normal)))
