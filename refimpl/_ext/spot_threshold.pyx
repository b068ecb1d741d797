"""Twin of refimpl/imaging/spot_threshold.py: column sums slide down the rows of a band.

Counts are summed as integers, or as doubles that hold integers, so the order does not matter. Only
pixels that stand out of their window have its sum of squares taken, where that suffices.
"""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport sqrt
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef int BAND = 96  # rows that a thread takes at once
cdef int LARGEST_COUNT = 1 << 24
cdef int BORDER = 2  # beyond the window, for the background of the extended threshold


cdef struct Rule:
    int low
    int high
    int half_fast
    int half_slow
    double min_count
    double sigma_background
    double sigma_strong
    double global_threshold
    double gain  # 0: the formula without gain


cdef struct Window:
    int n_fast      # pixels in a row
    int wide        # with a border of half_fast on either side
    int* value      # ring of 2 half_slow + 1 rows of counts, 0 where not used
    int* used       # the same of 1 or 0
    int* sum_value  # column sums
    int* sum_used
    double* sum_square
    double* column  # a row of column sums as doubles
    double* m       # sums over the window, (n_fast)
    double* x
    double* y


cdef int claim(Window* w, const Rule* rule, int n_fast) noexcept nogil:
    cdef int wide = n_fast + 2 * rule.half_fast, height = 2 * rule.half_slow + 1
    cdef size_t ints = <size_t> wide * (2 * height + 2)
    cdef size_t doubles = <size_t> wide * 2 + <size_t> n_fast * 3
    cdef char* block = <char*> calloc(1, ints * sizeof(int) + doubles * sizeof(double) + 8)
    if block == NULL:
        return -1
    w.n_fast, w.wide = n_fast, wide
    w.sum_square = <double*> block  # the doubles first, for their alignment
    w.column = w.sum_square + wide
    w.m = w.column + wide
    w.x = w.m + n_fast
    w.y = w.x + n_fast
    w.value = <int*> (w.y + n_fast)
    w.used = w.value + <size_t> wide * height
    w.sum_value = w.used + <size_t> wide * height
    w.sum_used = w.sum_value + wide
    return 0


cdef void push(
    Window* w, const Rule* rule, const int* row, const unsigned char* mask, int slot, bint squares
) noexcept nogil:
    """Put a row, or NULL for one outside the image, in place of the oldest."""
    cdef int* value = w.value + <size_t> slot * w.wide
    cdef int* used = w.used + <size_t> slot * w.wide
    cdef int* sum_value = w.sum_value
    cdef int* sum_used = w.sum_used
    cdef double* square = w.sum_square
    cdef int j, low = rule.low, high = rule.high, wide = w.wide
    if high >= LARGEST_COUNT:
        high = LARGEST_COUNT - 1
    for j in range(wide):
        sum_value[j] -= value[j]
        sum_used[j] -= used[j]
    if squares:
        for j in range(wide):
            square[j] -= <double> value[j] * <double> value[j]
    if row == NULL:
        memset(value, 0, wide * sizeof(int))
        memset(used, 0, wide * sizeof(int))
        return
    value += rule.half_fast
    used += rule.half_fast
    for j in range(w.n_fast):
        used[j] = (mask[j] != 0) & (row[j] >= low) & (row[j] <= high)
        value[j] = row[j] & -used[j]
    value -= rule.half_fast
    used -= rule.half_fast
    for j in range(wide):
        sum_value[j] += value[j]
        sum_used[j] += used[j]
    if squares:
        for j in range(wide):
            square[j] += <double> value[j] * <double> value[j]


cdef void sum_along(const double* column, double* out, int n, int width) noexcept nogil:
    cdef int j, d
    for j in range(n):
        out[j] = column[j] + column[j + 1] + column[j + 2]
    for d in range(3, width):
        for j in range(n):
            out[j] += column[j + d]


cdef void sums(Window* w, const Rule* rule, bint squares) noexcept nogil:
    """Sums over the window of each pixel of the middle row."""
    cdef int j, width = 2 * rule.half_fast + 1
    cdef int* value = w.sum_value
    cdef int* used = w.sum_used
    cdef double* column = w.column
    for j in range(w.wide):
        column[j] = value[j]
    sum_along(column, w.x, w.n_fast, width)
    for j in range(w.wide):
        column[j] = used[j]
    sum_along(column, w.m, w.n_fast, width)
    if squares:
        sum_along(w.sum_square, w.y, w.n_fast, width)


