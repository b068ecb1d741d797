"""Points of a near-field map: hexagonal and square grids, and the parts of them that are sample.

Positions are x, y of the sample at omega = 0 in the MIDAS near-field frame (spec 1.0), in mm. The
hexagonal grid is the published one, row for row, because files of other programs rely on it. It is
not quite a tiling: where y > 0 its triangles that point up lie a third of a row too high and those
that point down as much too low, so that neighbours overlap and leave gaps, and where y < 0 its rows
begin half an edge too far to the right. ``published=False`` puts every triangle in its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.forward.nearfield_setup import NearfieldDetector, Voxels
from refimpl.io.mic import MicTable
from refimpl.io.nearfield_files import read_grid
from refimpl.nearfield.settings import GridTable
from refimpl.reading import read_bytes

__all__ = ["check_view", "grid_of", "grid_points", "hex_grid", "masked_by_box", "masked_by_image"]
__all__ += ["read_tomo_image", "square_grid"]


def _check_sizes(**sizes: float) -> None:
    for name, value in sizes.items():
        if not 0.0 < value < math.inf:
            raise ConfigError(f"{name} {value}: expected a positive size", key=name, got=value)


_MOST = 100_000_000
"""Points of a grid: 1e8 take 6 GB; more is a length in another unit."""


def _check_count(n: float, **sizes: float) -> None:
    if n > _MOST:
        given = ", ".join(f"{name} {value:g} mm" for name, value in sizes.items())
        raise ConfigError(f"{given}: {n:.1e} grid points; {_MOST:.0e} are the most", key="GridSize")


def hex_grid(
    grid_size_mm: float,
    radius_mm: float,
    edge_mm: float | None = None,
    *,
    published: bool = True,
) -> Voxels:
    r"""Hexagonal grid of 6 N^2 triangles over a circle.

    .. math:: N = \lceil 2 R / (\sqrt3\,g) \rceil

    Parameters
    ----------
    grid_size_mm
        g, edge of the triangles (GridSize).
    radius_mm
        R, radius of the circle within the hexagon (Rsample).
    edge_mm
        Edge of the triangles that are projected (EdgeLength); None: g.
    published
        Positions of the published program; else triangles that tile the hexagon.

    Raises
    ------
    ConfigError
        A size that is not positive; more points than fit into memory.

    Notes
    -----
    Source: spec 1.5; as ``grid.txt`` the published program's text, byte for byte.
    """
    edge = grid_size_mm if edge_mm is None else edge_mm
    _check_sizes(GridSize=grid_size_mm, Rsample=radius_mm, EdgeLength=edge)
    g = grid_size_mm
    n = math.ceil((2.0 * radius_mm / math.sqrt(3.0)) / g)
    _check_count(6.0 * n * n, GridSize=g, Rsample=radius_mm)
    height = math.sqrt(3.0) * g / 2.0
    xy, up = [], []
    for i in (*range(-n, 0), *range(1, n + 1)):
        j = np.arange(2 * (2 * n - abs(i)) + 1)
        upward = (j % 2 == 1) if i < 0 else (j % 2 == 0)
        shift = g / 2.0 if i < 0 and published else 0.0
        x = -g * n + abs(i) * g / 2.0 + shift + j * g / 2.0
        # from the row's outer side; the published program has the two of y > 0 exchanged
        far = upward if i > 0 and not published else ~upward
        offset = np.where(far, 2.0 * height / 3.0, height / 3.0)
        xy.append(np.stack([x, height * i - math.copysign(1.0, i) * offset], axis=1))
        up.append(upward)
    points = np.concatenate(xy)
    return Voxels(points, np.full(len(points), edge), np.concatenate(up))


def square_grid(pitch_mm: float, radius_mm: float, edge_mm: float | None = None) -> Voxels:
    """Square grid of (2 N)^2 squares over a circle, N = ceil(radius / pitch).

    Rows go along x, from the least y; (0, 0) is a corner.

    Parameters
    ----------
    pitch_mm
        Distance of neighbours.
    radius_mm
        Radius of the circle within the square.
    edge_mm
        Edge of the squares that are projected; None: the pitch.

    Raises
    ------
    ConfigError
        A size that is not positive; more points than fit into memory.
    """
    edge = pitch_mm if edge_mm is None else edge_mm
    _check_sizes(GridSize=pitch_mm, Rsample=radius_mm, EdgeLength=edge)
    n = math.ceil(radius_mm / pitch_mm)
    _check_count(4.0 * n * n, GridSize=pitch_mm, Rsample=radius_mm)
    along = (np.arange(-n, n) + 0.5) * pitch_mm
    y, x = np.meshgrid(along, along, indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    count = len(points)
    return Voxels(points, np.full(count, edge), np.ones(count, dtype=bool), "square")


def masked_by_box(grid: Voxels, limits_mm: Sequence[float]) -> Voxels:
    """Points within xmin, xmax, ymin, ymax, limits included (GridMask).

    Raises
    ------
    ConfigError
        The limits are not four, or in the wrong order; no point is left.
    """
    limits = [float(v) for v in limits_mm]
    if len(limits) != 4 or not (limits[0] <= limits[1] and limits[2] <= limits[3]):
        raise ConfigError(
            f"GridMask {limits} mm: expected xmin xmax ymin ymax, least first", key="GridMask"
        )
    x, y = grid.xy_mm.T
    keep = (x >= limits[0]) & (x <= limits[1]) & (y >= limits[2]) & (y <= limits[3])
    if not keep.any():
        raise ConfigError(f"GridMask {limits} mm leaves no grid point", key="GridMask")
    return grid[keep]


def masked_by_image(
    grid: Voxels, image: NDArray[np.uint8], pixel_mm: float, *, published_rows: bool = False
) -> Voxels:
    """Points on a pixel of a tomography image that is not zero (TomoImage).

    The image is seen along the rotation axis: x runs along its rows, y up its columns, and the
    axis is at the middle. A point outside the image is not kept.

    Parameters
    ----------
    grid
        The points.
    image
        (n, n).
    pixel_mm
        Size of its pixels (TomoPixelSize).
    published_rows
        Take row n - yp as the published program does, not n - 1 - yp: one row off, and where the
        program read beyond the image (yp = 0) the point is not kept; and truncate towards zero, so
        that the strip of a pixel's width before the image counts as its edge.

    Raises
    ------
    ConfigError
        The pixel size is not positive; the image is not square; no point is left.
    """
    _check_sizes(TomoPixelSize=pixel_mm)
    n = image.shape[0]
    if image.ndim != 2 or image.shape != (n, n) or n == 0:
        raise ConfigError(f"TomoImage of shape {image.shape}: expected n x n", key="TomoImage")
    middle, whole = (n // 2, np.trunc) if published_rows else (n / 2.0, np.floor)
    # 1e-9 px: what is on the border of two pixels belongs to the upper one, whatever the rounding
    place = grid.xy_mm / pixel_mm + middle
    xp, yp = whole(place + (0.0 if published_rows else 1e-9)).astype(np.int64).T
    row = n - yp - (0 if published_rows else 1)
    keep = (xp >= 0) & (xp < n) & (yp >= 0) & (yp < n) & (row < n)
    keep[keep] = image[row[keep], xp[keep]] != 0
    if not keep.any():
        raise ConfigError(
            f"TomoImage of {n} x {n} pixels of {pixel_mm} mm leaves no grid point", key="TomoImage"
        )
    return grid[keep]


def read_tomo_image(path: str | Path) -> NDArray[np.uint8]:
    """Image (n, n) of a raw square file, one byte a pixel.

    Raises
    ------
    FormatError
        No such file, or the number of bytes is not a square.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    n = math.isqrt(len(content))
    if n == 0 or n * n != len(content):
        raise FormatError(
            f"{len(content)} bytes: a tomography image is raw, n x n pixels of a byte", path=path
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(n, n)


def grid_of(settings: GridTable) -> Voxels:
    """Points of a run: read from ``grid_file``, or laid out, then masked.

    A tomography image goes before a box, as published: of the two only the image counts.

    Raises
    ------
    ConfigError
        Neither a file nor size and radius are given; what the masks refuse.
    FormatError
        A file is not what it should be.
    """
    t = settings
    if t.grid_file is not None:
        grid = read_grid(t.grid_file)
    elif t.grid_size_mm is None or t.sample_radius_mm is None:
        name = "grid_size_mm" if t.grid_size_mm is None else "sample_radius_mm"
        key = "GridSize" if t.grid_size_mm is None else "Rsample"
        raise ConfigError(f"missing: {name} ({key}), or a grid_file", key=key)
    elif t.grid == "square":
        grid = square_grid(t.grid_size_mm, t.sample_radius_mm, t.edge_mm)
    else:
        grid = hex_grid(t.grid_size_mm, t.sample_radius_mm, t.edge_mm, published=t.published_grid)
    if t.tomo_image is not None:
        if t.tomo_pixel_mm is None:
            raise ConfigError("TomoImage needs TomoPixelSize (tomo_pixel_mm)", key="TomoImage")
        image = read_tomo_image(t.tomo_image)
        return masked_by_image(grid, image, t.tomo_pixel_mm, published_rows=t.published_tomo_rows)
    return grid if t.grid_mask_mm is None else masked_by_box(grid, t.grid_mask_mm)


def grid_points(rows: Sequence[Sequence[float]]) -> MicTable:
    """Map of the GridPoints lines: points with known orientations, for the calibration.

    Parameters
    ----------
    rows
        Twelve numbers each, as a row of a ``.mic`` file (um, rad).

    Raises
    ------
    ConfigError
        A row has not twelve numbers.
    """
    for number, row in enumerate(rows, start=1):
        if len(row) != 12:
            raise ConfigError(
                f"GridPoints {number} has {len(row)} numbers: expected 12, a row of a .mic file",
                key="GridPoints",
            )
    table = np.array(rows, dtype=np.float64).reshape(-1, 12)
    return MicTable(np.ascontiguousarray(table[:, :11]), table[:, 11].astype(np.int64))


def check_view(grid: Voxels, detector: NearfieldDetector) -> None:
    """Refuse points that turn out of the detector's view.

    A point at a distance r from the rotation axis sweeps y from -r to r; beyond the farther edge
    of the detector at the first distance its spots are lost for part of the turn.

    Raises
    ------
    GeometryError
        With the worst point.
    """
    if not len(grid):
        return
    centre = float(detector.beam_centre_px[0, 0])
    reach = max(centre, detector.shape_px[0] - centre) * detector.pixel_size_mm
    radius = np.hypot(*grid.xy_mm.T)
    far = int(radius.argmax())
    if radius[far] > reach:
        x, y = grid.xy_mm[far]
        raise GeometryError(
            f"grid point ({x:g}, {y:g}) mm is {radius[far]:.4g} mm from the axis: the detector at "
            f"{detector.lsd_mm[0]:g} mm sees {reach:.4g} mm to its farther edge"
        )
