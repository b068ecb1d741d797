"""Panels of an image: their pixels, and which of them are valid.

The image is stored whole, (n_slow, n_fast); a panel lies where its ``raw_image_offset`` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import GeometryError

__all__ = ["panel_images", "valid_pixels_of_panels"]


def panel_images(detector: Hierarchy, image: NDArray[Any]) -> list[NDArray[Any]]:
    """Views (n_slow, n_fast) of an image's panels.

    Raises
    ------
    GeometryError
        A panel reaches beyond the image.
    """
    out = []
    for k, module in enumerate(detector.modules):
        (fast0, slow0), (n_fast, n_slow) = module.raw_image_offset, module.size_px
        part = image[slow0 : slow0 + n_slow, fast0 : fast0 + n_fast]
        if part.shape != (n_slow, n_fast):
            raise GeometryError(
                f"panel {k} needs rows {slow0} to {slow0 + n_slow} and columns {fast0} to "
                f"{fast0 + n_fast}: the image has shape {image.shape}"
            )
        out.append(part)
    return out


def valid_pixels_of_panels(detector: Hierarchy, image: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of an image that lie on a panel, within its trusted range and outside its mask.

    Returns
    -------
    (n_slow, n_fast); both ends of a trusted range are valid.

    Raises
    ------
    GeometryError
        A panel reaches beyond the image.
    """
    valid = np.zeros(image.shape, dtype=np.bool_)
    parts = zip(
        detector.modules, panel_images(detector, image), panel_images(detector, valid), strict=True
    )
    for module, counts, good in parts:
        low, high = module.trusted_range
        good[...] = (counts >= low) & (counts <= high)
        for fast0, slow0, fast1, slow1 in module.mask:
            good[slow0:slow1, fast0:fast1] = False
    return valid
