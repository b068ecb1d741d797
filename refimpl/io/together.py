"""Several files that belong together appear all at once, or none of them changes.

:mod:`refimpl.io.atomic` for a set: everything is written beside its target first, and renamed when
all of it is whole. If a rename fails, those before it are taken back. What remains is a kill
between two renames, microseconds apart, after which each file is whole but some are of the run
before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from refimpl.errors import ConfigError
from refimpl.io.atomic import check_target, temporary_beside, unwritable

__all__ = ["together"]


@contextmanager
def together(paths: Sequence[Path], *, optional: Collection[Path] = ()) -> Iterator[list[Path]]:
    """Give temporary paths to write to; they become the targets when the block succeeds.

    Parameters
    ----------
    paths
        Targets, each once. Their folders must exist; files of these names are replaced.
    optional
        Those of them that need not be written: where nothing was, an old file of that name goes.

    Yields
    ------
    A path for each target, in the same folder with the same suffix. On an exception all are
    removed and every target is left as it was.

    Raises
    ------
    ConfigError
        A folder is missing or cannot be written to, a target is a folder or named twice, or a
        target that is not optional was not written.
    """
    if len(set(paths)) != len(paths):
        twice = next(p for k, p in enumerate(paths) if p in paths[:k])
        raise ConfigError("named twice as a file to be written", path=twice)
    for path in paths:
        check_target(path)
    new = [temporary_beside(p) for p in paths]
    old = [temporary_beside(p, "old") for p in paths]
    try:
        yield new
        for path, temporary in zip(paths, new, strict=True):
            if path not in optional and not temporary.exists():
                raise ConfigError("nothing was written to the temporary file", path=path)
        _swap(paths, new, old)
    except (OSError, RuntimeError) as error:
        reason = unwritable(error, paths[0].parent)
        if reason is None:
            raise
        name = str(getattr(error, "filename", None))
        where = dict(zip(map(str, new), paths, strict=True)).get(name)
        raise ConfigError(f"cannot write: {reason}", path=where or paths[0].parent) from error
    finally:
        for temporary in (*new, *old):
            temporary.unlink(missing_ok=True)


def _swap(targets: Sequence[Path], new: Sequence[Path], old: Sequence[Path]) -> None:
    """Put the new files in place, or none of them."""
    done = 0
    try:
        for target, kept in zip(targets, old, strict=True):
            if target.exists():
                _second_name(target, kept)
        for target, temporary in zip(targets, new, strict=True):
            done += 1
            if temporary.exists():
                os.replace(temporary, target)
            else:
                target.unlink(missing_ok=True)
    except BaseException:  # an interruption, too, must not leave half of them
        for target, kept in zip(targets[:done], old, strict=False):
            with suppress(OSError):
                if kept.exists():
                    os.replace(kept, target)
                else:
                    target.unlink(missing_ok=True)
        raise


def _second_name(path: Path, name: Path) -> None:
    """Keep what a file holds under another name, too."""
    try:
        os.link(path, name)
    except OSError:  # a file system without links
        shutil.copy2(path, name)
