"""Twin of refimpl/objective/overlap_climb.py: same formulas, same order of operations."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport fabs

from refimpl._ext.overlap_core cimport Scene, check, count_voxel, set_scene

from refimpl._ext.nearfield_spots import reflection_table

cdef int SERIAL = 1  # a single climb is a millisecond of work


cdef struct Task:
    const Scene* scene
    const double* start     # orientation about which the simplex is built
    const double* corner
    int k
    bint single


cdef void turned(const double* u, const double* x, double* out) noexcept nogil:
    """Orientation u turned by the vector x = 2 tan(angle / 2) times the axis."""
    cdef double a = 0.5 * x[0], b = 0.5 * x[1], c = 0.5 * x[2]
    cdef double s = 2.0 / (1.0 + (a * a + b * b + c * c))
    cdef double e[9]
    cdef int i, j
    e[0], e[1], e[2] = 1.0 - s * (b * b + c * c), s * (a * b - c), s * (a * c + b)
    e[3], e[4], e[5] = s * (a * b + c), 1.0 - s * (a * a + c * c), s * (b * c - a)
    e[6], e[7], e[8] = s * (a * c - b), s * (b * c + a), 1.0 - s * (a * a + b * b)
    for i in range(3):
        for j in range(3):
            out[3 * i + j] = e[3 * i] * u[j] + e[3 * i + 1] * u[3 + j] + e[3 * i + 2] * u[6 + j]


cdef double confidence_at(const Task* t, const double* x) noexcept nogil:
    cdef double u[9]
    turned(t.start, x, u)
    return confidence_of(t, u)


cdef double confidence_of(const Task* t, const double* u) noexcept nogil:
    cdef int count[2]
    count[0] = count[1] = 0
    count_voxel(t.scene, u, t.corner, t.k, t.single, count, NULL)
    return <double> count[1] / count[0] if count[0] else 0.0


cdef double size_of(double p[4][3], int best) noexcept nogil:
    """Largest coordinate of any vertex from the best."""
    cdef double size = 0.0
    cdef int i, j
    for i in range(4):
        for j in range(3):
            size = max(size, fabs(p[i][j] - p[best][j]))
    return size


cdef void between(const double* a, const double* b, double at, double* out) noexcept nogil:
    """a + at (b - a)."""
    cdef int j
    for j in range(3):
        out[j] = a[j] + at * (b[j] - a[j])


cdef void keep(double p[4][3], double* f, int i, const double* x, double value) noexcept nogil:
    cdef int j
    for j in range(3):
        p[i][j] = x[j]
    f[i] = value


cdef int step(const Task* t, double p[4][3], double* f, int best, int worst) noexcept nogil:
    """Reflect, expand, contract or shrink once; how often the confidence was found."""
    cdef double centre[3]
    cdef double one[3]
    cdef double two[3]
    cdef double reflected, tried
    cdef const double* side = p[worst]
    cdef int i, j, second = -1
    for i in range(4):
        if i != worst and (second < 0 or f[i] < f[second]):
            second = i
    for j in range(3):
        centre[j] = 0.0
        for i in range(4):
            if i != worst:
                centre[j] = centre[j] + p[i][j] / 3.0
    between(centre, p[worst], -1.0, one)
    reflected = confidence_at(t, one)
    if reflected > f[best]:
        between(centre, p[worst], -2.0, two)
        tried = confidence_at(t, two)
        if tried > reflected:
            keep(p, f, worst, two, tried)
        else:
            keep(p, f, worst, one, reflected)
        return 2
    if reflected > f[second]:
        keep(p, f, worst, one, reflected)
        return 1
    if reflected > f[worst]:
        side = one
    between(centre, side, 0.5, two)
    tried = confidence_at(t, two)
    if tried > max(f[worst], reflected):
        keep(p, f, worst, two, tried)
        return 2
    for i in range(4):
        if i != best:
            between(p[best], p[i], 0.5, one)
            keep(p, f, i, one, confidence_at(t, one))
    return 5


cdef double simplex(
    const Task* t, double edge, double size, double enough, int most, double* x, int* evaluations
) noexcept nogil:
    """Climb from the start; the best point into x, its confidence returned."""
    cdef double p[4][3]
    cdef double f[4]
    cdef int i, j, best, worst, n = 4
    for i in range(4):
        for j in range(3):
            p[i][j] = 0.75 * edge if i == j + 1 else -0.25 * edge
        f[i] = confidence_at(t, p[i])
    while True:
        best = worst = 0
        for i in range(1, 4):
            if f[i] > f[best]:
                best = i
            if f[i] <= f[worst]:
                worst = i
        if f[best] >= enough or n >= most or size_of(p, best) < size:
            break
        n += step(t, p, f, best, worst)
    for j in range(3):
        x[j] = p[best][j]
    evaluations[0] += n
    return f[best]


cdef void climb_one(
    const Task* task, const double* edges, Py_ssize_t n_edges, double size, double enough,
    int most, double* u, double* confidence, int* evaluations
) noexcept nogil:
    """One edge length after the other, each from the best orientation so far, which u becomes."""
    cdef Task t = task[0]
    cdef double x[3]
    cdef double start[9]
    cdef double found
    cdef Py_ssize_t i
    cdef int j
    t.start = start
    confidence[0] = confidence_of(&t, u)
    evaluations[0] = 1
    for i in range(n_edges):
        if confidence[0] >= enough:
            return
        for j in range(9):
            start[j] = u[j]
        found = simplex(
            &t, edges[i], min(size, 0.25 * edges[i]), enough, most, x, evaluations
        )
        if found > confidence[0]:
            confidence[0] = found
            turned(start, x, u)


def climb(
    const double[:, :, ::1] vertices,      # IN (n, k, 2) [mm]
    const double[:, :, ::1] orientations,  # IN (n, 3, 3)
    const unsigned char[::1] single,       # IN (n)
    const double[:, ::1] g,                # IN (h, 3) [1/A]
    const double[::1] theta_rad,           # IN (h)
    const double[:, ::1] ranges,           # IN (w, 2) [rad]
    const double[:, ::1] boxes,            # IN (w, 4) [mm]
    const double[::1] camera,              # IN (15)
    const double[:, ::1] distances,        # IN (d, 4)
    const double[::1] scan,                # IN (3)
    const unsigned long long[:, ::1] coarse,  # IN (d, c)
    const int[:, ::1] rank,                # IN (d, c)
    const unsigned int[:, ::1] tiles,      # IN (t, 32)
    bint published,
    const double[::1] edges_rad,           # IN (e)
    double size_rad,
    int most,
    double enough,
    int threads=1,
):
    """Return orientations (n, 3, 3), confidence (n), evaluations (n); see the definition."""
    cdef Py_ssize_t n = vertices.shape[0], i, e = edges_rad.shape[0]
    cdef Scene c
    cdef Task task
    cdef const double[:, ::1] table = reflection_table(g, theta_rad, distances[0, 0])
    check(vertices.shape[1], distances.shape[0])
    set_scene(
        &c, table, ranges, boxes, camera, distances, scan, published, coarse, rank, tiles
    )
    best = np.array(orientations)
    confidence = np.empty(n)
    evaluations = np.empty(n, dtype=np.int32)
    cdef double[:, :, ::1] u = best
    cdef double[::1] found = confidence
    cdef int[::1] count = evaluations
    cdef const double* edges = &edges_rad[0] if e else NULL
    task.scene, task.k, task.start = &c, <int> vertices.shape[1], NULL
    for i in prange(
        n, nogil=True, num_threads=threads if n > SERIAL else 1, schedule="dynamic"
    ):
        climb_pair(
            &task, &vertices[i, 0, 0], single[i] != 0, edges, e, size_rad, enough, most,
            &u[i, 0, 0], &found[i], &count[i],
        )
    return best, confidence, evaluations


cdef void climb_pair(
    const Task* shared, const double* corner, bint single, const double* edges, Py_ssize_t e,
    double size, double enough, int most, double* u, double* confidence, int* evaluations
) noexcept nogil:
    cdef Task task = shared[0]
    task.corner, task.single = corner, single
    climb_one(&task, edges, e, size, enough, most, u, confidence, evaluations)
