"""The text files that the published calibration writes: read back, and written byte for byte.

``panelshifts.txt``, ``<image>.corr.csv`` (ten names over eleven columns) and the "Mean Values"
block of ``calibrant_screen_out.csv``. Formats: spec of the published C program at the version of
its manual 10. Values stay in the units of the files (um, deg, px, strain).
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.frames import F64, I64
from refimpl.io.atomic import write_text
from refimpl.units import MICROSTRAIN

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
_MEAN_START = "Mean Values"
_MEAN_END = "Copy to par"
# A mean strain of a tenth is a detector off by its own size, one of 0.1 microstrain is below any
# ever reached: what lies above is in microstrain.
_STRAIN_LIMIT = 0.1


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
    for number, line in enumerate(_lines(file), start=1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        row = _numbers(text, file, number)
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
    lines = _lines(file)
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


@dataclass(frozen=True)
class MeanValues:
    """The "Mean Values" block of the calibration's console output.

    Attributes
    ----------
    lsd_um, bc_px, ty_deg, tz_deg
        Distance, beam centre (Y, Z), tilts.
    p
        Distortion terms by name.
    mean_strain, std_strain
        As strain, whatever the unit of the file.
    """

    lsd_um: float
    bc_px: tuple[float, float]
    ty_deg: float
    tz_deg: float
    p: Mapping[str, float]
    mean_strain: float
    std_strain: float


def read_mean_values(path: str | Path, *, in_microstrain: bool | None = None) -> MeanValues:
    """Read the last "Mean Values" block of a ``calibrant_screen_out.csv``.

    Parameters
    ----------
    in_microstrain
        Unit of MeanStrain and StdStrain. The version of the manual writes strain, later ones
        microstrain, and neither says so; None decides by size: a mean of 0.1 or more is
        microstrain.

    Raises
    ------
    FormatError
        Missing file, no such block, or a value is missing or no number.
    """
    file = Path(path)
    lines = _lines(file)
    starts = [n for n, line in enumerate(lines) if _MEAN_START in line]
    if not starts:
        raise FormatError(f"no {_MEAN_START!r} block: the calibration did not end", path=file)
    found: dict[str, list[float]] = {}
    for number, line in enumerate(lines[starts[-1] + 1 :], start=starts[-1] + 2):
        if _MEAN_END in line:
            break
        words = line.split(maxsplit=1)
        if len(words) == 2:
            found[words[0].rstrip(":")] = _numbers(words[1], file, number)
    needed = {"Lsd": 1, "BC": 2, "ty": 1, "tz": 1, "MeanStrain": 1, "StdStrain": 1}
    for name, count in needed.items():
        if len(found.get(name, [])) != count:
            raise FormatError(f"the {_MEAN_START!r} block lacks {name}", path=file)
    mean, std = found["MeanStrain"][0], found["StdStrain"][0]
    if in_microstrain is None:
        in_microstrain = mean >= _STRAIN_LIMIT
    scale = MICROSTRAIN if in_microstrain else 1.0
    return MeanValues(
        lsd_um=found["Lsd"][0],
        bc_px=(found["BC"][0], found["BC"][1]),
        ty_deg=found["ty"][0],
        tz_deg=found["tz"][0],
        p={f"p{n}": found[f"p{n}"][0] for n in range(15) if f"p{n}" in found},
        mean_strain=mean * scale,
        std_strain=std * scale,
    )


def mean_values_text(values: MeanValues) -> str:
    """Write the block as published: ``%0.12f`` a line, strain, p4 and later after StdStrain."""
    lines = [
        "*******************Mean Values*******************",
        f"Lsd {values.lsd_um:.12f}",
        f"BC {values.bc_px[0]:.12f} {values.bc_px[1]:.12f}",
        f"ty {values.ty_deg:.12f}",
        f"tz {values.tz_deg:.12f}",
        *(f"p{n} {values.p.get(f'p{n}', 0.0):.12f}" for n in range(4)),
        f"MeanStrain {values.mean_strain:.12f}",
        f"StdStrain  {values.std_strain:.12f}",
        *(f"p{n} {values.p[f'p{n}']:.12f}" for n in range(4, 15) if f"p{n}" in values.p),
        "*******************Copy to par*******************",
    ]
    return "\n".join(lines) + "\n"


def _lines(file: Path) -> list[str]:
    """Lines of a text file; the console output of the published program is not always UTF-8."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=file) from error
    return content.decode("utf-8", errors="replace").splitlines()


def _numbers(text: str, file: Path, line: int) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError as error:
        raise FormatError(f"not numbers: {text!r}", path=file, line=line) from error
