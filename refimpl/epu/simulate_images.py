"""Pictures of a simulated session: one specimen, looked at where the beam really was.

The specimen is a sum of fixed random plane waves over the stage plane. Two exposures that overlap
show the same specimen, shifted by what separates them, so that their correlation means something.
What has been exposed before is brighter and has blobs: ice gets thinner and bubbles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.epu.simulate_geometry import image_to_stage
from refimpl.epu.simulate_settings import SimulationSettings
from refimpl.frames import F64

__all__ = ["Specimen", "foil_hole_image", "grid_square_image", "specimen_of"]

U8 = NDArray[np.uint8]

_WAVES = 60
_WAVELENGTH_UM = (0.015, 0.15)
_FOIL_WIDTH = 2.2
"""Side of the picture of a foil hole, in hole diameters."""


@dataclass(frozen=True, eq=False)
class Specimen:
    """Plane waves.

    Attributes
    ----------
    wave_um
        (w, 2) [1/um] cycles along the stage axes.
    phase
        (w,) [cycles].
    pixel_um
        (2, 2) steps of the stage per pixel of a thumbnail, x and y of the picture as rows.
    side
        Pixels of a thumbnail.
    """

    wave_um: F64
    phase: F64
    pixel_um: F64
    side: int

    def image(self, centre_um: F64, before: int, rng: np.random.Generator) -> U8:
        """Thumbnail of an exposure.

        Parameters
        ----------
        centre_um
            (2,) where the beam was.
        before
            How often it had been exposed.
        rng
            Of the shot noise, the gain of brightness (5 to 10 % each time) and the blobs.
        """
        axis = np.arange(self.side, dtype=np.float64) - 0.5 * (self.side - 1)
        start = np.exp(2j * np.pi * (self.wave_um @ centre_um + self.phase))
        along, down = (
            np.exp(2j * np.pi * axis[:, None] * (self.wave_um @ step)) for step in self.pixel_um
        )
        picture = ((down * start) @ along.T).real * np.sqrt(2.0 / len(self.phase))
        picture = 120.0 + 18.0 * picture + 9.0 * rng.normal(size=picture.shape)
        for _ in range(before):
            picture *= rng.uniform(1.05, 1.10)
            picture += self._blobs(axis, rng)
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    def _blobs(self, axis: F64, rng: np.random.Generator) -> F64:
        count = int(rng.integers(8, 20))
        x, y = rng.uniform(axis[0], axis[-1], (2, count))
        size = rng.uniform(0.015, 0.05, count) * self.side
        across, down = (np.exp(-0.5 * ((axis - c[:, None]) / size[:, None]) ** 2) for c in (x, y))
        return np.asarray((rng.uniform(40.0, 80.0, count)[:, None] * down).T @ across)


def specimen_of(settings: SimulationSettings, side: int, rng: np.random.Generator) -> Specimen:
    """Draw the plane waves of a session; thumbnails of ``side`` pixels show the whole camera."""
    length = _WAVELENGTH_UM[0] * (_WAVELENGTH_UM[1] / _WAVELENGTH_UM[0]) ** rng.random(_WAVES)
    angle = rng.uniform(0.0, np.pi, _WAVES)
    wave = np.column_stack([np.cos(angle), np.sin(angle)]) / length[:, None]
    pixel = image_to_stage(settings.instrument) * (settings.instrument.camera_px / side)
    return Specimen(wave, rng.random(_WAVES), pixel, side)


def foil_hole_image(
    settings: SimulationSettings, offset_um: F64, side: int, rng: np.random.Generator
) -> U8:
    """Picture of a hole with its dark rim, its middle off the picture's by ``offset_um``."""
    pixel = _FOIL_WIDTH * settings.hole_um / side
    axis = (np.arange(side) - 0.5 * (side - 1)) * pixel
    distance = np.hypot(axis[None, :] - offset_um[0], axis[:, None] - offset_um[1])
    radius = 0.5 * settings.hole_um
    picture = np.where(distance < radius, 150.0, 90.0)
    picture -= 70.0 * np.exp(-0.5 * ((distance - radius) / (0.04 * settings.hole_um)) ** 2)
    picture += 8.0 * rng.normal(size=picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def grid_square_image(
    settings: SimulationSettings, holes_um: F64, centre_um: F64, side: int,
    rng: np.random.Generator,
) -> U8:  # fmt: skip
    """Picture of a square: its exposed holes are bright discs, the bars around it are dark."""
    from scipy.spatial import cKDTree

    width = 2.4 * settings.square_radius_um
    axis = (np.arange(side) - 0.5 * (side - 1)) * width / side
    at = np.stack(np.meshgrid(axis, axis), axis=-1)
    distance = cKDTree(holes_um - centre_um).query(at.reshape(-1, 2))[0].reshape(side, side)
    picture = np.where(distance < 0.5 * settings.hole_um, 160.0, 110.0)
    picture[np.abs(at).max(axis=-1) > 1.1 * settings.square_radius_um] = 10.0
    picture += 6.0 * rng.normal(size=picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