cdef inline bint is_dispersed(const Rule* r, double m, double x, double y) noexcept nogil:
    cdef double spread
    if m < r.min_count or x < 0.0 or m < 1.0:
        return False
    spread = r.sigma_background * sqrt(2.0 * (m - 1.0))
    if r.gain > 0.0:
        return m * y - x * x > r.gain * x * (m - 1.0 + spread)
    return m * y - x * x - x * (m - 1.0) > x * spread


cdef double squares_around(const Window* w, const Rule* rule, int j) noexcept nogil:
    """Sum of squares over the window of pixel j; exact, in whatever order."""
    cdef int d, k
    cdef const int* value
    cdef double total = 0.0
    for k in range(2 * rule.half_slow + 1):
        value = w.value + <size_t> k * w.wide + j
        for d in range(2 * rule.half_fast + 1):
            total += <double> value[d] * <double> value[d]
    return total


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


cdef Rule as_rule(
    int low, int high, int half_fast, int half_slow, int min_count, double sigma_background,
    double sigma_strong, double global_threshold, double gain
) noexcept:
    cdef Rule rule
    rule.low, rule.high = low, high
    rule.half_fast, rule.half_slow = half_fast, half_slow
    rule.min_count = min_count
    rule.sigma_background, rule.sigma_strong = sigma_background, sigma_strong
    rule.global_threshold, rule.gain = global_threshold, gain
    return rule


def dispersion(
    const int[:, ::1] image,            # IN (s, f) counts
    const unsigned char[:, ::1] mask,   # IN (s, f) 1 = may be used
    int low, int high,                  # IN valid counts
    int half_fast, int half_slow,       # IN [px]
    int min_count,
    double sigma_background,
    double sigma_strong,
    double global_threshold,            # IN [counts]
    double gain,                        # IN counts per photon, 0 = formula without it
    int threads=1,
):
    """Return the strong pixels (s, f); see the definition."""
    cdef Rule rule = as_rule(low, high, half_fast, half_slow, min_count, sigma_background,
                             sigma_strong, global_threshold, gain)
    cdef int n_slow = image.shape[0], n_fast = image.shape[1], failed
    strong = np.zeros((n_slow, n_fast), dtype=np.uint8)
    if n_slow == 0 or n_fast == 0:
        return strong
    cdef unsigned char[:, ::1] out = strong
    with nogil:
        failed = run_bands(
            &image[0, 0], &mask[0, 0], &out[0, 0], n_slow, n_fast, &rule, False, threads
        )
    if failed:
        raise MemoryError
    return strong


def dispersion_extended(
    const int[:, ::1] image,            # IN (s, f) counts
    const unsigned char[:, ::1] mask,   # IN (s, f) 1 = may be used
    int low, int high,                  # IN valid counts
    int half_fast, int half_slow,       # IN [px]
    int min_count,
    double sigma_background,
    double sigma_strong,
    double global_threshold,            # IN [counts]
    double gain,                        # IN counts per photon, 0 = formula without it
    int threads=1,
):
    """Return the strong pixels (s, f); see the definition."""
    cdef Rule rule = as_rule(low, high, half_fast, half_slow, min_count, sigma_background,
                             sigma_strong, global_threshold, gain)
    cdef int n_slow = image.shape[0], n_fast = image.shape[1], row, j, failed
    strong = np.zeros((n_slow, n_fast), dtype=np.uint8)
    if n_slow == 0 or n_fast == 0:
        return strong
    cdef unsigned char[:, ::1] out = strong
    cdef unsigned char[:, ::1] calm = np.empty_like(strong)
    cdef unsigned char[:, ::1] peak = np.zeros_like(strong)
    with nogil:
        failed = run_bands(
            &image[0, 0], &mask[0, 0], &calm[0, 0], n_slow, n_fast, &rule, True, threads
        )
        if not failed:
            peaks(&image[0, 0], &mask[0, 0], &calm[0, 0], &peak[0, 0], n_slow, n_fast, &rule,
                  threads)
            for row in prange(n_slow, num_threads=threads, schedule="dynamic", chunksize=16):
                for j in range(n_fast):
                    if peak[row, j] != 0:
                        out[row, j] = stands_out(
                            &image[0, 0], &mask[0, 0], &peak[0, 0], n_slow, n_fast, row, j, &rule
                        )
    if failed:
        raise MemoryError
    return strong
