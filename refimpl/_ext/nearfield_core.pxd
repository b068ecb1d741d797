"""What the near-field twins share: spots of a reflection, their projection, their pixels.

Formulas (1) to (5) of the near field with the wedge R_y(-W) R_z(omega); arguments are the flat
arrays of refimpl/forward/nearfield_arrays.py. Definitions: forward/nearfield_spots.py and
forward/nearfield_pixels.py. Same formulas, same order of operations.
"""

from libc.math cimport M_PI, acos, atan2, cos, fabs, floor, round, sin, sqrt

cdef enum:
    MOST_VERTICES = 8
    RIM = 9801      # squared distance to an edge, in 1e-4 px2, below which a pixel counts


cdef struct Geometry:
    double r[9]             # tilt of the detector
    double p0[3]            # R (-lsd0, 0, 0)
    double lsd0
    double pixel
    int ny
    int nz
    double cos_wedge
    double sin_wedge
    double published_wedge  # 0: none
    int n_distances
    const double* distance  # (d, 4): lsd, beam centre Y, Z, lsd / lsd0
    double start
    double step
    int frames
    int n_windows
    const double* window    # (w, 6): omega, yl, zl from and to


cdef struct Spot:
    double yl
    double zl
    double cos
    double sin
    double omega
    int frame               # -1: outside the scan


cdef struct Footprint:
    int n                   # corners; 1: a single pixel, the first corner
    int winding             # 1, or -1 where the corners run clockwise
    int y[MOST_VERTICES]
    int z[MOST_VERTICES]
    int y_low
    int y_high
    int z_low
    int z_high


cdef inline void set_geometry(
    const double* camera, const double* distance, int n_distances, const double* scan,
    const double* window, int n_windows, Geometry* g
) noexcept nogil:
    """Unpack the flat arrays; `distance` and `window` must outlive the geometry."""
    cdef int i
    for i in range(9):
        g.r[i] = camera[i]
    g.pixel = camera[9]
    g.ny, g.nz = <int> camera[10], <int> camera[11]
    g.cos_wedge, g.sin_wedge = camera[12], camera[13]
    g.published_wedge = camera[14]
    g.n_distances, g.distance = n_distances, distance
    g.lsd0 = distance[0]
    for i in range(3):
        g.p0[i] = -g.lsd0 * g.r[3 * i]
    g.start, g.step, g.frames = scan[0], scan[1], <int> scan[2]
    g.n_windows, g.window = n_windows, window


cdef inline int frame_of(const Geometry* g, double omega) noexcept nogil:
    """Frame of an angle, -1 outside the scan."""
    cdef double f = floor((omega - g.start) / g.step)
    if not (f >= 0.0 and f < g.frames):
        return -1
    return <int> f


cdef inline bint in_range(const Geometry* g, double omega) noexcept nogil:
    cdef int i
    for i in range(g.n_windows):
        if g.window[6 * i] < omega and omega < g.window[6 * i + 1]:
            return True
    return False


cdef inline bint in_window(const Geometry* g, double omega, double yl, double zl) noexcept nogil:
    """Whether a range of omega with its box holds the spot."""
    cdef int i
    cdef const double* w
    for i in range(g.n_windows):
        w = g.window + 6 * i
        if w[0] < omega and omega < w[1] and w[2] < yl and yl < w[3] and w[4] < zl and zl < w[5]:
            return True
    return False


cdef inline bint height_in_a_box(const Geometry* g, double zl) noexcept nogil:
    cdef int i
    for i in range(g.n_windows):
        if g.window[6 * i + 4] < zl and zl < g.window[6 * i + 5]:
            return True
    return False


cdef inline bint in_a_box(const Geometry* g, double yl, double zl) noexcept nogil:
    cdef int i
    cdef const double* w
    for i in range(g.n_windows):
        w = g.window + 6 * i
        if w[2] < yl and yl < w[3] and w[4] < zl and zl < w[5]:
            return True
    return False


