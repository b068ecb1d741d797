"""Maps of 2-theta and eta of every pixel centre, for any code to score or to use."""

from __future__ import annotations

from pathlib import Path

from refimpl.detector.panel import Detector
from refimpl.io.atomic import atomic_path, make_folder, write_npy

__all__ = ["write_maps"]


def write_maps(folder: str | Path, detector: Detector, *, tiff: bool = False) -> list[Path]:
    """Write ``two_theta.npy`` and ``eta.npy`` (float64, rad, NaN in gaps, file's pixel order).

    Parameters
    ----------
    folder
        Made if missing.
    detector
        With its distortion.
    tiff
        Also as float64 TIFF.

    Returns
    -------
    Paths of the files written.
    """
    target = make_folder(folder)
    written = []
    for name, values in zip(("two_theta", "eta"), detector.maps(), strict=True):
        written.append(write_npy(target / f"{name}.npy", values))
        if tiff:
            import tifffile

            path = target / f"{name}.tif"
            with atomic_path(path) as temporary:
                tifffile.imwrite(temporary, values, photometric="minisblack")
            written.append(path)
    return written
