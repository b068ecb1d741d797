"""Files about the duplicates of a session: the published lists, tables, a summary.

``<o>_badfiles_jpg.txt`` and ``<o>_badfiles_tiff.txt`` hold what those of find_dupl hold, one line
an exposure to be dropped, in the order of time; ``<o>_badfiles_movies.txt`` the movies that are
really there. A run without duplicates writes empty lists, so that none of an earlier run remains.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.io.atomic import json_text
from refimpl.io.together import together

if TYPE_CHECKING:
    from refimpl.epu.duplicates import Duplicates
    from refimpl.epu.movies import MovieIndex

__all__ = ["Outputs", "jpg_paths", "movie_paths", "outputs_of", "summary_of", "tiff_names"]
__all__ += ["write_outputs"]

TIFF = "_fractions.tiff"
"""What find_dupl takes the movies to be called behind the name of the exposure."""


@dataclass(frozen=True)
class Outputs:
    """Paths of the files of a prefix.

    Attributes
    ----------
    jpg, tiff, movies
        Lists of what is to be dropped.
    csv, groups
        Pairs, and the exposures of each group in the order of time with the dose before.
    json
        Summary.
    """

    jpg: Path
    tiff: Path
    movies: Path
    csv: Path
    groups: Path
    json: Path


def outputs_of(prefix: str | os.PathLike[str]) -> Outputs:
    """Paths of a prefix, for instance ``duplicates`` or ``out/session7``."""
    text = os.fspath(prefix)
    ends = ("_badfiles_jpg.txt", "_badfiles_tiff.txt", "_badfiles_movies.txt", ".csv",
            "_groups.csv", ".json")  # fmt: skip
    return Outputs(*(Path(text + end) for end in ends))


def jpg_paths(found: Duplicates) -> list[str]:
    """Full paths of the pictures beside the XML files of what is to be dropped.

    Of a table without paths the names alone, with ``.jpg``.
    """
    paths = found.session.table["path"].to_numpy()[found.bad].tolist()
    return [
        os.path.abspath(os.path.splitext(path)[0] + ".jpg") if path else f"{name}.jpg"
        for path, name in zip(paths, _names(found), strict=True)
    ]


def tiff_names(found: Duplicates, movies: MovieIndex | None = None) -> list[str]:
    """Movies of what is to be dropped, as published: the name, or the full path where it is found.

    Without an index all are names with :data:`TIFF`; with one, the first file found stands there.
    """
    out = []
    for name in _names(found):
        files = () if movies is None else movies.find(name)
        out.append(os.path.abspath(files[0]) if files else name + TIFF)
    return out


def movie_paths(found: Duplicates, movies: MovieIndex) -> tuple[list[str], list[str]]:
    """Full paths of all files of what is to be dropped, and the names without a file."""
    paths: list[str] = []
    missing: list[str] = []
    for name in _names(found):
        files = movies.find(name)
        paths += [os.path.abspath(path) for path in files]
        if not files:
            missing.append(name)
    return paths, missing


def summary_of(found: Duplicates, movies: MovieIndex | None = None) -> dict[str, Any]:
    """Numbers and lists for JSON, with the movies that are there if an index is given."""
    content = found.as_dict()
    if movies is not None:
        paths, missing = movie_paths(found, movies)
        content["badfiles_tiff"] = tiff_names(found, movies)
        content |= {"badfiles_movies": paths, "without_movie": missing}
    return content


def write_outputs(
    found: Duplicates,
    prefix: str | os.PathLike[str],
    *,
    movies: MovieIndex | None = None,
    pictures: Sequence[tuple[Path, Callable[[Path], object]]] = (),
) -> list[Path]:
    """Write all files of a prefix together: all of them, or none changes.

    Parameters
    ----------
    found
        Duplicates.
    prefix
        Start of the paths; the folder must exist.
    movies
        Index of the raw data; without it an old list of movies is removed.
    pictures
        Paths with what draws them into a path; one that draws nothing removes the old file.

    Returns
    -------
    The paths that were written.

    Raises
    ------
    ConfigError
        A file cannot be written.
    """
    from refimpl.epu.duplicate_tables import pairs_of

    files = outputs_of(prefix)
    content = summary_of(found, movies)
    lists = {
        files.jpg: "badfiles_jpg",
        files.tiff: "badfiles_tiff",
        files.movies: "badfiles_movies",
    }
    texts = {path: _lines(content[key]) for path, key in lists.items() if key in content}
    texts[files.csv] = pairs_of(found).to_csv(index=False, float_format="%.9g")
    texts[files.groups] = found.exposures.to_csv(index=False, float_format="%.9g")
    texts[files.json] = json_text(content) + "\n"
    drawn = [path for path, _ in pictures]
    optional = [*drawn, *((files.movies,) if movies is None else ())]
    targets = [*texts, *optional]
    with together(targets, optional=optional) as places:
        at = dict(zip(targets, places, strict=True))
        for path, text in texts.items():
            at[path].write_bytes(text.encode("utf-8"))
        for path, draw in pictures:
            draw(at[path])
        written = [path for path in targets if at[path].exists()]
    return written


def _names(found: Duplicates) -> list[str]:
    names: list[str] = found.session.table["name"].to_numpy()[found.bad].tolist()
    return names


def _lines(items: Sequence[str]) -> str:
    return "".join(f"{item}\n" for item in items)
