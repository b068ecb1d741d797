"""Twin of refimpl/imaging/distl_grow.py: the image is scanned backwards, spots grow at once."""

import numpy as np

from libc.stdlib cimport calloc, free, realloc


cdef struct Listed:
    long long* at
    size_t n
    size_t room


cdef inline int append(Listed* listed, long long at) noexcept nogil:
    cdef long long* more
    if listed.n == listed.room:
        listed.room = 2 * listed.room + 1024
        more = <long long*> realloc(listed.at, listed.room * sizeof(long long))
        if more == NULL:
            return -1
        listed.at = more
    listed.at[listed.n] = at
    listed.n += 1
    return 0


cdef struct Scene:
    const int* image
    const float* signal
    int n_slow
    int n_fast
    int margin
    int underload
    int overload
    double height
    int neighbours


cdef bint is_maximum(const Scene* c, int s, int f) noexcept nogil:
    cdef int i, j, value, high = 0, edge = c.margin + 1
    cdef size_t at = <size_t> s * c.n_fast + f, near
    if s < edge or s >= c.n_slow - edge or f < edge or f >= c.n_fast - edge:
        return False
    value = c.image[at]
    if value >= c.overload:
        return True
    if not c.signal[at] > c.height or value <= c.underload:
        return False
    for i in range(-1, 2):
        for j in range(-1, 2):
            if i == 0 and j == 0:
                continue
            near = <size_t> (s + i) * c.n_fast + f + j
            if c.image[near] > value:
                return False
            high += c.signal[near] > c.height
    return high > c.neighbours


cdef int grow(
    const Scene* c, long long start, unsigned char* visited, Listed* stack, Listed* body,
    Listed* border, Listed* spots
) noexcept nogil:
    """Grow one spot; `spots` takes its maxima, its peak and where its body and border end."""
    cdef long long at, near, peak = -1, count = 0
    cdef long long size = <long long> c.n_slow * c.n_fast
    cdef int s, f, i, j, failed = append(stack, start)
    while stack.n > 0 and not failed:
        stack.n -= 1
        at = stack.at[stack.n]
        s = <int> (at // c.n_fast)
        f = <int> (at - <long long> s * c.n_fast)
        if visited[at] or s < c.margin or s >= c.n_slow - c.margin:
            continue
        if f < c.margin or f >= c.n_fast - c.margin:
            continue
        visited[at] = 1
        if not c.signal[at] > c.height:
            failed |= append(border, at)
            continue
        failed |= append(body, at)
        if is_maximum(c, s, f):
            count += 1
            if peak < 0 or c.image[at] > c.image[peak]:
                peak = at
        for j in range(-1, 2):
            for i in range(-1, 2):
                near = at + <long long> i * c.n_fast + j
                # those visited would be dropped when their turn comes
                if (i != 0 or j != 0) and 0 <= near < size and not visited[near]:
                    failed |= append(stack, near)
    failed |= append(spots, count)
    failed |= append(spots, peak)
    failed |= append(spots, <long long> body.n)
    failed |= append(spots, <long long> border.n)
    return failed


cdef int grow_all(
    const Scene* c, unsigned char* visited, Listed* stack, Listed* body, Listed* border,
    Listed* spots
) noexcept nogil:
    cdef int s, f, first, end, failed = 0, edge = c.margin + 1
    cdef size_t row
    for s in range(c.n_slow - edge - 1, edge - 1, -1):
        row = <size_t> s * c.n_fast
        end = c.n_fast - edge
        while end > edge:
            first = max(end - 32, edge)
            if may_peak(c, c.image + row + first, c.signal + row + first, end - first):
                for f in range(end - 1, first - 1, -1):
                    if not c.signal[row + f] > c.height and c.image[row + f] < c.overload:
                        continue
                    if not visited[row + f] and is_maximum(c, s, f):
                        failed |= grow(c, row + f, visited, stack, body, border, spots)
            end = first
    return failed


cdef bint may_peak(const Scene* c, const int* image, const float* signal, int n) noexcept nogil:
    """Whether any of a few pixels is high or overloaded."""
    cdef int i, any_ = 0, overload = c.overload
    cdef float height = <float> c.height
    for i in range(n):
        # a bound that is rounded to single precision may let one more through, never one less
        any_ |= (signal[i] >= height) | (image[i] >= overload)
    return any_ != 0


cdef object as_array(Listed* listed):
    out = np.empty(listed.n, dtype=np.int64)
    cdef long long[::1] view = out
    cdef size_t i
    for i in range(listed.n):
        view[i] = listed.at[i]
    free(listed.at)
    return out


def grow_spots(
    const int[:, ::1] image,        # IN (s, f) counts
    const float[:, ::1] signal,     # IN (s, f)
    int margin,                     # IN [px]
    int underload, int overload,    # IN counts
    double height,
    int neighbours,
    int threads=1,
):
    """Return the pixels and borders of the spots, maxima and peaks; see the definition."""
    cdef int n_slow = image.shape[0], n_fast = image.shape[1], failed = 0
    cdef Scene c
    cdef Listed stack, body, border, spots
    stack.at = body.at = border.at = spots.at = NULL
    stack.n = body.n = border.n = spots.n = 0
    stack.room = body.room = border.room = spots.room = 0
    cdef unsigned char* visited = NULL
    if n_slow > 0 and n_fast > 0:
        c.image, c.signal, c.n_slow, c.n_fast = &image[0, 0], &signal[0, 0], n_slow, n_fast
        c.margin, c.underload, c.overload = margin, underload, overload
        c.height, c.neighbours = height, neighbours
        visited = <unsigned char*> calloc(<size_t> n_slow * n_fast, 1)
        failed = visited == NULL
        if not failed:
            with nogil:
                failed = grow_all(&c, visited, &stack, &body, &border, &spots)
        free(visited)
    free(stack.at)
    rows = as_array(&spots).reshape(-1, 4)
    in_body, on_border = as_array(&body), as_array(&border)
    if failed:
        raise MemoryError
    return (
        in_body, np.append(0, rows[:, 2]), on_border, np.append(0, rows[:, 3]),
        rows[:, 0].copy(), rows[:, 1].copy(),
    )
