"""The published image transforms: how a file's pixels are turned into the model's frame.

The codes are MIDAS's ``ImTransOpt``: 0 none, 1 flip left-right, 2 flip up-down, 3 transpose,
applied in order. They act on the image's own rows and columns. MIDAS pads a non-square image to
a square first, which moves the padding when the short axis is flipped; that is not repeated here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError

__all__ = ["apply_transforms", "checked_codes", "transformed_shape", "undo_transforms"]


def checked_codes(codes: Sequence[int]) -> tuple[int, ...]:
    """Return the codes as a tuple of ints.

    Raises
    ------
    ConfigError
        A code is not 0, 1, 2 or 3.
    """
    for code in codes:
        if code not in (0, 1, 2, 3):
            raise ConfigError(
                f"image transform {code!r} is unknown; "
                "0 none, 1 flip left-right, 2 flip up-down, 3 transpose",
                key="ImTransOpt",
                got=code,
            )
    return tuple(int(code) for code in codes)


def apply_transforms(array: NDArray[Any], codes: Sequence[int]) -> NDArray[Any]:
    """Apply the transforms to the last two axes (slow, fast), in order.

    Parameters
    ----------
    array
        (..., n_slow, n_fast), any type.
    codes
        ``ImTransOpt`` codes.

    Returns
    -------
    A C-contiguous array; ``array`` itself where nothing changes.
    """
    turned = array
    for code in checked_codes(codes):
        turned = _TURN[code](turned)
    return np.ascontiguousarray(turned)


def undo_transforms(array: NDArray[Any], codes: Sequence[int]) -> NDArray[Any]:
    """Inverse of :func:`apply_transforms`: each code is its own inverse, so the order reverses."""
    return apply_transforms(array, tuple(reversed(checked_codes(codes))))


def transformed_shape(shape: tuple[int, int], codes: Sequence[int]) -> tuple[int, int]:
    """Shape (n_slow, n_fast) after the transforms."""
    n_transposed = sum(code == 3 for code in checked_codes(codes))
    return (shape[1], shape[0]) if n_transposed % 2 else shape


_TURN = {
    0: lambda a: a,
    1: lambda a: a[..., :, ::-1],
    2: lambda a: a[..., ::-1, :],
    3: lambda a: np.swapaxes(a, -1, -2),
}
