r"""Far-field spots and images of grains that have a position, an orientation and a strain.

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

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.cell import Cell, b_matrix
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import OmegaScan
from refimpl.forward.nearfield_spots import theory_spots
from refimpl.forward.simulated_frame import file_order
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FarfieldGrains",
    "FarfieldSpots",
    "SpotShape",
    "farfield_images",
    "farfield_spots",
    "full_scan",
]

_TAIL = 4.0  # standard deviations of a spot that are drawn


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
