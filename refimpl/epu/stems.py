"""Exposures found in the names of other programs: a name belongs to the exposure it contains.

Motion correction, import jobs and Scipion put folders, prefixes and suffixes around the name of an
exposure (``MotionCorr/job002/Movies/GridSquare_1_Data_FoilHole_2_Data_3_4_..._aligned_mic_DW.mrc``)
but keep it whole, except that RELION turns the dots inside a name to underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from refimpl.errors import ConfigError, FormatError
from refimpl.reading import read_bytes

__all__ = ["StemIndex", "read_name_list", "stem_of"]

_EXPOSURE = re.compile(r"FoilHole_[0-9]+_Data(?:_[0-9]+){0,2}_[0-9]{8}_[0-9]{6}", re.IGNORECASE)
_END = re.compile(
    r"(?:_(?:fractions|eer))?\.(?:tiff?|mrcs?|eer|jpe?g|png|xml)(?:\.(?:bz2|gz|xz|zst))?",
    re.IGNORECASE,
)


def stem_of(name: str) -> str:
    """Name of the exposure that a file is of: EPU's, or the file's own without its suffixes.

    Parameters
    ----------
    name
        File with or without folders; ``000001@stack.mrcs`` counts as ``stack.mrcs``.
    """
    base = _base(name)
    found = _EXPOSURE.search(base)
    if found is not None:
        return found[0]
    end = next((m for m in _END.finditer(base) if m.end() == len(base)), None)
    return base if end is None or end.start() == 0 else base[: end.start()]


class StemIndex:
    """Rows of exposures by name, found by containment.

    Parameters
    ----------
    stems
        Names of the exposures. Case counts as little as it does in names of movies.

    Raises
    ------
    ConfigError
        A name is empty or is there twice.
    """

    def __init__(self, stems: Sequence[str]) -> None:
        self._row: dict[str, int] = {}
        for row, stem in enumerate(stems):
            key = _key(stem)
            if not key or key in self._row:
                reason = f"two exposures are called {stem!r}" if key else "an exposure has no name"
                raise ConfigError(reason, got=stem)
            self._row[key] = row
        self._lengths = sorted({len(key) for key in self._row}, reverse=True)

    def find(self, name: str) -> int:
        """Row of the exposure whose name a file name contains, -1 where there is none.

        The longest counts where there are several. What is found ends where the name does or
        where the kind of character changes: ``mic_1`` is not in ``mic_10``.
        """
        key = _key(_base(name))
        found = _EXPOSURE.search(key)
        if found is not None and found[0] in self._row:
            return self._row[found[0]]
        for length in self._lengths:
            for at in range(len(key) - length + 1):
                row = self._row.get(key[at : at + length])
                if row is not None and _is_whole(key, at, at + length):
                    return row
        return -1


def read_name_list(paths: Iterable[str | Path]) -> list[str]:
    """Names of exposures in lists of files, one a line, as ``*_badfiles_*.txt`` hold them.

    Returns
    -------
    Each name once, in the order of the lists.

    Raises
    ------
    FormatError
        A list cannot be read, or is no text.
    """
    names: dict[str, None] = {}
    for path in paths:
        try:
            text = read_bytes(path).decode("utf-8", "surrogateescape")
        except OSError as error:
            raise FormatError(f"cannot read: {error.strerror}", path=path) from error
        if "\0" in text:
            raise FormatError("not a list of names: it is binary", path=path)
        lines = (line.strip() for line in text.splitlines())
        names |= {stem_of(line): None for line in lines if line and not line.startswith("#")}
    return list(names)


def _base(name: str) -> str:
    return name.strip().replace("\\", "/").replace("@", "/").rpartition("/")[2]


def _key(text: str) -> str:
    return text.lower().replace(".", "_")


def _is_whole(text: str, begin: int, end: int) -> bool:
    """Whether a part of a text is no piece of a longer word or number."""
    return not (_joins(text[begin - 1 : begin + 1]) if begin else False) and not _joins(
        text[end - 1 : end + 1]
    )


def _joins(pair: str) -> bool:
    return len(pair) == 2 and (pair.isdigit() or pair.isalpha())
