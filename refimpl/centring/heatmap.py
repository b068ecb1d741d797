"""Predicted reflections at every point of a picture, and where to aim.

Schurmann & Lindhe (2019), section 2.5: the picture about each point of a dense grid is predicted.
``exact`` does that with any net, crop by crop. ``dense`` is for the fully convolutional net: the
whole picture at once, standardised locally by the mean and deviation of the crop about each point,
which are the same numbers as those of the crop but for how the rim of the crop is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from refimpl.centring.crops import (
    CropRule,
    crop,
    locally_standardised,
    planes,
    standardised,
    turned,
)
from refimpl.centring.targets import HIT_COUNT, Target
from refimpl.errors import ConfigError, MissingExtra
from refimpl.frames import F64

try:
    import torch

    from refimpl.centring.nets import FullyConvolutional
except ImportError as error:
    raise MissingExtra("centring", "a heat map") from error

__all__ = ["HIT_COUNT", "HeatMap", "Point", "heat_map"]


@dataclass(frozen=True)
class Point:
    """A place to aim at.

    Attributes
    ----------
    x_px, y_px
        In the picture, from the outer corner of its first pixel.
    count
        Predicted reflections.
    """

    x_px: float
    y_px: float
    count: float


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Predictions on a grid of points.

    Attributes
    ----------
    x_px, y_px
        (w,) and (h,) places of the columns and rows.
    value, count
        (h, w) predicted target, and the reflections that it stands for; NaN where the target is
        per crystal and stands for none.
    outside
        (h, w) part of the crop that lies beyond the picture.
    """

    x_px: F64
    y_px: F64
    value: F64
    count: F64
    outside: F64

    def best(
        self, n: int = 1, *, apart_px: float = 40.0, outside: float = 0.5, least: float = HIT_COUNT
    ) -> tuple[Point, ...]:
        """Points of the highest predictions, each `apart_px` or more from all better ones.

        Parameters
        ----------
        n
            How many at most.
        apart_px
            Least distance (non-maximum suppression).
        outside
            Points whose crop lies beyond the picture by more than this part are left out.
        least
            Predicted reflections below which there is no crystal; no point: "no crystal here".
            Of no effect where the target stands for no reflections.

        Raises
        ------
        ConfigError
            n below 1, or a distance that is not positive.
        """
        if n < 1 or not apart_px > 0.0:
            raise ConfigError(f"best points: n {n}, apart_px {apart_px:g}: expected positive ones")
        left = np.where(self.outside <= outside, self.value, -np.inf)
        x, y = np.meshgrid(self.x_px, self.y_px)
        found: list[Point] = []
        while len(found) < n:
            i, j = np.unravel_index(int(np.argmax(left)), left.shape)
            if not np.isfinite(left[i, j]) or self.count[i, j] < least:
                break
            found.append(Point(float(x[i, j]), float(y[i, j]), float(self.count[i, j])))
            left = np.where(np.hypot(x - x[i, j], y - y[i, j]) < apart_px, -np.inf, left)
        return tuple(found)

    @property
    def contrast(self) -> float:
        """Highest prediction above the median, in the spread of the map (1.4826 MAD); confidence.

        Low where the map is flat or grainy: nothing stands out.
        """
        middle = float(np.median(self.value))
        spread = 1.4826 * float(np.median(np.abs(self.value - middle)))
        top = float(self.value.max()) - middle
        return top / spread if spread > 0.0 else 0.0


def heat_map(
    net: Any, image: NDArray[Any], rule: CropRule, zoom: float, target: Target, *,
    mode: str = "auto", step_px: float = 10.0, size: int = 128, batch: int = 64, threads: int = 1,
    turns: int = 1, smooth_px: float = 0.0, progress: Callable[[int, int], None] | None = None,
) -> HeatMap:  # fmt: skip
    """Predict every point of a picture.

    Parameters
    ----------
    net
        Takes (n, channels, size, size) and gives targets: a regressor, or, for one channel, a net
        of :func:`refimpl.centring.nets.build`.
    image
        (h, w) or (h, w, 3).
    rule, zoom
        Edge of the crop.
    target
        The way from targets to reflections.
    mode
        ``exact``, ``dense``, or ``auto``: dense where the net can.
    step_px
        Of the grid.
    size
        Edge of the crops that the net was taught [px].
    batch
        Crops at once, of ``exact``.
    threads
        Of torch; on a busy machine more are slower.
    turns
        1, or 8: the mean of what the net says of the picture in all eight ways to turn and flip
        it; what depends on how the picture lies cancels.
    smooth_px
        Deviation of a Gaussian that the map is smoothed with. About that of the beam is apt: a
        beam cannot be aimed at less than its width.
    progress
        Called with the crops done and all of them, of ``exact``.

    Raises
    ------
    ConfigError
        An unknown mode, ``dense`` of a net that cannot, a step that is not positive, turns other
        than 1 and 8, or a negative width.
    """
    inner = getattr(net, "net", net)
    can = isinstance(inner, FullyConvolutional)
    if mode not in ("auto", "exact", "dense"):
        raise ConfigError(f"mode {mode!r}: expected auto, exact or dense", key="mode", got=mode)
    if mode == "dense" and not can:
        raise ConfigError("mode dense: this net is not fully convolutional: take exact", key="mode")
    if not step_px > 0.0:
        raise ConfigError(f"step {step_px:g} px: expected a positive number", key="step")
    if turns not in (1, 8):
        raise ConfigError(f"turns {turns}: expected 1 or 8", key="turns", got=turns)
    if not smooth_px >= 0.0:
        raise ConfigError(f"smooth_px {smooth_px:g}: expected 0 or more", key="smooth_px")
    channels = int(getattr(net, "hparams", {}).get("channels", 1))
    values, edge = planes(image, channels), rule.edge_px(zoom)
    height, width = values.shape[1:]
    x, y = (_places(extent, step_px) for extent in (width, height))
    net.eval()
    torch.set_num_threads(threads)
    exact = mode == "exact" or not can
    found = np.zeros((len(y), len(x)))
    with torch.no_grad():
        for which in range(turns):
            seen, across, down = turned(values, which), *((y, x) if which % 2 else (x, y))
            found += _unturned(
                _exact(net, seen, across, down, edge, size, batch, _part(progress, which, turns))
                if exact else _dense(inner, seen, across, down, edge, size), which,
            )  # fmt: skip
    found /= turns
    if smooth_px:
        found = gaussian_filter(found, smooth_px / step_px, mode="nearest")
    count = target.invert(found) if target.is_invertible else np.full(found.shape, np.nan)
    return HeatMap(x, y, found, count, _outside(x, y, edge, width, height))


