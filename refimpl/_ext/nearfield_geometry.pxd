# The arithmetic that the near-field twins share; frame and formulas of forward/nearfield_spots.py
# and forward/nearfield_projection.py. Inline, so that each twin compiles its own copy.
from libc.math cimport atan2, sqrt
from libc.stdint cimport int64_t

cdef extern from "nearfield_arithmetic.h" nogil:
    const int BLOCK
    ctypedef struct Crossings:
        double* y
        double* z
        double* along
        double* scale
        double* zl
        double** cos_omega
        double** sin_omega
        int64_t* seen
        int* which
    ctypedef struct View:
        double* r
        double* p0
        double lsd
        double bcy
        double bcz
        double per_mm
        double cos_wedge
        double sin_wedge
    ctypedef struct Places:
        double* yl
        double* zl
        double* cos_omega
        double* sin_omega
        double* frame
        double* yc
        double* zc
        double** y
        double** z
        double* oy
        double* oz
        int64_t* near
        int64_t* one
    void cross_sphere(
        const double*, const double*, int64_t, int64_t, int64_t, double, double, double,
        Crossings*) noexcept
    void on_tilted(const View*, double, double, double*, double*) noexcept
    void project(
        const View*, double, double, double, double, double, double, double*, double*) noexcept
    void project_spots(
        const View*, const double*, const double*, const double*, const double*, int64_t, double,
        double, double*, double*) noexcept
    void tilt_spots(const View*, const double*, const double*, int64_t, double*, double*) noexcept
    void frames_of(const double*, int64_t, double, double, double, double*) noexcept
    void place_spots(
        const View*, const double*, int, double, double, int64_t, Places*) noexcept

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


cdef inline int seen_in_block(
    const Selection* p, const double* u, const double* table, Py_ssize_t h, Py_ssize_t first,
    Crossings* at,
) noexcept nogil:
    """Cross the sphere with a block of reflections; how many of them may have spots that count."""
    cdef int n = <int> min(<Py_ssize_t> BLOCK, h - first), j, m = 0
    cross_sphere(u, table, h, first, n, p.cos_wedge, p.sin_wedge, p.cos_pole, at)
    for j in range(n):
        at.which[m] = j
        if at.seen[j] and height_in_a_box(p, at.zl[j]):
            m += 1
    return m


cdef inline bint spot_of_root(
    const Selection* p, const Crossings* at, int j, int root, const double* table, Py_ssize_t h,
    Py_ssize_t i, Spot* spot,
) noexcept nogil:
    """Whether a crossing of reflection i, j of the block, counts; its spot."""
    cdef double y = -at.y[j] if root else at.y[j]
    spot.yl = at.scale[j] * y
    spot.zl = at.zl[j]
    if not in_a_box(p, spot):
        return False
    spot.cos = at.cos_omega[root][j]
    spot.sin = at.sin_omega[root][j]
    spot.omega = atan2(spot.sin + 0.0, spot.cos)  # + 0: half a turn is +pi, never -pi
    if not selected(p, spot):
        return False
    if not p.published:
        return True
    return shift_as_published(
        p, spot, table[6 * h + i], table[7 * h + i], y / at.along[j], at.z[j] / at.along[j]
    )


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
