"""What ``refimpl epu duplicates`` writes: lists, tables, pictures, a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.epu.duplicates import Duplicates
    from refimpl.epu.movies import MovieIndex

__all__ = ["MONTAGE_LIMIT", "Files", "Written"]

MONTAGE_LIMIT = 100
"""Pairs in a montage, as the published README says."""


@dataclass(frozen=True)
class Written:
    """What a run has written, what is to be said about it, and the movies that it found."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    movies: MovieIndex | None


@dataclass(frozen=True)
class Files:
    """Files that a run is to write.

    Attributes
    ----------
    prefix
        Start of their paths; None: no files.
    has_montage, has_map
        Which pictures.
    montage_file
        Another path for the montage.
    montage_limit
        Most pairs of it; 0: all.
    is_half_size
        Of the montage.
    report
        Folder of the page.
    rawdata
        Folder of the movies.
    """

    prefix: str | None
    has_montage: bool = False
    has_map: bool = False
    montage_file: Path | None = None
    montage_limit: int = MONTAGE_LIMIT
    is_half_size: bool = False
    report: Path | None = None
    rawdata: Path | None = None

    def check(self) -> None:
        """Refuse places that could not be written to or are not there, before the work.

        Raises
        ------
        ConfigError
            A folder is missing or not writable, two files have one name, or there is no rawdata.
        """
        from refimpl.epu.bad_lists import outputs_of

        if self.prefix is not None:
            if not Path(self.prefix).name or self.prefix.endswith(("/", "\\")):
                raise ConfigError(
                    f"-o {self.prefix!r}: expected the start of file names, for instance "
                    f"{Path(self.prefix, 'duplicates')}"
                )
            names = [*vars(outputs_of(self.prefix)).values(), *self._pictures]
            for path in names:
                parse.output_file(path)
            if len({path.absolute() for path in names}) < len(names):
                raise ConfigError(f"--montage-file {self.montage_file}: a file of another kind has "
                                  "that name")  # fmt: skip
        if self.rawdata is not None and not self.rawdata.is_dir():
            raise ConfigError("no such folder of movies", path=self.rawdata, key="rawdata")
        if self.report is not None:
            with parse.output_folder(self.report):
                pass

    @property
    def _pictures(self) -> list[Path]:
        montage = self.montage_file or Path(f"{self.prefix}_montage.png")
        return [montage] * self.has_montage + [Path(f"{self.prefix}_map.png")] * self.has_map

    def write(self, found: Duplicates) -> Written:
        """Write everything.

        Raises
        ------
        ConfigError
            A file cannot be written: then none has changed.
        """
        from refimpl import hooks
        from refimpl.epu.bad_lists import write_outputs
        from refimpl.epu.movies import index_movies

        notes: list[str] = []
        written: list[Path] = []
        with parse.progress() as tell:
            tell("movies" if self.rawdata else "files", 0.0)
            movies = None if self.rawdata is None else index_movies(self.rawdata)
            if self.prefix is not None:
                draw = [self._montage(found, notes, tell)] * self.has_montage
                draw += [_map(found)] * self.has_map
                pictures = list(zip(self._pictures, draw, strict=True))
                written = write_outputs(found, self.prefix, movies=movies, pictures=pictures)
        if movies is not None:
            notes += _movie_notes(found, movies)
        if self.report is not None:
            with parse.output_folder(self.report):
                written.append(Path(hooks.call("epu.report", found, self.report)))
        return Written(tuple(written), tuple(notes), movies)

    def _montage(
        self, found: Duplicates, notes: list[str], tell: Callable[[str, float], None]
    ) -> Callable[[Path], object]:
        def draw(path: Path) -> None:
            from refimpl import hooks

            if not found.n_duplicates:
                notes.append("No montage: there are no duplicates.")
                return
            made = hooks.call(
                "epu.montage", found.session, found, path, limit=self.montage_limit,
                resize=self.is_half_size,
                progress=lambda done, of: tell("montage", done / max(of, 1)),
            )  # fmt: skip
            # it was drawn beside the file that it becomes
            notes.extend(replace(made, path=self._pictures[0]).sentences())

        return draw


def _map(found: Duplicates) -> Callable[[Path], object]:
    def draw(path: Path) -> Any:
        from refimpl import hooks

        return hooks.call("epu.map", found.session, found.calibration, found, path)

    return draw


def _movie_notes(found: Duplicates, movies: MovieIndex) -> list[str]:
    from refimpl.epu.bad_lists import movie_paths

    paths, missing = movie_paths(found, movies)
    if not found.n_duplicates:
        return []
    notes = [f"{len(paths)} files of the duplicates are under {movies.folder}."]
    if missing:
        first = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        notes.append(f"{len(missing)} of {found.n_duplicates} duplicates have none there: {first}")
    return notes
