"""What a refinement writes into its table: predictions of every reflection, and what became of it.

As published: every indexed reflection is predicted with the refined models, used or not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import (
    CENTROID_OUTLIER,
    PREDICTED,
    USED_IN_REFINEMENT,
    ReflectionTable,
)
from refimpl.metrology.observations import Observations, indexed_rows, observations_of
from refimpl.metrology.parameters import ModelSet
from refimpl.metrology.pixels import mm_to_pixels
from refimpl.metrology.problem import predict

__all__ = ["marked"]


def marked(
    table: ReflectionTable,
    models: ModelSet,
    full: F64,
    used: NDArray[np.intp],
    rejected: NDArray[np.intp],
    threads: int | None = None,
) -> ReflectionTable:
    """Table with predictions of every indexed reflection, and what became of each.

    Parameters
    ----------
    table
        As given to the refinement.
    models, full
        Parameters and their values (k,) at the end.
    used, rejected
        Rows of the table.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Returns
    -------
    The table with ``flags``, ``xyzcal.mm`` [mm, mm, rad], ``xyzcal.px`` [px, px, images] and, where
    it was there, ``s1`` [1/Å]. A row that the models do not predict is not marked as predicted, and
    has 0 in both; ``s1`` stays. A still has no predicted image: its ``xyzcal.px`` has the observed
    one.
    """
    flags = np.asarray(table["flags"]).copy()
    flags &= ~np.array(USED_IN_REFINEMENT | CENTROID_OUTLIER | PREDICTED, dtype=flags.dtype)
    flags[used] |= np.array(USED_IN_REFINEMENT, dtype=flags.dtype)
    flags[rejected] |= np.array(CENTROID_OUTLIER, dtype=flags.dtype)
    mm, px = np.zeros((len(table), 3)), np.zeros((len(table), 3))
    rays = np.array(table["s1"], dtype=np.float64) if "s1" in table else None
    indexed, poses = indexed_rows(table), models.poses(full)
    observed = observations_of(table, models.experiments, indexed, np.ones((len(indexed), 3)))
    refined = models.moved(full)
    for e, pose in enumerate(poses):
        mine = np.flatnonzero(observed.experiment == e)
        if not len(mine):
            continue
        some = observed.select(mine)
        xyz, s1, status = predict(pose, some, threads)
        good = np.flatnonzero((status == 0) & np.isfinite(xyz).all(axis=1))
        rows = some.row[good]
        mm[rows] = xyz[good]
        px[rows] = _pixels(table, refined, some.select(good), xyz[good])
        flags[rows] |= np.array(PREDICTED, dtype=flags.dtype)
        if rays is not None:
            rays[rows] = s1[good]
    columns = {"xyzcal.mm": mm, "xyzcal.px": px, "flags": flags}
    return table.with_columns(columns | ({} if rays is None else {"s1": rays}))


def _pixels(
    table: ReflectionTable, refined: Sequence[Experiment], some: Observations, xyz: F64
) -> F64:
    """(n, 3) predictions [px, px, images] of reflections of one experiment."""
    if not len(some):
        return np.zeros((0, 3))
    experiment = refined[int(some.experiment[0])]
    assert experiment.detector is not None  # model_set() demands one
    x, y = mm_to_pixels(experiment, some.panel.astype(np.int64), xyz[:, 0], xyz[:, 1])
    if experiment.scan is not None and not experiment.is_still:
        z = experiment.scan.frame_of_phi(xyz[:, 2])
    elif "xyzobs.px.value" in table:
        z = np.asarray(table["xyzobs.px.value"], dtype=np.float64)[some.row, 2]
    else:
        z = np.zeros(len(some))
    return np.column_stack([x, y, z])
