"""Images of far-field spots: Gaussians in both directions of the detector and in omega.

Each spot's counts are integrated over the pixels and frames that it covers, to four standard
deviations; spots meet the detector with its tilts and distortion. Not modelled: structure factors
(give intensities), Lorentz and polarisation factors, the shape of grains. Spots come from
:func:`refimpl.forward.farfield.farfield_spots`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.forward.farfield import FarfieldSpots
from refimpl.forward.nearfield_setup import OmegaScan
from refimpl.forward.simulated_frame import file_order
from refimpl.frames import F64

__all__ = ["SpotShape", "farfield_images"]

_TAIL = 4.0  # standard deviations of a spot that are drawn


@dataclass(frozen=True)
class SpotShape:
    """How a spot looks, and what the detector adds.

    Attributes
    ----------
    counts
        Expected counts of a whole spot of relative intensity 1.
    sigma_px, sigma_omega_rad
        Standard deviations in the image (both directions) and in omega.
    background
        Expected counts of every pixel.
    noise, seed
        Poisson noise, each frame with its own stream.
    """

    counts: float = 1e4
    sigma_px: float = 1.2
    sigma_omega_rad: float = 2e-3
    background: float = 10.0
    noise: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("counts", "background"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise ConfigError(f"SpotShape: {name} = {getattr(self, name)}: expected 0 or more")
        for name in ("sigma_px", "sigma_omega_rad"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise ConfigError(f"SpotShape: {name} = {getattr(self, name)}: expected positive")


def _share(centre: F64, sigma: float, edges: F64) -> F64:
    """(s, n) parts of Gaussians between n + 1 edges (s, n + 1)."""
    from scipy.special import ndtr

    return np.asarray(np.abs(np.diff(ndtr((edges - centre[:, None]) / sigma), axis=1)))


def _draw(image: F64, fast: float, slow: float, counts: float, sigma: float) -> None:
    """Add one spot, integrated over each pixel."""
    reach = _TAIL * sigma
    box = []
    for at, size in ((slow, image.shape[0]), (fast, image.shape[1])):
        lo, hi = max(int(at - reach), 0), min(int(np.ceil(at + reach)), size)
        if lo >= hi:
            return
        edges = np.arange(lo, hi + 1, dtype=np.float64)[None]
        box.append((slice(lo, hi), _share(np.array([at]), sigma, edges)[0]))
    (rows, down), (columns, across) = box
    image[rows, columns] += counts * down[:, None] * across


def farfield_images(
    spots: FarfieldSpots,
    model: TiltedFlat,
    scan: OmegaScan,
    shape: SpotShape | None = None,
    *,
    intensity: F64 | None = None,
) -> Iterator[NDArray[np.uint16]]:
    """Images of a scan in the file's pixel order, one at a time; counts above 65535 are cut.

    Parameters
    ----------
    spots
        Of :func:`farfield_spots` at the model's own distance.
    model
        The detector, tilts and distortion included.
    scan
        The frames.
    shape
        See :class:`SpotShape`.
    intensity
        (h,) relative intensity of each row of the reflections; 1 by default.

    Raises
    ------
    ConfigError
        Fewer intensities than reflections.
    """
    shape = SpotShape() if shape is None else shape
    need = int(spots.hkl_row.max(initial=-1)) + 1
    weight = np.ones(need) if intensity is None else np.asarray(intensity, dtype=np.float64)
    if len(weight) < need:
        raise ConfigError(f"intensity: {len(weight)} numbers: expected one for {need} reflections")
    return _images(spots, model, scan, shape, shape.counts * weight[spots.hkl_row])


def _images(
    spots: FarfieldSpots, model: TiltedFlat, scan: OmegaScan, shape: SpotShape, counts: F64
) -> Iterator[NDArray[np.uint16]]:
    fast, slow = spots.pixels(model)
    seen = np.isfinite(fast) & np.isfinite(slow)
    for frame in range(scan.n_frames):
        edges = scan.start_rad + scan.step_rad * np.array([frame, frame + 1.0])
        # a spot half a turn from the frame may be as near the other way round
        turns = np.rint((edges.mean() - spots.omega_rad) / (2.0 * np.pi))
        omega = spots.omega_rad + 2.0 * np.pi * turns
        near = np.abs(omega - edges.mean()) < 0.5 * abs(scan.step_rad) + (
            _TAIL * shape.sigma_omega_rad
        )
        rows = np.flatnonzero(near & seen)
        share = _share(omega[rows], shape.sigma_omega_rad, np.broadcast_to(edges, (len(rows), 2)))
        image = np.full(model.shape, shape.background)
        for row, part in zip(rows, share[:, 0], strict=True):
            _draw(image, float(fast[row]), float(slow[row]), counts[row] * part, shape.sigma_px)
        if shape.noise:
            image = np.random.default_rng([shape.seed, frame]).poisson(image).astype(np.float64)
        stored = np.clip(np.rint(image), 0.0, 65535.0).astype(np.uint16)
        yield file_order(stored, model.image_transform)
