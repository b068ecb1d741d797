"""Twin of refimpl/forward/nearfield_spots.py: same formulas, same order of operations."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport cos, sin
from libc.string cimport memcpy

from refimpl._ext.nearfield_geometry cimport (
    BLOCK, Crossings, Selection, Spot, seen_in_block, spot_of_root,
)

cdef int SERIAL = 16  # below this many orientations a parallel region costs more than it saves
cdef int PIECE = 16  # orientations that a thread takes at a time
cdef int CHUNK = 512  # most orientations at a time: their spots are kept apart, then set down
cdef int ROOM = 1 << 18  # reflections of the orientations at a time: 56 bytes each
cdef double SPARE = 1.1  # room for the spots, to what those found so far suggest

cdef struct Columns:
    double* yl
    double* zl
    double* omega
    int* row


cdef int one_orientation(
    const double* u, const double* table, Py_ssize_t h, const Selection* p, Columns to
) noexcept nogil:
    """Write yl, zl, omega and row of every spot; how many there are."""
    cdef Crossings at
    cdef Spot spot
    cdef Py_ssize_t first = 0
    cdef int n = 0, m, k, j, root
    while first < h:
        k = seen_in_block(p, u, table, h, first, &at)
        for m in range(k):
            j = at.which[m]
            for root in range(2):
                if spot_of_root(p, &at, j, root, table, h, first + j, &spot):
                    to.yl[n] = spot.yl
                    to.zl[n] = spot.zl
                    to.omega[n] = spot.omega
                    to.row[n] = <int> (first + j)
                    n += 1
        first += BLOCK
    return n


cdef Columns at_row(Columns c, Py_ssize_t i) noexcept nogil:
    cdef Columns out
    out.yl, out.zl, out.omega, out.row = c.yl + i, c.zl + i, c.omega + i, c.row + i
    return out


cdef void set_down(Columns here, Py_ssize_t n, Columns to) noexcept nogil:
    """Spots of one orientation to their place in the columns."""
    if n == 0:  # the columns may be empty, and memcpy takes no NULL
        return
    memcpy(to.yl, here.yl, n * sizeof(double))
    memcpy(to.zl, here.zl, n * sizeof(double))
    memcpy(to.omega, here.omega, n * sizeof(double))
    memcpy(to.row, here.row, n * sizeof(int))


cdef Columns columns_of(arrays):
    cdef double[::1] yl = arrays[0], zl = arrays[1], omega = arrays[2]
    cdef int[::1] row = arrays[3]
    cdef Columns out
    out.yl, out.zl, out.omega, out.row = NULL, NULL, NULL, NULL
    if len(row):
        out.yl, out.zl, out.omega, out.row = &yl[0], &zl[0], &omega[0], &row[0]
    return out


def empty_columns(size):
    """yl, zl, omega and row of so many spots; pages that nobody writes on take no memory."""
    return [*(np.empty(size) for _ in range(3)), np.empty(size, dtype=np.int32)]


def reflection_table(g, theta_rad, lsd0_mm):
    """(8, h) what the twins need of each reflection, see nearfield_arithmetic.h."""
    theta = np.asarray(theta_rad)
    two = 2.0 * theta
    columns = [np.sin(theta), np.cos(theta), lsd0_mm * np.tan(two), np.sin(two), np.cos(two)]
    return np.ascontiguousarray(np.stack([*np.asarray(g).T, *columns]))


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
    cdef Py_ssize_t n = orientations.shape[0], h = g.shape[0], i, start, size, total = 0, room = 0
    cdef Py_ssize_t most = 2 * h, chunk = max(1, min(CHUNK, n, ROOM // max(h, 1)))
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
    cdef const double[:, ::1] table = reflection_table(g, theta_rad, lsd0_mm)
    apart = empty_columns(chunk * most)
    found = empty_columns(0)
    cdef Columns place = columns_of(apart), to
    key = np.zeros((n, 2), dtype=np.int64)
    cdef long long[:, ::1] at = key
    for start in range(0, n if h else 0, chunk):
        size = min(chunk, n - start)
        for i in prange(
            size, nogil=True, num_threads=team, schedule="dynamic", chunksize=PIECE
        ):
            at[start + i, 0] = one_orientation(
                &orientations[start + i, 0, 0], &table[0, 0], h, &p, at_row(place, i * most)
            )
        for i in range(start, start + size):
            at[i, 1] = total
            total += at[i, 0]
        if total > room:
            room = min(n * most, <Py_ssize_t> (SPARE * total / (start + size) * n) + chunk)
            more = empty_columns(max(room, total))
            for new, old in zip(more, found):
                new[: at[start, 1]] = old[: at[start, 1]]
            found, room = more, len(more[0])
        to = columns_of(found)
        for i in prange(size, nogil=True, num_threads=team, schedule="static"):
            set_down(at_row(place, i * most), at[start + i, 0], at_row(to, at[start + i, 1]))
    yl, zl, omega, row = (column[:total] for column in found)
    return yl, zl, omega, key, row
