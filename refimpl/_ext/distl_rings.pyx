"""Twin of refimpl/imaging/distl_rings.py: running counts along a row, read at the rings' edges."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport INFINITY, sqrt
from libc.stdlib cimport free, malloc

cdef enum:
    BANDS = 16  # of rows, each with its own counts


cdef extern from "math.h" nogil:
    float nextafterf(float, float)


cdef float at_least(double level) noexcept nogil:
    """Smallest single-precision number not below a level: the same pixels are below both."""
    cdef float near = <float> level
    return nextafterf(near, <float> INFINITY) if near < level else near


cdef void run_along(const float* signal, int n, float low, float high, int* run) noexcept nogil:
    """Pixels before each place that are below the first level, and then below the second."""
    cdef int f, below_low = 0, below_high = 0
    cdef int* other = run + n + 1
    for f in range(n):  # apart from the sums, so that it can be vectorised
        run[f + 1] = signal[f] < low
        other[f + 1] = signal[f] < high
    run[0] = other[0] = 0
    for f in range(n):
        below_low += run[f + 1]
        below_high += other[f + 1]
        run[f + 1] = below_low
        other[f + 1] = below_high


cdef void count_side(
    const int* run, int n_fast, int beam, int side, long long near, long long far,
    long long square, long long width, int n_rings, long long* counts
) noexcept nogil:
    """Add the pixels from `near` to before `far` px off the beam: the ring never falls."""
    cdef long long edge, end, ring, first, last
    cdef const int* other = run + n_fast + 1
    ring = <long long> (sqrt(<double> (square + near * near)) / width)
    while near < far and ring < n_rings:
        edge = (ring + 1) * (ring + 1) * width * width
        end = near
        if edge > square:
            end = min(far, <long long> sqrt(<double> (edge - square - 1)) + 1)
        if end > near:
            first = beam + near if side > 0 else beam - end + 1
            last = first + end - near
            counts[3 * ring] += end - near
            counts[3 * ring + 1] += run[last] - run[first]
            counts[3 * ring + 2] += other[last] - other[first]
            near = end
        ring += 1


cdef int count_band(
    const float[:, ::1] signal, int band, int beam_slow, int beam_fast, int margin, int width,
    int n_rings, const double* levels, long long* counts
) noexcept nogil:
    cdef int s, n_fast = signal.shape[1], first = margin, last = n_fast - margin, middle
    cdef long long square
    cdef float low = at_least(levels[0]), high = at_least(levels[1])
    cdef int* run
    if last <= first:
        return 0
    run = <int*> malloc(2 * <size_t> (n_fast + 1) * sizeof(int))
    if run == NULL:
        return 1
    middle = min(max(beam_fast, first), last)
    for s in range(margin, signal.shape[0] - margin):
        if s % BANDS != band:
            continue
        square = <long long> (s - beam_slow) * (s - beam_slow)
        run_along(&signal[s, 0], n_fast, low, high, run)
        count_side(
            run, n_fast, beam_fast, 1, middle - beam_fast, last - beam_fast, square, width,
            n_rings, counts,
        )
        count_side(
            run, n_fast, beam_fast, -1, beam_fast - middle + 1, beam_fast - first + 1, square,
            width, n_rings, counts,
        )
    free(run)
    return 0


def ring_histogram(
    const float[:, ::1] signal,     # IN (s, f)
    int beam_slow, int beam_fast,   # IN [px]
    int margin, int width,          # IN [px]
    int n_rings,
    const double[::1] levels,       # IN (2)
    int threads=1,
):
    """Return the counts (n_rings, 3); see the definition."""
    counts = np.zeros((BANDS, max(n_rings, 0), 3), dtype=np.int64)
    if n_rings <= 0 or signal.shape[0] == 0:
        return counts.sum(axis=0)
    cdef long long[:, :, ::1] out = counts
    cdef int band, failed = 0
    for band in prange(BANDS, nogil=True, num_threads=threads, schedule="static"):
        failed |= count_band(
            signal, band, beam_slow, beam_fast, margin, width, n_rings, &levels[0],
            &out[band, 0, 0],
        )
    if failed:
        raise MemoryError
    return counts.sum(axis=0)
