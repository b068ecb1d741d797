"""Calibrations that are given: a matrix, or k with a rotation and a mirror."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from refimpl.epu.calibration import Calibration
from refimpl.errors import ConfigError

__all__ = ["affine", "given"]


def affine(k_um: float, rotation_rad: float = 0.0, *, mirror: bool = False) -> Calibration:
    """Scale, turn, and mirror if asked.

    Parameters
    ----------
    k_um
        Micrometres for a beam shift of one; k of the published script.
    rotation_rad
        Anticlockwise from beam shift to stage.
    mirror
        Reverse y of the beam shift first.

    Raises
    ------
    ConfigError
        k is not positive, or an angle not a number.
    """
    if not (math.isfinite(k_um) and k_um > 0.0):
        raise ConfigError(f"k {k_um:g}: expected a positive number", key="k", got=k_um)
    if not math.isfinite(rotation_rad):
        raise ConfigError(
            f"rotation {rotation_rad:g}: expected an angle", key="rotation", got=rotation_rad
        )
    c, s = math.cos(rotation_rad), math.sin(rotation_rad)
    turn = np.array([[c, s], [-s, c]])
    if mirror:
        turn[1] *= -1.0
    is_scalar = rotation_rad == 0.0 and not mirror
    return Calibration("scalar" if is_scalar else "affine", k_um * turn, notes=("as given",))


def given(matrix_um: ArrayLike) -> Calibration:
    """Calibration of a (2, 2) matrix [um], ``position = stage + beam_shift @ matrix``.

    Raises
    ------
    ConfigError
        It is not 2 x 2, not finite, or has no inverse.
    """
    return Calibration("affine", np.asarray(matrix_um, dtype=np.float64), notes=("as given",))
