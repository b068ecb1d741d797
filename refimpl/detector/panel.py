"""Panels as vectors in the lab frame, and detectors as tuples of them.

This is what the rest of the code sees, whatever model a geometry came from: where each pixel is,
plus the distortion that is left when every panel lies flat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from refimpl.detector import distortion
from refimpl.errors import GeometryError
from refimpl.frames import F64, eta_of_lab

__all__ = ["Detector", "Panel", "PolarDistortion"]

ORTHOGONAL = 1e-6
"""Largest |cos| allowed between the axes of a panel."""


@dataclass(frozen=True)
class Panel:
    """A flat rectangle of pixels.

    Attributes
    ----------
    name
        Unique within a detector.
    origin_mm
        (3,) lab position of the outer corner of the panel's first pixel.
    fast_axis, slow_axis
        (3,) unit vectors, lab frame.
    pixel_size_mm
        Along (fast, slow).
    size_px
        Number of pixels along (fast, slow).
    image_origin_px
        (fast, slow) of the panel's first pixel in the image as stored.
    """

    name: str
    origin_mm: tuple[float, float, float]
    fast_axis: tuple[float, float, float]
    slow_axis: tuple[float, float, float]
    pixel_size_mm: tuple[float, float]
    size_px: tuple[int, int]
    image_origin_px: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        fast, slow = np.asarray(self.fast_axis), np.asarray(self.slow_axis)
        for label, axis in (("fast_axis", fast), ("slow_axis", slow)):
            if axis.shape != (3,) or not abs(float(axis @ axis) - 1.0) < ORTHOGONAL:
                raise GeometryError(f"panel {self.name!r}: {label} {axis!r} is not a unit vector")
        if abs(dot := float(fast @ slow)) > ORTHOGONAL:
            raise GeometryError(
                f"panel {self.name!r}: fast_axis and slow_axis are not orthogonal "
                f"(dot = {dot:.1e}, allowed {ORTHOGONAL:.0e})"
            )
        if min(self.pixel_size_mm) <= 0.0 or min(self.size_px) <= 0:
            raise GeometryError(f"panel {self.name!r}: pixel size and size in px must be positive")

    def lab_mm(self, fast_px: F64, slow_px: F64) -> F64:
        """(..., 3) [mm] lab position of points in the panel's own pixel coordinates."""
        f = np.asarray(fast_px)[..., None] * self.pixel_size_mm[0] * np.asarray(self.fast_axis)
        s = np.asarray(slow_px)[..., None] * self.pixel_size_mm[1] * np.asarray(self.slow_axis)
        return np.asarray(np.asarray(self.origin_mm) + f + s)


@dataclass(frozen=True)
class PolarDistortion:
    """Harmonic distortion of the ring radius, on the plane at a nominal distance.

    Attributes
    ----------
    p
        The 15 published numbers p0..p14, phases in degrees.
    rho_d_mm
        Radius that the terms are normalised by (RhoD).
    lsd_mm
        Nominal distance of the plane.
    parallax_mm
        Depth of conversion times attenuation, added as ``parallax sin(2 theta)``.
    panel_lsd_mm, panel_d_p2
        Distance and extra p2 of each panel, by position in the detector.
    """

    p: tuple[float, ...] = (0.0,) * 15
    rho_d_mm: float = 1.0
    lsd_mm: float = 1.0
    parallax_mm: float = 0.0
    panel_lsd_mm: tuple[float, ...] = ()
    panel_d_p2: tuple[float, ...] = ()

    def radius_mm(self, lab_mm: F64, panel: int) -> F64:
        """(...) corrected ring radius [mm] on the plane at ``lsd_mm``; NaN behind the sample."""
        from refimpl.detector.tilted_flat import HARMONIC_POWERS

        lsd = self.panel_lsd_mm[panel] if self.panel_lsd_mm else self.lsd_mm
        d_p2 = self.panel_d_p2[panel] if self.panel_d_p2 else 0.0
        x, y, z = np.moveaxis(np.asarray(lab_mm, dtype=np.float64), -1, 0)
        radius = np.where(z > 0.0, lsd * np.hypot(x, y) / np.where(z > 0.0, z, 1.0), np.nan)
        q = distortion.pairs_from_published(self.p)
        rho, e = radius / self.rho_d_mm, 0.5 * np.pi - eta_of_lab(lab_mm)
        d = 1.0 + (q[0] + d_p2) * rho**2 + q[1] * rho**4 + q[2] * rho**6
        for k, n in enumerate(HARMONIC_POWERS, start=1):
            d = d + rho**n * (q[1 + 2 * k] * np.cos(k * e) - q[2 + 2 * k] * np.sin(k * e))
        depth = self.parallax_mm * np.sin(np.arctan(radius / lsd))
        return np.asarray(radius * d * (self.lsd_mm / lsd) + depth)


@dataclass(frozen=True)
class Detector:
    """Panels of one image, with the distortion that their vectors do not hold.

    Attributes
    ----------
    panels
        In the order of their indices.
    image_shape
        (n_slow, n_fast) of the image as stored.
    distortion
        Identity by default (``p`` all zero).
    """

    panels: tuple[Panel, ...]
    image_shape: tuple[int, int]
    distortion: PolarDistortion = field(default_factory=PolarDistortion)

    def __post_init__(self) -> None:
        names = [panel.name for panel in self.panels]
        if len(set(names)) != len(names):
            raise GeometryError(f"detector: panel names are not unique: {names}")

    def two_theta_eta(self, fast_px: F64, slow_px: F64, panel: int) -> tuple[F64, F64]:
        """Scattering angle and azimuth [rad] of points in a panel's own pixel coordinates."""
        lab = self.panels[panel].lab_mm(fast_px, slow_px)
        radius = self.distortion.radius_mm(lab, panel)
        return np.arctan(radius / self.distortion.lsd_mm), eta_of_lab(lab)

    def maps(self) -> tuple[F64, F64]:
        """2-theta and eta [rad] of every pixel centre, in the file's own order; NaN in gaps.

        Returns
        -------
        two_theta, eta
            (n_slow, n_fast) each.
        """
        two_theta = np.full(self.image_shape, np.nan)
        eta = np.full(self.image_shape, np.nan)
        for index, panel in enumerate(self.panels):
            fast0, slow0 = panel.image_origin_px
            n_fast, n_slow = panel.size_px
            for row in range(0, n_slow, 256):  # blocks of rows bound the memory
                rows = np.arange(row, min(row + 256, n_slow))
                f, s = np.meshgrid(np.arange(n_fast) + 0.5, rows + 0.5)
                where = (slice(slow0 + rows[0], slow0 + rows[-1] + 1), slice(fast0, fast0 + n_fast))
                two_theta[where], eta[where] = self.two_theta_eta(f, s, index)
        return two_theta, eta
