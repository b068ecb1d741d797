"""Read a geometry in any format that :mod:`refimpl.interop` knows."""

from __future__ import annotations

from pathlib import Path

from refimpl.detector.model import TiltedFlat
from refimpl.errors import FormatError
from refimpl.interop.gsas import read_imctrl, tilted_flat_from_imctrl
from refimpl.interop.hexrd import tilted_flat_from_hexrd
from refimpl.interop.hexrd_file import read_hexrd
from refimpl.interop.midas import tilted_flat_from_midas
from refimpl.interop.poni_file import read_poni
from refimpl.interop.pyfai import tilted_flat_from_poni
from refimpl.io.geometry_json import read_geometry
from refimpl.io.midas_params import read_params

__all__ = ["read_known_geometry"]


def read_known_geometry(
    path: str | Path, shape: tuple[int, int], pixel_size_mm: tuple[float, float]
) -> TiltedFlat:
    """Geometry from geometry.json, .poni, HEXRD (.yml, .hexrd, .json), .imctrl or MIDAS keys.

    Parameters
    ----------
    path
        The format follows from the name; other names are read as MIDAS parameters.
    shape
        (n_slow, n_fast) of the image, for formats that do not state it.
    pixel_size_mm
        Along (fast, slow), for .imctrl, which does not state it.

    Raises
    ------
    FormatError
        The file cannot be read as what its name says, or states no single flat detector.
    """
    kind = Path(path).suffix.lower()
    if kind == ".poni":
        return tilted_flat_from_poni(read_poni(path), shape)
    if kind == ".imctrl":
        return tilted_flat_from_imctrl(read_imctrl(path), shape, pixel_size_mm)
    if kind in (".yml", ".yaml", ".hexrd"):
        return tilted_flat_from_hexrd(read_hexrd(path))
    if kind == ".json":
        try:
            model = read_geometry(path).model
        except FormatError as exc:
            if "not a geometry" not in str(exc):
                raise
            return tilted_flat_from_hexrd(read_hexrd(path))
        if model is None:
            raise FormatError("the geometry holds no tilted flat model", path=path)
        return model
    return tilted_flat_from_midas(read_params(path))
