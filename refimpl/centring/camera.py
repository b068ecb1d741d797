"""Places in a photograph and in the sample: scale, middle of the picture, side of the pin.

At a rotation ``omega`` a point (x, y, z) of the sample, x along the spindle from the pin to the
tip, stands at ``(s, t) = (x, y cos(omega) + z sin(omega))``: s away from the pin, t across it. The
picture shows s to the right and t downwards where the pin enters from the left, and is turned (not
mirrored) for the other sides. Pixels (x, y) count from the outer corner of the first one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["SIDES", "Camera", "quarter_turned"]

SIDES = ("left", "top", "right", "bottom")
"""Sides that the pin may enter from, each the one before turned clockwise by 90 degrees."""


@dataclass(frozen=True)
class Camera:
    """How a photograph shows the sample.

    Attributes
    ----------
    um_per_px
        Scale.
    middle_px
        (x, y) of the beam in the picture.
    side
        Side that the pin enters from.
    middle_um
        (s, t) of what stands in the beam; (0, 0) counts from there.
    """

    um_per_px: float
    middle_px: tuple[float, float]
    side: str = "left"
    middle_um: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.um_per_px) and self.um_per_px > 0.0):
            raise ConfigError(
                f"um/px = {self.um_per_px:g}: expected a positive number", key="um_per_px"
            )
        if self.side not in SIDES:
            raise ConfigError(
                f"side {self.side!r}: expected one of {', '.join(SIDES)}", key="side", got=self.side
            )
        for name in ("middle_px", "middle_um"):
            values = getattr(self, name)
            if len(values) != 2 or not all(math.isfinite(v) for v in values):
                raise ConfigError(f"{name} {values}: expected two finite numbers", key=name)

    @property
    def turns(self) -> int:
        """Clockwise quarter turns from a pin on the left."""
        return SIDES.index(self.side)

    def to_um(self, xy_px: ArrayLike) -> F64:
        """(..., 2) (s, t) [um] of places (x, y) [px]."""
        away = np.asarray(xy_px, dtype=np.float64) - np.array(self.middle_px)
        return quarter_turned(away, -self.turns) * self.um_per_px + np.array(self.middle_um)

    def to_px(self, st_um: ArrayLike) -> F64:
        """(..., 2) (x, y) [px] of places (s, t) [um]."""
        away = (np.asarray(st_um, dtype=np.float64) - np.array(self.middle_um)) / self.um_per_px
        return quarter_turned(away, self.turns) + np.array(self.middle_px)


def quarter_turned(away: F64, turns: int) -> F64:
    """Turn (..., 2) (x, y), y downwards, clockwise as seen by quarter turns."""
    c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns % 4]
    x, y = away[..., 0], away[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1)
