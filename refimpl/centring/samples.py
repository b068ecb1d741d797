"""Pictures with their reflection counts, as arrays: what nets are trained and judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.centring.crops import standardised
from refimpl.centring.targets import Target
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Samples"]

F32 = NDArray[np.float32]


def _nothing() -> Any:
    return np.empty(0)


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
    zoom, omega_rad
        (n,) of the camera and of the spindle; NaN where unknown.
    name
        (n,) file that a picture came from; "" where unknown.
    """

    images: F32
    count: F64
    crystal: NDArray[np.str_]
    zoom: F64 = field(default_factory=_nothing)
    omega_rad: F64 = field(default_factory=_nothing)
    name: NDArray[np.str_] = field(default_factory=_nothing)

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
        for column in ("zoom", "omega_rad", "name"):
            values = np.asarray(getattr(self, column))
            if not len(values):
                values = np.full(n, "") if column == "name" else np.full(n, np.nan)
            if len(values) != n:
                raise ConfigError(f"samples: {n} pictures, {len(values)} of {column}", key=column)
            kind = np.str_ if column == "name" else np.float64
            object.__setattr__(self, column, values.astype(kind))
        _finite(self.images)
        if not (np.isfinite(self.count) & (self.count >= 0.0)).all():
            bad = int(np.flatnonzero(~(np.isfinite(self.count) & (self.count >= 0.0)))[0])
            raise ConfigError(
                f"picture {bad}: reflection count {self.count[bad]}: expected a number of 0 or more"
            )

    @classmethod
    def of(
        cls, images: ArrayLike, count: ArrayLike, crystal: ArrayLike, *,
        zoom: ArrayLike = (), omega_rad: ArrayLike = (), name: Sequence[str] | NDArray[Any] = (),
    ) -> Samples:  # fmt: skip
        """From (n, size, size) or (n, channels, size, size) pictures of any type and brightness.

        Each channel is standardised by itself.
        """
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
        return cls(
            seen, np.asarray(count, dtype=np.float64), np.asarray(crystal).astype(np.str_),
            np.asarray(zoom, dtype=np.float64), np.asarray(omega_rad, dtype=np.float64),
            np.asarray(name, dtype=np.str_),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Edge of the pictures [px]."""
        return int(self.images.shape[2])

    @property
    def channels(self) -> int:
        """Colours of the pictures: 1 is grey."""
        return int(self.images.shape[1])

    def some(self, rows: NDArray[Any]) -> Samples:
        """Some of the rows."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def targets(self, target: Target) -> F64:
        """(n,) what a net is taught of each; all pictures of a crystal must be among these rows.

        Raises
        ------
        ConfigError
            See :meth:`refimpl.centring.targets.Target.apply`.
        """
        return target.apply(self.count, self.crystal)


def _finite(images: NDArray[Any]) -> None:
    for i, picture in enumerate(images):
        if not np.isfinite(picture).all():
            raise ConfigError(f"picture {i} has values that are not finite")
