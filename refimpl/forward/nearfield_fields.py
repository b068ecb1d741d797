"""Checks of the fields that :mod:`refimpl.forward.nearfield_setup` and its voxels are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import GeometryError

__all__ = ["field_array", "refusal"]


def field_array(
    owner: Any, name: str, shape: tuple[int | None, ...], dtype: type = np.float64
) -> Any:
    """Make a field a read-only contiguous array; None in `shape` stands for any length."""
    got = getattr(owner, name)
    array: NDArray[Any] = np.array(got, dtype=dtype, order="C")
    if array.size == 0 and array.ndim < len(shape) and (None in shape or 0 in shape):
        array = array.reshape(tuple(0 if n is None else n for n in shape))
    fits = array.ndim == len(shape) and all(
        n is None or n == m for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        wanted = ", ".join("n" if n is None else str(n) for n in shape)
        what = "" if fits else f" of shape {array.shape}"
        raise GeometryError(
            f"{type(owner).__name__}: {name}{what}: expected finite numbers of shape ({wanted})"
        )
    array.flags.writeable = False
    object.__setattr__(owner, name, array)
    return array


def refusal(owner: Any, name: str, got: object, accepted: str) -> GeometryError:
    """Error that says which field has what, and what it may have."""
    return GeometryError(f"{type(owner).__name__}: {name} {got}: {accepted}")
