"""Held to the kit: ImageD11, for its transform of peaks, d-spacings, rotating crystals, angles.

PYTHONPATH=validation/conformance/adapters refimpl conform --object imaged11_code
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ImageD11 import cImageD11, gv_general, transform
from ImageD11.unitcell import unitcell
from scipy.spatial.transform import Rotation
from xfab import tools

TRACES = {
    "m-3m": cImageD11.misori_cubic, "4/mmm": cImageD11.misori_tetragonal,
    "mmm": cImageD11.misori_orthorhombic, "2/m": cImageD11.misori_monoclinic,
}  # fmt: skip


def parameters(given: dict[str, Any]) -> dict[str, float]:
    """Same tilts as the kit's: Rx Ry Rz; x along the beam, z up; lengths in micrometres."""
    return {
        "y_center": float(given["beam_fast_px"]), "z_center": float(given["beam_slow_px"]),
        "y_size": 1e3 * float(given["pixel_fast_mm"]),
        "z_size": 1e3 * float(given["pixel_slow_mm"]), "distance": 1e3 * float(given["lsd_mm"]),
        "tilt_x": float(given["tx_rad"]), "tilt_y": float(given["ty_rad"]),
        "tilt_z": float(given["tz_rad"]), "o11": 1.0, "o12": 0.0, "o21": 0.0, "o22": -1.0,
    }  # fmt: skip


def pixel_to_lab(**given: Any) -> dict[str, Any]:
    """Frame of MIDAS, which lab X, Y, Z are the Y, Z, X of."""
    peaks = np.array([given["slow_px"], given["fast_px"]])
    z, x, y = 1e-3 * transform.compute_xyz_lab(peaks, **parameters(given))
    return {"x_mm": x, "y_mm": y, "z_mm": z}


def two_theta_eta(**given: Any) -> dict[str, Any]:
    """Both in degrees there."""
    peaks = np.array([given["slow_px"], given["fast_px"]])
    two_theta, eta = transform.compute_tth_eta(peaks, **parameters(given))
    return {"two_theta_rad": np.deg2rad(two_theta), "eta_rad": np.deg2rad(eta)}


