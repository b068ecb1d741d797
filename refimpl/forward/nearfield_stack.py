"""Near-field stacks from a map: which pixels of which frames are lit, and images with noise.

:func:`simulate_stack` runs :mod:`~refimpl.forward.nearfield_spots` and
:mod:`~refimpl.forward.nearfield_pixels` block by block, and keeps each lit pixel once with the
number of spots that touched it, so memory grows with what is lit and not with voxels or frames.
:func:`stack_images` makes raw frames of that, one at a time. The two flips between (Y, Z) and a
raw image (spec 1.0) are :func:`raw_image` and :func:`model_image`, and nowhere else.

Geometry: by default the scaled one of the published programs, so that a map simulated here and
confidences computed by :mod:`refimpl.objective.overlap` agree to the pixel (C(truth) = 1);
``exact=True`` is the better detector, for asking what the scaled one costs. Not modelled: partial
cover of pixels, structure factors, absorption, spread of orientations in a voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.nearfield_pixels import pixels_of_setup
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.frames import F64, I64

__all__ = [
    "ImageModel",
    "SimulatedPixels",
    "model_image",
    "raw_image",
    "simulate_stack",
    "stack_images",
]

_PENDING = 500_000  # hits, 8 bytes each, that wait before they are merged
_AT_ONCE = 2_000_000  # hits, 20 bytes each, of a block
_TAIL = 4.0  # standard deviations of a blur that are kept


def raw_image(yz: NDArray[Any]) -> NDArray[Any]:
    """Image (NY, NZ) by Y and Z -> raw (NZ, NY): row NZ - 1 - Z, column NY - 1 - Y (spec 1.0)."""
    return np.ascontiguousarray(yz[::-1, ::-1].T)


def model_image(raw: NDArray[Any]) -> NDArray[Any]:
    """Raw image (rows, columns) -> (NY, NZ) by Y and Z, the inverse of :func:`raw_image`."""
    return np.ascontiguousarray(raw.T[::-1, ::-1])


@dataclass(frozen=True, eq=False)
class SimulatedPixels:
    """Lit pixels of a simulated stack, sorted.

    Attributes
    ----------
    shape
        (distances, frames, NY, NZ).
    key
        (n,) ((distance * frames + frame) * NY + Y) * NZ + Z, rising: the published bit numbers.
    touches
        (n,) int32, how many (voxel, spot) pairs touch the pixel.
    """

    shape: tuple[int, int, int, int]
    key: I64
    touches: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.key)

    def pixels(self) -> NDArray[np.int32]:
        """(n, 4) int32 distance, frame, Y, Z; what ``LitPixels.from_hits`` takes."""
        parts = np.unravel_index(self.key, self.shape)
        return np.stack(parts, axis=-1).astype(np.int32)

    def frame(self, distance: int, frame: int) -> NDArray[np.int32]:
        """(NY, NZ) touches of one frame."""
        ny, nz = self.shape[2:]
        first = (distance * self.shape[1] + frame) * ny * nz
        lo, hi = np.searchsorted(self.key, [first, first + ny * nz])
        image = np.zeros(ny * nz, dtype=np.int32)
        image[self.key[lo:hi] - first] = self.touches[lo:hi]
        return image.reshape(ny, nz)


def _merged(key: I64, touches: I64, new: list[I64]) -> tuple[I64, I64]:
    """Keys (n,), each once and rising, and their counts, with the keys of new hits added."""
    hits = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *new]))
    first = np.flatnonzero(np.diff(hits, prepend=-1))
    both = np.concatenate([key, hits[first]])
    count = np.concatenate([touches, np.diff(np.append(first, len(hits)))])
    order = np.argsort(both, kind="stable")  # two rising runs: merged, not sorted
    both, count = both[order], count[order]
    first = np.flatnonzero(np.diff(both, prepend=-1))
    return both[first], np.add.reduceat(count, first) if len(first) else count


def _bounded(setup: Setup, voxels: Voxels, block: int) -> int:
    """So few voxels at a time that their hits fit, if every other reflection is seen once."""
    side = float(voxels.edge_mm.max(initial=0.0)) / setup.detector.pixel_size_mm + 2.0
    each = 0.5 * len(setup.reflections) * setup.detector.n_distances * side * side
    return max(1, min(block, int(_AT_ONCE / max(each, 1.0))))


def simulate_stack(
    setup: Setup,
    voxels: Voxels,
    orientations: F64,
    *,
    published_footprint: bool = False,
    exact: bool = False,
    block: int = 256,
    progress: Callable[[int, int], None] | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> SimulatedPixels:
    """Pixels that a map lights, at every distance.

    Parameters
    ----------
    setup
        The experiment.
    voxels, orientations
        The map: v voxels and (v, 3, 3) crystal to sample.
    published_footprint, exact
        As of :func:`~refimpl.forward.nearfield_pixels.voxel_pixels`.
    block
        Voxels at a time; fewer where they are so large that their hits would not fit.
    progress
        Called with (voxels done, voxels in all) after each block.

    Raises
    ------
    ConfigError
        Not one orientation a voxel, or a block without voxels.
    """
    u = np.asarray(orientations, dtype=np.float64)
    if u.shape != (len(voxels), 3, 3):
        raise ConfigError(
            f"orientations of shape {u.shape}: expected ({len(voxels)}, 3, 3), one a voxel"
        )
    if block < 1:
        raise ConfigError(f"block = {block}: expected one voxel or more at a time")
    detector = setup.detector
    shape = (detector.n_distances, setup.scan.n_frames, *detector.shape_px)
    key, touches = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    new: list[I64] = []
    block = _bounded(setup, voxels, block)
    for start in range(0, len(voxels), block):
        rows = slice(start, start + block)
        spots = spots_of_setup(setup, u[rows], backend=backend, threads=threads)
        hits = pixels_of_setup(
            setup, voxels[rows], spots, published_footprint=published_footprint, exact=exact,
            backend=backend, threads=threads,
        ).astype(np.int64)  # fmt: skip
        d, f, y, z = hits[:, 1:].T
        new.append(((d * shape[1] + f) * shape[2] + y) * shape[3] + z)
        if sum(map(len, new)) > max(_PENDING, len(key)):  # so that merging stays linear
            key, touches = _merged(key, touches, new)
            new = []
        if progress is not None:
            progress(min(start + block, len(voxels)), len(voxels))
    key, touches = _merged(key, touches, new)
    return SimulatedPixels(shape, key, touches.astype(np.int32))


@dataclass(frozen=True)
class ImageModel:
    """How lit pixels become counts.

    Attributes
    ----------
    counts
        Expected counts that one touch of a pixel gives, before the blur.
    background
        Expected counts of every pixel, or (NZ, NY) of a raw image.
    blur_px
        Standard deviation of the point spread in the image [px]; 0 for none.
    noise
        Poisson noise of the sum. Without it counts are rounded to whole ones.
    read_noise
        Standard deviation of Gaussian noise of the read-out [counts].
    seed
        Of the noise; each frame has its own stream, whatever the order they are made in.
    """

    counts: float = 200.0
    background: float | F64 = 20.0
    blur_px: float = 0.7
    noise: bool = True
    read_noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("counts", "blur_px", "read_noise"):
            value = getattr(self, name)
            if not 0.0 <= value < np.inf:
                raise ConfigError(f"ImageModel: {name} = {value}: expected 0 or more")
        if not (np.isfinite(self.background).all() and np.min(self.background) >= 0.0):
            raise ConfigError("ImageModel: background: expected finite numbers, 0 or more")


def _one_image(pixels: SimulatedPixels, model: ImageModel, d: int, f: int) -> NDArray[np.uint16]:
    from scipy.ndimage import gaussian_filter

    touches = pixels.frame(d, f)
    counts = model.counts * touches.astype(np.float64)
    if model.blur_px > 0.0 and touches.any():
        counts = gaussian_filter(counts, model.blur_px, mode="constant", truncate=_TAIL)
    expected = raw_image(counts) + model.background
    rng = np.random.default_rng([model.seed, d, f])
    if model.noise:
        expected = rng.poisson(expected).astype(np.float64)
    if model.read_noise > 0.0:
        expected = expected + rng.normal(0.0, model.read_noise, expected.shape)
    counts_stored: NDArray[np.uint16] = np.clip(np.rint(expected), 0.0, 65535.0).astype(np.uint16)
    return counts_stored


def stack_images(
    pixels: SimulatedPixels, model: ImageModel | None = None, *, distance: int
) -> Iterator[NDArray[np.uint16]]:
    """Raw images (NZ, NY) of one distance, frame by frame; one is held at a time.

    Counts above 65535 are stored as that. :func:`refimpl.io.nearfield_stack.write_stack` writes
    them.

    Raises
    ------
    ConfigError
        A distance that the stack has not, or a background of another shape.
    """
    model = ImageModel() if model is None else model
    n, _, ny, nz = pixels.shape
    if not 0 <= distance < n:
        raise ConfigError(f"distance {distance}: the stack has {n}, numbered from 0", got=distance)
    if np.ndim(model.background) and np.shape(model.background) != (nz, ny):
        raise ConfigError(
            f"ImageModel: background of shape {np.shape(model.background)}: expected {(nz, ny)}, "
            "that of a raw image"
        )
    return (_one_image(pixels, model, distance, frame) for frame in range(pixels.shape[1]))
