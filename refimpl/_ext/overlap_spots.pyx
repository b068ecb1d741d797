"""Twin of refimpl/objective/overlap_spots.py: same results, found without looking at everything."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport cos, sin

from refimpl._ext.nearfield_geometry cimport project_spots, tilt_spots
from refimpl._ext.overlap_core cimport Scene, check, count_spot, frame_of, set_scene

cdef enum:
    GROUP = 16      # most voxels that go through a block of spots together, while it is cached
    ORIENTATIONS = 64
    LANE = 32       # spots whose places are found at once
    LATER = 2048    # most spots of an orientation for the quick way
    STRETCH = 4096  # spots that a thread takes at a time


cdef struct Spots:
    const double* yl
    const double* zl
    double* cos
    double* sin
    int* frame
    double* yc              # pixel of the spot of the origin, first distance
    double* zc
    const long long* key


cdef void turn_spots(
    const Scene* c, const Spots* s, const double* omega, Py_ssize_t first, Py_ssize_t end
) noexcept nogil:
    """Cosine, sine, frame and place of some spots."""
    cdef Py_ssize_t i
    for i in range(first, end):
        s.cos[i], s.sin[i] = cos(omega[i]), sin(omega[i])
        s.frame[i] = frame_of(c, omega[i])
    tilt_spots(&c.view, s.yl + first, s.zl + first, end - first, s.yc + first, s.zc + first)


cdef struct Quick:
    const unsigned long long* near  # tiles of the first distance with a lit pixel in or beside
    double margin
    double a                # the middle of the voxel
    double b
    double y_low            # within these, a footprint is on the detector at every distance
    double y_high
    double z_low
    double z_high


cdef void set_quick(
    Quick* q, const Scene* c, const double* corner, int k, double margin, double per_mm
) noexcept nogil:
    """Middle of a voxel and the limits within which nothing of it can leave a detector."""
    cdef double far, side, ratio, low
    cdef int i, axis, n
    q.margin = margin
    q.a = q.b = 0.0
    for i in range(k):
        q.a += corner[2 * i] / k
        q.b += corner[2 * i + 1] / k
    far = (abs(q.a) + abs(q.b)) * 2.0 * per_mm   # how far a spot may be from that of the origin
    q.y_low, q.z_low, q.y_high, q.z_high = margin, margin, c.ny - margin, c.nz - margin
    for i in range(1, c.d):
        ratio = c.distance[4 * i + 3]
        # a footprint's offset is not scaled, while the limits here are found by scaling it
        side = margin + far * abs(ratio - 1.0) + 1.0
        for axis in range(2):
            n = c.ny if axis == 0 else c.nz
            low = (side - c.distance[4 * i + 1 + axis]) / ratio + c.distance[1 + axis]
            far_end(q, axis, low, (n - side - c.distance[4 * i + 1 + axis]) / ratio
                    + c.distance[1 + axis])


cdef void far_end(Quick* q, int axis, double low, double high) noexcept nogil:
    if axis == 0:
        q.y_low, q.y_high = max(q.y_low, low), min(q.y_high, high)
    else:
        q.z_low, q.z_high = max(q.z_low, low), min(q.z_high, high)


cdef double exhaustive(
    const Scene* c, const Spots* s, Py_ssize_t first, Py_ssize_t end, const double* corner, int k,
    bint single
) noexcept nogil:
    """Confidence by every spot."""
    cdef int count[2]
    cdef Py_ssize_t i
    count[0] = count[1] = 0
    for i in range(first, end):
        if s.frame[i] >= 0:
            count_spot(
                c, s.yl[i], s.zl[i], s.cos[i], s.sin[i], s.frame[i], s.yc[i], s.zc[i], corner, k,
                single, count, NULL,
            )
    return <double> count[1] / count[0] if count[0] else 0.0


cdef int suspects(
    const Scene* c, const Spots* s, const Quick* q, Py_ssize_t first, Py_ssize_t end,
    double least, int* later, int* dark
) noexcept nogil:
    """Spots that may be lit or off the detector; dark: the others. -1: too few may be."""
    cdef double y[LANE]
    cdef double z[LANE]
    cdef Py_ssize_t i, tile
    cdef int j, n, m = 0, rest = <int> (end - first)
    cdef const int* frame
    dark[0] = 0
    for i in range(first, end, 32):  # LANE; an enum would make it a loop over objects
        n = min(<int> (end - i), <int> LANE)
        project_spots(
            &c.view, s.yl + i, s.zl + i, s.cos + i, s.sin + i, n, q.a, q.b, y, z
        )
        frame = s.frame + i
        for j in range(n):
            if frame[j] < 0:
                continue
            if (
                y[j] >= q.y_low and y[j] < q.y_high and z[j] >= q.z_low and z[j] < q.z_high
            ):
                tile = (<Py_ssize_t> frame[j] * c.ty + (<int> y[j] >> 5)) * c.tz + (<int> z[j] >> 5)
                if not (q.near[tile >> 6] >> (tile & 63)) & 1:
                    dark[0] += 1
                    continue
            later[m] = <int> (i - first) + j
            m += 1
        rest -= n
        if m + rest == 0 or (<double> (m + rest)) / (dark[0] + m + rest) < least:
            return -1
    return m


cdef double abandoning(
    const Scene* c, const Spots* s, const Quick* q, Py_ssize_t first, Py_ssize_t end,
    const double* corner, int k, bint single, double least
) noexcept nogil:
    """Confidence, or 0 as soon as it cannot reach `least` (> 0) whatever the other spots are.

    The ratio of two whole numbers, rounded, never decreases when spots yet unseen are all taken as
    seen: what is abandoned would have been below `least` in the same arithmetic.
    """
    cdef int later[LATER]
    cdef int count[2]
    cdef int dark, j, m
    cdef Py_ssize_t i
    if end - first > LATER:
        return exhaustive(c, s, first, end, corner, k, single)
    m = suspects(c, s, q, first, end, least, later, &dark)
    if m < 0:
        return 0.0
    count[0] = count[1] = 0
    for j in range(m):
        i = first + later[j]
        count_spot(
            c, s.yl[i], s.zl[i], s.cos[i], s.sin[i], s.frame[i], s.yc[i], s.zc[i], corner, k,
            single, count, NULL,
        )
        if single and (<double> (count[1] + m - j - 1)) / (count[0] + dark + m - j - 1) < least:
            return 0.0
    if count[1] == 0 or (<double> count[1]) / (count[0] + dark) < least:
        return 0.0      # a dark spot has one pixel or more
    if single:
        return (<double> count[1]) / (count[0] + dark)
    return exhaustive(c, s, first, end, corner, k, single)


cdef void screen_group(
    const Scene* c, const Spots* s, Py_ssize_t n_orientations, const double* vertices, int k,
    const unsigned char* single, const double* least, int n, const unsigned long long* near,
    double margin, double* out
) noexcept nogil:
    """Confidences (n, o) of a few voxels: block by block of orientations, all voxels in each."""
    cdef Quick q
    cdef Py_ssize_t o, start, first
    cdef int v
    cdef double found
    q.near = near
    for start in range(0, n_orientations, 64):  # ORIENTATIONS
        for v in range(n):
            set_quick(&q, c, vertices + 2 * k * v, k, margin, c.view.per_mm)
            for o in range(start, min(start + <Py_ssize_t> ORIENTATIONS, n_orientations)):
                first = s.key[2 * o + 1]
                if near == NULL or not least[v] > 0.0:
                    found = exhaustive(
                        c, s, first, first + s.key[2 * o], vertices + 2 * k * v, k, single[v] != 0
                    )
                else:
                    found = abandoning(
                        c, s, &q, first, first + s.key[2 * o], vertices + 2 * k * v, k,
                        single[v] != 0, least[v],
                    )
                out[v * n_orientations + o] = found if found >= least[v] else 0.0


def screen_spots(
    const double[:, :, ::1] vertices,      # IN (n, k, 2) [mm]
    const unsigned char[::1] single,       # IN (n)
    const double[::1] least,               # IN (n)
    const double[::1] yl_mm,               # IN (s)
    const double[::1] zl_mm,               # IN (s)
    const double[::1] omega_rad,           # IN (s)
    const long long[:, ::1] key,           # IN (o, 2)
    const double[::1] camera,              # IN (15)
    const double[:, ::1] distances,        # IN (d, 4)
    const double[::1] scan,                # IN (3)
    const unsigned long long[:, ::1] coarse,  # IN (d, c)
    const int[:, ::1] rank,                # IN (d, c)
    const unsigned int[:, ::1] tiles,      # IN (t, 32)
    const unsigned long long[::1] near,    # IN (c) or (0)
    int margin_px,
    bint published,
    int threads=1,
):
    """Return confidences (n, o); see the definition."""
    cdef Py_ssize_t n = vertices.shape[0], n_spots = yl_mm.shape[0], o = key.shape[0], i
    # several groups a thread, so that none waits long; a voxel's figures do not depend on its group
    cdef Py_ssize_t group = max(1, min(<Py_ssize_t> GROUP, n // (4 * threads)))
    cdef Py_ssize_t groups = (n + group - 1) // group
    cdef int k = <int> vertices.shape[1]
    cdef Scene c
    cdef Spots s
    cdef double[:, ::1] nothing = np.zeros((8, 0)), none = np.zeros((0, 4))
    check(vertices.shape[1], distances.shape[0])
    set_scene(
        &c, nothing, none, none, camera, distances, scan, published, coarse, rank, tiles
    )
    confidence = np.zeros((n, o))
    cdef double[:, ::1] out = confidence
    if n == 0 or o == 0 or n_spots == 0:
        return confidence
    cdef double[:, ::1] made = np.empty((4, n_spots))
    cdef int[::1] frame = np.empty(n_spots, dtype=np.int32)
    s.yl, s.zl, s.cos, s.sin = &yl_mm[0], &zl_mm[0], &made[0, 0], &made[1, 0]
    s.frame, s.yc, s.zc, s.key = &frame[0], &made[2, 0], &made[3, 0], &key[0, 0]
    for i in prange(
        (n_spots + STRETCH - 1) // STRETCH, nogil=True, num_threads=threads, schedule="static"
    ):
        turn_spots(&c, &s, &omega_rad[0], i * STRETCH, min((i + 1) * STRETCH, n_spots))
    cdef const unsigned long long* close = &near[0] if near.shape[0] else NULL
    for i in prange(groups, nogil=True, num_threads=threads, schedule="dynamic"):
        screen_group(
            &c, &s, o, &vertices[i * group, 0, 0], k, &single[i * group], &least[i * group],
            <int> min(group, n - i * group), close, margin_px, &out[i * group, 0],
        )
    return confidence
