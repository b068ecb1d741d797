"""Twin of refimpl/imaging/log_filter.py: the sign of the response where a pixel could need it.

Only pixels beside counts have their response taken, in runs along the rows. The kernel is even in
both directions, so opposite rows and columns are added first. Sums are of whole numbers in floating
point: in single precision while none can exceed 2**24, else in double; both are exact.
"""

import numpy as np

from cython.parallel cimport prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset

ctypedef unsigned short u16
ctypedef unsigned char u8

ctypedef fused real:
    float
    double

cdef int BAND = 32  # rows that a thread takes at once
cdef int GAP = 16  # runs nearer than this are one


cdef bint add_rows(
    const u16* one, const u16* other, real* out, Py_ssize_t length
) noexcept nogil:
    """Add two rows, or copy one that is alone; False if all is zero."""
    cdef Py_ssize_t x
    cdef int value, seen = 0
    if other == NULL:
        for x in range(length):
            value = one[x]
            seen |= value
            out[x] = value
    else:
        for x in range(length):
            value = <int> one[x] + <int> other[x]
            seen |= value
            out[x] = value
    return seen != 0


cdef void negative_run(
    const u16* row, Py_ssize_t m, int radius, const double* quarter, Py_ssize_t a, Py_ssize_t b,
    real* pair, real* total, u8* out
) noexcept nogil:
    """Mark where the response at columns a to b - 1 of a row is below zero."""
    cdef Py_ssize_t x, length = b - a
    cdef int i, j
    cdef real weight
    cdef real* centre = pair + radius
    for x in range(length):
        total[x] = 0
    for i in range(radius + 1):
        if not add_rows(
            row - i * m + a - radius, row + i * m + a - radius if i else <const u16*> NULL,
            pair, length + 2 * radius
        ):
            continue
        weight = <real> quarter[i * (radius + 1)]
        for x in range(length):
            total[x] += weight * centre[x]
        for j in range(1, radius + 1):
            weight = <real> quarter[i * (radius + 1) + j]
            for x in range(length):
                total[x] += weight * (centre[x - j] + centre[x + j])
    for x in range(length):
        out[a + x] = total[x] < 0


cdef void wanted(
    const u16* image, Py_ssize_t n, Py_ssize_t m, Py_ssize_t r, u8* flags, u8* out
) noexcept nogil:
    """Mark the columns of a row that have a count at or beside them."""
    cdef Py_ssize_t k, x
    cdef const u16* row
    memset(flags, 0, m + 2)
    for k in range(max(r - 1, 0), min(r + 2, n)):
        row = image + k * m
        for x in range(m):
            flags[x + 1] |= row[x] != 0
    for x in range(m):
        out[x] = flags[x] | flags[x + 1] | flags[x + 2]


cdef int negative_band(
    const u16* image, Py_ssize_t n, Py_ssize_t m, int radius, const double* quarter,
    Py_ssize_t first, Py_ssize_t last, real* dummy, u8* out
) noexcept nogil:
    """Rows first to last - 1 of the sign of the response; `dummy` names the precision."""
    cdef real* memory = <real*> malloc((2 * m + 2 * radius) * sizeof(real))
    cdef u8* flags = <u8*> malloc(2 * m + 2)
    cdef u8* need = flags + m + 2
    cdef Py_ssize_t r, a, b, x, gap
    if memory == NULL or flags == NULL:
        free(memory)
        free(flags)
        return -1
    for r in range(max(first, radius), min(last, n - radius)):
        wanted(image, n, m, r, flags, need)
        x = radius
        while x < m - radius:
            if not need[x]:
                x += 1
                continue
            a = x
            b = x + 1
            gap = 0
            while x < m - radius and gap < GAP:
                gap = 0 if need[x] else gap + 1
                x += 1
                if gap == 0:
                    b = x
            negative_run(
                image + r * m, m, radius, quarter, a, b, memory, memory + m + 2 * radius,
                out + r * m
            )
    free(memory)
    free(flags)
    return 0


cdef void grow_row(
    const u16* image, const u8* negative, Py_ssize_t n, Py_ssize_t m, Py_ssize_t r, u8* out
) noexcept nogil:
    """Mark the counts at or beside a negative response."""
    cdef Py_ssize_t k, x
    cdef const u16* row = image + r * m
    cdef const u8* v
    for k in range(max(r - 1, 0), min(r + 2, n)):
        v = negative + k * m
        for x in range(m):
            out[x] |= v[x]
        for x in range(m - 1):
            out[x] |= v[x + 1]
        for x in range(1, m):
            out[x] |= v[x - 1]
    for x in range(m):
        out[x] &= row[x] != 0


def log_spots(image, quarter, int threads=1):
    """See refimpl/imaging/log_filter.py."""
    weights = np.ascontiguousarray(quarter, dtype=np.float64)
    twice = np.where(np.arange(len(quarter)) > 0, 2, 1)
    bound = int((np.abs(quarter) * twice[:, None] * twice).sum()) * int(image.max(initial=0))
    found = np.zeros(image.shape, dtype=np.uint8)
    if image.size == 0 or not len(quarter):
        return found
    sign = np.zeros(image.shape, dtype=np.uint8)
    cdef const u16[:, ::1] counts = image                         # IN (n, m)
    cdef const double[:, ::1] kernel = weights                    # IN (r + 1, r + 1)
    cdef u8[:, ::1] negative = sign
    cdef u8[:, ::1] out = found                                   # OUT (n, m)
    cdef Py_ssize_t n = image.shape[0], m = image.shape[1], b, r, bands = (n + BAND - 1) // BAND
    cdef int failed = 0, radius = len(quarter) - 1
    cdef bint single = bound < 1 << 24
    for b in prange(bands, nogil=True, num_threads=threads, schedule="dynamic"):
        if single:
            failed |= negative_band(
                &counts[0, 0], n, m, radius, &kernel[0, 0], b * BAND, (b + 1) * BAND,
                <float*> NULL, &negative[0, 0]
            ) != 0
        else:
            failed |= negative_band(
                &counts[0, 0], n, m, radius, &kernel[0, 0], b * BAND, (b + 1) * BAND,
                <double*> NULL, &negative[0, 0]
            ) != 0
    if failed:
        raise MemoryError
    for r in prange(n, nogil=True, num_threads=threads, schedule="static"):
        grow_row(&counts[0, 0], &negative[0, 0], n, m, r, &out[r, 0])
    return found
