"""Twin of refimpl/imaging/distl_signal.py: between passes only the planes of the boxes are kept."""

import numpy as np

from cython.parallel cimport prange
from libc.stdlib cimport calloc, free, malloc

from refimpl._ext.distl_planes cimport (
    Pass,
    Stretch,
    Sums,
    fit_plane,
    stretch_at,
    value_before,
)

cdef enum:
    STEP = 2
    LARGEST_BOX = 1000


cdef int sample(
    const int* image, int n_fast, const Pass* passes, int k, int order, int s0, int f0, int at_s,
    int at_f, int high, int wide, double upper, int underload, Sums* t, double* held
) noexcept nogil:
    """Sums over the background of a box; `held` takes (s, f, count) of each sample."""
    cdef int s, f, end, stop, n = 0, row, count
    cdef long long sum_s = 0, sum_f = 0, ss = 0, sf = 0, ff = 0, v = 0, vs = 0, vf = 0
    cdef long long p, q, row_f, row_v
    cdef const int* pixel
    cdef Stretch own
    cdef bint known
    stop = at_f + wide
    for s in range(at_s, at_s + high, 2):  # STEP, which range() does not take
        pixel = image + <size_t> s * n_fast
        p, row_f, row_v, row = s - s0, 0, 0, n
        f = at_f
        while f < stop:
            known = order == 0 and stretch_at(passes, k, s, f, &own)
            end = min(own.end, stop) if known else f + 1
            while f < end:
                count = pixel[f]
                if count > underload and (
                    <float> ((count - (own.base + own.slope * (f - own.first) + own.height))
                             * own.factor) if known
                    else value_before(passes, k, order, s, f, count)
                ) < upper:
                    q = f - f0
                    row_f += q
                    row_v += count
                    ff += q * q
                    vf += q * count
                    held[3 * n], held[3 * n + 1], held[3 * n + 2] = p, q, count
                    n += 1
                f += 2
        sum_s += p * (n - row)
        ss += p * p * (n - row)
        sum_f += row_f
        sf += p * row_f
        v += row_v
        vs += p * row_v
    t.n, t.s, t.f, t.ss, t.sf, t.ff, t.v, t.vs, t.vf = n, sum_s, sum_f, ss, sf, ff, v, vs, vf
    return n


