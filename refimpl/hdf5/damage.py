"""What h5py raises on a damaged file, or on a field that is not of the kind looked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refimpl.errors import FormatError, RefimplError

__all__ = ["whole_hdf5"]

_BROKEN = (
    OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
    MemoryError,
)  # fmt: skip


@contextmanager
def whole_hdf5(path: str | Path) -> Iterator[None]:
    """Turn the errors of reading an open file into a :class:`FormatError`; ours pass.

    Raises
    ------
    FormatError
        The file is damaged, or a field is not of the kind that it should be.
    """
    try:
        yield
    except RefimplError:
        raise
    except _BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(
            f"damaged HDF5, or a field is not what it should be: {reason}", path=path
        ) from error
