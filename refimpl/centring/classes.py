"""Labelled pictures for the classifier: simulated windows, or folders ``crystal`` and ``empty``.

They are kept as :class:`~refimpl.centring.samples.Samples` whose count is the label: 0 crystal,
1 empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from refimpl.centring.class_scores import CLASSES
from refimpl.centring.crops import crop, grey, standardised
from refimpl.centring.samples import Samples
from refimpl.centring.simulate_windows import Windows, windows
from refimpl.errors import ConfigError, FormatError

__all__ = ["check_classes", "of_windows", "open_classes"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_SIMULATED = re.compile(r"simulated:(\d+)(?:x(\d+)x(\d+))?")


def open_classes(
    source: str | Path, *, size: int = 128, seed: int = 0, empty: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> Samples:  # fmt: skip
    """Open labelled pictures.

    Parameters
    ----------
    source
        ``simulated:N`` or ``simulated:NxVIEWSxCROPS``: windows of N simulated loops; or a folder
        with the folders ``crystal`` and ``empty``. There a picture's loop, which is never split,
        is the folder that it is in, or else its name up to the last number:
        ``empty/loop7/12.png`` and ``empty/loop7_12.png`` are of ``empty/loop7``.
    size
        Edge of the pictures [px]; those of files are cut to their middle square.
    seed
        Of the simulated ones.
    empty
        Part of the simulated loops that are empty.
    progress
        Called with the files read and all of them.

    Raises
    ------
    ConfigError
        A class without pictures, or a source that cannot be.
    FormatError
        No such folder, or a file that is no picture.
    """
    found = _SIMULATED.fullmatch(str(source))
    if found is not None:
        views, crops = int(found[2] or 2), int(found[3] or 6)
        made = of_windows(windows(int(found[1]), views, crops, size, seed, empty=empty), f"{seed}-")
        check_classes(made, str(source))
        return made
    if str(source).startswith("simulated:"):
        raise ConfigError(f"source {source}: expected simulated:N or simulated:NxVIEWSxCROPS")
    return _of_folder(Path(source), size, progress)


def of_windows(made: Windows, name: str = "") -> Samples:
    """Labelled samples of simulated windows; loops are named by what is given and their number."""
    return Samples.of(made.image, made.label, [f"{name}{k}" for k in made.crystal])


def check_classes(samples: Samples, where: str) -> None:
    """Refuse samples that lack a class.

    Raises
    ------
    ConfigError
        A label that is neither 0 nor 1, or a class without a picture.
    """
    if not np.isin(samples.count, (0.0, 1.0)).all():
        raise ConfigError(f"{where}: expected labels 0 (crystal) and 1 (empty)", key="label")
    for label, name in enumerate(CLASSES):
        if not (samples.count == label).any():
            raise ConfigError(f"{where}: the class {name!r} has no pictures", key=name)


def _of_folder(folder: Path, size: int, progress: Callable[[int, int], None] | None) -> Samples:
    from refimpl.io.photographs import read_photograph

    if not folder.is_dir():
        raise FormatError("no such folder", path=folder)
    files = [
        (label, path)
        for label, name in enumerate(CLASSES)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in _SUFFIXES and path.is_file()
    ]
    for label, name in enumerate(CLASSES):
        if not any(own == label for own, _ in files):
            raise ConfigError(
                f"the class {name!r} has no pictures: expected some in {name}/",
                path=folder,
                key=name,
            )
    images = np.empty((len(files), 1, size, size), dtype=np.float32)
    for i, (_, path) in enumerate(files):
        picture = grey(read_photograph(path))
        height, width = picture.shape
        square = crop(picture, (width / 2.0, height / 2.0), float(min(height, width)), size)
        images[i, 0] = standardised(square)
        if progress is not None:
            progress(i + 1, len(files))
    loops = [_loop_of(path.relative_to(folder)) for _, path in files]
    return Samples(images, np.array([float(label) for label, _ in files]), np.array(loops))


def _loop_of(path: Path) -> str:
    if len(path.parts) > 2:
        return path.parent.as_posix()
    stem = re.sub(r"[-_. ]*\d+$", "", path.stem) or path.stem
    return f"{path.parts[0]}/{stem}"
