"""Geometries for ``refimpl compare``: any format that is converted, and what lies beside."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.testing.judge_pixels import KnownGeometry

__all__ = ["read_geometries"]

_RESULT: Final = "result.json"


def read_geometries(
    paths: Sequence[Path],
    shape: tuple[int, int] | None = None,
    pixel_size_um: tuple[float, float] | None = None,
) -> list[KnownGeometry]:
    """Read geometries of one image; one that does not state its size takes it from the others.

    Parameters
    ----------
    paths
        Formats of ``refimpl convert``. A ``result.json`` stands for the
        ``geometry.json`` beside it.
    shape
        (n_slow, n_fast) of the image, where no file says.
    pixel_size_um
        Along (fast, slow), where no file says.

    Raises
    ------
    ConfigError, FormatError, GeometryError
        A file cannot be read, or none says how large the image is.
    """
    found: dict[int, KnownGeometry] = {}
    # those that may need to be told come last
    told = (".poni", ".imctrl", ".par")
    for k in sorted(range(len(paths)), key=lambda k: paths[k].suffix.lower() in told):
        others = [g.detector for g in found.values()]
        size = shape or (others[0].image_shape if others else None)
        pixel = None if pixel_size_um is None else (pixel_size_um[0] / 1e3, pixel_size_um[1] / 1e3)
        pixel = pixel or (others[0].panels[0].pixel_size_mm if others else None)
        path = paths[k].with_name("geometry.json") if paths[k].name == _RESULT else paths[k]
        try:
            found[k] = _read(path, size, pixel)
        except (ConfigError, FormatError) as error:
            if error.path is not None:
                raise
            raise type(error)(str(error), path=path) from error
        except GeometryError as error:
            raise FormatError(str(error), path=path) from error
    return [found[k] for k in range(len(paths))]


def _read(
    path: Path, shape: tuple[int, int] | None, pixel_mm: tuple[float, float] | None
) -> KnownGeometry:
    from refimpl.cli.convert_files import Options as Reading
    from refimpl.cli.convert_formats import FORMATS, kind_to_read

    try:
        kind = kind_to_read(path)
    except ConfigError:
        kind = FORMATS["midas"]
    if kind.name == "poni":
        from refimpl.interop.pyfai import read_poni

        shape = None if read_poni(path).shape is not None else shape
    if kind.name == "midas":
        from refimpl.interop.midas import stored_shape
        from refimpl.io.midas_params import read_params

        shape = None if stored_shape(read_params(path)) is not None else shape
    setup = kind.read(path, Reading(shape=shape, pixel_size_mm=pixel_mm, lossy=True))
    notes = [f"{path.name}: not compared: {text}" for text in setup.left_out]
    first = setup.experiments[0] if setup.experiments else None
    if first is not None and first.detector and any(m.parallax for m in first.detector.modules):
        notes.append(f"{path.name}: the parallax of the sensor is not in the places of pixels")
    if setup.tables is not None:
        notes.append(f"{path.name}: its tables of corrections are not in the places of pixels")
    if len(setup.experiments) > 1:
        notes.append(f"{path.name}: the first of {len(setup.experiments)} experiments is compared")
    return KnownGeometry(setup.detector, setup.wavelength_angstrom, _beside(path), tuple(notes))


def _beside(path: Path) -> dict[str, tuple[float, float]]:
    """Refined parameters of the ``result.json`` of the run of ours that wrote a geometry."""
    if path.name not in ("geometry.json", "refined.expt"):
        return {}
    try:
        content = json.loads(path.with_name(_RESULT).read_text(encoding="utf-8"))
        rows = content["parameters"]
        values = {str(r["name"]): (float(r["value"]), float(r["sigma"])) for r in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {k: (v, s) for k, (v, s) in values.items() if math.isfinite(s) and s > 0.0}
