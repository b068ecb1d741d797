"""Twin of refimpl/imaging/distl_rings.py: running counts along a row, read at the rings' edges."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport sqrt
from libc.stdlib cimport free, malloc

cdef enum:
    BANDS = 16  # of rows, each with its own counts

cdef long long LOW = 0xFFFFFFFF


cdef void run_along(
    const float* signal, int n, double low, double high, long long* run
) noexcept nogil:
    """Pixels before each place that are below the levels: the first in the low half."""
    cdef int f
    cdef long long total = 0
    for f in range(n):
        run[f] = total
        total += (signal[f] < low) + ((<long long> (signal[f] < high)) << 32)
    run[n] = total


cdef void count_side(
    const long long* run, int beam, int side, long long near, long long far, long long square,
    long long width, int n_rings, long long* counts
) noexcept nogil:
    """Add the pixels from `near` to before `far` px off the beam: the ring never falls."""
    cdef long long edge, end, found, ring
    ring = <long long> (sqrt(<double> (square + near * near)) / width)
    while near < far and ring < n_rings:
        edge = (ring + 1) * (ring + 1) * width * width
        end = near
        if edge > square:
            end = min(far, <long long> sqrt(<double> (edge - square - 1)) + 1)
        if end > near:
            if side > 0:
                found = run[beam + end] - run[beam + near]
            else:
                found = run[beam - near + 1] - run[beam - end + 1]
            counts[3 * ring] += end - near
            counts[3 * ring + 1] += found & LOW
            counts[3 * ring + 2] += found >> 32
            near = end
        ring += 1


cdef int count_band(
    const float[:, ::1] signal, int band, int beam_slow, int beam_fast, int margin, int width,
    int n_rings, const double* levels, long long* counts
) noexcept nogil:
    cdef int s, n_fast = signal.shape[1], first = margin, last = n_fast - margin, middle
    cdef long long square
    cdef long long* run
    if last <= first:
        return 0
    run = <long long*> malloc(<size_t> (n_fast + 1) * sizeof(long long))
    if run == NULL:
        return 1
    middle = min(max(beam_fast, first), last)
    for s in range(margin, signal.shape[0] - margin):
        if s % BANDS != band:
            continue
        square = <long long> (s - beam_slow) * (s - beam_slow)
        run_along(&signal[s, 0], n_fast, levels[0], levels[1], run)
        count_side(
            run, beam_fast, 1, middle - beam_fast, last - beam_fast, square, width, n_rings, counts
        )
        count_side(
            run, beam_fast, -1, beam_fast - middle + 1, beam_fast - first + 1, square, width,
            n_rings, counts,
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