def d_spacing(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """From 1/d of its unit cell."""
    lattice = unitcell(cell.tolist(), "P")
    return np.array([1.0 / lattice.ds(row) for row in hkl])


def misorientation(laue_class: str, q1: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """Angle of the greatest trace over the permutations of axes that its functions try."""
    if laue_class not in TRACES:
        raise NotImplementedError(laue_class)
    one, two = (Rotation.from_quat(q, scalar_first=True).as_matrix() for q in (q1, q2))
    trace = [TRACES[laue_class](a, b) for a, b in zip(one, two, strict=True)]
    return np.arccos(np.clip(0.5 * (np.array(trace) - 1.0), -1.0, 1.0))


def crossings(
    g: np.ndarray, wavelength: float, axis: np.ndarray, turned: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Both angles [rad] and scattering vectors before `turned`, and whether there are any.

    `turned` takes the turned vectors to the frame with the beam along x. g_to_k turns by the
    negative angle, and its `post` is the mirror image of that: half a turn before, one after.
    """
    half = 2.0 * np.outer(axis, axis) - np.eye(3)
    post = np.diag([-1.0, -1.0, 1.0]) @ turned @ half
    *angles, valid = gv_general.g_to_k(g.T, wavelength, axis=-axis, post=post)
    mover = gv_general.rotation_axis(axis)
    return [np.deg2rad(a) for a in angles], [mover.rotate_vectors(g.T, a).T for a in angles], valid


def angles_of(ray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2-theta and eta of rays, as ImageD11 counts them, degrees."""
    across = np.hypot(ray[:, 1], ray[:, 2])
    return (
        np.degrees(np.arctan2(across, ray[:, 0])), np.degrees(np.arctan2(-ray[:, 1], ray[:, 2]))
    )  # fmt: skip


def tilts(matrix: np.ndarray) -> dict[str, float]:
    """Its Rx Ry Rz of a rotation."""
    x, y, z = Rotation.from_matrix(matrix).as_euler("XYZ")
    return {"tilt_x": x, "tilt_y": y, "tilt_z": z}


def rotation_spots(**given: Any) -> dict[str, Any]:
    """g_to_k for the angles, compute_xyz_from_tth_eta for the place on the panel."""
    s0, setting = given["s0"], given["setting"]
    length = np.sqrt(s0 @ s0)
    to_x = Rotation.align_vectors([[1.0, 0.0, 0.0]], [s0 / length])[0].as_matrix()
    g = given["hkl"] @ (given["fixed"] @ given["ub"]).T
    phis, ps, valid = crossings(g, 1.0 / length, given["axis"], to_x @ setting)
    rays = [p @ setting.T + s0 for p in ps]
    side = np.cross(s0, setting @ given["axis"])
    first = (rays[0] @ side < 0.0) == (given["entering"] != 0)
    phi, s1 = np.where(first, *phis), np.where(first[:, None], *rays)
    f, s, origin = (to_x @ given[name] for name in ("fast_axis", "slow_axis", "origin_mm"))
    distance, fast, slow = np.linalg.solve(np.column_stack([[1.0, 0.0, 0.0], -f, -s]), origin)
    panel = tilts(np.column_stack([np.cross(f, s), f, s])) | {
        "distance": distance, "y_center": fast, "z_center": slow, "y_size": 1.0, "z_size": 1.0,
        "o11": 1.0, "o12": 0.0, "o21": 0.0, "o22": 1.0,
    }  # fmt: skip
    with np.errstate(invalid="ignore"):
        x, y = transform.compute_xyz_from_tth_eta(*angles_of(s1 @ to_x.T), phi, **panel)
    return {
        "status": np.where(valid, 0, 1), "x_mm": np.where(valid, x, np.nan),
        "y_mm": np.where(valid, y, np.nan), "phi_rad": np.where(valid, phi, np.nan),
        "s1": np.where(valid[:, None], s1, np.nan),
    }  # fmt: skip


def nearfield_spots(**given: Any) -> dict[str, Any]:
    """Both crossings of every orientation and reflection; its frame is that of MIDAS."""
    wavelength, lean = float(given["wavelength_angstrom"]), float(given["wedge_rad"])
    b = tools.form_b_mat(given["cell"]) / (2.0 * np.pi)
    lattice = given["hkl"] @ b.T
    n, h = len(given["orientation"]), len(lattice)
    g = np.einsum("nij,hj->nhi", given["orientation"], lattice).reshape(-1, 3)
    turned = Rotation.from_euler("y", -lean).as_matrix()
    omegas, ks, valid = crossings(g, wavelength, np.array([0.0, 0.0, 1.0]), turned)
    omega, two = np.concatenate(omegas), np.tile(valid, 2)
    k = np.concatenate(ks) @ turned.T
    tth, eta = angles_of(k + np.array([1.0 / wavelength, 0.0, 0.0]))
    y, z = transform.compute_xyz_from_tth_eta(
        tth, eta, omega, distance=float(given["lsd_mm"]), y_size=1.0, z_size=1.0, o22=1.0
    )
    keep = np.zeros(len(omega), dtype=bool)
    for (low, high), (y0, y1, z0, z1) in zip(given["ranges_rad"], given["boxes_mm"], strict=True):
        inside = (omega > low) & (omega < high)
        keep |= inside & (y > y0) & (y < y1) & (z > z0) & (z < z1)
    pole = np.degrees(float(given["exclude_pole_rad"]))
    keep &= two & (np.abs(eta) >= pole) & (180.0 - np.abs(eta) >= pole)
    row = np.tile(np.arange(n * h), 2)
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((omega[rows], row[rows]))]
    return {
        "orientation_row": row[rows] // h, "hkl_row": row[rows] % h, "y_mm": y[rows],
        "z_mm": z[rows], "omega_rad": omega[rows],
    }  # fmt: skip


def nearfield_projection(**given: Any) -> dict[str, Any]:
    """Ray from the turned place to the tilted plane; the kit turns all but the plane."""
    lsd, size = float(given["lsd_mm"]), float(given["pixel_size_mm"])
    tth, eta = angles_of(np.column_stack([np.full(len(given["y_mm"]), lsd),
                                          given["y_mm"], given["z_mm"]]))  # fmt: skip
    turn = Rotation.from_euler("xyz", given["tilts_rad"]).inv().as_matrix()
    beam = given["beam_centre_px"]
    detector = tilts(turn) | {
        "distance": lsd, "y_center": beam[0], "z_center": beam[1], "y_size": size, "z_size": size,
        "o22": 1.0, "wedge": np.degrees(float(given["wedge_rad"])),
    }  # fmt: skip
    found = [
        transform.compute_xyz_from_tth_eta(
            tth[i : i + 1], eta[i : i + 1], np.degrees(given["omega_rad"][i : i + 1]),
            t_x=x, t_y=y, **detector,
        )
        for i, (x, y) in enumerate(given["place_mm"])
    ]  # fmt: skip
    y_px, z_px = np.array(found)[:, :, 0].T
    return {"y_px": y_px, "z_px": z_px}
