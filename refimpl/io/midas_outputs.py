"""The text files that the published calibration writes: read back, and written byte for byte.

``panelshifts.txt``, ``<image>.corr.csv`` (ten names over eleven columns) and the "Mean Values"
block of ``calibrant_screen_out.csv``. Formats: spec of the published C program at the version of
its manual 10. Values stay in the units of the files (um, deg, px, strain).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.frames import F64, I64
from refimpl.io.atomic import write_text
from refimpl.io.midas_mean_values import (
    MeanValues,
    mean_values_text,
    numbers_of,
    read_mean_values,
    text_lines,
)

__all__ = [
    "CorrTable",
    "MeanValues",
    "PanelShifts",
    "mean_values_text",
    "read_corr",
    "read_mean_values",
    "read_panel_shifts",
    "write_corr",
    "write_panel_shifts",
]

_SHIFTS_HEADER = "# ID dY dZ dTheta dLsd dP2"
_CORR_HEADER = "%Eta Strain RadFit EtaCalc DiffCalc RadCalc Ideal2Theta Outlier YRawCorr ZRawCorr"
_CORR_FORMATS = (
    "%f", "%10.8f", "%10.8f", "%f", "%10.8f", "%10.8f", "%f", "%d", "%f", "%f", "%d",
)  # fmt: skip
_MOST_PANELS = 1 << 31  # no number of a panel, and what a C int holds


@dataclass(frozen=True, eq=False)
class PanelShifts:
    """Corrections of p panels, sorted as in the file.

    Attributes
    ----------
    panel_id
        (p,) int.
    d_y_px, d_z_px
        (p,) [px], shift across and up.
    d_theta_deg
        (p,) [deg], rotation about the panel's centre.
    d_lsd_um
        (p,) [um].
    d_p2
        (p,) offset of p2.
    """

    panel_id: I64
    d_y_px: F64
    d_z_px: F64
    d_theta_deg: F64
    d_lsd_um: F64
    d_p2: F64


def read_panel_shifts(path: str | Path) -> PanelShifts:
    """Read ``panelshifts.txt``; columns four to six may be missing (then 0).

    Raises
    ------
    FormatError
        Missing file, a line with fewer than three or more than six finite numbers, an identifier
        that is no whole number from 0 or stands twice.
    """
    file = Path(path)
    rows: list[list[float]] = []
    seen: set[float] = set()
    for number, line in enumerate(text_lines(file), start=1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        row = numbers_of(text, file, number)
        if not 3 <= len(row) <= 6:
            raise FormatError(
                f"a panel line needs 3 to 6 numbers (ID dY dZ [dTheta dLsd dP2]), got {len(row)}",
                path=file,
                line=number,
            )
        if not all(map(math.isfinite, row)):
            raise FormatError(f"not finite numbers: {text!r}", path=file, line=number)
        if not 0 <= row[0] < _MOST_PANELS or row[0] != int(row[0]) or row[0] in seen:
            problem = "stands twice" if row[0] in seen else "is no whole number from 0"
            raise FormatError(f"panel ID {row[0]:g} {problem}", path=file, line=number)
        seen.add(row[0])
        rows.append(row + [0.0] * (6 - len(row)))
    if not rows:
        raise FormatError("no panel found", path=file)
    table = np.array(rows)
    return PanelShifts(table[:, 0].astype(np.int64), *(table[:, n].copy() for n in range(1, 6)))


def write_panel_shifts(path: str | Path, shifts: PanelShifts) -> Path:
    """Write ``panelshifts.txt`` as published (``%d %.10f`` x 5); atomic."""
    lines = [_SHIFTS_HEADER]
    columns = [getattr(shifts, f.name) for f in fields(shifts)]
    for panel, *values in zip(*columns, strict=True):
        lines.append(" ".join([f"{panel:d}", *(f"{value:.10f}" for value in values)]))
    return write_text(path, "\n".join(lines) + "\n")


@dataclass(frozen=True, eq=False)
class CorrTable:
    """Fitted points of ``<image>.corr.csv``: n points.

    Attributes
    ----------
    eta_deg, strain, rad_fit_um
        (n,) at the fitted geometry: azimuth [deg], absolute strain, corrected ring radius [um].
    eta_calc_deg, strain_calc, rad_calc_um
        (n,) the same at the geometry that was put in.
    ideal_two_theta_deg
        (n,) [deg].
    outlier
        (n,) bool.
    y_px, z_px
        (n,) [px] point after panel rotation and shift, counted from pixel centres.
    ring
        (n,) ring number, from 1: the eleventh column, which the published header does not name.
    """

    eta_deg: F64
    strain: F64
    rad_fit_um: F64
    eta_calc_deg: F64
    strain_calc: F64
    rad_calc_um: F64
    ideal_two_theta_deg: F64
    outlier: NDArray[np.bool_]
    y_px: F64
    z_px: F64
    ring: I64


def read_corr(path: str | Path) -> CorrTable:
    """Read a ``.corr.csv``.

    Later versions of the program write more columns with a header of their own, points in no
    panel with strain -1 and lines of geometry before the header: the columns are then found by
    name, such points are left out, comma lines are skipped.

    Raises
    ------
    FormatError
        Missing file, no header, a named column is missing, or a line of another length.
    """
    file = Path(path)
    lines = text_lines(file)
    start = next((n for n, line in enumerate(lines) if line.lstrip("%# ").startswith("Eta ")), None)
    if start is None:
        raise FormatError("no header line (%Eta Strain RadFit ...): not a corr.csv", path=file)
    names = lines[start].lstrip("%# ").split()
    body = [line for line in lines[start + 1 :] if line.strip()]
    if "RingNr" not in names:
        names = [*names, "RingNr"]
    wanted = [*_CORR_HEADER.lstrip("%").split(), "RingNr"]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise FormatError(f"the header lacks {', '.join(missing)}", path=file, line=start + 1)
    for number, line in enumerate(body):
        if len(line.split()) != len(names):
            raise FormatError(
                f"{len(line.split())} values, {len(names)} columns expected",
                path=file,
                line=start + 2 + number,
            )
    try:
        text = io.StringIO("\n".join(body))
        table = np.loadtxt(text, ndmin=2, comments=None) if body else np.empty((0, len(names)))
    except ValueError as error:
        raise FormatError(f"a value is no number: {error}", path=file) from error
    columns = {name: table[:, names.index(name)] for name in wanted}
    kept = columns["Strain"] > -0.999
    taken: list[Any] = [np.ascontiguousarray(column[kept]) for column in columns.values()]
    taken[7] = taken[7] != 0
    taken[10] = taken[10].astype(np.int64)
    return CorrTable(*taken)


def write_corr(path: str | Path, table: CorrTable) -> Path:
    """Write a ``.corr.csv`` with the published header and formats, quirk included; atomic."""
    line = " ".join(_CORR_FORMATS)
    columns = [getattr(table, f.name) for f in fields(table)]
    lines = [line % row for row in zip(*columns, strict=True)]
    return write_text(path, "\n".join([_CORR_HEADER, *lines]) + "\n")
