"""Lit pixels of binary peak files, one a frame and distance, as Ice9 and the old programs write.

The files are ``{ReducedFileName}_{number:06d}.{extReduced}{d}`` in the folder of the outputs, for
the numbers StartNr to EndNr and distances d from 0. With ``Ice9Input`` in the parameter file, with
or without anything behind it, Z is counted from the other end: Z -> NrPixelsZ - Z (spec 1.8).
"""

from __future__ import annotations

from refimpl.errors import FormatError
from refimpl.io.hexomap import read_ice9_stack
from refimpl.io.lit_files import write_frame_pixels
from refimpl.io.nearfield_params import NearfieldParams
from refimpl.nearfield.image_result import DistanceReport, ProcessedImages, finished, lit_path

__all__ = ["read_peak_images"]


def read_peak_images(
    params: NearfieldParams, *, ice9: bool | None = None, spots_info: bool = True
) -> ProcessedImages:
    """Read the peak files of all distances.

    Parameters
    ----------
    params
        The parameter file.
    ice9
        Turn Z; None: as the parameter file says.
    spots_info
        Write SpotsInfo.bin too.

    Raises
    ------
    ConfigError
        A key is missing.
    FormatError
        A file is missing, truncated or of another kind.

    Notes
    -----
    The published formula puts the file's Z = 0 one pixel off the detector, where the published
    program lights another pixel by mistake; such pixels are left out and counted in the reports.
    """
    params.require("nDistances", "StartNr", "EndNr", "ReducedFileName")
    turn = bool(params["Ice9Input"]) if ice9 is None else ice9
    base, extension = params.folder / str(params["ReducedFileName"]), params["extReduced"]
    first = int(params.number("StartNr"))
    shape_px = (int(params.number("NrPixelsY")), int(params.number("NrPixelsZ")))
    reports = []
    for distance in range(params.n_distances):
        numbers = range(first, first + params.n_frames)
        files = [base.with_name(f"{base.name}_{n:06d}.{extension}{distance}") for n in numbers]
        missing = [path for path in files if not path.exists()]
        if missing:
            raise FormatError(
                f"no such peak file ({len(missing)} of {len(files)} are missing)", path=missing[0]
            )
        pixels, outside = read_ice9_stack(files, shape_px, ice9=turn)
        path = write_frame_pixels(lit_path(params.folder, distance), pixels)
        reports.append(DistanceReport.of(distance, path, outside=outside))
    return finished(reports, params.folder, spots_info=spots_info)
