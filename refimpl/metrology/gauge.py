r"""The gauge of a metrology: in which terms one physical answer is told.

Rotation data fix the panels relative to the beam and the spindle but for two directions: a turn of
beam, crystal and detector about the spindle, and a common scale of wavelength and cell. Every gauge
here holds Mu1 and the wavelength against these, as published. What is left to choose is how the
panels' moves are told apart from a move of the whole:

* ``published``: not at all. Each group's six values carry the move of the whole with them.
* ``anchor``: the whole moves as a rigid body, and one group has no move of its own.
* ``zero_sum``: each parent in the tree moves, and over its children the sums of the shifts in the
  parent's plane and of the turns about its normal are 0; with ``out_of_plane`` the sums of the
  shifts along the normal and of the tilts, too.

A pose is ``rigid(y) o pose(v0 + delta)``, with :math:`K \delta = 0`; predictions do not depend on
K. The change from one gauge to another is an S-transformation of the covariance (W. Baarda,
S-transformations and criterion matrices, 1973). Holding a group's six values in the *published*
parameters, without the rigid body, is no gauge: it asserts five facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import ConvergenceError
from refimpl.frames import F64
from refimpl.metrology.detector_parameters import DetectorParameters
from refimpl.metrology.parameters import ModelSet
from refimpl.metrology.siblings import Family, Gauge, Siblings, rigid_motion, siblings

__all__ = ["HELD", "Gauge", "GaugeAnswer", "state_gauge"]

HELD: Final = "Mu1 and the wavelength are held"
_SINGULAR = 1e-8


@dataclass(frozen=True, eq=False)
class GaugeAnswer:
    """One answer told in a gauge.

    Attributes
    ----------
    gauge, siblings
        The choice and what it means for this detector.
    rigid
        (r,) moves of the families since the start, in the units of their names.
    own
        (g, 6) changes of the groups' values within.
    covariance
        (r + 6 g, r + 6 g) of both; 0 for what is held.
    sentences
        What is held or sums to 0, in words.
    """

    gauge: Gauge
    siblings: Siblings
    rigid: F64
    own: F64
    covariance: F64
    sentences: tuple[str, ...]

    @property
    def values(self) -> F64:
        """(g, 6) published values: the same in every gauge."""
        return self.siblings.composed(self.rigid, self.own)

    @property
    def uncertainty(self) -> tuple[F64, F64]:
        """(r,) of the rigid moves and (g, 6) of the groups' own changes."""
        s = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        r = len(self.rigid)
        return s[:r], s[r:].reshape(-1, 6)

    def hierarchy(self) -> Hierarchy:
        """Refined detector whose root or parents have moved, and panels within them.

        The panels stand where they stand in every gauge: to 1e-12 mm.
        """
        detector = self.siblings.detector
        moved = detector.moved(self.values)
        final = moved.d
        for family in self.siblings.families:
            path = _path_of(detector, family)
            level = len(path)
            if moved.root is None:
                continue
            turn, shift = rigid_motion(family, self._of(family))
            frames = []
            for own, _, d in moved.groups(level):
                new = d.copy()
                if own == path:
                    new = turn @ d
                    new[:, 2] = family.pivot + turn @ (d[:, 2] - family.pivot) + shift
                frames.append(new)
            moved = moved.with_group_frames(level, np.array(frames))
        level = detector.level or 0
        groups = detector.moved(self.values).groups(level) if moved.root is not None else []
        if groups and level > 0:
            moved = moved.with_group_frames(level, np.array([d for _, _, d in groups]))
        return moved.with_d(final)

    def _of(self, family: Family) -> F64:
        return next(y for f, y in self.siblings.each(self.rigid) if f is family)


def _path_of(detector: DetectorParameters, family: Family) -> tuple[int, ...]:
    """Path of the node that a family hangs on; the root for an anchor's."""
    if family.label == detector.prefix:
        return ()
    paths = [path for path, _, _ in detector.detector.groups(detector.level or 0)]
    return paths[family.groups[0]][:-1]


def state_gauge(
    models: ModelSet, values: F64, gauge: Gauge, covariance: F64 | None = None
) -> GaugeAnswer:
    """Tell an answer in a gauge.

    Parameters
    ----------
    models
        Parameters of the refinement.
    values
        (k,) all values at the end.
    gauge
        Choice.
    covariance
        (f, f) of the free parameters, in the published gauge; without it that of the answer is 0.

    Raises
    ------
    ConfigError
        See :func:`siblings`.
    ConvergenceError
        The constraints do not determine the moves of the whole.
    """
    own = siblings(models, gauge)
    table = models.detector_values(values, 0)
    y = np.zeros(len(own.rows))
    for _ in range(20):
        delta = own.within(y, table)
        miss = np.einsum("qgk,gk->q", own.rows, delta)
        solver, _, _ = _change(own, y, delta)
        step = solver @ miss
        y = y + step
        if len(step) == 0 or np.max(np.abs(step)) < 1e-13 * (1.0 + np.max(np.abs(y))):
            break
    delta = own.within(y, table)
    n = delta.size
    out = np.zeros((len(y) + n, len(y) + n))
    if covariance is not None:
        at = models.detector_at(0)
        free = np.flatnonzero(models.free)
        mine = (free >= at.start) & (free < at.stop)
        published = np.zeros((n, n))
        place = free[mine] - at.start
        published[np.ix_(place, place)] = covariance[np.ix_(mine, mine)]
        _, to_y, to_delta = _change(own, y, delta)
        both = np.vstack([to_y, to_delta])
        out = both @ published @ both.T
    return GaugeAnswer(gauge, own, y, delta, out, (*own.sentences, HELD))


def _change(own: Siblings, y: F64, delta: F64) -> tuple[F64, F64, F64]:
    """Inverse (r, r) of K S^-1 T; maps (r, n) and (n, n) from published changes to y and delta."""
    by_delta, by_y = own.derivatives(y, delta)
    inverse = np.linalg.inv(by_delta)
    g = len(delta)
    arms = np.einsum("gij,gjr->gir", inverse, by_y)  # S^-1 T
    rows = np.einsum("qgi,gij->qgj", own.rows, inverse)
    middle = np.einsum("qgi,gir->qr", own.rows, arms)
    if len(middle):
        size = np.abs(middle).max(axis=1, keepdims=True)
        if np.any(size == 0.0) or np.linalg.cond(middle / size) > 1.0 / _SINGULAR:
            raise ConvergenceError("gauge: the constraints leave a move of the whole open")
    solver = np.linalg.inv(middle)
    to_y = solver @ rows.reshape(len(rows), 6 * g)
    spread = np.zeros((6 * g, 6 * g))
    for k in range(g):
        spread[6 * k : 6 * k + 6, 6 * k : 6 * k + 6] = inverse[k]
    to_delta = spread - arms.reshape(6 * g, -1) @ to_y
    return solver, to_y, to_delta
