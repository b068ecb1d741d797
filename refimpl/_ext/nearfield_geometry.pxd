# The arithmetic that the near-field twins share; frame and formulas of forward/nearfield_spots.py
# and forward/nearfield_pixels.py. Inline, so that each twin compiles its own copy.
from libc.math cimport atan2, fabs, sqrt

cdef struct Selection:  # which spots are looked for
    const double* ranges  # (k, 2) [rad]
    const double* boxes   # (k, 4) [mm]
    Py_ssize_t k
    double cos_pole
    double cos_wedge      # 1 and 0 where the published wedge is asked for
    double sin_wedge
    double cos_published  # 1 and 0 where it is not
    double sin_published
    bint published


cdef struct Spot:
    double yl
    double zl
    double cos
    double sin
    double omega


cdef struct View:  # the first distance
    double r[9]
    double p0[3]
    double lsd
    double bcy
    double bcz
    double per_mm
    double cos_wedge      # of the sample's place: 1 and 0 for the published wedge
    double sin_wedge


cdef inline void look_from(
    View* w, const double* rotation, double lsd, double bcy, double bcz, double pixel_size,
    double cos_wedge, double sin_wedge,
) noexcept nogil:
    cdef int i
    for i in range(9):
        w.r[i] = rotation[i]
    for i in range(3):
        w.p0[i] = -(rotation[3 * i] * lsd)
    w.lsd = lsd
    w.bcy = bcy
    w.bcz = bcz
    w.per_mm = 1.0 / pixel_size
    w.cos_wedge = cos_wedge
    w.sin_wedge = sin_wedge


cdef inline void on_tilted(
    const View* w, double y, double z, double* y_px, double* z_px
) noexcept nogil:
    """Formula 4: pixels of a place on the untilted first detector, of a spot of the origin."""
    cdef double q0 = w.r[1] * y + w.r[2] * z - w.p0[0]
    cdef double q1 = w.r[4] * y + w.r[5] * z - w.p0[1]
    cdef double q2 = w.r[7] * y + w.r[8] * z - w.p0[2]
    cdef double f = w.p0[0] / q0
    y_px[0] = (w.p0[1] - q1 * f) * w.per_mm + w.bcy
    z_px[0] = (w.p0[2] - q2 * f) * w.per_mm + w.bcz


cdef inline void project(
    const View* w, double yl, double zl, double c, double s, double a, double b,
    double* y_px, double* z_px,
) noexcept nogil:
    """Formulas 3 and 4: where the first detector sees a spot of the point (a, b)."""
    cdef double xa = a * c - b * s, ya = a * s + b * c
    cdef double x = w.cos_wedge * xa, t = 1.0 - x / w.lsd
    on_tilted(w, ya + yl * t, w.sin_wedge * xa + zl * t, y_px, z_px)


cdef inline bint in_ranges(const Selection* p, double omega) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(p.k):
        if p.ranges[2 * i] < omega < p.ranges[2 * i + 1]:
            return True
    return False


cdef inline bint selected(const Selection* p, const Spot* spot) noexcept nogil:
    cdef Py_ssize_t i
    cdef const double* box
    for i in range(p.k):
        box = p.boxes + 4 * i
        if (
            box[0] < spot.yl < box[1] and box[2] < spot.zl < box[3]
            and p.ranges[2 * i] < spot.omega < p.ranges[2 * i + 1]
        ):
            return True
    return False


cdef inline bint in_a_box(const Selection* p, const Spot* spot) noexcept nogil:
    """Whether any box holds the spot: cheap, and most spots need no angle."""
    cdef Py_ssize_t i
    cdef const double* box
    for i in range(p.k):
        box = p.boxes + 4 * i
        if box[0] < spot.yl < box[1] and box[2] < spot.zl < box[3]:
            return True
    return False


