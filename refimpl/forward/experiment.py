"""What one experiment is made of: beam, detector, goniometer, scan, crystal; frozen.

Vectors are those of the file (DIALS: the beam comes from ``direction``, +Z towards the source);
everything that predicts takes them as they are. An experiment without a goniometer or a scan is a
still. Models that experiments share in a file are the same object here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import GeometryError
from refimpl.frames import F64
from refimpl.rotations import expmap
from refimpl.units import DEG

__all__ = ["Beam", "Experiment", "Goniometer", "Scan"]

_EYE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def _frozen(owner: Any, name: str, shape: tuple[int, ...]) -> F64:
    """Make a field a read-only float array of a shape."""
    array = np.array(getattr(owner, name), dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise GeometryError(
            f"{type(owner).__name__.lower()}: {name} {array.tolist()}: expected finite numbers of "
            f"shape {shape}"
        )
    array.flags.writeable = False
    object.__setattr__(owner, name, array)
    return array


@dataclass(frozen=True, eq=False)
class Beam:
    """Direction and wavelength.

    Attributes
    ----------
    direction
        (3,) unit vector from the sample to the source.
    wavelength_angstrom
        Positive.
    extra
        The beam's entry as the file has it (polarisation, divergence, flux), for the writer.
    """

    direction: F64
    wavelength_angstrom: float
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        v = _frozen(self, "direction", (3,))
        if not abs(float(v @ v) - 1.0) < 1e-6:
            raise GeometryError(f"beam: direction {v.tolist()} is not a unit vector")
        if not 0.0 < self.wavelength_angstrom < np.inf:
            raise GeometryError(f"beam: wavelength {self.wavelength_angstrom} Å is not positive")

    @property
    def s0(self) -> F64:
        """(3,) beam vector from source to sample [1/Å], of length 1 / wavelength."""
        unit = self.direction / np.sqrt(self.direction @ self.direction)
        return np.asarray(-unit / self.wavelength_angstrom)

    def with_s0(self, s0: F64) -> Beam:
        """Same beam along another vector (3,) [1/Å]."""
        size = float(np.sqrt(s0 @ s0))
        return replace(self, direction=-np.asarray(s0) / size, wavelength_angstrom=1.0 / size)


@dataclass(frozen=True, eq=False)
class Goniometer:
    """Rotation axis between a fixed rotation F (crystal side) and a setting S (lab side).

    A reciprocal lattice point is at ``S R(axis, phi) F A h`` in the lab.

    Attributes
    ----------
    rotation_axis
        (3,) unit vector, before the setting: the axis in the lab is ``setting @ rotation_axis``.
    fixed, setting
        (3, 3) rotations.
    axes, angles_deg, names, scan_axis
        Of a goniometer with several axes, counted from the crystal, else empty and None.
    extra
        The goniometer's entry as the file has it, for the writer.
    """

    rotation_axis: F64
    fixed: F64 = field(default_factory=lambda: np.array(_EYE))
    setting: F64 = field(default_factory=lambda: np.array(_EYE))
    axes: tuple[tuple[float, float, float], ...] = ()
    angles_deg: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    scan_axis: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        v = _frozen(self, "rotation_axis", (3,))
        if not abs(float(v @ v) - 1.0) < 1e-6:
            raise GeometryError(f"goniometer: rotation_axis {v.tolist()} is not a unit vector")
        for name in ("fixed", "setting"):
            m = _frozen(self, name, (3, 3))
            if not (np.abs(m @ m.T - np.eye(3)).max() < 1e-6 and np.linalg.det(m) > 0.0):
                raise GeometryError(f"goniometer: {name} {m.tolist()} is not a rotation")

    @classmethod
    def multi_axis(
        cls,
        axes: Sequence[Sequence[float]],
        angles_deg: Sequence[float],
        names: Sequence[str],
        scan_axis: int,
        extra: Mapping[str, Any] | None = None,
    ) -> Goniometer:
        """Goniometer of several axes at dial angles; the scan turns about ``axes[scan_axis]``.

        F is the product of the rotations on the crystal's side of the scan axis, the first next
        to the crystal; S that of the rotations on the other side.

        Raises
        ------
        GeometryError
            Lists of different lengths, a scan axis that is not there.
        """
        n = len(axes)
        if not (len(angles_deg) == len(names) == n and 0 <= scan_axis < n):
            raise GeometryError(
                f"goniometer: {n} axes, {len(angles_deg)} angles, {len(names)} names and "
                f"scan_axis {scan_axis} do not fit"
            )
        turns = [
            expmap(np.asarray(axis, dtype=np.float64) * (angle * DEG))
            for axis, angle in zip(axes, angles_deg, strict=True)
        ]
        fixed, setting = np.eye(3), np.eye(3)
        for turn in turns[:scan_axis]:
            fixed = turn @ fixed
        for turn in turns[scan_axis + 1 :]:
            setting = turn @ setting
        triples = tuple((float(a), float(b), float(c)) for a, b, c in axes)
        return cls(
            np.asarray(axes[scan_axis]),
            fixed,
            setting,
            triples,
            tuple(float(a) for a in angles_deg),
            tuple(names),
            scan_axis,
            extra or {},
        )


@dataclass(frozen=True)
class Scan:
    """Images and the rotation during each.

    Attributes
    ----------
    image_range
        Numbers of the first and the last image.
    oscillation_deg
        Angle at the start of the first image, and width of an image.
    extra
        The scan's entry as the file has it (exposure times, epochs), for the writer.
    """

    image_range: tuple[int, int]
    oscillation_deg: tuple[float, float]
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.image_range[1] < self.image_range[0]:
            raise GeometryError(f"scan: image_range {self.image_range} is empty")

    @property
    def n_images(self) -> int:
        """Number of images."""
        return self.image_range[1] - self.image_range[0] + 1

    @property
    def array_start(self) -> int:
        """Frame coordinate z at the start of the first image: its number less 1."""
        return self.image_range[0] - 1

    @property
    def width_rad(self) -> float:
        """Rotation during one image [rad]; 0 for stills."""
        return self.oscillation_deg[1] * DEG

    def phi_of_frame(self, z: F64 | float) -> F64:
        """Rotation angle [rad] at frame coordinates (any shape); whole numbers are boundaries."""
        start, width = self.oscillation_deg
        return np.asarray((start + (np.asarray(z) - self.array_start) * width) * DEG)

    def frame_of_phi(self, phi_rad: F64 | float) -> F64:
        """Frame coordinates of rotation angles [rad], the inverse of :meth:`phi_of_frame`.

        Raises
        ------
        GeometryError
            The images have no width.
        """
        start, width = self.oscillation_deg
        if width == 0.0:
            raise GeometryError("scan: a still has no frame for an angle (oscillation width 0)")
        return np.asarray((np.asarray(phi_rad) / DEG - start) / width + self.array_start)


@dataclass(frozen=True, eq=False)
class Experiment:
    """One crystal on one detector in one beam, still or rotated.

    Attributes
    ----------
    identifier
        As in the file, may be empty.
    beam, detector, goniometer, scan, crystal
        None where the file has no such model.
    imageset
        Its entry in the file; empty without images.
    extra
        Other keys of the experiment; models that are not read (profile, scaling_model) as entries.
    document
        Keys of the file itself (history), shared by all experiments read from it.
    """

    identifier: str = ""
    beam: Beam | None = None
    detector: Hierarchy | None = None
    goniometer: Goniometer | None = None
    scan: Scan | None = None
    crystal: Crystal | None = None
    imageset: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_still(self) -> bool:
        """Whether nothing rotates: no goniometer, no scan, or images without width."""
        return self.goniometer is None or self.scan is None or self.scan.oscillation_deg[1] == 0.0
