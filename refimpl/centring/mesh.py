"""Reflection counts of a raster: islands of crystal in it, their middles and distances.

A mesh scan measures what a heat map predicts. Its points (s, t) are those of
:mod:`refimpl.centring.camera`: along the spindle and across it, in the sample [um].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64

if TYPE_CHECKING:
    from refimpl.centring.fusion import Centre

__all__ = ["ORDERS", "Island", "Mesh", "centre_of_meshes", "distances_um", "grid_mesh"]

ORDERS = ("rows", "snake")
"""Order of a grid scan: each line from its start, or every second one backwards."""

_PART_OF_MOST = 0.1


def _above_noise(background: float) -> float:
    """Five deviations of a count, ten reflections at least: small counts have long tails."""
    return max(5.0 * math.sqrt(background), 10.0)


@dataclass(frozen=True)
class Island:
    """Neighbouring points of a mesh with more reflections than a limit.

    Attributes
    ----------
    points, area_um2
        How many, and what they cover.
    s_um, t_um
        Centre of mass of the reflections above background.
    s_deviation_um, t_deviation_um
        Of it, by the statistics of counting.
    length_um, width_um
        Extents along s and t, from rim to rim of the points.
    total, most
        Reflections above background, all of them; at the best point, background included.
    best_s_um, best_t_um
        The best point.
    at_rim
        It reaches the rim of the mesh: there may be more of it.
    """

    points: int
    area_um2: float
    s_um: float
    t_um: float
    s_deviation_um: float
    t_deviation_um: float
    length_um: float
    width_um: float
    total: float
    most: float
    best_s_um: float
    best_t_um: float
    at_rim: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Counts on a grid.

    Attributes
    ----------
    name
        Of the sample.
    omega_rad
        Rotation; NaN where unknown.
    s_um, t_um
        (w,) and (h,) places of the columns and rows, evenly spaced.
    count
        (h, w) reflections; NaN where none were counted.
    """

    name: str
    omega_rad: float
    s_um: F64
    t_um: F64
    count: F64

    def __post_init__(self) -> None:
        if self.count.shape != (len(self.t_um), len(self.s_um)) or not self.count.size:
            raise ConfigError(
                f"mesh {self.name}: counts of shape {self.count.shape} for {len(self.t_um)} rows "
                f"and {len(self.s_um)} columns"
            )
        known = self.count[np.isfinite(self.count)]
        if not len(known):
            raise ConfigError(f"mesh {self.name}: no point has a count")
        if (known < 0.0).any():
            raise ConfigError(f"mesh {self.name}: reflection count {known.min():g}: below 0")

    @property
    def step_um(self) -> tuple[float, float]:
        """Distance of points along s and t; that of the other where there is only one."""
        steps = [abs(float(v[1] - v[0])) if len(v) > 1 else 0.0 for v in (self.s_um, self.t_um)]
        return steps[0] or steps[1] or 1.0, steps[1] or steps[0] or 1.0

    @property
    def background(self) -> float:
        """Count without a crystal: the mean of the points that may be without.

        Those are at first the lowest quarter, then what is within the noise of their mean.
        """
        known = self.count[np.isfinite(self.count)]
        low = float(np.quantile(known, 0.25))
        for _ in range(3):
            low = float(known[known <= low + _above_noise(low)].mean())
        return low

    @property
    def best_um(self) -> tuple[float, float]:
        """(s, t) of the most reflections."""
        i, j = np.unravel_index(int(np.nanargmax(self.count)), self.count.shape)
        return float(self.s_um[j]), float(self.t_um[i])

    def limit(self) -> float:
        """Count from which there is crystal.

        What stands out of the noise of the background, and a tenth of the most above it.
        """
        low, most = self.background, float(np.nanmax(self.count))
        return low + max(_above_noise(low), _PART_OF_MOST * (most - low))

    def islands(self, least: float | None = None, *, diagonal: bool = True) -> tuple[Island, ...]:
        """Islands, that of the most reflections first; none: no crystal here.

        Parameters
        ----------
        least
            Reflections from which a point belongs to one; None: :meth:`limit`.
        diagonal
            Points that touch at a corner are neighbours.
        """
        from scipy.ndimage import label

        if least is not None and not 0.0 <= least < math.inf:
            raise ConfigError(f"least {least:g} reflections: expected 0 or more", key="least")
        limit = self.limit() if least is None else least
        inside = np.nan_to_num(self.count, nan=-np.inf) >= limit
        number, n = label(inside, structure=np.ones((3, 3)) if diagonal else None)
        found = [self._island(number == k) for k in range(1, n + 1)]
        return tuple(sorted(found, key=lambda island: -island.total))

    def _island(self, rows: NDArray[np.bool_]) -> Island:
        i, j = np.nonzero(rows)
        counts, (ds, dt) = self.count[rows], self.step_um
        above = np.maximum(counts - self.background, 0.0)
        weights = above / above.sum() if above.sum() > 0.0 else np.full(len(i), 1.0 / len(i))
        places = np.stack([self.s_um[j], self.t_um[i]])
        middle = places @ weights
        away = (places - middle[:, None]) ** 2 @ np.maximum(counts, 1.0)
        deviation = np.sqrt(away) / max(float(above.sum()), 1.0)
        best = int(np.argmax(counts))
        h, w = self.count.shape
        return Island(
            len(i), len(i) * ds * dt, float(middle[0]), float(middle[1]), float(deviation[0]),
            float(deviation[1]), float((np.ptp(j) + 1) * ds), float((np.ptp(i) + 1) * dt),
            float(above.sum()), float(counts[best]), float(places[0, best]),
            float(places[1, best]), bool(i.min() == 0 or j.min() == 0 or i.max() == h - 1
                                         or j.max() == w - 1),
        )  # fmt: skip

    def at(self, st_um: ArrayLike) -> F64:
        """(...) counts at points (..., 2), between those of the mesh; NaN outside."""
        from scipy.interpolate import RegularGridInterpolator

        axes = [self.t_um, self.s_um]
        values = self.count
        for axis, places in enumerate(axes):
            if len(places) == 1:  # a line: as wide as its step
                half = self.step_um[1 - axis] / 2.0
                axes[axis] = np.array([places[0] - half, places[0] + half])
                values = np.repeat(values, 2, axis=axis)
            elif places[1] < places[0]:
                axes[axis], values = places[::-1], np.flip(values, axis)
        between = RegularGridInterpolator(axes, values, bounds_error=False)
        points = np.asarray(st_um, dtype=np.float64)
        return np.asarray(between(points[..., ::-1]).reshape(points.shape[:-1]))


