"""How a simulated camera sees the sample: zoom, rotation of the spindle, side of the pin.

Sample frame [um]: x along the spindle from the pin to the tip; y and z across it. At ``omega`` a
point stands at ``(s, t) = (x, y cos(omega) + z sin(omega))``: s away from the pin, t across. The
picture shows s to the right and t downwards where the pin enters from the left, and is turned (not
mirrored) for the other sides. Picture coordinates (x, y) [px] count from the outer corner of the
first pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refimpl.centring.camera import SIDES, quarter_turned
from refimpl.centring.crops import CropRule
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["SHAPE", "SIDES", "ZOOMS", "View", "crop_rule", "px_per_um", "triple"]

SHAPE = (480, 600)
"""Rows and columns of a picture."""

ZOOMS = (0.5, 10.0)
"""Zooms that the camera has."""


def px_per_um(zoom: float) -> float:
    """Magnification, linear in the zoom: 0.5 px/um at zoom 1 and 2 px/um at zoom 7.

    Raises
    ------
    ConfigError
        A zoom that the camera does not have.
    """
    if not ZOOMS[0] <= zoom <= ZOOMS[1]:
        raise ConfigError(
            f"zoom {zoom:g}: expected {ZOOMS[0]:g} to {ZOOMS[1]:g}", key="zoom", got=zoom
        )
    return 0.25 + 0.25 * zoom


def crop_rule(edge_um: float = 240.0) -> CropRule:
    """Crop that is as wide in the sample at every zoom: linear in the zoom, as in the thesis."""
    return CropRule(0.25 * edge_um, 0.25 * edge_um)


@dataclass(frozen=True)
class View:
    """One look at the sample.

    Attributes
    ----------
    zoom
        Zoom of the camera.
    omega_rad
        Rotation of the spindle.
    at_um
        Point of the sample (x, y, z) that stands in the middle of the picture.
    side
        Side that the pin enters from.
    shape
        Rows and columns of the picture.
    """

    zoom: float
    omega_rad: float
    at_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    side: str = "left"
    shape: tuple[int, int] = SHAPE

    def __post_init__(self) -> None:
        px_per_um(self.zoom)
        if not math.isfinite(self.omega_rad):
            raise ConfigError(f"omega {self.omega_rad}: expected a number", key="omega_rad")
        if self.side not in SIDES:
            raise ConfigError(
                f"side {self.side!r}: expected one of {', '.join(SIDES)}", key="side", got=self.side
            )
        if min(self.shape) < 1:
            raise ConfigError(f"shape {self.shape}: expected 1 px or more", key="shape")

    @property
    def scale(self) -> float:
        """Magnification [px/um]."""
        return px_per_um(self.zoom)

    @property
    def turns(self) -> int:
        """Clockwise quarter turns from a pin on the left."""
        return SIDES.index(self.side)

    @property
    def upright_shape(self) -> tuple[int, int]:
        """Rows and columns before the picture is turned."""
        return (self.shape[1], self.shape[0]) if self.turns % 2 else self.shape

    @property
    def middle_um(self) -> F64:
        """(2,) point (s, t) in the middle of the picture."""
        return self.across(np.asarray(self.at_um, dtype=np.float64))

    def across(self, points_um: ArrayLike) -> F64:
        """(..., 2) (s, t) [um] of points (..., 3) of the sample [um]."""
        p = np.asarray(points_um, dtype=np.float64)
        c, s = math.cos(self.omega_rad), math.sin(self.omega_rad)
        return np.stack([p[..., 0], c * p[..., 1] + s * p[..., 2]], axis=-1)

    def to_px(self, st_um: ArrayLike) -> F64:
        """(..., 2) place (x, y) in the picture [px] of (s, t) [um]."""
        away = (np.asarray(st_um, dtype=np.float64) - self.middle_um) * self.scale
        rows, columns = self.shape
        return quarter_turned(away, self.turns) + np.array([columns / 2.0, rows / 2.0])

    def to_um(self, xy_px: ArrayLike) -> F64:
        """(..., 2) (s, t) [um] of places (x, y) in the picture [px]."""
        rows, columns = self.shape
        away = np.asarray(xy_px, dtype=np.float64) - np.array([columns / 2.0, rows / 2.0])
        return quarter_turned(away, -self.turns) / self.scale + self.middle_um

    def project(self, points_um: ArrayLike) -> F64:
        """(..., 2) place (x, y) in the picture [px] of points (..., 3) of the sample [um]."""
        return self.to_px(self.across(points_um))

    def pixel_centres_um(self) -> F64:
        """(rows, columns, 2) (s, t) [um] of the centres of all pixels."""
        rows, columns = self.shape
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        return self.to_um(np.stack([x, y], axis=-1))


def triple(at_um: Sequence[float]) -> tuple[float, float, float]:
    """Check a point of the sample.

    Raises
    ------
    ConfigError
        Not three finite numbers.
    """
    values = tuple(float(v) for v in at_um)
    if len(values) != 3 or not all(math.isfinite(v) for v in values):
        raise ConfigError(f"at_um {values}: expected three numbers x, y, z [um]", key="at_um")
    return (values[0], values[1], values[2])