def _unturned(values: F64, which: int) -> F64:
    """Undo :func:`refimpl.centring.crops.turned`."""
    back = np.rot90(values, -(which % 4))
    return np.asarray(np.flip(back, axis=-1) if which >= 4 else back)


def _part(
    progress: Callable[[int, int], None] | None, which: int, turns: int
) -> Callable[[int, int], None] | None:
    """Progress of one of the turns as that of all."""
    if progress is None:
        return None
    return lambda done, of: progress(which * of + done, turns * of)


def _places(extent: int, step: float) -> F64:
    """Places with a step, in the middle of the extent."""
    n = max(int(extent / step), 1)
    return np.asarray(extent / 2.0 + step * (np.arange(n) - (n - 1) / 2.0))


def _outside(x: F64, y: F64, edge: float, width: int, height: int) -> F64:
    def inside(at: F64, extent: int) -> F64:
        low, high = np.maximum(at - edge / 2.0, 0.0), np.minimum(at + edge / 2.0, float(extent))
        return np.maximum(high - low, 0.0) / edge

    return np.asarray(1.0 - inside(y, height)[:, None] * inside(x, width)[None, :])


def _exact(
    net: Any, image: F64, x: F64, y: F64, edge: float, size: int, batch: int,
    progress: Callable[[int, int], None] | None,
) -> F64:  # fmt: skip
    points = [(float(a), float(b)) for b in y for a in x]
    found = np.empty(len(points))
    for i in range(0, len(points), batch):
        crops = [
            [standardised(crop(plane, at, edge, size)) for plane in image]
            for at in points[i : i + batch]
        ]
        seen = torch.from_numpy(np.asarray(crops, dtype=np.float32))
        found[i : i + len(crops)] = net(seen).double().numpy()
        if progress is not None:
            progress(min(i + batch, len(points)), len(points))
    return found.reshape(len(y), len(x))


def _dense(net: FullyConvolutional, image: F64, x: F64, y: F64, edge: float, size: int) -> F64:
    """One pass over the whole picture, drawn to the scale of the crops."""
    step = edge / size
    rows, columns = (max(int(np.ceil(n / step)), 1) for n in image.shape[1:])
    # a multiple of what the poolings leave out, and about the middle of the picture
    rows, columns = (-(-n // net.STRIDE) * net.STRIDE for n in (rows, columns))
    middle = image.shape[2] / 2.0, image.shape[1] / 2.0
    seen = np.stack([
        locally_standardised(_scaled(plane, middle, step, rows, columns), size) for plane in image
    ])  # fmt: skip
    heat = net.heat(torch.from_numpy(seen[None].astype(np.float32)))[0].double().numpy()
    # a value is of the middle of its cell of 4 x 4
    u = ((x - middle[0]) / step + columns / 2.0) / net.STRIDE - 0.5
    v = ((y - middle[1]) / step + rows / 2.0) / net.STRIDE - 0.5
    places = np.meshgrid(v, u, indexing="ij")
    return np.asarray(map_coordinates(heat, places, order=1, mode="nearest"))


def _scaled(image: F64, middle: tuple[float, float], step: float, rows: int, columns: int) -> F64:
    """(rows, columns) of the picture about its middle, a pixel each `step`."""
    edge = max(rows, columns)
    whole = crop(image, middle, edge * step, edge)
    top, left = (edge - rows) // 2, (edge - columns) // 2
    return whole[top : top + rows, left : left + columns]
