"""Lattice vectors as peaks of a three-dimensional Fourier transform of the spots.

Each reciprocal lattice point puts a weight on a cubic grid; the square of the transform's real part
peaks at lattice vectors. Peaks are connected regions above a threshold.
"""

from __future__ import annotations

import numpy as np

from refimpl.dispatch import resolve_threads
from refimpl.errors import ConvergenceError
from refimpl.frames import F64, I64
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.metrology.indexing.vectors import distinct_vectors, without_multiples

__all__ = ["fourier_resolution", "fourier_vectors"]

EDGE_WEIGHT = 0.05
"""Weight of a point at the resolution limit."""
OUTLIER_IQR = 5.0


def fourier_resolution(max_cell_angstrom: float, n_grid: int) -> float:
    """Resolution [Å] that lets a grid of ``n_grid`` show a cell: five grid points a vector."""
    return 5.0 * max_cell_angstrom / n_grid


def fourier_vectors(
    points: F64,
    d_min_angstrom: float,
    max_cell_angstrom: float,
    settings: IndexSettings,
    threads: int | None = None,
) -> F64:
    """Lattice vectors (m, 3) [Å], the strongest first.

    Parameters
    ----------
    points
        (n, 3) reciprocal lattice points [1/Å].
    d_min_angstrom
        Points beyond are not used [Å].
    max_cell_angstrom
        Vectors up to twice this are kept [Å].
    settings
        ``n_grid``, ``peak_rmsd``, ``peak_volume_fraction``, ``min_cell_angstrom``.
    threads
        As everywhere, see :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    ConvergenceError
        Fewer than four peaks: no lattice shows.
    """
    n = settings.n_grid
    power = _power(points, d_min_angstrom, n, threads)
    # the transform is even: the planes between the first and the last stand for two
    double = np.full(power.shape[2], 2.0)
    double[[0, -1]] = 1.0
    mean = float(power.mean(axis=(0, 1), dtype=np.float64) @ double) / n
    square = float(sum(w * np.square(power[:, :, k], dtype=np.float64).sum()
                       for k, w in enumerate(double))) / n**3  # fmt: skip
    voxels = np.argwhere(power >= settings.peak_rmsd * np.sqrt(max(square - mean * mean, 0.0)))
    del power
    inner = voxels[(voxels[:, 2] > 0) & (voxels[:, 2] < n // 2)]
    sites, volumes = _regions(np.concatenate([voxels, (-inner) % n]), n)
    large = _large_enough(volumes, settings.peak_volume_fraction)
    sites, volumes = sites[large], volumes[large]
    if len(sites) < 4:
        raise ConvergenceError(
            f"no lattice found: the Fourier transform of {len(points)} spots has {len(sites)} "
            "peaks, expected at least 4; check beam centre and wavelength, or give the cell"
        )
    vectors = sites * (d_min_angstrom / 2.0)
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    fits = (lengths > settings.min_cell_angstrom) & (lengths < 2.0 * max_cell_angstrom)
    heads, weights = distinct_vectors(vectors[fits], volumes[fits].astype(float), len(vectors))
    return without_multiples(heads, weights)[0][: settings.max_vectors]


def _power(
    points: F64, d_min: float, n: int, threads: int | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Square of the real part of the transform, half of it: (n, n, n // 2 + 1)."""
    from scipy import fft

    d_square = 1.0 / np.maximum((points * points).sum(axis=1), 1e-300)
    used = d_square > d_min * d_min
    b_iso = -4.0 * d_min * d_min * np.log(EDGE_WEIGHT)
    weight = np.exp(-b_iso / (4.0 * d_square[used]))
    cell = np.rint(points[used] * (n * d_min / 2.0)).astype(np.int64) + n // 2
    inside = ((cell >= 0) & (cell < n)).all(axis=1)
    grid = np.zeros((n, n, n), dtype=np.float32)
    grid[tuple(cell[inside].T)] = weight[inside]  # set, not summed
    real = fft.rfftn(grid, overwrite_x=True, workers=resolve_threads(threads)).real
    return np.square(real, dtype=np.float32)


def _regions(voxels: I64, n: int) -> tuple[F64, I64]:
    """Centres [grid steps, within half a period] and sizes of face-connected sets of voxels."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    label = np.unique((voxels[:, 0] * n + voxels[:, 1]) * n + voxels[:, 2])
    at = np.stack([label // (n * n), label // n % n, label % n], axis=1)
    rows, columns = [], []
    for axis in range(3):
        step = at.copy()
        step[:, axis] = (step[:, axis] + 1) % n
        wanted = (step[:, 0] * n + step[:, 1]) * n + step[:, 2]
        place = np.minimum(np.searchsorted(label, wanted), max(len(label) - 1, 0))
        hit = np.flatnonzero(label[place] == wanted) if len(label) else place
        rows.append(hit)
        columns.append(place[hit])
    links = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(links[0]), dtype=np.int8), links), shape=(len(at), len(at)))
    count, member = connected_components(graph, directed=False)
    first = np.zeros(count, dtype=np.int64)
    first[member[::-1]] = np.arange(len(at))[::-1]
    offset = (at - at[first[member]] + n // 2) % n - n // 2  # a region may cross the border
    sizes = np.bincount(member, minlength=count)
    mean = np.stack([np.bincount(member, offset[:, k], count) for k in range(3)], axis=1)
    centre = at[first] + mean / np.maximum(sizes, 1)[:, None]
    return (centre + n / 2.0) % n - n / 2.0, sizes


def _large_enough(volumes: I64, fraction: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Regions that are no dust: compared with the largest but for the origin's own peak."""
    if len(volumes) == 0:
        return np.zeros(0, dtype=bool)
    low, high = np.percentile(volumes, [25.0, 75.0])
    usual = volumes[volumes <= high + OUTLIER_IQR * (high - low)]
    return np.asarray(volumes > fraction * usual.max())
