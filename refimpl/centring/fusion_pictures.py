"""Points for the fusion, found by a net in the pictures of a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from refimpl.centring.camera import Camera
from refimpl.centring.fusion_files import Points
from refimpl.errors import ConfigError, FormatError
from refimpl.io.log_tables import read_log_table
from refimpl.io.photographs import read_photograph

__all__ = ["points_of_pictures"]

_NAMES: Final = {
    "image": ("image", "file", "filename", "picture", "path", "name"),
    "crystal": ("crystal", "crystal_id", "sample"),
    "series": ("series", "scan"),
    "omega_deg": ("omega_deg", "omega"),
    "zoom": ("zoom",),
}


def points_of_pictures(
    checkpoint: str | Path, table: str | Path, *, scale: tuple[float, float] | None,
    middle_px: tuple[float, float] | None = None, side: str = "left", by: str = "crystal",
    least: float = 100.0, step_px: float = 10.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Points]:  # fmt: skip
    """Find the best point of each picture that has one, sample by sample.

    Parameters
    ----------
    checkpoint
        Of a net that knows how pictures are cropped.
    table
        CSV with ``image`` (relative to it), ``omega_deg``, ``zoom`` and where there are any
        ``crystal``, ``series``.
    scale
        Of the pictures (:func:`refimpl.centring.fusion_files.scale_of`).
    middle_px
        The beam in the pictures; None: their middle.
    least
        Reflections below which there is no crystal.
    progress
        Called with pictures done, and how many there are.

    Raises
    ------
    ConfigError
        No scale; the net does not know how pictures are cropped.
    FormatError
        A file that cannot be read; a rotation or a zoom is missing.
    """
    from refimpl.centring.heatmap import heat_map
    from refimpl.centring.modules import load_regressor

    if scale is None:
        raise ConfigError("points of pictures: a scale (um/px) is needed", key="um_per_px")
    if by not in ("crystal", "series"):
        raise ConfigError(f"by {by!r}: expected crystal or series", key="by", got=by)
    net, place = load_regressor(checkpoint), Path(table)
    rule = net.crop
    if rule is None:
        raise ConfigError("the net does not know how pictures are cropped: train it with a crop")
    rows = read_log_table(place, _NAMES, needed=["image", "omega_deg", "zoom"], lines=True)
    found: dict[str, list[tuple[float, float, float, int]]] = {}
    for number, row in enumerate(rows.to_dict("records")):
        line, omega, zoom = int(row["line"]), float(row["omega_deg"]), float(row["zoom"])
        if not np.isfinite([omega, zoom]).all():
            raise FormatError(
                f"rotation {omega:g}, zoom {zoom:g}: expected numbers", path=place, line=line
            )
        of_sample = found.setdefault(str(row.get(by, "")), [])
        picture = read_photograph(place.parent / str(row["image"]))
        size = int(net.hparams["size"])
        heat = heat_map(net, picture, rule, zoom, net.target, step_px=step_px, size=size)
        best = heat.best(1, least=least)
        if best:
            px_per_um = scale[0] + scale[1] * zoom
            if not (np.isfinite(px_per_um) and px_per_um > 0.0):
                raise ConfigError(f"a scale of {px_per_um:g} px/um at zoom {zoom:g}: expected > 0")
            middle = middle_px or (picture.shape[1] / 2.0, picture.shape[0] / 2.0)
            camera = Camera(1.0 / px_per_um, middle, side)
            s, t = camera.to_um((best[0].x_px, best[0].y_px))
            of_sample.append((float(s), float(t), float(np.radians(omega)), line))
        if progress is not None:
            progress(number + 1, len(rows))
    made = []
    for name, points in found.items():
        values = np.array(points, dtype=np.float64).reshape(-1, 4)
        made.append(Points(name, values[:, :2], values[:, 2], values[:, 3].astype(np.int64)))
    return made
