"""Twin of refimpl/clustering/greedy_grains.py: each point asks the centres near it, not all.

A point looks for centres in its own cell of orientation space (orientation_cells.pxd) and measures
chords; where that is a close thing, the arithmetic of misorientation.h decides. It belongs to the
first centre that would take it, so that the order of the points within a block, and the number of
threads, change nothing.
"""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport floor, sin, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

from refimpl._ext.misorientation import kind_of
from refimpl._ext.orientation_cells cimport (
    CLOSE, Cells, Entry, Group, Image, in_zone, list_centre, mixed
)

cdef extern from "misorientation.h" nogil:
    void angles(
        const double*, const double*, int64_t, const double*, int64_t, int, double*) noexcept

cdef int SERIAL = 2048  # points of the first block; fewer in all: one thread
cdef int MOST = 32768  # points of a block, each of which is twice the last; what finds no centre
#                        of an earlier block goes one by one
cdef double PI = 3.141592653589793


cdef bint alike(const double* q, int64_t centre, int64_t row, const Group* g) noexcept nogil:
    cdef double angle
    angles(q + 4 * centre, q + 4 * row, 1, g.operators, g.m, g.kind, &angle)
    return angle < g.limit


cdef int64_t first_centre(
    const double* q, int64_t row, const double* p, const Group* g, const Cells* c
) noexcept nogil:
    """Smallest label of the centres that would take a point, -1 for none."""
    cdef int64_t[4] at
    cdef int64_t e, best = -1
    cdef double far, d
    cdef const Image* image
    cdef uint64_t key
    cdef int k
    for k in range(4):
        at[k] = <int64_t> floor(p[k] / g.cell)
    key = mixed(at)
    e = c.first[key & <uint64_t> (c.n_buckets - 1)]
    while e >= 0:
        if c.entries[e].key == key:
            image = c.images + c.entries[e].image
            if best < 0 or image.label < best:
                far = 0.0
                for k in range(4):
                    d = p[k] - image.q[k]
                    far += d * d
                far = sqrt(far) - g.chord
                if far < -CLOSE or (far <= CLOSE and alike(q, image.row, row, g)):
                    best = image.label
        e = c.entries[e].following
    return best


cdef bint wherever(
    const double* q, const int64_t* order, int64_t n, const Group* g, int64_t* label, Cells* c,
    int threads,
) noexcept nogil:
    """Labels of all points; false without memory."""
    cdef double* zone = <double*> malloc(4 * MOST * sizeof(double))
    cdef bint* has = <bint*> malloc(MOST * sizeof(bint))
    cdef bint ready = zone != NULL and has != NULL
    cdef int64_t start = 0, block = SERIAL, size, i, row, count = 0
    while ready and start < n:
        size = min(block, n - start)
        if threads > 1:  # centres of earlier blocks come first, whatever this one adds
            for i in prange(size, num_threads=threads, schedule="static"):
                has[i] = in_zone(q + 4 * order[start + i], g, zone + 4 * i)
                if has[i]:
                    label[order[start + i]] = first_centre(
                        q, order[start + i], zone + 4 * i, g, c)
        for i in range(size):
            row = order[start + i]
            if label[row] >= 0:
                continue
            if threads == 1:
                has[i] = in_zone(q + 4 * row, g, zone + 4 * i)
            if has[i]:
                label[row] = first_centre(q, row, zone + 4 * i, g, c)
            if label[row] < 0:
                label[row] = count
                if has[i] and not list_centre(zone + 4 * i, row, count, g, c):
                    ready = False
                    break
                count += 1
        start += size
        block = min(2 * block, <int64_t> MOST)
    free(zone)
    free(has)
    return ready


