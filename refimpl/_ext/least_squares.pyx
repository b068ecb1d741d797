"""Twin of accumulate_normal in refimpl/objective/least_squares.py."""

import numpy as np

from cython.parallel cimport prange

cdef Py_ssize_t CHUNK = 256


cdef void chunk_sum(
    const double[::1] r, const double[:, ::1] j, const double[::1] w, Py_ssize_t first,
    Py_ssize_t last, double* out
) noexcept nogil:
    """Lower triangle of [r J]^T W [r J] over some rows, row after row."""
    cdef Py_ssize_t k = j.shape[1], n, a, b
    cdef double wa
    for a in range((k + 1) * (k + 1)):
        out[a] = 0.0
    for n in range(first, last):
        out[0] += w[n] * r[n] * r[n]
        for a in range(k):
            wa = w[n] * j[n, a]
            out[(a + 1) * (k + 1)] += wa * r[n]
            for b in range(a + 1):
                out[(a + 1) * (k + 1) + b + 1] += wa * j[n, b]


def accumulate_normal(
    const double[::1] residual,      # IN (n)
    const double[:, ::1] jacobian,   # IN (n, k)
    const double[::1] weight,        # IN (n)
    int threads=1,
):
    """Return cost, gradient (k), hessian (k, k); see the definition."""
    cdef Py_ssize_t n = residual.shape[0], k = jacobian.shape[1], c, a, b
    cdef Py_ssize_t chunks = (n + CHUNK - 1) // CHUNK
    parts = np.zeros((max(chunks, 1), k + 1, k + 1))
    total = np.zeros((k + 1, k + 1))
    cdef double[:, :, ::1] p = parts
    cdef double[:, ::1] t = total
    for c in prange(chunks, nogil=True, num_threads=threads if chunks > 256 else 1,
                    schedule="static"):
        chunk_sum(residual, jacobian, weight, c * CHUNK, min((c + 1) * CHUNK, n), &p[c, 0, 0])
    for c in range(chunks):
        for a in range(k + 1):
            for b in range(a + 1):
                t[a, b] = t[a, b] + p[c, a, b]
    for a in range(k + 1):
        for b in range(a):
            t[b, a] = t[a, b]
    return float(t[0, 0]), total[1:, 0].copy(), total[1:, 1:].copy()