cdef inline bint shift_as_published(const Geometry* g, Spot* s) noexcept nogil:
    """Omega less the published shift for a wedge, 2 theta taken for theta as there; in range?"""
    cdef double w = g.published_wedge, radius = sqrt(s.yl * s.yl + s.zl * s.zl)
    cdef double theta = atan2(radius, g.lsd0)
    cdef double k1 = -sin(theta), k2 = cos(theta) * (s.yl / radius)
    cdef double k3 = cos(theta) * (s.zl / radius)
    cdef double g1 = k1 * cos(w) + k3 * sin(w), v = sin(theta)
    cdef double rho = sqrt(g1 * g1 + k2 * k2), half, phase, a, b
    if v > rho:
        return False
    half, phase = acos(-v / rho), atan2(k2, g1)
    a, b = wrapped(half - phase), wrapped(-half - phase)
    s.omega = wrapped(s.omega - (a if fabs(a) <= fabs(b) else b))
    s.cos, s.sin = cos(s.omega), sin(s.omega)
    return in_range(g, s.omega)


cdef inline double wrapped(double angle) noexcept nogil:
    """Angle in (-pi, pi], for angles within a turn of it."""
    if angle > M_PI:
        return angle - 2.0 * M_PI
    if angle <= -M_PI:
        return angle + 2.0 * M_PI
    return angle


cdef inline int spots_of(
    const Geometry* g, const double* h, const double* u, Spot* two
) noexcept nogil:
    """Spots, at most two, of a reflection h = (g, v, scale, pole) of orientation u (3, 3)."""
    cdef double gx = u[0] * h[0] + u[1] * h[1] + u[2] * h[2]
    cdef double gy = u[3] * h[0] + u[4] * h[1] + u[5] * h[2]
    cdef double gz = u[6] * h[0] + u[7] * h[1] + u[8] * h[2]
    # g turned by omega is (x, y, gz); the wedge then turns it about y, and (1) holds for that
    cdef double x = (g.sin_wedge * gz - h[3]) / g.cos_wedge
    cdef double up = g.sin_wedge * x + g.cos_wedge * gz
    cdef double zl = h[4] * up, rho2, rest, y
    cdef Spot* s
    cdef int k, n = 0
    if not height_in_a_box(g, zl) or fabs(up) > h[5]:
        return 0
    rho2 = gx * gx + gy * gy
    rest = rho2 - x * x
    if not (rest >= 0.0 and rho2 > 0.0):
        return 0
    rest = sqrt(rest)
    for k in range(2):
        y = rest if k == 0 else -rest
        s = two + n
        s.yl, s.zl = h[4] * y, zl
        if not in_a_box(g, s.yl, zl):
            continue
        s.cos, s.sin = (x * gx + y * gy) / rho2, (y * gx - x * gy) / rho2
        s.omega = atan2(s.sin, s.cos)
        if not in_window(g, s.omega, s.yl, zl):
            continue
        if g.published_wedge != 0.0:
            if not shift_as_published(g, s):
                continue
        s.frame = frame_of(g, s.omega)
        n += 1
    return n


cdef inline void on_detector(const Geometry* g, double y, double z, double* out) noexcept nogil:
    """Pixel coordinates (4) of the point (0, y, z) of the untilted detector."""
    cdef double q0 = g.r[1] * y + g.r[2] * z - g.p0[0]
    cdef double q1 = g.r[4] * y + g.r[5] * z - g.p0[1]
    cdef double q2 = g.r[7] * y + g.r[8] * z - g.p0[2]
    cdef double w = g.p0[0] / q0
    out[0] = (g.p0[1] - q1 * w) / g.pixel + g.distance[1]
    out[1] = (g.p0[2] - q2 * w) / g.pixel + g.distance[2]


