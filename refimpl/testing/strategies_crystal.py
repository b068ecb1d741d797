"""Arguments for the pairs of :mod:`refimpl.crystal` and :mod:`refimpl.clustering`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_operators
from refimpl.rotations import multiply_quaternions
from refimpl.testing.strategies import Arguments, PerOutput, strategy
from refimpl.units import DEG

__all__ = ["random_quaternions"]


def random_quaternions(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """(*shape, 4) unit quaternions, uniform over all rotations."""
    q = rng.normal(size=(*shape, 4))
    return np.asarray(q / np.sqrt((q * q).sum(axis=-1, keepdims=True)))


def _angle_scale(arguments: Arguments) -> PerOutput:
    # the angle is that of products of size one, whose last bits are all of a small angle
    return [np.pi]


# 128 pairs a block, parallel above 5000
@strategy("misorientation.misorientation", chunk=(128, 5000), scale=_angle_scale)
def _pairs(rng: np.random.Generator, n: int) -> dict[str, Any]:
    operators = laue_operators(LAUE_CLASSES[rng.integers(len(LAUE_CLASSES))])
    q1, q2 = random_quaternions(rng, 2, n)
    # half of them close to an image of each other
    close = q1 + 10.0 ** rng.uniform(-12.0, -1.0, size=(n, 1)) * rng.normal(size=(n, 4))
    q2[::2] = close[::2]
    return {"q1": q1, "q2": q2, "operators": operators}


# 2048 points a block, parallel above
@strategy("greedy_grains.greedy_labels", chunk=2048)
def _grains(rng: np.random.Generator, n: int) -> dict[str, Any]:
    operators = laue_operators(LAUE_CLASSES[rng.integers(len(LAUE_CLASSES))])
    limit = DEG * 10.0 ** rng.uniform(-1.0, 1.5)
    # grains of a few limits across, each point by any of its names, of any length
    centres = random_quaternions(rng, 1 + n // 20)
    q = centres[rng.integers(len(centres), size=n)] + limit * rng.normal(size=(n, 4)) / 3.0
    q = multiply_quaternions(q, operators[rng.integers(len(operators), size=n)])
    q *= rng.choice([-1.0, 1.0, 3.0], size=(n, 1))
    order = rng.permutation(n)[: n - n // 10]
    pairs = rng.integers(max(n, 1), size=(3 * n, 2)) if rng.random() < 0.5 else None
    return {
        "quaternion": q, "order": order, "operators": operators, "limit_rad": limit,
        "pairs": pairs,
    }  # fmt: skip
