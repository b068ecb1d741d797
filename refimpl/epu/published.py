"""What find_dupl (v200906) computes, faithfully: its first run's text, and its duplicates.

A scalar k stands for the calibration, and raw lists of neighbours for groups. Kept because others
use it, and to show beside :mod:`refimpl.epu.duplicates` what it does.

Faithful: the text, character for character; the distance matrix of k-means; positions with one k;
the groups, and what they call bad. Mended, because nobody can want it back:

- the largest and smallest distance are of all clusters, not of the first five;
- the beam diameter is the most frequent one, not the least;
- `*_Fractions.xml` are not read, files that cannot be used are named and left out, and no name is
  shifted by them; the order of the files on the disk changes nothing (:func:`first_run`);
- a group is ordered by the recorded time, which no change of the clock turns around;
- each bad file is listed and counted once, however many groups it is in;
- one look at the neighbours of each exposure, none at all groups before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refimpl.clustering.beam_shift import Clusters, cluster
from refimpl.clustering.hole_grid import distances
from refimpl.epu.pairs import MOST_PAIRS
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    from refimpl.epu.duplicates import Duplicates
    from refimpl.epu.session import Session

__all__ = ["PublishedDuplicates", "as_duplicates", "duplicates", "first_run", "first_run_text"]

_WIDTH = 97
_NOTE = (
    "Note: to estimate coefficient for beam shift calculation divide the hole spacing in ",
    "quantifoil (4 um for R2/2 Quantifoil grids) by an average of the smaller distances ",
    "(consider discarding outliers) or a representative small distance in the distance matrix "
    "above",
)


@dataclass(frozen=True, eq=False)
class PublishedDuplicates:
    """Groups of exposures as find_dupl forms them.

    Attributes
    ----------
    n
        Exposures.
    groups
        Rows of each group in the order of time: an exposure and all within the radius of it, each
        set once. Chains give overlapping groups.
    """

    n: int
    groups: tuple[I64, ...]

    @property
    def listed(self) -> I64:
        """Bad exposures as they come, all but the first of each group; some come several times."""
        return np.concatenate([np.empty(0, dtype=np.int64), *(g[1:] for g in self.groups)])

    @property
    def bad(self) -> NDArray[np.bool_]:
        """(n,) whether an exposure is bad in any group."""
        out = np.zeros(self.n, dtype=bool)
        out[self.listed] = True
        return out

    @property
    def pairs(self) -> I64:
        """(p, 2) the first of a group and each other one, each pair once, sorted."""
        rows = [np.column_stack([np.full(len(g) - 1, g[0]), g[1:]]) for g in self.groups]
        return np.unique(np.concatenate([np.empty((0, 2), dtype=np.int64), *rows]), axis=0)


def first_run(
    session: Session, n_clusters: int = 9, *, max_iter: int = 300, n_init: int = 10
) -> Clusters:
    """Cluster the beam shifts as the first run does, in the order of scikit-learn's labels.

    k-means starts at points drawn by their order, which find_dupl takes as the disk gives it: here
    that of the sorted paths, so that a session has one answer.

    Raises
    ------
    ConfigError
        Fewer exposures, or different beam shifts, than clusters.
    """
    paths = session.table["path"].to_numpy().astype(str)
    order = np.lexsort((session.table["name"].to_numpy().astype(str), paths))
    found = cluster(
        session.beam_shift[order], "kmeans", n_clusters, max_iter=max_iter, n_init=n_init,
        order="published",
    )  # fmt: skip
    labels = np.empty_like(found.labels)
    labels[order] = found.labels
    return replace(found, labels=labels)


def first_run_text(centres: F64) -> str:
    """Text that the first run prints for the user to find k from.

    Parameters
    ----------
    centres
        (c, 2) centres of the clusters in their order, or their (c, c) matrix of distances; c = 2
        is read as points.

    Returns
    -------
    The block of the published README, lines ended by a line feed but for the last.

    Raises
    ------
    ConfigError
        Fewer than two clusters.
    """
    matrix = distances(centres)
    if len(matrix) < 2:
        raise ConfigError(f"{len(matrix)} cluster: distances need two", key="clusters")
    upper = matrix[np.triu_indices(len(matrix), 1)]
    title = " Information for the estimation of the beam-shift parameters "
    return "\n".join(
        (
            title.center(_WIDTH, "="),
            "Euclidian distance matrix:",
            *("[ " + "  ".join(f"{d:.3f}" for d in row) + "]" for row in matrix),
            f"Maximum distance: {upper.max():.3f} ",
            f"Minimum distance: {upper.min():.3f}",
            *_NOTE,
            "=" * _WIDTH,
        )
    )


def duplicates(session: Session, k_um: float, radius_um: float = 0.2) -> PublishedDuplicates:
    """Find duplicates as find_dupl does, with positions ``stage + k * beam shift``.

    Parameters
    ----------
    session
        Exposures in the order of time.
    k_um
        Micrometres on the specimen for a beam shift of 1.
    radius_um
        Inclusive.

    Raises
    ------
    ConfigError
        k or the radius is not positive, or the radius holds millions of pairs.
    """
    from scipy.spatial import cKDTree

    for name, value in (("k", k_um), ("radius", radius_um)):
        if not (np.isfinite(value) and value > 0.0):
            raise ConfigError(f"{name} {value!r}: expected a positive number", key=name)
    points = session.stage_um + k_um * session.beam_shift
    if not len(points):
        return PublishedDuplicates(0, ())
    tree = cKDTree(points)
    several = np.flatnonzero(tree.query_ball_point(points, radius_um, return_length=True) > 1)
    count = int(tree.count_neighbors(tree, radius_um)) - len(points)
    if count > 2 * MOST_PAIRS:
        raise ConfigError(
            f"radius {radius_um:g} um: {count // 2} pairs of {len(points)} exposures, more than "
            f"{MOST_PAIRS}: is it in um?", key="radius",
        )  # fmt: skip
    lists = tree.query_ball_point(points[several], radius_um, return_sorted=True)
    unique = dict.fromkeys(tuple(rows) for rows in lists)
    return PublishedDuplicates(
        len(points), tuple(np.array(rows, dtype=np.int64) for rows in unique)
    )


def as_duplicates(
    session: Session, k_um: float, radius_um: float, found: PublishedDuplicates | None = None
) -> Duplicates:
    """Give published duplicates the form of ours, for the same outputs.

    Pairs, causes and squares are those of the pairs within the radius; bad is what find_dupl calls
    bad, and the kept partner of a bad exposure is the first of the first group that it is in.
    """
    from refimpl.epu.affine import affine
    from refimpl.epu.duplicates import find_duplicates
    from refimpl.epu.radius import Radius

    groups = (duplicates(session, k_um, radius_um) if found is None else found).groups
    kept = np.full(len(session), -1, dtype=np.int64)
    for group in reversed(groups):
        kept[group[1:]] = group[0]
    ours = find_duplicates(session, affine(k_um), Radius("fixed", radius_um))
    return replace(ours, kept=kept)
