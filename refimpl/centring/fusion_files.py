"""Tables of points at several rotations, sample by sample, for the fusion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.camera import Camera
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64
from refimpl.io.log_tables import read_log_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Points", "read_points", "scale_of"]

_NAMES: Final = {
    "image": ("image", "file", "filename", "picture", "path"),
    "crystal": ("crystal", "crystal_id", "sample"),
    "series": ("series", "scan"),
    "omega_deg": ("omega_deg", "omega"),
    "zoom": ("zoom",),
    "um_per_px": ("um_per_px",),
    "x_px": ("x_px", "x"),
    "y_px": ("y_px", "y"),
    "s_um": ("s_um", "s"),
    "t_um": ("t_um", "t"),
}


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one sample.

    Attributes
    ----------
    name
        Of the sample; "" where the table tells none.
    st_um, omega_rad
        (n, 2) and (n,).
    line
        (n,) lines of the file.
    """

    name: str
    st_um: F64
    omega_rad: F64
    line: NDArray[np.int64]


def scale_of(text: str) -> tuple[float, float]:
    """Scale from ``UM`` (um/px), or ``A,B`` for pictures with a zoom: A + B zoom px/um."""
    found = re.fullmatch(r"\s*([-+.\deE]+)\s*(?:,\s*([-+.\deE]+)\s*)?", text)
    try:
        if found is None:
            raise ValueError(text)
        first = float(found[1])
        if found[2] is None:
            if not first > 0.0:
                raise ValueError(text)
            return 1.0 / first, 0.0
        return first, float(found[2])
    except ValueError:
        raise ConfigError(
            f"--um-per-px {text!r}: expected a positive number, or A,B for A + B zoom px/um",
            key="um_per_px", got=text,
        ) from None  # fmt: skip


def read_points(
    path: str | Path, *, scale: tuple[float, float] | None = None,
    middle_px: tuple[float, float] | None = None, side: str = "left", by: str = "crystal",
) -> list[Points]:  # fmt: skip
    """Read a CSV of points, sample by sample in the order of their names' first lines.

    Parameters
    ----------
    path
        Columns ``omega_deg``, and ``s_um, t_um`` or ``x_px, y_px``; optional ``crystal``,
        ``series``, ``um_per_px``, ``zoom``. A row without a point (empty cells) is left out: no
        crystal was seen there.
    scale
        As :func:`scale_of` gives it; None: from the column ``um_per_px``.
    middle_px
        The beam in the pictures; for points in px.
    side
        Side that the pin enters from; for points in px.
    by
        Column that tells samples apart, where it is there: ``crystal`` or ``series``.

    Raises
    ------
    FormatError
        Not such a table; a rotation or a zoom is missing.
    ConfigError
        Points in px without a scale or the place of the beam; an unknown column to part by.
    """
    if by not in ("crystal", "series"):
        raise ConfigError(f"by {by!r}: expected crystal or series", key="by", got=by)
    place = Path(path)
    table = read_log_table(place, _NAMES, needed=["omega_deg"], lines=True)
    lines = table["line"].to_numpy(dtype=np.int64)
    omega = _finite(place, table["omega_deg"].to_numpy(dtype=np.float64), lines, "omega_deg")
    if {"s_um", "t_um"} <= set(table.columns):
        st = table[["s_um", "t_um"]].to_numpy(dtype=np.float64)
    elif {"x_px", "y_px"} <= set(table.columns):
        if middle_px is None:
            raise ConfigError(
                "points in px: the place of the beam in the pictures is needed", key="middle_px"
            )
        px_per_um = _scales(place, table, lines, scale)
        xy = table[["x_px", "y_px"]].to_numpy(dtype=np.float64)
        st = np.array([
            Camera(1.0 / each, middle_px, side).to_um(at)
            for each, at in zip(px_per_um, xy, strict=True)
        ])  # fmt: skip
    else:
        raise FormatError("no columns s_um, t_um or x_px, y_px", path=place, line=1)
    names = table[by].to_numpy(dtype=str) if by in table.columns else np.full(len(table), "")
    seen = np.isfinite(st).all(axis=1)
    made = []
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero((names == name) & seen)
        made.append(Points(name, st[rows], np.radians(omega[rows]), lines[rows]))
    return made


def _scales(
    path: Path, table: pd.DataFrame, lines: NDArray[np.int64], scale: tuple[float, float] | None
) -> F64:
    if scale is None:
        if "um_per_px" not in table.columns:
            raise ConfigError("points in px: a scale (um/px) is needed", key="um_per_px")
        px_per_um = 1.0 / table["um_per_px"].to_numpy(dtype=np.float64)
    elif scale[1] == 0.0:
        px_per_um = np.full(len(table), scale[0])
    elif "zoom" not in table.columns:
        raise FormatError("no column zoom: the scale goes by it", path=path, line=1, key="zoom")
    else:
        px_per_um = scale[0] + scale[1] * table["zoom"].to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(px_per_um) & (px_per_um > 0.0)))
    if len(bad):
        raise FormatError(
            f"a scale of {px_per_um[bad[0]]:g} px/um: expected a positive number", path=path,
            line=int(lines[bad[0]]),
        )  # fmt: skip
    return np.asarray(px_per_um)


def _finite(path: Path, values: F64, lines: NDArray[np.int64], column: str) -> F64:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise FormatError(
            f"{column} {values[bad[0]]}: expected a number", path=path, line=int(lines[bad[0]]),
            key=column,
        )  # fmt: skip
    return values
