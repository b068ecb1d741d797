"""Groups of a detector that move as one, and what is held among them: the terms of a gauge.

The formulas are in :mod:`refimpl.metrology.gauge`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy, axes_of
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.metrology.detector_parameters import MRAD, DetectorParameters
from refimpl.metrology.group_moves import group_moves
from refimpl.metrology.parameters import ModelSet
from refimpl.rotations import cross_matrix, expmap, left_jacobian

__all__ = ["GAUGES", "Family", "Gauge", "Siblings", "rigid_motion", "siblings"]

GAUGES: Final = ("published", "anchor", "zero_sum")
_MOVES = ("shift along fast [mm]", "shift along slow [mm]", "turn about the normal [mrad]",
          "shift along the normal [mm]", "turn about fast [mrad]",
          "turn about slow [mrad]")  # fmt: skip
_CLOSED = 1e-9


@dataclass(frozen=True)
class Gauge:
    """Choice of a gauge.

    Attributes
    ----------
    kind
        One of :data:`GAUGES`.
    group
        Number of the anchor, from 1 as in the parameters' names.
    out_of_plane
        Of ``zero_sum``: shifts along the normal and tilts, too.
    """

    kind: Literal["published", "anchor", "zero_sum"] = "published"
    group: int | None = None
    out_of_plane: bool = False

    def __post_init__(self) -> None:
        if self.kind not in GAUGES:
            raise ConfigError(f"gauge {self.kind!r}: expected one of {', '.join(GAUGES)}")
        if (self.kind == "anchor") != (self.group is not None):
            raise ConfigError(
                f"gauge {self.kind}: group {self.group}: the gauge anchor, and no other, takes a "
                "group"
            )


@dataclass(frozen=True, eq=False)
class Family:
    """Groups that move as one: names, groups that take part, pivot (3,), basis (6, r) of moves."""

    label: str
    groups: tuple[int, ...]
    pivot: F64
    basis: F64


@dataclass(frozen=True, eq=False)
class Siblings:
    """Rigid bodies of a gauge and the constraints on what moves in them.

    Attributes
    ----------
    detector
        Parameters of the groups.
    families
        Rigid bodies, with r moves each.
    rows
        (q, g, 6) coefficients of the groups' own changes that are kept at 0; q is the number of
        all moves.
    sentences
        (q,) what each means.
    """

    detector: DetectorParameters
    families: tuple[Family, ...]
    rows: F64
    sentences: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """(r,) names of the moves of all families."""
        return tuple(
            f"{f.label} {_MOVES[k]}" for f in self.families for k in range(f.basis.shape[1])
        )

    def composed(self, y: F64, delta: F64) -> F64:
        """(g, 6) published values of moves y (r,) of the families and changes (g, 6) within."""
        out = self.detector.initial + delta
        for family, own in self.each(y):
            turn, shift = rigid_motion(family, own)
            for g in family.groups:
                full, point = self.detector.pose(g, out[g])
                moved = family.pivot + turn @ (point - family.pivot) + shift
                out[g] = self.detector.values_of_pose(g, turn @ full, moved)
        return out

    def within(self, y: F64, values: F64) -> F64:
        """(g, 6) changes within the families that give the published values (g, 6)."""
        out = np.array(values, dtype=np.float64)
        for family, own in self.each(y):
            turn, shift = rigid_motion(family, own)
            for g in family.groups:
                full, point = self.detector.pose(g, out[g])
                back = family.pivot + turn.T @ (point - family.pivot - shift)
                out[g] = self.detector.values_of_pose(g, turn.T @ full, back)
        return np.asarray(out - self.detector.initial)

    def derivatives(self, y: F64, delta: F64) -> tuple[F64, F64]:
        """(g, 6, 6) and (g, 6, r) derivatives of :meth:`composed` by `delta` and by `y`."""
        before = self.detector.initial + delta
        after = self.composed(y, delta)
        inner, outer = group_moves(self.detector, before), group_moves(self.detector, after)
        by_delta = np.tile(np.eye(6), (len(delta), 1, 1))
        by_y = np.zeros((len(delta), 6, len(y)))
        start = 0
        for family, own in self.each(y):
            turn, _ = rigid_motion(family, own)
            twist = family.basis @ own
            left = left_jacobian(twist[3:])
            at = slice(start, start + len(own))
            start = at.stop
            for g in family.groups:
                arm = turn @ (self.detector.pose(g, before[g])[1] - family.pivot)
                move = np.zeros((6, len(own)))
                move[3:] = left @ family.basis[3:]
                move[:3] = family.basis[:3] - cross_matrix(arm) @ move[3:]
                by_y[g][:, at] = np.linalg.solve(outer[g], move)
                both = np.kron(np.eye(2), turn)
                by_delta[g] = np.linalg.solve(outer[g], both @ inner[g])
        return by_delta, by_y

    def each(self, y: F64) -> list[tuple[Family, F64]]:
        """Families with their moves of y (r,)."""
        edges = np.cumsum([0, *(f.basis.shape[1] for f in self.families)])
        return [(f, y[a:b]) for f, a, b in zip(self.families, edges, edges[1:], strict=False)]


def rigid_motion(family: Family, y: F64) -> tuple[F64, F64]:
    """Rotation (3, 3) about a family's pivot and shift (3,) [mm] of its moves y."""
    twist = family.basis @ y
    return expmap(twist[3:]), twist[:3]


