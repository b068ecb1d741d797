"""A simulated calibrant frame and the truth that it was made from, as frozen values.

The image is in the pixel order of a file, as a camera would have stored it; everything that was
used to make it rides along, so that a calibration of the frame can be scored without any other
knowledge. Writing and reading such a frame is the job of :mod:`refimpl.io.simulated_frame`.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.frames import F64

__all__ = ["BAD_VALUE", "GAP_VALUE", "PowderTruth", "SimulatedFrame", "file_order", "model_order"]

GAP_VALUE: Final = -1
"""Count stored where the detector has no pixel (the convention of Dectris files)."""

BAD_VALUE: Final = -2
"""Count stored where the detector knows that its pixel is bad (the convention of Dectris files)."""

_BACKGROUND_SAMPLES = 64
"""How many points of a background function are written into the truth."""

_FLIPS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    0: lambda image: image,
    1: np.fliplr,
    2: np.flipud,
    3: np.transpose,
}


def model_order(image: NDArray[Any], codes: tuple[int, ...]) -> NDArray[Any]:
    """Image as stored -> model frame, by the codes of :mod:`refimpl.detector.orientation`."""
    for code in codes:
        image = _FLIPS[code](image)
    return np.ascontiguousarray(image)


def file_order(image: NDArray[Any], codes: tuple[int, ...]) -> NDArray[Any]:
    """Image in the model frame -> as stored; each code undoes itself, so the order reverses."""
    return model_order(image, codes[::-1])


@dataclass(frozen=True, eq=False)
class PowderTruth:
    """Everything that a simulated powder frame was made from.

    Attributes
    ----------
    model
        The detector, with its true geometry, distortion and panel errors.
    two_theta_rad, intensity
        (h,) line centres [rad] and relative intensities (areas in 2-theta) of the rings.
    fwhm_rad, mixing
        (h,) full width at half maximum in 2-theta [rad] and Lorentz fraction of each line.
    wavelength_angstrom
        Wavelength that the line centres belong to [Å].
    peak_counts
        Counts a pixel on the crest of the strongest ring, above background, before solid angle,
        polarisation and averaging over the pixel.
    background
        Counts a pixel: a constant, or a function of 2-theta [rad].
    polarisation
        (fraction, azimuth of the plane [rad]) or None.
    solid_angle
        Whether the counts fall with the pixel's solid angle.
    nodes
        Gauss-Legendre nodes a side that each pixel near a ring was integrated with.
    seed
        Of everything random.
    extra
        The remaining arguments of :func:`refimpl.forward.powder_image.simulate`.
    """

    model: TiltedFlat
    two_theta_rad: F64
    intensity: F64
    fwhm_rad: F64
    mixing: F64
    wavelength_angstrom: float
    peak_counts: float
    background: float | Callable[[F64], F64]
    polarisation: tuple[float, float] | None
    solid_angle: bool
    nodes: int
    seed: int
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def line_counts(self) -> F64:
        """(h,) counts a pixel on the crest of each ring, strongest = ``peak_counts``."""
        # a line's area is what its ring list gives; its height follows from width and shape
        shape = 0.5 * (self.mixing * np.pi + (1.0 - self.mixing) * np.sqrt(np.pi / np.log(2.0)))
        height = self.intensity / (self.fwhm_rad * shape)
        return np.asarray(self.peak_counts * height / np.max(height))

    def background_at(self, two_theta_rad: F64) -> F64:
        """(...) background counts a pixel."""
        if callable(self.background):
            return np.asarray(self.background(two_theta_rad), dtype=np.float64)
        return np.full(np.shape(two_theta_rad), float(self.background))

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, the model too; a background function becomes a table of it."""
        out = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        out["model"] = {
            item.name: getattr(self.model, item.name) for item in dataclasses.fields(self.model)
        }
        if callable(self.background):
            t = np.linspace(0.0, 1.1 * float(self.two_theta_rad.max()), _BACKGROUND_SAMPLES)
            out["background"] = {"two_theta_rad": t, "counts": self.background_at(t)}
        return out


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """A frame as a camera would have stored it, and its truth.

    Attributes
    ----------
    image
        (n_slow, n_fast) in the file's order: int32 counts, :data:`GAP_VALUE` in gaps,
        :data:`BAD_VALUE` in declared bad pixels; or the float64 expectation (NaN there) when
        simulated without noise.
    expectation
        (n_slow, n_fast) expected counts before defects, in the file's order; NaN in gaps.
    mask
        (n_slow, n_fast) True where the detector itself says that there is no good pixel.
    defects
        (n_slow, n_fast) True where the pixel lies (hot, dead, behind the beam stop) and the
        detector does not say so.
    truth
        What it was made from.
    """

    image: NDArray[Any]
    expectation: F64
    mask: NDArray[np.bool_]
    defects: NDArray[np.bool_]
    truth: PowderTruth

    @property
    def model(self) -> TiltedFlat:
        """The true detector."""
        return self.truth.model

    def save(self, path: str | Path) -> Path:
        """Write the frame as TIFF (.tif, .tiff) or HDF5 (.h5, .hdf5), its truth inside as JSON.

        Raises
        ------
        ConfigError
            The name ends in none of these.
        """
        # Files are io's business, one floor up: the writer is found by name, not imported.
        writer = importlib.import_module("refimpl.io.simulated_frame")
        written: Path = writer.save(self, Path(path))
        return written

    def __repr__(self) -> str:
        n_slow, n_fast = self.image.shape
        t = self.truth
        return (
            f"<SimulatedFrame {n_fast} x {n_slow} px, {len(t.two_theta_rad)} rings, "
            f"peak {t.peak_counts:g} counts, Lsd {t.model.lsd_mm:g} mm, seed {t.seed}>"
        )
