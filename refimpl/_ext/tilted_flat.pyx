"""Twin of refimpl/detector/tilted_flat.py: same formulas, same order of operations."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport NAN, atan2, cos, fabs, sin, sqrt
from libc.stdlib cimport free, malloc

cdef int SERIAL = 20000  # below this many points a parallel region costs more than it saves


cdef void tilt(double tx, double ty, double tz, Surface* s) noexcept nogil:
    cdef double cx = cos(tx), sx = sin(tx), cy = cos(ty), sy = sin(ty), cz = cos(tz), sz = sin(tz)
    s.t[0][0] = cy * cz
    s.t[0][1] = -(cy * sz)
    s.t[0][2] = sy
    s.t[1][0] = sx * sy * cz + cx * sz
    s.t[1][1] = cx * cz - sx * sy * sz
    s.t[1][2] = -(sx * cy)
    s.t[2][0] = sx * sz - cx * sy * cz
    s.t[2][1] = cx * sy * sz + sx * cz
    s.t[2][2] = cx * cy
    s.dt[0][0][0] = 0.0
    s.dt[0][1][0] = cx * sy * cz - sx * sz
    s.dt[0][2][0] = cx * sz + sx * sy * cz
    s.dt[1][0][0] = -(sy * cz)
    s.dt[1][1][0] = sx * cy * cz
    s.dt[1][2][0] = -(cx * cy * cz)
    s.dt[2][0][0] = -(cy * sz)
    s.dt[2][1][0] = cx * cz - sx * sy * sz
    s.dt[2][2][0] = sx * cz + cx * sy * sz
    s.dt[0][0][1] = 0.0
    s.dt[0][0][2] = 0.0
    s.dt[0][1][1] = -(sx * cz) - cx * sy * sz
    s.dt[0][1][2] = -(cx * cy)
    s.dt[0][2][1] = cx * cz - sx * sy * sz
    s.dt[0][2][2] = -(sx * cy)
    s.dt[1][0][1] = sy * sz
    s.dt[1][0][2] = cy
    s.dt[1][1][1] = -(sx * cy * sz)
    s.dt[1][1][2] = sx * sy
    s.dt[1][2][1] = cx * cy * sz
    s.dt[1][2][2] = -(cx * sy)
    s.dt[2][0][1] = -(cy * cz)
    s.dt[2][0][2] = 0.0
    s.dt[2][1][1] = -(sx * sy * cz) - cx * sz
    s.dt[2][1][2] = 0.0
    s.dt[2][2][1] = cx * sy * cz - sx * sz
    s.dt[2][2][2] = 0.0


cdef inline void harmonics(double c1, double s1, double* ck, double* sk) noexcept nogil:
    cdef int k
    ck[0] = c1
    sk[0] = s1
    for k in range(5):
        ck[k + 1] = ck[k] * c1 - sk[k] * s1
        sk[k + 1] = sk[k] * c1 + ck[k] * s1


cdef inline void powers(double rho, double* w) noexcept nogil:
    cdef int k
    w[0] = 1.0
    w[1] = rho
    for k in range(5):
        w[k + 2] = w[k + 1] * rho


cdef inline int power_of(int k) noexcept nogil:
    return 4 if k == 0 else k + 1


cdef inline double distortion(
    const double* g, double d_p2, const double* w, const double* ck, const double* sk
) noexcept nogil:
    cdef double total = 1.0 + (g[10] + d_p2) * w[2] + g[11] * w[4] + g[12] * w[6]
    cdef int k
    for k in range(6):
        total = total + w[power_of(k)] * (g[13 + 2 * k] * ck[k] - g[14 + 2 * k] * sk[k])
    return total


cdef double* turns(const double[:, ::1] corrections) except NULL:
    """Cosine and sine of each panel's rotation and two tilts, once: 6 numbers a panel."""
    cdef Py_ssize_t p = corrections.shape[0], i
    cdef int k
    cdef double* out = <double*> malloc((6 * p + 6) * sizeof(double))
    if out == NULL:
        raise MemoryError
    for i in range(p):
        for k in range(3):
            out[6 * i + 2 * k] = cos(corrections[i, 4 if k == 0 else 6 + k])
            out[6 * i + 2 * k + 1] = sin(corrections[i, 4 if k == 0 else 6 + k])
    return out


def check(const int[::1] panel, Py_ssize_t p):
    """Refuse a panel that has no row: the loops would read beyond the table."""
    cdef Py_ssize_t i
    for i in range(panel.shape[0]):
        if panel[i] >= p:
            raise IndexError(f"panel index {panel[i]}: there are corrections of {p} panels")


