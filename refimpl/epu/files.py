"""Files of a session folder, sorted by what their names say they are. No file is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from refimpl.errors import ConfigError
from refimpl.io.epu_names import (
    ExposureName,
    FoilHoleName,
    exposure_name,
    foil_hole_name,
    square_of,
)

__all__ = ["ExposureFile", "Files", "FoilImage", "find_files", "layout_depth"]

_PICTURES = {".jpg", ".jpeg", ".png"}
_INNER = re.compile(r"images-disc[0-9]*|gridsquare_[0-9]+|data|foilholes", re.IGNORECASE)


class ExposureFile(NamedTuple):
    """XML that is called like an exposure."""

    path: str
    stem: str
    square: int
    name: ExposureName


class FoilImage(NamedTuple):
    """Picture of a foil hole."""

    path: str
    square: int
    name: FoilHoleName


@dataclass
class Files:
    """What a folder holds, each list sorted by path.

    Attributes
    ----------
    exposures, foil_images
        By their names, wherever they lie.
    squares, sessions
        Paths of ``GridSquare_*.dm`` and ``EpuSession.dm``.
    unread
        (path, reason) of folders that cannot be listed.
    """

    exposures: list[ExposureFile] = field(default_factory=list)
    foil_images: list[FoilImage] = field(default_factory=list)
    squares: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)


def find_files(folder: str | os.PathLike[str]) -> Files:
    """Find the files of a session below a folder; links to folders are followed once.

    EPU keeps its plan (``EpuSession.dm``, ``Metadata``) beside ``Images-Disc1``: where the folder
    given is such an inner one and holds no plan, that of the session around it is taken.

    Raises
    ------
    ConfigError
        There is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        kind = "is a file, a folder is needed" if root.exists() else "does not exist"
        raise ConfigError(f"the session folder {kind}", path=root)
    found = Files()
    for place, names in _folders(str(folder), found):
        square = square_of(os.path.abspath(place))
        for name in names:
            _sort(found, place, name, square)
    if not found.squares and not found.sessions:
        _plan_around(found, root)
    return found


def layout_depth(path: str) -> int:
    """Number of folders right above a file that are called as EPU calls them.

    ``Images-Disc1/GridSquare_5324661/Data`` makes 3; a copy of the square elsewhere 2 or less.
    """
    folders = Path(path).parts[-2::-1]
    return next((i for i, name in enumerate(folders) if not _INNER.fullmatch(name)), len(folders))


def _folders(root: str, found: Files) -> Iterator[tuple[str, list[str]]]:
    """Every folder with the names of its files, in the order of their paths."""
    waiting, seen = [root], set()
    while waiting:
        place = waiting.pop()
        try:
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                inside = sorted((entry.name, _is_folder(entry)) for entry in entries)
        except OSError as error:
            found.unread.append((place, f"cannot be listed: {error.strerror}"))
            continue
        waiting += [os.path.join(place, name) for name, is_folder in inside[::-1] if is_folder]
        yield place, [name for name, is_folder in inside if not is_folder]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _sort(found: Files, place: str, name: str, square: int) -> None:
    stem, suffix = os.path.splitext(name)
    suffix = suffix.lower()
    if suffix == ".xml":
        exposure = exposure_name(stem)
        if exposure is not None:
            path = os.path.join(place, name)
            found.exposures.append(ExposureFile(path, stem, square, exposure))
    elif suffix in _PICTURES:
        foil_hole = foil_hole_name(stem)
        if foil_hole is not None:
            found.foil_images.append(FoilImage(os.path.join(place, name), square, foil_hole))
    elif suffix == ".dm":
        _sort_plan(found, os.path.join(place, name))


def _sort_plan(found: Files, path: str) -> None:
    name = os.path.basename(path)
    if name.lower() == "epusession.dm":
        found.sessions.append(path)
    elif name.lower().startswith("gridsquare_") and square_of(name) >= 0:
        found.squares.append(path)


def _plan_around(found: Files, root: Path) -> None:
    inner = Path(os.path.abspath(root))
    if _INNER.fullmatch(inner.name) is None:
        return
    while _INNER.fullmatch(inner.name):
        inner = inner.parent
    for place in (inner, inner / "Metadata"):
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue
        for name in names:
            if name.lower().endswith(".dm"):
                _sort_plan(found, str(place / name))
