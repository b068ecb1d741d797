r"""Far-field spots of grains that have a position, an orientation and a strain.

A grain's lattice is :math:`g = F^{-T} U B\,hkl` with :math:`F = 1 + \varepsilon` (strain tensor in
the sample frame; small, no rotation) or :math:`U B(cell)\,hkl` (a cell of its own); the Bragg angle
follows from its own length, :math:`\sin\theta = \lambda|g|/2`, and omega from the solver of
:mod:`~refimpl.forward.nearfield_spots`. The ray starts where the grain has been turned to,
:math:`p = R_y(-W) R_z(\omega)\,x`, and meets the untilted detector at

.. math:: y = p_y + y_l (1 - p_x/L), \qquad z = p_z + z_l (1 - p_x/L)

Vectors are in the MIDAS frame: x along the beam, z up and the rotation axis, y = z x x.
Source: near-field specification 1.0 and 1.7; J. V. Bernier et al., J. Strain Anal. 46 (2011) 527.
Not modelled: structure factors (give intensities), absorption, grains larger than their spots;
on a tilted detector a grain off the axis is seen as from the origin (an error of tilt x height x
offset / distance, below 1 um for 0.5 deg, 200 mm, 0.5 mm at 1 m).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.cell import Cell, b_matrix
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import OmegaScan
from refimpl.forward.nearfield_spots import theory_spots
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FarfieldGrains",
    "FarfieldSpots",
    "farfield_spots",
    "full_scan",
]


def full_scan(start_rad: float, step_rad: float, n_frames: int, **others: Any) -> OmegaScan:
    """Scan without limits on where a spot may be; `others` are fields of the scan."""
    everywhere = {"ranges_rad": [[-4.0, 4.0]], "boxes_mm": [[-1e9, 1e9, -1e9, 1e9]]}
    return OmegaScan(start_rad, step_rad, n_frames, **(everywhere | others))


@dataclass(frozen=True, eq=False)
class FarfieldGrains:
    """Grains of one phase.

    Attributes
    ----------
    orientations
        (g, 3, 3) crystal to sample.
    positions_mm
        (g, 3) centres in the sample at omega = 0.
    strain
        (g, 3, 3) symmetric tensors in the sample frame, or None for none.
    cells
        (g, 6) a cell for each grain [Å, degrees] instead of a strain, or None.
    """

    orientations: F64
    positions_mm: F64
    strain: F64 | None = None
    cells: F64 | None = None

    def __post_init__(self) -> None:
        n = len(self.orientations)
        shapes: dict[str, tuple[int, ...]] = {
            "orientations": (n, 3, 3), "positions_mm": (n, 3), "strain": (n, 3, 3),
            "cells": (n, 6),
        }  # fmt: skip
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is None:
                continue
            array = np.array(value, dtype=np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise ConfigError(
                    f"FarfieldGrains: {name} of shape {array.shape}: expected finite numbers of "
                    f"shape {shape}"
                )
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.strain is not None and self.cells is not None:
            raise ConfigError("FarfieldGrains: strain and cells: give one of the two")
        if self.strain is not None and (self.strain != self.strain.transpose(0, 2, 1)).any():
            raise ConfigError("FarfieldGrains: strain: expected symmetric tensors")

    def __len__(self) -> int:
        return len(self.orientations)

    def lattice(self, grain: int, cell: Cell) -> F64:
        """(3, 3) F^-T U B of one grain; columns a*, b*, c* in the sample [1/Å]."""
        own = cell if self.cells is None else tuple(float(v) for v in self.cells[grain])
        lattice = self.orientations[grain] @ b_matrix(own)
        if self.strain is None:
            return np.asarray(lattice)
        return np.asarray(np.linalg.solve(np.eye(3) + self.strain[grain], lattice))


@dataclass(frozen=True, eq=False)
class FarfieldSpots:
    """One row a spot, by grain, reflection and root; every field (s,).

    Attributes
    ----------
    grain, hkl_row
        Which grain, and which row of the list of reflections.
    omega_rad
        In (-pi, pi].
    two_theta_rad, eta_rad
        Of the diffracted ray; eta is 0 at +z and +pi/2 at -y (spec 1.0).
    y_mm, z_mm
        Where the ray meets the untilted detector, from the beam centre.
    """

    grain: NDArray[np.int32]
    hkl_row: NDArray[np.int32]
    omega_rad: F64
    two_theta_rad: F64
    eta_rad: F64
    y_mm: F64
    z_mm: F64

    def __len__(self) -> int:
        return len(self.grain)

    def pixels(self, model: TiltedFlat) -> tuple[F64, F64]:
        """(s,) fast, slow [px] on a far-field detector, model frame; NaN beyond its plane."""
        return model.pixel_position(
            np.hypot(self.y_mm, self.z_mm), np.arctan2(-self.y_mm, self.z_mm)
        )

    def table(self) -> pd.DataFrame:
        """One row a spot, columns named as the fields."""
        import pandas as pd

        return pd.DataFrame({f.name: getattr(self, f.name) for f in fields(self)})


def farfield_spots(
    grains: FarfieldGrains,
    hkl: I64,
    cell: Cell,
    wavelength_angstrom: float,
    scan: OmegaScan,
    lsd_mm: float,
    *,
    backend: str | None = None,
) -> FarfieldSpots:
    """Spots of every grain on an untilted detector.

    Parameters
    ----------
    grains
        The grains.
    hkl
        (h, 3) Miller indices, Friedel mates and equivalents included.
    cell
        Reference cell, that of grains without one of their own.
    wavelength_angstrom, lsd_mm
        Wavelength and distance, positive.
    scan
        Which omega and which places count (as seen from the origin), pole and wedge;
        :func:`full_scan` counts all.

    Raises
    ------
    ConfigError
        A wavelength or a distance that is not positive, Miller indices of another shape.

    Notes
    -----
    Reflections with 2 theta of 90 degrees and more, and those that a strained lattice cannot
    diffract, are left out.
    """
    if not (0.0 < wavelength_angstrom < np.inf and 0.0 < lsd_mm < np.inf):
        raise ConfigError(
            f"wavelength_angstrom = {wavelength_angstrom}, lsd_mm = {lsd_mm}: expected positive"
        )
    indices = np.asarray(hkl, dtype=np.float64)
    if indices.ndim != 2 or indices.shape[1] != 3:
        raise ConfigError(f"hkl of shape {indices.shape}: expected (h, 3) Miller indices")
    parts = [np.zeros((0, 7))]
    for grain in range(len(grains)):
        g = indices @ grains.lattice(grain, cell).T
        sine = 0.5 * wavelength_angstrom * np.sqrt((g * g).sum(axis=1))
        theta = np.arcsin(np.where(sine < np.sqrt(0.5), sine, np.nan))
        yl, zl, omega, _, row = theory_spots(
            np.eye(3)[None], g, theta, scan.ranges_rad, scan.boxes_mm, scan.exclude_pole_rad,
            scan.wedge_rad, scan.published_wedge, lsd_mm,
            backend=backend, threads=1,  # type: ignore[call-arg]
        )  # fmt: skip
        x, py, pz = _turned(grains.positions_mm[grain], omega, scan)
        rest = 1.0 - x / lsd_mm
        parts.append(
            np.stack(
                [
                    np.full(len(row), grain), row, omega, 2.0 * theta[row],
                    np.arctan2(0.0 - yl, zl), py + yl * rest, pz + zl * rest,
                ],
                axis=-1,
            )
        )  # fmt: skip
    columns = np.ascontiguousarray(np.concatenate(parts).T)
    return FarfieldSpots(columns[0].astype(np.int32), columns[1].astype(np.int32), *columns[2:])


def _turned(place: F64, omega: F64, scan: OmegaScan) -> tuple[F64, F64, F64]:
    """Lab position of a point of the sample at each omega, R_y(-W) R_z(omega) x."""
    c, s = np.cos(omega), np.sin(omega)
    x, y = place[0] * c - place[1] * s, place[0] * s + place[1] * c
    lean = 0.0 if scan.published_wedge else scan.wedge_rad
    cw, sw = np.cos(lean), np.sin(lean)
    return cw * x - sw * place[2], y, sw * x + cw * place[2]
