"""Images that experiments name: where they are, and how they are read one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.errors import ConfigError, FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from refimpl.forward.experiment import Experiment

__all__ = ["Images", "of_experiment"]


class Images:
    """Images of an experiment in the order of the scan.

    Attributes
    ----------
    paths
        One a CBF image, or the one HDF5 file.
    first
        Number of the first image of the scan, 1 for stills.
    """

    def __init__(self, paths: list[Path], first: int, n_images: int, *, stacked: bool) -> None:
        self.paths, self.first, self._n, self._stacked = paths, first, n_images, stacked

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self.since(0)

    def since(self, start: int) -> Iterator[NDArray[Any]]:
        """Images from one on, counted from 0."""
        if self._stacked:
            from refimpl.io.images import open_source

            with open_source(self.paths[0]) as source:
                if source.n_frames < self._n:
                    raise FormatError(
                        f"{source.n_frames} images: the scan has {self._n}", path=self.paths[0]
                    )
                for k in range(start, self._n):
                    yield source.read(k)
            return
        for k in range(start, self._n):
            yield self[k]

    def good_pixels(self) -> NDArray[np.bool_] | None:
        """Pixels (slow, fast) that the detector itself holds for good, where the file says so."""
        if not self._stacked:
            return None
        from refimpl.io.images import open_source

        with open_source(self.paths[0]) as source:
            return None if source.pixel_mask is None else ~source.pixel_mask

    def __getitem__(self, k: int) -> NDArray[Any]:
        if not 0 <= k < self._n:
            raise ConfigError(
                f"image {self.first + k}: the scan has images {self.first} to "
                f"{self.first + self._n - 1}"
            )
        if self._stacked:
            from refimpl.io.images import open_source

            with open_source(self.paths[0]) as source:
                return source.read(k)
        from refimpl.io.minicbf import read_minicbf

        return read_minicbf(self.paths[k])[0]


def of_experiment(experiment: Experiment, home: Path) -> Images:
    """Images of an experiment; names that are not found are looked for beside its file.

    Parameters
    ----------
    experiment
        With ``template`` or ``images`` in its image set.
    home
        File that the experiment was read from.

    Raises
    ------
    ConfigError
        It names no images.
    FormatError
        An image is missing.
    """
    entry, scan = dict(experiment.imageset or {}), experiment.scan
    first, count = (scan.image_range[0], scan.n_images) if scan is not None else (1, None)
    if entry.get("images"):
        paths = [_found(Path(str(name)), home) for name in entry["images"]]
        return Images(paths, first, len(paths), stacked=False)
    template = str(entry.get("template") or "")
    if not template:
        raise ConfigError("the experiment names no images", path=home)
    if "#" not in template:
        return Images([_found(Path(template), home)], first, count or 1, stacked=True)
    numbers = range(first, first + (count or 1))
    hashes = re.findall("#+", template)[-1]
    named = [template.replace(hashes, f"{n:0{len(hashes)}d}") for n in numbers]
    return Images([_found(Path(name), home) for name in named], first, len(named), stacked=False)


def _found(path: Path, home: Path) -> Path:
    for place in (path, home.parent / path, home.parent / path.name):
        if place.is_file():
            return place
    raise FormatError("no such image", path=path)
