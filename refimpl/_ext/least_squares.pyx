"""Twins of accumulate_normal and accumulate_blocks in refimpl/objective/least_squares.py."""

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


cdef void block_sum(
    const double[::1] r, const double[:, ::1] j, const double[::1] w, Py_ssize_t first,
    Py_ssize_t last, double* part, double* out
) noexcept nogil:
    """Whole matrix of one block's rows, chunk by chunk; ``part`` is room for a chunk's."""
    cdef Py_ssize_t k1 = j.shape[1] + 1, a, b, start = first
    for a in range(k1 * k1):
        out[a] = 0.0
    while start < last:
        chunk_sum(r, j, w, start, min(start + CHUNK, last), part)
        for a in range(k1):
            for b in range(a + 1):
                out[a * k1 + b] = out[a * k1 + b] + part[a * k1 + b]
        start += CHUNK
    for a in range(k1):
        for b in range(a):
            out[b * k1 + a] = out[a * k1 + b]


def accumulate_blocks(
    const double[::1] residual,      # IN (n)
    const double[:, ::1] jacobian,   # IN (n, k)
    const double[::1] weight,        # IN (n)
    const long long[::1] first,      # IN (q)
    int threads=1,
):
    """Return (q - 1, k + 1, k + 1); see the definition."""
    cdef Py_ssize_t p = max(first.shape[0] - 1, 0), k1 = jacobian.shape[1] + 1, i
    out = np.zeros((p, k1, k1))
    work = np.empty((p, k1, k1))
    cdef double[:, :, ::1] o = out, wk = work
    for i in prange(p, nogil=True, num_threads=threads if p > 64 else 1, schedule="static"):
        block_sum(residual, jacobian, weight, first[i], first[i + 1], &wk[i, 0, 0], &o[i, 0, 0])
    return out
