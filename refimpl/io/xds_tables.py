"""Tables of spatial corrections that XDS and DECTRIS use, as CBF images or arrays.

Two layouts. *Geometry tables* (``X-GEO_CORR``, ``Y-GEO_CORR``, the maker's
``x_geo_corr.cbf``): one number a pixel in units of 1/100 pixel. *XDS tables*
(``X-CORRECTIONS.cbf``, ``Y-CORRECTIONS.cbf``): one number for 4 x 4 pixels in units of 1/10 pixel,
which XDS makes of the former and of the parallax. Both are added to the recorded position. Sources:
the manual of GEOCORR (units); iotbx ``xds.correction`` (4 x 4, 1/10). No maker's table is at hand:
what is here is checked on tables of our own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64
from refimpl.io.atomic import check_target, write_npy
from refimpl.io.cbf import read_cbf, write_cbf
from refimpl.io.frame_source import BROKEN, first_line

__all__ = ["FILES", "Layout", "read_corrections", "read_with_layout", "write_corrections"]

Layout = Literal["geometry", "xds"]
FILES: Final[dict[Layout, tuple[str, str]]] = {
    "geometry": ("x_geo_corr.cbf", "y_geo_corr.cbf"),
    "xds": ("X-CORRECTIONS.cbf", "Y-CORRECTIONS.cbf"),
}
_UNITS: Final[dict[Layout, float]] = {"geometry": 100.0, "xds": 10.0}
_BIN: Final[dict[Layout, int]] = {"geometry": 1, "xds": 4}


def _stored_shape(shape: tuple[int, int], layout: Layout) -> tuple[int, int]:
    size = _BIN[layout]
    return -(-shape[0] // size), -(-shape[1] // size)


def read_corrections(
    x_path: str | Path, y_path: str | Path, shape: tuple[int, int]
) -> tuple[F64, F64]:
    """Corrections of every pixel of an image.

    Parameters
    ----------
    x_path, y_path
        Tables along fast and slow: CBF (gzip and bzip2 too), or ``.npy`` in the same units.
    shape
        (n_slow, n_fast) of the image; it tells the two layouts apart.

    Returns
    -------
    x_px, y_px
        (n_slow, n_fast) numbers to add to the recorded position [px].

    Raises
    ------
    FormatError
        Not such a file, or a table of another shape.
    """
    x, y, _ = read_with_layout(x_path, y_path, shape)
    return x, y


def read_with_layout(
    x_path: str | Path, y_path: str | Path, shape: tuple[int, int]
) -> tuple[F64, F64, Layout]:
    """Corrections as of :func:`read_corrections`, and the layout of the two files.

    Raises
    ------
    FormatError
        Not such files, tables of another shape, two of different layouts.
    """
    (x, first), (y, second) = (_read_one(Path(path), shape) for path in (x_path, y_path))
    if first != second:
        raise FormatError(f"a table of layout {second} beside one of {first}", path=y_path)
    return x, y, first


def _read_one(path: Path, shape: tuple[int, int]) -> tuple[F64, Layout]:
    if path.suffix == ".npy":
        try:
            table = np.load(path, allow_pickle=False)
        except BROKEN as error:
            reason = first_line(error)
            raise FormatError(f"not a readable .npy array: {reason}", path=path) from error
    else:
        table, _ = read_cbf(path)
    for layout in FILES:
        if table.shape == _stored_shape(shape, layout):
            size = _BIN[layout]
            wide = np.repeat(np.repeat(table, size, axis=0), size, axis=1)
            cut = wide[: shape[0], : shape[1]].astype(np.float64)
            return cut / _UNITS[layout], layout
    raise FormatError(
        f"a table of shape {table.shape} for an image of {shape}: expected {shape} (units of "
        f"1/100 pixel) or {_stored_shape(shape, 'xds')} (4 x 4 pixels, units of 1/10 pixel)",
        path=path,
    )


def write_corrections(
    folder: str | Path,
    x_px: F64,
    y_px: F64,
    layout: Layout = "geometry",
    *,
    names: tuple[str, str] | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> tuple[Path, Path]:
    """Write corrections; numbers are rounded to the unit of the layout.

    Parameters
    ----------
    folder
        Where the two files go; it must exist.
    x_px, y_px
        (n_slow, n_fast) numbers to add to the recorded position [px].
    layout
        ``geometry`` for every pixel, ``xds`` for the mean of 4 x 4.
    names
        File names; ``.cbf`` or ``.npy``. By default those of :data:`FILES`.
    valid
        (n_slow, n_fast) pixels that count in means, those on panels: a block of 4 x 4 at the edge
        of a panel reaches into the gap. Default: all.

    Raises
    ------
    ConfigError
        Unknown layout, tables that are not finite or of different shapes, no such folder.
    """
    if layout not in FILES:
        raise ConfigError(f"layout {layout!r}: expected one of {', '.join(FILES)}", got=layout)
    if x_px.shape != y_px.shape or x_px.ndim != 2 or not np.isfinite([x_px, y_px]).all():
        raise ConfigError(
            f"corrections of shapes {x_px.shape} and {y_px.shape}: expected two tables of finite "
            "numbers and equal shape"
        )
    first, second = (Path(folder) / name for name in names or FILES[layout])
    check_target(first)
    for path, values in ((first, x_px), (second, y_px)):
        mean = _binned(values, _BIN[layout], valid)
        table = np.rint(mean * _UNITS[layout]).astype(np.int32)
        write_npy(path, table) if path.suffix == ".npy" else write_cbf(path, table)
    return first, second


def _binned(values: F64, size: int, valid: NDArray[np.bool_] | None) -> F64:
    """Mean of the valid pixels in blocks of ``size`` x ``size``, cut at the far edges; else 0."""
    if size == 1:
        return values
    use = np.ones(values.shape) if valid is None else valid.astype(np.float64)
    rows, columns = (np.arange(0, n, size) for n in values.shape)
    total, count = (
        np.add.reduceat(np.add.reduceat(v, rows, axis=0), columns, axis=1)
        for v in (values * use, use)
    )
    return np.asarray(total / np.maximum(count, 1.0))
