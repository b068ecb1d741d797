"""Spots as indexing wants them: positions in mm and rad, their variances, and lattice points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError, GeometryError
from refimpl.forward.experiment import Experiment
from refimpl.forward.reciprocal import diffracted_beams, reciprocal_points
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.selection import STILLS_ANGLE_WEIGHT

__all__ = ["Spots", "mapped", "spots_of_table"]


@dataclass(frozen=True)
class Spots:
    """Observed positions.

    Attributes
    ----------
    panel
        (n,) panel numbers.
    xy_mm
        (n, 2) [mm] along fast and slow, parallax corrected.
    phi
        (n,) [rad], or None for a still.
    variance
        (n, 3) [mm^2, mm^2, rad^2]; of a still the last is that of the angle to the Ewald sphere.
    """

    panel: I64
    xy_mm: F64
    phi: F64 | None
    variance: F64

    def __len__(self) -> int:
        return len(self.panel)

    def select(self, rows: NDArray[np.bool_] | I64) -> Spots:
        """Some of the spots."""
        phi = None if self.phi is None else self.phi[rows]
        return Spots(self.panel[rows], self.xy_mm[rows], phi, self.variance[rows])


def spots_of_table(experiment: Experiment, table: ReflectionTable) -> tuple[Spots, ReflectionTable]:
    """Spots of a table, made from pixels where the table has no millimetres.

    Returns
    -------
    Spots, and the table with ``xyzobs.mm.value`` and ``xyzobs.mm.variance``.

    Raises
    ------
    FormatError
        A column is missing, a variance is not positive, or a position is not finite.
    GeometryError
        There is no detector, or a spot is on a panel that it has not.
    """
    if experiment.detector is None:
        raise GeometryError("indexing needs an experiment with a beam and a detector")
    table.require("panel")
    if "xyzobs.mm.value" not in table or "xyzobs.mm.variance" not in table:
        table = _in_millimetres(experiment, table)
    value = np.asarray(table["xyzobs.mm.value"], dtype=np.float64)
    variance = np.asarray(table["xyzobs.mm.variance"], dtype=np.float64)
    if not np.isfinite(value).all():
        row = int(np.flatnonzero(~np.isfinite(value).all(axis=1))[0])
        raise FormatError(
            f"xyzobs.mm.value of spot {row} is {value[row].tolist()}: expected finite numbers",
            path=table.source,
        )
    used = variance if not experiment.is_still else variance[:, :2]
    if not (used > 0.0).all():
        row = int(np.flatnonzero(~(used > 0.0).all(axis=1))[0])
        raise FormatError(
            f"xyzobs.mm.variance of spot {row} is {variance[row].tolist()}: "
            "expected positive numbers",
            path=table.source,
        )
    panel = np.asarray(table["panel"]).astype(np.int64)
    phi: F64 | None = value[:, 2].copy()
    if experiment.is_still:
        phi, variance = None, variance.copy()
        variance[:, 2] = 1.0 / STILLS_ANGLE_WEIGHT
    return Spots(panel, value[:, :2].copy(), phi, variance), table


def _in_millimetres(experiment: Experiment, table: ReflectionTable) -> ReflectionTable:
    """Table with positions and variances in mm and rad, by the panels' own way."""
    table.require("xyzobs.px.value", "xyzobs.px.variance")
    assert experiment.detector is not None
    pixel = np.asarray(table["xyzobs.px.value"], dtype=np.float64)
    panel = np.asarray(table["panel"]).astype(np.int64)
    x, y = experiment.detector.pixel_to_mm(panel, pixel[:, 0], pixel[:, 1])
    sizes = np.array([module.pixel_size_mm for module in experiment.detector.modules])[panel]
    scan = experiment.scan
    phi = np.zeros(len(pixel)) if scan is None else scan.phi_of_frame(pixel[:, 2])
    width = 0.0 if scan is None else scan.width_rad
    scale = np.column_stack([sizes, np.full(len(pixel), width)]) ** 2
    return table.with_columns(
        {
            "xyzobs.mm.value": np.column_stack([x, y, phi]),
            "xyzobs.mm.variance": np.asarray(table["xyzobs.px.variance"]) * scale,
        }
    )


def mapped(experiment: Experiment, spots: Spots) -> tuple[F64, F64]:
    """Reciprocal lattice points (n, 3) at angle zero and observed beams s1 (n, 3) [1/Å].

    Raises
    ------
    GeometryError
        There is no beam or no detector.
    """
    if experiment.beam is None or experiment.detector is None:
        raise GeometryError("indexing needs an experiment with a beam and a detector")
    beam, gonio = experiment.beam, experiment.goniometer
    s1 = diffracted_beams(spots.panel, spots.xy_mm, experiment.detector.d, beam.wavelength_angstrom)
    if gonio is None:
        return s1 - beam.s0, s1
    points = reciprocal_points(
        s1, beam.s0, spots.phi, gonio.rotation_axis, gonio.setting, gonio.fixed
    )
    return points, s1
