"""Twin of refimpl/imaging/nearfield_background.py: one bit of the answer at a time.

A tile of pixels is copied so that its frames lie together; how many counts stay below a trial
value is then counted for all pixels of the tile at once, without a branch.
"""

import numpy as np

from cython.parallel cimport prange
from libc.stdlib cimport free, malloc

cdef enum:
    TILE = 32  # pixels: the copy of a tile of 1440 frames stays in the second cache
    RUN = 32768  # frames that a 16-bit count can take

cdef int SERIAL = 4096  # counts below which a thread is not worth it


cdef void narrow(
    const unsigned short* v, Py_ssize_t n, const unsigned short* trial, int* below
) noexcept nogil:
    """Count the frames below the trial value of each pixel."""
    cdef unsigned short count[TILE]
    cdef Py_ssize_t k, first = 0, last
    cdef int j
    for j in range(TILE):
        below[j] = 0
    while first < n:
        last = min(first + RUN, n)
        for j in range(TILE):
            count[j] = 0
        for k in range(first, last):
            for j in range(TILE):
                count[j] += v[k * TILE + j] < trial[j]
        for j in range(TILE):
            below[j] += count[j]
        first = last


cdef int tile(
    const unsigned short* stack, Py_ssize_t n, Py_ssize_t p, int width, Py_ssize_t rank,
    unsigned short* out
) noexcept nogil:
    """Answer for `width` pixels, the first of which `stack` points at."""
    cdef unsigned short* v = <unsigned short*> malloc(n * TILE * sizeof(unsigned short))
    cdef unsigned short low[TILE]
    cdef unsigned short high[TILE]
    cdef unsigned short base[TILE]
    cdef unsigned short trial[TILE]
    cdef int below[TILE]
    cdef unsigned short value
    cdef Py_ssize_t k
    cdef int j, span = 0, bit = 0
    if v == NULL:
        return -1
    for j in range(TILE):
        low[j] = 65535
        high[j] = 0
        base[j] = 0
    for k in range(n):
        for j in range(width):
            value = stack[k * p + j]
            v[k * TILE + j] = value
            low[j] = min(low[j], value)
            high[j] = max(high[j], value)
        for j in range(width, TILE):
            v[k * TILE + j] = 0
    for j in range(width):
        span = max(span, high[j] - low[j])
    for j in range(width, TILE):
        low[j] = 0
    for k in range(n):
        for j in range(TILE):
            v[k * TILE + j] -= low[j]
    while span >> bit:
        bit += 1
    while bit > 0:
        bit -= 1
        for j in range(TILE):
            trial[j] = base[j] + (1 << bit)
        narrow(v, n, trial, below)
        for j in range(TILE):
            if below[j] <= rank:
                base[j] = trial[j]
    for j in range(width):
        out[j] = low[j] + base[j]
    free(v)
    return 0


def order_statistic(stack, rank, int threads=1):
    """See refimpl/imaging/nearfield_background.py."""
    cdef const unsigned short[:, ::1] counts = stack              # IN (n, p)
    found = np.zeros(stack.shape[1], dtype=np.uint16)
    cdef unsigned short[::1] out = found                          # OUT (p,)
    cdef Py_ssize_t n = stack.shape[0], p = stack.shape[1], t, tiles = (p + TILE - 1) // TILE
    cdef Py_ssize_t place
    cdef int failed = 0
    if n == 0 or p == 0:
        return found
    place = min(max(rank, 0), n - 1)
    if n * p < SERIAL:
        threads = 1
    for t in prange(tiles, nogil=True, num_threads=threads, schedule="dynamic", chunksize=16):
        failed |= tile(
            &counts[0, t * TILE], n, p, <int> min(TILE, p - t * TILE), place, &out[t * TILE]
        ) != 0
    if failed:
        raise MemoryError
    return found
