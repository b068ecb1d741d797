"""What a near-field experiment is made of: detector, scan, reflections and voxels; frozen.

Vectors are in the MIDAS near-field frame (spec 1.0): x along the beam, z up and the rotation axis,
y = z x x; the origin lies on the axis. :mod:`refimpl.frames` has the permutation to the lab frame
for what leaves this system. A pixel is (Y, Z) = (y, z) / pixel size + beam centre, floored; a raw
image shows it at row NZ - 1 - Z, column NY - 1 - Y. Frame f covers omega from start + f step to
start + (f + 1) step. Files give micrometres and degrees: whoever reads them converts, once.
Not modelled: detectors at different tilts, strain of a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.hkls_csv import HklTable
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_fields import field_array, refusal
from refimpl.forward.nearfield_voxels import Voxels, VoxelShape
from refimpl.frames import F64
from refimpl.rotations import rx, ry, rz

__all__ = [
    "NearfieldDetector",
    "OmegaScan",
    "Reflections",
    "Setup",
    "VoxelShape",
    "Voxels",
]

I32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class NearfieldDetector:
    """One detector moved along the beam to several distances, with the same tilts at each.

    Attributes
    ----------
    lsd_mm
        (d,) distances from the rotation axis, positive.
    beam_centre_px
        (d, 2) where the beam meets the detector [Y, Z].
    tilts_rad
        (3,) tx, ty, tz.
    pixel_size_mm
        Positive; pixels are square.
    shape_px
        (NY, NZ) numbers of pixels.
    """

    lsd_mm: F64
    beam_centre_px: F64
    tilts_rad: F64
    pixel_size_mm: float
    shape_px: tuple[int, int]

    def __post_init__(self) -> None:
        lsd = field_array(self, "lsd_mm", (None,))
        if not len(lsd) or not (lsd > 0.0).all():
            raise refusal(self, "lsd_mm", lsd.tolist(), "expected one or more positive distances")
        field_array(self, "beam_centre_px", (len(lsd), 2))
        field_array(self, "tilts_rad", (3,))
        if not 0.0 < self.pixel_size_mm < np.inf:
            raise refusal(self, "pixel_size_mm", self.pixel_size_mm, "expected a positive size")
        shape = tuple(int(n) for n in self.shape_px)
        if len(shape) != 2 or min(shape) < 1:
            raise refusal(self, "shape_px", self.shape_px, "expected two positive numbers (NY, NZ)")
        object.__setattr__(self, "shape_px", shape)
        object.__setattr__(self, "pixel_size_mm", float(self.pixel_size_mm))

    @property
    def n_distances(self) -> int:
        """Number of distances."""
        return len(self.lsd_mm)

    @property
    def rotation(self) -> F64:
        """(3, 3) tilt of the detector, R_z(tz) R_y(ty) R_x(tx) (spec 1.9)."""
        tx, ty, tz = self.tilts_rad
        return np.asarray(rz(tz) @ ry(ty) @ rx(tx))

    @property
    def foot_mm(self) -> F64:
        """(3,) P0 = R (-Lsd0, 0, 0) of spec 1.9: the first detector's origin, from itself."""
        return np.asarray(self.rotation @ np.array([-self.lsd_mm[0], 0.0, 0.0]))


