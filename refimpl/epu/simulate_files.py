"""A simulated session as a folder, as EPU leaves it behind, with ``truth.json``.

The folder appears whole or not at all::

    EpuSession.dm  truth.json
    Metadata/GridSquare_<id>.dm
    Images-Disc<n>/GridSquare_<id>/GridSquare_<date>_<time>.jpg
                                   FoilHoles/FoilHole_<hole>_<date>_<time>.jpg
                                   Data/FoilHole_<hole>_Data_..., .xml .jpg _Fractions.xml
    RawData/GridSquare_<id>/                                  movies (empty)
    Copy/                                                     files that were copied
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.epu.simulate import Simulated
from refimpl.epu.simulate_artefacts import (
    MOVIE_SUFFIXES,
    NO_ARTEFACTS,
    Artefacts,
    Broken,
    broken_files,
    failed_row,
)
from refimpl.epu.simulate_images import (
    Specimen,
    foil_hole_image,
    grid_square_image,
    specimen_of,
)
from refimpl.epu.simulate_table import stamp_of
from refimpl.epu.simulate_xml import (
    epu_session_xml,
    exposure_xml,
    fractions_xml,
    grid_square_xml,
)
from refimpl.errors import ConfigError
from refimpl.io.atomic import json_text
from refimpl.io.whole_folder import whole_folder

__all__ = ["Artefacts", "Written", "write_session"]

_CENTRING_S = 5.0
"""EPU takes a picture of a hole, centres, and takes another one so much later."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes
    ----------
    folder
        The session.
    files
        How many files.
    unusable
        Exposures that cannot be read: path in the folder and why.
    copies, missing_jpg
        Paths of XML copies; names of exposures without a picture.
    squares_without_foil_images
        Their numbers.
    """

    folder: Path
    files: int
    unusable: tuple[tuple[str, str], ...]
    copies: tuple[str, ...]
    missing_jpg: tuple[str, ...]
    squares_without_foil_images: tuple[int, ...]


def write_session(
    simulated: Simulated,
    folder: str | os.PathLike[str],
    *,
    images: bool = True,
    artefacts: bool | Artefacts = True,
    image_px: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write a simulated session.

    Parameters
    ----------
    simulated
        The session.
    folder
        Must not exist, or be empty.
    images
        Whether there are pictures: exposures, foil holes, squares.
    artefacts
        What is wrong with the files: the usual, nothing, or as stated.
    image_px
        Side of the pictures.
    seed
        Of pictures and artefacts.
    progress
        Called with exposures done, and how many there are.

    Raises
    ------
    ConfigError
        The folder is not empty or cannot be made; pictures of less than 8 or more than 4096 pixels.
    """
    if not 8 <= image_px <= 4096:
        raise ConfigError(f"image_px = {image_px} is outside of 8 to 4096", key="image_px")
    if isinstance(artefacts, bool):
        artefacts = Artefacts() if artefacts else NO_ARTEFACTS
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
    table = simulated.session.table
    broken = broken_files(
        artefacts, np.nonzero(simulated.truth.bad)[0], np.unique(table["square"].to_numpy()),
        len(table), streams[0],
    )  # fmt: skip
    with whole_folder(folder) as place:
        writer = _Writer(place, simulated, artefacts, broken, image_px if images else 0, streams)
        writer.plan()
        writer.exposures(progress)
        writer.pictures()
        written = writer.written(Path(folder))
        writer.truth(written)
    return written


