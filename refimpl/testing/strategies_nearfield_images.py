"""Arguments for the pairs of :mod:`refimpl.imaging` that find lit pixels of near-field frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.imaging.log_filter import log_kernel
from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []

_COLUMNS = 141  # more than two tiles of the medians


def _counts(rng: np.random.Generator, n: int) -> NDArray[np.uint16]:
    """(n, 141) background with blobs, dead rows and saturated pixels, dense or sparse."""
    image = rng.poisson(rng.choice([0.1, 3.0, 60.0, 4000.0]), (n, _COLUMNS))
    for _ in range(n // 6 + 1):
        s, f = rng.integers(0, max(n, 1)), rng.integers(0, _COLUMNS)
        image[s : s + rng.integers(1, 9), f : f + rng.integers(1, 9)] += rng.integers(5, 40000)
    image[rng.random(image.shape) < 0.01] = 65535
    if n > 20:
        image[n // 2 : n // 2 + 3] = 0
    return np.minimum(image, 65535).astype(np.uint16)


@strategy("nearfield_background.order_statistic", chunk=100)
def _stack(rng: np.random.Generator, n: int) -> Arguments:
    pixels = 45  # a tile and a part of one
    level = rng.choice([0, 5, 300, 60000], pixels)
    stack = np.minimum(level + rng.poisson(rng.choice([0.0, 4.0, 2000.0]), (n, pixels)), 65535)
    stack[rng.random(stack.shape) < 0.02] = rng.choice([0, 65535])
    return {"stack": stack.astype(np.uint16), "rank": int(rng.integers(-1, n + 1))}


@strategy("binarise.corrected", chunk=32)  # rows a thread takes at once
def _frame(rng: np.random.Generator, n: int) -> Arguments:
    floor = rng.integers(0, 8, (n, _COLUMNS)).astype(np.uint16)
    floor[rng.random(floor.shape) < 0.01] = 65535
    return {"raw": _counts(rng, n), "floor": floor, "radius": int(rng.integers(-1, 4))}


@strategy("log_filter.log_spots", chunk=32)  # rows a thread takes at once
def _image(rng: np.random.Generator, n: int) -> Arguments:
    """Half of the cases with sums beyond 2**24, where single precision is not exact."""
    image = _counts(rng, n)
    image[rng.random(image.shape) < rng.choice([0.0, 0.5, 0.98])] = 0
    if rng.random() < 0.5:
        image //= 200
    sigma, radius = ((1.0, 4), (2.0, 5), (4.0, 10), (0.7, 1))[int(rng.integers(0, 4))]
    return {"image": image, "quarter": log_kernel(sigma, radius)}
