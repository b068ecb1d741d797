"""What a search for spots has found so far, on disk, so that an interrupted one goes on.

A folder of small files, ``000000-000012.npz`` for images 0 to 11 and so on: the spots that ended
there and the pixels of those still open at its end. Each is written whole or not at all, and names
what the search is of: files of another search are removed.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.io.atomic import atomic_path, make_folder
from refimpl.io.frame_source import BROKEN

__all__ = ["SpotJournal"]

_NAME = re.compile(r"(\d{6,})-(\d{6,})\.npz")


class SpotJournal:
    """Parts of a search.

    Parameters
    ----------
    folder
        Where they are kept; made when the first is written.
    key
        Digest of images and settings.
    every_s
        Least time between two parts [s].
    """

    def __init__(self, folder: Path, key: str, every_s: float = 1.0) -> None:
        self.folder, self.key, self.every_s = folder, key, every_s
        self._last = time.monotonic()

    def read(self) -> list[dict[str, NDArray[Any]]]:
        """Parts in their order, from image 0 on without a gap; everything else is removed."""
        found: list[dict[str, NDArray[Any]]] = []
        done = 0
        for path in sorted(self.folder.glob("*")) if self.folder.is_dir() else []:
            part = self._part(path, done)
            if part is None:
                path.unlink(missing_ok=True)
            else:
                found.append(part)
                done += len(part["strong"])
        return found

    def _part(self, path: Path, first: int) -> dict[str, NDArray[Any]] | None:
        """Part of a file, or None if it does not go on from ``first``."""
        name = _NAME.fullmatch(path.name)
        if name is None or int(name[1]) != first:
            return None
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                part = {key: file[key] for key in file.files}
        except BROKEN:
            return None
        if str(part.pop("key", "")) != self.key or len(part["strong"]) != int(name[2]) - first:
            return None
        return part

    def is_due(self) -> bool:
        """Whether it is time for the next part."""
        return time.monotonic() - self._last >= self.every_s

    def write(self, part: Mapping[str, NDArray[Any]] | None) -> None:
        """Write a part; nothing for None and for one without images."""
        self._last = time.monotonic()
        if part is None or not len(part["strong"]):
            return
        first = int(part["first"])
        make_folder(self.folder)
        name = f"{first:06d}-{first + len(part['strong']):06d}.npz"
        with atomic_path(self.folder / name) as new, new.open("wb") as file:
            np.savez(file, allow_pickle=False, key=np.array(self.key), **part)

    def remove(self) -> None:
        """Throw all parts away: the search is done."""
        shutil.rmtree(self.folder, ignore_errors=True)
