"""Images that experiments name: where they are, and how they are read one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.errors import ConfigError, FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from refimpl.forward.experiment import Experiment
    from refimpl.io.frame_source import FrameSource

__all__ = ["Images", "of_experiment", "stills_apart", "together"]

_INDICES = "single_file_indices"
"""Key of an image set: the frame of each of ``images`` that is a file of several."""


class Images:
    """Images of an experiment in the order of the scan.

    Parameters
    ----------
    places
        File of each image, and its frame there; None for a CBF, which has but one.
    first
        Number of the first image of the scan, 1 for stills.

    Attributes
    ----------
    paths
        Files, each once.
    first
        As given.
    """

    def __init__(self, places: Sequence[tuple[Path, int | None]], first: int) -> None:
        self._places, self.first = list(places), first
        self.paths = list(dict.fromkeys(path for path, _ in places))

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self.since(0)

    def since(self, start: int) -> Iterator[NDArray[Any]]:
        """Images from one on, counted from 0."""
        numbers = range(start, len(self))
        for path, of_file in groupby(numbers, key=lambda k: self._places[k][0]):
            first, *others = of_file
            if self._places[first][1] is None:
                for k in (first, *others):
                    yield self[k]
                continue
            from refimpl.io.images import open_source

            with open_source(path) as source:
                frames = [self._places[k][1] or 0 for k in (first, *others)]
                _check_count(source, max(frames))
                for frame in frames:
                    yield source.frame(frame)

    def good_pixels(self) -> NDArray[np.bool_] | None:
        """Pixels (slow, fast) that the detector itself holds for good, where the file says so."""
        if not self._places or self._places[0][1] is None:
            return None
        from refimpl.io.images import open_source

        with open_source(self.paths[0]) as source:
            return None if source.pixel_mask is None else ~source.pixel_mask

    def __getitem__(self, k: int) -> NDArray[Any]:
        if not 0 <= k < len(self):
            raise ConfigError(
                f"image {self.first + k}: the scan has images {self.first} to "
                f"{self.first + len(self) - 1}"
            )
        path, frame = self._places[k]
        if frame is not None:
            from refimpl.io.images import open_source

            with open_source(path) as source:
                _check_count(source, frame)
                return source.frame(frame)
        from refimpl.io.minicbf import read_minicbf

        return read_minicbf(path)[0]


def _check_count(source: FrameSource, last: int) -> None:
    if last >= source.n_frames:
        raise FormatError(
            f"{source.n_frames} images: the experiment has image {last + 1} of it",
            path=source.path,
        )


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
        It names no images, or frames that are not one for each.
    FormatError
        An image is missing.
    """
    entry, scan = dict(experiment.imageset or {}), experiment.scan
    first, count = (scan.image_range[0], scan.n_images) if scan is not None else (1, 1)
    if entry.get("images"):
        if not isinstance(entry["images"], list):
            raise ConfigError(
                f"images {entry['images']!r:.60}: expected a list", path=home, key="images"
            )
        paths = [_found(Path(str(name)), home) for name in entry["images"]]
        frames = _frames(entry, len(paths), home)
        return Images([(p, frames[k] if frames else None) for k, p in enumerate(paths)], first)
    template = str(entry.get("template") or "")
    if not template:
        raise ConfigError("the experiment names no images", path=home)
    if "#" not in template:
        path = _found(Path(template), home)
        # as dxtbx counts: without numbers of its own, image 6 of a file is its sixth frame
        numbers = _frames(entry, count, home) or range(first - 1, first - 1 + count)
        return Images([(path, k) for k in numbers], first)
    hashes = re.findall("#+", template)[-1]
    named = [template.replace(hashes, f"{first + k:0{len(hashes)}d}") for k in range(count)]
    return Images([(_found(Path(name), home), None) for name in named], first)


def _frames(entry: Mapping[str, Any], n: int, home: Path) -> list[int] | None:
    """Frame of each of ``n`` images of a set, from 0; None where it has none stated."""
    frames = entry.get(_INDICES)
    if not frames:
        return None
    whole = isinstance(frames, list) and all(type(f) is int and f >= 0 for f in frames)
    if not whole or len(frames) != n:
        raise ConfigError(
            f"{_INDICES} {frames!r:.60}: expected {n} numbers from 0", path=home, key=_INDICES
        )
    return [int(f) for f in frames]


def _found(path: Path, home: Path) -> Path:
    for place in (path, home.parent / path, home.parent / path.name):
        if place.is_file():
            return place
    raise FormatError("no such image", path=path)


# --- stills ---------------------------------------------------------------------------------------


def stills_apart(experiment: Experiment) -> tuple[Experiment, ...]:
    """One experiment for each still, on one detector in one beam; a scan stays as it is.

    So does a file without images, which states a geometry, or with images that cannot be read: who
    searches them is told.
    """
    entry = dict(experiment.imageset or {})
    if not experiment.is_still:
        return (experiment,)
    if entry.get("images"):
        sets = [{"images": [name]} for name in entry["images"]]
    else:
        from refimpl.io.images import open_source

        name = entry.pop("template")
        try:
            with open_source(Path(name)) as source:
                sets = [{"images": [name], _INDICES: [k]} for k in range(source.n_frames)]
        except (FormatError, ConfigError):
            return (experiment,)
    entry["__id__"] = "ImageSet"
    return tuple(replace(experiment, imageset=entry | one) for one in sets)


def together(models: Sequence[Experiment], home: Path) -> Experiment:
    """The one scan of a list, or its stills as one experiment that names all their images.

    Raises
    ------
    ConfigError
        No experiment, several scans, or stills on several detectors or with different masks.
    """
    if len(models) == 1:
        return models[0]
    if not models or not all(e.is_still for e in models):
        raise ConfigError(f"{len(models)} experiments: expected one, or stills", path=home)
    entries = [dict(e.imageset or {}) for e in models]
    images = [entry.pop("images", None) for entry in entries]
    frames = [entry.pop(_INDICES, None) for entry in entries]
    first = models[0]
    for k, e in enumerate(models):
        if not isinstance(images[k], list) or len(images[k]) != 1:
            raise ConfigError(
                f"experiment {k} of {len(models)}: expected one image, as refimpl metrology "
                "import makes stills",
                path=home,
            )
        if e.detector is not first.detector:
            raise ConfigError(
                f"experiment {k} is a still on another detector than the first: take them apart",
                path=home,
            )
        if entries[k] != entries[0] or (frames[k] is None) != (frames[0] is None):
            raise ConfigError(
                f"the image of experiment {k} has another mask, gain or kind of file than the "
                "first: take them apart",
                path=home,
            )
    merged = entries[0] | {"images": [name for (name,) in images]}
    if frames[0] is not None:
        merged[_INDICES] = [f[0] if isinstance(f, list) and len(f) == 1 else f for f in frames]
    return replace(first, imageset=merged)
