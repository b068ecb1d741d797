"""Quantities of the kit about orientation maps: grains, their means and their spreads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.clustering.grains import grain_table, segment
from refimpl.clustering.neighbours import image_pairs
from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_operators
from refimpl.frames import F64
from refimpl.rotations import multiply_quaternions
from refimpl.testing.conform_crystal_vectors import random_quaternions
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of
from refimpl.units import DEG

__all__: list[str] = []

_LAUE = Array("laue_class", "1", "", f"one of {', '.join(LAUE_CLASSES)}", "str")
_QUATERNION = Array("quaternion", "1", "v,4", "w, x, y, z, crystal to sample; NaN: no solution")
_SIDE = 6


def _turns(rng: np.random.Generator, n: int, most_rad: float) -> F64:
    """(n, 4) rotations by up to an angle about any axis."""
    axis = rng.normal(size=(n, 3))
    axis /= np.sqrt((axis * axis).sum(axis=1, keepdims=True))
    half = 0.5 * rng.uniform(0.0, most_rad, (n, 1))
    return np.hstack([np.cos(half), np.sin(half) * axis])


def _map(
    rng: np.random.Generator, laue: str, spread_rad: float, grains: int = 3
) -> tuple[F64, np.ndarray[Any, np.dtype[np.int64]]]:
    """Orientations of a small map in bands of grains, each pixel as any of its equivalents."""
    own = np.minimum(np.arange(_SIDE * _SIDE) * grains // (_SIDE * _SIDE), grains - 1)
    true = random_quaternions(rng, grains)
    q = multiply_quaternions(true[own], _turns(rng, len(own), spread_rad))
    table = laue_operators(laue)
    q = multiply_quaternions(q, table[rng.integers(0, len(table), len(own))])
    return q * rng.choice([-1.0, 1.0], (len(own), 1)), own.astype(np.int64)


def _segment(**given: Any) -> Inputs:
    table = laue_operators(given["laue_class"])
    q, pairs, limit = given["quaternion"], given["pairs"], float(given["limit_rad"])
    return {"label": segment(q, pairs, table, limit)}


def _segment_cases() -> Iterator[tuple[str, Inputs]]:
    name = "grain_labels"

    def one(rng: np.random.Generator, laue: str, spread: float, limit: float) -> Inputs:
        q, _ = _map(rng, laue, spread)
        pairs = image_pairs((_SIDE, _SIDE), diagonal=False)
        return {
            "quaternion": q, "pairs": pairs, "laue_class": laue, "limit_rad": np.float64(limit),
        }  # fmt: skip

    for j, laue in enumerate(("m-3m", "6/mmm", "-3m1", "mmm", "2/m", "-1")):
        rng = rng_of(name, 1000 + j)
        yield f"ordinary-{laue.replace('/', '_over_')}", one(rng, laue, 1.0 * DEG, 5.0 * DEG)
    holes = one(rng_of(name, 1100), "m-3m", 1.0 * DEG, 5.0 * DEG)
    holes["quaternion"] = np.where(np.arange(36)[:, None] % 7 == 3, np.nan, holes["quaternion"])
    yield "edge-no-solution", holes
    # a lattice that bends: neighbours are within the limit, the ends are not
    angle = 0.5 * 3.0 * DEG * np.arange(12)
    bent = np.column_stack([np.cos(angle), np.zeros((12, 2)), np.sin(angle)])
    chain = np.column_stack([np.arange(11), np.arange(1, 12)])
    yield (
        "edge-bent",
        {"quaternion": bent, "pairs": chain, "laue_class": "m-3m", "limit_rad": 3.5 * DEG},
    )
    # the same bend, with one step between the limit in degrees and twice it: full angles count
    bent = bent.copy()
    bent[6:] = multiply_quaternions(np.array([np.cos(DEG), 0.0, 0.0, np.sin(DEG)]), bent[6:])
    yield (
        "edge-one-step-beyond",
        {"quaternion": bent, "pairs": chain, "laue_class": "m-3m", "limit_rad": 3.5 * DEG},
    )
    for k in range(4):
        rng = rng_of(name, k)
        laue = str(rng.choice(LAUE_CLASSES))
        yield f"random-{k:03d}", one(rng, laue, 3.0 * DEG, rng.uniform(2.0, 5.0) * DEG)


quantity(Quantity(
    "grain_labels", "grains of an orientation map", "refimpl.clustering.grains.segment",
    (_QUATERNION, Array("pairs", "1", "k,2", "neighbours, rows from 0", "i8"), _LAUE,
     Array("limit_rad", "rad", "", "largest misorientation of neighbours in a grain, inclusive")),
    (Output("label", "1", "v", "grain of each point; -1 without a solution", "i8",
            compare="labels"),),
    _segment, _segment_cases, "Grains are what steps within the limit reach (flood fill).",
))  # fmt: skip


def _means(**given: Any) -> Inputs:
    table = laue_operators(given["laue_class"])
    found = grain_table(given["quaternion"], given["label"], table, given["position_mm"])
    sign = np.where(found.quaternion[:, :1] < 0.0, -1.0, 1.0)
    return {
        "mean_quaternion": found.quaternion * sign, "n_points": found.n_points,
        "centre_mm": found.centre, "spread_rad": found.spread_rad,
    }  # fmt: skip


def _means_cases() -> Iterator[tuple[str, Inputs]]:
    name = "grain_means"

    def one(rng: np.random.Generator, laue: str, spread: float) -> Inputs:
        q, own = _map(rng, laue, spread)
        return {
            "quaternion": q, "label": own, "laue_class": laue,
            "position_mm": rng.uniform(-1.0, 1.0, (len(q), 2)),
        }  # fmt: skip

    for j, laue in enumerate(LAUE_CLASSES):
        word = laue.replace("/", "_over_")
        yield f"ordinary-{word}", one(rng_of(name, 1000 + j), laue, 2.0 * DEG)
    yield "edge-no-spread", one(rng_of(name, 1100), "m-3m", 0.0)
    left_out = one(rng_of(name, 1101), "6/mmm", 2.0 * DEG)
    left_out["label"] = np.where(np.arange(36) % 5 == 2, -1, left_out["label"])
    yield "edge-points-without-grain", left_out
    for k in range(4):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", one(rng, str(rng.choice(LAUE_CLASSES)), 4.0 * DEG)


quantity(Quantity(
    "grain_means", "mean orientation, size, place and spread of grains",
    "refimpl.clustering.grains.grain_table",
    (_QUATERNION, Array("label", "1", "v", "grain of each point; -1 for none", "i8"), _LAUE,
     Array("position_mm", "mm", "v,2", "place of each point")),
    (Output("mean_quaternion", "1", "g,4", "in the fundamental zone, w >= 0", atol=1e-9,
            why="an eigenvector, iterated until it moves by less than 1e-14"),
     Output("n_points", "1", "g", "points", "i8", compare="exact"),
     Output("centre_mm", "mm", "g,2", "mean place", atol=1e-12, why="double precision"),
     Output("spread_rad", "rad", "g", "mean misorientation of the points with the mean",
            atol=3e-8, why="an acos of a quaternion's w may be off by 1.5e-8 rad")),
    _means, _means_cases,
    "The mean is the q that makes the sum of (q . q_i S_i)^2 largest, S_i the operator that "
    "brings point i nearest to it (Markley et al. 2007).",
))  # fmt: skip
