"""How an image as stored is laid onto the detector: the published ImTransOpt codes as maps.

Codes, applied in order: 0 none, 1 flip left-right, 2 flip up-down, 3 transpose. They take the
image in the file to the *model frame*, where fast grows to the right and slow grows upwards, both
seen along the beam. Source: MIDAS, ImTransOpt. Unlike the published code this acts on the image
itself, not on a square frame padded at one side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["DIHEDRAL", "model_from_file", "transformed_shape"]

DIHEDRAL: tuple[tuple[int, ...], ...] = (
    (), (1,), (2,), (1, 2), (3,), (3, 1), (3, 2), (3, 1, 2),
)  # fmt: skip
"""The eight ways to lay a picture onto a plane, as shortest lists of codes."""


def model_from_file(codes: Sequence[int], shape: tuple[int, int]) -> tuple[F64, F64]:
    """Affine map of pixel coordinates from the file to the model frame.

    Parameters
    ----------
    codes
        ImTransOpt codes in order.
    shape
        (n_slow, n_fast) of the image in the file.

    Returns
    -------
    matrix, offset
        (2, 2) and (2,): ``model = matrix @ file + offset`` for (fast, slow) in px.

    Raises
    ------
    ConfigError
        A code is not 0, 1, 2 or 3.
    """
    matrix, offset = np.eye(2), np.zeros(2)
    n_slow, n_fast = shape
    for code in codes:
        if code not in (0, 1, 2, 3):
            raise ConfigError(
                f"image transform {code!r}: expected 0 (none), 1 (flip left-right), "
                "2 (flip up-down) or 3 (transpose)",
                key="ImTransOpt",
                got=code,
            )
        if code in (1, 2):
            axis, size = (0, n_fast) if code == 1 else (1, n_slow)
            matrix[axis] = -matrix[axis]
            offset[axis] = size - offset[axis]
        elif code == 3:
            matrix, offset = matrix[::-1].copy(), offset[::-1].copy()
            n_slow, n_fast = n_fast, n_slow
    return matrix, offset


def transformed_shape(codes: Sequence[int], shape: tuple[int, int]) -> tuple[int, int]:
    """(n_slow, n_fast) after the codes."""
    return shape if sum(code == 3 for code in codes) % 2 == 0 else (shape[1], shape[0])
