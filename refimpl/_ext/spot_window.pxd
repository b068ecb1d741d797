"""Sums over a window that slides down the rows of a band: counts, their number, their squares.

Counts are summed as integers, or as doubles that hold integers, so the order does not matter.
"""

from libc.stdlib cimport calloc
from libc.string cimport memset

cdef enum:
    LARGEST_COUNT = 1 << 24


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


cdef inline int claim(Window* w, const Rule* rule, int n_fast) noexcept nogil:
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


cdef inline void push(
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


cdef inline void sum_along(const double* column, double* out, int n, int width) noexcept nogil:
    cdef int j, d
    for j in range(n):
        out[j] = column[j] + column[j + 1] + column[j + 2]
    for d in range(3, width):
        for j in range(n):
            out[j] += column[j + d]


cdef inline void sums(Window* w, const Rule* rule, bint squares) noexcept nogil:
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


cdef inline double squares_around(const Window* w, const Rule* rule, int j) noexcept nogil:
    """Sum of squares over the window of pixel j; exact, in whatever order."""
    cdef int d, k
    cdef const int* value
    cdef double total = 0.0
    for k in range(2 * rule.half_slow + 1):
        value = w.value + <size_t> k * w.wide + j
        for d in range(2 * rule.half_fast + 1):
            total += <double> value[d] * <double> value[d]
    return total
