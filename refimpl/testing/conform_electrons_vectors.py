"""Quantities of the kit about electron microscopes: beam shifts, groups of them, duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.clustering.beam_shift import number_on_grid, spacings
from refimpl.epu.affine import affine
from refimpl.epu.affine import given as given_matrix
from refimpl.epu.exposures import table_of
from refimpl.epu.metadata import metadata
from refimpl.epu.pairs import close_pairs, components, disc_overlap, kept_partners
from refimpl.epu.session import Session
from refimpl.frames import F64
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of
from refimpl.units import DEG

__all__: list[str] = []

_DOUBLE = "double precision"
_MATRIX = Array("matrix_um", "um", "2,2", "position = stage + beam_shift @ matrix (row vectors)")
_STAGE = Array("stage_um", "um", "n,2", "stage x, y")
_SHIFT = Array("beam_shift", "1", "n,2", "beam shift x, y")


def _random_matrix(rng: np.random.Generator, *, mirror: bool) -> F64:
    turn = affine(rng.uniform(15.0, 40.0), rng.uniform(-180.0, 180.0) * DEG, mirror=mirror)
    return turn.matrix_um @ np.array([[1.02, 0.01], [-0.02, 0.99]])


# --- positions and the meaning of the matrix ------------------------------------------------------


def _positions(**given: Any) -> Inputs:
    found = given_matrix(given["matrix_um"])
    return {
        "position_um": found.positions_um(given["stage_um"], given["beam_shift"]),
        "k_um": found.k_um, "rotation_rad": found.rotation_rad,
        "is_mirrored": found.is_mirrored, "anisotropy": found.anisotropy,
    }  # fmt: skip


def _position_cases() -> Iterator[tuple[str, Inputs]]:
    name = "beam_shift_positions"

    def one(rng: np.random.Generator, matrix: F64, n: int = 12) -> Inputs:
        return {
            "stage_um": rng.uniform(-900.0, 900.0, (n, 2)), "matrix_um": matrix,
            "beam_shift": rng.uniform(-0.3, 0.3, (n, 2)),
        }  # fmt: skip

    yield "ordinary-scalar", one(rng_of(name, 1000), 24.5 * np.eye(2))
    rng = rng_of(name, 1001)
    yield "ordinary-turned", one(rng, _random_matrix(rng, mirror=False))
    rng = rng_of(name, 1002)
    yield "ordinary-mirrored", one(rng, _random_matrix(rng, mirror=True))
    yield "edge-half-turn", one(rng_of(name, 1003), affine(20.0, 3.0).matrix_um)
    yield "edge-mirror-only", one(rng_of(name, 1004), affine(20.0, 0.0, mirror=True).matrix_um)
    for k in range(4):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", one(rng, _random_matrix(rng, mirror=k % 2 == 0))


quantity(Quantity(
    "beam_shift_positions", "where a beam shift leads, and what its matrix means",
    "refimpl.epu.calibration.Calibration", (_STAGE, _SHIFT, _MATRIX),
    (Output("position_um", "um", "n,2", "on the specimen, in stage coordinates", atol=1e-9,
            why=_DOUBLE),
     Output("k_um", "um", "", "sqrt(|det|)", atol=1e-10, why=_DOUBLE),
     Output("rotation_rad", "rad", "", "of the nearest rotation, anticlockwise; of a mirrored "
            "matrix after its first index's y was reversed", atol=1e-11, why=_DOUBLE,
            compare="angle"),
     Output("is_mirrored", "1", "", "1 if det < 0", "i8", compare="exact"),
     Output("anisotropy", "1", "", "larger over smaller singular value", atol=1e-11, why=_DOUBLE)),
    _positions, _position_cases,
))  # fmt: skip


# --- calibration ----------------------------------------------------------------------------------


def _calibrate(**given: Any) -> Inputs:
    import pandas as pd

    n = len(given["stage_um"])
    hole = np.arange(n)
    table = table_of(
        square=np.ones(n, dtype=np.int64), hole=hole, area=np.ones(n, dtype=np.int64),
        beam_shift_x=given["beam_shift"][:, 0], beam_shift_y=given["beam_shift"][:, 1],
        stage_x_um=given["stage_um"][:, 0], stage_y_um=given["stage_um"][:, 1],
    )  # fmt: skip
    holes = pd.DataFrame({
        "square": np.ones(n, dtype=np.int64), "hole": hole,
        "stage_x_um": given["hole_um"][:, 0], "stage_y_um": given["hole_um"][:, 1],
    })  # fmt: skip
    found = metadata(Session(table, holes=holes))
    return {"matrix_um": found.matrix_um, "sigma_um": found.sigma_um}


def _session(rng: np.random.Generator, noise_um: float, far: int = 0, visits: int = 4) -> Inputs:
    """One exposure a hole: blocks of 3 x 3 holes around each place that the stage stops at."""
    matrix = _random_matrix(rng, mirror=bool(rng.integers(2)))
    turn = affine(2.5, rng.uniform(0.0, 1.5)).matrix_um
    block = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ turn
    stops = np.repeat(np.arange(visits)[:, None] * np.array([3.0, 0.0]) @ turn, 9, axis=0)
    holes = stops + np.tile(block, (visits, 1)) + np.array([120.0, -80.0])
    stage = stops + np.array([120.0, -80.0]) + np.repeat(rng.normal(0.0, 0.1, (visits, 2)), 9, 0)
    shift = (holes - stage) @ np.linalg.inv(matrix)
    holes = holes + rng.normal(0.0, noise_um, holes.shape) + np.array([0.3, -0.2])
    holes[:far] += 2.0
    order = rng.permutation(len(holes))
    return {"stage_um": stage[order], "beam_shift": shift[order], "hole_um": holes[order]}


def _session_cases() -> Iterator[tuple[str, Inputs]]:
    name = "beam_shift_calibration"
    yield "ordinary-no-noise", _session(rng_of(name, 1000), 0.0)
    yield "ordinary-noise", _session(rng_of(name, 1001), 0.05)
    yield "edge-holes-far-off", _session(rng_of(name, 1002), 0.05, far=3)
    yield "edge-one-stop", _session(rng_of(name, 1003), 0.02, visits=1)
    for k in range(4):
        yield f"random-{k:03d}", _session(rng_of(name, k), 0.05, far=k)


quantity(Quantity(
    "beam_shift_calibration", "matrix from beam shift to stage, from planned places of holes",
    "refimpl.epu.metadata.metadata",
    (_STAGE, _SHIFT, Array("hole_um", "um", "n,2", "planned place of the hole of each exposure")),
    (Output("matrix_um", "um", "2,2", "hole - stage = beam_shift @ matrix + c", atol=1e-6,
            why="an iteration that stops at 1e-12 of the matrix"),
     Output("sigma_um", "um", "2,2", "standard uncertainties", atol=1e-6, why="as the matrix")),
    _calibrate, _session_cases,
    "One exposure a hole, one grid square, in the order of time. Least squares with a constant, "
    "reweighted: w = 1 / max(d / (1.345 s), 1) with d the distance of a row from the model and s "
    "= median(d) / 1.1774. sigma^2 = (sum w d^2 / (2 (n - 3))) times the diagonal of the inverse "
    "of A^T W A.",
))  # fmt: skip


# --- groups of beam shifts ------------------------------------------------------------------------


def _grid(rng: np.random.Generator, side: int, keep: float = 1.0) -> F64:
    turn = affine(0.1, rng.uniform(-0.7, 0.7)).matrix_um
    half = side // 2
    cells = np.array([(i, j) for i in range(-half, half + 1) for j in range(-half, half + 1)])
    inner = np.abs(cells).max(axis=1) <= 1  # the middle stays whole
    cells = cells[inner | (rng.random(len(cells)) < keep)]
    centres = cells @ turn + rng.normal(0.0, 0.001, (len(cells), 2))
    return centres[rng.permutation(len(centres))]


def _numbers(**given: Any) -> Inputs:
    centres = given["centre"]
    found = spacings(centres)
    return {
        "number": number_on_grid(centres), "least": found.min, "nearest_mean": found.nn_mean,
        "nearest_median": found.nn_median, "edge_mean": found.edge_mean,
        "smallest_median": found.smallest_median,
    }  # fmt: skip


def _number_cases() -> Iterator[tuple[str, Inputs]]:
    name = "hole_numbers"
    yield "ordinary-5x5", {"centre": _grid(rng_of(name, 1000), 5)}
    yield "ordinary-3x3", {"centre": _grid(rng_of(name, 1001), 3)}
    yield "edge-holes-missing", {"centre": _grid(rng_of(name, 1002), 7, 0.6)}
    yield "edge-two", {"centre": np.array([[0.011, 0.002], [0.108, 0.007]])}
    for k in range(3):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", {"centre": _grid(rng, int(rng.choice([5, 7])), 0.85)}


quantity(Quantity(
    "hole_numbers", "numbers of the holes of a pattern, and spacings between them",
    "refimpl.clustering.hole_grid.number_on_grid",
    (Array("centre", "1", "n,2", "centres of groups of beam shifts"),),
    (Output("number", "1", "n", "from 1, ring by ring, anticlockwise", "i8", compare="exact"),
     Output("least", "1", "", "smallest distance", atol=1e-14, why=_DOUBLE),
     Output("nearest_mean", "1", "", "mean distance to the nearest", atol=1e-14, why=_DOUBLE),
     Output("nearest_median", "1", "", "median distance to the nearest", atol=1e-14, why=_DOUBLE),
     Output("edge_mean", "1", "", "mean edge of the lattice", atol=1e-14, why=_DOUBLE),
     Output("smallest_median", "1", "", "median of the n smallest distances", atol=1e-14,
            why=_DOUBLE)),
    _numbers, _number_cases,
    "The origin is the centre nearest to no beam shift, the first axis the lattice direction "
    "within 45 degrees of +x. Rings are square (larger of the two indices), within a ring by "
    "angle from the first axis. Edges: pairs no farther than 2^(1/4) times the median distance to "
    "the nearest.",
))  # fmt: skip


# --- duplicates -----------------------------------------------------------------------------------


def _duplicates(**given: Any) -> Inputs:
    position, diameter = given["position_um"], given["diameter_um"]
    n = len(position)
    pairs = close_pairs(position, float(given["radius_um"]))
    first, second = pairs.T
    distance = np.hypot(*(position[first] - position[second]).T)
    return {
        "pairs": pairs, "kept_partner": kept_partners(n, pairs), "group": components(n, pairs),
        "overlap": disc_overlap(distance, diameter[first], diameter[second]),
    }  # fmt: skip


def _duplicate_cases() -> Iterator[tuple[str, Inputs]]:
    name = "duplicates"

    def one(rng: np.random.Generator, n: int, again: int, radius: float) -> Inputs:
        places = rng.uniform(-20.0, 20.0, (n, 2))
        back = places[rng.integers(0, n, again)] + rng.normal(0.0, 0.15, (again, 2))
        position = np.vstack([places, back])[rng.permutation(n + again)]
        return {
            "position_um": position, "radius_um": np.float64(radius),
            "diameter_um": rng.choice([0.4, 0.6], n + again),
        }  # fmt: skip

    yield "ordinary-0", one(rng_of(name, 1000), 40, 12, 0.3)
    chain = np.column_stack([0.9 * np.arange(7), np.zeros(7)])
    yield (
        "edge-chain",
        {"position_um": chain, "radius_um": np.float64(1.0), "diameter_um": np.full(7, 1.0)},
    )
    exact = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0], [9.0, 4.0], [20.0, 0.0]])
    yield (
        "edge-on-the-radius",
        {"position_um": exact, "radius_um": np.float64(5.0), "diameter_um": np.full(5, 12.0)},
    )
    inside = {"position_um": np.array([[0.0, 0.0], [0.1, 0.0], [0.5, 0.0]]),
              "radius_um": np.float64(2.0), "diameter_um": np.array([2.0, 0.4, 1.0])}  # fmt: skip
    yield "edge-disc-in-disc", inside
    yield "edge-none", one(rng_of(name, 1001), 12, 0, 0.01)
    for k in range(4):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", one(rng, 30, 20, float(rng.uniform(0.2, 1.5)))


quantity(Quantity(
    "duplicates", "exposures of places that were exposed before",
    "refimpl.epu.duplicates.find_duplicates",
    (Array("position_um", "um", "n,2", "exposures in the order of time"),
     Array("radius_um", "um", "", "pairs are no farther apart, inclusive"),
     Array("diameter_um", "um", "n", "of the beam")),
    (Output("pairs", "1", "p,2", "rows, the smaller first, sorted", "i8", compare="exact"),
     Output("kept_partner", "1", "n", "row of the earliest kept exposure within the radius; -1 for "
            "a kept one", "i8", compare="exact"),
     Output("group", "1", "n", "what chains of pairs connect; -1 in no pair", "i8",
            compare="labels"),
     Output("overlap", "1", "p", "part of the second beam disc that the first covers", atol=1e-10,
            why="an acos near 1 loses digits")),
    _duplicates, _duplicate_cases,
    "An exposure is kept if no kept one before it lies within the radius.",
))  # fmt: skip