cdef void one_point(
    double f, double s, const double* c, const double* turn, const double* g, Surface* u,
    double* radius, double* eta, double* untilted, double* jac
) noexcept nogil:
    """One point; ``c`` is NULL without panel correction, ``jac`` NULL if not wanted."""
    cdef double x = 0.0, w = 0.0, fth = 0.0, sth = 0.0, lsd = g[0], d_p2 = 0.0
    cdef double ox = 0.0, uf = 0.0, us = 0.0, uy, uz, ca = 1.0, sa = 0.0, cb = 1.0, sb = 0.0
    cdef double y, z, vx, vy, vz, big_x, r, rr, ce, se, over_r, rho, d, ratio, tn, sec, depth
    cdef double dbt, d_rho, d_e, rc_r, rc_e, rc_l, gx, gy, gz, by_x, by_y, by_z, by_l, scaled, ac
    cdef double as_, by_uy, by_uz
    cdef double ck[6]
    cdef double sk[6]
    cdef double pw[7]
    cdef int k, n
    if c != NULL:
        x = f - c[0]
        w = s - c[1]
        uf = x * turn[0] - w * turn[1]
        us = x * turn[1] + w * turn[0]
        f = c[0] + uf + c[2]
        s = c[1] + us + c[3]
        fth = -(x * turn[1]) - w * turn[0]
        sth = x * turn[0] - w * turn[1]
        lsd = g[0] + c[5]
        d_p2 = c[6]
        ca = turn[2]
        sa = turn[3]
        cb = turn[4]
        sb = turn[5]
    f = f - g[1]
    s = s - g[2]
    uy = -uf * g[6]
    uz = us * g[7]
    ox = sa * uz - ca * sb * uy
    y = -f * g[6] + (cb - 1.0) * uy
    z = s * g[7] + (sa * sb * uy + (ca - 1.0) * uz)
    vx = u.t[0][0] * ox + u.t[0][1] * y + u.t[0][2] * z
    vy = u.t[1][0] * ox + u.t[1][1] * y + u.t[1][2] * z
    vz = u.t[2][0] * ox + u.t[2][1] * y + u.t[2][2] * z
    big_x = lsd + vx
    r = sqrt(vy * vy + vz * vz)
    rr = (lsd / big_x) * r if big_x > 0.0 else NAN
    ce = -vy / r if r > 0.0 else 0.0
    se = vz / r if r > 0.0 else 1.0
    harmonics(ce, se, ck, sk)
    rho = rr / g[8]
    powers(rho, pw)
    d = distortion(g, d_p2, pw, ck, sk)
    ratio = g[0] / lsd
    tn = rr / lsd
    sec = sqrt(1.0 + tn * tn)
    depth = tn / sec
    eta[0] = atan2(-vy, vz)
    radius[0] = rr * d * ratio + g[9] * depth
    if untilted != NULL:
        untilted[0] = atan2(-y, z)
    if jac == NULL:
        return
    over_r = 1.0 / r if r > 0.0 else 0.0
    d_rho = 2.0 * (g[10] + d_p2) * rho + 4.0 * g[11] * pw[3] + 6.0 * g[12] * pw[5]
    d_e = 0.0
    for k in range(6):
        n = power_of(k)
        ac = g[13 + 2 * k]
        as_ = g[14 + 2 * k]
        d_rho = d_rho + n * pw[n - 1] * (ac * ck[k] - as_ * sk[k])
        d_e = d_e - (k + 1) * pw[n] * (ac * sk[k] + as_ * ck[k])
    dbt = 1.0 / (sec * sec * sec)
    rc_r = ratio * (d + rho * d_rho) + g[9] * dbt / lsd
    rc_e = rr * ratio * d_e
    rc_l = -(rr * d * ratio / lsd) - g[9] * dbt * tn / lsd
    gx = rc_r * (-(rr / big_x))
    gy = rc_r * (lsd * vy / big_x * over_r) + rc_e * (vz * over_r * over_r)
    gz = rc_r * (lsd * vz / big_x * over_r) - rc_e * (vy * over_r * over_r)
    by_x = gx * u.t[0][0] + gy * u.t[1][0] + gz * u.t[2][0]
    by_y = gx * u.t[0][1] + gy * u.t[1][1] + gz * u.t[2][1]
    by_z = gx * u.t[0][2] + gy * u.t[1][2] + gz * u.t[2][2]
    by_l = rc_r * ((r / big_x) * (vx / big_x)) + rc_l
    jac[0] = by_l + rr * d / lsd
    jac[1] = by_y * g[6]
    jac[2] = -(by_z * g[7])
    for k in range(3):
        jac[3 + k] = (
            gx * (u.dt[k][0][0] * ox + u.dt[k][0][1] * y + u.dt[k][0][2] * z)
            + gy * (u.dt[k][1][0] * ox + u.dt[k][1][1] * y + u.dt[k][1][2] * z)
            + gz * (u.dt[k][2][0] * ox + u.dt[k][2][1] * y + u.dt[k][2][2] * z)
        )
    jac[6] = depth
    scaled = rr * ratio
    jac[7] = scaled * pw[2]
    jac[8] = scaled * pw[4]
    jac[9] = scaled * pw[6]
    for k in range(6):
        n = power_of(k)
        jac[10 + 2 * k] = scaled * pw[n] * ck[k]
        jac[11 + 2 * k] = -(scaled * pw[n] * sk[k])
    jac[22] = -(by_y * g[6]) if c != NULL else -(by_y * g[6]) * 0.0
    jac[23] = by_z * g[7] if c != NULL else by_z * g[7] * 0.0
    by_uy = by_y * cb + (by_z * (sa * sb) - by_x * (ca * sb))
    by_uz = by_x * sa + by_z * ca
    jac[24] = by_uz * g[7] * sth - by_uy * g[6] * fth
    jac[25] = by_l
    jac[26] = scaled * pw[2]
    jac[27] = by_x * (ca * uz + sa * sb * uy) + by_z * (ca * sb * uy - sa * uz)
    jac[28] = by_z * (sa * cb * uy) - by_x * (ca * cb * uy) - by_y * (sb * uy)
    jac[29] = -(by_y * f) - (by_uy - by_y) * uf
    jac[30] = by_z * s + (by_uz - by_z) * us


