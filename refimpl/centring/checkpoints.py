"""Why a file is no checkpoint, in one line; what torch says of it names its own switches."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

from refimpl.errors import FormatError

__all__ = ["check_archive", "reason"]


def check_archive(path: str | Path, what: str) -> None:
    """Refuse what cannot be a checkpoint by its outside: torch writes zip archives.

    Parameters
    ----------
    path
        The file.
    what
        Ends the sentence "no checkpoint ...".

    Raises
    ------
    FormatError
        The file is missing or a folder, is empty, or is no whole archive.
    """
    try:
        with Path(path).open("rb") as file:
            if not file.read(1):
                raise FormatError(f"no checkpoint {what}: an empty file", path=path)
            whole = zipfile.is_zipfile(file)
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=path) from error
    if not whole:
        raise FormatError(
            f"no checkpoint {what}: another kind of file, or cut short (a checkpoint is a zip "
            "archive)", path=path,
        )  # fmt: skip


def reason(error: Exception) -> str:
    """One sentence on what went wrong as an archive was loaded."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds more than tensors and plain values, and is not loaded"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
