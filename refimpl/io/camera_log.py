"""Time-stamped pictures of a beam-view camera: a table of them, or a folder of stamped names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from refimpl.errors import FormatError
from refimpl.io.log_tables import read_log_table
from refimpl.io.time_stamps import stamp_in

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PICTURES", "read_camera_log"]

PICTURES: Final = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
"""Suffixes of pictures in a folder."""

_NAMES: Final = {
    "image": ("image", "file", "filename", "picture", "path", "name"),
    "time_s": ("time_s", "time", "timestamp", "time_stamp", "epoch"),
    "crystal": ("crystal", "crystal_id", "sample"),
    "zoom": ("zoom",),
    "omega_deg": ("omega_deg", "omega"),
    "series": ("series", "scan"),
}


def read_camera_log(path: str | Path) -> pd.DataFrame:
    """Pictures in the order of their times.

    Parameters
    ----------
    path
        CSV table with a header: ``image`` and ``time_s`` (seconds since 1970, or ISO 8601), and
        where there are any ``crystal``, ``zoom``, ``omega_deg``, ``series``; others are kept.
        Or a folder: each picture whose name has a time in it, as
        ``loop_20181214_170321_123.jpg``.

    Returns
    -------
    Columns ``image``, ``time_s`` [s, by the camera's clock] and those that were there.

    Raises
    ------
    FormatError
        Not such a file or folder; a time is missing or none; a picture comes twice.
    """
    import pandas as pd

    place = Path(path)
    if place.is_dir():
        found = [
            (name.relative_to(place).as_posix(), stamp_in(name.stem))
            for name in sorted(place.rglob("*"))
            if name.suffix.lower() in PICTURES
        ]
        stamped = [pair for pair in found if pair[1] is not None]
        if not stamped:
            raise FormatError(
                f"none of {len(found)} pictures has a time in its name, "
                "as loop_20181214_170321_123.jpg",
                path=place,
            )
        table = pd.DataFrame(stamped, columns=["image", "time_s"])
        table.attrs["n_skipped"] = len(found) - len(stamped)
    else:
        table = read_log_table(place, _NAMES, needed=("image", "time_s"))
    twice = table["image"].duplicated()
    if twice.any():
        raise FormatError(f"picture {table['image'][twice].iloc[0]} comes twice", path=place)
    return table.sort_values(["time_s", "image"], kind="stable", ignore_index=True)
