"""Lattice vectors of a known cell: every direction tried with the cell's edges."""

from __future__ import annotations

import numpy as np

from refimpl.crystal.cell import Cell
from refimpl.frames import F64
from refimpl.metrology.indexing.cosine_sums import cosine_sums
from refimpl.metrology.indexing.vectors import distinct_vectors, hemisphere, refined_vectors

__all__ = ["known_edge_vectors"]

STEP_RAD = 0.02
GROUPS = 30


def known_edge_vectors(
    points: F64, cell: Cell, step_rad: float | None = None, threads: int | None = None
) -> F64:
    """Best 30 vectors (m, 3) [Å] as long as the edges of a cell, the best first.

    Parameters
    ----------
    points
        (n, 3) reciprocal lattice points [1/Å].
    cell
        Primitive cell that is known.
    step_rad
        Angle between neighbouring directions; None for 0.02 rad.
    threads
        As everywhere, see :func:`refimpl.dispatch.resolve_threads`.

    Notes
    -----
    As in the published search (Gildea et al., 2014, Acta Cryst. D70, 2652), but the matrix of
    points by directions, 7 GB for 13,805 spots, is summed as it is made, and the winners are
    refined.
    """
    step = STEP_RAD if step_rad is None else step_rad
    directions = hemisphere(step)
    edges = np.unique(np.round(cell[:3], 6))
    vectors = np.concatenate([directions * edge for edge in edges])
    sums = cosine_sums(points, vectors, threads=threads)  # type: ignore[call-arg]
    heads, _ = distinct_vectors(vectors, sums, GROUPS)
    better = refined_vectors(points, heads, step)
    scores, refined_scores = cosine_sums(points, heads), cosine_sums(points, better)
    lengths = np.linalg.norm(better, axis=1) / np.linalg.norm(heads, axis=1)
    won = (refined_scores > scores) & (np.abs(lengths - 1.0) < 0.2)  # else it ran elsewhere
    heads = np.where(won[:, None], better, heads)
    return distinct_vectors(heads, np.where(won, refined_scores, scores), GROUPS)[0]
