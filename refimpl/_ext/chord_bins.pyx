"""Twin of refimpl/imaging/chord_bins.py: same cuts, same order of operations."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport atan2, fabs, floor, sqrt
from libc.stdlib cimport calloc, free

cdef enum:
    CORNERS = 14  # a square cut by four lines has at most eight corners; two rays add four


cdef struct Polygon:
    int n
    double x[CORNERS]
    double y[CORNERS]


cdef void cut(const Polygon* p, double a, double b, double c, Polygon* kept) noexcept nogil:
    """Part of a convex polygon where a x + b y + c >= 0."""
    cdef double x0, y0, x1, y1, d0, d1, t
    cdef int i
    kept.n = 0
    if p.n == 0:
        return
    x0 = p.x[p.n - 1]
    y0 = p.y[p.n - 1]
    d0 = a * x0 + b * y0 + c
    for i in range(p.n):
        x1 = p.x[i]
        y1 = p.y[i]
        d1 = a * x1 + b * y1 + c
        if (d0 >= 0.0) != (d1 >= 0.0):
            t = d0 / (d0 - d1)
            kept.x[kept.n] = x0 + t * (x1 - x0)
            kept.y[kept.n] = y0 + t * (y1 - y0)
            kept.n += 1
        if d1 >= 0.0:
            kept.x[kept.n] = x1
            kept.y[kept.n] = y1
            kept.n += 1
        if kept.n > CORNERS - 2:  # cannot happen for a convex polygon
            return
        x0 = x1
        y0 = y1
        d0 = d1


cdef double area_of(const Polygon* p) noexcept nogil:
    cdef double total = 0.0
    cdef int i
    for i in range(1, p.n - 1):
        total = total + (
            (p.x[i] - p.x[0]) * (p.y[i + 1] - p.y[0]) - (p.x[i + 1] - p.x[0]) * (p.y[i] - p.y[0])
        )
    return 0.5 * total


cdef void around(const Polygon* p, const Polygon* extra, Polygon* out) noexcept nogil:
    """Corners of both by their direction from their mean."""
    cdef double direction[CORNERS]
    cdef double x = 0.0, y = 0.0, px, py, d
    cdef int i, k, n = p.n + extra.n
    for i in range(n):
        x = x + (p.x[i] if i < p.n else extra.x[i - p.n])
        y = y + (p.y[i] if i < p.n else extra.y[i - p.n])
    x = x / n
    y = y / n
    for i in range(n):
        px = p.x[i] if i < p.n else extra.x[i - p.n]
        py = p.y[i] if i < p.n else extra.y[i - p.n]
        d = atan2(py - y, px - x)
        k = i - 1
        while k >= 0 and direction[k] > d:
            direction[k + 1] = direction[k]
            out.x[k + 1] = out.x[k]
            out.y[k + 1] = out.y[k]
            k -= 1
        direction[k + 1] = d
        out.x[k + 1] = px
        out.y[k + 1] = py
    out.n = n


cdef void axis_cut(double x, double y, double sine, double cosine, Polygon* extra) noexcept nogil:
    """Add where a ray along an axis crosses the border of the pixel at x, y."""
    cdef int n = extra.n
    if fabs(sine) < 1e-12 or fabs(cosine) < 1e-12:
        if fabs(sine) < fabs(cosine):
            if fabs(x) <= 0.5:
                extra.x[n] = extra.x[n + 1] = 0.0
                extra.y[n] = y - 0.5
                extra.y[n + 1] = y + 0.5
                extra.n += 2
        elif fabs(y) <= 0.5:
            extra.x[n] = x - 0.5
            extra.x[n + 1] = x + 0.5
            extra.y[n] = extra.y[n + 1] = 0.0
            extra.n += 2


cdef inline double cell(double along, double shrink, double low, double step) noexcept nogil:
    cdef double at = (along / shrink - low) / step
    if at < -2.0:
        at = -2.0
    return floor(at) if at < 1e6 else 1e6


cdef inline double sagitta(double radius) noexcept nogil:
    return 1.0 / (24.0 * radius) if radius > 1.0 else 0.0


cdef void share(
    const Polygon* p, const Polygon* extra, double value, double ux, double uy, double shrink,
    bint arcs, double low, double step, int count, double* above, double* area
) noexcept nogil:
    """Add a pixel's areas to the cells that it touches."""
    cdef Polygon half, part, hull
    cdef double nearest, farthest, d, inner, outer, a
    cdef int i, j, first, last
    if p.n < 3 or not step > 0.0:
        return
    nearest = farthest = p.x[0] * ux + p.y[0] * uy
    for i in range(1, p.n):
        d = p.x[i] * ux + p.y[i] * uy
        if d < nearest:
            nearest = d
        if d > farthest:
            farthest = d
    first = <int> cell(nearest, shrink, low, step) - 1
    last = <int> cell(farthest, shrink, low, step) + 1
    if first < 0:
        first = 0
    if last > count - 1:
        last = count - 1
    for j in range(first, last + 1):
        inner = low + j * step
        outer = low + (j + 1) * step
        if arcs:
            inner = inner - sagitta(inner)
            outer = outer - sagitta(outer)
        cut(p, ux, uy, -inner * shrink, &half)
        cut(&half, -ux, -uy, outer * shrink, &part)
        if extra.n > 0 and part.n > 2:
            around(&part, extra, &hull)
            a = area_of(&hull)
        else:
            a = area_of(&part)
        above[j] += a * value
        area[j] += a


