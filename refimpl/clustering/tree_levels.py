"""Levels of grouping that points show by themselves: gaps in the edges of their spanning tree.

Sort the edges of the minimum spanning tree. Where an edge is much longer than the one before it,
all longer edges lie between groups and all shorter ones inside of them. One gap parts shots of a
hole from the spread of a shot, another holes from the spread of a hole.

What the spread does to that, and the rule made of it (sizes in micrometres of the foil):

- The stage lands some 0.1 from where it was sent, and the beam shift makes up for it. So a shot is
  a cloud. A gap must be a factor of :data:`RATIO`, and its groups must have two members on average
  or stand at even distances: three edges that happen to be short make no level.
- All holes of one stage position share its landing error, so each cloud is the same constellation
  of landings, and a gap by chance in it is repeated in every hole. Shots are exposed equally often,
  landings fall unevenly: a finer level must part the groups of the coarser one into the same number
  of parts, of the same size. Of two levels that contradict each other the one of larger gap stands
  (of all points rather than of a part; of groups rather than of single points).
- Clouds of many exposures touch by their outermost members, and stray exposures bridge them. The
  search is repeated without the loneliest 2 to 50 % (:data:`TRIMS`; lonely: far from the
  :data:`NEIGHBOURS`-th neighbour), where groups have members enough to tell (twice as many). Such
  a level must show in two of these searches. The gap stated is that of the least trim.
- Wide shots of a dense foil leave no gap: the way to the next hole is hardly longer than to the
  next shot. Then a gap of :data:`COPIES_RATIO` is enough if its groups are copies of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.clustering.spanning_tree import Tree, check_points, groups_below, spanning_tree
from refimpl.frames import F64, I64

__all__ = ["COPIES_RATIO", "NEIGHBOURS", "RATIO", "TRIMS", "Level", "levels", "thinned"]

RATIO = 1.8
"""Least ratio of two neighbouring edges that parts two levels. A step to the hole across the
corner is 1.4 times that to the next one: patterns with a gap must not fall into patches."""

COPIES_RATIO = 1.15
"""Least ratio where groups are copies of each other; rows of a stretched lattice are copies too."""

TRIMS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Parts of the points that are left out, the loneliest."""

NEIGHBOURS = 8
"""The distance to this neighbour says how lonely a point is."""

MOST = 10_000
"""Of more points every second, third ... is looked at, in the order of distance from the middle."""

SAME = 1e-9
"""Edges shorter than this part of the extent are rounding, not spread."""

EVEN = 0.8
"""Part of the groups that must be alike."""

FEWEST = 6
"""Fewest points that may be groups of their own by standing at even distances."""


@dataclass(frozen=True, eq=False)
class Level:
    """Points in groups that are farther apart than their members are.

    Attributes
    ----------
    n
        Number of groups.
    labels
        (points,) from 0, in the order of first appearance.
    height
        Longest edge of the tree inside of the groups, in the unit of the points.
    gap
        Shortest edge between groups over `height`; infinite when all members coincide.
    """

    n: int
    labels: I64
    height: float
    gap: float


def levels(points: F64) -> tuple[Level, ...]:
    """Levels of grouping that the points show by themselves, finest first; maybe none.

    Parameters
    ----------
    points
        (n, 2), any unit. Neither their order nor a rotation, mirror, shift or scale of the plane
        changes the groups. Points at one place are one group.

    Raises
    ------
    ConfigError
        Points of another shape, or not finite.
    """
    from scipy.spatial import cKDTree

    values = check_points(points)
    n = len(values)
    if n == 0:
        return ()
    extent = float(np.ptp(values, axis=0).max())
    if extent <= SAME * float(np.abs(values).max()):
        return (Level(1, np.zeros(n, dtype=np.int64), 0.0, np.inf),)
    few = values[thinned(values, MOST)]
    lonely = cKDTree(few).query(few, min(NEIGHBOURS + 1, len(few)))[0][:, -1]
    found: list[tuple[int, Level]] = []
    for number, trim in enumerate(TRIMS):
        if trim and len(few) < 2 * 2 * NEIGHBOURS:
            break
        kept = np.flatnonzero(lonely <= np.quantile(lonely, 1.0 - trim))
        nearest = cKDTree(few[kept]).query(values)[1]
        for level in _gaps(spanning_tree(few[kept]), SAME * extent):
            if trim and level.n * 2 * NEIGHBOURS > len(kept):
                continue
            labels = _renumbered(level.labels[nearest])
            found.append((number, Level(level.n, labels, level.height, level.gap)))
    chosen = _consistent(_confirmed(found))
    if chosen:
        coarser = _copies(values, chosen[-1])
        chosen += [] if coarser is None else [coarser]
    return tuple(chosen)


