"""The loop first, then a heat map about it only: fast enough to lay over a live camera.

The loop is found by edges, in a hundredth of the time that a net needs crop by crop; what lies far
from it is not looked at. Where no loop is found the whole picture is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.crops import CropRule, grey
from refimpl.centring.loop import Loop, locate_loop
from refimpl.centring.loop_edges import LEAST_PX
from refimpl.centring.targets import Target
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.heatmap import HeatMap

__all__ = ["LocalMap", "local_map"]

_LUCID_UM_PER_PX = 2.0


@dataclass(frozen=True, eq=False)
class LocalMap:
    """A heat map near a loop.

    Attributes
    ----------
    heat
        In the picture's own pixels.
    loop
        Where the loop is, or that none was found.
    is_local
        Whether only the surroundings of the loop were looked at.
    loop_s, map_s
        Time that each step took.
    """

    heat: HeatMap
    loop: Loop
    is_local: bool
    loop_s: float
    map_s: float


def local_map(
    net: Any, picture: NDArray[Any], rule: CropRule, zoom: float, target: Target, *,
    um_per_px: float | None = None, pin_side: str = "left", reach_um: float = 300.0,
    **options: Any,
) -> LocalMap:  # fmt: skip
    """Find the loop, then predict every point within reach of it.

    Parameters
    ----------
    net, picture, rule, zoom, target
        Of :func:`refimpl.centring.heatmap.heat_map`.
    um_per_px
        Scale; None: the 2 um/px that lucid is tuned for.
    pin_side
        Where the pin enters: ``left``, ``right``, ``top``, ``bottom``.
    reach_um
        Half the edge of the square about the loop.
    options
        Of :func:`refimpl.centring.heatmap.heat_map`.

    Raises
    ------
    ConfigError
        A reach that is not positive, or what the two steps refuse.
    MissingExtra
        OpenCV or torch is not installed.
    """
    from refimpl.centring.heatmap import HeatMap, heat_map

    if not (math.isfinite(reach_um) and reach_um > 0.0):
        raise ConfigError(f"reach {reach_um:g} um: expected a positive number", key="reach_um")
    scale = _LUCID_UM_PER_PX if um_per_px is None else um_per_px
    values = grey(picture)
    began = perf_counter()
    loop = _loop(values, um_per_px, scale, pin_side)
    found = perf_counter()
    left, top, part = 0, 0, values
    if loop.is_found:
        # as much more as the crops at its rim see, and the filter that draws them
        room = reach_um / scale + 0.625 * rule.edge_px(zoom) + 4.0
        rows, columns = (
            slice(max(int(at - room), 0), max(min(math.ceil(at + room), n), 1))
            for at, n in zip((loop.y_px, loop.x_px), values.shape, strict=True)
        )
        left, top, part = columns.start, rows.start, values[rows, columns]
    heat = heat_map(net, part, rule, zoom, target, **options)
    x, y = heat.x_px + left, heat.y_px + top
    if loop.is_found:
        keep_x = _near(x, loop.x_px, reach_um / scale)
        keep_y = _near(y, loop.y_px, reach_um / scale)
        box = np.ix_(keep_y, keep_x)
        heat = HeatMap(x[keep_x], y[keep_y], heat.value[box], heat.count[box], heat.outside[box])
    return LocalMap(heat, loop, loop.is_found, found - began, perf_counter() - found)


def _loop(values: NDArray[Any], um_per_px: float | None, scale: float, pin_side: str) -> Loop:
    if min(values.shape) * scale < _LUCID_UM_PER_PX * LEAST_PX:  # no room for its lengths
        return Loop(False, np.nan, np.nan, "", "corrected", ("No loop detected", -1, -1))
    return locate_loop(values, um_per_px=um_per_px, pin_side=pin_side)


def _near(at: NDArray[Any], middle: float, reach: float) -> NDArray[Any]:
    near = np.flatnonzero(np.abs(at - middle) <= reach)
    return near if len(near) else np.array([int(np.argmin(np.abs(at - middle)))])
