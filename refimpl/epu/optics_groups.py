"""Optics groups: exposures that share a beam shift share a beam tilt, and are refined together.

A beam that is shifted arrives tilted, and each hole of a template has a tilt of its own. RELION
and cryoSPARC refine the aberrations of each group, so a group is to be as large as it may be: the
default is one group a hole of the template; its shots differ too little to matter. File names tell
the shot inside the hole only (three on the real session that has 21 holes): that is another thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refimpl.clustering.beam_shift import Clusters, cluster, levels, number_on_grid
from refimpl.epu.optics_kinds import middle, optics_kinds
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    from refimpl.epu.session import Session

__all__ = ["LEVELS", "SMALL", "OpticsGroups", "group_by_area", "group_by_beam_shift"]

LEVELS: Final = ("holes", "shots")
"""What `auto` makes a group of: a hole of the template, or each shot inside of it."""

SMALL: Final = 5
"""Groups of fewer exposures are named: they hold few particles to refine aberrations with."""


@dataclass(frozen=True, eq=False)
class OpticsGroups:
    """Exposures in groups.

    Attributes
    ----------
    stems
        (n,) names of the exposures.
    labels
        (n,) group of each, from 1.
    names
        (g,) names of the groups.
    centres
        (g, 2) mean beam shift of each group, NaN where unknown.
    pixel_size_angstrom, voltage_kv
        (g,) of each group, NaN where unknown.
    method
        How they were made.
    uids
        (n,) EPU's unique ids, or none.
    notes
        What a user should know.
    """

    stems: tuple[str, ...]
    labels: I64
    names: tuple[str, ...]
    centres: F64
    pixel_size_angstrom: F64
    voltage_kv: F64
    method: str
    uids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.stems):
            raise ConfigError(f"{len(self.labels)} groups for {len(self.stems)} exposures")
        if len(self.labels) and not (self.labels.min() >= 1 and self.labels.max() <= len(self)):
            raise ConfigError(f"groups are numbered from 1 to {len(self)}")

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.names)

    @property
    def sizes(self) -> I64:
        """(g,) exposures in each group."""
        return np.bincount(self.labels - 1, minlength=len(self)).astype(np.int64)

    def without(self, stems: Iterable[str]) -> OpticsGroups:
        """Leave out exposures; the groups stay, empty ones too."""
        bad = {stem.lower() for stem in stems}
        rows = [i for i, stem in enumerate(self.stems) if stem.lower() not in bad]
        return replace(
            self,
            stems=tuple(self.stems[i] for i in rows),
            labels=self.labels[rows],
            uids=tuple(self.uids[i] for i in rows) if self.uids else (),
        )

    def sentences(self) -> tuple[str, ...]:
        """What there is, in words."""
        sizes = self.sizes
        low, high = int(sizes.min(initial=len(self.stems))), int(sizes.max(initial=0))
        each = f"{low}" if low == high else f"{low} to {high}"
        first = f"{len(self.stems)} exposures in {len(self)} groups of {each} ({self.method})"
        small = int(np.count_nonzero(sizes < SMALL))
        have = "group has" if small == 1 else "groups have"
        words = (f"{small} {have} fewer than {SMALL} exposures",) if small else ()
        return (first, *words, *self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Form for JSON."""
        columns = (self.names, self.sizes, self.centres, self.pixel_size_angstrom, self.voltage_kv)
        groups = [
            {"id": i, "name": name, "n_exposures": int(size), "beam_shift": centre.tolist(),
             "pixel_size_angstrom": float(pixel), "voltage_kv": float(kv)}
            for i, (name, size, centre, pixel, kv) in enumerate(zip(*columns, strict=True), 1)
        ]  # fmt: skip
        return {
            "method": self.method,
            "n_exposures": len(self.stems),
            "n_groups": len(self),
            "groups": groups,
            "notes": list(self.notes),
        }


def group_by_beam_shift(
    session: Session,
    method: str = "auto",
    n_groups: int | None = None,
    *,
    level: str = "holes",
    prefix: str = "opticsGroup",
    **options: Any,
) -> OpticsGroups:
    """Groups of exposures that share a beam shift, numbered on the grid of holes.

    Exposures of different pixel sizes or voltages are never in one group: each set of them is
    grouped on its own, the largest first.

    Parameters
    ----------
    session
        Exposures.
    method, n_groups, **options
        As in :func:`refimpl.clustering.beam_shift.cluster`. What DBSCAN leaves over joins the
        nearest group.
    level
        Of `auto`: one of :data:`LEVELS`.
    prefix
        Names are this with the number behind; tools expect ``opticsGroup``.

    Raises
    ------
    ConfigError
        No exposures, an unknown level, or options that do not fit.
    ConvergenceError
        `auto` finds no level.
    """
    if level not in LEVELS:
        raise ConfigError(f"level {level!r}: expected one of {', '.join(LEVELS)}", key="level")
    points = session.beam_shift

    def split(rows: I64) -> tuple[I64, int, tuple[str, ...]]:
        found, notes = _clusters(points[rows], method, n_groups, level, options)
        labels, n, more = _complete(points[rows], found)
        return labels, n, (*notes, *more)

    words = f"{method}, {level}" if method == "auto" else method
    return _grouped(session, split, f"beam shift: {words}", prefix)


