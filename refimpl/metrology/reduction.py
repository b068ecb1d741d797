"""Automatic reduction: what to do with models that too few reflections see.

All parameters of a model (a detector group, a beam, an orientation, a cell) are seen by the same
reflections, so a model has enough of them or it has not. Source: DIALS' auto-reduction.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.metrology.observations import Observations
from refimpl.metrology.parameters import ModelSet

__all__ = ["Action", "reduced"]

Action = Literal["fix", "fail", "remove"]


def reduced(
    models: ModelSet, used: Observations, action: Action, least: int
) -> tuple[ModelSet, Observations, tuple[str, ...]]:
    """Hold, refuse or remove models that fewer than `least` reflections see.

    Returns
    -------
    Models with what is left free, the reflections that are left, a sentence for each such model.

    Raises
    ------
    ConfigError
        There is one, and the action is ``fail``.
    FormatError
        Nothing is left to refine.
    """
    free, said = models.free.copy(), []
    lost = np.zeros(len(used), dtype=bool)
    for name, at, mine in _owners(models, used):
        n_free, n = int(np.count_nonzero(free[at])), int(np.count_nonzero(mine))
        if n_free == 0 or n >= least:
            continue
        text = f"{name}: {n} reflections, fewer than {least}"
        if action == "fail":
            raise ConfigError(f"{text}; auto_reduction fix would hold it", key="auto_reduction")
        free[at] = False
        if action == "remove":
            lost |= mine
        said.append(f"{text}: {'removed' if action == 'remove' else 'held'}")
    if not free.any():
        raise FormatError(
            f"too few reflections ({len(used)}): no parameter is left to refine; "
            f"the first of {len(said)} models: {said[0]}"
        )
    return models.with_free(free), used.select(~lost), tuple(said)


def _owners(models: ModelSet, used: Observations) -> list[tuple[str, slice, NDArray[np.bool_]]]:
    """Name, place of its parameters, and reflections (n,) of every model."""
    out: list[tuple[str, slice, NDArray[np.bool_]]] = []
    detector = models.of_detector[used.experiment]
    for k, own in enumerate(models.detectors):
        start = models.detector_at(k).start
        here = detector == k
        groups = np.full(len(used), -1)  # detectors may differ in their number of panels
        groups[here] = own.group_of[used.panel[here]]
        for g in range(len(own.members)):
            label = own.prefix if len(own.detector) == 1 else f"{own.prefix}Group{g + 1}"
            out.append((label, slice(start + 6 * g, start + 6 * g + 6), groups == g))
    for k, beam in enumerate(models.beams):
        out.append((beam.prefix, models.beam_at(k), models.of_beam[used.experiment] == k))
    for k, orientation in enumerate(models.orientations):
        mine = models.of_crystal[used.experiment] == k
        out.append((f"{orientation.prefix} orientation", models.orientation_at(k), mine))
        out.append((f"{orientation.prefix} cell", models.cell_at(k), mine))
    return out
