"""Twin of refimpl/imaging/background.py: median by a sliding histogram of two levels."""

import numpy as np

from cython.parallel cimport prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef enum:
    BITS = 8  # fine levels in a coarse one, as a power of two


cdef struct Window:
    int* fine
    int* coarse
    int median       # current answer
    int below        # values in the window below it


cdef inline void add(Window* w, int value, int sign) noexcept nogil:
    w.fine[value] += sign
    w.coarse[value >> BITS] += sign
    if value < w.median:
        w.below += sign


cdef void settle(Window* w, int rank) noexcept nogil:
    """Move to the value that has ``rank`` values or fewer below it, and more up to it."""
    while w.below > rank:
        if w.median & ((1 << BITS) - 1) == 0 and w.below - w.coarse[(w.median >> BITS) - 1] > rank:
            w.median -= 1 << BITS
            w.below -= w.coarse[w.median >> BITS]
        else:
            w.median -= 1
            w.below -= w.fine[w.median]
    while w.below + w.fine[w.median] <= rank:
        if w.median & ((1 << BITS) - 1) == 0 and w.below + w.coarse[w.median >> BITS] <= rank:
            w.below += w.coarse[w.median >> BITS]
            w.median += 1 << BITS
        else:
            w.below += w.fine[w.median]
            w.median += 1


cdef int one_row(
    const int* padded, Py_ssize_t stride, const int* half, int size, Py_ssize_t m, int levels,
    int* out
) noexcept nogil:
    """One row of the result; ``padded`` points at the first row of its windows."""
    cdef int coarse = (levels >> BITS) + 2, reach = size // 2, count = 0, i, rank
    cdef int* memory = <int*> malloc((levels + 1 + coarse) * sizeof(int))
    cdef const int* row
    cdef Py_ssize_t x
    cdef Window w
    if memory == NULL:
        return -1
    memset(memory, 0, (levels + 1 + coarse) * sizeof(int))
    w.fine = memory
    w.coarse = memory + levels + 1
    w.median = 0
    w.below = 0
    for i in range(size):
        row = padded + i * stride + reach
        for x in range(-half[i], half[i] + 1):
            add(&w, row[x], 1)
        count += 2 * half[i] + 1
    rank = count // 2
    for x in range(m):
        if x > 0:
            for i in range(size):
                row = padded + i * stride + reach + x
                add(&w, row[-half[i] - 1], -1)
                add(&w, row[half[i]], 1)
        settle(&w, rank)
        out[x] = w.median
    free(memory)
    return 0


def median_of_disk(ranks, int size, int threads=1):
    """See refimpl/imaging/background.py."""
    across = np.arange(size) - size // 2
    widths = (across[:, None] ** 2 + across ** 2 <= (0.5 * size) ** 2).sum(axis=1) // 2
    found = np.empty_like(ranks)
    if ranks.size == 0:
        return found
    lowest = ranks.min()  # the histogram begins there
    mirrored = np.pad(ranks - lowest, size // 2, mode="reflect")
    cdef const int[:, ::1] padded = np.ascontiguousarray(mirrored)
    cdef const int[::1] half = widths.astype(np.int32)
    cdef int[:, ::1] out = found                  # OUT (n, m)
    cdef Py_ssize_t n = out.shape[0], m = out.shape[1], i, failed = 0
    cdef int levels = int(ranks.max() - lowest) + 1
    for i in prange(n, nogil=True, num_threads=threads, schedule="dynamic", chunksize=4):
        failed += one_row(&padded[i, 0], padded.shape[1], &half[0], size, m, levels, &out[i, 0])
    if failed:
        raise MemoryError
    return found + lowest
