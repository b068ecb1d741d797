"""Euclidean minimum spanning tree of points in a plane, and the groups that its short edges join.

The tree's sorted edges are the heights of single-linkage clustering: cutting every edge longer
than h leaves the groups whose members are linked by steps of at most h. It is a part of the
Delaunay triangulation, so it costs n log n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["LINE", "Tree", "check_points", "groups_below", "spanning_tree"]

LINE = 1e-9
"""Points whose spread across their axis is a smaller part of that along it are on a line."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Edges of a minimum spanning tree, shortest first.

    Attributes
    ----------
    n
        Number of points.
    pairs
        (n - 1, 2) the points that an edge joins.
    length
        (n - 1,) rising, in the unit of the points.
    """

    n: int
    pairs: I64
    length: F64


def check_points(points: F64) -> F64:
    """Return (n, 2) float64 points.

    Raises
    ------
    ConfigError
        Another shape, or a value that is not finite.
    """
    values = np.asarray(points, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ConfigError(f"points of shape {values.shape}: expected (n, 2)")
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ConfigError(f"point {bad} is not finite: {values[bad].tolist()}")
    return values


def spanning_tree(points: F64) -> Tree:
    """Minimum spanning tree of points; several at one place are joined by edges of length 0.

    Parameters
    ----------
    points
        (n, 2), any unit.

    Raises
    ------
    ConfigError
        See :func:`check_points`.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree

    values = check_points(points)
    n = len(values)
    if n < 2:
        return Tree(n, np.zeros((0, 2), dtype=np.int64), np.zeros(0))
    places, first, place = np.unique(values, axis=0, return_index=True, return_inverse=True)
    pairs = first[_candidate_edges(places)].reshape(-1, 2)
    length = np.hypot(*(values[pairs[:, 1]] - values[pairs[:, 0]]).T)
    # Ranks instead of lengths: a sparse graph takes a weight of zero for no edge.
    rank = np.empty(len(pairs))
    order = np.argsort(length, kind="stable")
    rank[order] = np.arange(1.0, len(pairs) + 1.0)
    graph = coo_matrix((rank, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    kept = order[np.sort(minimum_spanning_tree(graph.tocsr()).data).astype(np.int64) - 1]
    copies = np.setdiff1d(np.arange(n), first)
    same = np.column_stack([first[place.ravel()[copies]], copies])
    return Tree(
        n,
        np.concatenate([same, pairs[kept]]).astype(np.int64),
        np.concatenate([np.zeros(len(copies)), length[kept]]),
    )


def groups_below(tree: Tree, height: float) -> I64:
    """(n,) label of each point when edges longer than `height` are cut.

    Labels count from 0 in the order of the points' first appearance.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    kept = tree.pairs[tree.length <= height]
    graph = coo_matrix((np.ones(len(kept)), (kept[:, 0], kept[:, 1])), shape=(tree.n, tree.n))
    _, found = connected_components(graph, directed=False)
    _, first, place = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[place.ravel()])


def _candidate_edges(places: F64) -> I64:
    """(m, 2) edges that contain the tree of distinct points: a chain, and Delaunay's."""
    from scipy.spatial import Delaunay, QhullError

    n = len(places)
    if n < 2:
        return np.zeros((0, 2), dtype=np.int64)
    centred = places - places.mean(axis=0)
    centred /= np.abs(centred).max()
    # The chain along the longer axis connects all, and is the tree of points on a line.
    axes = np.linalg.eigh(centred.T @ centred)[1]
    thin, along = (centred @ axes).T
    order = np.argsort(along, kind="stable")
    chain = np.column_stack([order[:-1], order[1:]])
    if n == 2 or np.ptp(thin) < LINE * np.ptp(along):
        return chain.astype(np.int64)
    if n == 3:
        return np.array([[0, 1], [0, 2], [1, 2]], dtype=np.int64)
    try:
        mesh = Delaunay(centred)
    except QhullError:
        return chain.astype(np.int64)
    sides = mesh.simplices[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    # Points too close to a vertex for Qhull are no vertices: tie them to it.
    edges = np.sort(np.concatenate([sides, mesh.coplanar[:, [0, 2]], chain]), axis=1)
    edges = edges[edges[:, 1] < n].astype(np.int64)
    code = np.unique(edges[:, 0] * n + edges[:, 1])
    return np.column_stack([code // n, code % n])
