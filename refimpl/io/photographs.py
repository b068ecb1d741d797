"""Photographs of the sample, as cameras write them: PNG, JPEG, TIFF or BMP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError

__all__ = ["SUFFIXES", "read_photograph"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""What names of photographs end with."""

_MOST_PX = 200_000_000


def read_photograph(path: str | Path) -> NDArray[np.uint8]:
    """Read a photograph.

    Parameters
    ----------
    path
        File of any kind that Pillow reads; colours of a palette are looked up, transparency is
        left out, and 16 bits become 8 by the highest value of the picture.

    Returns
    -------
    (h, w) grey or (h, w, 3) RGB.

    Raises
    ------
    FormatError
        The file is missing, no picture, cut off, or larger than 200 million pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            if file.width * file.height > _MOST_PX:
                raise FormatError(
                    f"a picture of {file.width} x {file.height} px: expected up to "
                    f"{_MOST_PX // 1_000_000} million pixels", path=path,
                )  # fmt: skip
            if file.mode in ("I", "F") or file.mode.startswith("I;16"):
                return _scaled(np.asarray(file, dtype=np.float64), path)
            grey = file.mode in ("1", "L", "LA")
            return np.array(file.convert("L" if grey else "RGB"), dtype=np.uint8)
    except FormatError:
        raise
    except UnidentifiedImageError as error:
        raise FormatError("not a picture: expected PNG, JPEG, TIFF or BMP", path=path) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"cannot read the picture: {reason}", path=path) from error


def _scaled(values: NDArray[np.float64], path: str | Path) -> NDArray[np.uint8]:
    if not np.isfinite(values).all() or values.min(initial=0.0) < 0.0:
        raise FormatError("cannot read the picture: it has negative or infinite values", path=path)
    top = float(values.max(initial=0.0))
    return np.rint(values * (255.0 / top if top > 255.0 else 1.0)).astype(np.uint8)
