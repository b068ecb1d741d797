"""A folder of many files that appears whole or not at all.

:mod:`refimpl.io.atomic` for a folder: it is filled under another name beside the target and then
renamed, so that thousands of files need one rename only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refimpl.errors import ConfigError
from refimpl.io.atomic import remove_torn, temporary_beside, unwritable

__all__ = ["whole_folder"]


@contextmanager
def whole_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a new folder to fill; it becomes ``folder`` when the block succeeds.

    Parameters
    ----------
    folder
        Must not exist, or be empty; its parents are made.

    Yields
    ------
    A folder beside it. On an exception it is removed with all that is in it.

    Raises
    ------
    ConfigError
        The target is a file or not empty, or it cannot be made or written to.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError("expected a folder that is new or empty", path=target)
    remove_torn(target.absolute().parent)
    new = temporary_beside(target.absolute())
    try:
        new.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder: {error.strerror}", path=target) from error
    try:
        yield new
        if target.exists():
            target.rmdir()
        os.replace(new, target)
    except (OSError, RuntimeError) as error:
        reason = unwritable(error, target.absolute().parent)
        if reason is None:
            raise
        raise ConfigError(f"cannot write: {reason}", path=target) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
