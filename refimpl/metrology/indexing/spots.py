"""Spots as indexing wants them: positions in mm and rad, their variances, and lattice points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.forward.experiment import Experiment
from refimpl.forward.reciprocal import diffracted_beams, reciprocal_points
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.pixels import pixels_to_mm
from refimpl.metrology.selection import STILLS_ANGLE_WEIGHT

__all__ = ["Rows", "Spots", "mapped", "scan_of_rows", "spots_of_table"]

Rows = NDArray[np.bool_] | I64 | slice


@dataclass(frozen=True)
class Spots:
    """Observed positions, of one scan or of several that see the same crystals.

    Attributes
    ----------
    panel
        (n,) panel numbers, counted through the detectors of all scans.
    xy_mm
        (n, 2) [mm] along fast and slow, parallax corrected.
    phi
        (n,) [rad], or None for a still.
    variance
        (n, 3) [mm^2, mm^2, rad^2]; of a still the last is that of the angle to the Ewald sphere.
    scan
        (n,) number of the scan.
    """

    panel: I64
    xy_mm: F64
    phi: F64 | None
    variance: F64
    scan: I64

    def __len__(self) -> int:
        return len(self.panel)

    def select(self, rows: Rows) -> Spots:
        """Some of the spots."""
        phi = None if self.phi is None else self.phi[rows]
        return Spots(
            self.panel[rows], self.xy_mm[rows], phi, self.variance[rows], self.scan[rows]
        )  # fmt: skip

    def by_scan(self, n_scans: int) -> Iterator[tuple[int, Rows]]:
        """Each scan's number and where its spots are."""
        if n_scans == 1:
            yield 0, slice(None)
            return
        for k in range(n_scans):
            yield k, np.flatnonzero(self.scan == k)


def scan_of_rows(table: ReflectionTable, n_scans: int) -> I64:
    """Scan (n,) that each row is of: ``imageset_id``, or else ``id``; 0 where there is but one.

    Raises
    ------
    FormatError
        There are several scans and rows do not say which they are of.
    """
    if n_scans == 1:
        return np.zeros(len(table), dtype=np.int64)
    name = "imageset_id" if "imageset_id" in table else "id"
    if name not in table:
        raise FormatError(
            f"{n_scans} experiments: the spots need a column imageset_id, or id, that says which "
            "they are of",
            path=table.source,
        )
    scan = np.asarray(table[name]).astype(np.int64)
    for row in np.flatnonzero((scan < 0) | (scan >= n_scans))[:1]:
        raise FormatError(
            f"{name} of spot {row} is {scan[row]}: there are {n_scans} experiments, from 0",
            path=table.source, key=name,
        )  # fmt: skip
    return scan


def spots_of_table(
    experiments: Sequence[Experiment], table: ReflectionTable, scan: I64 | None = None
) -> tuple[Spots, ReflectionTable]:
    """Spots of a table, made from pixels where the table has no millimetres.

    Parameters
    ----------
    experiments
        The scans.
    table
        Spots.
    scan
        (n,) scan that each is of; None is :func:`scan_of_rows`.

    Returns
    -------
    Spots, and the table with ``xyzobs.mm.value`` and ``xyzobs.mm.variance``.

    Raises
    ------
    ConfigError
        Stills among scans.
    FormatError
        A column is missing, a variance is not positive, or a position is not finite.
    GeometryError
        There is no detector, or a spot is on a panel that it has not.
    """
    sizes = [len(_complete(e).detector or ()) for e in experiments]
    still = _all_stills(experiments)
    table.require("panel")
    scan = scan_of_rows(table, len(experiments)) if scan is None else scan
    if "xyzobs.mm.value" not in table or "xyzobs.mm.variance" not in table:
        table = _in_millimetres(experiments, table, scan)
    value = np.asarray(table["xyzobs.mm.value"], dtype=np.float64)
    variance = np.asarray(table["xyzobs.mm.variance"], dtype=np.float64)
    if not np.isfinite(value).all():
        row = int(np.flatnonzero(~np.isfinite(value).all(axis=1))[0])
        raise FormatError(
            f"xyzobs.mm.value of spot {row} is {value[row].tolist()}: expected finite numbers",
            path=table.source,
        )
    used = variance[:, :2] if still else variance
    if not (used > 0.0).all():
        row = int(np.flatnonzero(~(used > 0.0).all(axis=1))[0])
        raise FormatError(
            f"xyzobs.mm.variance of spot {row} is {variance[row].tolist()}: "
            "expected positive numbers",
            path=table.source,
        )
    panel = np.asarray(table["panel"]).astype(np.int64)
    _check_panels(panel, np.array(sizes)[scan], table)
    panel += np.append(0, np.cumsum(sizes))[scan]
    phi: F64 | None = value[:, 2].copy()
    if still:
        phi, variance = None, variance.copy()
        variance[:, 2] = 1.0 / STILLS_ANGLE_WEIGHT
    return Spots(panel, value[:, :2].copy(), phi, variance, scan), table


