"""Quantities of the kit about crystals: rings, orientations, misorientations, pseudo-strain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.crystal.cell import d_spacing
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.rings import rings
from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_operators
from refimpl.frames import F64
from refimpl.objective.pseudo_strain import pseudo_strain, strain_summary
from refimpl.rotations import matrix_of_euler, multiply_quaternions, quaternion_of_matrix
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of

__all__ = ["random_quaternions"]

CELL = Array("cell", "angstrom, deg", "6", "a, b, c [angstrom]; alpha, beta, gamma [degrees]")
DOUBLE = "double precision"

_CELLS: dict[str, tuple[tuple[float, ...], int]] = {
    "CeO2": ((5.4115, 5.4115, 5.4115, 90.0, 90.0, 90.0), 225),
    "LaB6": ((4.15691, 4.15691, 4.15691, 90.0, 90.0, 90.0), 221),
    "Si": ((5.431179, 5.431179, 5.431179, 90.0, 90.0, 90.0), 227),
    "Al2O3": ((4.7602, 4.7602, 12.9933, 90.0, 90.0, 120.0), 167),
    "tetragonal": ((4.59, 4.59, 2.96, 90.0, 90.0, 90.0), 136),
    "orthorhombic": ((4.9, 6.1, 7.3, 90.0, 90.0, 90.0), 62),
    "monoclinic": ((5.1, 6.3, 7.7, 90.0, 103.0, 90.0), 14),
    "triclinic": ((5.3, 6.7, 8.1, 81.0, 97.0, 112.0), 2),
}


# --- d and rings ----------------------------------------------------------------------------------


def _d(**given: Any) -> Inputs:
    return {"d_angstrom": d_spacing(given["hkl"], given["cell"].tolist())}


def _d_cases() -> Iterator[tuple[str, Inputs]]:
    rng = rng_of("d_spacing", 1000)
    for label, (cell, _) in _CELLS.items():
        hkl = rng.integers(-6, 7, (12, 3))
        hkl[~hkl.any(axis=1)] = (1, 2, 3)
        yield f"ordinary-{label}", {"hkl": hkl, "cell": np.array(cell)}
    axes = np.vstack([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
    yield "edge-axes", {"hkl": axes, "cell": np.array(_CELLS["triclinic"][0])}
    for k in range(6):
        rng = rng_of("d_spacing", k)
        random = np.concatenate([rng.uniform(3.0, 20.0, 3), rng.uniform(70.0, 110.0, 3)])
        yield f"random-{k:03d}", {"hkl": rng.integers(1, 9, (12, 3)), "cell": random}


quantity(Quantity(
    "d_spacing", "spacing of lattice planes", "refimpl.crystal.cell.d_spacing",
    (Array("hkl", "1", "n,3", "indices", "i8"), CELL),
    (Output("d_angstrom", "angstrom", "n", "spacing", atol=1e-11, why=DOUBLE),), _d, _d_cases,
))  # fmt: skip


def _ring(**given: Any) -> Inputs:
    found = rings(
        (given["cell"].tolist(), int(given["space_group"])),
        float(given["wavelength_angstrom"]),
        float(given["two_theta_max_rad"]),
    )
    return {
        "radius_mm": found.radius_mm(float(given["lsd_mm"])),
        "two_theta_rad": found.two_theta_rad,
        "multiplicity": found.multiplicity,
    }


def _ring_cases() -> Iterator[tuple[str, Inputs]]:
    rng = rng_of("ring_radii", 1000)

    def one(cell: tuple[float, ...], group: int, wavelength: float, most: float) -> Inputs:
        return {
            "cell": np.array(cell), "space_group": np.int64(group),
            "wavelength_angstrom": np.float64(wavelength), "two_theta_max_rad": np.float64(most),
            "lsd_mm": np.float64(rng.uniform(200.0, 900.0)),
        }  # fmt: skip

    for label, (cell, group) in _CELLS.items():
        yield f"ordinary-{label}", one(cell, group, 0.1729, 0.17)
    yield "edge-long-wavelength", one(*_CELLS["CeO2"], 1.5406, 1.5)
    yield "edge-first-ring-only", one(*_CELLS["LaB6"], 0.18, 0.0445)
    for k in range(4):
        rng = rng_of("ring_radii", k)
        cell, group = _CELLS[str(rng.choice(list(_CELLS)))]
        yield f"random-{k:03d}", one(cell, group, rng.uniform(0.1, 0.4), rng.uniform(0.15, 0.25))


quantity(Quantity(
    "ring_radii", "powder rings on a plane across the beam", "refimpl.crystal.rings.rings",
    (CELL, Array("space_group", "1", "", "number; its absences are left out", "i8"),
     Array("wavelength_angstrom", "angstrom", "", "wavelength"),
     Array("two_theta_max_rad", "rad", "", "last angle, inclusive"),
     Array("lsd_mm", "mm", "", "distance of the plane")),
    (Output("radius_mm", "mm", "h", "radius, by growing angle", atol=1e-9, why=DOUBLE),
     Output("two_theta_rad", "rad", "h", "scattering angle", atol=1e-12, why=DOUBLE),
     Output("multiplicity", "1", "h", "planes in the ring", "i8", compare="exact")),
    _ring, _ring_cases,
    "Reflections whose d differ by less than 1e-4 angstrom from the first of a ring belong to it; "
    "the ring's d is their mean, weighted by multiplicity.",
))  # fmt: skip


# --- orientations ---------------------------------------------------------------------------------


def random_quaternions(rng: np.random.Generator, n: int) -> F64:
    """(n, 4) orientations, uniform, w >= 0."""
    q = rng.normal(size=(n, 4))
    q /= np.sqrt((q * q).sum(axis=1, keepdims=True))
    return np.where(q[:, :1] < 0.0, -q, q)


def _matrix(**given: Any) -> Inputs:
    matrix = matrix_of_euler(given["euler_rad"])
    return {"matrix": matrix, "quaternion": quaternion_of_matrix(matrix)}


def _matrix_cases() -> Iterator[tuple[str, Inputs]]:
    def one(rng: np.random.Generator, n: int = 8) -> Inputs:
        return {"euler_rad": rng.uniform(0.1, 1.0, (n, 3)) * (2.0 * np.pi, np.pi, 2.0 * np.pi)}

    yield "ordinary-0", {"euler_rad": np.array([[0.3, 0.7, 1.1], [2.1, 1.3, 0.4]])}
    single = np.zeros((3, 3))
    single[0, 0], single[1, 1], single[2, 2] = 0.4, 0.5, 0.6
    yield "edge-one-angle", {"euler_rad": single}
    yield "edge-phi-zero", {"euler_rad": np.array([[0.3, 0.0, 0.5], [0.3, 1e-9, 0.5]])}
    for k in range(4):
        yield f"random-{k:03d}", one(rng_of("euler_to_matrix", k))


quantity(Quantity(
    "euler_to_matrix", "orientation of Bunge's angles", "refimpl.rotations.matrix_of_euler",
    (Array("euler_rad", "rad", "n,3", "phi1, Phi, phi2"),),
    (Output("matrix", "1", "n,3,3", "crystal to sample", atol=1e-13, why=DOUBLE),
     Output("quaternion", "1", "n,4", "w, x, y, z with w >= 0", atol=1e-13, why=DOUBLE)),
    _matrix, _matrix_cases,
    "U = Rz(phi1) Rx(Phi) Rz(phi2) takes a vector of the crystal to the sample; the textbook's "
    "matrix is its transpose.",
))  # fmt: skip


def _misorientation(**given: Any) -> Inputs:
    table = laue_operators(given["laue_class"])
    return {"angle_rad": misorientation(given["q1"], given["q2"], table)}


def _misorientation_cases() -> Iterator[tuple[str, Inputs]]:
    name = "misorientation"
    for j, laue in enumerate(LAUE_CLASSES):
        rng, word = rng_of(name, 1000 + j), laue.replace("/", "_over_")
        given: Inputs = {"laue_class": laue}
        q = random_quaternions(rng, 24)
        yield f"ordinary-{word}", given | {"q1": q[:12], "q2": q[12:]}
        # every operator in turn must be found: a small turn away from each image
        table = laue_operators(laue)
        first = random_quaternions(rng, len(table))
        small = np.column_stack([np.ones(len(table)), rng.uniform(-0.04, 0.04, (len(table), 3))])
        small /= np.sqrt((small * small).sum(axis=1, keepdims=True))
        near = multiply_quaternions(multiply_quaternions(first, small), table)
        yield f"edge-operators-{word}", given | {"q1": first, "q2": near}
    q = random_quaternions(rng_of(name, 2000), 6)
    cubic: Inputs = {"laue_class": "m-3m"}
    yield "edge-opposite-sign", cubic | {"q1": q, "q2": -q[[1, 2, 3, 4, 5, 0]]}
    turns = np.array([1e-3, 1e-5, 1e-7, 1e-8])
    axis = np.array([0.6, 0.48, 0.64])
    small = np.column_stack([np.cos(0.5 * turns), np.sin(0.5 * turns)[:, None] * axis])
    yield "edge-small", cubic | {"q1": q[:4], "q2": multiply_quaternions(q[:4], small)}
    half = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8]])
    yield (
        "edge-half-turn",
        {"laue_class": "-1", "q1": np.array([[1.0, 0.0, 0.0, 0.0]] * 2), "q2": half},
    )
    for k in range(len(LAUE_CLASSES)):
        rng = rng_of(name, k)
        q = random_quaternions(rng, 16)
        yield f"random-{k:03d}", {"laue_class": LAUE_CLASSES[k], "q1": q[:8], "q2": q[8:]}


quantity(Quantity(
    "misorientation", "smallest angle between two orientations, by Laue class",
    "refimpl.crystal.misorientation.misorientation",
    (Array("laue_class", "1", "", f"one of {', '.join(LAUE_CLASSES)}", "str"),
     Array("q1", "1", "n,4", "orientation w, x, y, z, crystal to sample"),
     Array("q2", "1", "n,4", "orientation w, x, y, z, crystal to sample")),
    (Output("angle_rad", "rad", "n", "0 to pi", atol=1e-10,
            why="double precision; acos of a quaternion's w misses it at small angles"),),
    _misorientation, _misorientation_cases,
    "Crystal frame: x along a*, z along c. -31m has its two-folds along a* (x), -3m1 along a (30 "
    "degrees before it); 2/m has its two-fold along b (y).",
))  # fmt: skip


# --- pseudo-strain --------------------------------------------------------------------------------


def _strain(**given: Any) -> Inputs:
    strain = pseudo_strain(given["radius_mm"], given["ideal_radius_mm"])
    found = strain_summary(strain, float(given["multiplier"]), int(given["passes"]))
    return {
        "strain": strain, "mean_abs": found.mean_all, "median_abs": found.median,
        "clip_mean_abs": found.clip_mean, "clip_n": found.clip_n,
    }  # fmt: skip


def _strain_cases() -> Iterator[tuple[str, Inputs]]:
    def one(rng: np.random.Generator, n: int, outliers: int, rule: tuple[float, int]) -> Inputs:
        ideal = rng.choice([31.7, 52.3, 88.1], n)
        strain = rng.normal(2e-5, 1e-4, n)
        strain[:outliers] += rng.choice([-1.0, 1.0], outliers) * rng.uniform(1e-3, 5e-3, outliers)
        return {
            "radius_mm": ideal * (1.0 + strain), "ideal_radius_mm": ideal,
            "multiplier": np.float64(rule[0]), "passes": np.int64(rule[1]),
        }  # fmt: skip

    name = "pseudo_strain"
    yield "ordinary-0", one(rng_of(name, 1000), 60, 4, (2.5, 3))
    yield "edge-no-outliers", one(rng_of(name, 1001), 21, 0, (3.0, 1))
    yield "edge-one-point", one(rng_of(name, 1002), 1, 0, (2.5, 3))
    yield "edge-half-outliers", one(rng_of(name, 1003), 40, 20, (2.0, 5))
    for k in range(4):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", one(rng, int(rng.integers(30, 70)), 5, (2.5, 3))


quantity(Quantity(
    "pseudo_strain", "pseudo-strain of ring points and its summaries",
    "refimpl.objective.pseudo_strain.strain_summary",
    (Array("radius_mm", "mm", "n", "corrected ring radius"),
     Array("ideal_radius_mm", "mm", "n", "radius that it should have"),
     Array("multiplier", "1", "", "of the clipping rule"),
     Array("passes", "1", "", "of the clipping rule", "i8")),
    (Output("strain", "1", "n", "1 - R / R_ideal", atol=1e-14, why="a rounding of R / R_ideal"),
     Output("mean_abs", "1", "", "mean of |strain|", atol=1e-14, why=DOUBLE),
     Output("median_abs", "1", "", "median of |strain|", atol=1e-14, why=DOUBLE),
     Output("clip_mean_abs", "1", "", "mean over those kept", atol=1e-14, why=DOUBLE),
     Output("clip_n", "1", "", "number kept", "i8", compare="exact")),
    _strain, _strain_cases,
    "Each pass keeps, of all points, those with |strain| <= multiplier times the mean of those "
    "kept before; it ends early when the mean moves by less than 1e-10.",
))  # fmt: skip
