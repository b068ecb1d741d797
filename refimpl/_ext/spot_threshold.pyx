"""Twin of refimpl/imaging/spot_threshold.py: column sums slide down the rows of a band.

Only pixels that stand out of their window have its sum of squares taken, where that suffices.
"""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport sqrt
from libc.stdlib cimport calloc, free

from refimpl._ext.spot_window cimport (
    LARGEST_COUNT,
    Rule,
    Window,
    claim,
    push,
    squares_around,
    sums,
)

cdef int BAND = 96  # rows that a thread takes at once
cdef int BORDER = 2  # beyond the window, for the background of the extended threshold


cdef inline bint is_dispersed(const Rule* r, double m, double x, double y) noexcept nogil:
    cdef double spread
    if m < r.min_count or x < 0.0 or m < 1.0:
        return False
    spread = r.sigma_background * sqrt(2.0 * (m - 1.0))
    if r.gain > 0.0:
        return m * y - x * x > r.gain * x * (m - 1.0 + spread)
    return m * y - x * x - x * (m - 1.0) > x * spread


cdef void strong_row(
    Window* w, const Rule* r, const int* row, const unsigned char* mask, unsigned char* out
) noexcept nogil:
    cdef int j
    cdef double p, above, m, x
    cdef double gain = r.gain if r.gain > 0.0 else 1.0
    cdef double factor = (r.sigma_strong * r.sigma_strong * gain) * (1.0 - 1e-9)
    cdef double* px = w.x
    cdef double* pm = w.m
    cdef double* flag = w.y  # not used for sums here
    for j in range(w.n_fast):
        above = pm[j] * row[j] - px[j]
        flag[j] = above * above - factor * px[j] * pm[j] if above > 0.0 else -1.0
    for j in range(w.n_fast):
        if flag[j] < 0.0:
            continue
        p, m, x = row[j], w.m[j], w.x[j]
        if mask[j] == 0 or row[j] < r.low or row[j] > r.high or not p > r.global_threshold:
            continue
        if x < 0.0 or not m * p - x > r.sigma_strong * sqrt(gain * x * m):
            continue
        out[j] = is_dispersed(r, m, x, squares_around(w, r, j))


cdef void calm_row(
    Window* w, const Rule* r, const int* row, const unsigned char* mask, unsigned char* out
) noexcept nogil:
    """Mark valid pixels that are not dispersed: out = 1; invalid ones are 0."""
    cdef int j, low = r.low, high = r.high, calm
    cdef double m, x, y, spread, sigma = r.sigma_background, gain = r.gain, least = r.min_count
    cdef double* px = w.x
    cdef double* pm = w.m
    cdef double* py = w.y
    if least < 1.0:
        least = 1.0
    for j in range(w.n_fast):  # the two sides of the test take the place of the sums
        m, x, y = pm[j], px[j], py[j]
        spread = sigma * sqrt(2.0 * (m - 1.0 if m > 1.0 else 0.0))
        if gain > 0.0:
            py[j] = m * y - x * x
            px[j] = gain * x * (m - 1.0 + spread) if x >= 0.0 else py[j]
        else:
            py[j] = m * y - x * x - x * (m - 1.0)
            px[j] = x * spread if x >= 0.0 else py[j]
    for j in range(w.n_fast):
        calm = not ((pm[j] >= least) and (py[j] > px[j]))
        out[j] = (mask[j] != 0) & (row[j] >= low) & (row[j] <= high) & calm


cdef int band(
    const int* image, const unsigned char* mask, unsigned char* out, int n_slow, int n_fast,
    int first, int last, const Rule* rule, bint calm
) noexcept nogil:
    """Rows first to last - 1: strong pixels, or the calm ones for the extended threshold."""
    cdef Window window
    cdef int row, middle, half = rule.half_slow, height = 2 * rule.half_slow + 1
    cdef size_t at
    if claim(&window, rule, n_fast) != 0:
        return -1
    for row in range(first - half, last + half):
        at = <size_t> row * n_fast
        if 0 <= row < n_slow:
            push(&window, rule, image + at, mask + at, (row + height) % height, calm)
        else:
            push(&window, rule, NULL, NULL, (row + height) % height, calm)
        middle = row - half
        if middle < first:
            continue
        at = <size_t> middle * n_fast
        sums(&window, rule, calm)
        if calm:
            calm_row(&window, rule, image + at, mask + at, out + at)
        else:
            strong_row(&window, rule, image + at, mask + at, out + at)
    free(window.sum_square)
    return 0


cdef int run_bands(
    const int* image, const unsigned char* mask, unsigned char* out, int n_slow, int n_fast,
    const Rule* rule, bint calm, int threads
) noexcept nogil:
    cdef int b, failed = 0, n_bands = (n_slow + BAND - 1) // BAND
    for b in prange(n_bands, num_threads=threads, schedule="dynamic"):
        failed |= band(
            image, mask, out, n_slow, n_fast, b * BAND, min((b + 1) * BAND, n_slow), rule, calm
        ) != 0
    return failed


cdef void peaks(
    const int* image, const unsigned char* mask, const unsigned char* calm, unsigned char* peak,
    int n_slow, int n_fast, const Rule* rule, int threads
) noexcept nogil:
    """Mark valid pixels with no calm pixel within reach."""
    cdef int row
    for row in prange(n_slow, num_threads=threads, schedule="static"):
        peaks_of_row(image, mask, calm, peak, n_slow, n_fast, row, rule)


