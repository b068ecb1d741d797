"""Arguments for the pairs of :mod:`refimpl.imaging.azimuthal`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []

_TYPES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
_BINS = 7
_SPOILT = {"bins": (-1, _BINS, _BINS + 1, -(2**31), 2**31 - 1)}


def _values(rng: np.random.Generator, n: int) -> NDArray[Any]:
    """Numbers of a random type over its whole range, so that the order of a sum shows."""
    kind = np.dtype(rng.choice(_TYPES))
    if kind.kind == "f":
        values = (rng.normal(0.0, 1.0, n) * 10.0 ** rng.uniform(-8.0, 8.0, n)).astype(kind)
        if n > 3 and rng.random() < 0.3:
            values[rng.integers(0, n, 2)] = rng.choice([math.nan, math.inf, -math.inf], 2)
        return values
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max, n, dtype=kind, endpoint=True)


@strategy("azimuthal.bin_sums", chunk=(28, 20000), specials=_SPOILT)
def _pixels(rng: np.random.Generator, n: int) -> Arguments:
    """Pixels in runs of the same bin, as on a ring, some outside."""
    bins = np.repeat(rng.integers(-1, _BINS, n // 2 + 1), 2)[:n]
    return {
        "values": _values(rng, n),
        "bins": bins.astype(np.int32),
        "n_bins": _BINS,
        "blocks": int(rng.choice([1, 3, 16])),
        "lanes": int(rng.choice([1, 4])),
    }


@strategy(
    "azimuthal.split_sums", chunk=20000, specials={**_SPOILT, "pixel": (-1, 10**6, 2**31 - 1)}
)
def _entries(rng: np.random.Generator, n: int) -> Arguments:
    """Entries of pixels with shares; more entries than pixels."""
    pixels = max(n // 2, 1)
    return {
        "values": _values(rng, pixels if n else 0),
        "pixel": np.sort(rng.integers(0, pixels, n)).astype(np.int32),
        "bins": rng.integers(-1, _BINS, n).astype(np.int32),
        "share": rng.integers(1, 226, n).astype(np.uint8),
        "n_bins": _BINS,
        "blocks": int(rng.choice([1, 3, 16])),
    }
