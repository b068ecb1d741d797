"""Held to the kit: cctbx (PyPI: cctbx-base), the library below DIALS and PHENIX.

PYTHONPATH=validation/conformance/adapters refimpl conform --object cctbx_code

When a reflection crosses the sphere, and where its ray meets a panel, come from the C++ of
``rstbx.diffraction`` and ``rstbx.bpcx``; cells, absences and operators from cctbx.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cctbx import crystal, sgtbx, uctbx
from cctbx.array_family import flex
from rstbx.bpcx import sensor
from rstbx.diffraction import reflection_prediction, rotation_angles
from scitbx import matrix

# (symbol, cell) of a space group of each Laue class; the cell's metric fits it
ORTHOGONAL, HEXAGONAL = (5.0, 6.0, 7.0, 90.0, 90.0, 90.0), (5.0, 5.0, 7.0, 90.0, 90.0, 120.0)
SQUARE, CUBIC = (5.0, 5.0, 7.0, 90.0, 90.0, 90.0), (5.0, 5.0, 5.0, 90.0, 90.0, 90.0)
GROUPS = {
    "-1": ("P -1", ORTHOGONAL), "2/m": ("P 1 2/m 1", ORTHOGONAL), "mmm": ("P m m m", ORTHOGONAL),
    "4/m": ("P 4/m", SQUARE), "4/mmm": ("P 4/m m m", SQUARE),
    "-3": ("P -3", HEXAGONAL), "-31m": ("P -3 1 m", HEXAGONAL), "-3m1": ("P -3 m 1", HEXAGONAL),
    "6/m": ("P 6/m", HEXAGONAL), "6/mmm": ("P 6/m m m", HEXAGONAL),
    "m-3": ("P m -3", CUBIC), "m-3m": ("P m -3 m", CUBIC),
}  # fmt: skip
FAR_MM = 1e9  # the panel of the kit has no edges, a sensor has


def d_spacing(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Of its unit cell."""
    found = uctbx.unit_cell(cell.tolist()).d(flex.miller_index([tuple(map(int, h)) for h in hkl]))
    return np.array(found)


def ring_radii(
    cell: np.ndarray,
    space_group: Any,
    wavelength_angstrom: Any,
    two_theta_max_rad: Any,
    lsd_mm: Any,
) -> dict[str, Any]:
    """Rings of all reflections of P1 that the group allows, joined as the kit joins them."""
    symmetry = crystal.symmetry(cell.tolist(), space_group_symbol=str(int(space_group)))
    least = float(0.5 * wavelength_angstrom / np.sin(0.5 * two_theta_max_rad))
    unique = symmetry.build_miller_set(anomalous_flag=False, d_min=least * (1.0 - 1e-12))
    d = np.array(unique.d_spacings().data())
    count = np.array(unique.multiplicities().data())
    order = np.argsort(-d, kind="stable")
    d, count = d[order], count[order]
    first: list[int] = []
    for i, value in enumerate(d):
        if not first or d[first[-1]] - value >= 1e-4:
            first.append(i)
    total = np.add.reduceat(count, first)
    two_theta = 2.0 * np.arcsin(
        0.5 * wavelength_angstrom / (np.add.reduceat(d * count, first) / total)
    )
    radius = lsd_mm * np.tan(two_theta)
    return {"radius_mm": radius, "two_theta_rad": two_theta, "multiplicity": total}


def euler_to_matrix(euler_rad: np.ndarray) -> dict[str, Any]:
    """By turns about z, x, z; its quaternion is that of the kit."""
    z, x = matrix.col((0.0, 0.0, 1.0)), matrix.col((1.0, 0.0, 0.0))
    turned, quaternions = [], []
    for phi1, phi, phi2 in euler_rad.tolist():
        u = (
            z.axis_and_angle_as_r3_rotation_matrix(phi1)
            * x.axis_and_angle_as_r3_rotation_matrix(phi)
            * z.axis_and_angle_as_r3_rotation_matrix(phi2)
        )
        q = np.array(u.r3_rotation_matrix_as_unit_quaternion())
        turned.append(np.array(u).reshape(3, 3))
        quaternions.append(q if q[0] >= 0.0 else -q)
    return {"matrix": np.array(turned), "quaternion": np.array(quaternions)}


