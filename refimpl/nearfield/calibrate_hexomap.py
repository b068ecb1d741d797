r"""A published HEXOMAP geometry as a near-field setup.

HEXOMAP's frame is that of the near field: x along the beam, z the rotation axis, G_lab = R_z U G.
Its detector has pixel (J, K) at (L, 0, 0), J along R e_x and K along -R e_y, with R the active ZXZ
rotation of three angles. So Y = J, Z = rows - K, and the tilt of spec 1.9 has
:math:`R_{tilt}^T = R\,(\mathbf e_z, \mathbf e_x, \mathbf e_y)`, at each distance its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refimpl.crystal.hkls_csv import nearfield_hkls
from refimpl.errors import FormatError
from refimpl.forward.nearfield_setup import NearfieldDetector, OmegaScan, Reflections, Setup
from refimpl.frames import F64
from refimpl.nearfield.calibrate_model import Geometry
from refimpl.rotations import rx, rz
from refimpl.units import kev_to_angstrom

__all__ = ["hexomap_geometry", "hexomap_setup"]

_NEEDED = ("detL_mm", "detJ_px", "detK_px", "detRot_ZXZ_deg", "pixel_mm", "npix", "energy_keV")


def _checked(record: Mapping[str, Any]) -> None:
    missing = [key for key in _NEEDED if key not in record]
    if missing:
        raise FormatError(f"HEXOMAP geometry without {', '.join(missing)}")
    lengths = {key: len(record[key]) for key in _NEEDED[:4]}
    if len(set(lengths.values())) != 1:
        raise FormatError(f"HEXOMAP geometry: numbers of detectors differ: {lengths}")


def _tilts(zxz_deg: F64) -> F64:
    """(3,) tx, ty, tz [rad] of R = R_z(tz) R_y(ty) R_x(tx)."""
    a, b, c = np.radians(zxz_deg)
    turn = rz(a) @ rx(b) @ rz(c)
    tilt = turn[:, [2, 0, 1]].T
    return np.array(
        [np.arctan2(tilt[2, 1], tilt[2, 2]), -np.arcsin(tilt[2, 0]),
         np.arctan2(tilt[1, 0], tilt[0, 0])]
    )  # fmt: skip


def hexomap_geometry(record: Mapping[str, Any]) -> Geometry:
    """Geometry of a record with ``detL_mm``, ``detJ_px``, ``detK_px``, ``detRot_ZXZ_deg``...

    Raises
    ------
    FormatError
        A field is missing, or the fields have different numbers of detectors.
    """
    _checked(record)
    n = int(record["npix"])
    centre = np.column_stack([record["detJ_px"], n - np.asarray(record["detK_px"], dtype=float)])
    tilts = np.array([_tilts(np.asarray(angles)) for angles in record["detRot_ZXZ_deg"]])
    return Geometry(
        np.asarray(record["detL_mm"], dtype=float), centre, tilts, 0.0, float(record["pixel_mm"]),
        (n, n),
    )  # fmt: skip


def hexomap_setup(record: Mapping[str, Any], most_q: float) -> Setup:
    """Setup of a record, with the tilts of all distances at their mean.

    Parameters
    ----------
    record
        As for :func:`hexomap_geometry`, and ``omega_deg``, ``n_omega``, ``lattice_A`` of a
        face-centred cubic crystal.
    most_q
        Largest 2 pi / d [1/angstrom].

    Raises
    ------
    FormatError
        As :func:`hexomap_geometry`.
    """
    geometry = hexomap_geometry(record)
    wavelength = kev_to_angstrom(float(record["energy_keV"]))
    cell = (*(float(record["lattice_A"]),) * 3, 90.0, 90.0, 90.0)
    radius = float(np.tan(2.0 * np.arcsin(wavelength * most_q / (4.0 * np.pi))))
    table = nearfield_hkls(cell, 225, wavelength, 1.0, radius)
    low, high = np.radians(record["omega_deg"])
    n = int(record["n_omega"])
    scan = OmegaScan(low, (high - low) / n, n, np.array([[low, high]]), _half_plane(geometry))
    detector = NearfieldDetector(
        geometry.lsd_mm, geometry.beam_centre_px, geometry.tilts_rad.mean(axis=0),
        geometry.pixel_size_mm, geometry.shape_px,
    )  # fmt: skip
    return Setup(detector, scan, Reflections.of_table(table), wavelength, 225, cell)


def _half_plane(geometry: Geometry) -> F64:
    """(1, 4) box of all that is above the beam, which a detector can see."""
    wide = 2.0 * max(geometry.shape_px) * geometry.pixel_size_mm
    return np.array([[-wide, wide, 0.0, wide]])
