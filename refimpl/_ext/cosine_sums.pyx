"""Twin of refimpl/metrology/indexing/cosine_sums.py: vectors in blocks, points in chunks."""

import numpy as np

from cython.parallel cimport prange

cdef enum:
    CHUNK = 256   # points in a partial sum
    BLOCK = 64    # vectors that one pass over the points serves
    TERMS = 8

cdef double ROUND = 6755399441055744.0
cdef double SERIES[TERMS]
for k in range(TERMS):
    SERIES[k] = (-1.0) ** k * np.pi ** (2 * k + 1) / int(
        np.prod(np.arange(1, 2 * k + 2, dtype=np.int64))
    )


cdef void block_sums(
    const double* points, Py_ssize_t n, const double* x, const double* y, const double* z,
    double* total
) noexcept nogil:
    """Sums for BLOCK vectors; the inner loop runs over them, so that it can be vectorised."""
    cdef double part[BLOCK]
    cdef double t, square, sine, px, py, pz
    cdef double c0 = SERIES[0], c1 = SERIES[1], c2 = SERIES[2], c3 = SERIES[3]
    cdef double c4 = SERIES[4], c5 = SERIES[5], c6 = SERIES[6], c7 = SERIES[7]
    cdef double big = ROUND
    cdef Py_ssize_t start, stop, j
    cdef int b
    for b in range(BLOCK):
        total[b] = 0.0
    start = 0
    while start < n:
        stop = min(start + CHUNK, n)
        for b in range(BLOCK):
            part[b] = 0.0
        for j in range(start, stop):
            px = points[3 * j]
            py = points[3 * j + 1]
            pz = points[3 * j + 2]
            for b in range(BLOCK):
                t = px * x[b] + py * y[b] + pz * z[b]
                t = t - ((t + big) - big)
                square = t * t
                sine = ((((((c7 * square + c6) * square + c5) * square + c4) * square + c3)
                         * square + c2) * square + c1) * square + c0
                sine = sine * t
                part[b] += 1.0 - 2.0 * (sine * sine)
        for b in range(BLOCK):
            total[b] += part[b]
        start = stop


cdef void one_block(
    const double[:, ::1] points, const double[:, ::1] vectors, Py_ssize_t first, double[::1] out
) noexcept nogil:
    cdef double x[BLOCK]
    cdef double y[BLOCK]
    cdef double z[BLOCK]
    cdef double total[BLOCK]
    cdef Py_ssize_t m = min(<Py_ssize_t> BLOCK, vectors.shape[0] - first)
    cdef int b
    for b in range(BLOCK):
        x[b] = vectors[first + b, 0] if b < m else 0.0
        y[b] = vectors[first + b, 1] if b < m else 0.0
        z[b] = vectors[first + b, 2] if b < m else 0.0
    block_sums(&points[0, 0], points.shape[0], x, y, z, total)
    for b in range(m):
        out[first + b] = total[b]


def cosine_sums(
    const double[:, ::1] points,    # IN (n, 3) [1/Å]
    const double[:, ::1] vectors,   # IN (m, 3) [Å]
    int threads=1,
):
    """Return the sums (m); see the definition."""
    cdef Py_ssize_t m = vectors.shape[0], blocks = (m + BLOCK - 1) // BLOCK, k
    result = np.zeros(m)
    cdef double[::1] out = result
    if m == 0 or points.shape[0] == 0:
        return result
    for k in prange(blocks, nogil=True, num_threads=min(threads, <int> blocks),
                    schedule="static"):
        one_block(points, vectors, k * BLOCK, out)
    return result