def ring_coordinates(
    const double[::1] fast_px,          # IN (n) [px]
    const double[::1] slow_px,          # IN (n) [px]
    const int[::1] panel,               # IN (n) -1: no panel
    const double[::1] geometry,         # IN (25)
    const double[:, ::1] corrections,   # IN (p, 9)
    int threads=1,
):
    """Return radius_mm, eta_rad, eta_untilted_rad; see the definition."""
    cdef Py_ssize_t n = fast_px.shape[0], i
    cdef Surface u
    check(panel, corrections.shape[0])
    radius = np.empty(n)
    eta = np.empty(n)
    untilted = np.empty(n)
    cdef double[::1] ra = radius, et = eta, un = untilted
    cdef const double* g = &geometry[0]
    cdef double* turn = turns(corrections)
    tilt(g[3], g[4], g[5], &u)
    for i in prange(n, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="static"):
        one_point(
            fast_px[i], slow_px[i],
            &corrections[panel[i], 0] if panel[i] >= 0 else NULL,
            turn + 6 * panel[i] if panel[i] >= 0 else NULL,
            g, &u, &ra[i], &et[i], &un[i], NULL,
        )
    free(turn)
    return radius, eta, untilted


def ring_jacobian(
    const double[::1] fast_px,          # IN (n) [px]
    const double[::1] slow_px,          # IN (n) [px]
    const int[::1] panel,               # IN (n) -1: no panel
    const double[::1] geometry,         # IN (25)
    const double[:, ::1] corrections,   # IN (p, 9)
    int threads=1,
):
    """Return radius_mm, eta_rad, jacobian (n, 31); see the definition."""
    cdef Py_ssize_t n = fast_px.shape[0], i
    cdef Surface u
    check(panel, corrections.shape[0])
    radius = np.empty(n)
    eta = np.empty(n)
    jacobian = np.empty((n, 31))
    cdef double[::1] ra = radius, et = eta
    cdef double[:, ::1] ja = jacobian
    cdef const double* g = &geometry[0]
    cdef double* turn = turns(corrections)
    tilt(g[3], g[4], g[5], &u)
    for i in prange(n, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="static"):
        one_point(
            fast_px[i], slow_px[i],
            &corrections[panel[i], 0] if panel[i] >= 0 else NULL,
            turn + 6 * panel[i] if panel[i] >= 0 else NULL,
            g, &u, &ra[i], &et[i], NULL, &ja[i, 0],
        )
    free(turn)
    return radius, eta, jacobian