cdef inline bint shift_as_published(
    const Selection* p, Spot* spot, double sin_2t, double cos_2t, double ey, double ez,
) noexcept nogil:
    """Omega less the published change by the wedge; whether there is one, within the ranges."""
    cdef double k3 = cos_2t * ez
    cdef double g1 = k3 * p.sin_published - sin_2t * p.cos_published, g2 = cos_2t * ey
    cdef double rho2 = g1 * g1 + g2 * g2, rho, c0, s0, cd, sd, cw, sw, cos
    if not (rho2 > 0.0 and sin_2t * sin_2t <= rho2):
        return False
    rho = sqrt(rho2)
    c0 = -sin_2t / rho
    s0 = (1.0 - c0) * (1.0 + c0)
    s0 = sqrt(s0) if s0 > 0.0 else 0.0
    cd = g1 / rho
    sd = g2 / rho
    if sd < 0.0:
        s0 = -s0
    cw = c0 * cd + s0 * sd
    sw = s0 * cd - c0 * sd
    cos = spot.cos * cw + spot.sin * sw
    spot.sin = spot.sin * cw - spot.cos * sw
    spot.cos = cos
    spot.omega = atan2(spot.sin + 0.0, spot.cos)
    return in_ranges(p, spot.omega)


cdef inline bint height_in_a_box(const Selection* p, double zl) noexcept nogil:
    """Whether any box reaches the height: both spots of a reflection have it, most are out."""
    cdef Py_ssize_t i
    for i in range(p.k):
        if p.boxes[4 * i + 2] < zl < p.boxes[4 * i + 3]:
            return True
    return False


cdef inline int spots_of_reflection(
    const double* u, const double* g, double sin_theta, double cos_theta, double radius,
    double sin_2t, double cos_2t, const Selection* p, Spot* out,
) noexcept nogil:
    """The selected spots, 0 to 2 of them, of one reflection of one orientation."""
    cdef double gx = u[0] * g[0] + u[1] * g[1] + u[2] * g[2]
    cdef double gy = u[3] * g[0] + u[4] * g[1] + u[5] * g[2]
    cdef double gz = u[6] * g[0] + u[7] * g[1] + u[8] * g[2]
    cdef double length = sqrt(gx * gx + gy * gy + gz * gz)
    cdef double v = sin_theta * length, along = cos_theta * length
    cdef double need = (v - p.sin_wedge * gz) / p.cos_wedge
    cdef double z = p.cos_wedge * gz - p.sin_wedge * need
    cdef double scale = radius / along, zl = scale * z, rho2, rest, y
    cdef int root, n = 0
    if not (height_in_a_box(p, zl) and fabs(z) <= p.cos_pole * along):
        return 0
    rho2 = gx * gx + gy * gy
    rest = rho2 - need * need
    if not (rho2 > 0.0 and rest >= 0.0):
        return 0
    rest = sqrt(rest)
    if (gx if fabs(gy) < 1e-12 else gy) < 0.0:
        rest = -rest
    for root in range(2):
        y = rest if root == 0 else -rest
        out[n].yl = scale * y
        out[n].zl = zl
        if not in_a_box(p, &out[n]):
            continue
        out[n].cos = (y * gy - need * gx) / rho2
        out[n].sin = (y * gx + need * gy) / rho2
        out[n].omega = atan2(out[n].sin + 0.0, out[n].cos)  # + 0: half a turn is +pi, never -pi
        if not selected(p, &out[n]):
            continue
        if p.published and not shift_as_published(
            p, &out[n], sin_2t, cos_2t, y / along, z / along
        ):
            continue
        n += 1
    return n


cdef inline long long orient(
    long long ay, long long az, long long by, long long bz, long long cy, long long cz
) noexcept nogil:
    """Twice the signed area of a, b, c."""
    return (by - ay) * (cz - az) - (bz - az) * (cy - ay)


cdef inline bint in_footprint(
    const long long* vy, const long long* vz, int k, long long way, long long py, long long pz
) noexcept nogil:
    """Whether a pixel is inside the polygon of k whole-numbered corners, or 0.99 px from a side."""
    cdef int i, j
    cdef long long turn, length2
    cdef bint inside = True
    for i in range(k):
        j = i + 1 if i + 1 < k else 0
        turn = orient(vy[i], vz[i], vy[j], vz[j], py, pz)
        length2 = (vy[j] - vy[i]) * (vy[j] - vy[i]) + (vz[j] - vz[i]) * (vz[j] - vz[i])
        if 10000 * turn * turn < 9801 * length2:
            return True
        if turn * way < 0:
            inside = False
    return inside
