"""Which files hold the frames of each near-field distance, and what the reduced ones are called.

Numbered images: ``DataDirectory/OrigFileName_{number:06d}.extOrig`` with number = RawStartNr +
(distance - 1)(NrFilesPerDistance + WFImages) + frame (spec 1.8). One file may hold them all, with
or without a number in its name: then the number is the place in that file, from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refimpl.errors import ConfigError, FormatError
from refimpl.io.nearfield_params import NearfieldParams
from refimpl.io.nearfield_stack import published_number

__all__ = ["ImagePlan", "files_per_distance", "plan_of"]


@dataclass(frozen=True)
class ImagePlan:
    """Files of a run.

    Attributes
    ----------
    folder
        Of the outputs.
    raw, extension
        Base path and extension of the raw images.
    reduced_name, reduced_extension
        Of the reduced ones.
    shape_px
        (NY, NZ).
    n_distances, n_frames
        Of the layer.
    first, step
        Number of the layer's first image, and numbers from one distance to the next.
    stacks
        Instead of numbered images: a file for each distance, or one for all.
    dataset
        Data set in them.
    write_images
        Write the filtered frames too.
    """

    folder: Path
    raw: Path
    extension: str
    reduced_name: str
    reduced_extension: str
    shape_px: tuple[int, int]
    n_distances: int
    n_frames: int
    first: int
    step: int
    stacks: tuple[Path, ...] = ()
    dataset: str | None = None
    write_images: bool = False

    @property
    def rows_columns(self) -> tuple[int, int]:
        """(NZ, NY), shape of the raw images."""
        return self.shape_px[1], self.shape_px[0]

    def numbers(self, distance: int) -> range:
        """Numbers of the raw images of a distance, counted from 0."""
        start = published_number(self.first, self.step, 0, distance, 0)
        return range(start, start + self.n_frames)

    def files(self, distance: int) -> list[Path]:
        """File of each frame, or the one that holds them all."""
        if self.stacks:
            return [self.stacks[distance if len(self.stacks) > 1 else 0]]
        numbers = self.numbers(distance)
        return [Path(f"{self.raw}_{n:06d}.{self.extension}") for n in numbers]

    def frames(self, distance: int) -> list[int] | None:
        """Places in the one file; None for numbered images."""
        if not self.stacks:
            return None
        return list(range(self.n_frames) if len(self.stacks) > 1 else self.numbers(distance))

    def reduced(self, distance: int, kind: str) -> Path:
        """Published name of an image of a distance, such as its ``Median_Background``."""
        name = f"{self.reduced_name}_{kind}_Distance_{distance}.{self.reduced_extension}"
        return self.folder / name

    def full_image(self, distance: int, frame: int) -> Path:
        """Published name of a filtered frame."""
        name = f"{self.reduced_name}_FullImage_{frame:06d}.{self.reduced_extension}{distance}"
        return self.folder / name


def files_per_distance(params: NearfieldParams) -> int:
    """Numbered images of a distance, without the wide-field ones.

    Raises
    ------
    ConfigError
        Fewer than the frames of the scan.
    """
    if params["NrFilesPerDistance"] is None:
        return params.n_frames
    files = int(params.number("NrFilesPerDistance"))
    if files < params.n_frames:
        raise params.refuse(
            "NrFilesPerDistance",
            f"NrFilesPerDistance {files}: StartNr to EndNr are {params.n_frames} frames",
        )
    return files


def plan_of(
    params: NearfieldParams,
    layer: int = 1,
    stacks: Sequence[Path] | None = None,
    dataset: str | None = None,
) -> ImagePlan:
    """Files that a parameter file names.

    Parameters
    ----------
    params
        The parameter file.
    layer
        From 1; the images of each further layer follow those of all distances of the one before.
    stacks
        One file for each distance, whose frames are taken from the first on; or one file for all
        distances, whose frames have the numbers of the images. None: numbered images, or the file
        ``DataDirectory/OrigFileName.extOrig``, if there is one, as such a file for all.
    dataset
        Data set in these files.

    Raises
    ------
    ConfigError
        A key is missing; fewer files at a distance than frames; a number of stacks that is
        neither 1 nor that of the distances; `layer` below 1.
    FormatError
        The folder of the images does not exist.
    """
    params.require("nDistances", "StartNr", "EndNr", "ReducedFileName")
    n_distances, n_frames = params.n_distances, params.n_frames
    if layer < 1:
        raise ConfigError(f"layer {layer}: expected 1 or more", key="layer", got=layer)
    step = files_per_distance(params) + int(params.number("WFImages"))
    base = Path(".") if params.path is None else params.path.parent
    data = base / str(params["DataDirectory"] or ".")
    raw = data / str(params["OrigFileName"])
    extension = str(params["extOrig"])
    found = _stacks(params, stacks, Path(f"{raw}.{extension}"), n_distances)
    alone = stacks is not None and n_distances == 1  # a stack for each distance
    start = 0 if alone else int(params.number("RawStartNr"))
    if not found and not raw.parent.is_dir():
        raise FormatError("no such folder of images (DataDirectory)", path=raw.parent)
    return ImagePlan(
        params.folder, raw, extension, str(params["ReducedFileName"]), str(params["extReduced"]),
        (int(params.number("NrPixelsY")), int(params.number("NrPixelsZ"))), n_distances, n_frames,
        start + (layer - 1) * n_distances * step, step, found, dataset,
        bool(params["WriteFinImage"]) or bool(params["Deblur"]),
    )  # fmt: skip


def _stacks(
    params: NearfieldParams, given: Sequence[Path] | None, whole: Path, n_distances: int
) -> tuple[Path, ...]:
    if given is None:
        return (whole,) if whole.exists() else ()
    if len(given) not in (1, n_distances):
        raise params.refuse(
            "nDistances", f"{len(given)} stacks: expected 1 or nDistances, {n_distances}"
        )
    return tuple(Path(path) for path in given)
