"""Text of the spots of seeds, as the older published programs wrote it beside the binary files.

The manual's output map names ``Key.txt``, ``OrientMat.txt`` and ``DiffractionSpots.txt``, which the
current programs no longer write (near-field specification 1.7 and 6.1). ``Key.txt``: the number of
orientations on the first line, then ``count offset`` a line; ``OrientMat.txt``: nine numbers a
line, row by row; ``DiffractionSpots.txt``: ``yl zl omega`` a line, in um and degrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.io.atomic import atomic_path
from refimpl.io.nearfield_files import SeedSpots
from refimpl.units import DEG, UM

__all__ = ["write_seed_spots_text"]

_ROWS = 65536  # of a part that is text at a time


def write_seed_spots_text(folder: str | Path, spots: SeedSpots) -> list[Path]:
    """Write the three files of the module's first lines; each is atomic."""
    base = Path(folder)
    table = np.stack([spots.yl_mm / UM, spots.zl_mm / UM, spots.omega_rad / DEG], axis=1)
    files = {
        "DiffractionSpots.txt": ([], _rows(table, "%f %f %f")),
        "Key.txt": ([str(len(spots.key))], _rows(spots.key, "%d %d")),
        "OrientMat.txt": (
            [], _rows(spots.orientations.reshape(-1, 9), " ".join(["%.9f"] * 9)),
        ),
    }  # fmt: skip
    for name, (head, rows) in files.items():
        with atomic_path(base / name) as temporary, open(temporary, "w", newline="\n") as file:
            file.writelines(f"{line}\n" for line in head)
            file.writelines(rows)
    return [base / name for name in files]


def _rows(table: Any, form: str) -> Iterator[str]:
    """Lines of a table, many at a time."""
    for start in range(0, len(table), _ROWS):
        rows = table[start : start + _ROWS].tolist()
        yield "".join(f"{form % tuple(row)}\n" for row in rows)