cdef inline void project(
    const Geometry* g, const Spot* s, const double* at, double* out
) noexcept nogil:
    """Pixel coordinates (3), (4) of a spot from a point `at` of the sample, first distance."""
    cdef double along = at[0] * s.cos - at[1] * s.sin, across = at[0] * s.sin + at[1] * s.cos
    cdef double t = 1.0 - g.cos_wedge * along / g.lsd0
    on_detector(g, across + s.yl * t, g.sin_wedge * along + s.zl * t, out)


cdef inline bint on_area(const Geometry* g, const double* at) noexcept nogil:
    """Whether a point is on the detector, its far edges included as published; NaN is not."""
    return at[0] >= 0.0 and at[0] <= g.ny and at[1] >= 0.0 and at[1] <= g.nz


cdef inline int whole(double x) noexcept nogil:
    """Floor as an int; NaN and what no detector reaches become -2^30."""
    x = floor(x)
    if not (x > -1073741824.0 and x < 1073741824.0):
        return -1073741824
    return <int> x


cdef inline int nearest(double x) noexcept nogil:
    """Round half away from zero; NaN and what no detector reaches become -2^30."""
    return whole(round(x))


cdef inline void footprint(
    const double* corner, int n, const double* centre, bint single, bint published, Footprint* f
) noexcept nogil:
    """Pixels of a voxel relative to the spot's centre from its n projected corners (Y, Z)."""
    cdef int i, j, k
    cdef double y = 0.0, z = 0.0
    cdef long long area = 0
    f.winding = 1
    if single or n == 1:
        for i in range(n):
            y += corner[2 * i] - centre[0]
            z += corner[2 * i + 1] - centre[1]
        f.n = 1
        f.y_low = f.y_high = f.y[0] = nearest(y / n)
        f.z_low = f.z_high = f.z[0] = nearest(z / n)
        return
    f.n = n
    for i in range(n):
        f.y[i] = nearest(corner[2 * i] - centre[0])
        f.z[i] = nearest(corner[2 * i + 1] - centre[1])
        if i == 0:
            f.y_low = f.y_high = f.y[0]
            f.z_low = f.z_high = f.z[0]
        f.y_low, f.y_high = min(f.y_low, f.y[i]), max(f.y_high, f.y[i])
        f.z_low, f.z_high = min(f.z_low, f.z[i]), max(f.z_high, f.z[i])
    if published:
        return
    for i in range(n):
        j, k = (i + 1) % n, (i + 2) % n
        if j != 0 and k != 0:
            area += side(f, 0, j, f.y[k], f.z[k])
    if area < 0:
        f.winding = -1


cdef inline long long side(const Footprint* f, int a, int b, int y, int z) noexcept nogil:
    """Twice the area of corners a, b and pixel (y, z), positive where it is on the left."""
    return (
        <long long> (f.y[b] - f.y[a]) * (z - f.z[a]) - <long long> (f.z[b] - f.z[a]) * (y - f.y[a])
    )


cdef inline bint covers(const Footprint* f, int y, int z) noexcept nogil:
    """Whether a pixel of the bounding box counts: inside, or under 0.99 px from an edge line."""
    cdef int a, b
    cdef long long s, dy, dz
    cdef bint inside = True
    if f.n == 1:
        return True
    for a in range(f.n):
        b = a + 1 if a + 1 < f.n else 0
        s = side(f, a, b, y, z)
        dy, dz = f.y[b] - f.y[a], f.z[b] - f.z[a]
        if 10000 * s * s < RIM * (dy * dy + dz * dz):
            return True
        if s * f.winding < 0:
            inside = False
    return inside


cdef inline void place(
    const Geometry* g, const double* centre, int d, int* y, int* z
) noexcept nogil:
    """Pixel (5) of a spot's centre at distance d, to which a footprint is added."""
    cdef const double* there = g.distance + 4 * d
    y[0] = whole((centre[0] - g.distance[1]) * there[3] + there[1])
    z[0] = whole((centre[1] - g.distance[2]) * there[3] + there[2])