cdef void invert_point(
    double rc, double eta, const double* c, const double* turn, const double* g, Surface* u,
    double* f, double* s
) noexcept nogil:
    cdef double lsd = g[0], d_p2 = 0.0, ratio, se = sin(eta), ce = cos(eta), radius, rho, d, by_rho
    cdef double tn, sec, value, slope, step = 0.0, along, away, scale, qy, qz, cy, cz, hx, hy, hz
    cdef double cf = 0.0, cs = 0.0, df = 0.0, ds = 0.0, ca = 1.0, sa = 0.0, cb = 1.0, sb = 0.0
    cdef double n0, n2, x, w
    cdef double ray[3]
    cdef double ck[6]
    cdef double sk[6]
    cdef double pw[7]
    cdef int k, n, _turn
    if c != NULL:
        cf = c[0]
        cs = c[1]
        df = c[2]
        ds = c[3]
        lsd = g[0] + c[5]
        d_p2 = c[6]
        ca = turn[2]
        sa = turn[3]
        cb = turn[4]
        sb = turn[5]
    ratio = g[0] / lsd
    harmonics(se, ce, ck, sk)
    radius = rc / ratio
    for _turn in range(50):
        rho = radius / g[8]
        powers(rho, pw)
        d = distortion(g, d_p2, pw, ck, sk)
        by_rho = 2.0 * (g[10] + d_p2) * rho + 4.0 * g[11] * pw[3] + 6.0 * g[12] * pw[5]
        for k in range(6):
            n = power_of(k)
            by_rho = by_rho + n * pw[n - 1] * (g[13 + 2 * k] * ck[k] - g[14 + 2 * k] * sk[k])
        tn = radius / lsd
        sec = sqrt(1.0 + tn * tn)
        value = radius * d * ratio + g[9] * (tn / sec) - rc
        slope = ratio * (d + rho * by_rho) + g[9] / (sec * sec * sec) / lsd
        step = value / slope
        radius = radius - step
        if not fabs(step) > 1e-14 * fabs(radius):
            break
    if fabs(step) > 1e-11 * fabs(radius):
        radius = NAN
    qy = -(radius * se)
    qz = radius * ce
    for k in range(3):
        ray[k] = u.t[0][k] * lsd + u.t[1][k] * qy + u.t[2][k] * qz
    cy = -(cf + df - g[1]) * g[6]
    cz = (cs + ds - g[2]) * g[7]
    n0 = ca * cb
    n2 = -(sa * cb)
    along = n0 * ray[0] + sb * ray[1] + n2 * ray[2]
    away = u.t[0][0] * n0 + u.t[0][1] * sb + u.t[0][2] * n2
    scale = (away * lsd + (sb * cy + n2 * cz)) / along
    if not scale > 0.0:
        scale = NAN
    hx = scale * ray[0] - u.t[0][0] * lsd
    hy = scale * ray[1] - u.t[0][1] * lsd - cy
    hz = scale * ray[2] - u.t[0][2] * lsd - cz
    if c == NULL:
        f[0] = g[1] - (hy + cy) / g[6]
        s[0] = g[2] + (hz + cz) / g[7]
        return
    x = -(cb * hy + (sa * sb * hz - ca * sb * hx)) / g[6]
    w = (sa * hx + ca * hz) / g[7]
    f[0] = cf + (x * turn[0] + w * turn[1])
    s[0] = cs + (w * turn[0] - x * turn[1])


def pixel_position(
    const double[::1] radius_mm,        # IN (n) [mm]
    const double[::1] eta_rad,          # IN (n) [rad]
    const int[::1] panel,               # IN (n) -1: no panel
    const double[::1] geometry,         # IN (25)
    const double[:, ::1] corrections,   # IN (p, 9)
    int threads=1,
):
    """Return fast_px, slow_px; see the definition."""
    cdef Py_ssize_t n = radius_mm.shape[0], i
    cdef Surface u
    check(panel, corrections.shape[0])
    fast = np.empty(n)
    slow = np.empty(n)
    cdef double[::1] fa = fast, sl = slow
    cdef const double* g = &geometry[0]
    cdef double* turn = turns(corrections)
    tilt(g[3], g[4], g[5], &u)
    for i in prange(n, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="static"):
        invert_point(
            radius_mm[i], eta_rad[i],
            &corrections[panel[i], 0] if panel[i] >= 0 else NULL,
            turn + 6 * panel[i] if panel[i] >= 0 else NULL,
            g, &u, &fa[i], &sl[i],
        )
    free(turn)
    return fast, slow
