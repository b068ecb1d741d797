"""Arguments for the pairs of :mod:`refimpl.imaging` that find spots."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.testing.strategies import Arguments, strategy

__all__: list[str] = []

_COLUMNS = 41


def _counts(rng: np.random.Generator, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """Return a Poisson background with spots, gaps and a few overloads: (n, 41)."""
    image = rng.poisson(rng.choice([0.3, 3.0, 40.0]), (n, _COLUMNS)).astype(np.int32)
    for _ in range(n // 8 + 1):
        s, f = rng.integers(0, max(n, 1)), rng.integers(0, _COLUMNS)
        image[s : s + rng.integers(1, 6), f : f + rng.integers(1, 6)] += rng.integers(5, 5000)
    image[rng.random(image.shape) < 0.02] = -1
    image[rng.random(image.shape) < 0.01] = 1 << 21
    if n > 20:
        image[n // 2 : n // 2 + 5] = -1
    return image


@strategy("spot_threshold.dispersion", chunk=96)  # rows a thread takes at once
def _dispersion(rng: np.random.Generator, n: int) -> Arguments:
    return {
        "image": _counts(rng, n),
        "mask": (rng.random((n, _COLUMNS)) < 0.97).astype(np.uint8),
        "low": int(rng.choice([0, -1])),
        "high": int(rng.choice([100000, 1 << 30])),
        "half_fast": int(rng.integers(1, 5)),
        "half_slow": int(rng.integers(1, 5)),
        "min_count": int(rng.integers(2, 8)),
        "sigma_background": float(rng.uniform(2.0, 7.0)),
        "sigma_strong": float(rng.uniform(1.0, 4.0)),
        "global_threshold": float(rng.choice([0.0, 4.0])),
        "gain": float(rng.choice([0.0, 1.3])),
    }


strategy("spot_threshold.dispersion_extended", chunk=96)(_dispersion)


@strategy("spot_labels.join_frame", chunk=4096)
def _strong_pixels(rng: np.random.Generator, n: int) -> Arguments:
    """About half of the pixels of an image, and some of the one before, in spots of any shape."""
    size = 2 * n + 1
    previous = np.flatnonzero(rng.random(size) < 0.4)
    n_open = int(rng.integers(1, n + 2))
    return {
        "index": np.sort(rng.choice(size, n, replace=False)).astype(np.int64),
        "previous": previous.astype(np.int64),
        "previous_label": rng.integers(0, n_open, len(previous)),
        "n_open": n_open,
        "n_fast": int(rng.integers(1, 30)),
    }


@strategy("spot_labels.measure_spots", chunk=513)  # spots that are worth a parallel region
def _spots(rng: np.random.Generator, n: int) -> Arguments:
    sizes = rng.integers(1, 9, n)
    pixels = int(sizes.sum())
    return {
        "position": rng.integers(0, 3000, (pixels, 3)).astype(np.int32),
        "counts": rng.integers(1, 30, pixels).astype(np.int32),
        "offsets": np.append(0, np.cumsum(sizes)).astype(np.int64),
    }


def _some_boxes(rng: np.random.Generator, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Boxes along one side: none, or a few of 5 to 12 px, some with gaps between."""
    pairs, at = [], int(rng.integers(0, 4))
    while at < size:
        last = at + int(rng.integers(4, 12))
        if last >= size:
            break
        pairs.append((at, last))
        at = last + 1 + int(rng.choice([0, 2]))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


@strategy("distl_signal.local_signal", chunk=24)
def _boxed_image(rng: np.random.Generator, n: int) -> Arguments:
    """An image whose boxes differ from pass to pass; some must grow, a few beyond the image."""
    image = _counts(rng, n)
    if n > 12 and rng.random() < 0.5:
        image[3:9, 5:20] = -1
    boxes = {
        f"{side}{k}": _some_boxes(rng, n if side == "slow" else _COLUMNS)
        for k in (1, 2, 3)
        for side in ("slow", "fast")
    }
    upper = float(rng.choice([1.2, 2.5]))
    return {"image": image, **boxes, "upper": upper, "underload": int(rng.choice([-1, 0]))}


@strategy("distl_rings.ring_histogram", chunk=24)
def _signal(rng: np.random.Generator, n: int) -> Arguments:
    return {
        "signal": rng.normal(0.3, 1.0, (n, _COLUMNS)).astype(np.float32),
        "beam_slow": int(rng.integers(-20, n + 20)),
        "beam_fast": int(rng.integers(-20, _COLUMNS + 20)),
        "margin": int(rng.integers(1, 8)),
        "width": int(rng.integers(1, 6)),
        "n_rings": int(rng.integers(0, 20)),
        "levels": np.array([0.0, 1.5]),
    }


@strategy("distl_grow.grow_spots", chunk=24)
def _high_pixels(rng: np.random.Generator, n: int) -> Arguments:
    """Spots of equal counts among them, which share maxima; overloads that are not high."""
    image = rng.poisson(2.0, (n, _COLUMNS)).astype(np.int32)
    image[rng.random(image.shape) < 0.01] = 1000
    signal = image - 2.0 + rng.normal(0.0, 0.5, image.shape)
    signal[rng.random(image.shape) < 0.05] = np.nan
    return {
        "image": image,
        "signal": signal.astype(np.float32),
        "margin": int(rng.integers(1, 6)),
        "underload": int(rng.choice([-1, 3])),
        "overload": int(rng.choice([500, 5000])),
        "height": float(rng.uniform(0.0, 2.5)),
        "neighbours": int(rng.integers(-1, 4)),
    }