class _Writer:
    """Writes the parts of one session and counts its files."""

    def __init__(
        self, place: Path, simulated: Simulated, artefacts: Artefacts, broken: Broken, side: int,
        streams: list[np.random.Generator],
    ) -> None:  # fmt: skip
        self._place, self._simulated, self._artefacts = place, simulated, artefacts
        self._broken, self._side, self._rng = broken, side, streams[1:]
        self._settings, self._files = simulated.settings, 0
        self._folders: set[Path] = set()
        self._unusable: list[tuple[str, str]] = []
        self._copies: list[str] = []
        table = simulated.session.table
        self._columns = {str(name): table[name].tolist() for name in table.columns}

    def _row(self, i: int) -> dict[str, Any]:
        """One exposure; all of them as dicts would take a gigabyte of a large session."""
        return {name: values[i] for name, values in self._columns.items()}

    def _write(self, path: str, content: str | bytes) -> None:
        target = self._place / path
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        self._files += 1

    def _picture(self, path: str, picture: Any) -> bytes:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=90)
        self._write(path, buffer.getvalue())
        return buffer.getvalue()

    def plan(self) -> None:
        """EpuSession.dm and a GridSquare_<id>.dm a square."""
        spacing = self._simulated.hole_spacing_um
        self._write("EpuSession.dm", epu_session_xml(spacing, self._settings))
        planned = self._simulated.planned
        for i, square in enumerate(self._simulated.squares):
            own = planned.square == i
            holes = zip(planned.hole[own].tolist(), *planned.stage_um[own].T.tolist(), strict=True)
            x, y = square.centre_um.tolist()
            text = grid_square_xml(holes, (x, y), self._settings)
            self._write(f"Metadata/GridSquare_{square.number}.dm", text)

    def exposures(self, progress: Callable[[int, int], None] | None) -> None:
        """XML, pictures, fractions and movies of all exposures, and what is wrong with them."""
        truth = self._simulated.truth
        n = len(truth.bad)
        before = np.bincount(truth.pairs[:, 1], minlength=n)
        specimen = specimen_of(self._settings, self._side, self._rng[0]) if self._side else None
        copies, missing = (set(v.tolist()) for v in (self._broken.copies, self._broken.missing_jpg))
        for i in range(n):
            row = self._row(i)
            text = exposure_xml(row, self._settings)
            self._write(row["path"], text)
            self._beside(i, row)
            jpg = b""
            if specimen is not None and i not in missing:
                jpg = self._exposure_picture(specimen, i, row, int(before[i]))
            if i in copies:
                copy = "Copy/" + row["path"].split("/", 1)[1]
                self._copies.append(copy)
                self._write(copy, text)
                if jpg:
                    self._write(copy[: -len(".xml")] + ".jpg", jpg)
            if progress is not None and (i + 1) % 50 == 0:
                progress(i + 1, n)
        self._failed()

    def _beside(self, i: int, row: dict[str, Any]) -> None:
        square = int(self._simulated.square_index[i])
        stem = row["path"][: -len(".xml")]
        if self._artefacts.fractions:
            suffix = "_fractions.xml" if square % 2 else "_Fractions.xml"
            self._write(stem + suffix, fractions_xml(row))
        if self._artefacts.movies:
            suffix = MOVIE_SUFFIXES[square % len(MOVIE_SUFFIXES)]
            self._write(f"RawData/GridSquare_{row['square']}/{row['name']}{suffix}", b"")

    def _exposure_picture(
        self, specimen: Specimen, i: int, row: dict[str, Any], before: int
    ) -> bytes:
        picture = specimen.image(self._simulated.truth.true_um[i], before, self._rng[0])
        return self._picture(row["path"][: -len(".xml")] + ".jpg", picture)

    def _failed(self) -> None:
        """Exposures whose XML is of no use, with holes of their own."""
        hole = max(self._columns["hole"]) + 1000
        for name, rows in (
            ("truncated", self._broken.truncated),
            ("without BeamShift", self._broken.without_beam_shift),
        ):
            for i in rows.tolist():
                hole += 1
                uid = f"00000000-0000-0000-0000-{hole:012d}"
                row = failed_row(self._row(i), hole, uid)
                text = exposure_xml(row, self._settings)
                if name == "truncated":
                    text = text[: int(len(text) * self._rng[1].uniform(0.2, 0.9))]
                else:
                    start, end = text.index("<BeamShift"), text.index("<BeamTilt")
                    text = text[:start] + text[end:]
                self._write(row["path"], text)
                self._unusable.append((row["path"], name))

    def pictures(self) -> None:
        """Two pictures of one hole a stage position, five seconds apart, and one of each square."""
        if not self._side:
            return
        settings, rng = self._settings, self._rng[2]
        without = set(self._broken.without_foil_images.tolist())
        firsts = np.unique(self._simulated.visit, return_index=True)[1]
        times = np.array(self._columns["time_s"])
        for i in firsts.tolist():
            row = self._row(i)
            if row["square"] in without:
                continue
            head = row["path"].split("/Data/")[0] + "/FoilHoles/FoilHole_"
            for ago, scale in ((2.0 + _CENTRING_S, settings.landing_um),
                               (2.0, settings.centring_um)):  # fmt: skip
                stamp = stamp_of(times[i] - ago, settings)
                offset = scale / np.sqrt(2.0) * rng.normal(size=2)
                self._picture(
                    f"{head}{row['hole']}_{stamp}.jpg",
                    foil_hole_image(settings, offset, self._side, rng),
                )
        self._squares(times)

    def _squares(self, times: Any) -> None:
        truth, index = self._simulated.truth, self._simulated.square_index
        for k, square in enumerate(self._simulated.squares):
            own = np.nonzero(index == k)[0]
            if not len(own):
                continue
            stamp = stamp_of(times[own[0]] - 60.0, self._settings)
            picture = grid_square_image(
                self._settings, truth.true_um[own], square.centre_um, 2 * self._side, self._rng[2]
            )
            head = f"Images-Disc{square.disc}/GridSquare_{square.number}"
            self._picture(f"{head}/GridSquare_{stamp}.jpg", picture)

    def written(self, folder: Path) -> Written:
        """Return what there is, the truth included."""
        names = [self._columns["name"][i] for i in self._broken.missing_jpg.tolist()]
        return Written(
            folder, self._files + 1, tuple(self._unusable), tuple(self._copies),
            tuple(names if self._side else ()),
            tuple(self._broken.without_foil_images.tolist() if self._side else ()),
        )  # fmt: skip

    def truth(self, written: Written) -> None:
        """truth.json: what happened, which names are bad, what is wrong with the files."""
        names = self._columns["name"]
        truth = self._simulated.truth
        text = json_text({
            "settings": asdict(self._settings), "seed": self._simulated.seed, "names": names,
            **truth.as_dict(), "bad_names": [n for n, b in zip(names, truth.bad, strict=True) if b],
            "artefacts": {k: v for k, v in asdict(written).items() if k not in ("folder", "files")},
        })  # fmt: skip
        (self._place / "truth.json").write_text(text + "\n", encoding="utf-8")