def group_by_area(session: Session, *, prefix: str = "opticsGroup") -> OpticsGroups:
    """Groups by the id in the name after ``_Data_``: the shot of the template, in rising order.

    Raises
    ------
    ConfigError
        No exposures, or a name without that id.
    """
    areas = session.table["area"].to_numpy(np.int64)
    if (areas < 0).any():
        name = session.table["name"].iat[int(np.flatnonzero(areas < 0)[0])]
        raise ConfigError(
            f"{int((areas < 0).sum())} names have no area id, {name!r} first: group by beam shift",
            key="by",
        )

    def split(rows: I64) -> tuple[I64, int, tuple[str, ...]]:
        found, labels = np.unique(areas[rows], return_inverse=True)
        note = "the id in a file name is the shot inside of a hole, not the hole: its beam tilt "
        note += "is not known from it"
        return labels.astype(np.int64) + 1, len(found), (note,)

    return _grouped(session, split, "file name: area", prefix)


def _clusters(
    points: F64, method: str, n_groups: int | None, level: str, options: Mapping[str, Any]
) -> tuple[Clusters, tuple[str, ...]]:
    """Clusters of one set of exposures, and notes."""
    if method == "auto" and n_groups is not None:
        raise ConfigError("auto finds the number of groups: state it with kmeans or hac", key="n")
    if method == "auto" and not np.ptp(points, axis=0).any():
        one = Clusters(np.ones(len(points), dtype=np.int64), points[:1].copy(), method)
        return one, ("all exposures have the same beam shift: one group",)
    found = cluster(points, method, n_groups, **options)
    if method != "auto" or level == "holes":
        return found, ()
    steps = levels(points)
    if len(steps) == 1:
        return found, ("the beam shifts show one level: shots are not told from holes",)
    labels = steps[0].labels
    count = np.bincount(labels)
    centres = np.column_stack([np.bincount(labels, weights=x) / count for x in points.T])
    number = np.asarray(number_on_grid(centres))
    return Clusters(number[labels].astype(np.int64), centres[np.argsort(number)], method), ()


def _complete(points: F64, found: Clusters) -> tuple[I64, int, tuple[str, ...]]:
    """Groups from 1, their number and notes: exposures in no group join the nearest one."""
    left = np.flatnonzero(found.labels < 1)
    if not len(found):
        raise ConfigError(f"no group among {len(points)} beam shifts: a larger eps, or kmeans",
                          key="eps")  # fmt: skip
    if not len(left):
        return found.labels, len(found), ()
    away = np.linalg.norm(points[left, None, :] - found.centres[None, :, :], axis=2)
    labels = found.labels.copy()
    labels[left] = np.argmin(away, axis=1) + 1
    note = (f"exposures of no group that joined the nearest: {len(left)}, up to "
            f"{away.min(axis=1).max():.4f} away")  # fmt: skip
    return labels, len(found), (note,)


def _grouped(session: Session, split: Any, method: str, prefix: str) -> OpticsGroups:
    """Split each set of exposures with the same pixel size and voltage; number on and on."""
    table = session.table
    if not len(table):
        raise ConfigError("a session without exposures has no groups")
    kinds, notes = optics_kinds(table)
    n = 0
    labels = np.empty(len(table), dtype=np.int64)
    pixel: list[float] = []
    kv: list[float] = []
    for kind in range(int(kinds.max()) + 1):
        rows = np.flatnonzero(kinds == kind)
        try:
            inside, count, more = split(rows)
        except (ConfigError, ConvergenceError) as error:
            if kind == 0:
                raise
            # a few stray exposures, at another magnification say, are no reason to fail
            inside, count = np.ones(len(rows), dtype=np.int64), 1
            more = (f"one group of {len(rows)} in all apart from the rest: {error}",)
        labels[rows] = inside + n
        n += count
        pixel += [middle(table["pixel_size_angstrom"].to_numpy(np.float64)[rows])] * count
        kv += [middle(table["voltage_kv"].to_numpy(np.float64)[rows])] * count
        notes += more
    members = np.bincount(labels - 1, minlength=n)
    centres = np.column_stack(
        [np.bincount(labels - 1, weights=x, minlength=n) for x in session.beam_shift.T]
    )
    return OpticsGroups(
        stems=tuple(str(name) for name in table["name"]),
        labels=labels,
        names=tuple(f"{prefix}{i}" for i in range(1, n + 1)),
        centres=centres / members[:, None],
        pixel_size_angstrom=np.array(pixel),
        voltage_kv=np.array(kv),
        method=method,
        uids=tuple(str(uid) for uid in table["uid"]),
        notes=tuple(dict.fromkeys(notes)),
    )
