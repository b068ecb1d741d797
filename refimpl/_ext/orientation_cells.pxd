"""Centres by orientation: the equivalents of each, in the cells of a lattice that they reach.

Of the equivalents of a point the one in the fundamental zone stands for it. A centre stands there
as every equivalent, of both signs, that comes within reach of the zone, listed in those cells of a
lattice in four dimensions that its reach touches: a point looks into its own cell alone. Rotations
by less than an angle are chords below 2 sin(angle/4). The cells are a table of lists, by key.
"""

from libc.math cimport fabs, floor, fmax, isfinite, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport realloc

cdef extern from *:
    """
    #define REFIMPL_CLOSE 1e-9 /* of chords: more than rounding makes of them */
    """
    const double CLOSE "REFIMPL_CLOSE"


cdef struct Group:
    const double* operators
    int64_t m
    int kind
    double limit    # [rad]
    double chord    # |q1 - q2| of that angle
    double cell     # edge of a cell


cdef struct Image:
    double[4] q
    int64_t row     # the centre
    int64_t label


cdef struct Entry:
    uint64_t key    # of the cell
    int64_t image
    int64_t following


cdef struct Cells:
    Image* images
    Entry* entries
    int64_t* first  # of each bucket; -1: none
    int64_t n_images, room_images, n_entries, room_entries, n_buckets


cdef inline uint64_t mixed(const int64_t* at) noexcept nogil:
    """Key of a cell; cells that share one only have longer lists."""
    cdef uint64_t h = 0
    cdef int k
    for k in range(4):
        h = (h ^ <uint64_t> at[k]) * <uint64_t> 0x9E3779B97F4A7C15
        h ^= h >> 29
    return h


cdef inline bint in_zone(const double* q, const Group* g, double* p) noexcept nogil:
    """Unit equivalent of largest w >= 0; false where there is no direction."""
    cdef double big = fmax(fmax(fabs(q[0]), fabs(q[1])), fmax(fabs(q[2]), fabs(q[3])))
    cdef double length, w, largest = -1.0
    cdef double[4] u
    cdef const double* s
    cdef int64_t k, best = 0
    cdef int i
    if not (big > 0.0 and isfinite(big)) or g.m == 0:
        return False
    length = 0.0
    for i in range(4):
        u[i] = q[i] / big  # so that no square overflows
        length += u[i] * u[i]
    if not isfinite(length):  # fmax takes the other of a number and NaN
        return False
    length = 1.0 / sqrt(length)
    for i in range(4):
        u[i] *= length
    for k in range(g.m):
        s = g.operators + 4 * k
        w = fabs(u[0] * s[0] - u[1] * s[1] - u[2] * s[2] - u[3] * s[3])
        if w > largest:
            largest = w
            best = k
    times(u, g.operators + 4 * best, p)
    if p[0] < 0.0:
        for i in range(4):
            p[i] = -p[i]
    return True


cdef inline void times(const double* a, const double* b, double* c) noexcept nogil:
    c[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]
    c[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2]
    c[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1]
    c[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]


cdef inline bint list_image(const Image* image, const Group* g, Cells* c) noexcept nogil:
    """Enter an image into the cells of points that it may take; false without memory."""
    cdef double reach = g.chord + 2.0 * CLOSE, far, d, low
    cdef int64_t[4] first, last, at
    cdef int64_t i, bucket, w, x, y, z
    cdef void* room
    cdef int k
    if c.n_images == c.room_images:
        room = realloc(c.images, 2 * c.room_images * sizeof(Image))
        if room == NULL:
            return False
        c.images = <Image*> room
        c.room_images *= 2
    c.images[c.n_images] = image[0]
    for k in range(4):
        first[k] = <int64_t> floor((image.q[k] - reach) / g.cell)
        last[k] = <int64_t> floor((image.q[k] + reach) / g.cell)
    first[0] = max(first[0], 0)  # points have w >= 0
    for w in range(first[0], last[0] + 1):
        for x in range(first[1], last[1] + 1):
            for y in range(first[2], last[2] + 1):
                for z in range(first[3], last[3] + 1):
                    at[0], at[1], at[2], at[3] = w, x, y, z
                    far = 0.0
                    for k in range(4):
                        low = at[k] * g.cell
                        d = fmax(fmax(low - image.q[k], image.q[k] - low - g.cell), 0.0)
                        far += d * d
                    if far > reach * reach:
                        continue
                    if c.n_entries == c.room_entries and not widen(c):
                        return False
                    i = c.n_entries
                    c.entries[i].key = mixed(at)
                    c.entries[i].image = c.n_images
                    bucket = <int64_t> (c.entries[i].key & <uint64_t> (c.n_buckets - 1))
                    c.entries[i].following = c.first[bucket]
                    c.first[bucket] = i
                    c.n_entries += 1
    c.n_images += 1
    return True


cdef inline bint widen(Cells* c) noexcept nogil:
    """Twice the entries and buckets."""
    cdef int64_t i, bucket, n = 2 * c.n_buckets
    cdef void* entries = realloc(c.entries, 2 * c.room_entries * sizeof(Entry))
    cdef void* first
    if entries == NULL:
        return False
    c.entries = <Entry*> entries
    c.room_entries *= 2
    first = realloc(c.first, n * sizeof(int64_t))
    if first == NULL:
        return False
    c.first = <int64_t*> first
    c.n_buckets = n
    for i in range(n):
        c.first[i] = -1
    for i in range(c.n_entries):
        bucket = <int64_t> (c.entries[i].key & <uint64_t> (n - 1))
        c.entries[i].following = c.first[bucket]
        c.first[bucket] = i
    return True


cdef inline bint list_centre(
    const double* p, int64_t row, int64_t label, const Group* g, Cells* c
) noexcept nogil:
    """Enter the equivalents of a centre that come within reach of a point in the zone."""
    cdef Image image
    cdef double[4] turned
    # a point p' of the zone has w' >= |w of any equivalent|, and the chord shortens w by its length
    cdef double least = p[0] - 2.0 * (g.chord + CLOSE)
    cdef int64_t k
    cdef int i, _sign
    image.row, image.label = row, label
    for k in range(g.m):
        times(p, g.operators + 4 * k, turned)
        for _sign in range(2):
            if turned[0] >= least:
                for i in range(4):
                    image.q[i] = turned[i]
                if not list_image(&image, g, c):
                    return False
            for i in range(4):
                turned[i] = -turned[i]
    return True
