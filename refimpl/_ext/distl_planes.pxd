"""Planes of the background in boxes: the fit of one, the signal of a pixel by those there are."""

from libc.math cimport sqrt


cdef struct Pass:
    const long long* slow   # first and last pixel of the boxes
    const long long* fast
    int n_slow_boxes
    int n_fast_boxes
    int* slow_map           # box of each row, -1 outside; the last where boxes overlap
    int* fast_map
    double* plane           # a, b, c, 1 / scatter of each box


cdef struct Sums:
    double n, s, f, ss, sf, ff, v, vs, vf


cdef inline double one_value(
    const Pass* p, int i, int j, int s, int f, int count
) noexcept nogil:
    """Z of a pixel by the plane of its box."""
    cdef const double* q = p.plane + 4 * (i * p.n_fast_boxes + j)
    cdef double mean = q[0] * (s - p.slow[2 * i]) + q[1] * (f - p.fast[2 * j]) + q[2]
    return <float> ((count - mean) * q[3])


cdef inline double value_before(
    const Pass* passes, int k, int order, int s, int f, int count
) noexcept nogil:
    """Z of a pixel when pass k comes to its box number `order`; order 0: before the pass."""
    cdef int i, j
    cdef const Pass* p
    while k >= 0:
        p = passes + k
        i, j = p.slow_map[s], p.fast_map[f]
        if i >= 0 and j >= 0:
            if i * p.n_fast_boxes + j < order:
                return one_value(p, i, j, s, f, count)
        k -= 1
        order = 1 << 30
    return 0.0


cdef struct Stretch:    # of a row, under one box of the pass before
    int end
    int first
    double base
    double slope
    double height
    double factor


cdef inline bint stretch_at(const Pass* passes, int k, int s, int f, Stretch* t) noexcept nogil:
    """Plane for a pixel and those after it; False where only value_before() can tell."""
    cdef const Pass* p = passes + k - 1
    cdef const double* q
    cdef int i, j
    t.base = t.slope = t.height = t.factor = 0.0
    t.first = 0
    if k == 0:
        t.end = 1 << 30
        return True
    i, j = p.slow_map[s], p.fast_map[f]
    if i < 0 or j < 0:
        return False
    q = p.plane + 4 * (i * p.n_fast_boxes + j)
    t.first, t.end = p.fast[2 * j], p.fast[2 * j + 1] + 1
    if j + 1 < p.n_fast_boxes:
        t.end = min(t.end, <int> p.fast[2 * j + 2])
    t.base, t.slope, t.height = q[0] * (s - p.slow[2 * i]), q[1], q[2]
    t.factor = q[3]
    return True


cdef inline void fit_plane(const Sums* t, const double* held, double* plane) noexcept nogil:
    cdef double det, r0, r1, r2, r4, r5, r8, a, b, c, residual, total = 0.0
    cdef int i
    det = (
        t.ss * (t.ff * t.n - t.f * t.f) - t.sf * (t.sf * t.n - t.f * t.s)
        + t.s * (t.sf * t.f - t.ff * t.s)
    )
    r0, r1 = (t.ff * t.n - t.f * t.f) / det, (t.s * t.f - t.sf * t.n) / det
    r2, r4 = (t.sf * t.f - t.s * t.ff) / det, (t.ss * t.n - t.s * t.s) / det
    r5, r8 = (t.s * t.sf - t.ss * t.f) / det, (t.ss * t.ff - t.sf * t.sf) / det
    a = r0 * t.vs + r1 * t.vf + r2 * t.v
    b = r1 * t.vs + r4 * t.vf + r5 * t.v
    c = r2 * t.vs + r5 * t.vf + r8 * t.v
    for i in range(<int> t.n):
        residual = held[3 * i + 2] - a * held[3 * i] - b * held[3 * i + 1] - c
        total = total + residual * residual
    total = sqrt(total / t.n)
    plane[0], plane[1], plane[2] = a, b, c
    plane[3] = 1.0 / total if total != 0.0 else 0.0
