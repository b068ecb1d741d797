"""Twin of refimpl/imaging/binarise.py: rows of counts above the floor, and their medians.

The median of nine is that of the largest of the least, the median of the middle and the least of
the largest of three sorted columns. The median of 25 is found one bit at a time, and only where 13
of the 25 counts are not zero.
"""

import numpy as np

from cython.parallel cimport prange
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

ctypedef unsigned short u16

cdef enum:
    TILE = 64  # pixels whose median of 25 is sought at once

cdef int BAND = 32  # rows that a thread takes at once


cdef inline u16 least(u16 a, u16 b) noexcept nogil:
    return a if a < b else b


cdef inline u16 most(u16 a, u16 b) noexcept nogil:
    return a if a > b else b


cdef inline u16 middle(u16 a, u16 b, u16 c) noexcept nogil:
    return most(least(a, b), least(most(a, b), c))


cdef void above(const u16* raw, const u16* floor, u16* out, Py_ssize_t m) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(m):
        out[x] = raw[x] - least(raw[x], floor[x])


cdef void nine(u16** rows, u16* work, u16* out, Py_ssize_t m) noexcept nogil:
    """Medians of 3 x 3; `work` holds three rows."""
    cdef const u16* a = rows[0]
    cdef const u16* b = rows[1]
    cdef const u16* c = rows[2]
    cdef u16* low = work
    cdef u16* mid = work + m
    cdef u16* high = work + 2 * m
    cdef Py_ssize_t x
    cdef u16 p, q
    for x in range(m):
        p = least(a[x], b[x])
        q = most(a[x], b[x])
        low[x] = least(p, c[x])
        high[x] = most(q, c[x])
        mid[x] = most(p, least(q, c[x]))
    for x in range(1, m - 1):
        out[x] = middle(
            most(most(low[x - 1], low[x]), low[x + 1]),
            middle(mid[x - 1], mid[x], mid[x + 1]),
            least(least(high[x - 1], high[x]), high[x + 1]),
        )


cdef void twenty_five(u16** rows, Py_ssize_t x0, int width, u16* out) noexcept nogil:
    """Medians of 5 x 5 for `width` pixels from column x0 on."""
    cdef u16 count[TILE]
    cdef u16 base[TILE]
    cdef u16 trial[TILE]
    cdef const u16* v
    cdef int i, d, j, bit = 0
    cdef u16 full = 0, span = 0
    for j in range(TILE):
        count[j] = 0
        base[j] = 0
    for i in range(5):
        for d in range(-2, 3):
            v = rows[i] + x0 + d
            for j in range(width):
                count[j] += v[j] != 0
                span |= v[j]
    for j in range(width):
        full |= count[j] > 12
    if full:
        while span >> bit:
            bit += 1
    while bit > 0:
        bit -= 1
        for j in range(TILE):
            trial[j] = base[j] + (1 << bit)
            count[j] = 0
        for i in range(5):
            for d in range(-2, 3):
                v = rows[i] + x0 + d
                for j in range(width):
                    count[j] += v[j] < trial[j]
        for j in range(TILE):
            if count[j] <= 12:
                base[j] = trial[j]
    for j in range(width):
        out[x0 + j] = base[j]


cdef int band(
    const u16* raw, const u16* floor, u16* out, Py_ssize_t n, Py_ssize_t m, Py_ssize_t first,
    Py_ssize_t last, int radius
) noexcept nogil:
    """Rows first to last - 1; what is nearer than the radius to the edge stays as it is."""
    cdef int size = 2 * radius + 1, i
    cdef u16* memory = <u16*> calloc((size + 3) * m, sizeof(u16))
    cdef u16* rows[5]
    cdef Py_ssize_t r, x, done = max(first - radius, 0)
    if memory == NULL:
        return -1
    for r in range(first, last):
        while done < min(r + radius + 1, n):  # a row has its place in the ring by its number
            above(raw + done * m, floor + done * m, memory + (done % size) * m, m)
            done += 1
        memcpy(out + r * m, memory + (r % size) * m, m * sizeof(u16))
        if radius == 0 or r < radius or r >= n - radius or m < size:
            continue
        for i in range(size):
            rows[i] = memory + ((r - radius + i) % size) * m
        if radius == 1:
            nine(rows, memory + size * m, out + r * m, m)
        else:
            x = 2
            while x < m - 2:
                twenty_five(rows, x, <int> min(TILE, m - 2 - x), out + r * m)
                x += TILE
    free(memory)
    return 0


def corrected(raw, floor, int radius, int threads=1):
    """See refimpl/imaging/binarise.py."""
    cdef const u16[:, ::1] counts = raw                           # IN (n, m)
    cdef const u16[:, ::1] level = floor                          # IN (n, m)
    found = np.empty_like(raw)
    cdef u16[:, ::1] out = found                                  # OUT (n, m)
    cdef Py_ssize_t n = raw.shape[0], m = raw.shape[1], b, bands = (n + BAND - 1) // BAND
    cdef int failed = 0, reach = min(max(radius, 0), 2)
    if n == 0 or m == 0:
        return found
    for b in prange(bands, nogil=True, num_threads=threads, schedule="static"):
        failed |= band(
            &counts[0, 0], &level[0, 0], &out[0, 0], n, m, b * BAND, min((b + 1) * BAND, n), reach
        ) != 0
    if failed:
        raise MemoryError
    return found