def grid_mesh(
    count: ArrayLike, grid: tuple[int, int], step_um: tuple[float, float], *,
    order: str = "rows", fast: str = "s", centre_um: tuple[float, float] = (0.0, 0.0),
    name: str = "", omega_rad: float = math.nan,
) -> Mesh:  # fmt: skip
    """Mesh from the counts of a grid scan in the order of its shots.

    Parameters
    ----------
    count
        (rows x columns,) counts; NaN where there are none.
    grid
        Rows (across the spindle, t) and columns (along it, s).
    step_um
        Distance along s and along t; negative: the scan runs backwards.
    order
        One of :data:`ORDERS`.
    fast
        ``s`` or ``t``: along which a line is scanned.
    centre_um
        (s, t) of the middle of the mesh.

    Raises
    ------
    ConfigError
        Another number of counts, an unknown order or axis, a step of 0.
    """
    values = np.asarray(count, dtype=np.float64).ravel()
    rows, columns = grid
    if min(grid) < 1 or len(values) != rows * columns:
        raise ConfigError(
            f"grid of {rows} rows and {columns} columns: {len(values)} counts", key="grid"
        )
    if order not in ORDERS or fast not in ("s", "t"):
        raise ConfigError(
            f"order {order!r} with lines along {fast!r}: expected {' or '.join(ORDERS)}, s or t",
            key="order",
        )
    if not all(math.isfinite(v) and v != 0.0 for v in step_um):
        raise ConfigError(f"steps {step_um}: expected numbers other than 0", key="step_um")
    lines = values.reshape(rows, columns) if fast == "s" else values.reshape(columns, rows)
    if order == "snake":
        lines = lines.copy()
        lines[1::2] = lines[1::2, ::-1]
    s, t = (
        np.asarray(middle + step * (np.arange(n) - (n - 1) / 2.0), dtype=np.float64)
        for middle, step, n in zip(centre_um, step_um, (columns, rows), strict=True)
    )
    return Mesh(name, omega_rad, s, t, lines if fast == "s" else lines.T)


def distances_um(islands: Sequence[Island]) -> F64:
    """(n, n) distances of the centres of islands."""
    at = np.array([(island.s_um, island.t_um) for island in islands]).reshape(-1, 2)
    return np.asarray(np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)))


def centre_of_meshes(meshes: Sequence[Mesh], least: float | None = None) -> Centre | None:
    """Place in space of the largest island, from meshes at two rotations or more.

    In the other meshes it is the island that is nearest along the spindle, which all of them share.

    Returns
    -------
    None where a mesh has no island, or none that is as near as its half length.

    Raises
    ------
    ConfigError
        Rotations that are unknown, or too near each other.
    """
    from refimpl.centring.fusion import fuse

    found = [mesh.islands(least) for mesh in meshes]
    if not all(found):
        return None
    main = found[0][0]
    chosen = [main]
    for mesh, islands in zip(meshes[1:], found[1:], strict=True):
        near = min(islands, key=lambda island: abs(island.s_um - main.s_um))
        if abs(near.s_um - main.s_um) > max(main.length_um, near.length_um) / 2.0 + mesh.step_um[0]:
            return None
        chosen.append(near)
    st = [(island.s_um, island.t_um) for island in chosen]
    return fuse(st, [mesh.omega_rad for mesh in meshes])
