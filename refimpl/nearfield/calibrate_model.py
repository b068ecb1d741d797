r"""Where the centre of a crystal's spots lies on every detector, smoothly, and in which frame.

.. math:: \mathbf k = \mathbf x + \lambda R_y(-W) R_z(\omega) U \mathbf g, \qquad
          (R_y(-W) R_z(\omega) U \mathbf g)_x = -|\mathbf g| \sin\theta

in the near-field frame (spec 1.0: x along the beam, z up). The ray starts at the crystal's centre
and meets the plane through (Lsd, 0, 0), which the direct beam hits at the beam centre, with axes
:math:`R^T \mathbf e_y, R^T \mathbf e_z`. For a source on the axis this is equation (4) of the spec,
at each distance; away from it (4) turns the ray about the origin, which is off by the distance from
the axis times the tilt times tan 2 theta: below 0.1 px for 50 um and tilts of 1 degree.
Detectors may have tilts of their own: the spec's equation (5) is this model with the same tilts at
all distances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import OmegaScan, Setup
from refimpl.frames import F64, I64
from refimpl.rotations import rx, ry, rz

__all__ = ["Crystal", "Geometry", "SpotList", "place", "spots_of"]


@dataclass(frozen=True, eq=False)
class Geometry:
    """Detectors of a near-field experiment, each with its own tilts, and the axis.

    Attributes
    ----------
    lsd_mm, beam_centre_px, tilts_rad
        (d,), (d, 2) [Y, Z], (d, 3) tx, ty, tz of R = R_z(tz) R_y(ty) R_x(tx).
    wedge_rad
        The axis leans by this, G_lab = R_y(-W) R_z(omega) G.
    pixel_size_mm, shape_px
        Of every detector.
    """

    lsd_mm: F64
    beam_centre_px: F64
    tilts_rad: F64
    wedge_rad: float
    pixel_size_mm: float
    shape_px: tuple[int, int]

    @classmethod
    def of(cls, setup: Setup) -> Geometry:
        """Geometry of a setup."""
        d = setup.detector
        tilts = np.broadcast_to(np.asarray(d.tilts_rad), (d.n_distances, 3)).copy()
        return cls(
            np.array(d.lsd_mm), np.array(d.beam_centre_px), tilts, setup.scan.wedge_rad,
            d.pixel_size_mm, d.shape_px,
        )  # fmt: skip

    def into(self, setup: Setup) -> Setup:
        """Setup with this geometry.

        Raises
        ------
        ConfigError
            The tilts differ between the distances: a setup has one set of them.
        """
        if np.ptp(self.tilts_rad, axis=0).max() > 0.0:
            raise ConfigError(
                "tilts differ between the distances: a setup has one set of tilts; "
                "calibrate with tilts='shared'"
            )
        return setup.changed(
            lsd_mm=self.lsd_mm, beam_centre_px=self.beam_centre_px, tilts_rad=self.tilts_rad[0],
            wedge_rad=self.wedge_rad,
        )  # fmt: skip

    def changed(self, **values: Any) -> Geometry:
        """Same geometry with other values."""
        return replace(self, **values)

    @property
    def rotations(self) -> F64:
        """(d, 3, 3) tilt matrices R."""
        return np.array(
            [rz(c) @ ry(b) @ rx(a)
             for a, b, c in self.tilts_rad]
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Crystal:
    """Orientation, crystal to sample (3, 3), and centre (2,) [mm] in the sample at omega = 0."""

    u_matrix: F64
    position_mm: F64


@dataclass(frozen=True, eq=False)
class SpotList:
    """Which spots: (s,) crystal, row of the reflections, and root (+1, -1) of the omega equation.

    Positions: (s, d, 2) pixels [Y, Z], NaN where the ray misses a detector's plane; (s,) frame,
    from the scan's start; (s,) omega [rad]; (s,) sine of |eta|, 0 at the poles.
    """

    crystal: I64
    row: I64
    root: I64
    yz_px: F64
    frame: F64
    omega_rad: F64
    sine_eta: F64

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, rows: Any) -> SpotList:
        """Spots of a slice, mask or list of rows."""
        return SpotList(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def _rays(
    geometry: Geometry, setup: Setup, u: F64, row: I64, root: I64
) -> tuple[F64, NDArray[np.float64]]:
    """(s,) omega and (s, 3) directions of the diffracted rays, x about 1; NaN: no solution."""
    g = np.einsum("sij,sj->si", u, setup.reflections.g[row])
    v = np.sqrt((g * g).sum(axis=1)) * np.sin(setup.reflections.theta_rad[row])
    cw, sw = np.cos(geometry.wedge_rad), np.sin(geometry.wedge_rad)
    # R_y(-W): x' = x cos W - z sin W, so rho cos(omega + delta) = (z sin W - v) / cos W
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.arccos((g[:, 2] * sw - v) / (cw * np.hypot(g[:, 0], g[:, 1])))
    omega = root * half - np.arctan2(g[:, 1], g[:, 0])
    omega = np.pi - np.mod(np.pi - omega, 2.0 * np.pi)  # (-pi, pi]
    turned = _turn(omega, g, cw, sw)
    return omega, setup.wavelength_angstrom * turned + np.array([1.0, 0.0, 0.0])


def _turn(omega: F64, p: F64, cw: float, sw: float) -> F64:
    """R_y(-W) R_z(omega) p, (s, 3)."""
    c, s = np.cos(omega), np.sin(omega)
    x, y, z = c * p[:, 0] - s * p[:, 1], s * p[:, 0] + c * p[:, 1], p[:, 2]
    return np.stack([cw * x - sw * z, y, sw * x + cw * z], axis=1)


def place(
    geometry: Geometry, setup: Setup, crystals: list[Crystal], crystal: I64, row: I64, root: I64
) -> SpotList:
    """Positions of named spots.

    Parameters
    ----------
    geometry
        Of the detectors and the axis.
    setup
        Scan, reflections and wavelength; its own geometry is not used.
    crystals
        Those that `crystal` counts.
    crystal, row, root
        (s,) as in :class:`SpotList`.
    """
    u = np.array([c.u_matrix for c in crystals])[crystal]
    xy = np.array([c.position_mm for c in crystals])[crystal]
    omega, ray = _rays(geometry, setup, u, row, root)
    cw, sw = np.cos(geometry.wedge_rad), np.sin(geometry.wedge_rad)
    source = _turn(omega, np.column_stack([xy, np.zeros(len(xy))]), cw, sw)
    yz = np.empty((len(row), len(geometry.lsd_mm), 2))
    for d, turn in enumerate(geometry.rotations):
        origin = np.array([geometry.lsd_mm[d], 0.0, 0.0])
        with np.errstate(invalid="ignore", divide="ignore"):
            t = ((origin - source) @ turn[0]) / (ray @ turn[0])
        t = np.where(t > 0.0, t, np.nan)
        hit = source + t[:, None] * ray - origin
        yz[:, d] = hit @ turn[1:].T / geometry.pixel_size_mm + geometry.beam_centre_px[d]
    scan = setup.scan
    sine = np.abs(ray[:, 1]) / np.maximum(np.hypot(ray[:, 1], ray[:, 2]), 1e-300)
    frame = (omega - scan.start_rad) / scan.step_rad
    return SpotList(crystal, row, root, yz, frame, omega, sine)


def _counts(scan: OmegaScan, spots: SpotList, nominal_mm: F64) -> NDArray[np.bool_]:
    """Spots inside the scan, an omega range and its box, and off the poles (spec 1.7)."""
    inside = np.zeros(len(spots), dtype=bool)
    y, z = nominal_mm.T
    for (low, high), (ylo, yhi, zlo, zhi) in zip(scan.ranges_rad, scan.boxes_mm, strict=True):
        inside |= (
            (low < spots.omega_rad) & (spots.omega_rad < high)
            & (ylo < y) & (y < yhi) & (zlo < z) & (z < zhi)
        )  # fmt: skip
    inside &= spots.sine_eta >= np.sin(scan.exclude_pole_rad)
    return inside & (spots.frame >= 0.0) & (spots.frame < scan.n_frames)


def spots_of(geometry: Geometry, setup: Setup, crystals: list[Crystal]) -> SpotList:
    """Every spot that should be seen on all detectors.

    The scan's ranges, boxes and poles apply as in spec 1.7: boxes to the spot of a source at the
    origin on an untilted detector at the first distance.
    """
    m, n = len(setup.reflections), len(crystals)
    crystal, row, root = (
        a.ravel() for a in np.meshgrid(np.arange(n), np.arange(m), [1, -1], indexing="ij")
    )
    spots = place(geometry, setup, crystals, crystal, row, root)
    spots = spots[np.isfinite(spots.yz_px).all(axis=(1, 2))]
    u = np.array([c.u_matrix for c in crystals])[spots.crystal]
    _, ray = _rays(geometry, setup, u, spots.row, spots.root)
    nominal = geometry.lsd_mm[0] * ray[:, 1:] / ray[:, :1]
    keep = _counts(setup.scan, spots, nominal)
    on = (spots.yz_px >= 0.0) & (spots.yz_px < np.array(geometry.shape_px))
    return spots[keep & on.all(axis=(1, 2))]
