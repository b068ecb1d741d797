"""Quantities of the kit about rotating crystals: where and when reflections are seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.crystal.cell import b_matrix
from refimpl.forward.rotation import predict_rotation
from refimpl.frames import F64
from refimpl.rotations import expmap
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of

__all__: list[str] = []


def _spots(**given: Any) -> Inputs:
    n = len(given["hkl"])
    setting = given["setting"]
    p0 = given["hkl"] @ (setting @ given["fixed"] @ given["ub"]).T
    d = np.column_stack([given["fast_axis"], given["slow_axis"], given["origin_mm"]])
    xyz, s1, status = predict_rotation(
        p0, np.zeros(n, dtype=np.int32), given["entering"], np.zeros(n), given["s0"],
        setting @ given["axis"], np.linalg.inv(d)[None],
    )  # fmt: skip
    seen = status != 1  # where the sphere is never met there is no beam either
    return {
        "status": status, "x_mm": xyz[:, 0], "y_mm": xyz[:, 1], "phi_rad": xyz[:, 2],
        "s1": np.where(seen[:, None], s1, np.nan),
    }  # fmt: skip


def _experiment(rng: np.random.Generator, n: int = 24) -> Inputs:
    wavelength = rng.uniform(0.8, 1.2)
    beam = np.array([0.0, 0.0, 1.0]) + rng.normal(0.0, 1e-3, 3)
    axis = np.array([1.0, 0.0, 0.0]) + rng.normal(0.0, 0.05, 3)
    tilt = expmap(rng.normal(0.0, 0.05, 3))
    lengths = (rng.uniform(30.0, 60.0), rng.uniform(40.0, 70.0), rng.uniform(50.0, 80.0))
    cell = (*lengths, *rng.uniform(80.0, 100.0, 3))
    hkl = rng.integers(-14, 15, (n, 3))
    hkl[~hkl.any(axis=1)] = (1, 2, 3)
    lower = tilt @ np.array([-160.0, 170.0, 0.0]) + np.array([0.0, 0.0, rng.uniform(120.0, 250.0)])
    return {
        "hkl": hkl, "entering": rng.integers(0, 2, n), "ub": _turn(rng) @ b_matrix(cell),
        "s0": beam / np.sqrt(beam @ beam) / wavelength, "axis": axis / np.sqrt(axis @ axis),
        "fixed": expmap(rng.normal(0.0, 0.3, 3)), "setting": expmap(rng.normal(0.0, 0.1, 3)),
        "fast_axis": tilt @ np.array([1.0, 0.0, 0.0]),
        "slow_axis": tilt @ np.array([0.0, -1.0, 0.0]), "origin_mm": lower,
    }  # fmt: skip


def _turn(rng: np.random.Generator) -> F64:
    return expmap(rng.normal(0.0, 1.0, 3))


def _cases() -> Iterator[tuple[str, Inputs]]:
    name = "rotation_spots"
    plain = _experiment(rng_of(name, 1000)) | {"fixed": np.eye(3), "setting": np.eye(3)}
    yield "ordinary-no-goniometer", plain
    yield "ordinary-goniometer", _experiment(rng_of(name, 1001))
    yield "ordinary-setting-only", _experiment(rng_of(name, 1002)) | {"fixed": np.eye(3)}
    # beyond the sphere: 2 / wavelength is farther than any other point
    far = _experiment(rng_of(name, 1003), 8)
    far["hkl"] = far["hkl"] + np.where(np.arange(8)[:, None] % 2 == 0, 0, 200)
    yield "edge-never", far
    # a panel behind the sample
    back = _experiment(rng_of(name, 1004), 8)
    back["origin_mm"] = back["origin_mm"] * np.array([1.0, 1.0, -1.0])
    yield "edge-backward-panel", back
    # both crossings of the same points
    both = _experiment(rng_of(name, 1005), 16)
    both["hkl"][8:] = both["hkl"][:8]
    both["entering"] = (np.arange(16) < 8).astype(np.int64)
    yield "edge-both-crossings", both
    for k in range(6):
        yield f"random-{k:03d}", _experiment(rng_of(name, k))


_WHY = "double precision; the crossing is a square root of a difference"

quantity(Quantity(
    "rotation_spots", "where, when and along which beam a rotating crystal's reflections are seen",
    "refimpl.forward.rotation.predict_rotation",
    (Array("hkl", "1", "n,3", "indices", "i8"),
     Array("entering", "1", "n", "1: into the sphere, 0: out of it", "i8"),
     Array("ub", "1/angstrom", "3,3", "U B at phi = 0"),
     Array("s0", "1/angstrom", "3", "beam vector, of length 1/wavelength"),
     Array("axis", "1", "3", "rotation axis, unit vector, before the setting rotation"),
     Array("fixed", "1", "3,3", "fixed rotation F"),
     Array("setting", "1", "3,3", "setting rotation S"),
     Array("fast_axis", "1", "3", "of the panel"), Array("slow_axis", "1", "3", "of the panel"),
     Array("origin_mm", "mm", "3", "of the panel")),
    (Output("status", "1", "n", "0 seen, 1 never on the sphere, 2 the ray misses the panel's "
            "plane", "i8", compare="exact"),
     Output("x_mm", "mm", "n", "along the fast axis; NaN where there is none", atol=1e-6, why=_WHY),
     Output("y_mm", "mm", "n", "along the slow axis", atol=1e-6, why=_WHY),
     Output("phi_rad", "rad", "n", "rotation angle; NaN if never", atol=1e-9, why=_WHY,
            compare="angle"),
     Output("s1", "1/angstrom", "n,3", "diffracted beam vector", atol=1e-9, why=_WHY)),
    _spots, _cases,
    "p = S R(axis, phi) F U B h, and |s0 + p| = |s0|; entering is s1 . (s0 x S axis) < 0. The "
    "panel has no edges. Conventions of DIALS.",
))  # fmt: skip