cdef int one_box(
    const int* image, int n_slow, int n_fast, Pass* passes, int k, int box, bint may_grow,
    double upper, int underload
) noexcept nogil:
    """Fit one box: 0 done, 1 too little background, 2 no memory."""
    cdef Pass* p = passes + k
    cdef int i = box // p.n_fast_boxes, j = box % p.n_fast_boxes
    cdef int s0 = p.slow[2 * i], f0 = p.fast[2 * j], at_s = s0, at_f = f0
    cdef int high = p.slow[2 * i + 1] - s0 + 1, wide = p.fast[2 * j + 1] - f0 + 1
    cdef int wanted = high * wide * 2 // 3 // (STEP * STEP), grow = min(high, wide) // 3
    cdef int order = 0  # its own pixels are in no other box of the pass
    cdef int status = 0
    cdef Sums t
    cdef double* held = NULL
    while True:
        free(held)
        held = <double*> malloc(
            3 * <size_t> ((high + 1) // STEP + 1) * ((wide + 1) // STEP + 1) * sizeof(double)
        )
        if held == NULL:
            return 2
        if sample(image, n_fast, passes, k, order, s0, f0, at_s, at_f, high, wide, upper,
                  underload, &t, held) >= wanted:
            fit_plane(&t, held, p.plane + 4 * box)
            break
        if not may_grow:
            status = 1
            break
        order = box
        high, wide = high + 2 * grow, wide + 2 * grow
        if high > min(LARGEST_BOX, n_slow) or wide > n_fast or grow == 0:
            status = 1
            break
        at_s = min(max(0, at_s - grow), n_slow - high)
        at_f = min(max(0, at_f - grow), n_fast - wide)
    free(held)
    return status


cdef int one_pass(
    const int* image, int n_slow, int n_fast, Pass* passes, int k, double upper, int underload,
    int threads
) noexcept nogil:
    """Fit all boxes; those that must grow wait, as they read boxes that come before them."""
    cdef int n_boxes = passes[k].n_slow_boxes * passes[k].n_fast_boxes, box, status = 0
    cdef unsigned char* waits = <unsigned char*> calloc(n_boxes + 1, 1)
    if waits == NULL:
        return 2
    for box in prange(n_boxes, num_threads=threads, schedule="dynamic", chunksize=8):
        waits[box] = one_box(
            image, n_slow, n_fast, passes, k, box, False, upper, underload
        )
    for box in range(n_boxes):
        if waits[box] != 0:
            status = one_box(image, n_slow, n_fast, passes, k, box, True, upper, underload)
            if status != 0:
                # the boxes from here on keep what they had
                passes[k].n_slow_boxes = -1 - box
                break
    free(waits)
    return status


cdef bint hides(const Pass* later, const Pass* p, int n_fast) noexcept nogil:
    """Whether a row of boxes of one pass lies under a row of boxes of a later one."""
    cdef int f
    for f in range(n_fast):
        if p.fast_map[f] >= 0 and later.fast_map[f] < 0:
            return False
    return True


cdef void write_row(
    const int* image, const Pass* passes, const bint* hidden, int last, int limit, int s,
    float* signal
) noexcept nogil:
    """Z of a row: pass after pass, the last up to its box number `limit`."""
    cdef int k, i, j, f, first, box
    cdef const Pass* p
    cdef const double* q
    cdef double factor, slope, height, base
    for k in range(last + 1):
        p = passes + k
        i = p.slow_map[s]
        if i < 0 or (hidden[k] and passes[last].slow_map[s] >= 0):
            continue
        for j in range(p.n_fast_boxes):
            box = i * p.n_fast_boxes + j
            if k == last and box >= limit:
                break
            q = p.plane + 4 * box
            first, factor, slope, height = p.fast[2 * j], q[3], q[1], q[2]
            base = q[0] * (s - p.slow[2 * i])
            for f in range(first, p.fast[2 * j + 1] + 1):
                signal[f] = <float> ((image[f] - (base + slope * (f - first) + height)) * factor)


cdef class Boxes:
    """Holds the memory of one pass."""

    cdef int n_slow_boxes, n_fast_boxes
    cdef const long long[:, ::1] slow, fast
    cdef int[::1] slow_map, fast_map
    cdef double[::1] plane

    def __cinit__(self, slow, fast, n_slow, n_fast):
        self.slow, self.fast = slow, fast
        self.n_slow_boxes, self.n_fast_boxes = len(slow), len(fast)
        self.slow_map = box_map(slow, n_slow)
        self.fast_map = box_map(fast, n_fast)
        self.plane = np.zeros(4 * len(slow) * len(fast) + 1)

    cdef object slopes(self):
        """Slopes and height of the plane of each box."""
        count = 4 * self.n_slow_boxes * self.n_fast_boxes
        return np.asarray(self.plane)[:count].reshape(-1, 4)[:, :3].copy()

    cdef void give(self, Pass* p):
        p.n_slow_boxes, p.n_fast_boxes = self.n_slow_boxes, self.n_fast_boxes
        p.slow = &self.slow[0, 0] if self.n_slow_boxes else NULL
        p.fast = &self.fast[0, 0] if self.n_fast_boxes else NULL
        p.slow_map, p.fast_map = &self.slow_map[0], &self.fast_map[0]
        p.plane = &self.plane[0]


def box_map(boxes, size):
    """Box of each pixel along one axis, -1 outside."""
    where = np.full(size, -1, dtype=np.int32)
    for i, (first, last) in enumerate(np.asarray(boxes).tolist()):
        where[first:last + 1] = i
    return where


def local_signal(
    const int[:, ::1] image,            # IN (s, f) counts
    const long long[:, ::1] slow1,      # IN (., 2) first and last pixel of boxes
    const long long[:, ::1] fast1,
    const long long[:, ::1] slow2,
    const long long[:, ::1] fast2,
    const long long[:, ::1] slow3,
    const long long[:, ::1] fast3,
    double upper,
    int underload,
    int threads=1,
):
    """Return signal (s, f), planes (boxes, 3) and status; see the definition."""
    cdef int n_slow = image.shape[0], n_fast = image.shape[1], s, k, status = 0
    cdef int last = 2, limit = 1 << 30
    signal = np.zeros((n_slow, n_fast), dtype=np.float32)
    if n_slow == 0 or n_fast == 0:
        return signal, np.empty((0, 3)), 0
    cdef float[:, ::1] z = signal
    cdef Pass[3] passes
    cdef bint[3] hidden
    cdef Boxes one = Boxes(slow1, fast1, n_slow, n_fast)
    cdef Boxes two = Boxes(slow2, fast2, n_slow, n_fast)
    cdef Boxes three = Boxes(slow3, fast3, n_slow, n_fast)
    one.give(&passes[0])
    two.give(&passes[1])
    three.give(&passes[2])
    with nogil:
        for k in range(3):
            status = one_pass(
                &image[0, 0], n_slow, n_fast, &passes[0], k, upper, underload, threads
            )
            if status != 0:
                last = k
                limit = -1 - passes[k].n_slow_boxes
                break
        for k in range(3):
            hidden[k] = k < last and status == 0 and hides(&passes[last], &passes[k], n_fast)
        for s in prange(n_slow, num_threads=threads, schedule="static"):
            write_row(&image[s, 0], &passes[0], &hidden[0], last, limit, s, &z[s, 0])
    if status == 2:
        raise MemoryError
    planes = [one.slopes(), two.slopes(), three.slopes()]
    if status != 0:
        planes[last][limit:] = np.nan
        for k in range(last + 1, 3):
            planes[k][:] = np.nan
    return signal, np.concatenate(planes), status
