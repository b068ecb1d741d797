"""Twin of refimpl/forward/rotation.py: same formulas, same order of operations."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport M_PI, NAN, atan2, rint, sqrt

cdef int SERIAL = 5000  # below this many reflections a parallel region costs more than it saves

cdef struct Axes:
    double m[3][3]
    double s0[3]
    double s0m2
    double s0m3
    double limit


cdef inline double dot(const double* a, const double* b) noexcept nogil:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


cdef inline void cross(const double* a, const double* b, double* out) noexcept nogil:
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


cdef void axes(const double* s0, const double* axis, Axes* a) noexcept nogil:
    cdef double size
    cdef int i
    cross(axis, s0, a.m[0])
    size = sqrt(dot(a.m[0], a.m[0]))
    for i in range(3):
        a.m[0][i] = a.m[0][i] / size
        a.m[1][i] = axis[i]
        a.s0[i] = s0[i]
    cross(a.m[0], axis, a.m[2])
    a.s0m2 = dot(s0, a.m[1])
    a.s0m3 = dot(s0, a.m[2])
    a.limit = 4.0 * dot(s0, s0)


cdef int ray(
    const double* p0, bint entering, double near, Axes* a, double* p, double* phi, double* turn
) noexcept nogil:
    """Point on the sphere, phi, its cosine and sine; status."""
    cdef double p01 = dot(p0, a.m[0]), p02 = dot(p0, a.m[1]), p03 = dot(p0, a.m[2])
    cdef double p2 = dot(p0, p0), rho2 = p2 - p02 * p02
    cdef double along3 = (-0.5 * p2 - p02 * a.s0m2) / a.s0m3
    cdef double rest = rho2 - along3 * along3, root, along1
    cdef int i, status = 0
    if not rest >= 0.0 or p2 > a.limit:
        status = 1
        root = NAN
    else:
        root = sqrt(rest)
    along1 = root if entering else -root
    turn[0] = (along1 * p01 + along3 * p03) / rho2
    turn[1] = (along1 * p03 - along3 * p01) / rho2
    phi[0] = atan2(turn[1], turn[0])
    phi[0] = phi[0] + rint((near - phi[0]) / (2.0 * M_PI)) * (2.0 * M_PI)
    for i in range(3):
        p[i] = along1 * a.m[0][i] + p02 * a.m[1][i] + along3 * a.m[2][i]
    return status


cdef int one(
    const double* p0, bint entering, double near, Axes* a, const double* d, double* xyz,
    double* s1, double* p, double* pv, double* turn
) noexcept nogil:
    """Prediction of one reflection; status."""
    cdef int i, status = ray(p0, entering, near, a, p, &xyz[2], turn)
    for i in range(3):
        s1[i] = p[i] + a.s0[i]
    for i in range(3):
        pv[i] = dot(d + 3 * i, s1)
    if pv[2] > 0.0:
        xyz[0] = pv[0] / pv[2]
        xyz[1] = pv[1] / pv[2]
    else:
        xyz[0] = NAN
        xyz[1] = NAN
        if status == 0:
            status = 2
    return status


def check(const int[::1] panel, Py_ssize_t p):
    """Refuse a panel that has no row: the loops would read beyond the table."""
    cdef Py_ssize_t i
    for i in range(panel.shape[0]):
        if panel[i] < 0 or panel[i] >= p:
            raise IndexError(f"panel index {panel[i]}: there are {p} panels")


def predict_rotation(
    const double[:, ::1] p0,               # IN (n, 3)
    const int[::1] panel,                  # IN (n)
    const unsigned char[::1] entering,     # IN (n)
    const double[::1] phi_near,            # IN (n) [rad]
    const double[::1] s0,                  # IN (3)
    const double[::1] axis,                # IN (3)
    const double[:, :, ::1] inverse_d,     # IN (p, 3, 3)
    int threads=1,
):
    """Return xyz (n, 3), s1 (n, 3), status (n); see the definition."""
    cdef Py_ssize_t n = p0.shape[0], i
    cdef Axes a
    check(panel, inverse_d.shape[0])
    axes(&s0[0], &axis[0], &a)
    xyz = np.empty((n, 3))
    s1 = np.empty((n, 3))
    work = np.empty((n, 8))
    status = np.empty(n, dtype=np.uint8)
    cdef double[:, ::1] x = xyz, s = s1, wk = work
    cdef unsigned char[::1] st = status
    for i in prange(n, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="static"):
        st[i] = one(
            &p0[i, 0], entering[i] != 0, phi_near[i], &a, &inverse_d[panel[i], 0, 0],
            &x[i, 0], &s[i, 0], &wk[i, 0], &wk[i, 3], &wk[i, 6],
        )
    return xyz, s1, status


cdef void rows_of(
    const double* d, const double* xyz, const double* s1, const double* p, const double* pv,
    const double* turn, Axes* a, const double* hkl,
    const double* crystal, Py_ssize_t c, const double* beam, Py_ssize_t b,
    const double* detector, Py_ssize_t m, double* out
) noexcept nogil:
    """Derivatives of X, Y, phi of one reflection, (3, b + c + m)."""
    cdef double row[2][3]
    cdef double by_c[3][3]
    cdef double by_b[3][3]
    cdef double e_r[3]
    cdef double at_zero[3]
    cdef double across[3]
    cdef double change[3]
    cdef double q, part, along
    cdef Py_ssize_t k, width = b + c + m
    cdef int i, j
    cross(a.m[1], p, e_r)
    q = dot(e_r, a.s0)
    for i in range(2):
        for j in range(3):
            row[i][j] = (d[3 * i + j] - xyz[i] * d[6 + j]) / pv[2]
        part = dot(row[i], e_r) / q
        for j in range(3):
            by_c[i][j] = row[i][j] - part * s1[j]
            by_b[i][j] = row[i][j] - part * p[j]
    for j in range(3):
        by_c[2][j] = -s1[j] / q
        by_b[2][j] = -p[j] / q
    for k in range(b):
        for i in range(3):
            out[i * width + k] = dot(by_b[i], beam + 3 * k)
    for k in range(c):
        for i in range(3):
            at_zero[i] = dot(hkl, crystal + 9 * k + 3 * i)
        along = dot(at_zero, a.m[1])
        cross(a.m[1], at_zero, across)
        for i in range(3):
            change[i] = (
                (at_zero[i] - along * a.m[1][i]) * turn[0] + across[i] * turn[1]
                + along * a.m[1][i]
            )
        for i in range(3):
            out[i * width + b + k] = dot(by_c[i], change)
    for k in range(m):
        for i in range(3):
            change[i] = dot(detector + 9 * k + 3 * i, pv)
        out[b + c + k] = -dot(row[0], change)
        out[width + b + c + k] = -dot(row[1], change)
        out[2 * width + b + c + k] = 0.0


def rotation_jacobian(
    const double[:, ::1] p0,               # IN (n, 3)
    const int[::1] panel,                  # IN (n)
    const unsigned char[::1] entering,     # IN (n)
    const double[::1] phi_near,            # IN (n) [rad]
    const double[::1] s0,                  # IN (3)
    const double[::1] axis,                # IN (3)
    const double[:, :, ::1] inverse_d,     # IN (p, 3, 3)
    const double[:, ::1] hkl,              # IN (n, 3)
    const double[:, :, ::1] crystal,       # IN (c, 3, 3)
    const double[:, ::1] beam,             # IN (b, 3)
    const double[:, :, :, ::1] detector,   # IN (p, m, 3, 3)
    int threads=1,
):
    """Return xyz (n, 3), jacobian (n, 3, b + c + m), status (n); see the definition."""
    cdef Py_ssize_t n = p0.shape[0], i, b = beam.shape[0], c = crystal.shape[0]
    cdef Py_ssize_t m = detector.shape[1]
    cdef Axes a
    check(panel, inverse_d.shape[0])
    axes(&s0[0], &axis[0], &a)
    xyz = np.empty((n, 3))
    out = np.zeros((n, 3, max(b + c + m, 1)))
    work = np.empty((n, 11))
    status = np.empty(n, dtype=np.uint8)
    cdef double[:, ::1] x = xyz, wk = work
    cdef double[:, :, ::1] o = out
    cdef unsigned char[::1] st = status
    cdef const double* of_crystal = &crystal[0, 0, 0] if c else NULL
    cdef const double* of_beam = &beam[0, 0] if b else NULL
    for i in prange(n, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="static"):
        st[i] = one(
            &p0[i, 0], entering[i] != 0, phi_near[i], &a, &inverse_d[panel[i], 0, 0],
            &x[i, 0], &wk[i, 0], &wk[i, 3], &wk[i, 6], &wk[i, 9],
        )
        if st[i] == 0 and b + c + m > 0:
            rows_of(
                &inverse_d[panel[i], 0, 0], &x[i, 0], &wk[i, 0], &wk[i, 3], &wk[i, 6], &wk[i, 9],
                &a, &hkl[i, 0], of_crystal, c, of_beam, b,
                &detector[panel[i], 0, 0, 0] if m else NULL, m, &o[i, 0, 0],
            )
    return xyz, out[:, :, : b + c + m], status