def operators(laue_class: str) -> np.ndarray:
    """Its rotations, from the operators of fractional coordinates; x is along a*, not a."""
    symbol, cell = GROUPS[laue_class]
    group = sgtbx.space_group_info(symbol).group().build_derived_laue_group()
    along_a = np.array(uctbx.unit_cell(cell).orthogonalization_matrix()).reshape(3, 3)
    a_star, c_axis = np.linalg.inv(along_a)[0], along_a[:, 2]
    e1, e3 = a_star / np.sqrt(a_star @ a_star), c_axis / np.sqrt(c_axis @ c_axis)
    to_xyz = np.array([e1, np.cross(e3, e1), e3]) @ along_a
    turns = [np.array(op.r().as_double()).reshape(3, 3) for op in group.all_ops()]
    proper = [turn for turn in turns if np.linalg.det(turn) > 0.0]
    return np.array([to_xyz @ turn @ np.linalg.inv(to_xyz) for turn in proper])


def misorientation(laue_class: str, q1: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """Least angle over the rotations, from its sine and cosine: exact when small and near pi."""
    turns, found = operators(str(laue_class)), []
    for a, b in zip(q1.tolist(), q2.tolist(), strict=True):
        u, v = (
            np.array(matrix.col(q).normalize().unit_quaternion_as_r3_rotation_matrix())
            for q in (a, b)
        )
        between = u.reshape(3, 3).T @ v.reshape(3, 3) @ turns
        uneven = between - np.swapaxes(between, 1, 2)
        sine = np.sqrt((uneven**2).sum(axis=(1, 2)) / 8.0)
        cosine = 0.5 * (np.trace(between, axis1=1, axis2=2) - 1.0)
        found.append(np.arctan2(sine, cosine).min())
    return np.array(found)


def rotation_spots(**given: Any) -> dict[str, Any]:
    """Crossings with the beam along z, which its rotation_angles wants; rays in the kit's frame."""
    s0, fast, slow = given["s0"], given["fast_axis"], given["slow_axis"]
    wavelength = float(1.0 / np.sqrt(s0 @ s0))
    axis = given["setting"] @ given["axis"]
    ub = given["setting"] @ given["fixed"] @ given["ub"]
    turn = np.array(matrix.col(s0.tolist()).normalize().vector_to_001_rotation()).reshape(3, 3)
    crossing = rotation_angles(
        1e-3, (turn @ ub).ravel().tolist(), wavelength, (turn @ axis).tolist()
    )
    panel = sensor(
        given["origin_mm"].tolist(), fast.tolist(), slow.tolist(),
        (-FAR_MM, FAR_MM), (-FAR_MM, FAR_MM),
    )  # fmt: skip
    ray = reflection_prediction(axis.tolist(), s0.tolist(), ub.ravel().tolist(), panel)
    lab_axis = matrix.col(axis.tolist())
    n = len(given["hkl"])
    place, phi, s1 = np.full((n, 2), np.nan), np.full(n, np.nan), np.full((n, 3), np.nan)
    status = np.ones(n, dtype=np.int64)
    for i, hkl in enumerate(given["hkl"].tolist()):
        if not crossing(tuple(map(float, hkl))):
            continue
        for angle in crossing.get_intersection_angles():
            r = np.array(lab_axis.axis_and_angle_as_r3_rotation_matrix(angle)).reshape(3, 3)
            s = s0 + r @ ub @ np.array(hkl)
            if (s @ np.cross(s0, axis) < 0.0) == bool(given["entering"][i]):
                phi[i], s1[i] = angle, s
                status[i] = 2
                if ray(tuple(map(float, hkl)), angle):
                    status[i], place[i] = 0, ray.get_prediction()
    return {"status": status, "x_mm": place[:, 0], "y_mm": place[:, 1], "phi_rad": phi, "s1": s1}
