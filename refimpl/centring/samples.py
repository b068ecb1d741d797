"""Pictures with their reflection counts, as arrays: what nets are trained and judged on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.centring.crops import standardised
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Samples"]

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Samples:
    """Cropped, resized and standardised pictures, one row each.

    Attributes
    ----------
    images
        (n, channels, size, size) float32, each of mean 0 and deviation 1.
    count
        (n,) reflections.
    crystal
        (n,) ids.
    """

    images: F32
    count: F64
    crystal: NDArray[np.str_]

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.ndim != 4 or self.images.shape[2] != self.images.shape[3]:
            raise ConfigError(
                f"pictures of shape {self.images.shape}: expected (n, channels, size, size)"
            )
        if len(self.count) != n or len(self.crystal) != n:
            raise ConfigError(
                f"samples: {n} pictures, {len(self.count)} counts, {len(self.crystal)} crystals"
            )
        _finite(self.images)
        if not (np.isfinite(self.count) & (self.count >= 0.0)).all():
            bad = int(np.flatnonzero(~(np.isfinite(self.count) & (self.count >= 0.0)))[0])
            raise ConfigError(
                f"picture {bad}: reflection count {self.count[bad]}: expected a number of 0 or more"
            )

    @classmethod
    def of(cls, images: ArrayLike, count: ArrayLike, crystal: ArrayLike) -> Samples:
        """From (n, size, size) or (n, channels, size, size) pictures of any type and brightness."""
        values = np.asarray(images)
        if values.ndim == 3:
            values = values[:, None]
        if values.ndim != 4:
            raise ConfigError(
                f"pictures of shape {values.shape}: expected (n, size, size) or (n, channels, size,"
                " size)"
            )
        _finite(values)
        seen = np.empty(values.shape, dtype=np.float32)
        for i, picture in enumerate(values):  # one by one: all of them as float64 are large
            seen[i] = standardised(picture.astype(np.float64))
        ids = np.asarray(crystal).astype(np.str_)
        return cls(seen, np.asarray(count, dtype=np.float64), ids)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Edge of the pictures [px]."""
        return int(self.images.shape[2])

    def some(self, rows: NDArray[Any]) -> Samples:
        """Some of the rows."""
        return replace(
            self, images=self.images[rows], count=self.count[rows], crystal=self.crystal[rows]
        )


def _finite(images: NDArray[Any]) -> None:
    for i, picture in enumerate(images):
        if not np.isfinite(picture).all():
            raise ConfigError(f"picture {i} has values that are not finite")
