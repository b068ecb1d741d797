"""Twin of refimpl/forward/powder_image.py: same formulas, same order of operations."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport exp, log

cdef int SERIAL = 2048  # below this many points a parallel region costs more than it saves
cdef double GAUSS_REACH = 60.0
cdef double LN2 = log(2.0)


cdef double one_pixel(
    const double* t, Py_ssize_t stride, const double* weight, Py_ssize_t m,
    const double* centre, const double* scale, const double* mixing, const double* crest,
    Py_ssize_t h,
) noexcept nogil:
    cdef double total = 0.0, line, x, u, gauss
    cdef Py_ssize_t j, k
    for j in range(m):
        line = 0.0
        for k in range(h):
            x = (t[j * stride] - centre[k]) * scale[k]
            u = x * x
            gauss = 0.0 if u > GAUSS_REACH else exp(-(LN2 * u))
            line = line + crest[k] * (mixing[k] / (1.0 + u) + (1.0 - mixing[k]) * gauss)
        total = total + weight[j] * line
    return total


def expected_counts(
    const double[:, ::1] two_theta_rad,     # IN (m, n) [rad]
    const double[::1] weight,               # IN (m) sum 1
    const double[::1] centre_rad,           # IN (h) [rad]
    const double[::1] fwhm_rad,             # IN (h) [rad]
    const double[::1] mixing,               # IN (h)
    const double[::1] crest,                # IN (h) [counts]
    int threads=1,
):
    """Return the expected counts (n); see the definition."""
    cdef Py_ssize_t m = two_theta_rad.shape[0], n = two_theta_rad.shape[1], i
    cdef Py_ssize_t h = centre_rad.shape[0]
    counts = np.zeros(n)
    if m == 0 or n == 0 or h == 0:
        return counts
    cdef double[::1] out = counts
    cdef double[::1] scale = 2.0 / np.asarray(fwhm_rad)
    for i in prange(n, nogil=True, num_threads=threads if n * m > SERIAL else 1, schedule="static"):
        out[i] = one_pixel(
            &two_theta_rad[0, i], n, &weight[0], m,
            &centre_rad[0], &scale[0], &mixing[0], &crest[0], h,
        )
    return counts
