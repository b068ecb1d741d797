"""Beam shifts to groups: the holes, and the shots inside of them, that share a beam shift.

One stage position serves several holes, each reached by its own beam shift, so the beam shifts of
a session fall into groups. Four ways: `auto` needs no number (:func:`levels`), `kmeans` is that of
the published script, `hac` is agglomerative, `dbscan` grows groups from dense places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.clustering.hole_grid import (
    Spacings,
    grid_indices,
    k_of,
    lattice_edges,
    number_on_grid,
    spacings,
)
from refimpl.clustering.spanning_tree import check_points, groups_below, spanning_tree
from refimpl.clustering.tree_levels import Level, levels, thinned
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.frames import F64, I64

__all__ = [
    "METHODS",
    "Clusters",
    "Level",
    "Spacings",
    "cluster",
    "grid_indices",
    "k_of",
    "lattice_edges",
    "levels",
    "number_on_grid",
    "spacings",
]

METHODS = ("auto", "kmeans", "hac", "dbscan")
"""Ways to group."""

MOST_HAC = 8_000
"""Of more points `hac`, which needs all distances (260 MB), sees every second, third ... one in the
order of distance from the middle; the others join the group of the nearest one seen."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of points.

    Attributes
    ----------
    labels
        (n,) from 1, row `labels - 1` of `centres`; -1 belongs to none (DBSCAN). Numbers are those
        of :func:`number_on_grid`, unless the published order was asked for.
    centres
        (c, 2) means of the members; of `kmeans` the centres that it ended with.
    method
        One of :data:`METHODS`.
    inertia
        Sum of squared distances to the centres, of `kmeans` only.
    """

    labels: I64
    centres: F64
    method: str
    inertia: float | None = None

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.centres)


def cluster(
    points: F64,
    method: str = "auto",
    n_clusters: int | None = None,
    *,
    linkage: str = "complete",
    eps: float | None = None,
    min_samples: int = 3,
    max_iter: int = 300,
    n_init: int = 10,
    seed: int = 0,
    order: str = "grid",
) -> Clusters:
    """Group beam shifts.

    Parameters
    ----------
    points
        (n, 2) beam shifts.
    method
        `auto`: the coarsest of :func:`levels`, the holes. `kmeans`: scikit-learn's with k-means++,
        as find_dupl calls it. `hac`: agglomerative (scikit-learn), with `linkage`, as AFIS does;
        `dbscan`: with `eps` and `min_samples`, for targets on no grid.
    n_clusters
        For `kmeans` and `hac`; they take the number that `auto` finds when it is None.
    linkage
        `complete`, `single`, `average` or `ward`.
    eps
        Reach of `dbscan`, in the unit of the points.
    min_samples
        Of `dbscan`: members, itself included, that make a point the core of a group.
    max_iter, n_init, seed
        Of `kmeans`.
    order
        `grid`: numbers of :func:`number_on_grid`; `published`: scikit-learn's labels, plus 1.

    Raises
    ------
    ConfigError
        An unknown method, linkage or order, a number of clusters that is not positive or more
        than there are different points, no points at all, or no `eps`.
    ConvergenceError
        `auto` finds no level.

    Notes
    -----
    Neither the order of the points nor a scale, rotation or mirror of the plane changes the groups
    of `auto`, `hac` and `dbscan`; `kmeans` starts at points drawn by their order, as published, and
    may then end elsewhere. Numbers follow the place in the plane: the first axis is the direction
    of the grid nearest to +x.
    """
    values = check_points(points)
    if method not in METHODS:
        raise ConfigError(f"method of clustering {method!r}: expected one of {', '.join(METHODS)}")
    if order not in ("grid", "published"):
        raise ConfigError(f"order of clusters {order!r}: expected 'grid' or 'published'")
    if not len(values):
        raise ConfigError("no points to group")
    if method == "dbscan":
        return _numbered(values, _dbscan(values, eps, min_samples), method, order)
    if method == "auto" or n_clusters is None:
        found = _coarsest(values)
        if method == "auto":
            return _numbered(values, found.labels, method, order)
        n_clusters = found.n
    _check_number(n_clusters, values)
    if method == "hac":
        return _numbered(values, _hac(values, n_clusters, linkage), method, order)
    return _kmeans(values, n_clusters, max_iter, n_init, seed, order)


def _check_number(n_clusters: int, values: F64) -> None:
    if n_clusters < 1:
        raise ConfigError(f"{n_clusters} clusters: expected a positive number")
    if n_clusters > len(values):
        raise ConfigError(
            f"{n_clusters} clusters of {len(values)} points: ask for {len(values)} or fewer"
        )
    places = len(np.unique(values, axis=0))
    if n_clusters > places:
        raise ConfigError(
            f"{n_clusters} clusters of {len(values)} points at {places} different places: "
            f"ask for {places} or fewer"
        )


def _coarsest(values: F64) -> Level:
    found = levels(values)
    if not found:
        raise ConvergenceError(
            f"{len(values)} beam shifts show no level of grouping: state the number of clusters,"
            " or use dbscan"
        )
    return found[-1]


def _dbscan(values: F64, eps: float | None, min_samples: int) -> I64:
    """DBSCAN: single linkage of the points that are dense, cut at the reach; n log n.

    Core points and their groups are those of scikit-learn, whose lists of neighbours grow with the
    square of the exposures. A point between two groups joins the nearer one, there the first.
    """
    from scipy.spatial import cKDTree

    if eps is None or not (np.isfinite(eps) and eps > 0.0):
        raise ConfigError(f"dbscan needs a positive reach eps, got {eps!r}")
    if min_samples < 1:
        raise ConfigError(f"min_samples {min_samples}: expected a positive number")
    labels = np.full(len(values), -1, dtype=np.int64)
    if min_samples > len(values):
        return labels
    reach = cKDTree(values).query(values, [min_samples])[0][:, 0]
    core = np.flatnonzero(reach <= eps)
    if len(core):
        of_core = groups_below(spanning_tree(values[core]), eps)
        away, nearest = cKDTree(values[core]).query(values)
        near = away <= eps
        labels[near] = of_core[nearest[near]]
    return labels


def _hac(values: F64, n_clusters: int, linkage: str) -> I64:
    from scipy.spatial import cKDTree
    from sklearn.cluster import AgglomerativeClustering

    known = ("complete", "single", "average", "ward")
    if linkage not in known:
        raise ConfigError(f"linkage {linkage!r}: expected one of {', '.join(known)}")
    if len(values) == 1:
        return np.zeros(1, dtype=np.int64)
    looked = thinned(values, MOST_HAC)
    model = AgglomerativeClustering(n_clusters=n_clusters, linkage=linkage)
    labels = np.asarray(model.fit_predict(values[looked]), dtype=np.int64)
    if len(looked) == len(values):
        return labels
    return np.asarray(labels[cKDTree(values[looked]).query(values)[1]])


def _kmeans(
    values: F64, n_clusters: int, max_iter: int, n_init: int, seed: int, order: str
) -> Clusters:
    """Call KMeans as find_dupl does; its centres are stated, whether it settled or not."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if max_iter < 1 or n_init < 1:
        raise ConfigError(f"kmeans: {max_iter} iterations, {n_init} starts: expected positive")
    model = KMeans(
        n_clusters, init="k-means++", max_iter=max_iter, n_init=n_init, random_state=seed
    )
    with warnings.catch_warnings():
        # Starts that end with fewer different centres than asked for: the best start counts.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = np.asarray(model.fit_predict(values), dtype=np.int64)
    inertia = float(model.inertia_)
    return _numbered(values, labels, "kmeans", order, inertia, model.cluster_centers_)


def _numbered(
    values: F64, labels: I64, method: str, order: str,
    inertia: float | None = None, centres: F64 | None = None,
) -> Clusters:  # fmt: skip
    """Number the groups; without centres these are the means of the members."""
    n = int(labels.max(initial=-1)) + 1
    inside = labels >= 0
    if centres is None:
        count = np.bincount(labels[inside], minlength=n)
        sums = [np.bincount(labels[inside], weights=x, minlength=n) for x in values[inside].T]
        centres = np.column_stack(sums) / count[:, None]
    n = len(centres)
    number = number_on_grid(centres) if order == "grid" else np.arange(1, n + 1)
    sorted_centres = np.empty_like(centres)
    sorted_centres[number - 1] = centres
    new = np.where(inside, number[labels] if n else labels, -1)
    return Clusters(new.astype(np.int64), sorted_centres, method, inertia)
