"""Spots that were picked for the calibration of an instrument with HEXRD, and its grains.

``NAME_picks.npz`` has for each panel (m, 3) x, y [mm] from the panel's centre and omega [rad],
``NAME_pick_hkls.npz`` under the same keys (m, 3) Miller indices; a row with NaN was not found.
``grain_params.npy`` (g, 12) and ``grains.out`` hold grains: exponential map of the orientation
[rad], position in the sample [mm], and the six numbers of the inverse left stretch V^-1 (11, 22,
33, 23, 13, 12; those off the diagonal times sqrt 2). Vectors are in HEXRD's sample frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.frames import F64, I64
from refimpl.io.frame_source import BROKEN, first_line
from refimpl.reading import read_text

__all__ = ["Picks", "read_grain_table", "read_picks", "stretch_of_mandel"]


@dataclass(frozen=True, eq=False)
class Picks:
    """Picked spots of several grains, all rows finite.

    Attributes
    ----------
    grain, panel
        (n,) numbers, in the order of the files and of the panel names.
    hkl
        (n, 3).
    xyo
        (n, 3) x, y from the panel's centre [mm] (y is against the rows) and omega [rad].
    missing
        Rows that were not found.
    """

    grain: I64
    panel: NDArray[np.int32]
    hkl: F64
    xyo: F64
    missing: int

    def __len__(self) -> int:
        return len(self.grain)


def _arrays(path: Path, what: str) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            out = {key: np.asarray(file[key], dtype=np.float64) for key in file.files}
    except BROKEN as exc:
        raise FormatError(f"cannot be read as {what}: {first_line(exc)}", path=path) from exc
    for key, array in out.items():
        if array.ndim != 2 or array.shape[1] != 3:
            raise FormatError(
                f"panel {key!r} has an array of shape {array.shape}: expected (m, 3)", path=path
            )
    return out


def read_picks(folder: str | Path, grains: Sequence[str], panels: Sequence[str]) -> Picks:
    """Picked spots of some grains.

    Parameters
    ----------
    folder, grains
        ``GRAIN_picks.npz`` and ``GRAIN_pick_hkls.npz`` are read for each.
    panels
        Names of the instrument's panels; their order numbers them.

    Raises
    ------
    FormatError
        A file cannot be read, holds a panel that the instrument has not, or its two files do not
        go together.
    """
    parts: list[tuple[int, int, F64, F64]] = []
    for g, name in enumerate(grains):
        path = Path(folder) / f"{name}_picks.npz"
        xyo = _arrays(path, "picked spots")
        hkl = _arrays(Path(folder) / f"{name}_pick_hkls.npz", "Miller indices")
        for key, rows in xyo.items():
            if key not in panels:
                raise FormatError(
                    f"panel {key!r} is not one of the instrument's: {', '.join(panels)}", path=path
                )
            if key not in hkl or len(hkl[key]) != len(rows):
                raise FormatError(
                    f"panel {key!r} has {len(rows)} spots and {len(hkl.get(key, ()))} indices",
                    path=path,
                )
            parts.append((g, list(panels).index(key), rows, hkl[key]))
    if not parts:
        raise FormatError("no picked spots", path=folder)
    xyo_all = np.concatenate([p[2] for p in parts])
    found = np.isfinite(xyo_all).all(axis=1)
    counts = [len(p[2]) for p in parts]
    return Picks(
        np.repeat([p[0] for p in parts], counts)[found].astype(np.int64),
        np.repeat([p[1] for p in parts], counts)[found].astype(np.int32),
        np.concatenate([p[3] for p in parts])[found],
        xyo_all[found],
        int(np.count_nonzero(~found)),
    )


def read_grain_table(path: str | Path) -> F64:
    """(g, 12) grains of ``grain_params.npy`` or of ``grains.out``.

    Raises
    ------
    FormatError
        It is neither.
    """
    file = Path(path)
    try:
        if file.suffix == ".npy":
            table = np.load(file, allow_pickle=False)
            first = 0
        else:
            lines = read_text(file).splitlines()
            rows = [re.split(r"\s+", line.strip()) for line in lines if line.strip()[:1] != "#"]
            table = np.array([[float(v) for v in row] for row in rows if row != [""]])
            first = 3  # after grain ID, completeness, chi^2
        table = np.atleast_2d(np.asarray(table, dtype=np.float64))[:, first : first + 12]
    except BROKEN as exc:
        raise FormatError(
            f"cannot be read as a table of grains: {first_line(exc)}", path=path
        ) from exc
    if table.shape[1] != 12 or not np.isfinite(table).all():
        raise FormatError(
            f"not a table of grains: {table.shape[1]} columns of 12 finite numbers", path=path
        )
    return table


def stretch_of_mandel(six: F64) -> F64:
    """(3, 3) symmetric matrix of 11, 22, 33, sqrt(2) times 23, 13, 12."""
    a, b, c, yz, xz, xy = (float(v) for v in six)
    k = np.sqrt(0.5)
    return np.array([[a, k * xy, k * xz], [k * xy, b, k * yz], [k * xz, k * yz, c]])
