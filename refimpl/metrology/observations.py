"""Observed reflections as a fit has them: rows of a table with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import ReflectionTable
from refimpl.units import DEG

__all__ = ["Observations", "check_panels", "check_rotation", "indexed_rows", "observations_of"]

_TURNED = 1e-6
"""Difference of observed rotation angles [rad] that no still has: far below the width of any image,
far above rounding."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Observed reflections in the order of the fit.

    Attributes
    ----------
    row
        (n,) row of the table that each came from.
    experiment, panel
        (n,).
    hkl
        (n, 3) float.
    entering
        (n,) 1 or 0.
    xyz
        (n, 3) observed X, Y [mm], phi [rad].
    weight
        (n, 3) [mm^-2, mm^-2, rad^-2].
    """

    row: NDArray[np.intp]
    experiment: I64
    panel: NDArray[np.int32]
    hkl: F64
    entering: NDArray[np.uint8]
    xyz: F64
    weight: F64

    def __len__(self) -> int:
        return len(self.row)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Observations:
        """Some of them."""
        return Observations(
            self.row[keep], self.experiment[keep], self.panel[keep], self.hkl[keep],
            self.entering[keep], self.xyz[keep], self.weight[keep],
        )  # fmt: skip


def indexed_rows(table: ReflectionTable) -> NDArray[np.intp]:
    """Rows that belong to an experiment and have Miller indices."""
    table.require("miller_index", "id")
    return np.flatnonzero(np.any(table["miller_index"] != 0, axis=1) & (table["id"] >= 0))


def check_panels(
    table: ReflectionTable, experiments: Sequence[Experiment], rows: NDArray[np.intp]
) -> None:
    """Refuse rows whose panel their experiment's detector does not have.

    Raises
    ------
    FormatError
        Names the first such row of the table.
    """
    table.require("id", "panel")
    ids, panels = np.asarray(table["id"])[rows], np.asarray(table["panel"])[rows]
    counts = np.array([0 if e.detector is None else len(e.detector) for e in experiments])
    bad = (panels < 0) | (panels.astype(np.int64) >= counts[ids])
    if bad.any():
        k = int(np.argmax(bad))
        n = int(counts[ids[k]])
        raise FormatError(
            f"row {rows[k]} lies on panel {panels[k]}: the detector of experiment {ids[k]} has "
            f"{n} panel(s), 0 to {n - 1}",
            path=table.source,
            key="panel",
        )


def check_rotation(
    table: ReflectionTable, experiments: Sequence[Experiment], path: str | Path | None = None
) -> None:
    """Refuse stills whose reflections were seen at different rotation angles.

    They are of a scan that their experiment has lost: taken for stills, they would be fitted to
    where nothing ever was.

    Parameters
    ----------
    table, experiments
        Reflections, and experiments in the order of their ``id``.
    path
        File of the experiments, for the message.

    Raises
    ------
    FormatError
        Names the first such experiment and what it lacks.
    """
    table.require("id", "xyzobs.mm.value")
    ids, phi = np.asarray(table["id"]), np.asarray(table["xyzobs.mm.value"])[:, 2]
    for number, experiment in enumerate(experiments):
        if not experiment.is_still:
            continue
        here = phi[(ids == number) & np.isfinite(phi)]
        if len(here) and np.ptp(here) > _TURNED:
            key = next((k for k in ("scan", "goniometer") if getattr(experiment, k) is None), None)
            lacks = (
                "a scan whose images have no width (oscillation)" if key is None else f"no {key}"
            )
            raise FormatError(
                f"experiment {number} has {lacks}, so it is a still, but its reflections were "
                f"seen at rotation angles from {here.min() / DEG:.2f} to {here.max() / DEG:.2f} "
                "degrees: give it those of its images",
                path=path,
                key=key or "oscillation",
            )


def observations_of(
    table: ReflectionTable,
    experiments: Sequence[Experiment],
    rows: NDArray[np.intp],
    weight: F64,
) -> Observations:
    """Observations of some rows of a table.

    ``entering`` is the table's where it has the column (it is recomputed from the observed ray
    ``s1`` otherwise, as published); stills need neither.

    Raises
    ------
    FormatError
        A column is missing, or a row lies on a panel that is not there.
    """
    table.require("miller_index", "id", "panel", "xyzobs.mm.value")
    check_panels(table, experiments, rows)
    ids = np.asarray(table["id"][rows], dtype=np.int64)
    if "entering" in table:
        entering = table["entering"][rows].astype(np.uint8)
    else:
        entering = np.zeros(len(rows), dtype=np.uint8)
        for e, experiment in enumerate(experiments):
            mine = ids == e
            if experiment.is_still or not mine.any():
                continue
            table.require("s1")
            axis = experiment.goniometer.setting @ experiment.goniometer.rotation_axis  # type: ignore[union-attr]
            across = np.cross(experiment.beam.s0, axis)  # type: ignore[union-attr]
            entering[mine] = table["s1"][rows][mine] @ across < 0.0
    xyz = np.array(table["xyzobs.mm.value"][rows], dtype=np.float64)
    xyz[np.array([e.is_still for e in experiments])[ids], 2] = 0.0  # a still is on the sphere
    return Observations(
        np.asarray(rows, dtype=np.intp), ids, table["panel"][rows].astype(np.int32),
        table["miller_index"][rows].astype(np.float64), entering, xyz, weight,
    )  # fmt: skip