cdef void one_bin(
    const double* x, const double* y, const double* intensity, Py_ssize_t begin, Py_ssize_t end,
    const double* ray, double low, double step, int count, bint arcs, bint axes,
    double* above, double* area
) noexcept nogil:
    cdef Polygon square, half, wedge, extra
    cdef double mid_x = ray[0] + ray[2], mid_y = ray[1] + ray[3]
    cdef double length = sqrt(mid_x * mid_x + mid_y * mid_y)
    cdef double ux = mid_x / length, uy = mid_y / length, shrink = 0.5 * length
    cdef Py_ssize_t n
    cdef int j
    for n in range(begin, end):
        if not (fabs(x[n]) < 1e9 and fabs(y[n]) < 1e9):
            continue
        if arcs:
            length = sqrt(x[n] * x[n] + y[n] * y[n])
            ux = x[n] / length if length > 0.0 else 0.0
            uy = y[n] / length if length > 0.0 else 1.0
            shrink = 1.0
        square.n = 4
        for j in range(4):
            square.x[j] = x[n] + 0.5 if j == 1 or j == 2 else x[n] - 0.5
            square.y[j] = y[n] + 0.5 if j >= 2 else y[n] - 0.5
        cut(&square, ray[1], -ray[0], 0.0, &half)
        cut(&half, -ray[3], ray[2], 0.0, &wedge)
        extra.n = 0
        if axes and not arcs:
            axis_cut(x[n], y[n], ray[0], ray[1], &extra)
            axis_cut(x[n], y[n], ray[2], ray[3], &extra)
        share(&wedge, &extra, intensity[n], ux, uy, shrink, arcs, low, step, count, above, area)
    for j in range(count):
        above[j] = above[j] / area[j] if area[j] > 0.0 else 0.0


def bin_lineouts(
    x_px, y_px, intensity, offset, rays, low_px, step_px, steps, int most, bint arcs,
    bint published_axes, int threads=1
):
    """See refimpl/imaging/chord_bins.py."""
    cdef const double[::1] x = x_px               # IN (n) [px]
    cdef const double[::1] y = y_px               # IN (n) [px]
    cdef const double[::1] value = intensity      # IN (n)
    cdef const long long[::1] begin = offset      # IN (b + 1)
    cdef const double[:, ::1] ray = rays          # IN (b, 4)
    cdef const double[::1] low = low_px           # IN (b) [px]
    cdef const double[::1] step = step_px         # IN (b) [px]
    cdef const long long[::1] count = steps       # IN (b)
    cdef Py_ssize_t b = low.shape[0], i
    cdef int n
    profile = np.zeros((b, most))
    cdef double[:, ::1] out = profile             # OUT (b, most)
    if b == 0 or most == 0 or x.shape[0] == 0:
        return profile
    cdef double* area = <double*> calloc(b * most, sizeof(double))
    if area == NULL:
        raise MemoryError
    for i in prange(b, nogil=True, num_threads=threads, schedule="dynamic", chunksize=16):
        n = <int> max(0, min(count[i], <long long> most))
        one_bin(
            &x[0], &y[0], &value[0], begin[i], begin[i + 1], &ray[i, 0], low[i], step[i], n, arcs,
            published_axes, &out[i, 0], area + i * most
        )
    free(area)
    return profile
