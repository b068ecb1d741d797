"""Light of a simulated photograph: uneven field, dust on the window, glare, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from refimpl.frames import F64

__all__ = ["Light", "add_spots", "field_of", "noisy", "random_light"]

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Light:
    """Illumination and camera.

    Attributes
    ----------
    level
        Grey level of the clear field.
    slope
        Relative change of the light over the width and over the height of the picture.
    vignette
        Relative loss at the corners.
    waves
        (n, 5) amplitude, periods a picture along x and y, phases of slow waves of the field.
    dust
        (m, 4) dust on the window: place x, y in parts of the picture, radius [px], depth.
    read_noise, shot_noise
        Deviation [grey levels] of a dark pixel; variance per grey level of light.
    blur_px, defocus_um
        Blur of the camera and of the focus, Gaussian deviations, added in squares.
    """

    level: float
    slope: tuple[float, float]
    vignette: float
    waves: F64
    dust: F64
    read_noise: float
    shot_noise: float
    blur_px: float
    defocus_um: float


def random_light(rng: Generator) -> Light:
    """Make an illumination."""
    waves = np.column_stack(
        [rng.uniform(0.0, 0.04, 3), rng.uniform(0.3, 2.5, (3, 2)), rng.uniform(0, 6.283, (3, 2))]
    )
    m = int(rng.poisson(3.0))
    dust = np.column_stack(
        [rng.random((m, 2)), rng.uniform(2.0, 14.0, m), rng.uniform(0.03, 0.3, m)]
    )
    return Light(
        level=float(rng.uniform(85.0, 215.0)),
        slope=(float(rng.uniform(-0.3, 0.3)), float(rng.uniform(-0.3, 0.3))),
        vignette=float(rng.uniform(0.0, 0.3)),
        waves=waves,
        dust=dust,
        read_noise=float(rng.uniform(0.8, 4.0)),
        shot_noise=float(rng.uniform(0.0, 0.06)),
        blur_px=float(rng.uniform(0.5, 1.1)),
        defocus_um=float(rng.uniform(0.3, 2.5)),
    )


@lru_cache(maxsize=8)
def field_of(light: Light, shape: tuple[int, int]) -> F32:
    """(rows, columns) light that falls on the camera without a sample [grey levels]."""
    rows, columns = shape
    y = ((np.arange(rows) + 0.5) / rows - 0.5).astype(np.float32)[:, None]
    x = ((np.arange(columns) + 0.5) / columns - 0.5).astype(np.float32)[None, :]
    field = 1.0 + np.float32(light.slope[0]) * x + np.float32(light.slope[1]) * y
    field -= np.float32(2.0 * light.vignette) * (x**2 + y**2)
    for amplitude, fx, fy, px, py in light.waves:
        along = np.cos(2.0 * math.pi * fx * x + px).astype(np.float32)
        field += np.float32(amplitude) * along * np.cos(2.0 * math.pi * fy * y + py)
    places = light.dust[:, :2] * np.array([columns, rows])
    add_spots(field, places, light.dust[:, 2], -light.dust[:, 3])
    field *= np.float32(light.level)
    field.flags.writeable = False
    return np.asarray(field, dtype=np.float32)


def add_spots(image: F32, xy_px: F64, sigma_px: F64, height: F64) -> None:
    """Add Gaussian spots to an image in place; what lies outside is left out."""
    rows, columns = image.shape
    for (x, y), sigma, top in zip(xy_px, sigma_px, height, strict=True):
        reach = 3.5 * sigma + 1.0
        i0, i1 = max(int(y - reach), 0), min(int(y + reach) + 1, rows)
        j0, j1 = max(int(x - reach), 0), min(int(x + reach) + 1, columns)
        if i0 >= i1 or j0 >= j1:
            continue
        v = np.exp(-0.5 * ((np.arange(i0, i1) + 0.5 - y) / sigma) ** 2)
        u = np.exp(-0.5 * ((np.arange(j0, j1) + 0.5 - x) / sigma) ** 2)
        image[i0:i1, j0:j1] += (top * np.outer(v, u)).astype(np.float32)


def noisy(image: F32, light: Light, rng: Generator) -> NDArray[np.uint8]:
    """Grey levels with the noise of the camera, cut to 0 to 255."""
    values = np.maximum(image, np.float32(0.0))
    values *= np.float32(light.shot_noise)
    values += np.float32(light.read_noise**2)
    np.sqrt(values, out=values)
    values *= rng.standard_normal(image.shape, dtype=np.float32)
    values += image
    np.rint(values, out=values)
    np.clip(values, 0.0, 255.0, out=values)
    return values.astype(np.uint8)
