"""Arguments for the pairs of :mod:`refimpl.objective`."""

from __future__ import annotations

import numpy as np

from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []


# Partial sums of 256 rows; more than 256 of them are made in parallel.
@strategy("least_squares.accumulate_normal", chunk=(256, 256 * 256))
def _linear_problem(rng: np.random.Generator, n: int) -> Arguments:
    # columns of very different size, as derivatives by metres and radians are
    return {
        "residual": rng.normal(size=n),
        "jacobian": rng.normal(size=(n, 4)) * np.array([1e-6, 1.0, 1e3, 1e6]),
        "weight": rng.uniform(0.0, 2.0, n),
    }


@strategy("least_squares.accumulate_blocks", chunk=(256, 65 * 256))
def _blocks(rng: np.random.Generator, n: int) -> Arguments:
    # blocks of any size, empty ones among them; more than 64 of them where there is room
    inner = np.sort(rng.integers(0, n + 1, min(80, n)))
    return _linear_problem(rng, n) | {"first": np.array([0, *inner, n], dtype=np.int64)}
