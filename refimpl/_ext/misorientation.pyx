"""Twin of refimpl/crystal/misorientation.py; its inner loops are in misorientation.h."""

import numpy as np

from cython.parallel cimport prange
from libc.stdint cimport int64_t

cdef extern from "misorientation.h" nogil:
    const int PAIRS
    const int CUBIC_23
    const int CUBIC_432
    void angles(
        const double*, const double*, int64_t, const double*, int64_t, int, double*) noexcept

cdef int SERIAL = 5000  # below this many pairs a parallel region costs more than it saves


def kind_of(operators):
    """Whether the operators are all of 432 or of 23, whose closed form needs no loop."""
    table = np.abs(operators)
    m = len(table)
    if m not in (12, 24):
        return 0
    half, root = (table == 0.5).sum(axis=1), (table == np.sqrt(2.0) / 2.0).sum(axis=1)
    one, zero = (table == 1.0).sum(axis=1), (table == 0.0).sum(axis=1)
    axes = int(((one == 1) & (zero == 3)).sum())
    cube = int((half == 4).sum())
    edges = int(((root == 2) & (zero == 2)).sum())
    cosines = np.abs(operators @ operators.T)
    distinct = int((cosines > 0.9).sum()) == m
    if distinct and axes == 4 and cube == 8 and edges == m - 12:
        return CUBIC_432 if m == 24 else CUBIC_23
    return 0


def misorientation(
    const double[:, ::1] q1,            # IN (n, 4)
    const double[:, ::1] q2,            # IN (n, 4)
    const double[:, ::1] operators,     # IN (m, 4)
    int threads=1,
):
    """Return the angles (n) [rad]; see the definition."""
    cdef Py_ssize_t n = q1.shape[0], m = operators.shape[0], k, start
    cdef Py_ssize_t blocks = (n + PAIRS - 1) // PAIRS
    cdef int kind = kind_of(np.asarray(operators))
    if n == 0 or m == 0:
        return np.full(n, np.nan)
    angle = np.empty(n)  # the threads write it first: filling it here would be serial
    cdef double[::1] a = angle
    for k in prange(
        blocks, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="static"
    ):
        start = k * PAIRS
        angles(
            &q1[start, 0], &q2[start, 0], min(<int64_t> PAIRS, n - start), &operators[0, 0], m,
            kind, &a[start],
        )
    return angle
