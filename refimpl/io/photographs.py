"""Photographs of a camera: JPEG, PNG, TIFF, BMP as arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError

__all__ = ["read_photograph"]


def read_photograph(path: str | Path, data: bytes | None = None) -> NDArray[Any]:
    """(h, w) or (h, w, 3) values of a picture as they are stored; an alpha channel is left out.

    Parameters
    ----------
    path
        File.
    data
        Its bytes where they are at hand (a picture within another file); `path` is for messages.

    Raises
    ------
    FormatError
        Missing, not a picture, cut off, or larger than Pillow takes for honest.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(Path(path) if data is None else io.BytesIO(data)) as picture:
            if picture.mode in ("L", "I", "F", "RGB") or picture.mode.startswith("I;16"):
                return np.asarray(picture)
            return np.asarray(picture.convert("L" if picture.mode in ("1", "LA") else "RGB"))
    except UnidentifiedImageError as error:
        raise FormatError("not a picture (JPEG, PNG, TIFF or BMP)", path=path) from error
    except Image.DecompressionBombError as error:
        raise FormatError(f"picture too large: {error}", path=path) from error
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: Pillow's for a broken PNG
        what = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"cannot read the picture: {what}", path=path) from error