def thinned(points: F64, most: int) -> I64:
    """Rows of at most `most` points, every second, third ... by distance from the middle."""
    n = len(points)
    if n <= most:
        return np.arange(n)
    away = np.hypot(*(points - points.mean(axis=0)).T)
    return np.asarray(np.argsort(away, kind="stable")[:: -(-n // most)])


def _gaps(tree: Tree, same: float) -> list[Level]:
    """Levels of one tree, finest first."""
    n = tree.n
    edge = np.where(tree.length < same, 0.0, tree.length)
    cuts = np.flatnonzero(edge[1:] > RATIO * edge[:-1])
    found = []
    for cut, after in zip([-1, *cuts], [*cuts, n - 2], strict=True):
        groups = n - 1 - int(cut)
        above = edge[cut + 1 : after + 1]
        many = len(above) >= max(FEWEST - 1, 0.3 * n)
        regular = many and 0.0 < above[-1] <= RATIO * above[0]
        if groups < 2 or (2 * groups > n and not regular):
            continue
        height = float(edge[cut]) if cut >= 0 else 0.0
        gap = float(above[0]) / height if height > 0.0 else np.inf
        labels = groups_below(tree, float(tree.length[cut]) if cut >= 0 else -1.0)
        if _significant(np.bincount(labels)).sum() > 1:
            found.append(Level(groups, labels, height, gap))
    return found


def _significant(sizes: I64) -> F64:
    """Whether each group has a tenth of the members of a typical one: strays are no groups."""
    largest = np.sort(sizes)[::-1]
    typical = largest[np.searchsorted(np.cumsum(largest), largest.sum() / 2.0)]
    return np.asarray(10 * sizes >= typical)


def _confirmed(found: list[tuple[int, Level]]) -> list[Level]:
    """Levels of the whole set, and those that two trims agree on; the strongest first."""
    kept: list[Level] = []
    votes: list[int] = []
    strength: list[tuple[bool, float]] = []
    for number, level in found:
        same = [i for i, other in enumerate(kept) if _agreement(level, other) > 0.98]
        if same:
            votes[same[0]] += 1
        else:
            kept.append(level)
            votes.append(2 if number == 0 else 1)
            strength.append((number == 0 and level.height > 0.0, level.gap))
    order = sorted(range(len(kept)), key=lambda i: strength[i], reverse=True)
    return [kept[i] for i in order if votes[i] > 1]


def _table(fine: Level, coarse: Level) -> I64:
    """(coarse.n, fine.n) points shared by the groups of two levels."""
    code = coarse.labels * fine.n + fine.labels
    return np.bincount(code, minlength=coarse.n * fine.n).reshape(coarse.n, fine.n)


def _agreement(one: Level, other: Level) -> float:
    """Part of the points that both levels group alike; 0 for different numbers of groups."""
    if one.n != other.n:
        return 0.0
    table = _table(one, other)
    return float(min(table.max(axis=0).sum(), table.max(axis=1).sum()) / table.sum())


def _consistent(ranked: list[Level]) -> list[Level]:
    """Drop levels until each parts the next coarser one evenly; the answer is finest first.

    `ranked` has the strongest first: that stands where either of two may be wrong.
    """
    stand = sorted(ranked, key=lambda level: -level.n)
    i = 0
    while i + 1 < len(stand):
        verdict = _parting(_table(stand[i], stand[i + 1]))
        if verdict == "even":
            i += 1
            continue
        finer_is_weaker = ranked.index(stand[i]) > ranked.index(stand[i + 1])
        del stand[i if verdict == "finer" or finer_is_weaker else i + 1]
        i = max(0, i - 1)
    return stand


def _parting(table: I64) -> str:
    """How a finer level parts a coarser one: "even", or which is wrong: "finer" or "either"."""
    if table.max(axis=0).sum() < 0.98 * table.sum():
        return "either"
    rows = table[_significant(table.sum(axis=1))]
    parts = np.array([int(_significant(row[row > 0]).sum()) for row in rows])
    usual = int(np.bincount(parts).argmax())
    if usual == 1:  # no parts: the finer one adds strays, or the coarser one has lost some groups
        return "finer" if parts.max() == 1 else "either"
    if np.mean(parts == usual) < EVEN:
        return "either"
    sizes = np.sort(rows[parts == usual], axis=1)[:, ::-1][:, :usual]
    return "even" if np.median(sizes[:, 0] / sizes[:, -1]) <= 1.5 else "finer"


def _copies(values: F64, level: Level) -> Level | None:
    """Find a coarser level whose groups are copies of each other, if there is one."""
    count = np.bincount(level.labels)
    centres = np.stack([np.bincount(level.labels, x) / count for x in values.T], axis=1)
    tree = spanning_tree(centres)
    ratio = tree.length[1:] / np.maximum(tree.length[:-1], np.finfo(float).tiny)
    for cut in np.argsort(-ratio, kind="stable"):
        if ratio[cut] <= COPIES_RATIO:
            break
        groups = level.n - 1 - int(cut)
        labels = groups_below(tree, float(tree.length[cut]))
        if groups < 3 or 2 * groups > level.n:
            continue
        if _alike(centres, labels, float(tree.length[0])):
            merged = _renumbered(labels[level.labels])
            return Level(groups, merged, float(tree.length[cut]), float(ratio[cut]))
    return None


def _alike(centres: F64, labels: I64, least: float) -> bool:
    """Whether most groups have the same members at the same places, to a sixth of `least`."""
    sizes = np.bincount(labels)
    usual = int(np.bincount(sizes).argmax())
    if usual < 2 or np.mean(sizes == usual) < EVEN:
        return False
    chosen = np.flatnonzero(sizes == usual)
    members = np.stack([centres[labels == g] for g in chosen])
    offset = members - members.mean(axis=1, keepdims=True)
    far = np.hypot(*(offset[:, None, :, None] - offset[None, :, None, :]).transpose(4, 0, 1, 2, 3))
    match = far.min(axis=3).max(axis=2) < least / 6.0
    return bool(np.mean(match, axis=1).max() * np.mean(sizes == usual) >= EVEN)


def _renumbered(labels: I64) -> I64:
    """Labels from 0 in the order of first appearance."""
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[place.ravel()])
