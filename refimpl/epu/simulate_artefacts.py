"""What is wrong with the files of a simulated session, and the list of it.

The exposures of the truth stay readable: what cannot be read is an exposure more, a failed one,
named in truth.json. Second beam diameters, equal times, 7 and 8 digits, midnight and the change
of the clock are in the arrays already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import I64

__all__ = ["MOVIE_SUFFIXES", "Artefacts", "Broken", "broken_files"]

MOVIE_SUFFIXES = ("_fractions.tiff", "_EER.eer", "_Fractions.mrc", "_Fractions.tiff")
"""Of K3, Falcon 4 and older cameras; a square of the session has one of them, in this order."""


@dataclass(frozen=True)
class Artefacts:
    """How many of each; every session has its share of them.

    Attributes
    ----------
    truncated
        XML files that break off in the middle.
    without_beam_shift
        XML files without the element.
    copies
        Exposures whose XML and picture lie in another folder, too (same unique id).
    missing_jpg
        Exposures without a picture; a duplicate is among them.
    squares_without_foil_images
        Grid squares without a folder FoilHoles.
    fractions
        Whether each exposure has its ``_Fractions.xml`` (lower case in every second square).
    movies
        Whether there are empty movies, in ``RawData``.
    """

    truncated: int = 1
    without_beam_shift: int = 1
    copies: int = 3
    missing_jpg: int = 3
    squares_without_foil_images: int = 1
    fractions: bool = True
    movies: bool = True

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(f.default, int) and not 0 <= value <= 10_000:
                raise ConfigError(f"{f.name} = {value} is outside of 0 to 10000", key=f.name)


NO_ARTEFACTS = Artefacts(0, 0, 0, 0, 0, fractions=False, movies=False)


@dataclass(frozen=True, eq=False)
class Broken:
    """Which exposures have which artefact.

    Attributes
    ----------
    truncated, without_beam_shift
        (m,) exposures after which a failed one is added.
    copies, missing_jpg
        (m,) exposures.
    without_foil_images
        Numbers of squares.
    """

    truncated: I64
    without_beam_shift: I64
    copies: I64
    missing_jpg: I64
    without_foil_images: I64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def broken_files(
    artefacts: Artefacts, bad: I64, squares: I64, exposures: int, rng: np.random.Generator
) -> Broken:
    """Choose the exposures.

    Parameters
    ----------
    artefacts
        How many.
    bad
        Duplicates of the session.
    squares
        Numbers of the squares.
    exposures
        How many there are.
    """
    order = rng.permutation(exposures)
    ends = np.cumsum([artefacts.truncated, artefacts.without_beam_shift, artefacts.copies])
    truncated, without, copies = (np.sort(v) for v in np.split(order[: ends[-1]], ends[:-1]))
    missing = order[::-1][: artefacts.missing_jpg]
    if len(bad) and len(missing):
        missing = np.unique(np.r_[rng.choice(bad), missing[1:]])
    # Not all of them: a session without any picture of a foil hole is another case.
    count = min(artefacts.squares_without_foil_images, len(squares) - 1)
    none = np.sort(rng.permutation(squares)[:count])
    return Broken(truncated, without, copies, np.sort(missing), none)


def failed_row(row: Mapping[str, Any], hole: int, uid: str) -> dict[str, Any]:
    """An exposure of a hole of its own, at the time and with the optics of another one."""
    name = str(row["name"])
    new = f"FoilHole_{hole}" + name[name.index("_Data_") :]
    path = str(row["path"])
    return {
        **row, "name": new, "hole": hole, "uid": uid,
        "path": path[: path.rindex("/") + 1] + new + ".xml",
    }  # fmt: skip
