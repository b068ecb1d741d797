"""What processing near-field images gives: lit pixels, a word on each distance, published bits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from refimpl.detector.lit_pixels import LitPixels
from refimpl.io.lit_files import lit_of_frames, open_frame_pixels, stream_spots_info

__all__ = ["DistanceReport", "ProcessedImages", "finished", "lit_path"]


@dataclass(frozen=True)
class DistanceReport:
    """What became of the images of one distance.

    Attributes
    ----------
    distance
        From 1.
    path
        File of its lit pixels, see :mod:`refimpl.io.lit_files`.
    n_lit
        Lit pixels in all frames.
    empty_frames
        Frames, from 0, in which nothing was found: said, not faked.
    kept
        Done by an earlier run and not again.
    outside
        Pixels of peak files that lay outside the detector and were left out.
    """

    distance: int
    path: Path
    n_lit: int
    empty_frames: tuple[int, ...]
    kept: bool = False
    outside: int = 0

    @classmethod
    def of(
        cls, distance: int, path: Path, *, kept: bool = False, outside: int = 0
    ) -> DistanceReport:
        """Report on the file of a distance, counted from 0."""
        with open_frame_pixels(path) as pixels:
            empty = tuple(pixels.empty_frames.tolist())
            return cls(distance + 1, path, pixels.n_lit, empty, kept, outside)


@dataclass(frozen=True)
class ProcessedImages:
    """Lit pixels of all distances, what to know about each, and SpotsInfo.bin if written."""

    lit: LitPixels
    reports: tuple[DistanceReport, ...]
    spots_info: Path | None


def lit_path(folder: Path, distance: int, layer: int = 1) -> Path:
    """File of the lit pixels of a distance, counted from 0, of a layer, counted from 1."""
    of = "" if layer == 1 else f"layer_{layer}_"
    return folder / f"lit_pixels_{of}distance_{distance}.h5"


def finished(
    reports: Sequence[DistanceReport], folder: Path, *, spots_info: bool
) -> ProcessedImages:
    """Put the files of the distances together, and write SpotsInfo.bin if asked for."""
    bits = folder / "SpotsInfo.bin" if spots_info else None
    with ExitStack() as stack:
        distances = [stack.enter_context(open_frame_pixels(one.path)) for one in reports]
        if bits is not None:
            stream_spots_info(bits, distances)
        return ProcessedImages(lit_of_frames(distances), tuple(reports), bits)
