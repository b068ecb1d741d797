"""Twin of refimpl/imaging/spot_labels.py: a forest of labels, and two sweeps over each spot."""

import numpy as np

from cython.parallel cimport prange

cdef Py_ssize_t SERIAL = 512  # below this many spots a parallel region costs more than it saves


cdef Py_ssize_t root_of(long long[::1] parent, Py_ssize_t i) noexcept nogil:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


cdef void join(long long[::1] parent, Py_ssize_t one, Py_ssize_t two) noexcept nogil:
    """The smaller root stays, so that a root is the first of its tree."""
    one, two = root_of(parent, one), root_of(parent, two)
    if one < two:
        parent[two] = one
    else:
        parent[one] = two


cdef void link_all(
    const long long[::1] index, const long long[::1] previous,
    const long long[::1] previous_label, Py_ssize_t n_open, long long n_fast,
    long long[::1] parent,
) noexcept nogil:
    cdef Py_ssize_t i, above = 0, before = 0
    for i in range(index.shape[0]):
        if i > 0 and index[i - 1] + 1 == index[i] and index[i] % n_fast != 0:
            join(parent, n_open + i - 1, n_open + i)
        while above < i and index[above] + n_fast < index[i]:
            above += 1
        if above < i and index[above] + n_fast == index[i]:
            join(parent, n_open + above, n_open + i)
        while before < previous.shape[0] and previous[before] < index[i]:
            before += 1
        if before < previous.shape[0] and previous[before] == index[i]:
            join(parent, previous_label[before], n_open + i)


def join_frame(
    const long long[::1] index,             # IN (n) rising
    const long long[::1] previous,          # IN (m) rising
    const long long[::1] previous_label,    # IN (m) 0 to n_open - 1
    Py_ssize_t n_open,
    long long n_fast,
    int threads=1,
):
    """Return the labels of the pixels (n) and of the open spots (n_open); see the definition."""
    cdef Py_ssize_t size = n_open + index.shape[0], i, count = 0
    label = np.arange(size, dtype=np.int64)
    cdef long long[::1] parent = label
    with nogil:
        link_all(index, previous, previous_label, n_open, n_fast, parent)
        # a root comes before the rest of its tree: number the roots, and copy to what follows
        for i in range(size):
            parent[i] = root_of(parent, i)
        for i in range(size):
            if parent[i] == i:
                parent[i] = count
                count += 1
            else:
                parent[i] = parent[parent[i]]
    return label[n_open:].copy(), label[:n_open].copy()


cdef void one_spot(
    const int[:, ::1] position, const int[::1] counts, Py_ssize_t first, Py_ssize_t last,
    int* box, double* total, double* centroid, double* variance, int* peak,
) noexcept nogil:
    cdef Py_ssize_t i, best = first
    cdef int axis, at
    cdef double p, away, freedom, unbiased, s = 0.0, squares = 0.0
    cdef double[3] moment
    for axis in range(3):
        centroid[axis] = 0.0
        moment[axis] = 0.0
        box[2 * axis], box[2 * axis + 1] = position[first, axis], position[first, axis] + 1
    for i in range(first, last):
        p = counts[i]
        s = s + p
        squares = squares + p * p
        if counts[i] > counts[best]:
            best = i
        for axis in range(3):
            at = position[i, axis]
            centroid[axis] = centroid[axis] + p * (at + 0.5)
            box[2 * axis] = min(box[2 * axis], at)
            box[2 * axis + 1] = max(box[2 * axis + 1], at + 1)
    total[0] = s
    for axis in range(3):
        centroid[axis] = centroid[axis] / s
        peak[axis] = position[best, axis]
    for i in range(first, last):
        for axis in range(3):
            away = position[i, axis] + 0.5 - centroid[axis]
            moment[axis] = moment[axis] + counts[i] * (away * away)
    freedom = s * s - squares
    for axis in range(3):
        unbiased = moment[axis] * s / freedom if freedom > 0.0 else 0.0
        variance[axis] = unbiased / s + 1.0 / 12.0


def measure_spots(
    const int[:, ::1] position,     # IN (n, 3) fast, slow, image
    const int[::1] counts,          # IN (n)
    const long long[::1] offsets,   # IN (k + 1)
    int threads=1,
):
    """Return box, total, centroid, variance and peak of the spots; see the definition."""
    cdef Py_ssize_t k = max(offsets.shape[0] - 1, 0), i
    box, peak = np.empty((k, 6), dtype=np.int32), np.empty((k, 3), dtype=np.int32)
    total, centroid, variance = np.empty(k), np.empty((k, 3)), np.empty((k, 3))
    cdef int[:, ::1] b = box, h = peak
    cdef double[::1] t = total
    cdef double[:, ::1] c = centroid, v = variance
    for i in prange(k, nogil=True, num_threads=threads if k > SERIAL else 1, schedule="static"):
        one_spot(
            position, counts, offsets[i], offsets[i + 1],
            &b[i, 0], &t[i], &c[i, 0], &v[i, 0], &h[i, 0],
        )
    return box, total, centroid, variance, peak