@dataclass(frozen=True, eq=False)
class OmegaScan:
    """The rotation, its frames, and which spots of it are looked for.

    Attributes
    ----------
    start_rad, step_rad
        Leading edge of frame 0 and width of a frame; the step may be negative, not zero.
    n_frames
        Number of frames.
    ranges_rad
        (k, 2) omega intervals that count (open); none: no spots.
    boxes_mm
        (k, 4) ylo, yhi, zlo, zhi of the nominal spot at the first distance (open); box i belongs
        to range i.
    exclude_pole_rad
        Spots whose eta is nearer than this to the rotation axis are left out.
    wedge_rad
        The rotation axis leans by this in the beam-axis plane: G_lab = R_y(-W) R_z(omega) G.
    published_wedge
        Take the wedge as MIDAS C does (spec 1.9), for comparison of files only.
    """

    start_rad: float
    step_rad: float
    n_frames: int
    ranges_rad: F64
    boxes_mm: F64
    exclude_pole_rad: float = 0.0
    wedge_rad: float = 0.0
    published_wedge: bool = False

    def __post_init__(self) -> None:
        for name in ("start_rad", "step_rad", "exclude_pole_rad", "wedge_rad"):
            value = float(getattr(self, name))
            if not np.isfinite(value):
                raise refusal(self, name, value, "expected a finite number")
            object.__setattr__(self, name, value)
        if self.step_rad == 0.0:
            raise refusal(self, "step_rad", self.step_rad, "expected a step other than zero")
        if self.n_frames < 1:
            raise refusal(self, "n_frames", self.n_frames, "expected one frame or more")
        if not 0.0 <= self.exclude_pole_rad < np.pi / 2.0:
            raise refusal(self, "exclude_pole_rad", self.exclude_pole_rad, "expected 0 to pi/2")
        if not abs(self.wedge_rad) < np.pi / 2.0:
            raise refusal(self, "wedge_rad", self.wedge_rad, "expected less than pi/2")
        ranges = field_array(self, "ranges_rad", (None, 2))
        boxes = field_array(self, "boxes_mm", (len(ranges), 4))
        if not (ranges[:, 0] < ranges[:, 1]).all():
            raise refusal(self, "ranges_rad", ranges.tolist(), "expected lower, then upper limits")
        if not ((boxes[:, 0] < boxes[:, 1]) & (boxes[:, 2] < boxes[:, 3])).all():
            raise refusal(self, "boxes_mm", boxes.tolist(), "expected ylo < yhi and zlo < zhi")

    def frames(self, omega_rad: F64) -> NDArray[np.int64]:
        """Frame of each angle, floor((omega - start) / step); it may lie outside the scan."""
        omega = np.asarray(omega_rad, dtype=np.float64)
        return np.floor((omega - self.start_rad) / self.step_rad).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Reflections:
    """Reciprocal vectors of every reflection that may be seen.

    Attributes
    ----------
    hkl
        (m, 3) int32 Miller indices.
    g
        (m, 3) B hkl in the crystal's frame, without 2 pi [1/angstrom].
    theta_rad
        (m,) Bragg angles.
    ring
        (m,) int32 number of the ring, from 1.
    """

    hkl: I32
    g: F64
    theta_rad: F64
    ring: I32

    def __post_init__(self) -> None:
        m = len(field_array(self, "hkl", (None, 3), np.int32))
        field_array(self, "g", (m, 3))
        theta = field_array(self, "theta_rad", (m,))
        field_array(self, "ring", (m,), np.int32)
        if not ((theta > 0.0) & (theta < np.pi / 2.0)).all():
            raise refusal(
                self, "theta_rad", f"{theta.min()} to {theta.max()}", "expected 0 to pi/2"
            )

    def __len__(self) -> int:
        return len(self.ring)

    @classmethod
    def of_table(cls, table: HklTable) -> Reflections:
        """Reflections of an ``hkls.csv``."""
        return cls(
            table.hkl.astype(np.int32), table.g, table.theta_rad, table.ring.astype(np.int32)
        )


@dataclass(frozen=True, eq=False)
class Setup:
    """A near-field experiment: where things are and which reflections are looked for.

    Attributes
    ----------
    detector, scan, reflections
        See there.
    wavelength_angstrom
        Positive.
    space_group
        Number, 1 to 230.
    cell
        a, b, c [angstrom], alpha, beta, gamma [degrees, as cells are given everywhere].
    """

    detector: NearfieldDetector
    scan: OmegaScan
    reflections: Reflections
    wavelength_angstrom: float
    space_group: int
    cell: tuple[float, float, float, float, float, float]

    def __post_init__(self) -> None:
        if not 0.0 < self.wavelength_angstrom < np.inf:
            raise refusal(self, "wavelength_angstrom", self.wavelength_angstrom, "expected > 0")
        if not 1 <= self.space_group <= 230:
            raise refusal(self, "space_group", self.space_group, "expected 1 to 230")
        cell = tuple(float(v) for v in self.cell)
        if len(cell) != 6 or not all(0.0 < v < np.inf for v in cell):
            raise refusal(
                self, "cell", cell, "expected six positive numbers a b c alpha beta gamma"
            )
        object.__setattr__(self, "cell", cell)

    def changed(self, **values: Any) -> Setup:
        """Same setup with other values, named as fields of it, of its detector or of its scan.

        Raises
        ------
        ConfigError
            A name that none of them has.
        """
        own, detector, scan = (
            {f.name for f in fields(c)} for c in (Setup, NearfieldDetector, OmegaScan)
        )
        for name in values:
            if name not in own | detector | scan:
                raise ConfigError(f"Setup has no {name!r}", key=name)
        top = {k: v for k, v in values.items() if k in own}
        new = replace(self, **top)
        if parts := {k: v for k, v in values.items() if k in detector}:
            new = replace(new, detector=replace(new.detector, **parts))
        if parts := {k: v for k, v in values.items() if k in scan}:
            new = replace(new, scan=replace(new.scan, **parts))
        return new