def siblings(models: ModelSet, gauge: Gauge) -> Siblings:
    """Rigid bodies and constraints of a gauge.

    Groups that are held take no part: they stay where they are in the lab.

    Raises
    ------
    ConfigError
        Several detectors; an anchor that is not there or is held; values that are fixed in part,
        so that the whole could move as no choice of the free ones does.
    """
    if len(models.detectors) != 1:
        raise ConfigError(f"gauge {gauge.kind}: {len(models.detectors)} detectors: expected one")
    detector = models.detectors[0]
    n = len(detector.members)
    free = models.free[models.detector_at(0)].reshape(n, 6)
    taking = np.flatnonzero(free.any(axis=1))
    if gauge.kind == "published":
        return Siblings(detector, (), np.zeros((0, n, 6)), ())
    if len(taking) < 2:
        raise ConfigError(
            f"gauge {gauge.kind}: {len(taking)} group(s) of the detector move: nothing to compare"
        )
    families, rows, sentences = [], [], []
    if gauge.kind == "anchor":
        assert gauge.group is not None
        anchor = gauge.group - 1
        if anchor not in taking:
            raise ConfigError(
                f"gauge anchor: {detector.prefix}Group{gauge.group} is held or not there: the "
                f"free ones are {_listed(taking + 1)}"
            )
        families.append(_family(models, detector.prefix, (), taking, 6))
        for k, name in enumerate(("Dist", "Shift1", "Shift2", "Tau1", "Tau2", "Tau3")):
            row = np.zeros((n, 6))
            row[anchor, k] = 1.0
            rows.append(row)
            sentences.append(f"{detector.prefix}Group{gauge.group}{name} is held")
    else:
        for path, members in _by_parent(detector, taking):
            label = f"{detector.prefix}Node{'.'.join(str(k + 1) for k in path)}" if path else (
                detector.prefix)  # fmt: skip
            family = _family(models, label, path, members, 6 if gauge.out_of_plane else 3)
            families.append(family)
            more, words = _sums(detector, family)
            rows += more
            sentences += words
    out = Siblings(detector, tuple(families), np.array(rows), tuple(sentences))
    _check(out, free)
    return out


def _listed(numbers: I64) -> str:
    words = [str(k) for k in numbers[:8]]
    return ", ".join(words) + (" ..." if len(numbers) > 8 else "")


def _by_parent(detector: DetectorParameters, taking: I64) -> list[tuple[tuple[int, ...], I64]]:
    if detector.level is None:
        return [((), taking)]
    paths = [path for path, _, _ in detector.detector.groups(detector.level)]
    parents: dict[tuple[int, ...], list[int]] = {}
    for g in taking:
        parents.setdefault(paths[g][:-1], []).append(int(g))
    return [(path, np.array(members)) for path, members in parents.items()]


def _parent_axes(detector: Hierarchy, path: tuple[int, ...]) -> F64:
    """(3, 3) columns fast, slow, normal of a node."""
    return axes_of(next(d for own, _, d in detector.groups(len(path)) if own == path))


def _family(
    models: ModelSet, label: str, path: tuple[int, ...], members: I64, moves: int
) -> Family:
    """Family that pivots about its groups' mean point; moves in the order of :data:`_MOVES`."""
    detector = models.detectors[0]
    points = [detector.pose(g, detector.initial[g])[1] for g in members]
    axes = _parent_axes(detector.detector, path)
    basis = np.zeros((6, 6))
    basis[:3, [0, 1, 3]] = axes
    basis[3:, [4, 5, 2]] = axes * MRAD
    return Family(label, tuple(int(g) for g in members), np.mean(points, axis=0), basis[:, :moves])


def _sums(detector: DetectorParameters, family: Family) -> tuple[list[F64], list[str]]:
    """Rows (g, 6): the sum over a family of each of its moves, told by its groups' own values."""
    moves = group_moves(detector, detector.initial)
    rows, words = [], []
    for k in range(family.basis.shape[1]):
        direction = family.basis[:, k] / (family.basis[:, k] @ family.basis[:, k])
        row = np.zeros(detector.initial.shape)
        for g in family.groups:
            row[g] = direction @ moves[g]
        rows.append(row)
        words.append(f"{family.label}: the sum of {_MOVES[k].split(' [')[0]} over its groups is 0")
    return rows, words


def _check(out: Siblings, free: NDArray[np.bool_]) -> None:
    """Refuse what would be more than a way of speaking."""
    y = np.zeros(out.rows.shape[0])
    _, by_y = out.derivatives(y, np.zeros(out.detector.initial.shape))
    for family in out.families:
        for g in family.groups:
            held = np.flatnonzero(~free[g])
            if len(held) and np.max(np.abs(by_y[g][held])) > _CLOSED:
                names = [out.detector.names[6 * g + k] for k in held]
                raise ConfigError(
                    f"gauge: {', '.join(names)} fixed: a move of {family.label} as a whole would "
                    "change it; free it, fix the group, or choose the gauge published"
                )
