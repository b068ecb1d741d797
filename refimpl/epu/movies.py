"""Movies of exposures, found by the exposure's name whatever the camera appended to it.

``_fractions.tiff`` (K3), ``_Fractions.tiff`` and ``_Fractions.mrc`` (Falcon 3 and older),
``_EER.eer`` (Falcon 4), in any case, compressed or not, and behind the prefixes that import jobs
put before a name. The folder is walked once and names are looked up; the published script searches
all paths again for each bad file, for one suffix in one case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from refimpl.errors import ConfigError

__all__ = ["MovieIndex", "index_movies", "movie_stem", "walk"]

# whatever stands before and behind the name of the exposure, up to the known suffixes
_NAME: Final = re.compile(
    r"(?P<stem>FoilHole_[0-9]+_Data(?:_[0-9]+){0,2}_[0-9]{8}_[0-9]{6})(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_MOVIE: Final = r"_(?:fractions|eer)"
_SUFFIX: Final = re.compile(
    rf"(?P<movie>{_MOVIE})?(?P<more>.*?)\.(?P<kind>tiff?|mrcs?|eer)(?:\.(?:bz2|gz|xz|zst))?",
    re.IGNORECASE | re.DOTALL,
)
_OTHER: Final = re.compile(
    rf"(?P<stem>.+?)(?P<rest>(?:{_MOVIE})?\.(?:tiff?|mrcs?|eer)(?:\.(?:bz2|gz|xz|zst))?)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, eq=False)
class MovieIndex:
    """Files of a folder by the exposure that they are of.

    Attributes
    ----------
    folder
        Where they lie.
    movies, images
        Paths by stem in lower case: movies, and single images (``<stem>.mrc``, the average).
    """

    folder: Path
    movies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Exposures with a file."""
        return len(self.movies.keys() | self.images.keys())

    def find(self, name: str) -> tuple[str, ...]:
        """Files of an exposure, sorted: its movies, else its single images; none: empty."""
        key = name.lower()
        return self.movies.get(key, ()) or self.images.get(key, ())


def movie_stem(file_name: str) -> tuple[str, bool] | None:
    """Exposure that a file of raw data is of, and whether it is a movie.

    Returns
    -------
    Its name as the file spells it, and True for ``_fractions`` and ``_EER`` (any ``.eer`` and
    ``.mrcs`` is one, too); None where it is no image file.
    """
    found = _NAME.search(file_name)
    if found is None:
        found = _OTHER.fullmatch(file_name)
    if found is None:
        return None
    suffix = _SUFFIX.fullmatch(found["rest"])
    if suffix is None:
        return None
    is_movie = suffix["movie"] is not None or suffix["kind"].lower() in ("eer", "mrcs")
    return found["stem"], is_movie


def index_movies(
    folder: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
) -> MovieIndex:
    """Walk a folder and its subfolders, links too, and index its image files.

    Parameters
    ----------
    folder
        Raw data.
    progress
        Called with (files seen, 0) now and then.

    Raises
    ------
    ConfigError
        It is no folder, or cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError("no such folder of movies", path=root, key="rawdata")
    found: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
    for n, entry in enumerate(walk(root)):
        stem = movie_stem(entry.name)
        if stem is not None:
            found[0 if stem[1] else 1].setdefault(stem[0].lower(), []).append(entry.path)
        if progress is not None and n % 1000 == 0:
            progress(n, 0)
    movies, images = (
        MappingProxyType({stem: tuple(sorted(paths)) for stem, paths in kind.items()})
        for kind in found
    )
    return MovieIndex(root, movies, images)


def walk(root: Path) -> Iterator[os.DirEntry[str]]:
    """Files of a folder and its subfolders; linked folders are followed, each folder once.

    Raises
    ------
    ConfigError
        The folder itself cannot be read; subfolders that cannot be are passed over.
    """
    waiting, seen = [str(root)], set()
    while waiting:
        here = waiting.pop()
        try:
            at = os.stat(here)
            with os.scandir(here) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if here == str(root):
                raise ConfigError(f"cannot read: {error.strerror}", path=here) from error
            continue
        if (at.st_dev, at.st_ino) in seen:  # a link that leads back
            continue
        seen.add((at.st_dev, at.st_ino))
        below = []
        for entry in entries:
            try:
                is_folder = entry.is_dir()
            except OSError:
                continue
            if is_folder:
                below.append(entry)
            else:
                yield entry
        # the folder itself before links to it, so that its own path is the one that counts
        below.sort(key=lambda entry: (entry.is_symlink(), entry.name), reverse=True)
        waiting += [entry.path for entry in below]