cdef void among_neighbours(
    const double* q, const int64_t* order, int64_t n, const Group* g, int64_t* label,
    const int64_t* near, const int64_t* begin, int64_t* stack, int64_t* asked,
) noexcept nogil:
    """Labels of all points, -2 on entry where they count, by floods from each centre."""
    cdef int64_t i, here, there, k, centre, top, count = 0
    for i in range(n):
        centre = order[i]
        if label[centre] >= 0:
            continue
        label[centre] = count
        stack[0] = centre
        top = 1
        while top:
            top -= 1
            here = stack[top]
            for k in range(begin[here], begin[here + 1]):
                there = near[k]
                if label[there] == -2 and asked[there] != count:
                    asked[there] = count
                    if alike(q, centre, there, g):
                        label[there] = count
                        stack[top] = there
                        top += 1
        count += 1


def greedy_labels(
    const double[:, ::1] quaternion,    # IN (v, 4)
    const int64_t[::1] order,           # IN (n) rows of the points that count, the best first
    const double[:, ::1] operators,     # IN (m, 4)
    double limit_rad,
    pairs=None,                         # IN (k, 2)
    int threads=1,
):
    """Return the labels (v), 0, 1, ... in the order of their centres; see the definition."""
    cdef Py_ssize_t n = order.shape[0], m = operators.shape[0], k
    cdef Group g
    cdef Cells c
    cdef bint ready
    label = np.full(quaternion.shape[0], -1, dtype=np.int64)
    cdef int64_t[::1] out = label
    if n == 0:
        return label
    if m == 0:
        g.operators, g.kind = NULL, 0
    else:
        g.operators, g.kind = &operators[0, 0], kind_of(np.asarray(operators))
    g.m, g.limit = m, limit_rad
    g.chord = 2.0 * sin(0.25 * min(limit_rad, PI))
    g.cell = 2.0 * (g.chord + CLOSE)
    if pairs is not None:
        return flooded(quaternion, order, &g, pairs, label)
    c.n_images = c.n_entries = 0
    c.room_images, c.room_entries, c.n_buckets = 256, 1024, 1024
    c.images = <Image*> malloc(c.room_images * sizeof(Image))
    c.entries = <Entry*> malloc(c.room_entries * sizeof(Entry))
    c.first = <int64_t*> malloc(c.n_buckets * sizeof(int64_t))
    ready = c.images != NULL and c.entries != NULL and c.first != NULL
    with nogil:
        if ready:
            for k in range(c.n_buckets):
                c.first[k] = -1
            ready = wherever(
                &quaternion[0, 0], &order[0], n, &g, &out[0], &c,
                threads if n > SERIAL else 1,
            )
        free(c.images)
        free(c.entries)
        free(c.first)
    if not ready:
        raise MemoryError("greedy_labels: no memory for the centres")
    return label


cdef flooded(
    const double[:, ::1] quaternion, const int64_t[::1] order, const Group* g,
    const int64_t[:, ::1] pairs, label,
):
    """Neighbours of each point, one after the other, and the floods over them."""
    cdef Py_ssize_t v = quaternion.shape[0], n = order.shape[0], k
    cdef int64_t a, b
    begin_, asked_ = np.zeros(v + 2, dtype=np.int64), np.full(v, -1, dtype=np.int64)
    near_, stack_ = np.empty(2 * len(pairs) + 1, dtype=np.int64), np.empty(v, dtype=np.int64)
    cdef int64_t[::1] begin = begin_, near = near_, stack = stack_, asked = asked_, out = label
    with nogil:
        for k in range(pairs.shape[0]):
            begin[pairs[k, 0] + 2] += 1
            begin[pairs[k, 1] + 2] += 1
        for k in range(2, v + 2):
            begin[k] += begin[k - 1]
        for k in range(pairs.shape[0]):  # begin[i + 1] moves from the start of i to its end
            a, b = pairs[k, 0], pairs[k, 1]
            near[begin[a + 1]] = b
            begin[a + 1] += 1
            near[begin[b + 1]] = a
            begin[b + 1] += 1
        for k in range(n):
            out[order[k]] = -2
        among_neighbours(
            &quaternion[0, 0], &order[0], n, g, &out[0], &near[0], &begin[0], &stack[0], &asked[0],
        )
    return label