cdef void peaks_of_row(
    const int* image, const unsigned char* mask, const unsigned char* calm, unsigned char* peak,
    int n_slow, int n_fast, int row, const Rule* rule
) noexcept nogil:
    cdef int reach = min(rule.half_fast, rule.half_slow) - 1, j, d, k, touched
    cdef size_t at = <size_t> row * n_fast
    for j in range(n_fast):
        if calm[at + j] != 0 or mask[at + j] == 0:
            continue
        if not rule.low <= image[at + j] <= rule.high:
            continue
        touched = 0
        for k in range(max(row - reach, 0), min(row + reach, n_slow - 1) + 1):
            for d in range(max(j - reach, 0), min(j + reach, n_fast - 1) + 1):
                touched |= calm[<size_t> k * n_fast + d]
            if touched:
                break
        peak[at + j] = touched == 0


cdef bint stands_out(
    const int* image, const unsigned char* mask, const unsigned char* peak, int n_slow, int n_fast,
    int row, int j, const Rule* rule
) noexcept nogil:
    """Compare a pixel of a peak with the background around it."""
    cdef int k, d, v, high = min(rule.high, LARGEST_COUNT - 1)
    cdef int half_slow = rule.half_slow + BORDER, half_fast = rule.half_fast + BORDER
    cdef size_t at
    cdef double m = 0.0, x = 0.0, mean = 0.0, p = image[<size_t> row * n_fast + j]
    if not p > rule.global_threshold:
        return False
    for k in range(max(row - half_slow, 0), min(row + half_slow, n_slow - 1) + 1):
        for d in range(max(j - half_fast, 0), min(j + half_fast, n_fast - 1) + 1):
            at = <size_t> k * n_fast + d
            v = image[at]
            if mask[at] != 0 and peak[at] == 0 and rule.low <= v <= high:
                m += 1.0
                x += v
    if x < 0.0:
        return False
    if m >= 2.0:
        mean = x / m
    return p >= mean + rule.sigma_strong * sqrt((rule.gain if rule.gain > 0.0 else 1.0) * mean)


cdef int mark(
    const int* image, const unsigned char* mask, unsigned char* out, int n_slow, int n_fast,
    const Rule* rule, bint extended, int threads
) noexcept nogil:
    """Mark the strong pixels; not 0 where there is no memory."""
    cdef int row, failed
    cdef size_t size = <size_t> n_slow * n_fast
    cdef unsigned char* calm = NULL
    cdef unsigned char* peak
    if not extended:
        return run_bands(image, mask, out, n_slow, n_fast, rule, False, threads)
    calm = <unsigned char*> calloc(2 * size, 1)
    if calm == NULL:
        return -1
    peak = calm + size
    failed = run_bands(image, mask, calm, n_slow, n_fast, rule, True, threads)
    if not failed:
        peaks(image, mask, calm, peak, n_slow, n_fast, rule, threads)
        for row in prange(n_slow, num_threads=threads, schedule="dynamic", chunksize=16):
            strong_of_peaks(image, mask, peak, out, n_slow, n_fast, row, rule)
    free(calm)
    return failed


cdef void strong_of_peaks(
    const int* image, const unsigned char* mask, const unsigned char* peak, unsigned char* out,
    int n_slow, int n_fast, int row, const Rule* rule
) noexcept nogil:
    cdef int j
    cdef size_t at = <size_t> row * n_fast
    for j in range(n_fast):
        if peak[at + j] != 0:
            out[at + j] = stands_out(image, mask, peak, n_slow, n_fast, row, j, rule)


cdef object marked(
    const int[:, ::1] image, const unsigned char[:, ::1] mask, Rule rule, bint extended, int threads
):
    cdef int n_slow = image.shape[0], n_fast = image.shape[1], failed
    strong = np.zeros((n_slow, n_fast), dtype=np.uint8)
    if n_slow == 0 or n_fast == 0:
        return strong
    cdef unsigned char[:, ::1] out = strong
    with nogil:
        failed = mark(&image[0, 0], &mask[0, 0], &out[0, 0], n_slow, n_fast, &rule, extended,
                      threads)
    if failed:
        raise MemoryError
    return strong


def dispersion(
    const int[:, ::1] image,            # IN (s, f) counts
    const unsigned char[:, ::1] mask,   # IN (s, f) 1 = may be used
    int low, int high,                  # IN valid counts
    int half_fast, int half_slow,       # IN [px]
    int min_count,
    double sigma_background, double sigma_strong,
    double global_threshold,            # IN [counts]
    double gain,                        # IN counts per photon, 0 = formula without it
    int threads=1,
):
    """Return the strong pixels (s, f); see the definition."""
    return marked(
        image, mask, Rule(low, high, half_fast, half_slow, min_count, sigma_background,
                          sigma_strong, global_threshold, gain), False, threads,
    )


def dispersion_extended(
    const int[:, ::1] image,            # as for dispersion
    const unsigned char[:, ::1] mask,
    int low, int high, int half_fast, int half_slow, int min_count,
    double sigma_background, double sigma_strong, double global_threshold, double gain,
    int threads=1,
):
    """Return the strong pixels (s, f); see the definition."""
    return marked(
        image, mask, Rule(low, high, half_fast, half_slow, min_count, sigma_background,
                          sigma_strong, global_threshold, gain), True, threads,
    )
