"""Twin of refimpl/forward/nearfield_spots.py: same formulas, same order of operations."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport cos, sin

from refimpl._ext.nearfield_geometry cimport Selection, Spot, spots_of_reflection

cdef int SERIAL = 16  # below this many orientations a parallel region costs more than it saves
cdef int CHUNK = 512  # most orientations at a time: their spots are kept apart, then set down
cdef int ROOM = 1 << 18  # reflections of the orientations at a time: 56 bytes each


cdef int one_orientation(
    const double* u, const double* g, const double* terms, Py_ssize_t h, const Selection* p,
    double* place, int* row,
) noexcept nogil:
    """Write yl, zl, omega and row of every spot; how many there are."""
    cdef Spot found[2]
    cdef Py_ssize_t i
    cdef int n = 0, k, j
    for i in range(h):
        k = spots_of_reflection(
            u, g + 3 * i, terms[5 * i], terms[5 * i + 1], terms[5 * i + 2], terms[5 * i + 3],
            terms[5 * i + 4], p, found,
        )
        for j in range(k):
            place[3 * n] = found[j].yl
            place[3 * n + 1] = found[j].zl
            place[3 * n + 2] = found[j].omega
            row[n] = <int>i
            n += 1
    return n


cdef void set_down(
    const double* place, const int* row, Py_ssize_t n, double* yl, double* zl, double* omega,
    int* rows,
) noexcept nogil:
    """Spots of one orientation to their place in the columns."""
    cdef Py_ssize_t j
    for j in range(n):
        yl[j] = place[3 * j]
        zl[j] = place[3 * j + 1]
        omega[j] = place[3 * j + 2]
        rows[j] = row[j]


def theory_spots(
    const double[:, :, ::1] orientations,  # IN (n, 3, 3)
    const double[:, ::1] g,                # IN (h, 3) [1/A]
    const double[::1] theta_rad,           # IN (h)
    const double[:, ::1] ranges_rad,       # IN (k, 2)
    const double[:, ::1] boxes_mm,         # IN (k, 4)
    double exclude_pole_rad,
    double wedge_rad,
    bint published_wedge,
    double lsd0_mm,
    int threads=1,
):
    """Return yl (s), zl (s), omega (s), key (n, 2), hkl_row (s); see the definition."""
    cdef Py_ssize_t n = orientations.shape[0], h = g.shape[0], i, start, size, total, done = 0
    cdef Py_ssize_t chunk = max(1, min(CHUNK, n, ROOM // max(h, 1)))
    cdef int team = threads if n > SERIAL else 1
    cdef double lean = 0.0 if published_wedge else wedge_rad
    cdef Selection p
    p.k = ranges_rad.shape[0]
    p.ranges = &ranges_rad[0, 0] if p.k else NULL
    p.boxes = &boxes_mm[0, 0] if p.k else NULL
    p.cos_pole = cos(exclude_pole_rad)
    p.cos_wedge, p.sin_wedge = cos(lean), sin(lean)
    p.cos_published, p.sin_published = cos(wedge_rad), sin(wedge_rad)
    p.published = published_wedge
    theta = np.asarray(theta_rad)
    two_theta = 2.0 * theta
    columns = [
        np.sin(theta), np.cos(theta), lsd0_mm * np.tan(two_theta), np.sin(two_theta),
        np.cos(two_theta),
    ]
    cdef const double[:, ::1] terms = np.ascontiguousarray(np.stack(columns, axis=-1))
    cdef double[:, :, ::1] place = np.empty((chunk, max(2 * h, 1), 3))
    cdef int[:, ::1] row = np.empty((chunk, max(2 * h, 1)), dtype=np.int32)
    cdef double[::1] yl, zl, omega
    cdef int[::1] rows
    key = np.zeros((n, 2), dtype=np.int64)
    cdef long long[:, ::1] at = key
    parts = [[np.empty(0)], [np.empty(0)], [np.empty(0)], [np.empty(0, dtype=np.int32)]]
    for start in range(0, n if h else 0, chunk):
        size = min(chunk, n - start)
        for i in prange(size, nogil=True, num_threads=team, schedule="static"):
            at[start + i, 0] = one_orientation(
                &orientations[start + i, 0, 0], &g[0, 0], &terms[0, 0], h, &p,
                &place[i, 0, 0], &row[i, 0],
            )
        total = 0
        for i in range(start, start + size):
            at[i, 1] = done + total
            total += at[i, 0]
        new = [np.empty(total, dtype=part[0].dtype) for part in parts]
        for part, more in zip(parts, new):
            part.append(more)
        yl, zl, omega, rows = new
        if total:
            for i in prange(size, nogil=True, num_threads=team, schedule="static"):
                set_down(
                    &place[i, 0, 0], &row[i, 0], at[start + i, 0], &yl[0] + at[start + i, 1] - done,
                    &zl[0] + at[start + i, 1] - done, &omega[0] + at[start + i, 1] - done,
                    &rows[0] + at[start + i, 1] - done,
                )
        done += total
    columns = [np.concatenate(part) for part in parts]
    return columns[0], columns[1], columns[2], key, columns[3]
