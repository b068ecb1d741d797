"""Parallax anew: millimetres of the observed spots as the refined panels would have them.

The published refinement takes ``xyzobs.mm`` as it was made, with the parallax of panels that were
not tilted yet. Here they are made again from the pixels after each refinement, until they settle;
a tilt of a few mrad at a high angle moves a spot on a thick sensor by some micrometres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from refimpl.errors import ConfigError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import PREDICTED, ReflectionTable
from refimpl.metrology.pixels import mm_to_pixels, pixels_to_mm
from refimpl.metrology.refine import RefinementResult, RefineSettings, refine

__all__ = ["TOLERANCE_MM", "refine_with_parallax", "remeasured"]

TOLERANCE_MM: Final = 1e-5
"""Change of an observed position below which the parallax has settled."""


def remeasured(table: ReflectionTable, experiments: Sequence[Experiment]) -> ReflectionTable:
    """Table whose observed X and Y [mm] come from its pixels and the detectors as they are.

    Tables of corrections that the experiments name are heard, see :mod:`refimpl.metrology.pixels`.
    Calculated pixels are made again of calculated millimetres where the table has both.

    Raises
    ------
    FormatError
        The table lacks pixels, panels or experiments.
    GeometryError
        A panel that the detector has not.

    Examples
    --------
    >>> from refimpl import metrology
    >>> from refimpl.testing.rotation_case import rotation_case
    >>> case = rotation_case(n=10)  # without parallax millimetres are pixels times their size
    >>> same = metrology.remeasured(case.table, case.start)
    >>> bool(abs(same["xyzobs.mm.value"] - case.table["xyzobs.mm.value"]).max() < 1e-12)
    True
    """
    table.require("xyzobs.px.value", "xyzobs.mm.value", "panel", "id")
    xyz = np.array(table["xyzobs.mm.value"], dtype=np.float64)
    px, panel, ids = table["xyzobs.px.value"], np.asarray(table["panel"]), np.asarray(table["id"])
    for number, experiment in enumerate(experiments):
        mine = ids == number
        if experiment.detector is None or not mine.any():
            continue
        xyz[mine, 0], xyz[mine, 1] = pixels_to_mm(
            experiment, panel[mine].astype(np.int64), px[mine, 0], px[mine, 1]
        )
    columns = {"xyzobs.mm.value": xyz}
    if "xyzcal.mm" in table and "xyzcal.px" in table:
        columns["xyzcal.px"] = _calculated(table, experiments)
    return table.with_columns(columns)


def _calculated(table: ReflectionTable, experiments: Sequence[Experiment]) -> F64:
    """(n, 3) calculated pixels with X and Y of the calculated millimetres, where there are any."""
    mm, out = np.asarray(table["xyzcal.mm"]), np.array(table["xyzcal.px"], dtype=np.float64)
    panel, ids = np.asarray(table["panel"]).astype(np.int64), np.asarray(table["id"])
    for number, experiment in enumerate(experiments):
        mine = (ids == number) & table.has_flags(PREDICTED)
        if experiment.detector is not None and mine.any():
            out[mine, 0], out[mine, 1] = mm_to_pixels(
                experiment, panel[mine], mm[mine, 0], mm[mine, 1]
            )
    return out


def refine_with_parallax(
    experiments: Sequence[Experiment],
    table: ReflectionTable,
    settings: RefineSettings | None = None,
    *,
    tolerance_mm: float = TOLERANCE_MM,
    most: int = 5,
    progress: Callable[[int, F64], None] | None = None,
    threads: int | None = None,
) -> tuple[RefinementResult, tuple[float, ...]]:
    """Refine, make the observed millimetres again, and so on until they settle.

    Parameters
    ----------
    experiments, table, settings, progress, threads
        See :func:`refimpl.metrology.refine.refine`; every round starts from the given models,
        so that outliers are judged alike.
    tolerance_mm
        Largest change of an observed position that ends it.
    most
        Refinements.

    Returns
    -------
    result
        Of the last round.
    changes
        Largest change [mm] of an observed position after each round; they have settled where the
        last is below the tolerance.

    Raises
    ------
    ConfigError
        No round is asked for, or no panel has a parallax.
    """
    if most < 1:
        raise ConfigError(f"refine_with_parallax: most = {most}: expected 1 or more")
    modules = [m for e in experiments if e.detector is not None for m in e.detector.modules]
    if not any(m.parallax and m.thickness_mm > 0.0 and m.mu_per_mm > 0.0 for m in modules):
        raise ConfigError("refine_with_parallax: no panel has a parallax: nothing would change")
    now, changes = remeasured(table, experiments), []
    result = refine(experiments, now, settings, progress=progress, threads=threads)
    for _ in range(most):
        after = remeasured(now, result.experiments)
        gone = after["xyzobs.mm.value"] - now["xyzobs.mm.value"]
        changes.append(float(np.max(np.abs(gone), initial=0.0)))
        if changes[-1] < tolerance_mm or len(changes) == most:
            break
        now = after
        result = refine(experiments, now, settings, progress=progress, threads=threads)
    return result, tuple(changes)
