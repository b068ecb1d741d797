"""Which frames a batch works on: files, folders, patterns, and the frames of a stack."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refimpl.errors import ConfigError, FormatError
from refimpl.io import images
from refimpl.io.frame_source import select_frames
from refimpl.io.zarr_images import is_zarr_folder

__all__ = ["BatchFrame", "find_frames"]

_EIGER_DATA = re.compile(r"(.+)_data_\d+(\.h5|\.hdf5)$")


@dataclass(frozen=True)
class BatchFrame:
    """One calibration of a batch.

    Attributes
    ----------
    name
        Of its folder and of its row; no two frames share one.
    path
        Image file.
    index
        Frame of the stack, from 0; None for the file as a whole.
    """

    name: str
    path: Path
    index: int | None = None


def find_frames(
    places: Sequence[str | Path],
    *,
    each: bool = False,
    frames: int | slice | Sequence[int] | None = None,
    dataset: str | None = None,
    leave_out: Iterable[Path] = (),
) -> tuple[BatchFrame, ...]:
    """Frames in files, folders and patterns, files in the order of their names.

    Parameters
    ----------
    places
        Image files; folders, of which the images by name are taken, not those of folders below;
        patterns such as ``run7/*.tif`` (``**`` for folders below).
    each
        Every frame of a stack by itself; else the frames of a file count as one, averaged.
    frames
        Of a stack, with `each`: which.
    dataset
        Inside HDF5 or Zarr.
    leave_out
        Files that are no frames though they lie there: mask and dark.

    Returns
    -------
    Frames named after their files, without suffix where that is enough to tell them apart.

    Raises
    ------
    ConfigError
        A pattern that matches nothing, a folder without an image, a frame that does not exist, or
        two files that no name tells apart.
    FormatError
        A file that does not exist.
    """
    left_out = {path.resolve() for path in leave_out}
    files = [path for place in places for path in _files(str(place), left_out)]
    files = list({path.resolve(): path for path in files}.values())
    if not files:
        raise ConfigError("no image: give files, folders or patterns")
    named = [BatchFrame(name, path) for name, path in zip(_names(files), files, strict=True)]
    if not each:
        return tuple(named)
    return tuple(part for frame in named for part in _parts(frame, frames, dataset))


def _files(place: str, left_out: set[Path]) -> list[Path]:
    """Image files that one argument means."""
    path = Path(place)
    if path.is_dir() and not is_zarr_folder(path):
        found = [p for p in path.iterdir() if _is_image(p) and p.resolve() not in left_out]
        if not found:
            raise ConfigError("no image in this folder", path=place)
        return sorted(found, key=_natural)
    if path.exists():
        return [path]
    if not glob.has_magic(place):
        raise FormatError("no such file", path=place)
    matching = (Path(name) for name in glob.glob(place, recursive=True))
    found = [p for p in matching if _is_frame(p) and p.resolve() not in left_out]
    if not found:
        raise ConfigError("no file matches this pattern", path=place)
    return sorted(found, key=_natural)


def _is_frame(path: Path) -> bool:
    """No folder but Zarr's, and no part of an Eiger series that has its master beside it."""
    part = _EIGER_DATA.match(path.name)
    if part is not None and path.with_name(f"{part[1]}_master{part[2]}").exists():
        return False
    return is_zarr_folder(path) if path.is_dir() else True


def _is_image(path: Path) -> bool:
    return not path.name.startswith(".") and images.has_image_name(path) and _is_frame(path)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Key that sorts 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _names(files: Sequence[Path]) -> list[str]:
    """Shortest of stem, file name, and file name with its folder that no other file has."""
    ways = [
        (Path(p.name.removesuffix(".gz").removesuffix(".bz2")).stem, p.name,
         f"{p.resolve().parent.name}_{p.name}")
        for p in files
    ]  # fmt: skip
    names = [way[0] for way in ways]
    for level in (1, 2):
        often = Counter(names)
        names = [w[level] if often[n] > 1 else n for n, w in zip(names, ways, strict=True)]
    owner: dict[str, Path] = {}
    for name, path in zip(names, files, strict=True):
        if owner.setdefault(name, path) != path:
            raise ConfigError(
                f"its results would lie in the same folder {name!r} as those of {owner[name]}",
                path=path,
            )
    return names


def _parts(
    frame: BatchFrame, frames: int | slice | Sequence[int] | None, dataset: str | None
) -> list[BatchFrame]:
    """Frames of one file; one that cannot be opened stays, to fail by itself and not the batch."""
    try:
        with images.open_source(frame.path, dataset) as source:
            n = source.n_frames
    except FormatError:
        return [frame]
    if n == 1 and frames is None:
        return [frame]
    wide = len(str(n - 1))
    return [
        replace(frame, name=f"{frame.name}_{i:0{wide}d}", index=i)
        for i in select_frames(frames, 0, n, frame.path)
    ]
