# What nearfield_pixels.pyx is made of: a growing list of hits, the scene, the exact geometry.
from libc.math cimport fabs, floor
from libc.stdlib cimport realloc

from refimpl._ext.nearfield_geometry cimport View

cdef enum:
    CORNERS = 4


cdef struct Hits:  # a list that grows; rows of voxel, distance, frame, Y, Z
    int* row
    Py_ssize_t n
    Py_ssize_t room
    bint full  # there was no memory for more


cdef struct Scene:
    View view
    const double* rotation
    const double* lsd
    const double* ratio  # to the first distance
    const double* centre
    double[CORNERS] ay  # corners of the polygon in hand
    double[CORNERS] az
    Py_ssize_t n_distances
    long long ny
    long long nz
    double start
    double step
    double pixel
    long long n_frames
    int corners
    bint published
    bint exact


cdef inline void add(
    Hits* hits, Py_ssize_t voxel, Py_ssize_t d, long long frame, long long y, long long z
) noexcept nogil:
    cdef int* more
    if hits.n == hits.room:
        more = <int*>realloc(hits.row, (2 * hits.room + 64) * 5 * sizeof(int))
        if more == NULL:
            hits.full = True
            return
        hits.row, hits.room = more, 2 * hits.room + 64
    more = hits.row + 5 * hits.n
    more[0], more[1], more[2], more[3], more[4] = (
        <int>voxel, <int>d, <int>frame, <int>y, <int>z
    )
    hits.n += 1


cdef inline bint near(double y, double z) noexcept nogil:
    return fabs(y) < 1e8 and fabs(z) < 1e8  # FAR_PX of the definition


cdef inline bint met(
    Scene* w, Py_ssize_t d, double ry, double rz, double x, double y, double z,
    double* y_px, double* z_px,
) noexcept nogil:
    """Where the ray (1, ry, rz) from a place meets the detector at a distance; False if far."""
    cdef const double* r = w.rotation
    cdef double[3] s
    cdef double[3] along
    cdef double t, away = x - w.lsd[d]
    cdef int i
    for i in range(3):
        s[i] = r[3 * i] * away + r[3 * i + 1] * y + r[3 * i + 2] * z
        along[i] = r[3 * i] + r[3 * i + 1] * ry + r[3 * i + 2] * rz
    t = -s[0] / along[0]
    y_px[0] = (s[1] + t * along[1]) * w.view.per_mm + w.centre[2 * d]
    z_px[0] = (s[2] + t * along[2]) * w.view.per_mm + w.centre[2 * d + 1]
    return near(y_px[0], z_px[0])


cdef inline void touched(
    Scene* w, Py_ssize_t d, Py_ssize_t voxel, long long frame, Hits* hits
) noexcept nogil:
    """Every pixel whose square the polygon of the scene touches."""
    cdef double area = 0.0, way, turn, y0, y1, z0, z1
    cdef double* ay = w.ay
    cdef double* az = w.az
    cdef int i, j, k = w.corners
    cdef long long py, pz
    cdef bint inside
    y0, y1, z0, z1 = ay[0], ay[0], az[0], az[0]
    for i in range(k):
        j = i + 1 if i + 1 < k else 0
        y0, y1 = min(y0, ay[i]), max(y1, ay[i])
        z0, z1 = min(z0, az[i]), max(z1, az[i])
        area = area + ((ay[i] - ay[0]) * (az[j] - az[0]) - (az[i] - az[0]) * (ay[j] - ay[0]))
    way = -1.0 if area < 0.0 else 1.0
    for pz in range(max(<long long>floor(z0), 0), min(<long long>floor(z1), w.nz - 1) + 1):
        for py in range(max(<long long>floor(y0), 0), min(<long long>floor(y1), w.ny - 1) + 1):
            inside = True
            for i in range(k):
                j = i + 1 if i + 1 < k else 0
                turn = (ay[j] - ay[i]) * (pz + 0.5 - az[i]) - (az[j] - az[i]) * (py + 0.5 - ay[i])
                turn = turn * way + 0.5 * (fabs(ay[j] - ay[i]) + fabs(az[j] - az[i]))
                if not turn >= 0.0:
                    inside = False
                    break
            if inside:
                add(hits, voxel, d, frame, py, pz)
