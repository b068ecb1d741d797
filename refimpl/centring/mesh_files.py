"""Results of rasters from files: tables of points, and counts of a grid scan."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refimpl.centring.mesh import Mesh, grid_mesh
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64
from refimpl.io.log_tables import read_log_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_grid_counts", "read_meshes"]

_RC: Final = ("rc", "count", "counts", "spots", "n_spots", "spot_total", "reflections")
_MESH: Final = {
    "crystal": ("crystal", "crystal_id", "sample"),
    "omega_deg": ("omega_deg", "omega"),
    "s_um": ("s_um", "s", "x_um"),
    "t_um": ("t_um", "t", "y_um"),
    "rc": _RC,
}
_MOST: Final = 10_000_000  # points of a grid: a day of shots at 100 Hz
_COUNTS: Final = {"frame": ("frame", "image_number"), "series": ("series", "scan"), "rc": _RC}


def read_meshes(path: str | Path) -> list[Mesh]:
    """Read a CSV of points; one mesh a sample and rotation, in the order of the file.

    Parameters
    ----------
    path
        Columns ``s_um``, ``t_um``, ``rc``, optional ``crystal``, ``omega_deg``: as ``refimpl
        centring simulate`` writes mesh.csv. Points need not come in order; missing ones are gaps.

    Raises
    ------
    FormatError
        Not such a table; a place is no number, is not on an even grid, or comes twice; a count is
        negative.
    """
    place = Path(path)
    table = read_log_table(place, _MESH, needed=["s_um", "t_um", "rc"], lines=True)
    for column in ("s_um", "t_um", "rc", *({"omega_deg"} & set(table.columns))):
        _check(place, table, column)
    names = table["crystal"] if "crystal" in table.columns else np.full(len(table), "")
    omega = table["omega_deg"] if "omega_deg" in table.columns else np.full(len(table), np.nan)
    keys = list(zip(names, np.asarray(omega, dtype=np.float64).round(6).tolist(), strict=True))
    order: dict[tuple[str, str], list[int]] = {}
    for row, (name, degrees) in enumerate(keys):
        order.setdefault((str(name), str(degrees)), []).append(row)
    return [
        _mesh(place, table.iloc[rows], name, math.radians(float(degrees)))
        for (name, degrees), rows in order.items()
    ]


def _check(path: Path, table: pd.DataFrame, column: str) -> None:
    """Places are finite; counts and rotations may be missing."""
    values = table[column].to_numpy(dtype=np.float64)
    bad = np.isinf(values)
    if column in ("s_um", "t_um"):
        bad = ~np.isfinite(values)
    elif column == "rc":
        bad |= values < 0.0
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise FormatError(
            f"{column} {values[row]:g}: expected a number"
            f"{' of 0 or more' if column == 'rc' else ''}",
            path=path, line=int(table["line"].iloc[row]), key=column,
        )  # fmt: skip


def _mesh(path: Path, rows: pd.DataFrame, name: str, omega_rad: float) -> Mesh:
    columns, axes = [], []
    for column in ("s_um", "t_um"):
        values = rows[column].to_numpy(dtype=np.float64)
        places = _even(values)
        if places is None:
            raise FormatError(
                f"{column} of {name or 'the mesh'}: the points are not on an even grid", path=path,
                line=int(rows["line"].iloc[0]), key=column,
            )  # fmt: skip
        axes.append(places)
        step = places[1] - places[0] if len(places) > 1 else 1.0
        columns.append(np.rint((values - places[0]) / step).astype(int))
    first = int(rows["line"].iloc[0])
    if len(axes[0]) * len(axes[1]) > _MOST:
        raise FormatError(
            f"{len(rows)} points of {name or 'the mesh'} on a grid of {len(axes[1])} x "
            f"{len(axes[0])}: expected {_MOST} places at most", path=path, line=first,
        )  # fmt: skip
    count = np.full((len(axes[1]), len(axes[0])), np.nan)
    taken = np.zeros(count.shape, dtype=bool)
    for j, i, rc, line in zip(*columns, rows["rc"], rows["line"], strict=True):
        if taken[i, j]:
            raise FormatError(f"a point of {name or 'the mesh'} comes twice", path=path, line=line)
        taken[i, j], count[i, j] = True, rc
    try:
        return Mesh(name, omega_rad, axes[0], axes[1], count)
    except ConfigError as error:
        raise FormatError(str(error), path=path, line=first, key="rc") from error


def _even(values: F64) -> F64 | None:
    """Places of an even grid that holds the values, to a fiftieth of its step; None: none does."""
    ordered = np.unique(values)
    gaps = np.diff(ordered)
    if not len(gaps):
        return ordered
    parts = gaps[gaps > 0.02 * gaps.max()]  # less is how a file rounds one place
    step = float(np.median(parts[parts < 1.5 * parts.min()]))
    number = np.rint((values - ordered[0]) / step)
    if number.max() > 10 * len(values):
        return None
    # by all of the points: the step of two neighbours is rounded
    slope, first = np.polyfit(number, values, 1)
    if np.abs(first + slope * number - values).max() > 0.02 * step:
        return None
    return np.asarray(first + slope * np.arange(number.max() + 1))


def read_grid_counts(
    path: str | Path, grid: tuple[int, int], step_um: tuple[float, float], *,
    first: int | None = None, series: str | None = None, **options: Any,
) -> Mesh:  # fmt: skip
    """Read the counts of the frames of a grid scan.

    Parameters
    ----------
    path
        CSV with ``frame`` and ``rc``, optional ``series``; as ``refimpl centring count`` writes.
    grid, step_um
        As :func:`refimpl.centring.mesh.grid_mesh`, and so are the options.
    first
        Frame of the first point; None: the lowest. Frames that are missing are gaps.
    series
        Which series; None: there is one.

    Raises
    ------
    FormatError
        Not such a table; a frame comes twice or is not of the grid; a count is negative; another
        series.
    ConfigError
        As of :func:`refimpl.centring.mesh.grid_mesh`; several series and none named; a series is
        named and the table has none.
    """
    if min(grid) < 1 or grid[0] * grid[1] > _MOST:
        raise ConfigError(
            f"grid of {grid[0]} x {grid[1]}: expected 1 point or more, and {_MOST} at most",
            key="grid", got=grid,
        )  # fmt: skip
    place = Path(path)
    table = read_log_table(place, _COUNTS, needed=["frame", "rc"], lines=True)
    _check(place, table, "rc")
    if series is not None and "series" not in table.columns:
        raise ConfigError(f"no column series: {series!r} cannot be chosen", path=place,
                          key="series")  # fmt: skip
    if "series" in table.columns:
        names = sorted(set(table["series"]))
        if series is None and len(names) > 1:
            raise ConfigError(
                f"{len(names)} series: choose one of {', '.join(names[:8])}", path=place,
                key="series",
            )  # fmt: skip
        if series is not None:
            table = table[table["series"] == series]
            if not len(table):
                raise FormatError(f"no series {series!r} among {', '.join(names[:8])}", path=place)
    frames = [int(frame) for frame in table["frame"]]
    start = min(frames) if first is None else first
    count = np.full(grid[0] * grid[1], np.nan)
    taken: set[int] = set()
    for frame, rc, line in zip(frames, table["rc"], table["line"], strict=True):
        if not 0 <= frame - start < len(count):
            raise FormatError(
                f"frame {frame}: a grid of {grid[0]} x {grid[1]} from frame {start} ends at "
                f"{start + len(count) - 1}", path=place, line=int(line),
            )  # fmt: skip
        if frame in taken:
            raise FormatError(f"frame {frame} comes twice", path=place, line=int(line))
        taken.add(frame)
        count[frame - start] = rc
    if np.isnan(count).all():
        raise FormatError(
            "no frame has a count", path=place, line=int(table["line"].iloc[0]), key="rc"
        )
    return grid_mesh(count, grid, step_um, **options)