def _check_panels(panel: I64, most: I64, table: ReflectionTable) -> None:
    for row in np.flatnonzero((panel < 0) | (panel >= most))[:1]:
        raise GeometryError(
            f"spot {row} is on panel {panel[row]}: its detector has {most[row]} panels, from 0"
            + ("" if table.source is None else f"; {table.source}")
        )


def _complete(experiment: Experiment) -> Experiment:
    if experiment.beam is None or experiment.detector is None:
        raise GeometryError("indexing needs an experiment with a beam and a detector")
    return experiment


def _all_stills(experiments: Sequence[Experiment]) -> bool:
    stills = [e.is_still for e in experiments]
    if any(stills) and not all(stills):
        raise ConfigError(
            f"experiment {stills.index(True)} is a still and {stills.index(False)} is not: index "
            "them apart"
        )
    return all(stills)


def _in_millimetres(
    experiments: Sequence[Experiment], table: ReflectionTable, scan: I64
) -> ReflectionTable:
    """Table with positions and variances in mm and rad, by the panels' own way."""
    table.require("xyzobs.px.value", "xyzobs.px.variance")
    pixel = np.asarray(table["xyzobs.px.value"], dtype=np.float64)
    variance = np.asarray(table["xyzobs.px.variance"], dtype=np.float64)
    panel = np.asarray(table["panel"]).astype(np.int64)
    value, scale = np.zeros_like(pixel), np.zeros_like(pixel)
    for k, e in enumerate(experiments):
        rows = np.flatnonzero(scan == k)
        assert e.detector is not None
        _check_panels(panel[rows], np.full(len(rows), len(e.detector)), table)
        x, y = pixels_to_mm(e, panel[rows], pixel[rows, 0], pixel[rows, 1])
        value[rows, 0], value[rows, 1] = x, y
        scale[rows, :2] = np.array([m.pixel_size_mm for m in e.detector.modules])[panel[rows]]
        if e.scan is not None:
            value[rows, 2] = e.scan.phi_of_frame(pixel[rows, 2])
            scale[rows, 2] = e.scan.width_rad
    return table.with_columns({"xyzobs.mm.value": value, "xyzobs.mm.variance": variance * scale**2})


def mapped(experiments: Sequence[Experiment], spots: Spots) -> tuple[F64, F64]:
    """Reciprocal lattice points (n, 3) at angle zero and observed beams s1 (n, 3) [1/Å].

    Raises
    ------
    GeometryError
        There is no beam or no detector.
    """
    points, beams = np.empty((len(spots), 3)), np.empty((len(spots), 3))
    first = 0
    for k, rows in spots.by_scan(len(experiments)):
        beam, detector, gonio = (
            experiments[k].beam, experiments[k].detector, experiments[k].goniometer
        )  # fmt: skip
        if beam is None or detector is None:
            raise GeometryError("indexing needs an experiment with a beam and a detector")
        panel, xy = spots.panel[rows] - first, spots.xy_mm[rows]
        s1 = diffracted_beams(panel, xy, detector.d, beam.wavelength_angstrom)
        beams[rows], points[rows] = s1, s1 - beam.s0
        if gonio is not None:
            phi = None if spots.phi is None else spots.phi[rows]
            points[rows] = reciprocal_points(
                s1, beam.s0, phi, gonio.rotation_axis, gonio.setting, gonio.fixed
            )
        first += len(detector)
    return points, beams
