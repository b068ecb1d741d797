"""Miller indices of spots, from where they lie on one or more lattices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.frames import F64, I64

__all__ = ["assign_global", "assign_local"]

SAME_PASSAGE_RAD = 0.25 * np.pi
"""Two spots of one reflection nearer in angle than this are the same passage."""


def assign_global(
    points: F64,
    phi: F64 | None,
    a_matrices: Sequence[F64],
    tolerance: float = 0.3,
    scan: I64 | None = None,
) -> tuple[I64, I64]:
    r"""Indices of each spot on the lattice that it is nearest to.

    .. math:: h_f = A^{-1} r, \qquad h = \mathrm{round}(h_f), \qquad |h_f - h| < tolerance

    (0, 0, 0) is never given. Of spots that would be the same reflection of the same crystal,
    within pi/4 of rotation, the one nearest to its lattice point has it.

    Parameters
    ----------
    points
        (n, 3) reciprocal lattice points [1/Å].
    phi
        (n,) rotation angles [rad]; None for a still.
    a_matrices
        Setting matrices (3, 3) of the crystals [1/Å].
    tolerance
        Largest distance in Miller indices.
    scan
        (n,) scan of each spot; those of different scans do not compete. None for one scan.

    Returns
    -------
    Indices (n, 3), 0 0 0 where there is none, and crystal numbers (n,), -1 where there is none.
    """
    n = len(points)
    best = np.full(n, np.inf)
    hkl, crystal = np.zeros((n, 3), dtype=np.int64), np.full(n, -1, dtype=np.int64)
    for k, a_matrix in enumerate(a_matrices):
        exact = points @ np.linalg.inv(a_matrix).T
        whole = np.rint(exact)
        error = np.sqrt(((exact - whole) ** 2).sum(axis=1))
        nearer = error < best
        best[nearer], crystal[nearer] = error[nearer], k
        hkl[nearer] = whole[nearer].astype(np.int64)
    good = (best < tolerance) & (hkl != 0).any(axis=1)
    own = crystal if scan is None else crystal + len(a_matrices) * scan
    good &= ~_beaten(hkl, own, best, phi, good)
    hkl[~good], crystal[~good] = 0, -1
    return hkl, crystal


def _beaten(
    hkl: I64,
    crystal: I64,
    error: F64,
    phi: F64 | None,
    good: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Spots that share their reflection with one that lies nearer to it."""
    angle = np.zeros(len(hkl)) if phi is None else phi
    rows = np.flatnonzero(good)
    order = rows[np.lexsort((*hkl[rows].T, crystal[rows]))]
    key = np.column_stack([crystal, hkl])[order]
    out = np.zeros(len(hkl), dtype=bool)
    for step in range(1, len(order)):
        same = (key[step:] == key[:-step]).all(axis=1)
        if not same.any():
            break
        first, second = order[:-step][same], order[step:][same]
        close = np.abs(angle[first] - angle[second]) < SAME_PASSAGE_RAD
        loses = error[second] >= error[first]
        out[second[close & loses]] = True
        out[first[close & ~loses]] = True
    return out


# --- local ----------------------------------------------------------------------------------------

NEIGHBOURS = 20
TRUST = 0.8
SLACK = 0.05
FARTHEST = 8.0


def assign_local(
    points: F64, phi: F64 | None, a_matrix: F64, scan: I64 | None = None
) -> tuple[I64, I64]:
    r"""Indices by differences between neighbouring spots, which a wrong beam centre leaves alone.

    Differences of neighbours that are near whole numbers h are trusted by

    .. math:: l = 1 - \exp\left\{-2 \sum_k \left[\left(\frac{\max(|\xi_k - h_k| - \epsilon, 0)}
        {\epsilon}\right)^2 + \max(|h_k| - \delta, 0)^2\right]\right\}

    A spanning tree of the most trusted ones carries indices over the largest connected set of
    spots, whose origin is the whole number nearest to the median.

    Parameters
    ----------
    points, phi, scan
        As in :func:`assign_global`.
    a_matrix
        (3, 3) setting matrix of one crystal [1/Å].

    Returns
    -------
    As of :func:`assign_global`.

    Notes
    -----
    Source: Kabsch (2010), Acta Cryst. D66, 133, section 2.3; constants of the published program.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import (
        breadth_first_order,
        connected_components,
        minimum_spanning_tree,
    )
    from scipy.spatial import cKDTree

    n = len(points)
    exact = points @ np.linalg.inv(a_matrix).T
    count = min(NEIGHBOURS + 1, n)
    near = cKDTree(points).query(points, k=count)[1].reshape(n, count)[:, 1:]
    one, other = np.repeat(np.arange(n), count - 1), near.ravel()
    difference = exact[other] - exact[one]
    whole = np.rint(difference)
    miss = np.maximum(np.abs(difference - whole) - SLACK, 0.0) / SLACK
    far = np.maximum(np.abs(whole) - FARTHEST, 0.0)
    doubt = 1.0 - np.exp(-2.0 * (miss**2 + far**2).sum(axis=1))
    sure = (doubt < 1.0 - TRUST) & (whole != 0).any(axis=1)
    # an exact zero would be no edge at all
    graph = coo_array((doubt[sure] + 1e-6, (one[sure], other[sure])), shape=(n, n)).tocsr()
    tree = minimum_spanning_tree(graph)
    member = connected_components(tree, directed=False)[1]
    root = int(np.flatnonzero(member == np.bincount(member).argmax())[0])
    order, parent = breadth_first_order(tree, root, directed=False)
    relative = np.zeros((n, 3), dtype=np.int64)
    for node in order[1:]:
        relative[node] = relative[parent[node]] + np.rint(exact[node] - exact[parent[node]])
    origin = np.rint(np.median(exact[order] - relative[order], axis=0)).astype(np.int64)
    hkl = np.zeros((n, 3), dtype=np.int64)
    hkl[order] = relative[order] + origin
    good = (hkl != 0).any(axis=1)
    error = np.sqrt(((exact - hkl) ** 2).sum(axis=1))
    crystal = np.where(good, 0, -1)
    lost = _beaten(hkl, crystal if scan is None else scan, error, phi, good)
    hkl[lost], crystal[lost] = 0, -1
    return hkl, crystal
