"""Pairs of exposures closer than a radius: how far, how much of the beam they share, and why.

Exposures are in the order of time, so that the first of a pair is the earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from refimpl.epu.stage_groups import stage_groups, stage_visits
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CAUSES", "MOST_PAIRS", "causes_of", "close_pairs", "components", "disc_overlap"]
__all__ += ["kept_partners"]

CAUSES: Final = ("repeat", "same hole", "same position", "revisit", "neighbour")
"""Same hole and same shot; same hole, another shot; another hole although the stage had not moved;
another hole, the stage came back to the place; another place of the stage."""

RETURN_UM: Final = 1.0
"""A stage that is sent to one place twice stops this close: it lands within some 0.15 um rms, and
moves from hole to hole are longer than this."""

MOST_PAIRS: Final = 5_000_000
"""More are refused: a radius of that size says nothing about duplicates, and fills the memory."""


def close_pairs(positions_um: F64, radius_um: float) -> I64:
    """Find all pairs of points not farther apart than the radius, in n log n.

    Parameters
    ----------
    positions_um
        (n, 2).
    radius_um
        Inclusive.

    Returns
    -------
    (p, 2) rows of points, the smaller one first, sorted.

    Raises
    ------
    ConfigError
        A position is not finite, or there are more than :data:`MOST_PAIRS` pairs.
    """
    from scipy.spatial import cKDTree

    points = np.asarray(positions_um, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ConfigError("positions of exposures: expected finite numbers", key="matrix")
    if len(points) == 0:
        return np.zeros((0, 2), dtype=np.int64)
    tree = cKDTree(points)
    expected = (int(tree.count_neighbors(tree, radius_um)) - len(points)) // 2
    if expected > MOST_PAIRS:
        raise ConfigError(
            f"radius {radius_um:g} um: {expected:.2g} pairs of the {len(points)} exposures are "
            f"within it ({MOST_PAIRS:.0e} are the most): is it in um, and do the positions differ?",
            key="radius", got=radius_um,
        )  # fmt: skip
    pairs = np.sort(tree.query_pairs(radius_um, output_type="ndarray"), axis=1).astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def components(n: int, pairs: I64) -> I64:
    """Label what chains of pairs connect.

    Returns
    -------
    (n,) labels from 0 by first appearance; -1 for what is in no pair.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from refimpl.clustering.grains import by_first_appearance

    graph = coo_array((np.ones(len(pairs), dtype=np.int8), pairs.T), shape=(n, n))
    labels = connected_components(graph, directed=False)[1].astype(np.int64) if n else pairs[:, 0]
    alone = np.ones(n, dtype=bool)
    alone[pairs.reshape(-1)] = False
    labels[alone] = -1
    return by_first_appearance(labels)


def kept_partners(n: int, pairs: I64) -> I64:
    """Decide which exposures to drop: greedy by time.

    An exposure is kept if no kept one before it lies within the radius. Of two that is the later
    one, as published; of a chain A-B-C only B goes, since A and C do not overlap.

    Parameters
    ----------
    n
        Exposures, in the order of time.
    pairs
        (p, 2) of them that lie within the radius, sorted, the smaller row first.

    Returns
    -------
    (n,) row of the earliest kept exposure within the radius; -1 for what is kept itself.
    """
    partner = np.full(n, -1, dtype=np.int64)
    earlier, first = np.unique(pairs[:, 0], return_index=True)
    ends = np.append(first, len(pairs))[1:]
    # each pair is looked at once, whatever the shape of the components: linear, unlike rounds over
    # all pairs, which a long chain makes quadratic
    for row, start, end in zip(earlier.tolist(), first.tolist(), ends.tolist(), strict=True):
        if partner[row] < 0:
            later = pairs[start:end, 1]
            partner[later[partner[later] < 0]] = row
    return partner


def disc_overlap(distance_um: F64, first_um: F64, second_um: F64) -> F64:
    r"""Part of the second of two discs that the first covers.

    .. math:: A = r_1^2 \arccos\frac{d^2 + r_1^2 - r_2^2}{2 d r_1}
              + r_2^2 \arccos\frac{d^2 + r_2^2 - r_1^2}{2 d r_2}
              - \tfrac12 \sqrt{(-d+r_1+r_2)(d+r_1-r_2)(d-r_1+r_2)(d+r_1+r_2)}

    Parameters
    ----------
    distance_um
        (p,) between the centres.
    first_um, second_um
        (p,) diameters.

    Returns
    -------
    (p,) A over the area of the second disc, 0 to 1; NaN where a diameter is not known.
    """
    d = np.asarray(distance_um, dtype=np.float64)
    r1, r2 = np.asarray(first_um) / 2.0, np.asarray(second_um) / 2.0
    with np.errstate(invalid="ignore", divide="ignore"):
        within, apart = d <= np.abs(r1 - r2), d >= r1 + r2
        cos1 = np.clip((d**2 + r1**2 - r2**2) / (2.0 * d * r1), -1.0, 1.0)
        cos2 = np.clip((d**2 + r2**2 - r1**2) / (2.0 * d * r2), -1.0, 1.0)
        kite = (-d + r1 + r2) * (d + r1 - r2) * (d - r1 + r2) * (d + r1 + r2)
        lens = r1**2 * np.arccos(cos1) + r2**2 * np.arccos(cos2) - 0.5 * np.sqrt(kite)
        lens = np.where(within, np.pi * np.minimum(r1, r2) ** 2, np.where(apart, 0.0, lens))
        part = np.clip(lens / (np.pi * r2**2), 0.0, 1.0)
    return np.asarray(np.where(np.isnan(r1) | np.isnan(r2), np.nan, part))


def causes_of(
    table: pd.DataFrame, pairs: I64, stage_tolerance_um: float = 0.1, return_um: float = RETURN_UM
) -> I64:
    """Likely cause of each pair.

    Parameters
    ----------
    table
        Exposures in the order of time: ``square``, ``hole``, ``area`` (-1 unknown) and stage.
    pairs
        (p, 2) rows.
    stage_tolerance_um
        See :func:`refimpl.epu.stage_groups.stage_groups`; the stage stood still within it.
    return_um
        The stage came back to a place if it stopped within this distance of it.

    Returns
    -------
    (p,) indices into :data:`CAUSES`.
    """
    stage = table[["stage_x_um", "stage_y_um"]].to_numpy(dtype=np.float64)
    visit = stage_visits(stage_groups(stage, stage_tolerance_um))
    first, second = pairs.T

    def same(values: object) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        column = np.asarray(values)
        return np.asarray(column[first] == column[second])

    hole = same(table["hole"]) & same(table["square"]) & (table["hole"].to_numpy()[first] >= 0)
    # a pair of unknown shots of one hole lies at one place: the same shot, as far as one can tell
    shot = same(table["area"])
    back = np.hypot(*(stage[first] - stage[second]).T) <= return_um
    rules = [hole & shot, hole, same(visit), back]
    return np.select(rules, [0, 1, 2, 3], default=4).astype(np.int64)
